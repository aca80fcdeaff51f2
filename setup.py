"""The compiled half of the package; everything else stands in pyproject.toml."""

import os
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

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


def extension(name: str, *sources: str) -> Extension:
    """One module, from its .pyx and C sources. Some Pythons ask for -O2 and debug symbols."""
    return Extension(
        f"cgru.{name}",
        [f"cgru/{name.replace('.', '/')}.pyx", *sources],
        include_dirs=["cgru/core", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=["/O2", "/std:c11"] if MSVC else ["-O3", "-g0", "-pthread"],
        extra_link_args=[] if MSVC else ["-pthread"],
        depends=["cgru/core/thread_pool.h", *glob("cgru/core/simd/*.h")],
    )


setup(
    ext_modules=cythonize(
        [
            extension("core.kernels", *sorted(glob("cgru/core/simd/*.c"))),
            extension("core.checks"),
            extension("core.memory"),
            extension("core.threads", "cgru/core/thread_pool.c"),
            extension("core.forward"),
            extension("core.backward"),
            extension("parameters"),
            extension("cell"),
            extension("stream"),
        ],
        build_dir="build/debug" if DEBUG else "build",
        force=DEBUG,
        compiler_directives=DIRECTIVES,
    ),
    options={"build_ext": {"parallel": True}},
)
