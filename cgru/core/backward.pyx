"""Build the matrix products of a backward step, by variant and memory layout; cgru/reference.py has the equations.

The layer has checked all arguments. All arrays are of one dtype, float32 or float64.
"""

from cgru.core.kernels cimport (
    CGRU_HH, CGRU_LAYER_NORM, CGRU_R, CGRU_RESET_BEFORE, CGRU_Z, add_operand, cgru_call, cgru_kernels, cgru_matrix,
    cgru_product, cgru_weights, mask_of, new_product, pack, pack_gains, transpose, with_operand,
)
from cgru.core.products cimport (
    add_batched_inputs, add_weighted_operand, attach_weights, next_product, pack_for_single,
)


cdef void build_products(Run *run, char *packed) noexcept nogil:
    """Build the products of a backward step of any variant; pack their weights into `packed` if `run.packs`."""
    if run.call.variant == CGRU_LAYER_NORM:
        _build_layer_norm(run, packed)
    elif run.call.variant == CGRU_RESET_BEFORE:
        _build_reset_first(run, packed)
    else:
        _build_reset_last(run, packed)


cdef void _build_reset_first(Run *run, char *to) noexcept nogil:
    """Build the products of a backward step of reset_before, with weights packed at `to`. A row: dh | dhh_ | dz_ | dr_.

    1. dh_ = dA + dhn;  dhh_ = dh_ * (1 - z) * activate'(hh_);  dz_ = dh_ * (hp - hh) * activate_update'(z_)
       dh = dh_ * z
    2. dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_);  dh += (dhh_ Vhh^T) * r
    3. dh += dz_ Vz^T + dr_ Vr^T
    4. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T
    """
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t u = call.u, step = call.up * run.plan.k.size
    cdef char *dhh_ = <char *>call.rows + step
    cdef cgru_product *product = next_product(run, run.plan.k.reset_backward, call.up, to, NULL)
    product.mask = mask_of(call, CGRU_HH, run.plan.k.size)
    add_weighted_operand(product, dhh_, call.ld, u, &run.w.V[CGRU_HH])
    attach_weights(run, product, 1, u, NULL)
    run.fresh[0], run.fresh_products = with_operand(product, -1), 1  # hp is zero and its dh is not wanted
    _build_state_gradient(run, 2, [CGRU_Z, CGRU_R], dhh_ + step, to + u * step)
    _build_input_gradient(run, dhh_, step, to + 3 * u * step)


cdef void _build_reset_last(Run *run, char *to) noexcept nogil:
    """Build the products of a backward step of reset_after, packed at `to`. A row: dh | dhh_ | dz_ | dr_ | dc.

    1. as in reset_before;  dr_ = dhh_ * c * activate_reset'(r_);  dc = dhh_ * r
    2. dh += dc Vhh^T + dz_ Vz^T + dr_ Vr^T
    3. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T
    """
    cdef Py_ssize_t step = run.call.up * run.plan.k.size
    cdef char *dhh_ = <char *>run.call.rows + step
    _build_state_gradient(run, 3, [CGRU_Z, CGRU_R, CGRU_HH], dhh_ + step, to)
    _build_input_gradient(run, dhh_, step, to + 3 * run.call.u * step)


cdef void _build_layer_norm(Run *run, char *to) noexcept nogil:
    """Build the products of a backward step with layer normalisation, with weights packed at `to`.

    A row holds dh | dhh_ | dz_ | dr_ | dc | dU_ | dV_, the last two of r, z and hh.

    1. as in reset_after
    2. dU_, dV_ = dL/da, dL/db from gU (dr_, dz_, dhh_), gV (dr_, dz_, dc)
    3. dh += dV_ [Vr Vz Vhh]^T
    4. dX = dU_ [Ur Uz Uhh]^T
    """
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t step = call.up * run.plan.k.size
    cdef char *dU_ = <char *>call.rows + 5 * step
    cdef char *gains = to + 3 * call.u * (call.up + call.ep) * run.plan.k.size
    _build_state_gradient(run, 3, [CGRU_R, CGRU_Z, CGRU_HH], dU_ + 3 * step, to)
    _build_input_gradient(run, dU_ + 2 * step, -step, to + 3 * call.u * step)
    run.norm.call, run.norm.gains, run.norm.bias = call, gains, NULL
    if run.packs:
        pack_gains(run.plan.k, &run.w, call.u, call.up, gains)


