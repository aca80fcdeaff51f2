"""Whole updates: what is raced, that unequal work is not, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import some

LIBRARIES = ("PyTorch", "JAX", "Keras")


@pytest.fixture(scope="module")
def kinds(module):
    return module("updates.kinds")


@pytest.fixture(scope="module")
def race(module):
    return module("updates.race")


@pytest.fixture(scope="module")
def ours(module):
    return module("updates.ours")


@pytest.fixture(scope="module")
def small(kinds):
    """A job with every difficulty: outputs at steps, two layers, both directions."""
    return kinds.Job(kinds.Kind(4, 5, 3, 2, 3, every=True, layers=2, bidirectional=True), "float64", 3)


def test_kinds(kinds):
    """At least 14, of batches of 8 to 100, 12 to 200 steps, 3 to 100 units, all heads and losses, those of old."""
    found = kinds.KINDS
    assert len(set(found)) == len(found) >= 14
    assert {kind.m for kind in found} >= {8, 100}
    assert {kind.s for kind in found} >= {12, 200}
    assert {kind.u for kind in found} >= {3, 100}
    assert {(kind.every, kind.loss) for kind in found} == {(every, loss) for every in (0, 1) for loss in kinds.SPLIT}
    assert {(kind.layers, kind.bidirectional) for kind in found} == {(1, False), (2, False), (1, True)}
    assert list(map(str, found[:4])) == [
        "32, 20, 8, 16, 9, last state",
        "50, 150, 3, 5, 2, every step",
        "27, 29, 12, 100, 9, last state",
        "64, 100, 32, 64, 10, every step",
    ]
    assert all(kind.k == 1 for kind in found if "binary" in kind.loss)
    assert set(kinds.QUICK) <= set(found)


def test_a_kind_in_words(kinds):
    kind = kinds.Kind(1, 2, 3, 4, 1, loss=kinds.BINARY, layers=2, bidirectional=True)
    assert str(kind) == "1, 2, 3, 4, 1, last state, binary, 2 layers, bidirectional"
    assert str(kinds.Kind(1, 2, 3, 4, 5, every=True, loss=kinds.REGRESSION)) == "1, 2, 3, 4, 5, every step, regression"


def test_flop(kinds):
    """Of each layer: three times 2 m s 3u (e + u), in each direction."""
    assert kinds.Kind(2, 5, 3, 4, 1).flop == 3 * 2 * 2 * 5 * 3 * 4 * (3 + 4)
    both = kinds.Kind(2, 5, 3, 4, 1, layers=2, bidirectional=True)
    assert both.flop == 2 * 3 * 2 * 2 * 5 * 3 * 4 * ((3 + 4) + (8 + 4))


def test_data(kinds):
    """Enough batches for an epoch of some time; targets as each loss takes them."""
    job = kinds.Job(kinds.Kind(2, 5, 3, 4, 6), "float32")
    assert (job.batches, job.X.shape, job.X.dtype, job.y.shape) == (128, (256, 5, 3), np.float32, (256,))
    assert set(job.y) == set(range(6))
    job = kinds.Job(kinds.Kind(2, 5, 3, 4, 1, every=True, loss=kinds.BINARY), "float64", 2)
    assert (job.X.dtype, job.y.shape, set(job.y.flat)) == (np.float64, (4, 5), {0, 1})
    job = kinds.Job(kinds.Kind(2, 5, 3, 4, 2, loss=kinds.REGRESSION), "float32", 2)
    assert (job.y.shape, job.y.dtype, job.network().loss) == ((4, 2), np.float32, "mean_squared_error")
    assert job.network().dtype == np.float32
    assert kinds.Job(kinds.KINDS[3], "float32").batches == 32
    for u, batches in ((1317, 64), (1318, 32)):  # on both sides of half an epoch's work in 32 batches
        assert kinds.Job(kinds.Kind(1, 1, 1, u, 2), "float32").batches == batches


def test_parameters_are_the_same_each_time_and_none_is_zero(small):
    one, two = small.network().parameters(), small.network(activate="identity").parameters()
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])
        assert np.all(value)
    assert "0.forward.chh" in small.network(reset_after=True).parameters()
    assert [layer.sequences for layer in small.network().body] == [True, True]
    last = small.__class__(small.kind._replace(every=False), "float64", 1).network().body
    assert [layer.sequences for layer in last] == [True, False]
    np.testing.assert_array_equal(small.orders().random(3), small.orders().random(3))


def test_ours(ours, small):
    """An epoch is so many updates; both variants learn; the layers alone go forward and back and change nothing."""
    trainer = ours.Cgru(small)
    assert trainer.updates == 3
    start = {name: value.copy() for name, value in trainer.parameters().items()}
    loss = trainer.first()
    assert loss == pytest.approx(small.network().evaluate(small.X[:4], small.y[:4])["loss"])
    trainer.epoch()
    assert [state[0] for state in trainer.net.optimizer_state["Adam"].values()] == [4] * len(start)
    assert all((value != start[name]).any() for name, value in trainer.parameters().items())
    assert "1.backward.chh" in ours.Cgru(small, reset_after=True).parameters()

    layers = ours.Layers(small)
    states = layers.forward()
    assert [each.A.shape for each in states] == [(4, 5, 4)] * 2
    assert layers.dA.shape == (4, 5, 4)
    kept = [{name: value.copy() for name, value in layer.p.items()} for layer in layers.layers]
    layers.step()
    for layer, p in zip(layers.layers, kept, strict=True):
        for name, value in layer.p.items():
            np.testing.assert_array_equal(value, p[name])


def test_unequal_work_is_not_raced(ours, race, small):
    class Same(ours.Cgru):
        name = "another"

    race.check(ours.Cgru(small), Same(small))
    for part, factor, complaint in (
        ("first", 1 + 1e-8, r"another has a loss of \S+ and cgru of \S+ at \(4, 5, 3, 2, 3, every step, 2 layers"),
        ("first", np.nan, "another has a loss of nan"),
        ("parameters", 1 + 1e-8, r"another and cgru differ by \S+ in 0.forward.Uz after an update"),
        ("parameters", np.nan, "another and cgru differ by nan"),
    ):

        def changed(self, part=part, factor=factor):
            found = getattr(ours.Cgru, part)(self)
            return found * factor if part == "first" else {name: value * factor for name, value in found.items()}

        with pytest.raises(RuntimeError, match=complaint):
            race.check(ours.Cgru(small), type("Wrong", (Same,), {part: changed})(small))

    class Fewer(Same):
        def parameters(self):
            return {name: value for name, value in super().parameters().items() if name != "2.b"}

    with pytest.raises(RuntimeError, match="another has the parameters"):
        race.check(ours.Cgru(small), Fewer(small))


def test_float32_is_compared_less_closely(ours, race, kinds, monkeypatch):
    job = kinds.Job(kinds.Kind(4, 5, 3, 2, 3), "float32", 1)
    trainer = ours.Cgru(job)

    class Rounded(ours.Cgru):
        def first(self):
            return super().first() * (1 + 5e-6)

    race.check(trainer, Rounded(job))
    monkeypatch.setattr(Rounded, "first", lambda self: ours.Cgru.first(self) * (1 + 5e-5))
    with pytest.raises(RuntimeError, match="has a loss of"):
        race.check(ours.Cgru(job), Rounded(job))


def test_cell(ours, race, kinds, monkeypatch):
    """Times are those of an update; a library that fails is named, and the others go on."""

    class Half(ours.Cgru):
        name = "half"

        def __init__(self, job):
            super().__init__(job)
            self.updates = 2 * job.batches

    class Broken(ours.Cgru):
        name = "broken"

        def first(self):
            raise MemoryError("no room")

    def timed(calls, seconds):
        assert seconds == 0.01
        for call in calls.values():
            call()
        return {"cgru": [128.0, 256, 384, 512, 640], "half": [256.0, 256, 512, 512, 768], "layers alone": [0.5] * 5}

    monkeypatch.setattr(race, "round_robin", timed)
    kind = kinds.Kind(2, 5, 3, 4, 6)
    assert race.cell(kind, "float32", [Broken, Half], 0.01) == {
        "part": "updates",
        "threads": 1,
        "dtype": "float32",
        "kind": str(kind),
        "units": 4,
        "ms": {"cgru": 3, "half": 2, "layers alone": 0.5},
        "quartiles": {"cgru": [1.5, 4.5], "half": [1, 2.5], "layers alone": [0.5, 0.5]},
        "layers": 6,
        "ratio": {"half": pytest.approx(0.6)},  # of the ratios in each round the middle one
        "left_out": {"broken": "MemoryError: no room"},
    }


def test_what_trains_nothing_or_is_not_there_is_not_raced(race, monkeypatch):
    assert race.trainers(("ONNX Runtime", "EpyNN")) == []
    classes = {"benchmarks.updates.jax": ("steps", "epochs"), "benchmarks.updates.keras": ("keras",)}
    monkeypatch.setattr(race, "import_module", lambda name: SimpleNamespace(CLASSES=classes[name]))
    assert race.trainers(("JAX", "ONNX Runtime", "Keras")) == ["steps", "epochs", "keras"]

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(race, "import_module", missing)
    assert race.trainers() == []


def test_rows(race, kinds, monkeypatch):
    asked = []
    monkeypatch.setattr(race, "about", lambda names: iter([asked.append(names) or {"part": "about"}]))
    monkeypatch.setattr(race, "trainers", lambda names: [names])
    monkeypatch.setattr(race, "cell", lambda *given: given)
    found = list(race.rows(kinds.QUICK, (), 0.5))
    assert asked == [LIBRARIES]
    assert found == [{"part": "about"}, *((kind, "float32", [()], 0.5) for kind in kinds.QUICK)]
    next(race.rows([], ("JAX",), 0.5))
    assert asked[-1] == ("JAX",)


@pytest.mark.nightly
@pytest.mark.parametrize("least", some(1, [True, False]))  # JAX compiles for seconds
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_library_does_equal_work(run, library, least):
    """And an epoch is as many updates as it says, each of a step of about 1e-3."""
    done = run(
        "-c",
        "from benchmarks.updates.kinds import BINARY, RATE, REGRESSION, Job, Kind\n"
        "from benchmarks.updates.ours import Cgru\n"
        "from benchmarks.updates.race import check, trainers\n"
        "kind = Kind(4, 5, 3, 2, 3)\n"
        "kinds = [kind, kind._replace(every=True, k=1, loss=BINARY, bidirectional=True)]\n"
        f"if not {least}:\n"
        "    kinds = [kind._replace(every=True, layers=2, bidirectional=True), kind._replace(k=1, loss=BINARY),\n"
        "             kind._replace(every=True, loss=REGRESSION, layers=2), kind._replace(k=1, loss=REGRESSION)]\n"
        f"for each in trainers(({library!r},)):\n"
        "    for kind in kinds:\n"
        "        job = Job(kind, 'float32', 32)\n"
        "        trainer = each(job)\n"
        "        check(Cgru(job, each.reset_after), trainer)\n"
        "        before = {name: value.copy() for name, value in trainer.parameters().items()}\n"
        "        trainer.epoch()\n"
        "        moved = max(abs(value - before[name]).max() for name, value in trainer.parameters().items())\n"
        "        assert 0.25 * trainer.updates * RATE < moved < 1.5 * trainer.updates * RATE, moved\n"
        "        print(each.name, kind)\n",
    )
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        pytest.skip(f"{library} is not installed")
    assert len(done.stdout.splitlines()) >= 2
