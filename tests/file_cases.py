"""What the tests of model files share: samples, and files that are changed."""

import io
import json
import zipfile

import numpy as np
import pytest

import cgru

RNG = np.random.default_rng(0)
X = RNG.standard_normal((10, 5, 3))
LENGTHS = RNG.integers(1, 6, 10)
LABELS = np.arange(10) % 3


def made(dtype=np.float64, seed=3, **options):
    layers = [
        cgru.GRU(4, cgru.lrelu, sequences=True, se_hPars={"LRELU_alpha": 0.2, "epochs": 3}, dtype=dtype),
        cgru.GRU(5, activate_reset=cgru.identity, initialization=cgru.xavier, clip_gradients=True, dtype=dtype),
        cgru.Dense(3, cgru.softmax, se_hPars={"softmax_temperature": 1.5}, dtype=dtype),
    ]
    return cgru.Network(layers, seed=seed, class_names=["a", "b", "ü\0\ud800"], **options)


def rewritten(path, **changes):
    """The file with other arrays; None leaves one out."""
    with np.load(path) as npz:
        arrays = {name: npz[name] for name in npz.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def edited(path, change):
    """The file with `change` applied to its description."""
    with np.load(path) as npz:
        model = json.loads(str(npz["model"]))
    change(model)
    rewritten(path, model=np.array(json.dumps(model)))


def refused(path, words=""):
    with pytest.raises(ValueError, match="is not a cgru model: .*" + words) as caught:
        cgru.load(path)
    assert str(path) in str(caught.value)


def member(shape, dtype="<f8"):
    """An array's header."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def with_member(path, name, content, how=zipfile.ZIP_STORED):
    """The file with another array of that name, as bytes."""
    rewritten(path, **{name: None})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name + ".npy", content, how)
