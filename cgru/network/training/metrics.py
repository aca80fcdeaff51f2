"""Metrics: user-defined functions of targets and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.row_blocks import default_batch_size
from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.network.options import Metric

__all__ = ["compute_metrics", "outputs_and_targets"]


def compute_metrics(model: Model, data: Data, metrics: Mapping[str, Metric] | None) -> dict[str, float]:
    """Compute each metric on the targets in `data` and the model's outputs; return the values by name.

    A metric gets one row for each sample or real step.
    """
    if not metrics:
        return {}
    A, y, _ = outputs_and_targets(model, data)
    return {name: _number(metric(y, A), name) for name, metric in metrics.items()}


def outputs_and_targets(model: Model, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return outputs (n, k), targets, and weights (n,) or None, of n samples or real steps."""
    found = []
    for block in [data] if data.in_memory else data.blocks(default_batch_size(data.first.X.shape)):
        model.reset_states()
        A, _ = model.outputs(block.X, block.lengths, default_batch_size(block.X.shape), beside=block.beside)
        found.append([block.rows(each) for each in (A, block.y, block.weights)])
    model.reset_states()
    A, y, weights = zip(*found, strict=True)
    return np.concatenate(A), np.concatenate(y), None if weights[0] is None else np.concatenate(weights)


def _number(value: Any, name: str) -> float:
    """Return the value of the metric `name` as a float; TypeError if it is not a number."""
    if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
        raise TypeError(f"metrics[{name!r}]: expected a number, got {type(value).__name__}")
    return float(value)
