"""Normalize: a layer that normalises each feature of each sample over the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.layers.layer import (
    Fields,
    KeepingLayer,
    LayerPass,
    checked_sequences,
    mask_padding,
    zero_padding,
)
from cgru.layers.steps import Steps

__all__ = ["Normalize"]

ROUNDING = 4  # a range of so many eps of the dtype, relative to the largest magnitude, counts as constant


class Normalize(KeepingLayer):
    """A layer that normalises each feature of each sample by its mean and standard deviation over the real steps.

    The mean is subtracted, and the rest divided by the standard deviation. Whatever the size and the offset of a
    series, its shape is left: (m, s, n) in and out. With `keep` the size and the offset stand beside it as constant
    features: (m, s, 3 n), first the normalised features, then the natural logarithm of each deviation, then each mean.

    The deviation is that of the population, sqrt(mean((x - mean)^2)). A feature is constant in a sample if its largest
    and smallest number differ by at most 4 eps of the dtype, relative to the larger magnitude. It becomes zeros, and
    its deviation counts as 1, as in `Network.fit(standardize=True)`, so that the logarithm is 0. Means and deviations
    are computed in float64. The dtype stays.

    In a network the standardisation comes first. It changes no normalised feature; a deviation and a mean are in its
    units: log(deviation) - log(scale) and (mean - net.mean) / net.scale. In float32 it rounds series that are far
    smaller than the others at their offset: leave it out, or take float64, where sizes differ by many decades. A
    `Scale` above this layer can bring the constant features to any range.

    The layer needs the whole series: `Stream`, `export_c`, `truncate` and networks with `stateful` layers refuse it.

    Args:
        keep: whether the logarithms of the deviations and the means stand beside the normalised features.

    Attributes:
        d: dimensions m, s, n.
        fc: X (m, s, n) and A.
        bc: dA and dX, of their shapes.

    Raises:
        TypeError: `keep` is not a bool.

    Examples:
        >>> X = np.array([[10.0, 20.0, 30.0, 40.0]])[:, :, None]
        >>> A = cgru.Normalize(keep=False).forward(X)
        >>> A[0, :, 0].round(3)
        array([-1.342, -0.447,  0.447,  1.342])
        >>> cgru.Normalize().forward(X)[0, 0].round(3)  # log(deviation) and mean beside it
        array([-1.342,  2.414, 25.   ])
    """

    steps = Steps(needs="series")
    most = 3
    fields = Fields(flags=("keep",))

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        return {"kind": "normalize", "times": self.parts}

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the normalisation of A over its real steps to an ONNX graph, in float64; return the result's name.

        Differences from the smallest number are summed, as in `run`.
        """
        double = graph.onnx.TensorProto.DOUBLE
        low, high = (
            graph.op("Cast", graph.op(kind, graph.real(A, other), graph.integers(1)), to=double)
            for kind, other in (("ReduceMin", np.inf), ("ReduceMax", -np.inf))
        )
        zero, one = graph.array("zero_double", 0, np.float64), graph.array("one_double", 1, np.float64)
        if graph.steps:
            count = graph.op("Unsqueeze", graph.op("Cast", graph.lengths(), to=double), graph.integers(1, 2))
        else:
            count = graph.op("Cast", graph.count(A), to=double)

        def real(values: str) -> str:
            return graph.op("Where", graph.mask(), values, zero) if graph.steps else values

        def mean(values: str) -> str:
            return graph.op("Div", graph.op("ReduceSum", values, graph.integers(1)), count)

        above = real(graph.op("Sub", graph.op("Cast", A, to=double), low))
        offset = mean(above)
        centred = real(graph.op("Sub", above, offset))
        deviation = graph.op("Sqrt", mean(graph.op("Mul", centred, centred)))
        largest = graph.op("Max", graph.op("Abs", low), graph.op("Abs", high))
        rounding = graph.array("rounding", ROUNDING * np.finfo(graph.dtype).eps, np.float64)
        equal = graph.op("LessOrEqual", graph.op("Sub", high, low), graph.op("Mul", largest, rounding))
        deviation = graph.op("Where", equal, one, deviation)
        found = graph.op("Where", equal, zero, graph.op("Div", centred, deviation))
        if self.keep:
            shape, kept = graph.op("Shape", A), (graph.op("Log", deviation), graph.op("Add", low, offset))
            found = graph.op("Concat", found, *(graph.op("Expand", each, shape) for each in kept), axis=2)
        return graph.real(graph.op("Cast", found, to=graph.number))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> NormalizePass:
        """Apply the layer to A (m, s, n); return a pass whose output is (m, s, 3 n), or without `keep` (m, s, n)."""
        X, steps = mask_padding(checked_sequences(A), lengths)
        Y, real = _steps_last(X), None if steps is None else steps.swapaxes(1, 2)
        count = X.shape[1] if real is None else real.sum(axis=2, keepdims=True)
        mean, deviation, constant = _moments(Y, real, count, ROUNDING * np.finfo(X.dtype).eps)
        Z = zero_padding(np.where(constant, 0.0, (Y - mean) / deviation), real)
        found, n = np.empty((*X.shape[:2], self.parts * X.shape[2]), X.dtype), X.shape[2]
        for k, part in enumerate((Z, np.log(deviation), mean)[: self.parts]):
            found[:, :, k * n : (k + 1) * n] = part.swapaxes(1, 2)
        return NormalizePass(steps, (count, Z, deviation, constant), X=X, A=zero_padding(found, steps))


