"""A builder of layer chains, used while another library's graph is read.

Letters: m samples, s steps, n features of a step, u units. Two layers are merged into one only if that gives the same
numbers, sum by sum.
"""

from __future__ import annotations

from itertools import dropwhile
from typing import Any

import numpy as np

from cgru.activations import identity, tanh
from cgru.interop.gates import Refusal, array
from cgru.layers import Activation, Dense, Embedding, Layer, Pool, Scale

__all__ = ["ChainBuilder", "affine", "dense", "embedding", "per_feature"]


class ChainBuilder:
    """A chain of `layers`, each on the output of the one below; `places` name the source of each addition.

    A traced value is the newest output only as long as its `origin` is the chain's `count`.
    """

    def __init__(self) -> None:
        """Begin with an empty chain."""
        self.layers: list[Any] = []
        self.places: list[tuple[str, bool]] = []  # the name of the source, and whether it is a recurrent layer
        self.depths: list[int] = []  # the number of layers after each addition

    @property
    def count(self) -> int:
        """Return the number of additions to the chain."""
        return len(self.places)

    @property
    def top_name(self) -> str:
        """Return the name of the source of the last addition."""
        return self.places[-1][0] if self.places else "the input"

    def add(self, layer: Layer, place: str) -> None:
        """Add a layer on top of the chain, or merge it into the top layer. `place` names its source."""
        self.places.append((place, bool(layer.cells)))
        below = self.layers[-1] if self.layers else None
        nothing = below is not None and getattr(layer, "activate", None) is identity and not layer.p
        merge = MERGES.get((type(below), type(layer)))
        if not nothing and (merge is None or not merge(below, layer)):
            self.layers.append(layer)
        self.depths.append(len(self.layers))

    def add_last_step(self, place: str) -> None:
        """Reduce the output of the top layer to its last step."""
        newest = self.layers[-1]
        if newest.cells == (newest,) and not newest.reverse and newest.sequences:
            self.keep_last_state(place)
        else:
            self.add(Pool("last"), place)

    def keep_last_state(self, place: str) -> None:
        """Make the top layer, a recurrent one, return its last state instead of all states."""
        self.layers[-1].sequences = False
        self.change_top(place)

    def change_top(self, place: str) -> None:
        """Note that the top layer was changed, so that its output so far is not the newest any more."""
        self.places.append((place, False))
        self.depths.append(len(self.layers))

    def add_attention(self, count: int, place: str, refuse: Refusal) -> None:
        """Turn the layers above addition number `count`, which score its steps, into a Pool of these steps.

        Refuse all but Linear(u, 1), and Linear(u, n), tanh and Linear(n, 1), and a constant factor of the scores. The
        bias of the last of two layers is left out: it adds the same to all scores, which changes no weight.
        """
        depth = self.depths[count - 1]
        scorers = self.layers[depth:]
        if len(scorers) > 1 and scorers[-1].stream == "elementwise" and "scale" in scorers[-1].p:
            *scorers, factor = scorers
            if factor.trainable or not scorers[-1].is_head:
                raise refuse("expected no factor of the scores that is trained, or of what is no Linear")
            scorers[-1].p["W"] = scorers[-1].p["W"] * factor.p["scale"]
        functions = [layer.activate if layer.is_head else None for layer in scorers]
        merged = scorers and self.depths[count] == depth  # into the layer that is weighed
        if merged or functions not in ([identity], [tanh, identity]) or scorers[-1].d["u"] != 1:
            raise refuse("expected weights of softmax(Linear(u, 1)) or of softmax(Linear(n, 1)(tanh(Linear(u, n))))")
        if self.layers[depth - 1].changes_steps:
            raise refuse("expected a Linear or a GRU behind unfold and flatten first")
        if len({layer.trainable for layer in scorers}) > 1:
            raise refuse("expected requires_grad of all parameters of the scores or of none, got both")
        first, *last = scorers
        pool = Pool("attention", first.d["u"] if last else None, dtype=first.dtype)
        pool.p |= first.p | ({"V": last[0].p["W"]} if last else {})
        pool.trainable = first.trainable
        del self.layers[depth:]
        self.add(pool, place)

    def above_recurrent(self) -> str | None:
        """Return the name of the lowest non-recurrent addition above a recurrent layer; None if there is none."""
        above = dropwhile(lambda piece: not piece[1], self.places)
        return next((place for place, recurrent in above if not recurrent), None)


