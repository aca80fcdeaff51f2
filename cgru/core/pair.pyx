"""Run two calls at once, each on a thread of its own, in a workspace of its own."""

from cgru.core cimport driver
from cgru.core.kernels cimport whole_lines
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport pays_pair, plan_of
from cgru.core.threads cimport available, share


cdef struct Both:
    cgru_call *calls
    const cgru_weights *weights
    const cgru_kernels *k
    Direction direction
    void *memory[2]


cdef void _run_one(void *work, Py_ssize_t i) noexcept nogil:
    """Run call i on this thread; the callback of `share`, `work` is a Both. Nobody looks for a signal in it."""
    cdef Both *both = <Both *>work
    driver.run_in_workspace(&both.calls[i], &both.weights[i], both.k, both.direction, both.memory[i], 1)


cdef int execute_both(cgru_call *calls, const cgru_weights *weights, const cgru_kernels *k,
                      Direction direction) except -1:
    """Run two calls at once where that pays, else in turn, in workspaces that are allocated here."""
    cdef Both both = Both(calls, weights, k, direction)
    cdef Py_ssize_t first, second
    cdef Workspace work
    if not (pays_pair(k, &calls[0], available()) and pays_pair(k, &calls[1], available())):
        driver.execute(&calls[0], &weights[0], k, direction)
        return driver.execute(&calls[1], &weights[1], k, direction)
    first = whole_lines(plan_of(k, &calls[0], &weights[0], direction, 1).workspace_size, k.size)
    second = plan_of(k, &calls[1], &weights[1], direction, 1).workspace_size
    work = Workspace(first + second, k.size)
    both.memory[0], both.memory[1] = work.take(first), work.take(second)
    with nogil:
        share(_run_one, &both, 2, 2)
    return 0
