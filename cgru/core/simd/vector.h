/* The vector type `vec` of LANES numbers of type T: loads, stores, selection, exp and the activations.
 *
 * sigmoid(x) = 1 / (1 + exp(-x)), tanh(x) = 1 - 2 / (1 + exp(2 x)), relu, lrelu and elu, by polynomials whose source
 * and error stand beside them. A level without vector extensions has LANES 1: the vector is then the number itself. */

#if X86
#include <immintrin.h>
#elif ARM64
#include <arm_neon.h>
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>

#if SIZE == 4
#define INT int32_t
#define UINT uint32_t
#else
#define INT int64_t
#define UINT uint64_t
#endif
#if BYTES == 1
#define LANES 1
#else
#define LANES (BYTES / SIZE)
#endif

#if LANES > 1
typedef T vec __attribute__((vector_size(LANES * sizeof(T))));
typedef T unaligned __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));
typedef INT ints __attribute__((vector_size(LANES * sizeof(T))));
typedef UINT uints __attribute__((vector_size(LANES * sizeof(T))));
/* Returns the bits of a vec as integers. */
#define BITS(x) ((ints)(x))
/* Returns the vec that integers are the bits of. */
#define NUMBERS(x) ((vec)(x))
/* Returns a in lanes whose mask is all ones, b where it is zero. */
#define SELECT(mask, a, b) NUMBERS((BITS(a) & (mask)) | (BITS(b) & ~(mask)))
#else
typedef T vec;
typedef INT ints;
typedef UINT uints;
typedef union { T x; INT bits; } cast;
#define BITS(value) (((cast){.x = (value)}).bits)
#define NUMBERS(value) (((cast){.bits = (value)}).x)
#define SELECT(mask, a, b) ((mask) ? (a) : (b))
#endif
#define ZERO ((vec){0})
/* Returns how many vectors n numbers take. */
#define VECTORS_OF(n) (((n) + LANES - 1) / LANES)

#undef min /* a macro of Windows' stdlib.h, which immintrin.h includes */
/* Returns the smaller of a and b. */
INLINE ptrdiff_t min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* Index lists of SHUFFLE: the first halves of two vectors interleaved, their second halves, the halves of one
 * exchanged. */
#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EXCHANGED 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define EXCHANGED 4, 5, 6, 7, 0, 1, 2, 3
#elif LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#define EXCHANGED 2, 3, 0, 1
#else
#define LOW 0, 2
#define HIGH 1, 3
#define EXCHANGED 1, 0
#endif
#if defined(__clang__)
/* Returns the lanes of x and y in the order of an index list, those of y counted from LANES on. */
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#elif LANES > 1
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (ints){__VA_ARGS__})
#endif

/* Loads LANES numbers from any address. */
INLINE vec load(const T *p) {
#if LANES > 1
    return *(const unaligned *)p;
#else
    return *p;
#endif
}

/* Stores LANES numbers at any address. */
INLINE void store(T *p, vec x) {
#if LANES > 1
    *(unaligned *)p = x;
#else
    *p = x;
#endif
}

#if BYTES == 64 && SIZE == 4
#define STREAM(p, x) _mm512_stream_ps(p, (__m512)(x))
#elif BYTES == 64
#define STREAM(p, x) _mm512_stream_pd(p, (__m512d)(x))
#elif BYTES == 32 && SIZE == 4
#define STREAM(p, x) _mm256_stream_ps(p, (__m256)(x))
#elif BYTES == 32
#define STREAM(p, x) _mm256_stream_pd(p, (__m256d)(x))
#else
#define STREAM(p, x) store(p, x)
#endif
/* Stores LANES numbers at an address aligned to a vector, past the caches where the level can. */
INLINE void stream(T *p, vec x) { STREAM(p, x); }

/* Returns once everything that was streamed is visible to other threads. */
INLINE void finish_streams(void) {
#if BYTES >= 32
    _mm_sfence();
#endif
}

#if SIZE == 4
#define SIGN INT32_MIN
#define SHIFTER ((T)12582912.0)
#define MANTISSA 23
#define BIAS 127
#define LOWEST ((T)-104)    /* exp is zero below */
#define NEGLIGIBLE ((T)-20) /* exp - 1 is -1 below */
#define SMALLEST ((T)-126)  /* exponent of the smallest normal number */
#define LN2_HIGH ((T)0.693359375)
#define LN2_LOW ((T)-2.12194440054690583e-4)
#else
#define SIGN INT64_MIN
#define SHIFTER ((T)6755399441055744.0)
#define MANTISSA 52
#define BIAS 1023
#define LOWEST ((T)-746)
#define NEGLIGIBLE ((T)-40)
#define SMALLEST ((T)-1022)
#define LN2_HIGH ((T)6.93147180369123816490e-01)
#define LN2_LOW ((T)1.90821492927058770002e-10)
#endif
#define LOG2_E ((T)1.4426950408889634074)

