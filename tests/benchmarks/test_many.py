"""Many small fits: the task, that unequal work is not timed, what is measured of ours, and what is said of it."""

import re

import numpy as np
import pytest


@pytest.fixture(scope="module")
def many(module):
    return module("many")


@pytest.fixture(scope="module")
def tasks(module):
    return module("fits.task")


@pytest.fixture(scope="module")
def ours(module):
    return module("fits.ours")


@pytest.fixture(scope="module")
def small(tasks):
    return tasks.Task(sizes=(1, 3), seeds=2, outer=3, sessions=10, shortest=3, longest=12, epochs=4, patience=3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "unrecognized arguments: nowhere"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--cores", "0"], "--cores: expected 1 to "),
        (["--cores", "100000"], "got 100000"),
        (["--readme", "benchmarks/many.py"], "expected <!-- many --> and then <!-- /many -->, once each"),
    ],
)
def test_bad_options(many, capsys, tmp_path, arguments, complaint):
    if arguments[0] == "--readme":
        (tmp_path / "README.md").write_text("no markers")
        arguments = ["--readme", str(tmp_path / "README.md")]
    with pytest.raises(SystemExit, match="2"):
        many.main(arguments)
    assert complaint in capsys.readouterr().err


def test_the_task_has_1890_fits_of_50_sessions(tasks):
    task = tasks.Task()
    names = task.names()
    assert len(set(names)) == len(names) == 1890
    assert task.names(5)[:2] == [tasks.Name(5, 0, 0, 0), tasks.Name(5, 0, 1, 0)]
    X, y, lengths = task.data()
    assert X.shape == (62, 150, 3)
    assert X.dtype == np.float32
    assert set(np.unique(y)) == {0, 1}
    assert 30 <= lengths.min() < 40 < 140 < lengths.max() <= 150
    assert np.array_equal(X[:, 1:, 1], y[:, :-1])  # the choice before
    assert np.array_equal(X[:, 1:, :2].sum(axis=2), np.ones((62, 149)))
    assert not X[:, 0].any()
    folds = [task.fold(name) for name in task.names(1)]
    for fold in folds:
        assert list(map(len, fold)) == [50, 6, 6]
        assert np.array_equal(np.sort(np.concatenate(fold)), np.arange(62))
    assert len({tuple(fold.train) for fold in folds}) == 45  # which of two held-out parts is which does not matter
    assert len({tuple(map(tuple, fold)) for fold in folds}) == 90


def test_choices_follow_rewards(tasks):
    """There is a rule to learn: after a reward the same choice comes more often than after none."""
    X, y, _ = tasks.Task().data()
    stays, rewarded = X[:, 1:, 1] == y[:, 1:], X[:, 1:, 2] == 1
    assert stays[rewarded].mean() > stays[~rewarded].mean() + 0.2


@pytest.mark.parametrize("library", ["torch", pytest.param("jax", marks=pytest.mark.nightly)])
def test_rivals_train_as_we_do(many, module, small, library):
    """Alone and side by side; and what does not is no rival."""
    pytest.importorskip(library, reason=f"no {library}")
    base, found = module("fits.base"), list(module(f"fits.{library}").CLASSES)
    small = small._replace(sizes=(3,))
    row = many.same(small, found, lambda function, tasks: [function(*each) for each in tasks])
    assert row["first"].keys() == row["last"].keys() == {kind.name for kind in found}
    assert 0 < max(row["first"].values()) < 2e-5
    assert max(row["last"].values()) < 1e-3
    names = tuple(small.names(3)[: found[-1].together])
    assert 0 < base.timed(found[-1], small, names) < 1e4

    class Wrong(found[0]):
        def epochs(self, n):
            return super().epochs(n) * 1.0001

    with pytest.raises(RuntimeError, match=r"and cgru differ by 1\.0e-04 in the first 5 epochs"):
        many.same(small, [Wrong], lambda function, tasks: [function(*each) for each in tasks])


