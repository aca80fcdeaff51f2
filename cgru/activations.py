"""The activation functions: `f(x, deriv=False)` in plain NumPy, and which of them the compiled code computes.

All but `fading` are public (`cgru.tanh`, ...). `x` is an array of any shape (softmax and log_softmax: the last axis is
the classes). Gates of a GRU run compiled with all but gelu, silu and softplus.
With `deriv=True` the derivative at the input `x` is returned. Floating dtypes are kept, integers become float64.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core import checks

__all__ = ["elu", "gelu", "identity", "log_softmax", "lrelu", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]

Activation = Callable[..., np.ndarray]

DEFAULTS = {"LRELU_alpha": 0.3, "ELU_alpha": 1.0, "softmax_temperature": 1.0}
LEAST_TEMPERATURE = 1e-30  # its inverse is still finite in float32


def parameter(se_hPars: Mapping[str, Any] | None, key: str) -> float:
    """Return the value of an activation's parameter: `se_hPars[key]`, or the default if it is missing."""
    value = DEFAULTS[key] if se_hPars is None else se_hPars.get(key, DEFAULTS[key])
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"se_hPars[{key!r}]: expected a number, got {value!r}") from None
    least = LEAST_TEMPERATURE if key == "softmax_temperature" else -math.inf
    if not math.isfinite(number) or number < least:
        due = "that is finite" if least < 0 else f"of at least {least:g}"
        raise ValueError(f"se_hPars[{key!r}]: expected a number {due}, got {value!r}")
    return number


