"""Series with gaps: how fast `cgru.GRUD` trains, and what it is worth.

    python -m benchmarks.grud speed            an epoch beside PyPOTS at its defaults; needs `pip install pypots`
    python -m benchmarks.grud worth            accuracies on data sets that installed packages bring
    python -m benchmarks.grud worth NAME ...   the sets whose names contain one of these

Speed: the shape of PhysioNet 2012, 48 steps of 37 features of which four fifths are missing, batches of 32, Adam,
float32; seconds of an epoch of both, in turns, as the difference of fits of three epochs and of one.

Worth: some sets with classes that aeon or sktime bring, and Japanese Vowels, which is here. Of each series three steps
in ten are taken out, so that times are irregular, and of the values 30, 60 or 80 %. The same network of one layer and a
head learns from what is left: a `GRUD`, which gets the times; a `GRU` over values that are filled with the last one
before; over these, the mask and the time since each feature was seen; over zeros, which are the means, and the mask.
Prints Markdown: the mean accuracy on the test split over five seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np

import cgru
from benchmarks import defaults, machine
from cgru.core.lengths import padded
from cgru.estimators import recipe

SHAPE, UNITS, MISSING = (640, 48, 37), 32, 0.8  # of the speed
MORE = 20  # epochs of ours for one of theirs
SHARES, STEPS_LEFT, SEEDS = (0.3, 0.6, 0.8), 0.7, 5  # of the worth
SETS = ("JapaneseVowels", "BasicMotions", "ItalyPowerDemand", "GunPoint", "ArrowHead")
Arrays = tuple[np.ndarray, ...]


# --- speed ---


def speed() -> Iterator[str]:
    """Yield the lines of a table: seconds of an epoch, PyPOTS's and ours, at one and two classes of size."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal(SHAPE).astype(np.float32)
    X[rng.random(SHAPE) < MISSING] = np.nan
    y = np.arange(SHAPE[0]) % 2
    yield "| units | PyPOTS, s | GRUD, s | times as fast |"
    yield "| --- | --- | --- | --- |"
    for units in (UNITS, 4 * UNITS):
        theirs, ours = [], []
        for _ in range(3):
            theirs.append(epoch(partial(fit_pypots, X, y, units)))
            ours.append(epoch(partial(fit, X, y, units)) / MORE)
        ratio = median(a / b for a, b in zip(theirs, ours, strict=True))
        yield f"| {units} | {median(theirs):.3g} | {median(ours):.3g} | {ratio:.1f} |"


def epoch(fit: Callable[[int], object]) -> float:
    """Return the seconds of an epoch of `fit`, which takes their number; the first one pays for what is made once."""
    seconds: list[float] = []
    for epochs in (1, 3):
        start = time.perf_counter()
        fit(epochs)
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / 2


def fit(X: np.ndarray, y: np.ndarray, units: int, epochs: int) -> None:
    net = cgru.Network([cgru.GRUD(units), cgru.Dense(2, "softmax")], seed=0, dtype=np.float32)
    net.fit(X, y, epochs=MORE * epochs)


def fit_pypots(X: np.ndarray, y: np.ndarray, units: int, epochs: int) -> None:
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
        from pypots.classification import GRUD

        model = GRUD(X.shape[1], X.shape[2], 2, units, epochs=epochs, verbose=False, device="cpu")
        model.fit({"X": X, "y": y})


# --- worth ---


def sets(wanted: list[str]) -> Iterator[tuple[str, tuple[defaults.Split, defaults.Split]]]:
    """Name each of `SETS` whose name contains one of those `wanted`, and return its splits."""
    found = {name.split()[-1]: splits for name, splits in defaults.shipped()}
    for name in SETS:
        if wanted and not any(part in name for part in wanted):
            continue
        if name == "JapaneseVowels":
            data = cgru.datasets.load_japanese_vowels()
            splits = [([x[:n] for x, n in zip(s.X.X, s.X.lengths, strict=True)], s.y) for s in (data.train, data.test)]
            yield name, (splits[0], splits[1])
        elif name in found:
            yield name, found[name]()


