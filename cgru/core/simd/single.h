/* A call with a single sample, whose time is latency: the whole step is one function, and the products of the
 * state run in four chains. Included once per dtype and level.
 *
 * The part of the input is summed first, in one chain, so that the processor can do it while it waits for the state. */

/* total (width vectors) += sum over k of a[k] W[k, :], rows of W `ld` apart; with `masked` the last vector has only `left`
 * columns. */
INLINE void NAME(add_rows)(const int width, const int chains, const int masked, const T *a, ptrdiff_t K, const T *W,
                           ptrdiff_t ld, ptrdiff_t left, vec *total) {
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
                *s = NAME(add_product)(*s, a[k + c], masked && j == width - 1 ? NAME(load_n)(w, left) : NAME(load)(w));
            }
        }
    }
    for (; k < K; k++, W += ld) {
        UNROLL(4)
        for (int j = 0; j < width; j++) {
            const T *w = W + j * LANES;
            const vec row = masked && j == width - 1 ? NAME(load_n)(w, left) : NAME(load)(w);
            sum[0][j] = NAME(add_product)(sum[0][j], a[k], row);
        }
    }
    UNROLL(4)
    for (int j = 0; j < width; j++)
        total[j] = chains == 1 ? sum[0][j] : (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]);
}

/* total (width vectors) += sum over k of a[k] W[k, c...]; the last vector has `left` columns. */
INLINE void NAME(add_row)(const int width, const int chains, const T *a, ptrdiff_t K, const cgru_matrix *matrix,
                          ptrdiff_t c, ptrdiff_t left, vec *total) {
    const T *W = matrix->data;
    if (!matrix->row)
        NAME(add_rows)(width, chains, 0, a, K, W + c * K, width * LANES, left, total);
    else
        NAME(add_rows)(width, chains, 1, a, K, W + c, matrix->row, left, total);
}

/* The columns of a gate in parts of up to four vectors: runs `body` for each, `width` a constant in it. */
#define EACH_PART(u, body)                                              \
    for (ptrdiff_t c = 0; c < (u); c += 4 * LANES) {                    \
        const ptrdiff_t vectors = NAME(min)(4, ((u) - c + LANES - 1) / LANES); \
        const ptrdiff_t left = NAME(min)((u) - c - (vectors - 1) * LANES, LANES); \
        switch (vectors) {                                              \
        case 1: body(1) break;                                          \
        case 2: body(2) break;                                          \
        case 3: body(3) break;                                          \
        default: body(4)                                                \
        }                                                               \
    }
#define LEFT(width, j) ((j) < (width) - 1 ? LANES : left)
#define STEP_OF(array, t) ((T *)(array).data + (t) * (array).step)

/* pre = x U + b */
INLINE void NAME(single_input)(const int width, const cgru_single *single, int gate, const T *x, ptrdiff_t c,
                               ptrdiff_t left, T *pre) {
    vec sum[4];
    const T *b = (const T *)single->b[gate].data + c;
    UNROLL(4)
    for (int j = 0; j < width; j++) sum[j] = NAME(load_n)(b + j * LANES, LEFT(width, j));
    NAME(add_row)(width, 1, x, single->call->e, &single->U[gate], c, left, sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) NAME(store)(pre + c + j * LANES, sum[j]);
}

/* sum = pre + a V */
INLINE void NAME(single_state)(const int width, const cgru_single *single, int gate, const T *a, const T *pre,
                               ptrdiff_t c, ptrdiff_t left, vec *sum) {
    UNROLL(4)
    for (int j = 0; j < width; j++) sum[j] = NAME(load)(pre + c + j * LANES);
    NAME(add_row)(width, 4, a, single->call->u, &single->V[gate], c, left, sum);
}

/* r = activate_reset(r_), and r * h unless the reset comes after */
INLINE void NAME(single_reset)(const int width, const int cached, const cgru_single *single, ptrdiff_t t, const T *h,
                               const T *pre, T *rh, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec sum[4];
    NAME(single_state)(width, single, CGRU_R, h, pre, c, left, sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES;
        const vec r = NAME(activate)(call->activate_reset, sum[j]);
        NAME(store)(rh + i, call->after ? r : r * NAME(load_n)(h + i, LEFT(width, j)));
        if (!cached) continue;
        if (call->r.data) NAME(store_n)(STEP_OF(call->r, t) + i, r, LEFT(width, j));
        if (call->r_.data) NAME(store_n)(STEP_OF(call->r_, t) + i, sum[j], LEFT(width, j));
    }
}

