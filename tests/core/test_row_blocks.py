"""Arrays a block at a time: what lies in a file, its rows, and blocks that hold each row once."""

import mmap

import numpy as np
import pytest

from cgru.core.row_blocks import BLOCK, Rows, default_batch_size, is_mapped, select_rows, slices


@pytest.fixture
def in_file(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(6, 2, 2))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_what_lies_in_a_file(in_file):
    rows = np.array([4, 0])
    for array in (in_file, in_file[1:], np.asarray(in_file).T, Rows(in_file, rows)):
        assert is_mapped(array)
    assert is_mapped(np.frombuffer(mmap.mmap(-1, 64), np.float32))
    for array in (np.array(in_file), in_file[rows], [in_file], None, np.zeros(3)[1:]):
        assert not is_mapped(array)


def test_rows_are_those_of_the_array(in_file):
    rows = np.array([4, 0, 5])
    some = select_rows(in_file, rows)
    assert isinstance(some, Rows)
    assert (len(some), some.shape, some.ndim, some.dtype) == (3, (3, 2, 2), 3, in_file.dtype)
    for at in (slice(None), slice(1, 2), np.array([2, 2, 0]), np.array([True, False, True])):
        np.testing.assert_array_equal(some[at], np.array(in_file)[rows][at])
    again = select_rows(some, np.array([2, 1]))
    assert isinstance(again, Rows)
    np.testing.assert_array_equal(again[:], np.array(in_file)[[5, 0]])
    copy = select_rows(np.array(in_file), rows)
    assert type(copy) is np.ndarray
    np.testing.assert_array_equal(copy, in_file[rows])
    assert select_rows(None, rows) is None


@pytest.mark.parametrize("shape", [(0, 3), (1, BLOCK), (5, BLOCK + 1), (7, BLOCK // 3, 1), (9, 0), (2 * BLOCK + 1,)])
def test_blocks_hold_each_row_once(shape):
    found, most = list(slices(shape)), max(1, BLOCK // max(1, int(np.prod(shape[1:]))))
    ends = [0]
    for rows in found:
        assert rows.start == ends[-1]
        ends.append(min(rows.stop, shape[0]))
        assert rows.stop - rows.start == most
    assert ends[-1] == shape[0]
    assert len(found) == -(-shape[0] // most)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((5, 10, 3), 1024), ((5, 1 << 12, 1), 1024), ((5, 1 << 12, 16), 64), ((5, 1 << 20, 16), 8), ((5, 1 << 12), 64)],
)
def test_fewer_of_long_samples_are_predicted_at_once(shape, rows):
    assert default_batch_size(shape) == rows
