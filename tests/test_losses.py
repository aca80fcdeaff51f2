"""The losses: against their definitions, central differences and extremes; and what they take as targets."""

import functools

import numpy as np
import pytest
from helpers import refuses

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
def test_outputs_count_as_the_epsilon_at_least(loss, dtype):
    eps = np.finfo(dtype).eps
    least, zero = (loss(np.array([[a, 0.5]], dtype), np.array([[1.0, 0]])) for a in (eps, 0))
    assert zero[0] == least[0]
    np.testing.assert_array_equal(zero[1], least[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.binary_cross_entropy])
def test_outputs_of_exactly_zero_and_one(loss, dtype):
    A = np.array([[0.0, 1.0], [1.0, 0.0]], dtype)
    value, gradient = loss(A, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] < 0
    assert gradient.dtype == dtype


def test_sums_are_double():
    """Of many float32 outputs a sum in float32 would lose digits."""
    A = np.random.default_rng(1).random((40_000, 2)).astype(np.float32)
    Y = np.random.default_rng(2).integers(0, 2, A.shape).astype(np.float32)
    wide = A.astype(np.float64)
    for loss in FROM:
        y = Y[:, :1] if loss is losses.gaussian else Y
        value, gradient = loss(A, y)
        assert value == pytest.approx(loss(wide, y)[0], rel=3e-7 if loss is losses.softmax_cross_entropy else 1e-12)
        assert gradient.dtype == np.float32


def test_outputs_that_the_caller_has_are_not_computed_again():
    for loss, activate in ((losses.softmax_cross_entropy, cgru.softmax), (losses.sigmoid_cross_entropy, cgru.sigmoid)):
        A = activate(Z)
        np.testing.assert_array_equal(loss(Z, ONE_HOT, A)[1], loss(Z, ONE_HOT)[1])
        assert not np.array_equal(loss(Z, ONE_HOT, A + 1)[1], loss(Z, ONE_HOT)[1])
        assert loss(Z, ONE_HOT, A + 1)[0] == loss(Z, ONE_HOT)[0]


def test_nan_stays_nan():
    for loss in FROM:
        assert np.isnan(loss(np.full((2, 2), np.nan), np.eye(2)[:, : 1 + (loss is not losses.gaussian)])[0])


# --- of numbers ---


@pytest.mark.parametrize("weights", [None, RNG.random(5)])
@pytest.mark.parametrize(
    ("name", "Y", "each"),
    [
        ("huber", SHARES, lambda E, A: np.where(np.abs(E) < 1, E * E / 2, np.abs(E) - 0.5)),
        ("huber(0.3)", SHARES, lambda E, A: np.where(np.abs(E) < 0.3, E * E / 2, 0.3 * (np.abs(E) - 0.15))),
        ("quantile", SHARES, lambda E, A: np.abs(E) / 2),
        ("quantile(0.2)", SHARES, lambda E, A: np.where(E < 0, -0.2 * E, 0.8 * E)),
        ("poisson", 3 * SHARES, lambda E, A: np.exp(A) - 3 * SHARES * A),
    ],
)
def test_losses_of_each_output(name, Y, each, weights):
    loss = losses.named(name)
    value, gradient = loss(Z, Y, weights)
    assert value == pytest.approx(np.average(each(Z - Y, Z).mean(axis=1), weights=weights), rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y, weights)[0], Z), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weights", [None, RNG.random(5)])
@pytest.mark.parametrize("Y", [ONE_HOT, cgru.softmax(Z[::-1])], ids=["classes", "shares"])
@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_smoothed_targets(smoothing, Y, weights):
    """Both ways to the loss: that of the outputs, and that of what comes before the softmax."""
    even = Y * (1 - smoothing) + smoothing / 4
    loss = losses.named(f"cross_entropy({smoothing})")
    head = cgru.Dense(4, "softmax", se_hPars={"softmax_temperature": 2.0})
    A = cgru.softmax(Z / 2)
    due = np.average(-(even * np.log(A)).sum(axis=1), weights=weights)
    value, gradient = loss(A, Y, weights)
    assert value == pytest.approx(due, rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y, weights)[0], A), rtol=1e-6, atol=1e-9)
    value, dZ, dA = loss.of_head(head, Z, A, Y, weights)
    assert value == pytest.approx(due, rel=1e-12)
    assert dA is None
    slope = numeric(lambda z: loss.of_head(head, z, cgru.softmax(z / 2), Y, weights)[0], Z)
    np.testing.assert_allclose(dZ, slope, rtol=1e-6, atol=1e-9)
    assert loss.scored(A, Y, weights)[0] == losses.cross_entropy(A, Y, weights)[0] != value
    assert (
        loss.scored.of_head(head, Z, A, Y, weights)[0]
        == losses.named("cross_entropy").of_head(head, Z, A, Y, weights)[0]
    )