cdef void _build_state_gradient(Run *run, int gates, const int *gate, const char *d, char *to) noexcept nogil:
    """Build the products dh += d V^T of several gates, packed at `to`; the gates' d are side by side at address `d`.

    One product takes all gates together. With recurrent dropout each gate has a product and a mask of its own.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef cgru_product *product
    cdef int n, part, first, together = 1 if call.recurrent.data != NULL else gates
    for part in range(gates // together):
        first = part * together
        product = next_product(run, k.state_backward, call.up, to + first * call.u * call.up * k.size, NULL)
        product.mask = mask_of(call, gate[first], k.size)
        for n in range(first, first + together):
            add_weighted_operand(product, d + n * call.up * k.size, call.ld, call.u, &run.w.V[gate[n]])
        attach_weights(run, product, 1, call.u, NULL)


cdef void _build_input_gradient(Run *run, const char *d, Py_ssize_t step, char *to) noexcept nogil:
    """Build the product for dX, packed at `to`; the gradients of hh, z and r start at `d`, `step` bytes apart."""
    cdef cgru_call *call = run.call
    cdef cgru_product *product = next_product(run, run.plan.k.input_backward, call.e, to, NULL)
    cdef int gate
    for gate in range(CGRU_HH, CGRU_R - 1, -1):
        add_weighted_operand(product, d + (CGRU_HH - gate) * step, call.ld, call.u, &run.w.U[gate])
    attach_weights(run, product, 1, call.e, NULL)
    if call.dX.data == NULL or run.plan.batches_inputs:
        run.products -= 1
    else:
        run.fresh[run.fresh_products] = product[0]
        run.fresh_products += 1
    if call.dX.data != NULL and run.plan.batches_inputs:
        run.batched_arrays[0], run.batched_arrays[1], run.batched_arrays[2] = &call.dhh_, &call.dz_, &call.dr_
        add_batched_inputs(run, product, call.dX.step, 0)


cdef void build_single_sample(Run *run, char *to) noexcept nogil:
    """Set up the backward pass of a single sample: pack the transposes of V at `to`, then the weights for dX."""
    cdef Py_ssize_t u = run.call.u, each = u * run.call.up * run.plan.k.size
    cdef int gate
    run.single.call = run.call
    for gate in range(3):
        run.single.V[gate] = cgru_matrix(to + gate * each, 0, 1)
        pack_for_single(run, transpose(run.w.V[gate]), u, u, to + gate * each)
    _build_input_gradient(run, NULL, 0, to + 3 * each)


cdef void build_batch_simd(Run *run, char *to) noexcept nogil:
    """Pack the weights of a backward call that has one sample per SIMD lane, with a row for each unit, at `to`.

    The rows are Vhh and [Vz | Vr]; with the reset after the product, [Vz | Vr | Vhh]. For dX each feature has a row
    [Uhh | Uz | Ur]. With features in the lanes there is a product for dX instead.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef bint after = call.variant != CGRU_RESET_BEFORE
    cdef Py_ssize_t u = call.u, e = call.e, size = k.size, K = (2 + after) * u, part = u * size
    cdef char *reset = to + u * K * size
    cdef char *dX = to + 3 * u * u * size
    cdef int *gates = [CGRU_HH, CGRU_Z, CGRU_R]
    cdef int n
    cdef cgru_product *wide = NULL if run.plan.packed_e else &run.batched[0]
    run.batch_simd.call, run.batch_simd.state, run.batch_simd.reset = call, to, NULL if after else reset
    run.batch_simd.input, run.batch_simd.wide = dX, wide
    if wide != NULL:
        wide[0] = new_product(k, call, k.store_product, e, dX, NULL)
        add_operand(wide, NULL, 3 * u, 3 * u)
    if not run.packs:
        return
    k.copy(w.V[CGRU_Z], u, u, to, K)
    k.copy(w.V[CGRU_R], u, u, to + part, K)
    if after:
        k.copy(w.V[CGRU_HH], u, u, to + 2 * part, K)
    else:
        k.copy(w.V[CGRU_HH], u, u, reset, u)
    for n in range(3):
        if wide != NULL:
            pack(k, wide, n * u, 0, transpose(w.U[gates[n]]), u, e)
        else:
            k.copy(w.U[gates[n]], e, u, dX + n * part, 3 * u)
