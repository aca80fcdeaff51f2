"""Weights of int8 and bfloat16 in an exported model: the codes, the sums and the steps are the library's own."""

import ctypes
import os
import re
import subprocess

import numpy as np
import pytest
from export_cases import (
    CC,
    CLANG,
    CXX,
    STEPS,
    STRICT,
    Exported,
    compile_c,
    gru,
    inputs,
    library,
    made,
    needs_cc,
    network,
    program,
    stacked,
    standardized,
)
from helpers import some

import cgru
from cgru.export.c_products import Weights, functions
from cgru.export.source import array, width
from cgru.quantized import quantized_reference as reference

pytestmark = needs_cc
F4 = np.dtype(np.float32)
SIZES = ((1, 33), (5, 1), (7, 17), (33, 7), (17, 100), (100, 33))
KINDS = ("int8", "bfloat16")
FAST = ("-O3", "-march=native", "-ffp-contract=fast")


def head(*layers, **options):
    return stacked(np.float32, *layers, **options)


def grus():
    """Networks of a GRU and a head, and how to quantise them."""
    for i, (e, u) in enumerate(SIZES):
        for options in ({}, {"reset_after": True}):
            for kind in KINDS if (e, u) in ((7, 17), (17, 100)) else (KINDS[(i + 1 + bool(options)) % 2],):
                after = "_after" * bool(options)
                yield f"gru_{e}_{u}{after}_{kind}", head(gru(u, F4, **options), e=e), kind
    for name in ("relu", "elu", "lrelu", "identity", "sigmoid"):  # most without a bound of the state
        layer = gru(9, F4, activate=name, activate_update="sigmoid", reset_after=name == "elu")
        yield name, head(layer), "int8"
    yield "zoneout", head(gru(17, F4, zoneout=0.3)), "int8"
    yield "begun", head(gru(17, F4, learn_h0=True)), "int8"
    yield "begun_bfloat16", head(gru(17, F4, learn_h0=True, reset_after=True)), "bfloat16"


def stacks():
    """Networks of several layers, and how to quantise them."""
    scale = cgru.Scale(dtype=F4)
    yield "deep", network(F4, (33, 7, 1), 33, 1, cgru.tanh), "int8"
    yield "standardized", standardized(F4), "int8"
    yield "standardized_bfloat16", standardized(F4), "bfloat16"
    yield "mixed", head(scale, gru(9, F4), cgru.Clip(-0.3, 0.2), gru(7, F4)), {1: "bfloat16", 3: "int8"}
    yield "mixed_above", head(gru(9, F4), cgru.Scale(dtype=F4), gru(33, F4)), {0: "int8", 2: "bfloat16", 3: "bfloat16"}
    yield "softmax", head(gru(9, F4), cgru.Activation("relu"), activate=cgru.softmax), "int8"
    yield "wide_head", head(gru(9, F4, sequences=False), k=50), "int8"
    yield "wide_head_bfloat16", head(gru(9, F4, sequences=False), k=50), "bfloat16"
    for kind in KINDS:
        yield f"tokens_{kind}", head(cgru.Embedding(11, 5, dtype=F4), gru(9, F4, sequences=False)), kind
        yield f"pool_{kind}", head(gru(17, F4), cgru.Pool("last+mean+max"), cgru.Dense(5, "relu", dtype=F4)), kind
    yield "tokens_mixed", head(cgru.Embedding(300, 17, dtype=F4), cgru.Pool("mean")), {0: "bfloat16"}


def quantized(net, kind, calibrate):
    X = inputs(net, net.layers[0].dtype, seed=6)  # what the tests give goes beyond
    return cgru.quantize(net, kind, calibration=X[None] if calibrate else None)


