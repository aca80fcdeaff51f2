"""The types `Dataset` and `Split` that files of sequences are read into. m samples, s steps, e features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import mask
from cgru.core.row_blocks import select_rows, slices
from cgru.datasets.columns import Columns
from cgru.network.data.samples import Sequences

__all__ = [
    "Dataset", "Split", "check_bytes", "check_padding", "real_steps", "with_features",
]  # fmt: skip

PADDED, DENSEST = 1 << 28, 100  # bytes of all numbers read, and for each byte before; a file may go past one of them


class Split(NamedTuple):
    """The training or test samples of a data set.

    Attributes:
        X: the inputs as `cgru.Sequences`: (m, s, e), zero past each sample's length. With `missing="decay"` they are
            NaN where nothing was measured, and have the times of a table's steps: these count from 0 on in each sample,
            in seconds or as the table has them, and the padding has the last one.
        y: the targets: (m,), or numbers (m, k), or for each step a class (m, s) or numbers (m, s, k), or None.
        ids: the id in the table of each sample (m,); None if the file is no table with ids.

    Examples:
        >>> X, y, ids = cgru.datasets.load_japanese_vowels().train
        >>> X, y.shape, X.lengths[:3].tolist(), ids
        (Sequences(270 samples of 7 to 26 steps, 12 features), (270,), [20, 26, 22], None)
    """

    X: Sequences
    y: np.ndarray | None
    ids: np.ndarray | None = None

    def samples(self, rows: np.ndarray) -> Split:
        """Return the samples of these indices; those of memory-mapped arrays are not read.

        Args:
            rows: integers (n,).

        Returns:
            The split of these samples.

        Examples:
            >>> split = cgru.datasets.load_japanese_vowels().train
            >>> split.samples(np.array([0, 100])).y.tolist()
            [0, 3]
        """
        return Split(self.X[rows], select_rows(self.y, rows), select_rows(self.ids, rows))


class Dataset(NamedTuple):
    """A data set as read from a file, with its splits and names.

    Attributes:
        train: the training samples: all samples if the file has no split, None if it has the test split alone.
        test: the test samples, or None.
        class_names: the class names in the file, of the classes 0, 1, ... in `y`, or the strings that `y` contains.
        feature_names: the names of the features (e,), such as the columns of a table.
        notes: sentences about what was filled, left out, or looks odd. `cgru.datasets.described(data)` says more.
        columns: the `Columns` by which `cgru.datasets.read` reads another file in the same way.
        target_names: the names of the regression targets (k,), the columns of a table.
        times: the times of the steps of `train` (m, s) as the table has them, "" past a sample's length; only of a
            table that was read without targets.
        groups: the group of each sample of `train` (m,), strings or numbers, if `groups` was passed; else of windows
            the series that each is cut from.

    Examples:
        >>> data = cgru.datasets.load_japanese_vowels()
        >>> len(data.train.X), len(data.test.X), data.class_names
        (270, 370, None)
    """

    train: Split | None
    test: Split | None
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    columns: Columns = Columns()
    target_names: tuple[str, ...] | None = None
    times: np.ndarray | None = None
    groups: np.ndarray | None = None


def real_steps(split: Split, steps: bool = True) -> Iterator[tuple[slice, Any]]:
    """Yield (slice of samples, mask of their real steps) block by block; without `steps` a slice of all steps."""
    m, s = split.X.shape[:2]
    lengths = np.full(m, s) if split.X.lengths is None else split.X.lengths
    for rows in slices(split.X.shape):
        yield rows, mask(lengths[rows], s)[:, :, 0] if steps else slice(None)


def with_features(data: Dataset, names: Sequence[str] | None) -> Dataset:
    """Return `data` with only the features called `names`, in this order; unchanged if `data` or `names` has no names.

    Raise ValueError if a name is missing in `data`.
    """
    there = data.feature_names
    if there is None or names is None or there == tuple(names):
        return data
    if lost := [name for name in names if name not in there]:
        got = f"{', '.join(there)}, none called {', '.join(lost)}"
        raise ValueError(f"expected the features {', '.join(names)}, got {got}")
    order = [there.index(name) for name in names]
    chosen = [split and Split(replace(split.X, X=split.X.X[:, :, order]), *split[1:]) for split in data[:2]]
    return data._replace(train=chosen[0], test=chosen[1], feature_names=tuple(names))


def check_padding(lengths: Any, width: int) -> None:
    """Raise ValueError if padding would make sequences of these lengths (m,), `width` numbers a step, far too large.

    One long sequence among many short ones takes memory by the square of the steps that a file has.
    """
    m, longest, steps = len(lengths), int(np.max(lengths, initial=0)), int(np.sum(lengths))
    size = 8 * width * m * longest
    if size > PADDED and m * longest > DENSEST * steps:
        got = f"{m} of {steps / m:.3g} steps on average, padded to the longest, {longest}: {size / 1e9:.3g} GB"
        raise ValueError(f"expected sequences that are less unlike in length, got {got}; windows cut the long ones")


def check_bytes(size: int, path: Any, cure: str = "a DataFrame of it goes into from_frame") -> None:
    """Raise ValueError, with the advice `cure`, if the `size` of a file when unpacked is suspiciously large."""
    if size > max(PADDED, DENSEST * os.path.getsize(path)):
        due = f"at most {DENSEST} times as many bytes unpacked"
        raise ValueError(f"expected {due}, got {size}; {cure}")
