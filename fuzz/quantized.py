"""Layers with int8 and bfloat16 weights against cgru.quantized.quantized_reference, NumPy's definition of both."""

from __future__ import annotations

import numpy as np

import cgru
from cgru.activations import bind
from cgru.core.lengths import mask
from cgru.quantized import quantized_reference as reference
from fuzz.networks import Dice

GATES = ("activate", "activate_update", "activate_reset")


def case(seed: int) -> str:
    """Quantise a network of one random GRU, and compare its states with the definition's; return the kind."""
    dice = Dice(seed)
    kind, u, e = dice.among("int8", "bfloat16"), dice.number(1, 70), dice.number(1, 60)
    m, s = dice.number(1, 40), dice.number(1, 8)
    layer = cgru.GRU(
        u, activate_reset=dice.among(cgru.sigmoid, cgru.tanh), sequences=True, reset_after=dice.chance(),
        learn_h0=dice.chance(0.3), reverse=dice.chance(0.3), zoneout=dice.among(0.0, 0.25),
    )  # fmt: skip
    net = cgru.Network([layer, cgru.Dense(2, "identity")], dtype=np.float32, seed=seed)
    X, lengths = dice.normal(m, s, e).astype(np.float32), dice.lengths(m, s)
    if lengths is not None:
        X[np.arange(s) >= lengths[:, None]] = 1e30
    net.make(X)
    for array in layer.p.values():
        array[...] = dice.normal(*array.shape) * (0.6 / np.sqrt(len(array)))
    calibrated = {"calibration": X, "lengths": lengths} if dice.chance(0.3) else {}
    small = cgru.quantize(net, kind, **calibrated).layers[0]
    h0 = np.tanh(dice.normal(m, u)).astype(np.float32) if dice.chance() else None
    decay = np.clip(dice.rng.uniform(-0.5, 1.5, (m, s, 1)), 0, 1).astype(np.float32) if dice.chance(0.3) else None
    got = small.predict(X, lengths, h0, decay=None if decay is None else decay[:, :, 0])

    real = np.ones((m, s, 1), bool) if lengths is None else mask(lengths, s)
    first = np.repeat(small.p["h0"], m, axis=0) if h0 is None and "h0" in small.p else h0
    due = reference.forward(
        small.p, X, first, lengths, *(bind(getattr(small, gate), small.se_hPars) for gate in GATES),
        x_bound=small.weights.x_bound, bound=small.bound, zoneout=small.zoneout, reverse=small.reverse,
        decay=None if decay is None else np.where(real, decay, np.float32(1)),
    )  # fmt: skip
    within = 1e-5
    if kind == "int8":  # a row may be rounded to the code beside, of the inputs and of the states
        most = max(small.weights.x_bound, np.abs(np.where(real, X, 0)).max())
        for letter, bound in (("U", most), ("V", max(1, np.abs(due).max()))):
            weights = [reference.dequantize(small.p[n], small.p[f"scale_{n}"]) for n in small.p if n[0] == letter]
            within += 2 * bound / 127 * max(np.abs(W).max() for W in weights)
    np.testing.assert_allclose(got, due * real, rtol=0, atol=within, err_msg=repr(small))
    return kind
