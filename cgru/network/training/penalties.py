"""L1 and L2 penalties on parameters, and on the outputs of recurrent layers (activity penalties)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.options import Penalties
from cgru.optimizers import is_matrix

__all__ = ["factors_of", "penalty"]


def penalty(A: np.ndarray, l1: float, l2: float) -> tuple[float, np.ndarray]:
    """Return the penalty l1 sum |A| + l2 sum A^2 and its gradient; the gradient of |A| at 0 is taken as 0."""
    value = l1 * np.abs(A).sum(dtype=np.float64) + l2 * np.square(A, dtype=np.float64).sum()
    return float(value), (l1 * np.sign(A) + 2 * l2 * A).astype(A.dtype)


def factors_of(layers: Sequence[Layer], given: Penalties) -> Penalties:
    """Return penalties with `l1` and `l2` as dicts by parameter keys like `0.Uz`.

    ValueError for a key that matches no parameter.
    """
    return replace(given, **{name: _factors_by_key(layers, getattr(given, name), name) for name in ("l1", "l2")})


def _factors_by_key(layers: Sequence[Layer], value: Any, name: str) -> dict[str, float]:
    """Return the factors of option `name` by parameter keys, from a number for all matrices or a dict of patterns."""
    if value == 0:
        return {}
    keys = [f"{i}.{own}" for i, layer in chain.leaves(layers) if layer.trainable for own in layer.parameter_names]
    if not isinstance(value, Mapping):
        return dict.fromkeys(filter(is_matrix, keys), value)
    found = {}
    for pattern, each in value.items():
        matched = [key for key in keys if isinstance(pattern, str) and fnmatchcase(key, pattern)]
        if not matched:
            raise ValueError(f"{name}: expected keys that match some of {', '.join(keys)}, got {pattern!r}")
        found |= dict.fromkeys(matched, each)
    return found
