"""PyTorch operators that run one GRU layer in one direction, with autograd, `vmap` and fake tensors.

Letters: m samples, s steps, e features of a step, u units; cgru/torch/runs.pyx says how the tensors lie. An operator
can return only tensors, so the caches for the backward pass are one more of its results.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.compiler import is_compiling

from cgru.core.threads import get_num_threads, set_num_threads
from cgru.torch import runs

__all__ = [
    "SHARED",
    "Step",
    "both",
    "call",
    "check_no_onnx",
    "is_mapped",
    "is_traced",
    "shared_weights",
    "step",
]

WEIGHTS = "Tensor weight_ih, Tensor weight_hh"
ENOUGH = 256  # rows of a cell's steps whose products are computed at once
CURE = "which only torch.nn.GRU has: run the model inside `with cgru.torch.restored(model):`"


def match_threads() -> None:
    """Set cgru's number of threads to that of PyTorch."""
    threads = torch.get_num_threads()
    if threads != get_num_threads():
        set_num_threads(threads)


def compute(*inputs):
    """Run a forward pass on PyTorch's number of threads; return (states, last states, caches)."""
    match_threads()
    return runs.forward(*inputs)


def compute_backward(*inputs, each=False):
    """Run a backward pass on PyTorch's number of threads; return the list of the needed gradients.

    With `each` those of the weights are of each sample.
    """
    match_threads()
    return runs.backward(*inputs, each=each)


def save_for_backward(ctx, inputs, output):
    """Save the tensors that the backward pass needs in `ctx`, so that PyTorch detects changes in place."""
    x, h0, weight_ih, weight_hh, _, _, sizes, ctx.m, ctx.reverse, ctx.keeps, decay = inputs
    ctx.no_h0, ctx.shape = h0 is None, x.shape
    ctx.save_for_backward(x if any(ctx.needs_input_grad[2:6]) else None, weight_ih, weight_hh, sizes, output[2], decay)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def backpropagate(ctx, dA, dstate, _, by=None):
    """Return the gradient of each argument of `forward`, None if it is not needed; `by` computes them.

    `by` computes them; None: the operator `backward`.
    """
    needs = ctx.needs_input_grad
    if dA is None and dstate is None:
        return (None,) * len(needs)
    if not ctx.keeps:
        raise RuntimeError("cgru::gru: expected a run with keep=True before a backward")
    of_x, of_h0, *of_each = needs[:6]
    of_weights, of_decay = any(of_each), needs[-1]
    x, *others, decay = ctx.saved_tensors
    if x is None:  # only its shape is read
        x = others[0].new_empty(()).expand(ctx.shape)
    flags = (ctx.m, ctx.reverse, ctx.no_h0, of_x, of_h0, of_weights)
    due = (by or backward)(dA, dstate, x, *others, *flags, decay, of_decay)
    dx, dh0, ddecay = (due.pop(at) if of else None for at, of in ((0, of_x), (0, of_h0), (-1, of_decay)))
    weights = [value if needed else None for value, needed in zip(due or [None] * 4, of_each, strict=True)]
    return dx, dh0, *weights, None, None, None, None, ddecay


def refuse(ctx, *_):
    """Raise RuntimeError for a second derivative, which is not supported, with a clearer message than PyTorch's."""
    raise RuntimeError(f"cgru.torch: expected one derivative, got a second one, {CURE}")


def check_one_at_a_time(*gradients):
    """Raise RuntimeError for batched gradients, as from `is_grads_batched=True`, which are not supported."""
    if any(d is not None and torch._C._functorch.is_legacy_batchedtensor(d) for d in gradients):
        raise RuntimeError(f"cgru.torch: expected one gradient at a time, got a batch of gradients, {CURE}")


# --- registration with PyTorch ---


