"""`torch.nn.GRU` both ways, and whole modules from there."""

from __future__ import annotations

import sys
from typing import Any

from cgru.activations import ours, sigmoid, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop.gates import TORCH, Refusal, cell_of, dtype_of, in_layers, refusal
from cgru.interop.torch_gru import KEY, KEYS, SUFFIXES, gru_layers
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]


def from_torch(source: Any) -> Network:
    """A `torch.nn.GRU`, a `torch.nn.GRUCell`, the state dict of one, or a module that is a chain with one in it.

    A GRU by itself becomes a network without a head, whose `predict(X, lengths, h0)` gives all states of the last
    layer, (m, s, directions x u), for X (m, s, e) whatever `batch_first` was. Dropout between layers becomes `Dropout`
    layers, a layer whose parameters all have `requires_grad=False` is not `trainable`; a state dict knows of neither.
    No biases are zeros.

    Of any other module `forward(x)` is traced by `torch.fx`, as it is in `eval`, with the defaults of all that it takes
    beside x. It may be a chain, each on all the output of the one below, of Embedding, Linear, GRU, Dropout, ReLU,
    LeakyReLU, ELU, Sigmoid, Tanh, Softmax over the elements, ReLU6, Hardtanh and clamp, as modules, functions or
    methods; of sums, differences, products and quotients with numbers and buffers (n,); of `[0]` of a GRU, the last
    step or the last state (`[:, -1]`, `h[-1]`, `cat((h[-2], h[-1]), -1)`), mean, amax and max over the steps;
    transpose, permute, squeeze, unsqueeze, flatten and contiguous where they move no number. A GRU starts from nothing,
    or from `torch.zeros` by x's sizes. The network takes X (m, s, e) or tokens (m, s) and gives (m, s, k) or (m, k)
    whatever the order of the first two axes is there. Anything else is refused by the name of its node, before
    anything is made: control flow, packing, several inputs, branches, hooks, shared weights.

    Args:
        source: the module, with neither hooks nor parametrizations, or a mapping from `weight_ih_l0`, ... to tensors
            or arrays, float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not belong together.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        recurrent = isinstance(source, torch.nn.RNNBase | torch.nn.RNNCellBase)
        if not recurrent and "quantized" not in type(source).__module__:
            from cgru.interop.torch_trace import chained  # whose import would cost everybody's

            return Network(chained(source))
    return Network(gru_layers(source))


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

    recurrent = [layer for layer in layers if layer.cells]
    dtype, first = dtype_of(layers), recurrent[0].cells
    e, u = first[0].p["Uz"].shape
    module = torch.nn.GRU(
        e, u, len(recurrent), batch_first=True, dropout=rate, bidirectional=len(first) > 1,
        dtype=getattr(torch, dtype.name),
    )  # fmt: skip
    state = {}
    for number, layer in enumerate(recurrent):
        for suffix, half in zip(SUFFIXES, layer.cells, strict=False):
            for key, value in zip(KEYS, TORCH.theirs(half.p), strict=True):
                state[f"{key}_l{number}{suffix}"] = torch.from_numpy(value)
    module.load_state_dict(state)
    for number, layer in enumerate(recurrent):
        for name, parameter in module.named_parameters():
            if int(KEY.fullmatch(name).group(2)) == number:
                parameter.requires_grad_(bool(layer.trainable))
    return module


def _checked(layers: tuple[Any, ...], net: Any) -> float:
    """The rate of the dropout between the layers; refused where they are more than torch.nn.GRU can express."""
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a torch.nn.GRU: it standardises its input")
    recurrent, rates = [i for i, layer in enumerate(layers) if layer.cells], []
    refusals = [refusal(f"net: layer {i}, {layer!r}, cannot be a torch.nn.GRU") for i, layer in enumerate(layers)]
    for i, layer in enumerate(layers):
        if hasattr(layer, "rate") and 0 < i < len(layers) - 1 and i - 1 in recurrent:
            rates.append(layer.rate)
        elif not layer.cells:
            raise refusals[i]("expected GRU or Bidirectional layers, and Dropout only between two of them")
    first = layers[recurrent[0]].cells
    for i in recurrent:
        _check_layer(layers[i], refusals[i])
        if len(layers[i].cells) != len(first) or layers[i].cells[0].d["u"] != first[0].d["u"]:
            raise refusals[i]("all layers have one width and the same directions there")
    if len(set(rates)) > 1 or len(rates) not in (0, len(recurrent) - 1):
        raise ValueError("net: cannot be a torch.nn.GRU: expected Dropout of one rate between all layers, or none")
    return rates[0] if rates else 0.0


def _check_layer(layer: GRU | Bidirectional, refuse: Refusal) -> None:
    """Refuse what no layer of a torch.nn.GRU is."""
    cell = cell_of(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("its activations are tanh and sigmoid there")
    if cell.learn_h0:
        raise refuse("expected no learned h0, which there is none of: call it with h0=... of a layer without learn_h0")
    if cell.variant is not TORCH.variant({}):
        raise refuse(f"its variant is {cell.variant}, there it is {TORCH.variant({})}")
    for name in ("dropout", "recurrent_dropout", "stateful", "masks"):
        if getattr(cell, name):
            raise refuse(f"it has {name}, which there is none of")
    if cell.reverse:
        raise refuse("it runs in reverse, which a single direction does not there")
    if getattr(layer, "merge", "concat") != "concat":
        raise refuse(f"the directions are concatenated there, not merged by {layer.merge}")
