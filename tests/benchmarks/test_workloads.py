"""The workloads: each fits the same with its rivals, and prints its table."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def quickly(name, run, folder, example=None):
    """What the workload prints, run beside the example that it measures."""
    (folder / "examples").mkdir(exist_ok=True)
    shutil.copy(EXAMPLES / f"{example or name}.py", folder / "examples")
    done = run("-m", "benchmarks.workloads", name, "--quick", "--picture", "bars.svg")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (folder / "bars.svg").read_text()
    return done


pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ does not lie beside the tests")


@pytest.mark.slow
def test_tiny_rnns(run, folder):
    pytest.importorskip("matplotlib", reason="no matplotlib")
    done = quickly("tiny_rnns", run, folder)
    rows = re.findall(r"^\| (\w+, \d) units? \| (.+) \|$", done.stdout, re.MULTILINE)
    assert [net for net, _ in rows] == ["GRU, 1", "SwitchingGRU, 2"]
    assert all(float(cell) > 0 for _, cells in rows for cell in cells.split(" | ") if cell.strip())


@pytest.mark.nightly
def test_recommender(run, folder):
    for each in ("torch", "matplotlib"):
        pytest.importorskip(each, reason=f"no {each}")
    done = quickly("recommender", run, folder)
    rows = re.findall(r"^\| (\w+) \| \d+ \| \d+ \| \w+ \| (.+) \|$", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["rsc15", "retailrocket", "rees46"]
    assert all(float(cell) > 0 for _, cells in rows for cell in cells.split(" | "))


@pytest.mark.nightly
def test_agents(run, folder):
    for each in ("torchrl", "sb3_contrib", "matplotlib"):
        pytest.importorskip(each, reason=f"no {each}")
    done = quickly("agents", run, folder, "gru_policy")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.,]+) \|", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "cgru.torch.GRU", "TorchRL, pad", "TorchRL, scan", "TorchRL, scan, recomputed", "cgru.torch.GRU", "nn.GRU",
        "nn.LSTM",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("opacus"), reason="no opacus")
def test_private_steps(run):
    done = run("-m", "benchmarks.workloads", "dp", "--quick")
    assert done.returncode == 0, done.stderr
    row = re.search(r"^\| 64 x 50 x 8 x 32 \| (.+) \|$", done.stdout, re.MULTILINE)[1].split(" | ")
    assert len(row) == 7
    assert all(float(cell.partition(",")[0]) > 0 for cell in row)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("medaka") is None, reason="no medaka")
def test_medaka(run):
    done = run("-m", "benchmarks.workloads", "medaka", "--quick")
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\| (r1041\w+[\w.]+) \| (.+) \|$", done.stdout, re.MULTILINE)
    equal, rest = lines[:4], [cells.split(" | ") for _, cells in lines[4:]]
    assert len({name for name, _ in equal}) == 4
    for _, cells in equal:
        positions, different, most = cells.split(" | ")
        assert int(positions.replace(",", "")) > 0
        assert different == "0"
        assert float(most) < 1e-4
    assert [cells[0] for cells in rest] == ["1", "16", "100"] * 3
