/* The layer with samples in the lanes: forward, backward and weight gradients, by the equations of equations.h:
 *
 *     [r_ | z_]^T = [b | V | U] [1 | h | x]^T        hh_^T = [b | U | Vhh] [1 | x | r * h]^T
 *
 * Weights hold a row for each output. The workspace of a block of samples is their lengths and then panels of up to
 * three vectors of samples. In a panel each number of a row is as many vectors, one after another:
 *
 *     forward 1 | h | x | 1 | x | r * h | z | hh_ | inputs        backward dh | dhh_ | dz_ | dr_ | dc | sums
 *
 * The micro-kernel of gemm_microkernel.h serves with roles exchanged: rows of weights are its operand, the samples of a
 * panel are its packed weights. Sums run in the same order as with units in the lanes. Where x is wide, feature_simd.h
 * computes x U + b: the rows then hold neither x nor 1, and `inputs` holds the projections r | z | hh.
 *
 * It is chosen for few units and enough samples, where vectors of units would be mostly empty. */

/* A panel: samples i to i + n, `vectors` vectors of them. */
typedef struct {
    const cgru_call *call;
    const cgru_batch *w;
    ptrdiff_t i, n, vectors;
    T *rows;          /* its workspace */
    const T *lengths; /* of its samples; NULL: all have all steps */
} panel;

/* Returns the panel of `vectors` vectors of samples, from vector `first` on, of a block of `rows` samples at `row`. */
INLINE panel panel_at(const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t vectors) {
    const cgru_call *call = w->call;
    T *block = ROW(call, row);
    return (panel){call, w, row + first * LANES, min(rows - first * LANES, vectors * LANES), vectors,
                   block + (VECTORS_OF(rows) + first * (call->ld - 1)) * LANES,
                   call->running ? block + first * LANES : NULL};
}

/* Loops over the panels p of the block of `rows` samples at `row`. */
#define EACH_PANEL(w, row, rows, p)                                                    \
    const split panels_ = panels_for(VECTORS_OF(rows));                                \
    PARTS(panels_, part_, first_, vectors_)                                            \
    for (panel p = panel_at(w, row, rows, first_, vectors_), *once_ = &p; once_; once_ = NULL)

/* Loops over the columns `unit` < n of a panel, and in each over the vectors v of its samples. */
#define EACH_UNIT(p, n, unit, v)                      \
    for (ptrdiff_t unit = 0; unit < (n); unit++)      \
        for (ptrdiff_t v = 0; v < (p)->vectors; v++)

/* Returns the place of vector v of a panel's samples in column `unit` at step t. */
INLINE place place_in(const panel *p, ptrdiff_t t, ptrdiff_t unit, ptrdiff_t v) {
    return (place){p->i + v * LANES, t, (unit * p->vectors + v) * LANES, min(p->n - v * LANES, LANES), 1, unit,
                   p->lengths ? p->lengths + v * LANES : NULL};
}

/* Loops over the vectors of a panel's samples, and in each over the units, with their place and factor g at step t. */
#define EACH_FACTOR(p, t, at, g)                                                                      \
    for (ptrdiff_t v_ = 0; v_ < (p)->vectors; v_++)                                                   \
        for (place at = place_in(p, t, 0, v_), *of_ = &at; of_; of_ = NULL)                           \
            for (vec g = load_spread((p)->call->decay, at); at.unit < (p)->call->u;                   \
                 at.unit++, at.c += (p)->vectors * LANES,                                             \
                 g = (p)->call->decay.column && at.unit < (p)->call->u ? load_spread((p)->call->decay, at) : g)

/* lengths[i] = how many steps of this call sample row0 + i has, for `rows` samples; nothing if all have all steps. */
static void batch_lengths(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows, T *lengths) {
    ptrdiff_t length = call->s;
    if (!call->running) return;
    for (ptrdiff_t row = 0; row < call->m; row++) { /* rows are sorted, the longest first */
        const ptrdiff_t i = SAMPLE(call, row) - row0;
        while (length > 0 && call->running[length - 1] <= row) length--;
        if (0 <= i && i < rows) lengths[i] = (T)length;
    }
    for (ptrdiff_t i = rows; i < VECTORS_OF(rows) * LANES; i++) lengths[i] = 0;
}

