"""The checkpoint of a fit: the file from which it goes on where it was stopped, to the very bits of one never stopped.

An `.npz` without pickled objects, as a model file is one. Its arrays: `format`, the number of the format; `checkpoint`,
a JSON text with the settings of the fit, digests of its data, and its state; all arrays of that state as `0`, `1`, ...,
where the text has `{"array": "0"}`.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import numpy as np

from cgru import activations
from cgru.files import Archive, atomic_write, check_writable
from cgru.layers.layer import Layer
from cgru.network.data.training_data import Data
from cgru.network.files import LONGEST, judged, refused, spelled_out
from cgru.network.history import Epoch, History
from cgru.network.model import Model
from cgru.optimizers import Plateau

__all__ = ["Checkpoint", "State"]

FORMAT = 2  # 1 had no updates that were left out, and no returns
KIND = "checkpoint"  # what the file is called, and its text
STEPS = 1 << 20  # of samples that are digested at once
NUMBERS = tuple(each.name for each in fields(Epoch) if each.name != "metrics")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

Arrays = dict[str, np.ndarray]


@dataclass
class State:
    """What a fit has come to at the end of an epoch.

    `now`, `best` and each of `fallback` have `parameters`, `optimizer_state`, `mean` and `scale`; `best` is None where
    it is as now.
    """

    history: History  # of this fit
    all_history: History  # of the network
    lowest: float  # validation loss
    stale: int  # epochs since then
    generators: list[dict[str, Any]]  # their states
    now: dict[str, Any]
    best: dict[str, Any] | None
    row: int = 0  # updates that were left out since the last one
    lowest_loss: float = math.inf
    fallback: list[dict[str, Any]] = field(default_factory=list)  # to go back to, with the `epoch` of each


class Checkpoint:
    """The checkpoint of one fit at `path`, which is due `seconds` after it was last written.

    Args:
        resume: whether to go on from the file, where there is one.
        split_seed: what sets validation samples aside in a fit that begins anew.

    Attributes:
        found: the state in the file; None: there is nothing to go on from.
        split_seed: that of the fit that goes on, or the one that was given.

    Raises:
        TypeError, ValueError: an argument is not what it should be, or what stands at `path` is no checkpoint.
        OSError: it cannot be read, or no file can be written there.
    """

    def __init__(self, path: Any, seconds: float, resume: bool, split_seed: np.random.SeedSequence) -> None:
        check_writable(path, KIND)
        self.path, self.seconds, self.split_seed = path, seconds, split_seed
        self.found: State | None = None
        self._options, self._data, self._theirs = {}, {}, {}  # settings of this fit, and all of the one in the file
        self._due = -math.inf
        if os.path.exists(path):  # another file is not replaced either
            found = judged(path, KIND, FORMAT, _unpacked if resume else _described)
            if resume:
                self._theirs, self.found, self.split_seed = found

    def belongs(self, model: Model, data: Data, held_out: Data | None, options: Mapping[str, Any]) -> None:
        """It is that of a fit of `model` to these samples; ValueError where what was found is that of another."""
        self._options = {name: _plain(value) for name, value in options.items()}
        self._data = _digests(data) | ({} if held_out is None else _digests(held_out, "validation "))
        if self.found is None:
            return
        ours, theirs = self._settings(model), self._theirs
        for name in {**ours, **theirs}:
            due, got = theirs.get(name), ours.get(name)
            if due != got:
                another = f"{os.fspath(self.path)} is the checkpoint of another fit"
                raise ValueError(f"{another}: {name}: expected {due!r}, got {got!r}")

    def taken(self, parameters: Arrays) -> State | None:
        """What was found, once; ValueError where it is not for these parameters."""
        found, self.found = self.found, None
        for moment in () if found is None else (found.now, found.best or found.now, *found.fallback):
            if _shapes(moment["parameters"]) != _shapes(parameters):
                raise refused(self.path, "it has other parameters than the network", KIND)
        return found

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._due

    def write(self, model: Model, state: State) -> None:
        """Write what the fit has come to, whole or not at all; errors are those of `cgru.files.atomic_write`."""
        seed = {"entropy": self.split_seed.entropy, "spawn_key": list(self.split_seed.spawn_key)}
        arrays: Arrays = {}
        histories = {name: _table(getattr(state, name)) for name in ("history", "all_history")}
        state_now = _packed(vars(state) | histories, arrays)
        text = json.dumps({"settings": self._settings(model), "state": state_now, "split_seed": seed})
        if len(text) > LONGEST:
            raise ValueError(f"{KIND}: expected a state of at most {LONGEST} characters beside arrays, got {len(text)}")
        with atomic_write(self.path) as file:
            np.savez(file, **arrays, **{"format": np.array(FORMAT), KIND: np.array(text)})
        self._due = time.monotonic() + self.seconds

    def _settings(self, model: Model) -> dict[str, Any]:
        """All that makes this fit the one that it is, with the network as a callback may have changed it by now."""
        return self._options | _settings(model) | self._data


# --- what fit it is of ---


def _settings(model: Model) -> dict[str, Any]:
    """What of a model decides how it trains, its parameters apart, in JSON's types."""
    kind = type(model.optimizer).__name__
    settings = {"loss": _plain(model.loss), "dtype": model.dtype.name, "optimizer": kind}
    options = getattr(model.optimizer, "__dict__", {})
    settings |= {f"optimizer.{name}": _plain(value) for name, value in options.items()}
    settings |= {f"layer {i}": _layer(layer) for i, layer in enumerate(model.layers)}
    drawn = [id(layer.np_rng.bit_generator) for layer in model.layers]
    return settings | {"layers that share a generator": [drawn.index(each) for each in drawn]}


