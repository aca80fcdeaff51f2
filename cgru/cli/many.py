"""`cgru many`: run the fits of a plan and print a table, the choices and the nested score; resume a stopped run.

m samples.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import cgru
from cgru import recipe
from cgru.cli.arguments import ManyRequest, RequestError, as_request_error
from cgru.cli.data import as_keys, read_as, spelled_notes, with_axes
from cgru.cli.executors import executor_of
from cgru.cli.output import check_output
from cgru.cli.plan import FIT, NETWORK, Plan, read_plan
from cgru.cli.progress import FitCounter, say
from cgru.cli.results import Results, job_key
from cgru.cli.task import Task, at_steps, choose_network, decays, loss_of, task_of
from cgru.cli.terminal import echo
from cgru.datasets import Split
from cgru.datasets.missing_values import MISSING
from cgru.input_layers import parse
from cgru.many import Result, fit_many
from cgru.many.cv_results import Grid, joined, scores_in_words
from cgru.many.dispatch import OtherVersionError
from cgru.many.grid import GridJob, grid_jobs
from cgru.network.data.split import encode_groups
from cgru.network.data.training_data import check_data, class_weights, weigh_by_class
from cgru.network.options import Settings
from cgru.network.training.fit import Fit
from cgru.recipe import Recipe

__all__ = ["many"]


def many(request: ManyRequest) -> int:
    """Run `cgru many` and return the exit code; errors in the plan or the data are raised before the first fit."""
    plan = read_plan(request.plan)
    path = plan.results if request.results is None else request.results
    check_output(path, plan.path, plan.data)
    data = read_as(plan.data, {**plan.reading, "groups": plan.groups}, as_keys)
    task = task_of(data, plan.data)
    samples = data.train._replace(y=task.train)
    if decays(data):
        due = ", ".join(each for each in MISSING if each != recipe.DECAY)
        raise RequestError(f"{plan.path}: missing: expected one of {due}, got decay, which cgru fit has")
    with as_request_error(f"{plan.data}: "):
        groups = encode_groups(data.groups, len(samples.X))
    jobs = {job_key(job.place): job for job in _make_jobs(plan, task, samples, groups)}
    header = {"cgru": cgru.__version__, "plan": plan.described(), "data": _digests(samples, task.names, groups)}
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(executor_of(request.threads, request.processes, request.executor))
        results = stack.enter_context(Results(path, header))
        known = results.records
        if request.retry:
            for place in [place for place in jobs if place in known and known[place]["error"] is not None]:
                del known[place]
        left = {place: job for place, job in jobs.items() if place not in known}
        progress = stack.enter_context(FitCounter(len(jobs), len(jobs) - len(left), request.quiet))
        data = with_axes(data, plan.data, plan.reading, asks=False)
        progress.say(*_summary(plan, jobs, left, results, groups), *spelled_notes(data, as_keys))
        interrupted = _fit_and_store(left, samples, groups, results, progress, request.threads, executor)
        # Names and places with the plan's order of keys, which results need not have.
        done = [known[place] | {"name": job.name, "place": job.place} for place, job in jobs.items() if place in known]
    failed = [record for record in done if record["error"] is not None]
    first = f"; the first: {failed[0]['name']}: {failed[0]['error']}" if failed else ""
    if interrupted:
        on = f"the same command goes on from {path}"
        return say(f"cgru: interrupted: {len(done)} of {len(jobs)} fits are done; {on}", 130)
    if len(failed) == len(jobs):
        raise RequestError(f"all {len(jobs)} fits failed, which --retry runs again{first}")
    with as_request_error(f"{path}: "):
        lines = list(_result_lines(Grid(done), plan))
    echo(*lines, sep="\n")
    if failed:
        say(f"note: {len(failed)} of {len(jobs)} fits failed, which --retry runs again{first}")
    return 0


# --- jobs ---


def _make_jobs(plan: Plan, task: Task, samples: Split, groups: np.ndarray | None) -> list[GridJob]:
    """Return all jobs of the plan; RequestError where one of them could not be fitted to the samples."""
    fixed = _resolve_defaults(plan, task)
    make = functools.partial(_network, task._replace(train=task.train[:1], test=None))
    places = [dict(zip(plan.axes, each, strict=True)) for each in itertools.product(*plan.axes.values())]
    _check_settings(plan, make, fixed, places, samples)
    with as_request_error(f"{plan.path}: "):
        if plan.folds is None and plan.validation is None and len(places) * plan.seeds > 1:
            raise ValueError("validation: expected a share by which to choose among fits, or folds, got none")
        split = {name: getattr(plan, name) for name in ("folds", "inner_folds", "repeats", "seeds", "validation")}
        split |= {"lengths": samples.lengths, "groups": groups}
        return grid_jobs(make, samples.X, samples.y, **split, **fixed, **plan.axes)


def _network(
    task: Task, *, seed: int, budget: float, causal: bool, training_data: Any = None, **options: Any
) -> cgru.Network:
    """Build the network of a setting: the options of a `Recipe`, which is chosen where it is open.

    training_data: the samples that it will be trained on, and the options of the fit; None: it will not be trained.
    """
    recipe = Recipe.of(options | {"bidirectional": options["bidirectional"] and not causal})
    if training_data is None:
        return task.network(recipe, [] if recipe.is_open else parse(recipe.inputs, causal=causal), seed=seed)
    samples, fit = training_data
    split, weights = Split(samples.X, samples.y, samples.lengths), samples.sample_weight
    net, _ = choose_network(task, recipe, split, samples.groups, fit, seed=seed, budget=budget, sample_weight=weights)
    return net


def _resolve_defaults(plan: Plan, task: Task) -> dict[str, Any]:
    """Return the plan's fixed values, with defaults that depend on the data; RequestError where they do not fit it."""
    fixed = dict(plan.fixed)
    fixed["loss"] = loss_of(task.names, fixed["loss"], f"{plan.path}: [network] loss: {plan.data}")
    if at_steps(task.train) and fixed.get("pool", "axis") not in (None, "last"):
        raise RequestError(f"{plan.path}: [network] pool: {plan.data} has a target for each step: nothing is pooled")
    if fixed["standardize_targets"] is None:
        fixed["standardize_targets"] = cgru.losses.named(fixed["loss"]).can_standardize
    size, epochs = (fixed.get(name) for name in ("batch_size", "epochs"))
    if "batch_size" in plan.axes and "epochs" not in plan.axes and epochs is None:
        raise RequestError(f"{plan.path}: [fit] epochs: expected a number beside several of batch_size, got none")
    size, epochs = recipe.budget(len(task.train), size, epochs)
    return fixed | {name: value for name, value in (("batch_size", size), ("epochs", epochs)) if name in fixed}


