"""The gradients of the parameters, compiled: sums of outer products over samples and steps.

Whatever is given here is trusted. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.checks cimport rows
from cgru.core.kernels cimport (
    CGRU_C, CGRU_GROUP, CGRU_HH, CGRU_R, CGRU_Z, along_e, call_of, cgru_array, cgru_call, cgru_gradients, cgru_kernels,
    cgru_outer, cgru_seen, cgru_term, in_pieces, kernels, mask_of, targets,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport available, share, worth

cnp.import_array()

cdef double FEW_WORK = 4e6  # operations for which it pays to have sums of their own

cdef enum:
    MOST_LANES = 16  # of any level
    DEPTH = 256  # rows whose outer products are summed in registers before they are added to the gradients


cdef int terms_of(const cgru_call *call) noexcept nogil:
    if call.linear:
        return 1
    return MOST_TERMS if call.norm else 4 if call.after else 3


cdef cgru_term term(cgru_array d, void *U, void *V, void *b) noexcept nogil:
    """dU += X^T d, dV += hp^T d, db += d, those of them that are there, hp as the first of the sights."""
    return cgru_term(d, cgru_array(NULL, 0, 0, 1), U, V, b, 0)


cdef int sights_of(const cgru_call *call) noexcept nogil:
    """In how many ways the terms see hp: with a mask for each gate in three, else one that is not reset, and r * hp."""
    return 3 if call.recurrent.data != NULL else 1 if call.after else 2


cdef void lay_out(Sums *sums) noexcept nogil:
    """The terms of the call's variant."""
    cdef const cgru_call *call = sums.call
    cdef bint masked = call.recurrent.data != NULL
    cdef int gate
    for gate in range(3):
        sums.seen[gate] = cgru_seen(False, mask_of(call, gate, sums.k.size))
    cdef const cgru_gradients *g = sums.g
    cdef cgru_term *to = &sums.terms[0]
    if call.norm:
        lay_out_norm(sums)
        return
    to[CGRU_R] = term(call.dr_, g.U[CGRU_R], g.V[CGRU_R], g.b[CGRU_R])
    if call.linear:
        return
    to[CGRU_Z] = term(call.dz_, g.U[CGRU_Z], g.V[CGRU_Z], g.b[CGRU_Z])
    to[CGRU_Z].seen = CGRU_Z if masked else 0
    if call.after:
        to[CGRU_HH] = term(call.dhh_, g.U[CGRU_HH], NULL, g.b[CGRU_HH])
        to[CGRU_C] = term(call.dc, NULL, g.V[CGRU_HH], g.b[CGRU_C])
        to[CGRU_C].seen = CGRU_HH if masked else 0
    else:  # dVhh += (r * hp)^T dhh_
        to[CGRU_HH] = term(call.dhh_, g.U[CGRU_HH], g.V[CGRU_HH], g.b[CGRU_HH])
        to[CGRU_HH].seen = CGRU_HH if masked else 1
        sums.seen[to[CGRU_HH].seen].reset = True


cdef void lay_out_norm(Sums *sums) noexcept nogil:
    """dU += X^T dU_, dV += hp^T dV_, db += d_, dgU += d_ * nU, dgV += d_ * nV."""
    cdef const cgru_call *call = sums.call
    cdef const cgru_gradients *g = sums.g
    cdef cgru_term *to = &sums.terms[0]
    cdef cgru_array *d = [call.dr_, call.dz_, call.dhh_, call.dc]
    cdef Py_ssize_t *column = [call.u, 0, 2 * call.u]  # of r, z and hh
    cdef int gate, size = sums.k.size
    for gate in range(4):
        to[gate] = term(d[gate], NULL, NULL, g.b[gate])
    for gate in range(3):
        to[4 + gate] = term(shifted(call.dU_, column[gate], size), g.U[gate], NULL, NULL)
        to[7 + gate] = term(shifted(call.dV_, column[gate], size), NULL, g.V[gate], NULL)
        to[7 + gate].seen = gate if call.recurrent.data != NULL else 0
        to[10 + gate] = term(d[gate], NULL, NULL, <char *>g.g[0] + column[gate] * size)
        to[10 + gate].factor = shifted(call.nU, column[gate], size)
        to[13 + gate] = term(d[CGRU_C if gate == CGRU_HH else gate], NULL, NULL, <char *>g.g[1] + column[gate] * size)
        to[13 + gate].factor = shifted(call.nV, column[gate], size)


