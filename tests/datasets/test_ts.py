"""The format of the UCR/UEA archive."""

import gzip
import pathlib

import numpy as np
import pytest

from cgru.datasets import read

HEAD = """# A comment
%another

@problemName Toy
@timeStamps false
@missing false
@univariate {univariate}
{more}
@data
"""
ONE = HEAD.format(univariate="true", more="@equalLength true\n@seriesLength 3\n@classLabel true up down")
TWO = HEAD.format(univariate="false", more="@dimensions 2\n@equalLength false\n@classLabel true up down")
REALS = HEAD.format(univariate="true", more="@targetlabel true")


@pytest.fixture
def ts(reads):
    return lambda content, **options: reads(content, "data.ts", **options)


@pytest.fixture
def no_ts(refused):
    return lambda content, **options: refused(content, "data.ts", **options)


def test_one_dimension(ts):
    data = ts(ONE + "1,2,3:up\n-1.5,2e-1,3:down\n")
    assert data.train.X.X[..., 0].tolist() == [[1, 2, 3], [-1.5, 0.2, 3]]
    assert data.train.y.tolist() == ["up", "down"]
    assert data.train.X.lengths is data.train.ids is data.test is data.class_names is None


def test_several_dimensions_of_unlike_lengths(ts):
    data = ts(TWO + "\n1,2,3:4,5,6:up\n# comment\n7:8:down \n")
    assert data.train.X.X.tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert data.train.X.lengths.tolist() == [3, 1]
    assert data.train.y.tolist() == ["up", "down"]


@pytest.mark.parametrize("word", ["?", "nan", "NaN", " NAN "])
def test_words_for_a_missing_value(ts, word):
    found = ts(ONE + f"1,{word},3:up\n", missing="zero").train.X.X
    assert found.tolist() == [[[1], [0], [3]]]


def test_targets_are_reals(ts):
    data = ts(REALS + "1,2:0.5\n3,4:2\n")
    assert data.train.y.tolist() == [0.5, 2]
    assert data.train.y.dtype == np.float64


def test_numbered_classes_are_integers(ts):
    numbered = HEAD.format(univariate="true", more="@classLabel true 1 2 10")
    assert ts(numbered + "1:1\n1:10\n2:2\n").train.y.tolist() == [1, 10, 2]
    assert ts(numbered.replace("10", "02") + "1:1\n1:02\n").train.y.tolist() == ["1", "02"]


def test_without_targets(ts):
    for more in ("@classLabel false", "", "@targetlabel false"):
        data = ts(HEAD.format(univariate="false", more=more) + "1,2:3,4\n")
        assert data.train.y is None
        assert data.train.X.X.tolist() == [[[1, 3], [2, 4]]]
    assert ts(ONE + "1,2,3:?\n", targets=False).train.y is None


def test_tags_in_any_case_gzip_and_windows(ts, tmp_path):
    text = (ONE + "1,2,3:up\n").replace("@classLabel", "@CLASSLABEL").replace("true", "True").replace("\n", "\r\n")
    assert ts(text).train.y.tolist() == ["up"]
    (tmp_path / "x.ts.gz").write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / "x.ts.gz").train.X.shape == (1, 3, 1)


def test_what_is_missing(ts):
    text = TWO + "1,?,3:4,5,?:up\n?,8:8,9:down\n"
    assert np.isnan(ts(text).train.X.X).sum() == 3
    data = ts(text, missing="interpolate")
    assert data.train.X.X.tolist() == [[[1, 4], [2, 5], [3, 5]], [[8, 8], [8, 9], [0, 0]]]
    for missing in ("forward", "zero+indicator"):
        with pytest.raises(ValueError, match=r"missing|none"):
            ts(ONE + "?,?,?:up\n", missing=missing)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", ""), ("1,2,3:up\n@data\n1:up\n", 1), ("@problemname x\n", ""), (ONE, ""),
        (ONE.replace("s false", "s true", 1) + "(1,2):up", ""), (ONE.replace("s false", "s maybe", 1) + "1:up", ""),
        (ONE.replace("s false", "s", 1) + "1:up", ""), (ONE + "(0,1),(1,2):up\n", 12), (ONE + "1,x,2:up\n", 12),
        (ONE + "1,,2:up\n", 12), (ONE + "1,inf,2:up\n", 12), (ONE + "1,2,3:left\n", 12),
        (ONE.replace(" up down", "") + "1,2,3:\n", 12), (ONE.replace(" up down", "") + f"1,2,3:{'a' * 1001}\n", 12),
        (ONE + "1,2,3\n", 12), (ONE + "1,2,3:4,5,6:up\n", 12), (TWO + "1,2:3,4:up\n1,2:up\n", 13),
        (TWO + "1,2:3:up\n", 12), (TWO.replace("s 2", "s two") + "1:2:up\n", 12),
        (TWO.replace("s 2", " 0") + "1:2:up\n", 12), (TWO.replace("@dimensions 2\n", "") + "1:2:up\n1:up\n", 12),
        (REALS + "1,2:x\n", 10), (REALS + "1,2:inf\n", 10),
        (REALS.replace("@data", "@classlabel true a\n@data") + "1:a", ""),
    ],
)  # fmt: skip
def test_refusals(no_ts, content, line):
    assert no_ts(content).startswith(f"line {line}: expected" if line else "expected")


def test_options_that_say_nothing_of_it(no_ts):
    for name, value in {"id": "a", "time": "t", "wide": True, "per_step": True, "decimal": ","}.items():
        assert no_ts(ONE + "1,2,3:up\n", **{name: value}).startswith(f"{name}: expected nothing")


def test_files_of_the_archive():
    sktime = pytest.importorskip("importlib.util").find_spec("sktime")
    if sktime is None:
        pytest.skip("sktime, which has some, is not installed")
    folder = pathlib.Path(sktime.origin).parent / "datasets" / "data"
    data = read(
        folder / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts", test=folder / "JapaneseVowels" / "JapaneseVowels_TEST.ts"
    )
    assert data.train.X.shape == (270, 26, 12)
    assert data.test.X.shape == (370, 29, 12)
    assert np.unique(data.train.y).tolist() == list(range(1, 10))
    assert (data.train.X.lengths.min(), data.test.X.lengths.max()) == (7, 29)
