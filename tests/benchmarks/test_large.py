"""A fit on a file in less memory than the file has bytes."""

import json
import sys
from functools import partial

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")


@pytest.fixture
def large(module, folder, monkeypatch):
    monkeypatch.chdir(folder)
    return module("large")


@linux
@pytest.mark.slow
def test_a_fit_in_less_memory_than_its_file(large, run, tmp_path):
    large.write(tmp_path, 96)
    start = json.loads(run("-c", AT_START).stdout)
    found = large.limited(tmp_path, start + (40 << 20))
    assert found["most"] < start + (40 << 20)
    assert found["loss"] < 1.5
    with pytest.raises(RuntimeError):
        large.limited(tmp_path, 20 << 20)


# What a process may have before it has looked at anything.
AT_START = """
import benchmarks.large, pathlib
benchmarks.large.network()
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print(*(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")))
"""


@linux
def test_the_command(large, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(large, "limited", lambda folder, limit: {"seconds": 1.5, "most": limit >> 1, "loss": 1.25})
    monkeypatch.setattr(large, "compared", partial(large.compared, units=4, epochs=1))
    assert large.main(["--size", "8", "--limit", "64", "--folder", str(tmp_path)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "512 sequences of 256 steps of 16 features, 8 MiB, in 64 MiB"
    assert len(rest) == 2
    assert not list(tmp_path.iterdir())
