"""What a stateful layer carries from call to call, in both cells, against Keras's stateful GRU layer, in float32.

Keras runs on its PyTorch backend here, unless KERAS_BACKEND names another one: then these tests skip.
"""

import numpy as np
import pytest
from helpers import keras_on_torch

import cgru

keras, _ = keras_on_torch()

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.")
GATES = ("z", "r", "hh")  # in the order in which Keras stacks them


@pytest.mark.parametrize("merge", [None, "concat", "sum", "mul"])
@pytest.mark.parametrize("reset_after", [False, True], ids=["before", "after"])
def test_calls_go_on_where_the_last_ended(same, reset_after, merge):
    m, s, e, u = 4, 5, 3, 6
    rng = np.random.default_rng(1)
    theirs = keras.layers.GRU(u, reset_after=reset_after, return_sequences=True, stateful=True, dtype="float32")
    ours = cgru.GRU(u, reset_after=reset_after, sequences=True, stateful=True, dtype=np.float32)
    if merge is not None:
        theirs = keras.layers.Bidirectional(theirs, merge_mode=merge)
        ours = cgru.Bidirectional(ours, merge)
    keras.Sequential([keras.Input(batch_shape=(m, s, e)), theirs])
    ours.compute_shapes(np.empty((m, s, e)))
    ours.initialize_parameters()
    weights = []
    for half in (ours,) if merge is None else ours.halves:
        for value in half.p.values():
            value[...] = rng.standard_normal(value.shape) / 2
        bias = np.concatenate([half.p["b" + gate][0] for gate in GATES])
        if reset_after:
            bias = np.stack([bias, np.concatenate([np.zeros(2 * u, np.float32), half.p["chh"][0]])])
        weights += [np.concatenate([half.p[kind + gate] for gate in GATES], axis=1) for kind in "UV"] + [bias]
    theirs.set_weights(weights)

    for training in (True, False, False, True):  # inference moves the state as training does
        X = rng.standard_normal((m, s, e)).astype(np.float32)
        due = keras.ops.convert_to_numpy(theirs(X, training=training))
        same(ours.forward(X) if training else ours.predict(X), due, 1e-5)
    getattr(theirs, "reset_states", getattr(theirs, "reset_state", None))()  # the name depends on the class
    ours.reset_state()
    same(ours.predict(X), keras.ops.convert_to_numpy(theirs(X)), 1e-5)
