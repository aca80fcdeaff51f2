"""Traced values of a foreign ONNX graph, and how the nodes that only move numbers change them.

Letters: s steps, m samples, d directions, u units. An array is traced if it holds the numbers of one input of the
graph, of the states of one layer, or of last states, unchanged and in an order that is known axis by axis. Axes of size
1 mean nothing: two arrays have the same axes if all others agree, in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = [
    "AXES", "ENDLESS", "FLOATS", "LARGEST", "LENGTHS", "MOVERS", "ONE", "UNKNOWN", "Axis", "Extent", "Node", "Traced",
    "Unproved", "axis_index", "concatenated", "extent", "flatten_axes", "long_axes", "reshaped", "same_axes",
]  # fmt: skip

ENDLESS = 2**31 - 1  # from here on the end of a slice means: to the end of the axis
MOST = 1024  # layers times directions
AXES = 64  # axes of an array, NumPy's own bound, and factors of a size
LARGEST = 2**63  # what a size in ONNX stays below
SHOWN = 20  # nodes that an array passed, in an error
INTEGERS = {2, 3, 4, 5, 6, 7, 12, 13}  # TensorProto's integer types, from UINT8 to UINT64
LENGTHS = {6, 7}  # INT32, INT64
FLOATS = {"float32": 1, "float64": 11}


class Unproved(Exception):  # noqa: N818 - it is always caught, and not an error to the caller
    """The reason why a node may change the numbers that it takes."""


@dataclass(frozen=True)
class Axis:
    """An axis: a name that is unique in its array, and its size, None if it is not known.

    `merged` are the axes that were made one, the outermost first; () for a plain axis.
    """

    name: str
    size: int | None = None
    merged: tuple[Axis, ...] = field(default=(), compare=False)


ONE = Axis("", 1)


@dataclass(frozen=True)
class Extent:
    """A size that is a whole number times the sizes of axes, by name; `factor` None: it is computed in another way."""

    factor: int | None
    axes: tuple[str, ...] = ()

    def __mul__(self, other: Any) -> Extent:
        """Return the product with another extent or an integer; an unknown one for anything else."""
        other = Extent(other) if isinstance(other, int) else other
        if not isinstance(other, Extent) or None in (self.factor, other.factor):
            return UNKNOWN
        made = Extent(self.factor * other.factor, (*self.axes, *other.axes))
        return made if len(made.axes) <= AXES and abs(made.factor) < LARGEST else UNKNOWN  # which nodes may square

    __rmul__ = __mul__


UNKNOWN = Extent(None)


def extent(axis: Axis) -> Extent | int:
    """Return the size of an axis: a number if it is known, else an extent of its parts."""
    if axis.size is not None:
        return axis.size
    product: Any = 1
    for part in axis.merged or (axis,):
        product = (Extent(1, (part.name,)) if part.size is None else part.size) * product
    return product


@dataclass(frozen=True)
class Traced:
    """An array whose content is known.

    Attributes:
        kind: "input": of the graph; "states": of a recurrent layer at all its steps; "ends": last states; "made": the
            output of any other layer; "weights": of attention, a softmax over the steps; "weighted": the output of a
            layer times these, not yet summed over the steps.
        origin: the input's name, or the `count` of the chain when the array was made.
        axes: its current axes.
        dtype: the number of its type in ONNX.
        stack: the name of the axis of layers and directions; None: not known yet, for an input.
        parts: the entries along that axis: (layer, direction) pairs, or the indices of an input; None: all.
        path: the nodes that it passed, as a pair (path before, name of the last one), () for none: the arrays of a
            graph share theirs, which may be as long as the graph. See `passed`.
    """

    kind: str
    origin: str | int
    axes: tuple[Axis, ...]
    dtype: int
    stack: str | None = None
    parts: tuple[Any, ...] | None = None
    path: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    def passed(self) -> list[str]:
        """Return the names of the last nodes that it passed, at most `SHOWN`, after "..." where there are more."""
        names, path = [], self.path
        while path and len(names) < SHOWN:
            path, name = path
            names.append(name)
        return ["..."] * bool(path) + names[::-1]


@dataclass(frozen=True)
class Node:
    """A node: its kind, inputs, outputs and attributes, and the constants among its inputs as arrays.

    For a node that may be a layer, `at` is the index of its only input that is not constant. That input has `rank`
    axes, and its last axis has `n` features, None if that is not known.
    """

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    opset: int
    at: int = 0
    n: int | None = None
    rank: int = 0
    shapes: Mapping[str, Any] = field(default_factory=dict)  # sizes that nodes below computed, by name

    refusal = Unproved

    def input(self, place: int) -> str:
        """Return the name of an input, or "", ONNX's name for one that is left out, if the node has fewer."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def numbers(self, key: str, place: int) -> list[int] | None:
        """Return the integers of attribute `key`, or of input `place`, as later versions have it; None for neither."""
        value = self.attributes.get(key)
        if value is None and self.input(place):
            value = self.arrays.get(self.input(place))
            if value is None:
                raise Unproved(f"its {key} are no constants")
        return None if value is None else [int(n) for n in np.ravel(value)]

    def sizes(self, key: str, place: int) -> list[Any] | None:
        """Return the sizes that are attribute `key` or input `place`: integers, and extents where they are computed."""
        computed = self.shapes.get(self.input(place))
        return self.numbers(key, place) if computed is None else list(computed)

    def constant(self, place: int) -> np.ndarray | None:
        """Return a constant input; None if it is left out, Unproved if it is not constant."""
        name = self.input(place)
        if name and name not in self.arrays:
            raise Unproved(f"its input {name!r} is no constant")
        return self.arrays[name] if name else None

    def number(self, key: str, place: int) -> float | None:
        """Return a number that is attribute `key` or, in later versions, input `place`; None for neither."""
        value = self.attributes.get(key)
        if value is None:
            value = self.constant(place)
            if value is not None and np.size(value) != 1:
                raise Unproved(f"its {key} is no single number")
            value = None if value is None else np.ravel(value)[0]
        return None if value is None else float(value)


