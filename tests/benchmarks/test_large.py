"""The command that fits a file in less memory than the file has bytes."""

import sys
from functools import partial

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")


@pytest.fixture
def large(module, folder, monkeypatch):
    monkeypatch.chdir(folder)
    return module("large")


@linux
def test_the_command(large, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(large, "limited", lambda folder, limit: {"seconds": 1.5, "most": limit >> 1, "loss": 1.25})
    monkeypatch.setattr(large, "compared", partial(large.compared, units=4, epochs=1))
    assert large.main(["--size", "8", "--limit", "64", "--folder", str(tmp_path)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "512 sequences of 256 steps of 16 features, 8 MiB, in 64 MiB"
    assert len(rest) == 2
    assert not list(tmp_path.iterdir())
