"""Layers with int8 or bfloat16 weights: they predict, and do not train.

Letters: m samples, s steps, e features of a step, u units. `p` holds int8 codes with column scales, or bfloat16 bits,
and float32 biases; see reference.py. All other numbers are float32.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from string import Template
from typing import Any

import numpy as np

from cgru import activations
from cgru.activations import Activation
from cgru.bidirectional import Bidirectional
from cgru.core.checks import aligned, flag, lengths_of, positive, real, sequences
from cgru.core.decay import decay_of, entering
from cgru.core.low_precision import LowPrecisionGRU, LowPrecisionLinear, level
from cgru.gru import GRU, OPTIONS
from cgru.layers.dense import Dense
from cgru.layers.embedding import Embedding
from cgru.layers.layer import Fields, Layer, LayerPass, as_floats, flatten_steps, mask_padding, unflatten, zero_padding
from cgru.optimizers import check_number
from cgru.quantized import quantized_reference as reference

__all__ = ["BOUNDED", "KINDS", "WEIGHTS", "Quantized", "QuantizedBidirectional", "QuantizedDense", "QuantizedEmbedding",
           "QuantizedGRU", "check_numbers", "named_weights"]  # fmt: skip

WEIGHTS = {"int8": np.dtype(np.int8), "bfloat16": np.dtype(np.uint16)}  # kind -> dtype of the array
BOUNDED = (activations.tanh, activations.sigmoid)  # activations with |y| <= 1
FLOAT32 = np.dtype(np.float32)
MAX_ROWS = (2**31 - 1) // 127**2  # so many products of two codes fit a 32-bit sum
_ROW = Template("""\
/* layer $i: $about */
${constants}static void layer_$i(real *y, int token) {
    for (int i = 0; i < $u; i++) y[i] = $value;
}
""")
EXPONENT = np.uint16(0x7F80)  # the exponent bits of bfloat16, all set where a number is not finite


def named_weights(value: Any) -> str:
    """Return `value` if it is a key of WEIGHTS; ValueError otherwise."""
    if not isinstance(value, str) or value not in WEIGHTS:
        raise ValueError(f"weights: expected one of {', '.join(WEIGHTS)}, got {value!r}")
    return str(value)  # a plain str, not NumPy's


def check_numbers(array: np.ndarray, name: str) -> None:
    """Raise ValueError for a code below -127, for which sums have no room, or a bfloat16 that is not finite."""
    if array.dtype == WEIGHTS["int8"] and (array < -127).any():
        raise ValueError(f"{name}: expected codes from -127 to 127, got -128")
    if array.dtype == WEIGHTS["bfloat16"] and ((array & EXPONENT) == EXPONENT).any():
        raise ValueError(f"{name}: expected finite numbers in bfloat16, got NaN or infinity")


class Quantized(Layer):
    """The base of the quantised layers.

    weights: "int8" or "bfloat16". x_bound: the largest |x| that calibration met; 0: each row is measured.
    """

    of: type[Layer]  # the layer of floats that it is made of
    x_bound: float

    def _set_weights(self, weights: str, x_bound: float) -> None:
        """Set the kind of weights and the bound of the inputs."""
        check_number(x_bound, "x_bound", below=float(np.finfo(np.float32).max))
        self.weights, self.x_bound = named_weights(weights), float(x_bound)
        self._packed: tuple[Any, ...] = ()
        self.trainable = False

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_packed": ()}

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of weights, their scales, and biases, in their order."""
        return tuple(self.arrays(1))

    def run(self, A: Any, lengths: Any = None) -> Any:
        """Raise RuntimeError: a quantised layer cannot backpropagate."""
        raise RuntimeError(
            f"{type(self).__name__}: expected predict, as it neither trains nor keeps caches; the network that it was "
            "made of does"
        )

    def forward(self, A: Any, lengths: Any = None) -> Any:
        """Raise RuntimeError: a quantised layer cannot backpropagate."""
        return Quantized.run(self, A)

    def initialize_parameters(self) -> None:
        """Raise RuntimeError: quantised parameters are made from others."""
        Quantized.run(self, None)

    def make(self, A: np.ndarray) -> None:
        """Raise RuntimeError if there are no parameters; only `cgru.quantize` makes them."""
        if not self.p:
            raise RuntimeError(f"{type(self).__name__}: expected parameters, as cgru.quantize makes them, got none")

    def _weight_arrays(self, W: str, shape: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return shape and dtype of a weight matrix and its scales; ValueError for too many int8 rows for a sum."""
        if self.weights == "int8" and (shape[0] or 0) > MAX_ROWS:
            raise ValueError(
                f"{W}: expected at most {MAX_ROWS} rows of int8, whose sums have 32 bits, got {shape[0]}; "
                'weights="bfloat16" takes more'
            )
        scale = {f"scale_{W}": ((1, shape[1]), FLOAT32)} if self.weights == "int8" else {}
        return {W: (shape, WEIGHTS[self.weights]), **scale}

    def packed(self) -> Any:
        """Return the packed weights.

        They are packed at the first call, and again if `p` has another array or a setting changed.
        """
        self.make(np.empty(0))
        key = tuple(map(id, self.p.values())), level(), self._settings()
        if not self._packed or self._packed[0] != key:
            for name, (shape, dtype) in self.arrays(self.features).items():
                array = self.p.get(name)
                if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
                    got = type(array).__name__ if not isinstance(array, np.ndarray) else f"{array.dtype} {array.shape}"
                    raise ValueError(f"p[{name!r}]: expected {dtype} {shape}, got {got}")
                check_numbers(array, f"p[{name!r}]")
                array.flags.writeable = False  # since a later change would not reach the packed weights
            # The arrays are kept alive, so that no other array gets their ids, which are the key.
            self._packed = key, self._pack(), tuple(self.p.values())
        return self._packed[1]

    def _settings(self) -> tuple[Any, ...]:
        """Return what the packed weights depend on beside the arrays."""
        return (self.weights, self.x_bound)

    def _pack(self) -> Any:
        """Return newly packed weights."""
        raise NotImplementedError


class QuantizedGRU(Quantized, GRU):
    """A GRU with quantised weights: it predicts as `GRU.predict`, with the same errors.

    Args:
        units: u, the number of units.
        weights, x_bound: see `Quantized`.
        **options: some of those of a GRU; the activations are cgru's own, or their names.
    """

    of, stage, c_text = GRU, GRU.stage, GRU.c_text
    fields = Fields(
        {"units": "u"},
        ("activate", "activate_update", "activate_reset"),
        ("sequences",),
        ("weights", "x_bound", "reset_after", "learn_h0", "reverse", "zoneout"),
    )

    def __init__(self, units: int, *, weights: str = "int8", x_bound: float = 0.0, **options: Any) -> None:
        own = self.fields
        known = {"se_hPars", *own.callables, *own.flags, *own.options} & {*OPTIONS}
        for name in options.keys() - known:
            raise TypeError(f"{name}: expected one of {', '.join(sorted(known))}, which a quantised GRU has")
        flag(options.get("sequences", False), "sequences")
        super().__init__(positive(units, "units"), dtype=np.float32, **options)
        self._set_weights(weights, x_bound)
        self._settings()  # raises for activations that are not compiled

    def __repr__(self) -> str:
        return f"QuantizedGRU(units={self.d['u']}, weights={self.weights!r}, sequences={self.sequences})"

    @property
    def bound(self) -> float:
        """Return the bound of |h|: 1 if the activation gives no more, else 0, and each state is measured."""
        return 1.0 if activations.ours(self.activate) in BOUNDED else 0.0

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return shape and dtype of weights, their scales, and biases."""
        found = {}
        for name, shape in self.variant.shapes(e, self.d["u"]).items():
            found |= self._weight_arrays(name, shape) if name[0] in "UV" else {name: (shape, FLOAT32)}
        return found

    def predict(
        self, A: Any, lengths: Any = None, h0: Any = None, *, resets: Any = None, decay: Any = None
    ) -> np.ndarray:
        """Return the states (m, s, u), zero past lengths, or the last ones (m, u), for A (m, s, e) from h0 (m, u).

        `resets` and `decay` are those of `GRU.predict`.
        """
        return self.predict_on(A, lengths, (h0,), resets=resets, decay=decay)[0]

    def predict_on(
        self,
        A: np.ndarray,
        lengths: np.ndarray | None,
        states: Sequence[np.ndarray | None],
        *,
        resets: Any = None,
        decay: Any = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` from the state `states[0]`; return its outputs and the last states (m, u)."""
        h0, X = states[0], np.ascontiguousarray(sequences(A, "A", self.dtype))
        m, s, e = X.shape
        lengths = lengths_of(lengths, m, s)
        factor = decay_of(resets, decay, m, s, self.d["u"], lengths, self.dtype)
        packed = self.packed()
        if e != packed.e:
            raise ValueError(f"A: expected shape (m, s, {packed.e}), as the layer was made for, got {X.shape}")
        if h0 is None and self.variant.learn_h0:
            h0 = np.broadcast_to(self.p["h0"], (m, self.d["u"]))
        elif h0 is not None:
            h0 = real(h0, "h0", (m, self.d["u"]), self.dtype)
        if factor is not None:
            factor = aligned(entering(factor, lengths, self.reverse))
        h, last = packed.forward(
            X, lengths, h0, reverse=self.reverse, every=self.sequences, decay=factor, start=self.p.get("h0")
        )
        return h if self.sequences else last, (last,)

    def _settings(self) -> tuple[Any, ...]:
        """Return what packed weights depend on beside the arrays: variant, activations, kind, bounds, zoneout."""
        gates = ("activate", "activate_update", "activate_reset")
        codes = tuple(activations.compiled(getattr(self, gate), gate, self.se_hPars) for gate in gates)
        return self.variant, codes, self.weights, self.x_bound, self.bound, self.zoneout

    def _pack(self) -> LowPrecisionGRU:
        """Return the weights, newly packed for the low-precision kernels."""
        return LowPrecisionGRU(self.p, *self._settings())


class QuantizedBidirectional(Quantized, Bidirectional):
    """A `QuantizedGRU` and its twin in the other direction, their outputs merged as by a `Bidirectional`."""

    of = Bidirectional
    fields = Fields(halves=("layer", "twin"), half="QuantizedGRU")

    def __init__(self, layer: QuantizedGRU, twin: QuantizedGRU, merge: str = "concat") -> None:
        """Join two layers of opposite directions; ValueError if they differ in more than that."""
        due = layer.d["u"], layer.sequences, not layer.reverse
        if (twin.d["u"], twin.sequences, twin.reverse) != due:
            raise ValueError(f"twin: expected units, sequences and reverse to be {due}, got {twin!r}")
        self._build(layer, merge, lambda layer: twin)
        self._set_weights(layer.weights, layer.x_bound)

    def __repr__(self) -> str:
        return f"QuantizedBidirectional({self.halves[0]!r}, merge={self.merge!r})"

    def predict(
        self, A: Any, lengths: Any = None, h0: Any = None, *, resets: Any = None, decay: Any = None
    ) -> np.ndarray:
        """Return the outputs (m, s, w), or the last ones (m, w), for A (m, s, e) from h0, a pair of (m, u).

        `resets` and `decay` are those of `Bidirectional.predict`.
        """
        if h0 is not None:
            h0 = real(h0, "h0", (2, "m", self.halves[0].d["u"]), self.dtype)
        return self.predict_on(A, lengths, (None, None) if h0 is None else h0, resets=resets, decay=decay)[0]


class QuantizedDense(Quantized, Dense):
    """A `Dense` with quantised weights."""

    of, stage, c_text = Dense, Dense.stage, Dense.c_text
    fields = Fields({"units": "u"}, ("activate",), options=("weights", "x_bound"))

    def __init__(
        self,
        units: int = 1,
        activate: Activation | str = activations.sigmoid,
        se_hPars: MutableMapping[str, Any] | None = None,
        *,
        weights: str = "int8",
        x_bound: float = 0.0,
    ) -> None:
        super().__init__(units, activate, se_hPars=se_hPars, dtype=np.float32)
        self._set_weights(weights, x_bound)
        self._compiled_activation()  # raises if there is none

    def __repr__(self) -> str:
        activate = activations.name_of(self.activate)
        return f"QuantizedDense(units={self.d['u']}, activate={activate}, weights={self.weights!r})"

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return shape and dtype of weights, their scales, and biases."""
        u = self.d["u"]
        return self._weight_arrays("W", (e, u)) | {"b": ((1, u), FLOAT32)}

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs (m, u) for (m, n), or (m, s, u) for (m, s, n), zero past the lengths."""
        return self.run(A, lengths).A

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Run `predict`; return a pass that cannot go back, with Z, the numbers before the activation."""
        X, steps = mask_padding(as_floats(A, self.dtype), lengths)
        packed, code = self.packed(), self._compiled_activation()
        if X.shape[-1] != packed.n:
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(packed.n)}, the rows of W, got {X.shape}")
        Z, A = packed.both(np.ascontiguousarray(flatten_steps(X)), code)
        return _InferencePass(steps, X=X, Z=unflatten(Z, like=X), A=zero_padding(unflatten(A, like=X), steps))

    def _compiled_activation(self) -> tuple[int, float]:
        """Return (code, parameter) of the compiled activation; ValueError if it is not cgru's own."""
        if self.code is None:
            raise ValueError("activate: expected one of cgru's own, which run compiled, got another callable")
        return self.code

    def _pack(self) -> LowPrecisionLinear:
        """Return the weights, newly packed for the low-precision kernels."""
        return LowPrecisionLinear(self.p["W"], self.p.get("scale_W"), self.p["b"], *self._settings())


class _InferencePass(LayerPass):
    """A pass that cannot backpropagate."""

    def backward(self, dA: Any) -> Any:
        """Raise RuntimeError."""
        raise RuntimeError("backward: expected a layer that trains, got the pass of a quantised one")


class QuantizedEmbedding(Quantized, Embedding):
    """An `Embedding` with a quantised table; with int8 each token has a scale."""

    of, stage = Embedding, Embedding.stage
    fields = Fields({"tokens": "v", "units": "u"}, options=("weights",))

    def __init__(self, tokens: int, units: int, *, weights: str = "int8") -> None:
        super().__init__(tokens, units, dtype=np.float32)
        self._set_weights(weights, 0.0)

    def __repr__(self) -> str:
        return f"QuantizedEmbedding(tokens={self.d['v']}, units={self.d['u']}, weights={self.weights!r})"

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return shape and dtype of the table and its scales."""
        v, u = self.d["v"], self.d["u"]
        scale = {"scale_E": ((v, 1), FLOAT32)} if self.weights == "int8" else {}
        return {"E": ((v, u), WEIGHTS[self.weights]), **scale}

    def c_text(self, c: Any) -> Any:
        """Return this layer's part of an exported C file: the table, and a function that dequantises a row."""
        i, u = c.i, self.d["u"]
        about = f"Embedding, {self.d['v']} tokens, {u} units{c.weights_note}"
        constants = "".join(c.array(*each) for each in zip(("table", "scales"), c.p.values(), strict=False))
        code = f"table_{i}[(size_t)token * {u} + (size_t)i]"
        value = f"(real){code} * scales_{i}.values[token]" if "scale_E" in c.p else f"widened({code})"
        text = _ROW.substitute(i=i, about=about, constants=constants, u=u, value=value)
        return c.part(about, u, f"vector_{i}", text, f"real vector_{i}[{u}];\nlayer_{i}(vector_{i}, {c.x});")

    @property
    def table(self) -> np.ndarray:
        """Return E (v, u) as floats."""
        return reference.dequantize(self.p["E"], self.p.get("scale_E"))

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return the vectors (m, s, u) of the tokens A (m, s), zero past the lengths."""
        X = self.tokens(A, lengths)
        self.packed()
        rows = X.T  # time-major, as a GRU reads it
        scale = self.p["scale_E"][rows] if self.weights == "int8" else None
        found = reference.dequantize(self.p["E"][rows], scale).swapaxes(0, 1)
        return mask_padding(found, lengths)[0]

    def _pack(self) -> bool:
        """Return True: rows of the table are looked up as they are, so that nothing is packed."""
        return True


KINDS = (QuantizedGRU, QuantizedBidirectional, QuantizedDense, QuantizedEmbedding)