class NormalizePass(LayerPass):
    """One forward pass of a `Normalize`."""

    def __init__(self, steps: np.ndarray | None, kept: tuple[Any, ...], **own: np.ndarray) -> None:
        super().__init__(steps, **own)
        self._kept = kept  # real steps, normalised features, deviations, which features are constant; as in `_moments`

    def _compute_backward(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        count, Z, deviation, constant = self._kept
        dZ, *kept = np.split(_steps_last(dA), dA.shape[2] // Z.shape[1], axis=1)
        offset, slope, *kept = (each.sum(axis=2, keepdims=True) / count for each in (dZ, dZ * Z, *kept))
        dlog, dmean = kept or (0.0, 0.0)
        dX = np.where(constant, 0.0, (dZ - offset - Z * (slope - dlog)) / deviation) + dmean
        return {"dA": dA, "dX": zero_padding(np.ascontiguousarray(dX.swapaxes(1, 2), dA.dtype), self._steps)}


def _steps_last(X: np.ndarray) -> np.ndarray:
    """Return X (m, s, n) as (m, n, s) in float64, so that sums over the steps run along contiguous memory."""
    return np.ascontiguousarray(X.swapaxes(1, 2), np.float64)


def _moments(
    Y: np.ndarray, real: np.ndarray | None, count: Any, rounding: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation, (m, n, 1) each, of Y (m, n, s) over the steps, in float64.

    Return as the third whether a feature is constant: in a range of at most `rounding`, relative to its largest
    magnitude. Its deviation is given as 1. `real` (m, 1, s) says which steps are real (None: all), `count` how many.
    Differences from the smallest number are summed, so that no digit is lost at a large offset, in units of a power of
    two, so that no square overflows or underflows.
    """
    inside = True if real is None else real
    low = Y.min(axis=2, keepdims=True, where=inside, initial=np.inf)
    high = Y.max(axis=2, keepdims=True, where=inside, initial=-np.inf)
    largest = np.maximum(np.abs(low), np.abs(high))
    unit = np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1022, 1022))
    constant = high / unit - low / unit <= rounding * (largest / unit)
    above = zero_padding(Y / unit - low / unit, real)
    mean = low + above.sum(axis=2, keepdims=True) / count * unit
    squares = zero_padding(np.square((Y - mean) / unit), real)
    deviation = np.sqrt(squares.sum(axis=2, keepdims=True) / count) * unit
    return mean, np.where(constant, 1.0, deviation), constant
