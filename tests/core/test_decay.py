"""`resets` and `decay`: the factor of the state as it enters a step, in the reference, a GRU and a Bidirectional."""

import itertools

import numpy as np
import pytest
from helpers import (
    TOLERANCE,
    assert_all_same,
    assert_close,
    check_slopes,
    double,
    random_batch,
    random_layer,
    random_parameters,
)

import cgru
from cgru import reference
from cgru.core import kernels, plan
from cgru.core.decay import boundaries, decay_of, entering
from cgru.variant import LEARNED, VARIANTS

KINDS = [*VARIANTS.values(), *LEARNED.values()]
RNG = np.random.default_rng(0)


def factors(m, s, n, dtype=np.float64):
    """Factors (m, s, n), of which many are 0 or 1."""
    decay = RNG.random((m, s, n))
    decay[RNG.random(decay.shape) < 0.2], decay[RNG.random(decay.shape) < 0.2] = 0, 1
    return decay.astype(dtype)


def forward_by_hand(layer, X, h0, lengths, decay):
    """All states, by one call of one step for each sample and step; the rest of a row repeats the last one."""
    start = layer.p["h0"][0] if layer.learn_h0 else np.zeros(layer.d["u"])
    states = np.zeros((*X.shape[:2], layer.d["u"]))
    for i, x in enumerate(X):
        length = X.shape[1] if lengths is None else lengths[i]
        steps = range(length)[::-1] if layer.reverse else range(length)
        h = start if h0 is None else h0[i]
        for n, t in enumerate(steps):
            g = decay[i, t] if not layer.reverse else decay[i, t + 1] if n else 1
            h = np.where(g == 1, h, np.where(g == 0, start, g * h + (1 - g) * start))
            h = states[i, t] = layer.predict(x[None, [t]], h0=np.ascontiguousarray(h[None]))[0, -1]
    return states


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("variant", KINDS, ids=str)
def test_as_stepping_by_hand(variant, reverse):
    for m, s, ragged, units in ((1, 5, False, False), (4, 6, True, True), (3, 1, True, False)):
        layer = random_layer(3, 4, sequences=True, reverse=reverse, **variant.options)
        X, lengths, h0 = random_batch(m, s, 3, 4, ragged)
        decay = factors(m, s, 4 if units else 1)
        for state in (None, h0):
            got = layer.predict(X, lengths, state, decay=decay if units else decay[:, :, 0])
            assert_close(got, forward_by_hand(layer, X, state, lengths, decay), 1e-12)


@pytest.mark.pairwise
@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("variant", KINDS, ids=str)
def test_gradients_are_central_differences(variant, reverse, units):
    m, s, e, u = 3, 4, 2, 3
    p, (X, lengths, h0) = random_parameters(variant, e, u), random_batch(m, s, e, u, True)
    real = reference.mask(lengths, s)
    X, decay = np.nan_to_num(X), np.where(real, RNG.uniform(0.1, 0.9, (m, s, u if units else 1)), 1)
    masks = {
        "input_mask": RNG.uniform(0.5, 1.5, (m, e)),
        "recurrent_masks": RNG.uniform(0.5, 1.5, (3, m, u)),
        "zoneout": RNG.random((m, s, u)),
    }
    weight, end = RNG.standard_normal((m, s, u)), RNG.standard_normal((m, u))
    weight = np.where(real, weight, 0)
    options = {**variant.options, **masks, "reverse": reverse}
    first, last = reference.ends(m, s, lengths, reverse)

    def loss(given):
        fc = reference.forward(p, X, given, lengths, decay=np.where(real, decay, 1), **options)
        return (fc["h"] * weight).sum() + (fc["h"][np.arange(m), last] * end).sum()

    for state in (h0, None):
        fc = reference.forward(p, X, state, lengths, decay=decay, **options)
        bc = reference.backward(p, fc, weight, lengths, dstate=end, decay=decay, **options)
        g = reference.gradients(p, fc, bc, lengths, begins=state is None, decay=decay, **options)
        each = reference.gradients(p, fc, bc, lengths, begins=state is None, decay=decay, each=True, **options)
        pairs = [(X, bc["dX"]), (decay, bc["dg"]), *((p[name], g["d" + name]) for name in variant.names)]
        pairs += [(h0, bc["dh"][np.arange(m), first])] if state is h0 else []
        check_slopes(lambda state=state: loss(state), pairs, RNG)
        for name, value in each.items():
            assert_close(value.sum(axis=0), g[name], 1e-12)


