"""What the `cgru` command can be asked: its arguments, and the error for a request that cannot be met."""

from __future__ import annotations

import argparse
import contextlib
import csv
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cgru
from cgru import losses, recipe
from cgru.cli.words import DATA_HELP, PLAN_HELP, SERIES_HELP
from cgru.datasets.gaps import MISSING

__all__ = ["RequestError", "as_request_error", "fillable", "of_samples", "parser"]


class RequestError(Exception):
    """What the user asked for cannot be done; the message says why."""


@contextlib.contextmanager
def as_request_error(prefix: str = "") -> Iterator[None]:
    """The library's own errors about what it was given, as the command's."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise RequestError(f"{prefix}{error}") from error


@contextlib.contextmanager
def of_samples(source: str) -> Iterator[None]:
    """The library's errors about samples as the command's, with what fills those that are missing."""
    try:
        with as_request_error(f"{source}: "):
            yield
    except RequestError as error:
        raise RequestError(fillable(str(error))) from error.__cause__


def fillable(error: str) -> str:
    """The error; about NaN in X with what fills them."""
    return f"{error}; --missing {MISSING[1]} fills NaN" if re.search(r"(\b|_)[xX]: expected .*NaN", error) else error


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The same, though --na has an argument that begins as an option does, such as -999,- or --."""
        joined: list[str] = []
        for each in sys.argv[1:] if args is None else args:
            if joined[-1:] == ["--na"] and re.match(r"-(?!-?[a-zA-Z])", each):
                each = f"{joined.pop()}={each}"
            joined.append("--na=--," if each == "--na=--" else each)  # of which argparse would leave nothing
        return super().parse_known_args(joined, namespace)

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
_SECONDS = _number(float, "a number of at least 0", lambda value: value >= 0)
_SEED = _number(int, "an integer of at least 0", lambda value: value >= 0)
_ORIGINS = _number(int, "an integer of at least 0", lambda value: value >= 0)
_QUANTILE = _number(float, "a number between 0 and 1", lambda value: 0 < value < 1)
_RATE = _number(float, "a number above 0", lambda value: 0 < value < float("inf"))
_DECAY = _number(float, "a number of at least 0", lambda value: 0 <= value < float("inf"))
_SHARE = _number(float, "a share of at least 0 and below 1", lambda value: 0 <= value < 1)


def _loss(text: str) -> str:
    with contextlib.suppress(ValueError):
        if not losses.classifies(text):
            return losses.SHORT.get(text, text)
    raise argparse.ArgumentTypeError(f"expected one of {', '.join(sorted(_REGRESSIONS))}, got {text!r}")


def _executor(text: str) -> str:
    kind, _, address = text.partition(":")
    if text == "mpi" or (kind == "dask" and address):
        return text
    raise argparse.ArgumentTypeError(f"expected dask:ADDRESS or mpi, got {text!r}")


_REGRESSIONS = [name for name, kind in losses.LOSSES.items() if not kind.classifies]
_MODEL_HELP = "a file that `cgru fit` or Network.save wrote"
_VOWELS = "(default: the embedded Japanese Vowels)"
Add = Callable[..., Any]


def parser() -> argparse.ArgumentParser:
    """The parser; `command` is the name of one of the commands, or None."""
    whole = _Parser(prog="cgru", description="Train and run recurrent networks (GRU) on the CPU.", allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"cgru {cgru.__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", title="commands", dest="command")

    def command(name: str, summary: str, epilog: str | None = DATA_HELP) -> Add:
        texts = {"help": summary, "description": summary, "epilog": epilog}
        form = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, **texts, formatter_class=form, allow_abbrev=False).add_argument

    add = command("fit", "Train a network on DATA, or on the embedded Japanese Vowels, and save it.")
    _add_model(add)
    _add_test(add)
    _add_reading(add)
    _add_training(add)
    _add_running(add)
    _add_many(command("many", "Do the fits of a PLAN, many at once, and say which setting is best.", epilog=PLAN_HELP))
    _add_predict(
        command(
            "predict",
            "Run a saved MODEL on DATA: one prediction a line, with predictions at each step an empty line after "
            "each sequence; or a file with all outputs.",
        )
    )
    _add_evaluate(
        command("evaluate", "Print the loss and the accuracy (of a regression the RMSE) of a saved MODEL on DATA.")
    )
    _add_forecast(
        command(
            "forecast",
            "Forecast the next values of a series, and say what such forecasts would have been worth in its past, "
            "beside those of simpler models.",
            epilog=SERIES_HELP,
        )
    )
    _add_export(
        command("export", "Write a saved MODEL as one C file and a header, to run without Python.", epilog=None)
    )
    _add_quantize(
        command(
            "quantize",
            "Write a saved MODEL with int8 or bfloat16 weights, a quarter or half as large, and say what that changes "
            "on DATA.",
        )
    )
    add = command("data", "Say what would be read from DATA, and train nothing.")
    add("data", metavar="DATA", help="the data set that would be read")
    _add_test(add)
    _add_reading(add)
    add = command(
        "info",
        "Print the version, the instruction set and the threads in use; or of a MODEL what it reads, predicts and was "
        "trained on.",
        epilog=None,
    )
    add("model", nargs="?", metavar="MODEL", help=_MODEL_HELP)
    return whole


