"""The updates of a fit in Python, where no compiled program can make them."""

import numpy as np
import pytest

import cgru
from cgru.network.training import fit
from cgru.network.training.loop import Loop

X = np.random.default_rng(0).standard_normal((9, 4, 2))


@pytest.fixture
def made(monkeypatch):
    """The updaters of the fits, all of them in Python."""
    made, engine = [], fit.Fit._engine
    monkeypatch.setattr(fit, "compiles", lambda net: False)
    monkeypatch.setattr(fit.Fit, "_engine", lambda run: made.append(engine(run)) or made[-1])
    return made


def test_the_accuracy_counts_what_is_right(made):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(2, cgru.softmax)], seed=0, optimizer=cgru.SGD(1e-12))
    history = net.fit(X, np.arange(9) % 2, epochs=1, batch_size=4)
    assert history.accuracy == [net.evaluate(X, np.arange(9) % 2)["accuracy"]]
    assert {type(each) for each in made} == {Loop}


def test_a_callback_leaves_the_loop_as_it_is(made):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(2, cgru.softmax)], seed=0)
    net.fit(X, np.arange(9) % 2, epochs=3, callback=lambda epoch: None)
    assert len(made) == 1
