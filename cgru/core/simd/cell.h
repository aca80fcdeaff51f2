/* The elementwise half of the cell, forward and backward, on rows and on finished tiles. The equations are those of
 * cgru/reference.py, in its names. Included once per dtype and level. */

#define SAMPLE(call, row) ((call)->order ? (call)->order[row] : (row))
#define AT(array, i, t) ((T *)(array).data + (i) * (array).sample + (t) * (array).step)
#define ROW(call, row) ((T *)(call)->rows + (row) * (call)->ld)

INLINE ptrdiff_t NAME(min)(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* h = h0, or zero */
static void NAME(start)(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *h = ROW(call, row);
        memset(h, 0, call->ld * sizeof(T));
        if (call->h0.data) memcpy(h, AT(call->h0, SAMPLE(call, row), 0), call->u * sizeof(T));
    }
}

/* x = X[:, t] */
static void NAME(load_x)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        memcpy(ROW(call, row) + call->up, AT(call->X, SAMPLE(call, row), t), call->e * sizeof(T));
}

/* last = h */
static void NAME(finish)(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        memcpy(AT(call->last, SAMPLE(call, row), 0), ROW(call, row), call->u * sizeof(T));
}

INLINE void NAME(blank)(cgru_array array, ptrdiff_t i, ptrdiff_t t, ptrdiff_t n) {
    if (array.data) memset(AT(array, i, t), 0, n * sizeof(T));
}

/* Past a sample's length h repeats the last state (in reverse the first) and the other caches are zero. */
static void NAME(pad)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row), u = call->u;
        if (call->h.data) memcpy(AT(call->h, i, t), ROW(call, row), u * sizeof(T));
        NAME(blank)(call->hh, i, t, u), NAME(blank)(call->hh_, i, t, u);
        NAME(blank)(call->z, i, t, u), NAME(blank)(call->z_, i, t, u);
        NAME(blank)(call->r, i, t, u), NAME(blank)(call->r_, i, t, u), NAME(blank)(call->c, i, t, u);
        NAME(blank)(call->nU, i, t, 3 * u), NAME(blank)(call->nV, i, t, 3 * u);
        NAME(blank)(call->iU, i, t, 1), NAME(blank)(call->iV, i, t, 1);
    }
}

static void NAME(pad_backward)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row), u = call->u;
        NAME(blank)(call->dh, i, t, u), NAME(blank)(call->dh_, i, t, u);
        NAME(blank)(call->dhh_, i, t, u), NAME(blank)(call->dz_, i, t, u), NAME(blank)(call->dr_, i, t, u);
        NAME(blank)(call->dc, i, t, u), NAME(blank)(call->dX, i, t, call->e);
        NAME(blank)(call->dU_, i, t, 3 * u), NAME(blank)(call->dV_, i, t, 3 * u);
    }
}

/* r = activate_reset(r_), and r * h unless the reset comes after; z = activate_update(z_): columns of r first, then
 * those of z */
static void NAME(gates)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                        ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const int after = call->after;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        ptrdiff_t sample = SAMPLE(call, row);
        T *h = ROW(call, row), *rh = h + call->up + call->ep, *z = rh + call->up;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            ptrdiff_t c = v * LANES;
            vec x = NAME(load)(tile);
            if (c < call->up) {
                ptrdiff_t n = NAME(min)(call->u - c, LANES);
                vec r = NAME(activate)(call->activate_reset, x);
                NAME(store)(rh + c, after ? r : r * NAME(load)(h + c));
                if (call->r.data) NAME(store_n)(AT(call->r, sample, t) + c, r, n);
                if (call->r_.data) NAME(store_n)(AT(call->r_, sample, t) + c, x, n);
            } else {
                c -= call->up;
                ptrdiff_t n = NAME(min)(call->u - c, LANES);
                vec y = NAME(activate)(call->activate_update, x);
                NAME(store)(z + c, y);
                if (call->z.data) NAME(store_n)(AT(call->z, sample, t) + c, y, n);
                if (call->z_.data) NAME(store_n)(AT(call->z_, sample, t) + c, x, n);
            }
        }
    }
}

