"""Reading a data set from an `.npz` file. m samples, s steps, e elements per step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cgru.core import checks

__all__ = ["Dataset", "Split", "read"]

_NAMES = ("x", "y", "lengths")
_SPLITS = ("train_", "test_")


class Split(NamedTuple):
    """Samples of a data set: `X` (m, s, e); `lengths` (m,), None if all are s.

    `y` is (m,), or (m, k) reals, or classes at steps (m, s), or None.
    """

    X: np.ndarray
    y: np.ndarray | None
    lengths: np.ndarray | None


class Dataset(NamedTuple):
    """What a file holds. Without a split all of it is `train`; a file may hold the test split alone.

    `class_names` are those in the file: the names of the classes 0, 1, ... in `y`, or those that `y` spells out.
    """

    train: Split | None
    test: Split | None
    class_names: tuple[str, ...] | None


def read(path: str | os.PathLike[str]) -> Dataset:
    """Read the data set in the `.npz` file at `path`.

    The file holds `x`, real numbers: (m, s, e), or (n, e), all samples' steps one after another, with `lengths` (m,)
    that sum to n. `lengths` may stand beside (m, s, e) too and then says how many steps of each sample are real.
    `y`, where there is one, holds integers, booleans or strings (m,), which are classes, or reals (m,) or (m, k).
    There may be a class for each step: (m, s), or beside x (n, e) also (n,); what stands past the lengths is not looked
    at. Where the file has a split, the names are `train_x`, `train_y`, `train_lengths` and `test_x`, ... .
    `class_names` (k,) is optional. Other arrays are ignored; none is ever unpickled.

    OSError where the file cannot be opened; ValueError, naming file and array, for anything else that is wrong.
    """
    arrays = _load(path)
    try:
        train, test = (_split(arrays, prefix) for prefix in _SPLITS)
        if train is None and test is None:
            train = _split(arrays, "")
        if train is None and test is None:
            raise ValueError(f"expected an array x, or train_x and test_x, got {', '.join(arrays) or 'none of them'}")
        if train and test and train.X.shape[2] != test.X.shape[2]:
            raise ValueError(f"test_x: expected {train.X.shape[2]} elements as in train_x, got {test.X.shape[2]}")
        return Dataset(train, test, _class_names(arrays.get("class_names")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of the file that have a meaning here."""
    wanted = {prefix + name for prefix in ("", *_SPLITS) for name in _NAMES} | {"class_names"}
    with open(path, "rb") as file:
        try:
            # A zip file and nothing else: np.load also takes other files, and on some its errors speak of pickles.
            if file.read(2) != b"PK":
                raise ValueError("it is no zip archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name in wanted}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy returns a member that is no .npy file as bytes
                    raise ValueError(f"{name} is no array")
            return arrays
        except MemoryError:
            raise
        except Exception as error:  # a damaged file raises whatever zipfile, zlib or NumPy's parser came across
            raise ValueError(f"{os.fspath(path)}: expected an .npz file of plain arrays ({error})") from error


def _split(arrays: Mapping[str, np.ndarray], prefix: str) -> Split | None:
    x, y, lengths = (arrays.get(prefix + name) for name in _NAMES)
    if x is None:
        return None
    if x.ndim == 2:
        n = len(x)
        x, lengths = _pad(x, lengths, prefix)
        if y is not None and y.shape == (n,) and y.dtype.kind != "f" and n != len(x):
            y = _padded(y, lengths)
    x = checks.sequences(x, prefix + "x")
    m, s, _ = x.shape
    return Split(x, _targets(y, m, s, prefix + "y"), checks.lengths_of(lengths, m, s, prefix + "lengths"))


def _pad(frames: np.ndarray, lengths: np.ndarray | None, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames one after another (n, e) as (m, s, e), zero past each sample's length."""
    name = prefix + "lengths"
    if lengths is None:
        raise ValueError(f"{prefix}x: expected shape (m, s, e), or (n, e) with {name}, got {frames.shape} alone")
    n = len(frames)
    lengths = checks.integers(lengths, name)
    lengths = checks.lengths_of(lengths, lengths.size, n, name)
    if lengths.sum() != n:
        raise ValueError(f"{name}: expected a sum of {n}, the rows of {prefix}x, got {lengths.sum()}")
    return _padded(frames, lengths), lengths


def _padded(frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    s = lengths.max(initial=0)
    padded = np.zeros((lengths.size, s, *frames.shape[1:]), frames.dtype)
    padded[np.arange(s) < lengths[:, None]] = frames
    return padded


def _targets(y: np.ndarray | None, m: int, s: int, name: str) -> np.ndarray | None:
    if y is None:
        return None
    if y.dtype.kind not in "biufSU":
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {y.dtype}")
    if s > 1 and y.shape == (m, s) and y.dtype.kind != "f":
        return _decoded(y, name)
    columns = y.ndim == 2 and (y.shape[1] == 1 or (y.dtype.kind == "f" and y.shape[1] > 1))
    if y.ndim != 1 and not columns:
        raise ValueError(
            f"{name}: expected shape ({m},), or ({m}, k) for reals, or ({m}, {s}) for classes at steps, "
            f"got {y.shape} {y.dtype}"
        )
    if len(y) != m:
        raise ValueError(f"{name}: expected {m} values, one for each sample, got {len(y)}")
    y = _decoded(y, name)
    return y if y.dtype.kind == "f" else y.reshape(m)


def _class_names(names: np.ndarray | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = _decoded(names, "class_names")
    if names.ndim != 1 or names.dtype.kind not in "Uiu":
        raise ValueError(f"class_names: expected strings of shape (k,), got {names.dtype} of shape {names.shape}")
    unique = tuple(map(str, names.tolist()))
    if len(set(unique)) < len(unique):
        raise ValueError("class_names: expected every name once")
    return unique


def _decoded(array: np.ndarray, name: str) -> np.ndarray:
    """`array` with bytes as strings."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected strings in utf-8 ({error})") from None