def test_what_is_scored_is_the_loss_itself_where_nothing_is_for_training_alone():
    for name in losses.LOSSES:
        assert losses.named(name).scored.name == name
    assert losses.named("huber(0.3)").scored.name == "huber(0.3)"
    assert losses.named("cross_entropy(0.3)").scored.name == "cross_entropy"


@pytest.mark.parametrize("weights", [None, RNG.random(5)])
def test_losses_of_several_outputs_a_target(weights):
    """Those of one target stand side by side."""
    Y, loss = SHARES[:, :2], losses.named("quantile(0.1, 0.7)")
    value, gradient = loss(Z, Y, weights)
    parts = [losses.named(f"quantile({q})")(Z[:, i::2], Y, weights)[0] for i, q in enumerate((0.1, 0.7))]
    assert value == pytest.approx(np.mean(parts), rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y, weights)[0], Z), rtol=1e-6, atol=1e-9)
    value, gradient = losses.gaussian(Z, Y, weights)
    mean, variance = Z[:, ::2], np.exp(Z[:, 1::2])
    due = -np.log(np.exp(-((Y - mean) ** 2) / (2 * variance)) / np.sqrt(variance)).mean(axis=1)
    assert value == pytest.approx(np.average(due, weights=weights), rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: losses.gaussian(a, Y, weights)[0], Z), rtol=1e-6, atol=1e-9)


def test_what_a_name_alone_means():
    for function, number in ((losses.huber, 1.0), (losses.quantile, 0.5)):
        name = function.__name__
        for loss in map(losses.named, (name, f"{name}({number})")):
            assert (loss.name, loss.numbers) == (name, (number,))
            for got, due in zip(loss(Z, SHARES), function(Z, SHARES), strict=True):
                np.testing.assert_array_equal(got, due)
    assert losses.named("quantile(.1, 0.9)").name == "quantile(0.1, 0.9)"
    assert losses.named("poisson").numbers == ()


def test_a_loss_of_the_users_own():
    def own(A, Y):
        E = A - Y
        return (E * E).mean(axis=1), 2 * E / E.shape[1]

    for weights in (None, RNG.random(5)):
        value, gradient = losses.named(own)(Z.astype(np.float32), SHARES, weights)
        due, slope = losses.mean_squared_error(Z.astype(np.float32), SHARES, weights)
        assert value == pytest.approx(due, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-6)
        assert gradient.dtype == np.float32
    for wrong in (lambda A, Y: (0.0, A), lambda A, Y: (A[:, 0], A[:, 0]), lambda A, Y: (A, A)):
        with refuses(ValueError, "loss"):
            losses.named(wrong)(Z, SHARES)


# --- weights ---

WEIGHTS = np.array([0.0, 2.0, 1.0, 3.0, 0.0])
FROM = {
    losses.cross_entropy: (SOFT, SHARES),
    losses.binary_cross_entropy: (SOFT, SHARES),
    losses.mean_squared_error: (Z, SHARES),
    losses.softmax_cross_entropy: (Z, ONE_HOT),
    losses.sigmoid_cross_entropy: (Z, SHARES),
    losses.huber: (2 * Z, SHARES),
    losses.quantile: (Z, SHARES),
    losses.poisson: (Z, SHARES),
    losses.gaussian: (Z, SHARES[:, :2]),
}


