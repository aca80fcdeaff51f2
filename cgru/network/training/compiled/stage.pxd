"""What the stages of a compiled network have in common.

A stage is one layer. It reads X and writes A; going back it reads dA, writes dX (no data: not wanted) and adds the
gradients of its parameters up. Arrays lie time-major, (s, m, n), those of layers with few units (s, n, m), which are
said to be in lanes; past a row's length nothing in them is looked at.

m rows, s steps, n numbers that come in and u that go out at each step. A piece is what runs at once: a batch, or some
steps of it; its rows stand by their lengths, the longest first.
"""

from numpy.random cimport bitgen_t

from cgru.core.kernels cimport (
    CGRU_PLACES, cgru_activation, cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_weights, time_major_array,
)

cdef enum:
    MOST_PARAMETERS = 26  # of a stage


cdef struct Piece:
    Py_ssize_t m, s
    Py_ssize_t slots  # samples of the batch, some of which may be no rows of this piece
    const Py_ssize_t *running  # (s) how many rows have a step; NULL: all
    const Py_ssize_t *length  # (m)
    const Py_ssize_t *slot  # (m) which sample of the batch a row is
    const Py_ssize_t *row  # (slots) which row that is; m or more: none
    bint training  # masks are drawn, and what going back takes is kept
    bint carries  # states go on from the piece before
    Py_ssize_t every  # steps of the samples for one of its own


# One GRU.
cdef struct Recurrent:
    cgru_call call  # what is the same for each piece
    cgru_call now  # the call of this one
    cgru_weights w
    cgru_gradients g
    void *memory[CGRU_PLACES]  # of those arrays of the call that lie here, and their columns
    Py_ssize_t width[CGRU_PLACES]
    void *states  # (s + 2, m, columns): the state after step t at t + 1, from `column` on
    cgru_array every  # these, of this piece
    Py_ssize_t columns, column  # columns in all, and the first of its own
    void *last  # (m, u), where outputs are merged
    double dropout, recurrent_dropout, zoneout
    bitgen_t *random
    void *mask  # (m, e)
    void *masked  # (s, m, e) X times it
    void *recurrent  # (3, m, u) of the gates hh, z, r
    void *kept  # (s, m, u)
    void *start  # (m, u) the states before the first step; going back, with `learned`, dL/d(these)
    void *carried  # (slots, u) the states after the last piece; NULL: each piece begins anew
    bint *begun  # (slots) whether there is any yet
    bint *begins  # (m) whether a row goes on from no piece before
    bint learned  # whether a sample begins at w.h0; else at zero
    bint stateful  # whether a batch goes on from the one before


# Where a parameter stands among the numbers of all, and as what a part of the stage has it.
cdef struct Parameter:
    Py_ssize_t start, columns
    int part, place


cdef struct Stage:
    const cgru_kernels *k
    int (*forward)(Stage *, const Piece *) except -1 nogil
    int (*backward)(Stage *, const Piece *) except -1 nogil
    Py_ssize_t n, u
    bint steps_in, steps_out, trainable
    bint may_have_lanes  # whether samples may stand side by side in A
    const Piece *piece  # what it runs
    Py_ssize_t (*lengths)(const Stage *, Py_ssize_t) noexcept nogil  # steps out of so many; NULL: as many as go in
    Py_ssize_t stride  # steps that go in for one of these, where samples are cut into pieces
    Piece handed  # of these, which the stages above run
    Py_ssize_t *running
    Py_ssize_t *length
    Py_ssize_t numbers[5]  # of its kind
    int threads  # at most
    cgru_array X, A, dA, dX
    void *out  # the memory of A
    void *scratch  # which all stages share
    void *turned  # X as (s, m, n), where it lies otherwise and must not
    Parameter parameter[MOST_PARAMETERS]
    int parameters
    Recurrent part[2]  # of a GRU one, of a Bidirectional both
    int parts, merge
    void *second  # (s, m, n) dX of the second
    void *unmerged  # (s, m, u of a part)
    double rate  # of a Dropout
    bitgen_t *random
    void *mask
    int how[3]  # of the parts of a Pool
    int hows  # how many
    Py_ssize_t *chosen  # (m, u) the steps that were taken
    cgru_activation activate  # of a Dense, or of an elementwise stage that has `activates`
    bint activates
    double low, high  # bounds of an elementwise stage
    bint hands_on  # whether A may be X itself
    char *W  # of a Dense or an Embedding; the scale of an elementwise stage, NULL: none
    char *b
    char *dW
    char *db
    void *Z
    Py_ssize_t *tokens  # (s, m)


cdef inline cgru_array timed(const void *data, Py_ssize_t n, Py_ssize_t m) noexcept nogil:
    """(m, s, n) that lies as (s, m, n); of (m, n) its first step."""
    return time_major_array(data, n, m, 1)


cdef inline bint in_lanes(cgru_array array) noexcept nogil:
    """Whether the samples of an array stand side by side."""
    return array.column != 1


cdef inline cgru_array nothing() noexcept nogil:
    return cgru_array(NULL, 0, 0, 1)


cdef inline Py_ssize_t live(const Piece *piece, bint each, Py_ssize_t t) noexcept nogil:
    """How many rows have step t, where there is `each` of them."""
    return piece.running[t] if each and piece.running != NULL else piece.m


# What memory is wanted for: pieces of up to so many rows and steps, so many rows times steps (and two steps more), and
# so many of them that are gone back through.
cdef struct Size:
    Py_ssize_t m, s, many, back


# Memory: without a base it is only counted.
cdef struct Arena:
    char *base
    Py_ssize_t used


cdef inline void *take(Arena *arena, Py_ssize_t numbers, Py_ssize_t size) noexcept nogil:
    """Room for so many numbers, from a cache line on."""
    cdef Py_ssize_t start = arena.used
    arena.used += (numbers * size + 63) // 64 * 64
    return NULL if arena.base == NULL else arena.base + start