NETS = {name: (net, kind) for make in (grus, stacks) for name, net, kind in make()}
UNSEEN = ("gru_7_17_int8", "gru_7_17_after_int8", "gru_100_33_int8", "relu", "deep", "mixed")
MODELS = {f"{name}_seen": quantized(*given, True) for name, given in NETS.items()}
MODELS |= {f"{name}_measured": quantized(*NETS[name], False) for name in UNSEEN}
BARE = [name for name in MODELS if isinstance(MODELS[name].layers[0], cgru.GRU)]
LAYERS = {f"layer_{name}": MODELS[name].layers[0] for name in BARE[1::3]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    for name, net in (MODELS | LAYERS).items():
        cgru.export_c(net, folder / f"{name}.c")
    return sorted(folder.glob("*.c"))


@pytest.fixture(scope="module", params=[("-O0",), pytest.param(FAST, marks=pytest.mark.nightly)], ids=" ".join)
def exported(request, sources, tmp_path_factory):
    built = library(tmp_path_factory.mktemp("so"), sources, *request.param)
    return lambda name: Exported(built, name, (MODELS | LAYERS)[name], F4)


def flip(layer):
    """What one code of the state that comes out one higher changes in the next state at most.

    It moves each sum by a weight over 127, and the state by no more through the candidate, by half as much through the
    update gate, by a quarter of the largest weight that it opens through the reset gate.
    """
    if layer.weights != "int8":
        return 0
    p = layer.p
    V = {gate: np.abs(reference.dequantize(p[f"V{gate}"], p[f"scale_V{gate}"])) for gate in ("hh", "z", "r")}
    hh, z, r = (V[gate].max() / 127 for gate in ("hh", "z", "r"))
    return hh + z / 2 + r / 4 * V["hh"].sum(axis=0).max()


# --- codes, sums and what weights stand for: exactly ---


COMPILED = {"O0": (CC, "-O0"), "fused": (CC, "-O1", "-ffp-contract=fast"), "fast": (CC, *FAST), "clang": (CLANG, *FAST)}


@pytest.fixture(scope="module", params=COMPILED)
def inside(request, tmp_path_factory):
    """The functions inside a file."""
    compiler, *flags = COMPILED[request.param]
    if compiler is None:
        pytest.skip("not installed")
    folder = tmp_path_factory.mktemp("inside")
    cgru.export_c(MODELS["tokens_int8_seen"], folder / "model.c")
    cgru.export_c(MODELS["tokens_bfloat16_seen"], folder / "halves.c")
    (folder / "inside.c").write_text("""\
#include "model.c"
float seen(int16_t *codes, int depth, const float *x, int n, float bound);
void sums(float *y, int columns, const float *start, const int16_t *codes, int depth, float scale, const int8_t *w,
          const float *scales);
void row(float *y, int token);
float seen(int16_t *codes, int depth, const float *x, int n, float bound) {
    return encode(codes, depth, x, n, bound);
}
void sums(float *y, int columns, const float *start, const int16_t *codes, int depth, float scale, const int8_t *w,
          const float *scales) {
    multiply_int8(y, columns, start, codes, depth, scale, w, scales);
}
void row(float *y, int token) { layer_0(y, token); }
""")
    (folder / "half.c").write_text("""\
#include "halves.c"
void half_row(float *y, int token);
void half_row(float *y, int token) { layer_0(y, token); }
""")
    built = library(folder, [folder / "inside.c", folder / "half.c"], *flags, compiler=compiler)
    built.seen.restype = ctypes.c_float
    return built


def pointer(a):
    assert a.flags.c_contiguous
    return ctypes.c_void_p(a.ctypes.data)


def codes_of(inside, x, bound=0.0, more=3):
    codes = np.full(len(x) + more, 99, np.int16)
    scale = inside.seen(pointer(codes), len(codes), pointer(x), len(x), ctypes.c_float(bound))
    assert (codes[len(x) :] == 0).all()
    return codes[: len(x)], np.float32(scale)


def test_codes_and_scales_are_those_of_the_definition(inside):
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 16, 33, 300):
        for size in (1e-29, 1e-3, 1, 3e38):
            for bound in (0.0, 0.8, 1e-25, 1e6):
                x = (rng.uniform(-1, 1, n) * size).astype(F4)
                codes, scale = reference.quantize_rows(x[None], bound)
                got, own = codes_of(inside, x, bound)
                np.testing.assert_array_equal(got, codes[0])
                assert own == scale[0, 0]


