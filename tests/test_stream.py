"""cgru.Stream: one step at a time gives what the whole sequence gives."""

import pickle

import numpy as np
import pytest
from helpers import assert_close, random_layer, refuses
from quantized_cases import KINDS, one_by_one, quantized, random_quantized_dense, random_quantized_gru

import cgru
from cgru.core.threads import count_shared_tasks

RNG = np.random.default_rng(0)


def network(*layers, e=5, standardized=False, dtype=np.float64):
    net = cgru.Network(list(layers), seed=1)
    net.predict(np.zeros((1, 1), int) if isinstance(layers[0], cgru.Embedding) else np.zeros((1, 9, e)))
    for layer in net.layers:
        for value in layer.p.values():
            value[...] = RNG.standard_normal(value.shape) * 0.5
    if standardized:
        net.mean, net.scale = RNG.standard_normal(e), RNG.random(e) + 0.5
    return net


NETWORKS = {
    "a stack, standardized": lambda dtype: network(
        cgru.GRU(7, sequences=True, dtype=dtype),
        cgru.GRU(17, activate=cgru.relu, dtype=dtype),
        cgru.Dense(2, cgru.identity, dtype=dtype),
        standardized=True,
    ),
    "several heads": lambda dtype: network(
        cgru.GRU(8, dtype=dtype), cgru.Dense(6, cgru.elu, dtype=dtype), cgru.Dense(1, cgru.sigmoid, dtype=dtype)
    ),
    "each number": lambda dtype: network(
        cgru.Clip(-1.5, 1.0),
        cgru.Scale(RNG.standard_normal(5), RNG.standard_normal(5), dtype=dtype),
        cgru.GRU(9, sequences=True, dtype=dtype),
        cgru.Activation("relu"),
        cgru.Dense(4, "identity", dtype=dtype),
        cgru.Clip(None, 0.1),
        cgru.Clip(-0.2),
        cgru.Activation("softmax", {"softmax_temperature": 0.5}),
    ),
    "differences": lambda dtype: network(
        cgru.LayerNorm(0.1, dtype=dtype),
        cgru.Difference(),
        cgru.GRU(8, sequences=True, dropout=0.3, dtype=dtype),
        cgru.Dropout(0.5),
        cgru.Difference(keep=False),
        cgru.Dense(3, "identity", dtype=dtype),
        standardized=True,
    ),
    "causal frames": lambda dtype: network(
        cgru.Frames(3, 1, (4, 0), 2),
        cgru.GRU(6, sequences=True, dtype=dtype),
        cgru.Frames(2, 1, (1, 0)),
        cgru.Dense(3, "identity", dtype=dtype),
        standardized=True,
    ),
    "attention and more": lambda dtype: network(
        cgru.GRU(7, sequences=True, dtype=dtype),
        cgru.Dense(33, "tanh", dtype=dtype),
        cgru.Pool("mean+attention+last+max", 9, dtype=dtype),
        cgru.Dense(3, "identity", dtype=dtype),
        standardized=True,
    ),
}


def as_predicted(layer, batch, e):
    X = RNG.standard_normal((batch, 6, e)).astype(layer.dtype)
    stream = cgru.Stream(layer, batch)
    out = np.stack([stream.step(X[:, t]).copy() for t in range(6)], axis=1)
    np.testing.assert_array_equal(out, one_by_one(layer, X) if layer.weights else layer.predict(X))
    np.testing.assert_array_equal(stream.state, out[:, -1])
    assert (stream.dtype, stream.features) == (layer.dtype, e)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_layer(dtype, batch):
    for e, u in ((1, 1), (3, 8), (7, 17), (16, 33), (120, 50)):  # the last: with the inputs of many steps at once
        as_predicted(random_layer(e, u, dtype=dtype, sequences=True), batch, e)


