"""A job (one fit among many), the data that jobs share, the result of a job, and the function that runs one.

m samples, s steps, e features, u units.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cgru.core.checks import positive
from cgru.files import map_array
from cgru.network.data.samples import Sequences
from cgru.network.data.split import classes_to_split, draw_held_out, encode_groups
from cgru.network.history import SCORES, DivergenceError, History
from cgru.network.network import Network
from cgru.network.options import OPTIONS
from cgru.network.presentation import figure

__all__ = ["DATA", "OWN", "Job", "Result", "SharedData", "WorkerState", "changed_by_fit", "run"]

OWN = OPTIONS.keys() - {"progress"}  # options of `Network.fit` that a job takes
DATA = ("lengths", "sample_weight", "groups")  # the arrays that belong to X and y
_SCORES = ("epoch", *SCORES)  # the scores of the epoch whose parameters were kept
_TAKEN = {*_SCORES, "epochs", "start", "name", "seconds", "error"}  # names that no metric may have


@dataclass(frozen=True)
class SharedData:
    """The training data of jobs, as `Network.fit` takes them: arrays, or paths of `.npy` files, or None.

    Paths become absolute, for processes with another working directory.
    """

    X: Any = None
    y: Any = None
    lengths: Any = None
    sample_weight: Any = None
    groups: Any = None

    def __post_init__(self) -> None:
        """Make paths absolute; raise ValueError for X without targets, or any other array without X."""
        if self.y is None and self.X is not None:
            raise ValueError("y: expected targets to go with X, got None")
        for name, value in vars(self).items():
            if self.X is None and value is not None:
                raise ValueError(f"X: expected samples to go with {name}, got None")
            if _is_path(value):
                vars(self)[name] = os.path.abspath(value)

    def opened(self) -> SharedData:
        """Return the data as arrays: files are memory-mapped, lists converted.

        ValueError where arrays differ in their number of samples, or a file has no array. OSError where a file cannot
        be read.
        """
        found = SharedData(*(_load(value, name) for name, value in vars(self).items()))
        for name, value in vars(found).items():
            if value is not None and not value.ndim:
                raise TypeError(f"{name}: expected an array, a list or the name of an .npy file, got {value.dtype}")
            if value is not None and len(value) != len(found.X):
                raise ValueError(f"{name}: expected as many as X has samples, {len(found.X)}, got {len(value)}")
        return found

    def portable(self) -> SharedData:
        """Return the data as they are sent to other processes: paths stay paths, all else becomes arrays."""
        return SharedData(*(each if _is_path(each) else _load(each, name) for name, each in vars(self).items()))

    def select(self, rows: Any) -> tuple[Any, ...]:
        """Return X, y, lengths and sample_weight of the samples `rows` (None: all), once the data are arrays."""
        names = "X", "y", "lengths", "sample_weight"
        return tuple(a if (a := getattr(self, name)) is None or rows is None else a[rows] for name in names)


def _is_path(value: Any) -> bool:
    """Return whether data are given as the path of a file."""
    return isinstance(value, str | os.PathLike)


def _load(value: Any, name: str) -> Any:
    """Return the argument `name` as an array: map a file into memory; a list of sequences as `Sequences`."""
    try:
        if value is None or isinstance(value, np.ndarray | Sequences):
            return value
        if _is_path(value):
            return map_array(value)
        if name == "X" and isinstance(value, list | tuple) and len({np.shape(x)[:1] for x in value}) > 1:
            return Sequences(value)
        return np.asarray(value, object if name == "groups" else None)  # else NaN among strings became a string
    except ValueError as error:
        due = value if _is_path(value) else "expected an array, or arrays that differ in length alone"
        raise ValueError(f"{name}: {due}: {error}") from None


class Job:
    """One fit of a network, with its data, rows and options.

    Errors in the data are in the job's result.

    Args:
        network: a `Network`, or a function without arguments that makes one, with layers of its own, when its turn
            comes.
        name: the name of its result: a string, a number or a tuple of them; None: its index among the jobs.
        X: its own data, as `Network.fit` takes them, or, like those that follow, the path of an `.npy` file; None: the
            data that all jobs share.
        y: its own targets, likewise.
        lengths: the real steps of each sample, likewise.
        sample_weight: the weight of each sample, likewise.
        groups: the group of each sample, likewise. A group is never both among the rows that train and those held out.
        rows: the samples to train on: integers, booleans (m,) or a slice. None, if none are held out: all.
        validation_rows: the samples to validate with, instead of `validation`.
        test_rows: the samples to score the fitted network on.
        starts: the number of fits from new initial parameters; the one with the lowest validation loss is kept.
            `network` is then a function of the number of the start, from 0. All starts validate with the same samples,
            also where `validation` is a share. Starts that diverge are dropped; the job fails if all diverge. Not
            together with a `checkpoint`, which is one file.
        **options: the other options of `Network.fit`, without `progress`. No metric may have the name of a score of
            `Result`, or begin with `test_`, or end with `_spread`.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> def make(start):
        ...     return cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=start)
        >>> rows = {"rows": range(16), "test_rows": range(16, 20)}
        >>> job = cgru.Job(make, "best of 3", **rows, starts=3, validation=0.25, epochs=2)
        >>> (result,) = cgru.fit_many([job], np.ones((20, 5, 2)), np.zeros(20))
        >>> result.name, result.scores["start"] in (0, 1, 2), result.scores["test_loss"] >= 0
        ('best of 3', True, True)
    """

    def __init__(
        self,
        network: Network | Callable[..., Network],
        name: Any = None,
        *,
        X: Any = None,
        y: Any = None,
        lengths: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        rows: Any = None,
        validation_rows: Any = None,
        test_rows: Any = None,
        starts: int | None = None,
        **options: Any,
    ) -> None:
        is_network, validates = isinstance(network, Network), options.get("validation") is not None
        if not is_network and not callable(network):
            raise TypeError(f"network: expected a Network or a function that makes one, got {type(network).__name__}")
        for unknown in sorted(options.keys() - OWN):
            raise TypeError(f"{unknown}: expected what Network.fit takes, {', '.join(sorted(OWN))}")
        if validation_rows is not None and validates:
            raise ValueError("validation: expected None together with validation_rows, got some")
        for held, given in (("validation_rows", validation_rows), ("test_rows", test_rows)):
            if rows is None and given is not None:
                raise ValueError(f"rows: expected some together with {held}, or slice(None) for all, got None")
        for metric in options.get("metrics") or ():
            if metric in _TAKEN or str(metric).startswith("test_") or str(metric).endswith("_spread"):
                raise ValueError(f"metrics: expected another name than {metric}, which results have of their own")
        if starts is not None:
            positive(starts, "starts")
            if options.get("checkpoint") is not None:
                raise ValueError("checkpoint: expected None together with starts, which would all write that file")
            if is_network:
                raise TypeError("network: expected a function that makes a Network, for starts, got a Network")
            if validation_rows is None and not validates:
                raise ValueError("starts: expected validation or validation_rows to choose by, got none")
        if not all(isinstance(each, Hashable) for each in (name if isinstance(name, tuple) else [name])):
            raise TypeError(f"name: expected a string, a number, a tuple of them or None, got {type(name).__name__}")
        if options.get("checkpoint") is not None:  # workers may have another working directory
            given = OPTIONS["checkpoint"].check(options["checkpoint"], "checkpoint")
            options["checkpoint"] = replace(given, path=os.path.abspath(given.path))
        self.network, self.name, self.starts, self.options = network, name, starts, options
        self.samples = SharedData(X, y, lengths, sample_weight, groups)
        self.rows = _as_row_index(rows, "rows")
        self.validation_rows = _as_row_index(validation_rows, "validation_rows")
        self.test_rows = _as_row_index(test_rows, "test_rows")

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self.network!r})"


def _as_row_index(value: Any, name: str) -> Any:
    """Return the argument `name` as an index of rows: integers (n,) from 0 on, booleans (m,), a slice or None."""
    if value is None or isinstance(value, slice):
        return value
    rows = np.asarray(value)
    is_index = rows.ndim == 1 and rows.size and rows.dtype.kind in "biu"
    if not is_index or (not rows.any() if rows.dtype == bool else rows.min() < 0):
        due = "integers (n,) from 0 on, booleans (m,), some of them true, a slice or None"
        raise ValueError(f"{name}: expected {due}, got {rows.dtype} {rows.shape}: {rows.tolist()!s:.40}")
    return rows


@dataclass(frozen=True)
class Result:
    """The result of a job: the fitted network and its scores, or the error.

    Attributes:
        name: the job's name.
        network: the fitted network; the job's own object where that ran in this process. None if not kept, or failed.
        history: the history of the fit, empty where it was not kept.
        scores: plain numbers, of the epoch whose parameters were kept: `epoch`, `loss`, `accuracy`, `validation_loss`,
            `validation_accuracy` as in the history, and on `test_rows` `test_loss`, `test_accuracy`. Metrics of the
            user likewise. Accuracies exist for classes alone. `epochs` is the number of epochs run, `start` the number
            of the start that was kept.
        error: the exception that was raised, or None. Without `keep` it has no cause, and the frames of its traceback
            are empty.
        seconds: the duration of the job.

    Examples:
        >>> net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=0)
        >>> (result,) = cgru.fit_many([cgru.Job(net, epochs=2)], np.ones((8, 5, 2)), np.zeros(8))
        >>> result.name, result.network is net, sorted(result.scores)
        (0, True, ['epoch', 'epochs', 'loss'])
        >>> (result,) = cgru.fit_many([cgru.Job(net, epochs=2)], np.ones((8, 5, 3)), np.zeros(8))
        >>> type(result.error).__name__  # the network has parameters for two features
        'ValueError'
    """

    name: Any
    network: Network | None = None
    history: History = field(default_factory=History)
    scores: dict[str, float] = field(default_factory=dict)
    error: BaseException | None = None
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return the result without network and history.

        Returns:
            A plain dict of name, scores, seconds and error, which is a text or None.

        Examples:
            >>> cgru.Result("a", scores={"loss": 0.5}, error=ValueError("no data")).record()
            {'name': 'a', 'loss': 0.5, 'seconds': 0.0, 'error': 'ValueError: no data'}
        """
        error = self.error if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return {"name": self.name, **self.scores, "seconds": self.seconds, "error": error}

    def __repr__(self) -> str:
        parts = [f"{name}={figure(value)}" for name, value in self.scores.items()]
        if self.error is not None:
            parts = [f"error={self.error!r}"]
        return f"Result({', '.join([repr(self.name), *parts])})"


