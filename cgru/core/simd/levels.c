/* Look-up of the tables of kernels by level: those that were compiled and that this machine can run, as asked at run
 * time. */
#include "cgru.h"
#include "compiler.h"

#include <string.h>

/* has_...: whether this machine can run the instructions of a level. */
#if X86
#include <cpuid.h>

enum { EAX, EBX, ECX, EDX };
#if defined(__APPLE__) /* which begins to keep the registers of 512 bits when a thread first has one */
enum { KEPT = 0x06, KEPT_512 = 0x06 };
#else
enum { KEPT = 0x06, KEPT_512 = 0xe6 }; /* bits of XCR0 */
#endif
#define BIT(n) (1u << (n))
#define AVX2 BIT(5)
#define AVX512 (AVX2 | BIT(16) | BIT(17) | BIT(30) | BIT(31)) /* F, DQ, BW, VL */

/* Returns whether a leaf of the processor's own description has all of these bits. Not by __builtin_cpu_supports, whose
 * library Windows and Zig do not have. In a virtual machine each look takes tens of microseconds. */
static int has_bits(unsigned leaf, unsigned subleaf, int word, unsigned bits) {
    unsigned words[4];
    return __get_cpuid_count(leaf, subleaf, words, words + 1, words + 2, words + 3) && (words[word] & bits) == bits;
}

/* Returns whether there is FMA, and the system keeps the registers of these bits of XCR0 apart for each thread. */
static int has_fma(unsigned kept) {
    unsigned low, high;
    if (!has_bits(1, 0, ECX, BIT(12) | BIT(27))) return 0; /* FMA, OSXSAVE */
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & kept) == kept;
}

static int has_avx2(void) { return has_fma(KEPT) && has_bits(7, 0, EBX, AVX2); }
static int has_avx512(void) { return has_fma(KEPT_512) && has_bits(7, 0, EBX, AVX512); }
static int has_avx512vnni(void) { return has_avx512() && has_bits(7, 0, ECX, BIT(11)); }
#endif
#if AVX_VNNI
static int has_avx2vnni(void) { return has_avx2() && has_bits(7, 1, EAX, BIT(4)); }
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
    OFFER(baseline, 1) /* SSE2 on x86-64, NEON on arm64 */
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
    OFFER_LOW_PRECISION(baseline, 1)
#if X86
    OFFER_LOW_PRECISION(avx2, has_avx2())
    OFFER_LOW_PRECISION(avx512, has_avx512())
    OFFER_LOW_PRECISION(avx512vnni, has_avx512vnni())
#endif
#if AVX_VNNI
    OFFER_LOW_PRECISION(avx2vnni, has_avx2vnni())
#endif
#if ARM_DOT
    OFFER_LOW_PRECISION(baselinedot, has_dot())
#endif
    return NULL;
}