/* out (n, samples) = W (n, K), row-major, times `samples` (K, samples), the samples those of a panel. */
INLINE void batch_product(const panel *p, const T *W, ptrdiff_t K, ptrdiff_t n, const T *samples, T *out) {
    const split blocks = split_of(n, ROWS);
    PARTS(blocks, b, first, count) {
        const cgru_operand units = {W + first * K, K, K};
        many_tiles[count - 1][p->vectors - 1](&units, 1, samples, NULL, out + first * p->vectors * LANES);
    }
}

/* Loads n columns of an array at a place, a vector each, to vectors `ld` apart; transposes where columns are
 * contiguous. */
static void load_columns(cgru_array array, place at, ptrdiff_t n, T *to, ptrdiff_t ld) {
    const T *from = AT(array, at.i, at.t);
    for (ptrdiff_t c = 0; array.sample == 1 && c < n; c++) store(to + c * ld, load_n(from + c * array.column, at.n));
    if (array.sample == 1) return;
    if (array.column != 1 || n <= LANES / 4) {
        for (at.unit = 0; at.unit < n; at.unit++) store(to + at.unit * ld, load_at(array, at));
        return;
    }
    for (ptrdiff_t c = 0; c < n; c += LANES) {
        const ptrdiff_t left = min(n - c, LANES);
        vec x[LANES];
        UNROLL(16)
        for (int i = 0; i < LANES; i++) x[i] = i < at.n ? load_n(AT(array, at.i + i, at.t) + c, left) : ZERO;
        transpose(x);
        UNROLL(16)
        for (int i = 0; i < LANES; i++)
            if (i < left) store(to + (c + i) * ld, x[i]);
    }
}

/* h (u, samples) = h0, or zero, of a panel's samples. */
static void batch_load_h0(const panel *p, T *h) {
    EACH_UNIT(p, p->call->u, unit, v) {
        const place at = place_in(p, 0, unit, v);
        store(h + at.c, p->call->h0.data ? load_at(p->call->h0, at) : ZERO);
    }
}

/* last = h (u, samples) of a panel's samples. */
static void batch_store_last(const panel *p, const T *h) {
    EACH_UNIT(p, p->call->u, unit, v) {
        const place at = place_in(p, 0, unit, v);
        store_at(p->call->last, at, load(h + at.c));
    }
}

/* inputs (r | z | hh, each (u, samples)) = x U + b of step t, by feature_simd.h. */
INLINE void batch_project_inputs(const panel *p, ptrdiff_t t, T *inputs) {
    const cgru_call *call = p->call;
    const ptrdiff_t one = p->vectors * LANES;
    cgru_feature_product each = p->w->feature_product;
    each.x = (cgru_operand){AT(call->X, p->i, t), call->X.sample, call->e};
    each.out = (cgru_array){inputs, 1, call->u * one, one};
    feature_product(&each, p->n);
}

/* Returns the vector at `sums`, plus that at `inputs`, the projections of the inputs, if these are `wide`. */
INLINE vec with_input(const int wide, const T *sums, const T *inputs) {
    return wide ? load(sums) + load(inputs) : load(sums);
}

/* Runs step t forward: h of a panel becomes the new state, caches are written. `plain`: neither reset-after nor
 * zoneout; `wide`: input projections by feature_simd.h. Both are constants. */
