"""C for systems that are not at hand, compiled and linked by Zig, which has their headers (`pip install ziglang`)."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cgru

HERE = Path(__file__).resolve().parent
CORE = HERE.parent.parent / "cgru" / "core"
ZIG = shutil.which("python-zig")
# What runs their programs here; None: nothing.
SYSTEMS = {
    "aarch64-macos": None,
    "x86_64-macos": None,
    "aarch64-windows-gnu": None,
    "x86_64-windows-gnu": "wine",
    "x86_64-linux-musl": "env",
}

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(ZIG is None or not CORE.is_dir(), reason="without Zig, or without the source"),
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_kernels_pool_and_exported_c_compile(tmp_path, system):
    """Without warnings; where the program runs, the pool's results under random delays are right."""
    net = cgru.Network([cgru.GRU(9, reset_after=True), cgru.Dense(3, "softmax")], dtype="float32")
    net.make(np.zeros((1, 5, 4), np.float32))
    cgru.export_c(net, tmp_path / "model.c")
    sources = [HERE / "crew.c", *sorted((CORE / "simd").glob("*.c")), tmp_path / "model.c"]
    command = [ZIG, "cc", "-target", system, "-O0", "-Wall", "-Werror", "-pthread", *sources, "-lm"]
    done = subprocess.run([*command, "-o", tmp_path / "program.exe"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if SYSTEMS[system] is not None and shutil.which(SYSTEMS[system]):
        done = subprocess.run(
            [SYSTEMS[system], tmp_path / "program.exe", "2"], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        lines = [line.split()[:3] for line in done.stdout.splitlines()]
        assert lines == [["0", "0", "1"], ["-1", "0", "1"], ["1", "0", "1"]]
