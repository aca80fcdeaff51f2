"""What is said where the compiled modules cannot be imported."""

import sys

import pytest
from helpers import run_python

from cgru._failure import explained

SETTING = ImportError("CGRU_SIMD: expected another")
FOREIGN = ModuleNotFoundError("No module named 'numpy'", name="numpy")
MISSING = ModuleNotFoundError("No module named 'cgru.core.kernels'", name="cgru.core.kernels")


def started(monkeypatch, argv, original):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)


@pytest.mark.parametrize(
    ("argv", "original"),
    [
        (["-m", "fit", "-q"], ["python", "-X", "dev", "-m", "cgru", "fit", "-q"]),
        (["-m"], ["python", "-Im", "cgru"]),
        (["/usr/bin/cgru", "fit"], ["/usr/bin/python3", "/usr/bin/cgru", "fit"]),
        (["cgru.exe"], ["python.exe", "cgru.exe"]),
    ],
)
def test_the_command_ends_with_a_line(monkeypatch, capsys, argv, original):
    started(monkeypatch, argv, original)
    raised = explained(SETTING, "here")
    assert isinstance(raised, SystemExit)
    assert raised.code == 2
    assert capsys.readouterr() == ("", "cgru: error: CGRU_SIMD: expected another\n")
    assert isinstance(explained(MISSING, "here"), SystemExit)
    assert explained(FOREIGN, "here") is FOREIGN


@pytest.mark.parametrize(
    ("argv", "original"),
    [
        (["train.py"], ["python", "train.py"]),
        (["-m", "cgru"], ["python", "-m", "pytest", "cgru"]),
        (["-c"], ["python", "-c", "import cgru"]),
        ([""], ["python"]),
        ([], []),
        (["cgru"], []),
    ],
)
def test_a_library_raises(monkeypatch, capsys, argv, original):
    started(monkeypatch, argv, original)
    assert explained(SETTING, "here") is SETTING
    missing = explained(MISSING, "/source/cgru/__init__.py")
    assert type(missing) is ImportError
    assert "missing beside /source/cgru/__init__.py: this is the source tree" in str(missing)
    assert "pip install -e" in str(missing)
    assert explained(FOREIGN, "here") is FOREIGN
    assert capsys.readouterr() == ("", "")


def test_an_import_that_failed_is_an_import_error():
    done = run_python("import cgru", CGRU_SIMD="none")
    assert done.stderr.splitlines()[-1].startswith("ImportError: CGRU_SIMD: expected one of ")


def test_the_command_says_in_a_line_that_the_import_failed():
    done = run_python("-m", "cgru", "info", CGRU_SIMD="none")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("cgru: error: CGRU_SIMD: expected one of ")
