"""Keras's GRU on PyTorch before and after: outputs, gradients, trained models, and everything else that one sees."""

import sys

import numpy as np
import pytest
from helpers import keras_on_torch

keras, torch = keras_on_torch()

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import cgru.keras  # noqa: E402
from cgru.interop import from_keras  # noqa: E402

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
LEFT = {
    "reset before": ({"reset_after": False}, "its reset_after is not set"),
    "another activation": ({"activation": "relu"}, "its activations are not tanh and sigmoid"),
    "another gate": ({"recurrent_activation": "hard_sigmoid"}, "its activations are not tanh and sigmoid"),
    "another dtype": (
        {"dtype": "bfloat16", "recurrent_initializer": "zeros"},
        "it computes in bfloat16: all in float32, or all in float64, runs here",
    ),
}
IN_TRAINING = {
    "recurrent dropout": {"recurrent_dropout": 0.3},
    "a dropout of each gate": {"dropout": 0.4, "implementation": 1},
    "all dropped": {"dropout": 1.0},
}
MASKED = OPTIONS | {
    "zeros for masked steps": {"return_sequences": True, "zero_output_for_mask": True},
    "the last step or zero": {"zero_output_for_mask": True},
    "backwards, the last step or zero": {"go_backwards": True, "zero_output_for_mask": True},
    "backwards, with dropout": {"go_backwards": True, "dropout": 0.4, "return_sequences": True},
}
del MASKED["another sum"]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Keras's products in the dtype of their factors; its own are float32 where these are float64."""
    convert = keras.ops.convert_to_tensor
    numbers = sys.modules["keras.src.backend.torch.numpy"]
    monkeypatch.setattr(numbers, "matmul", lambda a, b: torch.matmul(convert(a), convert(b)))


@pytest.fixture
def loops(monkeypatch):
    """The calls of Keras's own loops, but for those that find out shapes alone."""
    seen = []
    for kind in (keras.layers.RNN, keras.layers.GRU):

        def looped(self, sequences, *given, loop=kind.inner_loop, **named):
            if not sequences.is_meta:
                seen.append(1)
            return loop(self, sequences, *given, **named)

        monkeypatch.setattr(kind, "inner_loop", looped)
    return seen


def ran(layer, x, states, **named):
    """Outputs and the gradients of everything, from the same masks."""
    for cell in layer._flatten_layers():
        if isinstance(cell, keras.layers.GRUCell):
            cell.seed_generator.state.assign([3, 0])
    x, *states = (each.detach().clone().requires_grad_() for each in (x, *states))
    layer.zero_grad()
    outputs = keras.tree.flatten(layer(x, **({"initial_state": states} if states else {}), **named))
    sum((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum() for output in outputs).backward()
    gradients = [each.grad for each in (x, *states, *(variable.value for variable in layer.trainable_variables))]
    return [*outputs, *(torch.zeros(()) if each is None else each for each in gradients)]


def same(layer, loops, x, states, runs=True, **named):
    """Compare a layer before and after, and after that with what it was made again; `runs`: ours, not Keras's loop."""
    layer(x)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.standard_normal(w.shape) / max(1, w.shape[0]) ** 0.5 for w in layer.get_weights()])
    due = ran(layer, x, states, **named)
    kinds = [type(each) for each in layer._flatten_layers()]
    assert cgru.keras.accelerate(layer).swapped
    loops.clear()
    found = ran(layer, x, states, **named)
    assert bool(loops) != runs
    close = {"rtol": 1e-12, "atol": 1e-12} if x.dtype == torch.float64 else {}
    for a, b in zip(found, due, strict=True):
        torch.testing.assert_close(a, b, **close)
    cgru.keras.restore(layer)
    assert [type(each) for each in layer._flatten_layers()] == kinds


def data(m, s, e, *units, dtype="float64"):
    """An input and states, and a mask in which the first sample has no real step, the second all, others some."""
    torch.manual_seed(m + s)
    number = getattr(torch, dtype)
    mask = torch.rand(m, s) > torch.rand(m, 1)
    mask[0], mask[1 % m] = False, True
    return torch.randn(m, s, e, dtype=number), [torch.randn(m, u, dtype=number) for u in units], mask


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numbers_of_keras(kind, dtype, loops):
    x, states, _ = data(4, 6, 3, 7, dtype=dtype)
    for training in (True, False):
        layer = keras.layers.GRU(7, dtype=dtype, seed=0, **OPTIONS[kind])
        same(layer, loops, x, states, training=training)


@pytest.mark.parametrize("kind", LEFT)
def test_what_never_runs_here_is_left(kind, loops):
    options, why = LEFT[kind]
    theirs, ours = keras.layers.GRU(7, **options), cgru.keras.GRU(7, **options)
    for layer in (theirs, keras.layers.RNN(keras.layers.GRUCell(7, **options), dtype=options.get("dtype"))):
        assert cgru.keras.accelerate(layer)[:2] == ([], {layer.name: why})
    x = torch.randn(2, 3, 4)
    due = theirs(x)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    loops.clear()
    assert (ours(x) == due).all()
    assert loops


