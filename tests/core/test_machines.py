"""The kernels and the pool on other machines, by QEMU, and by other compilers: against the definitions in NumPy."""

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, random_parameters
from machine_cases import MACHINES, machines

import cgru
from cgru import reference
from cgru.activations import CODES
from cgru.quantized import quantized_reference as narrow
from cgru.variant import RESET_AFTER, RESET_BEFORE

HERE = Path(__file__).resolve().parent
CORE = HERE.parent.parent / "cgru" / "core"
LEVELS = ("scalar", "baseline", "avx2", "avx512")
NARROW = (*LEVELS, "baselinedot", "avx2vnni", "avx512vnni")
SIZES = ((1, 1, 1), (1, 7, 17), (2, 33, 5), (3, 4, 65), (9, 130, 33), (17, 5, 7))  # m, k, n
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CORE.is_dir(), reason="the source does not lie beside the tests"),
]


@pytest.mark.parametrize("compiler", ["clang", "gcc-14", "clang-14", "clang-19"])
def test_a_compiler_has_nothing_to_say(compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"without {compiler}")
    sources = [*(CORE / "simd").glob("*.c"), CORE / "thread_pool.c"]
    done = subprocess.run([compiler, "-fsyntax-only", "-Wall", "-Werror", *sources], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Kernels:
    """A process with the kernels of a machine."""

    def __init__(self, machine, optimize, program):
        sources = [HERE / "machine.c", *sorted((CORE / "simd").glob("*.c"))]
        machine.build(program, sources, optimize, f"-I{CORE / 'simd'}")
        self.machine = machine
        self.process = subprocess.Popen([*machine.emulator, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.levels = [name for name in LEVELS if self(name, "offered", 0, 0, 0, 0, dtype="S1").size]
        self.narrow = [name for name in NARROW if self(name, "narrow_offered", 0, 0, 0, 0, dtype="S1").size]

    def __call__(self, level, what, m, k, n, option, *arrays, dtype=np.float32):
        """Return what a kernel makes of arrays, which it gets in the byte order of its machine."""
        request = " ".join(map(str, (level, what, m, k, n, option)))
        given = [array.astype(array.dtype.newbyteorder(self.machine.order)).tobytes() for array in arrays]
        self.process.stdin.write(request.encode() + b"\n" + b"".join(given))
        self.process.stdin.flush()
        size = self.process.stdout.readline()
        assert size, f"{request}: the program ended with {self.process.wait()}"
        dtype = np.dtype(np.float64 if "float64" in what else dtype)
        answer = self.process.stdout.read(int(size))
        return np.frombuffer(answer, dtype.newbyteorder(self.machine.order)).astype(dtype)

    def close(self):
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0


@pytest.mark.parametrize("option", ["-ffast-math", "-mfpmath=387"])
def test_arithmetic_that_exp_does_not_bear_is_refused(option):
    machine = MACHINES["gcc"]
    if machine.missing() or platform.machine() != "x86_64":
        pytest.skip("asks for GCC on x86-64")
    command = [machine.compiler, option, "-E", CORE / "simd" / "levels.c", "-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "compile without -ffast-math, and on 32-bit x86 with -msse2 -mfpmath=sse" in done.stderr


@pytest.fixture(scope="module", params=machines("-O0", "-O2"))
def run(request, tmp_path_factory):
    kernels = Kernels(*request.param, tmp_path_factory.mktemp("machine") / "kernels")
    yield kernels
    kernels.close()


def test_levels(run):
    """The machine runs those levels that its processor has, and no other."""
    due, narrow_due = run.machine.levels, run.machine.narrow
    for levels in (run.levels, run.narrow):
        assert levels[:2] == ["scalar", "baseline"]
    assert not due or (tuple(run.levels), tuple(run.narrow)) == (due, narrow_due)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_activations(run, dtype):
    for level in run.levels:
        x = np.concatenate([np.random.default_rng(0).uniform(-30, 30, 1001), [0, np.inf, -np.inf, np.nan]]).astype(
            dtype
        )
        for f, code in CODES.items():
            options = {"se_hPars": {"LRELU_alpha": 0.3, "ELU_alpha": 0.3}} if f in (cgru.lrelu, cgru.elu) else {}
            due = f(x.astype(np.float64), **options)
            got = run(level, f"activation_{dtype}", 1, 1, x.size, code, x)
            rtol = TOLERANCE[dtype] * (100 if f is cgru.gelu else 1)  # NumPy's own far from zero
            np.testing.assert_allclose(got, due, rtol=rtol, atol=1e-37, err_msg=f.__name__)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products(run, dtype):
    for level in run.levels:
        rng = np.random.default_rng(0)
        for m, k, n in SIZES:
            X, W, b = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (1, n)))
            for chains in (1, 4) if m == 1 else (1,):
                got = run(level, f"product_{dtype}", m, k, n, chains, X, W, b).reshape(m, n)
                assert_close(got, X.astype(np.longdouble) @ W + b, TOLERANCE[dtype], (m, k, n, chains))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_sum_is_rounded_in_one_way(run, dtype):
    """In any number of rows, of weights packed or where they lie: what the compiler fuses must not depend on that."""
    for level in run.levels:
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
def test_steps(run, dtype, variant):
    for level in run.levels:
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


def test_sums_of_int8_are_exact(run):
    """With scales of 1 what comes out is the sum itself."""
    for level in run.narrow:
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
        found = [run(level, "narrow_int8", 8, k, n, bound, W, scale, b, X).reshape(8, n) for level in run.narrow]
        for got in found:
            np.testing.assert_array_equal(np.isnan(got), np.isnan(due))
            finite = ~np.isnan(due)
            assert_close(got[finite], due[finite], 1e-6)
        if "baselinedot" in run.narrow:  # the same instructions for all but the sums
            np.testing.assert_array_equal(*(found[run.narrow.index(name)] for name in ("baseline", "baselinedot")))


def test_products_of_bfloat16(run):
    for level in run.narrow:
        rng = np.random.default_rng(0)
        for m, k, n in SIZES:
            X, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n), (1, n)))
            bits = narrow.bfloat16(W)
            got = run(level, "narrow_bfloat16", m, k, n, 0, bits, np.zeros((1, n), np.float32), b, X).reshape(m, n)
            assert_close(got, X.astype(np.float64) @ narrow.dequantize(bits) + b, 1e-6, (m, k, n))


