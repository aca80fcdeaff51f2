"""export_c: the C file computes what the library does and compiles without a warning."""

import ctypes
import math
import os
import re
import stat
import subprocess
import sys

import numpy as np
import pytest
from export_cases import (
    CC,
    CLANG,
    CXX,
    STRICT,
    Exported,
    assert_equal,
    compile_c,
    gru,
    inputs,
    library,
    made,
    needs_cc,
    network,
    printed,
    program,
    stacked,
    standardized,
)
from helpers import at_once, random_layer, refuses, some

import cgru
from cgru.activations import NAMED
from cgru.export.source import number

DTYPES = (np.float32, np.float64)
SIZES = (1, 7, 17, 33)
ELEMENTWISE = ("identity", "relu", "lrelu", "elu", "sigmoid", "tanh")


def stacks(dtype):
    """The kinds of layers and options, in the places where they can stand."""
    embedding, relu = cgru.Embedding(11, 5, dtype=dtype), cgru.relu
    out = {"dropout": 0.4, "recurrent_dropout": 0.3}
    yield "tokens", cgru.Embedding(11, 5, dtype=dtype), gru(9, dtype, sequences=False)
    yield "tokens_pooled", cgru.Embedding(300, 17, dtype=dtype), cgru.Pool("mean")
    yield "tokens_every", embedding, cgru.Dropout(), cgru.Dense(4, relu, dtype=dtype), gru(9, dtype)
    yield "switching", cgru.SwitchingGRU(7, 11, dtype=dtype)
    yield "switching_every", cgru.SwitchingGRU(2, 11, sequences=True, dtype=dtype), gru(9, dtype)
    for how in ("last", "mean", "max", "mean+last", "last+mean+max", "sum", "max+sum+mean"):
        yield f"pool_{how.replace('+', '_')}", gru(17, dtype), cgru.Pool(how)
    for hidden, how in ((None, "attention"), (7, "attention+mean"), (33, "last+mean+max+attention")):
        yield f"pool_attention_{hidden}", gru(17, dtype), cgru.Pool(how, hidden, dtype=dtype)
    yield "tokens_attention", cgru.Embedding(11, 5, dtype=dtype), cgru.Pool("attention", 3, dtype=dtype)
    yield "pool_inputs", cgru.Dropout(0.2), cgru.Pool("max")
    yield "every", gru(17, dtype, reset_after=True), cgru.Dropout(0.5)
    yield "between", gru(7, dtype), cgru.Dense(33, relu, dtype=dtype), gru(9, dtype, sequences=False)
    yield "deep_head", gru(7, dtype, **out), cgru.Pool("mean"), cgru.Dense(33, cgru.softmax, dtype=dtype)
    yield "zoneout", gru(17, dtype, zoneout=0.3, **out), gru(7, dtype, reset_after=True, zoneout=0.1, sequences=False)
    yield "learned", gru(17, dtype, learn_h0=True), gru(7, dtype, learn_h0=True, reset_after=True, sequences=False)
    yield "scaled", cgru.Scale(dtype=dtype), gru(9, dtype), cgru.Clip(-0.3, 0.2), gru(7, dtype), cgru.Clip(high=0.1)
    yield "layer_norm", cgru.LayerNorm(0.01, dtype=dtype), gru(17, dtype), cgru.LayerNorm(dtype=dtype), gru(7, dtype)
    every, alone = cgru.Difference(), cgru.Difference(keep=False)
    yield "differences", every, gru(9, dtype), alone, gru(7, dtype), cgru.Difference()
    yield "differences_last", alone, gru(9, dtype), cgru.Difference(keep=False), cgru.Pool("last+mean")
    yield "causal_frames", cgru.Frames(3, 1, (4, 0), 2), gru(9, dtype), cgru.Frames(2, 1, (1, 0))
    yield "differences_alone", cgru.Difference(), cgru.Dropout(0.2)
    for name in NAMED:
        numbers = {"LRELU_alpha": 0.1, "ELU_alpha": 0.6, "softmax_temperature": 0.7}
        yield f"activation_{name}", gru(9, dtype), cgru.Activation(name, numbers), cgru.Scale(dtype=dtype)
    yield "stateful", cgru.Dropout(0.3), gru(9, dtype, sequences=False, reset_after=True, **out)


