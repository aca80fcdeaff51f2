"""A fit on a file that is larger than the memory that it may have: `python -m benchmarks.large`.

It writes X (m, 256, 16) float32 and y (m,) into files, starts a process that may have so much memory of its own (the
system's RLIMIT_DATA, on Linux), and fits one epoch there, standardised and with a share of the samples set aside. Then
it compares, in one process, fits of the same updates of arrays in memory, of the same in files, and of batches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEPS, ELEMENTS, CLASSES = 256, 16, 4
MIB = 1 << 20
AT_ONCE = 512  # samples that are written


def write(folder: Path, mib: float) -> int:
    """Write x.npy of so many MiB, and y.npy, which says what X has more of; return the number of samples."""
    m = max(AT_ONCE, round(mib * MIB / (4 * STEPS * ELEMENTS)))
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, m)
    X = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (m, STEPS, ELEMENTS))
    for start in range(0, m, AT_ONCE):
        classes = y[start : start + AT_ONCE]
        block = rng.standard_normal((len(classes), STEPS, ELEMENTS), np.float32)
        block[np.arange(len(classes)), :, classes] += 0.5
        X[start : start + AT_ONCE] = block
    X.flush()
    np.save(folder / "y.npy", y)
    return m


def network(units: int = 16):
    import cgru

    layers = [cgru.GRU(units), cgru.Dense(CLASSES, "softmax")]
    return cgru.Network(layers, optimizer=cgru.Adam(1e-3), seed=0, dtype=np.float32)


def fit_in(folder: Path, limit: int) -> None:
    """Fit one epoch with so many bytes of memory; print what came out as JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    X = np.load(folder / "x.npy", mmap_mode="r")
    net, start = network(), time.perf_counter()
    history = net.fit(X, np.load(folder / "y.npy"), epochs=1, batch_size=64, standardize=True, validation=0.05)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "loss": history[-1].validation_loss}))


def anonymous(pid: int) -> int:
    """The resident memory in bytes that a process has beside files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


def limited(folder: Path, limit: int) -> dict[str, float]:
    """What a fit in a process with so many bytes of memory says, and the most that it had; RuntimeError if it fails."""
    command = [sys.executable, "-m", "benchmarks.large", "--fit", str(folder), "--limit", str(limit / MIB)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        most = 0
        while child.poll() is None:
            most = max(most, anonymous(child.pid))
            time.sleep(0.02)
        text = child.stdout.read()
    if child.returncode:
        raise RuntimeError(f"the fit failed with exit code {child.returncode}")
    return json.loads(text) | {"most": most}


def compared(folder: Path, m: int, units: int = 64, size: int = 32, epochs: int = 3) -> dict[str, float]:
    """Seconds of an epoch, the best of some, over the first m samples: in memory, in the file, as batches."""
    X, y = np.load(folder / "x.npy", mmap_mode="r")[:m], np.load(folder / "y.npy")[:m]
    batches = [(X[start : start + size], y[start : start + size]) for start in range(0, m, size)]
    found = {}
    given = {"memory": (np.array(X), y), "file": (X, y), "batches": (batches, None)}
    for name, (data, targets) in given.items():
        options = {} if targets is None else {"batch_size": size, "shuffle": False}
        found[name] = min(network(units).fit(data, targets, epochs=epochs, **options).seconds)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--size", type=float, default=4096, metavar="MIB", help="of x.npy (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=1024, metavar="MIB", help="of memory (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the files are written (default: a temporary one)")
    parser.add_argument("--fit", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.fit:
        fit_in(options.fit, round(options.limit * MIB))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        m = write(folder, options.size)
        size = (folder / "x.npy").stat().st_size
        print(f"{m} sequences of {STEPS} steps of {ELEMENTS} features, {size / MIB:.0f} MiB, in {options.limit:g} MiB")
        found = limited(folder, round(options.limit * MIB))
        print(
            f"one epoch, standardised and validated: {found['seconds']:.1f} s, "
            f"{found['most'] / MIB:.0f} MiB of memory at most, validation loss {found['loss']:.4f}"
        )
        seconds = compared(folder, min(m, 2048))
        whole = seconds.pop("memory")
        rest = ", ".join(f"{name} {each / whole:.2f}" for name, each in seconds.items())
        print(f"64 units, an epoch of arrays in memory: {whole:.2f} s; of the same updates times that: {rest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
