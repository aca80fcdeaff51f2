"""The GRU layer in plain NumPy: its definition, which tests and benchmarks compare the compiled code with.

Letters: m samples, s steps, e features of a step, u units. A trailing underscore means "before the activation". A step
from the state hp:

    r_  = X Ur  + hp Vr  + br           r  = activate_reset(r_)
    z_  = X Uz  + hp Vz  + bz           z  = activate_update(z_)
    hh_ = X Uhh + (r * hp) Vhh + bhh    hh = activate(hh_)
    h   = z * hp + (1 - z) * hh

The gates are those of Cho et al., 2014 (arXiv:1406.1078), the reset gate applied before the matrix product. `activate`,
`activate_update` and `activate_reset` are callables `f(x, deriv=False)` on (m, u) arrays.

`forward`, `backward` and `gradients` share these options, all off unless given. Masks are arrays in the dtype of the
parameters, drawn elsewhere and the same in all three.

- `reset_after`: the reset gate after the product, with one more parameter, `chh` (1, u): hh_ = X Uhh + bhh + r * (hp
  Vhh + chh), the cell of cuDNN and PyTorch.
- `layer_norm`: the same with normalised products. The rows of `x [Uz Ur Uhh]` and of `hp [Vz Vr Vhh]`, 3 u numbers
  each, are brought to mean 0 and variance 1 (`EPSILON` is added to the variance) and multiplied by gains `gU` and `gV`
  (1, 3 u) before the biases come in. Ba, Kiros and Hinton, 2016 (arXiv:1607.06450).
- `learn_h0`: with one more parameter, `h0` (1, u): the state before the step that runs first where none is given.
- `reverse`: the sequence runs from each sample's last real step down to step 0. All arrays are indexed by their own
  step, so the previous state is that of step t + 1: `hp[:, t]` is `h[:, t + 1]`, and the last state is at step 0. See
  `ends`.
- `input_mask`: (m, e), multiplies X at every step; 0 or 1 / (1 - rate). Gal and Ghahramani, 2016 (arXiv:1512.05287).
- `recurrent_masks`: (3, m, u), of the gates hh, z, r; each multiplies `hp` in its gate's product at every step, while
  the carry `z * hp` is unmasked; 0 or 1 / (1 - rate), as in Keras.
- `decay`: (m, s, 1) or (m, s, u), from 0 to 1, and 1 past a sample's length: the factor g of the state as it enters a
  step, before all else that the step does with it: `hp = g * (the state a step earlier) + (1 - g) * b`, where b is
  zero, or the learned h0. 1 changes nothing, 0 replaces the state whole. The factor of step t stands between t - 1 and
  t; in reverse the state of t + 1 enters t with the factor of t + 1, and the last real step has none. See
  `cgru.core.decay.entering`.
- `zoneout`: (m, s, u), 1 where a unit keeps its previous state, else 0; or in inference the rate itself, a float, which
  gives the expectation. Krueger et al., 2017 (arXiv:1606.01305).
- `clamp`: a dict with some of the gates "z", "r" and the state after the step "h", each (m, s, u): numbers that a unit
  is held at in a step, NaN where the layer decides. They are constants, through which no gradient passes.

`switching_forward`, `switching_backward` and `switching_gradients` are those of a `SwitchingGRU`: the inputs are tokens
k, each of which has its own weights V (u, 3 u) and biases, the columns those of r, z and hh. Ji-An, Benna and Mattar,
2025 (doi 10.1038/s41586-025-09142-4).

    [r_ | z_ | c] = [U_r | U_z | b][k] + hp V[k]        hh_ = U_hh[k] + r * c        r, z, hh and h as above
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cgru.activations import sigmoid, tanh
from cgru.core.decay import boundaries, entering
from cgru.core.lengths import ends, mask
from cgru.variant import RESET_BEFORE, Variant, variant_of

__all__ = [
    "PARAMETERS", "backward", "ends", "forward", "gradients", "mask", "names", "start_gradient", "switching_backward",
    "switching_forward", "switching_gradients",
]  # fmt: skip

Arrays = dict[str, np.ndarray]
Activation = Callable[..., np.ndarray]

PARAMETERS = RESET_BEFORE.names
GATES = ("z", "r", "hh")
EPSILON = 1e-5


def names(reset_after: bool = False, layer_norm: bool = False, learn_h0: bool = False) -> tuple[str, ...]:
    """Return the names of the parameters in their order; see `cgru.variant`.

    Args:
        reset_after: whether the reset gate is applied after the product.
        layer_norm: whether the products are normalised.
        learn_h0: whether the initial state is a parameter.

    Returns:
        The names.

    Examples:
        >>> cgru.reference.names(reset_after=True)
        ('Uz', 'Vz', 'bz', 'Ur', 'Vr', 'br', 'Uhh', 'Vhh', 'bhh', 'chh')
    """
    return variant_of(reset_after=reset_after, layer_norm=layer_norm, learn_h0=learn_h0).names


def forward(
    p: Mapping[str, np.ndarray],
    X: np.ndarray,
    h0: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    activate: Activation = tanh,
    activate_update: Activation = sigmoid,
    activate_reset: Activation = sigmoid,
    *,
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
    decay: np.ndarray | None = None,
    clamp: Mapping[str, np.ndarray] | None = None,
    **options: bool,
) -> Arrays:
    """Run X (m, s, e) from h0 (m, u), and return the caches.

    Args:
        p: the parameters by name.
        X: the input (m, s, e).
        h0: the state (m, u) before the step that runs first; None: zeros, or p["h0"] with `learn_h0`.
        lengths: (m,) the real steps of each sample; None: all.
        activate: the activation of the candidate state.
        activate_update: that of the update gate.
        activate_reset: that of the reset gate.
        reverse: an option of the module.
        input_mask: likewise.
        recurrent_masks: likewise.
        zoneout: likewise.
        decay: likewise.
        clamp: likewise.
        **options: `reset_after`, `layer_norm`, `learn_h0`, likewise.

    Returns:
        A dict of `X, h, hp, hh_, hh, z, z_, r, r_`. All but X, which is unchanged, are (m, s, u) in the dtype of the
        parameters. Past a sample's length `h` and `hp` repeat its last state, or h0 in `reverse`; the other caches are
        zero. So the last state of all samples is `h[:, -1]`, or in `reverse` `h[:, 0]`.

        With `reset_after` there is one more cache, `c`, the part of `hh_` that the reset gate scales. With `layer_norm`
        there are also `nU, nV` (m, s, 3 u), the normalised products before their gains, and `iU, iV` (m, s, 1), their
        factors 1 / sqrt(variance + EPSILON). With `decay`, `hp` is the state after it, and `before` the state that met
        it.

    Raises:
        KeyError: p lacks a parameter of the variant.
        TypeError: an option is unknown.
        ValueError: X is not (m, s, e), or its number of features is not that of p.

    Examples:
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> X = np.random.default_rng(0).standard_normal((2, 6, 3))
        >>> A = layer.forward(X)
        >>> np.allclose(cgru.reference.forward(layer.p, X)["h"], A)
        True
    """
    variant = variant_of(**options)
    m, s, _ = X.shape
    u = p["Vz"].shape[0]
    dtype = p["Vz"].dtype
    own = ("hh_", "hh", "z_", "z", "r_", "r", *variant.caches)
    fc = {name: np.zeros((m, s, variant.width(name, u)), dtype) for name in own}
    states = np.zeros((m, s + 1, u), dtype)
    early, late = states[:, :-1], states[:, 1:]
    h, before = (early, late) if reverse else (late, early)
    fc |= {"X": X, "h": h, "hp": before}
    if decay is not None:
        fc |= {"before": before, "hp": np.zeros((m, s, u), dtype)}
        start, decay = p["h0"] if variant.learn_h0 else dtype.type(0), entering(decay, lengths, reverse)
    steps = _steps(s, reverse)
    if h0 is None and variant.learn_h0:
        h0 = p["h0"]  # of every sample
    if h0 is not None:
        before[:, steps[0]] = h0
    real = None if lengths is None else mask(lengths, s)
    k = _zoneout_shares(zoneout, fc["h"])

    for t in steps:
        x, hp = X[:, t], before[:, t]
        if decay is not None:
            fc["hp"][:, t] = hp = decayed(hp, decay[:, t], start)
        if real is not None:
            x = np.where(real[:, t], x, 0)  # so that padding is never read, even if it holds NaN
        if input_mask is not None:
            x = x * input_mask
        masked_hp = _mask_state(hp, recurrent_masks)

        a, b, step = _products(p, x, masked_hp, variant)
        r_ = a["r"] + b["r"] + p["br"]
        r = _held(activate_reset(r_), clamp, "r", t)
        z_ = a["z"] + b["z"] + p["bz"]
        z = _held(activate_update(z_), clamp, "z", t)
        if variant.reset_after:
            step["c"] = c = b["hh"] + p["chh"]
            hh_ = a["hh"] + p["bhh"] + r * c
        else:
            hh_ = a["hh"] + (r * masked_hp["hh"]) @ p["Vhh"] + p["bhh"]
        hh = activate(hh_)
        h = z * hp + (1 - z) * hh
        if k is not None:
            h = k[:, t] * hp + (1 - k[:, t]) * h
        h = _held(h, clamp, "h", t)

        step |= {"r_": r_, "r": r, "z_": z_, "z": z, "hh_": hh_, "hh": hh}
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
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
    decay: np.ndarray | None = None,
    clamp: Mapping[str, np.ndarray] | None = None,
    **options: bool,
) -> Arrays:
    """Backpropagate dA = dL/dh (m, s, u) through all steps; `gradients` then computes the parameters' gradients.

    A step receives dhn from the step after it (Werbos, 1990, doi 10.1109/5.58337):

        dh_  = dA + dhn
        dhh_ = dh_ * (1 - z) * activate'(hh_)
        dz_  = dh_ * (hp - hh) * activate_update'(z_)
        dr_  = (dhh_ Vhh^T) * hp * activate_reset'(r_)
        dh   = (dhh_ Vhh^T) * r + dz_ Vz^T + dr_ Vr^T + dh_ * z
        dX   = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T

    Args:
        p: the parameters by name.
        fc: the caches that `forward` returned.
        dA: dL/dh (m, s, u).
        lengths: (m,) the real steps of each sample; None: all.
        activate: the activation of the candidate state.
        activate_update: that of the update gate.
        activate_reset: that of the reset gate.
        dstate: (m, u) dL/d(last state), which joins dA at each sample's own last step; None: zero.
        reverse: an option of the module.
        input_mask: likewise.
        recurrent_masks: likewise.
        zoneout: likewise.
        decay: likewise.
        clamp: likewise.
        **options: `reset_after`, `layer_norm`, `learn_h0`, likewise.

    Returns:
        A dict of `dA, dh_, dh, dhn, dhh_, dz_, dr_` (m, s, u) and `dX` (m, s, e). `dh[:, t]` is the gradient that step
        t passes to the step that ran before it, and `dhn[:, t]` the one it received, so dL/dh0 is `dh[:, 0]`, or in
        `reverse` `dh` at each sample's last real step (see `ends`). Past a sample's length all are zero.

        With `reset_after` there is one more, `dc` = dL/dc, with `layer_norm` also `dU_` and `dV_` (m, s, 3 u) =
        dL/d(the products before they are normalised). With `decay` there are also `dhp` = dL/dhp, of which `dh` is the
        part that the factor lets through, and `dg` = dL/d(decay), of its shape.

    Examples:
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> A = layer.forward(np.random.default_rng(0).standard_normal((2, 6, 3)))
        >>> np.allclose(cgru.reference.backward(layer.p, layer.fc, A)["dX"], layer.backward(A))
        True
    """
    variant = variant_of(**options)
    m, s, u = fc["h"].shape
    dtype = p["Vz"].dtype
    real = None if lengths is None else mask(lengths, s)
    if real is not None:
        dA = np.where(real, dA, 0)
    if dstate is not None:
        dA = np.array(dA, dtype)
        dA[np.arange(m), ends(m, s, lengths, reverse)[1]] += dstate
    own = ("dh_", "dh", "dhn", "dhh_", "dz_", "dr_", *variant.gradients)
    bc = {name: np.zeros((m, s, variant.width(name, u)), dtype) for name in own}
    bc |= {"dA": dA, "dX": np.zeros(fc["X"].shape, dtype)}
    m_hh, m_z, m_r = (1, 1, 1) if recurrent_masks is None else recurrent_masks
    k = _zoneout_shares(zoneout, fc["h"])
    if decay is not None:
        bc["dhp"], factor = np.zeros((m, s, u), dtype), entering(decay, lengths, reverse)

    dhn = np.zeros((m, u), dtype)
    for t in reversed(_steps(s, reverse)):
        hp, hh, z, r = (fc[name][:, t] for name in ("hp", "hh", "z", "r"))

        dh_ = _held(dA[:, t] + dhn, clamp, "h", t, at=0)
        dn = dh_ if k is None else dh_ * (1 - k[:, t])  # the gradient of the new state, after zoneout
        dhh_ = dn * (1 - z) * activate(fc["hh_"][:, t], deriv=True)
        dz_ = _held(dn * (hp - hh) * activate_update(fc["z_"][:, t], deriv=True), clamp, "z", t, at=0)
        step = {"dh_": dh_, "dhn": dhn, "dhh_": dhh_, "dz_": dz_}
        if variant.reset_after:  # d: the gradient that goes back through Vhh; by: its factor after that
            step["dc"] = d = dhh_ * r
            dr, by = dhh_ * fc["c"][:, t], 1
        else:
            d, by = dhh_, r
            dr = dhh_ @ p["Vhh"].T * hp * m_hh
        step["dr_"] = dr_ = _held(dr * activate_reset(fc["r_"][:, t], deriv=True), clamp, "r", t, at=0)

        dU = {"z": dz_, "r": dr_, "hh": dhh_}
        dV = dU | {"hh": d}
        if variant.layer_norm:
            nU, nV, iU, iV = (fc[name][:, t] for name in ("nU", "nV", "iU", "iV"))
            dU, step["dU_"] = _layer_norm_backward(dU, p["gU"], nU, iU)
            dV, step["dV_"] = _layer_norm_backward(dV, p["gV"], nV, iV)
        dh = dV["hh"] @ p["Vhh"].T * by * m_hh + dV["z"] @ p["Vz"].T * m_z + dV["r"] @ p["Vr"].T * m_r + dn * z
        if k is not None:
            dh = dh + dh_ * k[:, t]
        dX = dU["hh"] @ p["Uhh"].T + dU["z"] @ p["Uz"].T + dU["r"] @ p["Ur"].T
        if input_mask is not None:
            dX = dX * input_mask

        if decay is not None:
            step["dhp"], dh = dh, np.where(factor[:, t] > 0, factor[:, t] * dh, 0)
        step |= {"dh": dh, "dX": dX}
        for name, value in step.items():
            bc[name][:, t] = value if real is None else np.where(real[:, t], value, 0)
        dhn = bc["dh"][:, t]
    if decay is not None:
        bc["dg"] = decay_gradient(bc["dhp"], fc["before"], decay, p.get("h0", dtype.type(0)), lengths, reverse)
    return bc


def gradients(
    p: Mapping[str, np.ndarray],
    fc: Mapping[str, np.ndarray],
    bc: Mapping[str, np.ndarray],
    lengths: np.ndarray | None = None,
    *,
    begins: np.ndarray | bool = True,
    reverse: bool = False,
    input_mask: np.ndarray | None = None,
    recurrent_masks: np.ndarray | None = None,
    zoneout: np.ndarray | float | None = None,
    decay: np.ndarray | None = None,
    clamp: Mapping[str, np.ndarray] | None = None,
    each: bool = False,
    **options: bool,
) -> Arrays:
    """Compute the gradients of all parameters from the forward and backward caches, summed over samples and steps.

        dUz  = sum X^T dz_      dVz  = sum hp^T dz_           dbz  = sum dz_          and r as z
        dUhh = sum X^T dhh_     dVhh = sum (r * hp)^T dhh_    dbhh = sum dhh_

    Steps are summed in the order in which they ran back, the last one first.

    Args:
        p: the parameters by name.
        fc: the caches that `forward` returned.
        bc: the caches that `backward` returned.
        lengths: (m,) the real steps of each sample; None: all.
        begins: which samples began at the learned h0, of use with `learn_h0` alone; see `start_gradient`.
        reverse: an option of the module.
        input_mask: likewise.
        recurrent_masks: likewise.
        zoneout: likewise; it changes nothing here, since `fc` and `bc` have it already.
        decay: an option of the module.
        clamp: likewise; it changes nothing here, since `fc` and `bc` have it already.
        each: whether to return the gradients of each sample, (m, ...), summed over its steps.
        **options: `reset_after`, `layer_norm`, `learn_h0`, as in the module's list.

    Returns:
        A dict of `'d' + name` for each parameter.

    Examples:
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> dX = layer.backward(layer.forward(np.random.default_rng(0).standard_normal((2, 6, 3))))
        >>> layer.compute_gradients()
        >>> g = cgru.reference.gradients(layer.p, layer.fc, layer.bc)
        >>> all(np.allclose(g[name], layer.g[name]) for name in g)
        True
    """
    variant = variant_of(**options)
    m, s, _ = fc["h"].shape
    g = {"d" + name: np.zeros((m, *p[name].shape) if each else p[name].shape, p[name].dtype) for name in variant.names}
    real = None if lengths is None else mask(lengths, s)
    for t in reversed(_steps(s, reverse)):
        X, r = fc["X"][:, t], fc["r"][:, t]
        if real is not None:
            X = np.where(real[:, t], X, 0)
        if input_mask is not None:
            X = X * input_mask
        dhh_, dz_, dr_ = (bc[name][:, t] for name in ("dhh_", "dz_", "dr_"))
        masked_hp = _mask_state(fc["hp"][:, t], recurrent_masks)
        dU = {"z": dz_, "r": dr_, "hh": dhh_}
        if variant.reset_after:
            dV = dU | {"hh": bc["dc"][:, t]}
            g["dchh"] += _summed(dV["hh"], each)
        else:
            dV, masked_hp["hh"] = dU, r * masked_hp["hh"]
        for gate in GATES:
            g["db" + gate] += _summed(dU[gate], each)
        if variant.layer_norm:
            g["dgU"] += _summed(_concatenate_gates(dU) * fc["nU"][:, t], each)
            g["dgV"] += _summed(_concatenate_gates(dV) * fc["nV"][:, t], each)
            dU, dV = _split_gates(bc["dU_"][:, t]), _split_gates(bc["dV_"][:, t])
        for gate in GATES:
            g["dU" + gate] += _outer_products(X, dU[gate], each)
            g["dV" + gate] += _outer_products(masked_hp[gate], dV[gate], each)
    if variant.learn_h0:
        g["dh0"] += start_gradient(bc["dh"], begins, lengths, reverse, each)
        if decay is not None:
            g["dh0"] += restart_gradient(bc["dhp"], entering(decay, lengths, reverse), each)
    return g


def start_gradient(
    dh: np.ndarray,
    begins: np.ndarray | bool = True,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    each: bool = False,
) -> np.ndarray:
    """Compute the gradient of the learned h0, summed over the samples that started from it.

    Args:
        dh: (m, s, u), as `backward` returns it.
        begins: which samples began at p["h0"], True for all, or (m,); a state that was given has no share.
        lengths: (m,) the real steps of each sample; None: all.
        reverse: whether the steps ran in reverse.
        each: whether to return the gradient of each sample.

    Returns:
        An array (1, u); with `each` (m, 1, u).

    Examples:
        >>> cgru.reference.start_gradient(np.ones((2, 6, 3)), begins=np.array([True, False]))
        array([[1., 1., 1.]])
    """
    m, s, _ = dh.shape
    first = dh[np.arange(m), ends(m, s, lengths, reverse)[0]]
    return _summed(np.where(np.reshape(begins, (-1, 1)), first, 0), each)


def restart_gradient(dhp: np.ndarray, factor: np.ndarray, each: bool = False) -> np.ndarray:
    """Return the gradient of the learned h0 that comes from `decay`, (1, u); with `each` (m, 1, u).

    `dhp` (m, s, u) is that of `backward`, `factor` what `entering` returned.
    """
    return _summed(((1 - factor) * dhp).sum(axis=1), each)


def decay_gradient(
    dhp: np.ndarray,
    before: np.ndarray,
    decay: np.ndarray,
    start: np.ndarray,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
) -> np.ndarray:
    """Return dL/d(decay) in the shape of decay: dhp * (before - start), summed over units that share a factor.

    `dhp` and `before` (m, s, u) are those of `backward` and of `forward`; `start` (1, u) is what a factor of 0 puts
    there, or the number 0.
    """
    if decay.shape[2] == dhp.shape[2]:
        dg = dhp * (before - start if np.any(start) else before)
    else:
        dg = np.einsum("msu,msu->ms", dhp, before)[:, :, None]
        if np.any(start):
            dg -= dhp @ start.T
    if lengths is not None:  # where the last state may be NaN
        dg = np.where(mask(lengths, dg.shape[1]), dg, dg.dtype.type(0))
    return boundaries(dg, lengths, reverse)


def decayed(h: np.ndarray, g: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return g * h + (1 - g) * start; exactly h where g is 1, and start where g is 0, even if h is not finite."""
    with np.errstate(invalid="ignore"):
        mixed = g * h + (1 - g) * start
    return np.where(g < 1, np.where(g > 0, mixed, start), h)