# In both dtypes; each other stack in one.
BOTH = ("tokens", "tokens_pooled", "tokens_every", "pool_mean", "pool_max", "pool_last_mean_max", "pool_attention_7")
BOTH += ("switching_every", "every", "zoneout", "learned", "scaled", "differences")


def models():
    """Every kind of model, by name: the model, and the dtype to export it in."""
    for dtype in map(np.dtype, DTYPES):
        bits = dtype.itemsize * 8
        for i, u in enumerate(SIZES):
            e, after = SIZES[-1 - i], i % 2 == (bits == 64)
            layer = random_layer(e, u, dtype=dtype, reset_after=after, sequences=after or bool(i % 2))
            yield f"{'after' if after else 'gru'}{bits}_{e}_{u}", layer, dtype
        for i, name in list(enumerate(ELEMENTWISE))[bits == 64 :: 2]:
            functions = [NAMED[ELEMENTWISE[(i + shift) % 6]] for shift in range(3)]
            numbers = {"LRELU_alpha": 0.1, "ELU_alpha": 0.6}
            layer = random_layer(3, 9, 1, dtype=dtype, se_hPars=numbers, **dict(zip(GATES, functions, strict=True)))
            for value in layer.p.values():
                value /= 2  # gates without bounds make states, and what was rounded, grow from step to step
            yield f"{name}{bits}", layer, dtype
        named = dict(zip(GATES, (cgru.elu, cgru.tanh, cgru.relu), strict=True))
        yield f"after_named{bits}", random_layer(3, 9, dtype=dtype, reset_after=True, **named), dtype
        for i, (name, *layers) in enumerate(stacks(dtype)):
            if name not in BOTH and i % 2 == (bits == 64):
                continue
            yield f"{name}{bits}", stacked(dtype, *layers), dtype
        for i, (name, f) in enumerate(NAMED.items()):
            if name != "softmax" and i % 2 == (bits == 64):
                continue
            head = {"softmax_temperature": 0.3, "LRELU_alpha": -0.2, "ELU_alpha": 2}
            yield f"head_{name}{bits}", network(dtype, activate=f, se_hPars=head), dtype
        yield f"deep{bits}", network(dtype, (33, 7, 1), 33, 1, cgru.tanh), dtype
        yield f"standardized{bits}", standardized(dtype), dtype
    steep = {"LRELU_alpha": 1.5, "ELU_alpha": -0.5}  # which the library runs in Python
    yield "steep32", random_layer(3, 9, activate=cgru.lrelu, dtype=np.float32, se_hPars=steep), np.dtype(np.float32)
    yield "narrowed", network(np.float64), np.dtype(np.float32)
    yield "widened", network(np.float64), np.dtype(np.float64)


