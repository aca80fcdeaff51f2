"""`Grid`: the results of nested cross-validation: a table, the setting chosen in each outer fold, the nested score.

A record is the result of one fit as a plain dict: `name`; `place`, a dict of its setting and of repeat, fold, inner and
seed; `scores`; `seconds`; `error`, a text or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.core.formatting import figure
from cgru.core.tables import Table, table_as_html
from cgru.network.network import Network

__all__ = ["PLACE", "RESERVED", "SHOWN", "Grid", "joined", "scores_in_words"]

PLACE = ("repeat", "fold", "inner", "seed")  # keys of a place beside the setting
RESERVED = (*PLACE, "name", "seconds", "error", "fits", "failed", "kept", "left_out")  # names that no axis may have
SHOWN = ("validation_", "test_")  # prefixes of the scores that tables show

Record = dict[str, Any]


@dataclass(frozen=True)
class _Outcome:
    """The fits of one setting in one outer fold.

    setting: the values on the axes.
    at: repeat and fold.
    records: all its records there.
    kept: the record of the best start in each inner fold. None where a fit failed or is missing, or where all starts of
        an inner fold have a validation loss of NaN.
    """

    setting: dict[str, Any]
    at: tuple[int, int]  # repeat and fold
    records: list[Record]
    kept: list[Record] | None

    def scores(self) -> dict[str, list[float]]:
        """Return the scores that tables show, by name, one number for each inner fold."""
        names = [name for name in self.kept[0]["scores"] if name.startswith(SHOWN)]
        return {name: [record["scores"][name] for record in self.kept] for name in names}

    def loss(self) -> float:
        """Return the validation loss, the mean over inner folds."""
        return float(np.mean([_validation_loss(record) for record in self.kept]))


class Grid(list[Record]):
    """The cross-validation results of a grid: a list of records, {"name":, "place":, "scores":, "seconds":, "error":}.

    Tables, choices and scores depend on the records alone, in any order, so that they may come from a file. Spreads are
    standard deviations, 0 for a single number.

    Args:
        records: the records of all fits that are done, failed ones among them.
        missing: the number of fits that are not done.

    Attributes:
        networks: by (repeat, fold), the networks behind the nested score of the outer fold, one for each inner fold.
            Empty unless `cgru.grid` was called with `keep="best"`.

    Examples:
        >>> def record(fold, units, validation, test):
        ...     place = {"units": units, "repeat": 0, "fold": fold, "inner": 0, "seed": 0}
        ...     scores = {"validation_loss": validation, "test_loss": test}
        ...     return {"name": f"{fold} {units}", "place": place, "scores": scores, "seconds": 1.0, "error": None}
        >>> first = [record(0, 1, 0.5, 0.5), record(0, 2, 0.25, 0.25)]
        >>> grid = cgru.Grid([*first, record(1, 1, 0.25, 0.75), record(1, 2, 0.5, 0.25)])
        >>> [choice["units"] for choice in grid.chosen()]
        [2, 1]
        >>> grid.score()
        {'test_loss': 0.5, 'test_loss_spread': 0.25, 'folds': 2}
        >>> [(row["units"], row["test_loss"]) for row in grid.table()]
        [(1, 0.625), (2, 0.25)]
    """

    def __init__(self, records: Iterable[Record] = (), missing: int = 0) -> None:
        super().__init__(records)
        self.missing = missing
        self.networks: dict[tuple[int, int], list[Network]] = {}

    def table(self) -> list[dict[str, Any]]:
        """Return one dict for each setting: its values, counts of its fits, and its mean scores with spreads.

        `fits` are done, `failed` of them failed. For each inner fold its best start counts. `test_loss`, say, is the
        mean over inner folds, then over the `folds`, the outer folds of all repeats in which the setting lacks no fit.
        `test_loss_spread` is the spread over those outer folds. Both are None where there is no such fold. To choose a
        setting by test scores makes them optimistic: use `score`.

        Returns:
            The rows of the table.
        """
        names, settings = self._score_names(), self._group_outcomes(lambda outcome: repr(outcome.setting))
        return [_table_row(outcomes, names) for outcomes in settings.values()]

    def chosen(self) -> list[dict[str, Any]]:
        """Choose the setting with the lowest validation loss in each outer fold of each repeat.

        The validation loss is the mean over inner folds.

        Returns:
            A dict for each outer fold. It has `repeat` and `fold`; the values of the setting; means and spreads of
            scores over inner folds, those of `test_...` on samples that nothing was chosen by; `kept`, the names of
            the fits behind these; and `left_out`, the settings that could not be chosen, since a fit of theirs
            failed or is missing, or their validation loss is NaN. `error` is None, or says that no setting could be
            chosen: everything else is then None.
        """
        names, folds = self._score_names(), self._group_outcomes(lambda outcome: outcome.at)
        return [_choose(at, outcomes, names) for at, outcomes in folds.items()]

    def score(self) -> dict[str, float]:
        """Return the nested score: mean and spread of the test scores of `chosen` over the outer folds of all repeats.

        Returns:
            The means by name, their spreads as `..._spread`, and the number of `folds`.

        Raises:
            ValueError: fits are missing, which might have been chosen, or a fold has no setting to choose, or no fold
                holds samples out for a test.
        """
        if self.missing:
            raise ValueError(f"score: expected all fits, got {self.missing} missing; table and chosen have the others")
        chosen = self.chosen()
        if not chosen:
            raise ValueError("score: expected one fold at least, got no records")
        for choice in chosen:
            if choice["error"] is not None:
                raise ValueError(f"score: repeat {choice['repeat']}, fold {choice['fold']}: {choice['error']}")
        names = [name for name in self._score_names() if name.startswith("test_")]
        if not names:
            raise ValueError("score: expected folds that hold samples out for a test, got none")
        return _mean_and_spread({name: [choice[name] for choice in chosen] for name in names}) | {"folds": len(chosen)}

    def to_pandas(self) -> Any:
        """Return a DataFrame with a row for each record.

        A score with the same name as a value of the setting is called `score_...`.

        Returns:
            The DataFrame of pandas.

        Raises:
            ImportError: pandas is not installed.

        Examples:
            >>> import pandas
            >>> place = {"units": 4, "repeat": 0, "fold": 0, "inner": 0, "seed": 0}
            >>> record = {"name": "a", "place": place, "scores": {"loss": 0.5}, "seconds": 1.0, "error": None}
            >>> cgru.Grid([record]).to_pandas()[["name", "units", "loss"]].values.tolist()
            [['a', 4, 0.5]]
        """
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
        counts = [f"{len(self)} fits"]
        counts += [f"{count} {what}" for count, what in ((failed, "failed"), (self.missing, "missing")) if count]
        try:
            score = self.score()
        except ValueError as error:
            return f"Grid({', '.join(counts)}; {error})"
        return f"Grid({', '.join(counts)}; {scores_in_words(score)} over {score['folds']} folds)"

    def _repr_html_(self) -> str:
        """Return the table as HTML for notebooks, and the text of `repr` below it."""
        rows = self.table()
        shown = [[figure(cell) if isinstance(cell, float) else str(cell) for cell in row.values()] for row in rows]
        return table_as_html(Table("", list(rows[0]) if rows else [], shown, repr(self), names=0))

    def _score_names(self) -> list[str]:
        """Return the names of the scores that tables show."""
        return list(dict.fromkeys(name for record in self for name in record["scores"] if name.startswith(SHOWN)))

    def _group_outcomes(self, key: Callable[[_Outcome], Any]) -> dict[Any, list[_Outcome]]:
        """Return the outcome of each setting in each outer fold, grouped by `key`, in order of the settings' values."""
        settings: dict[str, dict[str, Any]] = {}
        found: dict[tuple[int, int], dict[str, dict[tuple[Any, Any], Record]]] = {}
        for record in self:
            place = record["place"]
            setting = {name: value for name, value in place.items() if name not in PLACE}
            name = repr(sorted(setting.items()))
            settings.setdefault(name, setting)
            fold = found.setdefault((place["repeat"], place["fold"]), {})
            fold.setdefault(name, {})[place["inner"], place["seed"]] = record
        seeds = sorted({record["place"]["seed"] for record in self}, key=_sort_key)
        order = sorted(settings, key=lambda name: [_sort_key(value) for value in settings[name].values()])
        outcomes: dict[Any, list[_Outcome]] = {}
        for at in sorted(found):
            inners = sorted({inner for records in found[at].values() for inner, _ in records}, key=_sort_key)
            for name in order:
                records = found[at].get(name, {})
                starts = [[records.get((inner, seed)) for seed in seeds] for inner in inners]
                well = all(record is not None and record["error"] is None for each in starts for record in each)
                kept = [_best_start(each) for each in starts] if well else [None]
                kept = None if None in kept else kept
                outcome = _Outcome(settings[name], at, list(records.values()), kept)
                outcomes.setdefault(key(outcome), []).append(outcome)
        return outcomes


