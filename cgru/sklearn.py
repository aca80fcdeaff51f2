"""Sequences by the habits of scikit-learn: `GRUClassifier`, `GRURegressor` (`pip install "cgru[sklearn]"`).

m samples, s steps, e elements per step, k outputs. X is one of

    (m, s, e)           arrays of all samples
    (m, s)              one element a step, as scikit-learn has it; DataFrames are this
    [(s_0, e), ...]     a list of arrays of unlike lengths
    (m, e, s)           with channels_first=True, a list then of (e, s_0), ...
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_array, check_consistent_length, check_random_state
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError:
    raise ImportError("cgru.sklearn: scikit-learn is missing: pip install scikit-learn") from None

from cgru import losses, recipe
from cgru.core.dataframes import check_not_nested, is_indexed, refuse_indexed
from cgru.core.lengths import padded
from cgru.core.threads import get_num_threads, set_num_threads
from cgru.files import Archive, atomic_write
from cgru.layers.dense import Dense
from cgru.network import Network, files
from cgru.network.data.mean_variance import mean_and_deviation
from cgru.network.data.split import encode_groups
from cgru.network.history import Epoch
from cgru.network.network import from_parts, to_parts, undo_target_scaling
from cgru.network.options import OPTIONS
from cgru.network.progress import epoch_text
from cgru.optimizers import Adam

__all__ = ["GRUClassifier", "GRURegressor"]

FORMAT = 1  # of an estimator's file


@contextmanager
def _advising() -> Iterator[None]:
    """Say what fills missing values of X, where scikit-learn advises other estimators."""
    try:
        yield
    except ValueError as error:
        first = str(error).splitlines()[0]
        if "contains NaN" not in first or "Input y" in first:
            raise
        cure = 'missing="forward" of cgru.datasets.read and from_frame fills what is missing, or leave such samples out'
        raise ValueError(f"{first} {cure}") from None


class _Estimator(BaseEstimator):
    """What both have: a network of bidirectional GRU layers, a pool over their states and a head."""

    _held: ClassVar[dict[str, Any]] = {}  # further options of a fit that holds samples out

    def _take(self, given: dict[str, Any]) -> None:
        """Keep the parameters as an `__init__`, from whose signature scikit-learn knows their names, was given them."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # --- what is given ---

    @_advising()
    def _sequences(self, X: Any, y: Any = None, reset: bool = False) -> tuple[np.ndarray, np.ndarray | None, Any]:
        """X (m, s, e), how many steps of each sample are real (None: all), and y as scikit-learn checks it."""
        lengths = None
        check_not_nested(X, "X")
        if is_indexed(X):  # which may be a DataFrame (m, s) for all that
            fits = np.shape(y)[:1] == (len(X),) if reset else self.network_.elements == 1
            if not fits or X.shape[1:] <= (1,) or not (reset or X.shape[1] == self.n_features_in_):
                refuse_indexed(X, "X")
        if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) == 2:
            turned = map(np.transpose, X) if self.channels_first else X
            X, lengths = padded([check_array(x, input_name=f"X[{i}]") for i, x in enumerate(turned)])
        shape = np.shape(X) if hasattr(X, "shape") else np.asarray(X).shape
        flat = len(shape) == 2
        options = {"dtype": [np.float64, np.float32], "allow_nd": True}
        y_options = {"multi_output": True, "y_numeric": not isinstance(self, ClassifierMixin)}
        if reset:
            X, y = validate_data(self, X, y, **options, **y_options)
        elif flat and shape[1] == self.n_features_in_:  # else it has no names to be compared
            X = validate_data(self, X, reset=False, **options)
        else:
            X = check_array(X, **options)
        if X.ndim == 2:
            X = X[:, :, None]
        elif X.ndim > 3:
            raise ValueError(f"X: expected (m, s, e), (m, s) or a list of (s, e), got {X.ndim} axes")
        elif self.channels_first and lengths is None:
            X = X.swapaxes(1, 2)
        if reset and not flat:
            self.n_features_in_ = X.shape[2]
        elif not flat and X.shape[2] != self.n_features_in_:
            name = type(self).__name__
            raise ValueError(f"X has {X.shape[2]} features, but {name} is expecting {self.n_features_in_} features")
        return X, lengths, y

    # --- training ---

    def _fit(self, X: Any, y: Any, sample_weight: Any, reset: bool, **given: Any) -> None:
        """Train on X and y, from the start or, without `reset`, from where the network stands; whatever is raised, the
        estimator is what it was.

        `given`: groups; or of a `partial_fit` the epochs, and the classes.
        """
        before, sample_weight = dict(vars(self)), self._weighted(y, sample_weight)
        try:
            if not reset:
                self.network_ = self._inner
            notes = self._trained(X, y, sample_weight, reset, **given)
            self._keep(self.network_, _names_of(y) if reset else before["network_"].target_names)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        for note in notes:
            warnings.warn(f"{type(self).__name__}: {note}", ConvergenceWarning, stacklevel=3)

    def _trained(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        reset: bool,
        *,
        epochs: Any = None,
        classes: Any = None,
        groups: Any = None,
    ) -> list[str]:
        """Do that; return in words where it diverged, and that nothing was learned."""
        X, lengths, y = self._sequences(X, y, reset=reset)
        if sample_weight is not None:
            sample_weight = column_or_1d(sample_weight, dtype=np.float64, warn=False)
            check_consistent_length(X, sample_weight)
        groups = encode_groups(groups, len(X))
        targets = self._targets(y, reset, classes, sample_weight)
        batch_size, chosen = recipe.budget(len(X), self.batch_size, self.epochs)
        net = self._network(targets, recipe.SCHEDULE if epochs is None else "constant") if reset else self.network_
        options = {name: value for name, value in self.get_params(deep=False).items() if name in OPTIONS}
        options.pop("class_weight", None)  # which the weights of the samples have
        options |= {"epochs": epochs or chosen, "batch_size": batch_size, "remember_samples": True}
        enough = len(X) >= recipe.HELD_FROM or isinstance(self, ClassifierMixin)
        held = self.early_stopping and epochs is None and enough
        if held:
            options |= {"validation": self.validation_fraction, "groups": groups, "patience": self.n_iter_no_change}
            options |= self._held
        with _threads(self.n_jobs):
            callback = _say if self.verbose else None
            samples = {"lengths": lengths, "sample_weight": sample_weight}
            history = net.fit(X, targets, recover=True, callback=callback, **samples, **options)
            notes = [history.problems()]
            if epochs is None:
                scale = getattr(self, "target_scale_", 1.0)
                note = recipe.nothing_learned(net, X, targets, lengths, sample_weight, scale)
                notes.append(note and f"nothing was learned: {note}")
        self.network_ = net  # not before it is trained
        self.loss_curve_ = ([] if reset else self.loss_curve_) + [epoch.loss for epoch in history]
        self.n_iter_ = len(self.loss_curve_)
        if held:
            self.validation_scores_ = [epoch.validation_loss for epoch in history]
        return list(filter(None, notes))

    def _network(self, targets: np.ndarray, schedule: Any) -> Network:
        names = ("units", "layers", "bidirectional", "pool", "dropout", "recurrent_dropout")
        options = {name: getattr(self, name) for name in (*names, "learning_rate", "weight_decay")}
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        loss = getattr(self, "loss", None)
        if loss is not None and not losses.named(loss).takes_class_numbers:
            raise ValueError(f'loss: expected a cross_entropy, such as "cross_entropy(0.1)", or None, got {loss!r}')
        head = Dense(len(self.classes_), "softmax") if targets.ndim == 1 else Dense(targets.shape[1], "identity")
        return recipe.network(head, loss=loss, seed=seed, schedule=schedule, **options)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Train on X and y, classes or numbers; `sample_weight` (m,) multiplies the loss of each sample.

        `groups` (m,), such as the subject of each sample, are held out whole by `early_stopping`, and without it no
        matter. In a search or a cross-validation `set_fit_request(groups=True)` has them passed on.
        """
        again = self.warm_start and hasattr(self, "network_")
        self._fit(X, y, sample_weight, not again, groups=groups)
        return self

    def _weighted(self, y: Any, sample_weight: Any) -> Any:
        """Return the weights of the samples, times those of their classes."""
        per_class = getattr(self, "class_weight", None)  # which a regressor has not
        if per_class is None:
            return sample_weight
        if sample_weight is None:
            return compute_sample_weight(per_class, y)
        check_consistent_length(y, sample_weight)
        return compute_sample_weight(per_class, y) * column_or_1d(sample_weight)

    def _outputs(self, X: Any) -> np.ndarray:
        """What the network makes of X, (m, k)."""
        check_is_fitted(self, "network_")
        X, lengths, _ = self._sequences(X)
        with _threads(self.n_jobs):
            return self._inner.predict(X, lengths)

    # --- what is kept ---

    def _keep(self, net: Network, names: tuple[str, ...] | None) -> None:
        """Keep the network that was trained, and as `network_` one that takes and predicts y as it was given; `names`
        are those of its targets.
        """
        self._inner, self.network_ = net, self._in_terms_of_y(net, names)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole estimator to `path`, exactly that name, for `load` of its class: it predicts bit for bit the
        same. An `.npz` without pickled objects, written beside and renamed; the optimizer's state is left out, and what
        `set_fit_request` and its like asked for.

        TypeError for a parameter that is no number, string or dict of these, and for classes that no such file can
        hold, by name; OSError where it cannot be written.
        """
        check_is_fitted(self, "network_")
        own = self.get_params(deep=False)
        params = {name: _spelled(value, name) for name, value in own.items()}
        left_out = (*own, "_inner", "network_", "_metadata_request")
        kept = {name: value for name, value in vars(self).items() if name not in left_out}
        attributes = {name: _spelled(value, name) for name, value in kept.items()}
        schedule = self._inner.optimizer.schedule
        text = {"class": type(self).__name__, "params": params, "attributes": attributes}
        text |= {"target_names": self.network_.target_names, "schedule": schedule and schedule.__name__}
        arrays = files.pack(*to_parts(self._inner))
        with atomic_write(path) as file:
            named = {f"network.{name}": array for name, array in arrays.items()}
            np.savez(file, format=np.array(FORMAT), estimator=np.array(json.dumps(text)), **named)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Any:
        """Return the estimator that `save` wrote to `path`. ValueError for a damaged, foreign or newer file, and for an
        estimator of another class; OSError where it cannot be read.
        """
        return files.read_checked(path, "estimator", FORMAT, cls._from_file)

    @classmethod
    def _from_file(cls, archive: Archive) -> Any:
        text = files.read_json("estimator", archive)
        if text["class"] != cls.__name__:
            raise ValueError(f"expected a {cls.__name__}, got a {text['class']}, which {text['class']}.load reads")
        self = cls(**{name: _read(value) for name, value in text["params"].items()})
        vars(self).update((name, _read(value)) for name, value in text["attributes"].items())
        names = [name for name in archive.headers if name.startswith("network.")]
        arrays = {name.removeprefix("network."): archive.read(name) for name in names}
        net = from_parts(*files.unpack(arrays))
        net.optimizer = Adam(
            self.learning_rate, weight_decay=self.weight_decay, clip_norm=1.0, schedule=text["schedule"]
        )
        self._keep(net, None if text["target_names"] is None else tuple(text["target_names"]))
        return self