@pytest.mark.parametrize("kind", IN_TRAINING)
@pytest.mark.parametrize("masked", [False, True])
def test_dropout_that_is_off_is_no_matter(kind, masked, loops):
    x, states, mask = data(4, 6, 3, 7)
    for training in (True, False):
        cell = keras.layers.GRUCell(7, dtype="float64", seed=0, **IN_TRAINING[kind])
        layer = keras.layers.RNN(cell, dtype="float64", return_sequences=True)
        same(layer, loops, x, states, mask=mask if masked else None, training=training, runs=not training)


# --- masks ---


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("training", [False, True])
def test_masks_with_holes(kind, training, loops):
    x, states, mask = data(5, 9, 3, 7)
    layer = keras.layers.GRU(7, dtype="float64", seed=0, **MASKED[kind])
    same(layer, loops, x, states, mask=mask, training=training)


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        ("post", (17, 7, 7, 17)),
        ("post", (7, 17, 33, 33)),
        ("pre", (33, 7, 1, 1)),
        ("pre", (7, 1, 17, 7)),
        ("holes", (1, 7, 1, 1)),
        ("holes", (7, 17, 7, 33)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_of_odd_sizes(where, sizes, dtype, loops):
    m, s, _, u = sizes
    x, states, mask = data(*sizes, dtype=dtype)
    if where != "holes":
        mask = mask.sort(1, descending=where == "post")[0]
    if m == 1:
        mask[0] = torch.arange(s) % 3 == 1
    layer = keras.layers.GRU(u, dtype=dtype, return_sequences=True, return_state=True)
    same(layer, loops, x, states, mask=mask)


@pytest.mark.parametrize("merge", ["concat", None])
def test_masks_in_both_directions(merge, loops):
    x, states, mask = data(5, 9, 3, 7, 7)
    gru = keras.layers.GRU(7, dtype="float64", seed=0, dropout=0.2, return_sequences=True, return_state=True)
    layer = keras.layers.Bidirectional(gru, dtype="float64", merge_mode=merge)
    same(layer, loops, x, states, mask=mask, training=True)


def test_steps_lie_where_their_mask_does():
    """Whatever PyTorch's default device is."""
    with torch.device("meta"):
        steps = cgru.keras.RealSteps.of(torch.ones(2, 3, dtype=torch.bool, device="cpu"), True)
    assert {each.device.type for each in steps} == {"cpu"}


def test_whatever_stands_in_masked_steps(loops):
    """It is not computed with; in Keras a NaN there goes into every gradient."""
    x, states, mask = data(5, 9, 3, 7)
    layer = cgru.keras.GRU(7, dtype="float64", return_sequences=True)
    due = ran(layer, x, states, mask=mask)
    found = ran(layer, torch.where(mask[:, :, None], x, torch.nan), states, mask=mask)
    assert all((a == b).all() for a, b in zip(found, due, strict=True))
    assert not loops


def test_the_loop_returns_what_keras_s_does():
    x, states, mask = data(5, 9, 3, 7)
    for every, shape in ((True, (5, 9, 7)), (False, (5, 1, 7))):
        layer = cgru.keras.GRU(7, dtype="float64", return_sequences=every, dropout=0.4)
        due = layer(x, mask=mask, initial_state=states)
        last, outputs, (state,) = layer.inner_loop(x, states, mask)
        assert ((outputs if every else last) == due).all()
        assert [tuple(each.shape) for each in (last, outputs, state)] == [(5, 7), shape, (5, 7)]


def test_masks_of_other_kinds(loops):
    """Numbers are truths; a mask that is all true is none; Keras's loop takes what ours does not."""
    x, states, mask = data(5, 9, 3, 7)
    layer = cgru.keras.GRU(7, dtype="float64", return_sequences=True)
    named = {"initial_state": states}
    with torch.no_grad():
        due = layer(x, mask=mask, **named)
        for other in (mask.int(), mask.double()):
            assert (layer(x, mask=other, **named) == due).all()
        assert (layer(x, mask=torch.ones(5, 9), **named) == layer(x, **named)).all()
        assert not loops
        torch.testing.assert_close(layer(x, mask=mask[:, :, None], **named), due)
        assert len(loops) == 2  # of GRU and of RNN, which it derives from
        assert (layer(x, mask=torch.zeros(5, 9), **named) == 0).all()
        assert len(loops) == 4
        with FlopCounterMode(display=False):  # or any other that traces
            torch.testing.assert_close(layer(x, mask=mask, **named), due)
        assert len(loops) == 6


def test_arguments_of_other_sizes_are_keras_s(loops):
    layer, one = cgru.keras.GRU(7), torch.randn(1, 7)
    x = torch.randn(3, 4, 2)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, initial_state=one), layer(x, initial_state=one.expand(3, 7)))
        assert len(loops) == 1
        with pytest.raises(Exception, match="ndim=3"):
            layer(x[0])
        with pytest.raises(Exception, match="shape"):
            layer.inner_loop(torch.randn(3, 4, 5), [torch.randn(3, 7)], None)


