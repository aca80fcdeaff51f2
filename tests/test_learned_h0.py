"""`learn_h0`: the state before the first step as a parameter, in a layer and whatever takes layers."""

import itertools

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_all_same, assert_close, double, random_batch, random_layer

import cgru
from cgru import interop, reference
from cgru.optimizers import is_matrix
from cgru.parameters import gru_compute_gradients
from cgru.variant import LEARNED, NAMES, VARIANTS

KINDS = [{}, {"reset_after": True}, {"layer_norm": True}]
RNG = np.random.default_rng(0)


def learner(e, u, **options):
    return random_layer(e, u, learn_h0=True, **options)


def test_what_it_has():
    layer = cgru.GRU(4, learn_h0=True, layer_norm=True)
    assert "learn_h0=True" in repr(layer)
    assert "learn_h0" not in repr(cgru.GRU(4))
    layer.make(np.zeros((1, 1, 3)))
    assert tuple(layer.p) == layer.parameter_names == (*cgru.variant.LAYER_NORM.names, "h0")
    assert layer.p["h0"].shape == layer.fs["h0"] == (1, 4)
    assert not layer.p["h0"].any()
    assert not is_matrix("0.forward.h0")  # no weight decay
    drawn = cgru.GRU(4, layer_norm=True, rng=0), cgru.GRU(4, layer_norm=True, rng=0, learn_h0=True)
    for each in drawn:
        each.make(np.zeros((1, 1, 3)))
    assert_all_same(drawn[1].p, drawn[0].p)
    with pytest.raises(TypeError, match="learn_h0: "):
        cgru.GRU(4, learn_h0=1)
    layer.p["h0"] = np.zeros(4)
    with pytest.raises(ValueError, match=r"p\['h0'\]: "):
        layer.predict(np.zeros((1, 1, 3)))
    del layer.p["h0"]
    with pytest.raises(ValueError, match=r"p\['h0'\]: missing"):
        layer.forward(np.zeros((1, 1, 3)))


def test_the_variant_may_be_set_by_each_property():
    layer = cgru.GRU(2, reset_after=True)
    layer.learn_h0 = True
    assert layer.variant is LEARNED["reset_after"]
    layer.layer_norm = True
    assert layer.variant is LEARNED["layer_norm"]
    layer.layer_norm = False
    assert layer.variant is LEARNED["reset_before"]
    layer.learn_h0 = False
    assert layer.variant is VARIANTS["reset_before"]
    for name, variant in LEARNED.items():
        assert variant.step is VARIANTS[name] is VARIANTS[name].step
        assert set(NAMES) >= set(variant.names)


def check(m, s, e, u, dtype, ragged, reverse, kind):
    layer = learner(e, u, dtype=dtype, sequences=True, reverse=reverse, **kind)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    options = layer.variant.options | {"reverse": reverse}
    dA, dstate = RNG.standard_normal((m, s, u)).astype(dtype), RNG.standard_normal((m, u)).astype(dtype)
    A = layer.forward(X, lengths)
    layer.backward(dA, dstate)
    layer.compute_gradients()
    p, clean = double(layer.p), np.nan_to_num(X).astype(np.float64)
    fc = reference.forward(p, clean, None, lengths, **options)
    bc = reference.backward(p, fc, dA.astype(np.float64), lengths, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, lengths, **options)
    real = slice(None) if lengths is None else reference.mask(lengths, s)[:, :, 0]
    tolerance, where = TOLERANCE[np.dtype(dtype)] * (5 if layer.layer_norm else 1), (m, s, e, u, ragged, reverse, kind)
    assert_close(A[real], fc["h"][real], tolerance, where)
    assert_close(layer.bc["dX"], bc["dX"], 10 * tolerance, where)
    assert layer.g["dh0"].shape == (1, u)
    assert layer.g["dh0"].dtype == dtype
    assert_close(layer.g, g, 10 * tolerance, where)
    np.testing.assert_allclose(layer.g["dh0"][0], layer.dh0.sum(axis=0, dtype=dtype), rtol=1e-4, atol=1e-5)
    own = layer.g
    layer.g = {}
    gru_compute_gradients(layer)  # the public function, from the dicts
    assert list(layer.g) == list(own)
    assert_close(layer.g, own, 10 * tolerance, where)
    np.testing.assert_array_equal(layer.predict(X, lengths), A)
    np.testing.assert_array_equal(layer.predict(X, lengths, np.repeat(layer.p["h0"], m, axis=0)), A)
    layer.sequences = False
    np.testing.assert_array_equal(layer.predict(X, lengths), layer.state)
    layer.sequences = True
    given = layer.run(X, lengths, h0)
    given.backward(dA)
    assert given.begins is False
    assert not given.gradients()["dh0"].any()
    given.begins = np.arange(m) % 2 == 0
    assert_close(given.gradients()["dh0"][0], given.dh0[::2].sum(axis=0), 10 * tolerance, where)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_against_the_reference(level, dtype, ragged, kind):
    """Each u with each (m, s) in both directions, of which each e has one."""
    shapes = itertools.product((1, 7), ODD, ((1, 1), (2, 7), (17, 3)))
    for i, (e, u, (m, s)) in enumerate(shapes):  # an odd number for each e
        check(m, s, e, u, dtype, ragged, i % 2 == 1, kind)


