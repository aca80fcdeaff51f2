"""Grid search under nested cross-validation: `grid_jobs` makes the jobs, `grid` runs them and returns a `Grid`.

m samples.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cgru.core.checks import callable_, integers, positive
from cgru.many.cv_results import PLACE, RESERVED, SHOWN, Grid
from cgru.many.folds import Splittable, classes_of
from cgru.many.jobs import OWN, Job, Result, SharedData, cost_of
from cgru.many.run import fit_many
from cgru.network.data.split import encode_groups
from cgru.network.data.streaming import as_data
from cgru.network.data.training_data import find_class_names
from cgru.network.network import Network
from cgru.network.options import OPTIONS, Settings, Trait
from cgru.optimizers import check_number

__all__ = ["GridJob", "grid", "grid_jobs"]

NOT_SPLIT = [(None, None)]  # the only outer fold without `folds`: training rows, all, and test rows, none
AXIS = list | tuple | range  # types that list the values of an axis; anything else is a single value


class GridJob(Job):
    """A job of a grid.

    place: its setting, with `repeat`, `fold`, `inner` (the inner fold; None without inner folds) and `seed`.
    """

    def __init__(self, place: dict[str, Any], network: Callable[[], Network], **rest: Any) -> None:
        """Make the job of a `place`, named after it; `rest` are the other arguments of `Job`."""
        texts = {name: value for name, value in place.items() if name not in PLACE or value is not None}
        super().__init__(network, " ".join(f"{name}={_as_text(value)}" for name, value in texts.items()), **rest)
        self.place = place

    def record(self, result: Result) -> dict[str, Any]:
        """Return the record of this job for a `Grid`, from its result."""
        record = result.record()
        rest = {name: record[name] for name in ("seconds", "error")}
        return {"name": self.name, "place": self.place, "scores": result.scores} | rest


def grid(
    make: Callable[..., Network],
    X: Any,
    y: Any,
    *,
    lengths: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
    resets: Any = None,
    decay: Any = None,
    times: Any = None,
    folds: Any = 5,
    inner_folds: Any = None,
    repeats: int = 1,
    seeds: int | Sequence[int] = 1,
    keep: str | None = None,
    threads: int | None = None,
    executor: Any = None,
    progress: bool = False,
    **axes: Any,
) -> Grid:
    """Choose among settings by nested cross-validation: fit `make(**setting)` for each setting in each fold.

    Nested scores are honest (Varma and Simon, 2006, BMC Bioinformatics 7): nothing is chosen by the samples of a test.

    In each repeat each outer fold is held out once, for the test. Of the other samples each inner fold is held out
    once, for validation; the rest trains. The validation loss decides which epoch a fit keeps (and when it stops, by
    `patience`), and which of several `seeds` is kept. In each outer fold the setting with the lowest validation loss,
    the mean over inner folds, is chosen. Its nested score is the mean test score of its networks, one for each inner
    fold. There is no refit to all samples outside the outer fold: no validation data would be left to stop it or to
    choose a start, so it would be another method than the tested one.

    A fit that fails has its error in its record; its setting cannot be chosen in that fold. After Ctrl-C the Grid has
    the results so far, without networks that were not fitted again; `Grid.missing` is the number of the other fits.

    Args:
        make: a function that makes a `Network` of a setting.
        X: as for `fit_many`.
        y: as for `fit_many`.
        lengths: as for `fit_many`.
        sample_weight: as for `fit_many`.
        groups: (m,) strings or numbers; samples of one group are never split.
        resets: as for `fit_many`.
        decay: as for `fit_many`.
        times: as for `fit_many`.
        folds: the outer folds. None: nothing is held out for a test, and there is no nested score. One of:

            - Their number, at least 2. They are drawn from the number of the repeat: stratified where each sample has a
              class, or, with `groups`, of whole groups and about even in size.
            - A splitter of scikit-learn, any object with `split(X, y, groups)`.
            - Pairs (train, test) of rows.
        inner_folds: the inner folds, as `folds` but for pairs; their number is drawn from the number of the outer fold,
            too. None: outer folds are not split again. Then `validation=`, a share from 0 to 1, holds out so many of
            the training samples, whole groups, the same for all settings and seeds. Without it there can be only one
            setting and one seed.
        repeats: how often the outer folds are drawn.
        seeds: several starts of each fit: their number (seeds from 0 on), or a list of seeds.
        keep: "best": put the networks behind the nested scores into `Grid.networks`. They are fitted once more for
            that, to the same bits, so that no other network is held in memory. None: keep no network.
        threads: as for `fit_many`.
        executor: as for `fit_many`.
        progress: as for `fit_many`.
        **axes: the values of the axes: a list, tuple or range has the values of one, anything else is one value for
            all. A parameter of `make` is passed to `make`, as is the seed (`seed`). Otherwise an option of
            `Network.fit` (`epochs`, `patience`, `l1`, `callback`, ...) is passed to `fit`. All others are passed to a
            `make` with `**options`.

    Returns:
        The records of all fits, with tables, choices and the nested score.

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
        >>> [row["units"] for row in grid.table()]
        [1, 2]
    """
    if keep not in (None, "best"):
        raise ValueError(f'keep: expected "best" or None, got {keep!r}')
    data = {"lengths": lengths, "sample_weight": sample_weight, "resets": resets, "decay": decay, "times": times}
    split = {"groups": groups, "folds": folds, "inner_folds": inner_folds, "repeats": repeats, "seeds": seeds}
    jobs = grid_jobs(make, X, y, **data, **split, **axes)
    if keep == "best" and jobs[0].network().seed is None:
        raise ValueError('keep: expected None where networks have no seed, and cannot be fitted again, got "best"')
    run = partial(fit_many, X=X, y=y, **data, threads=threads, executor=executor, progress=progress)
    results = run(jobs, keep=False)
    done = [(job, result) for job, result in zip(jobs, results, strict=True) if _is_done(result)]
    found = Grid((job.record(result) for job, result in done), len(jobs) - len(done))
    if keep == "best" and not found.missing:
        kept = {(choice["repeat"], choice["fold"]): choice["kept"] for choice in found.chosen() if choice["kept"]}
        scores = {record["name"]: repr(record["scores"]) for record in found}
        names = {name for each in kept.values() for name in each}
        results = run([job for job in jobs if job.name in names])
        again = {result.name: result.network for result in results if repr(result.scores) == scores[result.name]}
        found.networks = {at: [again[name] for name in each] for at, each in kept.items() if again.keys() >= {*each}}
        if len(again) < len(names) and all(map(_is_done, results)):
            words = f"grid: {len(names) - len(again)} of {len(names)} fits did not come to the same the second time"
            warnings.warn(f"{words}; networks lacks their folds", RuntimeWarning, stacklevel=2)
    return found


def grid_jobs(
    make: Callable[..., Network],
    X: Any,
    y: Any,
    *,
    lengths: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
    resets: Any = None,
    decay: Any = None,
    times: Any = None,
    folds: Any = 5,
    inner_folds: Any = None,
    repeats: int = 1,
    seeds: int | Sequence[int] = 1,
    **axes: Any,
) -> list[GridJob]:
    """Return the jobs of `grid` with these arguments, for `fit_many` with the same data."""
    positive(repeats, "repeats")
    if repeats > 1 and not isinstance(folds, int | np.integer):
        raise ValueError(f"repeats: expected 1 unless folds is an integer, got {repeats}")
    if isinstance(inner_folds, list | tuple):
        raise TypeError(f"inner_folds: expected an integer, a splitter or None, got {type(inner_folds).__name__}")
    samples = SharedData(X, y, lengths, sample_weight, None, resets, decay, times).opened()
    if samples.X is None or not len(samples.X):
        raise ValueError(f"X: expected samples, got {'None' if samples.X is None else 'none'}")
    validation = axes.pop("validation", None)
    plan = _Settings(make, axes, seeds)
    _check_validation(validation, inner_folds, plan)
    first = plan.check(samples, validation is not None or inner_folds is not None)
    whole = Splittable(samples.X, samples.y, classes_of(first, samples.y), encode_groups(groups, len(samples.X)))
    return [
        plan.job(i, {"repeat": repeat, "fold": fold, "inner": inner, "seed": seed}, rows, held_out, test)
        for repeat in range(repeats)
        for fold, (train, test) in enumerate(NOT_SPLIT if folds is None else whole.splits(folds, [repeat, 0], "folds"))
        for inner, rows, held_out in _inner_folds(whole.within(train), inner_folds, validation, [repeat, 1 + fold])
        for i in range(len(plan.settings))
        for seed in plan.seeds
    ]


def _inner_folds(
    part: Splittable, folds: Any, validation: float | None, seed: Sequence[int]
) -> Iterator[tuple[int | None, np.ndarray, np.ndarray | None]]:
    """Yield (number of the inner fold or None, training rows, validation rows or None) of the samples in `part`."""
    if folds is not None:
        yield from ((i, *split) for i, split in enumerate(part.splits(folds, seed, "inner_folds")))
    elif validation is not None:
        yield None, *part.share(validation, seed)
    else:
        yield None, part.rows, None


class _Settings:
    """The settings and seeds that are fitted in each fold, with each value sorted to `make` or to `Network.fit`.

    Attributes:
        places: for each setting its values on the axes.
        settings: for each setting its values on the axes and the fixed ones.
        to_fit: the names that are passed to `Network.fit`.
        seeds: the seeds; [None] where `make` takes no seed.
        costs: for each setting its cost for one sample; known after `check`.
    """

    def __init__(self, make: Callable[..., Network], axes: dict[str, Any], seeds: int | Sequence[int]) -> None:
        """Assign each of `axes` (a list of values, or one value) to `make` or `Network.fit`; combine their values."""
        self.make = callable_(make, "make")
        parameters = inspect.signature(make).parameters.values()
        own = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
        for name, value in axes.items():
            if name == "seed":
                raise TypeError("seed: expected no setting of that name; seeds= has the seeds")
            if isinstance(value, AXIS) and (name in RESERVED or name.startswith(SHOWN)):
                raise TypeError(f"{name}: expected another name for an axis, as results have this one")
            if name not in own and name not in OWN and not takes_any:
                due = f"a parameter of make ({', '.join(own)}) or an option of Network.fit ({', '.join(sorted(OWN))})"
                raise TypeError(f"{name}: expected {due}")
        self.to_fit = [name for name in axes if name not in own and name in OWN]
        if "checkpoint" in self.to_fit:
            raise TypeError("checkpoint: expected none, as all fits would write that one file")
        values = {name: _values(value, name) for name, value in axes.items() if isinstance(value, AXIS)}
        fixed = {name: value for name, value in axes.items() if name not in values}
        for name in self.to_fit:
            if Trait.UNLIKE in OPTIONS[name].traits and len(values.get(name, ())) > 1:
                raise ValueError(f"{name}: expected one value, as scores under several cannot be compared")
        self.places = [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
        self.settings = [fixed | place for place in self.places]
        self.seeds = _seeds(seeds, "seed" in own)
        self.costs: list[float] = []

    def check(self, samples: SharedData, validated: bool) -> Network:
        """Check each setting by making its network, and estimate its cost; return the first network.

        `validated`: whether the fits validate. ValueError where losses cannot be compared, or the first network does
        not accept the samples.
        """
        first = None
        for setting in self.settings:
            net = self.network(setting, self.seeds[0])()
            if not isinstance(net, Network):
                raise TypeError(f"make: expected a function that makes a Network, got {type(net).__name__} of it")
            first = first or net
            if net.loss != first.loss:
                raise ValueError(f"make: expected the same loss for all settings, got {first.loss} and {net.loss}")
            options = self.options(setting)
            Settings(**options, validation=validated or None)
            self.costs.append(cost_of(Job(net, **options), samples) / len(samples.X))
        X, y, lengths, weights, beside = samples.select(None, first)
        spec = first.data_spec
        spec.class_names = find_class_names(spec, X, y, lengths)
        as_data(spec, X, y, lengths, weights, beside)  # checks all samples: errors count them as the user does
        return first

    def network(self, setting: dict[str, Any], seed: int | None) -> Callable[[], Network]:
        """Return a function without arguments that makes the network of a setting."""
        given = {name: value for name, value in setting.items() if name not in self.to_fit}
        return partial(self.make, **given) if seed is None else partial(self.make, **given, seed=seed)

    def options(self, setting: dict[str, Any]) -> dict[str, Any]:
        """Return the options of `Network.fit` in a setting."""
        return {name: setting[name] for name in self.to_fit}

    def job(
        self, i: int, at: dict[str, Any], rows: np.ndarray | None, held_out: np.ndarray | None, test: np.ndarray | None
    ) -> GridJob:
        """Return the job of setting i at a place, with the rows that train, validate and test."""
        split = {"rows": rows, "validation_rows": held_out, "test_rows": test}
        split["cost"] = self.costs[i] * (1 if rows is None else len(rows))  # as if all samples were equally long
        network = self.network(self.settings[i], at["seed"])
        return GridJob(self.places[i] | at, network, **split, **self.options(self.settings[i]))


def _values(value: Sequence[Any], name: str) -> list[Any]:
    """Return the values of an axis, NumPy scalars as Python numbers; ValueError where it is empty or has duplicates."""
    values = [each.item() if isinstance(each, np.generic) else each for each in value]
    if not values:
        raise ValueError(f"{name}: expected one value at least, got none")
    texts = [_as_text(each) for each in values]
    duplicates = [each for each in texts if texts.count(each) > 1]
    if duplicates:
        raise ValueError(f"{name}: expected values that differ in their names, got {duplicates[0]} more than once")
    return values


def _seeds(value: int | Sequence[int], seeded: bool) -> list[int | None]:
    """Return the list of seeds; [None] where `make` takes no seed (not `seeded`)."""
    if isinstance(value, int | np.integer):
        seeds = list(range(positive(value, "seeds")))
    else:
        seeds = integers(value, "seeds").ravel().tolist()
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds: expected a number of them, or such from 0 on that differ, got {seeds}")
    if len(seeds) > 1 and not seeded:
        raise ValueError(f"seeds: expected 1 for a make without a parameter of the name seed, got {len(seeds)}")
    return seeds if seeded else [None]


def _check_validation(value: Any, inner_folds: Any, plan: _Settings) -> None:
    """Check that not both `validation` and `inner_folds` are given, and one of them where there is a choice."""
    if value is not None:
        if inner_folds is not None:
            raise ValueError(f"validation: expected None beside inner_folds, which validate, got {value}")
        check_number(value, "validation", below=1, above=True)
    elif inner_folds is None and (len(plan.settings) > 1 or len(plan.seeds) > 1):
        what = f"{len(plan.settings)} settings and {len(plan.seeds)} seeds"
        raise ValueError(f"inner_folds: expected some, or validation=0.2, to choose among {what}, got neither")


def _is_done(result: Result) -> bool:
    """Return whether a job was run to its end, not interrupted; it may have failed."""
    return not isinstance(result.error, KeyboardInterrupt)


def _as_text(value: Any) -> str:
    """Return a value as text for the name of a job."""
    return value if isinstance(value, str) else getattr(value, "__name__", None) or repr(value)
