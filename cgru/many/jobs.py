"""A job, one fit among many; the samples that jobs share; and what becomes of a job.

m samples, s steps, e elements, u units.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cgru.core.checks import positive
from cgru.core.formatting import figure
from cgru.layers import Layer
from cgru.many.folds import Splittable, classes_of
from cgru.network.data.split import encode_groups
from cgru.network.history import SCORES, History
from cgru.network.network import Network
from cgru.network.options import OPTIONS, Settings
from cgru.network.training.fit import DIVERGED
from cgru.optimizers import check_number

__all__ = ["Job", "Result", "Running", "Samples", "changed", "cost_of", "run"]

OWN = OPTIONS.keys() - {"progress"}  # what a job may say of its fit
_KEPT = ("epoch", *SCORES)  # what is told of the epoch that was kept
_OTHERS = ("epochs", "start", "name", "seconds", "error")  # what a record has beside them


@dataclass(frozen=True)
class Samples:
    """What jobs are fitted to, as `fit` takes it: arrays, or the names of `.npy` files; None: none."""

    X: Any = None
    y: Any = None
    lengths: Any = None
    sample_weight: Any = None
    groups: Any = None

    def __post_init__(self) -> None:
        if self.y is None and self.X is not None:
            raise ValueError("y: expected targets beside X, got None")
        for name in ("y", "lengths", "sample_weight", "groups"):
            if self.X is None and getattr(self, name) is not None:
                raise ValueError(f"X: expected samples beside {name}, got None")

    def opened(self) -> Samples:
        """With files mapped into memory, and lists as arrays, so that rows can be taken of all.

        ValueError where they are not as many, or what a name leads to is no array; OSError where it cannot be read.
        """
        found = Samples(*(_opened(value, name) for name, value in vars(self).items()))
        for name, value in vars(found).items():
            if value is not None and not value.ndim:
                raise TypeError(f"{name}: expected an array, a list or the name of an .npy file, got {value.dtype}")
            if value is not None and len(value) != len(found.X):
                raise ValueError(f"{name}: expected as many as X has samples, {len(found.X)}, got {len(value)}")
        return found

    def portable(self) -> Samples:
        """With whole paths, which mean the same in another process, in the place of names, and lists as arrays."""
        named = {name: os.path.abspath(value) for name, value in vars(self).items() if _is_name(value)}
        return Samples(**{name: named.get(name) or _opened(value, name) for name, value in vars(self).items()})

    def taken(self, rows: Any, net: Network) -> tuple[Any, ...]:
        """X, y, lengths and sample_weight of some samples; of all where `rows` is None. `self` is opened.

        Of a list of sequences, what stands at steps ends with the longest that is taken, as with the longest of all.
        """
        given = (self.X, self.y, self.lengths, self.sample_weight)
        X, y, lengths, weights = (a if a is None or rows is None else a[rows] for a in given)
        if net.per_step and X.dtype == object:
            most = (np.array(max(np.shape(x)[:1] for x in sequences), np.intp) for sequences in (self.X, X))
            whole, longest = (tuple(net.output_lengths(steps, "X")) for steps in most)
            y, weights = (a[:, slice(*longest)] if a is not None and a.shape[1:2] == whole else a for a in (y, weights))
        return X, y, lengths, weights


def _is_name(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _opened(value: Any, name: str) -> Any:
    if _is_name(value):
        try:
            array = np.load(value, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name}: expected an .npy file without objects, got {value}: {error}") from None
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError(f"{name}: expected an .npy file, got an archive of several, {value}")
        return array
    if value is None or isinstance(value, np.ndarray):
        return value
    try:
        if isinstance(value, list | tuple) and len({np.shape(x)[:1] for x in value}) > 1:  # sequences of unlike lengths
            array = np.empty(len(value), object)
            array[:] = [np.asarray(x) for x in value]
            return array
        return np.asarray(value, object if name == "groups" else None)  # else NaN beside strings would be one of them
    except ValueError as error:  # a list of arrays that differ in something else than their lengths
        raise ValueError(f"{name}: expected an array, or arrays that differ in their lengths alone: {error}") from None


class Job:
    """One fit.

    Args:
        network: a `Network`, or a function without arguments that makes one, with layers of its own, when its turn
            comes.
        name: what its result is called: a string, number, or tuple of them; None: its place among the jobs.
        X, y, lengths, sample_weight, groups: samples of its own, as `fit` takes them, or the names of `.npy` files;
            None: those that all jobs share. No sample of a group trains where another of it is held out.
        rows: which of the samples to train on: integers, booleans (m,) or a slice; None, where none are held out: all.
        validation_rows: which to validate with, in the place of `validation`.
        test_rows: which to score the fitted network on.
        starts: how often to fit from anew: `network` is then a function of the number of the start, from 0, and the one
            with the lowest validation loss is kept; all validate with the same samples, where that is a share, too. A
            start that diverges is none; where all do, the job has failed. Not beside a `checkpoint`, which is one file.
        cost: how long it takes, in a unit that all jobs share, so that the longest begin first; None: `cost_of` says.
        options: all else that `Network.fit` takes, but for `progress`. No metric is called as a score of `Result`,
            `test_...`, which is what it is called on `test_rows`, or `..._spread`, as a `Grid` calls those of scores.

    TypeError or ValueError for what cannot be one; what is wrong with the data is told by the job's result.
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
        cost: float | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(network, Network) and not callable(network):
            raise TypeError(f"network: expected a Network or a function that makes one, got {type(network).__name__}")
        unknown = sorted(options.keys() - OWN)
        if unknown:
            raise TypeError(f"{unknown[0]}: expected what Network.fit takes, {', '.join(sorted(OWN))}")
        if validation_rows is not None and options.get("validation") is not None:
            raise ValueError("validation: expected None beside validation_rows, got some")
        for held, given in (("validation_rows", validation_rows), ("test_rows", test_rows)):
            if rows is None and given is not None:
                raise ValueError(f"rows: expected some beside {held}, which would train, too; slice(None) has all")
        metrics = options.get("metrics")
        for metric in metrics if isinstance(metrics, Mapping) else ():
            if metric in (*_KEPT, *_OTHERS) or str(metric).startswith("test_") or str(metric).endswith("_spread"):
                raise ValueError(f"metrics: expected another name than {metric}, which results have of their own")
        if starts is not None:
            positive(starts, "starts")
            if options.get("checkpoint") is not None:
                raise ValueError("checkpoint: expected None beside starts, which would all write that one file")
            if isinstance(network, Network):
                raise TypeError("network: expected a function that makes a Network, beside starts, got a Network")
            if validation_rows is None and options.get("validation") is None:
                raise ValueError("starts: expected validation, or validation_rows, beside it to choose by, got none")
        if not _is_hashable(name):
            raise TypeError(f"name: expected a string, a number, a tuple of them or None, got {type(name).__name__}")
        if cost is not None:
            check_number(cost, "cost")
        self.network, self.name, self.starts, self.cost, self.options = network, name, starts, cost, options
        self.samples = Samples(X, y, lengths, sample_weight, groups)
        self.rows = _rows(rows, "rows")
        self.validation_rows = _rows(validation_rows, "validation_rows")
        self.test_rows = _rows(test_rows, "test_rows")

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self.network!r})"


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _rows(value: Any, name: str) -> Any:
    """Which rows, as integers (n,), booleans (m,) or a slice; None stays None."""
    if value is None or isinstance(value, slice):
        return value
    rows = np.asarray(value)
    if rows.ndim != 1 or rows.dtype.kind not in "biu" or not rows.size:
        what = f"shape {rows.shape} of {rows.dtype}"
        raise ValueError(f"{name}: expected integers (n,), booleans (m,), a slice or None, got {what}")
    return rows


