"""The cases that are left of a product of options."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from pairs import pairwise


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_each_value_meets_each_of_every_other_option(numbers):
    cases = [dict(enumerate(case)) for case in itertools.product(*map(range, numbers))]
    chosen = [cases[number] for number in pairwise(cases)]
    for first, second in itertools.combinations(range(len(numbers)), 2):
        met = {(case[first], case[second]) for case in chosen}
        assert met == set(itertools.product(range(numbers[first]), range(numbers[second])))


def test_few_are_chosen():
    cases = [dict(enumerate(case)) for case in itertools.product(range(2), repeat=10)]
    assert len(pairwise(cases)) <= 16


def test_no_case_of_one_option_is_left_out():
    assert pairwise([{"level": 0}, {"level": 1}]) == {0, 1}


def test_where_options_never_meet():
    assert pairwise([{}, {}]) == set()
