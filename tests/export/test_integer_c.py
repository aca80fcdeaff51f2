"""Networks of integers in C: the bits of `predict`, and no operation of floating point."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export_cases import CC, CLANG, CXX, STRICT, compile_c, needs_cc
from integer_cases import F4, LAYERS, codes, integers, streamed

import cgru
from cgru.integer_layer import IntegerLayer

ARM, OBJDUMP, QEMU = (shutil.which(name) for name in ("arm-none-eabi-gcc", "arm-none-eabi-objdump", "qemu-system-arm"))
BOARD = Path(__file__).resolve().parent / "cortex_m4"
needs_arm = pytest.mark.skipif(None in (ARM, OBJDUMP), reason="no arm-none-eabi-gcc")
WRAPPED = """
#include "model.h"
#ifdef __cplusplus
extern "C" {
#endif
void quantize_input(int16_t *integers, const float *x);
void dequantize_output(float *y, const int16_t *integers);
#if !TOKENS
void quantize_input(int16_t *integers, const float *x) { model_quantize_input(integers, x); }
#endif
void dequantize_output(float *y, const int16_t *integers) { model_dequantize_output(y, integers); }
#ifdef __cplusplus
}
#endif
"""
SANITIZED = "-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan"
BUILDS = {
    "gcc": (CC, "-std=c99", "-O3"),
    "plain": (CC, "-std=c99", "-O0", *SANITIZED),
    "clang": (CLANG, "-std=c99", "-O2"),
    "c++": (CXX, "-x", "c++", "-std=c++17", "-O2"),
}


class Model:
    """An exported network of integers in a shared library."""

    def __init__(self, net, folder, *build):
        cgru.export_c(net, folder / "model.c")
        (folder / "wrapped.c").write_text(WRAPPED)
        layers = getattr(net, "layers", (net,))
        self.tokens = "tokens" in layers[0].reads
        flags = f"-DTOKENS={int(self.tokens)}", "-shared", "-fPIC", *STRICT
        compile_c(*build, *flags, folder / "model.c", folder / "wrapped.c", "-o", folder / "model.so")
        self.library = ctypes.CDLL(str(folder / "model.so"))
        header = (folder / "model.h").read_text()
        sizes = dict(re.findall(r"#define MODEL_(\w+) (\d+)", header))
        self.inputs, self.outputs = int(sizes.get("INPUTS", 0)), int(sizes["OUTPUTS"])
        self.state, self.framed = (
            (ctypes.c_int64 * 1024)(*[-1] * 1024),
            "model_finish" in header or any(layer.steps.count for layer in layers),
        )

    def run(self, X):
        """The outputs of the steps X of one sample, as integers and as floats."""
        self.library.model_init(self.state)
        found, y = [], (ctypes.c_int16 * self.outputs)()
        for x in X:
            answer = self.library.model_step(self.state, int(x) if self.tokens else self.integers(x), y)
            if not self.framed or answer == 1:
                found.append(list(y))
        while self.framed and hasattr(self.library, "model_finish") and self.library.model_finish(self.state, y):
            found.append(list(y))
        floats = (ctypes.c_float * self.outputs)()
        self.library.dequantize_output(floats, y)
        return np.array(found), np.array(floats)

    def integers(self, x):
        x, found = (ctypes.c_float * self.inputs)(*x.tolist()), (ctypes.c_int16 * self.inputs)()
        self.library.quantize_input(found, x)
        return found


@needs_cc
@pytest.mark.parametrize(
    "build", ["gcc", "plain", *(pytest.param(each, marks=pytest.mark.slow) for each in ("clang", "c++"))]
)
@pytest.mark.parametrize("name", LAYERS)
def test_the_bits_are_those_of_predict(name, build, tmp_path):
    if BUILDS[build][0] is None:
        pytest.skip(f"no {build}")
    net, X = integers(name)
    model = Model(net, tmp_path, *BUILDS[build])
    for x in (X[0], X[1] if model.tokens else 5 * X[1]):  # the second beyond what calibration met
        found, last = model.run(x)
        assert np.array_equal(found, codes(net, streamed(net, x)))
        A = net.predict(x[None])[0]
        assert np.array_equal(found if net.per_step else found[-1], codes(net, A))
        assert np.array_equal(last, A[-1] if net.per_step else A)


@needs_cc
def test_a_layer_alone(tmp_path):
    layer, X = integers("after")[0].layers[0], np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    found, _ = Model(layer, tmp_path, *BUILDS["gcc"]).run(X)
    assert np.array_equal(found, codes(layer, layer.predict(X[None])[0]))


@needs_cc
def test_inputs_are_rounded_as_in_python(tmp_path):
    net, _ = integers("before")
    model = Model(net, tmp_path, *BUILDS["plain"])
    rng, layer = np.random.default_rng(3), net.layers[0]
    X = np.concatenate(
        [rng.standard_normal((3000, 5)) * 10.0 ** rng.integers(-3, 4, (3000, 5)), np.full((1, 5), np.nan)]
    )
    X = np.concatenate([X, [[np.inf, -np.inf, 0, 1e38, -1e38]]]).astype(np.float32)
    halves = np.arange(-5, 5, 0.5)[:, None] * np.ones(5) / 2.0**layer.x_bits
    X = np.concatenate([X, (halves * net.scale + net.mean).astype(np.float32)])
    due = layer.codes(net.standardized(X[None])[0])
    assert [list(model.integers(x)) for x in X] == due.tolist()
    assert np.abs(due).max() == 2**15 - 1


# What a compiler calls for integers, its own copies of functions, and moves of 64 bits through registers of floats.
CALLED = (
    r"mem(cpy|set|move)|__aeabi_(u?idiv(mod)?|u?ldivmod|lmul|ll?sl|llsr)|__aeabi_uidivmod|__gnu_thumb1_case_\w+|\w+_\d+"
)
MOVES = r"v(ldr|str|mov|ldmia|stmia|push|pop)"
MACHINES = {
    "m0": ("-mcpu=cortex-m0", "-mthumb", "-mfloat-abi=soft"),
    "m4": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
}


@needs_arm
@pytest.mark.parametrize("machine", [pytest.param("m0", marks=pytest.mark.slow), "m4"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_has_no_floating_point(name, machine, tmp_path):
    cgru.export_c(integers(name)[0], tmp_path / "model.c")
    compile_c(
        ARM, *MACHINES[machine], "-std=c99", "-O2", *STRICT, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"
    )
    text = ran(OBJDUMP, "-dr", tmp_path / "model.o")
    called = set(re.findall(r"R_ARM_\w+\s+(\w+)", text)) - set(re.findall(r"^\w+ <(\w+)>:", text, re.MULTILINE))
    assert [each for each in called if not re.fullmatch(CALLED, each)] == []
    assert "<model_step>" in text
    assert [each for each in re.findall(r"\t(v[a-z]+)\S*\t", text) if not re.fullmatch(MOVES, each)] == []


PROGRAM = """
#include "model.h"
#include <stdio.h>
static const int16_t steps[][MODEL_INPUTS] = {{{steps}}};
int main(void) {{
    static model_state state;
    int16_t y[MODEL_OUTPUTS];
    model_init(&state);
    for (unsigned t = 0; t < sizeof steps / sizeof *steps; t++) {{
        model_step(&state, steps[t], y);
        for (int i = 0; i < MODEL_OUTPUTS; i++) printf("%d ", y[i]);
    }}
    return 0;
}}
"""


def ran(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@needs_arm
@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="no qemu-system-arm")
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["before", "after", "stack", "conv", "select"])
def test_the_bits_are_those_of_predict_on_a_cortex_m(name, machine, tmp_path):
    net, X = integers(name)
    cgru.export_c(net, tmp_path / "model.c")
    layer = next(layer for layer in net.layers if hasattr(layer, "x_bits"))
    steps = ("{" + ",".join(map(str, x)) + "}" for x in layer.codes(net.standardized(X[:1]))[0].tolist())
    (tmp_path / "main.c").write_text(PROGRAM.format(steps=",".join(steps)))
    links = "-nostartfiles", "--specs=rdimon.specs", "-T", BOARD / "board.ld", BOARD / "start.c"
    sources = tmp_path / "model.c", tmp_path / "main.c"
    compile_c(ARM, *MACHINES[machine], "-std=c99", "-O2", *sources, *links, "-o", tmp_path / "board.elf")
    board = QEMU, "-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native", "-kernel"
    found = np.array(ran(*board, tmp_path / "board.elf").split(), int)
    assert np.array_equal(found, codes(net, streamed(net, X[0])).ravel())


def test_refused(tmp_path):
    net, X = integers("before")
    for options in ({"dtype": np.float32}, {"weights": "file"}):
        with pytest.raises(ValueError, match=f"^{next(iter(options))}: "):
            cgru.export_c(net, tmp_path / "model.c", **options)
    mixed = cgru.Network([net.layers[0], cgru.Dense(2, **F4)], **F4)
    mixed.predict(X)
    other = IntegerLayer(net.layers[1].layer, 3, net.layers[1].y_bits)
    for layers in (mixed.layers, [net.layers[0], other]):
        with pytest.raises(ValueError, match=r"^net: .*layer 1"):
            cgru.export_c(cgru.Network(layers, "mean_squared_error"), tmp_path / "model.c")
    net.scale[1] = 0
    with pytest.raises(ValueError, match=r"^scale: "):
        cgru.export_c(net, tmp_path / "model.c")
    assert list(tmp_path.iterdir()) == []
