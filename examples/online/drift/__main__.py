"""Predict the next sample of a tone whose pitch and loudness drift, beside one who stops learning half way."""

import time

import numpy as np

from drift import Learner

BLOCK = 5_000
BLOCKS = 10


def tone(samples: int) -> np.ndarray:
    """(samples,): a tone and its overtone; the pitch falls to the half, the loudness rises and falls."""
    t = np.arange(samples) / samples
    phase = np.cumsum(2 * np.pi * (0.12 - 0.06 * t))
    return (1 + 0.3 * np.sin(2 * np.pi * 3 * t)) * (0.6 * np.sin(phase) + 0.3 * np.sin(2 * phase + 1))


def main() -> None:
    """Print the root of the mean square error in blocks, over that of repeating the last sample."""
    signal = tone(BLOCK * BLOCKS + 1)
    X, targets = np.ascontiguousarray(signal[:-1, None]), signal[1:].copy()
    learners = [Learner(1, 16, seed=0) for _ in range(2)]
    print("block  learns  stopped")
    begin = time.perf_counter()
    for block in range(BLOCKS):
        if block == BLOCKS // 2:
            learners[1].rate = 0
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        naive = np.square(targets[part] - X[part, 0]).mean()
        errors = [
            np.sqrt(np.square(each.learn(X[part], targets[part]) - targets[part]).mean() / naive) for each in learners
        ]
        print(f"{block:5}  {errors[0]:6.3f}  {errors[1]:7.3f}")
    print(f"{(time.perf_counter() - begin) / (2 * BLOCK * BLOCKS) * 1e6:.1f} us a sample")


if __name__ == "__main__":
    main()
