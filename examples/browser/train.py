"""Train the network that the page runs: python train.py [gestures.npz]

It says at each step which kind of stroke this will have been. What it says at the last step is judged on strokes that
were made for this alone.
"""

import sys
from pathlib import Path

import numpy as np
from gestures import NAMES, steps, strokes

import cgru

MODEL = Path(__file__).with_name("gestures.npz")
TRAIN, TEST = 1000, 200  # strokes of each kind


def data(n, seed):
    """X (m, s, 3), the kinds (m, s) and lengths (m,) of `n` strokes of each kind."""
    drawn, names = strokes(n, seed)
    sequences = [steps(points) for points in drawn]
    lengths = np.array([len(sequence) for sequence in sequences])
    X = np.zeros((len(drawn), lengths.max(), 3), np.float32)
    for x, sequence in zip(X, sequences, strict=True):
        x[: len(sequence)] = sequence
    return X, np.repeat(names[:, None], X.shape[1], axis=1), lengths


def right(net, n=TEST, seed=1):
    """Of the strokes held out, the share of each kind that the last step gets right."""
    X, kinds, lengths = data(n, seed)
    last = np.arange(len(X)), lengths - 1
    found = net.predict_classes(X, lengths)[last] == kinds[last]
    return dict(zip(NAMES, found.reshape(n, -1).mean(axis=0).tolist(), strict=True))


def main(path=MODEL):
    """Train, save and judge it."""
    layers = [cgru.GRU(32, sequences=True), cgru.Dense(len(NAMES), "softmax")]
    net = cgru.Network(layers, optimizer=cgru.Adam(0.02, clip_norm=1.0, schedule="cosine"), dtype=np.float32, seed=0)
    X, kinds, lengths = data(TRAIN, seed=0)
    weights = np.ones(kinds.shape)
    weights[np.arange(len(X)), lengths - 1] = 10  # the pen was lifted: now it should be sure
    net.fit(X, kinds, lengths=lengths, sample_weight=weights, epochs=25, batch_size=64)
    net.save(path)
    shares = right(net)
    for name, share in shares.items():
        print(f"{name:10} {share:6.1%}")
    print(f"{'all':10} {np.mean(list(shares.values())):6.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
