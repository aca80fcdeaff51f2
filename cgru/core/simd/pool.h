/* A Pool's mean, largest, last, attended number or sum of each feature over the steps of a sample. Sums are in double: over
 * many steps float would lose digits. Attention weights the steps by the softmax of their scores V hidden. */

/* Writes the softmax of row i's scores over its steps to `attention`, and the sum of X with these weights to A. */
INLINE void attend_row(const cgru_pool *pool, ptrdiff_t i, T *A) {
    const ptrdiff_t m = pool->m, k = pool->scores, length = pool->length[i];
    const T *x = AT(pool->X, i, 0), *hidden = (const T *)pool->hidden + i * k, *V = pool->V;
    double *a = pool->attention + i, most = 0, sum = 0;
    for (ptrdiff_t t = 0; t < length; t++) {
        a[t * m] = 0;
        for (ptrdiff_t j = 0; j < k; j++) a[t * m] += hidden[t * m * k + j] * (V ? (double)V[j] : 1.0);
        if (t == 0 || a[t * m] > most) most = a[t * m];
    }
    for (ptrdiff_t t = 0; t < length; t++) {
        a[t * m] = exp(a[t * m] - most);
        sum += a[t * m];
    }
    for (ptrdiff_t t = 0; t < length; t++) a[t * m] /= sum;
    for (ptrdiff_t c = 0; c < pool->n; c++) {
        sum = 0;
        for (ptrdiff_t t = 0; t < length; t++) sum += a[t * m] * x[t * pool->X.step + c];
        A[c] = (T)sum;
    }
}

/* Writes pooling number `part` of each row, whose kind is `how`; `chosen` gets the step that a number comes from. */
void LOOP_OF(pool_forward)(const cgru_pool *pool, int how, ptrdiff_t part) {
    const ptrdiff_t step = pool->X.step;
    for (ptrdiff_t i = 0; i < pool->m; i++) {
        const T *x = AT(pool->X, i, 0);
        T *A = (T *)pool->out + i * pool->u + part * pool->n;
        ptrdiff_t *chosen = pool->chosen + i * pool->u + part * pool->n;
        const ptrdiff_t length = pool->length[i];
        if (how == CGRU_ATTENTION) attend_row(pool, i, A);
        for (ptrdiff_t c = 0; (how == CGRU_AVERAGE || how == CGRU_SUM) && c < pool->n; c++) {
            double sum = 0;
            for (ptrdiff_t t = 0; t < length; t++) sum += x[t * step + c];
            A[c] = (T)(sum / (how == CGRU_SUM ? 1 : length));
        }
        for (ptrdiff_t c = 0; (how == CGRU_LARGEST || how == CGRU_LAST) && c < pool->n; c++) {
            ptrdiff_t at = how == CGRU_LARGEST ? 0 : length - 1;
            for (ptrdiff_t t = 0; how == CGRU_LARGEST && t < length; t++)
                if (x[t * step + c] > x[at * step + c]) at = t;
            chosen[c] = at;
            A[c] = x[at * step + c];
        }
    }
}

/* Pools one more step x (n) of a sample, the `steps`-th: y becomes the pool of all steps so far. `sums` are those of x,
 * which attention multiplies by exp(score), then the sum of these factors, all relative to the largest score so far,
 * which stands last. The score is that of hidden (k) V. */
void LOOP_OF(pool_step)(int how, const void *x_, void *y_, double *sums, ptrdiff_t n, ptrdiff_t steps,
                        const void *hidden, const double *V, ptrdiff_t k) {
    const T *x = x_;
    T *y = y_;
    const double most = sums[n + 1];
    double score = 0, weight = 1, kept = 1;
    for (ptrdiff_t j = 0; how == CGRU_ATTENTION && j < k; j++) score += ((const T *)hidden)[j] * V[j];
    if (how == CGRU_ATTENTION) {
        if (steps == 1 || score > most) sums[n + 1] = score;
        weight = exp(score - sums[n + 1]), kept = steps > 1 ? exp(most - sums[n + 1]) : 0;
    }
    sums[n] = kept * sums[n] + weight;
    for (ptrdiff_t c = 0; c < n; c++) {
        if (how == CGRU_AVERAGE || how == CGRU_ATTENTION || how == CGRU_SUM) {
            sums[c] = kept * sums[c] + weight * x[c];
            y[c] = (T)(sums[c] / (how == CGRU_SUM ? 1 : sums[n]));
        } else if (how != CGRU_LARGEST || steps == 1 || x[c] > y[c] || x[c] != x[c]) /* NaN stays */
            y[c] = x[c];
    }
}

/* Adds the gradient of pooling number `part` to dX, all but what goes by way of the scores. */
void LOOP_OF(pool_backward)(const cgru_pool *pool, int how, ptrdiff_t part) {
    const ptrdiff_t m = pool->m, n = pool->n, step = pool->dX.step;
    for (ptrdiff_t i = 0; i < m; i++) {
        const T *d = AT(pool->dA, i, 0) + part * n;
        T *to = AT(pool->dX, i, 0);
        const ptrdiff_t length = pool->length[i], *chosen = pool->chosen + i * pool->u + part * n;
        const double *a = pool->attention ? pool->attention + i : NULL;
        for (ptrdiff_t t = 0; (how == CGRU_AVERAGE || how == CGRU_SUM) && t < length; t++)
            for (ptrdiff_t c = 0; c < n; c++) to[t * step + c] += d[c] / (T)(how == CGRU_SUM ? 1 : length);
        for (ptrdiff_t t = 0; how == CGRU_ATTENTION && t < length; t++)
            for (ptrdiff_t c = 0; c < n; c++) to[t * step + c] += (T)(a[t * m] * d[c]);
        for (ptrdiff_t c = 0; (how == CGRU_LARGEST || how == CGRU_LAST) && c < n; c++) to[chosen[c] * step + c] += d[c];
    }
}

/* Writes dL/dhidden in the place of `hidden`, and adds to dV unless NULL; `part` is the attention. With the weights a
 * and their weighted sum A, dL/dscore = a (d X - d A) at each step. */
void LOOP_OF(score_backward)(const cgru_pool *pool, ptrdiff_t part) {
    const ptrdiff_t m = pool->m, n = pool->n, k = pool->scores;
    const T *V = pool->V;
    T *dV = pool->dV;
    for (ptrdiff_t i = 0; i < m; i++) {
        const T *d = AT(pool->dA, i, 0) + part * n, *A = (const T *)pool->out + i * pool->u + part * n;
        for (ptrdiff_t t = 0; t < pool->length[i]; t++) {
            const T *x = AT(pool->X, i, t);
            T *hidden = (T *)pool->hidden + (t * m + i) * k;
            double g = 0;
            for (ptrdiff_t c = 0; c < n; c++) g += (double)d[c] * (x[c] - A[c]);
            g *= pool->attention[t * m + i];
            for (ptrdiff_t j = 0; j < k; j++) {
                if (dV) dV[j] += (T)(g * hidden[j]);
                hidden[j] = (T)(g * (V ? (double)V[j] : 1.0));
            }
        }
    }
}
