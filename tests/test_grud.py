"""GRUD: against the paper's equations, central differences, and in networks, fits, files, streams and C."""

import copy
import pickle

import numpy as np
import pytest
from export_cases import made as exported
from export_cases import needs_cc
from helpers import TOLERANCE, assert_all_close, assert_all_same, assert_close, refuses

import cgru
from cgru import grud_reference
from cgru.core.lengths import mask
from cgru.network.training import fit
from cgru.network.training.compiled.engine import compiles

RNG = np.random.default_rng(0)
DTYPES = (np.float64, np.float32)


def gaps(m, s, e, ragged=False, share=0.5, dtype=np.float64):
    """X with gaps, lengths, times and resets; what stands past a sample's length is infinite."""
    X = RNG.standard_normal((m, s, e))
    X[RNG.random(X.shape) < share] = np.nan
    lengths = RNG.integers(1, s + 1, m) if ragged else None
    if ragged:
        X = np.where(mask(lengths, s), X, np.inf)
    return X.astype(dtype), lengths, np.cumsum(RNG.random((m, s)) * 3, axis=1), RNG.random((m, s)) < 0.3


def random_grud(e, u, seed=0, **options):
    """A layer whose parameters, biases among them, are random."""
    layer = cgru.GRUD(u, rng=seed, **options)
    layer.make(np.zeros((1, 1, e)))
    for name, value in layer.p.items():
        value[...] = layer.np_rng.standard_normal(value.shape) * (0.7 / np.sqrt(value.shape[0]))
        if name[1:2] == "g":
            value += 0.2
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def papers_states(p, x, times, unit, resets):
    """The states of one sample, feature by feature and step by step, as the paper has them."""
    s, e = x.shape
    h, states = np.zeros(p["U"].shape[0]), []
    delta, last = np.zeros(e), np.zeros(e)
    for t in range(s):
        if resets is not None and resets[t]:
            h, last = np.zeros_like(h), np.zeros(e)
        first = t == 0 or (resets is not None and resets[t])
        for d in range(e):
            if first:
                delta[d] = 0
            elif np.isnan(x[t - 1, d]):
                delta[d] = (times[t] - times[t - 1]) / unit + delta[d]
            else:
                delta[d] = (times[t] - times[t - 1]) / unit
        gx = np.exp(-np.maximum(0, p["Wgx"][0] * delta + p["bgx"][0]))
        gh = np.exp(-np.maximum(0, delta @ p["Wgh"] + p["bgh"][0]))
        m = ~np.isnan(x[t])
        last = np.where(m, x[t], last)
        xh = np.where(m, x[t], gx * last)
        h = gh * h
        z = sigmoid(xh @ p["Wz"] + h @ p["Uz"] + m @ p["Vz"] + p["bz"][0])
        r = sigmoid(xh @ p["Wr"] + h @ p["Ur"] + m @ p["Vr"] + p["br"][0])
        h = (1 - z) * h + z * np.tanh(xh @ p["W"] + (r * h) @ p["U"] + m @ p["V"] + p["b"][0])
        states.append(h)
    return np.array(states)


# --- the layer ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "s", "e", "u"), [(1, 1, 1, 1), (3, 7, 2, 5), (17, 5, 7, 33), (2, 9, 33, 17)])
def test_states_are_those_of_the_paper(m, s, e, u, dtype):
    for ragged in (False, True):
        layer = random_grud(e, u, sequences=True, dtype=dtype, unit=1.5)
        X, lengths, times, resets = gaps(m, s, e, ragged, dtype=dtype)
        p = {name: value.astype(np.float64) for name, value in layer.p.items()}
        for given in ({}, {"times": times}, {"times": times, "resets": resets}):
            A = layer.forward(X, lengths, **given)
            np.testing.assert_array_equal(layer.predict(X, lengths, **given), A)
            at = given.get("times", np.tile(np.arange(s), (m, 1)))
            for i, n in enumerate(np.full(m, s) if lengths is None else lengths):
                anew = None if "resets" not in given else resets[i, :n]
                due = papers_states(p, X[i, :n].astype(np.float64), at[i], 1.5, anew)
                assert_close(A[i, :n], due, TOLERANCE[np.dtype(dtype)])
                assert_close(layer.last.state["h"][i], due[-1], TOLERANCE[np.dtype(dtype)])
                assert not A[i, n:].any()


