"""The arguments of the `cgru` command: a request, a dataclass, for each subcommand, and `RequestError`.

The fields of a request declare its arguments. The argparse parser and the help are made from them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any, ClassVar

import cgru
from cgru import input_layers, losses, model_selection, recipe
from cgru.cli.help_text import DATA_HELP, EXAMPLES, PLAN_HELP, SERIES_HELP
from cgru.datasets.missing_values import MISSING, parse_filling
from cgru.datasets.windows import parse_windows
from cgru.network.options import OPTIONS, Settings

__all__ = [
    "Building", "CompletionRequest", "DataRequest", "EvaluateRequest", "ExportRequest", "FitRequest",
    "ForecastRequest", "InfoRequest", "ManyRequest", "PredictRequest", "QuantizeRequest", "Reading", "RequestError",
    "Training", "as_data_error", "as_request_error", "parser", "requested", "with_missing_advice",
]  # fmt: skip


class RequestError(Exception):
    """An error in the user's request: it is printed as one line, and the exit code is 2."""


@contextlib.contextmanager
def as_request_error(prefix: str = "", spell: Callable[[str], str] = str) -> Iterator[None]:
    """Raise the library's errors about its arguments as RequestError, their text spelled by `spell` after a prefix."""
    try:
        yield
    except (ImportError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise RequestError(f"{prefix}{spell(str(error))}") from error


def as_data_error(source: str) -> contextlib.AbstractContextManager[None]:
    """Raise the library's errors about data from `source` as RequestError; errors on NaN get advice on --missing."""
    return as_request_error(f"{source}: ", with_missing_advice)


def with_missing_advice(error: str) -> str:
    """Return the text of an error, with advice on --missing where it is about NaN in X."""
    found = re.search(r"(?:\b|_)[xX]: expected (.*)", error)
    return f"{error}; --missing {MISSING[1]} fills NaN" if found and "NaN" in found[1] else error


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises RequestError, and takes values of --na that look like options."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, after joining --na to a value that begins with a dash, such as -999,- or --."""
        joined: list[str] = []
        for each in sys.argv[1:] if args is None else args:
            if joined[-1:] == ["--na"] and re.match(r"-(?!-?[a-zA-Z])", each):
                each = f"{joined.pop()}={each}"
            joined.append("--na=--," if each == "--na=--" else each)  # argparse would drop the value --
        return super().parse_known_args(joined, namespace)

    def error(self, message: str):
        """Raise the error of a wrong argument as RequestError, where argparse would exit."""
        raise RequestError(message)


def _number_type(kind: type, what: str, allowed: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return an argparse type for numbers of a `kind` that are `allowed`; `what` describes them in the error."""

    def parse(text: str):
        """Return the number that a text has; ArgumentTypeError if it has none, or none that is allowed."""
        with contextlib.suppress(ValueError):
            value = kind(text)
            if allowed(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")

    return parse


_COUNT = _number_type(int, "an integer of at least 1", lambda value: value >= 1)
_SECONDS = _number_type(float, "a number of at least 0", lambda value: value >= 0)
_FROM_0 = _number_type(int, "an integer of at least 0", lambda value: value >= 0)
_QUANTILE = _number_type(float, "a number between 0 and 1", lambda value: 0 < value < 1)
_RATE = _number_type(float, "a number above 0", lambda value: 0 < value < float("inf"))
_DECAY = _number_type(float, "a number of at least 0", lambda value: 0 <= value < float("inf"))
_SHARE = _number_type(float, "a share of at least 0 and below 1", lambda value: 0 <= value < 1)


def _loss_name(text: str) -> str:
    """Check the name of a loss that the command can train with, and return it in its long form."""
    with contextlib.suppress(ValueError):
        loss = losses.named(text)
        if not loss.classifies or loss.takes_class_numbers:
            return losses.SHORT.get(text, text)
    known = f"{', '.join(sorted(_REGRESSIONS))}, or for classes cross_entropy(SMOOTHING)"
    raise argparse.ArgumentTypeError(f"expected one of {known}, got {text!r}")


def _checked(parse: Callable[[str], Any]) -> Callable[[str], str]:
    """Return an argparse type for texts that `parse` accepts; its error begins with the name of the argument."""

    def check(text: str) -> str:
        """Check a text, and return it."""
        try:
            parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None
        return text

    return check


def _executor_name(text: str) -> str:
    """Check the value of --executor, and return it."""
    kind, _, address = text.partition(":")
    if text == "mpi" or (kind == "dask" and address):
        return text
    raise argparse.ArgumentTypeError(f"expected dask:ADDRESS or mpi, got {text!r}")


def _pool_name(text: str) -> str:
    """Check the name of a pooling, and return it."""
    try:
        return cgru.Pool(text).how
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("how: ")) from None


def _name_list(text: str) -> tuple[str, ...]:
    """Split names at commas, as in CSV: a name in quotes may have commas."""
    return tuple(name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip())


def _word_list(text: str) -> tuple[str, ...]:
    """Split words at commas, but refuse a number with a decimal comma, which would become two words."""
    if found := re.search(r"(?:^|,) *([+-]?\d+,\d+) *(?=,|$)", text):
        one, two = found[1].replace(",", "."), found[1].replace(",", ", ")
        raise argparse.ArgumentTypeError(f"expected {one} for one number, or {two!r} for two, got {text!r}")
    return _name_list(text)


# --- how a request declares its arguments ---


def positional(metavar: str, text: str, **rest: Any) -> Any:
    """Declare a positional argument of a request, with `text` as its help; `rest` is passed to argparse."""
    return field(metadata={"metavar": metavar, "help": text, **rest})


def option(text: str, read: Any, default: Any = None, metavar: str | None = None, **rest: Any) -> Any:
    """Declare an option of a request, named after its field (`output_dropout` is --output-dropout), read by `read`.

    Args:
        text: the help; the default is added where the text does not mention it.
        read: a function that converts the text; or a string, the metavar of a text; or a tuple of choices; or bool, for
            a flag; or an action of argparse.
        default: the value where the option is not given.
        metavar: the placeholder of the value in the help; None: as `_METAVARS` has it for `read`.
        rest: passed to argparse; `short` is a second name, such as -o.
    """
    if isinstance(read, tuple):
        known = {"choices": read}
    elif isinstance(read, str):
        known = {"metavar": read}
    elif read is bool or read is _YES_NO:
        known = {"action": "store_true" if read is bool else read}
    else:
        known = {"type": read, "metavar": metavar or _METAVARS[read]}
    default = default or False if read is bool else default
    if default is not None and "default: " not in text:
        text += " (default: no)" if read is bool else " (default: %(default)s)"
    return field(metadata={"short": None, "help": text, "default": default, **known, **rest})


def part(request: type) -> Any:
    """Declare a field that is a request of its own: the subcommand has its arguments, below its `title` in the help."""
    return field(metadata={"part": request})


def _declare(parser: argparse.ArgumentParser, request: type, group: argparse._ArgumentGroup | None = None) -> None:
    """Add the arguments of a request to the parser, inherited ones last; its options to a group of the help, if any."""
    names = vars(recipe) | {"threads": cgru.get_num_threads()}
    inherited = getattr(request.__base__, "__dataclass_fields__", ())
    for each in sorted(fields(request), key=lambda each: each.name in inherited):
        known = dict(each.metadata)
        if "part" in known:
            _declare(parser, known["part"], parser.add_argument_group(known["part"].title))
            continue
        known["help"] = known["help"].format(**names)
        if "short" in known:
            called = (known.pop("short"), f"--{each.name.replace('_', '-')}")
            added = (group or parser).add_argument(*filter(None, called), **known)
            added.help = known["help"]  # up to Python 3.12 argparse adds the default of some actions again
        else:
            added = parser.add_argument(each.name, **known)
        if known.get("metavar") in _FILES:
            added.complete = _COMPLETE_FILES


def _request_of(request: type, found: argparse.Namespace) -> Any:
    """Make a request, and the requests in it, from the parsed arguments."""
    parts = {each.name: each.metadata.get("part") for each in fields(request)}
    return request(**{name: _request_of(own, found) if own else getattr(found, name) for name, own in parts.items()})


_YES_NO = argparse.BooleanOptionalAction
_REGRESSIONS = [name for name, kind in losses.LOSSES.items() if not kind.classifies]
_METAVARS = {
    _COUNT: "N", _FROM_0: "N", _SECONDS: "S", _QUANTILE: "Q", _RATE: "RATE", _DECAY: "RATE", _SHARE: "RATE",
    _name_list: "NAME", _word_list: "WORD,...", _loss_name: "LOSS", _executor_name: "WHERE",
    _pool_name: "HOW", float: "DB",
}  # fmt: skip
_FILES = {
    "CURVE.png", "DATA", "F.png", "FILE", "FORECAST.csv", "MODEL", "NAME.c", "OUT", "PAGE.html", "PLAN.toml",
    "SERIES.csv", "SMALL",
}  # fmt: skip
_COMPLETE_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # as shtab spells it
_VOWELS = "(default: the embedded Japanese Vowels)"


# --- arguments that several requests have ---


def _model(**rest: Any) -> Any:
    """Declare MODEL."""
    return positional("MODEL", "a file that `cgru fit` or Network.save wrote", **rest)


def _scored_data() -> Any:
    """Declare DATA to score a model on."""
    return positional(
        "DATA", f"the data set, - for standard input; of a file with a split, the test split {_VOWELS}", nargs="?"
    )


def _test() -> Any:
    """Declare --test."""
    return option("the test data, read as DATA is (default: the test split of DATA)", "FILE")


def _threads() -> Any:
    """Declare --threads, the number of fits at once."""
    return option("fits at once (default: {threads} here)", _COUNT)


def _quiet() -> Any:
    """Declare --quiet."""
    return option("no progress, results only", bool, short="-q")


# --- parts of requests ---


@dataclass(frozen=True)
class Building:
    """The options of the network that `cgru fit` builds, as a `cgru.recipe.Recipe` takes them."""

    title: ClassVar = "the network"

    units: int = option("units of a GRU layer", _COUNT, recipe.UNITS)
    layers: int | None = option(
        "GRU layers (default: one, or with --inputs auto the better in folds of one and two)", _COUNT
    )
    bidirectional: bool = option(
        "run each layer in both directions, with as many units in each; a model for streams or for C needs "
        "--no-bidirectional (default: yes)",
        _YES_NO,
        True,
    )
    output_dropout: float = option(
        "dropout rate of the inputs of the head and of the layers above the first", _SHARE, recipe.DROPOUT
    )
    recurrent_dropout: float = option("dropout rate of the states from step to step", _SHARE, recipe.RECURRENT_DROPOUT)
    pool: str | None = option(
        "pooling of the states for the head: last, mean, max or attention (by learned weights), or some of these "
        "joined by + (default: with --inputs auto the best in folds, else {POOL}, mean behind a convolution; with a "
        "target for each step there is nothing to pool)",
        _pool_name,
    )
    float64: bool = option("train in double precision (default: single)", bool)
    learning_rate: float = option(
        "largest learning rate of Adam: it rises to that in the first third and falls to 0", _RATE, recipe.LEARNING_RATE
    )
    weight_decay: float = option("decoupled, AdamW", _DECAY, recipe.WEIGHT_DECAY)
    clip_norm: float = option("scale the gradients of a step down to this joint L2 norm", _RATE, 1.0, "NORM")
    loss: str | None = option(
        f"of a regression: {', '.join(_REGRESSIONS[:-1])} or {_REGRESSIONS[-1]}, with numbers as in huber(0.5) or "
        "quantile(0.1,0.5,0.9); of classes: cross_entropy, or cross_entropy(0.1) with smoothed labels "
        "(default: {LOSS}, of classes cross_entropy)",
        _loss_name,
    )
    seed: int = option("of weights and shuffling", _FROM_0, 0)


@dataclass(frozen=True)
class Inputs:
    """The options of the layers that prepare the inputs, as `cgru.model_selection.choose` takes them."""

    title: ClassVar = "what stands before the network"

    inputs: str = option(
        'layers before the first GRU layer: raw for none, or some of normalize, difference, "frames(length,hop)" and '
        '"convolution(width,stride,channels)", joined by + in their order (default: auto, the best in three folds of '
        "the training data; raw with a target for each step)",
        _checked(lambda text: text == input_layers.AUTO or input_layers.parse(text)),
        input_layers.AUTO,
        "LAYERS",
    )
    budget: float = option(
        "seconds on one core that choosing and training may take, by a count of the work; 0 chooses without folds",
        _SECONDS,
        model_selection.BUDGET,
        "S",
    )
    causal: bool = option("keep to what runs a step at a time, in a stream and as C: one direction, no normalize", bool)


@dataclass(frozen=True)
class Cells:
    """The options by which the cells of a table are read."""

    title: ClassVar = "how the data are read"

    na: tuple[str, ...] | None = option(
        "words that mean a missing value, too, such as -999,- (default: none beside empty, NA, ?, ...)", _word_list
    )
    decimal: str | None = option("the decimal sign of a text file (default: as its numbers look)", (".", ","))
    time_format: str | None = option("how times are written, such as %%d.%%m.%%Y (default: as they look)", "FORMAT")


@dataclass(frozen=True)
class Reading(Cells):
    """The options by which a data file is read, as `cgru.datasets.read` takes them; None: its default."""

    id: tuple[str, ...] | None = option(
        "column that says which sequence a row belongs to, or several, A,B (default: by its name)", _name_list
    )
    time: tuple[str, ...] | None = option(
        "column that steps are sorted by, or several that say it together, such as year,month,day or a date and a "
        'time; "": as rows come (default: by its name, or its values)',
        _name_list,
    )
    label: tuple[str, ...] | None = option(
        'column of the target, or several of numbers, A,B; "": none (default: by its name)', _name_list
    )
    columns: tuple[str, ...] | None = option(
        "columns with the features of a step, also the time (default: all others)", _name_list, metavar="A,B"
    )
    ignore: tuple[str, ...] | None = option(
        "columns that are no features of a step (default: none)", _name_list, metavar="A,B"
    )
    groups: tuple[str, ...] | None = option(
        "column, or array of an .npz, that says which sequences belong together, such as a subject: whole groups are "
        "held back (default: none)",
        _name_list,
    )
    categories: tuple[str, ...] | None = option(
        "columns, such as text, of a row for each step that are encoded one-hot, a feature for each value (default: "
        "none, of a model as in its own training)",
        _name_list,
        metavar="A,B",
    )
    wide: bool | None = option("each row of the table is a sequence (default: by its columns)", _YES_NO)
    per_step: bool | None = option("there is a label, or several of numbers, for each step (default: no)", _YES_NO)
    task: str | None = option(
        "kind of the targets (default: integers and strings are classes, reals are numbers)",
        ("classification", "regression"),
    )
    missing: str | None = option(
        f"values that are missing, {', '.join(MISSING)}: refuse them, or take of their sequence the last one before, "
        "the line between those before and after, or 0; by column, A=interpolate,B=zero; zero+indicator adds a "
        "feature that says where one was missing; decay keeps them missing, for a network that reads that, and the "
        "times of --time, however irregular (default: refuse, of a model as in its own training)",
        _checked(parse_filling),
        metavar="HOW",
    )
    split_at: str | None = option(
        "make rows of one id that lie further apart in time sequences of their own: a number where times are numbers, "
        "else 30d, 6h, 10min, ... (default: none, of a model as in its own training)",
        "GAP",
    )
    time_step: bool | None = option(
        "take the time since the row before for a feature as well, 0 in the first row, in seconds where times are "
        "dates (default: no, of a model as in its own training)",
        _YES_NO,
    )
    windows: str | None = option(
        "cut sequences into windows of LENGTH steps every HOP; the label is that of a window's last step, unless it is "
        "--per-step (default: whole sequences, of a model as in its own training)",
        _checked(parse_windows),
        metavar="LENGTH,HOP",
    )
    axes: str | None = option("the axes of x in an .npz: samples, steps, features (default: mse)", ("mse", "mes"))


def _of_fit(name: str) -> Any:
    """Declare an option of `Network.fit` as an option of the command, from its entry in `OPTIONS`."""
    shown, unsaid = OPTIONS[name].command
    known = {"": bool, "N": _COUNT, "SHARE": _SHARE, "S": _SECONDS}
    text, default = f"{OPTIONS[name].help} (default: {unsaid})", None if name == "epochs" else getattr(Settings, name)
    return option(text, known.get(shown, shown), default, "SHARE" if shown == "SHARE" else None)


# The options of `Network.fit` that the command has.
Training = make_dataclass(
    "Training",
    [(name, Any, _of_fit(name)) for name, each in OPTIONS.items() if each.command is not None],
    frozen=True,
    namespace={"__doc__": "How `cgru fit` trains, by the options of `Network.fit`.", "title": "training"},
)


# --- requests ---


@dataclass(frozen=True)
class FitRequest:
    """Train a network on DATA, or on the embedded Japanese Vowels, and save it."""

    data: str | None = positional("DATA", f"the data set, - for standard input {_VOWELS}", nargs="?")
    test: str | None = _test()
    reading: Reading = part(Reading)
    preparing: Inputs = part(Inputs)
    building: Building = part(Building)
    training: Any = part(Training)
    threads: int | None = option("threads to run on (default: {threads} here)", _COUNT)
    output: str = option("the model's file", "MODEL", "cgru-model.npz", short="-o")
    plot: str | None = option("draw loss and accuracy over the epochs (png, pdf, svg; default: no)", "CURVE.png")
    html: str | None = option(
        "write a report as one page, as evaluate does: of the test data, else of what was held back, else of what it "
        "was trained on; not of a fit that was interrupted (needs scikit-learn and matplotlib; default: no)",
        "PAGE.html",
    )
    quiet: bool = _quiet()


@dataclass(frozen=True)
class ManyRequest:
    """Run the fits of a PLAN, many at once, and choose the best setting."""

    plan: str = positional("PLAN.toml", "the plan, as below")
    results: str | None = option("where results are kept and found again (default: as the plan says)", "FILE")
    retry: bool = option("run failed fits again", bool)
    threads: int | None = _threads()
    processes: int | None = option("fit in so many processes in the place of threads", _COUNT)
    executor: str | None = option("fit elsewhere: dask:ADDRESS, of a scheduler, or mpi", _executor_name)
    quiet: bool = _quiet()


@dataclass(frozen=True)
class PredictRequest:
    """Run a saved MODEL on DATA: one prediction a line, with predictions at each step an empty line after each
    sequence; or a file with all outputs.
    """

    model: str = _model()
    data: str = positional("DATA", "the sequences, - for standard input; of a file with a split, the test split")
    reading: Reading = part(Reading)
    output: str | None = option(
        "write all outputs of the network to OUT, ending in .npz or .csv; - writes that CSV to stdout (default: "
        "predictions to stdout)",
        "OUT",
        short="-o",
    )


@dataclass(frozen=True)
class EvaluateRequest:
    """Print the loss and the accuracy (of a regression the RMSE) of a saved MODEL on DATA."""

    model: str = _model()
    data: str | None = _scored_data()
    reading: Reading = part(Reading)
    report: bool = option(
        "print precision and recall of each class, the confusion matrix and the calibration; of a regression errors by "
        "fifths of the target (needs scikit-learn)",
        bool,
    )
    html: str | None = option("write it with plots as an HTML page (needs matplotlib, too; default: no)", "PAGE.html")
    importance: bool = option(
        "add to the report how much accuracy, or R2, is lost where a feature, or a tenth of the steps, is shuffled "
        "among the sequences: five predictions of DATA for each",
        bool,
    )


@dataclass(frozen=True)
class ForecastRequest:
    """Forecast the next values of a series, and print the errors of such forecasts in its past, beside those of
    simpler models.
    """

    series: str = positional("SERIES.csv", "the table, as text or Parquet, as below; - for standard input")
    horizon: int = option("how many values to forecast", _COUNT, required=True)
    season: int | None = option("steps of a season, 1 for none (default: guessed, and said)", _COUNT)
    origins: int = option("tests in the past, 0 for none", _FROM_0, 10)
    target: list[str] | None = option("what to forecast (default: the only column of numbers)", "COL", nargs="+")
    inputs: list[str] | None = option(
        "what else the model reads, up to the present (default: nothing)", "COL", nargs="+"
    )
    known: tuple[str, ...] | None = option(
        "what is known in the future, too, such as holidays: columns that go on in rows below the last value, with an "
        "empty target (default: nothing)",
        _name_list,
        metavar="A,B",
    )
    calendar: bool | None = option(
        "read the hour of day and day of week, the day of week and day of year, or the day of year, by the step "
        "(default: of steps below a week, if the longer of the two cycles shows in the series)",
        _YES_NO,
    )
    time: tuple[str, ...] | None = option(
        'the times, or several columns that say them together, a date and a time or a year and a month, A,B; "" for '
        "none (default: by their names, or what they hold)",
        _name_list,
        metavar="COL",
    )
    id: str | None = option("which series a row belongs to (default: all to one)", "COL")
    cells: Cells = part(Cells)
    missing: str = option("what to do about values and times that are missing", ("refuse", "interpolate"), "refuse")
    quantiles: list[float] | None = option(
        "forecast these as well, such as 0.1 0.9 (default: none)", _QUANTILE, nargs="+"
    )
    width: int | None = option("values that the model reads (default: two seasons)", _COUNT)
    model: str = option(
        "which of those that are compared makes the forecast (default: the tests choose one, or a weighted mean)",
        ("auto", "gru", "linear", "ets", "climatology", "two-seasons", "seasonal", "naive"),
        "auto",
    )
    seed: int = option("of the networks", _FROM_0, 0)
    threads: int | None = _threads()
    output: str | None = option(
        "write the forecast to a file; - for stdout, with all else on stderr (default: to stdout)",
        "FORECAST.csv",
        short="-o",
    )
    plot: str | None = option("draw the series and its forecast (png, pdf, svg; default: no)", "F.png")
    html: str | None = option(
        "write errors, forecast and picture as an HTML page (needs matplotlib; default: no)", "PAGE.html"
    )
    save: str | None = option("keep the model for cgru.forecast.load (default: no)", "MODEL")
    quiet: bool = _quiet()


@dataclass(frozen=True)
class ExportRequest:
    """Write a saved MODEL as one C file and a header, to run without Python."""

    model: str = _model()
    output: str = option("the C file; NAME.h is written beside it", "NAME.c", short="-o", required=True)
    name: str | None = option("what public names in C begin with (default: NAME)", "NAME")
    dtype: str | None = option("the numbers it computes with (default: the model's own)", ("float32", "float64"))


@dataclass(frozen=True)
class QuantizeRequest:
    """Write a saved MODEL with int8 or bfloat16 weights, a quarter or half as large, and print what that changes on
    DATA.
    """

    model: str = _model()
    data: str | None = _scored_data()
    reading: Reading = part(Reading)
    output: str = option("the file to write", "SMALL", short="-o", required=True)
    weights: str = option("type of the weights", ("int8", "bfloat16"), "int8")
    calibrate: bool = option(
        "quantise all inputs of a layer with one scale, by their maximum in DATA (of a split, the training data), not "
        "with one for each step",
        bool,
    )
    limit: float | None = option(
        "let a layer keep bfloat16 weights whose outputs in int8 have a lower signal-to-noise ratio on that data", float
    )


@dataclass(frozen=True)
class DataRequest:
    """Say what would be read from DATA, and train nothing."""

    data: str = positional("DATA", "the data set that would be read, - for standard input")
    test: str | None = _test()
    reading: Reading = part(Reading)


@dataclass(frozen=True)
class InfoRequest:
    """Print the version, the instruction set and the threads in use; or of a MODEL what it reads, predicts and was
    trained on.
    """

    model: str | None = _model(nargs="?")


@dataclass(frozen=True)
class CompletionRequest:
    """Print a script by which a shell completes the command's options and files."""

    shell: str = positional("SHELL", "bash, zsh or tcsh", choices=("bash", "zsh", "tcsh"))


# For each subcommand its request and what its help says of files.
REQUESTS = {
    "fit": (FitRequest, DATA_HELP),
    "many": (ManyRequest, PLAN_HELP),
    "predict": (PredictRequest, DATA_HELP),
    "evaluate": (EvaluateRequest, DATA_HELP),
    "forecast": (ForecastRequest, SERIES_HELP),
    "export": (ExportRequest, None),
    "quantize": (QuantizeRequest, DATA_HELP),
    "data": (DataRequest, DATA_HELP),
    "info": (InfoRequest, None),
    "completion": (CompletionRequest, None),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; `command` among its results is the name of the subcommand, or None."""
    whole = _Parser(prog="cgru", description="Train and run recurrent networks (GRU) on the CPU.", allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"cgru {cgru.__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name, (request, epilog) in REQUESTS.items():
        summary = " ".join(request.__doc__.split())
        texts = {"help": summary, "description": textwrap.fill(summary, 80), "epilog": (epilog or "") + _examples(name)}
        form = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(name, **texts, formatter_class=form, allow_abbrev=False)
        _declare(added, request)
        added.usage = _usage(f"cgru {name}", added)
    return whole


def _examples(name: str) -> str:
    """Return the end of a subcommand's help: commands, and above each what it does."""
    return "\nexamples:\n" + "\n".join(f"  # {what}\n  {command}" for what, command in EXAMPLES[name])


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    """Return a usage with the arguments that a subcommand must have, and those that stand alone."""
    known = [each for each in parser._actions if each.required or not each.option_strings]
    words = [" ".join([*each.option_strings[-1:], each.metavar]) for each in known]
    optional = [f"[{word}]" if each.nargs == "?" else word for word, each in zip(words, known, strict=True)]
    return " ".join([name, "[OPTION ...]", *optional])


def requested(arguments: Sequence[str] | None) -> tuple[str | None, Any]:
    """Parse command-line arguments; return (subcommand, its request), or (None, None) without a subcommand.

    arguments: None: those of this process.
    """
    found = parser().parse_args(arguments)
    return found.command, None if found.command is None else _request_of(REQUESTS[found.command][0], found)
