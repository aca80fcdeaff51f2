"""What GRUs refuse: a call, the class of its error, and the argument that the message names first."""

import numpy as np
import pytest
from helpers import random_layer, refuses

import cgru

X = np.ones((3, 5, 2))


def grud(**options):
    layer = cgru.GRUD(3, rng=0, **options)
    layer.make(X)
    return layer


def pair(**options):
    return cgru.Bidirectional(random_layer(2, 4, **options))


def set_to(layer, name, value):
    setattr(layer, name, value)


def without(layer, name):
    del layer.p[name]
    return layer


def backward(layer, *given):
    layer.forward(X)
    layer.backward(*given)


def network(*layers):
    return cgru.Network([*layers, cgru.Dense(2, "softmax")])


OPTIONS = [
    ("dropout", 1, ValueError), ("recurrent_dropout", -0.1, ValueError), ("zoneout", np.nan, ValueError),
    ("zoneout", True, TypeError), ("dropout", "a", TypeError), ("reset_after", 1, TypeError),
    ("reverse", None, TypeError), ("stateful", "no", TypeError), ("learn_h0", 1, TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error"), [*OPTIONS, ("masks", [1], TypeError)])
def test_options(name, value, error):
    """Of the constructor, and set later: the old value stays."""
    if name != "masks":
        with refuses(error, name):
            cgru.GRU(**{name: value})
    layer = cgru.GRU()
    before = getattr(layer, name)
    with refuses(error, name):
        set_to(layer, name, value)
    assert getattr(layer, name) == before


TIMES = np.tile(np.arange(5.0), (3, 1))
BACKWARDS, LOST = TIMES.copy(), TIMES.copy()
BACKWARDS[1, 2], LOST[2, 3] = -1, np.nan
CALLS = [
    (lambda: without(random_layer(2, 4, reset_after=True), "chh").forward(X), ValueError, "p['chh']"),
    (lambda: without(random_layer(2, 4, learn_h0=True), "h0").predict(X), ValueError, "p['h0']"),
    (lambda: cgru.Bidirectional(cgru.Dense(2)), TypeError, "layer"),
    (lambda: cgru.Bidirectional(grud()), TypeError, "layer"),
    (lambda: cgru.Bidirectional(without(random_layer(2, 4), "Uz")), ValueError, "layer"),
    (lambda: cgru.Bidirectional(cgru.GRU(2), "max"), ValueError, "merge"),
    (lambda: without(pair(), "backward.Uz").forward(X), ValueError, "p['Uz']"),
    (lambda: pair().forward(X[:, :, :1]), ValueError, "A"),
    (lambda: pair().predict(X, None, np.ones((3, 4))), ValueError, "h0"),
    (lambda: pair().forward(X, [6, 1, 1]), ValueError, "lengths"),
    (lambda: backward(pair(), np.ones((3, 4))), ValueError, "dX"),
    (lambda: backward(pair(), np.ones((3, 8)), np.ones((3, 4))), ValueError, "dstate"),
    (lambda: network(cgru.Bidirectional(cgru.GRU(4)), cgru.GRU(3)), ValueError, "layers"),
    (lambda: network(cgru.Bidirectional(cgru.GRU(4, sequences=True)), random_layer(4, 3)), ValueError, "layers"),
    (lambda: network(pair()).fit(X, [0, 1, 0], truncate=2), ValueError, "truncate"),
    *((lambda times=times: grud().predict(X, times=times), ValueError, "times")
      for times in (BACKWARDS, LOST, TIMES[:, :2])),
    *((lambda h0=h0: grud().predict(X, h0=h0), ValueError, "h0")
      for h0 in (np.zeros((2, 3)), grud().run(X[:2]).state)),
    (lambda: grud().predict(X, decay=TIMES, resets=TIMES > 0), ValueError, "decay"),
    (lambda: grud().predict(X[:, :, :1]), ValueError, "A"),
    *((lambda unit=unit: cgru.GRUD(3, unit=unit), ValueError, "unit") for unit in (0, -1, np.inf, np.nan)),
    (lambda: cgru.GRUD(3, sequences=1), TypeError, "sequences"),
    (lambda: cgru.GRUD(3).initialize_parameters(), RuntimeError, "initialize_parameters"),
    (lambda: network(cgru.GRU(3, sequences=True), cgru.GRUD(3)), ValueError, "layers"),
    (lambda: network(cgru.GRUD(3)).fit(X * np.inf, [0, 1, 0]), ValueError, "X"),
    (lambda: cgru.quantize(network(grud())), ValueError, "net"),
    (lambda: network(cgru.GRU(3)).fit(X * np.nan, [0, 1, 0]), ValueError, "X"),
    (lambda: network(cgru.GRU(3)).fit(cgru.Sequences(X, times=TIMES), [0, 1, 0]), ValueError, "times"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "argument"), CALLS)
def test_calls(call, error, argument):
    with refuses(error, argument):
        call()


@pytest.mark.parametrize("make", [lambda: random_layer(2, 4), pair])
def test_a_call_that_is_refused_leaves_the_layer_as_it_was(make):
    layer = make()
    layer.forward(X)
    kept, shapes = dict(layer.fc), dict(layer.fs)
    for wrong in (X[:, :, :1], X * 1j, X[0], X[:0]):
        for call in (layer.forward, layer.predict):
            with pytest.raises((ValueError, TypeError)):
                call(wrong)
    with pytest.raises(ValueError, match="dX"):
        layer.backward(X)
    assert dict(layer.fc).keys() == kept.keys()
    assert all(layer.fc[name] is value for name, value in kept.items())
    assert not layer.bc
    assert layer.fs == shapes
    layer.backward(np.ones_like(layer.fc["A"]))
