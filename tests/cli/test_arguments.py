"""What the command can be asked, what is the default, and which words of the library's errors reach the user."""

import pytest
from cli_cases import run

from cgru.cli.arguments import RequestError, as_request_error, parser


def test_the_defaults_of_fit():
    assert vars(parser().parse_args(["fit"])) == {
        "command": "fit",
        "data": None,
        "units": 100,
        "layers": 1,
        "bidirectional": True,
        "output_dropout": 0.2,
        "pool": "last",
        "float64": False,
        "epochs": 30,
        "batch_size": 27,
        "learning_rate": 8e-3,
        "weight_decay": 0.3,
        "clip_norm": 1.0,
        "validation": 0.0,
        "patience": None,
        "seed": 0,
        "threads": None,
        "output": "cgru-model.npz",
        "plot": None,
        "quiet": False,
    }


def test_the_defaults_of_the_others():
    def asked(*arguments):
        return vars(parser().parse_args(arguments))

    assert asked("predict", "m", "d") == {"command": "predict", "model": "m", "data": "d", "output": None}
    assert asked("evaluate", "m") == {"command": "evaluate", "model": "m", "data": None}
    assert asked("info") == {"command": "info"}
    due = {"command": "export", "model": "m", "output": "x.c", "name": None, "dtype": None}
    assert asked("export", "m", "-o", "x.c") == due
    assert asked() == {"command": None}


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
        ("--learning-rate", ["1e-9"], ["0", "inf", "nan", "-1"]),
        ("--clip-norm", ["1e-9"], ["0", "inf"]),
        ("--weight-decay", ["0", "5"], ["-1", "inf", "nan"]),
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
