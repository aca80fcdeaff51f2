"""Pool: mean, maximum and last over the real steps, sums weighted by attention, and their gradients."""

import copy

import numpy as np
import pytest
from export_cases import assert_equal, made, needs_cc

import cgru
from cgru.layers.layer import Layer
from cgru.network.training import fit

RNG = np.random.default_rng(0)
M, S, N = 4, 6, 3
LENGTHS = np.array([6, 1, 3, 4])


def pooled(how, x):
    return {"mean": x.mean(axis=0), "max": x.max(axis=0), "last": x[-1]}[how]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_values_and_gradients(how, lengths, dtype):
    n = np.full(M, S) if lengths is None else lengths
    X = (RNG.standard_normal((M, S, N)) - 3).astype(dtype)  # all negative: zeros in padding would win a maximum
    dirty = np.where((np.arange(S) < n[:, None])[:, :, None], X, np.nan).astype(dtype)
    layer = cgru.Pool(how)
    A = layer.forward(dirty, lengths)
    np.testing.assert_allclose(A, [pooled(how, x[:k]) for x, k in zip(X, n, strict=True)], rtol=1e-6)
    np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
    dA = RNG.standard_normal((M, N)).astype(dtype)
    dX = layer.backward(dA)
    due = np.zeros((M, S, N))
    for i, k in enumerate(n):
        for j in range(N):
            at = {"mean": slice(0, k), "max": X[i, :k, j].argmax(), "last": k - 1}[how]
            due[i, at, j] = dA[i, j] / (k if how == "mean" else 1)
    np.testing.assert_allclose(dX, due, rtol=1e-6)
    assert A.dtype == dX.dtype == dtype
    assert layer.d == {"m": M, "s": S, "n": N}
    assert layer.fs == {"X": (M, S, N), "A": (M, N)}
    assert layer.bs == {"dA": (M, N), "dX": (M, S, N)}
    assert repr(layer) == f"Pool({how!r})"


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("how", ["last+mean+max", "max+last"])
def test_several_side_by_side(how, lengths):
    """Each as it is alone, and what goes back is their sum."""
    parts, X = how.split("+"), RNG.standard_normal((M, S, N))
    layer, alone = cgru.Pool(how), [cgru.Pool(part) for part in parts]
    A = layer.forward(X, lengths)
    np.testing.assert_array_equal(A, np.hstack([one.forward(X, lengths) for one in alone]))
    dA = RNG.standard_normal((M, N * len(parts)))
    dX = layer.backward(dA)
    due = sum(one.backward(d) for one, d in zip(alone, np.split(dA, len(parts), axis=1), strict=True))
    np.testing.assert_allclose(dX, due, rtol=1e-14)
    assert layer.output_shape(("m", "s", N)) == ("m", N * len(parts))
    with pytest.raises(ValueError, match="a layer with units below a Pool of"):
        cgru.Network([layer, cgru.Dense(2)])
    assert not layer.piecewise


def test_the_first_of_equals_gets_the_gradient():
    layer = cgru.Pool("max")
    layer.forward(np.ones((1, 3, 1)))
    np.testing.assert_array_equal(layer.backward([[1.0]])[0, :, 0], [1, 0, 0])


@pytest.mark.parametrize("how", ["mean", "max"])
def test_nan_passes_through(how):
    X = RNG.standard_normal((2, S, N))
    X[0, 2, 1] = np.nan
    A = cgru.Pool(how).predict(X)
    assert np.isnan(A).tolist() == [[False, True, False], [False] * 3]


