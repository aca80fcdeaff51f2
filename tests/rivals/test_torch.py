"""Ragged batches, initial states and every gradient against PyTorch's automatic differentiation, in float64; `Conv1D`.

`torch.nn.GRU` itself is no oracle: it knows only the variant that resets after the matrix product,
hh_ = X Uhh + r * (hp Vhh + chh), which is another function. So the equations of our layer are written here in torch,
for one sample at a time and as many steps as it has, and torch differentiates them.
"""

import numpy as np
import pytest

import cgru
from cgru.reference import PARAMETERS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

THEIRS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
    "relu": torch.relu,
    "lrelu": lambda x: torch.nn.functional.leaky_relu(x, 0.3),
    "elu": torch.nn.functional.elu,
}
SIZES = [(1, 1, 1, 1), (7, 5, 3, 4), (9, 8, 2, 17), (35, 3, 17, 7), (2, 33, 7, 2), (3, 7, 33, 33)]  # m, s, e, u
GATES = [  # activate, activate_update, activate_reset
    ("relu", "sigmoid", "tanh"),
    ("elu", "sigmoid", "lrelu"),
    ("lrelu", "tanh", "elu"),
    ("identity", "sigmoid", "relu"),
    ("sigmoid", "elu", "identity"),
]
PLAIN = ("tanh", "sigmoid", "sigmoid")


def sample(p, x, h, gates):
    """The states (n, u) of one sample x (n, e) from h (u,)."""
    activate, activate_update, activate_reset = (THEIRS[name] for name in gates)
    states = []
    for row in x:
        r = activate_reset(row @ p["Ur"] + h @ p["Vr"] + p["br"][0])
        z = activate_update(row @ p["Uz"] + h @ p["Vz"] + p["bz"][0])
        hh = activate(row @ p["Uhh"] + (r * h) @ p["Vhh"] + p["bhh"][0])
        h = z * h + (1 - z) * hh
        states.append(h)
    return torch.stack(states)


def case(sizes, gates=PLAIN, sequences=False, ragged=True, started=True, seed=0):
    """A layer with random parameters, all of them non-zero, and what goes in: layer, X, lengths, h0, dA."""
    m, s, e, u = sizes
    rng = np.random.default_rng(seed)
    layer = cgru.GRU(u, *(getattr(cgru, name) for name in gates), sequences=sequences)
    X = rng.standard_normal((m, s, e))
    layer.compute_shapes(X)
    for name in PARAMETERS:
        layer.p[name] = rng.standard_normal(layer.fs[name]) / (2 * np.sqrt(layer.fs[name][0]))
    lengths = rng.integers(1, s + 1, m) if ragged else None
    h0 = rng.standard_normal((m, u)) if started else None
    return layer, X, lengths, h0, rng.standard_normal((m, s, u) if sequences else (m, u))


def check(same, layer, X, lengths, h0, dA, gates=PLAIN):
    m, s, _ = X.shape
    u = layer.d["u"]
    tolerance = 1e-10
    n = np.full(m, s) if lengths is None else lengths

    p = {name: torch.tensor(value, requires_grad=True) for name, value in layer.p.items()}
    x = torch.tensor(X, requires_grad=True)
    h = torch.tensor(np.zeros((m, u)) if h0 is None else h0, requires_grad=True)
    states = [sample(p, x[i, : n[i]], h[i], gates) for i in range(m)]
    above = torch.tensor(dA)
    if layer.sequences:
        loss = sum((states[i] * above[i, : n[i]]).sum() for i in range(m))
    else:
        loss = sum((states[i][-1] * above[i]).sum() for i in range(m))
    loss.backward()
    padded = np.zeros((m, s, u))
    for i in range(m):
        padded[i, : n[i]] = states[i].detach().numpy()
    last = padded[np.arange(m), n - 1]

    beyond = np.arange(s) >= n[:, None]  # (m, s): the padding, which must not be seen
    given = X.copy()
    given[beyond] = np.nan
    above = dA.copy()
    if layer.sequences:
        above[beyond] = np.nan
    A = layer.forward(given, lengths, h0)
    same(A, padded if layer.sequences else last, tolerance, "A")
    same(layer.predict(given, lengths, h0), padded if layer.sequences else last, tolerance, "predict")
    same(layer.fc["h"][:, -1], last, tolerance, "the last state")
    dX = layer.backward(above)
    layer.compute_gradients()

    same(dX, x.grad.numpy(), tolerance, "dX")
    same(layer.bc["dh"][:, 0], h.grad.numpy(), tolerance, "dh0")
    for name in PARAMETERS:
        same(layer.g["d" + name], p[name].grad.numpy(), tolerance, "d" + name)
    for name, cache in layer.bc.items():
        assert not cache[beyond].any(), f"bc[{name!r}] is not zero in the padding"
    return p


