"""The C code that every exported model needs: constants, arrays and activations.

The text is C99 and C++11 at once. `real` is float or double. Without -ffast-math a compiler vectorises a loop only if
it has no branch and no call. So choices are made by masks, and exp is written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Template

import numpy as np

__all__ = ["array", "number", "width", "with_functions"]

_LINE = 118  # characters


def number(value: float, dtype: np.dtype) -> str:
    """Return a finite number of `dtype` as a C constant from which a compiler gets the same bits.

    It is decimal, since C++ before 17 has no hexadecimal floating constants.
    """
    single = dtype.itemsize == 4
    text = f"{value:.9g}" if single else repr(float(value))
    text += "" if "." in text or "e" in text else ".0"
    return text + "f" if single else text


def width(units: int, padded: int) -> str:
    """Return a C expression for the number of columns of `units` columns, which is `padded` on machines with SIMD."""
    return str(units) if units == padded else f"WIDTH({units}, {padded})"


def array(
    name: str, values: np.ndarray, apart: dict[str, np.ndarray] | None = None, kept: np.ndarray | None = None
) -> str:
    """Return the C definition of a constant array, `name` for integers and `name.values` for floats.

    With `apart`, the arrays of a file of weights, add it to them and return "".

    Values that are not `kept`, booleans of the same shape, are padding that small machines do without. The first value
    is kept. Floats are written as their bits, which is exact, shorter than decimals and compiles faster.
    """
    if apart is not None:
        apart[name] = values
        return ""
    flat = np.ascontiguousarray(values).ravel()
    here = np.ones(flat.size, bool) if kept is None else np.ascontiguousarray(kept).ravel()
    size = width(int(here.sum()), flat.size)
    if values.dtype.kind != "f":
        return (
            f"static ALIGNED const {values.dtype}_t {name}[{size}] = {{\n{_table(map(str, flat.tolist()), here)}}};\n"
        )
    word = f"uint{values.dtype.itemsize * 8}"
    table = _table((f"{each:#x}u" for each in flat.view(word).tolist()), here)
    kind = f"union {{ {word}_t bits[{size}]; real values[{size}]; }}"
    return f"static ALIGNED const {kind} {name} = {{{{\n{table}}}}};\n"


def _table(numbers: Iterable[str], kept: np.ndarray) -> str:
    """Return the elements of a C array in lines; those not `kept` become PAD, which small machines leave out."""
    words: list[str] = []
    for word, keep in zip(numbers, kept.tolist(), strict=True):
        if keep:
            words.append(word)
        else:
            words[-1] = f"{words[-1][:-1]},0)" if words[-1].endswith(")") else f"{words[-1]} PAD(0)"
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= _LINE:
            lines.append("")
        lines[-1] += f"{word},"
    return "\n".join(lines)


def with_functions(code: str, dtype: np.dtype, products: Mapping[str, str], padded: bool) -> str:
    """Return `code` preceded by all functions that it calls, those in `products` and those of this module.

    Columns are `padded` also on small machines where a file, the same for all, has the weights.
    """
    for name, text in reversed((_FUNCTIONS | products).items()):
        if re.search(rf"\b{name}\(", code):
            code = Template(text).substitute(_CONSTANTS[dtype.name]) + "\n" + code
    apart = "#define PADDED /* as the file of weights is on all machines */\n" * padded
    code = re.sub(r"(?m)^static inline ", "static INLINED ", code)
    code = re.sub(r"(?m)^static (?!INLINED|ALIGNED|const)(?=[\w ]+[ *]\w+\()", "static PART ", code)
    prologue = apart + _INCLUDES + _CHECK * (dtype.kind == "f") + _MACROS
    return Template(prologue).substitute(_CONSTANTS[dtype.name]) + "\n" + code


def _typed(expression: str) -> str:
    """Return a C expression in which each constant is cast to `real`."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", r"(real)\g<0>", expression)


