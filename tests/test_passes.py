"""Passes: many alive at once, on any threads, over memory of others; what is done to the dicts does not reach them."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest
from helpers import TOLERANCE, assert_all_same, assert_close, double, random_batch, random_layer, refuses

import cgru
from cgru import reference
from cgru.passes import GRUPass

VARIANTS = [{}, {"reset_after": True}, {"layer_norm": True}]
OPTIONS = [
    {},
    {"reverse": True},
    {"zoneout": 0.3},
    {"dropout": 0.4, "zoneout": 0.2, "reverse": True},
    {"recurrent_dropout": 0.3, "dropout": 0.2},
]
SWISH = {"activate": lambda x, deriv=False: x * np.cos(x) if not deriv else np.cos(x) - x * np.sin(x)}


def gone_back(ran, seed=5):
    """All that a pass gives for a random dL/dA and dL/d(last state)."""
    rng = np.random.default_rng(seed)
    dX = ran.backward(rng.standard_normal(ran.A.shape), rng.standard_normal(ran.state.shape))
    return {"A": ran.A, "state": ran.state, "dX": dX, "dh0": ran.dh0, **ran.gradients()}


def copied(arrays):
    return {name: np.array(value) for name, value in arrays.items()}


def assert_same(got, due):
    assert got.keys() == due.keys()
    assert_all_same(got, due)


@pytest.mark.parametrize("variant", VARIANTS)
def test_many_are_alive_at_once(variant):
    layer = random_layer(3, 9, sequences=True, **variant)
    batches = [
        random_batch(m, s, 3, 9, ragged, seed=m) for m, s, ragged in ((5, 7, 0), (1, 4, 0), (5, 7, 1), (2, 9, 1))
    ]
    due = [copied(gone_back(layer.run(*batch))) for batch in batches]
    passes = [layer.run(*batch) for batch in batches]
    layer.forward(batches[0][0])  # the layer's own last pass is one more
    results = [gone_back(ran) for ran in reversed(passes)][::-1]
    for got, expected in zip(results, due, strict=True):
        assert_same(got, expected)
    again = [gone_back(ran) for ran in passes]
    for got, first, expected in zip(again, results, due, strict=True):
        assert_same(got, expected)
        assert_same(first, expected)
        for name in ("dX", "dUz"):
            assert not np.shares_memory(got[name], first[name])


def test_parameters_are_read_as_they_then_are():
    layer = random_layer(3, 4)
    X, _, _ = random_batch(2, 5, 3, 4, False)
    ran = layer.run(X)
    layer.p["Vz"] = layer.p["Vz"] * 2
    bc = reference.backward(layer.p, ran.fc, np.zeros((2, 5, 4)), dstate=np.ones((2, 4)))
    assert_close(ran.backward(None, np.ones((2, 4))), bc["dX"], 1e-12)
    np.testing.assert_array_equal(ran.backward(None), 0)
    layer.p["Vz"] = layer.p["Vz"][:, :2]
    with pytest.raises(ValueError, match=r"p\['Vz'\]"):
        ran.backward(np.ones((2, 4)))


def test_what_does_not_fit_is_refused():
    ran = random_layer(3, 4).run(random_batch(2, 5, 3, 4, False)[0])
    with pytest.raises(RuntimeError, match="backward"):
        ran.gradients()
    with pytest.raises(RuntimeError, match="backward"):
        ran.dh0  # noqa: B018
    for arguments, name in (((np.ones((2, 5, 4)),), "dX"), ((np.ones((2, 4)), np.ones(4)), "dstate")):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            ran.backward(*arguments)
    with pytest.raises(RuntimeError, match="backward"):
        ran.gradients()


def test_it_outlives_its_layer_and_the_layer_goes_at_once():
    layer = random_layer(3, 4)
    X, _, _ = random_batch(2, 5, 3, 4, False)
    layer.forward(X)
    ran, there = layer.run(X), weakref.ref(layer)
    due = copied(gone_back(ran))
    assert ran.layer is layer
    gc.disable()
    try:
        del layer
        assert there() is None
    finally:
        gc.enable()
    assert ran.layer is None
    assert_same(gone_back(ran), due)
    layer = random_layer(3, 4, **SWISH)
    ran = layer.run(X)
    due = copied(gone_back(ran))
    del layer
    assert_same(gone_back(ran), due)


def test_memory_is_used_again_only_where_nobody_could_see_it():
    layer = random_layer(3, 4, sequences=True)
    X, _, _ = random_batch(2, 5, 3, 4, False)
    ran = layer.run(X)
    where = ran.fc["z"].ctypes.data
    del ran
    ran = layer.run(X)
    assert ran.fc["z"].ctypes.data == where
    kept = ran.A[0]
    del ran
    other = layer.run(-X)
    assert not np.shares_memory(other.A, kept)
    del other.fc["z"]
    assert_same(gone_back(other), copied(gone_back(layer.run(-X))))


@pytest.mark.parametrize("make", [cgru.GRU, partial(cgru.GRU, learn_h0=True, **SWISH), cgru.GRUD])
@pytest.mark.parametrize("name", ["lengths", "h0", "resets", "decay", "times", "masks"])
def test_a_pass_keeps_copies_of_small_arrays(make, name):
    rng, layer = np.random.default_rng(0), make(4, rng=0)
    X, lengths, h0 = random_batch(20, 3, 2, 4, True)
    arrays = {"lengths": lengths, "h0": h0, "resets": rng.random((20, 3)) < 0.3, "decay": rng.random((20, 3))}
    arrays |= {"times": np.arange(60.0).reshape(20, 3), "masks": (rng.random((3, 20, 4)) < 0.5).astype(float)}

    def gradients(overwritten):
        given = arrays[name].copy()
        if name == "masks":
            layer.masks = {"recurrent_masks": given}
        ran = layer.run(np.nan_to_num(X), **({} if name == "masks" else {name: given}))
        if overwritten:
            given[...] = 1
        dX = ran.backward(np.ones_like(ran.A))
        return {"A": ran.A, "dX": dX, **ran.gradients()}

    if (name == "masks" and make is cgru.GRUD) or (name == "times" and make is not cgru.GRUD):
        pytest.skip("an argument of another layer")
    assert_same(gradients(True), copied(gradients(False)))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("variant", [*VARIANTS, {"learn_h0": True}])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.pairwise
def test_held_values(variant, options, ragged):
    """The caches show them, the steps after read them, no gradient passes, and the rest is as in the reference."""
    layer = random_layer(3, 4, sequences=True, **variant, **options)
    X, lengths, h0 = random_batch(5, 7, 3, 4, ragged)
    h0 = None if "learn_h0" in variant else h0
    rng, shape = np.random.default_rng(3), (5, 7, 4)
    clamp = {name: np.where(rng.random(shape) < 0.3, rng.random(shape), np.nan) for name in "zrh"}
    real = np.ones((5, 7, 1), bool) if lengths is None else reference.mask(lengths, 7)
    kept = copied(clamp)
    for held in clamp.values():
        held[~real[:, :, 0]] = np.inf
    decay = {"decay": rng.random(shape)} if "zoneout" in options else {}  # a factor that meets held states, too
    ran = layer.run(X, lengths, h0, clamp=clamp, **decay)
    for held in clamp.values():
        held[...] = 9  # which comes too late
    got = gone_back(ran)
    same = {**layer.variant.options, "reverse": layer.reverse, **ran.masks, "clamp": kept}
    fc = reference.forward(layer.p, np.nan_to_num(X), h0, lengths, **same)
    rng = np.random.default_rng(5)
    dA, dstate = rng.standard_normal(ran.A.shape), rng.standard_normal(ran.state.shape)
    bc = reference.backward(layer.p, fc, dA, lengths, dstate=dstate, **same)
    assert ran.fc.keys() == {*fc, "A", *ran.masks}
    assert ran.bc.keys() == bc.keys()
    for name, due in fc.items():
        np.testing.assert_array_equal(ran.fc[name], X if name == "X" else due, name)
    assert_all_same(ran.bc, bc)
    for each in (False, True):
        assert_close(ran.gradients(each), reference.gradients(layer.p, fc, bc, lengths, each=each, **same), 1e-12)
    for name, gradient in (("z", "dz_"), ("r", "dr_"), ("h", "dh_")):
        held = real & ~np.isnan(kept[name])
        np.testing.assert_array_equal(ran.fc[name][held], kept[name][held])
        assert not ran.bc[gradient][held].any()
    assert_close(got["A"], np.where(real, fc["h"], 0), 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_holds_nothing_changes_nothing(dtype):
    layer = random_layer(3, 9, sequences=True, dtype=dtype)
    X, lengths, h0 = random_batch(5, 7, 3, 9, True, dtype)
    due = copied(gone_back(layer.run(X, lengths, h0)))
    assert_same(gone_back(layer.run(X, lengths, h0, clamp={})), due)
    for name, value in gone_back(layer.run(X, lengths, h0, clamp={"h": np.nan})).items():
        assert value.dtype == dtype
        assert_close(value, due[name], 10 * TOLERANCE[np.dtype(dtype)], name)


def test_units_that_are_held_at_all_steps():
    layer = random_layer(3, 4, stateful=True, sequences=True)
    X, _, _ = random_batch(5, 7, 3, 4, False)
    ran = layer.run(X, clamp={"h": [np.nan, 0.5, np.nan, 0]})
    np.testing.assert_array_equal(ran.A[:, :, 1::2], np.broadcast_to([0.5, 0], (5, 7, 2)))
    np.testing.assert_array_equal(layer.state[:, 1::2], np.broadcast_to([0.5, 0], (5, 2)))
    frozen = layer.run(X, None, np.ones((5, 4)), clamp={"z": True})
    np.testing.assert_array_equal(frozen.A, 1)
    frozen.backward(np.zeros((*X.shape[:2], 4)), np.ones((5, 4)))
    np.testing.assert_array_equal(frozen.dh0, 1)


def test_held_values_that_do_not_fit():
    fresh = cgru.GRU(4, rng=0)
    before = fresh.np_rng.bit_generator.state
    for clamp, name in (({"z": np.ones((5, 3))}, "clamp['z']"), ({"hh": 0}, "clamp")):
        with refuses(ValueError, name):
            fresh.run(np.ones((2, 5, 3)), clamp=clamp)
    for A, lengths, name in ((np.ones((2, 5)), None, "A"), (np.ones((2, 5, 3)), [5], "lengths")):
        with refuses(ValueError, name):  # what comes first is looked at first
            fresh.run(A, lengths, clamp={"z": np.ones(3)})
    assert not fresh.p
    assert fresh.np_rng.bit_generator.state == before


# --- what is done to the dicts ---


def reshaped(cache, name):
    array = cache[name]
    array.shape = (array.size,)


def restrided(cache, name):
    cache[name].strides = (0,) * cache[name].ndim


def turned(cache, name):
    array = cache[name]
    array.shape = array.shape[::-1]


def deleted(cache, name):
    del cache[name]


def rebound(cache, name):
    cache[name] = np.ones(3)


@pytest.mark.parametrize("do", [reshaped, restrided, turned, deleted, rebound])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", [{}, {"zoneout": 0.3, "dropout": 0.2}, {"recurrent_dropout": 0.3}, SWISH])
@pytest.mark.parametrize(("m", "s", "ragged"), [(31, 5, False), (31, 5, True), (1, 7, False), (9, 1, False)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.pairwise
def test_nothing_that_is_done_to_the_dicts_reaches_a_pass(do, variant, options, m, s, ragged):
    harmed = []

    def step(harm):
        layer = random_layer(2, 3, sequences=True, **variant, **options)
        X, lengths, h0 = random_batch(m, s, 2, 3, ragged)
        X = X.copy()
        made = {}
        made["A"] = np.array(layer.forward(X, lengths, h0))
        harm(layer.fc)
        made["dX"] = np.array(layer.backward(np.cos(np.arange(m * s * 3.0)).reshape(m, s, 3)))
        harm(layer.bc)
        harm(layer.fc)
        made["dh0"] = np.array(layer.dh0)
        layer.compute_gradients()
        made |= copied(layer.g)
        harm(layer.g)
        made["again"] = np.array(layer.backward(np.cos(np.arange(m * s * 3.0)).reshape(m, s, 3)))
        layer.compute_gradients()
        return made | {"second " + name: np.array(value) for name, value in layer.g.items()}

    def harm(cache):
        for name in list(cache):
            if isinstance(cache.get(name), np.ndarray) and cache[name].ndim and cache[name].flags.writeable:
                try:
                    do(cache, name)
                    harmed.append(name)
                except (AttributeError, ValueError):  # NumPy allows it for some memory alone
                    cache[name] = None

    assert_same(step(harm), step(lambda cache: None))
    assert len(set(harmed)) > (3 if m > 1 and s > 1 else 8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_mask_of_another_shape_reads_no_foreign_memory():
    def step(harm):
        layer = random_layer(2, 3, zoneout=0.5)
        layer.forward(random_batch(20000, 1, 2, 3, False)[0])
        if harm:
            layer.fc["zoneout"].shape = (1, 20000, 3)
        dX = layer.backward(np.ones((20000, 3)))
        layer.compute_gradients()
        return {"dX": dX, **layer.g}

    assert_same(step(True), step(False))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", [{"zoneout": 0.3}, {"dropout": 0.4}, {"recurrent_dropout": 0.3}])
def test_what_a_pass_shows_of_its_masks_and_lengths_is_not_what_it_reads(options):
    def step(harm):
        layer = random_layer(2, 3, sequences=True, **options)
        X, lengths, h0 = random_batch(4, 5, 2, 3, True)
        handed = layer.run(X, lengths, h0).masks
        layer.masks = {name: np.array(mask) for name, mask in handed.items()}
        ran = layer.run(X, lengths, h0)
        if harm:
            ran.masks.clear()
            ran.lengths[...] = 1
            for mask in (*ran.masks.values(), *(ran.fc[name] for name in ran.masks), *layer.masks.values()):
                mask.shape = (mask.size,)
        return gone_back(ran)

    assert_same(step(True), step(False))


def test_recurrent_masks_need_no_parameters_for_the_gradients():
    layer = random_layer(2, 3, recurrent_dropout=0.3, sequences=True)
    ran = layer.run(random_batch(4, 5, 2, 3, False)[0])
    ran.backward(np.ones((4, 5, 3)))
    due = copied(ran.gradients())
    layer.p.clear()
    assert_same(ran.gradients(), due)


def test_a_pass_that_nothing_returned():
    for call in ("backward", "gradients"):
        with pytest.raises(RuntimeError, match="expected a"):
            getattr(GRUPass.__new__(GRUPass), call)()


def test_values_that_are_written_count():
    layer = random_layer(2, 3, sequences=True)
    X, _, _ = random_batch(4, 5, 2, 3, False)
    layer.forward(X)
    layer.fc["z"][...] = 0.25
    z = np.full((4, 5, 3), 0.25)
    fc = {**layer.fc, "z": z, "z_": np.log(z / (1 - z))}
    due = reference.backward(layer.p, fc, np.ones((4, 5, 3)))
    assert_close(layer.backward(np.ones((4, 5, 3))), due["dX"], 1e-12)
    layer.bc["dz_"][...] = 2
    layer.compute_gradients()
    np.testing.assert_allclose(layer.g["dbz"], 40)


def test_a_state_that_is_written_where_there_was_none_counts():
    layer = random_layer(2, 3)
    X, _, h0 = random_batch(17, 2, 2, 3, False)
    layer.forward(X)
    layer.backward(np.ones((17, 3)))
    layer.fc["hp"][:, 0] = h0
    layer.compute_gradients()
    due = reference.gradients(layer.p, layer.fc, layer.bc)
    assert_close(layer.g, due, 1e-12)


def test_repr():
    ran = random_layer(2, 3).run(np.ones((4, 5, 2)))
    assert repr(ran) == "GRUPass(A (4, 3))"
    ran.backward(None)
    assert repr(ran) == "GRUPass(A (4, 3), gone back)"
    assert isinstance(ran, cgru.Pass)


def test_float32_of_float64_inputs():
    layer = random_layer(2, 3, dtype=np.float32)
    X, _, h0 = random_batch(4, 5, 2, 3, False)
    ran = layer.run(X.tolist(), None, h0)
    got = gone_back(ran)
    assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
    same = random_layer(2, 3)
    same.p = double(layer.p)
    assert_close(got, gone_back(same.run(X, None, h0)), TOLERANCE[np.dtype(np.float32)])
    assert isinstance(cgru.GRU(3).run(X), GRUPass)  # which makes its parameters


# --- gradients of each sample ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"reset_after": True, "reverse": True}, {"layer_norm": True}, {"learn_h0": True}]
)
def test_gradients_of_each_sample_are_those_of_the_sample_alone(options, ragged, dtype):
    """Also with samples in the lanes, of few units; and on any number of threads."""
    for m, s, e, u in ((1, 3, 2, 9), (5, 7, 33, 17), (33, 4, 2, 3), (7, 1, 3, 1)):
        layer = random_layer(e, u, sequences=True, dtype=dtype, **options)
        X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
        h0 = None if options.get("learn_h0") else h0
        dX, dstate = (np.random.default_rng(5).standard_normal(shape).astype(dtype) for shape in ((m, s, u), (m, u)))
        ran = layer.run(X, lengths, h0)
        ran.backward(dX, dstate)
        each = ran.gradients(each=True)
        for i in {0, m // 2, m - 1}:
            one = slice(i, i + 1)
            alone = layer.run(X[one], lengths if lengths is None else lengths[one], h0 if h0 is None else h0[one])
            alone.backward(dX[one], dstate[one])
            for name, due in alone.gradients().items():
                assert_close(each[name][i], due, 20 * TOLERANCE[np.dtype(dtype)], (name, m, i))
        for name, due in ran.gradients().items():
            assert each[name].dtype == due.dtype
            assert_close(each[name].sum(axis=0), due, 20 * TOLERANCE[np.dtype(dtype)], (name, m))


def test_gradients_of_each_sample_on_any_number_of_threads(threads):
    for m, s, e, u in ((65, 11, 5, 17), (65, 30, 4, 3), (3, 900, 5, 33)):
        layer = random_layer(e, u, sequences=True)
        X, lengths, h0 = random_batch(m, s, e, u, True)
        ran = layer.run(X, lengths, h0)
        ran.backward(np.random.default_rng(5).standard_normal(ran.A.shape))
        found = []
        for n in (1, 3):
            threads(n)
            found.append(ran.gradients(each=True))
        assert_same(*found)
        for name, array in found[0].items():
            assert not np.shares_memory(array, found[1][name])


def test_gradients_of_each_sample_where_some_began_elsewhere():
    layer = random_layer(3, 4, learn_h0=True)
    X, lengths, _ = random_batch(4, 5, 3, 4, True)
    ran = layer.run(X, lengths)
    ran.backward(np.ones((4, 4)))
    begins = np.array([True, False, False, True])
    ran.begins = begins
    found = ran.gradients(each=True)["dh0"]
    assert found.shape == (4, 1, 4)
    assert not found[~begins].any()
    np.testing.assert_array_equal(found[begins, 0], ran.dh0[begins])
    with pytest.raises(RuntimeError, match="expected a backward after the last forward"):
        layer.run(X).gradients(each=True)


def test_gradients_of_each_sample_of_an_activation_of_ones_own():
    """And of one that was set after a compiled run: arrays of NumPy beside those of the kernels."""
    X, lengths, h0 = random_batch(33, 4, 2, 3, True)
    for before in (SWISH, {}):
        layer = random_layer(2, 3, sequences=True, **before)
        ran = layer.run(X, lengths, h0)
        layer.activate = SWISH["activate"]
        if not before:
            layer.activate = cgru.identity
        dA = np.random.default_rng(5).standard_normal(ran.A.shape)
        ran.backward(dA)
        each = ran.gradients(each=True)
        for name, due in ran.gradients().items():
            assert_close(each[name].sum(axis=0), due, 1e-12, name)
