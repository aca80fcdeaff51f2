/* int8 for low_precision.h: the dot product of quantised rows with words of weights, and the quantisation of a row:
 *
 *     scale = max(|x|, bound) / 127,  quantised x = round(x / scale)
 *
 * A quantised row is an array of numbers of QUANTIZED_BYTES bytes, in the form that the instructions of the level want.
 * Levels with VNNI or sdot and AVX2 multiply bytes, SSE2 and AVX-512 pairs of 16 bits, others single numbers. It is
 * chosen for CGRU_INT8. */

/* --- add_quantized: sum += four numbers of a row times a word, four weights, of each column --- */

#if LANES > 1
typedef ints __attribute__((aligned(4), may_alias)) loose_ints;
#else
typedef INT loose_ints;
#endif
/* Reads the 32 bits at any address that is a multiple of 4. */
#define WORD(p) (*(const int32_t *)(p))

/* Loads LANES integers from any address that is a multiple of 4. */
INLINE ints load_ints(const void *p) { return *(const loose_ints *)p; }

#if VNNI && ARM64 /* signed bytes */
enum { QUANTIZED_BYTES = 1, OFFSET = 0 };
/* Returns sum plus, in each lane, the dot product of four quantised numbers and the four weights of a word of w. */
INLINE ints add_quantized(ints sum, const char *quantized, ints w) {
    return (ints)vdotq_s32((int32x4_t)sum, (int8x16_t)vdupq_n_s32(WORD(quantized)), (int8x16_t)w);
}
#elif VNNI /* unsigned bytes, x + OFFSET; the initial sums cancel OFFSET */
enum { QUANTIZED_BYTES = 1, OFFSET = 128 };
INLINE ints add_quantized(ints sum, const char *quantized, ints w) {
#if BYTES == 64
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(WORD(quantized)), (__m512i)w);
#else
    return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32(WORD(quantized)), (__m256i)w);
#endif
}
#elif BYTES == 32 /* signed bytes: |x| times w or -w, in sums of two of at most 2 * 127^2, which 16 bits hold */
enum { QUANTIZED_BYTES = 1, OFFSET = 0 };
INLINE ints add_quantized(ints sum, const char *quantized, ints w) {
    const __m256i x = _mm256_set1_epi32(WORD(quantized));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8((__m256i)w, x));
    return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#elif X86 && LANES > 1 /* 16 bits; of each four numbers first those at 0 and 2, then those at 1 and 3 */
enum { QUANTIZED_BYTES = 2, OFFSET = 0 };
#if BYTES == 64
/* Returns, in each lane of 32 bits, the sum of the two products of 16 bits. */
#define MADD(a, b) (ints)_mm512_madd_epi16((__m512i)(a), (__m512i)(b))
/* Returns the weights 0 and 2 of each word, widened to 16 bits. */
#define EVEN(w) _mm512_srai_epi16(_mm512_slli_epi16((__m512i)(w), 8), 8)
/* Returns the weights 1 and 3 of each word, widened to 16 bits. */
#define ODD(w) _mm512_srai_epi16((__m512i)(w), 8)
/* Returns two numbers of 16 bits of a quantised row, the same in each lane. */
#define PAIR(p) _mm512_set1_epi32(WORD(p))
#else
#define MADD(a, b) (ints)_mm_madd_epi16((__m128i)(a), (__m128i)(b))
#define EVEN(w) _mm_srai_epi16(_mm_slli_epi16((__m128i)(w), 8), 8)
#define ODD(w) _mm_srai_epi16((__m128i)(w), 8)
#define PAIR(p) _mm_set1_epi32(WORD(p))
#endif
INLINE ints add_quantized(ints sum, const char *quantized, ints w) {
    return sum + MADD(EVEN(w), PAIR(quantized)) + MADD(ODD(w), PAIR(quantized + 4));
}
#else
enum { QUANTIZED_BYTES = 4, OFFSET = 0 };
INLINE ints add_quantized(ints sum, const char *quantized, ints w) {
    const uints bits = (uints)w;
    const int32_t *x = (const int32_t *)quantized;
    sum += ((ints)(bits << 24) >> 24) * x[0] + ((ints)(bits << 16) >> 24) * x[1];
    return sum + ((ints)(bits << 8) >> 24) * x[2] + (w >> 24) * x[3];
}
#endif

/* --- the quantisation of a row --- */

/* Loads the first n numbers at p, zeros beyond: `load_n` without a mask where n >= LANES, since a masked load right
 * after a store is slow. */
INLINE vec load_some(const T *p, ptrdiff_t n) { return n >= LANES ? load(p) : load_n(p, n); }

