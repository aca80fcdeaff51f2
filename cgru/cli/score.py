"""Score a model, and return losses and accuracies in words for the `cgru` command."""

from __future__ import annotations

import math

import numpy as np

import cgru
from cgru import losses
from cgru.datasets import Split
from cgru.network.presentation import figure
from cgru.reports.comparison import is_held_out, seen, seen_in_words

__all__ = ["overlap", "score_text"]


def score_text(net: cgru.Network, split: Split) -> str:
    """Score `net` on a split; return its loss and accuracy in words, or its loss and RMSE for a regression."""
    X, y, judge = split.sequences, split.y, losses.named(net.loss)
    if not judge.classifies:
        rmse = {"RMSE": lambda y, A: math.sqrt(np.square(judge.point(A) - y).mean())}
        found = net.evaluate(X, y, metrics=rmse)
        return f"loss {figure(found['loss'])}, RMSE {figure(found['RMSE'])}"
    loss, accuracy = net.evaluate(X, y).values()
    count = net.output_mask(X, X.lengths).sum() if net.per_step else len(y)
    return f"loss {figure(loss)}, accuracy {accuracy:.2%} ({round(accuracy * count)} of {count})"


def overlap(net: cgru.Network, split: Split, always: bool = True) -> str:
    """Return how many samples of the split `net` was trained on, after a semicolon; "" if it does not remember.

    always: also that it was trained on none.
    """
    found = seen(net, split.X, split.lengths)
    return f"; {seen_in_words(found)}" if found and (always or not is_held_out(found)) else ""
