/* Few units under wide inputs: x Ur, x Uz and x Uhh with lanes along e, where vectors of units would be mostly empty.
 *
 * Each sum runs in the lanes of a vector of its own, which are added up at the very end, always in the same order: it does
 * not depend on what stands beside it in the tile, some rows by the three gates of a unit. */

enum { FEATURE_ROWS = ROWS < LANES ? ROWS : LANES }; /* LANES, or half of it */

/* The lanes of FEATURE_ROWS vectors added up, those of x[i] as lane i. Each round interleaves half of the vectors with the other
 * half and adds what belongs together; where there are but half as many of them as lanes, the halves are what is left. */
INLINE vec sums_of_lanes(vec *x) {
#if LANES > 1
    UNROLL(4)
    for (int n = FEATURE_ROWS / 2; n > 0; n /= 2) {
        UNROLL(8)
        for (int i = 0; i < n; i++) x[i] = SHUFFLE(x[i], x[i + n], LOW) + SHUFFLE(x[i], x[i + n], HIGH);
    }
    if (FEATURE_ROWS < LANES) return x[0] + SHUFFLE(x[0], x[0], EXCHANGED);
#endif
    return x[0];
}

/* sum (r, z and hh of some rows) += the products of up to LANES elements */
INLINE void add_features(const int rows, const T *x, ptrdiff_t ld, ptrdiff_t left, const T *W, ptrdiff_t gate,
                     vec (*sum)[FEATURE_ROWS]) {
    const vec r = load(W), z = load(W + gate), hh = load(W + 2 * gate);
    UNROLL(8)
    for (int i = 0; i < rows; i++) {
        vec part = left == LANES ? load(x + i * ld) : load_n(x + i * ld, left);
        KEEP(part);
        sum[CGRU_R][i] = fused(sum[CGRU_R][i], part, r);
        sum[CGRU_Z][i] = fused(sum[CGRU_Z][i], part, z);
        sum[CGRU_HH][i] = fused(sum[CGRU_HH][i], part, hh);
    }
}

/* out (rows, 3) = x (rows, e) times the three columns of U of one unit, W the rows of U^T, plus bias */
INLINE void feature_tile(const int rows, const cgru_feature_product *product, const T *x, const T *W, const T *bias,
                         T *out) {
    const ptrdiff_t e = product->x.k, ld = product->x.ld, gate = product->gate;
    const cgru_array *to = &product->out;
    ptrdiff_t k = 0;
    vec sum[3][FEATURE_ROWS];
    UNROLL(3)
    for (int g = 0; g < 3; g++) {
        UNROLL(8)
        for (int i = 0; i < FEATURE_ROWS; i++) sum[g][i] = ZERO;
    }
    for (; k + LANES <= e; k += LANES) add_features(rows, x + k, ld, LANES, W + k, gate, sum);
    if (k < e) add_features(rows, x + k, ld, e - k, W + k, gate, sum);
    UNROLL(3)
    for (int g = 0; g < 3; g++) {
        const vec total = sums_of_lanes(sum[g]) + bias[g * product->up];
        if (to->sample == 1) {
            store_n(out + g * to->step, total, rows);
        } else {
            ALIGNED T lanes[LANES];
            store(lanes, total);
            UNROLL(8)
            for (int i = 0; i < rows; i++) out[i * to->sample + g * to->step] = lanes[i];
        }
    }
}

typedef void feature_function(const cgru_feature_product *product, const T *x, const T *W, const T *bias, T *out);

#define FEATURE_TILE(rows)                                                                                             \
    static void feature_rows_##rows(const cgru_feature_product *product, const T *x, const T *W, const T *bias, T *out) {               \
        feature_tile(rows, product, x, W, bias, out);                                                                   \
    }
#define FEATURE_ENTRY(rows) [(rows) - 1] = feature_rows_##rows
FEATURE_TILE(1)
#if LANES > 1
FEATURE_TILE(2)
#endif
#if LANES > 2
FEATURE_TILE(3) FEATURE_TILE(4)
#endif
#if LANES > 4 && ROWS > 4
FEATURE_TILE(5) FEATURE_TILE(6) FEATURE_TILE(7) FEATURE_TILE(8)
#endif
static feature_function *const feature_tiles[FEATURE_ROWS] = {
    FEATURE_ENTRY(1),
#if LANES > 1
    FEATURE_ENTRY(2),
#endif
#if LANES > 2
    FEATURE_ENTRY(3), FEATURE_ENTRY(4),
#endif
#if LANES > 4 && ROWS > 4
    FEATURE_ENTRY(5), FEATURE_ENTRY(6), FEATURE_ENTRY(7), FEATURE_ENTRY(8),
#endif
};

/* out (rows, 3, u) = x (rows, e) [Ur Uz Uhh] + b */
static void feature_product(const cgru_feature_product *product, ptrdiff_t rows) {
    const split blocks = split_of(rows, FEATURE_ROWS);
    PARTS(blocks, b, first, count) {
        for (ptrdiff_t unit = 0; unit < product->u; unit++)
            feature_tiles[count - 1](product, (const T *)product->x.rows + first * product->x.ld,
                               (const T *)product->W + unit * product->ep, (const T *)product->bias + unit,
                               (T *)product->out.data + first * product->out.sample + unit * product->out.column);
    }
}
