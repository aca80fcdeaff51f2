"""Reader of data sets in `.npz` files and folders of `.npy` files. m samples, s steps, e features, n frames.

Frames are the steps of all samples one after another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Container

import numpy as np

from cgru.core import checks
from cgru.core.row_blocks import is_mapped
from cgru.datasets.columns import LONGEST
from cgru.datasets.dataset import Dataset, Split, StepSplit, check_padding
from cgru.files import Archive, Header, map_array

__all__ = ["read_npz"]

_SPLITS = ("train_", "test_")
NAMES = "feature_names"
BESIDE = ("resets", "decay", "times")  # a number for each step of x
FORMS = {"x": ("x", "X"), "y": ("y", "Y"), "lengths": ("lengths",)} | {name: (name,) for name in BESIDE}
# Limits against decompression bombs: a very long name takes almost no bytes in a compressed file.
_MOST_NAMES = 1 << 24  # bytes of all names
_PLAIN = "biufSU"  # allowed kinds of dtype: booleans, numbers and strings


def read_npz(path: str | os.PathLike[str], axes: str | None = None, groups: str = "", grouped: bool = True) -> Dataset:
    """Read the data set from an `.npz` file or a folder of `.npy` files; `grouped`: with the array called `groups`.

    `axes` "mes" says that x is (m, e, s). `groups` is the name of the array of groups, "" for none. If `grouped`,
    groups are read, and a missing array is a ValueError.
    """
    known = _aliases(groups)
    wanted = {alias for aliases in known.values() for alias in aliases}
    if os.path.isdir(path):
        return _dataset(_Named(_Folder(path, wanted), known), axes == "mes", groups if grouped else "")
    with open(path, "rb") as file:
        try:
            archive = Archive(file, wanted)
        except ValueError as error:
            raise ValueError(f"expected an .npz file of plain arrays: {error}") from None
        return _dataset(_Named(archive, known), axes == "mes", groups if grouped else "")


def _aliases(groups: str) -> dict[str, tuple[str, ...]]:
    """Return the names that each array may have in a file, such as x, X, and for a split train_x, X_train and so on.

    The array of groups has the name `groups`; in a file with a split that name without a prefix is the training groups.
    """
    known: dict[str, tuple[str, ...]] = {name: (name,) for name in ("class_names", NAMES)}
    for name, forms in (FORMS | ({"groups": (groups,)} if groups else {})).items():
        known[name] = forms
        for prefix in _SPLITS:
            known[prefix + name] = tuple(form for each in forms for form in (prefix + each, f"{each}_{prefix[:-1]}"))
    if groups:
        known["train_groups"] += (groups,)
    return known


class _Folder:
    """The memory-mapped arrays of a folder, `x.npy`, `y.npy` and so on, with the interface of `Archive`.

    Args:
        path: the folder.
        names: the names of the arrays; other files are ignored.

    Attributes:
        headers: the memory-mapped arrays by name.
        all_names: the names of all `.npy` files, ignored ones among them.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is no `.npy` of numbers or strings, or x is not (m, s, e), as any other shape would have to
            be copied.
    """

    def __init__(self, path: str | os.PathLike[str], names: Container[str]) -> None:
        """Map the files of the folder `path` whose names are among `names`; see the class for errors."""
        self.headers: dict[str, np.ndarray] = {}
        self.all_names = sorted(file for file in os.listdir(path) if file.endswith(".npy"))
        for file in self.all_names:
            name = file.removesuffix(".npy")
            if name not in names:
                continue
            try:
                array = map_array(os.path.join(path, file))
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from None
            if "x" in name.lower().split("_") and array.ndim != 3:
                raise ValueError(f"{file}: expected shape (m, s, e), got {array.shape}")
            self.headers[name] = array

    def read(self, name: str) -> np.ndarray:
        """Return the array called `name`."""
        return self.headers[name]


class _Named:
    """View of an archive or folder in which each array has its canonical name: x for X, train_x for X_train."""

    def __init__(self, archive: Archive | _Folder, known: dict[str, tuple[str, ...]]) -> None:
        """Find the arrays of an archive by their aliases, `known`; ValueError for an array under two of these."""
        self.headers: dict[str, Header | np.ndarray] = {}
        self._archive, self._names, self.folder = archive, {}, isinstance(archive, _Folder)
        self.all_names = archive.all_names
        names = self.all_names if self.folder else []
        self.others = [name for name in names if name.removesuffix(".npy") not in archive.headers]
        for name, aliases in known.items():
            found = [alias for alias in aliases if alias in archive.headers]
            if len(found) > 1:
                raise ValueError(f"{name}: expected it once, got {' and '.join(found)}")
            for alias in found:
                self._names[name], self.headers[name] = alias, archive.headers[alias]

    def read(self, name: str) -> np.ndarray:
        """Return the array with the canonical name `name`."""
        return self._archive.read(self._names[name])


def _dataset(archive: _Named, swapped: bool, groups: str) -> Dataset:
    """Read both splits, names and groups; `swapped` says that x is (m, e, s)."""
    train, test = (_split(archive, prefix, swapped) for prefix in _SPLITS)
    if train is None and test is None:
        train = _split(archive, "", swapped)
    if train is None and test is None:
        due = "x.npy, or train_x.npy and test_x.npy" if archive.folder else "an array x, or train_x and test_x"
        raise ValueError(f"expected {due}, got {', '.join(archive.all_names) or 'none of them'}")
    if train and test and train.X.shape[2] != test.X.shape[2]:
        raise ValueError(f"test_x: expected {train.X.shape[2]} features as in train_x, got {test.X.shape[2]}")
    features, e = _names_in(archive, NAMES), (train or test).X.shape[2]
    if features is not None and len(features) != e:
        raise ValueError(f"{NAMES}: expected {e} names, one for each feature of a step, got {len(features)}")
    notes = (f"not looked at: {', '.join(archive.others)}",) if archive.others else ()
    if (train or test).beside:
        notes += (f"read beside x: {', '.join((train or test).beside)}",)
    found = _groups(archive, train, groups)
    return Dataset(train, test, _names_in(archive, "class_names"), features, notes, groups=found)


def _split(archive: _Named, prefix: str, swapped: bool) -> Split | StepSplit | None:
    """Read the split whose arrays begin with `prefix` (`swapped`: x is (m, e, s)); None if it has no x.

    Shapes and dtypes are checked by the headers before x and y are read.
    """
    x, y = (archive.headers.get(prefix + name) for name in ("x", "y"))
    if x is None:
        return None
    frames = len(x.shape) == 2
    if swapped and len(x.shape) != 3:
        raise ValueError(f"{prefix}x: expected shape (m, e, s), as axes says, got {x.shape}")
    x = Header((x.shape[0], x.shape[2], x.shape[1]), x.dtype) if swapped else x
    lengths = _lengths(archive, x.shape, prefix)
    shape = (lengths.size, int(lengths.max(initial=0)), x.shape[1]) if frames else x.shape
    checks.sequences(np.broadcast_to(np.zeros((), x.dtype), shape), prefix + "x")  # a stand-in without memory
    m, s, _ = shape
    spread = frames and y is not None and y.shape == x.shape[:1] != (m,) and y.dtype.kind != "f"  # class of each frame
    if y is not None:
        _check_targets((m, s) if spread else y.shape, y.dtype, m, s, prefix + "y")
    beside = _beside(archive, prefix, x.shape[:1] if frames else (m, s), lengths if frames else None)
    X = archive.read(prefix + "x")
    if swapped:
        X = X.swapaxes(1, 2) if is_mapped(X) else np.ascontiguousarray(X.swapaxes(1, 2))
    X = checks.sequences(_padded(X, lengths) if frames else X, prefix + "x")
    if y is None:
        return StepSplit(X, None, lengths, None, beside) if beside else Split(X, None, lengths)
    y = _decoded(archive.read(prefix + "y"), prefix + "y")
    if spread:
        y = _padded(y, lengths)
    elif y.dtype.kind != "f" and not _at_steps(y.shape, m, s):
        y = y.reshape(m)
    return StepSplit(X, y, lengths, None, beside) if beside else Split(X, y, lengths)


def _beside(archive: _Named, prefix: str, shape: tuple[int, ...], lengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Read the arrays with a number for each step, of `shape` (m, s), or of frames with these lengths (n,)."""
    found = {}
    for name in BESIDE:
        header = archive.headers.get(prefix + name)
        if header is None:
            continue
        if header.shape != shape:
            raise ValueError(f"{prefix}{name}: expected shape {shape}, a number for each step, got {header.shape}")
        array = archive.read(prefix + name)
        found[name] = array if lengths is None else _padded(array, lengths)
    return found