INLINE void batch_step(const int plain, const int wide, const panel *p, ptrdiff_t t) {
    const cgru_call *call = p->call;
    const T *recurrent = plain ? NULL : p->w->recurrent;
    const ptrdiff_t u = call->u, one = p->vectors * LANES, e = wide ? 0 : call->e, b = wide ? 0 : 1;
    T *bias = p->rows, *h = bias + one, *x = h + u * one, *again = x + e * one, *x_again = again + one;
    T *rh = x_again + e * one, *z = rh + u * one, *hh_ = z + u * one;
    T *of_r = hh_ + u * one, *of_z = of_r + u * one, *of_hh = of_z + u * one;
    if (call->decay.data) {
        EACH_FACTOR(p, t, at, g) store(h + at.c, entering_state(call, at, g, load(h + at.c)));
    }
    if (wide) batch_project_inputs(p, t, of_r);
    for (ptrdiff_t v = 0; v < one; v += LANES) store(bias + v, ZERO + 1), store(again + v, ZERO + 1);
    for (ptrdiff_t v = 0; v < p->vectors && !wide; v++)
        load_columns(call->X, place_in(p, t, 0, v), e, x + v * LANES, one);
    for (ptrdiff_t v = 0; v < e * one; v += LANES) store(x_again + v, load(x + v)); /* x is short here */
    batch_product(p, p->w->gates, b + u + e, 2 * u, wide ? h : bias, rh);
    EACH_UNIT(p, u, unit, v) {
        const place at = place_in(p, t, unit, v);
        const vec r_ = with_input(wide, rh + at.c, of_r + at.c), z_ = with_input(wide, z + at.c, of_z + at.c);
        store(rh + at.c, reset_gate(call, at, r_, load(h + at.c)));
        store(z + at.c, update_gate(call, at, z_));
    }
    if (recurrent) {
        batch_product(p, recurrent, 1 + u, u, bias, hh_);
        EACH_UNIT(p, u, unit, v) {
            const place at = place_in(p, t, unit, v);
            store(rh + at.c, reset_product(call, at, load(rh + at.c), load(hh_ + at.c)));
        }
    }
    batch_product(p, p->w->candidate, b + e + (recurrent ? 0 : u), u, wide ? rh : again, hh_);
    EACH_UNIT(p, u, unit, v) {
        const place at = place_in(p, t, unit, v);
        const vec own = with_input(wide, hh_ + at.c, of_hh + at.c);
        const vec sum = plain ? own : preactivation(call, own, rh + at.c);
        store(h + at.c, new_state(plain, call, at, sum, load(z + at.c), load(h + at.c)));
    }
}

/* Runs `batch_step` with `plain` and `wide` as constants. */
static void batch_step_variant(const panel *p, ptrdiff_t t) {
    const int plain = is_plain(p->call), wide = p->w->feature_product.W != NULL;
    if (plain && wide)
        batch_step(1, 1, p, t);
    else if (plain)
        batch_step(1, 0, p, t);
    else if (wide)
        batch_step(0, 1, p, t);
    else
        batch_step(0, 0, p, t);
}

/* Runs all steps forward of a block of samples. `first`: loads h0 before; `last`: stores the last state after. */
static void batch_forward(const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last) {
    const cgru_call *call = w->call;
    batch_lengths(call, row, rows, ROW(call, row));
    if (first) {
        EACH_PANEL(w, row, rows, p) {
            const ptrdiff_t one = p.vectors * LANES;
            batch_load_h0(&p, p.rows + one);
            if (w->feature_product.W) /* so that lanes without a sample are finite */
                memset(p.rows + (2 + 4 * call->u) * one, 0, 3 * call->u * one * sizeof(T));
        }
    }
    for (ptrdiff_t n = 0; n < call->s; n++) {
        const ptrdiff_t t = call->reverse ? call->s - 1 - n : n;
        EACH_PANEL(w, row, rows, p) batch_step_variant(&p, t);
    }
    if (last && call->last.data) {
        EACH_PANEL(w, row, rows, p) batch_store_last(&p, p.rows + p.vectors * LANES);
    }
}

/* Writes dX of step t by the micro-kernel, for wide inputs, from dhh_ | dz_ | dr_ of a panel, d, transposed into `rows`;
 * behind them it is staged where it goes past the caches. */
