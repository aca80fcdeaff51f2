"""What a recipe leaves open, chosen by cross-validation."""

from dataclasses import replace

import numpy as np
import pytest

import cgru
from cgru.estimators import input_layers, model_selection
from cgru.estimators.model_selection import Choice
from cgru.estimators.recipe import POOL, Recipe
from cgru.network.data.split import draw_folds

rng = np.random.default_rng(0)
OPEN = Recipe("cross_entropy", units=4)
CLASSES = replace(OPEN, layers=1, pool=POOL)  # the input layers alone are open
NUMBERS = replace(CLASSES, loss="mean_squared_error")
FIRST = replace(CLASSES, inputs="raw")


def choose(X, y, recipe=CLASSES, outputs=2, **options):
    def make(recipe, layers, seed):
        return recipe.network(outputs, layers, seed=seed)

    given = {"make": make, "epochs": 20, "batch_size": 16, "budget": 60.0, "standardize": True} | options
    samples = cgru.Sequences(X, given.pop("lengths", None))
    return model_selection.choose(given.pop("make"), recipe, samples, y, **given)


# The candidates of the first stage, of series of twelve steps, and the tails of the second.
HEADS = ["raw", "difference", "normalize"]
TAILS = ["convolution(5,1,32)+convolution(5,1,32)", "convolution(5,1,32)", "frames(12)"]


@pytest.mark.parametrize("s", [1, 7, 33, 100, 2000, 20000])
def test_tails_fit_series_of_any_length(s):
    texts = model_selection._tails(s)
    assert len(set(texts)) == len(texts)
    assert texts[0] == ("" if s < 48 else f"frames({round(s / 32)})")
    for text in texts:
        steps = np.array([1, s])
        for layer in input_layers.parse(text or "raw"):
            assert layer.steps.causal
            steps = layer.steps.lengths(steps)
        assert steps[0] == 1
        assert steps[1] <= max(96, 1 if text == f"frames({s})" else 0)


def test_tails_by_their_text():
    assert model_selection._tails(1) == ["", TAILS[0], TAILS[1]]
    assert model_selection._tails(12) == ["", *TAILS]
    assert model_selection._tails(48) == ["frames(2)", TAILS[0], "convolution(5,1,32)+frames(4)", "frames(48)"]
    two = "convolution(16,4,32)+convolution(8,4,32)+frames(2)"
    assert model_selection._tails(2000) == [
        "frames(62)", two, "convolution(60,15,32)+frames(4)", "frames(31)"
    ]  # fmt: skip
    assert ["frames(512)" in model_selection._tails(512), "frames(513)" in model_selection._tails(513)] == [True, False]
    assert model_selection._tails(427)[1] == "convolution(8,2,32)+convolution(8,2,32)+frames(2)"
    assert [text.endswith("+frames(2)") for text in (model_selection._tails(95)[1], model_selection._tails(96)[1])] == [
        False, True
    ]  # fmt: skip


def trials(errors, recipe, s=12):
    """Yield the texts of each stage, after trials whose candidates have the errors of each stage before."""
    found = model_selection._Trials(
        None, cgru.losses.named("cross_entropy"), X=cgru.Sequences(np.zeros((4, s, 1))), y=None
    )
    stages = model_selection._stages(recipe, found)
    yield [str(each) for each in next(stages)]
    for stage in errors:
        for each, error in stage:
            text = str(each)
            found.recipes[text], found.errors[text] = each, np.full(4, error)
        yield [str(each) for each in next(stages)]


def test_each_stage_varies_the_best_of_those_before():
    raw, difference, normalize = (replace(OPEN, inputs=text, layers=1, pool=POOL) for text in HEADS)
    last = replace(raw, inputs="frames(12)", pool="max")
    stages = trials([[(raw, 0.5), (difference, 0.2), (normalize, 0.4)], [(last, 0.1)], []], OPEN)
    assert next(stages) == HEADS
    pools = [", pool mean", ", pool mean", ""]
    found = zip(TAILS, pools, strict=True)
    tails = [f"{head}+{tail}{pool}" for tail, pool in found for head in ("difference", "normalize")]
    assert next(stages) == [*tails, "normalize+difference"]
    varied = [f"{best}, pool {pool}" for pool in ("mean", "mean+max") for best in ("frames(12)", "difference")]
    varied += ["frames(12), 2 layers, pool max", "difference, 2 layers"]
    assert next(stages) == varied
    assert next(stages) == varied


