"""Exported C code of integer layers: the equations of cgru/quantized/integer_forms.py, bit for bit, without floats.

>> is never used on a negative number, which C leaves to the compiler: compilers make of `shifted` one instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.activations import name_of, relu, softmax
from cgru.export.source import array
from cgru.integer_layer import IntegerLayer
from cgru.quantized.integer_forms import COPIES, CURVES, HALF, TABLES, TOP, Product

__all__ = ["FUNCTIONS", "INT16", "check_integers", "converters", "integer_part"]

INT16 = np.dtype(np.int16)

# Each function may call those above it.
FUNCTIONS = {
    "shifted": """\
/* x / 2^n, rounded down */
static inline int32_t shifted(int32_t x, int n) { return (x < 0) ? ~(~x >> n) : (x >> n); }
""",
    "rounded": """\
/* x / 2^n, rounded half up, for n from 1 to 31 */
static inline int32_t rounded(int32_t x, int n) { return shifted(shifted(x, n - 1) + 1, 1); }
""",
    "times": """\
/* x * factor / 2^16, rounded down, for a factor of 16 bits */
static inline int32_t times(int32_t x, int32_t factor) {
#ifdef PAIRS
    return __smlawb(x, factor, 0);
#else
    const int32_t low = (int32_t)((uint32_t)x & 0xffffu);
    return (shifted(x, 16) * factor) + shifted(low * factor, 16);
#endif
}
""",
    "scaled": """\
/* x * factor / 2^(16 + n) */
static inline int32_t scaled(int32_t x, int32_t factor, int n) { return rounded(times(x, factor), n); }
""",
    "limited": """\
static inline int16_t limited(int32_t x, int32_t low, int32_t high) {
    return (int16_t)((x < low) ? low : ((x > high) ? high : x));
}
""",
    "divided": """\
/* x / d, rounded half away from zero, and limited */
static inline int16_t divided(int64_t x, uint64_t d) {
    const uint64_t size = (x < 0) ? ((uint64_t)0 - (uint64_t)x) : (uint64_t)x;
    const uint64_t y = ((2u * size) + d) / (2u * d);
    const int32_t most = (y < 32767u) ? (int32_t)y : 32767;
    return (int16_t)((x < 0) ? -most : most);
}
""",
    "interpolated": """\
/* The function of a table of 257 numbers at x >= 0, whose steps are 2^n */
static inline int32_t interpolated(const int16_t *table, int32_t x, int n) {
    const int32_t most = ((int32_t)256 << n) - 1;
    const int32_t t = (x < most) ? x : most;
    const int16_t *at = table + (t >> n);
    return at[0] + rounded((at[1] - at[0]) * (t & (((int32_t)1 << n) - 1)), n);
}
""",
    "integer_tanh": array("tanh_table", TABLES["tanh"])
    + """\
/* tanh(a) * 2^15 for a in units of 2^-12; with n = 8 of a / 2 */
static inline int32_t integer_tanh(int32_t a, int n) {
    return (a < 0) ? -interpolated(tanh_table, -a, n) : interpolated(tanh_table, a, n);
}
""",
    "integer_sigmoid": """\
/* sigmoid(a) * 2^15 = (1 + tanh(a / 2)) * 2^14 */
static inline int32_t integer_sigmoid(int32_t a) { return (32768 + integer_tanh(a, 8)) >> 1; }
""",
    "integer_softmax": array("exp_table", TABLES["exp"])
    + """\
static void integer_softmax(int16_t *y, int32_t *a, int n) {
    int32_t largest = a[0];
    uint32_t sum = 0;
    for (int i = 1; i < n; i++) { largest = (a[i] > largest) ? a[i] : largest; }
    for (int i = 0; i < n; i++) { sum += (uint32_t)(a[i] = interpolated(exp_table, largest - a[i], 8)); }
    for (int i = 0; i < n; i++) {
        const uint32_t share = (((uint32_t)a[i] << 15) + (sum >> 1)) / sum;
        y[i] = (int16_t)((share < 32767u) ? share : 32767u);
    }
}
""",
    "pairs": """\
#ifdef PAIRS
static inline uint32_t word(const void *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}
#endif