def _outer_products(a: np.ndarray, d: np.ndarray, each: bool) -> np.ndarray:
    """Return a^T d for rows a (m, n) and d (m, u), summed over samples; with `each` the product of each sample."""
    return a[:, :, None] * d[:, None] if each else a.T @ d


def _summed(d: np.ndarray, each: bool) -> np.ndarray:
    """Return d (m, u) summed over the samples, (1, u); with `each` unsummed as (m, 1, u)."""
    return d[:, None] if each else d.sum(axis=0, keepdims=True)


def switching_forward(
    p: Mapping[str, np.ndarray], X: np.ndarray, h0: np.ndarray | None = None, lengths: np.ndarray | None = None
) -> Arrays:
    """Run a switching GRU on the tokens X (m, s) from h0 (m, u), and return the caches.

    Args:
        p: the parameters U (K, 3 u), V (K, u, 3 u) and b (K, u).
        X: the tokens, integers from 0 to K - 1, also past the lengths.
        h0: the state before the first step; None: zeros.
        lengths: (m,) the real steps of each sample; None: all.

    Returns:
        A dict of `X` and of `h, hp, r, z, hh, c` (m, s, u), where `c` is the part of hh_ that the reset gate scales.
        Past a sample's length `h` and `hp` repeat its last state; the others are zero.

    Examples:
        >>> layer, X = cgru.SwitchingGRU(2, 4, sequences=True, rng=0), np.array([[3, 0, 1]])
        >>> A = layer.forward(X)
        >>> np.allclose(cgru.reference.switching_forward(layer.p, X)["h"], A)
        True
    """
    U, V, bias = (p[name] for name in ("U", "V", "b"))
    m, s, u = *X.shape, V.shape[1]
    real = np.ones((m, s, 1), bool) if lengths is None else mask(lengths, s)
    fc = {name: np.zeros((m, s, u), V.dtype) for name in ("h", "hp", "r", "z", "hh", "c")} | {"X": X}
    hp = np.zeros((m, u), V.dtype) if h0 is None else h0
    for t in range(s):
        a, b = U[X[:, t]], (hp[:, None] @ V[X[:, t]])[:, 0]
        gates = sigmoid(a[:, : 2 * u] + b[:, : 2 * u])
        r, z, c = gates[:, :u], gates[:, u:], b[:, 2 * u :] + bias[X[:, t]]
        hh = tanh(a[:, 2 * u :] + r * c)
        step = {"r": r, "z": z, "hh": hh, "c": c}
        for name, value in step.items():
            fc[name][:, t] = np.where(real[:, t], value, 0)
        fc["hp"][:, t], fc["h"][:, t] = hp, np.where(real[:, t], z * hp + (1 - z) * hh, hp)
        hp = fc["h"][:, t]
    return fc


