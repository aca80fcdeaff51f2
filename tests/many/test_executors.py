"""Fits on executors: the bits of threads, what cannot travel, workers that die, Ctrl-C, and other people's clusters."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import parcel_cases as cases
import pytest
from network_cases import LABELS, LENGTHS, X, made, same, weights
from parcel_cases import METHODS, SHARED, Killer, equal, mixed, pool, small

import cgru
from cgru.many import executors

unix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
pytestmark = pytest.mark.usefixtures("forks")


# --- the same as on threads ---


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_find_the_same_bits(due, method):
    before = cgru.get_num_threads()
    cgru.set_num_threads(2)  # and a child that is forked has none of them
    try:
        made(units=40).fit(np.repeat(X, 20, 0), np.repeat(LABELS, 20), epochs=1, batch_size=480)
        assert equal(cgru.fit_many(mixed(), **SHARED, executor=pool(method)), due)
    finally:
        cgru.set_num_threads(before)


def test_loky(due):
    loky = pytest.importorskip("joblib.externals.loky", reason="no joblib")
    with loky.ProcessPoolExecutor(2) as executor:
        assert equal(cgru.fit_many(mixed(), **SHARED, executor=executor), due)


def test_a_given_executor_stays_open_and_a_made_one_does_not(due):
    made_ones = []

    def make():
        made_ones.append(ThreadPoolExecutor(2))
        return made_ones[-1]

    with ProcessPoolExecutor(1) as executor:
        assert equal(cgru.fit_many(mixed(), **SHARED, executor=executor), due)
        assert executor.submit(os.getpid).result() != os.getpid()
    assert equal(cgru.fit_many(mixed(), **SHARED, executor=make), due)
    (executor,) = made_ones
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(os.getpid)
    assert cgru.fit_many([], executor=make) == []
    assert len(made_ones) == 1


def test_a_network_that_was_given_stays_unchanged(in_threads):
    net, twin = made(), made()
    (result,) = cgru.fit_many([cgru.Job(net, epochs=2)], **SHARED, executor=in_threads)
    twin.fit(X, LABELS, lengths=LENGTHS, epochs=2)
    assert net.history == []
    assert result.network is not net
    assert same(weights(result.network), weights(twin))
    assert result.history.loss == twin.history.loss


def test_paths_are_absolute_for_workers(tmp_path, monkeypatch, due):
    for name, value in SHARED.items():
        np.save(tmp_path / name, value)
    np.save(tmp_path / "own", LABELS)

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, *call):
            os.chdir("/")
            return super().submit(*call)

    with Elsewhere(1) as executor:
        monkeypatch.chdir(tmp_path)
        names = {name: f"{name}.npy" for name in SHARED}
        assert equal(cgru.fit_many(mixed(), **names, executor=executor), due)
        os.chdir(tmp_path)
        own = {"X": Path("X.npy"), "y": "own.npy", "lengths": LENGTHS.tolist()}
        job = cgru.Job(made(), **own, epochs=1, checkpoint="fit.npz")
        (result,) = cgru.fit_many([job], executor=executor)
    assert result.error is None
    assert (tmp_path / "fit.npz").exists()


def test_callback_and_bar(capsys):
    pytest.importorskip("tqdm")
    seen = []
    jobs = [cgru.Job(made, n, epochs=1) for n in range(4)]

    class Finished(ThreadPoolExecutor):  # all are done when the results are taken: in the order of the jobs
        def submit(self, *call):
            future = super().submit(*call)
            future.result()
            return future

    with Finished(1) as executor:
        more = {"progress": True, "callback": lambda result: seen.append((result.name, threading.current_thread()))}
        results = cgru.fit_many(jobs, **SHARED, executor=executor, keep=False, **more)
    assert seen == [(n, threading.current_thread()) for n in range(4)]
    assert [(result.name, result.network) for result in results] == [(n, None) for n in range(4)]
    assert "4/4" in capsys.readouterr().err


def test_batches_get_smaller_and_no_more_are_under_way_than_the_window(monkeypatch):
    class Recorder(ThreadPoolExecutor):
        """Keeps what is submitted until so much is under way that no more comes."""

        def submit(self, work, message):
            sizes.append([i for i, *_ in message.jobs])
            assert len({message.__dask_tokenize__(), message.__dask_tokenize__()}) == 2
            future = Future()
            waiting.append((future, partial(work, message)))
            most.append(len(waiting))
            if len(waiting) == window or sum(map(len, sizes)) == n:
                while waiting:
                    oldest, call = waiting.pop(0)
                    oldest.set_result(call())
            return future

    for n, window in ((300, executors.MAX_UNDER_WAY), (20, 1)):
        sizes, waiting, most = [], [], []
        monkeypatch.setattr(executors, "MAX_UNDER_WAY", window)
        results = cgru.fit_many([cgru.Job(made) for _ in range(n)], executor=Recorder(1), keep=False)
        assert all(isinstance(result.error, ValueError) for result in results)  # they have no samples
        assert [i for size in sizes for i in size] == list(range(n))
        assert len(sizes[0]) == max(n // 64, 1) >= len(sizes[-1]) == 1
        assert max(most) <= window


# --- what cannot travel ---


def test_what_cannot_be_pickled_is_refused_alone(in_threads):
    jobs = [cgru.Job(lambda: made(), "lambda"), cgru.Job(cases.holding_a_lambda(), "network")]
    jobs += [cgru.Job(made, "callback", epochs=1, callback=lambda epoch: None), *small(5)]
    results = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    assert [type(result.error) for result in results] == [TypeError] * 3 + [type(None)] * 5
    assert "functools.partial" in str(results[0].error)


def test_what_cannot_come_back_fails_alone(in_threads):
    jobs = [cgru.Job(cases.unlike, "unlike"), cgru.Job(cases.holding_a_lambda, "network", epochs=1)]
    jobs += [cgru.Job(sys.exit, "exit"), *small(3)]
    unlike, network, ends, *others = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    assert (type(unlike.error), str(unlike.error)) == (RuntimeError, "UnlikeError: no 7")
    assert isinstance(ends.error, SystemExit)
    assert isinstance(network.error, TypeError)
    assert (network.network, network.history, network.scores["epochs"]) == (None, [], 1)
    assert all(result.error is None for result in others)
    (network,) = cgru.fit_many(jobs[1:2], **SHARED, executor=in_threads, keep=False)
    assert network.error is None


def test_what_cannot_be_read_or_is_made_twice_fails_alone(tmp_path):
    jobs = [cgru.Job(cases.holding_here(), "there"), *(cgru.Job(cases.again, i, epochs=1) for i in range(3))]
    there, *others = cgru.fit_many(jobs, **SHARED, executor=pool(workers=1))
    assert isinstance(there.error, RuntimeError)
    assert sum(result.error is None for result in others) == 1
    np.save(tmp_path / "X", X)

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, *call):
            (tmp_path / "X.npy").unlink(missing_ok=True)
            return super().submit(*call)

    with Elsewhere(1) as executor:
        results = cgru.fit_many(small(3), tmp_path / "X.npy", LABELS, executor=executor)
    assert [(result.name, type(result.error)) for result in results] == [(i, FileNotFoundError) for i in range(3)]


# --- workers that die ---


@unix
@pytest.mark.slow
def test_a_process_that_dies_loses_nothing(tmp_path, due):
    jobs = [cgru.Job(partial(cases.die_once, tmp_path / "died"), "once", epochs=1), *mixed()]
    jobs += [cgru.Job(cases.die, name, epochs=1) for name in ("guilty", "too")]
    once, *others, guilty, too = cgru.fit_many(jobs, **SHARED, executor=pool())
    assert once.error is None
    assert equal(others, due)
    for result in (guilty, too):
        assert isinstance(result.error, RuntimeError)
        assert isinstance(result.error.__cause__, BrokenExecutor)
    store = tmp_path / "store"
    with pool()() as executor:
        results = cgru.fit_many(jobs[-2:-1] + jobs[1:-2], **SHARED, executor=executor, store=store)
    assert isinstance(results[0].error, RuntimeError)
    assert "give a function" in str(results[0].error)
    assert equal(cgru.fit_many(jobs[1:-2], **SHARED, store=store), due)  # the next call goes on


@unix
@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in METHODS if method != "forkserver"])
def test_processes_killed_at_random_moments_change_nothing(method):
    jobs = partial(mixed, 150, cases.slow)
    due = cgru.fit_many(jobs(), **SHARED)
    with Killer(cases.children, seed=os.environ.get("KILLER", "1"), times=1) as killer:
        results = cgru.fit_many(jobs(), **SHARED, executor=pool(method))
    assert killer.killed
    assert equal(results, due)


class Failing(Executor):
    """Runs what it is given at once; the first `times` calls that have a job of `guilty` end with an error."""

    def __init__(self, guilty, times, error):
        self.guilty, self.times, self.error, self.sizes = guilty, times, error, []

    def submit(self, work, message):
        future, own = Future(), {i for i, *_ in message.jobs}
        if own & self.guilty and self.times:
            self.times -= 1
            self.sizes.append(len(own))
            future.set_exception(self.error)
        else:
            future.set_result(work(message))
        return future


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_job_is_tried_twice_the_second_time_alone(times):
    """As Dask has it: a future fails, and the executor goes on."""
    executor = Failing({17}, times, ValueError("killed"))
    results = cgru.fit_many(small(60), **SHARED, executor=executor, keep=False)
    errors = {result.name: type(result.error) for result in results if result.error is not None}
    assert errors == ({17: RuntimeError} if times == 2 else {})
    assert executor.sizes[1:] == [1] * (times - 1)


@pytest.mark.parametrize("make", [False, True])
def test_executors_that_do_nothing_but_break(make):
    calls = []

    def broken():
        calls.append(1)
        return Failing(set(range(300)), -1, BrokenExecutor("broken"))

    results = cgru.fit_many(small(300), **SHARED, executor=broken if make else broken())
    assert all(isinstance(result.error, RuntimeError) for result in results)
    assert len(calls) == (executors.MAX_IDLE if make else 1)


# --- Ctrl-C ---


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_worker_returns_what_it_has(in_threads):
    jobs = [*small(3), cgru.Job(cases.interrupted, "late"), cgru.Job(made, "other")]
    with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted"):
        results = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    assert isinstance(results[3].error, KeyboardInterrupt)
    assert all(result.error is None for result in results[:3])
    with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted"):
        results = cgru.fit_many(small(3), **SHARED, executor=Failing({0, 1, 2}, -1, KeyboardInterrupt()))
    assert [str(result.error) for result in results] == ["not done"] * 3


def test_no_job_begins_that_nobody_waits_for():
    begun = threading.Event()

    def last(result):
        assert begun.wait(60)
        raise KeyboardInterrupt

    class Watched(ThreadPoolExecutor):
        def submit(self, work, message):
            return super().submit(self.work, work, message)

        def work(self, work, message):
            if len(done) == 1:
                begun.set()
                while Path(message.mark).exists():
                    pass
            done.append(work(message))
            return done[-1]

    done = []
    with Watched(1) as executor, pytest.warns(RuntimeWarning, match=r"interrupted; [12] of 5"):
        cgru.fit_many(small(5), **SHARED, executor=executor, callback=last)
    assert [len(each) for each in done] == [1, 1]  # a worker that never saw the mark runs what it has


def test_an_interrupt_returns_what_is_done_and_cancels_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *call):
            begun.append(super().submit(*call))
            return begun[-1]

    def at_five(result):
        if result.name == 5:
            raise KeyboardInterrupt

    jobs = [cgru.Job(cases.slow, n, epochs=1) for n in range(300)]
    with Counted(1) as executor:
        with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted; \d+ of 300 jobs are done"):
            results = cgru.fit_many(jobs, **SHARED, executor=executor, callback=at_five)
        assert executor.submit(os.getpid).result() == os.getpid()
    done = [result for result in results if result.error is None]
    assert 6 <= len(done) < 100
    assert all(isinstance(result.error, KeyboardInterrupt) for result in results[len(done) :])
    assert sum(future.cancelled() for future in begun) > 50
    assert list(tmp_path.iterdir()) == []


@unix
@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_a_pool_that_breaks_while_the_rest_is_cancelled_comes_to_its_end(given, monkeypatch):
    """As at a Ctrl-C that kills workers, too, while they begin; the samples fill the pipe to them.

    A slow worker may see the end of the call before the guilty job, leave that out, and do the next one, already in the
    pool's own queue: then two jobs are done.
    """
    said = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    jobs = [cgru.Job(made, "first", epochs=1), cgru.Job(cases.die_late, "guilty", epochs=1)]
    X = [[[0.0]] * 20_000] * 9
    with pool(workers=1)() as executor:
        ends = {"executor": executor if given else pool(workers=1), "callback": interrupt}
        with pytest.warns(RuntimeWarning, match="[12] of 12 jobs are done"):
            cgru.fit_many([*jobs, *small(10)], X, [0, 1, 2] * 3, **ends)
    assert not said


# --- in processes that can be ended ---

TESTS = Path(cases.__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}


@unix
@pytest.mark.slow
def test_ctrl_c_reaches_processes_too():
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "parcel_cases", "interruptible"],
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