def _table_row(outcomes: list[_Outcome], names: list[str]) -> dict[str, Any]:
    """Return the row of the table for one setting, from its outcomes in all outer folds."""
    records = [record for outcome in outcomes for record in outcome.records]
    complete = [outcome.scores() for outcome in outcomes if outcome.kept is not None]
    failed = sum(record["error"] is not None for record in records)
    counts = {"fits": len(records), "failed": failed, "folds": len(complete)}
    means = {name: [float(np.mean(each[name])) for each in complete] for name in names}
    return outcomes[0].setting | counts | _mean_and_spread(means)


def _choose(at: tuple[int, int], outcomes: list[_Outcome], names: list[str]) -> dict[str, Any]:
    """Choose a setting among the outcomes of an outer fold, by validation loss; return the dict of `Grid.chosen`."""
    complete = [outcome for outcome in outcomes if outcome.kept is not None]
    left_out = [outcome.setting for outcome in outcomes if outcome.kept is None]
    if complete:
        best = min(complete, key=_Outcome.loss) if len(complete) > 1 else complete[0]  # a single one needs no loss
        setting, scores, kept, error = best.setting, best.scores(), [record["name"] for record in best.kept], None
    else:
        setting, scores, kept = dict.fromkeys(outcomes[0].setting), {name: [] for name in names}, None
        records = [record for outcome in outcomes for record in outcome.records]
        errors = [record["error"] for record in records if record["error"] is not None]
        errors += [f"the validation loss of {record['name']} is nan" for record in records if _is_nan(record)]
        error = ": ".join(["of each setting a fit failed or is missing", *errors[:1]])
    rest = {"kept": kept, "left_out": left_out, "error": error}
    return {"repeat": at[0], "fold": at[1]} | setting | _mean_and_spread(scores) | rest


