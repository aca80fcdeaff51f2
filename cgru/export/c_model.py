"""export_c: write a model as one C file that needs no other code.

Each layer's part of the file is its `c_text`, written with cgru/export/writer.py. This module joins the parts and
writes the source and its header.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

import numpy as np

from cgru._version import __version__
from cgru.core.checks import float_dtype
from cgru.export import c_memory, weights_file
from cgru.export.c_products import FLOAT32, functions
from cgru.export.integer_c import FUNCTIONS, INT16, check_integers, converters
from cgru.export.source import with_functions
from cgru.export.writer import AnyNet, Part, layers_of, parts_of
from cgru.files import atomic_write, check_writable
from cgru.integer_layer import IntegerLayer
from cgru.network import Network

__all__ = ["export_c"]


def export_c(
    net: AnyNet, path: str | os.PathLike[str], *, name: str | None = None, dtype: Any = None, weights: str = "code"
) -> None:
    """Write a network or a GRU as C99 to a file that ends in .c, and a header with the same name that ends in .h.

    The C needs no library and allocates nothing; C++ takes it too. It holds the weights, or they are a file of their
    own. A float32 model computes in float alone, so that a microcontroller runs it. With `name` "model" the header
    declares the struct `model_state`, which the caller owns, and

        void model_init(model_state *state);
        void model_reset(model_state *state);
        void model_step(model_state *state, const float *x, float *y);
        void model_run(model_state *state, const float *x, size_t n, float *y);

    `x` is raw, (MODEL_INPUTS,) a step: a network's standardisation is in the file. `y` (MODEL_OUTPUTS,) is what
    `net.predict` returns for the steps so far. If it returns outputs for each step (a head above all steps, a bare GRU
    with `sequences=True`), `y` is the last of them. `model_run` writes `y` after the last of its n steps, or in that
    case (n, MODEL_OUTPUTS). The comment in the file says how to compile and use it.

    A state is that of one sample; of several, each has one of its own. `model_reset` begins another sequence in a state
    that is in use, as `model_init` does in memory that holds anything.

    With an `Embedding` a step is a token from 0 to MODEL_TOKENS - 1. The calls then return 0, or -1 for any other
    number, with nothing changed:

        int model_step(model_state *state, int x, float *y);
        int model_run(model_state *state, const int *x, size_t n, float *y);

    With `Frames` there are outputs only when a frame is complete. A step returns 1 if it wrote outputs to y, and 0 if
    there are none yet. A run returns how many outputs it wrote: those of each step that has some or, in a model with
    outputs for whole sequences, the last. After the last step this call writes the outputs of padded frames, one by one
    until it returns 0:

        int model_finish(model_state *state, float *y);

    With a `GRUD` x has NaN where nothing was measured. Before a step that comes another time than 1 after the one
    before, this call says how long it is, in the units of the `times` of `fit`:

        void model_wait(model_state *state, float dt);

    A `Pool` covers all steps since the sequence began and is zero before the first. Dropout is off and zoneout its
    expectation, as in `predict`. A layer in reverse, `Bidirectional` and `Normalize` need the whole series and are
    refused.

    With `weights="file"` the C is the same for all models of one architecture (layers, sizes, activations, dtype), and
    the weights are a third file, which ends in .weights. The program reads or maps it, or has it in flash, and gives it
    to the state. A file that was cut, changed or made for another model is refused by one of the codes in the header:

        model_error model_init(model_state *state, const void *weights, size_t bytes);

    A network of `cgru.quantize(net, activations="int16")` takes and returns `int16_t`, and has no operation of floating
    point. The header has two inline functions that a caller with floats needs, which standardise too:

        void model_quantize_input(int16_t *integers, const float *x);
        void model_dequantize_output(float *y, const int16_t *integers);

    Weights that `cgru.quantize` made are written unchanged. With int8 a row is quantised to the same codes as in
    `predict`, and a product has the same integers. If two states differ in their last bit, as those of any two
    compilers do, one in some hundred thousand codes is one higher or lower. A state then differs by 1/127 of a weight
    or two, a tenth of the error of quantisation itself.

    Args:
        net: a `Network`, also a quantised one, or a `GRU` by itself, whose output is its state.
        path: the file; it and the header are replaced where they exist, and keep their modes.
        name: a C identifier, the prefix of all public names; None: made from the file's name.
        dtype: float32 or float64, of weights, state, inputs and outputs; None: the model's own. Of a quantised network
            float32 alone, of one of integers None alone.
        weights: "code": in the C file; "file": in a file of their own, not of a network of integers.

    Raises:
        TypeError, ValueError: an argument is invalid; a layer or an activation is not this package's own or cannot run
            step by step; no layer has a state; a parameter is missing, of the wrong shape or not finite.
        RuntimeError: there are no parameters yet. All of these before any file is touched.
        OSError: a file cannot be written, or is none that could be replaced (a device, a read-only one): before either
            is touched.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4, dtype=np.float32), cgru.Dense(2, dtype=np.float32)], seed=0)
        >>> A = net.predict(np.zeros((1, 6, 3)))
        >>> cgru.export_c(net, "model.c")
        >>> from pathlib import Path
        >>> "void model_step(model_state *state, const float *x, float *y);" in Path("model.h").read_text()
        True
    """
    source, name = _names(path, name)
    if weights not in ("code", "file"):
        raise ValueError(f"weights: expected 'code' or 'file', got {weights!r}")
    apart: dict[str, np.ndarray] | None = {} if weights == "file" else None
    files = [os.path.splitext(source)[0] + ending for ending in (".h", ".c", ".weights")[: 2 if apart is None else 3]]
    for file in reversed(files):
        check_writable(file)
    layers = layers_of(net)
    dtype = _dtype(layers, dtype)
    tokens = layers[0].d["v"] if "tokens" in layers[0].reads else None
    if dtype == INT16 and apart is not None:
        raise ValueError("weights: expected 'code' for an integer network, whose code has its scales, got 'file'")
    parts = parts_of(net, layers, dtype, apart)
    every, outputs_are = _outputs(net, apart is None)
    words: dict[str, str] = {}
    data = b""
    if apart is not None:
        parts = weights_file.read_apart(parts, apart)
        words, data = weights_file.words_and_contents(parts, apart, dtype)
    words = (words or _INSIDE) | {"converters": converters(net) if dtype == INT16 else ""}
    texts = _header_and_source(name, source, parts, dtype, tokens, every, outputs_are, words)
    with contextlib.ExitStack() as stack:  # none is renamed before all are written
        for file, content in zip(files, (*map(os.fsencode, texts), data), strict=False):
            stack.enter_context(atomic_write(file)).write(content)


def _names(path: Any, name: Any) -> tuple[str, str]:
    """Check `path` and `name`; return the path of the C file and the prefix of its public names."""
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
    return path, name


def _dtype(layers: Sequence[Any], dtype: Any) -> np.dtype:
    """Return the dtype of the C code: the given one, or the model's own for None."""
    quantized = any(layer.weights for layer in layers)
    if any(isinstance(layer, IntegerLayer) for layer in layers):
        check_integers(layers)
        if dtype is not None:
            raise ValueError(f"dtype: expected None for an integer network, got {dtype!r}")
        return INT16
    if dtype is None:
        return FLOAT32 if quantized else next(layer.dtype for layer in layers if layer.p)
    if quantized and float_dtype(dtype) != FLOAT32:
        raise ValueError(f"dtype: expected float32, in which a quantised network runs, got {float_dtype(dtype)}")
    return float_dtype(dtype)


