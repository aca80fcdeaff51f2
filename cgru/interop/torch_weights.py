"""`torch.nn.GRU`, `GRUCell` and their state dicts as layers, once it is checked that they compute what they say.

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

__all__ = ["KEY", "KEYS", "SUFFIXES", "array_of", "check_calls", "check_plain", "gru_layers", "is_trainable", "kind_of"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of the module itself


def gru_layers(source: Any, start: np.ndarray | None = None) -> list[Any]:
    """Return the layers of a `torch.nn.GRU`, a `GRUCell` or a state dict, with all states; see `from_torch`.

    `start` (layers x directions, 1, u) are the states that they learned to begin with; None: zeros.
    """
    module = None if isinstance(source, Mapping) else source
    tensors = source if module is None else _parameters(module)
    rate = float(getattr(module, "dropout", 0.0))
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
        if module is not None:
            own = (p for key, p in tensors.items() if int(KEY.fullmatch(key).group(2) or 0) == number)
            layers[-1].trainable = is_trainable(own, f"layer {number}", refusal("source"))
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return layers


def kind_of(value: Any) -> type:
    """Return the class of a tensor or module; for a `cgru.torch` module the PyTorch class that it stands for."""
    kind = type(value)
    return kind.__mro__[1] if kind.__module__ == "cgru.torch.modules" else kind


def check_calls(module: Any, refuse: Refusal) -> None:
    """Refuse a module whose call may do something else than its class says: hooks, replaced methods."""
    for hooks in HOOKS:
        for hook in getattr(module, hooks, None) or ():
            hook = getattr(module, hooks)[hook]
            raise refuse(f"it has a hook, {getattr(hook, '__qualname__', hook)!r} among its {hooks}: remove it first")
    if gates.overridden(module):
        raise refuse(f"its {gates.overridden(module)} is another than that of its class")


def check_plain(module: Any, due: list[str], refuse: Refusal) -> None:
    """Refuse a module whose parameters are not exactly the names `due`, or are not plain tensors."""
    torch, parameters = sys.modules["torch"], dict(module.named_parameters())
    if sorted(parameters) != sorted(due):
        raise refuse(f"expected the parameters {', '.join(due)}, got {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if kind_of(parameter) is not torch.nn.Parameter or kind_of(parameter.data) is not torch.Tensor:
            kinds = f"{type(parameter).__name__} of a {type(parameter.data).__name__}"
            raise refuse(f"{name} is no plain parameter, but a {kinds}")
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise refuse(f"{name} has a hook on its gradient: remove it first")


def _parameters(module: Any) -> dict[str, Any]:
    """Return the parameters of a GRU module by name; refuse one that may compute something else with them."""
    torch, kind = sys.modules.get("torch"), kind_of(module)
    if torch is None or kind not in (torch.nn.GRU, torch.nn.GRUCell):
        quantized = ", the quantized one: convert the module of floats" if "quantized" in kind.__module__ else ""
        got = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        due = "a torch.nn.GRU, a GRUCell, a state dict, or a module that is a chain of them"
        raise TypeError(f"source: expected {due}, got {got}{quantized}")
    refuse = refusal(f"source: {module} cannot be had here")
    check_calls(module, refuse)
    parameters = dict(module.named_parameters())
    layers = range(getattr(module, "num_layers", 1))
    keys = [key for key in KEYS if module.bias or not key.startswith("bias")]
    due = keys
    if kind is torch.nn.GRU:
        suffixes = SUFFIXES if module.bidirectional else SUFFIXES[:1]
        due = [f"{key}_l{number}{suffix}" for number in layers for suffix in suffixes for key in keys]
        if module.proj_size:
            raise refuse(f"expected proj_size 0, got {module.proj_size}")
        if [*map(id, module._flat_weights)] != [id(parameters.get(name)) for name in due]:
            raise refuse(f"it computes with other tensors than its parameters {', '.join(due)}")
    check_plain(module, due, refuse)
    return parameters


def is_trainable(parameters: Iterable[Any], whose: str, refuse: Refusal) -> bool:
    """Return whether parameters require gradients; refuse a mixture, which the error says `whose` it is."""
    flags = {bool(parameter.requires_grad) for parameter in parameters}
    if len(flags) > 1:
        raise refuse(f"expected requires_grad of all parameters of {whose} or of none, got both")
    return flags.pop() if flags else False


def _arrays_by_layer(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """Return the arrays of each (layer, direction), by their names in PyTorch."""
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
    """Return our parameters for the tensors of one direction of a layer; ValueError if they do not fit."""
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


def array_of(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers as an array."""
    return tensor.detach().cpu().numpy()
