"""Networks of integers of each kind of layer, for the tests of their NumPy and of their C."""

import numpy as np

import cgru

F4 = {"dtype": np.float32}


def gru(u, **options):
    return cgru.GRU(u, sequences=True, **F4, **options)


LAYERS = {
    "before": lambda: [cgru.GRU(9, **F4), cgru.Dense(3, "softmax", **F4)],
    "after": lambda: [gru(12, reset_after=True), cgru.Dense(5, "softmax", se_hPars={"softmax_temperature": 2.0}, **F4)],
    "stack": lambda: [gru(5, learn_h0=True, zoneout=0.2), gru(8, reset_after=True, learn_h0=True), cgru.GRU(4, **F4)],
    "sigmoid": lambda: [gru(6, activate="sigmoid"), cgru.Dense(1, "sigmoid", **F4)],
    "tokens": lambda: [cgru.Embedding(11, 6, **F4), gru(7), cgru.Pool("last+mean+max"), cgru.Dense(2, "tanh", **F4)],
    "pools": lambda: [cgru.Dropout(0.3), gru(7), cgru.Pool("sum+mean+last"), cgru.Dense(2, "identity", **F4)],
    "sum": lambda: [cgru.Scale(**F4), gru(3), cgru.Pool("sum+max")],
    "frames": lambda: [cgru.Frames(4, 2), cgru.Dense(6, "relu", **F4), gru(5), cgru.Dense(2, "identity", **F4)],
    "conv": lambda: [
        cgru.Conv1D(7, 3, activate="relu", dilation=2, **F4),
        cgru.Scale(**F4),
        cgru.Clip(-0.5, 2),
        gru(6),
    ],
    "select": lambda: [
        cgru.Select([2, 0]),
        gru(5),
        cgru.Dense(4, "tanh", **F4),
        cgru.Scale(**F4),
        cgru.Clip(None, 0.4),
    ],
    "all": lambda: [
        cgru.Conv1D(7, 3, activate="relu", dilation=2, **F4),
        cgru.Scale(**F4),
        cgru.Clip(-0.5, 2),
        gru(5, learn_h0=True, zoneout=0.2),
        gru(8, reset_after=True),
        cgru.Pool("sum+max+mean+last"),
        cgru.Dense(5, "softmax", **F4),
    ],
    "raised": lambda: [gru(7), cgru.Clip(1.2), cgru.GRU(3, **F4)],  # to more than the integers before it reach
    "strided": lambda: [cgru.Conv1D(4, 3, 2, "valid", **F4), cgru.Clip(0), gru(5), cgru.Pool("mean")],
}


def loss_of(layers):
    return "mean_squared_error" if layers[-1].is_head else None


def network(name, seed=0, s=16):
    """The float network of that name with random, non-zero parameters, and inputs for it."""
    layers, rng = LAYERS[name](), np.random.default_rng(seed)
    net = cgru.Network(layers, loss_of(layers), **F4, seed=seed)
    X = rng.standard_normal((6, s, 5)).astype(np.float32) * 3 + 1
    if "tokens" in layers[0].reads:
        X = rng.integers(0, 11, (6, s))
    net.make(X)
    for layer in net.layers:
        for key, value in layer.p.items():
            value[...] = rng.standard_normal(value.shape) * (1.2 / np.sqrt(len(value)) if key[0] in "UVW" else 0.6)
    if X.ndim == 3:
        net.mean, net.scale = X.mean(axis=(0, 1), dtype=np.float64), X.std(axis=(0, 1), dtype=np.float64)
    return net, X


def integers(name, **options):
    """The network of integers of that name, and inputs for it."""
    net, X = network(name, **options)
    return cgru.quantize(net, activations="int16", calibration=X), X


def codes(net, A):
    """Outputs as the integers that they stand for, exactly."""
    bits = next(layer.y_bits for layer in reversed(getattr(net, "layers", (net,))) if hasattr(layer, "y_bits"))
    found = np.asarray(A, np.float64) * 2.0**bits
    assert (found == np.rint(found)).all()
    return found.astype(int)


def streamed(net, X):
    """The outputs of a `Stream` for the steps of one sample, (n, k), those of `finish` too."""
    stream = cgru.Stream(net)
    rows = [row.copy() for row in map(stream.step, X) if row is not None]
    return np.array([*rows, *stream.finish()[0]])
