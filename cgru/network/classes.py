"""The names of classes: given, or found in targets that are strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import losses
from cgru.core.lengths import mask
from cgru.losses import Loss

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["checked_names", "names_in", "numbered"]


def checked_names(names: Any, loss: str | Loss, k: int) -> tuple[str, ...] | None:
    """`class_names` as a tuple, one for each class of a head of k units."""
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"class_names: expected a sequence of strings or None, got {type(names).__name__}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("class_names: expected strings, got " + ", ".join(sorted({type(n).__name__ for n in names})))
    if loss not in losses.CLASSIFYING:
        raise ValueError(f"class_names: expected None for {loss}, got {len(names)} names")
    classes = 2 if k == 1 else k
    if len(names) != classes or len(set(names)) != classes:
        raise ValueError(f"class_names: expected {classes} different names, got {list(names)}")
    return tuple(map(str, names))


def names_in(net: Network, y: Any, lengths: Any) -> tuple[str, ...] | None:
    """The names of the classes of `net`: its own, or where it has none and `y` is strings those, in sorted order.

    ValueError where they are not as many as there are classes.
    """
    strings = None if net.class_names else _strings(y)
    if strings is None or not _one_of_them(net):
        return net.class_names
    if lengths is not None and strings.ndim == 2 and len(strings) == len(lengths):
        strings = strings[mask(lengths, strings.shape[1])[:, :, 0]]
    found, k = np.unique(strings).tolist(), max(net.head.d["u"], 2)
    if len(found) != k:
        some = ", ".join(map(repr, found[:9])) + (", ..." if len(found) > 9 else "")
        cure = "class_names says which are missing" if len(found) < k else "N classes need a head of N units"
        raise ValueError(f"y: expected the names of {k} classes, got {len(found)}, {some}; {cure}")
    return tuple(found)


def numbered(net: Network, y: Any, names: tuple[str, ...] | None, steps: np.ndarray, name: str) -> Any:
    """Strings as their places in `names`, 0 at steps (m, s) that are padded; anything else as it is."""
    strings = _strings(y) if names and _one_of_them(net) else None
    if strings is None:
        return y
    order = np.argsort(names)
    places = order[np.searchsorted(names, strings, sorter=order).clip(max=len(names) - 1)]
    wrong = strings != np.array(names)[places]
    if steps.shape == strings.shape:
        wrong, places = wrong & steps, np.where(steps, places, 0)
    if wrong.any():
        raise ValueError(f"{name}y: expected names of classes, {', '.join(names)}, got {str(strings[wrong][0])!r}")
    return places


def _one_of_them(net: Network) -> bool:
    """Whether each output says one class, which can have a name."""
    return net.loss == "cross_entropy" or (net.loss == "binary_cross_entropy" and net.head.d["u"] == 1)


def _strings(y: Any) -> np.ndarray | None:
    """`y` as an array of strings, those of pandas among them; None where it is anything else."""
    try:
        array = np.asarray(y)
    except ValueError:
        return None
    if array.dtype == object and array.size and all(isinstance(each, str) for each in array.flat):
        return array.astype(str)
    return array if array.dtype.kind == "U" else None
