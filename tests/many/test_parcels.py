"""Fits on executors: the bits of threads, whatever cannot travel, and whoever dies."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import parcel_cases as cases
import pytest
from network_cases import LABELS, LENGTHS, X, made, same, weights
from parcel_cases import SHARED, Killer, equal, mixed

import cgru
from cgru.many import parcels

METHODS = multiprocessing.get_all_start_methods()
unix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")


@pytest.fixture(scope="module")
def due():
    return cgru.fit_many(mixed(), **SHARED)


@pytest.fixture(scope="module")
def threads():
    """An executor without processes, which is quick."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def pool(method=METHODS[0], workers=2):
    """A function that makes one."""
    return partial(ProcessPoolExecutor, workers, mp_context=multiprocessing.get_context(method))


def small(n, **options):
    return [cgru.Job(partial(made, seed=i), i, epochs=1, **options) for i in range(n)]


@pytest.fixture(autouse=True)
def _forks():
    with warnings.catch_warnings():  # Python may say that a fork beside threads is unsafe, which the pool has seen to
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        yield


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


def test_a_network_that_was_given_stays_as_it_is(threads):
    net, twin = made(), made()
    (result,) = cgru.fit_many([cgru.Job(net, epochs=2)], **SHARED, executor=threads)
    twin.fit(X, LABELS, lengths=LENGTHS, epochs=2)
    assert net.history == []
    assert result.network is not net
    assert same(weights(result.network), weights(twin))
    assert result.network.history.loss == result.history.loss == twin.history.loss
    result.network.fit(X, LABELS, lengths=LENGTHS, epochs=1)  # goes on
    twin.fit(X, LABELS, lengths=LENGTHS, epochs=1)
    assert same(weights(result.network), weights(twin))


def test_files_travel_by_their_whole_names(tmp_path, monkeypatch, due):
    for name, value in SHARED.items():
        np.save(tmp_path / name, value)
    np.save(tmp_path / "own", LABELS)
    monkeypatch.chdir(tmp_path)
    sent = []

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, work, letter):
            sent.append(letter.shared)
            os.chdir("/")
            return super().submit(work, letter)

    with Elsewhere(1) as executor:
        names = {name: f"{name}.npy" for name in SHARED}
        assert equal(cgru.fit_many(mixed(), **names, executor=executor), due)
        monkeypatch.chdir(tmp_path)
        own = cgru.Job(made(), X=Path("X.npy"), y="own.npy", lengths=LENGTHS.tolist(), epochs=1)
        (result,) = cgru.fit_many([own], executor=executor)
        assert result.error is None
    assert max(map(len, sent)) < X.nbytes


def test_checkpoints_are_where_they_are_expected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = cgru.Job(made(), epochs=1, checkpoint="fit.npz")

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, *call):
            os.chdir("/")
            return super().submit(*call)

    with Elsewhere(1) as executor:
        (result,) = cgru.fit_many([job], **SHARED, executor=executor)
    assert result.error is None
    assert (tmp_path / "fit.npz").exists()
    assert job.options["checkpoint"] == "fit.npz"


def test_dask_need_not_read_a_parcel_to_know_it():
    seen = []

    class Seeing(ThreadPoolExecutor):
        def submit(self, work, letter):
            seen.append(letter.__dask_tokenize__())
            return super().submit(work, letter)

    with Seeing(1) as executor:
        cgru.fit_many(small(5, cost=1), **SHARED, executor=executor)
    assert len(set(seen)) == len(seen) == 5
    assert max(map(len, seen)) < 200


def test_what_is_not_kept_does_not_travel(threads):
    for result in cgru.fit_many(small(3), **SHARED, executor=threads, keep=False):
        assert (result.network, result.history, result.scores["epochs"]) == (None, [], 1)


