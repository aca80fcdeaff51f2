"""Compute the gradients of a GRU's parameters: sums of outer products over samples and steps.

The layer has checked all arguments. All arrays are of one dtype, float32 or float64.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memset

from cgru.core.checks cimport contiguous_rows
from cgru.core.kernels cimport (
    bind_gradients, cgru_array, CGRU_C, cgru_call, cgru_gradients, CGRU_GROUP, CGRU_HH,
    cgru_kernels, CGRU_LAYER_NORM, cgru_matrix, cgru_outer_product, CGRU_PLACE_c, CGRU_PLACE_dc, CGRU_PLACE_dhh_,
    CGRU_PLACE_dr_, CGRU_PLACE_dz_, CGRU_PLACE_r, CGRU_PLACES, CGRU_R, CGRU_RESET_BEFORE, cgru_state_operand, cgru_term,
    CGRU_Z, check_signals, in_pieces, kernels, mask_of, new_call, steps_of_piece, view, whole_lines,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport DEPTH, GRADIENTS, Plan, call_of, operands_of, operations, plan_of, readable, terms_of
from cgru.core.threads cimport available, share, threads_for
from cgru.variant import RESET_BEFORE

cnp.import_array()

cdef cgru_term term(cgru_array d, void *U, void *V, void *b) noexcept nogil:
    """Return the term dU += X^T d, dV += hp^T d, db += d of the gradients; NULL addresses leave out a part."""
    return cgru_term(d, cgru_array(NULL, 0, 0, 1), U, V, b, 0)


cdef void _build_terms(Sums *sums) noexcept nogil:
    """Set the terms of the gradients' sums for the call's variant, with each form of hp that they multiply."""
    cdef const cgru_call *call = sums.call
    cdef bint masked = call.recurrent.data != NULL
    cdef int gate
    for gate in range(3):
        sums.state_operands[gate] = cgru_state_operand(False, mask_of(call, gate, sums.plan.k.size))
    cdef const cgru_gradients *g = sums.g
    cdef cgru_term *to = &sums.terms[0]
    if call.variant == CGRU_LAYER_NORM:
        _build_layer_norm_terms(sums)
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


cdef void _build_layer_norm_terms(Sums *sums) noexcept nogil:
    """Set the terms of the gradients' sums with layer normalisation, such as dU += X^T dU_ and dgU += d_ * nU."""
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
    """Return a view of an array's columns from `column` on."""
    return cgru_array(<char *>array.data + column * size, array.sample, array.step, array.column)


cdef void _sum_in_lanes(void *work, Py_ssize_t part) noexcept nogil:
    """Sum the gradients over part number `part` of the samples, one per SIMD lane; called by `share`."""
    cdef Sums *sums = <Sums *>work
    sums.plan.k.batch_gradient_sums(&sums.outer[part], sums.first)


cdef void _sum_outer_products(void *work, Py_ssize_t part) noexcept nogil:
    """Sum part number `part` of the gradients' columns over all steps, in their order; called by `share`.

    A step contributes the samples that have it. The rows of the step without a previous state are a chunk of their own
    where that pays, because then they need no outer products with hp.
    """
    cdef Sums *sums = <Sums *>work
    cdef const cgru_kernels *k = sums.plan.k
    cdef cgru_outer_product *outer = &sums.outer[part]
    cdef Py_ssize_t steps[CGRU_GROUP]
    cdef Py_ssize_t samples[CGRU_GROUP]
    cdef Py_ssize_t s = outer.call.s, i, t, row, n = 0, live = outer.call.m, fresh = -1
    cdef bint alone = sums.first and sums.last and s == 1, reverse = outer.call.reverse
    if outer.call.fresh and (alone or outer.call.m >= CGRU_GROUP) and (
        sums.first if reverse and not outer.ascends else sums.last
    ):
        fresh = s - 1 if reverse else 0
    for i in range(s):
        t = i if outer.ascends else s - 1 - i
        if outer.call.running:
            live = outer.call.running[t]
        if t == fresh:
            k.collect_rows(outer, steps, samples, n)
            if outer.count:
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


cdef void _clear(const cgru_call *call, const cgru_gradients *g, int size) noexcept nogil:
    """Set the gradients to zero."""
    cdef Py_ssize_t row = call.u * size
    cdef int i
    for i in range(4):
        if i < 3 and g.U[i] != NULL:
            memset(g.U[i], 0, call.e * row)
        if i < 3 and g.V[i] != NULL:
            memset(g.V[i], 0, call.u * row)
        if g.b[i] != NULL:
            memset(g.b[i], 0, row)
        if i < 2 and g.g[i] != NULL:
            memset(g.g[i], 0, 3 * row)