def compare(layer, X, lengths, h0, **given):
    """A pass of the layer, in all that it shows, against the reference in float64."""
    m, s, u = *X.shape[:2], layer.d["u"]
    ran = layer.run(X, lengths, h0, **given)
    dA, end = RNG.standard_normal((m, s, u)).astype(X.dtype), RNG.standard_normal((m, u)).astype(X.dtype)
    if lengths is not None:
        dA[~reference.mask(lengths, s)[:, :, 0]] = np.nan
    ran.backward(dA, end)
    decay = decay_of(given.get("resets"), given.get("decay"), m, s, u, lengths, np.dtype(float))
    options = {**layer.variant.options, **ran.masks, "reverse": layer.reverse, "decay": decay}
    p, X, h0 = double(layer.p), X.astype(float), None if h0 is None else h0.astype(float)
    fc = reference.forward(p, X, h0, lengths, **options)
    bc = reference.backward(p, fc, dA.astype(float), lengths, dstate=end, **options)
    g = reference.gradients(p, fc, bc, lengths, begins=h0 is None, **options)
    tolerance = 4 * TOLERANCE[ran.A.dtype]
    for name in ("h", "hp", "before", "hh", "z", "r"):
        assert_close(ran.fc[name], fc[name], tolerance, name)
    names = set(bc) - {"dA"}
    if "resets" in given:
        names -= {"dg"} if layer.learn_h0 else {"dg", "dhp"}
    for name in names:
        due = bc[name].reshape(given["decay"].shape) if name == "dg" else bc[name]
        assert_close(ran.bc[name], due, tolerance, name)
    assert set(ran.bc) >= names
    assert ("dg" in ran.bc) == ("decay" in given)
    assert_close(g, ran.gradients(), tolerance)
    first, _ = reference.ends(m, s, lengths, layer.reverse)
    assert_close(ran.dh0, bc["dh"][np.arange(m), first], tolerance)
    return ran


@pytest.fixture
def ways():
    """Sets what lanes are and the steps of a piece; puts both back."""
    yield plan.use_samples_in_lanes, kernels.use_pieces
    plan.use_samples_in_lanes()
    kernels.use_pieces()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("how", ["resets", "decay", "units"])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("in_lanes", [False, True], ids=["units", "samples"])
@pytest.mark.parametrize("variant", KINDS, ids=str)
@pytest.mark.pairwise
def test_every_way_is_the_reference(level, ways, variant, in_lanes, reverse, ragged, how, dtype):
    ways[0](in_lanes)
    for (m, s), (e, u) in itertools.product(((1, 33), (2, 7), (17, 3)), ((7, 1), (3, 17), (33, 5))):
        layer = random_layer(e, u, dtype=dtype, sequences=True, reverse=reverse, **variant.options)
        X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
        decay = factors(m, s, u if how == "units" else 1, dtype)
        decay = decay if how == "units" else decay[:, :, 0]
        if lengths is not None:
            decay[~reference.mask(lengths, s)[:, :, 0]] = np.nan
        given = {"resets": decay == 0} if how == "resets" else {"decay": decay}
        compare(layer, X, lengths, None if m == 2 else h0, **given)


@pytest.mark.parametrize(
    "options", [{"dropout": 0.3}, {"recurrent_dropout": 0.4}, {"zoneout": 0.3}, {"reset_after": True}]
)
def test_with_masks_on_threads_and_in_pieces(threads, ways, options):
    ways[1](2)
    threads(2)
    layer = random_layer(3, 9, sequences=True, learn_h0=True, **options)
    X, lengths, _ = random_batch(70, 9, 3, 9, True)
    ran = compare(layer, X, lengths, None, decay=factors(70, 9, 9))
    threads(1)
    layer.masks = {name: ran.masks[name] for name in ran.masks if name != "decay"} or None
    again = layer.run(X, lengths, decay=ran.masks["decay"])
    np.testing.assert_array_equal(again.A, ran.A)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("m", [1, 3, 40])