@dataclass(frozen=True)
class Result:
    """What has become of a job.

    Attributes:
        name: the job's.
        network: fitted; the job's own object where that ran in this process. None where it was not kept, or failed.
        history: of the fit, empty where it was not kept.
        scores: plain numbers, of the epoch whose parameters were kept: `epoch`, `loss`, `accuracy`, `validation_loss`,
            `validation_accuracy` as the history has them, and on `test_rows` `test_loss`, `test_accuracy`; metrics of
            the user's own likewise. Without classes there are no accuracies; `epochs` are those that were run, `start`
            is which start it was.
        error: what was raised, None where all went well. Without `keep` the frames of its traceback are empty.
        seconds: that it took.
    """

    name: Any
    network: Network | None = None
    history: History = field(default_factory=History)
    scores: dict[str, float] = field(default_factory=dict)
    error: BaseException | None = None
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """All but network and history, as one plain dict; the error is its text, or None."""
        error = self.error if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return {"name": _plain(self.name), **self.scores, "seconds": self.seconds, "error": error}

    def __repr__(self) -> str:
        said = [f"{name}={figure(value)}" for name, value in self.scores.items()]
        if self.error is not None:
            said = [f"error={self.error!r}"]
        return f"Result({', '.join([repr(self.name), *said])})"