@pytest.mark.parametrize("loss", FROM, ids=lambda loss: loss.__name__)
def test_rows_of_some_weight_count_as_so_many(loss):
    A, Y = FROM[loss]
    value, gradient = loss(A, Y, weights=WEIGHTS)
    many = np.repeat(np.arange(5), WEIGHTS.astype(int))
    assert value == pytest.approx(loss(A[many], Y[many])[0], rel=1e-12)
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y, weights=WEIGHTS)[0], A), rtol=1e-6, atol=1e-9)
    assert not gradient[WEIGHTS == 0].any()
    odd = RNG.random(5)
    gradient = loss(A, Y, weights=odd)[1]
    np.testing.assert_allclose(gradient, numeric(lambda a: loss(a, Y, weights=odd)[0], A), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", FROM, ids=lambda loss: loss.__name__)
def test_weights_of_one_are_none_and_those_of_zero_give_nothing(loss, dtype):
    A, Y = FROM[loss]
    A = A.astype(dtype)
    for given, due in zip(loss(A, Y, weights=np.ones(5)), loss(A, Y), strict=True):
        np.testing.assert_array_equal(given, due)
    value, gradient = loss(A, Y, weights=np.zeros(5))
    assert value == 0
    assert not gradient.any()
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", FROM, ids=lambda loss: loss.__name__)
def test_each_row_by_itself(loss, dtype):
    """Value and gradient; the weights have no share in them."""
    A, Y = FROM[loss]
    values, gradient = loss(A.astype(dtype), Y, weights=WEIGHTS, each=True)
    alone = [loss(A[i : i + 1].astype(dtype), Y[i : i + 1]) for i in range(5)]
    assert (values.shape, values.dtype, gradient.dtype) == ((5,), np.float64, dtype)
    np.testing.assert_allclose(values, [value for value, _ in alone], rtol=1e-12)
    np.testing.assert_allclose(gradient, np.concatenate([slope for _, slope in alone]), rtol=1e-6)
    assert loss(A, Y, weights=WEIGHTS)[0] == pytest.approx(np.average(loss(A, Y, each=True)[0], weights=WEIGHTS))


def test_each_row_of_a_head():
    A = cgru.sigmoid(Z)
    for loss in map(losses.named, ("binary_cross_entropy", "mse")):
        values = loss.of_head(cgru.Dense(4, "sigmoid"), Z, A, SHARES, each=True)[0]
        np.testing.assert_allclose(values, loss(A, SHARES, each=True)[0])


def test_hits_by_weight():
    assert losses.named("cross_entropy").hits(SOFT, SOFT, WEIGHTS) == 6
    assert losses.named("cross_entropy").hits(np.roll(ONE_HOT, 1, axis=1), ONE_HOT, WEIGHTS) == 0
    A, Y = np.array([[0.6, 0.6], [0.4, 0.4]]), np.array([[1, 0], [0, 0]])
    assert losses.named("binary_cross_entropy").hits(A, Y, np.array([3.0, 0.5])) == 2


# --- which loss ---


def test_an_object_is_found_by_what_a_network_has():
    loss = losses.named("huber(.5)")
    assert losses.named(loss) is loss is losses.named("huber(.5)")
    assert (loss.name, str(loss), loss.given, loss.numbers) == ("huber(0.5)", "huber(0.5)", "huber(0.5)", (0.5,))

    def own(A, Y):
        return (A - Y).mean(axis=1), A

    loss = losses.named(own)
    assert (loss.name, str(loss), loss.given, loss.numbers) == ("own", str(own), own, ())
    assert losses.named(functools.partial(own)).name == "a function"
    for wrong in (None, 3, "mse(1)"):
        with refuses(ValueError, "loss"):
            losses.named(wrong)


@pytest.mark.parametrize(
    ("loss", "classifies", "standardize", "shrink", "names", "terms"),
    [
        ("cross_entropy", True, False, False, ["y"], 1),
        ("cross_entropy(0.1)", True, False, False, ["y"], 1),
        ("binary_cross_entropy", True, False, False, ["y"], 6),
        ("mse", False, True, True, ["y"], 6),
        ("huber(2)", False, True, True, ["y"], 6),
        ("quantile(0.1, 0.9)", False, True, False, ["y_0.1", "y_0.9"], 6),
        ("poisson", False, False, False, ["y_log_rate"], 6),
        ("gaussian", False, True, False, ["y_mean", "y_log_variance"], 3),
        (lambda A, Y: None, False, True, True, ["y"], 6),
    ],
)
def test_what_a_loss_says_about_itself(loss, classifies, standardize, shrink, names, terms):
    found = losses.named(loss)
    assert (found.classifies, found.can_standardize, found.can_shrink) == (classifies, standardize, shrink)
    assert losses.classifies(loss) is classifies
    assert found.output_names(["y"]) == names
    assert found.outputs == len(names)
    assert found.terms(6) == terms
    assert found.quantiles == ((0.1, 0.9) if "0.9" in found.name else ())
    assert found.predicts_mean is not found.name.startswith(("huber", "quantile"))
    assert found.targets(6) == (None if callable(loss) else 6 // len(names))
    assert found.code == (None if callable(loss) else 1 + list(losses.LOSSES).index(found.name.partition("(")[0]))
    assert [found.predicts_one_class(k) for k in (1, 3)] == [classifies, found.name.startswith("cross_entropy")]


def test_without_a_head_there_are_no_classes():
    assert losses.classifies(None) is False


def test_what_outputs_say_of_a_target():
    A = np.array([[1.0, 2, 3, 4]])
    assert losses.named("quantile(0.1, 0.6)").point(A).tolist() == [[2, 4]]
    assert losses.named("gaussian").point(A).tolist() == [[1, 3]]
    np.testing.assert_array_equal(losses.named("poisson").point(A), np.exp(A))
    assert losses.named("huber").point(A).tolist() == A.tolist()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["mse", "huber(1e-3)", "quantile(0.1, 0.5, 0.9)", "poisson", "gaussian"])
def test_no_constant_fits_better_than_the_best(loss, weighted):
    loss, y = losses.named(loss), np.random.default_rng(0).gamma(2.0, size=(33, 2)) * [1.0, 7.0]
    weights = np.arange(33) % 3.0 if weighted else None
    best = loss.constant(y, weights)
    assert best.shape == (2 * loss.outputs,)
    least = loss(np.tile(best, (33, 1)), y, weights)[0]
    for i in range(len(best)):
        for step in (-0.1, -0.01, 0.01, 0.1):
            other = np.tile(best + step * (np.arange(len(best)) == i), (33, 1))
            assert loss(other, y, weights)[0] >= least - 1e-6
    if weighted:
        np.testing.assert_allclose(loss.constant(np.repeat(y, np.arange(33) % 3, axis=0)), best)


def test_constants_of_no_count_and_of_no_spread_are_finite():
    for loss in ("poisson", "gaussian"):
        assert np.isfinite(losses.named(loss).constant(np.zeros((3, 1)))).all()


@pytest.mark.parametrize("loss", ["mse", "quantile(0.1, 0.9)", "gaussian"])
def test_scaling_brings_outputs_to_the_units_of_y(loss):
    """At the outputs that are least for scaled targets, the scaled outputs are least for the targets."""
    loss, mean, scale = losses.named(loss), np.array([5.0, -1.0]), np.array([2.0, 0.1])
    y = RNG.standard_normal((7, 2))
    A = RNG.standard_normal((7, 2 * loss.outputs))
    factor, shift = loss.scaling(mean, scale)
    np.testing.assert_allclose(loss.point(A * factor + shift), loss.point(A) * scale + mean)
    slope = loss(A, y, each=True)[1] / factor
    unit = np.repeat(scale, loss.outputs) ** (2 if loss.name == "mean_squared_error" else 1)
    scaled = loss(A * factor + shift, y * scale + mean, each=True)[1]
    np.testing.assert_allclose(scaled, slope * (1 if loss.name == "gaussian" else unit), rtol=1e-9)


def test_the_class_of_a_target():
    cross, binary = losses.named("cross_entropy"), losses.named("binary_cross_entropy")
    assert cross.classes_in(LABELS) is LABELS
    assert cross.classes_in(SOFT) is None
    assert binary.classes_in(np.array([[0.0], [1.0]])).tolist() == [0, 1]
    assert binary.classes_in(np.array([[0.0], [0.5]])) is binary.classes_in(np.eye(2)) is None
    assert losses.named("mse").classes_in(np.ones((2, 1))) is None


def test_chosen_by_the_head_or_by_name():
    for name in losses.LOSSES:
        assert losses.chosen(name, np.sin, 2) == name
    assert losses.chosen("mse", cgru.softmax, 2) == "mean_squared_error"
    for spelled, due in {
        "huber(1)": "huber",
        "huber(1.0)": "huber",
        "huber( .5 )": "huber(0.5)",
        "quantile(5e-1)": "quantile",
        "quantile(.1,.9)": "quantile(0.1, 0.9)",
    }.items():
        assert losses.chosen(spelled, cgru.identity, 2) == losses.chosen(due, cgru.identity, 2) == due
    for spelled, due in {"cross_entropy(0)": "cross_entropy", "cross_entropy(.1)": "cross_entropy(0.1)"}.items():
        assert losses.chosen(spelled, cgru.softmax, 2) == losses.chosen(due, cgru.softmax, 2) == due
    assert losses.chosen("binary_cross_entropy", cgru.softmax, 2) == "binary_cross_entropy"
    assert losses.chosen(None, cgru.softmax, 3) == "cross_entropy"
    assert losses.chosen(None, cgru.sigmoid, 1) == "binary_cross_entropy"
    assert losses.chosen(None, cgru.identity, 1) == "mean_squared_error"
    assert losses.chosen(None, np.sin, 1) == "mean_squared_error"
    assert losses.chosen("cross_entropy", np.sin, 2) == "cross_entropy"


WRONG = {  # by the activation of the head and its units
    (cgru.softmax, 2): (
        "hinge", 3, ["mse"], "cross_entropy(1)", "cross_entropy(-0.1)", "cross_entropy(nan)", "cross_entropy(0.1, 0.2)",
    ),
    (cgru.softmax, 1): ("cross_entropy(0.1)", "cross_entropy", None),
    (cgru.sigmoid, 2): ("cross_entropy(0.1)", "cross_entropy"),
    (cgru.sigmoid, 1): ("binary_cross_entropy(0.1)",),
    (cgru.tanh, 1): ("binary_cross_entropy",),
    (np.sin, 1): ("cross_entropy",),
    (cgru.identity, 1): ("gaussian",),
    (cgru.identity, 2): (
        "cross_entropy", "huber(a)", "huber()", "huber(0)", "huber(inf)", "huber(1, 2)", "huber(nan)",
        "quantile(0.5, 1)", "quantile(0, 0.5)", "quantile(0.9, 0.1)", "quantile(0.5, 0.5)", "poisson(2)",
    ),
    (cgru.identity, 3): ("quantile(0.1, 0.9)",),
}  # fmt: skip


@pytest.mark.parametrize(("head", "loss"), [(head, loss) for head, many in WRONG.items() for loss in many])
def test_refused_losses(head, loss):
    with refuses(ValueError, "loss"):
        losses.chosen(loss, *head)


# --- targets ---


def targets(y, m, k, loss, name="y"):
    Y, classes = losses.named(loss).check_targets(y, m, k, name)
    return losses.one_hot(Y, k), classes


@pytest.mark.parametrize(
    ("loss", "k", "y", "Y", "classes"),
    [
        ("cross_entropy", 4, LABELS.astype(np.uint8), ONE_HOT, LABELS),
        ("cross_entropy", 4, LABELS.tolist(), ONE_HOT, LABELS),
        ("cross_entropy", 2, [False, True, True, False, False], np.eye(2)[[0, 1, 1, 0, 0]], [0, 1, 1, 0, 0]),
        ("cross_entropy", 4, SOFT, SOFT, None),
        ("cross_entropy", 4, ONE_HOT.astype(int), ONE_HOT, None),
        ("cross_entropy", 4, ONE_HOT.astype(np.float32), ONE_HOT, None),
        ("binary_cross_entropy", 1, [0, 1, 1, 0, 0], [[0], [1], [1], [0], [0]], [0, 1, 1, 0, 0]),
        ("binary_cross_entropy", 1, [False, True, True, False, False], [[0], [1], [1], [0], [0]], [0, 1, 1, 0, 0]),
        ("binary_cross_entropy", 4, SHARES, SHARES, None),
        ("mean_squared_error", 4, Z.astype(np.float32), Z.astype(np.float32), None),
        ("mean_squared_error", 1, LABELS, LABELS[:, None], None),
        ("mean_squared_error", 1, Z[:, :1], Z[:, :1], None),
        ("huber(2)", 4, Z, Z, None),
        ("poisson", 1, LABELS, LABELS[:, None], None),
        ("gaussian", 4, Z[:, :2], Z[:, :2], None),
        ("quantile(0.1,0.5,0.9)", 3, Z[:, 0], Z[:, :1], None),
        (lambda A, Y: None, 4, Z[:, 0], Z[:, :1], None),
        (lambda A, Y: None, 1, Z[:, :3], Z[:, :3], None),
    ],
)
def test_targets(loss, k, y, Y, classes):
    got, labels = targets(y, 5, k, loss)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, Y, rtol=1e-12)
    if classes is None:
        assert labels is None
    else:
        np.testing.assert_array_equal(labels, classes)