#define FINITE 0x7f800000 /* bits of |x| are below, unless x is infinite or NaN */
#define NOTHING ((T)1e-30) /* a row without a larger |x| counts as zero; a bound up to this is none */
#define TOP ((T)127) /* the largest quantised number */

/* Returns the bits of the largest |x| of a row of k numbers. */
INLINE int32_t most_of(const T *x, ptrdiff_t k) {
#if LANES > 1
    ints most = {0};
    for (ptrdiff_t i = 0; i < k; i += LANES) {
        const ints bits = BITS(load_some(x + i, k - i)) & ~SIGN, more = bits > most;
        most = (bits & more) | (most & ~more);
    }
#if BYTES == 64
    return _mm512_reduce_max_epi32((__m512i)most);
#else
    int32_t largest = 0;
    for (int i = 0; i < LANES; i++) largest = most[i] > largest ? most[i] : largest;
    return largest;
#endif
#else
    int32_t most = 0;
    for (ptrdiff_t i = 0; i < k; i++) {
        const int32_t bits = BITS(x[i]) & ~SIGN;
        most = bits > most ? bits : most;
    }
    return most;
#endif
}

/* Returns x rounded to the nearest integer, half to even. An intrinsic, so that no compiler fuses it with anything. */
INLINE ints rounded(vec x) {
#if BYTES == 64
    return (ints)_mm512_cvtps_epi32((__m512)x);
#elif BYTES == 32
    return (ints)_mm256_cvtps_epi32((__m256)x);
#elif X86 && LANES > 1
    return (ints)_mm_cvtps_epi32((__m128)x);
#elif ARM64 && LANES > 1
    return (ints)vcvtnq_s32_f32((float32x4_t)x);
#elif LANES > 1
    ints quantized;
    for (int i = 0; i < LANES; i++) quantized[i] = (int32_t)rintf(x[i]);
    return quantized;
#else
    return (int32_t)rintf(x);
#endif
}

/* Stores LANES quantised numbers in the form of the level, QUANTIZED_BYTES bytes each. */
INLINE void store_quantized(ints quantized, char *to) {
#if VNNI && ARM64
    const int16x4_t words = vmovn_s32((int32x4_t)quantized);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    memcpy(to, &bytes, 4);
#elif VNNI && BYTES == 64
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8((__m512i)(quantized + OFFSET)));
#elif BYTES == 32
    const __m256i words = _mm256_packs_epi32((__m256i)(quantized + OFFSET), _mm256_setzero_si256());
    const __m256i bytes = VNNI ? _mm256_packus_epi16(words, words) : _mm256_packs_epi16(words, words);
    ((int32_t *)to)[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes));
    ((int32_t *)to)[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(bytes, 1));
#elif BYTES == 64
    const __m512i turned = _mm512_shuffle_epi32((__m512i)quantized, 0xd8);
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(turned));
#elif X86 && LANES > 1
    const __m128i turned = _mm_shuffle_epi32((__m128i)quantized, 0xd8);
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi32(turned, turned));
#else
    memcpy(to, &quantized, sizeof(quantized));
#endif
}

/* to = round(x * inverse), x (k); returns `scale`. */
static T quantize_by(const T *x, ptrdiff_t k, T inverse, T scale, char *to) {
    for (ptrdiff_t i = 0; i < k; i += LANES)
        store_quantized(rounded(load_some(x + i, k - i) * inverse), to + i * QUANTIZED_BYTES);
    return scale;
}

/* to = x (k), quantised by its own largest |x|, whose bits are given; returns the scale. For a row that exceeds its
 * bound, or has none. A row that is not finite gets the scale NaN, so that all its products are NaN. */
static T quantize_beyond(const T *x, ptrdiff_t k, int32_t bits, char *to) {
    const T most = ((cast){.bits = bits}).x;
    if (bits >= FINITE) {
        const int32_t nan = FINITE | 1 << 22;
        memset(to, 0, k * QUANTIZED_BYTES);
        return ((cast){.bits = nan}).x;
    }
    return most > NOTHING ? quantize_by(x, k, TOP / most, most / TOP, to) : quantize_by(x, k, 0, 0, to);
}

/* to = quantised x (k); returns its scale, the larger of `bound` and the largest |x|, over TOP. */
INLINE T quantize_row(const T *x, ptrdiff_t k, T bound, char *to) {
    const int32_t bits = most_of(x, k);
    const cast limit = {.x = bound};
    if (RARELY(bits > limit.bits || bound <= NOTHING)) return quantize_beyond(x, k, bits, to);
    return quantize_by(x, k, TOP / bound, bound / TOP, to);
}
