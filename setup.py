"""The compiled half of the package; everything else stands in pyproject.toml."""

import gzip
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from typing import Any

import Cython
import numpy
from Cython.Build import cythonize
from Cython.Compiler.Code import UtilityCode
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.modified import newer_group

DEBUG = os.environ.get("CGRU_DEBUG") == "1"  # bounds checks in Cython, for the tests' debug build
# At -O0 Clang takes six seconds for a file of kernels, at -O1 more than a minute. valgrind needs nothing built in.
SANITIZERS = {
    "address": ["-O0", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"],
    "thread": ["-O0", "-fsanitize=thread"],
    "valgrind": ["-O1"],
}
SANITIZE = os.environ.get("CGRU_SANITIZE", "")  # one of these, in all modules and kernels; see .ci/sanitize
MSVC = sys.platform == "win32"
if SANITIZE and SANITIZE not in SANITIZERS:
    raise SystemExit(f"CGRU_SANITIZE: expected one of {', '.join(SANITIZERS)}, got {SANITIZE!r}")
if SANITIZE and MSVC:
    raise SystemExit("CGRU_SANITIZE: expected GCC or Clang, got Windows; build without it, or on Linux")
SHARED = "cgru.core.cython_shared"  # Cython's memoryviews, once for all modules; its C is generated
PUBLIC = [f"cgru/core/{name}.h" for name in ("simd/cgru", "simd/kernel_list", "thread_pool")]  # for the modules
KERNELS, HEADERS = sorted(glob("cgru/core/simd/*.c")), glob("cgru/core/simd/*.h")

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "embedsignature": True,
    "binding": True,
    "auto_pickle": False,  # what is not made by the constructor may point anywhere
    "freethreading_compatible": True,  # CONTRIBUTING.md says why
}


# A sanitizer names the line of each finding, for which it needs symbols and frames. Elsewhere there are no tables for
# unwinding the stack, which C never reads, and which would be 3 % of a wheel.
CHECKS = (
    [*SANITIZERS[SANITIZE], "-fno-omit-frame-pointer", "-g1"]
    if SANITIZE
    else ["-g0", "-fno-asynchronous-unwind-tables"]
)
# 32-bit x86 would compute with 80 bits, while exp counts on each result's rounding.
if sys.maxsize < 2**32 and platform.machine() in ("i386", "i686", "x86_64"):
    CHECKS += ["-msse2", "-mfpmath=sse"]


def flags(level: str) -> list[str]:
    """Return the compiler's options. Some Pythons ask for -O3 and debug symbols themselves.

    A module exports its `PyInit_` function alone: other modules take its functions by capsules.
    """
    return ["/O2", "/std:c11"] if MSVC else [level, "-pthread", "-fvisibility=hidden", *CHECKS]


# On Linux without symbols, which nobody needs and a wheel would carry.
STRIP = ["-Wl,-s"] if sys.platform == "linux" and not DEBUG else []
LINKS = [] if MSVC else ["-pthread", "-lm", *(CHECKS if SANITIZE else STRIP)]

# Each way to build has a folder of its own: its objects are newer than the sources for another way, too.
FOLDER = os.path.join("build", "debug" * DEBUG, SANITIZE).rstrip(os.sep)


