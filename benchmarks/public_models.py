"""Models of public packages before and after `accelerate`: `python -m benchmarks.public_models`.

Each is built by its package's own API, with random weights and data, in a process of its own, on one core; nothing is
downloaded. Before and after take turns: a training step with Adam, and a prediction. Of a package that is not installed
the row says so. With `--json FILE` what is there of this commit is not measured again, unless `--model` asks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any

from benchmarks import machine, readme, report
from benchmarks.processes import rows_from
from benchmarks.report import NEAR

SECTION = "public models"  # the name of the section in docs/pytorch.md
SECONDS = 2.0
WORKS = ("training", "inference")
EQUAL = 1e-5  # a larger difference is in bold


def rows(name: str, seconds: float) -> Iterator[dict]:
    """The row of one model, without what its package says meanwhile."""
    with open(os.devnull, "w") as void, contextlib.redirect_stdout(void), contextlib.redirect_stderr(void):
        row = measured(name, seconds)
    yield row


def measured(name: str, seconds: float) -> dict:
    """The row of one model; `missing` or `failed` say why there is nothing to tell."""
    import torch

    from benchmarks.public.compare import compared
    from benchmarks.public.models import MODELS

    torch.set_num_threads(1)
    package, build, note = MODELS[name]
    row: dict[str, Any] = {"part": "model", "name": name, "note": note, "commit": machine.commit()}
    try:
        row["version"] = metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:
        return row | {"missing": f"not installed: pip install {package}"}
    try:
        return row | compared(build, seconds)
    except ImportError as error:
        return row | {"missing": f"cannot be imported: {first_line(error)}"}
    except Exception as error:  # whatever a package of others may raise, the next model is measured
        return row | {"failed": f"{type(error).__name__}: {first_line(error)}"}


def first_line(error: BaseException) -> str:
    return next(iter(f"{error}".strip().splitlines()), "")


# --- what is said of it ---


def about(row: dict) -> str:
    return (
        f"Measured on one core of {row['machine']}, {row['instructions']}, {row['date']}, commit"
        f" {row['commit'] or 'unknown'}: {', '.join(row['versions'])}, float32."
    )


def table(rows: list[dict]) -> list[str]:
    """A line for each model that ran."""
    of_works = [f"{work}: ms before; times as fast; GRU" for work in ("training step", "prediction")]
    return report.table(
        ["model", "swapped; left", *of_works, "outputs, gradients, weights"],
        [cells(row) for row in report.part(rows, "model") if "difference" in row],
    )


def cells(row: dict) -> list[str]:
    return [titled(row), changed(row), *(times(row[work]) for work in WORKS), differences(row["difference"])]


def titled(row: dict) -> str:
    more = "; ".join(filter(None, (row["version"], row["note"])))
    return f"{row['name']} ({more})" if more else row["name"]


def changed(row: dict) -> str:
    """How many of each kind were swapped, and left."""
    kinds = row["kinds"]
    swapped, left = (counted(map(kinds.get, names)) for names in (row["swapped"], row["left"]))
    return "; ".join([swapped or "none", *([left] if left else [])])


def counted(kinds: Iterable[str]) -> str:
    return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in Counter(kinds).items())


def times(found: dict) -> str:
    """ms before, how many times as fast it is after, and the share of the GRU before and after."""
    before, after = (f"{found['share'][name]:.0%}" for name in ("before", "after"))
    return f"{found['ms']['before']:.3g}; {report.bold(found['ratio'], found['ratio'] < NEAR)}; {before}, {after}"


def differences(found: dict[str, float]) -> str:
    return ", ".join(f"{value:.0e}" if value <= EQUAL else f"**{value:.0e}**" for value in found.values())


def others(rows: list[dict]) -> list[str]:
    """Of which models there is nothing to tell, and why."""
    said = [f"- {nothing(row)}" for row in report.part(rows, "model") if "difference" not in row]
    return ["", "Not measured:", "", *said] if said else []


def nothing(row: dict) -> str:
    return f"{row['name']}: {row.get('missing') or row['failed']}"


def line(row: dict) -> str:
    """One model, as it comes, with what was left and why."""
    if "difference" not in row:
        return nothing(row)
    left = [f"    left: {name or 'the model'}: {why}" for name, why in row["left"].items()]
    return "\n".join([" | ".join(cells(row)), *left])


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.public_models",
        description="Time models of public packages before and after cgru.torch.accelerate.",
        epilog="What FILE of --json has of this commit is not measured again, unless --model asks for it.",
    )
    named = "measure those whose names contain this; can be repeated (default: all)"
    parser.add_argument("--model", action="append", metavar="NAME", help=named)
    given = readme.options(parser, arguments, SECTION, "a training step, and for a prediction, of a model", SECONDS)
    try:
        given.names = chosen(given.model)
        given.before = json.loads(given.json.read_text())["rows"] if given.json and given.json.exists() else []
    except (ImportError, OSError, ValueError, KeyError) as error:
        parser.error(f"{error}")
    return given


def chosen(parts: list[str] | None) -> dict[str, bool]:
    """All models by name, and whether they were asked for.

    Raises:
        ImportError: there is no PyTorch.
        ValueError: no model has such a name.
    """
    from benchmarks.public.models import MODELS

    for part in parts or ():
        if not any(part.lower() in name.lower() for name in MODELS):
            raise ValueError(f"--model: expected a part of {', '.join(MODELS)}, got {part!r}")
    return {name: any(part.lower() in name.lower() for part in parts or ()) for name in MODELS}


def planned(names: dict[str, bool], before: list[dict], commit: str | None) -> tuple[list[str], dict[str, dict]]:
    """Whom to measure: those who were asked for, else all of whom nothing is known; and what is known of the others."""
    known = {row["name"]: row for row in report.part(before, "model") if row["commit"] == commit}
    asked = [name for name, wanted in names.items() if wanted] or [name for name in names if name not in known]
    return asked, {name: row for name, row in known.items() if name in names and name not in asked}


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    here = {"part": "about", **machine.here(), "versions": [f"{p} {metadata.version(p)}" for p in ("torch", "numpy")]}
    names, known = planned(given.names, given.before, here["commit"])
    print(about(here), flush=True)
    for name in names:
        try:
            (known[name],) = rows_from(rows, name, given.seconds)
        except RuntimeError as error:
            known[name] = {"part": "model", "name": name, "commit": here["commit"], "failed": f"{error}"}
        print(line(known[name]), flush=True)
        found = [here, *(known[name] for name in given.names if name in known)]
        readme.write(given, found, [about(here), "", *table(found), *others(found)], SECTION)
    return int(any("failed" in row for row in known.values()))


if __name__ == "__main__":
    sys.exit(main())