@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"zoneout": 0.25}, {"activate": "relu"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.pairwise
def test_a_quantised_layer(narrow_level, batch, kind, options):
    for e, u in ((1, 1), (3, 8), (7, 17), (120, 50)):
        as_predicted(random_quantized_gru(e, u, kind, sequences=True, x_bound=1.5, **options), batch, e)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_tokens(kind):
    net = network(cgru.Embedding(11, 4), cgru.GRU(6), cgru.Dense(2, cgru.identity))
    net = cgru.quantize(net, kind) if kind else net
    tokens, one, stream, resets = RNG.integers(0, 11, (3, 6)), cgru.Stream(net), cgru.Stream(net, 3), ends(3, 6)
    for t in range(6):
        assert_close(one.step(tokens[0, t]), net.predict(tokens[:1, : t + 1])[0], 1e-6 if kind else 1e-14)
    out = np.stack([stream.step(tokens[:, t], resets=resets[:, t]).copy() for t in range(6)], axis=1)
    assert_close(out, as_if_fresh(net, tokens, resets), 1e-6 if kind else 1e-14)
    for wrong in (11, -1, 0.5, [1, 2]):
        with refuses(ValueError, "x"):
            one.step(wrong)


def test_one_sample_comes_and_goes_without_an_axis():
    stream = cgru.Stream(random_layer(3, 5))
    x = RNG.standard_normal(3)
    first = stream.step(x).copy()
    assert first.shape == (5,)
    stream.reset()
    np.testing.assert_array_equal(stream.step(x[None])[0], first)
    stream.reset()
    np.testing.assert_array_equal(stream.step(list(x)), first)
    stream.reset()
    np.testing.assert_array_equal(stream.step(np.repeat(x, 2)[::2]), first)
    assert stream.step(x) is stream.step(x)  # nothing is allocated: the same array each time


def test_the_state_is_read_and_set():
    layer = random_layer(3, 5, sequences=True)
    stream = cgru.Stream(layer)
    X = RNG.standard_normal((1, 4, 3))
    stream.step(X[0, 0])
    held = stream.state
    out = stream.step(X[0, 1]).copy()
    stream.state = held
    np.testing.assert_array_equal(stream.step(X[0, 1]), out)
    held[...] = 0  # a copy
    np.testing.assert_array_equal(stream.state[0], out)
    stream.reset()
    np.testing.assert_array_equal(stream.state, 0)
    for wrong, error in ((np.zeros(4), ValueError), (np.zeros(5, complex), TypeError)):
        with pytest.raises(error, match="state: "):
            stream.state = wrong
    two = cgru.Stream(NETWORKS["a stack, standardized"](np.float64))
    assert [h.shape for h in two.state] == [(1, 7), (1, 17)]
    with pytest.raises(ValueError, match=r"state\[1\]"):
        two.state = [np.ones(7), np.ones(3)]
    np.testing.assert_array_equal(two.state[0], 0)  # all or nothing
    with pytest.raises(ValueError, match="2 GRU layers, got 1"):
        two.state = [np.ones(7)]


def test_it_is_a_snapshot_until_refreshed():
    net = NETWORKS["several heads"](np.float64)
    stream = cgru.Stream(net)
    x = RNG.standard_normal(5)
    before = stream.step(x).copy()
    for layer in net.layers:
        for value in layer.p.values():
            value *= 1.5
    stream.reset()
    np.testing.assert_array_equal(stream.step(x), before)
    stream.refresh()
    stream.reset()
    assert_close(stream.step(x), net.predict(x[None, None])[0], 1e-14)


def test_a_refresh_that_does_not_fit_changes_nothing():
    net = network(cgru.GRU(5), cgru.Dense(2, cgru.softmax))
    stream = cgru.Stream(net)
    x = RNG.standard_normal(5)
    before = stream.step(x).copy()
    net.layers[1].p["W"] = np.ones((5, 3))
    with pytest.raises(ValueError, match=r"p\['W'\]"):
        stream.refresh()
    wider = network(cgru.GRU(50), cgru.Dense(2, cgru.softmax))
    for ours, theirs in zip(net.layers, wider.layers, strict=True):
        vars(ours).update(vars(theirs))
    with pytest.raises(ValueError, match="new Stream"):
        stream.refresh()
    stream.reset()
    np.testing.assert_array_equal(stream.step(x), before)


def test_another_activation_counts_from_the_refresh_on():
    net = network(cgru.GRU(5), cgru.Dense(2, cgru.softmax))
    stream = cgru.Stream(net)
    net.layers[1].activate = cgru.sigmoid
    stream.refresh()
    x = RNG.standard_normal(5)
    assert_close(stream.step(x), net.predict(x[None, None])[0], 1e-14)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whoever_reshapes_what_was_returned_harms_nobody():
    stream = cgru.Stream(network(cgru.GRU(5), cgru.Dense(3, cgru.identity)), 2)
    x = RNG.standard_normal((2, 5))
    out = stream.step(x)
    due = out.copy()
    out.shape = (6,)
    stream.reset()
    np.testing.assert_array_equal(stream.step(x).ravel(), due.ravel())


@pytest.mark.parametrize(
    ("x", "error"),
    [(np.ones(4), ValueError), (np.ones((2, 3)), ValueError), (np.ones(3, complex), TypeError), ("abc", TypeError)],
)
def test_a_wrong_step_changes_nothing(x, error):
    stream = cgru.Stream(random_layer(3, 5))
    stream.step(np.ones(3))
    before = stream.state
    with pytest.raises(error, match="x: "):
        stream.step(x)
    np.testing.assert_array_equal(stream.state, before)


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (TypeError, lambda: cgru.Bidirectional(cgru.GRU(4))),
        (TypeError, lambda: cgru.Bidirectional(quantized(cgru.GRU(4)))),
        (RuntimeError, lambda: cgru.GRU(4)),
        (RuntimeError, lambda: quantized(cgru.GRU(4))),
        (ValueError, lambda: random_layer(3, 4, reverse=True)),
        (ValueError, lambda: random_quantized_gru(3, 4, "int8", reverse=True)),
        (ValueError, lambda: random_layer(3, 4, activate=lambda x, deriv=False: x)),
        (ValueError, lambda: network(cgru.Embedding(5, 4), cgru.Pool("last"), cgru.Dense(1))),
        (ValueError, lambda: cgru.quantize(network(cgru.Embedding(5, 4), cgru.Pool("last"), cgru.Dense(1)))),
        (ValueError, lambda: network(cgru.GRU(4, sequences=True, reverse=True), cgru.Pool("mean"), cgru.Dense(1))),
        (ValueError, lambda: network(cgru.Bidirectional(cgru.GRU(4)), cgru.Dense(1))),
        (ValueError, lambda: cgru.quantize(network(cgru.Bidirectional(cgru.GRU(4)), cgru.Dense(1)))),
        (ValueError, lambda: network(cgru.Normalize(), cgru.GRU(4), cgru.Dense(1))),
        (ValueError, lambda: network(cgru.GRU(4), cgru.Dense(1, lambda x, deriv=False: x))),
        (ValueError, lambda: network(cgru.GRU(4), cgru.Activation(lambda x, deriv=False: x), cgru.Dense(1))),
        (ValueError, lambda: network(cgru.Frames(2, 1, (2, 0)), cgru.GRU(4), cgru.Dense(2))),
    ],
)
def test_what_cannot_run_a_step_at_a_time_is_refused(make, error):
    with pytest.raises(error, match=r"^(source|GRU|p|activate|weights)\b.*: "):
        cgru.Stream(make())


