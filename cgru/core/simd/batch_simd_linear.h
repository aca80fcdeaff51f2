/* A linear layer with samples in the lanes: out = x W + b, and dW += x^T d, db += d. Arrays lie as (s, n, m).
 *
 * It is chosen above a layer that has samples in the lanes, whose output then needs no transposing. */

/* out = x W (plus b, unless it is NULL) of the first `samples` samples at step t. */
static void batch_linear(const cgru_batch_linear *l, ptrdiff_t t, ptrdiff_t samples) {
    for (ptrdiff_t i = 0; i < samples; i += LANES) {
        const ptrdiff_t left = min(samples - i, LANES);
        const T *x = AT(l->X, i, t);
        T *out = AT(l->out, i, t);
        for (ptrdiff_t j = 0; j < l->n; j += 4) {
            const ptrdiff_t width = min(l->n - j, 4);
            vec sum[4];
            for (ptrdiff_t n = 0; n < 4; n++) sum[n] = ZERO + (l->b && n < width ? ((const T *)l->b)[j + n] : 0);
            for (ptrdiff_t c = 0; c < l->k; c++) {
                const vec a = load_n(x + c * l->X.column, left);
                const T *w = (const T *)l->W.data + c * l->W.row + j * l->W.column;
                for (ptrdiff_t n = 0; n < width; n++) sum[n] = add_product(sum[n], w[n * l->W.column], a);
            }
            for (ptrdiff_t n = 0; n < width; n++) store_n(out + (j + n) * l->out.column, sum[n], left);
        }
    }
}

/* dW (k, n) += x^T d and db += d, summed over samples and steps. d is `out`; `running` (s) is how many samples have a
 * step. */
static void batch_linear_gradients(const cgru_batch_linear *l, ptrdiff_t m, ptrdiff_t s, const ptrdiff_t *running,
                                   void *dW, void *db) {
    for (ptrdiff_t c = 0; c <= l->k; c++) { /* c = k stands for b: its x is 1 */
        T *to = c < l->k ? (T *)dW + c * l->n : db;
        for (ptrdiff_t j = 0; j < l->n; j += 4) {
            const ptrdiff_t width = min(l->n - j, 4);
            vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
            for (ptrdiff_t t = 0; t < s; t++) {
                const ptrdiff_t samples = running ? running[t] : m;
                for (ptrdiff_t i = 0; i < samples; i += LANES) {
                    const ptrdiff_t left = min(samples - i, LANES);
                    const vec x = c < l->k ? load_n(AT(l->X, i, t) + c * l->X.column, left) : ZERO + 1;
                    const T *d = AT(l->out, i, t) + j * l->out.column;
                    for (ptrdiff_t n = 0; n < width; n++) sum[n] += x * load_n(d + n * l->out.column, left);
                }
            }
            for (ptrdiff_t n = 0; n < width; n++) to[j + n] += sum_of_lanes(sum[n]);
        }
    }
}
