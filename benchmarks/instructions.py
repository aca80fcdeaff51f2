"""Count the instructions of some forty calls, so that one that became slower is noticed on a busy machine, too.

    python -m benchmarks.instructions              compare with the figures of instructions.json
    python -m benchmarks.instructions --accept     take today's counts as the figures, on purpose

Each call runs in a process of its own under valgrind's cachegrind at the AVX2 level, n and 2 n times. The difference is
what n calls take, without the start. Counts depend on the compiler, Python and NumPy: figures are kept by their
versions, and where there are none nothing is counted.
Run as a file, `PYTHONPATH=/old/build python benchmarks/instructions.py`, it takes the `cgru` of that folder.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[int], object]  # makes the call so many times
Case = tuple[int, Callable[[], Run]]  # n, and what prepares the call

FIGURES = Path(__file__).with_name("instructions.json")
MOST = 0.05  # of a figure
PROCESSES = 2
LEVEL = "avx2"
WARM = 2  # calls before those that are counted
HERE = {"CGRU_SIMD": LEVEL, "CGRU_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


# --- the calls ---


def cases() -> dict[str, Case]:
    """Return the calls by their names."""
    float64, after, norm = {"dtype": "float64"}, {"reset_after": True}, {"layer_norm": True}
    batch, lanes = (17, 10, 12, 40), (40, 10, 3, 5)
    return {
        "step": (1000, partial(steps, 16, 32)),
        "step, float64": (1000, partial(steps, 16, 32, **float64)),
        "step, reset after": (1000, partial(steps, 16, 32, **after)),
        "step, layer norm": (1000, partial(steps, 16, 32, **norm)),
        "step of 5": (300, partial(steps, 16, 32, 5)),
        "step of 5, resets": (300, partial(steps, 16, 32, 5, resets=np.array([0, 1, 0, 0, 1], bool))),
        "step of 5, decay": (300, partial(steps, 16, 32, 5, decay=np.linspace(0, 1, 5, dtype=np.float32))),
        "step of a network": (300, network_steps),
        "step, int8": (300, partial(network_steps, "int8")),
        "step, bfloat16": (300, partial(network_steps, "bfloat16")),
        "inference, nothing": (300, partial(inference, (1, 1, 1, 1))),
        "inference, one sample": (30, partial(inference, (1, 40, 16, 32))),
        "inference, one sample, float64": (30, partial(inference, (1, 40, 16, 32), **float64)),
        "inference, few samples": (30, partial(inference, (3, 20, 16, 32))),
        "inference, few units": (30, partial(inference, lanes)),
        "inference, wide": (30, partial(inference, (5, 5, 200, 24))),
        "inference, narrow": (30, partial(inference, (17, 10, 1, 40))),
        "inference, batch": (10, partial(inference, batch)),
        "inference, batch, float64": (10, partial(inference, batch, **float64)),
        "inference, batch, reset after": (10, partial(inference, batch, **after)),
        "inference, batch, layer norm": (10, partial(inference, batch, **norm)),
        "inference, int8": (10, partial(predictions, "int8")),
        "training, nothing": (100, partial(training, (1, 1, 1, 1))),
        "training, one sample": (10, partial(training, (1, 40, 16, 32))),
        "training, few samples": (10, partial(training, (3, 20, 16, 32))),
        "training, few units": (10, partial(training, lanes)),
        "training, few units, float64": (10, partial(training, lanes, **float64)),
        "training, wide": (10, partial(training, (5, 5, 200, 24))),
        "training, few units, wide": (5, partial(training, (40, 10, 133, 1))),
        "training, narrow": (5, partial(training, (17, 10, 1, 40))),
        "training, batch": (5, partial(training, batch)),
        "training, batch, float64": (5, partial(training, batch, **float64)),
        "training, batch, reset after": (5, partial(training, batch, **after)),
        "training, batch, layer norm": (5, partial(training, batch, **norm)),
        "training, batch, learned h0": (5, partial(training, batch, learn_h0=True)),
        "training, batch, ragged": (5, partial(training, batch, ragged=True)),
        "training, batch, masks": (5, partial(training, batch, dropout=0.2, recurrent_dropout=0.2, zoneout=0.1)),
        "training, both directions": (5, both_directions),
        "gradients of each sample": (10, partial(sample_gradients, batch)),
        "gradients of each sample, few units": (10, partial(sample_gradients, lanes)),
        "fit": (5, fits),
        "epoch, few units": (5, partial(epochs, 5)),
        "epoch": (3, partial(epochs, 24)),
        "epoch, ragged, validated": (3, partial(epochs, 12, ragged=True, validation=0.25)),
        "epoch, resets": (3, partial(epochs, 24, resets=True)),
        "epoch, gaps": (3, partial(epochs, 24, gaps=True)),
        "epoch, one batch": (30, one_batch),
        "epoch, batches handed out": (3, partial(epochs, 5, batches=True)),
        "epoch, loop": (3, partial(epochs, 5, metrics={"zero": lambda y, p: 0.0}, validation=0.25)),
        "job of many fits": (3, jobs),
        "predict of a network": (30, partial(predictions, "")),
        "evaluate of a network": (30, evaluations),
    }


def repeat(call: Callable[[], object]) -> Run:
    def run(n: int) -> None:
        for _ in range(n):
            call()

    return run


def layer(shape: tuple[int, ...], dtype: str, **options: Any) -> tuple[Any, np.ndarray]:
    """Return a layer of the shape m, s, e, u, and inputs."""
    import cgru

    m, s, e, u = shape
    gru = cgru.GRU(u, sequences=True, rng=0, dtype=dtype, **options)
    gru.compute_shapes(np.empty((m, s, e)))
    gru.initialize_parameters()
    return gru, np.random.default_rng(1).standard_normal((m, s, e)).astype(dtype)


def steps(e: int, u: int, m: int = 1, dtype: str = "float32", **options: Any) -> Run:
    import cgru

    given = {name: options.pop(name) for name in ("resets", "decay") if name in options}
    gru, X = layer((m, 1, e, u), dtype, **options)
    stream, x = cgru.Stream(gru, batch=m), X[0, 0] if m == 1 else X[:, 0].copy()
    return repeat(lambda: stream.step(x, **given)) if given else repeat(lambda: stream.step(x))


def network(u: int = 24, s: int = 8) -> Any:
    """Return a network, fitted a little, so that it can be quantised."""
    import cgru

    net = cgru.Network([cgru.GRU(u, sequences=True), cgru.GRU(u), cgru.Dense(4, "softmax")], seed=0, dtype="float32")
    X = np.random.default_rng(2).standard_normal((8, s, 12), np.float32)
    net.fit(X, np.arange(8) % 4, epochs=1, batch_size=8)
    return net


def quantized(kind: str) -> Any:
    import cgru

    return cgru.quantize(network(), kind) if kind else network()


def network_steps(kind: str = "") -> Run:
    import cgru

    stream, x = cgru.Stream(quantized(kind)), np.linspace(-1, 1, 12, dtype=np.float32)
    return repeat(lambda: stream.step(x))


def predictions(kind: str) -> Run:
    net, X = quantized(kind), np.random.default_rng(3).standard_normal((5, 8, 12), np.float32)
    return repeat(lambda: net.predict(X))


def evaluations() -> Run:
    net, X = network(), np.random.default_rng(3).standard_normal((5, 8, 12), np.float32)
    return repeat(lambda: net.evaluate(X, np.arange(5) % 4))


def inference(shape: tuple[int, ...], dtype: str = "float32", **options: bool) -> Run:
    gru, X = layer(shape, dtype, **options)
    return repeat(lambda: gru.predict(X))


def training(shape: tuple[int, ...], dtype: str = "float32", ragged: bool = False, **options: Any) -> Run:
    gru, X = layer(shape, dtype, **options)
    lengths = np.arange(len(X)) % X.shape[1] + 1 if ragged else None
    return trained(gru, X, np.ones((*X.shape[:2], shape[3]), X.dtype), lengths)


def sample_gradients(shape: tuple[int, ...]) -> Run:
    gru, X = layer(shape, "float32")
    ran = gru.run(X)
    ran.backward(np.ones_like(ran.A))
    return repeat(lambda: ran.gradients(each=True))


def both_directions() -> Run:
    import cgru

    _, X = layer((17, 10, 12, 1), "float32")
    both = cgru.Bidirectional(cgru.GRU(16, sequences=True, rng=0, dtype="float32"))
    return trained(both, X, np.ones((17, 10, 32), X.dtype), None)


def trained(layer: Any, X: np.ndarray, dA: np.ndarray, lengths: np.ndarray | None) -> Run:
    def call() -> None:
        layer.forward(X, lengths)
        layer.backward(dA)
        layer.compute_gradients()

    return repeat(call)


def classifier(u: int, gaps: bool = False) -> tuple[Any, np.ndarray, np.ndarray]:
    import cgru

    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((40, 8, 3), np.float32), rng.integers(0, 3, 40)
    if gaps:
        X[rng.random(X.shape) < 0.5] = np.nan
    first = cgru.GRUD(u) if gaps else cgru.GRU(u)
    return cgru.Network([first, cgru.Dense(3, "softmax")], seed=0, dtype="float32"), X, y


def fits() -> Run:
    """A fit of one epoch: its checks and preparations."""
    net, X, y = classifier(5)
    return repeat(lambda: net.fit(X, y, epochs=1, batch_size=8))


def epochs(
    u: int, ragged: bool = False, batches: bool = False, resets: bool = False, gaps: bool = False, **options: Any
) -> Run:
    """Epochs of one fit; with `batches` of a list of them, with `gaps` of a `GRUD`."""
    import cgru

    net, X, y = classifier(u, gaps)
    if resets:
        begins = np.arange(X.shape[0] * X.shape[1]).reshape(X.shape[:2]) % 9 == 4
        if hasattr(cgru, "Sequences"):
            X = cgru.Sequences(X, resets=begins)
        else:  # an older build
            options["resets"] = begins
    if batches:
        given = [(X[start : start + 8], y[start : start + 8]) for start in range(0, len(X), 8)]
        return lambda n: net.fit(given, epochs=n)
    lengths = np.arange(len(X)) % X.shape[1] + 1 if ragged else None
    return lambda n: net.fit(X, y, lengths=lengths, epochs=n, batch_size=8, **options)


def one_batch() -> Run:
    """Epochs of one small batch with a class at each step: what they cost around the update."""
    import cgru

    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((41, 5, 11), np.float32), rng.integers(0, 2, (41, 5))
    net = cgru.Network([cgru.GRU(22, sequences=True), cgru.Dense(2, "softmax")], seed=0, dtype="float32")
    return lambda n: net.fit(X, y, epochs=n, batch_size=41)


def jobs() -> Run:
    """Jobs of one call of `fit_many`, whose data and preparations are shared."""
    import cgru

    _, X, y = classifier(1)
    job = cgru.Job(lambda: classifier(5)[0], rows=slice(0, 30), test_rows=slice(30, 40), epochs=2, batch_size=8)
    return lambda n: cgru.fit_many([job] * n, X, y, threads=1)


# --- counting ---


def in_a_child(function: Callable[[], object]) -> int:
    """Run the function in a fork of this process, and return the fork's number.

    Raises:
        RuntimeError: the fork failed; what it had to say is on standard error.
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            function()
            status = 0
        except Exception:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"process {child} failed")
    return child