def test_callback_and_bar_and_the_longest_first(capsys):
    pytest.importorskip("tqdm")
    told = []
    jobs = [cgru.Job(made, n, epochs=1, cost=n) for n in (3, 1, 4, 2)]
    with ThreadPoolExecutor(1) as executor:
        results = cgru.fit_many(
            jobs,
            **SHARED,
            executor=executor,
            progress=True,
            callback=lambda result: told.append((result.name, threading.current_thread())),
        )
    assert told == [(n, threading.current_thread()) for n in (4, 3, 2, 1)]
    assert [result.name for result in results] == [3, 1, 4, 2]
    assert "4/4" in capsys.readouterr().err


# --- parcels ---


class Recorder(ThreadPoolExecutor):
    """One thread that waits a moment, while parcels come in."""

    def __init__(self):
        super().__init__(1)
        self.sizes, self.waiting, self.most, self.begin = [], 0, 0, threading.Event()
        super().submit(self.begin.wait)
        self.timer = threading.Timer(0.3, self.begin.set)
        self.timer.start()

    def submit(self, work, letter):
        self.sizes.append([i for i, _ in letter.jobs])
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        future = super().submit(work, letter)
        future.add_done_callback(self.leave)
        return future

    def leave(self, future):
        self.waiting -= 1


def sent(jobs, **given):
    """The parcels, and how many were under way at most."""
    with Recorder() as executor:
        results = cgru.fit_many(jobs, executor=executor, keep=False, **given)
    assert all(isinstance(result.error, ValueError) for result in results)
    return executor.sizes, executor.most


def failing(costs):
    return [cgru.Job(made, cost=cost) for cost in costs]  # without samples, which is quick


def test_parcels_get_smaller_and_no_more_are_under_way_than_the_window():
    sizes, most = sent(failing([1.0] * 2000))
    assert [len(size) for size in sizes[:4]] == [31, 30, 30, 29]  # a 64th of what is left
    assert [len(size) for size in sizes[-64:]] == [1] * 64
    assert [i for size in sizes for i in size] == list(range(2000))
    assert most == parcels.WINDOWS[0] < len(sizes)


def test_a_parcel_is_a_share_of_the_cost_and_never_too_many():
    sizes, _ = sent(failing([1e-3] * 250 + [100.0, 5.0]))
    assert sizes[:2] == [[250], [251]]
    assert list(map(len, sizes[2:4])) == [3, 3]
    assert list(map(len, sent(failing([0.0] * 250))[0])) == [100, 100, 50]


def test_what_is_under_way_weighs_no_more_than_so_much(monkeypatch):
    monkeypatch.setattr(parcels, "WEIGHT", 3000)
    sizes, most = sent([cgru.Job(made, X=np.zeros((2, 50, 10)), y=[1], cost=1) for _ in range(8)])
    assert len(sizes) == 8
    assert most == 1


def test_samples_that_a_pool_of_this_machine_shares_weigh_nothing(monkeypatch):
    monkeypatch.setattr(parcels, "WEIGHT", 3000)
    both = threading.Barrier(2, timeout=30)
    jobs = [cgru.Job(made, i, epochs=1) for i in range(2)]
    work = parcels.fit_parcel

    def together(letter):
        both.wait()
        return work(letter)

    monkeypatch.setattr(parcels, "fit_parcel", together)
    with ThreadPoolExecutor(2) as executor:
        results = cgru.fit_many(jobs, **SHARED, executor=executor)
    assert [result.error for result in results] == [None, None]
    assert X.nbytes > 3000


# --- what cannot travel ---


def test_what_cannot_be_pickled_is_refused_alone(threads):
    def local():
        return made()

    good = small(5)
    jobs = [cgru.Job(lambda: made(), "lambda"), cgru.Job(local, "local"), cgru.Job(cases.holding_a_lambda(), "network")]
    jobs += [cgru.Job(made, "callback", epochs=1, callback=lambda epoch: None), *good]
    results = cgru.fit_many(jobs, **SHARED, executor=threads)
    for result in results[:4]:
        assert isinstance(result.error, TypeError)
        assert str(result.error).startswith(
            f"job {result.name!r}: expected what can be pickled, a function of a module"
        )
        assert "functools.partial" in str(result.error)
    assert all(result.error is None for result in results[4:])
    assert all(result.error for result in cgru.fit_many(jobs[:4], **SHARED, executor=threads))


