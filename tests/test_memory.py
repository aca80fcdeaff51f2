"""Buffers are handed out again only while nobody else could see them."""

import numpy as np

from cgru.memory import Buffers


def test_a_free_buffer_is_handed_out_again():
    buffers = Buffers()
    where = id(buffers.take("a", (2, 3), np.float64))
    assert id(buffers.take("a", (2, 3), np.float64)) == where
    assert buffers.take("b", (2, 3), np.float64) is not buffers.take("a", (2, 3), np.float64)


def test_a_held_buffer_is_not():
    buffers = Buffers()
    for hold in (
        lambda a: a,
        lambda a: a[1:],
        lambda a: a[1:].T[::2],
        lambda a: {"deep": [a[0]]}["deep"][0],
        memoryview,
    ):
        held = hold(buffers.take("a", (2, 3), np.float64))
        other = buffers.take("a", (2, 3), np.float64)
        assert not np.shares_memory(np.asarray(held), other)
        del held, other


def test_another_shape_or_dtype_is_another_buffer():
    buffers = Buffers()
    assert buffers.take("a", (2, 3), np.float64).shape == (2, 3)
    assert buffers.take("a", (3, 2), np.float64).shape == (3, 2)
    assert buffers.take("a", (3, 2), np.float32).dtype == np.float32
