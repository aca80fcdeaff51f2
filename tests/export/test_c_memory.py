"""The bytes of constants, state and stack that a header names are those of a Cortex-M."""

import dataclasses
import re
import shutil
import subprocess

import numpy as np
import pytest
from export_cases import gru, stacked, standardized
from helpers import some
from integer_cases import integers

import cgru
from cgru.export import c_memory

ARM, SYMBOLS, QEMU = map(shutil.which, ("arm-none-eabi-gcc", "arm-none-eabi-nm", "qemu-system-arm"))
F4, F8 = map(np.dtype, (np.float32, np.float64))

no_arm = pytest.mark.skipif(None in (ARM, SYMBOLS, QEMU), reason="no arm-none-eabi-gcc, or no qemu-system-arm")


def nets():
    for dtype in (F4, F8):
        of = {"dtype": dtype}
        after = gru(33, dtype, reset_after=True, zoneout=0.1, learn_h0=True)
        attention = cgru.Pool("last+mean+max+attention", 7, **of)
        joined = cgru.Concatenate([gru(5, dtype)], [cgru.Difference()])
        elementwise = cgru.Dense(30, "gelu", **of), cgru.LayerNorm(**of), gru(9, dtype), cgru.Activation("softplus")
        for name, net in {
            "plain": stacked(dtype, gru(24, dtype, sequences=False), e=8),
            "standardized": standardized(dtype),
            "after": stacked(dtype, after, gru(7, dtype), e=8, activate=cgru.softmax),
            "frames": stacked(dtype, cgru.Frames(3, 2), gru(9, dtype), cgru.Frames(2, 1, (1, 0)), gru(4, dtype)),
            "conv": stacked(dtype, cgru.Conv1D(7, 3, dilation=2, **of), cgru.Clip(-0.5, 2), gru(6, dtype)),
            "branches": stacked(dtype, joined, gru(4, dtype), attention, activate=cgru.log_softmax),
            "tokens": stacked(dtype, cgru.Embedding(40, 7, **of), gru(33, dtype), cgru.Pool("mean")),
            "switching": stacked(dtype, cgru.SwitchingGRU(7, 11, **of)),
            "elementwise": stacked(dtype, cgru.Embedding(40, 7, **of), *elementwise),
            "gaps": stacked(dtype, cgru.GRUD(6, **of)),
        }.items():
            yield f"{name}_{dtype}", net
    for kind in ("int8", "bfloat16"):
        yield kind, cgru.quantize(stacked(F4, gru(24, F4), cgru.Pool("mean"), e=8), kind)
        yield f"{kind}_after", cgru.quantize(stacked(F4, gru(33, F4, reset_after=True), gru(7, F4), e=8), kind)
    for name in ("before", "after", "stack", "tokens", "pools", "frames", "conv", "select"):
        yield f"integers_{name}", integers(name)[0]


CODE = """\
static const int8_t table[3] = {1, 2, 3};
static ALIGNED const union { uint32_t bits[WIDTH(2, 8)]; real values[WIDTH(2, 8)]; } weights = {0};
static real deep(real x) {
    real a[4];
    int16_t b[2 * 3 + 1];
    other c[9];
    real d = x; /* real e[9]; */
    return d;
}
static void shallow(void) {
    ALIGNED real a[FEW(2, 16)];
}
static void advance_here(model_state *state) {
    real a[WIDTH(3, 16)];
    deep(a[0]);
    shallow();
}
static void put_here(const model_state *state, real *y) {
    real a[17];
}
"""


@pytest.mark.parametrize(("kind", "beside"), [("float", 400), ("double", 896)])
def test_what_is_counted_of_c(kind, beside):
    size = 4 if kind == "float" else 8
    assert c_memory.constants(CODE, kind) == 3 + 4 * 2
    assert c_memory.constants(f"#define PADDED\n{CODE}", kind) == 3 + 4 * 8
    for padded, deepest in (("", 17 * size), ("#define PADDED\n", max(17 * size, 16 * size + 4 * size + 7 * 2))):
        assert c_memory.stack(padded + CODE, kind) == (deepest + beside, deepest)
    longer = CODE.replace("a[17]", "a[1]")
    assert c_memory.stack(longer, kind)[1] == 3 * size + 4 * size + 7 * 2


def test_members_of_a_state_lie_at_multiples_of_their_size():
    assert c_memory.state("int a; /* h */ int16_t b[3]; int c;", "float") == 4 + 6 + 2 + 4
    assert c_memory.state("int a;\n    double b[2 * 3];\n    int16_t c;", "double") == 8 + 48 + 8
    assert c_memory.state("int64_t a; const struct model_weights *weights;", "float") == 8 + 8


NETS = dict(nets())
FIGURES = r"constants (\d+).*; a state (\d+); stack of\s+\* model_step (\d+) at most .* arrays (\d+)\."


@no_arm
@pytest.mark.slow
@pytest.mark.parametrize("name", some(8, [*NETS]))
def test_the_header_names_constants_state_and_a_bound_of_the_stack(tmp_path, name):
    microcontroller = pytest.importorskip("benchmarks.microcontroller")
    source = tmp_path / "model.c"
    cgru.export_c(NETS[name], source)
    constants, state, stack, arrays = map(int, re.search(FIGURES, source.with_suffix(".h").read_text()).groups())
    board, slack = microcontroller.BOARDS["M4"], 750 if name.endswith("float64") else 350
    for options in (board.options, ("-mcpu=cortex-m0", "-mfloat-abi=soft"), (*board.options, "-Os")):
        cost = microcontroller.measured(source, dataclasses.replace(board, options=options))
        assert cost.state == state
        assert cost.stack <= stack <= 1.5 * cost.stack + slack, (cost.stack, arrays, stack, options)
    subprocess.run([ARM, "-mthumb", *board.options, "-O0", "-c", source, "-o", tmp_path / "model.o"], check=True)
    symbols = subprocess.run([SYMBOLS, "-S", tmp_path / "model.o"], capture_output=True, text=True, check=True).stdout
    assert sum(int(size, 16) for size in re.findall(r" (\w+) [rR] (?!\.)", symbols)) == constants


def test_the_header_names_the_bytes_of_a_file_of_weights(tmp_path):
    cgru.export_c(NETS["plain_float32"], tmp_path / "model.c", weights="file")
    header = (tmp_path / "model.h").read_text()
    assert f"and {(tmp_path / 'model.weights').stat().st_size} of the file of weights; a state {4 * 24 + 4};" in header
    assert "constants 16," in header