REAL = np.array([[True, True], [True, False], [True, True]])
STEPS = np.array([[0, 3], [1, 99], [1, 2]])
NO_TARGETS = [  # of a loss whose head has k units: of the wrong kind, then of wrong values or shapes
    *(("cross_entropy", 4, y, TypeError) for y in ([0.0, 1, 2, 3, 3], list("abcde"))),
    ("mean_squared_error", 1, Z[:, 0] + 1j, TypeError),
    *(("cross_entropy", 4, y, ValueError) for y in (
        [0, 1, 2, 3, 4], [0, 1, 2, 3, -1], LABELS[:4], LABELS[:, None], np.full((5, 4), 0.3), ONE_HOT * [1, 1, 1, -1],
        [[1], [2, 3]])),
    *(("binary_cross_entropy", 1, y, ValueError) for y in ([0, 1, 2, 0, 0], [0.5, 2.5] * 2 + [0], [0, 0, 0, 1, -0.1])),
    *(("binary_cross_entropy", 4, y, ValueError) for y in ([0, 1, 1, 0, 0], 1.5 * np.ones((5, 4)))),
    *(("mean_squared_error", 4, y, ValueError) for y in (Z[:, 0], Z[:, :3], Z * np.nan)),
    ("mean_squared_error", 1, [1, 2, 3, 4, np.inf], ValueError),
    ("gaussian", 4, Z, ValueError), ("quantile(0.2, 0.4)", 2, Z, ValueError), (lambda A, Y: None, 4, Z[:3], ValueError),
]  # fmt: skip
NO_STEPS = [  # the same of targets at steps
    ("cross_entropy", 4, STEPS * 1.0, TypeError), ("cross_entropy", 2, STEPS, ValueError),
    *(("cross_entropy", 4, y, ValueError) for y in (STEPS[:2], LABELS)),
    ("binary_cross_entropy", 4, STEPS == 3, ValueError), ("mean_squared_error", 4, STEPS, ValueError),
    ("mean_squared_error", 1, np.full((3, 2), np.nan), ValueError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "k", "y", "error", "real"), [(*row, None) for row in NO_TARGETS] + [(*row, REAL) for row in NO_STEPS]
)
def test_refused_targets(loss, k, y, error, real):
    with refuses(error, "y"):
        losses.named(loss).check_targets(y, 5 if real is None else 3, k, real=real)


