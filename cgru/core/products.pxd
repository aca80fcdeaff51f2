"""The state of one run: the matrix products of its steps, which forward.pyx and backward.pyx build."""

from cgru.core.crew cimport Crew
from cgru.core.kernels cimport (
    cgru_array, cgru_call, cgru_feature_product, cgru_epilogue, cgru_batch, cgru_matrix, cgru_norm, cgru_product,
    cgru_single_sample, cgru_weights,
)
from cgru.core.plan cimport Plan

cdef enum:
    MOST_PRODUCTS = 4  # of a step
    MOST_PACKED = 6  # matrices of a call: U and V of each gate


# A matrix to pack into the columns of a product from `column` on, or with no `columns` for a single sample, at `to`.
cdef struct Packing:
    cgru_matrix W
    Py_ssize_t k, n  # its rows and columns
    void *to
    Py_ssize_t depth, columns, k0, column  # of the product; the row and the column of it where the matrix begins


cdef struct Run:
    Plan plan
    cgru_call *call
    cgru_weights w  # unpacked weights are read by rows
    bint packs  # whether w has to be packed
    Packing packing[MOST_PACKED]
    int packings
    void *sums  # memory for the sums of products with unpacked weights
    cgru_product each[MOST_PRODUCTS]  # the products of a step, in their order
    cgru_product fresh[MOST_PRODUCTS]  # the products of the step without a previous state
    int products, fresh_products
    int x_operand[MOST_PRODUCTS]  # forward: the operand of each product that is x; -1: none
    cgru_product batched[2]  # batched input projection: the products of many steps at once
    int batched_products
    const cgru_array *batched_arrays[3]  # the arrays whose steps are the rows of these products
    cgru_feature_product feature_product  # used instead of them with features in the lanes
    cgru_norm norm
    cgru_single_sample single  # used instead of the products of a step for a single sample
    cgru_batch batch_simd  # used instead of them with samples in the lanes
    Crew *crew  # the threads that share its products; NULL: there are none
    Py_ssize_t start, stop  # the samples to run
    Py_ssize_t rows  # of a block
    bint first, last  # whether the steps to run include the one that runs first, and the one that runs last


# Append a product without operands to those of a step. Its packed weights and its bias go to the given addresses.
cdef cgru_product *next_product(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                                const void *bias) noexcept nogil
# Add rows (rows, k), `ld` apart, times the matrices that begin at W to the sum that a product computes.
cdef void add_weighted_operand(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                               const cgru_matrix *W) noexcept nogil
# Pack the weights and biases of a product, `gates` matrices (k, n) side by side, or make it read unpacked weights.
cdef void attach_weights(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil
# Note a matrix W (k, n) that `pack_weights` will pack for a single sample, at `to`.
cdef void pack_for_single(Run *run, cgru_matrix W, Py_ssize_t k, Py_ssize_t n, void *to) noexcept nogil
# Pack all matrices that were noted, on as many threads as planned.
cdef void pack_weights(Run *run) noexcept nogil
# Add a product to the batched input projection. It writes rows `ld` apart from `column` on.
cdef void add_batched_inputs(Run *run, const cgru_product *product, Py_ssize_t ld, Py_ssize_t column) noexcept nogil
