/* The switching GRU: a GRU whose weights are those of the token k of a step, by `switching_forward` of
 * cgru/reference.py, with samples in the lanes, forward, backward and gradients:
 *
 *     [r_ | z_ | c] = [U_r | U_z | b][k] + hp V[k]       hh_ = U_hh[k] + r * c
 *
 * A product takes the weights of all K tokens side by side, and the state once for each token, zero in the lanes of
 * samples with another token. That multiplies K times as much as one GRU, which is little beside the activations of
 * the few units that such models have, and needs no weights of a single lane.
 *
 * Parameters are U (K, 3 u), V (K, u, 3 u) and b (K, u), the columns r | z | hh. The arrays of the call lie as (s, u, m),
 * its e is K. Its rows are the packed weights, then `ld` numbers for each part of the samples. */

/* The packed weights: of the gates (3 u, K (1 + u)), of the candidate (u, K), and transposes (u, 3 u K). */
INLINE ptrdiff_t packed_candidate(const cgru_call *call) { return 3 * call->u * call->e * (1 + call->u); }
INLINE ptrdiff_t packed_transposes(const cgru_call *call) { return packed_candidate(call) + call->u * call->e; }
INLINE ptrdiff_t packed_size(const cgru_call *call) {
    return VECTORS_OF(packed_transposes(call) + 3 * call->u * call->u * call->e) * LANES;
}

/* The vectors of the gradients of a token: those of [U_r | U_z | b] and below them of V (1 + u, 3 u), then of U_hh. */
INLINE ptrdiff_t token_vectors(ptrdiff_t u) { return 3 * u * (1 + u) + u; }

/* The vectors of a pair, a step and LANES samples: [dr_ | dz_ | dc_ | dhh_], [1 | hp], these for one token, the tokens. */
INLINE ptrdiff_t switching_pair(ptrdiff_t u) { return 4 * u + 2 * (1 + u) + 1; }

/* Returns how many pairs are multiplied together, so that they stay in an L1 cache. */
INLINE ptrdiff_t switching_pairs(ptrdiff_t u) {
    const ptrdiff_t pairs = PAIRS_IN_L1 / (switching_pair(u) * LANES * SIZE);
    return pairs < 4 ? 4 : pairs;
}

/* Returns the numbers of the packed weights, or with `part` of the memory of a part of the samples, forward or `back`. */
static ptrdiff_t switching_size(const cgru_call *call, int part, int back) {
    const ptrdiff_t u = call->u, K = call->e;
    if (!part) return packed_size(call);
    if (!back) return (K * (1 + u) + 5 * u) * LANES;
    return (3 * u * K + 2 * u + K * token_vectors(u) + switching_pairs(u) * switching_pair(u)) * LANES;
}

/* Packs the parameters p. */
static void switching_pack(const cgru_call *call, const void *const *p) {
    const ptrdiff_t u = call->u, K = call->e, n = 3 * u, depth = K * (1 + u);
    const T *U = p[0], *V = p[1], *b = p[2];
    T *gates = call->rows, *candidate = gates + packed_candidate(call), *transposes = gates + packed_transposes(call);
    for (ptrdiff_t k = 0; k < K; k++)
        for (ptrdiff_t j = 0; j < n; j++) {
            gates[j * depth + k] = j < 2 * u ? U[k * n + j] : b[k * u + j - 2 * u];
            if (j >= 2 * u) candidate[(j - 2 * u) * K + k] = U[k * n + j];
            for (ptrdiff_t i = 0; i < u; i++)
                gates[j * depth + K + k * u + i] = transposes[(i * K + k) * n + j] = V[(k * u + i) * n + j];
        }
}

/* Loads n tokens; lanes beyond have none. */
INLINE ints load_tokens(const ptrdiff_t *tokens, ptrdiff_t n) {
    INT lanes[LANES];
    ints found;
    for (ptrdiff_t i = 0; i < LANES; i++) lanes[i] = i < n ? (INT)tokens[i] : -1;
    memcpy(&found, lanes, sizeof found);
    return found;
}

/* Returns how many of the LANES samples from i on have step t. */
INLINE ptrdiff_t samples_at(const cgru_call *call, ptrdiff_t i, ptrdiff_t t) {
    return min((call->running ? call->running[t] : call->m) - i, LANES);
}

/* out (n, LANES) = W (n, depth) panel (depth, LANES). */
INLINE void panel_product(const T *W, ptrdiff_t depth, ptrdiff_t n, const T *panel, T *out) {
    const split blocks = split_of(n, ROWS);
    PARTS(blocks, b, first, count) {
        const cgru_operand rows = {W + first * depth, depth, depth};
        many_tiles[count - 1][0](&rows, 1, panel, NULL, out + first * LANES);
    }
}

