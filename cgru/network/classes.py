"""Check class labels and the names of classes, features and targets, and encode labels as integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru import losses
from cgru.layers.layer import Layer
from cgru.losses import Function
from cgru.network import chain

__all__ = ["as_strings", "checked_feature_names", "checked_labels", "encode_classes"]


def checked_labels(
    layers: Sequence[Layer], loss: str | Function, class_names: Any, classes: Any, target_names: Any
) -> dict[str, Any]:
    """Check the `class_names`, `classes` and `target_names` of a network with these layers; return them as a dict."""
    k, classifies = layers[-1].d["u"], losses.classifies(loss)
    names = _checked_different(class_names, (2 if k == 1 else k) if classifies else None, "class_names")
    if names is not None and not classifies:
        raise ValueError(f"class_names: expected None for {loss}, got {len(names)} names")
    values = None if classes is None else _checked_classes(classes, loss, k, chain.per_step(layers))
    if target_names is not None and classifies:
        raise ValueError(f"target_names: expected None for {loss}, got {list(target_names)}")
    targets = _checked_different(target_names, losses.named(loss).targets(k), "target_names")
    return {"class_names": names, "classes": values, "target_names": targets}


def _checked_classes(values: Any, loss: str | Function, k: int, per_step: bool) -> np.ndarray:
    """Check class labels `values`, one for each of k units, and return them as an array; only strings if `per_step`.

    Values are booleans, numbers of up to 64 bits or strings; the strings may stand in an array of objects.
    """
    array = np.array(values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        array = np.array(values, None if all(isinstance(each, str) for each in values) else object)  # no 1 beside "1"
    words = array.dtype.kind == "U" or (array.dtype == object and all(isinstance(each, str) for each in array.flat))
    if not words and (array.dtype.kind not in "biuf" or array.dtype.itemsize > 8):
        got = sorted({type(each).__name__ for each in array.flat}) if array.dtype == object else [str(array.dtype)]
        raise TypeError(f"classes: expected booleans, numbers of up to 64 bits or strings, got {', '.join(got)}")
    due = 2 if k == 1 else k
    if not losses.named(loss).predicts_one_class(k):
        raise ValueError(f"classes: expected None if an output is not a class, got them for {loss} of {k} units")
    if array.shape != (due,) or len(set(array.tolist())) != due or (array != array).any():
        raise ValueError(f"classes: expected {due} different values, got {array.tolist()}")
    if per_step and not words:
        raise ValueError("classes: expected strings or None with outputs at steps, which may be padded, got numbers")
    return array


def checked_feature_names(names: Any, e: int | None) -> tuple[str, ...] | None:
    """Check that `names` are different strings, one per feature (e None: any number); return a tuple."""
    return _checked_different(names, e, "feature_names")


def _checked_different(names: Any, count: int | None, argument: str) -> tuple[str, ...] | None:
    """Check that `names` are `count` different strings (None: any number); return a tuple.

    TypeError or ValueError by the name of the `argument`. None stays None.
    """
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"{argument}: expected a sequence of strings or None, got {type(names).__name__}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument}: expected strings, got " + ", ".join(sorted({type(n).__name__ for n in names})))
    if len(set(names)) < max(len(names), 1) or count not in (None, len(names)):
        due = "" if count is None else f"{count} "
        raise ValueError(f"{argument}: expected {due}different names, got {list(names)}")
    return tuple(map(str, names))


def encode_classes(
    y: Any, names: tuple[str, ...] | None, classes: np.ndarray | None, steps: np.ndarray | None, name: str
) -> Any:
    """Return `y` with each class replaced by its index in `classes`, or else in `names`; 0 in the padding.

    `steps` (m, s) says which steps are real. A `y` without such classes, such as probabilities, is returned as it is.
    `name` is a prefix for errors.
    """
    known = names if classes is None else classes
    given = None if known is None else _as_classes(y, np.asarray(known), steps)
    if given is None:
        return y
    known = np.asarray(known, given.dtype if given.dtype.kind != "U" else str)
    order = np.argsort(known)
    places = order[np.searchsorted(known, given, sorter=order).clip(max=len(known) - 1)]
    wrong = given != known[places]
    if steps is not None and steps.shape == given.shape:
        wrong, places = wrong & steps, np.where(steps, places, 0)
    if wrong.any():
        due = "names of classes" if classes is None else "classes"
        some, got = ", ".join(map(str, known.tolist())), given[wrong].tolist()[0]
        raise ValueError(f"{name}y: expected {due}, {some}, got {got!r}")
    return places


def _as_classes(y: Any, known: np.ndarray, steps: np.ndarray | None) -> np.ndarray | None:
    """Return `y` with the type of `known`, strings or numbers; None if its type or its axes do not match."""
    if known.dtype.kind in "UO":
        return as_strings(y)
    try:
        array = np.asarray(y)
    except ValueError:
        return None
    if array.dtype.kind not in "biuf" or array.ndim != 1 + (steps is not None):
        return None
    both = np.result_type(array, known)
    exact = both.kind in "biu" or "f" in array.dtype.kind + known.dtype.kind
    return array.astype(both if exact else object, copy=False)  # no float holds all of int64 and uint64


def as_strings(y: Any) -> np.ndarray | None:
    """Return `y` as an array of strings, also from a pandas object; None if it has other values."""
    try:
        array = np.asarray(y)
    except ValueError:
        return None
    if array.dtype == object and array.size and all(isinstance(each, str) for each in array.flat):
        return array.astype(str)
    return array if array.dtype.kind == "U" else None
