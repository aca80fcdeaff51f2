"""Gradients of single rows of a table; rows.pyx documents the functions."""

from libc.math cimport sqrt

from cgru.core.kernels cimport cgru_optimizer_step

# Set the settings of an optimizer in its step.
cdef int load_settings(cgru_optimizer_step *step, optimizer) except -1


cdef inline void set_rate(cgru_optimizer_step *step, bint debiased, double rate, long long taken) noexcept nogil:
    """Set the learning rate of a parameter's step number `taken`, and for a `debiased` optimizer the root's factor."""
    step.rate = rate
    if debiased:
        step.rate, step.root = rate / (1 - step.beta[0] ** taken), sqrt(1 - step.beta[1] ** taken)