def test_halves_are_rounded_to_even(inside):
    halves = np.arange(-253, 255, 2, dtype=F4) / 2
    got, scale = codes_of(inside, halves, 127)
    np.testing.assert_array_equal(got, np.rint(halves))
    assert scale == 1
    assert got[:3].tolist() == [-126, -126, -124]


def test_a_product_is_rounded_before_it_becomes_a_code(inside):
    rng = np.random.default_rng(0)
    differed = 0
    for bound in rng.uniform(0.5, 4, 100).astype(F4):
        inverse = np.float32(127) / bound
        near = ((np.arange(-126, 126) + 0.5) / np.float64(inverse)).astype(F4)
        x = np.concatenate([near, np.nextafter(near, F4.type(9)), np.nextafter(near, F4.type(-9))])
        x = x[np.abs(x) <= bound]
        got, _ = codes_of(inside, x, bound)
        np.testing.assert_array_equal(got, reference.quantize_rows(x[None], bound)[0][0])
        differed += (np.rint(x.astype(np.float64) * np.float64(inverse)) != got).sum()
    assert differed > 250  # where it matters


def test_rows_that_are_zero_or_not_finite(inside):
    for row in ([0, 0], [-0.0, 0], [1e-30, 0], [-9e-31, 1e-38], [1e-45, 0], [1.01e-30, -1e-30]):
        for bound in (0.0, 1.5):
            x = np.array(row, F4)
            codes, scale = reference.quantize_rows(x[None], bound)
            got, own = codes_of(inside, x, bound)
            np.testing.assert_array_equal(got, codes[0])
            assert own == scale[0, 0]
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        for bound in (0.0, 1.5):
            got, own = codes_of(inside, np.array([3, value, -1], F4), bound)
            assert got.tolist() == [0, 0, 0]
            assert np.isnan(own)


def test_sums_are_those_of_integers(inside):
    rng = np.random.default_rng(0)
    for rows in (1, 3, 16, 33, 192):
        for columns in range(1, 10):
            codes = rng.integers(-127, 128, rows).astype(np.int16)
            W = rng.integers(-127, 128, (columns, rows)).astype(np.int8)
            start, scales = rng.standard_normal((2, columns)).astype(F4)
            y, zeros, ones = np.full(columns, 7, F4), np.zeros(columns, F4), np.ones(columns, F4)
            arguments = pointer(codes), rows, ctypes.c_float(1), pointer(W)
            inside.sums(pointer(y), columns, pointer(zeros), *arguments, pointer(ones))
            np.testing.assert_array_equal(y, W.astype(int) @ codes)
            arguments = pointer(codes), rows, ctypes.c_float(0.3), pointer(W)
            inside.sums(pointer(y), columns, pointer(start), *arguments, pointer(scales))
            due = start + np.float32(0.3).astype(float) * scales * (W.astype(int) @ codes)
            np.testing.assert_allclose(y, due, rtol=3e-7, atol=3e-7 * np.abs(due).max())


def test_rows_of_a_table_are_exact(inside):
    for name, function in (("tokens_int8_seen", inside.row), ("tokens_bfloat16_seen", inside.half_row)):
        table, y = MODELS[name].layers[0].table, np.empty(5, F4)
        for token, due in enumerate(table):
            function(pointer(y), token)
            np.testing.assert_array_equal(y, due)


# --- steps and sequences ---


