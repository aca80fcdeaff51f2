"""Stacks of bidirectional layers against `torch.nn.GRU` in float64: outputs, last states and every gradient, ragged."""

import numpy as np
import pytest

import cgru
from cgru.reference import mask

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

TOLERANCE = 1e-10  # of the largest value
KINDS = {"U": "weight_ih", "V": "weight_hh", "b": "bias_ih", "c": "bias_hh"}
GATES = ("r", "z", "hh")


def gates(module, number, suffix, read):
    """What `read` takes from one direction of one layer, in our shapes: Ur, Uz, Uhh, ..., chh."""
    found = {}
    for kind, name in KINDS.items():
        stacked = read(getattr(module, f"{name}_l{number}{suffix}")).numpy()
        for gate, block in zip(GATES, np.split(stacked, 3), strict=True):
            found[kind + gate] = block.T if block.ndim == 2 else block[None]
    return found


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (5, 7, 3, 4, 2), (6, 5, 2, 9, 3)])  # m, s, e, u, layers
def test_stacks(same, sizes, ragged):
    m, s, e, u, depth = sizes
    torch.manual_seed(sum(sizes))
    rng = np.random.default_rng(sum(sizes))
    n = rng.integers(1, s + 1, m) if ragged else np.full(m, s)
    lengths = n if ragged else None
    X, h0 = rng.standard_normal((m, s, e)), rng.standard_normal((depth, 2, m, u))
    dA, dstate = rng.standard_normal((m, s, 2 * u)), rng.standard_normal((depth, 2, m, u))

    module = torch.nn.GRU(e, u, depth, batch_first=True, bidirectional=True, dtype=torch.float64)
    x, h = torch.tensor(X, requires_grad=True), torch.tensor(h0.reshape(-1, m, u), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(n), batch_first=True, enforce_sorted=False)
    Y, last = module(packed, h)
    Y, _ = torch.nn.utils.rnn.pad_packed_sequence(Y, batch_first=True, total_length=s)
    ((Y * torch.tensor(dA)).sum() + (last * torch.tensor(dstate.reshape(last.shape))).sum()).backward()

    X[~mask(n, s)[:, :, 0]] = np.nan  # the padding must not be seen
    layers = [cgru.Bidirectional(cgru.GRU(u, sequences=True, reset_after=True)) for _ in range(depth)]
    A = X
    for number, layer in enumerate(layers):
        layer.compute_shapes(A)
        layer.initialize_parameters()
        for suffix, half in zip(("", "_reverse"), layer.halves, strict=True):
            theirs = gates(module, number, suffix, torch.Tensor.detach)
            half.p.update({name: theirs[name].copy() for name in half.p})
            half.p.update({"b" + gate: theirs["b" + gate] + theirs["c" + gate] for gate in "rz"})
        A = layer.forward(A, lengths, h0[number])
    same(A, Y.detach().numpy(), TOLERANCE, "outputs")
    same(np.stack([layer.state for layer in layers]), last.detach().numpy().reshape(h0.shape), TOLERANCE, "states")

    for number, layer in reversed(list(enumerate(layers))):
        dA = layer.backward(dA, dstate[number])
        layer.compute_gradients()
        for suffix, prefix, half in zip(("", "_reverse"), ("forward.", "backward."), layer.halves, strict=True):
            theirs = gates(module, number, suffix, lambda weight: weight.grad)
            for name in half.p:
                same(layer.g[f"d{prefix}{name}"], theirs[name], TOLERANCE, f"{name} of layer {number}{suffix}")
    same(dA, x.grad.numpy(), TOLERANCE, "dX")
    same(np.stack([layer.dh0 for layer in layers]), h.grad.numpy().reshape(h0.shape), TOLERANCE, "dh0")
