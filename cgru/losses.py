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
from typing import Any

import numpy as np

from cgru.activations import Activation, ours, sigmoid, softmax
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

Loss = Callable[..., tuple[Any, np.ndarray]]


# --- from the outputs, for any head: (loss, dL/dA) ---


def cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> tuple[Any, np.ndarray]:
    """-sum(Y log A) / m, for probabilities A; those under the dtype's epsilon count as epsilon."""
    A = np.maximum(A, np.finfo(A.dtype).eps)
    return _mean(-(Y * np.log(A, dtype=np.float64)).sum(axis=1, keepdims=True), -Y / A, A, weights, each)


def binary_cross_entropy(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> tuple[Any, np.ndarray]:
    """-mean(Y log A + (1 - Y) log(1 - A)) over samples and outputs, A kept the dtype's epsilon away from 0 and 1."""
    eps = np.finfo(A.dtype).eps
    A = np.clip(A, eps, 1 - eps)
    a = A.astype(np.float64)
    return _mean(-(Y * np.log(a) + (1 - Y) * np.log1p(-a)), (a - Y) / (a * (1 - a)), A, weights, each)


def mean_squared_error(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> tuple[Any, np.ndarray]:
    """mean((A - Y)^2) over samples and outputs."""
    E = A - Y
    return _mean(np.square(E, dtype=np.float64), 2 * E, A, weights, each)


def huber(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, delta: float = 1.0, *, each: bool = False
) -> tuple[Any, np.ndarray]:
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
) -> tuple[Any, np.ndarray]:
    """max(q (Y - A), (q - 1) (Y - A)), whose least is at the quantile q of Y; mean over samples and outputs.

    Of each target all quantiles stand side by side: A is (m, targets x quantiles).
    """
    q = np.tile(quantiles, Y.shape[1])
    E = np.repeat(Y, len(quantiles), axis=1) - A.astype(np.float64)
    return _mean(np.maximum(q * E, (q - 1) * E), (E < 0) - q * (E != 0), A, weights, each)


def poisson(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> tuple[Any, np.ndarray]:
    """exp(A) - Y A: -log of the probability of counts Y at rates exp(A), but for a constant; mean over all outputs."""
    rate = np.exp(A, dtype=np.float64)
    return _mean(rate - Y * A, rate - Y, A, weights, each)


def gaussian(
    A: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None, *, each: bool = False
) -> tuple[Any, np.ndarray]:
    """(v + (Y - mean)^2 / exp(v)) / 2 with the log-variance v: -log of a normal density, but for a constant.

    Of each target mean and log-variance stand side by side: A is (m, 2 x targets). Mean over samples and targets.
    """
    mean, v = np.moveaxis(A.reshape(*Y.shape, 2).astype(np.float64), 2, 0)
    precision, E = np.exp(-v), mean - Y
    G = np.stack([E * precision, (1 - E * E * precision) / 2], axis=2)
    return _mean((v + E * E * precision) / 2, G.reshape(A.shape), A, weights, each)


def of_rows(
    loss: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    A: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    each: bool = False,
) -> tuple[Any, np.ndarray]:
    """The mean of a loss of the user's own, loss(A, Y) -> (the values of the rows (m,), their gradients (m, k))."""
    values, G = map(np.asarray, loss(A, Y))
    if values.shape != A.shape[:1] or G.shape != A.shape:
        due = f"values {A.shape[:1]} and gradients {A.shape}"
        raise ValueError(f"loss: expected {due} from {loss!r}, got {values.shape} and {G.shape}")
    return _mean(values[:, None], G, A, weights, each)


def _mean(
    values: np.ndarray, G: np.ndarray, A: np.ndarray, weights: np.ndarray | None, each: bool
) -> tuple[Any, np.ndarray]:
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
    *,
    each: bool = False,
) -> tuple[Any, np.ndarray]:
    """The cross-entropy of softmax(Z / temperature), by log-sum-exp: it neither overflows nor vanishes.

    Rows of Y sum to 1. A is softmax(Z / temperature) where the caller has it already.
    """
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
) -> tuple[Any, np.ndarray]:
    """The binary cross-entropy of sigmoid(Z), as max(Z, 0) - Z Y + log(1 + exp(-|Z|)), averaged over all outputs.

    A is sigmoid(Z) where the caller has it already; `temperature` is softmax's alone and not looked at.
    """
    if A is None:
        A = sigmoid(Z)
    z = Z.astype(np.float64)
    return _mean(np.maximum(z, 0) - z * Y + np.log1p(np.exp(-np.abs(z))), A - Y, Z, weights, each)