@pytest.mark.parametrize("kind", ["max+last+mean", "attention", "attention+mean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pools_begin_anew_and_go_on(kind, dtype):
    """After a reset, and from where they are after a refresh; what is NaN stays until then."""
    hidden = 5 if kind.startswith("attention") else None
    net = network(
        cgru.GRU(4, sequences=True, dtype=dtype), cgru.Pool(kind, hidden, dtype=dtype), cgru.Dense(2, dtype=dtype)
    )
    X = RNG.standard_normal((3, 12, 5)).astype(dtype)
    stream, tolerance = cgru.Stream(net, 3), 1e-13 if dtype == np.float64 else 1e-6
    for _ in range(2):
        for t in range(12):
            if t == 7:
                stream.refresh()
            out = stream.step(X[:, t])
            assert_close(out, net.predict(X[:, : t + 1]), tolerance)
        stream.reset()
    dirty = X.copy()
    for t in (0, 4):
        dirty[1, t] = np.nan
        stream.reset()
        for step in range(6):
            out = stream.step(dirty[:, step])
        np.testing.assert_array_equal(np.isnan(out).any(axis=1), [False, True, False])
        dirty[1, t] = 0
    stream.reset()
    assert_close(stream.step(X[:, 0]), net.predict(X[:, :1]), tolerance)
    assert stream.step(X[:, 1]) is stream.step(X[:, 2])


@pytest.mark.parametrize("hidden", [None, 3])
def test_attention_in_a_stream_neither_overflows_nor_forgets(hidden):
    net = network(cgru.Frames(1), cgru.Pool("attention", hidden), cgru.Dense(1, "identity"), e=2)
    pool = net.layers[1]
    for scale in (1e4, 1e-3):
        pool.p["W" if hidden is None else "V"] *= scale
        X = RNG.standard_normal((1, 2000, 2))
        stream = cgru.Stream(net)
        out = [stream.step(x).copy() for x in X[0]]
        for t in (0, 1, 100, 1999):
            assert_close(out[t], net.predict(X[:, : t + 1])[0], 1e-11)


# --- rows that begin anew, and states that fade ---


def as_if_fresh(net, X, resets):
    """The outputs (m, s, k) of a stream, each by `predict` of the steps of its row since it began anew."""
    m, s = resets.shape
    rows = []
    for i, t in np.ndindex(m, s):
        begin = max(np.flatnonzero(resets[i, : t + 1]), default=0)
        out = net.predict(X[:, begin : t + 1])[i]
        rows.append(out[-1] if net.per_step else out)
    return np.reshape(rows, (m, s, -1))


def ends(m, s):
    """Booleans (m, s), of which a third are True, one step with all rows and one without any among them."""
    resets = RNG.random((m, s)) < 1 / 3
    resets[:, -1], resets[:, -2] = True, False
    return resets


@pytest.mark.parametrize("kind", [np.float32, np.float64, *KINDS])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.pairwise
def test_rows_begin_anew_as_in_a_fresh_stream(make, kind, batch):
    X, quantised = RNG.standard_normal((batch, 6, 5)), kind in KINDS
    net = cgru.quantize(make(np.float64), kind, calibration=X * 0.8) if quantised else make(kind)
    for resets in (ends(batch, 6), None):
        stream, given = cgru.Stream(net, batch), [None] * 6 if resets is None else resets.T
        out = np.stack([stream.step(X[:, t], resets=given[t]).copy() for t in range(6)], axis=1)
        due = as_if_fresh(net, X, np.zeros((batch, 6), bool) if resets is None else resets)
        assert_close(out, due, 1e-13 if kind is np.float64 else 3e-6)


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.pairwise
def test_resets_and_factors_of_a_layer_are_those_of_predict(level, dtype, learn_h0):
    for batch, (e, u) in zip((1, 7, 17, 33), ((7, 1), (1, 7), (3, 33), (33, 17)), strict=True):
        layer = random_layer(e, u, dtype=dtype, sequences=True, learn_h0=learn_h0)
        X, resets = RNG.standard_normal((batch, 5, e)).astype(dtype), ends(batch, 5)
        each = np.clip(RNG.uniform(-0.3, 1.3, (batch, 5, u)), 0, 1)
        stream = cgru.Stream(layer, batch)
        for name, given in (("resets", resets), ("decay", each[:, :, 0]), ("decay", each), ("decay", 1 - resets)):
            stream.reset()
            out = np.stack([stream.step(X[:, t], **{name: given[:, t]}).copy() for t in range(5)], axis=1)
            np.testing.assert_array_equal(out, layer.predict(X, **{name: given}))


def test_a_factor_is_that_of_every_state_and_of_nothing_else():
    """As by setting the states of all GRUs by hand; a Difference and a Pool remember, even at a factor of 0."""
    net = network(
        cgru.Difference(), cgru.GRU(4, sequences=True), cgru.GRU(7, sequences=True, learn_h0=True), cgru.Pool("mean"),
        cgru.Dense(2, "identity"), standardized=True,
    )  # fmt: skip
    starts, X = (0, net.layers[2].p["h0"]), RNG.standard_normal((3, 8, 5))
    decay = np.clip(RNG.uniform(-0.3, 1.3, (3, 8)), 0, 1)
    stream, by_hand = cgru.Stream(net, 3), cgru.Stream(net, 3)
    for t in range(8):
        g = decay[:, t, None]
        by_hand.state = [g * h + (1 - g) * start for h, start in zip(by_hand.state, starts, strict=True)]
        assert_close(stream.step(X[:, t], decay=decay[:, t]), by_hand.step(X[:, t]), 1e-13)
    assert_close(stream.step(X[:, 0]), by_hand.step(X[:, 0]), 1e-13)  # and of that step alone


def test_what_is_not_finite_is_replaced_whole():
    net = network(
        cgru.Difference(), cgru.GRU(9, sequences=True, learn_h0=True), cgru.Pool("mean+max"), cgru.Dense(2, "identity")
    )
    X = RNG.standard_normal((4, 3, 5))
    for bad in (np.nan, np.inf, -np.inf):
        stream, fresh = cgru.Stream(net, 4), cgru.Stream(net, 4)
        spoiled = X[:, 0].copy()
        spoiled[:2, 3] = bad
        with np.errstate(invalid="ignore"):
            stream.step(spoiled)
            stream.step(spoiled)
        state = stream.state
        state[:2] = bad
        stream.state = state
        out = stream.step(X[:, 1], resets=[True, False, False, True]).copy()
        due = fresh.step(X[:, 1])
        assert np.isnan(out[1]).any()
        np.testing.assert_array_equal(out[[0, 3]], due[[0, 3]])
        np.testing.assert_array_equal(stream.step(X[:, 2])[[0, 3]], fresh.step(X[:, 2])[[0, 3]])
        stream.step(X[:, 0], decay=[1, 0, 1, 1])
        assert np.isfinite(stream.state).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resets_and_factors_may_lie_anywhere(dtype):
    layer, x, g = random_layer(3, 5, dtype=dtype), RNG.standard_normal((4, 3)).astype(dtype), [0, 0.25, 1, 0.5]
    g, stream = np.array(g, dtype), cgru.Stream(layer, 4)
    stream.step(x)
    before = stream.state
    odd = np.frombuffer(b"." + g.tobytes(), np.uint8)[1:].view(dtype)
    records = np.zeros(4, np.dtype([("a", np.int8), ("g", dtype), ("r", bool)]))
    records["g"], records["r"] = g, g == 0
    swapped = g.astype(g.dtype.newbyteorder())
    for name, values in (
        ("decay", (g, odd, records["g"], swapped, list(g), np.repeat(g, 3)[::3])),
        ("resets", (g == 0, records["r"], list(g == 0), np.repeat(g == 0, 3)[::3])),
    ):
        found = []
        for value in values:
            stream.state = before
            found.append(stream.step(x, **{name: value}).copy())
            np.testing.assert_array_equal(found[-1], found[0])


def test_of_a_single_sample_one_boolean_or_number_will_do():
    layer = random_layer(3, 5)
    stream, x = cgru.Stream(layer), RNG.standard_normal(3)
    first = stream.step(x).copy()
    for anew in (True, np.True_, [True], np.array([True])):
        np.testing.assert_array_equal(stream.step(x, resets=anew), first)
    second = stream.step(x, resets=False).copy()
    assert (second != first).any()
    for decay in (0, 0.0, [0], np.zeros(1, np.float32)):
        np.testing.assert_array_equal(stream.step(x, decay=decay), first)
    np.testing.assert_array_equal(stream.step(x, decay=1), second)
    assert stream.step(x, resets=True) is stream.step(x, decay=0.5)
    for wrong in (np.nan, [1.5], -1):
        with refuses(ValueError, "decay"):
            stream.step(x, decay=wrong)


def test_a_row_that_began_anew_goes_on_after_a_refresh():
    net, X = NETWORKS["differences"](np.float64), RNG.standard_normal((3, 6, 5))
    resets = np.zeros((3, 6), bool)
    resets[1, 3] = True
    stream, out = cgru.Stream(net, 3), []
    for t in range(6):
        out.append(stream.step(X[:, t], resets=resets[:, t]).copy())
        stream.refresh()
    assert_close(np.stack(out, axis=1), as_if_fresh(net, X, resets), 1e-13)


HOSTILE = {
    TypeError: (
        {"resets": [1, 0, 0]}, {"resets": [0.0, 1.0, np.nan]}, {"resets": [True, None, False]}, {"resets": "yes"},
        {"decay": [True, False, False]}, {"decay": [1j, 1, 1]},
    ),
    ValueError: (
        {"resets": [True, False]}, {"resets": True}, {"resets": np.zeros((3, 1), bool)},
        {"resets": [[True], [True, False]]}, {"resets": [False] * 3, "decay": [1, 1, 1]}, {"decay": [1, 1]},
        {"decay": np.ones((3, 5))}, {"decay": 0.5}, {"decay": [1, np.nan, 1]}, {"decay": [1, 1, -1e-9]},
        {"decay": [1 + 1e-9, 1, 1]}, {"decay": [np.inf, 1, 1]},
        {"resets": [True, False, True], "x": np.ones((3, 5))}, {"decay": [0.5] * 3, "x": np.ones((3, 5))},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("error", "given"), [(error, given) for error in HOSTILE for given in HOSTILE[error]])
def test_wrong_resets_and_factors_change_nothing(error, given):
    stream = cgru.Stream(random_layer(3, 4), 3)
    stream.step(np.ones((3, 3)))
    before = stream.state
    with refuses(error, [*given][-1]):
        stream.step(**({"x": np.ones((3, 3))} | given))
    np.testing.assert_array_equal(stream.state, before)
    np.testing.assert_array_equal(stream.step(np.ones((3, 3)), decay=np.zeros((3, 4))), before)  # no factor was kept


def test_factors_of_a_network_are_one_for_all_units():
    stream = cgru.Stream(network(cgru.GRU(4), cgru.Dense(4)), 3)
    with refuses(ValueError, "decay"):
        stream.step(np.ones((3, 5)), decay=np.ones((3, 4)))


def test_batch_and_pickle():
    for name, value, error in (
        ("batch", 0, ValueError), ("threads", 0, ValueError), ("threads", 1.0, TypeError), ("threads", True, TypeError)
    ):  # fmt: skip
        with refuses(error, name):
            cgru.Stream(random_layer(3, 4), **{name: value})
    stream = cgru.Stream(random_layer(3, 4), 2)
    assert (stream.batch, stream.features, stream.units, stream.dtype) == (2, 3, 4, np.float64)
    with pytest.raises(TypeError, match="make a new one"):
        pickle.dumps(stream)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("m", [1, 3])
def test_threads_share_units_where_asked_for(crew, m, waits):
    """Late members may read the packed weights when the stream packs them anew, or goes."""
    net, X = network(cgru.GRU(70, sequences=True), cgru.GRU(33), cgru.Dense(2)), RNG.standard_normal((m, 20, 5))
    one = cgru.Stream(net, m)
    due = [one.step(X[:, t]).copy() for t in range(20)]
    crew(2, waits)
    before = count_shared_tasks()
    for threads in (1, 2):
        stream = cgru.Stream(net, m, threads=threads)
        assert stream.threads == threads
        for t in range(20):
            np.testing.assert_array_equal(stream.step(X[:, t]), due[t])
            if t % 5 == 4:
                stream.refresh()
        assert (count_shared_tasks() > before) == (threads == 2)
        del stream


def test_a_state_that_is_none_for_several_layers():
    stream = cgru.Stream(network(cgru.GRU(3, sequences=True), cgru.GRU(2), cgru.Dense(1)))
    with pytest.raises(TypeError, match="state: "):
        stream.state = None
    with pytest.raises(ValueError, match="state: "):
        stream.state = [np.zeros((1, 3))]


# --- weights of fewer bytes ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"learn_h0": True}], ids=str)
@pytest.mark.pairwise
def test_resets_and_factors_of_a_quantised_layer_are_those_of_predict(narrow_level, options, kind):
    for batch, (e, u) in zip((1, 7, 17, 33), ((7, 1), (1, 7), (3, 33), (33, 17)), strict=True):
        layer = random_quantized_gru(e, u, kind, sequences=True, **options)
        X, resets = RNG.standard_normal((batch, 5, e)).astype(np.float32), ends(batch, 5)
        decay = np.clip(RNG.uniform(-0.3, 1.3, (batch, 5, u)), 0, 1)
        stream = cgru.Stream(layer, batch)
        for name, given in (("resets", resets), ("decay", decay[:, :, 0]), ("decay", decay)):
            stream.reset()
            out = np.stack([stream.step(X[:, t], **{name: given[:, t]}).copy() for t in range(5)], axis=1)
            np.testing.assert_array_equal(out, one_by_one(layer, X, **{name: given}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activate", ["identity", "relu", "lrelu", "elu", "sigmoid", "tanh", "softmax"])
def test_a_quantised_head_gives_the_bits_of_predict(activate, kind):
    net = cgru.quantize(network(cgru.GRU(5), cgru.Dense(17, activate)), kind)
    for batch in (1, 3):
        X = 10 * RNG.standard_normal((batch, 1, 5))
        np.testing.assert_array_equal(cgru.Stream(net, batch).step(X[:, 0]), one_by_one(net, X))


@pytest.mark.parametrize("kind", KINDS)
def test_an_exchanged_array_of_a_quantised_network_counts_from_the_refresh_on(kind):
    net = cgru.quantize(network(cgru.Embedding(11, 4), cgru.GRU(5), cgru.Dense(3, "softmax")), kind)
    stream = cgru.Stream(net)
    for layer, name in ((net.layers[0], "E"), (net.layers[1], "Vhh"), (net.layers[2], "W"), (net.layers[2], "b")):
        stream.reset()
        for token in (3, 4):
            before = stream.step(token).copy()
        layer.p[name] = layer.p[name][:, ::-1].copy()
        stream.reset()
        for token in (3, 4):
            out = stream.step(token)
        np.testing.assert_array_equal(out, before)
        stream.refresh()
        stream.reset()
        for token in (3, 4):
            out = stream.step(token)
        assert (out != before).any(), name
        assert_close(out, net.predict([[3, 4]])[0], 1e-6)


def test_a_refresh_of_a_quantised_network_that_does_not_fit():
    net = cgru.quantize(network(cgru.GRU(5), cgru.Dense(2, "identity")))
    stream = cgru.Stream(net)
    x = RNG.standard_normal(5)
    before = stream.step(x).copy()
    whole = net.layers[1].p["W"]
    net.layers[1].p["W"] = whole.astype(np.float32)
    with pytest.raises(ValueError, match=r"p\['W'\]: "):
        stream.refresh()
    net.layers[1].p |= random_quantized_dense(6, 2, "int8").p
    with pytest.raises(ValueError, match=r"Dense.* got 6"):
        stream.refresh()
    stream.reset()
    np.testing.assert_array_equal(stream.step(x), before)


def test_nan_in_a_stream_is_that_of_its_sample():
    layer = random_quantized_gru(3, 5, "int8")
    stream, due = cgru.Stream(layer, 2), cgru.Stream(layer, 2)
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    spoiled = x.copy()
    spoiled[0, 1] = np.nan
    got = stream.step(spoiled)
    assert np.isnan(got[0]).all()
    np.testing.assert_array_equal(got[1], due.step(x)[1])
    stream.reset()
    due.reset()
    np.testing.assert_array_equal(stream.step(x), due.step(x))


FRAMES = [(1,), (3,), (3, 1), (4, 2, False), (2, 5), (2, 5, False), (3, 1, (2, 0)), (4, 2, (1, 3)), (2, 3, (1, 6)),
          (3, 2, (4, 1), 2), (2, 1, (3, 0), 3)]  # fmt: skip


def framed(frames, dtype, last=False):
    """Frames upon the input and between two layers."""
    return network(
        cgru.Frames(*frames),
        cgru.GRU(7, sequences=True, dtype=dtype),
        cgru.Frames(2, 1),
        cgru.GRU(4, sequences=not last, dtype=dtype),
        cgru.Dense(3, "softmax", dtype=dtype),
        standardized=True,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("frames", FRAMES, ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_frames_come_when_they_are_complete_and_the_rest_at_the_end(frames, last, dtype):
    net, batch = framed(frames, dtype, last), 3
    stream = cgru.Stream(net, batch)
    for s in (1, 4, 7, 17):
        X = RNG.standard_normal((batch, s, 5)).astype(dtype)
        early = [stream.step(X[:, t]) for t in range(s)]
        whole = [i for i, y in enumerate(early) if y is not None]
        try:
            due = net.predict(X)
        except ValueError:  # shorter than a frame
            assert not whole
            assert stream.finish().shape == (batch, 0, 3)
            stream.reset()
            continue
        stream.reset()
        found = [y.copy() for y in map(stream.step, X.swapaxes(0, 1)) if y is not None]
        rest = stream.finish()
        found = np.stack([*found, *rest.swapaxes(0, 1)], axis=1)
        assert len(whole) == found.shape[1] - rest.shape[1]
        assert_close(found[:, -1] if last else found, due, 1e-5 if dtype == np.float32 else 1e-12)
        with refuses(RuntimeError, "step"):
            stream.step(X[:, 0])
        assert stream.finish().shape == (batch, 0, 3)
        stream.reset()


def test_frames_begin_anew_in_all_rows_or_in_none():
    net, X = framed((3, 2), np.float64), RNG.standard_normal((2, 8, 5))
    stream, fresh = cgru.Stream(net, 2), cgru.Stream(net, 2)
    for t in range(4):
        stream.step(X[:, t], resets=[False, False])
    state = stream.state
    with refuses(ValueError, "resets"):
        stream.step(X[:, 4], resets=[True, False])
    np.testing.assert_array_equal(stream.state[0], state[0])
    due = [np.copy(fresh.step(x)) for x in X.swapaxes(0, 1)]
    for _ in range(2):
        got = [np.copy(stream.step(x, resets=[t == 0] * 2)) for t, x in enumerate(X.swapaxes(0, 1))]
        np.testing.assert_array_equal([y for y in got if y.shape], [y for y in due if y.shape])
        stream.finish()  # what follows begins anew
    with refuses(RuntimeError, "step"):
        stream.step(X[:, 0], resets=[False, False])


def test_factors_of_frames_are_refused_where_a_gru_reads_them():
    stream = cgru.Stream(framed((3, 2), np.float64))
    with refuses(ValueError, "decay"):
        stream.step(np.ones(5), decay=0.5)
    above = network(cgru.GRU(4, sequences=True), cgru.Frames(2), cgru.Dense(1, "identity"))
    stream, layer, X = cgru.Stream(above), above.layers[0], RNG.standard_normal((1, 6, 5))
    decay = RNG.random((1, 6))
    out = [np.copy(stream.step(x, decay=g)) for x, g in zip(X[0], decay[0], strict=True)]
    W, b = above.layers[2].p.values()
    due = layer.predict(X, decay=decay).reshape(3, 8) @ W + b
    assert_close(np.array(out[1::2]), due, 1e-13)


def test_weights_are_taken_anew_between_frames():
    net = framed((3, 2), np.float64)
    stream, other, X = cgru.Stream(net), cgru.Stream(net), RNG.standard_normal((9, 5))
    for t, x in enumerate(X):
        if t == 4:
            stream.refresh()
        mine, due = stream.step(x), other.step(x)
        assert (mine is None) == (due is None)
        if due is not None:
            np.testing.assert_array_equal(mine, due)
    np.testing.assert_array_equal(stream.finish(), other.finish())


def test_a_network_without_frames_has_nothing_left():
    stream = cgru.Stream(network(cgru.GRU(4), cgru.Dense(2)), 2)
    stream.step(np.ones((2, 5)))
    assert stream.finish().shape == (2, 0, 2)
