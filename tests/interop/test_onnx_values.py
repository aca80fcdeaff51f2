"""What nodes leave of a known array; on whole graphs it is tested in tests/rivals."""

import dataclasses
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cgru.interop.onnx_values import (
    MOVERS,
    ONE,
    UNKNOWN,
    Axis,
    Extent,
    Node,
    Traced,
    Unproved,
    concatenated,
    extent,
    reshaped,
    same_axes,
)  # fmt: skip

S, M, E, D, U = Axis("s"), Axis("m", 4), Axis("e", 3), Axis("d", 2), Axis("u", 5)
FLOAT, INT32, INT64 = 1, 6, 7
EVERY = ((1, 0), (1, 1))
STATES = Traced("states", 1, (S, D, M, U), FLOAT, "d", EVERY)
ENDS = Traced("ends", 1, (D, M, U), FLOAT, "d", EVERY)
START = Traced("input", "h0", (Axis("0", 6), Axis("1"), Axis("2", 5)), FLOAT)
ENDLESS = 2**62


def node(kind, *constants, outputs=1, opset=18, **attributes):
    """A node of a value and of constants; None: a constant that is not known, "": an input that is left out."""
    names = ["A", *("" if isinstance(value, str) else f"c{i}" for i, value in enumerate(constants))]
    arrays = {f"c{i}": np.array(value) for i, value in enumerate(constants) if value is not None}
    return Node(kind, names, [f"B{i}" for i in range(outputs)], attributes, arrays, opset)


def moved(value, kind, *constants, **options):
    return MOVERS[kind](value, node(kind, *constants, **options))


UP = moved(STATES, "Unsqueeze", [1])[0]  # s, 1, d, m, u
BESIDE = moved(STATES, "Transpose", perm=[0, 2, 1, 3])[0]  # s, m, d, u
FIRST = moved(STATES, "Transpose", perm=[2, 0, 1, 3])[0]  # m, s, d, u
BOTH = Axis("d u", 10)
ONES_APART = Traced("states", 1, (S, ONE, U), FLOAT, "d", EVERY)
KEPT = [
    (STATES, "Identity", (), {}, (S, D, M, U)),
    (STATES, "Dropout", (), {}, (S, D, M, U)),
    (STATES, "Dropout", (0.5,), {}, (S, D, M, U)),
    (STATES, "Dropout", (0.5, False), {}, (S, D, M, U)),
    (STATES, "Dropout", (0.5, ""), {}, (S, D, M, U)),
    (STATES, "Dropout", (), {"opset": 7}, (S, D, M, U)),
    (STATES, "Dropout", (), {"opset": 6, "is_test": 1}, (S, D, M, U)),
    (STATES, "Cast", (), {"to": FLOAT}, (S, D, M, U)),
    (STATES, "Transpose", (), {"perm": [0, 2, 1, 3]}, (S, M, D, U)),
    (STATES, "Transpose", (), {"perm": [1, 2, 3, 0]}, (D, M, U, S)),
    (STATES, "Transpose", (), {}, (U, M, D, S)),
    (STATES, "Unsqueeze", ([0, -1],), {}, (ONE, S, D, M, U, ONE)),
    (STATES, "Unsqueeze", (), {"axes": [2]}, (S, D, ONE, M, U)),
    (UP, "Squeeze", ([-4],), {}, (S, D, M, U)),
    (UP, "Squeeze", (), {"axes": [1]}, (S, D, M, U)),
    (moved(ENDS, "Unsqueeze", [1, 3])[0], "Squeeze", (), {}, (D, M, U)),
    (STATES, "Reshape", ([0, 0, 0, 0],), {}, (S, D, M, U)),
    (STATES, "Reshape", ([-1, 2, 4, 5],), {}, (S, D, M, U)),
    (STATES, "Reshape", ([0, 1, 2, -1, 1, 5],), {"allowzero": 0}, (S, ONE, D, M, ONE, U)),
    (STATES, "Reshape", ([-1, 2, 4, 5],), {"allowzero": 1}, (S, D, M, U)),
    (BESIDE, "Reshape", ([0, 0, -1],), {}, (S, M, BOTH)),
    (FIRST, "Reshape", ([4, -1, 10],), {}, (M, S, BOTH)),
    (STATES, "Reshape", ([0, 0, -1],), {}, (S, D, Axis("m u", 20))),
    (STATES, "Reshape", ([-1, 2, 20],), {}, (S, D, Axis("m u", 20))),
    (STATES, "Reshape", ([-1, 5],), {}, (Axis("s d m"), U)),
    (moved(STATES, "Reshape", [-1, 5])[0], "Reshape", ([-1, 2, 4, 5],), {}, (S, D, M, U)),
    (moved(STATES, "Reshape", [-1, 5])[0], "Reshape", ([-1, 20],), {}, (Axis("s d"), Axis("m u", 20))),
    (moved(BESIDE, "Transpose", perm=[0, 1, 3, 2])[0], "Reshape", ([0, 0, -1],), {}, (S, M, Axis("u d", 10))),
    (STATES, "Flatten", (), {"axis": 2}, (Axis("s d"), Axis("m u", 20))),
    (UP, "Reshape", ([0, 2, 4, 5],), {}, (S, D, M, U)),
    (UP, "Reshape", ([0, 0, 2, -1, 5],), {}, (S, ONE, D, M, U)),
    (ONES_APART, "Flatten", (), {"axis": 2}, (S, U)),
    (ONES_APART, "Flatten", (), {"axis": -1}, (S, U)),
    (STATES, "Slice", ([0], [ENDLESS], [0]), {}, (S, D, M, U)),
    (STATES, "Slice", ([0], [2**31 - 1], [0], [1]), {}, (S, D, M, U)),
    (STATES, "Slice", (), {"starts": [0, -4], "ends": [5, 4], "axes": [3, 2]}, (S, D, M, U)),
    (ENDS, "Slice", ([0, 0], [2, 4]), {}, (D, M, U)),
    (STATES, "Gather", ([0, 1],), {"axis": 1}, (S, D, M, U)),
    (ENDS, "Gather", ([0, -1],), {}, (D, M, U)),
    (STATES, "Split", ([2],), {"axis": 1}, (S, D, M, U)),
    (UP, "Gather", (0,), {"axis": 1}, (S, D, M, U)),
]