def switching_backward(
    p: Mapping[str, np.ndarray], fc: Mapping[str, np.ndarray], dA: np.ndarray, lengths: np.ndarray | None = None
) -> Arrays:
    """Backpropagate dA = dL/dh (m, s, u) of a switching GRU through all steps.

    Args:
        p: the parameters.
        fc: the caches that `switching_forward` returned.
        dA: dL/dh. Past a sample's length it is that of its last state.
        lengths: (m,) the real steps of each sample; None: all.

    Returns:
        A dict of `dA`, `dh`, `dr_`, `dz_`, `dhh_` and `dc_` (m, s, u). `dh[:, t]` is what step t passes to the step
        before it, so `dh[:, 0]` is dL/dh0. The others are zero past a sample's length.

    Examples:
        >>> layer = cgru.SwitchingGRU(2, 4, sequences=True, rng=0)
        >>> A = layer.forward(np.array([[3, 0, 1]]))
        >>> dX = layer.backward(A)
        >>> bc = cgru.reference.switching_backward(layer.p, layer.fc, A)
        >>> np.allclose(bc["dz_"], layer.bc["dz_"])
        True
    """
    X, V = fc["X"], p["V"]
    m, s, u = dA.shape
    real = np.ones((m, s, 1), bool) if lengths is None else mask(lengths, s)
    bc = {name: np.zeros((m, s, u), V.dtype) for name in ("dh", "dr_", "dz_", "dhh_", "dc_")} | {"dA": dA}
    dh = np.zeros((m, u), V.dtype)
    for t in reversed(range(s)):
        hp, r, z, hh, c = (fc[name][:, t] for name in ("hp", "r", "z", "hh", "c"))
        dh = dh + dA[:, t]
        dhh_ = dh * (1 - z) * (1 - hh * hh)
        step = {"dr_": dhh_ * c * r * (1 - r), "dz_": dh * (hp - hh) * z * (1 - z), "dc_": dhh_ * r, "dhh_": dhh_}
        d = np.hstack([step[name] for name in ("dr_", "dz_", "dc_")])
        step["dh"] = dh * z + (V[X[:, t]] @ d[:, :, None])[:, :, 0]
        for name, value in step.items():
            bc[name][:, t] = np.where(real[:, t], value, dh if name == "dh" else 0)
        dh = bc["dh"][:, t]
    return bc


