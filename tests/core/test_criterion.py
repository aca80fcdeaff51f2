"""The loss of a head and its gradient in one sweep (simd/loss.h), against cgru/losses.py, at every level."""

import itertools

import numpy as np
import pytest

import cgru
from cgru import losses
from cgru.activations import bind
from cgru.layers.layer import activation_gradient
from cgru.network.training.compiled.engine import compiles

RNG = np.random.default_rng(5)
ODD = (1, 2, 6, 7, 17, 33)
HEADS = [
    ("softmax", "cross_entropy", 1.0),
    ("softmax", "cross_entropy", 2.5),
    ("softmax", "cross_entropy(0.3)", 1.0),
    ("softmax", "cross_entropy(0.05)", 2.5),
    ("softmax", "binary_cross_entropy", 1.0),
    ("softmax", "mean_squared_error", 0.5),
    ("sigmoid", "binary_cross_entropy", 1.0),
    ("sigmoid", "mean_squared_error", 1.0),
    ("identity", "mean_squared_error", 1.0),
    ("elu", "mean_squared_error", 1.0),
    ("identity", "huber(0.3)", 1.0),
    ("softmax", "huber", 2.5),
    ("identity", "quantile(0.1, 0.3, 0.9)", 1.0),
    ("sigmoid", "quantile", 1.0),
    ("identity", "poisson", 1.0),
    ("tanh", "poisson", 1.0),
    ("identity", "gaussian", 1.0),
    ("elu", "gaussian", 1.0),
    ("log_softmax", "cross_entropy", 1.0),
    ("log_softmax", "cross_entropy(0.3)", 1.0),
    ("log_softmax", "mean_squared_error", 1.0),
    ("gelu", "mean_squared_error", 1.0),
    ("silu", "huber", 1.0),
    ("softplus", "quantile", 1.0),
]
UNBOUNDED = ("poisson", "gaussian", "quantile(0.1, 0.3, 0.9)")  # which grow with outputs, or have other ones
SIZES = {"binary_cross_entropy": 1, "poisson": 3, "gaussian": 3}  # of what comes before the activation, else 10


def network(activate, loss, temperature, k, size, dtype, u=5):
    """One whose head is not small: `size` is about that of what comes before the activation."""
    head = cgru.Dense(k, activate, se_hPars={"softmax_temperature": temperature} if activate == "softmax" else None)
    net = cgru.Network([cgru.GRU(u, sequences=True), head], loss=loss, dtype=dtype, seed=1, optimizer=cgru.SGD(1.0))
    net.make(np.zeros((1, 1, 3)))
    head.p["W"] *= size
    head.p["b"] += RNG.standard_normal(head.p["b"].shape) * size
    assert compiles(net)
    return net


def targets(loss, m, s, k):
    """Classes where there are some, and numbers, for k outputs."""
    if loss.startswith("cross_entropy"):
        return RNG.integers(0, k, (m, s)), RNG.dirichlet(np.full(k, 0.3), (m, s))
    if loss == "binary_cross_entropy":
        return RNG.integers(0, 2, (m, s, k)), RNG.random((m, s, k))
    n = k // losses.named(loss).outputs
    return (RNG.poisson(2.0, (m, s, n)),) if loss == "poisson" else (RNG.random((m, s, n)),)


def due(net, X, y, dtype, weights=None):
    """By NumPy in float64: what the head gets and gives, its targets, the loss and dL/dZ, and the loss that is told."""
    head = net.layers[1]
    k = head.d["u"]
    H = net.layers[0].predict(X.astype(net.dtype)).reshape(-1, len(head.p["W"])).astype(np.float64)
    Z = H @ head.p["W"].astype(np.float64) + head.p["b"].astype(np.float64)
    f = bind(head.activate, head.se_hPars)
    A, Y = f(Z), losses.one_hot(y.reshape(-1) if y.ndim == 2 else y.reshape(-1, y.shape[2]), k)
    A_of_loss = A.astype(dtype) if net.loss == "binary_cross_entropy" else A
    judge = losses.named(net.loss)
    loss, dZ, dA = judge.of_head(head, Z, A_of_loss, Y, weights)
    if dZ is None:
        dZ = activation_gradient(f, Z, dA)
    return H, A, Y, loss, dZ, judge.scored.of_head(head, Z, A_of_loss, Y, weights)[0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("activate", "loss", "temperature"), HEADS)
@pytest.mark.pairwise
def test_loss_and_gradient_are_those_of_the_losses(level, activate, loss, temperature, dtype):
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    for (m, s, u), k in itertools.product(
        ((1, 1, 5), (7, 3, 5), (17, 5, 2), (33, 2, 40)), ODD[loss.startswith("cross_entropy") :]
    ):
        X, k = RNG.standard_normal((m, s, 3)), k * losses.named(loss).outputs
        for y in targets(loss, m, s, k):
            net = network(activate, loss, temperature, k, SIZES.get(loss, 10), dtype, u)
            H, A, Y, value, dZ, told = due(net, X, y, net.dtype)
            hits, scores = losses.named(net.loss).hits(A, Y), net.evaluate(X, y)
            assert scores["loss"] == pytest.approx(told, rel=tolerance, abs=tolerance)
            assert hits is None or scores["accuracy"] * len(Y) == pytest.approx(hits)
            before = {name: array.copy() for name, array in net.layers[1].p.items()}
            history = net.fit(X, y, epochs=1, batch_size=m)
            assert history.loss == [pytest.approx(value, rel=tolerance, abs=tolerance)]
            assert hits is None or history.accuracy == [pytest.approx(scores["accuracy"])]
            for name, wanted in (("W", H.T @ dZ), ("b", dZ.sum(axis=0)[None])):
                moved, size = (
                    before[name] - net.layers[1].p[name],
                    max(np.abs(before[name]).max(), np.abs(wanted).max()),
                )
                np.testing.assert_allclose(moved, wanted, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize("loss", UNBOUNDED)
def test_those_of_outputs_without_a_bound_in_float32(level, loss):
    """At each level: of the pairs above those that run always have float64 here."""
    test_loss_and_gradient_are_those_of_the_losses(level, "identity", loss, 1.0, "float32")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("activate", "loss", "temperature"), HEADS)
