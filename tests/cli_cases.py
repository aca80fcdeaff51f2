"""What the tests of the command share: small data, and the command itself, in this process or in one of its own."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from cgru.cli import main

rng = np.random.default_rng(1)
Y = np.arange(40) % 2
X = (rng.standard_normal((40, 5, 3)) + 2 * Y[:, None, None]).astype(np.float32)  # two classes, easily told apart
QUICK = ("--units", "4", "--dropout", "0", "--epochs", "60", "--batch-size", "8", "--learning-rate", "0.02")
QUICK += ("--inputs", "raw")
ENDLESS = (*QUICK, "--epochs", "1000000")
NUMBER = r"\d\.?\d*(e[+-]\d+)?"  # as losses are printed
posix = pytest.mark.skipif(os.name != "posix", reason="signals, terminals, modes and links of POSIX")


@contextlib.contextmanager
def inside(folder):
    """In that folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(*arguments, cwd, code=0):
    """(stdout, stderr) of the command, run in this process, once it has ended with `code`."""
    out, err = io.StringIO(), io.StringIO()
    with inside(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            got = main(list(map(str, arguments)))
        except SystemExit as end:  # argparse's, after --help and --version
            got = end.code
    assert got == code, err.getvalue()
    return out.getvalue(), err.getvalue()


def refused(*arguments, cwd):
    """The line that says why the command does not do it, with the columns of a table and the cure below it."""
    out, err = run(*arguments, cwd=cwd, code=2)
    assert out == ""
    assert re.fullmatch(r"cgru: error: .+\n(  .+\n)*(cgru .+\n)?", err), err
    return err


def start(*arguments, cwd, modules=None, **streams):
    """The command as a process in `cwd`, with the modules of the folder `modules` before all others."""
    path = os.pathsep.join(map(str, filter(None, (modules, os.environ.get("PYTHONPATH")))))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.Popen(
        [sys.executable, "-m", "cgru", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        text=True,
        # A test run in the background ignores SIGINT, and so would its children.
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) if os.name == "posix" else None,
        **streams,
    )


def pipe(path, monkeypatch):
    """Let standard input be the bytes of a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))


def ended(process, code=0):
    """(stdout, stderr) of the process, once it has ended with `code`."""
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in (err or "")
    return out, err


def without(folder, module):
    """A folder to put before all others, in which `module` cannot be imported."""
    (folder / f"{module}.py").write_text(f"raise ImportError('no {module}')\n")
    return folder


def number_in(text, name):
    return float(re.search(rf"{name} (\S+?)[,;]?(\s|$)", text)[1])


def accuracy_in(out):
    return float(re.search(r"accuracy (\d+\.\d+)%", out)[1])
