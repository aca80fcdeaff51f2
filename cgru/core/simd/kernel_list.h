/* The kernels of a table, given one by one to a macro KERNEL(result, name, parameters), or LOOP for those that all levels
 * share. This is the one list: cgru.h makes the fields of `cgru_kernels` of it, and body.h their values. */
#define EPILOGUE(name)                                                                                       \
    KERNEL(void, name, (const cgru_product *product, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t vector, \
                        ptrdiff_t vectors, const void *tile))

/* Packs W (k, n) into `weights` of `product`, from row k0 and vector vector0 on. Columns past n become zero. */
KERNEL(void, pack, (const cgru_product *product, void *weights, ptrdiff_t k0, ptrdiff_t vector0, cgru_matrix W,
       ptrdiff_t k, ptrdiff_t n))
/* Computes a product for `rows` rows from `row` on, and calls its epilogue; t is the step. */
KERNEL(void, product, (const cgru_product *product, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
/* Part `part` of `parts` of the columns of a product with packed weights. `tiles` holds stored sums: `vectors`
 * vectors for each row, the same for all parts. */
KERNEL(void, product_columns, (const cgru_product *product, int stage, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows, int
       part, int parts, void *tiles))

/* Elementwise work on rows, before, between and after the products of a step; see cell.h. */
KERNEL(void, load_h0, (const cgru_call *call, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, load_x, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, mask_state, (const cgru_call *call, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, decay_state, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, decay_backward, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, store_last, (const cgru_call *call, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, pad, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, pad_backward, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, stream_input, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, gates_backward, (const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))

/* One step of a single sample without caches: h (u) is updated in place; `work` has 5 up numbers. */
KERNEL(void, single_step, (const cgru_single_sample *single, const void *x, void *h, void *work))
/* Steps `first` to `stop` of a single sample, counted in the order in which they run; all steps, backward. */
KERNEL(void, single_forward, (const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop))
KERNEL(void, single_backward, (const cgru_single_sample *single, ptrdiff_t steps))
/* Part `part` of `parts` of the columns of some sums; where it begins, in numbers. */
KERNEL(void, row_sums_part, (const cgru_row_sums *sums, ptrdiff_t t, int part, int parts))
KERNEL(ptrdiff_t, row_part_start, (ptrdiff_t u, int part, int parts))
/* Packs W (k, n) for a single sample. */
KERNEL(void, pack_single, (cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to))

/* The epilogues of products. */
EPILOGUE(gates) EPILOGUE(recurrent) EPILOGUE(candidate) EPILOGUE(reset_backward) EPILOGUE(state_backward)
EPILOGUE(input_backward) EPILOGUE(store_product)

/* Collects up to CGRU_GROUP rows, each of step t; adds the outer products of the collected rows to the gradients. */
KERNEL(void, collect_rows, (cgru_outer_product *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows))
KERNEL(void, add_outer_products, (cgru_outer_product *outer))
/* Panels of u columns: parts of a term. */
KERNEL(ptrdiff_t, panel_count, (ptrdiff_t u))

/* y[i] = f(x[i]); for the tests. */
KERNEL(void, activation, (cgru_activation f, const void *x, void *y, ptrdiff_t n))

/* What follows the products of a step with layer norm; backward, what precedes them. */
KERNEL(void, norm_forward, (const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))
KERNEL(void, norm_backward, (const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows))

/* Writes A and dZ, and adds to the loss `value` and, of a classification, to `right`, the number of right rows. */
KERNEL(void, loss, (const cgru_loss *loss, ptrdiff_t row, ptrdiff_t rows, double *value, double *right))
KERNEL(void, batch_linear, (const cgru_batch_linear *linear, ptrdiff_t t, ptrdiff_t samples))
KERNEL(void, batch_linear_gradients, (const cgru_batch_linear *linear, ptrdiff_t m, ptrdiff_t s, const ptrdiff_t
       *running, void *dW, void *db))
/* The sum of (g / unit)^2. */
KERNEL(double, sum_of_squares, (const void *g, ptrdiff_t n, double unit))

/* All steps of some rows; whether these include the `first` step to run, and the `last` one. */
KERNEL(void, batch_forward, (const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last))
KERNEL(void, batch_backward, (const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last))
/* Sums the outer products of a part of the samples, lane by lane; adds the sums of all parts to the gradients. */
KERNEL(void, batch_gradient_sums, (const cgru_outer_product *part, int first))
KERNEL(void, batch_gradient_add, (const cgru_outer_product *parts, ptrdiff_t count))
KERNEL(ptrdiff_t, batch_gradient_size, (const cgru_call *call, ptrdiff_t e, int terms, ptrdiff_t samples))
KERNEL(ptrdiff_t, batch_wide_size, (const cgru_call *call))
KERNEL(void, feature_product, (const cgru_feature_product *product, ptrdiff_t rows))
/* Copies W (k, n) into rows `ld` apart. */
KERNEL(void, copy, (cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to, ptrdiff_t ld))

/* A switching GRU, p and dp its parameters and their gradients; see switching.h. */
KERNEL(ptrdiff_t, switching_size, (const cgru_call *call, int part, int back))
KERNEL(void, switching_pack, (const cgru_call *call, const void *const *p))
KERNEL(void, switching_forward, (const cgru_call *call, const ptrdiff_t *tokens, ptrdiff_t part, ptrdiff_t parts))
KERNEL(void, switching_backward, (const cgru_call *call, const ptrdiff_t *tokens, ptrdiff_t part, ptrdiff_t parts))
KERNEL(void, switching_add, (const cgru_call *call, void *const *dp, ptrdiff_t parts))

/* Loops over arrays, the same bits at every level; see elementwise.h, moments.h and pool.h. */
LOOP(void, combine, (int how, cgru_array a, cgru_array b, cgru_array to, cgru_extent extent, ptrdiff_t n))
LOOP(void, add_multiple, (void *to, ptrdiff_t column, double factor, const void *a, ptrdiff_t n))
LOOP(void, multiply, (void *a, double factor, ptrdiff_t n))
LOOP(void, add_restarts, (cgru_array decay, cgru_array dhp, cgru_extent extent, void *to, ptrdiff_t n))
LOOP(double, largest_magnitude, (const void *a, ptrdiff_t n))
LOOP(void, draw_mask, (double (*next)(void *), void *state, double rate, int keeps, void *to, ptrdiff_t n))
LOOP(void, penalise, (cgru_array A, double l1, double l2, cgru_array G, cgru_extent extent, ptrdiff_t n))
LOOP(void, scale_clip, (cgru_array X, const void *scale, const void *shift, double low, double high, cgru_array to,
       cgru_extent extent, ptrdiff_t n))
LOOP(void, scale_clip_backward, (cgru_array X, cgru_array D, const void *scale, double low, double high,
       cgru_array dX, void *dscale, void *dshift, cgru_extent extent, ptrdiff_t n))
LOOP(void, subtract_rows, (const void *x, ptrdiff_t sample, const void *before, ptrdiff_t before_sample, void *to,
       ptrdiff_t rows, ptrdiff_t n, ptrdiff_t u))
LOOP(void, normalize_rows, (cgru_array X, const void *scale, const void *shift, double epsilon, cgru_array to,
       cgru_extent extent, ptrdiff_t n))
LOOP(void, normalize_rows_backward, (cgru_array X, cgru_array D, const void *scale, double epsilon, cgru_array dX,
       void *dscale, void *dshift, cgru_extent extent, ptrdiff_t n))
LOOP(void, normalize_steps, (cgru_array X, const ptrdiff_t *length, ptrdiff_t m, ptrdiff_t n, int keep, cgru_array to))
LOOP(void, normalize_steps_backward, (cgru_array X, cgru_array D, const ptrdiff_t *length, ptrdiff_t m, ptrdiff_t n,
       int keep, cgru_array dX))
LOOP(void, pool_forward, (const cgru_pool *pool, int how, ptrdiff_t part))
LOOP(void, pool_step, (int how, const void *x, void *y, double *sums, ptrdiff_t n, ptrdiff_t steps, const void *hidden,
       const double *V, ptrdiff_t k))
LOOP(void, pool_backward, (const cgru_pool *pool, int how, ptrdiff_t part))
LOOP(void, score_backward, (const cgru_pool *pool, ptrdiff_t part))

/* The same with activations, which have the bits of their level; see softmax.h and fading.h. Without a temperature, 0,
 * softmax writes the logarithms. */
KERNEL(void, softmax, (const void *Z, void *A, ptrdiff_t m, ptrdiff_t u, double temperature))
KERNEL(void, fade, (const cgru_fading *fading))
KERNEL(void, fade_backward, (const cgru_fading *fading))
KERNEL(void, fading_backward, (const void *factors, void *gradients, ptrdiff_t n))

#undef EPILOGUE
#undef LOOP
#undef KERNEL