def test_a_state_that_was_carried_is_no_parameter():
    layer, X = learner(3, 4, stateful=True), RNG.standard_normal((5, 6, 3))
    begins = []
    for _ in range(3):
        layer.forward(X)
        layer.backward(np.ones((5, 4)))
        layer.compute_gradients()
        begins.append(layer.g["dh0"].any())
    assert begins == [True, False, False]
    A = layer.predict(X)
    layer.reset_state()
    assert (layer.predict(X) != A).any()
    layer.reset_state()
    np.testing.assert_array_equal(layer.predict(X), layer.predict(X, h0=np.repeat(layer.p["h0"], 5, axis=0)))


def network(dtype=np.float64, **options):
    """A stack with random parameters that begins at random states."""
    layers = [cgru.GRU(u, sequences=True, learn_h0=True, dtype=dtype, **options) for u in (7, 5)]
    net = cgru.Network([*layers, cgru.Dense(2, "identity", dtype=dtype)], seed=0)
    net.predict(np.zeros((1, 1, 3)))
    for value in net.parameters().values():
        value[...] = RNG.standard_normal(value.shape) * 0.5
    return net


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_network_and_stream(dtype, kind):
    net, X = network(dtype, **kind), RNG.standard_normal((5, 4, 3))
    starts = [np.repeat(layer.p["h0"], 5, axis=0) for layer in net.body]
    due, states = net.predict(X, return_state=True)
    for got in (net.predict(X), net.predict(X, h0=starts), net.predict(X, batch_size=2)):
        assert_close(got, due, TOLERANCE[np.dtype(dtype)])
    y = RNG.standard_normal((5, 4, 2))
    assert net.evaluate(X, y)["loss"] == pytest.approx(((due - y) ** 2).mean(), rel=1e-5)
    stream = cgru.Stream(net, 5)
    for again in range(2):
        for t in range(4):
            assert_close(stream.step(X[:, t]), due[:, t], TOLERANCE[np.dtype(dtype)])
        for state, last in zip(stream.state, states, strict=True):
            assert_close(state, last, TOLERANCE[np.dtype(dtype)])
        stream.reset()
        for state, start in zip(stream.state, starts, strict=True):
            np.testing.assert_array_equal(state, start)
        assert again in (0, 1)
    net.layers[0].p["h0"] += 1
    stream.refresh()  # the states stay
    np.testing.assert_array_equal(stream.state[0], starts[0])
    stream.reset()
    np.testing.assert_array_equal(stream.state[0], starts[0] + 1)
    net.layers[0].p["h0"] = np.zeros(7)
    with pytest.raises(ValueError, match="h0"):
        cgru.Stream(net)


def test_a_cell_gets_its_states_from_its_caller():
    layer = learner(3, 4)
    cell = cgru.Cell(layer)
    assert "h0" not in cell.p
    assert cell.variant == "reset_before"
    assert tuple(cgru.Cell(layer.p, LEARNED["reset_before"]).p) == tuple(cell.p)


@pytest.mark.parametrize("make", [lambda layer: layer, cgru.Bidirectional], ids=["one", "both"])
def test_what_pytorch_has_not_is_refused(make):
    with pytest.raises(ValueError, match=r"layer 0, .* it has learn_h0, which the library lacks"):
        interop.to_torch(make(learner(3, 4, reset_after=True)))
