"""`grid`: choose among settings by nested cross-validation; `Grid`: its records, the choices and the nested score.

m samples.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cgru.core.checks import callable_, integers, positive
from cgru.many.jobs import DATA, OWN, Job, SharedData
from cgru.many.run import fit_many
from cgru.network.data.split import classes_to_split, draw_folds, encode_groups
from cgru.network.data.streaming import as_data
from cgru.network.data.training_data import find_class_names
from cgru.network.network import Network
from cgru.network.options import OPTIONS, Settings, Trait

__all__ = ["Grid", "grid"]

Record = dict[str, Any]
Rows = np.ndarray | None


class Grid(list[Record]):
    """The results of `grid`: a list of records, one for each fit, from which settings are chosen and scored.

    A record is a plain dict: `setting` (a dict), `fold`, `inner` and `seed` say which fit it is; `scores` are those of
    its `Result`, `seconds` its duration, `error` a text or None. `pandas.json_normalize(grid)` makes a table of them.
    `Grid(records)` takes them in any order, such as from a file.

    Examples:
        >>> def record(fold, units, validation, test):
        ...     scores = {"validation_loss": validation, "test_loss": test}
        ...     return {"setting": {"units": units}, "fold": fold, "inner": 0, "scores": scores, "error": None}
        >>> first = [record(0, 1, 0.5, 0.5), record(0, 2, 0.25, 0.25)]
        >>> grid = cgru.Grid([*first, record(1, 1, 0.25, 0.75), record(1, 2, 0.5, 0.25)])
        >>> [choice["setting"] for choice in grid.chosen()]
        [{'units': 2}, {'units': 1}]
        >>> grid.score()
        {'test_loss': 0.5, 'test_loss_spread': 0.25, 'folds': 2}
    """

    @property
    def missing(self) -> int:
        """Return the number of fits that are not done, after a Ctrl-C."""
        return sum((record["error"] or "").startswith("KeyboardInterrupt") for record in self)

    def chosen(self) -> list[dict[str, Any]]:
        """Choose the setting with the lowest validation loss in each outer fold.

        Of several seeds the one with the lowest validation loss counts, in each inner fold. The validation loss of a
        setting is the mean over inner folds. A setting cannot be chosen where a fit of it failed.

        Returns:
            A dict for each outer fold: `fold`; `setting`, None where none can be chosen; `scores`, the means over inner
            folds; and `records`, one for each inner fold.
        """
        folds: dict[Any, dict[str, dict[Any, list[Record]]]] = {}
        for record in self:
            inner = folds.setdefault(record["fold"], {}).setdefault(repr(record["setting"]), {})
            inner.setdefault(record["inner"], []).append(record)
        found = []
        for fold, settings in folds.items():
            candidates = [[_best_start(starts) for starts in inner.values()] for inner in settings.values()]
            whole = [records for records in candidates if None not in records]
            best = min(whole, key=_mean_loss) if len(whole) > 1 else (whole or [[]])[0]
            names = best[0]["scores"] if best else ()
            scores = {name: float(np.mean([record["scores"][name] for record in best])) for name in names}
            setting = best[0]["setting"] if best else None
            found.append({"fold": fold, "setting": setting, "scores": scores, "records": best})
        return found

    def score(self) -> dict[str, float]:
        """Return the nested score: the mean of the test scores of `chosen` over the outer folds, and their spread.

        Returns:
            The means by name, their standard deviations as `..._spread`, and the number of `folds`.

        Raises:
            ValueError: fits are missing, or no setting can be chosen in a fold, or no samples are held out for a test.
        """
        if self.missing:
            raise ValueError(f"score: expected all fits, got {self.missing} missing; call grid again with store=")
        chosen = self.chosen()
        for choice in chosen:
            if choice["setting"] is None:
                errors = [record["error"] for record in self if record["fold"] == choice["fold"] and record["error"]]
                raise ValueError(f"score: in fold {choice['fold']} a fit of each setting failed: {errors[:1]}")
        found: dict[str, float] = {}
        for name in chosen[0]["scores"] if chosen else ():
            if name.startswith("test_"):
                values = [choice["scores"][name] for choice in chosen]
                found |= {name: float(np.mean(values)), f"{name}_spread": float(np.std(values))}
        if not found:
            raise ValueError("score: expected folds that hold samples out for a test, got none")
        return found | {"folds": len(chosen)}

    def __repr__(self) -> str:
        failed = sum(record["error"] is not None for record in self)
        return f"Grid({len(self)} fits, {failed} failed, {self.missing} missing)"


def _best_start(starts: list[Record]) -> Record | None:
    """Return the record with the lowest validation loss; None if a fit failed or all losses are NaN."""
    if any(record["error"] is not None for record in starts):
        return None
    if len(starts) == 1 and "validation_loss" not in starts[0]["scores"]:
        return starts[0]
    known = [record for record in starts if not np.isnan(record["scores"]["validation_loss"])]
    return min(known, key=lambda record: record["scores"]["validation_loss"], default=None)


def _mean_loss(records: list[Record]) -> float:
    """Return the mean of the validation losses."""
    return float(np.mean([record["scores"]["validation_loss"] for record in records]))


def grid(
    make: Callable[..., Network],
    X: Any,
    y: Any,
    *,
    folds: Any = 5,
    inner_folds: Any = None,
    seeds: int | Sequence[int] = 1,
    keep: bool = False,
    threads: int | None = None,
    executor: Any = None,
    store: Any = None,
    progress: bool = False,
    **options: Any,
) -> Grid:
    """Choose among settings by nested cross-validation: fit `make(**setting)` for each setting in each fold.

    Nested scores are honest (Varma and Simon, 2006, BMC Bioinformatics 7): nothing is chosen by the samples of a test.

    Each outer fold is held out once, for the test. Of the other samples each inner fold is held out once, for
    validation; the rest trains. The validation loss decides which epoch a fit keeps (and when it stops, by `patience`),
    and which of several `seeds` is kept. In each outer fold the setting with the lowest validation loss, the mean over
    inner folds, is chosen. Its nested score is the mean test score of its networks, one for each inner fold. There is
    no refit to all samples outside the outer fold: no validation data would be left to stop it or to choose a seed.

    Args:
        make: a function that makes a `Network` of a setting.
        X: as for `fit_many`.
        y: as for `fit_many`.
        folds: the outer folds. None: nothing is held out for a test, and there is no nested score. One of:

            - Their number, at least 2: stratified where each sample has a class, or, with `groups`, of whole groups and
              about even in size.
            - A splitter of scikit-learn, any object with `split(X, y, groups)`.
            - Pairs (train, test) of rows.
        inner_folds: the inner folds, likewise; `ShuffleSplit(1, test_size=0.2)` of scikit-learn holds a share out.
            None: outer folds are not split again, which is possible for one setting and one seed.
        seeds: several starts of each fit: their number (seeds from 0 on), or a list of seeds.
        keep: whether records have their `network`, too.
        threads: as for `fit_many`.
        executor: as for `fit_many`.
        store: as for `fit_many`.
        progress: as for `fit_many`.
        **options: a list, tuple or range has the values of an axis, anything else is one value for all. A parameter of
            `make` is passed to `make`, as is the seed (`seed`). Otherwise an option of `Network.fit` (`epochs`,
            `patience`, `l1`, `callback`, ...) is passed to `fit`. All others are passed to a `make` with `**options`.
            `lengths`, `sample_weight` and `groups` are arrays as for `fit_many`; samples of one group are never split.

    Returns:
        The records of all fits, with the choices and the nested score.

    Raises:
        TypeError, ValueError: before any fit: an argument is invalid, or validation losses could not be compared:
            different loss functions, or an axis of class_weight, standardize_targets, shrink or metrics.

    Examples:
        >>> def make(units, seed):
        ...     return cgru.Network([cgru.GRU(units), cgru.Dense(2, "softmax")], seed=seed)
        >>> X, y = np.ones((24, 5, 2)), np.arange(24) % 2
        >>> grid = cgru.grid(make, X, y, folds=3, inner_folds=2, seeds=2, units=[1, 2], epochs=1, patience=5)
        >>> len(grid), grid.score()["folds"]  # 3 outer folds of 2 inner ones, 2 seeds and 2 settings
        (24, 3)
    """
    data = {name: options.pop(name, None) for name in DATA}
    samples = SharedData(X, y, **data | {"groups": None}).opened()
    if samples.X is None or not len(samples.X):
        raise ValueError(f"X: expected samples, got {'None' if samples.X is None else 'none'}")
    parameters = inspect.signature(callable_(make, "make")).parameters.values()
    own = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    to_fit = _options_of_fit(options, own, any(each.kind == each.VAR_KEYWORD for each in parameters))
    axes = {name: list(value) for name, value in options.items() if isinstance(value, list | tuple | range)}
    for name, values in axes.items():
        if not values or len(set(map(repr, values))) < len(values):
            raise ValueError(f"{name}: expected values that differ, got {values}")
        if name in to_fit and Trait.UNLIKE in OPTIONS[name].traits and len(values) > 1:
            raise ValueError(f"{name}: expected one value, as scores under several cannot be compared, got {values}")
    settings = [dict(zip(axes, each, strict=True)) for each in itertools.product(*axes.values())]
    if isinstance(seeds, int | np.integer):
        seeds = range(positive(seeds, "seeds"))
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: expected a number of them, or such that differ, got {seeds}")
    starts: list[dict[str, int]] = [{"seed": seed} for seed in integers(list(seeds), "seeds").tolist()]
    if "seed" not in own:
        if len(starts) > 1:
            raise ValueError(f"seeds: expected 1 for a make without a parameter seed, got {len(starts)}")
        starts = [{}]
    if inner_folds is None and len(settings) * len(starts) > 1:
        what = f"{len(settings)} settings and {len(starts)} seeds"
        raise ValueError(f"inner_folds: expected some, such as 5, to choose among {what}, got None")
    makes, fits, first = [], [], None
    for setting in settings:
        fits.append({name: value for name, value in (options | setting).items() if name in to_fit})
        given = {name: value for name, value in (options | setting).items() if name not in to_fit}
        makes.append([partial(make, **given, **start) for start in starts])
        net = makes[-1][0]()
        if not isinstance(net, Network):
            raise TypeError(f"make: expected a function that makes a Network, got {type(net).__name__} of it")
        first = first or net
        if net.loss != first.loss:
            raise ValueError(f"make: expected the same loss for all settings, got {first.loss} and {net.loss}")
        Settings(**fits[-1], validation=None if inner_folds is None else 0.5)
    spec, (X_all, y_all, *rest) = first.data_spec, samples.select(None)
    spec.class_names = find_class_names(spec, X_all, y_all, rest[0])
    as_data(spec, X_all, y_all, *rest)  # its errors count all samples, as the user does
    split = _Splitter(samples, classes_to_split(first, samples.y), encode_groups(data["groups"], len(samples.X)))
    jobs, records = [], []
    for fold, (rest, test) in enumerate(split(folds, np.arange(len(samples.X)), [0, 0], "folds")):
        for inner, (rows, held_out) in enumerate(split(inner_folds, rest, [0, 1 + fold], "inner_folds")):
            for i, setting in enumerate(settings):
                for start, network in zip(starts, makes[i], strict=True):
                    parts = {"rows": rows, "validation_rows": held_out, "test_rows": test}
                    jobs.append(Job(network, **parts, **fits[i]))
                    records.append({"setting": setting, "fold": fold, "inner": inner, "seed": start.get("seed")})
    shared = data | {"threads": threads, "executor": executor, "store": store, "progress": progress, "groups": None}
    results = fit_many(jobs, X, y, **shared, keep=keep)
    for record, result in zip(records, results, strict=True):
        record |= {"scores": result.scores, "seconds": result.seconds, "error": result.record()["error"]}
        record |= {"network": result.network} if keep else {}
    return Grid(records)


def _options_of_fit(options: dict[str, Any], own: set[str], takes_any: bool) -> set[str]:
    """Return the names of the options to pass to `Network.fit` rather than to `make`, whose parameters are `own`."""
    for name in options:
        if name not in own | OWN and not takes_any:
            due = f"a parameter of make ({', '.join(sorted(own))}) or an option of Network.fit"
            raise TypeError(f"{name}: expected {due} ({', '.join(sorted(OWN))})")
    to_fit = {name for name in options if name not in own and name in OWN}
    if "seed" in options:
        raise TypeError("seed: expected no option of that name; seeds= has the seeds")
    if "checkpoint" in to_fit:
        raise TypeError("checkpoint: expected none, as all fits would write that one file; store= keeps results")
    if "validation" in to_fit:
        raise TypeError("validation: expected none; inner_folds= validates, such as ShuffleSplit(1, test_size=0.2)")
    return to_fit


class _Splitter:
    """Splits samples into folds; `classes` and `groups` (m,) are integers or None."""

    def __init__(self, samples: SharedData, classes: Rows, groups: Rows) -> None:
        self.samples, self.classes, self.groups = samples, classes, groups

    def __call__(self, folds: Any, rows: np.ndarray, seed: list[int], name: str) -> list[tuple[np.ndarray, Rows]]:
        """Split the samples `rows` into pairs (rows to train on, rows held out); ValueError if the two overlap."""
        if folds is None:
            return [(rows, None)]
        X, classes, groups = (None if a is None else a[rows] for a in (self.samples.X, self.classes, self.groups))
        if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
            fold = draw_folds(len(rows), int(folds), seed, classes, groups, name)
            pairs = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(int(folds))]
        elif hasattr(folds, "split") and not isinstance(folds, str | type):
            pairs = list(folds.split(X, self.samples.y[rows] if classes is None else classes, groups))
        elif isinstance(folds, list | tuple) and folds:
            pairs = [tuple(map(np.asarray, pair)) for pair in folds]
        else:
            due = "a number, a splitter of scikit-learn or a list of pairs (train, test)"
            raise TypeError(f"{name}: expected {due}, got {folds!r}")
        found = []
        for i, (train, test) in enumerate(pairs):
            kept, held_out = rows[train], rows[test]
            for what, of in (("samples", np.arange(len(self.samples.X))), ("groups", self.groups)):
                if of is not None and np.intersect1d(of[kept], of[held_out]).size:
                    raise ValueError(f"{name}[{i}]: expected {what} either to train on or held out, got some in both")
            found.append((kept, held_out))
        return found
