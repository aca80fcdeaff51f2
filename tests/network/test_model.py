"""A model is all that fits, scores and checkpoints need: no network stands behind it."""

import numpy as np
from helpers import assert_all_same

import cgru
from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.network.options import Settings
from cgru.network.training.checkpoint import CheckpointFile
from cgru.network.training.fit import Fit, scores

RNG = np.random.default_rng(7)
X, CLASSES = RNG.standard_normal((12, 5, 3)), RNG.integers(0, 2, 12)


def network():
    net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], optimizer="sgd", seed=1)
    net.make(X)
    return net


def model():
    made, net = Model(network().layers), network()
    made.loss, made.optimizer, made.dtype = net.loss, net.optimizer, net.dtype
    return made


def test_a_model_is_trained_and_scored_as_its_network_is(tmp_path, engine):
    net, ours, data = network(), model(), Data(X, CLASSES, None, CLASSES)
    net.fit(X, CLASSES, epochs=3, shuffle=False, standardize=True, penalties=cgru.Penalties(l2=1e-3))
    settings = Settings(epochs=3, shuffle=False, standardize=True, penalties=cgru.Penalties(l2=1e-3))
    file = CheckpointFile(cgru.Checkpoint(tmp_path / "fit.npz", 0), np.random.SeedSequence(0))
    run = Fit(ours, data, None, settings, np.random.default_rng(0))
    file.check_fit(ours, data, None, settings.for_resume())
    history = run(True, file)
    assert history.loss == net.history.loss == ours.history.loss
    assert_all_same(ours.parameters(), net.parameters())
    np.testing.assert_array_equal(ours.mean, net.mean)
    np.testing.assert_equal(ours.carried, net.optimizer_state)
    assert scores(ours, data)[:2] == tuple(net.evaluate(X, CLASSES).values())
    again = CheckpointFile(cgru.Checkpoint(tmp_path / "fit.npz", resume=True), np.random.SeedSequence(0))
    found = again.take_state(ours.parameters())
    assert found.all_history.loss == history.loss


def test_outputs_do_not_depend_on_how_many_samples_run_at_once():
    ours, lengths = model(), np.array([5, 1, 3] * 4)
    due, states = ours.outputs(X, lengths, 12, [None])
    for size in (1, 5):
        A, (state,) = ours.outputs(X, lengths, size, [None])
        np.testing.assert_allclose(A, due, rtol=1e-12)
        np.testing.assert_allclose(state, states[0], rtol=1e-12)
    assert ours.outputs(X, lengths, 12)[1] == []


def test_tokens_are_not_standardized():
    tokens = RNG.integers(0, 9, (4, 5))
    assert cgru.Network([cgru.Embedding(9, 2), cgru.GRU(4)]).standardized(tokens) is tokens


def test_its_elements_are_those_of_the_first_layer_with_units():
    net = cgru.Network([cgru.Dropout(0.1), cgru.GRU(4), cgru.Dense(2, "softmax")], seed=1)
    assert net.features is None
    net.make(X)
    assert net.features == 3
