"""The `cgru` command: fit, predict, evaluate, info.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 2 for whatever was wrong with the request, in one
line; 130 after Ctrl-C; 141 where the reader of stdout has gone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.metadata
import math
import os
import platform
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import cgru
from cgru.datasets import Dataset, Split, load_japanese_vowels, read
from cgru.network import Epoch

__all__ = ["main"]


class RequestError(Exception):
    """What the user asked for cannot be done; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own arguments) and return its exit code."""
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.run(arguments)
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


def _discard_stdout() -> None:
    """What is still buffered can go nowhere: without this the interpreter complains about it once more at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _as_request_error(prefix: str = "") -> Iterator[None]:
    """The library's own errors about what it was given, as the command's."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise RequestError(f"{prefix}{error}") from error


# --- the arguments ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise RequestError(message)


def _number(kind: type, what: str, allowed: Callable[[Any], bool]) -> Callable[[str], Any]:
    def parse(text: str):
        with contextlib.suppress(ValueError):
            value = kind(text)
            if allowed(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")

    return parse


_COUNT = _number(int, "an integer of at least 1", lambda value: value >= 1)
_SEED = _number(int, "an integer of at least 0", lambda value: value >= 0)
_RATE = _number(float, "a number above 0", lambda value: 0 < value < float("inf"))
_DECAY = _number(float, "a number of at least 0", lambda value: 0 <= value < float("inf"))
_SHARE = _number(float, "a share of at least 0 and below 1", lambda value: 0 <= value < 1)

_DATA_HELP = """
data files are .npz archives (numpy.savez) that hold
  x            (m, s, e): m sequences of s steps of e elements; or (n, e): the steps of all sequences one after
               another, with lengths (m,) that sum to n
  y            (m,) integers or strings: classes; (m,) or (m, k) reals: numbers to predict (regression)
  lengths      optional beside x (m, s, e): how many steps of each sequence are real
  class_names  optional: the names of classes 0, 1, ...
