"""The layers before the first recurrent layer: their names, their scale, and how they are chosen."""

import numpy as np
import pytest

import cgru
from cgru import input_layers
from cgru.core.lengths import mask
from cgru.many.folds import Splittable

rng = np.random.default_rng(0)
LENGTHS = np.array([1, 3, 9, 20, 20, 17])
X = rng.standard_normal((6, 20, 2)) * [3.0, 0.01] + [5.0, -2.0]


def network(layers, seed, head=None):
    body = [*layers, cgru.GRU(4), head or cgru.Dense(2, "softmax")]
    return cgru.Network(body, seed=seed, dtype=np.float32)


def choose(X, y, make=network, **options):
    given = {"epochs": 20, "batch_size": 16, "budget": 60.0, "standardize": True} | options
    return input_layers.choose(make, X, y, **given)


def made(text):
    return [repr(layer) for layer in input_layers.parse(text)]


def test_names_make_layers_in_their_order():
    assert made("raw") == made(" raw ") == []
    assert made("normalize+difference+frames(8)") == list(
        map(repr, (cgru.Normalize(), cgru.Difference(), cgru.Frames(8)))
    )
    assert made("frames(6, 2) + normalize") == [repr(cgru.Frames(6, 2)), repr(cgru.Normalize())]
    assert made("convolution(5,1,32)") == [repr(cgru.Frames(5, 1, (2, 2))), repr(cgru.Dense(32, "relu"))]
    assert made("convolution(6,3,1)")[0] == repr(cgru.Frames(6, 3, (2, 3)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "frames",
        "frames()",
        "frames(1,2,3)",
        "frames(1 2)",
        "frames(2,,3)",
        "frames(2,)",
        "Frames(2)",
        "raw+frames(2)",
        "normalize(1)",
        "frames(2",
        "a b",
    ],
)
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match=r"how: expected \"raw\" or some of normalize, .*, got"):
        input_layers.parse(text, "how")


def test_other_types_and_numbers_are_refused():
    with pytest.raises(TypeError, match=r"inputs: expected \"raw\" or .*, got int"):
        input_layers.parse(3)
    with pytest.raises(ValueError, match="length: expected at least 1, got 0"):
        input_layers.parse("frames(0)")


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("text", ["normalize+frames(4)", "difference", "normalize+difference", "difference+normalize"])
def test_what_layers_add_is_scaled(text, lengths):
    layers = input_layers.build(text, X, lengths, np.float32)
    i = [type(layer).__name__ for layer in layers].index("Scale")
    assert not layers[i].trainable
    assert layers[i].dtype == np.float32
    assert not any(isinstance(layer, cgru.Normalize | cgru.Difference) for layer in layers[i:])
    real = np.ones((6, 20), bool) if lengths is None else mask(lengths, 20)[:, :, 0]
    A = np.where(real[:, :, None], (X - X[real].mean(0)) / X[real].std(0), 0)
    A = A.astype(np.float32)
    for layer in layers[: i + 1]:
        A = layer.run(A, lengths).A
    assert np.allclose(A[real].mean(0), 0, atol=1e-5)
    deviation = A[real].std(0)
    assert np.allclose(deviation[deviation > 1e-6], 1, atol=1e-4)


def test_frames_alone_need_no_scale():
    assert [repr(layer) for layer in input_layers.build("frames(4)", X, None, np.float32)] == [repr(cgru.Frames(4))]


@pytest.mark.parametrize("s", [1, 7, 33, 100, 2000])
@pytest.mark.parametrize("causal", [False, True])
def test_candidates_fit_series_of_any_length(s, causal):
    texts = input_layers.candidates(s, causal)
    assert len(set(texts)) == len(texts) == (4 if causal else 8)
    for text in texts:
        layers = input_layers.parse(text)
        assert not (causal and any(layer.whole_series for layer in layers))
        steps = np.array([1, s])
        for layer in layers:
            steps = layer.lengths(steps) if layer.changes_steps else steps
        assert steps[0] == 1
        assert steps[1] <= max(s, 48) / (1 if s < 48 else 2)
    assert texts[0] == ("raw" if s < 48 else f"frames({round(s / 32)})")