GATES = ("activate", "activate_update", "activate_reset")
MODELS = {name: (net, dtype) for name, net, dtype in models()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    for name, (net, dtype) in MODELS.items():
        cgru.export_c(net, folder / f"{name}.c", dtype=dtype)
    return sorted(folder.glob("*.c"))


FAST = "-march=native -ffp-contract=fast"
OPTIMIZED = pytest.param(f"-O1 {FAST}", marks=pytest.mark.slow), pytest.param(f"-O3 {FAST}", marks=pytest.mark.nightly)


@pytest.fixture(scope="module", params=["-O0", *OPTIMIZED])
def exported(request, sources, tmp_path_factory):
    if CC is None:
        pytest.skip("no C compiler")
    built = library(tmp_path_factory.mktemp("so"), sources, *request.param.split())
    return lambda name: Exported(built, name, *MODELS[name])


# --- the same numbers ---


@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_gives_what_predict_gives(exported, name):
    model, (net, _) = exported(name), MODELS[name]
    X = inputs(net, model.dtype)
    due = net.predict(X[None])[0]
    assert np.ptp(due) > 0 or due.size == 1
    assert_equal(model.run(X), due, model.dtype)


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("compiler", [CC, CLANG])
def test_all_vectors_have_the_same_bits(sources, compiler, tmp_path):
    """Those of AVX-512, AVX2 and SSE2, of which a program takes what its machine has; where nothing is fused."""
    if compiler is None:
        pytest.skip("no Clang")
    chosen = [path for path in sources if path.stem in some(4, sorted(MODELS))]
    levels = {}
    for name, condition in {"sse2": "0", "avx2": "x[3]!='5'", "widest": "1"}.items():
        (tmp_path / name).mkdir()
        given = f"-D__builtin_cpu_supports(x)=({condition}&&__builtin_cpu_supports(x))"
        levels[name] = library(tmp_path / name, chosen, "-O2", "-ffp-contract=off", given, compiler=compiler)
    for path in chosen:
        net, dtype = MODELS[path.stem]
        due, *others = (Exported(each, path.stem, net, dtype).run(inputs(net, dtype)) for each in levels.values())
        for found in others:
            np.testing.assert_array_equal(found, due)


@pytest.mark.parametrize("name", MODELS)
def test_single_steps_give_the_sequence(exported, name):
    stepwise, whole = exported(name), exported(name)
    X = inputs(MODELS[name][0], stepwise.dtype)
    outputs = np.array([stepwise.step(x) for x in X])
    np.testing.assert_array_equal(outputs if whole.every else outputs[-1], whole.run(X))
    stepwise.init()
    np.testing.assert_array_equal(stepwise.step(X[0]), outputs[0])


@pytest.mark.parametrize("name", MODELS)
def test_a_state_begins_anew(exported, name):
    """As that of another sample, bit for bit, whatever it holds."""
    model, fresh = exported(name), exported(name)
    begun, size = fresh.state.copy(), np.flatnonzero(~np.isnan(fresh.state)).max() + 1
    for x in inputs(MODELS[name][0], model.dtype):
        model.step(x)
    for value in (None, np.nan, np.inf):
        model.state[:size] = model.state[:size] if value is None else value
        model.reset()
        np.testing.assert_array_equal(model.state, begun)


EPISODES = ("learned64", "deep64", "every32", "differences64", "tokens_every64", "pool_attention_764", "zoneout32")


@pytest.mark.parametrize("name", EPISODES)
def test_episodes_are_those_of_a_stream_stepped_by_hand(exported, name):
    model, net = exported(name), MODELS[name][0]
    X, stream = inputs(net, model.dtype), cgru.Stream(net)
    for x, ended in zip([*X, *X], np.random.default_rng(0).random(2 * len(X)) < 0.3, strict=True):
        if ended:
            model.reset()
        assert_equal(model.step(x), np.ravel(stream.step(x, resets=ended)), model.dtype)


SO_FAR = ("head_softmax32", "head_identity64", "gru32_17_7", "tokens_every64", "every32", "pool_mean32", "pool_max64")


@pytest.mark.parametrize("name", SO_FAR)
def test_after_each_step_come_the_outputs_so_far(exported, name):
    model, (net, _) = exported(name), MODELS[name]
    X = inputs(net, model.dtype)
    for t, x in enumerate(X):
        due = net.predict(X[None, : t + 1])[0]
        assert_equal(model.step(x), due[-1] if model.every else due, model.dtype)


@pytest.mark.parametrize("name", ["tokens32", "tokens_pooled64", "tokens_every64"])
def test_a_token_that_there_is_not_changes_nothing(exported, name):
    model = exported(name)
    X = inputs(MODELS[name][0], model.dtype)
    model.run(X)
    kept = model.state.copy()
    for wrong in (-1, MODELS[name][0].layers[0].d["v"], 2**31 - 1, -(2**31)):
        assert (model.step(wrong, answer=-1) == 7).all()
        assert (model.run(np.array([*X, wrong], np.intc), answer=-1) == 7).all()
    np.testing.assert_array_equal(model.state, kept)


@pytest.mark.parametrize("name", ["pool_mean64", "pool_max64"])
def test_a_pool_of_no_steps_is_zero(exported, name):
    net = MODELS[name][0]
    assert_equal(exported(name).run(np.empty((0, 5))), np.tanh(net.layers[-1].p["b"][0]), np.float64)


def test_a_mean_over_many_steps_keeps_its_digits(exported):
    net = MODELS["pool_mean32"][0]
    X = np.tile(inputs(net, np.float32), (4000, 1))
    mean = net.layers[0].predict(X[None])[0].mean(axis=0, dtype=np.float64)  # predict has no more than float32
    due = net.layers[-1].predict(mean[None].astype(np.float32))[0]
    assert_equal(exported("pool_mean32").run(X), due, np.float32, 2e-6)


def test_a_mean_is_infinite_where_an_input_is(tmp_path):
    net = cgru.Network([cgru.Pool("mean"), cgru.Dense(1, cgru.identity)], loss="mean_squared_error", dtype=np.float32)
    for value in (np.inf, -np.inf):
        X = np.array([1, value, 2, 3], np.float32)[:, None]
        net.predict(X[None])
        net.layers[1].p["W"][...] = 1
        (folder := tmp_path / str(value)).mkdir()
        np.testing.assert_array_equal(made(folder, net, "-O1").run(X), net.predict(X[None])[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_mean_keeps_its_digits(tmp_path, dtype):
    net = network(dtype)
    net.mean, net.scale = np.array([100000.123456, -3e7, 0.1, 0, 7]), np.array([0.03, 3, 1e-6, 1, 2])
    X = inputs(net, dtype)
    assert_equal(made(tmp_path, net, "-O1").run(X), net.predict(X[None])[0], dtype)
    text = (tmp_path / "model.c").read_text()
    assert ("rest" in text) == (dtype is np.float32)


def test_a_pool_keeps_nan(exported):
    for name in ("pool_mean32", "pool_max32"):
        model, net = exported(name), MODELS[name][0]
        X = inputs(net, np.float32)
        X[4, 2] = np.nan
        assert np.isnan(model.run(X)).all()
        assert np.isnan(model.run(X[:2])).all()
        assert np.isnan(net.predict(X[None])).all()


def test_a_sequence_goes_on_from_the_state(exported):
    model, whole = exported("deep32"), exported("deep32")
    X = inputs(MODELS["deep32"][0], np.float32)
    model.run(X[:4])
    kept = model.state.copy()
    due = whole.run(X)
    np.testing.assert_array_equal(model.run(X[4:]), due)
    model.state[...] = kept
    np.testing.assert_array_equal(model.run(X[4:]), due)


def test_no_steps_at_all_give_the_head_of_the_state(exported):
    model = exported("head_identity64")
    np.testing.assert_array_equal(model.run(np.empty((0, 5))), model.run(np.empty((0, 5))))
    head = MODELS["head_identity64"][0].layers[-1]
    assert_equal(model.run(np.empty((0, 5))), head.p["b"][0], np.float64)


def test_states_in_several_threads_do_not_meet(exported):
    X = [np.tile(inputs(MODELS["gru64_33_1"][0], np.float64, seed), (2000, 1)) for seed in range(4)]
    one_by_one = [exported("gru64_33_1").run(x) for x in X]
    models = [exported("gru64_33_1") for _ in X]
    np.testing.assert_array_equal(at_once(lambda i: models[i].run(X[i])), one_by_one)


# --- the activations, alone ---


def bare(activate, dtype, u=1, **numbers):
    """A layer of which the state is activate(x + bhh): z is zero."""
    layer = random_layer(1, u, activate=activate, activate_update=cgru.identity, sequences=True, dtype=dtype, **numbers)
    for value in layer.p.values():
        value[...] = 0
    layer.p["Uhh"][...] = 1
    return layer


def distance(got, due, least=4):
    """In units of the last place, with numbers below `least` times the normal ones counted as zero."""
    tiny = np.finfo(got.dtype).tiny
    unit = np.spacing(np.maximum(np.abs(due), tiny).astype(got.dtype)).astype(np.longdouble)
    return np.abs(got - due) / unit * (np.abs(due) > least * tiny)


def erfc(x):
    """Of a longdouble: that of the nearest float64, and the slope times what that lost."""
    near = x.astype(float)
    slope = -np.exp(-x * x) * 2 / np.sqrt(np.longdouble(np.pi))
    return np.array([math.erfc(each) for each in near]) + (x - near) * slope


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu", "lrelu", "relu", "silu", "softplus", "gelu"])
@pytest.mark.parametrize("flag", ["-O1", "-O3"])
@pytest.mark.pairwise
def test_activations_are_accurate_over_their_whole_range(tmp_path, name, dtype, flag):
    model = made(tmp_path, bare(NAMED[name], dtype), flag)
    x = np.concatenate([sign * np.logspace(-12, 3, 20001) for sign in (1, -1)]).astype(dtype)
    wide = x.astype(np.longdouble)
    with np.errstate(over="ignore"):
        due = {
            "sigmoid": 1 / (1 + np.exp(-wide)),
            "tanh": np.tanh(wide),
            "elu": np.where(x > 0, wide, np.expm1(np.minimum(wide, 0))),
            "lrelu": np.where(x > 0, wide, wide * dtype(0.3)),
            "relu": np.maximum(wide, 0),
            "silu": wide / (1 + np.exp(-wide)),
            "softplus": np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide))),
            "gelu": wide * erfc(-wide / np.sqrt(np.longdouble(2))) / 2,
        }[name]
    bound = 3 if name != "gelu" else 6 if dtype == np.float32 else 12
    least = 4 if name != "silu" else 800  # whose sigmoid is 800 times smaller
    assert distance(model.run(x[:, None])[:, 0], due, least).max() < bound


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_saturates_and_nan_stays(tmp_path, dtype):
    largest = np.finfo(dtype).max
    for name, low, high in (
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("elu", -1, np.inf),
        ("relu", 0, np.inf),
        *((name, 0, np.inf) for name in ("gelu", "silu", "softplus")),
    ):
        (folder := tmp_path / name).mkdir()
        layer = bare(NAMED[name], dtype)
        layer.p["Uhh"][...] = 2  # the largest numbers overflow before the activation, and nowhere else
        model = made(folder, layer, "-O3")
        for x, due in ((-largest, low), (largest, high), (-largest / 4, low), (np.nan, np.nan)):
            model.init()
            np.testing.assert_array_equal(model.step(np.array([x], dtype)), due, f"{name}({x})")


