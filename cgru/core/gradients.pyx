"""The gradients of the parameters, compiled: sums of outer products over samples and steps.

Whatever is given here is trusted. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.kernels cimport (
    cgru_array, CGRU_C, cgru_call, cgru_batch_gradients, cgru_gradients, CGRU_GROUP, CGRU_HH, cgru_kernels,
    CGRU_LAYER_NORM, cgru_outer_product, CGRU_R, CGRU_RESET_BEFORE, cgru_state_operand, cgru_term, CGRU_Z, in_pieces,
    kernels, mask_of, targets,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport ALONG_E, DEPTH, GRADIENTS, Plan, call_of, operands_of, plan_of, readable, terms_of
from cgru.core.threads cimport available, share

cnp.import_array()

cdef cgru_term term(cgru_array d, void *U, void *V, void *b) noexcept nogil:
    """dU += X^T d, dV += hp^T d, db += d, those of them that are there, hp as the first of the sights."""
    return cgru_term(d, cgru_array(NULL, 0, 0, 1), U, V, b, 0)


cdef void lay_out(Sums *sums) noexcept nogil:
    """The terms of the call's variant."""
    cdef const cgru_call *call = sums.call
    cdef bint masked = call.recurrent.data != NULL
    cdef int gate
    for gate in range(3):
        sums.state_operands[gate] = cgru_state_operand(False, mask_of(call, gate, sums.plan.k.size))
    cdef const cgru_gradients *g = sums.g
    cdef cgru_term *to = &sums.terms[0]
    if call.variant == CGRU_LAYER_NORM:
        lay_out_norm(sums)
        return
    to[CGRU_R] = term(call.dr_, g.U[CGRU_R], g.V[CGRU_R], g.b[CGRU_R])
    if call.linear:
        return
    to[CGRU_Z] = term(call.dz_, g.U[CGRU_Z], g.V[CGRU_Z], g.b[CGRU_Z])
    to[CGRU_Z].state_operand = CGRU_Z if masked else 0
    if call.variant == CGRU_RESET_BEFORE:  # dVhh += (r * hp)^T dhh_
        to[CGRU_HH] = term(call.dhh_, g.U[CGRU_HH], g.V[CGRU_HH], g.b[CGRU_HH])
        to[CGRU_HH].state_operand = CGRU_HH if masked else 1
        sums.state_operands[to[CGRU_HH].state_operand].reset = True
    else:
        to[CGRU_HH] = term(call.dhh_, g.U[CGRU_HH], NULL, g.b[CGRU_HH])
        to[CGRU_C] = term(call.dc, NULL, g.V[CGRU_HH], g.b[CGRU_C])
        to[CGRU_C].state_operand = CGRU_HH if masked else 0


cdef void lay_out_norm(Sums *sums) noexcept nogil:
    """dU += X^T dU_, dV += hp^T dV_, db += d_, dgU += d_ * nU, dgV += d_ * nV."""
    cdef const cgru_call *call = sums.call
    cdef const cgru_gradients *g = sums.g
    cdef cgru_term *to = &sums.terms[0]
    cdef cgru_array *d = [call.dr_, call.dz_, call.dhh_, call.dc]
    cdef cgru_array *of_V = [call.dr_, call.dz_, call.dc]
    cdef Py_ssize_t *column = [call.u, 0, 2 * call.u]  # of r, z and hh
    cdef int gate, size = sums.plan.k.size
    for gate in range(4):
        to[gate] = term(d[gate], NULL, NULL, g.b[gate])
    for gate in range(3):
        to[4 + gate] = term(shifted(call.dU_, column[gate], size), g.U[gate], NULL, NULL)
        to[7 + gate] = term(shifted(call.dV_, column[gate], size), NULL, g.V[gate], NULL)
        to[7 + gate].state_operand = gate if call.recurrent.data != NULL else 0
        to[10 + gate] = term(d[gate], NULL, NULL, <char *>g.g[0] + column[gate] * size)
        to[10 + gate].factor = shifted(call.nU, column[gate], size)
        to[13 + gate] = term(of_V[gate], NULL, NULL, <char *>g.g[1] + column[gate] * size)
        to[13 + gate].factor = shifted(call.nV, column[gate], size)


cdef cgru_array shifted(cgru_array array, Py_ssize_t column, int size) noexcept nogil:
    """The array from that column on."""
    return cgru_array(<char *>array.data + column * size, array.sample, array.step, array.column)


cdef void _sum(void *work, Py_ssize_t part) noexcept nogil:
    """One share of the samples."""
    cdef Sums *sums = <Sums *>work
    sums.plan.k.batch_gradient_sums(&sums.batch[part], sums.first)


