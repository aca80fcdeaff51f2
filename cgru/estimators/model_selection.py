"""Choose the input layers, number of GRU layers and pooling of a `Recipe` by cross-validation on the training data.

Candidates come in stages, each of which varies the best so far: input layers, pools, the number of layers.
m samples, s steps, e features per step, k outputs.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from cgru import losses
from cgru.core.row_blocks import is_mapped
from cgru.estimators import input_layers
from cgru.estimators.input_layers import RAW
from cgru.estimators.recipe import POOL, Recipe
from cgru.layers.layer import Layer
from cgru.many.jobs import Job, Result
from cgru.many.run import fit_many
from cgru.network import Network
from cgru.network.data.samples import Sequences, step_arrays
from cgru.network.data.split import draw_folds
from cgru.network.training.target_scaling import shrinkage

__all__ = ["BUDGET", "Choice", "choose"]

BUDGET = 14.0
FRAMES, CHANNELS = 32, 32  # frames that a long series is cut into, channels of a convolution
WHOLE = 512  # steps that may be one
POOLS = ("mean", "mean+max")
GOOD = 0.02  # error below which no better candidate is looked for
FOLDS, SHARE = 2, 0.3  # folds of the cross-validation, and the share of a fit's epochs that each makes
LEAST = 12  # samples, or groups of them, for which folds say something
BEST = 2  # candidates of a stage that the next one varies
UPDATE, STEP, WEIGHT = 5e-5, 3e-6, 5e-9  # seconds of an update: alone, a step of a cell, a parameter
SPEED = 5e10  # operations a second, of a core with AVX2
GRU_WORK, DENSE_WORK = 18, 8  # operations a step for each weight of a gate, and of a dense layer, there and back

Make = Callable[[Recipe, Sequence[Layer], int], Network]  # of a recipe, its input layers and a seed


@dataclass(frozen=True)
class Choice:
    """The recipe that cross-validation chose.

    Attributes:
        recipe: the recipe, with nothing left open.
        scores: by the text of each candidate its mean score over the folds: the accuracy, or the loss of a regression;
            empty where there was one candidate or no budget.
        shrinkage: (k,) the factor for the outputs of a regression, estimated from what was held out; None for classes,
            and for a loss whose outputs cannot be shrunk.
        measure: what the scores are, "accuracy" or the loss, "weighted" where samples have unlike weights.
        folds: their number.
        failed: by the text of each candidate that was left out, since a fit failed or had infinite errors, the reason.
        why: why there were no folds, or "".
    """

    recipe: Recipe
    scores: dict[str, float] = field(default_factory=dict)
    shrinkage: np.ndarray | None = None
    measure: str = "accuracy"
    folds: int = FOLDS
    failed: dict[str, str] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        chosen = str(self.recipe)
        if not self.scores:
            return chosen + f", without folds: {self.why}" * bool(self.why)
        others = [f"{text}: {score:.3g}" for text, score in self.scores.items() if text != chosen]
        told = "; ".join([*others[:3], *[f"{len(others) - 3} others"] * (len(others) > 3)])
        return f"{chosen}: {self.measure} {self.scores[chosen]:.3g} in {self.folds} folds{f' ({told})' * bool(told)}"

    @property
    def failures(self) -> str:
        """Return a note on the candidates that failed; "" if none failed."""
        if not self.failed:
            return ""
        text, reason = next(iter(self.failed.items()))
        count = "a candidate" if len(self.failed) == 1 else f"{len(self.failed)} candidates"
        return f"{count} failed in the folds: {text}: {reason}"


def choose(
    make: Make,
    recipe: Recipe,
    X: Sequences,
    y: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    budget: float = BUDGET,
    epochs: int,
    batch_size: int,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> Choice:
    """Choose the open settings of `recipe` by cross-validation, with as many fits as the time budget allows.

    A candidate is taken in the place of the first where its errors are lower by more than a standard error of their
    difference. The samples are split into the same folds, and networks get the same seeds, for all. A recipe of one
    direction runs step by step: candidates that need the whole series are left out.

    make: makes the network of a recipe, with these input layers and the seed.
    X, y: samples (m, s, e) and targets: classes (m,), or numbers (m, n) in deviations from their mean where the loss
        can standardise them. Where samples have arrays beside X, candidates that change the steps, or need the whole
        series, are left out.
    budget: seconds on one core with AVX2, by a count of the work: the choice is the same on any machine.
    epochs, batch_size: those of the fit on all samples. A fold makes SHARE as many epochs.
    progress: called after each fit of a fold with the number of candidates that are compared, and of all so far.
    options: further options of `Network.fit`.
    """
    classes, loss = y if y.ndim == 1 else None, losses.named(recipe.loss)
    trials = _Trials(make, loss, X, y, sample_weight)
    if groups is not None:
        trials.groups = np.unique(groups, return_inverse=True)[1]
    stages = _stages(recipe, trials)
    if not recipe.is_open:
        return Choice(_decided(recipe, recipe.inputs))
    first, *others = next(stages)
    parts = len(X) if groups is None else len(np.unique(groups))
    if parts < LEAST or is_mapped(X.X):
        what = "samples" if groups is None else "groups"
        return Choice(first, why="the samples are in a file" if parts >= LEAST else f"{parts} {what} are not enough")
    if budget <= 0:
        return Choice(first)
    short = {"epochs": max(1, round(SHARE * epochs)), "batch_size": batch_size}
    trials.options |= short | options
    fold = draw_folds(len(X), FOLDS, [0], classes, groups)
    trials.folds = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(FOLDS)]
    real = 1.0 if X.lengths is None else float(X.lengths.mean()) / X.shape[1]
    seconds = partial(_seconds, shape=X.shape, real=real)
    spent = longest = 0.0
    for stage in itertools.chain([[first, *others]], stages):
        affordable: dict[str, Recipe] = {}
        for candidate in stage:
            net, text = trials.network(candidate, 0), str(candidate)
            whole = max(longest, seconds(net, epochs=epochs, batch_size=batch_size))
            more = (len(trials.folds) - 1) * seconds(net, **short)
            if text not in trials.recipes | affordable and spent + more + whole <= budget:
                spent, longest = spent + more, whole
                affordable[text] = candidate
        if not trials.recipes and str(first) not in affordable:
            return Choice(first, why=f"a budget of {budget:g} s is too small for them and the fit")
        trials.run(affordable, progress)
        if str(first) not in trials.errors:
            return Choice(first, failed=trials.failed)
        if trials.is_good():
            break
    chosen, *_ = trials.best(1)
    scores = {text: trials.score(text) for text in trials.errors}
    factor = shrinkage(trials.outputs[str(chosen)], y, sample_weight) if loss.can_shrink else None
    weighted = sample_weight is not None and bool(np.ptp(sample_weight))
    measure = "weighted " * weighted + ("accuracy" if loss.classifies else str(loss))
    return Choice(chosen, scores, factor, measure, len(trials.folds), trials.failed)


def _decided(recipe: Recipe, inputs: str) -> Recipe:
    """Return the recipe with the given input layers, and with one GRU layer and default pooling where those are open.

    Behind a convolution the last step is like any other.
    """
    layers = 1 if recipe.layers is None else recipe.layers
    pool = (POOLS[0] if "convolution" in inputs else POOL) if recipe.pool is None else recipe.pool
    return replace(recipe, inputs=inputs, layers=layers, pool=pool)


def _tails(s: int) -> list[str]:
    """Return the input layers that may shorten series of s steps, as texts, with the default one first.

    Frames, which leave FRAMES of a long series; two convolutions, which leave twice as many, the second with narrow
    windows where there are more than WHOLE steps, to save time; one convolution; frames of half the length; all steps
    as one, up to WHOLE.
    """
    p, total = max(1, round(s / FRAMES)), max(1.0, s / FRAMES / 4)
    stride = round(math.sqrt(total))
    texts = [
        f"frames({p})",
        f"{_convolution(stride)}+{_convolution(round(total / stride), 4 if s <= WHOLE else 2)}"
        + "+frames(2)" * (s >= 3 * FRAMES),
        _convolution(max(1, p // 4)) + "+frames(4)" * (p > 1),
        f"frames({round(s / FRAMES / 2)})",
        f"frames({s})",
    ]
    left_out = {"frames(0)", "frames(1)"} | ({texts[-1]} if s > WHOLE else set())
    return ["" if p == 1 else texts[0], *(text for text in texts[1:] if text not in left_out)]


def _convolution(stride: int, overlap: int = 4) -> str:
    """Return the text of a convolution in whose windows each step occurs `overlap` times."""
    return f"convolution({max(5, overlap * stride)},{stride},{CHANNELS})"


def _joined(*parts: str) -> str:
    """Join the texts of input layers, some of which may be empty."""
    return "+".join(filter(None, parts)) or RAW


def _stages(recipe: Recipe, trials: _Trials) -> Iterator[Iterable[Recipe]]:
    """Yield the candidates of each stage of the search, which depend on the results so far; the default is first.

    Series as they are, normalized, or beside their differences; for the best of them other tails; for the best of all
    other pools and more layers, twice. Beside arrays with a number for each step, or below a layer that reads what is
    missing, series stay as they are.
    """
    cut, *tails = [""] if step_arrays(trials.X) or recipe.decays else _tails(trials.X.shape[1])
    whole = recipe.bidirectional and not step_arrays(trials.X)  # whether layers may read the whole series
    heads = [""] if step_arrays(trials.X) or recipe.decays else ["", "difference", *["normalize"] * whole]
    heads = {_joined(head, cut): head for head in heads}
    yield [_decided(recipe, text) for text in heads]
    found = [heads[best.inputs] for best in trials.best(BEST)]
    both = ["normalize+difference"] * (found[0] != "" and whole)
    texts = [*(_joined(head, tail) for tail in tails for head in found), *(_joined(head, cut) for head in both)]
    yield [_decided(recipe, text) for text in texts]
    for _ in range(2):
        varied = [{"pool": pool} for pool in POOLS] * (recipe.pool is None) + [{"layers": 2}] * (recipe.layers is None)
        yield [replace(best, **each) for each in varied for best in trials.best(BEST)]


@dataclass
class _Trials:
    """Candidate recipes, and the results of fitting them all in the same folds.

    Attributes:
        recipes: the candidates by their text, in their order.
        outputs: of each candidate the outputs for the samples held out, (m, k).
        errors: of each candidate that did not fail the error of each sample, (m,).
        failed: why the others failed.
    """

    make: Make
    loss: losses.Loss
    X: Sequences
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    folds: Sequence[Any] = ()
    options: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    layers: dict[str, list[Layer]] = field(default_factory=dict)  # by the text of input layers

    def network(self, recipe: Recipe, seed: int) -> Network:
        """Make the network of a candidate, with this seed."""
        if recipe.inputs not in self.layers:
            self.layers[recipe.inputs] = input_layers.build(recipe.inputs, self.X, recipe.dtype)
        return self.make(recipe, deepcopy(self.layers[recipe.inputs]), seed)

    def run(self, recipes: Mapping[str, Recipe], progress: Callable[[int, int], Any] | None = None) -> None:
        """Fit and score candidates, given by their text, in all folds at once; `progress` is that of `choose`."""
        jobs = [
            Job(partial(self.network, recipe, fold), (text, fold), rows=rows, **self.options)
            for text, recipe in recipes.items()
            for fold, (rows, _) in enumerate(self.folds)
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fit_many: interrupted")  # it is raised here
            before, done = len(self.recipes), itertools.count(1)

            def told(_: Result) -> None:
                """Report how many candidates are done, counting as many fits as there are folds as one candidate."""
                progress(before + next(done) // len(self.folds), before + len(recipes))

            results = fit_many(jobs, self.X, self.y, sample_weight=self.sample_weight, callback=progress and told)
        if any(isinstance(result.error, KeyboardInterrupt) for result in results):
            raise KeyboardInterrupt
        self.recipes |= recipes
        for i, text in enumerate(recipes):
            own = results[i * len(self.folds) :][: len(self.folds)]
            wrong = [result.error for result in own if result.error is not None]
            if wrong:
                self.failed[text] = str(wrong[0])
                continue
            self.outputs[text] = self._held_out([result.network for result in own])
            found = self._errors(self.outputs[text])
            if np.isfinite(found).all():
                self.errors[text] = found
            else:
                self.failed[text] = "its errors are infinite"

    def best(self, n: int) -> list[Recipe]:
        """Return the n candidates whose improvement over the first, minus its standard error, is largest."""
        first = next(iter(self.errors.values()))
        gains = {text: self.least_gain(first - errors) for text, errors in self.errors.items()}
        return [self.recipes[text] for text in sorted(gains, key=lambda text: -gains[text])[:n]]

    def least_gain(self, gains: np.ndarray) -> float:
        """Return the weighted mean of the improvements `gains` (m,), minus its standard error.

        Samples of one group are like each other: their deviations are summed before they are squared.
        """
        weights = np.ones(len(gains)) if self.sample_weight is None else self.sample_weight
        mean = np.average(gains, weights=weights)
        deviations = weights * (gains - mean)
        parts = deviations if self.groups is None else np.bincount(self.groups, deviations)
        return float(mean - np.sqrt(np.square(parts).sum()) / weights.sum())

    def is_good(self) -> bool:
        """Return whether the best candidate has almost no error; False for a loss that may be negative."""
        errors = self.errors[str(self.best(1)[0])]
        bounded = self.loss.classifies or self.loss.can_shrink
        return bounded and bool(np.average(errors, weights=self.sample_weight) < GOOD)

    def score(self, text: str) -> float:
        """Return the score of a candidate over all samples: the accuracy, or the mean loss."""
        A = self.outputs[text]
        errors = (A.argmax(axis=1) != self.y) * 1.0 if self.loss.classifies else self._errors(A)
        error = float(np.average(errors, weights=self.sample_weight))
        return 1 - error if self.loss.classifies else error

    def _held_out(self, nets: Sequence[Network]) -> np.ndarray:
        """Return the outputs (m, k) for all samples, each from the network of the fold that held it out."""
        parts = [net.predict(self.X[rows]) for net, (_, rows) in zip(nets, self.folds, strict=True)]
        found = np.empty((len(self.X), parts[0].shape[1]))
        found[np.concatenate([rows for _, rows in self.folds])] = np.concatenate(parts)
        return found

    def _errors(self, A: np.ndarray) -> np.ndarray:
        """Return the error (m,) of each sample for comparisons: the squared error of probabilities, or the loss."""
        if self.loss.classifies:
            return np.square(A - np.eye(A.shape[1])[self.y]).sum(axis=1) / 2  # Brier score
        with np.errstate(over="ignore"):  # a candidate with infinite errors is left out
            return self.loss(A, self.y, each=True)[0]


def _seconds(net: Network, *, shape: Sequence[int], real: float = 1.0, epochs: int, batch_size: int) -> float:
    """Estimate how many seconds a fit to samples of `shape` (m, s, e) takes on one core, from its operations.

    real: the share of the steps that are not padding.
    """
    m, s, n = shape
    work = calls = weights = 0
    for layer in net.layers:
        s = int(layer.steps.lengths(np.array([s]))[0])
        own = sum(cell.d["u"] * (n + cell.d["u"]) for cell in layer.cells) if layer.cells else n * layer.d.get("u", 0)
        work += (GRU_WORK if layer.cells else DENSE_WORK) * own * s
        weights += (3 if layer.cells else 1) * own
        calls += len(layer.cells) * s
        *steps, n = layer.output_shape((1, s, n))[1:]
        s = s if steps else 1
    updates = epochs * -(-m // batch_size)
    return updates * (UPDATE + calls * STEP + weights * WEIGHT) + epochs * m * real * work / SPEED
