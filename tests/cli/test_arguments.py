"""What the command can be asked, what its help says, and what is refused of its arguments."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest
from cli_cases import refused, run

import cgru
from cgru.cli.arguments import COMMANDS, RequestError, as_options, as_request_error, given, parser
from cgru.cli.help_text import EXAMPLES
from cgru.datasets import Columns, ColumnsError
from cgru.estimators import recipe
from cgru.estimators.recipe import Recipe
from cgru.network.files import FileError
from cgru.network.options import OPTIONS, described

READING = dict.fromkeys(each.name for each in fields(Columns))
LIBRARY = [name for kind in (OPTIONS, described(Recipe)) for name, each in kind.items() if each.parse is not None]
LIBRARY += ["resume", "checkpoint_seconds"]


def asked(*arguments):
    return parser().parse_args(arguments)


def test_defaults_of_the_library_are_left_to_it():
    own = {
        "command": "fit", "data": None, "test": None, "threads": None, "output": "cgru-model.npz", "plot": None,
        "html": None, "quiet": False, "budget": 14.0, "causal": False, "seed": 0,
    }  # fmt: skip
    assert vars(asked("fit")) == own | READING | dict.fromkeys(LIBRARY)
    assert vars(asked("evaluate", "m")) == READING | {
        "command": "evaluate", "model": "m", "data": None, "report": False, "html": None,
    }  # fmt: skip
    assert vars(asked("export", "m", "-o", "x.c")) == {
        "command": "export", "model": "m", "output": "x.c", "name": None, "dtype": None, "weights": "code",
    }  # fmt: skip
    assert vars(asked()) == {"command": None}
    text = run("fit", "--help", cwd=".")[0]
    for name in LIBRARY + list(READING):
        assert f"--{name.replace('_', '-')}" in text


def test_values_are_converted():
    request = asked(
        "fit", "d.csv", "--units", "3", "--id", "a,b", "--windows", "4,2", "--no-bidirectional", "--na", "-999,-",
        "--resume", "--loss", "mse", "--time", "",
    )  # fmt: skip
    assert (request.units, request.bidirectional, request.resume, request.loss) == (
        3,
        False,
        True,
        "mean_squared_error",
    )
    columns = Columns(**given(request))
    assert (columns.id, columns.windows, columns.na, columns.time) == (("a", "b"), (4, 2), ("-999", "-"), ())
    assert given(request, "units", "layers") == {"units": 3}
    forecast = asked("forecast", "s", "--horizon", "2", "--quantiles", "0.1", "0.9", "--inputs", "a", "b")
    assert (forecast.quantiles, forecast.inputs, forecast.origins) == ([0.1, 0.9], ["a", "b"], 10)


def test_columns_are_spelled_as_options():
    values = {"id": ("a", "b c"), "sort": True, "header": False, "na": ("-9",), "label": None, "time_format": "%d"}
    spelled = as_options(values)
    assert spelled == "--id 'a,b c' --sort --no-header --na=-9 --time-format %d"
    words = ["fit", *re.sub("'", "", spelled.replace("b c", "b_c")).split()]
    assert given(asked(*words)) == {
        "id": ("a", "b_c"),
        "sort": True,
        "header": False,
        "na": ("-9",),
        "time_format": "%d",
    }


REFUSED = {  # by argument, what it does not take
    "--units": ("0", "-1", "1.5", "x", ""), "--layers": ("0",), "--epochs": ("0", "1.5"), "--batch-size": ("0",),
    "--patience": ("0",), "--threads": ("0",), "--seed": ("-1", "x"), "--dropout": ("1", "-0.1", "nan"),
    "--recurrent-dropout": ("1",), "--validation": ("1.5", "-0.1"), "--average": ("1", "0", "nan"),
    "--learning-rate": ("0", "inf", "nan", "-1"), "--clip-norm": ("0", "inf"), "--weight-decay": ("-1", "nan"),
    "--checkpoint-seconds": ("-1", "nan"), "--budget": ("-1",), "--pool": ("min", "mean+min"), "--memory": ("high",),
    "--inputs": ("frames", "raw+normalize", ""), "--class-weight": ("none",), "--decimal": (";",),
    "--task": ("regresion",), "--windows": ("0", "a"), "--missing": ("guess",),
    "--loss": ("binary_cross_entropy", "cross_entropy(1)", "huber(0)", "huber(", "poisson(1)", "x", ""),
}  # fmt: skip


@pytest.mark.parametrize("option", REFUSED)
def test_wrong_values(tmp_path, option):
    for text in REFUSED[option]:
        assert refused("fit", "none.csv", f"{option}={text}", cwd=tmp_path).startswith(
            f"cgru: error: argument {option}: "
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fti",), ["'fti'", "did you mean fit?"]),
        (("fit", "--untis", "3"), ["--untis", "did you mean --units?"]),
        (("fit", "--unit", "3"), ["--unit;", "--units"]),
        (("forecast", "s.csv", "--horizn", "3"), ["--horizn", "--horizon"]),
        (("fit", "--task", "regresion"), ["--task", "did you mean regression?"]),
        (("fit", "--zzz"), ["--zzz\n"]),
        (("--vers",), ["--vers"]),
        (("predict", "m"), ["DATA"]),
        (("export", "m"), ["--output"]),
        (("forecast", "s"), ["--horizon"]),
        (("forecast", "s", "--horizon", "2", "--quantiles", "1"), ["argument --quantiles: "]),
        (("fit", "--resume"), ["--checkpoint"]),
        (("fit", "d.npz", "--causal", "--inputs", "normalize"), ["argument --inputs: "]),
    ],
)
def test_what_cannot_be_asked(tmp_path, arguments, words):
    error = refused(*arguments, cwd=tmp_path)
    assert all(word in error for word in words), error


def test_errors_of_the_library_become_the_commands():
    for error in (TypeError("why"), ValueError("why"), RuntimeError("why"), OverflowError("why"), ImportError("why")):
        with pytest.raises(RequestError, match=r"^where: why$") as caught, as_request_error("where: "):
            raise error
        assert caught.value.__cause__ is error
    with pytest.raises(RequestError, match=r"^f.npz is no model$"), as_request_error("where: "):
        raise FileError("f.npz is no model")
    wrong = ColumnsError("id", "none", "a column", {"id": ("machine",)}, "  machine  a b")
    with pytest.raises(RequestError, match=r"^argument --id: ") as caught, as_request_error("where: "):
        raise wrong
    assert (caught.value.options, caught.value.overview) == ("--id machine", "  machine  a b")
    with pytest.raises(KeyError), as_request_error():
        raise KeyError


def test_the_help(tmp_path, threads):
    threads(3)
    whole = run("--help", cwd=tmp_path)[0]
    assert run(cwd=tmp_path)[0] == whole
    assert run("--version", cwd=tmp_path)[0] == f"cgru {cgru.__version__}\n"
    for name, (summary, groups, files) in COMMANDS.items():
        assert summary.split(",")[0].split(":")[0] in " ".join(whole.split())
        text = run(name, "--help", cwd=tmp_path)[0]
        assert text.startswith(f"usage: cgru {name} [OPTION ...]")
        titles = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
        assert titles[-1] == "examples"
        assert [*filter(None, groups)] == [title for title in titles if title in groups]
        assert files in text
        assert "default: None" not in text
        for each in (each for group in groups.values() for each in group):
            assert len(each.help) > 15
            assert each.help.count("default: ") <= 1
            assert "{" not in each.help
        for example in EXAMPLES[name]:  # which can be run
            assert f"\n  cgru {name} {example}\n" in text
            assert asked(name, *re.split("[<>]", example)[0].split()).command == name
    assert f"{recipe.UPDATES} updates" in " ".join(run("fit", "--help", cwd=tmp_path)[0].split())


def test_completion(tmp_path, monkeypatch):
    pytest.importorskip("shtab", reason="no shtab")
    for shell in ("bash", "zsh", "tcsh"):
        out, err = run("completion", shell, cwd=tmp_path)
        assert not err
        assert all(word in out for word in ("forecast", "--validation" if shell != "tcsh" else "validation"))
    if os.name == "posix" and shutil.which("bash"):
        (tmp_path / "cgru.bash").write_text(run("completion", "bash", cwd=tmp_path)[0])
        (tmp_path / "sessions.csv").write_text("")
        for words, due in (
            ("cgru fo", "forecast"),
            ("cgru fit --va", "--validation"),
            ("cgru fit ses", "sessions.csv"),
        ):
            place = len(words.split()) - 1
            asks = f"source ./cgru.bash; COMP_WORDS=({words}); COMP_CWORD={place}; _shtab_cgru; echo ${{COMPREPLY[@]}}"
            found = subprocess.run(["bash", "-c", asks], cwd=tmp_path, capture_output=True, text=True, check=True)
            assert due in found.stdout.split()
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "shtab is not installed" in refused("completion", "bash", cwd=tmp_path)
