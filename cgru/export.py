"""export_c: a model as one C file that needs nothing beside it.

e elements and u units of a layer, n inputs and k outputs of the head. Each kind of layer is one function that writes
its weights and its step; `export_c` puts the steps in a row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np

from cgru._version import __version__
from cgru.activations import elu, identity, lrelu, name_of, ours, parameter, softmax
from cgru.checks import float_dtype, real
from cgru.dense import Dense
from cgru.export_source import array, blocks, number, padded, with_functions
from cgru.layer import GATES, GRU
from cgru.network import Network
from cgru.persistence import beside
from cgru.reference import PARAMETERS

__all__ = ["export_c"]


def export_c(net: Network | GRU, path: str | os.PathLike[str], *, name: str | None = None, dtype: Any = None) -> None:
    """Write `net` as C99 to `path`, which ends in .c, and a header of the same name, ending in .h, beside it.

    The file holds the weights, needs no library and allocates nothing; C++ takes it too. With `name` "model" the
    header declares the struct `model_state`, which the caller owns, and

        void model_init(model_state *state);
        void model_step(model_state *state, const float *x, float *y);
        void model_run(model_state *state, const float *x, size_t n, float *y);

    `x` is raw, (MODEL_INPUTS,) a step: a network's standardisation is in the file. `y` (MODEL_OUTPUTS,) is what
    `net.predict` gives for the steps so far; `model_run` writes it after the last of its n steps, or for a bare GRU
    with `sequences=True` after each, (n, MODEL_OUTPUTS). The comment in the file says how to compile and use it.

    Args:
        net: a `Network`, or a `GRU` by itself, whose output is its state.
        path: the file; it and the header are replaced where they exist.
        name: a C identifier, by which everything public begins; None makes one of the file's name.
        dtype: float32 or float64, of weights, state, inputs and outputs; None: the widest of the layers' own.

    Raises:
        TypeError, ValueError: an argument does not fit; a layer, or an activation, is not this package's own; a
            parameter is missing, misshapen or not finite.
        RuntimeError: there are no parameters yet. All of these before any file is touched.
        OSError: a file cannot be written.
    """
    source, header, name = _names(path, name)
    layers = _layers(net)
    dtype = np.result_type(*(layer.dtype for layer in layers)) if dtype is None else float_dtype(dtype)
    texts = _texts(name, source, _parts(net, layers, dtype), dtype, *_outputs(net))
    with beside(header) as first, beside(source) as second:
        for file, text in zip((first, second), texts, strict=True):
            file.write(os.fsencode(text))


@dataclass(frozen=True)
class _Part:
    """What a layer adds to the file.

    `code` defines its weights and functions, `member` its state; `step` is run in each step and `output` where outputs
    are due; `result` is what the next layer reads, `width` numbers. `x` in `step` is the input of the model.
    """

    about: str
    width: int
    code: str
    member: str = ""
    step: str = ""
    output: str = ""
    result: str = ""


# --- the layers ---

_STANDARDIZE = Template("""\
$mean
$scale
static void standardize(real *y, const real *x) {
    for (int i = 0; i < $e; i++) y[i] = (real)((x[i] - mean[i]) / scale[i]);
}
""")


def _standardize(mean: np.ndarray, scale: np.ndarray, e: int) -> _Part:
    """(x - mean) / scale, in float64 as `Network` does it: float32 would lose the digits that a large mean leaves."""
    constants = {
        name: array(name, _finite(real(value, name, (e,)).astype(np.float64), name), np.dtype("f8"), "double")
        for name, value in (("mean", mean), ("scale", scale))
    }
    step = f"real standardized[{e}];\nstandardize(standardized, x);"
    code = _STANDARDIZE.substitute(constants, e=e)
    return _Part(f"input: {e} elements, standardized", e, code, step=step, result="standardized")


_GRU = Template("""\
/* layer $i: $about */
$gates
$candidate
static void layer_$i(real *h, const real *x) {
    ALIGNED real row[$e + $up], gates[$gates_columns], hh[$columns];
    const real *r = gates, *z = gates + $up;

    memcpy(row, x, $e * sizeof(real));
    memcpy(row + $e, h, $up * sizeof(real));
    /* r = activate_reset(x Ur + hp Vr + br), z = activate_update(x Uz + hp Vz + bz) */
    multiply_$gates_block(gates, $gates_columns, row, $e + $u, gates_$i);
    $gates_activated
    /* hh = activate(x Uhh + (r * hp) Vhh + bhh) */
    for (int i = 0; i < $up; i++) row[$e + i] *= r[i];
    multiply_$block(hh, $columns, row, $e + $u, candidate_$i);
    $activated
    /* h = z * hp + (1 - z) * hh */
    for (int i = 0; i < $up; i++) h[i] = z[i] * h[i] + (1 - z[i]) * hh[i];
}
""")


def _gru(layer: GRU, i: int, x: str, e: int, dtype: np.dtype) -> _Part:
    u, up = layer.d["u"], padded(layer.d["u"], dtype)
    rows = {"U": e, "V": u, "b": 1}
    p = _parameters(layer, i, {name: (rows[name[0]], u) for name in PARAMETERS}, dtype)
    activate, update, reset = (_call(layer, gate, i, dtype) for gate in GATES)
    (gates_block, gates_columns), (block, columns) = blocks(2 * up, dtype), blocks(up, dtype)
    if reset == update:
        gates_activated = [_loop("gates", reset, 0, 2 * up)]
    else:
        gates_activated = [_loop("gates", reset, 0, up), _loop("gates", update, up, 2 * up)]
    about = f"GRU, {e} elements, {u} units; " + ", ".join(f"{gate} {_described(layer, gate)}" for gate in GATES)
    code = _GRU.substitute(
        i=i,
        about=about,
        u=u,
        e=e,
        up=up,
        gates_block=gates_block,
        gates_columns=gates_columns,
        block=block,
        columns=columns,
        gates=_weights(f"gates_{i}", [_rows(p, "r", up), _rows(p, "z", up)], dtype),
        candidate=_weights(f"candidate_{i}", [_rows(p, "hh", up)], dtype),
        gates_activated="\n    ".join(filter(None, gates_activated)),
        activated=_loop("hh", activate, 0, up),
    )
    state = f"state->layer_{i}"
    return _Part(
        about, u, code, f"layer_{i}[{up}]; /* h ({u},) and padding */", step=f"layer_{i}({state}, {x});", result=state
    )


_DENSE = Template("""\
/* layer $i: $about */
$weights
static void layer_$i(real *y, const real *x) {
    ALIGNED real sums[$columns];

    multiply_$block(sums, $columns, x, $n, weights_$i);
    $activated
    memcpy(y, sums, $k * sizeof(real));
}
""")


def _dense(layer: Dense, i: int, x: str, n: int, dtype: np.dtype) -> _Part:
    k = layer.d["u"]
    block, columns = blocks(k, dtype)
    p = _parameters(layer, i, {"W": (n, k), "b": (1, k)}, dtype)
    about = f"Dense, {n} inputs, {k} outputs; activate {_described(layer, 'activate')}"
    if ours(layer.activate) is softmax:
        activated = f"softmax(sums, {k}, {_number(layer, 'softmax_temperature', dtype)});"
    else:
        activated = _loop("sums", _call(layer, "activate", i, dtype), 0, columns)
    weights = _weights(f"weights_{i}", [np.concatenate((p["b"], p["W"]))], dtype)
    code = _DENSE.substitute(
        i=i, about=about, n=n, k=k, block=block, columns=columns, weights=weights, activated=activated
    )
    return _Part(about, k, code, output=f"layer_{i}(y, {x});")


_KINDS = {GRU: _gru, Dense: _dense}


def _layers(net: Any) -> Sequence[GRU | Dense]:
    """The layers of `net`, refused where one has no parameters or is of no kind that is known here."""
    if not isinstance(net, Network | GRU):
        raise TypeError(f"net: expected a Network or a GRU, got {type(net).__name__}")
    layers = net.layers if isinstance(net, Network) else (net,)
    for i, layer in enumerate(layers):
        if type(layer) not in _KINDS:
            raise ValueError(f"net: expected cgru's own layers to export, got {type(layer).__name__} as layer {i}")
        if not layer.p:
            raise RuntimeError(f"net: expected parameters to export, got none in layer {i}: fit or predict first")
    return layers


def _parts(net: Network | GRU, layers: Sequence[GRU | Dense], dtype: np.dtype) -> list[_Part]:
    """The parts, input first, each reading what the one before it gives."""
    e = len(_parameter(layers[0], 0, "Uz", ("e", "u")))
    parts = [_Part(f"input: {e} elements", e, "", result="x")]
    if isinstance(net, Network) and net.mean is not None:
        parts = [_standardize(net.mean, net.scale, e)]
    for i, layer in enumerate(layers):
        parts.append(_KINDS[type(layer)](layer, i, parts[-1].result, parts[-1].width, dtype))
    last = parts[-1]
    if not last.output:
        parts.append(
            _Part("output: the state", last.width, "", output=f"memcpy(y, {last.result}, {last.width} * sizeof(real));")
        )
    return parts


# --- what layers are made of ---


def _parameters(
    layer: GRU | Dense, i: int, shapes: dict[str, tuple[int, int]], dtype: np.dtype
) -> dict[str, np.ndarray]:
    """The parameters, in the layer's dtype as it runs and then in that of the file."""
    with np.errstate(over="ignore"):
        p = {name: _parameter(layer, i, name, shape).astype(dtype) for name, shape in shapes.items()}
    for name, value in p.items():
        _finite(value, f"p[{name!r}] of layer {i}")
    return p


