"""PyTorch's `nn.GRU`, time-major, as it computes; a step is `nn.GRUCell`."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks import THREADS
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival

torch.set_num_threads(THREADS)
GATES = ("r", "z", "hh")


class Torch(Rival):
    """It knows only the reset gate after the product. A ragged batch is packed and padded again in the call."""

    name, version, variant = "PyTorch", f"PyTorch {torch.__version__}", "reset-after"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        m, _, e, u, _ = case.shape
        cell = torch.nn.GRUCell if "step" in case.shape.works else torch.nn.GRU
        self.layer = cell(e, u, dtype=getattr(torch, case.dtype))
        values = [case.joined(kind, GATES) for kind in "UVb"]
        with torch.no_grad():
            for parameter, value in zip(self.layer.parameters(), (*values, np.zeros(3 * u)), strict=True):
                parameter.copy_(torch.from_numpy(value.T).view_as(parameter))
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr=case.lrate)
        self.X = torch.from_numpy(case.X.swapaxes(0, 1).copy())
        self.X_trained = self.X.clone().requires_grad_()
        self.dA = torch.from_numpy(case.dA.swapaxes(0, 1).copy())
        self.lengths = None if case.lengths is None else torch.from_numpy(case.lengths)
        self.x, self.h = self.X[0], torch.zeros(m, u, dtype=self.X.dtype)

    def _states(self, X: torch.Tensor) -> torch.Tensor:
        if self.lengths is None:
            return self.layer(X)[0]
        packed = pack_padded_sequence(X, self.lengths, enforce_sorted=False)
        return pad_packed_sequence(self.layer(packed)[0], total_length=len(X))[0]

    def predict(self) -> torch.Tensor:
        with torch.inference_mode():
            return self._states(self.X)

    def train(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        self.X_trained.grad = None
        self._states(self.X_trained).backward(self.dA)
        self.optimizer.step()
        return self.X_trained.grad

    def step(self) -> torch.Tensor:
        with torch.inference_mode():
            self.h = self.layer(self.x, self.h)
        return self.h

    @staticmethod
    def array(result: torch.Tensor) -> np.ndarray:
        return result.numpy().swapaxes(0, 1) if result.ndim == 3 else result.numpy()


CLASS = Torch
