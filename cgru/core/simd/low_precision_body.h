/* The table of low-precision kernels of one level, as one translation unit. A .c file defines LEVEL, BYTES (of a
 * vector; 1: no vectors) and VNNI (whether the level multiplies bytes, on arm64 by sdot), then includes this. Where the
 * compiler cannot make such vectors the file is empty. */
#define T float
#define SIZE 4
#include "cgru.h"
#include "compiler.h"

#if BYTES == 1 || (BYTES == 16 && (!VNNI || ARM_DOT)) || \
    (X86 && BYTES > 16 && (!VNNI || BYTES == 64 || AVX_VNNI))

#if BYTES == 16 && VNNI
#define TARGET "arch=armv8.2-a+dotprod"
#elif BYTES == 32 && VNNI
#define TARGET "avx2,fma,avxvnni"
#elif BYTES == 32
#define TARGET "avx2,fma"
#elif BYTES == 64 && VNNI
#define TARGET "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#elif BYTES == 64
#define TARGET "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"
#endif
/* Makes a pragma of a text whose macros, such as TARGET, are expanded first. */
#define PRAGMA_OF(text) PRAGMA(text)
#if defined(TARGET) && defined(__clang__)
#pragma clang attribute push(__attribute__((target(TARGET))), apply_to = function)
#elif defined(TARGET)
PRAGMA_OF(GCC target(TARGET))
#endif

#include "vector.h"
#include "equations.h"
#if LANES > 1
typedef union { T x; INT bits; } cast;
/* Converts integers to a vec, lane by lane. */
#define CONVERT(x) __builtin_convertvector(x, vec)
#else
#define CONVERT(x) ((vec)(x))
#endif
#include "quantize_row.h"
#include "low_precision.h"

const cgru_low_precision_kernels NAME_OF(low_precision, LEVEL) = {
    .level = STRING(LEVEL),
    .lanes = LANES,
    .depth = depth_of,
    .pack = low_precision_pack,
    .workspace_size = low_precision_size,
    .forward = low_precision_forward,
    .single = low_precision_single,
    .linear_workspace_size = low_precision_linear_size,
    .linear = low_precision_linear,
};

#if defined(TARGET) && defined(__clang__)
#pragma clang attribute pop
#endif
#endif
