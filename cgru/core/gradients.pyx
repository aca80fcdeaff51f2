"""The gradients of the parameters, compiled: sums of outer products over samples and steps.

Whatever is given here is trusted. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.kernels cimport (
    CGRU_C, CGRU_GROUP, CGRU_HH, CGRU_R, CGRU_Z, array, cgru_call, cgru_gradients, cgru_kernels, cgru_outer, data,
    in_pieces, kernels, new_call,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport share, threads_for

cnp.import_array()

cdef enum:
    MOST_SHARES = 64
    DEPTH = 256  # rows whose outer products are summed in registers before they are added to the gradients


cdef struct Work:
    const cgru_kernels *k
    cgru_outer outer[MOST_SHARES]  # one for each share of the gradients' columns


cdef void _accumulate(void *work, Py_ssize_t part) noexcept nogil:
    """From the last step to the first, over the samples that have that step, in chunks of rows:

    dU += X^T d_, dVhh += (r * hp)^T dhh_, dVz += hp^T dz_, dVr += hp^T dr_, db += d_.
    """
    cdef const cgru_kernels *k = (<Work *>work).k
    cdef cgru_outer *outer = &(<Work *>work).outer[part]
    cdef Py_ssize_t steps[CGRU_GROUP]
    cdef Py_ssize_t samples[CGRU_GROUP]
    cdef Py_ssize_t t, row, n = 0, live = outer.call.m
    for t in range(outer.call.s - 1, -1, -1):
        if outer.call.running:
            live = outer.call.running[t]
        for row in range(live):
            steps[n], samples[n] = t, row
            n += 1
            if n == CGRU_GROUP or outer.count + n == outer.depth:
                k.collect(outer, steps, samples, n)
                n = 0
                if outer.count == outer.depth:
                    k.multiply(outer)
    k.collect(outer, steps, samples, n)
    k.multiply(outer)


cdef struct Sums:
    const cgru_kernels *k
    cgru_call *call
    const cgru_gradients *g
    int shares
    void *memory


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    cdef Sums *sums = <Sums *>work
    sum_gradients(sums.k, sums.call, sums.g, sums.shares, sums.memory)


cdef int shares_of(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Each share is some of the panels of the gates' columns, through all rows: no sum is shared."""
    cdef int threads = threads_for(6.0 * call.m * call.s * call.u * (call.e + call.u))
    return <int>min((3 + call.after) * k.panels(call.u), MOST_SHARES, threads)


cdef Py_ssize_t gradients_room(const cgru_call *call, int shares) noexcept nogil:
    """Numbers that the rows collected take."""
    return shares * (2 * call.u + call.e + (3 + call.after) * call.up) * min(call.m * call.s, DEPTH)


cdef void sum_gradients(const cgru_kernels *k, const cgru_call *call, const cgru_gradients *g, int shares,
                        void *memory) noexcept nogil:
    """Add the gradients of a call to `g`; `memory` has `gradients_room` numbers."""
    cdef Py_ssize_t i, depth = min(call.m * call.s, DEPTH), parts = (3 + call.after) * k.panels(call.u)
    cdef char *free = <char *>memory
    cdef Work work
    work.k = k
    for i in range(shares):
        work.outer[i] = cgru_outer(call, g, i * parts // shares, (i + 1) * parts // shares, 0, depth, free,
                                   free + (2 * call.u + call.e) * depth * k.size)
        free += gradients_room(call, 1) * k.size
    share(_accumulate, &work, shares, shares)


cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1:
    """The whole call, with a workspace of its own, on as many threads as it is worth; a Ctrl-C ends it."""
    cdef Sums sums
    sums.k, sums.call, sums.g, sums.shares = k, call, g, shares_of(k, call)
    cdef Workspace work = Workspace(gradients_room(call, sums.shares), k.size)
    sums.memory = work.take(gradients_room(call, sums.shares))
    return in_pieces(call, k.size, True, _piece, &sums)


cdef int run(dict g, dict caches, order, running) except -1:
    """Add the gradients of the caches to `g`."""
    cdef const cgru_kernels *k = kernels(caches["X"].itemsize)
    cdef cgru_call call = new_call(caches["X"], g["dVz"].shape[1], None, order, running)
    call.X, call.hp, call.r = array(caches, "X"), array(caches, "hp"), array(caches, "r")
    call.dhh_, call.dz_, call.dr_ = array(caches, "dhh_"), array(caches, "dz_"), array(caches, "dr_")
    cdef cgru_gradients to
    to.U[CGRU_R], to.V[CGRU_R], to.b[CGRU_R] = data(g, "dUr"), data(g, "dVr"), data(g, "dbr")
    to.U[CGRU_Z], to.V[CGRU_Z], to.b[CGRU_Z] = data(g, "dUz"), data(g, "dVz"), data(g, "dbz")
    to.U[CGRU_HH], to.V[CGRU_HH], to.b[CGRU_HH] = data(g, "dUhh"), data(g, "dVhh"), data(g, "dbhh")
    if "dc" in caches:
        call.after, call.dc = True, array(caches, "dc")
        to.V[CGRU_C], to.V[CGRU_HH], to.b[CGRU_C] = to.V[CGRU_HH], NULL, data(g, "dchh")

    return execute(&call, &to, k)