def test_candidates_cut_long_series_into_some_thirty_steps():
    heads = ["", "normalize+", "difference+", "normalize+difference+"]
    assert input_layers.candidates(47) == [
        "raw", "normalize", "difference", "normalize+difference", *(f"{head}convolution(5,1,32)" for head in heads)
    ]  # fmt: skip
    tails = ["frames(9)", "convolution(8,2,32)+frames(4)"]
    assert input_layers.candidates(286) == [head + tail for tail in tails for head in heads]
    assert input_layers.candidates(286, causal=True) == [head + tail for tail in tails for head in heads[::2]]
    assert input_layers.candidates(48)[4] == "convolution(5,1,32)+frames(4)"


def sizes(m=60, s=12):
    """Series whose shape says the class, of sizes that differ by six decades."""
    y = np.arange(m) % 2
    shape = np.where(y[:, None] == 1, np.sin(np.arange(s)), np.cos(np.arange(s))) + 0.1 * rng.standard_normal((m, s))
    return (shape * 10 ** rng.uniform(-3, 3, (m, 1)))[:, :, None], y


def test_series_of_unlike_size_are_normalized():
    X, y = sizes()
    found = choose(X, y)
    assert found.inputs.startswith("normalize")
    assert found.shrinkage is None
    assert list(found.scores) == input_layers.candidates(12)
    assert found.scores[found.inputs] > found.scores["raw"] + 0.2
    assert str(found).startswith(f"{found.inputs}, accuracy {found.scores[found.inputs]:.3g} in 3 folds (raw 0.")
    assert choose(X, y) == found  # the same bits
    causal = choose(X, y, causal=True)
    assert not any("normalize" in text for text in causal.scores)


def test_without_a_clear_gain_the_first_is_taken():
    y = np.arange(40) % 2
    easy = np.where(y == 1, 1.0, -1.0)[:, None, None] + np.zeros((1, 5, 1))
    found = choose(easy, y)
    assert found.inputs == "raw"
    assert found.scores["raw"] == 1


def test_the_budget_counts_work():
    X, y = sizes()
    assert choose(X, y, budget=0) == input_layers.Choice("raw", {})
    one = choose(X, y, epochs=1000, budget=60.0).scores
    assert one  # all that fit
    fewer = choose(X, y, epochs=20, budget=0.05).scores
    assert 1 < len(fewer) < 8
    assert next(iter(fewer)) == "raw"


def test_the_work_of_a_fit():
    net = network([cgru.Frames(5)], 0)
    one = input_layers._seconds(net, (100, 50, 2), 10, 25)
    work = (18 * 4 * (10 + 4) + 6 * 4 * 2) * 10
    assert one == pytest.approx(40 * (5e-5 + 10 * 2e-6) + 10 * 100 * work / 1e11)
    assert input_layers._seconds(net, (100, 50, 2), 20, 25) == pytest.approx(2 * one)
    both = cgru.Network([cgru.Bidirectional(cgru.GRU(4)), cgru.Dense(2, "softmax")])
    assert input_layers._seconds(both, (1, 50, 2), 1, 1) == pytest.approx(
        5e-5 + 100 * 2e-6 + (18 * 8 * 6 + 6 * 8 * 2) * 50 / 1e11
    )


