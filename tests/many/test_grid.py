import itertools
import multiprocessing
import os
import pickle
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from network_cases import LABELS, LENGTHS, REALS, RNG, M, S, X, make

import cgru
from cgru.many import Grid, GridJob, Job, fit_many, grid_jobs
from cgru.many.jobs import SharedData, cost_of

GROUPS = np.repeat([f"patient {i}" for i in range(8)], 3)
QUICK = {"epochs": 2, "batch_size": 8}


def regression(units=2, seed=0):
    return cgru.Network([cgru.GRU(units), cgru.Dense(2, cgru.identity)], seed=seed)


def at_steps(units=2, seed=0):
    return cgru.Network([cgru.GRU(units, sequences=True), cgru.Dense(3, cgru.softmax)], seed=seed)


@pytest.fixture(scope="module")
def grid():
    axes = {"units": [3, 1], "l1": [0, {"*.W": 0.1}], "epochs": 4, "batch_size": 8, "patience": 2}
    return cgru.grid(make, X, LABELS, folds=3, inner_folds=2, seeds=2, repeats=2, **axes)


def by_hand(records):
    """(setting, validation loss, test losses) of each (repeat, fold), without the house's help."""
    chosen = {}
    for repeat, fold in itertools.product(range(2), range(3)):
        best = None
        for units, l1 in itertools.product([1, 3], [0, {"*.W": 0.1}]):
            losses, tests = [], []
            for inner in range(2):
                at = {"units": units, "l1": l1, "repeat": repeat, "fold": fold, "inner": inner}
                starts = [r for r in records if r["place"] in [at | {"seed": 0}, at | {"seed": 1}]]
                assert len(starts) == 2
                start = min(starts, key=lambda r: r["scores"]["validation_loss"])
                losses.append(start["scores"]["validation_loss"])
                tests.append(start["scores"]["test_loss"])
            if best is None or np.mean(losses) < best[1]:
                best = {"units": units, "l1": l1}, np.mean(losses), tests
        chosen[repeat, fold] = best
    return chosen


# --- what comes out ---


def test_choices_are_those_by_hand(grid):
    assert len(grid) == 2 * 3 * 2 * 4 * 2
    due = by_hand(grid)
    assert len({str(setting) for setting, *_ in due.values()}) > 1  # else this says little
    for choice in grid.chosen():
        setting, loss, tests = due[choice["repeat"], choice["fold"]]
        assert {name: choice[name] for name in ("units", "l1")} == setting
        np.testing.assert_allclose(choice["validation_loss"], loss, rtol=1e-12)
        np.testing.assert_allclose(choice["test_loss"], np.mean(tests), rtol=1e-12)
        np.testing.assert_allclose(choice["test_loss_spread"], np.std(tests), rtol=1e-12)
    scores = [np.mean(tests) for *_, tests in due.values()]
    np.testing.assert_allclose(grid.score()["test_loss"], np.mean(scores), rtol=1e-12)
    np.testing.assert_allclose(grid.score()["test_loss_spread"], np.std(scores), rtol=1e-12)
    assert set(grid.score()) == {f"test_{name}{what}" for name in ("loss", "accuracy") for what in ("", "_spread")} | {
        "folds"
    }


def test_records_are_plain(grid):
    record = grid[0]
    assert list(record) == ["name", "place", "scores", "seconds", "error"]
    assert record["name"] == "units=3 l1=0 repeat=0 fold=0 inner=0 seed=0"
    assert record["place"] == {"units": 3, "l1": 0, "repeat": 0, "fold": 0, "inner": 0, "seed": 0}
    assert record["error"] is None
    assert record["seconds"] > 0
    assert {"epoch", "loss", "validation_loss", "test_loss", "test_accuracy"} <= record["scores"].keys()
    assert grid.networks == {}
    assert grid.missing == 0


