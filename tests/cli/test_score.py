"""How losses and accuracies are written."""

import numpy as np
import pytest

import cgru
from cgru.cli.model_commands import score_text
from cgru.datasets import Split
from cgru.network.presentation import figure

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((10, 4, 2)), np.arange(10) % 2
LENGTHS = np.array([1, 2, 3, 4, 4, 4, 4, 4, 4, 4])


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-12345.6, 4, "-12346"),
        (0.123456, 4, "0.1235"),
        (0.123456, 3, "0.123"),
        (9999.9, 4, "1e+04"),
        (10000, 4, "10000"),
        (1234.5, 3, "1234"),
        (999999.4, 4, "999999"),
        (1e6, 4, "1000000"),
        (1e9 + 7, 4, "1000000007"),
        (1234567, 3, "1.23e+06"),
        (1e12, 4, "1e+12"),
        (0, 4, "0"),
        (12345.678, 4, "12346"),
    ],
)
def test_figures(value, digits, text):
    assert figure(value, digits) == text


def test_how_many_are_right():
    net = cgru.Network([cgru.GRU(3), cgru.Dense(1)], seed=0)
    right = (net.predict_classes(X) == Y).sum()
    assert score_text(net, Split(cgru.Sequences(X), Y)).endswith(f"accuracy {right * 10}.00% ({right} of 10)")


def test_steps_are_counted_where_they_are_real():
    net = cgru.Network([cgru.GRU(3, sequences=True), cgru.Dense(1)], seed=0)
    y = rng.integers(0, 2, (10, 4))
    real = np.arange(4) < LENGTHS[:, None]
    right = (net.predict_classes(X) == y)[real].sum()
    assert score_text(net, Split(cgru.Sequences(X, LENGTHS), y)).endswith(f"({right} of {LENGTHS.sum()})")


def test_a_regression():
    net = cgru.Network([cgru.GRU(3), cgru.Dense(1, cgru.identity)], seed=0)
    loss = net.evaluate(X, Y)["loss"]
    assert score_text(net, Split(cgru.Sequences(X), Y)) == f"loss {loss:.4g}, RMSE {loss**0.5:.4g}"


@pytest.mark.parametrize(
    ("loss", "k", "middle"),
    [
        ("huber", 2, lambda A: A),
        ("quantile(0.1, 0.4, 0.9)", 6, lambda A: A[:, [1, 4]]),
        ("gaussian", 4, lambda A: A[:, [0, 2]]),
        ("poisson", 2, np.exp),
    ],
)
def test_what_outputs_say_of_numbers(loss, k, middle):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(k, cgru.identity)], loss, seed=0)
    y = rng.random((10, 2))
    due = np.sqrt(np.square(middle(net.predict(X)) - y).mean())
    assert score_text(net, Split(cgru.Sequences(X), y)) == f"loss {net.evaluate(X, y)['loss']:.4g}, RMSE {due:.4g}"
