/* One step of an optimizer on n parameters, in contiguous arrays; formulas and names are those of cgru/optimizers.py:
 *
 *     sgd:      v = momentum v + g;  p -= rate v
 *     adam:     mean += (1 - beta1) (g - mean);  square += (1 - beta2) (g^2 - square)
 *               p = decay p - rate mean / (sqrt(square) / root + epsilon)
 *     rmsprop:  square likewise;  v = momentum v + g / (sqrt(square) + epsilon);  p = decay p - rate v
 *     adagrad:  square += g^2;  v = momentum v + g / sqrt(square + epsilon);  p = decay p - rate v
 *
 * `old` and `updated` hold p and the optimizer state. They may be the same arrays; where they are not, the state before
 * the step is kept. It is chosen for every update of a compiled fit. */

/* Returns sqrt(x). */
INLINE vec square_root(vec x) {
#if BYTES == 64
    return (vec)MM(sqrt)((native)x);
#elif BYTES == 32 && SIZE == 4
    return (vec)_mm256_sqrt_ps((__m256)x);
#elif BYTES == 32
    return (vec)_mm256_sqrt_pd((__m256d)x);
#else
    ALIGNED T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < LANES; i++) lanes[i] = (T)sqrt(lanes[i]);
    return load(lanes);
#endif
}

/* Loads vector j of array i before the step: 0 is p, then come the optimizer's states. */
#define OLD(i) load_n((const T *)step->old[i] + j, left)
/* Stores x as vector j of array i after the step. */
#define UPDATED(i, x) store_n((T *)step->updated[i] + j, x, left)

/* mean = mean_decay mean + (1 - mean_decay) p for `left` parameters p from j on: the exponential mean of a fit. */
INLINE void update_mean(const cgru_optimizer_step *step, ptrdiff_t j, vec p, ptrdiff_t left) {
    const T keeps = (T)step->mean_decay, takes = (T)(1 - step->mean_decay);
    store_n((T *)step->updated_mean + j, keeps * load_n((const T *)step->mean + j, left) + takes * p, left);
}

/* Defines the kernel `name` of an update `steps(follows, ...)`. Whether a mean follows is a constant in its loop. */
#define STEP(name, steps) \
    static void name(const cgru_optimizer_step *step, ptrdiff_t n) { \
        if (step->mean) steps(1, step, n); \
        else steps(0, step, n); \
    }

/* Updates n parameters: v = momentum v + g; p -= rate v, or with `nesterov` p -= rate (g + momentum v). */
INLINE void sgd(const int follows, const cgru_optimizer_step *step, ptrdiff_t n) {
    const T momentum = (T)step->beta[0], rate = (T)step->rate, factor = (T)step->factor;
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const ptrdiff_t left = min(n - j, LANES);
        const vec g = load_n((const T *)step->g + j, left) * factor;
        vec v = OLD(1), down = g;
        if (momentum != 0) {
            v = momentum * v + g;
            down = step->nesterov ? g + momentum * v : v;
        }
        const vec p = OLD(0) - rate * down;
        UPDATED(0, p);
        UPDATED(1, v);
        if (follows) update_mean(step, j, p, left);
    }
}
STEP(sgd_step, sgd)

/* Updates n parameters: p = decay p - rate mean / (sqrt(square) / root + epsilon), by running means of g and of g^2. */
INLINE void adam(const int follows, const cgru_optimizer_step *step, ptrdiff_t n) {
    const T one = (T)(1 - step->beta[0]), two = (T)(1 - step->beta[1]), rate = (T)step->rate;
    const T factor = (T)step->factor, decay = (T)step->decay, root = (T)step->root, epsilon = (T)step->epsilon;
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const ptrdiff_t left = min(n - j, LANES);
        const vec g = load_n((const T *)step->g + j, left) * factor;
        vec mean = OLD(1), square = OLD(2);
        mean += one * (g - mean);
        square += two * (g * g - square);
        const vec p = OLD(0) * decay - rate * mean / (square_root(square) / root + epsilon);
        UPDATED(0, p);
        UPDATED(1, mean);
        UPDATED(2, square);
        if (follows) update_mean(step, j, p, left);
    }
}
STEP(adam_step, adam)

/* Updates n parameters: v = momentum v + g / (sqrt(square) + epsilon); p = decay p - rate v; square is a running mean,
 * or where it `sums` a sum, and epsilon is within the root. */
INLINE void by_squares(const int follows, const int sums, const cgru_optimizer_step *step, ptrdiff_t n) {
    const T momentum = (T)step->beta[0], two = (T)(1 - step->beta[1]), rate = (T)step->rate;
    const T factor = (T)step->factor, decay = (T)step->decay, epsilon = (T)step->epsilon;
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const ptrdiff_t left = min(n - j, LANES);
        const vec g = load_n((const T *)step->g + j, left) * factor;
        vec v = OLD(1), square = OLD(2);
        square += sums ? g * g : two * (g * g - square);
        vec down = g / (sums ? square_root(square + epsilon) : square_root(square) + epsilon);
        if (momentum != 0) down = v = momentum * v + down;
        const vec p = OLD(0) * decay - rate * down;
        UPDATED(0, p);
        UPDATED(1, v);
        UPDATED(2, square);
        if (follows) update_mean(step, j, p, left);
    }
}
INLINE void rmsprop(const int follows, const cgru_optimizer_step *step, ptrdiff_t n) { by_squares(follows, 0, step, n); }
STEP(rmsprop_step, rmsprop)
INLINE void adagrad(const int follows, const cgru_optimizer_step *step, ptrdiff_t n) { by_squares(follows, 1, step, n); }
STEP(adagrad_step, adagrad)

/* Returns the sum of (g / unit)^2: in lanes of T over 64 vectors, then in double. */
static double sum_of_squares(const void *g, ptrdiff_t n, double unit) {
    const T inverse = (T)(1 / unit);
    double sum = 0;
    for (ptrdiff_t first = 0; first < n; first += 64 * LANES) {
        vec part = ZERO;
        for (ptrdiff_t j = first; j < min(n, first + 64 * LANES); j += LANES) {
            const vec x = load_n((const T *)g + j, min(n - j, LANES)) * inverse;
            part += x * x;
        }
        sum += sum_of_lanes(part);
    }
    return sum;
}