def test_stages_of_a_recipe_with_less_open():
    causal = replace(OPEN, bidirectional=False, layers=3, pool="max")
    raw, difference = (replace(causal, inputs=text) for text in HEADS[:2])
    stages = trials([[(raw, 0.5), (difference, 0.2)], []], causal)
    assert next(stages) == ["raw, 3 layers, pool max", "difference, 3 layers, pool max"]
    assert not any("normalize" in text for text in next(stages))
    assert next(stages) == []
    stages = trials([[(FIRST, 0.0)]], OPEN)
    assert (next(stages), [text for text in next(stages) if "normalize+" in text]) == (HEADS, [])


def sizes(m=60, s=12):
    """Series whose shape says the class, of sizes that differ by six decades."""
    y = np.arange(m) % 2
    shape = np.where(y[:, None] == 1, np.sin(np.arange(s)), np.cos(np.arange(s))) + 0.1 * rng.standard_normal((m, s))
    return (shape * 10 ** rng.uniform(-3, 3, (m, 1)))[:, :, None], y


def test_series_of_unlike_size_are_normalized():
    X, y = sizes()
    found = choose(X, y, epochs=80)
    chosen = str(found.recipe)
    assert chosen.startswith("normalize")
    assert not found.recipe.is_open
    assert (found.shrinkage, found.folds, found.failed, found.failures) == (None, 2, {}, "")
    assert list(found.scores)[:3] == HEADS
    assert found.scores[chosen] > found.scores["raw"] + 0.2
    assert str(found).startswith(f"{chosen}: accuracy {found.scores[chosen]:.3g} in 2 folds (raw: 0.")
    assert str(found).endswith(f"; {len(found.scores) - 4} others)")
    assert choose(X, y, epochs=80) == found  # the same bits
    causal = choose(X, y, replace(CLASSES, bidirectional=False))
    assert not any("normalize" in text for text in causal.scores)


def test_without_a_clear_gain_the_first_is_taken():
    found = model_selection._Trials(None, cgru.losses.named("mse"), X=None, y=None)
    found.recipes = {text: replace(NUMBERS, inputs=text) for text in "abc"}
    found.errors = {"a": np.array([1.0, 2, 3, 4]), "b": np.array([1.0, 2, 3.2, 3.9]), "c": np.array([2.0, 3, 4, 5])}
    assert [each.inputs for each in found.best(3)] == ["a", "b", "c"]  # b differs by chance
    found.errors["b"] = np.array([0.9, 1.9, 2.9, 3.9])
    assert [each.inputs for each in found.best(2)] == ["b", "a"]
    assert not found.is_good()
    found.errors["b"] = np.array([0.0, 0.0, 0.0, 0.07])
    assert found.is_good()
    found.loss = cgru.losses.named("gaussian")
    assert not found.is_good()
    found.sample_weight = np.array([1.0, 1, 1, 0])
    found.errors["b"] = np.array([1.0, 2, 3, -3])
    assert [each.inputs for each in found.best(1)] == ["a"]


def test_nothing_better_is_looked_for_where_there_is_no_error():
    y = np.arange(40) % 2
    easy = np.where(y == 1, 1.0, -1.0)[:, None, None] + np.zeros((1, 5, 1))
    found = choose(easy, y, epochs=200)
    assert list(found.scores) == HEADS
    assert found.scores["raw"] == 1


def test_what_is_given_stays():
    decided = model_selection._decided(replace(CLASSES, layers=0, pool=""), "raw")
    assert (decided.layers, decided.pool) == (0, "")  # which building the network refuses
    X, y = sizes()
    assert str(Choice(FIRST, {"raw": 0.5, "a": 0.25}, folds=2)) == "raw: accuracy 0.5 in 2 folds (a: 0.25)"
    assert str(Choice(FIRST, {"raw": 0.5})) == "raw: accuracy 0.5 in 2 folds"
    assert str(Choice(FIRST)) == "raw"
    assert choose(X, y, FIRST) == choose(X, y, replace(OPEN, inputs="raw")) == Choice(FIRST)
    convolved = Choice(replace(FIRST, inputs="convolution(5,1,8)", pool="mean"))
    assert choose(X, y, replace(OPEN, inputs="convolution(5,1,8)")) == convolved
    found = choose(X, y, replace(OPEN, pool="last", layers=2), epochs=2)
    assert all(text.endswith(", 2 layers, pool last") for text in found.scores)


