"""The subcommands of `cgru`: fit, predict, evaluate, forecast, export, quantize, data, info, completion.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 2 after an error in the request, printed as one
line; 130 after Ctrl-C; 141 where the reader of stdout has closed it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import cgru
from cgru import input_layers, recipe
from cgru.cli import arguments
from cgru.cli.about import about
from cgru.cli.arguments import Reading, RequestError, as_data_error, as_request_error, parser, requested
from cgru.cli.data import given_options, model_data, opened, training_data
from cgru.cli.forecast import forecast
from cgru.cli.output import Predictions, check_output, name_of, page_writer, plotter, predictions_writer, require
from cgru.cli.progress import Progress, say
from cgru.cli.score import overlap, score_text
from cgru.cli.task import Task, at_steps, choose_network, decays, loss_of, targets, task_of
from cgru.cli.terminal import echo
from cgru.core.row_blocks import select_rows
from cgru.datasets import Dataset, Split, described, overview
from cgru.datasets.dataset_summary import details
from cgru.datasets.read_files import OF_OTHERS, kind_of
from cgru.input_layers import AUTO, RAW
from cgru.network.data.split import count_held_out, draw_held_out, encode_groups
from cgru.quantization import compare_layers, output_noise
from cgru.recipe import Recipe
from cgru.reports.comparison import outside, outside_in_words

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own arguments) and return its exit code."""
    commands = {
        None: lambda _: parser().print_help(), "fit": fit, "predict": predict, "evaluate": evaluate,
        "forecast": forecast, "export": export, "quantize": quantize, "data": show, "info": info,
        "completion": completion,
    }  # fmt: skip
    try:
        name, request = requested(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"note: {message}")
            code = commands[name](request)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        return say("cgru: interrupted", 130)
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except OSError as error:
        _discard_stdout()
        return say(f"cgru: error: {f'{error.filename}: {error.strerror}' if error.filename else error}", 2)
    except RequestError as error:
        say(f"cgru: error: {error}")
        if error.overview:
            echo(error.overview, file=sys.stderr)
        if error.options:
            echo(
                f"cgru {shlex.join(sys.argv[1:] if argv is None else map(str, argv))} {error.options}", file=sys.stderr
            )
        return 2
    except MemoryError as error:
        return say(f"cgru: error: {str(error) or 'out of memory'}", 2)


