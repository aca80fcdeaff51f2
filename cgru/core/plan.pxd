"""The plan of a call: how to run it, and how much workspace it needs.

A plan is made once, from the call's sizes, strides and variant, its direction, the instruction set and the threads:

    choose_lanes(k, &call)                                # before the arrays are made: sets the stride of their columns
    plan = plan_of(k, &call, &w, FORWARD, threads)        # then allocate `plan.workspace_size` numbers and run the plan

`largest_workspace_size` bounds the workspace of every call with at most so many rows and steps.
"""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights


cdef enum Direction:
    FORWARD, BACKWARD, GRADIENTS


# What the SIMD lanes of a vector hold.
cdef enum Layout:
    UNITS_IN_LANES  # units of one sample; rows are multiplied in tiles
    SINGLE_SAMPLE  # units of the only sample: single_sample.h runs the whole call
    SAMPLES_IN_LANES  # samples: batch_simd.h


# When the inputs are multiplied by U. Forward that is x U, backward dX, in the gradients dU.
cdef enum Inputs:
    PER_STEP  # in each step, together with the products of its state
    BATCHED_STEPS  # batched input projection: CGRU_STEPS steps at once
    FEATURES_IN_LANES  # batched input projection with features in the lanes: feature_simd.h


# How weights are read.
cdef enum Weights:
    PACKED  # from packed copies
    UNPACKED_TILES  # where their rows are contiguous, by columns: sums stay in registers
    UNPACKED_ROWS  # where their rows are contiguous, row after row: weights are read once
    UNPACKED_COLUMNS  # where their columns are contiguous


# Sizes count numbers of the call's dtype, never bytes.
cdef struct Plan:
    const cgru_kernels *k
    Direction direction
    Layout layout
    Inputs inputs
    Weights weights
    Weights input_weights  # forward, how U is read by batched input projection; else `weights`
    bint fresh  # whether the step without a previous state skips the products with V
    bint batches_inputs  # whether x U, or dX, is computed for many steps at once
    bint splits_products  # forward: whether the products of x and those of hp are separate
    int far  # how many steps ahead is prefetched, where each array of the call outgrows an L2 cache; else 0
    bint without_V  # whether no product reads V
    bint can_share_columns  # whether threads can share the columns of products: weights are packed, lanes are units
    bint sums_in_lanes  # gradients: whether each share sums some of the samples, which are in the lanes
    bint streams  # gradients: whether they go past the caches; with samples in the lanes, whether X outgrows the last
    bint adds  # gradients: whether they can only be added, to zeros where they are to be written anew
    Py_ssize_t packed_e  # rows of U among the packed weights, or 0 with features in the lanes
    Py_ssize_t projections, staged, masked  # offsets of these parts of cgru_call within a row; 0: there is no such part
    Py_ssize_t row_multiple  # rows run in multiples of this: the lanes of a vector where these are samples, else 1
    int threads
    int packers  # threads that pack the weights
    int members  # threads that share the columns of each product; 1: the call has no crew
    Py_ssize_t packed_size  # packed weights; sums of unpacked products follow them
    Py_ssize_t rows_start  # where the rows begin, behind both
    Py_ssize_t row_size, rows_at_once  # numbers of a row; samples whose rows are in memory together
    int shares  # gradients: shares that the sums are divided into
    Py_ssize_t share_size  # workspace of one share
    Py_ssize_t wide_start  # gradients: where in a share that of features in the lanes begins; 0: there is none
    Py_ssize_t work_items  # gradients: column panels of the terms, or vectors of samples, divided among the shares
    Py_ssize_t workspace_size


cdef enum:
    MOST_SHARES = 64
    MOST_TERMS = 16
    SAMPLE_SHARES = 8  # shares where lanes are samples: the same number for any number of threads, so that bits agree
    DEPTH = 256  # rows whose outer products are summed in registers before they are added to the gradients


# Choose whether samples or units are in the lanes, and set `call.column` accordingly.
cdef void choose_lanes(const cgru_kernels *k, cgru_call *call) noexcept nogil
# Return the column stride that X and dX should have in a call whose lanes are chosen.
cdef Py_ssize_t input_column(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# Return `array`, or a copy where the call cannot read its strides; `fast`: or reads them lane by lane.
cdef cnp.ndarray readable(const cgru_call *call, cnp.ndarray array, bint fast=*)
# Return whether any call of these sizes, with any number of samples and any lengths, may have samples in its lanes.
cdef bint may_have_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# Return the plan of a call whose arrays are bound, on at most `most` threads. w NULL: the weights are packed already.
cdef Plan plan_of(const cgru_kernels *k, const cgru_call *call, const cgru_weights *w, Direction direction,
                  int most) noexcept nogil
# Return how many threads share the columns of each product. `asked`: the caller asked for them, for calls of few steps.
cdef int count_members(const Plan *plan, const cgru_call *call, int most, bint asked) noexcept nogil
# Return whether to run a call beside another one like it, each on a thread of its own.
cdef bint pays_pair(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil
# Return the workspace, without packed weights, that is enough for any direction of a call on one thread.
cdef Py_ssize_t rows_workspace_size(const cgru_kernels *k, const cgru_call *call) noexcept nogil
# Return the workspace that is enough for this call, with fewer or shorter samples and any layout of its arrays.
cdef Py_ssize_t largest_workspace_size(const cgru_kernels *k, const cgru_call *call, Direction direction,
                                       int most) noexcept nogil
# Return how many steps run backward before their gradients are summed, in a call on at most `most` threads.
cdef Py_ssize_t block_steps(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil
# Return the most rows, steps of samples, that such a block has in this call with fewer or shorter samples.
cdef Py_ssize_t largest_block_rows(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil
# Return n samples rounded up to the plan's row_multiple.
cdef inline Py_ssize_t whole_vectors(const Plan *plan, Py_ssize_t n) noexcept nogil:
    return (n + plan.row_multiple - 1) // plan.row_multiple * plan.row_multiple
# Return the floating-point operations of a call in one direction.
cdef inline double operations(const cgru_call *call) noexcept nogil:
    return 6.0 * call.m * call.s * call.u * (call.e + call.u)
# Return the number of terms that the gradients sum.
cdef int terms_of(const cgru_call *call) noexcept nogil
# Return how many numbers of X and of hp the gradients collect from one row.
cdef Py_ssize_t operands_of(const cgru_call *call) noexcept nogil
# Return a call for inputs like X, its lengths and masks set and its lanes chosen, without other arrays.
cdef cgru_call call_on(cnp.ndarray X, Py_ssize_t u, variant, tuple activations, tuple ragged, zoneout,
                       cnp.ndarray recurrent) except *
# Return a call with `arrays` bound, a dict of X and others by name. The optional entry "zoneout" is a mask or a rate.
cdef cgru_call call_of(variant, Py_ssize_t u, dict arrays, tuple activations, order, running) except *
