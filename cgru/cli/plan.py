"""Read and check a plan file of `cgru many`: data, splits, networks and options of fits.

A list of values for a key is an axis. A setting has one value of each key.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from cgru import losses, recipe
from cgru.cli.arguments import Reading, RequestError
from cgru.core.checks import flag, positive, rate
from cgru.datasets.missing_values import as_words, parse_filling
from cgru.datasets.time_differences import parse_gap
from cgru.datasets.windows import parse_windows
from cgru.input_layers import AUTO, RAW, parse
from cgru.layers import Pool
from cgru.model_selection import BUDGET
from cgru.network.options import OPTIONS, Settings, Trait
from cgru.optimizers import NAMED, SCHEDULES, check_number
from cgru.recipe import Recipe
from cgru.variant import FLAGS

__all__ = ["FIT", "NETWORK", "Plan", "read_plan"]

Check = Callable[[Any, str], Any]


def _number_check(**bounds: Any) -> Check:
    """Return a check that a value is a number within `bounds`, the keywords of `check_number`."""

    def check(value: Any, name: str) -> float:
        """Return a value as a float, once it is checked."""
        check_number(value, name, **bounds)
        return float(value)

    return check


def _check_folds(value: Any, name: str) -> int:
    """Check a number of folds, at least 2."""
    if positive(value, name) == 1:
        raise ValueError(f"{name}: expected at least 2, got 1")
    return value


def _check_text(value: Any, name: str) -> str:
    """Check a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}: expected a string, got {value!r}")
    return value


def _choice_check(known: Collection[str]) -> Check:
    """Return a check for strings among those `known`."""

    def check(value: Any, name: str) -> str:
        """Return a value, once it is checked to be among the known strings."""
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        return value

    return check


def _check_names(value: Any, name: str) -> tuple[str, ...]:
    """Check a string or a list of strings; return it as a tuple of strings."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TypeError(f"{name}: expected a string or a list of strings, got {value!r}")
    return tuple(values)


def _accepted_by(parse: Callable[[Any], Any]) -> Check:
    """Return a check for values that `parse` accepts, such as a time difference, 30d."""

    def check(value: Any, _: str) -> Any:
        """Return a value, once `parse` has accepted it."""
        parse(value)
        return value

    return check


def _check_inputs(value: Any, name: str) -> str:
    """Check the text of input layers, or AUTO."""
    if value != AUTO:
        parse(value, name)
    return value


def _check_loss(value: Any, name: str) -> str:
    """Check the name of a loss that `cgru many` can train with; return it in its long form."""
    loss = losses.named(_check_text(value, name))
    if loss.classifies and not loss.takes_class_numbers:
        raise ValueError(f"{name}: expected one of a regression, or for classes a cross_entropy, got {value!r}")
    return losses.SHORT.get(value, value)


# For each key of a table its default and the check of its values. TOP: the keys outside [network] and [fit].
TOP: dict[str, tuple[Any, Check]] = {
    "data": (None, _check_text),
    "results": (None, _check_text),
    "folds": (None, _check_folds),
    "inner_folds": (None, _check_folds),
    "repeats": (1, positive),
    "seeds": (1, positive),
    "groups": (None, _check_text),
    "validation": (None, _number_check(below=1, above=True)),
}


def _check_of_option(declared: Mapping[str, Any]) -> Check:
    """Return the check of an option of reading, from its declaration in `Reading`."""
    if "choices" in declared:
        return _choice_check(declared["choices"])
    checks = {None: flag, "NAME": _check_names, "A,B": _check_names, "GAP": _accepted_by(parse_gap)}
    checks |= {"HOW": _accepted_by(parse_filling), "LENGTH,HOP": _accepted_by(parse_windows)}
    checks["WORD,..."] = lambda value, _: list(as_words(value))
    return checks.get(declared.get("metavar"), _check_text)


# Keys outside the tables, too: how the data file is read.
DATA: dict[str, tuple[Any, Check]] = {
    each.name: (None, _check_of_option(each.metadata)) for each in fields(Reading) if each.name != "groups"
}
NETWORK: dict[str, tuple[Any, Check]] = {
    name: (getattr(Recipe, name, None), check)
    for name, check in {
        "units": positive,
        "layers": positive,
        "bidirectional": flag,
        "pool": lambda value, _: Pool(value).how,
        "dropout": rate,
        "recurrent_dropout": rate,
        "loss": _check_loss,
        "optimizer": _choice_check(NAMED),
        "learning_rate": _number_check(above=True),
        "schedule": _choice_check(SCHEDULES),
        "weight_decay": _number_check(),
        "clip_norm": _number_check(above=True),
        "float64": flag,
    }.items()
} | {
    "zoneout": (0.0, rate),
    **dict.fromkeys(FLAGS, (False, flag)),
    "inputs": (RAW, _check_inputs),
    "budget": (BUDGET, _number_check()),
    "causal": (False, flag),
}
FIT: dict[str, tuple[Any, Check]] = {
    name: (getattr(Settings, name) if each.recipe is ... else each.recipe, each.check)
    for name, each in OPTIONS.items()
    if Trait.PLAN in each.traits
}
MOST_VALUES, MOST_FITS = 1000, 1_000_000  # of an axis, of a plan
NO_AXES = ("loss", *(name for name, each in OPTIONS.items() if Trait.UNLIKE in each.traits))


@dataclass(frozen=True)
class Plan:
    """The content of a plan file, each value checked.

    Attributes:
        path: the plan's file.
        data, results: the paths of the data file and of the file of results.
        reading: how the data file is read, by the arguments of `cgru.datasets.read`.
        folds, inner_folds, repeats, seeds, groups, validation: as in the file, or None.
        fixed: the values of all keys of [network] and [fit] that are no axes, including defaults.
        axes: the list of values of each axis, by key, in the order of the file.
    """

    path: str
    data: str
    results: str
    reading: dict[str, Any]
    folds: int | None
    inner_folds: int | None
    repeats: int
    seeds: int
    groups: str | None
    validation: float | None
    fixed: dict[str, Any]
    axes: dict[str, list[Any]]

    def described(self) -> dict[str, Any]:
        """Return by name the values that every result depends on: all but repeats, seeds and the values of axes."""
        split = {name: getattr(self, name) for name in ("folds", "inner_folds", "validation")}
        split |= {"grouped": self.groups is not None, "axes": sorted(self.axes)}
        return split | self.fixed | {"loss": self.fixed["loss"] or recipe.LOSS}


def read_plan(path: str) -> Plan:
    """Read a plan from a TOML file; paths in it are relative to its folder.

    RequestError, naming file and key, for an invalid plan; OSError where it cannot be read.
    """
    tables = _read_tables(path)
    top = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    for key in tables.keys() - top.keys() - {"network", "fit"}:
        raise RequestError(f"{path}: [{key}]: expected no tables but [network] and [fit]")
    for key in ("network", "fit"):
        if key in top:
            raise RequestError(f"{path}: {key}: expected a table, [{key}], got {top[key]!r}")
    values, axes = _check_table(top, TOP | DATA, f"{path}: ", axes=False)
    reading = {key: value for key in DATA if (value := values.pop(key)) is not None}
    fixed: dict[str, Any] = {}
    for table, known in (("network", NETWORK), ("fit", FIT)):
        own, lists = _check_table(tables.get(table, {}), known, f"{path}: [{table}] ")
        fixed |= own
        axes |= lists
    if values["data"] is None:
        raise RequestError(f"{path}: data: expected the name of a data file, got nothing")
    if values["folds"] is None and values["inner_folds"] is not None:
        raise RequestError(f"{path}: inner_folds: expected folds beside it, got none")
    if values["groups"] is not None and values["folds"] is None and values["validation"] is None:
        raise RequestError(f"{path}: groups: expected folds or validation beside it, got neither")
    if values["repeats"] > 1 and values["folds"] is None:
        raise RequestError(f"{path}: repeats: expected 1 without folds, got {values['repeats']}")
    fits = math.prod(map(len, axes.values())) * values["repeats"] * values["seeds"] * (values["folds"] or 1)
    if fits > MOST_FITS:  # all of which are listed before the first is made
        raise RequestError(f"{path}: expected at most {MOST_FITS} fits, got {fits} or more; several plans share them")
    folder = os.path.dirname(path)
    results = values["results"] or os.path.splitext(os.path.basename(path))[0] + ".jsonl"
    values |= {"data": os.path.join(folder, values["data"]), "results": os.path.join(folder, results)}
    return Plan(path, **values, reading=reading, fixed=fixed, axes=axes)


def _read_tables(path: str) -> dict[str, Any]:
    """Parse a TOML file."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError:
            raise RequestError("many: tomli is not installed; pip install tomli") from None
    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{path}: expected a TOML file: {error}") from None


