"""What a plan file asks `cgru many` for: networks, how they are fitted, and to what; found out before any fit.

A list of values for a key is an axis. A setting has one value of each key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from cgru import losses, recipe
from cgru.cli.arguments import Reading, RequestError
from cgru.core.checks import flag, positive, rate
from cgru.datasets.missing_values import as_words
from cgru.datasets.time_differences import parse_gap
from cgru.layers import Pool
from cgru.network.options import OPTIONS, Settings, Trait
from cgru.optimizers import NAMED, SCHEDULES, check_number

__all__ = ["FIT", "NETWORK", "Plan", "read_plan"]

Check = Callable[[Any, str], Any]


def _number(**bounds: Any) -> Check:
    def check(value: Any, name: str) -> float:
        check_number(value, name, **bounds)
        return float(value)

    return check


def _folds(value: Any, name: str) -> int:
    if positive(value, name) == 1:
        raise ValueError(f"{name}: expected at least 2, got 1")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}: expected a string, got {value!r}")
    return value


def _one_of(known: Collection[str]) -> Check:
    def check(value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        return value

    return check


def _names(value: Any, name: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TypeError(f"{name}: expected a string or a list of strings, got {value!r}")
    return tuple(values)


def _gap(value: Any, name: str) -> Any:
    parse_gap(value)
    return value


def _loss(value: Any, name: str) -> str:
    loss = losses.named(_text(value, name))
    if loss.classifies and not loss.takes_class_numbers:
        raise ValueError(f"{name}: expected one of a regression, or for classes a cross_entropy, got {value!r}")
    return losses.SHORT.get(value, value)


# What the keys of each table are by default, and what judges their values.
TOP: dict[str, tuple[Any, Check]] = {
    "data": (None, _text),
    "results": (None, _text),
    "folds": (None, _folds),
    "inner_folds": (None, _folds),
    "repeats": (1, positive),
    "seeds": (1, positive),
    "groups": (None, _text),
    "validation": (None, _number(below=1, above=True)),
}


def _read(declared: Mapping[str, Any]) -> Check:
    """What judges an option of how data are read, as a request declares it."""
    if "choices" in declared:
        return _one_of(declared["choices"])
    checks = {None: flag, "NAME": _names, "A,B": _names, "GAP": _gap}
    checks["WORD,..."] = lambda value, _: list(as_words(value))
    return checks.get(declared.get("metavar"), _text)


# How the data file is read, likewise.
DATA: dict[str, tuple[Any, Check]] = {
    each.name: (None, _read(each.metadata)) for each in fields(Reading) if each.name != "groups"
}
NETWORK: dict[str, tuple[Any, Check]] = {
    "units": (recipe.UNITS, positive),
    "layers": (1, positive),
    "bidirectional": (True, flag),
    "pool": (None, lambda value, _: Pool(value).how),
    "dropout": (recipe.DROPOUT, rate),
    "recurrent_dropout": (recipe.RECURRENT_DROPOUT, rate),
    "zoneout": (0.0, rate),
    "reset_after": (False, flag),
    "layer_norm": (False, flag),
    "learn_h0": (False, flag),
    "loss": (None, _loss),
    "optimizer": ("adam", _one_of(NAMED)),
    "learning_rate": (recipe.LEARNING_RATE, _number(above=True)),
    "schedule": (recipe.SCHEDULE, _one_of(SCHEDULES)),
    "weight_decay": (recipe.WEIGHT_DECAY, _number()),
    "clip_norm": (1.0, _number(above=True)),
    "float64": (False, flag),
}
FIT: dict[str, tuple[Any, Check]] = {
    name: (getattr(Settings, name) if each.recipe is ... else each.recipe, each.check)
    for name, each in OPTIONS.items()
    if Trait.PLAN in each.traits
}
ALONE = ("loss", *(name for name, each in OPTIONS.items() if Trait.UNLIKE in each.traits))


@dataclass(frozen=True)
class Plan:
    """A plan, all of its values judged one by one.

    Attributes:
        path: the plan's file.
        data, results: the other two.
        reading: how the data file is read, by the arguments of `cgru.datasets.read`.
        folds, inner_folds, repeats, seeds, groups, validation: as the file says, or None.
        fixed: the value of each key of [network] and [fit] that is no axis, defaults among them.
        axes: the values of the others, by key, in the file's order.
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
        """What all results depend on, by name: not how many repeats, seeds and values of an axis there are."""
        split = {name: getattr(self, name) for name in ("folds", "inner_folds", "validation")}
        split |= {"grouped": self.groups is not None, "axes": sorted(self.axes)}
        return split | self.fixed | {"loss": self.fixed["loss"] or recipe.LOSS}


def read_plan(path: str) -> Plan:
    """The plan in a TOML file; what it names lies in the folder of that file, or where an absolute name leads.

    RequestError, naming file and key, for what is no plan; OSError where it cannot be read.
    """
    tables = _tables(path)
    top = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    for key in tables.keys() - top.keys() - {"network", "fit"}:
        raise RequestError(f"{path}: [{key}]: expected no tables but [network] and [fit]")
    for key in ("network", "fit"):
        if key in top:
            raise RequestError(f"{path}: {key}: expected a table, [{key}], got {top[key]!r}")
    values, axes = _judged(top, TOP | DATA, f"{path}: ", axes=False)
    reading = {key: value for key in DATA if (value := values.pop(key)) is not None}
    fixed: dict[str, Any] = {}
    for table, known in (("network", NETWORK), ("fit", FIT)):
        own, lists = _judged(tables.get(table, {}), known, f"{path}: [{table}] ")
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
    folder = os.path.dirname(path)
    results = values["results"] or os.path.splitext(os.path.basename(path))[0] + ".jsonl"
    values |= {"data": os.path.join(folder, values["data"]), "results": os.path.join(folder, results)}
    return Plan(path, **values, reading=reading, fixed=fixed, axes=axes)


def _tables(path: str) -> dict[str, Any]:
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


def _judged(
    given: Mapping[str, Any], known: Mapping[str, tuple[Any, Check]], where: str, axes: bool = True
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The values of all keys that are known, but for lists, and those of lists where they may be axes."""
    values, lists = {key: default for key, (default, _) in known.items()}, {}
    for key, value in given.items():
        if key not in known:
            raise RequestError(f"{where}{key}: expected one of {', '.join(known)}")
        check = known[key][1]
        if isinstance(value, list) and axes:
            if key in ALONE:
                raise RequestError(f"{where}{key}: expected one value, so that losses can be compared, got {value!r}")
            if not value:
                raise RequestError(f"{where}{key}: expected one value or more, got []")
            del values[key]
            lists[key] = [_value(check, own, f"{key}[{i}]", where) for i, own in enumerate(value)]
            for i, own in enumerate(lists[key]):
                if own in lists[key][:i]:
                    raise RequestError(f"{where}{key}[{i}]: expected each value once, got {own!r} again")
        else:
            values[key] = _value(check, value, key, where)
    return values, lists


def _value(check: Check, value: Any, name: str, where: str) -> Any:
    try:
        return check(value, name)
    except (TypeError, ValueError) as error:
        text = str(error)
        own = text if text.startswith(name) else f"{name}: {text.partition(': ')[2]}"  # some know it by another name
        raise RequestError(f"{where}{own}") from None
