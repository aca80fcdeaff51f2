"""`cgru fit`: train a network on a data file, save it, score it, and report on it."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import cgru
from cgru import plot
from cgru.cli.arguments import Request, RequestError, as_request_error, given
from cgru.cli.data import check_finite, training_data
from cgru.cli.model_commands import score_text
from cgru.cli.output import check_output, check_page, check_plot, echo, name_of, save_figure, save_report, say
from cgru.cli.task import Task, at_steps, choose_network, loss_of, task_of
from cgru.core.row_blocks import select_rows
from cgru.datasets import Dataset, Split, described
from cgru.datasets.missing_values import decays
from cgru.estimators import input_layers, recipe
from cgru.estimators.input_layers import AUTO, RAW
from cgru.estimators.recipe import Recipe
from cgru.network.data.split import check_share, draw_held_out, encode_groups
from cgru.network.history import Epoch
from cgru.network.options import OPTIONS, Checkpoint
from cgru.network.progress import Bar, create_bar, epoch_text

__all__ = ["Progress", "fit"]

COMPARING = "comparing networks: {n} of {total}"


def fit(request: Request) -> int:
    """Run `cgru fit` and return the exit code; errors in the request are raised before the training starts."""
    files = request.data, request.test
    if request.resume and not request.checkpoint:
        raise RequestError("argument --resume: needs --checkpoint FILE")
    if request.inputs not in (None, AUTO):
        with as_request_error():
            input_layers.parse(request.inputs, "argument --inputs", request.causal)
    check_output(request.output, *files)
    check_output(request.checkpoint, *files, request.output, request.plot)
    check_plot(request.plot, *files, request.output)
    check_page(request.html, *files, request.output, request.checkpoint)
    if request.threads:
        with as_request_error():
            cgru.set_num_threads(request.threads)
    data, source, test = training_data(request)
    task = task_of(data, source, test)
    check_finite(data, source, test)
    options = _options(request, task, data, source)
    made = _recipe(request, task, data, source)
    train, groups, held, notes = _hold_out(data, task, options["validation"], request, source)
    size, epochs = recipe.budget(len(train.y), options["batch_size"], options["epochs"])
    options |= {"batch_size": size, "epochs": epochs}
    progress = Progress(epochs, request.quiet)
    first, *others = described(data)
    if task.names is None and len(values := np.unique(task.train)) <= 20 and not (values % 1).any():
        notes.append(f"note: the targets have {len(values)} whole values; if these are classes, use integers or words")
    progress.say(f"{source}: {first}", *others, *notes)

    began = time.perf_counter()
    with contextlib.closing(progress):
        told = {"seed": request.seed, "budget": request.budget, "progress": progress.compare}
        net, choice = choose_network(task, made, train, groups, options, **told)
    compared = time.perf_counter() - began
    if made.is_open and not at_steps(task.train):
        progress.say(f"chosen: {choice}", *([f"note: {choice.failures}"] if choice.failed else []))
    net.feature_names, net.target_names = data.feature_names, data.target_names
    regression = task.names is None
    options["validation"] = None if held is None else (held.X, held.y)
    options["standardize_targets"] = cgru.losses.named(net.loss).can_standardize
    options["shrink"] = regression and held is not None and made.loss == recipe.LOSS
    with contextlib.closing(progress):
        history = _train(net, train, options | {"callback": progress}, source)
    interrupted = history is None
    on = f"; --resume goes on from {request.checkpoint}" if request.checkpoint else ""
    if interrupted and not net.history:
        return say(f"cgru: interrupted before the first epoch was over: nothing is saved{on}", 130)
    with as_request_error():
        net.save(request.output, {"columns": data.columns.to_dict()})
    split, which, caveat = train, "training", "no held-out data: the model was trained on these {} samples"
    if task.test is not None:
        split, which, caveat = data.test._replace(y=task.test), "test", ""
    elif held is not None:
        split, which, caveat = held, "validation", "these {} samples chose the epoch: expect less of new data"
    caveat = caveat.format(len(split.y))
    if interrupted:
        result = f"interrupted: the best model so far, of epoch {net.history.kept().epoch} of {epochs}"
    else:
        result = "; ".join(filter(None, [f"{which} {score_text(net, split)}", caveat]))
    if request.plot and net.history:
        save_figure(request.plot, plot.curve(net.history), f"{name_of(source)}: {result}")
    elif request.plot:
        say(f"note: {request.plot} is not written: training diverged in the first epoch")
    if interrupted:
        return say(f"cgru: {result}, is in {request.output}{on}", 130)
    echo(result)
    why = history.nothing_learned
    if held is None and not (why or request.epochs) and (falls := recipe.still_falls(net.history.loss)):
        say(f"note: {falls}; more --epochs may help")
    comparing = f", {compared:.1f} s of them to compare {len(choice.scores)} networks" if choice.scores else ""
    echo(f"trained {len(net.history)} epochs in {compared + sum(net.history.seconds):.1f} s{comparing}")
    echo(f"model in {request.output}")
    if request.html:
        with as_request_error(f"{source}: "):
            report = cgru.report(net, split.X, split.y)
        save_report(request.html, report, request.output, f"{which} data", source, caveat)
    if not why:
        model = shlex.quote(request.output)
        progress.say(f"next: cgru predict {model} DATA, cgru evaluate {model} DATA --html PAGE.html, cgru info {model}")
    return 0


def _options(request: Request, task: Task, data: Dataset, source: str) -> dict[str, Any]:
    """Return the options of the fit, with defaults for the task; RequestError for options that do not suit it."""
    options = dict.fromkeys(("batch_size", "epochs", "validation")) | given(request, *OPTIONS)
    options |= {"standardize": True, "recover": True}
    if request.checkpoint:
        seconds = Checkpoint.seconds if request.checkpoint_seconds is None else request.checkpoint_seconds
        options["checkpoint"] = Checkpoint(request.checkpoint, seconds, bool(request.resume))
    if options["validation"] is not None and options["validation"] != 0:
        check_share(options["validation"], "argument --validation")
    alone = data.groups is not None and len(np.unique(data.groups)) < 2  # one group cannot be divided
    if task.names is None and options["validation"] is None and len(task.train) >= recipe.HELD_FROM and not alone:
        options |= {"validation": recipe.VALIDATION, "patience": options.get("patience", recipe.PATIENCE)}
    for name, has in {"patience": options.get("patience"), "groups": request.groups}.items():
        if has and not options["validation"]:
            raise RequestError(f"argument --{name}: needs --validation SHARE")
    if request.class_weight and task.names is None:
        raise RequestError(f"argument --class-weight: {source} has numbers to predict and no classes")
    return options


def _recipe(request: Request, task: Task, data: Dataset, source: str) -> Recipe:
    """Return the recipe of the network; RequestError for an option that does not suit the task."""
    if request.pool not in (None, "last") and at_steps(task.train):
        raise RequestError(f"argument --pool: {source} has a target for each step, so that there is nothing to pool")
    cure = "leave it out" + ", or --task regression takes integers for numbers" * (data.train.y.dtype.kind in "iub")
    made = given(request, *Recipe.__dataclass_fields__)
    made["loss"] = loss_of(task.names, request.loss, f"argument --loss: {source}", cure)
    if request.causal:
        made["bidirectional"] = False
    if decays(data.columns.missing):
        made["missing"] = recipe.DECAY
        if request.inputs not in (None, AUTO, RAW):
            raise RequestError(f"argument --inputs: expected raw with --missing decay, got {request.inputs}")
    return Recipe(**made)


def _hold_out(
    data: Dataset, task: Task, share: float | None, request: Request, source: str
) -> tuple[Split, np.ndarray | None, Split | None, list[str]]:
    """Hold out a `share` of the training data (0 or None: none).

    Return (training split, its groups (m,) or None, validation split or None, notes for the user).
    """
    train, m, seed = data.train._replace(y=task.train), len(task.train), request.seed
    if not share or m < 2:
        return train, data.groups, None, []
    classes = None if task.names is None or at_steps(task.train) else task.train
    with as_request_error(f"{source}: "):
        held = draw_held_out(m, share, np.random.SeedSequence(seed), classes, encode_groups(data.groups, m))
    kept, out = (train.samples(np.flatnonzero(rows)) for rows in (~held, held))
    of = ""
    if data.groups is not None:
        found, of_all = (len(np.unique(data.groups[rows])) for rows in (held, slice(None)))
        of = f"{found} of {of_all} groups ({', '.join(request.groups or ('series',))}), "
    notes = [f"held back: {of}{len(out.y)} of {m} samples"]
    lost = () if classes is None else [task.names[i] for i in np.setdiff1d(classes[held], classes[~held])]
    notes += [f"note: held back whole, so that nothing is learned of them: {', '.join(lost)}"] * bool(lost)
    return kept, select_rows(data.groups, np.flatnonzero(~held)), out, notes


def _train(net: cgru.Network, train: Split, options: Mapping[str, Any], source: str) -> cgru.History | None:
    """Fit `net` with options of `Network.fit`; return the history, None where Ctrl-C interrupted it."""
    try:
        with as_request_error(f"{source}: "):
            history = net.fit(train.X, train.y, **options)
    except KeyboardInterrupt:
        return None
    except RequestError as error:
        if isinstance(error.__cause__, RuntimeError):  # the network overflows: the file is not at fault
            raise RequestError(str(error.__cause__), options="--float64") from error.__cause__
        raise
    if history.problems():
        say(f"note: {history.problems()}")
    return history


# --- progress on stderr ---


class Progress:
    """Shows the networks that are compared, then the epochs of a fit: as bars in a terminal with tqdm, else as lines.

    total: the number of epochs.
    quiet: show nothing.
    """

    def __init__(self, total: int, quiet: bool):
        """Set up progress over `total` epochs, shown unless `quiet`."""
        self.total, self.quiet = total, quiet
        self.compared, self.bar = 0, None

    def say(self, *lines: str) -> None:
        """Close the progress bar, then print the lines to stderr unless `quiet`."""
        self.close()
        if not self.quiet:
            echo(*lines, sep="\n", file=sys.stderr, flush=True)

    def compare(self, done: int, total: int) -> None:
        """Show how many networks of the comparison are done; `total` may still grow."""
        bar = self._drawn(lambda: create_bar(total, COMPARING + " {bar} {remaining}"))
        if bar is not None:
            bar.total = total
            bar.update(done - self.compared)
        elif done > self.compared:
            self.say(COMPARING.format(n=done, total=total))
        self.compared = done

    def __call__(self, epoch: Epoch) -> None:
        """Show the losses of an epoch in the bar, or as one of about ten lines."""
        bar = self._drawn(lambda: Bar(self.total))
        if bar is not None:
            bar(epoch)
        elif epoch.epoch in (1, self.total) or epoch.epoch % math.ceil(self.total / 10) == 0:
            self.say(f"epoch {epoch.epoch:{len(str(self.total))}}/{self.total}: {epoch_text(epoch)}")

    def _drawn(self, draw: Callable[[], Any]) -> Any:
        """Return the progress bar, made by `draw` at first; None if none can be shown."""
        if self.bar is None and not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = draw()
        return self.bar

    def close(self) -> None:
        """Close the bar; it stays on the screen."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