def _add_model(add: Add) -> None:
    """What `cgru fit` trains, and on what."""
    add("data", nargs="?", metavar="DATA", help=f"the data set {_VOWELS}")
    add("--units", type=_COUNT, default=recipe.UNITS, metavar="N", help="units of a GRU layer (default: %(default)s)")
    add("--layers", type=_COUNT, default=1, metavar="N", help="GRU layers (default: %(default)s)")
    add(
        "--bidirectional",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run each layer in both directions, with as many units in each; a model for streams or for C needs "
        "--no-bidirectional (default: yes)",
    )
    add(
        "--output-dropout",
        type=_SHARE,
        default=recipe.DROPOUT,
        metavar="RATE",
        help="share of what the head gets, and the layers above the first, to drop in training (default: %(default)s)",
    )
    add(
        "--recurrent-dropout",
        type=_SHARE,
        default=recipe.RECURRENT_DROPOUT,
        metavar="RATE",
        help="share of the states to drop in training on their way from step to step (default: %(default)s)",
    )
    add(
        "--pool",
        choices=("last", "mean", "max", "last+mean+max"),
        help="what the head gets of all states: the last, their mean, the largest, or all three (default: "
        f"{recipe.POOL}; with a class for each step there is nothing to pool)",
    )
    add("--float64", action="store_true", help="train in double precision (default: single)")


def _add_test(add: Add) -> None:
    add("--test", metavar="FILE", help="test on what is in FILE, which is read as DATA is (default: what DATA says)")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip())


def _words(text: str) -> tuple[str, ...]:
    """Words as names; refused where one number with a decimal comma would be two."""
    if found := re.search(r"(?:^|,) *([+-]?\d+,\d+) *(?=,|$)", text):
        one, two = found[1].replace(",", "."), found[1].replace(",", ", ")
        raise argparse.ArgumentTypeError(f"expected {one} for one number, or {two!r} for two, got {text!r}")
    return _names(text)


def _add_reading(add: Add) -> None:
    """How a data file is read."""
    add(
        "--id",
        type=_names,
        metavar="NAME",
        help="column that says which sequence a row belongs to, or several, A,B (default: by its name)",
    )
    add(
        "--time",
        type=_names,
        metavar="NAME",
        help="column that steps are sorted by, or several that say it together, such as year,month,day or a date and a "
        'time; "": as rows come (default: by its name, or its values)',
    )
    add(
        "--label",
        type=_names,
        metavar="NAME",
        help='what is to be learned, or several numbers, A,B; "": nothing (default: by its name)',
    )
    _add_time_format(add)
    add(
        "--columns",
        type=_names,
        metavar="A,B",
        help="columns with the elements of a step, also the time (default: all others)",
    )
    add("--ignore", type=_names, metavar="A,B", help="columns that are no elements of a step (default: none)")
    add(
        "--groups",
        type=_names,
        metavar="NAME",
        help="column, or array of an .npz, that says which sequences belong together, such as a subject: whole groups "
        "are held back (default: none)",
    )
    add(
        "--wide",
        action=argparse.BooleanOptionalAction,
        help="each row of the table is a sequence (default: by its columns)",
    )
    add("--per-step", action="store_true", default=None, help="the label is a class for each step (default: no)")
    add(
        "--task",
        choices=("classification", "regression"),
        help="take targets for classes, or for numbers (default: integers and strings are classes, reals are numbers)",
    )
    add(
        "--missing",
        choices=MISSING,
        help="values that are missing: refuse them, or take of their sequence the last one before, or the line between "
        "those before and after, or 0 (default: refuse, of a model as in its own training)",
    )
    add(
        "--split-at",
        metavar="GAP",
        help="make rows of one id that lie further apart in time sequences of their own: a number where times are "
        "numbers, else 30d, 6h, 10min, ... (default: none, of a model as in its own training)",
    )
    add(
        "--time-step",
        action=argparse.BooleanOptionalAction,
        help="take the time since the row before for an element as well, 0 in the first row, in seconds where times "
        "are dates (default: no, of a model as in its own training)",
    )
    _add_cells(add)
    add("--axes", choices=("mse", "mes"), help="the axes of x in an .npz: samples, steps, elements (default: mse)")


