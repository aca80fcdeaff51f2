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


def test_an_update_that_is_left_out(module):
    Reference, Shape = module("rivals").Reference, module("shapes").Shape

    class Lazy(Reference):
        def train(self):
            kept = {name: value.copy() for name, value in self.p.items()}
            dX, self.p = super().train(), kept
            return dX

    with pytest.raises(RuntimeError, match="differ by"):
        module("equality").check(Lazy, Shape(3, 5, 2, 4), "float64", "training")


def test_a_rival_that_fails_is_named_and_the_others_go_on(module):
    rivals, Shape = module("rivals"), module("shapes").Shape

    class Broken(rivals.Reference):
        name = "broken"

        def predict(self):
            raise MemoryError("no room")

    found = [rivals.Cgru, Broken, rivals.Reference]
    row = module("grid").cell(Shape(3, 5, 2, 4), "float32", "inference", found, None, 0.01)
    assert row["left_out"] == {"broken": "MemoryError: no room"}
    assert list(row["ratio"]) == ["cgru.reference"]


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


def test_an_update(module):
    """Of a job with every difficulty: outputs at steps, two layers, both directions."""
    kinds, ours, check = module("updates.kinds"), module("updates.ours"), module("updates.race").check
    small = kinds.Job(kinds.Kind(4, 5, 3, 2, 3, every=True, layers=2, bidirectional=True), "float64", 3)
    Same = type("Same", (ours.Cgru,), {"name": "another"})
    check(ours.Cgru(small), Same(small))
    loss, parameters = Same.first, Same.parameters
    for changed in (
        {"first": lambda self: loss(self) * (1 + 1e-8)},
        {"first": lambda self: np.nan},
        {"parameters": lambda self: {name: value * (1 + 1e-8) for name, value in parameters(self).items()}},
        {"parameters": lambda self: {name: value * np.nan for name, value in parameters(self).items()}},
        {"parameters": lambda self: {name: value for name, value in parameters(self).items() if name != "2.b"}},
    ):
        with pytest.raises(RuntimeError, match="another"):
            check(ours.Cgru(small), type("Wrong", (Same,), changed)(small))


def test_kinds_of_updates(module):
    kinds = module("updates.kinds")
    assert len(set(kinds.KINDS)) == len(kinds.KINDS) >= 14
    assert {(kind.every, kind.loss) for kind in kinds.KINDS} == {(e, loss) for e in (0, 1) for loss in kinds.SPLIT}
    assert kinds.Kind(2, 5, 3, 4, 1).flop == 3 * 2 * 2 * 5 * 3 * 4 * (3 + 4)  # three times 2 m s 3u (e + u)


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


def test_inside_torch(module):
    torch = pytest.importorskip("torch", reason="no torch")
    compare, a = module("inside_torch").compare, torch.ones(3)
    compare([(a, a), (0 * a, 0 * a)], "float32")
    for wrong in (a + 0.001, a * torch.nan):
        with pytest.raises(RuntimeError, match="differ by"):
            compare([(wrong, a)], "float32")


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


# --- one step of a stream ---


def test_a_batch_of_steps_is_the_sequence(module):
    """Many steps in one call carry the state on from frame to frame and from turn to turn; a code is an error."""
    steps, Case, Shape = module("rivals.steps"), module("cases").Case, module("shapes").Shape
    frames = np.random.default_rng(3).standard_normal((4, 5), np.float32)
    case = Case(Shape(1, 1, 5, 7), "float32")
    due = steps.Cgru(case).layer.predict(np.tile(frames, (3, 1))[None])
    try:
        found = [steps.FromPython(case), steps.FromC(case)]
    except RuntimeError as error:
        pytest.skip(f"no C compiler: {error}")
    for rival in found:
        rival.through(frames, 3)()
        np.testing.assert_allclose(rival.h, due, atol=1e-6)
    found[1].workspace = found[1].workspace[:1]
    with pytest.raises(RuntimeError, match="code"):
        found[1].step()


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


def test_the_fits_that_are_timed(module, task):
    big, ours = module("fits.task").Task(), module("fits.ours")
    assert len(set(big.names())) == len(big.names()) == 1890
    X, y, _ = big.data()
    assert (X.shape, X.dtype, set(np.unique(y))) == ((62, 150, 3), np.float32, {0, 1})
    stays, rewarded = X[:, 1:, 1] == y[:, 1:], X[:, 1:, 2] == 1  # there is a rule to learn
    assert stays[rewarded].mean() > stays[~rewarded].mean() + 0.2
    for fold in (big.fold(name) for name in big.names(1)):
        assert np.array_equal(np.sort(np.concatenate(fold)), np.arange(62))
    row = ours.whole(task, 2)
    assert row["fits"] == len(task.names()) == 12
    with pytest.raises(RuntimeError, match="epochs"):
        ours.fitted(task, task.names(3)[:1], 1, {"epochs": 0})
