"""What a fit refuses: the class of the error and the argument that it names. Nothing of the network is touched."""

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, M, S, X, made, same, weights

import cgru

NAN = X.copy()
NAN[3, 2, 1] = np.nan
ONES, ZEROS, SUBJECTS, ONE_HOT = np.ones(M), np.zeros(M), np.repeat([f"s{i}" for i in range(8)], 3), np.eye(3)[LABELS]
V = 6
TOKENS, STEP_LABELS = np.arange(M * S).reshape(M, S) % V, np.arange(M * S).reshape(M, S) % 4


def right(y, A):
    return (A.argmax(axis=1) == y).mean()


def rows(error, name, *values, **others):
    """A row for each value of the argument of that name, others beside it."""
    return [({**others, name: value}, error, name) for value in values]


PLAIN = [  # of `made()`, with the arguments in the place of X, LABELS
    *rows(ValueError, "X", X[0], NAN), ({"X": X[:0], "y": LABELS[:0]}, ValueError, "X"),
    *rows(TypeError, "X", X.astype(complex)),
    *rows(ValueError, "y", LABELS[:-1], LABELS + 1), *rows(TypeError, "y", LABELS * 0.5),
    *rows(ValueError, "lengths", LENGTHS[:-1], LENGTHS * 0), *rows(TypeError, "lengths", LENGTHS * 1.0),
    *rows(ValueError, "epochs", 0), *rows(TypeError, "epochs", 1.5), *rows(ValueError, "batch_size", 0),
    *rows(ValueError, "validation", 0.0, 1, (X,), (X, LABELS, None, ONES, 1)),
    *rows(TypeError, "validation", True, "0.2"),
    ({"X": X[:1], "y": LABELS[:1], "validation": 0.5}, ValueError, "validation"),
    *((row[0], ValueError, f"validation {name}") for name, *values in (
        ("y", (X, LABELS[:3])), ("X", (NAN, LABELS), (X[:, :, :2], LABELS)), ("lengths", (X, LABELS, LENGTHS + 9)),
        ("sample_weight", (X, LABELS, None, ONES[:2]))) for row in rows(ValueError, "validation", *values)),
    *rows(TypeError, "standardize", 1), *rows(TypeError, "shuffle", None), *rows(TypeError, "bucket", 1),
    *rows(ValueError, "bucket", True, shuffle=False),
    *rows(ValueError, "patience", 3), *rows(ValueError, "patience", 0, validation=0.5), *rows(TypeError, "callback", 3),
    *rows(ValueError, "sample_weight", ONES[:3], 1.0, np.ones((M, S)), -ONES, ONES * np.nan, ONES * np.inf, ZEROS),
    *rows(TypeError, "sample_weight", ["a"] * M), *rows(ValueError, "sample_weight", np.arange(M) == 3, validation=0.5),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "sample_weight"),
    *rows(ValueError, "class_weight", {3: 1}, {"a": 1}, {True: 1}), *rows(TypeError, "class_weight", "even", [1, 2, 3]),
    *rows(ValueError, "class_weight", "balanced", y=ONE_HOT),
    *rows(ValueError, "class_weight", {1: 2}, validation=(X, ONE_HOT)),
    ({"class_weight": {1: -1}}, ValueError, "class_weight[1]"),
    ({"class_weight": {1: "a"}}, TypeError, "class_weight[1]"),
    *rows(ValueError, "groups", SUBJECTS),
    *(rows(ValueError, "groups", SUBJECTS, validation=given)[0] for given in ((X, LABELS), [(X, LABELS)])),
    *rows(ValueError, "groups", SUBJECTS[:5], [np.nan] * M, LABELS, validation=0.2),
    *rows(TypeError, "groups", [*SUBJECTS[1:], None], validation=0.2),
    ({"groups": ZEROS, "validation": 0.2}, ValueError, "validation"),
    *rows(TypeError, "metrics", right, {1: right}), *rows(ValueError, "metrics", {"losses": right}),
    ({"metrics": {"right": 1}}, TypeError, "metrics['right']"),
    *(({"penalties": cgru.Penalties(l1)}, ValueError, "l1") for l1 in ({"0.W": 1.0}, {0: 1.0})),
    *rows(TypeError, "penalties", 1e-3, {"l1": 1e-3}, None), *rows(TypeError, "epoch", 3),
]  # fmt: skip
OF_TOKENS = [  # the same of tokens with a target at each step
    *rows(ValueError, "y", STEP_LABELS[:, :-1], LABELS, STEP_LABELS + 1), *rows(TypeError, "y", STEP_LABELS * 1.0),
    *rows(ValueError, "X", TOKENS[0], TOKENS + 1, -TOKENS), *rows(TypeError, "X", X),
    *rows(ValueError, "lengths", LENGTHS - 1), *rows(ValueError, "standardize", True),
    *rows(ValueError, "truncate", 0), *rows(TypeError, "truncate", 2.0),
    ({"validation": (X, STEP_LABELS)}, TypeError, "validation X"),
    ({"validation": (TOKENS, LABELS)}, ValueError, "validation y"),
]  # fmt: skip
STATEFUL = [  # of a stateful network of 24 samples
    ({}, ValueError, "shuffle"),
    ({"shuffle": False, "batch_size": 5}, ValueError, "batch_size"),
    ({"shuffle": False, "batch_size": 2, "truncate": 2}, ValueError, "truncate"),
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
    with refuses(error, argument):
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
    with pytest.raises((ValueError, TypeError), match="metrics"):
        net.evaluate(X, LABELS, **options)
    assert not net.head.p