def _add_time_format(add: Add) -> None:
    add("--time-format", metavar="FORMAT", help="how times are written, such as %%d.%%m.%%Y (default: as they look)")


def _add_cells(add: Add) -> None:
    add(
        "--na",
        type=_words,
        metavar="WORD,...",
        help="words in a table that mean a missing value, too, such as -999,- (default: none beside empty, NA, ?, ...)",
    )
    add("--decimal", choices=(".", ","), help="the decimal sign of a text file (default: as its numbers look)")


def _add_training(add: Add) -> None:
    """How `cgru fit` trains."""
    add(
        "--epochs",
        type=_COUNT,
        metavar="N",
        help=f"passes over the data (default: as many as make {recipe.UPDATES} updates, {recipe.EPOCHS} at the least)",
    )
    add("--batch-size", type=_COUNT, metavar="N", help="sequences an update (default: a fortieth of all, 16 to 64)")
    add(
        "--learning-rate",
        type=_RATE,
        default=recipe.LEARNING_RATE,
        metavar="RATE",
        help="Adam's at its height: it rises to that in the first third and falls to 0 (default: %(default)s)",
    )
    add(
        "--weight-decay",
        type=_DECAY,
        default=recipe.WEIGHT_DECAY,
        metavar="RATE",
        help="decoupled, AdamW (default: %(default)s)",
    )
    add(
        "--clip-norm",
        type=_RATE,
        default=1.0,
        metavar="NORM",
        help="scale the gradients of a step down to this joint L2 norm (default: %(default)s)",
    )
    add(
        "--validation",
        type=_SHARE,
        metavar="SHARE",
        help="share of the training data to hold back; the weights that do best on it are kept, and a regression by "
        f"squared error is shrunk towards the mean by it (default: 0, of a regression {recipe.VALIDATION})",
    )
    add(
        "--patience",
        type=_COUNT,
        metavar="N",
        help="stop after N epochs without a better validation loss; needs --validation (default: never, of a "
        f"regression {recipe.PATIENCE})",
    )
    add(
        "--loss",
        type=_loss,
        metavar="LOSS",
        help=f"of a regression: {', '.join(_REGRESSIONS[:-1])} or {_REGRESSIONS[-1]}, with numbers as in huber(0.5) or "
        f"quantile(0.1,0.5,0.9); classes are learned by cross-entropy (default: {recipe.LOSS})",
    )
    add(
        "--class-weight",
        choices=("balanced",),
        help="let all classes count the same, however many sequences they have (default: no)",
    )
    add("--seed", type=_SEED, default=0, metavar="N", help="of weights and shuffling (default: %(default)s)")


def _add_running(add: Add) -> None:
    """What `cgru fit` takes and leaves."""
    add("--threads", type=_COUNT, metavar="N", help=f"threads to run on (default: {cgru.get_num_threads()} here)")
    add("-o", "--output", default="cgru-model.npz", metavar="MODEL", help="the model's file (default: %(default)s)")
    add(
        "--checkpoint",
        metavar="FILE",
        help="keep in FILE what --resume goes on from, should this be stopped (default: no)",
    )
    add(
        "--checkpoint-seconds",
        type=_SECONDS,
        default=10.0,
        metavar="S",
        help="write it at most every S seconds, at the end of an epoch (default: %(default)g)",
    )
    add("--resume", action="store_true", help="go on from the --checkpoint, where there is one (default: begin anew)")
    add("--plot", metavar="CURVE.png", help="draw loss and accuracy over the epochs (png, pdf, svg; default: no)")
    add(
        "--html",
        metavar="PAGE.html",
        help="write a report as one page, as evaluate does: of the test data, else of what was held back, else of what "
        "it was trained on; not of a fit that was interrupted (needs scikit-learn and matplotlib; default: no)",
    )
    add("-q", "--quiet", action="store_true", help="no progress, results only (default: no)")


def _add_many(add: Add) -> None:
    add("plan", metavar="PLAN.toml", help="what is to be fitted, as below")
    add("--results", metavar="FILE", help="where results are kept and found again (default: as the plan says)")
    add("--retry", action="store_true", help="run again what failed (default: no)")
    add("--threads", type=_COUNT, metavar="N", help=f"fits at once (default: {cgru.get_num_threads()} here)")
    add("--processes", type=_COUNT, metavar="N", help="fit in so many processes in the place of threads")
    add("--executor", type=_executor, metavar="WHERE", help="fit elsewhere: dask:ADDRESS, of a scheduler, or mpi")
    add("-q", "--quiet", action="store_true", help="no progress, results only (default: no)")


