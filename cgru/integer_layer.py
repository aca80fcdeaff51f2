"""IntegerLayer: a layer that computes only with integers, by the equations of cgru/quantized/integer_forms.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.core.lengths import mask
from cgru.layers.layer import Fields, Layer, LayerPass, as_floats, checked_sequences, mask_padding, zero_padding
from cgru.quantized.integer_forms import FORMS, Form, as_codes, y_bits_for

__all__ = ["IntegerLayer"]

MOST_BITS = 120  # so that steps are normal numbers of float32
LOST_BITS = 8  # of outputs that are so small beside the products that they are sums of


def _of_layer(name: str) -> property:
    """Return a property that reads the attribute `name` of the wrapped layer."""
    return property(lambda self: getattr(self.layer, name), doc=f"`{name}` of the layer within.")


class IntegerLayer(Layer):
    """A layer of `cgru.quantize(net, activations="int16")`: int8 weights, int16 inputs, states and outputs.

    Inputs and outputs are floats of float32 that such integers stand for, so that layers follow one another as others
    do: an input x is rounded to the integer x * 2^x_bits, and an integer y is returned as y / 2^y_bits, both exactly.
    All between is integers: see docs/quantize.md. It predicts, and does not train.

    Args:
        layer: the layer, with int8 weights if it has some.
        x_bits: the bits behind the point of its inputs.
        y_bits: those of its outputs.

    Attributes:
        layer, x_bits, y_bits: as passed.
        d, p, fs: those of `layer`.

    Raises:
        TypeError, ValueError: the layer has no form of integers, or `bits` are no such integers.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> X = np.random.default_rng(0).standard_normal((8, 6, 3))
        >>> A = net.predict(X)
        >>> small = cgru.quantize(net, activations="int16", calibration=X)
        >>> small.layers[0].y_bits
        15
        >>> bool(np.abs(small.predict(X) - A).max() < 0.02)
        True
    """

    fields = Fields({"x_bits": None, "y_bits": None}, of="layer")

    def __init__(self, layer: Layer, x_bits: int, y_bits: int) -> None:
        super().__init__(dtype=np.float32)
        if type(layer).__name__ not in FORMS:
            raise TypeError(f"layer: expected one of {', '.join(FORMS)}, got {layer!r}")
        for name, bits in (("x_bits", x_bits), ("y_bits", y_bits)):
            if not isinstance(bits, int) or abs(bits) > MOST_BITS:
                raise ValueError(f"{name}: expected an integer from -{MOST_BITS} to {MOST_BITS}, got {bits!r}")
        self.layer, self.x_bits, self.y_bits = layer, x_bits, y_bits
        self.d, self.p, self.fs = layer.d, layer.p, layer.fs

    @classmethod
    def fitted(cls, layer: Layer, x_bits: int, top: float) -> IntegerLayer:
        """Return an IntegerLayer whose outputs have as many fractional bits as numbers up to `top` leave room for.

        ValueError if there is none.
        """
        most = y_bits_for(layer, x_bits, top)
        for y_bits in range(most, most - LOST_BITS, -1):
            made = cls(layer, x_bits, y_bits)
            try:
                made.form()
            except ValueError as error:
                refused = error
            else:
                return made
        raise refused

    def __repr__(self) -> str:
        return f"int16 {self.layer!r}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "layer":
            raise AttributeError(name)
        return getattr(self.layer, name)

    parameter_names, features, cells, is_head, steps = map(
        _of_layer, ("parameter_names", "features", "cells", "is_head", "steps")
    )
    output_shape, input_features, arrays, compute_shapes = map(
        _of_layer, ("output_shape", "input_features", "arrays", "compute_shapes")
    )
    weights = property(lambda self: self.layer.weights or "int16", doc="How weights are stored; without any int16.")
    reads = property(lambda self: tuple({*self.layer.reads} & {"tokens"}), doc="Tokens, where the layer reads them.")

    @property
    def stage(self) -> dict[str, Any]:
        """Return how the compiled `Stream` treats this layer; a compiled fit has no such layer."""
        return {"kind": "embedding" if self.reads else "integers"}

    def form(self) -> Form:
        """Return the integer form of the layer, made from its current parameters.

        Returns:
            A `Form` of cgru/quantized/integer_forms.py.

        Raises:
            ValueError: they do not fit into their bits.

        Examples:
            >>> cgru.integer_layer.IntegerLayer(cgru.Clip(-1, 1), 12, 12).form().high
            4096
        """
        return FORMS[type(self.layer).__name__](self.layer, self.x_bits, self.y_bits)

    @property
    def table(self) -> np.ndarray:
        """Return the table of an `Embedding`: the vectors (v, u) of all tokens."""
        return self.values(self.form().output(np.arange(self.d["v"])))

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        return c.integers()

    # --- running ---

    def codes(self, X: np.ndarray) -> np.ndarray:
        """Return inputs converted to fixed-point integers; tokens are returned unchanged."""
        return X if "tokens" in self.reads else as_codes(X, self.x_bits)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Return the float32 numbers that the layer's output integers represent."""
        return (codes * 2.0**-self.y_bits).astype(np.float32)

    def stored(self, state: np.ndarray) -> np.ndarray:
        """Return a state as a `Stream` stores it: a GRU's as floats, which the user may set, any other as integers."""
        return self.values(state) if self.cells else state

    def step(self, form: Form, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run one step of inputs (m, n); return the outputs (m, u) and the new state in its stored form."""
        state = as_codes(state, self.y_bits) if self.cells else state
        y, state = form.step(self.codes(x), state)
        return self.values(y), self.stored(state)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None, h0: np.ndarray | None = None) -> LayerPass:
        """Run A, in a GRU from the states h0; return a pass with the outputs of `predict`, without a backward pass."""
        form = self.form()
        if self.reads:
            X = self.layer.tokens(A, lengths)
            steps = None if lengths is None else mask(lengths, X.shape[1])
        else:
            take = checked_sequences if form.start.size else as_floats
            X, steps = mask_padding(take(A, self.dtype), lengths)
            due = self.features or self.d.get("n", X.shape[-1])
            if X.shape[-1] != due:
                raise ValueError(f"A: expected {due} features, as the layer was made for, got shape {X.shape}")
        codes, linear = self.codes(X), {}
        if form.start.size:
            states = self._states(form, codes, steps, h0)
            outputs = np.stack(states, axis=1) if self.cells and self.layer.sequences else form.output(states[-1])
        else:
            outputs = form.output(codes)
        if self.is_head:
            linear["Z"] = (form.linear(codes) * 2.0**-form.bits).astype(np.float32)
        steps = steps if outputs.ndim == 3 else None
        A = zero_padding(self.values(outputs), steps)
        return LayerPass(steps, lambda *_: self.layer.weights.refuse(self), X=X, A=A, **linear)

    def _states(self, form: Form, codes: np.ndarray, steps: Any, h0: np.ndarray | None) -> list[np.ndarray]:
        """Return the states after each step; a padded step repeats the state before it."""
        state, found = form.start.repeat(len(codes), axis=0) if h0 is None else as_codes(h0, self.y_bits), []
        for t in range(codes.shape[1]):
            new = form.advance(codes[:, t], state)
            state = new if steps is None else np.where(steps[:, t], new, state)
            found.append(state)
        return found

    def predict_on(self, A: np.ndarray, lengths: Any, states: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` from given states of a GRU; return the outputs and the last states."""
        A = self.run(A, lengths, *states[: len(self.cells)]).A
        if not self.cells or A.ndim == 2:
            return A, (A,) * len(self.cells)
        last = A.shape[1] if lengths is None else np.asarray(lengths)
        return A, (A[np.arange(len(A)), last - 1],)