# --- which one is meant ---

CLASSIFYING = ("cross_entropy", "binary_cross_entropy")  # those with an accuracy
LOSSES: dict[str, Loss] = {
    f.__name__: f for f in (cross_entropy, binary_cross_entropy, mean_squared_error, huber, quantile, poisson, gaussian)
}
SHORT = {"mse": "mean_squared_error"}
NUMBERS = {"huber": (1.0,), "quantile": (0.5,)}  # by the name alone
CANONICAL: dict[tuple[str, Activation], Loss] = {
    ("cross_entropy", softmax): softmax_cross_entropy,
    ("binary_cross_entropy", sigmoid): sigmoid_cross_entropy,
}


def named(loss: str | Loss) -> Loss:
    """The function (A, Y, weights, each) of a loss by its name, "huber(0.5)" and "quantile(0.1, 0.9)" with numbers.

    One of the user's own is averaged. ValueError for an unknown name, and for numbers that it does not take.
    """
    if callable(loss):
        return functools.partial(of_rows, loss)
    name, numbers = parts(loss)
    if not numbers:
        return LOSSES[name]
    if name == "huber" and len(numbers) == 1 and 0 < numbers[0] < np.inf:
        return functools.partial(huber, delta=numbers[0])
    if name == "quantile" and all(0 < q < 1 for q in numbers):
        return functools.partial(quantile, quantiles=numbers)
    raise ValueError(f'loss: expected "huber(delta)" with delta > 0 or "quantile(q, ...)" with 0 < q < 1, got {loss!r}')


def parts(loss: Any) -> tuple[str, tuple[float, ...]]:
    """The name of a loss and its numbers: those in its parentheses, or those that it has without any."""
    found = _parts(loss) if isinstance(loss, str) else None
    if found is None:
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, a callable or None, got {loss!r}")
    return found


@functools.lru_cache(64)
def _parts(loss: str) -> tuple[str, tuple[float, ...]] | None:
    found = re.fullmatch(r"(\w+)(?:\(([^()]+)\))?", loss)
    if not found or found[1] not in LOSSES:
        return None
    try:
        numbers = tuple(map(float, found[2].split(","))) if found[2] else ()
    except ValueError:
        return None
    return found[1], numbers or NUMBERS.get(found[1], ())


def outputs(loss: str | Loss) -> int:
    """How many outputs one target has: so many quantiles, or mean and log-variance."""
    return len(_suffixes(loss))


def output_names(loss: str | Loss, targets: Sequence[str]) -> list[str]:
    """Return a name for each output: that of its target, with a suffix where the output is not the target itself."""
    return [target + suffix for target in targets for suffix in _suffixes(loss)]


def _suffixes(loss: str | Loss) -> Sequence[str]:
    """What each output of one target is, as the end of a name."""
    if callable(loss):
        return ("",)
    name, numbers = parts(loss)
    levels = [f"_{q:g}" for q in numbers]
    found = {"quantile": levels, "gaussian": ("_mean", "_log_variance"), "poisson": ("_log_rate",)}
    return found.get(name, ("",))


def point(A: np.ndarray, loss: str | Loss) -> np.ndarray:
    """What outputs A (..., k) say of each target: the quantile nearest the median, the mean, the rate, or A itself."""
    middle = 0
    if isinstance(loss, str) and loss.startswith("quantile"):
        middle = int(np.abs(np.subtract(parts(loss)[1], 0.5)).argmin())
    A = A.reshape(*A.shape[:-1], -1, outputs(loss))[..., middle]
    return np.exp(A) if loss == "poisson" else A