def test_what_cannot_come_back_is_told_alone(threads):
    jobs = [cgru.Job(cases.unlike, "unlike"), cgru.Job(cases.holding_a_lambda, "network", epochs=1)]
    jobs += [cgru.Job(sys.exit, "exit"), *small(3)]
    unlike, network, ends, *others = cgru.fit_many(jobs, **SHARED, executor=threads)
    assert (type(unlike.error), str(unlike.error)) == (RuntimeError, "UnlikeError: no 7")
    assert isinstance(ends.error, SystemExit)
    assert isinstance(network.error, TypeError)
    assert str(network.error).startswith("network: expected what can be pickled")
    assert (network.network, network.history, network.scores["epochs"]) == (None, [], 1)
    assert all(result.error is None for result in others)
    (network,) = cgru.fit_many(jobs[1:2], **SHARED, executor=threads, keep=False)
    assert network.error is None


def test_a_network_that_a_worker_makes_twice():
    results = cgru.fit_many([cgru.Job(cases.again, i, epochs=1) for i in range(3)], **SHARED, executor=pool(workers=1))
    first, *others = sorted(results, key=lambda result: result.error is not None)
    assert first.error is None
    for result in others:
        assert str(result.error).startswith("network: expected a function that makes another Network each time")


def test_what_cannot_be_read_is_told_alone():
    net = cases.holding_here()
    jobs = [cgru.Job(net, "there"), cgru.Job(cases.holding_here, "here", epochs=1), *small(3)]
    there, here, *others = cgru.fit_many(jobs, **SHARED, executor=pool(workers=1))
    assert str(there.error) == (
        "expected functions and classes of modules that the worker can import, got ValueError: foreign"
    )
    assert str(here.error) == "expected a result whose classes can be imported here, got ValueError: foreign"
    assert isinstance(there.error, RuntimeError)
    assert isinstance(here.error, RuntimeError)
    assert (there.name, here.name) == ("there", "here")
    assert all(result.error is None for result in others)


def test_a_file_that_a_worker_does_not_find_is_told_by_all_results(tmp_path):
    class Elsewhere(ThreadPoolExecutor):
        def submit(self, *call):
            (tmp_path / "X.npy").unlink(missing_ok=True)
            return super().submit(*call)

    np.save(tmp_path / "X", X)
    with Elsewhere(1) as executor:
        results = cgru.fit_many(small(3), tmp_path / "X.npy", LABELS, executor=executor)
    assert [(result.name, type(result.error)) for result in results] == [(i, FileNotFoundError) for i in range(3)]


# --- whoever dies ---


class Fragile(Executor):
    """Runs what it is given at once, and breaks at a job whose network is to be named `guilty`.

    As with processes, all that is under way is lost with it; `beside` says how many lay beside a guilty one.
    """

    def __init__(self, guilty, beside, window=3):
        self.guilty, self.beside, self.window, self.held, self.broken = guilty, beside, window, [], False

    def submit(self, work, letter):
        if self.broken:
            raise BrokenExecutor("broken")
        future = Future()
        self.held.append((future, partial(work, letter), {i for i, _ in letter.jobs}))
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
    assert alone[(17,)] == alone[(140,)] == parcels.LOST  # it is given up only by what it does alone


def test_an_executor_that_breaks_and_was_given_says_what_to_do():
    executor = Fragile({5}, [])
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


@pytest.mark.parametrize("times", [0, 1, parcels.LOST, parcels.LOST + 1])
def test_what_an_executor_itself_raises_may_pass(times):
    class Shaky(ThreadPoolExecutor):
        left = times

        def submit(self, work, letter):
            if not self.left or letter.jobs[0][0] != 1:
                return super().submit(work, letter)
            self.left -= 1
            future = Future()
            future.set_exception(ValueError("not enough values to unpack"))
            return future

    with Shaky(1) as executor:
        results = cgru.fit_many(small(5, cost=1), **SHARED, executor=executor)
    assert executor.left == 0
    errors = [type(result.error) for result in results if result.error is not None]
    assert errors == ([ValueError] if times > parcels.LOST else [])


