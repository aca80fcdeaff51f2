/* The step with layer norm (Ba, Kiros and Hinton, 2016), between its products and its caches:
 *
 *     N(a) = (a - mean(a)) / sqrt(variance(a) + eps) over the 3 u numbers of a row;  nU = N(x U),  nV = N(hp V)
 *     r_ = gU nU + gV nV + br,  z_ = gU nU + gV nV + bz,  c = gV nV + chh,  hh_ = gU nU + bhh + r * c
 *
 * A row of products has three parts of up numbers, r | z | hh; a row of the caches has three parts of u, z | r | hh. It
 * is chosen for CGRU_LAYER_NORM, for any m: it needs whole rows, while epilogues get a row tile by tile. */

#define EPSILON 1e-5

static const int column[3] = {1, 0, 2}; /* position of r, z and hh in the caches */

/* Loops over the vectors of the three parts of a row: n numbers at `at` of a row, and at `of` of a cache. */
#define EACH_VECTOR(call, at, of, n)                                                                       \
    for (ptrdiff_t gate = 0; gate < 3; gate++)                                                             \
        for (ptrdiff_t c = 0, at = gate * (call)->up, of = column[gate] * (call)->u, n;              \
             c < (call)->u && (n = min((call)->u - c, LANES)); c += LANES, at += LANES, of += LANES)

/* Returns the sum of the lanes. */
INLINE T sum_of_lanes(vec x) {
    T lanes[LANES], sum = 0;
    store(lanes, x);
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

/* Returns x, zero from lane n on. */
INLINE vec zero_past(vec x, ptrdiff_t n) {
    T lanes[LANES];
    if (n == LANES) return x;
    store(lanes, x);
    return load_n(lanes, n);
}

/* x (3 u) = (x - mean) i in place, i = 1 / sqrt(variance + eps); both also go into caches (`normal`, `factor`). The
 * variance is that of x - mean: mean(x^2) - mean(x)^2, the difference of two large numbers, would lose digits. */
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

/* Runs step t of rows row0...: h from the products, r_ = gU nU + gV nV + br, z_ = gU nU + gV nV + bz, c = gV nV + chh,
 * hh_ = gU nU + bhh + r * c. Rows are h | x | products of X | products of hp. */
static void norm_forward(const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const cgru_call *call = norm->call;
    const ptrdiff_t up = call->up;
    const T *gU = norm->gains, *gV = gU + 3 * up, *b = norm->bias;
    for (ptrdiff_t row = row0; row < row0 + rows; row++) {
        const ptrdiff_t i = SAMPLE(call, row);
        T *h = ROW(call, row), *nU = h + up + call->ep, *nV = nU + 3 * up;
        normalise(call, i, t, nU, call->nU, call->iU);
        normalise(call, i, t, nV, call->nV, call->iV);
/* Returns the vector of gate `gate` at column c: x times the gains g. */
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

/* into (3 u) = i (y - mean(y) - normal * mean(y * normal)), y = d times the gains; also stored in the cache `out`. */
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

/* Writes dU_ from dr_, dz_ and dhh_, and dV_ from dr_, dz_ and dc, into rows row0... and the caches: gradients of the
 * products before normalising. Rows are dh | dhh_ | dz_ | dr_ | dc | dU_ | dV_. */
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
