"""What every layer satisfies: its gradients, padding, dtypes, compiled fits, threads, streams, files, ONNX."""

import copy
import pickle

import numpy as np
import pytest
from helpers import assert_all_close, assert_all_same, assert_close, check_slopes, refuses, some
from layer_cases import LAYERS, LENGTHS, MORE, RNG, TOKENED, M, given

import cgru
from cgru.network.training import fit
from cgru.network.training.compiled.engine import compiles

ALL = LAYERS | MORE
OWN = [name for name in ALL if name.endswith("own")]  # which nobody can save, stream or export
KEPT = [name for name in ALL if name not in OWN]
TURNS = [(name, (np.float32, np.float64)[(i + turn) % 2]) for turn in (0, 1) for i, name in enumerate(KEPT)]
WHOLE = ("bidirectional", "flip", "gru, reset after", "normalize")  # which need all steps, and so run in no stream
RAGGED = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
LONG = LENGTHS + 4  # 5 to 9 steps: of a single one a deviation is no smooth function
NARROW = np.random.default_rng(2).standard_normal((M, 9, 3))


def random(layer, A):
    """The layer with random parameters, none of them zero."""
    layer.make(A)
    rng = np.random.default_rng(3)
    for name, value in layer.p.items():
        value[...] = rng.standard_normal(value.shape) * (0.9 / np.sqrt(len(value))) + (name[-3:-1] == "gain")
    return layer


def steps(name):
    """Inputs of nine steps."""
    return np.tile(given(name), 2)[:, :9] if name in TOKENED else NARROW.copy()


@RAGGED
@pytest.mark.parametrize("name", ALL)
def test_gradients_are_central_differences(name, lengths):
    A, lengths = steps(name), None if lengths is None else LONG
    layer, dA = random(ALL[name](), A), None

    def ran():
        for cell in layer.cells or (layer,):
            cell.np_rng = np.random.default_rng(5)  # the same masks
        return layer.run(A, lengths)

    last = ran()
    dA = np.random.default_rng(6).standard_normal(last.A.shape)
    dX = last.backward(dA)
    pairs = [(layer.p[key[1:]], g.reshape(layer.p[key[1:]].shape)) for key, g in last.gradients().items()]
    assert len(pairs) == len(layer.p)
    pairs = [(array, np.array(gradient)) for array, gradient in [*pairs, *([] if dX is None else [(A, dX)])]]
    check_slopes(lambda: (ran().A * dA).sum(), pairs, np.random.default_rng(7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_padding_is_zero_and_not_looked_at(name, dtype):
    """Nor is what comes back at it; `predict` computes what `forward` does, and float32 what float64 does."""
    A, real = steps(name), np.arange(9) < LONG[:, None]
    clean, dirty = (np.where(real if name in TOKENED else real[:, :, None], A, fill) for fill in (0, -9))
    if name not in TOKENED:
        clean, dirty = clean.astype(dtype), np.where(real[:, :, None], A, np.nan).astype(dtype)
    layer, exact = ALL[name](), random(ALL[name](), A)
    if layer.parameter_names or name.startswith("bidirectional"):
        layer.dtype = dtype
    layer.make(clean)
    for key, value in exact.p.items():
        layer.p[key][...] = value
    for each in (layer, exact):
        if hasattr(each, "training"):
            each.training = False
        for cell in (*each.cells, *([each] if isinstance(each, cgru.GRU) else [])):
            cell.dropout = cell.recurrent_dropout = cell.zoneout = 0.0
    out = layer.forward(dirty, LONG)
    np.testing.assert_array_equal(layer.predict(dirty, LONG), out)
    np.testing.assert_array_equal(layer.predict(clean, LONG), out)
    assert out.dtype == dtype
    assert_close(out, exact.predict(A, LONG), 1e-12 if dtype == np.float64 else 1e-4)
    dA, due = RNG.standard_normal(out.shape).astype(dtype), layer.backward(np.zeros_like(out))
    if out.ndim == 3:
        n = layer.steps.lengths(LONG)
        there = (np.arange(out.shape[1]) < n[:, None])[:, :, None]
        assert not out[~there[:, :, 0]].any()
        due = layer.backward(np.where(there, dA, 0))
        due = None if due is None else due.copy()
        layer.forward(dirty, LONG)
        found = layer.backward(np.where(there, dA, np.nan))
        assert (found is None) == (due is None)
        if due is not None:
            np.testing.assert_array_equal(found, due)
    if due is not None:
        assert due.dtype == dtype
        assert not due[~real].any()


# --- in a network ---

SAMPLES, STEPS = np.random.default_rng(1).standard_normal((11, 9, 3)), np.array([9, 2, 7, 9, 3, 4, 5, 9, 6, 8, 2])
CLASSES = np.arange(11) % 3


def inputs(name):
    return np.abs(SAMPLES[:, :, 0] * 9).astype(int) % 6 if name in TOKENED else SAMPLES


def network(name, dtype=np.float64):
    """The layer with a GRU below it, unless it takes tokens, and one above it, unless it leaves no steps."""
    layer = ALL[name]()
    below = [] if name in TOKENED else [cgru.GRU(5, sequences=True)]
    series = len(layer.output_shape(("m", "s", 5)[: 2 if name in TOKENED else 3])) == 3
    above = [cgru.GRU(4)] if series else []
    return cgru.Network([*below, layer, *above, cgru.Dense(3, "softmax")], seed=1, dtype=dtype)


def fitted(net, name, **options):
    options = {"lengths": STEPS, "epochs": 3, "batch_size": 4, "standardize": name not in TOKENED} | options
    history = net.fit(inputs(name), CLASSES, validation=(inputs(name), CLASSES, STEPS), **options)
    return np.array([history.loss, history.validation_loss]), net.parameters()


@RAGGED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KEPT)
@pytest.mark.pairwise
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, threads, name, dtype, lengths):
    """And has the same bits on any number of threads."""
    lengths = None if lengths is None else STEPS
    compiled, other, loop = (network(name, dtype) for _ in range(3))
    assert compiles(compiled)
    values, ours = fitted(compiled, name, lengths=lengths)
    threads(4)
    same, theirs = fitted(other, name, lengths=lengths)
    np.testing.assert_array_equal(same, values)
    assert_all_same(theirs, ours)
    monkeypatch.setattr(fit, "compiles", lambda model: False)
    due, theirs = fitted(loop, name, lengths=lengths)
    tolerance = 1e-9 if dtype == np.float64 else 5e-4
    np.testing.assert_allclose(values, due, rtol=tolerance)
    assert_all_close(theirs, ours, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "dtype"), some(len(KEPT), TURNS))
