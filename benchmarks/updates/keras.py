"""Keras: `fit` on JAX, its train steps compiled, so many in one; one call an epoch."""

from __future__ import annotations

import numpy as np

import cgru
from benchmarks.rivals.keras import keras  # with JAX behind it
from benchmarks.updates.base import Trainer
from benchmarks.updates.kinds import EPSILON, FEWEST, RATE, REGRESSION, Job
from cgru.interop import from_keras, to_keras


class Keras(Trainer):
    """The head gives what is before the activation, and the loss takes that."""

    name, version = "Keras", f"Keras {keras.__version__}"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.model = to_keras(job.network(activate="identity"))
        if job.kind.loss == REGRESSION:
            loss = keras.losses.MeanSquaredError()
        elif job.kind.k == 1:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        else:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # Keras has the epsilon hat of Kingma and Ba, which in the first update is this.
        adam = keras.optimizers.Adam(RATE, epsilon=EPSILON * (1 - cgru.Adam().beta_2) ** 0.5)
        self.model.compile(adam, loss, jit_compile=True, steps_per_execution=FEWEST)
        one = job.kind.k == 1 and job.kind.loss != REGRESSION
        self.y = job.y[..., None].astype(job.dtype) if one else job.y

    def _fit(self, n: int) -> float:
        history = self.model.fit(self.job.X[:n], self.y[:n], batch_size=self.job.kind.m, epochs=1, verbose=0)
        return history.history["loss"][-1]

    def first(self) -> float:
        return self._fit(self.job.kind.m)

    def epoch(self) -> None:
        self._fit(len(self.job.X))

    def parameters(self) -> dict[str, np.ndarray]:
        return from_keras(self.model).parameters()


CLASSES = (Keras,)
