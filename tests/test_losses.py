"""The losses: against their definitions, central differences and extremes; and what they take as targets."""

import numpy as np
import pytest

import cgru
from cgru import losses

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((5, 4))
LABELS = np.array([0, 3, 1, 1, 2])
ONE_HOT = np.eye(4)[LABELS]
SOFT = cgru.softmax(RNG.standard_normal((5, 4)))
SHARES = RNG.random((5, 4))


def numeric(loss, A, step=1e-6):
    gradient = np.zeros_like(A)
    for index in np.ndindex(A.shape):
        sides = []
        for sign in (1, -1):
            moved = A.copy()
            moved[index] += sign * step
            sides.append(loss(moved))
        gradient[index] = (sides[0] - sides[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize(
    ("loss", "A", "Y", "due"),
    [
        (losses.cross_entropy, SOFT, ONE_HOT, -np.log(SOFT[range(5), LABELS]).mean()),
        (losses.cross_entropy, SOFT, SHARES, -(SHARES * np.log(SOFT)).sum() / 5),
        (
            losses.binary_cross_entropy,
            SOFT,
            SHARES,
            -(SHARES * np.log(SOFT) + (1 - SHARES) * np.log(1 - SOFT)).sum() / 20,
        ),
        (losses.mean_squared_error, Z, SHARES, ((Z - SHARES) ** 2).sum() / 20),
        (losses.softmax_cross_entropy, Z, SOFT, -(SOFT * np.log(cgru.softmax(Z))).sum() / 5),
        (
            losses.sigmoid_cross_entropy,
            Z,
            SHARES,
            -(SHARES * np.log(cgru.sigmoid(Z)) + (1 - SHARES) * np.log(cgru.sigmoid(-Z))).sum() / 20,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_value_and_gradient(loss, A, Y, due):
    value, gradient = loss(A, Y)
    assert value == pytest.approx(due, rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y)[0], A), rtol=1e-6, atol=1e-9)


def test_temperature():
    def value(z):
        return losses.softmax_cross_entropy(z, ONE_HOT, temperature=2.5)[0]

    assert value(Z) == pytest.approx(losses.softmax_cross_entropy(Z / 2.5, ONE_HOT)[0], rel=1e-12)
    gradient = losses.softmax_cross_entropy(Z, ONE_HOT, temperature=2.5)[1]
    np.testing.assert_allclose(gradient, numeric(value, Z), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [50.0, 1e4, 1e30])
def test_pairs_neither_overflow_nor_vanish(dtype, size):
    z = np.array([[size, -size], [-size, size]], dtype)
    wrong = np.array([[0.0, 1.0], [0.0, 1.0]])  # the first sample is as wrong as can be
    loss, gradient = losses.softmax_cross_entropy(z, wrong)
    assert loss == pytest.approx(size, rel=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, -0.5], [0, 0]], atol=1e-12)
    loss, gradient = losses.sigmoid_cross_entropy(z, wrong)
    assert loss == pytest.approx(size / 2, rel=1e-6)
    np.testing.assert_allclose(gradient, [[0.25, -0.25], [0, 0]], atol=1e-12)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.binary_cross_entropy])
def test_outputs_of_exactly_zero_and_one(loss, dtype):
    A = np.array([[0.0, 1.0], [1.0, 0.0]], dtype)
    value, gradient = loss(A, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] < 0
    assert gradient.dtype == dtype


def test_nan_stays_nan():
    for loss in (*losses.LOSSES.values(), *losses.CANONICAL.values()):
        assert np.isnan(loss(np.full((2, 2), np.nan), np.eye(2))[0])


# --- which loss ---


def test_chosen_by_the_head():
    assert losses.chosen(None, cgru.softmax, 3) == "cross_entropy"
    assert losses.chosen(None, cgru.sigmoid, 1) == "binary_cross_entropy"
    assert losses.chosen(None, cgru.identity, 1) == "mean_squared_error"
    assert losses.chosen(None, np.sin, 1) == "mean_squared_error"
    assert losses.chosen("cross_entropy", np.sin, 2) == "cross_entropy"


@pytest.mark.parametrize(
    ("loss", "activate", "k"),
    [
        ("hinge", cgru.softmax, 2),
        (3, cgru.softmax, 2),
        ("cross_entropy", cgru.sigmoid, 2),
        ("cross_entropy", cgru.identity, 2),
        ("binary_cross_entropy", cgru.tanh, 1),
        ("cross_entropy", cgru.softmax, 1),
        (None, cgru.softmax, 1),
    ],
)
def test_refused_losses(loss, activate, k):
    with pytest.raises(ValueError, match=r"^loss: expected"):
        losses.chosen(loss, activate, k)


# --- targets ---


@pytest.mark.parametrize(
    ("loss", "k", "y", "Y", "classes"),
    [
        ("cross_entropy", 4, LABELS.astype(np.uint8), ONE_HOT, LABELS),
        ("cross_entropy", 4, LABELS.tolist(), ONE_HOT, LABELS),
        ("cross_entropy", 4, SOFT, SOFT, None),
        ("cross_entropy", 4, ONE_HOT.astype(int), ONE_HOT, None),
        ("binary_cross_entropy", 1, [0, 1, 1, 0, 0], [[0], [1], [1], [0], [0]], [0, 1, 1, 0, 0]),
        ("binary_cross_entropy", 1, [False, True, True, False, False], [[0], [1], [1], [0], [0]], [0, 1, 1, 0, 0]),
        ("binary_cross_entropy", 4, SHARES, SHARES, None),
        ("mean_squared_error", 4, Z.astype(np.float32), Z.astype(np.float32), None),
        ("mean_squared_error", 1, LABELS, LABELS[:, None], None),
        ("mean_squared_error", 1, Z[:, :1], Z[:, :1], None),
    ],
)
def test_targets(loss, k, y, Y, classes):
    got, labels = losses.targets(y, 5, k, loss)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, Y, rtol=1e-12)
    if classes is None:
        assert labels is None
    else:
        np.testing.assert_array_equal(labels, classes)


