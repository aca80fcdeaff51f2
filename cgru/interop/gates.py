"""The one table of how others lay out a GRU's weights, and the way from it to ours and back.

e elements per step, u unit cells. Ours are nine or ten arrays: Uz, Ur, Uhh (e, u), Vz, Vr, Vhh (u, u), bz, br, bhh
(1, u) and, with the reset gate after the product, chh (1, u). Theirs are W and R, the gates of the input's and of the
state's product stacked, and one bias (3u,) for each of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.activations import Activation, elu, lrelu, ours, parameter
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.network import Network, chain
from cgru.reference import names

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
    "tuning",
    "with_parameters",
]

Arrays = dict[str, np.ndarray]
ROLES = ("activate", "activate_update", "activate_reset")


@dataclass(frozen=True)
class Order:
    """The gates in the order in which they are stacked, and whether along the rows: (3u, e); else (e, 3u)."""

    gates: tuple[str, str, str]
    rows: bool

    def ours(self, W: Any, R: Any, into: Any, back: Any, reset_after: bool) -> Arrays:
        """Our parameters from their W, R and biases `into` and `back`, (3u,) each or None for zeros.

        Their two biases of a gate are added where we have one; with `reset_after` that of the candidate state's
        recurrent product stays apart, as chh.
        """
        u = R.shape[1] if self.rows else R.shape[0]
        zeros = np.zeros(3 * u, W.dtype)
        blocks = (self._blocks(W), self._blocks(R), *(zeros if b is None else b for b in (into, back)))
        p = {}
        for gate, U, V, b, c in zip(self.gates, *blocks[:2], *(np.split(b, 3) for b in blocks[2:]), strict=True):
            p["U" + gate], p["V" + gate] = U, V
            if gate == "hh" and reset_after:
                p["bhh"], p["chh"] = b[None], c[None]
            else:
                p["b" + gate] = np.where(c == 0, b, b + c)[None]  # -0.0 stays what it is
        return {name: np.array(p[name], order="C") for name in names(reset_after)}

    def theirs(self, p: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Their W, R and two biases (3u,) from our parameters: where we have one bias, the second is zero."""
        zero = np.zeros_like(p["bhh"])
        W, R = (np.concatenate([p[kind + gate] for gate in self.gates], axis=1) for kind in "UV")
        into = np.concatenate([p["b" + gate][0] for gate in self.gates])
        back = np.concatenate([p.get("c" + gate, zero)[0] for gate in self.gates])
        return (*(np.ascontiguousarray(a.T) if self.rows else a for a in (W, R)), into, back)

    def _blocks(self, weights: np.ndarray) -> list[np.ndarray]:
        return np.split(weights.T if self.rows else weights, 3, axis=1)


TORCH = Order(("r", "z", "hh"), rows=True)  # weight_ih (3u, e), weight_hh (3u, u), bias_ih (3u,), bias_hh (3u,)
KERAS = Order(("z", "r", "hh"), rows=False)  # kernel (e, 3u), recurrent (u, 3u), bias (2, 3u), or reset before (3u,)
ONNX = Order(("z", "r", "hh"), rows=True)  # for each direction W (3u, e), R (3u, u), B (6u,) = [into, back]


# --- what comes in ---


def array(value: Any, name: str) -> np.ndarray:
    """A tensor of theirs, or an array, as an array of float32 or float64; TypeError for any other dtype."""
    for step in ("detach", "cpu"):
        value = getattr(value, step, lambda value=value: value)()
    dtype = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{name}: expected float32 or float64, got {dtype or type(value).__name__}; convert it first")
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def filled(
    directions: list[Arrays], *, reverse: bool = False, merge: str = "concat", **options: Any
) -> GRU | Bidirectional:
    """A GRU with these parameters, or of two dicts of them a Bidirectional."""
    e, u = directions[0]["Uz"].shape
    gru = GRU(u, dtype=directions[0]["Uz"].dtype, reset_after="chh" in directions[0], reverse=reverse, **options)
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
    """The layers of a Network, of a list of them, or the layer alone; ValueError where they are no chain."""
    if isinstance(source, Network):
        return source.layers
    return chain.chain(source if isinstance(source, list | tuple) else [source])


def with_parameters(layers: tuple[Any, ...]) -> list[Any]:
    """Those of the layers that have parameters; RuntimeError where one has none yet."""
    found = [layer for layer in layers if "u" in layer.d]
    for layer in found:
        if not layer.p:
            raise RuntimeError(f"net: expected parameters, got none yet in {layer!r}: fit or predict first")
    return found


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
        for name in (*ROLES, "reset_after", "dropout", "recurrent_dropout", "zoneout", "stateful", "sequences"):
            if getattr(first, name) != getattr(second, name):
                raise refuse(f"its directions differ in {name}")
    if first.zoneout:
        raise refuse("it has zoneout, whose expectation is no GRU step")
    if ours(first.activate_update) is not ours(first.activate_reset) or ours(first.activate_update) is None:
        got = f"{first.activation['activate_update']} and {first.activation['activate_reset']}"
        raise refuse(f"z and r have one activation there, which is one of cgru's own here; got {got}")
    if ours(first.activate) is None:
        raise refuse(f"activate is not one of cgru's own: {first.activation['activate']}")
    return first


def tuning(f: Activation, se_hPars: Mapping[str, Any] | None) -> float:
    """The alpha of an activation; 0 where it has none."""
    key = {lrelu: "LRELU_alpha", elu: "ELU_alpha"}.get(ours(f))
    return 0.0 if key is None else parameter(se_hPars, key)