@pytest.mark.parametrize(("value", "kind", "constants", "options", "axes"), KEPT)
def test_what_is_kept(value, kind, constants, options, axes):
    (made,) = moved(value, kind, *constants, **options)
    assert made.axes == axes
    assert (made.kind, made.origin, made.dtype, made.stack, made.parts) == (value.kind, 1, FLOAT, "d", EVERY)


def test_types_of_lengths():
    given = Traced("input", "n", (Axis("0"),), INT64)
    assert moved(given, "Cast", to=INT32)[0].dtype == INT32
    for source in (2, 3, 4, 5, 6, 7, 12, 13):
        assert moved(Traced("input", "n", (Axis("0"),), source), "Cast", to=INT64)[0].dtype == INT64
    for source, to in ((INT64, 3), (FLOAT, INT32), (INT64, FLOAT), (9, INT32), (FLOAT, 10), (FLOAT, None)):
        with pytest.raises(Unproved, match="it changes the type"):
            moved(Traced("input", "n", (Axis("0"),), source), "Cast", to=to)


def parts(value, kind, *constants, **options):
    return [(made.parts, made.stack, made.axes) for made in moved(value, kind, *constants, **options)]


ONES = (Axis("0", 1), *START.axes[1:])


def test_parts_of_an_input():
    three = (Axis("0", 3), *START.axes[1:])
    assert parts(START, "Slice", [1], [2], [0]) == [((1,), "0", ONES)]
    assert parts(START, "Slice", [-3], [ENDLESS], [0]) == [((3, 4, 5), "0", three)]
    assert parts(START, "Slice", [1], [6], [-3], [2]) == [((1, 3, 5), "0", three)]
    assert parts(START, "Slice", [2], [-ENDLESS], [0], [-1]) == [((2, 1, 0), "0", three)]
    assert parts(START, "Slice", starts=[1], ends=[2]) == [((1,), "0", ONES)]
    assert parts(START, "Gather", [2, 1, -1]) == [((2, 1, 5), "0", three)]
    assert parts(START, "Gather", 3, axis=0) == [((3,), "0", START.axes[1:])]
    assert parts(START, "Split", [1, 2, 3], outputs=3)[0] == ((0,), "0", ONES)
    assert parts(START, "Split", [1, 2, 3], outputs=3)[2] == ((3, 4, 5), "0", three)
    assert [found[0] for found in parts(START, "Split", outputs=3)] == [(0, 1), (2, 3), (4, 5)]
    assert [found[0] for found in parts(START, "Split", split=[4, 2], outputs=2)] == [(0, 1, 2, 3), (4, 5)]
    part = moved(START, "Slice", [2], [5], [0])[0]
    assert parts(part, "Slice", [1], [3], [0]) == [((3, 4), "0", (Axis("0", 2), *START.axes[1:]))]
    assert parts(START, "Slice", [0], [6], [0]) == [(None, None, START.axes)]
    free = Traced("input", "h0", (Axis("0"), Axis("1"), Axis("2")), FLOAT)
    assert parts(free, "Slice", [1], [2], [0]) == [((1,), "0", (Axis("0", 1), *free.axes[1:]))]
    assert parts(free, "Split", [1, 1], outputs=2)[1][0] == (1,)
    assert parts(free, "Gather", [4], axis=0)[0][0] == (4,)
    assert parts(free, "Gather", 0)[0][0] == (0,)
    assert parts(free, "Slice", [0], [ENDLESS], [0]) == [(None, None, free.axes)]


