"""`torch.nn.GRU` and `torch.nn.GRUCell` that run on these kernels where they can, and on PyTorch elsewhere."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from cgru.torch import runs
from cgru.torch.operators import call, call_of_each, is_mapped, is_traced, step

__all__ = ["GRU", "GRUCell", "per_sample_gradients"]

PLAIN = (Tensor, nn.Parameter)
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of the parameters of a cell


def can_run(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether the kernels can run these tensors: float32 or float64 on a CPU, not traced or transformed."""
    if torch.is_autocast_enabled("cpu") or torch.jit.is_tracing():
        return False
    compiling = torch.compiler.is_compiling()
    if compiling:
        if torch.onnx.is_in_onnx_export():
            return False
    elif forward_ad._current_level >= 0 or is_transformed():
        return False
    dtype = None
    for tensor in tensors:
        if tensor is None:
            continue
        if not (type(tensor) in PLAIN or (compiling and isinstance(tensor, Tensor))) or not tensor.is_cpu:
            return False
        if tensor.layout is not torch.strided or (not compiling and tensor.is_neg()):
            return False
        if tensor.dtype != (dtype or tensor.dtype):
            return False
        dtype = tensor.dtype
    return dtype in (torch.float32, torch.float64)


def is_transformed() -> bool:
    """Return whether `torch.func` transforms a call otherwise than the kernels can be."""
    return torch._C._functorch.maybe_current_level() is not None and not is_mapped()


def is_fx_traced(input: Any) -> bool:
    """Return whether `torch.fx` traces a call."""
    return "torch.fx" in sys.modules and isinstance(input, sys.modules["torch.fx"].Proxy)


def call_as_node(module: nn.Module, *inputs: Any) -> Any:
    """Record the call as one node of a `torch.fx` graph, as PyTorch's own modules are."""
    tracer = inputs[0].tracer
    return tracer.create_proxy("call_module", tracer.path_of_module(module), inputs, {})


def parent_of(module: Any) -> Any:
    """Return PyTorch's own module over the same parameters; `torch.jit.script` compiles it instead of ours."""
    other = copy.copy(module)
    other.__class__ = type(module).__mro__[1]
    return other


def check_opacus_sees(hx: Tensor | None, hidden: Tensor) -> None:
    """Refuse what opacus's hooks do not see: a given state, and a gradient of the last states."""
    cure = "for a GRU in a model of opacus, whose hooks see the input and the gradient of the output alone"
    if hx is not None:
        raise ValueError(f"hx: expected None {cure}, got a tensor")

    def refuse(gradient: Tensor | None) -> None:
        if gradient is not None and gradient.any():  # else nobody reads the last states
            raise RuntimeError(f"cgru.torch: expected no gradient of the last states {cure}; take them from the output")

    if hidden.requires_grad:
        hidden.register_hook(refuse)


