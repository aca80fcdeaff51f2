"""What the tests of cgru.interop share: random sizes and networks, and a pass there and back through all layers."""

import numpy as np

import cgru
from cgru.interop.gates import gru_layer
from cgru.variant import RESET_AFTER

SIZES = (1, 2, 3, 5, 7, 17, 33)
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}  # of the largest value


def mask(lengths, s):
    """(m, s) booleans: which steps are real."""
    return np.arange(s) < np.asarray(lengths)[:, None]


def batch(rng, s, ragged, dtype, *shapes):
    """Lengths (None: all real), X with NaN past them, and more arrays of these shapes."""
    X, *others = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    if not ragged:
        return None, X, *others
    lengths = rng.integers(1, s + 1, len(X))
    X[~mask(lengths, s)] = np.nan
    return lengths, X, *others


def parameters(rng, e, u, variant, dtype):
    """Random parameters of one direction."""
    shapes = variant.shapes(e, u)
    return {name: (rng.standard_normal(shape) / np.sqrt(shape[0] + 3)).astype(dtype) for name, shape in shapes.items()}


def recurrent(rng, e, u, directions, dtype, variant=RESET_AFTER, **options):
    """A random layer, all of whose parameters differ from zero."""
    directions = [parameters(rng, e, u, variant, dtype) for _ in range(directions)]
    return gru_layer(directions, variant, **{"sequences": True} | options)


def there_and_back(net, X, lengths, h0, dA, dstates):
    """Outputs, last states, dL/dX and dL/dh0 of a network without a head; the layers keep their gradients."""
    A, states, at = X, [], 0
    for layer in net.layers:
        if hasattr(layer, "training"):
            layer.training = False
        count = len(layer.cells)
        if count:
            start = h0[at] if count == 1 else h0[at : at + 2]
            A = layer.forward(A, lengths, start)
            states += [half.state for half in layer.cells]
            at += count
        else:
            A = layer.forward(A, lengths)
    out, dh0 = A, []
    for layer in reversed(net.layers):
        count = len(layer.cells)
        if count:
            at -= count
            dA = layer.backward(dA, dstates[at] if count == 1 else dstates[at : at + 2])
            dh0 = [*(layer.dh0 if count == 2 else layer.dh0[None]), *dh0]
        else:
            dA = layer.backward(dA)
        layer.compute_gradients()
    return out, np.stack(states), dA, np.stack(dh0)


def assert_same_layers(ours, theirs):
    """The same layers, and parameters equal to the bit."""
    assert [repr(layer) for layer in ours] == [repr(layer) for layer in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert list(one.p) == list(other.p)
        for name, value in one.p.items():
            assert value.dtype == other.p[name].dtype
            assert value.tobytes() == other.p[name].tobytes(), name


def network(rng, e, dtype, tokens=None, stack=()):
    """`cgru.Network` made and given random parameters, for e features, or for so many tokens."""
    net = cgru.Network(list(stack), seed=int(rng.integers(99)))
    net.predict(np.zeros((1, 1), int) if tokens else np.zeros((1, 1, e), dtype))
    for layer in net.layers:
        for value in layer.p.values():
            value[...] = rng.standard_normal(value.shape) / np.sqrt(value.shape[0] + 3)
    return net


def gradients(layer):
    """Those of each GRU in a layer, by the names that they have there."""
    if len(layer.cells) == 1:
        return [layer.g]
    prefixes = ("dforward.", "dbackward.")
    return [
        {"d" + name.removeprefix(prefix): g for name, g in layer.g.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]
