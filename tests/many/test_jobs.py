"""A job: what it takes, what it refuses, and what becomes of it."""

import gc
import time
import traceback
import weakref
from functools import partial

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, M, X, made, same, weights

import cgru
from cgru.many.jobs import SharedData, WorkerState, run

SHARED = SharedData(X, LABELS, LENGTHS).opened()
OPTIONS = {"epochs": 3, "batch_size": 7, "penalties": cgru.Penalties(1e-3)}
TRAIN, HELD, TEST = np.arange(0, 14), np.arange(14, 19), np.arange(19, M)


def alone(rows, held=None, seed=1, **options):
    """What `fit` gives."""
    net = made(seed=seed)
    if held is not None:
        options["validation"] = (X[held], LABELS[held], LENGTHS[held])
    history = net.fit(X[rows], LABELS[rows], lengths=LENGTHS[rows], **OPTIONS, **options)
    return net, history


def told(history):
    return [(epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy) for epoch in history]


@pytest.mark.parametrize(
    "rows", [TRAIN, np.arange(M) < 14, slice(0, 14), list(range(14))], ids=lambda r: type(r).__name__
)
def test_rows_are_what_fit_alone_makes_of_them(rows):
    result = run(cgru.Job(made(), rows=rows, validation_rows=HELD, test_rows=TEST, **OPTIONS), "a", SHARED)
    net, history = alone(TRAIN, HELD)
    assert result.error is None
    assert same(weights(result.network), weights(net))
    assert told(result.history) == told(history)
    kept = min(history, key=lambda epoch: epoch.validation_loss)
    test = net.evaluate(X[TEST], LABELS[TEST], LENGTHS[TEST])
    assert result.scores == {
        "epoch": kept.epoch,
        "loss": kept.loss,
        "accuracy": kept.accuracy,
        "validation_loss": kept.validation_loss,
        "validation_accuracy": kept.validation_accuracy,
        "epochs": 3,
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
    }
    assert result.record() == {"name": "a", **result.scores, "seconds": result.seconds, "error": None}
    assert result.seconds > 0


def test_without_validation_the_last_epoch_is_kept_and_all_rows_are_trained_on():
    result = run(cgru.Job(made(), **OPTIONS), 0, SHARED)
    net, history = alone(slice(None))
    assert same(weights(result.network), weights(net))
    assert result.scores == {"epoch": 3, "loss": history[-1].loss, "accuracy": history[-1].accuracy, "epochs": 3}


def test_samples_of_its_own_and_a_regression_with_weights_and_metrics():
    weight = np.linspace(0.5, 2, M)
    head = cgru.Dense(2, "identity")
    metrics = {"worst": lambda y, A: np.abs(y - A).max()}
    job = cgru.Job(
        made(head), X=X, y=REALS, sample_weight=weight, test_rows=TEST, rows=TRAIN, metrics=metrics, **OPTIONS
    )
    result = run(job, 0, SHARED)
    net = made(cgru.Dense(2, "identity"))
    history = net.fit(X[TRAIN], REALS[TRAIN], sample_weight=weight[TRAIN], metrics=metrics, **OPTIONS)
    assert same(weights(result.network), weights(net))
    found = net.evaluate(X[TEST], REALS[TEST], sample_weight=weight[TEST], metrics=metrics)
    due = {"epoch": 3, "loss": history[-1].loss, "worst": history[-1].metrics["worst"], "epochs": 3}
    assert result.scores == due | {"test_loss": found["loss"], "test_worst": found["worst"]}


def test_the_scores_are_those_of_the_epoch_that_was_kept():
    wrong = (X[HELD], (LABELS[HELD] + 1) % 3)
    start, state = time.perf_counter(), WorkerState()
    job = cgru.Job(made(optimizer=cgru.Adam(0.05)), validation=wrong, epochs=9)
    result = run(job, 0, SHARED, state=state)
    assert 0 < result.seconds < time.perf_counter() - start
    assert not state.networks
    best = min(result.history.validation_loss)
    assert result.scores["epoch"] == result.history.validation_loss.index(best) + 1 < 9
    assert result.scores["validation_loss"] == best