@pytest.mark.parametrize("without", ["lengths", "times", "resets", "all"])
def test_the_compiled_input_without_what_may_be_left_out(without):
    """And in two parts, the second of which goes on from the first."""
    layer, (X, *given) = random_grud(3, 2, unit=0.7), gaps(4, 7, 3, True)
    X = np.where(np.isinf(X), np.nan, X)
    given = dict(zip(("lengths", "times", "resets"), given, strict=True))
    given = {name: None if without in (name, "all") else value for name, value in given.items()}
    lengths, times, resets = given.values()
    layer.forward(X, **given)
    due, seen = grud_reference.forward(layer.p, X, times, lengths, resets, unit=0.7)
    assert_close(layer.fc, due, 1e-12)
    parts, so_far = [], None
    for at in (np.s_[:, :3], np.s_[:, 3:]) if lengths is None else ():
        own = (None if a is None else a[at] for a in (times, resets))
        caches, so_far = grud_reference.forward(layer.p, X[at], next(own), None, next(own), so_far, 0.7)
        parts.append(caches)
    for name in due if parts else ():
        np.testing.assert_array_equal(np.concatenate([each[name] for each in parts], axis=1), due[name], name)
    for name, value in zip(seen._fields, seen if so_far is None else so_far, strict=True):
        assert_close(layer.state[name], value, 1e-12, name)


def test_the_compiled_input_is_that_of_the_reference(level):
    for dtype in DTYPES:
        for m, s, e in ((1, 1, 1), (5, 7, 17), (3, 4, 33)):
            layer = random_grud(e, 3, dtype=dtype, unit=0.7)
            X, lengths, times, resets = gaps(m, s, e, True, dtype=dtype)
            layer.forward(X, lengths, times=times, resets=resets)
            due, seen = grud_reference.forward(layer.p, X, times, lengths, resets, None, 0.7)
            assert_close(layer.fc, due, TOLERANCE[np.dtype(dtype)])
            for name, value in zip(seen._fields, seen, strict=True):
                assert_close(layer.state[name], value, TOLERANCE[np.dtype(dtype)], name)
            layer.backward(RNG.standard_normal((m, 3)).astype(dtype))
            given = layer.bc["dxm"], layer.last.dgh
            assert_close(layer.bc, grud_reference.backward(due, *given, anew=resets), TOLERANCE[np.dtype(dtype)])


@pytest.mark.parametrize("sequences", [True, False])
def test_gradients_are_central_differences(sequences):
    layer = random_grud(2, 3, sequences=sequences, unit=1.2)
    X, lengths, times, _ = gaps(3, 5, 2, True)
    X = np.where(mask(lengths, 5), X, 0)
    decay = RNG.uniform(0, 1, (3, 5)) * (RNG.random((3, 5)) < 0.8)
    dA = RNG.standard_normal(layer.forward(X, lengths, times=times, decay=decay).shape)
    layer.backward(dA)
    layer.compute_gradients()
    each = layer.last.gradients(each=True)
    for name, array in [*layer.p.items(), ("X", X)]:
        found = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            kept, sides = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                sides.append((layer.predict(X, lengths, times=times, decay=decay) * dA).sum())
            array[place] = kept
            found[place] = (sides[0] - sides[1]) / 2e-6
        got = layer.bc["dX"] if name == "X" else layer.g["d" + name]
        assert_close(got, np.nan_to_num(found), 1e-7, name)
        if name != "X":
            assert_close(each["d" + name].sum(axis=0), got, 1e-12, name)


