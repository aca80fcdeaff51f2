"""Reader of data sets in `.npz` files and folders of `.npy` files. m samples, s steps, e features, n frames.

Frames are the steps of all samples one after another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cgru.core import checks
from cgru.datasets.columns import LONGEST
from cgru.datasets.dataset import Dataset, Split, check_padding
from cgru.files import Archive, map_array
from cgru.network.data.samples import STEP_ARRAYS, Sequences, step_arrays

__all__ = ["read_npz"]

_SPLITS = ("train_", "test_")
FORMS = {"x": ("x", "X"), "y": ("y", "Y"), "lengths": ("lengths",)} | {name: (name,) for name in STEP_ARRAYS}
_MOST_NAMES = 1 << 24  # bytes of all names: a very long one takes almost no bytes in a compressed file


class _Arrays(NamedTuple):
    """The arrays of a file or folder.

    Attributes:
        headers: what has the shape and dtype of each array, by its canonical name: train_x for X_train.
        read: the function that returns the array of a canonical name.
        there: the names of all arrays in the file.
    """

    headers: Mapping[str, Any]
    read: Callable[[str], np.ndarray]
    there: list[str]


def read_npz(path: str | os.PathLike[str], groups: str = "", grouped: bool = True) -> Dataset:
    """Read the data set from an `.npz` file or a folder of `.npy` files; `grouped`: with the array called `groups`.

    `groups` is the name of the array of groups, "" for none. If `grouped`,
    groups are read, and a missing array is a ValueError.
    """
    known = _aliases(groups)
    wanted = {alias for aliases in known.values() for alias in aliases}
    if os.path.isdir(path):
        there = sorted(file.removesuffix(".npy") for file in os.listdir(path) if file.endswith(".npy"))
        mapped = {name: _map(path, name) for name in there if name in wanted}
        return _dataset(_named(mapped, mapped.__getitem__, there, known), groups if grouped else "")
    with open(path, "rb") as file:
        try:
            archive = Archive(file, wanted)
        except ValueError as error:
            raise ValueError(f"expected an .npz file of plain arrays: {error}") from None
        arrays = _named(archive.headers, archive.read, archive.all_names, known)
        return _dataset(arrays, groups if grouped else "")


def _aliases(groups: str) -> dict[str, tuple[str, ...]]:
    """Return the names that each array may have in a file, such as x, X, and for a split train_x, X_train and so on.

    The array of groups has the name `groups`; in a file with a split that name without a prefix is the training groups.
    """
    known: dict[str, tuple[str, ...]] = {name: (name,) for name in ("class_names", "feature_names")}
    for name, forms in (FORMS | ({"groups": (groups,)} if groups else {})).items():
        known[name] = forms
        for prefix in _SPLITS:
            known[prefix + name] = tuple(form for each in forms for form in (prefix + each, f"{each}_{prefix[:-1]}"))
    if groups:
        known["train_groups"] += (groups,)
    return known


def _map(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Map the array in a file of a folder into memory; an x must be (m, s, e), since other shapes are copied."""
    try:
        array = map_array(os.path.join(path, f"{name}.npy"))
    except ValueError as error:
        raise ValueError(f"{name}.npy: {error}") from None
    if "x" in name.lower().split("_") and array.ndim != 3:
        raise ValueError(f"{name}.npy: expected shape (m, s, e), got {array.shape}")
    return array


def _named(
    headers: Mapping[str, Any], read: Callable[[str], np.ndarray], there: list[str], known: dict[str, tuple[str, ...]]
) -> _Arrays:
    """Return the arrays by their canonical names; ValueError for an array under two names."""
    names = {}
    for name, aliases in known.items():
        found = [alias for alias in aliases if alias in headers]
        if len(found) > 1:
            raise ValueError(f"{name}: expected it once, got {' and '.join(found)}")
        if found:
            names[name] = found[0]
    return _Arrays({name: headers[alias] for name, alias in names.items()}, lambda name: read(names[name]), there)


def _dataset(arrays: _Arrays, groups: str) -> Dataset:
    """Read both splits, names and groups."""
    train, test = (_split(arrays, prefix) for prefix in _SPLITS)
    if train is None and test is None:
        train = _split(arrays, "")
    if train is None and test is None:
        raise ValueError(f"expected an array x, or train_x and test_x, got {', '.join(arrays.there) or 'none of them'}")
    if train and test and train.X.shape[2] != test.X.shape[2]:
        raise ValueError(f"test_x: expected {train.X.shape[2]} features as in train_x, got {test.X.shape[2]}")
    features, e = _names_in(arrays, "feature_names"), (train or test).X.shape[2]
    if features is not None and len(features) != e:
        raise ValueError(f"feature_names: expected {e} names, one for each feature of a step, got {len(features)}")
    given = step_arrays((train or test).X)
    notes = (f"read beside x: {', '.join(given)}",) if given else ()
    found = _groups(arrays, len(train.X), groups) if groups and train else None
    return Dataset(train, test, _names_in(arrays, "class_names"), features, notes, groups=found)


