"""The base class of the estimators of `cgru.sklearn`: how they check X, choose settings, and train.

m samples, s steps, e features per step, k outputs. X has the forms that stand at the top of `cgru.sklearn`.
"""

from __future__ import annotations

import copy
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from cgru import losses
from cgru.core.checks import flag, positive
from cgru.core.lengths import padded
from cgru.core.threads import get_num_threads, set_num_threads
from cgru.estimators import input_layers, model_selection, recipe
from cgru.estimators.delegate import set_init
from cgru.estimators.model_selection import Choice
from cgru.estimators.recipe import Recipe
from cgru.layers.layer import Layer
from cgru.losses import Loss
from cgru.many import Job, fit_many
from cgru.network import Network
from cgru.network.data.dataframes import as_sequences, is_indexed
from cgru.network.data.samples import Sequences, step_arrays
from cgru.network.data.split import NO_WEIGHT, check_share, draw_held_out, encode_groups
from cgru.network.history import Epoch, History
from cgru.network.options import OPTIONS, Settings, parameters
from cgru.network.progress import epoch_text
from cgru.network.training.target_scaling import all_shrunk
from cgru.optimizers import check_number

__all__ = ["SequenceEstimator"]


@dataclass(frozen=True)
class Training:
    """The parameters of estimators that are not options of `Recipe` or `Network.fit`; see `GRUClassifier`."""

    budget: float = model_selection.BUDGET
    causal: bool = False
    ensemble: int = 1
    early_stopping: bool = False
    validation_fraction: float = recipe.VALIDATION
    n_iter_no_change: int = recipe.PATIENCE
    warm_start: bool = False
    channels_first: bool = False
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0


ARCHITECTURE = (
    "loss", "layers", "bidirectional", "pool", "inputs", "missing", "dropout", "recurrent_dropout", "learning_rate",
    "weight_decay",
)  # fmt: skip
FIT = ("epochs", "batch_size", "standardize", "average")


