"""The one table of how others lay out a GRU's weights, and what the ways from it to ours and back share.

e elements per step, u unit cells. Ours are the arrays of a `Variant`: Uz, Ur, Uhh (e, u), Vz, Vr, Vhh (u, u), bz, br,
bhh (1, u) and, with the reset gate after the product, chh (1, u). Theirs are W and R, the gates of the input's and of
the state's product stacked, and one bias (3u,) for each of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.activations import Activation as Function
from cgru.activations import elu, lrelu, ours, parameter
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.layers.activation import Activation
from cgru.layers.clip import Clip
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.pool import Pool
from cgru.layers.scale import Scale
from cgru.network import Network, chain
from cgru.quantized.layers import Quantized
from cgru.variant import RESET_AFTER, RESET_BEFORE, Variant

__all__ = [
    "KERAS",
    "ONNX",
    "TORCH",
    "Order",
    "array",
    "cell_of",
    "cells",
    "dtype_of",
    "filled",
    "in_layers",
    "rebound",
    "tuning",
    "with_parameters",
]

Arrays = dict[str, np.ndarray]
OWN = (GRU, Bidirectional, Activation, Clip, Dense, Dropout, Embedding, Flip, Pool, Scale)
ROLES = ("activate", "activate_update", "activate_reset")
ALIKE = (*ROLES, "variant", "dtype", "trainable", "dropout", "recurrent_dropout", "zoneout", "stateful", "sequences")


@dataclass(frozen=True)
class Order:
    """The gates in the order in which they are stacked, and whether along the rows: (3u, e); else (e, 3u).

    `flag` is what says there that the reset gate comes after the matrix product; None: it always does.
    """

    gates: tuple[str, str, str]
    rows: bool
    flag: str | None

    def variant(self, options: Mapping[str, Any]) -> Variant:
        """The variant of a layer that has these options there."""
        return RESET_AFTER if self.flag is None or options.get(self.flag) else RESET_BEFORE

    def both(self, variant: Variant) -> bool:
        """Whether a layer of this variant has two biases for a gate here."""
        return variant.step is RESET_AFTER

    def options(self, variant: Variant) -> dict[str, bool]:
        """What says there that a layer is of this variant."""
        return {} if self.flag is None else {self.flag: self.both(variant)}

    def ours(self, W: Any, R: Any, into: Any, back: Any, variant: Variant) -> Arrays:
        """Our parameters from their W, R and biases `into` and `back`, (3u,) each or None for zeros.

        Their two biases of a gate are added where the variant has one.
        """
        u = R.shape[1] if self.rows else R.shape[0]
        zeros = np.zeros(3 * u, W.dtype)
        blocks = (self._blocks(W), self._blocks(R), *(zeros if b is None else b for b in (into, back)))
        p = {}
        for gate, U, V, b, c in zip(self.gates, *blocks[:2], *(np.split(b, 3) for b in blocks[2:]), strict=True):
            p["U" + gate], p["V" + gate] = U, V
            if "c" + gate in variant.names:
                p["b" + gate], p["c" + gate] = b[None], c[None]
            else:
                p["b" + gate] = np.where(c == 0, b, b + c)[None]  # -0.0 stays what it is
        return {name: np.array(p[name], order="C") for name in variant.names}

    def theirs(self, p: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Their W, R and two biases (3u,) from our parameters: where we have one bias, the second is zero."""
        zero = np.zeros_like(p["bhh"])
        W, R = (np.concatenate([p[kind + gate] for gate in self.gates], axis=1) for kind in "UV")
        into = np.concatenate([p["b" + gate][0] for gate in self.gates])
        back = np.concatenate([p.get("c" + gate, zero)[0] for gate in self.gates])
        return (*(np.ascontiguousarray(a.T) if self.rows else a for a in (W, R)), into, back)

    def _blocks(self, weights: np.ndarray) -> list[np.ndarray]:
        return np.split(weights.T if self.rows else weights, 3, axis=1)


# weight_ih (3u, e), weight_hh (3u, u), bias_ih (3u,), bias_hh (3u,)
TORCH = Order(("r", "z", "hh"), rows=True, flag=None)
# kernel (e, 3u), recurrent (u, 3u), bias (2, 3u), or with the reset before (3u,)
KERAS = Order(("z", "r", "hh"), rows=False, flag="reset_after")
# for each direction W (3u, e), R (3u, u), B (6u,) = [into, back]
ONNX = Order(("z", "r", "hh"), rows=True, flag="linear_before_reset")


# --- what comes in ---


def array(value: Any, name: str) -> np.ndarray:
    """A tensor of theirs, or an array, as an array of float32 or float64; TypeError for what is no such numbers."""
    kinds = ("quantized", "sparse", "meta")
    odd = next((kind for kind in kinds if getattr(value, f"is_{kind}", False) is True), None)
    if odd is None and isinstance(value, np.ma.MaskedArray):
        odd = "masked"
    if odd is not None:
        raise TypeError(f"{name}: expected plain numbers, got a {odd} {type(value).__name__}; convert it first")
    for step in ("detach", "cpu"):
        value = getattr(value, step, lambda value=value: value)()
    dtype = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{name}: expected float32 or float64, got {dtype or type(value).__name__}; convert it first")
    return np.asarray(value)