_CONSTANTS = {
    "int16": {"real": "int16_t"},
    "float32": {
        "real": "float",
        "word": "uint32_t",
        "evaluation": "FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2",
        "shifter": "12582912.0",
        "mantissa": "23",
        "bias": "127u",
        "sign": "0x80000000u",
        "lowest": "-87",
        "negligible": "-20",
        "root": "0x5f3759dfu",
        "ln2_high": "0.693359375",
        "ln2_low": "-2.12194440054690583e-4",
        "exp": _typed("""\
(5.0000000134981778643e-1 + (1.6666666681659179129e-1 * r))
        + (s * ((4.1666464602026541557e-2 + (8.3333108895820771937e-3 * r))
        + (s * (1.3933685862617173589e-3 + (1.9891030654370327738e-4 * r)))))"""),
        "tanh": "-3.3333332005908134041e-1 1.3333113458732415705e-1 -5.3909375641847945313e-2 2.1309062328578619709e-2 "
        "-6.6096140128846229918e-3",
        "even": "1.0 0.39991360198125969685",
        "odd": "0.99999999945735994166 0.066580592856976142933",
        "farthest": "14.5",
        "low_half": "0xfffu",
        "over": "0.500000002 0.438674257 0.183471861 0.0407000615 0.0041225282",
        "under": "1.0 1.67523342 1.20358243 0.470084305 0.102026065 0.0103335341",
        "log": "0.666666673 0.399997063 0.28592358 0.217065758 0.232243292",
    },
    "float64": {
        "real": "double",
        "word": "uint64_t",
        "evaluation": "FLT_EVAL_METHOD == 2",
        "shifter": "6755399441055744.0",
        "mantissa": "52",
        "bias": "1023u",
        "sign": "0x8000000000000000u",
        "lowest": "-708",
        "negligible": "-40",
        "root": "0x5fe6eb50c7b537a9u",
        "ln2_high": "6.93147180369123816490e-01",
        "ln2_low": "1.90821492927058770002e-10",
        "exp": _typed("""\
(0.5 + (1.6666666666666671008e-1 * r))
        + (s * (4.1666666666666669767e-2 + (8.3333333333261120526e-3 * r)))
        + (s * s * ((1.3888888888883731828e-3 + (1.9841269874901259234e-4 * r))
        + (s * (2.4801587325605322782e-5 + (2.7557255297969644392e-6 * r)))
        + (s * s * ((2.7557273570102139673e-7 + (2.5105259538448493419e-8 * r))
        + (s * 2.0914717341716375952e-9)))))"""),
        "tanh": "-3.3333333333333332558e-1 1.3333333333332712905e-1 -5.3968253967431738911e-2 2.1869488493563038118e-2 "
        "-8.8632343954180955945e-3 3.592110347096176598e-3 -1.4556615775702363613e-3 5.8893480724470277213e-4 "
        "-2.3463104528300405602e-4 8.5107079273541127234e-5 -2.0598556673275166703e-5",
        "even": "1.0 0.44443235583948879948 0.0158681810404897822896",
        "odd": "0.99999999999999999506 0.111099022506163670992 0.00105739575847982214464",
        "farthest": "38.7",
        "low_half": "0x7ffffffu",
        "over": "0.499999999999999985 0.775857720903000193 0.595444671969380317 0.290313293143354106 "
        "0.0981308959658345121 0.0237513508882017444 4.11598301721242516e-3 4.94150670642881566e-4 "
        "3.75791653587098953e-5 1.39930481186435658e-6",
        "under": "1.0 2.34960000260885916 2.56559891008297019 1.71883986481470198 0.784801316254237121 "
        "0.256106513066271508 0.0607674450510942085 0.0104114363973317166 1.2421595801411335e-3 "
        "9.41969984233546493e-5 3.50753700625502544e-6",
        "log": "0.666666666666666586 0.400000000000145827 0.285714285671087572 0.22222222717427863 "
        "0.181817894361328582 0.153855700649586231 0.133141442096549362 0.120010728095907125 "
        "0.0880073848614467388 0.161640456119435322",
    },
}

