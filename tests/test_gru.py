"""The contract of cgru.GRU: every member, every key, every refusal, and what becomes of arrays that a caller keeps."""

import copy
import functools
import gc
import os
import pickle
import warnings

import numpy as np
import pytest
from helpers import assert_close, random_batch, random_layer, refuses

import cgru
from cgru import reference
from cgru.activations import bind

FORWARD = {"X", "h", "hp", "hh_", "hh", "z", "z_", "r", "r_", "A"}
BACKWARD = {"dA", "dh_", "dh", "dhn", "dhh_", "dz_", "dr_", "dX"}


def ran(m=3, s=5, e=2, u=4, **options):
    """A layer after one whole training step, and its input."""
    layer = random_layer(e, u, **options)
    X, _, _ = random_batch(m, s, e, u, False)
    A = layer.forward(X)
    layer.backward(np.ones_like(A))
    layer.compute_gradients()
    return layer, X


def snapshot(layer):
    """A deep copy of all that a call could change."""
    names = ("d", "fs", "p", "fc", "bs", "g", "bc", "o", "activation")
    return {name: copy.deepcopy(getattr(layer, name)) for name in names}


def assert_unchanged(layer, before):
    for name, due in before.items():
        got = getattr(layer, name)
        assert list(got) == list(due), name
        for key in due:
            np.testing.assert_array_equal(got[key], due[key], f"{name}[{key!r}]")


# --- members ---


def test_a_new_layer():
    layer = cgru.GRU()
    assert layer.d == {"u": 1}
    for name in ("fs", "p", "fc", "bs", "g", "bc", "o"):
        assert type(getattr(layer, name)) is dict
        assert not getattr(layer, name)
    assert layer.activation == {"activate": "tanh", "activate_update": "sigmoid", "activate_reset": "sigmoid"}
    assert layer.trainable is True
    assert layer.clip_gradients is False
    assert layer.sequences is False
    assert layer.se_hPars is None
    assert layer.initialization is cgru.orthogonal
    assert layer.dtype == np.float64
    assert not any(hasattr(layer, name) for name in ("check", "lrate", "e"))
    layer.check = False
    del layer.check


def test_arguments_in_the_order_of_the_contract():
    layer = cgru.GRU(3, cgru.relu, cgru.elu, cgru.lrelu, cgru.xavier, True, True, {"ELU_alpha": 2})
    assert layer.activation == {"activate": "relu", "activate_update": "elu", "activate_reset": "lrelu"}
    assert (layer.d["u"], layer.initialization, layer.clip_gradients, layer.sequences) == (3, cgru.xavier, True, True)
    with pytest.raises(TypeError):
        cgru.GRU(3, cgru.relu, cgru.elu, cgru.lrelu, cgru.xavier, True, True, None, np.float32)
    assert cgru.GRU(activate=functools.partial(cgru.tanh)).activation["activate"] == "partial"


def test_generator_seed_or_none():
    rng = np.random.default_rng(0)
    assert cgru.GRU(rng=rng).np_rng is rng
    assert cgru.GRU(rng=5).np_rng.random() == np.random.default_rng(5).random()
    assert isinstance(cgru.GRU().np_rng, np.random.Generator)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_keys_and_shapes(sequences, dtype):
    layer, _ = ran(sequences=sequences, dtype=dtype)
    states = (3, 5, 4)
    assert set(layer.fc) == FORWARD
    assert set(layer.bc) == BACKWARD
    assert set(layer.g) == {"d" + name for name in layer.p}
    for name, value in (layer.fc | layer.bc).items():
        due = {"X": (3, 5, 2), "dX": (3, 5, 2), "A": states if sequences else (3, 4)}.get(name, states)
        assert value.shape == due, name
        assert value.dtype == dtype, name
    for cache, shapes in ((layer.fc, layer.fs), (layer.bc, layer.bs)):
        for name, value in cache.items():
            assert shapes[name] == value.shape
    for name, value in layer.p.items():
        assert layer.fs[name] == value.shape == layer.g["d" + name].shape
        assert value.dtype == dtype
    assert layer.d == {"u": 4, "m": 3, "s": 5, "e": 2}


def test_states_share_one_buffer():
    layer, _ = ran()
    np.testing.assert_array_equal(layer.fc["h"][:, :-1], layer.fc["hp"][:, 1:])
    assert np.shares_memory(layer.fc["h"], layer.fc["hp"])
    np.testing.assert_array_equal(layer.bc["dh"][:, 1:], layer.bc["dhn"][:, :-1])
    assert not layer.bc["dhn"][:, -1].any()