cdef void _accumulate(void *work, Py_ssize_t part) noexcept nogil:
    """One share of the terms' columns, from the last step to the first, over the samples that have that step, in chunks
    of rows. The rows of a step without a previous state have one of their own, if they are worth it.
    """
    cdef Sums *sums = <Sums *>work
    cdef const cgru_kernels *k = sums.plan.k
    cdef cgru_outer_product *outer = &sums.outer[part]
    cdef Py_ssize_t steps[CGRU_GROUP]
    cdef Py_ssize_t samples[CGRU_GROUP]
    cdef Py_ssize_t t, row, n = 0, live = outer.call.m, fresh = -1
    cdef bint alone = sums.first and sums.last and outer.call.s == 1
    if outer.call.fresh and (alone or outer.call.m >= CGRU_GROUP) and (
        sums.first if outer.call.reverse else sums.last
    ):
        fresh = outer.call.s - 1 if outer.call.reverse else 0
    for t in range(outer.call.s - 1, -1, -1):
        if outer.call.running:
            live = outer.call.running[t]
        if t == fresh:
            k.collect_rows(outer, steps, samples, n)
            k.add_outer_products(outer)
            outer.fresh, n = True, 0
        for row in range(live):
            steps[n], samples[n] = t, row
            n += 1
            if n == CGRU_GROUP or outer.count + n == outer.depth:
                k.collect_rows(outer, steps, samples, n)
                n = 0
                if outer.count == outer.depth:
                    k.add_outer_products(outer)
        if t == fresh:
            k.collect_rows(outer, steps, samples, n)
            k.add_outer_products(outer)
            outer.fresh, n = False, 0
    k.collect_rows(outer, steps, samples, n)
    if sums.last:
        k.add_outer_products(outer)


cdef void prepare(Sums *sums, const Plan *plan, const cgru_call *call, const cgru_gradients *g,
                  void *memory) noexcept nogil:
    """Sums over `call` that are added to `g`, in memory of `plan.numbers`."""
    cdef Py_ssize_t depth = min(call.m * call.s, DEPTH), i, start, end
    cdef char *free = <char *>memory
    cdef int size = plan.k.size
    sums.plan, sums.call, sums.g = plan[0], call, g
    for i in range(plan.shares):
        start = i * plan.shared // plan.shares * plan.multiple
        end = (i + 1) * plan.shared // plan.shares * plan.multiple
        if plan.sums_in_lanes:
            end = min(call.m, end)
            sums.batch[i] = cgru_batch_gradients(call, &sums.terms[0], terms_of(call), start, end - start, free)
            free += plan.k.batch_gradient_size(call, terms_of(call), end - start) * size
            continue
        sums.outer[i] = cgru_outer_product(call, &sums.terms[0], &sums.state_operands[0], start, end, 0, depth, False,
                                           free, free + operands_of(call) * depth * size, NULL)
        if plan.inputs == ALONG_E:
            sums.outer[i].wide = <char *>sums.outer[i].rows + terms_of(call) * call.up * depth * size
        free += plan.share * size


cdef void sequence(Sums *sums, bint first, bint last) noexcept nogil:
    """All steps of the call; what they leave over of a chunk of rows is kept for the next ones unless they are the
    `last`: the same sums come out, however a call is cut.
    """
    cdef const Plan *plan = &sums.plan
    sums.first, sums.last = first, last
    lay_out(sums)
    if not plan.sums_in_lanes:
        share(_accumulate, sums, plan.shares, plan.shares)
        return
    share(_sum, sums, plan.shares, plan.threads)
    if last:
        plan.k.batch_gradient_add(&sums.batch[0], plan.shares)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Sums *>work, first, last)


cdef int _perform(const Plan *plan, cgru_call *call, const cgru_gradients *g, void *memory) except -1 nogil:
    """The whole call in memory of `plan.numbers`; a Ctrl-C ends it."""
    cdef Sums sums
    prepare(&sums, plan, call, g, memory)
    return in_pieces(call, call.m, plan.k.size, True, _piece, &sums)


cdef int perform(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil:
    cdef Plan plan = plan_of(k, call, NULL, GRADIENTS, most)
    return _perform(&plan, call, g, memory)


cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1:
    """`perform` with memory of its own."""
    cdef Plan plan = plan_of(k, call, NULL, GRADIENTS, available())
    cdef Workspace work = Workspace(plan.numbers, k.size)
    cdef void *memory = work.take(plan.numbers)
    with nogil:
        _perform(&plan, call, g, memory)
    return 0


def run(variant, dict g not None, dict arrays not None, order=None, running=None, bint reverse=False,
        bint fresh=False):
    """Add the gradients to `g`, 'd' + name for each parameter; the arrays are those of gradients.pxd, any strides.
    `fresh`: that forward had no h0.
    """
    cdef cgru_call call = call_of(variant, g["dVz"].shape[1], arrays, None, order, running)
    cdef dict lain = {name: readable(&call, array) for name, array in arrays.items()}
    cdef cgru_gradients to
    call = call_of(variant, g["dVz"].shape[1], lain, None, order, running)
    call.reverse, call.fresh = reverse, fresh
    targets(&to, g)
    execute(&call, &to, kernels(arrays["X"].itemsize))
