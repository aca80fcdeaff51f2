"""Checkpoints: files from which an interrupted fit resumes with exactly the same results.

An `.npz` without pickled objects, as a model file is one. Its arrays: `format`, the number of the format; `checkpoint`,
a JSON text with the settings of the fit, digests of its data, and its state; all arrays of that state as `0`, `1`, ...,
where the text has `{"array": "0"}`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np

from cgru import activations
from cgru.files import Archive, atomic_write, check_writable
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.data.training_data import Data
from cgru.network.files import LONGEST, FileError, file_error, read_checked, read_json
from cgru.network.history import LEFT_OUT_IN_A_ROW, Epoch, History
from cgru.network.model import Model
from cgru.network.options import Checkpoint
from cgru.network.training.updater import OF_FIT
from cgru.optimizers import NAMED, Optimizer, Plateau

__all__ = ["CheckpointFile", "State"]

FORMAT = 1
KIND = "checkpoint"  # the kind of file in errors, and the name of its JSON text
STEPS = 1 << 20  # how many steps of samples are hashed at once
NUMBERS = tuple(each.name for each in fields(Epoch) if each.name != "metrics")
OURS = {kind.__name__: kind.arrays for kind in NAMED.values()} | {OF_FIT: 2}  # arrays of each parameter's state
FLOATS = np.dtype(np.float32), np.dtype(np.float64)
MOST_SEEDS = 1024  # numbers of the split's seed
MOST = 1 << 53  # of what is counted
PLACES = {"pos": 624, "buffer_pos": 4}  # the most of each in a state of NumPy's MT19937 and Philox, which check neither
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

Arrays = dict[str, np.ndarray]


@dataclass
class State:
    """The state of a fit at the end of an epoch.

    `now`, `best` and each entry of `fallback` are dicts of `parameters`, `optimizer_state`, `mean` and `scale`. `best`
    is None where the current parameters are the best.
    """

    history: History  # of this fit
    all_history: History  # of the network
    lowest: float  # the lowest validation loss
    stale: int  # epochs since then
    generators: list[dict[str, Any]]  # the states of all random generators
    now: dict[str, Any]
    best: dict[str, Any] | None
    row: int  # how many updates in a row, up to the last one, were left out
    lowest_loss: float  # the lowest training loss since the last return, for `recover`
    fallback: list[dict[str, Any]]  # parameters to go back to, with their `epoch`


class CheckpointFile:
    """The checkpoint file of one fit, written at most once in a given number of seconds.

    Args:
        given: where and how often it is written, and whether the fit resumes from it.
        split_seed: the seed of the validation split for a fit that begins anew.

    Attributes:
        found: the state in the file; None where there is nothing to resume from.
        split_seed: the seed in the file, or the one that was given.

    Raises:
        ValueError: the file is no checkpoint, or its path no name of a file.
        OSError: the file cannot be read, or no file can be written there.
    """

    def __init__(self, given: Checkpoint, split_seed: np.random.SeedSequence) -> None:
        """Check that the file can be written, and read an existing one; the class documents the errors."""
        check_writable(given.path, KIND)
        self.path, self.seconds, self.split_seed = given.path, given.seconds, split_seed
        self.found: State | None = None
        self._options, self._data, self._theirs = {}, {}, {}  # options and data of this fit; settings in the file
        self._due, self._features = -math.inf, None
        if os.path.exists(self.path):  # checked without `resume`, too: a file of another kind must not be replaced
            found = read_checked(self.path, KIND, FORMAT, _unpack_archive if given.resume else _read_text)
            if given.resume:
                self._theirs, self.found, self.split_seed = found

    def check_fit(self, model: Model, data: Data, held_out: Data | None, options: Mapping[str, Any]) -> None:
        """Bind the checkpoint to a fit of `model` on these data; ValueError if the file belongs to another fit."""
        self._options = {name: _json_setting(value) for name, value in options.items()}
        self._features = data.first.X.shape[2:]
        self._data = _digests(data) | ({} if held_out is None else _digests(held_out, "validation "))
        if self.found is None:
            return
        ours, theirs = self._settings(model), self._theirs
        for name in {**ours, **theirs}:
            due, got = theirs.get(name), ours.get(name)
            if due != got:
                another = f"{os.fspath(self.path)} is the checkpoint of another fit"
                raise FileError(f"{another}: {name}: expected {due!r}, got {got!r}")

    def take_state(
        self, parameters: Arrays, generators: Sequence[np.random.BitGenerator] | None = None
    ) -> State | None:
        """Return the state that was read from the file, and forget it; None if there is none.

        ValueError if its parameters have other shapes, if a state of the package's optimizers is none of theirs, if a
        number is out of range, or if one of the `generators` (None: not checked) does not take the state that it is to
        have.
        """
        found, self.found = self.found, None
        if found is None:
            return None
        try:
            why = _mismatch(found, parameters, self._theirs["optimizer"], self._features, generators)
        except (MemoryError, SystemError):
            raise
        except Exception as error:  # a damaged state fails in more ways than can be listed
            why = f"it is damaged ({type(error).__name__}: {error})"
        if why:
            raise file_error(self.path, why, KIND)
        return found

    def due(self) -> bool:
        """Return whether enough time has passed to write the file again."""
        return time.monotonic() >= self._due

    def write(self, model: Model, state: State) -> None:
        """Write the state of the fit to the file, completely or not at all, by `cgru.files.atomic_write`."""
        seed = {"entropy": self.split_seed.entropy, "spawn_key": list(self.split_seed.spawn_key)}
        arrays: Arrays = {}
        histories = {name: _history_to_table(getattr(state, name)) for name in ("history", "all_history")}
        state_now = _to_json(vars(state) | histories, arrays)
        text = json.dumps({"settings": self._settings(model), "state": state_now, "split_seed": seed})
        if len(text) > LONGEST:
            raise ValueError(f"{KIND}: expected a state of at most {LONGEST} characters plus arrays, got {len(text)}")
        with atomic_write(self.path) as file:
            np.savez(file, **arrays, **{"format": np.array(FORMAT), KIND: np.array(text)})
        self._due = time.monotonic() + self.seconds

    def _settings(self, model: Model) -> dict[str, Any]:
        """Return the fit's options, the model's settings and hashes of the data, which identify a fit."""
        return self._options | _settings(model) | self._data


# --- settings by which fits are compared ---


def _settings(model: Model) -> dict[str, Any]:
    """Return the settings of a model that influence training, without parameters, as JSON types."""
    kind = type(model.optimizer).__name__
    settings = {"loss": _json_setting(model.loss), "dtype": model.dtype.name, "optimizer": kind}
    options = getattr(model.optimizer, "__dict__", {})
    settings |= {f"optimizer.{name}": _json_setting(value) for name, value in options.items()}
    settings |= {f"layer {i}": _layer_text(layer) for i, layer in chain.leaves(model.layers)}
    drawn = [id(layer.np_rng.bit_generator) for _, layer in chain.leaves(model.layers)]
    return settings | {"layers that share a generator": [drawn.index(each) for each in drawn]}


def _json_setting(value: Any) -> Any:
    """Return a setting as JSON types; objects without a JSON type, such as functions, by their name."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {key: _json_setting(each) for key, each in value.items()}
    if isinstance(value, list):
        return list(map(_json_setting, value))
    return repr(value) if isinstance(value, Plateau | Optimizer) else activations.name_of(value)


