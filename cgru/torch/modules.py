"""`torch.nn.GRU` and `torch.nn.GRUCell` that run here where they can, and are their parents everywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cgru.torch.operators import call

__all__ = ["GRU", "GRUCell"]

NO_SCRIPT = "torch.jit.script: expected a model of PyTorch's own modules: call cgru.torch.restore(model) first"
PLAIN = (Tensor, nn.Parameter)


def here(tensors: Iterable[Tensor | None]) -> bool:
    """Whether the kernels can run these: float32 or float64 on a CPU, and nobody asks for more than one derivative."""
    if torch.is_autocast_enabled("cpu") or torch.onnx.is_in_onnx_export() or torch.jit.is_tracing():
        return False
    compiling = torch.compiler.is_compiling()
    if not compiling and (torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0):
        return False
    known = [tensor for tensor in tensors if tensor is not None]
    if not all(isinstance(tensor, Tensor) if compiling else type(tensor) in PLAIN for tensor in known):
        return False
    dtype = known[0].dtype
    return dtype in (torch.float32, torch.float64) and all(
        tensor.dtype == dtype and tensor.device.type == "cpu" for tensor in known
    )


def run(x: Tensor, h0: Tensor | None, weights: list[Tensor], lengths: Tensor | None, reverse: bool) -> Any:
    """All states (s, m, u) and the last ones (m, u) of x (s, m, e); caches are kept where a backward may follow."""
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, h0, *weights) if tensor is not None)
    bias_ih, bias_hh = weights[2:] or (None, None)
    return call(x, h0, weights[0], weights[1], bias_ih, bias_hh, lengths, reverse, keep)[:2]


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
        if not here((x, hx, *weights)) or not self._fits(input, x, hx):
            return super().forward(input, hx)
        if packed:
            return self._run_packed(input, hx, weights)
        single = x.dim() == 2
        if single:
            x, hx = x.unsqueeze(1), None if hx is None else hx.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        output, hidden = self._run(x, hx, weights)
        if single:
            return output.squeeze(1), hidden.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output, hidden

    def _fits(self, input: Tensor | PackedSequence, x: Tensor, hx: Tensor | None) -> bool:
        """Whether the parent takes this, who says what it refuses; and not one step alone, which gains nothing."""
        if self.proj_size or 0 in x.shape or x.shape[-1] != self.input_size:
            return False
        steps = len(input.batch_sizes) if x is not input else x.shape[1 if x.dim() == 3 and self.batch_first else 0]
        if steps == 1:
            return False
        states = self.num_layers * (2 if self.bidirectional else 1)
        if x is not input:
            due = (states, int(input.batch_sizes[0]), self.hidden_size)
        elif x.dim() == 3:
            due = (states, x.shape[0 if self.batch_first else 1], self.hidden_size)
        elif x.dim() == 2:
            due = (states, self.hidden_size)
        else:
            return False
        return hx is None or tuple(hx.shape) == due

    def _run_packed(
        self, input: PackedSequence, hx: Tensor | None, weights: list[Tensor]
    ) -> tuple[PackedSequence, Tensor]:
        """A packed sequence is padded, which the operator runs by its lengths, and packed again."""
        data, batch_sizes, order, back = input
        hx = None if hx is None else self.permute_hidden(hx, order)
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        ragged = int(batch_sizes[-1]) != int(batch_sizes[0])
        output, hidden = self._run(x, hx, weights, lengths if ragged else None)
        output = pack_padded_sequence(output, lengths).data
        return PackedSequence(output, batch_sizes, order, back), self.permute_hidden(hidden, back)

    def _run(
        self, x: Tensor, hx: Tensor | None, weights: list[Tensor], lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All layers of x (s, m, e)."""
        count, directions = 4 if self.bias else 2, 2 if self.bidirectional else 1
        states: list[Tensor] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in (False, True)[:directions]:
                number = len(states)
                own = weights[number * count : (number + 1) * count]
                output, state = run(x, None if hx is None else hx[number], own, lengths, reverse)
                outputs.append(output)
                states.append(state)
            x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = dropped(x, self.dropout, lengths)
        return x, torch.stack(states) if len(states) > 1 else states[0].unsqueeze(0)


def dropped(x: Tensor, rate: float, lengths: Tensor | None) -> Tensor:
    """Dropout of real steps alone, so that the generator goes on as after the parent's."""
    if lengths is None:
        return dropout(x, rate)
    data, batch_sizes, _, _ = pack_padded_sequence(x, lengths)
    return pad_packed_sequence(PackedSequence(dropout(data, rate), batch_sizes))[0]


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
        return run(x, None if hx is None else hx.reshape(-1, self.hidden_size), weights, None, False)[1].view(
            *input.shape[:-1], self.hidden_size
        )

    def _fits(self, input: Tensor, hx: Tensor | None) -> bool:
        """Whether the parent takes this."""
        return (
            input.dim() in (1, 2)
            and 0 not in input.shape
            and input.shape[-1] == self.input_size
            and (hx is None or tuple(hx.shape) == (*input.shape[:-1], self.hidden_size))
        )