def _plain(name: Any) -> Any:
    """A name without NumPy's numbers, which JSON does not take."""
    if isinstance(name, tuple):
        return tuple(map(_plain, name))
    return name.item() if isinstance(name, np.generic) else name


@dataclass(frozen=True)
class Running:
    """The networks that are being fitted, by any thread, and whether no other is to begin.

    `made` has, by id, the networks that there were and what of them fits change; under `lock`.
    """

    networks: set[Network] = field(default_factory=set)
    made: weakref.WeakValueDictionary[int, Any] = field(default_factory=weakref.WeakValueDictionary)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End those fits after their epoch; to be called again for one that was just beginning."""
        self.over.set()
        for net in list(self.networks):
            net.stop()


def run(job: Job, name: Any, shared: Samples, keep: bool = True, running: Running | None = None) -> Result:
    """Fit the job's network, and score it, as `fit` and `evaluate` do; an error goes into the result.

    `shared` is opened. The network is among those `running` meanwhile. KeyboardInterrupt where that is over.
    """
    start = time.perf_counter()
    try:
        net, history, scores = _scored(job, shared, Running() if running is None else running)
        result = Result(name, net if keep else None, history if keep else History(), scores)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also one that would end the worker
        if not keep:
            _release(error)
        result = Result(name, error=error)
    return replace(result, seconds=time.perf_counter() - start)


def _release(error: BaseException | None) -> None:
    """Let go of the network and the samples, which the frames hold that it came through; its traceback stays."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            with suppress(RuntimeError):  # it still runs
                frame.clear()
                _ = frame.f_locals  # before Python 3.13 a copy, where `locals()` was called, which this empties
        error = error.__cause__ or error.__context__


def _scored(job: Job, shared: Samples, running: Running) -> tuple[Network, History, dict[str, float]]:
    """The network, fitted, with its history and scores, those on `test_rows` among them."""
    samples = shared if job.samples.X is None else job.samples.opened()
    if samples.X is None:
        raise ValueError("X: expected samples, the job's own or those that all share, got None")
    for each in ("rows", "validation_rows", "test_rows"):
        _check_rows(getattr(job, each), len(samples.X), each)
    _check_groups(job, samples)
    net, history, scores = _best(job, samples, running)
    if job.test_rows is not None:
        X, y, lengths, weights = samples.taken(job.test_rows, net)
        found = net.evaluate(X, y, lengths, sample_weight=weights, metrics=job.options.get("metrics"))
        scores |= {f"test_{each}": value for each, value in found.items()}
    return net, history, scores


def _best(job: Job, samples: Samples, running: Running) -> tuple[Network, History, dict[str, float]]:
    """The same but for `test_rows`; of several starts the one with the lowest validation loss."""
    options, best, starts = dict(job.options), None, job.starts or 1
    for start in range(starts):
        if running.over.is_set():
            raise KeyboardInterrupt
        net = _network(job, start, running)
        if start == 0:
            rows, held_out = _split(job, samples, net)
            X, y, lengths, weights = samples.taken(rows, net)
            if samples.groups is not None and held_out is None and _is_share(options.get("validation")):
                options["groups"] = samples.groups if rows is None else samples.groups[rows]
            if held_out is not None:
                options["validation"] = samples.taken(held_out, net)
        running.networks.add(net)
        try:
            history = net.fit(X, y, lengths=lengths, sample_weight=weights, **options)
            kept = history.kept()
            if kept is None:  # with `recover`
                raise RuntimeError(f"the parameters at the start are the best: {DIVERGED}")
        except RuntimeError as error:
            if not str(error).endswith(DIVERGED) or (best is None and start == starts - 1):
                raise
            continue
        finally:
            running.networks.discard(net)
        scores = {name: value for name in _KEPT if (value := getattr(kept, name)) is not None}
        scores |= kept.metrics | {"epochs": len(history)} | ({} if job.starts is None else {"start": start})
        if best is None or scores["validation_loss"] < best[2]["validation_loss"]:
            best = net, history, scores
    return best


