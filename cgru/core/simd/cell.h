/* The elementwise half of a step on rows with units in the lanes, as epilogues of the products of gemm_microkernel.h:
 *
 *     [r_ | z_] = [hp | x] [V; U] + b        -> gates:      r * hp (or r) and z
 *     hh_ = [r * hp | x] [Vhh; Uhh] + bhh    -> candidate:  h;  reset after: c = hp Vhh + chh -> recurrent: r * c
 *
 * Rows of the workspace are laid out as `cgru_call.rows` says. It is chosen for batches whose lanes are units, and its
 * start and end also for a single sample. An epilogue gets rows row0... and vectors vector0... of a product as a tile.
 */

/* The row of a sample in the workspace. */
#define ROW(call, row) ((T *)(call)->rows + (row) * (call)->ld)

/* h of rows row0... = h0, or zero. A row of a single vector is cleared wholly: input projections may leave lanes of it
 * unwritten. */
static void load_h0(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows) {
    const ptrdiff_t n = call->projections && call->up > LANES ? call->projections : call->ld;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *h = ROW(call, row);
        memset(h, 0, n * sizeof(T));
        if (call->h0.data) memcpy(h, AT(call->h0, SAMPLE(call, row), 0), call->u * sizeof(T));
    }
}

/* Returns where the input projection x U + b of step t stands in a row; NULL: x is an operand of the products. */
INLINE const T *input_of(const cgru_call *call, const T *row, ptrdiff_t t) {
    return call->projections ? row + call->projections + t % CGRU_STEPS * 3 * call->up : NULL;
}

/* x of rows row0... = X[:, t], if x is an operand of the products. */
static void load_x(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    if (call->projections) return;
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        memcpy(ROW(call, row) + call->up, AT(call->X, SAMPLE(call, row), t), call->e * sizeof(T));
}

/* masked = hp * recurrent dropout mask, for each of r, z and hh, in rows row0... */
static void mask_state(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *h = ROW(call, row), *masked = h + call->masked;
        for (int gate = CGRU_R; gate <= CGRU_HH; gate++, masked += call->up)
            for (ptrdiff_t c = 0; c < call->u; c += LANES) {
                const place at = place_of(call, SAMPLE(call, row), 2 - gate, c);
                store(masked + c, load(h + c) * load_at(call->recurrent, at));
            }
    }
}

/* h of rows row0... becomes hp as it enters step t, by the factor `decay`. */
static void decay_state(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *h = ROW(call, row);
        for (ptrdiff_t c = 0; c < call->u; c += LANES) {
            const place at = place_of(call, SAMPLE(call, row), t, c);
            store(h + c, entering_state(call, at, load_spread(call->decay, at), load(h + c)));
        }
    }
}

/* Backward: dh of rows row0..., so far dL/dhp, becomes the gradient of the state before the factor. */
static void decay_backward(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        for (ptrdiff_t c = 0; c < call->u; c += LANES) {
            const place at = place_of(call, SAMPLE(call, row), t, c);
            leave_state(call, at, load_spread(call->decay, at), load(ROW(call, row) + c), ROW(call, row));
        }
}

/* last = h of rows row0... */
static void store_last(const cgru_call *call, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        memcpy(AT(call->last, SAMPLE(call, row), 0), ROW(call, row), call->u * sizeof(T));
}

/* Sets n numbers of step t of sample i of an array to zero, if it has data. */
INLINE void zero_step(cgru_array array, ptrdiff_t i, ptrdiff_t t, ptrdiff_t n) {
    if (array.data) memset(AT(array, i, t), 0, n * sizeof(T));
}

/* Fills the caches of step t, which is past the length of the samples: h is the last state (in reverse the first, which
 * is hp of the last step), the other caches are zero. */
static void pad(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row), u = call->u;
        if (call->h.data) memcpy(AT(call->h, i, t), ROW(call, row), u * sizeof(T));
        if (call->decay.data && call->hp.data) memcpy(AT(call->hp, i, t), ROW(call, row), u * sizeof(T));
        if (!call->padded) continue;
        zero_step(call->hh, i, t, u), zero_step(call->hh_, i, t, u);
        zero_step(call->z, i, t, u), zero_step(call->z_, i, t, u);
        zero_step(call->r, i, t, u), zero_step(call->r_, i, t, u), zero_step(call->c, i, t, u);
        zero_step(call->nU, i, t, 3 * u), zero_step(call->nV, i, t, 3 * u);
        zero_step(call->iU, i, t, 1), zero_step(call->iV, i, t, 1);
    }
}

/* Sets the gradients of step t, which is past the length of the samples, to zero. */
static void pad_backward(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row), u = call->u;
        zero_step(call->dh, i, t, u), zero_step(call->dhp, i, t, u), zero_step(call->dh_, i, t, u);
        zero_step(call->dhh_, i, t, u), zero_step(call->dz_, i, t, u), zero_step(call->dr_, i, t, u);
        zero_step(call->dc, i, t, u), zero_step(call->dX, i, t, call->e);
        zero_step(call->dU_, i, t, 3 * u), zero_step(call->dV_, i, t, 3 * u);
    }
}

/* Epilogue of [r_ | z_]: stores r * hp (or r, where the reset comes after) and z in the rows. */
static void gates(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                  ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *h = ROW(call, row), *rh = h + call->up + call->ep, *z = rh + call->up;
        const T *input = input_of(call, h, t), *masked = call->masked ? h + call->masked + CGRU_HH * call->up : h;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            const ptrdiff_t c = product->column + v * LANES, of_z = c - call->up;
            const vec sum = input ? load(tile) + load(input + c) : load(tile);
            if (of_z < 0)
                store(rh + c, reset_gate(call, place_of(call, i, t, c), sum, load(masked + c)));
            else
                store(z + of_z, update_gate(call, place_of(call, i, t, of_z), sum));
        }
    }
}