static void batch_input_gradients(const panel *p, ptrdiff_t t, const T *d, T *rows) {
    const ptrdiff_t n = 3 * p->call->u;
    cgru_product wide = *p->w->wide;
    for (ptrdiff_t i = 0; i < p->n; i++)
        for (ptrdiff_t c = 0; c < n; c++) rows[i * n + c] = d[c * p->vectors * LANES + i];
    const ptrdiff_t e = p->call->e;
    T *stage = rows + p->n * n;
    wide.operand[0].rows = rows - p->i * n;
    wide.out = p->call->dX;
    if (!p->call->staged) {
        packed_product(&wide, t, p->i, p->n);
        return;
    }
    for (ptrdiff_t i = p->i; i < p->i + p->n; i += FEATURE_ROWS) {
        const ptrdiff_t count = min(p->i + p->n - i, FEATURE_ROWS);
        wide.out = (cgru_array){stage - i * e, e, 0, 1};
        packed_product(&wide, t, i, count);
        for (ptrdiff_t j = 0; j < count; j++) stream_row(AT(p->call->dX, i + j, t), stage + j * e, e);
    }
    finish_streams();
}

/* Runs step t backward: dh of a panel becomes the gradient for the step before; dX and the caches are written. */
INLINE void batch_step_backward(const int plain, const panel *p, ptrdiff_t t) {
    const cgru_call *call = p->call;
    const int resets = plain || p->w->reset;
    const ptrdiff_t u = call->u, part = u * p->vectors * LANES;
    T *dh = p->rows, *dhh_ = dh + part, *dz_ = dhh_ + part, *dr_ = dz_ + part, *dc = dr_ + part, *sum = dc + part;
    EACH_UNIT(p, u, unit, v) gate_gradients(plain, call, place_in(p, t, unit, v), dh, dhh_, dz_, dr_, dc);
    if (resets) {
        batch_product(p, p->w->reset, u, u, dhh_, sum);
        EACH_UNIT(p, u, unit, v) {
            const place at = place_in(p, t, unit, v);
            reset_gradient(call, at, load(sum + at.c), dh, dr_);
        }
    }
    batch_product(p, p->w->state, resets ? 2 * u : 3 * u, u, dz_, sum);
    if (call->decay.data) {
        EACH_FACTOR(p, t, at, g) leave_state(call, at, g, load(sum + at.c) + load(dh + at.c), dh);
    } else {
        EACH_UNIT(p, u, unit, v) {
            const place at = place_in(p, t, unit, v);
            state_gradient(call, at, load(sum + at.c), dh);
        }
    }
    if (!call->dX.data) return;
    if (p->w->wide) {
        batch_input_gradients(p, t, dhh_, sum);
        return;
    }
    batch_product(p, p->w->input, 3 * u, call->e, dhh_, sum);
    EACH_UNIT(p, call->e, c, v) {
        const place at = place_in(p, t, c, v);
        store_at(call->dX, at, load(sum + at.c));
    }
}

/* Runs all steps backward of a block of samples. `first`: loads dL/d(last state) before; `last`: stores dL/dh0. */
static void batch_backward(const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last) {
    const cgru_call *call = w->call;
    const int plain = is_plain(call);
    batch_lengths(call, row, rows, ROW(call, row));
    if (first) {
        EACH_PANEL(w, row, rows, p) batch_load_h0(&p, p.rows);
    }
    for (ptrdiff_t n = 0; n < call->s; n++) {
        const ptrdiff_t t = call->reverse ? n : call->s - 1 - n;
        EACH_PANEL(w, row, rows, p) {
            if (plain)
                batch_step_backward(1, &p, t);
            else
                batch_step_backward(0, &p, t);
        }
    }
    if (last && call->last.data) {
        EACH_PANEL(w, row, rows, p) batch_store_last(&p, p.rows);
    }
}

/* to (k, n), rows `ld` apart, = W (k, n); transposes in registers where columns are contiguous. */
static void copy(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to_, ptrdiff_t ld) {
    const T *from = W.data;
    T *to = to_;
    if (W.column == 1) {
        for (ptrdiff_t i = 0; i < k; i++) memcpy(to + i * ld, from + i * W.row, n * sizeof(T));
    } else if (W.row == 1) {
        for (ptrdiff_t i = 0; i < k; i += LANES) {
            const ptrdiff_t rows = min(k - i, LANES);
            for (ptrdiff_t j = 0; j < n; j += LANES) {
                const ptrdiff_t columns = min(n - j, LANES);
                vec x[LANES];
                UNROLL(16)
                for (int c = 0; c < LANES; c++) x[c] = c < columns ? load_n(from + i + (j + c) * W.column, rows) : ZERO;
                transpose(x);
                UNROLL(16)
                for (int r = 0; r < LANES; r++)
                    if (r < rows) store_n(to + (i + r) * ld + j, x[r], columns);
            }
        }
    } else {
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j < n; j++) to[i * ld + j] = from[i * W.row + j * W.column];
    }
}

