"""The GRU layer in plain NumPy: the definition, the oracle of the tests, the baseline of the benchmark.

m samples, s steps, e elements per step, u unit cells. A trailing underscore means "before the activation". The gates
are those of Cho et al., 2014 (arXiv:1406.1078), the reset gate applied before the matrix product. `activate`,
`activate_update` and `activate_reset` are any callables `f(x, deriv=False)`; each gets (m, u) arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cgru.activations import sigmoid, tanh

__all__ = ["PARAMETERS", "backward", "forward", "gradients", "mask"]

Arrays = dict[str, np.ndarray]
Activation = Callable[..., np.ndarray]

PARAMETERS = ("Uz", "Vz", "bz", "Ur", "Vr", "br", "Uhh", "Vhh", "bhh")


def mask(lengths: np.ndarray, s: int) -> np.ndarray:
    """(m, s, 1) booleans: whether step t of a sample is one of its `lengths` real ones."""
    return (np.arange(s) < np.asarray(lengths)[:, None])[:, :, None]


def forward(
    p: Mapping[str, np.ndarray],
    X: np.ndarray,
    h0: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
) -> Arrays:
    """Run X (m, s, e) from h0 (m, u), zeros where None; return the caches `X, h, hp, hh_, hh, z, z_, r, r_`.

    All but X are (m, s, u) in the dtype of the parameters. Past a sample's length `h` and `hp` repeat its last state
    and the other caches are zero.
    """
    m, s, _ = X.shape
    u = p["Vz"].shape[0]
    dtype = p["Vz"].dtype
    fc = {name: np.zeros((m, s, u), dtype) for name in ("hh_", "hh", "z_", "z", "r_", "r")}
    states = np.zeros((m, s + 1, u), dtype)
    fc |= {"X": X, "h": states[:, 1:], "hp": states[:, :-1]}
    if h0 is not None:
        states[:, 0] = h0
    real = None if lengths is None else mask(lengths, s)

    for t in range(s):
        x, hp = X[:, t], states[:, t]
        if real is not None:
            x = np.where(real[:, t], x, 0)  # whatever stands in the padding, NaN too, is not seen

        r_ = x @ p["Ur"] + hp @ p["Vr"] + p["br"]
        r = activate_reset(r_)
        z_ = x @ p["Uz"] + hp @ p["Vz"] + p["bz"]
        z = activate_update(z_)
        hh_ = x @ p["Uhh"] + (r * hp) @ p["Vhh"] + p["bhh"]
        hh = activate(hh_)
        h = z * hp + (1 - z) * hh

        step = {"r_": r_, "r": r, "z_": z_, "z": z, "hh_": hh_, "hh": hh}
        if real is not None:
            h = np.where(real[:, t], h, hp)
            step = {name: np.where(real[:, t], value, 0) for name, value in step.items()}
        for name, value in step.items():
            fc[name][:, t] = value
        states[:, t + 1] = h
    return fc


def backward(
    p: Mapping[str, np.ndarray],
    fc: Mapping[str, np.ndarray],
    dA: np.ndarray,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
) -> Arrays:
    """Take dA = dL/dh (m, s, u) from above; return `dA, dh_, dh, dhn, dhh_, dz_, dr_` and `dX` (m, s, e).

    `dh[:, t]` is what step t hands to the step before, so `dh[:, 0]` is dL/dh0. Past a sample's length all are zero.
    """
    m, s, u = fc["h"].shape
    dtype = p["Vz"].dtype
    real = None if lengths is None else mask(lengths, s)
    if real is not None:
        dA = np.where(real, dA, 0)
    bc = {name: np.zeros((m, s, u), dtype) for name in ("dh_", "dhh_", "dz_", "dr_")}
    handed = np.zeros((m, s + 1, u), dtype)
    bc |= {"dA": dA, "dh": handed[:, :-1], "dhn": handed[:, 1:], "dX": np.zeros(fc["X"].shape, dtype)}

    for t in reversed(range(s)):
        hp, hh, z, r = (fc[name][:, t] for name in ("hp", "hh", "z", "r"))

        dh_ = dA[:, t] + handed[:, t + 1]
        dhh_ = dh_ * (1 - z) * activate(fc["hh_"][:, t], deriv=True)
        dz_ = dh_ * (hp - hh) * activate_update(fc["z_"][:, t], deriv=True)
        drh = dhh_ @ p["Vhh"].T
        dr_ = drh * hp * activate_reset(fc["r_"][:, t], deriv=True)
        dh = drh * r + dz_ @ p["Vz"].T + dr_ @ p["Vr"].T + dh_ * z
        dX = dhh_ @ p["Uhh"].T + dz_ @ p["Uz"].T + dr_ @ p["Ur"].T

        step = {"dh_": dh_, "dhh_": dhh_, "dz_": dz_, "dr_": dr_, "dh": dh, "dX": dX}
        for name, value in step.items():
            bc[name][:, t] = value if real is None else np.where(real[:, t], value, 0)
    return bc


def gradients(
    p: Mapping[str, np.ndarray], fc: Mapping[str, np.ndarray], bc: Mapping[str, np.ndarray], lengths=None
) -> Arrays:
    """The gradients `'d' + name` of the nine parameters, summed over samples and steps, from the last step back."""
    g = {"d" + name: np.zeros_like(p[name]) for name in PARAMETERS}
    s = fc["h"].shape[1]
    real = None if lengths is None else mask(lengths, s)
    for t in reversed(range(s)):
        X, hp, r = fc["X"][:, t], fc["hp"][:, t], fc["r"][:, t]
        if real is not None:
            X = np.where(real[:, t], X, 0)
        for gate, operand in (("hh", r * hp), ("z", hp), ("r", hp)):
            d = bc[f"d{gate}_"][:, t]
            g["dU" + gate] += X.T @ d
            g["dV" + gate] += operand.T @ d
            g["db" + gate] += d.sum(axis=0)
    return g
