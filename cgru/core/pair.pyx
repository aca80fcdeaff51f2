"""Run two calls at once, the second by a member of the crew: with copies of its inputs, in the crew's memory.

So a member that comes too late spoils nothing: the caller then runs the second call itself.
"""

from libc.string cimport memcpy

from cgru.core.crew cimport close_crew
from cgru.core.driver cimport execute, prepare, run_steps
from cgru.core.kernels cimport cgru_array, whole_lines
from cgru.core.plan cimport FORWARD, Plan, pays_pair, plan_of
from cgru.core.products cimport Run
from cgru.core.threads cimport available, await_member, gather_members, open_pool_crew, post_task


# What lies at the beginning of the crew's memory.
cdef struct Second:
    cgru_call call
    Run run


cdef Py_ssize_t HEAD = (sizeof(Second) + 63) // 64 * 64  # bytes of the struct, in whole cache lines


cdef int execute_both(cgru_call *calls, cgru_weights *weights, const cgru_kernels *k) except -1:
    """Post the second call to a member and run the first; take the results of the second, or run it, too."""
    cdef Plan plan = plan_of(k, &calls[1], &weights[1], FORWARD, 1)
    cdef Second *second = NULL
    cdef bint is_done = False
    if pays_pair(&plan, &calls[1], available()):
        plan = plan_of(k, &calls[1], NULL, FORWARD, 1)  # packs all weights: a member may outlive the caller's
        second = _copy_call(&plan, &calls[1])
    if second == NULL:
        execute(&calls[0], &weights[0], k, FORWARD)
        execute(&calls[1], &weights[1], k, FORWARD)
        return 0
    try:
        prepare(&second.run, &plan, &second.call, _behind(second), _rows(&plan, second), &weights[1])
        is_done = gather_members() > 1
        if is_done:
            post_task(_run_second)
        execute(&calls[0], &weights[0], k, FORWARD)
        is_done = is_done and await_member(1)
        if is_done:
            _take_results(&calls[1], &second.call, k.size)
    finally:
        close_crew()
    if not is_done:
        execute(&calls[1], &weights[1], k, FORWARD)
    return 0


cdef inline char *_behind(Second *second) noexcept nogil:
    """Return the address behind the struct: that of the packed weights."""
    return <char *>second + HEAD


cdef inline char *_rows(const Plan *plan, Second *second) noexcept nogil:
    """Return the address of the workspace's rows, behind the packed weights."""
    return _behind(second) + plan.rows_start * plan.k.size


cdef Second *_copy_call(const Plan *plan, const cgru_call *call) noexcept nogil:
    """Open the crew, and copy a call and all that it reads to the crew's memory, where it writes, too.

    NULL: the pool is busy.
    """
    cdef Py_ssize_t m = call.m, s = call.s, i, t
    cdef int size = plan.k.size
    cdef Py_ssize_t states = whole_lines(m * call.u, size) * size, inputs = whole_lines(m * s * call.e, size) * size
    cdef Py_ssize_t outputs = whole_lines(m * s * call.u, size) * size if call.h.data != NULL else 0
    cdef Py_ssize_t workspace = whole_lines(plan.workspace_size, size) * size
    cdef Second *second = <Second *>open_pool_crew(
        2, HEAD + workspace + inputs + outputs + 2 * states + (m + s) * sizeof(Py_ssize_t)
    )
    cdef char *to
    if second == NULL:
        return NULL
    to = _behind(second) + workspace
    second.call = call[0]
    second.call.X = cgru_array(to, s * call.e, call.e, 1)
    for i in range(m):
        for t in range(s):
            memcpy(to + (i * s + t) * call.e * size,
                   <char *>call.X.data + (i * call.X.sample + t * call.X.step) * size, call.e * size)
    to += inputs
    if call.h.data != NULL:
        second.call.h = cgru_array(to, s * call.u, call.u, 1)
    to += outputs
    if call.last.data != NULL:
        second.call.last = cgru_array(to, call.u, 0, 1)
    to += states
    if call.h0.data != NULL:
        second.call.h0 = cgru_array(to, call.u, 0, 1)
        for i in range(m):
            memcpy(to + i * call.u * size, <char *>call.h0.data + i * call.h0.sample * size, call.u * size)
    to += states
    if call.running != NULL:
        second.call.order, second.call.running = <Py_ssize_t *>to, <Py_ssize_t *>to + m
        memcpy(to, call.order, m * sizeof(Py_ssize_t))
        memcpy(to + m * sizeof(Py_ssize_t), call.running, s * sizeof(Py_ssize_t))
    return second


cdef void _run_second(void *memory, int member, int members) noexcept nogil:
    """Run the call that is prepared in the crew's memory; the task of `post_task`."""
    run_steps(&(<Second *>memory).run, True, True)


cdef void _take_results(cgru_call *call, const cgru_call *ran, int size) noexcept nogil:
    """Copy the states of all real steps, and the last ones, to the arrays of a call from those of its copy."""
    cdef Py_ssize_t row, i, t
    for row in range(call.m):
        i = call.order[row] if call.order != NULL else row
        for t in range(call.s if call.h.data != NULL else 0):
            if call.running == NULL or row < call.running[t]:
                memcpy(<char *>call.h.data + (i * call.h.sample + t * call.h.step) * size,
                       <char *>ran.h.data + (i * ran.h.sample + t * ran.h.step) * size, call.u * size)
        if call.last.data != NULL:
            memcpy(<char *>call.last.data + i * call.last.sample * size,
                   <char *>ran.last.data + i * ran.last.sample * size, call.u * size)
