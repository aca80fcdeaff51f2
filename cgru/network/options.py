"""The options of a fit: each one's type, default, check, help text and traits are declared in one place.

All others read them here: the signature of `Network.fit`, fits on batches, checkpoints, the estimators of
`cgru.sklearn`, the command line, and the jobs of many fits. `cgru.estimators.recipe` declares the options of an
architecture in the same way.
"""

import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from enum import Flag, auto
from functools import partial
from typing import Annotated, Any, NamedTuple, TypedDict

import numpy as np

from cgru.core.checks import callable_, flag, positive
from cgru.network.history import Epoch
from cgru.network.progress import tqdm_class
from cgru.optimizers import check_number

__all__ = [
    "OPTIONS", "Checkpoint", "FitOptions", "Metric", "Option", "Penalties", "Settings", "Trait", "described", "option",
    "parameters", "share", "takes",
]  # fmt: skip

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
    """The description of an option: its check, help text, traits and command-line form.

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
    """Return a dataclass field for an option, with its default and an `Option` made from the other arguments."""
    return field(default=default, metadata={"option": Option(check, help, *rest, **more)})


def described(kind: type) -> dict[str, Option]:
    """Return the `Option` of each option that a dataclass declares, by name."""
    return {each.name: each.metadata["option"] for each in fields(kind) if "option" in each.metadata}


def parameters(kind: type, names: Sequence[str] = (), **defaults: Any) -> list[inspect.Parameter]:
    """Return a dataclass's options as keyword parameters of a signature; `defaults` replace their defaults."""
    declared = {each.name: (each.default, each.type) for each in fields(kind)}
    for name, default in defaults.items():
        hint = declared[name][1]
        declared[name] = default, f"{getattr(hint, '__name__', hint)} | None" if default is None else hint
    keyword, chosen = inspect.Parameter.KEYWORD_ONLY, [(name, *declared[name]) for name in names or declared]
    return [inspect.Parameter(name, keyword, default=default, annotation=hint) for name, default, hint in chosen]


def takes(kind: type) -> Callable[[Any], Any]:
    """Return a decorator that replaces a function's `**options` in its signature by the options of `kind`."""

    def decorate(function: Any) -> Any:
        """Set the signature of the function."""
        own = inspect.signature(function)
        function.__signature__ = own.replace(parameters=[*list(own.parameters.values())[:-1], *parameters(kind)])
        return function

    return decorate


def share(value: Any, name: str) -> float:
    """Check that `value` is a fraction from 0 to below 1."""
    check_number(value, name, 1.0)
    return float(value)


def _progress(value: Any, name: str) -> bool:
    """Check a boolean; ImportError for True if tqdm is not installed."""
    if flag(value, name):
        tqdm_class()
    return bool(value)


def _metrics(value: Any, name: str) -> dict[str, Metric]:
    """Check a dict of metric functions by name."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name}: expected a dict of functions by name, got {type(value).__name__}")
    for each, metric in value.items():
        callable_(metric, f"{name}[{each!r}]")
        if each in ("loss", "accuracy", "losses"):
            raise ValueError(f"{name}: expected another name than loss, accuracy and losses, got {each!r}")
    return dict(value)


def _factor(value: Any, name: str) -> float:
    """Check a number of at least 0, such as the factor of a penalty, and return it as a float."""
    check_number(value, name)
    return float(value)


def _seconds(value: Any, name: str) -> float:
    """Check a number of at least 0, which may be infinite."""
    return value if value == math.inf else _factor(value, name)


def _average(value: Any, name: str) -> float:
    """Check a number between 0 and 1."""
    check_number(value, name, 1.0, above=True)
    return float(value)


def _factors(value: Any, name: str) -> Any:
    """Check the factor of a penalty, or a dict of factors by parameter keys."""
    if not isinstance(value, Mapping):
        return _factor(value, name)
    return {key: _factor(each, f"{name}[{key!r}]") for key, each in value.items()}


def _class_weight(value: Any, name: str) -> Any:
    """Check `class_weight`: "balanced" or a dict of weights by class."""
    if isinstance(value, str) and value == "balanced":
        return value
    if not isinstance(value, Mapping):
        got = repr(value) if isinstance(value, str) else type(value).__name__
        raise TypeError(f'{name}: expected a dict, "balanced" or None, got {got}')
    return _factors(value, name)


def _of_kind(kind: type, value: Any, name: str, other: str = "") -> Any:
    """Check that the value is an instance of `kind`; `other` says what else is allowed, for the error."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a cgru.{kind.__name__}{other}, got {type(value).__name__}")
    return value


def _memory(value: Any, name: str) -> str:
    """Check that the value is "low", the only one allowed."""
    if value != "low":
        raise ValueError(f'{name}: expected "low" or None, got {value!r}')
    return str(value)


