"""Models that earlier versions wrote are read, and predict what they predicted: docs/stability.md."""

import re

import model_files
import numpy as np
import pytest
from helpers import assert_close

import cgru
from cgru.network import branches

SAMPLES = sorted(model_files.FOLDER.glob("*/*.*.npz"))
MOST = 100_000  # bytes of a version
TOLERANCE = {"int8": 1e-2, "bfloat16": 1e-3, "integers": 0}  # of float32 1e-5


def load(path, kind):
    return cgru.forecast.load(path) if kind == "forecaster" else cgru.load(path)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_model_of_an_earlier_version_predicts_the_same(path):
    name, kind = path.stem.split(".")
    with np.load(path.parent / "answers.npz") as npz:
        arrays = {key.partition("/")[2]: npz[key] for key in npz if key.startswith(f"{path.stem}/")}
    X, due = arrays.pop("X"), arrays.pop("outputs")
    assert np.isfinite(due).all()
    assert_close(model_files.outputs(load(path, kind), X, arrays), due, TOLERANCE.get(name, 1e-5))


def test_there_are_samples_of_the_first_version():
    assert sum(path.parent.name == "0.1.0" for path in SAMPLES) == 12
    for folder in model_files.FOLDER.iterdir():
        assert sum(path.stat().st_size for path in folder.iterdir()) < MOST, folder


def test_samples_of_the_next_version_will_have_every_kind_of_layer(tmp_path):
    """Otherwise give the kind a line in tests/model_files.py."""
    found = set()
    for name, model, _, _ in model_files.made():
        model.save(tmp_path / name)
        with np.load(tmp_path / name) as npz:
            texts = [str(array) for array in npz.values() if array.dtype.kind == "U"]
        found |= {each for text in texts for each in re.findall(r'"class": "(\w+)"', text)}
    own = cgru.GRU, cgru.GRUD, cgru.SwitchingGRU, cgru.Bidirectional, *cgru.layers.KINDS, *branches.KINDS
    assert sorted({kind.__name__ for kind in own} - found) == []
