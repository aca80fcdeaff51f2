"""Integer layers in NumPy: their definition, which exported C code repeats bit for bit.

A number x is stored as an integer, x * 2^bits rounded half away from zero, from -TOP to TOP. The bits of the inputs and
outputs of each layer are fixed by calibration. A product is a sum of int32, of int8 weights and int16 inputs. It is
brought to the bits of the result by a factor of 16 bits and a shift for each row (Jacob et al., 2018,
arXiv:1712.05877), so that 32 bits are always enough; `Product` refuses weights for which they are not. Activations read
FRACTION bits: tanh and exp from tables of 257 numbers with straight lines between them, sigmoid from that of tanh.

Here all are int64, in which nothing of this overflows, and products are of float64, which has these sums exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cgru.activations import identity, name_of, ours, parameter, relu, sigmoid, softmax, tanh

__all__ = [
    "COPIES", "CURVES", "FORMS", "HALF", "TABLES", "TOP", "Form", "Product", "as_codes", "bits_for", "y_bits_for",
]  # fmt: skip

Arrays = dict[str, np.ndarray]

COPIES = ("Frames", "Select", "Dropout")  # layers that only copy numbers, integers as well as floats
TOP = 2**15 - 1
FRACTION = 12  # bits behind the point in what activations read
STATE_BITS = 15  # of states and other numbers from -1 to 1
HALF = 2**14  # what elementwise products are scaled by, so that the factor is that of a sum
MOST_BIAS = 2**28
_POSITIONS = np.arange(257)
TABLES = {  # of tanh(x) for x = 0, 1/32, ..., 8 and of exp(-x) for x = 0, 1/16, ..., 16
    "tanh": np.minimum(np.rint(np.tanh(_POSITIONS / 32) * 2**STATE_BITS), TOP).astype(np.int16),
    "exp": np.minimum(np.rint(np.exp(-_POSITIONS / 16) * 2**STATE_BITS), TOP).astype(np.int16),
}


def bits_for(bound: float) -> int:
    """Return the fractional bits with which numbers up to twice `bound`, measured in calibration, can be stored."""
    return STATE_BITS if bound == 0 else min(100, int(np.floor(np.log2(TOP / 2 / bound))))


def as_codes(x: np.ndarray, bits: int) -> np.ndarray:
    """Return numbers x as fixed-point int16 values, limited to their range; NaN becomes 0."""
    scaled = np.nan_to_num(np.asarray(x, np.float64) * 2.0**bits, nan=0.0)
    return saturated(np.trunc(scaled + np.copysign(0.5, scaled))).astype(np.int64)


def saturated(x: np.ndarray) -> np.ndarray:
    """Return x limited to the range of the stored integers."""
    return np.clip(x, -TOP, TOP)


def rounded(x: np.ndarray, shift: Any) -> np.ndarray:
    """Return x / 2^shift, with halves rounded up."""
    return (x + (1 << shift >> 1)) >> shift


def times(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return x * factor / 2^16, rounded down."""
    return x * factor >> 16


