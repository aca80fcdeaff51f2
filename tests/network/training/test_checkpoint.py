"""The checkpoint of a fit: a resumed one ends in the bits of one never stopped, and when it is written."""

import copy
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from checkpoint_cases import (
    Momentum,
    StopError,
    assert_same_fit,
    dropping,
    epochs,
    left,
    network,
    own,
    own_softmax,
    step_by_step,
    stopping,
)
from helpers import some
from network_cases import LABELS, LENGTHS, RNG, M, S, X, made

import cgru
from cgru.network.training import checkpoint as checkpoints

EPOCHS = 5
STEPS = RNG.standard_normal((M, S, 2))
OPPOSED = (X[:8], (LABELS[:8] + 1) % 3)  # learning makes it worse in the end
ON = {"y": LABELS, "lengths": LENGTHS, "batch_size": 7}
CASES = {
    "plain": (made, ON),
    "float32": (lambda: dropping(np.float32), {**ON, "standardize": True}),
    "drops": (dropping, {**ON, "validation": 0.25, "standardize": True}),
    "drops, in Python": (lambda: dropping(activate=own), {**ON, "validation": 0.25, "standardize": True}),
    "in Python": (lambda: made(cgru.Dense(3, own_softmax), loss="cross_entropy"), {**ON, "y": np.eye(3)[LABELS]}),
    "float32, in Python": (lambda: dropping(np.float32, own), {**ON, "shuffle": False}),
    "the best lies behind": (lambda: made(optimizer=cgru.Adam(0.3)), {"y": LABELS, "validation": OPPOSED}),
    "likewise, in Python": (lambda: dropping(activate=own, optimizer=cgru.Adam(0.3)), {**ON, "validation": OPPOSED}),
    "patience": (lambda: made(optimizer=cgru.Adam(0.3)), {"y": LABELS, "validation": OPPOSED, "patience": 2}),
    "RMSprop": (lambda: dropping(optimizer=cgru.RMSprop(0.01, momentum=0.5, weight_decay=0.1)), ON),
    "a mean": (dropping, {**ON, "average": 0.9, "validation": OPPOSED, "recover": True}),
    "a mean, the best lies behind": (
        lambda: made(optimizer=cgru.Adam(0.3)),
        {"y": LABELS, "validation": OPPOSED, "average": 0.5},
    ),
    "a mean, in Python": (lambda: dropping(np.float32, own), {**ON, "average": 0.9, "recover": True}),
    "truncate": (step_by_step, {"y": STEPS, "truncate": 2, "batch_size": 5}),
    "truncate, in Python": (lambda: step_by_step(own), {"y": STEPS, "truncate": 2, "batch_size": 5}),
    "stateful": (lambda: step_by_step(stateful=True), {"y": STEPS, "shuffle": False, "batch_size": 8}),
    "stateful, in Python": (lambda: step_by_step(own, stateful=True), {"y": STEPS, "shuffle": False, "batch_size": 8}),
    "an optimizer of one's own": (lambda: made(optimizer=Momentum()), {"y": LABELS, "validation": OPPOSED}),
    "a plateau": (lambda: made(optimizer=cgru.SGD(1.0, schedule="plateau")), {**ON, "validation": OPPOSED}),
    "buckets and penalties": (dropping, {**ON, "bucket": True, "penalties": cgru.Penalties(l1=1e-3, activity_l2=0.1)}),
    "h0": (lambda: network([cgru.GRU(5, learn_h0=True), cgru.Dense(3, "softmax")]), ON),
    "rmsprop": (lambda: made(optimizer="rmsprop"), ON),
    "numbers of NumPy's": (made, {**ON, "batch_size": np.int64(7)}),
}


