/* The activation of a Dense layer, the loss of a head, and dL/dZ, in one sweep over the rows:
 *
 *     A = activate(Z),  L = share * sum over rows of weight * loss(A, Y),  dZ = dL/dZ
 *
 * Z, A, dZ and Y are strided matrices (rows, k). The formulas are those of cgru/losses.py. It is chosen for every Dense
 * layer of a compiled fit. A lane is a row, so that vectors are full whatever the number k of outputs; column j of a
 * vector of rows stands at a[j * LANES]. */

#if LANES > 1
typedef double doubles __attribute__((vector_size(LANES * 8)));
/* Converts a vec to doubles. */
#define TO_DOUBLES(x) __builtin_convertvector(x, doubles)
#else
typedef double doubles;
#define TO_DOUBLES(x) ((double)(x))
#endif

/* Returns output j of rows `row` to row + n, n <= LANES, one in each lane, zero in the rest. */
INLINE vec load_output(cgru_matrix Z, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n) {
    const T *at = (const T *)Z.data + row * Z.row + j * Z.column;
    if (Z.row == 1) return load_n(at, n);
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = at[i * Z.row];
    return load(lanes);
}

/* Stores x as output j of rows `row` to row + n, n <= LANES, one from each lane. */
INLINE void store_output(cgru_matrix Z, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n, vec x) {
    T *at = (T *)Z.data + row * Z.row + j * Z.column;
    if (Z.row == 1) {
        store_n(at, x, n);
        return;
    }
    ALIGNED T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) at[i * Z.row] = lanes[i];
}

/* Returns the classes of rows `row` to row + n, one in each lane. */
INLINE vec classes_of(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n) {
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = (T)loss->classes[row + i];
    return load(lanes);
}

/* Returns 1 where x is 0, else 0. */
INLINE vec is_zero(vec x) { return if_less(ZERO, x * x, ZERO, ZERO + 1); }

/* Returns target j of rows `row` to row + n, one in each lane; of classes, 1 or 0. */
INLINE vec target(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n) {
    return loss->classes ? is_zero(classes_of(loss, row, n) - (T)j) : load_output(loss->Y, row, j, n);
}

/* Returns the weight of a row, 1 without weights. */
INLINE double weight_of(const cgru_loss *loss, ptrdiff_t row) { return loss->weights ? loss->weights[row] : 1; }

/* Returns `share` times the weights of rows `row` to row + n, one in each lane. */
INLINE vec shares_of(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, double share) {
    if (!loss->weights) return ZERO + (T)share;
    ALIGNED T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = (T)(loss->weights[row + i] * share);
    return load(lanes);
}

/* Sums over rows, lane by lane. The loss is `losses`, plus `more` from scalar code, plus logarithms (`logs`). */
typedef struct {
    doubles losses, right; /* right: how many rows, or outputs, are classified rightly */
    double more;
} sums;