/* The share of hp that a state keeps; at most n numbers are read of it. */
INLINE vec NAME(kept)(const cgru_call *call, ptrdiff_t i, ptrdiff_t t, ptrdiff_t c, ptrdiff_t n) {
    return call->kept.data ? NAME(load_n)(AT(call->kept, i, t) + c, n) : ZERO + (T)call->zoneout;
}

INLINE int NAME(keeps)(const cgru_call *call) { return call->zoneout != 0 || call->kept.data; }

/* r * c, c the product itself */
static void NAME(recurrent)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                            ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *r = ROW(call, row) + call->up + call->ep;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            const vec c = NAME(load)(tile);
            NAME(store)(r + v * LANES, NAME(load)(r + v * LANES) * c);
            if (call->c.data)
                NAME(store_n)(AT(call->c, SAMPLE(call, row), t) + v * LANES, c, NAME(min)(call->u - v * LANES, LANES));
        }
    }
}

/* hh = activate(hh_), r * c joining hh_ where the reset comes after; h = z * hp + (1 - z) * hh, with zoneout
 * k * hp + (1 - k) * that */
INLINE void NAME(candidate_)(const int plain, const cgru_product *product, ptrdiff_t t, ptrdiff_t row0,
                             ptrdiff_t rows, ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        ptrdiff_t sample = SAMPLE(call, row);
        T *h = ROW(call, row);
        const T *rc = h + call->up + call->ep, *z = rc + call->up;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            ptrdiff_t c = v * LANES, n = NAME(min)(call->u - c, LANES);
            vec x = NAME(load)(tile);
            if (!plain && call->after) x += NAME(load)(rc + c);
            vec hh = NAME(activate)(call->activate, x);
            vec update = NAME(load)(z + c), state = update * NAME(load)(h + c) + (1 - update) * hh;
            if (!plain && NAME(keeps)(call)) {
                const vec kept = NAME(kept)(call, sample, t, c, n);
                state = kept * NAME(load)(h + c) + (1 - kept) * state;
            }
            NAME(store)(h + c, state);
            if (call->h.data) NAME(store_n)(AT(call->h, sample, t) + c, state, n);
            if (call->hh.data) NAME(store_n)(AT(call->hh, sample, t) + c, hh, n);
            if (call->hh_.data) NAME(store_n)(AT(call->hh_, sample, t) + c, x, n);
        }
    }
}

static void NAME(candidate)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                            ptrdiff_t vector0, ptrdiff_t vectors, const void *tile) {
    if (product->call->after || NAME(keeps)(product->call))
        NAME(candidate_)(0, product, t, row0, rows, vector0, vectors, tile);
    else
        NAME(candidate_)(1, product, t, row0, rows, vector0, vectors, tile);
}

/* dh_ = dA + dhn; dhh_ = dh_ * (1 - z) * activate'(hh_); dz_ = dh_ * (hp - hh) * activate_update'(z_); and dh begins
 * as dh_ * z; with zoneout dh_ (1 - k) is what the gates get, and dh_ * k is carried. Where the reset comes after,
 * dr_ = dhh_ * c * activate_reset'(r_) and dc = dhh_ * r as well */
