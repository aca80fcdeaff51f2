"""Shared by tests of low precision: random weights, the layers of core/low_precision.pyx, the distance from a tie."""

import numpy as np

import cgru
from cgru.activations import code_of, sigmoid, tanh
from cgru.core import kernels, low_precision
from cgru.core.linear import Linear
from cgru.passes import predict
from cgru.quantized import quantized_reference as reference
from cgru.quantized.stored_weights import StoredWeights
from cgru.variant import named

KINDS = ("int8", "bfloat16")
GATES = (tanh, sigmoid, sigmoid)


def narrow_levels():
    """Each level that this machine has, with products of bytes (True) wherever it has them, and without (False)."""
    before, found = kernels.level(), []
    for name in kernels.levels():
        kernels.use_level(name)
        found += [(name, True), (name, False)][: 1 + (low_precision.level() != name)]
    kernels.use_level(before)
    return found


def coded(p, kind):
    """Parameters of float32 as those of a LowPrecisionGRU."""
    storage, found = StoredWeights(kind), {}
    for name, array in p.items():
        found |= storage.stored(name, array)
    return found


def random_coded(kind, e, u, after=False, seed=0, gain=1.0):
    rng = np.random.default_rng(seed)
    shapes = named("reset_after" if after else "reset_before").shapes(e, u)
    p = {name: rng.standard_normal(shape) * (gain / np.sqrt(shape[0])) for name, shape in shapes.items()}
    return coded(p, kind)


class NarrowGRU:
    """Packed weights, and calls with them as `GRU.predict` makes them."""

    def __init__(self, p, gates=GATES, se_hPars=None, x_bound=0.0, bound=0.0, zoneout=0.0):
        self.p, self.variant, self.zoneout = p, named("reset_after" if "chh" in p else "reset_before"), zoneout
        self.codes = tuple(code_of(f, se_hPars) for f in gates)
        self.packed = low_precision.LowPrecisionGRU(p, x_bound, self.variant, self.codes, bound, zoneout)

    def forward(self, X, lengths, h0, *, reverse=False, every=False):
        return predict(
            X, lengths, h0, dict(self.p), self.variant, self.codes, reverse, every, True, self.zoneout,
            packed=self.packed,
        )  # fmt: skip


def narrow_linear(W, scale, b, bound=0.0):
    return Linear(W, b, None, scale, bound)


def one_by_one(model, X, **given):
    """What `predict` returns for each sample alone: several samples of bfloat16 weights run in float32."""
    rows = [slice(i, i + 1) for i in range(len(X))]
    return np.concatenate([model.predict(X[i], **{name: array[i] for name, array in given.items()}) for i in rows])


def weights_of(p, name):
    """What the codes or bits of a matrix stand for."""
    return reference.dequantize(p[name], p.get(f"scale_{name}"))


def quantum(p, bound=1.0):
    """What one code of a state that is rounded the other way changes in a sum, at most."""
    return bound / 127 * max(np.abs(weights_of(p, name)).max() for name in ("Vz", "Vr", "Vhh"))


def on_a_tie(x, bound, within=2e-4):
    """Of the rows of x (m, k) those with a number so near the middle of two codes that rounding may go either way."""
    codes, scale = reference.quantize_rows(x, bound)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.abs(x / scale - codes) - 0.5)
    return (apart < within).any(axis=1)


def quantized(layer, weights="int8", x_bound=0.0):
    """A layer without parameters as one of quantised weights."""
    return StoredWeights(weights, x_bound).apply(layer)


def quantized_both(layer, twin, merge="concat"):
    """A Bidirectional of two layers of quantised weights."""
    p = dict(layer.p)
    layer.p.clear()
    both = cgru.Bidirectional(layer, merge)
    layer.p |= p
    both.halves[1].p |= twin.p
    return both


def random_quantized_gru(e, u, kind, seed=0, x_bound=0.0, **options):
    layer = quantized(cgru.GRU(u, **options), kind, x_bound)
    rng = np.random.default_rng(seed)
    shapes = layer.variant.shapes(e, u)
    layer.p |= coded(
        {name: rng.standard_normal(shape) * (0.7 / np.sqrt(shape[0])) for name, shape in shapes.items()}, kind
    )
    return layer


def random_quantized_dense(n, u, kind, seed=0, x_bound=0.0, **options):
    layer = quantized(cgru.Dense(u, **options), kind, x_bound)
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((n, u)) / np.sqrt(n), rng.standard_normal((1, u)).astype(np.float32)
    layer.p |= coded({"W": W, "b": b}, kind)
    return layer


def random_quantized_embedding(v, u, kind, seed=0):
    layer = quantized(cgru.Embedding(v, u), kind)
    layer.p |= coded({"E": np.random.default_rng(seed).standard_normal((v, u))}, kind)
    return layer
