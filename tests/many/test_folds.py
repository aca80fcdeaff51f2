import numpy as np
import pytest

import cgru
from cgru.many.folds import Splittable, classes_of
from cgru.network.data.split import encode_groups


def whole(m=12, classes=None, groups=None):
    classes = None if classes is None else np.asarray(classes)
    groups = encode_groups(groups, m)
    y = np.zeros(m) if classes is None else classes
    return Splittable(np.arange(m, dtype=float)[:, None, None], y, classes, groups)


def covered(pairs, rows):
    """Each row is held out once, and trains in all other splits."""
    assert np.array_equal(np.sort(np.concatenate([out for _, out in pairs])), rows)
    for train, out in pairs:
        assert np.array_equal(np.sort(np.concatenate([train, out])), rows)


# --- a number of them ---


def test_each_sample_is_held_out_once():
    pairs = whole(11).splits(3, [0], "folds")
    covered(pairs, np.arange(11))
    assert sorted(len(out) for _, out in pairs) == [3, 4, 4]


def test_as_many_folds_as_samples():
    assert sorted(int(out[0]) for _, out in whole(4).splits(4, [0], "folds")) == [0, 1, 2, 3]


def test_folds_are_even_in_classes():
    classes = np.array([0] * 9 + [1] * 6 + [2] * 3)
    for _, out in whole(18, classes).splits(3, [0], "folds"):
        assert np.bincount(classes[out]).tolist() == [3, 2, 1]


def test_folds_even_in_classes_are_even_in_size():
    """What is left over of each class goes to where the last class ended."""
    classes = np.array([0] * 4 + [1] * 4 + [2] * 4)
    for _, out in whole(12, classes).splits(3, [0], "folds"):
        assert len(out) == 4


def test_groups_stay_whole_and_folds_are_even_in_size():
    groups = np.repeat(["a", "b", "c", "d", "e", "f"], [6, 2, 2, 2, 3, 3])
    for seed in range(20):
        pairs = whole(18, groups=groups).splits(3, [seed], "folds")
        covered(pairs, np.arange(18))
        assert not any(set(groups[train]) & set(groups[out]) for train, out in pairs)
        assert all(4 <= len(out) <= 8 for _, out in pairs)


def test_a_large_group_is_dealt_first():
    """Ten samples against ten groups of one: two folds of ten, whatever is drawn."""
    groups = [99] * 10 + list(range(10))
    for seed in range(20):
        assert [len(out) for _, out in whole(20, groups=groups).splits(2, [seed], "folds")] == [10, 10]


def test_groups_of_unlike_sizes_are_drawn_anew():
    groups = np.repeat(np.arange(8), np.arange(4, 12))
    found = {tuple(whole(60, groups=groups).splits(3, [seed], "folds")[0][1]) for seed in range(9)}
    assert len(found) > 3


def test_the_seed_decides():
    first, again, other = (whole().splits(3, seed, "folds") for seed in ([0, 1], [0, 1], [1, 1]))
    assert all(np.array_equal(a, b) for p, q in zip(first, again, strict=True) for a, b in zip(p, q, strict=True))
    assert not all(np.array_equal(p[1], q[1]) for p, q in zip(first, other, strict=True))


@pytest.mark.parametrize("classes", [None, np.arange(12) % 2])
def test_samples_are_shuffled(classes):
    outs = [out.tolist() for _, out in whole(12, classes).splits(3, [0], "folds")]
    assert not any(out == list(range(out[0], out[0] + 4)) for out in outs)
    assert not any(np.ptp(np.diff(out)) == 0 for out in outs)


def test_folds_of_some_samples_are_rows_of_all():
    rows = np.array([1, 3, 5, 7, 9, 11])
    classes = np.arange(12) // 6
    pairs = whole(12, classes).within(rows).splits(3, [0], "folds")
    covered(pairs, rows)
    assert all(np.bincount(classes[out]).tolist() == [1, 1] for _, out in pairs)


@pytest.mark.parametrize(
    ("k", "groups", "words"),
    [
        (13, None, "folds: expected at most 12, as many as there are samples, got 13"),
        (4, [1, 2, 3] * 4, "folds: expected at most 3, as many as there are groups, got 4"),
        (1, None, "folds: expected at least 2, got 1"),
    ],
)
def test_numbers_that_cannot_be(k, groups, words):
    with pytest.raises(ValueError, match=words):
        whole(groups=groups).splits(k, [0], "folds")


@pytest.mark.parametrize("folds", [True, 2.0, "5", None])
def test_what_is_no_folds(folds):
    with pytest.raises(TypeError, match=f"folds: expected an integer, a splitter .* got {type(folds).__name__}"):
        whole().splits(folds, [0], "folds")


