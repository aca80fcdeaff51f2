"""What the programs beside this file run: a few small fits, made by functions that any worker can import."""

import functools
import hashlib
import itertools

import cgru

DATA = cgru.datasets.load_japanese_vowels().train


def network(units, seed):
    """Made where it is fitted."""
    return cgru.Network([cgru.GRU(units), cgru.Dense(9, activate="softmax")], seed=seed)


def fit_all(epochs=5, **where):
    """The results of `cgru.fit_many` there."""
    options = {"epochs": epochs, "validation": 0.2, "standardize": True}
    grid = itertools.product((4, 8, 12), range(4))
    jobs = [cgru.Job(functools.partial(network, *point), point, **options) for point in grid]
    return cgru.fit_many(jobs, DATA.X, DATA.y, **where)


def digest(results):
    """Of all parameters, to the bit."""
    found = hashlib.sha256()
    for result in results:
        for array in result.network.parameters().values():
            found.update(array.tobytes())
    return found.hexdigest()


def show(results, epochs=5):
    """What has come of them, and whether one thread of this process finds the same."""
    for result in results:
        if result.error is not None:
            raise result.error
    best = min(results, key=lambda result: result.scores["validation_loss"])
    print(f"{len(results)} fits; the best one, {best.name}: validation loss {best.scores['validation_loss']:.4f}")
    print("equal:", digest(results) == digest(fit_all(epochs, threads=1)))