def _layer_text(layer: Layer) -> str:
    """Return the settings of a layer and of its cells as text."""
    words = []
    for part in (layer, *(cell for cell in layer.cells if cell is not layer)):
        words.append(ADDRESS.sub("", repr(part)))
        words += [f"{name}={getattr(part, name, None)}" for name in ("trainable", "training", "clip_gradients")]
        numbers = getattr(part, "se_hPars", None) or {}
        words += [f"{key}={activations.parameter(numbers, key)}" for key in activations.DEFAULTS if key in numbers]
        words.append(type(part.np_rng.bit_generator).__name__)
    return " ".join(words)


def _digests(data: Data, prefix: str = "") -> dict[str, str | None]:
    """Return dtype, shape and hash of X, y, lengths, weights and other arrays as text, without padding.

    None for those not given.
    """
    import hashlib  # here, since importing it takes a tenth of the package's import time

    digests, m, some = defaultdict(lambda: hashlib.blake2b(digest_size=16)), 0, data.first
    for part in data.blocks(max(1, STEPS // data.extent[1])):
        m += len(part)
        arrays = {"X": part.X if part.lengths is None else part.X[part.real], "y": part.rows(part.y)}
        arrays |= {"lengths": part.steps, "weights": part.weights}
        arrays |= {name: array[part.real] for name, array in part.beside.items()}
        for name, array in arrays.items():
            if array is not None:
                digests[name].update(np.ascontiguousarray(array))
    hashes = {name: digest.hexdigest() for name, digest in digests.items()}
    found = {
        "X": f"{some.X.dtype} {(m, *some.X.shape[1:])} {hashes['X']}",
        "y": f"{some.y.dtype} {(m, *some.y.shape[1:])} {hashes['y']}",
        "lengths": None if some.lengths is None else hashes["lengths"],
        "sample_weight, class_weight": None if some.weights is None else hashes["weights"],
        "resets, decay": hashes.get("decay"),
        "times": hashes.get("times"),
    }
    return {prefix + name: value for name, value in found.items()}


def _shapes(arrays: Arrays) -> dict[str, Any]:
    """Return the shape and dtype of each array, by name."""
    return {key: (array.shape, array.dtype) for key, array in arrays.items()}


def _mismatch(
    found: State,
    parameters: Arrays,
    optimizer: str,
    features: tuple[int, ...] | None,
    generators: Sequence[np.random.BitGenerator] | None,
) -> str:
    """Return why a state does not fit the parameters, optimizer, features or generators; "" if it fits."""
    for moment in (found.now, found.best or found.now, *found.fallback):
        if _shapes(moment["parameters"]) != _shapes(parameters):
            return "it has other parameters than the network"
        why = _state_mismatch(moment["optimizer_state"], parameters, optimizer)
        if why:
            return f"it has an optimizer's state that is {why}"
        given = [moment[name] for name in ("mean", "scale") if moment[name] is not None]
        measured = [np.asarray(each, np.float64).shape for each in given]
        if features is not None and measured not in ([], [features] * 2):
            return f"mean and scale: expected shape {features}, got {measured}"
        if moment.get("unit") is not None and not 0 < moment["unit"] < math.inf:
            return "unit: expected a number above 0"
    epochs = len(found.history)
    counts = {"row": (found.row, LEFT_OUT_IN_A_ROW), "stale": (found.stale, epochs)}
    counts |= {f"fallback {i}": (each["epoch"], epochs) for i, each in enumerate(found.fallback)}
    for name, (count, most) in counts.items():
        if not _is_count(count, most):
            return f"{name}: expected an integer from 0 to {most}"
    for name in ("lowest", "lowest_loss"):
        if not isinstance(getattr(found, name), float | None):
            return f"{name}: expected a number or null"
    if [each.epoch for each in found.history] != [*range(1, epochs + 1)]:
        return "history: expected the epochs from 1 on"
    if generators is not None:
        for generator, state in zip(generators, found.generators, strict=True):
            places = state | (state["state"] if isinstance(state["state"], dict) else {})
            if not all(_is_count(places.get(name, 0), most) for name, most in PLACES.items()):
                return "it has a generator's state that is at no number of its own"
            copy.deepcopy(generator).state = state
    return ""


def _is_count(value: Any, most: int = MOST) -> bool:
    """Return whether a value is an integer from 0 to `most`."""
    return isinstance(value, int) and 0 <= value <= most


def _state_mismatch(state: Any, parameters: Arrays, optimizer: str) -> str:
    """Return how the state of an optimizer does not fit that optimizer; "" if it fits.

    By key each has a number of steps and float arrays, of one shape: for the current `optimizer`, and the running means
    of a fit, the parameter's. What another one left may be of layers that are no more.
    """
    for name, count in OURS.items():
        for key, (steps, *arrays) in state.get(name, {}).items():
            if not _is_count(steps):
                return "not of counts"
            if not all(isinstance(each, np.ndarray) and each.dtype in FLOATS for each in arrays):
                return "not of floats"
            due = parameters[key] if name in (optimizer, OF_FIT) and key in parameters else arrays[0]
            if [each.shape for each in arrays] != [due.shape] * count:
                return "of other shapes"
    return ""


# --- the contents of the file ---


def _to_json(value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON types, with its arrays moved to `arrays`; TypeError for types that JSON would change."""
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        name = str(len(arrays))
        arrays[name] = value
        return {"array": name}
    if type(value) is dict and all(type(key) is str for key in value) and value.keys() != {"array"}:
        return {key: _to_json(entry, arrays) for key, entry in value.items()}
    if type(value) is list:
        return [_to_json(entry, arrays) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{KIND}: expected an optimizer's state of dicts, lists, numbers and arrays, got {value!r}")


def _read_text(archive: Archive, arrays: Arrays | None = None) -> dict[str, Any]:
    """Parse the JSON text of a checkpoint, and replace references by the `arrays` that they name."""

    def filled(entry: dict[str, Any]) -> Any:
        """Return the array that an entry refers to; any other entry is returned unchanged."""
        return entry if arrays is None or entry.keys() != {"array"} else arrays[entry["array"]]

    return read_json(KIND, archive, filled)


def _unpack_archive(archive: Archive) -> tuple[dict[str, Any], State, np.random.SeedSequence]:
    """Return (settings, state, seed of the validation split) of a checkpoint."""
    found = _read_text(archive, {name: archive.read(name) for name in archive.headers.keys() - {KIND}})
    state = State(**found["state"])
    state.history, state.all_history = _history_from_table(state.history), _history_from_table(state.all_history)
    return found["settings"], state, _seed_of(found["split_seed"])


def _seed_of(found: dict[str, Any]) -> np.random.SeedSequence:
    """Return the seed for the entropy and key that `write` stored; ValueError for anything else in the entry."""
    entropy, key = found["entropy"], found["spawn_key"]
    numbers = [*(entropy if isinstance(entropy, list) else [entropy]), *key]
    if len(found) != 2 or len(numbers) > MOST_SEEDS or not all(isinstance(each, int) and each >= 0 for each in numbers):
        raise ValueError(f"split_seed: expected entropy and spawn_key, up to {MOST_SEEDS} integers of at least 0")
    return np.random.SeedSequence(entropy, spawn_key=key)


def _history_to_table(history: History) -> list[Any]:
    """Return a history as a dict of lists and arrays.

    They are the figures of each epoch (NaN for None), the names of metrics, their values, which epochs have them, and
    the returns.
    """
    metrics = history.metrics
    names = sorted(set().union(*metrics))
    values = np.array([[each.get(name, math.nan) for each in metrics] for name in names])
    there = np.array([[name in each for each in metrics] for name in names], bool)
    table = np.array(list(map(attrgetter(*NUMBERS), history)), np.float64)
    return [table, names, values, there, list(map(list, history.returns))]


def _history_from_table(found: list[Any]) -> History:
    """Return the history that `_history_to_table` converted to `found`."""
    table, names, values, there, returns = found
    rows = ([None if math.isnan(value) else value for value in row] for row in table.tolist())
    metrics = [{} for _ in table]
    for name, column, had in zip(names, values.tolist(), there.tolist(), strict=True):
        for i in np.flatnonzero(had):
            metrics[i][name] = column[i]
    history = History()
    for row, own in zip(rows, metrics, strict=True):
        told = dict(zip(NUMBERS, row, strict=True))
        whole = {name: int(told[name]) for name in ("epoch", "epochs", "skipped")}
        if not 1 <= whole["epoch"] <= whole["epochs"] <= MOST or not 0 <= whole["skipped"] <= MOST:
            raise ValueError("history: expected epochs and numbers of updates, got others")
        if told["loss"] is None:
            raise ValueError("history: expected a loss of each epoch, got none")
        history.append(Epoch(**told | whole, metrics=own))
    history.returns = tuple(map(tuple, returns))
    if not all(len(pair) == 2 and all(map(_is_count, pair)) for pair in history.returns):
        raise ValueError("returns: expected pairs of epochs")
    return history