/* --- weight gradients: dW += sum over samples and steps of operand^T d, lane by lane; lanes are added at the very end
 * ---
 *
 * A pair is a step and LANES samples. Of a pair the vectors hp | 1 | x | r * hp | d of each term are collected. The
 * operands of a term are the vectors `from` to `to`; their outer products with its d are summed in vectors, until
 * `batch_gradient_add` adds the lanes. Under wide inputs pairs have no x: the lanes of dU^T += d^T X are features, and X
 * is read where it is. */

/* Samples whose rows of wide inputs stay in a cache while each part of them is multiplied. */
enum { SAMPLES_AT_ONCE = 128 };
/* Numbers of a cache line. */
enum { LINE = 64 / SIZE };

/* The size of a tile of outer products; bytes of pairs that are multiplied together, so that they stay in an L1 cache.
 */
enum { OUTER_ROWS = 4, OUTER_COLUMNS = ROWS / 2, PAIRS_IN_L1 = 1 << 15 };

typedef struct { ptrdiff_t from, to; } stretch;

/* Returns how many features the pairs have: none where dU is summed with features in the lanes. */
INLINE ptrdiff_t pair_features(const cgru_outer_product *part) { return part->wide ? 0 : part->call->e; }

/* Returns which vectors of a pair, hp | 1 | x | r * hp, the d of a term is multiplied with. */
INLINE stretch operands_of(const cgru_outer_product *part, const cgru_term *term) {
    const ptrdiff_t u = part->call->u, one = u + 1, x = one + pair_features(part);
    return (stretch){term->V && !term->state_operand ? 0 : u, term->state_operand ? x + u : term->U ? x : one};
}

/* Returns how many vectors the sums of all terms take. */
INLINE ptrdiff_t batch_sum_vectors(ptrdiff_t e, ptrdiff_t u, int terms) { return u * (3 * (e + u) + terms); }
/* Returns how many vectors a pair takes. */
INLINE ptrdiff_t batch_pair_vectors(ptrdiff_t e, ptrdiff_t u, int terms) { return 1 + e + (2 + terms) * u; }
/* Returns how many pairs are multiplied together: tiles go along the u vectors of a term's d, which stay in L1. */
INLINE ptrdiff_t batch_pairs_at_once(const cgru_call *call) {
    const ptrdiff_t pairs = PAIRS_IN_L1 / ((call->u + OUTER_ROWS) * LANES * (ptrdiff_t)sizeof(T));
    return pairs < 4 ? 4 : pairs;
}

/* Returns how many number of samples of a share, the last of which may have less than whole vectors. */
INLINE ptrdiff_t samples_of(const cgru_outer_product *part) { return min(part->last, part->call->m) - part->first; }

/* Returns the numbers that the sums for dU and the d of as many samples take, where dU has features in the lanes. */
static ptrdiff_t batch_wide_size(const cgru_call *call) { return 3 * call->u * (call->ep + SAMPLES_AT_ONCE); }

/* Returns the numbers of workspace `batch_gradient_sums` needs for so many samples, with e features in its pairs. */
static ptrdiff_t batch_gradient_size(const cgru_call *call, ptrdiff_t e, int terms, ptrdiff_t samples) {
    const ptrdiff_t width = batch_pair_vectors(e, call->u, terms);
    return (VECTORS_OF(samples) + batch_sum_vectors(e, call->u, terms) + batch_pairs_at_once(call) * width) * LANES;
}