def _groups(archive: _Named, train: Split | None, groups: str) -> np.ndarray | None:
    """Return the group of each training sample (m,); None if `groups` is ""."""
    if not groups or train is None:
        return None
    name = next((name for name in ("train_groups", "groups") if name in archive.headers), None)
    if name is None:
        there = [name.removesuffix(".npy") for name in archive.all_names]
        raise ValueError(f"groups: expected one of the arrays {', '.join(there)}, got {groups!r}")
    due, got = (len(train.X),), archive.headers[name].shape
    if got != due:
        raise ValueError(f"groups: expected shape {due}, one for each sample, got {got} of {groups}")
    return _decoded(archive.read(name), groups)


def _lengths(archive: _Named, shape: tuple[int, ...], prefix: str) -> np.ndarray | None:
    """Return the checked lengths (m,) of an x of `shape`, None if it has none; of frames (n, e) they must sum to n.

    An x of frames must have lengths.
    """
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
    """Return frames (n, ...) as samples (m, s, ...), zero past each sample's length."""
    check_padding(lengths, math.prod(frames.shape[1:]))
    s = lengths.max(initial=0)
    padded = np.zeros((lengths.size, s, *frames.shape[1:]), frames.dtype)
    padded[np.arange(s) < lengths[:, None]] = frames
    return padded


