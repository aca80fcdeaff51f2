"""Tables as strangers write them: each is read right, or refused with a cure that reads it right at the first try."""

import json
import random
import shlex

import numpy as np
import pytest

import cgru
from cgru.cli import arguments
from cgru.cli.arguments import as_options
from cgru.datasets import Columns, ColumnsError

pl = pytest.importorskip("polars")
M, S = 6, 4  # sequences, steps
HEAD = ("machine", "time", "heat", "label")


def rows(*lines, sep=","):
    return "".join(sep.join(map(str, line)) + "\n" for line in lines)


def heat(i, t):
    return 1.5 * i + t


def label(i):
    return ("no", "yes")[i % 2]


def table(time=lambda t: t, value=heat, write=str, label=label, head=HEAD, sep=",", more=()):
    """A long table of `M` machines and `S` hours; `more` are cells behind the label."""
    found = [(f"M{i}", time(t), write(value(i, t)), label(i), *more) for i in range(M) for t in range(S)]
    return rows(head, *found, sep=sep)


def german(value, digits):
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def reordered(text, order):
    head, *lines = text.splitlines()
    return "\n".join([head, *order(lines)]) + "\n"


def shuffled(lines):
    return random.Random(1).sample(lines, len(lines))


def visits(numbers=False, head=("hospital", "patient", "visit", "x", "outcome")):
    """Patients 1, 2, ... of four hospitals, with visits 1 to 4 each."""
    places = (1, 2, 3, 4) if numbers else "ABCD"
    found = [(h, p, v, f"{j + p / 10 + v:.2f}" if head[3] == "x" else 80 + v + p, ("lived", "died")[(p + j) % 3 == 0])
             for j, h in enumerate(places) for p in range(1, 21) for v in range(1, 5)]  # fmt: skip
    return rows(head, *found)


def dated(times, second, values):
    found = [(f"M{i}", times(t), values(t), heat(i, t), label(i)) for i in range(M) for t in range(S)]
    return rows(("machine", "date", second, "heat", "label"), *found)


def thousands(i, t):
    return 985 + 44 * (4 * i + t)


FRAME = {
    "machine": [f"M{i}" for i in range(M) for _ in range(S)], "time": [t for _ in range(M) for t in range(S)],
    "heat": [heat(i, t) for i in range(M) for t in range(S)], "label": [label(i) for i in range(M) for _ in range(S)],
}  # fmt: skip


def frame(**changes):
    return pl.DataFrame(FRAME).with_columns(**changes)


def lines_of_json(lines, head):
    return "".join(json.dumps(dict(zip(head, line, strict=True))) + "\n" for line in lines)


def nested(**columns):
    found = frame(**columns)
    return found.group_by("machine", maintain_order=True).agg(
        *(name for name in found.columns if name not in ("machine", "label")), pl.col("label").first()
    )


HOURS = ("22:00", "23:00", "00:00", "01:00")
MINUTES = ("59:58.5", "59:59.5", "00:00.5", "00:01.5")
OFFSETS = [f"2024-03-31T{time}:00" for time in ("01:30:00+01", "03:30:00+02", "04:30:00+02", "05:30:00+02")]
REPEATED = ("2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 03:00")
EDT = "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"
NOTED = (*HEAD, "note")
PLAIN = {"id": "machine"}  # what reads the plain table