def test_refusals():
    with pytest.raises(ValueError, match=r"^how: expected one of mean, max, last, attention, or .* got 'sum'"):
        cgru.Pool("sum")
    for how in ("mean+mean", "mean+", "+", "mean, max"):
        with pytest.raises(
            ValueError, match=r"^how: expected one of mean, max, last, attention, or some joined by \+, each once"
        ):
            cgru.Pool(how)
    with pytest.raises(TypeError, match=r"^how: expected"):
        cgru.Pool(3)
    with pytest.raises(ValueError, match=r'^hidden: expected None without "attention" in how, got 4'):
        cgru.Pool("last+mean", 4)
    with pytest.raises(ValueError, match=r"^hidden: expected at least 1, got 0"):
        cgru.Pool("attention", 0)
    with pytest.raises(TypeError, match=r"^hidden: expected an integer, got float"):
        cgru.Pool("attention", 2.0)
    with pytest.raises((TypeError, ValueError), match=r"dtype.*int8"):
        cgru.Pool("attention", dtype=np.int8)
    layer = cgru.Pool()
    for A in (np.ones((M, N)), np.ones((0, S, N))):
        with pytest.raises(ValueError, match=r"^A: expected"):
            layer.forward(A)
    with pytest.raises(ValueError, match=r"^lengths: expected"):
        layer.forward(np.ones((M, S, N)), LENGTHS + 1)
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.ones((M, N)))
    layer.forward(np.ones((M, S, N)))
    with pytest.raises(ValueError, match=r"^dX: expected shape \(4, 3\)"):
        layer.backward(np.ones((M, S, N)))


@pytest.mark.parametrize("lengths", [None, [100_000, 99_999]])
def test_a_mean_over_many_steps_keeps_its_digits(lengths):
    """A sum in float32 is off by 5e-4 here; the mean is the rounded one of float64."""
    X = (RNG.standard_normal((2, 100_000, 3)) + 100).astype(np.float32)
    due = cgru.Pool("mean").predict(X.astype(np.float64), lengths)
    np.testing.assert_array_equal(cgru.Pool("mean").predict(X, lengths), due.astype(np.float32))


# --- attention ---

SIZES = [(1, 1, 1), (1, 7, 17), (7, 17, 1), (17, 1, 33), (33, 7, 7), (7, 33, 17)]  # m, s, n


def some_lengths(m, s, rng=RNG):
    lengths = rng.integers(1, s + 1, m)
    lengths[rng.integers(m)] = s
    return lengths


def attentive(how="attention", hidden=None, n=N, seed=1, **options):
    """A layer with random parameters, none of them zero."""
    layer, rng = cgru.Pool(how, hidden, **options), np.random.default_rng(seed)
    layer.make(np.zeros((1, 1, n)))
    for array in layer.p.values():
        array[...] = rng.standard_normal(array.shape)
    return layer


def written_out(layer, X, lengths):
    """The weights and the weighted sum of each sample, step by step."""
    p = layer.p
    for x, k in zip(X, lengths, strict=True):
        if layer.hidden is None:
            scores = np.array([xt @ p["W"][:, 0] + p["b"][0, 0] for xt in x[:k]])
        else:
            scores = np.array([np.tanh(xt @ p["W"] + p["b"][0]) @ p["V"][:, 0] for xt in x[:k]])
        a = np.exp(scores) / np.exp(scores).sum()
        yield np.pad(a, (0, len(x) - k)), sum(weight * xt for weight, xt in zip(a, x[:k], strict=True))