def with_gaps(X: defaults.Series, share: float, rng: np.random.Generator) -> tuple[defaults.Series, list[np.ndarray]]:
    """Take out steps and values; return what is left, and the times of the steps."""
    kept = [np.flatnonzero(rng.random(len(x)) < STEPS_LEFT) for x in X]
    kept = [np.arange(1) if not len(steps) else steps for steps in kept]
    left = [x[steps].astype(np.float64) for x, steps in zip(X, kept, strict=True)]
    for x in left:
        x[rng.random(x.shape) < share] = np.nan
    return left, [steps.astype(np.float64) for steps in kept]


def filled(X: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Arrays:
    """Return X filled with the last value before, else 0; the mask; and the times since each feature was seen."""
    layer = cgru.GRUD(1)
    layer.make(X)
    layer.p["Wgx"][...] = 0  # nothing fades
    layer.forward(X, lengths, times=times)
    xm, delta = layer.fc["xm"], layer.fc["delta"]
    return *np.split(xm, 2, axis=2), delta / max(delta.std(), 1e-9)


WAYS: dict[str, Callable[..., np.ndarray]] = {
    "GRUD": lambda X, *_: X,
    "last value": lambda _, last, *__: last,
    "last value, mask, time since": lambda _, *parts: np.concatenate(parts, axis=2),
    "zero, mask": lambda X, _, mask, __: np.concatenate([np.nan_to_num(X), mask], axis=2),
}


def score(way: str, train: tuple, test: tuple, seed: int) -> float:
    """Return the accuracy on the test split."""
    first = cgru.GRUD if way == "GRUD" else cgru.GRU
    X, y, *_ = train
    size, epochs = recipe.budget(len(X))
    optimizer = cgru.Adam(recipe.LEARNING_RATE, clip_norm=1.0, schedule=recipe.SCHEDULE)
    head = cgru.Dense(len(np.unique(y)), "softmax")
    net = cgru.Network([first(UNITS), cgru.Dropout(0.3), head], optimizer=optimizer, seed=seed, dtype=np.float32)
    seen, held = (cgru.Sequences(X, n, times=t if way == "GRUD" else None) for X, _, n, t in (train, test))
    net.fit(seen, y, epochs=epochs, batch_size=size, recover=True)
    return net.evaluate(held, test[1])["accuracy"]


def prepared(split: defaults.Split, share: float, rng: np.random.Generator, classes: np.ndarray) -> tuple:
    """Return X with gaps (m, s, e), y, lengths and times."""
    X, times = with_gaps(split[0], share, rng)
    (X, lengths), (times, _) = padded(X), padded(times)
    return X, np.searchsorted(classes, split[1]), lengths, np.maximum.accumulate(times, axis=1)


def worth(wanted: list[str]) -> Iterator[str]:
    """Yield the lines of a table: of each set and share of missing values the accuracies of all ways."""
    yield f"| set | missing | {' | '.join(WAYS)} |"
    yield "| --- | --- |" + " --- |" * len(WAYS)
    means = []
    for name, (train, test) in sets(wanted):
        classes = np.unique(train[1])
        for share in SHARES:
            found = np.zeros((SEEDS, len(WAYS)))
            for seed in range(SEEDS):
                rng = np.random.default_rng(seed)
                (X, *own), (Z, *other) = (prepared(split, share, rng, classes) for split in (train, test))
                mean, deviation = np.nanmean(X, axis=(0, 1)), np.nanstd(X, axis=(0, 1))
                X, Z = ((a - mean) / np.where(deviation > 0, deviation, 1) for a in (X, Z))
                parts = [filled(a, rest[2], rest[1]) for a, rest in ((X, own), (Z, other))]
                for i, (way, of) in enumerate(WAYS.items()):
                    both = (of(X, *parts[0]), *own), (of(Z, *parts[1]), *other)
                    found[seed, i] = score(way, *both, seed)
            means.append(found.mean(axis=0))
            best = means[-1].max()
            cells = (f"**{x:.1%}**" if x == best else f"{x:.1%}" for x in means[-1])
            yield f"| {name} | {share:.0%} | {' | '.join(cells)} |"
    yield f"| mean |  | {' | '.join(f'{x:.1%}' for x in np.mean(means, axis=0))} |"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grud", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("speed", "worth"), help="what to measure")
    parser.add_argument("names", nargs="*", help="parts of the names of sets, of the worth")
    chosen = parser.parse_args(arguments)
    if chosen.part == "speed" and chosen.names:
        parser.error("names: expected none of the speed")
    for line in speed() if chosen.part == "speed" else worth(chosen.names):
        print(line, flush=True)
    print(f"\n{machine.here()}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
