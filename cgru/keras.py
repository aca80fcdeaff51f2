"""Run Keras's own GRU layers by the kernels of cgru, where Keras runs on PyTorch: `cgru.keras.accelerate(model)`.

On that backend Keras 3 runs a GRU as a loop in Python. Letters: m samples, s steps, e features of a step, u units.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

try:
    import keras
    import torch
except ImportError as error:
    raise ImportError(f"cgru.keras: {error.name} is missing: pip install keras torch") from None

from torch import Tensor
from torch.nn.functional import embedding, pad

from cgru.interop.gates import KERAS, TORCH
from cgru.torch.modules import can_run, run
from cgru.torch.operators import is_traced
from cgru.torch.swap import Row, Swapped, exchange

if keras.backend.backend() != "torch":
    raise ImportError(f"cgru.keras: expected Keras on torch (KERAS_BACKEND=torch), got {keras.backend.backend()}")

__all__ = ["GRU", "RNN", "accelerate", "restore"]

DTYPES = ({"float32"}, {"float64"})  # of a layer and its cells
FAMILY = (keras.layers.RNN, keras.layers.GRUCell)


class Loop:
    """A mixin that replaces Keras's loop over the steps in layers of GRU cells."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Run all steps, as Keras's own method `inner_loop` does.

        Args:
            sequences: the input (m, s, e).
            initial_state: the states (m, u) of each cell.
            mask: (m, s) booleans, true where a step is real; None: all.
            training: whether dropout is applied.

        Returns:
            The last output, all outputs in the order of processing, and the last states.
        """
        cells, states, real = cells_of(self), keras.tree.flatten(initial_state), keras.tree.flatten(mask)[0]
        weights = [weights_of(cell) for cell in cells] if runs_here(self, cells, training) else []
        if not weights or not fits(sequences, states, weights) or not is_mask(real, sequences):
            return super().inner_loop(sequences, initial_state, mask, training)
        whole = real is None or bool(real.all())
        steps = AllSteps(len(sequences), self.go_backwards) if whole else RealSteps.of(real.bool(), self.go_backwards)
        x, last = steps.pack(sequences), []
        for cell, h0, own in zip(cells, states, weights, strict=True):
            if training and cell.dropout:
                x = x * steps.repeat(cell.get_dropout_mask(sequences[:, 0]))
            x, state = steps.run(x, h0, own)
            last.append(state)
        outputs = steps.outputs(x, last[-1], self.zero_output_for_mask, self.return_sequences)
        return *outputs, last if len(last) == 1 else keras.tree.pack_sequence_as(initial_state, last)


@keras.saving.register_keras_serializable(package="cgru")
class GRU(Loop, keras.layers.GRU):
    """`keras.layers.GRU` run by cgru: the same arguments, weights and config, and the same results up to rounding.

    A call runs on these kernels with `reset_after`, tanh and sigmoid, under any mask (m, s), without
    `recurrent_dropout` in training, in float32 or float64 on a CPU; else it is the parent's. Masked steps cost nothing.

    Examples:
        >>> import keras
        >>> import cgru.keras
        >>> layer = cgru.keras.GRU(4, return_sequences=True)
        >>> tuple(layer(np.ones((2, 6, 3), "float32")).shape)
        (2, 6, 4)
        >>> isinstance(layer, keras.layers.GRU)  # Keras calls its `inner_loop(...)`
        True
    """


@keras.saving.register_keras_serializable(package="cgru")
class RNN(Loop, keras.layers.RNN):
    """`keras.layers.RNN` run by cgru: the same arguments, weights and config, and the same results up to rounding.

    A call runs on these kernels if the cell is a `keras.layers.GRUCell`, or `StackedRNNCells` of these, and if a `GRU`
    of the cell's options would; else it is the parent's.

    Examples:
        >>> import keras
        >>> import cgru.keras
        >>> layer = cgru.keras.RNN([keras.layers.GRUCell(4), keras.layers.GRUCell(5)])
        >>> tuple(layer(np.ones((2, 6, 3), "float32")).shape)
        (2, 5)
        >>> isinstance(layer, keras.layers.RNN)  # Keras calls its `inner_loop(...)`
        True
    """


OURS: dict[type, type] = {keras.layers.GRU: GRU, keras.layers.RNN: RNN}


class AllSteps(NamedTuple):
    """The steps of a batch without a mask: all steps of all m samples, in the order of the input."""

    m: int
    backwards: bool

    def pack(self, sequences: Tensor) -> Tensor:
        """Return the steps of an input (m, s, e) in the time-major order that `run` takes."""
        return sequences.transpose(0, 1)

    def repeat(self, factors: Tensor) -> Tensor:
        """Return factors (m, e) so that packed steps can be multiplied by them."""
        return factors

    def run(self, x: Tensor, h0: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Run a cell over packed steps from h0 (m, u); return (all states, packed, last states (m, u))."""
        return run(x, h0, weights, None, self.m, self.backwards)

    def outputs(self, states: Tensor, last: Tensor, zero: bool, every: bool) -> tuple[Tensor, Tensor]:
        """Return (the last output (m, u), all outputs (m, s, u) in the order of processing)."""
        outputs = states.transpose(0, 1)
        return last, outputs.flip(1) if self.backwards else outputs


