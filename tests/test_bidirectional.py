"""cgru.Bidirectional: two layers that run opposite ways, against the reference and central differences."""

import numpy as np
import pytest
from helpers import assert_close, random_batch

import cgru
from cgru import reference

MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": np.add,
    "mean": lambda a, b: (a + b) / 2,
    "mul": np.multiply,
}


def random_pair(e, u, merge="concat", seed=0, **options):
    layer = cgru.Bidirectional(cgru.GRU(u, rng=seed, **options), merge)
    layer.compute_shapes(np.empty((1, 1, e)))
    layer.initialize_parameters()
    for value in layer.p.values():
        value[...] = layer.np_rng.standard_normal(value.shape) * (0.7 / np.sqrt(value.shape[0]))
    return layer


def halves_of(p):
    """The parameters of each direction, without their prefixes."""
    return [
        {name[len(start) :]: p[name] for name in p if name.startswith(start)} for start in ("forward.", "backward.")
    ]


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
@pytest.mark.parametrize("reset_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["double", "single"])
@pytest.mark.pairwise
def test_against_the_reference(dtype, reset_after, sequences, ragged, merge):
    m, s, e, u = 5, 6, 3, 7
    layer = random_pair(e, u, merge, dtype=dtype, sequences=sequences, reset_after=reset_after)
    X, lengths, _ = random_batch(m, s, e, u, ragged, dtype)
    h0, dstate = np.random.default_rng(4).standard_normal((2, 2, m, u)).astype(dtype)
    tolerance = 1e-12 if dtype is np.float64 else 2e-5
    real = np.ones((m, s, 1), bool) if lengths is None else reference.mask(lengths, s)
    every = np.arange(m)
    ends = [reference.ends(m, s, lengths, reverse) for reverse in (False, True)]
    options = [{"reset_after": reset_after, "reverse": reverse} for reverse in (False, True)]
    p = halves_of(layer.p)
    fc = [reference.forward(p[i], X, h0[i], lengths, **options[i]) for i in range(2)]
    states = [fc[i]["h"][every, ends[i][1]] for i in range(2)]
    due = MERGES[merge](*(np.where(real, cache["h"], 0) for cache in fc)) if sequences else MERGES[merge](*states)

    A = layer.forward(X, lengths, h0)
    assert_close(A, due, tolerance)
    np.testing.assert_array_equal(layer.predict(X, lengths, tuple(h0)), A)
    assert_close(layer.state, np.stack(states), tolerance)
    assert layer.d == {"u": A.shape[-1], "m": m, "s": s, "e": e}
    assert layer.fs["A"] == A.shape

    dA = np.random.default_rng(5).standard_normal(A.shape).astype(dtype)
    outputs = [cache["h"] for cache in fc] if sequences else states
    parts = {
        "concat": (dA[..., :u], dA[..., u:]),
        "sum": (dA, dA),
        "mean": (dA / 2, dA / 2),
        "mul": (dA[..., :u] * outputs[1], dA[..., :u] * outputs[0]),
    }[merge]
    bc = []
    for i in range(2):
        above = parts[i]
        if not sequences:
            above = np.zeros((m, s, u), dtype)
            above[every, ends[i][1]] = parts[i]
        bc.append(reference.backward(p[i], fc[i], above, lengths, dstate=dstate[i], **options[i]))
    assert_close(layer.backward(dA, dstate), bc[0]["dX"] + bc[1]["dX"], tolerance)
    assert_close(layer.dh0, np.stack([bc[i]["dh"][every, ends[i][0]] for i in range(2)]), tolerance)
    layer.compute_gradients()
    for i, start in enumerate(("forward.", "backward.")):
        g = reference.gradients(p[i], fc[i], bc[i], lengths, **options[i])
        for name, value in g.items():
            assert_close(layer.g["d" + start + name[1:]], value, tolerance, start + name)
    assert list(layer.g) == ["d" + name for name in layer.p]
    assert {value.dtype for value in layer.g.values()} == {np.dtype(dtype)}


def test_the_twin():
    given = cgru.GRU(3, cgru.elu, cgru.lrelu, se_hPars={"ELU_alpha": 0.5}, rng=2, dtype=np.float32, reset_after=True)
    given.dropout, given.zoneout, given.trainable = 0.2, 0.1, False
    layer = cgru.Bidirectional(given, "sum")
    twin = layer.backward_layer
    assert layer.forward_layer is given
    assert repr(twin).replace("reverse=True, ", "") == repr(given)
    assert twin.reverse is True
    assert twin.se_hPars is given.se_hPars
    assert twin.np_rng is given.np_rng
    assert twin.trainable is False
    assert cgru.Bidirectional(cgru.GRU(reverse=True)).backward_layer.reverse is False
    assert repr(layer) == f"Bidirectional({given!r}, merge='sum')"


def test_parameters_are_drawn_one_after_the_other():
    layer = cgru.Bidirectional(cgru.GRU(4, rng=3))
    layer.compute_shapes(np.empty((1, 1, 2)))
    layer.initialize_parameters()
    alone = cgru.GRU(4, rng=3)
    alone.compute_shapes(np.empty((1, 1, 2)))
    for start in ("forward.", "backward."):
        alone.initialize_parameters()
        for name, value in alone.p.items():
            np.testing.assert_array_equal(layer.p[start + name], value)
    wrapped = cgru.Bidirectional(alone)  # which has its parameters already
    assert len(wrapped.p) == 18
    assert np.abs(wrapped.p["backward.Vz"] - wrapped.p["forward.Vz"]).max() > 0.1


def test_dicts_are_views_of_the_two_layers():
    layer = random_pair(2, 4)
    layer.p["backward.Uz"] = other = np.ones((2, 4))
    assert layer.backward_layer.p["Uz"] is other
    assert len(layer.p) == len(dict(layer.p)) == 18
    assert "backward.Uz" in layer.p
    assert "Uz" not in layer.p
    with pytest.raises(KeyError, match=r"forward\.no"):
        layer.p["forward.no"]
    layer.forward(np.ones((3, 5, 2)))
    assert {"X", "A", "forward.h", "forward.A", "backward.h_"} - set(layer.fc) == {"backward.h_"}
    assert not layer.forward_layer.fc
    for key in ("Uz", 3):
        with pytest.raises(KeyError):
            layer.p[key] = other
    with pytest.raises(KeyError, match=r"backward\.no"):
        del layer.p["backward.no"]
    del layer.p["backward.Uz"]
    assert "Uz" not in layer.backward_layer.p
    assert repr(layer.p) == repr(dict(layer.p))


def test_what_is_set_is_set_in_both():
    layer = random_pair(2, 4, clip_gradients=True)
    layer.dropout, layer.trainable, layer.se_hPars, layer.lrate, layer.e = 0.5, False, {"ELU_alpha": 2}, [0.1], 0
    for half in (layer.forward_layer, layer.backward_layer):
        assert (half.dropout, half.trainable, half.se_hPars, half.lrate) == (0.5, False, {"ELU_alpha": 2}, [0.1])
    del layer.lrate
    assert not hasattr(layer, "lrate")
    assert not hasattr(layer.backward_layer, "lrate")
    layer.trainable = True
    layer.forward(np.ones((3, 5, 2)))
    layer.backward(np.ones((3, 8)))
    layer.compute_gradients()
    np.testing.assert_allclose(np.sqrt(sum((value**2).sum() for value in layer.g.values())), 0.25)
    with pytest.raises(RuntimeError, match=r"layer\.lrate: missing"):
        layer.update_parameters()
    layer.lrate = [0.1]
    before = {name: value.copy() for name, value in layer.p.items()}
    layer.update_parameters()
    for name, value in layer.p.items():
        np.testing.assert_allclose(value, before[name] - 0.1 * layer.g["d" + name])


def test_states_are_carried_in_both_directions():
    layer = random_pair(2, 4, stateful=True)
    assert layer.state is None
    X = random_batch(3, 5, 2, 4, False)[0]
    first = layer.forward(X)
    state = layer.state
    second = layer.predict(X)
    for half in layer.halves:
        half.state = None
        assert layer.state is None
        layer.state = state
    np.testing.assert_array_equal(layer.predict(X), second)
    assert np.abs(second - first).max() > 1e-3
    layer.reset_state()
    np.testing.assert_array_equal(layer.predict(X, h0=state), second)
    with pytest.raises(ValueError, match="state: "):
        layer.state = np.ones((3, 4))


def test_one_that_fails_halfway_has_not_gone_on():
    layer, X = random_pair(2, 4, stateful=True), np.ones((3, 5, 2))
    layer.forward(X)
    state = layer.state

    def own(x, deriv=False):
        return np.zeros(3)

    layer.backward_layer.activate = own
    with pytest.raises(ValueError, match="activate"):
        layer.forward(X)
    np.testing.assert_array_equal(layer.state, state)
    assert not layer.fc
    layer.backward_layer.activate = cgru.tanh
    layer.forward(X)
    layer.backward(np.ones((3, 8)))
    kept = dict(layer.bc)
    Uz = layer.p.pop("backward.Uz")
    with pytest.raises(ValueError, match=r"p\['Uz'\]: missing"):
        layer.backward(2 * np.ones((3, 8)))
    layer.p["backward.Uz"] = Uz
    assert all(layer.bc[name] is value for name, value in kept.items())
    layer.compute_gradients()
    assert set(layer.g) == {f"d{name}" for name in layer.p}


# --- in a network ---


def test_what_others_ask_of_it():
    layer = cgru.Bidirectional(cgru.GRU(4, activate="relu", rng=0))
    assert layer.activation["activate"] == "relu"
    assert layer.cells == (layer.forward_layer, layer.backward_layer)
    assert layer.features is None
    layer.forward(np.ones((3, 5, 2)))
    assert layer.features == 2
    with pytest.raises(RuntimeError, match="dh0: "):
        layer.dh0  # noqa: B018
    layer.backward(np.ones((3, 8)))
    assert layer.dh0.shape == (2, 3, 4)
    twin = cgru.Bidirectional(
        layer.forward_layer
    ).backward_layer  # the layer has parameters, so that its twin gets some
    assert {name: value.shape for name, value in twin.p.items()} == {
        name: value.shape for name, value in layer.forward_layer.p.items()
    }
