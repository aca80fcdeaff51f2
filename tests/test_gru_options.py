"""The options of cgru.GRU, against the reference and central differences."""

import copy
import importlib.util
import json
import threading
from itertools import product

import numpy as np
import pytest
from helpers import TOLERANCE, assert_all_same, assert_close, random_batch, random_layer, refuses

import cgru
from cgru import reference
from cgru.parameters import gru_compute_gradients
from cgru.variant import LAYER_NORM, RESET_AFTER, RESET_BEFORE

RATES = {"dropout": 0.4, "recurrent_dropout": 0.3, "zoneout": 0.2}
MASKS = ("input_mask", "recurrent_masks", "zoneout")
CHOICES = [dict(zip(RATES, on, strict=True)) for on in product((0.0, 0.3), repeat=3)]


def called(dropped):
    return "+".join(name for name, value in dropped.items() if value) or "none"


def options_of(layer):
    """The options of the last forward, as the reference takes them."""
    cell = {"reset_after": layer.reset_after, "reverse": layer.reverse}
    return cell | {name: layer.fc[name] for name in MASKS if name in layer.fc}


def assert_as_reference(layer, X, lengths, h0, dstate, tolerance):
    """One training step of the layer, each array of it against the reference with the same masks."""
    m, s, _ = X.shape
    A = layer.forward(X, lengths, h0)
    options = options_of(layer)
    fc = reference.forward(layer.p, X, h0, lengths, **options)
    last = fc["h"][np.arange(m), reference.ends(m, s, lengths, layer.reverse)[1]]
    real = np.ones((m, s, 1), bool) if lengths is None else reference.mask(lengths, s)
    assert_close(A, np.where(real, fc["h"], 0) if layer.sequences else last, tolerance, "A")
    assert_close(layer.state, last, tolerance, "state")
    assert set(layer.fc) == set(fc) | {"A"} | (options.keys() & set(MASKS))
    np.testing.assert_array_equal(layer.fc["X"], fc.pop("X"))
    assert_close(layer.fc, fc, tolerance)
    fc["X"] = X

    dX = np.random.default_rng(6).standard_normal(A.shape).astype(A.dtype)
    due = dX
    if not layer.sequences:
        due = np.zeros_like(fc["h"])
        due[np.arange(m), reference.ends(m, s, lengths, layer.reverse)[1]] = dX
    bc = reference.backward(layer.p, fc, due, lengths, dstate=dstate, **options)
    kept = dX.copy()
    assert_close(layer.backward(dX, dstate), bc["dX"], tolerance, "dX")
    np.testing.assert_array_equal(dX, kept)
    assert set(layer.bc) == set(bc)
    assert_close(layer.bc, bc, tolerance)
    first = reference.ends(m, s, lengths, layer.reverse)[0]
    assert_close(layer.dh0, bc["dh"][np.arange(m), first], tolerance, "dh0")
    layer.compute_gradients()
    g = reference.gradients(layer.p, fc, bc, lengths, **options)
    assert list(layer.g) == ["d" + name for name in layer.p]
    assert_close(layer.g, g, tolerance)
    for name, value in (layer.fc | layer.bc | layer.g | layer.p).items():
        assert value.dtype == layer.dtype, name
    assert layer.fs.items() >= {name: value.shape for name, value in layer.fc.items()}.items()
    assert layer.bs.items() >= {name: value.shape for name, value in layer.bc.items()}.items()