@pytest.mark.parametrize("name", BARE[1::3])
def test_a_step_from_the_same_state_is_that_of_the_library(exported, name):
    model, layer = exported(f"layer_{name}"), MODELS[name].layers[0]
    e, u = layer.features, layer.d["u"]
    rng, far = np.random.default_rng(1), []
    for size in (0, 0.1, 1, 1, 1, 1, 3, 10):
        for state in (0, 0.3, 1, 1.5):
            x = (rng.standard_normal(e) * size).astype(F4)
            h = np.clip(rng.standard_normal(u) * state, -2, 2).astype(F4)
            due = layer.predict(x[None, None], h0=h[None])[0].ravel()
            model.state[:u] = h
            got = model.step(x)
            np.testing.assert_array_equal(got, model.state[:u])
            worst = np.abs(got - due).max()
            if worst > 1e-6 * max(1, np.abs(due).max()):
                far.append(worst / np.abs(h).max(initial=1))
    # Of r * hp, which is made within the step, a code may come out another. Otherwise codes are the same.
    assert len(far) <= (0 if layer.reset_after or layer.weights == "bfloat16" else 1)
    assert max(far, default=0) <= flip(layer)


@pytest.mark.parametrize("what", ["sequence", "stream"])
def test_sequences_are_those_of_the_library(exported, what):
    far = {}
    for name, net in MODELS.items():
        model, X = exported(name), inputs(net, F4)
        due = [net.predict(X[None, : t + 1])[0] for t in range(STEPS)]
        due = due[-1] if model.every else np.array(due)
        if what == "stream":
            got = np.array([model.step(x) for x in X])
        else:
            got, due = model.run(X), due if model.every else due[-1]
        assert np.ptp(due) > 0 or due.size == 1
        np.testing.assert_array_equal(np.isnan(got), np.isnan(due))
        if (worst := np.abs(got - due).max()) > 1e-6 * max(1, np.abs(due).max()):
            far[name] = worst
    # What makes a code another in so few steps of so few units is rare.
    assert len(far) <= 2, far
    assert max(far.values(), default=0) <= 0.02, far


@pytest.mark.parametrize("name", [n for n in BARE[1::3] if n.startswith("gru") and "17" in n])
def test_a_stream_gives_the_same_states(exported, name):
    layer = MODELS[name].layers[0]
    model, stream = exported(f"layer_{name}"), cgru.Stream(layer)
    far = [np.abs(model.step(x) - stream.step(x)).max() for x in inputs(layer, F4)]
    assert sum(distance > 2e-6 for distance in far) <= (STEPS // 2 if layer.weights == "int8" else 0)
    assert max(far) <= max(2e-6, flip(layer))


@pytest.mark.parametrize("after", [False, True])
def test_long_sequences_are_no_further_apart_than_a_code(tmp_path, after):
    """See `flip`: where states differ in their last bit, one in some hundred thousand codes is another."""
    net = head(gru(128, F4, reset_after=after), e=40)
    X = np.random.default_rng(0).standard_normal((1, 2000, 40)).astype(F4)
    layer = cgru.quantize(net, calibration=X[:, :100]).layers[0]
    due = layer.predict(X)[0]
    apart = np.abs(made(tmp_path, layer, *FAST).run(X[0]) - due).max()
    assert apart <= flip(layer)
    assert apart <= np.abs(net.layers[0].predict(X)[0] - due).max() / 5  # what quantisation itself changes
    assert flip(layer) < 0.02


@pytest.mark.parametrize("name", ["gru_7_17_int8_seen", "gru_7_17_bfloat16_seen", "gru_7_17_after_int8_measured"])
def test_what_is_not_finite_stays_so(exported, name):
    net = MODELS[name]
    for value in (np.inf, -np.inf, np.nan):
        X, model = inputs(net, F4), exported(name)
        X[4, 2] = value
        due, got = net.predict(X[None])[0], model.run(X)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(due))
        assert np.isnan(due).any() == ("int8" in name or np.isnan(value))  # one gate's infinity is its end


def test_inputs_beyond_what_was_seen(exported):
    for kind in KINDS:
        net, model = MODELS[f"gru_17_100_{kind}_seen"], exported(f"gru_17_100_{kind}_seen")
        X = inputs(net, F4) * F4.type(50)
        assert np.abs(model.run(X) - net.predict(X[None])[0]).max() <= 0.02


