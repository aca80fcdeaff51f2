"""The typed door to simd/: the structs that the compiled modules fill, and the table of kernels in use.

A call is made in three steps, alike for each variant; forward.pxd, backward.pxd and gradients.pxd say which arrays it
wants.

    cdef cgru_call call = new_call(m, s, e, u, itemsize, variant, codes)
    set_lengths(&call, order, running); set_zoneout(&call, zoneout); call.reverse = reverse
    bind(&call, "X", X); bind(&call, "h", h); ...

    cdef cgru_weights w
    weights(&w, p, variant.names)
    execute(&call, &w, kernels(itemsize), FORWARD)

The structs own nothing: whoever fills them holds the arrays until the call is over.

`choose_lanes(k, &call)` of plan.pxd sets `call.column`, the stride of the last axis by which `laid` lays the arrays of
the call. It is 1, and must be, unless lanes are samples. Arrays may then have any strides, but a read or write of one
whose samples are not neighbours takes as many steps as there are lanes.
"""

cimport numpy as cnp

cdef extern from "simd/cgru.h" nogil:
    ctypedef struct cgru_activation:
        int code
        double alpha

    ctypedef struct cgru_array:
        void *data
        Py_ssize_t sample, step, column

    cdef enum:
        CGRU_PLACES, CGRU_PLACE_hh, CGRU_PLACE_z, CGRU_PLACE_dhh_, CGRU_PLACE_dz_

    ctypedef struct cgru_call:
        Py_ssize_t m, s, e, u
        const Py_ssize_t *order
        const Py_ssize_t *running
        cgru_activation activate, activate_update, activate_reset
        int variant, reverse
        double zoneout
        # Those of CGRU_ARRAYS that are asked for here by name, and all of them by their places there.
        cgru_array h0, X, h, hp, hh, z, r, c, hh_, z_, r_, kept, last
        cgru_array dA, dh_, dh, dhh_, dz_, dr_, dc, dX, nU, nV, dU_, dV_, recurrent
        cgru_array array[CGRU_PLACES]
        void *rows
        Py_ssize_t ld, up, ep, projections, masked
        int padded, fresh, linear, loose
        Py_ssize_t column

    ctypedef struct cgru_operand:
        const void *rows
        Py_ssize_t ld, k

    ctypedef struct cgru_product

    ctypedef struct cgru_matrix:
        const void *data
        Py_ssize_t row, column

    cdef enum:
        CGRU_RESET_BEFORE, CGRU_RESET_AFTER, CGRU_LAYER_NORM
        CGRU_R, CGRU_Z, CGRU_HH, CGRU_C, CGRU_STEPS, CGRU_GROUP, CGRU_STATE_OPERANDS

    ctypedef struct cgru_weights:
        cgru_matrix U[3]
        cgru_matrix V[3]
        cgru_matrix b[4]
        cgru_matrix g[2]
        cgru_matrix h0

    ctypedef void cgru_epilogue(const cgru_product *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                const void *) noexcept nogil

    ctypedef struct cgru_product:
        cgru_operand operand[3]
        int operands
        Py_ssize_t vectors
        const void *weights
        Py_ssize_t depth, k0
        int chains
        const void *bias
        const cgru_matrix *unpacked[3]
        Py_ssize_t width
        int is_transposed
        void *sums
        cgru_epilogue *epilogue
        const cgru_call *call
        cgru_array out
        Py_ssize_t columns, column
        cgru_array mask

    ctypedef struct cgru_gradients:
        void *U[3]
        void *V[3]
        void *b[4]
        void *g[2]
        void *h0

    ctypedef struct cgru_state_operand:
        int reset
        cgru_array mask

    ctypedef struct cgru_term:
        cgru_array d, factor
        void *U
        void *V
        void *b
        int state_operand

    ctypedef struct cgru_outer_product:
        const cgru_call *call
        const cgru_term *terms
        const cgru_state_operand *state_operands
        Py_ssize_t first, last, count, depth
        int fresh
        void *operands
        void *rows
        void *wide

    ctypedef struct cgru_norm:
        const cgru_call *call
        const void *gains
        const void *bias

    cdef enum:
        CGRU_SOFTMAX, CGRU_SIGMOID
        CGRU_NO_LOSS

    ctypedef struct cgru_loss:
        int kind
        cgru_activation activate
        Py_ssize_t k
        cgru_matrix Z, A, dZ
        const Py_ssize_t *classes
        cgru_matrix Y
        Py_ssize_t ways
        const double *numbers
        const double *weights
        double share
        void *work

    ctypedef struct cgru_batch_linear:
        cgru_matrix W
        const void *b
        Py_ssize_t k, n
        cgru_array X, out

    ctypedef struct cgru_optimizer_step:
        const void *g
        const void *old[3]
        void *updated[3]
        const void *mean
        void *updated_mean
        double mean_decay
        double factor, rate
        double beta[2]
        double root, epsilon, decay
        int nesterov

    ctypedef struct cgru_feature_product:
        Py_ssize_t u, up, ep, gate
        const void *W
        const void *bias
        cgru_operand x
        cgru_array out

    ctypedef struct cgru_single_sample:
        const cgru_call *call
        const void *U
        const cgru_feature_product *feature_product
        cgru_matrix V[3]
        cgru_matrix b[4]
        int fresh
        void *sums
        int is_transposed

    ctypedef struct cgru_batch:
        const cgru_call *call
        const void *gates
        const void *recurrent
        const void *candidate
        cgru_feature_product feature_product
        const void *reset
        const void *state
        const void *input
        const cgru_product *wide

    ctypedef struct cgru_batch_gradients:
        const cgru_call *call
        const cgru_term *terms
        int count
        Py_ssize_t start, samples
        void *memory

    ctypedef struct cgru_kernels:
        const char *level
        int size
        Py_ssize_t lanes
        void (*pack)(const cgru_product *, void *, Py_ssize_t, Py_ssize_t, cgru_matrix, Py_ssize_t,
                     Py_ssize_t) noexcept nogil
        void (*product)(const cgru_product *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*load_h0)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*load_x)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*mask_state)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*store_last)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pad)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pad_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*gates_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*single_step)(const cgru_single_sample *, const void *, void *, void *) noexcept nogil
        void (*single_forward)(const cgru_single_sample *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*single_backward)(const cgru_single_sample *, Py_ssize_t) noexcept nogil
        void (*pack_single)(cgru_matrix, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        cgru_epilogue *gates
        cgru_epilogue *recurrent
        cgru_epilogue *candidate
        cgru_epilogue *reset_backward
        cgru_epilogue *state_backward
        cgru_epilogue *input_backward
        cgru_epilogue *store_product
        void (*collect_rows)(cgru_outer_product *, const Py_ssize_t *, const Py_ssize_t *, Py_ssize_t) noexcept nogil
        void (*add_outer_products)(cgru_outer_product *) noexcept nogil
        Py_ssize_t (*panel_count)(Py_ssize_t) noexcept nogil
        void (*activation)(cgru_activation, const void *, void *, Py_ssize_t) noexcept nogil
        void (*norm_forward)(const cgru_norm *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*norm_backward)(const cgru_norm *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*loss)(const cgru_loss *, Py_ssize_t, Py_ssize_t, double *, double *) noexcept nogil
        void (*batch_linear)(const cgru_batch_linear *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*batch_linear_gradients)(const cgru_batch_linear *, Py_ssize_t, Py_ssize_t, const Py_ssize_t *, void *,
                                       void *) noexcept nogil
        void (*optimizer_steps[3])(const cgru_optimizer_step *, Py_ssize_t) noexcept nogil
        double (*sum_of_squares)(const void *, Py_ssize_t, double) noexcept nogil
        void (*batch_forward)(const cgru_batch *, Py_ssize_t, Py_ssize_t, int, int) noexcept nogil
        void (*batch_backward)(const cgru_batch *, Py_ssize_t, Py_ssize_t, int, int) noexcept nogil
        void (*batch_gradient_sums)(const cgru_batch_gradients *, int) noexcept nogil
        void (*batch_gradient_add)(const cgru_batch_gradients *, Py_ssize_t) noexcept nogil
        Py_ssize_t (*batch_gradient_size)(const cgru_call *, int, Py_ssize_t) noexcept nogil
        void (*feature_product)(const cgru_feature_product *, Py_ssize_t) noexcept nogil
        void (*copy)(cgru_matrix, Py_ssize_t, Py_ssize_t, void *, Py_ssize_t) noexcept nogil

    enum:
        CGRU_INT8, CGRU_BFLOAT16, CGRU_ROUNDED

    ctypedef struct cgru_quantized:
        int kind
        Py_ssize_t depth, columns
        const void *words
        const float *scale
        const int *initial_sums

    ctypedef struct cgru_low_precision_layer:
        const cgru_call *call
        int kind
        cgru_quantized U, V, Vhh
        const void *b
        double x_bound, bound

    ctypedef struct cgru_low_precision_kernels:
        const char *level
        Py_ssize_t lanes
        int has_rounded
        Py_ssize_t (*depth)(int, Py_ssize_t) noexcept nogil
        void (*pack)(int, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *, void *) noexcept nogil
        Py_ssize_t (*workspace_size)(const cgru_low_precision_layer *, Py_ssize_t) noexcept nogil
        void (*forward)(const cgru_low_precision_layer *, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        void (*single)(const cgru_low_precision_layer *, const void *, void *, void *) noexcept nogil
        Py_ssize_t (*linear_workspace_size)(int, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*linear)(const cgru_quantized *, const void *, const cgru_operand *, cgru_array, Py_ssize_t, double,
                       void *) noexcept nogil


# Runs the steps of a call as it stands; whether they are its first ones, and its last.
ctypedef void run_piece(void *work, bint first, bint last) noexcept nogil

cdef const cgru_kernels *kernels(Py_ssize_t itemsize) noexcept nogil
# Those for weights of fewer bytes, of that level; NULL where this build or this machine lacks it.
cdef const cgru_low_precision_kernels *low_precision_kernels(str name) except? NULL
cdef int look_for_signals() except -1 nogil
cdef int in_pieces(cgru_call *call, Py_ssize_t m, int size, bint last_first, run_piece *run,
                   void *work) except -1 nogil


# A call of that `cgru.variant.Variant`; its arrays and rows are still NULL. activations: the (code, alpha) of activate,
# activate_update and activate_reset, or None for gradients, which need none.
cdef cgru_call new_call(Py_ssize_t m, Py_ssize_t s, Py_ssize_t e, Py_ssize_t u, int itemsize, object variant,
                        tuple activations) except *
# Make `call.<name>` that array, (m, s, n) or (m, n), as its strides are; None: not there. KeyError where a call has
# no array of that name. Names are the letters of the caches, and h0, last, X. `call.h = view(h)` does the same.
cdef int bind(cgru_call *call, str name, cnp.ndarray array) except -1
# Samples longest first (m) and how many of them have each step (s), both intp; or None, None: all have all steps.
cdef int set_lengths(cgru_call *call, cnp.ndarray order, cnp.ndarray running) except -1
# None, a mask (m, s, u) or a rate: a float or an array ().
cdef int set_zoneout(cgru_call *call, object zoneout) except -1
# Where the parameters of these names lie, any strides; and where their gradients are summed up: C-contiguous arrays by
# their names, 'd' + that of the parameter.
cdef int weights(cgru_weights *w, dict p, tuple names) except -1
cdef int targets(cgru_gradients *to, dict g) except -1

# Where an array stands among those of cgru_call; and a parameter in cgru_weights and cgru_gradients.
cdef int array_place(str name) except -1
cdef int parameter_place(str name) except -1
# The mask of a gate, CGRU_R, CGRU_Z or CGRU_HH, among call.recurrent; no array where there is none.
cdef cgru_array mask_of(const cgru_call *call, int gate, int size) noexcept nogil
cdef cgru_array view(cnp.ndarray source) noexcept
cdef cgru_matrix matrix(cnp.ndarray W) noexcept
# Copy rows (m, n) to the first step of an array.
cdef void put_rows(const cgru_kernels *k, cgru_matrix rows, Py_ssize_t m, Py_ssize_t n, cgru_array to) noexcept nogil
cdef Py_ssize_t samples_at_once(Py_ssize_t m, Py_ssize_t row_bytes) noexcept nogil
# How many steps a single sample has; how many of the CGRU_STEPS steps from `first` on a row has.
cdef Py_ssize_t steps_of_single(const cgru_call *call) noexcept nogil
cdef Py_ssize_t steps_of_row(const cgru_call *call, Py_ssize_t row, Py_ssize_t first) noexcept nogil


cdef inline cgru_array laid(const void *data, Py_ssize_t n, Py_ssize_t m, Py_ssize_t column) noexcept nogil:
    """(m, s, n) that lies step by step: sample by sample (s, m, n), or by columns m apart (s, n, m)."""
    return cgru_array(<void *>data, n if column == 1 else 1, n * m, column)


cdef inline Py_ssize_t whole_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """`numbers`, padded to whole cache lines: what comes after them begins at one."""
    return (numbers * itemsize + 63) // 64 * 64 // itemsize


cdef inline Py_ssize_t odd_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """`numbers`, padded to an odd number of cache lines: the same column of several rows then lies in several sets."""
    cdef Py_ssize_t lines = (numbers * itemsize + 63) // 64
    return (lines + (lines + 1) % 2) * 64 // itemsize


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