def _plain(value: Any) -> Any:
    """A setting in JSON's types, which for what has none is but its name."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return list(map(_plain, value))
    return repr(value) if isinstance(value, Plateau) else activations.name_of(value)


def _layer(layer: Layer) -> str:
    """A layer and the cells in it, in words."""
    words = []
    for part in (layer, *(cell for cell in layer.cells if cell is not layer)):
        words.append(ADDRESS.sub("", repr(part)))
        words += [f"{name}={getattr(part, name, None)}" for name in ("trainable", "training", "clip_gradients")]
        numbers = getattr(part, "se_hPars", None) or {}
        words += [f"{key}={activations.parameter(numbers, key)}" for key in activations.DEFAULTS if key in numbers]
        words.append(type(part.np_rng.bit_generator).__name__)
    return " ".join(words)


def _digests(data: Data, prefix: str = "") -> dict[str, str | None]:
    """X, y, lengths and weights in words that say which they are; what is padding does not count."""
    import hashlib  # whose own import takes a tenth of that of the package

    digests, m = [hashlib.blake2b(digest_size=16) for _ in range(4)], 0
    for part in data.blocks(max(1, STEPS // data.extent[1])):
        m += len(part)
        X = part.X if part.lengths is None else part.X[part.real]
        for digest, array in zip(digests, (X, part.rows(part.y), part.steps, part.weights), strict=True):
            if array is not None:
                digest.update(np.ascontiguousarray(array))
    (X, y, lengths, weights), some = (each.hexdigest() for each in digests), data.first
    found = {
        "X": f"{some.X.dtype} {(m, *some.X.shape[1:])} {X}",
        "y": f"{some.y.dtype} {(m, *some.y.shape[1:])} {y}",
        "lengths": None if some.lengths is None else lengths,
        "sample_weight, class_weight": None if some.weights is None else weights,
    }
    return {prefix + name: value for name, value in found.items()}


def _shapes(arrays: Arrays) -> dict[str, Any]:
    return {key: (array.shape, array.dtype) for key, array in arrays.items()}


# --- what stands in the file ---


def _packed(value: Any, arrays: Arrays) -> Any:
    """A value in JSON's types, its arrays put into `arrays`; TypeError for what would not come back as it is."""
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        name = str(len(arrays))
        arrays[name] = value
        return {"array": name}
    if type(value) is dict and all(type(key) is str for key in value) and value.keys() != {"array"}:
        return {key: _packed(entry, arrays) for key, entry in value.items()}
    if type(value) is list:
        return [_packed(entry, arrays) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{KIND}: expected an optimizer's state of dicts, lists, numbers and arrays, got {value!r}")


def _described(archive: Archive, arrays: Arrays | None = None) -> dict[str, Any]:
    """What the text of a checkpoint says, with the `arrays` where it has them."""

    def filled(entry: dict[str, Any]) -> Any:
        return entry if arrays is None or entry.keys() != {"array"} else arrays[entry["array"]]

    return spelled_out(KIND, archive, filled)


def _unpacked(archive: Archive) -> tuple[dict[str, Any], State, np.random.SeedSequence]:
    """The settings, the state and the seed of the split that `write` got."""
    found = _described(archive, {name: archive.read(name) for name in archive.headers.keys() - {KIND}})
    state = State(**found["state"])
    state.history, state.all_history = _history(state.history), _history(state.all_history)
    return found["settings"], state, np.random.SeedSequence(**found["split_seed"])


def _table(history: History) -> list[Any]:
    """A row for each epoch, NaN for None, the metrics of each, where there are any, and the epochs that diverged."""
    metrics = history.metrics
    names = sorted(set().union(*metrics))
    values = np.array([[each.get(name, math.nan) for each in metrics] for name in names])
    there = np.array([[name in each for each in metrics] for name in names], bool)
    table = np.array(list(map(attrgetter(*NUMBERS), history)), np.float64)
    return [table, names, values, there, list(map(list, history.returns))]


def _history(found: list[Any]) -> History:
    table, names, values, there, *returns = found  # format 1 had no returns, and one column less
    rows = ([None if math.isnan(value) else value for value in row] for row in table.tolist())
    metrics = [{} for _ in table]
    for name, column, had in zip(names, values.tolist(), there.tolist(), strict=True):
        for i in np.flatnonzero(had):
            metrics[i][name] = column[i]
    history = History()
    for row, own in zip(rows, metrics, strict=True):
        told = dict(zip(NUMBERS, row, strict=False))
        whole = {name: int(told[name]) for name in ("epoch", "epochs", "skipped") if name in told}
        history.append(Epoch(**told | whole, metrics=own))
    history.returns = tuple(map(tuple, returns[0] if returns else ()))
    return history
