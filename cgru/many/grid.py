"""Grids of fits under nested cross-validation, as jobs, and run.

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
from cgru.many.cv_results import PLACE, RESERVED, SHOWN_PREFIXES, Grid
from cgru.many.folds import Splittable, classes_of
from cgru.many.jobs import OWN, Job, Result, SharedData, cost_of
from cgru.many.run import fit_many
from cgru.network.data.split import groups_of
from cgru.network.data.streaming import gathered
from cgru.network.data.training_data import names_in
from cgru.network.network import Network
from cgru.network.options import OPTIONS, Settings, Trait
from cgru.optimizers import check_number

__all__ = ["GridJob", "grid", "grid_jobs"]

AXIS = list | tuple | range  # of values; anything else is one


class GridJob(Job):
    """A job of a grid; its `place` is its setting with repeat, fold, inner (None without inner folds) and seed."""

    def __init__(self, place: dict[str, Any], network: Callable[[], Network], **rest: Any) -> None:
        said = {name: value for name, value in place.items() if name not in PLACE or value is not None}
        super().__init__(network, " ".join(f"{name}={_said(value)}" for name, value in said.items()), **rest)
        self.place = place

    def record(self, result: Result) -> dict[str, Any]:
        """What became of it, as `Grid` takes it."""
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
    """Fit `make(**setting)` for every setting in every fold; find by validation the best, by test how good that is.

        def make(units, seed):
            return cgru.Network([cgru.GRU(units), cgru.Dense(3, "softmax")], seed=seed)

        grid = cgru.grid(make, X, y, folds=5, inner_folds=4, seeds=3, units=[1, 2, 5], l1=[0, 1e-4], patience=10)
        grid.score()                            # honest: {"test_loss": ..., "test_loss_spread": ..., ...}

    In each repeat each outer fold is held out once, for the test. Each inner fold of the other samples validates once,
    while the rest trains: by it fits keep their best epoch (and stop, by `patience`), and the best of several `seeds`
    is kept. The setting with the lowest validation loss, the mean over the inner folds, is chosen for the outer fold;
    its honest score is the mean of what its networks, one for each inner fold, reach on the test samples. None is
    fitted anew to all that the outer fold leaves: nothing would be left by which such a fit could stop, or be chosen
    among several, so that it would be another method than the one that was tested.

    axes: a list, tuple or range has the values of an axis, anything else is one value for all. A name in the signature
        of `make` goes there, as does the seed, as `seed`; else it goes to `Network.fit`, where that takes it (`epochs`,
        `patience`, `l1`, `callback`, ...); and else to a `make` with `**options`.
    X, y, lengths, sample_weight, threads, executor, progress: as for `fit_many`.
    groups: (m,) strings or numbers; samples of one group are never on two sides.
    folds, inner_folds: a number of them, from 2 on, drawn by the number of the repeat (and of the outer fold): even in
        classes where each sample has one, or with `groups` of whole groups and about even in size. Or a splitter of
        scikit-learn, whatever has `split(X, y, groups)`; or, as `folds`, pairs (train, test) of rows, or None: nothing
        is held out for a test, and so there is no honest score.
    inner_folds: None: no fold is split again. With `validation=`, a share from 0 to 1, such a share of what trains
        validates, the same samples for all settings and seeds, of whole groups; without it there can be one setting and
        one seed alone.
    repeats: how often the outer folds are drawn.
    seeds: several starts of each fit: how many, from 0 on, or which.
    keep: "best": put the networks of the honest scores into the Grid's `networks`. They are fitted once more for that,
        to the same bits; meanwhile none need be held.

    A fit that fails has its error in its record; its setting cannot be chosen in that fold. Ctrl-C returns what is
    done, without those networks that are not fitted again; `missing` of the Grid says how much is not.

    TypeError or ValueError, before any fit, for arguments that are not what they should be, and where validation losses
    could not be compared: unlike losses, or an axis of class_weight, standardize_targets, shrink or metrics.
    """
    if keep not in (None, "best"):
        raise ValueError(f'keep: expected "best" or None, got {keep!r}')
    data = {"lengths": lengths, "sample_weight": sample_weight}
    split = {"groups": groups, "folds": folds, "inner_folds": inner_folds, "repeats": repeats, "seeds": seeds}
    jobs = grid_jobs(make, X, y, **data, **split, **axes)
    if keep == "best" and jobs[0].network().seed is None:
        raise ValueError('keep: expected None where networks have no seed, and cannot be fitted again, got "best"')
    run = partial(fit_many, X=X, y=y, **data, threads=threads, executor=executor, progress=progress)
    results = run(jobs, keep=False)
    done = [(job, result) for job, result in zip(jobs, results, strict=True) if _done(result)]
    found = Grid((job.record(result) for job, result in done), len(jobs) - len(done))
    if keep == "best" and not found.missing:
        kept = {(choice["repeat"], choice["fold"]): choice["kept"] for choice in found.chosen() if choice["kept"]}
        scores = {record["name"]: repr(record["scores"]) for record in found}
        names = {name for each in kept.values() for name in each}
        results = run([job for job in jobs if job.name in names])
        again = {result.name: result.network for result in results if repr(result.scores) == scores[result.name]}
        found.networks = {at: [again[name] for name in each] for at, each in kept.items() if again.keys() >= {*each}}
        if len(again) < len(names) and all(map(_done, results)):
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
    folds: Any = 5,
    inner_folds: Any = None,
    repeats: int = 1,
    seeds: int | Sequence[int] = 1,
    **axes: Any,
) -> list[GridJob]:
    """The jobs of such a `grid`, for `fit_many` with the same samples; their records make a `Grid`."""
    positive(repeats, "repeats")
    if repeats > 1 and not isinstance(folds, int | np.integer):
        raise ValueError(f"repeats: expected 1 unless folds is an integer, got {repeats}")
    if isinstance(inner_folds, list | tuple):
        raise TypeError(f"inner_folds: expected an integer, a splitter or None, got {type(inner_folds).__name__}")
    samples = SharedData(X, y, lengths, sample_weight).opened()
    if samples.X is None or not len(samples.X):
        raise ValueError(f"X: expected samples, got {'None' if samples.X is None else 'none'}")
    validation = axes.pop("validation", None)
    plan = _Plan(make, axes, seeds)
    _check_validation(validation, inner_folds, plan)
    first = plan.check(samples, validation is not None or inner_folds is not None)
    whole = Splittable(samples.X, samples.y, classes_of(first, samples.y), groups_of(groups, len(samples.X)))
    return [
        plan.job(i, {"repeat": repeat, "fold": fold, "inner": inner, "seed": seed}, rows, held_out, test)
        for repeat in range(repeats)
        for fold, (train, test) in enumerate(_outer(whole, folds, [repeat, 0]))
        for inner, rows, held_out in _inner(whole.within(train), inner_folds, validation, [repeat, 1 + fold])
        for i in range(len(plan.settings))
        for seed in plan.seeds
    ]


def _outer(whole: Splittable, folds: Any, seed: Sequence[int]) -> list[Any]:
    """The rows that each outer fold leaves, and those that it holds out for a test, None for all and for none."""
    return [(None, None)] if folds is None else whole.splits(folds, seed, "folds")


def _inner(
    part: Splittable, folds: Any, validation: float | None, seed: Sequence[int]
) -> Iterator[tuple[int | None, np.ndarray, np.ndarray | None]]:
    """Of what an outer fold leaves: the inner fold's number, the rows to train on and those to validate with."""
    if folds is not None:
        yield from ((i, *split) for i, split in enumerate(part.splits(folds, seed, "inner_folds")))
    elif validation is not None:
        yield None, *part.share(validation, seed)
    else:
        yield None, part.rows, None


