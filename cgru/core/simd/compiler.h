/* Macros over differences of compilers: attributes, unrolling, vector extensions, instruction sets that a file may use.
 */
#ifndef CGRU_COMPILER_H
#define CGRU_COMPILER_H

#include <float.h>

#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "compile without -ffast-math, and on 32-bit x86 with -msse2 -mfpmath=sse: exp counts on its rounding"
#endif

#if !defined(__GNUC__) && !defined(__clang__)
#error "cgru: expected GCC or Clang, which have the vectors of the kernels; on Windows clang-cl"
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#define ALIGNED __attribute__((aligned(64)))

/* Makes a string literal of a text as it is. */
#define STRING_(text) #text
/* Makes a string literal of a text whose macros are expanded first. */
#define STRING(text) STRING_(text)
/* Makes the name that cgru has for a table or a function of two parts. */
#define NAME_OF_(first, second) cgru_##first##_##second
/* The same of parts whose macros are expanded first. */
#define NAME_OF(first, second) NAME_OF_(first, second)
/* Makes a pragma of a text. */
#define PRAGMA(text) _Pragma(#text)
/* Unrolls the next loop up to n times, so that arrays of vectors become registers. */
#if defined(__clang__)
#define UNROLL(n) PRAGMA(clang loop unroll(full))
#else
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

#if defined(__x86_64__) || defined(__i386__)
#define X86 1
#else
#define X86 0
#endif
#if defined(__aarch64__)
#define ARM64 1
#else
#define ARM64 0
#endif

/* Whether the compiler knows AVX-VNNI: four products of bytes in each lane of 256 bits. */
#if X86 && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define AVX_VNNI 1
#else
#define AVX_VNNI 0
#endif
/* Whether the compiler knows the dot product of newer arm64 processors: four products of bytes in each lane of 128
 * bits. */
#if ARM64 && defined(__AARCH64EL__) && (defined(__clang__) ? __clang_major__ >= 16 : __GNUC__ >= 8)
#define ARM_DOT 1
#else
#define ARM_DOT 0
#endif

/* Asks the processor to load the cache line of an address. */
#define PREFETCH(address) __builtin_prefetch(address)
#define PREFETCH_L2(address) __builtin_prefetch(address, 0, 2)
/* Tells the compiler that a condition is rarely true; its value is the condition's. */
#define RARELY(condition) __builtin_expect(condition, 0)

/* Keeps a vector in its register, where GCC would read it from memory again at each use. */
#if X86
#define KEEP(x) __asm__("" : "+v"(x))
#else
#define KEEP(x) ((void)(x))
#endif

#endif
