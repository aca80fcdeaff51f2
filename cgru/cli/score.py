"""Losses and accuracies as the `cgru` command tells them."""

from __future__ import annotations

import math

import numpy as np

import cgru
from cgru.cli.task import real_steps
from cgru.datasets import Split
from cgru.network.progress import figure

__all__ = ["score", "scored"]


def scored(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    """The scores of `net` on a split with the targets y, and how many of them are right."""
    scores = net.evaluate(split.X, y, lengths=split.lengths)
    accuracy = scores.get("accuracy")
    if accuracy is None and net.loss != "mean_squared_error":
        return f"loss {figure(scores['loss'])}"
    count = real_steps(split.X, split.lengths).sum() if net.per_step else len(y)
    counted = "" if accuracy is None else f" ({round(accuracy * count)} of {count})"
    return score(scores["loss"], accuracy) + counted


def score(loss: float, accuracy: float | None) -> str:
    """Loss and accuracy, or without one, of a regression, the square root of the loss."""
    return f"loss {figure(loss)}, " + (
        f"RMSE {figure(math.sqrt(loss))}" if accuracy is None else f"accuracy {accuracy:.2%}"
    )
