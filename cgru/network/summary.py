"""`Summary`: a table of a network's layers with their output shapes and numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from cgru.layers.layer import Layer, Shape
from cgru.network.presentation import Table, table_as_html, table_as_text

__all__ = ["LayerSummary", "Summary", "summarize"]


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a summary; its numbers are None as long as they depend on data.

    The key of layer 2 is "2", that of layer 1 in branch 0 of it "2.0.1".
    """

    key: str
    name: str
    shape: Shape  # of its outputs, with letters where a size is not known
    parameters: int | None
    bytes: int | None
    trainable: bool


@dataclass(frozen=True)
class Summary:
    """The layers of a network in their order; it prints as a table with totals.

    m are the samples, s the steps, e the features and f the frames of a sample, which are its steps from there on.
    Before the first data, counts that depend on their features are None, and "?" in print.

    Attributes:
        inputs: the shape of the inputs, with letters for unknown sizes.
        layers: of each layer its name, the shape of its outputs, its number of parameters and their bytes, and whether
            it is trainable.
        dtype: the dtype of the network.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> net.make(np.zeros((1, 5, 3)))
        >>> found = net.summary()
        >>> found.inputs, found.layers[1].parameters, found.bytes
        (('m', 's', 3), 10, 848)
    """

    inputs: Shape
    layers: tuple[LayerSummary, ...]
    dtype: np.dtype

    @property
    def parameters(self) -> int | None:
        """Return the number of parameters; None if that of a layer is unknown."""
        return _total([layer.parameters for layer in self.layers])

    @property
    def trained(self) -> int | None:
        """Return the number of parameters in trainable layers."""
        return _total([layer.parameters for layer in self.layers if layer.trainable])

    @property
    def bytes(self) -> int | None:
        """Return the number of bytes of all parameters."""
        return _total([layer.bytes for layer in self.layers])

    def _table(self) -> Table:
        """Return the summary as a `Table`, with the totals as its note."""
        rows = []
        for layer in self.layers:
            trainable = "" if layer.parameters == 0 else "yes" if layer.trainable else "no"
            rows.append((layer.key, layer.name, _as_text(layer.shape), _count(layer.parameters), trainable))
        totals = f"{_count(self.parameters)} parameters, {_count(self.trained)} of them trained, {self.dtype}"
        note = f"{totals}, {_count(self.bytes)} bytes"
        if self.parameters is None:
            note += "; ? is not known before the first data"
        header = ("", "layer", "output", "parameters", "trainable")
        return Table(f"Input {_as_text(self.inputs)}", header, rows, note, names=3)

    def __str__(self) -> str:
        return table_as_text(self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table as HTML for notebooks."""
        table = self._table()
        return f"<p>{table.title}</p>{table_as_html(table)}"


def summarize(layers: Sequence[Layer], features: int | None, dtype: np.dtype) -> Summary:
    """Return the summary of a chain of layers for inputs of e features, None if e is unknown."""
    inputs: Shape = ("m", "s") if "tokens" in layers[0].reads else ("m", "s", features or "e")
    return Summary(inputs, tuple(_rows(layers, inputs)), dtype)


def _rows(layers: Sequence[Layer], shape: Shape, at: str = "") -> Iterator[LayerSummary]:
    """Yield a row for each layer of a chain, for inputs of `shape`; branches precede the layer that joins them."""
    for i, layer in enumerate(layers):
        within = layer.branches
        for b, branch in enumerate(within):
            yield from _rows(branch, shape, f"{at}{i}.{b}.")
        count, size = (0, 0) if within else _measure(layer, shape)
        name = type(layer).__name__ if within else repr(layer)
        shape = layer.output_shape(shape)
        yield LayerSummary(f"{at}{i}", name, shape, count, size, bool(layer.trainable))


def _measure(layer: Layer, shape: Shape) -> tuple[int | None, int | None]:
    """Return (number, bytes) of a layer's parameters for inputs of `shape`; None if unknown."""
    if layer.p or not layer.parameter_names:
        arrays = [(np.shape(array), np.asarray(array).dtype) for array in layer.p.values()]
    else:
        arrays = list(layer.arrays(shape[-1]).values())
    if (not arrays and layer.parameter_names) or any(isinstance(n, str) for due, _ in arrays for n in due):
        return None, None
    return sum(prod(due) for due, _ in arrays), sum(prod(due) * dtype.itemsize for due, dtype in arrays)


def _total(counts: Sequence[int | None]) -> int | None:
    """Return the sum of counts; None if one is None."""
    return None if None in counts else sum(counts)


def _count(count: int | None) -> str:
    """Return a count as text, "?" for None."""
    return "?" if count is None else f"{count:,}"


def _as_text(shape: Shape) -> str:
    """Return a shape as text, without quotes around letters."""
    return f"({', '.join(map(str, shape))})"
