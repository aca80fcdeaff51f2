"""Convert PyTorch's `nn.GRU`, its state dict, and modules with a GRU to cgru's layers, and back.

Letters: m samples, s steps, n features of a step.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from cgru.activations import ours, sigmoid, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.gates import TORCH, Refusal, refusal
from cgru.interop.torch_weights import KEY, KEYS, SUFFIXES, gru_layers
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]

MOST_INPUTS = 3  # of a forward: x, lengths and initial states

# --- from there ---


def from_torch(source: Any) -> Network:
    """Convert a `torch.nn.GRU`, a `GRUCell`, the state dict of one, or a module with one in it, to a network.

    A GRU by itself becomes a network without a head. Its `predict(X, lengths, h0)` takes X (m, s, e), whatever
    `batch_first` was, and gives all states of the last layer, (m, s, directions x u). Dropout between layers becomes
    `Dropout` layers. A layer whose parameters all have `requires_grad=False` is not `trainable`. A state dict knows of
    neither. Missing biases are zeros.

    The `forward(x)` of any other module is called in `eval` on an array without numbers, with the defaults of its other
    arguments. It may consist of these, as modules, functions or methods:

    - Embedding, Linear, GRU, Dropout, ReLU, LeakyReLU, ELU, GELU (by erf), SiLU, Softplus, Sigmoid, Tanh, Softmax and
      LogSoftmax over the features, ReLU6, Hardtanh and clamp; sums, differences, products and quotients with numbers,
      and with parameters and buffers (n,);
    - LayerNorm over the features; BatchNorm1d in `eval`, which becomes a `Scale`;
    - Conv1d over the steps, with stride, dilation and zeros around, which becomes `Frames` and a `Dense`, as does
      `unfold` with a flatten after it; `pad(x, (k, 0))` before a convolution, or `[:, :, :-k]` behind it, makes it
      causal;
    - `[0]` of a GRU; the last step or last states (`[:, -1]`, `h[-1]`, `cat((h[-2], h[-1]), -1)`, `h.sum(0)`); mean,
      sum, amax and max over the steps, and pools of adaptive size 1;
    - a Linear of all steps side by side, `x.flatten(1)`, which fixes their number: `Frames` and `Pool("last")`, which
      read the last steps of a longer series;
    - branches: sums, differences and products of two arrays at the same steps, and `cat` or `stack` of their features,
      which become `Add`, `Multiply` and `Concatenate`. They may be of any layers and of x, and of some of their
      features, such as `x[..., :3]`, `chunk` and `split`, for which a `Select` stands;
    - attention, which becomes `Pool("attention")`: `a = softmax(score, 1)` and `(a * y).sum(1)`, or that by bmm, matmul
      or einsum. The score of a step y is `Linear(u, 1)`, or `Linear(n, 1)` of tanh of `Linear(u, n)`, or products with
      parameters; any other score of one feature stands beside y, for a `Pool` that is not trained. Weights of attention
      may have no dropout;
    - transpose, permute, squeeze, unsqueeze, flatten, view, reshape and unflatten to sizes of x, contiguous: what cuts
      neither samples nor steps.

    A GRU may start from nothing, or from zeros of x's sizes. A start from a parameter (layers, 1, u) that is expanded
    to the samples becomes `learn_h0`; a second input as the start becomes `h0` of `predict`. A second input may also be
    the lengths of `pack_padded_sequence`, or of `y[arange(m), lengths - 1]`: these become `lengths` of `predict`, and
    outputs at padded steps are zero here. An input that the module does not read is left out. What it computes under
    `torch.no_grad()` is not told apart: a later `fit` trains it.

    The network takes X (m, s, e), or tokens (m, s), or for `x.unsqueeze(-1)` X (m, s, 1). It returns (m, s, k) or (m,
    k). That holds whatever the order of the axes is in the module and in its output, whether samples and steps are one
    axis there, and whether the output has axes of size 1 more or fewer. `squeeze()` that does not say which axes may
    only be the last that is done. Arrays that the module keeps in attributes, such as weights of attention, are left
    out; no call may read what an earlier one kept.
    Anything else is refused, with the line of the module: what depends on numbers, or on how many samples and steps
    there are; arrays of different steps that are joined; an array that is read after another that shares its memory was
    changed in place; shared weights, BatchNorm in training. Hooks are part of the call; those of gradients are not
    carried over. Layers that the output does not need are left out.

    Args:
        source: the module, without parametrizations, or a mapping from `weight_ih_l0`, ... to tensors or
            arrays, float32 or float64.

    Returns:
        A `cgru.Network` with the same numbers.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not fit together.

    Examples:
        >>> import torch
        >>> module = torch.nn.GRU(3, 4, batch_first=True)
        >>> net = cgru.interop.from_torch(module)
        >>> A = module(torch.ones(2, 6, 3))[0].detach().numpy()
        >>> np.allclose(net.predict(np.ones((2, 6, 3))), A, atol=1e-6)
        True
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        if _kind(source) is not torch.nn.GRUCell:
            return Network(_module_layers(torch, source))
        if vars(source)["_forward_hooks"] or vars(source)["_forward_pre_hooks"] or gates.overridden(source):
            raise ValueError(f"source: {source} cannot be converted: it has hooks, or its forward was replaced")
        source = dict(source.named_parameters())
    if not isinstance(source, Mapping):
        due = "a torch.nn.GRU, a GRUCell, a state dict, or a module with one in it"
        raise TypeError(f"source: expected {due}, got {type(source).__qualname__}")
    return Network(gru_layers(source))


