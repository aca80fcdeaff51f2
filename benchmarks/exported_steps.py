"""Time a step of an exported GRU on this machine, in float32 and int8, by compiler and instruction set.

    python -m benchmarks.exported_steps                    all sizes
    python -m benchmarks.exported_steps --units 16 64      these sizes

Each cell has ns a step of float32, of int8, and int8 over float32: the fewest of several rounds, in which all programs
take turns, of a GRU of u units on u / 2 features. An instruction set that this machine does not have is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cgru
from benchmarks.microcontroller import layer

DRIVER = Path(__file__).with_suffix(".c")
BUILDS = {
    "GCC, -O2": ("gcc", "-O2"),
    "Clang, -O2": ("clang", "-O2"),
    "GCC, -O3, AVX2": ("gcc", "-O3", "-mavx2", "-mfma"),
    "GCC, -O3, this machine": ("gcc", "-O3", "-march=native"),
}
ROUNDS = 5


def main(words: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--units", type=int, nargs="+", default=[16, 24, 32, 64, 128, 256])
    units = parser.parse_args(words).units
    if min(units) < 1:
        parser.error(f"--units: expected positive integers, got {units}")
    builds = {name: build for name, build in BUILDS.items() if shutil.which(build[0])}
    print("| units |", " | ".join(builds), "|")
    print("| --: |", " | ".join("---" for _ in builds), "|")
    for u in units:
        with tempfile.TemporaryDirectory() as folder:
            cells = " | ".join(_cells(Path(folder), u, builds))
        print(f"| {u} | {cells} |", flush=True)
    return 0


def _cells(folder: Path, u: int, builds: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the cells of a line: for each build the times of float32 and int8, and their ratio."""
    programs = {}
    for kind in ("float32", "int8"):
        source = folder / kind / "model.c"
        source.parent.mkdir()
        cgru.export_c(layer(u, kind, max(u // 2, 1)), source)
        for name, build in builds.items():
            programs[name, kind] = program = source.with_name(f"program{len(programs)}")
            subprocess.run([*build, f"-I{source.parent}", DRIVER, source, "-o", program], check=True)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in programs}
    for _ in range(ROUNDS):
        for key, program in programs.items():
            done = subprocess.run([program, "5"], capture_output=True, text=True, check=False)
            times[key].append(float(done.stdout) if done.returncode == 0 else float("nan"))
    fewest = {key: min(each) for key, each in times.items()}
    pairs = ((fewest[name, "float32"], fewest[name, "int8"]) for name in builds)
    return ["-" if a != a else f"{a:,.0f}; {b:,.0f}; {b / a:.2f}" for a, b in pairs]


if __name__ == "__main__":
    sys.exit(main())
