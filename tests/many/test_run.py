"""Many fits in one call: the same as one after another, whatever the threads."""

import copy
import os
import signal
import sys
import threading
from functools import partial

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, X, made, same, weights

import cgru
from cgru import DivergenceError

STEPS = np.random.default_rng(1).integers(0, 2, X.shape[:2])


def mixed():
    """Jobs of all kinds, and for each what its network comes to alone."""
    own = {"X": X[:, :4], "y": REALS}

    def tagger():
        return cgru.Network([cgru.Bidirectional(cgru.GRU(3, sequences=True)), cgru.Dense(2, "softmax")], seed=4)

    def own_loss():  # which trains in Python
        return made(cgru.Dense(2, "identity"), loss=lambda A, Y: (np.abs(A - Y).sum(axis=1), np.sign(A - Y)))

    shared = {"lengths": LENGTHS}
    return [
        (made(units=1), {"epochs": 4}, (X, LABELS), shared),
        (
            made(units=7, seed=2),
            {"epochs": 2, "penalties": cgru.Penalties(0, 0.01), "batch_size": 5},
            (X, LABELS),
            shared,
        ),
        (made(units=20, seed=3), {"epochs": 3, "validation": 0.25, "patience": 1}, (X, LABELS), shared),
        (made(cgru.Dense(3, "softmax", dtype=np.float32), np.float32, stack=2), {"epochs": 2}, (X, LABELS), shared),
        (made(cgru.Dense(2, "identity")), {"epochs": 2, "standardize_targets": True}, (own["X"], REALS), {}),
        (tagger(), {"epochs": 2, "standardize": True}, (X, STEPS), shared),
        (own_loss(), {"epochs": 2}, (X, REALS), shared),
    ]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_mixture_is_bit_for_bit_what_fit_alone_gives(threads):
    given = mixed()
    jobs = [cgru.Job(net, X=data[0], y=data[1], **more, **options) for net, options, data, more in given]
    results = cgru.fit_many(jobs, threads=threads)
    assert [result.name for result in results] == list(range(len(jobs)))
    for result, job, (net, options, data, more) in zip(results, jobs, mixed(), strict=True):
        assert result.error is None
        assert result.network is job.network
        net.fit(*data, **more, **options)
        assert same(weights(result.network), weights(net))
        assert result.history.loss == net.history.loss


def test_shared_samples_and_names():
    jobs = [cgru.Job(partial(made, seed=seed), ("a", seed), rows=range(seed, 20), epochs=2) for seed in range(4)]
    results = cgru.fit_many(jobs, X, LABELS, lengths=LENGTHS, threads=2)
    for seed, result in enumerate(results):
        rows = slice(seed, 20)
        net = made(seed=seed)
        net.fit(X[rows], LABELS[rows], lengths=LENGTHS[rows], epochs=2)
        assert result.name == ("a", seed)
        assert same(weights(result.network), weights(net))


def test_what_fails_stops_no_other():
    steep = made(cgru.Dense(2, "identity"), optimizer=cgru.SGD(1e200))
    jobs = [
        cgru.Job(made(), "good", epochs=2),
        cgru.Job(made(), "wrong", epochs=-1),
        cgru.Job(steep, "steep", X=X, y=REALS, epochs=3),
        cgru.Job(partial(int, "x"), "no net"),
        cgru.Job(sys.exit, "exit"),
        cgru.Job(made(), "after", epochs=1),
    ]
    results = {result.name: result for result in cgru.fit_many(jobs, X, LABELS)}
    errors = {name: type(result.error) for name, result in results.items() if result.error}
    assert errors == {"wrong": ValueError, "steep": DivergenceError, "no net": ValueError, "exit": SystemExit}
    assert "training diverged" in str(results["steep"].error)
    assert results["after"].scores["epochs"] == 1


def test_jobs_begin_in_their_order():
    began = []

    def make(n):
        began.append(n)
        return made()

    jobs = [cgru.Job(partial(make, n), n, epochs=1) for n in (3, 1, 4, 2)]
    told = []
    results = cgru.fit_many(jobs, X, LABELS, threads=1, callback=lambda result: told.append(result.name))
    assert began == told == [result.name for result in results] == [3, 1, 4, 2]


def test_nothing_to_do_and_nothing_kept():
    assert cgru.fit_many([]) == []
    (result,) = cgru.fit_many((cgru.Job(partial(made), epochs=2) for _ in range(1)), X, LABELS, keep=False)
    assert (result.network, result.history, result.scores["epochs"]) == (None, [], 2)


