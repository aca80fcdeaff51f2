"""Networks without a head, states before and after a prediction."""

import numpy as np
import pytest
from helpers import assert_close, random_batch, random_layer

import cgru

M, S, E = 5, 6, 3


def stack(seed=0):
    """A GRU below a pair of them, whose parameters are random."""
    low = random_layer(E, 4, seed, sequences=True)
    high = cgru.Bidirectional(random_layer(4, 4, seed + 1, sequences=True, reset_after=True), "mul")
    return cgru.Network([low, cgru.Dropout(0.5), high])


@pytest.mark.parametrize("ragged", [False, True])
def test_states_before_and_after(ragged):
    net = stack()
    X, lengths, _ = random_batch(M, S, E, 4, ragged)
    h0 = np.random.default_rng(3).standard_normal((3, M, 4))
    A, states = net.predict(X, lengths, h0, batch_size=2, return_state=True)
    low, _, high = net.layers
    below = low.forward(X, lengths, h0[0])
    assert_close(A, high.forward(below, lengths, h0[1:]), 1e-12)
    assert_close(states, np.stack([low.state, *high.state]), 1e-12)
    np.testing.assert_array_equal(net.predict(X, lengths, list(h0)), net.predict(X, lengths, h0))
    assert_close(net.predict(X, lengths), net.predict(X, lengths, np.zeros((3, M, 4))), 1e-12)
    assert np.nanmax(np.abs(net.predict(X, lengths) - A)) > 0.01


def test_states_of_layers_that_differ():
    net = cgru.Network([cgru.GRU(4, sequences=True), cgru.GRU(2), cgru.Dense(1)], seed=0)
    X, _, _ = random_batch(M, S, E, 4, False)
    h0 = [np.ones((M, 4)), np.ones((M, 2))]
    A, states = net.predict(X, None, h0, return_state=True)
    assert A.shape == (M, 1)
    assert [state.shape for state in states] == [(M, 4), (M, 2)]
    assert_close(net.layers[2].predict(states[1]), A, 1e-12)


@pytest.mark.parametrize("sequences", [False, True])
def test_the_state_of_an_only_layer_needs_no_axis(sequences):
    net = cgru.Network([random_layer(E, 4, sequences=sequences)])
    X, _, h0 = random_batch(M, S, E, 4, False)
    due = net.layers[0].predict(X, None, h0)
    for start in (h0, h0[None], [h0]):
        A, states = net.predict(X, None, start, return_state=True)
        np.testing.assert_array_equal(A, due)
        np.testing.assert_array_equal(states, (due[:, -1] if sequences else due)[None])


@pytest.mark.parametrize(
    ("h0", "words"),
    [
        (np.zeros((2, M, 4)), "h0: "),
        (np.zeros((M, 4)), r"h0: .* 3 layers and directions, an array \(3, m, u\) or a list, got shape \(5, 4\)"),
        (np.zeros((3, M, 4, 1)), r"h0: .* or a list, got shape \(3, 5, 4, 1\)"),
        (np.zeros((3, M, 5)), "h0"),
        (np.zeros((3, 1, 4)), "h0"),
        (1.0, "h0: .*got float"),
    ],
)
def test_states_that_do_not_fit(h0, words):
    with pytest.raises(ValueError, match=words):
        stack().predict(np.zeros((M, S, E)), None, h0)


def test_saved(tmp_path):
    net = stack()
    X, lengths, _ = random_batch(M, S, E, 4, True)
    net.save(tmp_path / "net.npz")
    back = cgru.load(tmp_path / "net.npz")
    assert back.loss is None
    np.testing.assert_array_equal(back.predict(X, lengths), net.predict(X, lengths))


def test_not_trained():
    net = stack()
    X, y = np.zeros((M, S, E)), np.zeros(M)
    for call in (net.fit, net.evaluate):
        with pytest.raises(ValueError, match="layers: "):
            call(X, y)
    with pytest.raises(ValueError, match="predict_classes: "):
        net.predict_classes(X)
    for given in ({"loss": "mean_squared_error"}, {"class_names": ["a", "b"]}):
        with pytest.raises(ValueError, match="without a Dense at the end"):
            cgru.Network(net.layers, **given)