/* Returns the first n lanes of x, and `others` in the rest. */
INLINE vec first_lanes(vec x, ptrdiff_t n, vec others) {
    static const T index[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return n == LANES ? x : if_less(load(index), ZERO + (T)n, x, others);
}

/* sum += x * weight, lane by lane, for the first n lanes, which are rows `row` to row + n. */
INLINE void add_rows_to(doubles *sum, const cgru_loss *loss, ptrdiff_t row, vec x, ptrdiff_t n) {
    doubles weights = TO_DOUBLES(ZERO) + 1;
    if (loss->weights) memcpy(&weights, loss->weights + row, n * sizeof(double));
    *sum += weights * TO_DOUBLES(first_lanes(x, n, ZERO));
}

/* Returns the sum of all lanes, added by halves. */
INLINE double sum_of_doubles(const doubles *sum) {
    double lanes[LANES];
    memcpy(lanes, sum, sizeof(lanes));
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* A sum of logarithms as the logarithm of a product, as long as that does not overflow: one logarithm for many rows or,
 * where rows have weights, for many outputs of a row. */
typedef struct {
    vec factors;
    double bound; /* of every factor */
    double sum;
    const double *weights; /* of the n rows in the lanes, or NULL */
    ptrdiff_t n;
} logs;

#define MOST_FACTORS 1e30

/* Adds the logarithms of the factors (times their weights) to l->sum, and sets the factors to 1. */
INLINE void take_logs(logs *l) {
    double lanes[LANES], most = l->bound;
    ptrdiff_t n = LANES;
    const doubles factors = TO_DOUBLES(l->factors);
    memcpy(lanes, &factors, sizeof(lanes));
    for (ptrdiff_t i = 0; i < l->n; i++) l->sum += l->weights[i] * log(lanes[i]);
    if (!l->n) {
        while (n > 1 && most * most < 1e300) { /* by halves */
            n /= 2, most *= most;
            for (ptrdiff_t i = 0; i < n; i++) lanes[i] *= lanes[i + n];
        }
        for (ptrdiff_t i = 0; i < n; i++) l->sum += log(lanes[i]);
    }
    l->factors = ZERO + 1;
    l->bound = 1;
}

/* Adds log(x), 1 <= x <= bound, to a sum of logarithms, lane by lane. */
INLINE void add_log(logs *l, vec x, double bound) {
    if (l->bound * bound > MOST_FACTORS) take_logs(l);
    l->factors *= x;
    l->bound *= bound;
}

/* a = softmax(Z / temperature) of n rows, s = Z / temperature minus its largest; returns the sum of exp(s). */
INLINE vec softmax_of(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, T *s, T *a) {
    const T temperature = (T)loss->activate.alpha > 0 ? (T)loss->activate.alpha
                                                      : (sizeof(T) == 4 ? (T)1e-38 : (T)1e-308);
    vec most = load_output(loss->Z, row, 0, n), total = ZERO;
    for (ptrdiff_t j = 1; j < loss->k; j++) most = maximum(load_output(loss->Z, row, j, n), most);
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        vec x = load_output(loss->Z, row, j, n) - most;
        if (temperature != 1) x = x / temperature;
        const vec e = exp_negative(x);
        store(s + j * LANES, x);
        store(a + j * LANES, e);
        total += e;
    }
    const vec inverse = 1 / total;
    for (ptrdiff_t j = 0; j < loss->k; j++) store(a + j * LANES, load(a + j * LANES) * inverse);
    return total;
}

/* a = log softmax of n rows = s - log(total), of what `softmax_of` wrote and returned. */
INLINE void subtract_log(const cgru_loss *loss, ptrdiff_t n, const T *s, vec total, T *a) {
    ALIGNED T lanes[LANES];
    store(lanes, total);
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = (T)log((double)lanes[i]);
    for (ptrdiff_t j = 0; j < loss->k; j++) store(a + j * LANES, load(s + j * LANES) - load(lanes));
}

/* right += weight of each of n <= LANES rows whose largest output (a, in lanes) is where the largest target is; of
 * equal ones the first counts. */
INLINE void largest_agree(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, vec classes, sums *to) {
    vec most = load(a), at = ZERO, due = loss->classes ? ZERO : target(loss, row, 0, n), due_at = classes;
    for (ptrdiff_t j = 1; j < loss->k; j++) {
        const vec x = load(a + j * LANES);
        at = if_less(most, x, ZERO + (T)j, at);
        most = if_less(most, x, x, most);
        if (loss->classes) continue;
        const vec y = target(loss, row, j, n);
        due_at = if_less(due, y, ZERO + (T)j, due_at);
        due = if_less(due, y, y, due);
    }
    add_rows_to(&to->right, loss, row, is_zero(at - due_at), n);
}

/* right += weight * (outputs on the same side of 0.5 as their target, up to k) of n <= LANES rows; a is in lanes. */
INLINE void halves_agree(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, sums *to) {
    const vec half = ZERO + (T)0.5;
    vec right = ZERO;
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec said = if_less(half, load(a + j * LANES), ZERO + 1, ZERO);
        const vec due = if_less(half, target(loss, row, j, n), ZERO + 1, ZERO);
        right += 1 - (said - due) * (said - due);
    }
    add_rows_to(&to->right, loss, row, right, n);
}

