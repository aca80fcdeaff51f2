"""The `cgru` command: fit, predict, evaluate, forecast, export, quantize, data, info, completion.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 2 after an error in the request, printed as one
line, with a command that mends it where there is one; 130 after Ctrl-C; 141 where the reader of stdout has closed it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Sequence

import numpy as np

import cgru
from cgru.cli.arguments import Request, RequestError, as_options, as_request_error, given, parser
from cgru.cli.data import columns_of, is_table, opened, training_data
from cgru.cli.fit_command import fit
from cgru.cli.forecast import forecast
from cgru.cli.model_commands import evaluate, export, load_model, predict, quantize
from cgru.cli.output import echo, require, say
from cgru.datasets import Columns, described, overview, read_series

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own arguments) and return its exit code."""
    argv = sys.argv[1:] if argv is None else [*argv]
    functions = fit, predict, evaluate, forecast, export, quantize, data, info, completion
    commands = {each.__name__: each for each in functions} | {None: lambda _: parser().print_help()}
    try:
        request = parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"note: {message}")
            code = commands[request.command](request)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        return say("cgru: interrupted", 130)
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except (OSError, MemoryError) as error:
        _discard_stdout()
        text = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else str(error)
        return say(f"cgru: error: {text or 'out of memory'}", 2)
    except RequestError as error:
        say(f"cgru: error: {error}")
        more = [error.overview, error.options and f"cgru {shlex.join(argv)} {error.options}"]
        echo(*(f"{text}\n" for text in more if text), sep="", end="", file=sys.stderr)
        return 2


def _discard_stdout() -> None:
    """Point stdout to the null device: otherwise the interpreter, at exit, fails to write what is buffered."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)


def data(request: Request) -> None:
    """Run `cgru data`: print the columns of a table, the options that it needs, and a summary of its data."""
    with as_request_error(), opened(request.data) as path:
        if request.test is not None or not is_table(path, request.data):
            request.data = path
            echo(*described(training_data(request)[0]), sep="\n")
            return
        lines, error, found = overview(path, **given(request))
        command, cure = "fit", error and error.cure
        if found is not None and found.train.y is None:
            cure = (cure or {}) | {"label": ("COLUMN",)}
            if not found.columns.wide and 1 in (len(found.train.X.X), len(found.feature_names)):
                command, cure = "forecast --horizon 10", {}
                try:
                    read_series(path, **given(request))
                except ValueError as other:
                    cure = getattr(other, "cure", None)
    echo(*lines, sep="\n")
    if error is not None:
        echo(error.problem)
    if cure is not None:
        echo(f"cgru {command} {shlex.quote(request.data)} {as_options(cure)}".rstrip())
    if found is not None:
        echo(*described(found), sep="\n")


def info(request: Request) -> None:
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
    if request.model is not None:
        found = _about(load_model(request.model), columns_of(request.model))
    with as_request_error(f"{request.model}: "):  # stdout may lack characters of a name
        for name, value in found.items():
            echo(f"{name:16} {value}")


def _about(net: cgru.Network, columns: Columns) -> dict[str, str]:
    """Describe a model as a dict of texts: layers, loss, classes, features, how its data are read."""
    read = {name: value for name, value in columns.to_dict().items() if name != "parts"}
    found = {
        "layers": ", ".join(map(repr, net.layers)),
        "parameters": f"{net.summary().parameters} of {net.dtype}",
        "loss": str(net.loss or ""),
        "classes": ", ".join(net.data_spec.labels) if cgru.losses.classifies(net.loss) else "",
        "targets": ", ".join(net.target_names or ()),
        "features": ", ".join(net.feature_names or ()) or str(net.features or ""),
        "reads with": as_options(read) or "no options",
    }
    return {name: text for name, text in found.items() if text}


def completion(request: Request) -> None:
    """Run `cgru completion`: print the completion script for a shell."""
    require("SHELL", "shtab")
    import shtab

    print(shtab.complete(parser(), request.shell))


def _version(package: str) -> str:
    """Return the version of an installed package, or how to install it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed (pip install {package})"
