"""Losses and accuracies as the `cgru` command tells them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import cgru
from cgru.cli.task import real_steps
from cgru.datasets import Split
from cgru.network.progress import figure

__all__ = ["rmse_of", "score", "scored", "stuck"]


def scored(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    """The scores of `net` on a split with the targets y, and how many of them are right."""
    regression = net.loss not in cgru.losses.CLASSIFYING
    metrics = {"RMSE": rmse_of(net.loss)} if regression else None
    scores = net.evaluate(split.X, y, lengths=split.lengths, metrics=metrics)
    accuracy = scores.get("accuracy")
    count = real_steps(split.X, split.lengths).sum() if net.per_step else len(y)
    counted = "" if accuracy is None else f" ({round(accuracy * count)} of {count})"
    return score(scores["loss"], accuracy, scores.get("RMSE")) + counted


def score(loss: float, accuracy: float | None, rmse: float | None = None) -> str:
    """Loss and accuracy, or of a regression the root of the mean squared error."""
    parts = [f"loss {figure(loss)}"]
    parts += [] if accuracy is None else [f"accuracy {accuracy:.2%}"]
    parts += [] if rmse is None else [f"RMSE {figure(rmse)}"]
    return ", ".join(parts)


def rmse_of(loss: str | cgru.losses.Loss) -> Callable[[np.ndarray, np.ndarray], float]:
    """The root of the mean squared error of what outputs trained by `loss` say: of quantiles the middle one."""
    each = cgru.losses.outputs(loss)

    def rmse(y: np.ndarray, A: np.ndarray) -> float:
        A = A.reshape(*y.shape, -1)[..., 0 if loss == "gaussian" else each // 2]
        error = (np.exp(A) if loss == "poisson" else A) - y
        return math.sqrt(np.square(error, dtype=np.float64).mean())

    return rmse


def stuck(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    """What to say where even the samples that it was trained on are told no better than by their most frequent class,
    or their mean; else "".
    """
    if net.loss in cgru.losses.CLASSIFYING:
        accuracy = net.evaluate(split.X, y, lengths=split.lengths)["accuracy"]
        rows = y[real_steps(split.X, split.lengths)] if net.per_step else y
        share = np.bincount(rows).max() / len(rows)
        if accuracy > share:
            return ""
        got = f"the most frequent class alone is {share:.2%} of the training data, the model right in {accuracy:.2%}"
    else:
        rmse = rmse_of(net.loss)(y.reshape(len(y), -1), net.predict(split.X, split.lengths))
        spread = math.sqrt(y.var(axis=0).mean())
        if rmse < 0.98 * spread:  # any network is a little better by chance
            return ""
        got = f"the mean alone has an RMSE of {figure(spread)} on the training data, the model {figure(rmse)}"
    return f"note: nothing was learned: {got}; more --epochs, another --learning-rate or --units may help"
