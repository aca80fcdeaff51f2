"""Consensus of DNA reads by medaka's own trained models: as they are, and after `cgru.torch.accelerate`.

medaka is imported where it is installed. The input is simulated: counts of bases at each position, with a fixed seed.
Both sides call `predict_on_batch`, medaka's own function, in float32. CGRU_SIMD=avx2 also holds PyTorch to AVX2.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter_ns, process_time_ns

import numpy as np

from benchmarks import machine, memory, report
from benchmarks.processes import rows_from
from benchmarks.timing import ratios

POSITIONS, SEEDS = {True: 100, False: 10_000}, {True: 1, False: 4}  # of a sample, and samples compared, quick or not
ROUNDS = {True: {1: 1, 16: 1, 100: 1}, False: {1: 7, 16: 3, 100: 2}}  # by the samples of a batch
TIMED = "r1041_e82_400bps_sup_v5.2.0", "r1041_e82_400bps_hac_v6.0.0"  # of 128 units and of 256
OURS, THEIRS = "cgru", "PyTorch"
READS, HARD = 20, 2.0  # at each position; and b of the Beta(1, b) of the share of wrong bases
LEVEL = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
NEEDS, INSTALL = ("medaka",), 'pip install medaka "torch<=2.13"'


def pileups(m: int, s: int) -> np.ndarray:
    """Return simulated inputs (m, s, 10): the share of reads with each base, or none, on each strand.

    A tenth of the positions are insertions that most reads do not have.
    """
    rng = np.random.default_rng(0)
    wrong = rng.beta(1, HARD, (m, s, 1))
    p = np.repeat(wrong / 4, 6, axis=-1)  # of A, C, G, T, a gap, and nothing that is counted
    np.put_along_axis(p, rng.integers(0, 4, (m, s, 1)), 1 - wrong, axis=-1)
    p[..., 5] = 0
    inserted = rng.random((m, s)) < 0.1
    p[inserted] *= np.array([0.1, 0.1, 0.1, 0.1, 0, 0])
    p[..., 5] = 1 - p[..., :5].sum(-1)
    forward = rng.binomial(READS, 0.5, (m, s))
    strands = [rng.multinomial(n, p.clip(0)) for n in (READS - forward, forward)]
    parts = [strand[..., :4] for strand in strands] + [strand[..., 4:5] for strand in strands]
    return np.concatenate(parts, -1, dtype=np.float32, casting="unsafe") / READS


def batch_of(m: int, s: int) -> object:
    """Return a batch of m samples of s positions, as medaka makes it."""
    from medaka.common import Sample
    from medaka.torch_ext import Batch

    positions = np.zeros(s, [("major", int), ("minor", int)])
    positions["major"] = np.arange(s)
    depth = np.full(s, READS)
    return Batch.collate([Sample("simulated", x, None, None, positions, None, depth) for x in pileups(m, s)])


def model_of(name: str, contender: str) -> object:
    """Return a model of medaka; for cgru, accelerated."""
    import torch
    from medaka.models import open_model

    import cgru.torch

    with open_model(name) as store:
        model = store.load_model(device=torch.device("cpu"))
    if contender == OURS:
        assert cgru.torch.accelerate(model).swapped == ["gru"]
    return model


def calls_of(name: str) -> dict[str, Callable[[object], object]]:
    """Return `predict_on_batch` of each contender."""
    return {contender: model_of(name, contender).predict_on_batch for contender in (OURS, THEIRS)}


def compared(quick: bool) -> Iterator[dict]:
    """For each model that medaka brings: do both call the same base at each position, how far are probabilities."""
    import torch
    from medaka.options import current_models

    torch.set_num_threads(1)
    versions = [f"torch {torch.__version__}", f"medaka {__import__('medaka').__version__}"]
    yield {"part": "about", **machine.here(), "versions": versions, "s": POSITIONS[quick]}
    batch = batch_of(SEEDS[quick], POSITIONS[quick])
    for name in current_models:
        a, b = (call(batch) for call in calls_of(name).values())
        different, most = int((a.argmax(-1) != b.argmax(-1)).sum()), (a - b).abs().max().item()
        yield {"part": "equal", "model": name, "positions": a[..., 0].numel(), "different": different, "most": most}


def timed(quick: bool, threads: int) -> Iterator[dict]:
    """For a model of each size, by the samples of a batch: milliseconds of both, which take turns."""
    import torch

    torch.set_num_threads(threads)
    clock = process_time_ns if threads == 1 else perf_counter_ns  # the former does not count what else the machine does
    for name in TIMED[: 1 if quick else None]:
        calls = calls_of(name)
        for m, rounds in ROUNDS[quick].items():
            batch = batch_of(m, POSITIONS[quick])
            times: dict[str, list[float]] = {contender: [] for contender in calls}
            for n in range(rounds + (m < 100)):  # a first one for what is made once; the largest batch follows others
                for contender, call in calls.items():
                    start = clock()
                    call(batch)
                    times[contender] += [(clock() - start) / 1e6] if n or m == 100 else []
            each = {contender: median(ms) for contender, ms in times.items()}
            ratio = ratios(times, OURS)[THEIRS]
            yield {"part": "time", "model": name, "m": m, "threads": threads, "ms": each, "ratio": ratio}


def peaks(quick: bool, name: str, contender: str) -> Iterator[dict]:
    """By the samples of a batch: how many MiB a call of one contender takes at most, beside model and batch."""
    import torch

    torch.set_num_threads(1)
    model = model_of(name, contender)
    for m in ROUNDS[quick]:
        batch = batch_of(m, POSITIONS[quick])
        if memory.forget_peak():
            before = memory.status("VmRSS")
            model.predict_on_batch(batch)
            mib = (memory.status("VmHWM") - before) / 1024
            yield {"part": "memory", "model": name, "m": m, "name": contender, "mib": mib}


def rows(quick: bool) -> Iterator[dict]:
    """What is compared, timed and taken, each in processes of its own."""
    if os.environ.get("CGRU_SIMD") == "avx2":
        os.environ.update(LEVEL)  # PyTorch and its libraries read it when they are loaded
    yield from rows_from(compared, quick)
    for name in TIMED[: 1 if quick else None]:
        for contender in (OURS, THEIRS):
            yield from rows_from(peaks, quick, name, contender)
    for threads in (2, 1):  # two threads first: their clock counts what else the machine does
        yield from rows_from(timed, quick, threads, threads=threads)


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    found = [row for row in report.part(rows, "time") if row["threads"] == 1]
    return {f"PyTorch: {row['model'].partition('bps_')[2]}, {row['m']} samples": row["ratio"] for row in found}


def text(rows: list[dict]) -> list[str]:
    about, equal, times, taken = (report.part(rows, part) for part in ("about", "equal", "time", "memory"))
    where, s = about[0], about[0]["s"]
    times.sort(key=lambda row: row["threads"])

    def speed(row: dict, contender: str) -> str:
        return f"{row['m'] * s / row['ms'][contender]:,.1f}"

    def line(row: dict) -> list[str]:
        return [row["model"], str(row["m"]), str(row["threads"]), *(speed(row, n) for n in (OURS, THEIRS)), *rest(row)]

    def rest(row: dict) -> list[str]:
        one = next(each for each in times if (each["model"], each["m"], each["threads"]) == (row["model"], row["m"], 1))
        gains = [f"{one['ms'][n] / row['ms'][n]:.2f}" if row["threads"] > 1 else "" for n in (OURS, THEIRS)]
        return [f"{row['ratio']:.2f}", *gains]

    by_case = {(row["model"], row["m"], row["name"]): f"{row['mib']:.0f}" for row in taken}
    lines = [
        [model, str(m), by_case[model, m, OURS], by_case[model, m, THEIRS]]
        for model, m in dict.fromkeys((row["model"], row["m"]) for row in taken)
    ]
    return [
        f"{where['machine']}, {where['instructions']}, {', '.join(where['versions'])}, {where['date']}, commit"
        f" {where['commit'] or 'unknown'}. Samples of {s:,} positions; medians.",
        "",
        "Positions with another call than PyTorch's, and the largest difference of a probability:",
        "",
        *report.table(
            ["model", "positions", "other calls", "difference"],
            [[r["model"], f"{r['positions']:,}", str(r["different"]), f"{r['most']:.1e}"] for r in equal],
        ),
        "",
        "Thousands of positions a second; times as long as cgru; the gain by the second thread:",
        "",
        *report.table(
            ["model", "samples", "threads", OURS, THEIRS, f"{THEIRS} / {OURS}", f"{OURS}, gain", f"{THEIRS}, gain"],
            [line(row) for row in times],
        ),
        "",
        "MiB that a call takes at most, beside the model and the batch:",
        "",
        *report.table(["model", "samples", OURS, THEIRS], lines),
    ]