def test_a_rival_stops_where_we_do(module, small, ours, tasks):
    """The best parameters that it keeps are those of our fit."""
    pytest.importorskip("torch", reason="no torch")
    name = tasks.Name(3, 1, 2, 0)
    rival = module("fits.torch").Torch(small, (name,))
    losses = rival.epochs(small.epochs)[:, 0, 1]
    (result,) = ours.fitted(small, [name], 1)
    assert rival.lowest == losses.min() == pytest.approx(result.scores["validation_loss"], rel=1e-5)
    due = result.network.head.p["W"].T
    assert np.allclose(rival.best[-2].numpy(), due, atol=1e-4)


def test_all_fits_and_samples_of_them(ours, small):
    row = ours.whole(small, 2)
    assert row["fits"] == len(small.names()) == 24
    assert row["seconds"] > 0
    assert [0 < n <= 12 * small.epochs for n in row["epochs"]] == [True, True]
    assert ours.timed(small, small.names(1)[:3], 2) > 0
    assert [name.u for name in ours.mixed(small, 2)] == [1, 1, 3, 3]


def test_a_fit_that_fails_is_an_error(ours, small):
    with pytest.raises(RuntimeError, match=r"cgru.fit_many: Name\(u=1, .*epochs: expected"):
        ours.fitted(small, small.names(1)[:1], 1, {"epochs": 0})


@pytest.mark.slow
def test_threads_memory_and_a_jobs_own_cost(ours, small):
    assert ours.threads(small, 1, 2, 0.001)["ratio"] > 0
    row = ours.memory(small, 20, 2)
    assert row["fits"] == [2, 20]
    assert 1 < row["mib"][0] < 1e5
    ms = ours.overhead(small, 5, 0.001)["ms"]
    assert ms.keys() == {"job", "draws", "update", "rest"}
    assert ms["job"] > ms["draws"] > 0
    ratio = ours.batches((2, 3), 1, 0.001)["ratio"]
    assert ratio.keys() == {"2", "3"}
    assert min(ratio.values()) > 0


@pytest.mark.slow
def test_dask(run, folder):
    pytest.importorskip("distributed", reason="no distributed")
    program = """
from benchmarks.fits import ours
from benchmarks.fits.task import Task
if __name__ == "__main__":
    row = ours.dask(Task(sizes=(2,), longest=40, epochs=2), 4, 2, 0.01)
    print(row["workers"], row["ratio"] > 0)
"""
    (folder / "dask_small.py").write_text(program)
    done = run("dask_small.py")
    assert done.stdout == "2 True\n", done.stderr


@pytest.mark.slow
def test_the_command(run, folder):
    """All parts of a small task, and the section of the README."""
    pytest.importorskip("joblib", reason="no joblib")
    (folder / "README.md").write_text("# before\n<!-- many -->\nold\n<!-- /many -->\n# after\n")
    program = """
import sys
from functools import partial
from benchmarks import many
from benchmarks.fits.task import Task
many.TOLERANCE = 1  # in the process that measures, too, which imports this file anew
many.FITS.update(memory=20, overhead=3)
many.SPREAD.update(threads=3)
many.EPOCHS = 1
if __name__ == "__main__":
    many.Task = lambda **given: Task(**given or {"sizes": (2,), "seeds": 1, "outer": 3, "longest": 40, "epochs": 5})
    sys.exit(many.main(sys.argv[1:]))
"""
    (folder / "small.py").write_text(program)
    options = ["--cores", "1", "--seconds", "0.01", "--memory", "--readme", "README.md", "--json", "many.json"]
    done = run("small.py", *options)
    assert done.returncode in (0, 1), done.stderr
    section = (folder / "README.md").read_text()
    assert section.startswith("# before\n<!-- many -->\n6 fits, 3 times 2 folds, 1 seeds, 1 sizes"), done.stderr
    assert section.endswith("<!-- /many -->\n# after\n")
    assert "| 2 units |" in done.stdout
    assert "1 threads are" in section
    assert re.search("after 20 .*, networks not kept", section)


