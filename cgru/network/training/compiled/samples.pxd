"""The samples that a compiled network reads."""

from cgru.core.kernels cimport cgru_array
from cgru.network.training.compiled.stage cimport Piece

# Where the samples lie, in bytes from one to the next.
cdef struct Samples:
    Py_ssize_t m, s, e, k
    Py_ssize_t n  # outputs of a sample
    const char *X
    Py_ssize_t X_sample, X_step, X_element
    int X_size  # bytes of a number; of tokens, which are Py_ssize_t, 0
    const double *mean  # NULL: as they are
    const double *scale
    const Py_ssize_t *lengths  # NULL: all steps
    const char *y
    Py_ssize_t y_sample, y_step, y_output  # y_output 0: classes
    const double *weights  # (m,) or (m, n); NULL: all are 1
    bint per_step


# Rows of a piece: the sample of each, and the first of its steps.
cdef void read_tokens(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                      Py_ssize_t most, Py_ssize_t *to) noexcept nogil
cdef void read_X(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                 cgru_array to, int size) noexcept nogil
cdef void read_classes(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                       Py_ssize_t *to) noexcept nogil
cdef void read_targets(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                       void *to, int size) noexcept nogil
cdef double read_weights(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                         double *to) noexcept nogil


cdef class Source:
    cdef Samples samples
    cdef tuple held
