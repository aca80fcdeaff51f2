"""The activation functions, and how the layer tells which one is meant."""

import functools
import sys
import types

import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru.activations import CODES, NAMED, bind, code_of, name_of, named, ours, parameter, tuned

ELEMENTWISE = [*CODES]
X = np.concatenate([np.linspace(-6, 6, 50), [1e-8, -1e-8]])  # no point at a kink


@pytest.mark.parametrize("f", ELEMENTWISE)
def test_derivative_by_central_differences(f):
    h = 1e-9 if f in (cgru.relu, cgru.lrelu) else 1e-6
    x = X[np.abs(X) > 1e-6]
    np.testing.assert_allclose(f(x, deriv=True), (f(x + h) - f(x - h)) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("alpha", [-0.5, 0, 0.3, 1, 1.5])
def test_lrelu_is_a_maximum_for_every_alpha(alpha):
    options = {"se_hPars": {"LRELU_alpha": alpha}}
    np.testing.assert_array_equal(cgru.lrelu(X, **options), np.maximum(alpha * X, X))
    slope = (cgru.lrelu(X * 1.5, **options) - cgru.lrelu(X, **options)) / (X / 2)
    np.testing.assert_allclose(cgru.lrelu(X, deriv=True, **options), slope, rtol=1e-12, atol=1e-12)


def test_derivatives_at_zero():
    zero = np.zeros(1)
    tuned = {"LRELU_alpha": 0.1, "ELU_alpha": 2.0}
    assert cgru.relu(zero, deriv=True) == 0
    assert cgru.lrelu(zero, deriv=True) == 0.3
    assert cgru.lrelu(zero, deriv=True, se_hPars=tuned) == 0.1
    assert cgru.elu(zero, deriv=True) == 1
    assert cgru.elu(zero, deriv=True, se_hPars=tuned) == 2


def test_softmax_and_its_logarithm():
    x = np.random.default_rng(0).standard_normal((3, 4))
    for T in (1, 2.5):
        options = {"se_hPars": {"softmax_temperature": T}}
        np.testing.assert_allclose(cgru.softmax(x, **options).sum(axis=1), 1, rtol=1e-15)
    for f, given in ((cgru.softmax, {}), (cgru.softmax, options), (cgru.log_softmax, {})):
        J = f(x, deriv=True, **given)
        for k in range(4):
            step = np.zeros(4)
            step[k] = 1e-6
            slope = (f(x + step, **given) - f(x - step, **given)) / 2e-6
            np.testing.assert_allclose(J[:, :, k], slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(cgru.log_softmax(x), np.log(cgru.softmax(x)), rtol=1e-14)
    np.testing.assert_array_equal(cgru.log_softmax([-1e4, 1e4]), [-2e4, 0])


@pytest.mark.parametrize("f", ELEMENTWISE)
def test_extremes(f):
    x = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan])
    y = f(x)
    assert np.isnan(y[4])
    assert not np.isnan(y[:4]).any()
    if f in (cgru.gelu, cgru.silu, cgru.softplus):
        np.testing.assert_array_equal(y[:4], [0, 0, 1e4, np.inf])
        np.testing.assert_array_equal(f(x[:4], deriv=True), [0, 0, 1, 1])
    if f in (cgru.sigmoid, cgru.tanh):
        np.testing.assert_array_equal(y[:4], [0, 0, 1, 1] if f is cgru.sigmoid else [-1, -1, 1, 1])
        assert not f(x[:4], deriv=True).any()


@pytest.mark.parametrize("f", NAMED.values())
@pytest.mark.parametrize("deriv", [False, True])
def test_dtype_is_kept(f, deriv):
    assert f(np.ones((2, 3), np.float32), deriv=deriv).dtype == np.float32
    assert f(np.ones((2, 3), np.int64), deriv=deriv).dtype == np.float64


def test_identified_by_identity_and_never_by_name():
    def tanh(x, deriv=False):
        return x

    tanh.__module__ = "cgru.activations"
    impostor = functools.wraps(cgru.tanh)(lambda x, deriv=False: x)
    for other in (tanh, impostor, functools.partial(cgru.tanh), np.tanh):
        assert ours(other) is None
        assert code_of(other, None) is None
        assert bind(other, None) is other
    assert code_of(cgru.tanh, None) == (CODES[cgru.tanh], 0)

    class Unhashable:
        __hash__ = None

        def __call__(self, x, deriv=False):
            return x

    assert ours(Unhashable()) is None


