"""What is built and how it is trained where nobody says, and how it is told that nothing came of it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru import losses
from cgru.estimators import recipe
from cgru.estimators.recipe import Recipe

rng = np.random.default_rng(0)
X = rng.standard_normal((10, 4, 2))
LENGTHS = np.array([1, 2, 3, 4, 4, 4, 4, 4, 4, 4])


@pytest.mark.parametrize(
    ("m", "size", "epochs"),
    [
        (1, 1, 1200),
        (7, 7, 1200),
        (16, 16, 1200),
        (33, 16, 400),
        (640, 16, 30),
        (800, 20, 30),
        (2559, 63, 30),
        (9999, 64, 30),
    ],
)
def test_batches_and_epochs(m, size, epochs):
    assert recipe.budget(m) == (size, epochs)


def test_batches_and_epochs_that_are_asked_for():
    assert recipe.budget(100, 50) == (50, 600)
    assert recipe.budget(100, 1) == (1, 30)
    assert recipe.budget(100, None, 3) == (16, 3)
    assert recipe.budget(100, 200, 1) == (200, 1)


def layers(steps=False, **options):
    given = {"loss": "mse", "units": 3, "pool": "mean", "dropout": 0.4, "recurrent_dropout": 0.1} | options
    made = Recipe.of(given).network(2, seed=0, steps=steps).layers
    return [type(layer).__name__ for layer in made], made


def test_the_layers():
    kinds, made = layers()
    assert kinds == ["Bidirectional", "Pool", "Dropout", "Dense"]
    assert [(cell.recurrent_dropout, cell.zoneout) for cell in made[0].cells] == [(0.1, 0)] * 2
    assert (made[1].how, made[2].rate, made[3].activate) == ("mean", 0.4, cgru.identity)
    kinds, made = layers(bidirectional=False, layers=2, pool="last", dropout=0, zoneout=0.5, layer_norm=True)
    assert kinds == ["GRU", "GRU", "Dense"]
    assert [layer.sequences for layer in made[:2]] == [True, False]
    assert [(layer.zoneout, layer.variant.name) for layer in made[:2]] == [(0.5, "layer_norm")] * 2
    assert layers(layers=2, dropout=0.5)[0] == ["Bidirectional", "Dropout", "Bidirectional", "Pool", "Dropout", "Dense"]
    with pytest.raises(ValueError, match="layers: "):
        layers(layers=0)
    kinds, made = layers(steps=True)
    assert kinds == ["Bidirectional", "Dropout", "Dense"]
    assert made[0].sequences


def test_what_is_left_open():
    open_ = Recipe("cross_entropy")
    net = open_.network(3, [cgru.Frames(4)], seed=0, names=("a", "b", "c"))
    assert [type(layer).__name__ for layer in net.layers] == ["Frames", "Bidirectional", "Pool", "Dropout", "Dense"]
    assert (net.layers[2].how, net.head.activate, net.class_names) == (recipe.POOL, cgru.softmax, ("a", "b", "c"))
    assert (net.optimizer, net.dtype) == (cgru.Adam(5e-3, clip_norm=1.0, schedule="one_cycle"), np.float32)
    assert Recipe("mse", float64=True).network(1, seed=0).dtype == np.float64
    decided = Recipe("cross_entropy", inputs="raw", layers=1, pool=recipe.POOL)
    assert not decided.is_open
    assert replace(decided, inputs="auto").is_open
    assert (str(decided), str(open_)) == ("raw", "auto")
    assert str(replace(decided, inputs="frames(3)", layers=2, pool="max")) == "frames(3), 2 layers, pool max"


def test_a_weight_decay_needs_an_optimizer_that_has_one():
    assert Recipe("mse", weight_decay=0.1).network(1, seed=0).optimizer.weight_decay == 0.1
    assert type(Recipe("mse", optimizer="rmsprop").network(1, seed=0).optimizer) is cgru.RMSprop
    with refuses(ValueError, "weight_decay"):
        Recipe("mse", optimizer="sgd", weight_decay=0.1).network(1, seed=0)


def test_counts_start_at_their_mean():
    y = np.array([1.0, 3, 5, 7, 1, 1, 1, 1, 1, 1])
    weights = np.arange(10) < 4
    start = recipe.constant_start(losses.named("poisson"), X, y, weights)
    assert start[0].shape == (1, 4, 2)
    net = Recipe("poisson", dropout=0.0, remember_samples=True).network(1, seed=0, start=start)
    assert net.remembered.whole
    np.testing.assert_allclose(np.exp(net.head.p["b"]), [[4.0]], rtol=1e-6)
    assert recipe.constant_start(losses.named("poisson"), X, y)[1] == pytest.approx(np.log(2.2))
    for loss in ("mse", "gaussian", "cross_entropy"):
        assert recipe.constant_start(losses.named(loss), X, y) is None


def test_classes_that_were_not_learned():
    net = cgru.Network([cgru.GRU(3), cgru.Dense(2, "softmax")], seed=0)
    assert recipe.nothing_learned(net, X, net.predict_classes(X, LENGTHS), LENGTHS) == ""
    y = np.where(np.arange(10) < 7, 0, 1)
    net.head.p["b"][...] = [[9, -9]]
    words = "the most frequent class alone is {} of the training data, the model right in {}"
    assert recipe.nothing_learned(net, X, y, LENGTHS) == words.format("70.00%", "70.00%")
    weights = np.where(y == 0, 1.0, 7.0)
    assert recipe.nothing_learned(net, X, y, None, weights) == words.format("75.00%", "25.00%")
    net.head.p["b"][...] = [[-9, 9]]
    assert recipe.nothing_learned(net, X, y) == words.format("70.00%", "30.00%")


@pytest.mark.parametrize(("loss", "k"), [("mse", 1), ("gaussian", 2), ("poisson", 1)])
def test_numbers_that_were_not_learned(loss, k):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(k, "identity")], loss, seed=0)
    A = cgru.losses.named(net.loss).point(net.predict(X))
    assert recipe.nothing_learned(net, X, A[:, 0]) == recipe.nothing_learned(net, X, A) == ""
    y = A - 50
    due = f"the mean alone has an RMSE of {y.std():.4g} on the training data, the model 50"
    assert recipe.nothing_learned(net, X, y) == due
    assert recipe.nothing_learned(net, X, y, scale=10.0) == due.replace(f"{y.std():.4g}", f"{10 * y.std():.4g}") + "0"
    weights = np.arange(10) % 2.0  # what weighs nothing is not asked
    mixed = np.where(weights[:, None] > 0, A, A - 50)
    assert recipe.nothing_learned(net, X, mixed, None, weights) == ""
    assert recipe.nothing_learned(net, X, mixed, None, 1 - weights) != ""
    each = (A - 50)[::2]  # as if these were all
    due = recipe.nothing_learned(net, X[::2], each)
    assert recipe.nothing_learned(net, X, mixed, None, 1 - weights) == due
    assert recipe.nothing_learned(net, X, np.full((10, 1), 7.0)) == ""  # there was nothing to learn
    y = A.mean() + np.linspace(-1, 1, 10)[:, None] * 1e-9
    assert recipe.nothing_learned(net, X, y).startswith("the mean alone")


@pytest.mark.parametrize(("loss", "level"), [("huber(0.1)", 0.5), ("quantile", 0.5), ("quantile(0.9)", 0.9)])
def test_what_learns_no_mean_is_compared_by_its_loss(loss, level):
    """A median or a quantile is no worse for a squared error above that of the mean."""
    net = cgru.Network([cgru.GRU(3), cgru.Dense(1, "identity")], loss, seed=0)
    A = net.predict(X)
    skewed = A + np.where(np.arange(10) == 3, 15 * A.std(), 1e-9)[:, None]
    assert np.square(skewed - A).mean() > skewed.var()
    assert (recipe.nothing_learned(net, X, skewed) == "") == (level == 0.5)
    y = A - 50
    found = losses.named(loss)
    values = [found(each, y)[0] for each in (np.full((10, 1), np.quantile(y, level, method="inverted_cdf")), A)]
    alone, model = (f"{value:.4g}" for value in values)
    due = f"a constant alone has a {found} loss of {alone} on the training data, the model {model}"
    assert recipe.nothing_learned(net, X, y) == due
    weights = np.arange(10) % 2.0
    mixed = np.where(weights[:, None] > 0, A, y)
    assert recipe.nothing_learned(net, X, mixed, None, weights) == ""
    assert recipe.nothing_learned(net, X, mixed, None, 1 - weights) != ""
    assert recipe.nothing_learned(net, X, np.full((10, 1), 7.0)) == ""


def test_each_quantile_of_each_target_has_its_constant():
    net = cgru.Network([cgru.GRU(3), cgru.Dense(4, "identity")], "quantile(0.2, 0.7)", seed=0)
    y = np.random.default_rng(1).standard_normal((10, 2)) * [1.0, 50.0]
    found = losses.named(net.loss)
    constants = np.quantile(y, [0.2, 0.7], axis=0, method="inverted_cdf").T.ravel()
    note = recipe.nothing_learned(net, X, y)
    assert f"has a quantile(0.2, 0.7) loss of {found(np.tile(constants, (10, 1)), y)[0]:.4g} on" in note


def test_a_loss_that_still_falls():
    assert recipe.still_falls([1.0, 0.9, 0.8, 0.7, 0.6, 0.5]) == (
        "the training loss still falls at the end, in the last fifth of the epochs from 0.6 to 0.5"
    )
    assert recipe.still_falls([3.0, 2.0, 1.0, 0.5, 0.2, 0.06]) == ""  # what is left is less than a twentieth
    assert recipe.still_falls([3.0, 2.0, 1.0, 0.5, 0.2, 0.04]) != ""
    assert recipe.still_falls([1.0, 0.5, *[0.2] * 18]) == recipe.still_falls([0.1]) == recipe.still_falls([]) == ""
    assert recipe.still_falls([-1.0, -1.2, -1.4]) != ""
    assert recipe.still_falls([1.0, 0.5]) != ""
    falling = [*np.linspace(2, 1, 9), 0.95]  # the last two of ten
    assert recipe.still_falls(falling) != ""
    assert recipe.still_falls([*np.linspace(2, 1, 8), 1.0, 0.95]) == ""