/* Returns sum + x w, rounded once where the level has fused multiply-add. It is an intrinsic because a compiler fuses
 * or not by the code around it, while the same sum must have the same bits everywhere. */
INLINE vec fused(vec sum, vec x, vec w) {
#if BYTES == 64 && SIZE == 4
    return (vec)_mm512_fmadd_ps((__m512)x, (__m512)w, (__m512)sum);
#elif BYTES == 64
    return (vec)_mm512_fmadd_pd((__m512d)x, (__m512d)w, (__m512d)sum);
#elif BYTES == 32 && SIZE == 4
    return (vec)_mm256_fmadd_ps((__m256)x, (__m256)w, (__m256)sum);
#elif BYTES == 32
    return (vec)_mm256_fmadd_pd((__m256d)x, (__m256d)w, (__m256d)sum);
#elif ARM64 && BYTES == 16 && SIZE == 4
    return (vec)vfmaq_f32((float32x4_t)sum, (float32x4_t)x, (float32x4_t)w);
#elif ARM64 && BYTES == 16
    return (vec)vfmaq_f64((float64x2_t)sum, (float64x2_t)x, (float64x2_t)w);
#else
    return sum + x * w;
#endif
}

/* Returns x in all lanes; minus ZERO, since plus would turn -0 into 0. */
INLINE vec broadcast(T x) { return x - ZERO; }

/* Returns sum + x w, x in all lanes. */
INLINE vec add_product(vec sum, T x, vec w) { return fused(sum, broadcast(x), w); }

#if BYTES == 64
#if SIZE == 4
/* Names the intrinsic of AVX-512 for vectors of T. */
#define MM(name) _mm512_##name##_ps
/* Returns the mask of the first n lanes. */
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
/* Returns the mask of lanes with x < y, none where one is NaN. */
#define LESS(x, y) _mm512_cmp_ps_mask((__m512)(x), (__m512)(y), _CMP_LT_OQ)
/* Returns the mask of lanes without x < y, all where one is NaN. */
#define AT_LEAST(x, y) _mm512_cmp_ps_mask((__m512)(x), (__m512)(y), _CMP_NLT_UQ)
typedef __m512 native;
#else
#define MM(name) _mm512_##name##_pd
#define MASK(n) ((__mmask8)((1u << (n)) - 1))
#define LESS(x, y) _mm512_cmp_pd_mask((__m512d)(x), (__m512d)(y), _CMP_LT_OQ)
#define AT_LEAST(x, y) _mm512_cmp_pd_mask((__m512d)(x), (__m512d)(y), _CMP_NLT_UQ)
typedef __m512d native;
#endif
/* Loads the first n lanes, 0 < n <= LANES; lanes beyond are zero. */
INLINE vec load_n(const T *p, ptrdiff_t n) { return (vec)MM(maskz_loadu)(MASK(n), p); }

/* Stores the first n lanes, 0 < n <= LANES. */
INLINE void store_n(T *p, vec x, ptrdiff_t n) { MM(mask_storeu)(p, MASK(n), (native)x); }

/* Returns x < y ? a : b, lane by lane; b where one of them is NaN. */
INLINE vec if_less(vec x, vec y, vec a, vec b) {
    return (vec)MM(mask_blend)(LESS(x, y), (native)b, (native)a);
}

/* Returns the larger of x and `low`; NaN where x is NaN. */
INLINE vec maximum(vec x, vec low) { return (vec)MM(max)((native)low, (native)x); }

/* Returns x 2^n, for n an integer and x near 1; zero where y < LOWEST. */
INLINE vec scaled_or_zero(vec x, vec n, vec y) {
    return (vec)MM(maskz_scalef)(AT_LEAST(y, ZERO + LOWEST), (native)x, (native)n);
}

/* Returns x 2^n, for n an integer and x near 1. */
INLINE vec scaled(vec x, vec n) { return (vec)MM(scalef)((native)x, (native)n); }
#else
#if BYTES == 32 && SIZE == 4
INLINE vec load_n(const T *p, ptrdiff_t n) {
    const ints mask = (ints){0, 1, 2, 3, 4, 5, 6, 7} < (INT)n;
    return n == LANES ? load(p) : (vec)_mm256_maskload_ps(p, (__m256i)mask);
}
#elif BYTES == 32
INLINE vec load_n(const T *p, ptrdiff_t n) {
    const ints mask = (ints){0, 1, 2, 3} < (INT)n;
    return n == LANES ? load(p) : (vec)_mm256_maskload_pd(p, (__m256i)mask);
}
#else
INLINE vec load_n(const T *p, ptrdiff_t n) {
    if (n == LANES) return load(p);
    T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];
    return load(lanes);
}
#endif

