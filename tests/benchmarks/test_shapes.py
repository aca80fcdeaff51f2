"""Shapes drawn at random: within their bounds, log-uniform, the same for the same seed."""

from math import log
from statistics import mean

import pytest


@pytest.fixture(scope="module")
def shapes(module):
    return module("shapes")


def test_bounds(shapes):
    found = shapes.drawn(2000, 7)
    assert len(found) == 2000
    for i, most in enumerate((256, 512, 512, 512)):
        sizes = [shape[i] for shape in found]
        assert min(sizes) == 1
        assert 0.9 * most < max(sizes) <= most
    flop = [2 * m * s * 3 * u * (e + (s > 1) * u) for m, s, e, u, _ in found]  # a single step has no state before it
    assert 1e5 <= min(flop) < 1.2e5
    assert 2.5e9 < max(flop) <= 3e9
    assert not any(shape.ragged or shape.m == shape.s == 1 for shape in found)
    assert [shape.flop for shape in found] == flop


def test_log_uniform(shapes):
    """As many from 1 to 15 as from 16 on, where the bounds of the work do not choose."""
    shapes.FLOP, kept = (0, 1e12), shapes.FLOP
    try:
        found = shapes.drawn(4000, 3)
    finally:
        shapes.FLOP = kept
    for i, most in enumerate((256, 512, 512, 512)):
        middle = int((most + 1) ** 0.5)
        assert mean(shape[i] < middle for shape in found) == pytest.approx(0.5, abs=0.04)
        assert mean(log(shape[i]) for shape in found) > 0.4 * log(most)


def test_a_seed_always_draws_the_same(shapes):
    assert shapes.drawn(20, 1) == shapes.drawn(30, 1)[:20]
    assert shapes.drawn(20, 1) != shapes.drawn(20, 2)
    assert list(map(str, shapes.drawn(3, 1))) == ["2, 197, 117, 4", "15, 16, 58, 137", "68, 1, 16, 90"]


def test_the_grid_has_wide_layers_for_few_rows(shapes):
    wide = {(1, 300, 512, 128), (1, 300, 256, 256), (2, 200, 128, 256), (1, 400, 161, 400), (3, 100, 512, 96)}
    assert wide | {(100, 1, 2, 339), (50, 150, 3, 5), (16, 64, 24, 40)} <= {shape[:4] for shape in shapes.GRID}
    assert len(set(shapes.GRID)) == len(shapes.GRID)
