"""`from_keras` on models with something foreign in one place: refused with its name and place, or Keras's numbers."""

import numpy as np
import pytest
from helpers import keras_on_torch

import cgru
from cgru import interop

keras, _ = keras_on_torch()

from keras import layers  # noqa: E402

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.", r"ignore:::torch\.")
X = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)


def own_layers():
    """A chain of all kinds, each built by what comes before it."""
    return [
        layers.GRU(4, return_sequences=True, name="first"),
        layers.Dropout(0.5, name="dropped"),
        layers.Bidirectional(layers.GRU(3, return_sequences=True, reset_after=False), name="both"),
        layers.GlobalMaxPooling1D(name="pooled"),
        layers.Dense(2, "softmax", name="head"),
    ]


PLACES = range(6)


def sequential(chain, dtype="float32"):
    return keras.Sequential([keras.Input((4, 3), dtype=dtype), *chain])


def functional(chain, dtype="float32"):
    A = given = keras.Input((4, 3), dtype=dtype)
    for layer in chain:
        A = layer(A)
    return keras.Model(given, A)


def check(model, words):
    """That a model is refused in these words, or gives what it gives there."""
    try:
        net = interop.from_keras(model)
    except ValueError as error:
        for word in words:
            assert word in str(error), error  # noqa: PT017
        return False
    np.testing.assert_allclose(net.predict(X), keras.ops.convert_to_numpy(model(X)), atol=1e-5)
    return True


class OwnDropout(layers.Dropout):
    def call(self, inputs, training=False):
        return inputs * 2


class OwnDense(layers.Dense):
    def call(self, inputs, training=None):
        return super().call(inputs) + 1


@keras.saving.register_keras_serializable()
class OwnGRU(layers.GRU):
    pass


