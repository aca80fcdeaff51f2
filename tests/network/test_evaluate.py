"""Network.evaluate(each=True): the loss of each sample or step, against the losses' functions row by row."""

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, RNG, M, S, X, made, padded

import cgru
from cgru import losses, reference

REAL = reference.mask(LENGTHS, S)[:, :, 0]
NUMBERS = RNG.standard_normal((M, S, 2))
CLASSES = RNG.integers(0, 3, (M, S))
SHARES = cgru.sigmoid(NUMBERS)
WEIGHTS = RNG.integers(0, 3, (M, S)) / 2


def own(A, Y):
    E = A - Y
    return (E**4).mean(axis=1), 4 * E**3 / E.shape[1]


def unknown(x, deriv=False):
    """No activation of the package's own."""
    return cgru.sigmoid(x, deriv=deriv)


# The network's loss, its head, the targets of each step, and the loss of rows before and after the activation.
CASES = {
    "softmax": (None, (3, "softmax"), CLASSES, lambda Z, A, Y: losses.softmax_cross_entropy(Z, Y)),
    "warm": (None, (3, "softmax"), CLASSES, lambda Z, A, Y: losses.softmax_cross_entropy(Z, Y, temperature=2.5)),
    "probabilities": (
        None,
        (2, "softmax"),
        np.stack([SHARES[..., 0], 1 - SHARES[..., 0]], axis=2),
        lambda Z, A, Y: losses.softmax_cross_entropy(Z, Y),
    ),
    "no softmax": ("cross_entropy", (3, unknown), CLASSES, lambda Z, A, Y: losses.cross_entropy(A, Y)),
    "sigmoid": (None, (1, "sigmoid"), CLASSES > 0, lambda Z, A, Y: losses.sigmoid_cross_entropy(Z, Y)),
    "many binary": (None, (2, "sigmoid"), SHARES, lambda Z, A, Y: losses.sigmoid_cross_entropy(Z, Y)),
    "binary": ("binary_cross_entropy", (2, "softmax"), SHARES, lambda Z, A, Y: losses.binary_cross_entropy(A, Y)),
    "mse": (None, (2, "identity"), NUMBERS, lambda Z, A, Y: losses.mean_squared_error(A, Y)),
    "huber": ("huber(0.3)", (2, "identity"), NUMBERS, lambda Z, A, Y: losses.huber(A, Y, delta=0.3)),
    "quantile": (
        "quantile(0.1, 0.5, 0.8)",
        (6, "identity"),
        NUMBERS,
        lambda Z, A, Y: losses.quantile(A, Y, quantiles=(0.1, 0.5, 0.8)),
    ),
    "poisson": ("poisson", (2, "identity"), np.floor(np.exp(NUMBERS)), lambda Z, A, Y: losses.poisson(A, Y)),
    "gaussian": ("gaussian", (4, "identity"), NUMBERS, lambda Z, A, Y: losses.gaussian(A, Y)),
    "own": (own, (2, "identity"), NUMBERS, lambda Z, A, Y: (own(A, Y)[0][0], None)),
}


def network(case, dtype, every):
    loss, (k, activate), *_ = CASES[case]
    layers = [cgru.GRU(5, sequences=every), cgru.Dense(k, activate)]
    layers[1].se_hPars = {"softmax_temperature": 2.5 if case == "warm" else 1.0}
    net = cgru.Network(layers, loss, seed=3, dtype=dtype)
    net.mean, net.scale = np.array([0.5, -1, 2]), np.array([2.0, 0.5, 3])  # a standardised one
    net.make(X)
    for array in net.parameters().values():
        array *= 2
    return net


def by_rows(case, net, y):
    """The loss of each row: (m,), or (m, s) with zeros at padded steps."""
    body, head = net.layers
    below = body.predict(net.standardized(X), LENGTHS)
    found = np.zeros(below.shape[:-1])
    for at in np.ndindex(found.shape):
        if not net.per_step or REAL[at]:
            ran = head.run(below[at][None])
            Y = np.eye(3)[y[at]] if y is CLASSES or y.base is CLASSES else y[at]
            found[at] = CASES[case][3](ran.fc["Z"], ran.A, np.atleast_1d(Y)[None].astype(float))[0]
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.pairwise
def test_the_loss_of_each(case, every, dtype):
    net, y = network(case, dtype, every), CASES[case][2]
    y, weights = (y, WEIGHTS) if every else (y[:, 0], WEIGHTS[:, 0])
    got = net.evaluate(padded(X, LENGTHS, np.nan), y, LENGTHS, each=True)
    due, rows = by_rows(case, net, y), got["losses"]
    assert rows.dtype == np.float64
    rtol, atol = (1e-12, 0) if dtype == np.float64 else (2e-6, 1e-7)
    np.testing.assert_allclose(rows, due, rtol, atol)
    plain = net.evaluate(X, y, LENGTHS)
    assert {name: got[name] for name in plain} == pytest.approx(plain, rel=1e-5 if dtype == np.float32 else 1e-12)
    assert got.keys() - plain.keys() == {"losses"}

    real = REAL if every else slice(None)
    assert got["loss"] == pytest.approx(rows[real].mean(), rel=1e-13)
    got = net.evaluate(X, y, LENGTHS, sample_weight=weights, each=True)
    np.testing.assert_array_equal(got["losses"], rows)
    assert got["loss"] == pytest.approx(np.average(rows[real], weights=weights[real]), rel=1e-13)


def test_classes_by_name():
    names = ["no", "perhaps", "yes"]
    net, y = made(class_names=names), np.array(names)[LABELS]
    likelihoods = net.predict(X, LENGTHS)[range(M), LABELS]
    got = net.evaluate(X, y, LENGTHS, each=True, metrics={"rows": lambda y, A: len(A)})
    np.testing.assert_allclose(got["losses"], -np.log(likelihoods), rtol=1e-12)
    assert got["rows"] == M
    assert list(got) == ["loss", "accuracy", "losses", "rows"]


@pytest.mark.parametrize("steps", [1024, 1025])
def test_batches_of_few_long_samples(steps):
    """As many samples a batch as the steps allow; each sample's own loss stands at its place."""
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    m = 1024 * 1024 // steps + 3
    x = np.zeros((m, steps, 1), np.float32)
    x[:, 0, 0] = np.arange(m) % 7
    lengths, y = np.ones(m, int), np.arange(m) % 2
    got = net.evaluate(x, y, lengths, each=True)["losses"]
    np.testing.assert_allclose(got, -np.log(net.predict(x[:, :1]))[range(m), y], rtol=1e-12)


def test_each_that_is_no_flag():
    net = made()
    with refuses(TypeError, "each"):
        net.evaluate(X, LABELS, each=1)
    assert not net.parameters()
