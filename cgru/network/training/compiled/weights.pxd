"""The parameters of a compiled network, their gradients, and the optimizer's updates."""

from numpy cimport ndarray

from cgru.core.kernels cimport cgru_kernels, cgru_optimizer_step

cdef struct Weight:
    Py_ssize_t start, numbers  # where the parameter begins in the buffer, and its size
    bint trained, matrix  # whether it is trainable, and whether weight decay applies
    double l1, l2  # factors of penalties


cdef class Weights:
    cdef const cgru_kernels *k
    cdef object model, memory, weight_memory
    cdef str optimizer  # the name of the optimizer's class
    cdef readonly list keys  # of the parameters, like "0.Uz"
    cdef list arrays  # the model's arrays, in the order of the keys
    cdef readonly dict start  # where each parameter begins in the buffer, by key
    cdef Weight *weight
    cdef Py_ssize_t count, numbers
    cdef int type  # NumPy's type number of the dtype
    cdef char *p[2]  # two buffers: the trained parameters, then the arrays of the optimizer's state
    cdef char *shown[2]  # the parameters that are shown and scored: those of `p`, or their means
    cdef object mean_memory
    cdef double average
    cdef long long *begun  # the updates of each parameter before the first one that counts for its mean; NULL: no means
    cdef long long *taken[2]  # the number of updates of each parameter
    cdef char *g  # the gradients
    cdef int now, kept  # which buffer is current, and which is saved
    cdef bint fresh  # whether the current buffer is saved, so that the next update must write to the other
    cdef Py_ssize_t clips  # how many layers clip their gradients
    cdef Py_ssize_t *clipped  # (clips, 2): the first number of each of these layers, and how many there are
    cdef cgru_optimizer_step step
    cdef void (*kernel)(const cgru_optimizer_step *, Py_ssize_t) noexcept nogil
    cdef int carried  # how many arrays the optimizer has for each parameter
    cdef bint debiased
    cdef double weight_decay, clip_norm

    cdef inline char *current(self) noexcept nogil:
        return self.p[self.now]

    cdef inline char *visible(self) noexcept nogil:
        return self.shown[self.now]

    cdef void clear(self) noexcept nogil
    cdef bint update(self, double rate) noexcept nogil
    cdef void _clip(self, Py_ssize_t start, Py_ssize_t numbers, double norm) noexcept nogil
    cdef double _norm(self, Py_ssize_t start, Py_ssize_t numbers, double *unit) noexcept nogil
    cdef int _put(self, char *memory, Py_ssize_t start, ndarray array) except -1
    cdef bint _lies_as_in_buffer(self, array) noexcept
    cdef int _get(self, const char *memory, Py_ssize_t i, array) except -1
    cdef bint _is_current(self, Py_ssize_t i) except -1
    cdef ndarray _copy(self, const char *memory, Py_ssize_t start, ndarray like)