class Doubled(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


ADDED = {
    "Lambda": lambda steps: layers.Lambda(lambda A: A * 2, name="foreign"),
    "Activation": lambda steps: layers.Activation("relu", name="foreign"),
    "ReLU": lambda steps: layers.ReLU(name="foreign"),
    "Softmax": lambda steps: layers.Softmax(name="foreign"),
    "LayerNormalization": lambda steps: layers.LayerNormalization(name="foreign"),
    "BatchNormalization": lambda steps: layers.BatchNormalization(name="foreign"),
    "UnitNormalization": lambda steps: layers.UnitNormalization(name="foreign"),
    "Rescaling": lambda steps: layers.Rescaling(2.0, name="foreign"),
    "GaussianNoise": lambda steps: layers.GaussianNoise(0.5, name="foreign"),
    "Identity": lambda steps: layers.Identity(name="foreign"),
    "ActivityRegularization": lambda steps: layers.ActivityRegularization(name="foreign"),
    "Permute": lambda steps: layers.Permute((2, 1) if steps else (1,), name="foreign"),
    "Reshape": lambda steps: layers.Reshape((-1, 2) if steps else (-1,), name="foreign"),
    "TimeDistributed": lambda steps: layers.TimeDistributed(layers.Dense(2), name="foreign"),
    "Conv1D": lambda steps: layers.Conv1D(2, 1, name="foreign"),
    "LSTM": lambda steps: layers.LSTM(2, return_sequences=True, name="foreign"),
    "SimpleRNN": lambda steps: layers.SimpleRNN(2, return_sequences=True, name="foreign"),
    "RNN": lambda steps: layers.RNN(layers.GRUCell(2), return_sequences=True, name="foreign"),
    "SpatialDropout1D": lambda steps: layers.SpatialDropout1D(0.5, name="foreign"),
    "a layer of one's own": lambda steps: Doubled(name="foreign"),
    "a Dropout of one's own": lambda steps: OwnDropout(0.5, name="foreign"),
    "a Dense of one's own": lambda steps: OwnDense(2, name="foreign"),
    "a GRU of one's own": lambda steps: OwnGRU(2, return_sequences=True, name="foreign"),
    "Bidirectional of one's own": lambda steps: layers.Bidirectional(OwnGRU(2, return_sequences=True), name="foreign"),
    "Bidirectional of two": lambda steps: layers.Bidirectional(
        layers.GRU(2, return_sequences=True), name="foreign",
        backward_layer=layers.GRU(2, "relu", return_sequences=True, go_backwards=True),
    ),
    "a model": lambda steps: keras.Sequential([layers.Dropout(0.5)], name="foreign"),
    "half a Dropout": lambda steps: layers.Dropout(0.5, dtype="float16", name="foreign"),
    "half a Dense": lambda steps: layers.Dense(2, dtype="mixed_float16", name="foreign"),
    "double Dropout": lambda steps: layers.Dropout(0.5, dtype="float64", name="foreign"),
    "Dense with noise": lambda steps: layers.Dense(2, layers.GaussianNoise(1.0), name="foreign"),
    "Dropout of whole steps": lambda steps: layers.Dropout(0.5, noise_shape=(None, 1, 1)[: 2 + steps], name="foreign"),
    "Pool that keeps": lambda steps: layers.GlobalMaxPooling1D(keepdims=True, name="foreign"),
    "Pool along features": lambda steps: layers.GlobalMaxPooling1D("channels_first", name="foreign"),
    "Dense": lambda steps: layers.Dense(2, layers.LeakyReLU(0.5), name="foreign"),
    "GRU": lambda steps: layers.GRU(2, return_sequences=True, unroll=True, seed=1, name="foreign"),
    "GRU, penalized": lambda steps: layers.GRU(2, return_sequences=True, activity_regularizer="l2", name="foreign"),
    "Dense, constrained": lambda steps: layers.Dense(2, kernel_constraint="non_neg", name="foreign"),
}  # fmt: skip
EXACT = (  # at every place
    *("Dense", "Dense, constrained", "Activation", "ReLU", "Softmax", "TimeDistributed"),
    *("Conv1D", "LayerNormalization", "BatchNormalization", "RNN", "SpatialDropout1D", "a model"),
)


@pytest.mark.parametrize(("build", "place"), [*((functional, place) for place in PLACES), (sequential, 2)])
@pytest.mark.parametrize("kind", ADDED)
def test_another_layer(kind, build, place):
    chain = own_layers()
    steps = place <= 3
    chain.insert(place, ADDED[kind](steps))
    try:
        model = build(chain)
    except ValueError:  # Keras cannot build it
        assert not steps or kind in ("Permute", "Reshape", "Pool that keeps", "Pool along features")
        return
    named = place + (
        place == 0 and kind in ("half a Dropout", "double Dropout")
    )  # the first layer says in what all compute
    accepted = check(model, ["'foreign'", f"layer {named}, "])
    assert accepted == (kind in EXACT or kind.startswith("GRU"))  # which Keras builds where there are steps alone


def halved(layer):
    layer.call = lambda *arguments, **options: type(layer).call(layer, *arguments, **options) / 2


def halve_what_it_calls(layer):
    inner = layer.forward_layer if isinstance(layer, layers.Bidirectional) else layer
    halved(getattr(inner, "cell", inner))


CHANGED = {
    "call": halved,
    "call of its cell": halve_what_it_calls,
    "quantized": lambda layer: layer.quantize("int8"),
    "LoRA": lambda layer: layer.enable_lora(1),
}


@pytest.mark.parametrize("build", [sequential, functional])
@pytest.mark.parametrize(
    ("kind", "place"),  # only Dense and Embedding can be quantized or have LoRA
    [(kind, place) for kind in CHANGED for place in range(5) if place == 4 or kind not in ("quantized", "LoRA")],
)
def test_a_layer_that_was_changed(kind, place, build):
    chain = own_layers()
    model = build(chain)
    assert check(model, [])
    CHANGED[kind](chain[place])
    assert not check(
        model, [f"layer {place}, ", chain[place].name, "LoRA" if kind in ("quantized", "LoRA") else "its call"]
    )


def test_a_model_that_was_changed():
    model = functional(own_layers())
    model.call = lambda A: 2
    assert not check(model, ["its call was replaced"])


def chained(step):
    """What makes a model of our chain for a place: `step(whether it is there, layer, A)` calls each layer."""

    def make(place):
        A = given = keras.Input((4, 3))
        for i, layer in enumerate([*own_layers(), None]):
            A = step(i == place, layer or (lambda A: A), A)
        return keras.Model(given, A)

    return make


def named(**options):
    """A model one of whose layers is called with more than its input."""
    return chained(lambda there, layer, A: layer(A, **options) if there else layer(A))


def twice(there, layer, A):
    return layers.Add()([layer(A), layer(A)]) if there else layer(A)


scaled = chained(lambda there, layer, A: layer(A * 2.0 if there else A))
skipping = chained(lambda there, layer, A: layer(layers.Maximum(name="foreign")([A, A]) if there else A))


@pytest.mark.parametrize(
    ("make", "places", "words"),
    [
        (named(training=True), (0, 1, 2), "expected a call with only its input, got argument training too"),
        (named(mask=np.ones((1, 4), bool)), (0, 2), "expected a call with only its input, got argument mask too"),
        (named(initial_state=np.ones((1, 4), np.float32)), (0,), "with only its input, got argument initial_state"),
        (scaled, range(6), "that of 'multiply"),
        (skipping, range(6), "Maximum 'foreign'"),
        (chained(twice), range(5), "a layer that is called once"),
    ],
)
def test_calls_that_are_not_in_the_layers(make, places, words):
    for place in places:
        assert not check(make(place), [words])


def test_called_with_names():
    given = keras.Input((4, 3))
    assert check(keras.Model(given, layers.Dense(1)(layers.GRU(4)(sequences=given, training=False))), [])


def several_outputs():
    given = keras.Input((4, 3))
    A = layers.GRU(4, return_sequences=True)(given)
    return keras.Model(given, [A, layers.GRU(2)(A)])


def several_inputs():
    given, h0 = keras.Input((4, 3)), keras.Input((4,))
    return keras.Model([given, h0], layers.GRU(4)(given, initial_state=h0))


def an_inner_output():
    given = keras.Input((4, 3))
    A = layers.GRU(4, return_sequences=True)(given)
    return keras.Model(given, A[:, ::-1])


def states_too():
    given = keras.Input((4, 3))
    _, state = layers.GRU(4, return_state=True)(given)
    return keras.Model(given, layers.Dense(2)(state))


def one_layer_twice():
    layer = layers.GRU(3, return_sequences=True)
    return keras.Sequential([keras.Input((4, 3)), layer, layer])


def own_model():
    class Own(keras.Sequential):
        pass

    return Own([keras.Input((4, 3)), layers.GRU(3)])


class OwnModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.gru = layers.GRU(3)

    def call(self, A):
        return self.gru(A)


def built(layer, change=lambda layer: None):
    layer.build((None, 4, 3))
    change(layer)
    return layer


def other_cell(layer):
    layer.cell.__class__ = type("GRUCell", (type(layer.cell),), {"__module__": "mine"})


def tanh(x):
    return x


tanh.__module__ = "keras.src.activations"


def small_tokens():
    return keras.Sequential([keras.Input((4,), dtype="int8"), layers.Embedding(300, 2), layers.GRU(2)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (several_outputs, "arrays that all have steps"),
        (several_inputs, "got argument initial_state"),
        (an_inner_output, "got that of 'get_item"),
        (states_too, "layer 1, Dense .*got that of 'gru"),
        (one_layer_twice, "a layer that is called once"),
        (own_model, "expected a layer or a model of Keras, got .*Own"),
        (OwnModel, "expected a layer or a model of Keras, got .*OwnModel"),
        (lambda: built(layers.GRU(3), other_cell), "expected one of GRU layers"),
        (lambda: sequential(own_layers(), "float16"), "expected an input of float32, or integers .*, got float16"),
        (small_tokens, "expected an input of float32, or integers for tokens, got int8"),
        (lambda: built(layers.GRU(3), lambda layer: setattr(layer.cell.bias, "trainable", False)), "or none"),
        (lambda: built(layers.GRU(3, layers.LeakyReLU(0.1, dtype="float16"))), "in float32, its .* in float16"),
        (lambda: built(layers.Bidirectional(layers.GRU(3), dtype="float16")), "in float16, its 'forward_gru.*' in fl"),
        (lambda: built(layers.GRU(3, layers.LeakyReLU(0.1)), lambda layer: halved(layer.activation)), "its call was"),
        (lambda: built(layers.GRU(3, tanh)), "expected activations among tanh, .*got 'tanh'"),
    ],
)
def test_models_of_other_kinds(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        interop.from_keras(make())


def test_inputs_that_are_wider():
    assert check(sequential(own_layers(), "float64"), [])
    tokens = keras.Sequential([keras.Input((4,)), layers.Embedding(9, 2), layers.GRU(2)])
    given = np.random.default_rng(0).integers(0, 9, (3, 4))
    np.testing.assert_allclose(
        interop.from_keras(tokens).predict(given), keras.ops.convert_to_numpy(tokens(given)), atol=1e-5
    )


@pytest.mark.parametrize("both", [False, True])
def test_states_come_along(both):
    layer = layers.GRU(4, return_sequences=True, stateful=True)
    layer = layers.Bidirectional(layer) if both else layer
    layer(X)
    net = interop.from_keras(layer)
    own = net.layers[0].halves if both else (net.layers[0],)
    for half, theirs in zip(own, (layer.forward_layer, layer.backward_layer) if both else (layer,), strict=True):
        np.testing.assert_array_equal(half.state, keras.ops.convert_to_numpy(theirs.states[0]))
    due = keras.ops.convert_to_numpy(layer(X))
    np.testing.assert_allclose(net.layers[0].predict(X), due, atol=1e-5)
    if not both:
        layer.reset_state()
        assert interop.from_keras(layer).layers[0].state is None


def test_what_is_not_trainable_stays_so():
    chain = own_layers()
    model = sequential([layers.Dense(3), *chain])
    chain[0].trainable = chain[4].trainable = False
    net = interop.from_keras(model)
    assert [layer.trainable for layer in net.layers if layer.p] == [True, False, True, False]
    back = interop.to_keras([layer for layer in net.layers if not isinstance(layer, cgru.Pool)][:4])
    assert [layer.trainable for layer in back.layers] == [True, False, True, True]
    for ours, theirs in zip(back.get_weights(), model.get_weights(), strict=False):
        assert ours.shape == theirs.shape
    again = interop.from_keras(back)
    assert [layer.trainable for layer in again.layers if layer.p] == [True, False, True]
    np.testing.assert_array_equal(again.layers[1].p["Uz"], net.layers[1].p["Uz"])