@pytest.mark.parametrize("masked", [False, True])
def test_stateful_layers(masked, loops):
    x, _, mask = data(3, 6, 2)
    layer = cgru.keras.GRU(5, dtype="float64", return_sequences=True)
    parts, stateful = [], cgru.keras.GRU(5, dtype="float64", return_sequences=True, stateful=True)
    stateful.build((3, 3, 2))
    layer.build((3, 6, 2))
    stateful.set_weights(layer.get_weights())
    with torch.no_grad():
        whole = layer(x, mask=mask if masked else None)
        parts = [
            stateful(part, mask=real if masked else None)
            for part, real in zip(x.split(3, 1), mask.split(3, 1), strict=True)
        ]
    whole, found = whole[:, -1], parts[-1][:, -1]
    real = mask[:, 3:].any(1) if masked else slice(None)
    assert (found[real] == whole[real]).all()
    assert (stateful.states[0].value[1:] == whole[1:]).all()
    assert not loops


# --- cells ---


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["plain", "states too", "backwards", "no bias", "dropout", "the last step or zero"])
@pytest.mark.parametrize("units", [(7,), (4, 6, 1)])
def test_cells_in_an_rnn(units, kind, masked, loops):
    options = dict((OPTIONS | MASKED)[kind])
    of_cell = {name: options.pop(name) for name in ("use_bias", "dropout") if name in options}
    cells = [keras.layers.GRUCell(u, dtype="float64", seed=u, **of_cell) for u in units]
    x, states, mask = data(5, 9, 3, *units)
    cell = keras.layers.StackedRNNCells(cells, dtype="float64") if len(units) > 1 else cells[0]
    layer = keras.layers.RNN(cell, dtype="float64", **options)
    for given in (states, []):
        same(layer, loops, x, given, mask=mask if masked else None, training=True)


def test_states_of_a_stack_are_nested_as_keras_s(loops):
    x, states, mask = data(5, 4, 3, 7, 2)
    layer = keras.layers.RNN([keras.layers.GRUCell(u) for u in (7, 2)], return_state=True)
    for named in ({}, {"mask": mask}, {"initial_state": [state.float() for state in states]}):
        due = keras.tree.map_structure(lambda each: tuple(each.shape), layer(x.float(), **named))
        assert cgru.keras.accelerate(layer).swapped == [layer.name]
        loops.clear()
        assert keras.tree.map_structure(lambda each: tuple(each.shape), layer(x.float(), **named)) == due
        assert not loops
        cgru.keras.restore(layer)


def test_a_stack_of_one_cell(loops):
    x, _, mask = data(5, 4, 3)
    same(keras.layers.RNN([keras.layers.GRUCell(7)]), loops, x.float(), [], mask=mask)
    layer = keras.layers.RNN([keras.layers.GRUCell(7)], return_state=True)
    assert cgru.keras.accelerate(layer).left == {layer.name: "return_state of a stack of one cell"}


def test_one_cell_twice(loops):
    x, states, mask = data(5, 4, 7, 7, 7)
    cell = keras.layers.GRUCell(7, dtype="float64", seed=0, dropout=0.3)
    stack = keras.layers.StackedRNNCells([cell, cell], dtype="float64")
    same(keras.layers.RNN(stack, dtype="float64"), loops, x, states, mask=mask, training=True)


# --- models ---


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Embedding(20, 8, mask_zero=True),
            layers.Bidirectional(layers.GRU(7, return_sequences=True, dropout=0.2)),
            layers.RNN([layers.GRUCell(6), layers.GRUCell(5)], return_sequences=True),
            layers.GRU(5),
            layers.Dense(2, activation="softmax"),
        ]
    )


