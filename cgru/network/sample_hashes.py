"""Hashes of the samples that a network was fitted to, and the range of each feature.

Reports count by them how many samples of other data the network has seen. m samples, s steps, e features of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cgru.core.lengths import mask
from cgru.network.data.streaming import AnyData
from cgru.network.data.training_data import Data, in_blocks

__all__ = ["MOST", "HashSet", "SampleHasher", "SampleHashes", "hash_samples", "pack", "unpack"]

MOST = 100_000  # hashes that are kept of each set
AT_ONCE = 1 << 16  # numbers that are hashed at once: so many stay in the cache
FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


# --- hashes ---


def hash_samples(X: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Return a 64-bit hash of each sample of X (m, s, e), or of tokens (m, s), as (m,) uint64.

    The hash is over the real steps, rounded to float32: copies in float64 and float32 have the same one. It is
    h = mix(mix(s * e) + sum_i mix(x_i ^ mix(i))) over the bits x_i, where mix is the finalizer of splitmix64 (Steele,
    Lea and Flood, 2014, OOPSLA): the same in each process, on each machine, and with any padding.
    """
    m, s = X.shape[:2]
    e = 1 if X.ndim == 2 else X.shape[2]
    numbers = s * e
    places = _mix(np.arange(1, numbers + 1, dtype=np.uint64) * GOLDEN)
    steps = np.full(m, s) if lengths is None else np.asarray(lengths)
    found, size = np.empty(m, np.uint64), max(1, AT_ONCE // max(1, numbers))
    for start in range(0, m, size):
        rows = slice(start, start + size)
        mixed = _mix(_bits(X[rows]).reshape(-1, numbers) ^ places)
        mixed *= mask(steps[rows] * e, numbers)[:, :, 0]
        found[rows] = mixed.sum(axis=1)
    return _mix(found + _mix(steps.astype(np.uint64) * np.uint64(e)))


def _bits(X: np.ndarray) -> np.ndarray:
    """Return the numbers of X as uint64: the bits of X in float32, with -0.0 as 0.0; tokens by their value."""
    if X.ndim == 2:
        return np.asarray(X, np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        return (np.asarray(X, np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)


def _mix(z: np.ndarray) -> np.ndarray:
    """Apply the finalizer of splitmix64 to each number of z (uint64), in place; return z."""
    for shift, factor in zip(SHIFTS, FACTORS, strict=False):
        z ^= z >> shift
        z *= factor
    z ^= z >> SHIFTS[2]
    return z


@dataclass(frozen=True)
class HashSet:
    """The different hashes of some samples, sorted: all of them, or the smallest `MOST` where there are more.

    Keeping the smallest gives the same set in whatever order samples come. For each hash up to the `limit` the set
    tells whether it was among the samples.
    """

    values: np.ndarray
    complete: bool = True

    @property
    def limit(self) -> np.uint64:
        """Return the largest hash for which the set tells whether it was among the samples."""
        return np.uint64(np.iinfo(np.uint64).max) if self.complete else self.values[-1]

    def joined(self, others: np.ndarray) -> HashSet:
        """Return the union with the hashes `others`, cut to the smallest `MOST`."""
        values = np.union1d(self.values, others[others <= self.limit])
        return HashSet(values[:MOST], self.complete and len(values) <= MOST)


NONE = HashSet(np.zeros(0, np.uint64))


# --- kept with a network ---


@dataclass(frozen=True)
class SampleHashes:
    """Hashes of the samples that a network has seen in its fits, and the range of each feature.

    trained: hashes of the training samples.
    validated: hashes of the validation samples, which chose the epoch.
    whole: whether the hashes cover all fits; False where the network was trained before without hashing.
    shrunk: whether the validation samples chose the shrinkage, too.
    low, high: (e,) the range of each feature over the real steps of the training samples, NaN for one that was never
        measured; None for tokens.
    """

    trained: HashSet = NONE
    validated: HashSet = NONE
    whole: bool = True
    shrunk: bool = False
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def compared(self, X: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, Any]:
        """Count the samples of X that the network has seen.

        "samples": the number of samples; "compared": how many of them the kept hashes tell about, which is all unless
        more than 100,000 samples were hashed; "trained": how many of these are training samples; "validated": how many
        others are validation samples; "whole" and "shrunk": the attributes.
        """
        hashes = hash_samples(X, lengths)
        known = hashes[hashes <= min(self.trained.limit, self.validated.limit)]
        trained = np.isin(known, self.trained.values)
        validated = np.isin(known, self.validated.values) & ~trained
        counts = {"trained": int(trained.sum()), "validated": int(validated.sum())}
        return {"samples": len(X), "compared": len(known), **counts, "whole": self.whole, "shrunk": self.shrunk}


class SampleHasher:
    """Hash the samples of a fit while it reads them, and measure the range of each feature.

    Args:
        before: the hashes that the network has already, which are joined with the new ones.
        shrunk: whether the fit chooses a shrinkage.
    """

    def __init__(self, before: SampleHashes, shrunk: bool) -> None:
        """Begin with the hashes that the network has; see the class for the arguments."""
        self.before, self.shrunk = before, shrunk
        self.sets = {"trained": self.before.trained, "validated": self.before.validated}
        self.waiting: dict[str, list[np.ndarray]] = {name: [] for name in self.sets}
        self.low, self.high = self.before.low, self.before.high

    def over(self, data: AnyData, which: str) -> AnyData:
        """Return `data`, whose samples are hashed into the set `which`: arrays now, batches whenever they are read."""
        hash_samples = partial(self._hash, which)
        if not data.whole:
            return data.map(hash_samples)
        for block in in_blocks(data):
            hash_samples(block)
        return data

    def _hash(self, which: str, data: Data) -> Data:
        """Hash the samples of `data` as `which` set; return `data`."""
        if which == "trained" and data.X.ndim == 3 and len(data):
            real = data.X[data.real]
            if len(real):
                self.low = _join_range(np.fmin, self.low, np.fmin.reduce(real, axis=0))
                self.high = _join_range(np.fmax, self.high, np.fmax.reduce(real, axis=0))
        self.waiting[which].append(hash_samples(data.X, data.lengths))
        if sum(map(len, self.waiting[which])) >= MOST:
            self._join(which)
        return data

    def _join(self, which: str) -> None:
        """Add the hashes that wait to the set `which`, "trained" or "validated"."""
        if self.waiting[which]:
            self.sets[which] = self.sets[which].joined(np.concatenate(self.waiting[which]))
            self.waiting[which] = []

    def result(self, others: bool = False) -> SampleHashes:
        """Return the hashes that the network keeps after the fit; `others`: it went on from fits without hashing."""
        for which in self.sets:
            self._join(which)
        shrunk, whole = self.before.shrunk or self.shrunk, self.before.whole and not others
        return SampleHashes(**self.sets, whole=whole, shrunk=shrunk, low=self.low, high=self.high)


def _join_range(join: Callable[..., np.ndarray], before: np.ndarray | None, now: np.ndarray) -> np.ndarray:
    """Return `join(before, now)` in float64; `now` where there is nothing `before`."""
    now = now.astype(np.float64)
    return now if before is None else join(before, now)


# --- in model files ---


def pack(found: SampleHashes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the description of `found` in JSON's types, and its arrays by name."""
    ends = {name: None if (end := getattr(found, name)) is None else end.tolist() for name in ("low", "high")}
    complete = {name: getattr(found, name).complete for name in ("trained", "validated")}
    arrays = {name: getattr(found, name).values for name in complete}
    return {"whole": found.whole, "shrunk": found.shrunk, "complete": complete, **ends}, arrays


def unpack(text: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SampleHashes:
    """Return the hashes that `pack` turned into this description and arrays.

    KeyError, TypeError or ValueError for others.
    """
    ends = {name: None if text[name] is None else np.array(text[name], np.float64) for name in ("low", "high")}
    sets = {name: HashSet(np.unique(values), bool(text["complete"][name])) for name, values in arrays.items()}
    if not all(each.complete or len(each.values) for each in sets.values()):
        raise ValueError("remembered: expected the smallest hashes where they are not complete, got none")
    return SampleHashes(**sets, whole=bool(text["whole"]), shrunk=bool(text["shrunk"]), **ends)
