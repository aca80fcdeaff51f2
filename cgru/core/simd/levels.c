/* Look-up of the tables of kernels by level: those that were compiled and that this machine can run, as asked at run
 * time. */
#include "cgru.h"
#include "compiler.h"

#include <string.h>

/* has_...: whether this machine can run the instructions of a level. */
#if X86
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static int has_avx512vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#endif
#if AVX512_BF16
static int has_avx512bf16(void) { return has_avx512vnni() && __builtin_cpu_supports("avx512bf16"); }
#endif
#if AVX_VNNI
#include <cpuid.h>
static int has_avx2vnni(void) { /* Clang 18 is the first that knows the name of it */
    unsigned a = 0, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
}
#endif
#if ARM_DOT && defined(__linux__)
#include <sys/auxv.h>
static int has_dot(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#elif ARM_DOT && defined(__APPLE__)
static int has_dot(void) { return 1; }
#elif ARM_DOT
static int has_dot(void) { return 0; }
#endif

/* Returns the table of a level from the function where it has the name and the machine has the instructions. */
#define OFFER(name, has)                                               \
    extern const cgru_kernels cgru_##name##_float, cgru_##name##_double; \
    if (!strcmp(level, #name) && (has)) return itemsize == 4 ? &cgru_##name##_float : &cgru_##name##_double;

const cgru_kernels *cgru_level(const char *level, int itemsize) {
    OFFER(scalar, 1)
#if VECTORS /* SSE2 on x86-64, NEON on arm64 */
    OFFER(baseline, 1)
#endif
#if X86
    OFFER(avx2, has_avx2())
    OFFER(avx512, has_avx512())
#endif
    return NULL;
}

/* The same for tables of low precision. */
#define OFFER_LOW_PRECISION(name, has)                                \
    extern const cgru_low_precision_kernels cgru_low_precision_##name; \
    if (!strcmp(level, #name) && (has)) return &cgru_low_precision_##name;

const cgru_low_precision_kernels *cgru_low_precision_level(const char *level) {
    OFFER_LOW_PRECISION(scalar, 1)
#if VECTORS
    OFFER_LOW_PRECISION(baseline, 1)
#endif
#if X86
    OFFER_LOW_PRECISION(avx2, has_avx2())
    OFFER_LOW_PRECISION(avx512, has_avx512())
    OFFER_LOW_PRECISION(avx512vnni, has_avx512vnni())
#endif
#if AVX512_BF16
    OFFER_LOW_PRECISION(avx512bf16, has_avx512bf16())
#endif
#if AVX_VNNI
    OFFER_LOW_PRECISION(avx2vnni, has_avx2vnni())
#endif
#if ARM_DOT
    OFFER_LOW_PRECISION(baselinedot, has_dot())
#endif
    return NULL;
}
