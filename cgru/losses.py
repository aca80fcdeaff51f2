"""The losses: each returns its value, averaged over the samples, and its gradient; and what they take as `y`.

m samples, k outputs, A (m, k) the head's outputs, Z (m, k) what they were before the activation, Y (m, k) the targets.
Where there are outputs at each of s steps, the real steps of all samples are the rows: a loss is averaged over them,
so that a long sample counts more than a short one. With weights w (m,) of the rows the average is
sum(w_i loss_i) / sum(w_i), and 0 where all of them are 0. With `each` nothing is averaged but the outputs of a row: the
value is (m,), float64, and the gradient that of each row by itself; weights are not looked at.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from cgru.activations import Activation, ours, parameter, sigmoid, softmax
from cgru.core import checks

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "gaussian",
    "huber",
    "mean_squared_error",
    "poisson",
    "quantile",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

Graded = tuple[Any, np.ndarray]  # a loss and its gradient
Function = Callable[..., Graded]
LEVELS = (0.5, 0.8, 0.9, 0.95)  # of a gaussian's intervals


# --- from the outputs, for any head: (loss, dL/dA) ---


def cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, smoothing: float = 0.0, *, each: bool = False
) -> Graded:
    """-sum(Y log A) / m, for probabilities A; those under the dtype's epsilon count as epsilon.

    With `smoothing` the targets are `smoothed`.
    """
    A, Y = np.maximum(A, np.finfo(A.dtype).eps), smoothed(Y, smoothing)
    return _mean(-(Y * np.log(A, dtype=np.float64)).sum(axis=1, keepdims=True), -Y / A, A, weights, each)


def binary_cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> Graded:
    """-mean(Y log A + (1 - Y) log(1 - A)) over samples and outputs, A kept the dtype's epsilon away from 0 and 1."""
    eps = np.finfo(A.dtype).eps
    A = np.clip(A, eps, 1 - eps)
    a = A.astype(np.float64)
    return _mean(-(Y * np.log(a) + (1 - Y) * np.log1p(-a)), (a - Y) / (a * (1 - a)), A, weights, each)


def mean_squared_error(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> Graded:
    """mean((A - Y)^2) over samples and outputs."""
    E = A - Y
    return _mean(np.square(E, dtype=np.float64), 2 * E, A, weights, each)


def huber(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, delta: float = 1.0, *, each: bool = False
) -> Graded:
    """(A - Y)^2 / 2 up to an error of delta, delta (|A - Y| - delta / 2) beyond; mean over samples and outputs."""
    E = A.astype(np.float64) - Y
    G = np.clip(E, -delta, delta)
    return _mean(G * (E - G / 2), G, A, weights, each)


def quantile(
    A: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    quantiles: tuple[float, ...] = (0.5,),
    *,
    each: bool = False,
) -> Graded:
    """max(q (Y - A), (q - 1) (Y - A)), whose least is at the quantile q of Y; mean over samples and outputs.

    Of each target all quantiles stand side by side: A is (m, targets x quantiles).
    """
    q = np.tile(quantiles, Y.shape[1])
    E = np.repeat(Y, len(quantiles), axis=1) - A.astype(np.float64)
    return _mean(np.maximum(q * E, (q - 1) * E), (E < 0) - q * (E != 0), A, weights, each)


def poisson(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False) -> Graded:
    """exp(A) - Y A: -log of the probability of counts Y at rates exp(A), but for a constant; mean over all outputs."""
    rate = np.exp(A, dtype=np.float64)
    return _mean(rate - Y * A, rate - Y, A, weights, each)


def gaussian(A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False) -> Graded:
    """(v + (Y - mean)^2 / exp(v)) / 2 with the log-variance v: -log of a normal density, but for a constant.

    Of each target mean and log-variance stand side by side: A is (m, 2 x targets). Mean over samples and targets.
    """
    mean, v = np.moveaxis(A.reshape(*Y.shape, 2).astype(np.float64), 2, 0)
    precision, E = np.exp(-v), mean - Y
    G = np.stack([E * precision, (1 - E * E * precision) / 2], axis=2)
    return _mean((v + E * E * precision) / 2, G.reshape(A.shape), A, weights, each)


def smoothed(Y: np.ndarray, smoothing: float) -> np.ndarray:
    """Return Y (1 - smoothing) + smoothing / k, for targets Y (m, k) (Szegedy et al., 2016, arXiv:1512.00567)."""
    return Y * (1 - smoothing) + smoothing / Y.shape[1] if smoothing else Y


def _mean(values: np.ndarray, G: np.ndarray, A: np.ndarray, weights: np.ndarray | None, each: bool) -> Graded:
    """The mean of values (m, n), by the weights of their rows, and its gradient from theirs, G, in the dtype of A.

    With `each` the mean of each row, (m,), and the gradients of these.
    """
    m, n = values.shape
    if each:
        return values.mean(axis=1, dtype=np.float64), (G / n).astype(A.dtype)
    w, total = (1, m) if weights is None else (weights[:, None], float(weights.sum()))
    total = total * n or 1.0
    return float((w * values).sum(dtype=np.float64) / total), (w * G / total).astype(A.dtype)


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
) -> Graded:
    """The cross-entropy of softmax(Z / temperature), by log-sum-exp: it neither overflows nor vanishes.

    Rows of Y sum to 1, and with `smoothing` are `smoothed`. A is softmax(Z / temperature) where the caller has it
    already.
    """
    Y = smoothed(Y, smoothing)
    if A is None:
        A = softmax(Z, se_hPars={"softmax_temperature": temperature})
    z = (Z - Z.max(axis=1, keepdims=True)).astype(np.float64) / temperature
    values = np.log(np.exp(z).sum(axis=1, keepdims=True)) - (Y * z).sum(axis=1, keepdims=True)
    return _mean(values, (A - Y) / temperature, Z, weights, each)


