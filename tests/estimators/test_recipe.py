"""What is built and how it is trained where nobody says, and how it is told that nothing came of it."""

from dataclasses import replace

import numpy as np
import pytest

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
    made = Recipe(**given).network(2, seed=0, steps=steps).layers
    return [type(layer).__name__ for layer in made], made


def test_the_layers():
    kinds, made = layers()
    assert kinds == ["Bidirectional", "Pool", "Dropout", "Dense"]
    assert [(cell.recurrent_dropout, cell.zoneout) for cell in made[0].cells] == [(0.1, 0)] * 2
    assert (made[1].how, made[2].rate, made[3].activate) == ("mean", 0.4, cgru.identity)
    kinds, made = layers(bidirectional=False, layers=2, pool="last", dropout=0)
    assert kinds == ["GRU", "GRU", "Dense"]
    assert [layer.sequences for layer in made[:2]] == [True, False]
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
    assert Recipe("mse", weight_decay=0.1).network(1, seed=0).optimizer.weight_decay == 0.1
    assert Recipe("mse", float64=True).network(1, seed=0).dtype == np.float64
    decided = Recipe("cross_entropy", inputs="raw", layers=1, pool=recipe.POOL)
    assert not decided.is_open
    assert replace(decided, inputs="auto").is_open
    assert (str(decided), str(open_)) == ("raw", "auto")
    assert str(replace(decided, inputs="frames(3)", layers=2, pool="max")) == "frames(3), 2 layers, pool max"


def test_counts_start_at_their_mean():
    y = np.array([1.0, 3, 5, 7, 1, 1, 1, 1, 1, 1])
    weights = np.arange(10) < 4
    start = recipe.constant_start(losses.named("poisson"), X, y, weights)
    assert start[0].shape == (1, 4, 2)
    net = Recipe("poisson", dropout=0.0).network(1, seed=0, start=start)
    np.testing.assert_allclose(np.exp(net.head.p["b"]), [[4.0]], rtol=1e-6)
    assert recipe.constant_start(losses.named("poisson"), X, y)[1] == pytest.approx(np.log(2.2))
    for loss in ("mse", "gaussian", "cross_entropy"):
        assert recipe.constant_start(losses.named(loss), X, y) is None


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
