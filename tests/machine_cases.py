"""The machines that C is tried on: other processors in an emulator, and this one as other compilers see it."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from export_cases import compile_c

# Wine says nothing of what it lacks, and makes its folder without what is for .NET and pages.
os.environ.update(WINEDEBUG="-all", WINEDLLOVERRIDES="mscoree,mshtml=")
WINDOWS = Path(__file__).resolve().parent / "core" / "windows.h"

LEVELS = ("scalar", "baseline")


@dataclass(frozen=True)
class Machine:
    """A compiler with its options, what runs its programs, and the levels of kernels that are due; (): any."""

    compiler: str
    options: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS
    narrow: tuple[str, ...] = LEVELS
    order: str = "<"  # of bytes
    fuses: bool = False  # whether the compiler fuses products and sums in spite of -ffp-contract=off

    def missing(self):
        """Return the first program of these that is not installed, or None."""
        return next((each for each in (self.compiler, *self.emulator[:1]) if not shutil.which(each)), None)

    def build(self, program, sources, *options):
        """Build a program for it, without shared libraries, which the emulator would look for."""
        command = self.compiler, *self.options, "-Wall", "-Werror", "-pthread", *options
        objects = [program.with_name(f"{program.name}-{source.stem}.o") for source in sources]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda source, made: compile_c(*command, "-c", source, "-o", made), sources, objects))
        compile_c(*command, "-static", *objects, "-lm", "-o", f"{program}.exe")  # which GCC for Windows adds
        os.replace(f"{program}.exe", program)


def other(triple, cpu, *options, emulator=None, **more):
    """Return a machine with Debian's cross compiler for it, and QEMU."""
    emulator = emulator or f"qemu-{triple.partition('-')[0]}"
    return Machine(f"{triple}-gcc", options, (emulator, "-cpu", cpu), **more)


ARM, RISCV, I386 = "aarch64-linux-gnu", "riscv64-linux-gnu", ("i686-linux-gnu", "-msse2", "-mfpmath=sse")
DOT, AVX2 = (*LEVELS, "baselinedot"), (*LEVELS, "avx2")
MACHINES = {
    "arm64": other(ARM, "max", narrow=DOT),
    "s390x": other("s390x-linux-gnu", "max", order=">"),
    "i386": other(I386[0], "qemu32,+sse2,-pni", *I386[1:], emulator="qemu-i386"),
    "windows": Machine("x86_64-w64-mingw32-gcc", ("-include", str(WINDOWS)), ("wine",), levels=(), narrow=()),
    "arm64-without-dot": other(ARM, "cortex-a53"),
    "arm64-with-sve": other(ARM, "max,sve512=on", "-march=armv8.2-a+sve", narrow=DOT),
    "riscv64": other(RISCV, "rv64,v=false"),
    "riscv64-with-vectors": other(RISCV, "rv64,v=true,vlen=256", "-march=rv64gcv", fuses=True),
    "ppc64le": other("powerpc64le-linux-gnu", "power9", emulator="qemu-ppc64le"),
    "i386-with-avx2": other(I386[0], "max", *I386[1:], emulator="qemu-i386", levels=AVX2, narrow=AVX2),
    "x86-64-without-sse3": Machine("gcc", (), ("qemu-x86_64", "-cpu", "qemu64,-pni")),
    "x86-64-with-avx2": Machine("gcc", (), ("qemu-x86_64", "-cpu", "max"), AVX2, AVX2),
    "musl": Machine("python-zig", ("cc", "-target", "x86_64-linux-musl"), levels=(), narrow=()),
    **{name: Machine(name, levels=(), narrow=()) for name in ("gcc", "gcc-14", "clang-14", "clang-19")},
}
IN_GATE = ("arm64", "s390x")


def machines(*optimizations, gate=IN_GATE):
    """Return cases of a machine and a compiler's optimisation; the first optimisation of those in `gate` is there."""
    cases = []
    for optimize in optimizations:
        for name, machine in MACHINES.items():
            marks = [pytest.mark.skipif(machine.missing() is not None, reason=f"without {machine.missing()}")]
            if name not in gate or optimize != optimizations[0]:
                marks.append(pytest.mark.nightly)
            cases.append(pytest.param((machine, optimize), id=f"{name}{optimize}", marks=marks))
    return cases
