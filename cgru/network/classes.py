"""The names of classes, given or found in targets that are strings, and those of elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import losses
from cgru.losses import Loss

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["checked_features", "checked_names", "class_names", "numbered", "one_of_them", "strings_in"]


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


def class_names(net: Network) -> tuple[str, ...]:
    """The class names of a network, which are the indices where it has none."""
    if net.class_names is not None:
        return tuple(net.class_names)
    return tuple(map(str, range(max(2, net.layers[-1].d["u"]))))


def checked_features(names: Any, e: int | None) -> tuple[str, ...] | None:
    """`feature_names` as a tuple, one for each of e elements; any number of them where e is None."""
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"feature_names: expected a sequence of strings or None, got {type(names).__name__}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("feature_names: expected strings, got " + ", ".join(sorted({type(n).__name__ for n in names})))
    if len(set(names)) < max(len(names), 1) or e not in (None, len(names)):
        raise ValueError(f"feature_names: expected {'' if e is None else f'{e} '}different names, got {list(names)}")
    return tuple(map(str, names))


def numbered(net: Network, y: Any, names: tuple[str, ...] | None, steps: np.ndarray | None, name: str) -> Any:
    """Strings as their places in `names`, 0 at steps (m, s) that are padded, None: none is; anything else as it is."""
    strings = strings_in(y) if names and one_of_them(net) else None
    if strings is None:
        return y
    order = np.argsort(names)
    places = order[np.searchsorted(names, strings, sorter=order).clip(max=len(names) - 1)]
    wrong = strings != np.array(names)[places]
    if steps is not None and steps.shape == strings.shape:
        wrong, places = wrong & steps, np.where(steps, places, 0)
    if wrong.any():
        raise ValueError(f"{name}y: expected names of classes, {', '.join(names)}, got {str(strings[wrong][0])!r}")
    return places


def one_of_them(net: Network) -> bool:
    """Whether each output says one class, which can have a name."""
    return net.loss == "cross_entropy" or (net.loss == "binary_cross_entropy" and net.head.d["u"] == 1)


def strings_in(y: Any) -> np.ndarray | None:
    """`y` as an array of strings, those of pandas among them; None where it is anything else."""
    try:
        array = np.asarray(y)
    except ValueError:
        return None
    if array.dtype == object and array.size and all(isinstance(each, str) for each in array.flat):
        return array.astype(str)
    return array if array.dtype.kind == "U" else None
