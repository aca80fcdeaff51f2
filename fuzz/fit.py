"""Compiled fits against the loop in Python, and against themselves on other threads, in less memory, and resumed."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

import cgru
from cgru.network.data.samples import step_arrays
from cgru.network.training import fit
from fuzz.networks import Dice, Problem, problem

RECORDED = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "skipped", "returns")


class StopError(Exception):
    """What stops a fit on purpose."""


def case(seed: int) -> str | None:
    """Fit the problem of a seed in all ways and compare; return "refused" where all ways refuse it alike."""
    ours = fitted(altered(seed))
    with in_python():
        due = fitted(altered(seed))
    if isinstance(ours, str) or isinstance(due, str):
        assert ours == due, (ours, due)
        return "refused"
    like(ours, due, 1e-7 if ours[0].dtype == np.float64 else 5e-3)
    before = cgru.get_num_threads()
    cgru.set_num_threads(4 - before)
    try:
        other = altered(seed)
        other.options["memory"] = None if other.options["memory"] else "low"
        like(fitted(other), ours, 0)
    finally:
        cgru.set_num_threads(before)
    if other.y is None:
        return "of batches"
    if "callback" in other.options:
        return "with a callback"
    like(from_files(seed), ours, 0)
    if len(ours[1]) > 1:
        like(resumed(seed), ours, 0)
    return None


def altered(seed: int) -> Problem:
    """Return the problem of a seed, or one with a callback that changes the network, or of batches."""
    found, dice = problem(seed), Dice(seed, 1)
    net, options = found.net, found.options
    if dice.chance(0.1):
        keys, at = list(net.parameters()), dice.number(0, len(net.layers) - 2)
        key, freezes = dice.among(*keys), dice.chance()

        def callback(epoch: cgru.Epoch) -> None:
            if epoch.epoch == 1 and freezes:
                net.layers[at].trainable = not net.layers[at].trainable
            elif epoch.epoch == 1:
                net.parameters()[key][...] *= 0.5

        options["callback"] = callback
    elif dice.chance(0.1) and not net.stateful:
        ends = np.unique(dice.rng.integers(1, len(found.X) + 1, 4))
        found.X = [batch(found, rows) for rows in np.split(np.arange(len(found.X)), ends) if len(rows)]
        found.y, found.beside = None, {}
        for name in ("batch_size", "bucket", "shuffle"):
            options.pop(name)
        if isinstance(options.get("validation"), float):
            options |= {"validation": None, "patience": None, "shrink": False}
    return found


def batch(whole: Problem, rows: np.ndarray) -> tuple[Any, ...]:
    """Return some samples as a batch."""
    weights = whole.beside.get("sample_weight")
    return whole.X[rows], whole.y[rows], None, None if weights is None else weights[rows]


def from_files(seed: int) -> Any:
    """Return what a fit leaves whose samples stay in files."""
    with tempfile.TemporaryDirectory() as folder:
        mapped = problem(seed)
        files = []
        for name, array in (("X", mapped.X.X), ("y", mapped.y)):
            np.save(path := os.path.join(folder, f"{name}.npy"), array)
            files.append(np.load(path, mmap_mode="r"))
        mapped.X, mapped.y = cgru.Sequences(files[0], mapped.X.lengths, **step_arrays(mapped.X)), files[1]
        found = fitted(mapped)
        del mapped, files
        return found


def fitted(problem: Problem) -> tuple[cgru.Network, cgru.History] | str:
    """Return the network and the history of a fit, or the error that refuses it."""
    try:
        return problem.net, problem.net.fit(problem.X, problem.y, **problem.beside, **problem.options)
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def resumed(seed: int) -> Any:
    """Return what a fit leaves that is stopped after its first epoch and resumed from its checkpoint."""

    def stop(epoch: cgru.Epoch) -> None:
        if epoch.epoch == 2:
            raise StopError

    with tempfile.TemporaryDirectory() as folder:
        more = {"checkpoint": cgru.Checkpoint(os.path.join(folder, "fit.npz"), 0, resume=True)}
        first = problem(seed)
        first.options |= more | {"callback": stop}
        with suppress(StopError):
            first.net.fit(first.X, first.y, **first.beside, **first.options)
        again = problem(seed)
        again.options |= more
        return fitted(again)


def like(ours: Any, due: Any, tolerance: float) -> None:
    """Raise AssertionError where two fits differ by more than `tolerance`, relative to the largest number of each."""
    assert not isinstance(ours, str), ours
    (net, history), (other, told) = ours, due
    for key, array in other.parameters().items():
        close(net.parameters()[key], array, tolerance, key)
    for name in RECORDED:
        got, expected = (np.array(getattr(each, name), float) for each in (history, told))
        close(got, expected, tolerance, name)
    for got, expected in zip(net.layers, other.layers, strict=True):
        assert got.np_rng.bit_generator.state == expected.np_rng.bit_generator.state, "generators differ"


def close(got: np.ndarray, due: np.ndarray, tolerance: float, name: str) -> None:
    """Raise AssertionError where `got` is not `due`; 0: not to the bit."""
    scale = np.abs(due).max(initial=0.1) if np.isfinite(due).all() else 1.0
    np.testing.assert_allclose(got, due, rtol=tolerance, atol=tolerance * scale, err_msg=name)


@contextmanager
def in_python() -> Any:
    """Let fits be loops in Python."""
    kept = fit.compiles
    fit.compiles = lambda net: False
    try:
        yield
    finally:
        fit.compiles = kept