def scaled(x: np.ndarray, factors: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return x * factor / 2^(16 + shift), rounded down after 2^16 and then with halves up."""
    return rounded(times(x, factors), shifts.astype(np.int64))


def factors_for(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return factors (int16) and shifts (uint8, from 1 to 30) so that `scaled` multiplies by `ratio`.

    ValueError for a ratio of a quarter or more, for which products of 32 bits have no room.
    """
    if not (np.abs(ratio) < 0.25).all():
        raise ValueError("its weights are too large for its integer inputs; standardize or clip the inputs")
    mantissa, exponent = np.frexp(ratio)
    shifts = np.where(ratio == 0, 1, -1 - exponent)
    factors = np.where(shifts > 30, 0, np.clip(np.rint(mantissa * 2**15), -TOP, TOP))
    return factors.astype(np.int16), np.minimum(shifts, 30).astype(np.uint8)


def bias_codes(b: np.ndarray, bits: int) -> np.ndarray:
    """Return biases (u,) as integers with the bits of the products that they are added to; ValueError if too large."""
    codes = np.rint(b.ravel().astype(np.float64) * 2.0**bits)
    if not (np.abs(codes) <= MOST_BIAS).all():
        raise ValueError("its biases are too large for integers; standardize the inputs, or scale the outputs")
    return codes.astype(np.int32)


def interpolated(table: np.ndarray, x: np.ndarray, shift: int) -> np.ndarray:
    """Interpolate a function at x >= 0 in a table with steps of 2^shift; beyond the table return its last value."""
    x = np.minimum(x, (256 << shift) - 1)
    i, rest, table = x >> shift, x & ((1 << shift) - 1), table.astype(np.int64)
    return table[i] + rounded((table[i + 1] - table[i]) * rest, shift)


def integer_tanh(a: np.ndarray, shift: int = 7) -> np.ndarray:
    """Return tanh(a), or with shift 8 tanh(a / 2), as integers with STATE_BITS; a has FRACTION bits."""
    return np.sign(a) * interpolated(TABLES["tanh"], np.abs(a), shift)


def integer_sigmoid(a: np.ndarray) -> np.ndarray:
    """Return sigmoid(a) = (1 + tanh(a / 2)) / 2 as integers with STATE_BITS, from 0 to TOP; a has FRACTION bits."""
    return (2**15 + integer_tanh(a, 8)) >> 1


def integer_softmax(a: np.ndarray) -> np.ndarray:
    """Return softmax(a) (..., u) as integers with STATE_BITS; a has FRACTION bits."""
    e = interpolated(TABLES["exp"], a.max(axis=-1, keepdims=True) - a, 8)
    total = e.sum(axis=-1, keepdims=True)
    return np.minimum(((e << 15) + (total >> 1)) // total, TOP)


CURVES = {tanh: integer_tanh, sigmoid: integer_sigmoid, softmax: integer_softmax}


class Product:
    """A product of integer inputs with int8 weights, of one or more matrices side by side.

    Attributes:
        rows: (rows, n) int8, the weights of each sum.
        factors, shifts: (rows,) by which `scaled` brings each sum to the bits of the result.
    """

    def __init__(self, p: Mapping[str, np.ndarray], names: Sequence[str], ratio: float) -> None:
        """Concatenate the matrices with these names in `p`; `ratio` converts a sum times its scale to output units.

        ValueError if sums or results may overflow.
        """
        self.rows = np.concatenate([p[name].T for name in names])
        self._columns = self.rows.T.astype(np.float64)
        if TOP * np.abs(self.rows.astype(np.int64)).sum(axis=1).max() >= 2**31:
            raise ValueError(f"its {self.rows.shape[1]} inputs are too many for sums of 32 bits")
        scale = np.concatenate([p[f"scale_{name}"].ravel() for name in names])
        self.factors, self.shifts = factors_for(scale.astype(np.float64) * ratio)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Return the products of rows x of integers with the weights."""
        sums = codes.astype(np.float64) @ self._columns
        return scaled(sums.astype(np.int64), self.factors, self.shifts)


def y_bits_for(layer: Any, x_bits: int, top: float) -> int:
    """Return the fractional bits of the outputs of a layer whose outputs were at most `top` in calibration."""
    if ours(getattr(layer, "activate", None)) in CURVES:
        start = np.abs(layer.p["h0"]).max() if "h0" in layer.p else 0.0  # beyond it a state is between -1 and 1
        return min(STATE_BITS, 1 + bits_for(float(start)))
    return bits_for(top) if layer.parameter_names else min(x_bits, bits_for(top))


class Form:
    """The integer form of a layer, for inputs with `x_bits` and outputs with `y_bits` fractional bits.

    A layer with a state has `start` (1, k), the integers of it before the first step, and `advance(codes, state)`,
    which returns the state after a step. `output` returns the outputs for a state, or for inputs of a layer without.
    """

    start = np.zeros((1, 0), np.int64)  # no state

    def advance(self, codes: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return the state (m, k) after a step with inputs (m, n)."""
        return state

    def step(self, codes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the outputs (m, u) of a step, and the state after it."""
        state = self.advance(codes, state)
        return self.output(state if self.start.size else codes), state

    def output(self, codes: np.ndarray) -> np.ndarray:
        """Return the outputs for a state, or for the inputs of a layer without a state."""
        return codes


class GRUForm(Form):
    """The integer form of a GRU; its state is h."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        _check_activation(layer, "activate", tanh, sigmoid)
        _check_activation(layer, "activate_update", sigmoid)
        _check_activation(layer, "activate_reset", sigmoid)
        p, biases, unit = layer.p, layer.variant.biases, 2.0 ** (FRACTION - y_bits)
        after = len(biases) > 3  # the reset gate comes after the product
        self.inputs = Product(p, ("Uhh", "Ur", "Uz"), 2.0 ** (FRACTION - x_bits))
        self.hidden = Product(p, ("Vr", "Vz", "Vhh")[: 2 + after], unit)
        self.candidate = None if after else Product(p, ("Vhh",), unit)
        order = biases[2], *biases[:2], *biases[3:]  # hh, r, z and, beside the recurrent product, its own
        self.biases = np.concatenate([bias_codes(p[name], FRACTION) for name in order])
        self.start = as_codes(p["h0"] if layer.learn_h0 else np.zeros((1, layer.d["u"])), y_bits)
        self.activate, self.shift = CURVES[ours(layer.activate)], STATE_BITS - y_bits
        self.zoneout = int(np.rint(layer.zoneout * 2**15))

    def advance(self, codes: np.ndarray, h: np.ndarray) -> np.ndarray:
        u = h.shape[1]
        a, own = self.inputs(codes) + self.biases[: 3 * u], self.hidden(h)
        gates = integer_sigmoid(a[:, u:] + own[:, : 2 * u])
        r, z = gates[:, :u], gates[:, u:]
        if self.candidate is None:
            recurrent = times(2 * (own[:, 2 * u :] + self.biases[3 * u :]), r)
        else:
            recurrent = self.candidate(rounded(r * h, STATE_BITS))
        hh = rounded(self.activate(a[:, :u] + recurrent), self.shift)
        new = rounded(z * h + (2**15 - z) * hh, STATE_BITS)
        return rounded(self.zoneout * h + (2**15 - self.zoneout) * new, STATE_BITS) if self.zoneout else new


class DenseForm(Form):
    """The integer form of a Dense layer."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        _check_activation(layer, "activate", identity, relu, *CURVES)
        self.activate = ours(layer.activate)
        self.bits = FRACTION if self.activate in CURVES else y_bits
        unit = 1 / parameter(layer.se_hPars, "softmax_temperature") if self.activate is softmax else 1.0
        self.product = Product(layer.p, ("W",), unit * 2.0 ** (self.bits - x_bits))
        self.biases = bias_codes(layer.p["b"].astype(np.float64) * unit, self.bits)

    def linear(self, codes: np.ndarray) -> np.ndarray:
        """Return x W + b as integers with `bits` fractional bits."""
        return self.product(codes) + self.biases

    def output(self, codes: np.ndarray) -> np.ndarray:
        Z = self.linear(codes)
        if self.activate in CURVES:
            return CURVES[self.activate](Z)
        return np.clip(Z, 0 if self.activate is relu else -TOP, TOP)


class ScaleForm(Form):
    """The integer form of a Scale layer."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        ratio = layer.p["scale"].ravel().astype(np.float64) * 2.0 ** (y_bits - x_bits)
        self.factors, self.shifts = factors_for(ratio / HALF)
        self.biases = bias_codes(layer.p["shift"], y_bits)

    def output(self, codes: np.ndarray) -> np.ndarray:
        return saturated(scaled(codes * HALF, self.factors, self.shifts) + self.biases)


class EmbeddingForm(Form):
    """The integer form of an Embedding; its inputs are tokens."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        self.table, ratio = layer.p["E"], layer.p["scale_E"].ravel().astype(np.float64) * 2.0**y_bits
        self.factors, self.shifts = factors_for(ratio / HALF)

    def output(self, codes: np.ndarray) -> np.ndarray:
        factors, shifts = self.factors[codes, None], self.shifts[codes, None]
        return saturated(scaled(self.table[codes].astype(np.int64) * HALF, factors, shifts))


class ClipForm(Form):
    """The integer form of a Clip layer."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        self.shift = x_bits - y_bits
        self.low = -TOP if layer.low is None else int(as_codes(layer.low, y_bits))
        self.high = TOP if layer.high is None else int(as_codes(layer.high, y_bits))

    def output(self, codes: np.ndarray) -> np.ndarray:
        return np.clip(rounded(codes, self.shift), self.low, self.high)


class PoolForm(Form):
    """The integer form of a Pool; its state has sums, maxima, last numbers and the number of steps side by side."""

    def __init__(self, layer: Any, x_bits: int, y_bits: int) -> None:
        if layer.parameter_names:
            raise ValueError("it scores steps by attention, which has no integer form")
        self.parts, self.shift, n = layer.parts, x_bits - y_bits, layer.d["n"]
        self.start = np.repeat([0, -TOP, 0, 0], [n, n, n, 1])[None]

    def advance(self, codes: np.ndarray, state: np.ndarray) -> np.ndarray:
        sums, largest, _, count = _split(state)
        return np.concatenate([sums + codes, np.maximum(largest, codes), codes, count + 1], axis=1)

    def output(self, codes: np.ndarray) -> np.ndarray:
        sums, largest, last, count = _split(codes)
        given = {"mean": (sums, np.maximum(count, 1)), "max": (largest, 1), "last": (last, 1), "sum": (sums, 1)}
        found = []
        for x, d in map(given.__getitem__, self.parts):
            d = d << self.shift
            found.append(np.sign(x) * ((2 * np.abs(x) + d) // (2 * d)))  # rounded half away from zero
        return saturated(np.concatenate(found, axis=1))


def _split(state: np.ndarray) -> list[np.ndarray]:
    """Split the state of a Pool into sums, maxima and last numbers (m, n), and the number of steps (m, 1)."""
    n = (state.shape[1] - 1) // 3
    return np.split(state, [n, 2 * n, 3 * n], axis=1)


def _check_activation(layer: Any, role: str, *due: Any) -> None:
    """Raise ValueError for an activation that has no integer form."""
    f = getattr(layer, role)
    if ours(f) not in due:
        names = ", ".join(map(name_of, due))
        raise ValueError(f"its {role} is {name_of(f)}, which has no integer form, expected one of {names}")


# By the name of the layer's class.
FORMS: dict[str, Any] = {
    "GRU": GRUForm, "Dense": DenseForm, "Scale": ScaleForm, "Embedding": EmbeddingForm, "Clip": ClipForm,
    "Pool": PoolForm,
}  # fmt: skip
