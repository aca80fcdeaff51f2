/* A call with a single sample, whose time is latency: products are handed to the equations in registers, and those of the
 * state run in four chains.
 *
 * The part of the input is summed first, in one chain, so that the processor can do it while it waits for the state. */

/* total (width vectors) += sum over k of a[k] W[k, :], rows of W one after another */
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

/* The columns of a gate in parts of up to four vectors: calls part(width, c, left, ...) for each, which begins at column c
 * and whose last vector has `left` columns; width is a constant. Every other step t runs through them from the last to the
 * first: of weights that outgrow a cache the half that was read last is still there. */
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

/* Vector j of a part. */
#define VECTOR(j) ((place){0, t, c + (j) * LANES, (j) < width - 1 ? LANES : left})

/* sum = row[c...], a row of up numbers */
INLINE void load_part(const int width, ptrdiff_t c, const T *row, vec *sum) {
    UNROLL(4)
    for (int j = 0; j < width; j++) sum[j] = load(row + c + j * LANES);
}

/* sum += a (K) W[:, c...], which where W unpacked `add_unpacked` has done */
INLINE void add(const int width, ptrdiff_t c, const T *a, ptrdiff_t K, const cgru_matrix *W,
                vec *sum) {
    if (!W->row) add_rows(width, 4, a, K, (const T *)W->data + c * K, sum);
}

/* sum (up) += a V, V where its transpose unpacked */
static void add_transposed(const cgru_single_sample *single, const T *a, const cgru_matrix *V, T *sum) {
    const ptrdiff_t u = single->call->u;
    const cgru_product product = {.operand = {{a, 0, u}}, .operands = 1, .unpacked = {V}, .width = u};
    ALIGNED T tile[LANES];
    for (ptrdiff_t c = 0; c < u; c += LANES) {
        transposed_1(&product, 0, 1, c, tile);
        store(sum + c, load(sum + c) + load(tile));
    }
}

/* sum (up) += a V, V where it unpacked, in the chains of `add_rows` */
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

/* r_, z_, hh_ = x U + b, one after another: as many vectors as panels of three take */
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

/* c = h Vhh + chh, where the reset comes after */
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

/* What of a step needs h alone; c_ NULL: the reset comes before. */
INLINE void gates_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                       const T *h, const T *r_, const T *z_, const T *c_, T *rh, T *z) {
    reset_part(width, c, left, single, t, h, r_, rh);
    update_part(width, c, left, single, t, h, z_, z);
    if (c_) product_part(width, c, left, single, t, h, c_, rh);
}

INLINE void state_part(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single, ptrdiff_t t,
                       T *h, const T *hh_, const T *rh, const T *z, int after) {
    const cgru_call *call = single->call;
    vec sum[4];
    load_part(width, c, hh_, sum);
    if (after) {
        UNROLL(4)
        for (int j = 0; j < width; j++) sum[j] += load(rh + c + j * LANES);
    } else {
        add(width, c, rh, call->u, &single->V[CGRU_HH], sum);
    }
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const place at = VECTOR(j);
        const vec next = new_state(0, call, at, sum[j], load(z + at.c), load_n(h + at.c, at.n));
        if (at.n == LANES) /* what a masked store wrote is slow to be read again */
            store(h + at.c, next);
        else
            store_n(h + at.c, next, at.n);
    }
}