@pytest.mark.parametrize(("shape", "k", "place"), [((5,), 1, "2"), ((5, 1), 1, "2, 0"), ((5, 2), 2, "2, 1")])
def test_counts_below_zero_are_refused_by_their_place(shape, k, place):
    y, steps = np.zeros(shape), np.zeros((3, 5, k))
    y.reshape(5, -1)[2, -1] = -1
    with pytest.raises(ValueError, match=rf"^y\[{place}\]: expected a number of at least 0 for poisson, got -1"):
        targets(y, 5, k, "poisson")
    steps[1, 3:] = -2  # what is no real step is not read
    real = np.arange(5) < np.array([[5], [3], [4]])
    losses.named("poisson").check_targets(steps, 3, k, real=real)
    steps[2, 3, k - 1] = -1
    with pytest.raises(ValueError, match=rf"^y\[2, 3, {k - 1}\]: expected a number of at least 0"):
        losses.named("poisson").check_targets(steps, 3, k, real=real)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_is_just_near_enough(sign):
    for off, taken in ((0.9e-3, True), (1.1e-3, False)):
        y = np.array([[0.25, 0.75 + sign * off]])
        if taken:
            assert targets(y, 1, 2, "cross_entropy")[0].sum() == pytest.approx(1, rel=1e-15)
        else:
            with pytest.raises(ValueError, match="sum"):
                targets(y, 1, 2, "cross_entropy")