def same_axes(axes: Sequence[Axis], due: Sequence[Axis]) -> bool:
    """Return whether axes agree in number and, apart from those of size 1, in name."""
    return len(axes) == len(due) and long_axes(axes) == long_axes(due)


def long_axes(axes: Sequence[Axis]) -> list[str]:
    """Return the names of the axes whose size is not 1."""
    return [axis.name for axis in axes if axis.size != 1]


def axis_index(axis: int, rank: int) -> int:
    """Return the index of an axis counted from the first; Unproved if there is no such axis."""
    if not isinstance(axis, int) or not -rank <= axis < rank:
        raise Unproved(f"its axis {axis} is none of {rank}")
    return axis % rank


# --- nodes that keep all numbers ---


def _dropout(value: Traced, node: Node) -> list[Traced]:
    """Return the value unchanged: from version 7 on Dropout does nothing in inference, before if `is_test` is set."""
    if node.opset < 7 and not node.attributes.get("is_test"):
        raise Unproved("it drops out")
    training = node.input(2)
    if training and (training not in node.arrays or np.any(node.arrays[training])):
        raise Unproved("it may drop out")
    return [value]  # the second output, a mask, is not traced


def _cast(value: Traced, node: Node) -> list[Traced]:
    """Return the value, cast to its own type, or for integers, as lengths are, to one that holds them all."""
    to = node.attributes.get("to")
    if value.dtype != to and not (value.dtype in INTEGERS and to in LENGTHS):
        raise Unproved("it changes the type")
    return [replace(value, dtype=to)]


def _transpose(value: Traced, node: Node) -> list[Traced]:
    """Return the value with its axes permuted."""
    rank = len(value.axes)
    perm = node.numbers("perm", 1)
    perm = list(range(rank))[::-1] if perm is None else perm
    if sorted(perm) != list(range(rank)):
        raise Unproved(f"its perm {perm} is none of {rank} axes")
    return [replace(value, axes=tuple(value.axes[i] for i in perm))]


def _squeeze(value: Traced, node: Node) -> list[Traced]:
    """Return the value without axes of size 1."""
    rank = len(value.axes)
    numbers = node.numbers("axes", 1)
    if numbers is None and any(axis.size is None for axis in value.axes):
        raise Unproved("it does not say which axes")
    sizes = [axis.size for axis in value.axes]
    gone = {i for i in range(rank) if sizes[i] == 1} if numbers is None else {axis_index(n, rank) for n in numbers}
    if any(sizes[i] != 1 for i in gone):
        raise Unproved("it takes away an axis whose size need not be 1")
    return [replace(value, axes=tuple(axis for i, axis in enumerate(value.axes) if i not in gone))]


def _unsqueeze(value: Traced, node: Node) -> list[Traced]:
    """Return the value with new axes of size 1."""
    numbers = node.numbers("axes", 1) or []
    rank = len(value.axes) + len(numbers)
    new, old = {axis_index(n, rank) for n in numbers}, iter(value.axes)
    if len(new) < len(numbers):
        raise Unproved(f"its axes {numbers} are not apart")
    return [replace(value, axes=tuple(ONE if i in new else next(old) for i in range(rank)))]