/* Cross-entropy -sum of y log(a) and dL/dZ = a - y, computed from Z so that nothing overflows. If `smooth`, a constant,
 * targets are y (1 - smoothing) + smoothing / k. */
INLINE void softmax_cross_entropy(const int smooth, const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *s,
                                  const T *a, vec classes, vec total, sums *to, logs *l) {
    const vec share = shares_of(loss, row, n, loss->share / loss->activate.alpha);
    const T kept = (T)(1 - loss->numbers[0]), even = (T)(loss->numbers[0] / loss->k);
    vec dot = ZERO;
    add_log(l, first_lanes(total, n, ZERO + 1), (double)loss->k);
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec x = load(s + j * LANES);
        vec y = loss->classes ? is_zero(classes - (T)j) : load_output(loss->Y, row, j, n);
        if (smooth) y = y * kept + even;
        dot += loss->classes && !smooth ? if_less(ZERO, y, x, ZERO) : y * x;
        if (loss->dZ.data) store_output(loss->dZ, row, j, n, (load(a + j * LANES) - y) * share);
    }
    add_rows_to(&to->losses, loss, row, -dot, n);
}

/* losses += binary cross-entropy of sigmoid outputs, max(z, 0) - z y + log(1 + exp(-|z|)); writes dL/dZ = a - y. */
INLINE void sigmoid_cross_entropy(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, sums *to, logs *l) {
    const vec share = shares_of(loss, row, n, loss->share);
    vec sum = ZERO;
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec y = target(loss, row, j, n), z = load_output(loss->Z, row, j, n);
        const vec e = exp_negative(NUMBERS(BITS(z) | SIGN));
        add_log(l, first_lanes(1 + e, n, ZERO + 1), 2);
        sum += maximum(z, ZERO) - z * y;
        if (loss->dZ.data) store_output(loss->dZ, row, j, n, (load(a + j * LANES) - y) * share);
    }
    add_rows_to(&to->losses, loss, row, sum, n);
}

/* losses += weight * (a - y)^2; d = dL/dA. Here and in all losses below a and d hold n <= LANES rows in lanes. */
INLINE void squared_error(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    const vec share = shares_of(loss, row, n, 2 * loss->share);
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec error = load(a + j * LANES) - target(loss, row, j, n);
        add_rows_to(&to->losses, loss, row, error * error, n);
        store(d + j * LANES, error * share);
    }
}

/* losses += weight * -(y log(p) + (1 - y) log(1 - p)), p = a clipped away from 0 and 1; d = dL/dA. */
INLINE void binary_cross_entropy(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    const double low = sizeof(T) == 4 ? 1.1920928955078125e-7 : 2.220446049250313e-16, high = 1 - low;
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        store(y, target(loss, row, j, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double x = a[j * LANES + i], p = x < low ? low : x > high ? high : x;
            const double weight = weight_of(loss, row + i);
            value -= weight * (y[i] * log(p) + (1 - y[i]) * log1p(-p));
            d[j * LANES + i] = (T)((p - y[i]) / (p * (1 - p)) * (weight * loss->share));
        }
    }
    to->more += value;
}

/* losses += weight * (error^2 / 2 where |error| <= delta, else delta (|error| - delta / 2)); d = dL/dA. */
INLINE void huber(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    const vec share = shares_of(loss, row, n, loss->share), delta = ZERO + (T)loss->numbers[0];
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec error = load(a + j * LANES) - target(loss, row, j, n), above = maximum(error, -delta);
        const vec bounded = if_less(delta, above, delta, above);
        add_rows_to(&to->losses, loss, row, bounded * (error - bounded / 2), n);
        store(d + j * LANES, bounded * share);
    }
}

