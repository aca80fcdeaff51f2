"""Exported models on other machines, by QEMU, and by other compilers: the bits of this one, and what predict gives."""

import subprocess

import numpy as np
import pytest
from export_cases import CC, STRICT, compile_c, gru, inputs, needs_cc, network, printed, program, stacked, standardized
from machine_cases import IN_GATE, machines

import cgru

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)
TOLERANCE = {"float32": 1e-6, "float64": 1e-14, "bfloat16": 1e-6, "int8": 2e-2}  # int8: a sum may round at a tie

pytestmark = [pytest.mark.slow, needs_cc]


def nets():
    """By name: the network, and the kind of its weights."""
    for dtype in (F4, F8):
        yield f"after_{dtype}", stacked(dtype, gru(33, dtype, reset_after=True, zoneout=0.1), gru(7, dtype)), dtype.name
    yield "standardized", standardized(F4), "float32"
    norm = cgru.LayerNorm(dtype=F8), gru(9, F8, learn_h0=True), cgru.Clip(-0.5, 0.5), gru(5, F8, activate="elu")
    yield "between", stacked(F8, *norm, cgru.Pool("attention+max", 4, dtype=F8)), "float64"
    yield "fading", stacked(F4, cgru.GRUD(9, dtype=F4, sequences=True), gru(5, F4), activate=cgru.softmax), "float32"
    for kind in ("int8", "bfloat16"):
        yield kind, network(F4, (24, 17)), kind
    tokens = cgru.Embedding(40, 7, dtype=F4), gru(17, F4, reset_after=True), cgru.Pool("last+mean")
    yield "tokens", stacked(F4, *tokens), "int8"


NETS = {name: (net, kind) for name, net, kind in nets()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Each model as C, its program's sources, the bits that it prints here, and what predict gives."""
    found = {}
    for name, (net, kind) in NETS.items():
        folder, dtype = tmp_path_factory.mktemp(name), F8 if kind == "float64" else F4
        X = inputs(net, dtype)
        if name == "fading":
            X[2:4, 0] = np.nan
        if kind in ("int8", "bfloat16"):
            net = cgru.quantize(net, kind, calibration=X[None])
        cgru.export_c(net, folder / "model.c")
        sources = program(folder, net, X, dtype=dtype)
        compile_c(CC, "-std=c99", "-O2", "-ffp-contract=off", *sources, "-o", folder / "here")
        here = subprocess.run([folder / "here"], capture_output=True, text=True, check=True).stdout
        found[name] = sources, here, net.predict(X[None])[0], kind
    return found


@pytest.mark.parametrize("machine", machines("-O2", "-O0", gate=(*IN_GATE, "arm64-with-sve")))
def test_the_numbers_are_those_of_this_machine(tmp_path, models, machine):
    """Each operation is that of IEEE 754; where the compiler may fuse two, within bounds. Nobody has warnings."""
    machine, optimize = machine
    for name, (sources, here, due, kind) in models.items():
        for contract in ("off", "fast"):
            machine.build(tmp_path / name, sources, optimize, "-std=c99", *STRICT, f"-ffp-contract={contract}")
            done = subprocess.run([*machine.emulator, tmp_path / name], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (name, done.returncode, done.stderr)
            if contract == "off" and not machine.fuses:
                assert done.stdout == here, name
            got = printed(done.stdout, due.shape[-1])
            worst = np.abs((got if due.ndim == 2 else got[-1]) - due).max()
            assert worst <= TOLERANCE[kind] * np.abs(due).max(), (name, contract, worst)