def test_so_many_at_once_and_each_on_one_thread():
    inside, most, lock = [0], [0], threading.Lock()

    def count(epoch):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        together.wait()
        with lock:
            inside[0] -= 1

    def jobs():
        return [cgru.Job(made(), epochs=1, callback=count) for _ in range(6)]

    for threads in (1, 3):
        together = threading.Barrier(threads, timeout=60)
        cgru.fit_many(jobs(), X, LABELS, threads=threads)
        assert most == [threads]


def test_the_default_is_as_many_threads_as_are_set(threads):
    threads(1)
    seen = set()
    jobs = [cgru.Job(made(), epochs=1, callback=lambda epoch: seen.add(threading.get_ident())) for _ in range(4)]
    cgru.fit_many(jobs, X, LABELS)
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_progress(capsys):
    pytest.importorskip("tqdm")
    cgru.fit_many([cgru.Job(made(), epochs=1) for _ in range(3)], X, LABELS, progress=True)
    err = capsys.readouterr().err
    assert "3/3" in err
    assert "fit" in err
    assert err.endswith("\n")  # the bar is left behind
    cgru.fit_many([cgru.Job(made(), epochs=1)], X, LABELS)
    assert capsys.readouterr().err == ""


NET, LAYER, DRAWS = made(), cgru.GRU(2), np.random.default_rng(0)


def holding(layer):
    return cgru.Job(cgru.Network([layer, cgru.Dense(3, "softmax")]))


