"""A whole network against PyTorch's autograd: two GRU layers and a head, ragged batches, trained by AdamW.

PyTorch's own GRU applies the reset gate after the matrix product, so the recurrence is written out here.
"""

import numpy as np
import pytest

import cgru
from cgru.reference import EPSILON

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

M, S, E, K = 26, 7, 3, 4
GATES = ("z", "r", "hh")
SIZE = 8  # of a batch; the last one is short
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, S, E))
LENGTHS = RNG.integers(1, S + 1, M)
LENGTHS[0] = S

HEADS = {
    "cross_entropy": (
        cgru.softmax,
        RNG.integers(0, K, M),
        lambda Z, y: torch.nn.functional.cross_entropy(Z, torch.tensor(y)),
    ),
    "cross_entropy(0.1)": (
        cgru.softmax,
        RNG.integers(0, K, M),
        lambda Z, y: torch.nn.CrossEntropyLoss(label_smoothing=0.1)(Z, torch.tensor(y)),
    ),
    "cross_entropy(0.6)": (
        cgru.softmax,
        RNG.dirichlet(np.full(K, 0.5), M),
        lambda Z, y: torch.nn.CrossEntropyLoss(label_smoothing=0.6)(Z, torch.tensor(y)),
    ),
    "binary_cross_entropy": (
        cgru.sigmoid,
        RNG.random((M, K)),
        lambda Z, y: torch.nn.functional.binary_cross_entropy_with_logits(Z, torch.tensor(y)),
    ),
    "mean_squared_error": (
        cgru.tanh,
        RNG.random((M, K)),
        lambda Z, y: torch.nn.functional.mse_loss(torch.tanh(Z), torch.tensor(y)),
    ),
    "huber(0.4)": (
        cgru.identity,
        RNG.standard_normal((M, K)),
        lambda Z, y: torch.nn.HuberLoss(delta=0.4)(Z, torch.tensor(y)),
    ),
    "poisson": (
        cgru.identity,
        RNG.poisson(2.0, (M, K)),
        lambda Z, y: torch.nn.PoissonNLLLoss(log_input=True)(Z, torch.tensor(y)),
    ),
    "gaussian": (
        cgru.identity,
        RNG.standard_normal((M, K // 2)),
        lambda Z, y: torch.nn.GaussianNLLLoss()(Z[:, ::2], torch.tensor(y), torch.exp(Z[:, 1::2])),
    ),
    "quantile(0.1, 0.7)": (
        cgru.identity,
        RNG.standard_normal((M, K // 2)),
        lambda Z, y: pinball(
            Z.reshape(-1, K // 2, 2), torch.tensor(y)[:, :, None], torch.tensor([0.1, 0.7], dtype=torch.float64)
        ),
    ),
}


def pinball(A, Y, q):
    return torch.maximum(q * (Y - A), (q - 1) * (Y - A)).mean()


def gru(p, A, lengths):
    """All states (m, s, u) and the last real ones (m, u)."""
    h = torch.zeros(len(A), p["Vz"].shape[0], dtype=torch.float64)
    states = []
    for t in range(A.shape[1]):
        x = A[:, t]
        r = torch.sigmoid(x @ p["Ur"] + h @ p["Vr"] + p["br"])
        z = torch.sigmoid(x @ p["Uz"] + h @ p["Vz"] + p["bz"])
        hh = torch.tanh(x @ p["Uhh"] + (r * h) @ p["Vhh"] + p["bhh"])
        h = torch.where(torch.tensor(lengths > t)[:, None], z * h + (1 - z) * hh, h)
        states.append(h)
    return torch.stack(states, dim=1), h


@pytest.mark.parametrize("loss", HEADS)
def test_twenty_steps(loss):
    activate, y, criterion = HEADS[loss]
    net = cgru.Network(
        [cgru.GRU(6, sequences=True), cgru.GRU(5), cgru.Dense(K, activate)],
        loss=loss,
        optimizer=cgru.Adam(0.02, weight_decay=0.1, clip_norm=0.3),
        seed=1,
    )
    net.predict(X, LENGTHS)
    theirs = [{name: torch.tensor(a, requires_grad=True) for name, a in layer.p.items()} for layer in net.layers]
    flat = [(name, tensor) for p in theirs for name, tensor in p.items()]
    optimizer = torch.optim.AdamW(
        [
            {"params": [tensor for name, tensor in flat if name[0] != "b"], "weight_decay": 0.1},
            {"params": [tensor for name, tensor in flat if name[0] == "b"], "weight_decay": 0.0},
        ],
        lr=0.02,
    )

    due = []
    for _ in range(5):  # epochs of 4 batches
        total = 0.0
        for start in range(0, M, SIZE):
            rows = slice(start, start + SIZE)
            states, _ = gru(theirs[0], torch.tensor(X[rows]), LENGTHS[rows])
            _, last = gru(theirs[1], states, LENGTHS[rows])
            value = criterion(last @ theirs[2]["W"] + theirs[2]["b"], y[rows])
            optimizer.zero_grad()
            value.backward()
            norm = torch.sqrt(sum((tensor.grad**2).sum() for _, tensor in flat))
            for _, tensor in flat:  # clip_grad_norm_ adds 1e-6 to the norm
                tensor.grad *= torch.clamp(0.3 / norm, max=1)
            optimizer.step()
            total += float(value.detach()) * len(X[rows]) / M
        due.append(total)

    history = net.fit(X, y, lengths=LENGTHS, epochs=5, batch_size=SIZE, shuffle=False)
    np.testing.assert_allclose(history.loss, due, rtol=1e-10)
    for layer, p in zip(net.layers, theirs, strict=True):
        for name, tensor in p.items():
            np.testing.assert_allclose(layer.p[name], tensor.detach().numpy(), rtol=1e-8, atol=1e-10)
    assert history.loss[-1] < history.loss[0]


# --- states that begin anew and fade ---


def step(p, kind, x, h, lengths, t):
    """The state after a step, stepping by hand."""

    def normalised(Z, gain):
        Z = (Z - Z.mean(dim=1, keepdim=True)) / torch.sqrt(Z.var(dim=1, keepdim=True, unbiased=False) + EPSILON)
        return Z * gain

    a, b = ([x @ p[f"U{gate}"] for gate in GATES], [h @ p[f"V{gate}"] for gate in GATES])
    if kind == "layer_norm":
        a, b = (normalised(torch.cat(parts, dim=1), p[gain]).chunk(3, dim=1) for parts, gain in ((a, "gU"), (b, "gV")))
    z, r = (torch.sigmoid(a[i] + b[i] + p[f"b{GATES[i]}"]) for i in (0, 1))
    if kind == "plain":
        hh = torch.tanh(a[2] + (r * h) @ p["Vhh"] + p["bhh"])
    else:
        hh = torch.tanh(a[2] + r * (b[2] + p["chh"]) + p["bhh"])
    return torch.where(torch.tensor(lengths > t)[:, None], z * h + (1 - z) * hh, h)


def run(p, kind, A, lengths, decay, reverse):
    """All states (m, s, u); `decay` (m, s, 1) belongs to the boundary before its step."""
    start = p["h0"] if "h0" in p else torch.zeros(1, p["Vz"].shape[0], dtype=torch.float64)
    h, states, s = start.expand(len(A), -1), {}, A.shape[1]
    for t in reversed(range(s)) if reverse else range(s):
        at = min(t + reverse, s - 1)
        meets = torch.tensor(lengths > t + reverse)[:, None]  # in reverse no state enters the last real step
        h = torch.where(meets, decay[:, at] * h + (1 - decay[:, at]) * start, h)
        states[t] = h = step(p, kind, A[:, t], h, lengths, t)
    return torch.stack([states[t] for t in range(s)], dim=1)


DECAY = np.where(RNG.random((M, S)) < 0.3, 0, np.where(RNG.random((M, S)) < 0.5, 1, RNG.random((M, S))))
CELLS = {"plain": {}, "reset_after": {"reset_after": True}, "layer_norm": {"layer_norm": True}}


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_gradients_with_decay_are_those_of_stepping_by_hand(kind, learn_h0):
    """A layer both ways and one in reverse, with outputs at steps; then updates by plain gradients, compiled."""
    options = CELLS[kind] | {"learn_h0": learn_h0, "sequences": True}
    layers = [cgru.Bidirectional(cgru.GRU(4, **options)), cgru.GRU(3, reverse=True, **options)]
    net = cgru.Network([*layers, cgru.Dense(2, "identity")], optimizer=cgru.SGD(0.1), seed=1)
    y = RNG.standard_normal((M, S, 2))
    net.predict(X)
    for array in net.parameters().values():
        array[...] = 0.4 * RNG.standard_normal(array.shape) + (np.shape(array)[-1] in (9, 12))
    p = {key: torch.tensor(array, requires_grad=True) for key, array in net.parameters().items()}

    def own(prefix):
        return {key.removeprefix(prefix): tensor for key, tensor in p.items() if key.startswith(prefix)}

    def loss():
        decay, A = torch.tensor(DECAY)[:, :, None], torch.tensor(X)
        both = [run(own(f"0.{half}."), kind, A, LENGTHS, decay, half == "backward") for half in ("forward", "backward")]
        states = run(own("1."), kind, torch.cat(both, dim=2), LENGTHS, decay, True)
        real = torch.tensor(np.arange(S) < LENGTHS[:, None])
        return torch.nn.functional.mse_loss((states @ p["2.W"] + p["2.b"])[real], torch.tensor(y)[real])

    got = net.gradients(cgru.Sequences(X, LENGTHS, decay=DECAY), y)
    value = loss()
    value.backward()
    assert net.evaluate(cgru.Sequences(X, LENGTHS, decay=DECAY), y)["loss"] == pytest.approx(
        float(value.detach()), rel=1e-12
    )
    for key, tensor in p.items():
        np.testing.assert_allclose(got[key], tensor.grad.numpy(), rtol=0, atol=1e-12, err_msg=key)
    due = [float(value.detach())]
    for _ in range(2):
        with torch.no_grad():
            for tensor in p.values():
                tensor -= 0.1 * tensor.grad
                tensor.grad = None
        value = loss()
        value.backward()
        due.append(float(value.detach()))
    history = net.fit(cgru.Sequences(X, LENGTHS, decay=DECAY), y, epochs=3, batch_size=M)
    np.testing.assert_allclose(history.loss, due, rtol=1e-11)