def _discard_stdout() -> None:
    """Point stdout to the null device: otherwise the interpreter, at exit, fails to write what is buffered."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)


# --- fit ---


def fit(request: arguments.FitRequest) -> int:
    """Run `cgru fit` and return the exit code; errors in the request are raised before the training starts."""
    given, training = (request.data, request.test), request.training
    if training.resume and not training.checkpoint:
        raise RequestError("argument --resume: needs --checkpoint FILE")
    if request.preparing.inputs != AUTO:
        with as_request_error("argument --"):
            input_layers.parse(request.preparing.inputs, causal=request.preparing.causal)
    check_output(request.output, *given)
    if training.checkpoint is not None:
        check_output(training.checkpoint, *given, request.output, request.plot)
    draw = None if request.plot is None else plotter(request.plot, *given, request.output)
    write = None if request.html is None else page_writer(request.html, *given, request.output, training.checkpoint)
    if request.threads:
        with as_request_error("argument --threads: "):
            cgru.set_num_threads(request.threads)
    data, source, test = training_data(request.data, request.reading, request.test)
    task = task_of(data, source, test)
    recipe_, training = _with_defaults(request, task, data, source)
    if request.reading.groups and not training.validation:
        raise RequestError("argument --groups: needs --validation SHARE")
    train, groups, held, notes = _hold_out(data, task, request, training.validation, source)
    size, epochs = recipe.budget(len(train.y), training.batch_size, training.epochs)
    progress = Progress(epochs, request.quiet)
    progress.say(*_summary(data, task, source, held), *notes, *details(data))

    choosing = vars(training) | {"epochs": epochs, "batch_size": size, "standardize": True}
    budget, seed = request.preparing.budget, request.building.seed
    began = time.perf_counter()
    with progress:
        told = {"seed": seed, "budget": budget, "progress": progress.compare}
        net, choice = choose_network(task, recipe_, train, groups, choosing, **told)
    compared = time.perf_counter() - began
    if recipe_.is_open and not at_steps(task.train):
        progress.say(f"chosen: {choice}", *(f"note: {note}" for note in (choice.failures, choice.advice) if note))
    net.feature_names, net.target_names, net.reading = data.feature_names, data.target_names, data.columns.to_dict()
    options = vars(training) | {"batch_size": size, "epochs": epochs}
    if held is not None:
        options["validation"] = held.X, held.y, held.lengths, *([held.beside] if held.beside else [])
    elif not training.validation:
        options["validation"] = None
    regression = task.names is None
    options["standardize_targets"] = cgru.losses.named(net.loss).can_standardize
    options["shrink"] = regression and held is not None and recipe_.loss == recipe.LOSS
    with progress:
        interrupted = _train(net, train, options | {"callback": progress}, source)
    on = f"; --resume goes on from {training.checkpoint}" if training.checkpoint else ""
    if interrupted and not net.history:
        return say(f"cgru: interrupted before the first epoch was over: nothing is saved{on}", 130)
    _save(net, request.output, training.remember_samples)
    split, which = _choose_scored_split(data, held, task)
    if interrupted:
        result = f"interrupted: the best model so far, of epoch {net.history.kept().epoch} of {epochs}"
    else:
        result = f"{which} {score_text(net, split)}{overlap(net, split, always=training.remember_samples)}"
    if draw and net.history:
        draw(net.history, f"{name_of(source)}: {result}")
    elif draw:
        say(f"note: {request.plot} is not written: training diverged in the first epoch")
    if interrupted:
        return say(f"cgru: {result}, is in {request.output}{on}", 130)
    echo(result)
    model, why = shlex.quote(request.output), ""
    if not (training.class_weight or at_steps(task.train)):
        why = recipe.nothing_learned(net, data.train.X, task.train, data.train.lengths, beside=data.train.beside)
        if why:
            other = "" if held is None else ", or --validation 0"
            say(f"note: nothing was learned: {why}; more --epochs, another --learning-rate{other} may help")
        elif held is None and training.epochs is None and (falls := recipe.still_falls(net.history.loss)):
            say(f"note: {falls}; more --epochs may help")
    choosing_too = f", {compared:.1f} s of them to compare {len(choice.scores)} networks" if choice.scores else ""
    echo(f"trained {len(net.history)} epochs in {compared + sum(net.history.seconds):.1f} s{choosing_too}")
    echo(f"model in {request.output}")
    if write:
        with as_data_error(source):
            report = cgru.report(net, split.X, split.y, split.lengths, **split.beside)
        write(report, request.output, f"{which} data", source)
        echo(f"report in {request.html}")
    if not why:
        progress.say(f"next: cgru predict {model} DATA, cgru evaluate {model} DATA --html PAGE.html, cgru info {model}")
    return 0


def _with_defaults(request: arguments.FitRequest, task: Task, data: Dataset, source: str) -> tuple[Recipe, Any]:
    """Return (recipe, training options) with the defaults of the task; RequestError where they do not fit it."""
    building, preparing, training = request.building, request.preparing, request.training
    if building.pool not in (None, "last") and at_steps(task.train):
        raise RequestError(f"argument --pool: {source} has a target for each step, so that there is nothing to pool")
    alone = data.groups is not None and len(np.unique(data.groups)) < 2  # one group cannot be divided
    if task.names is None and training.validation is None and len(task.train) >= recipe.HELD_FROM and not alone:
        training = replace(training, validation=recipe.VALIDATION, patience=training.patience or recipe.PATIENCE)
    if training.patience and not training.validation:
        raise RequestError("argument --patience: needs --validation SHARE")
    if training.class_weight and task.names is None:
        raise RequestError(f"argument --class-weight: {source} has numbers to predict and no classes")
    cure = "leave it out" + ", or --task regression takes integers for numbers" * (data.train.y.dtype.kind in "iub")
    loss = loss_of(task.names, building.loss, f"argument --loss: {source}", cure)
    options = vars(building) | {"loss": loss, "inputs": preparing.inputs}
    options["remember_samples"] = True  # to compare them with those of the score
    options |= {"bidirectional": building.bidirectional and not preparing.causal}
    if decays(data):
        options["missing"] = recipe.DECAY
        if preparing.inputs not in (AUTO, RAW):
            raise RequestError(f"argument --inputs: expected raw beside --missing decay, got {preparing.inputs}")
    del options["seed"]
    return Recipe(dropout=options.pop("output_dropout"), **options), training


def _hold_out(
    data: Dataset, task: Task, request: arguments.FitRequest, share: float | None, source: str
) -> tuple[Split, np.ndarray | None, Split | None, list[str]]:
    """Hold out a `share` of the training data (0 or None: none).

    Return (training split, its groups (m,) or None, validation split or None, notes for the user).
    """
    train, m, seed = data.train._replace(y=task.train), len(task.train), request.building.seed
    if not share or m < 2:
        return train, data.groups, None, []
    classes = None if task.names is None or at_steps(task.train) else task.train
    if task.names is None and data.groups is None:
        held = np.zeros(m, bool)
        held[np.random.default_rng(seed).permutation(m)[: count_held_out(m, share)]] = True
    else:
        with as_request_error(f"{source}: "):
            groups = encode_groups(data.groups, m)
            held = draw_held_out(m, share, np.random.SeedSequence(seed), classes, groups)
    kept, out = (train.samples(np.flatnonzero(rows)) for rows in (~held, held))
    notes = []
    if data.groups is not None:
        found, of_all = (len(np.unique(data.groups[rows])) for rows in (held, slice(None)))
        of = ", ".join(request.reading.groups or ("series",))
        notes.append(f"held back {found} of {of_all} groups ({of}), {len(out.y)} of {m} sequences")
    for i in () if classes is None else np.flatnonzero(np.bincount(classes) == 1):
        where = "held back, so that nothing is learned of it" if held[classes == i].all() else "trained on"
        notes.append(f"note: class {task.names[i]} has one sequence, which is {where}")
    return kept, select_rows(data.groups, np.flatnonzero(~held)), out, notes


def _choose_scored_split(data: Dataset, held: Split | None, task: Task) -> tuple[Split, str]:
    """Choose the split to score on: test, else the held-out one, else training data; return (split, its name).

    That is the test split if there is one, else the validation split, else the training data.
    """
    if task.test is not None:
        return data.test._replace(y=task.test), "test"
    if held is not None:
        return held, "validation"
    return data.train._replace(y=task.train), "training"


def _save(net: cgru.Network, path: str, remember: bool) -> None:
    """Save a fitted model; with `remember` also what it knows of its samples, which a fit alone compares."""
    remembered = net.remembered
    net.remembered = remembered if remember else None
    try:
        with as_request_error():
            net.save(path)
    finally:
        net.remembered = remembered


def _summary(data: Dataset, task: Task, source: str, held_out: Split | None) -> list[str]:
    """Describe the task and the sizes of the data in lines, before the training."""
    m, s, e = data.train.X.shape
    lengths = data.train.lengths
    low, high = (s, s) if lengths is None else (lengths.min(), lengths.max())
    steps = f"{low}" if low == high else f"{low} to {high}"
    goal = "regression" if task.names is None else f"{len(task.names)} classes"
    if at_steps(task.train):
        goal += ", one a step"
    held, test = (0 if y is None else len(y) for y in (held_out and held_out.y, task.test))
    counts = {"sequences to train on": m - held, "held back": held, "to test on": test}
    sizes = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return list(filter(None, [f"{source}: {goal}, sequences of {steps} steps of {e} features", sizes, task.note]))


def _train(net: cgru.Network, train: Split, options: Mapping[str, Any], source: str) -> bool:
    """Fit `net` with options of `Network.fit`; return whether Ctrl-C interrupted it."""
    try:
        with as_data_error(source), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X: .* sequences of one step")  # `with_axes` has asked about it already
            fixed = {"standardize": True, "recover": True}
            history = net.fit(train.X, train.y, lengths=train.lengths, **train.beside, **fixed, **options)
        history.nothing_learned = ""  # which the command says at its end
        if history.problems():
            say(f"note: {history.problems().replace('a lower learning rate', 'a lower --learning-rate')}")
        return False
    except KeyboardInterrupt:
        return True
    except RequestError as error:
        checkpoint = options["checkpoint"]
        if checkpoint is not None and str(error.__cause__).startswith(checkpoint):
            raise RequestError(str(error.__cause__)) from error  # the checkpoint is at fault, not the data file
        if not isinstance(error.__cause__, RuntimeError):
            raise RequestError(str(error).replace("train in float64", "--float64")) from error.__cause__
        # The dtype is at fault where the network overflows, not the data file.
        raise RequestError(str(error.__cause__).replace("standardize=True or dtype=np.float64", "--float64")) from error


# --- predict, evaluate, export, info ---


def predict(request: arguments.PredictRequest) -> None:
    """Run `cgru predict`: print the predictions of a model, or write them to a file."""
    write = predictions_writer(request.output, request.data, request.model)
    net, data, source, split, which = _read_model_and_data(request.model, request.data, request.reading, scores=False)
    if data.test is not None:
        say(f"{which} of {source}")
    classifies = cgru.losses.classifies(net.loss)
    with as_data_error(source):
        given = split.X, split.lengths
        outputs = net.predict(*given, **split.beside) if request.output or not classifies else None
        classes = net.predict_classes(*given, **split.beside) if classifies else None
    real = net.output_mask(split.X, split.lengths) if net.per_step else None
    time_name = " ".join(data.columns.time or ())
    has_times = real is not None and data.times is not None and data.times.shape == real.shape
    times = (time_name, data.times) if has_times else None
    with as_request_error(f"{request.model}: "):  # stdout may lack characters of a class name
        write(Predictions(outputs, classes, _output_names(net), real, split.ids, times))


def _output_names(net: cgru.Network) -> Sequence[str]:
    """Return the names of the outputs: classes, or targets with the quantity predicted of each; () where unknown."""
    if cgru.losses.classifies(net.loss):
        return net.data_spec.labels
    return cgru.losses.named(net.loss).output_names(net.target_names) if net.target_names else ()


def evaluate(request: arguments.EvaluateRequest) -> None:
    """Run `cgru evaluate`: print the scores of a model on data, and write a report."""
    if request.importance and not (request.report or request.html):
        raise RequestError("argument --importance: needs --report or --html PAGE.html")
    if request.report:
        require("--report", "scikit-learn")
    write = None if request.html is None else page_writer(request.html, request.data, request.model)
    net, _, source, split, which = _read_model_and_data(request.model, request.data, request.reading)
    with as_data_error(source):
        echo(f"{which} of {name_of(source)}: {score_text(net, split)}{overlap(net, split)}")
        report = None
        if request.report or write:
            report = cgru.report(net, split.X, split.y, split.lengths, **split.beside, importance=request.importance)
    if request.report:
        with as_request_error(f"{request.model}: "):  # stdout may lack characters of a class name
            echo(f"\n{report}")
    if write:
        write(report, request.model, which, source)
        echo(f"report in {request.html}")


def export(request: arguments.ExportRequest) -> None:
    """Run `cgru export`: write a model as a C file and a header."""
    header = os.path.splitext(request.output)[0] + ".h"
    for path in (request.output, header):
        check_output(path, request.model)
    net = _load_model(request.model)
    if any(len(layer.cells) > 1 for layer in net.layers):
        due = "a model that runs a step at a time, as `cgru fit --causal` makes it"
        raise RequestError(f"{request.model}: expected {due}, got a bidirectional one")
    with as_request_error():
        cgru.export_c(net, request.output, name=request.name, dtype=request.dtype)
    echo(f"model in {request.output}, header in {header}")


def quantize(request: arguments.QuantizeRequest) -> None:
    """Run `cgru quantize`: write a model with int8 or bfloat16 weights, and print how its scores change."""
    check_output(request.output, request.data, request.model)
    net, data, source, split, which = _read_model_and_data(request.model, request.data, request.reading)
    seen = {"calibration": data.train.X, "lengths": data.train.lengths} if request.calibrate else {}
    if request.limit is not None and not request.calibrate:
        raise RequestError("argument --limit: needs --calibrate, to measure by")
    with as_request_error():
        small = cgru.quantize(net, request.weights, limit=request.limit, **seen)
    with as_data_error(source):
        layers = compare_layers(net, small, split.X, split.lengths)
        change = output_noise(net, small, split.X, split.lengths)
        before, after = score_text(net, split) + overlap(net, split), score_text(small, split)
    with as_request_error():
        small.save(request.output)
    echo(f"{which} of {name_of(source)}: {before}")
    kinds = sorted({each["weights"] for each in layers if each["weights"]}, reverse=True)
    echo(f"  with {' and '.join(kinds)} weights: {after}")
    echo(f"  outputs differ by {change['largest']:.2g} at most, RMS {change['rms']:.2g}: {change['snr']:.1f} dB")
    echo(f"  {'layer':16}{'weights':10}{'bytes':>10}{'before':>10}{'dB':>7}")
    for each in layers:
        sizes = f"{each['small_bytes']:10}{each['bytes']:10}"
        echo(f"  {each['layer']:16}{each['weights'] or '':10}{sizes}{each['snr']:7.1f}")
    small_size, size = map(os.path.getsize, (request.output, request.model))
    echo(f"model in {request.output}, {small_size} bytes in the place of {size}")


def show(request: arguments.DataRequest) -> None:
    """Run `cgru data`: print what would be read from a data file."""
    with opened(request.data) as (path, source), as_request_error(f"{request.data}: "):
        if request.test is None and kind_of(path) not in OF_OTHERS:
            found = overview(path, **given_options(request.reading))
            echo(*found.lines, sep="\n")
            if found.error is not None:
                echo(found.error.problem.replace(path, source))
            if found.options:
                echo(f"cgru fit {shlex.quote(request.data)} {arguments.as_options(found.options)}")
            return echo(*(described(found.data) if found.data else []), sep="\n")
        data, _, _ = training_data(path, request.reading, request.test)
        return echo(*described(data), sep="\n")


def info(request: arguments.InfoRequest) -> None:
    """Run `cgru info`: print versions and instruction set, or a description of a model."""
    found = {
        "cgru": cgru.__version__,
        "instruction set": cgru.core.kernels.level(),
        "threads": cgru.get_num_threads(),
        "dtype": "float64 by default, float32 in `cgru fit`",
        "Python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "NumPy": np.__version__,
        **{package: _version(package) for package in ("tqdm", "matplotlib", "scikit-learn")},
    }
    with as_request_error(f"{request.model}: "):  # stdout may lack characters of a name
        for name, value in (found if request.model is None else about(_load_model(request.model))).items():
            echo(f"{name:16} {value}")


def completion(request: arguments.CompletionRequest) -> None:
    """Run `cgru completion`: print the script of a shell."""
    require("SHELL", "shtab")
    import shtab

    print(shtab.complete(parser(), request.shell))


def _version(package: str) -> str:
    """Return the version of an installed package, or how to install it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed (pip install {package})"