@pytest.mark.parametrize("preactivations", [None, True, False])
def test_preactivations(preactivations):
    layer, X = ran(preactivations=preactivations)
    kept = preactivations is not False
    assert set(layer.fc) == (FORWARD if kept else FORWARD - {"hh_", "z_", "r_"})
    assert ("hh_" in layer.fs) == kept
    layer.preactivations = False
    layer.forward(X)
    assert "hh_" not in layer.fc
    assert "hh_" not in layer.fs


@pytest.mark.parametrize("scale", [1e160, 1, 1e-3, 0])
def test_clipping_by_the_joint_norm(scale):
    layer, _ = ran()
    layer.backward(np.full((3, 4), scale))
    layer.compute_gradients()
    free = {name: value.copy() for name, value in layer.g.items()}
    layer.clip_gradients = True
    layer.compute_gradients()
    largest = max(np.abs(value).max() for value in free.values()) or 1
    norm = largest * np.sqrt(sum(((value / largest) ** 2).sum() for value in free.values()))
    for name, value in layer.g.items():
        assert_close(value, free[name] * min(1, 0.25 / norm if norm else 1), 1e-13)


def test_parameters_count_from_the_next_call_on():
    layer, X = ran()
    layer.p["Uz"] = other = np.random.default_rng(4).standard_normal((2, 4))
    np.testing.assert_allclose(layer.predict(X), reference.forward(layer.p, X)["h"][:, -1])
    other *= 0.5
    np.testing.assert_allclose(layer.forward(X), reference.forward(layer.p, X)["h"][:, -1])


def test_activations_and_their_parameters_are_looked_up_at_each_call():
    layer, X = ran()
    layer.activate = cgru.elu
    layer.se_hPars = tuned = {"ELU_alpha": 0.5}
    first = layer.forward(X)
    assert layer.activation["activate"] == "elu"
    np.testing.assert_allclose(
        first, reference.forward(layer.p, X, activate=functools.partial(cgru.elu, se_hPars=tuned))["h"][:, -1]
    )
    tuned["ELU_alpha"] = 0.25
    assert np.abs(layer.predict(X) - first).max() > 1e-6


def test_an_initializer_draws_in_double_and_rounds():
    single = cgru.GRU(4, dtype=np.float32, rng=3)
    double = cgru.GRU(4, rng=3)
    for layer in (single, double):
        layer.compute_shapes(np.empty((1, 1, 2)))
        layer.initialize_parameters()
    for name, value in single.p.items():
        np.testing.assert_array_equal(value, double.p[name].astype(np.float32))


# --- activations of the caller's ---