@pytest.mark.parametrize("started", [False, True], ids=["h0 zero", "h0 given"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("sizes", SIZES)
def test_every_gradient(same, sizes, sequences, ragged, started):
    check(same, *case(sizes, sequences=sequences, ragged=ragged, started=started))


@pytest.mark.parametrize("gates", GATES, ids="-".join)
def test_activations(same, gates):
    check(same, *case((11, 6, 3, 5), gates, sequences=True), gates)


@pytest.mark.parametrize("seed", range(8))
def test_random_lengths(same, seed):
    m, s, e, u = np.random.default_rng(100 + seed).integers(1, 20, 4)
    check(same, *case((int(m), int(s), int(e), int(u)), sequences=seed % 2 == 0, seed=seed))


@pytest.mark.parametrize(
    "lengths", [[6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6], [1] * 6, [6] * 6, [1, 6, 1, 6, 1, 6]], ids=str
)
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
def test_orders_of_lengths(same, lengths, sequences):
    layer, X, _, h0, dA = case((6, 6, 3, 5), sequences=sequences)
    check(same, layer, X, np.array(lengths), h0, dA)


def test_one_layer_ragged_then_full_then_ragged(same):
    """Buffers and lengths of one call leave nothing behind for the next."""
    layer, X, lengths, h0, dA = case((8, 7, 3, 9), sequences=True)
    check(same, layer, X, lengths, h0, dA)
    check(same, layer, X, None, None, dA)
    check(same, layer, X[:5, :4], np.minimum(lengths[:5], 4), h0[:5], dA[:5, :4])
    check(same, layer, X, lengths[::-1].copy(), None, dA)


def test_foreign_activation(same):
    """The loop in Python, of a callable that the compiled code does not know, keeps to the lengths as well."""
    layer, X, lengths, h0, dA = case((7, 6, 3, 5), sequences=True)
    layer.activate = lambda x, deriv=False: cgru.tanh(x, deriv)
    check(same, layer, X, lengths, h0, dA)


def test_a_step_of_gradient_descent(same):
    layer, X, lengths, h0, dA = case((7, 6, 3, 5))
    p = check(same, layer, X, lengths, h0, dA)
    torch.optim.SGD(p.values(), lr=0.05).step()
    layer.lrate, layer.e = [0.05], 0
    layer.update_parameters()
    for name in PARAMETERS:
        same(layer.p[name], p[name].detach().numpy(), 1e-12, name)


@pytest.mark.parametrize("padding", ["causal", "same", "valid", (5, 2), 3])
@pytest.mark.parametrize(
    ("m", "s", "n", "u", "k", "stride", "dilation"),
    [
        (1, 1, 1, 1, 1, 1, 1), (7, 17, 1, 7, 1, 3, 2), (1, 33, 7, 1, 7, 1, 3), (17, 33, 17, 33, 3, 2, 7),
        (3, 49, 33, 17, 17, 1, 3), (3, 97, 7, 33, 33, 5, 1), (7, 33, 33, 7, 2, 7, 17), (3, 17, 3, 5, 4, 1, 2),
    ],
)  # fmt: skip
def test_conv1d(same, m, s, n, u, k, stride, dilation, padding):
    wide = (k - 1) * dilation
    if padding == "same" and stride > 1:  # as refused in PyTorch
        padding = (0, wide)
    rng = np.random.default_rng(0)
    layer = cgru.Conv1D(u, k, stride, padding, dilation, rng=1)
    A = layer.forward(X := rng.standard_normal((m, s, n)))
    layer.p["b"] += rng.standard_normal((1, u))
    dA = rng.standard_normal(A.shape)
    A, dX = layer.forward(X), layer.backward(dA)
    layer.compute_gradients()
    theirs = torch.nn.Conv1d(n, u, k, stride, padding if padding in ("same", "valid") else 0, dilation).double()
    theirs.weight.data = torch.tensor(layer.p["W"].reshape(k, n, u).T.copy())
    theirs.bias.data = torch.tensor(layer.p["b"][0])
    x = torch.tensor(X, requires_grad=True)
    pair = {"causal": (wide, 0), 3: (3, 3)}.get(padding, padding)
    zeros = (0, 0) if isinstance(pair, str) else pair
    y = theirs(torch.nn.functional.pad(x.transpose(1, 2), zeros)).transpose(1, 2)
    y.backward(torch.tensor(dA))
    due = {"A": y.detach(), "dX": x.grad, "dW": theirs.weight.grad.numpy().T.reshape(k * n, u), "db": theirs.bias.grad}
    for name, found in {"A": A, "dX": dX, **layer.g}.items():
        same(found, due[name], 1e-12, name)
