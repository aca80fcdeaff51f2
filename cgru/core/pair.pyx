"""Run two GRU calls at the same time, each on its own thread and in its own workspace."""

from cgru.core cimport driver
from cgru.core.kernels cimport check_signals, slice_steps, steps_of_piece, whole_lines
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport BACKWARD, Plan, pays_pair, plan_of
from cgru.core.products cimport Run
from cgru.core.threads cimport available, share


cdef struct Both:
    cgru_call *calls
    cgru_call[2] whole
    cgru_weights[2] weights
    Plan[2] plan
    Run[2] run
    char *memory[2]
    Py_ssize_t done, piece  # steps that ran, and that run until somebody looks for a signal


cdef void _run_one(void *work, Py_ssize_t i) noexcept nogil:
    """Run the next piece of call number i on this thread; called by `share`, `work` is a Both."""
    cdef Both *both = <Both *>work
    cdef const Plan *plan = &both.plan[i]
    cdef cgru_call *call = &both.calls[i]
    cdef Py_ssize_t steps = min(both.piece, call.s - both.done), start = both.done
    if both.done == 0:
        driver.prepare(&both.run[i], plan, call, both.memory[i], both.memory[i] + plan.rows_start * plan.k.size,
                       &both.weights[i])
        both.whole[i] = call[0]
    if (call.reverse != 0) != (plan.direction == BACKWARD):
        start = call.s - both.done - steps
    slice_steps(call, &both.whole[i], start, steps, plan.k.size)
    driver.run_steps(&both.run[i], both.done == 0, both.done + steps == both.whole[i].s)
    call[0] = both.whole[i]


cdef int execute_both(cgru_call *calls, const cgru_weights *weights, const cgru_kernels *k,
                      Direction direction) except -1:
    """Run two calls, at the same time if that is faster, in workspaces that are allocated here; Ctrl-C stops them."""
    cdef Both both
    cdef Py_ssize_t first
    cdef bint pays = True
    cdef Workspace work
    cdef int i
    for i in range(2):
        both.plan[i] = plan_of(k, &calls[i], &weights[i], direction, 1)
        both.weights[i] = driver.weights_of(&both.plan[i], &weights[i])
        pays &= pays_pair(k, &calls[i], available()) and both.plan[i].rows_at_once >= calls[i].m
    if not pays:
        driver.execute(&calls[0], &weights[0], k, direction)
        return driver.execute(&calls[1], &weights[1], k, direction)
    first = whole_lines(both.plan[0].workspace_size, k.size)
    work = Workspace(first + both.plan[1].workspace_size, k.size)
    both.memory[0], both.memory[1] = <char *>work.take(first), <char *>work.take(both.plan[1].workspace_size)
    both.calls, both.done, both.piece = calls, 0, steps_of_piece(&calls[0], calls[0].m)
    with nogil:
        while both.done < calls[0].s:
            if both.done:
                check_signals()
            share(_run_one, &both, 2, 2)
            both.done += both.piece
    return 0
