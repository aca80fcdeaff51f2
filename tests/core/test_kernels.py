"""Single kernels: the list of all, the choice of the instruction set, and the activations over their whole range."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python
from kernel_list import KERNELS, errors

import cgru
from cgru.activations import CODES, FADING
from cgru.core import kernels


def ulps(got, due, dtype):
    """The error in units of the last place of `dtype`; `due` is in a wider one."""
    spacing = np.spacing(np.abs(due).astype(dtype)).astype(due.dtype)
    return np.abs(got.astype(due.dtype) - due) / spacing


WIDE = np.longdouble if np.finfo(np.longdouble).nmant > 60 else None  # not every machine has a wider type
PAIRS = [pytest.param(np.float32, np.float64, id="float32")]
PAIRS.append(
    pytest.param(np.float64, WIDE, id="float64", marks=pytest.mark.skipif(WIDE is None, reason="no wider type"))
)


@pytest.mark.parametrize(("dtype", "wide"), PAIRS)
def test_activations_to_the_last_places(level, dtype, wide):
    rng = np.random.default_rng(0)
    tiny = np.logspace(-30, 0, 5000)
    x = np.concatenate(
        [rng.uniform(-20, 20, 20000), rng.standard_normal(20000), tiny, -tiny, rng.uniform(-104, -80, 2000)]
    ).astype(dtype)
    if dtype == np.float64:
        x = np.concatenate([x, rng.uniform(-745, -700, 2000)])
    X = x.astype(wide)
    e = np.exp(-np.abs(X))
    exact = {
        cgru.sigmoid: np.where(X < 0, e, 1) / (1 + e),
        cgru.tanh: np.tanh(X),
        cgru.elu: np.where(X > 0, X, np.expm1(np.minimum(X, 0))),
        cgru.softplus: np.maximum(X, 0) + np.log1p(e),
        cgru.silu: X * (np.where(X < 0, e, 1) / (1 + e)),
    }
    for f, due in exact.items():
        got = kernels.activation(CODES[f], 1.0, x)
        normal = np.abs(due) > 800 * np.finfo(dtype).tiny if f is cgru.silu else slice(None)  # and its sigmoid
        assert ulps(got, due, dtype)[normal].max() < (2.5 if f is cgru.silu else 2), f.__name__
    if dtype == np.float32:
        near = np.abs(x) < 13  # whose values are no smaller than normal numbers
        assert ulps(kernels.activation(CODES[cgru.gelu], 0, x[near]), cgru.gelu(X[near]), dtype).max() < 6


# x, gelu(x) and its derivative, of mpmath
GELU = """
-36.5 -2.023824885272318262134e-290 -7.386952538459798702351e-289
-20 -5.507248237212467390151e-88 -1.101436048313346404221e-86
-9.25 -1.038278607197838396006e-19 -9.601594756809312184051e-19
-4 -0.0001266849673324796850151 -0.0005036496612264214858425
-1.75 -0.07010352451167990823283 -0.1109261510825780598367
-0.75 -0.1699705142826511494953 0.0007742782607648956283088
0.5 0.3457312306370065518189 0.867495124656162842525
1 0.8413447460685429485852 1.083315470587686298383
3 2.99595030590510971642 1.011945647204183927
6 5.999999994080474129774 1.000000035468709453902
"""


def test_gelu_far_from_zero(level):
    """Where a square that was rounded would cost digits in the exponential function."""
    x, y, slope = np.array(GELU.split(), float).reshape(-1, 3).T
    np.testing.assert_allclose(kernels.activation(CODES[cgru.gelu], 0, x), y, rtol=10 * np.finfo(float).eps)
    np.testing.assert_allclose(cgru.gelu(x), y, rtol=1e-12)
    np.testing.assert_allclose(cgru.gelu(x, deriv=True), slope, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fading(level, dtype):
    """The factor of a `GRUD`, which is no activation of a layer."""
    x = np.array([-np.inf, -3, -0.0, 0, 1e-30, 0.3, 2, 80, 1e4, np.inf, np.nan, *np.linspace(-1, 20, 22)], dtype)
    got = kernels.activation(FADING, 0.0, x)
    np.testing.assert_allclose(got, np.exp(-np.maximum(x, 0)), rtol=4 * np.finfo(dtype).eps, atol=1e-300)
    np.testing.assert_array_equal(got[:4], 1)
    np.testing.assert_array_equal(got[9:11], [0, np.nan])
    assert got.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_at_the_extremes(level, dtype):
    x = np.array([-np.inf, -1e30, -1e4, 0, 1e4, 1e30, np.inf, np.nan], dtype)
    for f, code in CODES.items():
        got = kernels.activation(code, 0.3, x)
        options = {"se_hPars": {"LRELU_alpha": 0.3, "ELU_alpha": 0.3}} if f in (cgru.lrelu, cgru.elu) else {}
        np.testing.assert_allclose(got, f(x, **options), rtol=1e-6, err_msg=f.__name__)
    np.testing.assert_array_equal(
        np.signbit(kernels.activation(CODES[cgru.tanh], 0, np.array([-0.0, 0.0], dtype))), [1, 0]
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 15, 16, 17, 33])
def test_activation_writes_no_more_than_it_is_given(level, n):
    x = np.linspace(-2, 2, n)
    np.testing.assert_allclose(kernels.activation(CODES[cgru.tanh], 0, x), np.tanh(x), rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, each) for name, kernel in KERNELS.items() for each in kernel.dtypes]
)
@pytest.mark.parametrize(
    "level",
    [kernels.levels()[0], *(pytest.param(each, marks=pytest.mark.slow) for each in kernels.levels()[1:])],
    indirect=True,
)
def test_every_kernel_at_every_level(level, name, dtype):
    """Those of the list that `python -m benchmarks.kernels` tests and times."""
    found = dict(errors(KERNELS[name], level, dtype))
    assert {shape: error for shape, error in found.items() if not error <= 1} == {}


def entries(header, table, listing):
    """The functions of a table of cgru.h, whose kernels are in a list of their own or among its fields."""
    body = re.search(rf"typedef struct {{([^}}]*)}} {table};", header)[1]
    if "kernel_list.h" in body:
        body += listing
    code = re.sub(r"#define([^\n]*\\\n)*[^\n]*|/\*.*?\*/|double \(\*next", "", body, flags=re.DOTALL)
    return re.findall(r"(?:\(\*|\b(?:KERNEL|LOOP)\(\w+, |\bEPILOGUE\()(\w+)", code)


def test_the_functions_of_a_table():
    header = """typedef struct { int size; } other;
