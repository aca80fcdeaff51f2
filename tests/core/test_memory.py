"""Buffers are handed out again only while nobody else could see them."""

import sysconfig
import threading

import numpy as np
import pytest
from helpers import at_once

from cgru.core.memory import Buffers, one_behind_another
from cgru.variant import RESET_AFTER

SIZES = (2, 3, 4, np.dtype(np.float64))

HOLDS = {
    "itself": lambda a: a,
    "a view": lambda a: a[1:],
    "a view of a view": lambda a: a[1:].T[::2],
    "deep in a list": lambda a: {"deep": [a[0]]}["deep"][0],
    "a memoryview": memoryview,
}


def test_a_free_buffer_is_handed_out_again():
    buffers = Buffers()
    where = id(buffers.take("a", *SIZES))
    assert id(buffers.take("a", *SIZES)) == where
    assert buffers.take("b", *SIZES) is not buffers.take("a", *SIZES)
    where = [id(view) for view in buffers.take_states("c", *SIZES)]
    assert [id(view) for view in buffers.take_states("c", *SIZES)] == where


@pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS.keys())
@pytest.mark.parametrize("states", [None, 0, 1, 2])
def test_a_held_buffer_is_not(hold, states):
    buffers = Buffers()

    def take():
        return buffers.take("a", *SIZES) if states is None else buffers.take_states("a", *SIZES)[states]

    held = hold(take())
    other = take()
    assert not np.shares_memory(np.asarray(held), other)


def test_what_is_no_longer_held_is_free():
    buffers = Buffers()
    all_, before, after = buffers.take_states("a", *SIZES)
    where = all_.ctypes.data
    kept = after[0]
    del all_, before, after
    assert buffers.take_states("b", *SIZES)[0].ctypes.data != where
    del kept
    assert buffers.take_states("a", *SIZES)[0].ctypes.data == where


def test_a_buffer_that_was_made_read_only_is_left_alone():
    buffers = Buffers()
    buffers.take("a", *SIZES).flags.writeable = False
    assert buffers.take("a", *SIZES).flags.writeable


def test_states_are_one_piece_of_memory():
    all_, before, after = Buffers().take_states("a", *SIZES)
    assert all_.shape == (2, 4, 4)
    assert before.shape == after.shape == (2, 3, 4)
    all_[:] = np.arange(32).reshape(2, 4, 4)
    np.testing.assert_array_equal(before[:, 1:], after[:, :-1])


def test_another_shape_or_dtype_is_another_buffer():
    buffers = Buffers()
    assert buffers.take("a", *SIZES).shape == (2, 3, 4)
    assert buffers.take("a", 3, 2, 4, np.dtype(np.float64)).shape == (3, 2, 4)
    assert buffers.take("a", 3, 2, 4, np.dtype(np.float32)).dtype == np.float32


def gradients(buffers):
    return list(buffers.take_gradients(RESET_AFTER, 3, 4, np.dtype(np.float64)).values())


@pytest.mark.parametrize(
    ("take", "change"),
    [
        (lambda b: b.take("a", 1, *SIZES[1:]), {"shape": (3, 4)}),
        (lambda b: b.take("a", *SIZES), {"strides": (0, 0, 8)}),
        (lambda b: b.take_states("a", *SIZES)[2], {"strides": (32, 0, 8)}),
        (lambda b: gradients(b)[4], {"shape": (2, 8)}),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_buffer_whose_shape_was_set_is_left_alone(take, change):
    buffers = Buffers()
    due = take(buffers)
    layout = due.shape, due.strides
    for name, value in change.items():
        setattr(due, name, value)
    del due
    fresh = take(buffers)
    assert (fresh.shape, fresh.strides) == layout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [">f8", np.int64])
@pytest.mark.parametrize("place", [0, 2])
def test_a_buffer_whose_dtype_was_set_is_left_alone(dtype, place):
    buffers = Buffers()
    buffers.take_states("a", *SIZES)[place].dtype = dtype
    assert all(view.dtype == np.float64 and view.dtype.isnative for view in buffers.take_states("a", *SIZES))


def test_threads_that_share_a_pool_get_arrays_of_their_own():
    buffers, wrong = Buffers(), []

    def work(k):
        for _ in range(2000):
            taken = buffers.take("a", *SIZES)
            taken.fill(k)
            other = buffers.take_states("b", *SIZES)[0]
            other.fill(k)
            if (taken != k).any() or (other != k).any():
                wrong.append(k)
            del taken, other

    at_once(work)
    assert not wrong


def test_arrays_are_held_by_their_tuple():
    """As they are for a moment, in which another thread may take some."""
    buffers = Buffers()
    held = buffers.take_states("a", *SIZES)
    assert not np.shares_memory(buffers.take_states("a", *SIZES)[0], held[0])
    del held
    address = buffers.take_states("a", *SIZES)[0].ctypes.data
    assert buffers.take_states("a", *SIZES)[0].ctypes.data == address


def test_what_another_thread_made_is_reused_under_a_gil_alone():
    buffers, where = Buffers(), []
    maker = threading.Thread(target=lambda: where.append(buffers.take("a", *SIZES).ctypes.data))
    maker.start()
    maker.join()
    with_gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
    assert (buffers.take("a", *SIZES).ctypes.data == where[0]) is with_gil


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_one_behind_another_begin_at_a_cache_line(dtype):
    for n in (1, 7, 10**5):
        first, second = one_behind_another([(n, 3), (5,)], np.dtype(dtype))
        assert first.ctypes.data % 64 == 0
        assert second.ctypes.data == first.ctypes.data + first.nbytes