def test_errors_call_the_targets_what_they_are_told():
    for call in (targets, lambda y, m, k, loss, name: losses.named(loss).check_targets(y, 3, k, name, REAL)):
        with refuses(ValueError, "validation y"):
            call(np.zeros((1, 1)), 2, 2, "cross_entropy", "validation y")


def test_compact_targets():
    Y, classes = losses.named("cross_entropy").check_targets(LABELS.astype(np.int8), 5, 4)
    assert Y.dtype == classes.dtype == np.intp
    np.testing.assert_array_equal(Y, LABELS)
    np.testing.assert_array_equal(losses.one_hot(Y, 4), ONE_HOT)
    assert losses.one_hot(SOFT, 4) is SOFT
    assert losses.named("binary_cross_entropy").check_targets(np.ones((5, 1), int), 5, 1)[1].shape == (5,)
    assert losses.named("binary_cross_entropy").check_targets(np.ones((5, 1)), 5, 1)[1] is None
    assert losses.named("binary_cross_entropy").check_targets(np.ones((5, 2), int), 5, 2)[1] is None


@pytest.mark.parametrize(
    ("loss", "k", "y", "due"),
    [
        ("cross_entropy", 4, STEPS, STEPS),
        ("cross_entropy", 4, np.repeat(SOFT[:3], 2, axis=0).reshape(3, 2, 4), np.repeat(SOFT[:3], 2, axis=0)),
        ("binary_cross_entropy", 1, STEPS == 3, STEPS == 3),
        ("binary_cross_entropy", 4, np.tile(SHARES[0], (3, 2, 1)), np.tile(SHARES[0], (3, 2, 1))),
        ("mean_squared_error", 1, STEPS, STEPS),
        ("mean_squared_error", 4, np.tile(Z[0], (3, 2, 1)), np.tile(Z[0], (3, 2, 1))),
        ("gaussian", 8, np.tile(Z[0], (3, 2, 1)), np.tile(Z[0], (3, 2, 1))),
    ],
)
def test_targets_at_steps(loss, k, y, due):
    y = np.where(REAL if y.ndim == 2 else REAL[:, :, None], y, np.nan if y.dtype.kind == "f" else 99)
    got, classes = losses.named(loss).check_targets(y, 3, k, real=REAL)
    assert classes is None
    due = np.reshape(
        due, (3, 2) if loss == "cross_entropy" and y.ndim == 2 else (3, 2, k // losses.named(loss).outputs)
    )
    assert got.dtype == (np.intp if due.ndim == 2 else np.float64)
    np.testing.assert_allclose(got, np.where(REAL if due.ndim == 2 else REAL[:, :, None], due, 0), rtol=1e-12)


def test_classes():
    """Half is not more than half, and the first of equals is the largest."""
    A = np.array([[0.5], [np.nextafter(0.5, 1)], [0.49], [1], [0]])
    assert losses.named("binary_cross_entropy").classes(A).tolist() == [0, 1, 0, 1, 0]
    assert losses.named("binary_cross_entropy").classes(A.reshape(1, 5)).tolist() == [[0, 1, 0, 1, 0]]
    assert losses.named("cross_entropy").classes(np.array([[0.3, 0.3, 0.1], [0, 0.1, 0.2]])).tolist() == [0, 2]
    assert losses.named("cross_entropy").classes(np.array([[[0.3, 0.7], [0.9, 0.1]]])).tolist() == [[1, 0]]
    assert losses.named("binary_cross_entropy").classes(A).dtype.kind == "i"


def test_hits():
    assert losses.named("cross_entropy").hits(SOFT, SOFT) == 5
    assert losses.named("cross_entropy").hits(np.roll(ONE_HOT, 1, axis=1), ONE_HOT) == 0
    assert (
        losses.named("binary_cross_entropy").hits(np.array([[0.6, 0.6], [0.4, 0.4]]), np.array([[1, 0], [0, 0]])) == 1.5
    )
    assert losses.named("mean_squared_error").hits(Z, Z) is None