def test_calls_in_parts_are_one_call():
    """By records, by `stateful`, and steps without times that follow some."""
    layer, whole = (random_grud(3, 4, sequences=True, stateful=stateful) for stateful in (True, False))
    X, _, times, resets = gaps(3, 9, 3)
    due = whole.predict(X, times=times, resets=resets)
    parts = [np.s_[:, :4], np.s_[:, 4:5], np.s_[:, 5:]]
    found = [layer.predict(X[at], times=times[at], resets=resets[at]) for at in parts]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), due)
    assert layer.state.dtype.names == ("h", "last", "age", "time")
    with pytest.raises(ValueError, match="times: "):
        layer.predict(X, times=0 * times)
    with pytest.raises(ValueError, match="expected 3 samples, as many as state has, got 1"):
        layer.predict(X[:1])
    layer.reset_state()
    np.testing.assert_array_equal(layer.forward(X[:1]), whole.predict(X[:1]))
    state, found = None, []
    for at in parts:
        ran = whole.run(X[at], h0=state, times=times[at], resets=resets[at])
        state = ran.state
        found.append(ran.A)
    np.testing.assert_array_equal(np.concatenate(found, axis=1), due)
    steps = np.tile(np.arange(4.0), (3, 1))
    first = whole.run(X[:, :4], times=steps)
    np.testing.assert_array_equal(whole.run(X[:, 4:], h0=first.state).A, whole.predict(X)[:, 4:])
    h0 = RNG.standard_normal((3, 4))
    assert_close(whole.predict(X, h0=h0, resets=np.arange(9) == 0 * resets), whole.predict(X), 1e-13)
    assert np.abs(whole.predict(X, h0=h0)[:, 0] - whole.predict(X)[:, 0]).min() > 0


def test_what_a_reset_forgets_and_what_padding_is():
    layer = random_grud(2, 3, sequences=True)
    X, lengths, times, _ = gaps(2, 8, 2, share=0.6)
    resets = np.zeros((2, 8), bool)
    resets[:, 5] = True
    due = np.concatenate([layer.predict(X[:, part], times=times[:, part]) for part in (np.s_[:5], np.s_[5:])], axis=1)
    np.testing.assert_array_equal(layer.predict(X, times=times, resets=resets), due)
    np.testing.assert_array_equal(layer.predict(X, times=times, decay=1.0 - resets), due)
    lengths = np.array([8, 3])
    times[1, 3:], X[1, 3:] = np.nan, np.inf
    alone = layer.predict(X[1:, :3], times=times[1:, :3])[0]
    assert_close(layer.predict(X, lengths, times=times)[1, :3], alone, 1e-13)  # a single row is summed in another order


def test_a_pass_reads_the_parameters_of_its_backward_and_a_copy_has_its_own():
    layer = random_grud(3, 4)
    X = gaps(5, 6, 3)[0]
    ran = layer.run(X)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other.predict(X), ran.A)
    before = ran.backward(np.ones_like(ran.A))
    layer.p["Wz"] *= 0
    assert np.abs(ran.backward(np.ones_like(ran.A)) - before).max() > 1e-3
    layer.clip_gradients = True
    layer.forward(X)
    layer.backward(100 * np.ones((5, 4)))
    layer.compute_gradients()
    assert np.sqrt(sum((g**2).sum() for g in layer.g.values())) == pytest.approx(0.25)


def test_new_parameters_fade_slowly():
    layer = cgru.GRUD(8, rng=0)
    X = np.full((2, 30, 5), np.nan)
    X[:, 0] = 1
    layer.forward(X)
    assert [name for name in layer.p if name[0] == "b" and layer.p[name].any()] == []
    assert 0.99 <= layer.fc["gx"][:, 1].min() < 1
    assert 0.99 <= layer.fc["gh"][:, 1].min() < 1
    assert layer.fc["gh"][:, -1].min() > 0.7
    assert np.abs(layer.p["Vr"]).max() <= 0.1 < np.abs(layer.p["Wr"]).max()
    assert layer.parameter_names == tuple(layer.p)
    assert {name: value.shape for name, value in layer.p.items()} == {
        name: layer.fs[name] for name in layer.parameter_names
    }


# --- networks ---


def network(dtype=np.float64, steps=False, u=5, **options):
    layers = [cgru.GRUD(u, sequences=True, **options), cgru.GRU(4, sequences=steps)]
    return cgru.Network([*layers, cgru.Dense(2, "softmax")], seed=1, dtype=dtype)


