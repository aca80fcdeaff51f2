/* The whole call of a single sample (m = 1) as matrix-vector products with the equations of equations.h in registers:
 *
 *     [r_ | z_ | hh_] = x U + b;  r_, z_ += hp V;  hh_ += (r * hp) Vhh; reset after: += r * (hp Vhh + chh)
 *
 * V and b are packed by `pack_single`: parts of up to four vectors of columns, each part with its rows one after
 * another. U is packed as in gemm_microkernel.h. V may be unpacked instead, as in unpacked_gemm.h or transposed_gemm.h.
 * The row of the workspace is h | r * h | z | r_ | z_ | hh_, backward dh | dhh_ | dz_ | dr_ | dc.
 *
 * It is chosen for m = 1 with units in the lanes. The time of such a call is latency: products of the state run in four
 * chains; those of the input in one, which the processor computes while it waits for the state. */

/* total (width vectors) += a (K) W (K, width vectors), rows of W contiguous, in `chains` partial sums. */
INLINE void add_rows(const int width, const int chains, const T *a, ptrdiff_t K, const T *W, vec *total) {
    const ptrdiff_t ld = width * LANES;
    vec sum[4][4];
    UNROLL(4)
    for (int c = 0; c < chains; c++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) sum[c][j] = c ? ZERO : total[j];
    }
    ptrdiff_t k = 0;
    for (; k + 4 <= K; k += 4, W += 4 * ld) {
        UNROLL(4)
        for (int c = 0; c < 4; c++) {
            UNROLL(4)
            for (int j = 0; j < width; j++) {
                const T *w = W + c * ld + j * LANES;
                vec *s = &sum[c % chains][j];
                *s = add_product(*s, a[k + c], load(w));
            }
        }
    }
    for (; k < K; k++, W += ld) {
        UNROLL(4)
        for (int j = 0; j < width; j++) sum[0][j] = add_product(sum[0][j], a[k], load(W + j * LANES));
    }
    UNROLL(4)
    for (int j = 0; j < width; j++)
        total[j] = chains == 1 ? sum[0][j] : (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]);
}

/* Calls part(width, c, left, ...) for each part of up to four vectors of the columns of a gate. A part begins at column
 * c, its last vector has `left` columns, and width is a constant. Odd steps run from the last part to the first: of
 * weights that outgrow a cache, the half that was read last is still cached. */
#define EACH_PART(u, t, part, ...)                                                                                  \
    for (ptrdiff_t parts = ((u) + 4 * LANES - 1) / (4 * LANES), p = 0; p < parts; p++) {                            \
        const ptrdiff_t c = ((t) % 2 ? parts - 1 - p : p) * 4 * LANES;                                              \
        const ptrdiff_t vectors = min(4, VECTORS_OF((u) - c)), left = min((u) - c - (vectors - 1) * LANES, LANES); \
        switch (vectors) {                                                                                          \
        case 1: part(1, c, left, __VA_ARGS__); break;                                                               \
        case 2: part(2, c, left, __VA_ARGS__); break;                                                               \
        case 3: part(3, c, left, __VA_ARGS__); break;                                                               \
        default: part(4, c, left, __VA_ARGS__);                                                                     \
        }                                                                                                           \
    }

/* Returns the place of vector j of a part. */
#define VECTOR(j) ((place){0, t, c + (j) * LANES, (j) < width - 1 ? LANES : left})

/* sum (width vectors) = row[c...], a row of up numbers. */
INLINE void load_part(const int width, ptrdiff_t c, const T *row, vec *sum) {
    UNROLL(4)
    for (int j = 0; j < width; j++) sum[j] = load(row + c + j * LANES);
}

/* sum (width vectors) += a (K) W[:, c...] for packed W. With `row` not zero `add_unpacked` or `share_sums` added it. */
INLINE void add(const int width, ptrdiff_t c, const T *a, ptrdiff_t K, const cgru_matrix *W,
                vec *sum) {
    if (!W->row) add_rows(width, 4, a, K, (const T *)W->data + c * K, sum);
}

/* The weights V of three gates. */
#define V_OF(single, first, second, third) \
    {(single)->V[first].data, (single)->V[second].data, (single)->V[third].data}

