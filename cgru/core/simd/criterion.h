/* The activation of a head, its loss, and dL/d(what comes before the activation), in one sweep. A lane is a row: whatever
 * the number k of outputs, vectors are full. The formulas are those of cgru/losses.py. */

/* Element j of n rows from `row` on, `at` being that of the first. */
INLINE vec across(cgru_matrix Z, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n) {
    const T *at = (const T *)Z.data + row * Z.row + j * Z.column;
    if (Z.row == 1) return load_n(at, n);
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = at[i * Z.row];
    return load(lanes);
}

INLINE void put_across(cgru_matrix Z, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n, vec x) {
    T *at = (T *)Z.data + row * Z.row + j * Z.column;
    if (Z.row == 1) {
        store_n(at, x, n);
        return;
    }
    ALIGNED T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) at[i * Z.row] = lanes[i];
}

/* Target j of n rows. */
INLINE vec target(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n) {
    if (!c->classes) return across(c->Y, row, j, n);
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = c->classes[row + i] == j;
    return load(lanes);
}

INLINE double weight_of(const cgru_criterion *c, ptrdiff_t row) { return c->weights ? c->weights[row] : 1; }

/* `share` of each of n rows, by their weights. */
INLINE vec shares_of(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, double share) {
    if (!c->weights) return ZERO + (T)share;
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = (T)(c->weights[row + i] * share);
    return load(lanes);
}

/* The sum of n rows' numbers, by their weights. */
INLINE double sum_of(const cgru_criterion *c, ptrdiff_t row, vec x, ptrdiff_t n) {
    ALIGNED T lanes[LANES];
    double sum = 0;
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) sum += weight_of(c, row + i) * lanes[i];
    return sum;
}

/* Sums of logarithms are logarithms of products, as long as these do not overflow: one logarithm for many rows, or, where
 * rows have weights, for many outputs of one. */
typedef struct {
    vec factors;
    double bound; /* none of the factors is larger */
    double sum;
    const double *weights; /* of the n rows that are the lanes, or NULL */
    ptrdiff_t n;
} logs;

#define MOST_FACTORS 1e30

INLINE void take_logs(logs *l) {
    ALIGNED T lanes[LANES];
    double product = 1;
    store(lanes, l->factors);
    for (ptrdiff_t i = 0; i < l->n; i++) l->sum += l->weights[i] * log(lanes[i]);
    for (ptrdiff_t i = 0; i < (l->n ? 0 : LANES); i++) {
        product *= lanes[i];
        if (product > 1e200) l->sum += log(product), product = 1;
    }
    l->sum += log(product);
    l->factors = ZERO + 1;
    l->bound = 1;
}

INLINE void add_log(logs *l, vec x, double bound) { /* of numbers from 1 to `bound` */
    if (l->bound * bound > MOST_FACTORS) take_logs(l);
    l->factors *= x;
    l->bound *= bound;
}

INLINE vec first_lanes(vec x, ptrdiff_t n, vec others) { /* n lanes of x, then others */
    ALIGNED T index[LANES];
    if (n == LANES) return x;
    for (ptrdiff_t i = 0; i < LANES; i++) index[i] = i < n;
    return if_less(ZERO, load(index), x, others);
}

/* A = softmax(Z / temperature) of n rows, and in `s` Z / temperature from its largest down; the sum of exp(s). */
INLINE vec softmax_of(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, T *s, T *a) {
    const T temperature = (T)c->activate.alpha > 0 ? (T)c->activate.alpha : (sizeof(T) == 4 ? (T)1e-38 : (T)1e-308);
    vec most = across(c->Z, row, 0, n), total = ZERO;
    for (ptrdiff_t j = 1; j < c->k; j++) most = at_least(across(c->Z, row, j, n), most);
    for (ptrdiff_t j = 0; j < c->k; j++) {
        vec x = across(c->Z, row, j, n) - most;
        if (temperature != 1) x = x / temperature;
        const vec e = exp_negative(x);
        store(s + j * LANES, x);
        store(a + j * LANES, e);
        total += e;
    }
    const vec inverse = 1 / total;
    for (ptrdiff_t j = 0; j < c->k; j++) store(a + j * LANES, load(a + j * LANES) * inverse);
    return total;
}

