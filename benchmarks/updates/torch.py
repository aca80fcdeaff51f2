"""PyTorch: the loop that everyone writes, with `nn.GRU`, `nn.Linear` and the fused Adam."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

import benchmarks.rivals.torch  # noqa: F401  how many threads it has
from benchmarks.updates.base import Trainer
from benchmarks.updates.kinds import EPSILON, RATE, REGRESSION, Job
from cgru.interop import from_torch, to_torch

UPDATES = 16  # a loop has no cost of its own for an epoch


class Torch(Trainer):
    """It knows only the reset gate after the product, and trains two biases of a gate where one would do."""

    name, version, reset_after = "PyTorch", f"PyTorch {torch.__version__}", True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.updates = min(UPDATES, job.batches)
        *body, head = job.network(reset_after=True).layers
        self.gru = to_torch(body)
        self.head = torch.nn.Linear(*head.p["W"].shape, dtype=getattr(torch, job.dtype))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.p["W"].T))
            self.head.bias.copy_(torch.from_numpy(head.p["b"][0]))
        p = [*self.gru.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.Adam(p, RATE, eps=EPSILON, fused=True)
        y = job.y[..., None].astype(job.dtype) if job.kind.k == 1 and job.kind.loss != REGRESSION else job.y
        self.X, self.y, self.rng = torch.from_numpy(job.X), torch.from_numpy(y), job.orders()

    def criterion(self, Z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        kind = self.job.kind
        if kind.loss == REGRESSION:
            return functional.mse_loss(Z, y)
        if kind.k == 1:
            return functional.binary_cross_entropy_with_logits(Z, y)
        return functional.cross_entropy(Z.reshape(-1, kind.k), y.reshape(-1))

    def update(self, rows: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        states, last = self.gru(self.X[rows])
        if not self.job.kind.every:
            states = torch.cat([*last[-2:]], dim=1) if self.job.kind.bidirectional else last[-1]
        loss = self.criterion(self.head(states), self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def first(self) -> float:
        return float(self.update(torch.arange(self.job.kind.m)))

    def epoch(self) -> None:
        order = torch.from_numpy(self.rng.permutation(len(self.X))).reshape(self.job.batches, -1)
        float(sum(map(self.update, order[: self.updates])))

    def parameters(self) -> dict[str, np.ndarray]:
        """Of two biases of a gate one, since both have moved alike."""
        state = {name: value.clone() for name, value in self.gru.state_dict().items()}
        for name, value in state.items():
            if name.startswith("bias_hh"):
                value[: 2 * self.job.kind.u] = 0
        found, last = from_torch(state).parameters(), self.job.kind.layers
        weight, bias = (value.detach().numpy() for value in (self.head.weight, self.head.bias))
        return found | {f"{last}.W": weight.T, f"{last}.b": bias[None]}


CLASSES = (Torch,)
