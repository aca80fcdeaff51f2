"""What the tests of exported models share: compilers, a model in a shared library, and the measure of equality."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import random_layer
from integer_cases import integers

import cgru
from cgru.network import chain

CC = shutil.which("gcc") or shutil.which("cc")
CLANG = shutil.which("clang") or shutil.which("clang-19")
CXX = shutil.which("g++") or shutil.which("c++")
STRICT = ("-Wall", "-Wextra", "-Wdouble-promotion", "-Wconversion", "-Wshadow", "-Werror", "-pedantic")
TOLERANCE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-13}  # of the largest output
STEPS = 9

needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler")


def network(dtype, units=(17, 7), k=3, e=5, activate=cgru.softmax, seed=0, **head):
    """A stack with random, non-zero parameters."""
    sizes = [e, *units]
    grus = [
        random_layer(n, u, seed + i, sequences=i < len(units) - 1, dtype=dtype)
        for i, (n, u) in enumerate(zip(sizes, units, strict=False))
    ]
    dense = cgru.Dense(k, activate, dtype=dtype, **head)
    net = cgru.Network([*grus, dense], loss="mean_squared_error", seed=seed)
    net.predict(np.zeros((1, 1, e)))
    rng = np.random.default_rng(seed)
    for value in dense.p.values():
        value[...] = rng.standard_normal(value.shape) * 0.5
    return net


def standardized(dtype):
    net = network(dtype)
    net.mean, net.scale = np.array([0, 3, -700, 1e5, 1e-9]), np.array([1, 0.1, 20, 3, 1e-8])
    return net


def stacked(dtype, *layers, e=5, seed=0, k=3, activate=cgru.tanh):
    """Any layers below a Dense, with random, non-zero parameters."""
    net = cgru.Network([*layers, cgru.Dense(k, activate, dtype=dtype)], loss="mean_squared_error", seed=seed)
    net.predict(np.zeros((1, 9), int) if "tokens" in layers[0].reads else np.zeros((1, 9, e)))
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        for value in layer.p.values():
            value[...] = rng.standard_normal(value.shape) * (0.9 / np.sqrt(len(value)))
    return net


def gru(u, dtype, sequences=True, **options):
    return cgru.GRU(u, sequences=sequences, dtype=dtype, **options)


def every_kind():
    """Models that have all kinds of layers and of weights between them: the name, the model, and steps for it."""
    F4, F8 = np.dtype(np.float32), np.dtype(np.float64)
    layers = cgru.Frames(3, 2), cgru.Conv1D(7, 3, padding="causal", dtype=F4), cgru.Scale(dtype=F4), cgru.Clip(-0.5, 0)
    joined = cgru.Concatenate([gru(5, F4)], [cgru.Select([2, 0]), cgru.Difference()]), cgru.LayerNorm(dtype=F4)
    pooled = gru(17, F4, learn_h0=True, activate="elu"), cgru.Pool("last+mean+max+sum+attention", 7, dtype=F4)
    net = stacked(F4, *layers, *joined, *pooled, activate=cgru.softmax)
    net.mean, net.scale = np.array([0, 3, -700, 1e5, 1e-9]), np.array([1, 0.1, 20, 3, 1e-8])
    yield "floats", net, inputs(net, F4)
    added = cgru.Add([gru(5, F8)], [cgru.Dense(5, "sigmoid", dtype=F8)]), cgru.Multiply([], [gru(5, F8)])
    after = cgru.Difference(keep=False), gru(9, F8, reset_after=True, zoneout=0.1), cgru.Pool("attention", dtype=F8)
    net = stacked(F8, cgru.GRUD(9, dtype=F8, sequences=True), *added, *after)
    X = inputs(net, F8)
    X[2:4, 0] = np.nan
    yield "doubles", net, X
    activations = (cgru.Activation(name) for name in ("gelu", "silu", "softplus", "lrelu", "relu"))
    net = stacked(F4, cgru.SwitchingGRU(7, 11, sequences=True, dtype=F4), *activations, activate=cgru.log_softmax)
    yield "switching", net, inputs(net, F4)
    for kind in ("int8", "bfloat16"):
        grus = gru(24, F4, reset_after=kind == "int8"), cgru.Activation("tanh"), gru(17, F4)
        net = stacked(F4, cgru.Embedding(40, 7, dtype=F4), *grus)
        yield kind, cgru.quantize(net, kind, calibration=inputs(net, F4)[None]), inputs(net, F4)
    for name in ("all", "tokens"):
        net, X = integers(name)
        if X.ndim == 3:
            X = next(each for each in net.layers if hasattr(each, "x_bits")).codes(net.standardized(X))
        yield f"integers_{name}", net, X[0].astype(np.int16 if X.ndim == 3 else np.intc)


def compile_c(compiler, *arguments):
    done = subprocess.run([compiler, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Exported:
    """A model in a shared library."""

    def __init__(self, library, name, net, dtype, weights=None):
        layers = getattr(net, "layers", (net,))
        self.dtype = dtype or np.dtype(np.float64)
        self.k = chain.shape_of(layers)[-1]
        self.every = net.per_step if layers[0] is not net else net.sequences
        self.tokens = "tokens" in layers[0].reads
        self._init, self._reset, self._step, self._run = (
            getattr(library, f"{name}_{what}") for what in ("init", "reset", "step", "run")
        )
        self._init.restype = ctypes.c_int if weights else None
        self._reset.restype, self.weights = None, weights and aligned(weights)
        self._wait = getattr(library, f"{name}_wait", None)
        self._step.restype = self._run.restype = ctypes.c_int if self.tokens else None
        self.state = np.full(4096, np.nan, self.dtype)  # more than any of the structs; init makes it zero
        self.init()

    def init(self):
        given = (self.weights.ctypes.data, len(self.weights)) if self.weights is not None else ()
        assert not self._init(self._pointer(self.state), *map(ctypes.c_size_t, given))

    def reset(self):
        self._reset(self._pointer(self.state))

    def wait(self, dt):
        """The next step comes `dt` after the last."""
        kind = ctypes.c_float if self.dtype == np.float32 else ctypes.c_double
        self._wait.restype = None
        self._wait(self._pointer(self.state), kind(dt))

    def _pointer(self, array):
        assert array.dtype == (self.dtype if array.dtype.kind == "f" else np.intc)
        assert array.flags.c_contiguous
        return ctypes.c_void_p(array.ctypes.data)

    def step(self, x, answer=0):
        y = np.full(self.k, 7, self.dtype)
        x = int(x) if self.tokens else self._pointer(x)
        assert self._step(self._pointer(self.state), x, self._pointer(y)) == (answer if self.tokens else None)
        return y

    def run(self, X, answer=0):
        y = np.full((len(X), self.k) if self.every else self.k, 7, self.dtype)
        got = self._run(self._pointer(self.state), self._pointer(X), ctypes.c_size_t(len(X)), self._pointer(y))
        assert got == (answer if self.tokens else None)
        return y


def aligned(data, offset=0):
    """Bytes at an address that is `offset` past a multiple of 64."""
    room = np.empty(len(data) + 64 + offset, np.uint8)
    made = room[-room.ctypes.data % 64 + offset :][: len(data)]
    made[...] = np.frombuffer(data, np.uint8)
    return made


def inputs(net, dtype, seed=5):
    """Steps of the model `net`, as it takes them."""
    rng, layers = np.random.default_rng(seed), getattr(net, "layers", (net,))
    if "tokens" in layers[0].reads:
        return rng.integers(0, layers[0].d["v"], STEPS, np.intc)
    X = rng.standard_normal((STEPS, net.features))
    if getattr(net, "mean", None) is not None:
        X = X * net.scale + net.mean
    return X.astype(dtype)


def library(folder, sources, *flags, compiler=CC):
    target, objects = folder / "models.so", [folder / f"{source.stem}.o" for source in sources]
    undefined = ("-Wl,--no-undefined",) if sys.platform == "linux" else ()  # nor is libm needed

    def compile_one(source, made):
        compile_c(compiler, "-c", "-fPIC", "-std=c99", *STRICT, *flags, source, "-o", made)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    compile_c(compiler, "-shared", *flags, *undefined, *objects, "-o", target)
    return ctypes.CDLL(str(target))


def made(tmp_path, net, *flags, **options):
    """One model, exported, built and loaded."""
    cgru.export_c(net, tmp_path / "model.c", **options)
    built = library(tmp_path, [tmp_path / "model.c"], *flags)
    dtype = np.dtype(options.get("dtype", getattr(net, "dtype", None) or net.layers[0].dtype))
    return Exported(built, options.get("name", "model"), net, dtype)


def assert_equal(got, due, dtype, tolerance=None):
    np.testing.assert_array_equal(np.isnan(got), np.isnan(due))
    assert got.shape == due.shape
    worst = np.nanmax(np.abs(got.astype(np.float64) - due), initial=0)
    assert worst <= (tolerance or TOLERANCE[np.dtype(dtype)]) * np.nanmax(np.abs(due), initial=0), worst


def program(folder, X, name="model"):
    """The sources of a program that prints the outputs after each step of X, as bits: the model and its `main`."""
    header = (folder / f"{name}.h").read_text()
    real, finish = re.search(r"_step\(.*?(\w+) \*y\);", header)[1], f"{name}_finish"
    finish = f"{finish}(&state, y)" if finish in header else "0"
    tokens, size = X.ndim == 1, {"int16_t": 2, "float": 4, "double": 8}[real]
    dtype = np.int16 if size == 2 else f"f{size}"
    words = [str(x) for x in X] if tokens else [hex(word) for word in X.astype(dtype).view(f"u{size}").ravel()]
    kind = f"static const {'int' if tokens else f'uint{8 * size}_t'} given[] = {{{', '.join(words)}}};"
    read = (
        "int x = given[t];"
        if tokens
        else f"{real} x[{X[0].size}];\n            memcpy(x, given + t * {X[0].size}, sizeof x);"
    )
    (folder / "main.c").write_text(f"""\
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "{name}.h"
{kind}
static {name}_state state;
int main(void) {{
    {real} y[{name.upper()}_OUTPUTS] = {{0}};
    {name}_init(&state);
    for (int t = 0; t < {len(X)} || {finish}; t++) {{
        if (t < {len(X)}) {{
            {read}
            {name}_step(&state, x, y);
        }}
        for (int i = 0; i < {name.upper()}_OUTPUTS; i++) {{
            uint{8 * size}_t word;
            memcpy(&word, y + i, sizeof word);
            printf("%0{2 * size}" PRIx{8 * size} "\\n", word);
        }}
    }}
    return 0;
}}
""")
    return folder / "main.c", folder / f"{name}.c"


def printed(text, k):
    """The outputs (steps, k) that such a program printed."""
    words = text.split()
    size = len(words[0]) // 2
    return np.array([int(word, 16) for word in words], f"u{size}").view(f"f{size}").reshape(-1, k)