def has_gradients(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether a backward may follow a call with these tensors."""
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors if t is not None)


def values_of(module: nn.Module, own: dict[str, Tensor | None], names: Iterable[str]) -> list[Any]:
    """Return the parameters of these names, or what takes their places; faster than `getattr` for a module's `own`."""
    return [own[name] if name in own else getattr(module, name) for name in names]


def run(
    x: Tensor, h0: Tensor | None, weights: list[Tensor], sizes: Tensor | None, m: int, reverse: bool, by: Any = None
) -> tuple[Tensor, Tensor]:
    """Run a layer in one direction (`sizes`: of packed steps); return (all states, laid out as x is, last ones (m, u)).

    Caches are kept if a backward may follow. `by` is `call` (None), or `call_of_each` with weights (m, ...).
    """
    keep = has_gradients((x, h0, *weights))
    bias_ih, bias_hh = weights[2:] or (None, None)
    return (by or call)(x, h0, weights[0], weights[1], bias_ih, bias_hh, sizes, m, reverse, keep)[:2]


class GRU(nn.GRU):
    """`torch.nn.GRU`: the same arguments, parameters, state dict and results, to rounding.

    A call runs on these kernels, reading PyTorch's parameters where they lie, if all its tensors are float32 or all
    float64 on a CPU; else it is the parent's: on another device, in another dtype, under autocast, `torch.func` or
    forward derivatives, in `torch.jit` and `torch.onnx.export`, and for arguments that the parent refuses. Under
    `torch.func.vmap`, alone or with one `grad`, it runs here, where the parent cannot: all mapped calls as one batch.
    It uses as many threads as PyTorch does, by `cgru.set_num_threads`. RuntimeError for second derivatives.
    """

    __prepare_scriptable__ = parent_of

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> Any:
        """Run the GRU, as `torch.nn.GRU.forward` does, with its errors."""
        if is_fx_traced(input):
            return call_as_node(self, input, hx)
        packed = isinstance(input, PackedSequence)
        x, sizes = (input.data, input.batch_sizes) if packed else (input, None)
        weights = values_of(self, self._parameters, self._flat_weights_names)
        if not can_run((x, hx, *weights)) or not self._parent_accepts(x, hx, sizes) or not self._weights_fit(weights):
            return super().forward(input, hx)
        output, hidden = self._compute(input, hx, weights)
        if self._forward_hooks and hasattr(weights[0], "grad_sample"):
            check_opacus_sees(hx, hidden)
        return output, hidden

    def _compute(self, input: Tensor | PackedSequence, hx: Tensor | None, weights: list[Tensor], by: Any = None) -> Any:
        """Run arguments that fit, each layer `by` this function of `run`; return what `forward` does."""
        if isinstance(input, PackedSequence):
            x, sizes, order, back = input
            hx = None if hx is None else self.permute_hidden(hx, order)
            output, hidden = self._run(x, hx, weights, sizes, int(sizes[0]), by)
            return PackedSequence(output, sizes, order, back), self.permute_hidden(hidden, back)
        x = input
        if x.dim() == 2:
            output, hidden = self._run(x.unsqueeze(1), None if hx is None else hx.unsqueeze(1), weights, None, 1, by)
            return output.squeeze_(1), hidden.squeeze_(1)
        if self.batch_first:
            output, hidden = self._run(x.transpose(0, 1), hx, weights, None, x.shape[0], by)
            return output.transpose_(0, 1), hidden  # in place, since the parent's output is no view
        return self._run(x, hx, weights, None, x.shape[1], by)

    def _parent_accepts(self, x: Tensor, hx: Tensor | None, sizes: Tensor | None) -> bool:
        """Return whether the parent accepts these arguments; it raises the error for what it refuses."""
        if self.proj_size or 0 in x.shape or x.shape[-1] != self.input_size:
            return False
        if x.dim() not in ((2, 3) if sizes is None else (2,)):
            return False
        if sizes is not None and not torch.compiler.is_compiling() and not runs.are_sizes(sizes, x.shape[0]):
            return False
        if hx is None:
            return True
        states = self.num_layers * (2 if self.bidirectional else 1)
        if sizes is not None:
            return tuple(hx.shape) == (states, int(sizes[0]), self.hidden_size)
        rows = () if x.dim() == 2 else (x.shape[0 if self.batch_first else 1],)
        return tuple(hx.shape) == (states, *rows, self.hidden_size)

    def _weights_fit(self, weights: list[Tensor]) -> bool:
        """Return whether the weights still have the shapes that they were made with."""
        u, directions, kinds = self.hidden_size, 2 if self.bidirectional else 1, 4 if self.bias else 2
        for i, weight in enumerate(weights):
            number, kind = divmod(i, kinds)
            width = u if kind else self.input_size if number < directions else directions * u
            if weight is None or weight.shape != ((3 * u, width) if kind < 2 else (3 * u,)):
                return False
        return True

    def _run(
        self, x: Tensor, hx: Tensor | None, weights: list[Tensor], sizes: Tensor | None, m: int, by: Any
    ) -> tuple[Tensor, Tensor]:
        """Run all layers over x (s, m, e), or (n, e) packed by `sizes`; return (the outputs, the last states)."""
        count, directions = 4 if self.bias else 2, 2 if self.bidirectional else 1
        states: list[Tensor] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in (False, True)[:directions]:
                number = len(states)
                own = weights[number * count : (number + 1) * count]
                output, state = run(x, None if hx is None else hx[number], own, sizes, m, reverse, by)
                outputs.append(output)
                states.append(state)
            x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = dropout(x, self.dropout)
        return x, torch.stack(states)


class GRUCell(nn.GRUCell):
    """`torch.nn.GRUCell`: the same arguments, parameters, state dict and results; runs here where `GRU` does.

    A single step is about as fast here as in PyTorch; the class is for the same numbers as `GRU`. If all steps are
    known, `GRU` is several times as fast as either.
    """

    __prepare_scriptable__ = parent_of

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Run one step, as `torch.nn.GRUCell.forward` does, with its errors."""
        if is_fx_traced(input):
            return call_as_node(self, input, hx)
        weights = values_of(self, self._parameters, NAMES[: 4 if self.bias else 2])
        if not can_run((input, hx, *weights)) or not self._parent_accepts(input, hx, weights):
            return super().forward(input, hx)
        x, h0 = input, hx
        if input.dim() == 1:
            x, h0 = input[None], None if hx is None else hx[None]
        if is_traced() or has_gradients((x, h0, *weights)):
            state = run(x[None], h0, weights, None, x.shape[0], False)[1]
        else:
            state = step(x, h0, *weights, *(() if self.bias else (None, None)))
        return state if input.dim() == 2 else state.squeeze_(0)

    def _parent_accepts(self, input: Tensor, hx: Tensor | None, weights: list[Tensor]) -> bool:
        """Return whether the parent accepts these arguments."""
        rows = 3 * self.hidden_size
        due = ((rows, self.input_size), (rows, self.hidden_size), (rows,), (rows,))
        return (
            all(weight is not None and weight.shape == shape for weight, shape in zip(weights, due, strict=False))
            and input.dim() in (1, 2)
            and 0 not in input.shape
            and input.shape[-1] == self.input_size
            and (hx is None or tuple(hx.shape) == (*input.shape[:-1], self.hidden_size))
        )


def per_sample_gradients(
    module: GRU,
    input: Tensor | PackedSequence,
    hx: Tensor | None = None,
    *,
    output_gradient: Tensor | PackedSequence | None = None,
    hidden_gradient: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the gradients of each sample by each parameter of a GRU, {name: (m, ...)}: summed, they are `p.grad`.

    The module is run over the batch `input`, and back from the gradients of its two results. Whole models that call a
    `cgru.torch.GRU` take `torch.func.vmap(torch.func.grad(...))`.

    Args:
        module: a `cgru.torch.GRU` of any number of layers and directions.
        input: a batch of sequences as for its `forward`, packed ones too.
        hx: the states before the first step, as for its `forward`.
        output_gradient: dL/d(output), of its shape; for packed steps packed, or its data. None: zero.
        hidden_gradient: dL/d(last states), (layers x directions, m, u). None: zero.

    Returns:
        A dict of the parameters that require a gradient. Of packed sequences the samples are in the order that they
        had before they were packed.

    Raises:
        TypeError, ValueError: the module is another, or would not run on these kernels; a gradient does not fit; or
            the module is to drop out between its layers, which another run does otherwise.
    """
    if not hasattr(module, "_compute"):
        raise TypeError(f"module: expected a cgru.torch.GRU, got {type(module).__name__}; accelerate makes it one")
    if module.training and module.dropout and module.num_layers > 1:
        raise ValueError(f"module: expected none that drops out, got dropout={module.dropout}; eval() stops it")
    if output_gradient is None and hidden_gradient is None:
        raise ValueError("output_gradient, hidden_gradient: expected one at least, got None and None")
    x, sizes, _, back = input if isinstance(input, PackedSequence) else (input, None, None, None)
    names = module._flat_weights_names
    weights = [getattr(module, name) for name in names]
    fits = x.dim() == (3 if sizes is None else 2) and can_run((x, hx, *weights)) and not is_traced()
    if not (fits and module._parent_accepts(x, hx, sizes) and module._weights_fit(weights)):
        due = f"a batch of {module.input_size} features, float32 or float64 on a CPU, as the parameters and hx"
        raise ValueError(f"input: expected {due}, got {x.dtype} {tuple(x.shape)} on {x.device}")
    m = int(sizes[0]) if sizes is not None else x.shape[0 if module.batch_first else 1]
    asked = [name for name, weight in zip(names, weights, strict=True) if weight.requires_grad]
    with torch.enable_grad():
        each = [weight.detach().expand(m, *weight.shape).requires_grad_(weight.requires_grad) for weight in weights]
        results = module._compute(input, hx, each, call_of_each)
    given = [
        ("output_gradient", *map(data_of, (results[0], output_gradient))),
        ("hidden_gradient", results[1], hidden_gradient),
    ]
    for name, result, gradient in given:
        if gradient is not None and (gradient.shape != result.shape or gradient.dtype != result.dtype):
            due, got = (f"{of.dtype} {tuple(of.shape)}" for of in (result, gradient))
            raise ValueError(f"{name}: expected {due}, got {got}")
    _, outputs, gradients = zip(*(part for part in given if part[2] is not None), strict=True)
    wanted = [weight for weight in each if weight.requires_grad]
    found = torch.autograd.grad(outputs, wanted, gradients) if wanted else ()
    return {name: g if back is None else g[back] for name, g in zip(asked, found, strict=True)}


def data_of(value: Any) -> Any:
    """Return the data of packed steps; anything else as it is."""
    return value.data if isinstance(value, PackedSequence) else value
