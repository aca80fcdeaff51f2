"""The learning task of a data set, classification or regression, and its targets as a network takes them.

m sequences of s steps of e features, k outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import cgru
from cgru import losses
from cgru.cli.arguments import RequestError
from cgru.core.lengths import mask
from cgru.datasets import Dataset, Split
from cgru.datasets.column_roles import listed
from cgru.datasets.dataset import real_steps
from cgru.estimators.input_layers import AUTO, RAW, build
from cgru.estimators.model_selection import Choice, choose
from cgru.estimators.recipe import LOSS, Recipe, constant_start
from cgru.layers import Layer
from cgru.network.data.mean_variance import mean_and_deviation
from cgru.network.data.training_data import check_data, class_weights
from cgru.network.options import OPTIONS, Trait

__all__ = ["Task", "at_steps", "choose_network", "loss_of", "targets", "task_of"]

CURE = "of a table --label names the column, in a folder it is y.npy"


class Task(NamedTuple):
    """A learning task: classification, or regression where `names` is None.

    Attributes:
        names: those of the classes.
        train, test: the targets of the two splits. Classes are indices into `names`, (m,), or (m, s) for classes at
            steps; numbers are (m,), (m, k), or (m, s, k) at steps. `test` is None where there is no test split.
    """

    names: tuple[str, ...] | None
    train: np.ndarray
    test: np.ndarray | None

    @property
    def numbers(self) -> int:
        """Return the number of targets of a regression."""
        return 1 if self.train.ndim == 1 else self.train.shape[-1]

    def network(self, recipe: Recipe, inputs: Sequence[Layer] = (), *, seed: int, start: Any = None) -> cgru.Network:
        """Build the network of a recipe for this task, with outputs at each step where the targets are."""
        outputs = self.numbers if self.names is None else len(self.names)
        options = {"names": self.names, "steps": at_steps(self.train), "start": start}
        return recipe.network(outputs, inputs, seed=seed, **options)


def task_of(data: Dataset, source: str, tested: str | None = None) -> Task:
    """Return the task of a data set; RequestError without targets, or for a test split that does not match.

    source: the name of the data set for errors.
    tested: the file of the test split, where it has its own.
    """
    if data.train is None:
        raise RequestError(f"{source}: train_x is missing: there is nothing to train on")
    prefix = "" if data.test is None or tested else "train_"
    of_test = f"{source}: test_" if tested is None else f"{tested}: "
    y, test = data.train.y, None if data.test is None else data.test.y
    if y is None:
        raise RequestError(f"{source}: {prefix}y is missing: there is nothing to learn; {CURE}")
    reals = y.dtype.kind == "f"
    if test is not None and (
        (test.dtype.kind == "f") != reals or test.ndim != y.ndim or (reals and test.shape[1:][-1:] != y.shape[1:][-1:])
    ):
        learned = "train_y" if tested is None else f"y in {source}"
        due = f"{y.dtype} {('m', *y.shape[1:])}".replace("'", "")
        cure = "; --task regression takes integers for numbers" if "f" in test.dtype.kind + y.dtype.kind else ""
        raise RequestError(f"{of_test}y: expected the kind of {learned}, {due}, got {test.dtype} {test.shape}{cure}")

    if reals:
        wide = y.astype(np.float64)
        for rows, real in real_steps(data.train) if at_steps(y) else ():
            wide[rows][~real] = 0  # what lies past the lengths is ignored
        for wrong in wide[~(np.abs(wide) <= 1e30)]:  # larger ones, or their squares, overflow in float32
            raise RequestError(f"{source}: {prefix}y: expected finite numbers up to 1e30, got {wrong:.3g}")
        return Task(None, wide, test)

    values = _distinct_classes(data.train)
    names = data.class_names or tuple(map(str, values.tolist()))
    seen = set(_as_names(values, data.class_names))
    if len(seen) < 2:
        raise RequestError(f"{source}: {prefix}y: expected at least two classes, got {seen.pop()} alone")
    train = _class_indices(data.train, data.class_names, names, f"{source}: {prefix}y")
    if test is not None:
        # Only classes in the training data: no other can have been learned, even where class_names has it.
        learned = [name for name in names if name in seen]
        _check_known(_as_names(_distinct_classes(data.test), data.class_names), learned, f"{of_test}y")
        test = _class_indices(data.test, data.class_names, names, f"{of_test}y")
    return Task(names, train, test)


def choose_network(
    task: Task, recipe: Recipe, train: Split, groups: np.ndarray | None, options: Mapping[str, Any], *, seed: int,
    budget: float, progress: Any = None,
) -> tuple[cgru.Network, Choice]:  # fmt: skip
    """Choose the settings that `recipe` leaves open, and build the network for the samples `train`; return both.

    groups: the group of each sample, or None.
    options: those of `Network.fit`. Folds train as the fit does, but without validation, on scaled targets. A
        `class_weight` weighs what they hold out, too.
    progress: as in `cgru.estimators.model_selection.choose`.
    """
    kept = [name for name in options if Trait.IN_FOLDS in OPTIONS[name].traits]
    options = {name: options[name] for name in kept} | {"recover": True}
    loss, y = losses.named(recipe.loss), train.y
    rows: Any = slice(None)
    if y.ndim == 3:  # numbers at steps, which padding has none of
        lengths = np.full(len(y), y.shape[1]) if train.X.lengths is None else train.X.lengths
        rows = np.nonzero(mask(lengths, y.shape[1])[:, :, 0])
    start, weights = constant_start(loss, train.X, y[rows]), None

    def make(found: Recipe, inputs: Sequence[Layer], more: int = 0) -> cgru.Network:
        return task.network(found, inputs, seed=seed + more, start=start)

    if at_steps(y):
        choice = Choice(replace(recipe, inputs=RAW) if recipe.inputs == AUTO else recipe)
    else:
        if task.names is None:
            y = y.reshape(len(y), -1)
            if loss.can_standardize:
                mean, deviation = mean_and_deviation(y)
                y = (y - mean) / deviation
        if (per_class := options.pop("class_weight", None)) is not None:  # which judge, too, as in an estimator
            spec = make(replace(recipe, inputs=RAW), []).data_spec
            weights = class_weights(spec, check_data(spec, train.X, y, None), per_class)[y]
        data = {"groups": groups, "sample_weight": weights}
        choice = choose(make, recipe, train.X, y, budget=budget, progress=progress, **data, **options)
    found = choice.recipe
    return make(found, build(found.inputs, train.X, found.dtype)), choice


def loss_of(names: Sequence[str] | None, asked: str | None, where: str, cure: str = "leave it out") -> str:
    """Return the loss to train with, checked: the one `asked` for, or the default for classes (`names`) or numbers.

    names: those of the classes; None: a regression.
    where, cure: begin and end the RequestError for a loss that is not of the task.
    """
    if asked is not None and losses.classifies(asked) != (names is not None):
        has = "numbers, which no cross-entropy learns" if names is None else "classes, which cross-entropy learns"
        raise RequestError(f"{where} has {has}, got {asked}; {cure}")
    return asked or LOSS if names is None else str(losses.chosen(asked, cgru.softmax, 2))


def at_steps(y: np.ndarray) -> bool:
    """Return whether `y` has a target for each step, a class (m, s) or numbers (m, s, k)."""
    return y.ndim == 3 or (y.ndim == 2 and y.dtype.kind != "f")


def _distinct_classes(split: Split) -> np.ndarray:
    """Return the distinct classes in a split, sorted."""
    y, blocks = split.y, real_steps(split, at_steps(split.y))
    return np.unique(np.concatenate([np.unique(y[rows][real]) for rows, real in blocks]))


# --- the targets of a model ---


def targets(net: cgru.Network, split: Split, data: Dataset, source: str) -> np.ndarray:
    """Return the targets of a split as `net` takes them: values of `net.classes`, else class indices, or numbers.

    Classes are matched by name. Integers in y are indices into the class names of the file (`data`), or without these
    the names themselves. They are never indices into the model's classes, which may have another order.
    """
    y, class_names = split.y, data.class_names
    if net.loss is None:
        raise RequestError("the model has no Dense at the end and so no loss: there is nothing to score")
    if y is None:
        raise RequestError(f"{source}: y is missing: there is nothing to compare with; {CURE}")
    classifies = losses.classifies(net.loss)
    if not classifies and y.dtype.kind != "f":
        cure = "" if y.dtype.kind == "U" else "; --task regression takes them for numbers"
        raise RequestError(f"{source}: y: expected real numbers, as the model predicts, got dtype {y.dtype}{cure}")
    if (classifies or y.ndim != 2) and at_steps(y) != net.per_step:
        what, of_steps = ("a class", "(m, s)") if classifies else ("numbers", "(m, s, k)")
        due = f"step, {of_steps}" if net.per_step else "sequence, (m,)"
        raise RequestError(f"{source}: y: expected {what} for each {due}, as the model predicts, got shape {y.shape}")
    if not classifies:
        return y
    names = net.data_spec.labels
    if y.dtype.kind in "iu" and not class_names and not any(name.lstrip("-").isdecimal() for name in names):
        cure = "an array class_names in the file would say what 0, 1, ... mean"
        raise RequestError(f"{source}: y: expected the model's classes by name ({listed(names)}), got integers; {cure}")
    found = _class_indices(split, class_names, names, f"{source}: y")
    return found if net.classes is None else net.classes[found]


def _as_names(y: np.ndarray, class_names: Sequence[str] | None) -> list[str]:
    """Return classes as names; integers are indices into the `class_names` of the file, if there are any."""
    if y.dtype.kind in "iu" and class_names:
        return [class_names[i] if 0 <= i < len(class_names) else str(i) for i in y.tolist()]
    return list(map(str, y.tolist()))


def _check_known(labels: Sequence[str], names: Sequence[str], where: str) -> None:
    """Check that all labels are among the names of classes; RequestError, which begins with `where`, otherwise."""
    if unknown := sorted(set(labels) - set(names)):
        raise RequestError(f"{where}: expected the classes {listed(names)}, got {listed(unknown)}")


def _class_indices(split: Split, class_names: Sequence[str] | None, names: Sequence[str], where: str) -> np.ndarray:
    """Return the classes in a split as indices into `names`, 0 at padding; RequestError (`where`) for others."""
    values, places = _distinct_classes(split), {name: i for i, name in enumerate(names)}
    labels = _as_names(values, class_names)
    _check_known(labels, names, where)
    # A small dtype: classes of steps may take as much memory as X.
    found = np.zeros(split.y.shape, np.min_scalar_type(len(names)) if at_steps(split.y) else np.intp)
    index = np.array([places[label] for label in labels], found.dtype)
    for rows, real in real_steps(split, at_steps(split.y)):
        found[rows][real] = index[np.searchsorted(values, split.y[rows][real])]
    return found