def test_executors_that_do_nothing_but_break_come_to_an_end():
    made_ones = []

    def make():
        made_ones.append(Fragile(set(range(300)), []))
        made_ones[-1].broken = len(made_ones) % 2 == 0  # also at once
        return made_ones[-1]

    results = cgru.fit_many(small(300), **SHARED, executor=make)
    assert all(isinstance(result.error, RuntimeError) for result in results)
    assert len(made_ones) == parcels.FRUITLESS
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


def test_an_interrupted_worker_says_what_it_has(threads):
    jobs = [*small(3, cost=1), cgru.Job(cases.interrupted, "late", cost=0.9), cgru.Job(made, "other", cost=1e-9)]
    with pytest.warns(RuntimeWarning, match=r"fit_many: interrupted; \d of 5 jobs are done"):
        results = cgru.fit_many(jobs, **SHARED, executor=threads)
    assert isinstance(results[3].error, KeyboardInterrupt)
    assert all(result.error is None for result in results[:3])
    assert results[3].scores == {}


def test_no_job_begins_that_nobody_waits_for(tmp_path):
    """At the end the folder for results goes away, as here with the second of three jobs."""
    room = tmp_path / "room"
    room.mkdir()
    makes = [made, partial(cases.removing, room), made]
    sent = [(i, pickle.dumps(cgru.Job(make, epochs=1))) for i, make in enumerate(makes)]
    letter = parcels.Letter(pickle.dumps(parcels.Samples(X, LABELS)), sent, False, str(room / "results"))
    assert [i for i, _ in parcels.fit_parcel(letter)] == [0, 1]
    assert [i for i, _ in parcels.fit_parcel(letter)] == [0, 1, 2]  # it was never there: on another machine


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
    def interrupted(grace):
        monkeypatch.setattr(parcels, "GRACE", grace)
        jobs = [cgru.Job(made, "first", epochs=1, cost=10), cgru.Job(cases.slower, "second", epochs=1, cost=1)]
        jobs.append(cgru.Job(made, "third", epochs=1, cost=0.1))
        with ThreadPoolExecutor(1) as executor:
            start = time.perf_counter()
            with pytest.warns(RuntimeWarning, match="interrupted"):
                results = cgru.fit_many(jobs, **SHARED, executor=executor, callback=interrupt)
            return [type(result.error) for result in results], time.perf_counter() - start

    def interrupt(result):
        time.sleep(0.05)  # so that the second has begun
        raise KeyboardInterrupt

    done, seconds = interrupted(20.0)
    assert done == [type(None), type(None), KeyboardInterrupt]
    assert seconds < 10
    done, seconds = interrupted(0.01)
    assert done == [type(None), KeyboardInterrupt, KeyboardInterrupt]
    assert seconds < 0.9


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
            threading.Event().wait(1)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    done, not_done = map(int, out.split())
    assert done + not_done == 2002, err
    assert done > 10
    assert not_done > 1000


# --- what is refused ---


@pytest.mark.parametrize(
    ("given", "error", "due"),
    [
        ({"executor": 3}, TypeError, "executor: expected an Executor or a function that makes one, got int"),
        ({"executor": dict}, TypeError, "executor: expected a function that makes an Executor, got dict of it"),
        ({"executor": pool(), "threads": 2}, ValueError, "threads: expected None beside executor, got 2"),
    ],
)
def test_refused(given, error, due):
    with pytest.raises(error, match=f"^{due}$"):
        cgru.fit_many(small(1), **SHARED, **given)


# --- other people's clusters, in processes that can be ended ---

TESTS = Path(cases.__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}


def ran(*command):
    done = subprocess.run(command, cwd=TESTS, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "due"),
    [
        ("equal", "equal: True\nequal: True\n"),
        pytest.param("killed", "equal: True killed: True\n", marks=unix),
        pytest.param("guilty", "equal: True Result('guilty', error=RuntimeError(", marks=unix),
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
