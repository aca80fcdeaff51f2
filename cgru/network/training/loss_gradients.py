"""Compute gradients of a model's loss without an update, for the mean loss or for each sample's loss.

Blocks of samples run in evaluation mode, on copies of the layers over the same parameters. m samples, k outputs; rows
are the samples, or with outputs at steps the real steps of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np

from cgru import losses
from cgru.layers.embedding import TokenGradients
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.data.streaming import AnyData
from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.passes import Pass

__all__ = ["gradients", "gradients_of_pass"]

STEPS = 1 << 16  # of the samples of a block, whose caches are in memory together


def gradients(model: Model, data: AnyData, each: bool = False) -> dict[str, Any]:
    """Return the gradients of the mean loss of `data` by keys like `0.Uz`; with `each` those of each sample's loss.

    Both means are weighted by row. ValueError where a layer has no gradients of each sample.
    """
    found: list[dict[str, Any]] = []
    weight = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in data.blocks(max(1, STEPS // data.extent[1])):
            g = _block_gradients(model, block, each)
            weight += block.count
            if each or not found:
                found.append(g)
                continue
            for key, value in g.items():
                found[0][key] += value
        if not each:
            return {key: value / value.dtype.type(weight) for key, value in found[0].items()}
    return {key: _joined([g[key] for g in found]) for key in found[0]}


def _block_gradients(model: Model, block: Data, each: bool) -> dict[str, Any]:
    """Return the gradients of a block's weighted sum of losses, or with `each` of each sample's mean loss."""
    layers, trace = [layer.evaluating() for layer in model.layers], []

    def run_layer(_: str, layer: Layer, A: np.ndarray, lengths: np.ndarray | None, **given: np.ndarray) -> Pass:
        """Return the forward pass of one layer."""
        return layer.run(A, lengths, **({"preactivations": False} if layer.cells else {}), **given)

    chain.run(layers, model.standardized(block.X), block.lengths, block.beside, run_layer, trace)
    return gradients_of_pass(model, layers, trace, block, each)[1]


def gradients_of_pass(
    model: Model, layers: Sequence[Layer], trace: chain.Trace, block: Data, each: bool, which: str = "p"
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the loss of each row of a block, and the gradients from the `trace` of its forward passes.

    `which` names the attribute of the layers that have gradients: "p" or "trainable".
    """
    of = {key: layer for key, layer in chain.leaves(layers) if getattr(layer, which)}
    if each:
        _check_passes(of, trace)
    head, (A, Z) = layers[-1], (block.rows(trace[-1][1].fc[name]) for name in ("A", "Z"))
    targets = losses.one_hot(block.rows(block.y), head.d["u"])
    values, dZ, dA = losses.named(model.loss).of_head(head, Z, A, targets, each=True)
    factors = _row_factors(block, each).astype(A.dtype)
    dZ, dA = (None if d is None else block.scatter(d * factors) for d in (dZ, dA))
    found: dict[str, Any] = {}
    lowest = next(i for i, layer in enumerate(layers) if getattr(layer, which))
    chain.go_back(trace[lowest:], dA, dZ)
    for key, ran in chain.passes(trace[lowest:]):
        if key in of:
            g = ran.gradients(True) if each else ran.gradients()
            found |= {f"{key}.{name}": _in_shape(g["d" + name], p, each) for name, p in of[key].p.items()}
    return values, found


def _check_passes(layers: dict[str, Layer], trace: chain.Trace) -> None:
    """Raise ValueError for a user-defined layer whose pass cannot return per-sample gradients."""
    for key, ran in chain.passes(trace):
        layer = layers.get(key)
        if layer is not None and layer.p and "each" not in signature(ran.gradients).parameters:
            due = "layers whose passes have gradients(each=True)"
            raise ValueError(f"each: expected {due}, got {layer!r} as layer {key}")


def _row_factors(block: Data, each: bool) -> np.ndarray:
    """Return each row's loss factor: its weight, or with `each` its fraction of its sample's total weight.

    Where all weights of a sample are 0, so are its shares.
    """
    weights = block.weights
    if weights is None:
        weights = block.output_mask.astype(np.float64) if block.per_step else np.ones(len(block))
    if each:
        total = weights.reshape(len(block), -1).sum(axis=1)
        weights = (weights.T / np.where(total > 0, total, 1)).T
    return block.rows(weights)[:, None]


def _in_shape(g: Any, p: np.ndarray, each: bool) -> Any:
    """Return a parameter's gradient in the shape of p, or with `each` (m, ...); those of tokens are unchanged."""
    if isinstance(g, TokenGradients):
        return g
    return g.reshape(len(g), *p.shape) if each else g.reshape(p.shape)


def _joined(parts: list[Any]) -> Any:
    """Concatenate the per-sample gradients of all blocks."""
    if len(parts) == 1:
        return parts[0]
    return TokenGradients.joined(parts) if isinstance(parts[0], TokenGradients) else np.concatenate(parts)