/* Add to two sums the products of two rows, of two columns, with two numbers. */
static inline void pairs(int32_t *sums, const int8_t *w, const int16_t *x) {
#ifdef PAIRS
    const uint32_t four = word(w);
    const uint32_t two = word(x);
    sums[0] = __smlad(__sxtb16((int8x4_t)four), (int16x2_t)two, sums[0]);
    sums[1] = __smlad(__sxtb16((int8x4_t)((four >> 8) | (four << 24))), (int16x2_t)two, sums[1]);
#else
    sums[0] += ((int32_t)x[0] * w[0]) + ((int32_t)x[1] * w[2]);
    sums[1] += ((int32_t)x[0] * w[1]) + ((int32_t)x[1] * w[3]);
#endif
}
""",
    "products": """\
/* y += W x, each sum times its factor. Of each four rows two stand side by side, two columns of each in turn; the other
 * rows follow one another. */
static void products(int32_t *y, int rows, const int16_t *x, int n, const int8_t *w, const int16_t *factors,
                     const uint8_t *shifts) {
    int j = 0;
    for (; (j + 4) <= rows; j += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        for (int k = 0; (k + 2) <= n; k += 2) {
            pairs(sums, w, x + k);
            pairs(sums + 2, w + 4, x + k);
            w += 8;
        }
        for (int i = 0; i < 4; i++) {
            if (n % 2) { sums[i] += (int32_t)x[n - 1] * *w++; }
            y[j + i] += scaled(sums[i], factors[j + i], shifts[j + i]);
        }
    }
    for (; j < rows; j++) {
        int32_t sum = 0;
        for (int k = 0; k < n; k++) { sum += (int32_t)x[k] * *w++; }
        y[j] += scaled(sum, factors[j], shifts[j]);
    }
}
""",
}

_CONVERT = """
/* The numbers that the integers of outputs stand for: they are integers / 2^{y_bits}. */
static inline void ${{name}}_dequantize_output(float *y, const int16_t *integers) {{
    for (int i = 0; i < ${{NAME}}_OUTPUTS; i++) {{ y[i] = (float)((double)integers[i] * {down!r}); }}
}}
"""
_CONVERT_INPUT = """
/* The integers of inputs that a step takes: x * 2^{x_bits}, rounded and limited to 16 bits. NaN becomes 0. */
static inline void ${{name}}_quantize_input(int16_t *integers, const float *x) {{
    {constants}for (int i = 0; i < ${{NAME}}_INPUTS; i++) {{
        const double a = (double){value} * {up!r};
        const double size = (a < 0.0) ? -a : a;
        const int16_t most = (int16_t)((size < 32767.0) ? (size + 0.5) : ((size >= 32767.0) ? 32767.0 : 0.0));
        integers[i] = (int16_t)((a < 0.0) ? -most : most);
    }}
}}
"""
_STANDARDIZED = "(float)(((double)x[i] - mean[i]) / scale[i])"

_GRU = """\
static void layer_{i}(int16_t *h, const int16_t *x) {{
    int32_t hh[{rows}];
    int32_t *const r = hh + {u};
    int32_t *const z = r + {u};
    memcpy(hh, biases_{i}, sizeof hh);
    {inputs}
    {hidden}
    {recurrent}
    for (int i = 0; i < {u}; i++) {{
        const int32_t update = integer_sigmoid(z[i]);
        const int32_t after = rounded((update * h[i]) + ((32768 - update) * {activate}), 15);
        h[i] = (int16_t){blended};
    }}
}}
"""
_AFTER = """\
const int32_t *const c = z + {u};
    for (int i = 0; i < {u}; i++) {{ hh[i] += times(2 * c[i], integer_sigmoid(r[i])); }}"""
_BEFORE = """\
int16_t reset[{u}];
    for (int i = 0; i < {u}; i++) {{ reset[i] = (int16_t)rounded(integer_sigmoid(r[i]) * h[i], 15); }}
    {candidate}"""


def check_integers(layers: Sequence[Any]) -> None:
    """Raise ValueError unless all layers are integer layers, each of which takes the integers of the one before."""
    bits = None
    for i, layer in enumerate(layers):
        if not isinstance(layer, IntegerLayer):
            if type(layer).__name__ not in COPIES:
                raise ValueError(f"net: expected only integer layers, got {layer!r} as layer {i}")
            continue
        if bits not in (None, layer.x_bits):
            raise ValueError(f"net: expected inputs with {bits} fractional bits in layer {i}, got {layer.x_bits}")
        bits = layer.y_bits


def converters(net: Any) -> str:
    """Return C functions for the header that convert inputs to integers, and integer outputs to floats."""
    layers, mean = getattr(net, "layers", (net,)), getattr(net, "mean", None)
    of = [layer for layer in layers if isinstance(layer, IntegerLayer)]
    text, constants, value = _CONVERT.format(y_bits=of[-1].y_bits, down=2.0 ** -of[-1].y_bits), "", "x[i]"
    if "tokens" in layers[0].reads:
        return text
    if mean is not None:
        value = _STANDARDIZED
        for name, values in (("mean", mean), ("scale", net.scale)):
            if not np.isfinite(values).all() or (name == "scale" and not np.all(values)):
                raise ValueError(f"{name}: expected finite numbers, and no zero in scale, got {values}")
            constants += f"static const double {name}[] = {{{', '.join(map(repr, values.tolist()))}}};\n    "
    up, x_bits = 2.0 ** of[0].x_bits, of[0].x_bits
    return _CONVERT_INPUT.format(constants=constants, value=value, up=up, x_bits=x_bits) + text


def integer_part(c: Any) -> Any:
    """Return the exported `Part` of an integer layer, made by the layer's `Writer` c; for a Pool several parts."""
    return _PARTS[type(c.layer.layer).__name__](c, c.layer.form())


