"""Reader of data sets in `.npz` files and folders of `.npy` files. m samples, s steps, e features, n frames.

Frames are the steps of all samples one after another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from cgru.core import checks
from cgru.datasets.columns import LONGEST
from cgru.datasets.dataset import Dataset, Split, check_bytes, check_padding
from cgru.files import Archive, map_array
from cgru.network.data.samples import STEP_ARRAYS, Sequences, step_arrays

__all__ = ["read_npz"]

_SPLITS = ("train_", "test_")
FORMS = {"x": ("x", "X"), "y": ("y", "Y"), "lengths": ("lengths",)} | {name: (name,) for name in STEP_ARRAYS}
Arrays = Mapping[str, np.ndarray]  # by their canonical names: train_x for X_train


def read_npz(path: str | os.PathLike[str], groups: str = "") -> Dataset:
    """Read the data set from an `.npz` file or a folder of `.npy` files; `groups` is an array's name, "" for none."""
    known = _aliases(groups)
    wanted = {alias for aliases in known.values() for alias in aliases}
    if os.path.isdir(path):
        there = sorted(file.removesuffix(".npy") for file in os.listdir(path) if file.endswith(".npy"))
        arrays = {name: _map(path, name) for name in there if name in wanted}
    else:
        with open(path, "rb") as file:
            try:
                archive = Archive(file, wanted)
            except ValueError as error:
                raise ValueError(f"expected an .npz file of plain arrays: {error}") from None
            sizes = [math.prod(each.shape) * each.dtype.itemsize for each in archive.headers.values()]
            check_bytes(sum(sizes), path, "the arrays that numpy.load returns go into Network.fit")
            arrays, there = {name: archive.read(name) for name in archive.headers}, archive.all_names
    found = {}
    for name, aliases in known.items():
        names = [alias for alias in aliases if alias in arrays]
        if len(names) > 1:
            raise ValueError(f"{name}: expected it once, got {' and '.join(names)}")
        if names:
            found[name] = _decoded(arrays[names[0]], name)
    return _dataset(found, there, groups)


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


def _decoded(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array with bytes decoded from UTF-8; refuse very long strings."""
    if array.dtype.kind in "SU" and array.dtype.itemsize > LONGEST * array.dtype.alignment:
        raise ValueError(f"{name}: expected names of at most {LONGEST} characters, got dtype {array.dtype}")
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected strings in utf-8 ({error})") from None


def _dataset(arrays: Arrays, there: list[str], groups: str) -> Dataset:
    """Return the data set of both splits, names and groups."""
    train, test = (_split(arrays, prefix) for prefix in _SPLITS)
    if train is None and test is None:
        train = _split(arrays, "")
    if train is None and test is None:
        raise ValueError(f"expected an array x, or train_x and test_x, got {', '.join(there) or 'none of them'}")
    e = (train or test).X.shape[2]
    if train and test and test.X.shape[2] != e:
        raise ValueError(f"test_x: expected {e} features as in train_x, got {test.X.shape[2]}")
    features, classes = (_names_in(arrays, name) for name in ("feature_names", "class_names"))
    if features is not None and len(features) != e:
        raise ValueError(f"feature_names: expected {e} names, one for each feature of a step, got {len(features)}")
    given = step_arrays((train or test).X)
    notes = (f"read beside x: {', '.join(given)}",) if given else ()
    found = arrays.get("train_groups", arrays.get("groups")) if groups and train else None
    if groups and train and np.shape(found) != (len(train.X),):
        got = f"shape {found.shape} of {groups}" if found is not None else f"none called {groups} in {', '.join(there)}"
        raise ValueError(f"groups: expected an array ({len(train.X)},), one for each sample, got {got}")
    return Dataset(train, test, classes, features, notes, groups=found)


def _split(arrays: Arrays, prefix: str) -> Split | None:
    """Return the split whose arrays begin with `prefix`; None if it has no x."""
    x, y, lengths = (arrays.get(prefix + name) for name in ("x", "y", "lengths"))
    beside = {name: arrays[prefix + name] for name in STEP_ARRAYS if prefix + name in arrays}
    if x is None:
        return None
    if x.ndim == 2 and lengths is not None:
        lengths = checks.lengths_of(lengths, np.size(lengths), len(x), prefix + "lengths")
        if lengths.sum() != len(x):
            raise ValueError(f"{prefix}lengths: expected a sum of {len(x)}, the rows of x, got {lengths.sum()}")
        if y is not None and y.shape == x.shape[:1] != lengths.shape and y.dtype.kind != "f":  # a class of each frame
            y = _padded(y, lengths)
        for name, array in beside.items():
            if array.shape != x.shape[:1]:
                due = f"{x.shape[:1]}, a number for each row of x"
                raise ValueError(f"{prefix}{name}: expected shape {due}, got {array.shape}")
            beside[name] = _padded(array, lengths)
        x = _padded(checks.real(x, f"{prefix}x"), lengths)
    if x.ndim != 3:
        raise ValueError(f"{prefix}x: expected shape (m, s, e), or (n, e) with {prefix}lengths, got {x.shape}")
    x = checks.sequences(x, f"{prefix}x")
    X = Sequences(x, checks.lengths_of(lengths, *x.shape[:2], prefix + "lengths"), **beside)
    return Split(X, None if y is None else _targets(y, *x.shape[:2], prefix + "y"))


def _padded(frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return frames (n, ...) as samples (m, s, ...), zero past each sample's length."""
    check_padding(lengths, math.prod(frames.shape[1:]))
    s = lengths.max(initial=0)
    padded = np.zeros((lengths.size, s, *frames.shape[1:]), frames.dtype)
    padded[np.arange(s) < lengths[:, None]] = frames
    return padded


def _targets(y: np.ndarray, m: int, s: int, name: str) -> np.ndarray:
    """Return the targets y of m samples of s steps; ValueError if they cannot be."""
    real = y.dtype.kind == "f"
    if y.dtype.kind not in "biufSU":
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {y.dtype}")
    if 0 in y.shape[1:] or y.shape not in [(m,), (m, 1), (m, s)] + [(m, *y.shape[1:2]), (m, s, *y.shape[2:3])] * real:
        due = f"{m} values, one for each sample, shape ({m},), or ({m}, k) for reals, ({m}, {s}) for classes of steps"
        raise ValueError(f"{name}: expected {due}, ({m}, {s}, k) for reals of steps, got {y.shape} {y.dtype}")
    return y if real or y.shape == (m, s) != (m, 1) else y.reshape(m)


def _names_in(arrays: Arrays, name: str) -> tuple[str, ...] | None:
    """Return the strings (k,) in the array `name`; None if it is absent, ValueError unless they are unique."""
    if (array := arrays.get(name)) is None:
        return None
    if array.ndim != 1 or array.dtype.kind not in "SUiu":
        raise ValueError(f"{name}: expected strings of shape (k,), got {array.dtype} of shape {array.shape}")
    names = tuple(map(str, array.tolist()))
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: expected every name once")
    return names
