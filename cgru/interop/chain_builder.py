"""A chain of layers that grows piece by piece, as it is read from another library's graph.

m samples, s steps, n elements of a step, u units. Only what gives the same numbers, sum by sum, is joined to one layer.
"""

from __future__ import annotations

from itertools import dropwhile
from typing import Any

import numpy as np

from cgru.activations import identity
from cgru.interop.gates import Refusal, array
from cgru.layers import Activation, Dense, Embedding, Layer, Pool, Scale

__all__ = ["ChainBuilder", "affine", "dense", "embedding", "per_feature"]


class ChainBuilder:
    """`layers`, each on the output of the one below; `places` say where each piece came from, the newest last.

    What is known of an array is true of the newest piece alone while it says the same `count`.
    """

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.places: list[tuple[str, bool]] = []  # and whether it was a recurrent layer

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return len(self.places)

    @property
    def top_name(self) -> str:
        """Where the newest piece came from."""
        return self.places[-1][0] if self.places else "the input"

    def add(self, layer: Layer, place: str) -> None:
        """A layer upon the others, or into the newest of them."""
        self.places.append((place, bool(layer.cells)))
        below = self.layers[-1] if self.layers else None
        nothing = below is not None and getattr(layer, "activate", None) is identity and not layer.p
        merge = MERGES.get((type(below), type(layer)))
        if not nothing and (merge is None or not merge(below, layer)):
            self.layers.append(layer)

    def add_last_step(self, place: str) -> None:
        """The last step of all that the newest layer gives."""
        newest = self.layers[-1]
        if newest.cells == (newest,) and not newest.reverse and newest.sequences:
            self.keep_last_state(place)
        else:
            self.add(Pool("last"), place)

    def keep_last_state(self, place: str) -> None:
        """The last state of the newest layer, a recurrent one, in the place of all its states."""
        self.layers[-1].sequences = False
        self.places.append((place, False))

    def above_recurrent(self) -> str | None:
        """Where the lowest piece above a recurrent layer came from that is none itself; None: there is none."""
        above = dropwhile(lambda piece: not piece[1], self.places)
        return next((place for place, recurrent in above if not recurrent), None)


def _merge_activation(below: Dense, layer: Activation) -> bool:
    """Give the layer below the function, if it has none; return whether it has it now."""
    if below.activate is not identity:
        return False
    below.activate, below.se_hPars = layer.activate, layer.se_hPars
    return True


def _merge_shift(below: Dense | Scale, layer: Scale) -> bool:
    """Give the layer below the shift, if neither it nor the layer does anything else; return whether it has it now."""
    row = below.parameter_names[1]
    if getattr(below, "activate", identity) is not identity or layer.trainable != below.trainable:
        return False
    if below.p[row].any() or (layer.p["scale"] != 1).any():
        return False
    below.p[row] = layer.p["shift"]
    return True


# By the layer below and the one upon it: what makes one of them, where that gives the same numbers.
MERGES = {(Dense, Activation): _merge_activation, (Dense, Scale): _merge_shift, (Scale, Scale): _merge_shift}


def dense(W: Any, b: Any, name: str, refuse: Refusal, activate: Any = identity, se_hPars: Any = None) -> Dense:
    """X W + b for W (n, u) and b (u,), (1, u), one number or None for zeros; refused where they do not fit."""
    W = array(W, name)
    b = np.zeros(1, W.dtype) if b is None else array(b, f"{name}, its bias")
    if W.ndim != 2 or 0 in W.shape or b.dtype != W.dtype or b.shape not in ((), (1,), W.shape[1:], (1, W.shape[1])):
        raise refuse(f"expected weights (n, u) and a bias (u,), got {W.dtype} {W.shape} and {b.dtype} {b.shape}")
    layer = Dense(W.shape[1], activate, se_hPars=se_hPars, dtype=W.dtype)
    layer.p |= {"W": np.array(W, order="C"), "b": np.array(np.broadcast_to(b, (1, W.shape[1])))}
    return layer


def embedding(E: Any, name: str, refuse: Refusal) -> Embedding:
    """The rows of E (v, u)."""
    E = array(E, name)
    if E.ndim != 2 or 0 in E.shape:
        raise refuse(f"expected a table (tokens, units), got {E.shape}")
    layer = Embedding(*E.shape, dtype=E.dtype)
    layer.p["E"] = np.array(E, order="C")
    return layer


def affine(sign: str, c: np.ndarray, first: Any, n: int, dtype: np.dtype) -> Scale:
    """Return x + c, x - c, x * c or x / c, c numbers or (n,), as a layer; with c `first` c + x, c - x or c * x."""
    times, plus = {"add": (1, c), "sub": (-1, c) if first else (1, -c), "mul": (c, 0)}.get(sign) or (1 / c, 0)
    rows = (np.array(np.broadcast_to(np.asarray(value, dtype), (n,))) for value in (times, plus))
    return Scale(*rows, dtype=dtype)


def per_feature(constant: np.ndarray, n: int | None, rank: int) -> tuple[np.ndarray, int] | None:
    """A constant as one number or (n,), and n, where added to an array (..., n) of that rank it is so for each row.

    None where it makes the array another, or where n is not known.
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
