"""Network: what it makes, that it predicts and evaluates, and what it refuses."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, M, S, X, made, padded, same, weights

import cgru

# --- making and using ---


def test_predicts_unfitted_and_repeats_by_its_seed():
    first, second, other = made(stack=2), made(stack=2), made(stack=2, seed=2)
    A = first.predict(X, LENGTHS)
    assert A.shape == (M, 3)
    np.testing.assert_allclose(A.sum(axis=1), 1)
    np.testing.assert_array_equal(second.predict(X, LENGTHS), A)
    assert not np.array_equal(other.predict(X, LENGTHS), A)
    assert not np.array_equal(first.layers[0].p["Vz"], first.layers[1].p["Vz"])  # a generator for each layer
    assert not np.array_equal(made(seed=None).predict(X), made(seed=None).predict(X))


def test_layers_keep_the_generators_and_the_parameters_they_were_given():
    nets = [cgru.Network([cgru.GRU(4, rng=7), cgru.Dense(3, cgru.softmax, rng=8)], seed=seed) for seed in (1, 2)]
    for net in nets:
        net.predict(X)
    assert same(weights(nets[0]), weights(nets[1]))

    layer = cgru.GRU(4, rng=7)
    layer.compute_shapes(X)
    layer.initialize_parameters()
    before = {name: array.copy() for name, array in layer.p.items()}
    net = cgru.Network([layer, cgru.Dense(3, cgru.softmax)], seed=0)
    net.predict(X)
    assert same(layer.p, before)
    with refuses(ValueError, "X"):
        net.predict(X[:, :, :2])


def test_predict_is_the_chain_of_its_layers():
    net = made(stack=2)
    A = net.predict(X, LENGTHS)
    first, second, head = net.layers
    np.testing.assert_array_equal(head.predict(second.predict(first.predict(X, LENGTHS), LENGTHS)), A)
    np.testing.assert_allclose(net.predict(X, LENGTHS, batch_size=5), A, rtol=1e-12)
    np.testing.assert_array_equal(net.predict(padded(X, LENGTHS, np.nan), LENGTHS), A)
    assert not first.fc  # no caches


def test_predict_passes_nan_through():
    net = made()
    broken = X.copy()
    broken[2, 1, 0] = np.nan
    A = net.predict(broken)
    assert np.isnan(A[2]).all()
    np.testing.assert_array_equal(np.delete(A, 2, axis=0), np.delete(net.predict(X), 2, axis=0))
    with pytest.raises(ValueError, match="sample 2"):
        net.predict_classes(broken)


def test_classes_and_names():
    net = made()
    np.testing.assert_array_equal(net.predict_classes(X, LENGTHS), net.predict(X, LENGTHS).argmax(axis=1))
    named = made(class_names=["a", "b", "c"])
    np.testing.assert_array_equal(named.predict_classes(X), np.array(["a", "b", "c"])[net.predict_classes(X)])
    binary = made(cgru.Dense(1), class_names=("no", "yes"))
    above = binary.predict(X)[:, 0] > 0.5
    np.testing.assert_array_equal(binary.predict_classes(X), np.where(above, "yes", "no"))
    several = made(cgru.Dense(4))
    np.testing.assert_array_equal(several.predict_classes(X), several.predict(X) > 0.5)
    with pytest.raises(ValueError, match="cross-entropy"):
        made(cgru.Dense(2, cgru.identity)).predict_classes(X)


def test_all_layers_have_one_dtype():
    single, double = {"dtype": np.float32}, {"dtype": np.float64}
    for layers, dtype, due in (
        ([cgru.GRU(3), cgru.Dense(2)], None, np.float64),
        ([cgru.GRU(3), cgru.Dense(2)], np.float32, np.float32),
        ([cgru.GRU(3), cgru.Dropout(), cgru.Dense(2, **single)], None, np.float32),
        ([cgru.GRU(3, **single), cgru.Dense(2)], None, np.float32),
        ([cgru.GRU(3, **double), cgru.Dense(2)], None, np.float64),
        ([cgru.Bidirectional(cgru.GRU(3, **single)), cgru.Dense(2)], None, np.float32),
        ([cgru.Bidirectional(cgru.GRU(3)), cgru.Dense(2)], "float32", np.float32),
    ):
        net = cgru.Network(layers, dtype=dtype)
        assert net.dtype == due
        assert {layer.dtype for layer in net.layers} == {np.dtype(due)}
        assert net.predict(X).dtype == due
        assert {array.dtype for array in net.parameters().values()} == {np.dtype(due)}
        cgru.Network(net.layers)
    made_before = cgru.GRU(3)
    made_before.make(X)
    for layers, dtype, words in (
        ([cgru.GRU(3, **single), cgru.Dense(2, **double)], None, "float32 in layer 0 and float64 in layer 1"),
        ([cgru.GRU(3), cgru.Dense(2, **double)], np.float32, "float32 in dtype and float64 in layer 1"),
        ([made_before, cgru.Dense(2)], np.float32, "float32 in dtype and float64 in layer 0"),
        ([made_before, cgru.Dense(2, **single)], None, "float64 in layer 0 and float32 in layer 1"),
    ):
        with pytest.raises(ValueError, match=f"layers: expected one dtype, got {words}"):
            cgru.Network(layers, dtype=dtype)
        assert layers[-1].dtype == (
            np.float32 if "dtype" in layers[-1].given and words.endswith("float32 in layer 1") else np.float64
        )
    with pytest.raises(ValueError, match="dtype: "):
        cgru.Network([cgru.GRU(3)], dtype=np.float16)


def test_settings_by_name():
    net = cgru.Network([cgru.GRU(3, "relu"), cgru.Dense(2, "identity")], "mse", "sgd", seed=0)
    assert net.loss == "mean_squared_error"
    assert net.optimizer == cgru.SGD()
    assert net.layers[0].activate is cgru.relu
    assert net.layers[1].activate is cgru.identity
    assert cgru.Network([cgru.GRU(3), cgru.Dense(2)], optimizer="adam").optimizer == cgru.Adam()


def test_predict_keeps_nothing_beside_the_outputs():
    net = cgru.Network([cgru.GRU(8, sequences=True)], seed=0)
    tall = np.zeros((50_000, 2, 1))
    net.predict(tall[:1])
    tracemalloc.start()
    try:
        A = net.predict(tall)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * A.nbytes


def test_tokens_without_an_embedding():
    for call in (lambda X: made().predict(X), lambda X: made().fit(X, LABELS)):
        with pytest.raises(ValueError, match="X: "):
            call(X[:, :, 0])


def test_it_says_what_it_is():
    assert repr(made()).startswith("Network([GRU(unit_cells=5, ")
    assert "loss='cross_entropy', optimizer=Adam(learning_rate=0.001," in repr(made())


# --- what is refused ---


def test_refused_chains():
    gru, dense = cgru.GRU, cgru.Dense
    middle = gru(4, sequences=True)
    trained = gru(4)
    trained.compute_shapes(np.zeros((1, 1, 7)))
    trained.initialize_parameters()
    for layers in (
        [], [cgru.Dropout()], [gru(4), dense(3), gru(4), dense(2)], [gru(4), cgru.Pool(), dense(2)],
        [cgru.Pool(), gru(4), dense(2)], [gru(4, sequences=True), cgru.Embedding(3, 4), dense(2)],
        [gru(4), cgru.Embedding(3, 4), dense(2)], [cgru.Embedding(3, 5), trained, dense(2)],
        [gru(5, sequences=True), cgru.Dropout(), trained, dense(2)], [gru(4), gru(4), dense(2)],
        [middle, middle, gru(4), dense(2)], [gru(4), "Dense"], ["GRU", dense(2)],
        [gru(5, sequences=True), trained, dense(2)],
    ):  # fmt: skip
        with refuses(ValueError, "layers"):
            cgru.Network(layers)
    with refuses(TypeError, "layers"):
        cgru.Network(gru(4))


def test_refused_settings():
    values = {ValueError: {"loss": "hinge", "optimizer": "adams", "seed": -1}, TypeError: {"optimizer": cgru.Adam}}
    for error, settings in values.items():
        for name, value in settings.items():
            with refuses(error, name):
                made(**{"seed": 1} | {name: value})
    for seed in (1.0, True):
        with refuses(TypeError, "seed"):
            made(seed=seed)


NAN = X.copy()
NAN[3, 2, 1] = np.nan


def test_refused_evaluations_and_predictions():
    net = made()
    with refuses(ValueError, "X"):
        net.evaluate(NAN, LABELS)
    with refuses(ValueError, "y"):
        net.evaluate(X, LABELS + 1)
    with refuses(ValueError, "batch_size"):
        net.predict(X, batch_size=0)
    with refuses(ValueError, "lengths"):
        net.predict(X, lengths=[1])
    assert not net.layers[0].p
    net.evaluate(padded(NAN, np.where(np.arange(M) == 3, 2, S), 7), LABELS, np.where(np.arange(M) == 3, 2, S))


def test_the_state_of_the_optimizer_is_that_of_the_fit_under_way():
    X, y = np.random.default_rng(0).standard_normal((8, 4, 3)), np.arange(8) % 2
    net, seen = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], optimizer="adam", seed=0), []
    net.fit(X, y, epochs=3, callback=lambda epoch: seen.append(copy.deepcopy(net.optimizer_state)))
    due = net.optimizer_state["Adam"]
    assert seen[-1]["Adam"].keys() == due.keys()
    for key, (steps, *arrays) in due.items():
        assert [state["Adam"][key][0] for state in seen] == [1, 2, 3]
        assert steps == 3
        np.testing.assert_equal(seen[-1]["Adam"][key][1:], arrays)


def test_a_pickled_network_can_be_fitted():
    X, y = np.random.default_rng(0).standard_normal((8, 4, 3)), np.arange(8) % 2
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    twin = pickle.loads(pickle.dumps(net))
    assert twin.optimizer_state == {}
    for each in (net, twin):
        each.fit(X, y, epochs=2)
    assert twin.history.loss == net.history.loss
