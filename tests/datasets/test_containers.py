"""Sequences as containers of sktime, aeon and pandas: what goes out comes in again."""

import sys

import numpy as np
import pytest

from cgru import datasets
from cgru.datasets import to_container
from cgru.network.data.dataframes import as_sequences

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 2))
LENGTHS = np.array([4, 1, 2])
RAGGED = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
SPLIT = datasets.Split(X, None, LENGTHS, np.array(["c", "a", "b"]))
DATA = datasets.Dataset(SPLIT, None, None, feature_names=("u", "v"))


def test_arrays():
    np.testing.assert_array_equal(to_container(X, "numpy3D"), X.swapaxes(1, 2))
    np.testing.assert_array_equal(to_container(list(X), "numpy3D"), X.swapaxes(1, 2))
    for found in (to_container(RAGGED, "np-list"), to_container(SPLIT, "np-list"), to_container(DATA, "np-list")[0]):
        assert len(found) == 3
        for x, due in zip(found, RAGGED, strict=True):
            np.testing.assert_array_equal(x, due.T)


@pytest.mark.parametrize("kind", ["pd-multiindex", "nested_univ"])
@pytest.mark.parametrize("given", [RAGGED, SPLIT, DATA])
def test_dataframes_come_in_again(kind, given):
    pytest.importorskip("pandas", reason="no pandas")
    found = to_container(given, kind)
    if given is DATA:
        found, other = found
        assert other is None
    sequences, names = as_sequences(found, "X")
    for x, due in zip(sequences, RAGGED, strict=True):
        np.testing.assert_array_equal(x, due)
    assert names == (("feature_0", "feature_1") if given is RAGGED or given is SPLIT else ("u", "v"))
    assert list(dict.fromkeys(found.index.get_level_values(0))) == ([0, 1, 2] if given is RAGGED else ["c", "a", "b"])
    assert found.index.nlevels == (2 if kind == "pd-multiindex" else 1)
    one = as_sequences(to_container(X[:1], kind), "X")[0]
    np.testing.assert_array_equal(one, X[:1])
    assert as_sequences(to_container(given if given is not DATA else SPLIT, kind, ["p", ""]), "X")[1] == (
        "p",
        "feature_1",
    )


def test_refused(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^kind: expected one of numpy3D, np-list, pd-multiindex, nested_univ, got 'x'"
    ):
        to_container(X, "x")
    with pytest.raises(ValueError, match=r"^data: expected sequences of one length, got 1 to 4 steps; kind="):
        to_container(SPLIT, "numpy3D")
    with pytest.raises(ValueError, match=r"^data: expected sequences of one length, got 1 to 4 steps; kind="):
        to_container(RAGGED[:2], "numpy3D")
    for data in (X[0], [], [X[0], X[1, :, :1]]):
        with pytest.raises(ValueError, match=r"^data: expected an array"):
            to_container(data, "np-list")
    pytest.importorskip("pandas", reason="no pandas")
    with pytest.raises(ValueError, match=r"^columns: expected 2 different names, one a feature, got 'a'$"):
        to_container(X, "nested_univ", ["a"])
    for columns in (["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match=r"^columns: expected 2 different names"):
            to_container(X[:1], "nested_univ", columns)
    with pytest.raises(ValueError, match=r"^data: expected ids that tell the samples apart"):
        to_container(SPLIT._replace(ids=np.array([1, 1, 2])), "pd-multiindex")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_container: pandas is missing: pip install pandas"):
        to_container(X, "nested_univ")
