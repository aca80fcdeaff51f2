"""The reference's masks and both its cells against Keras's GRU layer, with the same dropout masks put into its cell.

Keras runs on its PyTorch backend here, unless KERAS_BACKEND names another one: then these tests skip. It draws one
mask for each gate in its first implementation only, so that one runs. All is float32.
"""

import numpy as np
import pytest
from helpers import keras_on_torch

from cgru import reference

keras, torch = keras_on_torch()

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.")
GATES = ("z", "r", "hh")  # in the order in which Keras stacks them
TOLERANCE = 1e-5  # of the largest value


@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("reset_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 7, 3, 4), (8, 4, 2, 9)])
def test_masks(same, monkeypatch, sizes, reset_after, reverse):
    m, s, e, u = sizes
    rng = np.random.default_rng(sum(sizes))

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    p = {name: normal({"U": e, "V": u}.get(name[0], 1), u) for name in reference.names(reset_after)}
    X, h0, dA, dstate = normal(m, s, e), normal(m, u), normal(m, s, u), normal(m, u)
    inputs, recurrent = (((rng.random(shape) < 0.7) / 0.7).astype(np.float32) for shape in ((m, e), (3, m, u)))

    theirs = keras.layers.GRU(u, reset_after=reset_after, go_backwards=reverse, return_sequences=True,
                              return_state=True, dropout=0.3, recurrent_dropout=0.3, implementation=1,
                              dtype="float32")  # fmt: skip
    theirs.build((m, s, e))
    bias = np.concatenate([p["b" + gate][0] for gate in GATES])
    if reset_after:  # the second row holds the biases of the recurrent products; those of z and r are one with ours
        bias = np.stack([bias, np.concatenate([np.zeros(2 * u, np.float32), p["chh"][0]])])
    theirs.set_weights([np.concatenate([p[kind + gate] for gate in GATES], axis=1) for kind in "UV"] + [bias])
    masks = dict(zip(("hh", "z", "r"), torch.tensor(recurrent), strict=True))
    monkeypatch.setattr(theirs.cell, "get_dropout_mask", lambda x: [torch.tensor(inputs)] * 3)
    monkeypatch.setattr(theirs.cell, "get_recurrent_dropout_mask", lambda h: [masks[gate] for gate in GATES])
    x, h = torch.tensor(X, requires_grad=True), torch.tensor(h0, requires_grad=True)
    Y, last = theirs(x, initial_state=h, training=True)
    Y = torch.flip(Y, [1]) if reverse else Y  # Keras returns them in the order of processing
    ((Y * torch.tensor(dA)).sum() + (last * torch.tensor(dstate)).sum()).backward()

    options = {"reset_after": reset_after, "reverse": reverse, "input_mask": inputs, "recurrent_masks": recurrent}
    fc = reference.forward(p, X, h0, **options)
    bc = reference.backward(p, fc, dA, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, **options)
    same(fc["h"], Y.detach().numpy(), TOLERANCE, "the states")
    same(fc["h"][:, 0 if reverse else -1], last.detach().numpy(), TOLERANCE, "the last state")
    same(bc["dX"], x.grad.numpy(), TOLERANCE, "dX")
    same(bc["dh"][:, -1 if reverse else 0], h.grad.numpy(), TOLERANCE, "dh0")
    dU, dV, db = (np.split(w.value.grad.numpy(), 3, axis=-1) for w in theirs.trainable_weights)
    for i, gate in enumerate(GATES):
        same(g["dU" + gate], dU[i], TOLERANCE, "dU" + gate)
        same(g["dV" + gate], dV[i], TOLERANCE, "dV" + gate)
        same(g["db" + gate][0], db[i][0] if reset_after else db[i], TOLERANCE, "db" + gate)
    if reset_after:
        same(g["dchh"][0], db[2][1], TOLERANCE, "dchh")
