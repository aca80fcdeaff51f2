"""A fit on a file in less memory than the file has bytes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "large.py").is_file():
    pytest.skip("the benchmarks do not lie beside the tests", allow_module_level=True)
large = pytest.importorskip("benchmarks.large")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")


def test_what_is_written(tmp_path):
    assert large.write(tmp_path, 9) == 576
    X, y = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert (X.shape, X.dtype, y.shape) == ((576, 256, 16), np.float32, (576,))
    means = X.mean(axis=1)
    np.testing.assert_allclose(means[np.arange(576), y], 0.5, atol=0.4)


@linux
@pytest.mark.slow
def test_a_fit_in_less_memory_than_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    large.write(tmp_path, 128)
    start = anonymous_at_start()
    found = large.limited(tmp_path, start + (40 << 20))
    assert found["most"] < start + (40 << 20)
    assert found["loss"] < 1.4
    with pytest.raises(RuntimeError, match="the fit failed"):
        large.limited(tmp_path, 20 << 20)


def anonymous_at_start():
    """What a process may have before it has looked at anything."""
    code = (
        "import json, benchmarks.large as large; from pathlib import Path; large.network()\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(json.dumps([int(line.split()[1]) << 10 for line in lines if line.startswith('VmData:')]))"
    )
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)[
        0
    ]


@linux
def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(large, "limited", lambda folder, limit: {"seconds": 1.5, "most": limit >> 1, "loss": 1.25})
    monkeypatch.setattr(large, "compared", lambda folder, m: {"memory": 2.0, "file": 2.5, "batches": 3.0})
    assert large.main(["--size", "8", "--limit", "64", "--folder", str(tmp_path)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "512 sequences of 256 steps of 16 features, 8 MiB, in 64 MiB"
    assert second.endswith("1.5 s, 32 MiB of memory at most, validation loss 1.2500")
    assert third.endswith("in memory: 2.00 s; of the same updates times that: file 1.25, batches 1.50")
    assert not list(tmp_path.iterdir())


def test_what_is_compared(tmp_path):
    large.write(tmp_path, 8)
    found = large.compared(tmp_path, 64, units=4, epochs=1)
    assert found.keys() == {"memory", "file", "batches"}
    assert min(found.values()) > 0
