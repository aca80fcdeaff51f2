"""Convert the tensors of a `torch.nn.GRU` or `GRUCell` to layers.

Letters: e features of a step, u units.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cgru.interop import gates
from cgru.interop.gates import TORCH, Refusal, array, refusal
from cgru.layers import Dropout

__all__ = ["KEY", "KEYS", "SUFFIXES", "gru_layers", "is_trainable"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")


def gru_layers(tensors: Mapping[str, Any], start: np.ndarray | None = None, rate: float = 0.0) -> list[Any]:
    """Return layers, each with `sequences`, made from a `torch.nn.GRU`'s or `GRUCell`'s tensors by name.

    `start` (layers x directions, 1, u) are the states that they learned to begin with; None: zeros. `rate` is that of
    the dropout between them.
    """
    found = _arrays_by_layer(tensors)
    depth, directions = 1 + max(layer for layer, _ in found), 1 + max(direction for _, direction in found)
    if len(found) != depth * directions:
        raise ValueError(f"source: expected all layers and directions, got {len(found)} of {depth * directions}")
    variant = TORCH.variant({}, learn_h0=start is not None)
    layers: list[Any] = []
    for number in range(depth):
        parts = [_gru_parameters(found[number, d], number) for d in range(directions)]
        if start is not None:
            for d, p in enumerate(parts):
                p["h0"] = np.array(start[number * directions + d])
        layers.append(gates.gru_layer(parts, variant, sequences=True))
        own = [p for key, p in tensors.items() if int(KEY.fullmatch(key).group(2) or 0) == number]
        if "torch" in sys.modules and all(isinstance(p, sys.modules["torch"].nn.Parameter) for p in own):
            layers[-1].trainable = is_trainable(own, f"layer {number}", refusal("source"))
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return layers


def is_trainable(parameters: Iterable[Any], whose: str, refuse: Refusal) -> bool:
    """Return whether parameters require gradients; raise an error, naming `whose` they are, if only some do."""
    flags = {bool(parameter.requires_grad) for parameter in parameters}
    if len(flags) > 1:
        raise refuse(f"expected requires_grad of all parameters of {whose} or of none, got both")
    return flags.pop() if flags else False


def _arrays_by_layer(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """Return the arrays of each (layer, direction), by their PyTorch names."""
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None:
            raise ValueError(f"source: expected the keys of a torch.nn.GRU (weight_ih_l0, ...), got {key!r}")
        name, layer, back = match.groups()
        place = found.setdefault((int(layer or 0), int(back is not None)), {})
        if name in place:
            raise ValueError(f"source: expected {name} of layer {layer or 0} once, got another, {key!r}")
        place[name] = array(tensor, f"source[{key!r}]")
    if not found:
        raise ValueError("source: expected the tensors of a torch.nn.GRU, got none")
    return found


def _gru_parameters(tensors: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
    """Return cgru's parameters for the tensors of one layer and direction; ValueError if they do not fit."""
    missing = [key for key in KEYS[: 4 if len(tensors) > 2 else 2] if key not in tensors]
    if missing:
        raise ValueError(f"source: expected {missing[0]} of layer {layer}, which is missing")
    u, e = ((np.shape(tensors[key]) or (0,))[-1] for key in ("weight_hh", "weight_ih"))
    shapes = {"weight_ih": (3 * u, e), "weight_hh": (3 * u, u)}
    for key, value in tensors.items():
        due, dtype = shapes.get(key, (3 * u,)), tensors["weight_hh"].dtype
        if value.shape != due or value.dtype != dtype:
            raise ValueError(f"source: expected {key} of layer {layer} {dtype} {due}, got {value.dtype} {value.shape}")
    return TORCH.to_cgru(*(tensors.get(key) for key in KEYS), TORCH.variant({}))