def test_the_class_of_a_splitter_is_none():
    with pytest.raises(TypeError, match=r"folds: expected an integer, a splitter .* got the class Seen"):
        whole().splits(Seen, [0], "folds")


# --- pairs ---


def test_pairs_of_rows():
    pairs = whole(4).splits([([0, 1], [2]), ([True, False, False, True], np.array([2, 1]))], [0], "folds")
    assert [[part.tolist() for part in pair] for pair in pairs] == [[[0, 1], [2]], [[0, 3], [2, 1]]]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (([0, 1], [1, 2]), r"folds\[1\]: expected each sample in train or in test, got 1 in both"),
        (([0, 12], [1]), r"folds\[1\] train: expected integers from 0 to 11, got 12"),
        (([0], [-1]), r"folds\[1\] test: expected integers from 0 to 11, got -1"),
        (([0, 0], [1]), r"folds\[1\] train: expected each row once"),
        (([0], []), r"folds\[1\] test: expected integers .* got shape \(0,\)"),
        (([0.0], [1]), r"folds\[1\] train: expected integers .* of float64"),
        (([[0]], [1]), r"folds\[1\] train: expected integers .* got shape \(1, 1\)"),
        (
            ([True, False], [1]),
            r"folds\[1\] train: expected integers \(n,\) or booleans \(12,\), got shape \(2,\) of bool",
        ),
    ],
)
def test_pairs_that_cannot_be(pair, words):
    with pytest.raises(ValueError, match=words):
        whole().splits([([0], [1]), pair], [0], "folds")


@pytest.mark.parametrize("pair", [3, ([0], [1], [2])])
def test_what_is_no_pair(pair):
    with pytest.raises(TypeError, match=r"folds\[0\]: expected a pair \(train, test\)"):
        whole().splits([pair], [0], "folds")


def test_no_pairs():
    with pytest.raises(ValueError, match="folds: expected one split at least, got none"):
        whole().splits([], [0], "folds")


def test_pairs_that_split_a_group():
    samples = whole(4, groups=["a", "a", "b", "b"])
    assert len(samples.splits([([0, 1], [2])], [0], "folds")) == 1
    with pytest.raises(ValueError, match=r"folds\[0\]: expected groups that are in train or in test"):
        samples.splits([([0, 2], [1])], [0], "folds")


# --- splitters ---


class Seen:
    """Notes what it gets, and holds out the first."""

    def split(self, X, y, groups):
        self.got = X, y, groups
        yield np.arange(1, len(X)), [0]


def test_a_splitter_gets_all():
    samples, seen = whole(4, [0, 1, 0, 1], groups=[5, 6, 7, 8]), Seen()
    ((train, test),) = samples.splits(seen, [0], "folds")
    assert train.tolist() == [1, 2, 3]
    assert test.tolist() == [0]
    X, y, groups = seen.got
    assert X is samples.X
    assert y is samples.y
    assert groups.tolist() == [0, 1, 2, 3]


def test_a_splitter_gets_those_that_are_to_be_split():
    samples, seen = whole(4, [0, 1, 0, 1], groups=[5, 6, 7, 8]).within(np.array([3, 1, 2])), Seen()
    ((train, test),) = samples.splits(seen, [0], "inner_folds")
    assert train.tolist() == [1, 2]
    assert test.tolist() == [3]
    X, y, groups = seen.got
    assert X[:, 0, 0].tolist() == [3, 1, 2]
    assert y.tolist() == [1, 1, 0]
    assert groups.tolist() == [3, 1, 2]


def test_a_splitter_gets_classes_for_rows_of_them():
    seen = Seen()
    Splittable(np.zeros((2, 1, 1)), np.eye(2), np.array([0, 1])).splits(seen, [0], "folds")
    assert seen.got[1].tolist() == [0, 1]
    Splittable(np.zeros((2, 1, 1)), np.eye(2)).splits(seen, [0], "folds")
    assert seen.got[1].tolist() == np.eye(2).tolist()


def test_a_splitter_without_groups():
    seen = Seen()
    whole(3).splits(seen, [0], "folds")
    assert seen.got[2] is None


@pytest.fixture(scope="module")
def selection():
    return pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")