def switching_gradients(
    p: Mapping[str, np.ndarray], fc: Mapping[str, np.ndarray], bc: Mapping[str, np.ndarray], each: bool = False
) -> Arrays:
    """Compute the gradients of the parameters of a switching GRU, summed over samples and steps.

    Args:
        p: the parameters.
        fc: the caches that `switching_forward` returned.
        bc: those that `switching_backward` returned.
        each: whether to sum over the steps of each sample only.

    Returns:
        A dict of dU, dV and db, of the shapes of the parameters; with `each` (m, ...).

    Examples:
        >>> layer = cgru.SwitchingGRU(2, 4, sequences=True, rng=0)
        >>> dX = layer.backward(layer.forward(np.array([[3, 0, 1]])))
        >>> g = cgru.reference.switching_gradients(layer.p, layer.fc, layer.bc)
        >>> g["dU"].any(axis=1).tolist()
        [True, True, False, True]
    """
    X, hp = fc["X"], fc["hp"]
    K, u, _ = p["V"].shape
    d = np.concatenate([bc[name] for name in ("dr_", "dz_", "dc_", "dhh_")], axis=2)
    chosen = X[:, :, None, None] == np.arange(K)[:, None]
    states = np.concatenate([np.ones_like(hp[:, :, :1]), hp], axis=2)[:, :, None] * chosen
    found = states.reshape(*X.shape, -1).swapaxes(1, 2) @ d
    found = found.reshape(len(X), K, 1 + u, -1)
    found = found if each else found.sum(axis=0)
    one, own = found[..., 0, :], found[..., 1:, : 3 * u]
    dU = np.concatenate([one[..., : 2 * u], one[..., 3 * u :]], axis=-1)
    return {"dU": dU, "dV": np.ascontiguousarray(own), "db": np.ascontiguousarray(one[..., 2 * u : 3 * u])}