def test_ones_change_no_bit_and_zeros_replace_what_is_not_finite(m, dtype):
    for u, variant in itertools.product((5, 40), KINDS):
        layer = random_layer(3, u, dtype=dtype, sequences=True, **variant.options)
        X, lengths, h0 = random_batch(m, 6, 3, u, True, dtype)
        h0[0] *= -0.0
        plain, same = layer.run(X, lengths, h0), layer.run(X, lengths, h0, resets=np.zeros((m, 6), bool))
        for ran in (plain, same):
            ran.backward(np.ones_like(ran.A))
        assert_all_same(same.fc, plain.fc)
        assert_all_same(same.bc, plain.bc)
        assert_all_same(same.gradients(), plain.gradients())
        resets = np.zeros((m, 6), bool)
        resets[:, 0] = True
        h0[...] = np.nan
        h0[0] = np.inf
        got = layer.run(X, lengths, h0, resets=resets)
        got.backward(np.ones_like(got.A))
        np.testing.assert_array_equal(got.A, layer.predict(X, lengths))
        np.testing.assert_array_equal(layer.predict(X, lengths, h0, resets=resets), got.A)
        assert not got.dh0.any()
        assert all(np.isfinite(value).all() for value in got.gradients().values())


@pytest.mark.parametrize("m", [1, 3, 40])
def test_a_learned_state_whose_numbers_lie_apart(m):
    layer = random_layer(3, 17, sequences=True, learn_h0=True)
    X, _, _ = random_batch(m, 5, 3, 17, False)
    given = {"resets": RNG.random((m, 5)) < 0.5}
    due = layer.predict(X, **given)
    layer.p["h0"] = np.repeat(layer.p["h0"], 2, axis=1)[:, ::2]
    layer.p["h0"].base[:, 1::2] = np.nan
    np.testing.assert_array_equal(layer.predict(X, **given), due)
    np.testing.assert_array_equal(layer.run(X, **given).A, due)


def test_a_carried_state_meets_the_factor_of_the_first_step():
    whole = random_layer(3, 4, sequences=True)
    X, _, _ = random_batch(5, 9, 3, 4, False)
    decay = factors(5, 9, 1)[:, :, 0]
    due = whole.predict(X, decay=decay)
    whole.stateful = True
    got = [whole.predict(X[:, part], decay=decay[:, part]) for part in (slice(4), slice(4, 9))]
    np.testing.assert_array_equal(np.concatenate(got, axis=1), due)


def test_an_activation_of_the_users_own():
    def activate(x, deriv=False):
        return cgru.tanh(x, deriv)

    layer, own = (random_layer(3, 4, sequences=True, learn_h0=True, activate=f) for f in (cgru.tanh, activate))
    X, lengths, h0 = random_batch(5, 6, 3, 4, True)
    for given in ({"decay": factors(5, 6, 4)}, {"resets": RNG.random((5, 6)) < 0.3}):
        compare(own, X, lengths, h0, **given)
        assert_close(own.predict(X, lengths, **given), layer.predict(X, lengths, **given), 1e-12)
        ran = layer.run(X, lengths, **given)  # the layer goes back in NumPy from caches that were compiled
        layer.activate = activate
        ran.backward(np.ones_like(ran.A))
        layer.activate = cgru.tanh
        same = layer.run(X, lengths, **given)
        same.backward(np.ones_like(ran.A))
        assert_close(ran.bc, same.bc, 1e-12)
        assert_close(ran.gradients(), same.gradients(), 1e-12)


@pytest.mark.parametrize("merge", ["concat", "mul"])
def test_both_directions(merge):
    layer = cgru.Bidirectional(random_layer(3, 4, sequences=True, reset_after=True), merge)
    X, lengths, _ = random_batch(6, 7, 3, 4, True)
    layer.make(X)
    decay = RNG.uniform(0.1, 0.9, (6, 7))
    ran = layer.run(X, lengths, decay=decay)
    dA = RNG.standard_normal(ran.A.shape)
    ran.backward(dA)
    np.testing.assert_array_equal(layer.predict(X, lengths, decay=decay), ran.A)
    np.testing.assert_array_equal(layer.predict_on(X, lengths, (None, None), decay=decay)[0], ran.A)
    np.testing.assert_array_equal(layer.forward(X, lengths, decay=decay), ran.A)
    layer.backward(dA)
    np.testing.assert_array_equal(layer.bc["dg"], ran.bc["dg"])
    for at in ((0, 0), (2, 1), (5, 3)):
        ends = []
        for step in (1e-6, -1e-6):
            moved = decay.copy()
            moved[at] += step
            ends.append((layer.predict(X, lengths, decay=moved) * np.nan_to_num(dA)).sum())
        assert abs(ran.bc["dg"][at] - (ends[0] - ends[1]) / 2e-6) < 1e-7
    resets = decay < 0.5
    got = layer.run(X, lengths, resets=resets)
    got.backward(dA)
    assert "dg" not in got.bc
    np.testing.assert_array_equal(got.A, layer.predict(X, lengths, decay=(~resets).astype(float)))


