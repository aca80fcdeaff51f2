"""Build the matrix products of a forward step, by variant and memory layout; cgru/reference.py has the equations.

The layer has checked all arguments. All arrays are of one dtype, float32 or float64.
"""

from libc.string cimport memset

from cgru.core.kernels cimport (
    CGRU_C, CGRU_HH, CGRU_LAYER_NORM, CGRU_R, CGRU_RESET_BEFORE, CGRU_Z, cgru_array, cgru_call, cgru_kernels,
    cgru_matrix, cgru_product, cgru_single_sample, cgru_weights, new_product, pack_gains, transpose,
)
from cgru.core.plan cimport PACKED, UNPACKED_COLUMNS
from cgru.core.products cimport (
    add_batched_inputs, add_weighted_operand, attach_weights, next_product, pack_for_single,
)


cdef void build_products(Run *run, char *packed) noexcept nogil:
    """Build the products of a forward step of any variant; pack their weights into `packed` if `run.packs`."""
    if run.call.variant == CGRU_LAYER_NORM:
        _build_layer_norm(run, packed)
    else:
        _build_step(run, packed)


cdef inline char *_seen_by(const Run *run, int gate) noexcept nogil:
    """Return the address of the previous state that a gate multiplies: its masked copy, or the state itself."""
    return <char *>run.call.rows + (run.call.masked + gate * run.call.up if run.call.masked else 0) * run.plan.k.size


cdef void _multiply_x(Run *run, cgru_product *product, int gate) noexcept nogil:
    """Add x U of a gate to the newest product of `run`, and store which of the product's operands x is."""
    cdef char *x = <char *>run.call.rows + run.call.up * run.plan.k.size
    run.x_operand[run.products - 1] = product.operands
    add_weighted_operand(product, x, run.call.ld, run.plan.packed_e, &run.w.U[gate])