@pytest.mark.parametrize("hidden", [None, 1, 7, 33])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_attention_is_a_weighted_sum(size, ragged, hidden):
    m, s, n = size
    X = RNG.standard_normal(size)
    lengths = some_lengths(m, s) if ragged else None
    real = np.full(m, s) if lengths is None else lengths
    layer = attentive(hidden=hidden, n=n)
    dirty = np.where((np.arange(s) < real[:, None])[:, :, None], X, np.nan)
    A = layer.forward(dirty, lengths)
    due = list(written_out(layer, X, real))
    np.testing.assert_allclose(A, [out for _, out in due], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(layer.fc["a"], [a for a, _ in due], rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
    h = hidden or 1
    shapes = {"W": (n, h), "b": (1, h)} | ({"V": (h, 1)} if hidden else {})
    assert {name: array.shape for name, array in layer.p.items()} == shapes
    assert layer.fs == {"X": size, "A": (m, n), "a": (m, s)} | ({"H": (m, s, h)} if hidden else {}) | shapes
    assert layer.features == n
    if hidden is not None:
        np.testing.assert_allclose(layer.fc["H"][0, 0], np.tanh(X[0, 0] @ layer.p["W"] + layer.p["b"][0]), rtol=1e-12)


def loss_of(layer, X, lengths, d):
    return (layer.predict(X, lengths) * d).sum()


@pytest.mark.parametrize("how", ["attention", "mean+attention", "attention+max+last"])
@pytest.mark.parametrize("hidden", [None, 5])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_attention_has_the_gradients_of_central_differences(size, ragged, hidden, how):
    m, s, n = size
    X = RNG.standard_normal(size)
    lengths = some_lengths(m, s) if ragged else None
    layer = attentive(how, hidden, n)
    d = RNG.standard_normal(layer.forward(X, lengths).shape)
    dX = layer.backward(d)
    layer.compute_gradients()
    assert list(layer.g) == ["dW", "db", "dV"][: 3 if hidden else 2]
    assert layer.g["db"].shape == (hidden or 1,)
    assert layer.bs["dX"] == size
    assert layer.bs["dscore"] == (m, s)
    assert layer.bs["dZ"] == (m, s, hidden or 1)
    arrays = [(X, dX), *((layer.p[name], layer.g["d" + name].reshape(layer.p[name].shape)) for name in layer.p)]
    for array, gradient in arrays:
        for index in {tuple(RNG.integers(array.shape)) for _ in range(6)}:
            kept, sides = array[index], []
            for sign in (1, -1):
                array[index] = kept + sign * 1e-6
                sides.append(loss_of(layer, X, lengths, d))
            array[index] = kept
            np.testing.assert_allclose(gradient[index], (sides[0] - sides[1]) / 2e-6, rtol=1e-6, atol=3e-8)
    if lengths is not None:
        assert not dX[np.arange(s) >= lengths[:, None]].any()


def test_what_is_added_to_all_scores_has_no_gradient():
    """Not even that of rounding, which Adam would scale up to whole steps."""
    layer = attentive(dtype=np.float32)
    layer.backward(np.ones_like(layer.forward(RNG.standard_normal((M, S, N)))))
    layer.compute_gradients()
    np.testing.assert_array_equal(layer.g["db"], np.zeros(1, np.float32))
    before = layer.predict(np.ones((M, S, N)))
    layer.p["b"] += 5
    np.testing.assert_array_equal(layer.predict(np.ones((M, S, N))), before)


def test_parts_beside_attention_are_as_they_are_alone():
    layer, X = attentive("last+attention+max", 4), RNG.standard_normal((M, S, N))
    alone = [cgru.Pool("last"), attentive("attention", 4), cgru.Pool("max")]
    A = layer.forward(X, LENGTHS)
    np.testing.assert_array_equal(A, np.hstack([one.forward(X, LENGTHS) for one in alone]))
    dA = RNG.standard_normal(A.shape)
    due = sum(one.backward(d) for one, d in zip(alone, np.split(dA, 3, axis=1), strict=True))
    np.testing.assert_allclose(layer.backward(dA), due, rtol=1e-13)
    for one in (layer, alone[1]):
        one.compute_gradients()
    for name, gradient in layer.g.items():
        np.testing.assert_allclose(gradient, alone[1].g[name], rtol=1e-13)
    assert layer.output_shape(("m", "s", N)) == ("m", 3 * N)
    assert not layer.piecewise


@pytest.mark.parametrize("hidden", [None, 3])
def test_large_scores_do_not_overflow(hidden):
    layer, X = attentive(hidden=hidden), 1e4 * RNG.standard_normal((M, S, N))
    if hidden:
        layer.p["V"] *= 1e4
    A = layer.predict(X)
    assert np.isfinite(A).all()
    score = X @ layer.p["W"] if hidden is None else np.tanh(X @ layer.p["W"] + layer.p["b"]) @ layer.p["V"]
    a = np.exp(score - score.max(axis=1, keepdims=True))
    np.testing.assert_allclose(A, (a * X).sum(axis=1) / a.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("hidden", [None, 3])
def test_a_nan_fills_its_sample(hidden):
    X = RNG.standard_normal((2, S, N))
    for step in (0, 2):
        dirty = X.copy()
        dirty[0, step, 1] = np.nan
        assert np.isnan(attentive(hidden=hidden).predict(dirty)).tolist() == [[True] * N, [False] * N]


@pytest.mark.parametrize("hidden", [None, 2])
def test_a_weighted_sum_over_many_steps_keeps_its_digits(hidden):
    X = (RNG.standard_normal((2, 100_000, 3)) + 100).astype(np.float32)
    layers = [attentive(hidden=hidden, dtype=dtype) for dtype in (np.float32, np.float64)]
    for layer in layers:
        layer.p["W"] *= 1e-4
    A, due = (layer.predict(X, [100_000, 99_999]) for layer in layers)
    assert (A.dtype, layers[0].fc, due.dtype) == (np.float32, {}, np.float64)
    np.testing.assert_allclose(A, due, rtol=1e-6)


def test_attention_refuses_what_does_not_fit():
    layer = attentive(hidden=4)
    with pytest.raises(ValueError, match=r"^A: expected shape \(m, s, 3\), the rows of W, got \(4, 6, 2\)"):
        layer.forward(np.ones((M, S, 2)))
    with pytest.raises(RuntimeError, match=r"^gradients: expected a backward before it"):
        layer.run(np.ones((M, S, N))).gradients()
    with pytest.raises(RuntimeError, match=r"^initialize_parameters: expected compute_shapes"):
        cgru.Pool("attention").initialize_parameters()
    for name, shape in (("W", (2, 3)), ("b", (4,)), ("V", (1, 4))):
        broken = copy.deepcopy(layer)
        broken.p[name] = np.ones(shape)
        with pytest.raises(ValueError, match=rf"^p\['{name}'\]: expected shape"):
            broken.predict(np.ones((M, S, N)))
        del broken.p[name]
        with pytest.raises(ValueError, match=rf"^p\['{name}'\]: missing; expected an array of shape"):
            broken.predict(np.ones((M, S, N)))


def test_initial_parameters_and_what_a_layer_says():
    layer = cgru.Pool("max+attention", 400, rng=0)
    layer.make(np.zeros((1, 1, 500)))
    assert abs(layer.p["W"].std() / np.sqrt(2 / 900) - 1) < 0.02
    assert abs(layer.p["V"].std() / np.sqrt(2 / 401) - 1) < 0.2
    assert not layer.p["b"].any()
    assert repr(layer) == "Pool('max+attention', hidden=400, dtype=float64)"
    assert repr(cgru.Pool("attention", dtype="float32")) == "Pool('attention', dtype=float32)"
    assert layer.trainable
    assert layer.given == {"rng"}
    assert not cgru.Pool("mean").trainable
    assert cgru.Pool("mean").parameter_names == ()
    assert cgru.Pool("attention").parameter_names == ("W", "b")
    assert cgru.Pool("attention", 3).parameter_names == ("W", "b", "V")
    assert cgru.Pool("attention").features is None
    assert (cgru.Pool("last").stream, cgru.Pool("max").stream) == ("", "pool")
    same = cgru.Pool("attention", 7, rng=3), cgru.Pool("attention", 7, rng=3)
    for each in same:
        each.make(np.zeros((1, 1, 5)))
    np.testing.assert_array_equal(same[0].p["V"], same[1].p["V"])
    assert cgru.Pool("mean", dtype="float32").predict(np.ones((1, 2, 3))).dtype == np.float64


# --- in networks ---


def states(u, **options):
    return cgru.GRU(u, sequences=True, **options)


NETWORKS = {
    "a GRU": lambda pool: [states(7), pool],
    "both": lambda pool: [cgru.Bidirectional(states(17)), pool],
    "a wide GRU": lambda pool: [states(33), pool, cgru.Dense(5, "tanh")],
    "a Dense": lambda pool: [states(7), cgru.Dense(5, "elu"), pool],
    "frames": lambda pool: [states(1), cgru.Frames(2), pool],
    "frames below": lambda pool: [cgru.Frames(3, 2), states(4), cgru.Dropout(0.3), pool],
    "the input": lambda pool: [pool, cgru.Dense(4, "tanh")],
}
X, Y = RNG.standard_normal((23, 9, 3)), RNG.integers(0, 3, 23)
STEPS = RNG.integers(1, 10, 23)


def network(name, how, hidden, **options):
    return cgru.Network([*NETWORKS[name](cgru.Pool(how, hidden)), cgru.Dense(3, "softmax")], **{"seed": 1} | options)


@pytest.fixture(params=["compiled", "loop"])
def engine(request, monkeypatch):
    if request.param == "loop":
        monkeypatch.setattr(fit, "compiles", lambda model: False)
    return request.param


@pytest.mark.parametrize("how", ["attention", "last+mean+max+attention"])
@pytest.mark.parametrize("hidden", [None, 5])
@pytest.mark.parametrize("lengths", [None, STEPS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "frames below"])
def test_an_update_goes_along_central_differences(name, lengths, hidden, how, engine):
    if name == "the input" and "+" in how:
        how = "attention"
    net = network(name, how, hidden, optimizer=cgru.SGD(1.0))
    net.make(X)
    for array in net.parameters().values():
        array += 0.1 * RNG.standard_normal(array.shape)
    start = {key: array.copy() for key, array in net.parameters().items()}
    net.fit(X, Y, lengths=lengths, epochs=1, batch_size=len(X), shuffle=False)
    moved = {key: array.copy() for key, array in net.parameters().items()}
    for key, array in net.parameters().items():
        array[...] = start[key]
    for key, array in net.parameters().items():
        for _ in range(2):
            index, sides = tuple(RNG.integers(array.shape)), []
            for sign in (1, -1):
                array[index] = start[key][index] + sign * 1e-6
                sides.append(net.evaluate(X, Y, lengths)["loss"])
            array[index] = start[key][index]
            gradient = start[key][index] - moved[key][index]
            assert gradient == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-9), key


def trained(net, lengths=STEPS, **options):
    history = net.fit(X, Y, lengths=lengths, **{"epochs": 4, "batch_size": 5, "validation": 0.3} | options)
    return history.loss + history.validation_loss, {key: array.copy() for key, array in net.parameters().items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", ["attention", "max+attention", "last+mean+max+attention"])
@pytest.mark.parametrize("hidden", [None, 1, 17])
@pytest.mark.parametrize("lengths", [None, STEPS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.pairwise
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, name, lengths, hidden, how, dtype):
    if name == "the input" and "+" in how:
        how = "attention"
    options = {"average": 0.9, "l1": 1e-3, "l2": {"*.b": 0.1, "*.W": 0.01}, "standardize": True}
    values, ours = trained(network(name, how, hidden, dtype=dtype), lengths, **options)
    monkeypatch.setattr(fit, "compiles", lambda model: False)
    due, theirs = trained(network(name, how, hidden, dtype=dtype), lengths, **options)
    tolerance = 1e-10 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(values, due, rtol=tolerance)
    for key, array in ours.items():
        np.testing.assert_allclose(array, theirs[key], rtol=tolerance, atol=tolerance, err_msg=key)


def test_what_is_trained(engine):
    """Weights decay and are penalised as those of a Dense; b of a single score stays; a frozen pool, too."""
    net = network("a GRU", "attention", None, optimizer=cgru.Adam(0.1))
    net.make(X)
    start = {key: array.copy() for key, array in net.parameters().items()}
    _, found = trained(net)
    assert np.abs(found["1.W"] - start["1.W"]).min() > 1e-3
    np.testing.assert_array_equal(found["1.b"], start["1.b"])
    for options in ({"l1": 1.0}, {"l2": {"1.W": 1.0}}):
        penalised = trained(network("a GRU", "attention", None, optimizer=cgru.Adam(0.1)), **options)[1]
        assert np.abs(penalised["1.W"]).sum() < 0.7 * np.abs(found["1.W"]).sum()
    decayed = trained(network("a GRU", "attention", 4, optimizer=cgru.Adam(1e-3, weight_decay=600.0)))[1]
    assert np.abs(decayed["1.W"]).max() < 0.01
    assert np.abs(decayed["1.V"]).max() < 0.01
    for frozen in (["pool"], ["GRU"], ["GRU", "pool"]):
        net = network("a GRU", "last+attention", 4)
        net.make(X)
        net.layers[0].trainable, net.layers[1].trainable = "GRU" not in frozen, "pool" not in frozen
        start = {key: array.copy() for key, array in net.parameters().items()}
        _, found = trained(net)
        moved = {key for key, array in found.items() if not np.array_equal(array, start[key])}
        assert moved == {key for key in start if net.layers[int(key[0])].trainable}


@pytest.mark.parametrize("hidden", [None, 40])
def test_threads_give_the_same_bits(hidden):
    rng = np.random.default_rng(0)
    many, y, steps = rng.standard_normal((64, 60, 12)), rng.integers(0, 3, 64), rng.integers(1, 61, 64)
    found = []
    before = cgru.get_num_threads()
    try:
        for threads in (1, 2, 3):
            cgru.set_num_threads(threads)
            net = cgru.Network([states(48), cgru.Pool("mean+attention", hidden), cgru.Dense(3, "softmax")], seed=0)
            net.fit(many, y, lengths=steps, epochs=2)
            found.append([*net.parameters().values(), net.predict(many, steps)])
    finally:
        cgru.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_truncated_fits_are_refused_before_anything_is_touched():
    net = network("a GRU", "last+attention", 3)
    with pytest.raises(ValueError, match=r"^truncate: expected .* piece, got Pool\('last\+attention', hidden=3, .* 1$"):
        net.fit(X, Y, epochs=1, truncate=2)
    assert not net.parameters()
    assert not net.history


def test_a_stateful_network_pools_the_steps_of_a_call(engine):
    net = cgru.Network([states(4, stateful=True), attentive(n=4), cgru.Dense(3, "softmax")], seed=0)
    net.fit(X[:20], Y[:20], epochs=2, batch_size=10, shuffle=False)
    net.reset_states()
    halves = [net.predict(X[:, :5]), net.predict(X[:, 5:])]
    net.reset_states()
    H = np.concatenate([net.layers[0].predict(X[:, :5]), net.layers[0].predict(X[:, 5:])], axis=1)
    for A, part in zip(halves, (H[:, :5], H[:, 5:]), strict=True):
        np.testing.assert_allclose(A, net.head.predict(net.layers[1].predict(part)), rtol=1e-12)


def test_a_fit_goes_on_from_its_checkpoint(tmp_path, engine):
    options = {"average": 0.9, "validation": 0.3, "batch_size": 4}
    whole, stopped, path = (network("a GRU", "attention", 3) for _ in range(2)), None, tmp_path / "fit.npz"
    whole, stopped = whole
    history = whole.fit(X, Y, epochs=4, **options)

    def stop(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, Y, epochs=4, checkpoint=path, checkpoint_seconds=0, callback=stop, **options)
    went_on = network("a GRU", "attention", 3)
    assert went_on.fit(X, Y, epochs=4, checkpoint=path, resume=True, **options).loss == history.loss
    for key, array in went_on.parameters().items():
        np.testing.assert_array_equal(array, whole.parameters()[key])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [None, 3])
def test_files_copies_and_quantised_networks_have_it(tmp_path, hidden, dtype):
    for name, how in (("a GRU", "last+attention"), ("the input", "attention"), ("frames", "attention")):
        net = network(name, how, hidden, dtype=dtype)
        trained(net)
        net.layers[-2].trainable = False
        net.save(tmp_path / "net.npz")
        loaded, copied = cgru.load(tmp_path / "net.npz"), copy.deepcopy(net)
        for other in (loaded, copied):
            assert repr(other.layers) == repr(net.layers)
            assert [layer.trainable for layer in other.layers] == [layer.trainable for layer in net.layers]
            np.testing.assert_array_equal(other.predict(X, STEPS), net.predict(X, STEPS))
        assert loaded.features == 3
        for kind in ("int8", "bfloat16"):
            small = cgru.quantize(net, kind)
            pool = next(layer for layer in small.layers if isinstance(layer, cgru.Pool))
            assert {array.dtype for array in pool.p.values()} == {np.dtype(np.float32)}
            small.save(tmp_path / "small.npz")
            again = cgru.load(tmp_path / "small.npz")
            np.testing.assert_array_equal(again.predict(X, STEPS), small.predict(X, STEPS))
            assert np.abs(small.predict(X, STEPS) - net.predict(X, STEPS)).max() < 0.05


def test_pools_without_parameters_are_written_as_before(tmp_path):
    net = cgru.Network([states(4), cgru.Pool("last+mean"), cgru.Dense(3, "softmax")], seed=0)
    net.make(X)
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        assert '{"class": "Pool", "trainable": false, "how": "last+mean"}' in str(file["model"])
    assert repr(cgru.load(tmp_path / "net.npz").layers[1]) == "Pool('last+mean')"


def test_a_pool_of_ones_own_trains_in_the_loop():
    class Own(cgru.Pool):
        def run(self, A, lengths=None):
            return super().run(A, lengths)

    found = []
    for kind in (cgru.Pool, Own):
        net = cgru.Network([states(4), kind("mean+attention", 3), cgru.Dense(3, "softmax")], seed=1)
        assert isinstance(net.layers[1], Layer)
        found.append(trained(net)[1])
    for key, array in found[0].items():
        np.testing.assert_allclose(found[1][key], array, rtol=1e-9, atol=1e-12)


# --- elsewhere ---

EVERY = [("mean", None), ("last+max", None), ("attention", None), ("attention", 5), ("max+attention+last+mean", 3)]


def a_pool(how, hidden, dtype):
    """A GRU, a pool and a head with random parameters."""
    net = cgru.Network([states(4), cgru.Pool(how, hidden), cgru.Dense(3, "tanh")], seed=1, dtype=dtype)
    net.make(X)
    rng = np.random.default_rng(2)
    for array in net.parameters().values():
        array[...] = rng.standard_normal(array.shape)
    return net


@needs_cc
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("how", "hidden"), EVERY)
def test_in_c(tmp_path, how, hidden, dtype):
    net = a_pool(how, hidden, dtype)
    model, sample = made(tmp_path, net), X[0].astype(dtype)
    for t in range(len(sample)):
        assert_equal(model.step(sample[t]), net.predict(sample[None, : t + 1])[0], dtype)
    model.init()
    sample[3, 0] = np.nan
    assert np.isnan(model.run(sample)).any()
    assert f"Pool, {how} of the steps so far" in (tmp_path / "model.c").read_text()


@needs_cc
def test_long_sequences_in_c_keep_their_digits(tmp_path):
    """A plain sum in float32 is off by 1e-4 here."""
    net = cgru.Network([cgru.Pool("attention", 3), cgru.Dense(1, "identity")], "mse", seed=0, dtype=np.float32)
    sample = (RNG.standard_normal((50_000, 3)) + 100).astype(np.float32)
    net.make(sample[None])
    net.layers[0].p["W"] *= 1e-3
    net.layers[1].p["W"][...] = 1
    np.testing.assert_allclose(made(tmp_path, net).run(sample), net.predict(sample[None])[0], rtol=1e-6)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("how", "hidden"), EVERY)
def test_in_onnx(how, hidden, lengths):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
    net = a_pool(how, hidden, np.float32)
    model = cgru.interop.to_onnx(net, lengths=lengths)
    given = {"X": X.astype(np.float32)} | ({"lengths": STEPS.astype(np.int32)} if lengths else {})
    due = net.predict(X, STEPS if lengths else None)
    run = onnx.reference.ReferenceEvaluator(model).run(None, given)[0]
    np.testing.assert_allclose(run, due, atol=2e-6)
    back = cgru.interop.from_onnx(model)
    assert repr(back.layers[1]) == repr(net.layers[1])
    np.testing.assert_array_equal(back.predict(X, given.get("lengths")), due)
