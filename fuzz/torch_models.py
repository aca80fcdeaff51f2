"""Modules of PyTorch with something foreign at a random place: their numbers, or refused before anything is made.

Samples, steps, features and units are all 4, so that hardly anything fails by its shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from torch import nn

from cgru import interop
from fuzz.networks import Dice

N = 4
KNOWN = {
    "gru": lambda: Recurrent(nn.GRU(N, N, batch_first=True)),
    "stack": lambda: Recurrent(nn.GRU(N, N, 2, batch_first=True)),
    "both": lambda: Recurrent(nn.GRU(N, N // 2, batch_first=True, bidirectional=True)),
    "linear": lambda: nn.Linear(N, N),
    "norm": lambda: nn.LayerNorm(N),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "dropout": lambda: nn.Dropout(0.3),
    "half": lambda: Call(lambda x: x * 0.5 + 0.25),
}
LAST: dict[str, Callable[[Any], Any]] = {
    "all": lambda x: x, "last": lambda x: x[:, -1], "mean": lambda x: x.mean(1), "max": lambda x: x.amax(1)
}  # fmt: skip
FOREIGN: dict[str, Callable[[Any], Any]] = {
    "flip steps": lambda x: x.flip(1),
    "flip features": lambda x: x.flip(2),
    "flip samples": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 1),
    "sort": lambda x: x.sort(1)[0],
    "cumsum": lambda x: x.cumsum(1),
    "square": lambda x: x * x,
    "twice": lambda x: x + x,
    "residual": lambda x: x + torch.tanh(x),
    "abs": torch.abs,
    "negative": lambda x: -x,
    "part": lambda x: x[:, 1:],
    "stride": lambda x: x[:, ::2],
    "softmax": lambda x: x.softmax(1),
    "feature softmax": lambda x: x.softmax(-1),
    "of samples": lambda x: x - x.mean(0),
    "of steps": lambda x: x - x.mean(1, True),
    "half": lambda x: x.half().to(x.dtype),
    "turned": lambda x: x.transpose(1, 2),
    "samples and steps": lambda x: x.transpose(0, 1),
    "there and back": lambda x: x.transpose(1, 2).transpose(1, 2),
    "reshaped": lambda x: x.reshape(N, 2, 2 * N).reshape(N, N, N),
    "cut otherwise": lambda x: x.transpose(0, 1).reshape(N, N, N),
    "where": lambda x: torch.where(x > 0, x, -x),
    "round": torch.round,
    "clamp": lambda x: x.clamp(-0.3, 0.4),
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
    "permuted": lambda x: x[:, :, [1, 0, 2, 3]],
    "swapped": lambda x: torch.cat((x[:, 2:], x[:, :2]), 1),
    "all of it": lambda x: x[:, :],
    "expanded": lambda x: x[:1].expand(N, -1, -1),
    "normalised": lambda x: nn.functional.normalize(x, dim=-1),
    "matrix": lambda x: x @ torch.eye(N, dtype=x.dtype).flip(0),
    "batched": lambda x: x @ x,
    "detached": lambda x: x.detach(),
}


class Recurrent(nn.Module):
    """All states of a GRU."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.gru = gru

    def forward(self, x: Any) -> Any:
        """Return the states."""
        return self.gru(x)[0]


class Call(nn.Module):
    """A function of one array."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = [function]

    def forward(self, x: Any) -> Any:
        """Return the function's result."""
        return self.function[0](x)


class Chain(nn.Module):
    """Modules one after the other."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        """Return the output of the last."""
        for part in self.parts:
            x = part(x)
        return x


def case(seed: int) -> str:
    """Convert a random chain; return whether it was refused."""
    dice = Dice(seed)
    torch.manual_seed(seed)
    names = [dice.among(*KNOWN) for _ in range(dice.number(1, 4))]
    names.insert(dice.number(0, len(names)), dice.among("gru", "stack", "both"))
    parts: list[Any] = [KNOWN[name]() for name in names]
    last, foreign = dice.among(*LAST), dice.among(None, *4 * list(FOREIGN))
    if foreign is not None:
        parts.insert(dice.number(0, len(parts)), Call(FOREIGN[foreign]))
    module = Chain([*parts, Call(LAST[last]), nn.Linear(N, N)]).double().eval()
    X = torch.tensor(dice.normal(N, N, N))
    with torch.no_grad():
        due = module(X).numpy()
    try:
        net = interop.from_torch(module)
    except (TypeError, ValueError):
        assert foreign is not None, f"refused {names}, {last}"
        return "refused"
    ways = (  # the network has samples, steps and features in this order, whichever axes of the module they are
        net.predict(X.numpy().transpose(order)).transpose(back)
        for order, back in product(permutations(range(3)), permutations(range(due.ndim)))
    )
    assert any(np.allclose(A, due, atol=1e-9) for A in ways), f"{names}, {last}, {foreign}: other numbers"
    return "read"
