"""What a fit refuses: the class of the error and the argument that it names. Nothing of the network is touched."""

import re

import numpy as np
import pytest
from network_cases import LABELS, LENGTHS, M, S, X, made, same, weights

import cgru

NAN = X.copy()
NAN[3, 2, 1] = np.nan
ONES, ZEROS, SUBJECTS, ONE_HOT = np.ones(M), np.zeros(M), np.repeat([f"s{i}" for i in range(8)], 3), np.eye(3)[LABELS]
V = 6
TOKENS, STEP_LABELS = np.arange(M * S).reshape(M, S) % V, np.arange(M * S).reshape(M, S) % 4
BOTH = (ValueError, TypeError)


def right(y, A):
    return (A.argmax(axis=1) == y).mean()


PLAIN = [  # of `made()`, with the arguments in the place of X, LABELS
    ({"X": X[0]}, ValueError, "X: .* shape"),
    ({"X": X[:0], "y": LABELS[:0]}, ValueError, "X: .* samples"),
    ({"X": X.astype(complex)}, TypeError, "X"),
    ({"X": NAN}, ValueError, "X: .* sample 3, step 2"),
    ({"y": LABELS[:-1]}, ValueError, "y"),
    ({"y": LABELS + 1}, ValueError, "y"),
    ({"y": LABELS * 0.5}, TypeError, "y"),
    ({"lengths": LENGTHS[:-1]}, ValueError, "lengths: .* shape"),
    ({"lengths": LENGTHS * 0}, ValueError, "lengths: .* from 1 to 6"),
    ({"lengths": LENGTHS * 1.0}, TypeError, "lengths"),
    ({"epochs": 0}, ValueError, "epochs"),
    ({"epochs": 1.5}, TypeError, "epochs"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"validation": 0.0}, ValueError, "validation"),
    ({"validation": 1}, ValueError, "validation"),
    ({"validation": True}, TypeError, "validation"),
    ({"validation": "0.2"}, TypeError, "validation"),
    ({"validation": (X,)}, ValueError, "validation"),
    ({"validation": (X, LABELS[:3])}, ValueError, "validation y"),
    ({"validation": (NAN, LABELS)}, ValueError, "validation X"),
    ({"validation": (X[:, :, :2], LABELS)}, ValueError, "validation X"),
    ({"validation": (X, LABELS, LENGTHS + 9)}, ValueError, "validation lengths"),
    ({"validation": (X, LABELS, None, ONES[:2])}, ValueError, "validation sample_weight"),
    ({"validation": (X, LABELS, None, ONES, 1)}, ValueError, "validation"),
    ({"X": X[:1], "y": LABELS[:1], "validation": 0.5}, ValueError, "validation: .* 2 samples"),
    ({"standardize": 1}, TypeError, "standardize"),
    ({"shuffle": None}, TypeError, "shuffle"),
    ({"shuffle": False, "bucket": True}, ValueError, "bucket"),
    ({"bucket": 1}, TypeError, "bucket"),
    ({"patience": 3}, ValueError, "patience"),
    ({"patience": 0, "validation": 0.5}, ValueError, "patience"),
    ({"callback": 3}, TypeError, "callback"),
    ({"sample_weight": ONES[:3]}, ValueError, r"sample_weight: .*got \(3,\)"),
    ({"sample_weight": 1.0}, ValueError, r"sample_weight: .*got \(\)"),
    ({"sample_weight": np.ones((M, S))}, ValueError, r"sample_weight: .*got \(24, 6\)"),
    ({"sample_weight": ZEROS - 1}, ValueError, "sample_weight: .*got -1.0"),
    ({"sample_weight": ZEROS + np.nan}, ValueError, "sample_weight"),
    ({"sample_weight": ZEROS + np.inf}, ValueError, "sample_weight: .*got inf"),
    ({"sample_weight": ["a"] * M}, TypeError, "sample_weight"),
    ({"sample_weight": ZEROS}, ValueError, "sample_weight: .*above 0"),
    ({"sample_weight": np.arange(M) == 3, "validation": 0.5}, ValueError, "sample_weight: .*set aside"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "sample_weight: .*above 0"),
    ({"class_weight": {3: 1}}, ValueError, "class_weight: .*got 3"),
    ({"class_weight": {"a": 1}}, ValueError, "class_weight: .*got 'a'"),
    ({"class_weight": {True: 1}}, ValueError, "class_weight: .*got True"),
    ({"class_weight": {1: -1}}, ValueError, "class_weight[1]"),
    ({"class_weight": {1: "a"}}, TypeError, "class_weight[1]"),
    ({"class_weight": "even"}, TypeError, "class_weight: .*got 'even'"),
    ({"class_weight": [1, 2, 3]}, TypeError, "class_weight: .*got list"),
    ({"class_weight": "balanced", "y": ONE_HOT}, ValueError, "class_weight: .* where y"),
    ({"class_weight": {1: 2}, "validation": (X, ONE_HOT)}, ValueError, "class_weight: .* where validation y"),
    ({"groups": SUBJECTS}, ValueError, "groups: .*got none"),
    ({"groups": SUBJECTS, "validation": (X, LABELS)}, ValueError, "groups: .*got a set"),
    ({"groups": SUBJECTS, "validation": [(X, LABELS)]}, ValueError, "groups: .*got a set"),
    ({"groups": SUBJECTS[:5], "validation": 0.2}, ValueError, r"groups: .*got \(5,\)"),
    ({"groups": [*SUBJECTS[1:], None], "validation": 0.2}, TypeError, "groups"),
    ({"groups": [np.nan] * M, "validation": 0.2}, ValueError, "groups"),
    ({"groups": ZEROS, "validation": 0.2}, ValueError, "validation: .* 2 groups"),
    ({"groups": LABELS, "validation": 0.2}, ValueError, "groups: .* class"),
    ({"metrics": right}, TypeError, "metrics: .*got function"),
    ({"metrics": {1: right}}, TypeError, "metrics: .*got dict"),
    ({"metrics": {"right": 1}}, TypeError, "metrics['right']"),
    ({"metrics": {"losses": right}}, ValueError, "metrics: .*losses"),
    ({"l1": -1}, ValueError, "l1"),
    ({"l2": np.inf}, ValueError, "l2"),
    ({"l2": "1"}, TypeError, "l2"),
    ({"l2": {"0.V*": True}}, TypeError, "l2['0.V*']"),
    ({"l1": {"0.W": 1.0}}, ValueError, "l1: .*0.Uz"),
    ({"l1": {0: 1.0}}, ValueError, "l1: .*0.Uz"),
    ({"activity_l1": np.nan}, ValueError, "activity_l1"),
    ({"activity_l2": None}, TypeError, "activity_l2"),
]
OF_TOKENS = [  # the same of tokens with a target at each step
    ({"y": STEP_LABELS[:, :-1]}, ValueError, "y: .*shape"),
    ({"y": LABELS}, ValueError, "y: .*shape"),
    ({"y": STEP_LABELS + 1}, ValueError, "y"),
    ({"y": STEP_LABELS * 1.0}, TypeError, "y"),
    ({"X": X}, TypeError, "X: .*float64"),
    ({"X": TOKENS[0]}, ValueError, "X"),
    ({"X": TOKENS + 1}, ValueError, "X: .*got 6 in sample"),
    ({"X": -TOKENS}, ValueError, "X: .*got -"),
    ({"lengths": LENGTHS - 1}, ValueError, "lengths"),
    ({"standardize": True}, ValueError, "standardize"),
    ({"truncate": 0}, ValueError, "truncate"),
    ({"truncate": 2.0}, TypeError, "truncate"),
    ({"validation": (X, STEP_LABELS)}, TypeError, "validation X"),
    ({"validation": (TOKENS, LABELS)}, ValueError, "validation y"),
]
STATEFUL = [  # of a stateful network of 24 samples
    ({}, ValueError, "shuffle: .*stateful"),
    ({"shuffle": False, "batch_size": 5}, ValueError, "batch_size: .*divisor of the 24 samples .*stateful"),
    ({"shuffle": False, "batch_size": 2, "truncate": 2}, ValueError, "truncate: .*stateful"),
]