def _check_table(
    given: Mapping[str, Any], known: Mapping[str, tuple[Any, Check]], where: str, axes: bool = True
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Check the table `given`; return ({key: value}, {key of an axis: values}); `axes`: whether a list is an axis.

    given: the table.
    known: for each allowed key its default and its check.
    where: the prefix of errors.
    axes: whether a list is an axis.
    """
    values, lists = {key: default for key, (default, _) in known.items()}, {}
    for key, value in given.items():
        if key not in known:
            raise RequestError(f"{where}{key}: expected one of {', '.join(known)}")
        check = known[key][1]
        if isinstance(value, list) and axes:
            if key in NO_AXES:
                raise RequestError(f"{where}{key}: expected one value, so that losses can be compared, got {value!r}")
            if not 0 < len(value) <= MOST_VALUES:
                raise RequestError(f"{where}{key}: expected 1 to {MOST_VALUES} values, got {len(value) or '[]'}")
            del values[key]
            lists[key] = [_check_value(check, own, f"{key}[{i}]", where) for i, own in enumerate(value)]
            for i, own in enumerate(lists[key]):
                if own in lists[key][:i]:
                    raise RequestError(f"{where}{key}[{i}]: expected each value once, got {own!r} again")
        else:
            values[key] = _check_value(check, value, key, where)
    return values, lists


def _check_value(check: Check, value: Any, name: str, where: str) -> Any:
    """Return the checked value of a key; RequestError, which begins with `where` and the key, where it is refused."""
    try:
        return check(value, name)
    except (TypeError, ValueError) as error:
        text = str(error)
        own = text if text.startswith(name) else f"{name}: {text.partition(': ')[2]}"  # the check may use another name
        raise RequestError(f"{where}{own}") from None