def test_the_same_again_on_any_number_of_threads(grid):
    axes = {"units": [3, 1], "l1": [0, {"*.W": 0.1}], "epochs": 4, "batch_size": 8, "patience": 2}
    again = cgru.grid(make, X, LABELS, folds=3, inner_folds=2, seeds=2, repeats=2, threads=1, **axes)
    assert [r["scores"] for r in again] == [r["scores"] for r in grid]


def test_a_fit_is_that_of_the_network_alone():
    data = {"lengths": LENGTHS, "sample_weight": RNG.random(M)}
    jobs = grid_jobs(make, X, LABELS, **data, folds=3, inner_folds=2, seeds=[7], units=[2, 4], l2=1e-3, **QUICK)
    found = Grid(job.record(r) for job, r in zip(jobs, fit_many(jobs, X, LABELS, **data, keep=False), strict=True))
    for job, record in zip(jobs, found, strict=True):
        parts = [
            (X[rows], LABELS[rows], LENGTHS[rows], data["sample_weight"][rows])
            for rows in (job.rows, job.validation_rows, job.test_rows)
        ]
        net = make(job.place["units"], 7)
        x, y, lengths, weights = parts[0]
        history = net.fit(x, y, lengths=lengths, sample_weight=weights, validation=parts[1], l2=1e-3, **QUICK)
        test = net.evaluate(*parts[2][:3], sample_weight=parts[2][3])
        assert record["scores"]["validation_loss"] == min(history.validation_loss)
        assert record["scores"]["test_loss"] == test["loss"]
    whole = cgru.grid(make, X, LABELS, **data, folds=3, inner_folds=2, seeds=[7], units=[2, 4], l2=1e-3, **QUICK)
    assert [r["scores"] for r in whole] == [r["scores"] for r in found]


# --- who sees what ---


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("inner", [{"inner_folds": 3}, {"validation": 0.3}])
def test_no_test_sample_is_seen_before(groups, inner):
    jobs = grid_jobs(make, X, LABELS, groups=groups, folds=4, repeats=2, units=[1, 2], seeds=2, **inner)
    tested = {}
    for job in jobs:
        parts = [job.rows, job.validation_rows, job.test_rows]
        assert sorted(np.concatenate(parts)) == list(range(M))  # each sample in one of them
        tested[job.place["repeat"], job.place["fold"]] = job.test_rows
        if groups is not None:
            for a, b in itertools.combinations(parts, 2):
                assert not set(groups[a]) & set(groups[b])
    for repeat in range(2):
        assert sorted(np.concatenate([tested[repeat, fold] for fold in range(4)])) == list(range(M))
    assert not np.array_equal(tested[0, 0], tested[1, 0])


def test_each_sample_that_is_not_tested_validates_once():
    jobs = grid_jobs(make, X, LABELS, folds=3, inner_folds=4)
    for fold in range(3):
        rows = np.concatenate([job.validation_rows for job in jobs if job.place["fold"] == fold])
        assert len(rows) == len(set(rows)) == 16


def test_all_settings_and_starts_validate_with_the_same_samples():
    """A share that `fit` draws is another one for each seed, and could not be compared."""
    jobs = grid_jobs(make, X, LABELS, folds=2, validation=0.25, units=[1, 2], seeds=3)
    assert len({job.validation_rows.tobytes() for job in jobs if job.place["fold"] == 0}) == 1
    assert len({job.validation_rows.tobytes() for job in jobs}) == 2
    assert {len(job.validation_rows) for job in jobs} == {3}


def test_inner_folds_are_drawn_anew_for_each_fold_and_repeat():
    jobs = grid_jobs(make, X, LABELS, folds=[(range(12), range(12, 24)), (range(12), range(12, 20))], inner_folds=2)
    assert jobs[0].validation_rows.tolist() != jobs[2].validation_rows.tolist()


