"""Fits on executors whose workers die, or are interrupted; and on other people's clusters."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import parcel_cases as cases
import pytest
from network_cases import LABELS, X, made
from parcel_cases import METHODS, SHARED, Killer, equal, mixed, pool, small

import cgru
from cgru.many import dispatch

unix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
pytestmark = pytest.mark.usefixtures("forks")


# --- whoever dies ---


class Fragile(Executor):
    """Runs what it is given at once, and breaks at a job whose network is to be named `guilty`.

    As with processes, all that is under way is lost with it; `beside` says how many lay beside a guilty one.
    """

    def __init__(self, guilty, beside, window=3):
        self.guilty, self.beside, self.window, self.held, self.broken = guilty, beside, window, [], False

    def submit(self, work, message):
        if self.broken:
            raise BrokenExecutor("broken")
        future = Future()
        self.held.append((future, partial(work, message), {i for i, _ in message.jobs}))
        # it runs on another thread, when so many wait or no other comes
        threading.Timer(0.02, self.run, [len(self.held)]).start()
        return future

    def run(self, count):
        if self.broken or count < len(self.held):
            return
        held, self.held = self.held, []
        if any(jobs & self.guilty for _, _, jobs in held):
            self.broken = True
            self.beside += [(tuple(sorted(jobs)), len(held)) for _, _, jobs in held if jobs & self.guilty]
            for future, _, _ in held:
                future.set_exception(BrokenExecutor("broken"))
        else:
            for future, work, _ in held:
                future.set_result(work())

    def shutdown(self, wait=True):
        assert wait != self.broken


@pytest.mark.slow
def test_a_guilty_job_is_found_and_stops_no_other():
    beside = []
    results = cgru.fit_many(small(300), **SHARED, executor=lambda: Fragile({17, 140}, beside), keep=False)
    errors = {result.name: result.error for result in results if result.error is not None}
    assert errors.keys() == {17, 140}
    for name, error in errors.items():
        assert isinstance(error, RuntimeError)
        assert str(error).startswith(
            f"job {name}: its worker died whenever it ran, at last with no other job under way"
        )
        assert isinstance(error.__cause__, BrokenExecutor)
    alone = Counter(jobs for jobs, others in beside if others == 1)
    assert alone[(17,)] == alone[(140,)] == dispatch.MAX_LOST  # it is given up only by what it does alone


def test_an_executor_that_breaks_and_was_given_says_what_to_do():
    executor = Fragile({0}, [])  # of the first batch: none has ended before it breaks
    results = cgru.fit_many(small(300), **SHARED, executor=executor)
    assert all(isinstance(result.error, RuntimeError) for result in results)
    assert str(results[7].error).startswith(
        "job 7: an executor that broke cannot go on; give a function that makes one"
    )


@pytest.mark.parametrize("end", [Future.cancel, lambda future: future.set_exception(BrokenExecutor("gone"))])
def test_a_cluster_that_is_closed_may_leave_futures_that_never_end(end):
    class Closing(Executor):
        given = 0

        def submit(self, work, *call):
            future = Future()
            self.given += 1
            if self.given == 3:
                end(future)
            if self.given == 1:
                future.set_result(work(*call))
            return future

    jobs = small(5, cost=1)
    results = cgru.fit_many(jobs, **SHARED, executor=Closing())
    assert [type(result.error) for result in results] == [type(None)] + [RuntimeError] * 4
    others = iter([Closing()])
    results = cgru.fit_many(jobs, **SHARED, executor=lambda: next(others, None) or ThreadPoolExecutor(1))
    assert [result.error for result in results] == [None] * 5


@pytest.mark.parametrize("times", [0, 1, dispatch.MAX_LOST, dispatch.MAX_LOST + 1])
def test_what_an_executor_itself_raises_may_pass(times):
    class Shaky(ThreadPoolExecutor):
        left = times

        def submit(self, work, message):
            if not self.left or message.jobs[0][0] != 1:
                return super().submit(work, message)
            self.left -= 1
            future = Future()
            future.set_exception(ValueError("not enough values to unpack"))
            return future

    with Shaky(1) as executor:
        results = cgru.fit_many(small(5, cost=1), **SHARED, executor=executor)
    assert executor.left == 0
    errors = [type(result.error) for result in results if result.error is not None]
    assert errors == ([ValueError] if times > dispatch.MAX_LOST else [])


def test_executors_that_do_nothing_but_break_come_to_an_end():
    made_ones = []

    def make():
        made_ones.append(Fragile(set(range(300)), []))
        made_ones[-1].broken = len(made_ones) % 2 == 0  # also at once
        return made_ones[-1]

    results = cgru.fit_many(small(300), **SHARED, executor=make)
    assert all(isinstance(result.error, RuntimeError) for result in results)
    assert len(made_ones) == dispatch.MAX_FRUITLESS
    assert "20 executors broke one after the other before anything was done" in str(results[0].error)


@unix
@pytest.mark.slow
def test_a_process_that_dies_loses_nothing(tmp_path, due):
    jobs = [cgru.Job(partial(cases.die_once, tmp_path / "died"), "once", epochs=1), *mixed()]
    jobs.append(cgru.Job(cases.die, "guilty", epochs=1))
    once, *others, guilty = cgru.fit_many(jobs, **SHARED, executor=pool())
    assert once.error is None
    assert equal(others, due)
    assert str(guilty.error).startswith("job 'guilty': its worker died whenever it ran")
    with pool()() as executor:
        results = cgru.fit_many(jobs[-1:] + jobs[1:-1], **SHARED, executor=executor)
    assert "give a function that makes one" in str(results[0].error)


@unix
@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in METHODS if method != "forkserver"])
def test_processes_killed_at_random_moments_change_nothing(method):
    jobs = partial(mixed, 150, cases.slow)
    due = cgru.fit_many(jobs(), **SHARED)
    with Killer(cases.children, seed=os.environ.get("KILLER", "1")) as killer:
        results = cgru.fit_many(jobs(), **SHARED, executor=pool(method))
    assert killer.killed
    assert equal(results, due)


# --- Ctrl-C ---


def test_an_interrupted_worker_says_what_it_has(in_threads):
    jobs = [*small(3, cost=1), cgru.Job(cases.interrupted, "late", cost=0.9), cgru.Job(made, "other", cost=1e-9)]
    with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted; \d of 5 jobs are done"):
        results = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    assert isinstance(results[3].error, KeyboardInterrupt)
    assert all(result.error is None for result in results[:3])
    assert results[3].scores == {}


def test_no_job_begins_that_nobody_waits_for(tmp_path):
    """At the end the folder for results goes away, as here with the second of three jobs."""
    room = tmp_path / "room"
    room.mkdir()
    makes = [made, partial(cases.removing, room), made]
    sent = [(i, pickle.dumps(cgru.Job(make, epochs=1))) for i, make in enumerate(makes)]
    message = dispatch.BatchMessage(pickle.dumps(dispatch.SharedData(X, LABELS)), sent, False, str(room / "results"))
    assert [i for i, _ in dispatch.fit_batch(message)[1]] == [0, 1]
    assert [i for i, _ in dispatch.fit_batch(message)[1]] == [0, 1, 2]  # it was never there: on another machine
    assert dispatch.fit_batch(replace(message, is_local=True))[1] == []  # it began when all was over


def test_an_interrupt_that_comes_as_an_error_is_no_result():
    class Interrupted(Executor):
        def submit(self, *call):
            future = Future()
            future.set_exception(KeyboardInterrupt())
            return future

    with pytest.warns(RuntimeWarning, match="0 of 3 jobs are done"):
        results = cgru.fit_many(small(3), **SHARED, executor=Interrupted())
    assert [str(result.error) for result in results] == ["not done"] * 3


def test_an_interrupt_waits_a_moment_for_what_is_under_way(monkeypatch):
    class Watched(ThreadPoolExecutor):
        """Whose second batch of jobs ends when it may."""

        def submit(self, work, message):
            return super().submit(self.work, work, message)

        def work(self, work, message):
            if message.jobs[0][0] == 1:
                begun.set()
                assert may_end.wait(60)
            return work(message)

    def interrupt(result):
        assert begun.wait(60)
        if grace > 1:
            threading.Timer(0.3, may_end.set).start()
        raise KeyboardInterrupt

    for grace, done in ((300.0, 2), (0.01, 1)):
        monkeypatch.setattr(dispatch, "GRACE_SECONDS", grace)
        begun, may_end = threading.Event(), threading.Event()
        with Watched(1) as executor:
            with pytest.warns(RuntimeWarning, match=f"interrupted; {done} of 3 jobs are done"):
                cgru.fit_many(small(3, cost=1), **SHARED, executor=executor, callback=interrupt)
            may_end.set()


def test_an_interrupt_returns_what_is_done_and_cancels_the_rest():
    begun = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *call):
            begun.append(super().submit(*call))
            return begun[-1]

    def interrupt(result):
        if result.name == 5:
            raise KeyboardInterrupt

    jobs = [cgru.Job(cases.slow, n, epochs=1) for n in range(300)]
    with Counted(1) as executor:
        with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted; \d+ of 300 jobs are done"):
            results = cgru.fit_many(jobs, **SHARED, executor=executor, callback=interrupt)
        assert executor.submit(os.getpid).result() == os.getpid()
    done = [result for result in results if result.error is None]
    assert 6 <= len(done) < 100
    assert all(isinstance(result.error, KeyboardInterrupt) for result in results[len(done) :])
    assert sum(future.cancelled() for future in begun) > 50


@unix
@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_a_pool_that_breaks_while_the_rest_is_cancelled_comes_to_its_end(given, monkeypatch):
    """As at a Ctrl-C that kills workers, too, while they begin; the samples fill the pipe to them."""
    said = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    jobs = [cgru.Job(made, "first", epochs=1, cost=3), cgru.Job(cases.die_late, "guilty", epochs=1, cost=2)]
    X = [[[0.0]] * 20_000] * 9
    with pool(workers=1)() as executor:
        ends = {"executor": executor if given else pool(workers=1), "callback": interrupt}
        with pytest.warns(RuntimeWarning, match="1 of 12 jobs are done"):
            cgru.fit_many([*jobs, *small(10, cost=1)], X, [0, 1, 2] * 3, **ends)
    assert not said


def test_a_second_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(dispatch, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cgru.fit_many(small(2), **SHARED, executor=InCaller(), callback=interrupt)
    assert not list(tmp_path.iterdir())


class InCaller(Executor):
    """Runs what is submitted at once: no worker writes while a folder is removed."""

    def submit(self, function, /, *arguments, **options):
        future = Future()
        future.set_result(function(*arguments, **options))
        return future


def interrupt(*_):
    raise KeyboardInterrupt


@unix
@pytest.mark.slow
def test_ctrl_c_reaches_processes_too():
    command = [sys.executable, "-W", "ignore", "-m", "parcel_cases", "interruptible"]
    with subprocess.Popen(
        command,
        cwd=TESTS,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run in the background ignores SIGINT, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    done, not_done = map(int, out.split())
    assert done + not_done == 2002, err
    assert done >= 20
    assert not_done > 1000


# --- other people's clusters, in processes that can be ended ---

TESTS = Path(cases.__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}


def ran(*command):
    done = subprocess.run(command, cwd=TESTS, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "due"),
    [
        ("equal", "equal: True\nequal: True\n"),
        pytest.param("killed", "equal: True killed: True\n", marks=[unix, pytest.mark.nightly]),
        pytest.param("guilty", "equal: True Result('guilty', error=RuntimeError(", marks=[unix, pytest.mark.nightly]),
    ],
    ids=["equal", "killed", "guilty"],
)
def test_dask(what, due):
    pytest.importorskip("distributed")
    assert ran(sys.executable, "-m", "parcel_cases", "dask", what, os.environ.get("KILLER", "1")).startswith(due)


@pytest.mark.slow
def test_mpi():
    pytest.importorskip("mpi4py", exc_type=ImportError)
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("no mpiexec")
    script = TESTS / "parcel_cases.py"
    assert ran(mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script), "mpi") == "equal: True\n"
