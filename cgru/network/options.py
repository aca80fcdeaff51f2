"""The options of a fit: one entry for each, with its default, check, help text and traits.

All others read them here: `Network.fit`, whose signature and docstring a test compares with this list, fits on batches,
checkpoints, the estimators of `cgru.sklearn`, the command line, and the jobs of many fits. `cgru.estimators.recipe`
declares the options of an architecture in the same way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Flag, auto
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import callable_, flag, positive
from cgru.network.history import Epoch
from cgru.network.progress import tqdm_class
from cgru.optimizers import check_number

__all__ = ["OPTIONS", "Metric", "Option", "Settings", "Trait", "described", "option", "share"]

BATCH_SIZE = 32  # the default of `Network.fit`

Metric = Callable[[np.ndarray, np.ndarray], Any]
Check = Callable[[Any, str], Any]


class Trait(Flag):
    """Properties that an option may have."""

    IN_FOLDS = auto()  # the fits of folds that choose a network have it, too; targets are scaled, nothing validates
    RESUME = auto()  # a fit with another value cannot resume from a checkpoint
    UNLIKE = auto()  # losses of fits with different values cannot be compared
    REREADS = auto()  # it makes a fit iterate over the training batches more than once
    REREADS_VALIDATION = auto()  # it makes a fit iterate over the validation batches more than once
    JUDGES = auto()  # so does it over the validation batches, without validation over the training batches


IN_FOLDS, RESUME, UNLIKE, REREADS, REREADS_VALIDATION, JUDGES = Trait
NONE = Trait(0)


class Option(NamedTuple):
    """The description of an option: all but its name, type and default.

    Attributes:
        check: a function of a value and the option's name; it returns the value in the form that is used, or raises
            TypeError or ValueError. The default is not checked.
        help: the help text of the command line, with the default where that says more than the value; names of
            `cgru.estimators.recipe` are in braces.
        traits: its properties.
        parse: a function that converts the text of the command line, `bool` for a flag; None where the command line
            does not have the option.
        metavar: the placeholder of the value in the help.
        choices: the texts that the command line takes; () for any.
        alone: why it cannot be used with batches; "" where it can.
        recipe: the default in estimators and the command line; ... where it is that of `Network.fit`.
    """

    check: Check | None
    help: str
    traits: Trait = NONE
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    alone: str = ""
    recipe: Any = ...


def option(default: Any, check: Check | None, help: str, *rest: Any, **more: Any) -> Any:
    """Return the dataclass field of an option: its default, and an `Option` made of the other arguments."""
    return field(default=default, metadata={"option": Option(check, help, *rest, **more)})


def described(kind: type) -> dict[str, Option]:
    """Return the description of each option that a dataclass declares."""
    return {each.name: each.metadata["option"] for each in fields(kind) if "option" in each.metadata}


def share(value: Any, name: str) -> float:
    """Check a share of at least 0 and below 1."""
    check_number(value, name, 1.0)
    return float(value)


def _progress(value: Any, name: str) -> bool:
    """Check a boolean; ImportError for True where tqdm is not installed."""
    if flag(value, name):
        tqdm_class()
    return bool(value)


def _metrics(value: Any, name: str) -> dict[str, Metric]:
    """Check a dict of functions by name."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name}: expected a dict of functions by name, got {type(value).__name__}")
    for each, metric in value.items():
        callable_(metric, f"{name}[{each!r}]")
        if each in ("loss", "accuracy", "losses"):
            raise ValueError(f"{name}: expected another name than loss, accuracy and losses, got {each!r}")
    return dict(value)


def _factor(value: Any, name: str) -> float:
    """Check the factor of a penalty; return a float."""
    check_number(value, name)
    return float(value)


def _factors(value: Any, name: str) -> Any:
    """Check the factor of a penalty, or a dict of factors by parameter keys."""
    if not isinstance(value, Mapping):
        return _factor(value, name)
    return {key: _factor(each, f"{name}[{key!r}]") for key, each in value.items()}


def _class_weight(value: Any, name: str) -> Any:
    """Check "balanced", or a dict of weights by class."""
    if isinstance(value, str) and value == "balanced":
        return value
    if not isinstance(value, Mapping):
        got = repr(value) if isinstance(value, str) else type(value).__name__
        raise TypeError(f'{name}: expected a dict, "balanced" or None, got {got}')
    return _factors(value, name)