def test_nothing_past_a_length_reaches_a_gradient():
    layer = random_layer(3, 4, sequences=True)
    X, lengths = np.zeros((2, 5, 3)), np.array([5, 2])
    X[1, 1] = np.nan  # so that the last state of the second sample is, too
    ran = layer.run(X, lengths, decay=np.full((2, 5), 0.5))
    ran.backward(np.ones_like(ran.A))
    assert np.isfinite(ran.bc["dg"][0]).all()
    assert not ran.bc["dg"][1, 2:].any()


def test_forward_shows_the_states_on_both_sides_of_the_factor():
    layer = random_layer(3, 4)
    X, _, h0 = random_batch(5, 6, 3, 4, False)
    decay = factors(5, 6, 1)[:, :, 0]
    layer.forward(X, h0=h0, decay=decay)
    np.testing.assert_array_equal(layer.fc["before"][:, 0], h0)
    np.testing.assert_array_equal(layer.fc["before"][:, 1:], layer.fc["h"][:, :-1])
    assert_close(layer.fc["hp"], layer.fc["before"] * decay[:, :, None], 1e-15)
    assert layer.fs["decay"] == (5, 6, 1)
    layer.backward(np.ones((5, 4)))
    layer.compute_gradients()
    assert layer.bc["dg"].shape == layer.bs["dg"] == (5, 6)
    np.testing.assert_array_equal(layer.dh0, layer.bc["dh"][:, 0])
    layer.forward(X)
    assert not {"before", "decay"} & set(layer.fc)


def test_the_boundaries_of_a_reversed_run():
    decay = RNG.random((3, 4, 2))
    lengths = np.array([4, 2, 1])
    decay[1, 2:] = decay[2, 1:] = 1
    got = entering(decay, lengths, True)
    np.testing.assert_array_equal(got[:, 0], np.stack([decay[0, 1], decay[1, 1], [1, 1]]))
    np.testing.assert_array_equal(got[0, 2:], [decay[0, 3], [1, 1]])
    np.testing.assert_array_equal(got[1, 1], [1, 1])
    assert entering(decay, lengths, False) is decay
    dg = np.where(reference.mask(lengths, 4), RNG.random((3, 4, 2)), 0)
    moved = RNG.standard_normal(decay.shape)
    moved[1, 2:] = moved[2, 1:] = 0
    change = entering(decay + 1e-3 * moved, lengths, True) - got
    assert abs((change * dg).sum() - 1e-3 * (moved * boundaries(dg, lengths, True)).sum()) < 1e-15
    assert boundaries(dg, lengths, False) is dg


def refused(error, match, **given):
    layer = random_layer(3, 4)
    lengths = np.array([3, 2])
    for call in (layer.forward, layer.predict, layer.run, cgru.Bidirectional(layer).predict):
        with pytest.raises(error, match=match):
            call(np.zeros((2, 3, 3)), lengths, **given)
    assert layer.fc == {}


