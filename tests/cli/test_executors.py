"""`cgru many` on other workers than its own threads: the same results, and what is not to be had."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import parcel_cases
import pytest
from cli_cases import X, Y, ended, posix, refused, run, start

import cgru
from cgru.cli import executors
from cgru.cli.arguments import RequestError, requested
from cgru.cli.executors import executor_of

PLAN = """
data = "data.npz"
validation = 0.25
seeds = 3
[network]
units = [2, 3]
[fit]
epochs = 3
"""


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def lines(path):
    """The results in a file, without the seconds that they took."""
    _, *found = map(json.loads, path.read_text().splitlines())
    return sorted(json.dumps(record | {"seconds": None}) for record in found)


def same(folder, out):
    """Whether threads find the same as what is in results.jsonl, and say the same."""
    due, _ = run("many", "plan.toml", "-q", cwd=folder)
    return out == due and lines(folder / "results.jsonl") == lines(folder / "plan.jsonl")


@pytest.mark.slow
def test_processes(folder):
    process = start("many", "plan.toml", "-q", "--results", "results.jsonl", "--processes", 2, cwd=folder)
    assert same(folder, ended(process)[0])


@pytest.mark.slow
def test_dask(folder):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options, protocol="tcp") as cluster:
        where = f"dask:{cluster.scheduler_address}"
        process = start("many", "plan.toml", "-q", "--results", "results.jsonl", "--executor", where, cwd=folder)
        assert same(folder, ended(process)[0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="no mpi4py")
def test_mpi(folder):
    command = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "cgru", "many", "plan.toml", "-q"]
    options = {"cwd": folder, "capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL}
    done = subprocess.run([*command, "--results", "results.jsonl", "--executor", "mpi"], **options)
    assert done.returncode == 0, done.stderr
    assert same(folder, done.stdout)


@posix
@pytest.mark.slow
def test_processes_end_with_a_command_that_is_killed(folder):
    (folder / "plan.toml").write_text(PLAN.replace("epochs = 3", "epochs = 1000000"))
    process = start("many", "plan.toml", "--processes", 2, cwd=folder)
    process.stderr.readline()
    found = children(process)
    while len(found) < 3:  # the pool's, and multiprocessing's own
        time.sleep(0.1)
        found = children(process)
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{child}") for child in found):
        assert time.monotonic() < end
        time.sleep(0.1)
    error = refused("many", "plan.toml", "--threads", 1, "--processes", 1, cwd=folder)
    assert error == "cgru: error: argument --processes: expected none beside --threads\n"


def children(process):
    """The processes that it has begun."""
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            return file.read().split()
    except OSError:
        pytest.skip("no /proc")


# --- what is asked for ---


def asked(*options):
    _, request = requested(["many", "plan.toml", *options])
    return executor_of(request.threads, request.processes, request.executor)


def test_threads_need_no_executor():
    for options in ((), ("--threads", "3")):
        with asked(*options) as executor:
            assert executor is None


def test_processes_are_begun_anew():
    """By fit_many, which makes a pool in the place of one that broke."""
    with asked("--processes", "3") as make:
        assert (make.func, make.args[0]) == (ProcessPoolExecutor, 3)
        assert make.args[1].get_start_method() == "spawn"


@pytest.mark.parametrize(
    "options", [("--threads", "1", "--executor", "mpi"), ("--processes", "1", "--executor", "mpi")]
)
def test_one_of_them(folder, options):
    error = refused("many", "plan.toml", *options, cwd=folder)
    assert error == f"cgru: error: argument --executor: expected none beside {options[0]}\n"


@pytest.mark.parametrize("text", ["dask", "dask:", "mpi:4", "threads", ""])
def test_executors_that_are_none(folder, text):
    error = refused("many", "plan.toml", "--executor", text, cwd=folder)
    assert f"expected dask:ADDRESS or mpi, got '{text}'" in error


@pytest.mark.parametrize(
    ("where", "module", "package"), [("dask:a", "distributed", "distributed"), ("mpi", "mpi4py.futures", "mpi4py")]
)
def test_executors_that_are_not_installed(folder, monkeypatch, where, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    error = refused("many", "plan.toml", "--executor", where, cwd=folder)
    assert error == f"cgru: error: argument --executor: {package} is not installed; pip install {package}\n"


def test_a_scheduler_that_cannot_be(folder):
    pytest.importorskip("distributed")
    assert "argument --executor: " in refused("many", "plan.toml", "--executor", "dask:no://where", cwd=folder)


def test_the_end_of_the_parent(monkeypatch):
    """What ends a worker waits for that alone."""
    calls = []

    class Parent:
        def join(self):
            calls.append("join")

    monkeypatch.setattr(executors.multiprocessing, "parent_process", Parent)
    monkeypatch.setattr(executors.os, "_exit", calls.append)
    executors._end_with_parent()
    end = time.monotonic() + 60
    while len(calls) < 2:
        assert time.monotonic() < end
    assert calls == ["join", 1]


@posix
@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(folder, monkeypatch):
    """Nothing of its is kept, so that the same command goes on with the right workers."""

    @contextlib.contextmanager
    def elsewhere(*given):
        with parcel_cases.Elsewhere(folder) as executor:
            yield executor

    with monkeypatch.context() as patch:
        patch.setattr("cgru.cli.many.executor_of", elsewhere)
        out, err = run("many", "plan.toml", "--results", "results.jsonl", cwd=folder, code=2)
    *_, error = err.splitlines()
    assert re.match(
        rf"cgru: error: executor: expected workers with cgru {cgru.__version__} \(code \w+\), as here, got one with "
        r"9\.8\.7 \(code \w+\); install the same",
        error,
    )
    assert out == ""
    assert lines(folder / "results.jsonl") == []
    assert same(folder, run("many", "plan.toml", "-q", "--results", "results.jsonl", cwd=folder)[0])


class World:
    """mpi4py with so many processes of MPI, which mpiexec has begun."""

    def __init__(self, size):
        self.COMM_WORLD = self.MPI = self
        self.Get_size = lambda: size
        self.MPIPoolExecutor = ProcessPoolExecutor


@pytest.mark.parametrize(
    ("size", "managed", "begins", "due"),
    [
        (
            1,
            False,
            None,
            "expected mpiexec on the PATH, to begin workers, got none; mpiexec -n 4 python -m mpi4py.futures",
        ),
        (1, False, "raise SystemExit(1)", "expected MPI to begin a worker within 60 s, got none; mpiexec -n 4"),
        (1, False, "", None),
        (1, True, None, None),
        (3, False, None, None),
    ],
)
def test_mpi_that_cannot_begin_workers_is_refused(monkeypatch, size, managed, begins, due):
    world = World(size)
    for name in ("mpi4py", "mpi4py.futures"):
        monkeypatch.setitem(sys.modules, name, world)
    for name in list(os.environ):
        if name.startswith(("PMI_", "PMIX_", "OMPI_")):
            monkeypatch.delenv(name)
    if managed:
        monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setattr(shutil, "which", lambda name: None if begins is None else name)
    monkeypatch.setattr(executors, "SPAWN", begins)
    if due is None:
        with asked("--executor", "mpi") as make:
            assert make is ProcessPoolExecutor
    else:
        with pytest.raises(RequestError, match=f"^argument --executor: {due}"), asked("--executor", "mpi"):
            pass


def test_mpi_that_begins_no_worker_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(executors, "SPAWN_LIMIT", 0.2)
    monkeypatch.setattr(executors, "SPAWN", "import time; time.sleep(60)")
    with pytest.raises(RequestError, match=r"expected MPI to begin a worker within 0\.2 s, got none"):
        executors._check_spawn()