def _split(job: Job, samples: Samples, net: Network) -> tuple[Any, Any]:
    """Which rows train, and which validate, None where `fit` knows.

    Several starts would set a share aside each by its own seed, and their losses be of other samples.
    """
    share = job.options.get("validation")
    if job.starts is None or not _is_share(share):
        return job.rows, job.validation_rows
    rows = np.arange(len(samples.X))[slice(None) if job.rows is None else job.rows]
    groups = encode_groups(samples.groups, len(samples.X))
    return Splittable(samples.X, samples.y, classes_of(net, samples.y), groups, rows).share(share, [0])


def _is_share(validation: Any) -> bool:
    """Return whether `validation` is a share of the samples."""
    return isinstance(validation, float | np.floating) and 0 < validation < 1


def _network(job: Job, start: int, running: Running) -> Network:
    """The network of a job, made where it is not yet."""
    net = job.network
    if not isinstance(net, Network):
        net = net() if job.starts is None else net(start)
    if not isinstance(net, Network):
        raise TypeError(f"network: expected a function that makes a Network, got {type(net).__name__} of it")
    own = list(changed(net))
    with running.lock:
        for name, part in own:
            if id(part) in running.made:
                kind = "Network" if part is net else "layer"
                due = f"a function that makes another {kind} each time"
                raise ValueError(f"{name}: expected {due}, got one a second time")
        running.made.update((id(part), part) for _, part in own)
    return net


def changed(net: Network) -> Iterator[tuple[str, Any]]:
    """What a fit changes, by name: the network and its layers, with the GRUs in them, but for what is frozen."""
    yield "network", net
    for i, layer in enumerate(net.layers):
        if _changes(layer):
            yield from ((f"network.layers[{i}]", part) for part in (layer, *layer.cells))


def _changes(layer: Layer) -> bool:
    """Whether a fit changes the layer: its parameters, its state or its generator."""
    if not layer.trains:
        return False
    draws = any(each.draws for each in (layer, *layer.cells))
    return layer.trainable or layer.stateful or draws or bool(layer.parameter_names and not layer.p)


def cost_of(job: Job, shared: Samples) -> float:
    """How long a job may take: epochs times real steps times what those cost; 0 where its samples cannot be had.

    `shared` is opened. A network that is still to be made counts as one of no units.
    """
    if job.cost is not None:
        return job.cost
    try:
        samples = shared if job.samples.X is None else job.samples.opened()
        chosen = np.arange(len(samples.X))[slice(None) if job.rows is None else job.rows]
        steps = len(chosen) * np.shape(samples.X[0])[0] if samples.lengths is None else samples.lengths[chosen].sum()
        layers = job.network.layers if isinstance(job.network, Network) else ()
        units = [cell.d["u"] for layer in layers for cell in layer.cells]
        runs = job.options.get("epochs", Settings.epochs) * (job.starts or 1)
        return float(steps * runs * (64 + sum(u * (u + 4) for u in units)))
    except (OSError, TypeError, ValueError, IndexError, OverflowError):  # which its result will tell
        return 0.0


def _check_rows(rows: Any, m: int, name: str) -> None:
    if not isinstance(rows, np.ndarray):
        return
    if rows.dtype == bool:
        if len(rows) != m or not rows.any():
            raise ValueError(f"{name}: expected {m} booleans, some of them true, got {len(rows)}, {rows.sum()} true")
    elif rows.min() < 0 or rows.max() >= m:
        wrong = rows[(rows < 0) | (rows >= m)][0]
        raise ValueError(f"{name}: expected integers from 0 to {m - 1}, got {wrong}")


def _check_groups(job: Job, samples: Samples) -> None:
    """ValueError where a group has samples among the job's `rows` and among those that it holds out."""
    groups = encode_groups(samples.groups, len(samples.X))
    for name in ("validation_rows", "test_rows") if groups is not None else ():
        rows = getattr(job, name)
        both = () if rows is None else np.intersect1d(groups[job.rows], groups[rows])
        if len(both):
            which = np.asarray(samples.groups)[groups == both[0]][0]
            raise ValueError(f"{name}: expected groups that are not among rows, too, got {which}")