# --- data, models and scores ---


def _load_model(path: str) -> cgru.Network:
    """Load a model; RequestError where the file is none."""
    with as_request_error():
        return cgru.load(path)


def _read_model_and_data(
    model: str, path: str | None, reading: Reading, scores: bool = True
) -> tuple[cgru.Network, Dataset, str, Split, str]:
    """Load a model and read data for it; return (model, data, their name, split, its name); `scores`: with targets.

    The split is the test split if there is one, else all data. For `scores` its targets are those of the model: class
    indices or numbers. Print what was guessed of the data, and which features lie outside the model's training range.
    RequestError where the model takes sequences with another number of features.
    """
    net = _load_model(model)
    data, source = model_data(net, path, reading, scores)
    split, which = (data.test, "test split") if data.test is not None else (data.train, "all")
    for note in data.notes:
        say(f"note: {note}")
    due, got = net.features, split.X.shape[2]
    if due is None:
        raise RequestError(f"{model}: this model takes tokens, which a data file cannot hold")
    if due != got:
        advice = "" if path else "; name the DATA that it is for"
        advice += "; --axes mes takes (m, e, s)" if due == split.X.shape[1] else ""
        raise RequestError(f"{source}: expected {due} features a step, as {model} takes, got {got}{advice}")
    for line in outside_in_words(outside(net, split.X, split.lengths)):
        say(f"note: {line}")
    if scores:
        split = split._replace(y=targets(net, split, data, source))
    return net, data, source, split, which