def _reshape(value: Traced, node: Node) -> list[Traced]:
    """Return the value with its axes split and merged, none of them cut."""
    shape = node.sizes("shape", 1)
    if shape is None or shape.count(-1) > 1 or (0 in shape and node.attributes.get("allowzero")):
        raise Unproved("it has no shape that is plain")
    if any(n == 0 and i >= len(value.axes) for i, n in enumerate(shape)):
        raise Unproved("its shape copies an axis that there is not")
    return [reshaped(value, [value.axes[i] if n == 0 else n for i, n in enumerate(shape)])]


def _flatten(value: Traced, node: Node) -> list[Traced]:
    """Return the value with two axes: those before one of its axes as one, and the others."""
    at = node.attributes.get("axis", 1)
    rank = len(value.axes)
    at = at if at == rank else axis_index(at, rank)
    return [flatten_axes(flatten_axes(value, at, rank), 0, at)]


def flatten_axes(value: Traced, start: int, stop: int) -> Traced:
    """Return the value with its axes from `start` to `stop` as one."""
    return replace(value, axes=(*value.axes[:start], _merge(_split(value.axes[start:stop])), *value.axes[stop:]))


def reshaped(value: Traced, shape: Sequence[Any]) -> Traced:
    """Return the value in another shape, in the same order: an integer, an extent or an axis for each axis.

    -1 stands for what the others leave. Unproved unless each size is the product of whole axes.
    """
    atoms, at = _split(value.axes), shape.index(-1) if -1 in shape else len(shape)
    front = [_take_atoms(atoms, size, 0) for size in shape[:at]]
    back = [_take_atoms(atoms, size, -1) for size in shape[:at:-1]]
    rest = [_merge(atoms)] if at < len(shape) else []
    if atoms and not rest:
        raise Unproved(f"its shape {_listed(shape)} has no place for {' and '.join(axis.name for axis in atoms)}")
    return replace(value, axes=(*front, *rest, *back[::-1]))


def _split(axes: Sequence[Axis]) -> list[Axis]:
    """Return the axes that are not 1, those that were merged one by one."""
    return [part for axis in axes if axis.size != 1 for part in (axis.merged or (axis,))]


def _merge(axes: Sequence[Axis]) -> Axis:
    """Return adjacent axes as one."""
    if len(axes) < 2:
        return axes[0] if axes else ONE
    size = None if any(axis.size is None for axis in axes) else math.prod(axis.size for axis in axes)
    return Axis(" ".join(axis.name for axis in axes), size, tuple(axes))


def _take_atoms(atoms: list[Axis], size: Any, end: int) -> Axis:
    """Remove axes of the product `size` from one end of the list, 0 or -1; return them merged."""
    if isinstance(size, Axis):
        size = math.prod([extent(part) for part in _split([size])], start=Extent(1))
    due = size if isinstance(size, Extent) else Extent(size)
    factor, names, found = due.factor, list(due.axes), []
    while factor != 1 or names:
        axis = atoms[end] if atoms else None
        if axis is None or factor is None:
            raise Unproved("its shape is computed in a way that cannot be followed")
        if axis.name in names:
            names.remove(axis.name)
        elif axis.size is not None and factor % axis.size == 0:
            factor //= axis.size
        else:
            raise Unproved(f"its shape need not keep what the axes are: axis {axis.name} is not {due.factor}")
        found.append(atoms.pop(end))
    return _merge(found if end == 0 else found[::-1])


def _listed(shape: Sequence[Any]) -> str:
    """Return a shape in words for an error."""
    return ", ".join(str(size) if isinstance(size, int) else "a size" for size in shape)


# --- nodes that take a part ---


def _take(value: Traced, at: int, indices: Sequence[int]) -> Traced:
    """Return the value at these indices of axis `at`, which must be the axis of layers and directions."""
    axis = value.axes[at]
    every = None if axis.size is None else range(axis.size)
    if indices == every:
        return value
    if len(indices) > MOST:
        raise Unproved(f"it takes more than {MOST} of an axis")
    if not indices or (every is not None and any(i not in every for i in indices)):
        raise Unproved(f"it takes {list(indices)} of {axis.size}")
    if every is not None and list(indices) == list(every[: len(indices) + 1]):
        return value
    if axis.merged:
        raise Unproved("it takes a part of several axes that were made one")
    if value.stack not in (None, axis.name) or axis == ONE:
        raise Unproved("it takes a part along an axis that is not that of layers and directions")
    parts = tuple(indices) if value.parts is None else tuple(value.parts[i] for i in indices)
    axes = (*value.axes[:at], Axis(axis.name, len(parts)), *value.axes[at + 1 :])
    return replace(value, axes=axes, stack=axis.name, parts=parts)