cdef void prepare(Sums *sums, const Plan *plan, const cgru_call *call, const cgru_gradients *g, void *memory,
                  bint ascends) noexcept nogil:
    """Fill `sums` for a call whose gradients are added to `g` or overwrite it; `memory` is for the threads' parts."""
    cdef Py_ssize_t depth = min(call.m * call.s, DEPTH), i, start, end
    cdef char *free = <char *>memory
    cdef int size = plan.k.size, terms = terms_of(call)
    cdef bint fills = call.anew and not plan.adds
    sums.plan, sums.call, sums.g = plan[0], call, g
    if call.anew and plan.adds:
        _clear(call, g, size)
    for i in range(plan.shares):
        start = i * plan.work_items // plan.shares * plan.row_multiple
        end = (i + 1) * plan.work_items // plan.shares * plan.row_multiple
        sums.outer[i] = cgru_outer_product(call, &sums.terms[0], terms, &sums.state_operands[0], start, end, 0, depth,
                                           False, plan.streams, fills, fills, ascends, free,
                                           free + operands_of(call) * depth * size, NULL)
        if plan.wide_start:
            sums.outer[i].wide = free + plan.wide_start * size
        free += plan.share_size * size


cdef void run_steps(Sums *sums, bint first, bint last) noexcept nogil:
    """Add the outer products of all steps of a call; `first` and `last`: whether the whole sum begins or ends here.

    An incomplete chunk of rows is kept for the next piece, unless this is the `last`. So the bits of the sums do not
    depend on how a call is cut into pieces.
    """
    cdef const Plan *plan = &sums.plan
    sums.first, sums.last = first, last
    _build_terms(sums)
    share(_sum_in_lanes if plan.sums_in_lanes else _sum_outer_products, sums, plan.shares, plan.threads)
    if plan.sums_in_lanes and last:
        plan.k.batch_gradient_add(&sums.outer[0], plan.shares)


cdef void _run_piece(void *work, bint first, bint last) noexcept nogil:
    """Add the outer products of one piece of the steps; called by `in_pieces`, `work` is a Sums."""
    run_steps(<Sums *>work, first, last)


cdef int _run_call(const Plan *plan, cgru_call *call, const cgru_gradients *g, void *memory) except -1 nogil:
    """Compute the gradients of a planned call in `memory`; Ctrl-C stops it."""
    cdef Sums sums
    prepare(&sums, plan, call, g, memory, False)
    return in_pieces(call, call.m, 0, plan.k.size, True, _run_piece, &sums)


cdef int run_in_workspace(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k, void *memory,
                          int most) except -1 nogil:
    """Plan and compute the gradients of a call on at most `most` threads, in memory that the caller allocated."""
    cdef Plan plan = plan_of(k, call, NULL, GRADIENTS, most)
    return _run_call(&plan, call, g, memory)


cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1:
    """Plan the gradients of a call, allocate a workspace, and compute them on all threads."""
    cdef Plan plan = plan_of(k, call, NULL, GRADIENTS, available())
    cdef Workspace work = Workspace(plan.workspace_size, k.size)
    cdef void *memory = work.take(plan.workspace_size)
    with nogil:
        _run_call(&plan, call, g, memory)
    return 0


# --- of each sample ---

cdef struct Samples:
    Plan plan  # of one sample with all steps
    const cgru_call *call
    const cgru_gradients *g
    Py_ssize_t apart  # times the numbers of a parameter from one sample's gradient to the next
    Py_ssize_t *steps  # of each sample
    Py_ssize_t first, last  # the samples to run
    Py_ssize_t shares, share_size
    char *memory  # of the shares


cdef void *_moved(void *data, Py_ssize_t bytes) noexcept nogil:
    """Return `data` plus `bytes`; NULL if `data` is NULL."""
    return NULL if data == NULL else <char *>data + bytes


cdef cgru_gradients _gradients_of(const Samples *work, Py_ssize_t i) noexcept nogil:
    """Return the addresses to which the gradients of sample i are written."""
    cdef Py_ssize_t row = i * work.apart * work.call.u * work.plan.k.size
    cdef cgru_gradients to = work.g[0]
    cdef int n
    for n in range(4):
        to.b[n] = _moved(to.b[n], row)
    for n in range(3):
        to.U[n], to.V[n] = _moved(to.U[n], row * work.call.e), _moved(to.V[n], row * work.call.u)
    for n in range(2):
        to.g[n] = _moved(to.g[n], 3 * row)
    return to


