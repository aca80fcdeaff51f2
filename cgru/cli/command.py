"""The `cgru` command: fit, many, predict, evaluate, forecast, export, quantize, data, info.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 2 for whatever was wrong with the request, in one
line; 130 after Ctrl-C; 141 where the reader of stdout has gone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import sys
import warnings
from collections.abc import Sequence

import numpy as np

import cgru
from cgru import recipe
from cgru.cli.about import about
from cgru.cli.arguments import RequestError, as_request_error, of_samples, parser
from cgru.cli.data import data_of, in_options, notes_of
from cgru.cli.forecast import forecast
from cgru.cli.many import many
from cgru.cli.output import WRITERS, check_output, name_of, page_writer, plotter, require
from cgru.cli.progress import Progress
from cgru.cli.score import judged, scored
from cgru.cli.task import Task, at_steps, class_names, head, loss_of, real_steps, targets, task_of
from cgru.core.blocks import rows_of
from cgru.datasets import Dataset, Split, described
from cgru.datasets.column_names import as_names
from cgru.datasets.summary import details
from cgru.network.split import drawn, groups_of, held_back
from cgru.quantized.quantize import changed, compared
from cgru.reports.comparison import outside, outside_in_words

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own arguments) and return its exit code."""
    commands = {
        None: _help, "fit": fit, "many": many, "predict": predict, "evaluate": evaluate, "forecast": forecast,
        "export": export, "quantize": quantize, "data": show, "info": info,
    }  # fmt: skip
    try:
        arguments = parser().parse_args(argv)
        code = commands[arguments.command](arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _say("cgru: interrupted", 130)
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except OSError as error:
        _discard_stdout()
        return _say(f"cgru: error: {f'{error.filename}: {error.strerror}' if error.filename else error}", 2)
    except (RequestError, MemoryError) as error:
        return _say(f"cgru: error: {str(error) or 'out of memory'}", 2)


def _say(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _help(arguments: argparse.Namespace) -> int:
    parser().print_help()
    return 0


def _discard_stdout() -> None:
    """What is still buffered can go nowhere: without this the interpreter complains about it once more at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)


# --- fit ---


def fit(arguments: argparse.Namespace) -> int:
    """`cgru fit`: whatever can be wrong is found out before the training starts."""
    if arguments.resume and not arguments.checkpoint:
        raise RequestError("argument --resume: needs --checkpoint FILE")
    check_output(arguments.output, arguments.data, arguments.test)
    if arguments.checkpoint is not None:
        check_output(arguments.checkpoint, arguments.data, arguments.test, arguments.output, arguments.plot)
    draw = None if arguments.plot is None else plotter(arguments.plot, arguments.data, arguments.test, arguments.output)
    write = None
    if arguments.html is not None:
        write = page_writer(arguments.html, arguments.data, arguments.test, arguments.output, arguments.checkpoint)
    if arguments.threads:
        with as_request_error("argument --threads: "):
            cgru.set_num_threads(arguments.threads)
    data, source = data_of(arguments)
    task = task_of(data, source, arguments.test)
    if arguments.pool not in (None, "last") and at_steps(task.train):
        raise RequestError(f"argument --pool: {source} has a class for each step, so that there is nothing to pool")
    if task.names is None and arguments.validation is None and len(task.train) >= recipe.HELD_FROM:
        arguments.validation, arguments.patience = recipe.VALIDATION, arguments.patience or recipe.PATIENCE
    if arguments.patience and not arguments.validation:
        raise RequestError("argument --patience: needs --validation SHARE")
    if arguments.class_weight and task.names is None:
        raise RequestError(f"argument --class-weight: {source} has numbers to predict and no classes")
    cure = "leave it out" + ", or --task regression takes integers for numbers" * (data.train.y.dtype.kind in "iub")
    arguments.loss = loss_of(task.names, arguments.loss, f"argument --loss: {source}", cure)
    if arguments.groups and not arguments.validation:
        raise RequestError("argument --groups: needs --validation SHARE")
    train, held, notes = _set_aside(data, task, arguments, source)
    arguments.batch_size, arguments.epochs = recipe.budget(len(train.y), arguments.batch_size, arguments.epochs)
    progress = Progress(arguments.epochs, arguments.quiet)
    progress.say(*_described(data, task, source, held), *notes, *map(in_options, details(data)))

    net = _network(arguments, task, data)
    net.reading = data.reading
    with progress:
        interrupted = _train(net, train, held, task, arguments, progress, source)
    on = f"; --resume goes on from {arguments.checkpoint}" if arguments.checkpoint else ""
    if interrupted and not net.history:
        return _say(f"cgru: interrupted before the first epoch was over: nothing is saved{on}", 130)
    with as_request_error():
        net.save(arguments.output)
    split, which = _judging(data, held, task)
    result = _result(net, split, which, arguments.epochs, interrupted)
    if draw and net.history:
        draw(net.history, f"{name_of(source)}: {result}")
    elif draw:
        _say(f"note: {arguments.plot} is not written: training diverged in the first epoch", 0)
    if interrupted:
        return _say(f"cgru: {result}, is in {arguments.output}{on}", 130)
    print(result)
    if not (arguments.class_weight or at_steps(task.train)):
        why = recipe.nothing_learned(net, data.train.X, task.train, data.train.lengths)
        if why:
            other = "" if held is None else ", or --validation 0"
            _say(f"note: nothing was learned: {why}; more --epochs, another --learning-rate{other} may help", 0)
    print(f"trained {len(net.history)} epochs in {sum(net.history.seconds):.1f} s")
    print(f"model in {arguments.output}")
    if write:
        with of_samples(source):
            report = cgru.report(net, split.X, split.y, split.lengths)
        write(report, arguments.output, f"{which} data", source)
        print(f"report in {arguments.html}")
    return 0


def _set_aside(
    data: Dataset, task: Task, arguments: argparse.Namespace, source: str
) -> tuple[Split, Split | None, list[str]]:
    """Split the training data, classes as indices; return what is trained on, what is held back, and notes on that."""
    train = data.train._replace(y=task.train)
    m, share = len(task.train), arguments.validation
    if not share or m < 2:
        return train, None, []
    classes = None if task.names is None or at_steps(task.train) else task.train
    if task.names is None and data.groups is None:
        held = np.zeros(m, bool)
        held[np.random.default_rng(arguments.seed).permutation(m)[: held_back(m, share)]] = True
    else:
        with as_request_error(f"{source}: "):
            groups = groups_of(data.groups, m)
            held = drawn(m, share, np.random.SeedSequence(arguments.seed), classes, groups)
    kept, out = (Split(*(rows_of(array, np.flatnonzero(rows)) for array in train)) for rows in (~held, held))
    notes = []
    if data.groups is not None:
        found, of_all = (len(np.unique(data.groups[rows])) for rows in (held, slice(None)))
        of = ", ".join(arguments.groups)
        notes.append(f"held back {found} of {of_all} groups ({of}), {len(out.y)} of {m} sequences")
    for i in () if classes is None else np.flatnonzero(np.bincount(classes) == 1):
        where = "held back, so that nothing is learned of it" if held[classes == i].all() else "trained on"
        notes.append(f"note: class {task.names[i]} has one sequence, which is {where}")
    return kept, out, notes


def _judging(data: Dataset, held: Split | None, task: Task) -> tuple[Split, str]:
    """Choose the split to judge a model on: the test split if there is one, else what was held back, else all of it.

    Return it and what it is called.
    """
    if task.test is not None:
        return data.test._replace(y=task.test), "test"
    if held is not None:
        return held, "validation"
    return data.train._replace(y=task.train), "training"


def _result(net: cgru.Network, split: Split, which: str, epochs: int, interrupted: bool) -> str:
    """The scores of the model that was kept; after Ctrl-C which epoch's it is."""
    if interrupted:
        return f"interrupted: the best model so far, of epoch {net.history.kept().epoch} of {epochs}"
    return f"{which} {judged(net, split, split.y)}"


def _described(data: Dataset, task: Task, source: str, held_out: Split | None) -> list[str]:
    m, s, e = data.train.X.shape
    lengths = data.train.lengths
    low, high = (s, s) if lengths is None else (lengths.min(), lengths.max())
    steps = f"{low}" if low == high else f"{low} to {high}"
    goal = "regression" if task.names is None else f"{len(task.names)} classes"
    if at_steps(task.train):
        goal += ", one a step"
    held = 0 if held_out is None else len(held_out.y)
    counts = [f"{m - held} sequences to train on"]
    if held:
        counts.append(f"{held} held back")
    if task.test is not None:
        counts.append(f"{len(task.test)} to test on")
    lines = [f"{source}: {goal}, sequences of {steps} steps of {e} elements", ", ".join(counts), task.note]
    return list(filter(None, lines))


def _network(arguments: argparse.Namespace, task: Task, data: Dataset) -> cgru.Network:
    layers = recipe.stack(
        head(task.names, task.numbers, arguments.loss),
        units=arguments.units,
        layers=arguments.layers,
        bidirectional=arguments.bidirectional,
        pool=arguments.pool or recipe.POOL,
        dropout=arguments.output_dropout,
        recurrent_dropout=arguments.recurrent_dropout,
        steps=at_steps(task.train),
    )
    adam = cgru.Adam(
        arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        clip_norm=arguments.clip_norm,
        schedule=recipe.SCHEDULE,
    )
    dtype = np.float64 if arguments.float64 else np.float32
    names = {"feature_names": data.feature_names, "target_names": data.target_names}
    return cgru.Network(layers, arguments.loss, adam, arguments.seed, task.names, dtype=dtype, **names)


def _train(
    net: cgru.Network,
    train: Split,
    held: Split | None,
    task: Task,
    arguments: argparse.Namespace,
    progress: Progress,
    source: str,
) -> bool:
    """Fit `net`; return whether Ctrl-C ended it."""
    regression = task.names is None
    try:
        with of_samples(source), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X: .* sequences of one step")  # which was asked about already
            history = net.fit(
                train.X,
                train.y,
                lengths=train.lengths,
                epochs=arguments.epochs,
                batch_size=arguments.batch_size,
                validation=arguments.validation or None if held is None else (held.X, held.y, held.lengths),
                patience=arguments.patience,
                standardize=True,
                standardize_targets=regression and arguments.loss != "poisson",
                shrink=regression and held is not None and arguments.loss == recipe.LOSS,
                class_weight=arguments.class_weight,
                callback=progress,
                checkpoint=arguments.checkpoint,
                checkpoint_seconds=arguments.checkpoint_seconds,
                resume=arguments.resume,
                recover=True,
                remember_samples=True,
            )
        if history.problems():
            _say(f"note: {history.problems().replace('a lower learning rate', 'a lower --learning-rate')}", 0)
        return False
    except KeyboardInterrupt:
        return True
    except RequestError as error:
        if arguments.checkpoint is not None and str(error.__cause__).startswith(arguments.checkpoint):
            raise RequestError(str(error.__cause__)) from error  # which is not the data file's doing either
        if not isinstance(error.__cause__, RuntimeError):
            raise RequestError(str(error).replace("train in float64", "--float64")) from error.__cause__
        # What the network cannot hold is the dtype's doing and not the data file's.
        raise RequestError(str(error.__cause__).replace("standardize=True or dtype=np.float64", "--float64")) from error


# --- predict, evaluate, export, info ---


def predict(arguments: argparse.Namespace) -> int:
    """`cgru predict`."""
    write = None
    if arguments.output is not None:
        write = WRITERS.get(os.path.splitext(arguments.output)[1].lower())
        if write is None:
            raise RequestError(f"argument -o: expected a name ending in .npz or .csv, got {arguments.output!r}")
        check_output(arguments.output, arguments.data, arguments.model)
    net = _load(arguments.model)
    data, source = data_of(arguments, net, targets=False)
    split, which = _used(data, source, net, arguments)
    if which:
        _say(f"{which} of {source}", 0)
    outputs = classes = None
    with of_samples(source):
        if write or net.loss not in cgru.losses.CLASSIFYING:
            outputs = net.predict(split.X, split.lengths)
        if net.loss in cgru.losses.CLASSIFYING:
            classes = net.predict_classes(split.X, split.lengths)
    real = real_steps(split.X, split.lengths) if net.per_step else None
    if write:
        times = None if real is None or data.times is None else (_time_of(data), data.times)
        write(arguments.output, outputs, classes, _output_names(net), real, split.ids, times)
        return 0
    with as_request_error(f"{arguments.model}: "):  # a class name may be more than the encoding of stdout has
        _print_predictions(outputs if classes is None else classes, real, split.ids, data.times)
    return 0


def _output_names(net: cgru.Network) -> Sequence[str]:
    """The names of the outputs: of classes, or of targets and what is predicted of each; () where there are none."""
    if net.loss in cgru.losses.CLASSIFYING:
        return class_names(net)
    return cgru.losses.output_names(net.loss, net.target_names) if net.target_names else ()


def _time_of(data: Dataset) -> str:
    """Return what the times of a table are called together."""
    return " ".join(as_names((data.reading or {}).get("time", ""), "time"))


def _print_predictions(
    values: np.ndarray, real: np.ndarray | None, ids: np.ndarray | None, times: np.ndarray | None
) -> None:
    """Print predictions, one a line, behind the id and a tab where there are ids.

    Of values at steps print those that are `real` (m, s), each behind its time and a tab where there are `times` (m,
    s), and an empty line after each sequence.
    """
    values = values.reshape(*values.shape[: 1 if real is None else 2], -1)
    for i, row in enumerate(values):
        first = "" if ids is None else f"{ids[i]}\t"
        if real is None:
            print(first + " ".join(map(str, row)))
            continue
        for step in np.flatnonzero(real[i]):
            time = "" if times is None else f"{times[i, step]}\t"
            print(first + time + " ".join(map(str, row[step])))
        print()


def evaluate(arguments: argparse.Namespace) -> int:
    """`cgru evaluate`."""
    if arguments.report:
        require("--report", "scikit-learn")
    write = None if arguments.html is None else page_writer(arguments.html, arguments.data, arguments.model)
    net = _load(arguments.model)
    data, source = data_of(arguments, net)
    split, which = _used(data, source, net, arguments)
    y = targets(net, split, data, source)
    which = which or "all"
    with of_samples(source):
        print(f"{which} of {name_of(source)}: {judged(net, split, y)}")
        report = cgru.report(net, split.X, y, split.lengths) if arguments.report or write else None
    if arguments.report:
        with as_request_error(f"{arguments.model}: "):  # a class name may be more than the encoding of stdout has
            print(f"\n{report}")
    if write:
        write(report, arguments.model, which, source)
        print(f"report in {arguments.html}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """`cgru export`."""
    header = os.path.splitext(arguments.output)[0] + ".h"
    for path in (arguments.output, header):
        check_output(path, arguments.model)
    net = _load(arguments.model)
    if any(len(layer.cells) > 1 for layer in net.layers):
        raise RequestError(
            f"{arguments.model}: expected a model that runs a step at a time, as `cgru fit --no-bidirectional` makes "
            "it, got a bidirectional one"
        )
    with as_request_error():
        cgru.export_c(net, arguments.output, name=arguments.name, dtype=arguments.dtype)
    print(f"model in {arguments.output}, header in {header}")
    return 0


def quantize(arguments: argparse.Namespace) -> int:
    """`cgru quantize`."""
    check_output(arguments.output, arguments.data, arguments.model)
    net = _load(arguments.model)
    data, source = data_of(arguments, net)
    split, which = _used(data, source, net, arguments)
    y = targets(net, split, data, source)
    seen = {"calibration": data.train.X, "lengths": data.train.lengths} if arguments.calibrate else {}
    if arguments.limit is not None and not arguments.calibrate:
        raise RequestError("argument --limit: needs --calibrate, to measure by")
    with as_request_error():
        small = cgru.quantize(net, arguments.weights, limit=arguments.limit, **seen)
    with of_samples(source):
        layers = compared(net, small, split.X, split.lengths)
        change = changed(net, small, split.X, split.lengths)
        before, after = judged(net, split, y), scored(small, split, y)
    with as_request_error():
        small.save(arguments.output)
    print(f"{which or 'all'} of {name_of(source)}: {before}")
    kinds = sorted({each["weights"] for each in layers if each["weights"]}, reverse=True)
    print(f"  with {' and '.join(kinds)} weights: {after}")
    print(f"  outputs differ by {change['largest']:.2g} at most, RMS {change['rms']:.2g}: {change['snr']:.1f} dB")
    print(f"  {'layer':16}{'weights':10}{'bytes':>10}{'before':>10}{'dB':>7}")
    for each in layers:
        sizes = f"{each['small_bytes']:10}{each['bytes']:10}"
        print(f"  {each['layer']:16}{each['weights'] or '':10}{sizes}{each['snr']:7.1f}")
    small_size, size = map(os.path.getsize, (arguments.output, arguments.model))
    print(f"model in {arguments.output}, {small_size} bytes in the place of {size}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """`cgru data`."""
    data, _ = data_of(arguments)
    print(*map(in_options, described(data)), sep="\n")
    return 0


def info(arguments: argparse.Namespace) -> int:
    """`cgru info`."""
    if arguments.model is not None:
        with as_request_error(f"{arguments.model}: "):  # a name may be more than the encoding of stdout has
            for name, value in about(_load(arguments.model)).items():
                print(f"{name:16} {value}")
        return 0
    for name, value in {
        "cgru": cgru.__version__,
        "instruction set": cgru.core.kernels.level(),
        "threads": cgru.get_num_threads(),
        "dtype": "float64 by default, float32 in `cgru fit`",
        "Python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "NumPy": np.__version__,
        "tqdm": _version("tqdm"),
        "matplotlib": _version("matplotlib"),
        "scikit-learn": _version("scikit-learn"),
    }.items():
        print(f"{name:16} {value}")
    return 0


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed (pip install {package})"


# --- data, models and scores ---


def _load(path: str) -> cgru.Network:
    with as_request_error():
        return cgru.load(path)


def _used(data: Dataset, source: str, net: cgru.Network, arguments: argparse.Namespace) -> tuple[Split, str]:
    """The split that is not for training, where there is one, refused where the model was made for other sequences."""
    split, which = (data.test, "test split") if data.test is not None else (data.train, "")
    for note in notes_of(data):
        _say(note, 0)
    due, got = net.elements, split.X.shape[2]
    if due is None:
        raise RequestError(f"{arguments.model}: this model takes tokens, which a data file cannot hold")
    if due != got:
        advice = "" if arguments.data else "; name the DATA that it is for"
        advice += "; --axes mes takes (m, e, s)" if due == split.X.shape[1] else ""
        raise RequestError(f"{source}: expected {due} elements a step, as {arguments.model} takes, got {got}{advice}")
    for line in outside_in_words(outside(net, split.X, split.lengths)):
        _say(f"note: {line}", 0)
    return split, which
