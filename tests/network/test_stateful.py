"""Stateful layers in Network.fit: batches that continue each other are one long sequence, cut into pieces."""

import numpy as np
import pytest
from helpers import assert_all_close, assert_all_same

import cgru
from cgru.network.training import fit

RNG = np.random.default_rng(0)


def network(**options):
    layers = [
        cgru.GRU(7, sequences=True, **options),
        cgru.GRU(5, sequences=True, **options),
        cgru.Dense(2, cgru.identity),
    ]
    return cgru.Network(layers, optimizer=cgru.SGD(0.05), seed=3)


def test_validation_and_evaluation_start_from_nothing():
    X, y = RNG.standard_normal((4, 5, 4)), RNG.standard_normal((4, 5, 2))
    net, plain = network(stateful=True), network()
    validation = (X[:3], y[:3])
    got = net.fit(X, y, epochs=1, batch_size=4, shuffle=False, validation=validation)
    due = plain.fit(X, y, epochs=1, batch_size=4, shuffle=False, validation=validation)
    np.testing.assert_allclose(got[0].validation_loss, due[0].validation_loss, rtol=1e-12)
    np.testing.assert_allclose(net.evaluate(X, y)["loss"], plain.evaluate(X, y)["loss"], rtol=1e-12)


@pytest.mark.parametrize("goes_on", [(True, False), (False, True)])
def test_a_layer_beside_stateful_ones_begins_anew(monkeypatch, tmp_path, goes_on):
    """Whatever happens between epochs: validation, callbacks that change the net, checkpoints, a kill."""
    X, y = RNG.standard_normal((12, 5, 4)), RNG.standard_normal((12, 5, 2))
    options = {"epochs": 4, "batch_size": 4, "shuffle": False, "validation": (X[:3], y[:3])}

    def fitted(die=0, **more):
        net = network()
        for layer, on in zip(net.layers, goes_on, strict=False):
            layer.stateful = on

        def change(epoch):
            if epoch.epoch == die:
                raise KeyboardInterrupt
            if epoch.epoch == 2:
                net.layers[0].p["Vz"] *= 0.5

        history = net.fit(X, y, callback=change, **options, **more)
        assert [layer.state for layer in net.layers[:2]] == [None, None]
        return history, net

    history, net = fitted()
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "run.npz", 0, True)}
    with pytest.raises(KeyboardInterrupt):
        fitted(4, **kept)
    resumed, again = fitted(**kept)
    assert resumed.loss == history.loss
    assert_all_same(again.parameters(), net.parameters())
    monkeypatch.setattr(fit, "compiles", lambda net: False)
    due, loop = fitted()
    np.testing.assert_allclose(history.loss, due.loss, rtol=1e-10)
    np.testing.assert_allclose(history.validation_loss, due.validation_loss, rtol=1e-10)
    assert_all_close(net.parameters(), loop.parameters(), rtol=1e-8, atol=1e-12)


def test_evaluate_leaves_no_state_and_its_batches_do_not_continue():
    net, plain = network(stateful=True), network()
    X, y = RNG.standard_normal((2048, 2, 4)), RNG.standard_normal((2048, 2, 2))
    got, due = net.evaluate(X, y), plain.evaluate(X, y)
    np.testing.assert_allclose(got["loss"], due["loss"], rtol=1e-12)
    assert [layer.state for layer in net.layers[:2]] == [None, None]
    net.predict(X[:3])
    net.evaluate(X[:5], y[:5])
    assert [layer.state for layer in net.layers[:2]] == [None, None]
    np.testing.assert_allclose(net.predict(X), plain.predict(X), rtol=1e-12)  # all of them together
    assert len(net.layers[0].state) == 2048


def test_predict_goes_on_until_it_is_reset():
    X, y = RNG.standard_normal((2, 6, 4)), RNG.standard_normal((2, 6, 2))
    net, plain = network(stateful=True), network()
    net.fit(X, y, epochs=1, batch_size=2, shuffle=False)
    plain.fit(X, y, epochs=1, batch_size=2, shuffle=False)
    for _ in range(2):
        net.reset_states()
        pieces = [net.predict(X[:, :2]), net.predict(X[:, 2:])]
        np.testing.assert_allclose(np.concatenate(pieces, axis=1), plain.predict(X), rtol=1e-10, atol=1e-13)
