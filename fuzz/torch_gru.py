"""PyTorch's nn.GRU and nn.GRUCell on cgru's kernels against PyTorch's own, forward and back."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils import rnn

import cgru.torch
from fuzz.networks import Dice

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3}  # of the largest number, at least of 1


def case(seed: int) -> str:
    """Run a random module several times in both ways, then go back, the last call first; return its kind."""
    dice = Dice(seed)
    torch.manual_seed(seed)
    e, u, dtype = dice.number(1, 20), dice.number(1, 40), dice.among(torch.float64, torch.float32)
    kind = dice.among("GRU", "GRU", "GRUCell")
    if kind == "GRU":
        given = {"num_layers": dice.number(1, 3), "bidirectional": dice.chance(0.3), "batch_first": dice.chance()}
        theirs = nn.GRU(e, u, bias=dice.chance(0.8), dtype=dtype, **given)
    else:
        theirs = nn.GRUCell(e, u, bias=dice.chance(0.8), dtype=dtype)
    if dice.chance(0.2):
        theirs.weight_hh_l0.requires_grad_(False) if kind == "GRU" else theirs.weight_ih.requires_grad_(False)
    ours = copy.deepcopy(theirs)
    cgru.torch.accelerate(ours)
    both, calls, way = (ours, theirs), [], dice.among("train", "train", "eval", "no_grad", "inference")
    ours.train(way == "train"), theirs.train(way == "train")
    manager = {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(way, torch.enable_grad)
    for _ in range(dice.number(1, 3)):
        inputs = steps(dice, theirs, e, u, dtype) if kind == "GRU" else rows(dice, e, u, dtype)
        twins = [
            [None if x is None else x.detach().clone().requires_grad_(x.requires_grad) for x in inputs[:2]]
            for _ in both
        ]
        with manager():
            outputs = [list(flat(run(module, *twin, *inputs[2:]))) for module, twin in zip(both, twins, strict=True)]
        close("outputs", *outputs)
        calls.append((twins, outputs))
    if way in ("train", "eval"):
        for twins, outputs in reversed(calls):
            seeds = [torch.tensor(dice.normal(*x.shape), dtype=dtype) for x in outputs[0]]
            for made in outputs:
                sum((x * seed).sum() for x, seed in zip(made, seeds, strict=True)).backward()
            close("gradients of the inputs", *([None if x is None else x.grad for x in twin] for twin in twins))
    close("gradients of the parameters", *([p.grad for p in module.parameters()] for module in both))
    return kind


def steps(dice: Dice, module: nn.GRU, e: int, u: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """Return (x, h0 or None, lengths or None) for a GRU, where x may be strided or without samples."""
    m, s, layers = dice.number(1, 9), dice.number(1, 9), module.num_layers * (1 + module.bidirectional)
    alone = dice.chance(0.15)
    shape = (s, e) if alone else (m, s, e) if module.batch_first else (s, m, e)
    x = torch.tensor(dice.normal(*shape), dtype=dtype)
    if dice.chance(0.3):
        x = torch.stack((x, x), dim=-1)[..., 0]
    h0 = torch.tensor(dice.normal(*((layers, u) if alone else (layers, m, u))), dtype=dtype) if dice.chance() else None
    lengths = None if alone or dice.chance(0.7) else torch.tensor(dice.rng.integers(1, s + 1, m))
    if h0 is not None:
        h0.requires_grad_(dice.chance())
    return x.requires_grad_(dice.chance(0.7)), h0, lengths


def rows(dice: Dice, e: int, u: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """Return (x, h0 or None) for a cell."""
    m = () if dice.chance(0.2) else (dice.number(1, 20),)
    x = torch.tensor(dice.normal(*m, e), dtype=dtype).requires_grad_(dice.chance(0.7))
    return x, torch.tensor(dice.normal(*m, u), dtype=dtype).requires_grad_(dice.chance()) if dice.chance() else None


def run(module: nn.Module, x: Any, h0: Any, lengths: Any = None) -> Any:
    """Return the outputs of a module, packed where there are lengths."""
    if lengths is not None:
        x = rnn.pack_padded_sequence(x, lengths, batch_first=module.batch_first, enforce_sorted=False)
    return module(x, h0)


def flat(made: Any) -> Any:
    """Yield the tensors of outputs."""
    for each in made if isinstance(made, tuple) and not isinstance(made, rnn.PackedSequence) else (made,):
        yield each.data if isinstance(each, rnn.PackedSequence) else each


def close(name: str, ours: list[Any], theirs: list[Any]) -> None:
    """Raise AssertionError where tensors differ by more than rounding, or where only one side has one."""
    for i, (got, due) in enumerate(zip(ours, theirs, strict=True)):
        assert (got is None) == (due is None), f"{name} {i}: {got}, due {due}"
        if due is not None:
            assert got.shape == due.shape, f"{name} {i}: {got.shape}, due {due.shape}"
            assert got.requires_grad == due.requires_grad, f"{name} {i}: requires_grad {got.requires_grad}"
            worst = (got - due).abs().max().item()
            assert worst <= TOLERANCE[due.dtype] * max(1, due.abs().max().item()), f"{name} {i}: {worst}"