typedef struct {
    const char *level;
    /* (*none)(void), or */
    void (*pack)(const void *W,
                 int n);
    #include "kernel_list.h"
    void (*steps[3])(void);
} cgru_kernels;"""
    listing = "#define EPILOGUE(name) \\\n  KERNEL(void, name, (int))\nEPILOGUE(put) KERNEL(void, gates, (int n))\n"
    listing += "LOOP(void, add, (int))\n"
    assert entries(header, "cgru_kernels", listing) == ["pack", "steps", "put", "gates", "add"]


def test_the_list_has_every_entry_of_the_tables():
    folder = Path(__file__).resolve().parents[2] / "cgru/core/simd"
    if not folder.is_dir():
        pytest.skip("the source does not lie beside the tests")
    sources = [(folder / name).read_text(encoding="utf-8") for name in ("cgru.h", "kernel_list.h")]
    due = {
        *entries(sources[0], "cgru_kernels", sources[1]),
        *(f"low_precision.{name}" for name in entries(sources[0], "cgru_low_precision_kernels", sources[1])),
    }
    assert {name for kernel in KERNELS.values() for name in kernel.entries} == due


def run(level):
    return run_python("from cgru.core import kernels; print(kernels.level())", CGRU_SIMD=level)


@pytest.mark.parametrize("name", kernels.levels())
def test_the_environment_forces_a_level(name):
    assert run(name).stdout.strip() == name


def test_an_unknown_level_is_refused():
    done = run("avx1024")
    assert done.returncode != 0
    assert "CGRU_SIMD: expected one of" in done.stderr
    assert "avx1024" in done.stderr
    with pytest.raises(ValueError, match="avx1024"):
        kernels.use_level("avx1024")


def test_the_best_level_comes_first():
    assert kernels.levels()[-1] == "scalar"
    assert run("").stdout.strip() == kernels.levels()[0]