def test_folds_are_even_in_classes_of_any_kind():
    names = np.array(["a", "b", "c"])[LABELS]
    for y in (LABELS, names, np.eye(3)[LABELS].astype(int), LABELS.tolist()):
        for job in grid_jobs(make, X, y, folds=4, inner_folds=3):
            assert np.bincount(LABELS[job.test_rows]).tolist() == [2, 2, 2]
            assert np.bincount(LABELS[job.validation_rows]).tolist() == [2, 2, 2]


def test_folds_share_their_rows():
    """One array for all settings and starts."""
    jobs = grid_jobs(make, X, LABELS, folds=2, inner_folds=2, units=[1, 2], seeds=2)
    for name in ("rows", "validation_rows"):
        assert len({id(getattr(job, name)) for job in jobs}) == 4
    assert len({id(job.test_rows) for job in jobs}) == 2


# --- kinds of data ---


@pytest.mark.parametrize(
    ("make", "y", "lengths"),
    [
        (make, LABELS, LENGTHS),
        (make, np.array(["a", "b", "c"])[LABELS], None),
        (regression, REALS, None),
        (at_steps, LABELS[:, None] + np.zeros(S, int), LENGTHS),
    ],
)
def test_kinds_of_targets(make, y, lengths):
    weights = RNG.random(M)
    found = cgru.grid(make, X, y, lengths=lengths, sample_weight=weights, folds=2, inner_folds=2, units=[1, 2], **QUICK)
    assert [record["error"] for record in found] == [None] * 8
    assert ("test_accuracy" in found.score()) == (make is not regression)


def test_lists_of_arrays_and_files(tmp_path):
    ragged = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "lengths.npy", LENGTHS)
    names = [str(tmp_path / f"{name}.npy") for name in ("X", "y", "lengths")]
    options = {"folds": 2, "inner_folds": 2, "groups": GROUPS, "keep": "best", **QUICK}
    due = cgru.grid(make, X, LABELS, lengths=LENGTHS, **options)
    for found in (
        cgru.grid(make, ragged, LABELS.tolist(), **options),
        cgru.grid(make, names[0], names[1], lengths=names[2], **options),
    ):
        assert [r["scores"] for r in found] == [r["scores"] for r in due]
        assert found.networks.keys() == due.networks.keys() == {(0, 0), (0, 1)}


def test_metrics_are_told():
    metrics = {"mistakes": lambda y, A: float((A.argmax(axis=1) != y).sum())}
    found = cgru.grid(make, X, LABELS, folds=2, inner_folds=2, metrics=metrics, **QUICK)
    assert {"test_mistakes", "test_mistakes_spread"} <= found.score().keys()


# --- folds of others ---


@pytest.fixture(scope="module")
def selection():
    return pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")


def test_splitters_of_scikit_learn(selection):
    outer, inner = selection.StratifiedKFold(4, shuffle=True, random_state=3), selection.KFold(3)
    jobs = grid_jobs(make, X, LABELS, folds=outer, inner_folds=inner)
    assert len(jobs) == 12
    for (fold, (train, test)), own in zip(enumerate(outer.split(X, LABELS)), range(0, 12, 3), strict=True):
        for number, (rows, held_out) in enumerate(inner.split(train)):
            job = jobs[own + number]
            assert (job.place["fold"], job.place["inner"]) == (fold, number)
            assert np.array_equal(job.rows, train[rows])
            assert np.array_equal(job.validation_rows, train[held_out])
            assert np.array_equal(job.test_rows, test)
    jobs = grid_jobs(make, X, LABELS, groups=GROUPS, folds=3, inner_folds=selection.LeaveOneGroupOut())
    assert all(len(set(GROUPS[job.validation_rows])) == 1 for job in jobs)


def test_pairs():
    jobs = grid_jobs(make, X, LABELS, folds=[(range(10), range(10, 15)), (range(5), range(20, 24))])
    assert [job.rows.tolist() for job in jobs] == [list(range(10)), list(range(5))]
    assert [job.test_rows.tolist() for job in jobs] == [list(range(10, 15)), list(range(20, 24))]
    assert [job.place["inner"] for job in jobs] == [None, None]
    assert jobs[0].name == "repeat=0 fold=0 seed=0"
    assert jobs[0].validation_rows is None