def test_of_several_starts_the_best_by_validation_is_kept():
    def make(start):
        return made(seed=10 + start, optimizer=cgru.SGD(1e308) if start == 2 else None)

    given = {"rows": TRAIN, "validation_rows": HELD, "test_rows": TEST}
    result = run(cgru.Job(make, starts=4, **given, **OPTIONS), 0, SHARED)
    alone = {i: run(cgru.Job(partial(make, i), **given, **OPTIONS), 0, SHARED) for i in (0, 1, 3)}
    losses = {i: each.scores["validation_loss"] for i, each in alone.items()}
    best = min(losses, key=losses.get)
    assert len(set(losses.values())) == 3
    assert best > 0  # neither the first nor, by its number, the last
    assert same(weights(result.network), weights(alone[best].network))
    assert result.scores == alone[best].scores | {"start": best}
    assert result.history.loss == alone[best].history.loss
    lost = run(cgru.Job(lambda start: make(2), starts=2, **given, epochs=3), 0, SHARED)
    assert "diverged" in str(lost.error)


def told_apart(start):
    return made(cgru.Dense(1, "identity"), seed=start)


@pytest.mark.parametrize("rows", [None, np.arange(3, M)[::-1], slice(0, 18)], ids=["all", "array", "slice"])
def test_starts_that_set_a_share_aside_are_compared_on_the_same_samples(rows):
    seen, y, own = [], np.arange(M), np.arange(M)[slice(None) if rows is None else rows]
    shared = SharedData(X, y, LENGTHS).opened()
    look = {"look": lambda y, A: seen.append(y[:, 0].astype(int)) or 0.0}
    result = run(cgru.Job(told_apart, rows=rows, starts=3, validation=1 / 3, metrics=look, epochs=1), 0, shared)
    held = seen[0]
    assert len(held) == len(set(held)) == len(own) // 3
    assert set(held) < set(own)
    assert all(np.array_equal(each, held) for each in seen)
    rest = own[~np.isin(own, held)]
    due = run(cgru.Job(told_apart, rows=rest, validation_rows=held, starts=3, metrics=look, epochs=1), 0, shared)
    assert result.scores == due.scores
    assert same(weights(result.network), weights(due.network))


def test_such_a_share_is_even_over_the_classes():
    seen = []
    look = {"look": lambda y, A: seen.append(np.bincount(y).tolist()) or 0.0}
    run(cgru.Job(lambda start: made(seed=start), starts=2, validation=0.25, metrics=look, epochs=1), 0, SHARED)
    assert seen == [[2, 2, 2]] * 2


def test_a_share_that_is_none():
    for share in (1.5, 0.0, 2):
        job = cgru.Job(lambda start: made(seed=start), starts=2, validation=share, epochs=1)
        assert str(run(job, 0, SHARED).error).startswith("validation: expected")


@pytest.mark.parametrize("when", range(3))
def test_an_error_of_the_users_own_is_no_start_that_diverged(when):
    def make(start):
        begun.append(start)
        return made(seed=start)

    def refuse(epoch):
        if len(begun) == when + 1:
            raise NotImplementedError("not yet")

    begun = []
    job = cgru.Job(make, starts=3, rows=TRAIN, validation_rows=HELD, callback=refuse, **OPTIONS)
    assert str(run(job, 0, SHARED).error) == "not yet"
    assert begun == list(range(when + 1))


@pytest.mark.slow
def test_a_start_that_diverged_is_let_go_at_once():
    begun = []

    def make(start):
        net = made(seed=start, optimizer=cgru.SGD(1e308) if start == 0 else None)
        begun.append(weakref.ref(net))
        return net

    job = cgru.Job(make, starts=2, rows=TRAIN, validation_rows=HELD, **OPTIONS)
    gc.collect()
    gc.disable()
    try:
        result = run(job, 0, SHARED)
        assert [net() for net in begun] == [None, result.network]
    finally:
        gc.enable()


def test_starts_need_networks_of_their_own():
    net = made()
    result = run(cgru.Job(lambda start: net, starts=2, validation_rows=HELD, rows=TRAIN, **OPTIONS), 0, SHARED)
    assert str(result.error).startswith("network: expected a function")


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda layer: layer, cgru.Bidirectional])
def test_functions_make_layers_of_their_own(wrap):
    shared = cgru.GRU(2)
    jobs = [cgru.Job(lambda: cgru.Network([wrap(shared), cgru.Dense(3, "softmax")]), epochs=1) for _ in range(2)]
    state = WorkerState()
    first, second = (run(job, 0, SHARED, state=state) for job in jobs)
    assert first.error is None
    assert str(second.error).startswith(due := "network.layers[0]: ")
    del first
    gc.collect()
    assert str(run(jobs[0], 0, SHARED, state=state).error).startswith(due)  # the layer is still there
    assert run(jobs[0], 0, SHARED, state=WorkerState()).error is None


