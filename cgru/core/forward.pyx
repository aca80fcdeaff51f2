"""The layer forward: the products of a step, as the cell has them. The equations are those of cgru/reference.py.

Whatever is given here is trusted: the layer has checked it. All arrays are of one dtype, float32 or float64.
"""

from libc.string cimport memset

from cgru.core.kernels cimport (
    CGRU_C, CGRU_HH, CGRU_LAYER_NORM, CGRU_R, CGRU_RESET_BEFORE, CGRU_Z, cgru_array, cgru_call, cgru_kernels,
    cgru_matrix, cgru_product, cgru_single_sample, cgru_weights, new_product, pack_gains, transpose,
)
from cgru.core.plan cimport ALONG_E, IN_COLUMNS, PACKED, SAMPLES, SINGLE
from cgru.core.products cimport fill, multiply, new_part, take_ahead


cdef void lay_out_forward(Run *run, char *packed) noexcept nogil:
    run.read[0] = &run.call.X
    if run.plan.layout == SAMPLES:
        _lay_out_few(run, packed)
    elif run.plan.layout == SINGLE:
        _lay_out_single(run, packed)
    elif run.call.variant == CGRU_LAYER_NORM:
        _lay_out_norm(run, packed)
    else:
        _lay_out_step(run, packed)


cdef inline char *_seen_by(const Run *run, int gate) noexcept nogil:
    """hp in the first row, as a gate sees it."""
    return <char *>run.call.rows + (run.call.masked + gate * run.call.up if run.call.masked else 0) * run.plan.k.size


cdef void _multiply_x(Run *run, cgru_product *product, int gate) noexcept nogil:
    cdef const cgru_call *call = run.call
    run.of_x[run.products - 1] = product.operands
    multiply(product, <char *>call.rows + call.up * run.plan.k.size, call.ld, run.plan.inner, &run.w.U[gate])


