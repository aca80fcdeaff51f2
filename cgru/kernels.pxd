"""The typed door to simd/: the structs that the compiled modules fill, and the table of kernels in use."""

cimport numpy as cnp

cdef extern from "simd/cgru.h" nogil:
    ctypedef struct cgru_activation:
        int code
        double alpha

    ctypedef struct cgru_array:
        void *data
        Py_ssize_t sample
        Py_ssize_t step

    ctypedef struct cgru_call:
        Py_ssize_t m, s, e, u
        const Py_ssize_t *order
        const Py_ssize_t *running
        cgru_activation activate, activate_update, activate_reset
        cgru_array h0, X, h, hp, hh, z, r, hh_, z_, r_, last
        cgru_array dA, dh_, dh, dhh_, dz_, dr_, dX
        void *rows
        Py_ssize_t ld, up, ep

    ctypedef struct cgru_operand:
        const void *rows
        Py_ssize_t ld, k

    ctypedef struct cgru_product

    ctypedef struct cgru_matrix:
        const void *W
        Py_ssize_t row

    ctypedef void cgru_epilogue(const cgru_product *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                const void *) noexcept nogil

    ctypedef struct cgru_product:
        cgru_operand operand[3]
        int operands
        Py_ssize_t vectors
        const void *weights
        int sections
        cgru_matrix direct[2][3]
        const void *bias
        cgru_epilogue *epilogue
        const cgru_call *call
        cgru_array out
        Py_ssize_t columns

    ctypedef struct cgru_outer:
        const cgru_call *call
        Py_ssize_t first, last, count, depth
        void *operands
        void *gates
        void *dU[3]
        void *dV[3]
        void *db[3]

    ctypedef struct cgru_kernels:
        const char *level
        Py_ssize_t lanes
        void (*pack)(const cgru_product *, void *, Py_ssize_t, Py_ssize_t, const void *, Py_ssize_t, Py_ssize_t,
                     Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*product)(const cgru_product *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*start)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*load)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*finish)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*gates_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        cgru_epilogue *gates
        cgru_epilogue *candidate
        cgru_epilogue *reset_backward
        cgru_epilogue *state_backward
        cgru_epilogue *put
        void (*collect)(cgru_outer *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*multiply)(cgru_outer *) noexcept nogil
        Py_ssize_t (*panels)(Py_ssize_t) noexcept nogil
        void (*activation)(cgru_activation, const void *, void *, Py_ssize_t) noexcept nogil


cdef const cgru_kernels *kernels(Py_ssize_t itemsize) noexcept nogil


cdef cgru_call new_call(cnp.ndarray X, Py_ssize_t u, tuple activations, object order, object running) except *
cdef Py_ssize_t odd_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept
cdef cgru_array array(dict arrays, str name) except *
cdef cgru_product new_product(const cgru_kernels *k, const cgru_call *call, cgru_epilogue *epilogue, Py_ssize_t columns,
                              void *weights, void *bias) noexcept
cdef void add_operand(cgru_product *product, const void *data, Py_ssize_t ld, Py_ssize_t k) noexcept
cdef int place(cgru_product *product, int section, int operand, Py_ssize_t k0, cnp.ndarray W) except -1
cdef int pack(const cgru_product *product, Py_ssize_t k0, Py_ssize_t column0, cnp.ndarray W, bint transposed) except -1
cdef int pack_bias(const cgru_product *product, Py_ssize_t column0, cnp.ndarray b) except -1