def _products(
    p: Mapping[str, np.ndarray], x: np.ndarray, masked_hp: Arrays, variant: Variant
) -> tuple[Arrays, Arrays, Arrays]:
    """Return (x U by gate, hp V by gate, caches): the gates' products, normalised if the variant is `layer_norm`.

    `masked_hp` is the previous state for each gate, masked by recurrent dropout. If the reset gate comes before the
    product, the product of hh with the state is not computed here.
    """
    a = {gate: x @ p["U" + gate] for gate in GATES}
    b = {gate: masked_hp[gate] @ p["V" + gate] for gate in (GATES if variant.reset_after else GATES[:2])}
    if not variant.layer_norm:
        return a, b, {}
    nU, iU = _layer_norm(_concatenate_gates(a))
    nV, iV = _layer_norm(_concatenate_gates(b))
    return _split_gates(p["gU"] * nU), _split_gates(p["gV"] * nV), {"nU": nU, "nV": nV, "iU": iU, "iV": iV}


def _layer_norm(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalise each row to mean 0 and variance 1; return the rows and 1 / sqrt(variance + EPSILON)."""
    a = a - a.mean(axis=1, keepdims=True)
    i = 1 / np.sqrt((a * a).mean(axis=1, keepdims=True) + a.dtype.type(EPSILON))
    return a * i, i


def _layer_norm_backward(d: Arrays, gain: np.ndarray, n: np.ndarray, i: np.ndarray) -> tuple[Arrays, np.ndarray]:
    """Backpropagate through the layer normalisation; return dL/da as a dict by gate and as one array.

    `d` is dL/d(gain * n) by gate; `n` and `i` are what the forward pass returned for a.
    """
    dn = gain * _concatenate_gates(d)
    da = i * (dn - dn.mean(axis=1, keepdims=True) - n * (dn * n).mean(axis=1, keepdims=True))
    return _split_gates(da), da


def _concatenate_gates(parts: Arrays) -> np.ndarray:
    """Concatenate the gates' arrays along the columns, in the order of `GATES`."""
    return np.hstack([parts[gate] for gate in GATES])


def _split_gates(joined: np.ndarray) -> Arrays:
    """Split the columns of `joined` into the gates' arrays, in the order of `GATES`."""
    return dict(zip(GATES, np.split(joined, 3, axis=1), strict=True))


def _steps(s: int, reverse: bool) -> range:
    """Return the numbers of the steps in the order in which they run."""
    return range(s)[::-1] if reverse else range(s)


def _mask_state(hp: np.ndarray, masks: np.ndarray | None) -> Arrays:
    """Return the previous state (m, u) for each gate's product, multiplied by that gate's recurrent dropout mask."""
    return dict(zip(("hh", "z", "r"), (hp, hp, hp) if masks is None else masks * hp, strict=True))


def _held(
    value: np.ndarray, clamp: Mapping[str, np.ndarray] | None, name: str, t: int, at: float | None = None
) -> np.ndarray:
    """Return `value` (m, u) at step t, with clamped numbers replaced by those of `clamp[name]`, or by `at`."""
    if not clamp or name not in clamp:
        return value
    held = clamp[name][:, t]
    return np.where(np.isnan(held), value, held if at is None else at)


def _zoneout_shares(zoneout: np.ndarray | float | None, h: np.ndarray) -> np.ndarray | None:
    """Broadcast `zoneout` to (m, s, u): the fraction of its old state that a unit keeps at each step."""
    return None if zoneout is None else np.broadcast_to(np.asarray(zoneout, h.dtype), h.shape)