/* sum (up) += a V, V unpacked and transposed. */
static void add_transposed(const cgru_single_sample *single, const T *a, const cgru_matrix *V, T *sum) {
    const ptrdiff_t u = single->call->u;
    const cgru_product product = {.operand = {{a, 0, u}}, .operands = 1, .unpacked = {V}, .width = u};
    ALIGNED T tile[LANES];
    for (ptrdiff_t c = 0; c < u; c += LANES) {
        transposed_1(&product, 0, 1, c, tile);
        store(sum + c, load(sum + c) + load(tile));
    }
}

/* sum (up) += a V, V unpacked, in the same four chains as `add_rows`. */
static void add_unpacked(const cgru_single_sample *single, const T *a, const cgru_matrix *V, T *sum) {
    const cgru_operand operand = {a, 0, single->call->u};
    if (single->is_transposed) {
        add_transposed(single, a, V, sum);
        return;
    }
    T *chains = single->sums;
    for (ptrdiff_t i = 0; i < single->call->up; i += LANES)
        for (int c = 0; c < 4; c++) store(chains + 4 * i + c * LANES, c ? ZERO : load(sum + i));
    unpacked_single(&operand, V->data, V->row, single->call->u, chains);
    for (ptrdiff_t i = 0; i < single->call->up; i += LANES) {
        const T *s = chains + 4 * i;
        store(sum + i, (load(s) + load(s + LANES)) + (load(s + 2 * LANES) + load(s + 3 * LANES)));
    }
}

/* sum += a V for all sums, of one part of the columns, if it lies between `from` and `to`. */
INLINE void row_sums_of_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_row_sums *sums, ptrdiff_t from,
                             ptrdiff_t to) {
    (void)left;
    if (c < from || c >= to) return;
    for (int n = 0; n < sums->count; n++) {
        T *row = sums->sum[n];
        vec sum[4];
        load_part(width, c, row, sum);
        add_rows(width, 4, sums->a[n], sums->u, (const T *)sums->V[n] + c * sums->u, sum);
        UNROLL(4)
        for (int j = 0; j < width; j++) store(row + c + j * LANES, sum[j]);
    }
}

/* Returns the column at which part `part` of `parts` of u columns begins. */
static ptrdiff_t row_part_start(ptrdiff_t u, int part, int parts) {
    const ptrdiff_t all = (u + 4 * LANES - 1) / (4 * LANES);
    return min(part * all / parts * 4 * LANES, VECTORS_OF(u) * LANES);
}

/* sum += a V for all sums, of part `part` of `parts` of the columns. */
static void row_sums_part(const cgru_row_sums *sums, ptrdiff_t t, int part, int parts) {
    const ptrdiff_t from = row_part_start(sums->u, part, parts), to = row_part_start(sums->u, part + 1, parts);
    EACH_PART(sums->u, t, row_sums_of_part, sums, from, to)
}

/* [r_ | z_ | hh_] = x U + b, in panels of three vectors. */
INLINE void input_part(const cgru_single_sample *single, const T *x, T *r_) {
    const cgru_call *call = single->call;
    if (single->feature_product) {
        cgru_feature_product of_x = *single->feature_product;
        of_x.x = (cgru_operand){x, 0, call->e};
        of_x.out = (cgru_array){r_, 0, call->up, 1};
        feature_product(&of_x, 1);
        return;
    }
    for (ptrdiff_t c = 0; c < 3 * call->up; c += 3 * LANES) {
        vec sum[4];
        load_part(3, c, single->b[0].data, sum);
        add_rows(3, 1, x, call->e, (const T *)single->U + c * call->e, sum);
        UNROLL(3)
        for (int j = 0; j < 3; j++) store(r_ + c + j * LANES, sum[j]);
    }
}

/* r * hp (or r, where the reset comes after), r = activate_reset(r_ + hp Vr), of one part of the columns. */
INLINE void reset_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                       const T *h, const T *r_, T *rh) {
    const cgru_call *call = single->call;
    vec sum[4];
    load_part(width, c, r_, sum);
    add(width, c, h, call->u, &single->V[CGRU_R], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const place at = VECTOR(j);
        store(rh + at.c, reset_gate(call, at, sum[j], load_n(h + at.c, at.n)));
    }
}

/* z = activate_update(z_ + hp Vz), of one part. */
INLINE void update_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                        const T *h, const T *z_, T *z) {
    const cgru_call *call = single->call;
    vec sum[4];
    load_part(width, c, z_, sum);
    add(width, c, h, call->u, &single->V[CGRU_Z], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const place at = VECTOR(j);
        store(z + at.c, update_gate(call, at, sum[j]));
    }
}

