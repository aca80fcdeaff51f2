"""What the fits of a grid say: a table, the setting chosen in each outer fold, and the honest score.

A record is what became of one fit, a plain dict: its name; its place, a dict of its setting and of repeat, fold, inner
and seed; scores; seconds; error, a text or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.core.formatting import figure
from cgru.network.network import Network

__all__ = ["PLACE", "TAKEN", "TOLD", "Grid", "joined", "scores_in_words"]

PLACE = ("repeat", "fold", "inner", "seed")  # what a place has beside the setting
TAKEN = (*PLACE, "name", "seconds", "error", "fits", "failed", "kept", "left_out")  # what no axis is called
TOLD = ("validation_", "test_")  # how the scores begin that are told of settings

Record = dict[str, Any]


@dataclass(frozen=True)
class _Outcome:
    """What became of a setting in an outer fold; `kept` has the best start of each inner one.

    It is None where a start failed, or all of an inner fold have NaN for their validation loss.
    """

    setting: dict[str, Any]
    at: tuple[int, int]  # repeat and fold
    records: list[Record]
    kept: list[Record] | None

    def scores(self) -> dict[str, list[float]]:
        """Those of what was kept."""
        names = [name for name in self.kept[0]["scores"] if name.startswith(TOLD)]
        return {name: [record["scores"][name] for record in self.kept] for name in names}

    def loss(self) -> float:
        return float(np.mean([_validation(record) for record in self.kept]))


class Grid(list[Record]):
    """The records of a grid's fits, {"name":, "place":, "scores":, "seconds":, "error":}, and what they come to.

    What one is made of may come from a file: nothing else decides, nor does their order.

    Args:
        records: of fits that are done, failed ones among them.
        missing: how many fits are not done.

    Attributes:
        networks: where `cgru.grid` was to keep them, by (repeat, fold) those that made the fold's honest score, one for
            each inner fold.

    Spreads are standard deviations, 0 for a single number.
    """

    def __init__(self, records: Iterable[Record] = (), missing: int = 0) -> None:
        super().__init__(records)
        self.missing = missing
        self.networks: dict[tuple[int, int], list[Network]] = {}

    def table(self) -> list[dict[str, Any]]:
        """One dict a setting: its values; `fits` that are done, and `failed` ones of them; and scores with spreads.

        For each inner fold counts its best start. `test_loss`, say, is a mean over inner folds, then over those outer
        ones (`folds`, of all repeats) in which the setting lacks no fit; `test_loss_spread` is over the latter. None
        where there is no such fold. Whoever picks a setting by test scores has none left that is honest: see `score`.
        """
        names, settings = self._told(), self._outcomes(lambda outcome: repr(outcome.setting))
        return [_row(outcomes, names) for outcomes in settings.values()]

    def chosen(self) -> list[dict[str, Any]]:
        """One dict an outer fold of each repeat: the setting whose validation loss, over inner folds, was the lowest.

        It has `repeat` and `fold`; the values of the setting; means and spreads over inner folds, `test_loss` that on
        samples that had no say in anything; `kept`, the names of the fits that these are of; `left_out`, the settings
        that could not be chosen since a fit of theirs failed or is missing, or their validation loss is NaN; and
        `error`, None or in words that none could be: all else is then None.
        """
        names, folds = self._told(), self._outcomes(lambda outcome: outcome.at)
        return [_choice(at, outcomes, names) for at, outcomes in folds.items()]

    def score(self) -> dict[str, float]:
        """The honest score: mean and spread of `chosen`'s test scores over the outer `folds` of all repeats.

        ValueError where fits are missing, which might have been chosen, and where in a fold no setting could be.
        """
        if self.missing:
            raise ValueError(f"score: expected all fits, got {self.missing} missing; table and chosen have the others")
        chosen = self.chosen()
        if not chosen:
            raise ValueError("score: expected one fold at least, got no records")
        for choice in chosen:
            if choice["error"] is not None:
                raise ValueError(f"score: repeat {choice['repeat']}, fold {choice['fold']}: {choice['error']}")
        names = [name for name in self._told() if name.startswith("test_")]
        if not names:
            raise ValueError("score: expected folds that hold samples out for a test, got none")
        return _spread({name: [choice[name] for choice in chosen] for name in names}) | {"folds": len(chosen)}

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each record; a score that is called as a value of the setting is `score_...`."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_pandas: pandas is missing: pip install pandas") from None
        rows = []
        for record in self:
            place = {"name": record["name"], **record["place"]}
            scores = {f"score_{name}" if name in place else name: value for name, value in record["scores"].items()}
            rows.append({**place, **scores, "seconds": record["seconds"], "error": record["error"]})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        failed = sum(record["error"] is not None for record in self)
        said = [f"{len(self)} fits"]
        said += [f"{count} {what}" for count, what in ((failed, "failed"), (self.missing, "missing")) if count]
        try:
            score = self.score()
        except ValueError as error:
            return f"Grid({', '.join(said)}; {error})"
        return f"Grid({', '.join(said)}; {scores_in_words(score)} over {score['folds']} folds)"

    def _repr_html_(self) -> str:
        """The table, and what `repr` says."""
        from html import escape  # here, as all imports that only some need: they take longer than those of this package

        rows = self.table()
        cells = [list(rows[0]), *(row.values() for row in rows)] if rows else []
        shown = ([figure(cell) if isinstance(cell, float) else str(cell) for cell in line] for line in cells)
        lines = ("".join(f"<td>{escape(cell)}</td>" for cell in line) for line in shown)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>{escape(repr(self))}"

    def _told(self) -> list[str]:
        """The names of the scores that are told."""
        return list(dict.fromkeys(name for record in self for name in record["scores"] if name.startswith(TOLD)))

    def _outcomes(self, key: Callable[[_Outcome], Any]) -> dict[Any, list[_Outcome]]:
        """Of each setting in each outer fold, in the order of their values, those that have the same `key` together."""
        settings: dict[str, dict[str, Any]] = {}
        found: dict[tuple[int, int], dict[str, dict[tuple[Any, Any], Record]]] = {}
        for record in self:
            place = record["place"]
            setting = {name: value for name, value in place.items() if name not in PLACE}
            name = repr(sorted(setting.items()))
            settings.setdefault(name, setting)
            fold = found.setdefault((place["repeat"], place["fold"]), {})
            fold.setdefault(name, {})[place["inner"], place["seed"]] = record
        seeds = sorted({record["place"]["seed"] for record in self}, key=_rank)
        order = sorted(settings, key=lambda name: [_rank(value) for value in settings[name].values()])
        outcomes: dict[Any, list[_Outcome]] = {}
        for at in sorted(found):
            inners = sorted({inner for records in found[at].values() for inner, _ in records}, key=_rank)
            for name in order:
                records = found[at].get(name, {})
                starts = [[records.get((inner, seed)) for seed in seeds] for inner in inners]
                well = all(record is not None and record["error"] is None for each in starts for record in each)
                kept = [_best(each) for each in starts] if well else [None]
                kept = None if None in kept else kept
                outcome = _Outcome(settings[name], at, list(records.values()), kept)
                outcomes.setdefault(key(outcome), []).append(outcome)
        return outcomes


def _row(outcomes: list[_Outcome], names: list[str]) -> dict[str, Any]:
    """What the table says of a setting."""
    records = [record for outcome in outcomes for record in outcome.records]
    whole = [outcome.scores() for outcome in outcomes if outcome.kept is not None]
    failed = sum(record["error"] is not None for record in records)
    counts = {"fits": len(records), "failed": failed, "folds": len(whole)}
    means = {name: [float(np.mean(each[name])) for each in whole] for name in names}
    return outcomes[0].setting | counts | _spread(means)


def _choice(at: tuple[int, int], outcomes: list[_Outcome], names: list[str]) -> dict[str, Any]:
    """What is chosen among the outcomes of a fold."""
    whole = [outcome for outcome in outcomes if outcome.kept is not None]
    left_out = [outcome.setting for outcome in outcomes if outcome.kept is None]
    if whole:
        best = min(whole, key=_Outcome.loss) if len(whole) > 1 else whole[0]  # one that is alone needs no loss
        setting, scores, kept, error = best.setting, best.scores(), [record["name"] for record in best.kept], None
    else:
        setting, scores, kept = dict.fromkeys(outcomes[0].setting), {name: [] for name in names}, None
        records = [record for outcome in outcomes for record in outcome.records]
        errors = [record["error"] for record in records if record["error"] is not None]
        errors += [f"the validation loss of {record['name']} is nan" for record in records if _is_nan(record)]
        error = ": ".join(["of each setting a fit failed or is missing", *errors[:1]])
    rest = {"kept": kept, "left_out": left_out, "error": error}
    return {"repeat": at[0], "fold": at[1]} | setting | _spread(scores) | rest


def _best(starts: list[Record]) -> Record | None:
    """Choose the first start with the lowest validation loss, which is not NaN; None where there is none.

    One that is alone needs no validation loss.
    """
    if len(starts) == 1 and "validation_loss" not in starts[0]["scores"]:
        return starts[0]
    return min((record for record in starts if not _is_nan(record)), key=_validation, default=None)


def _is_nan(record: Record) -> bool:
    return bool(np.isnan(record["scores"].get("validation_loss", 0.0)))


def _validation(record: Record) -> float:
    if "validation_loss" not in record["scores"]:
        raise ValueError(f"records: expected a validation_loss, for a choice, got none for {record['name']}")
    return record["scores"]["validation_loss"]


def _spread(scores: Mapping[str, list[float]]) -> dict[str, Any]:
    """Mean and spread of each; None where there are no numbers."""
    found: dict[str, Any] = {}
    for name, values in scores.items():
        found[name] = float(np.mean(values)) if values else None
        found[f"{name}_spread"] = float(np.std(values)) if values else None
    return found


def joined(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose means have their spreads beside them, as one text each."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        mean = name.removesuffix("_spread")
        found[mean] = f"{figure(found[mean])} +- {figure(value, 2)}" if mean != name and value is not None else value
    return found


def scores_in_words(row: Mapping[str, Any]) -> str:
    """Return the means in a row, with their spreads."""
    return ", ".join(f"{name} {text}" for name, text in joined(row).items() if f"{name}_spread" in row)


def _rank(value: Any) -> tuple[int, Any]:
    """What orders values of whatever kind: None, numbers, then others by what they look like."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    return 2, str(getattr(value, "__name__", value))  # what a function looks like is another each time