@pytest.mark.parametrize(
    ("loss", "k", "y", "error", "words"),
    [
        ("cross_entropy", 4, [0, 1, 2, 3, 4], ValueError, "0 to 3"),
        ("cross_entropy", 4, [0, 1, 2, 3, -1], ValueError, "-1"),
        ("cross_entropy", 4, [0.0, 1, 2, 3, 3], TypeError, "integers"),
        ("cross_entropy", 4, LABELS[:4], ValueError, "shape"),
        ("cross_entropy", 4, LABELS[:, None], ValueError, "shape"),
        ("cross_entropy", 4, np.full((5, 4), 0.3), ValueError, "sum"),
        ("cross_entropy", 4, ONE_HOT * [1, 1, 1, -1], ValueError, "0 to 1"),
        ("cross_entropy", 4, list("abcde"), TypeError, "real numbers"),
        ("cross_entropy", 4, [[1], [2, 3]], ValueError, "rectangular"),
        ("binary_cross_entropy", 1, [0, 1, 2, 0, 0], ValueError, "0 to 1"),
        ("binary_cross_entropy", 4, [0, 1, 1, 0, 0], ValueError, "shape"),
        ("binary_cross_entropy", 4, 1.5 * np.ones((5, 4)), ValueError, "0 to 1"),
        ("mean_squared_error", 4, Z[:, 0], ValueError, "shape"),
        ("mean_squared_error", 4, Z[:, :3], ValueError, "shape"),
        ("mean_squared_error", 4, Z * np.nan, ValueError, "finite"),
        ("mean_squared_error", 1, [1, 2, 3, 4, np.inf], ValueError, "finite"),
        ("mean_squared_error", 1, Z[:, 0] + 1j, TypeError, "real"),
    ],
)
def test_refused_targets(loss, k, y, error, words):
    with pytest.raises(error, match=rf"^y: .*{words}"):
        losses.targets(y, 5, k, loss)


REAL = np.array([[True, True], [True, False], [True, True]])
STEPS = np.array([[0, 3], [1, 99], [1, 2]])


@pytest.mark.parametrize(
    ("loss", "k", "y", "due"),
    [
        ("cross_entropy", 4, STEPS, STEPS),
        ("cross_entropy", 4, np.repeat(SOFT[:3], 2, axis=0).reshape(3, 2, 4), np.repeat(SOFT[:3], 2, axis=0)),
        ("binary_cross_entropy", 1, STEPS == 3, STEPS == 3),
        ("binary_cross_entropy", 4, np.tile(SHARES[0], (3, 2, 1)), np.tile(SHARES[0], (3, 2, 1))),
        ("mean_squared_error", 1, STEPS, STEPS),
        ("mean_squared_error", 4, np.tile(Z[0], (3, 2, 1)), np.tile(Z[0], (3, 2, 1))),
    ],
)
def test_targets_at_steps(loss, k, y, due):
    y = np.where(REAL if y.ndim == 2 else REAL[:, :, None], y, np.nan if y.dtype.kind == "f" else 99)
    got = losses.step_targets(y, REAL, k, loss)
    due = np.reshape(due, (3, 2) if loss == "cross_entropy" and y.ndim == 2 else (3, 2, k))
    assert got.dtype == (np.intp if due.ndim == 2 else np.float64)
    np.testing.assert_allclose(got, np.where(REAL if due.ndim == 2 else REAL[:, :, None], due, 0), rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "k", "y", "error", "words"),
    [
        ("cross_entropy", 2, STEPS, ValueError, "0 to 1 .*got 3"),
        ("cross_entropy", 4, STEPS * 1.0, TypeError, "integers"),
        ("cross_entropy", 4, STEPS[:2], ValueError, r"\(3, 2\) or \(3, 2, 4\), a target for each step, got \(2, 2\)"),
        ("cross_entropy", 4, LABELS, ValueError, "shape"),
        ("binary_cross_entropy", 4, STEPS == 3, ValueError, r"shape \(3, 2, 4\)"),
        ("mean_squared_error", 4, STEPS, ValueError, r"shape \(3, 2, 4\)"),
        ("mean_squared_error", 1, np.full((3, 2), np.nan), ValueError, "finite"),
    ],
)
def test_refused_targets_at_steps(loss, k, y, error, words):
    with pytest.raises(error, match=rf"^y: .*{words}"):
        losses.step_targets(y, REAL, k, loss)


def test_hits():
    assert losses.hits(SOFT, SOFT, "cross_entropy") == 5
    assert losses.hits(np.roll(ONE_HOT, 1, axis=1), ONE_HOT, "cross_entropy") == 0
    assert losses.hits(np.array([[0.6, 0.6], [0.4, 0.4]]), np.array([[1, 0], [0, 0]]), "binary_cross_entropy") == 1.5
    assert losses.hits(Z, Z, "mean_squared_error") is None
