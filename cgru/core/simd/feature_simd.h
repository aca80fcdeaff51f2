/* Input projections with features in the lanes: out (rows, 3, u) = x (rows, e) [Ur Uz Uhh] + b.
 *
 * W holds the transposes of U (3, u, ep), each row padded with zeros; x is strided, in the user's array. It is chosen
 * for few units under wide inputs, where vectors of units would be mostly empty.
 *
 * A tile is up to FEATURE_ROWS rows by the three gates of one unit. Each sum runs in the lanes of a vector of its own.
 * The lanes are added at the very end, always in the same order: bits do not depend on the other sums of a tile. */

enum { FEATURE_ROWS = ROWS < LANES ? ROWS : LANES }; /* rows of a tile: LANES, or half of it */

/* Returns the sums of the lanes of FEATURE_ROWS vectors, that of x[i] in lane i. Each round interleaves one half of the
 * vectors with the other half and adds them. Where there are half as many vectors as lanes, the halves are added last.
 */
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

/* sum (3 gates, rows) += x W^T over `left` <= LANES features; x has rows `ld` apart, W the gates `gate` apart. */
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

/* out (rows, 3) = x (rows, e) times the columns of Ur, Uz and Uhh of one unit, plus bias; W is the unit's row of U^T.
 */
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

/* Tiles of every number of rows as functions. */
typedef void feature_function(const cgru_feature_product *product, const T *x, const T *W, const T *bias, T *out);

/* Defines `feature_tile` for so many rows as a function. */
#define FEATURE_TILE(rows)                                                                                             \
    static void feature_rows_##rows(const cgru_feature_product *product, const T *x, const T *W, const T *bias,        \
                                    T *out) {                                                                          \
        feature_tile(rows, product, x, W, bias, out);                                                                  \
    }
/* Makes the entry of that function in `feature_tiles`. */
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

/* out (rows, 3, u) = x (rows, e) [Ur Uz Uhh] + b. */
static void feature_product(const cgru_feature_product *product, ptrdiff_t rows) {
    const split blocks = split_of(rows, FEATURE_ROWS);
    PARTS(blocks, b, first, count) {
        for (ptrdiff_t unit = 0; unit < product->u; unit++)
            feature_tiles[count - 1](product, (const T *)product->x.rows + first * product->x.ld,
                               (const T *)product->W + unit * product->ep, (const T *)product->bias + unit,
                               (T *)product->out.data + first * product->out.sample + unit * product->out.column);
    }
}