@dataclass(frozen=True, eq=False)
class WorkerState:
    """The state that the jobs of one call share: which networks are being fitted, and whether to stop.

    networks: those that any thread is fitting.
    made: by id, every network of a job and its parts that a fit changes, to refuse a second use; guarded by `lock`.
    over: set once no other fit may begin.
    """

    networks: set[Network] = field(default_factory=set)
    made: weakref.WeakValueDictionary[int, Any] = field(default_factory=weakref.WeakValueDictionary)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Stop all fits after their current epoch, and let no other begin.

        Call it again for a fit that was just beginning.
        """
        self.over.set()
        for running in (*self.networks,):
            running.stop()


def run(job: Job, name: Any, shared: SharedData, keep: bool = True, state: WorkerState | None = None) -> Result:
    """Fit the network of a job and score it; return a result called `name`, with network and history if `keep`.

    An exception becomes the result's error. `shared` has arrays (`opened`). Meanwhile the network is among
    `state.networks`. KeyboardInterrupt where `state.over` is set.
    """
    start = time.perf_counter()
    try:
        net, history, scores = _fit_and_score(job, shared, state or WorkerState())
        kept = {"network": net, "history": history} if keep else {}
        return Result(name, **kept, scores=scores, seconds=time.perf_counter() - start)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too, which would end the worker
        if not keep:  # the frames of tracebacks hold the network and its samples
            error.__cause__ = error.__context__ = None
            traceback.clear_frames(error.__traceback__)
        return Result(name, error=error, seconds=time.perf_counter() - start)


def _fit_and_score(job: Job, shared: SharedData, state: WorkerState) -> tuple[Network, History, dict[str, float]]:
    """Fit the network of a job and score it on `test_rows`; return (network, history, scores)."""
    samples = shared if job.samples.X is None else job.samples.opened()
    if samples.X is None:
        raise ValueError("X: expected samples, the job's own or those that all share, got None")
    groups = encode_groups(samples.groups, len(samples.X))
    _check_rows(job, samples, groups)
    net, history, scores = _fit_best_start(job, samples, groups, state)
    if job.test_rows is not None:
        X, y, lengths, weights = samples.select(job.test_rows)
        found = net.evaluate(X, y, lengths, sample_weight=weights, metrics=job.options.get("metrics"))
        scores |= {f"test_{each}": value for each, value in found.items()}
    return net, history, scores


def _check_rows(job: Job, samples: SharedData, groups: np.ndarray | None) -> None:
    """Raise ValueError if a job selects rows that do not exist, or puts one group on both sides of a split."""
    for name in ("rows", "validation_rows", "test_rows"):
        rows = getattr(job, name)
        try:
            np.arange(len(samples.X))[slice(0) if rows is None else rows]
        except IndexError as error:
            raise ValueError(f"{name}: expected rows of X, {error}") from None
        if groups is not None and name != "rows" and rows is not None:
            for both in np.intersect1d(groups[job.rows], groups[rows])[:1]:
                which = np.asarray(samples.groups)[groups == both][0]
                raise ValueError(f"{name}: expected groups that are not among rows, got {which} in both")


def _fit_best_start(
    job: Job, samples: SharedData, groups: np.ndarray | None, state: WorkerState
) -> tuple[Network, History, dict[str, float]]:
    """Fit once per start; return (network, history, scores) of the start with the lowest validation loss.

    A share to validate with is drawn by `fit`. For several starts it is drawn here: `fit` would draw it by the seed of
    each start, and validation losses of different samples cannot be compared.
    """
    options, best, starts, share = dict(job.options), None, job.starts or 1, job.options.get("validation")
    for start in range(starts):
        if state.over.is_set():
            raise KeyboardInterrupt
        net = _make_network(job, start, state)
        if start == 0:
            rows, held_out = job.rows, job.validation_rows
            if isinstance(share, float | np.floating) and 0 < share < 1:
                own = np.arange(len(samples.X))[slice(None) if rows is None else rows]
                if job.starts is not None:
                    by = (None if a is None else a[own] for a in (classes_to_split(net, samples.y), groups))
                    is_held = draw_held_out(len(own), share, [0], *by)
                    rows, held_out = own[~is_held], own[is_held]
                elif groups is not None:
                    options["groups"] = groups[own]
            X, y, lengths, weights = samples.select(rows)
            if held_out is not None:
                options["validation"] = samples.select(held_out)
        state.networks.add(net)
        try:
            history = net.fit(X, y, lengths=lengths, sample_weight=weights, **options)
            kept = history.kept()
            if kept is None:  # with `recover`
                raise DivergenceError("the parameters at the start are the best", 0)
        except DivergenceError:
            if best is None and start == starts - 1:
                raise
            continue
        finally:
            state.networks.discard(net)
        scores = {name: value for name in _SCORES if (value := getattr(kept, name)) is not None}
        scores |= kept.metrics | {"epochs": len(history)} | ({} if job.starts is None else {"start": start})
        if best is None or scores["validation_loss"] < best[2]["validation_loss"]:
            best = net, history, scores
    return best


def _make_network(job: Job, start: int, state: WorkerState) -> Network:
    """Return the network of a job, calling its function if it has one; refuse a network that was used before."""
    net = job.network
    if not isinstance(net, Network):
        net = net() if job.starts is None else net(start)
    if not isinstance(net, Network):
        raise TypeError(f"network: expected a function that makes a Network, got {type(net).__name__} of it")
    own = list(changed_by_fit(net))
    with state.lock:
        for name, part in own:
            if id(part) in state.made:
                raise ValueError(f"{name}: expected a function that makes another one each time, got one twice")
        state.made.update((id(part), part) for _, part in own)
    return net


def changed_by_fit(net: Network) -> Iterator[tuple[str, Any]]:
    """Yield (name, object) for all that a fit changes: the network, layers that are not frozen, and their GRUs."""
    yield "network", net
    for i, layer in enumerate(net.layers):
        parts, is_new = (layer, *layer.cells), layer.parameter_names and not layer.p
        draws = any(part.draws for part in parts)
        if not layer.weights and (layer.trainable or layer.stateful or draws or is_new):
            yield from ((f"network.layers[{i}]", part) for part in parts)