def _best_start(starts: list[Record]) -> Record | None:
    """Return the first record with the lowest validation loss, ignoring NaN; None where all are NaN.

    A single start needs no validation loss.
    """
    if len(starts) == 1 and "validation_loss" not in starts[0]["scores"]:
        return starts[0]
    return min((record for record in starts if not _is_nan(record)), key=_validation_loss, default=None)


def _is_nan(record: Record) -> bool:
    """Return whether the validation loss of a record is NaN."""
    return bool(np.isnan(record["scores"].get("validation_loss", 0.0)))


def _validation_loss(record: Record) -> float:
    """Return the validation loss of a record; ValueError where it has none."""
    if "validation_loss" not in record["scores"]:
        raise ValueError(f"records: expected a validation_loss, for a choice, got none for {record['name']}")
    return record["scores"]["validation_loss"]


def _mean_and_spread(scores: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the mean and the standard deviation (`..._spread`) of each list; None where it is empty."""
    found: dict[str, Any] = {}
    for name, values in scores.items():
        found[name] = float(np.mean(values)) if values else None
        found[f"{name}_spread"] = float(np.std(values)) if values else None
    return found


def joined(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table with each mean and its spread joined to one text, "0.52 +- 0.03"."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        mean = name.removesuffix("_spread")
        found[mean] = f"{figure(found[mean])} +- {figure(value, 2)}" if mean != name and value is not None else value
    return found


def scores_in_words(row: Mapping[str, Any]) -> str:
    """Return the means in a row and their spreads as one text."""
    return ", ".join(f"{name} {text}" for name, text in joined(row).items() if f"{name}_spread" in row)


def _sort_key(value: Any) -> tuple[int, Any]:
    """Return a sort key for values of mixed types: None first, then numbers, then others by their text."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    return 2, str(getattr(value, "__name__", value))  # the repr of a function has its address
