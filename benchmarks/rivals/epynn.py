"""EpyNN, the pure-NumPy original."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from benchmarks.rivals.ours import Layer

if not hasattr(np, "VisibleDeprecationWarning"):  # EpyNN asks for it where NumPy 1 had it
    setattr(np, "VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning)  # noqa: B010

from epynn.gru.models import GRU
from epynn.settings import se_hPars


class EpyNN(Layer):
    """It has no inference of its own, `forward` fills its caches; no lengths, no initial state, no float32."""

    name, version = "EpyNN", f"EpyNN {version('epynn')}"
    dtypes, works, ragged = ("float64",), ("inference", "training"), False

    def make(self) -> GRU:
        return GRU(self.case.shape.u, sequences=True, se_hPars=dict(se_hPars))

    def predict(self) -> np.ndarray:
        return self.layer.forward(self.case.X)


CLASS = EpyNN
