"""One reader of other libraries' graphs as a chain of layers: PyTorch's trace and ONNX translate to its operations.

Goal: a graph gives the numbers of the original, or is refused. The axes of its arrays may be turned, merged and split
in any way between the layers.

Design: the graph is run on labels. The array that enters a layer here, such as (m, s, n), is a *stage*, and the labels
of its numbers are 0, 1, 2, ... in this order. Nodes that only move numbers run on the labels of their input, by the
other library's own code. A layer then looks where the numbers went: which axis has the features, in which order, and
which axis has the steps. So shapes that are computed from those of arrays, slices, concatenations and reshapes need no
rules of their own. What depends on sizes shows in a second run with other numbers of samples and steps: all runs must
make the same layers.

Rejected: names and symbolic sizes for each axis. That needs a rule for each node that moves numbers, and twice as much
code.

Letters: m samples, s steps, n features of a stage, u units, D directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.activations import identity, softmax, tanh
from cgru.interop.gates import Refusal, array
from cgru.interop.joins import append
from cgru.layers import Activation, Clip, Dense, Embedding, Frames, Layer, LayerNorm, Pool, Scale
from cgru.network import files

__all__ = ["BRANCHES", "ENDS", "OtherFeatures", "Reader", "TooShort", "Unproved", "Value", "dense", "embedding",
           "read"]  # fmt: skip

BRANCHES = "it joins two arrays, and a network is one chain of layers, without branches and residuals"
ENDS = "last states"  # of all recurrent layers; their labels go on from layer to layer
TRIALS = ((3, 97), (2, 1032), (1, 89))  # samples and steps of the runs; no k > 1 divides each number of steps less 1
MOST_FEATURES = 1 << 16  # of a run
LONGEST = 1 << 16  # steps of a run, where frames are longer than those of TRIALS


class Unproved(Exception):  # noqa: N818 - it is always caught, and not an error to the caller
    """The reason why a node may change the numbers that it takes."""


class TooShort(Unproved):
    """A run has fewer steps than a frame."""


class OtherFeatures(Unproved):
    """The input has another number of features than this run, `args[1]`."""


@dataclass(frozen=True)
class Value:
    """An array whose numbers are known: `labels` are their places in the array `of`.

    `of` is the number of a stage, ENDS, an input's name, a parameter, or ("weights", stage) for a softmax over the
    steps, or ("weighted", stage, stage of the weights) for the products of a stage with these.
    """

    of: Any
    labels: np.ndarray
    dtype: str = "float32"
    place: str = ""  # the node that made it, for errors


@dataclass(frozen=True)
class Stage:
    """The output of a layer: its features, its steps (None for one vector a sample), and the layers below it."""

    name: str
    n: int
    s: int | None
    depth: int


class Reader:
    """A chain of `layers` that grows node by node, on m samples and s steps of e features."""

    strict = True  # whether layers other than a GRU may not see padding

    def __init__(self, m: int, s: int, e: int) -> None:
        """Begin with the input as the only stage."""
        self.m = m
        self.layers: list[Any] = []
        self.stages = [Stage("the input", e, s, 0)]
        self.recurrent: list[tuple[Any, np.ndarray]] = []  # the layers, and the labels (D, m, u) of their last states
        self.states = -1  # the stage that the newest of them makes
        self.ragged = False  # whether the newest stage has padding
        self.lengths: np.ndarray | None = None  # the real steps of each sample, if they are an input
        self.inputs: set[str] = set()  # the names of those that may be X
        self.input = ""  # the one that is X
        self.follows_input = True  # whether the features are still those of the input, one by one
        self.single = False  # whether the input is one sequence, without an axis of samples
        self.place = ""  # the node that is read
        self.progress = 0  # nodes that were read

    @property
    def top(self) -> Stage:
        """Return the newest stage."""
        return self.stages[-1]

    @property
    def newest(self) -> int | str:
        """Return what the newest stage is as a value's `of`."""
        return len(self.stages) - 1 or self.input

    def push(self, layer: Layer | None, n: int, s: int | None) -> None:
        """Add a layer (None: the top layer was changed), whose output becomes the newest stage."""
        if layer is not None:
            append(self.layers, layer)
        self.stages.append(Stage(self.place, n, s, len(self.layers)))

    def made(self, labels: np.ndarray, value: Value) -> Value:
        """Return the newest stage as a value with these labels, in the dtype of `value`."""
        return Value(len(self.stages) - 1, labels, value.dtype)

    def input_labels(self, letters: str) -> np.ndarray:
        """Return the labels of an input whose axes are these letters of m, s and e; the others have size 1."""
        sizes = (self.m, self.top.s, self.top.n)
        every = np.arange(sizes[0] * sizes[1] * sizes[2]).reshape(sizes)
        places = ["mse".index(letter) for letter in letters]
        others = [i for i in range(3) if i not in places]
        return every.transpose(places + others).reshape([sizes[i] for i in places])

    # --- what a value is ---

    def check_padding(self) -> None:
        """Refuse to read padding."""
        if self.ragged and self.top.s is not None:
            raise Unproved("it would read padding, which has no part in the network's result: take the last state")

    def settled(self, value: Value) -> Value:
        """Return a value as the newest stage, of which it is all numbers, or the last step, or the last states.

        Of the latter two the layer is added. Unproved for anything else.
        """
        top, L = self.top, value.labels
        if value.of == ENDS:
            return self.last_states(value)
        if not self.input and value.of in self.inputs:
            self.input = value.of
        if value.of != self.newest:
            raise Unproved(f"expected the output of the layer below it, {top.name}: a network is one chain of layers")
        if value.dtype not in ("float32", "float64"):
            raise Unproved(f"expected float32 or float64, got {value.dtype}")
        if L.size and L.min() >= 0 and np.bincount(L.ravel()).max() == 1:
            if L.size == self.m * top.n * (top.s or 1):
                return value
            if top.s is not None and self.layers:
                return self.made(self.some_steps(L, top), value)
        raise Unproved(f"it takes a part of the output of {top.name}, or takes it twice")

    def some_steps(self, L: np.ndarray, top: Stage) -> np.ndarray:
        """Read the last step, the last states among all states, or a convolution without its last steps."""
        newest, recurrent = self.layers[-1], self.states == len(self.stages) - 1
        sample, step, feature = self.split(L, top)
        kept = L.size // (self.m * top.n)
        if kept == 1 and self.lengths is not None and (step == self.lengths[sample] - 1).all():
            onward = all(len(layer.cells) == 1 and not layer.reverse for layer, _ in self.recurrent)
            if not (onward or self.ragged):
                raise Unproved("expected no GRU below it that goes back and reads padding")
            self.check_steps()
            last, ends = True, onward and recurrent
        else:
            self.check_padding()
            back = [cell.reverse for cell in newest.cells] if recurrent else [False]
            due = np.repeat(np.where(back, 0, top.s - 1), top.n // len(back))
            ends = recurrent and (step == due[feature]).all()
            last = ends or (step == top.s - 1).all()
        if kept == 1 and last:
            if ends:
                newest.sequences = False
            self.push(None if ends else Pool("last"), top.n, None)
            return sample * top.n + feature
        frames = self.layers[-2] if len(self.layers) > 1 else None
        if getattr(frames, "hop", None) == 1 and isinstance(frames.pad, tuple) and newest.is_head:
            before, after = frames.pad
            if top.s - kept <= after and step.max() < kept and kept * top.n * self.m == L.size:
                frames.pad = (before, after - (top.s - kept))
                self.push(None, top.n, kept)
                return (sample * kept + step) * top.n + feature
        raise Unproved(f"expected all steps of {top.name}, or the last one")

    def last_states(self, value: Value) -> Value:
        """Have the top layer return its last states, which a value is; return it as these."""
        layer, own = self.recurrent[-1]
        D, m, u = own.shape
        if self.states != len(self.stages) - 1:
            raise Unproved(f"expected the output of the layer below it, {self.top.name}: a network is one chain")
        if sorted(value.labels.ravel()) != sorted(own.ravel()):
            raise Unproved("expected the last states of the layer below it, in all its directions")
        layer.sequences = False
        self.push(None, D * u, None)
        direction, rest = np.divmod(value.labels - own.flat[0], m * u)
        return self.made((rest // u * D + direction) * u + rest % u, value)

    def split(self, L: np.ndarray, stage: Stage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sample, step and feature of each label of a stage."""
        rest, feature = np.divmod(L, stage.n)
        return (*np.divmod(rest, stage.s or 1), feature)

    def rows(self, value: Value, axis: int = -1, due: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (the row of each step, the places of its features) of the newest stage, whose features are `axis`.

        `due` is how many features are expected.
        """
        L, n = self.settled(value).labels, self.top.n
        if due not in (None, n):
            self.guess_features(due)
            raise Unproved(f"{self.top.name} gives {n} features, it takes {due}")
        if not -L.ndim <= axis < L.ndim or L.shape[axis] != n:
            where = "last axis" if axis == -1 else f"axis {axis}"
            raise Unproved(f"expected the {n} features of {self.top.name} in the {where}, got {L.shape}")
        A = np.moveaxis(L, axis, -1)
        rows, places = A[..., 0] // n, A.reshape(-1, n)[0] % n
        if not np.array_equal(A, rows[..., None] * n + places):
            raise Unproved("its features are not those of one step")
        return rows, places

    def guess_features(self, due: int) -> None:
        """Ask for a run with other features of the input if the newest stage has these, and `due` are expected."""
        each = self.top.n // self.stages[0].n
        if self.follows_input and 0 < due < MOST_FEATURES and due % each == 0 and due != self.top.n:
            raise OtherFeatures(f"{self.top.name} gives {self.top.n} features, it takes {due}", int(due // each))

    def along_steps(self, L: np.ndarray, axis: int, stage: Stage) -> np.ndarray:
        """Return the labels (sample, feature) of what is left if the steps, `axis` of a stage, are reduced."""
        if stage.s is not None and -L.ndim <= axis < L.ndim and L.shape[axis] == stage.s:
            self.check_padding()
            sample, step, feature = self.split(np.moveaxis(L, axis, -1), stage)
            rest = sample * stage.n + feature
            if (np.sort(step) == np.arange(stage.s)).all() and (rest == rest[..., :1]).all():
                return rest[..., 0]
        raise Unproved("it is not over the steps, and them alone, of the layer below it")

    # --- layers ---

    def elementwise(self, value: Value, layer: Layer, trainable: bool = True) -> Value:
        """Add a layer that treats each number by itself, or each step."""
        value, layer.trainable = self.settled(value), trainable
        if self.strict:
            self.check_padding()
        self.push(layer, self.top.n, self.top.s)
        return self.made(value.labels, value)

    def clip(self, value: Value, low: float | None, high: float | None) -> Value:
        """Add a Clip layer; Unproved for bounds that it does not have."""
        try:
            layer = Clip(None if low == -np.inf else low, None if high == np.inf else high)
        except (TypeError, ValueError) as error:
            raise Unproved(f"its bounds are {low} and {high}: {error}") from None
        return self.elementwise(value, layer)

    def linear(self, value: Value, W: np.ndarray, b: Any, axis: int = -1, trainable: bool = True) -> Value:
        """Add a Dense layer with weights W (n, u) and bias b on the features, which are `axis`."""
        if W.ndim != 2:
            raise Unproved(f"it multiplies by {W.shape}")
        rows, places = self.rows(value := self.settled(value), axis, len(W))
        if self.strict:
            self.check_padding()
        layer = dense(W[np.argsort(places)], b, self.place, Unproved)
        layer.trainable, u = trainable, W.shape[1]
        self.follows_input = False
        self.push(layer, u, self.top.s)
        return self.made(np.moveaxis(rows[..., None] * u + np.arange(u), -1, axis), value)

    def feature_row(self, L: np.ndarray, constant: np.ndarray) -> np.ndarray:
        """Return a constant that is broadcast to the newest stage, of labels L, as one number for each feature (n,)."""
        try:
            full = np.broadcast_to(constant, L.shape)
        except ValueError:
            self.guess_features(max(constant.shape, default=1))
            raise Unproved(f"it joins {L.shape} with a constant of another shape, {constant.shape}") from None
        row = np.empty(self.top.n, full.dtype)
        row[(L % self.top.n).ravel()] = full.ravel()
        if not np.array_equal(row[L % self.top.n], full):
            raise Unproved(f"expected one number, or one for each of {self.top.n} features, got {constant.shape}")
        return row

    def affine(
        self, value: Value, sign: str, constant: np.ndarray, first: bool, dtype: Any = None, trainable: bool = True
    ) -> Value:
        """Add a Scale for x + c, x - c, x * c or x / c (`sign`), or with c `first` for c + x, c - x or c * x."""
        value = self.settled(value)
        c = self.feature_row(value.labels, constant)
        with np.errstate(over="ignore", divide="ignore"):
            if sign == "div" and (first or not np.isfinite(1 / c).all() or not np.isfinite(c).all()):
                raise Unproved("it divides by zero, or by what is no constant")
            times, plus = {"add": (1, c), "sub": (-1, c) if first else (1, -c), "mul": (c, 0)}.get(sign) or (1 / c, 0)
        dtype = c.dtype if dtype is None else dtype
        rows = (np.array(np.broadcast_to(np.asarray(number, dtype), c.shape)) for number in (times, plus))
        return self.elementwise(value, Scale(*rows, dtype=dtype), trainable)

    def normalization(
        self, value: Value, scale: np.ndarray, shift: np.ndarray | None, eps: float, trainable: bool = True
    ) -> Value:
        """Add a LayerNorm over the last axis, the features."""
        _, places = self.rows(value := self.settled(value), -1, scale.size)
        if scale.shape != places.shape or (shift is not None and shift.shape != places.shape):
            raise Unproved(f"expected {len(places)} numbers for its scale and shift, got {scale.shape}")
        order = np.argsort(places)
        layer = LayerNorm.of(scale[order], None if shift is None else shift[order], eps)
        return self.elementwise(value, layer, trainable)

    def batch_norm(
        self, value: Value, mean: Any, variance: Any, eps: float, scale: Any, shift: Any, trainable: bool = True
    ) -> Value:
        """Add a Scale for a batch norm of the features, axis 1, in inference."""
        _, places = self.rows(value := self.settled(value), 1, len(mean))
        shift, order = np.broadcast_to(shift, mean.shape), np.argsort(places)
        factor = scale / np.sqrt(variance.astype(np.float64) + eps)
        layer = Scale(factor[order], (shift - mean * factor)[order], dtype=mean.dtype)
        return self.elementwise(value, layer, trainable)

    def softmax(self, value: Value, axis: int) -> Value:
        """Add a softmax over the features, or return attention weights, a softmax over the steps."""
        value = self.settled(value)
        if self.top.n == 1 and self.top.s is not None and value.labels.shape[axis] != 1:
            self.along_steps(value.labels, axis, self.top)
            return Value(("weights", len(self.stages) - 1), value.labels, value.dtype)
        self.rows(value, axis)
        return self.elementwise(value, Activation(softmax))

    def pool(self, value: Value, axis: int, keep: bool, how: str) -> Value:
        """Add the mean or maximum over all steps, or the sum of what attention weighed."""
        if how == "sum":
            return self.attention(value, axis, keep)
        labels = self.along_steps(self.settled(value).labels, axis, self.top)
        self.push(Pool(how), self.top.n, None)
        return self.made(np.expand_dims(labels, axis) if keep else labels, value)

    def frames(self, value: Value, length: Any, hop: Any, pad: tuple[int, int], axis: int, dilation: int = 1) -> Value:
        """Add Frames over the steps, `axis` of (m, s, n) in any order; return (..., frames, ..., length)."""
        L, n, s = self.settled(value).labels, self.top.n, self.top.s
        self.check_padding()
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
        sample, _, feature = self.split(A[..., 0], self.top)
        step = np.arange(count)[:, None] * n * length + np.arange(length) * n
        labels = (sample * count * n * length + feature)[..., None, None] + step
        self.push(layer, n * length, count)
        return self.made(np.moveaxis(labels, -2, axis), value)

    def convolution(self, value: Value, W: np.ndarray, b: Any, hops: Any, pads: Any, trainable: bool = True) -> Value:
        """Add Frames and a Dense with weights (u, n, length) on (m, n, s), in which -1 are zeros around the steps.

        `hops` are the stride and the dilation.
        """
        (u, n, length), (hop, dilation) = W.shape, map(int, hops)
        L = value.labels
        if L.ndim != 3 or L.shape[1] != n:
            self.guess_features(n)
            raise Unproved(f"expected an array (m, n, s) with {n} features in axis 1, got {L.shape}")
        real = np.flatnonzero((L >= 0).all((0, 1)))
        if not len(real):
            raise Unproved("it has zeros alone")
        before, after = (int(count) for count in pads)
        pad = before + int(real[0]), after + L.shape[2] - 1 - int(real[-1])
        framed = self.frames(replace(value, labels=L[:, :, real[0] : real[-1] + 1]), length, hop, pad, 2, dilation)
        flat = np.moveaxis(framed.labels, 1, 2)  # (m, frames, n, length)
        flat = replace(framed, labels=flat.reshape(*flat.shape[:2], -1))
        made = self.linear(flat, W.reshape(u, -1).T, b, trainable=trainable)
        return replace(made, labels=np.moveaxis(made.labels, 2, 1))

    def embedding(self, value: Value, table: np.ndarray, name: str) -> Value:
        """Add an Embedding of tokens, which are the input."""
        tokens = value.of in self.inputs and not self.input and value.dtype in ("int32", "int64")
        if not tokens or sorted(value.labels.ravel()) != [*range(self.m * self.top.s)]:
            raise Unproved("it looks up no whole input, integers (m, s)")
        self.input, layer, self.follows_input = value.of, embedding(table, name, Unproved), False
        u = layer.d["u"]
        self.push(layer, u, self.top.s)
        return Value(len(self.stages) - 1, value.labels[..., None] * u + np.arange(u), layer.dtype.name)

    def begin_padding(self) -> None:
        """Note that samples have lengths from here on; refuse it above layers that would read padding."""
        if self.recurrent and not self.ragged:
            raise Unproved("expected lengths of all GRUs")
        self.check_steps()
        self.ragged = True

    def check_steps(self) -> None:
        """Refuse layers that would read padding."""
        if any(layer.steps.count for layer in self.layers):
            raise Unproved("expected no convolution below it, which would read padding")

    def recurrent_input(self, value: Value, rows: bool, features: int) -> np.ndarray:
        """Return the places of the features of what a GRU takes, (m, s, n) for `rows`, else (s, m, n)."""
        found, places = self.rows(value, -1, features)
        due = np.arange(self.m * (self.top.s or 0)).reshape(self.m, -1)
        if self.top.s is None or not np.array_equal(found, due if rows else due.T):
            raise Unproved("its input does not have the axes of the output of the layer below it")
        return places

    def add_recurrent(self, layer: Any, places: np.ndarray) -> None:
        """Add a recurrent layer with all states, whose input features are in these places."""
        for cell in layer.cells:
            cell.p |= {name: cell.p[name][np.argsort(places)] for name in cell.p if name.startswith("U")}
        D, u, self.follows_input = len(layer.cells), layer.cells[0].d["u"], False
        start = sum(ends.size for _, ends in self.recurrent)
        self.push(layer, D * u, self.top.s)
        self.states = len(self.stages) - 1
        self.recurrent.append((layer, start + np.arange(D * self.m * u).reshape(D, self.m, u)))

    # --- attention ---

    def joined(self, first: Value, second: Value, sign: str = "mul") -> Value:
        """Return the products of attention weights and a stage, number by number, not yet summed."""
        known = sorted((first, second), key=lambda each: not is_weights(each))
        weights, value = known
        if sign != "mul" or not is_weights(weights) or is_weights(value) or not isinstance(value.of, int):
            raise Unproved(BRANCHES)
        if weights.of[1] != len(self.stages) - 1:
            raise Unproved("its weights are not those of the newest layer")
        try:
            a, y = np.broadcast_arrays(weights.labels, value.labels)
        except ValueError:
            raise Unproved("its weights have other axes than what they weigh") from None
        stage = self.stages[value.of]
        if y.shape != value.labels.shape or stage.s is None or not np.array_equal(a, y // stage.n):
            raise Unproved("expected weights of each step, (m, s, 1), and what they weigh, (m, s, n)")
        return Value(("weighted", value.of, weights.of[1]), y, value.dtype)

    def attention(self, value: Value, axis: int, keep: bool) -> Value:
        """Add the attention pool that a sum of weighted states over the steps is.

        Its scores are Linear(u, 1), or Linear(u, n), tanh and Linear(n, 1), perhaps with a constant factor. The bias of
        the last of two layers is left out: it adds the same to all scores, which changes no weight.
        """
        if not isinstance(value.of, tuple) or value.of[0] != "weighted" or value.of[2] != len(self.stages) - 1:
            raise Unproved("expected the sum over the steps of states times weights of a softmax over the steps")
        _, number, _ = value.of
        stage = self.stages[number]
        labels = self.along_steps(value.labels, axis, stage)
        if sorted(value.labels.ravel()) != [*range(self.m * stage.s * stage.n)]:
            raise Unproved("it weighs something else than all the output of a layer, (m, s, n)")
        scorers = self.layers[stage.depth :]
        if len(scorers) > 1 and scorers[-1].stage["kind"] == "elementwise" and "scale" in scorers[-1].p:
            *scorers, factor = scorers
            if factor.trainable or not scorers[-1].is_head:
                raise Unproved("expected no factor of the scores that is trained, or of what is no Linear")
            scorers[-1].p["W"] = scorers[-1].p["W"] * factor.p["scale"]
        functions = [layer.activate if layer.is_head else None for layer in scorers]
        merged = scorers and self.stages[number + 1].depth == stage.depth  # into the layer that is weighed
        if merged or functions not in ([identity], [tanh, identity]) or scorers[-1].d["u"] != 1:
            raise Unproved("expected weights of softmax(Linear(u, 1)) or of softmax(Linear(n, 1)(tanh(Linear(u, n))))")
        if stage.depth == 0 or self.layers[stage.depth - 1].steps.count:
            raise Unproved("expected attention over the output of a layer that keeps the steps")
        if len({layer.trainable for layer in scorers}) > 1:
            raise Unproved("expected requires_grad of all parameters of the scores or of none, got both")
        head, *last = scorers
        pool = Pool("attention", head.d["u"] if last else None, dtype=head.dtype)
        pool.p |= head.p | ({"V": last[0].p["W"]} if last else {})
        pool.trainable = head.trainable
        del self.layers[stage.depth :]
        self.push(pool, stage.n, None)
        return self.made(np.expand_dims(labels, axis) if keep else labels, value)

    def einsum(self, equation: str, first: Value, second: Value) -> Value:
        """Read the sum of states weighted by attention as a product of matrices."""
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
        found = self.joined(*spread)
        gone = tuple(i for i, letter in enumerate(letters) if letter not in made)
        steps = [i for i in gone if found.labels.shape[i] != 1]
        if len(steps) != 1 or len({*made}) != len(made):
            raise Unproved("expected a sum over the steps alone")
        summed = self.attention(found, steps[0], True)
        left = [letter for letter in letters if letter in made]
        return replace(summed, labels=summed.labels.squeeze(gone).transpose([left.index(letter) for letter in made]))

    # --- the whole ---

    def finish(self, value: Value, directions: bool) -> None:
        """Check the output of the graph: the newest stage (m, s, n) or (m, n), or that in one of the known other forms.

        These are: steps before samples; both as one axis; one feature without its axis; with `directions` those of a
        GRU as an axis of their own.
        """
        L, n, m, s = self.settled(value).labels, self.top.n, self.m, self.top.s
        C = np.arange(m * (s or 1) * n)
        C = C.reshape(m, n) if s is None else C.reshape(m, s, n)
        forms = [C] if s is None else [C, C.swapaxes(0, 1)]
        flat = [form.reshape(-1, n) for form in forms]
        if self.layers[-1].cells:
            D = len(self.layers[-1].cells)
            if s is None and (directions or D == 1):
                forms += [A := C.reshape(m, D, -1).swapaxes(0, 1)] + [A.swapaxes(0, 1)] * directions
            elif directions:
                forms += [A := C.reshape(m, s, D, -1), A.transpose(1, 2, 0, 3)]
        forms += flat
        forms += [form[..., 0] for form in forms if n == 1]
        forms += [C[0]] * self.single
        if not any(np.array_equal(L, form) for form in forms):
            due = "(m, n)" if s is None else "(m, s, n)"
            raise Unproved(f"expected an output {due} of {self.top.name}, got other axes, or one of size 1 more")

    def are_last_states(self, value: Any) -> bool:
        """Return whether a value is the last states of consecutive layers, (layers x directions, m, u) or turned."""
        if not isinstance(value, Value) or value.of != ENDS:
            return False
        L, starts = value.labels, [part.flat[0] for _, ends in self.recurrent for part in ends]
        for u in {ends.shape[2] for _, ends in self.recurrent}:
            if L.size and L.size % (self.m * u) == 0 and L.min() in starts:
                A = (L.min() + np.arange(L.size)).reshape(-1, self.m, u)
                forms = [A, A.swapaxes(0, 1), A.swapaxes(0, 1).reshape(self.m, -1)]
                if any(np.array_equal(L, form) for form in forms):
                    return True
        return False


def is_weights(value: Value) -> bool:
    """Return whether a value is attention weights."""
    return isinstance(value.of, tuple) and value.of[0] == "weights"


def read(
    make: Callable[..., Reader], orders: list[Any], sizes: Callable[[Any, int, int], tuple[int, int]]
) -> list[Any]:
    """Return the layers that `make(order, m, s).run()` reads, in the first of these orders in which all runs agree.

    `sizes(order, m, s)` are the samples and steps of a run. ValueError has the reason of the run that came furthest.
    """
    best: tuple[int, str] = (-1, "")
    for order in orders:
        chains: list[Any] = []
        reader, e, tried = None, 1, {1}
        try:
            for m, s in dict.fromkeys(sizes(order, *trial) for trial in TRIALS):
                while True:
                    reader = make(order, m, s, e)
                    try:
                        reader.run()
                        break
                    except TooShort:
                        if s > LONGEST or sizes(order, m, 4 * s) == (m, s):
                            raise
                        s *= 4
                    except OtherFeatures as error:
                        if error.args[1] in tried:
                            raise Unproved(error.args[0]) from None
                        e = error.args[1]
                        tried.add(e)
                chains.append(reader.layers)
            if all(same_chains(chains[0], other) for other in chains[1:]):
                return chains[0]
            raise Unproved("what it does depends on the number of samples or steps")
        except Unproved as error:
            if reader.progress > best[0]:
                best = reader.progress, f"{reader.place} cannot be had here: {error}"
            if reader.recurrent:  # which was read in this order of the axes, and would not be in another
                break
    raise ValueError(f"source: {best[1]}")


def same_chains(first: list[Any], second: list[Any]) -> bool:
    """Return whether two chains have the same layers with the same parameters."""
    one, other = (files.pack(layers, {}, {}) for layers in (first, second))
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# --- layers of constants ---


def dense(W: Any, b: Any, name: str, refuse: Refusal, activate: Any = identity, se_hPars: Any = None) -> Dense:
    """Return a Dense layer with weights W (n, u) and bias b (u,), (1, u), a number or None for zeros.

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