with a split they are train_x, train_y, ... and test_x, test_y, ...: fit trains on the one, the others use the other.
"""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cgru", description="Train and run recurrent networks (GRU) on the CPU.")
    parser.add_argument("--version", action="version", version=f"cgru {cgru.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    parser.set_defaults(run=lambda arguments: parser.print_help() or 0)

    def command(run: Callable[[argparse.Namespace], int], summary: str) -> Callable[..., None]:
        one = commands.add_parser(
            run.__name__,
            help=summary,
            description=summary,
            epilog=None if run is info else _DATA_HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(run=run)
        return one.add_argument

    # The defaults were chosen on the training split of Japanese Vowels alone, never on its test split: a third of each
    # speaker's utterances, in a row and each third in turn, was held out, or was all there was to train on.
    add = command(fit, "Train a network on DATA.npz, or on the embedded Japanese Vowels, and save it.")
    add("data", nargs="?", metavar="DATA.npz", help="the data set (default: the embedded Japanese Vowels)")
    add("--units", type=_COUNT, default=100, metavar="N", help="unit cells of a GRU layer (default: %(default)s)")
    add("--layers", type=_COUNT, default=2, metavar="N", help="GRU layers (default: %(default)s)")
    add("--epochs", type=_COUNT, default=60, metavar="N", help="passes over the data (default: %(default)s)")
    add("--batch-size", type=_COUNT, default=27, metavar="N", help="sequences a step (default: %(default)s)")
    add(
        "--learning-rate",
        type=_RATE,
        default=8e-3,
        metavar="RATE",
        help="Adam's at the start, falling to 0 along a cosine (default: %(default)s)",
    )
    add("--weight-decay", type=_DECAY, default=0.3, metavar="RATE", help="decoupled, AdamW (default: %(default)s)")
    add(
        "--validation",
        type=_SHARE,
        default=0.0,
        metavar="SHARE",
        help="share of the training data to hold back; the weights that do best on it are kept (default: %(default)s)",
    )
    add(
        "--patience",
        type=_COUNT,
        metavar="N",
        help="stop after N epochs without a better validation loss; needs --validation (default: never)",
    )
    add("--seed", type=_SEED, default=0, metavar="N", help="of weights and shuffling (default: %(default)s)")
    add("--float64", action="store_true", help="train in double precision (default: single)")
    add("--threads", type=_COUNT, metavar="N", help=f"threads to run on (default: {cgru.get_num_threads()} here)")
    add("-o", "--output", default="cgru-model.npz", metavar="MODEL", help="the model's file (default: %(default)s)")
    add("--plot", metavar="CURVE.png", help="draw loss and accuracy over the epochs (png, pdf, svg; default: no)")
    add("-q", "--quiet", action="store_true", help="no progress, results only (default: no)")

    add = command(predict, "Run a saved MODEL on DATA.npz: one prediction a line, or a file with all outputs.")
    add("model", metavar="MODEL", help="a file that `cgru fit` or Network.save wrote")
    add("data", metavar="DATA.npz", help="the sequences; of a file with a split, the test split")
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="write all outputs of the network to OUT, ending in .npz or .csv (default: predictions to stdout)",
    )

    add = command(evaluate, "Print the loss and the accuracy of a saved MODEL on DATA.npz.")
    add("model", metavar="MODEL", help="a file that `cgru fit` or Network.save wrote")
    add(
        "data",
        nargs="?",
        metavar="DATA.npz",
        help="the data set; of a file with a split, the test split (default: the embedded Japanese Vowels)",
    )

    command(info, "Print the version, the instruction set and the threads in use.")
    return parser


# --- fit ---


class Task(NamedTuple):
    """What is to be learned: classes, by their `names`, or where those are None real numbers."""

    names: tuple[str, ...] | None
    train: np.ndarray
    test: np.ndarray | None


def fit(arguments: argparse.Namespace) -> int:
    """`cgru fit`: whatever can be wrong is found out before the training starts."""
    if arguments.patience and not arguments.validation:
        raise RequestError("argument --patience: needs --validation SHARE")
    _check_output(arguments.output, arguments.data)
    draw = _plotter(arguments.plot, arguments.data, arguments.output) if arguments.plot else None
    if arguments.threads:
        with _as_request_error("argument --threads: "):
            cgru.set_num_threads(arguments.threads)
    data, source = _data(arguments.data)
    task = _task(data, source)
    progress = _Progress(arguments.epochs, arguments.quiet)
    progress.say(f"{source}: {_described(data, task)}")

    net = _network(arguments, task)
    start = time.perf_counter()
    with _as_request_error(f"{source}: "), progress:
        interrupted = _train(net, data, task, arguments, progress)
    seconds = time.perf_counter() - start
    if not net.history:
        return _say("cgru: interrupted before the first epoch was over: nothing is saved", 130)
    validated = net.history[-1].validation_loss is not None
    kept = min(net.history, key=lambda epoch: epoch.validation_loss) if validated else net.history[-1]

    with _as_request_error():
        net.save(arguments.output)
    if draw:
        draw(net.history)
    if interrupted:
        found = f"the best model so far, of epoch {kept.epoch} of {arguments.epochs}, is in {arguments.output}"
        return _say(f"cgru: interrupted: {found}", 130)
    if task.test is not None:
        print(f"test {_scored(net, data.test, task.test)}")
    elif validated:
        print(f"validation {_score(kept.validation_loss, kept.validation_accuracy)}")
    print(f"trained {len(net.history)} epochs in {seconds:.1f} s")
    print(f"model in {arguments.output}")
    return 0


def _network(arguments: argparse.Namespace, task: Task) -> cgru.Network:
    dtype = np.float64 if arguments.float64 else np.float32
    stack = [cgru.GRU(arguments.units, sequences=True, dtype=dtype) for _ in range(arguments.layers - 1)]
    if task.names is not None:
        head = cgru.Dense(len(task.names), activate=cgru.softmax, dtype=dtype)
    else:
        head = cgru.Dense(1 if task.train.ndim == 1 else task.train.shape[1], activate=cgru.identity, dtype=dtype)
    adam = cgru.Adam(
        arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        clip_norm=1.0,
        schedule=cgru.optimizers.cosine,
    )
    layers = [*stack, cgru.GRU(arguments.units, dtype=dtype), head]
    return cgru.Network(layers, optimizer=adam, seed=arguments.seed, class_names=task.names)


def _train(net: cgru.Network, data: Dataset, task: Task, arguments: argparse.Namespace, progress: _Progress) -> bool:
    """Fit `net`; return whether Ctrl-C ended it. Real targets are standardised, and the head then undoes it."""
    y, mean, scale = task.train, 0.0, 1.0
    if task.names is None:
        mean, scale = y.mean(axis=0), y.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        y = (y - mean) / scale
    try:
        net.fit(
            data.train.X,
            y,
            lengths=data.train.lengths,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            validation=arguments.validation or None,
            patience=arguments.patience,
            standardize=True,
            callback=progress,
        )
        return False
    except KeyboardInterrupt:
        return True
    finally:
        if task.names is None and net.history:
            p = net.layers[-1].p
            p["W"] *= scale
            p["b"] *= scale
            p["b"] += mean


class _Progress:
    """The callback of a fit. It shows a bar in a terminal where tqdm is installed, else about ten lines."""

    def __init__(self, epochs: int, quiet: bool):
        self.epochs, self.quiet = epochs, quiet
        self.bar: Any = None

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> _Progress:
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                # Some containers' terminals claim to have no rows and no columns: a bar would not be drawn at all.
                room = {} if all(os.get_terminal_size(sys.stderr.fileno())) else {"ncols": 80, "nrows": 24}
                layout = "{n}/{total} {bar} {elapsed}<{remaining}{postfix}"
                self.bar = tqdm(total=self.epochs, bar_format=layout, **room)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, epoch: Epoch) -> None:
        state = f"loss {epoch.loss:.3f}"
        if epoch.accuracy is not None:
            state += f", accuracy {epoch.accuracy:.1%}"
        if epoch.validation_loss is not None:
            state += f", validation {epoch.validation_loss:.3f}"
        if epoch.validation_accuracy is not None:
            state += f", {epoch.validation_accuracy:.1%}"
        if self.bar is not None:
            self.bar.set_postfix_str(state, refresh=False)
            self.bar.update()
        elif epoch.epoch in (1, self.epochs) or epoch.epoch % math.ceil(self.epochs / 10) == 0:
            self.say(f"epoch {epoch.epoch:{len(str(self.epochs))}}/{self.epochs}: {state}")


# --- predict, evaluate, info ---


def predict(arguments: argparse.Namespace) -> int:
    """`cgru predict`."""
    writers = {".npz": _write_npz, ".csv": _write_csv}
    write = None
    if arguments.output:
        write = writers.get(os.path.splitext(arguments.output)[1].lower())
        if write is None:
            raise RequestError(f"argument -o: expected a name ending in .npz or .csv, got {arguments.output!r}")
        _check_output(arguments.output, arguments.data, arguments.model)
    net = _load(arguments.model)
    data, source = _data(arguments.data)
    split, which = _used(data)
    if which:
        _say(f"{which} of {source}", 0)
    classes = None
    with _as_request_error(f"{source}: "):
        if write or net.loss == "mean_squared_error":
            outputs = net.predict(split.X, split.lengths)
        if net.loss != "mean_squared_error":
            classes = net.predict_classes(split.X, split.lengths)
    if write:
        write(arguments.output, outputs, classes, _names(net))
        return 0
    with _as_request_error(f"{arguments.model}: "):  # a class name may be more than the encoding of stdout has
        for row in outputs if classes is None else classes[:, None]:
            print(*row)
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """`cgru evaluate`."""
    net = _load(arguments.model)
    data, source = _data(arguments.data)
    split, which = _used(data)
    if split.y is None:
        raise RequestError(f"{source}: y is missing: there is nothing to compare with")
    y = split.y
    if net.loss != "mean_squared_error":
        y = _indices(_labels(y, data.class_names, _names(net)), _names(net), f"{source}: y")
    elif y.dtype.kind != "f":
        raise RequestError(f"{source}: y: expected real numbers, as the model predicts, got dtype {y.dtype}")
    with _as_request_error(f"{source}: "):
        print(f"{which or 'all'} of {source}: {_scored(net, split, y)}")
    return 0


def info(arguments: argparse.Namespace) -> int:
    """`cgru info`."""
    for name, value in {
        "cgru": cgru.__version__,
        "instruction set": cgru.kernels.level(),
        "threads": cgru.get_num_threads(),
        "dtype": "float64 by default, float32 in `cgru fit`",
        "Python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "NumPy": np.__version__,
        "tqdm": _version("tqdm"),
        "matplotlib": _version("matplotlib"),
    }.items():
        print(f"{name:16} {value}")
    return 0


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed (pip install "cgru[cli]")'


# --- data and models ---


def _data(path: str | None) -> tuple[Dataset, str]:
    """The data set, and what to call it."""
    if path is None:
        return load_japanese_vowels(), "Japanese Vowels"
    with _as_request_error():
        return read(path), path


def _load(path: str) -> cgru.Network:
    with _as_request_error():
        return cgru.load(path)


def _used(data: Dataset) -> tuple[Split, str]:
    """The split that is not for training, where there is one."""
    return (data.test, "test split") if data.test is not None else (data.train, "")


def _task(data: Dataset, source: str) -> Task:
    """What `data` asks to learn, its classes as indices; refuses a test split that could not be scored in the end."""
    if data.train is None:
        raise RequestError(f"{source}: train_x is missing: there is nothing to train on")
    prefix = "" if data.test is None else "train_"
    y, test = data.train.y, None if data.test is None else data.test.y
    if y is None:
        raise RequestError(f"{source}: {prefix}y is missing: there is nothing to learn")
    if data.test is not None and not np.isfinite(_real(data.test)).all():
        raise RequestError(f"{source}: test_x: expected finite numbers, got NaN or infinity")
    if test is not None and ((test.dtype.kind == "f") != (y.dtype.kind == "f") or test.shape[1:] != y.shape[1:]):
        due = f"{y.dtype} {('m', *y.shape[1:])}".replace("'", "")
        raise RequestError(f"{source}: test_y: expected the kind of train_y, {due}, got {test.dtype} {test.shape}")

    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise RequestError(f"{source}: {prefix}y: expected finite numbers, got NaN or infinity")
        return Task(None, y.astype(np.float64), test)

    labels = _labels(y, data.class_names)
    names = data.class_names or tuple(map(str, np.unique(y).tolist()))
    seen = set(labels)
    if len(seen) < 2:
        raise RequestError(f"{source}: {prefix}y: expected at least two classes, got {labels[0]} alone")
    train = _indices(labels, names, f"{source}: {prefix}y")
    if test is not None:
        labels = _labels(test, data.class_names)
        # Only what training saw: a class that merely has a name would be scored as if it could have been learned.
        _indices(labels, [name for name in names if name in seen], f"{source}: test_y")
        test = _indices(labels, names, f"{source}: test_y")
    return Task(names, train, test)


def _real(split: Split) -> np.ndarray:
    """The steps that are no padding (n, e)."""
    m, s, e = split.X.shape
    return split.X.reshape(m * s, e) if split.lengths is None else split.X[np.arange(s) < split.lengths[:, None]]


def _names(net: cgru.Network) -> tuple[str, ...]:
    """The class names of a model, which are the indices where it has none."""
    if net.class_names is not None:
        return tuple(net.class_names)
    return tuple(map(str, range(max(2, net.layers[-1].d["u"]))))


def _labels(y: np.ndarray, given: Sequence[str] | None, names: Sequence[str] = ()) -> list[str]:
    """`y` spelled out.

    Integers are indices into the class names `given` beside them; without those into the model's `names`, unless one
    of them is itself a number. Anything else is a name.
    """
    table = given or (() if any(name.lstrip("-").isdecimal() for name in names) else names)
    if y.dtype.kind in "iu" and table:
        return [table[i] if 0 <= i < len(table) else str(i) for i in y.tolist()]
    return list(map(str, y.tolist()))


def _indices(labels: Sequence[str], names: Sequence[str], where: str) -> np.ndarray:
    index = {name: i for i, name in enumerate(names)}
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise RequestError(f"{where}: expected the classes {_few(names)}, got {_few(unknown)}")
    return np.array([index[label] for label in labels])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:9]) + (", ..." if len(names) > 9 else "")


def _described(data: Dataset, task: Task) -> str:
    m, s, e = data.train.X.shape
    lengths = data.train.lengths
    steps = f"{s}" if lengths is None else f"{lengths.min()} to {lengths.max()}"
    goal = "regression" if task.names is None else f"{len(task.names)} classes"
    tested = "" if task.test is None else f", {len(task.test)} to test on"
    return f"{m} sequences to train on, of {steps} steps of {e} elements{tested}; {goal}"


def _scored(net: cgru.Network, split: Split, y: np.ndarray) -> str:
    scores = net.evaluate(split.X, y, lengths=split.lengths)
    accuracy = scores.get("accuracy")
    counted = "" if accuracy is None else f" ({round(accuracy * len(y))} of {len(y)})"
    return _score(scores["loss"], accuracy) + counted


def _score(loss: float, accuracy: float | None) -> str:
    return f"loss {loss:.4f}" + ("" if accuracy is None else f", accuracy {accuracy:.2%}")


# --- files to write ---


def _check_output(path: str, *read_from: str | None) -> None:
    """Refuse a `path` that could not be written in the end, or that would replace what is read."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise RequestError(f"{path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise RequestError(f"{path}: the folder {folder} cannot be written to")
    if not os.path.basename(path) or (os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)):
        raise RequestError(f"{path}: not the name of a file that could be written")
    for other in read_from:
        if other is not None and os.path.realpath(other) == os.path.realpath(path):
            raise RequestError(f"{path}: this would overwrite what the command reads or writes elsewhere")


