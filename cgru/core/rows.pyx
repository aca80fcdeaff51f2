"""Gradients of single rows of a table: their sums over equal rows, and an optimizer's step on these rows only."""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset

from cgru.core.kernels cimport cgru_kernels, kernels

cnp.import_array()


cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil

cdef enum:
    AHEAD = 4  # rows that are fetched before their step
    LINES = 1024  # bytes of each; the machine fetches what follows by itself

cdef unsigned long long SCATTER = 0x9E3779B97F4A7C15  # 2^64 by the golden ratio: the top bits of products are spread


cdef int load_settings(cgru_optimizer_step *step, optimizer) except -1:
    for i, name in enumerate(optimizer.beta):
        step.beta[i] = getattr(optimizer, name)
    step.nesterov = getattr(optimizer, "nesterov", False)
    step.epsilon = getattr(optimizer, "epsilon", 0)
    return 0


def sum_rows(cnp.ndarray rows not None, cnp.ndarray values not None):
    """Return the distinct rows, in the order in which they first occur, and the sum of the values of each.

    `rows` (n,) are of intp and at least 0, `values` (n, u) of float32 or float64; both are contiguous.
    """
    cdef Py_ssize_t n = rows.shape[0], width = values.shape[1] * values.itemsize, found = 0, i, slot
    cdef int bits = max(1, int(2 * n).bit_length())
    cdef Py_ssize_t slots = <Py_ssize_t>1 << bits
    cdef cnp.ndarray table = np.full(slots, -1, np.intp), distinct = np.empty_like(rows), sums = np.empty_like(values)
    cdef Py_ssize_t *place = <Py_ssize_t *>cnp.PyArray_DATA(table)  # by hash: where a row is among the distinct ones
    cdef Py_ssize_t *seen = <Py_ssize_t *>cnp.PyArray_DATA(distinct)
    cdef const Py_ssize_t *row = <const Py_ssize_t *>cnp.PyArray_DATA(rows)
    cdef const char *value = <const char *>cnp.PyArray_DATA(values)
    cdef char *sum = <char *>cnp.PyArray_DATA(sums)
    cdef const cgru_kernels *k = kernels(values.itemsize)
    with nogil:
        for i in range(n):
            slot = <Py_ssize_t>(<unsigned long long>row[i] * SCATTER >> (64 - bits))
            while place[slot] >= 0 and seen[place[slot]] != row[i]:
                slot = (slot + 1) & (slots - 1)
            if place[slot] >= 0:
                k.add_multiple(sum + place[slot] * width, 1, 1, value + i * width, width // k.size)
                continue
            place[slot], seen[found] = found, row[i]
            memcpy(sum + found * width, value + i * width, width)
            found += 1
    return distinct[:found], sums[:found]


def step_rows(optimizer, list arrays not None, cnp.ndarray rows not None, cnp.ndarray values not None, double rate,
              long long taken, double factor, double decay):
    """Make an optimizer's step number `taken` on some rows of a parameter, and of its optimizer state.

    `arrays` are the parameter and the state, contiguous and of the dtype of `values` (c, u), the gradients of the
    distinct `rows` (c,), which are multiplied by `factor`. The parameter is multiplied by `decay`, except by SGD.
    """
    cdef Py_ssize_t i, ahead, line, c = rows.shape[0], width = values.shape[1] * values.itemsize
    cdef int j, count = len(arrays)
    cdef cgru_optimizer_step step
    cdef const cgru_kernels *k = kernels(values.itemsize)
    cdef const Py_ssize_t *row = <const Py_ssize_t *>cnp.PyArray_DATA(rows)
    cdef const char *value = <const char *>cnp.PyArray_DATA(values)
    cdef char *base[3]
    cdef int code = optimizer.code
    memset(&step, 0, sizeof(step))
    load_settings(&step, optimizer)
    set_rate(&step, optimizer.debiased, rate, taken)
    step.decay, step.factor = decay, factor
    for j in range(count):
        base[j] = <char *>cnp.PyArray_DATA(arrays[j])
    with nogil:
        for i in range(c):
            step.g = value + i * width
            ahead = row[min(i + AHEAD, c - 1)] * width
            for j in range(count):
                step.old[j] = step.updated[j] = base[j] + row[i] * width
                for line in range(0, min(width, LINES), 64):
                    __builtin_prefetch(base[j] + ahead + line)
            k.optimizer_steps[code](&step, width // k.size)
