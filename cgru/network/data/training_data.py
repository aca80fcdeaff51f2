"""Checked training data in memory: samples with targets, lengths and weights.

Data larger than memory stand in streaming.py. m samples, s steps, n steps of outputs, e features per step, k outputs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cgru.core.checks import lengths_of, real, sequences, within
from cgru.core.decay import decay_of
from cgru.core.lengths import mask
from cgru.core.row_blocks import BLOCK, Rows, select_rows, slices
from cgru.layers.layer import Layer
from cgru.losses import Loss
from cgru.network import chain
from cgru.network.classes import as_strings, encode_classes
from cgru.network.data.dataframes import is_indexed
from cgru.network.data.mean_variance import RunningMeanVariance
from cgru.network.data.samples import STEP_ARRAYS, Sequences, opened, sequences_of, step_arrays
from cgru.network.data_spec import DataSpec

__all__ = [
    "Data", "check_data", "check_inputs", "check_targets", "class_weights", "feature_statistics", "find_class_names",
    "finite_inputs", "in_blocks", "mean_time_step", "scale_targets", "scale_weights", "target_mean_variance",
    "warn_of_axes", "weigh_by_class",
]  # fmt: skip

Inputs = tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]  # X, lengths, what layers read of each step
LONG = 16  # as many features in a single step make it likely that the axes are swapped


@dataclass(frozen=True)
class Data:
    """Checked samples with their targets, in memory.

    X: (m, s, e), not standardised, or tokens (m, s).
    y: targets: (m, k) reals or (m,) integer classes; with `per_step` (m, n, k) or (m, n).
    lengths: (m,) the real steps of each sample; None: all.
    classes: (m,) the class of each sample; None where it has none, or one for each step.
    per_step: whether there is a target for each step.
    weights: (m,), with `per_step` (m, n) and zero at padded steps; None: all are 1.
    steppers: the layers that make n steps of s, the lowest first; without any n is s.
    beside: arrays (m, s) of numbers for steps by the names by which layers read them: "decay", "times".
    """

    X: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None
    classes: np.ndarray | None = None
    per_step: bool = False
    weights: np.ndarray | None = None
    steppers: tuple[Layer, ...] = ()
    beside: dict[str, np.ndarray] = field(default_factory=dict)

    whole = True  # all samples are known, and can be drawn in any order
    in_memory = True

    def __getitem__(self, rows: np.ndarray | slice) -> Data:
        lengths, classes, weights = (a if a is None else a[rows] for a in (self.lengths, self.classes, self.weights))
        beside = self._beside_at(rows)
        return Data(self.X[rows], self.y[rows], lengths, classes, self.per_step, weights, self.steppers, beside)

    def __len__(self) -> int:
        return len(self.X)

    def _beside_at(self, at: Any) -> dict[str, np.ndarray]:
        """Return the additional arrays (such as times) at some samples, or at some samples and steps."""
        return {name: array[at] for name, array in self.beside.items()} if self.beside else self.beside

    def split(self, chosen: np.ndarray) -> tuple[Data, Data]:
        """Return the samples that are not `chosen`, a mask (m,), and those that are.

        Samples in files are not read.
        """
        arrays = {name: getattr(self, name) for name in ("X", "y", "lengths", "classes", "weights")}
        sides = np.flatnonzero(~chosen), np.flatnonzero(chosen)

        def side(rows: np.ndarray) -> Data:
            """Return the samples with these indices."""
            own, beside = ({name: select_rows(a, rows) for name, a in each.items()} for each in (arrays, self.beside))
            return replace(self, **own, beside=beside)

        return tuple(map(side, sides))

    # --- the interface that data larger than memory share ---

    @property
    def first(self) -> Data:
        """Return samples that show the shapes and dtypes of all: here all samples."""
        return self

    @property
    def extent(self) -> tuple[int, int]:
        """Return the number of samples and the number of steps."""
        return self.X.shape[:2]

    def blocks(self, size: int) -> Iterator[Data]:
        """Iterate over all samples in blocks of at most `size` samples."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def parts(self, size: int, order: np.ndarray | None = None) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield (samples to take batches of `size` from, their order): here all samples at once.

        Without `order` samples come as they stand.
        """
        yield self, np.arange(len(self)) if order is None else order

    def map(self, change: Callable[[Data], Data]) -> Data:
        """Return `change(self)`; the function must treat samples independently."""
        return change(self)

    # --- the rows that a loss is averaged over ---

    @property
    def count(self) -> float:
        """Return the number of outputs that have a target; with weights, the sum of their weights."""
        if self.weights is not None:
            return float(self.weights.sum())
        return int(chain.output_lengths(self.steppers, self.steps).sum()) if self.per_step else len(self)

    @property
    def steps(self) -> np.ndarray:
        """Return the number of real steps of each sample, (m,)."""
        return np.full(len(self.X), self.X.shape[1]) if self.lengths is None else self.lengths

    @property
    def real(self) -> np.ndarray:
        """Return the mask (m, s) of real steps."""
        return mask(self.steps, self.X.shape[1])[:, :, 0]

    @property
    def output_mask(self) -> np.ndarray:
        """Return the mask (m, n) of real output steps."""
        return chain.output_mask(self.steppers, *self.X.shape[:2], self.lengths)

    @property
    def weights_of_steps(self) -> np.ndarray | None:
        """Return the weight of each real step of X as a flat array; None if all are equal.

        Where outputs have other steps than X, it is the mean of the sample's weights.
        """
        if self.weights is None:
            return None
        weights = self.weights if self.per_step else self.weights[:, None]
        if self.per_step and self.steppers:
            weights = weights.sum(axis=1, keepdims=True) / self.output_mask.sum(axis=1, keepdims=True)
        return np.broadcast_to(weights, self.X.shape[:2])[self.real]

    def rows(self, A: np.ndarray | None) -> np.ndarray | None:
        """Return A (m, k) or (m, n, k) as rows (rows, k) without padded steps; None for None."""
        return A if A is None or not self.per_step else A[self.output_mask]

    def scatter(self, rows: np.ndarray | None) -> np.ndarray | None:
        """Return rows (rows, k) in the shape that `rows` took them from, with zeros at padded steps; None for None."""
        if rows is None or not self.per_step:
            return rows
        there = self.output_mask
        A = np.zeros((*there.shape, rows.shape[1]), rows.dtype)
        A[there] = rows
        return A

    # --- long samples, some steps at a time ---

    @property
    def used(self) -> np.ndarray:
        """Return how many steps of each sample contribute to outputs, (m,): all but an incomplete rest at the end."""
        if not self.steppers:
            return self.steps
        outputs = chain.output_lengths(self.steppers, self.steps)
        return np.minimum(self.steps, outputs * chain.stride(self.steppers))

    def step_slices(self, k: int) -> Iterator[tuple[int, np.ndarray, Data]]:
        """Cut the samples into slices of k steps; yield (first step, sample indices, `Data`) of each slice.

        A slice has the samples that reach its first step.
        """
        used, stride = self.used, chain.stride(self.steppers)
        for start in range(0, used.max(initial=0), k):
            rows = np.flatnonzero(used > start)
            steps = np.minimum(used[rows] - start, k)
            stop = start + steps.max()
            at = (rows, slice(start // stride, -(-stop // stride))) if self.per_step else rows
            y, weights = self.y[at], None if self.weights is None else self.weights[at]
            own = {"X": self.X[rows, start:stop], "beside": self._beside_at((rows, slice(start, stop)))}
            yield start, rows, replace(self, **own, y=y, lengths=_lengths(steps), classes=None, weights=weights)

    def split_last_steps(self, k: int) -> tuple[Data, Data]:
        """Split each sample before its last k real steps; return two `Data`, without these steps and with only them.

        A sample of at most k steps has no steps in the first. The second begins at a step where an output begins.
        Targets stay those of the whole samples.
        """
        stride = chain.stride(self.steppers)
        before = -(-np.maximum(self.used - k, 0) // stride) * stride
        steps = self.used - before
        at = before[:, None] + np.arange(steps.max())
        at = np.arange(len(self))[:, None], np.minimum(at, self.X.shape[1] - 1)
        last = replace(self, X=self.X[at], lengths=_lengths(steps), beside=self._beside_at(at))
        return replace(self, lengths=before, steppers=()), last


def _lengths(steps: np.ndarray) -> np.ndarray | None:
    """Return the numbers of steps (m,) as lengths; None if all are equal."""
    return None if (steps == steps.max()).all() else steps


# --- checks of a caller's arguments ---


def check_inputs(spec: DataSpec, X: Any, lengths: Any, name: str = "") -> Inputs:
    """Check X against `spec`; return (X, lengths, a dict of the other arrays that layers read).

    X is an array, a list of arrays, a DataFrame or `Sequences`. "decay" (m, s) is of the network's dtype and 1 in the
    padding, "times" (m, s) float64. NaN is allowed in X. TypeError or ValueError, with the prefix `name`.
    """
    tokens, given, names = "tokens" in spec.layers[0].reads, {}, None
    if isinstance(X, Sequences):
        samples = sequences_of(X, lengths, name)
        X, lengths, names, given = samples.X, samples.lengths, samples.feature_names, step_arrays(samples)
    elif (type(X) is not np.ndarray or X.dtype == object) and not (tokens and is_indexed(X) and X.shape[1:] > (1,)):
        X, lengths, names = opened(X, lengths, name)  # no DataFrame (m, s) of tokens, which has an index, too
    if names is not None and spec.feature_names is not None and names != tuple(spec.feature_names):
        raise ValueError(f"{name}X: expected the columns {', '.join(spec.feature_names)}, got {', '.join(names)}")
    if tokens:
        X = spec.layers[0].checked(X, lengths, f"{name}X")
    else:
        X, e = X if isinstance(X, Rows) else sequences(X, f"{name}X"), spec.features
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
    return X, lengths, _read_by_layers(spec, given, X.shape, lengths, name) if given or spec.timed else {}


def _read_by_layers(
    spec: DataSpec, given: Mapping[str, np.ndarray], shape: tuple[int, ...], lengths: np.ndarray | None, name: str
) -> dict[str, np.ndarray]:
    """Return the arrays of a `Sequences` that layers read; ValueError if a layer cannot read one."""
    for each in given:
        chain.check_reads(spec.layers, STEP_ARRAYS[each], name + each)
    decay = decay_of(given.get("resets"), given.get("decay"), *shape[:2], None, lengths, spec.layers[-1].dtype)
    read = {} if decay is None else {"decay": decay[:, :, 0]}
    if "times" in given:
        read["times"] = given["times"]
    elif spec.timed:
        due = f"as the network was trained with, whose unit is {spec.layers[0].unit:.6g}"
        raise ValueError(f"{name}times: expected those of the steps, cgru.Sequences(X, times=...), {due}, got None")
    return read


def find_class_names(spec: DataSpec, X: Any, y: Any, lengths: Any) -> tuple[str, ...] | None:
    """Return the class labels: those of `spec`, or the sorted different strings in `y`; None if there are none.

    ValueError where their number is not that of the classes. Where `spec` has `classes`, no names are taken from `y`.
    """
    strings = None if spec.class_names or spec.classes is not None or y is None else as_strings(y)
    if strings is None or not spec.predicts_one_class:
        return spec.class_names
    if spec.per_step:
        X, lengths, _ = check_inputs(spec, X, lengths)
        there = chain.output_mask(spec.layers, *X.shape[:2], lengths)
        if strings.shape == there.shape:  # else `check_data` refuses it
            strings = strings[there]
    found, k = np.unique(strings).tolist(), max(spec.k, 2)
    if len(found) != k:
        some = ", ".join(map(repr, found[:9])) + (", ..." if len(found) > 9 else "")
        cure = "class_names says which are missing" if len(found) < k else "N classes need a head of N units"
        raise ValueError(f"y: expected the names of {k} classes, got {len(found)}, {some}; {cure}")
    return tuple(found)


def check_data(spec: DataSpec, X: Any, y: Any, lengths: Any, sample_weight: Any = None, name: str = "") -> Data:
    """Check X, y, lengths and weights against `spec`, and return them as a `Data`; X must be finite at real steps."""
    given = finite_inputs(spec, X, lengths, name)
    return scale_weights(check_targets(spec, given, y, sample_weight, name), name)


def finite_inputs(spec: DataSpec, X: Any, lengths: Any, name: str = "") -> Inputs:
    """Return what `check_inputs` returns, after checking that there is a loss and that X is finite at real steps.

    NaN may be there where the first layer reads missing values.
    """
    if spec.loss is None:
        raise ValueError(f"layers: expected a Dense at the end for a loss, got {spec.layers[-1]!r}")
    X, lengths, read = check_inputs(spec, X, lengths, name)
    missing = "missing" in spec.layers[0].reads
    for rows in slices(X.shape) if X.dtype.kind == "f" else ():
        if not within(X[rows]):
            lost = (np.isinf(X[rows]) if missing else ~np.isfinite(X[rows])).any(axis=2)
            if lengths is not None:
                lost &= mask(lengths[rows], X.shape[1])[:, :, 0]
            if lost.any():
                sample, step = np.argwhere(lost)[0]
                where = f"sample {rows.start + sample}, step {step}"
                due = "finite numbers, or NaN, got" if missing else "finite numbers, got NaN or"
                raise ValueError(f"{name}X: expected {due} infinity in {where}")
    return X, lengths, read


def check_targets(spec: DataSpec, given: Inputs, y: Any, sample_weight: Any = None, name: str = "") -> Data:
    """Check targets and weights, and return them with the checked inputs `given` as a `Data`.

    Weights are not normalised yet: their sum may overflow.
    """
    (X, lengths, read), per_step = given, spec.per_step
    steps = chain.output_mask(spec.steppers, *X.shape[:2], lengths) if per_step else None
    if spec.predicts_one_class:
        y = encode_classes(y, spec.class_names, spec.classes, steps, name)
    Y, classes = spec.judge.check_targets(y, len(X), spec.k, f"{name}y", steps)
    data = Data(X, Y, lengths, classes, per_step=per_step, steppers=spec.steppers, beside=read)
    return data if sample_weight is None else _multiply_weights(data, _check_sample_weight(sample_weight, data, name))


def warn_of_axes(data: Data) -> None:
    """Warn if X (m, 1, e), with one step and many features, is probably (m, channels, steps)."""
    X, m = data.first.X, data.extent[0]
    if X.ndim == 3 and data.first.lengths is None and X.shape[1] == 1 and X.shape[2] >= LONG:
        warnings.warn(
            f"X: {m} sequences of one step of {X.shape[2]} features; (m, channels, steps), as sktime has it, "
            "becomes (m, s, e) by X.swapaxes(1, 2), or by channels_first=True in cgru.sklearn",
            stacklevel=3,
        )


# --- weights ---


def class_weights(spec: DataSpec, data: Data, class_weight: Any) -> np.ndarray | None:
    """Return the weight of each class, (k,), for `class_weight`: None, a dict by class, or "balanced".

    None stays None; "balanced" counts the classes in `data`.
    """
    if class_weight is None:
        return None
    weights = np.ones(max(spec.k, 2))
    if class_weight == "balanced":
        counts = np.zeros(len(weights), np.intp)
        for block in in_blocks(data):
            counts += np.bincount(block.rows(_class_of(spec.judge, block)), minlength=len(weights))
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


def weigh_by_class(loss: Loss, data: Data, per_class: np.ndarray | None, name: str = "") -> Data:
    """Return `data` with each weight multiplied by that of its class, in `per_class` (k,); None changes nothing."""
    if per_class is None:
        return data
    return scale_weights(data.map(lambda part: _multiply_weights(part, per_class[_class_of(loss, part, name)])), name)


def _class_of(loss: Loss, data: Data, name: str = "") -> np.ndarray:
    """Return the class of each sample or step; ValueError if the targets are not classes."""
    classes = loss.classes_in(data.y)
    if classes is None:
        raise ValueError(f"class_weight: expected None where {name}y is not one class each, got it for {loss}")
    return classes


def _check_sample_weight(value: Any, data: Data, name: str) -> np.ndarray:
    """Check `sample_weight`; return (m,), or for outputs at steps (m, n) with zeros at padded steps."""
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


def _multiply_weights(data: Data, weights: np.ndarray) -> Data:
    """Return `data` with its weights multiplied by `weights`."""
    if data.weights is not None:
        weights = weights * data.weights
    elif data.per_step:
        weights = np.where(data.output_mask, weights, 0)
    return replace(data, weights=weights)


def scale_weights(data: Data, name: str = "") -> Data:
    """Return `data` with weights divided by a power of two, so that their sums cannot overflow.

    Weights that are all the same become None. ValueError where all are 0. Batches are returned as they are.
    """
    if not data.whole or data.first.weights is None:
        return data
    weights = (block.rows(block.weights) for block in in_blocks(data))
    least, most = zip(*((each.min(), each.max()) for each in weights), strict=True)
    if max(most) == 0:
        raise ValueError(f"{name}sample_weight: expected a number above 0 for at least one output, got zeros")
    same, exponent = min(least) == max(most), -np.frexp(max(most))[1]
    return data.map(lambda part: replace(part, weights=None if same else np.ldexp(part.weights, exponent)))


# --- statistics, block by block ---


def feature_statistics(data: Data, missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and standard deviation of each feature over the real steps; 1 for a deviation of 0.

    With `missing` NaN is left out; a feature without numbers has mean 0.
    """
    if missing:
        return _measured_statistics(data)
    found = RunningMeanVariance()
    for block in in_blocks(data):
        found.add(block.X[block.real], block.weights_of_steps)
    return found.result()


