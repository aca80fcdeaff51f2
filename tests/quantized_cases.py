"""Shared by tests of low precision: random weights, the layers of core/low_precision.pyx, the distance from a tie."""

import numpy as np

from cgru.activations import code_of, sigmoid, tanh
from cgru.core import kernels, low_precision
from cgru.quantized import quantized_reference as reference
from cgru.quantized.layers import QuantizedDense, QuantizedEmbedding, QuantizedGRU
from cgru.variant import named

KINDS = ("int8", "bfloat16")
GATES = (tanh, sigmoid, sigmoid)


def narrow_levels():
    """Each level that this machine has, with products of bytes (None) wherever it has them, and without (False)."""
    before, found = kernels.level(), []
    for name in kernels.levels():
        kernels.use_level(name)
        found += [(name, None), (name, False)][: 1 + (low_precision.level() != name)]
    kernels.use_level(before)
    return found


def coded(p, kind):
    """Parameters of float32 as those of a LowPrecisionGRU."""
    found = {}
    for name, array in p.items():
        if name[0] not in "UV":
            found[name] = np.asarray(array, np.float32)
        elif kind == "bfloat16":
            found[name] = reference.bfloat16(array)
        else:
            found[name], found["scale_" + name] = reference.quantize_columns(array)
    return found


def random_coded(kind, e, u, after=False, seed=0, gain=1.0):
    rng = np.random.default_rng(seed)
    shapes = named("reset_after" if after else "reset_before").shapes(e, u)
    p = {name: rng.standard_normal(shape) * (gain / np.sqrt(shape[0])) for name, shape in shapes.items()}
    return coded(p, kind)


def narrow_gru(p, kind, gates=GATES, se_hPars=None, **options):
    variant = named("reset_after" if "chh" in p else "reset_before")
    return low_precision.LowPrecisionGRU(p, variant, tuple(code_of(f, se_hPars) for f in gates), kind, **options)


def rounds(p, m):
    """Whether rows of a call with m samples are bfloat16, too."""
    return p["Uz"].dtype == np.uint16 and m > 1 and low_precision.level().endswith("bf16")


def definition(p, X, *arguments, **options):
    """The states that `reference.forward` gives, its rows rounded where the kernels round them."""
    return reference.forward(p, X, *arguments, rounded=rounds(p, len(X)), **options)


def other_way(p, m):
    """What a row that is rounded to another bfloat16 may change in a state, where rows are."""
    return 4e-3 if rounds(p, m) else 0.0


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


def random_quantized_gru(e, u, kind, seed=0, **options):
    """A QuantizedGRU with random parameters."""
    layer = QuantizedGRU(u, weights=kind, **options)
    rng = np.random.default_rng(seed)
    shapes = layer.variant.shapes(e, u)
    layer.p |= coded(
        {name: rng.standard_normal(shape) * (0.7 / np.sqrt(shape[0])) for name, shape in shapes.items()}, kind
    )
    return layer


def random_quantized_dense(n, u, kind, seed=0, **options):
    layer = QuantizedDense(u, weights=kind, **options)
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((n, u)) / np.sqrt(n), rng.standard_normal((1, u)).astype(np.float32)
    layer.p |= {name.replace("U", "W"): array for name, array in coded({"U": W}, kind).items()} | {"b": b}
    return layer


def random_quantized_embedding(v, u, kind, seed=0):
    layer = QuantizedEmbedding(v, u, weights=kind)
    E = np.random.default_rng(seed).standard_normal((v, u))
    if kind == "bfloat16":
        layer.p["E"] = reference.bfloat16(E)
    else:
        codes, scale = reference.quantize_columns(E.T)
        layer.p |= {"E": codes.T.copy(), "scale_E": scale.T.copy()}
    return layer