class _Plan:
    """What is fitted in each fold: settings and seeds, and what of each goes where.

    Attributes:
        places: of each setting its values on the axes.
        settings: of each these and all else that is given.
        to_fit: the names of what goes to `Network.fit`.
        seeds: [None] where `make` takes none.
        costs: of each setting, for one sample; known after `check`.
    """

    def __init__(self, make: Callable[..., Network], axes: dict[str, Any], seeds: int | Sequence[int]) -> None:
        self.make = callable_(make, "make")
        parameters = inspect.signature(make).parameters.values()
        own = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        anything = any(p.kind == p.VAR_KEYWORD for p in parameters)
        for name, value in axes.items():
            if name == "seed":
                raise TypeError("seed: expected no setting of that name; seeds= has the seeds")
            if isinstance(value, AXIS) and (name in RESERVED or name.startswith(SHOWN_PREFIXES)):
                raise TypeError(f"{name}: expected another name for an axis, as results have this one")
            if name not in own and name not in OWN and not anything:
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
        """Make a network of each setting, to see what it costs and that they can be compared; return the first.

        The samples are what it takes, or ValueError says where they are not.
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
        X, y, lengths, weights = samples.select(None, first)
        spec = first.data_spec
        spec = spec._replace(class_names=names_in(spec, X, y, lengths))
        gathered(spec, X, y, lengths, weights)  # by the places among all samples
        return first

    def network(self, setting: dict[str, Any], seed: int | None) -> Callable[[], Network]:
        given = {name: value for name, value in setting.items() if name not in self.to_fit}
        return partial(self.make, **given) if seed is None else partial(self.make, **given, seed=seed)

    def options(self, setting: dict[str, Any]) -> dict[str, Any]:
        return {name: setting[name] for name in self.to_fit}

    def job(
        self, i: int, at: dict[str, Any], rows: np.ndarray | None, held_out: np.ndarray | None, test: np.ndarray | None
    ) -> GridJob:
        """That of setting i there."""
        split = {"rows": rows, "validation_rows": held_out, "test_rows": test}
        split["cost"] = self.costs[i] * (1 if rows is None else len(rows))  # all fits then have the same samples
        network = self.network(self.settings[i], at["seed"])
        return GridJob(self.places[i] | at, network, **split, **self.options(self.settings[i]))


def _values(value: Sequence[Any], name: str) -> list[Any]:
    """The values of an axis, numbers as Python has them; ValueError where there are none, or one comes twice."""
    values = [each.item() if isinstance(each, np.generic) else each for each in value]
    if not values:
        raise ValueError(f"{name}: expected one value at least, got none")
    said = [_said(each) for each in values]
    twice = [each for each in said if said.count(each) > 1]
    if twice:
        raise ValueError(f"{name}: expected values that differ in their names, got {twice[0]} more than once")
    return values


def _seeds(value: int | Sequence[int], seeded: bool) -> list[int | None]:
    if isinstance(value, int | np.integer):
        seeds = list(range(positive(value, "seeds")))
    else:
        seeds = integers(value, "seeds").ravel().tolist()
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds: expected a number of them, or such from 0 on that differ, got {seeds}")
    if len(seeds) > 1 and not seeded:
        raise ValueError(f"seeds: expected 1 for a make without a parameter of the name seed, got {len(seeds)}")
    return seeds if seeded else [None]


def _check_validation(value: Any, inner_folds: Any, plan: _Plan) -> None:
    if value is not None:
        if inner_folds is not None:
            raise ValueError(f"validation: expected None beside inner_folds, which validate, got {value}")
        check_number(value, "validation", below=1, above=True)
    elif inner_folds is None and (len(plan.settings) > 1 or len(plan.seeds) > 1):
        what = f"{len(plan.settings)} settings and {len(plan.seeds)} seeds"
        raise ValueError(f"inner_folds: expected some, or validation=0.2, to choose among {what}, got neither")


def _done(result: Result) -> bool:
    return not isinstance(result.error, KeyboardInterrupt)


def _said(value: Any) -> str:
    """A value in a name."""
    return value if isinstance(value, str) else getattr(value, "__name__", None) or repr(value)
