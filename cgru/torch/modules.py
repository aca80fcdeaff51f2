"""`torch.nn.GRU` and `torch.nn.GRUCell` that run on cgru's kernels where possible, and in PyTorch otherwise."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import dropout
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from cgru.torch import runs
from cgru.torch.operators import Step, both, call, check_no_onnx, is_mapped, is_traced, shared_weights, step

__all__ = ["GRU", "GRUCell", "per_sample_gradients"]

DTYPES = (torch.float32, torch.float64)
MEGABYTE = 1 << 20
ROW = 48 << 10  # bytes of weights to a row, above which PyTorch shares them out better
MOST_ROWS = 1024  # that a table looks at
ELSEWHERE = "PyTorch's: float32 and float64 on a CPU run here"
IN_OPACUS = "in a model of opacus, whose hooks see the input and the gradient of the output alone"


def can_run(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether the kernels can run these tensors: float32 or float64 on a CPU, not traced or transformed."""
    if torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu"):
        return not torch.onnx.is_in_onnx_export() and are_alike([each for each in tensors if each is not None])
    return is_ordinary() and not torch.jit.is_tracing() and runs.are_plain(tensors)


def is_ordinary() -> bool:
    """Return whether a call has no autocast, no forward-mode derivatives and only supported transforms."""
    transformed = torch._C._functorch.maybe_current_level() is not None and not is_mapped()
    return not torch.is_autocast_enabled("cpu") and forward_ad._current_level < 0 and not transformed


def are_alike(tensors: list[Tensor]) -> bool:
    """Return what `runs.are_plain` returns, for the fake tensors that PyTorch uses while it compiles."""
    dtype = tensors[0].dtype
    return dtype in DTYPES and all(
        isinstance(each, Tensor) and each.is_cpu and each.layout is torch.strided and each.dtype == dtype
        for each in tensors
    )


def parent_of(module: Any) -> Any:
    """Return a module of PyTorch's own class with the same parameters, which `torch.jit.script` compiles."""
    other = copy.copy(module)
    other.__class__ = type(module).__mro__[1]
    return other


# --- opacus, which trains with differential privacy ---


def is_private(module: nn.Module) -> bool:
    """Return whether opacus computes per-sample gradients of a module."""
    return any(hasattr(parameter, "grad_sample") for parameter in module.parameters(recurse=False))


def check_private(module: nn.Module, **given: Any) -> None:
    """Raise an error for arguments that opacus cannot handle in a call that trains."""
    if not (module.training and torch.is_grad_enabled() and is_private(module)):
        return
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: expected None {IN_OPACUS}, got a {type(value).__name__}")
    if isinstance(module, nn.RNNBase) and not isinstance(vars(module).get("ft_compute_sample_grad"), partial):
        raise RuntimeError("cgru.torch: expected accelerate(model) before opacus wraps the model, got a wrapped one")


def private_hook(hook: Any, module: nn.Module, of_inputs: Any, of_outputs: tuple[Tensor | None, ...]) -> Any:
    """Call a backward hook of opacus; raise an error for gradients of the last states, which opacus would miss."""
    output, states = of_outputs
    if output is None or (states is not None and states.any()):  # without `any` nobody reads the last states
        raise RuntimeError(
            f"cgru.torch: expected a gradient of the output alone {IN_OPACUS}, got one of the last states; take them"
            " from the output, as in output[:, -1]"
        )
    return hook(module, of_inputs, of_outputs)


def private_gradients(module: GRU, parameters: list[Tensor], x: Tensor, of_output: Tensor) -> list[Tensor | None]:
    """Return the per-sample gradients (m, ...) of each parameter, from the gradient of the output.

    x and `of_output` have samples first, as opacus hands them over.
    """
    if not len(x):  # opacus draws batches of no samples, too
        return [p.new_zeros((0, *p.shape)) for p in parameters]
    if not module.batch_first:
        x, of_output = x.transpose(0, 1), of_output.transpose(0, 1)
    found = per_sample_gradients(module, x, output_gradient=of_output)
    return [found.get(name) for name, _ in module.named_parameters()]


