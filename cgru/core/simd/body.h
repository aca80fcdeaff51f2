/* The table of kernels of one level and dtype, as one translation unit. A .c file defines LEVEL, T (float or double),
 * SIZE (bytes of a T) and BYTES (of a vector; 1: no vectors), then includes this. Where the compiler cannot make such
 * vectors the file is empty; levels.c then offers no such table. */
#include "cgru.h"
#include "compiler.h"

#if BYTES == 1 || BYTES == 16 || X86

#if BYTES == 32 && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif BYTES == 32
#pragma GCC target("avx2,fma")
#elif BYTES == 64 && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#elif BYTES == 64
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif
/* Rows of a tile: ROWS x 3 sums have to fit into the 32 or 16 vector registers. */
#if BYTES == 64 || (BYTES == 16 && ARM64)
#define ROWS 8
#else
#define ROWS 4
#endif

#include "vector.h"
#include "layer_activations.h"
#include "gemm_microkernel.h"
#include "unpacked_gemm.h"
#include "transposed_gemm.h"
#include "equations.h"
#include "cell.h"
#include "feature_simd.h"
#include "single_sample.h"
#include "outer_product.h"
#include "norm.h"
#include "loss.h"
#include "update.h"
#include "batch_simd.h"
#include "batch_simd_linear.h"
#include "switching.h"

/* No product and sum are fused from here on, so that these loops have the same bits at every level. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif
#include "softmax.h"
#include "fading.h"

/* Makes the name of a loop. It is compiled once for a type, at the baseline, since memory limits it. */
#define LOOP_OF(name) NAME_OF(name, T)
#define KERNEL(result, name, parameters)
#define LOOP(result, name, parameters) result LOOP_OF(name) parameters;
#include "kernel_list.h"
#if BYTES == 16
#include "elementwise.h"
#include "moments.h"
#include "pool.h"
#endif

const cgru_kernels NAME_OF(LEVEL, T) = {
    .level = STRING(LEVEL),
    .size = SIZE,
    .lanes = LANES,
#define KERNEL(result, name, parameters) .name = name,
#define LOOP(result, name, parameters) .name = LOOP_OF(name),
#include "kernel_list.h"
    .optimizer_steps = {sgd_step, adam_step, rmsprop_step, adagrad_step},
};

#if BYTES >= 32 && defined(__clang__)
#pragma clang attribute pop
#endif
#endif
