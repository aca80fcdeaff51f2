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
