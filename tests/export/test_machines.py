"""Exported models on other machines, by QEMU, and by other compilers: the bits of this one, and what predict gives."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from export_cases import CC, STRICT, compile_c, every_kind, needs_cc, printed, program
from helpers import some
from machine_cases import IN_GATE, machines

import cgru

TOLERANCE = {"doubles": 1e-14, "int8": 2e-2}  # else 1e-6; a sum of int8 may round at a tie
ZIG = shutil.which("python-zig")
SYSTEMS = ["x86_64-windows-gnu", "aarch64-macos", "wasm32-wasi", "x86_64-linux-musl", "aarch64-linux-musl"]

pytestmark = [pytest.mark.slow, needs_cc]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Each model as C, its program's sources, the bits that it prints here, and what predict gives; None: integers."""
    found = {}
    for name, net, X in every_kind():
        folder = tmp_path_factory.mktemp(name)
        cgru.export_c(net, folder / "model.c")
        sources = program(folder, X)
        compile_c(CC, "-std=c99", "-O2", "-ffp-contract=off", *sources, "-o", folder / "here")
        here = subprocess.run([folder / "here"], capture_output=True, text=True, check=True).stdout
        found[name] = sources, here, None if name.startswith("integers") else net.predict(X[None])[0]
    return found


@pytest.mark.parametrize("machine", machines("-O2", "-O0", gate=(*IN_GATE, "i386", "arm64-with-sve", "riscv64")))
def test_the_numbers_are_those_of_this_machine(tmp_path, models, machine):
    """Each operation is that of IEEE 754; where the compiler may fuse two, within bounds. Nobody has warnings."""
    machine, optimize = machine
    for name, (sources, here, due) in models.items():
        for contract in ("off",) if due is None else ("off", "fast"):
            machine.build(tmp_path / name, sources, optimize, "-std=c99", *STRICT, f"-ffp-contract={contract}")
            done = subprocess.run([*machine.emulator, tmp_path / name], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (name, done.returncode, done.stderr)
            if due is None or (contract == "off" and not machine.fuses):
                assert done.stdout == here, name
            if due is not None:
                got = printed(done.stdout, due.shape[-1])
                worst = np.abs((got if due.ndim == 2 else got[-1]) - due).max()
                assert worst <= TOLERANCE.get(name, 1e-6) * np.abs(due).max(), (name, contract, worst)


@pytest.mark.skipif(ZIG is None, reason="no ziglang")
@pytest.mark.parametrize("system", some(2, SYSTEMS))
def test_compilers_of_other_systems_have_nothing_to_say(tmp_path, models, system):
    """Zig has the headers of them all."""
    command = "cc", "-target", system, "-std=c99", "-O1", *STRICT, "-c"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: compile_c(ZIG, *command, models[name][0][1], "-o", tmp_path / name), models))
