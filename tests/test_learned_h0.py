"""`learn_h0`: the state before the first step as a parameter, in a layer and whatever takes layers."""

import copy
import ctypes
import itertools
import pickle
import shutil

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_close, double, random_batch, random_layer

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
    for name, value in drawn[0].p.items():
        np.testing.assert_array_equal(value, drawn[1].p[name])
    with pytest.raises(TypeError, match="learn_h0: expected True or False"):
        cgru.GRU(4, learn_h0=1)
    layer.p["h0"] = np.zeros(4)
    with pytest.raises(ValueError, match=r"p\['h0'\]: expected shape \(1, 4\)"):
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


def check(m, s, e, u, dtype, ragged, reverse, kind, dropped=False):
    layer = learner(e, u, dtype=dtype, sequences=True, reverse=reverse, **kind)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    options = layer.variant.options | {"reverse": reverse}
    if dropped:
        layer.masks = {
            "input_mask": ((RNG.random((m, e)) < 0.6) / 0.6).astype(dtype),
            "recurrent_masks": ((RNG.random((3, m, u)) < 0.6) / 0.6).astype(dtype),
            "zoneout": (RNG.random((m, s, u)) < 0.3).astype(dtype),
        }
        options |= layer.masks
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
    for name, due in g.items():
        assert_close(layer.g[name], due, 10 * tolerance, (where, name))
    np.testing.assert_allclose(layer.g["dh0"][0], layer.dh0.sum(axis=0, dtype=dtype), rtol=1e-4, atol=1e-5)
    own = layer.g
    layer.g = {}
    gru_compute_gradients(layer)  # the public function, from the dicts
    assert list(layer.g) == list(own)
    for name, value in own.items():
        assert_close(layer.g[name], value, 10 * tolerance, (where, name))
    if not dropped:
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


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_drops_out(dtype, reverse, kind):
    for (m, s), u, ragged in itertools.product(((1, 1), (7, 5), (33, 2)), (1, 7, 33), (False, True)):
        check(m, s, 3, u, dtype, ragged, reverse, kind, dropped=True)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_any_number_of_threads_gives_the_same_bits(threads, kind):
    due = None
    for count in (1, 2):
        threads(count)
        layer = learner(7, 33, sequences=True, **kind)
        X, lengths, _ = random_batch(67, 20, 7, 33, True)
        layer.forward(X, lengths)
        layer.backward(np.ones((67, 20, 33)))
        layer.compute_gradients()
        due = layer.g if due is None else due
        for name, value in due.items():
            np.testing.assert_array_equal(layer.g[name], value, name)


def test_a_callable_of_ones_own():
    layer = learner(3, 4, activate=lambda x, deriv=False: 1 - np.tanh(x) ** 2 if deriv else np.tanh(x))
    plain, X = learner(3, 4), RNG.standard_normal((5, 6, 3))
    for each in (layer, plain):
        each.forward(X)
        each.backward(np.ones((5, 4)))
        each.compute_gradients()
    assert_close(layer.fc["A"], plain.fc["A"], 1e-12)
    assert_close(layer.predict(X), plain.predict(X), 1e-12)
    for name, value in plain.g.items():
        assert_close(layer.g[name], value, 1e-11, name)


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


def test_memory_that_is_handed_in():
    layer, X = learner(3, 4), RNG.standard_normal((5, 6, 3))
    memory = np.empty(layer.cache_numbers(5, 6))
    np.testing.assert_array_equal(layer.run(X, memory=memory).A, layer.predict(X))
    with pytest.raises(ValueError, match="resume: expected a layer without learn_h0"):
        layer.resume(X, memory)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "mul"])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions(merge, sequences):
    layer = cgru.Bidirectional(learner(3, 4, sequences=sequences), merge)
    for half in layer.halves:
        half.p["h0"][...] = RNG.standard_normal((1, 4))
    assert layer.learn_h0
    X, lengths, _ = random_batch(5, 6, 3, 4, True)
    assert (layer.p["forward.h0"] != layer.p["backward.h0"]).all()
    starts = [np.repeat(half.p["h0"], 5, axis=0) for half in layer.halves]
    A = layer.forward(X, lengths)
    np.testing.assert_array_equal(A, layer.predict(X, lengths, np.stack(starts)))
    layer.backward(np.ones_like(A))
    layer.compute_gradients()
    for prefix, half, dh0 in zip(("forward.", "backward."), layer.halves, layer.dh0, strict=True):
        assert_close(layer.g[f"d{prefix}h0"][0], dh0.sum(axis=0), 1e-12)
        assert half.g["dh0"] is layer.g[f"d{prefix}h0"]


