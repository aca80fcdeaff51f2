"""Matrix products in exported C: the layout of float, bfloat16 and int8 weights, and the functions that multiply them.

A product is y = start + x W. x has as many numbers as W has rows; W is several matrices side by side, each padded to
the same number of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import numpy as np

from cgru.export.source import array

__all__ = ["FLOAT32", "Apart", "Int8", "Weights", "functions", "pad_and_concatenate", "weight_format"]

FLOAT32 = np.dtype(np.float32)
Apart = dict[str, np.ndarray] | None  # the arrays of a file of weights; None: they are in the C

# By dtype: how many columns `multiply` sums at once, the best first -> how many sums alternate, to hide the latency of
# an addition. They fit the registers of AVX-512 and AVX2.
_SUMS = {"float32": {32: 2, 48: 2, 16: 4}, "float64": {32: 2, 24: 2, 16: 2, 8: 4}}


def pad_and_concatenate(matrices: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Concatenate matrices along the columns, each padded with zeros to `columns`."""
    return np.concatenate([np.pad(W, ((0, 0), (0, columns - W.shape[1]))) for W in matrices], axis=1)


@dataclass(frozen=True)
class Weights:
    """Float weights, or with a `prefix` the bits of bfloat16. Layout: blocks of columns, each row by row."""

    dtype: np.dtype
    prefix: str = ""
    rounds_inputs = False

    def padded(self, columns: int) -> int:
        """Return `columns` rounded up to whole vectors, so that loops over them have no remainder.

        A store is then never read back in pieces of another size, which stalls a processor.
        """
        lanes = 64 // self.dtype.itemsize
        return -(-columns // lanes) * lanes

    def _block(self, columns: int) -> int:
        """Return the best block width that divides `columns`, a whole number of vectors."""
        return next(width for width in _SUMS[self.dtype.name] if columns % width == 0)

    def matrix(
        self, name: str, matrices: Sequence[np.ndarray], scales: Sequence[np.ndarray], apart: Apart = None
    ) -> str:
        """Return the C definition of the weights, the matrices side by side, as array `name`; `scales` are empty."""
        W = pad_and_concatenate(matrices, self.padded(matrices[0].shape[1]))
        return array(name, W.reshape(len(W), -1, self._block(W.shape[1])).swapaxes(0, 1), apart)

    def product(self, y: str, columns: int, start: str, x: str, rows: int, name: str, bound: str) -> str:
        """Return the C call y = start + x W for weights `name`, y of `columns` and x of `rows` numbers; no `bound`."""
        values = "" if self.prefix else ".values"
        return f"multiply_{self.prefix}{self._block(columns)}({y}, {columns}, {start}, {x}, {rows}, {name}{values});"


@dataclass(frozen=True)
class Int8:
    """Int8 weights with a scale for each column. Layout: column by column, padded with zeros to a depth."""

    dtype: np.dtype = FLOAT32
    rounds_inputs = True

    def padded(self, columns: int) -> int:
        """Return `columns` unchanged: a microcontroller has no vectors that padding would fill."""
        return columns

    def _padded_rows(self, rows: int) -> int:
        """Return `rows` rounded up to whole vectors of codes if that costs no more than a fifth."""
        return next((d for d in (-(-rows // n) * n for n in (32, 16)) if 5 * (d - rows) <= rows), rows)

    def matrix(
        self, name: str, matrices: Sequence[np.ndarray], scales: Sequence[np.ndarray], apart: Apart = None
    ) -> str:
        """Return the C definitions of the weights, the matrices side by side, as array `name`, and of their scales."""
        W = np.concatenate(matrices, axis=1).T
        W = np.pad(W, ((0, 0), (0, self._padded_rows(W.shape[1]) - W.shape[1])))
        return array(name, W, apart) + array(f"scales_of_{name}", np.concatenate(scales), apart)

    def product(self, y: str, columns: int, start: str, x: str, rows: int, name: str, bound: str) -> str:
        """Return the C of y = start + x W, x of `rows` numbers, y of `columns`: quantise x, then multiply integers.

        A row of x beyond `bound`, the C of a number, gets a scale of its own.
        """
        depth = self._padded_rows(rows)
        return f"""\
{{
        int16_t codes[{depth}];
        const real scale = encode(codes, {depth}, {x}, {rows}, {bound});
        multiply_int8({y}, {columns}, {start}, codes, {depth}, scale, {name}, scales_of_{name}.values);
    }}"""


def weight_format(kind: str | None, dtype: np.dtype) -> Weights | Int8:
    """Return the format of a layer's weights: kind "int8" or "bfloat16", None for floats of `dtype`."""
    if kind == "int8":
        return Int8()
    return Weights(dtype) if kind is None else Weights(FLOAT32, "bfloat16_")


def functions(dtype: np.dtype) -> dict[str, str]:
    """Return the C of all products by function name. Each calls only those above it and those of source.py."""
    sums = _SUMS[dtype.name]
    found = {f"multiply_{block}": _multiply(block, count, "real", "", "{}") for block, count in sums.items()}
    if dtype == FLOAT32:
        found |= {
            f"multiply_bfloat16_{block}": _multiply(block, count, "uint16_t", "bfloat16_", "widened({})")
            for block, count in sums.items()
        }
        found = {"widened": _WIDENED, **found, "encode": _ENCODE, "multiply_int8": _MULTIPLY_INT8}
    return found


_MULTIPLY = Template("""\
/* y = start + v W: W lies in blocks of $block columns, row by row. Sums take turns, since one would wait for itself. */
static void multiply_$prefix$block(real *y, int columns, const real *start, const real *v, int rows, const $kind *w) {
    for (int column = 0; column < columns; column += $block) {
        real $arrays;
        int k = 0;
        $each a[j] = start[column + j];
        $each $zeros = 0;
        for (; k + $sums <= rows; k += $sums, w += $sums * $block) {
            $each a[j] += v[k] * $first;
            $products
        }
        for (; k < rows; k++, w += $block) $each a[j] += v[k] * $first;
        $each y[column + j] = $total;
    }
}
""")


def _multiply(block: int, sums: int, kind: str, prefix: str, weight: str) -> str:
    """Return the C function that multiplies blocks of `block` columns with `sums` sums; `weight` is the C of one."""
    names, each = "abcd"[:sums], "ROLLED " * (block <= 16) + f"for (int j = 0; j < {block}; j++)"
    others = [f"{each} {names[i]}[j] += v[k + {i}] * {weight.format(f'w[{i * block} + j]')};" for i in range(1, sums)]
    return _MULTIPLY.substitute(
        each=each,
        block=block,
        sums=sums,
        kind=kind,
        prefix=prefix,
        arrays=", ".join(f"{name}[{block}]" for name in names),
        zeros=" = ".join(f"{name}[j]" for name in names[1:]),
        first=weight.format("w[j]"),
        products="\n            ".join(others),
        total="a[j] + b[j]" if sums == 2 else "(a[j] + b[j]) + (c[j] + d[j])",
    )


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
        most = size > most ? size : most;
    }
    const int finite = most < 0x7f800000u;
    const real largest = finite && real_of(most) > 1e-30f ? real_of(most) : 0;
    const real top = largest > bound ? largest : bound, inverse = top > 0 ? 127 / top : 0;
    const uint32_t mask = finite ? 0xff : 0;
    for (int i = 0; i < n; i++) {
        const uint32_t word = bits(x[i] * inverse);
        const int32_t size = (int32_t)(bits(real_of(word & 0x7fffffffu) + 8388608.0f) & mask);
        codes[i] = (int16_t)(word >> 31 ? -size : size);
    }
    for (int i = n; i < depth; i++) codes[i] = 0;
    return finite ? top / 127 : real_of(0x7fc00000u);
}
"""

_MULTIPLY_INT8 = """\
/* y = start + scale * scales * (codes W), a sum of integers: W lies column by column, and four share what is read. */
static void multiply_int8(real *y, int columns, const real *start, const int16_t *codes, int depth, real scale,
                          const int8_t *w, const real *scales) {
    int j = 0;
    for (; j + 4 <= columns; j += 4, w += 4 * depth) {
        int32_t a = 0, b = 0, c = 0, d = 0;
        for (int k = 0; k < depth; k++) {
            a += codes[k] * w[k];
            b += codes[k] * w[depth + k];
            c += codes[k] * w[2 * depth + k];
            d += codes[k] * w[3 * depth + k];
        }
        y[j] = start[j] + scale * scales[j] * (real)a;
        y[j + 1] = start[j + 1] + scale * scales[j + 1] * (real)b;
        y[j + 2] = start[j + 2] + scale * scales[j + 2] * (real)c;
        y[j + 3] = start[j + 3] + scale * scales[j + 3] * (real)d;
    }
    for (; j < columns; j++, w += depth) {
        int32_t a = 0;
        for (int k = 0; k < depth; k++) a += codes[k] * w[k];
        y[j] = start[j] + scale * scales[j] * (real)a;
    }
}
"""
