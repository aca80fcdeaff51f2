"""The arguments of the `cgru` command, whose parser is made of the options that the library declares and a few more.

`cgru.datasets.Columns` declares how data are read, `cgru.estimators.recipe.Recipe` the network, and
`cgru.network.options` the fit.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import cgru
from cgru.cli.help_text import DATA_HELP, EXAMPLES, SERIES_HELP
from cgru.core.checks import positive
from cgru.datasets.columns import Columns, ColumnsError, as_text
from cgru.estimators import model_selection, recipe
from cgru.estimators.recipe import Recipe
from cgru.network.files import FileError
from cgru.network.options import Checkpoint, Settings, share
from cgru.optimizers import check_number

__all__ = ["SERIES", "Request", "RequestError", "as_options", "as_request_error", "given", "parser"]

Request = argparse.Namespace  # of a subcommand; an option that is not given is None where the library has its default


class RequestError(Exception):
    """An error in the user's request: it is printed as one line, and the exit code is 2.

    Attributes:
        overview: lines about the columns of a table, to print below it.
        options: options that mend it, to add to the command.
    """

    def __init__(self, message: str, overview: str = "", options: str = "") -> None:
        """Make an error; see the class."""
        super().__init__(message)
        self.overview, self.options = overview, options


@contextlib.contextmanager
def as_request_error(prefix: str = "") -> Iterator[None]:
    """Raise the library's errors as RequestError; those that name no file begin with `prefix`."""
    try:
        yield
    except ColumnsError as error:
        problem = error.problem if error.source else prefix + error.problem
        if error.argument and not error.source:
            problem = f"argument {_spelled(error.argument)}: expected {error.expected}, got {error.got}"
        raise RequestError(problem, error.overview, as_options(error.cure or {})) from error
    except FileError as error:
        raise RequestError(str(error)) from error
    except (ImportError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise RequestError(f"{prefix}{error}") from error


def as_options(values: Mapping[str, Any]) -> str:
    """Write fields of `Columns` as options of the command: {"id": ("a",)} becomes --id a."""
    words = []
    for name, value in values.items():
        option = _spelled(name)
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif value is not None:
            text = shlex.quote(as_text(value))
            words.append(f"{option}={text}" if text.startswith("-") else f"{option} {text}")
    return " ".join(words)


def _spelled(name: str) -> str:
    """Return the option of a field: time_format becomes --time-format."""
    return f"--{name.replace('_', '-')}"


# --- declarations ---


class Argument(NamedTuple):
    """An argument of a subcommand.

    Attributes:
        name: its name in the request; `output` is --output.
        help: the help; the default is added if the text does not mention it.
        parse: a function that converts the text; `bool` for a flag.
        metavar: the placeholder of the value; None for a flag.
        default: the value if it is not given; None for that of the library.
        check: a function of the value and the spelled name that raises, or returns the value in the form that is used;
            None means unchanged.
        more: what argparse takes besides.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    default: Any = None
    check: Callable[[Any, str], Any] | None = None
    more: Mapping[str, Any] = {}

    def converted(self, text: str) -> Any:
        """Return the checked value of a text; RequestError for a wrong one."""
        name = f"argument {_spelled(self.name)}"
        try:
            value = self.parse(text)
        except ValueError:
            due = "an integer" if self.parse is int else "a number"
            raise RequestError(f"{name}: expected {due}, got {text!r}") from None
        with as_request_error():
            checked = None if self.check is None else self.check(value, name)
        return value if checked is None else checked


class Positional(Argument):
    """A positional argument of a subcommand."""


def _declared(kind: type, *names: str) -> list[Argument]:
    """Return the options of `Columns`, `Recipe` or `Settings` as arguments, by default all that the command has.

    `Columns` checks its values itself.
    """
    found = []
    for each in fields(kind):
        known = each.metadata.get("option") or SimpleNamespace(**{**each.metadata, "check": None})
        if getattr(known, "parse", None) is None or (names and each.name not in names):
            continue
        is_flag = known.parse is bool or not (known.metavar or known.choices)
        text, default = known.help.format(**vars(recipe)), each.default
        if kind is not Columns and default is not None and "default: " not in text:
            text += f" (default: {default if not is_flag else 'yes' if default else 'no'})"
        check = known.check or (share if known.metavar == "SHARE" else None)
        check = None if known.choices or known.metavar == "FILE" else check
        more = {"choices": known.choices} if known.choices else {}
        found.append(Argument(each.name, text, bool if is_flag else known.parse, known.metavar, None, check, more))
    return found


def _own(name: str, help: str, parse: Any = str, metavar: str | None = None, default: Any = None, **more: Any) -> Any:
    """Declare an option that only the command has; numbers are integers from 1 on unless `check` says otherwise."""
    check = more.pop("check", positive if parse is int else None)
    if parse is bool:
        help, default = f"{help} (default: no)", False
    elif default is not None and "default: " not in help:
        help += f" (default: {default})"
    return Argument(name, help, parse, metavar, default, check, more)


def given(request: Request, *names: str) -> dict[str, Any]:
    """Return the options that the user has set, of these names or else of `Columns`."""
    names = names or tuple(each.name for each in fields(Columns))
    return {name: value for name in names if (value := getattr(request, name, None)) is not None}


VOWELS = "(default: the embedded Japanese Vowels)"
PAGE = "PAGE.html"
MODEL = Positional("model", "a file that `cgru fit` or Network.save wrote", metavar="MODEL")
DATA = Positional("data", f"the data set, - for standard input {VOWELS}", metavar="DATA", more={"nargs": "?"})
SCORED = DATA._replace(help=f"the data set, - for standard input; of a file with a split, the test split {VOWELS}")
NEEDED = DATA._replace(help="the data set, - for standard input", more={})
TEST = _own("test", "the test data, read with the same options (default: the test split of DATA)", metavar="FILE")
QUIET = _own("quiet", "print results only, no progress", bool, short="-q")
THREADS = _own("threads", f"threads to run on (default: {cgru.get_num_threads()} here)", int, "N")
SEED = _own("seed", "seed of all that is drawn", int, "N", 0, check=check_number)
SECONDS = _declared(Checkpoint, "seconds")[0]._replace(name="checkpoint_seconds")
NAMES = Columns.__dataclass_fields__["label"].metadata["parse"]
SERIES = ("id", "time", "label", "ignore", "sort", "time_format", "time_unit", "decimal", "thousands", "value_units",
          "na", "header", "skip_lines", "sheet", "comment", "separator")  # fmt: skip
READING = {"reading the data": _declared(Columns)}

FIT = {
    "": [
        DATA, TEST, THREADS,
        _own("output", "file to save the model in", metavar="MODEL", default="cgru-model.npz", short="-o"),
        _own("plot", "draw loss and accuracy over the epochs (png, pdf, svg; default: no)", metavar="CURVE.png"),
        _own("html", "write a report on the test data, else those held back, else all (default: no)", metavar=PAGE),
        QUIET,
    ],
    **READING,
    "input layers": [
        *_declared(Recipe, "inputs"),
        _own("budget", "seconds on one core to choose and train, by a count of the work; 0 chooses without folds",
             float, "S", model_selection.BUDGET, check=check_number),
        _own("causal", "only layers that run step by step, as in a stream or C: one direction, no normalize", bool),
    ],
    "the network": [*(each for each in _declared(Recipe) if each.name != "inputs"), SEED],
    "training": [*_declared(Settings), *_declared(Checkpoint, "resume"), SECONDS],
}  # fmt: skip
PREDICT = {
    "": [
        MODEL, NEEDED,
        _own("output", "write all outputs to OUT, a .npz or .csv; - writes CSV to stdout (default: print predictions)",
             metavar="OUT", short="-o"),
    ],
    **READING,
}  # fmt: skip
EVALUATE = {
    "": [
        MODEL, SCORED,
        _own("report", "print scores by class, confusions and calibration; or errors by fifths of the target", bool),
        _own("html", "write it with pictures as an HTML page (default: no)", metavar=PAGE),
    ],
    **READING,
}  # fmt: skip
FORECAST = {
    "": [
        Positional("series", "the table; - for standard input", metavar="SERIES.csv"),
        _own("horizon", "number of values to forecast", int, "N", required=True),
        _own("season", "steps of a season, 1 for none (default: by the step of the times)", int, "N"),
        _own("origins", "number of tests in the past, 0 for none", int, "N", 10, check=check_number),
        _own("inputs", "other columns to read, up to the present (default: none)", metavar="COL", nargs="+"),
        _own("known", "columns that go on after the last value, such as holidays (default: none)", NAMES, "A,B"),
        _own("calendar", "read hour of day, day of week and day of year, by the step of the dates", bool),
        _own("missing", "what to do with missing values and times", choices=("refuse", "interpolate"),
             default="refuse"),
        _own("quantiles", "quantiles to forecast as well, such as 0.1 0.9 (default: none)", float, "Q", nargs="+",
             check=partial(check_number, below=1.0, above=True)),
        _own("width", "number of values that the networks read (default: two seasons)", int, "N"),
        _own("model", "model that makes the forecast; auto: the tests choose one, or the mean of the best",
             default="auto", choices=("auto", "gru", "linear", "ets", "climatology", "seasonal", "naive")),
        SEED, THREADS,
        _own("output", "file for the forecast; - for stdout, with all else on stderr (default: print it)",
             metavar="FORECAST.csv", short="-o"),
        _own("plot", "draw the series and its forecast (png, pdf, svg; default: no)", metavar="F.png"),
        _own("html", "write errors, forecast and picture as an HTML page (default: no)", metavar=PAGE),
        _own("save", "save the model, for cgru.forecast.load (default: no)", metavar="MODEL"),
        QUIET,
    ],
    "reading the data": _declared(Columns, *SERIES),
}  # fmt: skip
EXPORT = {
    "": [
        MODEL,
        _own("output", "the C file; NAME.h is written next to it", metavar="NAME.c", short="-o", required=True),
        _own("name", "prefix of the public names in C (default: NAME)", metavar="NAME"),
        _own("dtype", "precision of the C code (default: that of the model)", choices=("float32", "float64")),
        _own("weights", "where the weights are: in the C file, or in NAME.weights, which the program loads",
             default="code", choices=("code", "file")),
    ]
}  # fmt: skip
QUANTIZE = {
    "": [
        MODEL, SCORED,
        _own("output", "the file to write", metavar="SMALL", short="-o", required=True),
        _own("weights", "type of the weights", default="int8", choices=("int8", "bfloat16")),
        _own("activations", "int16: compute with integers alone, scaled by the maxima in DATA", choices=("int16",)),
        _own("calibrate", "quantise all inputs of a layer with one scale, by their maximum in DATA", bool),
        _own("limit", "keep bfloat16 in layers whose int8 outputs have a lower signal-to-noise ratio", float, "DB"),
    ],
    **READING,
}  # fmt: skip
SHELL = Positional("shell", "the shell: bash, zsh or tcsh", metavar="SHELL", more={"choices": ("bash", "zsh", "tcsh")})

# For each subcommand what it does, its arguments by their group in the help, and what the help says of files.
COMMANDS: dict[str, tuple[str, Mapping[str, Sequence[Argument]], str]] = {
    "fit": ("Train a network on DATA, or on the embedded Japanese Vowels, and save it.", FIT, DATA_HELP),
    "predict": ("Print the predictions of a MODEL for DATA, or write all its outputs to a file.", PREDICT, DATA_HELP),
    "evaluate": ("Score a MODEL on DATA: the loss, and the accuracy or the RMSE.", EVALUATE, DATA_HELP),
    "forecast": ("Forecast the next values of a series, and test such forecasts in its past.", FORECAST, SERIES_HELP),
    "export": ("Write a MODEL as one C file and a header, to run without Python.", EXPORT, ""),
    "quantize": ("Write a MODEL with int8 or bfloat16 weights, and compare both on DATA.", QUANTIZE, DATA_HELP),
    "data": ("Print the columns of DATA and how they are read.", {"": [NEEDED, TEST], **READING}, DATA_HELP),
    "info": ("Describe this installation, or a MODEL.", {"": [MODEL._replace(more={"nargs": "?"})]}, ""),
    "completion": ("Print a script that completes commands, options and files in a shell.", {"": [SHELL]}, ""),
}  # fmt: skip

# --- the parser ---

_FILES = {"CURVE.png", "DATA", "F.png", "FILE", "FORECAST.csv", "MODEL", "NAME.c", "OUT", PAGE, "SERIES.csv", "SMALL"}
_COMPLETE_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # as shtab spells it


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises RequestError, suggests corrections, and accepts values such as -999,-."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, after joining an option to a value that begins with a dash but is no option."""
        joined: list[str] = []
        for each in sys.argv[1:] if args is None else args:
            name = each.partition("=")[0]
            if self._subparsers is None and re.match(r"--\w", each) and name not in self._option_string_actions:
                raise RequestError(f"{self.prog} has no option {name}{_meant(name, self._option_string_actions)}")
            before = self._option_string_actions.get(joined[-1]) if joined else None
            if before is not None and before.nargs is None and re.match(r"-(?!-?[a-zA-Z])", each):
                each = f"{joined.pop()}={each}"
            joined.append("--na=--," if each == "--na=--" else each)  # argparse would drop the value --
        return super().parse_known_args(joined, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise RequestError for a value that is none of an argument's choices."""
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            due = f"one of {', '.join(action.choices)}, got {value!r}{_meant(value, action.choices)}"
            raise RequestError(f"argument {name}: expected {due}")

    def error(self, message: str):
        """Raise the error of a wrong argument as RequestError, where argparse would exit."""
        raise RequestError(message)


def _meant(word: str, known: Iterable[str]) -> str:
    """Return a "did you mean" hint for a misspelled word, or ""."""
    found = difflib.get_close_matches(word, [*known], 1)
    return f"; did you mean {found[0]}?" if found else ""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; `command` among its results is the name of the subcommand, or None."""
    whole = _Parser(prog="cgru", description="Train and run recurrent networks (GRU) on the CPU.", allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"cgru {cgru.__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name, (summary, groups, files) in COMMANDS.items():
        examples = "\n".join(f"  cgru {name} {each}" for each in EXAMPLES[name])
        texts = {"description": textwrap.fill(summary, 80), "epilog": f"{files}\nexamples:\n{examples}"}
        form = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(name, help=summary, **texts, formatter_class=form, allow_abbrev=False)
        for title, arguments in groups.items():
            group = added.add_argument_group(title) if title else added
            for each in arguments:
                _add(group, each)
        known = [each for each in added._actions if each.required or not each.option_strings]
        words = [" ".join([*each.option_strings[-1:], each.metavar]) for each in known]
        words = [f"[{word}]" if each.nargs == "?" else word for word, each in zip(words, known, strict=True)]
        added.usage = " ".join([f"cgru {name}", "[OPTION ...]", *words])
    return whole


def _add(group: Any, argument: Argument) -> None:
    """Add an argument to a parser or to a group of its help."""
    known = {**argument.more, "help": argument.help.replace("%", "%%"), "default": argument.default}
    if argument.parse is bool:
        known["action"] = argparse.BooleanOptionalAction if argument.default is None else "store_true"
    else:
        known |= {"type": argument.converted, "metavar": argument.metavar}
    names = [known.pop("short", None), argument.name if isinstance(argument, Positional) else _spelled(argument.name)]
    added = group.add_argument(*filter(None, names), **known)
    added.help = known["help"]  # up to Python 3.12 argparse adds the default of some actions again
    if argument.metavar in _FILES:
        added.complete = _COMPLETE_FILES
