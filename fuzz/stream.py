"""Streams, step by step and over new starts, against predict of the whole sequences."""

from __future__ import annotations

import numpy as np

import cgru
from fuzz.networks import Dice, network, randomise

TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-3}  # of the largest output


def case(seed: int) -> str | None:
    """Stream some sequences through a random network, one after the other; return "refused" where none streams."""
    dice = Dice(seed)
    tokens, gaps = dice.among((0, False), (0, False), (dice.number(1, 6), False), (0, True))
    net = network(dice, dice.among("truncate", "truncate", "truncate", "whole"), tokens, gaps)
    m, e = dice.number(1, 5), dice.number(1, 7)
    net.make(np.zeros((1, 1), int) if tokens else np.zeros((1, 1, e)))
    randomise(net, dice)
    if not tokens and dice.chance(0.3):
        net.mean, net.scale = dice.normal(e), np.exp(dice.normal(e))
    try:
        stream = cgru.Stream(net, m, dice.number(1, 3))
    except ValueError:
        return "refused"
    for _ in range(dice.number(1, 3)):
        follow(dice, net, stream, m, tokens or e, gaps)
        stream.reset()
    return None


def follow(dice: Dice, net: cgru.Network, stream: cgru.Stream, m: int, e: int, gaps: bool) -> None:
    """Stream m sequences of e features, or of so many tokens, and compare."""
    s, frames = dice.number(8, 14), any(layer.steps.count for layer in net.layers)
    tokens = "tokens" in net.layers[0].reads
    X = dice.rng.integers(0, e, (m, s)) if tokens else dice.normal(m, s, e).astype(net.dtype)
    beside = {}
    if gaps:
        X[dice.rng.random(X.shape) < 0.3] = np.nan
        beside["times"] = np.cumsum(dice.rng.random((m, s)), axis=1).astype(net.dtype)
    if not frames and not any(isinstance(layer, cgru.Pool) or layer.steps.needs == "past" for layer in net.layers):
        which = dice.rng.random((m, s))
        if dice.chance(0.3):
            beside["resets"] = which < 0.3
        elif dice.chance(0.3):
            beside["decay"] = np.where(which < 0.3, 0, np.where(which < 0.6, 1, which))
    found = []
    for t in range(s):
        own = {name: array[:, t] for name, array in beside.items() if name != "times"}
        dt = beside["times"][:, t] - beside["times"][:, t - 1] if gaps and t else None
        y = stream.step(X[:, t], dt, **own)
        assert frames or y is not None
        if y is not None:
            found.append(y.copy())
            if not frames and not net.per_step:
                part = {name: array[:, : t + 1] for name, array in beside.items()}
                close(net, y, net.predict(cgru.Sequences(X[:, : t + 1], **part)))
    if frames:
        found += [y.copy() for y in stream.finish().swapaxes(0, 1)]
    due = net.predict(cgru.Sequences(X, **beside))
    close(net, np.stack(found, axis=1) if net.per_step else found[-1], due)


def close(net: cgru.Network, got: np.ndarray, due: np.ndarray) -> None:
    """Raise AssertionError where outputs differ by more than rounding."""
    most = TOLERANCE[net.dtype] * max(1, np.abs(due).max())
    np.testing.assert_allclose(got, due, rtol=0, atol=most, err_msg=repr(net))