cdef void _lay_out_step(Run *run, char *to) noexcept nogil:
    """The rows are h | x | r * h | z, or, where the reset comes after, h | x | r, then r * c | z.

    1. r = activate_reset(x Ur + hp Vr + br);  z = activate_update(x Uz + hp Vz + bz), together or one by one
    2. reset after: r * c, c = hp Vhh + chh
    3. hh = activate(x Uhh + (r * hp) Vhh + bhh), reset after activate(x Uhh + bhh + r * c);  h = z * hp + (1 - z) * hh
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef Py_ssize_t u = call.u, e = run.plan.inner, up = call.up, size = k.size
    cdef char *bias = to + 3 * (u + e) * up * size
    cdef cgru_product *product
    cdef int part, gate, gates = 1 if call.masked else 2
    cdef bint after = call.variant != CGRU_RESET_BEFORE
    _lay_out_dots(run, bias, bias + 4 * up * size)
    for part in range(2 // gates):
        gate = part * gates
        product = new_part(run, k.gates, gates * up, to + gate * (u + e) * up * size, bias + gate * up * size)
        product.column = gate * up
        multiply(product, _seen_by(run, gate), call.ld, u, &w.V[gate])
        _multiply_x(run, product, gate)
        fill(run, product, gates, u, &w.b[gate])
    to += 2 * (u + e) * up * size
    if after:
        product = new_part(run, k.recurrent, up, to + e * up * size, bias + 3 * up * size)
        multiply(product, _seen_by(run, CGRU_HH), call.ld, u, &w.V[CGRU_HH])
        fill(run, product, 1, u, &w.b[CGRU_C])
    product = new_part(run, k.candidate, up, to, bias + 2 * up * size)
    _multiply_x(run, product, CGRU_HH)
    if not after:
        multiply(product, <char *>call.rows + (up + call.ep) * size, call.ld, u, &w.V[CGRU_HH])
    fill(run, product, 1, u, &w.b[CGRU_HH])


cdef void _lay_out_norm(Run *run, char *to) noexcept nogil:
    """The rows are h | x | a | b, a and b of r, z and hh.

    1. a = x [Ur Uz Uhh];  b = hp [Vr Vz Vhh], together or one by one
    2. nU = normal(a);  nV = normal(b);  r, z;  hh = activate(gU nU + bhh + r * (gV nV + chh));  h
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t u = call.u, e = call.e, up = call.up, size = k.size
    cdef char *a = <char *>call.rows + (up + call.ep) * size
    cdef char *gains = to + 3 * (u + e) * up * size
    cdef char *bias = gains + 6 * up * size
    cdef cgru_product *product = new_part(run, k.store_product, 3 * up, to, NULL)
    cdef int part, gate, gates = 1 if call.masked else 3
    _multiply_x(run, product, CGRU_R)
    product.out = cgru_array(a, call.ld, 0, 1)
    fill(run, product, 3, u, NULL)
    for part in range(3 // gates):
        gate = part * gates
        product = new_part(run, k.store_product, gates * up, to + (3 * e + gate * u) * up * size, NULL)
        multiply(product, _seen_by(run, gate), call.ld, u, &run.w.V[gate])
        product.out = cgru_array(a + (3 + gate) * up * size, call.ld, 0, 1)
        fill(run, product, gates, u, NULL)
    run.norm.call, run.norm.gains, run.norm.bias = call, gains, bias
    if not run.packs:
        return
    for gate in range(4):
        k.pack_single(run.w.b[gate], 1, u, bias + gate * up * size)
    pack_gains(k, &run.w, u, up, gains)


cdef void _lay_out_single(Run *run, char *to) noexcept nogil:
    """The weights of a single sample."""
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef cgru_single_sample *single = &run.single
    cdef Py_ssize_t u = run.call.u, e = run.plan.inner, up = run.call.up, size = k.size
    cdef cgru_product product
    cdef int gate
    single.call, single.fresh, single.feature_product = run.call, False, NULL
    for gate in range(4):
        single.b[gate] = cgru_matrix(to + gate * up * size, 0, 1)
        if run.packs and w.b[gate].data != NULL:
            k.pack_single(w.b[gate], 1, u, <void *>single.b[gate].data)
    to += 4 * up * size
    single.U = to
    _lay_out_dots(run, <char *>single.b[0].data, to + 3 * u * up * size)
    if run.feature_product.W != NULL:
        single.feature_product = &run.feature_product
    elif run.packs or run.call.projections:
        product = new_product(k, run.call, k.store_product, 3 * up, to, single.b[0].data)
        multiply(&product, NULL, 0, e, &w.U[0])
        fill(run, &product, 3, u, NULL)
        take_ahead(run, &product, 3 * up, 0)
    single.sums, single.is_transposed = run.sums, run.plan.weights == IN_COLUMNS
    for gate in range(3):
        single.V[gate] = w.V[gate]
        if run.plan.weights == PACKED:
            single.V[gate] = cgru_matrix(to + (3 * e + gate * u) * up * size, 0, 1)
            if run.packs:
                k.pack_single(w.V[gate], u, u, <void *>single.V[gate].data)


cdef void _lay_out_dots(Run *run, char *bias, char *W) noexcept nogil:
    """The transposes of U, where lanes are elements in its products; their bias stands there."""
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t u = call.u, each = u * call.ep
    cdef int gate
    if run.plan.inputs != ALONG_E:
        return
    run.feature_product.u, run.feature_product.up, run.feature_product.ep = u, call.up, call.ep
    run.feature_product.gate, run.feature_product.bias, run.feature_product.W = each, bias, W
    if not run.packs:
        return
    memset(W, 0, 3 * each * k.size)
    for gate in range(3):
        k.copy(transpose(run.w.U[gate]), u, call.e, W + gate * each * k.size, call.ep)


cdef void _lay_out_few(Run *run, char *to) noexcept nogil:
    """The weights of few units, a row for each: those of its gates [b | V | U] and of its candidate [b | U | V]; where
    the reset comes after, that has its part of V, [b | V], for itself. Where the inputs have dots, neither U nor b.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef Py_ssize_t u = call.u, up = call.up, e = run.plan.inner, size = k.size, b = 1 if e else 0, K = b + u + e
    cdef bint after = call.variant != CGRU_RESET_BEFORE
    cdef Py_ssize_t of_candidate = b + e if after else K
    cdef char *candidate = to + 2 * u * K * size
    cdef char *recurrent = candidate + u * of_candidate * size
    cdef char *bias = to + (3 * u + 1) * up * size
    cdef int gate
    _lay_out_dots(run, bias, bias + 3 * up * size)
    run.batch.call, run.batch.feature_product = call, run.feature_product
    run.batch.gates, run.batch.candidate, run.batch.recurrent = to, candidate, recurrent
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