def _outputs(net: AnyNet, named: bool) -> tuple[bool, str]:
    """Return whether the model has outputs for every step, and a description of the outputs with the class labels."""
    if not isinstance(net, Network):
        return bool(net.sequences), "the state of the layer"
    if net.class_names is None and net.classes is None:
        return net.per_step, "those of the head"
    # Only plain characters in a C comment, and none that could end it.
    labels = ", " + re.sub(r"[*/?\\]", "_", ascii(list(net.data_spec.labels))) if named else ""
    return net.per_step, "one for each class" + labels


_HEADER = Template("""\
/* Made by cgru $version; $source says of what and how to use it. */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stddef.h>
#include <stdint.h>

#define ${NAME}_$size
#define ${NAME}_OUTPUTS $outputs

#ifdef __cplusplus
extern "C" {
#endif

/* What a step leaves for the next. Copy it to go on from the same point twice.
 *
 * On a 32-bit microcontroller, in bytes: constants $constant_bytes$apart_bytes; a state $state_bytes; stack of
 * ${name}_step $stack_bytes at most with gcc -O2 or -Os, of which arrays $array_bytes. */
typedef struct {
    $members
} ${name}_state;

$init_declared
/* Begin another sequence in a state that is in use: it becomes that of ${name}_init, whatever it was. */
void ${name}_reset(${name}_state *state);

$wait_declared/* Take one step with $one, and put the outputs so far into y[${NAME}_OUTPUTS].$refusal */
$answer ${name}_step(${name}_state *state, $x, $real *y);

/* Take n steps with $several, and put the outputs $when.$refusal_of_all */
$answer_of_all ${name}_run(${name}_state *state, $xs, size_t n, $real *y);
$finish_declared$converters
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
 * Numbers are $real; tables of them are their bits. Inputs are $inputs_are; outputs are $outputs_are. Compile with
 *
 *     cc -O2 -c $source
 *
 * and link with nothing, not even -lm. On x86-64 it then takes the widest vectors of the machine that runs it. Under
 * -std=c99 add -ffp-contract=fast, without which GCC multiplies and adds apart. To use it:
 *
 *     #include "$header"
 *
 *     ${name}_state state;
 *     $variable
 *     $real y[${NAME}_OUTPUTS];
 *
 *     $init
 *     while (next($target)) {
 *         $used
 *     }
$ended *
 * Nothing is allocated, and nothing but state and outputs is written: each thread may run a state of its own.
 */
#include "$header"

""")

