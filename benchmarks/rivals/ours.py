"""cgru itself, and its plain NumPy definition, which stands in for EpyNN where that is not installed."""

from __future__ import annotations

import numpy as np

import cgru
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival
from cgru import reference


class Layer(Rival):
    """What `cgru.GRU` and EpyNN's layer have in common: the interface."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.inputs = (case.X,) if case.lengths is None else (case.X, case.lengths)
        self.layer = self.make()
        self.layer.p.update(case.parameters())
        self.layer.lrate, self.layer.e = [case.lrate], 0

    def make(self):
        raise NotImplementedError

    def train(self) -> np.ndarray:
        self.layer.forward(*self.inputs)
        dX = self.layer.backward(self.case.dA)
        self.layer.compute_gradients()
        self.layer.update_parameters()
        return dX


class Cgru(Layer):
    """Our layer in the way in which `cgru.Network` trains it: without pre-activations."""

    name, version = "cgru", f"cgru {cgru.__version__}"

    def make(self) -> cgru.GRU:
        single = "step" in self.case.shape.works
        self.h = np.zeros((1, self.case.shape.u), self.case.dtype)
        return cgru.GRU(self.case.shape.u, sequences=not single, dtype=self.case.dtype, preactivations=False)

    def predict(self) -> np.ndarray:
        return self.layer.predict(*self.inputs)

    def step(self) -> np.ndarray:
        self.h = self.layer.predict(self.case.X, h0=self.h)
        return self.h


class Reference(Rival):
    """`cgru.reference`, the layer in plain NumPy."""

    name, version = "cgru.reference", f"NumPy {np.__version__}"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.p = case.parameters()
        self.h: np.ndarray | None = None

    def predict(self) -> np.ndarray:
        h = reference.forward(self.p, self.case.X, lengths=self.case.lengths)["h"]
        return h if self.case.mask is None else h * self.case.mask

    def train(self) -> np.ndarray:
        lengths = self.case.lengths
        fc = reference.forward(self.p, self.case.X, lengths=lengths)
        bc = reference.backward(self.p, fc, self.case.dA, lengths)
        for name, gradient in reference.gradients(self.p, fc, bc, lengths).items():
            self.p[name[1:]] -= self.case.lrate * gradient
        return bc["dX"]

    def step(self) -> np.ndarray:
        self.h = reference.forward(self.p, self.case.X, self.h)["h"][:, 0]
        return self.h
