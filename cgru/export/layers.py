"""The layers of an exported model: each kind is one function that writes its weights and its step in C.

e elements and u units of a layer, n inputs and k outputs of a Dense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np

from cgru.activations import elu, identity, lrelu, name_of, ours, parameter, softmax
from cgru.core.checks import real
from cgru.export.products import Int8, Weights, side_by_side, weights_of
from cgru.export.source import array, number
from cgru.gru import GATES, GRU
from cgru.layers.activation import Activation
from cgru.layers.clip import Clip
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool
from cgru.layers.scale import Scale
from cgru.network import Network
from cgru.quantized.layers import Quantized, QuantizedDense, QuantizedEmbedding, QuantizedGRU, check_numbers
from cgru.variant import RESET_AFTER, RESET_BEFORE

__all__ = ["Part", "layers_of", "parts_of"]

AnyLayer = GRU | Layer
AnyNet = Network | GRU | QuantizedGRU


@dataclass(frozen=True)
class Part:
    """What a layer adds to the file.

    `code` defines its weights and functions, `members` are its state, zero or what `begin` puts there; `step` is run in
    each step, or without a state and with none above where outputs are due; `result` is what the next layer reads,
    `width` numbers. `x` in `step` is the input of the model.
    """

    about: str
    width: int
    result: str
    code: str = ""
    step: str = ""
    members: tuple[str, ...] = ()
    begin: str = ""


def layers_of(net: Any) -> Sequence[AnyLayer]:
    """The layers of `net`; TypeError, ValueError or RuntimeError where they cannot be exported."""
    if not isinstance(net, AnyNet):
        raise TypeError(f"net: expected a Network or a GRU, got {type(net).__name__}")
    layers = net.layers if isinstance(net, Network) else (net,)
    for i, layer in enumerate(layers):
        if not layer.piecewise and layer.stream != "":
            raise ValueError(
                f"net: expected layers that run a step at a time, got {layer!r} as layer {i}, which begins at the end "
                "of a sequence"
            )
        if type(layer) not in _KINDS:
            raise ValueError(f"net: expected cgru's own layers to export, got {type(layer).__name__} as layer {i}")
        if layer.stream == "recurrent" and layer.variant.step not in _VARIANTS:
            due = " or ".join(map(str, _VARIANTS))
            raise ValueError(f"net: expected GRUs of the variant {due} to export, got {layer.variant} as layer {i}")
        if not layer.p and layer.parameter_names:
            raise RuntimeError(f"net: expected parameters to export, got none in layer {i}: fit or predict first")
    return layers


def parts_of(net: AnyNet, layers: Sequence[AnyLayer], dtype: np.dtype) -> list[Part]:
    """The parts, input first, each reading what the one before it gives; ValueError where none has a state."""
    e = next(layer for layer in layers if layer.p).elements
    if layers[0].tokens_in:
        parts = [Part(f"input: a token from 0 to {layers[0].d['v'] - 1}", 1, "x")]
    elif getattr(net, "mean", None) is None:
        parts = [Part(f"input: {e} elements", e, "x")]
    else:
        parts = [_standardize(net.mean, net.scale, e, dtype)]
    for i, layer in enumerate(layers):
        parts.append(_KINDS[type(layer)](layer, i, parts[-1].result, parts[-1].width, dtype))
    if not any(part.members for part in parts):
        raise ValueError(f"net: expected a GRU, or a Pool that is not 'last', among the layers, got {list(layers)}")
    return parts


# --- one function for each kind ---

_STANDARDIZE = Template("""\
${constants}static void standardize(real *y, const real *x) {
    for (int i = 0; i < $e; i++) y[i] = $centred / scale.values[i];
}
""")


def _standardize(mean: np.ndarray, scale: np.ndarray, e: int, dtype: np.dtype) -> Part:
    """(x - mean) / scale, the mean in two numbers: `Network` does it in float64, and one float32 would lose digits."""
    mean, scale = (real(value, name, (e,)).astype(np.float64) for name, value in (("mean", mean), ("scale", scale)))
    arrays = {"mean": _narrowed(mean, "mean", dtype), "scale": _narrowed(scale, "scale", dtype)}
    if not arrays["scale"].all():
        raise ValueError(f"scale: expected numbers that are not zero in {dtype}, got {scale.tolist()}")
    centred, rest = "(x[i] - mean.values[i])", mean - arrays["mean"]
    if rest.any():
        arrays["rest"], centred = rest.astype(dtype), f"({centred} - rest.values[i])"
    constants = "".join(array(name, value) for name, value in arrays.items())
    code = _STANDARDIZE.substitute(constants=constants, centred=centred, e=e)
    step = f"real standardized[{e}];\nstandardize(standardized, x);"
    return Part(f"input: {e} elements, standardized", e, "standardized", code, step)


_ROW = Template("""\
/* layer $i: $about */
${constants}static void layer_$i(real *y, int token) {
    for (int i = 0; i < $u; i++) y[i] = $value;
}
""")


def _embedding(layer: Embedding, i: int, x: str, e: int, dtype: np.dtype) -> Part:
    v, u = layer.d["v"], layer.d["u"]
    p = _parameters(layer, i, e, dtype)
    about = f"Embedding, {v} tokens, {u} units{_kept(layer)}"
    constants = "".join(
        array(name, p[which]) for name, which in ((f"table_{i}", "E"), (f"scales_{i}", "scale_E")) if which in p
    )
    if not isinstance(layer, Quantized):
        code = f"/* layer {i}: {about} */\n{constants}"
        return Part(about, u, f"vector_{i}", code, f"const real *vector_{i} = table_{i}.values + (size_t){x} * {u};")
    code = f"table_{i}[(size_t)token * {u} + (size_t)i]"
    value = f"(real){code} * scales_{i}.values[token]" if "scale_E" in p else f"widened({code})"
    text = _ROW.substitute(i=i, about=about, constants=constants, u=u, value=value)
    return Part(about, u, f"vector_{i}", text, f"real vector_{i}[{u}];\nlayer_{i}(vector_{i}, {x});")


_BEFORE = Template("""\
/* layer $i: $about */
$biases
$inputs
$hidden
$candidate
static void layer_$i(real *h, const real *x) {
    ALIGNED real from_x[3 * $up], gates[2 * $up], reset[$up], hh[$up];
    const real *r = gates, *z = gates + $up;

    /* x Uhh + bhh, x Ur + br, x Uz + bz */
    $inputs_product
    /* r = activate_reset(x Ur + br + hp Vr), z = activate_update(x Uz + bz + hp Vz) */
    $hidden_product
    $gates_activated
    /* hh = activate(x Uhh + bhh + (r * hp) Vhh) */
    for (int i = 0; i < $up; i++) reset[i] = r[i] * h[i];
    $candidate_product
    $activated
    $blended
}
""")

_AFTER = Template("""\
/* layer $i: $about */
$biases
$inputs
$hidden
static void layer_$i(real *h, const real *x) {
    ALIGNED real from_x[4 * $up], gates[3 * $up], hh[$up];
    const real *r = gates, *z = gates + $up, *c = gates + 2 * $up;

    /* x Uhh + bhh, x Ur + br, x Uz + bz, and beside them chh */
    $inputs_product
    memcpy(from_x + 3 * $up, biases_$i.values + 3 * $up, $up * sizeof(real));
    /* r = activate_reset(x Ur + br + hp Vr), z = activate_update(x Uz + bz + hp Vz), c = hp Vhh + chh */
    $hidden_product
    $gates_activated
    /* hh = activate(x Uhh + bhh + r * c) */
    for (int i = 0; i < $up; i++) hh[i] = from_x[i] + r[i] * c[i];
    $activated
    $blended
}
""")

# The code of each variant, the matrices and biases that lie side by side in it, and what is said of it. Of a product of
# these matrices: where it goes, what it begins with, and what is multiplied.
_PRODUCTS = {
    "inputs": ("from_x", "biases_{i}.values", "x"),
    "hidden": ("gates", "from_x + {up}", "h"),
    "candidate": ("hh", "from_x", "reset"),
}
_VARIANTS = {
    RESET_BEFORE: (
        _BEFORE,
        {"inputs": ("Uhh", "Ur", "Uz"), "hidden": ("Vr", "Vz"), "candidate": ("Vhh",)},
        ("bhh", "br", "bz"),
        "",
    ),
    RESET_AFTER: (
        _AFTER,
        {"inputs": ("Uhh", "Ur", "Uz"), "hidden": ("Vr", "Vz", "Vhh")},
        ("bhh", "br", "bz", "chh"),
        ", reset after the product",
    ),
}

_BLENDED = """\
/* h = z * hp + (1 - z) * hh */
    for (int i = 0; i < $up; i++) h[i] = z[i] * h[i] + (1 - z[i]) * hh[i];"""

_ZONED_OUT = """\
/* h = k * hp + (1 - k) * (z * hp + (1 - z) * hh), k = $k: what zoneout leaves on average */
    for (int i = 0; i < $up; i++) h[i] = $k * h[i] + (1 - $k) * (z[i] * h[i] + (1 - z[i]) * hh[i]);"""


def _gru(layer: GRU | QuantizedGRU, i: int, x: str, e: int, dtype: np.dtype) -> Part:
    weights, u = _weights(layer, dtype), layer.d["u"]
    up = weights.padded(u)
    template, matrices, biases, _ = _VARIANTS[layer.variant.step]
    p = _parameters(layer, i, e, dtype)
    about = _about(layer, e, u)
    k = number(layer.dtype.type(layer.zoneout).astype(dtype).item(), dtype)
    values = {
        "i": i,
        "about": about,
        "up": up,
        "gates_activated": _gates(layer, i, up, dtype),
        "activated": _loop("hh", _call(layer, "activate", i, dtype), 0, up),
        "blended": Template(_ZONED_OUT if layer.zoneout else _BLENDED).substitute(k=k, up=up),
        "biases": array(f"biases_{i}", side_by_side([p[name] for name in biases], up)),
    }
    for role, names in matrices.items():
        y, start, operand = (text.format(i=i, up=up) for text in _PRODUCTS[role])
        rows, bound = (e, "x_bound") if role == "inputs" else (u, "bound")
        values[role] = weights.matrix(f"{role}_{i}", [p[name] for name in names], _scales(p, names))
        values[f"{role}_product"] = weights.product(
            y, len(names) * up, start, operand, rows, f"{role}_{i}", getattr(layer, bound, 0.0)
        )
    state, code, begin = f"state->layer_{i}", template.substitute(values), ""
    member = f"$real layer_{i}[{up}]; /* h ({u},){' and padding' * (up > u)} */"
    if layer.learn_h0:
        code += array(f"start_{i}", p["h0"])
        begin = f"memcpy({state}, start_{i}.values, sizeof start_{i});"
    return Part(about, u, state, code, f"layer_{i}({state}, {x});", (member,), begin)


def _about(layer: GRU | QuantizedGRU, e: int, u: int) -> str:
    about = f"GRU, {e} elements, {u} units; " + ", ".join(f"{gate} {_described(layer, gate)}" for gate in GATES)
    about += _VARIANTS[layer.variant.step][-1] + ", a learned h0" * layer.learn_h0
    return about + f", zoneout {layer.zoneout:g}" * bool(layer.zoneout) + _kept(layer)


def _gates(layer: GRU | QuantizedGRU, i: int, up: int, dtype: np.dtype) -> str:
    """The loops that activate r and z, which lie side by side in `gates`: one where both have the same function."""
    reset, update = (_call(layer, role, i, dtype) for role in ("activate_reset", "activate_update"))
    if reset == update:
        return _loop("gates", reset, 0, 2 * up)
    loops = _loop("gates", reset, 0, up), _loop("gates", update, up, 2 * up)
    return "\n    ".join(filter(None, loops))


_DENSE = Template("""\
/* layer $i: $about */
$biases
$weights
static void layer_$i(real *y, const real *x) {
    $product
    $activated
}
""")


def _dense(layer: Dense, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    weights, k = _weights(layer, dtype), layer.d["u"]
    columns = weights.padded(k)
    p = _parameters(layer, i, n, dtype)
    about = f"Dense, {n} inputs, {k} outputs; activate {_described(layer, 'activate')}{_kept(layer)}"
    code = _DENSE.substitute(
        i=i,
        about=about,
        biases=array(f"biases_{i}", side_by_side([p["b"]], columns)),
        weights=weights.matrix(f"weights_{i}", [p["W"]], _scales(p, ["W"])),
        product=weights.product(
            "y", columns, f"biases_{i}.values", "x", n, f"weights_{i}", getattr(layer, "x_bound", 0.0)
        ),
        activated=_activated(layer, i, k, columns, dtype),
    )
    return Part(about, k, f"y_{i}", code, f"ALIGNED real y_{i}[{columns}];\nlayer_{i}(y_{i}, {x});")


def _activated(layer: Dense | Activation, i: int, k: int, columns: int, dtype: np.dtype) -> str:
    """The activation of y, k numbers with padding up to so many columns."""
    if ours(layer.activate) is softmax:
        return f"softmax(y, {k}, {_number(layer, 'softmax_temperature', dtype)});"
    return _loop("y", _call(layer, "activate", i, dtype), 0, columns)


_ELEMENTWISE = Template("""\
/* layer $i: $about */
${constants}static void layer_$i(real *y, const real *x) {
    for (int i = 0; i < $n; i++) y[i] = $value;
    $after
}
""")


def _elementwise(
    i: int, x: str, n: int, about: str, value: str, constants: Sequence[str] = (), after: str = ""
) -> Part:
    """A layer that makes of each number x[i] `value`, and `after` that something of all."""
    code = _ELEMENTWISE.substitute(
        i=i, n=n, about=about, value=value, constants="".join(f"{text}\n" for text in constants), after=after
    )
    return Part(about, n, f"y_{i}", code, f"real y_{i}[{n}];\nlayer_{i}(y_{i}, {x});")


def _activation(layer: Activation, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    about = f"Activation, {_described(layer, 'activate')}"
    return _elementwise(i, x, n, about, "x[i]", after=_activated(layer, i, n, n, dtype))


def _clip(layer: Clip, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    value = "x[i]"
    for bound, worse in ((layer.low, "<"), (layer.high, ">")):
        if bound is not None:
            with np.errstate(over="ignore"):
                limit = number(_finite(np.array(bound).astype(dtype), f"bounds of layer {i}").item(), dtype)
            value = f"({value} {worse} {limit} ? {limit} : {value})"
    return _elementwise(i, x, n, f"Clip, from {layer.low} to {layer.high}", value)


def _scale(layer: Scale, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    p = _parameters(layer, i, n, dtype)
    constants = [array(f"{name}_{i}", values) for name, values in p.items()]
    value = f"x[i] * scale_{i}.values[i] + shift_{i}.values[i]"
    return _elementwise(i, x, n, f"Scale, {n} elements", value, constants)


_POOLS = {  # of each part: its function, more members than the results, and their names in the call
    "mean": (
        """\