def test_only_the_start_can_help():
    """Inputs of zero, equal samples: before anything was learned all weights but h0 have nothing to work on."""
    X, y = np.zeros((8, 3, 2)), np.full((8, 2), 0.7)
    losses = {}
    for learn_h0 in (False, True):
        layer = cgru.GRU(2, learn_h0=learn_h0, rng=1)
        net = cgru.Network([layer, cgru.Dense(2, "identity", rng=2)], "mse", cgru.Adam(0.05), seed=0)
        net.make(X)
        net.layers[1].p["W"][...] = np.eye(2)
        net.layers[1].trainable = False
        for name, value in layer.p.items():
            if name != "h0":  # h is z h with z near one: nothing comes in
                value[...] = 20 if name == "bz" else 0
        losses[learn_h0] = net.fit(X, y, epochs=200, batch_size=8).loss[-1]
        if learn_h0:
            np.testing.assert_allclose(layer.p["h0"], 0.7, atol=1e-3)
    assert losses[True] < 1e-6
    assert losses[False] > 0.1


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("twins", [False, True])
def test_files_copies_and_pickles(tmp_path, kind, twins):
    layer = cgru.GRU(4, learn_h0=True, sequences=True, dtype=np.float32, **kind)
    net = cgru.Network([cgru.Bidirectional(layer) if twins else layer, cgru.Pool("mean"), cgru.Dense(2, "softmax")])
    X = RNG.standard_normal((5, 6, 3))
    net.fit(X, np.arange(5) % 2, epochs=2)
    assert all(cell.p["h0"].any() for cell in net.layers[0].cells)
    net.save(tmp_path / "model")
    for other in (cgru.load(tmp_path / "model"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
        assert other.layers[0].learn_h0
        for key, value in net.parameters().items():
            np.testing.assert_array_equal(other.parameters()[key], value, key)
    plain = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")])
    plain.predict(X)
    plain.save(tmp_path / "plain")
    with np.load(tmp_path / "plain") as npz:
        assert "h0" not in str(npz["model"])
        assert "0.h0" not in npz.files


def test_a_fit_that_was_stopped_goes_on(tmp_path):
    def made():
        return cgru.Network([cgru.GRU(4, learn_h0=True), cgru.Dense(2, "softmax")], seed=3)

    X, y = RNG.standard_normal((9, 6, 3)), np.arange(9) % 2
    whole, part = made(), made()
    whole.fit(X, y, epochs=6, batch_size=4)

    def stop(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.fit(X, y, epochs=6, batch_size=4, callback=stop, checkpoint=tmp_path / "c", checkpoint_seconds=0)
    other = made()
    other.fit(X, y, epochs=6, batch_size=4, checkpoint=tmp_path / "c", resume=True)
    for key, value in whole.parameters().items():
        np.testing.assert_array_equal(other.parameters()[key], value, key)
    forgetful = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=3)
    with pytest.raises(ValueError, match="another fit: layer 0"):
        forgetful.fit(X, y, epochs=6, batch_size=4, checkpoint=tmp_path / "c", resume=True)


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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_the_exported_file_begins_there(tmp_path, dtype):
    import subprocess

    net, X = network(dtype), RNG.standard_normal((1, 4, 3)).astype(dtype)
    cgru.export_c(net, tmp_path / "model.c")
    text = (tmp_path / "model.h").read_text(encoding="utf-8")
    assert "the state becomes what was learned." in text
    flags = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC")
    subprocess.run(["gcc", *flags, tmp_path / "model.c", "-o", tmp_path / "model.so", "-lm"], check=True)
    library = ctypes.CDLL(str(tmp_path / "model.so"))
    state, y = np.full(512, np.nan, dtype), np.empty(2, dtype)
    pointer = [ctypes.c_void_p(array.ctypes.data) for array in (state, y)]
    for _ in range(2):
        library.model_init(pointer[0])
        for t, due in enumerate(net.predict(X)[0]):
            library.model_step(pointer[0], ctypes.c_void_p(X[0, t].ctypes.data), pointer[1])
            assert_close(y, due, 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("make", [lambda layer: layer, cgru.Bidirectional], ids=["one", "both"])
def test_what_pytorch_has_not_is_refused(make):
    with pytest.raises(ValueError, match=r"layer 0, .* it has learn_h0, which there is none of"):
        interop.to_torch(make(learner(3, 4, reset_after=True)))