/* to (rows, columns), rows `ld` apart, += a (rows) d (columns) over `count` pairs, `width` apart. */
INLINE void outer(const int rows, const int columns, const T *a, const T *d, ptrdiff_t width, ptrdiff_t count, T *to,
                  ptrdiff_t ld) {
    vec sum[OUTER_ROWS][OUTER_COLUMNS];
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < columns; j++) sum[i][j] = load(to + i * ld + j * LANES);
    }
    for (ptrdiff_t k = 0; k < count; k++, a += width, d += width) {
        UNROLL(4)
        for (int i = 0; i < rows; i++) {
            const vec x = load(a + i * LANES);
            UNROLL(4)
            for (int j = 0; j < columns; j++) sum[i][j] += x * load(d + j * LANES);
        }
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < columns; j++) store(to + i * ld + j * LANES, sum[i][j]);
    }
}

/* Tiles of outer products of every size as functions. */
typedef void outer_function(const T *a, const T *d, ptrdiff_t width, ptrdiff_t count, T *to, ptrdiff_t ld);

/* Defines `outer` of this size as a function. */
#define OUTER(rows, columns)                                                                                    \
    static void outer_##rows##x##columns(const T *a, const T *d, ptrdiff_t width, ptrdiff_t count, T *to,       \
                                         ptrdiff_t ld) {                                                        \
        outer(rows, columns, a, d, width, count, to, ld);                                                       \
    }
OUTER(1, 1) OUTER(2, 1) OUTER(3, 1) OUTER(4, 1) OUTER(1, 2) OUTER(2, 2) OUTER(3, 2) OUTER(4, 2)
#if ROWS > 4
OUTER(1, 3) OUTER(2, 3) OUTER(3, 3) OUTER(4, 3) OUTER(1, 4) OUTER(2, 4) OUTER(3, 4) OUTER(4, 4)
#endif

/* Lists the tiles of outer products of all heights for a number of columns. */
#define OUTERS(columns) {outer_1x##columns, outer_2x##columns, outer_3x##columns, outer_4x##columns}
static outer_function *const outers[OUTER_COLUMNS][OUTER_ROWS] = {
    OUTERS(1), OUTERS(2),
#if ROWS > 4
    OUTERS(3), OUTERS(4),
#endif
};

/* to = the pairs of step t and of n vectors of samples from `first` on. */
static void batch_collect_pairs(const cgru_outer_product *part, const T *lengths, ptrdiff_t t, ptrdiff_t first,
                                ptrdiff_t n, T *to) {
    const cgru_call *call = part->call;
    const ptrdiff_t u = call->u, part_ = u * LANES, e = pair_features(part);
    const ptrdiff_t width = batch_pair_vectors(e, u, part->term_count) * LANES;
    const panel p = {call, NULL, part->first + first * LANES, min(samples_of(part) - first * LANES, n * LANES), n, to,
                     call->running ? lengths + first * LANES : NULL};
    for (ptrdiff_t v = 0; v < n; v++, to += width) {
        const place at = place_in(&p, t, 0, v);
        T *one = to + part_, *x = one + LANES, *rhp = x + e * LANES, *d = rhp + part_;
        load_columns(call->hp, at, u, to, LANES);
        if (e) load_columns(call->X, at, e, x, LANES);
        for (T *c = to; at.lengths && c < rhp; c += LANES) store(c, if_running(at, load(c), ZERO));
        store(one, ZERO + 1);
        if (part->terms[CGRU_HH].state_operand) { /* r * hp */
            load_columns(call->r, at, u, rhp, LANES);
            for (ptrdiff_t c = 0; c < part_; c += LANES) store(rhp + c, load(to + c) * load(rhp + c));
        }
        for (int i = 0; i < part->term_count; i++, d += part_) load_columns(part->terms[i].d, at, u, d, LANES);
    }
}

