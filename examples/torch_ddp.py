"""Several processes train one PyTorch model: python torch_ddp.py [processes [updates [samples [units]]]].

Each has its part of a batch; PyTorch's DistributedDataParallel averages the gradients over gloo; cgru.torch runs the
GRU in each process. With any number of processes that divides the batch the model in echo.pt is the same, to rounding.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

import cgru.torch

STEPS, DELAY = 30, 3  # of a sample; how far back what is asked for lies


class Echo(nn.Module):
    """Says at each step what was heard DELAY steps ago."""

    def __init__(self, units):
        super().__init__()
        self.gru = nn.GRU(1, units, batch_first=True)
        self.linear = nn.Linear(units, 1)

    def forward(self, x):
        """(m, s, 1) for x (m, s, 1)."""
        return self.linear(self.gru(x)[0])


def train(rank, processes, updates, samples, units, meeting):
    """What each process does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=processes)
    torch.manual_seed(0)
    model = Echo(units).double()
    cgru.torch.accelerate(model)
    parallel = DistributedDataParallel(model)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    start = time.perf_counter()
    for update in range(updates):
        x = torch.randn(samples, STEPS, 1, dtype=torch.float64)[rank::processes]
        loss = (parallel(x)[:, DELAY:] - x[:, :-DELAY]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if update % 50 == 49:
            distributed.all_reduce(loss.detach())
            if rank == 0:
                print(f"update {update + 1}: loss {loss.item() / processes:.4f}")
    if rank == 0:
        seconds = time.perf_counter() - start
        torch.save(model.state_dict(), "echo.pt")
        print(f"{samples * updates / seconds:.0f} samples a second; the model is in echo.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    processes, updates, samples, units = [*map(int, sys.argv[1:]), *(2, 300, 64, 32)[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(train, (processes, updates, samples, units, Path(folder) / "meeting"), processes)