@pytest.mark.parametrize(
    ("kind", "variant"), [("int8", RESET_AFTER), ("bfloat16", RESET_AFTER), ("bfloat16", RESET_BEFORE)]
)
def test_steps_of_fewer_bytes(run, kind, variant):
    for level in run.narrow:
        rng = np.random.default_rng(0)
        for m, e, u in SIZES:
            p = random_parameters(variant, e, u, np.float32)
            for name in [name for name in p if name[0] in "UV"]:
                if kind == "int8":
                    p[name], p["scale_" + name] = narrow.quantize_columns(p[name])
                else:
                    p[name] = narrow.bfloat16(p[name])
            x, h = (
                rng.standard_normal((m, e)).astype(np.float32),
                np.tanh(rng.standard_normal((m, u))).astype(np.float32),
            )
            due = narrow.forward(p, x[:, None], h, bound=1.0)[:, 0]
            got = run(level, f"narrow_step_{kind}", m, e, u, int(variant.reset_after), *in_order(p, u), x, h)
            assert_close(got.reshape(m, u), due, 1e-6, (m, e, u))


@pytest.mark.parametrize("machine", machines("-O0", "-O2"))
def test_the_pool(tmp_path, machine):
    """Threads share tasks under random delays; an emulator on x86-64 has its order of memory, not the weaker one."""
    machine, optimize = machine
    machine.build(tmp_path / "crew", [HERE / "crew.c"], optimize)
    done = subprocess.run([*machine.emulator, tmp_path / "crew", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr)
    wrong = [line.split()[1] for line in done.stdout.splitlines()]
    assert wrong == ["0", "0", "0"], done.stdout