def _check_settings(
    plan: Plan, make: Callable[..., cgru.Network], fixed: dict[str, Any], places: list[dict[str, Any]], samples: Split
) -> None:
    """Check that a fit accepts the data and each setting, a place with the `fixed` values; RequestError otherwise."""
    judged = plan.inner_folds is not None or plan.validation is not None
    data = None
    for place in places:
        label = " ".join(f"{name}={value}" for name, value in place.items())
        network, fit = ({name: value for name, value in (fixed | place).items() if name in of} for of in (NETWORK, FIT))
        with as_request_error(f"{plan.path}: {label}{': ' if label else ''}"):
            net = make(seed=0, **network)
            if data is None:  # the same for all settings
                with as_request_error(f"{plan.data}: "):
                    data = check_data(net.data_spec, samples.X, samples.y, samples.lengths)
            settings = Settings(**fit, validation=0.5 if judged else None)
            weights = class_weights(net.data_spec, data, settings.class_weight)
            Fit(
                net, weigh_by_class(cgru.losses.named(net.loss), data, weights), None, settings, np.random.default_rng()
            )


def _digests(samples: Split, names: tuple[str, ...] | None, groups: np.ndarray | None) -> dict[str, str]:
    """Return a digest of each array of the data, to tell whether results are of the same data."""
    arrays = {"x": samples.X, "y": samples.y, "lengths": samples.lengths, "groups": groups}
    found = {name: _digest(array) for name, array in arrays.items() if array is not None}
    return found if names is None else found | {"class_names": _digest(np.array(names))}