# The coefficients of polynomials in rising order, as the C that sums them.
for _constants in (_CONSTANTS["float32"], _CONSTANTS["float64"]):
    for _name, _x in (("tanh", "s"), ("even", "q"), ("odd", "q"), ("over", "t"), ("under", "t"), ("log", "z")):
        *_first, _sum = _constants[_name].split()
        for _c in reversed(_first):
            _sum = f"({_c} + ({_x} * {_sum}))"
        _constants[_name] = _typed(_sum)

_INCLUDES = """\
#include <float.h>
#include <stdint.h>
#include <string.h>
"""
_CHECK = """
#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || $evaluation
#error "compile this file without -ffast-math, and on 32-bit x86 with -msse2 -mfpmath=sse: exp counts on its rounding"
#endif
"""
_MACROS = """
/* SMALL: a processor without vectors. It takes a product by some columns, whose sums fit its registers. Columns are not
 * padded there to whole vectors. The order of operations, and so their results, are those of other processors. */
#if (defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M') || (defined(__riscv_xlen) && __riscv_xlen == 32) || \
    !(defined(__SSE2__) || defined(_M_X64) || defined(_M_IX86) || defined(__ARM_NEON) || defined(_M_ARM64) || \
      defined(__riscv_vector) || defined(__wasm_simd128__) || defined(__ALTIVEC__) || defined(__VX__))
#define SMALL
#endif
/* PAIRS: one that multiplies two pairs of 16 bits in an instruction, such as a Cortex-M4. */
#if defined(SMALL) && defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_BIG_ENDIAN)
#include <arm_acle.h>
#define PAIRS
#endif
#ifdef SMALL
#define FEW(small, large) (small)
#else
#define FEW(small, large) (large)
#endif
#if defined(SMALL) && !defined(PADDED)
#define WIDTH(units, padded) (units)
#define PAD(...)
#else
#define WIDTH(units, padded) (padded)
#define PAD(...) , __VA_ARGS__
#endif

#if defined(__GNUC__) && !defined(SMALL)
#define ALIGNED __attribute__((aligned(64)))
#else
#define ALIGNED
#endif

/* GCC unrolls loops of up to 16 before it looks for vectors, and then turns them the wrong way round. Without vectors
 * sums are in registers only if their loops are unrolled. */
#if !defined(__GNUC__) || defined(__clang__)
#define ROLLED
#define LONG
#elif defined(SMALL)
#define ROLLED _Pragma("GCC unroll 8")
#define LONG ROLLED
#else
#define ROLLED _Pragma("GCC unroll 1")
#define LONG
#endif

/* CHOSEN: where the compiler was not told of AVX2, each machine takes the widest vectors that it has. `advance` and
 * `put` are compiled for three kinds of them, with all that they call inside. */
#if defined(__GNUC__) && defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__) && \
    !defined(__AVX2__) && !defined(SMALL)
#define CHOSEN
#define INLINED inline __attribute__((always_inline))
#define PART INLINED
#ifdef __clang__
#define LEVEL(names) __attribute__((target(names)))
#else
#define LEVEL(names) __attribute__((target(names), optimize("O3")))
#endif
#define HAS(name) __builtin_cpu_supports(name)
#define HAS_AVX512 (HAS("avx512vl") && HAS("avx512dq") && HAS("avx512bw") && HAS("avx512vnni") && HAS("fma"))
#define CHOOSE(kind, name, parameters, arguments, answer) \
    LEVEL("avx2,fma") static kind name##_avx2 parameters { answer name##_here arguments; } \
    LEVEL("avx512vl,avx512dq,avx512bw,avx512vnni,fma") \
    static kind name##_avx512 parameters { answer name##_here arguments; } \
    static kind name parameters { \
        answer HAS_AVX512 ? name##_avx512 arguments \
            : ((HAS("avx2") && HAS("fma")) ? name##_avx2 arguments : name##_here arguments); \
    }
#else
#define INLINED inline
#define PART
#define CHOOSE(kind, name, parameters, arguments, answer) \
    static kind name parameters { answer name##_here arguments; }
#endif

typedef $real real;
"""

