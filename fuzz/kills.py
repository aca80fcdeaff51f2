"""`cgru many` whose processes are killed at random moments, against the same plan run through.

It runs on threads, on processes, on Dask and under MPI, as far as these are installed. A command that was killed is
started again, as its users do.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from fuzz.networks import Dice

LATE = 60.0  # seconds for a command to end of itself
WORKERS = 2  # kills of workers in a case: more may cost a job its last try


def plan(dice: Dice, folder: Path) -> None:
    """Write a plan and its data."""
    m, s, e = dice.number(12, 40), dice.number(1, 9), dice.number(1, 4)
    np.savez(folder / "data.npz", x=dice.normal(m, s, e), y=np.arange(m) % 2)
    split = dice.among("validation = 0.25", "folds = 3\nvalidation = 0.25", "folds = 2\ninner_folds = 2")
    units = sorted({dice.number(1, 20) for _ in range(dice.number(1, 3))})
    (folder / "plan.toml").write_text(
        f'data = "data.npz"\n{split}\nseeds = {dice.number(1, 3)}\n'
        f"[network]\nunits = {units}\nbidirectional = {str(dice.chance(0.3)).lower()}\n"
        f"[fit]\nepochs = {dice.number(1, 300)}\n"
    )


@cache
def mpi() -> list[str]:
    """Return the beginning of a command under MPI, or nothing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which("mpiexec", path=path) if importlib.util.find_spec("mpi4py") else None
    return [found, "-n", "3", sys.executable, "-m", "mpi4py.futures"] if found else []


@cache
def dask() -> str:
    """Return the address of a cluster of two processes on this machine, made once."""
    from distributed import LocalCluster

    return LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp").scheduler_address


def start(folder: Path, way: str, results: str) -> subprocess.Popen:
    """Start the command in a session of its own."""
    before, after = [sys.executable], ["--threads", "2"]
    if way == "processes":
        after = ["--processes", "2"]
    elif way == "dask":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            after = ["--executor", f"dask:{dask()}"]
    elif way == "mpi":
        before, after = mpi(), ["--executor", "mpi"]
    command = [*before, "-m", "cgru", "many", "plan.toml", "-q", "--results", results, *after]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, text=True, start_new_session=True, **pipes)


def ended(process: subprocess.Popen) -> str:
    """Return what the command printed, once it has ended of itself."""
    out, err = process.communicate(timeout=LATE)
    assert process.returncode == 0, err
    assert "Traceback" not in err, err
    return out


def workers(process: subprocess.Popen) -> list[int]:
    """Return the processes that a process has begun, as Linux tells."""
    try:
        return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def records(path: Path) -> dict[str, dict]:
    """Return the results of a file by their names, without the seconds that they took; each is there once."""
    _, *found = map(json.loads, path.read_text().splitlines())
    by_name = {record["name"]: {**record, "seconds": 0} for record in found if record["error"] is None}
    assert len(by_name) == sum(record["error"] is None for record in found), "a result twice"
    return by_name


@contextlib.contextmanager
def stopped(process: subprocess.Popen) -> Iterator[None]:
    """Kill in the end all that the command has left."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def case(seed: int) -> str:
    """Kill a command and its workers some times, let it end, and compare; return on what it ran."""
    dice = Dice(seed)
    has = {"threads": True, "processes": True, "mpi": mpi(), "dask": importlib.util.find_spec("distributed")}
    way, left = dice.among(*(way for way in has if has[way])), WORKERS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan(dice, folder)
        process = start(folder, "threads", "due.jsonl")
        with stopped(process):
            due = ended(process)
        done = 0
        for _ in range(dice.number(1, 3)):
            process = start(folder, way, "plan.jsonl")
            with stopped(process):
                time.sleep(dice.rng.uniform(0, 1))
                while left and way == "processes" and dice.chance() and (alive := workers(process)):
                    left -= 1
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(dice.among(*alive), signal.SIGKILL)
                    time.sleep(dice.rng.uniform(0, 0.5))
            path = folder / "plan.jsonl"
            lines = path.read_bytes().count(b"\n") if path.exists() else 0
            assert lines >= done, "a result is lost"
            done = lines
        process = start(folder, way, "plan.jsonl")
        with stopped(process):
            assert ended(process) == due
        assert records(folder / "plan.jsonl") == records(folder / "due.jsonl")
    return way