def test_uneven_splits():
    five = Traced("input", "h0", (Axis("0", 5), Axis("1")), FLOAT)
    assert [found[0] for found in parts(five, "Split", outputs=3)] == [(0, 1), (2, 3), (4,)]


def test_directions():
    assert parts(ENDS, "Slice", [1], [2], [0]) == [(((1, 1),), "d", (Axis("d", 1), M, U))]
    assert parts(ENDS, "Gather", 0) == [(((1, 0),), "d", (M, U))]
    assert parts(STATES, "Slice", [1], [-ENDLESS], [1], [-1]) == [(EVERY[::-1], "d", (S, D, M, U))]


def test_what_nodes_double_is_bounded():
    """Last states that are joined with themselves, and the product of a size by itself, at each of many nodes."""
    value, sizes = ENDS, [Extent(1, ("s",)), Extent(3)]
    for _ in range(9):
        value = concatenated([value, value], 0)
    with pytest.raises(Unproved, match="more than 1024 layers and directions"):
        concatenated([value, value], 0)
    for _ in range(40):
        sizes = [size * size for size in sizes]
    assert sizes == [UNKNOWN, UNKNOWN]


def test_the_nodes_that_an_array_passed_are_shared_and_the_last_are_named():
    values = [ENDS]
    for i in range(100_000):  # copies of all names would be thousands of millions
        values.append(dataclasses.replace(ENDS, path=(values[-1].path, f"node {i}")))
    assert values[-1].path[0] is values[-2].path
    assert values[3].passed() == ["node 0", "node 1", "node 2"]
    assert values[-1].passed() == ["...", *(f"node {i}" for i in range(99_980, 100_000))]


JOINED = Traced("ends", 0, (Axis("d", 1), M, U), FLOAT, "d", ((0, 0),), ((), "below"))


def test_joined():
    made = concatenated([JOINED, ENDS], 0)
    assert (made.axes, made.parts, made.passed()) == ((Axis("d", 3), M, U), ((0, 0), *EVERY), ["below"])
    assert concatenated([JOINED, ENDS], -3) == made
    assert concatenated([ENDS], 0) is ENDS
    flat = moved(moved(JOINED, "Squeeze", [0])[0], "Unsqueeze", [1])[0]  # m, 1, u
    assert concatenated([flat, flat], 1).axes == (M, Axis("d", 2), U)
    turned = moved(ENDS, "Transpose", perm=[1, 0, 2])[0]
    assert concatenated([turned, flat], 1).parts == (*EVERY, (0, 0))


@pytest.mark.parametrize(
    ("values", "axis", "why"),
    [
        ([START, START], 0, "no last states"),
        ([STATES], 1, "no last states"),
        ([ENDS, Traced("ends", 0, (D, M, U), 11, "d", EVERY)], 0, "no last states"),
        ([ENDS, ENDS], 1, "along the directions"),
        ([ENDS, ENDS], 2, "along the directions"),
        ([ENDS, moved(ENDS, "Unsqueeze", [0])[0]], 0, "along the directions"),
        ([moved(ENDS, "Unsqueeze", [1])[0]] * 2, 1, "along the directions"),
        ([ENDS, moved(ENDS, "Transpose", perm=[0, 2, 1])[0]], 0, "whose axes differ"),
        ([ENDS], 3, "is none of 3"),
    ],
)
def test_not_joined(values, axis, why):
    with pytest.raises(Unproved, match=why):
        concatenated(values, axis)


