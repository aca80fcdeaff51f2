"""The parameters of a compiled fit and its optimizer: one step at a time against cgru/optimizers.py."""

import copy

import numpy as np
import pytest
from helpers import assert_all_same

import cgru
from cgru.network.options import Penalties
from cgru.network.training.compiled.weights import Weights

RNG = np.random.default_rng(2)
X, Y = RNG.standard_normal((9, 4, 3)), RNG.standard_normal((9, 2))

OPTIMIZERS = [
    cgru.SGD(0.1),
    cgru.SGD(0.1, momentum=0.9),
    cgru.SGD(0.1, momentum=0.9, nesterov=True),
    cgru.Adam(0.01),
    cgru.Adam(0.01, beta_1=0.5, beta_2=0.7, epsilon=1e-2, weight_decay=0.5),
    cgru.RMSprop(0.001),
    cgru.RMSprop(0.001, rho=0.7, epsilon=1e-2, momentum=0.9, weight_decay=0.5),
    cgru.Adagrad(0.01),
    cgru.Adagrad(0.01, momentum=0.9, epsilon=1e-2, weight_decay=0.5),
]


def network(optimizer, dtype="float64", u=5):
    net = cgru.Network([cgru.GRU(u), cgru.Dense(2, "identity")], optimizer=optimizer, dtype=dtype, seed=1)
    net.make(X)
    return net


def gradients(net):
    """Of a fit's one batch: what a step of plain descent takes off."""
    twin = copy.deepcopy(net)
    twin.optimizer, before = cgru.SGD(1.0), {key: array.copy() for key, array in net.parameters().items()}
    twin.fit(X, Y, epochs=1, shuffle=False)
    return {key: before[key] - array for key, array in twin.parameters().items()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("u", [1, 7, 17])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
@pytest.mark.pairwise
def test_steps_are_those_of_the_optimizer(level, optimizer, u, dtype):
    net, state = network(optimizer, dtype, u), {}
    due = {key: array.astype(np.float64) for key, array in net.parameters().items()}
    for step in range(4):
        g = {key: array.astype(np.float64) for key, array in gradients(net).items()}
        optimizer.step(due, g, state)
        net.fit(X, Y, epochs=1, shuffle=False)
        for key, array in net.parameters().items():
            tolerance = 1e-9 if dtype == "float64" else 1e-3
            np.testing.assert_allclose(array, due[key], rtol=tolerance, atol=tolerance, err_msg=f"{step} {key}")
            steps, *arrays = net.optimizer_state[type(optimizer).__name__][key]
            assert steps == step + 1
            for got, kept in zip(arrays, state[type(optimizer).__name__][key][1:], strict=True):
                np.testing.assert_allclose(got, kept, rtol=tolerance, atol=tolerance, err_msg=f"{step} {key}")


@pytest.mark.parametrize("which", ["too many", "too few", "another shape"])
@pytest.mark.parametrize(
    "optimizer", [cgru.SGD(0.1, momentum=0.9), cgru.Adam(0.01), cgru.RMSprop(0.01)], ids=lambda own: type(own).__name__
)
def test_a_state_that_does_not_fit_begins_anew(optimizer, which):
    nets = [network(optimizer) for _ in range(2)]
    for net in nets:
        net.fit(X, Y, epochs=2, shuffle=False)
        own = net.optimizer_state[type(optimizer).__name__]
        if net is nets[1]:
            del own["0.Uz"]
            continue
        steps, *arrays = own["0.Uz"]
        arrays = {"too many": arrays * 9, "too few": arrays[1:], "another shape": [a.T for a in arrays]}[which]
        own["0.Uz"] = [steps, *arrays]
    for net in nets:
        net.fit(X, Y, epochs=2, shuffle=False)
    assert_all_same(nets[0].parameters(), nets[1].parameters())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("key", ["0.Uz", "1.b"])
def test_a_bound_on_all_parameters(level, key, dtype):
    net = network(cgru.Adam(), dtype, 7)
    found = {}
    for value in (3.0, -40.0, 2e9, -1e15, 1e25, np.inf, -np.inf, np.nan):
        net.parameters()[key][-1, -1] = value
        found[value] = Weights(net, True, Penalties({}, {})).largest()
    for value, bound in found.items():
        if value == value:
            assert abs(value) * (1 - 1e-6) <= bound <= abs(value) + 10
        else:
            assert np.isnan(bound)