FITS = {
    "plain": {},
    "scaled": {"standardize": True, "validation": 0.3},
    "low": {"memory": "low", "penalties": cgru.Penalties(l2=1e-3)},
    "pieces": {"truncate": 3},
}


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize(("dtype", "u"), [(np.float64, 5), (np.float32, 33)])
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, dtype, u, steps, how):
    X, lengths, times, resets = gaps(9, 10, 3, True)
    X, y, found = 3 * X + 5, np.arange(9) % 2, []
    if how == "plain":
        X = np.where(np.isinf(X), np.nan, X)
    else:
        X = cgru.Sequences(X, lengths, times=times, resets=resets if how in ("low", "pieces") else None)
    for compiled in (True, False):
        net = network(dtype, steps, u)
        assert compiles(net)
        if not compiled:
            monkeypatch.setattr(fit, "compiles", lambda model: False)
        history = net.fit(X, np.tile(y[:, None], (1, 10)) if steps else y, epochs=3, batch_size=4, **FITS[how])
        found.append((history.loss, net.parameters(), net.mean, net.layers[0].unit))
    (losses, ours, *measured), (due, theirs, *too) = found
    rtol = 1e-11 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(losses, due, rtol=rtol)
    for key, array in ours.items():
        np.testing.assert_allclose(array, theirs[key], rtol=rtol, atol=rtol, err_msg=key)
        assert np.isfinite(array).all()
    np.testing.assert_array_equal(measured[0], too[0])
    assert measured[1] == too[1]


def test_stateful_batches_go_on(monkeypatch):
    X, _, times, _ = gaps(4, 12, 2)
    parts = [np.concatenate([a[:, :6], a[:, 6:]]) for a in (X, times)]
    y, found = np.arange(8) % 2, []
    for compiled in (True, False):
        net = cgru.Network([cgru.GRUD(6, stateful=True, unit=1.0), cgru.Dense(2, "softmax")], seed=1)
        if not compiled:
            monkeypatch.setattr(fit, "compiles", lambda model: False)
        net.fit(cgru.Sequences(parts[0], times=parts[1]), y, epochs=2, batch_size=4, shuffle=False)
        found.append(net.parameters())
    anew = cgru.Network([cgru.GRUD(6, unit=1.0), cgru.Dense(2, "softmax")], seed=1)
    anew.fit(cgru.Sequences(parts[0], times=parts[1]), y, epochs=2, batch_size=4, shuffle=False)
    assert_all_close(found[1], found[0], rtol=1e-11, atol=1e-13)
    assert np.abs(found[0]["0.W"] - anew.parameters()["0.W"]).max() > 1e-6


def test_stateful_batches_whose_times_go_back_are_refused(engine):
    X, _, times, _ = gaps(4, 5, 2)
    times[2:] += times[:2, -1:]
    times[3, 0] = times[1, -1] - 0.25
    net = cgru.Network([cgru.GRUD(6, stateful=True), cgru.Dense(2, "softmax")], seed=1)
    words = rf"times: expected times from {times[1, -1]} on, .*, got {times[3, 0]} in sample 3, step 0"
    options = {"epochs": 1, "batch_size": 2, "shuffle": False}
    with pytest.raises(ValueError, match=words):
        net.fit(cgru.Sequences(X, times=times), np.arange(4) % 2, **options)
    assert net.mean is None
    assert len(net.history) == 0
    times[3] += 0.25
    net.fit(cgru.Sequences(X, times=times), np.arange(4) % 2, **options)


def test_means_ignore_what_is_missing():
    X = np.full((6, 4, 3), np.nan)
    X[:, :2, 0] = np.arange(12).reshape(6, 2)
    X[3, 1, 1] = 7.5
    times = np.cumsum(np.full((6, 4), 2.5), axis=1)
    times[:, 3] += 5
    for standardize in (False, True):
        net = network()
        with pytest.warns(UserWarning, match="X: .* got none of feature 2; later measurements of it"):
            net.fit(cgru.Sequences(X, times=times), np.arange(6) % 2, epochs=1, standardize=standardize)
        np.testing.assert_allclose(net.mean, [5.5, 7.5, 0])
        np.testing.assert_allclose(net.scale, [np.arange(12).std() if standardize else 1, 1, 1])
        assert net.layers[0].unit == pytest.approx(12.5 / 3)
    weights = np.array([1.0, 0, 0, 0, 0, 0])
    net = network()
    with pytest.warns(UserWarning, match="got none of feature 1 and 1 more"):
        net.fit(X, np.arange(6) % 2, sample_weight=weights, epochs=1)
    np.testing.assert_allclose(net.mean, [0.5, 0, 0])
    assert net.layers[0].unit is None


