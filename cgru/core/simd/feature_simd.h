/* Few units under wide inputs: x Ur, x Uz and x Uhh with lanes along e, where vectors of units would be mostly empty.
 *
 * Each sum runs in the lanes of a vector of its own, which are added up at the very end, always in the same order: it does
 * not depend on what stands beside it in the tile, some rows by the three gates of a unit. */

enum { DOTS = ROWS < LANES ? ROWS : LANES }; /* LANES, or half of it */

/* The lanes of DOTS vectors added up, those of x[i] as lane i. Each round interleaves half of the vectors with the other
 * half and adds what belongs together; where there are but half as many of them as lanes, the halves are what is left. */
INLINE vec totals(vec *x) {
#if LANES > 1
    UNROLL(4)
    for (int n = DOTS / 2; n > 0; n /= 2) {
        UNROLL(8)
        for (int i = 0; i < n; i++) x[i] = SHUFFLE(x[i], x[i + n], LOW) + SHUFFLE(x[i], x[i + n], HIGH);
    }
    if (DOTS < LANES) return x[0] + SHUFFLE(x[0], x[0], EXCHANGED);
#endif
    return x[0];
}

/* sum (r, z and hh of some rows) += the products of up to LANES elements */
INLINE void dots_add(const int rows, const T *x, ptrdiff_t ld, ptrdiff_t left, const T *W, ptrdiff_t gate,
                     vec (*sum)[DOTS]) {
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
INLINE void dots_tile(const int rows, const cgru_dots *dots, const T *x, const T *W, const T *bias, T *out) {
    const ptrdiff_t e = dots->x.k, ld = dots->x.ld, gate = dots->gate;
    const cgru_array *to = &dots->out;
    ptrdiff_t k = 0;
    vec sum[3][DOTS];
    UNROLL(3)
    for (int g = 0; g < 3; g++) {
        UNROLL(8)
        for (int i = 0; i < DOTS; i++) sum[g][i] = ZERO;
    }
    for (; k + LANES <= e; k += LANES) dots_add(rows, x + k, ld, LANES, W + k, gate, sum);
    if (k < e) dots_add(rows, x + k, ld, e - k, W + k, gate, sum);
    UNROLL(3)
    for (int g = 0; g < 3; g++) {
        const vec total = totals(sum[g]) + bias[g * dots->up];
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

typedef void dots_function(const cgru_dots *dots, const T *x, const T *W, const T *bias, T *out);

#define DOTS_OF(rows)                                                                                             \
    static void dots_##rows(const cgru_dots *dots, const T *x, const T *W, const T *bias, T *out) {               \
        dots_tile(rows, dots, x, W, bias, out);                                                                   \
    }
#define DOTS_TABLE(rows) [(rows) - 1] = dots_##rows
DOTS_OF(1)
#if LANES > 1
DOTS_OF(2)
#endif
#if LANES > 2
DOTS_OF(3) DOTS_OF(4)
#endif
#if LANES > 4 && ROWS > 4
DOTS_OF(5) DOTS_OF(6) DOTS_OF(7) DOTS_OF(8)
#endif
static dots_function *const of_dots[DOTS] = {
    DOTS_TABLE(1),
#if LANES > 1
    DOTS_TABLE(2),
#endif
#if LANES > 2
    DOTS_TABLE(3), DOTS_TABLE(4),
#endif
#if LANES > 4 && ROWS > 4
    DOTS_TABLE(5), DOTS_TABLE(6), DOTS_TABLE(7), DOTS_TABLE(8),
#endif
};

/* out (rows, 3, u) = x (rows, e) [Ur Uz Uhh] + b */
static void dots(const cgru_dots *dots, ptrdiff_t rows) {
    const split blocks = split_of(rows, DOTS);
    PARTS(blocks, b, first, count) {
        for (ptrdiff_t unit = 0; unit < dots->u; unit++)
            of_dots[count - 1](dots, (const T *)dots->x.rows + first * dots->x.ld,
                               (const T *)dots->W + unit * dots->ep, (const T *)dots->bias + unit,
                               (T *)dots->out.data + first * dots->out.sample + unit * dots->out.column);
    }
}