def _measured_statistics(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature, without its missing values (NaN)."""
    found = [RunningMeanVariance() for _ in range(data.first.X.shape[2])]
    for block in in_blocks(data):
        rows, weights = block.X[block.real], block.weights_of_steps
        for each, column in zip(found, rows.T, strict=True):
            there = ~np.isnan(column)
            each.add(column[there, None], None if weights is None else weights[there])
    if never := [i for i, each in enumerate(found) if not each.n]:
        warnings.warn(
            f"X: expected each feature to be measured in the training data, got none of feature {never[0]}"
            f"{f' and {len(never) - 1} more' if never[1:] else ''}; later measurements of it are read with "
            "untrained weights",
            stacklevel=2,
        )
    mean, scale = np.array([each.result() if each.n else ([0.0], [1.0]) for each in found])[:, :, 0].T
    return mean, scale


def mean_time_step(data: Data) -> float | None:
    """Return the mean time between consecutive steps; None without times, and 1 if no time passes."""
    time, steps, timed = 0.0, 0, False
    for block in in_blocks(data):
        if "times" in block.beside:
            goes_on = block.real[:, 1:]
            if "decay" in block.beside:
                goes_on = goes_on & (block.beside["decay"][:, 1:] > 0)
            time += float(np.diff(block.beside["times"], axis=1)[goes_on].sum())
            steps, timed = steps + int(goes_on.sum()), True
    return None if not timed else time / steps if time > 0 else 1.0


def target_mean_variance(data: Data) -> RunningMeanVariance:
    """Return the weighted mean and standard deviation of each target, over the samples or their real steps."""
    found = RunningMeanVariance()
    for block in in_blocks(data):
        found.add(block.rows(block.y), block.rows(block.weights))
    return found


def scale_targets(mean: np.ndarray, scale: np.ndarray, data: Data) -> Data:
    """Return `data` with standardised targets, (y - mean) / scale, also at padded steps."""
    return replace(data, y=(data.y - mean) / scale)


def in_blocks(data: Data) -> Iterator[Data]:
    """Iterate over `data` in blocks of samples that need little memory."""
    some = data.first
    return data.blocks(max(1, BLOCK // max(1, *(math.prod(array.shape[1:]) for array in (some.X, some.y)))))
