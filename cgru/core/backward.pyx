"""The layer backward: the products of a step, as the cell has them. The equations are those of cgru/reference.py.

Whatever is given here is trusted: the layer has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.driver cimport Run, begin, drive, fill, multiply, new_part, take_ahead
from cgru.core.driver cimport execute as execute_run
from cgru.core.kernels cimport (
    CGRU_HH, CGRU_R, CGRU_Z, add_operand, cgru_call, cgru_kernels, cgru_matrix, cgru_product, cgru_weights, kernels,
    mask_of, new_product, pack, pack_gains, transpose, weights, with_operand,
)
from cgru.core.plan cimport ALONG_E, BACKWARD, EACH_STEP, SAMPLES, SINGLE, Plan, call_of, plan_of

cnp.import_array()


cdef void _lay_out(Run *run, char *to) noexcept nogil:
    if run.plan.layout == SAMPLES:
        _lay_out_few(run, to)
    elif run.plan.layout == SINGLE:
        _lay_out_single(run, to)
    elif run.call.norm:
        _lay_out_norm(run, to)
    elif run.call.after:
        _lay_out_after(run, to)
    else:
        _lay_out_before(run, to)


cdef void _lay_out_before(Run *run, char *to) noexcept nogil:
    """The rows are dh | dhh_ | dz_ | dr_.

    1. dh_ = dA + dhn;  dhh_ = dh_ * (1 - z) * activate'(hh_);  dz_ = dh_ * (hp - hh) * activate_update'(z_)
       dh = dh_ * z
    2. dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_);  dh += (dhh_ Vhh^T) * r
    3. dh += dz_ Vz^T + dr_ Vr^T
    4. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T
    """
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t u = call.u, step = call.up * run.plan.k.size
    cdef char *dhh_ = <char *>call.rows + step
    cdef cgru_product *product = new_part(run, run.plan.k.reset_backward, call.up, to, NULL)
    product.mask = mask_of(call, CGRU_HH, run.plan.k.size)
    multiply(product, dhh_, call.ld, u, &run.w.V[CGRU_HH])
    fill(run, product, 1, u, NULL)
    run.fresh[0], run.fresh_products = with_operand(product, -1), 1  # where hp is zero and its dh is not wanted
    _lay_out_state(run, 2, [CGRU_Z, CGRU_R], dhh_ + step, to + u * step)
    _lay_out_dX(run, dhh_, step, to + 3 * u * step)


cdef void _lay_out_after(Run *run, char *to) noexcept nogil:
    """The rows are dh | dhh_ | dz_ | dr_ | dc.

    1. as above;  dr_ = dhh_ * c * activate_reset'(r_);  dc = dhh_ * r
    2. dh += dc Vhh^T + dz_ Vz^T + dr_ Vr^T
    3. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T
    """
    cdef Py_ssize_t step = run.call.up * run.plan.k.size
    cdef char *dhh_ = <char *>run.call.rows + step
    _lay_out_state(run, 3, [CGRU_Z, CGRU_R, CGRU_HH], dhh_ + step, to)
    _lay_out_dX(run, dhh_, step, to + 3 * run.call.u * step)


cdef void _lay_out_norm(Run *run, char *to) noexcept nogil:
    """The rows are dh | dhh_ | dz_ | dr_ | dc | dU_ | dV_, the last two of r, z and hh.

    1. as above
    2. dU_, dV_ = dL/da, dL/db from gU (dr_, dz_, dhh_), gV (dr_, dz_, dc)
    3. dh += dV_ [Vr Vz Vhh]^T
    4. dX = dU_ [Ur Uz Uhh]^T
    """
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t step = call.up * run.plan.k.size
    cdef char *dU_ = <char *>call.rows + 5 * step
    cdef char *gains = to + 3 * call.u * (call.up + call.ep) * run.plan.k.size
    _lay_out_state(run, 3, [CGRU_R, CGRU_Z, CGRU_HH], dU_ + 3 * step, to)
    _lay_out_dX(run, dU_ + 2 * step, -step, to + 3 * call.u * step)
    run.norm.call, run.norm.gains, run.norm.bias = call, gains, NULL
    if run.packs:
        pack_gains(run.plan.k, &run.w, call.u, call.up, gains)


cdef void _lay_out_state(Run *run, int gates, const int *gate, const char *d, char *to) noexcept nogil:
    """dh += d V^T of some gates, whose d stand side by side: together, or where each saw another hp one by one."""
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef cgru_product *product
    cdef int n, part, first, together = 1 if call.recurrent.data != NULL else gates
    for part in range(gates // together):
        first = part * together
        product = new_part(run, k.state_backward, call.up, to + first * call.u * call.up * k.size, NULL)
        product.mask = mask_of(call, gate[first], k.size)
        for n in range(first, first + together):
            multiply(product, d + n * call.up * k.size, call.ld, call.u, &run.w.V[gate[n]])
        fill(run, product, 1, call.u, NULL)


cdef void _lay_out_dX(Run *run, const char *d, Py_ssize_t step, char *to) noexcept nogil:
    """dX, from those d of hh, z and r which stand there; of each step, or of many at once."""
    cdef cgru_call *call = run.call
    cdef cgru_product *product = new_part(run, run.plan.k.input_backward, call.e, to, NULL)
    cdef int gate
    for gate in range(CGRU_HH, CGRU_R - 1, -1):
        multiply(product, d + (CGRU_HH - gate) * step, call.ld, call.u, &run.w.U[gate])
    fill(run, product, 1, call.e, NULL)
    if call.dX.data == NULL or run.plan.inputs != EACH_STEP:
        run.products -= 1
    else:
        run.fresh[run.fresh_products] = product[0]
        run.fresh_products += 1
    if call.dX.data != NULL and run.plan.inputs != EACH_STEP:
        run.read[0], run.read[1], run.read[2] = &call.dhh_, &call.dz_, &call.dr_
        take_ahead(run, product, call.dX.step, 0)


cdef void _lay_out_single(Run *run, char *to) noexcept nogil:
    """The weights of a single sample, and the one product of all its steps."""
    cdef Py_ssize_t u = run.call.u, each = u * run.call.up * run.plan.k.size
    cdef int gate
    run.single.call = run.call
    for gate in range(3):
        run.single.V[gate] = cgru_matrix(to + gate * each, 0, 1)
        if run.packs:
            run.plan.k.lay(transpose(run.w.V[gate]), u, u, to + gate * each)
    _lay_out_dX(run, NULL, 0, to + 3 * each)


cdef void _lay_out_few(Run *run, char *to) noexcept nogil:
    """The weights of few units, a row for each unit: Vhh, [Vz | Vr] and, where the reset comes after, Vhh behind these;
    and for each input [Uhh | Uz | Ur], or, where lanes are elements, the product of one dX.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_weights *w = &run.w
    cdef Py_ssize_t u = call.u, e = call.e, size = k.size, K = 3 * u if call.after else 2 * u, part = u * size
    cdef char *reset = to + u * K * size
    cdef char *dX = to + 3 * u * u * size
    cdef int *gates = [CGRU_HH, CGRU_Z, CGRU_R]
    cdef int n
    run.few.call, run.few.state, run.few.reset, run.few.input, run.few.wide = call, to, reset, dX, NULL
    if run.plan.inputs == ALONG_E:
        run.ahead[0] = new_product(k, call, k.put, e, dX, NULL)
        add_operand(&run.ahead[0], NULL, 3 * u, 3 * u)
        run.few.wide = &run.ahead[0]
    if not run.packs:
        return
    k.copy(w.V[CGRU_Z], u, u, to, K)
    k.copy(w.V[CGRU_R], u, u, to + part, K)
    if call.after:
        k.copy(w.V[CGRU_HH], u, u, to + 2 * part, K)
    else:
        k.copy(w.V[CGRU_HH], u, u, reset, u)
    for n in range(3):
        if run.few.wide != NULL:
            pack(k, &run.ahead[0], n * u, 0, transpose(w.U[gates[n]]), u, e)
        else:
            k.copy(w.U[gates[n]], e, u, dX + n * part, 3 * u)


cdef void prepare(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil:
    begin(run, plan, call, packed, rows, w, _lay_out)


cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil:
    cdef Plan plan = plan_of(k, call, w, BACKWARD, most)
    return drive(&plan, call, w, memory, _lay_out)


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1:
    return execute_run(call, w, k, BACKWARD, _lay_out)


def run(variant, dict p not None, dict arrays not None, tuple activations not None, order=None, running=None,
        bint reverse=False, bint fresh=False, bint padded=True):
    """Go back through what `cgru.core.forward.run` ran: the same arguments, and the arrays of backward.pxd; `fresh`: it
    had no h0.
    """
    cdef cgru_call call = call_of(variant, cnp.PyArray_DIM(p["Vz"], 0), arrays, activations, order, running)
    cdef cgru_weights w
    call.reverse, call.fresh, call.padded = reverse, fresh, padded
    weights(&w, p, variant.names)
    execute(&call, &w, kernels(arrays["X"].itemsize))
