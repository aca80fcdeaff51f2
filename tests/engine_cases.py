"""What the tests of the compiled fit share: samples of every kind, and chains of layers."""

import numpy as np

import cgru

RNG = np.random.default_rng(3)
M, S, E = 23, 7, 3
X = RNG.standard_normal((M, S, E))
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES, STEP_CLASSES = RNG.integers(0, 3, M), RNG.integers(0, 3, (M, S))
SHARES = RNG.dirichlet(np.ones(3), M)
REALS, STEP_REALS = RNG.standard_normal((M, 2)), RNG.standard_normal((M, S, 2))
WEIGHTS, STEP_WEIGHTS = 3 * RNG.integers(0, 3, M) * RNG.random(M), RNG.integers(0, 2, (M, S)) * RNG.random((M, S))
RESETS = RNG.random((M, S)) < 0.3
DECAY = np.where(RESETS, 0, np.where(RNG.random((M, S)) < 0.5, 1, RNG.random((M, S))))
BINARY, STEP_BINARY = RNG.integers(0, 2, (M, 2)), RNG.integers(0, 2, (M, S, 2))


def states(u, **options):
    return cgru.GRU(u, sequences=True, **options)


def both(layer, merge="concat"):
    return cgru.Bidirectional(layer, merge=merge)


def begin_somewhere(net, X):
    """Learned initial states that are not zero, next to which normalised products bend sharply."""
    if any(cell.learn_h0 for layer in net.layers for cell in layer.cells):
        net.make(X)
    for key, value in net.parameters().items():
        if key.endswith("h0"):
            value[...] = np.random.default_rng(4).standard_normal(value.shape)


CHAINS = {
    "last": lambda: [cgru.GRU(5), cgru.Dense(3, "softmax")],
    "one unit": lambda: [cgru.GRU(1), cgru.Dense(3, "softmax")],
    "wide": lambda: [cgru.GRU(33), cgru.Dense(3, "softmax")],
    "after": lambda: [cgru.GRU(5, reset_after=True), cgru.Dense(3, "softmax")],
    "norm": lambda: [cgru.GRU(5, layer_norm=True), cgru.Dense(3, "softmax")],
    "reverse": lambda: [cgru.GRU(5, reverse=True), cgru.Dense(3, "softmax")],
    "pools": lambda: [states(4), cgru.Pool("max"), cgru.Dense(3, "softmax")],
    "heads of others": lambda: [
        states(4), cgru.Dense(5, "gelu"), cgru.Pool("sum+last"), cgru.Activation("silu"), cgru.Dense(4, "softplus"),
        cgru.Dense(3, "log_softmax"),
    ],
    "mean": lambda: [states(4), cgru.Pool("mean"), cgru.Dense(6, "tanh"), cgru.Dense(3, "softmax")],
    "stack": lambda: [states(4), states(5, reverse=True), cgru.Flip(), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "convolved": lambda: [states(3), cgru.Conv1D(4, 3, 1, "same", 2), cgru.Pool("mean"), cgru.Dense(3, "softmax")],
    "both": lambda: [both(cgru.GRU(4)), cgru.Dense(3, "softmax")],
    "attention": lambda: [states(4), cgru.Pool("attention"), cgru.Dense(3, "softmax")],
    "attention and more": lambda: [
        both(states(9)), cgru.Dropout(0.2), cgru.Pool("last+mean+attention", 7), cgru.Dense(3, "softmax"),
    ],
    "both twice": lambda: [both(states(4)), both(cgru.GRU(3)), cgru.Dense(3, "softmax")],
    "dropouts": lambda: [
        states(4, dropout=0.3), cgru.Dropout(0.4), cgru.GRU(5, zoneout=0.2), cgru.Dropout(0.2),
        cgru.Dense(3, "softmax"),
    ],
    "recurrent dropout": lambda: [
        states(4, recurrent_dropout=0.4, zoneout=0.1),
        cgru.GRU(17, recurrent_dropout=0.2, dropout=0.3, reset_after=True), cgru.Dense(3, "softmax"),
    ],
    "both drop what was": lambda: [
        both(states(4, recurrent_dropout=0.3, layer_norm=True)), both(cgru.GRU(3, recurrent_dropout=0.2)),
        cgru.Dense(3, "softmax"),
    ],
    "dropped flip": lambda: [both(states(3)), cgru.Dropout(0.1), cgru.Flip(), cgru.GRU(2), cgru.Dense(3, "softmax")],
    "dropped wide": lambda: [states(2), cgru.Dropout(0.4), cgru.Dropout(0.2), cgru.GRU(49), cgru.Dense(3, "softmax")],
    "dropped dense": lambda: [
        states(2), cgru.Dropout(0.4), cgru.Dense(4, "tanh"), cgru.Pool("max"), cgru.Dense(3, "softmax"),
    ],
    "both drop": lambda: [both(states(4, dropout=0.3, zoneout=0.2)), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "not now": lambda: [states(4, dropout=0.3, zoneout=0.4), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "other activations": lambda: [
        cgru.GRU(5, cgru.relu, cgru.tanh, cgru.elu), cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 2.5})
    ],
    "elementwise between": lambda: [
        both(states(3)), cgru.Scale(), cgru.Activation("elu"), cgru.Clip(-0.2, 0.3), cgru.GRU(33),
        cgru.Dense(3, "softmax"),
    ],
    "elementwise wide": lambda: [
        states(17), cgru.Scale(), states(33, reverse=True), cgru.Activation("relu"), cgru.Flip(), cgru.Scale(),
        cgru.GRU(2), cgru.Clip(-0.1, 0.1), cgru.Dense(3, "softmax"),
    ],
    "layer norm": lambda: [
        cgru.LayerNorm(), both(states(3)), cgru.LayerNorm(0.1), states(33, reverse=True), cgru.LayerNorm(), cgru.GRU(2),
        cgru.LayerNorm(0.5), cgru.Dense(3, "softmax"),
    ],
    "learned, wide": lambda: [cgru.GRU(33, learn_h0=True, reverse=True), cgru.Dense(3, "softmax")],
    "learned, all": lambda: [
        states(4, learn_h0=True, reset_after=True), states(17, learn_h0=True, layer_norm=True),
        cgru.Pool("mean"), cgru.Dense(3, "softmax"),
    ],
    "learned, dropped": lambda: [
        states(4, learn_h0=True, recurrent_dropout=0.4, zoneout=0.1),
        cgru.GRU(17, learn_h0=True, dropout=0.3, reset_after=True, clip_gradients=True),
        cgru.Dense(3, "softmax"),
    ],
    "clipped": lambda: [both(cgru.GRU(5, clip_gradients=True)), cgru.Dense(3, "softmax")],
}  # fmt: skip