_BODY = Template("""\
$apart$layers
$advance
static void put_here(const ${name}_state *state, real *y) {
    $output
}
CHOOSE(void, put, (const ${name}_state *state, real *y), (state, y), )

$initialization
$wait$answer ${name}_step(${name}_state *state, $x, $real *y) {
    $check
    $step
    put(state, y);
    $done
}

$answer_of_all ${name}_run(${name}_state *state, $xs, size_t n, $real *y) {
    $check_all
    $run
    $done_all
}
$finish""")

# The texts of a model whose weights are in the C; cgru/export/weights_file.py has those of one with a file of weights.
_INSIDE = {
    "init": "${name}_init(&state);",
    "member": "",
    "apart": "",
    "apart_bytes": "",
    "init_declared": """\
/* Begin a sequence: the state becomes $start. */
void ${name}_init(${name}_state *state);
""",
    "initialization": """\
void ${name}_init(${name}_state *state) {
    memset(state, 0, sizeof *state);
    $begin
}

void ${name}_reset(${name}_state *state) {
    ${name}_init(state);
}
""",
}

_ADVANCE = """\
static void advance_here(${name}_state *state, $x) {
    $steps
}
CHOOSE(void, advance, (${name}_state *state, $x), (state, x), )
"""
_RUN = {
    False: "for (size_t i = 0; i < n; i++) { advance(state, $next); }\n    put(state, y);",
    True: """\
for (size_t i = 0; i < n; i++) {
        advance(state, $next);
        put(state, y + (i * (size_t)${NAME}_OUTPUTS));
    }""",
}

# The texts of a model in which no layer changes the steps,
_WITHOUT_FRAMES = {
    "step": "advance(state, x);",
    "used": "${name}_step(&state, x, y);\n *         use(y);",
    **dict.fromkeys(("finish_declared", "finish", "ended"), ""),
}