cdef cgru_array shifted(cgru_array array, Py_ssize_t column, int size) noexcept nogil:
    """The array from that column on."""
    return cgru_array(<char *>array.data + column * size, array.sample, array.step, array.column)


cdef void _sum(void *work, Py_ssize_t part) noexcept nogil:
    """One share of the samples."""
    cdef Sums *sums = <Sums *>work
    sums.k.few_sum(&sums.few[part], sums.first)


cdef void _accumulate(void *work, Py_ssize_t part) noexcept nogil:
    """One share of the terms' columns, from the last step to the first, over the samples that have that step, in chunks
    of rows. The rows of a step without a previous state have one of their own, if they are worth it.
    """
    cdef Sums *sums = <Sums *>work
    cdef const cgru_kernels *k = sums.k
    cdef cgru_outer *outer = &sums.outer[part]
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
            k.collect(outer, steps, samples, n)
            k.multiply(outer)
            outer.fresh, n = True, 0
        for row in range(live):
            steps[n], samples[n] = t, row
            n += 1
            if n == CGRU_GROUP or outer.count + n == outer.depth:
                k.collect(outer, steps, samples, n)
                n = 0
                if outer.count == outer.depth:
                    k.multiply(outer)
        if t == fresh:
            k.collect(outer, steps, samples, n)
            k.multiply(outer)
            outer.fresh, n = False, 0
    k.collect(outer, steps, samples, n)
    if sums.last:
        k.multiply(outer)


cdef double work_of(const cgru_call *call) noexcept nogil:
    """Operations."""
    return 6.0 * call.m * call.s * call.u * (call.e + call.u)


