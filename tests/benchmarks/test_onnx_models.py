"""The comparison of models from ONNX files: its options, one small model, and what it says."""

import numpy as np
import pytest

import cgru
from cgru import interop

NAMES = ("ONNX Runtime", "its quantize_dynamic", "cgru", "int8", "int8, limit=35")
ROW = {
    "part": "model", "name": "a model", "difference": 1e-6,
    "us": dict.fromkeys(NAMES, 12.345), "ms": dict.fromkeys(NAMES, 1234.5),
    "dB": dict(zip(NAMES[1:2] + NAMES[3:], (30.04, 20.4, float("inf")), strict=True)),
    "weights": ["int8", "bfloat16", "int8"],
}  # fmt: skip


def test_bad_options(refused):
    assert "--seconds: expected a positive number, got 0.0" in refused("onnx_models", "--seconds", "0")
    assert "expected <!-- onnx models --> and then" in refused("onnx_models", "--readme", "benchmarks/stream.py")


def test_what_is_said(module):
    models = module("onnx_models")
    missing = {"part": "model", "name": "b", "missing": "no b"}
    heads, _, only = models.table([{"part": "about"}, ROW, missing])
    assert heads == f"| us; ms; dB | {' | '.join(NAMES)} | of its layers in bfloat16 |"
    both = "12.3; 1.23e+03"
    assert only == f"| a model | {both} | {both}; 30 | {both} | {both}; 20.4 | {both} | 1 of 3 |"
    assert models.missing([ROW, missing]) == ["Left out: b (no b)."]


def test_what_is_heard(module):
    """A second number of the rate for each frame, and another voice by another seed."""
    models = module("onnx_models")
    models.FRAMES = 20
    X = models.spectra(16000, 320, 0)
    assert X.shape == (1, 20, 161)
    assert X.dtype == np.float32
    assert X.std() > 0.1
    assert not np.array_equal(models.spectra(16000, 320, 1), X)
    assert models.spectra(48000, 1024, 0).shape == (1, 20, 513)


def test_one_model(module, tmp_path):
    onnx, _ = (pytest.importorskip(name, reason=f"no {name}") for name in ("onnx", "onnxruntime"))
    models = module("onnx_models")
    net = cgru.Network([cgru.Dense(5, "relu"), cgru.GRU(6, sequences=True)], dtype=np.float32, seed=0)
    X = np.random.default_rng(0).standard_normal((1, 8, 3)).astype(np.float32)
    net.predict(X)
    onnx.save(interop.to_onnx(net), tmp_path / "model.onnx")
    row = models.measured(models.Case(tmp_path / "model.onnx", X, X), tmp_path, 0.001)
    assert row["difference"] < 1e-5
    assert row["us"].keys() == row["ms"].keys() == set(NAMES)
    assert row["dB"].keys() == set(NAMES) - {"ONNX Runtime", "cgru"}
    assert all(value > 20 for value in row["dB"].values())
    assert len(row["weights"]) == 2


def test_another_result_is_an_error(module, tmp_path, monkeypatch):
    onnx, _ = (pytest.importorskip(name, reason=f"no {name}") for name in ("onnx", "onnxruntime"))
    models = module("onnx_models")
    net = cgru.Network([cgru.GRU(6, sequences=True)], dtype=np.float32, seed=0)
    X = np.ones((1, 8, 3), np.float32)
    net.predict(X)
    onnx.save(interop.to_onnx(net), tmp_path / "model.onnx")
    other = cgru.Network([cgru.GRU(6, sequences=True)], dtype=np.float32, seed=1)
    other.predict(X)
    monkeypatch.setattr(models.interop, "from_onnx", lambda file: other)
    with pytest.raises(RuntimeError, match=r"model\.onnx: cgru and ONNX Runtime differ by .* of the largest output"):
        models.measured(models.Case(tmp_path / "model.onnx", X, X), tmp_path, 0.001)
