"""`cgru.Network.fit`, and the compiled steps of its layers alone."""

from __future__ import annotations

import numpy as np

import cgru
from benchmarks.updates.base import Trainer
from benchmarks.updates.kinds import Job


class Cgru(Trainer):
    """One call of `fit` an epoch."""

    name, version = "cgru", f"cgru {cgru.__version__}"

    def __init__(self, job: Job, reset_after: bool = False) -> None:
        super().__init__(job)
        self.net = job.network(reset_after=reset_after)

    def first(self) -> float:
        m = self.job.kind.m
        return self.net.fit(self.job.X[:m], self.job.y[:m], batch_size=m, epochs=1)[-1].loss

    def epoch(self) -> None:
        self.net.fit(self.job.X, self.job.y, batch_size=self.job.kind.m, epochs=1)

    def parameters(self) -> dict[str, np.ndarray]:
        return self.net.parameters()


class Layers:
    """Forward, backward and gradients of the layers below the head, on one batch: what an update cannot do without."""

    name = "layers alone"

    def __init__(self, job: Job) -> None:
        self.layers = job.network().body
        self.X = job.X[: job.kind.m]
        top = self.forward()[-1]
        self.dA = np.random.default_rng(3).standard_normal(top.A.shape).astype(job.dtype)

    def forward(self) -> list:
        A, passes = self.X, []
        for layer in self.layers:
            passes.append(layer.run(A, preactivations=False))  # as `fit` runs them
            A = passes[-1].A
        return passes

    def step(self) -> None:
        dA = self.dA
        for each in reversed(self.forward()):
            dA = each.backward(dA)
            each.gradients()