def test_few_samples_or_groups_have_no_folds():
    X, y = sizes(m=11)
    assert choose(X, y).scores == {}
    X, y = sizes()
    assert choose(X, y, groups=np.arange(60) // 20).scores == {}
    assert choose(X, y, groups=np.arange(60) // 5).scores


def test_groups_stay_together():
    """Each group has a label of its own that its series show, so that other groups say nothing of it."""
    groups = np.repeat(np.arange(20), 4)
    y = rng.permutation(np.repeat([0, 1], 10))[groups]
    X = np.repeat(rng.standard_normal((20, 1, 3)), 4, axis=0) + np.zeros((1, 6, 1))
    together = choose(X, y, epochs=200, groups=groups).scores["raw"]
    assert together + 0.2 < choose(X, y, epochs=200).scores["raw"]


@pytest.mark.parametrize("lengths", [False, True])
def test_a_regression_is_shrunk_by_what_was_held_out(lengths):
    rng = np.random.default_rng(1)
    steps = rng.integers(4, 12, 60) if lengths else None
    X = rng.standard_normal((60, 12, 1))
    y = X[:, :4].mean(axis=(1, 2))[:, None]
    y = np.hstack([y, rng.standard_normal((60, 1))])
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    found = choose(X, y, lambda *args: network(*args, head=cgru.Dense(2, "identity")), lengths=steps, epochs=100)
    assert found.shrinkage.shape == (2,)
    assert 0.5 < found.shrinkage[0] <= 1
    assert found.shrinkage[1] == 0  # what is chance is not believed
    assert set(found.scores) == set(input_layers.candidates(12))
    alone = choose(X, y, lambda *args: network(*args, head=cgru.Dense(2, "identity")), lengths=steps, budget=1e-9)
    assert (alone.scores, alone.shrinkage) == ({}, None)


@pytest.mark.parametrize(("loss", "k"), [("mse", 1), ("huber(0.5)", 1), ("quantile(0.9)", 1), ("gaussian", 2)])
def test_a_regression_is_scored_by_its_loss(loss, k):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5, 1))
    y = X[:, :1, 0] + 0.1 * rng.standard_normal((30, 1))
    nets = []

    def make(layers, seed):
        nets.append(cgru.Network([*layers, cgru.GRU(4), cgru.Dense(k, "identity")], loss, seed=seed, dtype=np.float32))
        return nets[-1]

    found = choose(X, y, make)
    assert found.measure == nets[0].loss
    assert str(found).startswith(f"{found.inputs}, {found.measure} {found.scores[found.inputs]:.3g} in 3 folds (")
    assert (found.shrinkage is not None) == (loss in ("mse", "huber(0.5)"))
    first = [net for net in nets if net.history][:3]
    folds = Splittable(X, y, None, None).splits(3, [0], "folds")
    held_out = [net.evaluate(X[rows], y[rows])["loss"] for net, (_, rows) in zip(first, folds, strict=True)]
    assert found.scores["raw"] == pytest.approx(np.mean(held_out), rel=1e-5)


@pytest.mark.parametrize("wild", [0, 1])
def test_a_candidate_with_infinite_errors_is_none(monkeypatch, wild):
    rng, own, calls = np.random.default_rng(0), input_layers._held_out, []
    X = rng.standard_normal((30, 5, 1))

    def held_out(*given):
        calls.append(own(*given))
        return calls[-1] * (np.inf if len(calls) == 1 + wild else 1)

    monkeypatch.setattr(input_layers, "_held_out", held_out)
    found = choose(X, X[:, :1, 0], lambda *args: network(*args, head=cgru.Dense(1, "identity")))
    if wild:
        assert set(found.scores) == set(input_layers.candidates(5)) - {input_layers.candidates(5)[1]}
    else:
        assert found == input_layers.Choice("raw", {})


def test_a_fit_that_fails_in_a_fold_is_no_candidate():
    X, y = sizes()

    def make(layers, seed):
        if any(isinstance(layer, cgru.Normalize) for layer in layers) and seed == 1:
            raise ValueError("no")
        return network(layers, seed)

    with pytest.raises(ValueError, match="no"):  # a first candidate that cannot be built is an error of the user's
        choose(X, y, lambda layers, seed: (_ for _ in ()).throw(ValueError("no")))
    assert not any("normalize" in text for text in choose(X, y, make).scores)


def test_weights_count():
    X, y = sizes()
    weights = np.where(np.arange(60) < 30, 1.0, 0.0)
    assert choose(X, y, sample_weight=weights).scores != choose(X, y).scores
