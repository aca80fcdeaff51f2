"""The reference against central differences in float64: every parameter, X and h0, from random non-zero states."""

import functools

import numpy as np
import pytest
from helpers import random_batch, random_layer

import cgru
from cgru import reference
from cgru.activations import bind

TUNED = {"LRELU_alpha": 0.2, "ELU_alpha": 0.7}


def swish(x, deriv=False):
    s = cgru.sigmoid(x)
    return s + x * s * (1 - s) if deriv else x * s


FUNCTIONS = {
    "default": (cgru.tanh, cgru.sigmoid, cgru.sigmoid),
    "kinked": (cgru.relu, functools.partial(cgru.lrelu, se_hPars=TUNED), functools.partial(cgru.elu, se_hPars=TUNED)),
    "smooth": (cgru.identity, cgru.tanh, cgru.tanh),
    "custom": (swish, cgru.sigmoid, swish),
}


def central(loss, array, h=1e-6):
    slope = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + h
        above = loss()
        array[index] = kept - h
        below = loss()
        array[index] = kept
        slope[index] = (above - below) / (2 * h)
    return slope


def random_options(
    m, s, e, u, *, reset_after=False, reverse=False, inputs=True, recurrent=True, zoneout="mask", seed=2
):
    """The options of the reference, the masks drawn with a rate of 0.4."""
    rng = np.random.default_rng(seed)
    options = {"reset_after": reset_after, "reverse": reverse}
    if inputs:
        options["input_mask"] = (rng.random((m, e)) < 0.6) / 0.6
    if recurrent:
        options["recurrent_masks"] = (rng.random((3, m, u)) < 0.6) / 0.6
    if zoneout != "none":
        options["zoneout"] = rng.random((m, s, u)) < 0.4 if zoneout == "mask" else 0.4
    return options


def parameters(e, u, reset_after):
    p = random_layer(e, u).p
    return p | ({"chh": np.random.default_rng(9).standard_normal((1, u))} if reset_after else {})


def run(p, X, h0, lengths, dA, dstate, activations=(), **options):
    """The caches of both passes, the gradients, the last state and dL/dh0."""
    fc = reference.forward(p, X, h0, lengths, *activations, **options)
    bc = reference.backward(p, fc, dA, lengths, *activations, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, lengths, **options)
    first, last = reference.ends(*X.shape[:2], lengths, options.get("reverse", False))
    every = np.arange(len(X))
    return fc, bc, g, fc["h"][every, last], bc["dh"][every, first]