/* layer $i: mean; what a sum lost by rounding is taken off the next number (Kahan, 1965) */
static void mean_$i(real *y, const real *x, real *sums, real *lost, uint64_t *steps) {
    *steps += 1;
    for (int i = 0; i < $n; i++) {
        const real due = x[i] - lost[i], sum = sums[i] + due, beyond = (sum - sums[i]) - due;
        lost[i] = if_less((real)-1e30, negative(beyond), beyond, 0); /* nothing where the sum is infinite */
        sums[i] = sum;
    }
    for (int i = 0; i < $n; i++) y[i] = sums[i] / (real)*steps;
}
""",
        ("$real sums_$i[$n], lost_$i[$n];", "uint64_t steps_$i;"),
        ", state->sums_$i, state->lost_$i, &state->steps_$i",
    ),
    "max": (
        """\
/* layer $i: largest numbers; NaN stays */
static void max_$i(real *y, const real *x, int *begun) {
    for (int i = 0; i < $n; i++) y[i] = !*begun || x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
    *begun = 1;
}
""",
        ("int begun_$i;",),
        ", &state->begun_$i",
    ),
    "last": (
        """\
/* layer $i: last numbers */
static void last_$i(real *y, const real *x) {
    for (int i = 0; i < $n; i++) y[i] = x[i];
}
""",
        (),
        "",
    ),
}


def _pool(layer: Pool, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    about, width = f"Pool, {layer.how} of the steps so far", n * len(layer.parts)
    if layer.how == "last":
        return Part(about, n, x)
    members, code, steps = [f"$real layer_{i}[{width}];"], [], []
    for k, how in enumerate(layer.parts):
        function, own, arguments = _POOLS[how]
        call = f"{how}_$i(state->layer_$i + {k * n}, {x}{arguments});"
        code.append(Template(function).substitute(i=i, n=n))
        members += [Template(member).safe_substitute(i=i, n=n) for member in own]
        steps.append(Template(call).substitute(i=i))
    return Part(about, width, f"state->layer_{i}", "\n".join(code), "\n        ".join(steps), tuple(members))


def _dropout(layer: Dropout, i: int, x: str, n: int, dtype: np.dtype) -> Part:
    return Part("Dropout, which only training has", n, x)


_KINDS: dict[type, Callable[..., Part]] = {
    GRU: _gru,
    QuantizedGRU: _gru,
    Dense: _dense,
    QuantizedDense: _dense,
    Embedding: _embedding,
    QuantizedEmbedding: _embedding,
    Pool: _pool,
    Dropout: _dropout,
    Activation: _activation,
    Clip: _clip,
    Scale: _scale,
}


# --- what layers are made of ---


def _parameters(layer: AnyLayer, i: int, e: int, dtype: np.dtype) -> dict[str, np.ndarray]:
    """The parameters: floats in the layer's dtype as it runs and then in that of the file, codes as they are."""
    p = {}
    for name, (shape, kept) in layer.arrays(e).items():
        what = f"p[{name!r}] of layer {i}"
        if name not in layer.p:
            raise ValueError(f"{what}: missing; expected an array of shape {shape}")
        p[name] = value = np.asarray(layer.p[name])
        if kept.kind == "f":
            p[name] = _narrowed(real(value, what, shape, layer.dtype), what, dtype)
        elif (value.shape, value.dtype) != (shape, kept):
            raise ValueError(f"{what}: expected {kept} {shape}, got {value.dtype} {value.shape}")
        else:
            check_numbers(value, what)
    return p


