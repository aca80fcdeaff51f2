"""The compiled half of the package; everything else stands in pyproject.toml."""

import os
import sys
import tempfile

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler
from setuptools.errors import CompileError, LinkError

DEBUG = os.environ.get("CGRU_DEBUG") == "1"  # bounds checks in Cython, for the tests' debug build
MSVC = sys.platform == "win32"

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "embedsignature": True,
    "binding": True,
}


def openmp() -> list[str]:
    """The flag that switches OpenMP on where the compiler has it, found out by linking a program."""
    flag = "/openmp" if MSVC else "-fopenmp"
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "threads.c")
        with open(source, "w", encoding="ascii") as file:
            file.write("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        try:
            objects = compiler.compile([source], output_dir=folder, extra_postargs=[flag])
            compiler.link_executable(objects, os.path.join(folder, "threads"), extra_postargs=[] if MSVC else [flag])
        except (CompileError, LinkError):
            print("cgru: the compiler has no OpenMP; this build runs on one thread")
            return []
    return [flag]


def extension(name: str, *sources: str) -> Extension:
    """One module, from its .pyx and C sources. The -O3 is asked for because some Pythons build extensions at -O2."""
    return Extension(
        f"cgru.{name}",
        [f"cgru/{name}.pyx", *sources],
        include_dirs=["cgru", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=[*(["/O2", "/std:c11"] if MSVC else ["-O3"]), *OPENMP],
        extra_link_args=[] if MSVC else OPENMP,
        depends=[f"cgru/simd/{header}.h" for header in ("cgru", "level", "body", "vector", "tile", "cell", "outer")],
    )


OPENMP = openmp()

setup(
    ext_modules=cythonize(
        [
            extension("kernels", "cgru/simd/levels.c"),
            extension("memory"),
            extension("threads"),
            extension("forward"),
            extension("backward"),
            extension("parameters"),
        ],
        compiler_directives=DIRECTIVES,
    )
)