class Swish:
    """A callable without a name; counts its calls."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x, deriv=False):
        self.shapes.append(x.shape)
        s = 1 / (1 + np.exp(-x))
        return s + x * s * (1 - s) if deriv else x * s


@pytest.mark.parametrize("gate", ["activate", "activate_update", "activate_reset"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("preactivations", [True, False])
def test_any_callable(gate, ragged, preactivations):
    swish = Swish()
    layer = random_layer(2, 4, sequences=True, preactivations=preactivations, **{gate: swish})
    assert layer.activation[gate] == "Swish"
    X, lengths, h0 = random_batch(3, 5, 2, 4, ragged)
    A = layer.forward(X, lengths, h0)
    assert set(swish.shapes) == {(3, 4)}
    assert len(swish.shapes) == 5
    assert ("hh_" in layer.fc) == preactivations
    np.testing.assert_array_equal(layer.predict(X, lengths, h0), A)
    dA = np.random.default_rng(2).standard_normal(A.shape)
    layer.backward(dA)
    layer.compute_gradients()
    fc = reference.forward(layer.p, X, h0, lengths, **{gate: swish})
    bc = reference.backward(layer.p, fc, dA, lengths, **{gate: swish})
    assert_close(layer.g, reference.gradients(layer.p, fc, bc, lengths), 1e-13)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"activate": cgru.relu}, {"activate": cgru.tanh}),
        ({"activate": cgru.elu, "se_hPars": {"ELU_alpha": 1.0}}, {"se_hPars": {"ELU_alpha": 0.2}}),
        ({"activate": Swish()}, {"activate": cgru.tanh}),
        ({"activate": cgru.tanh}, {"activate": Swish()}),
    ],
)
def test_an_activation_that_changes_before_backward(before, after):
    layer = random_layer(2, 4, **before)
    X, _, _ = random_batch(3, 5, 2, 4, False)
    layer.forward(X)
    vars(layer).update(after)
    layer.backward(np.ones((3, 4)))
    dA = np.zeros((3, 5, 4))
    dA[:, -1] = 1
    due = reference.backward(layer.p, layer.fc, dA, activate=bind(layer.activate, layer.se_hPars))
    assert_close(layer.bc["dX"], due["dX"], 1e-13)


def test_a_callable_that_equals_anything_is_still_its_own():
    class Sly(Swish):
        def __eq__(self, other):
            return True

        __hash__ = None

    layer, X = ran()
    due = layer.predict(X)
    layer.activate = Sly()
    assert np.abs(layer.predict(X) - due).max() > 1e-3


def test_a_callable_that_raises_leaves_no_caches():
    layer, X = ran()

    def breaks(x, deriv=False):
        raise ZeroDivisionError

    layer.activate = breaks
    with pytest.raises(ZeroDivisionError):
        layer.forward(X)
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.ones((3, 4)))
    layer.activate = cgru.tanh
    layer.forward(X)
    layer.backward(np.ones((3, 4)))


def test_a_callable_of_the_wrong_shape_or_kind():
    layer, X = ran()
    for f, error in ((lambda x: x[0], ValueError), (lambda x: x.astype(complex), TypeError)):
        layer.activate_update = f
        with pytest.raises(error, match=r"activate_update\(x\)"):
            layer.predict(X)


def test_backward_with_another_kind_of_activation():
    layer = random_layer(2, 4, preactivations=False)
    X, _, _ = random_batch(3, 5, 2, 4, False)
    layer.forward(X)
    layer.activate = Swish()
    with pytest.raises(RuntimeError, match="forward again"):
        layer.backward(np.ones((3, 4)))


# --- what a caller keeps ---


def test_what_a_caller_keeps_is_never_written():
    layer = random_layer(2, 4, sequences=True)
    kept, copies = [], []

    def keep(*arrays):
        for array in arrays:
            kept.append(array)
            copies.append(np.array(array))

    for i in range(6):
        X, lengths, _ = random_batch(3, 5, 2, 4, i == 3, seed=i)
        A = layer.forward(X, lengths)
        dX = layer.backward(np.random.default_rng(i).standard_normal(A.shape))
        layer.compute_gradients()
        if i < 4:
            keep(A, dX)
        if i == 0:
            keep(*layer.fc.values(), *layer.bc.values(), *layer.g.values())
        if i == 1:
            keep(layer.fc["h"][1:], layer.fc["r"][:, ::2].T, layer.bc["dh"][0, 0], memoryview(layer.bc["dz_"]))
        if i == 2:
            keep(memoryview(layer.fc["hp"]), layer.fc["hh"].reshape(-1)[3:7])
    gc.collect()
    for array, value in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, value)


def test_buffers_are_used_again_where_nobody_holds_them():
    layer, X = ran()

    def addresses():
        arrays = [layer.fc[name] for name in ("h", "hh", "z", "r", "hh_")] + [
            layer.bc[name] for name in ("dh", "dz_", "dA")
        ]
        return [array.__array_interface__["data"][0] for array in arrays]

    before = addresses()
    layer.forward(X)
    layer.backward(np.ones((3, 4)))
    assert addresses() == before


def test_predict_keeps_nothing():
    layer, X = ran()
    before = snapshot(layer)
    lengths = np.array([1, 5, 2])
    layer.predict(X[:, :, ::-1] * 2, lengths, np.ones((3, 4)))
    assert_unchanged(layer, before)


# --- threads ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_runs_on_one_thread(threads):
    threads(2)
    layer, X = ran(m=64, s=20, e=32, u=64)
    due = layer.predict(X)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python itself: fork with threads
        child = os.fork()
    if child == 0:
        same = cgru.get_num_threads() == 1 and np.array_equal(layer.predict(X), due)
        cgru.set_num_threads(2)  # the pool begins anew where it is asked for
        same = same and all(np.array_equal(layer.predict(X), due) for _ in range(20))
        if os.path.isdir("/proc/self/task"):
            same = same and len(os.listdir("/proc/self/task")) == 2
        os.write(writer, b"1" if same else b"0")
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    os.waitpid(child, 0)


# --- what bad input gets: an error that names it, and the layer as it was ---

X0 = np.random.default_rng(8).standard_normal((3, 5, 2))
COMPLEX = X0.astype(complex)


NO_OPTIONS = {
    ValueError: {
        "unit_cells": (0,), "activate": ("tan",), "activate_update": ("softmax",), "activate_reset": (cgru.softmax,),
        "dtype": (np.float16, int), "rng": (-1,),
    },
    TypeError: {
        "unit_cells": (2.5, True), "activate_update": (None,), "initialization": (3,), "dtype": ("nonsense",),
        "se_hPars": ([1],), "rng": ("a",),
    },
}  # fmt: skip


@pytest.mark.parametrize("error", NO_OPTIONS)
def test_constructor(error):
    for name, values in NO_OPTIONS[error].items():
        for value in values:
            with refuses(error, name):
                cgru.GRU(**{name: value})
    for alpha in ("a", None) if error is TypeError else (np.nan,):
        with refuses(error, "se_hPars['ELU_alpha']"):
            cgru.GRU(activate=cgru.elu, se_hPars={"ELU_alpha": alpha})


NO_CALLS = {
    ValueError: {
        "A": (
            X0[0], X0[None], 1.0, X0[:0], X0[:, :0], X0[:, :, :0], X0[:, :, :1], [[[1.0, 2.0]], [[1.0, 2.0], [3, 4]]],
        ),
        "lengths": ([5, 5], [5, 5, 0], [5, 6, 1], 5),
        "h0": (np.zeros(4), np.zeros((2, 4))),
    },
    TypeError: {
        "A": (COMPLEX, X0.astype(object), X0.astype(str)),
        "lengths": ([5.0, 5.0, 1.0], [True, True, True]),
        "h0": (np.zeros((3, 4), complex),),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["A", "lengths", "h0"])
@pytest.mark.parametrize("error", NO_CALLS)
def test_forward_and_predict(error, name):
    layer, _ = ran()
    before = snapshot(layer)
    for value in NO_CALLS[error][name]:
        for call in (layer.forward, layer.predict):
            with refuses(error, name):
                call(**{"A": X0} | {name: value})
            assert_unchanged(layer, before)
    layer.backward(np.ones((3, 4)))  # the caches still serve


@pytest.mark.parametrize(
    ("name", "value", "error", "argument"),
    [
        ("Vz", None, ValueError, "p['Vz']"),
        ("Uz", np.ones((3, 4)), ValueError, "p['Uz']"),
        ("Vhh", np.ones((4, 5)), ValueError, "p['Vhh']"),
        ("br", np.ones(4), ValueError, "p['br']"),
        ("bz", np.ones((1, 4), complex), TypeError, "p['bz']"),
    ],
)
def test_parameters(name, value, error, argument):
    layer, X = ran()
    if value is None:
        del layer.p[name]
    else:
        layer.p[name] = value
    before = snapshot(layer)
    for call in (lambda: layer.forward(X), lambda: layer.predict(X), lambda: layer.backward(np.ones((3, 4)))):
        with refuses(error, argument):
            call()
        assert_unchanged(layer, before)


def test_compute_shapes_begins_anew():
    layer, _ = ran()
    layer.compute_shapes(np.empty((2, 7, 6)))
    layer.initialize_parameters()
    assert layer.forward(np.ones((2, 7, 6))).shape == (2, 4)


def test_numbers_of_other_kinds_are_taken():
    layer, _ = ran()
    for dtype in (np.int8, np.uint16, np.int64, bool, np.float16, np.float32, np.longdouble):
        X = np.ones((3, 5, 2), dtype)
        np.testing.assert_array_equal(layer.forward(X), layer.predict(np.ones((3, 5, 2))))
        assert layer.fc["X"].dtype == np.float64
    layer.backward(np.ones((3, 4), np.int32))


def test_zoneout_with_a_callable_predicts_the_expectation():
    options = {"activate": Swish(), "zoneout": 0.25}
    layer = random_layer(2, 4, **options)
    X, _, h0 = random_batch(3, 5, 2, 4, False)
    due = reference.forward(layer.p, X, h0, activate=Swish(), zoneout=0.25)["h"][:, -1]
    assert_close(layer.predict(X, None, h0), due, 1e-12)
    layer.zoneout = 0.0
    assert_close(layer.predict(X, None, h0), reference.forward(layer.p, X, h0, activate=Swish())["h"][:, -1], 1e-12)


def test_memory_is_used_again_after_a_pickle():
    layer = pickle.loads(pickle.dumps(random_layer(2, 4)))
    layer.forward(X0)
    where = layer.fc["z"].ctypes.data
    layer.forward(X0)
    assert layer.fc["z"].ctypes.data == where