class SequenceEstimator(BaseEstimator):
    """The base class of the classifier and the regressor: a network of GRU layers, a pool over their states and a head.

    A subclass has the parameters, and the methods `_takes`, `_targets` and `_in_terms_of_y`.
    """

    def __init_subclass__(cls, options: Sequence[str] | None = None, **more: Any) -> None:
        """Give a subclass its constructor parameters: `options` of `Network.fit`, and those of all estimators."""
        super().__init_subclass__(**more)
        if options is None:  # a subclass of an estimator
            return
        names = (*options, *FIT)
        defaults = {name: OPTIONS[name].recipe for name in names if OPTIONS[name].recipe is not ...}
        units = parameters(Recipe, ["units"])[0].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        of_recipe, of_fit = parameters(Recipe, ARCHITECTURE, loss=None), parameters(Settings, names, **defaults)
        set_init(cls, [units, *of_recipe, *of_fit, *parameters(Training)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == recipe.DECAY
        return tags

    # --- arguments ---

    def _checked_loss(self, reset: bool) -> Loss:
        """Return the `Loss` for the parameter `loss`; ValueError if this estimator does not support it.

        reset: whether this is a first fit; otherwise it must be the loss of the present networks.
        """
        names = [name for name, kind in losses.LOSSES.items() if self._takes(kind)]
        found = losses.named(names[0] if self.loss is None else self.loss)
        if callable(self.loss) or not self._takes(found):
            raise ValueError(f"loss: expected {', '.join(names)} or None, got {self.loss!r}")
        if not reset and found.given != self._nets[0].loss:
            raise ValueError(f"loss: expected {self._nets[0].loss!r}, as in the first fit, got {self.loss!r}")
        return found

    def _check_sequences(
        self, X: Any, y: Any = None, reset: bool = False, features: int | None = None
    ) -> tuple[Sequences, Any]:
        """Check X and y as scikit-learn does; return (X as `Sequences` (m, s, e), y).

        reset: whether this is a first fit, which sets `n_features_in_`.
        features: e of the training data; None: that of the fitted networks.
        """
        given, names, lengths, is_flat, own = X, None, None, False, {}
        if isinstance(X, Sequences):
            if self.channels_first:
                raise ValueError("channels_first: expected False with Sequences, which are (m, s, e), got True")
            X, lengths, own = X.X, X.lengths, step_arrays(X)
        if self.missing not in (recipe.REFUSE, recipe.DECAY):
            raise ValueError(f"missing: expected {recipe.REFUSE!r} or {recipe.DECAY!r}, got {self.missing!r}")
        unchecked: Any = {"ensure_all_finite": False}  # it is checked at the end, with advice
        if is_indexed(X) and X.shape[1:] > (1,):  # a DataFrame (m, s) has an index, too
            fits = np.shape(y)[:1] == (len(X),) if reset else (features or self.networks_[0].features) == 1
            is_flat = fits and (reset or X.shape[1] == self.n_features_in_)
        read = None if is_flat else as_sequences(X, "X", self.channels_first, y)
        if read is not None:
            X, names = read
        elif isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
            X = list(X)
        if read is None and self.channels_first and isinstance(X, list | tuple):
            X = [np.transpose(x) if np.ndim(x) == 2 else x for x in X]
        if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) == 2:
            X, lengths = padded([check_array(x, input_name=f"X[{i}]", **unchecked) for i, x in enumerate(X)])
        shape = np.shape(X) if hasattr(X, "shape") else np.asarray(X).shape
        flat = len(shape) == 2
        options = {"dtype": [np.float64, np.float32], "allow_nd": True, **unchecked}
        y_options = {"multi_output": True, "y_numeric": not isinstance(self, ClassifierMixin)}
        if reset:
            X, y = validate_data(self, X, y, **options, **y_options)
        elif flat and shape[1] == self.n_features_in_:  # otherwise there are no names to compare
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
        if names is not None:
            named = given[0] if isinstance(given, list | tuple) else given
            validate_data(self, named, reset=reset, skip_check_array=True)  # keeps or compares the names
        if isinstance(given, Sequences):
            self._check_names(given.feature_names, reset)
        wrong = np.isinf(X) if self.missing == recipe.DECAY else ~np.isfinite(X)
        for i, s, e in np.argwhere(wrong)[:1]:
            cure = '; missing="decay" learns from NaN, missing="forward" of cgru.datasets.read and from_frame fills it'
            got = f"NaN{cure}, or leave such samples out" if np.isnan(X[i, s, e]) else "infinity"
            raise ValueError(f"X: expected finite numbers, in sample {i}, step {s} got {got}")
        return Sequences(X, lengths, **own), y

    def _check_names(self, names: tuple[str, ...] | None, reset: bool) -> None:
        """Store the feature names of `Sequences` if `reset`, else raise ValueError if they differ from the stored."""
        due = getattr(self, "feature_names_in_", None)
        if names is not None and reset:
            self.feature_names_in_ = np.array(names, object)
        elif names is not None and due is not None and names != tuple(due):
            raise ValueError(f"X: expected the columns {', '.join(due)}, as in `fit`, got {', '.join(names)}")

    # --- training ---

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        validation: Any = None,
    ) -> Any:
        """Train on sequences X and their classes or numbers y.

        In a search or a cross-validation, `set_fit_request(groups=True)` passes the groups on.

        Args:
            X: the sequences: (m, s, e), (m, s) of one feature a step, a list of arrays (s_i, e), `cgru.Sequences`, or a
                DataFrame, in the forms that stand at the top of `cgru.sklearn`. Where `Sequences` have `resets`,
                `decay` or `times`, no input layers are chosen that change the steps, or need the whole series.
            y: the classes (m,); for a regressor numbers (m,), or (m, n) for n targets.
            sample_weight: (m,) factors of the loss of each sample.
            groups: (m,) the group of each sample, such as its subject: the folds and `early_stopping` hold out whole
                groups.
            validation: (X, y) or (X, y, sample_weight), samples to validate with, instead of the share that
                `early_stopping` holds out. The weights of the epoch with the lowest loss on them are kept, and training
                stops after `n_iter_no_change` epochs without a lower one.

        Returns:
            The estimator.

        Raises:
            TypeError, ValueError: an argument or a parameter of the estimator is invalid, such as `validation` together
                with `early_stopping=True`. The estimator stays as it was.

        Examples:
            >>> from cgru.sklearn import GRUClassifier
            >>> X, y = np.arange(40) % 2 * np.ones((5, 1)), np.arange(40) % 2  # a column a sample
            >>> model = GRUClassifier(4, epochs=20, budget=0, random_state=0).fit(X.T, y)
            >>> model.n_iter_, model.score(X.T, y)
            (20, 1.0)
        """
        return self._fit(X, y, sample_weight, self.warm_start, groups=groups, validation=validation)

    def _fit(self, X: Any, y: Any, sample_weight: Any, goes_on: bool, **given: Any) -> Any:
        """Train on X and y and return the estimator; after an exception restore its former attributes.

        goes_on: whether to train the present networks further, if there are some; otherwise build new ones.
        given: `groups` and `validation`; for `partial_fit` `epochs` and `classes`.
        """
        reset = not (goes_on and hasattr(self, "networks_"))
        before, sample_weight = dict(vars(self)), self._sample_weights(y, sample_weight)
        try:
            notes = self._train(X, y, sample_weight, reset, **given)
            self._set_networks(self._nets, _target_names_of(y) if reset else before["networks_"][0].target_names)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        for note in notes:
            warnings.warn(f"{type(self).__name__}: {note}", ConvergenceWarning, stacklevel=3)
        return self

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        reset: bool,
        *,
        epochs: Any = None,
        classes: Any = None,
        groups: Any = None,
        validation: Any = None,
    ) -> list[str]:
        """Train on checked data and set attributes; return texts for warnings, such as that training diverged."""
        loss = self._checked_loss(reset)
        X, y = self._check_sequences(X, y, reset=reset)
        if sample_weight is not None:
            sample_weight = column_or_1d(sample_weight, dtype=np.float64, warn=False)
            check_consistent_length(X, sample_weight)
        weights = sample_weight if sample_weight is not None and sample_weight.any() else None  # for means
        groups = encode_groups(groups, len(X))
        targets = self._targets(y, loss, reset, classes, weights)
        held_out = None if validation is None else self._check_validation(validation, X.shape[2], y, loss)
        batch_size, all_epochs = recipe.budget(len(X), self.batch_size, self.epochs)
        options = {name: value for name, value in self.get_params(deep=False).items() if name in OPTIONS}
        options.pop("class_weight", None)  # part of the sample weights
        options |= {"epochs": epochs or all_epochs, "batch_size": batch_size, "recover": True}
        Settings(**options)  # what is invalid is refused before any fit
        ensemble = positive(self.ensemble, "ensemble")
        positive(self.n_iter_no_change, "n_iter_no_change")
        samples = {"X": X, "y": targets, "sample_weight": sample_weight}
        enough = len(X) >= recipe.HELD_FROM or isinstance(self, ClassifierMixin)
        if not reset and len(self._nets) > 1:
            raise ValueError(f"ensemble: expected 1 to continue training, got {len(self._nets)} networks")
        most = np.iinfo(np.int32).max
        seed = check_random_state(self.random_state).randint(most) if reset else self._nets[0].seed
        if self.early_stopping and epochs is None and enough:  # drawn before the choice, in which they have no part
            share = check_share(self.validation_fraction, "validation_fraction")
            classes = targets if isinstance(self, ClassifierMixin) else None
            rows = draw_held_out(len(X), share, [seed], classes, groups)
            if weights is not None and not (weights[rows].any() and weights[~rows].any()):
                raise ValueError(NO_WEIGHT)
            out, kept = np.flatnonzero(rows), np.flatnonzero(~rows)
            held_out = X[out], targets[out], None, None if sample_weight is None else sample_weight[out]
            samples = {name: None if each is None else each[kept] for name, each in samples.items()}
            groups = None if groups is None else groups[kept]
        if not reset:
            nets, choice = self._nets, None
        else:
            outputs = targets.shape[1] if targets.ndim == 2 else len(self.classes_)
            own_weights = None if weights is None else samples["sample_weight"]
            start = recipe.constant_start(loss, samples["X"], samples["y"], own_weights)

            def make(found: Recipe, inputs: Sequence[Layer], more: int = 0) -> Network:
                return found.network(outputs, inputs, seed=seed + more, start=start)

            with _threads(self.n_jobs):
                choice = self._choose(loss, make, epochs is None, **samples, groups=groups, **options)
            if self.verbose and self.inputs == input_layers.AUTO:
                print(f"chosen: {choice}")
            found = choice.recipe
            self.inputs_, self.layers_, self.pool_ = found.inputs, found.layers, found.pool
            self.candidate_scores_ = choice.scores
            layers = input_layers.build(found.inputs, samples["X"], found.dtype)
            nets = [make(found, copy.deepcopy(layers), more) for more in range(ensemble)]
        held = held_out is not None
        if held:
            options |= {"validation": held_out, "patience": self.n_iter_no_change}
            # The scaling is that of the samples that are trained on.
            options |= {"standardize_targets": loss.can_standardize, "shrink": loss.can_shrink}
        with _threads(self.n_jobs):
            callback = _print_epoch if self.verbose else None
            history = _fit_all(nets, callback=callback, **samples, **options)
            if choice is not None and choice.shrinkage is not None and not held:
                history.nothing_learned = history.nothing_learned or all_shrunk(choice.shrinkage)
                for array in (array for net in nets for array in net.head.p.values()):
                    array *= choice.shrinkage
            if epochs is not None:  # the first epochs of a `partial_fit` need not be better than a constant
                history.nothing_learned = ""
            notes = [choice.failures if choice else "", history.problems()]
            # Otherwise their number is the user's, or early.
            if epochs is self.epochs is None and not history.nothing_learned and not held:
                falls = recipe.still_falls([epoch.loss for epoch in history])
                notes.append(falls and f"{falls}; more epochs may help")
        self._nets = nets  # only once they are trained
        self.loss_curve_ = ([] if reset else self.loss_curve_) + [epoch.loss for epoch in history]
        self.n_iter_ = len(self.loss_curve_)
        if held:
            self.validation_scores_ = [epoch.validation_loss for epoch in history]
        return list(filter(None, notes))

    def _check_validation(self, validation: Any, features: int, y: Any, loss: Loss) -> tuple[Any, ...]:
        """Check `fit`'s argument `validation`; return (X, targets, None, sample_weight) for `Network.fit`.

        features, y: those of the training data.
        """
        if self.early_stopping:
            raise ValueError("validation: expected None with early_stopping=True, which holds samples out, got some")
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            due = "(X, y) or (X, y, sample_weight)"
            got = f"{len(validation)} parts" if isinstance(validation, tuple | list) else type(validation).__name__
            raise ValueError(f"validation: expected {due}, got {got}")
        X, own_y, weights = (*validation, None)[:3]
        try:
            X, _ = self._check_sequences(X, own_y, features=features)
            check_consistent_length(X, own_y, weights)
            weights = self._sample_weights(own_y, weights, y)
            weights = None if weights is None else column_or_1d(weights, dtype=np.float64, warn=False)
            return X, self._targets(own_y, loss, False, None, None), None, weights
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"validation: {error}") from None

    def _choose(self, loss: Loss, make: Any, whole: bool, **options: Any) -> Choice:
        """Choose the open settings by cross-validation within `budget`, or without folds if not `whole`."""
        check_number(self.budget, "budget")
        given = {each.name: getattr(self, each.name) for each in fields(Recipe) if hasattr(self, each.name)}
        given |= {"loss": loss.given, "bidirectional": self.bidirectional and not flag(self.causal, "causal")}
        given["schedule"] = recipe.SCHEDULE if whole else "constant"
        if self.inputs != input_layers.AUTO:
            input_layers.parse(self.inputs, causal=self.causal)
            if self.missing == recipe.DECAY and self.inputs.strip() != input_layers.RAW:
                raise ValueError(f'inputs: expected "raw" with missing="decay", got {self.inputs!r}')
        budget = self.budget if whole else 0
        return model_selection.choose(make, Recipe(**given), budget=budget, **options)

    def _sample_weights(self, y: Any, sample_weight: Any, training_y: Any = None) -> Any:
        """Return the sample weights, multiplied by the class weights of `class_weight`.

        training_y: the classes by whose counts "balanced" weighs; None: y.
        """
        per_class = getattr(self, "class_weight", None)  # a regressor has none
        if per_class is None:
            return sample_weight
        if isinstance(per_class, str) and training_y is not None:
            classes = np.unique(training_y)
            per_class = dict(zip(classes, compute_class_weight(per_class, classes=classes, y=training_y), strict=True))
        if sample_weight is None:
            return compute_sample_weight(per_class, y)
        check_consistent_length(y, sample_weight)
        return compute_sample_weight(per_class, y) * column_or_1d(sample_weight)

    def _outputs(self, X: Any, convert: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
        """Return the converted outputs (m, k) of the network for X; for an ensemble the mean over its networks."""
        check_is_fitted(self, "networks_")
        X, _ = self._check_sequences(X)
        with _threads(self.n_jobs):
            return sum(convert(net.predict(X)) for net in self._nets) / len(self._nets)

    # --- the fitted network ---

    @property
    def network_(self) -> Network:
        """Return the fitted network; AttributeError before the first fit, and for an ensemble."""
        found = vars(self).get("networks_", [])
        if len(found) != 1:
            got = f"an ensemble of {len(found)}; networks_ has them" if found else "an estimator that is not fitted"
            raise AttributeError(f"network_: expected one network, got {got}")
        return found[0]

    def sole_network(self) -> Network:
        """Return `network_`, for functions that accept an estimator in place of a network.

        Returns:
            The fitted network.

        Raises:
            NotFittedError: the estimator is not fitted.
            ValueError: it is an ensemble.

        Examples:
            >>> from cgru.sklearn import GRURegressor
            >>> X, y = np.arange(40) % 2 * np.ones((5, 1)), np.arange(40) % 2
            >>> model = GRURegressor(4, epochs=20, budget=0, random_state=0).fit(X.T, y)
            >>> model.sole_network() is model.network_
            True
        """
        check_is_fitted(self, "networks_")
        try:
            return self.network_
        except AttributeError as error:
            raise ValueError(str(error)) from None

    def network_inputs(self, X: Any) -> Sequences:
        """Convert X to the inputs of the network.

        Args:
            X: the sequences, as for `fit`.

        Returns:
            The `Sequences`, X (m, s, e).

        Raises:
            NotFittedError: the estimator is not fitted.
            TypeError, ValueError: X does not fit the estimator, such as another number of features than that of `fit`.

        Examples:
            >>> from cgru.sklearn import GRURegressor
            >>> X, y = np.arange(40) % 2 * np.ones((5, 1)), np.arange(40) % 2
            >>> model = GRURegressor(4, epochs=20, budget=0, random_state=0).fit(X.T, y)
            >>> model.network_inputs(X.T).shape
            (40, 5, 1)
        """
        check_is_fitted(self, "networks_")
        return self._check_sequences(X)[0]

    def _set_networks(self, nets: list[Network], names: tuple[str, ...] | None) -> None:
        """Store the trained networks, and copies in `networks_` whose predictions are in the user's classes or units.

        names: those of the targets.
        """
        self._nets, self.networks_ = nets, [self._in_terms_of_y(net, names) for net in nets]
        features = getattr(self, "feature_names_in_", ())
        for net in self.networks_ if len(features) == nets[0].features else ():
            net.feature_names = tuple(map(str, features))


def _target_names_of(y: Any) -> tuple[str, ...] | None:
    """Return the target names of a DataFrame or a Series; None if y has no names."""
    names = getattr(y, "columns", None)
    names = [getattr(y, "name", None)] if names is None else list(names)
    return tuple(names) if all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else None


def _print_epoch(epoch: Epoch) -> None:
    """Print an epoch's losses; the callback of a fit with `verbose`."""
    print(f"epoch {epoch.epoch} of {epoch.epochs}: {epoch_text(epoch)}")


def _fit_all(nets: list[Network], X: Sequences, y: np.ndarray, **options: Any) -> History:
    """Fit one network, or several on all threads; return the first one's history, or raise the first error."""
    if len(nets) == 1:
        return nets[0].fit(X, y, **options)
    shared = options.pop("sample_weight", None)
    results = fit_many([Job(net, **options) for net in nets], X, y, sample_weight=shared)
    for result in results:
        if result.error is not None:
            raise result.error
    return results[0].history


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Set the number of threads within a `with` block, -1 for all cores as in scikit-learn; None changes nothing."""
    before = get_num_threads()
    if n is not None:
        set_num_threads(max(1, (os.cpu_count() or 1) + 1 + n) if n < 0 else n)
    try:
        yield
    finally:
        set_num_threads(before)