def chosen(loss: str | Loss | None, activate: Activation, k: int) -> str | Loss:
    """Return the name of the loss for a head of `k` units: `loss`, or by the activation where it is None.

    One loss has one name: "mse" becomes "mean_squared_error", "huber(1)" becomes "huber", "huber(.5)" "huber(0.5)".
    A callable stays what it is. ValueError for an unknown name and for a pair that means nothing: a cross-entropy of
    what is no probability, half a target.
    """
    known = ours(activate)
    if loss is None:
        loss = {softmax: "cross_entropy", sigmoid: "binary_cross_entropy"}.get(known, "mean_squared_error")
    if isinstance(loss, str):
        loss = SHORT.get(loss, loss)
    named(loss)
    if callable(loss):
        return loss
    name, numbers = parts(loss)
    loss = name if numbers == NUMBERS.get(name, ()) else f"{name}({', '.join(map(repr, numbers))})"
    if k % outputs(loss):
        raise ValueError(f"loss: expected a head of {outputs(loss)} units for each target of {loss}, got {k}")
    fits = {"cross_entropy": (softmax,), "binary_cross_entropy": (sigmoid, softmax)}.get(loss)
    if fits and known is not None and known not in fits:
        names = " or ".join(f'activate="{f.__name__}"' for f in fits)
        raise ValueError(f"loss: expected a head with {names} for {loss}, got {known.__name__}")
    if loss == "cross_entropy" and k < 2:
        raise ValueError(
            "loss: expected a head of at least 2 units for cross_entropy, got 1 (see binary_cross_entropy)"
        )
    return loss


def targets(y: Any, m: int, k: int, loss: str, name: str = "y") -> tuple[np.ndarray, np.ndarray | None]:
    """`y` as Y (m, k) float64, and as integer classes (m,) where it gives them, else None.

    cross_entropy takes integers (m,) from 0 to k - 1 or class probabilities (m, k); binary_cross_entropy 0 and 1 (m,)
    or reals from 0 to 1 (m, k); any other reals (m, k), poisson those of at least 0. (m,) does for (m, k) where k is 1.
    Where a target has several outputs k counts the targets here; a callable gets any number of them, (m, n). TypeError
    or ValueError for anything else, NaN and infinity among it.
    """
    Y, classes = compact(y, m, k, loss, name)
    return spelled_out(Y, k), classes


def spelled_out(Y: np.ndarray, k: int) -> np.ndarray:
    """Targets as the losses take them, float64: classes (n,), which are integers, as rows (n, k) of 0 and 1."""
    if Y.ndim > 1:
        return Y
    rows = np.zeros((len(Y), k))
    rows[np.arange(len(Y)), Y] = 1
    return rows


def _numbers(y: Any, name: str) -> np.ndarray:
    """`y` as real numbers; TypeError, with the way from names to numbers, for strings."""
    try:
        return checks.real(y, name)
    except TypeError:
        if np.asarray(y).dtype.kind not in "US":
            raise
        raise TypeError(
            f"{name}: expected real numbers, got strings; classes go by number: "
            f"class_names, {name} = np.unique({name}, return_inverse=True)"
        ) from None


def step_targets(y: Any, real: np.ndarray, k: int, loss: str, name: str = "y") -> np.ndarray:
    """`y` for outputs at all steps: integer classes (m, s), else float64 (m, s, k).

    real: (m, s) booleans, the steps that are no padding; `y` is not looked at elsewhere, and zero there in the result.

    What `targets` takes for a sample holds here for a step: cross_entropy takes integers (m, s) or probabilities
    (m, s, k), and so on.
    """
    array = _numbers(y, name)
    units, k = k, _targets(array, 2, k, loss)
    flat = array.ndim == 2 and (k == 1 or loss == "cross_entropy")
    if array.shape != (*real.shape, k) and not (flat and array.shape == real.shape):
        m, s = real.shape
        due = f"({m}, {s}) or ({m}, {s}, {k})" if k == 1 or loss == "cross_entropy" else f"({m}, {s}, {k})"
        raise ValueError(f"{name}: expected shape {due}, a target for each step, got {array.shape}")
    rows, _ = compact(array[real], np.count_nonzero(real), units, loss, name)
    Y = np.zeros((*real.shape, *rows.shape[1:]), rows.dtype)
    Y[real] = rows
    return Y


