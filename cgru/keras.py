"""Keras's own GRU layer, run by these kernels where Keras runs on PyTorch: `cgru.keras.accelerate(model)`.

On that backend Keras 3 runs a GRU as a loop in Python. Letters: m samples, s steps, e features of a step, u units.
"""

from __future__ import annotations

from typing import Any

try:
    import keras
    import torch
except ImportError as error:
    raise ImportError(f"cgru.keras: {error.name} is missing: pip install keras torch") from None

from cgru.interop.gates import KERAS, TORCH
from cgru.torch.modules import can_run, run
from cgru.torch.swap import Swapped, exchange

if keras.backend.backend() != "torch":
    raise ImportError(f"cgru.keras: expected Keras on torch (KERAS_BACKEND=torch), got {keras.backend.backend()}")

__all__ = ["GRU", "accelerate", "restore"]


@keras.saving.register_keras_serializable(package="cgru")
class GRU(keras.layers.GRU):
    """`keras.layers.GRU`: the same arguments, weights, config and results, to rounding.

    A call runs on these kernels with `reset_after`, tanh and sigmoid, no mask, no `recurrent_dropout` in training, in
    float32 or float64 on a CPU; else it is the parent's.
    """

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Run all steps; return (last output, all outputs in the order of processing, [last state]), as Keras does."""
        cell, h0, weights = self.cell, keras.tree.flatten(initial_state)[0], []
        runs = self._matches_pytorch(training) and all(each is None for each in keras.tree.flatten(mask))
        if runs:
            biases = in_torch_order(cell.bias) if cell.use_bias else ()
            weights = [in_torch_order(cell.kernel).T, in_torch_order(cell.recurrent_kernel).T, *biases]
        if not runs or not can_run((sequences, h0, *weights)) or 0 in sequences.shape:
            return super().inner_loop(sequences, initial_state, mask, training)
        if training and self.dropout:
            sequences = sequences * cell.get_dropout_mask(sequences[:, 0])[:, None]
        x = sequences.transpose(0, 1)
        outputs, state = run(x, h0, weights, None, x.shape[1], self.go_backwards)
        outputs = outputs.transpose(0, 1)
        return state, outputs.flip(1) if self.go_backwards else outputs, [state]

    def _matches_pytorch(self, training: bool) -> bool:
        """Return whether the cell computes as PyTorch's does, in `training` with one dropout mask for all gates."""
        cell = self.cell
        return (
            type(cell) is keras.layers.GRUCell
            and KERAS.variant_of_layer(cell) is TORCH.variant({})
            and cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and not (training and (cell.recurrent_dropout or (cell.dropout and cell.implementation == 1)))
        )


def in_torch_order(variable: Any) -> torch.Tensor:
    """Return a weight (n, 3 u) with its gates in PyTorch's order, r, z, hh."""
    z, r, hh = keras.ops.convert_to_tensor(variable).chunk(3, -1)
    return torch.cat([r, z, hh], -1)


def accelerate(model: keras.Layer) -> Swapped:
    """Make every `keras.layers.GRU` of a model, or the layer itself, into a `cgru.keras.GRU` in place; return which.

    The objects stay the same and change their class: weights, optimizer and compiled state of the model are not
    touched. Subclasses of others are left.

    Raises:
        TypeError: the model is no layer of Keras's; nothing is changed.
    """
    return _swap(model, {keras.layers.GRU: GRU})


def restore(model: keras.Layer) -> Swapped:
    """Undo `accelerate` in place, for example to save a model for users without cgru; return which layers changed."""
    return _swap(model, {GRU: keras.layers.GRU})


def _swap(model: keras.Layer, classes: dict[type, type]) -> Swapped:
    """Change the classes of a model's layers in place; return which. TypeError if it is no layer of Keras."""
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model: expected a layer or a model of Keras's, got {type(model).__name__}")
    return exchange(((layer.path, layer) for layer in model._flatten_layers()), classes, keras.layers.GRU)
