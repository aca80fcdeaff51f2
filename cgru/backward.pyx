"""The layer backward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: layer.py has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.kernels cimport (
    add_operand, array, cgru_call, cgru_kernels, cgru_product, kernels, new_call, new_product,
    odd_lines, pack,
)
from cgru.memory cimport Workspace
from cgru.threads cimport block_rows, share, threads_for

cnp.import_array()

cdef enum:
    CHUNK = 64  # rows of dX at a time, whose gate gradients stay in the cache from panel to panel


cdef void step(const cgru_kernels *k, const cgru_call *call, const cgru_product *reset, const cgru_product *state,
               Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from dhn to dh."""
    # dh_ = dA + dhn;  dhh_ = dh_ * (1 - z) * activate'(hh_);  dz_ = dh_ * (hp - hh) * activate_update'(z_)
    k.gates_backward(call, t, row, rows)
    # dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_);  dh = (dhh_ Vhh^T) * r + dh_ * z
    k.product(reset, t, row, rows)
    # dh += dz_ Vz^T + dr_ Vr^T
    k.product(state, t, row, rows)


cdef struct Work:
    const cgru_kernels *k
    const cgru_call *call
    const cgru_product *reset
    const cgru_product *state
    const cgru_product *dX
    Py_ssize_t rows  # of a block


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows through the sequence, from the last step to the first."""
    cdef Work *w = <Work *>work
    cdef Py_ssize_t row = part * w.rows, t
    cdef Py_ssize_t rows = min(w.rows, w.call.m - row)
    cdef Py_ssize_t live = rows
    w.k.start(w.call, row, rows)
    for t in range(w.call.s - 1, -1, -1):
        if w.call.running:
            live = min(rows, w.call.running[t] - row)
            if live <= 0:
                continue
        step(w.k, w.call, w.reset, w.state, t, row, live)


cdef void inputs(void *work, Py_ssize_t part) noexcept nogil:
    """dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T over a chunk of samples and steps; zero past a sample's length."""
    cdef Work *w = <Work *>work
    cdef Py_ssize_t row = part * CHUNK
    w.k.product(w.dX, 0, row, min(CHUNK, w.call.m * w.call.s - row))


def run(dict p not None, dict arrays not None, tuple activations not None, order=None, running=None):
    cdef cnp.ndarray X = arrays["X"]
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(X)
    cdef Py_ssize_t u = cnp.PyArray_DIM(p["Vz"], 0)
    cdef const cgru_kernels *k = kernels(itemsize)
    cdef cgru_call call = new_call(X, u, activations, order, running)
    cdef Py_ssize_t up = call.up, ep = call.ep
    call.hp, call.hh, call.z, call.r = (
        array(arrays, "hp"), array(arrays, "hh"), array(arrays, "z"), array(arrays, "r")
    )
    call.dA, call.dh_, call.dh = array(arrays, "dA"), array(arrays, "dh_"), array(arrays, "dh")
    call.dhh_, call.dz_, call.dr_ = array(arrays, "dhh_"), array(arrays, "dz_"), array(arrays, "dr_")
    call.dX = array(arrays, "dX")

    call.ld = odd_lines(4 * up, itemsize)
    cdef Workspace work = Workspace(3 * u * (up + ep) + call.m * call.ld, itemsize)
    call.rows = work.take(call.m * call.ld)
    cdef char *dhh_ = <char *>call.rows + up * itemsize
    cdef char *dz_ = dhh_ + up * itemsize
    cdef char *dr_ = dz_ + up * itemsize

    cdef cgru_product reset = new_product(k, &call, k.reset_backward, up, work.take(u * up), NULL)
    add_operand(&reset, dhh_, call.ld, u)
    pack(&reset, 0, 0, p["Vhh"], True)

    cdef cgru_product state = new_product(k, &call, k.state_backward, up, work.take(2 * u * up), NULL)
    add_operand(&state, dz_, call.ld, u)
    add_operand(&state, dr_, call.ld, u)
    pack(&state, 0, 0, p["Vz"], True)
    pack(&state, u, 0, p["Vr"], True)

    cdef cgru_product dX = new_product(k, &call, k.put, call.e, work.take(3 * u * ep), NULL)
    dX.out = call.dX
    dX.out.sample = call.e  # all samples and steps, in whatever order they lie
    add_operand(&dX, call.dhh_.data, u, u)
    add_operand(&dX, call.dz_.data, u, u)
    add_operand(&dX, call.dr_.data, u, u)
    pack(&dX, 0, 0, p["Uhh"], True)
    pack(&dX, u, 0, p["Uz"], True)
    pack(&dX, 2 * u, 0, p["Ur"], True)

    cdef int threads = threads_for(6.0 * call.m * call.s * u * (call.e + u))
    cdef Py_ssize_t rows = block_rows(call.m, call.ld * itemsize, 3 * u * u * itemsize, threads, running is not None)
    cdef Work w = Work(k, &call, &reset, &state, &dX, rows)
    with nogil:
        share(block, &w, (call.m + rows - 1) // rows, threads)
        share(inputs, &w, (call.m * call.s + CHUNK - 1) // CHUNK, threads)
