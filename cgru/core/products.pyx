"""Build the matrix products of a step, with weights that are packed or read unpacked."""

from cgru.core.kernels cimport add_operand, cgru_kernels, new_product, pack, pack_bias, transpose
from cgru.core.plan cimport BACKWARD, PACKED, UNPACKED_COLUMNS, UNPACKED_ROWS, UNPACKED_TILES
from cgru.core.threads cimport share


cdef cgru_product *next_product(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                                const void *bias) noexcept nogil:
    """Append a product without operands to the products of a step, and return its address."""
    cdef cgru_product *product = &run.each[run.products]
    run.x_operand[run.products] = -1
    run.products += 1
    product[0] = new_product(run.plan.k, run.call, epilogue, columns, weights, bias)
    return product


cdef void add_weighted_operand(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                               const cgru_matrix *W) noexcept nogil:
    """Add the operand rows (m, k), `ld` numbers apart, and its weights W (the first gate's matrix) to a product."""
    product.unpacked[product.operands] = W
    add_operand(product, rows, ld, k)


cdef void attach_weights(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil:
    """List the weights of a product for packing (`gates` gates of n columns), or make it read them unpacked."""
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t k0 = 0, depth = 0, width = product.columns // gates
    cdef int gate, o
    cdef cgru_matrix W
    for gate in range(gates if run.packs and b != NULL else 0):
        pack_bias(run.plan.k, product, gate * width, b[gate], n)
    # transposed: the product reads the columns of W, not its rows
    product.width, product.is_transposed = n, run.plan.weights == (UNPACKED_ROWS if back else UNPACKED_COLUMNS)
    product.sums = run.sums if run.plan.weights > UNPACKED_TILES else NULL
    for o in range(product.operands):
        depth += product.operand[o].k
    for o in range(product.operands):
        if (run.plan.input_weights if _is_U(run, product.unpacked[o]) else run.plan.weights) == PACKED:
            for gate in range(gates if run.packs else 0):
                W = transpose(product.unpacked[o][gate]) if back else product.unpacked[o][gate]
                _note(run, Packing(W, product.operand[o].k, n, <void *>product.weights, depth, product.columns, k0,
                                   gate * width))
            product.unpacked[o] = NULL
        k0 += product.operand[o].k


cdef inline void _note(Run *run, Packing packing) noexcept nogil:
    """Add a matrix to the list of those to pack, unless it is missing."""
    if packing.W.data != NULL:
        run.packing[run.packings] = packing
        run.packings += 1


cdef void pack_for_single(Run *run, cgru_matrix W, Py_ssize_t k, Py_ssize_t n, void *to) noexcept nogil:
    """Add a matrix to the list of those to pack for a single sample, if the run packs its weights."""
    if run.packs:
        _note(run, Packing(W, k, n, to, 0, 0, 0, 0))


cdef void _pack_one(void *work, Py_ssize_t part) noexcept nogil:
    """Pack one matrix of the list, the last one first; called by `share`, `work` is a Run."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef Packing *packing = &run.packing[run.packings - 1 - part]
    cdef cgru_product product
    if packing.columns:
        product = new_product(k, run.call, NULL, packing.columns, packing.to, NULL)
        product.depth = packing.depth
        pack(k, &product, packing.k0, packing.column, packing.W, packing.k, packing.n)
    else:
        k.pack_single(packing.W, packing.k, packing.n, packing.to)


cdef void pack_weights(Run *run) noexcept nogil:
    """Pack all matrices of the list, on threads."""
    share(_pack_one, run, run.packings, run.plan.packers)


cdef inline bint _is_U(const Run *run, const cgru_matrix *W) noexcept nogil:
    """Return whether W is the input matrix U of a gate."""
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