cdef void _build_step(Run *run, char *to) noexcept nogil:
    """Build the products of a forward step of reset_before or reset_after, with weights packed at `to`.

    A row holds h | x | r * h | z. With the reset after the product it holds h | x | r, then r * c | z.

    1. r = activate_reset(x Ur + hp Vr + br);  z = activate_update(x Uz + hp Vz + bz), together or one by one
    2. reset after: r * c, c = hp Vhh + chh
    3. hh = activate(x Uhh + (r * hp) Vhh + bhh), or with the reset after activate(x Uhh + bhh + r * c)
       h = z * hp + (1 - z) * hh
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef Py_ssize_t u = call.u, e = run.plan.packed_e, up = call.up, size = k.size
    cdef char *bias = to + 3 * (u + e) * up * size
    cdef cgru_product *product
    cdef int part, gate, gates = 1 if call.masked else 2
    cdef bint after = call.variant != CGRU_RESET_BEFORE
    _build_feature_simd(run, bias, bias + 4 * up * size)
    for part in range(2 // gates):
        gate = part * gates
        product = next_product(run, k.gates, gates * up, to + gate * (u + e) * up * size, bias + gate * up * size)
        product.column = gate * up
        add_weighted_operand(product, _seen_by(run, gate), call.ld, u, &w.V[gate])
        _multiply_x(run, product, gate)
        attach_weights(run, product, gates, u, &w.b[gate])
    to += 2 * (u + e) * up * size
    if after:
        product = next_product(run, k.recurrent, up, to + e * up * size, bias + 3 * up * size)
        add_weighted_operand(product, _seen_by(run, CGRU_HH), call.ld, u, &w.V[CGRU_HH])
        attach_weights(run, product, 1, u, &w.b[CGRU_C])
    product = next_product(run, k.candidate, up, to, bias + 2 * up * size)
    _multiply_x(run, product, CGRU_HH)
    if not after:
        add_weighted_operand(product, <char *>call.rows + (up + call.ep) * size, call.ld, u, &w.V[CGRU_HH])
    attach_weights(run, product, 1, u, &w.b[CGRU_HH])


cdef void _build_layer_norm(Run *run, char *to) noexcept nogil:
    """Build the products of a forward step with layer normalisation, packed at `to`. A row holds h | x | a | b.

    1. a = x [Ur Uz Uhh];  b = hp [Vr Vz Vhh], together or one by one
    2. nU = normal(a);  nV = normal(b);  r, z;  hh = activate(gU nU + bhh + r * (gV nV + chh));  h
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t u = call.u, e = call.e, up = call.up, size = k.size
    cdef char *a = <char *>call.rows + (up + call.ep) * size
    cdef char *gains = to + 3 * (u + e) * up * size
    cdef char *bias = gains + 6 * up * size
    cdef cgru_product *product = next_product(run, k.store_product, 3 * up, to, NULL)
    cdef int part, gate, gates = 1 if call.masked else 3
    _multiply_x(run, product, CGRU_R)
    product.out = cgru_array(a, call.ld, 0, 1)
    attach_weights(run, product, 3, u, NULL)
    for part in range(3 // gates):
        gate = part * gates
        product = next_product(run, k.store_product, gates * up, to + (3 * e + gate * u) * up * size, NULL)
        add_weighted_operand(product, _seen_by(run, gate), call.ld, u, &run.w.V[gate])
        product.out = cgru_array(a + (3 + gate) * up * size, call.ld, 0, 1)
        attach_weights(run, product, gates, u, NULL)
    run.norm.call, run.norm.gains, run.norm.bias = call, gains, bias
    if not run.packs:
        return
    for gate in range(4):
        k.pack_single(run.w.b[gate], 1, u, bias + gate * up * size)
    pack_gains(k, &run.w, u, up, gains)


cdef void build_single_sample(Run *run, char *to) noexcept nogil:
    """Set up the forward pass of a single sample: pack its matrices and biases, or make it read unpacked ones."""
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef cgru_single_sample *single = &run.single
    cdef Py_ssize_t u = run.call.u, e = run.plan.packed_e, up = run.call.up, size = k.size
    cdef cgru_product product
    cdef int gate
    single.call, single.fresh, single.feature_product = run.call, False, NULL
    for gate in range(4):
        single.b[gate] = cgru_matrix(to + gate * up * size, 0, 1)
        if run.packs and w.b[gate].data != NULL:
            k.pack_single(w.b[gate], 1, u, <void *>single.b[gate].data)
    to += 4 * up * size
    single.U = to
    _build_feature_simd(run, <char *>single.b[0].data, to + 3 * u * up * size)
    if run.feature_product.W != NULL:
        single.feature_product = &run.feature_product
    elif run.packs or run.call.projections:
        product = new_product(k, run.call, k.store_product, 3 * up, to, single.b[0].data)
        add_weighted_operand(&product, NULL, 0, e, &w.U[0])
        attach_weights(run, &product, 3, u, NULL)
        add_batched_inputs(run, &product, 3 * up, 0)
    single.sums, single.is_transposed = run.sums, run.plan.weights == UNPACKED_COLUMNS
    for gate in range(3):
        single.V[gate] = w.V[gate]
        if run.plan.weights == PACKED:
            single.V[gate] = cgru_matrix(to + (3 * e + gate * u) * up * size, 0, 1)
            pack_for_single(run, w.V[gate], u, u, <void *>single.V[gate].data)


cdef void _build_feature_simd(Run *run, char *bias, char *W) noexcept nogil:
    """Pack the transposes of U into W if U is not among the other packed weights; `bias` is their bias."""
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t u = call.u, each = u * call.ep
    cdef int gate
    if run.plan.packed_e:
        return
    run.feature_product.u, run.feature_product.up, run.feature_product.ep = u, call.up, call.ep
    run.feature_product.gate, run.feature_product.bias, run.feature_product.W = each, bias, W
    if not run.packs:
        return
    memset(W, 0, 3 * each * k.size)
    for gate in range(3):
        k.copy(transpose(run.w.U[gate]), u, call.e, W + gate * each * k.size, call.ep)


cdef void build_batch_simd(Run *run, char *to) noexcept nogil:
    """Pack the weights of a forward call that has one sample per SIMD lane, with a row for each unit.

    The gates have rows [b | V | U], the candidate [b | U | V]. With the reset after the product, the recurrent part of
    the candidate has rows [b | V] of its own. With features in the lanes of the input products, U and b are left out.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef Py_ssize_t u = call.u, up = call.up, size = k.size, e = run.plan.packed_e, b = e > 0, K = b + u + e
    cdef bint after = call.variant != CGRU_RESET_BEFORE
    cdef Py_ssize_t of_candidate = b + e if after else K
    cdef char *candidate = to + 2 * u * K * size
    cdef char *recurrent = candidate + u * of_candidate * size
    cdef char *bias = to + (3 * u + 1) * up * size
    cdef int gate
    _build_feature_simd(run, bias, bias + 3 * up * size)
    run.batch_simd.call, run.batch_simd.feature_product = call, run.feature_product
    run.batch_simd.gates, run.batch_simd.candidate = to, candidate
    run.batch_simd.recurrent = recurrent if after else NULL
    if not run.packs:
        return
    for gate in range(0 if e else 3):
        k.pack_single(w.b[gate], 1, u, bias + gate * up * size)
    for gate in range(CGRU_R, CGRU_Z + 1):
        k.copy(transpose(w.b[gate]), u, b, to, K)
        k.copy(transpose(w.V[gate]), u, u, to + b * size, K)
        k.copy(transpose(w.U[gate]), u, e, to + (b + u) * size, K)
        to += u * K * size
    k.copy(transpose(w.b[CGRU_HH]), u, b, candidate, of_candidate)
    k.copy(transpose(w.U[CGRU_HH]), u, e, candidate + b * size, of_candidate)
    if after:
        k.copy(transpose(w.b[CGRU_C]), u, 1, recurrent, 1 + u)
        k.copy(transpose(w.V[CGRU_HH]), u, u, recurrent + size, 1 + u)
    else:
        k.copy(transpose(w.V[CGRU_HH]), u, u, candidate + (b + e) * size, of_candidate)