class RealSteps(NamedTuple):
    """The unmasked steps of a batch, packed as in PyTorch's PackedSequence: first the first step of each sample.

    order: the samples that have any (k,), those with most steps first. sizes: the samples of each packed step. rows,
    samples: the row in (m s, e) and the sample of each packed row (n,). mask (m, s): in the order of processing.
    latest (m, s): the number of the packed row that is a sample's last so far, from 1 on; 0 before the first.
    """

    order: Tensor
    sizes: Tensor
    rows: Tensor
    samples: Tensor
    mask: Tensor
    latest: Tensor

    @classmethod
    def of(cls, mask: Tensor, backwards: bool) -> RealSteps:
        """Return the unmasked steps of a mask (m, s), in the order in which they are processed."""
        m, s = mask.shape
        rows = torch.arange(m * s, device=mask.device).view(m, s)
        if backwards:
            mask, rows = mask.flip(1), rows.flip(1)
        done = mask.cumsum(1)
        order = done[:, -1].argsort(descending=True, stable=True)
        sizes = done[mask].bincount()  # 0 of the step 0, which there is not
        starts = sizes.cumsum(0) - sizes
        latest = torch.where(done > 0, starts[done] + order.argsort()[:, None] + 1, 0)
        rows = rows[mask][latest[mask].argsort()]
        return cls(order[: int(sizes[1])], sizes[1:], rows, rows // s, mask, latest)

    def pack(self, sequences: Tensor) -> Tensor:
        """Return the unmasked steps (n, e) of an input (m, s, e)."""
        return embedding(self.rows, sequences.flatten(0, 1))

    def repeat(self, factors: Tensor) -> Tensor:
        """Return, for each packed step, the row of `factors` (m, e) that belongs to its sample."""
        return factors[self.samples]

    def run(self, x: Tensor, h0: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Run a cell over packed steps from h0 (m, u); return (all states, packed, last states (m, u))."""
        states, last = run(x, h0[self.order], weights, self.sizes, len(self.order), False)
        return states, h0.index_copy(0, self.order, last)

    def outputs(self, states: Tensor, last: Tensor, zero: bool, every: bool) -> tuple[Tensor, Tensor]:
        """Return (last output (m, u), all outputs (m, s, u)); without `every` only the last output, as (m, 1, u).

        A masked step has the output of the last real one, before the first one and with `zero` always zeros.
        """
        latest = torch.where(self.mask, self.latest, 0) if zero else self.latest
        output = torch.where(latest[:, -1:] > 0, last, 0)
        return output, embedding(latest, pad(states, (0, 0, 1, 0)), 0) if every else output[:, None]


def cells_of(layer: Any) -> list[Any]:
    """Return the cells that a recurrent layer runs at each step, in their order."""
    return list(layer.cell.cells) if type(layer.cell) is keras.layers.StackedRNNCells else [layer.cell]


def weights_of(cell: Any) -> list[Tensor]:
    """Return a Keras cell's weights in the layout of PyTorch's `nn.GRU`."""
    biases = in_torch_order(cell.bias) if cell.use_bias else ()
    return [in_torch_order(cell.kernel).T, in_torch_order(cell.recurrent_kernel).T, *biases]


def in_torch_order(variable: Any) -> Tensor:
    """Return a weight (n, 3 u) with its gates in PyTorch's order: reset, update, candidate."""
    z, r, hh = variable.value.chunk(3, -1)
    return torch.cat((r, z, hh), -1)


def runs_here(layer: Any, cells: list[Any], training: bool) -> bool:
    """Return whether cgru can run these cells of a layer, in `training` or not."""
    return not reason_to_leave(layer, cells) and not (training and any(map(has_other_dropout, cells)))


def has_other_dropout(cell: Any) -> bool:
    """Return whether a cell's dropout differs from one shared mask for all gates, or drops everything."""
    return cell.recurrent_dropout > 0 or (cell.dropout > 0 and cell.implementation == 1) or cell.dropout == 1


def fits(sequences: Tensor, states: list[Tensor], weights: list[list[Tensor]]) -> bool:
    """Return whether the kernels can run these tensors: the input (m, s, e), the states (m, u) and the weights."""
    if not can_run((sequences, *states, *chain(*weights))) or sequences.dim() != 3 or 0 in sequences.shape:
        return False
    m, _, e = sequences.shape
    due = [(m, own[1].shape[1]) for own in weights]
    return e == weights[0][0].shape[1] and [tuple(state.shape) for state in states] == due


def is_mask(mask: Any, sequences: Tensor) -> bool:
    """Return whether a mask is None, or (m, s) with some unmasked step while the model is not being traced."""
    if mask is None:
        return True
    return isinstance(mask, Tensor) and mask.shape == sequences.shape[:2] and not is_traced() and bool(mask.any())


def accelerate(model: keras.Layer) -> Swapped:
    """Make cgru run every `keras.layers.GRU`, and every `RNN` of GRU cells, in a model.

    The objects stay the same and change their class: weights, optimizer and compiled state of the model are not
    touched. GRUs of which no call could run here are left, each with the reason: subclasses of users', other
    activations than tanh and sigmoid, `reset_after=False`, other dtypes than float32 and float64, cells called by a
    layer of another kind.

    Args:
        model: the model or layer, which is changed in place.

    Returns:
        A `cgru.torch.Swapped`: which layers were changed, and which were left and why, by their paths in the model.

    Raises:
        TypeError: the model is no layer of Keras's; nothing is changed.

    Examples:
        >>> import keras
        >>> import cgru.keras
        >>> model = keras.Sequential([keras.Input((6, 3)), keras.layers.GRU(4), keras.layers.Dense(1)])
        >>> A = model(np.ones((2, 6, 3)))
        >>> found = cgru.keras.accelerate(model)
        >>> len(found.swapped), found.left
        (1, {})
        >>> bool(keras.ops.all(keras.ops.abs(model(np.ones((2, 6, 3))) - A) < 1e-6))
        True
    """
    held = {id(cell) for layer in layers_of(model) if isinstance(layer, keras.layers.RNN) for cell in cells_of(layer)}
    return swap(model, lambda layer: "" if id(layer) in held else class_for(layer))


def restore(model: keras.Layer) -> Swapped:
    """Undo `accelerate` in place, for example to save a model for users without cgru.

    Args:
        model: the model or layer, which is changed in place.

    Returns:
        A `cgru.torch.Swapped`: which layers were changed.

    Raises:
        TypeError: the model is no layer of Keras's; nothing is changed.

    Examples:
        >>> import keras
        >>> import cgru.keras
        >>> layer = keras.layers.GRU(4)
        >>> found = cgru.keras.accelerate(layer)
        >>> found = cgru.keras.restore(layer)
        >>> type(layer) is keras.layers.GRU
        True
    """
    theirs = {ours: kind for kind, ours in OURS.items()}
    return swap(model, lambda layer: theirs.get(type(layer), ""))


def swap(model: keras.Layer, choose: Callable[[Any], type | str]) -> Swapped:
    """Replace the class of each layer of a model in place by what `choose` returns; return the changes."""
    named = [(layer.path or layer.name, layer) for layer in layers_of(model)]  # there is no path before it is built
    return exchange(named, choose, describe)


def describe(layer: Any, kind: type, reason: str | None) -> Row:
    """Return a row that describes a layer, its former class `kind`, and whether cgru runs its calls."""
    cells = cells_of(layer) if isinstance(layer, keras.layers.RNN) else [layer]
    units = ", ".join(f"{cell.units}" for cell in cells if hasattr(cell, "units"))
    calls = "Keras's" if reason is None else f"left: {reason}"
    if isinstance(layer, Loop):
        odd = any(map(has_other_dropout, cells))
        calls = "run here; in training, for its dropout, Keras's" if odd else "run here"
    own = kind.__module__.partition(".")[0] in ("keras", "cgru")
    return Row(kind.__qualname__ if own else full_name(kind), units, layer.compute_dtype, calls)


def layers_of(model: keras.Layer) -> list[Any]:
    """Return a model and all its layers. TypeError if it is not a layer of Keras."""
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model: expected a layer or a model of Keras, got {type(model).__name__}")
    return list(model._flatten_layers())


def full_name(kind: type) -> str:
    """Return the name of a class, with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def class_for(layer: Any) -> type | str:
    """Return the cgru class to replace a layer's class, or the reason for none; "" if nothing is to be done."""
    kind = type(layer)
    if isinstance(layer, Loop):
        return ""
    if kind is keras.layers.GRUCell:
        return "a cell, called by a layer of another kind"
    cells = cells_of(layer) if isinstance(layer, keras.layers.RNN) else []
    if any(isinstance(cell, keras.layers.GRUCell) for cell in cells):
        return reason_to_leave(layer, cells) or OURS[kind] if kind in OURS else f"a subclass, {full_name(kind)}"
    if isinstance(layer, keras.layers.GRUCell):
        return f"a subclass, {full_name(kind)}"
    foreign = "GRU" in kind.__name__ and not any(isinstance(each, FAMILY) for each in layer._flatten_layers())
    return "a GRU in code of its own" if foreign else ""


def reason_to_leave(layer: Any, cells: list[Any]) -> str:
    """Return why cgru cannot run a GRU or RNN with these cells; "" if it can."""
    for cell in cells:
        kind = type(cell)
        if kind is not keras.layers.GRUCell:
            return f"one of its cells is no GRUCell of Keras's but {full_name(kind)}"
        if KERAS.variant_of_layer(cell) is not TORCH.variant({}):
            return f"its {KERAS.flag} is not set"
        if cell.activation is not keras.activations.tanh or cell.recurrent_activation is not keras.activations.sigmoid:
            return "its activations are not tanh and sigmoid"
        if cell.activity_regularizer is not None:
            return "its cell has an activity_regularizer, of each step"
    dtypes = {part.compute_dtype for part in (layer, layer.cell, *cells)}
    if dtypes not in DTYPES:
        return f"it computes in {' and '.join(sorted(dtypes))}: all in float32, or all in float64, runs here"
    if layer.return_state and len(cells) == 1 and cells[0] is not layer.cell:
        return "return_state of a stack of one cell"  # as [h], or with a mask as h
    return ""