def test_a_file_of_a_model_exports_the_same(tmp_path):
    net = MODELS["mixed_seen"]
    net.save(tmp_path / "net.npz")
    for folder, each in (("a", net), ("b", cgru.load(tmp_path / "net.npz"))):
        (tmp_path / folder).mkdir()
        cgru.export_c(each, tmp_path / folder / "model.c")
    assert (tmp_path / "a" / "model.c").read_bytes() == (tmp_path / "b" / "model.c").read_bytes()


# --- the file ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", some(1, ["mixed_seen", "pool_bfloat16_seen", "deep_measured", "pool_int8_seen", "tokens_int8_seen"])
)
def test_nothing_undefined_is_done(tmp_path, name):
    net = MODELS[name]
    X = inputs(net, F4)
    if X.dtype.kind == "f":
        X[3] = np.nan
        X[4] = 1e30
    cgru.export_c(net, tmp_path / "model.c")
    flags = "-g", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"
    compile_c(CC, "-std=c99", *STRICT, *flags, *program(tmp_path, X), "-o", tmp_path / "run")
    done = subprocess.run([tmp_path / "run"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == STEPS * net.layers[-1].d["u"]


@pytest.mark.parametrize("compiler", [(CLANG, "-std=c99"), (CXX, "-x", "c++", "-std=c++11")], ids=["clang", "c++"])
@pytest.mark.slow
def test_compilers_have_nothing_to_say(sources, compiler):
    if compiler[0] is None:
        pytest.skip("not installed")
    compile_c(*compiler, *STRICT, "-fsyntax-only", *sources[compiler[0] == CXX :: 2])


def test_loops_become_vectors(tmp_path):
    """The sums of products, and the codes."""
    cgru.export_c(MODELS["gru_100_33_int8_seen"], tmp_path / "model.c")
    done = subprocess.run(
        [CC, "-O3", "-S", "-fopt-info-vec", "model.c", "-o", "model.s"], cwd=tmp_path, capture_output=True, text=True
    )
    if "loop vectorized" not in done.stderr:
        pytest.skip("a compiler that does not say so")
    lines = (tmp_path / "model.c").read_text().splitlines()
    vectors = {lines[int(line) - 1].strip() for line in re.findall(r"model.c:(\d+):\d+: optimized: loop", done.stderr)}
    assert "for (int k = 0; k < left; k++) {" in vectors
    assert "for (int i = 0; i < n; i++) {" in vectors


def test_weights_are_kept_in_their_bytes(tmp_path):
    for kind, due in (("int8", "int8_t"), ("bfloat16", "uint16_t")):
        cgru.export_c(MODELS[f"gru_17_100_{kind}_seen"], tmp_path / "model.c")
        text = (tmp_path / "model.c").read_text()
        assert f"const {due} inputs_0[" in text
        assert f"const {due} hidden_0[" in text
        scales = "const union { uint32_t bits[300]; real values[300]; } scales_of_inputs_0 = {{"
        assert (scales in text) == (kind == "int8")
        assert "double" not in text
        assert f"activate_reset sigmoid, {kind} weights\n" in text
        assert f"activate tanh, {kind} weights\n" in text


@pytest.mark.parametrize(
    ("dtype", "blocks"),
    [
        (F4, {1: (16, 16), 16: (16, 16), 17: (32, 32), 48: (48, 48), 96: (96, 32), 143: (144, 48), 80: (80, 16)}),
        (np.dtype(np.float64), {1: (8, 8), 9: (16, 16), 24: (24, 24), 32: (32, 32), 40: (40, 8), 72: (72, 24)}),
    ],
)
def test_columns_are_padded_to_vectors_and_cut_into_blocks(dtype, blocks):
    for columns, (padded, block) in blocks.items():
        weights = Weights(dtype)
        assert weights.padded(columns) == padded
        sizes = f"1, {columns}, {padded - columns}"
        assert weights.product("y", 1, columns, "b", "x", 3, "W", 0.0) == (
            f"multiply_{block}(y, {sizes}, b, x, 3, W.values);"
        )
        sums = {8: "abcd", 16: "abcd" if dtype == F4 else "ab"}.get(block, "ab")
        wide = f"FEW({16 // len(sums)}, {block})"
        declared = "\n    ".join(f"real {name}[{wide}];" for name in sums)
        assert f"{declared}\n    int k" in functions(dtype)[f"multiply_{block}"]
    assert ("multiply_int8" in functions(dtype)) == (dtype == F4)


def test_rows_are_padded_where_that_costs_little(tmp_path):
    for rows, depth in (
        (1, 1),
        (24, 24),
        (26, 26),
        (27, 32),
        (32, 32),
        (33, 33),
        (40, 48),
        (41, 48),
        (100, 112),
        (161, 192),
    ):
        cgru.export_c(cgru.quantize(head(gru(4, F4), e=rows)), tmp_path / "model.c")
        text = (tmp_path / "model.c").read_text()
        assert f"int16_t codes[{width(rows, depth)}]" in text
        assert f"const int8_t inputs_0[{width(12 * rows, 12 * depth)}]" in text


def test_tables_are_short():
    values = np.random.default_rng(0).uniform(-0.05, 0.05, 10000)
    text = array("w", values.astype(F4))
    assert len(text) / values.size < 12.2
    assert max(map(len, text.splitlines())) <= 120
    codes = np.random.default_rng(0).integers(-127, 128, 10000).astype(np.int8)
    assert len(array("w", codes)) / codes.size < 4.2
    assert max(map(len, array("w", codes).splitlines())) <= 120


# --- what is refused ---


def changed(weights, layer, p=None, **attributes):
    """A model with such weights, of which a layer has other parameters and attributes; None: it lacks one."""
    net = cgru.quantize(head(gru(7, F4), cgru.Dropout()), weights)
    target = net.layers[layer]
    for key, value in (p or {}).items():
        if value is None:
            del target.p[key]
        else:
            target.p[key] = value
    for key, value in attributes.items():
        setattr(target, key, value)
    return net


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda: changed("int8", 0), {"dtype": np.float64}, "dtype: "),
        (lambda: changed("int8", 0, {"Vz": None}), {}, r"p\['Vz'\] of layer 0: missing; .* \(7, 7\)"),
        (lambda: changed("int8", 0, {"scale_Uz": None}), {}, r"p\['scale_Uz'\] of layer 0: missing"),
        (lambda: changed("int8", 0, {"Vz": np.zeros((7, 7))}), {}, r"p\['Vz'\] of layer 0: "),
        (lambda: changed("int8", 2, {"W": np.zeros((6, 3), np.int8)}), {}, "layer 2: "),
        (lambda: changed("int8", 2, {"b": np.full((1, 3), np.nan)}), {}, r"p\['b'\] of layer 2: "),
        (lambda: changed("bfloat16", 0, {"Vz": np.full((7, 7), 0xFF80, np.uint16)}), {}, r"p\['Vz'\] of layer 0: "),
        (lambda: changed("int8", 0, reverse=True), {}, "expected layers that run a step at a time, got GRU"),
        (
            lambda: cgru.quantize(head(cgru.Bidirectional(gru(3, F4)))),
            {},
            "expected layers that run a step at a time, got Bidirectional",
        ),
        (lambda: changed("int8", 0, activate=np.sin), {}, "activate: "),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(tmp_path, make, options, words):
    with pytest.raises(ValueError, match=words):
        cgru.export_c(make(), tmp_path / "model.c", **options)
    assert os.listdir(tmp_path) == []


def test_float32_may_be_asked_for(tmp_path):
    for dtype in (None, "float32", np.float32):
        cgru.export_c(changed("int8", 0), tmp_path / "model.c", dtype=dtype)
        assert "float *y" in (tmp_path / "model.h").read_text()