def computes_weights(module: nn.Module) -> bool:
    """Return whether a module is parametrized, so that PyTorch computes its weights, perhaps several times per call."""
    return bool(module._modules) and is_parametrized(module)


def has_gradients(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether a backward pass may follow a call with these tensors; always True under `vmap`."""
    return torch.is_grad_enabled() and (any(t.requires_grad for t in tensors if t is not None) or is_mapped())


def run(
    x: Tensor, h0: Tensor | None, weights: list[Tensor], sizes: Tensor | None, m: int, reverse: bool,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Run one layer in one direction; return (all states in the layout of x, last states (m, u)).

    Caches are kept if a backward may follow. `decay` is from `factor_of`.
    """
    keep = has_gradients((x, h0, decay, *weights))
    bias_ih, bias_hh = weights[2:] or (None, None)
    inputs = (x, h0, weights[0], weights[1], bias_ih, bias_hh, sizes, m, reverse, keep)
    return call(*inputs, decay=decay)[:2]


class GRU(nn.GRU):
    """`torch.nn.GRU` run by cgru: the same arguments, parameters and state dict, and the same results up to rounding.

    A call runs on these kernels, reading PyTorch's parameters where they lie, if all its tensors are float32 or all
    float64 on a CPU; else it is the parent's: on another device, in another dtype, under autocast, `torch.func` or
    forward derivatives, in `torch.jit` and `torch.onnx.export`, and for arguments that the parent refuses. So is a
    single step of a single row with gradients where that is faster. Under `torch.func.vmap`, alone or with one `grad`,
    it runs here, where the parent cannot: all mapped calls as one batch. It uses as many threads as PyTorch does, by
    `cgru.set_num_threads`. RuntimeError for second derivatives.

    A call with `resets` or `decay` runs here or is refused: the parent has neither.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> module = cgru.torch.GRU(3, 4, batch_first=True)
        >>> output, hidden = module(torch.ones(2, 6, 3))
        >>> tuple(output.shape), tuple(hidden.shape)
        ((2, 6, 4), (1, 2, 4))
        >>> output.sum().backward()
        >>> tuple(module.weight_ih_l0.grad.shape)
        (12, 3)
    """

    __prepare_scriptable__ = parent_of

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        resets: Tensor | PackedSequence | None = None,
        decay: Tensor | PackedSequence | None = None,
    ) -> Any:
        """Run the GRU as `torch.nn.GRU.forward` does; optionally reset states or multiply them by factors at each step.

        Each state is multiplied by a factor as it enters a step, in all layers and directions: h_(t-1) becomes g_t
        h_(t-1), with hx in the place of the state before the first step. In the reverse direction the state of step t +
        1 enters step t with the factor of t + 1, and hx enters the last step as it is.

        Args:
            input: the sequences.
            hx: the states before the first step; None: zero.
            resets: booleans laid out as the first axes of `input`, for a PackedSequence one packed alike. True: the
                step is the first of an episode, its g is 0.
            decay: g itself, from 0 to 1, in the dtype of `input`, laid out likewise, or with a last axis of
                `hidden_size` for a factor of each unit. It may require a gradient.

        Returns:
            The outputs of all steps, and the last states, as `torch.nn.GRU` returns them.

        Raises:
            TypeError, ValueError: both are given; or one has another shape, another dtype or numbers out of [0, 1]; or
                the call would be the parent's.

        Examples:
            >>> import torch
            >>> import cgru.torch
            >>> module = cgru.torch.GRU(3, 4, batch_first=True)
            >>> resets = torch.tensor([[False, False, True, False]])
            >>> output, _ = module(torch.ones(1, 4, 3), resets=resets)
            >>> torch.allclose(output[0, 2:], output[0, :2])
            True
        """
        if self._forward_hooks:
            check_private(self, hx=hx, resets=resets, decay=decay)
        slow = hx is not None and is_only_row(self, input) and not step_pays(self, input)
        fades = resets is not None or decay is not None
        if not fades and (slow or computes_weights(self)):
            return super().forward(input, hx)
        packed = isinstance(input, PackedSequence)
        x, sizes = (input.data, input.batch_sizes) if packed else (input, None)
        own = self._parameters  # faster than `getattr`
        weights = [own[name] if name in own else getattr(self, name) for name in self._flat_weights_names]
        if not takes(self, x, hx, sizes, weights):
            if fades:
                refuse_factor(x)
            return super().forward(input, hx)
        factor = factor_of(self, input, resets, decay) if fades else None
        output, hidden = compute(self, input, hx, weights, factor)
        return output, hidden

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Any:
        """Register a hook that runs after the backward pass, as `torch.nn.Module` does.

        The hook of opacus gets the gradients of each sample from these kernels.

        Args:
            hook: a function of the module, the gradients of its inputs, and those of its outputs.
            prepend: whether the hook runs before those that are registered.

        Returns:
            A handle; its `remove()` removes the hook.

        Examples:
            >>> handle = cgru.torch.GRU(3, 4).register_full_backward_hook(lambda module, into, out: None)
            >>> handle.remove()
        """
        if is_private(self):
            self.ft_compute_sample_grad = partial(private_gradients, self)  # where opacus looks for them
            hook = partial(private_hook, hook)
        return super().register_full_backward_hook(hook, prepend)