def test_functions_may_share_what_no_fit_changes():
    frozen = cgru.GRU(2, sequences=True, rng=0)
    frozen.make(X)
    frozen.trainable = False
    job = cgru.Job(lambda: cgru.Network([frozen, cgru.Pool("mean"), cgru.Dense(3, "softmax")]), epochs=1)
    state = WorkerState()
    assert [run(job, 0, SHARED, state=state).error for _ in range(2)] == [None, None]


def test_two_sequences_of_unlike_lengths():
    job = cgru.Job(made(cgru.Dense(2, "softmax")), X=[X[0, :2], X[1]], y=[0, 1], rows=[1, 0], epochs=1)
    assert run(job, 0, SharedData()).error is None


def test_a_list_of_sequences_has_rows():
    sequences = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
    result = run(
        cgru.Job(made(), X=sequences, y=LABELS.tolist(), rows=TRAIN, validation_rows=HELD, **OPTIONS), 0, SHARED
    )
    assert same(weights(result.network), weights(alone(TRAIN, HELD)[0]))


@pytest.mark.parametrize(
    ("head", "y"), [("softmax", np.arange(M * 6).reshape(M, 6) % 3), ("identity", np.ones((M, 6, 3)))]
)
def test_what_stands_at_steps_ends_with_the_longest_sequence_that_is_taken(head, y):
    lengths = np.where(np.arange(M) == 0, 6, np.arange(M) % 4 + 1)
    sequences, weight = [x[:n] for x, n in zip(X, lengths, strict=True)], np.linspace(0, 1, M * 6).reshape(M, 6)
    rows, held, test = np.arange(4, 12), np.arange(12, 18), np.arange(18, M)
    assert max(lengths[1:]) == 4  # in all three

    def net():
        return cgru.Network([cgru.GRU(2, sequences=True, dropout=0.5), cgru.Dense(3, head)], seed=1)

    def part(rows):
        return [sequences[i] for i in rows], y[rows, :4], None, weight[rows, :4]

    shared = SharedData(sequences, y.tolist(), None, weight).opened()
    result = run(cgru.Job(net, rows=rows, validation_rows=held, test_rows=test, **OPTIONS), 0, shared)
    alone = net()
    (x, own, _, w), validation, (X_test, y_test, *_, w_test) = map(part, (rows, held, test))
    alone.fit(x, own, sample_weight=w, validation=validation, **OPTIONS)
    assert same(weights(result.network), weights(alone))
    assert result.scores["test_loss"] == alone.evaluate(X_test, y_test, sample_weight=w_test)["loss"]
    longer = SharedData(sequences, np.repeat(y, 2, axis=1)).opened()
    assert "a target for each step, got (8, 12" in str(run(cgru.Job(net, rows=rows), 0, longer).error)


def test_as_many_targets_as_steps_stay():
    sequences, y = [x[: 1 + i % 2] for i, x in enumerate(X)], REALS
    job = cgru.Job(made(cgru.Dense(2, "identity")), X=sequences, y=y, rows=slice(0, M, 2), epochs=1)
    assert run(job, 0, SharedData()).error is None


def test_files_are_mapped(tmp_path):
    for name, array in (("x", X), ("y", LABELS), ("n", LENGTHS)):
        np.save(tmp_path / name, array)
    files = [tmp_path / f"{name}.npy" for name in "xyn"]
    opened = SharedData(*files).opened()
    assert all(isinstance(value, np.memmap) for value in (opened.X, opened.y, opened.lengths))
    job = cgru.Job(made(), X=str(files[0]), y=files[1], lengths=files[2], rows=TRAIN, validation_rows=HELD, **OPTIONS)
    assert same(weights(run(job, 0, SharedData()).network), weights(alone(TRAIN, HELD)[0]))
    for content in (b"nothing", b""):
        (tmp_path / "x.npy").write_bytes(content)
        error = run(job, 0, SharedData()).error
        assert isinstance(error, ValueError)
        assert str(error).startswith(f"X: {files[0]}: expected numbers or strings")
    with open(tmp_path / "x.npy", "wb") as file:
        np.savez(file, X=X)
    assert str(run(job, 0, SharedData()).error).startswith(f"X: {files[0]}: expected numbers or strings")
    (tmp_path / "x.npy").unlink()
    assert isinstance(run(job, 0, SharedData()).error, FileNotFoundError)