class GRUClassifier(ClassifierMixin, _Estimator):
    """A classifier of sequences, by softmax cross-entropy.

    Args:
        units: of each direction of a layer; layers: how many; bidirectional: whether each runs in both directions.
        pool: what the head gets of the last layer's states, as of `cgru.Pool`; "last" is the last alone.
        dropout: the rate, between the layers and below the head; recurrent_dropout: of the states that go from step to
            step.
        learning_rate, weight_decay: of Adam, whose rate goes through one cycle.
        epochs, batch_size: None: batches of m / 40 samples, from 16 to 64, and as many epochs as make 1,200 updates,
            30 at the least.
        standardize: each element by its mean and deviation over the training data.
        average: keeps an exponential mean of the parameters, as of `cgru.Network.fit`; 0.999, or None: no mean.
        early_stopping: whether to keep the weights of the epoch with the lowest loss on `validation_fraction` of the
            samples, and to stop after `n_iter_no_change` epochs without a lower one.
        class_weight: None, "balanced" or a dict, as scikit-learn has it.
        loss: "cross_entropy(0.1)" smooths the labels; None: "cross_entropy".
        warm_start: whether `fit` goes on where the last one ended.
        channels_first: whether X is (m, e, s).
        n_jobs: threads; None: as `cgru.get_num_threads` says.
        verbose: whether each epoch is printed.

    Attributes:
        classes_, n_features_in_ (s of (m, s), else e), network_ (the `cgru.Network`, which knows the classes; of a
        regressor a copy that predicts in the units of y), loss_curve_, n_iter_, validation_scores_ (losses, with
        early_stopping).
    """

    def __init__(
        self,
        units: int = recipe.UNITS,
        *,
        class_weight: Any = None,
        loss: str | None = None,
        layers: int = 1,
        bidirectional: bool = True,
        pool: str = recipe.POOL,
        dropout: float = recipe.DROPOUT,
        recurrent_dropout: float = recipe.RECURRENT_DROPOUT,
        learning_rate: float = recipe.LEARNING_RATE,
        weight_decay: float = recipe.WEIGHT_DECAY,
        epochs: int | None = None,
        batch_size: int | None = None,
        standardize: bool = True,
        average: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = recipe.VALIDATION,
        n_iter_no_change: int = recipe.PATIENCE,
        warm_start: bool = False,
        channels_first: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self._take(locals())

    def _targets(self, y: Any, reset: bool, classes: Any, sample_weight: Any) -> np.ndarray:
        """The classes of y by their places in `classes_`."""
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
        found = copy.copy(net)
        found.classes = self.classes_
        return found

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> GRUClassifier:
        """One epoch on X and y; `classes`, all that there will be, in the first call."""
        self._fit(X, y, sample_weight, not hasattr(self, "network_"), epochs=1, classes=classes)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, k): the probability of each of `classes_`."""
        A = self._outputs(X).astype(np.float64)
        return A / A.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """(m,): the most probable class."""
        A = self._outputs(X)
        return self.classes_[A.argmax(axis=1)]


class GRURegressor(RegressorMixin, _Estimator):
    """A regression of sequences, one or several numbers each, by mean squared error of scaled targets.

    Arguments and attributes are those of `GRUClassifier`, but for `class_weight`, `loss` and `classes_`; `target_mean_`
    and `target_scale_` (k,) are what `predict` undoes. `early_stopping` is on unless told otherwise, and then shrinks
    what is predicted towards the mean as far as the samples held out ask for it, as `shrink` in `cgru.Network.fit`.
    """

    _held: ClassVar[dict[str, Any]] = {"standardize_targets": True, "shrink": True}  # by the mean of what trains

    def __init__(
        self,
        units: int = recipe.UNITS,
        *,
        layers: int = 1,
        bidirectional: bool = True,
        pool: str = recipe.POOL,
        dropout: float = recipe.DROPOUT,
        recurrent_dropout: float = recipe.RECURRENT_DROPOUT,
        learning_rate: float = recipe.LEARNING_RATE,
        weight_decay: float = recipe.WEIGHT_DECAY,
        epochs: int | None = None,
        batch_size: int | None = None,
        standardize: bool = True,
        average: float | None = None,
        early_stopping: bool = True,
        validation_fraction: float = recipe.VALIDATION,
        n_iter_no_change: int = recipe.PATIENCE,
        warm_start: bool = False,
        channels_first: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self._take(locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _targets(self, y: Any, reset: bool, classes: Any, sample_weight: Any) -> np.ndarray:
        """y (m, k), scaled."""
        y = np.asarray(y, np.float64)
        if y.ndim > 2:
            cure = "targets for each step are for cgru.Network"
            raise ValueError(f"y: expected (m,) or (m, k), numbers for each sample, got shape {y.shape}; {cure}")
        if reset:
            self._flat = y.ndim == 1
        y = y.reshape(len(y), -1)
        if reset:
            weights = sample_weight if sample_weight is not None and sample_weight.any() else None
            self.target_mean_, self.target_scale_ = mean_and_deviation(y, weights)
        elif y.shape[1] != len(self.target_mean_):
            raise ValueError(f"y: expected {len(self.target_mean_)} targets, as in the first fit, got {y.shape[1]}")
        return (y - self.target_mean_) / self.target_scale_

    def _in_terms_of_y(self, net: Network, names: tuple[str, ...] | None) -> Network:
        found = undo_target_scaling(net, self.target_mean_, self.target_scale_)
        found.target_names = names
        return found

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> GRURegressor:
        """One epoch on X and y; targets are scaled as in the first call."""
        self._fit(X, y, sample_weight, not hasattr(self, "network_"), epochs=1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(m,), or (m, k) where y was."""
        A = self._outputs(X) * self.target_scale_ + self.target_mean_
        return A[:, 0] if self._flat else A


