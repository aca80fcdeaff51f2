"""The checkpoint of a fit: that a resumed one ends in the bits of one never stopped, and what is refused."""

import copy
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from network_cases import LABELS, LENGTHS, REALS, RNG, M, S, X, made, same, weights

import cgru
from cgru.network import checkpoint as checkpoints
from cgru.network import files

EPOCHS = 5


class StopError(Exception):
    """What the tests raise."""


def stopping(at, raised=StopError):
    """A callback that raises after the epoch `at`, before its checkpoint."""

    def callback(epoch):
        if epoch.epoch == at:
            raise raised

    return callback


def epochs(history):
    """All but the seconds."""
    return [tuple(value for name, value in vars(epoch).items() if name != "seconds") for epoch in history]


def left(net):
    """All that a fit leaves in a network, generators among it."""
    state = net.__getstate__()
    generators = [state["_shuffler"], *(part.np_rng for layer in net.layers for part in (layer, *layer.cells))]
    return {
        "weights": weights(net),
        "optimizer": net.optimizer_state,
        "generators": [generator.bit_generator.state for generator in generators],
        "measured": [net.mean, net.scale],
        "states": [getattr(layer, "state", None) for layer in net.layers],
        "split": np.random.default_rng(state["_split_seed"]).random(),
    }


def assert_same_fit(net, history, due, due_history):
    np.testing.assert_equal(left(net), left(due))
    assert epochs(history) == epochs(due_history)
    assert epochs(net.history) == epochs(due.history)


def own(x, deriv=False):
    return cgru.tanh(x, deriv=deriv)


def own_softmax(x, deriv=False):
    return cgru.softmax(x, deriv=deriv)


class Momentum:
    """An optimizer of the user's own, whose state is not laid out as ours."""

    def __init__(self, learning_rate=0.1):
        self.learning_rate = np.float32(learning_rate)
        self.other = np.ones(2)

    def rate(self, fraction):
        return float(self.learning_rate) * (1 - fraction)

    def step(self, p, g, state, fraction):
        state["seen"] = state.get("seen", 0) + 1
        for key, array in p.items():
            v = state.setdefault("v", {}).setdefault(key, [np.zeros_like(array)])[0]
            v *= 0.9
            v += g[key]
            array -= self.rate(fraction) * v


def network(layers, optimizer=None, seed=2, dtype=np.float64):
    return cgru.Network(layers, optimizer=optimizer, seed=seed, dtype=dtype)


def dropping(dtype=np.float64, activate="tanh", optimizer=None, alpha=1.0):
    layers = [
        cgru.Bidirectional(cgru.GRU(4, activate, sequences=True, dropout=0.2, zoneout=0.1, recurrent_dropout=0.1)),
        cgru.Dropout(0.3, rng=np.random.Generator(np.random.MT19937(5))),
        cgru.GRU(3, activate, se_hPars={"ELU_alpha": alpha}),
        cgru.Dropout(0.2, rng=np.random.Generator(np.random.Philox(6))),
        cgru.Dense(3, "softmax"),
    ]
    return network(
        layers, optimizer or cgru.Adam(0.02, weight_decay=0.1, clip_norm=1.0, schedule="cosine"), dtype=dtype
    )