def _parameter(layer: GRU | Dense, i: int, name: str, shape: tuple[int | str, ...]) -> np.ndarray:
    if name not in layer.p:
        raise ValueError(f"p[{name!r}] of layer {i}: missing; expected an array of shape {shape}")
    return real(layer.p[name], f"p[{name!r}] of layer {i}", shape, layer.dtype)


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers in {values.dtype}, got NaN or infinity")
    return values


def _rows(p: dict[str, np.ndarray], gate: str, columns: int) -> np.ndarray:
    """The bias, U and V of a gate one above the other, padded to so many columns."""
    W = np.concatenate([p[kind + gate] for kind in "bUV"])
    return np.pad(W, ((0, 0), (0, columns - W.shape[1])))


def _weights(name: str, gates: Sequence[np.ndarray], dtype: np.dtype) -> str:
    """Matrices side by side, the bias on top, in the blocks that `multiply_...` reads."""
    W = np.concatenate(gates, axis=1)
    block, columns = blocks(W.shape[1], dtype)
    W = np.pad(W, ((0, 0), (0, columns - W.shape[1]))).reshape(len(W), -1, block).swapaxes(0, 1)
    return array(name, W.ravel().tolist(), dtype)


def _call(layer: GRU | Dense, role: str, i: int, dtype: np.dtype) -> str:
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