def _at_steps(shape: tuple[int, ...], m: int, s: int) -> bool:
    """Return whether a y of `shape` has a class for each step."""
    return s > 1 and shape == (m, s)


def _check_targets(shape: tuple[int, ...], dtype: np.dtype, m: int, s: int, name: str) -> None:
    """Raise ValueError if a y of this shape and dtype cannot be the targets of m samples of s steps."""
    if dtype.kind not in _PLAIN:
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {dtype}")
    if dtype.kind in "SU" and dtype.itemsize > LONGEST * dtype.alignment:
        raise ValueError(f"{name}: expected names of at most {LONGEST} characters, got dtype {dtype}")
    if _at_steps(shape, m, s) or (dtype.kind == "f" and len(shape) == 3 and shape[:2] == (m, s)):
        return
    columns = len(shape) == 2 and (shape[1] == 1 or (dtype.kind == "f" and shape[1] > 1))
    if len(shape) != 1 and not columns:
        due = f"shape ({m},), or ({m}, k) for reals, or ({m}, {s}) for classes and ({m}, {s}, k) for reals at steps"
        raise ValueError(f"{name}: expected {due}, got {shape} {dtype}")
    if shape[0] != m:
        raise ValueError(f"{name}: expected {m} values, one for each sample, got {shape[0]}")


def _names_in(archive: _Named, name: str) -> tuple[str, ...] | None:
    """Return the strings (k,) in the array `name`; None if it is absent, ValueError unless they are unique."""
    header = archive.headers.get(name)
    if header is None:
        return None
    if len(header.shape) != 1 or header.dtype.kind not in "SUiu":
        raise ValueError(f"{name}: expected strings of shape (k,), got {header.dtype} of shape {header.shape}")
    if header.shape[0] * header.dtype.itemsize > _MOST_NAMES:
        raise ValueError(f"{name}: expected at most {_MOST_NAMES} bytes of them, got {header.dtype} {header.shape}")
    names = tuple(map(str, _decoded(archive.read(name), name).tolist()))
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: expected every name once")
    return names


def _decoded(array: np.ndarray, name: str) -> np.ndarray:
    """Return `array` with bytes decoded from UTF-8."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected strings in utf-8 ({error})") from None