# Each function may call those above it.
_FUNCTIONS = {
    "bits": """\
static inline $word bits(real x) {
    $word word;
    memcpy(&word, &x, sizeof word);
    return word;
}
""",
    "real_of": """\
static inline real real_of($word word) {
    real x;
    memcpy(&x, &word, sizeof x);
    return x;
}
""",
    "if_less": """\
/* x < y ? a : b, where there are vectors without a branch, so that a loop can use them; a NaN is less than nothing. */
static inline real if_less(real x, real y, real a, real b) {
#ifdef SMALL
    return (x < y) ? a : b;
#else
    const $word mask = ($word)0 - ($word)(x < y);
    return real_of((bits(a) & mask) | (bits(b) & ~mask));
#endif
}
""",
    "negative": """\
/* -|x|; within a choice GCC 14 makes wrong code of -x with SVE and with RVV */
static inline real negative(real x) {
    return real_of(bits(x) | $sign);
}
""",
    "signed_as": """\
/* y >= 0 with the sign of x, without a choice: see above */
static inline real signed_as(real x, real y) {
    return real_of((bits(x) & $sign) | bits(y));
}
""",
    "inverse_root": """\
/* 1 / sqrt(x) of a normal x > 0: half the exponent, to 3.5 %, then Newton's steps, each of which squares the error */
static inline real inverse_root(real x) {
    real y = real_of(($word)$root - (bits(x) >> 1));
    for (int i = 0; i < 4; i++) { y *= (real)1.5 - (x * y * y / (real)2); }
    return y;
}
""",
    "reduced": """\
/* r and 2^n of x = n ln 2 + r, |r| <= ln(2) / 2: the reduction in two parts (Cody and Waite, 1980). Adding
 * 1.5 * 2^$mantissa rounds to an integer, and leaves it in the lowest bits. */
static inline real reduced(real x, real *scale) {
    const real shifted = (x * (real)1.4426950408889634074) + (real)$shifter;
    const real n = shifted - (real)$shifter;
    *scale = real_of((bits(shifted) + $bias) << $mantissa);
    return x - (n * (real)$ln2_high) - (n * (real)$ln2_low);
}
""",
    "expm1_near_zero": """\
/* exp(r) - 1 = r + r^2 P(r) for |r| <= ln(2) / 2, P interpolated at Chebyshev nodes and summed by pairs, which wait for
 * each other least (Estrin, 1960) */
static inline real expm1_near_zero(real r) {
    const real s = r * r;
    const real p = $exp;
    return r + (s * p);
}
""",
    "exp_negative": """\
/* exp(x) for x <= 0, zero where it would be no normal number */
static inline real exp_negative(real x) {
    real scale;
    const real q = expm1_near_zero(reduced(x, &scale));
    return if_less(x, $lowest, 0, scale + (scale * q));
}
""",
    "expm1_negative": """\
/* exp(x) - 1 for x <= 0 */
static inline real expm1_negative(real x) {
    real scale;
    const real q = expm1_near_zero(reduced(x, &scale));
    return if_less(x, $negligible, -1, (scale * q) + (scale - (real)1));
}
""",
    "activate_relu": """\
static inline real activate_relu(real x) {
    return if_less(x, 0, 0, x);
}
""",
    "activate_lrelu": """\
static inline real activate_lrelu(real x, real alpha) {
    return if_less(x, alpha * x, alpha * x, x);
}
""",
    "activate_elu": """\
static inline real activate_elu(real x, real alpha) {
    return if_less(0, x, x, alpha * expm1_negative(if_less(0, x, 0, x)));
}
""",
    "activate_sigmoid": """\
/* 1 / (1 + e) with e = exp(-|x|), below zero e / (1 + e) */
static inline real activate_sigmoid(real x) {
    const real e = exp_negative(negative(x));
    return if_less(x, 0, e, 1) / ((real)1 + e);
}
""",
    "activate_tanh": """\
/* 1 - 2 e / (1 + e) with e = exp(-2 |x|), and the sign of x; below 0.55, where that loses digits, x + x^3 P(x^2), P
 * interpolated at Chebyshev nodes. e = (E + y O) / (E - y O) 2^n with y = r / 2 and E and O in y^2, fitted there too:
 * so one division does. */
static inline real activate_tanh(real x) {
    real scale;
    const real given = (real)2 * negative(x);
    const real y = reduced(if_less(given, $lowest, $lowest, given), &scale) / (real)2;
    const real q = y * y;
    const real even = $even;
    const real odd = y * $odd;
    const real e = (even + odd) * scale;
    const real t = (real)1 - ((real)2 * e / (e + (even - odd)));
    const real s = x * x;
    return if_less(s, (real)0.3025, x + (x * s * $tanh), signed_as(x, t));
}
""",
    "normal_tail": """\
/* P(-t) / e of the normal distribution P and t = |x|, $farthest at most, and e = exp(-t^2 / 2): a rational function,
 * interpolated at Chebyshev nodes. t^2 is the product and what it loses by rounding (Dekker, 1971). */
static inline real normal_tail(real x, real *size, real *e) {
    const real given = real_of(bits(x) & ~$sign);
    const real t = if_less(given, (real)$farthest, given, (real)$farthest);
    const real high = real_of(bits(t) & ~($word)$low_half);
    const real rest = t - high;
    const real square = t * t;
    const real low = (((high * high) - square) + ((real)2 * high * rest)) + (rest * rest);
    const real about = exp_negative(square / (real)-2);
    *size = t;
    *e = about - (about * (low / (real)2));
    return $over / $under;
}
""",
    "log1p_of": """\
/* log(1 + e), 0 <= e <= 1, as 2 atanh(s), s = e / (2 + e) */
static inline real log1p_of(real e) {
    const real s = e / ((real)2 + e);
    const real z = s * s;
    return e - (s * (e - (z * $log)));
}
""",
    "activate_gelu": """\
static inline real activate_gelu(real x) {
    real t;
    real e;
    const real tail = normal_tail(x, &t, &e);
    const real part = t * (e * tail);
    return if_less(x, 0, negative(part), x - part);
}
""",
    "activate_silu": """\
static inline real activate_silu(real x) {
    return if_less(x, $lowest, 0, x) * activate_sigmoid(x);
}
""",
    "activate_softplus": """\
static inline real activate_softplus(real x) {
    return if_less(0, x, x, 0) + log1p_of(exp_negative(negative(x)));
}
""",
    "log_softmax": """\
/* y = y - log(sum of exp(y)); the sum is f 2^n, 1 <= f < 2 */
static void log_softmax(real *y, int n) {
    real largest = y[0];
    real sum = 0;
    for (int i = 1; i < n; i++) { largest = if_less(largest, y[i], y[i], largest); }
    for (int i = 0; i < n; i++) { y[i] -= largest; }
    for (int i = 0; i < n; i++) { sum += exp_negative(y[i]); }
    const $word exponent = (bits(sum) >> $mantissa) - $bias;
    const real f = real_of(bits(sum) - (exponent << $mantissa));
    const real log_sum = ((real)exponent * (real)0.69314718055994530942) + log1p_of(f - (real)1);
    for (int i = 0; i < n; i++) { y[i] = (sum == sum) ? (y[i] - log_sum) : sum; }
}
""",
    "softmax": """\
/* y = exp(y / temperature) over its sum */
static void softmax(real *y, int n, real temperature) {
    real largest = y[0];
    real sum = 0;
    for (int i = 1; i < n; i++) { largest = if_less(largest, y[i], y[i], largest); }
    for (int i = 0; i < n; i++) { y[i] = exp_negative((y[i] - largest) / temperature); }
    for (int i = 0; i < n; i++) { sum += y[i]; }
    for (int i = 0; i < n; i++) { y[i] /= sum; }
}
""",
}