def test_files_copies_and_weights_of_fewer_bytes(tmp_path, name, dtype):
    net, A = network(name, dtype), inputs(name)
    fitted(net, name, epochs=1)
    net.layers[1].trainable = False
    due = net.predict(A, STEPS)
    assert due.dtype == dtype
    net.save(tmp_path / "net.npz")
    for other in (cgru.load(tmp_path / "net.npz"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(other.layers) == repr(net.layers)
        assert [layer.trainable for layer in other.layers] == [layer.trainable for layer in net.layers]
        np.testing.assert_array_equal(other.predict(A, STEPS), due)
        assert other.features == net.features
    for kind in ("int8", "bfloat16"):
        if name in ("gru, layer norm", "bidirectional, all"):
            with refuses(ValueError, "net"):
                cgru.quantize(net, kind)
            continue
        small = cgru.quantize(net, kind)
        assert np.abs(small.predict(A, STEPS) - due).max() < 0.05
        small.save(tmp_path / "small.npz")
        np.testing.assert_array_equal(cgru.load(tmp_path / "small.npz").predict(A, STEPS), small.predict(A, STEPS))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", KEPT)
def test_a_stream_computes_the_sequence(name, batch):
    net, A = network(name), inputs(name)[:batch]
    net.make(A)
    if name.startswith(WHOLE):
        with refuses(ValueError, "source"):
            cgru.Stream(net, batch)
        return
    if net.layers[1].steps.count:
        return  # whose outputs come when they are complete: tests/test_stream.py
    stream = cgru.Stream(net, batch)
    for t in range(9):
        out = stream.step(A[:, t] if batch > 1 or name not in TOKENED else A[0, t])
        assert_close(np.atleast_2d(out), net.predict(A[:, : t + 1]), 1e-13)


NOT_IN_ONNX = ("gru, masks", "gru, all masks", "gru, layer norm", "gru, activations", "bidirectional, all")
NOT_IN_ONNX += ("switching", "switching, last")


@pytest.mark.parametrize("name", KEPT)
def test_onnx(name):
    """ONNX's own evaluator, which knows no lengths of GRUs, computes the same; the network comes back whole."""
    onnx = pytest.importorskip("onnx", reason="no onnx")
    net, A = network(name, np.float32), inputs(name).astype(np.int64 if name in TOKENED else np.float32)
    net.make(A)
    if name in NOT_IN_ONNX:
        with refuses(ValueError, "net"):
            cgru.interop.to_onnx(net)
        return
    model, due = cgru.interop.to_onnx(net), net.predict(A)
    assert_close(onnx.reference.ReferenceEvaluator(model).run(None, {"X": A})[0], due, 1e-5)
    assert_close(cgru.interop.from_onnx(model).predict(A), due, 1e-6)