# and of a model with such a layer. `advance` returns at a layer that has nothing for the next one yet. The parts above
# it are a function of their own, from which `finish` continues too.
_ADVANCES = "static int $function(${name}_state *state$x) {\n    $steps\n    return $then;\n}\n"
_RUNS = {
    False: """\
ptrdiff_t count = 0;
    for (size_t i = 0; i < n; i++) { count += advance(state, $next); }
    if (count == 0) { return 0; }
    put(state, y);
    return 1;""",
    True: """\
ptrdiff_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (advance(state, $next)) { put(state, y + (count++ * ${NAME}_OUTPUTS)); }
    }
    return count;""",
}
_WITH_FRAMES = {
    "answer": "int",
    "answer_of_all": "ptrdiff_t",
    "step": "if (!advance(state, x)) { return 0; }",
    "used": "if (${name}_step(&state, x, y) == 1) { use(y); }",
    "ended": " *     while (${name}_finish(&state, y)) { use(y); }\n",
    "done": "return 1;",
    "done_all": "",
    "finish_declared": """
/* After the last step: put the next of the outputs that are still due into y[${NAME}_OUTPUTS]; no step may follow
 * before the state begins anew. Return 1; or 0 where none is left, and then nothing is changed. */
int ${name}_finish(${name}_state *state, $real *y);
""",
    "finish": """
int ${name}_finish(${name}_state *state, $real *y) {
    $finishes
    return 0;
}
""",
}
_FINISH = """\
while ($more) {
    $skip
    put(state, y);
    return 1;
}"""
_WAIT = (
    """\
/* The next step comes dt after the last one, in the units of the times of training; without this call, 1 after it. */
void ${name}_wait(${name}_state *state, $real dt);

""",
    """\
void ${name}_wait(${name}_state *state, $real dt) {
    $waits
}

""",
)
_ANSWERS = (
    "\n * Return 1; or 0 where there are no outputs yet$bad.",
    "\n * Return how many outputs were put there$bad.",
    "; or -1 where a token is out of range, and then nothing is changed",
)

# The texts that depend on whether a step is numbers or a token.
_NUMBERS = {
    "size": "INPUTS $inputs",
    "answer": "void",
    "x": "const $real *x",
    "xs": "const $real *x",
    "next": "x + (i * (size_t)${NAME}_INPUTS)",
    "one": "x[${NAME}_INPUTS]",
    "several": "x[n][${NAME}_INPUTS]",
    "variable": "$real x[${NAME}_INPUTS];",
    "target": "x",
    "inputs_are": "raw",
    **dict.fromkeys(("refusal", "check", "check_all", "done"), ""),
}
_TOKENS = {
    "size": "TOKENS $tokens",
    "answer": "int",
    "x": "int x",
    "xs": "const int *x",
    "next": "x[i]",
    "one": "the token x, from 0 to ${NAME}_TOKENS - 1",
    "several": "the tokens x[n]",
    "variable": "int x;",
    "target": "&x",
    "inputs_are": "tokens",
    "refusal": "\n * Return 0; or -1 where a token is out of range, and then nothing is changed.",
    "check": "if ((x < 0) || (x >= ${NAME}_TOKENS)) { return -1; }",
    "check_all": """\
for (size_t i = 0; i < n; i++) {
        if ((x[i] < 0) || (x[i] >= ${NAME}_TOKENS)) { return -1; }
    }""",
    "done": "return 0;",
}


