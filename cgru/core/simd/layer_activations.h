/* The activations that layers have and gates do not: the derivatives of GELU and SiLU need x, not the output alone.
 *
 *     gelu(x) = x P(x), P the normal distribution        silu(x) = x sigmoid(x)        softplus(x) = log(1 + exp(x))
 *
 * Functions are not inlined: so all callers round alike, and the kernels of the gates stay as small as they were. */

#if SIZE == 4
#define FARTHEST ((T)14.5) /* exp(-x^2 / 2) is zero beyond */
#define LOW_HALF ((INT)0xfff)
/* erfc(t / sqrt(2)) exp(t^2 / 2) / 2 = over(t) / under(t) for 0 <= t <= FARTHEST, to 8e-9 (float) and 9e-17 (double),
 * interpolated at Chebyshev nodes of (t - 3) / (t + 3), in double (t - 4) / (t + 4). All terms are positive. */
static const T OVER[] = {0.50000000217564784095, 0.43867425738206206748, 0.18347186143016863059,
                         0.040700061477378580033, 0.0041225282030692149665};
static const T UNDER[] = {1, 1.6752334168384365051, 1.2035824337408796611, 0.47008430523369784589,
                          0.10202606508008999256, 0.010333534103018608766};
/* (2 atanh(s) / s - 2) / s^2 in powers of s^2 <= 1 / 9, to 1e-8 and 1e-16 */
static const T LOG[] = {0.66666667320527412469, 0.39999706331929717402, 0.28592357994302837723, 0.21706575800880372646,
                        0.23224329224023348832};
#else
#define FARTHEST ((T)38.7)
#define LOW_HALF ((INT)0x7ffffff)
static const T OVER[] = {0.499999999999999985, 0.775857720903000193, 0.595444671969380317, 0.290313293143354106,
                         0.0981308959658345121, 0.0237513508882017444, 4.11598301721242516e-3, 4.94150670642881566e-4,
                         3.75791653587098953e-5, 1.39930481186435658e-6};
static const T UNDER[] = {1, 2.34960000260885916, 2.56559891008297019, 1.71883986481470198, 0.784801316254237121,
                          0.256106513066271508, 0.0607674450510942085, 0.0104114363973317166, 1.2421595801411335e-3,
                          9.41969984233546493e-5, 3.50753700625502544e-6};
static const T LOG[] = {0.666666666666666586, 0.400000000000145827, 0.285714285671087572, 0.22222222717427863,
                        0.181817894361328582, 0.153855700649586231, 0.133141442096549362, 0.120010728095907125,
                        0.0880073848614467388, 0.161640456119435322};
#endif
#define DENSITY_AT_ZERO ((T)0.39894228040143267794) /* 1 / sqrt(2 pi) */

/* Returns c[0] + c[1] x + ... + c[n - 1] x^(n - 1). */
INLINE vec polynomial(const T *c, int n, vec x) {
    vec sum = ZERO + c[n - 1];
    UNROLL(16)
    for (int i = n - 2; i >= 0; i--) sum = sum * x + c[i];
    return sum;
}
#define POLYNOMIAL(c, x) polynomial(c, sizeof(c) / sizeof(*(c)), x)

/* Returns R(t) = P(-t) / e of t = |x|, FARTHEST at most, and e = exp(-t^2 / 2). The square is t^2 + low, low what it
 * loses by rounding (Dekker, 1971), of which exp would make many times as much. */
INLINE vec normal_tail(vec x, vec *t, vec *e) {
    const vec size = NUMBERS(BITS(x) & ~SIGN);
    *t = if_less(size, ZERO + FARTHEST, size, ZERO + FARTHEST);
    const vec high = NUMBERS(BITS(*t) & ~LOW_HALF), rest = *t - high, square = *t * *t;
    const vec low = ((high * high - square) + 2 * high * rest) + rest * rest;
    *e = exp_negative(square * (T)-0.5);
    *e -= *e * (low / 2);
    return POLYNOMIAL(OVER, *t) / POLYNOMIAL(UNDER, *t);
}

/* Returns x between LOWEST and -LOWEST, where exp is 0 or has no finite inverse, so that no infinity is times zero. */
INLINE vec bounded(vec x) { return maximum(if_less(ZERO - LOWEST, x, ZERO - LOWEST, x), ZERO + LOWEST); }

/* Returns f(x) of an activation that gates do not have; fading is exp(-max(0, x)). */
static __attribute__((noinline, unused)) vec activate_layer(cgru_activation f, vec x) {
    vec t, e;
    switch (f.code) {
    case CGRU_FADING: return exp_negative(if_less(x, ZERO, ZERO, ZERO - x));
    case CGRU_GELU: {
        const vec tail = normal_tail(x, &t, &e), part = t * (e * tail);
        return if_less(x, ZERO, ZERO - part, x - part);
    }
    case CGRU_SILU: return maximum(x, ZERO + LOWEST) * sigmoid_of(x);
    case CGRU_SOFTPLUS: { /* log(1 + e) = 2 atanh(s) = e - s (e - s^2 (2 / 3 + 2 s^2 / 5 + ...)), s = e / (2 + e) */
        e = exp_negative(NUMBERS(BITS(x) | SIGN));
        const vec s = e / (2 + e), square = s * s;
        return maximum(x, ZERO) + (e - s * (e - square * POLYNOMIAL(LOG, square)));
    }
    default: return x;
    }
}

/* Returns f'(x) from the input x, of an activation that gates do not have. */
static __attribute__((noinline, unused)) vec layer_derivative(cgru_activation f, vec x) {
    vec t, e;
    switch (f.code) {
    case CGRU_GELU: { /* P(x) + x e / sqrt(2 pi) */
        const vec tail = normal_tail(x, &t, &e), part = e * (tail - t * DENSITY_AT_ZERO);
        return if_less(x, ZERO, part, 1 - part);
    }
    case CGRU_SILU: return sigmoid_of(x) * (1 + bounded(x) * sigmoid_of(ZERO - x));
    case CGRU_SOFTPLUS: return sigmoid_of(x);
    default: return ZERO + 1;
    }
}

/* y[i] = f(x[i]) for i < n. Not inlined: in loops without fused products it would round in another way. */
static __attribute__((noinline, unused)) void activation(cgru_activation f, const void *x, void *y, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n && f.code >= CGRU_FADING; i += LANES) {
        const ptrdiff_t left = n - i < LANES ? n - i : LANES;
        store_n((T *)y + i, activate_layer(f, load_n((const T *)x + i, left)), left);
    }
    for (ptrdiff_t i = 0; i < n && f.code < CGRU_FADING; i += LANES) {
        ptrdiff_t left = n - i < LANES ? n - i : LANES;
        store_n((T *)y + i, activate(f, load_n((const T *)x + i, left)), left);
    }
}