def test_the_unit_is_that_of_steps_that_go_on():
    X, _, times, _ = gaps(6, 8, 2)
    resets = np.zeros((6, 8), bool)
    resets[:, 4] = True
    apart = times + 1e6 * (np.arange(8) >= 4)  # the time between two episodes
    net = network()
    net.fit(cgru.Sequences(X, times=apart, resets=resets), np.arange(6) % 2, epochs=1)
    steps = np.delete(np.diff(times, axis=1), 3, axis=1)
    assert net.layers[0].unit == pytest.approx(steps.mean(), rel=1e-6)
    net.fit(cgru.Sequences(X, times=times * 2), np.arange(6) % 2, epochs=1)  # it goes on with its unit
    assert net.layers[0].unit == pytest.approx(steps.mean(), rel=1e-6)
    net.mean = net.scale = None
    net.fit(cgru.Sequences(X, times=times * 2), np.arange(6) % 2, epochs=1)
    assert net.layers[0].unit == pytest.approx(2 * np.diff(times, axis=1).mean())


def test_what_was_trained_with_times_needs_them():
    X, _, times, _ = gaps(6, 8, 2)
    y = np.arange(6) % 2
    net = network()
    net.fit(X, y, epochs=1)
    net.predict(X)
    with refuses(ValueError, "validation times"):
        net.fit(cgru.Sequences(X, times=times), y, epochs=1, validation=(X, y))
    net.fit(cgru.Sequences(X, times=times), y, epochs=1)
    calls = [
        net.predict,
        lambda X: net.fit(X, y, epochs=1),
        lambda X: net.evaluate(X, y),
        lambda X: cgru.report(net, X, y),
    ]
    for call in calls:
        with refuses(ValueError, "times"):
            call(X)
    with refuses(ValueError, "validation times"):
        net.fit(cgru.Sequences(X, times=times), y, epochs=1, validation=(X, y))
    with pytest.raises(ValueError, match="unit: "):
        net.layers[0].unit = -1


def test_a_fit_that_fails_at_once_has_measured_nothing():
    X, _, times, _ = gaps(6, 8, 2)

    class Broken:
        seen = 0

        def __iter__(self):
            self.seen += 1
            yield cgru.Sequences(X, times=times), np.arange(6) % 2
            if self.seen > 2:
                raise OSError("a disk")

    net = network()
    with pytest.raises(OSError, match="a disk"):
        net.fit(Broken(), epochs=5)
    assert net.mean is None
    assert net.layers[0].unit is None


def test_a_resumed_fit_has_the_unit_of_the_one_that_was_stopped(tmp_path):
    X, _, times, _ = gaps(6, 8, 2)
    y, given = np.arange(6) % 2, {"checkpoint": cgru.Checkpoint(tmp_path / "run.npz", resume=True)}
    longer = cgru.Sequences(X, times=times * 20)
    net = network()
    net.fit(cgru.Sequences(X, times=times), y, epochs=1)

    epochs = []

    def stop(epoch):
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(longer, y, epochs=4, callback=stop, **given)
    other = network()
    other.fit(longer, y, epochs=4, callback=lambda epoch: None, **given)
    assert other.layers[0].unit == net.layers[0].unit
    net.fit(longer, y, epochs=4, callback=lambda epoch: None, **given)
    assert_all_same(other.parameters(), net.parameters())