/* sums += the outer products of `count` pairs, for each term of a share of the samples. */
static void batch_multiply_pairs(const cgru_outer_product *part, const T *pairs, ptrdiff_t count, T *sums) {
    const cgru_call *call = part->call;
    const ptrdiff_t u = call->u, e = pair_features(part), width = batch_pair_vectors(e, u, part->term_count) * LANES;
    const T *d = pairs + (1 + e + 2 * u) * LANES;
    const split columns = split_of(u, OUTER_COLUMNS);
    for (int n = 0; n < part->term_count; n++, d += u * LANES) {
        const stretch a = operands_of(part, &part->terms[n]);
        const split rows = split_of(a.to - a.from, OUTER_ROWS);
        PARTS(rows, r, i, height) {
            PARTS(columns, c, j, wide)
                outers[wide - 1][height - 1](pairs + (a.from + i) * LANES, d + j * LANES, width, count,
                                             sums + (i * u + j) * LANES, u * LANES);
        }
        sums += (a.to - a.from) * u * LANES;
    }
}

/* sums (3 u, ep) += d^T X over n samples, X with rows `ld` apart in the user's array, d (3 u, SAMPLES_AT_ONCE). */
static void batch_add_wide(const cgru_call *call, const T *X, ptrdiff_t ld, const T *d, ptrdiff_t n, T *sums) {
    ALIGNED T tile[ROWS * 3 * LANES];
    const split panels = panels_for(VECTORS_OF(call->e)), blocks = split_of(3 * call->u, ROWS);
    PARTS(panels, p, vector, vectors) {
        const T *w[1][3];
        ptrdiff_t columns[3];
        for (ptrdiff_t j = 0; j < vectors; j++) {
            w[0][j] = X + (vector + j) * LANES;
            columns[j] = min(call->e - (vector + j) * LANES, LANES);
        }
        PARTS(blocks, b, first, count) {
            const cgru_operand units = {d + first * SAMPLES_AT_ONCE, SAMPLES_AT_ONCE, n};
            const int full = columns[vectors - 1] == LANES;
            unpacked_tiles[full][count - 1][vectors - 1](&units, 1, w, &ld, columns, NULL, tile);
            for (ptrdiff_t i = 0; i < count; i++) {
                T *to = sums + (first + i) * call->ep + vector * LANES;
                for (ptrdiff_t j = 0; j < vectors * LANES; j += LANES)
                    store(to + j, load(to + j) + load(tile + i * vectors * LANES + j));
            }
        }
    }
}

/* Adds d^T X of step t to the sums for dU, over those samples of the share that have the step. Of inputs that do not fit
 * the caches the next step is prefetched: rows of X lie far apart. */
static void batch_add_wide_step(const cgru_outer_product *part, const T *lengths, ptrdiff_t t) {
    const cgru_call *call = part->call;
    const ptrdiff_t next = t + (part->ascends ? 1 : -1);
    T *sums = part->wide, *d = sums + 3 * call->u * call->ep;
    for (ptrdiff_t first = 0; first < samples_of(part); first += SAMPLES_AT_ONCE) {
        const ptrdiff_t n = min(samples_of(part) - first, SAMPLES_AT_ONCE);
        const panel p = {call, NULL, part->first + first, n, VECTORS_OF(n), d, NULL};
        if (part->streams && 0 <= next && next < call->s)
            for (ptrdiff_t i = p.i; i < p.i + n; i++)
                for (ptrdiff_t c = 0; c < call->e; c += LINE) PREFETCH_L2(AT(call->X, i, next) + c);
        for (int i = 0; i < 3; i++)
            EACH_UNIT(&p, call->u, unit, v)
                store(d + (i * call->u + unit) * SAMPLES_AT_ONCE + v * LANES,
                      load_at(part->terms[i].d, place_in(&p, t, unit, v)));
        for (ptrdiff_t i = 0, stop; i < n; i = stop + 1) {
            for (stop = i; stop < n && (!call->running || (T)t < lengths[first + stop]);) stop++;
            if (stop > i) batch_add_wide(call, AT(call->X, p.i + i, t), call->X.sample, d + i, stop - i, sums);
        }
    }
}

/* Sums the outer products of all steps, in the order of `part` and in its memory; `first`: from zero on. Each sum is
 * one chain: its bits do not depend on where a call is cut. */
