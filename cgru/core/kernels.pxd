"""Cython declarations of simd/cgru.h: the structs that describe a call, and the table of the kernels in use.

A call is made in three steps, the same for each variant. forward.pxd, backward.pxd and gradients.pxd list its arrays.

    cdef cgru_call call = new_call(m, s, e, u, itemsize, variant, codes)
    set_lengths(&call, order, running); set_zoneout(&call, zoneout); call.reverse = reverse
    bind(&call, "X", X); bind(&call, "h", h); ...

    cdef cgru_weights w
    bind_weights(&w, p, variant.names)
    execute(&call, &w, kernels(itemsize), FORWARD)

The structs own nothing: their caller keeps the arrays alive until the call is over.

`choose_lanes(k, &call)` of plan.pxd sets `call.column`, the stride of the last axis of the arrays that
`time_major_array` describes. It has to be 1 unless samples are in the lanes. Then arrays may have any strides, but a
vector of samples that are not neighbours in memory is read and written lane by lane.
"""

cimport numpy as cnp

include "declarations.pxi"  # of simd/cgru.h, by setup.py

# Run one piece of the steps of a call. `first` and `last` say whether it runs first, or last.
ctypedef void run_piece(void *work, bint first, bint last) noexcept nogil

# Return the kernels in use for float32 or float64.
cdef const cgru_kernels *kernels(Py_ssize_t itemsize) noexcept nogil
# Return the low-precision kernels in use.
cdef const cgru_low_precision_kernels *low_precision_kernels() noexcept nogil
# Let Python handle pending signals; raise what their handlers raise.
cdef int check_signals() except -1 nogil
# Set `call` to `steps` steps of the call `whole` from `start` on.
cdef void slice_steps(cgru_call *call, const cgru_call *whole, Py_ssize_t start, Py_ssize_t steps,
                      int size) noexcept nogil
# Return how many steps of m samples run between two looks for a Ctrl-C.
cdef Py_ssize_t steps_of_piece(const cgru_call *call, Py_ssize_t m) noexcept nogil
# Run m samples of a call some steps at a time, and look for signals between the pieces.
cdef int in_pieces(cgru_call *call, Py_ssize_t m, Py_ssize_t block, int size, bint last_first, run_piece *run,
                   void *work) except -1 nogil


# Return a call of a `cgru.variant.Variant` without arrays. activations: the (code, alpha) of activate, activate_update
# and activate_reset, or None for gradients, which need none.
cdef cgru_call new_call(Py_ssize_t m, Py_ssize_t s, Py_ssize_t e, Py_ssize_t u, int itemsize, object variant,
                        tuple activations) except *
# Set `call.<name>` to an array (m, s, n) or (m, n) with any strides, or to none. Names are those of the caches, and h0,
# last, X; KeyError for others. `call.h = view(h)` does the same.
cdef int bind(cgru_call *call, str name, cnp.ndarray array) except -1
# Set the lengths of a ragged batch: `order` (m,) the samples, longest first, `running` (s,) how many of them have each
# step, both intp. None, None: all samples have all steps.
cdef int set_lengths(cgru_call *call, cnp.ndarray order, cnp.ndarray running) except -1
# Set the zoneout of a call: a mask (m, s, u), a rate (float or array of shape ()), or None.
cdef int set_zoneout(cgru_call *call, object zoneout) except -1
# Point `w` to the parameters of these names, with any strides; and `to` to the C-contiguous arrays of their gradients,
# whose names are 'd' + that of the parameter.
cdef int bind_weights(cgru_weights *w, dict p, tuple names) except -1
cdef int bind_gradients(cgru_gradients *to, dict g) except -1

# Return the index of an array in cgru_call, and of a parameter in cgru_weights and cgru_gradients.
cdef int array_index(str name) except -1
cdef int parameter_index(str name) except -1
# Return the recurrent dropout mask of a gate, CGRU_R, CGRU_Z or CGRU_HH; an array without data if there is none.
cdef cgru_array mask_of(const cgru_call *call, int gate, int size) noexcept nogil
# Return a NumPy array (m, s, n) or (m, n), and a matrix, as the kernels see them.
cdef cgru_array view(cnp.ndarray source) noexcept
cdef cgru_matrix matrix(cnp.ndarray W) noexcept
# Copy rows (m, n) to the first step of an array.
cdef void copy_rows(const cgru_kernels *k, cgru_matrix rows, Py_ssize_t m, Py_ssize_t n, cgru_array to) noexcept nogil
# Return how many samples of a call have their rows in memory together.
cdef Py_ssize_t samples_at_once(Py_ssize_t m, Py_ssize_t row_bytes) noexcept nogil
# Return the number of steps of a single sample; and how many of the CGRU_STEPS steps from `first` on a row has.
cdef Py_ssize_t steps_of_single(const cgru_call *call) noexcept nogil
cdef Py_ssize_t steps_of_row(const cgru_call *call, Py_ssize_t row, Py_ssize_t first) noexcept nogil


cdef inline cgru_array time_major_array(const void *data, Py_ssize_t n, Py_ssize_t m, Py_ssize_t column) noexcept nogil:
    """Return a time-major array (m, s, n) in memory as (s, m, n) if `column` is 1, else as (s, n, m)."""
    return cgru_array(<void *>data, n if column == 1 else 1, n * m, column)


cdef inline Py_ssize_t whole_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """Return `numbers` rounded up to whole cache lines, so that the next array begins at a cache line."""
    return (numbers * itemsize + 63) // 64 * 64 // itemsize


cdef inline Py_ssize_t odd_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """Return `numbers` rounded up to an odd number of cache lines.

    The same column of successive rows is then in different sets of the cache.
    """
    cdef Py_ssize_t lines = (numbers * itemsize + 63) // 64
    return (lines + (lines + 1) % 2) * 64 // itemsize


# Build products: transpose a matrix, make a product, add operands, and pack matrices, biases and gains.
cdef cgru_matrix transpose(cgru_matrix W) noexcept nogil
cdef cgru_product new_product(const cgru_kernels *k, const cgru_call *call, cgru_epilogue *epilogue, Py_ssize_t columns,
                              const void *weights, const void *bias) noexcept nogil
cdef void add_operand(cgru_product *product, const void *data, Py_ssize_t ld, Py_ssize_t k) noexcept nogil
cdef cgru_product with_operand(const cgru_product *whole, int operand) noexcept nogil
cdef void pack(const cgru_kernels *k, const cgru_product *product, Py_ssize_t k0, Py_ssize_t column0, cgru_matrix W,
               Py_ssize_t depth, Py_ssize_t columns) noexcept nogil
cdef void pack_bias(const cgru_kernels *k, const cgru_product *product, Py_ssize_t column0, cgru_matrix b,
                    Py_ssize_t columns) noexcept nogil
cdef void pack_gains(const cgru_kernels *k, const cgru_weights *w, Py_ssize_t u, Py_ssize_t up,
                     char *to) noexcept nogil