@pytest.mark.parametrize("dropped", CHOICES, ids=called)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("reset_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["double", "single"])
@pytest.mark.pairwise
def test_every_combination(dtype, reset_after, reverse, sequences, ragged, dropped):
    m, s, e, u = 5, 6, 3, 7
    layer = random_layer(e, u, dtype=dtype, reset_after=reset_after, reverse=reverse, sequences=sequences, **dropped)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    dstate = np.random.default_rng(3).standard_normal((m, u)).astype(dtype)
    tolerance = TOLERANCE[layer.dtype]
    assert_as_reference(layer, X, lengths, h0, dstate, tolerance)
    assert (set(layer.fc) & set(MASKS)) == {mask for mask, rate in zip(MASKS, dropped.values(), strict=True) if rate}

    zoneout = {"zoneout": dropped["zoneout"]} if dropped["zoneout"] else {}
    h = reference.forward(layer.p, X, h0, lengths, reset_after=reset_after, reverse=reverse, **zoneout)["h"]
    due = h[:, 0 if reverse else -1]
    if sequences:
        due = h if lengths is None else np.where(reference.mask(lengths, s), h, 0)
    assert_close(layer.predict(X, lengths, h0), due, tolerance)
    layer.training = False
    assert_as_reference(layer, X, lengths, None, None, tolerance)
    assert_close(layer.forward(X, lengths, h0), due, tolerance)
    assert not {"input_mask", "recurrent_masks"} & (set(layer.fc) | set(layer.fs))


@pytest.mark.parametrize(
    "functions", [{"activate": lambda x, deriv=False: cgru.tanh(x, deriv)}, {"activate": cgru.elu}]
)
def test_options_with_other_activations(functions):
    layer = random_layer(2, 4, reset_after=True, reverse=True, zoneout=0.3, **functions)
    X, lengths, h0 = random_batch(3, 5, 2, 4, True)
    layer.forward(X, lengths, h0)
    layer.backward(np.ones((3, 4)))
    options = options_of(layer)
    fc = reference.forward(layer.p, X, h0, lengths, **functions, **options)
    dA = np.zeros((3, 5, 4))
    dA[:, 0] = 1
    due = reference.backward(layer.p, fc, dA, lengths, **functions, **options)
    assert_close(layer.bc["dX"], due["dX"], 1e-13)


# --- parameters ---


def test_the_tenth_parameter():
    plain, after = (cgru.GRU(4, rng=3, reset_after=reset_after) for reset_after in (False, True))
    for layer in (plain, after):
        layer.compute_shapes(np.empty((1, 1, 2)))
        layer.initialize_parameters()
    assert list(after.p) == [*plain.p, "chh"]
    assert after.fs["chh"] == (1, 4)
    assert "chh" not in plain.fs
    assert not after.p["chh"].any()
    assert_all_same(after.p, plain.p)
    assert plain.np_rng.random() == after.np_rng.random()
    before = after.p["chh"]
    after.lrate, after.e = [0.1], 0
    after.forward(np.ones((3, 5, 2)))
    after.backward(np.ones((3, 4)))
    gru_compute_gradients(after)
    after.update_parameters()
    assert after.p["chh"] is before
    np.testing.assert_allclose(before, -0.1 * after.g["dchh"])
    assert before.any()


def test_options_that_change_count_from_the_next_forward_on():
    layer = random_layer(2, 4, reset_after=True, reverse=True, dropout=0.4, zoneout=0.3)
    twin = copy.deepcopy(layer)
    X, lengths, h0 = random_batch(3, 5, 2, 4, True)
    for each in (layer, twin):
        each.forward(X, lengths, h0)
    layer.reverse, layer.dropout, layer.zoneout = False, 0.0, 0.1
    np.testing.assert_array_equal(layer.backward(np.ones((3, 4))), twin.backward(np.ones((3, 4))))
    np.testing.assert_array_equal(layer.dh0, twin.dh0)
    for each in (layer, twin):
        each.compute_gradients()
    assert_all_same(layer.g, twin.g)
    layer.reset_after, layer.zoneout = False, 0.0
    layer.compute_shapes(X)
    layer.initialize_parameters()
    X, lengths, h0 = random_batch(3, 5, 2, 4, False)
    layer.forward(X)
    layer.backward(np.ones((3, 4)))
    layer.compute_gradients()
    assert not {"c", "chh", "input_mask", "zoneout"} & (set(layer.fs) | set(layer.fc) | set(layer.p))
    assert not {"dc", "dchh"} & (set(layer.bs) | set(layer.bc) | set(layer.g))


# --- states ---


@pytest.mark.parametrize("call", ["forward", "predict"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("reset_after", [False, True])
def test_stateful_pieces_are_one_sequence(reset_after, sequences, call):
    layer = random_layer(3, 5, sequences=sequences, reset_after=reset_after, zoneout=0.2)
    layer.training = False
    X, _, _ = random_batch(4, 9, 3, 5, False)
    whole = layer.forward(X)
    layer.stateful = True
    layer.reset_state()
    pieces = [getattr(layer, call)(X[:, start : start + 3]) for start in (0, 3, 6)]
    assert_close(np.concatenate(pieces, 1) if sequences else pieces[-1], whole, 1e-14)
    again = getattr(layer, call)(X[:, :3])
    assert np.abs(again - pieces[0]).max() > 1e-3
    layer.reset_state()
    np.testing.assert_array_equal(getattr(layer, call)(X[:, :3]), pieces[0])


def test_states():
    layer = random_layer(2, 4)
    assert layer.state is None
    layer.reset_state()
    X, lengths, h0 = random_batch(3, 5, 2, 4, True)
    layer.predict(X, lengths)
    assert layer.state is None
    layer.forward(X, lengths, h0)
    first, kept = layer.state, layer.state.copy()
    np.testing.assert_array_equal(first, layer.fc["h"][:, -1])
    fresh = layer.forward(X, lengths)
    np.testing.assert_array_equal(first, kept)
    layer.stateful = True
    layer.state = h0.tolist()
    np.testing.assert_array_equal(layer.forward(X, lengths), kept)
    np.testing.assert_array_equal(layer.forward(X, lengths, np.zeros((3, 4))), fresh)
    layer.predict(X[:, ::-1], h0=h0)
    np.testing.assert_array_equal(layer.predict(X), layer.predict(X, h0=layer.predict(X[:, ::-1], h0=h0)))


@pytest.mark.parametrize("call", ["forward", "predict"])
@pytest.mark.parametrize("m", [1, 5])
@pytest.mark.parametrize("reset_after", [False, True])
def test_stateful_ragged_batches_go_on_from_each_samples_own_last_state(reset_after, m, call):
    layer = random_layer(2, 4, sequences=True, stateful=True, reset_after=reset_after)
    X, lengths, _ = random_batch(m, 6, 2, 4, True)
    first = getattr(layer, call)(X, lengths)
    np.testing.assert_array_equal(layer.state, first[np.arange(m), lengths - 1])
    assert not first[~reference.mask(lengths, 6)[:, :, 0]].any()
    state = layer.state
    np.testing.assert_array_equal(getattr(layer, call)(X, lengths), layer.predict(X, lengths, state))


def test_a_state_of_other_samples_is_refused():
    layer = random_layer(2, 4, stateful=True)
    layer.forward(np.ones((3, 5, 2)))
    state = layer.state
    for call in (layer.forward, layer.predict):
        with pytest.raises(ValueError, match="A: "):
            call(np.ones((2, 5, 2)))
        assert layer.state is state
    layer.backward(np.ones((3, 4)))
    for wrong, error in ((np.ones((3, 5)), ValueError), (np.ones((3, 4), complex), TypeError), ("a", TypeError)):
        layer.state = wrong
        with pytest.raises(error, match="state: "):
            layer.predict(np.ones((3, 5, 2)))


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_dstate_is_a_gradient_of_the_last_state(ragged):
    """On the compiled path: with sequences=False it may come in either way."""
    X, lengths, h0 = random_batch(5, 6, 2, 4, ragged)
    d = np.random.default_rng(5).standard_normal((5, 4))
    last, every = random_layer(2, 4), random_layer(2, 4, sequences=True)
    last.forward(X, lengths, h0)
    every.forward(X, lengths, h0)
    due = last.backward(d)
    assert_close(every.backward(np.zeros((5, 6, 4)), d), due, 1e-14)
    assert_close(every.dh0, last.dh0, 1e-14)
    np.testing.assert_array_equal(last.dh0, last.bc["dh"][:, 0])
    assert_close(last.backward(0.25 * d, 0.75 * d), due, 1e-13)


def test_dh0_and_dstate_are_checked():
    layer = random_layer(2, 4)
    layer.forward(np.ones((3, 5, 2)))
    for _ in range(2):  # with no backward at all, and with one of the batch before
        with pytest.raises(RuntimeError, match="dh0: "):
            layer.dh0  # noqa: B018
        layer.backward(np.ones((3, 4)))
        assert layer.dh0.shape == (3, 4)
        layer.forward(np.ones((3, 5, 2)))
    layer.bc.clear()
    for wrong, error in ((np.ones((3, 5)), ValueError), (np.ones((3, 4), complex), TypeError)):
        with pytest.raises(error, match="dstate: "):
            layer.backward(np.ones((3, 4)), wrong)
    assert not layer.bc


# --- dropout and zoneout ---


def test_nothing_is_drawn_where_all_is_off():
    layer = random_layer(2, 4, reset_after=True, reverse=True, **dict.fromkeys(RATES, 0.0))
    state = layer.np_rng.bit_generator.state
    X = np.ones((3, 5, 2))
    due = layer.forward(X)
    assert layer.np_rng.bit_generator.state == state
    layer.dropout, layer.recurrent_dropout, layer.zoneout = RATES.values()
    layer.predict(X)
    layer.training = False
    layer.forward(X)
    assert layer.np_rng.bit_generator.state == state
    layer.zoneout = 0
    np.testing.assert_array_equal(layer.forward(X), due)
    np.testing.assert_array_equal(layer.predict(X), due)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_masks_are_drawn_anew_at_their_rates(dtype):
    layer = random_layer(30, 30, dtype=dtype, **RATES)
    twin = random_layer(30, 30, **RATES)
    X = np.ones((40, 5, 30))
    layer.forward(X)
    twin.forward(X)
    first = {name: layer.fc[name] for name in MASKS}
    for (name, mask), rate in zip(first.items(), RATES.values(), strict=True):
        np.testing.assert_array_equal(mask != 0, twin.fc[name] != 0)  # the same generator, whatever the dtype
        kept = 1 if name == "zoneout" else dtype(1) / dtype(1 - rate)
        assert set(np.unique(mask)) == {0, kept}
        share = (mask == 0).mean()
        assert abs(share - (1 - rate if name == "zoneout" else rate)) < 0.04
    layer.forward(X)
    for name, mask in first.items():
        assert (mask != layer.fc[name]).any()


def test_masks_that_are_handed_in():
    layer = random_layer(2, 4, dropout=0.4, zoneout=0.3)
    X, _, _ = random_batch(3, 5, 2, 4, False)
    layer.masks = {"input_mask": np.full((3, 2), 2)}
    layer.forward(X)
    assert not (layer.fc["input_mask"] - 2).any()
    assert set(np.unique(layer.fc["zoneout"])) == {0, 1}  # which is still drawn
    layer.dropout = layer.zoneout = 0
    due = reference.forward(layer.p, X, input_mask=np.full((3, 2), 2.0))["h"][:, -1]
    assert_close(layer.forward(X), due, 1e-14)
    assert "zoneout" not in layer.fs
    assert_close(layer.predict(X), reference.forward(layer.p, X)["h"][:, -1], 1e-14)
    layer.masks = None
    np.testing.assert_array_equal(layer.forward(X), layer.predict(X))
    assert "input_mask" not in layer.fs


@pytest.mark.parametrize(
    ("masks", "error", "argument"),
    [
        ({"input_mask": np.ones((3, 4))}, ValueError, "masks['input_mask']"),
        ({"recurrent_masks": np.ones((3, 4))}, ValueError, "masks['recurrent_masks']"),
        ({"zoneout": np.ones((3, 5, 4), complex)}, TypeError, "masks['zoneout']"),
        ({"zoneouts": 1}, ValueError, "masks"),
    ],
)
def test_masks_that_do_not_fit(masks, error, argument):
    layer = random_layer(2, 4, dropout=0.4)
    layer.forward(np.ones((3, 5, 2)))
    kept, state = dict(layer.fc), layer.np_rng.bit_generator.state
    layer.masks = masks
    with refuses(error, argument):
        layer.forward(np.ones((3, 5, 2)))
    assert all(layer.fc[name] is value for name, value in kept.items())
    assert layer.np_rng.bit_generator.state == state
    layer.backward(np.ones((3, 4)))


# --- copies, threads, interrupts ---


def test_repr():
    assert repr(cgru.GRU(2)).endswith("sequences=False, dtype=float64)")
    layer = cgru.GRU(2, reverse=True, zoneout=np.float32(0.25), dropout=0)
    assert repr(layer).endswith("dtype=float64, reverse=True, zoneout=0.25)")


def test_an_interrupt_leaves_no_lock_and_the_state():
    layer = random_layer(2, 4, stateful=True, zoneout=0.1)
    X = np.ones((3, 5, 2))
    layer.forward(X)
    state = layer.state

    def interrupted(x, deriv=False):
        raise KeyboardInterrupt

    layer.activate = interrupted
    for call in (layer.forward, layer.predict):
        with pytest.raises(KeyboardInterrupt):
            call(X)
        assert layer.state is state
    layer.activate = cgru.tanh
    other = threading.Thread(target=layer.forward, args=(X,))
    other.start()
    other.join()
    assert layer.state is not state
    layer.backward(np.ones((3, 4)))


# --- in a network ---


def test_options_that_are_off_are_not_stored(tmp_path):
    net = cgru.Network([cgru.GRU(6, stateful=True, dropout=np.float32(0.5)), cgru.Dense(2, cgru.softmax)], seed=1)
    net.predict(np.ones((3, 5, 2)))
    net.save(tmp_path / "model")
    with np.load(tmp_path / "model", allow_pickle=False) as npz:
        description = json.loads(str(npz["model"]))["layers"][0]
    assert description["variant"] == "reset_before"
    assert (description["stateful"], description["dropout"]) == (True, 0.5)
    assert not {"reverse", "zoneout", "recurrent_dropout"} & set(description)
    loaded = cgru.load(tmp_path / "model").layers[0]
    assert (loaded.stateful, loaded.state) == (True, None)


def test_the_flags_of_a_variant():
    layer = cgru.GRU(4, reset_after=True)
    layer.layer_norm = False  # as it is
    assert layer.variant is RESET_AFTER
    layer.layer_norm = True
    assert layer.variant is LAYER_NORM
    layer.reset_after = True
    assert layer.variant is LAYER_NORM
    layer.reset_after = False
    assert layer.variant is RESET_BEFORE
    both = cgru.Bidirectional(cgru.GRU(4))
    both.reset_after = True
    assert [half.variant for half in both.cells] == [RESET_AFTER] * 2
    assert both.reset_after


@pytest.mark.parametrize("harm", [{"masks": {"bad": 1}}, {"activate": "nope"}, {"activate": 3}])
def test_what_is_refused_makes_no_parameters(harm):
    layer = cgru.GRU(4, rng=0)
    both = cgru.Bidirectional(cgru.GRU(4, rng=0))
    for name, value in harm.items():
        setattr(layer, name, value)
        setattr(both.backward_layer, name, value)
    for call in (layer.forward, layer.predict, layer.run, both.forward, both.predict):
        with pytest.raises((TypeError, ValueError)):
            call(np.ones((3, 5, 2)))
    assert not layer.p
    assert not both.p
    assert layer.d == {"u": 4}


@pytest.mark.parametrize("name", ["gelu", "silu", "softplus"])
def test_activations_that_gates_compute_in_python(name):
    """They need what comes before them to go back; the reference is the equations."""
    f, X = getattr(cgru, name), np.random.default_rng(0).standard_normal((3, 5, 2))
    layer, plain = (cgru.GRU(4, given, sequences=True, rng=0) for given in (name, lambda x, deriv=False: f(x, deriv)))
    for each in (layer, plain):
        each.backward(np.cos(each.forward(X)))
        each.compute_gradients()
    assert layer.codes() is None
    np.testing.assert_array_equal(layer.fc["A"], plain.fc["A"])
    np.testing.assert_array_equal(layer.g["dVhh"], plain.g["dVhh"])
    net = cgru.Network([layer])
    writers = [lambda _: cgru.interop.to_onnx(net)] if importlib.util.find_spec("onnx") else []
    for refused in (cgru.Cell, lambda _: cgru.Stream(net), lambda _: cgru.quantize(net), *writers):
        with pytest.raises(ValueError, match=name):
            refused(layer)
    with refuses(ValueError, "activate"):
        cgru.GRU(4, cgru.log_softmax).forward(X)
