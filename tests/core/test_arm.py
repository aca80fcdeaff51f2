"""The kernels of arm64, where another machine has a compiler for it and QEMU: against the definitions in NumPy."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, random_parameters

import cgru
from cgru import reference
from cgru.activations import CODES
from cgru.quantized import reference as narrow
from cgru.variant import RESET_AFTER, RESET_BEFORE

HERE = Path(__file__).resolve().parent
SIMD = HERE.parent.parent / "cgru" / "core" / "simd"
CC, QEMU = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
LEVELS = ("scalar", "baseline")
NARROW = (*LEVELS, "baselinedot")
WITHOUT_DOT = "cortex-a53"
SIZES = ((1, 1, 1), (1, 7, 17), (2, 33, 5), (3, 4, 65), (9, 130, 33), (17, 5, 7))  # m, k, n
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SIMD.is_dir(), reason="the source does not lie beside the tests"),
    pytest.mark.skipif(None in (CC, QEMU), reason="no aarch64-linux-gnu-gcc, or no qemu-aarch64"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("arm") / "arm"
    sources = [HERE / "arm.c", *sorted(SIMD.glob("*.c"))]
    # not at -O3, which takes nine times as long: the question is what the C says, not what a compiler makes of it
    subprocess.run([CC, "-O0", "-Wall", "-Werror", "-static", f"-I{SIMD}", *sources, "-lm", "-o", path], check=True)
    return path


@pytest.fixture
def run(program):
    """What a kernel makes of arrays: LEVEL WHAT m k n option."""

    def call(level, what, m, k, n, option, *arrays, cpu="max"):
        given = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        command = [QEMU, "-cpu", cpu, program, level, what, *map(str, (m, k, n, option))]
        done = subprocess.run(command, input=given, capture_output=True, timeout=60)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return np.frombuffer(done.stdout, np.float64 if "float64" in what else np.float32)

    return call


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("level", LEVELS)
def test_activations(run, level, dtype):
    x = np.concatenate([np.random.default_rng(0).uniform(-30, 30, 1001), [0, np.inf, -np.inf, np.nan]]).astype(dtype)
    for f, code in CODES.items():
        options = {"se_hPars": {"LRELU_alpha": 0.3, "ELU_alpha": 0.3}} if f in (cgru.lrelu, cgru.elu) else {}
        due = f(x.astype(np.float64), **options)
        got = run(level, f"activation_{dtype}", 1, 1, x.size, code, x)
        np.testing.assert_allclose(got, due, rtol=TOLERANCE[dtype], atol=1e-37, err_msg=f.__name__)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("level", LEVELS)
def test_products(run, level, dtype):
    rng = np.random.default_rng(0)
    for m, k, n in SIZES:
        X, W, b = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (1, n)))
        for chains in (1, 4) if m == 1 else (1,):
            got = run(level, f"product_{dtype}", m, k, n, chains, X, W, b).reshape(m, n)
            assert_close(got, X.astype(np.longdouble) @ W + b, TOLERANCE[dtype], (m, k, n, chains))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("level", LEVELS)
def test_a_sum_is_rounded_in_one_way(run, level, dtype):
    """In any number of rows, of weights packed or where they lie: what the compiler fuses must not depend on that."""
    rng = np.random.default_rng(0)
    for k, n in ((50, 60), (60, 50), (7, 17)):
        X, W, b = (rng.standard_normal(shape).astype(dtype) for shape in ((9, k), (k, n), (1, n)))
        due = run(level, f"product_{dtype}", 9, k, n, 1, X, W, b).reshape(9, n)
        for m, chains in ((1, 1), (2, 1), (3, 1), (1, 0), (2, 0), (3, 0), (4, 0), (9, 0)):
            got = run(level, f"product_{dtype}", m, k, n, chains, X[:m], W, b).reshape(m, n)
            np.testing.assert_array_equal(got, due[:m], f"{m, k, n, chains}")
        due = run(level, f"product_{dtype}", 9, k, n, -1, X, W.T, b).reshape(9, n)
        assert_close(due, X.astype(np.longdouble) @ W + b, TOLERANCE[dtype], (k, n))
        for m in range(1, 9):
            got = run(level, f"product_{dtype}", m, k, n, -1, X[:m], W.T, b).reshape(m, n)
            np.testing.assert_array_equal(got, due[:m], f"{m, k, n}, transposed")


@pytest.mark.parametrize("variant", [RESET_BEFORE, RESET_AFTER], ids=lambda each: each.name)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("level", LEVELS)
def test_steps(run, level, dtype, variant):
    rng = np.random.default_rng(0)
    for _, e, u in SIZES:
        p = random_parameters(variant, e, u, dtype)
        x, h = rng.standard_normal((1, e)).astype(dtype), rng.standard_normal((1, u)).astype(dtype)
        wide = {name: array.astype(np.float64) for name, array in p.items()}
        due = reference.forward(wide, x[:, None].astype(np.float64), h, reset_after=variant.reset_after)["h"][0, 0]
        got = run(level, f"step_{dtype}", 1, e, u, int(variant.reset_after), *in_order(p, u), x, h)
        assert_close(got, due, TOLERANCE[dtype], (e, u))


def in_order(p, u):
    """The parameters as a step reads them, each of narrow weights with its scales."""
    for name in ("Ur", "Uz", "Uhh", "Vr", "Vz", "Vhh"):
        yield p[name]
        if p[name].dtype.kind in "iu":
            yield p.get("scale_" + name, np.zeros((1, u), np.float32))
    for name in ("br", "bz", "bhh", "chh"):
        yield p.get(name, np.zeros((1, u), p["br"].dtype))


@pytest.mark.parametrize("level", NARROW)
def test_sums_of_int8_are_exact(run, level):
    """With scales of 1 what comes out is the sum itself."""
    rng = np.random.default_rng(0)
    one = np.ones
    for m, k, n in (*SIZES, (5, 1001, 9)):
        X, W = rng.integers(-127, 128, (m, k)), rng.integers(-127, 128, (k, n))
        X[0], W[:, 0], W[:, -1] = 127, -127, 127
        given = W.astype(np.int8), one((1, n), np.float32), np.zeros((1, n), np.float32), X.astype(np.float32)
        got = run(level, "narrow_int8", m, k, n, 127, *given)
        np.testing.assert_array_equal(got.reshape(m, n), X @ W)


@pytest.mark.parametrize("bound", [0, 3])
def test_codes_are_the_same_at_all_levels(run, bound):
    """Halves, too, which go to the even code; and rows of zeros, of tiny numbers, and of what is not finite."""
    rng = np.random.default_rng(0)
    for k, n in ((1, 5), (7, 17), (130, 33)):
        X = (rng.standard_normal((8, k)) * 2).astype(np.float32)
        X[1], X[2], X[3, 0], X[4, -1] = 0, 1e-35, np.nan, np.inf
        X[5] = rng.integers(-126, 127, k) + 0.5
        X[5, 0] = 127
        W, scale = narrow.quantize_columns(rng.standard_normal((k, n)))
        b = rng.standard_normal((1, n)).astype(np.float32)
        due = narrow.linear(X, W, scale, b, bound)
        found = [run(level, "narrow_int8", 8, k, n, bound, W, scale, b, X).reshape(8, n) for level in NARROW]
        for got in found:
            np.testing.assert_array_equal(np.isnan(got), np.isnan(due))
            finite = ~np.isnan(due)
            assert_close(got[finite], due[finite], 1e-6)
        np.testing.assert_array_equal(found[1], found[2])  # the same instruction for all but the sums


@pytest.mark.parametrize("level", NARROW)
def test_products_of_bfloat16(run, level):
    rng = np.random.default_rng(0)
    for m, k, n in SIZES:
        X, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n), (1, n)))
        bits = narrow.bfloat16(W)
        got = run(level, "narrow_bfloat16", m, k, n, 0, bits, np.zeros((1, n), np.float32), b, X).reshape(m, n)
        assert_close(got, X.astype(np.float64) @ narrow.dequantize(bits) + b, 1e-6, (m, k, n))


@pytest.mark.parametrize(
    ("kind", "variant"), [("int8", RESET_AFTER), ("bfloat16", RESET_AFTER), ("bfloat16", RESET_BEFORE)]
)
@pytest.mark.parametrize("level", NARROW)
def test_steps_of_fewer_bytes(run, level, kind, variant):
    rng = np.random.default_rng(0)
    for m, e, u in SIZES:
        p = random_parameters(variant, e, u, np.float32)
        for name in [name for name in p if name[0] in "UV"]:
            if kind == "int8":
                p[name], p["scale_" + name] = narrow.quantize_columns(p[name])
            else:
                p[name] = narrow.bfloat16(p[name])
        x, h = rng.standard_normal((m, e)).astype(np.float32), np.tanh(rng.standard_normal((m, u))).astype(np.float32)
        due = narrow.forward(p, x[:, None], h, bound=1.0)[:, 0]
        got = run(level, f"narrow_step_{kind}", m, e, u, int(variant.reset_after), *in_order(p, u), x, h)
        assert_close(got.reshape(m, u), due, 1e-6, (m, e, u))


def test_the_dot_product_is_offered_where_the_processor_has_it(program):
    command = [QEMU, "-cpu", WITHOUT_DOT, program, "baselinedot", "narrow_int8", "1", "1", "1", "1"]
    assert subprocess.run(command, timeout=60).returncode == 4