def extension(name: str, *sources: str, depends: list[str] = PUBLIC, level: str = "-O2") -> Extension:
    """One module, from its .pyx and C sources; at "-Os", a third smaller, where a call takes no more instructions."""
    return Extension(
        f"cgru.{name}",
        [f"cgru/{name.replace('.', '/')}.pyx", *sources],
        include_dirs=["cgru/core", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=flags(level),
        extra_link_args=LINKS,
        depends=depends,
    )


def clang_cl() -> str:
    """Return the path of clang-cl, which takes the options of Visual Studio's compiler, and has vectors."""
    found = os.environ.get("CC") or shutil.which("clang-cl")
    if not found:
        raise SystemExit(
            "Windows: expected clang-cl, of LLVM 19 or newer, on the PATH or in CC, got none. Visual Studio's compiler "
            "has no vectors, of which the kernels are made; its part 'C++ Clang tools for Windows' brings clang-cl"
        )
    return found


def check_tools() -> None:
    """Raise SystemExit, with what to install, where there is no C compiler or no headers of Python."""
    if MSVC:
        clang_cl()
        return
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    try:  # run it, since that of macOS is there before Xcode is
        missing = subprocess.run([*compiler, "--version"], capture_output=True).returncode != 0
    except OSError:
        missing = True
    what = f"a C compiler, {compiler[0]!r} or another one that CC names" if missing else ""
    headers = [os.path.join(sysconfig.get_path(name), "Python.h") for name in ("include", "platinclude")]
    told = {"CFLAGS", "CPPFLAGS", "CPATH", "C_INCLUDE_PATH"} & os.environ.keys()  # the headers may be elsewhere
    if not (told or any(map(os.path.exists, headers))):
        what += f"{' and ' * bool(what)}the headers of Python {platform.python_version()}, Python.h"
    if what:
        raise SystemExit(
            f"cgru is compiled here: expected {what}, got none. Debian, Ubuntu: apt install build-essential "
            "python3-dev; Fedora: dnf install gcc python3-devel; macOS: xcode-select --install; conda: conda install "
            "c-compiler"
        )


class Build(build_ext):
    """Compiles the kernels beside each other, and those alone that are older than what they include."""

    def build_extensions(self) -> None:
        """On Windows by clang-cl, and all else of Visual Studio."""
        if MSVC:
            if not self.compiler.initialized:
                self.compiler.initialize(self.plat_name)
            self.compiler.cc = clang_cl()
        super().build_extensions()

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
            level = "-Os" if "scalar" in source else "-O3"
            self.compiler.compile([source], output_dir=folder, extra_postargs=flags(level))
        return target


class SourceArchive(sdist):
    """Writes the same bytes in any folder at any time, with `SOURCE_DATE_EPOCH` as that of all files."""

    def make_archive(self, base_name: str, format: str, *_: Any, base_dir: str, **__: Any) -> str:
        """Pack the folder, whose files `tarfile` sorts, without owners, rights or times of this machine."""
        self.mkpath(os.path.dirname(base_name))
        moment = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid, member.gid, member.uname, member.gname, member.mtime = 0, 0, "", "", moment
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            return member

        with (
            open(f"{base_name}.tar.gz", "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=moment) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=anonymous)
        return file.name


class Wheel(bdist_wheel):
    """Puts a list of all that is in the wheel and that it needs into its metadata (PEP 770: CycloneDX, as JSON)."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Write the metadata, and `sboms/cgru.cdx.json` beside it."""
        super().egg2dist(egginfo_path, distinfo_path)
        folder = os.path.join(distinfo_path, "sboms")
        os.makedirs(folder)
        with open(os.path.join(folder, "cgru.cdx.json"), "w", encoding="utf-8", newline="\n") as file:
            json.dump(self.materials(), file, indent=2)
            file.write("\n")

    def materials(self) -> dict[str, Any]:
        """Return the bill of materials, without a time or a serial number: two builds make the same."""

        def component(name: str, version: str, licence: str, **more: Any) -> dict[str, Any]:
            purl = f"pkg:pypi/{name.lower()}" + f"@{version}" * bool(version)
            found = {"type": "library", "bom-ref": purl, "name": name, "purl": purl, **more}
            return found | {"licenses": [{"expression": licence}]} | ({"version": version} if version else {})

        ours, needs = self.distribution.metadata, self.distribution.install_requires
        own = component(ours.get_name(), ours.get_version(), ours.license_expression)
        built = f"needed to run: {', '.join(needs)}; compiled with the headers of {numpy.__version__}"
        parts = [
            component("numpy", "", "BSD-3-Clause", description=built),
            component("Cython", Cython.__version__, "Apache-2.0", description="its C is compiled into the modules"),
            {
                "type": "data",
                "bom-ref": "japanese-vowels",
                "name": "Japanese Vowels",
                "description": "the embedded data set, cgru/datasets/README.md",
                "licenses": [{"expression": "CC-BY-4.0"}],
            },
        ]
        return {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": own},
            "components": parts,
            "dependencies": [{"ref": own["bom-ref"], "dependsOn": [each["bom-ref"] for each in parts]}],
        }


def declarations() -> str:
    """Return what simd/cgru.h declares, in Cython: its enumerators, structs and types of functions."""
    texts = (Path(name).read_text(encoding="utf-8") for name in PUBLIC[:2])
    header, kernels = (re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL) for text in texts)
    kernels = re.sub(r"^EPILOGUE|(?<=\)) EPILOGUE", "\nEPILOGUE", kernels, flags=re.MULTILINE)
    arrays = re.findall(r"\bARRAY\((\w+)\)", header)
    for what, by in {
        r"^ *#include \"kernel_list.h\"": kernels,
        r"union \{\s*struct \{.*?\};(.*?)\};": rf"cgru_array {', '.join(arrays)};\1",
        r"CGRU_ARRAYS\(CGRU_PLACE\)": "".join(f"CGRU_PLACE_{name}, " for name in arrays),
        r"^ *#([^\n]*\\\n)*[^\n]*$": "",  # all other directives
        r"^EPILOGUE\((\w+)\)": r"cgru_epilogue *\1;",
        r"^(?:KERNEL|LOOP)\((\w+), (\w+), (\(.*?\))\)$": r"\1 (*\2)\3;",
        r"(\(\*\w+\)\([^()]*\))(?=,)|(?<=\))(?=;)": r"\1 noexcept nogil",  # functions as parameters; all others
        r"\bptrdiff_t\b": "Py_ssize_t",
        r"\bconst struct\b": "const",
    }.items():
        header = re.sub(what, by, header, flags=re.MULTILINE | re.DOTALL)
    lines = ['cdef extern from "simd/cgru.h" nogil:']
    items = r"(enum|struct)\s*\w*\s*\{(.*?)\}\s*(\w*);|typedef (void \w+\(.*?);|^struct (\w+);"
    for kind, body, name, function, opaque in re.findall(items, header, re.DOTALL | re.MULTILINE):
        if kind:
            lines.append(f"    ctypedef struct {name}:" if name else "    cdef enum:")
            parts = body.split(";" if name else ",")
            lines += [f"        {' '.join(part.partition(' =')[0].split())}" for part in parts if part.strip()]
        else:
            lines.append(f"    ctypedef {' '.join(function.split())}" if function else f"    ctypedef struct {opaque}")
    return "\n".join([*lines, ""])


def translated(modules: list[Extension], build_dir: str, **options: Any) -> list[Extension]:
    """Let Cython make C of the modules, but for a source distribution and for metadata, which have none of it."""
    if {"sdist", "egg_info", "dist_info"} & {*sys.argv}:
        return modules
    check_tools()
    mend_cython()
    path, text = Path(build_dir, "cgru", "core", "declarations.pxi"), declarations()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # or Cython begins anew
        path.write_text(text, encoding="utf-8", newline="\n")
    return cythonize(modules, build_dir=build_dir, include_path=[str(path.parent)], **options)


def mend_cython() -> None:
    """Let a list comprehension that gets no memory for an item free it once; Cython 3.3.0 and 3.3.1 free it twice.

    `python -m fuzz allocations` then crashes in `update_parameters`. Cython 3.2.9 does not, but cannot compile constant
    arrays as in core/backward.pyx.
    """
    try:
        append = UtilityCode.load_cached("ListCompAppendAndDecref", "Optimize.c")
    except KeyError:  # another Cython, without this function
        return
    append.impl = append.impl.replace("    Py_DECREF(x);", "    if (result == 0) Py_DECREF(x);")


setup(
    ext_modules=translated(
        [
            extension("core.kernels", depends=[*KERNELS, *HEADERS, *PUBLIC]),
            extension("core.checks", level="-O3"),  # which has a loop over numbers
            extension("core.memory"),
            extension(
                "core.threads", "cgru/core/thread_pool.c", depends=[*PUBLIC, "cgru/core/system_threads.h"], level="-Os"
            ),
            extension("core.plan"),
            extension("core.crew"),
            extension("core.pair"),
            extension("core.driver"),
            extension("core.products"),
            extension("core.forward"),
            extension("core.backward"),
            extension("core.gradients"),
            extension("core.blocks"),
            extension("core.low_precision", level="-Os"),
            extension("core.fading", level="-Os"),
            extension("core.linear"),
            extension("core.rows", level="-Os"),
            extension("passes"),
            extension("parameters", level="-Os"),
            extension("cell"),
            extension("stream"),
            extension("network.training.compiled.batch", level="-O3"),
            extension("network.training.compiled.recurrent"),
            extension("network.training.compiled.fading_stage", level="-Os"),
            extension("network.training.compiled.switching_stage", level="-Os"),
            extension("network.training.compiled.plain"),
            extension("network.training.compiled.weights"),
            extension("network.training.compiled.program", level="-Os"),
            extension("torch.runs", level="-Os"),
            Extension(
                SHARED, [f"{SHARED.replace('.', '/')}.c"], extra_compile_args=flags("-Os"), extra_link_args=LINKS
            ),
        ],
        shared_utility_qualified_name=SHARED,
        build_dir=os.path.join("build", "debug" * DEBUG).rstrip(os.sep),
        force=DEBUG,
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"bdist_wheel": Wheel, "build_ext": Build, "sdist": SourceArchive},
    options={"build": {"build_base": FOLDER}, "build_ext": {"parallel": True, "force": bool(DEBUG or SANITIZE)}},
)
