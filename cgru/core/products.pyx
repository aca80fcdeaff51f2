"""Build the products of a step, with weights that are packed or read unpacked."""

from cgru.core.kernels cimport add_operand, new_product, pack, pack_bias, transpose
from cgru.core.plan cimport BACKWARD, PACKED, UNPACKED_COLUMNS, UNPACKED_ROWS, UNPACKED_TILES


cdef cgru_product *next_product(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                                const void *bias) noexcept nogil:
    """Append a product without operands to those of a step, and return its address."""
    cdef cgru_product *product = &run.each[run.products]
    run.x_operand[run.products] = -1
    run.products += 1
    product[0] = new_product(run.plan.k, run.call, epilogue, columns, weights, bias)
    return product


cdef void add_weighted_operand(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                               const cgru_matrix *W) noexcept nogil:
    """Add rows (m, k), `ld` apart, times W, the first of the gates' matrices, to the sum that a product computes."""
    product.unpacked[product.operands] = W
    add_operand(product, rows, ld, k)


cdef void attach_weights(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil:
    """Pack weights and biases `b` of a product, `gates` gates of n columns each, or make it read unpacked weights."""
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t k0 = 0, width = product.columns // gates
    cdef int gate, o
    cdef cgru_matrix W
    for gate in range(gates if run.packs and b != NULL else 0):
        pack_bias(run.plan.k, product, gate * width, b[gate], n)
    # transposed: the product reads the columns of W, not its rows
    product.width, product.is_transposed = n, run.plan.weights == (UNPACKED_ROWS if back else UNPACKED_COLUMNS)
    product.sums = run.sums if run.plan.weights > UNPACKED_TILES else NULL
    for o in range(product.operands):
        if (run.plan.input_weights if _is_U(run, product.unpacked[o]) else run.plan.weights) == PACKED:
            for gate in range(gates if run.packs else 0):
                W = product.unpacked[o][gate]
                pack(run.plan.k, product, k0, gate * width, transpose(W) if back else W, product.operand[o].k, n)
            product.unpacked[o] = NULL
        k0 += product.operand[o].k


cdef inline bint _is_U(const Run *run, const cgru_matrix *W) noexcept nogil:
    """Return whether the matrix is U of a gate."""
    return &run.w.U[0] <= W <= &run.w.U[2]


cdef void add_batched_inputs(Run *run, const cgru_product *product, Py_ssize_t ld, Py_ssize_t column) noexcept nogil:
    """Copy a product to the batched input projection; its results go to rows `ld` apart, from `column` on."""
    cdef cgru_product *batched = &run.batched[run.batched_products]
    run.batched_products += 1
    batched[0] = product[0]
    # With one chain the bits do not depend on s.
    batched.epilogue, batched.chains, batched.column = run.plan.k.store_product, 1, column
    batched.out = cgru_array(NULL, ld, 0, 1)
    if run.plan.input_weights == UNPACKED_TILES:
        batched.sums = NULL
