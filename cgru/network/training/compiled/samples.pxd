"""Read samples, targets and weights of a batch from NumPy's arrays without the GIL."""

from cgru.core.kernels cimport cgru_array
from cgru.network.training.compiled.stage cimport Piece

# The arrays of the samples and their strides in bytes. m samples, s steps, e features, k targets.
cdef struct Samples:
    Py_ssize_t m, s, e, k
    Py_ssize_t n  # targets of a sample: its steps of outputs, or 1
    const char *X
    Py_ssize_t X_sample, X_step, X_element
    int X_size  # bytes of a number; 0: X are tokens, of Py_ssize_t
    const double *mean  # (e,) of the standardisation; NULL: there is none
    const double *scale
    const Py_ssize_t *lengths  # (m,) NULL: all steps
    const char *y  # float64 targets, or classes of Py_ssize_t
    Py_ssize_t y_sample, y_step, y_output  # y_output 0: y are classes
    const double *weights  # (m,) or (m, n); NULL: all are 1
    bint per_step  # whether there is a target for each step


# `sample` and `start` have the sample of each row of the piece, and its first step.
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
