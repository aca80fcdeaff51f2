"""Outputs, states and gradients against Keras's GRU layer with reset_after=False, which is our variant, masked.

Keras runs on its PyTorch backend here, unless KERAS_BACKEND names another one: then these tests skip. All is float32,
for on that backend Keras computes a float64 product in float32.
"""

import numpy as np
import pytest
from helpers import keras_on_torch

import cgru
from cgru.reference import PARAMETERS

keras, torch = keras_on_torch()

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.")
GATES = ("z", "r", "hh")
SIZES = [(1, 1, 1, 1), (7, 5, 3, 4), (9, 8, 2, 17), (35, 3, 17, 7), (3, 7, 33, 33)]  # m, s, e, u
TOLERANCE = 1e-5  # of the largest value


def blocks(array, u):
    """The three gates, side by side in Keras's order."""
    return dict(zip(GATES, np.split(array, 3, axis=-1), strict=True))


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("sizes", SIZES)
def test_outputs_and_gradients(same, sizes, sequences, ragged):
    m, s, e, u = sizes
    rng = np.random.default_rng(sum(sizes))
    layer = cgru.GRU(u, sequences=sequences, dtype=np.float32)
    X, h0 = rng.standard_normal((m, s, e)).astype(np.float32), rng.standard_normal((m, u)).astype(np.float32)
    layer.compute_shapes(X)
    for name in PARAMETERS:
        layer.p[name] = (rng.standard_normal(layer.fs[name]) / np.sqrt(layer.fs[name][0])).astype(np.float32)
    lengths = rng.integers(1, s + 1, m) if ragged else np.full(m, s)
    real = np.arange(s) < lengths[:, None]
    dA = rng.standard_normal((m, s, u) if sequences else (m, u)).astype(np.float32)

    theirs = keras.layers.GRU(u, reset_after=False, return_sequences=sequences, return_state=True, dtype="float32")
    theirs.build((m, s, e))
    theirs.set_weights([np.concatenate([layer.p[kind + gate] for gate in GATES], axis=-1) for kind in ("U", "V")]
                       + [np.concatenate([layer.p["b" + gate][0] for gate in GATES])])  # fmt: skip
    x, h = torch.tensor(X, requires_grad=True), torch.tensor(h0, requires_grad=True)
    Y, last = theirs(x, mask=torch.tensor(real) if ragged else None, initial_state=h)
    above = torch.tensor(np.where(real[:, :, None], dA, 0) if sequences else dA)
    (Y * above).sum().backward()
    Y, last = Y.detach().numpy(), last.detach().numpy()

    A = layer.forward(X, lengths if ragged else None, h0)
    same(np.where(real[:, :, None], Y, 0) if sequences else Y, A, TOLERANCE, "A")
    same(layer.fc["h"][:, -1], last, TOLERANCE, "the last state")
    same(layer.backward(dA), x.grad.numpy(), TOLERANCE, "dX")
    same(layer.bc["dh"][:, 0], h.grad.numpy(), TOLERANCE, "dh0")
    layer.compute_gradients()
    dU, dV, db = (blocks(weight.value.grad.numpy(), u) for weight in theirs.trainable_weights)
    for gate in GATES:
        same(layer.g["dU" + gate], dU[gate], TOLERANCE, f"dU{gate}")
        same(layer.g["dV" + gate], dV[gate], TOLERANCE, f"dV{gate}")
        same(layer.g["db" + gate][0], db[gate], TOLERANCE, f"db{gate}")