def _kind(module: Any) -> type:
    """Return the class of a module; for a module of `cgru.torch` the PyTorch class that it replaces."""
    return type(module).__mro__[1] if type(module).__module__ == "cgru.torch.modules" else type(module)


def _module_layers(torch: Any, source: Any) -> list[Any]:
    """Return the layers of a module; ValueError if a part of it is not supported."""
    from cgru.interop.torch_reader import traced_layers

    refuse = refusal(f"source: {type(source).__name__} cannot be converted")
    if not any(getattr(module, "mode", "") == "GRU" for module in source.modules()):
        raise refuse("expected a torch.nn.GRU in it, got none")
    cure, names = "; as it is the module runs after cgru.torch.accelerate(module), its GRU here", []
    for name, parameter in inspect.signature(source.forward).parameters.items():
        if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
            raise refuse(f"expected positional inputs, got {name} as keyword-only{cure}")
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            names.append(name)
    if len(names) > MOST_INPUTS:
        raise refuse(f"expected x, and with it at most lengths and initial states, got {', '.join(names)}{cure}")
    try:
        return traced_layers(source, max(1, len(names)), refuse)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}{cure}") from None


# --- to there ---


def to_torch(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """Convert a layer, a list of them or a network without a head to a `torch.nn.GRU`, batch first.

    The layers are GRUs, or Bidirectionals that concatenate, of one width and direction, with `reset_after`, tanh and
    sigmoid; between them may stand `Dropout` of one rate. The module always returns all states and the last ones,
    whatever `sequences` of the last layer says. Of the two biases for r and z the second is zero. Parameters of layers
    that are not `trainable` have `requires_grad=False`. Its `state_dict()` is the state dict.

    Args:
        net: the layer, layers or network, with parameters.

    Returns:
        The module. Its `state_dict()` is the state dict.

    Raises:
        ImportError: PyTorch is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that torch.nn.GRU cannot express, with the reason.

    Examples:
        >>> import torch
        >>> layer = cgru.GRU(4, reset_after=True, sequences=True, dtype=np.float32, rng=0)
        >>> A = layer.predict(np.ones((2, 6, 3)))
        >>> module = cgru.interop.to_torch(layer)
        >>> np.allclose(module(torch.ones(2, 6, 3))[0].detach().numpy(), A, atol=1e-6)
        True
    """
    layers = gates.checked_layers(net)
    rate = _dropout_rate(layers, net)
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch: PyTorch is missing: pip install torch") from None

    recurrent = [layer for layer in layers if layer.cells]
    dtype, first = gates.dtype_of(layers), recurrent[0].cells
    e, u = first[0].p["Uz"].shape
    module = torch.nn.GRU(
        e, u, len(recurrent), batch_first=True, dropout=rate, bidirectional=len(first) > 1,
        dtype=getattr(torch, dtype.name),
    )  # fmt: skip
    state = {}
    for number, layer in enumerate(recurrent):
        for suffix, half in zip(SUFFIXES, layer.cells, strict=False):
            for key, value in zip(KEYS, TORCH.from_cgru(half.p), strict=True):
                state[f"{key}_l{number}{suffix}"] = torch.from_numpy(value)
    module.load_state_dict(state)
    for number, layer in enumerate(recurrent):
        for name, parameter in module.named_parameters():
            if int(KEY.fullmatch(name).group(2)) == number:
                parameter.requires_grad_(bool(layer.trainable))
    return module


def _dropout_rate(layers: tuple[Any, ...], net: Any) -> float:
    """Return the rate of the dropout between the layers; raise an error for layers that torch.nn.GRU cannot express."""
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a torch.nn.GRU: it standardises its input")
    recurrent, rates = [i for i, layer in enumerate(layers) if layer.cells], []
    refusals = [refusal(f"net: layer {i}, {layer!r}, cannot be a torch.nn.GRU") for i, layer in enumerate(layers)]
    for i, layer in enumerate(layers):
        if hasattr(layer, "rate") and i < len(layers) - 1 and i - 1 in recurrent:
            rates.append(layer.rate)
        elif not layer.cells:
            raise refusals[i]("expected GRU or Bidirectional layers, and Dropout only between two of them")
    first = layers[recurrent[0]].cells
    for i in recurrent:
        _check_layer(layers[i], refusals[i])
        if len(layers[i].cells) != len(first) or layers[i].cells[0].d["u"] != first[0].d["u"]:
            raise refusals[i]("torch.nn.GRU has the same units and directions in all layers")
    if len(set(rates)) > 1 or len(rates) not in (0, len(recurrent) - 1):
        raise ValueError("net: cannot be a torch.nn.GRU: expected Dropout of one rate between all layers, or none")
    return rates[0] if rates else 0.0


def _check_layer(layer: GRU | Bidirectional, refuse: Refusal) -> None:
    """Raise an error for a layer that torch.nn.GRU cannot express."""
    cell = TORCH.checked_cell(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("torch.nn.GRU has only tanh and sigmoid as activations")
    if getattr(layer, "merge", "concat") != "concat":
        raise refuse(f"torch.nn.GRU concatenates its directions, got merge {layer.merge}")
