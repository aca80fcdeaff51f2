"""Samples with their targets, as a network trains and scores on them: checked, set aside, and long ones in pieces.

Those that are too many for memory stand in blocks.py.

m samples, s steps, e elements per step, k outputs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.core.checks import lengths_of, real, sequences
from cgru.core.dataframes import check_not_nested, is_indexed, refuse_indexed
from cgru.core.lengths import mask, padded
from cgru.core.row_blocks import BLOCK, Rows, slices
from cgru.layers.layer import Layer
from cgru.losses import Loss
from cgru.network import chain
from cgru.network.classes import numbered, strings_in
from cgru.network.data.mean_variance import Moments
from cgru.network.data_spec import DataSpec

__all__ = [
    "Data", "ask_about_axes", "by_class", "in_blocks", "inputs", "labelled", "names_in", "scaled_targets", "settled",
    "statistics", "taken", "target_moments", "targeted", "weights_of_classes",
]  # fmt: skip

LONG = 16  # elements of a single step that may be steps of a single element


@dataclass(frozen=True)
class Data:
    """Samples with their targets, checked.

    X: (m, s, e) raw, or tokens (m, s).
    y: for each sample (m, k) reals or (m,) integer classes; with `per_step` (m, n, k) or (m, n).
    lengths: (m,) the real steps of each sample; None: all.
    classes: (m,) where each sample has one, else None.
    weights: of each sample (m,), with `per_step` (m, n) and zero at padded steps; None: all are 1.
    steppers: the layers that make n steps of s, from the lowest on; without any n is s.
    """

    X: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None
    classes: np.ndarray | None = None
    per_step: bool = False
    weights: np.ndarray | None = None
    steppers: tuple[Layer, ...] = ()

    whole = True  # all of them are known
    in_memory = True

    def __getitem__(self, rows: np.ndarray | slice) -> Data:
        lengths, classes, weights = (a if a is None else a[rows] for a in (self.lengths, self.classes, self.weights))
        return Data(self.X[rows], self.y[rows], lengths, classes, self.per_step, weights, self.steppers)

    def __len__(self) -> int:
        return len(self.X)

    def split(self, chosen: np.ndarray) -> tuple[Data, Data]:
        """The samples that are not `chosen`, (m,) booleans, and those that are."""
        return self[~chosen], self[chosen]

    # --- as samples that are too many for memory have it, too ---

    @property
    def first(self) -> Data:
        """Some of them, the first among these, for the shapes and dtypes of all."""
        return self

    @property
    def extent(self) -> tuple[int, int]:
        """How many samples of how many steps."""
        return self.X.shape[:2]

    def blocks(self, size: int) -> Iterator[Data]:
        """All of them, up to so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def parts(self, size: int, order: np.ndarray | None = None) -> Iterator[tuple[Data, np.ndarray]]:
        """What batches of `size` are taken from: samples, and their order; where none is given, as they stand."""
        yield self, np.arange(len(self)) if order is None else order

    def then(self, change: Callable[[Data], Data]) -> Data:
        """What a function makes of them, which looks at each sample by itself."""
        return change(self)

    # --- what a loss is averaged over ---

    @property
    def count(self) -> float:
        """How many outputs have a target: the samples, or their real steps; with weights, their sum."""
        if self.weights is not None:
            return float(self.weights.sum())
        return int(chain.output_lengths(self.steppers, self.steps).sum()) if self.per_step else len(self)

    @property
    def steps(self) -> np.ndarray:
        """(m,) the real steps of each sample."""
        return np.full(len(self.X), self.X.shape[1]) if self.lengths is None else self.lengths

    @property
    def real(self) -> np.ndarray:
        """(m, s) booleans: which steps are no padding."""
        return mask(self.steps, self.X.shape[1])[:, :, 0]

    @property
    def output_mask(self) -> np.ndarray:
        """(m, n) booleans: which outputs at steps are those of real ones."""
        return chain.output_mask(self.steppers, *self.X.shape[:2], self.lengths)

    @property
    def weights_of_steps(self) -> np.ndarray | None:
        """What each real step of X weighs, in one row; None: all weigh the same.

        Where outputs stand at other steps than X, that is the mean of its sample's weights.
        """
        if self.weights is None:
            return None
        weights = self.weights if self.per_step else self.weights[:, None]
        if self.per_step and self.steppers:
            weights = weights.sum(axis=1, keepdims=True) / self.output_mask.sum(axis=1, keepdims=True)
        return np.broadcast_to(weights, self.X.shape[:2])[self.real]

    def rows(self, A: np.ndarray | None) -> np.ndarray | None:
        """Of A (m, k) or (m, n, k) what has a target, one row for each; None stays None."""
        return A if A is None or not self.per_step else A[self.output_mask]

    def unrowed(self, rows: np.ndarray | None) -> np.ndarray | None:
        """`rows` where `rows` took them from, and zeros elsewhere; None stays None."""
        if rows is None or not self.per_step:
            return rows
        there = self.output_mask
        A = np.zeros((*there.shape, rows.shape[1]), rows.dtype)
        A[there] = rows
        return A

    # --- pieces of long samples ---

    @property
    def used(self) -> np.ndarray:
        """(m,) the real steps of each sample, but for those at its end that no output is made of."""
        if not self.steppers:
            return self.steps
        outputs = chain.output_lengths(self.steppers, self.steps)
        return np.minimum(self.steps, outputs * chain.stride(self.steppers))

    def spans(self, k: int) -> Iterator[tuple[int, np.ndarray, Data]]:
        """The steps k at a time: the first of them, which samples have any of them, and these samples there."""
        used, stride = self.used, chain.stride(self.steppers)
        for start in range(0, used.max(initial=0), k):
            rows = np.flatnonzero(used > start)
            steps = np.minimum(used[rows] - start, k)
            stop = start + steps.max()
            at = (rows, slice(start // stride, -(-stop // stride))) if self.per_step else rows
            y, weights = self.y[at], None if self.weights is None else self.weights[at]
            yield (
                start,
                rows,
                replace(self, X=self.X[rows, start:stop], y=y, lengths=_lengths(steps), classes=None, weights=weights),
            )

    def halves(self, k: int) -> tuple[Data, Data]:
        """The samples but for up to k of their last real steps, and with these alone; targets are for whole samples.

        Those that are no longer have no steps at all in the first. The second begins where an output does.
        """
        stride = chain.stride(self.steppers)
        before = -(-np.maximum(self.used - k, 0) // stride) * stride
        steps = self.used - before
        at = before[:, None] + np.arange(steps.max())
        X = self.X[np.arange(len(self))[:, None], np.minimum(at, self.X.shape[1] - 1)]
        return replace(self, lengths=before, steppers=()), replace(self, X=X, lengths=_lengths(steps))


def _lengths(steps: np.ndarray) -> np.ndarray | None:
    return None if (steps == steps.max()).all() else steps


# --- from what a caller gives ---


def taken(spec: DataSpec, X: Any, lengths: Any, name: str = "") -> tuple[np.ndarray, np.ndarray | None]:
    """X and the lengths as `spec` asks for them; TypeError or ValueError for others. `name` stands before theirs.

    A list of arrays whose lengths differ is padded.
    """
    tokens = spec.layers[0].tokens_in
    check_not_nested(X, f"{name}X")
    if is_indexed(X) and not (tokens and X.shape[1:] > (1,)):  # a DataFrame (m, s) of tokens
        refuse_indexed(X, f"{name}X")
    if _ragged(X, name):
        if lengths is not None:
            raise ValueError(f"{name}lengths: expected None beside a list of arrays, which have their own, got some")
        X, lengths = padded(X, f"{name}X")
    if tokens:
        X = spec.layers[0].checked(X, lengths, f"{name}X")
    else:
        X, e = X if isinstance(X, Rows) else sequences(X, f"{name}X"), spec.elements
        if e not in (None, X.shape[2]):
            raise ValueError(f"{name}X: expected shape (m, s, {e}), as the network was made for, got {X.shape}")
        if spec.feature_names is not None and len(spec.feature_names) != X.shape[2]:
            due = f"(m, s, {len(spec.feature_names)}), as feature_names says"
            raise ValueError(f"{name}X: expected shape {due}, got {X.shape}")
        if spec.standardized not in (None, X.shape[2]):
            due = f"(m, s, {spec.standardized}), as mean and scale were measured for"
            raise ValueError(f"{name}X: expected shape {due}, got {X.shape}; or set both to None")
    lengths = lengths_of(lengths, *X.shape[:2], f"{name}lengths")
    if spec.steppers:
        chain.output_lengths(spec.layers, np.array(X.shape[1:2]) if lengths is None else lengths, f"{name}X")
    return X, lengths


def _ragged(X: Any, name: str) -> bool:
    """Whether X is a list of arrays of unlike lengths; ValueError for what no array is, such as batches."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and X.size > 0
    if not isinstance(X, list | tuple):
        return False
    dims = []
    for i, x in enumerate(X):
        try:
            dims.append(np.ndim(x))
        except ValueError:
            raise ValueError(
                f"{name}X: expected an array (s, e) for each sample, got a {type(x).__name__} of unlike parts for "
                f"sample {i}; batches, (X, y), go to fit and evaluate without y beside them"
            ) from None
    return all(dims) and len(set(map(len, X))) > 1


def names_in(spec: DataSpec, X: Any, y: Any, lengths: Any) -> tuple[str, ...] | None:
    """The names of the classes: those of `spec`, or where it has none and `y` is strings those, in sorted order.

    ValueError where they are not as many as there are classes.
    """
    strings = None if spec.class_names or spec.classes is not None or y is None else strings_in(y)
    if strings is None or not spec.predicts_one_class:
        return spec.class_names
    if spec.per_step:
        X, lengths = taken(spec, X, lengths)
        there = chain.output_mask(spec.layers, *X.shape[:2], lengths)
        if strings.shape == there.shape:  # else `labelled` refuses it
            strings = strings[there]
    found, k = np.unique(strings).tolist(), max(spec.k, 2)
    if len(found) != k:
        some = ", ".join(map(repr, found[:9])) + (", ..." if len(found) > 9 else "")
        cure = "class_names says which are missing" if len(found) < k else "N classes need a head of N units"
        raise ValueError(f"y: expected the names of {k} classes, got {len(found)}, {some}; {cure}")
    return tuple(found)


def labelled(spec: DataSpec, X: Any, y: Any, lengths: Any, sample_weight: Any = None, name: str = "") -> Data:
    """Samples with targets that fit the loss of `spec`, all that is real of them finite, and weights; likewise."""
    return settled(targeted(spec, inputs(spec, X, lengths, name), y, sample_weight, name), name)


def inputs(spec: DataSpec, X: Any, lengths: Any, name: str = "") -> tuple[np.ndarray, np.ndarray | None]:
    """X, all that is real of it finite, and the lengths; likewise, and ValueError for a network without a loss."""
    if spec.loss is None:
        raise ValueError(f"layers: expected a Dense at the end for a loss, got {spec.layers[-1]!r}")
    X, lengths = taken(spec, X, lengths, name)
    for rows in slices(X.shape) if X.dtype.kind == "f" else ():
        finite = np.isfinite(X[rows])
        if not finite.all():
            lost = ~finite.all(axis=2)
            if lengths is not None:
                lost &= mask(lengths[rows], X.shape[1])[:, :, 0]
            if lost.any():
                sample, step = np.argwhere(lost)[0]
                where = f"sample {rows.start + sample}, step {step}"
                raise ValueError(f"{name}X: expected finite numbers, got NaN or infinity in {where}")
    return X, lengths


def targeted(
    spec: DataSpec, given: tuple[np.ndarray, np.ndarray | None], y: Any, sample_weight: Any = None, name: str = ""
) -> Data:
    """The samples that `inputs` found, with their targets and weights, whose sums may yet overflow; likewise."""
    X, lengths = given
    steps = chain.output_mask(spec.layers, *X.shape[:2], lengths) if spec.per_step else None
    if spec.predicts_one_class:
        y = numbered(y, spec.class_names, spec.classes, steps, name)
    Y, classes = spec.judge.check_targets(y, len(X), spec.k, f"{name}y", steps)
    data = Data(X, Y, lengths, classes, per_step=spec.per_step, steppers=spec.steppers)
    return data if sample_weight is None else _times(data, _weights(sample_weight, data, name))


def ask_about_axes(data: Data) -> None:
    """Warn of X (m, s, e) that is more likely to be (m, channels, steps)."""
    X, m = data.first.X, data.extent[0]
    if X.ndim == 3 and data.first.lengths is None and X.shape[1] == 1 and X.shape[2] >= LONG:
        warnings.warn(
            f"X: {m} sequences of one step of {X.shape[2]} elements; (m, channels, steps), as sktime has it, "
            "becomes (m, s, e) by X.swapaxes(1, 2), or by channels_first=True in cgru.sklearn",
            stacklevel=3,
        )


# --- weights ---


def weights_of_classes(spec: DataSpec, data: Data, class_weight: Any) -> np.ndarray | None:
    """The weight of each class (k,), as `class_weight` has it or as `data` is "balanced"; None stays None.

    Classes go by number, or by their names.
    """
    if class_weight is None:
        return None
    weights = np.ones(max(spec.k, 2))
    if class_weight == "balanced":
        counts = np.zeros(len(weights), np.intp)
        for block in in_blocks(data):
            counts += np.bincount(block.rows(_classes(spec.judge, block)), minlength=len(weights))
        there = counts > 0
        weights[there] = counts.sum() / (there.sum() * counts[there])
        return weights
    known = (spec.class_names or ()) if spec.classes is None else spec.classes.tolist()
    numbers = {name: i for i, name in enumerate(known)}
    values = spec.classes is not None and spec.classes.dtype.kind not in "UO"  # which numbers then mean
    keys = [numbers.get(key, None if values else key) for key in class_weight]
    for given, key in zip(class_weight, keys, strict=True):
        if isinstance(key, bool) or not isinstance(key, int | np.integer) or not 0 <= key < len(weights):
            places = [] if values else [f"from 0 to {len(weights) - 1}"]
            due = ", or ".join(filter(None, [", ".join(map(str, numbers)), *places]))
            raise ValueError(f"class_weight: expected classes {due}, got {given!r}")
    if len(set(keys)) < len(keys):
        raise ValueError(f"class_weight: expected each class once, got {list(class_weight)}")
    weights[keys] = list(class_weight.values())
    return weights


def by_class(loss: Loss, data: Data, per_class: np.ndarray | None, name: str = "") -> Data:
    """`data` whose outputs weigh by their classes, too."""
    if per_class is None:
        return data
    return settled(data.then(lambda part: _times(part, per_class[_classes(loss, part, name)])), name)


def _classes(loss: Loss, data: Data, name: str = "") -> np.ndarray:
    """The class of each sample or step; ValueError where there is none."""
    classes = loss.classes_in(data.y)
    if classes is None:
        raise ValueError(f"class_weight: expected None where {name}y is not one class each, got it for {loss}")
    return classes


def _weights(value: Any, data: Data, name: str) -> np.ndarray:
    """`sample_weight` as (m,), or with outputs at steps (m, n) and zero at those that are padded."""
    name, m = f"{name}sample_weight", len(data)
    array, due = real(value, name), [(m,)] if not data.per_step else [(m,), data.output_mask.shape]
    if array.shape not in due:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, due))}, got {array.shape}")
    if data.per_step:
        array = np.where(data.output_mask, array.reshape(m, -1), 0)
    wrong = array[~(np.isfinite(array) & (array >= 0))]
    if wrong.size:
        raise ValueError(f"{name}: expected finite numbers of at least 0, got {wrong[0]}")
    return array.astype(np.float64)


def _times(data: Data, weights: np.ndarray) -> Data:
    """`data` that weigh these times what they do."""
    if data.weights is not None:
        weights = weights * data.weights
    elif data.per_step:
        weights = np.where(data.output_mask, weights, 0)
    return replace(data, weights=weights)


def settled(data: Data, name: str = "") -> Data:
    """`data` whose outputs weigh what they do but for a power of two, by which no sum overflows.

    Ratios alone count: those that are all the same are none.
    """
    if not data.whole or data.first.weights is None:
        return data
    weights = (block.rows(block.weights) for block in in_blocks(data))
    least, most = zip(*((each.min(), each.max()) for each in weights), strict=True)
    if max(most) == 0:
        raise ValueError(f"{name}sample_weight: expected a number above 0 for one output at least, got zeros")
    same, exponent = min(least) == max(most), -np.frexp(max(most))[1]
    return data.then(lambda part: replace(part, weights=None if same else np.ldexp(part.weights, exponent)))


# --- of all, block by block ---


def statistics(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and deviation of each element over the real steps; 1 for a deviation of 0."""
    found = Moments()
    for block in in_blocks(data):
        found.add(block.X[block.real], block.weights_of_steps)
    return found.result()


def target_moments(data: Data) -> Moments:
    """Return the weighted moments of each target, over the samples or their real steps."""
    found = Moments()
    for block in in_blocks(data):
        found.add(block.rows(block.y), block.rows(block.weights))
    return found


def scaled_targets(mean: np.ndarray, scale: np.ndarray, data: Data) -> Data:
    """Return `data` with targets (y - mean) / scale; at padded steps too, where nobody looks."""
    return replace(data, y=(data.y - mean) / scale)


def in_blocks(data: Data) -> Iterator[Data]:
    """Iterate over `data` in blocks that are small beside memory."""
    some = data.first
    return data.blocks(max(1, BLOCK // max(1, *(math.prod(array.shape[1:]) for array in (some.X, some.y)))))
