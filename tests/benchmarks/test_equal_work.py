"""What computes something else than cgru is not timed."""

import numpy as np
import pytest
from helpers import some

import cgru
from cgru import interop

SLOW = pytest.param("Keras", marks=pytest.mark.nightly)  # 12 s
RIVALS = "EpyNN", "PyTorch", "JAX", "ONNX Runtime", "OpenVINO", SLOW


@pytest.mark.parametrize(("work", "method"), [("inference", "predict"), ("training", "train"), ("step", "step")])
def test_a_call(module, work, method):
    check, Reference, Shape = module("equality").check, module("rivals").Reference, module("shapes").Shape
    shape = Shape(1, 1, 2, 4) if work == "step" else Shape(3, 5, 2, 4, ragged=True)
    check(Reference, shape, "float64", work)
    wrong = {"name": "wrong", method: lambda self: 1.001 * getattr(Reference, method)(self)}
    with pytest.raises(RuntimeError, match=r"^wrong and cgru differ by 1.0e-03"):
        check(type("Wrong", (Reference,), wrong), shape, "float64", work)


@pytest.mark.slow
@pytest.mark.parametrize("single", some(1, [False, True]))
@pytest.mark.parametrize("rival", RIVALS)
def test_every_rival(run, rival, single):
    done = run("-c", f"""
from benchmarks.cases import Case
from benchmarks.equality import check
from benchmarks.rivals import named
from benchmarks.shapes import Shape
try:
    rival = named({rival!r})
except ImportError as error:
    raise SystemExit(f"skip: {{error}}")
for shape in {"[Shape(1, 1, 3, 2)]" if single else "[Shape(3, 5, 2, 4), Shape(4, 6, 3, 5, ragged=True)]"}:
    for work in shape.works:
        for dtype in rival.dtypes:
            if rival.takes(Case(shape, dtype), work):
                check(rival, shape, dtype, work)
                print(shape, work, dtype)
""")  # fmt: skip
    if done.stderr.startswith("skip: "):
        pytest.skip(done.stderr.removeprefix("skip: ").strip())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["PyTorch", "JAX", "Keras"])
def test_every_librarys_updates(run, library):
    """And an epoch is as many updates as it says, each of a step of about 1e-3."""
    done = run("-c", f"""
from benchmarks.updates.kinds import BINARY, RATE, REGRESSION, Job, Kind
from benchmarks.updates.ours import Cgru
from benchmarks.updates.race import check, trainers
kind = Kind(4, 5, 3, 2, 3)
kinds = [kind, kind._replace(every=True, k=1, loss=BINARY, bidirectional=True),
         kind._replace(every=True, layers=2, bidirectional=True), kind._replace(k=1, loss=BINARY),
         kind._replace(every=True, loss=REGRESSION, layers=2), kind._replace(k=1, loss=REGRESSION)]
for each in trainers(({library!r},)):
    for kind in kinds:
        job = Job(kind, "float32", 32)
        trainer = each(job)
        check(Cgru(job, each.reset_after), trainer)
        before = {{name: value.copy() for name, value in trainer.parameters().items()}}
        trainer.epoch()
        moved = max(abs(value - before[name]).max() for name, value in trainer.parameters().items())
        assert 0.25 * trainer.updates * RATE < moved < 1.5 * trainer.updates * RATE, moved
        print(each.name, kind)
""")  # fmt: skip
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        pytest.skip(f"{library} is not installed")
    assert len(done.stdout.splitlines()) >= 2


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


# --- many small fits ---


@pytest.fixture
def task(module):
    Task = module("fits.task").Task
    return Task(sizes=(3,), seeds=2, outer=3, sessions=10, shortest=3, longest=12, epochs=4, patience=3)


@pytest.mark.parametrize("library", ["torch", pytest.param("jax", marks=pytest.mark.nightly)])
def test_fits(module, task, library):
    """Alone and side by side; the best parameters that a rival keeps are those of our fit."""
    pytest.importorskip(library, reason=f"no {library}")
    many, found = module("many"), list(module(f"fits.{library}").CLASSES)

    def run(function, tasks):
        return [function(*each) for each in tasks]

    row = many.same(task, found, run)
    assert 0 < max(row["first"].values()) < 2e-5
    assert max(row["last"].values()) < 1e-3
    first = found[0]
    wrong = type("Wrong", (first,), {"epochs": lambda self, n: first.epochs(self, n) * 1.0001})
    with pytest.raises(RuntimeError, match="differ by"):
        many.same(task, [wrong], run)
    names = task.names(3)[: first.together]
    rival = first(task, tuple(names))
    losses = rival.epochs(task.epochs)[:, 0, 1]
    (result, *_) = module("fits.ours").fitted(task, names, 1)
    assert losses.min() == pytest.approx(result.scores["validation_loss"], rel=1e-5)
