"""One model on two processes, by the example that shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="no torch")

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "torch_ddp.py"


@pytest.mark.nightly
@pytest.mark.skipif(not EXAMPLE.is_file(), reason="examples/ does not lie beside the tests")
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="no gloo")
def test_two_processes_train_as_one(tmp_path):
    models, losses = [], []
    for processes in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), processes, "50"], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        models.append(torch.load(tmp_path / "echo.pt"))
        losses.append(float(re.search(r"loss (\S+)", done.stdout)[1]))
    for name, due in models[0].items():
        assert (models[1][name] - due).abs().max() <= 1e-10 * due.abs().max(), name
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0] < 1
