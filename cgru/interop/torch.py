"""`torch.nn.GRU`, both ways."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru.activations import ours, sigmoid, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop.gates import TORCH, array, cell_of, cells, dtype_of, filled, in_layers, rebound
from cgru.layers.dropout import Dropout
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of the module itself


def from_torch(source: Any) -> Network:
    """A `torch.nn.GRU`, a `torch.nn.GRUCell` or the state dict of one as a network without a head.

    Its `predict(X, lengths, h0)` gives all states of the last layer, (m, s, directions x u), for X (m, s, e) whatever
    `batch_first` was. Dropout between layers becomes `Dropout` layers, a layer whose parameters all have
    `requires_grad=False` is not `trainable`; a state dict knows of neither. No biases are zeros.

    Args:
        source: the module, with neither hooks nor parametrizations, or a mapping from `weight_ih_l0`, ... to tensors
            or arrays, float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not belong together.
    """
    module = None if isinstance(source, Mapping) else source
    tensors = source if module is None else _parameters(module)
    rate = float(getattr(module, "dropout", 0.0))
    found = _stacked(tensors)
    depth, directions = 1 + max(layer for layer, _ in found), 1 + max(direction for _, direction in found)
    if len(found) != depth * directions:
        raise ValueError(f"source: expected all layers and directions, got {len(found)} of {depth * directions}")
    trained = {number: _trained(tensors, number) for number in range(depth)} if module is not None else {}
    layers: list[Any] = []
    for number in range(depth):
        parts = [_ours(found[number, d], number) for d in range(directions)]
        layers.append(filled(parts, TORCH.variant({}), sequences=True))
        layers[-1].trainable = trained.get(number, True)
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return Network(layers)


def _parameters(module: Any) -> dict[str, Any]:
    """The parameters of a module that computes with them what PyTorch's own does; refused where it may not."""
    torch, kind = sys.modules.get("torch"), type(module)
    if torch is None or kind not in (torch.nn.GRU, torch.nn.GRUCell):
        quantized = ", the quantized one: convert the module of floats" if "quantized" in kind.__module__ else ""
        got = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise TypeError(f"source: expected a torch.nn.GRU, a GRUCell or a state dict, got {got}{quantized}")

    def refuse(why: str) -> Exception:
        return ValueError(f"source: {module} cannot be had here: {why}")

    for hooks in HOOKS:
        for hook in getattr(module, hooks, None) or ():
            hook = getattr(module, hooks)[hook]
            raise refuse(f"it has a hook, {getattr(hook, '__qualname__', hook)!r} among its {hooks}: remove it first")
    if rebound(module):
        raise refuse(f"its {rebound(module)} is another than that of its class")
    parameters = dict(module.named_parameters())
    layers = range(getattr(module, "num_layers", 1))
    keys = [key for key in KEYS if module.bias or not key.startswith("bias")]
    due = keys
    if kind is torch.nn.GRU:
        suffixes = SUFFIXES if module.bidirectional else SUFFIXES[:1]
        due = [f"{key}_l{number}{suffix}" for number in layers for suffix in suffixes for key in keys]
        if module.proj_size:
            raise refuse(f"expected proj_size 0, got {module.proj_size}")
        if len(module._flat_weights) != len(due) or any(
            used is not parameters.get(name) for used, name in zip(module._flat_weights, due, strict=True)
        ):
            raise refuse(f"it computes with other tensors than its parameters {', '.join(due)}")
    if sorted(parameters) != sorted(due):
        raise refuse(f"expected the parameters {', '.join(due)}, got {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if type(parameter) is not torch.nn.Parameter or type(parameter.data) is not torch.Tensor:
            kinds = f"{type(parameter).__name__} of a {type(parameter.data).__name__}"
            raise refuse(f"{name} is no plain parameter, but a {kinds}")
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise refuse(f"{name} has a hook on its gradient: remove it first")
    return parameters


def _trained(parameters: Mapping[str, Any], number: int) -> bool:
    """Whether the parameters of a layer are to be trained; refused where some are and some are not."""
    flags = {bool(p.requires_grad) for key, p in parameters.items() if int(KEY.fullmatch(key).group(2) or 0) == number}
    if len(flags) > 1:
        raise ValueError(f"source: expected requires_grad of all parameters of layer {number} or of none, got both")
    return flags.pop()


def _stacked(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """The arrays of each (layer, direction), by their names there."""
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


def _ours(tensors: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
    missing = [key for key in KEYS[: 4 if len(tensors) > 2 else 2] if key not in tensors]
    if missing:
        raise ValueError(f"source: expected {missing[0]} of layer {layer}, which is missing")
    u, e = ((np.shape(tensors[key]) or (0,))[-1] for key in ("weight_hh", "weight_ih"))
    shapes = {"weight_ih": (3 * u, e), "weight_hh": (3 * u, u)}
    for key, value in tensors.items():
        due, dtype = shapes.get(key, (3 * u,)), tensors["weight_hh"].dtype
        if value.shape != due or value.dtype != dtype:
            raise ValueError(f"source: expected {key} of layer {layer} {dtype} {due}, got {value.dtype} {value.shape}")
    return TORCH.ours(*(tensors.get(key) for key in KEYS), TORCH.variant({}))


def to_torch(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """A `torch.nn.GRU`, batch first, with the weights of a layer, of a list of layers or of a network without a head.

    The layers are GRUs, or Bidirectionals that concatenate, of one width and direction, with `reset_after`, tanh and
    sigmoid; between them may stand `Dropout` of one rate. The module always returns all states and the last ones,
    whatever `sequences` of the last layer says. Of the two biases for r and z the second is zero. Parameters of layers
    that are not `trainable` have `requires_grad=False`. Its `state_dict()` is the state dict.

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
    for number, layer in enumerate(recurrent):
        for name, parameter in module.named_parameters():
            if int(KEY.fullmatch(name).group(2)) == number:
                parameter.requires_grad_(bool(layer.trainable))
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
    if len(set(rates)) > 1 or len(rates) not in (0, len(recurrent) - 1):
        raise ValueError("net: cannot be a torch.nn.GRU: expected Dropout of one rate between all layers, or none")
    return rates[0] if rates else 0.0


def _check_layer(layer: GRU | Bidirectional, refuse: Callable[[str], Exception]) -> None:
    """Refuse what no layer of a torch.nn.GRU is."""
    cell = cell_of(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("its activations are tanh and sigmoid there")
    if cell.variant is not TORCH.variant({}):
        raise refuse(f"its variant is {cell.variant}, there it is {TORCH.variant({})}")
    for name in ("dropout", "recurrent_dropout", "stateful", "masks"):
        if getattr(cell, name):
            raise refuse(f"it has {name}, which there is none of")
    if isinstance(layer, GRU) and layer.reverse:
        raise refuse("it runs in reverse, which a single direction does not there")
    if isinstance(layer, Bidirectional) and layer.merge != "concat":
        raise refuse(f"the directions are concatenated there, not merged by {layer.merge}")
