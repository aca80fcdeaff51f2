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

cdef extern from "simd/cgru.h" nogil:
    ctypedef struct cgru_activation:
        int code
        double alpha

    ctypedef struct cgru_array:
        void *data
        Py_ssize_t sample, step, column

    cdef enum:
        CGRU_PLACES
        CGRU_PLACE_hh, CGRU_PLACE_z, CGRU_PLACE_r, CGRU_PLACE_c
        CGRU_PLACE_nU, CGRU_PLACE_nV, CGRU_PLACE_iU, CGRU_PLACE_iV
        CGRU_PLACE_dA, CGRU_PLACE_dhh_, CGRU_PLACE_dz_, CGRU_PLACE_dr_, CGRU_PLACE_dc, CGRU_PLACE_dU_, CGRU_PLACE_dV_

    ctypedef struct cgru_call:
        Py_ssize_t m, s, e, u
        const Py_ssize_t *order
        const Py_ssize_t *running
        cgru_activation activate, activate_update, activate_reset
        int variant, reverse
        double zoneout
        # The arrays of CGRU_ARRAYS that Cython reads by name; `array` holds all of them in the order of that list.
        cgru_array h0, X, h, hp, hh, z, r, c, hh_, z_, r_, kept, last
        cgru_array dA, dh_, dh, dhh_, dz_, dr_, dc, dX, nU, nV, dU_, dV_, recurrent
        cgru_array decay, start, dhp
        cgru_array array[CGRU_PLACES]
        void *rows
        Py_ssize_t ld, up, ep, projections, staged, masked
        int padded, fresh, linear, anew, by_units, far, whole, loose
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
        CGRU_WHOLE, CGRU_STORE, CGRU_FINISH

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
        Py_ssize_t columns, group, column
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
        int term_count
        const cgru_state_operand *state_operands
        Py_ssize_t first, last, count, depth
        int fresh, streams, fills_U, fills_V, ascends
        void *operands
        void *rows
        void *wide

    ctypedef struct cgru_norm:
        const cgru_call *call
        const void *gains
        const void *bias

    cdef enum:
        CGRU_LOG_SOFTMAX, CGRU_SOFTMAX, CGRU_SIGMOID
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

    ctypedef struct cgru_row_sums:
        Py_ssize_t u
        int count
        const void *a[3]
        const void *V[3]
        void *sum[3]

    ctypedef struct cgru_single_sample:
        const cgru_call *call
        const void *U
        const cgru_feature_product *feature_product
        cgru_matrix V[3]
        cgru_matrix b[4]
        int fresh
        void *sums
        int is_transposed
        void (*share_sums)(void *, const cgru_row_sums *, Py_ssize_t) noexcept nogil
        void *crew

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

    ctypedef struct cgru_extent:
        Py_ssize_t m, s
        const Py_ssize_t *running

    cdef enum:
        CGRU_ADD, CGRU_MULTIPLY, CGRU_HALVE, CGRU_COPY, CGRU_ZERO
        CGRU_AVERAGE, CGRU_LARGEST, CGRU_LAST, CGRU_ATTENTION
        CGRU_FADING

    ctypedef struct cgru_pool:
        Py_ssize_t m, n, u
        const Py_ssize_t *length
        cgru_array X, dA, dX
        void *out
        Py_ssize_t *chosen
        Py_ssize_t scores
        void *hidden
        const void *V
        void *dV
        double *attention

    ctypedef struct cgru_fading:
        Py_ssize_t m, s, e
        const Py_ssize_t *length
        const Py_ssize_t *slot
        cgru_array X, anew
        Py_ssize_t units
        const double *times
        Py_ssize_t row, step
        double unit
        void *last
        void *age
        double *time
        const void *W
        const void *b
        cgru_array xm, delta, before, gx, dxm, dgx_, dX
        void *later
        void *dW
        void *db

    ctypedef struct cgru_kernels:
        const char *level
        int size
        Py_ssize_t lanes
        void (*pack)(const cgru_product *, void *, Py_ssize_t, Py_ssize_t, cgru_matrix, Py_ssize_t,
                     Py_ssize_t) noexcept nogil
        void (*product)(const cgru_product *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*product_columns)(const cgru_product *, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, int,
                                void *) noexcept nogil
        void (*load_h0)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*load_x)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*mask_state)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*decay_state)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*decay_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*store_last)(const cgru_call *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pad)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pad_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*stream_input)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*gates_backward)(const cgru_call *, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*single_step)(const cgru_single_sample *, const void *, void *, void *) noexcept nogil
        void (*single_forward)(const cgru_single_sample *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*single_backward)(const cgru_single_sample *, Py_ssize_t) noexcept nogil
        void (*row_sums_part)(const cgru_row_sums *, Py_ssize_t, int, int) noexcept nogil
        Py_ssize_t (*row_part_start)(Py_ssize_t, int, int) noexcept nogil
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
        void (*optimizer_steps[4])(const cgru_optimizer_step *, Py_ssize_t) noexcept nogil
        double (*sum_of_squares)(const void *, Py_ssize_t, double) noexcept nogil
        void (*batch_forward)(const cgru_batch *, Py_ssize_t, Py_ssize_t, int, int) noexcept nogil
        void (*batch_backward)(const cgru_batch *, Py_ssize_t, Py_ssize_t, int, int) noexcept nogil
        void (*batch_gradient_sums)(const cgru_outer_product *, int) noexcept nogil
        void (*batch_gradient_add)(const cgru_outer_product *, Py_ssize_t) noexcept nogil
        Py_ssize_t (*batch_gradient_size)(const cgru_call *, Py_ssize_t, int, Py_ssize_t) noexcept nogil
        Py_ssize_t (*batch_wide_size)(const cgru_call *) noexcept nogil
        void (*feature_product)(const cgru_feature_product *, Py_ssize_t) noexcept nogil
        void (*copy)(cgru_matrix, Py_ssize_t, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        Py_ssize_t (*switching_size)(const cgru_call *, int, int) noexcept nogil
        void (*switching_pack)(const cgru_call *, const void *const *) noexcept nogil
        void (*switching_forward)(const cgru_call *, const Py_ssize_t *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*switching_backward)(const cgru_call *, const Py_ssize_t *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*switching_add)(const cgru_call *, void *const *, Py_ssize_t) noexcept nogil
        void (*combine)(int, cgru_array, cgru_array, cgru_array, cgru_extent, Py_ssize_t) noexcept nogil
        void (*add_multiple)(void *, Py_ssize_t, double, const void *, Py_ssize_t) noexcept nogil
        void (*multiply)(void *, double, Py_ssize_t) noexcept nogil
        void (*add_restarts)(cgru_array, cgru_array, cgru_extent, void *, Py_ssize_t) noexcept nogil
        double (*largest_magnitude)(const void *, Py_ssize_t) noexcept nogil
        void (*draw_mask)(double (*)(void *) noexcept nogil, void *, double, int, void *, Py_ssize_t) noexcept nogil
        void (*penalise)(cgru_array, double, double, cgru_array, cgru_extent, Py_ssize_t) noexcept nogil
        void (*scale_clip)(cgru_array, const void *, const void *, double, double, cgru_array, cgru_extent,
                           Py_ssize_t) noexcept nogil
        void (*scale_clip_backward)(cgru_array, cgru_array, const void *, double, double, cgru_array, void *, void *,
                                    cgru_extent, Py_ssize_t) noexcept nogil
        void (*subtract_rows)(const void *, Py_ssize_t, const void *, Py_ssize_t, void *, Py_ssize_t, Py_ssize_t,
                              Py_ssize_t) noexcept nogil
        void (*softmax)(const void *, void *, Py_ssize_t, Py_ssize_t, double) noexcept nogil
        void (*normalize_rows)(cgru_array, const void *, const void *, double, cgru_array, cgru_extent,
                               Py_ssize_t) noexcept nogil
        void (*normalize_rows_backward)(cgru_array, cgru_array, const void *, double, cgru_array, void *, void *,
                                        cgru_extent, Py_ssize_t) noexcept nogil
        void (*normalize_steps)(cgru_array, const Py_ssize_t *, Py_ssize_t, Py_ssize_t, int, cgru_array) noexcept nogil
        void (*normalize_steps_backward)(cgru_array, cgru_array, const Py_ssize_t *, Py_ssize_t, Py_ssize_t, int,
                                         cgru_array) noexcept nogil
        void (*pool_forward)(const cgru_pool *, int, Py_ssize_t) noexcept nogil
        void (*pool_step)(int, const void *, void *, double *, Py_ssize_t, Py_ssize_t, const void *, const double *,
                          Py_ssize_t) noexcept nogil
        void (*pool_backward)(const cgru_pool *, int, Py_ssize_t) noexcept nogil
        void (*score_backward)(const cgru_pool *, Py_ssize_t) noexcept nogil
        void (*fade)(const cgru_fading *) noexcept nogil
        void (*fade_backward)(const cgru_fading *) noexcept nogil
        void (*fading_backward)(const void *, void *, Py_ssize_t) noexcept nogil

    enum:
        CGRU_INT8, CGRU_BFLOAT16

    ctypedef struct cgru_quantized:
        int kind
        Py_ssize_t depth, columns
        const void *words
        const float *scale
        const int *initial_sums

    ctypedef struct cgru_low_precision_layer:
        const cgru_call *call
        cgru_quantized U, V, Vhh
        const void *b
        const void *recurrent_bias
        double x_bound, bound

    ctypedef struct cgru_low_precision_kernels:
        const char *level
        Py_ssize_t lanes
        Py_ssize_t (*depth)(int, Py_ssize_t) noexcept nogil
        void (*pack)(int, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *, void *) noexcept nogil
        Py_ssize_t (*workspace_size)(const cgru_low_precision_layer *, Py_ssize_t) noexcept nogil
        void (*forward)(const cgru_low_precision_layer *, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        void (*single)(const cgru_low_precision_layer *, const void *, void *, void *) noexcept nogil
        Py_ssize_t (*linear_workspace_size)(int, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*linear)(const cgru_quantized *, const void *, const cgru_operand *, cgru_array, Py_ssize_t, double,
                       void *) noexcept nogil


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
