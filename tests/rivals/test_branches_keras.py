"""`from_keras` with branches, several inputs, masks and stacked cells: Keras's numbers, or refused by name."""

import numpy as np
import pytest
from export_cases import made, needs_cc
from helpers import keras_on_torch

import cgru
from cgru import interop

keras, _ = keras_on_torch()

from keras import layers  # noqa: E402

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.", r"ignore:::torch\.")
M, S = 3, 7


def converted(model, same, lengths=None):
    """The network of a model on random inputs, X, and Keras's outputs, which its own are equal to."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(-0.4, 0.4, weight.shape) + ("variance" in weight.path))
    real = np.arange(S) < (np.full(M, S) if lengths is None else lengths)[:, None]
    given = []
    for each in model.inputs:
        steps = () if len(each.shape) == 2 and "int" not in each.dtype else (S,)
        n = () if "int" in each.dtype else each.shape[-1:]
        A = rng.integers(1, 9, (M, S)) if n == () else rng.standard_normal((M, *steps, *n)).astype(np.float32)
        given.append(A * real.reshape(M, S, *[1] * len(n)).astype(A.dtype) if steps else A)
    due = model(given if given[1:] else given[0])
    due = [keras.ops.convert_to_numpy(A) for A in (due if isinstance(due, list) else [due])]
    spread = [A if A.ndim == 3 else np.repeat(A[:, None], S, axis=1) for A in given]
    X = np.concatenate(spread, axis=-1) if given[1:] else given[0]
    net, due = interop.from_keras(model), np.concatenate(due, axis=-1)
    same(net.predict(X, lengths), due * real[..., None] if due.ndim == 3 else due, 1e-5)
    return net, X, due


def gru(u=4, **options):
    return layers.GRU(u, return_sequences=True, **options)


def shared(x):
    once = gru()
    return layers.Add()([once(x), once(once(x))])


def nested(x):
    a, b = keras.Input((None, 4)), keras.Input((None, 4))
    return keras.Model([a, b], [layers.Add()([gru()(a), b]), a])([x, keras.Sequential([layers.Dense(4), gru()])(x)])[0]


JOINED = {
    "Add": lambda x: layers.Add()([x, gru()(x), layers.Dense(4, "relu")(x)]),
    "+": lambda x: layers.ReLU()(gru()(x) + x),
    "Average": lambda x: layers.Average()([x, gru()(x), x]),
    "Subtract": lambda x: layers.Subtract()([gru()(x), x]),
    "Multiply": lambda x: layers.Multiply()([gru()(x), layers.Dense(4, "sigmoid")(x)]),
    "Concatenate": lambda x: layers.Concatenate()([x, layers.Bidirectional(gru())(x)]),
    "concatenate": lambda x: keras.ops.concatenate([gru()(x), x], axis=-1),
    "last states": lambda x: layers.Concatenate(axis=1)([layers.GRU(3)(x), layers.GRU(3, go_backwards=True)(x)]),
    "mean and max": lambda x: layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(y := gru()(x)), layers.GlobalMaxPooling1D()(y)]
    ),
    "models": nested,
    "stack of cells": layers.RNN([layers.GRUCell(3), layers.GRUCell(2, reset_after=False)], return_sequences=True),
    "stack, back": layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.GRUCell(2)]), go_backwards=True),
    "both ways": layers.Bidirectional(layers.RNN(layers.GRUCell(3), return_sequences=True)),
    "all steps": lambda x: layers.Concatenate()([layers.Flatten()(gru()(x)), layers.GRU(3)(x)]),
    "text": lambda x: layers.Flatten()(layers.GRU(3)(layers.SpatialDropout1D(0.2)(x))),
}


@pytest.mark.parametrize("kind", JOINED)
def test_the_numbers_of_keras(kind, same, tmp_path):
    x = keras.Input((S if kind == "all steps" else None, 4))
    model = keras.Model(x, layers.Dense(2)(JOINED[kind](layers.Dropout(0.1)(x))))
    net, X, due = converted(model, same)
    if kind not in ("Average", "Subtract", "stack, back", "all steps"):  # to_keras refuses
        same(keras.ops.convert_to_numpy(interop.to_keras(net)(X)), due, 1e-5)
    if kind in ("Average", "models"):
        model.save(tmp_path / "m.keras")
        same(interop.from_keras(keras.models.load_model(tmp_path / "m.keras")).predict(X), due, 1e-5)
        net.save(tmp_path / "net.npz")
        np.testing.assert_array_equal(cgru.load(tmp_path / "net.npz").predict(X), net.predict(X))


def test_relernn(same):
    """A bidirectional GRU on positions, and a dense branch on what a sample has once, as ReLERNN joins them."""
    x, static = keras.Input((None, 9)), keras.Input((5,))
    A = layers.Dropout(0.3)(layers.Dense(64)(layers.Bidirectional(layers.GRU(84))(x)))
    A = layers.Concatenate()([A, layers.Dropout(0.1)(layers.Dense(64)(static))])
    net, X, _ = converted(keras.Model([x, static], layers.Dense(1)(layers.Dropout(0.3)(layers.Dense(64)(A)))), same)
    kinds = [type(branch[0]).__name__ for branch in net.layers[0].branches]
    assert kinds == ["Select", "Select"]
    net.fit(X, X[:, 0, :1], epochs=1)


@needs_cc
def test_rnnoise(same, tmp_path):
    """Its architecture of 2018, with two outputs, and ReLU in the second GRU."""
    x = keras.Input((None, 42))
    dense = layers.Dense(24, "tanh")(x)
    voice = gru(24)(dense)
    noise = gru(48, activation="relu")(layers.concatenate([dense, voice, x]))
    gains = layers.Dense(22, "sigmoid")(gru(96)(layers.concatenate([voice, noise, x])))
    net, X, due = converted(keras.Model(x, [gains, layers.Dense(1, "sigmoid")(voice)]), same)
    assert due.shape == (M, S, 23)
    stream = cgru.Stream(net, batch=M)
    same(np.stack([stream.step(frame).copy() for frame in X.swapaxes(0, 1)], axis=1), due, 1e-5)
    same(made(tmp_path, net).run(X[0]), due[0], 1e-5)


def test_states_of_a_stack_come_along(same):
    layer = layers.RNN([layers.GRUCell(3), layers.GRUCell(2)], return_sequences=True, stateful=True)
    X = np.random.default_rng(0).standard_normal((M, S, 4)).astype(np.float32)
    layer(X)
    net = interop.from_keras(layer)
    same(net.predict(X), keras.ops.convert_to_numpy(layer(X)), 1e-5)


MASKED = {
    "Embedding": lambda x: layers.GRU(3)(gru()(layers.Dropout(0.1)(layers.Embedding(9, 4, mask_zero=True)(x)))),
    "Masking": lambda x: layers.Bidirectional(layers.GRU(3))(gru()(layers.Masking()(x))),
    "RNN": lambda x: layers.RNN([layers.GRUCell(3), layers.GRUCell(2)], go_backwards=True)(layers.Masking()(x)),
    "residual": lambda x: layers.GlobalAveragePooling1D()(layers.Add()([y := layers.Masking()(x), gru()(y)])),
    "joined": lambda x: gru()(layers.Concatenate()([y := layers.Masking()(x), gru()(layers.Dense(3)(y))])),
}


@pytest.mark.parametrize("kind", MASKED)
def test_masks_as_lengths(kind, same, tmp_path):
    """Also of a model that was saved, in whose graph a mask is a number of operations."""
    x = keras.Input((S,), dtype="int32") if kind == "Embedding" else keras.Input((S, 4))
    model = keras.Model(x, layers.Dense(2)(MASKED[kind](x)))
    model.save(tmp_path / "m.keras")
    for source in (model, keras.models.load_model(tmp_path / "m.keras")):
        converted(source, same, np.array([S, 2, 1]))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda x: layers.GlobalMaxPooling1D()(layers.Masking()(x)), "GlobalMaxPooling1D .*mask"),
        (lambda x: layers.Conv1D(3, 2)(layers.Masking()(x)), "Conv1D .*mask"),
        (lambda x: gru()(gru(go_backwards=True)(layers.Masking()(x))), "GRU .*mask"),
        (lambda x: gru()(layers.Concatenate()([layers.Masking()(x), gru()(x)])), "GRU .*mask"),
        (lambda x: gru()((y := layers.Masking()(x)) + y), "GRU .*mask"),
        (lambda x: gru()(keras.Sequential([gru()])(layers.Masking()(x))), "GRU .*mask"),
        (lambda x: layers.Masking()(layers.Masking()(x)), "Masking .*one layer"),
        (lambda x: gru()(x, mask=keras.ops.any(keras.ops.not_equal(layers.Masking()(x), 1), axis=-1)), "argument mask"),
        (shared, "GRU .*called once"),
        (lambda x: layers.Maximum()([x, gru()(x)]), "Maximum .*expected one of GRU, .*Concatenate"),
        (lambda x: layers.Concatenate(axis=1)([x, gru()(x)]), "Concatenate .*axis"),
        (lambda x: layers.Add()([x, layers.Dense(1)(gru()(x))]), "Add .*features"),
        (lambda x: layers.Add()([x, gru(go_backwards=True)(x)]), "Add .*steps"),
        (lambda x: gru()(x) * 2, "multiply"),
        (lambda x: layers.Add()([gru()(x), np.ones((1, 7, 4), np.float32)]), "Add .*ndarray"),
        (lambda x: layers.RepeatVector(4)(layers.GRU(4)(x)), "RepeatVector .*np.repeat"),
        (lambda x: layers.Flatten()(layers.Masking()(x)), "Flatten .*mask"),
        (
            lambda x: layers.Bidirectional(layers.RNN([layers.GRUCell(3), layers.GRUCell(3)]))(x),
            "al .*stack",
        ),
        (lambda x: layers.RNN([layers.GRUCell(3), layers.LSTMCell(3)])(x), "RNN .*one of GRU"),
        (
            lambda x: layers.Add()([gru()(layers.Embedding(9, 4)(keras.Input((7,)))), gru()(x)]),
            "Embedding .*only in",
        ),
        (lambda x: layers.Concatenate()([layers.GRU(3)(keras.Input((8, 2))), layers.GRU(3)(x)]), "same steps"),
    ],
)
def test_refused_by_name(make, word):
    x = keras.Input((7, 4))
    output = layers.Dense(2)(make(x))
    with pytest.raises(ValueError, match=word):
        interop.from_keras(keras.Model(inputs_of(output), output))


def inputs_of(tensor):
    """The inputs above a tensor."""
    operation, at, _ = tensor._keras_history
    above = operation._inbound_nodes[at].input_tensors
    found = [each for parent in above for each in inputs_of(parent)] if above else [tensor]
    return list({id(each): each for each in found}.values())


PICKED = {
    "a slice": lambda x: gru()(x[..., 1:3]),
    "every other": lambda x: gru()(x[:, :, ::2]),
    "in turn": lambda x: gru()(keras.ops.take(x, [-1, 0], axis=-1)),
    "by number": lambda x: gru()(keras.ops.take(x, [3, 0], axis=2)),
    "of states": lambda x: layers.Add()([gru()(x)[..., :2], x[..., -2:]]),
    "without steps": lambda x: layers.Dense(1)(layers.GRU(4)(x)[:, 1:3]),
    "the last step": lambda x: layers.Dense(2)(gru()(x)[:, -1]),
    "the last step of all": lambda x: layers.Concatenate()([layers.GRU(3)(x), x[:, -1, :]]),
}
NOT_PICKED = {
    "steps": lambda x: gru()(x[:, 1:]),
    "steps by number": lambda x: gru()(keras.ops.take(x, [3, 0], axis=1)),
    "steps behind an ellipsis": lambda x: gru()(x[..., 1:3, :]),
    "the last step but one": lambda x: layers.Dense(2)(gru()(x)[:, -2]),
    "the last step behind an ellipsis": lambda x: layers.Dense(2)(gru()(x)[..., -1, :]),
    "the last step of a mask": lambda x: layers.Dense(2)(gru()(layers.Masking()(x))[:, -1]),
    "past the end": lambda x: gru()(keras.ops.take(x, [7, 0], axis=-1)),
}


@pytest.mark.parametrize("kind", PICKED)
def test_parts_of_arrays(kind, same):
    x = keras.Input((None, 5))
    converted(keras.Model(x, PICKED[kind](x)), same)


@pytest.mark.parametrize("kind", NOT_PICKED)
def test_other_parts_are_refused(kind):
    x = keras.Input((None, 5))
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_keras(keras.Model(x, NOT_PICKED[kind](x)))


def test_select_there_and_back():
    parts = [[cgru.Select(part), cgru.GRU(4, sequences=True)] for part in ([2, 0], slice(1, 4))]
    net = cgru.Network([cgru.Concatenate(*parts), cgru.Dense(2)], seed=0)
    X = np.random.default_rng(0).standard_normal((M, S, 5))
    due = net.predict(X)
    np.testing.assert_allclose(interop.from_keras(interop.to_keras(net)).predict(X), due, atol=1e-12)