def _set_checked(settings: Any) -> None:
    """Replace each option of a frozen dataclass by its checked value; defaults are not checked."""
    for each in fields(settings):
        value, known = vars(settings)[each.name], each.metadata.get("option")
        if known is not None and known.check is not None and value is not each.default:
            vars(settings)[each.name] = known.check(value, each.name)


@dataclass(frozen=True)
class Penalties:
    """L1 and L2 penalties on parameters and on the outputs of recurrent layers, for `Network.fit`.

    They come before clipping, and are no part of the losses in the history.

    Args:
        l1: the factor of the penalty l1 sum |p| over parameters p. A number is for all matrices that train, a dict for
            those whose keys match, `{"0.V*": 1e-3, "*.W": 1e-4}`.
        l2: the factor of the penalty l2 sum p^2, likewise.
        activity_l1: the factor of the penalty sum |A| of the outputs A of each recurrent layer, over its units,
            averaged over the samples, or where all steps come out over their real steps.
        activity_l2: the factor of the penalty sum A^2, likewise.

    Raises:
        TypeError, ValueError: a factor is no number of at least 0.

    Examples:
        >>> X, y = np.ones((8, 5, 3)), np.arange(8) % 2
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> len(net.fit(X, y, epochs=2, penalties=cgru.Penalties(l1=1e-3, l2={"0.V*": 1e-2})))
        2
    """

    l1: float | Mapping[str, float] = option(0.0, _factors, "penalty on |p|")
    l2: float | Mapping[str, float] = option(0.0, _factors, "penalty on p^2")
    activity_l1: float = option(0.0, _factor, "penalty on |h|")
    activity_l2: float = option(0.0, _factor, "penalty on h^2")

    def __post_init__(self) -> None:
        _set_checked(self)


@dataclass(frozen=True)
class Checkpoint:
    """A file from which an interrupted fit can resume, for `Network.fit`.

    It is written before the first epoch, then at the end of an epoch, after its callback, where the last time is
    `seconds` ago or more, and when the fit is over. It is written whole or not at all, an `.npz` without pickled
    objects. A file there that is no checkpoint is refused, not replaced.

    With `resume` the fit goes on from it, to the very bits of a fit never stopped. Where there is no file, the fit
    begins anew; the checkpoint of a fit that is over gives its result at once. A checkpoint has the parameters, now and
    at their best, the optimizer's state, the generators of layers and shuffling, and `history`; all these of the
    network are replaced. Of your own callables, layers and optimizers only names and plain attributes are compared.
    What they keep elsewhere than in parameters, in the optimizer's state or in `np_rng` is not in the file, nor is what
    a callback keeps.

    Args:
        path: the file.
        seconds: the least time between two writings; 0: at the end of each epoch.
        resume: whether to go on from the file, where there is one.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X, y = np.ones((8, 5, 3)), np.arange(8) % 2
        >>> for epochs_until_now in (4, 4):  # the second one has nothing left to do
        ...     net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        ...     history = net.fit(X, y, epochs=4, checkpoint=cgru.Checkpoint("run.npz", resume=True))
        >>> len(history), len(net.history)
        (4, 4)
    """

    path: str | os.PathLike[str]
    seconds: float = option(
        10.0, _seconds, "minimum seconds between checkpoints, which are written after an epoch", NONE, float, "S"
    )
    resume: bool = option(False, flag, "continue from the file of --checkpoint, if it exists", NONE, bool)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"path: expected the name of a file, got {type(self.path).__name__}")
        _set_checked(self)


def _checkpoint(value: Any, name: str) -> Checkpoint:
    """Return a `Checkpoint` for a file name; a `Checkpoint` is returned unchanged."""
    return Checkpoint(value) if isinstance(value, str | os.PathLike) else _of_kind(Checkpoint, value, name, " or path")


