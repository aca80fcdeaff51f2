"""Fits on executors: the bits of threads, batches of jobs, and jobs that cannot be pickled."""

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import parcel_cases as cases
import pytest
from network_cases import LABELS, LENGTHS, X, made, same, weights
from parcel_cases import METHODS, SHARED, equal, mixed, pool, small

import cgru
from cgru.many import dispatch

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


def test_a_wait_ends_now_and_then_so_that_a_ctrl_c_before_it_is_seen():
    class Late:
        def get(self, timeout):
            waited.append(timeout)
            if len(waited) < 3:
                raise queue.Empty
            return "result"

    waited = []
    assert dispatch.wait_for_next(Late()) == "result"
    assert waited == [dispatch.POLL_SECONDS] * 3


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


def test_a_network_that_was_given_stays_as_it_is(in_threads):
    net, twin = made(), made()
    (result,) = cgru.fit_many([cgru.Job(net, epochs=2)], **SHARED, executor=in_threads)
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
        def submit(self, work, message):
            sent.append(message.shared)
            os.chdir("/")
            return super().submit(work, message)

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


def test_dask_need_not_read_a_batch_to_know_it():
    seen = []

    class Seeing(ThreadPoolExecutor):
        def submit(self, work, message):
            seen.append(message.__dask_tokenize__())
            return super().submit(work, message)

    with Seeing(1) as executor:
        cgru.fit_many(small(5, cost=1), **SHARED, executor=executor)
    assert len(set(seen)) == len(seen) == 5
    assert max(map(len, seen)) < 200


def test_what_is_not_kept_does_not_travel(in_threads):
    for result in cgru.fit_many(small(3), **SHARED, executor=in_threads, keep=False):
        assert (result.network, result.history, result.scores["epochs"]) == (None, [], 1)


def test_results_that_were_left_for_us_do_not_stay(tmp_path, monkeypatch, in_threads):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = []
    jobs = small(5, cost=1)
    cgru.fit_many(jobs, **SHARED, executor=in_threads, callback=lambda _: left.append(len(list(tmp_path.glob("*/*")))))
    assert left[-1] == 0  # as it ends; the folder is still there
    assert list(tmp_path.iterdir()) == []


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


# --- batches of jobs ---


class Recorder(ThreadPoolExecutor):
    """One thread that waits a moment, while batches come in."""

    def __init__(self):
        super().__init__(1)
        self.sizes, self.waiting, self.most, self.begin = [], 0, 0, threading.Event()
        super().submit(self.begin.wait)
        self.timer = threading.Timer(0.3, self.begin.set)
        self.timer.start()

    def submit(self, work, message):
        self.sizes.append([i for i, _ in message.jobs])
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        future = super().submit(work, message)
        future.add_done_callback(self.leave)
        return future

    def leave(self, future):
        self.waiting -= 1


def sent(jobs, **given):
    """The batches of jobs, and how many were under way at most."""
    with Recorder() as executor:
        results = cgru.fit_many(jobs, executor=executor, keep=False, **given)
    assert all(isinstance(result.error, ValueError) for result in results)
    return executor.sizes, executor.most


def failing(costs):
    return [cgru.Job(made, cost=cost) for cost in costs]  # without samples, which is quick


@pytest.mark.slow
def test_batches_get_smaller_and_no_more_are_under_way_than_the_window():
    sizes, most = sent(failing([1.0] * 2000))
    assert [len(size) for size in sizes[:4]] == [31, 30, 30, 29]  # a 64th of what is left
    assert [len(size) for size in sizes[-64:]] == [1] * 64
    assert [i for size in sizes for i in size] == list(range(2000))
    assert most == dispatch.MAX_UNDER_WAY[0] < len(sizes)


def test_a_batch_is_a_share_of_the_cost_and_never_too_many():
    sizes, _ = sent(failing([1e-3] * 250 + [100.0, 5.0]))
    assert sizes[:2] == [[250], [251]]
    assert list(map(len, sizes[2:4])) == [3, 3]
    assert list(map(len, sent(failing([0.0] * 250))[0])) == [100, 100, 50]