# --- jobs ---


def test_jobs_can_be_sent_elsewhere():
    (job, *_) = grid_jobs(make, X, LABELS, folds=2, inner_folds=2, units=(4, 5), seeds=[3], l2=0.5)
    assert isinstance(job, GridJob)
    again = pickle.loads(pickle.dumps(job))
    assert (again.name, again.place) == (job.name, job.place)
    net = again.network()
    assert (net.layers[0].d["u"], net.seed, again.options) == (4, 3, {"l2": 0.5})


def test_the_longest_begin_first():
    jobs = grid_jobs(
        make, X, LABELS, folds=[(range(10), [10]), (range(20), [20])], validation=0.5, units=[1, 30], epochs=9
    )
    assert sorted(range(4), key=lambda i: -jobs[i].cost) == [3, 1, 2, 0]
    due = Job(make(1), rows=jobs[0].rows, epochs=9)
    assert jobs[0].cost == pytest.approx(cost_of(due, SharedData(X, LABELS)))


def test_a_name_goes_to_make_before_it_goes_to_fit():
    def own(epochs, seed):
        seen.append(epochs)
        return make(2, seed)

    seen = []
    (job, *_) = grid_jobs(own, X, LABELS, epochs=3)
    assert seen == [3]
    assert job.options == {}


def test_what_fit_does_not_take_goes_to_a_make_of_anything():
    def anything(**options):
        seen.append(options)
        return make()

    seen = []
    (job, *_) = grid_jobs(anything, X, LABELS, epochs=3, units=[4])
    assert seen == [{"units": 4}]
    assert job.options == {"epochs": 3}
    assert job.place["seed"] is None
    assert job.name == "units=4 repeat=0 fold=0"


def test_a_range_is_an_axis():
    jobs = grid_jobs(make, X, LABELS, inner_folds=2, units=range(1, 3))
    assert [job.place["units"] for job in jobs[:2]] == [1, 2]


def test_values_are_told_as_they_are():
    def kinds(of, seed):
        return make(2, seed)

    values = [np.float64(0.5), np.int64(3), None, "word", cgru.tanh, {"a": 1}]
    jobs = grid_jobs(kinds, X, LABELS, folds=[([0, 1, 2, 3], [4])], validation=0.5, of=values)
    assert [job.place["of"] for job in jobs] == [0.5, 3, None, "word", cgru.tanh, {"a": 1}]
    assert [type(job.place["of"]) for job in jobs[:2]] == [float, int]
    said = ["0.5", "3", "None", "word", "tanh", "{'a': 1}"]
    assert [job.name for job in jobs] == [f"of={each} repeat=0 fold=0 seed=0" for each in said]


# --- networks ---


def test_the_best_networks_are_kept():
    options = {"folds": 2, "inner_folds": 3, "seeds": 2, "units": [1, 3], **QUICK}
    found = cgru.grid(make, X, LABELS, keep="best", **options)
    jobs = {job.name: job for job in grid_jobs(make, X, LABELS, **options)}
    assert list(found.networks) == [(0, 0), (0, 1)]
    for choice in found.chosen():
        networks = found.networks[choice["repeat"], choice["fold"]]
        assert len(networks) == 3
        rows = [jobs[name].test_rows for name in choice["kept"]]
        losses = [net.evaluate(X[r], LABELS[r])["loss"] for net, r in zip(networks, rows, strict=True)]
        assert np.mean(losses) == choice["test_loss"]
        assert {net.layers[0].d["u"] for net in networks} == {choice["units"]}


def test_networks_that_cannot_be_had_again():
    def unseeded():
        return cgru.Network([cgru.GRU(2), cgru.Dense(3, cgru.softmax)])

    with pytest.raises(ValueError, match="keep: expected None where networks have no seed"):
        cgru.grid(unseeded, X, LABELS, folds=2, keep="best")