class GRUCell(nn.GRUCell):
    """`torch.nn.GRUCell` run by cgru, under the same conditions as `GRU`: the same arguments, parameters and results.

    A call that is faster in PyTorch is the parent's, which its rows, features, units, dtype, threads, and whether
    gradients are on decide; so is one that `torch.compile` or `torch.export` traces. If all steps are known, `GRU` is
    several times as fast as either.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> cell = cgru.torch.GRUCell(3, 4)
        >>> hx = cell(torch.ones(2, 3))
        >>> tuple(cell(torch.ones(2, 3), hx).shape)
        (2, 4)
    """

    __prepare_scriptable__ = parent_of

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Run one step, as `torch.nn.GRUCell.forward` does, with the same errors.

        Args:
            input: the step, (m, e) or (e,).
            hx: the states before it, (m, u) or (u,); None: zero.

        Returns:
            The states after it, (m, u) or (u,).

        Examples:
            >>> import torch
            >>> import cgru.torch
            >>> tuple(cgru.torch.GRUCell(3, 4)(torch.ones(3)).shape)
            (4,)
        """
        if self._forward_hooks:
            check_private(self, hx=hx)
        weights = None
        if isinstance(input, Tensor) and not is_traced() and not computes_weights(self) and step_pays(self, input):
            weights = runs.step_weights(self, self._parameters, input, hx) if is_ordinary() else None
        if weights is None:
            return super().forward(input, hx)
        x, h0 = (input, hx) if input.dim() == 2 else (input[None], None if hx is None else hx[None])
        state = run_step(x, h0, weights)
        return state if input.dim() == 2 else state.squeeze_(0)


def run_step(x: Tensor, h0: Tensor | None, weights: list[Tensor | None]) -> Tensor:
    """Run one step of a cell whose arguments cgru can run; return the states (m, u)."""
    if is_mapped():
        keep = has_gradients((x, h0, *weights))
        return call(x[None], h0, *weights, None, x.shape[0], False, keep)[1]
    if torch.is_grad_enabled():
        shared = shared_weights(weights)
        if shared.anchor is not None or x.requires_grad or (h0 is not None and h0.requires_grad):
            return Step.apply(x, h0, shared.anchor, shared)
    return step(x, h0, *weights)


# --- what a call consists of: functions, since a user's subclass may have methods of any name ---


def compute(
    module: GRU,
    input: Tensor | PackedSequence,
    hx: Tensor | None,
    weights: list[Tensor],
    factor: Tensor | None = None,
) -> Any:
    """Run the GRU on arguments that cgru can run; return what `forward` returns."""
    if isinstance(input, PackedSequence):
        x, sizes, order, back = input
        hx = None if hx is None else module.permute_hidden(hx, order)
        output, hidden = run_layers(module, x, hx, weights, sizes, int(sizes[0]), factor)
        return PackedSequence(output, sizes, order, back), module.permute_hidden(hidden, back)
    x = input
    if x.dim() == 2:
        hx = None if hx is None else hx.unsqueeze(1)
        output, hidden = run_layers(module, x.unsqueeze(1), hx, weights, None, 1, factor)
        return output.squeeze_(1), hidden.squeeze_(1)
    if module.batch_first:
        output, hidden = run_layers(module, x.transpose(0, 1), hx, weights, None, x.shape[0], factor)
        return output.transpose_(0, 1), hidden  # in place, since the parent's output is no view
    return run_layers(module, x, hx, weights, None, x.shape[1], factor)


def takes(module: GRU, x: Tensor, hx: Tensor | None, sizes: Tensor | None, weights: list[Tensor]) -> bool:
    """Return whether cgru can run a call; invalid arguments are left to PyTorch, which raises the error."""
    if not can_run((x, hx, *weights)) or module.proj_size or 0 in x.shape or x.shape[-1] != module.input_size:
        return False
    if x.dim() not in ((2, 3) if sizes is None else (2,)):
        return False
    if sizes is not None and not torch.compiler.is_compiling() and not runs.are_sizes(sizes, x.shape[0]):
        return False
    u, directions, kinds = module.hidden_size, 2 if module.bidirectional else 1, 4 if module.bias else 2
    for i, weight in enumerate(weights):  # they may have been replaced
        number, kind = divmod(i, kinds)
        width = u if kind else module.input_size if number < directions else directions * u
        if weight is None or weight.shape != ((3 * u, width) if kind < 2 else (3 * u,)):
            return False
    if hx is None:
        return True
    if sizes is not None:
        return tuple(hx.shape) == (module.num_layers * directions, int(sizes[0]), u)
    rows = () if x.dim() == 2 else (x.shape[0 if module.batch_first else 1],)
    return tuple(hx.shape) == (module.num_layers * directions, *rows, u)


def factor_of(module: GRU, input: Any, resets: Any, decay: Any) -> Tensor:
    """Check `resets` or `decay`, except for its values, and return it in the form that `run` takes.

    It is (s, m, 1 or u), of packed steps (n, 1 or u).
    """
    if resets is not None and decay is not None:
        raise ValueError("decay: expected None with resets, got both; a reset is a decay of 0")
    name, given = ("decay", decay) if resets is None else ("resets", resets)
    x, value = data_of(input), data_of(given)
    if isinstance(input, PackedSequence) != isinstance(given, PackedSequence) or not isinstance(value, Tensor):
        kind = "Tensor" if x is input else "PackedSequence"
        raise TypeError(f"{name}: expected a {kind}, as the input is, got {type(given).__name__}")
    due = x.dtype if resets is None else torch.bool
    if value.dtype != due or not value.is_cpu or (resets is None and not can_run((value,))):
        raise TypeError(f"{name}: expected a plain {due} on cpu, got {value.dtype} on {value.device}")
    shapes = [tuple(x.shape[:-1])]
    if resets is None:
        shapes.append((*shapes[0], module.hidden_size))
    if tuple(value.shape) not in shapes:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, shapes))}, got {tuple(value.shape)}")
    if value is not given and not are_packed_alike(input, given):
        raise ValueError(f"{name}: expected a PackedSequence of the same lengths and order as the input")
    factor = value.unsqueeze(-1) if value.dim() < x.dim() else value
    if x is not input:
        return factor
    return factor.unsqueeze(1) if x.dim() == 2 else factor.transpose(0, 1) if module.batch_first else factor


def are_packed_alike(a: PackedSequence, b: PackedSequence) -> bool:
    """Return whether two PackedSequences have the same lengths in the same order."""
    pairs = ((a.batch_sizes, b.batch_sizes), (a.sorted_indices, b.sorted_indices))
    return all(x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in pairs)


def refuse_factor(x: Any) -> NoReturn:
    """Raise ValueError for `resets` or `decay` in a call that PyTorch would have to run."""
    check_no_onnx()
    got = f"{x.dtype} {tuple(x.shape)} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
    due = "a call for cgru: input and hx that fit the module, in the dtype of its parameters, float32 or float64"
    where = "on a CPU, outside of autocast, torch.jit, forward derivatives, and transforms but vmap"
    raise ValueError(f"resets, decay: expected {due}, {where}, got an input {got}")


def run_layers(
    module: GRU,
    x: Tensor,
    hx: Tensor | None,
    weights: list[Tensor],
    sizes: Tensor | None,
    m: int,
    factor: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run all layers on x (s, m, e), or packed (n, e) with `sizes`; return (the outputs, the last states)."""
    if not x.is_contiguous() and has_gradients(weights):  # PyTorch's products save this copy, so x may change
        x = x.reshape(-1, x.shape[-1]).view(x.shape)
    count, directions = 4 if module.bias else 2, 2 if module.bidirectional else 1
    states: list[Tensor] = []
    at_once = module.bidirectional and sizes is None and not (is_traced() or is_mapped())
    at_once = at_once and not has_gradients((x, hx, factor, *weights))
    for layer in range(module.num_layers):
        if at_once:
            own = weights[len(states) * count : (len(states) + 2) * count]
            by_sample = module.batch_first and layer == module.num_layers - 1
            x, *last = both(x, None if hx is None else hx[len(states) : len(states) + 2], own, m, factor, by_sample)
            states += last
        else:
            outputs = []
            for reverse in (False, True)[:directions]:
                number = len(states)
                own = weights[number * count : (number + 1) * count]
                output, state = run(x, None if hx is None else hx[number], own, sizes, m, reverse, factor)
                outputs.append(output)
                states.append(state)
            x = torch.cat(outputs, -1) if module.bidirectional else outputs[0]
        if module.dropout and module.training and layer < module.num_layers - 1:
            x = dropout(x, module.dropout)
    return x, torch.stack(states)


