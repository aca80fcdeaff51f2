/* Loops over the numbers of arrays: sums, products, copies, bounds, masks, penalties. They are plain C: a compiler makes
 * vectors of them, and memory limits them. Arrays may have samples in the lanes, where rows and columns change places. */

/* Returns how many rows have step t. */
INLINE ptrdiff_t rows_at(cgru_extent extent, ptrdiff_t t) { return extent.running ? extent.running[t] : extent.m; }

/* Returns a and b combined as `how` says. */
INLINE T combined(int how, T a, T b) {
    switch (how) {
    case CGRU_ADD: return a + b;
    case CGRU_MULTIPLY: return a * b;
    case CGRU_HALVE: return a / 2;
    case CGRU_COPY: return a;
    default: return 0;
    }
}

/* Combines n numbers of two rows whose columns have these strides. */
INLINE void combine_row(const int how, const T *a, ptrdiff_t a_column, const T *b, ptrdiff_t b_column, T *to,
                        ptrdiff_t column, ptrdiff_t n) {
    if (a_column == 1 && b_column == 1 && column == 1)
        for (ptrdiff_t c = 0; c < n; c++) to[c] = combined(how, a[c], b[c]);
    else
        for (ptrdiff_t c = 0; c < n; c++) to[c * column] = combined(how, a[c * a_column], b[c * b_column]);
}

/* Writes a + b, a * b, a / 2, a or 0 to an array, as `how` says, for n numbers of each row at each step. */
void LOOP_OF(combine)(int how, cgru_array a, cgru_array b, cgru_array to, cgru_extent extent, ptrdiff_t n) {
    const int lanes = to.column != 1;
    const ptrdiff_t next_a = lanes ? a.column : a.sample, next_b = lanes ? b.column : b.sample;
    const ptrdiff_t next = lanes ? to.column : to.sample;
    const ptrdiff_t a_column = lanes ? a.sample : a.column, b_column = lanes ? b.sample : b.column;
    const ptrdiff_t column = lanes ? to.sample : to.column;
    for (ptrdiff_t t = 0; t < extent.s; t++) {
        const ptrdiff_t rows = lanes ? n : rows_at(extent, t), columns = lanes ? rows_at(extent, t) : n;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const T *x = (T *)a.data + i * next_a + t * a.step, *y = (T *)b.data + i * next_b + t * b.step;
            T *z = (T *)to.data + i * next + t * to.step;
            switch (how) {
            case CGRU_ADD: combine_row(CGRU_ADD, x, a_column, y, b_column, z, column, columns); break;
            case CGRU_MULTIPLY: combine_row(CGRU_MULTIPLY, x, a_column, y, b_column, z, column, columns); break;
            case CGRU_HALVE: combine_row(CGRU_HALVE, x, a_column, x, a_column, z, column, columns); break;
            case CGRU_COPY: combine_row(CGRU_COPY, x, a_column, x, a_column, z, column, columns); break;
            default: combine_row(CGRU_ZERO, z, column, z, column, z, column, columns);
            }
        }
    }
}

/* to += factor * a for n numbers, those of `to` `column` apart. */
void LOOP_OF(add_multiple)(void *to, ptrdiff_t column, double factor, const void *a, ptrdiff_t n) {
    const T by = (T)factor, *x = a;
    T *sum = to;
    if (column == 1)
        for (ptrdiff_t j = 0; j < n; j++) sum[j] += by * x[j];
    else
        for (ptrdiff_t j = 0; j < n; j++) sum[j * column] += by * x[j];
}

/* a *= factor for n numbers. */
void LOOP_OF(multiply)(void *a, double factor, ptrdiff_t n) {
    const T by = (T)factor;
    T *x = a;
    for (ptrdiff_t j = 0; j < n; j++) x[j] *= by;
}

/* Adds the part 1 - decay of dL/dhp to n numbers, over all rows and steps: the gradient of the state in place of hp. */
void LOOP_OF(add_restarts)(cgru_array decay, cgru_array dhp, cgru_extent extent, void *to, ptrdiff_t n) {
    T *sum = to;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T share = 1 - *AT(decay, i, t), *x = AT(dhp, i, t);
            if (share == 0) continue;
            for (ptrdiff_t c = 0; c < n; c++) sum[c] += share * x[c * dhp.column];
        }
}

