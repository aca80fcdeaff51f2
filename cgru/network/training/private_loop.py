"""The training loop of `optimizers.DP`: each sample's gradients are clipped, and noise is added to their sum.

A batch runs in blocks of few samples, whose gradients are clipped and added up before the next block runs. So the
gradients of all samples are never in memory together, and a step needs less memory than one without privacy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cgru import losses
from cgru.network import chain
from cgru.network.data.streaming import AnyData
from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.network.options import Settings
from cgru.network.training.loop import BatchSlice, Loop, targets, trainable
from cgru.network.training.loss_gradients import gradients_of_pass
from cgru.optimizers import DP, clipped_sums, noisy_step

__all__ = ["PrivateLoop", "check_private"]

NUMBERS, STEPS = 1 << 20, 1 << 13  # the most that a block has: numbers of its samples' gradients, and steps
LANES = 16  # a block has a multiple of so many samples, as the vectors of AVX-512 have them side by side
LEAST = 8  # samples of a block: with fewer, the products of a step are slow
MEASURES = "it would come from the samples without noise"
CUTS = "each update draws its own batch at random"
REFUSED = {  # options that must be the defaults, and why
    "standardize": f"{MEASURES}; scale X by known numbers",
    "standardize_targets": f"{MEASURES}; scale y by known numbers",
    "class_weight": "all samples have the same weight",
    "recover": MEASURES,
    "shuffle": CUTS,
    "bucket": CUTS,
    "truncate": "all steps of a sample have one gradient",
    "penalties": "each sample's gradient is clipped; the weight_decay of the optimizer is a penalty",
}


class PrivateLoop(Loop):
    """The training loop for a model whose optimizer is a `DP`."""

    def is_valid(self) -> bool:
        """Return whether the optimizer is still a `DP`, which a callback may have replaced."""
        return isinstance(self.model.optimizer, DP)

    def _batches(self, part: Data, order: np.ndarray) -> Iterator[Data]:
        """Yield random batches, each of which contains every sample with the same probability."""
        m, rng = len(order), self.model.optimizer.np_rng
        for _ in range(0, m, self.batch_size):
            yield part[np.flatnonzero(rng.random(m) * m < self.batch_size)]

    def _step(self, batch_slice: BatchSlice, fraction: float) -> tuple[float, float | None]:
        """Make the update of a batch; return (its loss, the weight of its correct predictions or None)."""
        model, batch, judge = self.model, batch_slice.data, losses.named(self.model.loss)
        loss, right, p = 0.0, 0.0, trainable(model)
        sums = {key: np.zeros_like(array) for key, array in p.items()}
        size = min(NUMBERS // sum(array.size for array in p.values()), STEPS // batch.extent[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for block in batch.blocks(max(size // LANES * LANES, LEAST)):
                trace, A, lengths = self._forward(BatchSlice(block))
                trace.append((f"{len(model.body)}", model.head.run(A, lengths)))
                values, g = gradients_of_pass(model, model.layers, trace, block, True, "trainable")
                loss += float(values[np.isfinite(values)].sum())  # a sample that adds nothing must not end the fit
                hits = judge.hits(block.rows(trace[-1][1].A), targets(model, block), None)
                right = None if hits is None else right + hits
                for key, each in clipped_sums(p, g, model.optimizer.max_norm).items():
                    sums[key] += each
            noisy_step(model.optimizer, p, sums, self.batch_size, model.carried, fraction)
            self._average(p)
        return loss / max(batch.count, 1), right


def check_private(settings: Settings, model: Model, data: AnyData) -> None:
    """Raise ValueError if a fit would read samples outside of clipped gradients, or let samples affect each other."""
    with_DP = "with the optimizer DP"
    if not data.in_memory:
        raise ValueError(f"X: expected arrays in memory {with_DP}: {CUTS}")
    for name, why in REFUSED.items():
        value, due = getattr(settings, name), getattr(Settings, name)
        if value != due:
            raise ValueError(f"{name}: expected {due} {with_DP}: {why}, got {value}")
    if data.weights is not None:
        raise ValueError(f"sample_weight: expected None {with_DP}: all samples have the same weight, got some")
    first = model.layers[0]
    if "missing" in first.reads and (model.mean is None or (first.unit is None and "times" in data.first.beside)):
        due = "net.mean and net.scale, with times also unit=,"
        raise ValueError(f"layers: expected {due} {with_DP}: {MEASURES}, got none for {first!r}")
    for key, layer in chain.leaves(model.layers):
        if any(part.stateful or part.clip_gradients for part in (layer, *layer.cells)):
            due = "no layer that is stateful or has clip_gradients"
            raise ValueError(f"layers: expected {due} {with_DP}, got {layer!r} as layer {key}")