/* to (K, n, LANES) = `from` (n, LANES), for each token zero in the lanes that have another one. */
INLINE void switched(ints token, ptrdiff_t K, ptrdiff_t n, const T *from, T *to) {
    for (ptrdiff_t k = 0; k < K; k++) {
        const ints mask = token == (INT)k;
        for (ptrdiff_t c = 0; c < n; c++, to += LANES) store(to, SELECT(mask, load(from + c * LANES), ZERO));
    }
}

/* Runs LANES samples from i on forward. */
static void switching_steps(const cgru_call *call, const ptrdiff_t *tokens, ptrdiff_t i, T *memory) {
    const ptrdiff_t u = call->u, K = call->e, part = u * LANES, depth = K * (1 + u);
    const T *gates = call->rows, *candidate = gates + packed_candidate(call);
    T *hp = memory, *panel = hp + part, *r_ = panel + depth * LANES, *z_ = r_ + part, *c_ = z_ + part, *own = c_ + part;
    for (ptrdiff_t t = 0, n; t < call->s && (n = samples_at(call, i, t)) > 0; t++) {
        const ints token = load_tokens(tokens + t * call->m + i, n);
        place at = {i, t, 0, n, 1, 0, NULL};
        for (; at.unit < u; at.unit++) store(hp + at.unit * LANES, load_at(call->hp, at));
        for (ptrdiff_t k = 0; k < K; k++) store(panel + k * LANES, SELECT(token == (INT)k, ZERO + 1, ZERO));
        switched(token, K, u, hp, panel + K * LANES);
        panel_product(gates, depth, 3 * u, panel, r_);
        panel_product(candidate, K, u, panel, own);
        for (at.unit = 0; at.unit < u; at.unit++) {
            const ptrdiff_t c = at.unit * LANES;
            const vec r = sigmoid_of(load(r_ + c)), z = sigmoid_of(load(z_ + c));
            const vec hh = tanh_of(load(own + c) + r * load(c_ + c));
            store_at(call->h, at, z * load(hp + c) + (1 - z) * hh);
            if (!call->r.data) continue;
            store_at(call->r, at, r), store_at(call->z, at, z), store_at(call->c, at, load(c_ + c));
            store_at(call->hh, at, hh);
        }
    }
}

/* The vectors of samples from `first` to `last` of a part, and its memory behind the packed weights. */
typedef struct { ptrdiff_t first, last; T *memory; } switching_part;

INLINE switching_part part_of(const cgru_call *call, ptrdiff_t part, ptrdiff_t parts) {
    const ptrdiff_t vectors = VECTORS_OF(call->m);
    return (switching_part){part * vectors / parts, (part + 1) * vectors / parts,
                            (T *)call->rows + packed_size(call) + part * call->ld};
}

/* Runs a part of the samples forward. */
static void switching_forward(const cgru_call *call, const ptrdiff_t *tokens, ptrdiff_t part, ptrdiff_t parts) {
    const switching_part own = part_of(call, part, parts);
    for (ptrdiff_t v = own.first; v < own.last; v++) switching_steps(call, tokens, v * LANES, own.memory);
}

/* sums (K, ...) += the outer products of `count` pairs, token by token. */
static void multiply_switched(const cgru_call *call, T *pairs, ptrdiff_t count, T *sums) {
    const ptrdiff_t u = call->u, width = switching_pair(u) * LANES;
    const split rows = split_of(1 + u, OUTER_ROWS), columns = split_of(3 * u, OUTER_COLUMNS);
    const split of_own = split_of(u, OUTER_COLUMNS);
    for (ptrdiff_t k = 0; k < call->e; k++, sums += token_vectors(u) * LANES) {
        T *hp = pairs + 4 * u * LANES, *of_k = hp + (1 + u) * LANES, *own = sums + 3 * u * (1 + u) * LANES;
        for (ptrdiff_t j = 0; j < count; j++) {
            const vec token = load(of_k + (1 + u) * LANES + j * width);
            const ints mask = BITS(token) == (INT)k;
            for (ptrdiff_t c = 0; c < (1 + u) * LANES; c += LANES)
                store(of_k + j * width + c, SELECT(mask, load(hp + j * width + c), ZERO));
        }
        PARTS(rows, r, i, height) {
            PARTS(columns, c, j, wide)
                outers[wide - 1][height - 1](of_k + i * LANES, pairs + j * LANES, width, count,
                                             sums + (i * 3 * u + j) * LANES, 3 * u * LANES);
        }
        PARTS(of_own, c, j, wide)
            outers[wide - 1][0](of_k, pairs + (3 * u + j) * LANES, width, count, own + j * LANES, u * LANES);
    }
}

