"""The layer forward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: layer.py has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.kernels cimport (
    add_operand, array, cgru_call, cgru_kernels, cgru_product, kernels, new_call, new_product,
    odd_lines, pack_bias, place,
)
from cgru.memory cimport Workspace
from cgru.threads cimport block_rows, share, threads_for

cnp.import_array()

WEIGHTS = ("Vr", "Ur", "Vz", "Uz", "Uhh", "Vhh")


cdef void step(const cgru_kernels *k, const cgru_call *call, const cgru_product *gates,
               const cgru_product *candidate, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from hp to h."""
    # x = X[:, t]
    k.load(call, t, row, rows)
    # r = activate_reset(x Ur + hp Vr + br), r * hp;  z = activate_update(x Uz + hp Vz + bz)
    k.product(gates, t, row, rows)
    # hh = activate(x Uhh + (r * hp) Vhh + bhh);  h = z * hp + (1 - z) * hh
    k.product(candidate, t, row, rows)


cdef struct Work:
    const cgru_kernels *k
    const cgru_call *call
    const cgru_product *gates
    const cgru_product *candidate
    Py_ssize_t rows  # of a block


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows through the sequence."""
    cdef Work *w = <Work *>work
    cdef Py_ssize_t row = part * w.rows, t
    cdef Py_ssize_t rows = min(w.rows, w.call.m - row)
    cdef Py_ssize_t live = rows
    w.k.start(w.call, row, rows)
    for t in range(w.call.s):
        if w.call.running:
            live = min(rows, w.call.running[t] - row)
            if live <= 0:
                break
        step(w.k, w.call, w.gates, w.candidate, t, row, live)
    if w.call.last.data:
        w.k.finish(w.call, row, rows)


def run(dict p not None, dict arrays not None, tuple activations not None, order=None, running=None):
    cdef cnp.ndarray X = arrays["X"]
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(X)
    cdef Py_ssize_t u = cnp.PyArray_DIM(p["Vz"], 0)
    cdef const cgru_kernels *k = kernels(itemsize)
    cdef cgru_call call = new_call(X, u, activations, order, running)
    cdef Py_ssize_t m = call.m, e = call.e, up = call.up, ep = call.ep
    call.h0, call.X, call.h, call.last = (
        array(arrays, "h0"), array(arrays, "X"), array(arrays, "h"), array(arrays, "last")
    )
    call.r, call.z, call.hh = array(arrays, "r"), array(arrays, "z"), array(arrays, "hh")
    call.r_, call.z_, call.hh_ = array(arrays, "r_"), array(arrays, "z_"), array(arrays, "hh_")

    # A single step of a single sample is over before the weights would be packed.
    cdef bint packed = m * call.s > 1 or not all([p[name].flags.c_contiguous for name in WEIGHTS])
    cdef Py_ssize_t room = (u + e) * up if packed else 0
    call.ld = odd_lines(3 * up + ep, itemsize)
    cdef Workspace work = Workspace(3 * room + 3 * up + m * call.ld, itemsize)
    call.rows = work.take(m * call.ld)
    cdef char *h = <char *>call.rows
    cdef char *x = h + up * itemsize
    cdef char *rh = x + ep * itemsize

    cdef cgru_product gates = new_product(k, &call, k.gates, 2 * up, work.take(2 * room), work.take(2 * up))
    cdef cgru_product candidate = new_product(k, &call, k.candidate, up, work.take(room), work.take(up))
    if not packed:
        gates.weights = candidate.weights = NULL
    add_operand(&gates, h, call.ld, u)
    add_operand(&gates, x, call.ld, e)
    place(&gates, 0, 0, 0, p["Vr"])
    place(&gates, 0, 1, u, p["Ur"])
    pack_bias(&gates, 0, p["br"])
    place(&gates, 1, 0, 0, p["Vz"])
    place(&gates, 1, 1, u, p["Uz"])
    pack_bias(&gates, up, p["bz"])

    add_operand(&candidate, x, call.ld, e)
    add_operand(&candidate, rh, call.ld, u)
    place(&candidate, 0, 0, 0, p["Uhh"])
    place(&candidate, 0, 1, e, p["Vhh"])
    pack_bias(&candidate, 0, p["bhh"])

    cdef int threads = threads_for(6.0 * m * call.s * u * (e + u))
    cdef Py_ssize_t rows = block_rows(m, call.ld * itemsize, 3 * u * (e + u) * itemsize, threads,
                                      running is not None)
    cdef Work w = Work(k, &call, &gates, &candidate, rows)
    with nogil:
        share(block, &w, (m + rows - 1) // rows, threads)