def run_cases(names: list[str]) -> None:
    """Run each case n and 2 n times in forks of this process; print name, n and process of each fork.

    A fork goes on with its parent's count, so that valgrind starts Python and imports the package once for all.
    """
    gc.disable()  # a collection more or less would be counted
    network_steps("int8")  # imports in the one parent what each fork would import anew
    jobs()(1)

    def both(name: str) -> None:
        n, prepare = cases()[name]
        run = prepare()
        run(WARM)
        for times in (n, 2 * n):
            child = in_a_child(partial(run, times))
            print(f"{child}\t{times // n}\t{n}\t{name}")

    for name in names:
        in_a_child(partial(both, name))


def total(text: str) -> int:
    """Return the instructions that a file of cachegrind sums up.

    Raises:
        ValueError: it has no sum, or one of several events.
    """
    if not (found := re.search(r"^summary:\s*(\d+)\s*$", text, re.MULTILINE)):
        raise ValueError("cachegrind: expected a file that ends in the sum of instructions alone")
    return int(found[1])


def counts(report: str, totals: Callable[[int], int]) -> dict[str, int]:
    """Return the instructions of one call of each case: of n calls what 2 n take more than n, divided by n."""
    found: dict[str, dict[int, int]] = {}
    calls: dict[str, int] = {}
    for line in report.splitlines():
        process, times, n, name = line.split("\t")
        found.setdefault(name, {})[int(times)] = totals(int(process))
        calls[name] = int(n)
    return {name: round((each[2] - each[1]) / calls[name]) for name, each in found.items()}


