"""Some of the cases of a product of options, in which each value of an option meets each value of every other."""

import itertools


def pairwise(cases):
    """Return the indices of few of the cases that have each pair of two options' values which the cases have.

    Args:
        cases: For each case a dict of the options' values. Those of one option alone are all chosen.

    Returns:
        Set of indices into `cases`. It depends on nothing but the cases and their order.
    """
    pairs = [set(itertools.combinations(sorted(case.items()), 2)) or set(case.items()) for case in cases]
    missing, chosen = set().union(*pairs), set()
    while missing:
        best = max(range(len(cases)), key=lambda number: len(pairs[number] & missing))
        chosen.add(best)
        missing -= pairs[best]
    return chosen
