"""What every rival is."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import Case


class Rival:
    """A library at work on one case. What is timed is a call of one of its methods, and nothing around it:

        predict()  inference: the case's X -> all hidden states (m, s, u), zero past a sample's length
        train()    a whole training step: forward, backward from dA, gradients of all parameters, SGD -> dL/dX (m, s, e)
        step()     one step of a stream, m = s = 1, the state carried on from call to call -> the state

    X, dA and the parameters lie in the library's own layout before the first call, and what comes back is the library's
    own object, finished: `array` turns it into NumPy, outside of the timing.
    """

    name: str
    version: str
    variant = "reset-before"  # our equations; "reset-after": those of cuDNN
    dtypes: tuple[str, ...] = ("float64", "float32")
    works: tuple[str, ...] = ("inference", "training", "step")
    ragged = True

    def __init__(self, case: Case) -> None:
        self.case = case

    @classmethod
    def takes(cls, case: Case, work: str) -> bool:
        return case.dtype in cls.dtypes and work in cls.works and (cls.ragged or case.lengths is None)

    @classmethod
    def label(cls) -> str:
        return cls.name if cls.variant == "reset-before" else f"{cls.name} ({cls.variant})"

    def call(self, work: str) -> Any:
        """The method that does this kind of work."""
        return {"inference": self.predict, "training": self.train, "step": self.step}[work]

    def prepare(self) -> None:
        """Compile the training step, where that would otherwise happen in the first one."""

    def predict(self) -> Any:
        raise NotImplementedError

    def train(self) -> Any:
        raise NotImplementedError

    def step(self) -> Any:
        raise NotImplementedError

    @staticmethod
    def array(result: Any) -> np.ndarray:
        """A result as a NumPy array, batch-major."""
        return result