class Run(torch.autograd.function._SingleLevelFunction):
    """An autograd function that avoids PyTorch's dispatcher, which takes as long as a small layer.

    Of `torch.autograd.Function` it lacks what `torch.func` asks for, under which nothing runs here. Weights may be
    given as (m, ...), all m alike: their gradients are then those of each sample.
    """

    @staticmethod
    def forward(ctx, *inputs):
        """Run `compute`, and save the tensors that the backward pass needs."""
        ctx.each = inputs[2].dim() == 3
        if ctx.each:
            inputs = (*inputs[:2], *(weight if weight is None else weight[0] for weight in inputs[2:6]), *inputs[6:])
        output = compute(*inputs)
        save_for_backward(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx, *gradients):
        """Return the gradients of all inputs.

        The operator is used if a graph of it is made: it refuses second derivatives.
        """
        check_one_at_a_time(*gradients)
        as_operator = not ctx.each and (torch.is_grad_enabled() or is_traced())
        return backpropagate(ctx, *gradients, by=backward if as_operator else partial(compute_backward, each=ctx.each))


# --- one step of a cell ---


class CellWeights:
    """The weights of a GRUCell, which all of its steps in one autograd graph share.

    Each step that goes back adds its rows to sums, and the gradients of the weights are returned once, after the last
    of them: to add gradients at each step would take most of the time. The graph leads from each step to `anchor`, and
    from there to the weights.

    Attributes:
        weights: weight_ih, weight_hh and the two biases, or None.
        needs: which of them have gradients.
        dtype: theirs.
        sums: a `Sums` for each backward pass, since several may run at once.
        anchor: an empty tensor; None: all weights are frozen.
    """

    def __init__(self, weights):
        self.weights, self.dtype, self.sums = weights, weights[0].dtype, {}
        self.needs = [weight is not None and weight.requires_grad for weight in weights]
        self.anchor = SumOfSteps.apply(self.sums, *weights) if any(self.needs) else None


SHARED: dict[int, weakref.ref[CellWeights]] = {}  # of the latest steps, by the id of weight_hh


def shared_weights(weights):
    """Return the `CellWeights` of earlier steps with the same weights, or new ones if there are none."""
    key = id(weights[1])
    known = SHARED.get(key)
    shared = known and known()
    if shared and shared.dtype is weights[0].dtype and runs.are_shared(weights, shared.weights, shared.needs):
        return shared
    shared = CellWeights(weights)
    if all(weight is None or weight.is_leaf for weight in weights):
        SHARED[key] = weakref.ref(shared, lambda known: SHARED.get(key) is known and SHARED.pop(key))
    return shared


class Sums:
    """The gradients of a cell's weights, collected during one backward pass.

    They are PyTorch's products: rows have no order in time, and its libraries are made for many of them.
    """

    def __init__(self):
        self.steps, self.rows, self.found = [], 0, None

    def add(self, x, h, d):
        """Add one step's inputs x (m, e), previous states h (m, u) and gate gradients d (m, 4u) of r, z, n and c."""
        self.steps.append((x, h, d))
        self.rows += len(x)
        if self.rows >= ENOUGH:
            self.multiply()

    def multiply(self):
        """Multiply the rows that were added, and add the products to the gradients of the weights."""
        x, h, d = (torch.cat(each) if len(each) > 1 else each[0] for each in zip(*self.steps, strict=True))
        self.steps, self.rows, u, first = [], 0, h.shape[1], self.found is None
        if first:
            self.found = d.new_empty(3 * u, x.shape[1]), d.new_empty(3 * u, u), d.new_zeros(4 * u)
        of_x, of_h, biases = self.found
        reset_update, of_c = d[:, : 2 * u], d[:, 3 * u :]
        for to, a, b in ((of_x, d[:, : 3 * u], x), (of_h[: 2 * u], reset_update, h), (of_h[2 * u :], of_c, h)):
            torch.addmm(to, a.t(), b, beta=0 if first else 1, out=to)
        biases += d.sum(0)

    def gradients(self):
        """Return the gradients of the four weights; while a graph of them is built, as sums over the steps."""
        if torch.is_grad_enabled():
            return [None if each[0] is None else sum(each[1:], each[0]) for each in zip(*self.steps, strict=True)]
        if self.steps:
            self.multiply()
        of_x, of_h, biases = self.found
        u = of_h.shape[1]
        return of_x, of_h, biases[: 3 * u], torch.cat((biases[: 2 * u], biases[3 * u :]))


