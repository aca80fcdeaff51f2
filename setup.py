"""The compiled half of the package; everything else stands in pyproject.toml."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from typing import Any

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

DEBUG = os.environ.get("CGRU_DEBUG") == "1"  # bounds checks in Cython, for the tests' debug build
SANITIZERS = ("address", "undefined", "thread")
SANITIZE = os.environ.get("CGRU_SANITIZE", "")  # one of these, in all modules and kernels; see CONTRIBUTING.md
MSVC = sys.platform == "win32"
if SANITIZE not in ("", *SANITIZERS):
    raise SystemExit(f"CGRU_SANITIZE: expected one of {', '.join(SANITIZERS)}, got {SANITIZE!r}")
if SANITIZE and MSVC:
    raise SystemExit("CGRU_SANITIZE: expected GCC or Clang, got Windows; build without it, or on Linux")
PUBLIC = ["cgru/core/simd/cgru.h", "cgru/core/thread_pool.h"]  # what the modules include
KERNELS, HEADERS = sorted(glob("cgru/core/simd/*.c")), glob("cgru/core/simd/*.h")

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "embedsignature": True,
    "binding": True,
}


# A sanitizer names the line of each finding, for which it needs symbols and frames. Elsewhere there are no tables for
# unwinding the stack, which C never reads, and which would be 3 % of a wheel.
CHECKS = (
    [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g1"]
    if SANITIZE
    else ["-g0", "-fno-asynchronous-unwind-tables"]
)


def flags(level: str) -> list[str]:
    """Return the compiler's options. Some Pythons ask for -O3 and debug symbols themselves.

    With a sanitizer everything is compiled at -O1, which takes a third of the time of -O3.
    """
    return ["/O2", "/std:c11"] if MSVC else ["-O1" if SANITIZE else level, "-pthread", *CHECKS]


# On Linux without symbols, which nobody needs and a wheel would carry.
STRIP = ["-Wl,-s"] if sys.platform == "linux" and not DEBUG else []
LINKS = [] if MSVC else ["-pthread", "-lm", *(CHECKS if SANITIZE else STRIP)]

# Each way to build has a folder of its own: its objects are newer than the sources for another way, too.
FOLDER = os.path.join("build", "debug" * DEBUG, SANITIZE).rstrip(os.sep)


def extension(name: str, *sources: str, depends: list[str] = PUBLIC, level: str = "-O2") -> Extension:
    """One module, from its .pyx and C sources."""
    return Extension(
        f"cgru.{name}",
        [f"cgru/{name.replace('.', '/')}.pyx", *sources],
        include_dirs=["cgru/core", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=flags(level),
        extra_link_args=LINKS,
        depends=depends,
    )


class Build(build_ext):
    """Compiles the kernels beside each other, and those alone that are older than what they include."""

    def build_extension(self, ext: Extension) -> None:
        """The kernels of `core.kernels` first."""
        if ext.name == "cgru.core.kernels":
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                ext.extra_objects = list(pool.map(self.kernels, KERNELS))
        super().build_extension(ext)

    def kernels(self, source: str) -> str:
        """Compile a kernel and return its object file, which knows nothing of Python: all versions share it.

        GCC and Clang have vectors: there the scalar ones are for the tests.
        """
        folder = os.path.join(FOLDER, f"kernels.{self.plat_name}")
        (target,) = self.compiler.object_filenames([source], output_dir=folder)
        if self.force or newer_group([source, *HEADERS, __file__], target):
            level = "-O1" if "scalar" in source else "-O3"
            self.compiler.compile([source], output_dir=folder, extra_postargs=flags(level))
        return target


def translated(modules: list[Extension], **options: Any) -> list[Extension]:
    """Let Cython make C of the modules, but for a source distribution, which has none of it."""
    return modules if "sdist" in sys.argv else cythonize(modules, **options)


setup(
    ext_modules=translated(
        [
            extension("core.kernels", depends=[*KERNELS, *HEADERS, *PUBLIC]),
            extension("core.checks", level="-O3"),  # which has a loop over numbers
            extension("core.memory"),
            extension("core.threads", "cgru/core/thread_pool.c"),
            extension("core.plan"),
            extension("core.crew"),
            extension("core.pair"),
            extension("core.driver"),
            extension("core.products"),
            extension("core.forward"),
            extension("core.backward"),
            extension("core.gradients"),
            extension("core.blocks"),
            extension("core.low_precision"),
            extension("core.fading", level="-O3"),  # which has loops over numbers
            extension("core.linear", level="-O3"),  # which has loops over numbers
            extension("passes"),
            extension("parameters", level="-O3"),  # which has a loop over numbers
            extension("cell"),
            extension("stream"),
            extension("network.training.compiled.numbers", level="-O3"),
            extension("network.training.compiled.batch", level="-O3"),
            extension("network.training.compiled.recurrent"),
            extension("network.training.compiled.gaps"),
            extension("network.training.compiled.plain", level="-O3"),
            extension("network.training.compiled.weights"),
            extension("network.training.compiled.program"),
            extension("torch.runs", level="-O3"),
        ],
        build_dir=FOLDER,
        force=DEBUG,
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": Build},
    options={"build": {"build_base": FOLDER}, "build_ext": {"parallel": True, "force": bool(DEBUG or SANITIZE)}},
)