def _number(layer: GRU | Dense, key: str, dtype: np.dtype) -> str:
    value = np.array(parameter(layer.se_hPars, key))
    with np.errstate(over="ignore"):
        return number(_finite(value.astype(layer.dtype).astype(dtype), f"se_hPars[{key!r}]").item(), dtype)


def _described(layer: GRU | Dense, role: str) -> str:
    f = ours(getattr(layer, role))
    value = f" ({_TUNED[f]} {parameter(layer.se_hPars, _TUNED[f]):g})" if f in _TUNED else ""
    return name_of(getattr(layer, role)) + value


def _loop(values: str, call: str, start: int, stop: int) -> str:
    """Apply an activation, over the padding too: the compiler is spared the rest of a vector."""
    value = f"{values}[i]"
    return f"for (int i = {start}; i < {stop}; i++) {value} = {call.format(value)};" if call else ""


# --- the files ---


def _names(path: Any, name: Any) -> tuple[str, str, str]:
    """The paths of the source and of the header, and what public names begin with."""
    path = os.fspath(path)
    if not isinstance(path, str):
        raise TypeError(f"path: expected a str, got {type(path).__name__}")
    stem, ending = os.path.splitext(path)
    if ending != ".c":
        raise ValueError(f"path: expected a name ending in .c, got {path!r}")
    if re.search(r'["\\\x00-\x1f]', os.path.basename(path)):
        raise ValueError(f"path: expected a name that C can include, got {path!r}")
    if name is None:
        name = re.sub("[^A-Za-z0-9]+", "_", os.path.basename(stem)).strip("_")
        name = name if name[:1].isalpha() else f"model_{name}".strip("_")
    elif not isinstance(name, str):
        raise TypeError(f"name: expected a str or None, got {type(name).__name__}")
    elif not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name: expected a C identifier, which begins with a letter, got {name!r}")
    return path, stem + ".h", name