def test_the_budget_counts_work():
    X, y = sizes()
    assert choose(X, y, budget=0) == Choice(FIRST)
    some, all_ = (choose(X, y, epochs=4, budget=budget).scores for budget in (0.005, 60.0))
    assert 1 < len(some) < len(all_)
    assert set(some) < set(all_)
    wide = replace(CLASSES, units=64)
    some, padded = (choose(X, y, wide, epochs=2, budget=0.025, lengths=each).scores for each in (None, np.full(60, 1)))
    assert 1 <= len(some) < len(padded)


def test_the_work_of_a_fit():
    def seconds(net, *shape, epochs=10, size=25):
        return model_selection._seconds(net, shape=shape, epochs=epochs, batch_size=size)

    net = cgru.Network([cgru.Frames(5), cgru.GRU(4), cgru.Dense(2, "softmax")])
    work = 18 * 4 * (10 + 4) * 10 + 8 * 4 * 2
    one = seconds(net, 100, 50, 2)
    assert one == pytest.approx(40 * (5e-5 + 10 * 3e-6 + (3 * 4 * 14 + 4 * 2) * 5e-9) + 10 * 100 * work / 5e10)
    assert seconds(net, 100, 50, 2, epochs=20) == pytest.approx(2 * one)
    half = model_selection._seconds(net, shape=(100, 50, 2), real=0.5, epochs=10, batch_size=25)
    assert one - half == pytest.approx(10 * 100 * work / 5e10 / 2)
    both = cgru.Network([cgru.Bidirectional(cgru.GRU(4)), cgru.Dense(2, "softmax")])
    due = 5e-5 + 100 * 3e-6 + (3 * 8 * 6 + 8 * 2) * 5e-9 + (18 * 8 * 6 * 50 + 8 * 8 * 2) / 5e10
    assert seconds(both, 1, 50, 2, epochs=1, size=1) == pytest.approx(due)


