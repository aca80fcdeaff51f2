"""What was measured on, and what."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks import THREADS
from benchmarks.peak import NAMES, Peak
from benchmarks.rivals import contenders
from cgru.core import kernels

FOLDER = Path(__file__).parent


def processor() -> str:
    """The processor's name, as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit(folder: Path = FOLDER) -> str | None:
    """A checkout's commit, with `-dirty` where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def here() -> dict:
    """The machine, the instruction set in use, the commit and the day."""
    return {
        "machine": f"{processor()}, {platform.system()} {platform.machine()}",
        "instructions": kernels.level(),
        "commit": commit(),
        "date": date.today().isoformat(),
    }


def about(names: tuple[str, ...]) -> Iterator[dict]:
    """One row: machine, versions, commit, and the peak of one core in GFLOP/s, None where it cannot be measured."""
    found, missing = contenders(names)
    peak, source = None, ""
    try:
        peak = Peak()
        source = f"vectors of {peak.vector_bytes} bytes"
    except RuntimeError as error:
        source = str(error)
    yield {
        "part": "about",
        "threads": THREADS,
        **here(),
        "versions": [
            *(rival.version for rival in found if not rival.version.startswith("NumPy")),
            f"NumPy {np.__version__}",
            f"Python {platform.python_version()}",
        ],
        "contenders": {
            rival.name: {"label": rival.label(), "dtypes": rival.dtypes, "works": rival.works} for rival in found
        },
        "missing": missing,
        "peak": {dtype: peak and peak.gflops(dtype) for dtype in NAMES},
        "peak_source": source,
    }