def count(names: list[str]) -> dict[str, int]:
    """Return the instructions of one call of each case, measured by so many processes as PROCESSES at once.

    Raises:
        RuntimeError: one of them failed; what it had to say is on standard error.
    """
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no"]
        command += [f"--cachegrind-out-file={folder}/%p", sys.executable, "-W", "ignore", __file__, "--inside"]
        shares = [share for i in range(PROCESSES) if (share := names[i::PROCESSES])]
        environment = os.environ | HERE
        running = [
            subprocess.Popen([*command, *share], env=environment, stdout=subprocess.PIPE, text=True) for share in shares
        ]
        reports = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise RuntimeError("instructions: a process under valgrind failed")
        for report in reports:
            found |= counts(report, lambda process: total((Path(folder) / str(process)).read_text()))
    return {name: found[name] for name in names}


# --- figures ---


def compiler() -> str:
    """Return what compiled the package: from a comment in its modules, else what `gcc` says of itself."""
    from cgru.core import kernels

    if found := compiler_in(Path(kernels.__file__).read_bytes()):
        return found
    done = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True)
    return f"GCC {short(done.stdout)}" if done.returncode == 0 else "a compiler that is not known"


def compiler_in(module: bytes) -> str:
    """Return the compiler that a module's comment names, or ''."""
    if found := re.search(rb"clang version (\d+\.\d+)", module):
        return f"Clang {found[1].decode()}"
    found = re.search(rb"GCC: \([^)]*\) (\d+\.\d+)", module)
    return f"GCC {found[1].decode()}" if found else ""