@pytest.mark.parametrize(
    ("value", "kind", "constants", "options", "why"),
    [
        (STATES, "Dropout", (), {"opset": 6}, "drops out"),
        (STATES, "Dropout", (), {"opset": 6, "is_test": 0}, "drops out"),
        (STATES, "Dropout", (0.5, True), {}, "may drop out"),
        (STATES, "Dropout", (0.5, None), {}, "may drop out"),
        (STATES, "Transpose", (), {"perm": [0, 1, 2]}, "is none of 4 axes"),
        (STATES, "Transpose", (), {"perm": [0, 1, 2, 2]}, "is none of 4 axes"),
        (STATES, "Squeeze", (), {}, "which axes"),
        (STATES, "Squeeze", ([0],), {}, "need not be 1"),
        (STATES, "Squeeze", ([2],), {}, "need not be 1"),
        (UP, "Squeeze", ([5],), {}, "axis 5 is none of 5"),
        (UP, "Squeeze", ([-6],), {}, "axis -6 is none of 5"),
        (UP, "Squeeze", (None,), {}, "its axes are no constants"),
        (STATES, "Unsqueeze", ([1, 1],), {}, "not apart"),
        (STATES, "Unsqueeze", ([5],), {}, "axis 5 is none of 5"),
        (STATES, "Reshape", (None,), {}, "its shape are no constants"),
        (STATES, "Reshape", (), {}, "no shape that is plain"),
        (STATES, "Reshape", ([-1, -1, 4, 5],), {}, "no shape that is plain"),
        (STATES, "Reshape", ([0, 2, 4, 5],), {"allowzero": 1}, "no shape that is plain"),
        (STATES, "Reshape", ([-1, 2, 4, 5, 0],), {}, "copies an axis that there is not"),
        (STATES, "Reshape", ([-1, 4, 2, 5],), {}, "need not keep"),
        (STATES, "Reshape", ([3, 2, 4, 5],), {}, "need not keep"),
        (STATES, "Reshape", ([-1, 10],), {}, "need not keep"),
        (STATES, "Reshape", ([-1, 2, 4, 5, 3],), {}, "need not keep"),
        (moved(STATES, "Reshape", [0, 0, -1])[0], "Gather", ([0],), {"axis": 2}, "several axes that were made one"),
        (STATES, "Reshape", ([-1, 2, 40],), {}, "need not keep"),
        (STATES, "Reshape", ([0, 2, 4],), {}, "has no place for u"),
        (START, "Slice", ([0],), {}, "does not say"),
        (START, "Slice", ([0], [1], [0, 1]), {}, "unlike numbers"),
        (START, "Slice", ([0, 0], [1], [0]), {}, "unlike numbers"),
        (START, "Slice", ([0], [1], [0], [0]), {}, "unlike numbers"),
        (START, "Slice", ([0, 0], [1, 1], [0, -3]), {}, "not apart"),
        (START, "Slice", ([0], [1], [3]), {}, "axis 3 is none of 3"),
        (START, "Slice", ([3], [3], [0]), {}, "it takes .. of 6"),
        (START, "Slice", ([1], [2], [0], None), {}, "its steps are no constants"),
        (START, "Slice", ([1], [ENDLESS], [1]), {}, "size is not known"),
        (START, "Slice", ([1], [2**31 - 1], [1]), {}, "size is not known"),
        (START, "Slice", ([0], [-1], [1]), {}, "size is not known"),
        (START, "Slice", ([-1], [ENDLESS], [1]), {}, "size is not known"),
        (START, "Slice", ([-1], [2], [1]), {}, "size is not known"),
        (START, "Slice", ([0], [4], [1], [2]), {}, "size is not known"),
        (START, "Slice", ([0], [ENDLESS], [1], [2]), {}, "size is not known"),
        (START, "Slice", ([2], [2], [1]), {}, "size is not known"),
        (moved(START, "Slice", [1], [3], [0])[0], "Slice", ([0], [2], [2]), {}, "along an axis"),
        (STATES, "Slice", ([0], [1], [0]), {}, "along an axis"),
        (STATES, "Slice", ([0], [1], [3]), {}, "along an axis"),
        (UP, "Gather", ([0, 0],), {"axis": 1}, "along an axis"),
        (START, "Split", (), {"axis": 1, "outputs": 2}, "splits an axis whose size is not known"),
        (START, "Split", ([1, 2],), {"outputs": 2}, "it splits 6 into"),
        (START, "Split", ([2, 2, 2],), {"outputs": 2}, "it splits 6 into"),
        (START, "Split", ([7, -1],), {"outputs": 2}, "it splits 6 into"),
        (START, "Split", (), {"outputs": 4}, "it splits 6 into"),
        (START, "Gather", (None,), {}, "no plain constants"),
        (START, "Gather", ([[0]],), {}, "no plain constants"),
        (START, "Gather", ([-1],), {"axis": 1}, "counts from the end"),
        (START, "Gather", ([6],), {}, "it takes .6. of 6"),
        (START, "Gather", ([-7],), {}, "it takes .-1. of 6"),
    ],
)
def test_what_may_be_other_numbers(value, kind, constants, options, why):
    with pytest.raises(Unproved, match=why):
        moved(value, kind, *constants, **options)