/* Runs a part of the samples back, and sums their gradients. h0 is dL/d(last state), (m, u). */
static void switching_backward(const cgru_call *call, const ptrdiff_t *tokens, ptrdiff_t number, ptrdiff_t parts) {
    const switching_part own = part_of(call, number, parts);
    const ptrdiff_t u = call->u, K = call->e, part = u * LANES, width = switching_pair(u) * LANES;
    const ptrdiff_t depth = switching_pairs(u), column = call->hp.column;
    const T *transposes = (const T *)call->rows + packed_transposes(call);
    T *panel = own.memory, *dh = panel + 3 * K * part, *sum = dh + part, *sums = sum + part;
    T *pairs = sums + K * token_vectors(u) * LANES;
    ptrdiff_t count = 0;
    memset(sums, 0, K * token_vectors(u) * LANES * sizeof(T));
    for (ptrdiff_t v = own.first, i = v * LANES; v < own.last; v++, i += LANES) {
        memset(dh, 0, part * sizeof(T));
        for (ptrdiff_t c = 0; call->h0.data && c < u; c++) {
            const ptrdiff_t n = min(call->m - i, LANES);
            store(dh + c * LANES, gather(AT(call->h0, i, 0) + c, call->h0.sample, n));
        }
        for (ptrdiff_t t = call->s - 1; t >= 0; t--) {
            const ptrdiff_t n = samples_at(call, i, t);
            if (n <= 0) continue;
            T *d = pairs + count * width, *hp = d + 4 * part;
            const ints token = load_tokens(tokens + t * call->m + i, n);
            store(hp, ZERO + 1);
            store(hp + 2 * (LANES + part), NUMBERS(token));
            for (ptrdiff_t c = 0; c < u; c++) {
                const ptrdiff_t at = c * LANES, of_c = c * column;
                const vec h = load_n(AT(call->hp, i, t) + of_c, n), r = load_n(AT(call->r, i, t) + of_c, n);
                const vec z = load_n(AT(call->z, i, t) + of_c, n), hh = load_n(AT(call->hh, i, t) + of_c, n);
                vec dh_ = load_n(dh + at, n);
                if (call->dA.data) dh_ += load_at(call->dA, (place){i, t, 0, n, 1, c, NULL});
                const vec dhh_ = dh_ * (1 - z) * (1 - hh * hh);
                store(hp + LANES + at, h);
                store(d + at, dhh_ * load_n(AT(call->c, i, t) + of_c, n) * r * (1 - r));
                store(d + part + at, dh_ * (h - hh) * z * (1 - z));
                store(d + 2 * part + at, dhh_ * r);
                store(d + 3 * part + at, dhh_);
                store_n(dh + at, dh_ * z, n);
            }
            switched(token, K, 3 * u, d, panel);
            panel_product(transposes, 3 * u * K, u, panel, sum);
            for (ptrdiff_t c = 0; c < part; c += LANES) store_n(dh + c, load_n(dh + c, n) + load(sum + c), n);
            if (++count == depth) multiply_switched(call, pairs, count, sums), count = 0;
        }
    }
    multiply_switched(call, pairs, count, sums);
}

/* to (n) += the sums of all `parts` from vector `at` on, part by part, then lane by lane. */
static void add_switched(const cgru_call *call, ptrdiff_t parts, ptrdiff_t at, T *to, ptrdiff_t n) {
    const T *sums = (const T *)call->rows + packed_size(call) + (3 * call->e + 2) * call->u * LANES + at * LANES;
    for (ptrdiff_t c = 0; c < n; c += LANES) {
        const ptrdiff_t numbers = min(n - c, LANES);
        vec sum[LANES], total = ZERO;
        UNROLL(16)
        for (int j = 0; j < LANES; j++) sum[j] = ZERO;
        for (ptrdiff_t k = 0; k < parts; k++) {
            UNROLL(16)
            for (int j = 0; j < LANES; j++)
                if (j < numbers) sum[j] += load(sums + k * call->ld + (c + j) * LANES);
        }
        transpose(sum);
        UNROLL(16)
        for (int j = 0; j < LANES; j++) total += sum[j];
        store_n(to + c, load_n(to + c, numbers) + total, numbers);
    }
}

/* Adds the sums of all parts to the gradients dU, dV and db. */
static void switching_add(const cgru_call *call, void *const *dp, ptrdiff_t parts) {
    const ptrdiff_t u = call->u, n = 3 * u;
    for (ptrdiff_t k = 0, at = 0; k < call->e; k++, at += token_vectors(u)) {
        T *dU = (T *)dp[0] + k * n;
        add_switched(call, parts, at, dU, 2 * u);
        add_switched(call, parts, at + 2 * u, (T *)dp[2] + k * u, u);
        add_switched(call, parts, at + n, (T *)dp[1] + k * u * n, u * n);
        add_switched(call, parts, at + n * (1 + u), dU + 2 * u, u);
    }
}
