"""`torch.nn.GRU`, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru.activations import ours, sigmoid, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop.gates import TORCH, array, cell_of, cells, dtype_of, filled, in_layers
from cgru.layers.dropout import Dropout
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")


def from_torch(source: Any) -> Network:
    """A `torch.nn.GRU`, a `torch.nn.GRUCell` or the state dict of one as a network without a head.

    Its `predict(X, lengths, h0)` gives all states of the last layer, (m, s, directions x u), for X (m, s, e) whatever
    `batch_first` was. Dropout between layers becomes `Dropout` layers; a state dict knows none. No biases are zeros.

    Args:
        source: the module, or a mapping from `weight_ih_l0`, ... to tensors or arrays, float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not belong together.
    """
    rate = 0.0
    if not isinstance(source, Mapping):
        kind = type(source)
        if kind.__name__ not in ("GRU", "GRUCell") or not kind.__module__.startswith("torch.nn.modules"):
            raise TypeError(f"source: expected a torch.nn.GRU, a GRUCell or a state dict, got {kind.__name__}")
        rate, source = float(getattr(source, "dropout", 0.0)), source.state_dict()
    if rate >= 1:
        raise ValueError(f"source: expected a dropout below 1, got {rate:g}")
    found = _stacked(source)
    depth, directions = 1 + max(layer for layer, _ in found), 1 + max(direction for _, direction in found)
    if len(found) != depth * directions:
        raise ValueError(f"source: expected all layers and directions, got {len(found)} of {depth * directions}")
    layers: list[Any] = []
    for number in range(depth):
        layers.append(filled([_ours(found[number, d], number) for d in range(directions)], sequences=True))
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return Network(layers)


def _stacked(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """The arrays of each (layer, direction), by their names there."""
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"source: expected the keys of a torch.nn.GRU (weight_ih_l0, ...), got {key!r}")
        name, layer, back = match.groups()
        found.setdefault((int(layer or 0), int(back is not None)), {})[name] = array(tensor, f"source[{key!r}]")
    if not found:
        raise ValueError("source: expected the tensors of a torch.nn.GRU, got none")
    return found


def _ours(tensors: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
    missing = [key for key in KEYS[: 4 if len(tensors) > 2 else 2] if key not in tensors]
    if missing:
        raise ValueError(f"source: expected {missing[0]} of layer {layer}, which is missing")
    u = tensors["weight_hh"].shape[-1]
    shapes = {"weight_ih": (3 * u, np.shape(tensors["weight_ih"])[-1]), "weight_hh": (3 * u, u)}
    for key, value in tensors.items():
        due = shapes.get(key, (3 * u,))
        if value.shape != due or value.dtype != tensors["weight_hh"].dtype:
            dtype = tensors["weight_hh"].dtype
            raise ValueError(f"source: expected {key} of layer {layer} {dtype} {due}, got {value.dtype} {value.shape}")
    return TORCH.ours(*(tensors.get(key) for key in KEYS), reset_after=True)


def to_torch(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """A `torch.nn.GRU`, batch first, with the weights of a layer, of a list of layers or of a network without a head.

    The layers are GRUs, or Bidirectionals that concatenate, of one width and direction, with `reset_after`, tanh and
    sigmoid; between them may stand `Dropout` of one rate. The module always returns all states and the last ones,
    whatever `sequences` of the last layer says. Of the two biases for r and z the second is zero. Its `state_dict()` is
    the state dict.

    Raises:
        ImportError: PyTorch is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that torch.nn.GRU cannot express, with the reason.
    """
    layers = in_layers(net)
    rate = _checked(layers, net)
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch: PyTorch is missing: pip install torch") from None

    recurrent = [layer for layer in layers if not isinstance(layer, Dropout)]
    dtype = dtype_of(layers)
    first = cells(recurrent[0])[0]
    e, u = first.p["Uz"].shape
    module = torch.nn.GRU(
        e, u, len(recurrent), batch_first=True, dropout=rate, bidirectional=isinstance(recurrent[0], Bidirectional),
        dtype=getattr(torch, dtype.name),
    )  # fmt: skip
    state = {}
    for number, layer in enumerate(recurrent):
        for suffix, half in zip(SUFFIXES, cells(layer), strict=False):
            for key, value in zip(KEYS, TORCH.theirs(half.p), strict=True):
                state[f"{key}_l{number}{suffix}"] = torch.from_numpy(value)
    module.load_state_dict(state)
    return module


def _refusal(i: int, layer: Any) -> Callable[[str], Exception]:
    return lambda why: ValueError(f"net: layer {i}, {layer!r}, cannot be a torch.nn.GRU: {why}")


def _checked(layers: tuple[Any, ...], net: Any) -> float:
    """The rate of the dropout between the layers; refused where they are more than torch.nn.GRU can express."""
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a torch.nn.GRU: it standardises its input")
    recurrent, rates = {}, []
    for i, layer in enumerate(layers):
        if type(layer) in (GRU, Bidirectional):
            recurrent[i] = layer
        elif type(layer) is Dropout and 0 < i < len(layers) - 1 and i - 1 in recurrent:
            rates.append(layer.rate)
        else:
            raise _refusal(i, layer)("expected GRU or Bidirectional layers, and Dropout only between two of them")
    first = recurrent[0]
    for i, layer in recurrent.items():
        refuse = _refusal(i, layer)
        _check_layer(layer, refuse)
        if type(layer) is not type(first) or cells(layer)[0].d["u"] != cells(first)[0].d["u"]:
            raise refuse("all layers have one width and the same directions there")
        if i < len(layers) - 1 and not layer.sequences:
            raise refuse("it returns the last state alone to the next layer")
    if len(set(rates)) > 1 or len(rates) not in (0, len(recurrent) - 1):
        raise ValueError("net: cannot be a torch.nn.GRU: expected Dropout of one rate between all layers, or none")
    return rates[0] if rates else 0.0


def _check_layer(layer: GRU | Bidirectional, refuse: Callable[[str], Exception]) -> None:
    """Refuse what no layer of a torch.nn.GRU is."""
    cell = cell_of(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("its activations are tanh and sigmoid there")
    if not cell.reset_after:
        raise refuse("the reset gate comes after the matrix product there; this one has reset_after=False")
    for name in ("dropout", "recurrent_dropout", "stateful"):
        if getattr(cell, name):
            raise refuse(f"it has {name}, which there is none of")
    if isinstance(layer, GRU) and layer.reverse:
        raise refuse("it runs in reverse, which a single direction does not there")
    if isinstance(layer, Bidirectional) and layer.merge != "concat":
        raise refuse(f"the directions are concatenated there, not merged by {layer.merge}")