def _header_and_source(
    name: str,
    source: str,
    parts: Sequence[Part],
    dtype: np.dtype,
    tokens: int | None,
    every: bool,
    outputs_are: str,
    own: Mapping[str, str],
) -> tuple[str, str]:
    """Return the texts (header, source) of the model `name`; `every`: outputs at each step.

    With `every` outputs are written after every step, else after the last. `own` has the texts of where weights
    are, and of how integers are made.
    """
    kind = {"float32": "float", "float64": "double", "int16": "int16_t"}[dtype.name]
    source = os.path.basename(source)
    last, final = max(i for i, part in enumerate(parts) if part.members), parts[-1]
    words: dict[str, Any] = {"name": name, "NAME": name.upper(), "real": kind}
    words |= {"inputs": parts[0].width, "outputs": final.width, "tokens": tokens, "outputs_are": outputs_are}
    words |= {"version": __version__, "source": source, "header": source.removesuffix(".c") + ".h"}
    kinds = _NUMBERS if tokens is None else _TOKENS
    same = {"answer_of_all": kinds["answer"], "refusal_of_all": kinds["refusal"], "done_all": kinds["done"]}
    kinds = kinds | same | _WITHOUT_FRAMES | dict(own)
    waits = any(part.more for part in parts)
    if waits:
        bad = "" if tokens is None else _ANSWERS[2]
        answers = (Template(text).substitute(bad=bad) for text in _ANSWERS[:2])
        kinds |= _WITH_FRAMES | dict(zip(("refusal", "refusal_of_all"), answers, strict=True))
    taken = _lines(part.waits for part in parts)
    for key, text in zip(("wait_declared", "wait"), _WAIT if taken else ("", ""), strict=True):
        kinds |= {key: Template(text).safe_substitute(waits=taken)}
    advance, finishes = _advance_functions(parts[: last + 1]) if waits else (_ADVANCE, "")
    words |= {
        "start": "what was learned" if any("start_" in part.begin for part in parts) else "zero",
        "begin": _lines(part.begin for part in parts),
    }
    words |= {"steps": _lines(part.step for part in parts[: last + 1]), "finishes": finishes}
    words |= {key: Template(text).safe_substitute(words) for key, text in kinds.items()}
    words["advance"] = Template(advance).substitute(words)
    words |= {
        "when": f"after each{' that has some' * waits} into y[n][{name.upper()}_OUTPUTS]"
        if every
        else f"after the last into y[{name.upper()}_OUTPUTS]",
        "members": Template(_lines((*(m for part in parts for m in part.members), words["member"]))).substitute(words),
        "about": "\n".join(f" *     {part.about}" for part in parts),
        "layers": "\n".join(part.code for part in parts if part.code),
        # The parts above the last state are needed for the outputs alone.
        "output": _lines(
            (*(part.step for part in parts[last + 1 :]), f"memcpy(y, {final.result}, {final.width}u * sizeof(real));")
        ),
        "run": Template((_RUNS if waits else _RUN)[every]).substitute(words),
    }
    body = re.sub("(?m)^ +\n", "", _BODY.substitute(words))  # an empty text leaves such a line
    body = with_functions(body, dtype, FUNCTIONS if dtype == INT16 else functions(dtype), bool(own["apart"]))
    words |= {"constant_bytes": c_memory.constants(body, kind), "state_bytes": c_memory.state(words["members"], kind)}
    words |= dict(zip(("stack_bytes", "array_bytes"), c_memory.stack(body, kind), strict=True))
    return _HEADER.substitute(words), _SOURCE.substitute(words) + body


def _advance_functions(parts: Sequence[Part]) -> tuple[str, str]:
    """Return the C functions that run a step and end a sequence, if some layer changes the number of steps; else "".

    Each function ends at a part that may have nothing for the next one; the last parts come first.
    """
    cuts = [i + 1 for i, part in enumerate(parts) if part.more]
    functions, finishes, then = [], [], "1"
    for start, stop in reversed([*zip([0, *cuts], [*cuts, len(parts)], strict=True)]):
        function, x = (f"go_on_{start}", "") if start else ("advance_here", ", $x")
        steps = _lines(part.step for part in parts[start:stop])
        if start < stop:
            functions.append(Template(_ADVANCES).safe_substitute(function=function, x=x, steps=steps, then=then))
            then = f"{function}(state)"
        if start:
            skip = f"if (!{then}) {{ continue; }}" if start < stop else ""
            finishes.insert(0, Template(_FINISH).substitute(more=parts[start - 1].more, skip=skip))
    chosen = "CHOOSE(int, advance, (${name}_state *state, $x), (state, x), return)\n"
    return "\n".join([*functions, chosen]), _lines(finishes)


def _lines(texts: Iterable[str]) -> str:
    """Join the texts that are not empty by newlines, indented as the body of a C function or struct."""
    return "\n".join(filter(None, texts)).replace("\n", "\n    ")
