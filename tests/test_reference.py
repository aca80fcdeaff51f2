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