@pytest.mark.pairwise
def test_rows_have_weights(level, activate, loss, temperature, dtype):
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    for (m, s, u), k in itertools.product(((3, 1, 5), (17, 5, 2), (33, 2, 40)), (2, 17, 120)):
        X, weights = RNG.standard_normal((m, s, 3)), RNG.integers(0, 4, (m, s)).astype(float)
        weights[:2, 0] = 1, 3  # so that some are not 0
        k *= losses.named(loss).outputs
        for y in targets(loss, m, s, k):
            net = network(activate, loss, temperature, k, SIZES.get(loss, 10), dtype, u)
            H, A, Y, value, dZ, told = due(net, X, y, net.dtype, weights.reshape(-1))
            hits, scores = (
                losses.named(net.loss).hits(A, Y, weights.reshape(-1)),
                net.evaluate(X, y, sample_weight=weights),
            )
            assert scores["loss"] == pytest.approx(told, rel=tolerance, abs=tolerance)
            assert hits is None or scores["accuracy"] * weights.sum() == pytest.approx(hits)
            before = {name: array.copy() for name, array in net.layers[1].p.items()}
            history = net.fit(X, y, epochs=1, batch_size=m, sample_weight=weights)
            assert history.loss == [pytest.approx(value, rel=tolerance, abs=tolerance)]
            assert hits is None or history.accuracy == [pytest.approx(scores["accuracy"])]
            for name, wanted in (("W", H.T @ dZ), ("b", dZ.sum(axis=0)[None])):
                moved = before[name] - net.layers[1].p[name]
                size = max(np.abs(before[name]).max(), np.abs(wanted).max())
                np.testing.assert_allclose(moved, wanted, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_many_classes_and_rows_in_one_logarithm_do_not_overflow(level, dtype):
    for m, s, k in ((3, 700, 2), (4, 300, 700), (1, 3, 40_000)):
        X, y = RNG.standard_normal((m, s, 3)), RNG.integers(0, k, (m, s))
        net = network("softmax", "cross_entropy", 1.0, k, 1e-3, dtype)
        assert net.evaluate(X, y)["loss"] == pytest.approx(due(net, X, y, dtype)[3], rel=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1e3, 1e15])
@pytest.mark.parametrize(("activate", "loss"), [(a, b) for a, b, t in HEADS if t == 1.0 and b not in UNBOUNDED])
@pytest.mark.pairwise
def test_outputs_that_are_saturated(level, activate, loss, size, dtype):
    """Probabilities of exactly 0 and 1, and exponentials that vanish: a loss that is finite, as in NumPy."""
    X, k = RNG.standard_normal((19, 3, 3)), 3
    for y in targets(loss, 19, 3, k):
        net = network(activate, loss, 1.0, k, 0, dtype)
        net.layers[1].p["b"][...] = [[size, -size, 0.5 * size]]
        *_, value, _, told = due(net, X, y, dtype)
        with np.errstate(over="ignore"):
            assert net.evaluate(X, y)["loss"] == pytest.approx(told, rel=1e-6)
            assert net.fit(X, y, epochs=1).loss == [pytest.approx(value, rel=1e-6)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("loss", "outputs"), [("poisson", [[0.0, 100.0]]), ("gaussian", [[3.0, -100.0]])])
@pytest.mark.pairwise
def test_what_overflows_is_no_step(level, loss, outputs, dtype, engine):
    """A float32 does not hold e^100, which a loss is in double: it is scored, and is nothing to train by."""
    net = network("identity", loss, 1.0, 2, 0, dtype)
    (y,) = targets(loss, 5, 3, 2)
    X, p = RNG.standard_normal((5, 3, 3)), net.layers[1].p
    p["b"][...] = outputs
    kept, value = p["b"].copy(), due(net, X, y, dtype)[3]
    assert net.evaluate(X, y)["loss"] == pytest.approx(value, rel=1e-6)
    if dtype == "float32":
        with pytest.raises(RuntimeError, match=r"^the loss is inf at epoch 1, batch 1 of 1: training diverged"):
            net.fit(X, y, epochs=1)
    else:
        assert net.fit(X, y, epochs=1).loss == [pytest.approx(value)]
        p["b"][...] = kept = 9 * kept
        assert np.isinf(net.evaluate(X, y)["loss"])
        with pytest.raises(RuntimeError, match="training diverged"):
            net.fit(X, y, epochs=1)
    np.testing.assert_array_equal(p["b"], kept)


def test_of_equal_outputs_the_first_counts(level):
    net = network("softmax", "cross_entropy", 1.0, 4, 0, "float32")
    net.layers[1].p["b"][...] = [[1, 3, 3, 2]]
    X = RNG.standard_normal((21, 2, 3))
    for k, accuracy in enumerate((0, 1, 0, 0)):
        assert net.evaluate(X, np.full((21, 2), k))["accuracy"] == accuracy
    shares = np.tile([0, 0.4, 0.2, 0.4], (21, 2, 1))
    assert net.evaluate(X, shares)["accuracy"] == 1
    assert net.evaluate(X, shares[:, :, ::-1])["accuracy"] == 0