/* Epilogue of c = hp Vhh + chh: r becomes r * c in the rows. */
static void recurrent(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                      ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *r = ROW(call, row) + call->up + call->ep;
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            const place at = place_of(call, SAMPLE(call, row), t, v * LANES);
            store(r + at.c, reset_product(call, at, load(r + at.c), load(tile)));
        }
    }
}

/* Epilogue of hh_: h becomes the new state in the rows. `plain`, a constant: neither reset-after nor zoneout. */
INLINE void candidate_(const int plain, const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                       ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *h = ROW(call, row);
        const T *rc = h + call->up + call->ep, *z = rc + call->up, *input = input_of(call, h, t);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES) {
            const place at = place_of(call, i, t, v * LANES);
            const vec sum = input ? load(tile) + load(input + 2 * call->up + at.c) : load(tile);
            const vec hh_ = plain ? sum : preactivation(call, sum, rc + at.c);
            store(h + at.c, new_state(plain, call, at, hh_, load(z + at.c), load(h + at.c)));
        }
    }
}

/* Epilogue of hh_: calls `candidate_` with `plain` as a constant. */
static void candidate(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                      ptrdiff_t vectors, const void *tile) {
    if (is_plain(product->call))
        candidate_(1, product, t, row0, rows, vector0, vectors, tile);
    else
        candidate_(0, product, t, row0, rows, vector0, vectors, tile);
}

/* Writes dhh_, dz_, dh, and of reset-after dr_ and dc, into the rows, from dA and the dh of the next step. */
INLINE void gates_backward_(const int plain, const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row), up = call->up;
        T *dh = ROW(call, row), *dhh_ = dh + up, *dz_ = dhh_ + up, *dr_ = dz_ + up, *dc = dr_ + up;
        for (ptrdiff_t c = 0; c < call->u; c += LANES)
            gate_gradients(plain, call, place_of(call, i, t, c), dh, dhh_, dz_, dr_, dc);
    }
}

/* Calls `gates_backward_` with `plain` as a constant. */
static void gates_backward(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    if (is_plain(call))
        gates_backward_(1, call, t, row0, rows);
    else
        gates_backward_(0, call, t, row0, rows);
}

/* Returns the vector of a tile at column c, times the recurrent dropout mask of the product. */
INLINE vec masked(const cgru_product *product, ptrdiff_t i, ptrdiff_t c, const T *tile) {
    return product->mask.data ? load(tile) * load_at(product->mask, place_of(product->call, i, 0, c)) : load(tile);
}

/* Prefetches some vectors of two arrays in the step that runs backward `call->far` steps from now. The tiles of a step's
 * products are far enough apart for memory to keep up; elsewhere in the step nothing is computed meanwhile. */
static void prefetch_ahead(const cgru_call *call, cgru_array a, cgru_array b, ptrdiff_t i, ptrdiff_t t,
                           ptrdiff_t vector0, ptrdiff_t vectors) {
    t += call->reverse ? call->far : -call->far;
    for (ptrdiff_t v = vector0; v < vector0 + vectors; v++) {
        PREFETCH_L2(AT(a, i, t) + v * LANES);
        PREFETCH_L2(AT(b, i, t) + v * LANES);
    }
}

/* Epilogue of drh = dhh_ Vhh^T: dr_, and dh += drh * r. */
static void reset_backward(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                           ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *dh = ROW(call, row), *dr_ = dh + 3 * call->up;
        if (call->far) prefetch_ahead(call, call->hp, call->hh, i, t, vector0, vectors);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES)
            reset_gradient(call, place_of(call, i, t, v * LANES), masked(product, i, v * LANES, tile), dh, dr_);
    }
}

/* Epilogue of dz_ Vz^T + dr_ Vr^T (+ dc Vhh^T): dh += the product. */
static void state_backward(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                           ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *dh = ROW(call, row);
        if (call->far) prefetch_ahead(call, call->z, call->r, i, t, vector0, vectors);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES)
            state_gradient(call, place_of(call, i, t, v * LANES), masked(product, i, v * LANES, tile), dh);
    }
}

/* Epilogue of dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T: stores it. */
static void input_backward(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                                 ptrdiff_t vector0, ptrdiff_t vectors, const void *tile_) {
    const cgru_call *call = product->call;
    const T *tile = tile_;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        T *dX = call->staged ? ROW(call, row) + call->staged : AT(call->dX, SAMPLE(call, row), t);
        for (ptrdiff_t v = vector0; v < vector0 + vectors; v++, tile += LANES)
            store_n(dX + v * LANES, load(tile), min(call->e - v * LANES, LANES));
    }
}

/* Copies dX of step t from the rows to its array, past the caches. */
static void stream_input(const cgru_call *call, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = row0; row < row0 + rows; row++)
        stream_row(AT(call->dX, SAMPLE(call, row), t), ROW(call, row) + call->staged, call->e);
    finish_streams();
}

/* Epilogue that stores the product in `out`: row i at sample i and step t, or of rows in groups, number i of group t. */
static void store_product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t vector0,
                      ptrdiff_t vectors, const void *tile_) {
    const T *tile = tile_;
    const ptrdiff_t n = min(product->columns - vector0 * LANES, vectors * LANES);
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = product->group ? row % product->group : row, step = product->group ? row / product->group : t;
        T *out = AT(product->out, i, step) + vector0 * LANES;
        ptrdiff_t j = 0;
        for (; j + LANES <= n; j += LANES) store(out + j, load(tile + j));
        if (j < n) store_n(out + j, load(tile + j), n - j);
        tile += vectors * LANES;
    }
}
