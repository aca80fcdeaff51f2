/* The layer-normalised step (Ba, Kiros and Hinton, 2016): what stands between its products, which see a row a tile at a
 * time, and its caches. A row's products have three parts of up numbers, those of r, z and hh; its caches have three of u,
 * those of z, r and hh. */

#define EPSILON 1e-5

static const int column[3] = {1, 0, 2}; /* of r, z and hh in the caches */

/* Runs through the vectors of a row's three parts: the first n numbers at `at` of a row, `of` of a cache. */
#define EACH_VECTOR(call, at, of, n)                                                                       \
    for (ptrdiff_t gate = 0; gate < 3; gate++)                                                             \
        for (ptrdiff_t c = 0, at = gate * (call)->up, of = column[gate] * (call)->u, n;              \
             c < (call)->u && (n = min((call)->u - c, LANES)); c += LANES, at += LANES, of += LANES)

INLINE T sum_of_lanes(vec x) {
    T lanes[LANES], sum = 0;
    store(lanes, x);
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

INLINE vec zero_past(vec x, ptrdiff_t n) { /* x, zero from lane n on */
    T lanes[LANES];
    if (n == LANES) return x;
    store(lanes, x);
    return load_n(lanes, n);
}

/* x = (x - mean) i with i = 1 / sqrt(variance + eps), both of which go into the caches. The variance is taken from what
 * is left without the mean: the difference of two large numbers would have no digits. */
INLINE void normalise(const cgru_call *call, ptrdiff_t sample, ptrdiff_t t, T *x, cgru_array normal,
                            cgru_array factor) {
    vec sum = ZERO, squares = ZERO;
    EACH_VECTOR(call, at, of, n) sum += load_n(x + at, n);
    const T mean = sum_of_lanes(sum) / (T)(3 * call->u);
    EACH_VECTOR(call, at, of, n) {
        const vec rest = zero_past(load(x + at) - mean, n);
        store(x + at, rest);
        squares += rest * rest;
    }
    const T i = (T)(1 / sqrt((double)sum_of_lanes(squares) / (double)(3 * call->u) + EPSILON));
    EACH_VECTOR(call, at, of, n) {
        const vec y = load(x + at) * i;
        store(x + at, y);
        if (normal.data) store_n(AT(normal, sample, t) + of, y, n);
    }
    if (factor.data) *AT(factor, sample, t) = i;
}

/* r_ = gU nU + gV nV + br, z_ likewise with bz; c = gV nV + chh; hh_ = gU nU + bhh + r * c. The rows are
 * h | x | products of X | products of hp. */
static void norm_forward(const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const cgru_call *call = norm->call;
    const ptrdiff_t up = call->up;
    const T *gU = norm->gains, *gV = gU + 3 * up, *b = norm->bias;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *h = ROW(call, row), *nU = h + up + call->ep, *nV = nU + 3 * up;
        normalise(call, i, t, nU, call->nU, call->iU);
        normalise(call, i, t, nV, call->nV, call->iV);
#define SCALED(x, g, gate) (load(x + (gate) * up + c) * load(g + (gate) * up + c))
        for (ptrdiff_t c = 0; c < call->u; c += LANES) {
            const place at = place_of(call, i, t, c);
            const vec r_ = SCALED(nU, gU, CGRU_R) + SCALED(nV, gV, CGRU_R) + load(b + CGRU_R * up + c);
            const vec z_ = SCALED(nU, gU, CGRU_Z) + SCALED(nV, gV, CGRU_Z) + load(b + CGRU_Z * up + c);
            const vec product = SCALED(nV, gV, CGRU_HH) + load(b + CGRU_C * up + c), hp = load(h + c);
            const vec r = reset_gate(call, at, r_, hp), z = update_gate(call, at, z_);
            const vec hh_ = SCALED(nU, gU, CGRU_HH) + load(b + CGRU_HH * up + c) + reset_product(call, at, r, product);
            store(h + c, new_state(0, call, at, hh_, z, hp));
        }
    }
}

/* into = i (y - mean(y) - normal * mean(y * normal)), y = d times the gains, and into its cache. */
INLINE void normalise_backward(const cgru_call *call, ptrdiff_t sample, ptrdiff_t t, const T *const *d,
                                     const T *gains, cgru_array normal, cgru_array factor, T *into, cgru_array out) {
    const T *x = AT(normal, sample, t), i = *AT(factor, sample, t);
    vec sum = ZERO, products = ZERO;
    EACH_VECTOR(call, at, of, n) {
        const vec y = load(d[gate] + c) * load(gains + at);
        store(into + at, y);
        sum += y;
        products += y * load_n(x + of, n);
    }
    const T mean = sum_of_lanes(sum) / (T)(3 * call->u), slope = sum_of_lanes(products) / (T)(3 * call->u);
    EACH_VECTOR(call, at, of, n) {
        const vec y = i * (load(into + at) - mean - load_n(x + of, n) * slope);
        store(into + at, y);
        store_n(AT(out, sample, t) + of, y, n);
    }
}

/* dU_ of dr_, dz_ and dhh_, dV_ of dr_, dz_ and dc. The rows are dh | dhh_ | dz_ | dr_ | dc | dU_ | dV_. */
static void norm_backward(const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const cgru_call *call = norm->call;
    const ptrdiff_t up = call->up;
    const T *gU = norm->gains, *gV = gU + 3 * up;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *dhh_ = ROW(call, row) + up, *dz_ = dhh_ + up, *dr_ = dz_ + up, *dc = dr_ + up;
        T *dU_ = dc + up, *dV_ = dU_ + 3 * up;
        const T *of_U[3] = {dr_, dz_, dhh_}, *of_V[3] = {dr_, dz_, dc};
        normalise_backward(call, i, t, of_U, gU, call->nU, call->iU, dU_, call->dU_);
        normalise_backward(call, i, t, of_V, gV, call->nV, call->iV, dV_, call->dV_);
    }
}
