/* A linear layer with samples in the lanes: out = x W + b, and dW += x^T d, db += d. Arrays lie as (s, n, m).
 *
 * It is chosen above a layer that has samples in the lanes, whose output then needs no transposing. */

/* The outputs, and the inputs, whose sums are in registers at once. */
enum { LINEAR_COLUMNS = 4, LINEAR_ROWS = 4 };

/* Runs `tile` with the constants 1 to 4 for a number of columns. */
#define WITH_COLUMNS(columns, tile, ...)    \
    switch (columns) {                      \
    case 1: tile(1, __VA_ARGS__); break;    \
    case 2: tile(2, __VA_ARGS__); break;    \
    case 3: tile(3, __VA_ARGS__); break;    \
    default: tile(4, __VA_ARGS__);          \
    }

/* `columns` outputs from column j on, a constant, of n samples: out = x W (plus b, unless it is NULL). */
INLINE void linear_tile(const int columns, const cgru_batch_linear *l, const T *x, ptrdiff_t j, ptrdiff_t n, T *out) {
    const T *w = (const T *)l->W.data + j * l->W.column;
    vec sum[LINEAR_COLUMNS];
    UNROLL(4)
    for (int i = 0; i < columns; i++) sum[i] = ZERO + (l->b ? ((const T *)l->b)[j + i] : 0);
    for (ptrdiff_t c = 0; c < l->k; c++, x += l->X.column, w += l->W.row) {
        const vec a = load_n(x, n);
        UNROLL(4)
        for (int i = 0; i < columns; i++) sum[i] = add_product(sum[i], w[i * l->W.column], a);
    }
    UNROLL(4)
    for (int i = 0; i < columns; i++) store_n(out + (j + i) * l->out.column, sum[i], n);
}

/* out = x W (plus b, unless it is NULL) of the first `samples` samples at step t. */
static void batch_linear(const cgru_batch_linear *l, ptrdiff_t t, ptrdiff_t samples) {
    for (ptrdiff_t i = 0; i < samples; i += LANES) {
        const ptrdiff_t n = min(samples - i, LANES);
        const T *x = AT(l->X, i, t);
        T *out = AT(l->out, i, t);
        for (ptrdiff_t j = 0; j < l->n; j += LINEAR_COLUMNS)
            WITH_COLUMNS(l->n - j, linear_tile, l, x, j, n, out)
    }
}

/* dW += x^T d for LINEAR_ROWS inputs from c on, and `columns` outputs from j on, a constant; the input behind the last
 * one is 1, that of b. */
INLINE void linear_gradients_tile(const int columns, const cgru_batch_linear *l, ptrdiff_t m, ptrdiff_t s,
                                  const ptrdiff_t *running, ptrdiff_t c, ptrdiff_t j, T *dW, T *db) {
    vec sum[LINEAR_ROWS][LINEAR_COLUMNS] = {{ZERO}};
    for (ptrdiff_t t = 0; t < s; t++) {
        const ptrdiff_t samples = running ? running[t] : m;
        for (ptrdiff_t i = 0; i < samples; i += LANES) {
            const ptrdiff_t n = min(samples - i, LANES);
            const T *x = AT(l->X, i, t) + c * l->X.column, *d = AT(l->out, i, t) + j * l->out.column;
            UNROLL(4)
            for (int row = 0; row < LINEAR_ROWS; row++) {
                const vec a = c + row < l->k ? load_n(x + row * l->X.column, n) : ZERO + 1;
                UNROLL(4)
                for (int k = 0; k < columns; k++) sum[row][k] = fused(sum[row][k], a, load_n(d + k * l->out.column, n));
            }
        }
    }
    for (int row = 0; row < LINEAR_ROWS && c + row <= l->k; row++)
        for (int k = 0; k < columns; k++)
            (c + row < l->k ? dW + (c + row) * l->n : db)[j + k] += sum_of_lanes(sum[row][k]);
}

/* dW (k, n) += x^T d and db += d, summed over samples and steps. d is `out`; `running` (s) is how many samples have a
 * step. */
static void batch_linear_gradients(const cgru_batch_linear *l, ptrdiff_t m, ptrdiff_t s, const ptrdiff_t *running,
                                   void *dW, void *db) {
    for (ptrdiff_t c = 0; c <= l->k; c += LINEAR_ROWS)
        for (ptrdiff_t j = 0; j < l->n; j += LINEAR_COLUMNS)
            WITH_COLUMNS(l->n - j, linear_gradients_tile, l, m, s, running, c, j, dW, db)
}
