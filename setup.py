"""The compiled half of the package; everything else stands in pyproject.toml."""

import os
import sys
import tempfile

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
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


class BuildExt(build_ext):
    """Builds with OpenMP where the compiler has it."""

    def build_extensions(self) -> None:
        """Try to link a program with OpenMP, then build accordingly."""
        flag = "/openmp" if MSVC else "-fopenmp"
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "threads.c")
            with open(source, "w", encoding="ascii") as file:
                file.write("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=[flag])
                link = [] if MSVC else [flag]
                self.compiler.link_executable(objects, os.path.join(folder, "threads"), extra_postargs=link)
            except (CompileError, LinkError):
                print("cgru: the compiler has no OpenMP; this build runs on one thread")
            else:
                for module in self.extensions:
                    module.extra_compile_args.append(flag)
                    module.extra_link_args += link
        super().build_extensions()


def extension(name: str, *sources: str) -> Extension:
    """One module, from its .pyx and C sources. The -O3 is asked for because some Pythons build extensions at -O2."""
    return Extension(
        f"cgru.{name}",
        [f"cgru/{name}.pyx", *sources],
        include_dirs=["cgru", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=["/O2", "/std:c11"] if MSVC else ["-O3"],
        depends=[f"cgru/simd/{header}.h" for header in ("cgru", "level", "body", "vector", "tile", "cell", "outer")],
    )


setup(
    ext_modules=cythonize(
        [
            extension("kernels", "cgru/simd/levels.c"),
            extension("checks"),
            extension("memory"),
            extension("threads"),
            extension("forward"),
            extension("backward"),
            extension("parameters"),
        ],
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": BuildExt},
)