def test_a_function_makes_the_network_when_its_turn_comes():
    calls = []
    job = cgru.Job(lambda: calls.append(1) or made(), rows=TRAIN, validation_rows=HELD, **OPTIONS)
    assert not calls
    result = run(job, 0, SHARED)
    assert calls == [1]
    assert same(weights(result.network), weights(alone(TRAIN, HELD)[0]))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_failure_holds_neither_network_nor_samples(wrapped):
    made_here = []

    def make():
        net = made()
        made_here.append(weakref.ref(net))
        return net

    def fail(epoch):
        try:
            net = made_here[0]()
            assert net is not None
            raise OSError("no")
        except OSError as error:
            if wrapped:
                raise ValueError("no") from error
            raise

    result = run(cgru.Job(make, callback=fail, **OPTIONS), 0, SHARED, keep=False)
    assert str(result.error) == "no"
    gc.collect()
    assert made_here[0]() is None
    assert traceback.extract_tb(result.error.__traceback__)[-1].name == "fail"  # for all that it says where


def test_errors_that_cause_each_other():
    def fail(epoch):
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    assert str(run(cgru.Job(made(), callback=fail, **OPTIONS), 0, SHARED, keep=False).error) == "first"


def test_what_ends_a_thread_is_an_error_but_for_an_interrupt():
    class Exit(BaseException):
        pass

    def end(error, epoch):
        raise error

    result = run(cgru.Job(made(), callback=partial(end, Exit()), **OPTIONS), 0, SHARED)
    assert isinstance(result.error, Exit)
    with pytest.raises(KeyboardInterrupt):
        run(cgru.Job(made(), callback=partial(end, KeyboardInterrupt()), **OPTIONS), 0, SHARED)


@pytest.mark.parametrize(
    ("job", "shared", "argument"),
    [
        ({"rows": [0, M]}, SHARED, "rows"),
        ({"rows": TRAIN, "test_rows": [True] * 3}, SHARED, "test_rows"),
        ({}, SharedData(), "X"),
        ({"X": X, "y": LABELS[:5]}, SHARED, "y"),
        ({"X": X, "y": LABELS, "lengths": LENGTHS[1:]}, SHARED, "lengths"),
        ({"X": [[[1.0], [2.0, 3.0]]] * M, "y": LABELS}, SHARED, "X"),
        ({"X": [(X, LABELS)] * 2, "y": LABELS}, SHARED, "X"),
        ({"epochs": 0}, SHARED, "epochs"),
        ({"network": list}, SHARED, "network"),
    ],
)
def test_what_is_wrong_with_it_is_in_its_result(job, shared, argument):
    network = job.pop("network", None) or made()
    result = run(cgru.Job(network, **job), 7, shared)
    assert isinstance(result.error, ValueError | TypeError)
    assert str(result.error).startswith(f"{argument}: expected ")
    assert (result.name, result.network, result.history, result.scores) == (7, None, [], {})
    assert result.record()["error"] == f"{type(result.error).__name__}: {result.error}"
    assert "error=" in repr(result)


STARTS = {"network": made, "starts": 2}


REFUSED = {
    TypeError: {
        "network": ({"network": 3}, {"starts": 2, "validation": 0.2}), "epoch": ({"epoch": 3},),
        "progress": ({"progress": True},), "name": ({"name": [1]}, {"name": (1, [2])}),
    },
    ValueError: {
        "validation": ({"validation_rows": HELD, "validation": 0.2},), "y": ({"X": X},),
        "X": ({"y": LABELS}, {"lengths": LENGTHS}, {"groups": LENGTHS}),
        "rows": (
            {"rows": [0.5]}, {"rows": [[0]]}, {"rows": [False] * M}, {"validation_rows": HELD}, {"test_rows": HELD},
        ),
        "validation_rows": ({"rows": TRAIN, "validation_rows": [-1]},),
        "test_rows": ({"rows": TRAIN, "test_rows": []},),
        "starts": (STARTS, STARTS | {"starts": 0, "validation": 0.2}),
        "checkpoint": (STARTS | {"validation": 0.2, "checkpoint": "fit.npz"},),
        "metrics": tuple({"metrics": {name: max}} for name in ("epochs", "test_f1", "f1_spread")),
    },
}  # fmt: skip


@pytest.mark.parametrize(("error", "argument"), [(error, name) for error in REFUSED for name in REFUSED[error]])
def test_refused(error, argument):
    for given in REFUSED[error][argument]:
        with refuses(error, argument):
            cgru.Job(**{"network": made()} | given)