def _outputs(net: Network | GRU) -> tuple[bool, str]:
    """Whether `predict` gives outputs for every step, and what the outputs are."""
    if isinstance(net, GRU):
        return bool(net.sequences), "the state of the layer"
    if net.class_names is None:
        return False, "those of the head"
    # In a comment nothing but plain characters, and none that could end it.
    return False, "one for each class, " + re.sub(r"[*/?\\]", "_", ascii(list(net.class_names)))


_HEADER = Template("""\
/* Made by cgru $version; $source says of what and how to use it. */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stddef.h>

#define ${NAME}_INPUTS $inputs
#define ${NAME}_OUTPUTS $outputs

#ifdef __cplusplus
extern "C" {
#endif

/* What a step leaves for the next. Copy it to go on from the same point twice. */
typedef struct {
    $members
} ${name}_state;

/* Begin a sequence: the state becomes zero. */
void ${name}_init(${name}_state *state);

/* Take one step with x[${NAME}_INPUTS], and put the outputs so far into y[${NAME}_OUTPUTS]. */
void ${name}_step(${name}_state *state, const $real *x, $real *y);

/* Take n steps with x[n][${NAME}_INPUTS], and put the outputs $when. */
void ${name}_run(${name}_state *state, const $real *x, size_t n, $real *y);

#ifdef __cplusplus
}
#endif

#endif
""")

_SOURCE = Template("""\
/* A recurrent network in C99, which C++ takes too, made by cgru $version from a model of these layers:
 *
$about
 *
 * All numbers are $real. Inputs are raw; outputs are $outputs_are. Compile with
 *
 *     cc -O3 -march=native -c $source
 *
 * and link with nothing. Under -std=c99 add -ffp-contract=fast, without which GCC multiplies and adds apart. To use it:
 *
 *     #include "$header"
 *
 *     ${name}_state state;
 *     $real x[${NAME}_INPUTS], y[${NAME}_OUTPUTS];
 *
 *     ${name}_init(&state);
 *     while (next(x)) {
 *         ${name}_step(&state, x, y);
 *         use(y);
 *     }
 *
 * Nothing is allocated, and nothing but state and outputs is written: each thread may run a state of its own.
 */
#include "$header"

""")

_BODY = Template("""\
$layers
static void advance(${name}_state *state, const real *x) {
    $steps
}

static void put(const ${name}_state *state, real *y) {
    $output
}

void ${name}_init(${name}_state *state) {
    memset(state, 0, sizeof *state);
}

void ${name}_step(${name}_state *state, const real *x, real *y) {
    advance(state, x);
    put(state, y);
}

void ${name}_run(${name}_state *state, const real *x, size_t n, real *y) {
    $run
}
""")

_RUN = {
    False: """\
for (size_t i = 0; i < n; i++) advance(state, x + i * ${NAME}_INPUTS);
    put(state, y);""",
    True: "for (size_t i = 0; i < n; i++) ${name}_step(state, x + i * ${NAME}_INPUTS, y + i * ${NAME}_OUTPUTS);",
}


def _texts(
    name: str, source: str, parts: Sequence[_Part], dtype: np.dtype, every: bool, outputs_are: str
) -> tuple[str, str]:
    """The header and the source of the model `name`, which gives outputs after `every` step or after the last."""
    kind = {"float32": "float", "float64": "double"}[dtype.name]
    source = os.path.basename(source)
    names = {
        "name": name,
        "NAME": name.upper(),
        "real": kind,
        "version": __version__,
        "source": source,
        "header": source.removesuffix(".c") + ".h",
        "inputs": parts[0].width,
        "outputs": parts[-1].width,
        "outputs_are": outputs_are,
        "when": f"after each into y[n][{name.upper()}_OUTPUTS]"
        if every
        else f"after the last into y[{name.upper()}_OUTPUTS]",
        "members": "\n    ".join(f"{kind} {part.member}" for part in parts if part.member),
        "about": "\n".join(f" *     {part.about}" for part in parts),
        "layers": "\n".join(part.code for part in parts if part.code),
        "steps": "\n".join(part.step for part in parts if part.step).replace("\n", "\n    "),
        "output": parts[-1].output,
    }
    names["run"] = Template(_RUN[every]).substitute(names)
    body = with_functions(re.sub("(?m)^ +\n", "", _BODY.substitute(names)), dtype)  # identity leaves an empty line
    return _HEADER.substitute(names), _SOURCE.substitute(names) + body
