"""An exported model on a Cortex-M4, as QEMU imitates it: the numbers are those of this machine, no double is used."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export_cases import CC, STRICT, compile_c, gru, inputs, printed, program, stacked, standardized
from helpers import some

import cgru

ARM, SIZE, SYMBOLS = (shutil.which(f"arm-none-eabi-{tool}") for tool in ("gcc", "size", "nm"))
QEMU = shutil.which("qemu-system-arm")
BOARD = Path(__file__).resolve().parent / "cortex_m4"
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-std=c99", "-O2")
NEWLIB = ("-nostartfiles", "--specs=rdimon.specs", "-T", BOARD / "board.ld", BOARD / "start.c")
F4 = np.dtype(np.float32)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        None in (CC, ARM, QEMU) or not BOARD.exists(), reason="no arm-none-eabi-gcc, or no qemu-system-arm"
    ),
]


def nets():
    """Of each kind of weights, by the name of it."""
    for kind in ("float32", "int8", "bfloat16"):
        yield f"small_{kind}", stacked(F4, gru(24, F4, sequences=False), e=8), kind
        yield f"standardized_{kind}", standardized(F4), kind
        after = gru(33, F4, reset_after=True, zoneout=0.1)
        tokens = cgru.Embedding(40, 7, dtype=F4)
        yield f"tokens_{kind}", stacked(F4, tokens, after, cgru.Pool("last+mean+max"), activate=cgru.softmax), kind
    layers = cgru.Scale(dtype=F4), gru(17, F4), cgru.Clip(-0.5, 0.5), gru(40, F4, activate="elu")
    yield "mixed", stacked(F4, *layers), {1: "bfloat16", 3: "int8"}


NETS = {name: (net, kind) for name, net, kind in nets()}
FIRST = ("small_int8", "standardized_float32", "tokens_int8", "tokens_bfloat16", "mixed")
SOME = some(len(FIRST), sorted(NETS, key=lambda name: name not in FIRST))


def there(folder, sources, *flags):
    """What the sources print on the board."""
    for source in sources:
        compile_c(ARM, *M4, *STRICT, *flags, "-c", source, "-o", source.with_suffix(".o"))
    compile_c(ARM, *M4, *[source.with_suffix(".o") for source in sources], *NEWLIB, "-o", folder / "board.elf")
    board = [QEMU, "-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native", "-kernel"]
    return ran(*board, folder / "board.elf")


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize("name", SOME)
def test_the_numbers_are_those_of_this_machine(tmp_path, name):
    net, kind = NETS[name]
    X = inputs(net, F4)
    if kind != "float32":
        net = cgru.quantize(net, kind, calibration=X[None])
    cgru.export_c(net, tmp_path / "model.c")
    sources = program(tmp_path, X)
    compile_c(CC, "-std=c99", "-O2", "-ffp-contract=off", *sources, "-o", tmp_path / "here")
    k = net.layers[-1].d["u"]
    here = ran(tmp_path / "here")
    assert there(tmp_path, sources, "-ffp-contract=off") == here  # each operation is that of IEEE 754
    fused = printed(there(tmp_path, sources, "-ffp-contract=fast"), k)
    due = net.predict(X[None])[0]
    assert np.abs(fused[-1] - (due[-1] if net.per_step else due)).max() <= (
        1e-6 if kind in ("float32", "bfloat16") else 2e-2
    )
    print(f"\n{name}, model and whole program, with newlib's printf:")
    print(ran(SIZE, tmp_path / "model.o", tmp_path / "board.elf").replace(f"{tmp_path}/", ""))


@pytest.mark.parametrize("name", SOME)
def test_nothing_is_called_but_memcpy_and_memset(tmp_path, name):
    net, kind = NETS[name]
    cgru.export_c(net if kind == "float32" else cgru.quantize(net, kind), tmp_path / "model.c")
    compile_c(ARM, *M4, *STRICT, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o")
    called = {line.split()[-1] for line in ran(SYMBOLS, "-u", tmp_path / "model.o").splitlines()}
    assert called <= {"memcpy", "memset", "memmove", "__aeabi_ul2f"}  # the last makes a float of a count of steps


@pytest.mark.parametrize("kind", ["float32", "int8", "bfloat16"])
def test_weights_lie_in_flash(tmp_path, kind):
    net = stacked(F4, gru(64, F4), e=32)
    cgru.export_c(net if kind == "float32" else cgru.quantize(net, kind), tmp_path / "model.c")
    compile_c(ARM, *M4, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o")
    text, data, bss = map(int, ran(SIZE, tmp_path / "model.o").splitlines()[1].split()[:3])
    weights = (32 + 64) * 3 * 64 + 64 * 3
    assert data == bss == 0
    size = {"float32": 4, "int8": 1, "bfloat16": 2}[kind]
    assert weights * size < text < weights * size + 8000


def test_a_step_takes_no_more_instructions_than_its_goal(capsys):
    """`benchmarks.microcontroller` counts them, and its table says which goal is missed."""
    microcontroller = pytest.importorskip("benchmarks.microcontroller")
    assert microcontroller.main(["--quick"]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.count("| 16 |") == 3 * len(microcontroller.BOARDS)


def test_what_counts_instructions_names_the_tool_that_is_missing(capsys, monkeypatch):
    microcontroller = pytest.importorskip("benchmarks.microcontroller")
    monkeypatch.setattr(microcontroller, "EMULATOR", "no-such-qemu")
    assert microcontroller.main(["--quick"]) == 1
    assert "no-such-qemu: not found" in capsys.readouterr().err
