"""A many-to-many stack against PyTorch: embedding, two GRU layers, dropout between them, cross-entropy at each step.

PyTorch's own GRU applies the reset gate after the matrix product, so the recurrence is written out here.
"""

import numpy as np
import pytest

import cgru

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

M, S, V, K = 12, 9, 7, 5
RNG = np.random.default_rng(0)
TOKENS, LABELS = RNG.integers(0, V, (M, S)), RNG.integers(0, K, (M, S))
LENGTHS = RNG.integers(1, S + 1, M)
LENGTHS[0] = S
REAL = np.arange(S) < LENGTHS[:, None]
MASK = (RNG.random((M, S, 6)) < 0.7) / 0.7


def gru(p, A, h):
    """All states (m, s, u)."""
    states = []
    for x in A.unbind(dim=1):
        r = torch.sigmoid(x @ p["Ur"] + h @ p["Vr"] + p["br"])
        z = torch.sigmoid(x @ p["Uz"] + h @ p["Vz"] + p["bz"])
        hh = torch.tanh(x @ p["Uhh"] + (r * h) @ p["Vhh"] + p["bhh"])
        h = z * h + (1 - z) * hh
        states.append(h)
    return torch.stack(states, dim=1)


class Seen:
    """An optimizer that keeps the gradients that it is given."""

    def __init__(self, optimizer, seen):
        self.optimizer, self.seen, self.rate = optimizer, seen, optimizer.rate

    def step(self, p, g, state, fraction):
        self.seen.append({name: np.array(gradient) for name, gradient in g.items()})
        self.optimizer.step(p, g, state, fraction)


@pytest.mark.parametrize("truncate", [None, 4])
def test_twenty_epochs(same, truncate):
    dropout = cgru.Dropout(0.3)
    layers = [cgru.Embedding(V, 4), cgru.GRU(6, sequences=True), dropout, cgru.GRU(5, sequences=True)]
    net = cgru.Network([*layers, cgru.Dense(K, cgru.softmax)], optimizer=cgru.Adam(0.02), seed=1)
    net.predict(TOKENS[:1])
    p = [{name: torch.tensor(a, requires_grad=True) for name, a in layer.p.items()} for layer in net.layers]
    optimizer = torch.optim.Adam([tensor for part in p for tensor in part.values()], lr=0.02)
    ignored = torch.tensor(np.where(REAL, LABELS, -100))
    mask = MASK if truncate is None else np.tile(MASK[:1, :1], (M, S, 1))  # one that every piece can have
    dropout.mask = MASK if truncate is None else mask[0, 0]

    due = []
    for _ in range(20):
        states, total = [torch.zeros(M, 6, dtype=torch.float64), torch.zeros(M, 5, dtype=torch.float64)], 0.0
        for start in range(0, S, truncate or S):
            at = slice(start, start + (truncate or S))
            A = torch.nn.functional.embedding(torch.tensor(TOKENS[:, at]), p[0]["E"])
            low = gru(p[1], A, states[0])
            high = gru(p[3], low * torch.tensor(mask[:, at]), states[1])
            states = [low[:, -1].detach(), high[:, -1].detach()]
            Z = high @ p[4]["W"] + p[4]["b"]
            value = torch.nn.functional.cross_entropy(Z.transpose(1, 2), ignored[:, at])  # over what is not ignored
            optimizer.zero_grad()
            value.backward()
            if len(due) == 0 and start == 0:
                first = [{name: tensor.grad.numpy().copy() for name, tensor in part.items()} for part in p]
            optimizer.step()
            total += float(value.detach()) * REAL[:, at].sum() / REAL.sum()
        due.append(total)

    options = {"lengths": LENGTHS, "batch_size": M, "shuffle": False, "truncate": truncate}
    if truncate is None:
        seen = []
        net.optimizer = Seen(net.optimizer, seen)
        net.fit(TOKENS, LABELS, epochs=20, **options)
        for i, gradients in enumerate(first):
            for name, gradient in gradients.items():
                same(seen[0][f"{i}.{name}"].reshape(gradient.shape), gradient, 1e-10, name)
    else:
        net.fit(TOKENS, LABELS, epochs=20, **options)
    np.testing.assert_allclose(net.history.loss, due, rtol=1e-9)
    for layer, part in zip(net.layers, p, strict=True):
        for name, tensor in part.items():
            same(layer.p[name], tensor.detach().numpy(), 1e-8, name)
    assert due[-1] < due[0]
