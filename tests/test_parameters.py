"""The four functions of the layer's parameters on layer-like objects of any kind."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_all_same, assert_close, double, random_batch, random_layer, refuses

import cgru
from cgru import reference
from cgru.core import plan
from cgru.parameters import gru_compute_gradients, gru_compute_shapes, gru_initialize_parameters, gru_update_parameters


def bare(u=4, **attributes):
    """An object with the attributes that the functions name and nothing else."""
    return SimpleNamespace(d={"u": u}, fs={}, p={}, g={}, fc={}, bc={}, **attributes)


def trained(m=5, s=6, e=3, u=4, dtype=np.float64):
    """A bare object as it stands after a backward pass, from the reference."""
    layer = bare(u)
    layer.p = random_layer(e, u, dtype=dtype).p
    X, _, h0 = random_batch(m, s, e, u, False, dtype)
    layer.fc = reference.forward(layer.p, X, h0)
    layer.bc = reference.backward(layer.p, layer.fc, np.random.default_rng(3).standard_normal((m, s, u)).astype(dtype))
    return layer


# --- shapes ---


def test_shapes():
    layer = bare(4)
    gru_compute_shapes(layer, np.zeros((2, 5, 3)))
    assert layer.d == {"u": 4, "m": 2, "s": 5, "e": 3}
    assert layer.fs == {
        "X": (2, 5, 3), "h": (2, 5, 4),
        "Uz": (3, 4), "Ur": (3, 4), "Uhh": (3, 4),
        "Vz": (4, 4), "Vr": (4, 4), "Vhh": (4, 4),
        "bz": (1, 4), "br": (1, 4), "bhh": (1, 4),
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4, 5), (0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_shapes_refused(shape):
    layer = bare(4)
    with refuses(ValueError, "A"):
        gru_compute_shapes(layer, np.zeros(shape))
    assert layer.d == {"u": 4}
    assert not layer.fs


def test_shapes_need_units():
    layer = bare()
    layer.d = {}
    with pytest.raises(RuntimeError, match=r"d\['u'\]"):
        gru_compute_shapes(layer, np.zeros((2, 5, 3)))


# --- initial values ---


def test_initial_values_come_in_the_order_of_the_contract():
    layer = bare(4, np_rng=np.random.default_rng(7), initialization=cgru.orthogonal)
    gru_compute_shapes(layer, np.zeros((2, 5, 3)))
    layer.p = {"bhh": None, "Uz": None}
    gru_initialize_parameters(layer)
    assert list(layer.p) == ["Uz", "Vz", "bz", "Ur", "Vr", "br", "Uhh", "Vhh", "bhh"]
    rng = np.random.default_rng(7)
    for name in layer.p:
        if name[0] == "b":
            assert not layer.p[name].any()
        else:
            np.testing.assert_array_equal(layer.p[name], cgru.orthogonal(layer.fs[name], rng))


@pytest.mark.parametrize(
    ("initialization", "error"),
    [(lambda shape, rng: np.zeros(3), ValueError), (lambda shape, rng: np.full(shape, "a"), TypeError)],
)
def test_initial_values_refused(initialization, error):
    layer = bare(4, np_rng=np.random.default_rng(7), initialization=initialization)
    gru_compute_shapes(layer, np.zeros((2, 5, 3)))
    with pytest.raises(error, match="initialization"):
        gru_initialize_parameters(layer)
    assert not layer.p


def test_initial_values_out_of_order():
    layer = bare(4, np_rng=np.random.default_rng(7), initialization=cgru.orthogonal)
    with pytest.raises(RuntimeError, match=r"fs\['Uz'\].*compute_shapes"):
        gru_initialize_parameters(layer)
    del layer.np_rng
    with pytest.raises(RuntimeError, match="np_rng"):
        gru_initialize_parameters(layer)


def test_initial_values_are_nobody_elses():
    W = {shape: np.ones(shape) for shape in ((3, 4), (4, 4))}
    layer = bare(4, np_rng=np.random.default_rng(7), initialization=lambda shape, rng: W[shape])
    gru_compute_shapes(layer, np.zeros((2, 5, 3)))
    gru_initialize_parameters(layer)
    assert not any(np.shares_memory(layer.p[name], W[3, 4]) for name in ("Uz", "Ur", "Uhh"))
    assert not np.shares_memory(layer.p["Vz"], layer.p["Vr"])


# --- gradients ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradients_over_odd_sizes(level, dtype):
    sizes = zip(itertools.product(ODD, ODD), itertools.cycle(((1, 1), (2, 7), (7, 17), (17, 33))))
    for (e, u), (m, s) in sizes:
        layer = trained(m, s, e, u, dtype)
        gru_compute_gradients(layer)
        due = reference.gradients(double(layer.p), double(layer.fc), double(layer.bc))
        assert list(layer.g) == ["d" + name for name in layer.p]
        for name, value in layer.g.items():
            assert value.dtype == dtype
            assert_close(value, due[name], 10 * TOLERANCE[value.dtype], (m, s, e, u, name))


def test_gradients_of_any_strides_and_real_dtype(request):
    request.addfinalizer(plan.use_samples_in_lanes)
    plan.use_samples_in_lanes(False)  # the layout, and with it the bits, may depend on the strides
    layer = trained()
    gru_compute_gradients(layer)
    due = layer.g
    layer.g = {}
    layer.fc = {name: np.asfortranarray(value) for name, value in layer.fc.items()}
    layer.bc = {name: np.repeat(value, 2, axis=1)[:, ::2].astype(np.longdouble) for name, value in layer.bc.items()}
    layer.p = {name: np.asfortranarray(value) for name, value in layer.p.items()}
    gru_compute_gradients(layer)
    assert_all_same(due, layer.g)

    layer.fc["X"] = np.random.default_rng(0).integers(-3, 4, layer.fc["X"].shape)
    layer.g = {}
    gru_compute_gradients(layer)
    fc = double(layer.fc)
    assert_close(layer.g, reference.gradients(layer.p, fc, double(layer.bc)), 1e-13)


def test_gradients_start_from_zero_and_leave_the_last_ones_alone():
    layer = trained()
    gru_compute_gradients(layer)
    kept = layer.g["dUz"]
    value = kept.copy()
    gru_compute_gradients(layer)
    assert layer.g["dUz"] is not kept
    np.testing.assert_array_equal(kept, value)
    np.testing.assert_array_equal(layer.g["dUz"], value)


@pytest.mark.parametrize(
    ("cache", "name", "due"),
    [("fc", "X", "forward"), ("fc", "hp", "forward"), ("bc", "dz_", "backward"), ("p", "Vr", "initialize_parameters")],
)
def test_gradients_out_of_order(cache, name, due):
    layer = trained()
    del getattr(layer, cache)[name]
    with pytest.raises(RuntimeError, match=rf"{cache}\['{name}'\].*{due}"):
        gru_compute_gradients(layer)
    assert not layer.g


@pytest.mark.parametrize(
    ("cache", "name", "value", "error"),
    [
        ("fc", "X", np.zeros((5, 6)), ValueError),
        ("fc", "r", np.zeros((5, 6, 9)), ValueError),
        ("bc", "dr_", np.zeros((5, 7, 4)), ValueError),
        ("bc", "dhh_", np.zeros((5, 6, 4), complex), TypeError),
        ("p", "Uz", np.zeros((9, 4)), ValueError),
        ("p", "bz", np.zeros(4), ValueError),
    ],
)
def test_gradients_refused(cache, name, value, error):
    layer = trained()
    getattr(layer, cache)[name] = value
    with pytest.raises(error, match=rf"{cache}\['{name}'\]: expected"):
        gru_compute_gradients(layer)
    assert not layer.g


# --- the update ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize("order", ["C", "F"])
def test_update_in_place(dtype, order):
    layer = trained()
    gru_compute_gradients(layer)
    layer.p = {name: np.array(value, dtype, order=order) for name, value in layer.p.items()}
    layer.lrate, layer.e = [9.0, 0.125], 1
    held = dict(layer.p)
    due = {name: value - (0.125 * layer.g["d" + name]).astype(dtype) for name, value in layer.p.items()}
    gru_update_parameters(layer)
    for name, value in layer.p.items():
        assert value is held[name]
        np.testing.assert_allclose(value, due[name], rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_update_of_a_view_of_something_larger():
    layer = trained()
    gru_compute_gradients(layer)
    layer.lrate, layer.e = [1.0], 0
    store = np.zeros((6, 12))
    layer.p["Uz"] = store[::2, ::3]
    gru_update_parameters(layer)
    np.testing.assert_array_equal(store[::2, ::3], -layer.g["dUz"])
    assert not store[1::2].any()


def test_update_by_gradients_of_any_strides_leaves_none_half_done(monkeypatch):
    """Such gradients are copied first, so that NumPy, which allocates, is not asked on the way."""
    layer = trained()
    gru_compute_gradients(layer)
    layer.g = {name: np.repeat(array, 2, axis=1)[:, ::2] for name, array in layer.g.items()}
    layer.lrate, layer.e = [0.125], 0
    due = {name: value - 0.125 * layer.g["d" + name] for name, value in layer.p.items()}
    monkeypatch.setattr(np, "subtract", None)
    gru_update_parameters(layer)
    assert_all_same(due, layer.p)


def test_only_what_has_a_gradient_is_updated():
    layer = trained()
    layer.g = {"dbz": np.ones((1, 4))}
    layer.lrate, layer.e = (0.5,), 0
    kept = {name: value.copy() for name, value in layer.p.items()}
    gru_update_parameters(layer)
    for name, value in layer.p.items():
        np.testing.assert_allclose(value, kept[name] - (0.5 if name == "bz" else 0))


def test_update_refused_before_anything_is_touched():
    def attempt(error, match, change):
        layer = trained()
        gru_compute_gradients(layer)
        layer.lrate, layer.e = [0.1], 0
        change(layer)
        kept = {name: np.array(value) for name, value in layer.p.items()}
        with pytest.raises(error, match=match):
            gru_update_parameters(layer)
        assert_all_same(layer.p, kept)

    def freeze(layer):
        layer.p["bhh"].flags.writeable = False

    attempt(RuntimeError, "compute_gradients", lambda layer: layer.g.clear())
    attempt(RuntimeError, r"layer\.lrate", lambda layer: vars(layer).pop("lrate"))
    attempt(RuntimeError, r"layer\.e:", lambda layer: vars(layer).pop("e"))
    attempt(ValueError, "lrate: .*e = 1", lambda layer: setattr(layer, "e", 1))
    attempt(ValueError, "lrate: .*e = -1", lambda layer: setattr(layer, "e", -1))
    for lrate in (None, {}, 0.1, [None], [1j], "ab"):
        attempt(TypeError, "lrate: expected", lambda layer, lrate=lrate: setattr(layer, "lrate", lrate))
    attempt(RuntimeError, r"p\['bhh'\]", lambda layer: layer.p.pop("bhh"))
    attempt(ValueError, r"g\['dbhh'\]: expected shape", lambda layer: layer.g.update(dbhh=np.ones((2, 4))))
    attempt(TypeError, r"p\['bhh'\].*int64", lambda layer: layer.p.update(bhh=np.ones((1, 4), np.int64)))
    attempt(TypeError, r"p\['bhh'\].*list", lambda layer: layer.p.update(bhh=[[1.0] * 4]))
    attempt(ValueError, r"p\['bhh'\].*read-only", freeze)
