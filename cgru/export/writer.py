"""`Writer`: what layers write their C code with, and the C code of GRU and Dense layers.

A layer's `c_text` gets a `Writer` and returns a `Part`. Letters: e features and u units of a layer, n inputs and k
outputs of a Dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Template
from typing import Any

import numpy as np

from cgru.activations import PARAMETERS, identity, log_softmax, name_of, ours, parameter, softmax
from cgru.core.checks import real
from cgru.export.c_products import Apart, pad_and_concatenate, weight_format
from cgru.export.integer_c import INT16, integer_part
from cgru.export.source import array, number, width
from cgru.gru import GATES
from cgru.layers.layer import Layer
from cgru.network import Network, chain
from cgru.quantized.stored_weights import check_numbers
from cgru.variant import RESET_AFTER, RESET_BEFORE

__all__ = ["Part", "Writer", "layers_of", "parts_of"]

AnyNet = Network | Layer


@dataclass(frozen=True)
class Part:
    """The part of an exported C file that one layer adds.

    `code` defines its weights and functions. `members` are its state: zero, or what `begin` sets. `step` is run in each
    step; a part without state and with no state above it runs only when outputs are due. `result` is the C expression
    that the next layer reads, `width` numbers. `x` in `step` is the input of the model.

    In a layer that changes the steps, `step` returns 0 if there is nothing for the next layer yet. `more` is a C
    expression that tells whether there is one more `result` after the last step, and if so computes it.

    In a layer that reads times, `waits` is the C that takes `dt`, the time from the last step to the next.
    """

    about: str
    width: int
    result: str
    code: str = ""
    step: str = ""
    members: tuple[str, ...] = ()
    begin: str = ""
    more: str = ""
    waits: str = ""


def layers_of(net: Any) -> Sequence[Layer]:
    """Return the layers of `net`; TypeError, ValueError or RuntimeError if they cannot be exported."""
    if not isinstance(net, Network) and not (isinstance(net, Layer) and len(net.cells) == 1):
        raise TypeError(f"net: expected a Network or a GRU, got {type(net).__name__}")
    layers = net.layers if isinstance(net, Network) else (net,)
    chain.check_single_steps(layers, "net", "c_text")
    return layers


def parts_of(net: AnyNet, layers: Sequence[Layer], dtype: np.dtype, apart: Apart) -> list[Part]:
    """Return the parts of the C file in order, the input first; ValueError if no layer has a state.

    Weights are added to `apart`, if it is not None, and then missing in the parts.
    """
    e = chain.features(layers)
    if "tokens" in layers[0].reads:
        parts = [Part(f"input: a token from 0 to {layers[0].d['v'] - 1}", 1, "x")]
    elif getattr(net, "mean", None) is None or dtype == INT16:  # integers are made of standardised inputs
        parts = [Part(f"input: {e} features", e, "x")]
    else:
        parts = [_standardize(net.mean, net.scale, e, dtype, apart)]
    _add_parts(parts, layers, dtype, apart)
    if not any(part.members for part in parts):
        due = "a GRU, a Pool that is not 'last', or Frames"
        raise ValueError(f"net: expected {due}, among the layers, got {list(layers)}")
    return parts


def _add_parts(parts: list[Part], layers: Sequence[Layer], dtype: np.dtype, apart: Apart, at: str = "") -> None:
    """Append the parts of a chain of layers, with branches before the layer that joins them.

    A join is a state, so that it and all that it reads run in each step.
    """
    below = parts[-1]
    for i, layer in enumerate(layers):
        ends = []
        for b, branch in enumerate(layer.branches):
            own = [below]
            _add_parts(own, branch, dtype, apart, f"{at}{i}_{b}_")
            ends.append(own[-1])
            parts += own[1:]
        for n, part in enumerate(chain.parts_of(layer)):
            writer = Writer(part, f"{at}{i}" + f"_{n}" * bool(n), below.result, below.width, dtype, apart, ends)
            made = part.c_text(writer)
            parts += made if isinstance(made, tuple) else (made,)
            below = parts[-1]


_STANDARDIZE = Template("""\
${constants}static void standardize(real *y, const real *x) {
    for (int i = 0; i < $e; i++) { y[i] = $centred / input_scale.values[i]; }
}
""")


def _standardize(mean: np.ndarray, scale: np.ndarray, e: int, dtype: np.dtype, apart: Apart) -> Part:
    """Return the part of the C file that computes (x - mean) / scale.

    The mean is split into two numbers: `Network` subtracts it in float64, and one float32 would lose digits.
    """
    mean, scale = (real(value, name, (e,)).astype(np.float64) for name, value in (("mean", mean), ("scale", scale)))
    arrays = {"mean": _cast_finite(mean, "mean", dtype), "scale": _cast_finite(scale, "scale", dtype)}
    if not arrays["scale"].all():
        raise ValueError(f"scale: expected numbers that are not zero in {dtype}, got {scale.tolist()}")
    centred, rest = "(x[i] - input_mean.values[i])", mean - arrays["mean"]
    if rest.any() or (apart is not None and dtype != mean.dtype):
        arrays["rest"], centred = rest.astype(dtype), f"({centred} - input_rest.values[i])"
    constants = "".join(array(f"input_{name}", value, apart) for name, value in arrays.items())
    code = _STANDARDIZE.substitute(constants=constants, centred=centred, e=e)
    step = f"real standardized[{e}];\nstandardize(standardized, x);"
    return Part(f"input: {e} features, standardized", e, "standardized", code, step)


def _cast_finite(values: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
    """Return the values in `dtype`; raise a ValueError that names `name` if they are not finite in it."""
    with np.errstate(over="ignore"):
        made = values.astype(dtype)
    if not np.isfinite(made).all():
        raise ValueError(f"{name}: expected finite numbers in {dtype}, got NaN or infinity")
    return made


def _loop(values: str, call: str, start: str, stop: str) -> str:
    """Return a C loop that applies the activation `call` to values[start] to values[stop - 1]; "" for no activation."""
    value = f"{values}[i]"
    return f"for (int i = {start}; i < {stop}; i++) {{ {value} = {call.format(value)}; }}" if call else ""


# --- the texts ---

_ELEMENTWISE = Template("""\
/* layer $i: $about */
${constants}static void layer_$i(real *y, const real *x) {
    for (int i = 0; i < $n; i++) { y[i] = $value; }
    $after
}
""")

_DENSE = Template("""\
/* layer $i: $about */
$biases
$weights
static void layer_$i(real *y, const real *x) {
    $product
    $activated
}
""")

_GRU_RESET_BEFORE = Template("""\
/* layer $i: $about */
$biases
$inputs
$hidden
$candidate
static void layer_$i(real *h, const real *x) {
    ALIGNED real from_x[3 * $up];
    ALIGNED real gates[2 * $up];
    ALIGNED real reset[$up];
    ALIGNED real hh[$up];
    const real *r = gates;
    const real *z = gates + $up;

    /* x Uhh + bhh, x Ur + br, x Uz + bz */
    $inputs_product
    /* r = activate_reset(x Ur + br + hp Vr), z = activate_update(x Uz + bz + hp Vz) */
    $hidden_product
    $gates_activated
    /* hh = activate(x Uhh + bhh + (r * hp) Vhh) */
    for (int i = 0; i < $u; i++) { reset[i] = r[i] * h[i]; }
    $candidate_product
    $activated
    $blended
}
""")

_GRU_RESET_AFTER = Template("""\
/* layer $i: $about */
$biases
$inputs
$hidden
static void layer_$i(real *h, const real *x) {
    ALIGNED real from_x[4 * $up];
    ALIGNED real gates[3 * $up];
    ALIGNED real hh[$up];
    const real *r = gates;
    const real *z = gates + $up;
    const real *c = gates + (2 * $up);

    /* x Uhh + bhh, x Ur + br, x Uz + bz, and beside them chh */
    $inputs_product
    memcpy(from_x + (3 * $up), biases_$i.values + (3 * $up), (size_t)$up * sizeof(real));
    /* r = activate_reset(x Ur + br + hp Vr), z = activate_update(x Uz + bz + hp Vz), c = hp Vhh + chh */
    $hidden_product
    $gates_activated
    /* hh = activate(x Uhh + bhh + r * c) */
    for (int i = 0; i < $up; i++) { hh[i] = from_x[i] + (r[i] * c[i]); }
    $activated
    $blended
}
""")

# By product of matrices side by side: where its result goes, what it is added to, and what is multiplied. By variant:
# its C, the matrices of each product, its biases side by side, and a note for the comment.
_PRODUCTS = {
    "inputs": ("from_x", "biases_{i}.values", "x"),
    "hidden": ("gates", "from_x + {up}", "h"),
    "candidate": ("hh", "from_x", "reset"),
}
_VARIANTS = {
    RESET_BEFORE: (
        _GRU_RESET_BEFORE,
        {"inputs": ("Uhh", "Ur", "Uz"), "hidden": ("Vr", "Vz"), "candidate": ("Vhh",)},
        ("bhh", "br", "bz"),
        "",
    ),
    RESET_AFTER: (
        _GRU_RESET_AFTER,
        {"inputs": ("Uhh", "Ur", "Uz"), "hidden": ("Vr", "Vz", "Vhh")},
        ("bhh", "br", "bz", "chh"),
        ", reset after the product",
    ),
}

_BLENDED = """\
/* h = z * hp + (1 - z) * hh */
    for (int i = 0; i < $u; i++) { h[i] = (z[i] * h[i]) + (((real)1 - z[i]) * hh[i]); }"""

_ZONED_OUT = """\
/* h = k * hp + (1 - k) * (z * hp + (1 - z) * hh), k = $k: what zoneout leaves on average */
    for (int i = 0; i < $u; i++) {
        h[i] = ($k * h[i]) + (((real)1 - $k) * ((z[i] * h[i]) + (((real)1 - z[i]) * hh[i])));
    }"""


class Writer:
    """The writer of one layer's C code: the layer's place in the file, its constants, and texts that layers share.

    Attributes:
        layer, i: the layer, and its number in the file, in branches such as 2_0_1.
        x, n: the C that its input is read by, of n numbers, or a token.
        dtype: of the numbers in the file, `real` in C.
        apart: where weights go that are a file of their own, else None.
        part: makes a `Part`.
    """

    part = Part

    def __init__(
        self, layer: Any, i: str, x: str, n: int, dtype: np.dtype, apart: Apart, ends: Sequence[Part] = ()
    ) -> None:
        """Set the layer with its number i, the C expression `x` that reads its n inputs, and the `dtype` of the file.

        `ends` are the last parts of its branches.
        """
        self.layer, self.i, self.x, self.n, self.dtype = layer, i, x, n, dtype
        self.apart, self.ends = apart, ends

    def of(self, layer: Any, x: str, n: int) -> Writer:
        """Return a writer for a layer inside this one, whose n inputs are read by the C expression `x`."""
        return Writer(layer, self.i, x, n, self.dtype, self.apart)

    # --- numbers ---

    @cached_property
    def p(self) -> dict[str, np.ndarray]:
        """Return the parameters in the dtype of the file, floats rounded to the layer's dtype first, int8 unchanged.

        ValueError if one is missing, does not fit or is not finite.
        """
        p, layer = {}, self.layer
        for name, (shape, kept) in layer.arrays(self.n).items():
            what = f"p[{name!r}] of layer {self.i}"
            if name not in layer.p:
                raise ValueError(f"{what}: missing; expected an array of shape {shape}")
            p[name] = value = np.asarray(layer.p[name])
            if kept.kind == "f":
                p[name] = _cast_finite(real(value, what, shape, layer.dtype), what, self.dtype)
            elif (value.shape, value.dtype) != (shape, kept):
                raise ValueError(f"{what}: expected {kept} {shape}, got {value.dtype} {value.shape}")
            else:
                check_numbers(value, what)
        return p

    def array(self, name: str, values: np.ndarray) -> str:
        """Return the C definition of a constant array `name_i`; "" if the weights are in a separate file."""
        return array(f"{name}_{self.i}", values, self.apart)

    def biases(self, rows: Sequence[np.ndarray], columns: int) -> str:
        """Return the C definition of the array `biases_i`: biases side by side, each padded to `columns`."""
        padded, kept = (pad_and_concatenate(each, columns) for each in (rows, [np.ones(b.shape, bool) for b in rows]))
        return array(f"biases_{self.i}", padded, self.apart, kept)

    def number(self, value: float, what: str) -> str:
        """Return a number as a C constant; ValueError, naming `what`, if it is not finite in the file's dtype."""
        return number(_cast_finite(np.array(value), what, self.dtype).item(), self.dtype)

    def learned(self, name: str, value: float) -> str:
        """Return the C expression of a fitted number: a constant, or an element of the separate weights file."""
        if self.apart is None:
            return self.number(value, name)
        self.array(name, _cast_finite(np.array(value), name, self.dtype))
        return f"{name}_{self.i}.values[0]"

    def parameter_constant(self, key: str) -> str:
        """Return the parameter `key` of the layer's activation as a C constant, rounded to the layer's dtype."""
        with np.errstate(over="ignore"):
            value = np.array(parameter(self.layer.se_hPars, key)).astype(self.layer.dtype)
        return self.number(value, f"se_hPars[{key!r}]")

    # --- words ---

    @property
    def weights_note(self) -> str:
        """Return a note for the layer's comment on weights that are not floats; "" for floats."""
        return f", {self.layer.weights} weights" if self.layer.weights else ""

    @property
    def x_bound(self) -> str:
        """Return the C expression of the largest |x| found in calibration, with 0 for unknown; "" for float weights."""
        if not weight_format(self.layer.weights, self.dtype).rounds_inputs:
            return ""
        bound = np.float32(self.layer.weights.x_bound).item()
        return self.learned("bound", bound if bound > np.float32(1e-30) else 0.0)  # smaller rows count as zero

    def described(self, role: str = "activate") -> str:
        """Return the name of one of the layer's activations, with its parameter."""
        f = getattr(self.layer, role)
        key = PARAMETERS.get(ours(f))
        return name_of(f) + (f" ({key} {parameter(self.layer.se_hPars, key):g})" if key else "")

    # --- activations ---

    def call(self, role: str) -> str:
        """Return the C call of an elementwise activation with {} for its argument; "" for the identity."""
        f = getattr(self.layer, role)
        known = ours(f)
        if known in (None, softmax, log_softmax):
            due = "one of cgru's own" if known is None else "an elementwise activation"
            raise ValueError(f"{role}: expected {due} to export, got {name_of(f)} in layer {self.i}")
        if known is identity:
            return ""
        alpha = f", {self.parameter_constant(PARAMETERS[known])}" if known in PARAMETERS else ""
        return f"activate_{name_of(known)}({{}}{alpha})"

    def activated(self, k: int, columns: str) -> str:
        """Return the C code that applies the layer's activation to the array y of k numbers, padded to `columns`."""
        if ours(self.layer.activate) is softmax:
            return f"softmax(y, {k}, {self.parameter_constant('softmax_temperature')});"
        if ours(self.layer.activate) is log_softmax:
            return f"log_softmax(y, {k});"
        return _loop("y", self.call("activate"), "0", columns)

    # --- whole layers ---

    def function(self, about: str, width: int, code: str, columns: str | None = None) -> Part:
        """Return the part of a layer from `code` that defines `layer_i(real *y, const real *x)` with `width` outputs.

        With `columns` y has room for that many, and is aligned.
        """
        y, kind = f"y_{self.i}", "real" if columns is None else "ALIGNED real"
        step = f"{kind} {y}[{columns or width}];\nlayer_{self.i}({y}, {self.x});"
        return Part(about, width, y, code, step)

    def elementwise(self, about: str, value: str, constants: Sequence[str] = (), after: str = "") -> Part:
        """Return the part of an elementwise layer: `value` is the C expression of an output, `after` more code."""
        constants = "".join(f"{text}\n" for text in constants)
        words = {"i": self.i, "n": self.n, "about": about, "value": value, "constants": constants, "after": after}
        return self.function(about, self.n, _ELEMENTWISE.substitute(words))

    def branches(self, how: str) -> Part:
        """Return the part that joins the outputs of branches, by concatenation or by the operator `how`."""
        y, ends, steps, width = f"state->joined_{self.i}", self.ends, [], 0
        if how:
            value = f" {how} ".join(f"({end.result})[i]" for end in ends)
            width = ends[0].width
            steps.append(f"for (int i = 0; i < {width}; i++) {{ {y}[i] = {value}; }}")
        for end in () if how else ends:
            steps.append(f"memcpy({y} + {width}, {end.result}, {end.width}u * sizeof(real));")
            width += end.width
        about = f"{type(self.layer).__name__} of {len(ends)} branches"
        return Part(about, width, y, step="\n".join(steps), members=(f"$real joined_{self.i}[{width}];",))

    def dense(self) -> Part:
        """Return the part of a `Dense` layer, with float or quantised weights."""
        layer, i, n, p = self.layer, self.i, self.n, self.p
        weights, k = weight_format(layer.weights, self.dtype), layer.d["u"]
        columns = width(k, weights.padded(k))
        about = f"Dense, {n} inputs, {k} outputs; activate {self.described()}{self.weights_note}"
        code = _DENSE.substitute(
            i=i,
            about=about,
            biases=self.biases([p["b"]], weights.padded(k)),
            weights=weights.matrix(f"weights_{i}", [p["W"]], _scales(p, ["W"]), self.apart),
            product=weights.product("y", 1, k, f"biases_{i}.values", "x", n, f"weights_{i}", self.x_bound),
            activated=self.activated(k, columns),
        )
        return self.function(about, k, code, columns)

    def integers(self) -> Part | tuple[Part, ...]:
        """Return the part, or the parts, of an integer layer."""
        return integer_part(self)

    def gru(self) -> Part:
        """Return the part of a `GRU`, with float or quantised weights; ValueError for a variant without C code."""
        layer, i, e, u = self.layer, self.i, self.n, self.layer.d["u"]
        if layer.variant.step not in _VARIANTS:
            due = " or ".join(map(str, _VARIANTS))
            raise ValueError(f"net: expected GRUs of the variant {due} to export, got {layer.variant} as layer {i}")
        template, matrices, biases, note = _VARIANTS[layer.variant.step]
        weights, p = weight_format(layer.weights, self.dtype), self.p
        up = width(u, weights.padded(u))
        about = f"GRU, {e} features, {u} units; " + ", ".join(f"{gate} {self.described(gate)}" for gate in GATES)
        about += note + ", a learned h0" * layer.learn_h0 + f", zoneout {layer.zoneout:g}" * bool(layer.zoneout)
        k = number(layer.dtype.type(layer.zoneout).astype(self.dtype).item(), self.dtype)
        values = {
            "i": i,
            "about": about + self.weights_note,
            "u": u,
            "up": up,
            "gates_activated": self._gates(up),
            "activated": _loop("hh", self.call("activate"), "0", up),
            "blended": Template(_ZONED_OUT if layer.zoneout else _BLENDED).substitute(k=k, u=u),
            "biases": self.biases([p[name] for name in biases], weights.padded(u)),
        }
        for role, names in matrices.items():
            y, start, operand = (text.format(i=i, up=up) for text in _PRODUCTS[role])
            rows, bound = (e, self.x_bound) if role == "inputs" else (u, number(layer.bound, self.dtype))
            matrix = f"{role}_{i}", [p[name] for name in names], _scales(p, names)
            values[role] = weights.matrix(*matrix, self.apart)
            values[f"{role}_product"] = weights.product(y, len(names), u, start, operand, rows, f"{role}_{i}", bound)
        state, code, begin = f"state->layer_{i}", template.substitute(values), ""
        member = f"$real layer_{i}[{u}]; /* h ({u},) */"
        if layer.learn_h0:
            code += self.array("start", p["h0"])
            begin = f"memcpy({state}, start_{i}.values, sizeof start_{i});"
        return Part(about + self.weights_note, u, state, code, f"layer_{i}({state}, {self.x});", (member,), begin)

    def _gates(self, up: str) -> str:
        """Return C loops that activate r and z, side by side in `gates`; one loop if their activations are equal."""
        reset, update = self.call("activate_reset"), self.call("activate_update")
        if reset == update:
            return _loop("gates", reset, "0", f"(2 * {up})")
        loops = _loop("gates", reset, "0", up), _loop("gates", update, up, f"(2 * {up})")
        return "\n    ".join(filter(None, loops))


def _scales(p: dict[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Return the column scales of these matrices; an empty list if they are not int8."""
    return [p[f"scale_{name}"] for name in names if f"scale_{name}" in p]
