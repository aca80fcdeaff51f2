"""What a data set asks the `cgru` command to learn or to score, and the targets as a network takes them.

m sequences of s steps of e elements, k outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import cgru
from cgru import losses, recipe
from cgru.cli.arguments import RequestError, with_missing_advice
from cgru.core.lengths import mask
from cgru.core.row_blocks import slices
from cgru.datasets import Dataset, Split

__all__ = ["Task", "at_steps", "build", "loss_of", "real_steps", "targets", "task_of"]

CURE = "of a table --label names the column, in a folder it is y.npy"


class Task(NamedTuple):
    """What is to be learned: classes, by their `names`, or where those are None real numbers.

    `train` and `test` are the targets of the two splits, classes as indices into `names`, (m,), or (m, s) where there
    is one for each step; `test` is None where there is nothing to test on. `note` is what the user may want to know
    about them, or "".
    """

    names: tuple[str, ...] | None
    train: np.ndarray
    test: np.ndarray | None
    note: str = ""

    @property
    def numbers(self) -> int:
        """How many are to be predicted of each sample, in a regression."""
        return 1 if self.train.ndim == 1 else self.train.shape[1]


def task_of(data: Dataset, source: str, tested: str | None = None) -> Task:
    """What `data` asks to learn; refuses a test split, which the file `tested` may hold, that could not be scored."""
    if data.train is None:
        raise RequestError(f"{source}: train_x is missing: there is nothing to train on")
    prefix = "" if data.test is None or tested else "train_"
    of_test = f"{source}: test_" if tested is None else f"{tested}: "
    y, test = data.train.y, None if data.test is None else data.test.y
    if y is None:
        raise RequestError(f"{source}: {prefix}y is missing: there is nothing to learn; {CURE}")
    if data.test is not None and not _finite(data.test):
        raise RequestError(with_missing_advice(f"{of_test}x: expected finite numbers, got NaN or infinity"))
    reals = y.dtype.kind == "f"
    if test is not None and (
        (test.dtype.kind == "f") != reals or test.ndim != y.ndim or (reals and test.shape[1:] != y.shape[1:])
    ):
        learned = "train_y" if tested is None else f"y in {source}"
        due = f"{y.dtype} {('m', *y.shape[1:])}".replace("'", "")
        cure = "; --task regression takes integers for numbers" if "f" in test.dtype.kind + y.dtype.kind else ""
        raise RequestError(f"{of_test}y: expected the kind of {learned}, {due}, got {test.dtype} {test.shape}{cure}")

    if reals:
        if not np.isfinite(y).all():
            raise RequestError(f"{source}: {prefix}y: expected finite numbers, got NaN or infinity")
        wide = y.astype(np.float64)
        if np.abs(wide).max() > 1e30:  # their squares overflow, or they do themselves in float32
            raise RequestError(f"{source}: {prefix}y: expected numbers up to 1e30, got {np.abs(wide).max():.3g}")
        return Task(None, wide, test, _note(y, f"{prefix}y"))

    values = _values(data.train)
    names = data.class_names or tuple(map(str, values.tolist()))
    seen = set(_labels(values, data.class_names))
    if len(seen) < 2:
        raise RequestError(f"{source}: {prefix}y: expected at least two classes, got {seen.pop()} alone")
    train = _indices(data.train, data.class_names, names, f"{source}: {prefix}y")
    if test is not None:
        # Only what training saw: a class that merely has a name would be scored as if it could have been learned.
        learned = [name for name in names if name in seen]
        _known(_labels(_values(data.test), data.class_names), learned, f"{of_test}y")
        test = _indices(data.test, data.class_names, names, f"{of_test}y")
    return Task(names, train, test)


def build(
    names: tuple[str, ...] | None, numbers: int, steps: bool, *, seed: int, loss: str, **given: Any
) -> cgru.Network:
    """Build a network as `recipe.network` does, for classes by their `names` or so many `numbers`, at all `steps`."""
    k, activate = (numbers * losses.named(loss).outputs, "identity") if names is None else (len(names), "softmax")
    return recipe.network(cgru.Dense(k, activate), names=names, steps=steps, seed=seed, loss=loss, **given)


def loss_of(names: Sequence[str] | None, asked: str | None, where: str, cure: str = "leave it out") -> str:
    """Return the loss to train with, the one `asked` for: of classes, which have `names`, a cross-entropy.

    RequestError, with `where` before it and the `cure` behind, where a loss of numbers was asked for beside classes, or
    one of classes beside numbers.
    """
    if asked is not None and losses.classifies(asked) != (names is not None):
        has = (
            "numbers, which no cross-entropy learns" if names is None else "classes, which are learned by cross-entropy"
        )
        raise RequestError(f"{where} has {has}, got {asked}; {cure}")
    return asked or recipe.LOSS if names is None else str(losses.chosen(asked, cgru.softmax, 2))


def at_steps(y: np.ndarray) -> bool:
    """Whether `y` has a class for each step (m, s)."""
    return y.ndim == 2 and y.dtype.kind != "f"


def real_steps(X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """(m, s) booleans: which steps of X (m, s, e) are no padding."""
    m, s, _ = X.shape
    return np.ones((m, s), bool) if lengths is None else mask(lengths, s)[:, :, 0]


def _blocks(split: Split) -> Iterator[tuple[slice, Any]]:
    """The samples of a split, some at a time, and where their classes are no padding."""
    for rows in slices(split.X.shape[:2]):
        lengths = None if split.lengths is None else split.lengths[rows]
        yield rows, real_steps(split.X[rows], lengths) if at_steps(split.y) else slice(None)


def _values(split: Split) -> np.ndarray:
    """The different classes in a split, in sorted order."""
    return np.unique(np.concatenate([np.unique(split.y[rows][real]) for rows, real in _blocks(split)]))


def _finite(split: Split) -> bool:
    """Whether the steps that are no padding are finite, looked at block by block."""
    X, lengths = split.X, split.lengths
    blocks = ((X[rows], None if lengths is None else lengths[rows]) for rows in slices(X.shape))
    return all(np.isfinite(block[real_steps(block, steps)]).all() for block, steps in blocks)


def _note(y: np.ndarray, name: str) -> str:
    values = np.unique(y)
    if len(values) > 20 or (values % 1).any():
        return ""
    return f"note: {name} is {y.dtype}, so this is a regression; if its {len(values)} values are classes, use integers"


# --- the targets of a model ---


def targets(net: cgru.Network, split: Split, data: Dataset, source: str) -> np.ndarray:
    """Return `split.y`, of `data`, as `net` is scored on it: values of its `classes`, else their indices, or numbers.

    Classes meet by name. Integers stand for the names that are given beside them and without these for themselves: by
    mere position they could mean other classes than the model's.
    """
    y, given = split.y, data.class_names
    if net.loss is None:
        raise RequestError("the model has no Dense at the end and so no loss: there is nothing to score")
    if y is None:
        raise RequestError(f"{source}: y is missing: there is nothing to compare with; {CURE}")
    if not losses.classifies(net.loss):
        if y.dtype.kind != "f":
            cure = "" if y.dtype.kind == "U" else "; --task regression takes them for numbers"
            raise RequestError(f"{source}: y: expected real numbers, as the model predicts, got dtype {y.dtype}{cure}")
        return y
    if at_steps(y) != net.per_step:
        due = "step, (m, s)" if net.per_step else "sequence, (m,)"
        raise RequestError(f"{source}: y: expected a class for each {due}, as the model predicts, got shape {y.shape}")
    names = net.data_spec.labels
    if y.dtype.kind in "iu" and not given and not any(name.lstrip("-").isdecimal() for name in names):
        cure = "an array class_names in the file would say what 0, 1, ... mean"
        raise RequestError(f"{source}: y: expected the model's classes by name ({_few(names)}), got integers; {cure}")
    found = _indices(split, given, names, f"{source}: y")
    return found if net.classes is None else net.classes[found]


def _labels(y: np.ndarray, given: Sequence[str] | None) -> list[str]:
    """`y` spelled out; integers are indices into the class names `given` beside them, if any are."""
    if y.dtype.kind in "iu" and given:
        return [given[i] if 0 <= i < len(given) else str(i) for i in y.tolist()]
    return list(map(str, y.tolist()))


def _known(labels: Sequence[str], names: Sequence[str], where: str) -> None:
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise RequestError(f"{where}: expected the classes {_few(names)}, got {_few(unknown)}")


def _indices(split: Split, given: Sequence[str] | None, names: Sequence[str], where: str) -> np.ndarray:
    """The places in `names` of the classes in a split, 0 where there is padding."""
    values, places = _values(split), {name: i for i, name in enumerate(names)}
    labels = _labels(values, given)
    _known(labels, names, where)
    # There may be as many classes of steps as numbers in X.
    found = np.zeros(split.y.shape, np.min_scalar_type(len(names)) if at_steps(split.y) else np.intp)
    index = np.array([places[label] for label in labels], found.dtype)
    for rows, real in _blocks(split):
        found[rows][real] = index[np.searchsorted(values, split.y[rows][real])]
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:9]) + (", ..." if len(names) > 9 else "")