def test_networks_that_come_out_otherwise():
    def fickle(seed):
        """Looked at twice, fitted twice, fitted again, and then once more in another way."""
        calls.append(seed)
        return make(2, seed + (len(calls) == 6))

    calls = []
    with pytest.warns(RuntimeWarning, match="grid: 1 of 2 fits did not come to the same the second time"):
        found = cgru.grid(fickle, X, LABELS, folds=2, keep="best", threads=1, **QUICK)
    assert len(found.networks) == 1
    assert found.score()["folds"] == 2


# --- what goes wrong ---


def test_fits_that_fail_are_told():
    def failing(units, seed):
        optimizer = cgru.SGD(1e160) if units == 1 else "adam"
        return cgru.Network([cgru.GRU(units), cgru.Dense(2, cgru.identity)], optimizer=optimizer, seed=seed)

    found = cgru.grid(failing, X, REALS, folds=2, inner_folds=2, units=[1, 2], keep="best", **QUICK)
    first, second = found.table()
    assert (first["fits"], first["failed"], first["folds"], first["test_loss"]) == (4, 4, 0, None)
    assert (second["fits"], second["failed"], second["folds"]) == (4, 0, 2)
    assert [(choice["units"], choice["left_out"]) for choice in found.chosen()] == [(2, [{"units": 1}])] * 2
    assert "diverged" in found[0]["error"]
    assert len(found.networks) == 2
    found = cgru.grid(failing, X, REALS, folds=2, units=1, keep="best", **QUICK)
    assert found.networks == {}
    assert found.chosen()[0]["error"] is not None


def pressed(stopping):
    """Ctrl-C, whose end is waited for."""
    stopping.clear()
    os.kill(os.getpid(), signal.SIGINT)
    assert stopping.wait(60)


