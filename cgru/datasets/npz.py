"""Reader of data sets in `.npz` files and folders of `.npy` files. m samples, s steps, e features, n frames.

Frames are the steps of all samples one after another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from cgru.core import checks
from cgru.core.lengths import padded
from cgru.datasets.columns import LONGEST
from cgru.datasets.dataset import Dataset, Split, check_bytes, check_padding
from cgru.files import Archive, map_array
from cgru.network.data.samples import STEP_ARRAYS, Sequences, step_arrays

__all__ = ["read_npz"]

FORMS = {"x": ("x", "X"), "y": ("y", "Y"), "lengths": ("lengths",)} | {name: (name,) for name in STEP_ARRAYS}
Arrays = Mapping[str, np.ndarray]  # by their canonical names: train_x for X_train


def read_npz(path: str | os.PathLike[str], groups: str = "") -> Dataset:
    """Read the data set from an `.npz` file or a folder of `.npy` files; `groups` is an array's name, "" for none."""
    known = _canonical_names()
    of_groups = (f"train_{groups}", f"{groups}_train", groups) if groups else ()
    if os.path.isdir(path):
        there = sorted(file.removesuffix(".npy") for file in os.listdir(path) if file.endswith(".npy"))
        arrays = {name: _map(path, name) for name in there if name in (*known, *of_groups)}
    else:
        with open(path, "rb") as file:
            try:
                archive = Archive(file, {*known, *of_groups})
            except ValueError as error:
                raise ValueError(f"expected an .npz file of plain arrays: {error}") from None
            sizes = [math.prod(each.shape) * each.dtype.itemsize for each in archive.headers.values()]
            check_bytes(sum(sizes), path, "the arrays that numpy.load returns go into Network.fit")
            arrays, there = {name: archive.read(name) for name in archive.headers}, archive.all_names
    found: dict[str, np.ndarray] = {}
    for alias in [alias for alias in arrays if alias in known]:
        if (name := known[alias]) in found:
            raise ValueError(f"{name}: expected it once, got {alias}, too")
        found[name] = _decoded(arrays[alias], name)
    for alias in [alias for alias in reversed(of_groups) if alias in arrays]:
        found["groups"] = _decoded(arrays[alias], groups)
    return _dataset(found, there, groups)


def _canonical_names() -> dict[str, str]:
    """Return the names that arrays may have in a file, such as X_train, and the canonical name of each."""
    known = {name: name for name in ("class_names", "feature_names")}
    for name, forms in FORMS.items():
        for form in forms:
            known[form] = name
            for split in ("train", "test"):
                known[f"{split}_{form}"] = known[f"{form}_{split}"] = f"{split}_{name}"
    return known


def _map(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Memory-map an array in a folder; require (m, s, e) of an x, since other shapes would be copied."""
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
    """Build the data set from its arrays: both splits, names and groups."""
    train, test = _split(arrays, "train_"), _split(arrays, "test_")
    train = _split(arrays, "") if train is test is None else train
    if train is test is None:
        raise ValueError(f"expected an array x, or train_x and test_x, got {', '.join(there) or 'none of them'}")
    e = (train or test).X.shape[2]
    if train and test and test.X.shape[2] != e:
        raise ValueError(f"test_x: expected {e} features as in train_x, got {test.X.shape[2]}")
    names = {name: _names_in(arrays, name) for name in ("class_names", "feature_names")}
    if names["feature_names"] and len(names["feature_names"]) != e:
        raise ValueError(f"feature_names: expected {e} names, one for each feature of a step, got another number")
    given = step_arrays((train or test).X)
    notes = (f"read beside x: {', '.join(given)}",) if given else ()
    found = arrays.get("groups") if train else None
    if groups and train and np.shape(found) != (len(train.X),):
        got = f"none called {groups} in {', '.join(there)}" if found is None else f"shape {found.shape} of {groups}"
        raise ValueError(f"groups: expected an array ({len(train.X)},), one for each sample, got {got}")
    return Dataset(train, test, **names, notes=notes, groups=found)


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
                raise ValueError(f"{prefix}{name}: expected shape {x.shape[:1]}, as the rows of x, got {array.shape}")
            beside[name] = _padded(array, lengths)
        x = _padded(checks.real(x, f"{prefix}x"), lengths)
    if x.ndim != 3:
        raise ValueError(f"{prefix}x: expected shape (m, s, e), or (n, e) with {prefix}lengths, got {x.shape}")
    x = checks.sequences(x, f"{prefix}x")
    X = Sequences(x, checks.lengths_of(lengths, *x.shape[:2], prefix + "lengths"), **beside)
    return Split(X, None if y is None else _targets(y, *x.shape[:2], prefix + "y"))


def _padded(frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Cut frames (n, ...) into samples (m, s, ...) of these lengths, padded with zeros."""
    check_padding(lengths, math.prod(frames.shape[1:]))
    return padded(np.split(frames, np.cumsum(lengths)[:-1]))[0] if lengths.size else frames[None][:0]


def _targets(y: np.ndarray, m: int, s: int, name: str) -> np.ndarray:
    """Check the targets y of m samples of s steps, and return them; ValueError for another shape or dtype."""
    real = y.dtype.kind == "f"
    if y.dtype.kind not in "biufSU":
        raise ValueError(f"{name}: expected integers, strings or reals, got dtype {y.dtype}")
    if 0 in y.shape[1:] or y.shape not in [(m,), (m, 1), (m, s)] + [(m, *y.shape[1:2]), (m, s, *y.shape[2:3])] * real:
        due = f"{m} values, one for each sample, shape ({m},), or ({m}, k) for reals, ({m}, {s}) for classes of steps"
        raise ValueError(f"{name}: expected {due}, ({m}, {s}, k) for reals of steps, got {y.shape} {y.dtype}")
    return y if real or y.shape == (m, s) != (m, 1) else y.reshape(m)


def _names_in(arrays: Arrays, name: str) -> tuple[str, ...] | None:
    """Return the strings in the array `name`, None if it is absent; ValueError unless all differ."""
    if (array := arrays.get(name)) is None:
        return None
    if array.ndim != 1 or array.dtype.kind not in "SUiu" or len(np.unique(array)) < len(array):
        raise ValueError(f"{name}: expected strings of shape (k,), each once, got {array.dtype} of shape {array.shape}")
    return tuple(map(str, array.tolist()))