cdef bint has_wide(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Whether lanes are elements in the sums for U, whose rows of X have to be contiguous.

    Where they could be samples, by the cycles measured: a row is collected, and multiplied in vectors of elements; or
    a vector of samples is transposed and multiplied by each unit.
    """
    cdef double row = 80 + 10 * call.u + call.e * (0.8 + 1.5 * call.u / k.lanes), vector = 6.0 * (call.u + 1) * call.e
    if not along_e(k, call) or not call.few:
        return along_e(k, call)
    return call.X.column == 1 and call.m * row < (call.m + k.lanes - 1) // k.lanes * vector


cdef int shares_of(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Each share is some of the panels of the terms' columns, through all rows: no sum is shared. Where lanes are
    samples, some of these, whose sums are added up in their order.
    """
    if call.few and not has_wide(k, call):
        return <int>min((call.m + k.lanes - 1) // k.lanes, FEW_PARTS, 1 + work_of(call) / FEW_WORK)
    cdef int threads = worth(work_of(call), most)
    return <int>min(terms_of(call) * k.panels(call.u), MOST_SHARES, threads)


cdef Py_ssize_t operands_of(const cgru_call *call) noexcept nogil:
    """Numbers of a row that are collected of X and hp."""
    return call.ep + sights_of(call) * call.u


cdef Py_ssize_t gradients_room(const cgru_call *call, int shares) noexcept nogil:
    """Numbers that the rows collected take."""
    cdef Py_ssize_t terms = terms_of(call) * (call.up + min(call.u, <Py_ssize_t>MOST_LANES))
    return shares * (operands_of(call) + terms) * min(call.m * call.s, DEPTH)


cdef void prepare(Sums *sums, const cgru_kernels *k, const cgru_call *call, const cgru_gradients *g, int shares,
                  void *memory) noexcept nogil:
    """Sums over `call` that are added to `g`; `memory` has `gradients_room` numbers."""
    cdef Py_ssize_t i, depth = min(call.m * call.s, DEPTH), parts = terms_of(call) * k.panels(call.u)
    cdef char *free = <char *>memory
    sums.k, sums.call, sums.g, sums.shares, sums.threads = k, call, g, shares, shares
    sums.in_lanes = call.few and not has_wide(k, call)
    if sums.in_lanes:
        prepare_few(sums, free)
        return
    for i in range(shares):
        sums.outer[i] = cgru_outer(call, &sums.terms[0], &sums.seen[0], i * parts // shares, (i + 1) * parts // shares,
                                   0, depth, False, free, free + operands_of(call) * depth * k.size, NULL)
        if has_wide(k, call):
            sums.outer[i].wide = <char *>sums.outer[i].rows + terms_of(call) * call.up * depth * k.size
        free += gradients_room(call, 1) * k.size


cdef Py_ssize_t few_share(const cgru_kernels *k, const cgru_call *call, Py_ssize_t part, int shares) noexcept nogil:
    """Where that share of the samples begins."""
    return min(call.m, (call.m + k.lanes - 1) // k.lanes * part // shares * k.lanes)


cdef Py_ssize_t few_room(const cgru_kernels *k, const cgru_call *call, int shares) noexcept nogil:
    """Numbers that the sums of all shares take."""
    return shares * k.few_room(call, few_share(k, call, 1, 1) // shares + k.lanes)


cdef void prepare_few(Sums *sums, char *free) noexcept nogil:
    cdef Py_ssize_t start, end
    cdef int i
    for i in range(sums.shares):
        start, end = few_share(sums.k, sums.call, i, sums.shares), few_share(sums.k, sums.call, i + 1, sums.shares)
        sums.few[i] = cgru_few_sums(sums.call, &sums.terms[0], terms_of(sums.call), start, end - start, free)
        free += sums.k.few_room(sums.call, end - start) * sums.k.size


cdef void sequence(Sums *sums, bint first, bint last) noexcept nogil:
    """All steps of the call; what they leave over of a chunk of rows is kept for the next ones unless they are the
    `last`: the same sums come out, however a call is cut.
    """
    sums.first, sums.last = first, last
    lay_out(sums)
    if sums.in_lanes:
        share(_sum, sums, sums.shares, sums.threads)
        if last:
            sums.k.few_add(&sums.few[0], sums.shares)
        return
    share(_accumulate, sums, sums.shares, sums.shares)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Sums *>work, first, last)


cdef Py_ssize_t room(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Numbers that `perform` takes."""
    cdef cgru_call either = call[0]
    cdef Py_ssize_t numbers
    either.few = False
    numbers = gradients_room(call, shares_of(k, &either, most))
    if not call.few:
        return numbers
    either.few, either.X.column = True, 0
    return max(numbers, few_room(k, call, shares_of(k, &either, most)))


cdef int perform(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil:
    """The whole call in memory of `room` numbers, on `most` threads where it is worth it; a Ctrl-C ends it."""
    cdef Sums sums
    prepare(&sums, k, call, g, shares_of(k, call, most), memory)
    sums.threads = worth(work_of(call), most)
    return in_pieces(call, call.m, k.size, True, _piece, &sums)


cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1:
    """`perform` with memory of its own."""
    cdef int most = available()
    cdef Workspace work = Workspace(room(k, call, most), k.size)
    cdef void *memory = work.take(room(k, call, most))
    with nogil:
        perform(call, g, k, memory, most)
    return 0


def run(variant, dict g not None, dict arrays not None, order=None, running=None, bint reverse=False,
        bint fresh=False):
    """Add the gradients to `g`, 'd' + name for each parameter; the arrays are those of gradients.pxd, any strides.
    `fresh`: that forward had no h0.
    """
    cdef cgru_call call = call_of(variant, g["dVz"].shape[1], arrays, None, order, running)
    cdef dict lain
    if not call.few:
        lain = {name: rows(array) for name, array in arrays.items()}
        call = call_of(variant, g["dVz"].shape[1], lain, None, order, running)
    cdef cgru_gradients to
    call.reverse, call.fresh = reverse, fresh
    targets(&to, g)
    execute(&call, &to, kernels(arrays["X"].itemsize))