def _add_predict(add: Add) -> None:
    add("model", metavar="MODEL", help=_MODEL_HELP)
    add("data", metavar="DATA", help="the sequences; of a file with a split, the test split")
    _add_reading(add)
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="write all outputs of the network to OUT, ending in .npz or .csv (default: predictions to stdout)",
    )


def _add_evaluate(add: Add) -> None:
    add("model", metavar="MODEL", help=_MODEL_HELP)
    add("data", nargs="?", metavar="DATA", help=f"the data set; of a file with a split, the test split {_VOWELS}")
    _add_reading(add)
    add(
        "--report",
        action="store_true",
        help="print what becomes of each class, which are taken for which, and how far probabilities can be believed; "
        "of a regression errors by fifths of the target (needs scikit-learn; default: no)",
    )
    add("--html", metavar="PAGE.html", help="write that with pictures as one page (needs matplotlib, too; default: no)")


def _add_forecast(add: Add) -> None:
    add("series", metavar="SERIES.csv", help="the table, as text or Parquet, as below")
    add("--horizon", type=_COUNT, required=True, metavar="N", help="how many values to forecast")
    add("--season", type=_COUNT, metavar="N", help="steps of a season, 1 for none (default: guessed, and said)")
    add(
        "--origins", type=_ORIGINS, default=10, metavar="N", help="tests in the past, 0 for none (default: %(default)s)"
    )
    add("--target", nargs="+", metavar="COL", help="what to forecast (default: the only column of numbers)")
    add("--inputs", nargs="+", metavar="COL", help="what else the model reads, up to the present (default: nothing)")
    add(
        "--time",
        type=_names,
        metavar="COL",
        help="the times, or several columns that say them together, a date and a time or a year and a month, A,B; "
        '"" for none (default: by their names, or what they hold)',
    )
    _add_time_format(add)
    add("--id", metavar="COL", help="which series a row belongs to (default: all to one)")
    _add_cells(add)
    add(
        "--missing",
        choices=("refuse", "interpolate"),
        default="refuse",
        help="what to do about values and times that are missing (default: %(default)s)",
    )
    add(
        "--quantiles",
        nargs="+",
        type=_QUANTILE,
        metavar="Q",
        help="forecast these as well, such as 0.1 0.9 (default: none)",
    )
    add("--width", type=_COUNT, metavar="N", help="values that the model reads (default: two seasons)")
    add(
        "--model",
        choices=("gru", "linear", "seasonal", "naive"),
        default="gru",
        help="which of those that are compared makes the forecast (default: %(default)s)",
    )
    add("--seed", type=_SEED, default=0, metavar="N", help="of the networks (default: %(default)s)")
    add("--threads", type=_COUNT, metavar="N", help=f"fits at once (default: {cgru.get_num_threads()} here)")
    add("-o", "--output", metavar="FORECAST.csv", help="write the forecast to a file (default: to stdout)")
    add("--plot", metavar="F.png", help="draw the series and its forecast (png, pdf, svg; default: no)")
    add("--save", metavar="MODEL", help="keep the model for cgru.forecast.load (default: no)")
    add("-q", "--quiet", action="store_true", help="no progress, results only (default: no)")


def _add_export(add: Add) -> None:
    add("model", metavar="MODEL", help=_MODEL_HELP)
    add("-o", "--output", required=True, metavar="NAME.c", help="the C file; NAME.h is written beside it")
    add("--name", help="what public names in C begin with (default: NAME)")
    add("--dtype", choices=("float32", "float64"), help="the numbers it computes with (default: the model's own)")


def _add_quantize(add: Add) -> None:
    add("model", metavar="MODEL", help=_MODEL_HELP)
    add("data", nargs="?", metavar="DATA", help=f"the data set; of a file with a split, the test split {_VOWELS}")
    _add_reading(add)
    add("-o", "--output", required=True, metavar="SMALL", help="the file to write")
    add("--weights", choices=("int8", "bfloat16"), default="int8", help="of what (default: %(default)s)")
    add(
        "--calibrate",
        action="store_true",
        help="give all inputs of a layer one scale, of the largest in DATA (with a split in what is for training), "
        "in the place of one for each step",
    )
    add(
        "--limit",
        type=float,
        metavar="DB",
        help="let a layer keep bfloat16 weights whose outputs in int8 have a lower signal-to-noise ratio on that data",
    )
