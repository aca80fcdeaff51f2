"""The input part of a `GRUD` in plain NumPy: missing values decay towards zero, and so do the states.

    delta_t = s_t - s_(t-1), plus delta_(t-1) where the feature was missing at t - 1; 0 at the first step
    gx_t = exp(-max(0, delta_t * Wgx + bgx))         gh_t = exp(-max(0, delta_t Wgh + bgh))
    xh_t = x_t where it was measured, else gx_t * (the value last seen): it fades to the mean, which is zero

(Che, Purushotham, Cho, Sontag and Liu, 2018, doi 10.1038/s41598-018-24271-9). The GRU over [xh | mask] is that of
cgru/reference.py, with gh as its `decay`. Letters: m samples, s steps, e features, u units. s_t is the time of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cgru.activations import fading
from cgru.core.lengths import mask

__all__ = ["Seen", "backward", "forward", "gradients"]

Arrays = dict[str, np.ndarray]


class Seen(NamedTuple):
    """The values and times that the steps so far have left of m samples.

    Attributes:
        last: (m, e) the value of each feature that was seen last, 0 before the first.
        age: (m, e) the time since then, or since the first step, in units of the mean step.
        time: (m,) the time of the last step; NaN: there was none.

    Examples:
        >>> seen = cgru.grud_reference.Seen.nothing(2, 3, np.float64)
        >>> seen.last.shape, seen.time.tolist()
        ((2, 3), [nan, nan])
    """

    last: np.ndarray
    age: np.ndarray
    time: np.ndarray

    @classmethod
    def nothing(cls, m: int, e: int, dtype: np.dtype) -> Seen:
        """Return the `Seen` of samples before their first step.

        Args:
            m: the number of samples.
            e: the number of features.
            dtype: of the values and ages; times are float64.

        Returns:
            A `Seen`.
        """
        return cls(np.zeros((m, e), dtype), np.zeros((m, e), dtype), np.full(m, np.nan))


def forward(
    p: Mapping[str, np.ndarray],
    X: np.ndarray,
    times: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    anew: np.ndarray | None = None,
    seen: Seen | None = None,
    unit: float = 1.0,
) -> tuple[Arrays, Seen]:
    """Replace missing values (NaN in X) by decaying ones, and compute the decay factors of the states.

    Args:
        p: Wgx, bgx (1, e), Wgh (e, u) and bgh (1, u).
        X: standardised, or with means of zero.
        times: (m, s) the times of the steps; None: each is 1 after the one before.
        lengths: (m,) the real steps of each sample; None: all.
        anew: (m, s) booleans, True where a step forgets what was seen; None: nowhere.
        seen: what earlier steps left; None: there were none.
        unit: the time that counts as 1.

    Returns:
        The caches, and a `Seen` of what the last steps leave. The caches are `delta`, `last` (the values last seen
        before each step) and `gx` (m, s, e), `xm` = [xh | mask] (m, s, 2 e) and `gh` (m, s, u). Past a sample's length
        all are zero.

    Examples:
        >>> p = {"Wgx": np.ones((1, 1)), "bgx": np.zeros((1, 1)), "Wgh": np.ones((1, 2)), "bgh": np.zeros((1, 2))}
        >>> fc, seen = cgru.grud_reference.forward(p, np.array([[[2.0], [np.nan], [np.nan]]]))
        >>> fc["xm"][0, :, 0].round(3)  # 2, 2 exp(-1), 2 exp(-2)
        array([2.   , 0.736, 0.271])
        >>> seen.age.tolist(), seen.last.tolist()
        ([[2.0]], [[2.0]])
    """
    m, s, e = X.shape
    dtype = p["Wgx"].dtype
    fc = {name: np.zeros((m, s, n * e), dtype) for name, n in (("delta", 1), ("last", 1), ("gx", 1), ("xm", 2))}
    last, age, time = Seen.nothing(m, e, dtype) if seen is None else seen
    real = np.ones((m, s, 1), bool) if lengths is None else mask(lengths, s)
    for t in range(s):
        there = ~np.isnan(X[:, t])
        now = np.where(np.isnan(time), 0, time + 1) if times is None else times[:, t]
        begins = (np.isnan(time) | (False if anew is None else anew[:, t]))[:, None]
        delta = np.where(begins, 0, age + ((now - time) / unit)[:, None])
        before = np.where(begins, 0, last)
        gx = fading(delta.astype(dtype) * p["Wgx"] + p["bgx"])
        xh = np.where(there, X[:, t], gx * before)
        step = {"delta": delta, "last": before, "gx": gx, "xm": np.hstack([xh, there])}
        for name, value in step.items():
            fc[name][:, t] = np.where(real[:, t], value, 0)
        last = np.where(real[:, t], np.where(there, X[:, t], before), last).astype(dtype)
        age = np.where(real[:, t], np.where(there, 0, delta), age).astype(dtype)
        time = np.where(real[:, t, 0], now, time)
    fc["gh"] = np.where(real, fading(fc["delta"] @ p["Wgh"] + p["bgh"]), dtype.type(0))
    return fc, Seen(last, age, time)


def backward(fc: Mapping[str, np.ndarray], dxm: np.ndarray, dgh: np.ndarray, anew: np.ndarray | None = None) -> Arrays:
    """Backpropagate dL/dxm and dL/dgh to the input and to the decay rates.

    Args:
        fc: the caches that `forward` returned.
        dxm: (m, s, 2 e) dL/dxm.
        dgh: (m, s, u) dL/dgh.
        anew: (m, s) booleans, as for `forward`.

    Returns:
        A dict of `dX` and `dgx_` (m, s, e), and `dgh_` (m, s, u). `dX` is zero where nothing was measured. `dgx_` and
        `dgh_` are dL/d(the arguments of exp(-max(0, ...))).

    Examples:
        >>> p = {"Wgx": np.ones((1, 1)), "bgx": np.zeros((1, 1)), "Wgh": np.ones((1, 2)), "bgh": np.zeros((1, 2))}
        >>> fc, _ = cgru.grud_reference.forward(p, np.array([[[2.0], [np.nan]]]))
        >>> bc = cgru.grud_reference.backward(fc, np.ones((1, 2, 2)), np.ones((1, 2, 2)))
        >>> bc["dX"][0, :, 0].round(3)  # 1 + exp(-1)
        array([1.368, 0.   ])
    """
    m, s, e = fc["delta"].shape
    dxh, there = dxm[:, :, :e], fc["xm"][:, :, e:] > 0
    missed = np.where(there, 0, dxh)
    bc = {"dX": np.zeros_like(dxh), "dgx_": -missed * fc["last"] * fc["gx"], "dgh_": -dgh * fc["gh"]}
    bc["dgx_"][fc["gx"] >= 1] = 0
    bc["dgh_"][fc["gh"] >= 1] = 0
    later = np.zeros((m, e), dxm.dtype)  # the gradient of the value last seen, from the steps that miss it
    for t in reversed(range(s)):
        bc["dX"][:, t] = np.where(there[:, t], dxh[:, t] + later, 0)
        later = np.where(there[:, t], 0, later + missed[:, t] * fc["gx"][:, t])
        if anew is not None:
            later = np.where(anew[:, t, None], 0, later)
    return bc


def gradients(fc: Mapping[str, np.ndarray], bc: Mapping[str, np.ndarray], each: bool = False) -> Arrays:
    """Compute the gradients of the four decay parameters from the caches, summed over samples and steps.

    Args:
        fc: the caches that `forward` returned.
        bc: the caches that `backward` returned.
        each: whether to return the gradients of each sample, (m, ...), summed over its steps.

    Returns:
        A dict of `dWgx, dbgx, dWgh, dbgh`.

    Examples:
        >>> p = {"Wgx": np.ones((1, 1)), "bgx": np.zeros((1, 1)), "Wgh": np.ones((1, 2)), "bgh": np.zeros((1, 2))}
        >>> fc, _ = cgru.grud_reference.forward(p, np.array([[[2.0], [np.nan]]]))
        >>> bc = cgru.grud_reference.backward(fc, np.ones((1, 2, 2)), np.ones((1, 2, 2)))
        >>> {name: g.shape for name, g in cgru.grud_reference.gradients(fc, bc).items()}
        {'dWgx': (1, 1), 'dbgx': (1, 1), 'dWgh': (1, 2), 'dbgh': (1, 2)}
    """
    delta, dgx_, dgh_ = (a if each else a.reshape(1, -1, a.shape[2]) for a in (fc["delta"], bc["dgx_"], bc["dgh_"]))
    g = {
        "dWgx": (dgx_ * delta).sum(axis=1, keepdims=True),
        "dbgx": dgx_.sum(axis=1, keepdims=True),
        "dWgh": delta.swapaxes(1, 2) @ dgh_,
        "dbgh": dgh_.sum(axis=1, keepdims=True),
    }
    return g if each else {name: value[0] for name, value in g.items()}
