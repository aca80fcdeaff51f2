"""Describe a model in words, for `cgru info MODEL`."""

from __future__ import annotations

import cgru
from cgru.cli.arguments import as_options
from cgru.datasets import Columns
from cgru.network.presentation import figures

__all__ = ["about"]


def about(net: cgru.Network, columns: Columns) -> dict[str, str]:
    """Return a description of a model as name: text: layers, loss, classes, features, how data are read, samples."""
    found = {"layers": ", ".join(map(repr, net.layers))}
    found["parameters"] = f"{net.summary().parameters} of {net.dtype}"
    if net.loss is not None:
        found["loss"] = str(net.loss)
    if cgru.losses.classifies(net.loss):
        found["classes"] = ", ".join(net.data_spec.labels)
    if net.target_names:
        found["targets"] = ", ".join(net.target_names)
    found |= _describe_features(net)
    read = {name: value for name, value in columns.to_dict().items() if name != "parts"}
    found["reads with"] = as_options(read) or "no options"
    found["trained on"] = _describe_training_samples(net)
    return found


def _describe_features(net: cgru.Network) -> dict[str, str]:
    """Return the names of the features, with the range of each in the training data where that is known."""
    kept = net.remembered
    if kept is None or kept.low is None:
        names = ", ".join(net.feature_names or ()) or (f"{net.features}" if net.features else "")
        return {"features": names} if names else {}
    names = net.feature_names or [f"feature {j}" for j in range(len(kept.low))]
    ranges = (figures(pair) for pair in zip(kept.low.tolist(), kept.high.tolist(), strict=True))
    return {"features": ", ".join(f"{name} {low} to {high}" for name, (low, high) in zip(names, ranges, strict=True))}


def _describe_training_samples(net: cgru.Network) -> str:
    """Return how many samples the model was trained on, as far as that is known."""
    kept = net.remembered
    if kept is None:
        return "samples that it does not remember"
    both = kept.trained, kept.validated
    counts = [f"{'' if hashes.complete else 'more than '}{len(hashes.values)}" for hashes in both]
    chose = "the epoch and the shrinkage" if kept.shrunk else "the epoch"
    held = f", {counts[1]} more chose {chose}" if len(kept.validated.values) else ""
    earlier = "" if kept.whole else ", and perhaps on others before"
    return f"{counts[0]} different samples{held}{earlier}"
