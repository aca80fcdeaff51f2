"""Loops over the arrays of stages, in float32 or float64: `size` is the bytes of a number."""

from numpy.random cimport bitgen_t

from cgru.core.kernels cimport cgru_array
from cgru.network.training.compiled.stage cimport Piece, Stage

cdef enum:
    ADD, MULTIPLY, HALVE, COPY  # a + b, a * b, a / 2, a


cdef bitgen_t *bit_generator_of(rng) except NULL
cdef double kept_scale(double rate, int size) noexcept nogil
cdef void draw_mask(bitgen_t *random, double rate, double below, double above, void *to, const Piece *piece,
                    Py_ssize_t steps, Py_ssize_t n, int size) noexcept nogil
cdef void combine(int how, cgru_array a, cgru_array b, cgru_array to, const Piece *piece, bint each, Py_ssize_t n,
                  int size) noexcept nogil
cdef cgru_array input_as_rows(Stage *stage, const Piece *piece) noexcept nogil
cdef void copy_row(cgru_array source, Py_ssize_t i, Py_ssize_t t, cgru_array to, Py_ssize_t row, Py_ssize_t step,
                   Py_ssize_t n, int size) noexcept nogil
cdef void add_to(void *to, const void *a, Py_ssize_t n, int size) noexcept nogil
cdef void add_restarts(cgru_array decay, cgru_array dhp, const Piece *piece, void *to, Py_ssize_t n,
                       int size) noexcept nogil
cdef void subtract_from(void *to, const void *a, Py_ssize_t n, int size) noexcept nogil
cdef double largest_magnitude(const void *a, Py_ssize_t n, int size) noexcept nogil
cdef void scale_clip(const void *x, Py_ssize_t sample, const void *scale, const void *shift, double low, double high,
                     void *to, Py_ssize_t rows, Py_ssize_t n, int size) noexcept nogil
cdef void scale_clip_back(const Stage *stage, const void *x, const void *d, void *dx, Py_ssize_t rows) noexcept nogil
cdef void normalize_rows(const void *x, Py_ssize_t sample, const void *scale, const void *shift, double epsilon,
                         void *to, Py_ssize_t rows, Py_ssize_t n, int size) noexcept nogil
cdef void normalize_rows_back(const Stage *stage, const void *x, const void *d, void *dx,
                              Py_ssize_t rows) noexcept nogil
cdef void normalize_feature(const void *x, Py_ssize_t step, Py_ssize_t length, void *to, Py_ssize_t to_step,
                            Py_ssize_t n, bint keep, int size) noexcept nogil
cdef void normalize_feature_back(const void *x, Py_ssize_t step, Py_ssize_t length, const void *d, Py_ssize_t d_step,
                                 void *dx, Py_ssize_t dx_step, Py_ssize_t n, bint keep, int size) noexcept nogil
cdef void subtract_rows(const void *x, Py_ssize_t sample, const void *before, Py_ssize_t before_sample, void *to,
                        Py_ssize_t rows, Py_ssize_t n, Py_ssize_t u, int size) noexcept nogil
cdef void multiply_by(void *a, Py_ssize_t n, double factor, int size) noexcept nogil
cdef void penalise(const void *a, double l1, double l2, void *g, Py_ssize_t n, int size) noexcept nogil
cdef void penalise_piece(cgru_array a, double l1, double l2, cgru_array g, const Piece *piece, bint each, Py_ssize_t n,
                         int size) noexcept nogil