ROWS = [
    {
        "part": "about", "cores": 2, "names": ["cgru.fit_many", "PyTorch", "JAX", "JAX, vmap"],
        "missing": {"Flax": "gone"},
        "machine": "M", "instructions": "avx2", "date": "today", "commit": None, "versions": ["cgru 1", "PyTorch 2"],
        "task": {"sizes": [1, 20]},
    },
    {"part": "whole", "fits": 1890, "seconds": 12.34, "epochs": [1000, 3000]},
    {
        "part": "same", "first": {"PyTorch": 2e-7, "JAX": 3e-6, "JAX, vmap": 4e-6},
        "last": {"PyTorch": 0.001, "JAX": 0.002, "JAX, vmap": 0.003},
    },
    {
        "part": "size", "u": 1, "ms": {"cgru.fit_many": 0.5, "PyTorch": 20.0, "JAX": 2.0, "JAX, vmap": 1.0},
        "ratio": {"PyTorch": 40.0, "JAX": 4.0, "JAX, vmap": 2.5},
    },
    {
        "part": "size", "u": 20, "ms": {"cgru.fit_many": 2.0, "PyTorch": 24.0, "JAX": 8.0, "JAX, vmap": 16.0},
        "ratio": {"PyTorch": 12.5, "JAX": 4.5, "JAX, vmap": 8.0},
    },
]  # fmt: skip


def test_table(many):
    """The total is weighed by the epochs; what is below its target is in bold."""
    assert many.table(ROWS) == [
        "| ms an epoch | cgru.fit_many | PyTorch | JAX | JAX, vmap | PyTorch / ours | JAX / ours |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| 1 units | 0.500 | 20.000 | 2.000 | 1.000 | 40.00 | **2.50** |",
        "| 20 units | 2.000 | 24.000 | 8.000 | 16.000 | **12.50** | 4.50 |",
        "| total | 3 s | 46 s | 13 s | 24 s | **14.15** | 4.00 |",
    ]
    said = "\n".join(many.text(ROWS))
    assert "1,890 fits, 10 times 9 folds, 3 seeds" not in said  # the task has two sizes here
    assert "540 fits, 10 times 9 folds, 3 seeds, 2 sizes" in said
    assert "2 cores of M, avx2, today, commit unknown: cgru 1, PyTorch 2. Left out: Flax (gone)." in said
    assert "All fits took `fit_many` 12.3 s, 4,000 epochs" in said
    assert "in 5 epochs: PyTorch 2e-07, JAX 3e-06, JAX, vmap 4e-06; after 100: PyTorch 1e-03" in said


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ({"part": "threads", "threads": 2, "ratio": 1.95}, "2 threads are 1.95 times as fast as one."),
        (
            {"part": "dask", "workers": 2, "ratio": 1.75},
            "2 Dask workers of one thread are **1.75** times as fast as one.",
        ),
        (
            {"part": "overhead", "ms": {"job": 3.0, "draws": 0.25, "update": 2.5, "rest": 0.251}},
            "A job of 5 units with one update takes 3.00 ms: 0.25 draws its weights, 2.50 is the update, 0.25 all"
            " else.",
        ),
        (
            {"part": "batches", "ratio": {"4": 1.4, "16": 1.16}},
            "Batches handed out one by one cost nets of 4 and 16 units 1.40 and **1.16** times as much as arrays.",
        ),
        (
            {"part": "memory", "fits": [1000, 10_000], "mib": [50.04, 51.0]},
            "Resident after 1,000 fits 50.0 MiB, after 10,000 51.0 MiB, networks not kept.",
        ),
        ({"part": "about"}, ""),
    ],
)
def test_the_other_parts(many, row, due):
    assert many.rest(row) == due