/* r becomes r * c, c = hp Vhh + chh, of one part, where the reset comes after. */
INLINE void product_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                         const T *h, const T *c_, T *r) {
    const cgru_call *call = single->call;
    vec sum[4];
    load_part(width, c, c_, sum);
    add(width, c, h, call->u, &single->V[CGRU_HH], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const place at = VECTOR(j);
        store(r + at.c, reset_product(call, at, load(r + at.c), sum[j]));
    }
}

/* r, z and, unless c_ is NULL (reset before), r * c of one part: all that depends on hp alone. */
INLINE void gates_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                       const T *h, const T *r_, const T *z_, const T *c_, T *rh, T *z) {
    reset_part(width, c, left, single, t, h, r_, rh);
    update_part(width, c, left, single, t, h, z_, z);
    if (c_) product_part(width, c, left, single, t, h, c_, rh);
}

/* h = the new state of one part, from hh_ + (r * hp) Vhh, or from hh_ + r * c unless c_ is NULL. */
INLINE void state_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                       T *h, const T *hh_, const T *rh, const T *z, const T *c_) {
    const cgru_call *call = single->call;
    vec sum[4];
    load_part(width, c, hh_, sum);
    if (c_) {
        UNROLL(4)
        for (int j = 0; j < width; j++) sum[j] += load(rh + c + j * LANES);
    } else {
        add(width, c, rh, call->u, &single->V[CGRU_HH], sum);
    }
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const place at = VECTOR(j);
        const vec next = new_state(0, call, at, sum[j], load(z + at.c), load_n(h + at.c, at.n));
        if (at.n == LANES) /* a load right after a masked store is slow */
            store(h + at.c, next);
        else
            store_n(h + at.c, next, at.n);
    }
}

/* Runs one step: h becomes the next state. `fresh`: hp is zero. `work` is r * h | z | r_ | z_ | hh_, up numbers each;
 * the last three are batched input projections in the row instead, if call->projections is set. */
INLINE void step(const cgru_single_sample *single, ptrdiff_t t, const T *x, T *h, T *work, int fresh) {
    const ptrdiff_t u = single->call->u, up = single->call->up;
    const int is_shared = single->share_sums != NULL, is_unpacked = single->V[0].row && !fresh && !is_shared;
    const T *c_ = resets_after(single->call) ? single->b[CGRU_C].data : NULL;
    T *rh = work, *z = rh + up;
    T *r_ = single->call->projections ? (T *)input_of(single->call, h, t) : z + up, *z_ = r_ + up, *hh_ = z_ + up;
    if (!single->call->projections) input_part(single, x, r_);
    if (c_ && (is_unpacked || is_shared)) c_ = memcpy((T *)single->sums + 4 * up, c_, up * sizeof(T));
    if (is_unpacked) {
        for (int n = 0; n < 2; n++) { /* odd steps take z first, as in unpacked_gemm.h */
            const int gate = (t + n) % 2 ? CGRU_Z : CGRU_R;
            add_unpacked(single, h, &single->V[gate], gate == CGRU_R ? r_ : z_);
        }
        if (c_) add_unpacked(single, h, &single->V[CGRU_HH], (T *)c_);
    }
    if (is_shared) {
        const cgru_row_sums sums = {u, c_ ? 3 : 2, {h, h, h}, V_OF(single, CGRU_R, CGRU_Z, CGRU_HH), {r_, z_, (T *)c_}};
        single->share_sums(single->crew, &sums, t);
    }
    EACH_PART(u, t, gates_part, single, t, h, r_, z_, c_, rh, z)
    if (is_unpacked && !c_) add_unpacked(single, rh, &single->V[CGRU_HH], hh_);
    if (is_shared && !c_) {
        const cgru_row_sums sums = {u, 1, {rh}, V_OF(single, CGRU_HH, CGRU_R, CGRU_Z), {hh_}};
        single->share_sums(single->crew, &sums, t);
    }
    EACH_PART(u, t, state_part, single, t, h, hh_, rh, z, c_)
}

/* Runs steps `first` to `stop`. Every call of a single sample runs this one function, so that its bits do not depend on
 * caches or on how many steps a call has. */
static void run(const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop, const T *X, T *h, T *work) {
    for (ptrdiff_t n = first; n < stop; n++) {
        const ptrdiff_t t = single->call->reverse ? stop - 1 - (n - first) : n;
        if (single->call->decay.data) decay_state(single->call, t, 0, 1);
        step(single, t, X + t * single->call->X.step, h, work, n == first && single->fresh);
    }
}

