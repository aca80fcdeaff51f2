"""What computes something else than cgru is not timed."""

import numpy as np
import pytest

import cgru
from cgru import interop


@pytest.mark.parametrize(("work", "method"), [("inference", "predict"), ("training", "train"), ("step", "step")])
def test_a_call(module, work, method):
    check, Reference, Shape = module("equality").check, module("rivals").Reference, module("shapes").Shape
    shape = Shape(1, 1, 2, 4) if work == "step" else Shape(3, 5, 2, 4, ragged=True)
    check(Reference, shape, "float64", work)
    wrong = {"name": "wrong", method: lambda self: 1.001 * getattr(Reference, method)(self)}
    with pytest.raises(RuntimeError, match=r"^wrong and cgru differ by 1.0e-03"):
        check(type("Wrong", (Reference,), wrong), shape, "float64", work)


@pytest.mark.slow
def test_a_model_of_onnx(module, tmp_path, monkeypatch):
    onnx, _ = (pytest.importorskip(name, reason=f"no {name}") for name in ("onnx", "onnxruntime"))
    models = module("onnx_models")
    layers = cgru.Dense(5, "relu"), cgru.GRU(6, sequences=True)
    nets = [cgru.Network(each, dtype=np.float32, seed=0) for each in ([*layers], [cgru.GRU(6, sequences=True)])]
    X = np.random.default_rng(0).standard_normal((1, 8, 3)).astype(np.float32)
    for net in nets:
        net.predict(X)
    onnx.save(interop.to_onnx(nets[0]), tmp_path / "model.onnx")
    row = models.measured(models.Case(tmp_path / "model.onnx", X, X), tmp_path, 0.001)
    assert row["difference"] < 1e-5
    assert min(row["us"].values()) > 0
    assert row["dB"]["int8"] > 20
    assert len(row["weights"]) == 2
    monkeypatch.setattr(models.interop, "from_onnx", lambda file: nets[1])
    with pytest.raises(RuntimeError, match="differ by"):
        models.measured(models.Case(tmp_path / "model.onnx", X, X), tmp_path, 0.001)