def _names_of(y: Any) -> tuple[str, ...] | None:
    """The names of the targets of a DataFrame or a Series; None where there are none."""
    names = getattr(y, "columns", None)
    names = [getattr(y, "name", None)] if names is None else list(names)
    return tuple(names) if all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else None


def _spelled(value: Any, name: str) -> Any:
    """A parameter or an attribute in JSON's types; TypeError by its name for what has none."""
    value = value.item() if isinstance(value, np.generic) and value.dtype.kind in "biufU" else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {"dict": [[_spelled(each, name) for each in pair] for pair in value.items()]}
    if isinstance(value, list | tuple):
        return [_spelled(each, name) for each in value]
    if isinstance(value, np.ndarray):
        return {"array": files.array_to_json(value, name)}
    due = "a number, a string, None, or a list, dict or array of these"
    raise TypeError(f"{name}: expected {due} to save, got {type(value).__name__}")


def _read(value: Any) -> Any:
    """What `_spelled` made this of."""
    if isinstance(value, list):
        return [_read(each) for each in value]
    if isinstance(value, dict):
        return files.array_from_json(value["array"]) if "array" in value else {k: _read(v) for k, v in value["dict"]}
    return value


def _say(epoch: Epoch) -> None:
    print(f"epoch {epoch.epoch} of {epoch.epochs}: {epoch_text(epoch)}")


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """So many threads for a while; None: as many as there are."""
    before = get_num_threads()
    if n is not None:
        set_num_threads(max(1, (os.cpu_count() or 1) + 1 + n) if n < 0 else n)
    try:
        yield
    finally:
        set_num_threads(before)
