"""scikit-learn estimators for sequences: `GRUClassifier`, `GRURegressor` (`pip install "cgru[sklearn]"`).

m samples, s steps, e features per step, k outputs. X is one of

    (m, s, e)           arrays of all samples
    (m, s)              one feature a step, the array that scikit-learn expects; DataFrames of numbers are this
    [(s_0, e), ...]     a list of arrays of different lengths
    Sequences           a `cgru.Sequences`, with `resets`, `decay` or `times`
    (m, e, s)           with channels_first=True; a list then has (e, s_0), ...
    a long DataFrame    a row a step, a column a feature, and an index of (sample, time), as sktime's "pd-multiindex"
    a nested DataFrame  a row a sample, a column a feature, a Series or an array in each cell
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

try:
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d
except ImportError:
    raise ImportError("cgru.sklearn: scikit-learn is missing: pip install scikit-learn") from None

from cgru import losses
from cgru.estimators.sequence_estimator import SequenceEstimator
from cgru.losses import Loss
from cgru.network import Network
from cgru.network.data.mean_variance import mean_and_deviation
from cgru.network.network import undo_target_scaling

__all__ = ["GRUClassifier", "GRURegressor"]


class GRUClassifier(ClassifierMixin, SequenceEstimator, options=["class_weight"]):
    """A classifier of sequences: a GRU network trained by softmax cross-entropy.

    Args:
        units: units of each direction of a GRU layer.
        class_weight: None, "balanced" or a dict, as in scikit-learn.
        loss: "cross_entropy(0.1)" smooths the labels; None: "cross_entropy".
        layers: the number of GRU layers; None: one, or with `inputs="auto"` the better of one and two in the folds.
        bidirectional: whether each layer runs in both directions.
        pool: the pooling of the last layer's states for the head, as in `cgru.Pool`; "last" is the last state alone.
            None: "last+mean+max", "mean" behind a convolution, or with `inputs="auto"` the best in the folds.
        inputs: the layers before the first recurrent layer: "raw" for none, or some of "normalize", "difference",
            "frames(length, hop)" and "convolution(width, stride, channels)" in their order, such as
            "difference+frames(8)". "auto": the best in folds of the training data, of as many as `budget` allows.
        budget: seconds that choosing and training may take on one core of today, by a count of the work, so that the
            same data and seed always make the same choice. 0: no folds.
        causal: whether the network must run step by step, in a `Stream` and as C: one direction, no "normalize".
        missing: "decay": X may have NaN where nothing was measured; the first recurrent layer is a `cgru.GRUD`, which
            reads what was measured and, by the `times` of a `cgru.Sequences`, when. It is of one direction, and stands
            behind no other layer. "refuse": NaN is refused.
        dropout: the dropout rate between the layers and below the head.
        recurrent_dropout: the dropout rate of the states from step to step.
        learning_rate: the learning rate of Adam, on a one-cycle schedule.
        weight_decay: the weight decay of Adam.
        epochs: the number of epochs. None: at least 30 epochs and 1,200 updates.
        batch_size: the samples of a batch. None: m / 40, from 16 to 64.
        standardize: whether to scale each feature to mean 0 and deviation 1 over the training data.
        average: the decay of an exponential moving average of the parameters, as in `cgru.Network.fit`, such as 0.999;
            None: no average.
        ensemble: the number of networks, each from a seed of its own, whose outputs are averaged.
        early_stopping: whether to keep the weights of the epoch with the lowest loss on `validation_fraction` of the
            samples, which have no part in the choice, and to stop after `n_iter_no_change` epochs without a lower one.
        validation_fraction: the share of the samples that `early_stopping` holds out.
        n_iter_no_change: the number of epochs without a lower loss after which `early_stopping` ends the fit.
        warm_start: whether `fit` continues from the fitted network.
        channels_first: whether X is (m, e, s).
        random_state: the seed of all that is drawn, as in scikit-learn.
        n_jobs: the number of threads; None: `cgru.get_num_threads()`.
        verbose: whether to print what was chosen, or why there were no folds, and each epoch.

    Attributes:
        classes_: the classes, sorted.
        n_features_in_: s for X (m, s), else e.
        inputs_: the input layers that were taken.
        layers_: the number of GRU layers that was taken.
        pool_: the pooling that was taken.
        candidate_scores_: by the text of each candidate its score in the folds: the accuracy, or the loss of a
            regression; empty without folds, of which `verbose=1` tells why.
        network_: the `cgru.Network`, with the classes; for a regressor a copy whose outputs are in the units of y. An
            ensemble has none.
        networks_: the list of all networks, of one without an ensemble.
        loss_curve_: the training loss of each epoch.
        n_iter_: the number of epochs.
        validation_scores_: the validation loss of each epoch, with early_stopping or samples to validate with.

    Examples:
        >>> from cgru.sklearn import GRUClassifier
        >>> X = [np.full((4 + i % 3, 2), i % 2) for i in range(40)]  # sequences of 4 to 6 steps
        >>> y = ["even" if i % 2 == 0 else "odd" for i in range(40)]
        >>> model = GRUClassifier(4, epochs=20, budget=0, random_state=0).fit(X, y)
        >>> model.predict(X[:3]).tolist(), model.score(X, y)
        (['even', 'odd', 'even'], 1.0)
        >>> model.predict_proba(X).shape
        (40, 2)
    """

    @staticmethod
    def _takes(loss: Loss | type[Loss]) -> bool:
        """Return whether the estimator supports this loss. The first supported one of `LOSSES` is the default."""
        return loss.takes_class_numbers

    def _targets(self, y: Any, loss: Loss, reset: bool, classes: Any, weights: Any) -> np.ndarray:
        """Check y, set `classes_` if `reset`, and return the index into `classes_` of each element of y."""
        if np.ndim(y) > 1 and np.shape(y)[1:] != (1,):
            cure = "several outputs, or a class for each step, are for cgru.Network"
            raise ValueError(f"y: expected a class for each sample, (m,), got shape {np.shape(y)}; {cure}")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(f"y: expected at least two classes, got 1 class, {self.classes_.tolist()[0]!r}")
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes: expected {self.classes_}, as in the first call, got {classes}")
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (self.classes_[places] != y).any():
            raise ValueError(f"y: expected classes of {self.classes_}, got others, {np.setdiff1d(y, self.classes_)}")
        return places

    def _in_terms_of_y(self, net: Network, names: tuple[str, ...] | None) -> Network:
        """Return a copy of the network that predicts the class labels of y."""
        found = copy.copy(net)
        found.classes = self.classes_
        return found

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
    ) -> GRUClassifier:
        """Train one epoch on X and y.

        Args:
            X: as for `fit`.
            y: as for `fit`.
            classes: all classes that there will be; needed in the first call where y lacks some.
            sample_weight: as for `fit`.

        Returns:
            The estimator.

        Raises:
            TypeError, ValueError: an argument is invalid, or `classes` are others than in the first call.

        Examples:
            >>> from cgru.sklearn import GRUClassifier
            >>> model = GRUClassifier(4, random_state=0)
            >>> for X, y in [(np.ones((8, 5)), ["a"] * 8), (np.zeros((8, 5)), ["b"] * 8)]:
            ...     model = model.partial_fit(X, y, classes=["a", "b"])
            >>> model.classes_.tolist(), model.n_iter_
            (['a', 'b'], 2)
        """
        return self._fit(X, y, sample_weight, True, epochs=1, classes=classes)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each of `classes_`.

        Args:
            X: as for `fit`.

        Returns:
            The probabilities (m, k).

        Raises:
            NotFittedError: the estimator is not fitted.
            TypeError, ValueError: X does not fit the estimator, such as another number of features than that of `fit`.
        """
        A = self._outputs(X).astype(np.float64)
        return A / A.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class of each sample.

        Args:
            X: as for `fit`.

        Returns:
            The classes (m,).

        Raises:
            NotFittedError: the estimator is not fitted.
            TypeError, ValueError: X does not fit the estimator, such as another number of features than that of `fit`.
        """
        A = self._outputs(X)
        return self.classes_[A.argmax(axis=1)]


class GRURegressor(RegressorMixin, SequenceEstimator, options=[]):
    """A regressor of sequences, for one or several targets: a GRU network with squared error or another loss.

    Predictions of squared errors and of "huber" are shrunk towards the mean by a factor fitted to what was held out, in
    the folds or by `early_stopping`, as `shrink` in `cgru.Network.fit`.

    Args:
        units: as for `GRUClassifier`.
        loss: what is trained on:

            - "mean_squared_error", "mse" or None: `predict` returns the mean.
            - "huber" or "huber(delta)", with delta in deviations of the target: likewise.
            - "quantile(0.1, 0.5, 0.9)": `predict` returns the quantile nearest the median, `predict_quantiles` all.
            - "gaussian": `predict` returns the mean.
            - "poisson", for counts: `predict` returns the rate.
        layers: as for `GRUClassifier`.
        bidirectional: as for `GRUClassifier`.
        pool: as for `GRUClassifier`.
        inputs: as for `GRUClassifier`.
        budget: as for `GRUClassifier`.
        causal: as for `GRUClassifier`.
        missing: as for `GRUClassifier`.
        dropout: as for `GRUClassifier`.
        recurrent_dropout: as for `GRUClassifier`.
        learning_rate: as for `GRUClassifier`.
        weight_decay: as for `GRUClassifier`.
        epochs: as for `GRUClassifier`.
        batch_size: as for `GRUClassifier`.
        standardize: as for `GRUClassifier`.
        average: as for `GRUClassifier`.
        ensemble: as for `GRUClassifier`.
        early_stopping: as for `GRUClassifier`.
        validation_fraction: as for `GRUClassifier`.
        n_iter_no_change: as for `GRUClassifier`.
        warm_start: as for `GRUClassifier`.
        channels_first: as for `GRUClassifier`.
        random_state: as for `GRUClassifier`.
        n_jobs: as for `GRUClassifier`.
        verbose: as for `GRUClassifier`.

    Attributes:
        target_mean_: the mean of each target, by which targets are scaled; 0 for counts, which are not.
        target_scale_: the deviation of each target, likewise; 1 for counts.
        network_: the `cgru.Network`, whose outputs are in the units of y. It has all outputs: of a target its
            quantiles, its mean and log-variance, or its log rate.

    The other attributes are those of `GRUClassifier`, without `classes_`.

    Examples:
        >>> from cgru.sklearn import GRURegressor
        >>> y = np.linspace(0, 1, 40)
        >>> X = y[:, None] * np.ones((40, 5))  # one feature at five steps
        >>> model = GRURegressor(4, epochs=30, budget=0, random_state=0).fit(X, y)
        >>> model.predict(X).shape, model.score(X, y) > 0.5
        ((40,), True)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @staticmethod
    def _takes(loss: Loss | type[Loss]) -> bool:
        """Return whether the estimator supports this loss. The first supported one of `LOSSES` is the default."""
        return not loss.classifies

    def _targets(self, y: Any, loss: Loss, reset: bool, classes: Any, weights: Any) -> np.ndarray:
        """Check y, measure its scale if `reset`, and return the scaled targets (m, n)."""
        y = np.asarray(y, np.float64)
        if y.ndim > 2:
            cure = "targets for each step are for cgru.Network"
            raise ValueError(f"y: expected (m,) or (m, k), numbers for each sample, got shape {y.shape}; {cure}")
        n = 1 if y.ndim == 1 else y.shape[1]
        if not reset and n != len(self.target_mean_):
            raise ValueError(f"y: expected {len(self.target_mean_)} targets, as in the first fit, got {n}")
        Y, _ = loss.check_targets(y, len(y), n * loss.outputs)
        if reset:
            self._flat = y.ndim == 1
            self.target_mean_, self.target_scale_ = np.zeros(n), np.ones(n)
            if loss.can_standardize:
                self.target_mean_, self.target_scale_ = mean_and_deviation(Y, weights)
        return (Y - self.target_mean_) / self.target_scale_

    def _in_terms_of_y(self, net: Network, names: tuple[str, ...] | None) -> Network:
        """Return a copy of the network with outputs in the units of y, and with the targets' names."""
        found = undo_target_scaling(net, self.target_mean_, self.target_scale_)
        found.target_names = names
        return found

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> GRURegressor:
        """Train one epoch on X and y; the targets' scale is that of the first call.

        Args:
            X: as for `fit`.
            y: as for `fit`.
            sample_weight: as for `fit`.

        Returns:
            The estimator.

        Raises:
            TypeError, ValueError: an argument is invalid.

        Examples:
            >>> from cgru.sklearn import GRURegressor
            >>> model = GRURegressor(4, random_state=0).partial_fit(np.ones((8, 5)), np.arange(8.0))
            >>> model.partial_fit(np.ones((8, 5)), np.zeros(8)).target_mean_.tolist()
            [3.5]
        """
        return self._fit(X, y, sample_weight, True, epochs=1)

    def predict(self, X: Any) -> np.ndarray:
        """Predict numbers in the units of y: by the loss the mean, the quantile nearest to the median, or the rate.

        Args:
            X: as for `fit`.

        Returns:
            The predictions (m,), or (m, n) where y was (m, n).

        Raises:
            NotFittedError: the estimator is not fitted.
            TypeError, ValueError: X does not fit the estimator, such as another number of features than that of `fit`.
        """
        point = self._fitted_loss().point
        Y = self._outputs(X, lambda A: point(self._in_units(A)))
        return Y[:, 0] if self._flat else Y

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Predict quantiles in the units of y.

        Args:
            X: as for `fit`.

        Returns:
            The quantiles (m, n, q) for n targets and q levels, in the order that `loss` has.

        Raises:
            AttributeError: the loss has no quantiles.
            NotFittedError: the estimator is not fitted.
            TypeError, ValueError: X does not fit the estimator, such as another number of features than that of `fit`.

        Examples:
            >>> from cgru.sklearn import GRURegressor
            >>> y = np.linspace(0, 1, 40)
            >>> X = y[:, None] * np.ones((40, 5))
            >>> model = GRURegressor(4, loss="quantile(0.1, 0.9)", epochs=30, budget=0, random_state=0).fit(X, y)
            >>> model.predict_quantiles(X).shape
            (40, 1, 2)
        """
        loss = self._fitted_loss()
        if not loss.quantiles:
            due = 'a loss with quantiles, such as "quantile(0.1, 0.5, 0.9)"'
            raise AttributeError(f"predict_quantiles: expected {due}, got {loss.name!r}")
        Y = self._outputs(X, self._in_units)
        return Y.reshape(-1, len(self.target_mean_), loss.outputs)

    def _fitted_loss(self) -> Loss:
        """Return the loss of the fitted networks; NotFittedError before `fit`."""
        check_is_fitted(self, "networks_")
        return losses.named(self._nets[0].loss)

    def _in_units(self, A: np.ndarray) -> np.ndarray:
        """Convert the outputs A (m, k) of a network to the units of y."""
        factor, shift = self._fitted_loss().scaling(self.target_mean_, self.target_scale_)
        return A * factor + shift