# --- groups ---

SUBJECTS = np.arange(M) // 3


def validated(job, shared=SHARED):
    """The targets that it validated with."""
    seen = []
    job.options["metrics"] = {"y": lambda y, A: seen.append(y) or 0.0}
    assert run(job, 0, shared).error is None
    return seen[0]


@pytest.mark.parametrize("rows", [None, np.arange(M) >= 6])
@pytest.mark.parametrize("starts", [None, 2])
def test_a_share_of_whole_groups(rows, starts):
    """The shared ones and a job's own alike, of its rows alone."""
    head = partial(cgru.Dense, 2, "identity")
    options = {"rows": rows, "starts": starts, "epochs": 1, "validation": 0.4}
    shared = SharedData(X, REALS, LENGTHS, groups=SUBJECTS).opened()
    own = {"X": X, "y": REALS, "lengths": LENGTHS, "groups": SUBJECTS.tolist()}
    found = []
    for more, samples in (({}, shared), (own, SharedData())):
        job = cgru.Job((lambda start: made(head(), seed=start)) if starts else made(head()), **options, **more)
        found.append(validated(job, samples))
    assert np.array_equal(*found)
    held = np.array([(y == found[0]).all(axis=1).any() for y in REALS])
    assert len(held[held]) == (6 if rows is not None else 9)
    assert not set(SUBJECTS[held]) & set(SUBJECTS[~held])
    assert rows is None or not (held & ~rows).any()


def test_groups_are_no_matter_where_no_share_is_set_aside():
    shared = SharedData(X, LABELS, LENGTHS, groups=SUBJECTS).opened()
    for options in ({}, {"validation": (X, LABELS)}, {"rows": range(12), "validation_rows": range(12, 24)}):
        assert run(cgru.Job(made(), epochs=1, **options), 0, shared).error is None


@pytest.mark.parametrize("what", ["validation_rows", "test_rows"])
def test_a_group_on_two_sides_is_refused(what):
    shared = SharedData(X, LABELS, LENGTHS, groups=SUBJECTS).opened()
    job = cgru.Job(made(), epochs=1, rows=range(11), **{what: range(11, 24)})
    assert str(run(job, 0, shared).error).startswith(f"{what}: expected groups")


def test_groups_of_others_than_the_samples():
    with refuses(ValueError, "groups"):
        cgru.fit_many([cgru.Job(made())], X, LABELS, groups=SUBJECTS[:5])


def test_a_group_that_is_missing_is_none():
    shared = SharedData(X, LABELS, LENGTHS, groups=[*"ab" * 11, "c", np.nan]).opened()
    error = run(cgru.Job(made(), epochs=1, validation=0.2), 0, shared).error
    assert str(error) == "groups: expected a string or number for each sample, got nan"


# --- arrays beside X ---

RESETS = np.random.default_rng(1).random(X.shape[:2]) < 0.3
DECAY = np.random.default_rng(2).random(X.shape[:2])


@pytest.mark.parametrize(("name", "array"), [("resets", RESETS), ("decay", DECAY)])
def test_jobs_hand_each_sample_its_own(name, array):
    samples = cgru.Sequences(X, LENGTHS, **{name: array})
    net = made()
    history = net.fit(samples[TRAIN], LABELS[TRAIN], validation=(samples[HELD], LABELS[HELD]), **OPTIONS)
    due = told(history), net.evaluate(samples[TEST], LABELS[TEST])["loss"]
    rows = {"rows": TRAIN, "validation_rows": HELD, "test_rows": TEST}
    own = cgru.Job(made(), X=samples, y=LABELS, **rows, **OPTIONS)
    for job, shared in ((own, ()), (cgru.Job(made(), **rows, **OPTIONS), (samples, LABELS))):
        (result,) = cgru.fit_many([job], *shared)
        assert (told(result.history), result.scores["test_loss"]) == due
    assert told(result.history) != told(alone(TRAIN, HELD)[1])


def test_lists_of_sequences():
    sequences = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
    short = np.flatnonzero(LENGTHS.max() > LENGTHS)
    due = made()
    history = due.fit([sequences[i] for i in short], LABELS[short], **OPTIONS)
    (result,) = cgru.fit_many([cgru.Job(made(), rows=short, **OPTIONS)], sequences, LABELS)
    assert told(result.history) == told(history)
