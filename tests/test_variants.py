"""The variants that run compiled, reset after the product and reverse: each level, dtype, size against the oracle."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_all_same, assert_close, double, random_batch, random_layer, refuses

from cgru import reference
from cgru.core import kernels
from cgru.variant import named

VARIANTS = [
    {"reset_after": True},
    {"reverse": True},
    {"reset_after": True, "reverse": True},
    {"zoneout": 0.3},
    {"zoneout": 0.3, "reset_after": True, "reverse": True},
    {"layer_norm": True},
    {"zoneout": 0.3, "layer_norm": True, "reverse": True},
    {"recurrent_dropout": 0.4},
    {"recurrent_dropout": 0.4, "reset_after": True, "reverse": True},
    {"recurrent_dropout": 0.4, "zoneout": 0.3, "layer_norm": True},
]


@pytest.fixture
def all_levels():
    """Each instruction set that this machine has, for use by `check`; afterwards the one that was in use is again."""
    before = kernels.level()
    yield kernels.levels()
    kernels.use_level(before)


def check(levels, m, s, e, u, dtype, ragged, variant, fresh=False):
    """A layer of that kind against the reference, at each level."""
    layer = random_layer(e, u, dtype=dtype, sequences=True, **variant)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    h0 = None if fresh else h0
    p, clean = double(layer.p), np.where(np.isnan(X), 0, X).astype(np.float64)
    masked, variant = "recurrent_dropout" in variant, {k: v for k, v in variant.items() if k != "recurrent_dropout"}
    expected = None
    if "zoneout" in variant:  # by a mask in training, its expectation in prediction
        expected = reference.forward(p, clean, h0, lengths, **variant)["h"]
        masks = {"zoneout": (np.random.default_rng(6).random((m, s, u)) < 0.3).astype(dtype)}
    else:
        masks = {}
    if masked:
        drawn = np.random.default_rng(7).random((3, m, u)) < 0.6
        masks |= {"recurrent_masks": (drawn / 0.6).astype(dtype)}
    variant = variant | masks
    rng = np.random.default_rng(5)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    fc = reference.forward(p, clean, h0, lengths, **variant)
    bc = reference.backward(p, fc, dA.astype(np.float64), lengths, dstate=dstate, **variant)
    due = fc, bc, reference.gradients(p, fc, bc, lengths, **variant)
    for level in levels:
        kernels.use_level(level)
        compare(layer, (X, lengths, h0), (dA, dstate), masks, expected, due, (level, m, s, e, u, ragged, variant))


def compare(layer, given, gradients, masks, expected, due, where):
    """All that the layer computes, with and without masks, with what is due."""
    (X, lengths, h0), (fc, bc, g) = given, due
    tolerance = TOLERANCE[layer.dtype]
    real = slice(None) if lengths is None else reference.mask(lengths, X.shape[1])[:, :, 0]
    layer.sequences, layer.masks = True, None
    if expected is not None:
        assert_close(layer.predict(X, lengths, h0)[real], expected[real], tolerance, (where, "expectation"))
    layer.masks = masks or None
    A = layer.forward(X, lengths, h0)
    layer.backward(*gradients)
    layer.compute_gradients()
    tolerance *= 5 if layer.layer_norm else 1  # of three numbers whose variance may be next to nothing
    for name, value in fc.items():
        if name in ("X", "zoneout"):
            continue
        assert layer.fc[name].dtype == layer.dtype
        assert_close(layer.fc[name], value, tolerance, (where, name))
    assert_close(layer.bc, bc, 10 * tolerance, where)
    assert_close(layer.g, g, 10 * tolerance, where)
    assert_close(A[real], fc["h"][real], tolerance, where)
    if not masks:
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), A)
        layer.sequences = False
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), layer.state)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_against_the_reference(all_levels, dtype, ragged, variant):
    sizes = itertools.product((1, 7, 17), ODD, ((1, 1), (1, 9), (2, 7), (7, 5), (17, 3)))
    first = (2 * VARIANTS.index(variant) + ragged) % 8  # so that each is met, by one variant or another
    for e, u, (m, s) in itertools.islice(sizes, first, None, 8):
        check(all_levels, m, s, e, u, dtype, ragged, variant)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("variant", [{}, *VARIANTS[:4]], ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_wide_layers_of_few_samples(all_levels, dtype, ragged, variant, fresh):
    """Their inputs are multiplied many steps at a time: a block of them, a part of one, one and a part."""
    for (m, e, u), s in zip(((1, 40, 50), (2, 100, 33), (3, 300, 17), (2, 40, 33)), (75, 4, 32, 1), strict=True):
        check(all_levels, m, s, e, u, dtype, ragged, variant, fresh)


@pytest.mark.parametrize("variant", [{}, *VARIANTS], ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_without_an_initial_state(all_levels, dtype, ragged, variant):
    for (m, s), (e, u) in itertools.product(((1, 1), (7, 1), (33, 1), (1, 5), (33, 3)), ((1, 7), (7, 33))):
        check(all_levels, m, s, e, u, dtype, ragged, variant, fresh=True)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_any_number_of_threads_gives_the_same_bits(threads, ragged, variant):
    due = None
    for number in (1, 2, 3):
        threads(number)
        layer = random_layer(33, 65, sequences=True, **variant)
        X, lengths, h0 = random_batch(67, 31, 33, 65, ragged)
        A = layer.forward(X, lengths, h0)
        dX = layer.backward(np.cos(np.arange(A.size)).reshape(A.shape))
        layer.compute_gradients()
        got = {"A": A, "dX": dX, **layer.g}
        due = due or got
        assert_all_same(due, got)


def test_a_variant_that_is_unknown_is_refused_by_its_argument():
    with refuses(ValueError, "variant"):
        named("other")
    with refuses(ValueError, "kind"):
        named(None, "kind")


def test_a_pickle_has_the_fields_alone():
    """`fit_many` names the file of a result by the content of its job, which a fit before it must not change."""
    variant = named("reset_after")
    before = pickle.dumps(dataclasses.replace(variant))
    assert variant.gradient_names
    assert variant.biases
    assert pickle.dumps(variant) == before
    assert pickle.loads(before).gradient_names == variant.gradient_names
