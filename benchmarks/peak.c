/* The most that one core can do: chains of fused multiply-adds that depend on nothing but themselves, in vectors as
   wide as the target has them. Enough chains to fill two units of latency five or less, few enough for 16 registers. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12

#define PEAK(T)                                                                                                        \
    typedef T T##_vector __attribute__((vector_size(BYTES)));                                                          \
    volatile T T##_sink;                                                                                               \
                                                                                                                       \
    /* Runs n multiply-adds in every chain; returns the floating-point operations done. */                             \
    double peak_##T(long n) {                                                                                          \
        T##_vector chain[CHAINS], a, b, sum = {0};                                                                     \
        const int lanes = BYTES / sizeof(T);                                                                           \
        for (int lane = 0; lane < lanes; lane++) {                                                                     \
            a[lane] = (T)0.999 + T##_sink; /* unknown to the compiler, a fixed point near 1 for the chain */           \
            b[lane] = (T)0.001 + T##_sink;                                                                             \
        }                                                                                                              \
        for (int i = 0; i < CHAINS; i++)                                                                               \
            chain[i] = a * (T)i;                                                                                       \
        for (long t = 0; t < n; t++)                                                                                   \
            for (int i = 0; i < CHAINS; i++)                                                                           \
                chain[i] = chain[i] * a + b;                                                                           \
        for (int i = 0; i < CHAINS; i++)                                                                               \
            sum += chain[i];                                                                                           \
        T##_sink = 0 * sum[0];                                                                                         \
        return 2.0 * CHAINS * lanes * n;                                                                               \
    }

PEAK(float)
PEAK(double)

int peak_bytes(void) { return BYTES; }