def test_splitters_of_scikit_learn(selection):
    classes = np.arange(12) % 2
    for _, out in whole(12, classes).splits(selection.StratifiedKFold(3), [0], "folds"):
        assert np.bincount(classes[out]).tolist() == [2, 2]
    groups = np.repeat([1, 2, 3], 4)
    pairs = whole(12, groups=groups).splits(selection.LeaveOneGroupOut(), [0], "folds")
    assert [out.tolist() for _, out in pairs] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.warns(UserWarning, match="ignored"), pytest.raises(ValueError, match="groups that are in train or in"):
        whole(12, groups=groups).splits(selection.KFold(5), [0], "folds")


# --- a share ---


def test_a_share_is_even_in_classes():
    classes = np.array([0] * 10 + [1] * 5)
    train, out = whole(15, classes).share(0.2, [0])
    assert np.bincount(classes[out]).tolist() == [2, 1]
    assert np.array_equal(np.sort(np.concatenate([train, out])), np.arange(15))
    assert out.tolist() != whole(15, classes).share(0.2, [1])[1].tolist()
    assert out.tolist() == whole(15, classes).share(0.2, [0])[1].tolist()


def test_a_share_of_groups():
    groups = np.repeat(np.arange(5), 4)
    train, out = whole(20, groups=groups).share(0.4, [0])
    assert not set(groups[train]) & set(groups[out])
    assert len(set(groups[out])) == 2
    assert len({tuple(whole(20, groups=groups).share(0.4, [seed])[1]) for seed in range(9)}) > 3


def test_a_share_of_some():
    train, out = whole(12).within(np.array([8, 9, 10, 11])).share(0.5, [0])
    assert sorted([*train, *out]) == [8, 9, 10, 11]
    assert len(out) == 2
    assert sorted(map(len, whole(2).share(0.5, [0]))) == [1, 1]


@pytest.mark.parametrize(("m", "groups", "words"), [(1, None, "2 samples"), (3, ["a"] * 3, "2 groups")])
def test_too_few_for_a_share(m, groups, words):
    with pytest.raises(ValueError, match=f"validation: expected at least {words} to set some aside, got 1"):
        whole(m, groups=groups).share(0.5, [0])


# --- groups and classes ---


def test_groups_are_numbered():
    assert encode_groups(None, 3) is None
    assert encode_groups(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert encode_groups(np.array([2.5, 7, 2.5]), 3).tolist() == [0, 1, 0]
    assert encode_groups((10, 9.5, 10), 3).tolist() == [1, 0, 1]
    assert encode_groups(np.array(["b", "a", "b"], object), 3).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ([1, 2], ValueError, r"groups: expected shape \(3,\), one for each sample, got \(2,\)"),
        ([1, np.nan, 2], ValueError, "groups: expected a string or number for each sample, got nan"),
        (["a", np.nan, "b"], ValueError, "groups: expected a string or number for each sample, got nan"),
        (["a", 1, "b"], TypeError, "groups: expected strings or numbers, got a mixture"),
        (["a", None, "b"], TypeError, "groups: expected strings or numbers, got a mixture .* or some are missing"),
        (np.array([1, "a", None], object), TypeError, "groups: expected strings or numbers, got a mixture"),
    ],
)
def test_groups_that_cannot_be(groups, error, words):
    with pytest.raises(error, match=words):
        encode_groups(groups, 3)


def test_groups_that_pandas_does_not_know():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="groups: expected strings or numbers, got a mixture"):
        encode_groups(pandas.array(["a", pandas.NA, "b"]), 3)


def network(k, activate, loss=None, sequences=False):
    return cgru.Network([cgru.GRU(2, sequences=sequences), cgru.Dense(k, activate)], loss)


@pytest.mark.parametrize(
    ("net", "y", "classes"),
    [
        (network(3, cgru.softmax), [2, 0, 1], [2, 0, 1]),
        (network(3, cgru.softmax), ["b", "a", "c"], [1, 0, 2]),
        (network(3, cgru.softmax), [[0, 1, 0], [1, 0, 0]], [1, 0]),
        (network(3, cgru.softmax), [[0, 1, 1], [1, 0, 0]], None),
        (network(3, cgru.softmax), [[0.5, 0.5, 0], [1, 0, 0]], None),
        (network(1, cgru.sigmoid), [1.0, 0.0], [1, 0]),
        (network(1, cgru.sigmoid), [[True], [False]], [1, 0]),
        (network(1, cgru.sigmoid), [0.5, 0.0], None),
        (network(2, cgru.sigmoid), [[1, 0], [0, 1]], None),
        (network(1, cgru.identity), [0, 1], None),
        (network(3, cgru.softmax, sequences=True), [[0, 1], [1, 0]], None),
    ],
)
def test_classes(net, y, classes):
    found = classes_of(net, np.asarray(y))
    assert (found if found is None else found.tolist()) == classes
