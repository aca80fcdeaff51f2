"""Random networks as C99, with every warning an error and under ASan and UBSan, against predict."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import cgru
from fuzz.networks import Dice, network, randomise

CC = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wdouble-promotion", "-pedantic", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# A program brings its own sanitizer, beside which that of this process cannot be loaded.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-3}  # of the largest output
QUANTIZED = {"int8": 5e-2, "bfloat16": 1e-3}  # of which codes may be rounded to the one beside

# It runs the steps twice, so that what a reset forgets is seen.
MAIN = """\
#include <stdio.h>
#include "model.h"
static {kind} x[{steps} * {width}];
static {real} dt[{steps}];
static model_state state;
int main(void) {{
    {real} y[MODEL_OUTPUTS];
    if (fread(x, sizeof *x, {steps} * {width}, stdin) != {steps} * {width}) return 2;
    if (fread(dt, sizeof *dt, {steps}, stdin) != {steps}) return 3;
    model_init(&state);
    for (int again = 0; again < 2; again++) {{
        if (again) model_reset(&state);
        for (int t = 0; t < {steps}; t++) {{
            {wait}
            if ({step}) fwrite(y, sizeof *y, MODEL_OUTPUTS, stdout);
        }}
        {finish}
    }}
    return 0;
}}
"""


def case(seed: int) -> str | None:
    """Export a random network, build and run it, and compare; return "refused" where it cannot be C."""
    if CC is None:
        return "without a C compiler"
    dice = Dice(seed)
    tokens, gaps = dice.among((0, False), (0, False), (dice.number(1, 6), False), (0, True))
    net = network(dice, "truncate", tokens, gaps)
    s, e = dice.number(12, 20), dice.number(1, 7)
    X = dice.rng.integers(0, tokens, (1, s)).astype(np.intc) if tokens else dice.normal(1, s, e).astype(net.dtype)
    if gaps:
        X[dice.rng.random(X.shape) < 0.3] = np.nan
    net.make(X)
    randomise(net, dice)
    times = np.cumsum(dice.rng.random((1, s)), axis=1).astype(net.dtype) if gaps else None
    if not tokens and dice.chance(0.3):
        net.mean, net.scale = dice.normal(e).astype(net.dtype), np.exp(dice.normal(e)).astype(net.dtype)
    most, kind = TOLERANCE[net.dtype], dice.among(None, None, *QUANTIZED)
    with tempfile.TemporaryDirectory() as folder:
        try:
            if kind is not None:
                net, most = cgru.quantize(net, kind), QUANTIZED[kind]
                X = X if tokens else X.astype(np.float32)
            cgru.export_c(net, f"{folder}/model.c")
        except (ValueError, TypeError):
            return "refused"
        got = run(Path(folder), net, X, times)
    due = net.predict(cgru.Sequences(X, times=times))[0]
    half, rest = divmod(len(got), 2)
    assert rest == 0, len(got)
    first, second = got[:half], got[half:]
    np.testing.assert_array_equal(first, second, "after a reset")
    first = first if net.per_step else first[-1]
    np.testing.assert_allclose(first, due, rtol=0, atol=most * max(1, np.abs(due).max()), err_msg=repr(net))
    return kind


def run(folder: Path, net: cgru.Network, X: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """Return the outputs (n, k) that the exported program prints."""
    frames = any(layer.steps.count for layer in net.layers)
    tokens = X.ndim == 2
    call = f"model_step(&state, {'x[t]' if tokens else f'x + t * {X.shape[-1]}'}, y)"
    write = "fwrite(y, sizeof *y, MODEL_OUTPUTS, stdout)"
    real = "float" if net.dtype == np.float32 else "double"
    (folder / "main.c").write_text(
        MAIN.format(
            kind="int" if tokens else real, real=real, steps=X.shape[1], width=1 if tokens else X.shape[-1],
            wait="" if times is None else "if (t) model_wait(&state, dt[t]);",
            step=f"{call} == 1" if frames else f"{call} == 0" if tokens else f"({call}, 1)",
            finish=f"while (model_finish(&state, y)) {write};" if frames else "",
        )
    )  # fmt: skip
    build = [CC, *STRICT, *sanitizers(), "-O1", "main.c", "model.c", "-o", "model"]
    done = subprocess.run(build, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    dt = np.zeros(X.shape[1], net.dtype) if times is None else np.diff(times[0], prepend=times[0, :1]).astype(net.dtype)
    given = X.tobytes() + dt.tobytes()
    done = subprocess.run([folder / "model"], input=given, env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-2000:])
    return np.frombuffer(done.stdout, net.dtype).reshape(-1, net.head.d["u"])


@cache
def sanitizers() -> tuple[str, ...]:
    """Return the flags of the sanitizers where the compiler has them, else nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "main.c").write_text("int main(void) { return 0; }\n")
        build = [CC, *SANITIZERS, "main.c", "-o", "main"]
        built = subprocess.run(build, cwd=folder, env=ENVIRONMENT, capture_output=True).returncode == 0
        return SANITIZERS if built and subprocess.run([f"{folder}/main"], env=ENVIRONMENT).returncode == 0 else ()