def _arrays(c: Any, form: Any, *names: str) -> str:
    """Return the C definitions of constant arrays that are attributes `names` of an integer form."""
    return "".join(c.array(name, getattr(form, name)) for name in names)


def _product(c: Any, y: str, x: str, name: str, product: Product) -> tuple[str, str]:
    """Return the C constants of a product's weights, and the C call that multiplies by them."""
    rows, n = product.rows.shape
    blocks, columns = rows // 4, n // 2 * 2
    whole = product.rows[: 4 * blocks]
    paired = whole[:, :columns].reshape(blocks, 2, 2, n // 2, 2).transpose(0, 3, 1, 4, 2).reshape(blocks, 4 * columns)
    paired = np.concatenate([paired, whole[:, columns:].reshape(blocks, 4 * (n - columns))], axis=1)
    weights = np.concatenate([paired.ravel(), product.rows[4 * blocks :].ravel()])
    arrays = {name: weights, f"factors_of_{name}": product.factors, f"shifts_of_{name}": product.shifts}
    names = ", ".join(f"{key}_{c.i}" for key in arrays)
    return "".join(c.array(*each) for each in arrays.items()), f"products({y}, {rows}, {x}, {n}, {names});"


def _gru(c: Any, form: Any) -> Any:
    """Return the exported `Part` of an integer GRU."""
    layer, i, u, words = c.layer, c.i, c.layer.d["u"], {}
    about = f"GRU of integers, {c.n} features, {u} units; activate {name_of(layer.activate)}"
    code = f"/* layer {i}: {about} */\n{_arrays(c, form, 'biases')}"
    given = (("inputs", "hh", "x", form.inputs), ("hidden", "r", "h", form.hidden))
    for name, y, x, product in (*given, *[("candidate", "hh", "reset", form.candidate)] * bool(form.candidate)):
        more, words[name] = _product(c, y, x, name, product)
        code += more
    k, hh = form.zoneout, _curve(layer.activate, "hh[i]")
    words |= {"i": i, "u": u, "rows": len(form.biases)}
    words |= {"activate": f"rounded({hh}, {form.shift})" if form.shift else hh}
    words |= {"blended": f"rounded(({k} * h[i]) + ({2**15 - k} * after), 15)" if k else "after"}
    words |= {"recurrent": (_BEFORE if form.candidate else _AFTER).format(**words)}
    state, code, begin = f"state->layer_{i}", code + _GRU.format(**words), ""
    if form.start.any():
        code += c.array("start", form.start.astype(INT16))
        begin = f"memcpy({state}, start_{i}, sizeof start_{i});"
    return c.part(about, u, state, code, f"layer_{i}({state}, {c.x});", (f"int16_t layer_{i}[{u}]; /* h */",), begin)


def _curve(activate: Any, a: str) -> str:
    """Return the C call of tanh or sigmoid on integers."""
    return f"integer_{name_of(activate)}({a}{', 7' * (name_of(activate) == 'tanh')})"


def _dense(c: Any, form: Any) -> Any:
    """Return the exported `Part` of an integer Dense layer."""
    i, n = c.i, len(form.biases)
    constants, call = _product(c, "a", "x", "weights", form.product)
    value = _curve(form.activate, "a[i]") if form.activate in CURVES else "a[i]"
    value = f"y[i] = limited({value}, {0 if form.activate is relu else -TOP}, {TOP});"
    value = f"for (int i = 0; i < {n}; i++) {{ {value} }}"
    last = f"integer_softmax(y, a, {n});" if form.activate is softmax else value
    about = f"Dense of integers, {c.n} inputs, {n} outputs; activate {name_of(form.activate)}"
    code = f"/* layer {i}: {about} */\n{constants}{_arrays(c, form, 'biases')}"
    code += f"static void layer_{i}(int16_t *y, const int16_t *x) {{\n    int32_t a[{n}];\n"
    return c.function(about, n, f"{code}    memcpy(a, biases_{i}, sizeof a);\n    {call}\n    {last}\n}}\n")


def _scale(c: Any, form: Any) -> Any:
    """Return the exported `Part` of an integer Scale layer."""
    value = f"limited(scaled(x[i] * {HALF}, factors_{c.i}[i], shifts_{c.i}[i]) + biases_{c.i}[i], -{TOP}, {TOP})"
    return c.elementwise(f"Scale of integers, {c.n} features", value, [_arrays(c, form, "factors", "shifts", "biases")])


def _clip(c: Any, form: Any) -> Any:
    """Return the exported `Part` of an integer Clip layer."""
    x = f"rounded(x[i], {form.shift})" if form.shift else "x[i]"
    return c.elementwise("Clip of integers", f"limited({x}, {form.low}, {form.high})")


def _embedding(c: Any, form: Any) -> Any:
    """Return the exported `Part` of an integer Embedding."""
    i, (v, u) = c.i, form.table.shape
    about = f"Embedding of integers, {v} tokens, {u} units"
    code = f"(int32_t)table_{i}[((size_t)token * {u}u) + (size_t)i]"
    value = f"limited(scaled({code} * {HALF}, factors_{i}[token], shifts_{i}[token]), -{TOP}, {TOP})"
    loop = f"for (int i = 0; i < {u}; i++) {{ y[i] = {value}; }}"
    constants = _arrays(c, form, "table", "factors", "shifts")
    text = f"/* layer {i}: {about} */\n{constants}static void layer_{i}(int16_t *y, int token) {{\n    {loop}\n}}\n"
    return c.function(about, u, text)


def _pool(c: Any, form: Any) -> Any:
    """Return the exported parts of an integer Pool: one collects the steps, one computes the output when needed."""
    i, n, count = c.i, c.n, f"state->steps_{c.i}"
    most = f"if (({count} == 1u) || ({{x}} > {{y}})) {{{{ {{y}} = {{x}}; }}}}"
    kinds = {"max": most, "last": "{y} = {x};", "sums": "{y} += {x};"}
    members, steps, values = [f"uint32_t steps_{i};"], [f"{count}++;"], []
    for k, how in enumerate(form.parts):
        name = how if how in kinds else "sums"  # which the mean and the sum share
        member = f"int{64 if name == 'sums' else 16}_t {name}_{i}[{n}];"
        if member not in members:
            members.append(member)
            text = kinds[name].format(x=f"({c.x})[i]", y=f"state->{name}_{i}[i]")
            steps.append(f"for (int i = 0; i < {n}; i++) {{ {text} }}")
        d = f"({count} ? {count} : 1u)" if how == "mean" else "1"
        values.append(f"y_{i}[{k * n} + i] = divided(state->{name}_{i}[i], (uint64_t){d} << {form.shift});")
    about, loop = f"Pool of integers, {'+'.join(form.parts)} of the steps so far", "\n    ".join(values)
    output = f"int16_t y_{i}[{n * len(values)}];\nfor (int i = 0; i < {n}; i++) {{\n    {loop}\n}}"
    taken = c.part(about, n, "", "", "\n".join(steps), tuple(members))
    return taken, c.part("its outputs", n * len(values), f"y_{i}", "", output)


_PARTS = {"GRU": _gru, "Dense": _dense, "Scale": _scale, "Clip": _clip, "Embedding": _embedding, "Pool": _pool}
