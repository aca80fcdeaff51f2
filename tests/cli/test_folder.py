"""A folder of arrays in the place of an archive: the same results, and nothing of x in memory."""

import subprocess
import sys

import numpy as np
import pytest
from cli_cases import QUICK, X, Y, refused, run
from helpers import some

from cgru.core.row_blocks import Rows, is_mapped
from cgru.network.network import Network


def both(path, **arrays):
    """The same data as data.npz and as the folder data."""
    np.savez(path / "data.npz", **arrays)
    (path / "data").mkdir()
    for name, array in arrays.items():
        np.save(path / "data" / f"{name}.npy", array)


LENGTHS = np.arange(40) % 5 + 1
CASES = {
    "classes": {"x": X, "y": Y, "class_names": ["no", "yes"]},
    "names": {"x": X, "y": np.array(["no", "yes"])[Y], "lengths": LENGTHS},
    "steps": {"x": X, "y": (X[:, :, 0] > 1).astype(int), "lengths": LENGTHS},
    "numbers": {"x": np.repeat(X, 3, axis=0), "y": np.repeat(1000 + 50 * X.sum(axis=(1, 2)), 3)},
    "split": {"train_x": X[:30], "train_y": Y[:30], "test_x": X[30:], "test_y": Y[30:]},
}


@pytest.mark.parametrize("options", [(), ("--validation", "0.3")])
@pytest.mark.parametrize("arrays", CASES.values(), ids=CASES.keys())
def test_a_folder_gives_what_an_archive_gives(tmp_path, arrays, options):
    both(tmp_path, **arrays)
    said = []
    for data in ("data.npz", "data"):
        out, _ = run("fit", data, *QUICK, *options, "--epochs", "4", "-o", "model.npz", cwd=tmp_path)
        said.append([out.splitlines()[0]])
        for command in ("predict", "evaluate"):
            out = run(command, "model.npz", data, cwd=tmp_path)[0]
            said[-1].append(out.replace(f"of {data}: ", "of data: "))
    assert said[0] == said[1]


def test_what_is_held_back_of_numbers_stays_in_its_file(tmp_path, monkeypatch):
    both(tmp_path, **CASES["numbers"])
    seen = []

    def fit(net, X, y, *, validation, **options):
        seen.extend([X.X, validation[0].X])
        raise KeyboardInterrupt

    monkeypatch.setattr(Network, "fit", fit)
    run("fit", "data", *QUICK, "-o", "model.npz", cwd=tmp_path, code=130)
    assert [type(each) for each in seen] == [Rows, Rows]
    assert [len(each) for each in seen] == [96, 24]
    assert all(map(is_mapped, seen))


def test_no_array_of_a_folder_is_overwritten(tmp_path):
    both(tmp_path, x=X, y=Y)
    before = (tmp_path / "data" / "x.npy").read_bytes()
    for options in (("-o", "data/x.npy"), ("--checkpoint", "data/x.npy")):
        assert "data/x.npy: this would overwrite" in refused("fit", "data", *QUICK, *options, cwd=tmp_path)
    assert (tmp_path / "data" / "x.npy").read_bytes() == before
    run("fit", "data", *QUICK, "--epochs", "1", "-o", "data/model.npz", cwd=tmp_path)


LIMITED = """
import resource, sys
from pathlib import Path
from cgru.cli.command import main

lines = Path("/proc/self/status").read_text().splitlines()
limit = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")) + (80 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
sys.exit(main(sys.argv[1:]))
"""
SHAPES = {"many": (4096, 200, 64), "long": (512, 200, 512), "steps": (8192, 400, 16)}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc are Linux's")
@pytest.mark.parametrize("kind", some(1, ["steps", "many", "long"]))
def test_memory_stays_flat(tmp_path, kind):
    m, s, e = SHAPES[kind]
    (tmp_path / "data").mkdir()
    x = np.lib.format.open_memmap(tmp_path / "data" / "x.npy", "w+", np.float32, (m, s, e))  # no room on the disk
    assert x.nbytes >= 2 * 80 << 20
    at_steps = (m, s) if kind == "steps" else (m,)
    y = np.lib.format.open_memmap(tmp_path / "data" / "y.npy", "w+", np.int8, at_steps)
    y[0] = 1
    if kind == "steps":
        y[0, :8] = range(8)  # eight classes, and so 100 MiB of outputs
    y.flush()

    def limited(*command):
        ran = subprocess.run([sys.executable, "-c", LIMITED, *command], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr

    limited("data", "data")
    quick = ["--epochs", "1", "--units", "1", "--no-bidirectional", "--dropout", "0", "--recurrent-dropout", "0"]
    limited("fit", "data", *quick, "-o", "model.npz")
    limited("evaluate", "model.npz", "data")
    if kind != "steps":  # whose outputs are as many
        limited("predict", "model.npz", "data", "-o", "out.npz")