def test_what_is_refused_by_name_and_index():
    ones, off = np.ones((2, 3)), np.zeros((2, 3), bool)
    refused(ValueError, "decay: expected None with resets, got both", resets=off, decay=ones)
    refused(ValueError, r"resets: expected shape \(2, 3\), got \(2, 3, 4\)", resets=np.zeros((2, 3, 4), bool))
    refused(ValueError, r"resets: expected shape \(2, 3\), got \(3,\)", resets=np.zeros(3, bool))
    refused(
        TypeError, "resets: expected booleans, got int8; factors are the argument decay", resets=off.astype(np.int8)
    )
    refused(ValueError, r"decay: expected shape \(2, 3\) or \(2, 3, 4\), got \(2, 3, 1\)", decay=np.ones((2, 3, 1)))
    refused(TypeError, "decay: expected real numbers, got dtype complex128", decay=ones + 0j)
    refused(TypeError, "decay: expected factors from 0 to 1, got booleans; those are the argument resets", decay=off)
    for wrong in (np.nan, -1e-9, 1.5, np.inf):
        decay = ones.copy()
        decay[1, 1] = wrong
        refused(ValueError, f"decay: expected factors from 0 to 1, got {wrong} in sample 1, step 1", decay=decay)
        units = np.ones((2, 3, 4))
        units[0, 2, 3] = wrong
        refused(ValueError, "in sample 0, step 2, unit 3", decay=units)
        with pytest.raises(ValueError, match=f"decay: expected factors from 0 to 1, got {wrong} in sample 1, step 1$"):
            random_layer(3, 4).predict(np.zeros((2, 3, 3)), decay=decay)
    assert decay_of(None, None, 2, 3, 4, None, np.dtype(float)) is None
    with pytest.raises(ValueError, match=r"^decay: "):
        decay_of(None, np.ones((2, 3, 4)), 2, 3, None, None, np.dtype(float))


@pytest.mark.parametrize("lie", [lambda h: np.repeat(h, 2, axis=1)[:, ::2], lambda h: h[:, ::-1].copy()[:, ::-1]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_learned_state_may_lie_anyhow(lie, dtype):
    both = cgru.Bidirectional(cgru.GRU(17, sequences=True, learn_h0=True, dtype=dtype, rng=1))
    both.make(np.zeros((1, 1, 3)))
    for name in ("forward.h0", "backward.h0"):
        both.p[name][...] = RNG.standard_normal((1, 17))
    small = cgru.quantize(cgru.Network([random_layer(3, 17, sequences=True, learn_h0=True, dtype=np.float32)]))
    X, decay = RNG.standard_normal((4, 6, 3)).astype(dtype), factors(4, 6, 1, dtype)[:, :, 0]
    for layer in (random_layer(3, 17, sequences=True, learn_h0=True, dtype=dtype), both, small.layers[0]):
        found = []
        for _ in range(2):
            found.append([layer.predict(X, decay=decay)])
            if not layer.weights:
                ran = layer.run(X, decay=decay)
                found[-1] += [ran.A, ran.backward(np.ones_like(ran.A)), *ran.gradients().values()]
            for name in [name for name in layer.p if name.endswith("h0")]:
                layer.p[name] = lie(layer.p[name])
        np.testing.assert_equal(*found)


@pytest.mark.parametrize(("dtype", "given"), [(np.float32, np.float64), (np.float64, np.longdouble)])
def test_a_factor_that_the_cast_would_make_0_is_no_reset(dtype, given):
    """Only at a factor of 0 a GRU-D forgets what it has seen, and a fit counts no time."""
    if np.dtype(given).itemsize == np.dtype(dtype).itemsize:
        pytest.skip("there is no wider dtype")
    decay = np.ones((2, 3), given)
    X, y, times = np.array([[[1.0], [np.nan], [np.nan]]] * 2), np.array([0, 1]), np.array([[0.0, 1, 2]] * 2)
    found = {}
    for factor in (np.nextafter(given(0), given(1)), given(0.5), given(0)):
        decay[:, 1] = factor
        net = cgru.Network([cgru.GRUD(2), cgru.Dense(2, "softmax")], seed=0, dtype=dtype)
        net.fit(cgru.Sequences(X, decay=decay, times=times**2), y, epochs=1)
        layer = cgru.GRUD(2, sequences=True, dtype=dtype, rng=0)
        stream = cgru.Stream((layer.make(X), layer)[1], 2)
        steps = [stream.step(X[:, t], decay=decay[:, t]).copy() for t in range(3)]
        assert_close(np.stack(steps, 1), layer.predict(X, decay=decay), 1e-6)
        found[factor] = layer.run(X, decay=decay).fc["last"][0, :, 0].tolist(), net.layers[0].unit
    tiny, half, zero = found.values()
    assert tiny == half == ([0, 1, 1], 2)
    assert zero == ([0, 0, 0], 3)