@pytest.fixture
def ctrl_c():
    """It means what it does at a prompt, in a test run in the background, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


unix = pytest.mark.skipif(os.name != "posix", reason="no such signals")


@unix
@pytest.mark.usefixtures("ctrl_c")
def test_interrupted(stopping):
    def interrupt(epoch):
        if next(count) == 4:  # of 12
            pressed(stopping)

    count = itertools.count()
    with pytest.warns(RuntimeWarning, match="fit_many: interrupted"):
        found = cgru.grid(make, X, LABELS, folds=3, inner_folds=2, keep="best", callback=interrupt, threads=1, **QUICK)
    assert (found.missing, len(found)) == (4, 2)
    assert f"{found.missing} missing" in repr(found)
    assert found.networks == {}
    assert all(record["error"] is None for record in found)


@unix
@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_while_the_best_are_fitted_again(stopping):
    def interrupt(epoch):
        if next(count) == 6 * QUICK["epochs"] + 1:
            pressed(stopping)

    count = itertools.count()
    with pytest.warns(RuntimeWarning) as caught:
        found = cgru.grid(make, X, LABELS, folds=3, inner_folds=2, keep="best", callback=interrupt, threads=1, **QUICK)
    assert [str(each.message).partition(";")[0] for each in caught] == ["fit_many: interrupted"]
    assert (found.missing, len(found)) == (0, 6)
    assert len(found.networks) < 3
    assert found.score()["folds"] == 3


@pytest.mark.slow
def test_on_processes():
    options = {"folds": 3, "inner_folds": 2, "units": [1, 3], "seeds": 2, "keep": "best", **QUICK}
    due = cgru.grid(make, X, LABELS, **options)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        found = cgru.grid(make, X, LABELS, executor=executor, **options)
    assert [r["error"] for r in found] == [None] * len(due)
    assert [r["scores"] for r in found] == [r["scores"] for r in due]
    assert repr(found) == repr(due)
    assert found.networks.keys() == due.networks.keys()


def test_five_folds_where_nobody_says():
    assert len(grid_jobs(make, X, LABELS)) == len(cgru.grid(make, X, LABELS, **QUICK)) == 5


def test_what_runs_it_is_passed_on(monkeypatch):
    def fake(jobs, **options):
        seen.append(options)
        return fit_many(jobs, options["X"], options["y"])

    seen = []
    monkeypatch.setattr(sys.modules["cgru.many.grid"], "fit_many", fake)
    cgru.grid(make, X, LABELS, folds=2, threads=3, executor="elsewhere", keep="best", **QUICK)
    assert [each["executor"] for each in seen] == ["elsewhere"] * 2
    assert [each["threads"] for each in seen] == [3, 3]
    assert [each.get("keep", True) for each in seen] == [False, True]
    assert seen[0]["progress"] is False
    cgru.grid(make, X, LABELS, folds=2, progress=True, **QUICK)
    assert seen[2]["progress"] is True


def unlike(units, seed):
    head = cgru.Dense(3, cgru.softmax) if units == 1 else cgru.Dense(3, cgru.identity)
    return cgru.Network([cgru.GRU(units), head], seed=seed)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"make": 3}, TypeError, "make: expected a callable, got int"),
        ({"make": lambda: 3}, TypeError, "make: expected a function that makes a Network, got int"),
        ({"make": unlike, "units": [1, 2]}, ValueError, "make: expected the same loss for all settings, got cross"),
        ({"unitz": [1]}, TypeError, r"unitz: expected a parameter of make \(units, seed\) or an option of Network.fit"),
        ({"seed": 3}, TypeError, "seed: expected no setting of that name; seeds= has the seeds"),
        ({"make": lambda fold: make(), "fold": [1]}, TypeError, "fold: expected another name for an axis"),
        ({"make": lambda test_me: make(), "test_me": [1]}, TypeError, "test_me: expected another name for an axis"),
        ({"checkpoint": "here"}, TypeError, "checkpoint: expected none"),
        ({"class_weight": ["balanced", None]}, ValueError, "class_weight: expected one value, as scores"),
        ({"standardize_targets": [True, False]}, ValueError, "standardize_targets: expected one value"),
        ({"shrink": [True, False]}, ValueError, "shrink: expected one value"),
        ({"metrics": [{"a": max}, {"b": max}]}, ValueError, "metrics: expected one value"),
        ({"metrics": {"validation_loss": max}}, ValueError, "metrics: expected another name than validation_loss"),
        ({"units": []}, ValueError, "units: expected one value at least, got none"),
        ({"units": [1, "1"]}, ValueError, "units: expected values that differ in their names, got 1 more than once"),
        ({"epochs": [1, 0]}, ValueError, "epochs: expected at least 1, got 0"),
        ({"inner_folds": None, "patience": 3}, ValueError, "patience: expected a validation share or set beside it"),
        (
            {"inner_folds": None, "units": [1, 2]},
            ValueError,
            "inner_folds: expected some, or .* 2 settings and 1 seeds",
        ),
        ({"inner_folds": None, "seeds": 2}, ValueError, "inner_folds: expected some, or .* 1 settings and 2 seeds"),
        ({"inner_folds": 2, "validation": 0.2}, ValueError, "validation: expected None beside inner_folds"),
        ({"inner_folds": None, "validation": 1}, ValueError, "validation: expected a number above 0 and below 1"),
        ({"inner_folds": None, "validation": 0}, ValueError, "validation: expected a number above 0 and below 1"),
        ({"inner_folds": None, "validation": (X, LABELS)}, TypeError, "validation: expected a number, got tuple"),
        ({"inner_folds": [([0], [1])]}, TypeError, "inner_folds: expected an integer, a splitter or None, got list"),
        ({"inner_folds": 17}, ValueError, "inner_folds: expected at most 16, as many as there are samples, got 17"),
        ({"folds": 25}, ValueError, "folds: expected at most 24, as many as there are samples, got 25"),
        ({"folds": 9, "groups": GROUPS}, ValueError, "folds: expected at most 8, as many as there are groups, got 9"),
        ({"groups": GROUPS[1:]}, ValueError, r"groups: expected shape \(24,\)"),
        ({"repeats": 0}, ValueError, "repeats: expected at least 1, got 0"),
        ({"repeats": 2, "folds": [([0, 1], [2])]}, ValueError, "repeats: expected 1 unless folds is an integer, got 2"),
        ({"seeds": 0}, ValueError, "seeds: expected at least 1, got 0"),
        (
            {"seeds": [1, 1]},
            ValueError,
            r"seeds: expected a number of them, or such from 0 on that differ, got \[1, 1\]",
        ),
        ({"seeds": [0, -1]}, ValueError, r"seeds: expected a number of them, or such from 0 on .* got \[0, -1\]"),
        ({"seeds": [0.5]}, TypeError, "seeds: expected integers"),
        ({"make": lambda: make(), "seeds": 2}, ValueError, "seeds: expected 1 for a make without a parameter"),
        ({"keep": "all"}, ValueError, "keep: expected \"best\" or None, got 'all'"),
        ({"X": None, "y": None}, ValueError, "X: expected samples, got None"),
        ({"X": [], "y": []}, ValueError, "X: expected samples, got none"),
        ({"y": LABELS[1:]}, ValueError, "y: expected as many as X has samples, 24, got 23"),
        ({"y": [None, *LABELS[1:]]}, TypeError, "y: expected real numbers, got dtype object"),
        ({"y": LABELS + 1}, ValueError, "y: expected integers from 0 to 2 for cross_entropy, got 3"),
        ({"y": np.where(LABELS > 0, "b", "a")}, ValueError, "y: expected the names of 3 classes, got 2"),
        ({"X": np.where(np.arange(M)[:, None, None] == 20, np.nan, X)}, ValueError, "X: expected finite .* sample 20"),
        ({"lengths": LENGTHS - 1}, ValueError, "lengths: expected integers from 1 to 6, the steps of the input, got 0"),
        ({"sample_weight": -np.ones(M)}, ValueError, "sample_weight: expected finite numbers of at least 0"),
    ],
)
def test_refused_before_any_fit(options, error, words):
    given = {"make": make, "X": X, "y": LABELS, "folds": 3, "inner_folds": 2, "callback": pytest.fail} | options
    with pytest.raises(error, match=words):
        cgru.grid(**given)


def test_axes_that_cannot_be_compared_may_have_one_value():
    jobs = grid_jobs(make, X, LABELS, inner_folds=2, class_weight=["balanced"], units=[1, 2])
    assert jobs[0].place["class_weight"] == "balanced"


def test_without_folds_there_is_a_choice_and_no_honest_score():
    found = cgru.grid(make, X, LABELS, folds=None, validation=0.25, units=[1, 2], epochs=2, batch_size=8)
    (choice,) = found.chosen()
    assert choice["error"] is None
    assert all("test_loss" not in record["scores"] for record in found)
    with pytest.raises(ValueError, match="score: expected folds that hold samples out for a test, got none"):
        found.score()


def test_a_grid_hands_each_sample_its_factors():
    decay = np.random.default_rng(1).random(X.shape[:2])
    options = {"folds": 2, "validation": 0.3, "units": [2, 3], "epochs": 2}
    found, plain = (cgru.grid(make, X, LABELS, **options, **given) for given in ({"decay": decay}, {}))
    assert [record["error"] for record in found] == [None] * 4
    assert found.score() != plain.score()
    times = cgru.grid(make, X, LABELS, **options | {"units": 2}, decay=np.ones_like(decay))
    assert times.score() == cgru.grid(make, X, LABELS, **options | {"units": 2}).score()
    with pytest.raises(ValueError, match=r"decay: expected factors from 0 to 1, got -1.0 in sample 0, step 0"):
        cgru.grid(make, X, LABELS, **options, decay=-np.ones_like(decay))
