"""Layers and their passes against cgru.reference, with arrays that lie oddly, are bound anew or freed meanwhile."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

import cgru
from cgru import reference
from cgru.activations import bind
from fuzz.networks import Dice

TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 2e-3}  # of the largest number of an array
MASKS = ("input_mask", "recurrent_masks", "zoneout")
GATES = ("activate", "activate_update", "activate_reset")


def case(seed: int) -> None:
    """Run a random layer several times, go back in another order, and compare all with the reference."""
    dice = Dice(seed)
    layer, e = random_layer(dice)
    runs = []
    for _ in range(dice.number(1, 3)):
        runs.append(Run(dice, layer, e))
        if dice.chance(0.3):  # the same numbers in other memory
            for name, array in layer.p.items():
                layer.p[name] = laid_out(dice, array.copy())
        if dice.chance(0.2):
            gc.collect()
    for i in dice.rng.permutation(len(runs)):
        runs[i].check(layer)


def random_layer(dice: Dice) -> tuple[cgru.GRU, int]:
    """Return a GRU that has parameters, and its features of a step."""
    layer = cgru.GRU(
        dice.number(1, 70),
        dice.among(cgru.tanh, cgru.tanh, cgru.elu, cgru.relu, cgru.identity),
        dice.among(cgru.sigmoid, cgru.sigmoid, cgru.tanh),
        dice.among(cgru.sigmoid, cgru.sigmoid, cgru.tanh),
        dtype=dice.among(np.float64, np.float64, np.float32),
        sequences=dice.chance(),
        reverse=dice.chance(0.3),
        learn_h0=dice.chance(0.3),
        **{dice.among("reset_after", "layer_norm"): dice.chance()},
        **{dice.among("dropout", "recurrent_dropout", "zoneout"): dice.among(0.0, 0.3)},
        preactivations=dice.among(None, False) if dice.chance() else True,
        rng=dice.number(0, 99),
    )
    e = dice.number(1, 60)
    layer.make(np.zeros((1, 1, e)))
    for array in layer.p.values():
        array[...] = dice.normal(*array.shape) * (0.6 / np.sqrt(len(array)))
    return layer, e


def laid_out(dice: Dice, A: np.ndarray) -> np.ndarray:
    """Return the numbers of A with other strides, or at an address that is no multiple of a line."""
    way = dice.number(0, 4)
    if way == 1:
        return np.asfortranarray(A)
    if way == 2:
        wide = np.empty((*A.shape[:-1], 2 * A.shape[-1]), A.dtype)
        wide[..., ::2] = A
        return wide[..., ::2]
    if way == 3:
        return A[..., ::-1].copy()[..., ::-1]
    if way == 4:
        room = np.empty(A.size + 3, A.dtype)[dice.number(1, 3) :][: A.size].reshape(A.shape)
        room[...] = A
        return room
    return A


class Run:
    """One pass of a layer, and copies of all that it was given."""

    def __init__(self, dice: Dice, layer: cgru.GRU, e: int) -> None:
        m, s, u = dice.number(1, 40), dice.number(1, 9), layer.d["u"]
        X = dice.normal(m, s, e).astype(layer.dtype)
        self.lengths = dice.lengths(m, s)
        if self.lengths is not None:
            X[np.arange(s) >= self.lengths[:, None]] = dice.among(np.nan, 1e30)
        self.h0 = dice.normal(m, u).astype(layer.dtype) if dice.chance() else None
        self.decay = None
        if dice.chance(0.3):
            which = dice.rng.random((m, s, dice.among(1, u)))
            self.decay = np.where(which < 0.3, 0, np.where(which < 0.6, 1, which)).astype(layer.dtype)
        self.dA = dice.normal(m, s, u) if layer.sequences else dice.normal(m, u)
        self.dstate = dice.normal(m, u).astype(layer.dtype) if dice.chance() else None
        self.X, self.dA = X.copy(), self.dA.astype(layer.dtype)
        decay = None if self.decay is None else self.decay[:, :, 0] if self.decay.shape[2] == 1 else self.decay
        h0 = None if self.h0 is None else laid_out(dice, self.h0.copy())
        self.ran = layer.run(laid_out(dice, X), self.lengths, h0, decay=decay)
        self.predicted = None
        if not any(getattr(layer, name) for name in ("dropout", "recurrent_dropout", "zoneout")):
            self.predicted = layer.predict(laid_out(dice, X), self.lengths, h0, decay=decay)
        self.given = laid_out(dice, self.dA.copy())

    def check(self, layer: cgru.GRU) -> None:
        """Go back, and compare outputs, caches and gradients with the reference's."""
        p = {name: np.array(array, np.float64) for name, array in layer.p.items()}
        flags = {name: getattr(layer, name) for name in ("reset_after", "layer_norm", "learn_h0", "reverse")}
        options: dict[str, Any] = flags | {name: double(self.ran.fc[name]) for name in MASKS if name in self.ran.fc}
        gates = [bind(getattr(layer, name), layer.se_hPars) for name in GATES]
        if self.decay is not None:
            real = reference.mask(self.lengths, self.X.shape[1]) if self.lengths is not None else True
            options["decay"] = np.where(real, double(self.decay), 1)
        fc = reference.forward(p, double(self.X), double(self.h0), self.lengths, *gates, **options)
        dA, dstate = double(self.dA), double(self.dstate)
        last = fc["h"][:, 0 if layer.reverse else -1]
        if layer.sequences:
            due = fc["h"] if self.lengths is None else np.where(reference.mask(self.lengths, dA.shape[1]), fc["h"], 0)
        else:
            due, dA, dstate = last, np.zeros_like(fc["h"]), dA + (0 if dstate is None else dstate)
        bc = reference.backward(p, fc, dA, self.lengths, *gates, dstate=dstate, **options)
        g = reference.gradients(p, fc, bc, self.lengths, begins=self.h0 is None, **options)
        close(self.ran.A, due, layer, "A")
        close(self.ran.state, last, layer, "state")
        if self.predicted is not None:
            close(self.predicted, due, layer, "predict")
        close(self.ran.backward(self.given, self.dstate), bc["dX"], layer, "dX")
        close(self.ran.dh0, first(bc["dh"], self.lengths, layer.reverse), layer, "dh0")
        if self.decay is not None:
            close(np.reshape(self.ran.bc["dg"], bc["dg"].shape), bc["dg"], layer, "dg")
        for name, array in self.ran.gradients().items():
            close(array, g[name], layer, name)
        for name in ("h", "hp", "z", "r", "hh"):
            close(self.ran.fc[name], fc[name], layer, f"fc {name}")


def first(A: np.ndarray, lengths: np.ndarray | None, reverse: bool) -> np.ndarray:
    """Return of A (m, s, u) the row of each sample's step that ran first."""
    return A[np.arange(len(A)), reference.ends(*A.shape[:2], lengths, reverse)[0]]


def double(A: Any) -> Any:
    """Return an array in float64; None, and a number, as it is."""
    return np.asarray(A, np.float64) if isinstance(A, np.ndarray) else A


def close(got: np.ndarray, due: np.ndarray, layer: cgru.GRU, name: str) -> None:
    """Raise AssertionError where `got` is not `due` but for rounding."""
    most = TOLERANCE[layer.dtype] * max(np.abs(due).max(initial=0), 0.1)
    np.testing.assert_allclose(got, due, rtol=0, atol=most, err_msg=f"{name} of {layer!r}")
