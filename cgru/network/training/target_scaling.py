"""Target scaling: train a regression on (y - mean) / deviation, then merge the scaling into the head.

After the fit the head predicts in the units of y like any other, so that no other code knows of the scaling. Also
shrinkage: pulling predictions towards the mean. n targets, k outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from cgru.activations import identity, name_of, ours
from cgru.layers.dense import Dense
from cgru.losses import Loss
from cgru.network.data.training_data import Data, scale_targets, target_mean_variance

__all__ = ["TargetScaling", "all_shrunk", "shrinkage"]


@dataclass(frozen=True)
class TargetScaling:
    """The scaling of targets, y = scaled * scale + mean, and of the outputs for them, A = scaled * factor + shift.

    Both differ where a loss has several outputs a target, such as quantiles, or a mean and a log-variance.
    """

    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, head: Dense, loss: Loss, data: Data) -> TargetScaling:
        """Return the scaling of the targets in `data`; ValueError if `head` or `loss` does not support it."""
        if ours(head.activate) is not identity:
            due = 'False without a head with activate="identity"'
            raise ValueError(f"standardize_targets: expected {due}, got True for {name_of(head.activate)}")
        if not loss.can_standardize or data.first.y.shape[-1] * loss.outputs != head.d["u"]:
            raise ValueError(f"standardize_targets: expected False for {loss}, got True")
        found = target_mean_variance(data)
        mean, scale = found.result()
        limits, changes = np.finfo(head.dtype), ~found.constant()
        due = cure = ""
        if not (np.maximum(np.abs(mean), scale) < limits.max).all():
            due, cure = f"below {limits.max:.2g}, which {head.dtype} can hold", "divide them"
        elif (changes & ((np.abs(mean) * limits.eps > 0.01 * scale) | (scale <= limits.tiny))).any():
            due, cure = f"whose deviations {head.dtype} can tell beside their mean", "subtract their mean"
        if due:
            got = f"means {mean} and deviations {scale}"
            raise ValueError(f"y: expected targets {due}, got {got}; {cure}, or train in float64")
        return cls(mean, scale, *loss.scaling(mean, scale))

    @property
    def apply(self) -> Callable[[Data], Data]:
        """Return a function that scales the targets of a `Data`."""
        return partial(scale_targets, self.mean, self.scale)

    def scale_head(self, head: Dense) -> None:
        """Change a head that predicts y in its units, in place, so that it predicts scaled targets."""
        W, b = head.p["W"], head.p["b"]
        W /= self.factor
        b -= self.shift
        b /= self.factor

    def unscale_head(self, head: Dense) -> None:
        """Change a head that predicts scaled targets, in place, so that it predicts y in its units."""
        W, b = head.p["W"], head.p["b"]
        W *= self.factor
        b *= self.factor
        b += self.shift

    @contextmanager
    def unscaled(self, head: Dense) -> Iterator[None]:
        """Make the head predict y in its units within a `with` block.

        Afterwards restore the parameters bit for bit; where they were changed meanwhile, scale the changed ones.
        """
        before = {name: array.copy() for name, array in head.p.items()}
        self.unscale_head(head)
        shown = {name: array.copy() for name, array in head.p.items()}
        try:
            yield
        finally:
            p = head.p
            if all(np.array_equal(p.get(name), array) for name, array in shown.items()):
                for name, array in before.items():
                    p[name][...] = array
            else:
                p.update({name: np.array(array) for name, array in p.items()})  # scale copies, not the caller's arrays
                self.scale_head(head)


def shrinkage(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the shrinkage factor (k,) of outputs A (n, k), estimated from validation targets Y (n, k).

    The factor is the slope of Y over A less the slope's standard error, at most 1 (shrinkage by the calibration slope:
    van Houwelingen and le Cessie, 1990, Statistics in Medicine 9). It is 0 where the slope is not three standard errors
    above 0: the same targets chose the epoch, so that two happen by chance. A and Y are scaled targets: deviations from
    the training mean.
    """
    A, Y = A.astype(np.float64), Y.astype(np.float64)
    w = np.ones((len(A), 1)) if weights is None else (weights / weights.mean())[:, None]
    n, squares = np.count_nonzero(w) if weights is not None else len(A), (w * A * A).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (w * A * Y).sum(axis=0) / squares
        error = np.sqrt((w * np.square(Y - slope * A)).sum(axis=0) / (n - 1) / squares)
    return np.where(slope > 3 * error, np.minimum(slope - error, 1), 0)


def all_shrunk(factor: np.ndarray) -> str:
    """Return a text that says why nothing was learned if `factor` (k,) shrinks all outputs to the mean; else ""."""
    return "" if factor.any() else "held-out targets do not follow the outputs, which are shrunk to the mean alone"