def _split(arrays: _Arrays, prefix: str) -> Split | None:
    """Read the split whose arrays begin with `prefix`; None if it has no x.

    Shapes and dtypes are checked by the headers before x and y are read.
    """
    x, y = (arrays.headers.get(prefix + name) for name in ("x", "y"))
    if x is None:
        return None
    frames = len(x.shape) == 2
    lengths = _lengths(arrays, x.shape, prefix)
    m, s, e = (lengths.size, int(lengths.max(initial=0)), x.shape[1]) if frames else x.shape
    checks.sequences(np.broadcast_to(np.zeros((), x.dtype), (m, s, e)), prefix + "x")  # a stand-in without memory
    steps = x.shape[:1] if frames else (m, s)
    spread = frames and y is not None and y.shape == steps != (m,) and y.dtype.kind != "f"  # a class of each frame
    if y is not None:
        _check_targets((m, s) if spread else y.shape, y.dtype, m, s, prefix + "y")
    beside = {name: _array(arrays, prefix + name) for name in STEP_ARRAYS if prefix + name in arrays.headers}
    for name, array in beside.items() if frames else ():
        if array.shape != steps:
            raise ValueError(f"{prefix}{name}: expected shape {steps}, a number for each step, got {array.shape}")
        beside[name] = _padded(array, lengths)
    X = arrays.read(prefix + "x")
    X = checks.sequences(_padded(X, lengths) if frames else X, prefix + "x")
    if y is not None:
        y = _array(arrays, prefix + "y")
        y = _padded(y, lengths) if spread else y if y.dtype.kind == "f" or y.shape == (m, s) != (m, 1) else y.reshape(m)
    return Split(Sequences(X, lengths, **beside), y)


def _groups(arrays: _Arrays, m: int, groups: str) -> np.ndarray:
    """Return the group of each of m training samples (m,)."""
    name = next((name for name in ("train_groups", "groups") if name in arrays.headers), None)
    if name is None:
        raise ValueError(f"groups: expected one of the arrays {', '.join(arrays.there)}, got {groups!r}")
    if (shape := arrays.headers[name].shape) != (m,):
        raise ValueError(f"groups: expected shape {(m,)}, one for each sample, got {shape} of {groups}")
    return _array(arrays, name)


def _lengths(arrays: _Arrays, shape: tuple[int, ...], prefix: str) -> np.ndarray | None:
    """Return the checked lengths (m,) of an x of `shape`, None if it has none; of frames (n, e) they must sum to n.

    An x of frames must have lengths.
    """
    name, header, frames = prefix + "lengths", arrays.headers.get(prefix + "lengths"), len(shape) == 2
    if len(shape) not in (2, 3) or (header is None and frames):
        raise ValueError(f"{prefix}x: expected shape (m, s, e), or (n, e) with {name}, got {shape}")
    if header is None:
        return None
    if len(header.shape) != 1 or header.shape[0] > shape[0]:
        raise ValueError(f"{name}: expected shape (m,), for m of {prefix}x {shape}, got {header.shape}")
    lengths = checks.integers(arrays.read(name), name)
    if not frames:
        return checks.lengths_of(lengths, *shape[:2], name)
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


def _check_targets(shape: tuple[int, ...], dtype: np.dtype, m: int, s: int, name: str) -> None:
    """Raise ValueError if a y of this shape and dtype cannot be the targets of m samples of s steps."""
    if dtype.kind not in "biufSU":
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {dtype}")
    if dtype.kind in "SU" and dtype.itemsize > LONGEST * dtype.alignment:
        raise ValueError(f"{name}: expected names of at most {LONGEST} characters, got dtype {dtype}")
    real = dtype.kind == "f"
    due = [(m,), (m, 1), (m, s)] + [(m, *shape[1:2]), (m, s, *shape[2:3])] * real
    if shape not in due or 0 in shape[1:]:
        due = f"{m} values, one for each sample, shape ({m},), or ({m}, k) for reals, ({m}, {s}) for classes of steps"
        raise ValueError(f"{name}: expected {due}, ({m}, {s}, k) for reals of steps, got {shape} {dtype}")


def _names_in(arrays: _Arrays, name: str) -> tuple[str, ...] | None:
    """Return the strings (k,) in the array `name`; None if it is absent, ValueError unless they are unique."""
    header = arrays.headers.get(name)
    if header is None:
        return None
    if len(header.shape) != 1 or header.dtype.kind not in "SUiu":
        raise ValueError(f"{name}: expected strings of shape (k,), got {header.dtype} of shape {header.shape}")
    if header.shape[0] * header.dtype.itemsize > _MOST_NAMES:
        raise ValueError(f"{name}: expected at most {_MOST_NAMES} bytes of them, got {header.dtype} {header.shape}")
    names = tuple(map(str, _array(arrays, name).tolist()))
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: expected every name once")
    return names


def _array(arrays: _Arrays, name: str) -> np.ndarray:
    """Read an array, with bytes decoded from UTF-8."""
    array = arrays.read(name)
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected strings in utf-8 ({error})") from None