def step_by_step(activate="tanh", **options):
    layers = [cgru.GRU(4, activate, sequences=True, **options), cgru.Dense(2, "identity")]
    return network(layers, cgru.SGD(0.05, momentum=0.9))


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
    "truncate": (step_by_step, {"y": STEPS, "truncate": 2, "batch_size": 5}),
    "truncate, in Python": (lambda: step_by_step(own), {"y": STEPS, "truncate": 2, "batch_size": 5}),
    "stateful": (lambda: step_by_step(stateful=True), {"y": STEPS, "shuffle": False, "batch_size": 8}),
    "stateful, in Python": (lambda: step_by_step(own, stateful=True), {"y": STEPS, "shuffle": False, "batch_size": 8}),
    "an optimizer of one's own": (lambda: made(optimizer=Momentum()), {"y": LABELS, "validation": OPPOSED}),
    "numbers of NumPy's": (made, {**ON, "batch_size": np.int64(7)}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", range(1, EPOCHS + 1))
def test_a_resumed_fit_ends_in_the_bits_of_one_never_stopped(tmp_path, case, stop):
    make, options = CASES[case]
    options = {"epochs": EPOCHS, **options}
    due, stopped, net = make(), make(), make()
    whole = due.fit(X, **options)
    if stop > len(whole):  # out of patience
        return
    kept = {"checkpoint": tmp_path / "fit.npz", "checkpoint_seconds": 0}
    with pytest.raises(StopError):
        stopped.fit(X, **options, **kept, callback=stopping(stop))
    net.predict(X)
    net.fit(X, **options | {"epochs": 1})  # what it was counts no more
    with pytest.raises(StopError):  # once more, in the same epoch
        net.fit(X, **options, **kept, resume=True, callback=stopping(stop))
    history = net.fit(X, **options, **kept, resume=True)
    assert_same_fit(net, history, due, whole)
    for each in (due, net):
        each.fit(X, **options)
    np.testing.assert_equal(left(net), left(due))


@pytest.mark.parametrize("make", [made, dropping, lambda: dropping(activate=own)])
def test_what_is_left_is_as_without_a_checkpoint(tmp_path, make):
    due, net, again = make(), make(), make()
    options = {**ON, "epochs": 4, "validation": OPPOSED, "standardize": True}
    whole = due.fit(X, **options)
    kept = {"checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    assert_same_fit(net, net.fit(X, **options, **kept, resume=True), due, whole)
    assert os.listdir(tmp_path) == ["fit"]

    before = (tmp_path / "fit").read_bytes()
    history = again.fit(X, **options, **kept, resume=True, callback=pytest.fail)  # it is over
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
    history = net.fit(X, **ON, epochs=3, standardize=True, checkpoint=tmp_path / "fit", resume=True)
    assert_same_fit(net, history, due, whole)


@pytest.mark.parametrize("resumed", ["the same network", "a copy's file"])
def test_an_interrupted_network_has_the_best_and_goes_on(tmp_path, resumed):
    due, net = dropping(), dropping()
    options = {**ON, "epochs": 6, "validation": OPPOSED}
    whole = due.fit(X, **options)
    kept = {"checkpoint": str(tmp_path / "fit"), "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, **options, **kept, callback=stopping(4, KeyboardInterrupt))
    best = min(whole.validation_loss[:4])
    assert net.evaluate(*OPPOSED)["loss"] == pytest.approx(best, rel=1e-12)
    net = net if resumed == "the same network" else dropping()
    with pytest.raises(KeyboardInterrupt):  # in an epoch that is not the best
        net.fit(X, **options, **kept, resume=True, callback=stopping(5, KeyboardInterrupt))
    assert net.evaluate(*OPPOSED)["loss"] == pytest.approx(min(whole.validation_loss[:5]), rel=1e-12)
    assert len(net.history) == 5
    assert_same_fit(net, net.fit(X, **options, **kept, resume=True), due, whole)


def test_a_network_without_a_seed_keeps_its_split(tmp_path):
    net, other = made(seed=None), made(seed=None)
    options = {"y": LABELS, "validation": 0.25, "checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    with pytest.raises(StopError):
        net.fit(X, **options, epochs=4, callback=stopping(3))
    history = other.fit(X, **options, epochs=4, resume=True)
    assert epochs(history[:2]) == epochs(net.history[:2])
    assert_same_fit(net, net.fit(X, **options, epochs=4, resume=True), other, history)


def test_the_history_of_fits_before_is_kept(tmp_path):
    options = {"y": LABELS, "checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    net, other = made(), made()
    net.fit(X, LABELS, epochs=2)
    with pytest.raises(StopError):
        net.fit(X, **options, epochs=4, callback=stopping(3))
    held = other.history
    assert [epoch.epoch for epoch in other.fit(X, **options, epochs=4, resume=True)] == [1, 2, 3, 4]
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
    kept = {"checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    for make in (made, lambda: dropping(activate=own)):
        net = due = make()
        slower, stop = False, None
        whole = due.fit(X, **options, callback=change)
        net, stop = make(), 4
        with pytest.raises(StopError):
            net.fit(X, **options, **kept, callback=change)
        net = make()
        history = net.fit(X, **options, **kept, resume=True)
        assert_same_fit(net, history, due, whole)

        net, slower = make(), True
        with pytest.raises(StopError):
            net.fit(X, **options, **kept, callback=change)
        with pytest.raises(ValueError, match=r"another fit: optimizer: expected 'SGD', got 'Adam'$"):
            make().fit(X, **options, **kept, resume=True)
        assert len(net.fit(X, **options, **kept, resume=True)) == 5  # which still has that optimizer


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_of_numpy(tmp_path, kind):
    def make(shared=True):
        rngs = [np.random.Generator(getattr(np.random, kind)(3)) for _ in range(2)]
        rngs[1] = rngs[0] if shared else rngs[1]
        layers = [cgru.GRU(3, dropout=0.3, rng=rngs[0]), cgru.Dropout(0.3, rng=rngs[1]), cgru.Dense(3, "softmax")]
        return network(layers)

    due, net = make(), make()
    options = {"y": LABELS, "epochs": 3}
    kept = {"checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    whole = due.fit(X, **options)
    with pytest.raises(StopError):
        make().fit(X, **options, **kept, callback=stopping(2))
    with pytest.raises(ValueError, match=r"layers that share a generator: expected \[0, 0, 2\], got \[0, 1, 2\]"):
        make(shared=False).fit(X, **options, **kept, resume=True)
    assert_same_fit(net, net.fit(X, **options, **kept, resume=True), due, whole)


KILLED = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_checkpoint import LABELS, X, dropping
print("ready", flush=True)
dropping().fit(X, LABELS, epochs=10**6, batch_size=7, checkpoint={path!r}, checkpoint_seconds=0.0, resume=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_that_is_killed(tmp_path):
    path = tmp_path / "fit.npz"
    here = os.path.dirname(os.path.abspath(__file__))
    code = KILLED.format(tests=here, path=str(path))
    done = []
    for pause in (0.1, 0.23, 0.31):
        folders = os.pathsep.join([here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": folders}
        )
        process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.wait()
        process.stdout.close()
        net, due = dropping(), dropping()
        with pytest.raises(StopError):
            net.fit(X, LABELS, epochs=10**6, batch_size=7, checkpoint=path, resume=True, callback=stopping_at_once)
        done.append(len(net.history))
        with pytest.raises(StopError):
            due.fit(X, LABELS, epochs=10**6, batch_size=7, callback=stopping(len(net.history)))
        np.testing.assert_equal(left(net), left(due))
        assert epochs(net.history) == epochs(due.history)
    assert done == sorted(done)
    assert 1 < done[0] < done[-1]


def stopping_at_once(epoch):
    raise StopError


# --- when it is written ---


def test_it_is_written_at_the_start_when_it_is_due_and_at_the_end(tmp_path, monkeypatch):
    clock, seen = [0.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    write = checkpoints.Checkpoint.write
    monkeypatch.setattr(
        checkpoints.Checkpoint, "write", lambda *rest: seen.append(len(rest[2].history)) or write(*rest)
    )

    def callback(epoch):
        clock[0] += 4

    def written(**options):
        seen.clear()
        made().fit(X, LABELS, epochs=7, callback=callback, checkpoint=tmp_path / "fit", **options)
        return seen

    assert written() == [0, 3, 6, 7]
    assert written(checkpoint_seconds=4) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert written(checkpoint_seconds=0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert written(checkpoint_seconds=np.inf) == [0, 7]
    assert written(checkpoint_seconds=np.float32(5), resume=True) == []


def test_padding_is_not_looked_at(tmp_path):
    kept = {"y": LABELS, "lengths": LENGTHS, "epochs": 2, "checkpoint": tmp_path / "fit"}
    made().fit(X, **kept)
    other = np.where(np.arange(S)[:, None] < LENGTHS[:, None, None], X, np.nan)
    assert len(made().fit(other, **kept, resume=True, callback=pytest.fail)) == 2


def test_lengths_count_where_the_steps_are_the_same(tmp_path):
    kept = {"y": LABELS, "epochs": 2, "checkpoint": tmp_path / "fit", "resume": True}
    made().fit(np.ones_like(X), **kept, lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"another fit: lengths: expected '[0-9a-f]{32}', got '[0-9a-f]{32}'"):
        made().fit(np.ones_like(X), **kept, lengths=np.sort(LENGTHS))


def test_large_data_is_digested_in_parts(tmp_path, monkeypatch):
    kept = {"y": LABELS, "lengths": LENGTHS, "epochs": 2, "checkpoint": tmp_path / "fit"}
    made().fit(X, **kept)
    for steps in (1, 5 * S):
        monkeypatch.setattr(checkpoints, "STEPS", steps)
        assert len(made().fit(X, **kept, resume=True, callback=pytest.fail)) == 2


def test_the_best_is_not_written_twice(tmp_path):
    sizes = []
    for validation in (None, OPPOSED):
        net = made(units=64, optimizer=cgru.Adam(0.3))
        net.fit(X, LABELS, epochs=3, validation=validation, checkpoint=tmp_path / "fit", callback=lambda epoch: None)
        sizes.append(os.path.getsize(tmp_path / "fit"))
    assert 1.7 < sizes[1] / sizes[0] < 2


# --- what is refused ---

HELD = (X[:5], LABELS[:5], LENGTHS[:5])


def changed(array, index=(3, 0), value=0):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 4}, "epochs: expected 3, got 4"),
        ({"batch_size": 6}, "batch_size: expected 7, got 6"),
        ({"truncate": 3}, "truncate: expected None, got 3"),
        ({"patience": 3}, "patience: expected None, got 3"),
        ({"standardize": True}, "standardize: expected False, got True"),
        ({"shuffle": False}, "shuffle: expected True, got False"),
        ({"validation": 0.25}, "validation: expected None, got 0.25"),
        ({"validation": (*HELD[:2], LENGTHS[5:10])}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"validation": (HELD[0], HELD[1][::-1], HELD[2])}, "validation y: expected 'int64 (5,) "),
        ({"validation": HELD[:2]}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"validation": None}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"X": changed(X)}, "X: expected 'float64 (24, 6, 3) "),
        ({"X": changed(X, (23, 0, 2))}, "X: expected 'float64 (24, 6, 3) "),
        ({"X": X.astype(np.float32)}, "X: expected 'float64 (24, 6, 3) "),
        ({"y": changed(LABELS, 4, 0)}, "y: expected 'int64 (24,) "),
        ({"lengths": None}, "X: expected 'float64 (24, 6, 3) "),
        ({"net": {"seed": 7}}, "seed: expected 1, got 7"),
        ({"net": {"units": 6}}, "layer 0: expected 'GRU(unit_cells=5"),
        ({"net": {"stack": 2}}, "layer 0: expected 'GRU(unit_cells=5"),
        ({"net": {"dtype": np.float32}}, "dtype: expected 'float64', got 'float32'"),
        ({"net": {"optimizer": "sgd"}}, "optimizer: expected 'Adam', got 'SGD'"),
        ({"net": {"optimizer": cgru.Adam(0.5)}}, "optimizer.learning_rate: expected 0.001, got 0.5"),
        ({"net": {"optimizer": cgru.Adam(schedule="linear")}}, "optimizer.schedule: expected None, got 'linear'"),
        (
            {"net": {"loss": "mse"}, "y": np.eye(3)[LABELS], "validation": 0.2},
            "loss: expected 'cross_entropy', got 'mean_squared_error'",
        ),
        ({"net": {"head": cgru.Dense(3, "softmax", rng=np.random.Generator(np.random.SFC64()))}}, "layer 1: expected"),
        ({"layer": {"trainable": False}}, "layer 0: expected 'GRU("),
        ({"layer": {"training": False}}, "layer 0: expected 'GRU("),
        ({"layer": {"clip_gradients": True}}, "layer 0: expected 'GRU("),
        ({"layer": {"se_hPars": {"ELU_alpha": 0.5}}}, "layer 0: expected 'GRU("),
    ],
)
def test_another_fit_is_refused_by_name_and_touches_nothing(tmp_path, options, words):
    kept = {"checkpoint": tmp_path / "fit", "resume": True}
    fit = {"X": X, "y": LABELS, "lengths": LENGTHS, "batch_size": 7, "epochs": 3, "validation": HELD}
    if "validation" in options and not isinstance(options["validation"], tuple) and options["validation"]:
        fit["validation"] = None
    if "loss" in words:
        fit |= {"y": np.eye(3)[LABELS], "validation": 0.2}
    made().fit(**fit, **kept)
    before = (tmp_path / "fit").read_bytes()
    for trained in (False, True):
        net = made(**options.get("net", {}))
        vars(net.layers[0]).update({k: v for k, v in options.get("layer", {}).items() if k != "clip_gradients"})
        net.layers[0].clip_gradients = options.get("layer", {}).get("clip_gradients", False)
        if trained:
            net.predict(X)
        due = left(net)
        given = fit | {name: value for name, value in options.items() if name not in ("net", "layer")}
        error = f"{tmp_path / 'fit'} is the checkpoint of another fit: {words}"
        with pytest.raises(ValueError, match="^" + re.escape(error)):
            net.fit(**given, **kept)
        np.testing.assert_equal(left(net), due)
        assert not net.history
    assert (tmp_path / "fit").read_bytes() == before


def test_layers_of_the_users_own_are_known_by_their_names(tmp_path):
    class Double(cgru.layers.Layer):
        def run(self, A, lengths=None):
            return cgru.Scale().run(2 * A, lengths)

    class Twice(Double):
        pass

    kept = {"epochs": 2, "checkpoint": tmp_path / "fit", "resume": True}
    nets = [network([kind(), cgru.GRU(3), cgru.Dense(3, "softmax")]) for kind in (Double, Double, Twice)]
    assert len(nets[0].fit(X, LABELS, **kept)) == 2
    assert len(nets[1].fit(X, LABELS, **kept, callback=pytest.fail)) == 2
    with pytest.raises(ValueError, match=r"layer 0: expected '<.*\.Double object> .*, got '<.*\.Twice object> "):
        nets[2].fit(X, LABELS, **kept)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda value: made(optimizer=Momentum(value)), r"optimizer.learning_rate: expected 0.5, got 0.25$"),
        (
            lambda value: dropping(activate=cgru.elu, alpha=value),
            "layer 2: expected .* ELU_alpha=0.5 .* ELU_alpha=0.25 ",
        ),
    ],
)
def test_numbers_that_differ(tmp_path, make, words):
    kept = {"epochs": 2, "checkpoint": tmp_path / "fit", "resume": True}
    make(0.5).fit(X, LABELS, **kept)
    make(0.5).fit(X, LABELS, **kept, callback=pytest.fail)
    with pytest.raises(ValueError, match=words):
        make(0.25).fit(X, LABELS, **kept)


def test_a_state_that_no_file_can_hold(tmp_path):
    class Odd(Momentum):
        def step(self, p, g, state, fraction):
            super().step(p, g, state, fraction)
            state["odd"] = odd

    values = [(1, 2), {1: 2}, np.float32(3), np.array([None]), {"array": 3}, "x" * files.LONGEST]
    while values:
        odd, net = values.pop(), made(optimizer=Odd())
        with pytest.raises((TypeError, ValueError), match=r"^checkpoint: expected .* got "):
            net.fit(X, LABELS, epochs=3, checkpoint=tmp_path / "fit", checkpoint_seconds=0)
        assert len(net.history) == 1


@pytest.fixture
def kept(tmp_path):
    """The checkpoint of a fit of `made()` that was stopped, and what goes on from it."""
    options = {"y": LABELS, "epochs": 3, "checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    with pytest.raises(StopError):
        made().fit(X, **options, callback=stopping(2))
    return tmp_path / "fit", options


def refused(path, options, words, error=ValueError):
    """Whether it is gone on from or replaced, it is refused, and stays as it is."""
    before, net = path.read_bytes(), made()
    due = left(net)
    with pytest.raises(error, match=words) as caught:
        net.fit(X, **options, resume=True)
    assert str(path) in str(caught.value)
    np.testing.assert_equal(left(net), due)
    assert path.read_bytes() == before


def edited(path, change):
    """The file with `change` applied to its text, or to all that it holds."""
    with np.load(path, allow_pickle=False) as npz:
        arrays = dict(npz)
    text = json.loads(str(arrays["checkpoint"]))
    change(text, arrays)
    if "checkpoint" in arrays and arrays["checkpoint"].shape == ():
        arrays["checkpoint"] = np.array(json.dumps(text))
    with open(path, "wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_part_of_a_file(kept, share):
    path, options = kept
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, options, "fit is not a cgru checkpoint: it is no .npz archive, or only a part of one")
    with pytest.raises(ValueError, match="is not a cgru checkpoint"):  # nor is it replaced
        made().fit(X, **options)


def test_a_bit_that_turned(kept):
    path, options = kept
    whole = bytearray(path.read_bytes())
    with np.load(path) as npz:
        at = whole.index(npz["3"].tobytes())
    whole[at + 5] ^= 4
    path.write_bytes(whole)
    refused(path, options, "fit is not a cgru checkpoint: 3 is no array, or damaged")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text, arrays: arrays.pop("3"), "'3' is missing"),
        (lambda text, arrays: arrays.pop("format"), "'format' is missing"),
        (lambda text, arrays: arrays.update(format=np.array(2)), "its format 2 is newer than 1"),
        (lambda text, arrays: arrays.update(checkpoint=np.zeros(3)), "checkpoint: expected a text"),
        (lambda text, arrays: text.pop("settings"), "'settings' is missing"),
        (lambda text, arrays: text["state"].pop("stale"), "it is damaged"),
        (lambda text, arrays: text["state"].update(history=3), "it is damaged"),
        (lambda text, arrays: text["state"]["now"]["parameters"].pop("0.Uz"), "it has other parameters"),
        (lambda text, arrays: text["state"].update(best={"parameters": {}}), "it has other parameters"),
    ],
)
def test_a_file_that_was_changed(kept, change, words):
    path, options = kept
    edited(path, change)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"fit is not a cgru checkpoint: {words}"):
        made().fit(X, **options, resume=True)
    assert path.read_bytes() == before