def sigmoid_cross_entropy(
    Z: np.ndarray,
    Y: np.ndarray,
    A: np.ndarray | None = None,
    temperature: float = 1.0,
    weights: np.ndarray | None = None,
    *,
    each: bool = False,
) -> Graded:
    """The binary cross-entropy of sigmoid(Z), as max(Z, 0) - Z Y + log(1 + exp(-|Z|)), averaged over all outputs.

    A is sigmoid(Z) where the caller has it already; `temperature` is softmax's alone and not looked at.
    """
    if A is None:
        A = sigmoid(Z)
    z = Z.astype(np.float64)
    return _mean(np.maximum(z, 0) - z * Y + np.log1p(np.exp(-np.abs(z))), A - Y, Z, weights, each)


# --- one object a loss, which says all about it ---


class Loss:
    """One loss with its numbers. Whoever has to know something about a loss asks this object, which `named` finds.

    Called with outputs, targets and weights it returns its value and dL/dA, as the functions above do. `name` is the
    canonical one, with the numbers in parentheses; `given` is what a `Network` has as its `loss`: the name, or the
    callable of the user.

    A new loss is its function, a subclass, a place in `LOSSES`, and its C code in simd/loss.h.
    """

    function: ClassVar[Function]
    default: ClassVar[tuple[float, ...]] = ()  # the numbers of the name alone
    # Of a loss with numbers: how they are written, which they may be, and whether some given ones are.
    takes: ClassVar[tuple[str, str, Callable[[tuple[float, ...]], bool]] | None] = None
    classifies: ClassVar[bool] = False  # whether it has an accuracy
    takes_class_numbers: ClassVar[bool] = False  # whether a target may be one of k classes, an integer
    can_standardize: ClassVar[bool] = True  # whether targets may be standardised, and outputs scaled back
    can_shrink: ClassVar[bool] = False  # whether outputs may be shrunk towards the mean
    # The activations of a head; none: any. The first takes this loss by default. A function: the loss from Z.
    suits: ClassVar[dict[Activation, Function | None]] = {}
    suffixes: Sequence[str] = ("",)  # what each output of one target is, as the end of a name
    middle = 0  # the output of a target that predicts its value

    def __init__(self, numbers: tuple[float, ...] = ()) -> None:
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
    ) -> Graded:
        return self.function(A, Y, weights, *self.arguments, each=each)

    def of_head(
        self, head: Any, Z: np.ndarray, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None,
        *, each: bool = False,
    ) -> tuple[Any, np.ndarray | None, np.ndarray | None]:  # fmt: skip
        """Return the loss, dL/dZ and dL/dA of the outputs A of `head`, a Dense; one of the gradients is None.

        dL/dZ is there where loss and activation are a pair that has one in closed form.
        """
        pair = self.suits.get(ours(head.activate))
        if pair is not None:
            temperature = parameter(head.se_hPars, "softmax_temperature")
            return *pair(Z, Y, A, temperature, weights, *self.arguments, each=each), None
        value, dA = self(A, Y, weights, each=each)
        return value, None, dA

    @property
    def scored(self) -> Loss:
        """Return the loss of which validation and `evaluate` tell: itself, but for what is there for training alone."""
        return self

    @property
    def code(self) -> int | None:
        """The number of the loss in simd/cgru.h; None where no compiled code computes it."""
        return 1 + [*LOSSES].index(self.function.__name__)

    def terms(self, k: int) -> int:
        """Return how many values the loss of one row averages, of k outputs."""
        return k

    # --- its outputs ---

    @property
    def outputs(self) -> int:
        """How many outputs one target has."""
        return len(self.suffixes)

    def output_names(self, targets: Sequence[str]) -> list[str]:
        """Return a name for each output: that of its target, with a suffix where the output is not the target."""
        return [target + suffix for target in targets for suffix in self.suffixes]

    def targets(self, k: int) -> int | None:
        """Return how many targets a row has, of k outputs; None: any number."""
        return k // self.outputs

    def point(self, A: np.ndarray) -> np.ndarray:
        """Return what outputs A (..., k) predict of each target: its mean, rate, median, or the output itself."""
        return A.reshape(*A.shape[:-1], -1, self.outputs)[..., self.middle]

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """Return what the outputs A (n, outputs) promise of one target y (n,), and what of it came true.

        {} where there is one output, the target itself. `metrics` is `sklearn.metrics`.
        """
        return {}

    def scaling(self, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and shift (k,) that bring the outputs for targets (y - mean) / scale to those for y."""
        return np.repeat(scale, self.outputs), np.repeat(mean, self.outputs)

    def check(self, activate: Activation, k: int) -> None:
        """Raise ValueError where a head of k units with this activation does not fit the loss."""
        if k % self.outputs:
            raise ValueError(f"loss: expected a head of {self.outputs} units for each target of {self}, got {k}")
        known = ours(activate)
        if self.suits and known is not None and known not in self.suits:
            names = " or ".join(f'activate="{f.__name__}"' for f in self.suits)
            raise ValueError(f"loss: expected a head with {names} for {self}, got {known.__name__}")

    # --- its targets ---

    def compact(
        self, y: Any, m: int, k: int, name: str = "y", real: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Check the targets `y` of m samples; return them as the compiled code takes them, and as classes (m,).

        Cross-entropy takes integers (m,) from 0 to k - 1, which stay integers, or class probabilities (m, k); binary
        cross-entropy 0 and 1 (m,) or reals from 0 to 1 (m, k); any other loss reals (m, targets), poisson those of at
        least 0. (m,) does for (m, 1). Returned are float64 (m, targets), or integers (m,), and None for the classes
        where a target is none. TypeError or ValueError for anything else, NaN and infinity among it.

        real: (m, s) booleans, of outputs at all steps: those that are no padding. What holds for a sample then holds
        for a step; `y` is not looked at elsewhere, and zero there in what is returned, without classes beside it.
        """
        array, rows = _numbers(y, name), (m,) if real is None else real.shape
        n = self.targets(k) or (array.shape[-1] if array.ndim == len(rows) + 1 else 1)
        due = [rows, (*rows, n)] if n == 1 or self.takes_class_numbers else [(*rows, n)]
        if array.shape not in due:
            what = "" if real is None else ", a target for each step"
            raise ValueError(f"{name}: expected shape {' or '.join(map(str, due))}{what}, got {array.shape}")
        array = array if real is None else array[real]
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        Y, classes = self._taken(array, n, name)
        if real is None:
            return Y, classes
        at_steps = np.zeros((*rows, *Y.shape[1:]), Y.dtype)
        at_steps[real] = Y
        return at_steps, None

    def _taken(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Check the finite targets in `array`, n a row; return what `compact` does."""
        return array.reshape(len(array), n).astype(np.float64), None

    # --- its classes ---

    def says_one(self, k: int) -> bool:
        """Return whether k outputs together say one class."""
        return self.takes_class_numbers or (self.classifies and k == 1)

    def classes_in(self, Y: np.ndarray) -> np.ndarray | None:
        """Return the class of each row or step of the targets that `compact` has checked; None where one has none."""
        return None

    def classes(self, A: np.ndarray) -> np.ndarray:
        """Return the classes that outputs A (..., k) say: 0 or 1, above 0.5, of each; of a single one (...)."""
        said = (A > 0.5).astype(np.intp)
        return said[..., 0] if A.shape[-1] == 1 else said

    def hits(self, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> float | None:
        """Return how many rows of A (m, k) are right; of several binary outputs each counts by its share of a row.

        With weights (m,) what those weigh that are right. None for a loss that has no classes.
        """
        if not self.classifies:
            return None
        right = self.classes(A) == self.classes(Y)
        right = right if right.ndim == 1 else right.mean(axis=1)
        return float((right if weights is None else weights * right).sum())


_NUMBERS = 'numbers to predict need a head with activate="identity"'


def _numbers(y: Any, name: str) -> np.ndarray:
    """Return `y` as real numbers; TypeError, with the way from names to numbers, for strings."""
    try:
        return checks.real(y, name)
    except TypeError:
        if np.asarray(y).dtype.kind not in "US":
            raise
        raise TypeError(
            f"{name}: expected real numbers, got strings; classes go by number: "
            f"class_names, {name} = np.unique({name}, return_inverse=True)"
        ) from None


class _OfClasses(Loss):
    """A loss whose targets are probabilities, or classes."""

    classifies = True
    can_standardize = False
    cure: ClassVar[str]  # for integers that are too large

    def _within(self, array: np.ndarray, top: int, name: str) -> None:
        """Raise ValueError where a target is not from 0 to `top`."""
        wrong = array[(array < 0) | (array > top)]
        if wrong.size:
            what, cure = ("integers", self.cure) if array.dtype.kind in "iub" else ("reals", _NUMBERS)
            raise ValueError(f"{name}: expected {what} from 0 to {top} for {self}, got {wrong[0]}; {cure}")


class _CrossEntropy(_OfClasses):
    function = staticmethod(cross_entropy)
    default = (0.0,)
    takes = "smoothing", "0 <= smoothing < 1", lambda numbers: len(numbers) == 1 and 0 <= numbers[0] < 1
    takes_class_numbers = True
    suits: ClassVar = {softmax: softmax_cross_entropy}
    cure = "N classes need a head of N units"

    @property
    def scored(self) -> Loss:
        return _CrossEntropy() if self.numbers[0] else self

    def terms(self, k: int) -> int:
        return 1

    def check(self, activate: Activation, k: int) -> None:
        super().check(activate, k)
        if k < 2:
            other = binary_cross_entropy.__name__
            raise ValueError(f"loss: expected a head of at least 2 units for {self}, got 1 (see {other})")

    def _taken(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        if array.ndim == 1 and array.dtype.kind not in "iub":
            due = f"integers (m,) or class probabilities (m, {n})"
            raise TypeError(f"{name}: expected {due}, got {array.dtype} (m,); {_NUMBERS}")
        self._within(array, n - 1 if array.ndim == 1 else 1, name)
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
        return Y if Y.dtype.kind == "i" else None

    def classes(self, A: np.ndarray) -> np.ndarray:
        """Return the class that outputs A (..., k) say, the place of the largest."""
        return A.argmax(axis=-1)


class _BinaryCrossEntropy(_OfClasses):
    function = staticmethod(binary_cross_entropy)
    suits: ClassVar = {sigmoid: sigmoid_cross_entropy, softmax: None}
    cure = f'N classes need a head of N units with activate="softmax", {_NUMBERS}'

    def _taken(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        self._within(array, 1, name)
        whole = array.dtype.kind in "iub" and n == 1
        return super()._taken(array, n, name)[0], array.reshape(-1).astype(np.intp) if whole else None

    def classes_in(self, Y: np.ndarray) -> np.ndarray | None:
        return Y[..., 0].astype(np.intp) if Y.shape[-1] == 1 and np.isin(Y, (0, 1)).all() else None


class _MeanSquaredError(Loss):
    function = staticmethod(mean_squared_error)
    can_shrink = True


class _Huber(Loss):
    function = staticmethod(huber)
    default = (1.0,)
    takes = "delta", "delta > 0", lambda numbers: len(numbers) == 1 and 0 < numbers[0] < np.inf
    can_shrink = True


class _Quantile(Loss):
    function = staticmethod(quantile)
    default = (0.5,)
    takes = "q, ...", "0 < q < 1", lambda numbers: all(0 < q < 1 for q in numbers)

    def __init__(self, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(numbers)
        self.suffixes = [f"_{q:g}" for q in self.numbers]
        self.middle = int(np.abs(np.subtract(self.numbers, 0.5)).argmin())  # the quantile nearest the median
        self.arguments = (self.numbers,)

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """How many targets are at most as large as each quantile, and lie between the outermost two."""
        q = self.numbers
        below = [{"promised": level, "found": float((y <= a).mean())} for level, a in zip(q, A.T, strict=True)]
        low, high = np.argmin(q), np.argmax(q)
        inside = (A[:, low] <= y) & (y <= A[:, high])
        between = {"promised": q[high] - q[low], "found": float(inside.mean())}
        return {"quantiles": below} | ({"between": between} if low != high else {})


class _Poisson(Loss):
    function = staticmethod(poisson)
    suffixes = ("_log_rate",)
    can_standardize = False

    def point(self, A: np.ndarray) -> np.ndarray:
        return np.exp(super().point(A))

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """The mean deviance, and the dispersion, which should be 1: the squared errors over the rates, on average."""
        rate = np.maximum(np.exp(A[:, 0]), np.finfo(np.float64).tiny)
        return {
            "deviance": metrics.mean_poisson_deviance(y, rate),
            "dispersion": (np.square(y - rate) / rate).mean(),
        }

    def _taken(self, array: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        if (array < 0).any():
            raise ValueError(f"{name}: expected numbers of at least 0 for {self}, got {array[array < 0][0]}")
        return super()._taken(array, n, name)


class _Gaussian(Loss):
    function = staticmethod(gaussian)
    suffixes = ("_mean", "_log_variance")

    def terms(self, k: int) -> int:
        return k // 2

    def certainty(self, y: np.ndarray, A: np.ndarray, metrics: Any) -> dict[str, Any]:
        """How many targets lie in central intervals, and the deviation of errors in units of the predicted one."""
        from statistics import NormalDist  # which takes a while to import

        z = (y - A[:, 0]) * np.exp(-A[:, 1] / 2)
        limits = [NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS]
        found = [float((np.abs(z) <= limit).mean()) for limit in limits]
        return {
            "intervals": [{"promised": p, "found": f} for p, f in zip(LEVELS, found, strict=True)],
            "deviation": np.sqrt(np.square(z).mean()),
        }

    def scaling(self, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = np.stack([scale, np.ones_like(scale)], axis=1), np.stack([mean, 2 * np.log(scale)], axis=1)
        return pairs[0].ravel(), pairs[1].ravel()


class _Own(Loss):
    """A callable of the user's: loss(A, Y) -> (the values of the rows (m,), their gradients (m, k))."""

    can_shrink = True
    code = None

    def __init__(self, given: Function) -> None:
        self.given, self.numbers, self.name = given, (), getattr(given, "__name__", "a function")

    def __call__(
        self, A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
    ) -> Graded:
        values, G = map(np.asarray, self.given(A, Y))
        if values.shape != A.shape[:1] or G.shape != A.shape:
            due = f"values {A.shape[:1]} and gradients {A.shape}"
            raise ValueError(f"loss: expected {due} from {self.given!r}, got {values.shape} and {G.shape}")
        return _mean(values[:, None], G, A, weights, each)

    def targets(self, k: int) -> int | None:
        return None


# --- which one is meant ---

# By name, in the order of the enum in simd/cgru.h.
LOSSES: dict[str, type[Loss]] = {
    kind.function.__name__: kind
    for kind in (_CrossEntropy, _BinaryCrossEntropy, _MeanSquaredError, _Huber, _Quantile, _Poisson, _Gaussian)
}
SHORT = {"mse": mean_squared_error.__name__}


def named(loss: Any) -> Loss:
    """Return the object of a loss that is given by its name, as "huber(0.5)" with numbers, or as a callable.

    A `Loss` is returned as it is. ValueError for an unknown name, and for numbers that the loss does not take.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return _Own(loss)
    found = _known(loss) if isinstance(loss, str) else None
    if found is None:
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, a callable or None, got {loss!r}")
    return found


@functools.lru_cache(64)
def _known(loss: str) -> Loss | None:
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
    """Return whether a network with this `loss` tells classes; None, of one without a head, does not."""
    return loss is not None and named(loss).classifies


def chosen(loss: str | Function | None, activate: Activation, k: int) -> str | Function:
    """Return the name of the loss for a head of `k` units: `loss`, or by the activation where it is None.

    One loss has one name: "mse" becomes "mean_squared_error", "huber(1)" becomes "huber", "huber(.5)" "huber(0.5)".
    A callable stays what it is. ValueError for an unknown name and for a pair that means nothing: a cross-entropy of
    what is no probability, half a target.
    """
    if loss is None:
        known = ours(activate)
        loss = next((name for name, kind in LOSSES.items() if known in [*kind.suits][:1]), _MeanSquaredError())
    found = named(loss)
    found.check(activate, k)
    return found.given


def spelled_out(Y: np.ndarray, k: int) -> np.ndarray:
    """Return targets as the losses take them, float64: classes (n,), which are integers, as rows (n, k) of 0 and 1."""
    if Y.ndim > 1:
        return Y
    rows = np.zeros((len(Y), k))
    rows[np.arange(len(Y)), Y] = 1
    return rows
