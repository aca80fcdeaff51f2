"""What a training shows while it lasts."""

import contextlib
import dataclasses
import io
import os
import re
import struct
import sys
import types

import numpy as np
import pytest
from cli_cases import NUMBER, QUICK, posix, start, without

import cgru
from cgru import Epoch
from cgru.cli.fit_command import Progress
from cgru.network.progress import Bar, epoch_text


def in_terminal(*arguments, cwd, modules=None, columns=0):
    """What the command shows where stderr is a terminal of so many columns."""
    import fcntl  # there is none of these on Windows
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24 if columns else 0, columns, 0, 0))
    process = start(*arguments, cwd=cwd, modules=modules, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux's way to say that the other side has closed
        pass
    finally:
        os.close(ours)
        process.communicate(timeout=60)
    assert process.returncode == 0, shown
    return shown.decode()


@posix
def test_a_bar_in_a_terminal(toy, tmp_path):
    pytest.importorskip("tqdm")
    shown = in_terminal("fit", toy / "data.npz", *QUICK, "--epochs", 12, cwd=tmp_path)
    assert re.search(rf"12/12 .*, loss {NUMBER} acc \d+\.\d%", shown)
    assert "epoch 12/12:" not in shown


def test_the_bar_of_a_fit_that_was_resumed():
    pytest.importorskip("tqdm")
    bar = Bar(12)
    for number in (7, 8):
        bar(epoch(number, 12))
        assert (bar.bar.n, bar.bar.initial) == (number, 6)
    bar.close()
    assert bar.bar.disable


def test_the_bar_of_a_fit_in_python(capsys):
    pytest.importorskip("tqdm")
    net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=0)
    net.fit(np.ones((4, 2, 1)), np.ones(4), epochs=3, progress=True, metrics={"largest": lambda y, A: 0.5})
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(rf"3/3 .*, loss {NUMBER} largest 0.5", err.replace("\r", "\n"))


@posix
def test_lines_in_a_terminal_without_tqdm(toy, tmp_path):
    modules = without(tmp_path, "tqdm")
    shown = in_terminal("fit", toy / "data.npz", *QUICK, "--epochs", 12, cwd=tmp_path, modules=modules)
    assert "epoch 12/12: loss" in shown


def epoch(number=1, epochs=100, loss=0.123456, accuracy=None, validation=None, validation_accuracy=None):
    return Epoch(number, epochs, loss, accuracy, validation, validation_accuracy, learning_rate=0.1, seconds=1.0)


@pytest.mark.parametrize(
    ("scores", "bar"),
    [
        ((), "loss 0.1235"),
        ((0.5,), "loss 0.1235 acc 50.0%"),
        ((None, 54321.9), "loss 0.1235 val 54322"),
        ((0.0, 0.2, 0.755), "loss 0.1235 acc 0.0% val 0.2/75.5%"),
    ],
)
def test_the_words(scores, bar):
    of = epoch(1, 100, 0.123456, *scores)
    assert epoch_text(of, 70) == bar
    assert epoch_text(of, 69) == bar.replace("0.1235", "0.12")


def told(capsys, epochs, quiet=False):
    with contextlib.closing(Progress(epochs, quiet)) as progress:
        for number in range(1, epochs + 1):
            progress(epoch(number, epochs))
        progress.say("one", "two")
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_about_ten_lines(capsys):
    *lines, one, two = told(capsys, 31)
    assert (one, two) == ("one", "two")
    assert [line.partition(":")[0] for line in lines] == [
        f"epoch {number:2}/31" for number in (1, 4, 8, 12, 16, 20, 24, 28, 31)
    ]
    assert lines[0].endswith("epoch  1/31: loss 0.1235")
    assert len(told(capsys, 7)) == 7 + 2
    assert told(capsys, 25, quiet=True) == []


def test_without_stderr(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with contextlib.closing(Progress(2, False)) as progress:
        assert progress.bar is None


class Terminal(io.StringIO):
    """A stderr that is a terminal and notes when it was flushed."""

    flushed = 0

    def isatty(self):
        return True

    def fileno(self):
        return 2

    def flush(self):
        self.flushed += 1


@pytest.fixture
def bar(monkeypatch):
    """What is asked of tqdm: [name, arguments, options], and the width that it says it has."""
    calls = []

    class Bar:
        columns, n = 60, 0

        def __init__(self, **options):
            calls.append(("tqdm", options))
            self.format_dict = {"ncols": self.columns}

        def set_postfix_str(self, text, refresh=True):
            calls.append(("text", text, refresh))

        def update(self, n=None):
            calls.append(("update",) if n is None else ("update", n))

        def close(self):
            calls.append(("close",))

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    return calls, Bar


def shown(monkeypatch, quiet=False, size=(80, 24)):
    """What stderr gets of one epoch where it is a terminal of that size."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Terminal())
        patch.setattr(os, "get_terminal_size", lambda descriptor: size)
        with contextlib.closing(Progress(7, quiet)) as progress:
            progress(epoch(1, 7))
        return sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("size", "room"),
    [((80, 24), {"dynamic_ncols": True}), ((0, 0), {"ncols": 80, "nrows": 24}), ((80, 0), {"ncols": 80, "nrows": 24})],
)
def test_what_the_bar_is_told(bar, monkeypatch, size, room):
    calls, _ = bar
    assert shown(monkeypatch, size=size) == ""
    assert calls.pop(0) == ("tqdm", {"total": 7, "bar_format": "{n}/{total} {bar} {remaining}{postfix}", **room})
    assert calls == [("text", "loss 0.12", False), ("update",), ("close",)]


@pytest.mark.parametrize(("skipped", "said"), [(0, ""), (1, " 1 left out"), (2, " 2 left out")])
def test_updates_that_were_left_out_are_counted(skipped, said):
    assert epoch_text(dataclasses.replace(epoch(), skipped=skipped)) == epoch_text(epoch()) + said


def test_networks_that_are_compared(capsys, bar, monkeypatch):
    with contextlib.closing(Progress(3, False)) as progress:
        for done, total in ((0, 2), (1, 2), (2, 2), (2, 5), (5, 5)):
            progress.compare(done, total)
    assert capsys.readouterr().err.splitlines() == [
        "comparing networks: 1 of 2", "comparing networks: 2 of 2", "comparing networks: 5 of 5"
    ]  # fmt: skip
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: (80, 24))
    with contextlib.closing(Progress(3, False)) as progress:
        progress.compare(1, 2)
        progress.compare(4, 5)
    assert [call for call in bar[0] if call[0] != "tqdm"] == [("update", 1), ("update", 3), ("close",)]