@contextlib.contextmanager
def _beside(path: str) -> Iterator[str]:
    """A name beside `path` that takes its place once it is written whole."""
    path = os.path.realpath(path)
    name, ending = os.path.splitext(path)
    temporary = f"{name}.{os.getpid()}{ending}"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_npz(path: str, outputs: np.ndarray, classes: np.ndarray | None, names: tuple[str, ...]) -> None:
    arrays = {} if classes is None else {"classes": np.asarray(classes).astype(str)}
    with _beside(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, outputs=outputs, **arrays)


def _write_csv(path: str, outputs: np.ndarray, classes: np.ndarray | None, names: tuple[str, ...]) -> None:
    with _beside(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        k = outputs.shape[1]
        if classes is None:
            rows.writerow([f"output_{i}" for i in range(k)])
            rows.writerows(outputs)
        else:
            rows.writerow(["class", *(names if len(names) == k else [f"output_{i}" for i in range(k)])])
            rows.writerows([name, *row] for name, row in zip(classes, outputs, strict=True))


def _plotter(path: str, *others: str | None) -> Callable[[Sequence[Epoch]], None]:
    """What draws the curve into `path`; matplotlib is looked for now, not after the training."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RequestError('argument --plot: matplotlib is not installed; pip install "cgru[cli]"') from None
    _check_output(path, *others)
    figure = Figure(figsize=(7, 4), layout="constrained")
    kinds = figure.canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1].lower().lstrip(".")
    if kind not in kinds:
        raise RequestError(f"argument --plot: expected an ending of {', '.join(sorted(kinds))}, got {path!r}")

    def draw(history: Sequence[Epoch]) -> None:
        left = figure.add_subplot(xlabel="epoch", ylabel="loss")
        axes = {"loss": left}
        if history[0].accuracy is not None:
            axes["accuracy"] = left.twinx()
            axes["accuracy"].set(ylabel="accuracy", ylim=(0, 1.01))
        numbers = [epoch.epoch for epoch in history]
        for what, axis in axes.items():
            for prefix, style in (("", "-"), ("validation_", "--")):
                values = [getattr(epoch, prefix + what) for epoch in history]
                if values[0] is not None:
                    color, label = ("C0" if what == "loss" else "C1"), f"{prefix[:-1] or 'training'} {what}"
                    axis.plot(numbers, values, style, color=color, label=label)
        figure.legend(loc="outside upper center", ncols=4)
        with _beside(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150)

    return draw
