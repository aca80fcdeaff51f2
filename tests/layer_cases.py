"""Every kind of layer with its options, and what it takes: what the tests of all layers share."""

import numpy as np

import cgru

RNG = np.random.default_rng(0)
M, S, E, U = 4, 5, 3, 2
X, TOKENS = RNG.standard_normal((M, S, E)), RNG.integers(0, 6, (M, S))
LENGTHS = np.array([5, 1, 3, 5])


def soft(x, deriv=False):
    """A callable that is not cgru's own."""
    return x / (1 + np.abs(x)) if not deriv else 1 / np.square(1 + np.abs(x))


LAYERS = {
    "gru": lambda: cgru.GRU(U, rng=1, sequences=True),
    "gru, last": lambda: cgru.GRU(U, rng=1),
    "gru, reset after": lambda: cgru.GRU(U, rng=1, reset_after=True, reverse=True, sequences=True),
    "gru, masks": lambda: cgru.GRU(U, rng=1, zoneout=0.3, dropout=0.2),
    "gru, all masks": lambda: cgru.GRU(U, rng=1, zoneout=0.3, dropout=0.2, recurrent_dropout=0.2),
    "gru, own": lambda: cgru.GRU(U, soft, rng=1),
    "bidirectional": lambda: cgru.Bidirectional(cgru.GRU(U, rng=1, sequences=True)),
    "bidirectional, mul": lambda: cgru.Bidirectional(cgru.GRU(U, rng=1), "mul"),
    "dense": lambda: cgru.Dense(U, rng=1),
    "dense, softmax": lambda: cgru.Dense(U, "softmax", rng=1),
    "dense, own": lambda: cgru.Dense(U, soft, rng=1),
    "dropout": lambda: cgru.Dropout(0.5, rng=1),
    "embedding": lambda: cgru.Embedding(6, U, rng=1),
    "flip": lambda: cgru.Flip(),
    "pool": lambda: cgru.Pool("mean"),
    "pool, max": lambda: cgru.Pool("max"),
    "pool, last": lambda: cgru.Pool("last"),
    "pool, attention": lambda: cgru.Pool("mean+attention", rng=1),
    "pool, hidden": lambda: cgru.Pool("attention", 3, rng=1),
    "scale": lambda: cgru.Scale(),
    "switching": lambda: cgru.SwitchingGRU(U, 6, sequences=True, rng=1),
}
MORE = {  # further kinds and options; of these what holds of whole layers in networks, and of their gradients
    "gru, layer norm": lambda: cgru.GRU(U, rng=1, layer_norm=True, learn_h0=True, sequences=True),
    "gru, learned": lambda: cgru.GRU(U, rng=1, reset_after=True, learn_h0=True),
    "gru, activations": lambda: cgru.GRU(U, "elu", "sigmoid", "tanh", rng=1, sequences=True),
    "bidirectional, all": lambda: cgru.Bidirectional(
        cgru.GRU(U, rng=1, layer_norm=True, reset_after=True, learn_h0=True, sequences=True), "sum"
    ),
    "pool, all": lambda: cgru.Pool("last+attention+mean+max+sum", 5, rng=1),
    "activation": lambda: cgru.Activation("elu", {"ELU_alpha": 0.5}),
    "activation, softmax": lambda: cgru.Activation("softmax", {"softmax_temperature": 2.0}),
    "activation, gelu": lambda: cgru.Activation("gelu"),
    "activation, log_softmax": lambda: cgru.Activation("log_softmax"),
    "dense, silu": lambda: cgru.Dense(U, "silu", rng=1),
    "dense, log_softmax": lambda: cgru.Dense(U, "log_softmax", rng=1),
    "clip": lambda: cgru.Clip(-0.4, 0.3),
    "conv1d": lambda: cgru.Conv1D(U, 3, activate="tanh", rng=1),
    "conv1d, same": lambda: cgru.Conv1D(U, 4, padding="same", dilation=2, activate="softmax", rng=1),
    "conv1d, stride": lambda: cgru.Conv1D(U, 3, 2, (1, 2), 2, "elu", rng=1),
    "conv1d, patches": lambda: cgru.Conv1D(U, 2, 2, "valid", rng=1),
    "conv1d, own": lambda: cgru.Conv1D(U, activate=soft, rng=1),
    "difference": lambda: cgru.Difference(),
    "difference, alone": lambda: cgru.Difference(keep=False),
    "frames": lambda: cgru.Frames(2),
    "frames, padded": lambda: cgru.Frames(3, 2, (1, 2), 2),
    "frames, causal": lambda: cgru.Frames(3, 1, (4, 0), 2),
    "layer norm": lambda: cgru.LayerNorm(0.1),
    "select": lambda: cgru.Select([2, 0, 2]),
    "concatenate": lambda: cgru.Concatenate(
        [], cgru.GRU(U, rng=1, sequences=True), [cgru.Select(1), cgru.Dense(2, rng=2)]
    ),
    "concatenate, last": lambda: cgru.Concatenate(cgru.GRU(U, rng=1, reset_after=True), cgru.Pool("mean+max")),
    "add": lambda: cgru.Add(
        cgru.GRU(U, rng=1, sequences=True),
        [cgru.Dense(U, rng=2), cgru.Add([], cgru.GRU(U, rng=3, reset_after=True, sequences=True))],
    ),
    "multiply": lambda: cgru.Multiply([], cgru.Activation("tanh"), [cgru.Add([], cgru.Difference(False))]),
    "normalize": lambda: cgru.Normalize(),
    "normalize, alone": lambda: cgru.Normalize(keep=False),
    "switching, last": lambda: cgru.SwitchingGRU(U, 6, rng=1),
}
TOKENED = ("embedding", "switching", "switching, last")


def given(name):
    return TOKENS if name in TOKENED else X