REFUSED_JOBS = {
    "jobs[1].network": [cgru.Job(NET), cgru.Job(NET)],
    "jobs[1].network.layers[0]": [holding(LAYER), holding(LAYER)],
    "jobs[1].network.layers[0].np_rng": [
        holding(cgru.GRU(2, rng=DRAWS)), holding(cgru.Bidirectional(cgru.GRU(2, rng=DRAWS))),
    ],
    "jobs[1].checkpoint": [cgru.Job(made, checkpoint=name) for name in ("f.npz", "./f.npz")],
    "jobs[1].name": [cgru.Job(made, 1), cgru.Job(made)],
    "jobs[0]": [3],
    "jobs": cgru.Job(made),
}  # fmt: skip
REFUSED = {  # the last of each is the argument that is named
    ValueError: (
        {"threads": 0}, {"executor": dict, "threads": 2}, {"X": X, "y": LABELS[1:]}, {"X": X, "y": None},
        {"y": [0, 1], "X": [np.zeros((3, 2)), np.zeros((3, 4))]},
    ),
    TypeError: (
        {"executor": 3}, {"X": X, "y": LABELS, "jobs": [cgru.Job(made)], "executor": dict}, {"keep": 1},
        {"progress": "yes"}, {"callback": 3}, {"y": LABELS, "X": iter(X)}, {"y": 3, "X": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("argument", REFUSED_JOBS)
def test_jobs_refused_before_any_fit(argument):
    with refuses(TypeError if argument in ("jobs[0]", "jobs") else ValueError, argument):
        cgru.fit_many(REFUSED_JOBS[argument])
    assert not NET.history


@pytest.mark.parametrize(("error", "given"), [(error, given) for error in REFUSED for given in REFUSED[error]])
def test_refused_before_any_fit(error, given):
    with refuses(error, [*given][-1]):
        cgru.fit_many(**{"jobs": []} | given)


def test_one_network_may_have_parts_in_common():
    draws = np.random.default_rng(0)
    layers = [cgru.GRU(2, sequences=True, rng=draws), cgru.GRU(2, rng=draws), cgru.Dense(3, "softmax")]
    assert cgru.fit_many([cgru.Job(cgru.Network(layers), epochs=1)], X, LABELS)[0].error is None


def test_a_network_that_is_made_twice():
    net = made()
    first, second = cgru.fit_many([cgru.Job(lambda: net, epochs=1) for _ in range(2)], X, LABELS, threads=1)
    assert first.error is None
    assert str(second.error).startswith("network: expected a function")


def test_a_network_that_one_job_has_and_another_makes():
    net = made()
    first, second = cgru.fit_many([cgru.Job(net, epochs=1), cgru.Job(lambda: net, epochs=1)], X, LABELS, threads=1)
    assert {type(first.error), type(second.error)} == {type(None), ValueError}
    assert len(net.history) == 1


def test_jobs_may_share_what_no_fit_changes():
    frozen, pool = cgru.GRU(2, sequences=True, rng=0), cgru.Pool("mean")
    frozen.make(X)
    frozen.trainable = False
    nets = [cgru.Network([frozen, pool, cgru.Dense(3, "softmax")], seed=seed) for seed in range(3)]
    alone = copy.deepcopy(nets)
    for result, net in zip(cgru.fit_many([cgru.Job(n, epochs=2) for n in nets], X, LABELS), alone, strict=True):
        net.fit(X, LABELS, epochs=2)
        assert same(weights(result.network), weights(net))
    frozen.dropout = 0.5
    with pytest.raises(ValueError, match=r"jobs\[1\]\.network\.layers\[0\]: "):
        cgru.fit_many([cgru.Job(net, epochs=2) for net in nets], X, LABELS)


def test_no_start_begins_after_an_interrupt(stopping):
    begun = []

    def make(start):
        begun.append(start)
        return made(seed=start)

    def interrupt(result):
        raise KeyboardInterrupt

    def wait(epoch):
        assert stopping.wait(60)

    options = {"epochs": 20, "validation": 0.25, "callback": wait}
    jobs = [cgru.Job(made(), "first", epochs=1), cgru.Job(make, "second", starts=50, **options)]
    with pytest.warns(RuntimeWarning, match="interrupted; 1 of 2 jobs are done"):
        cgru.fit_many(jobs, X, LABELS, threads=2, callback=interrupt)
    assert len(begun) <= 1


def test_an_interrupt_while_threads_are_made_ends_the_call(monkeypatch):
    class Interrupted(threading.Thread):
        """As by a Ctrl-C before the second thread is made."""

        def start(self):
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr("cgru.many.run.Thread", Interrupted)
    jobs = [cgru.Job(made(), i, epochs=20) for i in range(50)]
    with pytest.warns(RuntimeWarning, match="interrupted"):
        results = cgru.fit_many(jobs, X, LABELS, threads=2)
    assert isinstance(results[-1].error, KeyboardInterrupt)


def test_the_end_of_the_program_waits_for_no_thread():
    found = []
    job = cgru.Job(made(), 0, epochs=1, callback=lambda _: found.append(threading.current_thread().daemon))
    assert cgru.fit_many([job], X, LABELS)[0].error is None
    assert found == [True]


def test_an_index_error_of_the_store_is_raised(tmp_path, monkeypatch):
    def refuse(path, data):
        raise IndexError(path)

    monkeypatch.setattr("cgru.many.run.write_result", refuse)
    with pytest.raises(IndexError):
        cgru.fit_many([cgru.Job(made(), i, epochs=1) for i in range(2)], X, LABELS, threads=1, store=tmp_path)


def test_a_job_that_interrupts_itself_is_not_done():
    def interrupt(epoch):
        raise KeyboardInterrupt

    jobs = [cgru.Job(made(), "itself", epochs=1, callback=interrupt), cgru.Job(made(), "other", epochs=1)]
    with pytest.warns(RuntimeWarning, match="interrupted; 1 of 2 jobs are done"):
        first, second = cgru.fit_many(jobs, X, LABELS, threads=1)
    assert isinstance(first.error, KeyboardInterrupt)
    assert second.error is None


def test_what_the_callback_raises_ends_it(stopping):
    begun, another = [], threading.Event()

    def fail(result):
        raise StopIteration("enough")

    def wait(epoch):
        begun.append(epoch.epoch)
        another.set()
        assert stopping.wait(60)

    def after_another(epoch):
        assert another.wait(60)

    jobs = [cgru.Job(made(), "first", epochs=1, callback=after_another)]
    jobs += [cgru.Job(made(), n, epochs=10**6, callback=wait) for n in range(3)]
    before = threading.active_count()
    with pytest.raises(StopIteration, match="enough"):
        cgru.fit_many(jobs, X, LABELS, threads=2, callback=fail)
    assert threading.active_count() == before
    assert 0 < begun.count(1) < 3
    assert len(begun) < 10**6  # one that was just beginning goes on for a moment


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_ctrl_c_returns_what_is_done():
    begun = threading.Event()

    def stop(epoch):
        if epoch.epoch == 3:
            begun.set()

    def interrupt():
        begun.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    long = made()
    jobs = [
        cgru.Job(made(), "short", epochs=2),
        cgru.Job(long, "long", epochs=10**6, callback=stop),
        cgru.Job(made(), "never", epochs=1),
    ]
    threading.Thread(target=interrupt).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(RuntimeWarning, match=r"^fit_many: interrupted; 1 of 3 jobs are done$") as caught:
            results = cgru.fit_many(jobs, X, LABELS, threads=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught[0].filename == __file__
    assert [type(result.error) for result in results] == [type(None), KeyboardInterrupt, KeyboardInterrupt]
    assert [result.name for result in results] == ["short", "long", "never"]
    assert results[1].network is None
    assert 3 <= len(long.history) < 10**6  # stopped, not killed
    long.fit(X, LABELS, epochs=1)  # and usable


def test_a_quantised_network_is_refused_by_its_fit():
    net = made()
    net.make(X)
    (result,) = cgru.fit_many([cgru.Job(cgru.quantize(net), epochs=1)], X, LABELS)
    assert str(result.error).startswith("layers: expected layers that train, got GRU")