/* How many of n rows have their largest output where the largest target is; the first of equal ones counts. */
INLINE double largest_agree(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a) {
    vec most = load(a), at = ZERO, due = target(c, row, 0, n), due_at = ZERO;
    for (ptrdiff_t j = 1; j < c->k; j++) {
        const vec x = load(a + j * LANES), y = target(c, row, j, n);
        at = if_less(most, x, ZERO + (T)j, at);
        most = if_less(most, x, x, most);
        due_at = if_less(due, y, ZERO + (T)j, due_at);
        due = if_less(due, y, y, due);
    }
    const vec apart = (at - due_at) * (at - due_at);
    return sum_of(c, row, if_less(ZERO, apart, ZERO, ZERO + 1), n);
}

INLINE double halves_agree(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a) {
    const vec half = ZERO + (T)0.5;
    vec right = ZERO;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec said = if_less(half, load(a + j * LANES), ZERO + 1, ZERO);
        const vec due = if_less(half, target(c, row, j, n), ZERO + 1, ZERO);
        right += 1 - (said - due) * (said - due);
    }
    return sum_of(c, row, right, n) / c->k;
}

/* -log of the cross-entropy's probability, and dL/dZ, both from before the softmax. */
INLINE double softmax_cross_entropy(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *s, const T *a,
                                    vec total, logs *l) {
    const vec share = shares_of(c, row, n, c->share / c->activate.alpha);
    vec dot = ZERO;
    add_log(l, first_lanes(total, n, ZERO + 1), (double)c->k);
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec y = target(c, row, j, n), x = load(s + j * LANES);
        dot += c->classes ? if_less(ZERO, y, x, ZERO) : y * x;
        if (c->dZ.data) put_across(c->dZ, row, j, n, (load(a + j * LANES) - y) * share);
    }
    return -sum_of(c, row, dot, n);
}

/* max(z, 0) - z y + log(1 + exp(-|z|)) of each output, and dL/dZ */
INLINE double sigmoid_cross_entropy(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, logs *l) {
    const vec share = shares_of(c, row, n, c->share);
    vec sum = ZERO;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec y = target(c, row, j, n), z = across(c->Z, row, j, n);
        const vec e = exp_negative(NUMBERS(BITS(z) | SIGN));
        add_log(l, first_lanes(1 + e, n, ZERO + 1), 2);
        sum += at_least(z, ZERO) - z * y;
        if (c->dZ.data) put_across(c->dZ, row, j, n, (load(a + j * LANES) - y) * share);
    }
    return sum_of(c, row, sum, n);
}

/* The loss from the outputs, dL/dA in place of them in `d`. */
INLINE double squared_error(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    const vec share = shares_of(c, row, n, 2 * c->share);
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec error = load(a + j * LANES) - target(c, row, j, n);
        value += sum_of(c, row, error * error, n);
        store(d + j * LANES, error * share);
    }
    return value;
}

INLINE double binary_cross_entropy(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    const double low = sizeof(T) == 4 ? 1.1920928955078125e-7 : 2.220446049250313e-16, high = 1 - low;
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        store(y, target(c, row, j, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double x = a[j * LANES + i], p = x < low ? low : x > high ? high : x, weight = weight_of(c, row + i);
            value -= weight * (y[i] * log(p) + (1 - y[i]) * log1p(-p));
            d[j * LANES + i] = (T)((p - y[i]) / (p * (1 - p)) * (weight * c->share));
        }
    }
    return value;
}

INLINE double huber(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    const vec share = shares_of(c, row, n, c->share), delta = ZERO + (T)c->numbers[0];
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec error = load(a + j * LANES) - target(c, row, j, n), above = at_least(error, -delta);
        const vec bounded = if_less(delta, above, delta, above);
        value += sum_of(c, row, bounded * (error - bounded / 2), n);
        store(d + j * LANES, bounded * share);
    }
    return value;
}

INLINE double quantile(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    const vec share = shares_of(c, row, n, c->share);
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec q = ZERO + (T)c->numbers[j % c->ways], under = ZERO + (T)(c->numbers[j % c->ways] - 1);
        const vec error = target(c, row, j / c->ways, n) - load(a + j * LANES);
        const vec slope = if_less(ZERO, error, q, if_less(error, ZERO, under, ZERO));
        value += sum_of(c, row, error * if_less(error, ZERO, under, q), n);
        store(d + j * LANES, -slope * share);
    }
    return value;
}

/* `x` as dL/dA; where it is wanted and a T cannot hold it the loss is infinite, too: nothing can be learned from it. */
INLINE double put_slope(const cgru_criterion *c, T *d, double x) {
    *d = (T)x;
    return c->dZ.data && isinf(*d) ? INFINITY : 0;
}