@functools.cache  # the same for each epoch to stop at
def never_stopped(case):
    """The network of that case after a fit, the fit's history, and what two epochs more leave in a copy."""
    make, options = CASES[case]
    net = make()
    history = net.fit(X, epochs=EPOCHS, **options)
    on = copy.deepcopy(net)
    on.fit(X, epochs=2, **options)
    return net, history, left(on)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "stop",
    [
        *(pytest.param(stop, marks=pytest.mark.nightly) for stop in (1, 2, 4)),
        3,
        pytest.param(EPOCHS, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_fit_ends_in_the_bits_of_one_never_stopped(tmp_path, case, stop):
    make, options = CASES[case]
    options = {"epochs": EPOCHS, **options}
    due, whole, due_later = never_stopped(case)
    stopped, net = make(), make()
    if stop > len(whole):  # out of patience
        return
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit.npz", 0, True)}
    with pytest.raises(StopError):
        stopped.fit(X, **options, **kept, callback=stopping(stop))
    net.predict(X)
    net.fit(X, **options | {"epochs": 1})  # what it was counts no more
    with pytest.raises(StopError):  # once more, in the same epoch
        net.fit(X, **options, **kept, callback=stopping(stop))
    history = net.fit(X, **options, **kept)
    assert_same_fit(net, history, due, whole)
    net.fit(X, **options | {"epochs": 2})
    np.testing.assert_equal(left(net), due_later)


@pytest.mark.parametrize("make", [made, dropping, lambda: dropping(activate=own)])
def test_what_is_left_is_as_without_a_checkpoint(tmp_path, make):
    due, net, again = make(), make(), make()
    options = {**ON, "epochs": 4, "validation": OPPOSED, "standardize": True}
    whole = due.fit(X, **options)
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    assert_same_fit(net, net.fit(X, **options, **kept), due, whole)
    assert os.listdir(tmp_path) == ["fit"]

    before = (tmp_path / "fit").read_bytes()
    history = again.fit(X, **options, **kept, callback=pytest.fail)  # it is over
    assert_same_fit(again, history, due, whole)
    assert history.seconds == net.history.seconds
    assert (tmp_path / "fit").read_bytes() == before


@pytest.mark.parametrize("make", [made, lambda: dropping(activate=own)])
def test_before_the_first_epoch_ends_all_is_as_at_the_start(tmp_path, monkeypatch, make):
    def stop(*_):
        raise StopError

    net, due = make(), make()
    net.predict(X)
    before = copy.deepcopy(left(net))
    with monkeypatch.context() as patched:
        patched.setattr(cgru.Adam, "rate", stop)
        with pytest.raises(StopError):
            net.fit(X, **ON, epochs=3, standardize=True, checkpoint=tmp_path / "fit")
    np.testing.assert_equal({**left(net), "generators": None}, {**before, "generators": None})
    whole = due.fit(X, **ON, epochs=3, standardize=True)
    history = net.fit(X, **ON, epochs=3, standardize=True, checkpoint=cgru.Checkpoint(tmp_path / "fit", resume=True))
    assert_same_fit(net, history, due, whole)


@pytest.mark.parametrize("resumed", ["the same network", "a copy's file"])
def test_an_interrupted_network_has_the_best_and_goes_on(tmp_path, resumed):
    due, net = dropping(), dropping()
    options = {**ON, "epochs": 6, "validation": OPPOSED}
    whole = due.fit(X, **options)
    kept = {"checkpoint": cgru.Checkpoint(str(tmp_path / "fit"), 0, True)}
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, **options, **kept, callback=stopping(4, KeyboardInterrupt))
    best = min(whole.validation_loss[:4])
    assert net.evaluate(*OPPOSED)["loss"] == pytest.approx(best, rel=1e-12)
    net = net if resumed == "the same network" else dropping()
    with pytest.raises(KeyboardInterrupt):  # in an epoch that is not the best
        net.fit(X, **options, **kept, callback=stopping(5, KeyboardInterrupt))
    assert net.evaluate(*OPPOSED)["loss"] == pytest.approx(min(whole.validation_loss[:5]), rel=1e-12)
    assert len(net.history) == 5
    assert_same_fit(net, net.fit(X, **options, **kept), due, whole)


def test_a_network_without_a_seed_keeps_its_split(tmp_path):
    net, other = made(seed=None), made(seed=None)
    options = {"y": LABELS, "validation": 0.25, "checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    with pytest.raises(StopError):
        net.fit(X, **options, epochs=4, callback=stopping(3))
    history = other.fit(X, **options, epochs=4)
    assert epochs(history[:2]) == epochs(net.history[:2])
    assert_same_fit(net, net.fit(X, **options, epochs=4), other, history)


def test_the_history_of_fits_before_is_kept(tmp_path):
    options = {"y": LABELS, "checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    net, other = made(), made()
    net.fit(X, LABELS, epochs=2)
    with pytest.raises(StopError):
        net.fit(X, **options, epochs=4, callback=stopping(3))
    held = other.history
    assert [epoch.epoch for epoch in other.fit(X, **options, epochs=4)] == [1, 2, 3, 4]
    assert [(epoch.epoch, epoch.epochs) for epoch in held] == [(1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert other.history is held


def test_what_a_callback_changed_is_kept_or_asked_for(tmp_path):
    def change(epoch):
        if epoch.epoch == 2:
            net.layers[-1].p["W"][...] = 0.5
            net.mean, net.scale = np.full(3, 0.25), np.full(3, 2.0)
        if epoch.epoch == 3 and slower:
            net.optimizer = cgru.SGD(0.01)
        if epoch.epoch == stop:
            raise StopError

    options = {"y": LABELS, "epochs": 5, "standardize": True, "validation": OPPOSED}
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    for make in (made, lambda: dropping(activate=own)):
        (tmp_path / "fit").unlink(missing_ok=True)
        net = due = make()
        slower, stop = False, None
        whole = due.fit(X, **options, callback=change)
        net, stop = make(), 4
        with pytest.raises(StopError):
            net.fit(X, **options, **kept, callback=change)
        net = make()
        history = net.fit(X, **options, **kept)
        assert_same_fit(net, history, due, whole)

        (tmp_path / "fit").unlink()
        net, slower = make(), True
        with pytest.raises(StopError):
            net.fit(X, **options, **kept, callback=change)
        with pytest.raises(ValueError, match=r"another fit: optimizer: expected 'SGD', got 'Adam'$"):
            make().fit(X, **options, **kept)
        assert len(net.fit(X, **options, **kept)) == 5  # which still has that optimizer


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_of_numpy(tmp_path, kind):
    def make(shared=True):
        rngs = [np.random.Generator(getattr(np.random, kind)(3)) for _ in range(2)]
        rngs[1] = rngs[0] if shared else rngs[1]
        layers = [cgru.GRU(3, dropout=0.3, rng=rngs[0]), cgru.Dropout(0.3, rng=rngs[1]), cgru.Dense(3, "softmax")]
        return network(layers)

    due, net = make(), make()
    options = {"y": LABELS, "epochs": 3}
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    whole = due.fit(X, **options)
    with pytest.raises(StopError):
        make().fit(X, **options, **kept, callback=stopping(2))
    with pytest.raises(ValueError, match="layers that share a generator: "):
        make(shared=False).fit(X, **options, **kept)
    assert_same_fit(net, net.fit(X, **options, **kept), due, whole)


KILLED = """
import os
import signal
import sys
sys.path.insert(0, {tests!r})
from checkpoint_cases import dropping
from network_cases import LABELS, X
import cgru
for _ in sys.stdin:
    run = os.fork()  # a process of its own for each run, which need not import everything anew
    if not run:
        dropping().fit(X, LABELS, epochs=10**6, batch_size=7, checkpoint=cgru.Checkpoint({path!r}, 0, True))
    print("ready", flush=True)
    sys.stdin.readline()
    os.kill(run, signal.SIGKILL)
    print(os.waitpid(run, 0)[1], flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("kills", some(1, [15, 50]))
def test_a_run_that_is_killed_again_and_again(tmp_path, kills):
    path, rng = tmp_path / "fit.npz", np.random.default_rng(0)
    code = KILLED.format(tests=str(Path(__file__).resolve().parents[2]), path=str(path))
    done = [0]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, **pipes) as process:
        for kill in range(1, kills + 1):
            process.stdin.write("begin\n")
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.01, 0.4))  # a checkpoint is written each few milliseconds
            process.stdin.write("kill\n")
            assert int(process.stdout.readline()) == signal.SIGKILL  # and no error before
            if kill % (kills // 5):
                continue
            net, due = dropping(), dropping()
            kept = {"checkpoint": cgru.Checkpoint(path, resume=True), "callback": stopping_at_once}
            with pytest.raises(StopError):
                net.fit(X, LABELS, epochs=10**6, batch_size=7, **kept)
            done.append(len(net.history))
            with pytest.raises(StopError):
                due.fit(X, LABELS, epochs=10**6, batch_size=7, callback=stopping(len(net.history)))
            np.testing.assert_equal(left(net), left(due))
            assert epochs(net.history) == epochs(due.history)
    assert all(before < after for before, after in itertools.pairwise(done))


def stopping_at_once(epoch):
    raise StopError


# --- when it is written ---


def test_it_is_written_at_the_start_when_it_is_due_and_at_the_end(tmp_path, monkeypatch):
    clock, seen = [0.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    write, kind = checkpoints.CheckpointFile.write, checkpoints.CheckpointFile
    monkeypatch.setattr(kind, "write", lambda *rest: seen.append(len(rest[2].history)) or write(*rest))

    def callback(epoch):
        clock[0] += 4

    def written(*given):
        seen.clear()
        made().fit(X, LABELS, epochs=7, callback=callback, checkpoint=cgru.Checkpoint(tmp_path / "fit", *given))
        return seen

    assert written() == [0, 3, 6, 7]
    assert written(4) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert written(0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert written(np.inf) == [0, 7]
    assert written(np.float32(5), True) == []


def test_padding_is_not_looked_at(tmp_path):
    kept = {"y": LABELS, "lengths": LENGTHS, "epochs": 2}
    kept["checkpoint"] = cgru.Checkpoint(tmp_path / "fit", resume=True)
    made().fit(X, **kept)
    other = np.where(np.arange(S)[:, None] < LENGTHS[:, None, None], X, np.nan)
    assert len(made().fit(other, **kept, callback=pytest.fail)) == 2


def test_lengths_count_where_the_steps_are_the_same(tmp_path):
    kept = {"y": LABELS, "epochs": 2, "checkpoint": cgru.Checkpoint(tmp_path / "fit", resume=True)}
    made().fit(np.ones_like(X), **kept, lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"another fit: lengths: expected '[0-9a-f]{32}', got '[0-9a-f]{32}'"):
        made().fit(np.ones_like(X), **kept, lengths=np.sort(LENGTHS))


def test_large_data_is_digested_in_parts(tmp_path, monkeypatch):
    kept = {"y": LABELS, "lengths": LENGTHS, "epochs": 2}
    kept["checkpoint"] = cgru.Checkpoint(tmp_path / "fit", resume=True)
    made().fit(X, **kept)
    for steps in (1, 5 * S):
        monkeypatch.setattr(checkpoints, "STEPS", steps)
        assert len(made().fit(X, **kept, callback=pytest.fail)) == 2


def test_the_best_is_not_written_twice(tmp_path):
    sizes = []
    for validation in (None, OPPOSED):
        net = made(units=64, optimizer=cgru.Adam(0.3))
        net.fit(X, LABELS, epochs=3, validation=validation, checkpoint=tmp_path / "fit", callback=lambda epoch: None)
        sizes.append(os.path.getsize(tmp_path / "fit"))
    assert 1.7 < sizes[1] / sizes[0] < 2
