"""What the command can be asked, what is the default, and which words of the library's errors reach the user."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_cases import run

import cgru
from cgru import cli, recipe
from cgru.cli.arguments import RequestError, as_request_error, parser, requested
from cgru.datasets import Columns
from cgru.network.options import OPTIONS, Settings

READING = dict.fromkeys(each.name for each in dataclasses.fields(Columns))


def test_the_defaults_of_fit():
    assert vars(parser().parse_args(["fit"])) == {
        "command": "fit",
        "data": None,
        "test": None,
        **READING,
        "units": recipe.UNITS,
        "layers": None,
        "bidirectional": True,
        "output_dropout": recipe.DROPOUT,
        "recurrent_dropout": recipe.RECURRENT_DROPOUT,
        "pool": None,
        "float64": False,
        "epochs": None,
        "batch_size": None,
        "learning_rate": recipe.LEARNING_RATE,
        "weight_decay": recipe.WEIGHT_DECAY,
        "clip_norm": 1.0,
        "validation": None,
        "patience": None,
        "loss": None,
        "class_weight": None,
        "average": None,
        "memory": None,
        "seed": 0,
        "inputs": "auto",
        "budget": 14.0,
        "causal": False,
        "threads": None,
        "output": "cgru-model.npz",
        "checkpoint": None,
        "checkpoint_seconds": 10.0,
        "resume": False,
        "plot": None,
        "html": None,
        "quiet": False,
    }


def test_the_defaults_of_the_others():
    def asked(*arguments):
        return vars(parser().parse_args(arguments))

    due = {"command": "predict", "model": "m", "data": "d", "output": None, **READING}
    assert asked("predict", "m", "d") == due
    due = {
        "command": "evaluate",
        "model": "m",
        "data": None,
        "report": False,
        "html": None,
        "importance": False,
        **READING,
    }
    assert asked("evaluate", "m") == due
    assert asked("data", "d") == {"command": "data", "data": "d", "test": None, **READING}
    assert asked("info") == {"command": "info", "model": None}
    due = {"command": "export", "model": "m", "output": "x.c", "name": None, "dtype": None}
    assert asked("export", "m", "-o", "x.c") == due
    assert asked() == {"command": None}


def test_a_request_has_its_parts_and_stays_as_it_is():
    name, request = requested(["fit", "d.csv", "--units", "3", "--id", "a,b", "--patience", "4", "--time-format", "%Y"])
    assert (name, request.data, request.test, request.output) == ("fit", "d.csv", None, "cgru-model.npz")
    assert (request.building.units, request.building.loss, request.training.patience) == (3, None, 4)
    assert (request.reading.id, request.reading.time_format, request.reading.wide) == (("a", "b"), "%Y", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.building.units = 4
    assert requested([]) == (None, None)
    for command in (
        ["data", "d"], ["evaluate", "m"], ["export", "m", "-o", "c"], ["forecast", "s", "--horizon", "2"], ["info"],
        ["predict", "m", "d"], ["quantize", "m", "-o", "q"],
    ):  # fmt: skip
        name, request = requested(command)
        assert type(request).__name__.lower() == f"{name}request"
        name = dataclasses.fields(request)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(request, name, "other")


def test_what_must_be_said_and_what_may_be_several():
    for command in (["export", "m"], ["quantize", "m"], ["forecast", "s"], ["predict", "m"], ["data"]):
        with pytest.raises(RequestError, match="required"):
            requested(command)
    _, request = requested(["forecast", "s", "--horizon", "2", "--quantiles", "0.1", "0.9", "--inputs", "a", "b"])
    assert (request.quantiles, request.inputs, request.cells.na) == ([0.1, 0.9], ["a", "b"], None)
    for text in ("0", "1", "nan"):
        with pytest.raises(RequestError, match="argument --quantiles: expected a number between 0 and 1"):
            requested(["forecast", "s", "--horizon", "2", "--quantiles", text])


def test_fit_has_the_options_that_the_description_gives_to_the_command():
    training = vars(requested(["fit"])[1].training)
    assert training.keys() == {name for name, option in OPTIONS.items() if option.command is not None}
    for name, value in training.items():
        assert value == (None if name == "epochs" else getattr(Settings, name))


def test_no_namespace_leaves_the_parser():
    folder = Path(cli.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "argparse" in path.read_text(encoding="utf-8")] == [
        "arguments.py"
    ]


def test_a_default_is_told_once_and_where_there_is_one(tmp_path):
    for command in ("forecast", "quantize", "evaluate"):
        text, entries = helped(tmp_path, command)
        assert "default: None" not in text
        assert all(words.count("(default: ") <= 1 for name, words in entries.items() if name.startswith("--"))


def test_losses():
    def asked(text):
        return parser().parse_args(["fit", "--loss", text]).loss

    for text in ("huber", "huber(0.5)", "quantile(0.1,0.9)", "gaussian", "poisson", "cross_entropy(0.1)"):
        assert asked(text) == text
    assert asked("mse") == "mean_squared_error"
    for text in ("binary_cross_entropy", "cross_entropy(1)", "huber(0)", "huber(", "poisson(1)", "x", ""):
        due = "expected one of gaussian, huber, mean_squared_error, poisson, quantile, or for classes cross_entropy"
        due += r"\(SMOOTHING\)"
        with pytest.raises(RequestError, match=f"^argument --loss: {due}, got {re.escape(repr(text))}"):
            asked(text)
    with pytest.raises(RequestError, match=r"^argument --class-weight"):
        parser().parse_args(["fit", "--class-weight", "none"])


@pytest.mark.parametrize(
    ("option", "taken", "refused"),
    [
        ("--units", ["1", "7"], ["0", "-1", "1.5", "x", ""]),
        ("--layers", ["1"], ["0"]),
        ("--epochs", ["1"], ["0"]),
        ("--batch-size", ["1"], ["0"]),
        ("--patience", ["1"], ["0"]),
        ("--threads", ["1"], ["0"]),
        ("--seed", ["0"], ["-1"]),
        ("--output-dropout", ["0", "0.99"], ["1", "-0.1", "nan"]),
        ("--validation", ["0", "0.99"], ["1", "-0.1"]),
        ("--average", ["0.999"], ["1", "-0.1", "nan"]),
        ("--learning-rate", ["1e-9"], ["0", "inf", "nan", "-1"]),
        ("--clip-norm", ["1e-9"], ["0", "inf"]),
        ("--weight-decay", ["0", "5"], ["-1", "inf", "nan"]),
        ("--checkpoint-seconds", ["0", "0.5", "inf"], ["-1", "nan"]),
    ],
)
def test_numbers(option, taken, refused):
    for text in taken:
        assert getattr(parser().parse_args(["fit", option, text]), option[2:].replace("-", "_")) == float(text)
    for text in refused:
        with pytest.raises(RequestError, match=f"argument {option}: expected an? .*, got '{text}'"):
            parser().parse_args(["fit", f"{option}={text}"])


def test_options_are_written_out():
    """A part of a name would mean something else as soon as another option begins like it."""
    for arguments in (["fit", "--unit", "3"], ["fit", "--dropout", "0.2"], ["export", "m", "--out", "x.c"], ["--vers"]):
        with pytest.raises(RequestError):
            parser().parse_args(arguments)


def test_the_library_s_errors_become_the_command_s():
    for error in (TypeError("why"), ValueError("why"), RuntimeError("why"), OverflowError("why")):
        with pytest.raises(RequestError, match=r"^where: why$") as caught, as_request_error("where: "):
            raise error
        assert caught.value.__cause__ is error
    with pytest.raises(KeyError), as_request_error():
        raise KeyError


def test_the_help_tells_the_threads_of_this_machine(threads, tmp_path):
    threads(3)
    assert "(default: 3 here)" in run("fit", "--help", cwd=tmp_path)[0]


def helped(folder, *command):
    """The entries of the help, each with what it says in one line."""
    text, err = run(*command, "--help", cwd=folder)
    assert err == ""
    entries = re.findall(r"^ {2,4}(?:-\w[ \w.]*, )?(-*\w[\w.-]+)(.*\n(?: {6,}.*\n)*)", text, re.MULTILINE)
    return text, {name: " ".join(words.split()) for name, words in entries}


def test_version_and_help(tmp_path):
    assert run("--version", cwd=tmp_path)[0] == f"cgru {cgru.__version__}\n"
    text, entries = helped(tmp_path)
    assert run(cwd=tmp_path)[0] == text
    for name in ("fit", "predict", "evaluate", "export", "info"):
        assert re.match("[A-Z].*[.]$", entries[name]), name
    assert {"--help", "--version"} <= set(entries)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("fit", ["DATA", "--units", "--output-dropout", "--validation", "--seed", "--plot", "--output", "--quiet"]),
        ("predict", ["MODEL", "DATA", "--output"]),
        ("evaluate", ["MODEL", "DATA", "--report", "--html", "--importance"]),
        ("data", ["DATA", "--test", "--id", "--missing"]),
        ("export", ["MODEL", "--output", "--name", "--dtype"]),
        ("info", ["--help"]),
        ("completion", ["SHELL"]),
    ],
)
def test_each_argument_has_its_words_and_each_option_of_fit_its_default(tmp_path, command, names):
    text, entries = helped(tmp_path, command)
    assert set(names) <= set(entries)
    assert ("A data file is, by its ending" in text) == (command in ("fit", "predict", "evaluate", "data"))
    for name, words in entries.items():
        about = re.sub(r"^[A-Z][\w.]*|^\{.*?\}", "", words).strip()  # after what stands for its value
        assert len(about) > 15 or name in ("x", "y"), (name, words)
        if command == "fit" and name.startswith("--") and name != "--help":
            assert words.count("default: ") == 1, name


def test_options_stand_in_groups_and_the_usage_is_short(tmp_path):
    text, _ = run("fit", "--help", cwd=tmp_path)
    assert text.startswith("usage: cgru fit [OPTION ...] [DATA]\n")
    titles = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert titles == [
        "positional arguments",
        "options",
        "reading the data",
        "input layers",
        "the network",
        "training",
        "examples",
    ]
    sections = dict(zip(titles, re.split(r"^\w[\w ]*:$", text, flags=re.MULTILINE)[1:], strict=True))
    for title, option in zip(titles[1:-1], ("--output", "--id", "--causal", "--units", "--epochs"), strict=True):
        assert f" {option}" in sections[title]
    assert run("export", "--help", cwd=tmp_path)[0].startswith(
        "usage: cgru export [OPTION ...] MODEL --output NAME.c\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(tmp_path, shell):
    pytest.importorskip("shtab", reason="no shtab")
    out, err = run("completion", shell, cwd=tmp_path)
    assert not err
    assert all(word in out for word in ("forecast", "--validation" if shell != "tcsh" else "validation"))


def test_bash_completes_options_and_files(tmp_path):
    pytest.importorskip("shtab", reason="no shtab")
    if os.name != "posix" or shutil.which("bash") is None:
        pytest.skip("without bash")
    (tmp_path / "cgru.bash").write_text(run("completion", "bash", cwd=tmp_path)[0])
    (tmp_path / "sessions.csv").write_text("")

    def completed(*words):
        asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_cgru; echo ${{COMPREPLY[@]}}"
        command = ["bash", "-c", f"source ./cgru.bash; {asked}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    assert completed("cgru", "fo") == ["forecast"]
    assert "--validation" in completed("cgru", "fit", "--va")
    assert "sessions.csv" in completed("cgru", "fit", "ses")


def test_completion_without_shtab(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    error = run("completion", "bash", cwd=tmp_path, code=2)[1]
    assert error == "cgru: error: argument SHELL: shtab is not installed; pip install shtab\n"
