"""`Fit`: the epochs of a fit, with updates, validation, callbacks, early stopping, checkpoints and the best parameters.

The updates of an epoch are one compiled call (compiled/engine.py), or a loop in Python (loop.py) where the network has
a layer, callable or optimizer of the user's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import combinations
from typing import Any

import numpy as np

from cgru import losses, optimizers
from cgru.core.lengths import check_go_on
from cgru.network import chain
from cgru.network.data.streaming import AnyData
from cgru.network.data.training_data import Data, feature_statistics, mean_time_step
from cgru.network.history import LEFT_OUT_IN_A_ROW, RETURNS, DivergenceError, Epoch, History
from cgru.network.model import Model
from cgru.network.options import Settings
from cgru.network.presentation import figures
from cgru.network.progress import Bar
from cgru.network.training import loop
from cgru.network.training.checkpoint import CheckpointFile, State
from cgru.network.training.compiled.engine import Engine, compiles
from cgru.network.training.loop import Loop, Snapshot
from cgru.network.training.metrics import compute_metrics, outputs_and_targets
from cgru.network.training.penalties import factors_of
from cgru.network.training.private_loop import PrivateLoop, check_private
from cgru.network.training.target_scaling import TargetScaling, all_shrunk, shrinkage
from cgru.network.training.updater import OF_FIT

__all__ = ["Fit", "scores"]

SORTED = 64  # with `bucket`, the samples of so many batches at a time are sorted by their lengths
FEW = 3  # epochs: a fit of fewer would take noticeably longer by a score more
SUSPECT = 1e10  # larger parameters may make outputs overflow, smaller ones do not
SHARED = "which an update would change twice; a copy trains by itself"  # for errors


class Fit:
    """One fit of a model, with its settings and data; ValueError if these do not fit each other."""

    def __init__(
        self, model: Model, data: AnyData, held_out: AnyData | None, settings: Settings, shuffler: np.random.Generator
    ) -> None:
        """Check and scale the data; `held_out` is the validation data, `shuffler` draws the order of samples."""
        check(settings, model, data)
        self.model, self.settings = model, settings
        self.metric_data = data if held_out is None else held_out  # the data for the metrics
        self.penalties = factors_of(model.layers, settings.penalties)
        loss = losses.named(model.loss)
        self.scaling = TargetScaling.of(model.head, loss, data) if settings.standardize_targets else None
        self.data, self.held_out = (
            part if part is None or self.scaling is None else part.map(self.scaling.apply) for part in (data, held_out)
        )
        self.engine: Engine | Loop | None = None  # makes the updates
        self.resumed = False  # whether the parameters come from a checkpoint
        self.stopped = False  # whether `Network.stop` was called
        self.epochs, self.batch_size = settings.epochs, settings.size(data.whole)
        if data.whole:
            self.batch_size = min(self.batch_size, len(data))
            self.batches = -(-len(data) // self.batch_size)
        else:
            self.batches = data.number(count=optimizers.scheduled(model.optimizer))
        self.fraction = 0.0  # the share of the fit that was done before the last update
        self.shuffler = shuffler if settings.shuffle and data.whole else None
        truncate = settings.truncate
        self.truncate = min(truncate, data.extent[1]) if truncate is not None and data.whole else truncate
        self.history, self.lowest, self.stale = History(), math.inf, 0  # lowest validation loss, epochs since then
        self.best: Engine | Loop | Snapshot | None = None  # restores the best parameters so far
        # With `recover` and without validation: (epoch number, parameters after it), first those that the fit began
        # with or went back to last, then those of the epoch with the lowest loss since then; and that loss.
        self.fallback: list[tuple[int, Any]] = []
        self.lowest_loss = math.inf
        self.row = 0  # how many updates in a row, up to the last one, were left out
        self.measured = model.measured  # what goes with the best parameters

    def __call__(self, fresh: bool, checkpoint: CheckpointFile | None) -> History:
        """Train, and return the history; after an exception the model has the best parameters so far.

        `fresh`: the head's parameters are new, and so are not in the units of y.
        """
        model, settings = self.model, self.settings
        self._check_parameters()
        found = None if checkpoint is None else checkpoint.take_state(model.parameters(), self._generators())
        model.carried.pop(OF_FIT, None)
        bar = Bar(self.epochs) if settings.progress else None
        with nullcontext() if self.scaling is None else self._head_scaled(self.scaling, fresh, found is not None):
            try:
                if found is not None:
                    self._resume(found)
                elif checkpoint is not None or settings.metrics or settings.recover:
                    self.best = Snapshot.of(model)  # the model's arrays may change before the first epoch is over
                self.fallback = self.fallback or [(len(self.history), self.best)]
                self._measure()
                self.engine = self._engine()
                self.best = self.best or self.engine
                if checkpoint is not None and not self._is_over():  # so that a file error comes before the training
                    checkpoint.write(model, self._state())
                while not self._is_over():
                    try:
                        epoch = self._epoch(self.engine, len(self.history) + 1)
                    except DivergenceError:
                        if not settings.recover:
                            raise
                        self._go_back()
                        if checkpoint is not None and self._is_over():
                            checkpoint.write(model, self._state())
                        continue
                    self._record(epoch)
                    if bar is not None:
                        bar(epoch)
                    if settings.callback is not None:
                        with self._parameters_shown():
                            settings.callback(epoch)
                        self._check_parameters()
                        if not self.engine.is_valid():
                            self.store_optimizer_state()
                            self.engine = self._engine()
                    if checkpoint is not None and (self._is_over() or checkpoint.due()):
                        checkpoint.write(model, self._state())
            finally:
                self.engine = None
                model.measured = self.measured
                if self.best is not None:
                    self.best.restore()
                model.carried.pop(OF_FIT, None)
                if bar is not None:
                    bar.close()
            self.history.nothing_learned = self._compare_with_constant()
            if settings.shrink:  # scaled outputs move towards their mean, 0
                k = shrinkage(*outputs_and_targets(model, self.held_out))
                self.history.nothing_learned = self.history.nothing_learned or all_shrunk(k)
                for name in ("W", "b"):
                    model.head.p[name] *= k
        return self.history

    def _compare_with_constant(self) -> str:
        """Return a text that says why the network is no better than the best constant outputs; "" if it is better.

        They are compared by the accuracy, or the loss where there is none, of the validation data, without such of the
        training data. An epoch's scores of the training data are from before its updates, and with dropout: if they are
        no better than a constant's, after FEW epochs or more, the network is scored once more. Data in files or batches
        are not read again.
        """
        model, data, judged, epoch = self.model, self.data, self.held_out or self.data, self.history.kept()
        loss = losses.named(model.loss).scored
        if epoch is None or model.stateful or not (data.in_memory and judged.in_memory) or loss.code is None:
            return ""
        of, where = ("", "training") if self.held_out is None else ("validation_", "validation")
        scored = getattr(epoch, f"{of}loss"), getattr(epoch, f"{of}accuracy")
        constant = constant_scores(loss, data, judged)
        if constant is None or not is_constant(scored, constant):
            return ""
        again = self.held_out is None and len(self.history) >= FEW
        if again and not is_constant(scored := scores(model, data)[:2], constant):
            return ""
        if scored[1] is None:
            alone, own = figures([constant[0], scored[0]])
            return f"a constant alone has a {loss} loss of {alone} on the {where} data, the network {own}"
        alone, own = f"{constant[1]:.2%}", f"{scored[1]:.2%}"
        return f"the most frequent class alone is {alone} of the {where} data, the network right in {own}"

    def _measure(self) -> None:
        """Estimate the standardisation from the data and, for a GRUD, the feature means and the unit of time."""
        model, first = self.model, self.model.layers[0]
        anew = model.mean is None
        if anew and (self.settings.standardize or "missing" in first.reads):
            mean, scale = feature_statistics(self.data, "missing" in first.reads)
            model.mean, model.scale = mean, scale if self.settings.standardize else np.ones_like(scale)
        if "missing" in first.reads and (first.unit is None or (anew and "unit" not in first.given)):
            first.unit = mean_time_step(self.data)
            if first.unit is not None and self.held_out is not None and "times" not in self.held_out.first.beside:
                raise ValueError("validation times: expected those of the steps, as with the training data, got None")

    def _check_parameters(self) -> None:
        """Raise TypeError or ValueError for a parameter that is not writable or shares memory with another."""
        arrays = [*self.model.parameters().values()]
        if len(set(map(id, arrays))) == len(arrays) and all(map(_is_separate, arrays)):
            return
        found = [
            (f"{i}.{name}", array, layer.trainable)
            for i, layer in chain.leaves(self.model.layers)
            for name, array in layer.p.items()
        ]
        for key, array, trains in found:
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
                raise TypeError(f"parameter {key}: expected a writable array of floats, got {_fault_of(array)}")
            if trains and _overlaps_itself(array):
                raise ValueError(f"parameter {key}: expected separate memory for each number, {SHARED}")
        for (key, array, trains), (other, another, trains_too) in combinations(found, 2):
            if (trains or trains_too) and np.may_share_memory(array, another) and np.shares_memory(array, another):
                raise ValueError(f"parameter {other}: expected separate memory, got some of {key}'s, {SHARED}")

    def _go_back(self) -> None:
        """Restore the best parameters so far and halve the learning rate; after `RETURNS` times the fit ends.

        The best are those of the epoch with the lowest validation loss, within the first epoch those at the start.
        Without validation they are those of the epoch with the lowest loss. Where earlier ones score lower these are
        taken: losses are measured before the update, and the last update of an epoch may have gone wrong. RuntimeError
        where the loss with the parameters at the start is not finite.
        """
        model = self.model
        found = self.fallback
        if self.held_out is not None:
            best = self.history.best()
            found = [(0 if best is None else self.history[best].epoch, self.best)]
        scored = []
        for _, kept in found:
            kept.restore()
            loss = scores(model, self.data)[0]
            scored.append(loss if math.isfinite(loss) else math.inf)
        chosen = scored.index(min(scored))
        number, kept = found[chosen]
        if number == 0 and not math.isfinite(scored[chosen]):
            raise RuntimeError(
                "the loss is not finite with the parameters at the start of the fit: expected X, y and parameters "
                f"whose loss {model.dtype} can hold; standardize=True or dtype=np.float64 may help"
            )
        kept.restore()
        self.history.returns = (*self.history.returns, (len(self.history) + 1, number))
        self.fallback, self.lowest_loss, self.row = [found[chosen]], math.inf, 0
        if not self.history:
            self.measured = model.measured
        self.engine = self._engine()
        if self._is_over():
            self.engine.keep()
            self.best = self.engine

    @contextmanager
    def _head_scaled(self, scaling: TargetScaling, fresh: bool, resumed: bool) -> Iterator[None]:
        """Make the head predict scaled targets within a `with` block, and y in its units after it.

        The parameters of a `fresh` head, and those that come from a checkpoint, are scaled already.
        """
        head = self.model.head
        before = {name: array.copy() for name, array in head.p.items()}
        if not fresh and not resumed:
            scaling.scale_head(head)
        try:
            yield
        finally:
            if fresh or self.history or self.resumed:
                scaling.unscale_head(head)
            else:
                for name, array in before.items():  # nothing was trained: restore the bits
                    head.p[name][...] = array

    @contextmanager
    def _parameters_shown(self) -> Iterator[None]:
        """Copy the current parameters into the model within a `with` block, with outputs in the units of y."""
        self.engine.store_parameters()
        with nullcontext() if self.scaling is None else self.scaling.unscaled(self.model.head):
            yield

    def store_optimizer_state(self) -> None:
        """Copy the optimizer's current state into the model."""
        if self.engine is not None:
            self.engine.store_optimizer_state()

    def _store_in_model(self) -> None:
        """Copy the current parameters and optimizer's state into the model."""
        self.engine.store_parameters()
        self.engine.store_optimizer_state()

    def _is_over(self) -> bool:
        """Return whether the fit is over: stopped, all epochs done, patience exhausted, or diverged too often."""
        ended = len(self.history.returns) > RETURNS or self.stale == self.settings.patience
        return self.stopped or len(self.history) >= self.epochs or ended

    def _record(self, epoch: Epoch) -> None:
        """Append the epoch to the history, and save the parameters if they are the best so far."""
        model = self.model
        self.stale += 1
        if self.held_out is None or epoch.validation_loss < self.lowest:
            self.engine.keep()
            self.best, self.measured = self.engine, model.measured
            self.lowest, self.stale = epoch.validation_loss, 0
        if self.settings.recover and self.held_out is None and epoch.loss < self.lowest_loss:
            self._store_in_model()
            self.fallback[1:], self.lowest_loss = [(epoch.epoch, Snapshot.of(model))], epoch.loss
        model.history.append(epoch)
        self.history.append(epoch)

    # --- for a checkpoint ---

    def _generators(self) -> list[np.random.BitGenerator]:
        """Return all random generators of the fit: first that of the batches, then those of the layers."""
        layers = [part for _, layer in chain.leaves(self.model.layers) for part in (layer, *layer.cells)]
        found = [part.np_rng.bit_generator for part in layers]
        if isinstance(self.model.optimizer, optimizers.DP):
            return [self.model.optimizer.np_rng.bit_generator, *found]
        return found if self.shuffler is None else [self.shuffler.bit_generator, *found]

    def _state(self) -> State:
        """Return the state of the fit for a checkpoint, after copying the current parameters into the model."""
        model, engine = self.model, self.engine
        self._store_in_model()
        now, measured, best = Snapshot.of(model), model.measured, None
        if self.stale or self.best is not engine or not isinstance(engine, Engine):  # else the current are the best
            try:
                self.best.restore()
                best = _snapshot_dict(Snapshot.of(model), self.measured)
            finally:
                now.restore()
        generators = [generator.state for generator in self._generators()]
        fallback = []
        if self.settings.recover and self.held_out is None:
            fallback = [_snapshot_dict(kept, measured) | {"epoch": number} for number, kept in self.fallback]
        return State(
            self.history, model.history, self.lowest, self.stale, generators, _snapshot_dict(now, measured), best,
            self.row, self.lowest_loss, fallback,
        )  # fmt: skip

    def _resume(self, found: State) -> None:
        """Continue from the state of a checkpoint: parameters, generators, history and best parameters."""
        model = self.model
        for generator, state in zip(self._generators(), found.generators, strict=True):
            generator.state = state
        for moment in (found.best or found.now, found.now):
            model.measured = moment["mean"], moment["scale"], moment.get("unit")
            Snapshot(model, moment["parameters"], moment["optimizer_state"]).restore()
            if self.best is None:
                self.best, self.measured = Snapshot.of(model), model.measured
        for each in found.fallback:
            self.fallback.append((each["epoch"], Snapshot(model, each["parameters"], each["optimizer_state"])))
        self.row, self.lowest_loss, self.resumed = found.row, found.lowest_loss, True
        self.history, self.lowest, self.stale = found.history, found.lowest, found.stale
        model.history[:] = found.all_history

    # --- an epoch ---

    def _engine(self) -> Engine | Loop:
        """Create the updater for the model, compiled if possible, else in Python."""
        model, slowed = self.model, 0.5 ** len(self.history.returns)
        how = self.held_out, self.batch_size, self.truncate, self.penalties, slowed, self.settings
        if isinstance(model.optimizer, optimizers.DP):
            check_private(self.settings, model, self.data)  # again, as a callback may have set the optimizer
            return PrivateLoop(model, *how)
        if optimizers.ours(model.optimizer) and compiles(model):
            return Engine(model, self.data, *how)
        return Loop(model, *how)

    def _epoch(self, engine: Engine | Loop, number: int) -> Epoch:
        """Train and score epoch `number`, and return its figures; DivergenceError if it diverges."""
        start = time.perf_counter()
        model = self.model
        loss, accuracy, failed, skipped, self.row = engine.epoch(self._epoch_parts(number), self.row)
        if failed is not None:
            of = "" if self.batches is None else f" of {self.batches}"
            what = f"the loss is {loss}"
            if math.isfinite(loss):
                what = f"the gradients of {LEFT_OUT_IN_A_ROW} updates in a row are not finite"
            raise DivergenceError(f"{what} at epoch {number}, batch {failed + 1}{of}", number)
        scored = (None, None) if self.held_out is None else engine.scores()
        if scored[0] is not None and not math.isfinite(scored[0]):
            raise DivergenceError(f"the validation loss is {scored[0]} after epoch {number}", number)
        largest = engine.largest()
        if not math.isfinite(largest):
            raise DivergenceError(f"the parameters are not all finite after epoch {number}", number)
        if largest > SUSPECT and self.settings.recover and self.held_out is None:
            engine.store_parameters()
            if not math.isfinite(scores(model, self.data)[0]):  # the last update went wrong
                raise DivergenceError(f"the loss is not finite after epoch {number}", number)
        rate, metrics = optimizers.slowed(model.optimizer, engine.slowed).rate(self.fraction), {}
        if self.settings.metrics:
            with self._parameters_shown():
                metrics = compute_metrics(model, self.metric_data, self.settings.metrics)
        seconds = time.perf_counter() - start
        return Epoch(number, self.epochs, loss, accuracy, *scored, rate, seconds, metrics, skipped)

    def _epoch_parts(self, number: int) -> Iterator[tuple[Data, np.ndarray, list[float]]]:
        """Yield (data, order of the samples, fraction of the fit done before each update) for each part of an epoch."""
        batches, order = 0, self._order() if self.data.whole else None
        for part, places in self.data.parts(self.batch_size, order):
            fractions = self._fractions(part, places, number - 1, batches)
            self.fraction = fractions[-1]
            yield part, places, fractions
            batches += -(-len(places) // self.batch_size)
        self.batches = self.batches or batches  # a callback may set an optimizer with a schedule, which needs it

    def _order(self) -> np.ndarray:
        """Return the order of an epoch's samples: shuffled, grouped by similar length (`bucket`), or unchanged."""
        m, size = len(self.data), self.batch_size
        if self.shuffler is None:
            return np.arange(m)
        order = self.shuffler.permutation(m)
        if self.settings.bucket:
            whole = m - m % size  # the last, short batch is of any length
            for start in range(0, whole, SORTED * size):
                part = order[start : min(start + SORTED * size, whole)]
                part[...] = part[np.argsort(self.data.steps[part], kind="stable")]
            batches = order[:whole].reshape(-1, size)
            order[:whole] = batches[self.shuffler.permutation(len(batches))].ravel()
        return order

    def _fractions(self, part: Data, order: np.ndarray, epochs: int, batches: int) -> list[float]:
        """Return the fraction of the fit that is done before each update of `part`.

        `epochs` are the epochs that are over, `batches` those of the current epoch. Where the rate does not depend on
        the share, return the same number for all instead: for a `Plateau`, how often the loss stalled.
        """
        size, optimizer = self.batch_size, self.model.optimizer
        starts = range(0, len(order), size)
        within = [(0.0,)] * len(starts)
        if self.truncate is not None and part.per_step:
            longest = [part.used[order[start : start + size]].max() for start in starts]
            within = [[at / whole for at in range(0, whole, self.truncate)] for whole in longest]
        if not optimizers.scheduled(optimizer):
            same = 0.0
            if optimizer.schedule is not None:
                losses = self.history.loss if self.held_out is None else self.history.validation_loss
                same = optimizer.schedule.stalls(losses)
            return [same] * sum(map(len, within))
        if batches >= self.batches:
            raise ValueError(f"X: expected {self.batches} batches, as before or as len() says, got more")
        return [
            (epochs + (batches + batch + at) / self.batches) / self.epochs
            for batch, part in enumerate(within)
            for at in part
        ]


def scores(model: Model, data: AnyData, each: bool = False) -> tuple[float, float | None, np.ndarray | None]:
    """Return (loss, accuracy or None, loss of each row if `each`) on `data`; `stateful` layers are reset."""
    if each or not compiles(model):
        return loop.scores(model, data, each)
    return *Engine(model, data, data, 0, None).scores(), None


def constant_scores(loss: losses.Loss, data: Data, judged: Data) -> tuple[float, float | None] | None:
    """Return loss and accuracy on `judged` of the constant outputs that fit `data` best; None if a y is constant."""
    (y, weights), (due, due_weights) = ([part.rows(each) for each in (part.y, part.weights)] for part in (data, judged))
    if y.ndim == due.ndim == 1:  # class numbers
        counts = np.bincount(y, weights).tolist()
        found = counts if judged is data else np.bincount(due, due_weights, len(counts)).tolist()
        if max(counts) == sum(counts) or max(found) == sum(found):
            return None
        return 0.0, found[counts.index(max(counts))] / sum(found)
    if y.ndim != due.ndim or (y == y[:1]).all() or (due == due[:1]).all():
        return None
    A = np.tile(loss.constant(y, weights), (len(due), 1))
    hits = loss.hits(A, due, due_weights)
    count = len(due) if due_weights is None else due_weights.sum()
    return loss(A, due, due_weights)[0], None if hits is None else hits / count


def is_constant(scored: tuple[float, float | None], constant: tuple[float, float | None]) -> bool:
    """Return whether (loss, accuracy) are no better than those of a constant; up to 2 % better may be chance."""
    if scored[1] is None:
        return scored[0] >= constant[0] - 0.02 * abs(constant[0])
    return scored[1] <= constant[1] * (1 + 1e-9)


def check(settings: Settings, model: Model, data: AnyData) -> None:
    """Raise ValueError if the options do not fit the model or the data."""
    if isinstance(model.optimizer, optimizers.DP):
        check_private(settings, model, data)
    if settings.standardize and data.first.X.ndim == 2:
        raise ValueError("standardize: expected False for tokens, which have no mean, got True")
    if settings.shrink and not losses.named(model.loss).can_shrink:
        raise ValueError(f"shrink: expected False for {model.loss}, got True")
    if settings.recover and not optimizers.ours(model.optimizer):
        got = type(model.optimizer).__name__
        raise ValueError(f"recover: expected False with your own optimizer, which sets its own rate, got {got}")
    if settings.truncate is not None:
        chain.check_truncate(model.layers, settings.truncate)
    chain.check_trains(model.layers)
    if not any(layer.trainable for layer in model.layers):
        raise ValueError("layers: expected at least one that is trainable, got none")
    if model.stateful:
        for name, due in (("shuffle", False), ("truncate", None)):
            if getattr(settings, name) != due:
                raise ValueError(f"{name}: expected {due} with stateful layers, got {getattr(settings, name)}")
        if not data.whole:
            raise ValueError("layers: expected no stateful layer with batches, whose sizes may differ")
        if len(data) % settings.size(True):
            raise ValueError(
                f"batch_size: expected a divisor of the {len(data)} samples with stateful layers, got "
                f"{settings.size(True)}"
            )
        if "times" in data.first.beside and model.layers[0].stateful:
            _check_times_go_on(data, settings.size(True))


def _check_times_go_on(data: Data, size: int) -> None:
    """Raise ValueError if sample i of a batch starts at an earlier time than sample i of the last batch ended."""
    ends = np.full(size, -math.inf)
    for number, block in enumerate(data.blocks(size)):
        check_go_on(block.beside["times"], ends, number * size)
        ends = block.beside["times"][:, -1]  # the last real time stands in the padding


def _snapshot_dict(kept: Snapshot, measured: tuple[Any, ...]) -> dict[str, Any]:
    """Return parameters, optimizer state and what the fit estimated from the data as a dict for a checkpoint."""
    own = {"parameters": kept.parameters, "optimizer_state": kept.optimizer_state}
    return own | dict(zip(("mean", "scale", "unit"), measured, strict=True))


def _is_separate(value: Any) -> bool:
    """Return whether `value` is a writable array of floats that shares no memory with another."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.carray and value.flags.owndata


def _overlaps_itself(array: np.ndarray) -> bool:
    """Return whether elements of `array` share memory with each other, as in a broadcast view."""
    if array.flags.c_contiguous or array.flags.f_contiguous:
        return False
    places = np.zeros(1, np.intp)
    for n, stride in zip(array.shape, array.strides, strict=True):
        places = np.add.outer(places, np.arange(n, dtype=np.intp) * stride)
    return bool((np.diff(np.sort(places, axis=None)) < array.itemsize).any())


def _fault_of(value: Any) -> str:
    """Return a text that says what is wrong with a parameter: its type, its dtype, or that it is read-only."""
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"dtype {value.dtype}" if value.flags.writeable else "a read-only one"