static void batch_gradient_sums(const cgru_outer_product *part, int first) {
    const cgru_call *call = part->call;
    const ptrdiff_t u = call->u, e = pair_features(part), vectors = VECTORS_OF(samples_of(part));
    const ptrdiff_t sums_ = batch_sum_vectors(e, u, part->term_count) * LANES;
    const ptrdiff_t width = batch_pair_vectors(e, u, part->term_count) * LANES;
    const ptrdiff_t depth = batch_pairs_at_once(call);
    T *lengths = part->operands, *sums = lengths + vectors * LANES, *pairs = sums + sums_;
    ptrdiff_t count = 0;
    if (first) memset(sums, 0, sums_ * sizeof(T));
    if (first && part->wide) memset(part->wide, 0, 3 * u * call->ep * sizeof(T));
    batch_lengths(call, part->first, samples_of(part), lengths);
    for (ptrdiff_t i = 0; i < call->s; i++) {
        const ptrdiff_t t = part->ascends ? i : call->s - 1 - i;
        if (part->wide) batch_add_wide_step(part, lengths, t);
        for (ptrdiff_t v = 0, n; v < vectors; v += n) {
            n = min(vectors - v, depth - count);
            batch_collect_pairs(part, lengths, t, v, n, pairs + count * width);
            count += n;
            if (count == depth) batch_multiply_pairs(part, pairs, count, sums), count = 0;
        }
    }
    batch_multiply_pairs(part, pairs, count, sums);
}

/* to (n) += the sums of `count` shares, share by share, and of their lanes, from vector `at` of the sums on; returns the
 * vector behind them. LANES vectors are transposed, so that the lanes of all are added at once, each sum from its first
 * lane to its last. */
static ptrdiff_t add_lanes(const cgru_outer_product *parts, ptrdiff_t count, ptrdiff_t at, void *to, ptrdiff_t n) {
    for (ptrdiff_t c = 0; c < n; c += LANES) {
        const ptrdiff_t numbers = min(n - c, LANES);
        vec sums[LANES], sum = ZERO;
        UNROLL(16)
        for (int j = 0; j < LANES; j++) sums[j] = ZERO;
        for (ptrdiff_t k = 0; k < count; k++) {
            const T *from = (const T *)parts[k].operands + (VECTORS_OF(samples_of(&parts[k])) + at + c) * LANES;
            UNROLL(16)
            for (int j = 0; j < LANES; j++)
                if (j < numbers) sums[j] += load(from + j * LANES);
        }
        transpose(sums);
        UNROLL(16)
        for (int j = 0; j < LANES; j++) sum += sums[j];
        store_n((T *)to + c, load_n((const T *)to + c, numbers) + sum, numbers);
    }
    return at + n;
}

/* U (e, u) += the sums for gate `gate` of `count` shares, share by share, that have features in the lanes. */
static void add_wide(const cgru_outer_product *parts, ptrdiff_t count, int gate, T *U) {
    const ptrdiff_t u = parts->call->u, e = parts->call->e, ep = parts->call->ep;
    for (ptrdiff_t unit = 0; unit < u; unit++)
        for (ptrdiff_t c = 0; c < e; c++) {
            T sum = 0;
            for (ptrdiff_t k = 0; k < count; k++) sum += ((const T *)parts[k].wide)[(gate * u + unit) * ep + c];
            U[c * u + unit] += sum;
        }
}

/* dW += the sums of `count` shares of the samples and of their lanes: of each term first V, then b, U, V of r * hp. */
static void batch_gradient_add(const cgru_outer_product *parts, ptrdiff_t count) {
    const cgru_call *call = parts->call;
    const ptrdiff_t u = call->u;
    ptrdiff_t at = 0;
    for (int n = 0; n < parts->term_count; n++) {
        const cgru_term *term = &parts->terms[n];
        if (term->V && !term->state_operand) at = add_lanes(parts, count, at, term->V, u * u);
        at = add_lanes(parts, count, at, term->b, u);
        if (term->U && parts->wide)
            add_wide(parts, count, n, term->U);
        else if (term->U)
            at = add_lanes(parts, count, at, term->U, call->e * u);
        if (term->state_operand) at = add_lanes(parts, count, at, term->V, u * u);
    }
}
