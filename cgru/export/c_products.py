"""Matrix products in exported C: the layout of float, bfloat16 and int8 weights, and the functions that use them.

A product is y = start + x W. x has as many numbers as W has rows; W is several matrices side by side, each padded to
the same number of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import numpy as np

from cgru.export.source import array, width

__all__ = ["FLOAT32", "Apart", "Int8", "Weights", "functions", "pad_and_concatenate", "weight_format"]

FLOAT32 = np.dtype(np.float32)
Apart = dict[str, np.ndarray] | None  # the arrays of a file of weights; None: they are in the C

# By dtype: how many columns `multiply` sums at once, the best first -> how many sums alternate, to hide the latency of
# an addition. They fit the registers of AVX-512 and AVX2.
_SUMS = {"float32": {32: 2, 48: 2, 16: 4}, "float64": {32: 2, 24: 2, 16: 2, 8: 4}}


def pad_and_concatenate(matrices: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Concatenate matrices along the columns, each padded with zeros to `columns` columns."""
    return np.concatenate([np.pad(W, ((0, 0), (0, columns - W.shape[1]))) for W in matrices], axis=1)


@dataclass(frozen=True)
class Weights:
    """The layout of float weights, or with a `prefix` of bfloat16 weights: blocks of columns, each stored row by row.

    Blocks are those of padded columns, also in C for small machines, whose rows are then shorter.
    """

    dtype: np.dtype
    prefix: str = ""
    rounds_inputs = False

    def padded(self, columns: int) -> int:
        """Return `columns` rounded up to whole SIMD vectors, so that loops over columns have no remainder.

        A store is then never read back in pieces of another size, which stalls a processor.
        """
        lanes = 64 // self.dtype.itemsize
        return -(-columns // lanes) * lanes

    def _block(self, columns: int) -> int:
        """Return the fastest block width that divides `columns`, a multiple of the SIMD vector length."""
        return next(width for width in _SUMS[self.dtype.name] if columns % width == 0)

    def matrix(
        self, name: str, matrices: Sequence[np.ndarray], scales: Sequence[np.ndarray], apart: Apart = None
    ) -> str:
        """Return the C definition of an array `name` with the matrices side by side; `scales` are not used."""
        columns = self.padded(matrices[0].shape[1])
        block = self._block(len(matrices) * columns)
        W, kept = (
            pad_and_concatenate(each, columns).reshape(len(matrices[0]), -1, block).swapaxes(0, 1)
            for each in (matrices, [np.ones(W.shape, bool) for W in matrices])
        )
        return array(name, W, apart, kept)

    def product(self, y: str, count: int, units: int, start: str, x: str, rows: int, name: str, bound: str) -> str:
        """Return the C call for y = start + x W, where the weights `name` are `count` matrices (rows, units)."""
        columns, values = self.padded(units), "" if self.prefix else ".values"
        function = f"multiply_{self.prefix}{self._block(count * columns)}"
        sizes = f"{count}, {units}, {columns - units}"
        return f"{function}({y}, {sizes}, {start}, {x}, {rows}, {name}{values});"


@dataclass(frozen=True)
class Int8:
    """The layout of int8 weights with a scale per column: stored column by column, padded with zeros."""

    dtype: np.dtype = FLOAT32
    rounds_inputs = True

    def padded(self, columns: int) -> int:
        """Return `columns` unchanged, since microcontrollers have no SIMD vectors that padding would fill."""
        return columns

    def _padded_rows(self, rows: int) -> int:
        """Return `rows` rounded up to whole SIMD vectors of int8 codes if that adds at most a fifth."""
        return next((d for d in (-(-rows // n) * n for n in (32, 16)) if 5 * (d - rows) <= rows), rows)

    def matrix(
        self, name: str, matrices: Sequence[np.ndarray], scales: Sequence[np.ndarray], apart: Apart = None
    ) -> str:
        """Return the C definitions of an array `name` of the matrices side by side, and of an array of their scales."""
        W = np.concatenate(matrices, axis=1).T
        W, kept = (pad_and_concatenate([each], self._padded_rows(W.shape[1])) for each in (W, np.ones(W.shape, bool)))
        return array(name, W, apart, kept) + array(f"scales_of_{name}", np.concatenate(scales), apart)

    def product(self, y: str, count: int, units: int, start: str, x: str, rows: int, name: str, bound: str) -> str:
        """Return C code for y = start + x W, W being `count` int8 matrices (rows, units), that quantises x first.

        A row of x beyond `bound`, the C of a number, gets a scale of its own.
        """
        depth = width(rows, self._padded_rows(rows))
        return f"""\
{{
        int16_t codes[{depth}];
        const real scale = encode(codes, {depth}, {x}, {rows}, {bound});
        multiply_int8({y}, {count * units}, {start}, codes, {depth}, scale, {name}, scales_of_{name}.values);
    }}"""


def weight_format(kind: str | None, dtype: np.dtype) -> Weights | Int8:
    """Return the layout of a layer's weights of a kind: "int8", "bfloat16", or None for floats of `dtype`."""
    if kind == "int8":
        return Int8()
    return Weights(dtype) if kind is None else Weights(FLOAT32, "bfloat16_")


def functions(dtype: np.dtype) -> dict[str, str]:
    """Return the C functions for matrix products by name. Each calls only functions before it or of source.py."""
    sums = _SUMS[dtype.name]
    found = {f"multiply_{block}": _multiply(block, count, "real", "", "{}") for block, count in sums.items()}
    if dtype == FLOAT32:
        found |= {
            f"multiply_bfloat16_{block}": _multiply(block, count, "uint16_t", "bfloat16_", "widened({})")
            for block, count in sums.items()
        }
        found = {"widened": _WIDENED, **found, "paired": _PAIRED, "encode": _ENCODE}
        found |= {"dot": _DOT, "multiply_int8": _MULTIPLY_INT8}
    return found


_COLUMNS = Template("""\
/* y = start + v W of $which, in rows of `stride`. Sums take turns, since one would wait for itself. */
static inline void $name(real *y, const real *start, const real *v, int rows, const $kind *w, int stride) {
    $arrays
    int k = 0;
    $each { a[j] = start[j]; }
    $each { $zeros = 0; }
    for (; (k + $sums) <= rows; k += $sums) {
        $each { a[j] += v[k] * $first; }
        $products
        w += $sums * stride;
    }
    for (; k < rows; k++) {
        $each { a[j] += v[k] * $first; }
        w += stride;
    }
    $each { y[j] = $total; }
}
""")

_MULTIPLY = Template("""\
$columns#ifdef SMALL
$single#endif
/* y = start + v W: W is `count` matrices of `units` columns, in blocks of $block columns with padding, row by row. */
static void multiply_$prefix$block(real *y, int count, int units, int padding, const real *start, const real *v,
                                   int rows, const $kind *w) {
    const int padded = units + padding;
    const int all = count * padded;
    int j = 0;
    for (int column = $block; column <= all; column += $block) {
#ifdef SMALL
        /* The last columns are computed twice if that fills the sums. */
        const int kept = WIDTH(units, padded);
        const int within = ((column % padded) < kept) ? (column % padded) : kept;
        const int last = ((column / padded) * kept) + within;
        const int n = last - j;
        for (int i = 0; (n >= $narrow) && (i < n); i += $narrow) {
            const int at = ((i + $narrow) > n) ? (n - $narrow) : i;
            columns_$prefix$block(y + j + at, start + j + at, v, rows, w + at, n);
        }
        for (int i = 0; (n < $narrow) && (i < n); i++) {
            column_$prefix$block(y + j + i, start + j + i, v, rows, w + i, n);
        }
#else
        const int last = column;
        const int n = $block;
        columns_$prefix$block(y + j, start + j, v, rows, w, $block);
#endif
        j = last;
        w += rows * n;
    }
}
""")


def _multiply(block: int, sums: int, kind: str, prefix: str, weight: str) -> str:
    """Return the C function that multiplies by blocks of `block` columns, with `sums` accumulators per column."""
    narrow = 16 // sums  # columns of a small machine, whose sums fit 16 registers

    def columns(name: str, n: str, which: str) -> str:
        names, each = "abcd"[:sums], f"{'ROLLED' if block <= 16 else 'LONG'} for (int j = 0; j < {n}; j++)"
        others = (
            f"{each} {{ {names[i]}[j] += v[k + {i}] * {weight.format(f'w[({i} * stride) + j]')}; }}"
            for i in range(1, sums)
        )
        return _COLUMNS.substitute(
            name=f"{name}_{prefix}{block}",
            which=which,
            each=each,
            sums=sums,
            kind=kind,
            arrays="\n    ".join(f"real {name}[{n}];" for name in names),
            zeros=" = ".join(f"{name}[j]" for name in names[1:]),
            first=weight.format("w[j]"),
            products="\n        ".join(others),
            total="a[j] + b[j]" if sums == 2 else "(a[j] + b[j]) + (c[j] + d[j])",
        )

    sizes = {"block": block, "narrow": narrow, "kind": kind, "prefix": prefix}
    many = columns("columns", f"FEW({narrow}, {block})", f"{block} columns, {narrow} on a small machine")
    return _MULTIPLY.substitute(columns=many, single=columns("column", "1", "a column"), **sizes)


_WIDENED = """\
/* What the bits of a bfloat16 stand for: they are the upper half of a float. */
static inline real widened(uint16_t half) {
    return real_of((uint32_t)half << 16);
}
"""

_ENCODE = """\
/* The codes of x, and zeros up to `depth`: x over a scale, rounded half to even, from -127 to 127. The scale, which is
 * returned, is the larger of `bound` and the largest |x|, over 127; NaN where not all x are finite. Adding 2^23 to a
 * number from 0 on rounds it and leaves it in the lowest bits. A compiler may not make one operation of that and of the
 * product before, and round once; of the bits of a product it does not. */
static real encode(int16_t *codes, int depth, const real *x, int n, real bound) {
    uint32_t most = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t size = bits(x[i]) & 0x7fffffffu;
        most = (size > most) ? size : most;
    }
    const int finite = most < 0x7f800000u;
    const real largest = (finite && (real_of(most) > 1e-30f)) ? real_of(most) : (real)0;
    const real top = (largest > bound) ? largest : bound;
    const real inverse = (top > (real)0) ? ((real)127 / top) : (real)0;
    const uint32_t mask = finite ? 0xffu : 0u;
    for (int i = 0; i < n; i++) {
        const uint32_t word = bits(x[i] * inverse);
        const int32_t size = (int32_t)(bits(real_of(word & 0x7fffffffu) + 8388608.0f) & mask);
        codes[i] = (int16_t)((word >> 31) ? -size : size);
    }
    for (int i = n; i < depth; i++) { codes[i] = 0; }
    paired(codes, depth);
    return finite ? (top / (real)127) : real_of(0x7fc00000u);
}
"""

_PAIRED = """\
/* Put codes in the order in which `dot` takes them: code k is at PAIRED(k, depth). A Cortex-M4 multiplies two pairs
 * in one instruction, of codes k and k + 2, and k + 1 and k + 3: two instructions make such pairs of four weights. */
#ifdef PAIRS
#define PAIRED(k, depth) (((((k) | 3) < (depth)) && ((((k) + 1) & 2) != 0)) ? ((k) ^ 3) : (k))
#else
#define PAIRED(k, depth) (k)
#endif
static inline void paired(int16_t *codes, int depth) {
#ifdef PAIRS
    for (int k = 1; (k + 2) < depth; k += 4) {
        const int16_t code = codes[k];
        codes[k] = codes[k + 1];
        codes[k + 1] = code;
    }
#else
    (void)codes;
    (void)depth;
#endif
}
"""

_DOT = """\
#ifdef PAIRS
static inline int32_t add_four(int32_t sum, int32_t even, int32_t odd, const int8_t *w) {
    int32_t four;
    int32_t next;
    memcpy(&four, w, sizeof four);
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(next) : "r"(four));
    return __smlad(next, odd, __smlad(__sxtb16(four), even, sum));
}
#endif
/* Four sums += codes W, four columns of W one after the other, which share what is read. */
static inline void dot(int32_t *sums, const int16_t *codes, int depth, const int8_t *w) {
    int32_t a = sums[0];
    int32_t b = sums[1];
    int32_t c = sums[2];
    int32_t d = sums[3];
    const int8_t *v = w + (2 * depth);
    int left = depth;
#ifdef PAIRS
    for (; left >= 4; left -= 4) {
        int32_t even;
        int32_t odd;
        memcpy(&even, codes, sizeof even);
        memcpy(&odd, codes + 2, sizeof odd);
        __asm__("" : "+r"(w), "+r"(v)); /* two pointers, not four, which need more registers than there are */
        a = add_four(a, even, odd, w);
        b = add_four(b, even, odd, w + depth);
        c = add_four(c, even, odd, v);
        d = add_four(d, even, odd, v + depth);
        codes += 4;
        w += 4;
        v += 4;
    }
#endif
    for (int k = 0; k < left; k++) {
        a += codes[k] * w[k];
        b += codes[k] * w[depth + k];
        c += codes[k] * v[k];
        d += codes[k] * v[depth + k];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}
"""

_MULTIPLY_INT8 = """\
/* y = start + scale * scales * (codes W), a sum of integers: W lies column by column. */
static void multiply_int8(real *y, int columns, const real *start, const int16_t *codes, int depth, real scale,
                          const int8_t *w, const real *scales) {
    int j = 0;
    for (; (j + 4) <= columns; j += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        dot(sums, codes, depth, w);
        y[j] = start[j] + (scale * scales[j] * (real)sums[0]);
        y[j + 1] = start[j + 1] + (scale * scales[j + 1] * (real)sums[1]);
        y[j + 2] = start[j + 2] + (scale * scales[j + 2] * (real)sums[2]);
        y[j + 3] = start[j + 3] + (scale * scales[j + 3] * (real)sums[3]);
        w += 4 * depth;
    }
    for (; j < columns; j++) {
        int32_t a = 0;
        for (int k = 0; k < depth; k++) { a += codes[PAIRED(k, depth)] * w[k]; }
        y[j] = start[j] + (scale * scales[j] * (real)a);
        w += depth;
    }
}
"""