# name: (the table, the options given, the fields in the cure, what is different from the plain table once it is read)
TABLES = {
    "plain": (table(), {}, {"id"}, {}),
    "said": (table(), PLAIN, None, {}),
    "german": (table(lambda t: f"{t + 1:02}.03.2024", write=lambda v: german(v, 2), sep=";"), {}, {"id", "decimal",
        "time_format"}, {}),
    "thousands": (table(value=thousands, write=lambda v: german(v, 0), sep=";"), {}, {"id", "thousands"}, {"value":
        thousands}),
    "German decimals below 1": (table(value=lambda i, t: (100 + i + t) / 1000, write=lambda v: german(v, 3), sep=";"),
        {}, {"id", "decimal"}, {"value": lambda i, t: (100 + i + t) / 1000}),
    "German decimals above 1": (table(value=lambda i, t: (1100 + i + t) / 1000, write=lambda v: german(v, 3), sep=";"),
        {}, {"id", "decimal"}, {"value": lambda i, t: (1100 + i + t) / 1000}),
    "thousands and decimals": (table(value=lambda i, t: thousands(i, t) + 0.5, write=lambda v: german(v, 1), sep=";"),
        {}, {"id", "thousands", "decimal"}, {"value": lambda i, t: thousands(i, t) + 0.5}),
    "commas between thousands": (table(value=thousands, write=lambda v: f"{v:,}", sep="\t"), {}, {"id", "thousands"},
        {"value": thousands}),
    "thousands and dates": (table(lambda t: f"{t + 1:02}.03.2024", value=lambda i, t: 1000 + thousands(i, t),
        write=lambda v: german(v, 0), sep=";"), PLAIN, {"time_format", "thousands"},
        {"value": lambda i, t: 1000 + thousands(i, t)}),
    "three decimals": (table(value=lambda i, t: heat(i, t) + 0.125, write=lambda v: f"{v:.3f}"), PLAIN, None,
        {"value": lambda i, t: heat(i, t) + 0.125}),
    "three decimals above one": (table(value=lambda i, t: heat(i, t) + 1.125, write=lambda v: f"{v:.3f}"), PLAIN,
        {"decimal"}, {"value": lambda i, t: heat(i, t) + 1.125}),
    "newest first": (reordered(table(EDT.__getitem__), lambda lines: lines[::-1]), {}, {"id", "sort"}, {"order":
        range(M)[::-1]}),
    "shuffled": (reordered(table(EDT.__getitem__), shuffled), PLAIN, {"sort"}, {"order": None}),
    "days in another order": (reordered(table(head=("machine", "day", *HEAD[2:])), shuffled), PLAIN, {"time", "sort"},
        {"order": None}),
    "a counter in another order": (reordered(table(head=("machine", "n", *HEAD[2:])), shuffled), PLAIN, {"time",
        "sort"}, {"order": None}),
    "a counter in order": (table(head=("machine", "n", *HEAD[2:])), PLAIN, None, {"shape": (M, S, 2), "value": lambda
        i, t: t}),
    "midnight": (table(HOURS.__getitem__), PLAIN, {"time_format", "time", "ignore"}, {}),
    "midnight in numbers": (table(lambda t: (22 + t) % 24), PLAIN, {"time", "ignore"}, {}),
    "minutes by a format": (table(MINUTES.__getitem__), {**PLAIN, "time_format": "%M:%S.%f"}, {"time", "ignore"}, {}),
    "centres": (visits(), {}, {"id", "time", "label"}, {"shape": (80, 4, 1)}),
    "centres, an id": (visits(), {"id": "patient"}, {"id", "time", "label"}, {"shape": (80, 4, 1)}),
    "centres, a time": (visits(), {"id": "patient", "time": "visit", "label": "outcome"}, {"id"}, {"shape": (80, 4,
        1)}),
    "centres, no time": (visits(), {"id": "patient", "time": "", "ignore": ["visit", "hospital"], "label": "outcome"},
        {"id", "ignore"}, {"shape": (80, 4, 1)}),
    "centres by number": (visits(True), {"id": "patient", "time": "visit", "label": "outcome"}, {"id"}, {"shape": (80,
        4, 1)}),
    "centres by number, no time": (visits(True), {"id": "patient", "time": "", "label": "outcome"}, {"id"}, {"shape":
        (80, 4, 2)}),
    "a preamble": ("Logger 7\nmade on 2024-01-02\n\n" + table(), {}, {"id", "skip_lines"}, {}),
    "a padded title": ("Report;;;\n;;;\n" + table(sep=";"), {}, {"id", "skip_lines"}, {}),
    "names in two rows": (rows(("", "", "a", "a", ""), (*HEAD[:2], "x", "y", "label"), *[(f"M{i}", t, heat(i, t), t,
        label(i)) for i in range(M) for t in range(S)]), {}, {"skip_lines", "id"}, {"shape": (M, S, 2), "value": heat,
        "y": True}),
    "a row of units": (table().replace("label\n", "label\n-,h,degC,-\n", 1), {}, {"id", "skip_lines"}, {}),
    "comments": (table().replace("M2,0", "# battery changed\nM2,0"), {}, {"id", "comment"}, {}),
    "comments with commas": (table().replace("M2,0", "# battery, changed, by, me\nM2,0"), {}, {"id", "comment"}, {}),
    "names again": (table().replace("M3,0", ",".join(HEAD) + "\nM3,0"), {}, {"id", "skip_lines"}, {}),
    "totals": (table() + "Total,,99,\n", PLAIN, {"skip_lines"}, {}),
    "a target for each": (table(label=lambda i: f"c{i}"), PLAIN, {"label", "ignore", "per_step"}, {"y": None}),
    "one target": (table(label=lambda i: "fine"), PLAIN, {"label", "ignore", "per_step"}, {"y": None}),
    "case of classes": (table(label=("no", "yes", "No", "yes", "no", "YES").__getitem__), PLAIN, None, {"y": ["no",
        "yes", "No", "yes", "no", "YES"]}),
    "epochs": (table(lambda t: 1700000000 + 3600 * t), PLAIN, None, {}),
    "days as numbers": (table((20240130, 20240131, 20240201, 20240202).__getitem__), PLAIN, {"time_format"}, {}),
    "months as numbers": (table((202311, 202312, 202401, 202402).__getitem__), PLAIN, {"time_format"}, {}),
    "a word among numbers": (table(write=lambda v: "error" if v == 3 else v), PLAIN, {"na", "missing"}, {"value":
        None}),
    "an empty column": (table(head=NOTED, more=("",)), PLAIN, {"ignore"}, {}),
    "utf-8 with a mark": ("\ufeff" + table(), PLAIN, None, {}),
    "utf-16": (table(head=("Gerät", *HEAD[1:])).encode("utf-16"), {}, {"id"}, {}),
    "latin-1": (table(head=("Gerät", *HEAD[1:])).encode("latin-1"), {}, {"id"}, {"note": "Windows-1252"}),
    "line ends in quotes": (table(head=NOTED, more=('"a\nb, c"',)), {**PLAIN, "ignore": "note"}, None, {}),
    "names that are there twice": (rows((*HEAD[:3], "heat", "label"), *[(f"M{i}", t, i, t, label(i)) for i in range(M)
        for t in range(S)]), PLAIN, None, {"shape": (M, S, 2), "note": "heat"}),
    "a short line": (table().replace("M1,3,4.5,yes", "M1,3"), PLAIN, {"skip_lines"}, {"value": None}),
    "a long line": (table().replace("M1,3,4.5,yes", "M1,3,4,5,yes"), PLAIN, {"skip_lines"}, {"value": None}),
    "separators at the end": (table().replace("\n", ",\n"), PLAIN, None, {}),
    "separators at the end of rows": (table().replace("\n", ",\n").replace("label,", "label"), PLAIN, None, {}),
    "tabs": (table(sep="\t"), PLAIN, None, {}),
    "bars": (table(sep="|"), PLAIN, None, {}),
    "spaces": (table(sep="  "), PLAIN, {"separator"}, {}),
    "sep=": ("sep=;\n" + table(sep=";"), PLAIN, {"skip_lines"}, {}),
    "no names": (table().partition("\n")[2], {}, {"header", "id", "label"}, {"shape": (M, S, 2)}),
    "no names, numbers": (rows(*[(i, t, heat(i, t), 3 * i) for i in range(M) for t in range(S)]), {}, {"header",
        "id"}, {"shape": (M, S, 3), "y": None}),
    "booleans": (table(write=lambda v: v > 4), PLAIN, None, {"value": lambda i, t: heat(i, t) > 4}),
    "weeks": (table(lambda t: f"2024-W{t + 1:02}"), PLAIN, {"time", "ignore"}, {}),
    "quarters": (table(lambda t: f"Q{t + 1} 2005"), PLAIN, {"time", "ignore"}, {}),
    "offsets from UTC": (table(OFFSETS.__getitem__), PLAIN, None, {}),
    "an hour twice": (table(REPEATED.__getitem__), PLAIN, {"time", "ignore"}, {}),
    "an hour twice by a format": (table(REPEATED.__getitem__), {**PLAIN, "time_format": "%Y-%m-%d %H:%M"}, {"time",
        "ignore"}, {}),
    "american dates": (table(lambda t: f"01/{28 + t}/2024"), PLAIN, {"time_format"}, {}),
    "american dates by a wrong format": (table(lambda t: f"01/{28 + t}/2024"), {**PLAIN, "time_format": "%d/%m/%Y"},
        {"time_format"}, {}),
    "dates of two readings": (table(lambda t: f"0{t + 1}/02/2024"), PLAIN, {"time", "ignore"}, {}),
    "am and pm": (table(lambda t: f"3/14/2024 {(11, 12, 1, 2)[t]}:00 {'AP'[t > 0]}M"), PLAIN, {"time_format"}, {}),
    "a date and a clock": (dated(lambda t: f"2024-03-0{1 + t // 2}", "clock", lambda t: f"{12 * (t % 2):02}:00"), {},
        {"id", "time"}, {}),
    "a date and an hour": (dated(lambda t: f"2024-03-0{1 + t // 2}", "hour", lambda t: 9 * (t % 2)), PLAIN, {"time",
        "time_format"}, {}),
    "a date and a time": (dated(lambda t: f"2024-03-0{1 + t // 2}", "time", lambda t: f"{12 * (t % 2):02}:00"), PLAIN,
        {"time"}, {}),
    "years, months and days": (rows(("station", "year", "month", "day", "heat", "label"), *[(f"s{i}", 2024, 1 + t // 2,
        1 + t % 2, heat(i, t), label(i)) for i in range(M) for t in range(S)]), {}, {"id", "time",
        "ignore"}, {"shape": (M, S, 3),
        "value": lambda i, t: 1 + t // 2}),
    "wide, two features": (rows(("id", "width_1", "depth_1", "width_2", "depth_2", "label"), *[(i, i, 0, i + 1, 0,
        label(i)) for i in range(M)]), {"wide": True}, None, {"shape": (M, 2, 2), "value": lambda i, t: i + t}),
    "two times": (dated(lambda t: t, "timestamp", EDT.__getitem__), PLAIN, {"time", "ignore"}, {}),
    "two labels": (table(head=(*HEAD, "target"), more=("old",)), PLAIN, {"label", "ignore"}, {}),
    "y next to x": (rows(("id", "time", "x", "y", "z"), *[(i, t, heat(i, t), i, t) for i in range(M) for t in
        range(S)]), {}, None, {"shape": (M, S, 3), "y": None}),
    "y next to x and a label": (rows(("id", "time", "x", "y", "z", "label"), *[(i, t, heat(i, t), i, t, "ab"[i % 2])
        for i in range(M) for t in range(S)]), {}, None, {"shape": (M, S, 3), "y": ["a", "b"] * (M // 2)}),
    "words in y next to x": (rows(("id", "time", "x", "y"), *[(i, t, heat(i, t), "ab"[i % 2]) for i in range(M)
        for t in range(S)]), {}, {"label"}, {"shape": (M, S, 1), "y": ["a", "b"] * (M // 2)}),
    "percent": (table(write=lambda v: f"{v}%"), PLAIN, {"value_units"}, {}),
    "units": (table(write=lambda v: f"{v} °C".replace(".", ","), sep=";"), PLAIN, {"value_units", "decimal"}, {}),
    "amounts": (table(write=lambda v: f"-€{v}"), {}, {"id", "value_units"}, {"value": lambda i, t: -heat(i, t)}),
    "two units in a column": (table(write=lambda v: f"{v} {'km' if v < 3 else 'm'}", head=(*HEAD, "n"), more=(1,)),
        {**PLAIN, "value_units": "km,m"}, {"ignore"}, {"value": lambda i, t: 1}),
    "below a limit": (table(write=lambda v: "<1" if v < 1 else v), PLAIN, {"na", "missing"}, {"value": None}),
    "a missing value": (table(write=lambda v: "" if v == 3 else v), PLAIN, {"missing"}, {"value": None}),
    "a sequence without a value": (table(value=lambda i, t: "" if i == 2 else i), PLAIN, {"missing"}, {"value": lambda
        i, t: i if i != 2 else 0}),
    "hours in a feature": (table(lambda t: (22 + t) % 24, head=("machine", "hour", *HEAD[2:])), PLAIN, {"time"},
        {"shape": (M, S, 2), "value": lambda i, t: (22 + t) % 24, "y": True}),
    "an index of pandas": (rows(("", *HEAD), *enumerate(table().splitlines()[1:])), PLAIN, None, {}),
    "row names of R": (rows(HEAD, *enumerate(table().splitlines()[1:], 1)), PLAIN, None, {}),
    "an index in another order": (rows(("", *HEAD), *((3 * i % 24, line) for i, line in
        enumerate(table().splitlines()[1:]))), PLAIN, {"ignore"}, {}),
    "wide": (rows(("name", *(f"t{t}" for t in range(6)), "label"), *[(f"n{i}", *range(i, i + 6), label(i)) for i in
        range(M)]), {}, {"wide", "id"}, {"shape": (M, 6, 1), "value": lambda i, t: i + t}),
    "wide, two columns as id": (rows(("region", "store", *(f"w{t}" for t in range(6)), "closed"), *[("NS"[i // 3], i %
        3, *range(i, i + 6), label(i)) for i in range(M)]), {}, {"wide", "id", "label"}, {"shape": (M, 6, 1), "value":
        lambda i, t: i + t}),
    "cycles that are left": (rows(("engine", "cycle", "heat", "RUL"), *[(f"M{i}", t, heat(i, t), 30 - t) for i in
        range(M) for t in range(30)]), {}, {"id", "time", "label", "per_step", "task"}, {"shape": (M, 30, 1), "value":
        heat, "y": True}),
    "wide, another column": (rows(("id", *(f"w{t}" for t in range(6)), "sum", "class"), *[(i, *range(i, i + 6), 9,
        label(i)) for i in range(M)]), {"wide": True}, {"ignore"}, {"shape": (M, 6, 1), "value": lambda i, t: i + t}),
    "weeks of one series": (rows(("week", "heat"), *[(f"2024-W{t + 1:02}", 1.5 * t) for t in range(9)]), {}, {"id",
        "time", "ignore"}, {"shape": (1, 9, 1), "order": [0], "value": lambda i, t: 1.5 * t, "y": None}),
    "German milliseconds": (table(lambda t: f"01.03.2024 08:00:00,{t}", write=lambda v: german(v, 2), sep=";"), {},
        {"id", "time_format", "decimal"}, {}),
    "elapsed halves": (table(lambda t: t / 2, head=("machine", "elapsed", *HEAD[2:])), {}, {"id", "time"}, {}),
    "a temperature T": (rows(("probe", "T", "class"), *[(f"P{i}", heat(i, -t) + 0.5, label(i)) for i in range(M)
        for t in range(S)]), {}, {"id"}, {"value": lambda i, t: heat(i, -t) + 0.5}),
    "a typographic minus": (table(write=lambda v: f"\u2212{v}"), PLAIN, None, {"value": lambda i, t: -heat(i, t)}),
    "a word among times": (table(lambda t: "NaT" if t == 3 else t), PLAIN, {"skip_lines"}, {"shape": (M, S - 1, 1),
        "value": heat, "y": True}),
    "wide, a number as id": (rows(("sample", *(f"t{t}" for t in range(6)), "class"), *[(i, *range(i, i + 6), label(i))
        for i in range(M)]), {}, {"wide", "id"}, {"shape": (M, 6, 1), "value": lambda i, t: i + t}),
    "long, numbered features": (rows(("unit", "cycle", *(f"s{t}" for t in range(6)), "failure"), *[(i, t, *range(i,
        i + 6), i % 2) for i in range(M) for t in range(S)]), {}, {"id", "time", "label"}, {"shape": (M, S, 6),
        "value": lambda i, t: i, "y": True}),
    "a target in the last column": (rows(("trip", "stop", "delay", "total"), *[(f"T{i}", t, heat(i, t), i / 8)
        for i in range(M) for t in range(S)]), {}, {"id", "label"}, {"shape": (M, S, 2), "value": lambda i, t: t,
        "y": True}),
    "decimals as the last column": (rows(("trip", "stop", "delay", "total"), *[(f"T{i}", t, t % 3, f"{i / 8} €".replace(
        ".", ",")) for i in range(M) for t in range(S)], sep=";"), {}, {"id", "label", "decimal", "value_units"},
        {"shape": (M, S, 2), "value": lambda i, t: t, "y": [i / 8 for i in range(M)]}),
    "numbers that mean missing": (table(value=lambda i, t: -999 if t == 1 else t), PLAIN, None, {"value": lambda i, t:
        -999 if t == 1 else t, "note": "na=-999"}),
    "ids beyond int64": (table().replace("M", "90071992547409920000"), {}, {"id"}, {}),
    "an index of dates": (rows(("", "heat"), *[(f"2024-01-{t + 1:02}", 1.5 * t) for t in range(9)]), {"id": ""},
        {"time"}, {"shape": (1, 9, 1), "order": [0], "value": lambda i, t: 1.5 * t, "y": None}),
    "wide, names are numbers": (rows(("id", *range(6), "label"), *[(i, *(i * t % 5 for t in range(6)), label(i)) for i
        in range(M)]), {}, {"header", "wide"}, {"shape": (M, 6, 1), "value": lambda i, t: i * t % 5}),
    "wide, names are months": (rows(("Region", *["Jan", "Feb", "Mar", "Apr"], "Class"), *[(f"r{i}", *range(i, i + 4),
        label(i)) for i in range(M)]), {}, {"wide", "id"}, {"value": lambda i, t: i + t}),
    "wide, names are wavelengths": (rows(("sample", *(f"{400 + 2 * t}.5" for t in range(6)), "type"), *[(f"s{i}",
        *((i * t * t) % 7 for t in range(6)), label(i)) for i in range(M)]), {}, {"header", "wide", "id", "label"},
        {"shape": (M, 6, 1), "value": lambda i, t: i * t * t % 7}),
    "a year and a month": (rows(("country", "year", "month", "gdp", "crisis"), *[(f"c{i}", 2020 + t // 2, 6 + t % 2,
        heat(i, t), label(i)) for i in range(M) for t in range(S)]), {}, {"id", "time", "ignore", "label"},
        {"shape": (M, S, 2), "value": lambda i, t: 6 + t % 2,
        "y": True}),
    "a heart rate is no hour": (visits(head=("hospital", "patient", "visit", "hr", "outcome")), {}, {"id", "time",
        "label"}, {"shape": (80, 4, 1), "y": True}),
    "thousands in one column, decimals in another": (table(value=thousands, write=lambda v: german(v, 0), sep=";",
        head=(*HEAD, "x"), more=("0,5",)), PLAIN, {"thousands", "decimal"}, {"shape": (M, S, 2), "value": thousands,
        "y": True}),
    "French thousands": (table(value=thousands, write=lambda v: f"{v:,}".replace(",", "\u202f"), sep=";", head=(*HEAD,
        "x"), more=("0,5",)), PLAIN, {"thousands", "decimal"}, {"shape": (M, S, 2), "value": thousands, "y": True}),
    "an index that pandas wrote twice": (rows(("Unnamed: 0", *HEAD), *enumerate(table().splitlines()[1:])), PLAIN, None,
        {}),
    "records of samples": (rows(("record", "sample", "mv", "beat"), *[(100 + i, t, heat(i, t), label(i)) for i in
        range(M) for t in range(S)]), {}, {"id", "label"}, {"shape": (M, S, 2), "value": lambda i, t: t}),
    "decimal commas in quotes": (table(write=lambda v: f'"{v}"'.replace(".", ",")), PLAIN, {"decimal"}, {}),
    "a stream": (rows(("t", "load", "state"), *[(t, t * 7 % 11, "ab"[t // 25 % 2]) for t in range(200)]), {"windows":
        (20, 10)}, {"time", "id", "label"}, {"shape": (None, 20, 1), "y": True}),
    "a stream without windows": (rows(("t", "load", "state"), *[(t, t * 7 % 11, "ab"[t // 25 % 2]) for t in
        range(200)]), {}, {"time", "id", "label", "per_step"}, {"shape": (1, 200, 1), "y": True}),
    "words": (rows(("id", "time", "color", "heat", "label"), *[(i, t, "rb"[(i + t) % 2], heat(i, t), label(i)) for i
        in range(M) for t in range(S)]), {}, {"categories"}, {"shape": (M, S, 3)}),
    "a name in another case": (table(), {"id": "Machine"}, {"id"}, {}),
    "a label of steps": (rows(HEAD, *[(f"M{i}", t, heat(i, t), label(i + t)) for i in range(M) for t in range(S)]),
        PLAIN, {"per_step"}, {"y": True}),
    "many classes": (rows(("id", "time", "heat", "target"), *[(i, t, heat(i, t), 3 * i % 50) for i in range(60) for t
        in range(S)]), {}, {"task"}, {"shape": (60, S, 1), "y": True}),
    "json": (lines_of_json(zip(*FRAME.values(), strict=True), HEAD), PLAIN, None, {}),
    "json of lists": (lines_of_json([(i, [heat(i, t) for t in range(S)], label(i)) for i in range(M)],
        ("id", "heat", "label")), {}, None, {}),
    "parquet": (lambda: frame(), PLAIN, None, {}),
    "parquet, datetimes": (lambda: frame(time=pl.datetime(2024, 1, 1) + pl.duration(hours=pl.col("time"))), PLAIN,
        None, {}),
    "parquet, a time zone": (lambda: frame(time=(pl.datetime(2024, 10, 26, 23) + pl.duration(hours=pl.col("time")))
        .dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")), PLAIN, None, {}),
    "parquet, dates": (lambda: frame(time=pl.date(2024, 1, 1) + pl.duration(days=pl.col("time"))), PLAIN, None, {}),
    "parquet, durations": (lambda: frame(time=pl.duration(minutes=pl.col("time"))), PLAIN, None, {}),
    "parquet, clocks": (lambda: frame(time=(pl.datetime(2024, 1, 1, 22) +
        pl.duration(hours=pl.col("time"))).dt.time()), PLAIN, {"time", "ignore", "time_format"}, {}),
    "parquet, categories": (lambda: frame(machine=pl.col("machine").cast(pl.Categorical),
        label=pl.col("label").cast(pl.Categorical)), {}, {"id"}, {}),
    "parquet, decimals": (lambda: frame(heat=pl.col("heat").cast(pl.Decimal(10, 2))), PLAIN, None, {}),
    "parquet, lists": (lambda: nested(), {}, {"id"}, {}),
    "parquet, lists of lists": (lambda: nested(v=pl.concat_list("heat", "time")).drop("heat", "time"), {}, {"id"},
        {"shape": (M, S, 2)}),
    "parquet, uneven lists": (lambda: pl.DataFrame({"id": "abc", "x": [[1, 2], [3], [4, 5]], "z": [[1], [3], [4]],
        "label": [1, 2, 1]} | {"id": ["a", "b", "c"]}), {}, {"ignore"}, {"shape": (3, 2, 1), "y": True}),
    "parquet, ids that are missing": (lambda: frame(machine=pl.when(pl.col("time") >
        2).then(None).otherwise("machine")), {}, {"id", "skip_lines"}, {"shape": (M, 3, 1)}),
    "parquet, records": (lambda: frame(s=pl.struct("heat", "time")), PLAIN, None, {"shape": (M, S, 3), "value": heat,
        "y": True}),
    "json of lists of records": (lines_of_json([(i, [{"t": t, "v": {"heat": heat(i, t)}} for t in range(S)], label(i))
        for i in range(M)], ("id", "steps", "label")), {}, None, {"shape": (M, S, 2), "value": lambda i, t: t,
        "y": True}),
    "json, empty lists": (lines_of_json([(i, [heat(i, t) for t in range(S)] if i < M else [], label(i)) for i in
        range(M + 2)], ("id", "heat", "label")), {}, None, {"note": "2 rows have no steps"}),
}  # fmt: skip


def write(folder, name, content):
    if callable(content):
        content().write_parquet(folder / "t.parquet")
        return folder / "t.parquet"
    path = folder / ("t.jsonl" if name.startswith("json") else "t.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def given_again(cure):
    """The cure as the command reads it."""
    return Columns(**arguments.given(arguments.parser().parse_args(["data", "x.csv", *shlex.split(as_options(cure))])))


def check(data, due):
    X, y = data.train.X.X, data.train.y
    for got, expected in zip(X.shape, due.get("shape", (M, S, 1)), strict=True):
        assert got == expected or expected is None
    value, order = due.get("value", None if "shape" in due else heat), due.get("order", range(M))
    if value is not None and order is not None:
        np.testing.assert_array_equal(X[:, :, 0], [[value(i, t) for t in range(X.shape[1])] for i in order])
    if order is None:  # any, but the steps are
        np.testing.assert_array_equal(np.diff(X[:, :, 0]), 1)
    expected = due.get("y", "shape" in due or [label(i) for i in order or ()])
    assert (y is None) == (expected is None)
    if isinstance(expected, list) and order is not None:
        assert y.tolist() == expected
    assert any(due.get("note", "") in note for note in (*data.notes, ""))


@pytest.mark.parametrize("name", TABLES)
def test_read_right_or_refused_with_a_cure(name, tmp_path):
    content, given, cured, due = TABLES[name]
    path = write(tmp_path, name, content)
    if cured is None:
        check(cgru.datasets.read(path, **given), due)
        return
    with pytest.raises(ColumnsError) as refused:
        cgru.datasets.read(path, **given)
    assert refused.value.cure.keys() == cured
    assert given_again(refused.value.cure) == Columns(**refused.value.cure)
    data = cgru.datasets.read(path, **{**given, **refused.value.cure})
    check(data, due)
    below = {name: value for name, value in refused.value.cure.items() if name == "skip_lines"}
    again = cgru.datasets.read(path, data.columns, **below)
    if not given.get("windows"):  # later streams are not cut into parts
        np.testing.assert_array_equal(again.train.X.X, data.train.X.X)
    if data.train.y is not None:
        cgru.datasets.read(path, cgru.datasets.Columns.from_dict(data.columns.to_dict()), targets=False, **below)


def test_a_later_file_has_the_same_units(tmp_path):
    for unit in "CF":
        (tmp_path / f"{unit}.csv").write_text(table(write=lambda v, unit=unit: f"{v} °{unit}"))
    data = cgru.datasets.read(tmp_path / "C.csv", id="machine", value_units="°C")
    with pytest.raises(ColumnsError) as refused:
        cgru.datasets.read(tmp_path / "F.csv", data.columns)
    assert (refused.value.argument, refused.value.cure) == ("columns", None)


def test_a_later_file_keeps_the_lines_below_its_header(tmp_path):
    (tmp_path / "t.csv").write_text("Report\n" + table() + "Total,,99,\n")
    (tmp_path / "later.csv").write_text("Report 2\n" + table() + "M9,0,1,no\nM9,1,2,no\n")
    data = cgru.datasets.read(tmp_path / "t.csv", id="machine", skip_lines="1,27-27")
    assert data.columns.skip_lines == "1"
    assert cgru.datasets.read(tmp_path / "later.csv", data.columns).train.X.lengths.tolist() == [S] * M + [2]


@pytest.mark.parametrize("name", ["plain", "german", "a preamble", "parquet, lists"])
def test_an_overview_shows_columns_and_options(name, tmp_path):
    content, _, cured, _ = TABLES[name]
    lines, error, data = cgru.datasets.overview(write(tmp_path, name, content))
    assert error.cure.keys() == cured
    assert [line.split()[:2] for line in lines[:2]] == [["machine", "id"], ["time", "time"]]
    assert len(lines) == 4
    assert lines[0].split(None, 2)[2] == "M0, M1, M2"
    assert data.train.X.shape == (M, S, 1)


def test_an_overview_of_many_columns_is_short(tmp_path):
    head = ("name", *(f"t{t}" for t in range(99)), "label")
    write(tmp_path, "", rows(head, *[(f"n{i}", *range(99), label(i)) for i in range(M)]))
    lines, *_ = cgru.datasets.overview(tmp_path / "t.csv")
    assert [line.split()[0] for line in (lines[0], *lines[-2:])] == ["name", "label", "..."]
    assert len(lines) == 22


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", ",,,\n", "a,b\n", "\0\1\2", 'id,x\na,"1\n', "x\n1\n2\n", "id,x\n" + "a" * 2000 + ",1\nb,2\nb,3\n",
     "y" * 2000 + ",id\n1,a\n2,a\n", ",,a,a\n,,x,y\nid,t,,\n0,0,1,2\n0,1,3,4\n"],
)  # fmt: skip
def test_files_that_are_no_tables(text, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=r"t\.csv"):
        cgru.datasets.read(tmp_path / "t.csv", id="id", label="")