def _real(x: ArrayLike) -> np.ndarray:
    """Return x as an array of floats: integers become float64."""
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def identity(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return x itself.

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, 1.

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.identity(np.array([-1.0, 2.0]))
        array([-1.,  2.])
    """
    x = _real(x)
    return np.ones_like(x) if deriv else x


def relu(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return max(0, x).

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, which at 0 is 0.

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.relu(np.array([-1.0, 2.0])), cgru.relu(np.array([-1.0, 2.0]), deriv=True)
        (array([0., 2.]), array([0., 1.]))
    """
    x = _real(x)
    return (x > 0).astype(x.dtype) if deriv else np.maximum(x, 0)


def lrelu(x: ArrayLike, deriv: bool = False, *, se_hPars: Mapping[str, Any] | None = None) -> np.ndarray:
    """Return max(a x, x), the leaky ReLU (Maas, Hannun and Ng, 2013).

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, which at 0 is a.
        se_hPars: a dict with `LRELU_alpha`, the slope a; without it a is 0.3.

    Returns:
        An array of the shape of x.

    Raises:
        TypeError, ValueError: a is no finite number.

    Examples:
        >>> cgru.lrelu(np.array([-1.0, 2.0]), se_hPars={"LRELU_alpha": 0.5})
        array([-0.5,  2. ])
    """
    x = _real(x)
    a = x.dtype.type(parameter(se_hPars, "LRELU_alpha"))
    return np.where(x > a * x, x.dtype.type(1), a) if deriv else np.maximum(a * x, x)


def elu(x: ArrayLike, deriv: bool = False, *, se_hPars: Mapping[str, Any] | None = None) -> np.ndarray:
    """Return x above 0, and a (exp(x) - 1) below (Clevert, Unterthiner and Hochreiter, 2016, arXiv:1511.07289).

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, which at 0 is a.
        se_hPars: a dict with `ELU_alpha`, the factor a; without it a is 1.

    Returns:
        An array of the shape of x.

    Raises:
        TypeError, ValueError: a is no finite number.

    Examples:
        >>> cgru.elu(np.array([-1.0, 2.0])).round(3)
        array([-0.632,  2.   ])
    """
    x = _real(x)
    a = x.dtype.type(parameter(se_hPars, "ELU_alpha"))
    below = np.minimum(x, 0)  # so that exp cannot overflow in the branch that np.where discards
    return np.where(x > 0, x.dtype.type(1), a * np.exp(below)) if deriv else np.where(x > 0, x, a * np.expm1(below))


def sigmoid(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow.

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, s (1 - s).

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.sigmoid(np.array([-1000.0, 0.0]))
        array([0. , 0.5])
    """
    x = _real(x)
    e = np.exp(-np.abs(x))
    s = np.where(x < 0, e, x.dtype.type(1)) / (1 + e)
    return s * (1 - s) if deriv else s


def tanh(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return the hyperbolic tangent of x.

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, 1 - tanh(x)^2.

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.tanh(np.array([0.0, 1.0])).round(3)
        array([0.   , 0.762])
    """
    t = np.tanh(_real(x))
    return 1 - t * t if deriv else t


def gelu(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return x P(x), P being the normal distribution function, without the tanh approximation (arXiv:1606.08415).

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x.

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.gelu(np.array([-1.0, 2.0])).round(3)
        array([-0.159,  1.954])
    """
    x = _real(x)
    t = np.clip(x, -40, 40).astype(np.float64)  # so that no infinity is multiplied by zero
    below = _erfc(-math.sqrt(0.5) * t) / 2
    made = below + t * np.exp(-t * t / 2) / math.sqrt(2 * math.pi) if deriv else np.where(t < 40, t * below, x)
    return made.astype(x.dtype)


def silu(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return x sigmoid(x), also known as swish (Elfwing, Uchibe and Doya, 2018, arXiv:1702.03118).

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x.

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.silu(np.array([-1.0, 2.0])).round(3)
        array([-0.269,  1.762])
    """
    x = _real(x)
    t = np.clip(x, -800, 800)  # so that no infinity is multiplied by zero
    return sigmoid(x) * (1 + t * sigmoid(-x)) if deriv else np.maximum(x, -800) * sigmoid(x)


def softplus(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return log(1 + exp(x)), without overflow.

    Args:
        x: an array or a number.
        deriv: whether to return the derivative at x, sigmoid(x).

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.softplus(np.array([-1.0, 2.0])).round(3)
        array([0.313, 2.127])
    """
    x = _real(x)
    return sigmoid(x) if deriv else np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def fading(x: ArrayLike) -> np.ndarray:
    """Return exp(-max(0, x)), the factor by which a `GRUD` decays values and states; not an activation of layers."""
    return np.exp(-np.maximum(_real(x), 0))


def softmax(x: ArrayLike, deriv: bool = False, *, se_hPars: Mapping[str, Any] | None = None) -> np.ndarray:
    """Return the softmax of x / T along the last axis.

    Args:
        x: an array (..., k).
        deriv: whether to return the Jacobians at x, (..., k, k).
        se_hPars: a dict with `softmax_temperature`, T; without it T is 1.

    Returns:
        An array of the shape of x, whose last axis sums to 1.

    Raises:
        TypeError, ValueError: T is no finite number of at least 1e-30.

    Examples:
        >>> cgru.softmax(np.log([1.0, 3.0]))
        array([0.25, 0.75])
    """
    x = _real(x)
    T = x.dtype.type(parameter(se_hPars, "softmax_temperature"))
    a = np.exp((x - x.max(axis=-1, keepdims=True)) / T)
    a /= a.sum(axis=-1, keepdims=True)
    if not deriv:
        return a
    return (a[..., None] * np.eye(a.shape[-1], dtype=a.dtype) - a[..., None] * a[..., None, :]) / T


def log_softmax(x: ArrayLike, deriv: bool = False) -> np.ndarray:
    """Return the logarithm of the softmax along the last axis, x - log(sum of exp(x)).

    Args:
        x: an array (..., k).
        deriv: whether to return the Jacobians at x, (..., k, k).

    Returns:
        An array of the shape of x.

    Examples:
        >>> cgru.log_softmax(np.log([1.0, 3.0])).round(3)
        array([-1.386, -0.288])
    """
    x = _real(x)
    a = x - x.max(axis=-1, keepdims=True)
    a -= np.log(np.exp(a).sum(axis=-1, keepdims=True))
    return np.eye(a.shape[-1], dtype=a.dtype) - np.exp(a)[..., None, :] if deriv else a


# --- functions are recognised by identity, never by name ---

# In the order of enum cgru_activation in simd/cgru.h.
_ELEMENTWISE = (identity, relu, lrelu, elu, sigmoid, tanh, fading, gelu, silu, softplus)
CODES: dict[Activation, int] = {f: code for code, f in enumerate(_ELEMENTWISE)}
FADING = CODES.pop(fading)  # which no layer has; gates have those before it, whose derivative the output tells
ELEMENTWISE = {f.__name__: f for f in CODES}
NAMED: dict[str, Activation] = ELEMENTWISE | {f.__name__: f for f in (softmax, log_softmax)}
_OURS = frozenset(NAMED.values())
# The parameter in `se_hPars` of each function that has one.
PARAMETERS = {lrelu: "LRELU_alpha", elu: "ELU_alpha", softmax: "softmax_temperature"}


def named(value: Any, argument: str, known: Mapping[str, Activation] = NAMED) -> Activation:
    """Return `value` if it is a callable, else the function that has this name in `known`.

    TypeError or ValueError for anything else.
    """
    return checks.named_callable(value, argument, known)


def name_of(f: Activation) -> str:
    """Return the name of a function; for a callable without `__name__` (such as a partial), the name of its class."""
    return getattr(f, "__name__", type(f).__name__)


def ours(f: Activation) -> Activation | None:
    """Return this module's function that `f` is, or that EpyNN's `f` is equivalent to; None for any other function."""
    try:
        if f in _OURS:
            return f
    except TypeError:  # an unhashable callable
        return None
    maths = sys.modules.get("epynn.commons.maths")
    if maths is None or getattr(f, "__globals__", None) is not vars(maths):
        return None
    name = name_of(f)
    return NAMED.get(name) if vars(maths).get(name) is f else None


def tuned(f: Activation) -> bool:
    """Return whether the activation `f` has a parameter that it reads from `se_hPars`, such as lrelu's slope."""
    return ours(f) in PARAMETERS


def bind(f: Activation, se_hPars: Mapping[str, Any] | None) -> Activation:
    """Return `f` as a function g(x, deriv=False); a function of this module gets the layer's `se_hPars` bound."""
    known = ours(f)
    if known is None:
        return f
    return functools.partial(known, se_hPars=se_hPars) if tuned(f) else known


def compiled(value: Activation | str, name: str, se_hPars: Any) -> tuple[int, float]:
    """Return the compiled function's (code, parameter) of a gate's activation; ValueError if it is not compiled."""
    f = named(value, name)
    code = gate_code(f, se_hPars)
    if code is None:
        own = ", ".join(f.__name__ for f in _ELEMENTWISE[:FADING])
        raise ValueError(f"{name}: expected an activation of gates that runs without Python, {own}, got {name_of(f)}")
    return code


def gate_code(f: Activation, se_hPars: Mapping[str, Any] | None) -> tuple[int, float] | None:
    """Return what `code_of` returns, but None for an activation that is compiled only outside of gates."""
    code = code_of(f, se_hPars)
    return code if code and code[0] < FADING else None


def code_of(f: Activation, se_hPars: Mapping[str, Any] | None) -> tuple[int, float] | None:
    """Return (code, parameter) of the compiled function that computes activation `f`; None if there is none.

    The compiled backward pass computes the derivative of lrelu and elu from the output alone. That tells the sign of
    the input only for 0 <= alpha <= 1 (lrelu) or 0 <= alpha (elu).
    """
    known = ours(f)
    if known not in CODES:
        return None
    alpha = parameter(se_hPars, PARAMETERS[known]) if known in PARAMETERS else 0.0
    return (CODES[known], alpha) if 0 <= alpha <= (1 if known is lrelu else math.inf) else None