def _slice(value: Traced, node: Node) -> list[Traced]:
    """Return the part of the value that a Slice node takes."""
    starts, ends = node.numbers("starts", 1), node.numbers("ends", 2)
    if starts is None or ends is None:
        raise Unproved("it does not say what it takes")
    axes = node.numbers("axes", 3)
    axes = list(range(len(starts))) if axes is None else axes
    steps = node.numbers("steps", 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Unproved("it says unlike numbers of starts, ends, axes and steps")
    places = [axis_index(axis, len(value.axes)) for axis in axes]
    if len(set(places)) < len(places):
        raise Unproved(f"its axes {axes} are not apart")
    for start, end, at, step in zip(starts, ends, places, steps, strict=True):
        size = value.axes[at].size
        if size is not None:
            value = _take(value, at, range(*slice(start, end, step).indices(size)))
        elif step == 1 and 0 <= start < end < ENDLESS:
            value = _take(value, at, range(start, end))
        elif (start, step) != (0, 1) or end < ENDLESS:
            raise Unproved("it takes a part of an axis whose size is not known")
    return [value]


def _split_node(value: Traced, node: Node) -> list[Traced]:
    """Return the parts of the value that a Split node makes."""
    at = axis_index(node.attributes.get("axis", 0), len(value.axes))
    size, count = value.axes[at].size, len(node.outputs)
    sizes = node.numbers("split", 1)
    if sizes is None:
        if size is None or not count:
            raise Unproved("it splits an axis whose size is not known, or into nothing")
        each = -(-size // count)
        sizes = [each] * (count - 1) + [size - each * (count - 1)]
    ends = np.cumsum([0, *sizes]).tolist()
    if len(sizes) != count or min(sizes) < 1 or (size is not None and ends[-1] != size):
        raise Unproved(f"it splits {size} into {sizes}")
    return [_take(value, at, range(start, end)) for start, end in pairwise(ends)]


def _gather(value: Traced, node: Node) -> list[Traced]:
    """Return the part of the value that a Gather node takes."""
    at = axis_index(node.attributes.get("axis", 0), len(value.axes))
    indices = node.arrays.get(node.input(1))
    size = value.axes[at].size
    if indices is None or indices.ndim > 1:
        raise Unproved("its indices are no plain constants")
    numbers = [int(i) for i in np.ravel(indices)]
    if min(numbers, default=-1) < 0 and size is None:
        raise Unproved("it counts from the end of an axis whose size is not known")
    value = _take(value, at, [i + size if i < 0 else i for i in numbers])
    if indices.ndim:
        return [value]
    return [replace(value, axes=(*value.axes[:at], *value.axes[at + 1 :]))]


def concatenated(values: Sequence[Traced], axis: int) -> Traced:
    """Concatenate last states, or states of one layer, along the axis of directions."""
    first, *others = values
    at = axis_index(axis, len(first.axes))
    for value in values:
        if (value.kind, value.dtype) != ("ends", first.dtype):
            raise Unproved("it joins what are no last states")
        if len(value.axes) != len(first.axes) or not (
            value.axes[at].name == "d" or (value.axes[at].size, len(value.parts)) == (1, 1)
        ):
            raise Unproved("it does not join along the directions")
        if not same_axes(_without(value.axes, at), _without(first.axes, at)):
            raise Unproved("it joins arrays whose axes differ")
    if sum(len(value.parts) for value in values) > MOST:
        raise Unproved(f"it joins more than {MOST} layers and directions")
    parts = tuple(part for value in values for part in value.parts)
    axes = (*first.axes[:at], Axis("d", len(parts)), *first.axes[at + 1 :])
    path: tuple[Any, ...] = ()
    for name in dict.fromkeys(name for value in values for name in value.passed()):
        path = (path, name)
    return replace(first, axes=axes, parts=parts, path=path) if others else first


def _without(axes: Sequence[Axis], at: int) -> list[Axis]:
    """Return the axes without axis `at`."""
    return [axis for i, axis in enumerate(axes) if i != at]


# By kind of node: what it makes of a traced value, its first input. Its other inputs are settings.
MOVERS: dict[str, Callable[[Traced, Node], list[Traced]]] = {
    "Identity": lambda value, node: [value],
    "Dropout": _dropout,
    "Cast": _cast,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Slice": _slice,
    "Split": _split_node,
    "Gather": _gather,
}