def test_few_samples_or_groups_have_no_folds():
    X, y = sizes(m=11)
    assert (choose(X, y).scores, str(choose(X, y))) == ({}, "raw, without folds: 11 samples are not enough")
    X, y = sizes()
    assert str(choose(X, y, groups=np.arange(60) // 20)) == "raw, without folds: 3 groups are not enough"
    small = "raw, without folds: a budget of 1e-09 s is too small for them and the fit"
    assert str(choose(X, y, budget=1e-9)) == small
    assert choose(X, y, groups=np.arange(60) // 5).scores


def test_groups_stay_together():
    """Each group has a label of its own that its series show, so that other groups say nothing of it."""
    groups = np.repeat(np.arange(20), 4)
    y = rng.permutation(np.repeat([0, 1], 10))[groups]
    X = np.repeat(rng.standard_normal((20, 1, 3)), 4, axis=0) + np.zeros((1, 6, 1))
    together, apart = (choose(X, y, epochs=400, budget=0.35, groups=each).scores["raw"] for each in (groups, None))
    assert together + 0.2 < apart


@pytest.mark.parametrize("lengths", [False, True])
def test_a_regression_is_shrunk_by_what_was_held_out(lengths):
    rng = np.random.default_rng(1)
    steps = rng.integers(4, 12, 60) if lengths else None
    X = rng.standard_normal((60, 12, 1))
    y = X[:, :4].mean(axis=(1, 2))[:, None]
    y = np.hstack([y, rng.standard_normal((60, 1))])
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    found = choose(X, y, NUMBERS, lengths=steps, epochs=100)
    assert found.shrinkage.shape == (2,)
    assert 0.5 < found.shrinkage[0] <= 1
    assert found.shrinkage[1] == 0  # what is chance is not believed
    assert set(found.scores) > set(HEADS)
    alone = choose(X, y, NUMBERS, lengths=steps, budget=1e-9)
    assert (alone.scores, alone.shrinkage) == ({}, None)


@pytest.mark.parametrize("loss", ["mse", "huber(0.5)", "quantile(0.9)", "gaussian"])
def test_a_regression_is_scored_by_its_loss(loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5, 1))
    y = X[:, :1, 0] + 0.1 * rng.standard_normal((30, 1))
    nets = {}

    def make(recipe, layers, seed):
        nets[str(recipe), seed] = recipe.network(1, layers, seed=seed)
        return nets[str(recipe), seed]

    found = choose(X, y, replace(NUMBERS, loss=loss), make=make)
    assert found.measure == nets["raw", 0].loss
    score = found.scores[str(found.recipe)]
    assert str(found).startswith(f"{found.recipe}: {found.measure} {score:.3g} in 2 folds (")
    assert (found.shrinkage is not None) == (loss in ("mse", "huber(0.5)"))
    fold = draw_folds(30, 2, [0])
    held_out = [nets["raw", i].evaluate(X[fold == i], y[fold == i])["loss"] for i in range(2)]
    assert found.scores["raw"] == pytest.approx(np.mean(held_out), rel=1e-5)


def test_classes_are_chosen_by_probabilities():
    trials = model_selection._Trials(None, cgru.losses.named("cross_entropy"), X=None, y=np.array([0, 1, 2]))
    A = np.array([[1.0, 0, 0], [1, 0, 0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(trials._errors(A), [0, 1, (0.5**2 + 2 * 0.25**2) / 2])


@pytest.mark.parametrize("wild", [0, 1])
def test_a_candidate_with_infinite_errors_is_none(monkeypatch, wild):
    rng, own, calls = np.random.default_rng(0), model_selection._Trials._held_out, []
    X = rng.standard_normal((30, 5, 1))

    def held_out(*given):
        calls.append(own(*given))
        return calls[-1] * (np.inf if len(calls) == 1 + wild else 1)

    monkeypatch.setattr(model_selection._Trials, "_held_out", held_out)
    found = choose(X, X[:, :1, 0], NUMBERS, outputs=1)
    assert found.failed == {HEADS[wild]: "its errors are infinite"}
    assert found.failures == f"a candidate failed in the folds: {HEADS[wild]}: its errors are infinite"
    if wild:
        assert HEADS[1] not in found.scores
    else:
        assert (str(found.recipe), found.scores) == ("raw", {})


def test_a_fit_that_fails_in_a_fold_is_no_candidate():
    X, y = sizes()

    def fails(recipe, layers, seed):
        raise ValueError("no")

    def make(recipe, layers, seed):
        if seed == 1 and "normalize" in recipe.inputs:
            raise ValueError("no")
        return recipe.network(2, layers, seed=seed)

    with pytest.raises(ValueError, match="no"):  # a first candidate that cannot be built is an error of the user's
        choose(X, y, make=fails)
    found = choose(X, y, make=make)
    assert not any("normalize" in text for text in found.scores)
    assert "normalize" in found.failed
    assert set(found.failed.values()) == {"no"}


def test_weights_count():
    X, y = sizes()
    weights = np.where(np.arange(60) < 30, 1.0, 0.0)
    assert choose(X, y, sample_weight=weights).scores != choose(X, y).scores


def test_a_gain_is_as_sure_as_there_are_samples_that_count():
    rng = np.random.default_rng(0)
    gains = rng.standard_normal(12)

    def least(gains, **given):
        return model_selection._Trials(None, None, None, None, **given).least_gain(gains)

    due = gains.mean() - gains.std() / np.sqrt(12)
    assert least(gains) == pytest.approx(due)
    assert least(gains, sample_weight=np.full(12, 3.0)) == pytest.approx(due)
    some = np.repeat([2.0, 0.0], [12, 50])  # those without a weight make nothing surer
    assert least(np.r_[gains, rng.standard_normal(50)], sample_weight=some) == pytest.approx(due)
    groups = np.repeat(np.arange(12), 5)  # nor do those that repeat others
    assert least(np.repeat(gains, 5), groups=groups) == pytest.approx(due)
    assert least(np.repeat(gains, 5)) > due