def _digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array with its dtype and shape."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


# --- fits ---


def _summary(
    plan: Plan, jobs: dict[str, GridJob], left: dict[str, GridJob], results: Results, groups: np.ndarray | None
) -> Iterator[str]:
    """Yield lines before the fits: how many there are, are done, and are held back for validation."""
    yield f"{plan.path}: {len(jobs)} fits, {len(jobs) - len(left)} of them done in {results.path}"
    if groups is not None and plan.folds is None:
        rows = next(iter(jobs.values())).validation_rows
        counts = f"{len(set(groups[rows]))} of {len(set(groups))} groups ({plan.groups or 'series'})"
        yield f"held back {counts}, {len(rows)} of {len(groups)} sequences"
    others = len(results.records.keys() - jobs.keys())
    if others:
        yield f"note: {others} more results there are of values that the plan no longer has"


def _fit_and_store(
    left: dict[str, GridJob], samples: Split, groups: np.ndarray | None, results: Results, progress: FitCounter,
    threads: int | None, executor: Any,
) -> bool:  # fmt: skip
    """Fit the jobs `left` and store their records in `results`; return whether Ctrl-C interrupted it."""
    jobs = {job.name: job for job in left.values()}
    refused = []  # errors of workers with another version: these jobs are not done

    def note(result: Result) -> None:
        """Store the record of a job, unless its worker refused it, and show that it is done."""
        if isinstance(result.error, OtherVersionError):
            refused.append(result.error)
            return
        results.add(jobs[result.name].record(result))
        progress(result.error is not None)

    options = {"lengths": samples.lengths, "groups": groups, "threads": threads, "executor": executor, "keep": False}
    with warnings.catch_warnings():
        for message in ("fit_many: interrupted", "X: .* sequences of one step"):  # the command prints these itself
            warnings.filterwarnings("ignore", message)
        try:
            found = fit_many(list(left.values()), samples.X, samples.y, callback=note, **options)
        except KeyboardInterrupt:  # a second one, while `fit_many` was ending
            return True
    for place, result in zip(left, found, strict=True):
        if place not in results.records and not isinstance(result.error, KeyboardInterrupt):
            note(result)
    if refused:
        raise RequestError(str(refused[0].__cause__))
    return any(place not in results.records for place in left)


# --- results ---


def _result_lines(grid: Grid, plan: Plan) -> Iterator[str]:
    """Yield the lines to print: the table of settings, the setting chosen in each outer fold, and the nested score."""
    rows = [joined(row) for row in grid.table()]
    lines = [list(rows[0]), *([_as_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    yield ""
    for choice in grid.chosen():
        at = "chosen" if plan.folds is None else f"repeat {choice['repeat']}, fold {choice['fold']}"
        setting = "".join(f" {name}={_as_cell(choice[name])}" for name in plan.axes)
        lost = f"; not among {len(choice['left_out'])} whose fits failed" if choice["left_out"] else ""
        yield f"{at}: {choice['error']}" if choice["error"] else f"{at}:{setting} {scores_in_words(choice)}{lost}"
    if plan.folds is not None:
        try:
            score = grid.score()
            yield f"honest score: {scores_in_words(score)}, over {score['folds']} folds"
        except ValueError as error:
            yield f"no honest score: {str(error).removeprefix('score: ')}"


def _as_cell(value: Any) -> str:
    """Return a value as text for a cell of the table."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