def test_files_gradients_scores_and_checkpoints(tmp_path):
    X, lengths, times, resets = gaps(9, 8, 3, True)
    X, y = cgru.Sequences(X, lengths, times=times, resets=resets), np.arange(9) % 2
    net = network(np.float32)
    net.fit(X, y, epochs=2, standardize=True, checkpoint=tmp_path / "fit")
    due = net.predict(X)
    net.save(tmp_path / "net.npz")
    for other in (cgru.load(tmp_path / "net.npz"), copy.deepcopy(net)):
        assert repr(other.layers[0]).replace(f", unit={net.layers[0].unit}", "") == repr(net.layers[0])
        assert other.layers[0].unit == net.layers[0].unit != 1
        np.testing.assert_array_equal(other.predict(X), due)
    again = network(np.float32)
    again.fit(X, y, epochs=2, standardize=True, checkpoint=cgru.Checkpoint(tmp_path / "fit", resume=True))
    np.testing.assert_array_equal(again.predict(X), due)
    scored = net.evaluate(X, y, each=True)
    each = net.gradients(X, y, each=True)
    for key, value in net.gradients(X, y).items():
        assert_close(each[key].mean(axis=0), value, 2e-5, key)
    assert scored["losses"].mean() == pytest.approx(scored["loss"])
    assert "GRUD" in str(net.summary())
    assert net.summary().parameters == sum(a.size for a in net.parameters().values())
    results = cgru.fit_many([cgru.Job(network(np.float32), epochs=2, standardize=True)], X, y)
    np.testing.assert_array_equal(results[0].network.predict(X), due)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stream_is_predict(dtype):
    X, _, times, resets = gaps(3, 9, 2)
    net = network(dtype)
    net.fit(cgru.Sequences(X, times=times), np.arange(3) % 2, epochs=1, standardize=True)
    for given in ({}, {"resets": resets}):
        stream = cgru.Stream(net, 3)
        for t in range(9):
            dt = None if t == 0 else times[:, t] - times[:, t - 1]
            y = stream.step(X[:, t], dt, **{name: each[:, t] for name, each in given.items()})
            if t == 4:
                kept = stream.state
                stream.refresh()
        assert_close(y, net.predict(cgru.Sequences(X, times=times, **given)), TOLERANCE[np.dtype(dtype)])
    stream.state = kept
    for t in range(5, 9):
        y = stream.step(X[:, t], times[:, t] - times[:, t - 1], resets=resets[:, t])
    assert_close(y, net.predict(cgru.Sequences(X, times=times, resets=resets)), TOLERANCE[np.dtype(dtype)])
    stream.reset()
    for t in range(9):
        y = stream.step(X[:, t])
    assert_close(y, net.predict(cgru.Sequences(X, times=np.tile(np.arange(9), (3, 1)))), TOLERANCE[np.dtype(dtype)])
    layer = random_grud(2, 3)
    one = cgru.Stream(layer)
    assert [one.step(x).shape for x in X[0]] == [(3,)] * 9
    decay = RNG.random((1, 9, 3))
    one.reset()
    for t in range(9):
        y = one.step(X[:1, t], decay=decay[:, t])
    assert_close(y, layer.predict(X[:1], decay=decay), 1e-13)
    for wrong in (-1.0, np.nan, [1.0, 2.0]):
        with refuses(ValueError, "dt"):
            one.step(X[0, 0], wrong)
    gru = cgru.GRU(2)
    gru.predict(X[:, :, :1] * 0)
    with refuses(ValueError, "dt"):
        cgru.Stream(gru).step(np.zeros(1), 2.0)


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_c(tmp_path, dtype):
    X, _, times, _ = gaps(2, 9, 3, dtype=dtype)
    net = network(dtype, u=7)
    net.fit(cgru.Sequences(X, times=times), [0, 1], epochs=1, standardize=True)
    model = exported(tmp_path, net, "-O1")
    for row, at in zip(X, times, strict=True):
        for t in range(9):
            if t:
                model.wait(at[t] - at[t - 1])
            y = model.step(np.ascontiguousarray(row[t]))
        assert_close(
            y, net.predict(cgru.Sequences(row[None], times=at[None]))[0], 1e-5 if dtype == np.float32 else 1e-12
        )
        model.reset()
        due = net.predict(cgru.Sequences(row[None], times=np.arange(9)[None]))[0]
        assert_close(model.run(row), due, 1e-5 if dtype == np.float32 else 1e-12)
        model.reset()