def short(version: str) -> str:
    """Return the first two numbers of a version."""
    return ".".join(version.strip().split(".")[:2])


def key() -> str:
    """Return the versions that counts depend on."""
    return f"{compiler()}, Python {short(platform.python_version())}, NumPy {short(np.__version__)}"


def missing() -> str:
    """Return why nothing can be counted here, or ''."""
    if not shutil.which("valgrind"):
        return "no valgrind"
    done = subprocess.run(
        [sys.executable, "-c", "import cgru"], cwd=os.path.dirname(__file__), env=os.environ | HERE, capture_output=True
    )
    return f"cgru does not run at the level {LEVEL}" if done.returncode else ""


def lines(found: Mapping[str, int], figures: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each case: its count, its figure, and how far apart they are."""
    width = max(map(len, found), default=0)
    for name, value in found.items():
        line = f"{name:{width}}  {value:>12,}"
        if figure := figures.get(name):
            line += f"  {figure:>12,}  {value / figure - 1:+7.1%}"
        yield line


def changes(found: Mapping[str, int], figures: Mapping[str, int], most: float = MOST) -> list[str]:
    """Return a line for each case whose count is further from its figure than `most` of it, or that has none."""
    lines = []
    for name, value in found.items():
        if not (figure := figures.get(name)):
            lines.append(f"{name}: {value:,} instructions, and no figure to compare with")
        elif abs(value - figure) > most * figure:
            lines.append(f"{name}: {value:,} instructions, {value / figure - 1:+.1%} of the {figure:,} so far")
    return lines


def read(path: Path) -> dict[str, dict[str, int]]:
    return json.loads(path.read_text()) if path.is_file() else {}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description="Count the instructions of single calls under valgrind."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these calls; default: all")
    parser.add_argument("--accept", action="store_true", help="write the counts into the file of figures")
    parser.add_argument(
        "--figures", type=Path, default=FIGURES, metavar="FILE", help=f"default: {FIGURES.name} beside this command"
    )
    parser.add_argument("--list", action="store_true", help="print the calls' names")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in cases()]:
        parser.error(f"expected names that --list prints, got {unknown[0]!r}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    names = given.names or list(cases())
    if given.list:
        print(*cases(), sep="\n")
        return 0
    if given.inside:
        run_cases(names)
        return 0
    if reason := missing():
        print(f"instructions: not counted, {reason}")
        return 0
    here, all_figures = key(), read(given.figures)
    figures = all_figures.get(here, {})
    if not figures and not given.accept:
        print(f"instructions: not counted, no figures for {here} (only for {'; '.join(all_figures) or 'nothing'})")
        return 0
    print(f"instructions of one call, {here}, beside the figures so far")
    found = count(names)
    print(*lines(found, figures), sep="\n")
    if given.accept:
        kept = figures | found if given.names else found
        given.figures.write_text(json.dumps(all_figures | {here: kept}, indent=1) + "\n")
        return 0
    if changed := changes(found, figures):
        print(f"\nmore than {MOST:.0%} from the figures:", *changed, sep="\n")
        print("where this is meant: python -m benchmarks.instructions --accept, and commit the figures")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