/* Returns the largest magnitude of n numbers; NaN where one is NaN. */
double LOOP_OF(largest_magnitude)(const void *a, ptrdiff_t n) {
    const T *x = a;
    T most = 0;
    for (ptrdiff_t j = 0; j < n; j++)
        if (!(x[j] <= most && -x[j] <= most)) { /* true for NaN, too */
            most = x[j] < 0 ? -x[j] : x[j];
            if (most != most) break;
        }
    return most;
}

/* to = min(max(x * scale + shift, low), high) for rows of n numbers; scale NULL: of x itself. NaN stays. */
void LOOP_OF(scale_clip)(cgru_array X, const void *scale, const void *shift, double low, double high, cgru_array to,
                       cgru_extent extent, ptrdiff_t n) {
    const T least = (T)low, most = (T)high, *factor = scale, *summand = shift;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T *x = AT(X, i, t);
            T *y = AT(to, i, t);
            for (ptrdiff_t c = 0; c < n; c++) {
                const T z = factor ? x[c] * factor[c] + summand[c] : x[c];
                y[c] = z < least ? least : z > most ? most : z;
            }
        }
}

/* dx = d * scale, with the gradients of scale and shift added to dscale and dshift; without a scale d where x is within
 * the bounds, else 0. dscale NULL: no gradients; dX without data: these alone. */
void LOOP_OF(scale_clip_backward)(cgru_array X, cgru_array D, const void *scale, double low, double high, cgru_array dX,
                                void *dscale, void *dshift, cgru_extent extent, ptrdiff_t n) {
    const T least = (T)low, most = (T)high, *factor = scale;
    T *of_scale = dscale, *of_shift = dshift;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T *x = AT(X, i, t), *d = AT(D, i, t);
            T *dx = dX.data ? AT(dX, i, t) : NULL;
            for (ptrdiff_t c = 0; dx && c < n; c++)
                dx[c] = d[c] * (factor ? factor[c] : x[c] >= least && x[c] <= most ? (T)1 : (T)0);
            for (ptrdiff_t c = 0; of_scale && c < n; c++) {
                of_scale[c] += d[c] * x[c];
                of_shift[c] += d[c];
            }
        }
}

/* to (rows, u) = x - before, with x itself in front where u is 2 n. before NULL: the differences are 0. Rows are
 * `sample` and `before_sample` apart. */
void LOOP_OF(subtract_rows)(const void *x, ptrdiff_t sample, const void *before, ptrdiff_t before_sample, void *to,
                          ptrdiff_t rows, ptrdiff_t n, ptrdiff_t u) {
    for (ptrdiff_t i = 0; i < rows; i++) {
        const T *a = (const T *)x + i * sample, *b = before ? (const T *)before + i * before_sample : NULL;
        T *y = (T *)to + i * u;
        if (u > n) memcpy(y, a, n * SIZE);
        for (ptrdiff_t c = 0; c < n; c++) y[u - n + c] = before ? a[c] - b[c] : 0;
    }
}

/* Draws n numbers of a mask from the stream of uniform numbers `next(state)`: dropout's, 0 with probability `rate` and
 * else 1 / (1 - rate), or with `keeps` zoneout's, 1 with probability `rate` and else 0. */
void LOOP_OF(draw_mask)(double (*next)(void *), void *state, double rate, int keeps, void *to, ptrdiff_t n) {
    const T below = keeps ? 1 : 0, above = keeps ? 0 : 1 / (T)(1 - rate);
    T *mask = to;
    for (ptrdiff_t j = 0; j < n; j++) mask[j] = next(state) < rate ? below : above;
}

/* Adds the gradient of l1 |a| + l2 a^2 to G, for n numbers of each row at each step. */
void LOOP_OF(penalise)(cgru_array A, double l1, double l2, cgru_array G, cgru_extent extent, ptrdiff_t n) {
    const double slope = (T)l1, twice = 2.0 * (T)l2;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T *a = AT(A, i, t);
            T *g = AT(G, i, t);
            for (ptrdiff_t c = 0; c < n; c++) {
                const T x = a[c * A.column];
                g[c * G.column] += (T)(twice * x + (x > 0 ? slope : x < 0 ? -slope : 0));
            }
        }
}
