"""The parameters of a compiled network, their gradients, and the steps of its optimizer."""

from numpy cimport ndarray

from cgru.core.kernels cimport cgru_kernels, cgru_optimizer_step

cdef struct Weight:
    Py_ssize_t start, numbers  # among the numbers of all
    bint trained, matrix
    double l1, l2  # penalties


cdef class Weights:
    cdef const cgru_kernels *k
    cdef object model, memory, weight_memory
    cdef str optimizer  # the name of its class
    cdef readonly list keys
    cdef list arrays
    cdef readonly dict start  # of each parameter, by key
    cdef Weight *weight
    cdef Py_ssize_t count, numbers
    cdef int type  # NumPy's number of the dtype
    cdef char *p[2]
    cdef char *shown[2]  # what the network shows and is scored by; here what is trained, `p`
    cdef long long *taken[2]  # the steps that were taken with each
    cdef char *g
    cdef int now, kept
    cdef bint fresh  # nothing was changed since it was kept
    cdef Py_ssize_t clips  # layers that clip their gradients
    cdef Py_ssize_t *clipped  # of each: where its numbers begin, how many there are
    cdef cgru_optimizer_step step
    cdef void (*kernel)(const cgru_optimizer_step *, Py_ssize_t) noexcept nogil
    cdef int carried  # how many arrays of state a parameter has
    cdef bint debiased
    cdef double weight_decay, clip_norm

    cdef inline char *current(self) noexcept nogil:
        return self.p[self.now]

    cdef inline char *visible(self) noexcept nogil:
        return self.shown[self.now]

    cdef void clear(self) noexcept nogil
    cdef double keeps(self, Py_ssize_t i, long long taken) noexcept nogil
    cdef bint update(self, double rate) noexcept nogil
    cdef void _clip(self, Py_ssize_t start, Py_ssize_t numbers, double norm) noexcept nogil
    cdef double _norm(self, Py_ssize_t start, Py_ssize_t numbers, double *unit) noexcept nogil
    cdef int _load_optimizer(self) except -1
    cdef int _put(self, char *memory, Py_ssize_t start, ndarray array) except -1
    cdef ndarray _copy(self, const char *memory, Py_ssize_t start, ndarray like)
