"""`Network`: a chain of layers, usually with a `Dense` head: create, fit, predict, evaluate, save and load.

m samples, s steps, e features per step, k outputs. The arithmetic stands in the layers, the training loop in
training/fit.py.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import losses, optimizers
from cgru.core.checks import flag, positive
from cgru.core.row_blocks import default_batch_size
from cgru.layers.layer import Layer
from cgru.losses import Function
from cgru.network import chain, files
from cgru.network.classes import checked_feature_names, checked_labels
from cgru.network.data.streaming import as_data, check_batches, is_batches, iterate_inputs, split_validation
from cgru.network.data.training_data import check_inputs, class_weights, find_class_names, warn_of_axes, weigh_by_class
from cgru.network.data_spec import DataSpec
from cgru.network.history import History
from cgru.network.model import Model
from cgru.network.options import FitOptions, Metric, Settings, takes
from cgru.optimizers import DP, Adam, Optimizer

if TYPE_CHECKING:  # what trains and describes is imported at its first use, which shortens `import cgru`
    from typing_extensions import Unpack

    from cgru.network.summary import Summary
    from cgru.network.training.fit import Fit

__all__ = ["Network", "from_parts", "load", "to_parts", "undo_target_scaling"]

SCORED = Settings(epochs=1)  # for `evaluate` without metrics: checking new ones takes longer than scoring few samples


class Network(Model):
    """A chain of layers, each reading the outputs of the previous one, usually with a `Dense` head at the end.

    A network creates its parameters, fits, predicts, evaluates, and saves itself. Without a head it has no loss: it
    predicts and is saved, but not trained.

    The layers are any number of `GRU`, `Embedding` (as the first: X is then integer tokens (m, s)), `Dropout`, `Pool`
    and `Dense`, and other kinds of `cgru.layers.Layer`. Outputs are (m, k), one for each sample, where a layer on the
    way returns one state of a sequence (a GRU without `sequences=True`, a Pool); else (m, s, k), one for each step.

    Parameters are created when the first data come, for their number of features; a layer that has some keeps them.
    Inputs are raw: once `fit` has measured a standardisation, every method applies it. Each argument is an attribute of
    the same name, too.

    Args:
        layers: the layers, the lowest first.
        loss: the loss, by name. None chooses by the head's activation: "cross_entropy" for softmax,
            "binary_cross_entropy" for sigmoid, "mean_squared_error" ("mse") for any other.

            - "cross_entropy(0.1)" smooths the labels: it trains on targets of which that share is spread evenly over
              all classes, and is scored on the targets as given.
            - "huber" or "huber(delta)" grows linearly from an error of delta on.
            - "quantile" (the median) or "quantile(0.1, 0.9)" predicts quantiles. Those of one target stand side by
              side.
            - "poisson" predicts the logarithm of a rate.
            - "gaussian" predicts the mean and the log-variance of each target, side by side.
            - A callable of your own, f(A, Y) -> (the values of the rows (m,), their gradients dL/dA (m, k)), for
              outputs A (m, k) and targets Y (m, n), is trained as a loop in Python. Its rows are samples, or the real
              steps of all.
        optimizer: an `SGD`, `Adam`, `RMSprop` or `Adagrad`, or its name in small letters. None: `Adam()`.
            `optimizers.DP` of one of them trains with differential privacy. It may be replaced at any time.
        seed: makes the initial weights, the shuffling and the validation split repeatable. Each layer gets a generator
            of its own from it, except one that was given its own.
        class_names: one name for each class.
        dtype: the dtype of all layers; a layer that was given another is refused. None: the one that layers were given,
            else float64.
        feature_names: one name for each feature of a step.
        target_names: one name for each target of a regression.
        classes: the values that stand for the classes in y and in the result of `predict_classes`: booleans, numbers or
            strings. None: names, else 0 to k - 1.

    Attributes:
        layers: the layers, a tuple.
        history: the `History` over all fits.
        mean: the mean of each feature (e,) as `fit` measured it, else None.
        scale: the deviation of each feature (e,) as `fit` measured it, else None.
            It is kept with the model.

    Raises:
        TypeError, ValueError: an argument is invalid, or layers do not fit each other.

    Examples:
        >>> data = cgru.datasets.load_japanese_vowels()
        >>> net = cgru.Network([cgru.GRU(8), cgru.Dense(9, "softmax")], seed=0)
        >>> history = net.fit(data.train.X, data.train.y, epochs=2, standardize=True)
        >>> net.predict(data.test.X).shape
        (370, 9)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | Function | None = None,
        optimizer: Optimizer | DP | str | None = None,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        *,
        dtype: DTypeLike | None = None,
        feature_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        classes: ArrayLike | None = None,
    ) -> None:
        super().__init__(layers)
        self.class_names: tuple[str, ...] | None = None
        self.classes: np.ndarray | None = None
        self.target_names: tuple[str, ...] | None = None
        if self.head is not None:
            self.loss = losses.chosen(loss, self.head.activate, self.head.d["u"])
            vars(self).update(checked_labels(self.layers, self.loss, class_names, classes, target_names))
        elif any(given is not None for given in (loss, class_names, target_names, classes)):
            others = "class_names, target_names and classes"
            raise ValueError(f"loss: expected None, as {others}, without a Dense at the end, got {loss!r}")
        self.feature_names = checked_feature_names(feature_names, self.features)
        self.optimizer = Adam() if optimizer is None else optimizers.named(optimizer)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
            raise TypeError(f"seed: expected an integer or None, got {type(seed).__name__}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        self.dtype = chain.dtype_of(self.layers, dtype)
        self.seed = None if seed is None else int(seed)
        self._run: Fit | None = None  # the fit under way, which holds the optimizer's state meanwhile
        *self._layer_seeds, self._split_seed, shuffle_seed = np.random.SeedSequence(seed).spawn(len(self.layers) + 2)
        self._shuffler = np.random.default_rng(shuffle_seed)
        self._lock = threading.RLock()
        for layer, own in zip(self.layers, self._layer_seeds, strict=True):
            layer.seeded(own)
        for _, layer in chain.leaves(self.layers):
            given = layer.given
            layer.dtype, layer.given = self.dtype, given  # the dtype is the network's, not the user's

    def __repr__(self) -> str:
        return f"Network({list(self.layers)}, loss={self.loss!r}, optimizer={self.optimizer}, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self) | {"carried": self.optimizer_state}
        return {name: value for name, value in state.items() if name not in ("_lock", "_run")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock(), _run=None)

    # --- state and description ---

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """Return the optimizer's state: {class of the optimizer: {key of the parameter: [its steps, its arrays]}}."""
        if self._run is not None:
            self._run.store_optimizer_state()
        return self.carried

    @optimizer_state.setter
    def optimizer_state(self, value: dict[str, Any]) -> None:
        self.carried = value

    @property
    def data_spec(self) -> DataSpec:
        """Return a `DataSpec` of the inputs and targets that the network takes now."""
        return DataSpec(
            self.layers, self.steppers, self.features, None if self.mean is None else len(self.mean), self.loss,
            self.feature_names, self.class_names, self.classes,
        )  # fmt: skip

    def summary(self) -> Summary:
        """Return a summary that prints as a table: each layer's output shape and number of parameters, and totals.

        Returns:
            The summary.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> net.make(np.zeros((1, 5, 3)))
            >>> net.summary().parameters
            106
        """
        from cgru.network.summary import summarize

        return summarize(self.layers, self.features, self.dtype)

    def make(self, X: np.ndarray) -> None:
        """Make the missing parameters of all layers, for inputs like X.

        Args:
            X: an array (m, s, e), or tokens (m, s); only the number of features is read.

        Raises:
            ValueError: the first layer does not take the shape of X.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> net.make(np.zeros((1, 5, 3)))
            >>> net.layers[0].p["Uz"].shape
            (3, 4)
        """
        if all((layer.p and not layer.branches) or len(layer.p) == len(layer.parameter_names) for layer in self.layers):
            return
        shape: tuple[int, ...] = (1, 1, *X.shape[2:])
        with self._lock:  # when several threads bring the first data, one of them creates the parameters
            for layer, seed in zip(self.layers, self._layer_seeds, strict=True):
                if layer.parameter_names and not layer.p:
                    layer.seeded(seed)
                layer.make(np.zeros(shape, np.intp))
                shape = layer.output_shape(shape)

    # --- use ---

    def predict(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None = None,
        h0: Any = None,
        *,
        batch_size: int | None = None,
        return_state: bool = False,
    ) -> Any:
        """Predict the outputs for X.

        For an iterable of batches, X or (X, y, lengths) as in `fit`, return an iterator, which predicts each batch when
        it is asked for.

        Args:
            X: an array (m, s, e), tokens (m, s), a list of arrays, `Sequences`, or batches, as for `fit`. NaN in X
                comes out as NaN. Where `resets` or `decay` of `Sequences` say so, a given or carried state, too, begins
                anew or fades.
            lengths: (m,) the real steps of each sample; None: all.
            h0: the initial states, (m, u) for each recurrent layer from the lowest on; for a `Bidirectional` first that
                of its layer, then that of its twin. Pass an array (layers x directions, m, u), as in PyTorch, or a list
                where the layers differ in u. A single state may be (m, u). None: zero, or the learned state.
            batch_size: how many samples run at a time, which bounds the memory and, but for rounding, changes nothing.
                None: 1,024, of long samples less. `stateful` layers run all samples together.
            return_state: whether to return the last states, too.

        Returns:
            The outputs (m, k), or (m, s, k) with zeros at padded steps. With `return_state` (outputs, last states), the
            states in the form of `h0`.

        Raises:
            TypeError, ValueError: an argument is invalid, or does not fit the network.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> A, state = net.predict(np.ones((5, 7, 3)), lengths=[7, 7, 3, 2, 1], return_state=True)
            >>> A.shape, state.shape
            ((5, 2), (1, 5, 4))
            >>> bool(np.allclose(A.sum(axis=1), 1))
            True
        """
        if is_batches(X):
            given = iterate_inputs(X, lengths, h0, return_state or None)
            return (self.predict(X, lengths, batch_size=batch_size) for X, lengths in given)
        X, lengths, read = check_inputs(self.data_spec, X, lengths)
        size = default_batch_size(X.shape) if batch_size is None else positive(batch_size, "batch_size")
        starts = chain.checked_initial_states(self.body, h0, len(X)) if return_state or h0 is not None else None
        self.make(X)
        A, states = self.outputs(X, lengths, size, starts, read)
        if not return_state:
            return A
        return A, np.stack(states) if states and len({state.shape for state in states}) == 1 else states

    def predict_classes(
        self,
        X: Any,
        lengths: np.ndarray | None = None,
    ) -> Any:
        """Predict the class of each sample, or of each step.

        One sigmoid unit decides between 0 and 1 at 0.5. Several sigmoid units each decide so.

        Args:
            X: as for `predict`, batches among them.
            lengths: (m,) the real steps of each sample; None: all.

        Returns:
            The classes (m,), or (m, s) for outputs at steps: values of `classes`, else names, else integers. At padded
            steps stands -1, or the name "". Of several sigmoid units integers (m, k) or (m, s, k).

        Raises:
            ValueError: the network is a regression, or outputs are NaN.
            TypeError: an argument is invalid.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], classes=["no", "yes"], seed=0)
            >>> found = net.predict_classes(np.ones((5, 7, 3)))
            >>> found.shape, set(found.tolist()) <= {"no", "yes"}
            ((5,), True)
        """
        if not losses.classifies(self.loss):
            raise ValueError(f"predict_classes: expected a network with a cross-entropy loss, got {self.loss}")
        if is_batches(X):
            return (self.predict_classes(X, lengths) for X, lengths in iterate_inputs(X, lengths))
        A = self.predict(X, lengths)
        lost = np.flatnonzero(np.isnan(A).reshape(len(A), -1).any(axis=1))
        if lost.size:
            raise ValueError(f"X: expected samples that have a class, got NaN outputs for sample {lost[0]}")
        classes = losses.named(self.loss).classes(A)
        values = self.class_names if self.classes is None else self.classes
        named = classes.ndim < A.ndim and values is not None
        classes = np.array(values)[classes] if named else classes
        if A.ndim == 3:
            X, lengths, _ = check_inputs(self.data_spec, X, lengths)
            classes[~self.output_mask(X, lengths)] = "" if named else -1
        return classes

    def evaluate(
        self,
        X: Any,
        y: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        *,
        sample_weight: np.ndarray | None = None,
        metrics: Mapping[str, Metric] | None = None,
        each: bool = False,
    ) -> dict[str, Any]:
        """Compute the loss and the accuracy for samples with known targets.

        They are averaged over the samples, or over real steps for outputs at steps. A regression has no accuracy. The
        accuracy of several binary outputs is the share of right ones. `stateful` layers are reset before and after.

        Args:
            X: as for `fit`, batches among them.
            y: the targets, as for `fit`.
            lengths: as for `fit`.
            sample_weight: as for `fit`.
            metrics: functions by name, as for `fit`; their values are in the result.
            each: whether to return the loss of each sample, too.

        Returns:
            `{"loss": ..., "accuracy": ...}`, and the metrics. With `each` also "losses", float64: the loss of each
            sample (m,), or with outputs at steps of each step (m, s), zero at padding. That of a cross-entropy is
            minus the log-likelihood. The losses are not weighted; "loss" is their mean weighted by `sample_weight`.

        Raises:
            TypeError, ValueError: an argument is invalid, or does not fit the network.

        Examples:
            >>> X, y = np.ones((4, 5, 3)), np.array([0, 1, 1, 0])
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> found = net.evaluate(X, y, each=True)
            >>> found["accuracy"], found["losses"].shape
            (0.5, (4,))
            >>> bool(np.isclose(found["loss"], found["losses"].mean()))
            True
        """
        from cgru.network.training.fit import scores
        from cgru.network.training.metrics import compute_metrics

        settings = SCORED if metrics is None else Settings(epochs=1, metrics=metrics)
        each = flag(each, "each")
        check_batches(settings, X, y, lengths=lengths, sample_weight=sample_weight)
        if each and y is None and self.per_step:
            raise ValueError("each: expected False for batches with outputs at steps, got True")
        data = as_data(self.data_spec, X, y, lengths, sample_weight)
        self.make(data.first.X)
        loss, accuracy, rows = scores(self, data, each)
        found = {"loss": loss} if accuracy is None else {"loss": loss, "accuracy": accuracy}
        if each:
            found["losses"] = data.scatter(rows[:, None])[..., 0]
        return found | compute_metrics(self, data, settings.metrics)

    def gradients(
        self,
        X: Any,
        y: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        *,
        sample_weight: np.ndarray | None = None,
        each: bool = False,
    ) -> dict[str, Any]:
        """Compute the gradient of the loss with respect to each parameter.

        The loss is the one that `fit` trains on, with label smoothing, averaged over the samples, or over real steps
        for outputs at steps. What a fit adds by its options is not in it: penalties, class weights, clipping. Frozen
        layers have gradients, too. The network runs in evaluation mode, as it predicts: nothing is dropped out, zoneout
        is its expectation, `stateful` layers begin anew. Nothing of the network is changed, but missing parameters are
        made.

        Args:
            X: as for `fit`, batches among them.
            y: the targets, as for `fit`.
            lengths: as for `fit`.
            sample_weight: as for `fit`.
            each: whether to return the gradients of each sample instead of the common ones.

        Returns:
            The gradients, with the keys and shapes of `parameters()`. With `each` those of each sample, (m, ...): the
            gradients of its own mean loss, over its real steps weighted by `sample_weight` (m, s). Their mean,
            weighted by the samples' real steps, or by the sums of their weights, is the common gradient. So a
            weight for a whole sample is no factor of its gradient, but that of a sample whose weights are all 0 is
            0. With `each` the gradient of an `Embedding` is (tokens, rows): the tokens of each sample (m, n) and
            their rows (m, n, u), zeros behind them. Its `dense(v)` is (m, v, u).

        Raises:
            TypeError, ValueError: an argument is invalid, or `each` is asked for and a layer of your own has no
                gradients of each sample.

        Examples:
            >>> X, y = np.ones((4, 5, 3)), np.array([0, 1, 1, 0])
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> g, own = net.gradients(X, y), net.gradients(X, y, each=True)
            >>> own["0.Uz"].shape, bool(np.allclose(own["0.Uz"].mean(axis=0), g["0.Uz"]))
            ((4, 3, 4), True)
        """
        from cgru.network.training.loss_gradients import gradients

        each = flag(each, "each")
        chain.check_trains(self.layers)
        check_batches(SCORED, X, y, lengths=lengths, sample_weight=sample_weight)
        data = as_data(self.data_spec, X, y, lengths, sample_weight)
        self.make(data.first.X)
        return gradients(self, data, each)

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Save the model to the file `path`, with everything that `cgru.load` needs to predict.

        The file is an `.npz` without pickled objects, written under another name and renamed. The optimizer, its state
        and the history are left out. After an error nothing is written.

        Args:
            path: the file, exactly that name.
            extra: a dict of JSON's types to keep in the file, for `cgru.network.read_extra`; `cgru.load` leaves it
                alone. `cgru predict` and `cgru evaluate` read data by `{"columns": data.columns.to_dict()}`.

        Raises:
            RuntimeError: there are no parameters yet.
            TypeError, ValueError: names do not fit, or a layer, activation, initializer or loss is not from this
                package.
            OSError: the file cannot be written.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> A = net.predict(np.ones((5, 7, 3)))
            >>> net.save("model.npz")
            >>> bool((cgru.load("model.npz").predict(np.ones((5, 7, 3))) == A).all())
            True
        """
        files.write(path, *to_parts(self), extra)

    @takes(Settings)
    def fit(
        self,
        X: Any,
        y: np.ndarray | None = None,
        *,
        lengths: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
        groups: Any = None,
        **options: Unpack[FitOptions],
    ) -> History:
        """Train on X and y; another call continues the training.

        An epoch is one compiled call without the GIL. It is a loop in Python where the network has a layer, a callable,
        a mask or an optimizer of your own, or `optimizers.DP`. The network's arrays show the training at the end of an
        epoch that has a callback, and after the fit.

        `stateful` layers go on, within an epoch, from batch to batch: sample i of a batch continues sample i of the one
        before. That needs shuffle=False and batches of one size; each epoch, and each validation, begins anew.

        An update with a gradient that is not finite is left out: parameters, optimizer's state and its steps stay what
        they are, the schedule goes on, and `history.skipped` counts it. Ten such updates in a row, a loss or a
        parameter that is not finite are a divergence.

        Whatever is raised while it trains (KeyboardInterrupt too), the best weights so far are put in place first: by
        validation loss, without validation those of the last whole epoch, before the first those at the start.

        Args:
            X: an array (m, s, e), or tokens (m, s), or a list of arrays whose lengths differ, (s_i, e) or (s_i,); or
                `Sequences`, which also have `resets`, `decay` or `times`. X and y may be memory-mapped
                (`numpy.memmap`): they stay in the file and give the same bits. The system ends the process if the file
                becomes shorter meanwhile.

                Without y, X is batches: any iterable of (X, y), (X, y, lengths) or (X, y, lengths, sample_weight), of
                any sizes, that starts again for each epoch. Each batch is an update; its weights are not rescaled. See
                docs/large.md.
            y: the targets. Where outputs are (m, s, k), (m, s) stands for (m,) in all this: a target for each step,
                looked at where the step is real. Loss and accuracy are then means over all real steps of a batch.

                - cross_entropy: integers (m,) from 0 to k - 1, or class probabilities (m, k).
                - binary_cross_entropy: 0 and 1 (m,), or reals from 0 to 1 (m, k).
                - both: names of classes (m,), which are those of `class_names`; where the network has none, those in y,
                  sorted, become its names. With `classes` values of these (m,).
                - others: reals (m, k), or (m, n) for n targets; (m,) does where k or n is 1.
            lengths: (m,) integers, the real steps of each sample; steps past them are ignored.
            epochs: passes over the samples.
            batch_size: samples that make an update. None: 32.
            validation: the samples to validate with. With validation, the weights of the epoch with the lowest
                validation loss are in place at the end. One of:

                - (X, y), (X, y, lengths) or (X, y, lengths, sample_weight), with None for lengths or weights that are
                  not there.
                - Batches of these.
                - The share of the samples, in (0, 1), to set aside. They are drawn at random, the same ones in each fit
                  of as many samples. They are drawn evenly over the classes, each of which keeps a sample to train on
                  where that can be.
            groups: (m,) strings or numbers, such as the subject of each sample. A validation share then has whole
                groups. It has as many as come nearest to the share, in all and of each class.
            standardize: whether to measure the mean and deviation of each feature over the real training steps and
                train on (X - mean) / scale; a deviation of 0 counts as 1. They are measured once. A network that has
                `mean` and `scale` uses them whatever this argument is; set both to None to have them measured anew.
            shuffle: whether to draw a new order of the samples for each epoch. The last, short batch is used.
            patience: stop after so many epochs without a lower validation loss. None never does.
            callback: a function called with the `Epoch` at the end of each; its changes to the network hold from then
                on.
            truncate: for sequences too long to unroll, backpropagation through at most so many steps. None: all.

                With outputs at steps, each batch is trained on so many steps at a time. Each piece is one update, by
                the mean loss over its own real steps. The states of the layers are carried from piece to piece,
                gradients are not (Williams and Peng, 1990, Neural Computation 2).

                With one output a sample, gradients go back over the last so many real steps of each. The states before
                these are computed a piece at a time, and no caches stay.
            sample_weight: (m,) numbers of at least 0; where outputs are (m, s, k) also (m, s), looked at where the step
                is real. The loss of a batch is then sum(w_i loss_i) / sum(w_i) over its samples or real steps. Losses
                and accuracies of an epoch are such means over all: ratios alone count. A sample of weight 0 has no
                share in a gradient. A batch, or a piece of one, where all weights are 0 is run without an update.
            class_weight: for targets that are classes, a dict with weights of classes, by number or name, 1 for those
                that are not in it. Or "balanced": n / (k count) for a class with `count` of the n targets of k classes.
                They multiply with `sample_weight`, and hold for the samples to validate with, too.
            standardize_targets: whether to train a regression on (y - mean) / deviation, of each target by those in y.
                Losses of training and validation are in these units. At the end the head, whose activation must be
                "identity", takes the scaling over: outputs, the loss of `evaluate` and what a callback sees are in the
                units of y. Not for "poisson"; `huber`'s delta is in deviations.
            shrink: whether to pull the outputs towards the mean at the end of a fit with `standardize_targets`. Their
                distance from it is multiplied by a factor from 0 to 1, estimated from the validation samples
                (`cgru.network.training.target_scaling.shrinkage`). Where nothing can be learned the outputs are the
                mean. The history is from before that.
            recover: whether to go back where training diverges, for the package's own optimizers. The fit goes back to
                the best parameters so far with the optimizer's state of that time, halves the learning rate, and goes
                on with the same epoch. Where that has happened five times, it ends with them. The best are those of the
                epoch with the lowest validation loss, without validation with the lowest loss. `history.problems()`
                says what happened.
            average: the share of itself that an exponential mean of the trained parameters keeps at an update. None: no
                mean. 0.999 is usual, less for a few hundred updates. The mean begins with the parameters at the start
                of the fit; after the n-th update of a parameter mean = d mean + (1 - d) parameter, with d =
                min(average, n / (n + 9)).

                The network has the mean: validation, metrics, callbacks, the best weights and the result are of it; the
                training loss is not. Until the fit is over, `optimizer_state` and the checkpoint have the trained
                parameters, too. Numbers that a callback changes begin anew as it leaves them, and parameters that it
                freezes stay the mean. A later fit begins with the mean.
            bucket: whether the samples of a batch are of like length, which saves time where lengths differ. 64 batches
                at a time are sorted, and batches, not samples, come in random order.
            penalties: L1 and L2 penalties of parameters and of the outputs of recurrent layers, a `cgru.Penalties`.
            metrics: functions f(y, A) -> a number, by their names. They are called after each epoch on the samples to
                validate with, without validation on all: y as classes (n,) or targets (n, k), outputs A (n, k), of n
                samples or of the real steps of all. They stand in `history[i].metrics`.
            progress: whether to show a progress bar, by tqdm, on stderr or in a notebook.
            checkpoint: the file from which a fit goes on after an interruption, a `cgru.Checkpoint`; the name of a
                file is short for `Checkpoint(name)`. None: no file.
            memory: "low" computes the gates of recurrent layers anew in the backward pass, a block of steps at a time,
                instead of keeping them. For long batches that takes about two fifths to a half of the memory, and about
                the time of another prediction; the bits are the same. None keeps them. A fit that is a loop in Python
                always does.

        Returns:
            The epochs of this fit; `history` of the network goes over all fits.

        Raises:
            TypeError, ValueError: an argument is invalid, or does not fit the network or the other arguments, such as:
                fewer than two `groups`, or each has all samples of some class; `truncate` with a layer that needs whole
                sequences (a `Pool` of more than the last step, a reverse direction); a parameter that trains shares
                memory with another, or within itself, as tied weights do, so that an update would change it twice; or,
                before anything is touched, a checkpoint to resume from of other settings, layers, optimizer or data.
            DivergenceError: training diverges, without `recover`. It is a RuntimeError.
            RuntimeError: with `recover` the loss is not finite with the parameters at the start; or another thread
                trains this network.
            OSError: the checkpoint cannot be written, before the training where that is known.

        Examples:
            >>> X, y = np.ones((40, 6, 3)), np.arange(40) % 2
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> history = net.fit(X, y, epochs=3, batch_size=10, validation=0.25, patience=2)
            >>> len(history) <= 3, history.validation_loss[0] > 0
            (True, True)
            >>> net.fit([np.ones((4, 3)), np.ones((6, 3))], ["yes", "no"], epochs=1)[0].epoch  # lists of unlike lengths
            1
            >>> net.class_names
            ('no', 'yes')
        """
        settings = Settings.of(options)
        from cgru.network.training.checkpoint import CheckpointFile
        from cgru.network.training.fit import Fit

        known = {"has_mean": self.mean is not None, "scheduled": optimizers.scheduled(self.optimizer)}
        check_batches(settings, X, y, **known, lengths=lengths, sample_weight=sample_weight, groups=groups)
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("fit: another thread is inside this network; give each thread its own network")
        try:
            spec = self.data_spec
            spec.class_names = find_class_names(spec, X, y, lengths)
            if isinstance(self.optimizer, optimizers.DP) and spec.class_names and not self.class_names:
                raise ValueError(
                    "class_names: expected names with the optimizer DP, as those in y are of the samples, got None"
                )
            data = as_data(spec, X, y, lengths, sample_weight)
            per_class = class_weights(spec, data, settings.class_weight)
            data = weigh_by_class(spec.judge, data, per_class)
            file, seed = None, self._split_seed
            if settings.checkpoint is not None:
                file = CheckpointFile(settings.checkpoint, seed)
                seed = file.split_seed
            data, held_out = split_validation(spec, data, settings.validation, seed, per_class, groups)
            run = Fit(self, data, held_out, settings, self._shuffler)
            if file is not None:
                file.check_fit(self, data, held_out, settings.for_resume() | vars(run.penalties) | {"seed": self.seed})
            fresh = not self.head.p
            if fresh:
                warn_of_axes(data)
            self._split_seed, self.class_names = seed, spec.class_names
            self.make(data.first.X)
            self.carried, outer = self.optimizer_state, self._run  # `outer`: the fit whose callback calls this
            try:
                self._run = run
                return run(fresh, file)
            finally:
                self._run = outer
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Stop the running fit after its current epoch; call this from a callback or another thread.

        `fit` then returns as usual. Without a running fit nothing happens.

        Examples:
            >>> X, y = np.ones((8, 5, 3)), np.arange(8) % 2
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> len(net.fit(X, y, epochs=9, callback=lambda epoch: net.stop()))
            1
        """
        run = self._run
        if run is not None:
            run.stopped = True


def load(path: str | os.PathLike[str]) -> Network:
    """Load the network that `Network.save` wrote to `path`.

    It predicts bit for bit the same and can be trained on. Its optimizer is `Adam()`.

    Args:
        path: the file.

    Returns:
        The network.

    Raises:
        ValueError: the file is damaged, foreign or of a newer format.
        OSError: it cannot be read.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], class_names=["no", "yes"], seed=0)
        >>> net.make(np.ones((5, 7, 3)))
        >>> net.save("model.npz")
        >>> cgru.load("model.npz").class_names
        ('no', 'yes')
    """
    found = files.read(path)
    try:
        return from_parts(*found)
    except (OverflowError, TypeError, ValueError) as error:
        raise files.file_error(path, error) from None


def undo_target_scaling(net: Network, mean: np.ndarray, scale: np.ndarray) -> Network:
    """Return a copy of `net` that predicts y, where `net` predicts (y - mean) / scale.

    The copy is float64 where the dtype of `net` cannot hold y, or cannot tell deviations from their mean.
    """
    # Epochs never change: a copy of each would take longer and longer in a fit of many parts.
    found, limits = copy.deepcopy(net, {id(net.history): copy.copy(net.history)}), np.finfo(net.dtype)
    if (np.abs(mean) * limits.eps > 0.01 * scale).any() or not (np.abs(mean) + scale < limits.max).all():
        arrays = files.pack(found.layers, dict.fromkeys(("loss", "class_names", "seed")), {})
        model = str(arrays.pop("model")).replace(f'"dtype": "{net.dtype.name}"', '"dtype": "float64"')
        wide = {name: array.astype(np.float64) for name, array in arrays.items()}
        layers, _, _ = files.unpack({"model": np.array(model), **wide})
        found.layers, found.dtype = tuple(layers), np.dtype(np.float64)
    from cgru.network.training.target_scaling import TargetScaling

    TargetScaling(mean, scale, *losses.named(net.loss).scaling(mean, scale)).unscale_head(found.head)
    return found


def to_parts(net: Network) -> tuple[tuple[Layer, ...], dict[str, Any], dict[str, np.ndarray]]:
    """Return the layers, settings and standardisation of `net`, as `files.write` takes them.

    TypeError or ValueError for names that do not fit the network.
    """
    settings = {name: getattr(net, name) for name in files.SETTINGS}
    settings["feature_names"] = checked_feature_names(net.feature_names, net.features)
    if net.head is not None:
        labels = net.class_names, net.classes, net.target_names
        settings |= checked_labels(net.layers, net.loss, *labels)
    return net.layers, settings, {} if net.mean is None else {"mean": net.mean, "scale": net.scale}


def from_parts(layers: Sequence[Layer], settings: Mapping[str, Any], standardisation: Mapping[str, Any]) -> Network:
    """Return the network made from the layers, settings and standardisation that `files.read` returned.

    TypeError or ValueError where they do not fit each other.
    """
    net = Network(layers, **settings)
    net.mean, net.scale = standardisation.get("mean"), standardisation.get("scale")
    return net