INLINE void store_n(T *p, vec x, ptrdiff_t n) {
    if (n == LANES) {
        store(p, x);
        return;
    }
    T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) p[i] = lanes[i];
}

INLINE vec if_less(vec x, vec y, vec a, vec b) { return SELECT(x < y, a, b); }

INLINE vec maximum(vec x, vec low) { return if_less(x, low, low, x); }

/* Returns 2^n for an integer n, SMALLEST <= n <= BIAS. */
INLINE vec power_of_two(vec n) {
    return NUMBERS((ints)((uints)(BITS(n + SHIFTER) + BIAS) << MANTISSA));
}

INLINE vec scaled(vec x, vec n) { /* in two steps: the second one may lead into the subnormal numbers */
    vec normal = if_less(n, ZERO + SMALLEST, ZERO + SMALLEST, n);
    return x * power_of_two(normal) * power_of_two(n - normal);
}

INLINE vec scaled_or_zero(vec x, vec n, vec y) {
    return if_less(y, ZERO + LOWEST, ZERO, scaled(x, n));
}
#endif

/* Copies n numbers to any address, past the caches but for those before and behind its whole vectors. */
INLINE void stream_row(T *to, const T *from, ptrdiff_t n) {
    ptrdiff_t j = min(n, (ptrdiff_t)(-(uintptr_t)to % 64 / SIZE));
    if (j) memcpy(to, from, j * SIZE);
    for (; j + LANES <= n; j += LANES) stream(to + j, load(from + j));
    if (j < n) store_n(to + j, load_n(from + j, n - j), n - j);
}

/* Transposes LANES vectors as a matrix (LANES, LANES). Each round interleaves the first half of them with the second.
 */
INLINE void transpose(vec *x) {
#if LANES > 1
    UNROLL(4)
    for (int n = 1; n < LANES; n *= 2) {
        vec y[LANES];
        UNROLL(8)
        for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = SHUFFLE(x[i], x[i + LANES / 2], LOW);
            y[2 * i + 1] = SHUFFLE(x[i], x[i + LANES / 2], HIGH);
        }
        UNROLL(16)
        for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
#endif
}

/* --- exp(x) and exp(x) - 1 for x <= 0 (NaN stays NaN) ---
 *
 * x = n ln 2 + r, |r| <= ln(2) / 2, with ln 2 as a sum of two numbers (Cody and Waite, 1980); exp(r) - 1 = r + r^2
 * P(r), P interpolated at Chebyshev nodes to 5e-10 (float) and 5e-19 (double) of the whole. Adding 1.5 * 2^(mantissa
 * bits) rounds to an integer whose bits then stand in the lowest ones of the sum. P is summed by pairs (Estrin, 1960),
 * whose chain is the shortest. */

/* Returns exp(r) - 1 for x = n ln 2 + r, and n. */
INLINE vec reduced_expm1(vec x, vec *n) {
    vec rounded = x * LOG2_E + SHIFTER;
    *n = rounded - SHIFTER;
    vec r = x - *n * LN2_HIGH;
    r = r - *n * LN2_LOW;
#if SIZE == 4
    vec s = r * r;
    vec P = ((T)5.0000000134981778643e-1 + (T)1.6666666681659179129e-1 * r) +
            s * (((T)4.1666464602026541557e-2 + (T)8.3333108895820771937e-3 * r) +
                 s * ((T)1.3933685862617173589e-3 + (T)1.9891030654370327738e-4 * r));
#else
    vec s = r * r, q = s * s;
    vec P = (((T)0.5 + (T)1.6666666666666671008e-1 * r) +
             s * ((T)4.1666666666666669767e-2 + (T)8.3333333333261120526e-3 * r)) +
            q * ((((T)1.3888888888883731828e-3 + (T)1.9841269874901259234e-4 * r) +
                  s * ((T)2.4801587325605322782e-5 + (T)2.7557255297969644392e-6 * r)) +
                 q * (((T)2.7557273570102139673e-7 + (T)2.5105259538448493419e-8 * r) +
                      s * (T)2.0914717341716375952e-9));
#endif
    return r + s * P;
}

/* Returns exp(x) for x <= 0. */
INLINE vec exp_negative(vec x) {
    vec n, q = reduced_expm1(x, &n);
    return scaled_or_zero(1 + q, n, x);
}

/* Returns exp(x) - 1 for x <= 0. */
INLINE vec expm1_negative(vec x) {
    vec n, q = reduced_expm1(maximum(x, ZERO + NEGLIGIBLE), &n);
    vec scale = scaled(ZERO + 1, n);
    return scale * q + (scale - 1);
}

