"""Networks with branches in branches against PyTorch's autograd: outputs, gradients, and an update of a compiled fit.

m samples, s steps, n features of a step, u units.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch

import cgru
from fuzz.fit import close
from fuzz.networks import Dice, randomise

FUNCTIONS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "identity": lambda x: x}
OPERATORS = {cgru.Add: torch.add, cgru.Multiply: torch.mul}
TOLERANCE = 1e-8


def case(seed: int) -> str:
    """Compare a random tree of layers with the same in PyTorch; return whether its outputs are at steps."""
    dice = Dice(seed)
    e, m, s, per_step = dice.number(1, 6), dice.number(1, 9), dice.number(1, 7), dice.chance()
    layers, n = chain(dice, e, 2)
    joined, n = join(dice, n, 2)
    layers += [joined, *([] if per_step else [last(dice)])]
    net = cgru.Network([*layers, cgru.Dense(3, "softmax")], None, cgru.SGD(1.0), dice.number(0, 99))
    X, lengths = dice.normal(m, s, e), dice.lengths(m, s)
    y = dice.rng.integers(0, 3, (m, s) if per_step else m)
    net.make(X)
    randomise(net, dice)
    p = {key: torch.tensor(array, requires_grad=True) for key, array in net.parameters().items()}
    real = torch.tensor(np.arange(s) < (np.full(m, s) if lengths is None else lengths)[:, None])
    A = run(net.layers[:-1], p, "", torch.tensor(X), real)
    key = f"{len(net.layers) - 1}"
    Z = A @ p[f"{key}.W"] + p[f"{key}.b"]
    rows = real if per_step else ...
    torch.nn.functional.cross_entropy(Z[rows], torch.tensor(y)[rows]).backward()
    due = torch.softmax(Z, -1).detach().numpy()
    ours = net.predict(X, lengths)
    there = real.numpy() if per_step else ...
    close(ours[there], due[there], TOLERANCE, "outputs")
    g = net.gradients(X, y, lengths)
    before = {name: array.copy() for name, array in net.parameters().items()}
    net.fit(X, y, lengths=lengths, epochs=1, batch_size=m)
    for name, tensor in p.items():
        expected = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        close(g[name], expected, TOLERANCE, name)
        close(before[name] - net.parameters()[name], expected, TOLERANCE, f"update of {name}")
    return "at steps" if per_step else "of samples"


# --- what is drawn ---


def chain(dice: Dice, n: int, depth: int) -> tuple[list[Any], int]:
    """Return a chain of layers that keep all steps, for n features; and how many come out."""
    layers = []
    for _ in range(dice.number(0, 3)):
        kind = dice.among("gru", "gru", "conv", "dense", "activation", "norm", "select", "difference", "join")
        if kind == "gru":
            options = {"reset_after": dice.chance(), "reverse": dice.chance(0.2)}
            layers.append(cgru.GRU(n := dice.number(1, 9), sequences=True, **options))
        elif kind == "conv":
            window = dice.number(1, 4), 1, dice.among("causal", "same"), dice.number(1, 3)
            layers.append(cgru.Conv1D(n := dice.number(1, 9), *window, dice.among(*FUNCTIONS)))
        elif kind == "dense":
            layers.append(cgru.Dense(n := dice.number(1, 6), dice.among(*FUNCTIONS)))
        elif kind == "activation":
            layers.append(cgru.Activation("tanh"))
        elif kind == "norm":
            layers.append(cgru.LayerNorm(0.1))
        elif kind == "select":
            chosen = dice.rng.integers(0, n, dice.number(1, n + 1)).tolist()
            layers.append(cgru.Select(chosen))
            n = len(chosen)
        elif kind == "difference":
            layers.append(cgru.Difference())
            n *= 2
        elif depth:
            joined, n = join(dice, n, depth - 1)
            layers.append(joined)
    return layers, n


def join(dice: Dice, n: int, depth: int) -> tuple[Any, int]:
    """Return a layer of two or three chains that keep all steps, for n features; and how many come out."""
    found = [chain(dice, n, depth) for _ in range(dice.number(2, 3))]
    if dice.chance(0.4):
        return cgru.Concatenate(*(layers for layers, _ in found)), sum(width for _, width in found)
    width = found[0][1]
    branches = [
        layers if own == width else [*layers, cgru.GRU(width, sequences=True, reset_after=dice.chance())]
        for layers, own in found
    ]
    return dice.among(cgru.Add, cgru.Multiply)(*branches), width


def last(dice: Dice) -> Any:
    """Return a layer that ends with the last step."""
    return dice.among(
        cgru.GRU(dice.number(1, 9)),
        cgru.Concatenate(cgru.GRU(dice.number(1, 5), reset_after=True), cgru.Pool("max")),
        cgru.Concatenate(cgru.Pool("mean"), [cgru.Dense(2, "tanh"), cgru.GRU(dice.number(1, 20))], cgru.Pool("last")),
    )


# --- the same in PyTorch ---


def run(layers: Any, p: dict[str, Any], at: str, A: Any, real: Any) -> Any:
    """Return what a chain of layers makes of A (m, s, n); keys of its parameters begin with `at`."""
    for i, layer in enumerate(layers):
        kind, own = type(layer), f"{at}{i}."
        if kind in (cgru.Concatenate, *OPERATORS):
            parts = [run(branch, p, f"{own}{b}.", A, real) for b, branch in enumerate(layer.branches)]
            A = torch.cat(parts, -1) if kind is cgru.Concatenate else reduce(OPERATORS[kind], parts)
        else:
            A = KINDS[kind](layer, {name: p[own + name] for name in layer.p}, A, real)
    return A


def gru(layer: Any, p: dict[str, Any], A: Any, real: Any) -> Any:
    """Return the states of a GRU (m, s, u), or the last (m, u)."""
    m, s, _ = A.shape
    h, states = torch.zeros(m, layer.d["u"], dtype=A.dtype), [None] * s
    for t in reversed(range(s)) if layer.reverse else range(s):
        x = A[:, t]
        r, z = (torch.sigmoid(x @ p["U" + k] + h @ p["V" + k] + p["b" + k]) for k in "rz")
        if layer.reset_after:
            hh = torch.tanh(x @ p["Uhh"] + p["bhh"] + r * (h @ p["Vhh"] + p["chh"]))
        else:
            hh = torch.tanh(x @ p["Uhh"] + (r * h) @ p["Vhh"] + p["bhh"])
        h = torch.where(real[:, t, None], z * h + (1 - z) * hh, h)
        states[t] = h
    return torch.stack(states, 1) if layer.sequences else h


def pool(layer: Any, p: dict[str, Any], A: Any, real: Any) -> Any:
    """Return the mean, the largest or the last of the real steps."""
    there, count = real[:, :, None], real.sum(1)
    if layer.how == "mean":
        return torch.where(there, A, 0).sum(1) / count[:, None]
    if layer.how == "max":
        return torch.where(there, A, -torch.inf).max(1).values
    return A[torch.arange(len(A)), count - 1]


def difference(layer: Any, p: dict[str, Any], A: Any, real: Any) -> Any:
    """Return each step, and its difference from the one before."""
    return torch.cat([A, torch.cat([torch.zeros_like(A[:, :1]), A[:, 1:] - A[:, :-1]], 1)], -1)


def convolution(layer: Any, p: dict[str, Any], A: Any, real: Any) -> Any:
    """Return the convolution of the real steps, with zeros around them."""
    X = torch.nn.functional.pad(torch.where(real[:, :, None], A, 0).transpose(1, 2), layer.frames.pad)
    W = p["W"].reshape(layer.kernel_size, A.shape[-1], -1).permute(2, 1, 0)
    Z = torch.nn.functional.conv1d(X, W, p["b"][0], dilation=layer.dilation)
    return FUNCTIONS[layer.activate.__name__](Z.transpose(1, 2))


def norm(layer: Any, p: dict[str, Any], A: Any, real: Any) -> Any:
    """Return each step normalised."""
    return torch.nn.functional.layer_norm(A, A.shape[-1:], p["scale"][0], p["shift"][0], layer.eps)


KINDS = {
    cgru.GRU: gru,
    cgru.Pool: pool,
    cgru.Difference: difference,
    cgru.Conv1D: convolution,
    cgru.LayerNorm: norm,
    cgru.Dense: lambda layer, p, A, real: FUNCTIONS[layer.activate.__name__](A @ p["W"] + p["b"]),
    cgru.Activation: lambda layer, p, A, real: torch.tanh(A),
    cgru.Select: lambda layer, p, A, real: A[..., layer.selected],
}
