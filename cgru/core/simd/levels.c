/* The kernels, compiled once per instruction set; which of them the machine has is asked at run time. */
#include "cgru.h"

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#define ALIGNED __attribute__((aligned(64)))
#define VECTORS 1
#else
#define INLINE static __forceinline
#define ALIGNED __declspec(align(64))
#define VECTORS 0
#endif

#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define UNROLL(n) PRAGMA(clang loop unroll(full))
#elif defined(__GNUC__)
#define UNROLL(n) PRAGMA(GCC unroll n)
#else
#define UNROLL(n)
#endif

#if VECTORS && (defined(__x86_64__) || defined(__i386__))
#define X86 1
#include <immintrin.h>
#else
#define X86 0
#endif

#define BYTES 1
#define ROWS 4
#define SUFFIX scalar
#define LEVEL "scalar"
#include "level.h"

#if VECTORS /* SSE2 on x86-64, NEON on arm64 */
#define BYTES 16
#if defined(__aarch64__)
#define ROWS 8
#else
#define ROWS 4
#endif
#define SUFFIX baseline
#define LEVEL "baseline"
#include "level.h"
#endif

#if X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define BYTES 32
#define ROWS 4
#define SUFFIX avx2
#define LEVEL "avx2"
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif
#define BYTES 64
#define ROWS 8
#define SUFFIX avx512
#define LEVEL "avx512"
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const cgru_kernels *cgru_level(const char *level, int itemsize) {
    if (!strcmp(level, "scalar")) return itemsize == 4 ? &kernels_scalar_4 : &kernels_scalar_8;
#if VECTORS
    if (!strcmp(level, "baseline")) return itemsize == 4 ? &kernels_baseline_4 : &kernels_baseline_8;
#endif
#if X86
    if (!strcmp(level, "avx2") && has_avx2()) return itemsize == 4 ? &kernels_avx2_4 : &kernels_avx2_8;
    if (!strcmp(level, "avx512") && has_avx512()) return itemsize == 4 ? &kernels_avx512_4 : &kernels_avx512_8;
#endif
    return NULL;
}