INLINE void NAME(gates_backward_)(const int plain, const cgru_call *call, ptrdiff_t t, ptrdiff_t row0,
                                  ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        ptrdiff_t i = SAMPLE(call, row);
        T *dh = ROW(call, row), *dhh_ = dh + call->up, *dz_ = dhh_ + call->up;
        T *dr_ = dz_ + call->up, *dc = dr_ + call->up;
        for (ptrdiff_t c = 0; c < call->u; c += LANES) {
            ptrdiff_t n = NAME(min)(call->u - c, LANES);
            vec hp = NAME(load_n)(AT(call->hp, i, t) + c, n), hh = NAME(load_n)(AT(call->hh, i, t) + c, n);
            vec z = NAME(load_n)(AT(call->z, i, t) + c, n);
            vec sum = NAME(load)(dh + c);
            if (call->dA.data) sum += NAME(load_n)(AT(call->dA, i, t) + c, n);
            vec fresh = sum, carried = sum * z;
            if (!plain && NAME(keeps)(call)) {
                const vec kept = NAME(kept)(call, i, t, c, n);
                fresh = sum * (1 - kept);
                carried = fresh * z + sum * kept;
            }
            vec candidate = fresh * (1 - z) * NAME(derivative)(call->activate, hh);
            vec update = fresh * (hp - hh) * NAME(derivative)(call->activate_update, z);
            NAME(store)(dhh_ + c, candidate);
            NAME(store)(dz_ + c, update);
            NAME(store)(dh + c, carried);
            if (call->dh_.data) NAME(store_n)(AT(call->dh_, i, t) + c, sum, n);
            NAME(store_n)(AT(call->dhh_, i, t) + c, candidate, n);
            NAME(store_n)(AT(call->dz_, i, t) + c, update, n);
            if (plain || !call->after) continue;
            vec r = NAME(load_n)(AT(call->r, i, t) + c, n), recurrent = candidate * r;
            vec reset = candidate * NAME(load_n)(AT(call->c, i, t) + c, n) * NAME(derivative)(call->activate_reset, r);
            NAME(store)(dr_ + c, reset);
            NAME(store)(dc + c, recurrent);
            NAME(store_n)(AT(call->dr_, i, t) + c, reset, n);
            NAME(store_n)(AT(call->dc, i, t) + c, recurrent, n);
        }
    }
}

static void NAME(gates_backward)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    if (call->after || NAME(keeps)(call))
        NAME(gates_backward_)(0, call, t, row0, rows);
    else
        NAME(gates_backward_)(1, call, t, row0, rows);
}

/* dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_); dh += (dhh_ Vhh^T) * r */
static void NAME(reset_backward)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                                 ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        ptrdiff_t i = SAMPLE(call, row);
        T *dh = ROW(call, row), *dr_ = dh + 3 * call->up;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            ptrdiff_t c = v * LANES, n = NAME(min)(call->u - c, LANES);
            vec drh = NAME(load)(tile), r = NAME(load_n)(AT(call->r, i, t) + c, n);
            vec reset = drh * NAME(load_n)(AT(call->hp, i, t) + c, n) * NAME(derivative)(call->activate_reset, r);
            NAME(store)(dr_ + c, reset);
            NAME(store)(dh + c, NAME(load)(dh + c) + drh * r);
            NAME(store_n)(AT(call->dr_, i, t) + c, reset, n);
        }
    }
}

/* dh += dz_ Vz^T + dr_ Vr^T, and dc Vhh^T where the reset comes after */
static void NAME(state_backward)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                                 ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *dh = ROW(call, row);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            ptrdiff_t c = v * LANES;
            vec sum = NAME(load)(dh + c) + NAME(load)(tile);
            NAME(store)(dh + c, sum);
            if (call->dh.data)
                NAME(store_n)(AT(call->dh, SAMPLE(call, row), t) + c, sum, NAME(min)(call->u - c, LANES));
        }
    }
}

/* dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T */
static void NAME(input_backward)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                                 ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *dX = AT(call->dX, SAMPLE(call, row), t);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES)
            NAME(store_n)(dX + v * LANES, NAME(load)(tile), NAME(min)(call->e - v * LANES, LANES));
    }
}

/* out = the product itself */
static void NAME(put)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                      ptrdiff_t vectors, const void *tile_) {
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES)
            NAME(store_n)(AT(product->out, row, t) + v * LANES, NAME(load)(tile),
                          NAME(min)(product->columns - v * LANES, LANES));
}