def test_files_of_other_kinds(kept):
    path, options = kept
    with pytest.raises(ValueError, match="fit is not a cgru model: 'model' is missing"):
        cgru.load(path)
    other = path.parent / "other"
    net = made()
    net.predict(X)
    net.save(other)
    refused(other, options | {"checkpoint": other}, "other is not a cgru checkpoint: it is a model")
    for spoil, words in (
        (lambda: other.write_text("x,y\n"), "it is no .npz archive"),
        (lambda: np.savez(other.with_suffix(".npz"), x=X), "'format' is missing"),
    ):
        spoil()
        if other.with_suffix(".npz").exists():
            other.with_suffix(".npz").replace(other)
        before = other.read_bytes()
        refused(other, options | {"checkpoint": other}, f"other is not a cgru checkpoint: {words}")
        with pytest.raises(ValueError, match="is not a cgru checkpoint"):
            made().fit(X, **options | {"checkpoint": other})
        assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"checkpoint": None, "resume": True}, ValueError, "resume: expected a checkpoint beside it, got"),
        ({"resume": 1}, TypeError, "resume: expected"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected a str or an os.PathLike"),
        ({"checkpoint": "folder/"}, ValueError, "checkpoint: expected the name of a file"),
        ({"checkpoint_seconds": -1}, ValueError, "checkpoint_seconds: expected at least 0, got -1"),
        ({"checkpoint_seconds": np.nan}, ValueError, "checkpoint_seconds: expected at least 0, got nan"),
        ({"checkpoint_seconds": True}, TypeError, "checkpoint_seconds: expected a number, got bool"),
        ({"checkpoint_seconds": "1"}, TypeError, "checkpoint_seconds: expected a number, got str"),
    ],
)
def test_arguments(tmp_path, monkeypatch, options, error, words):
    monkeypatch.chdir(tmp_path)
    net = made()
    with pytest.raises(error, match="^" + re.escape(words)):
        net.fit(X, LABELS, **{"epochs": 1, "checkpoint": "fit"} | options)
    assert not net.layers[0].p
    assert not os.listdir()