class SumOfSteps(torch.autograd.function._SingleLevelFunction):
    """An autograd function whose backward pass returns the gradients of a cell's weights, summed over its steps."""

    @staticmethod
    def forward(ctx, sums, *weights):
        """Return an empty tensor, the `anchor` of `CellWeights`, on which the steps depend."""
        ctx.sums = sums
        ctx.set_materialize_grads(False)
        return weights[0].new_empty(0)

    @staticmethod
    def backward(ctx, _):
        """Return the gradients of the weights, from the steps that ran backward before."""
        sums = ctx.sums.pop(torch._C._current_graph_task_id(), None)
        found, needs = sums.gradients() if sums else [None] * 4, ctx.needs_input_grad[1:]
        return None, *(value if needed else None for value, needed in zip(found, needs, strict=True))


class Step(torch.autograd.function._SingleLevelFunction):
    """An autograd function for one step of a cell."""

    @staticmethod
    def forward(ctx, x, h0, anchor, shared):
        """Run one step, save the tensors that its backward pass needs, and return the states (m, u)."""
        match_threads()
        weights, of_weights = shared.weights, ctx.needs_input_grad[2]
        if h0 is None:
            h0 = x.new_zeros((len(x), weights[1].shape[1]))
        elif not of_weights:  # PyTorch then saves neither x nor h0, so both may change
            h0 = h0.clone()
        state, caches = runs.step(x, h0, *weights, True)
        ctx.shared = shared
        ctx.save_for_backward(x if of_weights else None, h0, *weights[:2], caches)
        return state

    @staticmethod
    def backward(ctx, dstate):
        """Return the gradients of x and h0; the gradients of the weights are left to `SumOfSteps`."""
        check_one_at_a_time(dstate)
        (of_x, of_h0, of_weights, _), shared = ctx.needs_input_grad, ctx.shared
        x, h0, *weights, caches = ctx.saved_tensors
        sums = None
        if of_weights and torch._C._will_engine_execute_node(shared.anchor.grad_fn):
            sums = shared.sums.setdefault(torch._C._current_graph_task_id(), Sums())
        if torch.is_grad_enabled():  # PyTorch's own cell has the second derivatives that a graph is made for
            if x is None:
                refuse(ctx)
            # of views, since x may depend on h0
            inputs = [each if each is None else each.view_as(each) for each in (x, h0, *shared.weights)]
            wanted = [each for each in inputs if each is not None and each.requires_grad]
            due = iter(torch.autograd.grad(torch.gru_cell(*inputs), wanted, dstate, create_graph=True))
            dx, dh0, *step = (next(due) if each is not None and each.requires_grad else None for each in inputs)
            if sums:
                sums.steps.append(step)
            return dx, dh0, None, None
        match_threads()
        dx, dh0, gates = runs.step_backward(dstate, h0, *weights, caches, of_x, of_h0)
        if sums:
            sums.add(x, h0, gates)
        return dx, dh0, None, None


# --- mapped by torch.func.vmap, with gradients of each sample ---


