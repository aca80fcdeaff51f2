"""Convert other libraries' graphs to layers: the readers of PyTorch and ONNX are built on the class `Reader`.

Goal: a graph gives the numbers of the original, or is refused. The axes of its arrays may be turned, merged and split
in any way between the layers.

Design: the graph is run on labels. An array that enters or leaves a layer here, such as (m, s, n), is a *stage*. The
labels of its numbers are successive integers in this order, which go on from stage to stage. Nodes that only move
numbers run on the labels of their inputs, by the other library's own code. A layer then looks where the numbers went:
of which stages they are, which axis has the features, in which order, and which axis has the steps. So shapes that are
computed from those of arrays, slices, concatenations and reshapes need no rules of their own. Numbers of several
stages, or a part of one, become a stage of their own: a concatenation, a selection, last steps. In the end
`joins.chain_of` makes layers of the stages that the output needs. What depends on sizes shows in a second run with
other numbers of samples and steps: all runs must make the same layers.

Rejected: names and symbolic sizes for each axis. That needs a rule for each node that moves numbers, and twice as much
code.

Letters: m samples, s steps, n features of a stage, u units, D directions.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import permutations
from typing import Any

import numpy as np

from cgru.activations import identity, softmax, tanh
from cgru.interop.gates import Refusal, array
from cgru.interop.joins import Node, append, chain_of
from cgru.layers import Activation, Clip, Dense, Embedding, Flip, Frames, Layer, LayerNorm, Pool, Scale, Select
from cgru.layers.steps import STEP
from cgru.network import files
from cgru.network.chain import chain, leaves

__all__ = ["BRANCHES", "STAGES", "OtherFeatures", "Reader", "TooShort", "Unproved", "Value", "dense", "embedding",
           "is_weights", "read"]  # fmt: skip

BRANCHES = "expected it to read the outputs of layers: sums, products and concatenations of the features of each step"
STAGES = "stages"  # what values are of whose labels go on from stage to stage
ENDS = "last states"  # of a recurrent stage, as what makes a stage
JOINS = {"add": "add", "sub": "add", "mul": "multiply"}
MOST_JOINED = 8  # arrays that a sum over an axis of the features adds
TRIALS = ((3, 97), (2, 1032), (1, 89))  # samples and steps of the runs; no k > 1 divides each number of steps less 1
MOST_FEATURES = 1 << 16  # of a run
MOST_GUESSES = 8  # of the number of features
LONGEST = 1 << 16  # steps of a run, where frames are longer than those of TRIALS


class Unproved(Exception):  # noqa: N818 - it is always caught, and not an error to the caller
    """Raised, with the reason, when a node of the graph cannot be shown to be equivalent to a layer."""


class TooShort(Unproved):
    """Raised when a trial run has fewer steps than a frame of the graph."""


class OtherFeatures(Unproved):
    """Raised when the input must have `args[1]` features, not the number of this trial run."""


class OtherSteps(TooShort):
    """Raised when the input must have `args[1]` steps, not the number of this trial run."""


@dataclass(frozen=True)
class Value:
    """An array whose elements are known: `labels` are the indices of its elements in the array `of`.

    `of` is STAGES, an input's name, a parameter, or ("weights", stage) for a softmax over the steps, or ("weighted",
    stage, stage of the weights) for the products of a stage with these; labels of the latter two are places in it.
    """

    of: Any
    labels: np.ndarray
    dtype: str = "float32"
    place: str = ""  # the node that made it, for errors


@dataclass(frozen=True, eq=False)
class Stage:
    """The output array of a layer, (m, s, n) or (m, n), with the layer or join (`maker`) and the arrays that it reads.

    `maker` is a layer, how several arrays are joined, ENDS, or None of the input.
    """

    name: str
    n: int
    s: int | None
    first: int  # the label of its first number
    below: tuple[Stage, ...] = ()
    maker: Any = None
    follows: bool = True  # whether its features are more where the input has more


class Reader:
    """A reader that runs a graph on m samples, s steps and e features, and collects its layers node by node."""

    strict = True  # whether padding in the output is the other library's, too

    def __init__(self, m: int, s: int, e: int) -> None:
        """Start with the input as the only array."""
        self.m = m
        self.layers: list[Any] = []
        self.stages = [Stage("the input", e, s, 0)]
        self.derived: dict[Any, Stage] = {}  # parts and concatenations, by what they are of
        self.recurrent: dict[Stage, Stage] = {}  # by stage of all states: that of the last ones
        self.scorers: set[Stage] = set()  # stages that became part of an attention pool
        self.ragged = False  # whether GRUs stop at the lengths of samples
        self.shortened = False  # whether lengths are read
        self.whole = ""  # a node that reads all steps, whatever the lengths
        self.lengths: np.ndarray | None = None  # the real steps of each sample, if they are an input
        self.inputs: set[str] = set()  # the names of those that may be X
        self.input = ""  # the one that is X
        self.shape: tuple[Any, ...] = ("m", "s", e)  # of X
        self.single = False  # whether the input is one sequence, without an axis of samples
        self.place = ""  # the node that is read
        self.progress = 0  # nodes that were read

    def push(self, maker: Any, n: int, s: int | None, *below: Stage, follows: bool = False) -> Stage:
        """Add the output array of a layer, or of another `maker`, that reads the arrays `below`; return its `Stage`."""
        last = self.stages[-1]
        first = last.first + self.m * last.n * (last.s or 1)
        follows = follows and any(each.follows for each in below)
        self.stages.append(Stage(self.place, n, s, first, below, maker, follows))
        return self.stages[-1]

    def derive(self, maker: Any, n: int, s: int | None, *below: Stage) -> Stage:
        """Return the output of a layer without parameters, or of a concatenation; add it only if it is new."""
        key = repr(maker), below
        if key not in self.derived:
            self.derived[key] = self.push(maker, n, s, *below, follows=True)
        return self.derived[key]

    def made(self, stage: Stage, labels: np.ndarray, value: Value) -> Value:
        """Return a `Value` for the elements `labels` of a layer's output, with the dtype of `value`."""
        return Value(STAGES, stage.first + labels, value.dtype)

    def input_labels(self, letters: str) -> np.ndarray:
        """Return the element indices of an input with the axes `letters`, some of m, s and e; others have size 1."""
        sizes = (self.m, self.stages[0].s, self.stages[0].n)
        every = np.arange(sizes[0] * sizes[1] * sizes[2]).reshape(sizes)
        places = ["mse".index(letter) for letter in letters]
        others = [i for i in range(3) if i not in places]
        return every.transpose(places + others).reshape([sizes[i] for i in places])

    def last_states(self, stage: Stage) -> np.ndarray:
        """Return the element indices of the last states (D, m, u) of a recurrent layer."""
        ends, D = self.recurrent[stage], len(stage.maker.cells)
        return ends.first + np.arange(self.m * stage.n).reshape(self.m, D, -1).swapaxes(0, 1)

    # --- what a value is ---

    def read_padding(self) -> None:
        """Store that this node reads all steps, padding included; raise Unproved if GRUs before it stop at lengths."""
        if self.ragged:
            raise Unproved("it would read padding, which the network ignores: take the last state")
        self.whole = self.whole or self.place

    def placed(self, value: Value) -> Value:
        """Return a value as part of a layer's output; the input counts as one. Unproved for anything else."""
        if not self.input and value.of in self.inputs:
            self.input = value.of
        if value.of == STAGES or (self.input and value.of == self.input):
            return replace(value, of=STAGES)
        raise Unproved(BRANCHES)

    def settled(self, value: Value) -> tuple[Stage, np.ndarray]:
        """Return the layer output that a value consists of, and the indices of its elements in it.

        A stage is added where the value is a part of others, or several side by side: their last steps, some of their
        features, and their concatenation. Unproved for anything else.
        """
        value = self.placed(value)
        L = value.labels
        if value.dtype not in ("float32", "float64"):
            raise Unproved(f"expected float32 or float64, got {value.dtype}")
        if not L.size or L.min() < 0:
            raise Unproved("it reads an empty array, or zero padding")
        firsts = [stage.first for stage in self.stages]
        stage = self.stages[np.searchsorted(firsts, L.flat[0], "right") - 1]
        own = L - stage.first
        is_whole = L.size == self.m * stage.n * (stage.s or 1) and own.min() >= 0 and own.max() < L.size
        if is_whole and stage.maker != ENDS and np.bincount(own.ravel()).max() == 1:
            return stage, own
        numbers = np.searchsorted(firsts, L.ravel(), "right") - 1
        found, order = np.unique(numbers, return_index=True)
        parts = [(numbers == k, *self.part(self.stages[k], L.ravel()[numbers == k] - firsts[k]))
                 for k in found[np.argsort(order)]]  # fmt: skip
        stages = [stage for _, stage, _ in parts]
        top, s = stages[0], stages[0].s
        if any(stage.s != s for stage in stages):
            raise Unproved(f"it joins arrays of different steps: {' and '.join(stage.name for stage in stages)}")
        if len(parts) > 1:
            top = self.derive("concatenate", sum(stage.n for stage in stages), s, *stages)
        labels, start = np.empty(L.size, int), 0
        for places, stage, own in parts:
            labels[places] = own // stage.n * top.n + start + own % stage.n
            start += stage.n
        return top, labels.reshape(L.shape)

    def part(self, stage: Stage, L: np.ndarray) -> tuple[Stage, np.ndarray]:
        """Return the layer output that consists of elements `L` (k,) of another one, and their indices in it.

        All columns, each a feature that may come more than once, have all steps, or the last one.
        """
        stage, L = self.some_steps(stage, L)
        n, order = stage.n, np.argsort(L, kind="stable")
        count = np.arange(len(L))
        again = np.empty_like(L)  # how often a label came before
        again[order] = count - np.maximum.accumulate(np.where(np.diff(L[order], prepend=-1), count, 0))
        columns, first, column = np.unique(again * n + L % n, return_index=True, return_inverse=True)
        if len(L) != self.m * (stage.s or 1) * len(columns):
            raise Unproved(f"it reads only some samples or steps of {stage.name}")
        if np.array_equal(columns, np.arange(n)):
            return stage, L
        order = np.argsort(first)
        top = self.derive(Select(columns[order] % n, n), len(columns), stage.s, stage)
        return top, L // n * len(columns) + np.argsort(order)[column]

    def some_steps(self, stage: Stage, L: np.ndarray) -> tuple[Stage, np.ndarray]:
        """Return a layer's output at all steps or only the last, whichever `L` has, and the indices in it.

        Without its last steps a convolution is one with less padding.
        """
        sample, step, feature = self.split(L, stage)
        kept = len(np.unique(L)) / (self.m * len(np.unique(feature)))
        if stage.s is None or kept == stage.s:
            if stage.maker == ENDS and not self.ragged:
                self.read_padding()
            return stage, L
        if kept == 1:
            recurrent = stage in self.recurrent
            if self.lengths is not None and (step == self.lengths[sample] - 1).all():
                onward = all(len(each.maker.cells) == 1 and not each.maker.reverse for each in self.recurrent)
                if not (onward or self.ragged):
                    raise Unproved("expected no reverse GRU before it, which would read padding")
                self.shortened, last, ends = True, True, onward and recurrent
            else:
                self.read_padding()
                back = [cell.reverse for cell in stage.maker.cells] if recurrent else [False]
                due = np.repeat(np.where(back, 0, stage.s - 1), stage.n // len(back))
                ends = recurrent and (step == due[feature]).all()
                last = (step == stage.s - 1).all()
            if ends or last:
                top = self.recurrent[stage] if ends else self.derive(Pool("last"), stage.n, None, stage)
                return top, sample * stage.n + feature
        if step.max() < kept:
            return self.shorter(stage, int(kept)), (sample * int(kept) + step) * stage.n + feature
        raise Unproved(f"expected all steps of {stage.name}, or the last one")

    def shorter(self, stage: Stage, kept: int) -> Stage:
        """Return a convolution's output with only `kept` steps, by using less padding after the sequence."""
        if not isinstance(stage.maker, Layer) or stage.maker.steps != STEP or stage.maker.cells:
            before, after = getattr(stage.maker, "pad", False) or (0, 0)
            if getattr(stage.maker, "hop", 0) != 1 or stage.s - kept > after:
                raise Unproved(f"expected all steps of {stage.name}, or the last one")
            frames = Frames(stage.maker.length, 1, (before, after - (stage.s - kept)), stage.maker.dilation)
            return self.push(frames, stage.n, kept, *stage.below, follows=True)
        return self.push(stage.maker, stage.n, kept, self.shorter(stage.below[0], kept), follows=stage.follows)

    def split(self, L: np.ndarray, stage: Stage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sample, step and feature of each element index of a layer's output."""
        rest, feature = np.divmod(L, stage.n)
        return (*np.divmod(rest, stage.s or 1), feature)

    def rows(self, value: Value, axis: int = -1, due: int | None = None) -> tuple[Stage, np.ndarray, np.ndarray]:
        """Return a value's layer output, the row index of each step, and the order of the features along `axis`.

        `due` is how many features are expected.
        """
        stage, L = self.settled(value)
        n = stage.n
        if due not in (None, n):
            self.guess_features(stage, due)
            raise Unproved(f"{stage.name} has {n} features, it expects {due}")
        if not -L.ndim <= axis < L.ndim or L.shape[axis] != n:
            where = "last axis" if axis == -1 else f"axis {axis}"
            raise Unproved(f"expected the {n} features of {stage.name} in the {where}, got {L.shape}")
        A = np.moveaxis(L, axis, -1)
        rows, places = A[..., 0] // n, A.reshape(-1, n)[0] % n
        if not np.array_equal(A, rows[..., None] * n + places):
            raise Unproved("its features are not those of one step")
        return stage, rows, places

    def guess_features(self, stage: Stage, due: int) -> None:
        """Restart with another number of input features if that would give a layer's output `due` features."""
        e = self.stages[0].n
        guess = due * e // stage.n if due * e % stage.n == 0 else e + due - stage.n
        if stage.follows and due != stage.n and 0 < guess < MOST_FEATURES:
            raise OtherFeatures(f"{stage.name} has {stage.n} features, it expects {due}", int(guess))

    def guess_axis(self, value: Value, axis: int, due: int) -> None:
        """Restart with another number of input features if that gives `axis` the size `due`."""
        stage, L = self.settled(value)
        if L.shape[axis] == stage.n:
            self.guess_features(stage, due)

    def guess_steps(self, stage: Stage, due: int) -> None:
        """Restart with another number of steps if a layer expects `due` features of all steps side by side."""
        s, n = stage.s, stage.n
        if s is not None and due % n == 0 and due not in (0, n, s * n):
            raise OtherSteps(f"{stage.name} has {n} features of {s} steps, it expects {due} in total", due // n)

    def flattened(self, value: Value, due: int) -> Value:
        """Return a value (m, s n) of all steps side by side as the output of layers that make it; others unchanged."""
        stage, L = self.settled(value)
        size = (stage.s or 0) * stage.n
        if size in (0, stage.n) or L.shape != (self.m, size) or (L // size != L[:, :1] // size).any():
            return value
        self.read_padding()
        self.guess_steps(stage, due)
        frames = self.derive(Frames(stage.s, 1, False), size, 1, stage)
        return self.made(self.derive(Pool("last"), size, None, frames), L, value)

    def along_steps(self, L: np.ndarray, axis: int, stage: Stage) -> np.ndarray:
        """Return the indices (sample, feature) that remain after a reduction over the steps of a layer's output."""
        if stage.s is not None and -L.ndim <= axis < L.ndim and L.shape[axis] == stage.s:
            sample, step, feature = self.split(np.moveaxis(L, axis, -1), stage)
            rest = sample * stage.n + feature
            if (np.sort(step) == np.arange(stage.s)).all() and (rest == rest[..., :1]).all():
                self.read_padding()
                return rest[..., 0]
        raise Unproved("it does not reduce just the steps of the layer before it")

    # --- layers ---

    def elementwise(self, value: Value, layer: Layer, trainable: bool = True) -> Value:
        """Add a layer that computes each element, or each step, independently."""
        below, L = self.settled(value)
        layer.trainable = trainable
        return self.made(self.push(layer, below.n, below.s, below, follows=True), L, value)

    def clip(self, value: Value, low: float | None, high: float | None) -> Value:
        """Add a Clip layer; Unproved for bounds that it does not support."""
        try:
            layer = Clip(None if low == -np.inf else low, None if high == np.inf else high)
        except (TypeError, ValueError) as error:
            raise Unproved(f"its bounds are {low} and {high}: {error}") from None
        return self.elementwise(value, layer)

    def linear(self, value: Value, W: np.ndarray, b: Any, axis: int = -1, trainable: bool = True) -> Value:
        """Add a Dense layer with weights W (n, u) and bias b over the features, which are the given axis."""
        if W.ndim != 2:
            raise Unproved(f"it multiplies by {W.shape}")
        below, rows, places = self.rows(self.flattened(value, len(W)), axis, len(W))
        layer = dense(W[np.argsort(places)], b, self.place, Unproved)
        layer.trainable, u = trainable, W.shape[1]
        made = np.moveaxis(rows[..., None] * u + np.arange(u), -1, axis)
        return self.made(self.push(layer, u, below.s, below), made, value)

    def feature_row(self, value: Value, constant: np.ndarray) -> np.ndarray:
        """Return a constant that is added to or multiplied with a value, as one number per feature (n,)."""
        stage, L = self.settled(value)
        try:
            full = np.broadcast_to(constant, L.shape)
        except ValueError:
            self.guess_features(stage, max(constant.shape, default=1))
            raise Unproved(f"it joins {L.shape} with a constant of a different shape, {constant.shape}") from None
        row = np.empty(stage.n, full.dtype)
        row[(L % stage.n).ravel()] = full.ravel()
        if not np.array_equal(row[L % stage.n], full):
            raise Unproved(f"expected one number, or one for each of {stage.n} features, got {constant.shape}")
        return row

    def affine(
        self, value: Value, sign: str, constant: np.ndarray, first: bool, dtype: Any = None, trainable: bool = True
    ) -> Value:
        """Add a Scale for x + c, x - c, x * c or x / c (by `sign`); with `first`, c is the left operand."""
        c = self.feature_row(value, constant)
        with np.errstate(over="ignore", divide="ignore"):
            if sign == "div" and (first or not np.isfinite(1 / c).all() or not np.isfinite(c).all()):
                raise Unproved("it divides by zero, or by something that is not constant")
            times, plus = {"add": (1, c), "sub": (-1, c) if first else (1, -c), "mul": (c, 0)}.get(sign) or (1 / c, 0)
        dtype = c.dtype if dtype is None else dtype
        rows = (np.array(np.broadcast_to(np.asarray(number, dtype), c.shape)) for number in (times, plus))
        return self.elementwise(value, Scale(*rows, dtype=dtype), trainable)

    def normalization(
        self, value: Value, scale: np.ndarray, shift: np.ndarray | None, eps: float, trainable: bool = True
    ) -> Value:
        """Add a LayerNorm over the last axis, the features."""
        _, _, places = self.rows(value, -1, scale.size)
        if scale.shape != places.shape or (shift is not None and shift.shape != places.shape):
            raise Unproved(f"expected {len(places)} numbers for its scale and shift, got {scale.shape}")
        order = np.argsort(places)
        layer = LayerNorm.of(scale[order], None if shift is None else shift[order], eps)
        return self.elementwise(value, layer, trainable)

    def batch_norm(
        self, value: Value, mean: Any, variance: Any, eps: float, scale: Any, shift: Any, trainable: bool = True
    ) -> Value:
        """Add a Scale for a batch normalisation, in inference, of the features in axis 1."""
        _, _, places = self.rows(value, 1, len(mean))
        shift, order = np.broadcast_to(shift, mean.shape), np.argsort(places)
        factor = scale / np.sqrt(variance.astype(np.float64) + eps)
        layer = Scale(factor[order], (shift - mean * factor)[order], dtype=mean.dtype)
        return self.elementwise(value, layer, trainable)

    def softmax(self, value: Value, axis: int, own: Any = softmax) -> Value:
        """Add a softmax (or log_softmax, `own`) over the features, or return attention weights over the steps."""
        stage, L = self.settled(value)
        if own is softmax and stage.n == 1 and stage.s is not None and L.shape[axis] != 1:
            self.along_steps(L, axis, stage)
            return Value(("weights", stage), L, value.dtype)
        self.rows(value, axis)
        return self.elementwise(value, Activation(own))

    def pool(self, value: Value, axis: int, keep: bool, how: str) -> Value:
        """Add a pool (mean, max or sum) over all steps, or the sum of an attention or of a few features."""
        if how == "sum" and isinstance(value.of, tuple):
            return self.attention(value, axis, keep)
        stage, L = self.settled(value)
        count = L.shape[axis] if -L.ndim <= axis < L.ndim else 0
        if how in ("sum", "mean") and count != stage.s and 1 < count <= MOST_JOINED:
            made = reduce(self.joined, (replace(value, labels=A) for A in np.moveaxis(value.labels, axis, 0)))
            made = made if how == "sum" else self.affine(made, "div", np.array(count, value.dtype), False, None, False)
            return replace(made, labels=np.expand_dims(made.labels, axis)) if keep else made
        labels = self.along_steps(L, axis, stage)
        top = self.push(Pool(how), stage.n, None, stage, follows=True)
        return self.made(top, np.expand_dims(labels, axis) if keep else labels, value)

    def frames(self, value: Value, length: Any, hop: Any, pad: tuple[int, int], axis: int, dilation: int = 1) -> Value:
        """Add Frames over the steps, the given axis of an array (m, s, n); return (..., frames, ..., length)."""
        below, L = self.settled(value)
        n, s = below.n, below.s
        self.read_padding()
        try:
            layer = Frames(length, hop, pad if any(pad) else False, dilation)
        except (TypeError, ValueError) as error:
            raise Unproved(str(error)) from None
        A = np.moveaxis(L, axis, -1)
        if s is None or A.shape[-1] != s or not np.array_equal(A, A[..., :1] + n * np.arange(s)):
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        count = (s + sum(pad) - layer.span) // layer.hop + 1
        if count < 1:
            raise TooShort(f"its frames have {layer.span} steps")
        sample, _, feature = self.split(A[..., 0], below)
        step = np.arange(count)[:, None] * n * length + np.arange(length) * n
        labels = (sample * count * n * length + feature)[..., None, None] + step
        top = self.push(layer, n * length, count, below, follows=True)
        return self.made(top, np.moveaxis(labels, -2, axis), value)

    def convolution(self, value: Value, W: np.ndarray, b: Any, hops: Any, pads: Any, trainable: bool = True) -> Value:
        """Add Frames and a Dense for a convolution of (m, n, s) with weights (u, n, length); -1 labels zero padding.

        `hops` are the stride and the dilation.
        """
        (u, n, length), (hop, dilation) = W.shape, map(int, hops)
        L = value.labels
        real = np.flatnonzero((L >= 0).all((0, 1))) if L.ndim == 3 else ()
        if not len(real):
            raise Unproved(f"expected an array (m, n, s) with {n} features in axis 1, got {L.shape}, or zeros alone")
        inner = replace(value, labels=L[:, :, real[0] : real[-1] + 1])
        if L.shape[1] != n:
            self.guess_features(self.settled(inner)[0], n)
            raise Unproved(f"expected an array (m, n, s) with {n} features in axis 1, got {L.shape}")
        before, after = (int(count) for count in pads)
        pad = before + int(real[0]), after + L.shape[2] - 1 - int(real[-1])
        framed = self.frames(inner, length, hop, pad, 2, dilation)
        flat = np.moveaxis(framed.labels, 1, 2)  # (m, frames, n, length)
        flat = replace(framed, labels=flat.reshape(*flat.shape[:2], -1))
        made = self.linear(flat, W.reshape(u, -1).T, b, trainable=trainable)
        return replace(made, labels=np.moveaxis(made.labels, 2, 1))

    def embedding(self, value: Value, table: np.ndarray, name: str, trainable: bool = True) -> Value:
        """Add an Embedding of the input, which then is tokens."""
        tokens = value.of in self.inputs and not self.input and value.dtype in ("int32", "int64")
        below = self.stages[0]
        if not tokens or sorted(value.labels.ravel()) != [*range(self.m * below.s)]:
            raise Unproved("expected it to look up the whole input, integers (m, s)")
        self.input, self.shape, layer = value.of, ("m", "s"), embedding(table, name, Unproved)
        layer.trainable, u = trainable, layer.d["u"]
        top = self.push(layer, u, below.s, below)
        return self.made(top, value.labels[..., None] * u + np.arange(u), replace(value, dtype=layer.dtype.name))

    def begin_padding(self) -> None:
        """Store that samples have lengths from this node on; Unproved if layers before it would read padding."""
        if self.recurrent and not self.ragged:
            raise Unproved("expected lengths for all GRUs")
        self.ragged = self.shortened = True

    def recurrent_input(self, value: Value, rows: bool, features: int) -> tuple[Stage, np.ndarray]:
        """Return the layer output that a GRU reads, (m, s, n) for `rows`, else (s, m, n), and its feature order."""
        stage, found, places = self.rows(value, -1, features)
        due = np.arange(self.m * (stage.s or 0)).reshape(self.m, -1)
        if stage.s is None or not np.array_equal(found, due if rows else due.T):
            raise Unproved("its input is not the output of the layer before it, with the same axes")
        return stage, places

    def add_recurrent(self, layer: Any, below: Stage, places: np.ndarray) -> Stage:
        """Add a recurrent layer, its weights reordered to its input's features; return the output of all states."""
        for cell in layer.cells:
            cell.p |= {name: cell.p[name][np.argsort(places)] for name in cell.p if name.startswith("U")}
        n = len(layer.cells) * layer.cells[0].d["u"]
        states = self.push(layer, n, below.s, below)
        self.recurrent[states] = self.push(ENDS, n, None, states)
        return states

    # --- joins ---

    def joined(self, first: Value, second: Value, sign: str = "add") -> Value:
        """Return the elementwise sum, difference or product of two arrays of the same samples and steps.

        Each number belongs to the same sample and step in both.
        """
        if is_weights(first) or is_weights(second):
            return self.weighed(*sorted((first, second), key=lambda each: not is_weights(each)), sign)
        if sign not in JOINS:
            raise Unproved("it divides by something that is not constant")
        if first.dtype != second.dtype:
            raise Unproved(f"expected arrays of one dtype, got {first.dtype} and {second.dtype}")
        first, second = self.placed(first), self.placed(second)
        try:
            spread = np.broadcast_arrays(first.labels, second.labels)
        except ValueError:
            spread = ()
        if not spread or first.labels.shape != second.labels.shape:
            stages = self.settled(first)[0], self.settled(second)[0]
            for stage, other in (stages, stages[::-1]):
                if not spread or stage.n == 1:
                    self.guess_features(stage, other.n)
        if not spread:
            raise Unproved(f"it joins arrays of different shapes, {first.labels.shape} and {second.labels.shape}")
        (below, L), (other, M) = (self.settled(replace(first, labels=A)) for A in spread)
        n = below.n
        if (below.s, n) != (other.s, other.n) or not np.array_equal(L // n, M // n):
            raise Unproved(f"it joins {below.name} and {other.name} with different steps, samples or features")
        places = np.empty(n, int)
        places[(L % n).ravel()] = (M % n).ravel()
        if not np.array_equal(places[L % n], M % n):
            raise Unproved(f"it joins features of {below.name} and {other.name} in a different order at each step")
        if not np.array_equal(places, np.arange(n)):
            other = self.derive(Select(places, n), n, other.s, other)
        if sign == "sub":
            rows = np.full((2, n), [[-1], [0]], first.dtype)
            layer = Scale(*rows, dtype=first.dtype)
            layer.trainable = False
            other = self.push(layer, n, other.s, other, follows=True)
        return self.made(self.push(JOINS[sign], n, below.s, below, other, follows=True), L, first)

    # --- attention ---

    def weighed(self, weights: Value, value: Value, sign: str) -> Value:
        """Return the products of attention weights and states, to be summed over the steps later."""
        if sign != "mul" or is_weights(value):
            raise Unproved(BRANCHES)
        stage, L = self.settled(value)
        try:
            a, y = np.broadcast_arrays(weights.labels, L)
        except ValueError:
            raise Unproved("its attention weights and the states have different axes") from None
        if y.shape != L.shape or stage.s is None or not np.array_equal(a, y // stage.n):
            raise Unproved("expected attention weights (m, s, 1), and states (m, s, n)")
        return Value(("weighted", stage, weights.of[1]), y, value.dtype)

    def attention(self, value: Value, axis: int, keep: bool) -> Value:
        """Add an attention pool for a sum over the steps of states times attention weights.

        Its scores are Linear(u, 1), or Linear(u, n), tanh and Linear(n, 1), perhaps with a constant factor. The bias of
        the last of two layers is left out: it adds the same to all scores, which changes no weight. Any other scores
        stand beside the states, as a feature that alone decides the weights of another pool.
        """
        if is_weights(value):
            raise Unproved("expected the sum over the steps of states times weights of a softmax over the steps")
        _, stage, scores = value.of
        labels, n = self.along_steps(value.labels, axis, stage), stage.n
        pool, path = self.attention_pool(stage, scores)
        self.scorers.update(path)
        if pool is None:
            both = self.derive("concatenate", n + 1, stage.s, stage, scores)
            pool = Pool("attention", dtype=value.dtype)
            pool.p |= {"W": np.eye(n + 1, dtype=value.dtype)[:, n:], "b": np.zeros((1, 1), value.dtype)}
            pool.trainable = False
            top = self.derive(Select(range(n), n + 1), n, None, self.push(pool, n + 1, None, both, follows=True))
        else:
            top = self.push(pool, n, None, stage)
        return self.made(top, np.expand_dims(labels, axis) if keep else labels, value)

    def attention_pool(self, stage: Stage, at: Stage) -> tuple[Pool | None, list[Stage]]:
        """Return an attention pool for the scores `at` of a layer's output, and the layers it replaces."""
        path = []
        while at is not stage and len(at.below) == 1 and isinstance(at.maker, Layer) and at not in self.scorers:
            path.append(at)
            at = at.below[0]
        scorers: list[Any] = []
        for each in reversed(path):
            append(scorers, copy.deepcopy(each.maker))  # of which it may change the last
        functions = [layer.activate if layer.is_head else None for layer in scorers]
        factor = scorers.pop() if functions[1:] and type(scorers[-1]) is Scale else None
        if (
            at is not stage
            or functions[: len(scorers)] not in ([identity], [tanh, identity])
            or scorers[-1].d["u"] != 1
            or len({layer.trainable for layer in scorers}) > 1
            or (factor is not None and (factor.trainable or factor.p["shift"].any()))
        ):
            return None, []
        head, *last = scorers
        if factor is not None:
            scorers[-1].p["W"] = scorers[-1].p["W"] * factor.p["scale"]
        pool = Pool("attention", head.d["u"] if last else None, dtype=head.dtype)
        pool.p |= head.p | ({"V": last[0].p["W"]} if last else {})
        pool.trainable = head.trainable
        return pool, path

    def einsum(self, equation: str, first: Value, second: Value | None = None) -> Value:
        """Add an attention pool for a matrix product (einsum) of attention weights and states."""
        if second is None or not (is_weights(first) or is_weights(second)):
            raise Unproved("expected a product of states with weights of a softmax over the steps")
        given, _, made = equation.replace(" ", "").partition("->")
        terms = given.split(",")
        letters = "".join(dict.fromkeys(given.replace(",", "")))
        axes = [len({*term}) for term in terms]
        if axes != [first.labels.ndim, second.labels.ndim] or axes != [*map(len, terms)] or not {*made} <= {*letters}:
            raise Unproved(f"expected axes as in {equation}")
        spread = []
        for term, value in zip(terms, (first, second), strict=True):
            L = value.labels.transpose(np.argsort([letters.index(letter) for letter in term]))
            L = np.expand_dims(L, tuple(i for i, letter in enumerate(letters) if letter not in term))
            spread.append(replace(value, labels=L))
        found = self.joined(*spread, "mul")
        gone = tuple(i for i, letter in enumerate(letters) if letter not in made)
        steps = [i for i in gone if found.labels.shape[i] != 1]
        if len(steps) != 1 or len({*made}) != len(made):
            raise Unproved("expected a sum over the steps only")
        summed = self.attention(found, steps[0], True)
        left = [letter for letter in letters if letter in made]
        return replace(summed, labels=summed.labels.squeeze(gone).transpose([left.index(letter) for letter in made]))

    # --- the whole ---

    def finish(self, value: Value, directions: bool) -> None:
        """Make the layers that compute the graph's output: (m, s, n) or (m, n) with its axes in any order.

        There may be axes of size 1 more or less. Samples and steps may be one axis; with `directions` those of a GRU an
        axis of their own.
        """
        stage, L = self.settled(value)
        n, m, s = stage.n, self.m, stage.s
        C = np.arange(m * (s or 1) * n)
        C = C.reshape(m, n) if s is None else C.reshape(m, s, n)
        if n in L.shape[-1:]:
            rows, places = L[..., 0] // n, L.reshape(-1, n)[0] % n
            if (places != np.arange(n)).any() and np.array_equal(L, rows[..., None] * n + places):
                stage, L = self.derive(Select(places, n), n, s, stage), rows[..., None] * n + np.arange(n)
        recurrent = stage.below[0] if stage.maker == ENDS else stage
        wholes = [C]
        if recurrent in self.recurrent and (directions or s is None):
            wholes.append(C.reshape(*C.shape[:-1], len(recurrent.maker.cells), -1))
        forms = [A.transpose(order) for A in wholes for order in permutations(range(A.ndim))]
        forms += [form.reshape(-1, n) for form in forms if form.shape[-1] == n]
        if not any(np.array_equal(L.squeeze(), form.squeeze()) for form in forms):
            due = "(m, n)" if s is None else "(m, s, n)"
            raise Unproved(f"expected an output {due} of {stage.name}, or one with its axes in another order")
        if self.shortened and self.whole:
            raise Unproved(f"{self.whole} reads all steps, but the network ignores padding")
        if self.strict and self.ragged and not self.is_zero_padded(stage):
            raise Unproved(f"expected the states of GRUs, which are zero at padding, got {stage.name}")
        self.layers = self.chain(stage)

    def chain(self, top: Stage) -> list[Layer]:
        """Return the chain of layers that computes a layer's output from the input."""
        live, new = {self.stages[0]}, {top}
        while new:
            live |= new
            new = {below for stage in new for below in stage.below} - live
        if live & self.scorers:
            raise Unproved("its attention scores are used elsewhere, too")
        readers = Counter(below for stage in live for below in stage.below)
        nodes: list[Node] = []
        numbers = {self.stages[0]: 0}

        def add(stage: Stage, how: Any, *below: int) -> int:
            """Append a graph node for a layer's output; return the node's number."""
            nodes.append(Node(below, how, lambda reason: Unproved(f"{stage.name}: {reason}")))
            return len(nodes)

        for stage in self.stages[1:]:
            below = [numbers[each] for each in stage.below] if stage in live else []
            if below and stage.maker == ENDS:
                cells = stage.below[0].maker.cells
                if readers[stage.below[0]] == 1:
                    stage.below[0].maker.sequences = False
                    numbers[stage] = below[0]
                    continue
                halves = np.split(np.arange(stage.n), len(cells))
                ways = [[Flip()] * cell.reverse + [Pool("last")] for cell in cells]
                ends = [add(stage, [Select(half, stage.n), *way] if len(cells) > 1 else way, *below)
                        for half, way in zip(halves, ways, strict=True)]  # fmt: skip
                numbers[stage] = add(stage, "concatenate", *ends) if len(ends) > 1 else ends[0]
            elif below:
                numbers[stage] = add(stage, [stage.maker] if isinstance(stage.maker, Layer) else stage.maker, *below)
        try:
            return [*chain(chain_of(nodes, self.shape, numbers[top]))]
        except (TypeError, ValueError) as error:
            raise Unproved(str(error)) from None

    def check_order(self) -> None:
        """Raise Unproved unless all recurrent layers are used in the order of the graph, as initial states need."""
        due = [cell for stage in self.recurrent for cell in stage.maker.cells]
        found = [cell for _, layer in leaves(self.layers) for cell in layer.cells]
        if [*map(id, found)] != [*map(id, due)]:
            raise Unproved("expected all GRUs with initial states to be used, one after another")

    def is_zero_padded(self, stage: Stage) -> bool:
        """Return whether a layer's output is zero in the padding in both libraries, or has no steps."""
        joins = stage in self.derived.values() or isinstance(stage.maker, str)
        return stage.s is None or stage in self.recurrent or (joins and all(map(self.is_zero_padded, stage.below)))

    def are_last_states(self, value: Any) -> bool:
        """Return whether a value is consecutive layers' last states, (layers x directions, m, u) or transposed."""
        if not isinstance(value, Value) or value.of != STAGES:
            return False
        parts = [part for stage in self.recurrent for part in self.last_states(stage)]
        for start, first in enumerate(parts):
            count = value.labels.size // first.size
            own = parts[start : start + count]
            if len(own) == count > 0 and len({part.shape for part in own}) == 1 and value.labels.flat[0] == first[0, 0]:
                A = np.stack(own)
                forms = [A, A.swapaxes(0, 1), A.swapaxes(0, 1).reshape(self.m, -1)]
                return any(np.array_equal(value.labels, form) for form in forms)
        return False


def is_weights(value: Value) -> bool:
    """Return whether a value is attention weights (a softmax over the steps)."""
    return isinstance(value.of, tuple) and value.of[0] == "weights"


def read(
    make: Callable[..., Reader], orders: list[Any], sizes: Callable[[Any, int, int], tuple[int, int]]
) -> list[Any]:
    """Return the layers of a graph, from the first axis order of the input for which all trial runs agree.

    `sizes(order, m, s)` are the samples and steps of a run. ValueError has the reason of the run that came furthest.
    """
    best: tuple[int, str] = (-1, "")
    for order in orders:
        chains: list[Any] = []
        reader, e, tried = None, 1, {1}
        try:
            for m, s in dict.fromkeys(sizes(order, *trial) for trial in TRIALS):
                tried_steps = {s}
                while True:
                    reader = make(order, m, s, e)
                    try:
                        reader.run()
                        break
                    except OtherSteps as error:
                        if error.args[1] in tried_steps or sizes(order, m, error.args[1])[1] != error.args[1]:
                            raise
                        s = error.args[1]
                        tried_steps.add(s)
                    except TooShort:
                        if s > LONGEST or sizes(order, m, 4 * s) == (m, s):
                            raise
                        s *= 4
                    except OtherFeatures as error:
                        if error.args[1] in tried or len(tried) > MOST_GUESSES:
                            raise Unproved(error.args[0]) from None
                        e = error.args[1]
                        tried.add(e)
                chains.append(reader.layers)
            if not all(same_chains(chains[0], other) for other in chains[1:]):
                raise Unproved("its result depends on the number of samples or steps")
            more = make(order, m, s, e + 1)
            if more.stages[0].n != reader.stages[0].n and is_readable(more):
                raise Unproved("no layer determines how many features the input has; select them before the module")
            return chains[0]
        except Unproved as error:
            if reader.progress > best[0]:
                best = reader.progress, f"{reader.place} cannot be converted: {error}"
            if reader.recurrent:  # which was read in this order of the axes, and would not be in another
                break
    raise ValueError(f"source: {best[1]}")


def is_readable(reader: Reader) -> bool:
    """Return whether a reader can read its graph."""
    try:
        reader.run()
    except Unproved:
        return False
    return True


def same_chains(first: list[Any], second: list[Any]) -> bool:
    """Return whether two lists of layers are the same, with the same parameters."""
    one, other = (files.pack(layers, {}, {}) for layers in (first, second))
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# --- layers of constants ---


def dense(W: Any, b: Any, name: str, refuse: Refusal, activate: Any = identity, se_hPars: Any = None) -> Dense:
    """Return a Dense layer with weights W (n, u) and bias b: (u,), (1, u), a number, or None for zeros.

    Weights that do not fit are refused.
    """
    W = array(W, name)
    b = np.zeros(1, W.dtype) if b is None else array(b, f"{name}, its bias")
    if W.ndim != 2 or 0 in W.shape or b.dtype != W.dtype or b.shape not in ((), (1,), W.shape[1:], (1, W.shape[1])):
        raise refuse(f"expected weights (n, u) and a bias (u,), got {W.dtype} {W.shape} and {b.dtype} {b.shape}")
    layer = Dense(W.shape[1], activate, se_hPars=se_hPars, dtype=W.dtype)
    layer.p |= {"W": np.array(W, order="C"), "b": np.array(np.broadcast_to(b, (1, W.shape[1])))}
    return layer


def embedding(E: Any, name: str, refuse: Refusal) -> Embedding:
    """Return an Embedding layer with the table E (v, u)."""
    E = array(E, name)
    if E.ndim != 2 or 0 in E.shape:
        raise refuse(f"expected a table (tokens, units), got {E.shape}")
    layer = Embedding(*E.shape, dtype=E.dtype)
    layer.p["E"] = np.array(E, order="C")
    return layer
