"""The compiled layers other than GRUs: Embedding, Dropout, Pool, Flip, Frames, elementwise layers, Dense and head."""

from numpy.random cimport bitgen_t

from cgru.core.kernels cimport cgru_array, cgru_kernels, cgru_loss
from cgru.network.training.compiled.stage cimport Piece, Stage


# What only a stage knows that joins the outputs of others.
cdef struct Join:
    int how  # CGRU_COPY side by side, CGRU_ADD or CGRU_MULTIPLY
    Py_ssize_t *widths  # (joins) the numbers of each of these outputs
    cgru_array *parts  # (joins) these outputs


# Return so many zero bytes, which `memory` keeps alive.
cdef void *reserve(Py_ssize_t bytes, list memory) except NULL

# Set up a stage, without its memory, from the dict that `Layer.stage` returns; `random` is the generator of a Dropout.
cdef int make_plain(Stage *stage, dict description, random, list memory) except -1
cdef Py_ssize_t plain_workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept

# Draw masks `to` (steps, m, n) of dropout, or with `keeps` of zoneout; the caller holds the generator's lock.
cdef bitgen_t *bit_generator_of(rng) except NULL
cdef void draw_mask(const cgru_kernels *k, bitgen_t *random, double rate, bint keeps, void *to, const Piece *piece,
                    Py_ssize_t steps, Py_ssize_t n) noexcept nogil

# A Dense within another stage: make it, and compute X W + b; `head_backward` goes back.
cdef Stage make_product(const Stage *stage, Py_ssize_t u, char *W, char *b) noexcept nogil
cdef void dense_product(Stage *stage, const Piece *piece) noexcept nogil

# Compute the loss of a head's outputs and the weight of right classes; with `back`, write dL/dZ in the place of Z.
cdef int head_forward(Stage *stage, const Piece *piece, const cgru_loss *loss, bint back, double *value,
                      double *right) except -1 nogil
cdef int head_backward(Stage *stage, const Piece *piece) except -1 nogil