class Mapped(torch.autograd.Function):
    """An autograd function for calls under `torch.func.vmap`, which run as one batch."""

    @staticmethod
    def forward(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, m, reverse, keep, decay):
        """Run `compute` on its inputs without packed steps."""
        return compute(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, None, m, reverse, keep, decay)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save the tensors that the backward pass needs."""
        save_for_backward(ctx, (*inputs[:6], None, *inputs[6:]), output)

    @staticmethod
    def backward(ctx, *gradients):
        """Return the gradients of all inputs, computed by `MappedBackward`."""
        *found, _, m, reverse, keep, ddecay = backpropagate(ctx, *gradients, by=go_back_mapped)
        return *found, m, reverse, keep, ddecay

    @staticmethod
    def vmap(info, dims, *inputs):
        """Run all mapped calls as one batch; return (results, the dimensions that are mapped)."""
        if any(dim is not None for dim in dims[2:6]):
            return one_by_one(Mapped, info, dims, inputs)
        n, (*weights, m, reverse, keep, _) = info.batch_size, inputs[2:]
        x, h0, decay = (fold(inputs[i], dims[i], n, axis) for i, axis in ((0, 1), (1, 0), (-1, 1)))
        A, state, caches = Mapped.apply(x, h0, *weights, n * m, reverse, keep, decay)
        # Caches are only read where the calls are one batch again: any cut into n parts does.
        return (A.unflatten(1, (n, m)), state.unflatten(0, (n, m)), caches.view(n, -1)), (1, 0, 0)


class MappedBackward(torch.autograd.Function):
    """An autograd function for backward passes under `torch.func.vmap`, which can return per-sample gradients."""

    @staticmethod
    def forward(dA, dstate, x, weight_ih, weight_hh, caches, m, *flags):
        """Return the tuple of needed gradients; the inputs are those of `compute_backward`, without packed steps."""
        *flags, each = flags
        return tuple(compute_backward(dA, dstate, x, weight_ih, weight_hh, None, caches, m, *flags, each=each))

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save nothing, since there is no second derivative."""

    backward = staticmethod(refuse)

    @staticmethod
    def vmap(info, dims, *inputs):
        """Backpropagate all mapped calls as one batch; return (gradients, the dimensions that are mapped)."""
        if dims[5] is None or any(dim is not None for dim in dims[3:5]):
            return one_by_one(MappedBackward, info, dims, inputs)
        n, (m, *flags, of_x, of_h0, of_weights, _, of_decay, each) = info.batch_size, inputs[6:]
        *folded, decay = (fold(inputs[i], dims[i], n, axis) for i, axis in ((0, 1), (1, 0), (2, 1), (-3, 1)))
        caches = inputs[5].movedim(dims[5], 0).reshape(-1)
        flags += [of_x, of_h0, of_weights, decay, of_decay, True]
        due = MappedBackward.apply(*folded, *inputs[3:5], caches, n * m, *flags)
        axes = [1] * of_x + [0] * (of_h0 + 4 * of_weights) + [1] * of_decay
        found = [gradient.unflatten(axis, (n, m)) for gradient, axis in zip(due, axes, strict=True)]
        if not each:
            of_calls = slice(of_x + of_h0, len(found) - of_decay)
            found[of_calls] = [gradient.sum(1) for gradient in found[of_calls]]
        return tuple(found), tuple(axes)


def go_back_mapped(dA, dstate, x, weight_ih, weight_hh, _, *rest):
    """Return the list of needed gradients, computed by `MappedBackward`."""
    return list(MappedBackward.apply(dA, dstate, x, weight_ih, weight_hh, *rest, False))


def fold(tensor: Tensor | None, dim: int | None, n: int, axis: int) -> Tensor | None:
    """Return a tensor with the samples of n mapped calls concatenated along `axis`; None for None.

    dim: the dimension along which it is mapped; None: it is the same in all calls.
    """
    if tensor is None:
        return None
    if dim is None:
        every = tensor.unsqueeze(axis).expand(*tensor.shape[:axis], n, *tensor.shape[axis:])
    else:
        every = tensor.movedim(dim, axis)
    return every.flatten(axis, axis + 1)


def one_by_one(function: Any, info: Any, dims: tuple[Any, ...], inputs: tuple[Any, ...]) -> Any:
    """Run mapped calls one after another; return (their stacked results, the stacked dimensions)."""
    calls = [
        function.apply(*(t if dim is None else t.select(dim, i) for t, dim in zip(inputs, dims, strict=True)))
        for i in range(info.batch_size)
    ]
    found = tuple(torch.stack(each) for each in zip(*calls, strict=True))
    return found, (0,) * len(found)