/* losses += weight * pinball loss: q error above the prediction, (q - 1) error below it; d = dL/dA. Each target has
 * `ways` outputs, one for each q. */
INLINE void quantile(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    const vec share = shares_of(loss, row, n, loss->share);
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec q = ZERO + (T)loss->numbers[j % loss->ways], under = ZERO + (T)(loss->numbers[j % loss->ways] - 1);
        const vec error = target(loss, row, j / loss->ways, n) - load(a + j * LANES);
        const vec slope = if_less(ZERO, error, q, if_less(error, ZERO, under, ZERO));
        add_rows_to(&to->losses, loss, row, error * if_less(error, ZERO, under, q), n);
        store(d + j * LANES, -slope * share);
    }
}

/* d = x, a gradient dL/dA. Returns infinity for the loss if the gradient is wanted and overflows T, else 0. */
INLINE double put_slope(const cgru_loss *loss, T *d, double x) {
    *d = (T)x;
    return loss->dZ.data && isinf(*d) ? INFINITY : 0;
}

/* losses += weight * (exp(a) - y a), for outputs a that are logarithms of rates; d = dL/dA. */
INLINE void poisson(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        store(y, target(loss, row, j, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double x = a[j * LANES + i], rate = exp(x), weight = weight_of(loss, row + i);
            value += weight * (rate - y[i] * x);
            value += put_slope(loss, d + j * LANES + i, (rate - y[i]) * (weight * loss->share));
        }
    }
    to->more += value;
}

/* losses += weight * (v + (mean - y)^2 exp(-v)) / 2, for outputs that are pairs of a mean and a log-variance v;
 * d = dL/dA. */
INLINE void gaussian(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d, sums *to) {
    ALIGNED T y[LANES];
    double value = 0;
    for (ptrdiff_t j = 0; j < loss->k; j += 2) {
        const T *mean = a + j * LANES, *v = mean + LANES;
        store(y, target(loss, row, j / 2, n));
        for (ptrdiff_t i = 0; i < n; i++) {
            const double error = (double)mean[i] - y[i], precision = exp(-(double)v[i]),
                         weight = weight_of(loss, row + i);
            const double square = error * error * precision, half = weight / 2;
            value += half * (v[i] + square);
            value += put_slope(loss, d + j * LANES + i, error * precision * (weight * loss->share));
            value += put_slope(loss, d + (j + 1) * LANES + i, (1 - square) * (half * loss->share));
        }
    }
    to->more += value;
}

/* Returns the derivative of an elementwise activation at output j of n rows, whose activations are A. */
INLINE vec derivative_at(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t j, ptrdiff_t n, vec A) {
    if (loss->activate.code < CGRU_FADING) return derivative(loss->activate, A);
    return layer_derivative(loss->activate, load_output(loss->Z, row, j, n));
}

/* Writes dL/dZ from d = dL/dA, by the derivative of the activation or the Jacobian of softmax, which is not built: with
 * its logarithm as activation dZ = dA - exp(A) sum(dA). */
INLINE void through_activation(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, const T *d) {
    const int code = loss->activate.code;
    vec dot = ZERO;
    for (ptrdiff_t j = 0; code < CGRU_IDENTITY && j < loss->k; j++)
        dot += code == CGRU_SOFTMAX ? load(a + j * LANES) * load(d + j * LANES) : load(d + j * LANES);
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        const vec A = load(a + j * LANES), dA = load(d + j * LANES);
        store_output(loss->dZ, row, j, n,
                   code == CGRU_SOFTMAX       ? A * (dA - dot) / (T)loss->activate.alpha
                   : code == CGRU_LOG_SOFTMAX ? dA - exp_negative(A) * dot
                                              : dA * derivative_at(loss, row, j, n, A));
    }
}

