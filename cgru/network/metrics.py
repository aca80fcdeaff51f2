"""Numbers of the user's own by which a network is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru.core.blocks import at_once
from cgru.core.checks import callable_
from cgru.network.samples import Data

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["Metric", "checked", "measured", "outputs"]

Metric = Callable[[np.ndarray, np.ndarray], Any]


def checked(metrics: Mapping[str, Metric] | None) -> dict[str, Metric]:
    """`metrics` as a dict; TypeError or ValueError where they are not functions by names."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
        raise TypeError(f"metrics: expected a dict of functions by name, got {type(metrics).__name__}")
    for name, metric in metrics.items():
        callable_(metric, f"metrics[{name!r}]")
        if name in ("loss", "accuracy", "losses"):
            raise ValueError(f"metrics: expected another name than loss, accuracy and losses, got {name!r}")
    return dict(metrics)


def measured(net: Network, data: Data, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Each metric of the targets in `data` and the outputs, one row for each sample or real step."""
    if not metrics:
        return {}
    A, y, _ = outputs(net, data)
    return {name: _number(metric(y, A), name) for name, metric in metrics.items()}


def outputs(net: Network, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The outputs (n, k), the targets and the weights (n,), None where all are 1: of n samples or real steps."""
    found = []
    for block in [data] if isinstance(data, Data) else data.blocks(at_once(data.first.X.shape)):
        net.reset_states()
        A = net.predict(block.X, block.lengths)
        found.append([block.rows(each) for each in (A, block.y, block.weights)])
    net.reset_states()
    A, y, weights = zip(*found, strict=True)
    return np.concatenate(A), np.concatenate(y), None if weights[0] is None else np.concatenate(weights)


def _number(value: Any, name: str) -> float:
    if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
        raise TypeError(f"metrics[{name!r}]: expected a number, got {type(value).__name__}")
    return float(value)
