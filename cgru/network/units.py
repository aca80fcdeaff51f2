"""Targets of a regression in units of their own: each less its mean, over its deviation.

A network learns those, whatever the units of y. In the end they become part of its head, which then predicts in the
units of y like any other: nobody else need know. n targets, k outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cgru import losses
from cgru.activations import identity, name_of, ours
from cgru.network import files
from cgru.network.samples import Data, measured_over

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["Units", "in_units", "shrinkage"]


@dataclass(frozen=True)
class Units:
    """y = targets * scale + mean, (n,) each; what the head puts out then is outputs * factor + shift, (k,) each."""

    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, net: Network, data: Data) -> Units:
        """Those of the targets in `data`; ValueError where outputs cannot be brought into them."""
        if ours(net.head.activate) is not identity:
            got = name_of(net.head.activate)
            raise ValueError(
                f'standardize_targets: expected False without a head with activate="identity", got True for {got}'
            )
        loss = losses.named(net.loss)
        if not loss.can_standardize or data.first.y.shape[-1] * loss.outputs != net.head.d["u"]:
            raise ValueError(f"standardize_targets: expected False for {net.loss}, got True")
        found = measured_over(data, lambda block: (block.rows(block.y), block.rows(block.weights)))
        mean, scale = found.result()
        limits, changes = np.finfo(net.dtype), ~found.constant()
        if not (np.maximum(np.abs(mean), scale) < limits.max).all():
            raise ValueError(
                f"y: expected targets below {limits.max:.2g}, which {net.dtype} can hold, got means {mean} and "
                f"deviations {scale}; divide them, or train in float64"
            )
        if (changes & ((np.abs(mean) * limits.eps > 0.01 * scale) | (scale <= limits.tiny))).any():
            raise ValueError(
                f"y: expected targets whose deviations {net.dtype} can tell beside their mean, got means {mean} and "
                f"deviations {scale}; subtract their mean, or train in float64"
            )
        return cls(mean, scale, *loss.scaling(mean, scale))

    def scaled(self, data: Data) -> Data:
        """`data` with its targets in these units; at padded steps too, where nobody looks."""
        return replace(data, y=(data.y - self.mean) / self.scale)

    def enter(self, net: Network) -> None:
        """Let the head predict in these units, which predicts in those of y."""
        W, b = (net.head.p[name] for name in ("W", "b"))
        W /= self.factor
        b -= self.shift
        b /= self.factor

    def leave(self, net: Network) -> None:
        """The other way."""
        W, b = (net.head.p[name] for name in ("W", "b"))
        W *= self.factor
        b *= self.factor
        b += self.shift

    @contextmanager
    def left(self, net: Network) -> Iterator[None]:
        """For a while; what nobody changed is afterwards what it was, to the bit."""
        before = {name: array.copy() for name, array in net.head.p.items()}
        self.leave(net)
        shown = {name: array.copy() for name, array in net.head.p.items()}
        try:
            yield
        finally:
            p = net.head.p
            if all(np.array_equal(p.get(name), array) for name, array in shown.items()):
                for name, array in before.items():
                    p[name][...] = array
            else:
                p.update({name: np.array(array) for name, array in p.items()})  # those that were put there stay
                self.enter(net)


def in_units(net: Network, mean: np.ndarray, scale: np.ndarray) -> Network:
    """Return a copy of `net`, which predicts (y - mean) / scale, that predicts y; mean and scale are (k,).

    It is float64 where the dtype of `net` cannot hold y, or tell deviations from their mean.
    """
    # Epochs never change: a copy of each would take longer and longer in a fit of many parts.
    found, limits = copy.deepcopy(net, {id(net.history): copy.copy(net.history)}), np.finfo(net.dtype)
    if (np.abs(mean) * limits.eps > 0.01 * scale).any() or not (np.abs(mean) + scale < limits.max).all():
        arrays = files.packed(found.layers, dict.fromkeys(("loss", "class_names", "seed")), {})
        model = str(arrays.pop("model")).replace(f'"dtype": "{net.dtype.name}"', '"dtype": "float64"')
        wide = {name: array.astype(np.float64) for name, array in arrays.items()}
        layers, _, _ = files.unpacked({"model": np.array(model), **wide})
        found.layers, found.dtype = tuple(layers), np.dtype(np.float64)
    Units(mean, scale, scale, mean).leave(found)
    return found


def shrinkage(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """What to multiply outputs A (n, k) by, (k,), as far as targets Y (n, k) speak for them, which training never saw.

    It is the slope of Y over A (shrinkage by the calibration slope: van Houwelingen and le Cessie, 1990, Statistics in
    Medicine 9) less its standard error, at most 1, and 0 where the slope is not three of these above 0: the epoch was
    chosen by the same targets, so that two happen by chance. Both are in deviations from the mean of the training.
    """
    A, Y = A.astype(np.float64), Y.astype(np.float64)
    w = np.ones((len(A), 1)) if weights is None else (weights / weights.mean())[:, None]
    n, squares = np.count_nonzero(w) if weights is not None else len(A), (w * A * A).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (w * A * Y).sum(axis=0) / squares
        error = np.sqrt((w * np.square(Y - slope * A)).sum(axis=0) / (n - 1) / squares)
    return np.where(slope > 3 * error, np.minimum(slope - error, 1), 0)