class FitOptions(TypedDict, total=False):
    """The keyword arguments of `Network.fit`, for editors and type checkers (PEP 692)."""

    epochs: Annotated[int, option(
        50, positive,
        "number of passes over the data (default: as many as make {UPDATES} updates, at least {EPOCHS})",
        IN_FOLDS | RESUME | REREADS | REREADS_VALIDATION, int, "N", recipe=None,
    )]  # fmt: skip
    batch_size: Annotated[int | None, option(
        None, positive, "number of sequences per update (default: 1/40 of all, from 16 to 64)", IN_FOLDS, int, "N",
        alone="each of which makes an update",
    )]  # fmt: skip
    validation: Annotated[Any, option(
        None, None,
        "fraction of the training data to hold out; the best weights on it are kept, and a regression by squared error "
        "is shrunk towards the mean (default: 0, for a regression {VALIDATION})",
        NONE, float, "SHARE",
    )]  # fmt: skip
    standardize: Annotated[bool, option(
        False, flag, "scale features to mean 0 and deviation 1", IN_FOLDS | RESUME | REREADS, recipe=True
    )]  # fmt: skip
    shuffle: Annotated[bool, option(True, flag, "shuffle the sequences in each epoch", IN_FOLDS | RESUME)]
    patience: Annotated[int | None, option(
        None, positive,
        "stop after N epochs without a better validation loss (default: never, for a regression {PATIENCE}; needs "
        "--validation)",
        RESUME, int, "N",
    )]  # fmt: skip
    callback: Annotated[Callable[[Epoch], Any] | None, option(None, callable_, "a function of each epoch")]
    truncate: Annotated[int | None, option(None, positive, "backpropagate through N steps", IN_FOLDS | RESUME)]
    class_weight: Annotated[Mapping[Any, float] | str | None, option(
        None, _class_weight, "give all classes the same weight, however many sequences they have (default: no)",
        IN_FOLDS | UNLIKE | REREADS, str, choices=("balanced",),
    )]  # fmt: skip
    standardize_targets: Annotated[bool, option(
        False, flag, "scale targets to mean 0 and deviation 1", RESUME | UNLIKE | REREADS, recipe=None
    )]  # fmt: skip
    shrink: Annotated[
        bool, option(False, flag, "shrink outputs towards the mean", RESUME | UNLIKE | REREADS_VALIDATION)
    ]
    recover: Annotated[bool, option(False, flag, "where training diverges, go back", REREADS)]
    average: Annotated[float | None, option(
        None, _average,
        "validate with, and save, an exponential mean of the parameters; it keeps this share of itself at each update "
        "(default: no mean)",
        IN_FOLDS | RESUME, float, "SHARE",
    )]  # fmt: skip
    bucket: Annotated[bool, option(
        False, flag, "make batches of like lengths", IN_FOLDS | RESUME, alone="which come as they are handed out"
    )]  # fmt: skip
    penalties: Annotated[Penalties, option(
        Penalties(), partial(_of_kind, Penalties), "penalties on parameters and activities", IN_FOLDS
    )]  # fmt: skip
    metrics: Annotated[Mapping[str, Metric] | None, option(None, _metrics, "functions by name", UNLIKE | JUDGES)]
    progress: Annotated[bool, option(False, _progress, "show a bar")]
    checkpoint: Annotated[Checkpoint | str | os.PathLike[str] | None, option(
        None, _checkpoint, "write FILE at intervals, from which --resume continues after an interruption (default: no)",
        REREADS_VALIDATION, str, "FILE",
        alone="whose order in epochs to come nobody knows; that of arrays in files is known",
    )]  # fmt: skip
    memory: Annotated[str | None, option(
        None, _memory,
        "recompute the gates in the backward pass: less memory for long batches, more time (default: store all)",
        IN_FOLDS, str, choices=("low",),
    )]  # fmt: skip


class Fitting:
    """The checks and methods of the class `Settings`."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Any:
        """Return settings with these options; TypeError for an unknown option."""
        for unknown in given.keys() - OPTIONS.keys():
            raise TypeError(f"{unknown}: expected an option of Network.fit, one of {', '.join(OPTIONS)}")
        return cls(**given)

    def __post_init__(self) -> None:
        """Check each setting, and replace it by its checked value; ValueError for incompatible settings."""
        _set_checked(self)
        if self.patience is not None and self.validation is None:
            raise ValueError("patience: expected validation data with it, got validation=None")
        if self.shrink and (self.validation is None or not self.standardize_targets):
            raise ValueError("shrink: expected False without validation and standardize_targets=True, got True")
        if self.bucket and not self.shuffle:
            raise ValueError("bucket: expected False with shuffle=False, got True")

    def size(self, whole: bool) -> int:
        """Return how many samples make an update; unlimited for an iterable of batches, which is not `whole`."""
        return (self.batch_size or BATCH_SIZE) if whole else sys.maxsize

    def for_resume(self) -> dict[str, Any]:
        """Return the settings on which the course of a fit depends, which a checkpoint compares."""
        found = {name: getattr(self, name) for name, option in OPTIONS.items() if RESUME in option.traits}
        share = float(self.validation) if isinstance(self.validation, float | int | np.number) else None
        size, metrics = self.batch_size or BATCH_SIZE, sorted(self.metrics or ())
        return found | {"batch_size": size, "validation": share, "metrics": metrics}


Settings: Any = make_dataclass(
    "Settings",
    [(name, hint.__origin__, hint.__metadata__[0]) for name, hint in FitOptions.__annotations__.items()],
    bases=(Fitting,),
    namespace={"__module__": __name__, "__doc__": "The options of one fit, checked when they are set."},
    frozen=True,
)
OPTIONS = described(Settings)