/* From hp to h. work: r * h | z | r_ | z_ | hh_, each call->up numbers, unless the last three stand where call->projections says. */
INLINE void step(const cgru_single_sample *single, ptrdiff_t t, const T *x, T *h, T *work, int fresh) {
    const ptrdiff_t u = single->call->u, up = single->call->up;
    const int unpacked = single->V[0].row && !fresh, after = resets_after(single->call);
    const T *c_ = after ? single->b[CGRU_C].data : NULL;
    T *rh = work, *z = rh + up;
    T *r_ = single->call->projections ? (T *)input_of(single->call, h, t) : z + up, *z_ = r_ + up, *hh_ = z_ + up;
    if (!single->call->projections) input_part(single, x, r_);
    if (unpacked) {
        for (int n = 0; n < 2; n++) { /* r and z in turns first, as in unpacked_gemm.h */
            const int gate = (t + n) % 2 ? CGRU_Z : CGRU_R;
            add_unpacked(single, h, &single->V[gate], gate == CGRU_R ? r_ : z_);
        }
    }
    if (unpacked && after) {
        T *sum = (T *)single->sums + 4 * up;
        c_ = memcpy(sum, c_, up * sizeof(T));
        add_unpacked(single, h, &single->V[CGRU_HH], sum);
    }
    EACH_PART(u, t, gates_part, single, t, h, r_, z_, c_, rh, z)
    if (unpacked && !after) add_unpacked(single, rh, &single->V[CGRU_HH], hh_);
    EACH_PART(u, t, state_part, single, t, h, hh_, rh, z, after)
}

/* One function for all, so that the bits are the same with caches and without, one by one and in a row. */
static void run(const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop, const T *X, T *h, T *work) {
    for (ptrdiff_t n = first; n < stop; n++) {
        const ptrdiff_t t = single->call->reverse ? stop - 1 - (n - first) : n;
        step(single, t, X + t * single->call->X.step, h, work, n == first && single->fresh);
    }
}

static void single_step(const cgru_single_sample *single, const void *x, void *h, void *work) { run(single, 0, 1, x, h,
                                                                                                    work); }

/* The rows are h | work. */
static void single_forward(const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop) {
    T *h = single->call->rows;
    run(single, first, stop, single->call->X.data, h, h + single->call->up);
}

INLINE void reset_part_backward(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single,
                                ptrdiff_t t, T *dh, const T *dhh_, T *dr_) {
    const cgru_call *call = single->call;
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
    add(width, c, dhh_, call->u, &single->V[CGRU_HH], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) reset_gradient(call, VECTOR(j), sum[j], dh, dr_);
}

INLINE void state_part_backward(const int width, ptrdiff_t c, ptrdiff_t left, const cgru_single_sample *single,
                                ptrdiff_t t, T *dh, const T *dz_, const T *dr_, const T *dc, int after) {
    const cgru_call *call = single->call;
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
    add(width, c, dz_, call->u, &single->V[CGRU_Z], sum);
    add(width, c, dr_, call->u, &single->V[CGRU_R], sum);
    if (after) add(width, c, dc, call->u, &single->V[CGRU_HH], sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) state_gradient(call, VECTOR(j), sum[j], dh);
}

/* From dhn to dh, `steps` times, V holding the transposes; the rows are dh | dhh_ | dz_ | dr_ | dc. */
static void single_backward(const cgru_single_sample *single, ptrdiff_t steps) {
    const cgru_call *call = single->call;
    const ptrdiff_t u = call->u, up = call->up;
    const int after = resets_after(call);
    T *dh = call->rows, *dhh_ = dh + up, *dz_ = dhh_ + up, *dr_ = dz_ + up, *dc = dr_ + up;
    for (ptrdiff_t n = 0; n < steps; n++) {
        const ptrdiff_t t = call->reverse ? n : steps - 1 - n;
        gates_backward(call, t, 0, 1);
        if (!after) {
            EACH_PART(u, t, reset_part_backward, single, t, dh, dhh_, dr_)
        }
        EACH_PART(u, t, state_part_backward, single, t, dh, dz_, dr_, dc, after)
    }
}

/* W (k, n) as it should lie for a single sample: in parts of up to four vectors, each with its k rows one after another,
 * zero past column n. */
static void pack_single(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to_) {
    T *to = to_;
    for (ptrdiff_t c = 0; c < n; c += 4 * LANES) {
        const ptrdiff_t vectors = min(4, VECTORS_OF(n - c));
        for (ptrdiff_t v = 0; v < vectors; v++)
            pack_columns(W, 0, k, c + v * LANES, min(n - c - v * LANES, LANES), to + v * LANES, vectors * LANES);
        to += k * vectors * LANES;
    }
}