cdef Py_ssize_t _copied(cgru_array *array, Py_ssize_t first, Py_ssize_t samples, Py_ssize_t s, Py_ssize_t n,
                        const cgru_kernels *k, char *to) noexcept nogil:
    """Copy some samples of an array whose rows are not contiguous to (samples, s, n), and make the array use the copy.

    Return the numbers that the copy takes. to NULL: count alone.
    """
    cdef Py_ssize_t t
    if array.data == NULL or array.column == 1:
        return 0
    for t in range(s if to != NULL else 0):
        k.copy(cgru_matrix(<char *>array.data + (first * array.sample + t * array.step) * k.size, array.sample,
                           array.column), samples, n, to + t * n * k.size, s * n)
    if to != NULL:
        array[0] = cgru_array(to - first * s * n * k.size, s * n, n, 1)
    return samples * s * n


cdef Py_ssize_t _copy_samples(cgru_call *call, Py_ssize_t first, Py_ssize_t samples, const cgru_kernels *k,
                              char *memory) noexcept nogil:
    """Copy some samples of all arrays that have one sample per SIMD lane, so that their rows are contiguous."""
    cdef int *places = [CGRU_PLACE_r, CGRU_PLACE_c, CGRU_PLACE_dhh_, CGRU_PLACE_dz_, CGRU_PLACE_dr_, CGRU_PLACE_dc]
    cdef Py_ssize_t used = _copied(&call.X, first, samples, call.s, call.e, k, memory)
    cdef int i
    used += _copied(&call.hp, first, samples, call.s, call.u, k, <char *>_moved(memory, used * k.size))
    for i in range(6):
        used += _copied(&call.array[places[i]], first, samples, call.s, call.u, k,
                        <char *>_moved(memory, used * k.size))
    return used


cdef cgru_call _call_of(const Samples *work, const cgru_call *call, Py_ssize_t i) noexcept nogil:
    """Return a call for sample i alone, from a call with contiguous rows."""
    cdef cgru_call own = call[0]
    cdef int place
    own.m, own.s, own.order, own.running, own.anew, own.column = 1, work.steps[i], NULL, NULL, True, 1
    for place in range(CGRU_PLACES):
        own.array[place].data = _moved(own.array[place].data, i * own.array[place].sample * work.plan.k.size)
    return own


