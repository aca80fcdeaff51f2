"""Layers with quantised weights in plain NumPy: their definition, with which tests compare the compiled code.

Letters: m samples, s steps, e features of a step, u units. All is float32 except codes and weights.

int8: a column of weights W is `scale * codes`, codes being integers from -127 to 127. A row that is multiplied with it
is brought to such codes, too, with a scale of its own, so that the product is one of integers:

    x W = (scale of x * scale of the column) * (codes of x  times  codes of the column)

The scale of a row is the largest |x| in it over 127; where a bound is given that of the bound, for all rows that stay
within it. Symmetric, without an offset: Jacob et al., 2018 (arXiv:1712.05877), section 2.1 with Z = 0; a scale for each
column: Krishnamoorthi, 2018 (arXiv:1806.08342).

bfloat16: the upper 16 bits of a float32, rounded to the nearest, half to even; rows stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cgru.activations import sigmoid, tanh
from cgru.core.decay import entering
from cgru.core.lengths import mask
from cgru.reference import decayed

__all__ = ["bfloat16", "dequantize", "forward", "linear", "product", "quantize_columns", "quantize_rows"]

Arrays = dict[str, np.ndarray]
Activation = Callable[..., np.ndarray]

TOP = np.float32(127)
NOTHING = np.float32(1e-30)  # rows without a larger number count as zero, and a bound that is no larger as none


def quantize_columns(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise the columns of W (k, n); return int8 codes (k, n) and float32 scales (1, n)."""
    W = np.asarray(W, np.float32)
    scale = np.abs(W).max(axis=0, keepdims=True) / TOP
    scale = np.where(scale > NOTHING, scale, np.float32(0))
    codes = np.rint(W / np.where(scale > 0, scale, np.float32(np.inf)))
    return np.clip(codes, -TOP, TOP).astype(np.int8), scale


def quantize_rows(x: np.ndarray, bound: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Quantise each row of x (m, k), scaled by at least `bound`; return (int8 codes (m, k), scales (m, 1)).

    A row that is not finite has scale NaN and codes zero.
    """
    most, limit = np.abs(x).max(axis=1, keepdims=True), np.float32(bound if bound > NOTHING else 0)
    finite = np.isfinite(most)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        top = np.where(finite & (most > NOTHING), np.maximum(most, limit), limit).astype(np.float32)
        codes = np.where(finite & (top > 0), np.rint(x * (TOP / top)), 0).astype(np.int32)
    return codes, np.where(finite, top / TOP, np.float32(np.nan))


def bfloat16(W: np.ndarray) -> np.ndarray:
    """Round W to bfloat16 and return its bits as uint16. Numbers that are too large become infinite."""
    bits = np.asarray(W, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def dequantize(W: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Return the float32 values of int8 codes with their scales, or of bfloat16 bits."""
    if W.dtype == np.uint16:
        return (W.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return W.astype(np.float32) * scale


def product(x: np.ndarray, W: np.ndarray, scale: np.ndarray | None = None, bound: float = 0.0) -> np.ndarray:
    """Multiply x (m, k) by quantised weights W (k, n), int8 with `scale` or bfloat16; return float32 (m, n)."""
    if W.dtype == np.uint16:
        with np.errstate(invalid="ignore", over="ignore"):  # numbers that are not finite stay so
            return x @ dequantize(W)
    codes, own = quantize_rows(x, bound)
    return own * scale * (codes @ W.astype(np.int32)).astype(np.float32)


def linear(x: np.ndarray, W: np.ndarray, scale: np.ndarray | None, b: np.ndarray, bound: float = 0.0) -> np.ndarray:
    """Return x W + b for x (m, n), quantised weights W (n, u) and b (1, u)."""
    return product(x, W, scale, bound) + b


def forward(
    p: Mapping[str, np.ndarray],
    X: np.ndarray,
    h0: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
    *,
    x_bound: float = 0.0,
    bound: float = 0.0,
    zoneout: float = 0.0,
    reverse: bool = False,
    decay: np.ndarray | None = None,
) -> np.ndarray:
    """Run a GRU with quantised weights over X (m, s, e) from h0 (m, u) or zeros; return all states (m, s, u).

    Past a sample's length its last state is repeated.

    `p` holds, by the names of a GRU's parameters, the int8 codes or bfloat16 bits (uint16) of U and V, and the biases.
    With codes it also holds the column scales (1, u), as "scale_Uz". With "chh" the reset gate comes after the product.
    `x_bound` and `bound` are the bounds of |x| and of |h|. `decay` (m, s, 1) or (m, s, u), 1 in the padding, is the
    factor of the state as it enters a step, as in cgru/reference.py.
    """
    m, s, _ = X.shape
    h = np.zeros((m, p["bz"].shape[1]), np.float32) if h0 is None else np.asarray(h0, np.float32)
    states = np.zeros((m, s, h.shape[1]), np.float32)
    real = np.ones((m, s, 1), bool) if lengths is None else mask(lengths, s)
    factor = None if decay is None else entering(decay, lengths, reverse)

    def times(x: np.ndarray, name: str, limit: float) -> np.ndarray:
        """Return x times the quantised weights that are called `name`."""
        return product(x, p[name], p.get(f"scale_{name}"), limit)

    steps: Sequence[int] = range(s)[::-1] if reverse else range(s)
    for t in steps:
        x = np.where(real[:, t], X[:, t], 0).astype(np.float32)
        h = h if factor is None else decayed(h, factor[:, t], p.get("h0", np.float32(0)))
        a = {gate: p["b" + gate] + times(x, "U" + gate, x_bound) for gate in ("z", "r", "hh")}
        r = activate_reset(a["r"] + times(h, "Vr", bound))
        z = activate_update(a["z"] + times(h, "Vz", bound))
        recurrent = r * (times(h, "Vhh", bound) + p["chh"]) if "chh" in p else times(r * h, "Vhh", bound)
        new = z * h + (1 - z) * activate(a["hh"] + recurrent)
        new = np.float32(zoneout) * h + np.float32(1 - zoneout) * new if zoneout else new
        h = np.where(real[:, t], new, h).astype(np.float32)
        states[:, t] = h
    return states
