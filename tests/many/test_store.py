"""A folder of results: a killed call goes on, and a changed job is never answered by an old result."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, X, made, same, weights
from parcel_cases import SHARED, equal, mixed, pool, posix

import cgru
from cgru.many import store as module
from cgru.many.jobs import SharedData

TESTS = Path(__file__).parent.parent


def refused():
    raise AssertionError("run again")


@pytest.mark.parametrize("executor", [None, pool()])
def test_what_is_done_is_not_run_again(tmp_path, due, executor, monkeypatch):
    first = cgru.fit_many(mixed()[:5], **SHARED, store=tmp_path / "s", executor=executor)
    assert len(list((tmp_path / "s").iterdir())) == 5
    seen = []
    results = cgru.fit_many(mixed(), **SHARED, store=tmp_path / "s", callback=seen.append, executor=executor)
    assert equal(results, due)
    assert len(seen) == len(results)
    assert [a.seconds for a in results[:5]] == [a.seconds for a in first]
    monkeypatch.setattr("cgru.many.run.run", refused)
    renamed = [cgru.Job(job.network, i, epochs=2, rows=job.rows) for i, job in enumerate(mixed()[:5])]
    again = cgru.fit_many(renamed, **SHARED, store=tmp_path / "s")
    assert [result.name for result in again] == list(range(5))
    assert again[0].scores == due[0].scores


def test_results_of_workers_that_do_not_see_the_folder_are_stored(tmp_path):
    class Elsewhere(ThreadPoolExecutor):
        def submit(self, work, message):
            jobs = [(i, os.devnull, data) for i, _, data in message.jobs]
            return super().submit(work, replace(message, mark=str(tmp_path / "none"), jobs=jobs))

    jobs = [cgru.Job(partial(made, nothing=1), epochs=1), cgru.Job(partial(made, seed=1), epochs=1)]
    for _ in range(2):
        with Elsewhere(1) as executor:
            results = cgru.fit_many(jobs, **SHARED, store=tmp_path / "s", executor=executor)
        assert [type(result.error) for result in results] == [TypeError, type(None)]
        assert len(list((tmp_path / "s").iterdir())) == 1


def test_errors_are_not_stored(tmp_path):
    jobs = [cgru.Job(partial(made, nothing=1), epochs=1), cgru.Job(made, epochs=1)]
    for _ in range(2):
        results = cgru.fit_many(jobs, **SHARED, store=tmp_path, threads=1)
        assert [type(result.error) for result in results] == [TypeError, type(None)]
        assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_result_is_run_again_and_a_full_disk_is_an_error(tmp_path, monkeypatch):
    (first,) = cgru.fit_many([cgru.Job(made, epochs=1)], **SHARED, store=tmp_path)
    (path,) = tmp_path.iterdir()
    for content in (b"", path.read_bytes()[:-9]):
        path.write_bytes(content)
        (again,) = cgru.fit_many([cgru.Job(made, epochs=1)], **SHARED, store=tmp_path)
        assert (again.scores, same(weights(again.network), weights(first.network))) == (first.scores, True)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("cgru.many.run.write_result", full)
    with pytest.raises(OSError, match="no space"):
        cgru.fit_many([cgru.Job(made, epochs=2)], **SHARED, store=tmp_path)


MAKERS = {  # code of a module with `make`, and of a part of it that is changed
    "units": ("def make():\n    return made(units=3)\n", "units=3", "units=4"),
    "a constant": ("UNITS = 3\ndef make():\n    return made(units=UNITS)\n", "= 3", "= 4"),
    "a default": ("def make(units=3):\n    return made(units=units)\n", "=3", "=4"),
    "a function": ("def head():\n    return 3\ndef make():\n    return made(units=head())\n", "3", "4"),
    "an inner function": ("U = 3\ndef make():\n    return (lambda: [made(units=U) for _ in 'a'][0])()\n", "3", "4"),
    "itself": ("def make(n=1):\n    return make(0) if n else made(units=3)\n", "units=3", "units=4"),
    "a closure": ("def outer(n):\n    return lambda: made(units=n)\nmake = outer(3)\n", "3)", "4)"),
    "a method": ("class A:\n    def __call__(self):\n        return made(units=3)\nmake = A()\n", "3", "4"),
    "a base class": (
        "class B:\n    units = 3\nclass A(B):\n    def __call__(self):\n        return made(units=self.units)\n"
        "make = A()\n",
        "3",
        "4",
    ),
    "a partial": ("from functools import partial\nmake = partial(made, units=3)\n", "3", "4"),
}


def key(folder, job, X=X, y=LABELS, keep=True):
    return module.Store(folder, SharedData(X, y, LENGTHS).opened(), keep).path(job)


@pytest.mark.parametrize("what", MAKERS)
def test_another_function_is_another_job(tmp_path, monkeypatch, what):
    monkeypatch.syspath_prepend(str(tmp_path))
    code, old, new = MAKERS[what]
    keys = []
    for text in (code, code, code.replace(old, new), "# moved\n" + code):
        (tmp_path / "own_maker.py").write_text("from network_cases import made\n" + text)
        namespace = {"__name__": "own_maker", "__file__": str(tmp_path / "own_maker.py")}
        sys.modules["own_maker"] = type(sys)("own_maker")
        vars(sys.modules["own_maker"]).update(namespace)
        exec(compile((tmp_path / "own_maker.py").read_text(), "own_maker.py", "exec"), vars(sys.modules["own_maker"]))
        module._is_of_user.cache_clear()
        keys.append(key(tmp_path, cgru.Job(sys.modules["own_maker"].make, epochs=1)))
    del sys.modules["own_maker"]
    assert keys[0] == keys[1] == keys[3] != keys[2]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"rows": range(20)},
        {"rows": range(12), "test_rows": range(12, 20)},
        {"penalties": cgru.Penalties({"0.V*": 1e-3})},
        {"X": X + 1e-9, "y": LABELS},
        {"metrics": {"a": lambda y, A: 0.0}},
        {"network": made(seed=2)},
        {"network": made(units=3)},
        {"network": made(cgru.Dense(3, cgru.softmax), optimizer=cgru.Adam(1e-2))},
    ],
    ids=lambda change: "-".join(change),
)
def test_another_job_is_run(tmp_path, change):
    job = {"network": made(), "epochs": 1}
    assert key(tmp_path, cgru.Job(**job)) == key(tmp_path, cgru.Job(**job, name="renamed"))
    assert key(tmp_path, cgru.Job(**job)) != key(tmp_path, cgru.Job(**job | change))


def test_other_data_or_version_is_another_call(tmp_path, monkeypatch):
    job = cgru.Job(made, epochs=1)
    due = key(tmp_path, job)
    assert key(tmp_path, job, X.copy(), LABELS.tolist()) == due
    np.save(tmp_path / "X.npy", X)
    assert key(tmp_path, job, tmp_path / "X.npy") == due
    others = [key(tmp_path, job, X + 1), key(tmp_path, job, X.astype(np.float32)), key(tmp_path, job, y=LABELS[::-1])]
    others.append(key(tmp_path, job, keep=False))
    monkeypatch.setattr(module, "__version__", "another")
    assert len({due, *others, key(tmp_path, job)}) == 6


def test_a_job_whose_content_cannot_be_read_is_refused(tmp_path):
    with open(os.devnull) as file:
        jobs = [cgru.Job(partial(made, file), epochs=1)]
        with refuses(TypeError, "store"):
            cgru.fit_many(jobs, **SHARED, store=tmp_path)


SCRIPT = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from network_cases import LABELS, LENGTHS, M, X, make
import cgru

def slow(seed):
    time.sleep(0.02)
    return make(2, seed)

def main():
    executor = partial(ProcessPoolExecutor, 2) if sys.argv[1] == "processes" else None
    jobs = [cgru.Job(partial(slow, seed), seed, epochs=2, callback=None) for seed in range(60)]
    results = cgru.fit_many(jobs, X, LABELS, lengths=LENGTHS, executor=executor, store="store")
    print(*(result.scores["loss"] for result in results))

if __name__ == "__main__":
    main()
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("where", ["threads", "processes"])
def test_a_call_that_is_killed_goes_on(tmp_path, where):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    command = [sys.executable, "script.py", where]
    there = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}

    def stored():
        names = [path.name for path in (tmp_path / "store").glob("*")] if (tmp_path / "store").exists() else []
        return {name for name in names if "." not in name}

    before = set()
    for count in (3, 20):
        process = subprocess.Popen(command, **there)
        try:
            while len(stored()) < count:
                assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert before <= stored()
        before = stored()
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert len(stored()) == 60  # no job was stored under two keys
    jobs = [cgru.Job(partial(__import__("network_cases").make, 2, seed), seed, epochs=2) for seed in range(60)]
    due = cgru.fit_many(jobs, X, LABELS, lengths=LENGTHS)
    assert done.stdout.split() == [str(result.scores["loss"]) for result in due]
