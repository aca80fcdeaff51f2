"""Which way a call goes: decided once, from its sizes, strides and cell, its direction, the level and the threads.

    choose_lanes(k, &call)                                # before its arrays are made: it says how they should lie
    plan = plan_of(k, &call, &w, FORWARD, threads)        # then drivers read the plan, and memory is `plan.numbers`

`most_numbers` is the memory of any call with at most so many rows and steps, by the same sizes.
"""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights


cdef enum Direction:
    FORWARD, BACKWARD, GRADIENTS


cdef enum Layout:
    UNITS  # lanes are units, rows stand in tiles
    SINGLE  # lanes are units, the one row is that of single_sample.h
    SAMPLES  # lanes are samples, as in batch_simd.h


# How inputs meet U: forward x U, backward dX, of the gradients dU.
cdef enum Inputs:
    EACH_STEP  # with what the step does to the state
    MANY_STEPS  # CGRU_STEPS steps at once
    ALONG_E  # likewise, with elements in the lanes


# How weights are read: packed, or where they lie, their rows or their columns contiguous.
cdef enum Weights:
    PACKED, IN_ROWS, IN_COLUMNS


cdef struct Plan:
    const cgru_kernels *k
    Direction direction
    Layout layout
    Inputs inputs
    Weights weights
    bint fresh  # whether V has no part in the step without a previous state
    bint ahead  # whether inputs, or dX, are those of many steps at once
    bint takes_apart  # forward: whether what x adds to a step's products and what hp does are products of their own
    bint without_V  # whether no product has V
    bint sums_in_lanes  # gradients: whether the shares are some of the samples, which are lanes
    Py_ssize_t inner  # forward: rows of U among the packed weights: e, or none
    Py_ssize_t projections, masked  # where in a row those parts begin that cgru_call has so
    Py_ssize_t multiple  # of how many samples those are that run together
    int threads
    Py_ssize_t packed  # numbers of the packed weights, behind which sums of those that lie wait
    Py_ssize_t rows_from  # behind both
    Py_ssize_t row, rows  # numbers of a row, and how many samples have theirs in memory together
    int shares  # gradients: parts of the sums
    Py_ssize_t share  # numbers of each
    Py_ssize_t shared  # what is shared out: panels of the terms' columns, or vectors of samples
    Py_ssize_t numbers  # of the whole workspace


cdef enum:
    MOST_SHARES = 64
    MOST_TERMS = 16
    FEW_PARTS = 8  # of the samples, where they are lanes: as many for any number of threads
    DEPTH = 256  # rows whose outer products are summed in registers before they are added to the gradients


cdef void choose_lanes(const cgru_kernels *k, cgru_call *call) noexcept nogil
# Of a call whose lanes are chosen, the column by which its X and dX should lie.
cdef Py_ssize_t input_column(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# An array, or a copy that such a call can read.
cdef cnp.ndarray readable(const cgru_call *call, cnp.ndarray array)
# Whether lanes may be samples in some call of these units, however many samples it has and of whatever lengths.
cdef bint may_have_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# The plan of a call whose arrays are bound; w NULL: the weights are packed already.
cdef Plan plan_of(const cgru_kernels *k, const cgru_call *call, const cgru_weights *w, Direction direction,
                  int most) noexcept nogil
# Numbers of memory beside its packed weights that a call takes on one thread, in whichever direction takes most.
cdef Py_ssize_t packed_rows(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# Numbers that any call takes which is this one but for fewer samples, shorter ones, or another layout of its arrays.
cdef Py_ssize_t most_numbers(const cgru_kernels *k, const cgru_call *call, Direction direction,
                             int most) noexcept nogil
# How many of so many samples run together: whole vectors, where these are lanes.
cdef inline Py_ssize_t whole(const Plan *plan, Py_ssize_t n) noexcept nogil:
    return (n + plan.multiple - 1) // plan.multiple * plan.multiple
cdef inline double operations(const cgru_call *call) noexcept nogil:
    return 6.0 * call.m * call.s * call.u * (call.e + call.u)
cdef int terms_of(const cgru_call *call) noexcept nogil
cdef Py_ssize_t operands_of(const cgru_call *call) noexcept nogil
# The call of that `arrays`, a dict with X and whatever else is to be bound, and of their "zoneout".
cdef cgru_call call_of(variant, Py_ssize_t u, dict arrays, tuple activations, order, running) except *
