"""The products of a call's steps, as forward.pyx and backward.pyx lay them out and driver.pyx runs them."""

from cgru.core.kernels cimport (
    cgru_array, cgru_call, cgru_feature_product, cgru_epilogue, cgru_batch, cgru_matrix, cgru_norm, cgru_product,
    cgru_single_sample, cgru_weights,
)
from cgru.core.plan cimport Plan

cdef enum:
    MOST_PRODUCTS = 4  # of a step


cdef struct Run:
    Plan plan
    cgru_call *call
    cgru_weights w  # by their rows, where they lie
    bint packs  # whether w is to be packed
    void *sums  # of products with weights that lie
    cgru_product each[MOST_PRODUCTS]  # of a step, one after the other
    cgru_product fresh[MOST_PRODUCTS]  # of the step without a previous state
    int products, fresh_products
    int of_x[MOST_PRODUCTS]  # forward: which operand of each is x; -1: none
    cgru_product ahead[2]  # of the inputs of many steps, where they are taken at once
    int ahead_products
    const cgru_array *read[3]  # the arrays of the call whose steps are the operands of these
    cgru_feature_product feature_product  # instead, where there are few units under many elements
    cgru_norm norm
    cgru_single_sample single  # instead of the products of a step, where there is one sample
    cgru_batch batch  # likewise, where lanes are samples
    Py_ssize_t start, stop  # the samples to run
    Py_ssize_t rows  # of a block
    bint first, last  # whether the steps to run are the first ones in the order in which they run, and the last


# The next product of a step, its packed weights and its bias there; then its operands, whose first matrix is W; then
# their matrices (k, n) are packed, `gates` of them side by side, and as many biases; or all are read where they lie.
cdef cgru_product *new_part(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                            const void *bias) noexcept nogil
cdef void multiply(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                   const cgru_matrix *W) noexcept nogil
cdef void fill(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil
# Take a product of the inputs of many steps at once, to rows `ld` apart, from `column` on.
cdef void take_ahead(Run *run, const cgru_product *product, Py_ssize_t ld, Py_ssize_t column) noexcept nogil
