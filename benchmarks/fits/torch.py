"""PyTorch: the loop that everyone writes: `nn.GRU` and `nn.Linear`, padded sessions, time-major, and the fused Adam."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.fits.base import Fits
from benchmarks.fits.task import EPSILON, L1, RATE, Maker, Name, Task
from cgru.interop import to_torch


class Torch(Fits):
    """One fit. Of the two biases of r and z the second stays zero, since other libraries have but one."""

    name, version = "PyTorch", f"PyTorch {torch.__version__}"

    def __init__(self, task: Task, names: tuple[Name, ...]) -> None:
        torch.set_num_threads(1)
        X, y, lengths = task.data()
        (name,) = names
        fold, net = task.fold(name), Maker(name)()
        net.make(X)
        self.gru, head = to_torch(net.body), net.head
        self.gru.batch_first = False  # as it computes
        self.head = torch.nn.Linear(*head.p["W"].shape)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.p["W"].T))
            self.head.bias.copy_(torch.from_numpy(head.p["b"][0]))
        one = torch.ones(3 * name.u)
        one[: 2 * name.u] = 0
        self.gru.bias_hh_l0.register_hook(lambda gradient: gradient * one)
        self.train, self.validation = (
            [
                torch.from_numpy(part[rows].swapaxes(0, 1).copy())
                for part in (X, y, np.arange(task.longest) < lengths[:, None])
            ]
            for rows in (fold.train, fold.validation)
        )
        self.p = [*self.gru.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.Adam(self.p, RATE, eps=EPSILON, fused=True)
        self.lowest, self.best = float("inf"), []

    def loss(self, X: torch.Tensor, y: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.head(self.gru(X)[0])[real], y[real])

    def epoch(self) -> tuple[float, float]:
        self.optimizer.zero_grad()
        loss = self.loss(*self.train)
        (loss + L1 * self.gru.weight_hh_l0.abs().sum()).backward()
        self.optimizer.step()
        with torch.no_grad():
            validation = self.loss(*self.validation).item()
        if validation < self.lowest:
            self.lowest, self.best = validation, [p.detach().clone() for p in self.p]
        return loss.item(), validation

    def epochs(self, n: int) -> np.ndarray:
        return np.array([[self.epoch()] for _ in range(n)])


CLASSES = (Torch,)