def of_tokens():
    return cgru.Network([cgru.Embedding(V, 3), cgru.GRU(4, sequences=True), cgru.Dense(4, "softmax")], seed=1)


def stateful():
    return cgru.Network([cgru.GRU(4, stateful=True), cgru.Dense(3, "softmax")], seed=1)


@pytest.mark.parametrize(
    ("make", "given", "options", "error", "argument"),
    [(made, (X, LABELS), *row) for row in PLAIN]
    + [(of_tokens, (TOKENS, STEP_LABELS), *row) for row in OF_TOKENS]
    + [(stateful, (X, LABELS), *row) for row in STATEFUL],
)
def test_it_touches_nothing(make, given, options, error, argument):
    arguments = dict(zip(("X", "y"), given, strict=True)) | options
    fresh, trained = make(), make()
    name, _, more = argument.partition(": ")
    with pytest.raises(error, match=f"^{re.escape(name)}: expected{more}"):
        fresh.fit(**arguments)
    assert not any(layer.p for layer in fresh.layers)
    assert fresh.history == []
    trained.fit(*given, epochs=1, shuffle=False, batch_size=M)
    before = weights(trained)
    with pytest.raises(error):
        trained.fit(**arguments)
    assert same(weights(trained), before)
    assert len(trained.history) == 1


@pytest.mark.parametrize("options", [{"metrics": right}, {"metrics": {"right": 1}}, {"metrics": {"losses": right}}])
def test_so_does_evaluate(options):
    net = made()
    with pytest.raises(BOTH, match=re.escape("metrics")):
        net.evaluate(X, LABELS, **options)
    assert not net.head.p
