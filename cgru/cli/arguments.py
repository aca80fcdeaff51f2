"""The arguments of the `cgru` command: a request, a dataclass, for each subcommand, and `RequestError`.

The fields of a request declare its arguments. The argparse parser and the help are made from them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any, ClassVar

import cgru
from cgru import input_layers, losses, model_selection, recipe
from cgru.cli.help_text import DATA_HELP, EXAMPLES, SERIES_HELP
from cgru.datasets.columns import Columns, ColumnsError, as_text
from cgru.datasets.missing_values import MISSING
from cgru.network.options import OPTIONS, Settings

__all__ = [
    "Building", "CompletionRequest", "DataRequest", "EvaluateRequest", "ExportRequest", "FitRequest",
    "ForecastRequest", "InfoRequest", "PredictRequest", "QuantizeRequest", "Reading", "RequestError",
    "Training", "as_data_error", "as_options", "as_request_error", "parser", "requested", "with_missing_advice",
]  # fmt: skip


class RequestError(Exception):
    """An error in the user's request: it is printed as one line, and the exit code is 2.

    Attributes:
        overview: lines about the columns of a table, to print below it.
        options: options that mend it, as text to put behind the command.
    """

    overview, options = "", ""


@contextlib.contextmanager
def as_request_error(prefix: str = "", spell: Callable[[str], str] = str) -> Iterator[None]:
    """Raise the library's errors about its arguments as RequestError, their text spelled by `spell` after a prefix."""
    try:
        yield
    except ColumnsError as error:
        found = RequestError(error.problem)
        found.overview, found.options = error.overview, as_options(error.cure or {})
        raise found from error
    except (ImportError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise RequestError(f"{prefix}{spell(str(error))}") from error


def as_options(values: Mapping[str, Any]) -> str:
    """Spell fields of `Columns` as options of the command: {"id": ("a",)} as --id a."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif value is not None:
            text = shlex.quote(as_text(value))
            words.append(f"{option}={text}" if text.startswith("-") else f"{option} {text}")
    return " ".join(words)


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


def _pool_name(text: str) -> str:
    """Check the name of a pooling, and return it."""
    try:
        return cgru.Pool(text).how
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("how: ")) from None


def _name_list(text: str) -> tuple[str, ...]:
    """Split names at commas, as in CSV: a name in quotes may have commas."""
    return tuple(name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip())


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
    _name_list: "NAME", _loss_name: "LOSS",
    _pool_name: "HOW", float: "DB",
}  # fmt: skip
_FILES = {
    "CURVE.png", "DATA", "F.png", "FILE", "FORECAST.csv", "MODEL", "NAME.c", "OUT", "PAGE.html",
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
    return option("the test data, read with the same options (default: the test split of DATA)", "FILE")


def _threads() -> Any:
    """Declare --threads, the number of fits at once."""
    return option("number of fits that run at once (default: {threads} here)", _COUNT)


def _quiet() -> Any:
    """Declare --quiet."""
    return option("print results only, no progress", bool, short="-q")


# --- parts of requests ---


@dataclass(frozen=True)
class Building:
    """The options of the network that `cgru fit` builds, as a `cgru.recipe.Recipe` takes them."""

    title: ClassVar = "the network"

    units: int = option("units of each GRU layer", _COUNT, recipe.UNITS)
    layers: int | None = option(
        "number of GRU layers (default: with --inputs auto one or two, the better in folds; else one)", _COUNT
    )
    bidirectional: bool = option(
        "run each GRU layer in both directions, with --units in each; models for streams and C need "
        "--no-bidirectional (default: yes)",
        _YES_NO,
        True,
    )
    output_dropout: float = option("dropout rate at the head, and between GRU layers", _SHARE, recipe.DROPOUT)
    recurrent_dropout: float = option("dropout rate of the states from step to step", _SHARE, recipe.RECURRENT_DROPOUT)
    pool: str | None = option(
        "pooling of the states over the steps: last, mean, max or attention (learned weights), or several joined by +; "
        "not with --per-step (default: with --inputs auto the best in folds; else {POOL}, behind a convolution mean)",
        _pool_name,
    )
    float64: bool = option("train in double precision (default: single)", bool)
    learning_rate: float = option(
        "highest learning rate of Adam, reached after a third of the fit; then it falls to 0",
        _RATE,
        recipe.LEARNING_RATE,
    )
    weight_decay: float = option("decoupled weight decay, as in AdamW", _DECAY, recipe.WEIGHT_DECAY)
    clip_norm: float = option("scale the gradients of an update down to this joint L2 norm", _RATE, 1.0, "NORM")
    loss: str | None = option(
        f"loss of a regression: {', '.join(_REGRESSIONS[:-1])} or {_REGRESSIONS[-1]}, such as huber(0.5) or "
        "quantile(0.1,0.5,0.9); of classes: cross_entropy, or cross_entropy(0.1) with smoothed labels "
        "(default: {LOSS}; for classes cross_entropy)",
        _loss_name,
    )
    seed: int = option("seed of the weights and the shuffling", _FROM_0, 0)


@dataclass(frozen=True)
class Inputs:
    """The options of the layers that prepare the inputs, as `cgru.model_selection.choose` takes them."""

    title: ClassVar = "input layers"

    inputs: str = option(
        'layers before the first GRU layer: raw for none; or normalize, difference, "frames(length,hop)" and '
        '"convolution(width,stride,channels)", joined by + (default: auto, the best in three folds of the training '
        "data; raw with --per-step)",
        _checked(lambda text: text == input_layers.AUTO or input_layers.parse(text)),
        input_layers.AUTO,
        "LAYERS",
    )
    budget: float = option(
        "time to choose and train, in seconds on one core, estimated by a count of the work; 0 chooses without folds",
        _SECONDS,
        model_selection.BUDGET,
        "S",
    )
    causal: bool = option("only layers that run step by step, as in a stream or C: one direction, no normalize", bool)


def _of_table(each: Any) -> Any:
    """Declare a field of `Columns` as an option of the command; without it the value is None."""
    known, check = each.metadata, each.metadata["check"]
    if each.type.startswith("bool"):
        return option(known["help"].replace("%", "%%"), _YES_NO)

    def parse(text: str) -> Any:
        """Return the checked value of a text; ArgumentTypeError for a wrong one."""
        try:
            return check(known["parse"](text))
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"expected {error}, got {text!r}") from None

    read = known["choices"] or parse
    return option(known["help"].replace("%", "%%"), read, metavar=known["metavar"])


def _of_tables(name: str, text: str, fields: Sequence[Any]) -> type:
    """Return a request whose options are fields of `Columns`."""
    declared = [(each.name, Any, _of_table(each)) for each in fields]
    return make_dataclass(
        name, declared, frozen=True, namespace={"__doc__": text, "title": "reading the data"}
    )  # fmt: skip


SERIES = (
    "id", "time", "label", "ignore", "sort", "time_format", "time_unit", "decimal", "thousands", "na", "header",
    "skip_lines", "comment", "separator",
)  # fmt: skip
Reading = _of_tables("Reading", "The options by which a data file is read; None: its default.", fields(Columns))
ReadingSeries = _of_tables(
    "ReadingSeries", "The options by which series are read.", [each for each in fields(Columns) if each.name in SERIES]
)


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
    output: str = option("file to save the model in", "MODEL", "cgru-model.npz", short="-o")
    plot: str | None = option("draw loss and accuracy over the epochs (png, pdf, svg; default: no)", "CURVE.png")
    html: str | None = option(
        "write a report as an HTML page: on the test data, else on the samples held back, else on the training data; "
        "not after an interrupted fit (needs scikit-learn and matplotlib; default: no)",
        "PAGE.html",
    )
    quiet: bool = _quiet()


@dataclass(frozen=True)
class PredictRequest:
    """Run a saved MODEL on DATA: print one prediction a line, or write all outputs to a file. With predictions at each
    step an empty line ends each sequence.
    """

    model: str = _model()
    data: str = positional("DATA", "the data set, - for standard input; of a file with a split, the test split")
    reading: Reading = part(Reading)
    output: str | None = option(
        "write all outputs of the network to OUT, a file ending in .npz or .csv; - writes the CSV to stdout (default: "
        "print predictions alone)",
        "OUT",
        short="-o",
    )


@dataclass(frozen=True)
class EvaluateRequest:
    """Score a saved MODEL on DATA: print the loss, and the accuracy or, of a regression, the RMSE."""

    model: str = _model()
    data: str | None = _scored_data()
    reading: Reading = part(Reading)
    report: bool = option(
        "print precision and recall of each class, the confusion matrix and the calibration; for a regression the "
        "errors by fifths of the target (needs scikit-learn)",
        bool,
    )
    html: str | None = option(
        "write it with pictures as an HTML page (needs matplotlib, too; default: no)", "PAGE.html"
    )
    importance: bool = option(
        "add the permutation importance to the report: the accuracy, or R2, that is lost if a feature, or a tenth of "
        "the steps, is shuffled among the sequences; it predicts DATA five times for each",
        bool,
    )


@dataclass(frozen=True)
class ForecastRequest:
    """Forecast the next values of a series, and print the errors of such forecasts in its past, next to those
    of simpler models.
    """

    series: str = positional("SERIES.csv", "the table, text or Parquet, as described below; - for standard input")
    horizon: int = option("number of values to forecast", _COUNT, required=True)
    season: int | None = option(
        "steps of a season, 1 for none (default: by the step of the times, such as 12 of months)", _COUNT
    )
    origins: int = option("number of tests in the past, 0 for none", _FROM_0, 10)
    inputs: list[str] | None = option("other columns to read, up to the present (default: none)", "COL", nargs="+")
    known: tuple[str, ...] | None = option(
        "columns that are known in the future, such as holidays; they go on in rows below the last value, where the "
        "target is empty (default: none)",
        _name_list,
        metavar="A,B",
    )
    calendar: bool = option(
        "read the place in the calendar: hour of day and day of week, day of week and day of year, or day of year, by "
        "the step",
        bool,
    )
    reading: ReadingSeries = part(ReadingSeries)
    missing: str = option("what to do with missing values and times", ("refuse", "interpolate"), "refuse")
    quantiles: list[float] | None = option(
        "quantiles to forecast as well, such as 0.1 0.9 (default: none)", _QUANTILE, nargs="+"
    )
    width: int | None = option("number of values that the networks read (default: two seasons)", _COUNT)
    model: str = option(
        "model that makes the forecast (default: auto, the tests choose one, or the mean of the best)",
        ("auto", "gru", "linear", "ets", "climatology", "seasonal", "naive"),
        "auto",
    )
    seed: int = option("seed of the networks", _FROM_0, 0)
    threads: int | None = _threads()
    output: str | None = option(
        "file for the forecast; - for stdout, with all else on stderr (default: print it)",
        "FORECAST.csv",
        short="-o",
    )
    plot: str | None = option("draw the series and its forecast (png, pdf, svg; default: no)", "F.png")
    html: str | None = option(
        "write errors, forecast and picture as an HTML page (needs matplotlib; default: no)", "PAGE.html"
    )
    save: str | None = option("save the model, for cgru.forecast.load (default: no)", "MODEL")
    quiet: bool = _quiet()


@dataclass(frozen=True)
class ExportRequest:
    """Write a saved MODEL as one C file and a header, to run without Python."""

    model: str = _model()
    output: str = option("the C file; NAME.h is written beside it", "NAME.c", short="-o", required=True)
    name: str | None = option("prefix of the public names in C (default: NAME)", "NAME")
    dtype: str | None = option("precision of the C code (default: that of the model)", ("float32", "float64"))


@dataclass(frozen=True)
class QuantizeRequest:
    """Write a saved MODEL with int8 or bfloat16 weights, a quarter or half as large, and compare both on DATA."""

    model: str = _model()
    data: str | None = _scored_data()
    reading: Reading = part(Reading)
    output: str = option("the file to write", "SMALL", short="-o", required=True)
    weights: str = option("type of the weights", ("int8", "bfloat16"), "int8")
    calibrate: bool = option(
        "quantise all inputs of a layer with one scale, by their maximum in DATA (of a split, in the training data), "
        "instead of one for each step",
        bool,
    )
    limit: float | None = option(
        "keep bfloat16 weights in layers whose outputs in int8 have a lower signal-to-noise ratio on that data", float
    )


@dataclass(frozen=True)
class DataRequest:
    """Print what would be read from DATA, and what was guessed; train nothing."""

    data: str = positional("DATA", "the data set to read, - for standard input")
    test: str | None = _test()
    reading: Reading = part(Reading)


@dataclass(frozen=True)
class InfoRequest:
    """Print the version, the instruction set and the threads; or what a MODEL reads, predicts and was trained on."""

    model: str | None = _model(nargs="?")


@dataclass(frozen=True)
class CompletionRequest:
    """Print a script that completes commands, options and files in a shell."""

    shell: str = positional("SHELL", "the shell: bash, zsh or tcsh", choices=("bash", "zsh", "tcsh"))


# For each subcommand its request and what its help says of files.
REQUESTS = {
    "fit": (FitRequest, DATA_HELP),
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
