"""Which samples are held back: shares that are even in classes, and whole groups."""

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, X, made, same, weights

import cgru
from cgru.network.data.split import count_held_out, draw_held_out, encode_groups

RNG = np.random.default_rng(5)
SUBJECTS = np.repeat([f"s{i}" for i in range(8)], 3)  # of the 24 samples of `network_cases`


def uneven(seed, kinds=2):
    """The groups of some 160 samples, and their classes, one a group."""
    sizes = np.random.default_rng(seed).integers(5, 25, 12).astype(np.intp)  # which alone `repeat` takes
    return np.repeat(np.arange(12), sizes), np.repeat(np.arange(12) % kinds, sizes)


@pytest.mark.parametrize("seed", range(10))
def test_whole_groups_that_come_near_the_share_of_each_class(seed):
    groups, classes = uneven(seed)
    for kinds in (classes, None):
        held = draw_held_out(len(groups), 0.25, [seed], kinds, groups)
        assert not set(groups[held]) & set(groups[~held])
        assert held.mean() == pytest.approx(0.25, abs=0.06)
    held = draw_held_out(len(groups), 0.25, [seed], classes, groups)
    assert np.abs(np.bincount(classes[held]) / np.bincount(classes) - 0.25).max() < 0.15


def test_the_order_of_samples_and_the_names_of_groups_in_order_do_not_matter():
    groups, classes = uneven(1, 3)
    held = draw_held_out(len(groups), 0.3, [7], classes, groups)
    order = RNG.permutation(len(groups))
    assert np.array_equal(draw_held_out(len(groups), 0.3, [7], classes[order], groups[order]), held[order])
    names = np.array([f"subject {i:02}" for i in groups])
    assert np.array_equal(draw_held_out(len(groups), 0.3, [7], classes, encode_groups(names, len(names))), held)


def test_seeds_draw_other_groups():
    groups, classes = uneven(2)
    found = {tuple(np.unique(groups[draw_held_out(len(groups), 0.25, [seed], classes, groups)])) for seed in range(12)}
    assert len(found) > 3


def test_the_only_group_of_a_class_trains():
    groups, classes = np.repeat(np.arange(6), 4), np.repeat([0, 0, 1, 1, 1, 2], 4)
    for seed in range(20):
        held = draw_held_out(24, 0.5, [seed], classes, groups)
        assert set(classes[~held]) == {0, 1, 2}
        assert held.any()


def test_one_group_is_held_back_though_each_is_too_large():
    """The smallest, and never all."""
    assert np.flatnonzero(draw_held_out(10, 0.1, [0], None, np.repeat([0, 1], [6, 4]))).tolist() == [6, 7, 8, 9]
    for share in (0.01, 0.99):
        assert 0 < draw_held_out(9, share, [0], None, np.repeat([0, 1, 2], 3)).sum() < 9


def test_many_groups_take_no_longer_than_some():
    groups = np.arange(9000) // 2
    held = draw_held_out(9000, 0.2, [0], groups % 3, groups)
    assert held.mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("groups", "classes", "argument"), [([3, 3, 3, 3], None, "validation"), ([0, 0, 1, 1], [0, 0, 1, 1], "groups")]
)
def test_groups_that_cannot_be_split(groups, classes, argument):
    with refuses(ValueError, argument):
        draw_held_out(4, 0.5, [0], classes if classes is None else np.array(classes), np.array(groups))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_no_class_loses_its_last_sample(share):
    classes = np.array([0] * 9 + [1] * 8 + [2, 3, 4, 4])
    for seed in range(20):
        held = draw_held_out(21, share, [seed], classes)
        assert set(classes[~held]) == {0, 1, 2, 3, 4}
        assert held.sum() == min(round(share * 21), 21 - 5)


def test_a_class_of_two_may_spare_one_of_them():
    """In the place of the only one of another."""
    for seed in range(20):
        held = draw_held_out(3, 0.3, [seed], np.array([0, 0, 1]))
        assert np.flatnonzero(held).tolist() in ([0], [1])