def is_only_row(module: GRU, x: Any) -> bool:
    """Return whether x is one step of one sample, outside of tracing and `vmap`."""
    return isinstance(x, Tensor) and not is_traced() and not is_mapped() and x.numel() == module.input_size


def step_pays(module: GRU | GRUCell, x: Tensor) -> bool:
    """Return whether a step of x (m, e), or a single row x, is faster in cgru than in PyTorch."""
    m, cell = x.shape[0] if x.dim() > 1 else 1, isinstance(module, nn.RNNCellBase)
    sizes = module.input_size, module.hidden_size, x.element_size()
    return pays(cell, m, *sizes, torch.is_grad_enabled(), torch.get_num_threads())


def pays(cell: bool, m: int, e: int, u: int, size: int, gradients: bool, threads: int) -> bool:
    """Return whether one step of m samples is faster in cgru than in PyTorch.

    It asks for sizes alone, so that a call repeats its bits: e features, u units, numbers of `size` bytes, with
    gradients or without. Fitted to 1 to 1024 rows of 8 to 512 units on one thread and on two. What counts is the bytes
    of the weights. With gradients a single row of a GRU does little else than writing gradients as large, which PyTorch
    does as well. A cell writes them once for all its steps, and is faster while rows are few. Up to 64 rows we read
    weights where they are, on one thread, and PyTorch on all: in float64, with less to gain from vectors, that is more
    than what we save.
    """
    weights = 3 * u * (e + u) * size
    if gradients and m == 1 and not cell:
        return weights < MEGABYTE * 3 // 2
    if gradients and (16 if size == 4 or weights >= MEGABYTE else 8) < m <= 64 and weights > MEGABYTE // 32:
        return False
    shared = m <= 64 or m * ROW <= weights or (gradients and e > 2 * u)
    if threads == 1 or not shared:
        return True
    if gradients:
        return (m <= 16 or weights <= MEGABYTE * 3 // 16) and (size == 4 or weights < 2 * MEGABYTE)
    return size == 4 or m < (8 if weights >= 8 * MEGABYTE else 12) or weights < MEGABYTE * 3 // 8


def calls_here(module: GRU | GRUCell, weight: Tensor) -> str:
    """Return a description of which calls of a `cgru.torch` module are run by cgru and which by PyTorch."""
    if not weight.is_cpu or weight.dtype not in DTYPES:
        return ELSEWHERE
    sizes, threads = (module.input_size, module.hidden_size, weight.element_size()), torch.get_num_threads()
    cell = isinstance(module, nn.RNNCellBase)
    rows = MOST_ROWS if cell else 1
    found = [m for m in range(1, rows + 1) if not all(pays(cell, m, *sizes, with_, threads) for with_ in (False, True))]
    return "run here" + (f"; PyTorch runs some single steps of {found[0]} to {found[-1]} rows" if found else "")


def per_sample_gradients(
    module: GRU,
    input: Tensor | PackedSequence,
    hx: Tensor | None = None,
    *,
    output_gradient: Tensor | PackedSequence | None = None,
    hidden_gradient: Tensor | None = None,
    resets: Tensor | PackedSequence | None = None,
    decay: Tensor | PackedSequence | None = None,
) -> dict[str, Tensor]:
    """Return the gradients of a GRU's parameters for each sample, {name: (m, ...)}; their sums are `p.grad`.

    The module is run over the batch `input`, and back from the gradients of its two results. Whole models that call a
    `cgru.torch.GRU` take `torch.func.vmap(torch.func.grad(...))`.

    Args:
        module: a `cgru.torch.GRU` of any number of layers and directions.
        input: a batch of sequences as for its `forward`, packed ones too.
        hx: the states before the first step, as for its `forward`.
        output_gradient: dL/d(output), of its shape; for packed steps packed, or its data. None: zero.
        hidden_gradient: dL/d(last states), (layers x directions, m, u). None: zero.
        resets: as for its `forward`.
        decay: likewise.

    Returns:
        A dict of the parameters that require a gradient. Of packed sequences the samples are in the order that they had
        before they were packed.

    Raises:
        TypeError, ValueError: the module is another, or would not run on these kernels; a gradient does not fit; or the
            module is to drop out between its layers, which another run does otherwise.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> module = cgru.torch.GRU(3, 4, batch_first=True)
        >>> X = torch.ones(2, 6, 3)
        >>> output, _ = module(X)
        >>> output.sum().backward()
        >>> g = cgru.torch.per_sample_gradients(module, X, output_gradient=torch.ones_like(output))
        >>> torch.allclose(g["weight_hh_l0"].sum(0), module.weight_hh_l0.grad, atol=1e-5)
        True
    """
    kind = type(module)
    if GRU not in kind.mro():
        raise TypeError(f"module: expected a cgru.torch.GRU, got {kind.__name__}; accelerate makes it one")
    if module.training and module.dropout and module.num_layers > 1:
        raise ValueError(f"module: expected one without dropout, got dropout={module.dropout}; eval() stops it")
    if output_gradient is None and hidden_gradient is None:
        raise ValueError("output_gradient, hidden_gradient: expected at least one, got None and None")
    x, sizes, _, back = input if isinstance(input, PackedSequence) else (input, None, None, None)
    names = module._flat_weights_names
    weights = [getattr(module, name) for name in names]
    if x.dim() != (3 if sizes is None else 2) or is_traced() or not takes(module, x, hx, sizes, weights):
        due = f"a batch of {module.input_size} features, float32 or float64 on a CPU, as the parameters and hx"
        raise ValueError(f"input: expected {due}, got {x.dtype} {tuple(x.shape)} on {x.device}")
    factor = None if resets is decay is None else factor_of(module, input, resets, decay)
    m = int(sizes[0]) if sizes is not None else x.shape[0 if module.batch_first else 1]
    asked = [name for name, weight in zip(names, weights, strict=True) if weight.requires_grad]
    with torch.enable_grad():
        each = [weight.detach().expand(m, *weight.shape).requires_grad_(weight.requires_grad) for weight in weights]
        results = compute(module, input, hx, each, factor)
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
    """Return the data of a PackedSequence; anything else is returned unchanged."""
    return value.data if isinstance(value, PackedSequence) else value