/* z = activate_update(z_) */
INLINE void NAME(single_update)(const int width, const int cached, const cgru_single *single, ptrdiff_t t, const T *h,
                                const T *pre, T *z, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec sum[4];
    NAME(single_state)(width, single, CGRU_Z, h, pre, c, left, sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES;
        const vec y = NAME(activate)(call->activate_update, sum[j]);
        NAME(store)(z + i, y);
        if (!cached) continue;
        if (call->z.data) NAME(store_n)(STEP_OF(call->z, t) + i, y, LEFT(width, j));
        if (call->z_.data) NAME(store_n)(STEP_OF(call->z_, t) + i, sum[j], LEFT(width, j));
    }
}

/* r * c, c = h Vhh + chh */
INLINE void NAME(single_recurrent)(const int width, const int cached, const cgru_single *single, ptrdiff_t t,
                                   const T *h, T *r, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec sum[4];
    UNROLL(4)
    for (int j = 0; j < width; j++)
        sum[j] = NAME(load_n)((const T *)single->b[CGRU_C].data + c + j * LANES, LEFT(width, j));
    NAME(add_row)(width, 4, h, call->u, &single->V[CGRU_HH], c, left, sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES;
        NAME(store)(r + i, NAME(load)(r + i) * sum[j]);
        if (cached && call->c.data) NAME(store_n)(STEP_OF(call->c, t) + i, sum[j], LEFT(width, j));
    }
}

/* hh = activate(hh_), r * c joining hh_ where the reset comes after; h = z * hp + (1 - z) * hh */
INLINE void NAME(single_candidate)(const int width, const int cached, const cgru_single *single, ptrdiff_t t, T *h,
                                   const T *pre, const T *rh, const T *z, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec sum[4];
    if (call->after) {
        UNROLL(4)
        for (int j = 0; j < width; j++) sum[j] = NAME(load)(pre + c + j * LANES) + NAME(load)(rh + c + j * LANES);
    } else {
        NAME(single_state)(width, single, CGRU_HH, rh, pre, c, left, sum);
    }
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES;
        const vec hh = NAME(activate)(call->activate, sum[j]), update = NAME(load)(z + i);
        const vec hp = NAME(load_n)(h + i, LEFT(width, j));
        vec state = update * hp + (1 - update) * hh;
        if (NAME(keeps)(call)) {
            const vec kept = NAME(kept)(call, 0, t, i, LEFT(width, j));
            state = kept * hp + (1 - kept) * state;
        }
        if (LEFT(width, j) == LANES) /* what a masked store wrote is slow to be read again */
            NAME(store)(h + i, state);
        else
            NAME(store_n)(h + i, state, left);
        if (!cached) continue;
        NAME(store_n)(STEP_OF(call->h, t) + i, state, LEFT(width, j));
        if (call->hh.data) NAME(store_n)(STEP_OF(call->hh, t) + i, hh, LEFT(width, j));
        if (call->hh_.data) NAME(store_n)(STEP_OF(call->hh_, t) + i, sum[j], LEFT(width, j));
    }
}

/* From hp to h. work: r * h | z | pre-activations of r, z and hh from the input, each call->up numbers. */
INLINE void NAME(single_step_)(const int cached, const cgru_single *single, ptrdiff_t t, const T *x, T *h, T *work) {
    const ptrdiff_t u = single->call->u, up = single->call->up;
    T *rh = work, *z = rh + up, *pre = z + up;
#define INPUTS(width) \
    for (int gate = 0; gate < 3; gate++) NAME(single_input)(width, single, gate, x, c, left, pre + gate * up);
    EACH_PART(u, INPUTS)
#define RESET(width) NAME(single_reset)(width, cached, single, t, h, pre, rh, c, left);
    EACH_PART(u, RESET)
#define UPDATE(width) NAME(single_update)(width, cached, single, t, h, pre + up, z, c, left);
    EACH_PART(u, UPDATE)
    if (single->call->after) {
#define RECURRENT(width) NAME(single_recurrent)(width, cached, single, t, h, rh, c, left);
        EACH_PART(u, RECURRENT)
    }
#define CANDIDATE(width) NAME(single_candidate)(width, cached, single, t, h, pre + 2 * up, rh, z, c, left);
    EACH_PART(u, CANDIDATE)
}

