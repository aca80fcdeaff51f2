"""One layer in one direction as an operator of PyTorch, with fake tensors and autograd.

Letters: m samples, s steps, e features of a step, u units; cgru/torch/runs.pyx says how the tensors lie. An operator
can return only tensors, so the caches for the backward pass are one more of its results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cgru.core.threads import get_num_threads, set_num_threads
from cgru.torch import runs

__all__ = ["call", "is_traced", "step"]

WEIGHTS = "Tensor weight_ih, Tensor weight_hh"


def match_threads() -> None:
    """Set our number of threads to PyTorch's."""
    threads = torch.get_num_threads()
    if threads != get_num_threads():
        set_num_threads(threads)


def compute(*inputs):
    """Run `runs.forward` on PyTorch's number of threads; return (states, last states, caches)."""
    match_threads()
    return runs.forward(*inputs)


def compute_backward(*inputs):
    """Run `runs.backward` on PyTorch's number of threads; return the list of requested gradients."""
    match_threads()
    return runs.backward(*inputs)


def save_for_backward(ctx, inputs, output):
    """Save in `ctx` what a backward reads; PyTorch refuses to go back if one of these tensors was written to."""
    x, h0, weight_ih, weight_hh, _, _, sizes, ctx.m, ctx.reverse, ctx.keeps = inputs
    ctx.no_h0, ctx.shape = h0 is None, x.shape
    ctx.save_for_backward(x if any(ctx.needs_input_grad[2:6]) else None, weight_ih, weight_hh, sizes, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def backpropagate(ctx, dA, dstate, _, by=None):
    """Return the gradient of each argument of `forward`, None for those not needed; `by` computes them.

    `by` computes them; None: the operator `backward`.
    """
    needs = ctx.needs_input_grad
    if dA is None and dstate is None:
        return (None,) * len(needs)
    if not ctx.keeps:
        raise RuntimeError("cgru::gru: expected a run with keep=True before a backward")
    of_x, of_h0, *of_each = needs[:6]
    of_weights = any(of_each)
    x, *others = ctx.saved_tensors
    if x is None:  # only its shape is read
        x = others[0].new_empty(()).expand(ctx.shape)
    due = (by or backward)(dA, dstate, x, *others, ctx.m, ctx.reverse, ctx.no_h0, of_x, of_h0, of_weights)
    dx, dh0 = due.pop(0) if of_x else None, due.pop(0) if of_h0 else None
    weights = [value if needed else None for value, needed in zip(due or [None] * 4, of_each, strict=True)]
    return dx, dh0, *weights, None, None, None, None


# --- registration with PyTorch ---


class Run(torch.autograd.function._SingleLevelFunction):
    """The operator without PyTorch's dispatcher, whose overhead is as long as a small layer's run.

    Of `torch.autograd.Function` it lacks what `torch.func` asks for, under which nothing runs here.
    """

    @staticmethod
    def forward(ctx, *inputs):
        """Run `compute`, and save what a backward reads."""
        output = compute(*inputs)
        save_for_backward(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx, *gradients):
        """Return the gradients.

        The operator is used if a graph of it is made: it refuses second derivatives.
        """
        if any(d is not None and torch._C._functorch.is_legacy_batchedtensor(d) for d in gradients):
            raise RuntimeError("cgru.torch: expected one gradient at a time, got many, which torch.nn.GRU alone takes")
        by = backward if torch.is_grad_enabled() or is_traced() else compute_backward
        return backpropagate(ctx, *gradients, by=by)


def is_traced() -> bool:
    """Return whether PyTorch compiles this call, or traces its operators."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0 or torch.jit.is_tracing()


def call(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Run `compute`, with gradients if the last input, `keep`, is set; return (states, last states, caches)."""
    if is_traced():
        return forward(*inputs)
    return Run.apply(*inputs) if inputs[-1] else compute(*inputs)


def step(*inputs: Any) -> Tensor:
    """Run one step of x (m, e) without gradients, outside of tracing; return the states (m, u)."""
    match_threads()
    return runs.step(*inputs)


def operator(name: str, run: Any, schema: str) -> Any:
    """Register a function that writes to none of its arguments as a PyTorch operator."""
    return torch.library.custom_op(f"cgru::{name}", run, mutates_args=(), device_types="cpu", schema=schema)


forward = operator(
    "gru",
    compute,
    f"(Tensor x, Tensor? h0, {WEIGHTS}, Tensor? bias_ih, Tensor? bias_hh, Tensor? sizes, SymInt m, bool reverse, "
    "bool keep) -> (Tensor, Tensor, Tensor)",
)
backward = operator(
    "gru_backward",
    compute_backward,
    f"(Tensor? dA, Tensor? dstate, Tensor x, {WEIGHTS}, Tensor? sizes, Tensor caches, SymInt m, bool reverse, "
    "bool fresh, bool of_x, bool of_h0, bool of_weights) -> Tensor[]",
)


@forward.register_fake
def _(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, m, reverse, keep):
    """Return tensors without data, of the shapes that `forward` returns, for tracing."""
    u, s = weight_hh.shape[1], (x if sizes is None else sizes).shape[0]
    return x.new_empty(*x.shape[:-1], u), x.new_empty(m, u), x.new_empty(m * u * (5 * s + 1) if keep else 0)


@backward.register_fake
def _(dA, dstate, x, weight_ih, weight_hh, sizes, caches, m, reverse, fresh, of_x, of_h0, of_weights):
    """Return tensors without data, of the shapes that `backward` returns, for tracing."""
    rows, u = weight_hh.shape
    due = [x.new_empty(x.shape)] if of_x else []
    due += [x.new_empty(m, u)] if of_h0 else []
    if of_weights:
        due += [x.new_empty(rows, x.shape[-1]), x.new_empty(rows, u), x.new_empty(rows), x.new_empty(rows)]
    return due


def refuse(ctx, *_):
    """Raise RuntimeError: there is no second derivative. PyTorch's own error would not say why."""
    raise RuntimeError("cgru.torch: expected one derivative, got a second one, which torch.nn.GRU alone has")


forward.register_autograd(backpropagate, setup_context=save_for_backward)
backward.register_autograd(refuse)
