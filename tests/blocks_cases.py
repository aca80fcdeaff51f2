"""What the tests of samples in files and of batches share."""

import numpy as np
from network_cases import same, weights

import cgru

RNG = np.random.default_rng(0)
M, S, E = 150, 7, 3
X = (RNG.standard_normal((M, S, E)) * 5).astype(np.float32)
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES = RNG.integers(0, 3, M).astype(np.uint8)
STEPS = RNG.integers(0, 3, (M, S))
SOME = RNG.random(M)
GOOD = (X, CLASSES)
BEFORE = "expected (X, y), (X, y, lengths) or (X, y, lengths, sample_weight), got"


def network(per_step=False, head=None, dtype=np.float32, **options):
    head = cgru.Dense(3, "softmax") if head is None else head
    layers = [cgru.GRU(5, sequences=per_step, dropout=0.2), cgru.Dropout(0.1), head]
    return cgru.Network(layers, seed=3, dtype=dtype, **options)


def came_of(net, X, y=None, lengths=None, weight=None, **options):
    """All that a fit and its network say."""
    given = {} if y is None else {"lengths": lengths, "sample_weight": weight}
    history = net.fit(X, y, **{"epochs": 3} | given | options)
    told = [(e.loss, e.accuracy, e.validation_loss, e.validation_accuracy, e.learning_rate, e.metrics) for e in history]
    scores = net.evaluate(X, y, lengths, sample_weight=weight)
    return weights(net), told, scores, None if net.mean is None else (net.mean.tolist(), net.scale.tolist())


def assert_same(ours, due):
    assert ours[1:] == due[1:]
    assert same(ours[0], due[0])