def test_extreme_inputs_give_what_predict_gives(exported):
    for name in ("head_softmax32", "head_softmax64", "head_tanh32"):
        net = MODELS[name][0]
        for value in (1e4, -1e30, np.inf, -np.inf, np.nan):
            model = exported(name)
            X = inputs(net, model.dtype)
            X[4, 2] = value
            assert_equal(model.run(X), net.predict(X[None])[0], model.dtype)


# --- the file ---


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_exact_to_the_bit(tmp_path, dtype):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 256, 1000 * np.dtype(dtype).itemsize, np.uint8).view(dtype)
    values = np.concatenate([values[np.isfinite(values)], [0, 1, -2, np.finfo(dtype).smallest_subnormal, 1e22]])
    layer = bare(cgru.identity, dtype, len(values) // 8)
    layer.p["bhh"][0] = values = values[-layer.d["u"] :].astype(dtype)
    layer.p["Uhh"][...] = 0
    np.testing.assert_array_equal(made(tmp_path, layer, "-O1").step(np.ones(1, dtype)), values)
    for value in values:
        assert dtype(number(value, np.dtype(dtype)).rstrip("f")) == value


@pytest.mark.parametrize(
    "compiler",
    [
        pytest.param((CLANG, "-std=c99"), id="clang", marks=pytest.mark.skipif(CLANG is None, reason="no clang")),
        pytest.param(
            (CLANG, "-x", "c++", "-std=c++11"),
            id="clang++",  # which is made of the two others
            marks=[pytest.mark.skipif(CLANG is None, reason="no clang"), pytest.mark.nightly],
        ),
        pytest.param(
            (CXX, "-x", "c++", "-std=c++11"), id="c++", marks=pytest.mark.skipif(CXX is None, reason="no C++ compiler")
        ),
    ],
)
@pytest.mark.slow
def test_compilers_have_nothing_to_say(sources, compiler):
    """Of each kind of model in one dtype, C++ in the other; GCC has built all."""
    compile_c(*compiler, *STRICT, "-fsyntax-only", *sources[compiler[0] == CXX :: 2])


def test_a_float32_model_has_no_double(sources):
    single = [path for path in sources if "32" in path.stem or path.stem == "narrowed"]
    assert len(single) > 30
    for path in single:
        for file in (path, path.with_suffix(".h")):
            assert not re.search(r"\bdouble\b|%l?f", file.read_text()), file


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", some(1, ["pool_last_mean_max64", "tokens_every64", "head_softmax32", "scaled32", "standardized32"])
)
def test_nothing_undefined_is_done(tmp_path, name):
    net, dtype = MODELS[name]
    cgru.export_c(net, tmp_path / "model.c", dtype=np.float32)
    flags = "-g", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"
    X = inputs(net, dtype)
    X = X.astype(np.float32) if X.dtype.kind == "f" else X
    compile_c(CC, "-std=c99", *STRICT, *flags, *program(tmp_path, X), "-o", tmp_path / "run")
    done = subprocess.run([tmp_path / "run"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal(printed(done.stdout, net.layers[-1].d["u"])[-1:], last(net, X), np.float32)


def last(net, X):
    """The last outputs (1, k) for the steps X."""
    due = net.predict(X[None])[0]
    return due[-1:] if net.per_step else due[None]


@needs_cc
def test_the_optimizer_has_nothing_to_say(tmp_path):
    made(tmp_path, standardized(np.float32), "-O3")


def test_the_comment_says_what_how_and_by_whom(tmp_path):
    net = standardized(np.float32)
    net.class_names = ("up", "*/ down", "ü??/")
    cgru.export_c(net, tmp_path / "my model-2.c")
    source, header = (tmp_path / "my model-2.c").read_text(), (tmp_path / "my model-2.h").read_text()
    comment = source[: source.index("*/")]
    for words in (
        f"cgru {cgru.__version__}",
        "GRU, 5 features, 17 units; activate tanh, activate_update sigmoid, activate_reset sigmoid",
        "GRU, 17 features, 7 units",
        "Dense, 7 inputs, 3 outputs; activate softmax",
        "5 features, standardized",
        "Numbers are float; tables of them are their bits",
        "'up'",
        "cc -O2 -c",
        "my_model_2_step(&state, x, y)",
    ):
        assert words in comment
    assert "#define MY_MODEL_2_INPUTS 5\n#define MY_MODEL_2_OUTPUTS 3\n" in header
    assert len(header.splitlines()) < 50


def test_the_comment_says_what_options_and_tokens_are(tmp_path):
    net = stacked(np.float64, cgru.Embedding(7, 2), cgru.GRU(3, reset_after=True, zoneout=0.25), cgru.Dropout())
    cgru.export_c(net, tmp_path / "m.c")
    source, header = (tmp_path / "m.c").read_text(), (tmp_path / "m.h").read_text()
    comment = source[: source.index("*/")]
    for words in (
        "input: a token from 0 to 6\n",
        "Embedding, 7 tokens, 2 units\n",
        "activate_reset sigmoid, reset after the product, zoneout 0.25\n",
        "Dropout, which only training has\n",
        "while (next(&x))",
    ):
        assert words in comment
    assert "#define M_TOKENS 7\n#define M_OUTPUTS 3\n" in header
    assert "int m_step(m_state *state, int x, double *y);" in header
    assert "M_INPUTS" not in header


def test_the_comment_says_the_numbers_of_activations(tmp_path):
    layer = random_layer(2, 3, activate=cgru.elu, activate_update=cgru.lrelu, se_hPars={"ELU_alpha": 0.25})
    cgru.export_c(layer, tmp_path / "m.c")
    due = "; activate elu (ELU_alpha 0.25), activate_update lrelu (LRELU_alpha 0.3), activate_reset sigmoid\n"
    assert due in (tmp_path / "m.c").read_text()


def test_gates_with_one_function_are_one_loop(tmp_path):
    for update, loops in ((cgru.sigmoid, 1), (cgru.tanh, 2), (cgru.identity, 1)):
        cgru.export_c(random_layer(2, 3, activate_update=update), tmp_path / "m.c")
        assert (tmp_path / "m.c").read_text().count("gates[i] = activate_") == loops


def test_names(tmp_path):
    layer = random_layer(2, 3)
    for stem, options, due in (
        ("9lives", {}, "model_9lives"),
        ("ünï", {}, "n"),
        ("---", {}, "model"),
        ("x", {"name": "Filter_2"}, "Filter_2"),
    ):
        cgru.export_c(layer, tmp_path / f"{stem}.c", **options)
        assert f"{due}_init({due}_state *state)" in (tmp_path / f"{stem}.h").read_text()


@needs_cc
def test_any_name_of_a_file_compiles(tmp_path):
    for stem in ("ünï cödé", "int", "a.b"):
        cgru.export_c(random_layer(2, 3), tmp_path / f"{stem}.c")
        compile_c(CC, "-std=c99", *STRICT, "-fsyntax-only", tmp_path / f"{stem}.c")


def test_files_are_replaced_whole(tmp_path):
    path = tmp_path / "model.c"
    path.write_text("old")
    cgru.export_c(random_layer(2, 3), str(path))
    assert path.read_text().startswith("/* A recurrent network")
    assert sorted(os.listdir(tmp_path)) == ["model.c", "model.h"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_files_keep_their_modes(tmp_path):
    source, header = tmp_path / "model.c", tmp_path / "model.h"
    for path, mode in ((source, 0o600), (header, 0o640)):
        path.write_text("old")
        path.chmod(mode)
    cgru.export_c(random_layer(2, 3), source)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (source, header)] == [0o600, 0o640]


# --- frames ---


FRAMES = [(3, 1, (2, 2), 2), (3, 1), (4, 2, False), (2, 5), (2, 5, False), (4, 2, (1, 3)), (2, 3, (1, 6))]


def framed():
    """Networks with Frames by name: upon the input, between layers, twice, uppermost with a state; of both kinds."""
    for i, frames in enumerate(FRAMES):
        for every in (True, False):
            dtype = np.dtype(DTYPES[(i + every) % 2])
            tokens = [cgru.Embedding(5, 3, dtype=dtype)] if i % 3 == 2 else []
            pooled = [] if every else [cgru.Pool("mean")]
            below = [cgru.Frames(*frames), gru(7, dtype, every)]
            between = [gru(5, dtype), cgru.Frames(*frames), cgru.Frames(2, 1), gru(4, dtype), *pooled]
            alone = [cgru.Frames(*frames), *pooled]
            for name, layers in (("below", below), ("between", between), ("alone", alone)):
                net = stacked(dtype, *tokens, *layers, e=2)
                if name == "below" and not tokens:
                    net.mean, net.scale = np.array([1.0, -2.0]), np.array([2.0, 0.5])
                yield f"{name}_{i}_{'every' if every else 'last'}", net


class Framed(Exported):
    """A model whose calls say how many outputs there are."""

    def __init__(self, built, name, net):
        super().__init__(built, name, net, net.dtype)
        self._finish = getattr(built, f"{name}_finish")
        self._step.restype, self._run.restype = ctypes.c_int, ctypes.c_ssize_t

    def given(self, x):
        return int(x) if self.tokens else self._pointer(x)

    def steps(self, X):
        """Of each step its outputs, or None."""
        for x in X:
            y = np.full(self.k, 7, self.dtype)
            answer = self._step(self._pointer(self.state), self.given(x), self._pointer(y))
            assert answer in (0, 1)
            assert answer or (y == 7).all()
            yield y if answer else None

    def run(self, X):
        y = np.full((len(X) + 1, self.k), 7, self.dtype)
        count = self._run(self._pointer(self.state), self._pointer(X), ctypes.c_size_t(len(X)), self._pointer(y))
        return count if count < 0 else y[:count]

    def finish(self):
        y = np.full(self.k, 7, self.dtype)
        while self._finish(self._pointer(self.state), self._pointer(y)):
            yield y.copy()


@pytest.mark.slow
@needs_cc
def test_frames_in_c(tmp_path):
    nets = dict(framed())
    for name, net in nets.items():
        cgru.export_c(net, tmp_path / f"{name}.c")
    built = library(tmp_path, [tmp_path / f"{name}.c" for name in nets])
    for name, net in nets.items():
        model, rng = Framed(built, name, net), np.random.default_rng(0)
        for s in (1, 2, 5, 7, 17):
            X = rng.integers(0, 5, s, np.intc) if model.tokens else rng.standard_normal((s, 2)).astype(model.dtype)
            model.init()
            early = list(model.steps(X))
            kept = model.state.copy()
            rest = list(model.finish())
            found = [y for y in early if y is not None] + rest
            try:
                due = np.atleast_2d(net.predict(X[None])[0])
            except ValueError:  # shorter than a frame
                assert not found
                continue
            tolerance = 5e-6 if model.dtype == np.float32 else 1e-12
            assert_equal(np.array(found) if model.every else found[-1][None], due, model.dtype, tolerance)
            model.reset()
            at_once = model.run(X)
            due = [y for y in early if y is not None]
            np.testing.assert_array_equal(at_once, np.reshape(due if model.every else due[-1:], (-1, model.k)))
            np.testing.assert_array_equal(list(model.finish()), rest)
            assert not list(model.finish())
            if model.tokens:
                model.init()
                model.run(X)
                for wrong in (-1, 5):
                    y = model._pointer(np.empty(model.k, model.dtype))
                    assert model._step(model._pointer(model.state), wrong, y) == -1
                    assert model.run(np.array([0, wrong], np.intc)) == -1
                np.testing.assert_array_equal(model.state, kept)


def test_frames_before_the_first_step_are_refused(tmp_path):
    net = stacked(np.float64, cgru.Frames(2, 1, (2, 0)), gru(3, np.float64))
    with refuses(ValueError, "net"):
        cgru.export_c(net, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


def test_what_frames_change_in_the_header(tmp_path):
    cgru.export_c(stacked(np.float64, cgru.Frames(4), gru(3, np.float64)), tmp_path / "model.c")
    header = (tmp_path / "model.h").read_text()
    for line in (
        "int model_step(model_state *state, const double *x, double *y);",
        "ptrdiff_t model_run(model_state *state, const double *x, size_t n, double *y);",
        "int model_finish(model_state *state, double *y);",
    ):
        assert line in header
    assert "while (model_finish(&state, y)) { use(y); }" in (tmp_path / "model.c").read_text()
