"""The run of one layer in one direction as an operator of PyTorch's, with fake tensors and autograd.

m samples, s steps, e elements per step, u unit cells. PyTorch's layout: x (s, m, e), h0 (m, u), weight_ih (3u, e),
weight_hh (3u, u), bias_ih and bias_hh (3u,), the gates in the order r, z, n. An operator knows tensors alone, so what a
run keeps to go back is one more of its results, over whose memory a `Pass` is then built.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgru.core.threads import get_num_threads, set_num_threads
from cgru.gru import GRU
from cgru.interop.gates import TORCH
from cgru.passes import GRUPass, cache_numbers, predict
from cgru.variant import RESET_AFTER

__all__ = ["call"]

CODES = GRU(reset_after=True).codes()  # of PyTorch's activations
WEIGHTS = "Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, Tensor? lengths"


class Layer:
    """What a `Pass` asks of its layer, over the memory of PyTorch's parameters."""

    variant, sequences = RESET_AFTER, True

    def __init__(self, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor | None, bias_hh: Tensor | None) -> None:
        W, R = array(weight_ih), array(weight_hh)
        u = R.shape[1]
        zeros = np.zeros(3 * u, R.dtype) if bias_ih is None else None
        into, back = zeros if bias_ih is None else array(bias_ih), zeros if bias_hh is None else array(bias_hh)
        self.d, self.p = {"u": u}, {}
        for k, gate in enumerate(TORCH.gates):
            of = slice(k * u, (k + 1) * u)
            self.p["U" + gate], self.p["V" + gate] = W[of].T, R[of].T
            if gate == "hh":
                self.p["bhh"], self.p["chh"] = into[None, of], back[None, of]
            else:
                self.p["b" + gate] = (into[of] + back[of])[None]

    def codes(self) -> Any:
        """Those of its activations."""
        return CODES


def array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory."""
    return tensor.detach().numpy()


def optional(tensor: Tensor | None) -> np.ndarray | None:
    """Its memory in one piece."""
    return None if tensor is None else np.ascontiguousarray(array(tensor))


def samples_first(tensor: Tensor) -> np.ndarray:
    """(s, m, n) as (m, s, n)."""
    return array(tensor).swapaxes(0, 1)


def steps_first(values: np.ndarray) -> Tensor:
    """(m, s, n) as (s, m, n)."""
    return torch.from_numpy(values.swapaxes(0, 1))


def follow() -> None:
    """Use as many threads as PyTorch does."""
    threads = torch.get_num_threads()
    if threads != get_num_threads():
        set_num_threads(threads)


# --- what is computed ---


def compute(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse, keep):
    """All states (s, m, u), zero past a sample's length, the last ones (m, u), and with `keep` the caches."""
    follow()
    layer = Layer(weight_ih, weight_hh, bias_ih, bias_hh)
    X, h0, lengths = samples_first(x), optional(h0), optional(lengths)
    if not keep:
        A, state = predict(X, lengths, h0, layer.p, RESET_AFTER, CODES, reverse=reverse, every=True)
        A = np.ascontiguousarray(A.swapaxes(0, 1))
        return torch.from_numpy(A), torch.from_numpy(state), x.new_empty(0)
    m, s, _ = X.shape
    caches = x.new_empty(cache_numbers(RESET_AFTER, m, s, layer.d["u"]))
    run = GRUPass(layer, X, lengths, h0, layer.p, CODES, {}, reverse=reverse, memory=array(caches))
    A = np.array(run.A.swapaxes(0, 1), order="C")  # a copy: whoever gets it may write into it
    return torch.from_numpy(A), torch.from_numpy(run.state), caches