/* --- the activations --- */

/* Returns sigmoid(x) = 1 / (1 + e), e = exp(-|x|); for x < 0 s = e / (1 + e), taken as e - e s, which rounds less. */
INLINE vec sigmoid_of(vec x) {
    vec e = exp_negative(NUMBERS(BITS(x) | SIGN));
    vec s = if_less(x, ZERO, e, ZERO + 1) / (1 + e);
    return if_less(x, ZERO, e - e * s, s);
}

/* Computes exp(2 x) for x <= 0 as over / under = (E + O) 2^n / (E - O): 2 x = n ln 2 + 2 y, E = 1 + e1 y^2 + ..., O = y
 * (o0 + o1 y^2 + ...) and tanh(y) = O / E, fitted at Chebyshev nodes to 2e-10 (float) and 2e-18 (double) of exp. tanh
 * then needs one division and fewer steps before it. For sigmoid this would round too much. */
INLINE void exp2x_ratio(vec x, vec *over, vec *under) {
    vec rounded = x * (2 * LOG2_E) + SHIFTER, n = rounded - SHIFTER;
    vec y = x - n * (LN2_HIGH / 2);
    y = y - n * (LN2_LOW / 2);
    vec s = y * y;
#if SIZE == 4
    vec o = (T)0.99999999945735994166 + (T)0.066580592856976142933 * s;
    vec E = 1 + (T)0.39991360198125969685 * s;
#else
    vec o = (T)0.99999999999999999506 + s * ((T)0.111099022506163670992 + (T)0.00105739575847982214464 * s);
    vec E = 1 + s * ((T)0.44443235583948879948 + (T)0.0158681810404897822896 * s);
#endif
    *over = scaled(E + y * o, n);
    *under = E - y * o;
}

/* Returns tanh(x) = 1 - 2 e / (1 + e), e = exp(-2 |x|), with the sign of x. For |x| < 0.55 this would lose digits:
 * there it is x + x^3 P(x^2), P interpolated at Chebyshev nodes to 4e-9 (float) and 2e-18 (double) of the whole. */
INLINE vec tanh_of(vec x) {
    vec over, under;
    exp2x_ratio(maximum(NUMBERS(BITS(x) | SIGN), ZERO + LOWEST / 2), &over, &under);
    vec s = x * x;
#if SIZE == 4
    vec P = (T)-6.6096140128846229918e-3 * s + (T)2.1309062328578619709e-2;
    P = P * s + (T)-5.3909375641847945313e-2;
    P = P * s + (T)1.3333113458732415705e-1;
    P = P * s + (T)-3.3333332005908134041e-1;
#else
    vec P = (T)-2.0598556673275166703e-5 * s + (T)8.5107079273541127234e-5;
    P = P * s + (T)-2.3463104528300405602e-4;
    P = P * s + (T)5.8893480724470277213e-4;
    P = P * s + (T)-1.4556615775702363613e-3;
    P = P * s + (T)3.592110347096176598e-3;
    P = P * s + (T)-8.8632343954180955945e-3;
    P = P * s + (T)2.1869488493563038118e-2;
    P = P * s + (T)-5.3968253967431738911e-2;
    P = P * s + (T)1.3333333333332712905e-1;
    P = P * s + (T)-3.3333333333333332558e-1;
#endif
    vec t = if_less(s, ZERO + (T)0.3025, x + x * s * P, 1 - 2 * over / (over + under));
    return NUMBERS((BITS(t) & ~SIGN) | (BITS(x) & SIGN));
}

/* Returns f(x). */
INLINE vec activate(cgru_activation f, vec x) {
    switch (f.code) {
    case CGRU_RELU: return if_less(x, ZERO, ZERO, x);
    case CGRU_LRELU: return if_less(ZERO, x, x, (T)f.alpha * x);
    case CGRU_ELU: {
        vec below = expm1_negative(if_less(ZERO, x, ZERO, x));
        return if_less(ZERO, x, x, (T)f.alpha * below);
    }
    case CGRU_SIGMOID: return sigmoid_of(x);
    case CGRU_TANH: return tanh_of(x);
    default: return x;
    }
}

/* Returns f'(x) from the output y = f(x). */
INLINE vec derivative(cgru_activation f, vec y) {
    switch (f.code) {
    case CGRU_RELU: return if_less(ZERO, y, ZERO + 1, ZERO);
    case CGRU_LRELU: return if_less(ZERO, y, ZERO + 1, ZERO + (T)f.alpha);
    case CGRU_ELU: return if_less(ZERO, y, ZERO + 1, y + (T)f.alpha);
    case CGRU_SIGMOID: return y * (1 - y);
    case CGRU_TANH: return 1 - y * y;
    default: return ZERO + 1;
    }
}