@pytest.mark.parametrize("functions", FUNCTIONS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("m", "s", "e", "u"), [(1, 1, 1, 1), (2, 5, 3, 4), (4, 3, 2, 7)])
def test_gradients(m, s, e, u, ragged, functions):
    activations = FUNCTIONS[functions]
    p = random_layer(e, u).p
    X, lengths, h0 = random_batch(m, s, e, u, ragged)
    weights = np.random.default_rng(5).standard_normal((m, s, u))  # the loss weighs every real state
    real = 1 if lengths is None else reference.mask(lengths, s)

    def loss():
        return (weights * real * reference.forward(p, X, h0, lengths, *activations)["h"]).sum()

    fc = reference.forward(p, X, h0, lengths, *activations)
    bc = reference.backward(p, fc, weights, lengths, *activations)
    g = reference.gradients(p, fc, bc, lengths)

    for name in reference.PARAMETERS:
        np.testing.assert_allclose(g["d" + name], central(loss, p[name]), rtol=1e-6, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(bc["dh"][:, 0], central(loss, h0), rtol=1e-6, atol=1e-7)
    if lengths is None:
        np.testing.assert_allclose(bc["dX"], central(loss, X), rtol=1e-6, atol=1e-7)
    else:
        padding = np.broadcast_to(~real, X.shape)
        X[padding] = 0
        np.testing.assert_allclose(bc["dX"], central(loss, X), rtol=1e-6, atol=1e-7)
        assert not bc["dX"][padding].any()


@pytest.mark.parametrize("started", [False, True], ids=["h0 zero", "h0 given"])
@pytest.mark.parametrize("ended", [False, True], ids=["", "dstate"])
@pytest.mark.parametrize("zoneout", ["none", "mask", "rate"])
@pytest.mark.parametrize("recurrent", [False, True], ids=["", "recurrent"])
@pytest.mark.parametrize("inputs", [False, True], ids=["", "inputs"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("reset_after", [False, True], ids=["before", "after"])
def test_gradients_of_every_option(reset_after, reverse, ragged, inputs, recurrent, zoneout, ended, started):
    """Along one dense direction for each array: an error in any entry shows."""
    m, s, e, u = 3, 4, 2, 3
    rng = np.random.default_rng(7)
    activations = FUNCTIONS["custom"]
    options = random_options(
        m, s, e, u, reset_after=reset_after, reverse=reverse, inputs=inputs, recurrent=recurrent, zoneout=zoneout
    )
    p = parameters(e, u, reset_after)
    X, lengths, h0 = random_batch(m, s, e, u, ragged)
    if ragged:
        lengths[0] = 2  # one at least is shorter
        X[0, 2:] = np.nan
    real = np.ones((m, s, 1), bool) if lengths is None else reference.mask(lengths, s)
    h0 = h0 if started else None
    dA = np.where(real, rng.standard_normal((m, s, u)), np.nan)
    dstate = rng.standard_normal((m, u)) if ended else None
    _, bc, g, _, dh0 = run(p, X, h0, lengths, dA, dstate, activations, **options)
    last = reference.ends(m, s, lengths, reverse)[1]

    def loss(p, X, h0):
        h = reference.forward(p, X, h0, lengths, *activations, **options)["h"]
        return np.nansum(dA * h) + (0 if dstate is None else (dstate * h[np.arange(m), last]).sum())

    def check(name, gradient, at):
        step = rng.standard_normal(gradient.shape)
        slope = (at(1e-5 * step) - at(-1e-5 * step)) / 2e-5
        np.testing.assert_allclose((gradient * step).sum(), slope, rtol=1e-6, atol=1e-8, err_msg=name)

    assert tuple(p) == reference.names(reset_after)
    assert tuple(g) == tuple("d" + name for name in p)
    for name in p:
        check(name, g["d" + name], lambda step, name=name: loss(p | {name: p[name] + step}, X, h0))
    check("X", bc["dX"], lambda step: loss(p, X + step, h0))
    check("h0", dh0, lambda step: loss(p, X, step if h0 is None else h0 + step))
    for name, cache in bc.items():
        assert not cache[~real[:, :, 0]].any(), name


def test_one_step_by_hand():
    """One sample, one unit, two steps, numbers worked out from the equations with nothing but math."""
    from math import exp, tanh

    p = {"Uz": 0.5, "Vz": -0.3, "bz": 0.1, "Ur": 0.2, "Vr": 0.4, "br": -0.2, "Uhh": 0.7, "Vhh": -0.6, "bhh": 0.05}
    h = 0.25
    states = []
    for x in (1.5, -0.5):
        r = 1 / (1 + exp(-(x * p["Ur"] + h * p["Vr"] + p["br"])))
        z = 1 / (1 + exp(-(x * p["Uz"] + h * p["Vz"] + p["bz"])))
        hh = tanh(x * p["Uhh"] + r * h * p["Vhh"] + p["bhh"])
        h = z * h + (1 - z) * hh
        states.append(h)
    arrays = {name: np.full((1, 1), value) for name, value in p.items()}
    fc = reference.forward(arrays, np.array([[[1.5], [-0.5]]]), np.array([[0.25]]))
    np.testing.assert_allclose(fc["h"].ravel(), states, rtol=1e-13)


def test_padding_is_never_seen():
    p = random_layer(3, 4).p
    X, lengths, h0 = random_batch(5, 6, 3, 4, ragged=True)
    fc = reference.forward(p, X, h0, lengths)
    bc = reference.backward(p, fc, np.ones((5, 6, 4)), lengths)
    padding = ~reference.mask(lengths, 6)[:, :, 0]
    assert padding.any()
    for i, length in enumerate(lengths):
        alone = reference.forward(p, X[i : i + 1, :length], h0[i : i + 1])
        np.testing.assert_allclose(fc["h"][i, :length], alone["h"][0], rtol=1e-13)
        np.testing.assert_array_equal(fc["h"][i, length:], np.repeat(fc["h"][i, length - 1 : length], 6 - length, 0))
        np.testing.assert_array_equal(fc["hp"][i, length:], fc["h"][i, length:])
    for name in ("hh_", "hh", "z_", "z", "r_", "r"):
        assert not fc[name][padding].any(), name
    for name in ("dA", "dh_", "dh", "dhn", "dhh_", "dz_", "dr_", "dX"):
        assert not bc[name][padding].any(), name


def test_bound_functions_carry_the_layers_parameters():
    assert bind(cgru.lrelu, {"LRELU_alpha": 0.5})(np.array([-2.0]))[0] == -1
    assert bind(cgru.tanh, {"LRELU_alpha": 0.5}) is cgru.tanh