def compute_back(dA, dstate, x, weight_ih, weight_hh, bias_ih, bias_hh, lengths, caches, reverse, weights):
    """The gradients of x and h0, then with `weights` those of weight_ih, weight_hh, bias_ih, bias_hh."""
    follow()
    layer = Layer(weight_ih, weight_hh, bias_ih, bias_hh)
    X, lengths, memory = samples_first(x), optional(lengths), array(caches)
    run = GRUPass(layer, X, lengths, None, layer.p, CODES, {}, reverse=reverse, memory=memory, ran=True)
    dX = run.backward(None if dA is None else samples_first(dA), None if dstate is None else array(dstate))
    due = [steps_first(dX), torch.from_numpy(run.dh0)]
    if weights:
        due += map(torch.from_numpy, stacked(run.gradients(), *dX.shape[2:], layer.d["u"]))
    return due


def stacked(g: dict[str, np.ndarray], e: int, u: int) -> list[np.ndarray]:
    """The gradients of weight_ih, weight_hh, bias_ih, bias_hh from ours."""
    dtype = g["dbr"].dtype
    W, R, into, back = (np.empty((3 * u, *shape), dtype) for shape in ((e,), (u,), (), ()))
    for k, gate in enumerate(TORCH.gates):
        of = slice(k * u, (k + 1) * u)
        W[of], R[of], into[of] = g["dU" + gate].T, g["dV" + gate].T, g["db" + gate]
        back[of] = g["dchh" if gate == "hh" else "db" + gate]
    return [W, R, into, back]


def keep_for_backward(ctx, inputs, output):
    """What a backward reads; PyTorch then refuses to go back where one of these was written to."""
    x, _, *weights, ctx.reverse, ctx.kept = inputs
    ctx.save_for_backward(x, *weights, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def go_back(ctx, dA, dstate, _, by=None):
    """The gradients of the arguments, None where nobody needs one, by the operator or what is given."""
    needs = ctx.needs_input_grad
    if dA is None and dstate is None:
        return (None,) * len(needs)
    if not ctx.kept:
        raise RuntimeError("cgru::gru: expected a run with keep=True before a backward")
    due = (by or backward)(dA, dstate, *ctx.saved_tensors, ctx.reverse, any(needs[2:6]))
    due += [None] * (len(needs) - len(due))
    return tuple(value if needed else None for value, needed in zip(due, needs, strict=True))


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
        return go_back(ctx, *gradients, by=backward if torch.is_grad_enabled() or watched() else compute_back)


def watched() -> bool:
    """Whether PyTorch compiles this, or counts or traces its operators."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def call(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`compute`, with its gradients where it keeps the caches."""
    if watched():
        return forward(*inputs)
    return Run.apply(*inputs) if inputs[-1] else compute(*inputs)


@torch.library.custom_op(
    "cgru::gru",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor? h0, {WEIGHTS}, bool reverse, bool keep) -> (Tensor, Tensor, Tensor)",
)
def forward(*inputs):
    """`compute`."""
    return compute(*inputs)


@forward.register_fake
def _(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse, keep):
    s, m, _ = x.shape
    u = weight_hh.shape[1]
    numbers = m * u * (5 * s + 1) if keep else 0  # as `cache_numbers` says, which counts no symbols
    return x.new_empty(s, m, u), x.new_empty(m, u), x.new_empty(numbers)


@torch.library.custom_op(
    "cgru::gru_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor? dA, Tensor? dstate, Tensor x, {WEIGHTS}, Tensor caches, bool reverse, bool weights) -> Tensor[]",
)
def backward(*inputs):
    """`compute_back`; its results lie as the fake ones say."""
    return [tensor.contiguous() for tensor in compute_back(*inputs)]


@backward.register_fake
def _(dA, dstate, x, weight_ih, weight_hh, bias_ih, bias_hh, lengths, caches, reverse, weights):
    m, rows, u = x.shape[1], *weight_hh.shape
    due = [torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(m, u)]
    if weights:
        due += [x.new_empty(rows, x.shape[2]), x.new_empty(rows, u), x.new_empty(rows), x.new_empty(rows)]
    return due


def refuse(ctx, *_):
    """PyTorch would say no more than that there is no formula."""
    raise RuntimeError("cgru.torch: expected one derivative, got a second one, which torch.nn.GRU alone has")


forward.register_autograd(go_back, setup_context=keep_for_backward)
backward.register_autograd(refuse)
