"""How much of the accuracy of a network is left with int8 weights, and with integers alone.

    python -m benchmarks.integers          every set
    python -m benchmarks.integers NAME     the sets whose names contain this

Prints Markdown: the accuracy on the test split in float32, with int8 weights, and with int16 activations beside them,
each with the signal-to-noise ratio of the outputs in dB. Sets are the embedded vowels, as they are and with noise of a
quarter, half and all of each feature's deviation, and what `benchmarks.defaults` finds in installed packages. Networks
are GRU(32) on frames, so many steps in each that there are at most 50 of them, trained for 60 epochs with three seeds.
It ends with 1 if integers alone lose more than half a point in the mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import cgru
from benchmarks.defaults import shipped
from cgru.quantization import output_noise

KINDS = {"int8": {}, "int16": {"activations": "int16"}}
SEEDS, STEPS, MOST_CLASSES = 3, 50, 60

Split = tuple[np.ndarray, np.ndarray, np.ndarray]  # X, lengths, classes


def sets() -> Iterator[tuple[str, Split, Split]]:
    """Yield the name of each set of classes, its training and its test split."""
    data = cgru.datasets.load_japanese_vowels()
    for noise in (0, 0.25, 0.5, 1):
        rng, found = np.random.default_rng(0), []
        deviation = data.train.X.X.std(axis=(0, 1))
        for split in (data.train, data.test):
            X = split.X.X + rng.standard_normal(split.X.X.shape) * noise * deviation
            found.append((X, split.X.lengths, np.asarray(split.y)))
        yield f"vowels, noise {noise}", *found
    for name, both in shipped():
        try:
            splits = both()
        except ValueError:  # times or numbers, which no set of classes has
            continue
        y = np.concatenate([split[1] for split in splits])
        if len(np.unique(y)) <= MOST_CLASSES and not any(np.isnan(x).any() for split in splits for x in split[0]):
            classes = {each: i for i, each in enumerate(np.unique(y))}
            yield name, *(padded(X, np.array([classes[each] for each in y])) for X, y in splits)


def padded(X: list[np.ndarray], y: np.ndarray) -> Split:
    """Return series in one array, with zeros behind them."""
    lengths = np.array([len(x) for x in X])
    return np.array([np.pad(x, ((0, lengths.max() - len(x)), (0, 0))) for x in X]), lengths, y


def row(train: Split, test: Split) -> tuple[list[float], list[float]]:
    """Return the mean accuracies in float32 and of KINDS, and the mean ratios of KINDS, over the seeds."""
    accuracies, ratios = [], []
    for seed in range(SEEDS):
        frames = -(-int(max(part[1].max() for part in (train, test))) // STEPS)
        layers = [cgru.Frames(frames)] * (frames > 1) + [cgru.GRU(32), cgru.Dense(int(max(train[2])) + 1, "softmax")]
        net = cgru.Network(layers, optimizer=cgru.Adam(4e-3), dtype=np.float32, seed=seed)
        net.fit(train[0], train[2], lengths=train[1], epochs=60, batch_size=16, standardize=True)
        nets = [cgru.quantize(net, calibration=train[0], lengths=train[1], **options) for options in KINDS.values()]
        accuracies.append([each.evaluate(test[0], test[2], lengths=test[1])["accuracy"] for each in (net, *nets)])
        ratios.append([output_noise(net, each, test[0], test[1])["snr"] for each in nets])
    return np.mean(accuracies, axis=0).tolist(), np.mean(ratios, axis=0).tolist()


def main(names: list[str]) -> int:
    """Print the table; return 1 if the goal is missed."""
    print("| set | float32 " + "".join(f"| {kind} | dB " for kind in KINDS) + "|")
    print("| --- | --: " + "| --: | --: " * len(KINDS) + "|")
    found = []
    for name, train, test in sets():
        if not names or any(each in name for each in names):
            accuracies, ratios = row(train, test)
            parts = (f"{100 * a:.1f} | {ratio:.0f}" for a, ratio in zip(accuracies[1:], ratios, strict=True))
            print(f"| {name} | {100 * accuracies[0]:.1f} | {' | '.join(parts)} |", flush=True)
            found.append(accuracies)
    means = 100 * np.mean(found, axis=0)
    print(f"| mean | {means[0]:.2f} | {' | '.join(f'{mean:.2f} | ' for mean in means[1:])} |")
    return int(means[2] < means[0] - 0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