@pytest.fixture
def epynn(monkeypatch):
    """A module in the place of EpyNN's, with functions of its own."""
    maths = types.ModuleType("epynn.commons.maths")
    exec("def tanh(x, deriv=False): pass\ndef lrelu(x, deriv=False): pass\ndef own(x, deriv=False): pass", vars(maths))
    monkeypatch.setitem(sys.modules, "epynn.commons.maths", maths)
    return maths


def test_epynn_s_functions_are_ours(epynn):
    assert ours(epynn.tanh) is cgru.tanh
    assert code_of(epynn.tanh, None) == (CODES[cgru.tanh], 0)
    assert ours(epynn.own) is None
    assert tuned(epynn.lrelu)
    assert bind(epynn.tanh, None) is cgru.tanh
    replaced = epynn.tanh
    epynn.tanh = epynn.own
    assert ours(replaced) is None  # it is no longer what EpyNN calls tanh
    assert ours(np.tanh) is None

    def tanh(x, deriv=False):
        return x

    assert ours(tanh) is None


def test_functions_with_the_parameters_of_a_layer():
    assert {f for f in (*ELEMENTWISE, cgru.softmax) if tuned(f)} == {cgru.lrelu, cgru.elu, cgru.softmax}
    assert bind(cgru.sigmoid, {"ELU_alpha": 2}) is cgru.sigmoid
    numbers = {"ELU_alpha": 2.0}
    np.testing.assert_array_equal(bind(cgru.elu, numbers)(X), cgru.elu(X, se_hPars=numbers))
    np.testing.assert_array_equal(bind(cgru.elu, numbers)(X, True), cgru.elu(X, True, se_hPars=numbers))
    assert cgru.elu(np.array([0.5]), deriv=True, se_hPars=numbers) == 1
    assert cgru.elu(np.array([-0.5]), se_hPars=numbers) == 2 * np.expm1(-0.5)
    assert code_of(cgru.elu, {"ELU_alpha": 0}) == (CODES[cgru.elu], 0)
    assert code_of(cgru.lrelu, {"LRELU_alpha": 0}) == (CODES[cgru.lrelu], 0)
    assert code_of(cgru.lrelu, {"LRELU_alpha": 1}) == (CODES[cgru.lrelu], 1)


def test_given_by_name():
    for name in NAMED:
        assert named(name, "activate") is getattr(cgru, name)
    for own in (np.tanh, cgru.tanh, lambda x, deriv=False: x):
        assert named(own, "activate") is own
    with refuses(ValueError, "activate_reset"):
        named("Tanh", "activate_reset")
    with refuses(TypeError, "activate"):
        named(None, "activate")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperatures_that_are_too_low_to_divide_by(dtype):
    x = np.array([[-1e3, 0, 1e3, 1e3]], dtype)
    for T in (1e-300, 9e-31, 0, -1, np.nan, np.inf):
        with refuses(ValueError, "se_hPars['softmax_temperature']"):
            cgru.softmax(x, se_hPars={"softmax_temperature": T})
    low = {"softmax_temperature": 1e-30}
    np.testing.assert_array_equal(cgru.softmax(x, se_hPars=low), [[0, 0, 0.5, 0.5]])
    assert np.isfinite(cgru.softmax(x, deriv=True, se_hPars=low)).all()


def test_parameters_are_numbers():
    assert parameter({"ELU_alpha": np.float32(2)}, "ELU_alpha") == 2
    assert parameter({"ELU_alpha": -3}, "ELU_alpha") == -3
    for value, error in (("x", TypeError), (None, TypeError), (np.nan, ValueError), (-np.inf, ValueError)):
        with refuses(error, "se_hPars['ELU_alpha']"):
            parameter({"ELU_alpha": value}, "ELU_alpha")


def test_names():
    assert name_of(cgru.tanh) == "tanh"
    assert name_of(functools.partial(cgru.tanh)) == "partial"


def test_parameters_that_the_output_does_not_tell_apart_run_in_python():
    assert code_of(cgru.lrelu, {"LRELU_alpha": 0.5}) == (CODES[cgru.lrelu], 0.5)
    assert code_of(cgru.lrelu, {}) == (CODES[cgru.lrelu], 0.3)
    assert code_of(cgru.lrelu, {"LRELU_alpha": -0.5}) is None
    assert code_of(cgru.lrelu, {"LRELU_alpha": 1.5}) is None
    assert code_of(cgru.elu, {"ELU_alpha": 2}) == (CODES[cgru.elu], 2)
    assert code_of(cgru.elu, {"ELU_alpha": -1}) is None
    assert code_of(cgru.softmax, None) is None
