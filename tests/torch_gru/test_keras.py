"""Keras's GRU on PyTorch before and after: outputs, gradients, trained models, and everything else that one sees."""

import numpy as np
import pytest
from helpers import keras_on_torch

keras, torch = keras_on_torch()

import cgru.keras  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
OPTIONS = {
    "plain": {},
    "all steps": {"return_sequences": True},
    "states too": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "no bias": {"use_bias": False},
    "dropout": {"dropout": 0.4, "return_sequences": True},
    "another sum": {"implementation": 1},
}
ELSEWHERE = {
    "reset before": {"reset_after": False},
    "another activation": {"activation": "relu"},
    "another gate": {"recurrent_activation": "hard_sigmoid"},
    "recurrent dropout": {"recurrent_dropout": 0.3},
}


@pytest.fixture
def loops(monkeypatch):
    """The parent's calls, but for those that find out shapes alone."""
    seen, loop = [], keras.layers.GRU.inner_loop

    def looped(self, sequences, *given, **named):
        if not sequences.is_meta:
            seen.append(1)
        return loop(self, sequences, *given, **named)

    monkeypatch.setattr(keras.layers.GRU, "inner_loop", looped)
    return seen


def ran(layer, x, h0, training=False):
    """Outputs and the gradients of everything, from the same masks."""
    layer.cell.seed_generator.state.assign([3, 0])
    x, h0 = x.detach().clone().requires_grad_(), h0.detach().clone().requires_grad_()
    layer.zero_grad()
    outputs = layer(x, initial_state=h0, training=training)
    outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
    sum((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum() for output in outputs).backward()
    return [*outputs, x.grad, h0.grad, *(variable.value.grad for variable in layer.trainable_variables)]


def same(options, loops, dtype="float64", training=True, swapped=True, tolerance=1e-11):
    theirs = keras.layers.GRU(7, dtype=dtype, seed=0, **options)
    x, h0 = torch.randn(4, 6, 3, dtype=getattr(torch, dtype)), torch.randn(4, 7, dtype=getattr(torch, dtype))
    theirs(x)
    theirs.set_weights([np.random.default_rng(1).standard_normal(w.shape) for w in theirs.get_weights()])
    due = ran(theirs, x, h0, training)
    assert cgru.keras.accelerate(theirs).swapped == [theirs.path]
    loops.clear()
    found = ran(theirs, x, h0, training)
    assert bool(loops) != swapped
    for a, b in zip(found, due, strict=True):
        torch.testing.assert_close(a, b, **({"rtol": tolerance, "atol": tolerance} if dtype == "float64" else {}))


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numbers_of_keras(kind, dtype, loops):
    same(OPTIONS[kind], loops, dtype)
    same(OPTIONS[kind], loops, dtype, training=False)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_elsewhere_it_is_its_parent(kind, loops):
    same(ELSEWHERE[kind], loops, swapped=False)


def test_dropout_that_is_off_is_no_matter(loops):
    """Its loop of steps rounds to float32 on the way."""
    same(ELSEWHERE["recurrent dropout"], loops, training=False, tolerance=1e-5)


def test_masks_and_stateful_layers(loops):
    layer = cgru.keras.GRU(5, return_sequences=True)
    x, mask = torch.randn(3, 4, 2), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]).bool()
    with torch.no_grad():
        whole = layer(x)
        assert not loops
        masked = layer(x, mask=mask)
        assert loops
        torch.testing.assert_close(masked[1], whole[1])
        stateful = cgru.keras.GRU(5, return_sequences=True, stateful=True)
        stateful.build((3, 2, 2))
        stateful.set_weights(layer.get_weights())
        parts = [stateful(x[:, :2]), stateful(x[:, 2:])]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            keras.layers.Bidirectional(keras.layers.GRU(7, return_sequences=True, dropout=0.2)),
            keras.layers.GRU(5),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def test_a_model_trains_alike_and_is_saved(tmp_path, loops):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((32, 6, 3)).astype(np.float32), rng.integers(0, 2, 32)
    losses = []
    for swap in (False, True):
        net = model()
        if swap:
            done = cgru.keras.accelerate(net)
            assert len(done.swapped) == 3
            assert done.left == {}
            loops.clear()
        net.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        keras.utils.set_random_seed(1)
        losses.append(net.fit(X, y, epochs=3, batch_size=8, verbose=0).history["loss"])
    assert not loops
    np.testing.assert_allclose(*losses, rtol=1e-5)
    due = net.predict(X, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), due, rtol=1e-6)
    assert type(again.layers[1]) is cgru.keras.GRU
    assert len(cgru.keras.restore(net).swapped) == 3
    assert type(net.layers[1]) is keras.layers.GRU
    np.testing.assert_allclose(net.predict(X, verbose=0), due, rtol=1e-5)


def test_what_is_left_and_what_is_no_model():
    class Own(keras.layers.GRU):
        pass

    done = cgru.keras.accelerate(keras.Sequential([keras.Input((6, 3)), Own(3)]))
    assert done.swapped == []
    assert list(done.left.values()) == [f"a subclass, {__name__}.{Own.__qualname__}"]
    with pytest.raises(TypeError, match="model: expected a layer or a model of Keras's, got int"):
        cgru.keras.accelerate(3)
