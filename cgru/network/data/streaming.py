"""Training data larger than memory: memory-mapped arrays (`Mapped`) and iterables of batches (`Batches`).

Fits and scores read them like a `Data` in memory, by `first`, `extent`, `blocks`, `parts` and `map`. Samples are
checked and converted when they are read. m samples, s steps, e features per step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.core.row_blocks import BLOCK, is_mapped
from cgru.network import chain
from cgru.network.classes import as_strings
from cgru.network.data.samples import Sequences
from cgru.network.data.split import NO_WEIGHT, check_share, draw_held_out, encode_groups
from cgru.network.data.training_data import (
    Data,
    check_data,
    check_targets,
    finite_inputs,
    in_blocks,
    scale_weights,
    weigh_by_class,
)
from cgru.network.data_spec import DataSpec
from cgru.network.options import OPTIONS, Settings, Trait

__all__ = ["AnyData", "Batches", "as_data", "check_batches", "is_batches", "iterate_inputs", "split_validation"]

SET = "(X, y), (X, y, lengths) or (X, y, lengths, sample_weight)"  # for errors


@dataclass(frozen=True)
class Mapped(Data):
    """Samples whose X or y is a memory-mapped array, which is read from its file in parts.

    The arrays are unchecked, as the caller gave them; X, y and weights may be `Rows`. Indexing reads samples into
    memory, checks them and returns a `Data`. `classes` is None here, and set in that `Data`.

    changes: the functions that check and convert samples after reading, applied in their order.
    """

    changes: tuple[Callable[[Data], Data], ...] = ()

    in_memory = False

    def __getitem__(self, rows: np.ndarray | slice) -> Data:
        return _apply(super().__getitem__(rows), self.changes)

    @property
    def first(self) -> Data:
        """Return the first sample, which shows the shapes and dtypes of all."""
        return self[:1]

    @property
    def count(self) -> float:
        """Return the number of outputs that have a target; with weights, the sum of their weights."""
        return sum(block.count for block in self.blocks(self._at_once(1)))

    def parts(self, size: int, order: np.ndarray | None = None) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield (samples of some batches, read together; the indices of the batches in them), in `order`."""
        most = self._at_once(size)
        for start in range(0, len(self), most):
            part = self[start : start + most] if order is None else self[order[start : start + most]]
            yield part, np.arange(len(part))

    def _at_once(self, size: int) -> int:
        """Return how many samples to read together: a multiple of the batch size `size`."""
        numbers = sum(math.prod(array.shape[1:]) for array in (self.X, self.y))
        return max(1, BLOCK // (size * numbers)) * size

    def map(self, change: Callable[[Data], Data]) -> Mapped:
        """Return the samples with `change` applied when they are read; it must treat samples independently."""
        return replace(self, changes=(*self.changes, change))


class Batches:
    """Samples from an iterable of batches, which are checked when they are read; each batch gives one update.

    Args:
        spec: which data the network takes; a number of features that it does not fix is that of the first batch.
        given: an iterable of (X, y), (X, y, lengths) or (X, y, lengths, sample_weight), X an array, a list or
            `Sequences`.
        name: a prefix for the names of batches in errors.

    Attributes:
        first: the first batch, which is read at once, for shapes and dtypes.
    """

    whole = in_memory = False

    def __init__(self, spec: DataSpec, given: Iterable[Any], name: str = "") -> None:
        """Read and check the first batch of the iterable `given`; the class documents the arguments."""
        self.spec, self.given, self.name = spec, given, name
        self.changes: tuple[Callable[[Data], Data], ...] = ()
        iterator = iter(given)
        nothing = object()
        batch = next(iterator, nothing)
        if batch is nothing:
            raise ValueError(f"{name}batches: expected at least one, got none")
        self.begun = [(batch, iterator)]  # the first batch and the rest, for the first pass; copies by `map` share it
        self.first = self._data(batch, 1)
        if self.first.X.ndim == 3:
            self.spec = replace(spec, features=self.first.X.shape[2])

    def _data(self, batch: Any, number: int) -> Data:
        """Check batch `number`, counted from 1, and return it as a `Data`."""
        name = f"{self.name}batch {number}: "
        X, y, lengths, weights = unpack_batch(batch, name)
        if not self.spec.class_names and self.spec.classes is None and as_strings(y) is not None:
            raise ValueError(f"{name}y: expected numbers, or strings for Network(class_names=[...]), got strings")
        found = check_targets(self.spec, finite_inputs(self.spec, X, lengths, name), y, weights, name)
        return _apply(found, self.changes)

    def __iter__(self) -> Iterator[Data]:
        number, weight = 0, 0.0
        for number, batch in enumerate(self._all(), 1):
            data = self._data(batch, number)
            weight += data.count
            yield data
        if not number:
            raise ValueError(f"{self.name}batches: expected some in each pass, got none")
        if not weight:
            raise ValueError(f"{self.name}sample_weight: expected a number above 0 in at least one batch, got zeros")

    def _all(self) -> Iterator[Any]:
        """Iterate over the raw batches; the first pass continues the iterator that `__init__` started."""
        if self.begun:
            batch, iterator = self.begun.pop()
            yield batch
            yield from iterator
        else:
            yield from self.given

    @property
    def extent(self) -> tuple[int, int]:
        """Return the numbers of samples and steps of the first batch."""
        return self.first.extent

    def number(self, count: bool = False) -> int | None:
        """Return the number of batches by len(), or if that fails by a pass (`count`) or None."""
        try:
            return len(self.given)
        except TypeError:  # a DataLoader may have a length in name alone
            return sum(1 for _ in self) if count else None

    def scatter(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows` (n, k), one per sample, unchanged."""
        return rows

    def blocks(self, size: int) -> Iterator[Data]:
        """Iterate over all batches, cut into blocks of at most `size` samples."""
        for batch in self:
            yield from batch.blocks(size)

    def parts(self, size: int, order: None = None) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield each batch with the indices of its samples; `size` and `order` are ignored."""
        for batch in self:
            yield batch, np.arange(len(batch))

    def map(self, change: Callable[[Data], Data]) -> Batches:
        """Return the batches with `change` applied when they are read; it must treat samples independently."""
        made = copy.copy(self)
        made.changes, made.first = (*self.changes, change), change(self.first)
        return made


AnyData = Data | Batches


def _apply(data: Data, changes: Iterable[Callable[[Data], Data]]) -> Data:
    """Apply the functions `changes` to `data`, one after another."""
    for change in changes:
        data = change(data)
    return data


# --- from a caller's arguments ---


def is_batches(given: Any) -> bool:
    """Return whether `given` is an iterable of batches: a list of batches, or an iterable that is not an array."""
    if isinstance(given, list | tuple):
        return len(given) > 0 and (isinstance(given[0], Sequences) or is_batch(given[0]))
    one = hasattr(given, "__array__") or isinstance(given, str | bytes | Mapping)
    return not one and isinstance(given, Iterable)


def is_batch(given: Any) -> bool:
    """Return whether `given` is a batch: a tuple that begins with X (m, s, e) or tokens (m, s)."""
    if not isinstance(given, tuple | list) or not 0 < len(given) <= 4 or not hasattr(given[0], "shape"):
        return False
    X = given[0] if isinstance(given[0], Sequences) else np.asarray(given[0])
    return X.ndim == 3 or (X.ndim == 2 and X.dtype.kind in "iu")


def iterate_inputs(batches: Iterable[Any], *apart: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (X, lengths) for each batch to predict; a batch may be X alone.

    ValueError where one of the arguments `apart` from the batches is not None.
    """
    if any(each is not None for each in apart):
        raise ValueError("lengths, h0, return_state: expected none of them with batches, got some")
    return ((*each, None, None)[:3:2] if is_batch(each) else (each, None) for each in batches)


def unpack_batch(batch: Any, name: str) -> tuple[Any, Any, Any, Any]:
    """Return (X, y, lengths, weights) of a batch, with None for missing parts.

    ValueError with the prefix `name` for anything but a batch.
    """
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3, 4):
        got = f"{len(batch)} of them" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ValueError(f"{name}expected {SET}, got {got}")
    return (*batch, None, None)[:4]


def _refuse_dataset(given: Any) -> None:
    """Raise TypeError for a `Dataset` or `Split` of `cgru.datasets`, which are tuples, given in place of X."""
    fields = getattr(given, "_fields", ())
    if "train" in fields or "X" in fields:
        split = "data.train" if "train" in fields else "split"
        cure = f"its samples are {split}.X, {split}.y, lengths={split}.lengths"
        raise TypeError(f"X: expected an array with y, or batches, got a {type(given).__name__}; {cure}")


def as_data(
    spec: DataSpec,
    X: Any,
    y: Any,
    lengths: Any = None,
    sample_weight: Any = None,
    name: str = "",
) -> AnyData:
    """Check training data, and return them as `Data`, `Mapped` or `Batches`.

    `Mapped` are for X or y that are memory-mapped; each of their
    samples is read and checked here once. Without `y`, X are `Batches`. `name` is a prefix for errors.
    """
    if y is None:
        return Batches(spec, X, name)
    if not (is_mapped(X.X if isinstance(X, Sequences) else X) or is_mapped(y)):
        return check_data(spec, X, y, lengths, sample_weight, name)
    X, lengths, read = finite_inputs(spec, X, lengths, name)
    m, s = X.shape[:2]
    n = chain.output_lengths(spec.layers, np.array([s]))[0]
    y = np.asarray(y)
    if y.shape[:1] != (m,):
        raise ValueError(f"{name}y: expected {m} of them, one for each sample, got shape {y.shape}")
    weights = None if sample_weight is None else np.asarray(sample_weight)
    due = [(m,), (m, n)][: 1 + spec.per_step]
    if weights is not None and weights.shape not in due:
        raise ValueError(f"{name}sample_weight: expected shape {' or '.join(map(str, due))}, got {weights.shape}")

    def checked(data: Data) -> Data:
        """Check the targets of a block of samples, and return the block as a `Data`."""
        return check_targets(spec, (data.X, data.lengths, data.beside), data.y, data.weights, name)

    data = Mapped(X, y, lengths, None, spec.per_step, weights, spec.steppers, read, (checked,))
    for _ in data.blocks(max(1, BLOCK // (s * max(1, math.prod(y.shape[1:]))))):
        pass  # reading a block checks it
    return scale_weights(data, name)


def split_validation(
    spec: DataSpec,
    data: AnyData,
    validation: Any,
    seed: np.random.SeedSequence,
    per_class: np.ndarray | None = None,
    groups: Any = None,
) -> tuple[AnyData, AnyData | None]:
    """Return (training samples, validation samples); the second is None if `validation` is None.

    `validation` is a share, which is drawn from `data` by `seed` and keeps `groups` (m,) whole, or a set, which is
    checked and gets the weights `per_class` (k,).
    """
    if groups is not None and (validation is None or is_batches(validation) or isinstance(validation, tuple | list)):
        got = "none" if validation is None else "a set"
        raise ValueError(f"groups: expected None unless validation is a fraction of the data, got {got}")
    if validation is None:
        return data, None
    name = "validation "
    is_tuple = isinstance(validation, tuple) and 2 <= len(validation) <= 4
    # A set (X, y, ...) with X a list of two to four sequences looks like a batch.
    batches = is_batches(validation) and not (is_tuple and not is_batch(validation[1]))
    if batches or isinstance(validation, tuple | list):
        parts = (validation, None) if batches else unpack_batch(validation, "validation: ")
        held_out = weigh_by_class(spec.judge, as_data(spec, *parts, name=name), per_class, name)
        due, X = data.first.X.shape[2:], held_out.first.X
        if X.shape[2:] != due:
            shape = (*held_out.extent, *X.shape[2:])
            raise ValueError(f"validation X: expected {due[0]} features, as X has, got shape {shape}")
        return data, held_out
    share = check_share(validation, "validation", ", a tuple, batches or None")
    if not data.whole:
        raise ValueError(f"validation: expected (X, y) or batches with batches, got the fraction {validation}")
    m = len(data)
    classes = None
    if data.first.classes is not None:
        classes = np.concatenate([block.classes for block in in_blocks(data)])
    parts = data.split(draw_held_out(m, share, seed, classes, encode_groups(groups, m)))
    if data.first.weights is not None and not all(part.count for part in parts):
        raise ValueError(NO_WEIGHT)
    return parts


# Arguments other than options that cannot stand beside batches, and why.
APART = {
    "lengths": "which have their own, (X, y, lengths)",
    "sample_weight": "which have their own, (X, y, lengths, sample_weight)",
    "groups": "of which no share is set aside",
}


def check_batches(
    settings: Settings, X: Any, y: Any, *, has_mean: bool = False, scheduled: bool = False, **apart: Any
) -> None:
    """Raise ValueError for settings or arrays that cannot be used together with batches.

    X are batches where y is None; TypeError where X cannot be. `has_mean`: the network has its standardisation already.
    `scheduled`: the learning rate depends on the share of the fit that is done.
    """
    validation = settings.validation
    if y is not None and not isinstance(validation, Iterator):
        return
    used = vars(settings) | {"epochs": settings.epochs > 1, "class_weight": settings.class_weight == "balanced"}
    used["standardize"] = settings.standardize and not has_mean

    def again(trait: Trait) -> list[str]:  # the options in use that need more than one pass
        """Return the names of options in use that need more than one pass over the batches."""
        return [name for name, option in OPTIONS.items() if option.traits & trait and used[name]]

    if validation is not None:
        _check_reiterable(validation, "validation", again(Trait.REREADS_VALIDATION | Trait.JUDGES))
    if y is not None:
        return
    _refuse_dataset(X)
    if hasattr(X, "__array__"):
        raise TypeError(f"y: expected targets with X, an array, got None; batches, {SET}, go without")
    if not isinstance(X, Iterable):
        raise TypeError(f"X: expected an array with y, or an iterable of batches, got {type(X).__name__}")
    alone = APART | {name: option.alone for name, option in OPTIONS.items() if option.alone}
    for name, why in alone.items():
        due, value = getattr(Settings, name, None), (vars(settings) | apart).get(name)
        if value is not due:
            got = value if isinstance(value, str | int | float) else type(value).__name__
            raise ValueError(f"{name}: expected {due} with batches, {why}, got {got}")
    reread = again(Trait.REREADS | Trait.JUDGES if validation is None else Trait.REREADS)
    if scheduled:
        reread.append("schedule")
    _check_reiterable(X, "X", reread)


def _check_reiterable(batches: Any, name: str, again: list[str]) -> None:
    """Raise ValueError for an iterator that can be read only once, if options named in `again` need another pass."""
    if again and isinstance(batches, Iterator):
        due, got = f"batches that begin anew, which {' and '.join(again)} need", type(batches).__name__
        cure = "give a list, or an object whose __iter__ starts with the first"
        raise ValueError(f"{name}: expected {due}, got a {got}, which cannot; {cure}")
