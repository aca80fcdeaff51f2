"""The loss functions: each checks its targets `y`, and returns the mean loss over the samples and its gradient.

Letters: m samples, k outputs, A (m, k) the outputs of the head, Z (m, k) the same before the activation, Y (m, k) the
targets. With outputs at each of s steps, the rows are the real steps of all samples. A loss is averaged over rows, so
that a long sample counts more than a short one. With weights w (m,) of the rows the average is sum(w_i loss_i) /
sum(w_i), and 0 if all weights are 0. With `each` only the outputs of a row are averaged: the value is (m,), float64,
with the gradient of each row by itself, and the weights are ignored.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from cgru.activations import Activation, log_softmax, ours, parameter, sigmoid, softmax
from cgru.core import checks
from cgru.sampled_losses import bpr_max, sampled

__all__ = [
    "binary_cross_entropy",
    "bpr_max",
    "cross_entropy",
    "gaussian",
    "huber",
    "mean_squared_error",
    "poisson",
    "quantile",
    "sampled",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

LossAndGrad = tuple[Any, np.ndarray]
Function = Callable[..., LossAndGrad]
LEVELS = (0.5, 0.8, 0.9, 0.95)  # of a gaussian's intervals


# --- from the outputs, for any head: (loss, dL/dA) ---


def cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, smoothing: float = 0.0, *, each: bool = False
) -> LossAndGrad:
    """Compute the cross-entropy of probabilities, -sum(Y log A) of each row, averaged over the rows.

    Probabilities below the dtype's epsilon count as epsilon.

    Args:
        A: (m, k) the probabilities of the classes.
        Y: (m, k) the targets, rows of sum 1.
        weights: (m,) the weights of the rows; None: all alike.
        smoothing: the share of each target that is spread over all classes, Y (1 - smoothing) + smoothing / k (Szegedy
            et al., 2016, arXiv:1512.00567).
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA (m, k), -Y / A over m. With `each` the losses (m,), and their
        gradients.

    Raises:
        ValueError: A and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> A = np.array([[0.5, 0.5], [0.25, 0.75]])
        >>> loss, dA = cgru.losses.cross_entropy(A, np.array([[1.0, 0.0], [0.0, 1.0]]))
        >>> round(loss, 4), dA.diagonal().round(4).tolist()  # (log 2 + log 4/3) / 2
        (0.4904, [-1.0, -0.6667])
    """
    A, Y = np.maximum(A, np.finfo(A.dtype).eps), smoothed(Y, smoothing)
    return _average(-(Y * np.log(A, dtype=np.float64)).sum(axis=1, keepdims=True), -Y / A, A, weights, each)


def binary_cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> LossAndGrad:
    """Compute the binary cross-entropy, -(Y log A + (1 - Y) log(1 - A)), averaged over samples and outputs.

    A is kept the dtype's epsilon away from 0 and 1.

    Args:
        A: (m, k) the probabilities.
        Y: (m, k) the targets, from 0 to 1.
        weights: (m,) the weights of the rows; None: all alike.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA (m, k), (A - Y) / (A (1 - A)) over the count. With `each` the losses
        (m,), and their gradients.

    Raises:
        ValueError: A and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> loss, dA = cgru.losses.binary_cross_entropy(np.array([[0.5], [0.75]]), np.array([[1.0], [1.0]]))
        >>> round(loss, 4), dA.round(4).tolist()
        (0.4904, [[-1.0], [-0.6667]])
    """
    eps = np.finfo(A.dtype).eps
    A = np.clip(A, eps, 1 - eps)
    a = A.astype(np.float64)
    return _average(-(Y * np.log(a) + (1 - Y) * np.log1p(-a)), (a - Y) / (a * (1 - a)), A, weights, each)


def mean_squared_error(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> LossAndGrad:
    """Compute the mean squared error, (A - Y)^2 averaged over samples and outputs.

    Args:
        A: (m, k) the outputs.
        Y: (m, k) the targets.
        weights: (m,) the weights of the rows; None: all alike.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA (m, k), 2 (A - Y) over the count. With `each` the losses (m,), and
        their gradients.

    Raises:
        ValueError: A and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> cgru.losses.mean_squared_error(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]]))
        (5.0, array([[1.],
               [3.]]))
    """
    E = A.astype(np.float64) - Y
    return _average(E * E, 2 * E, A, weights, each)


def huber(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, delta: float = 1.0, *, each: bool = False
) -> LossAndGrad:
    """Compute the Huber loss, averaged over samples and outputs.

    It is (A - Y)^2 / 2 for errors up to delta, and delta (|A - Y| - delta / 2) beyond (Huber, 1964, doi
    10.1214/aoms/1177703732).

    Args:
        A: (m, k) the outputs.
        Y: (m, k) the targets.
        weights: (m,) the weights of the rows; None: all alike.
        delta: where the square ends, above 0.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA (m, k), A - Y held between -delta and delta, over the count. With
        `each` the losses (m,), and their gradients.

    Raises:
        ValueError: A and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> loss, dA = cgru.losses.huber(np.array([[0.5], [4.0]]), np.zeros((2, 1)))
        >>> loss, dA.tolist()  # (1/8 + 7/2) / 2
        (1.8125, [[0.25], [0.5]])
    """
    E = A.astype(np.float64) - Y
    G = np.clip(E, -delta, delta)
    return _average(G * (E - G / 2), G, A, weights, each)


def quantile(
    A: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    quantiles: tuple[float, ...] = (0.5,),
    *,
    each: bool = False,
) -> LossAndGrad:
    """Compute the pinball loss, max(q (Y - A), (q - 1) (Y - A)), averaged over samples and outputs.

    Its minimum is at the quantile q of Y (Koenker and Bassett, 1978, doi 10.2307/1913643).

    Args:
        A: (m, targets x quantiles) the outputs: all quantiles of a target stand side by side.
        Y: (m, targets) the targets.
        weights: (m,) the weights of the rows; None: all alike.
        quantiles: the levels q, between 0 and 1.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA, of the shape of A. With `each` the losses (m,), and their gradients.

    Raises:
        ValueError: A has not a column for each quantile of each target, or the weights are not (m,).

    Examples:
        >>> loss, dA = cgru.losses.quantile(np.array([[0.0, 2.0]]), np.array([[1.0]]), quantiles=(0.1, 0.9))
        >>> round(loss, 4), dA.round(4).tolist()
        (0.1, [[-0.05, 0.05]])
    """
    q = np.tile(quantiles, Y.shape[1])
    E = np.repeat(Y, len(quantiles), axis=1) - A.astype(np.float64)
    return _average(np.maximum(q * E, (q - 1) * E), (E < 0) - q * (E != 0), A, weights, each)


def poisson(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False) -> LossAndGrad:
    """Compute the Poisson loss, exp(A) - Y A, averaged over samples and outputs.

    It is -log of the probability of counts Y at rates exp(A), up to a constant.

    Args:
        A: (m, k) the logarithms of the rates.
        Y: (m, k) the counts, at least 0.
        weights: (m,) the weights of the rows; None: all alike.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA (m, k), exp(A) - Y over the count. With `each` the losses (m,), and
        their gradients.

    Raises:
        ValueError: A and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> loss, dA = cgru.losses.poisson(np.array([[0.0], [0.0]]), np.array([[1.0], [3.0]]))
        >>> loss, dA.tolist()
        (1.0, [[0.0], [-1.0]])
    """
    rate = np.exp(A, dtype=np.float64)
    return _average(rate - Y * A, rate - Y, A, weights, each)


def gaussian(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False) -> LossAndGrad:
    """Compute the Gaussian negative log-likelihood, with predicted mean and log-variance v, up to a constant.

    The loss is (v + (Y - mean)^2 / exp(v)) / 2, averaged over samples and targets (Nix and Weigend, 1994, doi
    10.1109/ICNN.1994.374138).

    Args:
        A: (m, 2 x targets) the outputs: mean and log-variance of a target stand side by side.
        Y: (m, targets) the targets.
        weights: (m,) the weights of the rows; None: all alike.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dA, of the shape of A. With `each` the losses (m,), and their gradients.

    Raises:
        ValueError: A has not two columns for each target, or the weights are not (m,).

    Examples:
        >>> cgru.losses.gaussian(np.array([[0.0, 0.0]]), np.array([[1.0]]))  # a standard normal density, at 1
        (0.5, array([[-1.,  0.]]))
    """
    mean, v = np.moveaxis(A.reshape(*Y.shape, 2).astype(np.float64), 2, 0)
    precision, E = np.exp(-v), mean - Y
    G = np.stack([E * precision, (1 - E * E * precision) / 2], axis=2)
    return _average((v + E * E * precision) / 2, G.reshape(A.shape), A, weights, each)


def smoothed(Y: np.ndarray, smoothing: float) -> np.ndarray:
    """Return targets Y (m, k) after label smoothing: Y (1 - smoothing) + smoothing / k (arXiv:1512.00567)."""
    return Y * (1 - smoothing) + smoothing / Y.shape[1]


def _average(values: np.ndarray, G: np.ndarray, A: np.ndarray, weights: np.ndarray | None, each: bool) -> LossAndGrad:
    """Average float64 losses (m, n) and their gradients G, weighted by row; the gradient gets the dtype of A.

    With `each` average only within each row: values (m,) and the gradients of these.
    """
    if G.shape != A.shape:
        raise ValueError(f"Y: expected targets that fit outputs {A.shape}, got some that make gradients {G.shape}")
    m, n = values.shape
    if each:
        return values.mean(axis=1), (G / n).astype(A.dtype)
    w, total = (1, m) if weights is None else (weights[:, None], float(weights.sum()))
    total = total * n or 1.0
    return float((w * values).sum() / total), (w * G / total).astype(A.dtype)


# --- from before the activation, for the pairs whose gradient is A - Y there: (loss, dL/dZ) ---


def softmax_cross_entropy(
    Z: np.ndarray,
    Y: np.ndarray,
    A: np.ndarray | None = None,
    temperature: float = 1.0,
    weights: np.ndarray | None = None,
    smoothing: float = 0.0,
    *,
    each: bool = False,
) -> LossAndGrad:
    """Compute the cross-entropy of softmax(Z / temperature) from Z itself, by log-sum-exp without overflow.

    Args:
        Z: (m, k) the outputs before the activation.
        Y: (m, k) the targets, rows of sum 1.
        A: softmax(Z / temperature), if the caller has it already.
        temperature: that of the softmax.
        weights: (m,) the weights of the rows; None: all alike.
        smoothing: as for `cross_entropy`.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dZ (m, k), (A - Y) / temperature over m. With `each` the losses (m,), and
        their gradients.

    Raises:
        ValueError: Z and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> loss, dZ = cgru.losses.softmax_cross_entropy(np.array([[1000.0, 0.0]]), np.array([[1.0, 0.0]]))
        >>> loss, dZ.tolist()
        (0.0, [[0.0, 0.0]])
    """
    Y = smoothed(Y, smoothing)
    if A is None:
        A = softmax(Z, se_hPars={"softmax_temperature": temperature})
    z = (Z - Z.max(axis=1, keepdims=True)).astype(np.float64) / temperature
    values = np.log(np.exp(z).sum(axis=1, keepdims=True)) - (Y * z).sum(axis=1, keepdims=True)
    return _average(values, (A - Y) / temperature, Z, weights, each)


def sigmoid_cross_entropy(
    Z: np.ndarray,
    Y: np.ndarray,
    A: np.ndarray | None = None,
    temperature: float = 1.0,
    weights: np.ndarray | None = None,
    *,
    each: bool = False,
) -> LossAndGrad:
    """Compute the binary cross-entropy of sigmoid(Z) from Z itself, averaged over samples and outputs.

    It is computed as max(Z, 0) - Z Y + log(1 + exp(-|Z|)), which does not overflow.

    Args:
        Z: (m, k) the outputs before the activation.
        Y: (m, k) the targets, from 0 to 1.
        A: sigmoid(Z), if the caller has it already.
        temperature: ignored; it belongs to softmax.
        weights: (m,) the weights of the rows; None: all alike.
        each: whether to return the loss of each row, without the weights.

    Returns:
        The loss, a float, and its gradient dL/dZ (m, k), A - Y over the count. With `each` the losses (m,), and their
        gradients.

    Raises:
        ValueError: Z and Y differ in shape, or the weights are not (m,).

    Examples:
        >>> loss, dZ = cgru.losses.sigmoid_cross_entropy(np.array([[0.0]]), np.array([[1.0]]))
        >>> round(loss, 4), dZ.tolist()
        (0.6931, [[-0.5]])
    """
    if A is None:
        A = sigmoid(Z)
    z = Z.astype(np.float64)
    return _average(np.maximum(z, 0) - z * Y + np.log1p(np.exp(-np.abs(z))), A - Y, Z, weights, each)


def _log_softmax_cross_entropy(
    Z: np.ndarray, Y: np.ndarray, A: np.ndarray, _: float, *arguments: Any, each: bool
) -> LossAndGrad:
    """Compute the cross-entropy of an output layer with log_softmax from its linear outputs Z."""
    return softmax_cross_entropy(Z, Y, np.exp(A), 1.0, *arguments, each=each)


# --- each loss as an object ---


class Loss:
    """A loss function with its parameters, and its properties that other code needs; `named` returns one.

    Called with outputs, targets and weights it returns its value and dL/dA, as the functions above do. `name` is the
    canonical name, with the numbers in parentheses. `given` is what a `Network` stores as its `loss`: the name, or the
    user's callable.

    A new loss is its function, a subclass, a place in `LOSSES`, and its C code in simd/loss.h.
    """

    function: ClassVar[Function]
    default: ClassVar[tuple[float, ...]] = ()  # the numbers if the name has none
    # For a loss with numbers: how they are written, which are allowed, and the check of that.
    takes: ClassVar[tuple[str, str, Callable[[tuple[float, ...]], bool]] | None] = None
    classifies: ClassVar[bool] = False  # whether it has an accuracy
    takes_class_numbers: ClassVar[bool] = False  # whether a target may be an integer, one of k classes
    can_standardize: ClassVar[bool] = True  # whether targets may be standardised, and outputs scaled back
    can_shrink: ClassVar[bool] = False  # whether outputs may be shrunk towards the mean
    predicts_mean: ClassVar[bool] = True  # whether the point prediction is the mean of the target, not of its middle
    # The activations that a head may have; empty: any. The first of `LOSSES` that suits one is its default. Value: the
    # loss from Z.
    suits: ClassVar[dict[Activation, Function | None]] = {}
    suffixes: Sequence[str] = ("",)  # name suffix of each output of one target
    middle = 0  # index of the output that is the point prediction of its target
    quantiles: Sequence[float] = ()  # the level of each output of one target, where these are quantiles

    def __init__(self, numbers: tuple[float, ...] = ()) -> None:
        """Set the numeric parameters of the loss, such as delta; an empty tuple means the defaults."""
        self.numbers = numbers or self.default
        name = self.function.__name__
        self.name = name if self.numbers == self.default else f"{name}({', '.join(map(repr, self.numbers))})"
        self.given: str | Function = self.name
        self.arguments: tuple[Any, ...] = self.numbers

    def __str__(self) -> str:
        return str(self.given)

    # --- its value ---

    def __call__(
        self, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
    ) -> LossAndGrad:
        """Return (loss, dL/dA) of outputs A for targets Y, weighted by row; with `each` the loss of each row."""
        return self.function(A, Y, weights, *self.arguments, each=each)

    def of_head(
        self, head: Any, Z: np.ndarray, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None,
        *, each: bool = False,
    ) -> tuple[Any, np.ndarray | None, np.ndarray | None]:  # fmt: skip
        """Return (loss, dL/dZ, dL/dA) of an output layer; one of the two gradients is None.

        dL/dZ is returned if loss and activation are a pair with a closed form for it.
        """
        pair = self.suits.get(ours(head.activate))
        if pair is not None:
            temperature = parameter(head.se_hPars, "softmax_temperature")
            return *pair(Z, Y, A, temperature, weights, *self.arguments, each=each), None
        value, dA = self(A, Y, weights, each=each)
        return value, None, dA

    @property
    def scored(self) -> Loss:
        """Return the loss that validation and `evaluate` report: this loss without its training-only parts."""
        return self

    @property
    def code(self) -> int | None:
        """Return the loss's number in simd/cgru.h; None if the compiled code does not have it."""
        return 1 + [*LOSSES].index(self.function.__name__)

    def terms(self, k: int) -> int:
        """Return how many values are averaged in the loss of one row of k outputs."""
        return k

    # --- its outputs ---

    @property
    def outputs(self) -> int:
        """Return the number of outputs for one target."""
        return len(self.suffixes)

    def output_names(self, targets: Sequence[str]) -> list[str]:
        """Return a name for each output: its target's name and a suffix such as "_mean"."""
        return [target + suffix for target in targets for suffix in self.suffixes]

    def targets(self, k: int) -> int | None:
        """Return how many targets a row has for k outputs; None: any number."""
        return k // self.outputs

    def point(self, A: np.ndarray) -> np.ndarray:
        """Return the point prediction of each target (its mean, rate or median) from the outputs A (..., k)."""
        return A.reshape(*A.shape[:-1], -1, self.outputs)[..., self.middle]

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """Compare the uncertainty that outputs A (n, outputs) predict with how often a target y (n,) agreed.

        {} if the only output is the target itself. `metrics` is `sklearn.metrics`.
        """
        return {}

    def scaling(self, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (factor, shift), each (k,), that convert the outputs for standardised targets to outputs for y."""
        return np.repeat(scale, self.outputs), np.repeat(mean, self.outputs)

    def check(self, activate: Activation, k: int) -> None:
        """Raise ValueError if an output layer of k units with this activation does not fit the loss."""
        if k % self.outputs:
            raise ValueError(f"loss: expected a head of {self.outputs} units for each target of {self}, got {k}")
        known = ours(activate)
        if self.suits and known is not None and known not in self.suits:
            names = " or ".join(f'activate="{f.__name__}"' for f in self.suits)
            raise ValueError(f"loss: expected a head with {names} for {self}, got {known.__name__}")

    def constant(self, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the constant outputs (k,), the same for all samples, that fit Y (m, n) best or nearly so."""
        return np.average(Y, axis=0, weights=weights)

    # --- its targets ---

    def check_targets(
        self, y: Any, m: int, k: int, name: str = "y", real: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Check the targets `y` of m samples; return (y in the compiled code's form, classes (m,) or None).

        Cross-entropy takes integers (m,) from 0 to k - 1, which stay integers, or class probabilities (m, k). Binary
        cross-entropy takes 0 and 1 (m,) or reals from 0 to 1 (m, k). Any other loss takes reals (m, targets), poisson
        those of at least 0. (m,) is accepted for (m, 1). The result is float64 (m, targets), or integers (m,); the
        classes are None if a target is not a class. TypeError or ValueError for anything else, NaN and infinity
        included.

        real: (m, s) booleans for outputs at all steps: which steps are not padding. Then each step has a target as a
        sample has otherwise. Padding of `y` is not read and is zero in the result, and the classes are None.
        """
        array, rows = checks.real(y, name), (m,) if real is None else real.shape
        n = self.targets(k) or (array.shape[-1] if array.ndim == len(rows) + 1 else 1)
        due = [rows, (*rows, n)] if n == 1 or self.takes_class_numbers else [(*rows, n)]
        if array.shape not in due:
            what = "" if real is None else ", a target for each step"
            raise ValueError(f"{name}: expected shape {' or '.join(map(str, due))}{what}, got {array.shape}")
        array = array if real is None else array[real]
        if array.dtype.kind == "f" and not checks.within(array):
            raise ValueError(f"{name}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        Y, classes = self._check_values(array, n, name)
        if real is None:
            return Y, classes
        at_steps = np.zeros((*rows, *Y.shape[1:]), Y.dtype)
        at_steps[real] = Y
        return at_steps, None

    def _check_values(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Check finite targets, n per row; return (the targets in the compiled code's form, classes or None)."""
        return array.reshape(len(array), n).astype(np.float64), None

    # --- its classes ---

    def predicts_one_class(self, k: int) -> bool:
        """Return whether k outputs together predict one class label."""
        return self.takes_class_numbers or (self.classifies and k == 1)

    def classes_in(self, Y: np.ndarray) -> np.ndarray | None:
        """Return the class of each row or step of checked targets; None if a target is not a class."""
        return None

    def classes(self, A: np.ndarray) -> np.ndarray:
        """Return the predicted classes: 1 where an output A (..., k) exceeds 0.5, else 0; shape (...) for k = 1."""
        predicted = (A > 0.5).astype(np.intp)
        return predicted[..., 0] if A.shape[-1] == 1 else predicted

    def hits(self, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> float | None:
        """Return how many rows of A (m, k) predict the right class; None for a loss without classes.

        Of several binary outputs each counts by its share of a row. With weights (m,) return the weight of the correct
        rows.
        """
        if not self.classifies:
            return None
        right = self.classes(A) == self.classes(Y)
        right = right if right.ndim == 1 else right.mean(axis=1)
        return float((right if weights is None else weights * right).sum())


_REGRESSION_HINT = 'numbers to predict need a head with activate="identity"'


class _ClassificationLoss(Loss):
    """A loss whose targets are classes or probabilities."""

    classifies = True
    can_standardize = False
    cure: ClassVar[str]  # the hint of the error for integers that are too large

    def _check_range(self, array: np.ndarray, top: int, name: str) -> None:
        """Raise ValueError if a target is not from 0 to `top`."""
        if not checks.within(array, 0, top):
            wrong = array[(array < 0) | (array > top)]
            what, cure = ("integers", self.cure) if array.dtype.kind in "iub" else ("reals", _REGRESSION_HINT)
            raise ValueError(f"{name}: expected {what} from 0 to {top} for {self}, got {wrong[0]}; {cure}")


class _CrossEntropy(_ClassificationLoss):
    function = staticmethod(cross_entropy)
    default = (0.0,)
    takes = "smoothing", "0 <= smoothing < 1", lambda numbers: len(numbers) == 1 and 0 <= numbers[0] < 1
    takes_class_numbers = True
    suits: ClassVar = {softmax: softmax_cross_entropy, log_softmax: _log_softmax_cross_entropy}
    cure = "N classes need a head of N units"

    @property
    def scored(self) -> Loss:
        """Return the cross-entropy without label smoothing."""
        return _CrossEntropy()

    def terms(self, k: int) -> int:
        """Return 1: the loss of a row is one value, not a mean."""
        return 1

    def check(self, activate: Activation, k: int) -> None:
        """Raise ValueError if the activation does not fit the loss, or the output layer has one unit."""
        super().check(activate, k)
        if k < 2:
            other = binary_cross_entropy.__name__
            raise ValueError(f"loss: expected a head of at least 2 units for {self}, got 1 (see {other})")

    def _check_values(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Check class numbers (m,) or probabilities (m, n); return (the targets, the classes or None)."""
        if array.ndim == 1 and array.dtype.kind not in "iub":
            due = f"integers (m,) or class probabilities (m, {n})"
            raise TypeError(f"{name}: expected {due}, got {array.dtype} (m,); {_REGRESSION_HINT}")
        self._check_range(array, n - 1 if array.ndim == 1 else 1, name)
        if array.ndim == 1:
            classes = array.astype(np.intp)
            return classes, classes
        sums = array.sum(axis=1, dtype=np.float64)
        wrong = sums[np.abs(sums - 1) > 1e-3]
        if wrong.size:
            due = "class probabilities, each row with sum 1"
            raise ValueError(f"{name}: expected {due}, got a row with sum {wrong[0]:.6g}")
        return array / sums[:, None], None

    def classes_in(self, Y: np.ndarray) -> np.ndarray | None:
        """Return the targets if they are class numbers; None for probabilities."""
        return Y if Y.dtype.kind == "i" else None

    def classes(self, A: np.ndarray) -> np.ndarray:
        """Return the predicted class of outputs A (..., k): the index of the largest output."""
        return A.argmax(axis=-1)


class _BinaryCrossEntropy(_ClassificationLoss):
    function = staticmethod(binary_cross_entropy)
    suits: ClassVar = {sigmoid: sigmoid_cross_entropy, softmax: None}
    cure = f'N classes need a head of N units with activate="softmax", {_REGRESSION_HINT}'

    def _check_values(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Check targets from 0 to 1; return (targets as float64, classes (m,) for one integer output, else None)."""
        self._check_range(array, 1, name)
        whole = array.dtype.kind in "iub" and n == 1
        return super()._check_values(array, n, name)[0], array.ravel().astype(np.intp) if whole else None

    def classes_in(self, Y: np.ndarray) -> np.ndarray | None:
        """Return the class, 0 or 1, of each row or step of Y (..., 1); None for several outputs or other values."""
        return Y[..., 0].astype(np.intp) if Y.shape[-1] == 1 and np.isin(Y, (0, 1)).all() else None


def _quantiles(Y: np.ndarray, levels: Sequence[float], weights: np.ndarray | None) -> np.ndarray:
    """Return the weighted quantiles, at these levels, of each column of Y (m, n)."""
    order = Y.argsort(axis=0)
    shares = (np.ones(len(Y)) if weights is None else weights)[order].cumsum(axis=0)
    rows = [(shares < level * shares[-1]).sum(axis=0) for level in levels]
    return np.take_along_axis(np.take_along_axis(Y, order, axis=0), np.array(rows), axis=0).T.ravel()


class _MeanSquaredError(Loss):
    function = staticmethod(mean_squared_error)
    can_shrink = True


class _Huber(Loss):
    function = staticmethod(huber)
    default = (1.0,)
    takes = "delta", "delta > 0", lambda numbers: len(numbers) == 1 and 0 < numbers[0] < np.inf
    can_shrink = True
    predicts_mean = False

    def constant(self, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the medians (k,), which the best constants approach as delta becomes small."""
        return _quantiles(Y, (0.5,), weights)


class _Quantile(Loss):
    function = staticmethod(quantile)
    default = (0.5,)
    takes = "q, ...", "0 < q < 1, rising", lambda numbers: all(a < b for a, b in pairwise((0, *numbers, 1)))
    predicts_mean = False

    def __init__(self, numbers: tuple[float, ...] = ()) -> None:
        """Set the quantile levels `numbers`; the one nearest to the median is the point prediction."""
        super().__init__(numbers)
        self.suffixes = [f"_{q:g}" for q in self.numbers]
        self.middle = int(np.abs(np.subtract(self.numbers, 0.5)).argmin())  # the quantile nearest the median
        self.quantiles = self.numbers
        self.arguments = (self.numbers,)

    def constant(self, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the quantiles (k,) of each target."""
        return _quantiles(Y, self.numbers, weights)

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """Return the fraction of targets at or below each quantile, and between the lowest and the highest."""
        q = self.numbers
        below = [{"promised": level, "found": float((y <= a).mean())} for level, a in zip(q, A.T, strict=True)]
        inside = (A[:, 0] <= y) & (y <= A[:, -1])
        between = {"promised": q[-1] - q[0], "found": float(inside.mean())}
        return {"quantiles": below} | ({"between": between} if len(q) > 1 else {})


class _Poisson(Loss):
    function = staticmethod(poisson)
    suffixes = ("_log_rate",)
    can_standardize = False

    def point(self, A: np.ndarray) -> np.ndarray:
        """Return the predicted rates exp(A)."""
        return np.exp(super().point(A))

    def constant(self, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the logarithm (k,) of the mean of Y, which is taken as at least 1e-3."""
        return np.log(np.maximum(super().constant(Y, weights), 1e-3))

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """Return the mean deviance, and the dispersion: the mean of squared error / rate, which should be 1."""
        rate = np.maximum(np.exp(A[:, 0]), np.finfo(np.float64).tiny)
        return {
            "deviance": metrics.mean_poisson_deviance(y, rate),
            "dispersion": (np.square(y - rate) / rate).mean(),
        }

    def check_targets(
        self, y: Any, m: int, k: int, name: str = "y", real: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Check that all targets are at least 0; return (the targets as float64, None)."""
        Y, _ = super().check_targets(y, m, k, name, real)
        for at in np.argwhere(Y < 0)[:1]:
            place = ", ".join(map(str, at[: np.ndim(y)]))
            raise ValueError(f"{name}[{place}]: expected a number of at least 0 for {self}, got {Y[tuple(at)]}")
        return Y, None


class _Gaussian(Loss):
    function = staticmethod(gaussian)
    suffixes = ("_mean", "_log_variance")

    def terms(self, k: int) -> int:
        """Return the number of targets; each has a mean and a variance."""
        return k // 2

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """Return the fraction of targets in central intervals, and the standard deviation of the scaled errors."""
        from statistics import NormalDist  # which takes a while to import

        z = (y - A[:, 0]) * np.exp(-A[:, 1] / 2)
        limits = [NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS]
        found = [float((np.abs(z) <= limit).mean()) for limit in limits]
        return {
            "intervals": [{"promised": p, "found": f} for p, f in zip(LEVELS, found, strict=True)],
            "deviation": np.sqrt(np.square(z).mean()),
        }

    def constant(self, Y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the mean and the log-variance of each target, as constant outputs (k,)."""
        mean = super().constant(Y, weights)
        variance = np.maximum(super().constant(np.square(Y - mean), weights), np.finfo(np.float64).tiny)
        return np.stack([mean, np.log(variance)], axis=1).ravel()

    def scaling(self, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (factor, shift) that scale predicted means back and add 2 log(scale) to log-variances."""
        pairs = np.stack([scale, np.ones_like(scale)], axis=1), np.stack([mean, 2 * np.log(scale)], axis=1)
        return pairs[0].ravel(), pairs[1].ravel()


class _UserLoss(Loss):
    """A loss defined by the user's callable: loss(A, Y) -> (losses of the rows (m,), their gradients (m, k))."""

    can_shrink = True
    code = None

    def __init__(self, given: Function) -> None:
        """Wrap the user-defined loss function."""
        self.given, self.numbers, self.name = given, (), getattr(given, "__name__", "a function")

    def __call__(
        self, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
    ) -> LossAndGrad:
        """Return (loss, dL/dA) of the user-defined loss; ValueError if its values or gradients have wrong shapes."""
        values, G = self.given(A, Y)
        values, G = np.asarray(values, np.float64), np.asarray(G)
        if values.shape != A.shape[:1] or G.shape != A.shape:
            due = f"values {A.shape[:1]} and gradients {A.shape}"
            raise ValueError(f"loss: expected {due} from {self.given!r}, got {values.shape} and {G.shape}")
        return _average(values[:, None], G, A, weights, each)

    def targets(self, k: int) -> int | None:
        """Return None: a user-defined loss may have any number of targets."""
        return None


# --- the loss for a name ---

# By name, in the order of the enum in simd/cgru.h.
LOSSES: dict[str, type[Loss]] = {
    kind.function.__name__: kind
    for kind in (_CrossEntropy, _BinaryCrossEntropy, _MeanSquaredError, _Huber, _Quantile, _Poisson, _Gaussian)
}
SHORT = {"mse": mean_squared_error.__name__}


def named(loss: Any) -> Loss:
    """Return the `Loss` for a name such as "huber(0.5)", or for a user-defined callable.

    A `Loss` is returned as it is. ValueError for an unknown name, and for numbers that the loss does not take.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return _UserLoss(loss)
    found = _known(loss) if isinstance(loss, str) else None
    if found is None:
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, a callable or None, got {loss!r}")
    return found


@functools.lru_cache
def _known(loss: str) -> Loss | None:
    """Return the loss for a name such as "huber" or "huber(0.5)"; None for an unknown name."""
    found = re.fullmatch(r"(\w+)(?:\(([^()]+)\))?", SHORT.get(loss, loss))
    if not found or found[1] not in LOSSES:
        return None
    try:
        numbers = tuple(map(float, found[2].split(","))) if found[2] else ()
    except ValueError:
        return None
    kind = LOSSES[found[1]]
    if numbers and not (kind.takes and kind.takes[2](numbers)):
        due = f'"{found[1]}({kind.takes[0]})" with {kind.takes[1]}' if kind.takes else f"{found[1]} without numbers"
        raise ValueError(f"loss: expected {due}, got {loss!r}")
    return kind(numbers)


def classifies(loss: Any) -> bool:
    """Return whether a network with this `loss` predicts classes; one without a loss (None) does not."""
    return loss is not None and named(loss).classifies


def chosen(loss: str | Function | None, activate: Activation, k: int) -> str | Function:
    """Return the name of the loss for an output layer of k units: `loss`, or the activation's default for None.

    One loss has one name: "mse" becomes "mean_squared_error", "huber(1)" becomes "huber", "huber(.5)" "huber(0.5)". A
    callable is returned as it is. ValueError for an unknown name, and for a loss that does not fit the head, such as a
    cross-entropy of outputs that are not probabilities.
    """
    if loss is None:
        known = ours(activate)
        loss = next((name for name, kind in LOSSES.items() if known in kind.suits), _MeanSquaredError())
    found = named(loss)
    found.check(activate, k)
    return found.given


def one_hot(Y: np.ndarray, k: int) -> np.ndarray:
    """Return targets as float64; integer classes (n,) become one-hot rows (n, k)."""
    if Y.ndim > 1:
        return Y
    rows = np.zeros((len(Y), k))
    rows[np.arange(len(Y)), Y] = 1
    return rows
