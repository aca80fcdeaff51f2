"""The GRU layer in plain NumPy: the definition, the oracle of the tests, the baseline of the benchmark.

m samples, s steps, e elements per step, u unit cells. A trailing underscore means "before the activation". The gates
are those of Cho et al., 2014 (arXiv:1406.1078), the reset gate applied before the matrix product. `activate`,
`activate_update` and `activate_reset` are any callables `f(x, deriv=False)`; each gets (m, u) arrays.

The three functions share these options, all off unless given. Masks are arrays in the dtype of the parameters, drawn
elsewhere and the same in all three.

reset_after: the reset gate after the product, with one more parameter, `chh` (1, u): the cell of cuDNN and PyTorch.
reverse: the sequence runs from each sample's last real step down to step 0. All arrays stand at their own steps, so
    "before" is then step t + 1: `hp[:, t]` is `h[:, t + 1]`, and the last state stands at step 0. See `ends`.
input_mask: (m, e), multiplies X at every step; 0 or 1 / (1 - rate). Gal and Ghahramani, 2016 (arXiv:1512.05287).
recurrent_masks: (3, m, u), of the gates hh, z, r; each multiplies `hp` in its gate's product at every step, while the
    carry `z * hp` is unmasked; 0 or 1 / (1 - rate), as in Keras.
zoneout: (m, s, u), 1 where a unit keeps its previous state, else 0; or in inference the rate itself, a float, which
    gives the expectation. Krueger et al., 2017 (arXiv:1606.01305).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cgru.activations import sigmoid, tanh
from cgru.core.lengths import ends, mask
from cgru.variant import RESET_BEFORE, variant_of

__all__ = ["PARAMETERS", "backward", "ends", "forward", "gradients", "mask", "names"]

Arrays = dict[str, np.ndarray]
Activation = Callable[..., np.ndarray]

PARAMETERS = RESET_BEFORE.names


def names(reset_after: bool = False, layer_norm: bool = False) -> tuple[str, ...]:
    """The names of the parameters in their order: see `cgru.variant`."""
    return variant_of(reset_after=reset_after, layer_norm=layer_norm).names


def forward(
    p: Mapping[str, np.ndarray],
    X: np.ndarray,
    h0: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
    *,
    reset_after: bool = False,
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
) -> Arrays:
    """Run X (m, s, e) from h0 (m, u), zeros where None; return the caches `X, h, hp, hh_, hh, z, z_, r, r_`.

    With `reset_after` there is one more, `c`, the part of `hh_` that the reset gate scales. All but X, which is as it
    came, are (m, s, u) in the dtype of the parameters. Past a sample's length `h` and `hp` repeat its last state, or
    h0 in `reverse`, so that the last state of all is `h[:, -1]`, or `h[:, 0]`; the other caches are zero there.
    """
    m, s, _ = X.shape
    u = p["Vz"].shape[0]
    dtype = p["Vz"].dtype
    own = ("hh_", "hh", "z_", "z", "r_", "r")
    fc = {name: np.zeros((m, s, u), dtype) for name in ((*own, "c") if reset_after else own)}
    states = np.zeros((m, s + 1, u), dtype)
    early, late = states[:, :-1], states[:, 1:]
    fc |= {"X": X, "h": early, "hp": late} if reverse else {"X": X, "h": late, "hp": early}
    steps = _steps(s, reverse)
    if h0 is not None:
        fc["hp"][:, steps[0]] = h0
    real = None if lengths is None else mask(lengths, s)
    k = _kept(zoneout, fc["h"])

    for t in steps:
        x, hp = X[:, t], fc["hp"][:, t]
        if real is not None:
            x = np.where(real[:, t], x, 0)  # whatever stands in the padding, NaN too, is not seen
        if input_mask is not None:
            x = x * input_mask
        hp_hh, hp_z, hp_r = _seen(hp, recurrent_masks)

        r_ = x @ p["Ur"] + hp_r @ p["Vr"] + p["br"]
        r = activate_reset(r_)
        z_ = x @ p["Uz"] + hp_z @ p["Vz"] + p["bz"]
        z = activate_update(z_)
        if reset_after:
            c = hp_hh @ p["Vhh"] + p["chh"]
            hh_ = x @ p["Uhh"] + p["bhh"] + r * c
        else:
            hh_ = x @ p["Uhh"] + (r * hp_hh) @ p["Vhh"] + p["bhh"]
        hh = activate(hh_)
        h = z * hp + (1 - z) * hh
        if k is not None:
            h = k[:, t] * hp + (1 - k[:, t]) * h

        step = {"r_": r_, "r": r, "z_": z_, "z": z, "hh_": hh_, "hh": hh}
        if reset_after:
            step["c"] = c
        if real is not None:
            h = np.where(real[:, t], h, hp)
            step = {name: np.where(real[:, t], value, 0) for name, value in step.items()}
        for name, value in step.items():
            fc[name][:, t] = value
        fc["h"][:, t] = h
    return fc


def backward(
    p: Mapping[str, np.ndarray],
    fc: Mapping[str, np.ndarray],
    dA: np.ndarray,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
    *,
    dstate: np.ndarray | None = None,
    reset_after: bool = False,
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
) -> Arrays:
    """Take dA = dL/dh (m, s, u) from above; return `dA, dh_, dh, dhn, dhh_, dz_, dr_` and `dX` (m, s, e).

    `dstate` (m, u) is dL/d(last state), which joins dA at each sample's own last step. With `reset_after` there is one
    more, `dc` = dL/dc. `dh[:, t]` is what step t hands to the one that ran before it, and `dhn[:, t]` what it was
    handed, so dL/dh0 is `dh[:, 0]`, or in `reverse` `dh` at each sample's last real step (see `ends`). Past a sample's
    length all are zero.
    """
    m, s, u = fc["h"].shape
    dtype = p["Vz"].dtype
    real = None if lengths is None else mask(lengths, s)
    if real is not None:
        dA = np.where(real, dA, 0)
    if dstate is not None:
        dA = np.array(dA, dtype)
        dA[np.arange(m), ends(m, s, lengths, reverse)[1]] += dstate
    own = ("dh_", "dh", "dhn", "dhh_", "dz_", "dr_")
    bc = {name: np.zeros((m, s, u), dtype) for name in ((*own, "dc") if reset_after else own)}
    bc |= {"dA": dA, "dX": np.zeros(fc["X"].shape, dtype)}
    m_hh, m_z, m_r = (1, 1, 1) if recurrent_masks is None else recurrent_masks
    k = _kept(zoneout, fc["h"])

    dhn = np.zeros((m, u), dtype)
    for t in reversed(_steps(s, reverse)):
        hp, hh, z, r = (fc[name][:, t] for name in ("hp", "hh", "z", "r"))

        dh_ = dA[:, t] + dhn
        dn = dh_ if k is None else dh_ * (1 - k[:, t])  # what reaches the new state, past zoneout
        dhh_ = dn * (1 - z) * activate(fc["hh_"][:, t], deriv=True)
        dz_ = dn * (hp - hh) * activate_update(fc["z_"][:, t], deriv=True)
        if reset_after:
            dc = dhh_ * r
            dr, dhp_hh = dhh_ * fc["c"][:, t], dc @ p["Vhh"].T
        else:
            drh = dhh_ @ p["Vhh"].T
            dr, dhp_hh = drh * hp * m_hh, drh * r
        dr_ = dr * activate_reset(fc["r_"][:, t], deriv=True)
        dh = dhp_hh * m_hh + dz_ @ p["Vz"].T * m_z + dr_ @ p["Vr"].T * m_r + dn * z
        if k is not None:
            dh = dh + dh_ * k[:, t]
        dX = dhh_ @ p["Uhh"].T + dz_ @ p["Uz"].T + dr_ @ p["Ur"].T
        if input_mask is not None:
            dX = dX * input_mask

        step = {"dh_": dh_, "dhn": dhn, "dhh_": dhh_, "dz_": dz_, "dr_": dr_, "dh": dh, "dX": dX}
        if reset_after:
            step["dc"] = dc
        for name, value in step.items():
            bc[name][:, t] = value if real is None else np.where(real[:, t], value, 0)
        dhn = bc["dh"][:, t]
    return bc


def gradients(
    p: Mapping[str, np.ndarray],
    fc: Mapping[str, np.ndarray],
    bc: Mapping[str, np.ndarray],
    lengths: np.ndarray | None = None,
    *,
    reset_after: bool = False,
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
) -> Arrays:
    """The gradients `'d' + name` of all parameters, summed over samples and steps, from the last step to run back.

    `zoneout` is taken like the other options and changes nothing here: `bc` has it already.
    """
    g = {"d" + name: np.zeros_like(p[name]) for name in names(reset_after)}
    s = fc["h"].shape[1]
    real = None if lengths is None else mask(lengths, s)
    for t in reversed(_steps(s, reverse)):
        X, r = fc["X"][:, t], fc["r"][:, t]
        if real is not None:
            X = np.where(real[:, t], X, 0)
        if input_mask is not None:
            X = X * input_mask
        dhh_, dz_, dr_ = (bc[name][:, t] for name in ("dhh_", "dz_", "dr_"))
        hp_hh, hp_z, hp_r = _seen(fc["hp"][:, t], recurrent_masks)
        into_Vhh, from_Vhh = (hp_hh, bc["dc"][:, t]) if reset_after else (r * hp_hh, dhh_)
        for gate, d, operand, dV in (("hh", dhh_, into_Vhh, from_Vhh), ("z", dz_, hp_z, dz_), ("r", dr_, hp_r, dr_)):
            g["dU" + gate] += X.T @ d
            g["dV" + gate] += operand.T @ dV
            g["db" + gate] += d.sum(axis=0)
        if reset_after:
            g["dchh"] += bc["dc"][:, t].sum(axis=0)
    return g


def _steps(s: int, reverse: bool) -> range:
    """The steps in the order in which they run."""
    return range(s)[::-1] if reverse else range(s)


def _seen(hp: np.ndarray, masks: np.ndarray | None) -> tuple[np.ndarray, ...] | np.ndarray:
    """The previous state (m, u) as the products of the gates hh, z and r see it."""
    return (hp, hp, hp) if masks is None else masks * hp


def _kept(zoneout: np.ndarray | float | None, h: np.ndarray) -> np.ndarray | None:
    """What share of its previous state every unit keeps at every step (m, s, u)."""
    return None if zoneout is None else np.broadcast_to(np.asarray(zoneout, h.dtype), h.shape)
