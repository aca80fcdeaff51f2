"""Convert `resets` or `decay` into the factors by which a state is multiplied before each step.

m samples, s steps, u units; lengths (m,) are the numbers of real steps, and the others are padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.core.checks import real
from cgru.core.lengths import ends, mask

__all__ = ["boundaries", "cast_factors", "decay_of", "entering"]


def decay_of(
    resets: Any,
    decay: Any,
    m: int,
    s: int,
    u: int | None,
    lengths: np.ndarray | None,
    dtype: np.dtype,
) -> np.ndarray | None:
    """Check `resets` or `decay`, and return factors (m, s, 1) or (m, s, u) in `dtype`, with 1 in the padding.

    Args:
        resets: (m, s) booleans, True: the step begins anew, a factor of 0. None: see `decay`.
        decay: (m, s) or (m, s, u) real factors from 0 to 1. None beside None: there is none.
        m: samples of the call.
        s: its steps.
        u: its units; None: a factor for each unit is refused.
        lengths: (m,) the real steps of each sample, or None; nothing in the padding is looked at.
        dtype: of the result.

    Raises:
        TypeError, ValueError: both are given; another dtype or shape; a factor that is NaN or outside [0, 1].
    """
    if resets is None and decay is None:
        return None
    if resets is not None and decay is not None:
        raise ValueError("decay: expected None with resets, got both; a reset is a decay of 0")
    if resets is not None:
        resets = _checked(resets, "resets", (m, s), None)
        if resets.dtype != bool:
            raise TypeError(f"resets: expected booleans, got {resets.dtype}; factors are the argument decay")
        factors = np.logical_not(resets.T, out=np.empty((s, m), dtype)).T[:, :, None]  # time-major, as kernels read it
    else:
        factors = _checked(decay, "decay", (m, s), u)
        if factors.dtype == bool:
            raise TypeError("decay: expected factors from 0 to 1, got booleans; those are the argument resets")
        factors = factors if factors.ndim == 3 else factors[:, :, None]
        if not (factors.min() >= 0 and factors.max() <= 1):
            _refuse_outside(factors, lengths)
        factors = cast_factors(factors, dtype)
    return factors if lengths is None else np.where(mask(lengths, s), factors, dtype.type(1))


def cast_factors(factors: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a copy of factors in `dtype`, in which small factors do not underflow to 0.

    A plain cast to float32 makes a reset of a factor below 1e-45. Here it becomes the least number above 0.
    """
    cast = np.array(factors, dtype, order="C")
    if cast.itemsize < factors.dtype.itemsize:
        cast[(cast == 0) & (factors > 0)] = np.finfo(dtype).smallest_subnormal
    return cast


def _refuse_outside(factors: np.ndarray, lengths: np.ndarray | None) -> None:
    """Raise ValueError if a factor (m, s, n) of a real step is NaN or outside [0, 1]."""
    wrong = ~((factors >= 0) & (factors <= 1))
    if lengths is not None:
        wrong &= mask(lengths, factors.shape[1])
    if wrong.any():
        sample, step, unit = np.argwhere(wrong)[0]
        where = f"sample {sample}, step {step}" + (f", unit {unit}" if factors.shape[2] > 1 else "")
        raise ValueError(f"decay: expected factors from 0 to 1, got {factors[sample, step, unit]} in {where}")


def _checked(value: Any, name: str, shape: tuple[int, int], u: int | None) -> np.ndarray:
    """Check and return `value` as an array of `shape`, or if u is given also of (*shape, u)."""
    array = real(value, name)
    if array.shape != shape and (u is None or array.shape != (*shape, u)):
        due = f"{shape}" if u is None or name.endswith("resets") else f"{shape} or {(*shape, u)}"
        raise ValueError(f"{name}: expected shape {due}, got {array.shape}")
    return array


def entering(decay: np.ndarray, lengths: np.ndarray | None, reverse: bool) -> np.ndarray:
    """Return the factors (m, s, n) ordered by the step that each precedes; in `reverse` those are shifted by one step.

    In `reverse` no factor meets the state that enters the last real step: it is 1 there.
    """
    if not reverse:
        return decay
    m, s, _ = decay.shape
    factors = np.ones_like(decay)
    factors[:, :-1] = decay[:, 1:]
    factors[np.arange(m), ends(m, s, lengths, reverse)[0]] = 1
    return factors


def boundaries(dg: np.ndarray, lengths: np.ndarray | None, reverse: bool) -> np.ndarray:
    """Return dL/d(decay) from the gradient of the factors that `entering` returned."""
    if not reverse:
        return dg
    m, s, _ = dg.shape
    back = np.zeros_like(dg)
    back[:, 1:] = dg[:, :-1]
    first = ends(m, s, lengths, reverse)[0] + 1  # whose factor meets no state
    back[np.arange(m)[first < s], first[first < s]] = 0
    return back