def _narrowed(values: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
    """The values in `dtype`, in which they are finite."""
    with np.errstate(over="ignore"):
        return _finite(values.astype(dtype), name)


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers in {values.dtype}, got NaN or infinity")
    return values


def _weights(layer: AnyLayer, dtype: np.dtype) -> Weights | Int8:
    """How those of a layer lie."""
    return weights_of(layer.weights if isinstance(layer, Quantized) else None, dtype)


def _scales(p: dict[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """Those of the columns of such matrices; none where they have no codes."""
    return [p[f"scale_{name}"] for name in names if f"scale_{name}" in p]


def _kept(layer: AnyLayer) -> str:
    """What is said of weights that are no floats."""
    return f", {layer.weights} weights" if isinstance(layer, Quantized) else ""


def _call(layer: GRU | Dense | Activation, role: str, i: int, dtype: np.dtype) -> str:
    """The C call of an elementwise activation but for its argument, `activate_elu({}, 1.0f)`; "" for none."""
    known = ours(getattr(layer, role))
    if known is None or known is softmax:
        due = "one of cgru's own" if known is None else "an elementwise activation"
        raise ValueError(f"{role}: expected {due} to export, got {name_of(getattr(layer, role))} in layer {i}")
    if known is identity:
        return ""
    alpha = f", {_number(layer, _TUNED[known], dtype)}" if known in _TUNED else ""
    return f"activate_{name_of(known)}({{}}{alpha})"


_TUNED = {lrelu: "LRELU_alpha", elu: "ELU_alpha", softmax: "softmax_temperature"}


def _number(layer: GRU | Dense | Activation, key: str, dtype: np.dtype) -> str:
    value = np.array(parameter(layer.se_hPars, key))
    with np.errstate(over="ignore"):
        return number(_finite(value.astype(layer.dtype).astype(dtype), f"se_hPars[{key!r}]").item(), dtype)


def _described(layer: GRU | Dense | Activation, role: str) -> str:
    f = ours(getattr(layer, role))
    value = f" ({_TUNED[f]} {parameter(layer.se_hPars, _TUNED[f]):g})" if f in _TUNED else ""
    return name_of(getattr(layer, role)) + value


def _loop(values: str, call: str, start: int, stop: int) -> str:
    """Apply an activation, over the padding too: the compiler is spared the rest of a vector."""
    value = f"{values}[i]"
    return f"for (int i = {start}; i < {stop}; i++) {value} = {call.format(value)};" if call else ""