INLINE double poisson(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j++) {
        store(y, target(c, row, j, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double x = a[j * LANES + i], rate = exp(x), weight = weight_of(c, row + i);
            value += weight * (rate - y[i] * x);
            value += put_slope(c, d + j * LANES + i, (rate - y[i]) * (weight * c->share));
        }
    }
    return value;
}

INLINE double gaussian(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < c->k; j += 2) { /* a mean, and a log-variance */
        const T *mean = a + j * LANES, *v = mean + LANES;
        store(y, target(c, row, j / 2, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double error = (double)mean[i] - y[i], precision = exp(-(double)v[i]), weight = weight_of(c, row + i);
            const double square = error * error * precision, half = weight / 2;
            value += half * (v[i] + square);
            value += put_slope(c, d + j * LANES + i, error * precision * (weight * c->share));
            value += put_slope(c, d + (j + 1) * LANES + i, (1 - square) * (half * c->share));
        }
    }
    return value;
}

/* dL/dZ from dL/dA, in `d`: by the derivative of each output, or by softmax's Jacobian, which need not be built. */
INLINE void through_activation(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, const T *d) {
    vec dot = ZERO;
    if (c->activate.code == CGRU_SOFTMAX)
        for (ptrdiff_t j = 0; j < c->k; j++) dot += load(a + j * LANES) * load(d + j * LANES);
    for (ptrdiff_t j = 0; j < c->k; j++) {
        const vec A = load(a + j * LANES), dA = load(d + j * LANES);
        put_across(c->dZ, row, j, n,
                   c->activate.code == CGRU_SOFTMAX ? A * (dA - dot) / (T)c->activate.alpha
                                                    : dA * derivative(c->activate, A));
    }
}

/* The outputs, or dL/dZ from dL/dA. */
INLINE double no_loss(const cgru_criterion *c, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    for (ptrdiff_t j = 0; j < c->k; j++) {
        if (c->A.data) put_across(c->A, row, j, n, load(a + j * LANES));
        if (c->dZ.data) store(d + j * LANES, across(c->Y, row, j, n));
    }
    return 0;
}

INLINE int from_outputs(const cgru_criterion *c) { /* whether the loss has no dL/dZ of its own */
    return !(c->loss == CGRU_CROSS_ENTROPY ||
             (c->loss == CGRU_BINARY_CROSS_ENTROPY && c->activate.code == CGRU_SIGMOID));
}

static void criterion(const cgru_criterion *c, ptrdiff_t row0, ptrdiff_t rows, double *value, double *right) {
    T *s = c->work, *a = s + c->k * LANES;
    logs l = {ZERO + 1, 1, 0, NULL, 0};
    double sum = 0;
    for (ptrdiff_t row = row0; row < row0 + rows; row += LANES) {
        const ptrdiff_t n = min(row0 + rows - row, LANES);
        vec total = ZERO;
        if (c->weights) l.weights = c->weights + row, l.n = n;
        if (c->activate.code == CGRU_SOFTMAX)
            total = softmax_of(c, row, n, s, a);
        else
            for (ptrdiff_t j = 0; j < c->k; j++)
                store(a + j * LANES, activate(c->activate, across(c->Z, row, j, n)));
        switch (c->loss) {
        case CGRU_CROSS_ENTROPY:
            *right += largest_agree(c, row, n, a);
            sum += softmax_cross_entropy(c, row, n, s, a, total, &l);
            break;
        case CGRU_BINARY_CROSS_ENTROPY:
            *right += halves_agree(c, row, n, a);
            sum += c->activate.code == CGRU_SIGMOID ? sigmoid_cross_entropy(c, row, n, a, &l)
                                                    : binary_cross_entropy(c, row, n, a, s);
            break;
        case CGRU_MEAN_SQUARED_ERROR: sum += squared_error(c, row, n, a, s); break;
        case CGRU_HUBER: sum += huber(c, row, n, a, s); break;
        case CGRU_QUANTILE: sum += quantile(c, row, n, a, s); break;
        case CGRU_POISSON: sum += poisson(c, row, n, a, s); break;
        case CGRU_GAUSSIAN: sum += gaussian(c, row, n, a, s); break;
        default: sum += no_loss(c, row, n, a, s);
        }
        if (c->dZ.data && from_outputs(c)) through_activation(c, row, n, a, s);
        if (c->weights) take_logs(&l);
    }
    take_logs(&l);
    *value += (sum + l.sum) * c->share;
}