cdef void _run_samples(void *given, Py_ssize_t part) noexcept nogil:
    """Write each sample's gradients, for part number `part` of the samples; called by `share`, `given` is a Samples."""
    cdef const Samples *work = <Samples *>given
    cdef const cgru_kernels *k = work.plan.k
    cdef char *memory = work.memory + part * work.share_size * k.size
    cdef Py_ssize_t blocks = (work.last - work.first + k.lanes - 1) // k.lanes, block, first, last, i
    cdef cgru_call call, own
    cdef cgru_gradients to
    cdef Sums sums
    for block in range(part * blocks // work.shares, (part + 1) * blocks // work.shares):
        first = work.first + block * k.lanes
        last = min(first + k.lanes, work.last)
        call = work.call[0]
        _copy_samples(&call, first, last - first, k, memory + work.plan.workspace_size * k.size)
        for i in range(first, last):
            own, to = _call_of(work, &call, i), _gradients_of(work, i)
            prepare(&sums, &work.plan, &own, &to, memory, False)
            run_steps(&sums, True, True)


cdef void _count_steps(const cgru_call *call, Py_ssize_t *steps) noexcept nogil:
    """Write the number of real steps of each sample to `steps`."""
    cdef Py_ssize_t row, left = call.s
    for row in range(call.m):
        while call.running != NULL and left > 0 and call.running[left - 1] <= row:
            left -= 1
        steps[row if call.order == NULL else call.order[row]] = left


cdef int _run_one_by_one(const Samples *work) except -1:
    """Write the gradients of each sample, one sample after another on all threads; Ctrl-C stops it within a sample."""
    cdef const cgru_kernels *k = work.plan.k
    cdef cgru_call call = work.call[0], own
    cdef Py_ssize_t i, numbers = _copy_samples(&call, 0, 1, k, NULL)
    cdef Workspace memory = Workspace(numbers, k.size)
    cdef void *copy = memory.take(numbers)
    cdef cgru_gradients to
    for i in range(call.m):
        call = work.call[0]
        _copy_samples(&call, i, 1, k, <char *>copy)
        own, to = _call_of(work, &call, i), _gradients_of(work, i)
        execute(&own, &to, k)
    return 0


cdef int execute_each(const cgru_call *call, const cgru_gradients *g, Py_ssize_t apart,
                      const cgru_kernels *k) except -1:
    """Allocate a workspace and compute the gradients of each sample separately, on all threads."""
    cdef int threads = threads_for(operations(call))
    cdef Py_ssize_t look = steps_of_piece(call, call.m) * call.m // call.s  # samples between two looks for a Ctrl-C
    cdef cgru_call whole = call[0], one
    cdef Samples work
    cdef Workspace counts = Workspace(call.m, sizeof(Py_ssize_t)), memory
    work.call, work.g, work.apart, work.steps = call, g, apart, <Py_ssize_t *>counts.take(call.m)
    _count_steps(call, work.steps)
    work.plan.k, work.last = k, 0
    if call.m == 1 or call.s > steps_of_piece(call, 1):
        return _run_one_by_one(&work)
    one = _call_of(&work, call, 0)
    one.s = call.s
    work.plan = plan_of(k, &one, NULL, GRADIENTS, 1)
    work.shares = min((call.m + k.lanes - 1) // k.lanes, 4 * threads if threads > 1 else 1)
    work.share_size = work.plan.workspace_size + _copy_samples(&whole, 0, min(call.m, k.lanes), k, NULL)
    work.share_size = whole_lines(work.share_size, k.size)
    memory = Workspace(work.shares * work.share_size, k.size)
    work.memory = <char *>memory.take(work.shares * work.share_size)
    with nogil:
        while work.last < call.m:
            work.first, work.last = work.last, min(work.last + max(look, 4 * threads * k.lanes), call.m)
            share(_run_samples, &work, work.shares, threads)
            check_signals()
    return 0


def linear_gradients(cnp.ndarray X not None, cnp.ndarray d not None):
    """Return X^T d (m, n, u) and d (m, u), summed over each sample's steps, for X (m, s, n) and d (m, s, u)."""
    cdef cnp.ndarray rows = contiguous_rows(X), above = contiguous_rows(d)
    cdef Py_ssize_t m = rows.shape[0], n = rows.shape[2], u = above.shape[2]
    cdef cnp.ndarray dW = np.empty((m, n, u), X.dtype), db = np.empty((m, u), X.dtype)
    cdef cgru_call call = new_call(m, rows.shape[1], n, u, cnp.PyArray_ITEMSIZE(rows), RESET_BEFORE, None)
    cdef cgru_gradients to
    memset(&to, 0, sizeof(to))
    call.linear, call.X, call.dr_ = True, view(rows), view(above)
    to.U[CGRU_R], to.b[CGRU_R] = cnp.PyArray_DATA(dW), cnp.PyArray_DATA(db)
    execute_each(&call, &to, 1, kernels(cnp.PyArray_ITEMSIZE(rows)))
    return dW, db


def run(variant, dict g not None, dict arrays not None, order=None, running=None, bint reverse=False,
        bint fresh=False, bint anew=False, bint by_units=False, bint each=False):
    """Add the parameters' gradients to the arrays in `g`, a dict with keys 'd' + name, or overwrite them (`anew`).

    With `each` write those of each sample into arrays (m, ...).

    Args:
        arrays: the arrays of gradients.pxd by name, with any strides.
        order, running: as for `driver.run`.
        reverse: whether the steps ran from the last to the first.
        fresh: whether the forward pass had no h0.
        by_units: whether the arrays of dU and dV hold their transposes.
    """
    cdef Py_ssize_t u = arrays["hp"].shape[2]
    cdef cgru_call call = call_of(variant, u, arrays, None, order, running)
    cdef dict as_read = {name: readable(&call, array) for name, array in arrays.items()}
    cdef cgru_gradients to
    call = call_of(variant, u, as_read, None, order, running)
    call.reverse, call.fresh, call.anew, call.by_units = reverse, fresh, anew, by_units
    bind_gradients(&to, g)
    if each:
        execute_each(&call, &to, 1, kernels(arrays["X"].itemsize))
    else:
        execute(&call, &to, kernels(arrays["X"].itemsize))
