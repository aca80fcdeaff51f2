"""`torch.nn.GRU` and `torch.nn.GRUCell` that run here where they can, and are their parents everywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from cgru.torch.operators import call

__all__ = ["GRU", "GRUCell"]

NO_SCRIPT = "torch.jit.script: expected a model of PyTorch's own modules: call cgru.torch.restore(model) first"
PLAIN = (Tensor, nn.Parameter)


def here(tensors: Iterable[Tensor | None]) -> bool:
    """Whether the kernels can run these: float32 or float64 on a CPU, and nobody asks for more than one derivative."""
    if torch.is_autocast_enabled("cpu") or torch.jit.is_tracing():
        return False
    compiling = torch.compiler.is_compiling()
    if compiling:
        if torch.onnx.is_in_onnx_export():
            return False
    elif torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0:
        return False
    dtype = None
    for tensor in tensors:
        if tensor is None:
            continue
        if not (type(tensor) in PLAIN or (compiling and isinstance(tensor, Tensor))) or not tensor.is_cpu:
            return False
        if tensor.dtype != (dtype or tensor.dtype):
            return False
        dtype = tensor.dtype
    return dtype in (torch.float32, torch.float64)


def run(
    x: Tensor, h0: Tensor | None, weights: list[Tensor], sizes: Tensor | None, m: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    """All states, as x is laid out, and the last ones (m, u); caches are kept where a backward may follow."""
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, h0, *weights) if t is not None)
    bias_ih, bias_hh = weights[2:] or (None, None)
    return call(x, h0, weights[0], weights[1], bias_ih, bias_hh, sizes, m, reverse, keep)[:2]


class GRU(nn.GRU):
    """`torch.nn.GRU`: the same arguments, parameters, state dict and results, to rounding.

    A call runs on these kernels, reading PyTorch's parameters where they lie, if all its tensors are float32 or all
    float64 on a CPU; else it is the parent's: on another device, in another dtype, under autocast, `torch.func` or
    forward derivatives, in `torch.jit` and `torch.onnx.export`, for a single step, and for arguments that the parent
    refuses. It uses as many threads as PyTorch does, by `cgru.set_num_threads`. RuntimeError for second derivatives.
    """

    def __prepare_scriptable__(self) -> Any:
        """What `torch.jit.script` asks before it compiles, which knows no Python."""
        raise RuntimeError(NO_SCRIPT)

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> Any:
        """As the parent's, with its errors."""
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        weights = [getattr(self, name) for name in self._flat_weights_names]
        if not here((x, hx, *weights)) or not self._fits(x, hx, input.batch_sizes if packed else None):
            return super().forward(input, hx)
        if packed:
            _, sizes, order, back = input
            hx = None if hx is None else self.permute_hidden(hx, order)
            output, hidden = self._run(x, hx, weights, sizes, int(sizes[0]))
            return PackedSequence(output, sizes, order, back), self.permute_hidden(hidden, back)
        if x.dim() == 2:
            output, hidden = self._run(x.unsqueeze(1), None if hx is None else hx.unsqueeze(1), weights, None, 1)
            return output.squeeze(1), hidden.squeeze(1)
        if self.batch_first:
            output, hidden = self._run(x.transpose(0, 1), hx, weights, None, x.shape[0])
            return output.transpose(0, 1), hidden
        return self._run(x, hx, weights, None, x.shape[1])

    def _fits(self, x: Tensor, hx: Tensor | None, sizes: Tensor | None) -> bool:
        """Whether the parent takes this, who says what it refuses."""
        if self.proj_size or 0 in x.shape or x.shape[-1] != self.input_size:
            return False
        if sizes is None and x.dim() not in (2, 3):
            return False
        if hx is None:
            return True
        states = self.num_layers * (2 if self.bidirectional else 1)
        if sizes is not None:
            return tuple(hx.shape) == (states, int(sizes[0]), self.hidden_size)
        rows = () if x.dim() == 2 else (x.shape[0 if self.batch_first else 1],)
        return tuple(hx.shape) == (states, *rows, self.hidden_size)

    def _run(
        self, x: Tensor, hx: Tensor | None, weights: list[Tensor], sizes: Tensor | None, m: int
    ) -> tuple[Tensor, Tensor]:
        """All layers of x (s, m, e), or packed (n, e)."""
        count, directions = 4 if self.bias else 2, 2 if self.bidirectional else 1
        states: list[Tensor] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in (False, True)[:directions]:
                number = len(states)
                own = weights[number * count : (number + 1) * count]
                output, state = run(x, None if hx is None else hx[number], own, sizes, m, reverse)
                outputs.append(output)
                states.append(state)
            x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = dropout(x, self.dropout)
        return x, torch.stack(states) if len(states) > 1 else states[0].unsqueeze(0)


class GRUCell(nn.GRUCell):
    """`torch.nn.GRUCell`: the same arguments, parameters, state dict and results; runs here where `GRU` does.

    A step by itself is slower here than there, since its weights are laid out anew: what it is for is the numbers of
    these kernels. Where all steps are known, `GRU` is several times as fast as either.
    """

    def __prepare_scriptable__(self) -> Any:
        """As `GRU`'s."""
        raise RuntimeError(NO_SCRIPT)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """As the parent's, with its errors."""
        weights = [self.weight_ih, self.weight_hh, *((self.bias_ih, self.bias_hh) if self.bias else ())]
        if not here((input, hx, *weights)) or not self._fits(input, hx):
            return super().forward(input, hx)
        x = input.reshape(1, -1, self.input_size)
        h0 = None if hx is None else hx.reshape(-1, self.hidden_size)
        return run(x, h0, weights, None, x.shape[1], False)[1].view(*input.shape[:-1], self.hidden_size)

    def _fits(self, input: Tensor, hx: Tensor | None) -> bool:
        """Whether the parent takes this."""
        return (
            input.dim() in (1, 2)
            and 0 not in input.shape
            and input.shape[-1] == self.input_size
            and (hx is None or tuple(hx.shape) == (*input.shape[:-1], self.hidden_size))
        )