@pytest.mark.parametrize("path", ["missing/fit", ".", "n" * 300, "closed/fit"])
def test_a_path_that_cannot_be_written(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed").write_text("no folder")
    net = made()
    for resume in (False, True):
        with pytest.raises(OSError) as caught:  # noqa: PT011 which one, the system says
            net.fit(X, LABELS, epochs=1, checkpoint=path, resume=resume)
        assert caught.value.filename == path
    assert not net.layers[0].p


def test_a_full_disk(kept, monkeypatch):
    path, options = kept
    before, savez = path.read_bytes(), np.savez

    def full(file, **arrays):
        if written is None or written[0] == 0:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        written[0] -= 1
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    for resume in (False, True):
        for written, done in ((None, 2 if resume else 0), ([1], 1)):
            path.write_bytes(before)
            net = made()
            with pytest.raises(OSError, match="No space left on device") as caught:
                net.fit(X, **options | {"epochs": 3}, resume=resume)
            assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
            assert os.listdir(path.parent) == ["fit"]
            assert (path.read_bytes() == before) == (written is None)
            assert len(net.history) == (1 if resume else 0) + (written is not None), (resume, done)
    monkeypatch.undo()
    due = made()
    due.fit(X, LABELS, epochs=1)
    path.write_bytes(before)
    assert len(made().fit(X, **options, resume=True)) == 3


def test_divergence_leaves_the_last_checkpoint(tmp_path):
    net = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        net.fit(X, REALS, epochs=9, checkpoint=tmp_path / "fit", checkpoint_seconds=0)
    done = len(net.history)
    other = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        other.fit(X, REALS, epochs=9, checkpoint=tmp_path / "fit", resume=True)
    assert len(other.history) == done
    assert same(weights(other), weights(net))
