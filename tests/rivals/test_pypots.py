"""GRUD beside that of PyPOTS: its cell, its rates and its time differences, from its own files.

Its cell is a reset-after GRU over [xh, hp, mask]. With the columns of hp at zero for the candidate, and those of r and
z added to the recurrent matrix, it is ours with `reset_after`; with a diagonal recurrent matrix of the candidate, which
the reset gate may stand on either side of, it is the paper's, and `cgru.GRUD` itself.
"""

import importlib
import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

import cgru
from cgru import grud_reference
from cgru.grud import gru_parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

PARTS = ("pypots", "pypots.nn", "pypots.nn.modules", "pypots.data", "benchpots")  # of the last nothing is needed
M, S, E, U = 7, 12, 5, 9
RNG = np.random.default_rng(0)


@pytest.fixture
def pypots(monkeypatch):
    """Import parts of PyPOTS without the package itself, which would import all that it is made of."""
    found = importlib.util.find_spec("pypots")
    if found is None:
        pytest.skip("PyPOTS is not installed: pip install --no-deps pypots")
    for part in PARTS:
        module = ModuleType(part)
        module.__path__ = [f"{found.submodule_search_locations[0]}{part.removeprefix('pypots').replace('.', '/')}"]
        monkeypatch.setitem(sys.modules, part, module)
    return importlib.import_module


@pytest.fixture
def net(pypots):
    """A layer of PyPOTS in float64, with the columns of hp folded into the recurrent matrix."""
    torch.manual_seed(0)
    net = pypots("pypots.nn.modules.grud.backbone").BackboneGRUD(S, E, U).double()
    with torch.no_grad():
        net.rnn_cell.weight_ih[2 * U :, E : E + U] = 0
        for each in (net.temp_decay_h.W, net.temp_decay_x.W):
            each.abs_()
    return net


@pytest.fixture
def data(pypots):
    X = RNG.standard_normal((M, S, E))
    X[RNG.random(X.shape) < 0.5] = np.nan
    there = torch.tensor(~np.isnan(X)).float()
    deltas = pypots("pypots.data.utils")._parse_delta_torch(there).double()
    last = np.zeros((M, S, E))
    for t in range(S):
        last[:, t] = np.where(np.isnan(X[:, t]), last[:, t - 1] if t else 0, X[:, t])
    given = torch.tensor(np.nan_to_num(X)), there.double(), deltas, torch.zeros(E).double(), torch.tensor(last)
    return X, given


def numbers(tensor):
    return tensor.detach().numpy()


def rates(net):
    """The parameters of ours for their rates."""
    h, x = net.temp_decay_h, net.temp_decay_x
    return {
        "Wgx": numbers(x.W.diagonal())[None], "bgx": numbers(x.b)[None], "Wgh": numbers(h.W).T,
        "bgh": numbers(h.b)[None],
    }  # fmt: skip


def gates(net):
    """By gate W, the recurrent matrix, V, and the biases of the input and of the recurrent product."""
    cell, found = net.rnn_cell, {}
    for i, gate in enumerate(("r", "z", "hh")):
        at = slice(i * U, (i + 1) * U)
        over = numbers(cell.weight_ih)[at].T
        W, folded, V = over[:E], over[E : E + U], over[E + U :]
        found[gate] = W, numbers(cell.weight_hh)[at].T + folded, V, numbers(cell.bias_ih)[at], numbers(cell.bias_hh)[at]
    return found


def test_time_differences_factors_and_states_are_those_of_pypots(net, data, same):
    X, given = data
    fc, _ = grud_reference.forward(rates(net), X)
    same(fc["delta"], given[2], 1e-12, "delta")
    layer = cgru.GRU(U, sequences=True, reset_after=True)
    for gate, (W, V, of_mask, b, c) in gates(net).items():
        layer.p |= {"U" + gate: np.vstack([W, of_mask]), "V" + gate: V, "b" + gate: (b + c)[None]}
        if gate == "hh":
            layer.p |= {"bhh": b[None], "chh": c[None]}
    before, last = net(*given)
    A = layer.forward(fc["xm"], decay=fc["gh"])
    same(A[:, -1], numbers(last), 1e-5, "last states")
    same(layer.fc["hp"], numbers(before), 1e-5, "states as they enter a step")


def test_the_layer_is_theirs_with_the_reset_on_either_side(net, data, same):
    with torch.no_grad():
        net.rnn_cell.weight_hh[2 * U :] = torch.diag(torch.linspace(-1, 1, U).double())
        net.rnn_cell.bias_hh[2 * U :] = 0
    X, given = data
    layer = cgru.GRUD(U, sequences=True)
    layer.p |= rates(net)
    for gate, (W, of_state, V, b, c) in gates(net).items():
        own, sign = ("", 1) if gate == "hh" else (gate, -1 if gate == "z" else 1)  # their z is 1 minus the paper's
        parts = zip("WUVb", (W, of_state, V, (b + c)[None]), strict=True)
        layer.p |= {letter + own: sign * part for letter, part in parts}
    assert gru_parameters(layer.p).keys() == set(cgru.reference.PARAMETERS)
    A = layer.forward(X)
    weight = RNG.standard_normal((M, U))
    _, last = net(*given)
    (last * torch.tensor(weight)).sum().backward()
    same(A[:, -1], numbers(last), 1e-5, "last states")
    dA = np.zeros_like(A)
    dA[:, -1] = weight
    layer.backward(dA)
    layer.compute_gradients()
    cell = net.rnn_cell
    same(layer.g["dWr"], numbers(cell.weight_ih.grad)[:U, :E].T, 1e-5, "dWr")
    same(-layer.g["dVz"], numbers(cell.weight_ih.grad)[U : 2 * U, E + U :].T, 1e-5, "dVz")
    same(layer.g["dW"], numbers(cell.weight_ih.grad)[2 * U :, :E].T, 1e-5, "dW")
    same(layer.g["dWgx"][0], numbers(net.temp_decay_x.W.grad.diagonal()), 1e-5, "dWgx")
    same(layer.g["dWgh"], numbers(net.temp_decay_h.W.grad).T, 1e-5, "dWgh")