def rebound(value: Any, but: Iterable[str] = ()) -> str | None:
    """A method of the class of `value` that was set anew on it itself, so that it may compute something else."""
    return next((name for name in vars(value) if name not in but and callable(getattr(type(value), name, None))), None)


def filled(
    directions: list[Arrays], variant: Variant, *, reverse: bool = False, merge: str = "concat", **options: Any
) -> GRU | Bidirectional:
    """A GRU with these parameters, or of two dicts of them a Bidirectional; ValueError where they do not fit."""
    e, u = directions[0]["Uz"].shape
    dtype = directions[0]["Uz"].dtype
    for p in directions:
        got = {name: p[name].shape for name in variant.names}
        if got != variant.shapes(e, u) or p["Uz"].dtype != dtype:
            due = f"{e} elements and {u} units in {dtype}"
            raise ValueError(f"source: expected directions that have {due}, got {got} in {p['Uz'].dtype}")
    gru = GRU(u, dtype=dtype, reverse=reverse, **variant.options, **options)
    layer = gru if len(directions) == 1 else Bidirectional(gru, merge)
    layer.compute_shapes(np.empty((1, 1, e)))
    for half, p in zip(cells(layer), directions, strict=True):
        half.p.update(p)
    return layer


# --- what goes out ---


def cells(layer: GRU | Bidirectional) -> tuple[GRU, ...]:
    """The one or two GRUs of a layer."""
    return layer.halves if isinstance(layer, Bidirectional) else (layer,)


def in_layers(source: Any) -> tuple[Any, ...]:
    """The layers of a Network, of a list of them, or the layer alone; ValueError where they are no chain.

    Refused is what may compute something else than its class says: a method set anew on it, a class derived from ours;
    and what is quantised.
    """
    if isinstance(source, Network):
        if type(source) is not Network or rebound(source):
            raise ValueError(f"net: expected a Network as it is, got {rebound(source) or type(source).__name__}")
        source = source.layers
    layers = chain.chain(source if isinstance(source, list | tuple) else [source])
    for i, layer in enumerate(layers):
        if isinstance(layer, Quantized):
            raise ValueError(
                f"net: layer {i}, {layer!r}: expected weights of floats; give the network that it was made of"
            )
        for part in (layer, *cells(layer)):
            if type(part) not in OWN:
                raise ValueError(f"net: layer {i}, {layer!r}: expected one of cgru's own, got {type(part).__name__}")
            if rebound(part):
                raise ValueError(f"net: layer {i}, {layer!r}: expected its own methods, got another {rebound(part)}")
    return layers


def with_parameters(layers: tuple[Any, ...]) -> list[Any]:
    """Those of the layers that have parameters; RuntimeError where there are none yet, ValueError for unfit ones."""
    found = [(i, layer) for i, layer in enumerate(layers) if layer.parameter_names]
    for i, layer in found:
        if not layer.p:
            raise RuntimeError(f"net: expected parameters, got none yet in {layer!r}: fit or predict first")
        for half in cells(layer) if isinstance(layer, GRU | Bidirectional) else ():
            e = half.elements
            for name, due in half.variant.shapes(e, half.d["u"]).items():
                if np.shape(half.p.get(name)) != due:
                    raise ValueError(f"net: layer {i}: expected {name} {due}, got {np.shape(half.p.get(name))}")
    return [layer for _, layer in found]


def dtype_of(layers: tuple[Any, ...]) -> np.dtype:
    """The one dtype of all parameters; ValueError where there are several, RuntimeError where there are none yet."""
    dtypes = {layer.dtype for layer in with_parameters(layers)}
    if len(dtypes) != 1:
        raise ValueError(f"net: expected layers of one dtype, got {' and '.join(sorted(map(str, dtypes)))}")
    return dtypes.pop()


def cell_of(layer: GRU | Bidirectional, refuse: Callable[[str], Exception]) -> GRU:
    """The GRU whose options are those of the whole layer; refused where the two directions differ in more than that."""
    first, *rest = cells(layer)
    for second in rest:
        if first.reverse or not second.reverse:
            raise refuse("its first layer does not run onward and the second back")
        for name in ALIKE:
            if getattr(first, name) != getattr(second, name):
                raise refuse(f"its directions differ in {name}")
        for f in (first.activate, first.activate_update):
            if tuning(f, first.se_hPars) != tuning(f, second.se_hPars):
                raise refuse("its directions differ in the alpha of an activation")
    if first.variant.step not in (RESET_BEFORE, RESET_AFTER):
        raise refuse(f"its variant is {first.variant}, which is known here alone")
    if first.zoneout:
        raise refuse("it has zoneout, whose expectation is no GRU step")
    if ours(first.activate_update) is not ours(first.activate_reset) or ours(first.activate_update) is None:
        got = f"{first.activation['activate_update']} and {first.activation['activate_reset']}"
        raise refuse(f"z and r have one activation there, which is one of cgru's own here; got {got}")
    if ours(first.activate) is None:
        raise refuse(f"activate is not one of cgru's own: {first.activation['activate']}")
    return first


def tuning(f: Function, se_hPars: Mapping[str, Any] | None) -> float:
    """The alpha of an activation; 0 where it has none."""
    key = {lrelu: "LRELU_alpha", elu: "ELU_alpha"}.get(ours(f))
    return 0.0 if key is None else parameter(se_hPars, key)