def test_shares_are_spread_over_the_classes():
    classes = np.repeat(np.arange(5), 4)
    for seed in range(5):
        assert np.bincount(classes[draw_held_out(20, 0.25, [seed], classes)]).tolist() == [1] * 5
        assert np.bincount(classes[draw_held_out(20, 0.5, [seed], classes)]).tolist() == [2] * 5


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_the_group_that_is_missing_is_no_group(kind):
    assert encode_groups(None, 3) is None
    assert encode_groups(kind(["b", "a", "b"]), 3).tolist() == [1, 0, 1]
    with refuses(ValueError, "groups"):
        encode_groups(kind([1.0, float("nan"), 2.0]), 3)
    with refuses(ValueError, "groups"):
        encode_groups(kind([1, 2, 3]), 4)


def test_a_list_of_strings_in_which_one_is_missing():
    with pytest.raises((TypeError, ValueError), match=r"^groups: "):
        encode_groups(["a", float("nan"), "b"], 3)
    assert encode_groups(np.array([7, 5, 7]), 3).tolist() == [1, 0, 1]


@pytest.mark.parametrize(("m", "share", "due"), [(2, 0.01, 1), (2, 0.99, 1), (3, 0.9, 2), (10, 0.25, 2), (10, 0.31, 3)])
def test_a_share_is_one_sample_at_least_and_not_all(m, share, due):
    assert count_held_out(m, share) == due
    held = [draw_held_out(m, share, [seed]) for seed in range(8)]
    assert {each.sum() for each in held} == {due}
    assert len({tuple(each) for each in held}) > 1


def test_where_each_class_has_one_sample_one_is_held_back_for_all_that():
    assert draw_held_out(4, 0.5, [0], np.arange(4)).sum() == 1


# --- in a fit ---


def fitted(rows=slice(None), **options):
    """A network of numbers, and the samples that it validated with, which their targets tell apart."""
    net, seen = made(cgru.Dense(2, "identity")), []
    options |= {"epochs": 2, "shuffle": False, "metrics": {"y": lambda y, A: seen.append(y) or 0.0}}
    net.fit(X[rows], REALS[rows], lengths=LENGTHS[rows], **options)
    return net, np.array([(REALS[i] == seen[0]).all(axis=1).any() for i in range(len(X))])


@pytest.mark.parametrize("kind", [list, np.array, lambda groups: np.array(groups, object)])
def test_a_fit_holds_back_whole_groups(kind):
    """To the bits of one that is given the same samples to validate with."""
    net, held = fitted(validation=0.25, groups=kind(SUBJECTS))
    assert len(set(SUBJECTS[held])) == 2
    assert not set(SUBJECTS[held]) & set(SUBJECTS[~held])
    other, _ = fitted(~held, validation=(X[held], REALS[held], LENGTHS[held]))
    assert other.history.validation_loss == net.history.validation_loss
    assert same(weights(other), weights(net))


def test_groups_are_even_in_the_classes_of_a_fit():
    seen = []
    subjects = np.repeat(np.arange(12), 2)
    y = np.repeat([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2], 2)
    made().fit(X, y, epochs=1, validation=0.5, groups=subjects, metrics={"y": lambda y, A: seen.append(y) or 0.0})
    assert np.bincount(seen[0]).tolist() == [8, 2, 2]


def test_a_fit_with_groups_goes_on_from_its_checkpoint(tmp_path):
    options = {"lengths": LENGTHS, "validation": 0.25, "groups": SUBJECTS}
    whole, half = made(), made()
    whole.fit(X, LABELS, epochs=4, **options)
    file = tmp_path / "fit.npz"

    def stop(epoch):
        if epoch.epoch == 2:
            half.stop()

    options["checkpoint"] = cgru.Checkpoint(file, resume=True)
    half.fit(X, LABELS, epochs=4, callback=stop, **options)
    other = made()
    with pytest.raises(ValueError, match="is the checkpoint of another fit"):
        other.fit(X, LABELS, epochs=4, **options | {"groups": SUBJECTS[::-1]})
    other.fit(X, LABELS, epochs=4, **options)
    assert same(weights(other), weights(whole))


def test_batches_have_no_groups():
    with refuses(ValueError, "groups"):
        made().fit([(X, LABELS)], groups=SUBJECTS)
