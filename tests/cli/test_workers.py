"""`cgru many` on other workers than its own threads: the same results, and what is not to be had."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from cli_cases import X, Y, ended, posix, refused, run, start

from cgru.cli import workers
from cgru.cli.arguments import parser
from cgru.cli.workers import executor_of

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
    return executor_of(parser().parse_args(["many", "plan.toml", *options]))


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

    monkeypatch.setattr(workers.multiprocessing, "parent_process", Parent)
    monkeypatch.setattr(workers.os, "_exit", calls.append)
    workers._end_with_parent()
    end = time.monotonic() + 60
    while len(calls) < 2:
        assert time.monotonic() < end
    assert calls == ["join", 1]