def test_what_is_under_way_weighs_no_more_than_so_much(monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_BYTES_UNDER_WAY", 3000)
    sizes, most = sent([cgru.Job(made, X=np.zeros((2, 50, 10)), y=[1], cost=1) for _ in range(8)])
    assert len(sizes) == 8
    assert most == 1


def test_samples_that_a_pool_of_this_machine_shares_weigh_nothing(monkeypatch):
    monkeypatch.setattr(dispatch, "MAX_BYTES_UNDER_WAY", 3000)
    both = threading.Barrier(2, timeout=30)
    jobs = [cgru.Job(made, i, epochs=1) for i in range(2)]
    work = dispatch.fit_batch

    def together(message):
        both.wait()
        return work(message)

    monkeypatch.setattr(dispatch, "fit_batch", together)
    with ThreadPoolExecutor(2) as executor:
        results = cgru.fit_many(jobs, **SHARED, executor=executor)
    assert [result.error for result in results] == [None, None]
    assert X.nbytes > 3000


# --- what cannot travel ---


def test_what_cannot_be_pickled_is_refused_alone(in_threads):
    def local():
        return made()

    good = small(5)
    jobs = [cgru.Job(lambda: made(), "lambda"), cgru.Job(local, "local"), cgru.Job(cases.holding_a_lambda(), "network")]
    jobs += [cgru.Job(made, "callback", epochs=1, callback=lambda epoch: None), *good]
    results = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    for result in results[:4]:
        assert isinstance(result.error, TypeError)
        assert str(result.error).startswith(
            f"job {result.name!r}: expected what can be pickled, a function of a module"
        )
        assert "functools.partial" in str(result.error)
    assert all(result.error is None for result in results[4:])
    assert all(result.error for result in cgru.fit_many(jobs[:4], **SHARED, executor=in_threads))


def test_what_cannot_come_back_is_told_alone(in_threads):
    jobs = [cgru.Job(cases.unlike, "unlike"), cgru.Job(cases.holding_a_lambda, "network", epochs=1)]
    jobs += [cgru.Job(sys.exit, "exit"), *small(3)]
    unlike, network, ends, *others = cgru.fit_many(jobs, **SHARED, executor=in_threads)
    assert (type(unlike.error), str(unlike.error)) == (RuntimeError, "UnlikeError: no 7")
    assert isinstance(ends.error, SystemExit)
    assert isinstance(network.error, TypeError)
    assert str(network.error).startswith("network: expected what can be pickled")
    assert (network.network, network.history, network.scores["epochs"]) == (None, [], 1)
    assert all(result.error is None for result in others)
    (network,) = cgru.fit_many(jobs[1:2], **SHARED, executor=in_threads, keep=False)
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


# --- workers of another version ---


@pytest.mark.slow
@cases.posix
def test_a_worker_of_another_version_does_nothing(tmp_path):
    with cases.Elsewhere(tmp_path) as executor:
        results = cgru.fit_many(small(3, cost=1), **SHARED, executor=executor)
    assert [result.name for result in results] == [0, 1, 2]
    for result in results:
        assert isinstance(result.error, RuntimeError)
        due = rf"cgru {cgru.__version__} \(code \w+\), as here, got one with 9\.8\.7 \(code \w+\); install the same"
        assert re.search(due, str(result.error))
        assert result.scores == {}


@pytest.mark.parametrize("left", [True, False])  # in the folder for results, or returned
def test_a_worker_that_says_no_version_is_refused(monkeypatch, left):
    work = dispatch.fit_batch

    def older(message):
        _, found = work(message)
        return found if left else []

    monkeypatch.setattr(dispatch, "fit_batch", older)
    with ThreadPoolExecutor(1) as executor:
        results = cgru.fit_many(small(2), **SHARED, executor=executor)
    for result in results:
        assert isinstance(result.error, dispatch.OtherVersionError)
        assert "as here, got one with an older version" in str(result.error)


@pytest.mark.slow
@cases.posix
def test_what_workers_of_the_same_version_have_done_stays(tmp_path, monkeypatch):
    """Nothing more is sent once one of another has answered."""
    monkeypatch.setattr(dispatch, "MAX_UNDER_WAY", (3, 3, 3, 1))
    with cases.Elsewhere(tmp_path) as other:

        class Both(ThreadPoolExecutor):
            calls = 0

            def submit(self, *call):
                self.calls += 1
                return super().submit(*call) if self.calls == 1 else other.submit(*call)

        with Both(1) as executor:
            results = cgru.fit_many(small(200), **SHARED, executor=executor)
        assert 2 <= executor.calls <= 4
    done = [result for result in results if result.error is None]
    assert 0 < len(done) < 200
    assert all(isinstance(result.error, dispatch.OtherVersionError) for result in results if result not in done)


@pytest.mark.parametrize("line_ends", [b"\n", b"\r\n"])
def test_code_of_the_same_number_is_told_apart(tmp_path, monkeypatch, line_ends):
    def code(text):
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / "dispatch.py").write_bytes(text.replace(b"\n", line_ends))
        monkeypatch.setattr(dispatch, "__file__", str(tmp_path / "many" / "dispatch.py"))
        return dispatch.package.__wrapped__()

    assert code(b"a = 1\n") == code(b"a = 1\n") != code(b"a = 2\n")
    assert code(b"a = 1\n") == f"{cgru.__version__} (code {zlib.crc32(b'a = 1' + bytes([10])):08x})"


# --- what processes that were killed have left ---


@cases.posix
def test_the_folder_of_one_that_was_killed_goes_with_the_next(tmp_path, monkeypatch, in_threads):
    code = (
        "import os, signal, sys, cgru; from concurrent.futures import ThreadPoolExecutor; from network_cases import *\n"
        "def die(result): os.kill(os.getpid(), signal.SIGKILL)\n"
        "cgru.fit_many([cgru.Job(make, 0, epochs=1)], X, LABELS, executor=ThreadPoolExecutor(1), callback=die)"
    )
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    command, env = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=Path(__file__).parent, env=env, check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "cgru-other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    there = []
    cgru.fit_many(small(2), **SHARED, executor=in_threads, callback=lambda _: there.append(set(tmp_path.iterdir())))
    assert [len(each) for each in there] == [2, 2]  # its own, and what was never of this kind

    def meanwhile(_):
        cgru.fit_many(small(1), **SHARED, executor=in_threads, callback=lambda _: there.append(set(tmp_path.iterdir())))

    cgru.fit_many(small(1), **SHARED, executor=in_threads, callback=meanwhile)
    assert len(there[-1]) == 3  # that of a living one stays
    assert list(tmp_path.iterdir()) == [tmp_path / "cgru-other"]
