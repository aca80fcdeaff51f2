"""Losses and accuracies as the `cgru` command tells them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import cgru
from cgru import losses
from cgru.core.figures import figure
from cgru.datasets import Split
from cgru.reports.comparison import seen, seen_in_words

__all__ = ["judged", "rmse_of", "score", "scored", "unsure"]


def scored(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    """The scores of `net` on a split with the targets y, and how many of them are right."""
    metrics = None if losses.classifies(net.loss) else {"RMSE": rmse_of(net.loss)}
    scores = net.evaluate(split.X, y, lengths=split.lengths, metrics=metrics)
    accuracy = scores.get("accuracy")
    count = net.output_mask(split.X, split.lengths).sum() if net.per_step else len(y)
    counted = "" if accuracy is None else f" ({round(accuracy * count)} of {count})"
    return score(scores["loss"], accuracy, scores.get("RMSE")) + counted


def unsure(net: cgru.Network, split: Split) -> str:
    """Say how many samples of a split took part in the training of `net`, or that this is not known."""
    return seen_in_words(seen(net, split.X, split.lengths))


def judged(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    """What `scored` says, and beside it what `unsure` does."""
    return f"{scored(net, split, y)}; {unsure(net, split)}"


def score(loss: float, accuracy: float | None, rmse: float | None = None) -> str:
    """Loss and accuracy, or of a regression the root of the mean squared error."""
    parts = [f"loss {figure(loss)}"]
    parts += [] if accuracy is None else [f"accuracy {accuracy:.2%}"]
    parts += [] if rmse is None else [f"RMSE {figure(rmse)}"]
    return ", ".join(parts)


def rmse_of(loss: str | losses.Function) -> Callable[[np.ndarray, np.ndarray], float]:
    """The root of the mean squared error of what outputs trained by `loss` say."""
    return lambda y, A: math.sqrt(np.square(losses.named(loss).point(A) - y, dtype=np.float64).mean())
