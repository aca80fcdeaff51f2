"""Grids under nested cross-validation: who sees what, the choices, the nested score, and what is refused."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, RNG, M, S, X, make

import cgru
from cgru.many import Grid

GROUPS = np.repeat([f"patient {i}" for i in range(8)], 3)
PENALTIES = [cgru.Penalties(), cgru.Penalties({"*.W": 0.1})]
QUICK = {"epochs": 2, "batch_size": 8}
AXES = {"units": [3, 1], "penalties": PENALTIES, "epochs": 4, "batch_size": 8, "patience": 2}


def regression(units=2, seed=0):
    return cgru.Network([cgru.GRU(units), cgru.Dense(2, cgru.identity)], seed=seed)


def at_steps(units=2, seed=0):
    return cgru.Network([cgru.GRU(units, sequences=True), cgru.Dense(3, cgru.softmax)], seed=seed)


@pytest.fixture(scope="module")
def grid():
    return cgru.grid(make, X, LABELS, folds=3, inner_folds=2, seeds=2, **AXES)


@pytest.fixture
def jobs(monkeypatch):
    """A function that returns the jobs of a grid."""

    def jobs(*given, **options):
        found = []
        module = __import__("cgru.many.grid", fromlist=["fit_many"])
        monkeypatch.setattr(
            module, "fit_many", lambda jobs, *_, **__: found.extend(jobs) or [cgru.Result(0)] * len(jobs)
        )
        return found, cgru.grid(*given, **options)

    return jobs


def by_hand(records):
    """(setting, validation loss, test losses) of each fold."""
    chosen = {}
    for fold in range(3):
        best = None
        for units, penalties in itertools.product([3, 1], PENALTIES):
            losses, tests = [], []
            for inner in range(2):
                at = {"setting": {"units": units, "penalties": penalties}, "fold": fold, "inner": inner}
                starts = [r for r in records if {name: r[name] for name in at} == at]
                assert [start["seed"] for start in starts] == [0, 1]
                start = min(starts, key=lambda r: r["scores"]["validation_loss"])
                losses.append(start["scores"]["validation_loss"])
                tests.append(start["scores"]["test_loss"])
            if best is None or np.mean(losses) < best[1]:
                best = {"units": units, "penalties": penalties}, np.mean(losses), tests
        chosen[fold] = best
    return chosen


def test_choices_are_those_by_hand(grid):
    assert len(grid) == 3 * 2 * 4 * 2
    due = by_hand(grid)
    for choice in grid.chosen():
        setting, loss, tests = due[choice["fold"]]
        assert choice["setting"] == setting
        assert [record["scores"]["test_loss"] for record in choice["records"]] == tests
        np.testing.assert_allclose(choice["scores"]["validation_loss"], loss, rtol=1e-12)
    scores = [np.mean(tests) for *_, tests in due.values()]
    np.testing.assert_allclose(grid.score()["test_loss"], np.mean(scores), rtol=1e-12)
    np.testing.assert_allclose(grid.score()["test_loss_spread"], np.std(scores), rtol=1e-12)
    names = {f"test_{name}{what}" for name in ("loss", "accuracy") for what in ("", "_spread")}
    assert set(grid.score()) == names | {"folds"}
    assert repr(grid) == "Grid(48 fits, 0 failed, 0 missing)"
    shuffled = Grid(np.random.default_rng(0).permutation(np.array(grid, object)).tolist())
    assert sorted(shuffled.chosen(), key=lambda choice: choice["fold"])[0]["setting"] == due[0][0]


def test_a_fit_is_that_of_the_network_alone():
    weights = RNG.random(M)
    parts = [slice(0, 10), slice(10, 16), slice(16, M)]
    splits = {"folds": [(range(16), range(16, M))], "inner_folds": [(range(10), range(10, 16))]}
    penalties, data = cgru.Penalties(l2=1e-3), {"lengths": LENGTHS, "sample_weight": weights}
    options = QUICK | {"seeds": [7], "units": [2, 4], "penalties": penalties}
    found = cgru.grid(make, X, LABELS, **splits, **data, **options, keep=True)
    with ThreadPoolExecutor(2) as executor:
        elsewhere = cgru.grid(make, X, LABELS, **splits, **data, **options, executor=executor)
    assert [record["scores"] for record in elsewhere] == [record["scores"] for record in found]
    assert "network" not in elsewhere[0]
    for record, units in zip(found, (2, 4), strict=True):
        train, held, test = ((X[rows], LABELS[rows], LENGTHS[rows], weights[rows]) for rows in parts)
        net = make(units, 7)
        net.fit(*train[:2], lengths=train[2], sample_weight=train[3], validation=held, penalties=penalties, **QUICK)
        score = net.evaluate(*test[:3], sample_weight=test[3])
        assert record["scores"]["test_loss"] == score["loss"]
        assert record["network"].evaluate(*test[:3], sample_weight=test[3]) == score
        assert (record["setting"], record["fold"], record["inner"], record["seed"]) == ({"units": units}, 0, 0, 7)


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_no_test_sample_is_seen_before(jobs, groups):
    found, records = jobs(make, X, LABELS, groups=groups, folds=4, inner_folds=3, units=[1, 2], seeds=2, **QUICK)
    tested, validated = {}, {}
    for job, record in zip(found, records, strict=True):
        parts = [job.rows, job.validation_rows, job.test_rows]
        assert sorted(np.concatenate(parts)) == list(range(M))  # each sample in one of them
        tested.setdefault(record["fold"], set()).add(job.test_rows.tobytes())
        validated.setdefault((record["fold"], record["inner"]), set()).add(job.validation_rows.tobytes())
        if groups is not None:
            for a, b in itertools.combinations(parts, 2):
                assert not set(groups[a]) & set(groups[b])
    assert {len(rows) for rows in (*tested.values(), *validated.values())} == {1}  # the same for settings and seeds
    assert len({*itertools.chain(*tested.values())}) == 4
    assert sorted(np.concatenate([np.frombuffer(*rows, np.intp) for rows in tested.values()])) == list(range(M))


@pytest.mark.parametrize(
    "y", [LABELS, np.array(["a", "b", "c"])[LABELS], np.eye(3, dtype=int)[LABELS], LABELS.tolist()]
)
def test_folds_are_even_in_classes_of_any_kind(jobs, y):
    for job in jobs(make, X, y, folds=4, inner_folds=3)[0]:
        assert np.bincount(LABELS[job.test_rows]).tolist() == [2, 2, 2]
        assert np.bincount(LABELS[job.validation_rows]).tolist() == [2, 2, 2]


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
    more = {"lengths": lengths, "sample_weight": RNG.random(M), "metrics": {"zero": lambda y, A: 0.0}, **QUICK}
    found = cgru.grid(make, X, y, folds=2, inner_folds=2, units=[1, 2], **more)
    assert [record["error"] for record in found] == [None] * 8
    assert ("test_accuracy" in found.score()) == (make is not regression)
    assert found.score()["test_zero"] == 0


def test_lists_files_and_factors(tmp_path):
    decay = RNG.random((M, S))
    for name, array in (("X", X), ("y", LABELS), ("lengths", LENGTHS)):
        np.save(tmp_path / name, array)
    names = [str(tmp_path / f"{name}.npy") for name in ("X", "y", "lengths")]
    ragged = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
    options = {"folds": 2, "inner_folds": 2, "groups": GROUPS, **QUICK}
    due = cgru.grid(make, X, LABELS, lengths=LENGTHS, **options)
    for found in (
        cgru.grid(make, ragged, LABELS.tolist(), **options),
        cgru.grid(make, names[0], names[1], lengths=names[2], **options),
        cgru.grid(make, cgru.Sequences(X, LENGTHS, decay=np.ones_like(decay)), LABELS, **options),
    ):
        assert found.score() == due.score()
    assert cgru.grid(make, cgru.Sequences(X, LENGTHS, decay=decay), LABELS, **options).score() != due.score()


def test_splitters_of_scikit_learn_and_pairs(jobs):
    selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
    outer, inner = selection.StratifiedKFold(4, shuffle=True, random_state=3), selection.KFold(3)
    found, records = jobs(make, X, LABELS, folds=outer, inner_folds=inner)
    assert len(found) == 12
    for (fold, (train, test)), own in zip(enumerate(outer.split(X, LABELS)), range(0, 12, 3), strict=True):
        for number, (rows, held_out) in enumerate(inner.split(train)):
            job, record = found[own + number], records[own + number]
            assert (record["fold"], record["inner"]) == (fold, number)
            assert np.array_equal(job.rows, train[rows])
            assert np.array_equal(job.validation_rows, train[held_out])
            assert np.array_equal(job.test_rows, test)
    found, _ = jobs(make, X, LABELS, groups=GROUPS, folds=3, inner_folds=selection.LeaveOneGroupOut())
    assert all(len(set(GROUPS[job.validation_rows])) == 1 for job in found)
    found, _ = jobs(make, X, LABELS, folds=None, inner_folds=selection.ShuffleSplit(1, test_size=0.25), units=[1, 2])
    assert [len(job.validation_rows) for job in found] == [6, 6]
    found, _ = jobs(make, X, LABELS, folds=[(range(10), range(10, 15)), (range(5), np.arange(M) > 19)])
    assert [job.test_rows.tolist() for job in found] == [list(range(10, 15)), list(range(20, 24))]


def test_where_a_value_goes(jobs):
    def own(epochs, seed):
        seen.append(epochs)
        return make(2, seed)

    def anything(**options):
        seen.append(options)
        return make()

    seen = []
    assert jobs(own, X, LABELS, epochs=3)[0][0].options == {}
    found, records = jobs(anything, X, LABELS, epochs=3, units=range(4, 5))
    assert found[0].options == {"epochs": 3}
    assert seen == [3, {"units": 4}]
    assert (records[0]["setting"], records[0]["seed"]) == ({"units": 4}, None)


def failing(units, seed):
    optimizer = cgru.SGD(1e160) if units == 1 else "adam"
    return cgru.Network([cgru.GRU(units), cgru.Dense(2, cgru.identity)], optimizer=optimizer, seed=seed)


def test_a_setting_whose_fit_failed_is_not_chosen():
    found = cgru.grid(failing, X, REALS, folds=2, inner_folds=2, units=[1, 2], **QUICK)
    assert [choice["setting"] for choice in found.chosen()] == [{"units": 2}] * 2
    assert "diverged" in found[0]["error"]
    assert found.score()["folds"] == 2
    found = cgru.grid(failing, X, REALS, folds=2, units=1, **QUICK)
    assert found.chosen()[0] == {"fold": 0, "setting": None, "scores": {}, "records": []}


def interrupted(units, seed, stop=[]):  # noqa: B006
    stop.append(units)
    if len(stop) > 3:
        raise KeyboardInterrupt
    return make(units, seed)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((failing, REALS, {"units": 1}), id="a failed fit"),
        pytest.param((make, LABELS, {"units": 1, "folds": None}), id="no test"),
        pytest.param((interrupted, LABELS, {"units": 1, "threads": 1}), id="an interrupt"),
    ],
)
@pytest.mark.filterwarnings("ignore:fit_many")
def test_no_score_where_it_would_not_be_honest(given):
    make, y, options = given
    found = cgru.grid(make, X, y, **{"folds": 3, "inner_folds": 2, **QUICK, **options})
    assert ("missing" in str(found.missing and repr(found))) is (make is interrupted)
    with pytest.raises(ValueError, match=r"^score: "):
        found.score()


def records(*losses):
    return [
        {"setting": {"a": a}, "fold": 0, "inner": 0, "seed": seed, "error": None,
         "scores": {"validation_loss": loss, "test_loss": a}}
        for a, seed, loss in losses
    ]  # fmt: skip


def test_nan_is_never_chosen():
    nan = float("nan")
    assert Grid(records((1, 0, nan), (1, 1, 3.0), (2, 0, 4.0), (2, 1, 5.0))).score()["test_loss"] == 1
    assert Grid(records((1, 0, nan), (1, 1, nan), (2, 0, 4.0), (2, 1, 5.0))).score()["test_loss"] == 2
    with pytest.raises(ValueError, match=r"^score: "):
        Grid(records((1, 0, nan), (1, 1, nan))).score()
    with pytest.raises(ValueError, match=r"^score: "):
        Grid().score()


def unlike(units, seed):
    return make(units, seed) if units == 1 else regression(units, seed)


REFUSED = {  # the last of each is the argument that is named
    TypeError: (
        {"make": 3}, {"make": lambda: 3}, {"unitz": [1]}, {"seed": 3}, {"checkpoint": "here"}, {"validation": 0.2},
        {"inner_folds": "three"}, {"folds": True}, {"folds": []}, {"seeds": [0.5]},
    ),
    ValueError: (
        {"units": [1, 2], "make": unlike}, {"class_weight": ["balanced", None]}, {"standardize_targets": [True, False]},
        {"metrics": [{"a": max}, {"b": max}]}, {"metrics": {"validation_loss": max}}, {"units": []}, {"units": [1, 1]},
        {"epochs": [1, 0]}, {"inner_folds": None, "patience": 3}, {"units": [1, 2], "inner_folds": None},
        {"seeds": 2, "inner_folds": None}, {"inner_folds": 17}, {"folds": 1}, {"folds": 25},
        {"groups": GROUPS, "folds": 9}, {"groups": GROUPS[1:]}, {"seeds": 0}, {"seeds": [1, 1]},
        {"make": lambda: make(), "seeds": 2}, {"y": None, "X": None}, {"y": [], "X": []}, {"y": LABELS[1:]},
        {"y": LABELS + 1}, {"y": np.where(LABELS > 0, "b", "a")},
        {"X": np.where(np.arange(M)[:, None, None] == 20, np.nan, X)}, {"lengths": LENGTHS - 1},
        {"sample_weight": -np.ones(M)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("error", "options"), [(error, options) for error in REFUSED for options in REFUSED[error]])
def test_refused_before_any_fit(error, options):
    given = {"make": make, "X": X, "y": LABELS, "folds": 3, "inner_folds": 2, "callback": pytest.fail}
    with refuses(error, [*options][-1]):
        cgru.grid(**given | options)


def test_refused_folds():
    for fold, more in ((([0, 1, 2, 3], [3]), {}), ((range(4), range(4, 9)), {"groups": GROUPS})):
        with refuses(ValueError, "folds[0]"):
            cgru.grid(make, X, LABELS, folds=[fold], inner_folds=2, **more)


def test_an_axis_that_cannot_be_compared_may_have_one_value(jobs):
    found, _ = jobs(partial(make), X, LABELS, inner_folds=2, class_weight=["balanced"], units=[1, 2])
    assert found[0].options == {"class_weight": "balanced"}