def test_a_text_model_trains_alike_and_is_saved(tmp_path, loops):
    rng = np.random.default_rng(0)
    X, y = rng.integers(1, 20, (16, 5)), rng.integers(0, 2, 16)
    X[np.arange(5) < rng.integers(0, 5, (16, 1))] = 0  # in front, as Keras's own pad_sequences pads
    losses = []
    for swap in (False, True):
        net = model()
        net.build(X.shape)
        if swap:
            done = cgru.keras.accelerate(net)
            assert len(done.swapped) == 4
            assert all("/" in path for path in done.swapped)
            assert done.left == {}
            loops.clear()
        net.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        keras.utils.set_random_seed(1)
        losses.append(net.fit(X, y, epochs=2, batch_size=8, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    due = net.predict(X, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), due, rtol=1e-6)
    assert not loops
    kinds = [type(layer) for layer in (again.layers[1].backward_layer, *again.layers[2:4])]
    assert kinds == [cgru.keras.GRU, cgru.keras.RNN, cgru.keras.GRU]
    assert [keras.saving.get_registered_name(kind) for kind in kinds[:2]] == ["cgru>GRU", "cgru>RNN"]
    assert cgru.keras.restore(net).swapped == done.swapped
    copied = keras.Sequential.from_config(net.get_config())
    kinds = [type(layer) for layer in (copied.layers[1].backward_layer, *copied.layers[2:4])]
    assert kinds == [keras.layers.GRU, keras.layers.RNN, keras.layers.GRU]
    np.testing.assert_allclose(net.predict(X, verbose=0), due, rtol=1e-5)


def test_a_layer_that_runs_here_comes_in_as_a_network():
    layer, x = cgru.keras.GRU(7, return_sequences=True), torch.randn(2, 3, 4)
    due = layer(x).detach().numpy()
    np.testing.assert_allclose(from_keras(layer).predict(x.numpy()), due, atol=1e-6)


class Own(keras.layers.GRU):
    pass


class Ours(cgru.keras.GRU):
    pass


class OwnCell(keras.layers.GRUCell):
    pass


class OwnRNN(keras.layers.RNN):
    pass


class LiGRU(keras.layers.Layer):
    """One in code of its own, or around another layer."""

    def __init__(self, inner=None, **named):
        super().__init__(**named)
        self.inner = inner


def test_what_is_left_and_what_is_no_model():
    of, cell = keras.layers, keras.layers.GRUCell(3)
    here = f"{__name__}."
    odd = OwnCell(3)
    busy = of.GRUCell(3, activity_regularizer="l2")
    other = of.GRUCell(3, dtype="float64")
    lstm = of.RNN([of.GRUCell(3), of.LSTMCell(3)])
    cases = [
        (Own(3), f"a subclass, {here}Own"),
        (OwnRNN(cell), f"a subclass, {here}OwnRNN"),
        (odd, f"a subclass, {here}OwnCell"),
        (of.RNN(odd), f"one of its cells is no GRUCell of Keras's but {here}OwnCell"),
        (lstm, f"one of its cells is no GRUCell of Keras's but {of.LSTMCell.__module__}.LSTMCell"),
        (of.RNN(busy), "its cell has an activity_regularizer, of each step"),
        (of.RNN(other), "it computes in float32 and float64: all in float32, or all in float64, runs here"),
        (cell, "a cell, called by a layer of another kind"),
        (LiGRU(), "a GRU in code of its own"),
    ]
    for layer, why in cases:
        kind = type(layer)
        assert cgru.keras.accelerate(layer)[:2] == ([], {layer.name: why})
        assert type(layer) is kind
    for layer in (of.RNN(of.LSTMCell(3)), of.LSTM(3), of.Dense(3), cgru.keras.GRU(3), Ours(3), cgru.keras.RNN(cell)):
        assert cgru.keras.accelerate(layer)[:2] == ([], {})
    around = LiGRU(of.GRU(3))
    assert cgru.keras.accelerate(around)[:2] == ([around.inner.name], {})
    around = LiGRU(of.GRUCell(3))
    assert cgru.keras.accelerate(around).left == {around.inner.name: "a cell, called by a layer of another kind"}
    for change in (cgru.keras.accelerate, cgru.keras.restore):
        with pytest.raises(TypeError, match="model: expected a layer or a model of Keras, got int"):
            change(3)


def test_what_is_said_of_each_layer():
    of = keras.layers
    layers = [
        of.GRU(3, name="here"),
        of.GRU(4, name="busy", recurrent_dropout=0.1, dtype="float64"),
        of.RNN([of.GRUCell(3), of.GRUCell(5)], name="stack"),
        Own(3, name="own"),
        of.RNN(of.LSTMCell(3), name="lstm"),
        LiGRU(name="foreign"),
    ]
    net = keras.Sequential(layers)
    due = {
        "here": ("GRU", "3", "float32", "run here"),
        "busy": ("GRU", "4", "float64", "run here; in training, for its dropout, Keras's"),
        "stack": ("RNN", "3, 5", "float32", "run here"),
        "own": (f"{__name__}.Own", "3", "float32", f"left: a subclass, {__name__}.Own"),
        "foreign": (f"{__name__}.LiGRU", "", "float32", "left: a GRU in code of its own"),
    }
    assert cgru.keras.accelerate(net).modules == due
    assert cgru.keras.restore(net).modules["busy"] == ("GRU", "4", "float64", "Keras's")