/* Runs one step of x (e) without caches; h (u) is updated in place. */
static void single_step(const cgru_single_sample *single, const void *x, void *h, void *work) {
    run(single, 0, 1, x, h, work);
}

/* Runs steps `first` to `stop` on the row of the workspace, h | work. */
static void single_forward(const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop) {
    T *h = single->call->rows;
    run(single, first, stop, single->call->X.data, h, h + single->call->up);
}

/* dr_, and dh += drh * r, from drh = dhh_ Vhh^T, of one part. */
INLINE void reset_part_backward(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single,
                                ptrdiff_t t, T *dh, const T *dhh_, T *dr_) {
    const cgru_call *call = single->call;
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
    if (single->share_sums) load_part(width, c, single->sums, sum);
    add(width, c, dhh_, call->u, &single->V[CGRU_HH], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) reset_gradient(call, VECTOR(j), sum[j], dh, dr_);
}

/* dh += dz_ Vz^T + dr_ Vr^T (+ dc Vhh^T unless dc is NULL), of one part. */
INLINE void state_part_backward(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single,
                                ptrdiff_t t, T *dh, const T *dz_, const T *dr_, const T *dc) {
    const cgru_call *call = single->call;
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
    if (single->share_sums) load_part(width, c, single->sums, sum);
    add(width, c, dz_, call->u, &single->V[CGRU_Z], sum);
    add(width, c, dr_, call->u, &single->V[CGRU_R], sum);
    if (dc) add(width, c, dc, call->u, &single->V[CGRU_HH], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) state_gradient(call, VECTOR(j), sum[j], dh);
}

/* Computes sums with other threads, from zero on. */
static void share_backward(const cgru_single_sample *single, const cgru_row_sums *sums, ptrdiff_t t) {
    memset(single->sums, 0, single->call->up * sizeof(T));
    single->share_sums(single->crew, sums, t);
}

/* Runs all steps backward, from the last one run: dh in the row becomes dL/dh0. V holds the transposes. The row is
 * dh | dhh_ | dz_ | dr_ | dc, the last where the reset comes after the product. */
static void single_backward(const cgru_single_sample *single, ptrdiff_t steps) {
    const cgru_call *call = single->call;
    const ptrdiff_t u = call->u, up = call->up;
    T *dh = call->rows, *dhh_ = dh + up, *dz_ = dhh_ + up, *dr_ = dz_ + up;
    const T *dc = resets_after(call) ? dr_ + up : NULL;
    for (ptrdiff_t n = 0; n < steps; n++) {
        const ptrdiff_t t = call->reverse ? n : steps - 1 - n;
        gates_backward(call, t, 0, 1);
        if (!dc) {
            if (single->share_sums) {
                const cgru_row_sums sums = {u, 1, {dhh_}, V_OF(single, CGRU_HH, CGRU_Z, CGRU_R), {single->sums}};
                share_backward(single, &sums, t);
            }
            EACH_PART(u, t, reset_part_backward, single, t, dh, dhh_, dr_)
        }
        if (single->share_sums) {
            const cgru_row_sums sums = {u, dc ? 3 : 2, {dz_, dr_, dc}, V_OF(single, CGRU_Z, CGRU_R, CGRU_HH),
                                        {single->sums, single->sums, single->sums}};
            share_backward(single, &sums, t);
        }
        EACH_PART(u, t, state_part_backward, single, t, dh, dz_, dr_, dc)
        if (call->decay.data) decay_backward(call, t, 0, 1);
    }
}

/* Packs W (k, n) for a single sample: parts of up to four vectors of columns, each with its k rows one after another,
 * zero past column n. */
static void pack_single(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to_) {
    const ptrdiff_t block = W.column == 1 ? 8 : k; /* of rows, as in `pack` */
    for (ptrdiff_t i = 0; i < k; i += block)
        for (ptrdiff_t c = 0; c < n; c += 4 * LANES) {
            const ptrdiff_t vectors = min(4, VECTORS_OF(n - c));
            T *to = (T *)to_ + c * k + i * vectors * LANES;
            for (ptrdiff_t v = 0; v < vectors; v++)
                pack_columns(W, i, min(k - i, block), c + v * LANES, min(n - c - v * LANES, LANES), to + v * LANES,
                             vectors * LANES);
        }
}