def _merge_activation(below: Dense, layer: Activation) -> bool:
    """Give the Dense below the function of `layer` if it has none; return whether it was merged."""
    if below.activate is not identity:
        return False
    below.activate, below.se_hPars = layer.activate, layer.se_hPars
    return True


def _merge_shift(below: Dense | Scale, layer: Scale) -> bool:
    """Give the layer below the shift of `layer` if neither does anything else; return whether it was merged."""
    row = below.parameter_names[1]
    if getattr(below, "activate", identity) is not identity or layer.trainable != below.trainable:
        return False
    if below.p[row].any() or (layer.p["scale"] != 1).any():
        return False
    below.p[row] = layer.p["shift"]
    return True


# By the layer below and the one on top: the function that merges them if that gives the same numbers.
MERGES = {(Dense, Activation): _merge_activation, (Dense, Scale): _merge_shift, (Scale, Scale): _merge_shift}


def dense(W: Any, b: Any, name: str, refuse: Refusal, activate: Any = identity, se_hPars: Any = None) -> Dense:
    """Return a Dense layer with weights W (n, u) and bias b (u,), (1, u), a number or None for zeros.

    Weights that do not fit are refused.
    """
    W = array(W, name)
    b = np.zeros(1, W.dtype) if b is None else array(b, f"{name}, its bias")
    if W.ndim != 2 or 0 in W.shape or b.dtype != W.dtype or b.shape not in ((), (1,), W.shape[1:], (1, W.shape[1])):
        raise refuse(f"expected weights (n, u) and a bias (u,), got {W.dtype} {W.shape} and {b.dtype} {b.shape}")
    layer = Dense(W.shape[1], activate, se_hPars=se_hPars, dtype=W.dtype)
    layer.p |= {"W": np.array(W, order="C"), "b": np.array(np.broadcast_to(b, (1, W.shape[1])))}
    return layer


def embedding(E: Any, name: str, refuse: Refusal) -> Embedding:
    """Return an Embedding layer with the table E (v, u)."""
    E = array(E, name)
    if E.ndim != 2 or 0 in E.shape:
        raise refuse(f"expected a table (tokens, units), got {E.shape}")
    layer = Embedding(*E.shape, dtype=E.dtype)
    layer.p["E"] = np.array(E, order="C")
    return layer


def affine(sign: str, c: np.ndarray, first: Any, n: int, dtype: np.dtype) -> Scale:
    """Return x + c, x - c, x * c or x / c (`sign`), or c - x with c `first`, as a Scale; c is a number or (n,).

    With c `first` it is c + x, c - x or c * x.
    """
    times, plus = {"add": (1, c), "sub": (-1, c) if first else (1, -c), "mul": (c, 0)}.get(sign) or (1 / c, 0)
    rows = (np.array(np.broadcast_to(np.asarray(value, dtype), (n,))) for value in (times, plus))
    return Scale(*rows, dtype=dtype)


def per_feature(constant: np.ndarray, n: int | None, rank: int) -> tuple[np.ndarray, int] | None:
    """Return (constant as (1,) or (n,), n), or None unless it broadcasts over the last axis of an array (..., n) alone.

    `rank` is the number of axes of that array. None also if n is neither given nor seen in the constant.
    """
    constant = np.asarray(constant)
    sizes = constant.shape
    if len(sizes) > rank or any(size != 1 for size in sizes[:-1]):
        return None
    last = sizes[-1] if sizes else 1
    n = last if n is None and last > 1 else n
    if n is None or last not in (1, n):
        return None
    return constant.reshape(last), n
