"""Network: layers in a chain, mostly with a Dense head, its training, its use and its files.

m samples, s steps, e elements per step, k outputs. No arithmetic of a layer is done here.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cgru import losses
from cgru.activations import ours, parameter
from cgru.core.checks import callable_, flag, lengths_of, positive, real, sequences
from cgru.core.lengths import mask
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.layers.embedding import Embedding
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network import files as persistence
from cgru.network.history import Epoch, History
from cgru.network.samples import Data
from cgru.optimizers import SGD, Adam

__all__ = ["Network", "load"]

Arrays = dict[str, np.ndarray]
States = dict[int, np.ndarray]  # of the recurrent layers, by index, (m, u)


class Network:
    """Layers in a chain, each taking what the one below it returns, and a `Dense` head at the end.

    Without that head it has no loss: it predicts and is saved, but not trained.

    Any number of `GRU`, `Embedding` (as the first: X is then integer tokens (m, s)), `Dropout`, `Pool` and `Dense`, and
    whatever else has their interface (`cgru.chain`). Outputs are (m, k), for each sample, where a layer on the way
    returns one state of a sequence (a GRU without `sequences=True`, a Pool); else (m, s, k), for each step.

    `loss` is "cross_entropy", "binary_cross_entropy" or "mean_squared_error"; None chooses by the head's activation:
    softmax, sigmoid, any other. `optimizer` is `SGD` or `Adam` (None: `Adam()`) and may be replaced at any time.
    `seed` makes the initial weights, the shuffling and the validation split repeatable; each layer gets a generator of
    its own from it, except one that was given its own. `class_names` are kept with the model, one for each class.

    Parameters are made at the first sight of data, for its number of elements; a layer that has parameters keeps them.
    Inputs are raw: once `fit` has measured a standardisation (`mean` and `scale`, (e,), else None), every method
    applies it. `history` goes over all fits.

    TypeError or ValueError for arguments and for layers that do not fit each other.
    """

    def __init__(
        self,
        layers: Sequence[GRU | Layer],
        loss: str | None = None,
        optimizer: SGD | Adam | None = None,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.layers = chain.chain(layers)
        self.loss: str | None = None
        self.class_names: tuple[str, ...] | None = None
        if self._head is not None:
            k = self._head.d["u"]
            self.loss = losses.chosen(loss, self._head.activate, k)
            self.class_names = _names(class_names, self.loss, k)
        elif loss is not None or class_names is not None:
            raise ValueError(f"loss: expected None, as class_names, without a Dense at the end, got {loss!r}")
        self.optimizer = Adam() if optimizer is None else optimizer
        if isinstance(optimizer, type) or not callable(getattr(self.optimizer, "step", None)):
            raise TypeError(f"optimizer: expected an SGD, an Adam or None, got {optimizer!r}")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
            raise TypeError(f"seed: expected an integer or None, got {type(seed).__name__}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        self.seed = None if seed is None else int(seed)
        self.mean: np.ndarray | None = None
        self.scale: np.ndarray | None = None
        self.history = History()
        *self._layer_seeds, self._split_seed, shuffle_seed = np.random.SeedSequence(seed).spawn(len(self.layers) + 2)
        self._shuffler = np.random.default_rng(shuffle_seed)
        for layer, own in zip(self.layers, self._layer_seeds, strict=True):
            _give_generator(layer, own)
        self._state: dict[str, Any] = {}  # the optimizer's

    def __repr__(self) -> str:
        return f"Network({list(self.layers)}, loss={self.loss!r}, optimizer={self.optimizer}, seed={self.seed})"

    # --- use ---

    @property
    def elements(self) -> int | None:
        """e, which the parameters are made for; None where there are none yet, or the inputs are tokens."""
        return chain.made_for(next(layer for layer in self.layers if "u" in layer.d))

    @property
    def per_step(self) -> bool:
        """Whether outputs are (m, s, k)."""
        return len(chain.shape_of(self.layers)) == 3

    def predict(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None = None,
        h0: Any = None,
        *,
        batch_size: int = 1024,
        return_state: bool = False,
    ) -> Any:
        """The outputs (m, k), or (m, s, k) with zeros at padded steps, for X (m, s, e) or tokens (m, s).

        Sample i has `lengths[i]` real steps (None: all). NaN in X comes out as NaN. `batch_size` bounds the memory;
        but for rounding the outputs do not depend on it.

        `h0` are the states before the steps that run first, (m, u) for each recurrent layer from the lowest on, for a
        `Bidirectional` that of its layer and then that of its twin: an array (layers x directions, m, u), as PyTorch
        has it, or where the layers differ in u a list. With `return_state` the last states come too, in the same
        form: (outputs, states).
        """
        X, lengths = self._samples(X, lengths)
        size = positive(batch_size, "batch_size")
        starts = self._starts(h0, len(X)) if return_state or h0 is not None else None
        self._make(X)
        outputs, states = [], []
        with np.errstate(over="ignore", invalid="ignore"):
            for A, steps, _ in self._below(X, lengths, size, starts, states):
                outputs.append(A if self._head is None else self._head.predict(A, steps))
        A = np.concatenate(outputs)
        if not return_state:
            return A
        joined = [np.concatenate(parts) for parts in zip(*states, strict=True)]
        return A, np.stack(joined) if joined and len({state.shape for state in joined}) == 1 else joined

    def predict_classes(self, X: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The classes (m,) as integers, or as names where the network has `class_names`; (m, s) for outputs at steps.

        One sigmoid unit says 0 or 1, above 0.5; several say so each, (m, k) or (m, s, k), by number. At padded steps
        stands -1, or the name "". ValueError for a regression, and where outputs are NaN.
        """
        if self.loss in (None, "mean_squared_error"):
            raise ValueError(f"predict_classes: expected a network with a cross-entropy loss, got {self.loss}")
        A = self.predict(X, lengths)
        lost = np.flatnonzero(np.isnan(A).reshape(len(A), -1).any(axis=1))
        if lost.size:
            raise ValueError(f"X: expected samples that have a class, got NaN outputs for sample {lost[0]}")
        classes = losses.classes(A, self.loss)
        named = self.class_names is not None
        if self.loss == "binary_cross_entropy" and A.shape[-1] > 1:
            named = False
        else:
            classes = classes.reshape(A.shape[:-1])
        classes = np.array(self.class_names)[classes] if named else classes
        if A.ndim == 3 and lengths is not None:
            classes[~mask(lengths, A.shape[1])[:, :, 0]] = "" if named else -1
        return classes

    def evaluate(self, X: np.ndarray, y: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, float]:
        """`{"loss": ..., "accuracy": ...}` averaged over the samples, or with outputs at steps over their real steps.

        For a regression the loss alone. `y` as for `fit`. Of several binary outputs each counts by its share of the
        accuracy. `stateful` layers begin anew, before and after.
        """
        data = self._data(X, y, lengths)
        self._make(data.X)
        loss, accuracy = self._scores(data)
        return {"loss": loss} if accuracy is None else {"loss": loss, "accuracy": accuracy}

    @property
    def _stateful(self) -> bool:
        return any(getattr(layer, "stateful", False) for layer in self.layers)

    def reset_states(self) -> None:
        """Let all `stateful` layers begin anew."""
        for layer in self.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to `path`, exactly that name, for `cgru.load`: all that it needs to predict.

        An `.npz` without pickled objects, written beside and renamed. Left out are the optimizer with its state and
        the history. RuntimeError where there are no parameters yet; ValueError for a layer, activation or
        initializer that is not from this package, before any file is touched.
        """
        persistence.write(
            path,
            self.layers,
            {"loss": self.loss, "class_names": self.class_names, "seed": self.seed},
            {} if self.mean is None else {"mean": self.mean, "scale": self.scale},
        )

    # --- training ---

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        lengths: np.ndarray | None = None,
        epochs: int = 50,
        batch_size: int = 32,
        validation: float | tuple[Any, ...] | None = None,
        standardize: bool = False,
        shuffle: bool = True,
        patience: int | None = None,
        callback: Callable[[Epoch], Any] | None = None,
        truncate: int | None = None,
    ) -> History:
        """Train on X (m, s, e), or tokens (m, s), and y; return the history of this fit. A second call goes on there.

        lengths: (m,) integers, the real steps of each sample; what stands past them is never looked at.
        y: for cross_entropy integers (m,) from 0 to k - 1, or class probabilities (m, k); for binary_cross_entropy
            0 and 1 (m,), or reals from 0 to 1 (m, k); for mean_squared_error reals (m, k). (m,) does where k is 1.
            Where outputs are (m, s, k), (m, s) stands for (m,) in all this: a target for each step, looked at where
            the step is real. Loss and accuracy are then means over all real steps of a batch.
        validation: (X, y) or (X, y, lengths); or the share of the samples, in (0, 1), to set aside for it: at random,
            the same ones in each fit of as many samples, and evenly over the classes. With validation, the weights
            of the epoch with the lowest validation loss are in place at the end.
        standardize: measure the mean and deviation of each element over the real training frames and train on
            (X - mean) / scale; a deviation of 0 counts as 1. It is measured once: a network that has `mean` and
            `scale` uses them whatever this says (set both to None to have them measured anew).
        shuffle: draw a new order of the samples for each epoch. The last, short batch is used.
        patience: stop after so many epochs without a lower validation loss; None never does.
        callback: called with an `Epoch` at the end of each.
        truncate: for sequences too long to unroll, backpropagation through at most so many steps (None: all). With
            outputs at steps, each batch is trained on so many steps at a time: one update for each piece, by the mean
            loss over its own real steps; the states of the layers are carried from piece to piece, gradients are not
            (Williams and Peng, 1990, Neural Computation 2). With one output a sample, gradients go back over the last
            so many real steps of each, before which the states are computed a piece at a time and no caches stay.
            ValueError where a layer needs whole sequences (a mean or max `Pool`, a reverse direction).

        `stateful` layers go on, within an epoch, from batch to batch: sample i of a batch continues sample i of the one
        before. That needs shuffle=False and batches of one size; each epoch, and each validation, begins anew.

        Whatever is raised while it trains (KeyboardInterrupt too), the best weights so far are put in place first:
        by validation loss, without validation those of the last whole epoch, before the first those at the start.
        RuntimeError where a loss is no longer finite.
        """
        data = self._data(X, y, lengths)
        epochs, batch_size = positive(epochs, "epochs"), positive(batch_size, "batch_size")
        standardize, shuffle = flag(standardize, "standardize"), flag(shuffle, "shuffle")
        if patience is not None:
            positive(patience, "patience")
            if validation is None:
                raise ValueError("patience: expected a validation share or set beside it, got validation=None")
        if callback is not None:
            callable_(callback, "callback")
        if standardize and data.X.ndim == 2:
            raise ValueError("standardize: expected False for tokens, which have no mean, got True")
        if truncate is not None:
            positive(truncate, "truncate")
            whole = chain.uncarried(self.layers)
            if whole is not None:
                raise ValueError(f"truncate: expected layers that can run piece by piece, got {whole}")
        if not any(layer.trainable for layer in self.layers):
            raise ValueError("layers: expected at least one that is trainable, got none")
        data, held_out = self._split(data, validation)
        if self._stateful:
            for name, wrong, due in (
                ("shuffle", shuffle, "False"),
                ("batch_size", len(data) % batch_size and batch_size, f"a divisor of the {len(data)} samples"),
                ("truncate", truncate, "None"),
            ):
                if wrong:
                    raise ValueError(f"{name}: expected {due} with stateful layers, got {wrong}")

        self._make(data.X)
        for key, array in self._parameters(everything=True).items():
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
                raise TypeError(f"parameter {key}: expected a writable array of floats, got {_described(array)}")
        best = self._snapshot()
        try:
            if standardize and self.mean is None:
                self.mean, self.scale = data.statistics()
            history, lowest, stale = History(), math.inf, 0
            for number in range(1, epochs + 1):
                epoch = self._epoch(data, held_out, number, epochs, batch_size, shuffle, truncate)
                stale += 1
                if held_out is None or epoch.validation_loss < lowest:
                    best, lowest, stale = self._snapshot(), epoch.validation_loss, 0
                self.history.append(epoch)
                history.append(epoch)
                if callback is not None:
                    callback(epoch)
                if stale == patience:
                    break
        finally:
            self._restore(best)
        return history

    def _epoch(
        self,
        data: Data,
        held_out: Data | None,
        number: int,
        epochs: int,
        batch_size: int,
        shuffle: bool,
        truncate: int | None,
    ) -> Epoch:
        start = time.perf_counter()
        m, count, batches = len(data), data.count, -(-len(data) // batch_size)
        order = self._shuffler.permutation(m) if shuffle else np.arange(m)
        self.reset_states()
        loss, right = 0.0, None if self.loss == "mean_squared_error" else 0.0
        for batch in range(batches):
            chosen = data[order[batch * batch_size : (batch + 1) * batch_size]]
            for piece, states, rows, done in self._pieces(chosen, truncate):
                fraction = (number - 1 + (batch + done) / batches) / epochs
                when = f"epoch {number}, batch {batch + 1} of {batches}"
                value, hits = self._step(piece, states, rows, fraction, when)
                loss += value * piece.count / count
                right = None if right is None else right + hits
        self.reset_states()
        scores = (None, None) if held_out is None else self._scores(held_out)
        if scores[0] is not None and not math.isfinite(scores[0]):
            raise RuntimeError(_DIVERGED.format(f"the validation loss is {scores[0]} after epoch {number}"))
        accuracy = None if right is None else right / count
        rate = self.optimizer.rate(fraction)
        return Epoch(number, epochs, loss, accuracy, *scores, rate, time.perf_counter() - start)

    def _pieces(
        self, batch: Data, truncate: int | None
    ) -> Iterator[tuple[Data, States | None, np.ndarray | None, float]]:
        """What gets an update each: the data, the states before it, for which samples, and the share that is done."""
        if truncate is None:
            yield batch, None, None, 0.0
            return
        states = chain.initial_states(self.layers, len(batch))
        if batch.per_step:
            whole = batch.steps.max()
            for start, rows, piece in batch.spans(truncate):
                yield piece, states, rows, start / whole
            return
        with np.errstate(over="ignore", invalid="ignore"):
            for _, rows, piece in batch.without_last(truncate).spans(truncate):
                self._forward(piece, states, rows)
        yield batch.last(truncate), states, np.arange(len(batch)), 0.0

    def _step(
        self, batch: Data, states: States | None, rows: np.ndarray | None, fraction: float, when: str
    ) -> tuple[float, float | None]:
        """One update of the parameters; the batch's loss and how many of its outputs were right before."""
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite says it better
            A = self._head.forward(*self._forward(batch, states, rows))
            A, Z, Y = batch.rows(A), batch.rows(self._head.fc["Z"]), self._targets(batch)
            loss, dZ, dA = self._criterion(Z, A, Y)
            if not math.isfinite(loss):
                raise RuntimeError(_DIVERGED.format(f"the loss is {loss} at {when}"))
            self._backward(batch.unrowed(dZ), batch.unrowed(dA))
            self.optimizer.step(self._parameters(), self._gradients(), self._state, fraction)
        return loss, losses.hits(A, Y, self.loss)

    def _forward(
        self, batch: Data, states: States | None = None, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What the head gets, and its lengths, with the caches of the layers below filled.

        `states` are those of the samples `rows` before these steps, and afterwards those after them.
        """
        A, lengths = self._standardized(batch.X), batch.lengths
        for layer in self.layers:  # each holds arrays of its neighbours, which these can then use again
            layer.fc.clear()
            layer.bc.clear()
        for i, layer in enumerate(self._body):
            carried = states is not None and i in states
            A = chain.forward(layer, A, lengths, states[i][rows] if carried else None)
            if carried:
                states[i][rows] = layer.fc["h"][:, -1]
            lengths = lengths if A.ndim == 3 else None
        return A, lengths

    def _backward(self, dZ: np.ndarray | None, dA: np.ndarray | None) -> None:
        """All gradients, down to the lowest layer that trains."""
        lowest = next(i for i, layer in enumerate(self.layers) if layer.trainable)
        for i in range(len(self.layers) - 1, lowest - 1, -1):
            layer = self.layers[i]
            dA = layer.backward(dA) if dZ is None else layer._pass.backward_linear(dZ)
            dZ = None
            if layer.trainable:
                layer.compute_gradients()

    def _criterion(
        self, Z: np.ndarray, A: np.ndarray, Y: np.ndarray
    ) -> tuple[float, np.ndarray | None, np.ndarray | None]:
        """The loss and dL/dZ, or dL/dA where loss and activation are no pair that has a dL/dZ of its own."""
        pair = losses.CANONICAL.get((self.loss, ours(self._head.activate)))
        if pair is not None:
            return *pair(Z, Y, A, parameter(self._head.se_hPars, "softmax_temperature")), None
        loss, dA = losses.LOSSES[self.loss](A, Y)
        return loss, None, dA

    def _scores(self, data: Data) -> tuple[float, float | None]:
        """The loss and the accuracy on `data`."""
        loss, right = 0.0, 0.0
        self.reset_states()
        size = max(1, 1024 * 1024 // max(1024, data.X.shape[1]))  # fewer of long samples, for the memory's sake
        with np.errstate(over="ignore", invalid="ignore"):
            for A, _, rows in self._below(data.X, data.lengths, size):
                batch = data[rows]
                self.reset_states()  # no sample continues one of the batch before
                ran = self._head.run(batch.rows(A))
                Z, A, Y = ran.fc["Z"], ran.A, self._targets(batch)
                loss += self._criterion(Z, A, Y)[0] * batch.count / data.count
                hits = losses.hits(A, Y, self.loss)
                right = None if hits is None else right + hits
        return loss, None if right is None else right / data.count

    def _targets(self, batch: Data) -> np.ndarray:
        """The targets as a loss takes them, one row for each output."""
        return losses.spelled_out(batch.rows(batch.y), self._head.d["u"])

    # --- what the layers get and have ---

    @property
    def _head(self) -> Dense | None:
        return self.layers[-1] if isinstance(self.layers[-1], Dense) else None

    @property
    def _body(self) -> tuple[GRU | Layer, ...]:
        """The layers below the head."""
        return self.layers if self._head is None else self.layers[:-1]

    def _make(self, X: np.ndarray) -> None:
        """Make the parameters that are missing, for inputs such as X."""
        shape: tuple[int, ...] = (1, 1, *X.shape[2:])
        for layer, seed in zip(self.layers, self._layer_seeds, strict=True):
            if not layer.p and "u" in layer.d:  # others have none
                _give_generator(layer, seed)
                layer.compute_shapes(np.zeros(shape, np.intp))
                layer.initialize_parameters()
            shape = chain.output_shape(layer, shape)

    def _standardized(self, X: np.ndarray) -> np.ndarray:
        """X as the first layer takes it."""
        if X.ndim == 2:
            return X
        if self.mean is not None:
            X = (X - self.mean) / self.scale
        return X.astype(next(layer.dtype for layer in self.layers if hasattr(layer, "dtype")), copy=False)

    def _below(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None,
        size: int,
        starts: list[np.ndarray | None] | None = None,
        states: list[list[np.ndarray]] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None, slice]]:
        """What the head gets, its lengths, and for which samples, `size` of them at a time; no cache is kept.

        `starts` are the states before; those after go into `states`, a list for each of these batches.
        """
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            A, steps = self._standardized(X[rows]), None if lengths is None else lengths[rows]
            before, after = iter(starts or ()), []
            for layer in self._body:
                if starts is None:
                    A = layer.predict(A, steps)
                else:
                    own = [None if h is None else h[rows] for _, h in zip(chain.halves(layer), before, strict=False)]
                    A, last = chain.predict(layer, A, steps, own)
                    after += last
                steps = steps if A.ndim == 3 else None
            if states is not None:
                states.append(after)
            yield A, steps, rows

    def _starts(self, h0: Any, m: int) -> list[np.ndarray | None]:
        """h0 for each recurrent layer and direction, checked; None where it is not given."""
        layers = [half for layer in self._body for half in chain.halves(layer)]
        if h0 is None:
            return [None] * len(layers)
        if not hasattr(h0, "__len__") or len(h0) != len(layers):
            got = f"{len(h0)} of them" if hasattr(h0, "__len__") else type(h0).__name__
            raise ValueError(f"h0: expected (m, u) for each of {len(layers)} layers and directions, got {got}")
        return [
            real(state, f"h0[{i}]", (m, layer.d["u"]), layer.dtype)
            for i, (state, layer) in enumerate(zip(h0, layers, strict=True))
        ]

    def _parameters(self, everything: bool = False) -> Arrays:
        """The parameters by keys like `0.Uz`, those of frozen layers only with `everything`."""
        layers = [(i, layer) for i, layer in enumerate(self.layers) if everything or layer.trainable]
        return {f"{i}.{name}": array for i, layer in layers for name, array in layer.p.items()}

    def _gradients(self) -> Arrays:
        layers = [(i, layer) for i, layer in enumerate(self.layers) if layer.trainable]
        return {f"{i}.{name}": layer.g["d" + name] for i, layer in layers for name in layer.p}

    def _snapshot(self) -> tuple[Arrays, dict[str, Any], tuple[np.ndarray | None, np.ndarray | None]]:
        parameters = {key: array.copy() for key, array in self._parameters(everything=True).items()}
        return parameters, copy.deepcopy(self._state), (self.mean, self.scale)

    def _restore(self, snapshot: tuple[Arrays, dict[str, Any], tuple[np.ndarray | None, np.ndarray | None]]) -> None:
        parameters, self._state, (self.mean, self.scale) = snapshot
        for key, array in self._parameters(everything=True).items():
            array[...] = parameters[key]

    # --- what comes in ---

    def _samples(self, X: Any, lengths: Any, name: str = "") -> tuple[np.ndarray, np.ndarray | None]:
        first = self.layers[0]
        if isinstance(first, Embedding):
            X = first.tokens(X, lengths, f"{name}X")
        else:
            X, e = sequences(X, f"{name}X"), self.elements
            if e not in (None, X.shape[2]):
                raise ValueError(f"{name}X: expected shape (m, s, {e}), as the network was made for, got {X.shape}")
        return X, lengths_of(lengths, *X.shape[:2], f"{name}lengths")

    def _data(self, X: Any, y: Any, lengths: Any, name: str = "") -> Data:
        if self._head is None:
            raise ValueError(f"layers: expected a Dense at the end for a loss, got {self.layers[-1]!r}")
        X, lengths = self._samples(X, lengths, name)
        steps = np.ones(X.shape[:2], bool) if lengths is None else mask(lengths, X.shape[1])[:, :, 0]
        lost = steps & ~np.isfinite(X).reshape(*steps.shape, -1).all(axis=2)
        if lost.any():
            sample, step = np.argwhere(lost)[0]
            raise ValueError(f"{name}X: expected finite numbers, got NaN or infinity in sample {sample}, step {step}")
        k, name = self._head.d["u"], f"{name}y"
        if self.per_step:
            return Data(X, losses.step_targets(y, steps, k, self.loss, name), lengths, per_step=True)
        Y, classes = losses.compact(y, len(X), k, self.loss, name)
        return Data(X, Y, lengths, classes)

    def _split(self, data: Data, validation: Any) -> tuple[Data, Data | None]:
        """The samples to train on and those to validate with, None without `validation`."""
        if validation is None:
            return data, None
        if isinstance(validation, tuple | list):
            if len(validation) not in (2, 3):
                raise ValueError(f"validation: expected (X, y) or (X, y, lengths), got {len(validation)} of them")
            X, y, lengths = (*validation, None)[:3]
            held_out = self._data(X, y, lengths, "validation ")
            if held_out.X.shape[2:] != data.X.shape[2:]:
                raise ValueError(
                    f"validation X: expected {data.X.shape[2]} elements, as X has, got shape {held_out.X.shape}"
                )
            return data, held_out
        if isinstance(validation, bool) or not isinstance(validation, int | float | np.integer | np.floating):
            raise TypeError(f"validation: expected a share, a tuple or None, got {type(validation).__name__}")
        m = len(data)
        if not 0 < validation < 1:
            raise ValueError(f"validation: expected a share above 0 and below 1, got {validation}")
        if m < 2:
            raise ValueError(f"validation: expected at least 2 samples to set some aside, got {m}")
        return data.split(min(max(round(validation * m), 1), m - 1), self._split_seed)


_DIVERGED = "{}: training diverged; a lower learning rate or clip_norm may help"


def load(path: str | os.PathLike[str]) -> Network:
    """The network that `Network.save` wrote to `path`: it predicts bit for bit the same, and can be fitted further.

    Its optimizer is `Adam()`; set `optimizer` for another. ValueError for a file that is damaged, foreign or of a
    newer format; OSError (FileNotFoundError, ...) where it cannot be read.
    """
    layers, settings, standardisation = persistence.read(path)
    try:
        net = Network(layers, **settings)
    except (TypeError, ValueError) as error:
        raise persistence.refused(path, error) from None
    if standardisation:
        net.mean, net.scale = standardisation["mean"], standardisation["scale"]
    return net


def _give_generator(layer: GRU | Layer, seed: np.random.SeedSequence) -> None:
    """A generator from `seed`, for a layer that was given none of its own."""
    if "rng" not in layer.given if isinstance(layer, Layer) else not getattr(layer, "_own_rng", False):
        layer.np_rng = np.random.default_rng(seed)


def _names(names: Any, loss: str, k: int) -> tuple[str, ...] | None:
    """`class_names` as a tuple, one for each class."""
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"class_names: expected a sequence of strings or None, got {type(names).__name__}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("class_names: expected strings, got " + ", ".join(sorted({type(n).__name__ for n in names})))
    if loss == "mean_squared_error":
        raise ValueError(f"class_names: expected None for {loss}, got {len(names)} names")
    classes = 2 if k == 1 else k
    if len(names) != classes or len(set(names)) != classes:
        raise ValueError(f"class_names: expected {classes} different names, got {list(names)}")
    return tuple(map(str, names))


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"dtype {value.dtype}" if value.flags.writeable else "a read-only one"
