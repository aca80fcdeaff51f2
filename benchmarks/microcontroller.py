"""Count the instructions that a step of an exported GRU takes on a Cortex-M4 and a Cortex-M0, as QEMU imitates them.

    python -m benchmarks.microcontroller            all sizes
    python -m benchmarks.microcontroller --quick    one size a board, in a few seconds

Needs arm-none-eabi-gcc with newlib and qemu-system-arm (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi
qemu-system-arm). QEMU takes one nanosecond for an instruction (`-icount shift=0`), so that SysTick counts them: over
100 steps, of a GRU of u units on 8 features. It ends with 1 if a goal is missed.

`before` is what this command counted for commit 98ce2b83. `goal` is, for float32, a share of that; for int8 it is 0.9
of what the same GRU takes when it is built from the int8 functions of CMSIS-NN (arm_fully_connected_s8 and the
elementwise functions, same compiler and options): 4,299, 8,627, 13,570, 19,233 and 49,085 instructions at 8, 16, 24, 32
and 64 units on a Cortex-M4, counted once, outside of this tree.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cgru

FEATURES, STEPS = 8, 100
UNITS = (8, 16, 24, 32, 64)
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
DRIVER = Path(__file__).with_suffix(".c")
LINKED = """\
ENTRY(reset)
SECTIONS {
    .text 0 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
    .data 0x20000000 : { *(.data*) *(.bss*) *(COMMON) }
    stack_top = %d;
    /DISCARD/ : { *(.ARM.exidx*) *(.ARM.extab*) }
}
"""


@dataclass(frozen=True)
class Board:
    """A board of QEMU: its name there, the compiler's options, bytes of memory, and MHz of the clock of SysTick."""

    machine: str
    options: tuple[str, ...]
    memory: int
    clock: int


BOARDS = {
    "M4": Board("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard"), 1 << 20, 25),
    "M0": Board("microbit", ("-mcpu=cortex-m0", "-mfloat-abi=soft"), 16 << 10, 16),
}
BEFORE = {
    ("M4", "float32"): (8_986, 11_415, 28_887, 34_060, 109_312),
    ("M4", "int8"): (3_794, 8_533, 14_163, 20_833, 58_213),
}
GOALS = {
    ("M4", "float32"): (0.58 * 8_986, 0.55 * 11_415, 0.5 * 28_887, 0.48 * 34_060, 0.44 * 109_312),
    ("M4", "int8"): tuple(0.9 * parts for parts in (4_299, 8_627, 13_570, 19_233, 49_085)),
    ("M4", "int16"): (np.nan, np.nan, np.nan, 0.7 * 21_799, np.nan),
    ("M0", "int16"): (np.nan, np.nan, np.nan, min(1_073_637 / 20, 408_934 / 8), np.nan),
}


@dataclass(frozen=True)
class Cost:
    """What a step takes: instructions, and bytes of stack; and bytes of the state."""

    instructions: float
    stack: int
    state: int


def measured(source: Path, board: Board) -> Cost:
    """Return the cost of a step of the exported model `source`, a path that ends in model.c, on a board."""
    folder = source.parent
    (folder / "board.ld").write_text(LINKED % (0x20000000 + board.memory))
    program, options = folder / "board.elf", ("-std=gnu99", "-mthumb", "-O2", *board.options)
    for kind in re.findall(r"(\w+) \*y\);", source.with_suffix(".h").read_text(encoding="utf-8"))[:1]:
        options = *options, f"-DNUMBER={kind}"
    linked = ("-nostartfiles", "-T", folder / "board.ld", "-Wl,--no-warn-rwx-segments")
    _run(COMPILER, *options, f"-I{folder}", DRIVER, source, *linked, "-o", program)
    command = EMULATOR, "-M", board.machine, "-nographic", "-icount", "shift=0"
    printed = _run(*command, "-semihosting-config", "enable=on,target=native", "-kernel", program)
    ticks, stack, state = map(int, printed.split())
    return Cost(ticks * 1000 / board.clock / STEPS, stack, state)


def _run(*command: object) -> str:
    """Return what a command prints, QEMU to stderr; RuntimeError with that if it fails."""
    words = [*map(str, command)]
    none, both = subprocess.DEVNULL, {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(words, **both, stdin=none, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stdout.strip()}")
    return done.stdout


def layer(units: int, kind: str, e: int = FEATURES) -> cgru.Network:
    """Return a GRU of `units` on `e` features with "float32" or "int8" weights; "int16": of integers alone."""
    gru = cgru.GRU(units, sequences=False, dtype=np.float32, rng=0)
    X = np.random.default_rng(0).uniform(-1, 1, (4, 9, e)).astype(np.float32)
    gru.predict(X)
    if kind == "float32":
        return gru
    options = {"activations": "int16", "calibration": X} if kind == "int16" else {}
    return cgru.quantize(cgru.Network([gru], seed=0), **options).layers[0]


def table(sizes: tuple[int, ...], boards: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Return the lines of the table, and whether each of them meets its goal."""
    yield "| board | weights | units | before | now | now / before | goal | now / goal | stack | state |", True
    yield "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |", True
    for board in boards:
        for kind in ("float32", "int8", "int16"):
            for units in sizes:
                with tempfile.TemporaryDirectory() as folder:
                    cgru.export_c(layer(units, kind), Path(folder, "model.c"))
                    cost = measured(Path(folder, "model.c"), BOARDS[board])
                before, goal = (found.get((board, kind), [np.nan] * 5)[UNITS.index(units)] for found in (BEFORE, GOALS))
                numbers = f"{before:,.0f} | {cost.instructions:,.0f} | {cost.instructions / before:.2f}"
                numbers += f" | {goal:,.0f} | {cost.instructions / goal:.2f}"
                numbers += f" | {cost.stack:,} | {cost.state:,} |"
                yield (
                    f"| {board} | {kind} | {units} | {numbers}".replace("nan", "-"),
                    not cost.instructions > goal,
                )


def main(words: list[str] | None = None) -> int:
    """Print the table; return 1 if a goal is missed or a tool is not there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 units alone")
    quick = parser.parse_args(words).quick
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
        print(f"{' and '.join(missing)}: not found; Debian: apt-get install {packages}", file=sys.stderr)
        return 1
    met = True
    for line, good in table((16,) if quick else UNITS, tuple(BOARDS)):
        print(line, flush=True)
        met &= good
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