def test_axes_of_any_length():
    long = Traced("input", "X", (Axis("0", 10**15), Axis("1"), Axis("2", 3)), FLOAT)
    assert moved(long, "Slice", [0], [ENDLESS], [0]) == [long]
    assert moved(long, "Slice", [-(10**15)], [10**15], [0]) == [long]
    for start, end, axis in ((1, ENDLESS, 0), (0, 1025, 0), (0, 1025, 1), (0, 2**31 - 2, 1)):
        with pytest.raises(Unproved, match="it takes more than 1024 of an axis"):
            moved(long, "Slice", [start], [end], [axis])
    assert len(moved(long, "Slice", [0], [1024], [1])[0].parts) == 1024


def test_what_is_known_does_not_change():
    for known, name in ((ONE, "size"), (STATES, "parts"), (node("Cast"), "kind")):
        with pytest.raises(FrozenInstanceError):
            setattr(known, name, 2)


def test_axes_that_are_alike():
    assert same_axes((ONE, S, M), (S, ONE, M))
    assert same_axes((S, Axis("x", 1)), (Axis("y", 1), S))
    assert not same_axes((S, M), (M, S))
    assert not same_axes((S, M), (S, M, ONE))
    assert not same_axes((S, Axis("x")), (S, Axis("y")))


def test_inputs_that_are_missing_are_left_out_ones():
    bare = Node("Gather", [], [], {}, {}, 18)
    assert bare.input(0) == bare.input(1) == ""
    assert node("Gather", [1]).input(1) == "c0"
    with pytest.raises(Unproved, match="indices"):
        MOVERS["Gather"](STATES, bare)
    with pytest.raises(Unproved, match="into nothing"):
        MOVERS["Split"](STATES, node("Split", outputs=0))


# --- sizes ---


def test_sizes_are_products_of_axes():
    assert [extent(axis) for axis in (S, M, ONE)] == [Extent(1, ("s",)), 4, 1]
    rows = moved(STATES, "Reshape", [-1, 5])[0].axes[0]  # s, d, m
    assert extent(rows) == Extent(8, ("s",))
    assert extent(rows) * 5 == 5 * extent(rows) == extent(S) * Extent(40) == Extent(40, ("s",))
    for other in (UNKNOWN, 1.5, None):
        assert extent(S) * other == UNKNOWN
    assert UNKNOWN * 2 == UNKNOWN


def test_shapes_of_sizes():
    s, rows = extent(S), Axis("s d m")
    flat = reshaped(STATES, [s * 8, -1])
    assert flat.axes == (rows, U)
    assert reshaped(flat, [S, -1, 4, U]).axes == (S, D, M, U)
    assert reshaped(flat, [flat.axes[0], 1, 5]).axes == (rows, ONE, U)
    assert reshaped(STATES, [2 * s, -1, 5]).axes == (Axis("s d"), M, U)
    for shape, why in (
        ([UNKNOWN, 5], "in a way that cannot be followed"),
        ([s * s, -1, 5], "need not keep"),
        ([-1, s], "need not keep"),
        ([s, 2, 4], "no place for u"),
        ([s, 2, 4, 5, 5], "in a way that cannot be followed"),
    ):
        with pytest.raises(Unproved, match=why):
            reshaped(STATES, shape)