def _targets(y: np.ndarray, rows: int, k: int, loss: str | Loss) -> int:
    """How many targets a row has, of k outputs; for a callable as many as stand in `y`, of `rows` axes and one."""
    if callable(loss):
        return y.shape[rows] if y.ndim == rows + 1 else 1
    return k // outputs(loss)


_NUMBERS = 'numbers to predict need a head with activate="identity"'
_CLASSES = {
    "cross_entropy": "N classes need a head of N units",
    "binary_cross_entropy": f'N classes need a head of N units with activate="softmax", {_NUMBERS}',
}


def compact(y: Any, m: int, k: int, loss: str, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """What `targets` returns, but that for cross_entropy classes (m,) stand in the place of rows of 0 and 1 (m, k)."""
    array = _numbers(y, name)
    k = _targets(array, 1, k, loss)
    whole = array.dtype.kind in "iub"
    if loss == "cross_entropy" and array.ndim == 1 and not whole:
        raise TypeError(
            f"{name}: expected integers (m,) or class probabilities (m, {k}), got {array.dtype} (m,); {_NUMBERS}"
        )
    flat = array.shape == (m,) and (k == 1 or loss == "cross_entropy")
    if not flat and array.shape != (m, k):
        due = f"({m},) or ({m}, {k})" if k == 1 or loss == "cross_entropy" else f"({m}, {k})"
        raise ValueError(f"{name}: expected shape {due}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got {array[~np.isfinite(array)][0]}")

    if loss not in CLASSIFYING:
        if loss == "poisson" and (array < 0).any():
            raise ValueError(f"{name}: expected numbers of at least 0 for poisson, got {array[array < 0][0]}")
        return array.reshape(m, k).astype(np.float64), None
    top = k - 1 if flat and loss == "cross_entropy" else 1
    wrong = array[(array < 0) | (array > top)]
    if wrong.size:
        what = "integers" if whole else "reals"
        cure = _CLASSES[loss] if whole else _NUMBERS
        raise ValueError(f"{name}: expected {what} from 0 to {top} for {loss}, got {wrong[0]}; {cure}")
    if loss == "binary_cross_entropy":
        return array.reshape(m, k).astype(np.float64), array.reshape(m).astype(np.intp) if whole and k == 1 else None
    if flat:
        classes = array.astype(np.intp)
        return classes, classes
    sums = array.sum(axis=1, dtype=np.float64)
    wrong = sums[np.abs(sums - 1) > 1e-3]
    if wrong.size:
        raise ValueError(
            f"{name}: expected class probabilities, each row with sum 1, got a row with sum {wrong[0]:.6g}"
        )
    return array / sums[:, None], None


def classes(A: np.ndarray, loss: str) -> np.ndarray:
    """The classes that outputs A (m, k) say: the largest, (m,), for cross_entropy; else whether above 0.5, (m, k)."""
    return A.argmax(axis=-1) if loss == "cross_entropy" else (A > 0.5).astype(np.intp)


def hits(A: np.ndarray, Y: np.ndarray, loss: str, weights: np.ndarray | None = None) -> float | None:
    """How many of the samples in A (m, k) are right; of several binary outputs each counts by its share of them.

    With weights (m,) what those weigh that are right. None for a loss that has no classes.
    """
    if loss not in CLASSIFYING:
        return None
    right = classes(A, loss) == classes(Y, loss)
    right = right if loss == "cross_entropy" else right.mean(axis=1)
    return float((right if weights is None else weights * right).sum())
