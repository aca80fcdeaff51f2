"""Arrays at addresses that are no multiple of a number's size, or of the other byte order: right at every door.

Where the processor does not mind such addresses, a build with `.ci/sanitize address` shows what came through.
"""

import numpy as np
import pytest
from helpers import random_batch, random_layer
from quantized_cases import KINDS

import cgru
from cgru.core.checks import aligned

DTYPES = (np.float32, np.float64)


def odd(array):
    """The array in a buffer, from an odd byte on."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    found = np.frombuffer(memory, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def field(array):
    """The array as a field of packed records."""
    records = np.zeros(array.shape, [("flag", "u1"), ("number", array.dtype)])
    records["number"] = array
    return records["number"]


def swapped(array):
    """The array in the other byte order."""
    return array.astype(array.dtype.newbyteorder())


LAYOUTS = pytest.mark.parametrize("way", [odd, field, swapped])


def same(run, way, *arrays):
    """The same numbers come out of arrays wherever they lie."""
    due, got = run(*(array.copy() for array in arrays)), run(*map(way, arrays))
    for one, other in zip(due, got, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", [odd, field])
def test_what_is_aligned_is_not_copied(way):
    array = np.arange(6.0).reshape(2, 3)
    assert aligned(array) is array
    for given in (way(array), array.T, way(array).T, way(array)[:, ::2]):
        found = aligned(given)
        np.testing.assert_array_equal(found, given)
        assert found.flags.aligned
        assert found.flags.c_contiguous
        assert found.flags.owndata
    assert aligned(way(array), np.float32).dtype == np.float32


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"learn_h0": True}, {"reverse": True}], ids=str)
def test_a_layer(way, dtype, options):
    X, lengths, h0 = random_batch(3, 5, 4, 6, True, dtype)
    dH = np.random.default_rng(0).standard_normal((3, 5, 6)).astype(dtype)
    p = random_layer(4, 6, dtype=dtype, sequences=True, **options).p

    def run(X, lengths, h0, dH, *parameters):
        layer = random_layer(4, 6, dtype=dtype, sequences=True, **options)
        layer.p.update(zip(p, parameters, strict=True))
        layer.lrate, layer.e = [0.1], 0
        results = [layer.predict(X, lengths, h0=h0), layer.forward(X, lengths, h0=h0), layer.backward(dH)]
        layer.fc.update({name: way(value) for name, value in layer.fc.items()})
        layer.bc.update({name: way(value) for name, value in layer.bc.items()})
        layer.compute_gradients()
        layer.g.update({name: way(value) for name, value in layer.g.items()})
        layer.update_parameters()
        return [*results, *layer.p.values()]

    same(run, way, X, lengths, h0, dH, *p.values())


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES)
def test_streams_and_cells(way, dtype):
    X, _, h0 = random_batch(3, 5, 4, 6, False, dtype)
    p = random_layer(4, 6, dtype=dtype).p

    def run(X, h0, *parameters):
        layer = random_layer(4, 6, dtype=dtype)
        layer.p.update(zip(p, parameters, strict=True))
        stream, cell = cgru.Stream(layer, batch=3), cgru.Cell(layer)
        assert all(array.flags.aligned for array in cell.p.values())
        stream.state = h0
        return [*(stream.step(X[:, t]).copy() for t in range(5)), *cell.p.values()]

    same(run, way, X, h0, *p.values())


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fit(way, dtype):
    """Samples, classes, lengths, weights, standardisation and parameters; numbers as targets; tokens."""
    X, lengths, _ = random_batch(3, 5, 4, 6, True, dtype)
    X = np.nan_to_num(X)
    y, weights, numbers = np.array([0, 2, 1]), np.array([1.0, 2.0, 0.5]), np.ones((3, 2), dtype)

    def fit(layers, X, y, *parameters, **options):
        net = cgru.Network(layers(), dtype=dtype, seed=0, **options.pop("net", {}))
        net.predict(X)
        own = [(layer.p, name) for layer in net.layers for name in layer.p]
        for (p, name), value in zip(own, parameters, strict=bool(parameters)):
            p[name] = value
        net.fit(X, y, epochs=2, batch_size=2, **options)
        return [net.predict(X), *(p[name] for p, name in own)]

    def classes():
        return [cgru.GRU(5), cgru.Scale(), cgru.Dense(3, "softmax")]

    net = cgru.Network(classes(), dtype=dtype, seed=0)
    net.predict(X)
    own = [value for layer in net.layers for value in layer.p.values()]
    same(
        lambda X, y, lengths, weights, *p: fit(
            classes, X, y, *p, lengths=lengths, sample_weight=weights, standardize=True
        ),
        way, X, y, lengths, weights, *own,
    )  # fmt: skip
    same(lambda X, y: fit(lambda: [cgru.GRU(5), cgru.Dense(2, "identity")], X, y, net={"loss": "mse"}), way, X, numbers)
    tokens = np.array([[0, 1, 2], [3, 1, 2], [1, 1, 0]])
    for kind in (np.int64, np.int32, np.uint16):
        same(lambda X, y: fit(lambda: [cgru.Embedding(4, 3), *classes()], X, y), way, tokens.astype(kind), y)


@pytest.mark.parametrize("way", [odd, field])
@pytest.mark.parametrize("kind", KINDS)
def test_quantised_parameters(way, kind):
    X, lengths, _ = random_batch(3, 5, 4, 6, True, np.float32)
    net = cgru.Network([cgru.GRU(6), cgru.Dense(2)], dtype="float32", seed=0)
    net.predict(X)
    small = cgru.quantize(net, kind)
    own = [(layer.p, name) for layer in small.layers for name in layer.p]

    def run(X, lengths, *parameters):
        for (p, name), value in zip(own, parameters, strict=True):
            p[name] = value
        stream = cgru.Stream(small, batch=3)
        return [small.predict(X, lengths), *(stream.step(X[:, t]).copy() for t in range(5))]

    same(run, way, X, lengths, *(p[name] for p, name in own))


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_parameters_of_the_other_byte_order_are_refused(kind):
    net = cgru.Network([cgru.GRU(6), cgru.Dense(2)], dtype="float32", seed=0)
    net.predict(np.zeros((1, 2, 4)))
    small = cgru.quantize(net, kind)
    small.layers[0].p["br"] = swapped(small.layers[0].p["br"])
    with pytest.raises(ValueError, match=r"p\['br'\]: "):
        small.predict(np.zeros((1, 2, 4)))