def _number(value: Any, name: str) -> None:
    """Raise TypeError where the value is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")


def _average(value: Any, name: str) -> float:
    """Check a number between 0 and 1."""
    _number(value, name)
    if not 0 < value < 1:
        cure = "None trains without a mean"
        raise ValueError(f"{name}: expected a number above 0 and below 1, such as 0.999, got {value}; {cure}")
    return float(value)


def _seconds(value: Any, name: str) -> float:
    """Check a number of at least 0."""
    _number(value, name)
    if not value >= 0:
        raise ValueError(f"{name}: expected at least 0, got {value}")
    return float(value)


def _memory(value: Any, name: str) -> str:
    """Check "low"."""
    if value != "low":
        raise ValueError(f'{name}: expected "low" or None, got {value!r}')
    return str(value)


@dataclass(frozen=True)
class Settings:
    """The options of one fit, checked when they are set; TypeError or ValueError for wrong values."""

    epochs: int = option(
        50, positive,
        "number of passes over the data (default: as many as make {UPDATES} updates, {EPOCHS} at the least)",
        IN_FOLDS | RESUME | REREADS | REREADS_VALIDATION, int, "N", recipe=None,
    )  # fmt: skip
    batch_size: int | None = option(
        None, positive, "number of sequences in an update (default: a fortieth of all, 16 to 64)", IN_FOLDS, int, "N",
        alone="each of which makes an update",
    )  # fmt: skip
    validation: Any = option(
        None, None,
        "share of the training data to hold back; the best weights on it are kept, and a regression by squared error "
        "is shrunk towards the mean (default: 0, of a regression {VALIDATION})",
        NONE, float, "SHARE",
    )  # fmt: skip
    standardize: bool = option(
        False, flag, "scale features to mean 0 and deviation 1", IN_FOLDS | RESUME | REREADS, recipe=True
    )
    shuffle: bool = option(True, flag, "draw a new order of the sequences for each epoch", IN_FOLDS | RESUME)
    patience: int | None = option(
        None, positive,
        "stop after N epochs without a better validation loss (default: never, of a regression {PATIENCE}; needs "
        "--validation)",
        RESUME, int, "N",
    )  # fmt: skip
    callback: Callable[[Epoch], Any] | None = option(None, callable_, "a function of each epoch")
    truncate: int | None = option(None, positive, "backpropagate through N steps", IN_FOLDS | RESUME)
    class_weight: Mapping[Any, float] | str | None = option(
        None, _class_weight, "give all classes the same weight, however many sequences they have (default: no)",
        IN_FOLDS | UNLIKE | REREADS, str, choices=("balanced",),
    )  # fmt: skip
    standardize_targets: bool = option(
        False, flag, "scale targets to mean 0 and deviation 1", RESUME | UNLIKE | REREADS, recipe=None
    )
    shrink: bool = option(False, flag, "shrink outputs towards the mean", RESUME | UNLIKE | REREADS_VALIDATION)
    recover: bool = option(False, flag, "where training diverges, go back", REREADS)
    average: float | None = option(
        None, _average,
        "validate with, and save, an exponential mean of the parameters; it keeps this share of itself at each update "
        "(default: no mean)",
        IN_FOLDS | RESUME, float, "SHARE",
    )  # fmt: skip
    bucket: bool = option(
        False, flag, "make batches of like lengths", IN_FOLDS | RESUME, alone="which come as they are handed out"
    )
    l1: Any = option(0.0, _factors, "penalty on |p| of matrices, or a table by parameter keys", IN_FOLDS | RESUME)
    l2: Any = option(0.0, _factors, "penalty on p^2 of matrices, likewise", IN_FOLDS | RESUME)
    activity_l1: float = option(0.0, _factor, "penalty on |h| of the outputs of recurrent layers", IN_FOLDS | RESUME)
    activity_l2: float = option(0.0, _factor, "penalty on h^2 of the outputs of recurrent layers", IN_FOLDS | RESUME)
    metrics: Mapping[str, Metric] | None = option(None, _metrics, "functions by name", UNLIKE | JUDGES)
    progress: bool = option(False, _progress, "show a bar")
    checkpoint: str | os.PathLike[str] | None = option(
        None, None, "write FILE at intervals, from which --resume goes on after an interruption (default: no)",
        REREADS_VALIDATION, str, "FILE",
        alone="whose order in epochs to come nobody knows; that of arrays in files is known",
    )  # fmt: skip
    checkpoint_seconds: float = option(
        10.0, _seconds, "least seconds between checkpoints, written after an epoch", NONE, float, "S"
    )
    resume: bool = option(False, flag, "go on from the file of --checkpoint, if it exists", NONE, bool)
    memory: str | None = option(
        None, _memory,
        "recompute the gates in the backward pass: less memory for long batches, more time (default: keep all)",
        IN_FOLDS, str, choices=("low",),
    )  # fmt: skip

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Return the settings whose values stand in `given`, which may have other entries, too."""
        return cls(**{name: given[name] for name in OPTIONS})

    def __post_init__(self) -> None:
        """Replace each setting by its checked value; ValueError for settings that exclude each other."""
        for name, (check, default) in CHECKED.items():
            value = vars(self)[name]
            if value is not default:
                vars(self)[name] = check(value, name)
        if self.patience is not None and self.validation is None:
            raise ValueError("patience: expected a validation share or set beside it, got validation=None")
        if self.shrink and (self.validation is None or not self.standardize_targets):
            raise ValueError("shrink: expected False without validation and standardize_targets=True, got True")
        if self.bucket and not self.shuffle:
            raise ValueError("bucket: expected False with shuffle=False, got True")
        if self.resume and self.checkpoint is None:
            raise ValueError("resume: expected a checkpoint beside it, got checkpoint=None")

    def size(self, whole: bool) -> int:
        """Return how many samples make an update; for batches, which are not `whole` data, no limit."""
        return (self.batch_size or BATCH_SIZE) if whole else sys.maxsize

    def for_resume(self) -> dict[str, Any]:
        """Return the settings that decide the course of a fit, as a checkpoint compares them."""
        found = {name: getattr(self, name) for name, option in OPTIONS.items() if RESUME in option.traits}
        share = float(self.validation) if isinstance(self.validation, float | int | np.number) else None
        size, metrics = self.batch_size or BATCH_SIZE, sorted(self.metrics or ())
        return found | {"batch_size": size, "validation": share, "metrics": metrics}


OPTIONS = described(Settings)
CHECKED = {name: (each.check, getattr(Settings, name)) for name, each in OPTIONS.items() if each.check is not None}