/* Stores a in A, and loads dL/dA from Y into d: for a layer that is no head. */
INLINE void no_loss(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, const T *a, T *d) {
    for (ptrdiff_t j = 0; j < loss->k; j++) {
        if (loss->A.data) store_output(loss->A, row, j, n, load(a + j * LANES));
        if (loss->dZ.data) store(d + j * LANES, load_output(loss->Y, row, j, n));
    }
}

/* Returns whether the loss computes dL/dA, so that `through_activation` must follow; else it writes dL/dZ itself. */
INLINE int from_outputs(const cgru_loss *loss) {
    return !(loss->kind == CGRU_CROSS_ENTROPY ||
             (loss->kind == CGRU_BINARY_CROSS_ENTROPY && loss->activate.code == CGRU_SIGMOID));
}

/* Runs activation, loss and gradient of n <= LANES rows from `row` on; adds to `to` and `l`, and writes A and dZ. */
INLINE void loss_of_rows(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t n, sums *to, logs *l) {
    T *s = loss->work, *a = s + loss->k * LANES;
    vec total = ZERO, classes = ZERO;
    if (loss->weights) l->weights = loss->weights + row, l->n = n;
    if (loss->activate.code < CGRU_IDENTITY)
        total = softmax_of(loss, row, n, s, a);
    else
        for (ptrdiff_t j = 0; j < loss->k; j++) {
            const vec z = load_output(loss->Z, row, j, n);
            store(a + j * LANES, loss->activate.code < CGRU_FADING ? activate(loss->activate, z)
                                                                   : activate_layer(loss->activate, z));
        }
    if (loss->activate.code == CGRU_LOG_SOFTMAX && loss->kind != CGRU_CROSS_ENTROPY) subtract_log(loss, n, s, total, a);
    switch (loss->kind) {
    case CGRU_CROSS_ENTROPY:
        if (loss->classes) classes = classes_of(loss, row, n);
        largest_agree(loss, row, n, a, classes, to);
        if (loss->numbers[0] > 0)
            softmax_cross_entropy(1, loss, row, n, s, a, classes, total, to, l);
        else
            softmax_cross_entropy(0, loss, row, n, s, a, classes, total, to, l);
        break;
    case CGRU_BINARY_CROSS_ENTROPY:
        halves_agree(loss, row, n, a, to);
        if (loss->activate.code == CGRU_SIGMOID) sigmoid_cross_entropy(loss, row, n, a, to, l);
        else binary_cross_entropy(loss, row, n, a, s, to);
        break;
    case CGRU_MEAN_SQUARED_ERROR: squared_error(loss, row, n, a, s, to); break;
    case CGRU_HUBER: huber(loss, row, n, a, s, to); break;
    case CGRU_QUANTILE: quantile(loss, row, n, a, s, to); break;
    case CGRU_POISSON: poisson(loss, row, n, a, s, to); break;
    case CGRU_GAUSSIAN: gaussian(loss, row, n, a, s, to); break;
    default: no_loss(loss, row, n, a, s);
    }
    if (loss->dZ.data && from_outputs(loss)) through_activation(loss, row, n, a, s);
    if (loss->weights) take_logs(l);
}

/* value += share * the loss of rows row0..., right += how many (weighted) are classified rightly; writes A and dZ. */
static void loss(const cgru_loss *loss, ptrdiff_t row0, ptrdiff_t rows, double *value, double *right) {
    logs l = {ZERO + 1, 1, 0, NULL, 0};
    sums found = {TO_DOUBLES(ZERO), TO_DOUBLES(ZERO), 0};
    ptrdiff_t row = row0;
    for (; row + LANES <= row0 + rows; row += LANES) loss_of_rows(loss, row, LANES, &found, &l);
    if (row < row0 + rows) loss_of_rows(loss, row, row0 + rows - row, &found, &l);
    take_logs(&l);
    *value += (sum_of_doubles(&found.losses) + found.more + l.sum) * loss->share;
    *right += sum_of_doubles(&found.right) / (loss->kind == CGRU_BINARY_CROSS_ENTROPY ? (double)loss->k : 1);
}
