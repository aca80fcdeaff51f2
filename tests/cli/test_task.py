"""The units of a regression's targets."""

import numpy as np
import pytest

import cgru
from cgru.cli.task import in_units_of

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 4, 2))
Y = np.stack([1e6 + 1e3 * X.sum(axis=(1, 2)), 1e-3 * X[:, 0, 0], np.full(30, 7.0)], axis=1)


def network(k):
    adam = cgru.Adam(0.01, clip_norm=0.1)
    return cgru.Network([cgru.GRU(5), cgru.Dense(k, activate=cgru.identity)], optimizer=adam, seed=0)


@pytest.mark.parametrize("y", [Y, Y[:, 0]])
def test_a_fit_goes_as_on_standardised_targets_and_tells_the_raw_loss(y):
    k = 1 if y.ndim == 1 else y.shape[1]
    mean, scale = y.mean(axis=0), np.where(y.std(axis=0) > 0, y.std(axis=0), 1)
    plain, net = network(k), network(k)
    plain.fit(X, (y - mean) / scale, epochs=5, batch_size=10)
    with in_units_of(y, net):
        net.fit(X, y, epochs=5, batch_size=10, validation=(X, y))
    predicted = net.predict(X)
    np.testing.assert_allclose(predicted, plain.predict(X) * scale + mean, rtol=1e-9)
    error = np.square(predicted - y.reshape(30, k)).mean()
    assert net.history[-1].validation_loss == pytest.approx(error, rel=1e-9)
    assert net.evaluate(X, y)["loss"] == pytest.approx(error, rel=1e-9)
    assert net.layers[-1].activate is cgru.identity


def test_nothing_is_left_behind_by_a_fit_that_never_began():
    net = network(1)
    with pytest.raises(ValueError, match="epochs"), in_units_of(Y[:, 0], net):
        net.fit(X, Y[:, 0], epochs=0)
    assert net.layers[-1].activate is cgru.identity
    assert not net.layers[-1].p