def is_mapped() -> bool:
    """Return whether a call runs under `torch.func.vmap`, with at most one `grad` and no other transforms."""
    if torch._C._functorch.maybe_current_level() is None:
        return False
    kinds, known = [each.key() for each in retrieve_all_functorch_interpreters()], torch._C._functorch.TransformType
    return known.Vmap in kinds and set(kinds) <= {known.Vmap, known.Grad} and kinds.count(known.Grad) <= 1


# --- the choice of the way ---


def is_traced() -> bool:
    """Return whether PyTorch is compiling or tracing this call."""
    return is_compiling() or torch._C._len_torch_dispatch_stack() > 0 or torch._C._get_tracing_state() is not None


def check_no_onnx() -> None:
    """Raise ValueError for `resets` or `decay` during an export to ONNX."""
    if torch.onnx.is_in_onnx_export():
        raise ValueError("resets, decay: expected None in an export to ONNX, whose GRU has no such input")


def call(*inputs: Any, decay: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Run a forward pass, with autograd if the last input, `keep`, is True; return (states, last states, caches)."""
    if is_mapped():
        return Mapped.apply(*inputs[:6], *inputs[7:], decay)
    if is_traced():
        return forward(*inputs, decay)
    return Run.apply(*inputs, decay) if inputs[-1] else compute(*inputs, decay)


def both(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Run a layer in both directions on PyTorch's number of threads, without gradients."""
    match_threads()
    return runs.forward_both(*inputs)


def step(*inputs: Any) -> Tensor:
    """Run one step of x (m, e) without gradients, outside of tracing; return the states (m, u)."""
    match_threads()
    return runs.step(*inputs)[0]


def operator(name: str, run: Any, schema: str) -> Any:
    """Register a function that changes none of its arguments as a PyTorch operator."""
    return torch.library.custom_op(f"cgru::{name}", run, mutates_args=(), device_types="cpu", schema=schema)


forward = operator(
    "gru",
    compute,
    f"(Tensor x, Tensor? h0, {WEIGHTS}, Tensor? bias_ih, Tensor? bias_hh, Tensor? sizes, SymInt m, bool reverse, "
    "bool keep, Tensor? decay=None) -> (Tensor, Tensor, Tensor)",
)
backward = operator(
    "gru_backward",
    compute_backward,
    f"(Tensor? dA, Tensor? dstate, Tensor x, {WEIGHTS}, Tensor? sizes, Tensor caches, SymInt m, bool reverse, "
    "bool fresh, bool of_x, bool of_h0, bool of_weights, Tensor? decay=None, bool of_decay=False) -> Tensor[]",
)


@forward.register_fake
def _(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, m, reverse, keep, decay=None):
    """Return tensors without data, in the shapes that `forward` returns, for tracing."""
    if decay is not None:
        check_no_onnx()
    u, s = weight_hh.shape[1], (x if sizes is None else sizes).shape[0]
    caches = m * u * ((5 if decay is None or decay.dtype is torch.bool else 6) * s + 1) if keep else 0
    return x.new_empty(*x.shape[:-1], u), x.new_empty(m, u), x.new_empty(caches)


@backward.register_fake
def _(
    dA, dstate, x, weight_ih, weight_hh, sizes, caches, m, reverse, fresh, of_x, of_h0, of_weights, decay=None,
    of_decay=False,
):  # fmt: skip
    """Return tensors without data, in the shapes that `backward` returns, for tracing."""
    rows, u = weight_hh.shape
    due = [x.new_empty(x.shape)] if of_x else []
    due += [x.new_empty(m, u)] if of_h0 else []
    if of_weights:
        due += [x.new_empty(rows, x.shape[-1]), x.new_empty(rows, u), x.new_empty(rows), x.new_empty(rows)]
    return [*due, decay.new_empty(decay.shape)] if of_decay else due


forward.register_autograd(backpropagate, setup_context=save_for_backward)
backward.register_autograd(refuse)
