"""The run of one layer in one direction as an operator of PyTorch's, with fake tensors and autograd.

m samples, s steps, e elements per step, u unit cells; cgru/torch/runs.pyx says how the tensors lie. An operator knows
tensors alone, so what a run keeps to go back is one more of its results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cgru.core.threads import get_num_threads, set_num_threads
from cgru.torch import runs

__all__ = ["call"]

WEIGHTS = "Tensor weight_ih, Tensor weight_hh"


def follow() -> None:
    """Use as many threads as PyTorch does."""
    threads = torch.get_num_threads()
    if threads != get_num_threads():
        set_num_threads(threads)


def compute(*inputs):
    """`runs.forward`."""
    follow()
    return runs.forward(*inputs)


def compute_back(*inputs):
    """`runs.backward`."""
    follow()
    return runs.backward(*inputs)


def keep_for_backward(ctx, inputs, output):
    """What a backward reads; PyTorch then refuses to go back where one of these was written to."""
    x, h0, weight_ih, weight_hh, _, _, sizes, ctx.m, ctx.reverse, ctx.kept = inputs
    ctx.fresh, ctx.shape = h0 is None, x.shape
    ctx.save_for_backward(x if any(ctx.needs_input_grad[2:6]) else None, weight_ih, weight_hh, sizes, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def go_back(ctx, dA, dstate, _, by=None):
    """The gradients of the arguments, None where nobody needs one, by the operator or what is given."""
    needs = ctx.needs_input_grad
    if dA is None and dstate is None:
        return (None,) * len(needs)
    if not ctx.kept:
        raise RuntimeError("cgru::gru: expected a run with keep=True before a backward")
    of_x, of_h0, *of_each = needs[:6]
    of_weights = any(of_each)
    x, *others = ctx.saved_tensors
    if x is None:  # no more than its shape is looked at
        x = others[0].new_empty(()).expand(ctx.shape)
    due = (by or backward)(dA, dstate, x, *others, ctx.m, ctx.reverse, ctx.fresh, of_x, of_h0, of_weights)
    dx, dh0 = due.pop(0) if of_x else None, due.pop(0) if of_h0 else None
    weights = [value if needed else None for value, needed in zip(due or [None] * 4, of_each, strict=True)]
    return dx, dh0, *weights, None, None, None, None


# --- as PyTorch knows it ---


class Run(torch.autograd.Function):
    """The operator without its way through PyTorch's dispatcher, which takes as long as a small layer does."""

    @staticmethod
    def forward(ctx, *inputs):
        """As `compute`."""
        output = compute(*inputs)
        keep_for_backward(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx, *gradients):
        """By the operator where a graph of it is made: it says that there is no second derivative."""
        if any(d is not None and torch._C._functorch.is_legacy_batchedtensor(d) for d in gradients):
            raise RuntimeError("cgru.torch: expected one gradient at a time, got many, which torch.nn.GRU alone takes")
        return go_back(ctx, *gradients, by=backward if torch.is_grad_enabled() or watched() else compute_back)


def watched() -> bool:
    """Whether PyTorch compiles this, or traces its operators."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def call(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`compute`, with its gradients where it keeps the caches."""
    if watched():
        return forward(*inputs)
    return Run.apply(*inputs) if inputs[-1] else compute(*inputs)


def operator(name: str, run: Any, schema: str) -> Any:
    """Let PyTorch know a function, which writes to none of its arguments, as an operator."""
    return torch.library.custom_op(f"cgru::{name}", run, mutates_args=(), device_types="cpu", schema=schema)


forward = operator(
    "gru",
    compute,
    f"(Tensor x, Tensor? h0, {WEIGHTS}, Tensor? bias_ih, Tensor? bias_hh, Tensor? sizes, SymInt m, bool reverse, "
    "bool keep) -> (Tensor, Tensor, Tensor)",
)
backward = operator(
    "gru_backward",
    compute_back,
    f"(Tensor? dA, Tensor? dstate, Tensor x, {WEIGHTS}, Tensor? sizes, Tensor caches, SymInt m, bool reverse, "
    "bool fresh, bool of_x, bool of_h0, bool of_weights) -> Tensor[]",
)


@forward.register_fake
def _(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, m, reverse, keep):
    u, s = weight_hh.shape[1], (x if sizes is None else sizes).shape[0]
    return x.new_empty(*x.shape[:-1], u), x.new_empty(m, u), x.new_empty(m * u * (5 * s + 1) if keep else 0)


@backward.register_fake
def _(dA, dstate, x, weight_ih, weight_hh, sizes, caches, m, reverse, fresh, of_x, of_h0, of_weights):
    rows, u = weight_hh.shape
    due = [x.new_empty(x.shape)] if of_x else []
    due += [x.new_empty(m, u)] if of_h0 else []
    if of_weights:
        due += [x.new_empty(rows, x.shape[-1]), x.new_empty(rows, u), x.new_empty(rows), x.new_empty(rows)]
    return due


def refuse(ctx, *_):
    """PyTorch would say no more than that there is no formula."""
    raise RuntimeError("cgru.torch: expected one derivative, got a second one, which torch.nn.GRU alone has")


forward.register_autograd(go_back, setup_context=keep_for_backward)
backward.register_autograd(refuse)
