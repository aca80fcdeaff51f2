"""Input layers: how series are prepared for the first recurrent layer, by name, and chosen by cross-validation.

A text names them in their order, joined by "+": "normalize", "difference", "frames(length)" or "frames(length, hop)",
"convolution(width, stride, channels)". "raw" has none.
m samples, s steps, e features per step.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from cgru import losses
from cgru.core.lengths import mask
from cgru.core.row_blocks import is_mapped
from cgru.layers.dense import Dense
from cgru.layers.difference import Difference
from cgru.layers.frames import Frames
from cgru.layers.layer import Layer
from cgru.layers.normalize import Normalize
from cgru.layers.scale import Scale
from cgru.many.folds import Splittable
from cgru.many.jobs import Job, Result
from cgru.many.run import fit_many
from cgru.network import Network
from cgru.network.data.mean_variance import mean_and_deviation
from cgru.network.training.target_scaling import shrinkage

__all__ = ["AUTO", "BUDGET", "Choice", "build", "candidates", "choose", "parse"]

AUTO, RAW, BUDGET = "auto", "raw", 10.0
FRAMES, CHANNELS = 32, 32  # frames that a long series is cut into, channels of a convolution
FOLDS, SHARE = 3, 0.5  # folds of the cross-validation, and the share of a fit's epochs that each makes
LEAST = 12  # samples, or groups of them, for which folds say something
UPDATE, STEP, SPEED = 5e-5, 2e-6, 1e11  # seconds of an update and of a step of a cell, operations a second
PART = re.compile(r" *(\w+) *(?:\(( *\d+ *(?:, *\d+ *)*)\))? *")


def _convolution(width: int, stride: int, channels: int) -> list[Layer]:
    """Return the layers of a convolution with ReLU over the steps, with an output at every `stride`-th."""
    return [Frames(width, stride, ((width - 1) // 2, width // 2)), Dense(channels, "relu")]


# By name: a function that makes the layers, and how many numbers it takes.
KINDS: dict[str, tuple[Callable[..., list[Layer]], Sequence[int]]] = {
    "normalize": (lambda: [Normalize()], (0,)),
    "difference": (lambda: [Difference()], (0,)),
    "frames": (lambda *numbers: [Frames(*numbers)], (1, 2)),
    "convolution": (_convolution, (3,)),
}


class Choice(NamedTuple):
    """The input layers that cross-validation chose.

    Attributes:
        inputs: their text.
        scores: by the text of each candidate its mean score over the folds: the accuracy, or the loss of a regression;
            empty where there was one candidate or no budget.
        shrinkage: (k,) the factor for the outputs of a regression, estimated from what was held out; None for classes,
            and for a loss whose outputs cannot be shrunk.
        measure: what the scores are, "accuracy" or the loss.
    """

    inputs: str
    scores: dict[str, float]
    shrinkage: np.ndarray | None = None
    measure: str = "accuracy"

    def __str__(self) -> str:
        if not self.scores:
            return self.inputs
        others = ", ".join(f"{text} {score:.3g}" for text, score in self.scores.items() if text != self.inputs)
        return f"{self.inputs}, {self.measure} {self.scores[self.inputs]:.3g} in {FOLDS} folds ({others})"


def parse(text: str, name: str = "inputs", causal: bool = False) -> list[Layer]:
    """Return new layers for a text such as "normalize+frames(8)"; TypeError or ValueError, by `name`, if invalid.

    causal: refuse layers that need the whole series.
    """
    due = f'{name}: expected "raw" or some of {", ".join(KINDS)}, such as "difference+frames(8)"'
    if not isinstance(text, str):
        raise TypeError(f"{due}, got {type(text).__name__}")
    made: list[Layer] = []
    for part in () if text.strip() == RAW else text.split("+"):
        found = PART.fullmatch(part)
        kind, counts = KINDS.get(found[1], (None, ())) if found else (None, ())
        numbers = [int(number) for number in found[2].split(",")] if found and found[2] else []
        if len(numbers) not in counts:
            raise ValueError(f"{due}, got {text!r}")
        made += kind(*numbers)
    if causal and any(layer.whole_series for layer in made):
        raise ValueError(f"{name}: expected layers that run step by step, as causal asks, got {text!r}")
    return made


def build(text: str, X: np.ndarray, lengths: np.ndarray | None, dtype: DTypeLike) -> list[Layer]:
    """Return the layers that `text` names, with a fixed `Scale` behind those that make features of another size.

    It gives each feature mean 0 and deviation 1 over X (m, s, e), which the network's own standardisation does before
    these layers alone.
    """
    made = parse(text)
    end = max((i + 1 for i, layer in enumerate(made) if isinstance(layer, Normalize | Difference)), default=0)
    if not end:
        return made
    real = np.ones(X.shape[:2], bool) if lengths is None else mask(lengths, X.shape[1])[:, :, 0]
    mean, deviation = mean_and_deviation(X[real])
    A = np.where(real[:, :, None], (X - mean) / deviation, 0.0)
    for layer in made[:end]:
        A = layer.run(A, lengths).A
    mean, deviation = mean_and_deviation(A[real])
    scale = Scale(1 / deviation, -mean / deviation, dtype=dtype)
    scale.trainable = False
    return [*made[:end], scale, *made[end:]]


def candidates(s: int, causal: bool = False) -> list[str]:
    """Return the texts to choose among for series of up to s steps; the first is the one without a choice.

    causal: leave out what needs the whole series.
    """
    p = max(1, round(s / FRAMES))
    q = max(1, p // 4)
    cut, convolved = [f"frames({p})"] * (p > 1), [f"convolution({max(5, 4 * q)},{q},{CHANNELS})"]
    convolved += ["frames(4)"] * (p > 1)
    heads = [[], ["difference"]] if causal else [[], ["normalize"], ["difference"], ["normalize", "difference"]]
    return ["+".join([*head, *tail]) or RAW for tail in (cut, convolved) for head in heads]


def choose(
    make: Callable[[Sequence[Layer], int], Network],
    X: np.ndarray,
    y: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    causal: bool = False,
    budget: float = BUDGET,
    epochs: int,
    batch_size: int,
    dtype: DTypeLike = np.float32,
    **options: Any,
) -> Choice:
    """Choose the input layers of a network by cross-validation on its training data, as many as the budget allows.

    A candidate is taken in the place of the first where its errors are lower by more than a standard error of their
    difference. The samples are split into the same folds, and networks get the same seeds, for all.

    make: makes a network with the given input layers and the seed.
    X, y: samples (m, s, e) and targets: classes (m,), or numbers (m, n) in deviations from their mean where the loss
        can standardise them.
    budget: seconds on one core of today, by a count of the work: the choice is the same on any machine.
    epochs, batch_size: those of the fit on all samples. A fold makes half as many epochs.
    options: further options of `Network.fit`.
    """
    classes, (first, *others) = y if y.ndim == 1 else None, candidates(X.shape[1], causal)
    parts = len(X) if groups is None else len(np.unique(groups))
    if budget <= 0 or parts < LEAST or is_mapped(X):
        return Choice(first, {})
    short = {"epochs": max(1, round(SHARE * epochs)), "batch_size": batch_size}
    net = make(parse(first), 0)
    loss, spent, tried = losses.named(net.loss), _seconds(net, X.shape, epochs, batch_size), []
    for text in (first, *others):
        spent += (FOLDS - 1) * _seconds(make(parse(text), 0), X.shape, **short)
        if spent <= budget:
            tried.append(text)
    if tried[:1] != [first] or (classes is not None and len(tried) < 2):
        return Choice(first, {})
    layers = {text: build(text, X, lengths, dtype) for text in tried}

    def network(text: str, seed: int) -> Network:
        return make(deepcopy(layers[text]), seed)

    folds = Splittable(X, y, classes, groups).splits(FOLDS, [0], "folds")
    jobs = [
        Job(partial(network, text, fold), (text, fold), rows=rows, **short, **options)
        for text in tried
        for fold, (rows, _) in enumerate(folds)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit_many: interrupted")  # it is raised here
        results = fit_many(jobs, X, y, lengths=lengths, sample_weight=sample_weight)
    if any(isinstance(result.error, KeyboardInterrupt) for result in results):
        raise KeyboardInterrupt
    outputs = {text: _held_out(results[i * FOLDS :][:FOLDS], folds, X, lengths) for i, text in enumerate(tried)}
    errors = {text: _errors(loss, A, y) for text, A in outputs.items() if A is not None}
    errors = {text: each for text, each in errors.items() if np.isfinite(each).all()}
    if first not in errors:
        return Choice(first, {})
    chosen = max(errors, key=lambda text: _least_gain(errors[first] - errors[text], sample_weight))
    scores = {text: float(np.average(each, weights=sample_weight)) for text, each in errors.items()}
    if classes is not None:
        return Choice(chosen, {text: 1 - score for text, score in scores.items()})
    return Choice(chosen, scores, shrinkage(outputs[chosen], y, sample_weight) if loss.can_shrink else None, str(loss))


def _held_out(results: Sequence[Result], folds: Sequence[Any], X: np.ndarray, lengths: np.ndarray | None) -> Any:
    """Return the outputs of the networks of all folds for the samples held out, (m, k); None where a fit failed."""
    if any(result.error is not None for result in results):
        return None
    parts = [
        result.network.predict(X[rows], None if lengths is None else lengths[rows])
        for result, (_, rows) in zip(results, folds, strict=True)
    ]
    found = np.empty((len(X), parts[0].shape[1]))
    found[np.concatenate([rows for _, rows in folds])] = np.concatenate(parts)
    return found


def _errors(loss: losses.Loss, A: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the error (m,) of each sample: 1 for a wrong class, or the loss of the targets."""
    if y.ndim == 1:
        return (A.argmax(axis=1) != y) * 1.0
    with np.errstate(over="ignore"):  # a candidate with infinite errors is left out
        return loss(A, y, each=True)[0]


def _least_gain(gains: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the weighted mean of the gains (m,) less its standard error."""
    mean = np.average(gains, weights=weights)
    return float(mean - np.sqrt(np.average(np.square(gains - mean), weights=weights) / len(gains)))


def _seconds(net: Network, shape: Sequence[int], epochs: int, batch_size: int) -> float:
    """Estimate the seconds of a fit to samples of `shape` (m, s, e) on one core, from the work alone."""
    m, s, n = shape
    work = calls = 0
    for layer in net.layers:
        s = int(layer.lengths(np.array([s]))[0])
        work += sum(18 * cell.d["u"] * (n + cell.d["u"]) * s for cell in layer.cells)
        work += 0 if layer.cells else 6 * n * layer.d.get("u", 0) * s
        calls += len(layer.cells) * s
        n = layer.output_shape((1, s, n))[-1]
    updates = epochs * -(-m // batch_size)
    return updates * (UPDATE + calls * STEP) + epochs * m * work / SPEED
