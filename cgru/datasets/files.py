"""Reading a data set from an `.npz` file. m samples, s steps, e elements per step."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from cgru.core import checks
from cgru.datasets.mapped import Folder
from cgru.files import Archive

__all__ = ["Dataset", "Split", "read"]

_NAMES = ("x", "y", "lengths")
_SPLITS = ("train_", "test_")
# Compressed, a name that is far too long takes next to no room in a file.
_LONGEST = 1000  # characters of a class in y
_MOST_NAMES = 1 << 24  # bytes


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
    """Read the data set in the `.npz` file at `path`, or in a folder of `.npy` files, which stay there.

    The file holds `x`, real numbers: (m, s, e), or (n, e), all samples' steps one after another, with `lengths` (m,)
    that sum to n. `lengths` may stand beside (m, s, e) too and then says how many steps of each sample are real.
    `y`, where there is one, holds integers, booleans or strings (m,), which are classes, or reals (m,) or (m, k).
    There may be a class for each step: (m, s), or beside x (n, e) also (n,); what stands past the lengths is not looked
    at. Where the file has a split, the names are `train_x`, `train_y`, `train_lengths` and `test_x`, ... .
    `class_names` (k,) is optional. Other arrays are ignored; none is ever unpickled.

    In a folder they are `x.npy`, (m, s, e), `y.npy`, ...: mapped into memory, not read (`numpy.memmap`).

    OSError where the file cannot be opened; ValueError, naming file and array, for anything else that is wrong, found
    in the headers of the arrays as far as these tell it, before x and y are read.
    """
    wanted = {prefix + name for prefix in ("", *_SPLITS) for name in _NAMES} | {"class_names"}
    try:
        if os.path.isdir(path):
            return _dataset(Folder(path, wanted))
        with open(path, "rb") as file:
            try:
                archive = Archive(file, wanted)
            except ValueError as error:
                raise ValueError(f"expected an .npz file of plain arrays: {error}") from None
            return _dataset(archive)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _dataset(archive: Archive | Folder) -> Dataset:
    train, test = (_split(archive, prefix) for prefix in _SPLITS)
    if train is None and test is None:
        train = _split(archive, "")
    if train is None and test is None:
        names = ", ".join(archive.headers) or "none of them"
        raise ValueError(f"expected an array x, or train_x and test_x, got {names}")
    if train and test and train.X.shape[2] != test.X.shape[2]:
        raise ValueError(f"test_x: expected {train.X.shape[2]} elements as in train_x, got {test.X.shape[2]}")
    return Dataset(train, test, _class_names(archive))


def _split(archive: Archive, prefix: str) -> Split | None:
    """The arrays of a split, all found to fit each other before x and y are read."""
    x, y = (archive.headers.get(prefix + name) for name in ("x", "y"))
    if x is None:
        return None
    frames = len(x.shape) == 2
    lengths = _lengths(archive, x.shape, prefix)
    shape = (lengths.size, int(lengths.max(initial=0)), x.shape[1]) if frames else x.shape
    checks.sequences(np.broadcast_to(np.zeros((), x.dtype), shape), prefix + "x")  # an array without memory
    m, s, _ = shape
    spread = frames and y is not None and y.shape == x.shape[:1] != (m,) and y.dtype.kind != "f"  # a class a frame
    if y is not None:
        _check_targets((m, s) if spread else y.shape, y.dtype, m, s, prefix + "y")
    X = archive.read(prefix + "x")
    X = checks.sequences(_padded(X, lengths) if frames else X, prefix + "x")
    if y is None:
        return Split(X, None, lengths)
    y = _decoded(archive.read(prefix + "y"), prefix + "y")
    if spread:
        y = _padded(y, lengths)
    elif y.dtype.kind != "f" and not _at_steps(y.shape, m, s):
        y = y.reshape(m)
    return Split(X, y, lengths)


def _lengths(archive: Archive, shape: tuple[int, ...], prefix: str) -> np.ndarray | None:
    """The lengths (m,) of the samples of an x of `shape`; for frames (n, e) they sum to n."""
    name, header = prefix + "lengths", archive.headers.get(prefix + "lengths")
    frames = len(shape) == 2
    if header is None:
        if frames:
            raise ValueError(f"{prefix}x: expected shape (m, s, e), or (n, e) with {name}, got {shape} alone")
        return None
    if len(header.shape) != 1 or header.shape[0] > shape[0]:
        raise ValueError(f"{name}: expected shape (m,), for m of {prefix}x {shape}, got {header.shape}")
    lengths = checks.integers(archive.read(name), name)
    if not frames:
        return checks.lengths_of(lengths, *shape[:2], name) if len(shape) == 3 else lengths
    lengths = checks.lengths_of(lengths, lengths.size, shape[0], name)
    if lengths.sum() != shape[0]:
        raise ValueError(f"{name}: expected a sum of {shape[0]}, the rows of {prefix}x, got {lengths.sum()}")
    return lengths


def _padded(frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Frames one after another (n, ...) as (m, s, ...), zero past each sample's length."""
    s = lengths.max(initial=0)
    padded = np.zeros((lengths.size, s, *frames.shape[1:]), frames.dtype)
    padded[np.arange(s) < lengths[:, None]] = frames
    return padded


def _at_steps(shape: tuple[int, ...], m: int, s: int) -> bool:
    """Whether classes of `shape` are a class for each step."""
    return s > 1 and shape == (m, s)


def _check_targets(shape: tuple[int, ...], dtype: np.dtype, m: int, s: int, name: str) -> None:
    """Refuse a y that is none for m samples of s steps."""
    if dtype.kind not in "biufSU":
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {dtype}")
    if dtype.kind in "SU" and dtype.itemsize > _LONGEST * dtype.alignment:
        raise ValueError(f"{name}: expected names of at most {_LONGEST} characters, got dtype {dtype}")
    if dtype.kind != "f" and _at_steps(shape, m, s):
        return
    columns = len(shape) == 2 and (shape[1] == 1 or (dtype.kind == "f" and shape[1] > 1))
    if len(shape) != 1 and not columns:
        raise ValueError(
            f"{name}: expected shape ({m},), or ({m}, k) for reals, or ({m}, {s}) for classes at steps, "
            f"got {shape} {dtype}"
        )
    if shape[0] != m:
        raise ValueError(f"{name}: expected {m} values, one for each sample, got {shape[0]}")


def _class_names(archive: Archive) -> tuple[str, ...] | None:
    header = archive.headers.get("class_names")
    if header is None:
        return None
    if len(header.shape) != 1 or header.dtype.kind not in "SUiu":
        raise ValueError(f"class_names: expected strings of shape (k,), got {header.dtype} of shape {header.shape}")
    if header.shape[0] * header.dtype.itemsize > _MOST_NAMES:
        raise ValueError(
            f"class_names: expected at most {_MOST_NAMES} bytes of them, got {header.dtype} {header.shape}"
        )
    names = tuple(map(str, _decoded(archive.read("class_names"), "class_names").tolist()))
    if len(set(names)) < len(names):
        raise ValueError("class_names: expected every name once")
    return names


def _decoded(array: np.ndarray, name: str) -> np.ndarray:
    """`array` with bytes as strings."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected strings in utf-8 ({error})") from None
