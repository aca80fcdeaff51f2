"""Products laid out one after the other, their weights packed or read where they lie."""

from cgru.core.kernels cimport add_operand, new_product, pack, pack_bias, transpose
from cgru.core.plan cimport BACKWARD, IN_COLUMNS, IN_ROWS, PACKED


cdef cgru_product *new_part(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                            const void *bias) noexcept nogil:
    cdef cgru_product *product = &run.each[run.products]
    run.of_x[run.products] = -1
    run.products += 1
    product[0] = new_product(run.plan.k, run.call, epilogue, columns, weights, bias)
    return product


cdef void multiply(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                   const cgru_matrix *W) noexcept nogil:
    product.unpacked[product.operands] = W
    add_operand(product, rows, ld, k)


cdef void fill(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil:
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t k0 = 0, width = product.columns // gates
    cdef int gate, o
    cdef cgru_matrix W
    for gate in range(gates if run.packs and b != NULL else 0):
        pack_bias(run.plan.k, product, gate * width, b[gate], n)
    if run.plan.weights != PACKED:  # a product wants them as they lie, or their transposes
        product.width, product.is_transposed = n, run.plan.weights == (IN_ROWS if back else IN_COLUMNS)
        product.sums = run.sums
        return
    for o in range(product.operands):
        for gate in range(gates if run.packs else 0):
            W = product.unpacked[o][gate]
            pack(run.plan.k, product, k0, gate * width, transpose(W) if back else W, product.operand[o].k, n)
        k0 += product.operand[o].k
        product.unpacked[o] = NULL


cdef void take_ahead(Run *run, const cgru_product *product, Py_ssize_t ld, Py_ssize_t column) noexcept nogil:
    cdef cgru_product *ahead = &run.ahead[run.ahead_products]
    run.ahead_products += 1
    ahead[0] = product[0]
    ahead.epilogue, ahead.column = run.plan.k.store_product, column
    ahead.chains = 1  # whatever number of steps there is
    ahead.out = cgru_array(NULL, ld, 0, 1)