static void NAME(single_step)(const cgru_single *single, const void *x, void *h, void *work) {
    NAME(single_step_)(0, single, 0, x, h, work);
}

/* `steps` of them; the rows are h | work. */
static void NAME(single_forward)(const cgru_single *single, ptrdiff_t steps) {
    const cgru_call *call = single->call;
    T *h = call->rows, *work = h + call->up;
    if (call->h.data)
        for (ptrdiff_t n = 0, t; n < steps; n++) {
            t = call->reverse ? steps - 1 - n : n;
            NAME(single_step_)(1, single, t, STEP_OF(call->X, t), h, work);
        }
    else
        for (ptrdiff_t n = 0; n < steps; n++)
            NAME(single_step)(single, STEP_OF(call->X, call->reverse ? steps - 1 - n : n), h, work);
}

/* The equations of gates_backward, reset_backward and state_backward in cell.h, with V holding the transposes. */
INLINE void NAME(single_reset_backward)(const int width, const cgru_single *single, ptrdiff_t t, T *dh, const T *dhh_,
                                        T *dr_, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec drh[4] = {ZERO, ZERO, ZERO, ZERO};
    NAME(add_row)(width, 4, dhh_, call->u, &single->V[CGRU_HH], c, left, drh);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES, n = LEFT(width, j);
        const vec r = NAME(load_n)(STEP_OF(call->r, t) + i, n), hp = NAME(load_n)(STEP_OF(call->hp, t) + i, n);
        const vec reset = drh[j] * hp * NAME(derivative)(call->activate_reset, r);
        NAME(store)(dr_ + i, reset);
        NAME(store)(dh + i, NAME(load)(dh + i) + drh[j] * r);
        NAME(store_n)(STEP_OF(call->dr_, t) + i, reset, n);
    }
}

INLINE void NAME(single_state_backward)(const int width, const cgru_single *single, ptrdiff_t t, T *dh, const T *dz_,
                                        const T *dr_, const T *dc, ptrdiff_t c, ptrdiff_t left) {
    const cgru_call *call = single->call;
    vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
    NAME(add_row)(width, 4, dz_, call->u, &single->V[CGRU_Z], c, left, sum);
    NAME(add_row)(width, 4, dr_, call->u, &single->V[CGRU_R], c, left, sum);
    if (call->after) NAME(add_row)(width, 4, dc, call->u, &single->V[CGRU_HH], c, left, sum);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ptrdiff_t i = c + j * LANES;
        const vec state = NAME(load)(dh + i) + sum[j];
        NAME(store)(dh + i, state);
        if (call->dh.data) NAME(store_n)(STEP_OF(call->dh, t) + i, state, LEFT(width, j));
    }
}

/* From dhn to dh, `steps` times; the rows are dh | dhh_ | dz_ | dr_ | dc. */
static void NAME(single_backward)(const cgru_single *single, ptrdiff_t steps) {
    const cgru_call *call = single->call;
    const ptrdiff_t u = call->u, up = call->up;
    T *dh = call->rows, *dhh_ = dh + up, *dz_ = dhh_ + up, *dr_ = dz_ + up, *dc = dr_ + up;
    for (ptrdiff_t n = 0, t; n < steps; n++) {
        t = call->reverse ? n : steps - 1 - n;
        NAME(gates_backward)(call, t, 0, 1);
#define RESET_BACKWARD(width) NAME(single_reset_backward)(width, single, t, dh, dhh_, dr_, c, left);
        if (!call->after) {
            EACH_PART(u, RESET_BACKWARD)
        }
#define STATE_BACKWARD(width) NAME(single_state_backward)(width, single, t, dh, dz_, dr_, dc, c, left);
        EACH_PART(u, STATE_BACKWARD)
    }
}

/* W (k, n) as it should lie for a single sample: in parts of up to four vectors, each with its k rows one after another,
 * zero past column n. */
static void NAME(lay)(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to_) {
    T *to = to_;
    for (ptrdiff_t c = 0; c < n; c += 4 * LANES) {
        const ptrdiff_t width = NAME(min)(4, (n - c + LANES - 1) / LANES) * LANES, columns = NAME(min)(width, n - c);
        for (ptrdiff_t i = 0; i < k; i++, to += width) {
            const T *from = (const T *)W.data + i * W.row + c * W.column;
            for (ptrdiff_t j = 0; j < columns; j++) to[j] = from[j * W.column];
            for (ptrdiff_t j = columns; j < width; j++) to[j] = 0;
        }
    }
}
