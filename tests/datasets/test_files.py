"""What kind of file it is, options, files of their own to test on, names of features, kinds of targets."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from cgru.datasets import described, files, read
from cgru.datasets.dataset import with_targets

LONG = "id,t,a,b,label\n1,2,3,4,x\n1,1,1,2,x\n2,1,5,6,y\n"


def test_files_are_known_by_their_first_bytes_and_their_endings(reads, refused, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3, 1)), y=[0, 1])
    arrays = (tmp_path / "x.npz").read_bytes()
    for name in ("data", "data.csv", "data.npz"):
        assert reads(arrays, name).train.X.shape == (2, 3, 1)
    for name in ("a.csv", "a.CSV", "a.tsv", "a.txt", "a.tab", "a.dat", "a.data", "a.csv.gz"):
        assert reads(LONG, name).train.X.shape == (2, 2, 2)
    for name in ("a.xlsx", "a.XLS", "a.ods"):
        assert refused("PK", name) == "expected a text file, got a spreadsheet: save it as CSV"
    for name in ("a.json", "a"):
        assert refused(LONG, name).startswith("it is no .npz archive, and its name does not end in .parquet, .ts, .csv")
    assert refused(LONG, "a.npz").startswith("expected an .npz file of plain arrays")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "txt", "ts", "csv.gz", "npz", "npy", "xlsx", "json", ""])
def test_an_empty_file_of_any_kind_is_said_to_be_empty(refused, ending):
    assert refused("", f"data.{ending}").endswith("an empty file")


def test_an_empty_array_in_a_folder_is_said_to_be_empty(tmp_path):
    (tmp_path / "x.npy").touch()
    with pytest.raises(ValueError, match=r"x\.npy: .*got an empty file$"):
        read(tmp_path)


def test_what_is_called_parquet_and_is_none_is_said_to_be_none(refused):
    for content in (LONG, "PAR", "\n"):
        assert (
            refused(content, "a.parquet")
            == "expected a Parquet file, got one that does not begin with PAR1, as those do"
        )


def test_a_column_that_cannot_be_filled_is_not_said_to_be_fillable(refused, reads):
    """Empty everywhere, or in one sequence; what is advised helps."""
    empty = "id,t,a,b,label\n1,1,2,,u\n1,2,3,,u\n2,1,4,,v\n2,2,5,,v\n"
    part = empty.replace("2,1,4,", "2,1,4,7").replace("2,2,5,", "2,2,5,8")
    why = "b: expected a value in each row, got none in line 2 (missing: b {}); b has no value"
    assert refused(empty) == f'{why.format(4)} at all, ignore="b" leaves it out'
    assert refused(part) == f'{why.format(2)} in 1 of 2 sequences, missing="zero" fills it, ignore="b" leaves it out'
    for text in (empty, part):
        assert reads(text, ignore=["b"]).feature_names == ("a",)
        for missing in ("forward", "interpolate"):
            cures = 'missing="zero" fills it with 0, missing="decay" in training needs none, '
            assert refused(text, missing=missing).endswith(f'{cures}ignore="NAME" in training leaves a column out')
    assert reads(part, missing="zero").train.X[0, :, 1].tolist() == [0, 0]
    wide = "id,a0,a1,b0,b1,label\n1,1,2,,,u\n2,1,2,3,4,v\n"
    why = "b0, b1: expected a value in each row, got none in line 2 (missing: b0 1, b1 1); "
    assert refused(wide, wide=True) == f'{why}missing="zero" fills them'
    assert refused(wide.replace(",,,", ",,3,"), wide=True).endswith('missing="forward" fills it')
    assert reads(wide, wide=True, missing="zero").train.X[0, :, 1].tolist() == [0, 0]


@pytest.mark.parametrize("ids", [("1.1", "1.10", "1.2"), (f"{2**53}.0", f"{2**53 + 1}", "7")])
def test_sequences_are_not_told_apart_by_reals(refused, reads, ids):
    rows = [f"{id},{i},1,x\n" for i, id in enumerate(ids)]
    why = refused("id,t,a,label\n" + "".join(rows))
    assert why == (
        f"id: expected integers or strings to tell sequences apart, got {float(ids[0])}, a real, as which 1.1 and 1.10 "
        "are the same; a letter before them makes them strings"
    )
    assert len(reads("id,t,a,label\n" + "".join("s" + row for row in rows)).train.X) == 3
    assert reads("id,t,a\n1.0,1,2\n2.0,1,2\n1.0,2,3\n").train.ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"task": "both"}, "task: expected one of classification, regression, got 'both'"),
        ({"decimal": ";"}, "decimal: expected one of ., ,, got ';'"),
        ({"axes": "sme"}, "axes: expected one of mse, mes, got 'sme'"),
        ({"missing": "mean"}, "missing: expected one of refuse, forward, interpolate, zero, decay, got 'mean'"),
        ({"axes": "mes"}, "axes: expected nothing, since it says nothing of such a file, text, got some"),
    ],
)
def test_options_that_are_none(refused, options, why):
    assert refused(LONG, **options) == why


def test_names_are_strings(reads):
    with pytest.raises(TypeError, match=r"^columns: expected names of columns, got \[1\]"):
        reads(LONG, columns=[1])
    with pytest.raises(TypeError, match=r"^na: expected words that mean a missing value, strings or numbers, got None"):
        reads(LONG, na=["-", None])


# --- a file of its own to test on ---


def test_a_file_to_test_on(reads, tmp_path):
    (tmp_path / "test.csv").write_text("label,b,a,t,id\ny,1,,1,7\ny,3,4,2,7\n")
    data = reads(LONG, test=tmp_path / "test.csv", missing="zero")
    assert data.test.X.tolist() == [[[0, 1], [4, 3]]]  # a, b
    assert data.test.y.tolist() == ["y"]
    assert data.test.ids.tolist() == [7]
    assert data.train.X.shape == (2, 2, 2)
    assert data.notes[-1] == "test.csv: filled 1 missing values (zero): a 1"
    assert len(data.notes) == 4
    lines = described(data)
    assert lines[:2] == ["2 samples of 1 to 2 steps of 2 features", "1 to test on of 2 steps of 2 features"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("id,t,a,label\n1,1,2,x\n", "expected the columns a, b, got id, t, a, label, none called b"),
        ("id,t,c,d,label\n1,1,2,3,x\n", "expected the features a, b, got c, d, none called a, b"),
        ("id,t,a,b\n1,1,2,3\n", "label: expected one of the columns id, t, a, b, got 'label'"),
    ],
)
def test_a_file_that_is_none_to_test_on(refused, tmp_path, content, why):
    path = tmp_path / "test.csv"
    path.write_text(content)
    assert refused(LONG, test=path) == f"{path}: {why}"


def test_arrays_to_test_on(tmp_path):
    def saved(name, **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    x, y = np.ones((2, 3, 2)), [0, 1]
    one = saved("one.npz", x=x, y=y, class_names=["a", "b"])
    assert read(one, test=saved("two.npz", x=x, y=y)).test.y.tolist() == y
    for name, arrays, why in (
        (
            "split.npz",
            {"train_x": x, "train_y": y, "test_x": x, "test_y": y},
            "expected no test split of its own where",
        ),
        (
            "names.npz",
            {"x": x, "y": y, "class_names": ["b", "a"]},
            "class_names: expected those of the other file, got b, a",
        ),
        ("e.npz", {"x": x[:, :, :1], "y": y}, "expected 2 features a step, as the other file has, got 1"),
    ):
        path = saved(name, **arrays)
        with pytest.raises(ValueError, match=f"^{path}: {why}"):
            read(one, test=path)


# --- names of features ---


def test_elements_by_their_names(reads, refused):
    for names in (["b", "a"], ("b",)):
        data = reads(LONG, features=names)
        assert data.feature_names == tuple(names)
        assert data.train.X[0, 0].tolist() == [{"a": 1, "b": 2}[name] for name in names]
    strange = LONG.replace("label", "comment").replace("6,y", "6,?")
    assert reads(strange, features=["a", "b"]).train.X.shape == (2, 2, 2)  # others may be anything
    assert refused(LONG, features=["a", "c"]) == "expected the columns a, c, got id, t, a, b, label, none called c"
    assert refused(LONG, features=["a", "b"], columns=["a"]) == "expected the features a, b, got a, none called b"


def test_elements_of_arrays(tmp_path):
    path, x = tmp_path / "x.npz", np.arange(12.0).reshape(2, 3, 2)
    np.savez(path, X=x, Y=[0, 1], feature_names=["a", "b"])
    assert read(path).feature_names == ("a", "b")
    assert read(path, features=["b", "a"]).train.X.tolist() == x[:, :, ::-1].tolist()
    assert read(path, columns=["b"]).train.X.tolist() == x[:, :, 1:].tolist()
    np.savez(path, x=x, y=[0, 1])
    assert read(path, features=["b", "a"]).train.X.tolist() == x.tolist()  # it has no names
    with pytest.raises(ValueError, match=r"columns: expected none without feature_names in the file"):
        read(path, columns=["b"])
    np.savez(path, x=x, y=[0, 1], feature_names=["a"])
    with pytest.raises(ValueError, match=r"feature_names: expected 2 names, one for each feature of a step, got 1"):
        read(path)
    np.savez(path, x=x, y=[0, 1], feature_names=["a", "a"])
    with pytest.raises(ValueError, match=r"feature_names: expected every name once"):
        read(path)


# --- arrays ---


def test_arrays_by_other_names(tmp_path):
    x, path = np.arange(12.0).reshape(2, 3, 2), tmp_path / "x.npz"
    for names in (("X", "Y"), ("X", "y"), ("x", "Y")):
        np.savez(path, **dict(zip(names, (x, [0, 1]), strict=True)))
        assert read(path).train.y.tolist() == [0, 1]
    for form in ("{}_X {}_Y", "X_{} y_{}", "x_{} y_{}"):
        names = [each.format(split) for split in ("train", "test") for each in form.split()]
        np.savez(path, **dict(zip(names, (x, [0, 1], x[:1], [1]), strict=True)))
        assert read(path).test.y.tolist() == [1]
    for names in ("xX", "yY"):
        np.savez(path, **{"x": x, names[1]: x if names == "xX" else [0, 1], "y": [0, 1]})
        with pytest.raises(ValueError, match=f"{names[0]}: expected it once, got {names[0]} and {names[1]}"):
            read(path)


def test_axes(tmp_path):
    x, path = np.arange(12.0).reshape(2, 2, 3), tmp_path / "x.npz"
    np.savez(path, x=x, y=[0, 1], lengths=[3, 1])
    data = read(path, axes="mes")
    np.testing.assert_array_equal(data.train.X, x.swapaxes(1, 2))
    assert data.train.X.flags.c_contiguous
    assert data.train.lengths.tolist() == [3, 1]
    with pytest.raises(ValueError, match="lengths"):
        read(path, axes="mse")
    np.savez(path, x=x[0], y=[0, 1], lengths=[1, 1])
    with pytest.raises(ValueError, match=r"x: expected shape \(m, e, s\), as axes says, got \(2, 3\)"):
        read(path, axes="mes")


def test_what_is_missing_in_arrays(tmp_path):
    x, path = np.ones((2, 3, 2)), tmp_path / "x.npz"
    x[0, 1, 0] = x[1, 2, 1] = x[1, 0, 1] = np.nan
    np.savez(path, train_x=x, train_y=[0, 1], train_lengths=[3, 2], test_x=x, test_y=[0, 1])
    assert np.isnan(read(path).train.X).sum() == 3
    assert described(read(path))[-1] == (
        'note: x has 2 NaN or infinities, the first in sample 0, step 1, feature 0; missing="forward" fills NaN'
    )
    data = read(path, missing="forward")
    assert np.isnan(data.train.X).sum() == 1  # past the length
    assert not np.isnan(data.test.X).any()
    assert data.notes == ("filled 5 missing values (forward): feature 0: 2, feature 1: 3",)
    x[0, :, 1] = np.nan
    np.savez(path, x=x, y=[0, 1])
    with pytest.raises(
        ValueError, match=r'x: expected a value at least in sample 0, feature 1, got none; missing="zero"'
    ):
        read(path, missing="interpolate")
    np.savez(path, x=np.ones((2, 3, 2), int), y=[0, 1])
    assert read(path, missing="zero").train.X.dtype.kind == "i"


# --- targets ---


def table(*labels):
    return "id,t,a,label\n" + "".join(f"{i},{t},{i},{label}\n" for i, label in enumerate(labels) for t in (0, 1))


def test_kinds_of_targets(reads, refused):
    assert reads(table(0, 1, 1)).train.y.dtype.kind == "i"
    assert reads(table(0, 1, 1), task="classification").train.y.dtype.kind == "i"
    assert reads(table(0, 1, 1), task="regression").train.y.tolist() == [0.0, 1.0, 1.0]
    assert reads(table(0, 1, 1), task="regression").train.y.dtype == np.float64
    assert reads(table(0.5, 1.5)).train.y.dtype.kind == "f"
    assert reads(table("a", "b"), task="classification").train.y.tolist() == ["a", "b"]
    assert reads(table(*range(20))).train.y.dtype.kind == "i"
    why = "label: expected integers of some classes, got 21 different ones of 21; task="
    assert refused(table(*range(21))).startswith(why)
    assert reads(table(*range(21)), task="regression").train.y[20] == 20
    assert reads(table(*range(21)), task="classification").train.y[20] == 20
    assert reads(table(*range(21), *range(21))).train.y.dtype.kind == "i"
    why = "label: expected reals, got 2 different ones that are whole; task="
    assert refused(table("1.0", "2.0", "1.0", "2.0")).startswith(why)
    assert reads(table("1.0", "2.0", "1.0")).train.y.tolist() == [1, 2, 1]
    assert reads(table("1.0", "2.0", "1.0", "2.0"), task="classification").train.y.dtype.kind == "i"
    assert reads(table("1.0", "2.0", "1.0", "2.0"), task="regression").train.y.dtype.kind == "f"
    assert (
        refused(table("a", "b"), task="regression")
        == "task: expected classification of strings, such as 'a', got regression"
    )
    why = "task: expected regression of reals that are not whole, got classification"
    assert refused(table(0.5, 1), task="classification") == why
    assert reads(table("a", ""), targets=False).train.y is None
    assert reads(table("a", ""), targets=False, task="regression").train.y is None


def test_reals_that_may_be_classes_are_told(tmp_path):
    path = tmp_path / "y.npz"

    def noted(y, **options):
        np.savez(path, x=np.ones((len(y), 3, 2)), y=np.array(y))
        return read(path, **options).notes

    note = 'y has 2 different numbers, all whole: task="classification" takes them for classes'
    assert noted([0.0, 1.0, 0.0, 1.0]) == (note,)
    assert noted([0.0, 1.0, 0.0]) == noted([0.0, 1.5, 0.0, 1.5]) == noted([0, 1, 0, 1]) == ()
    assert noted([0.0, 1.0, 0.0, 1.0], task="regression") == noted([0.0, 1.0, 0.0, 1.0], task="classification") == ()
    assert noted([0.0, np.nan, 0.0, 1.0]) == noted([0.0, np.inf, 0.0, 1.0]) == ()
    hot = np.eye(3)
    assert noted(hot) == ("y looks one-hot, and is learned as numbers: y.argmax(axis=1) are the classes",)
    assert noted(hot[:, ::2]) == noted(2 * hot) == noted(hot + hot[::-1]) == noted(np.ones((4, 1))) == ()
    with pytest.raises(
        ValueError, match=r"got classification of y \(3, 3\), which y.argmax\(axis=1\) makes to classes"
    ):
        noted(hot, task="classification")
    np.savez(path, test_x=np.ones((4, 3, 2)), test_y=np.array([0.0, 1.0, 0.0, 1.0]))
    assert read(path).notes == (note,)


# --- Parquet ---


@pytest.fixture
def parquet(tmp_path):
    polars = pytest.importorskip("polars")
    columns = {
        "id": [1, 1, 2],
        "t": [2, 1, 1],
        "a": [1.0, 2.0, None],
        "on": [True, False, None],
        "label": ["x", "x", "y"],
    }
    polars.DataFrame(columns).write_parquet(tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


@pytest.mark.parametrize("backend", ["polars", "pandas"])
def test_parquet(parquet, monkeypatch, backend):
    if backend == "pandas":
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        monkeypatch.setitem(sys.modules, "polars", None)
    data = read(parquet, missing="zero")
    assert data.train.X.tolist() == [[[2, 0], [1, 1]], [[0, 0], [0, 0]]]
    assert data.train.y.tolist() == ["x", "y"]
    with pytest.raises(
        ValueError, match=r"a, on: expected a value in each row, got none in row 2 \(missing: a 1, on 1\)"
    ):
        read(parquet)
    with pytest.raises(ValueError, match=r"decimal: expected nothing"):
        read(parquet, decimal=",")
    parquet.write_bytes(parquet.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"data.parquet: expected a Parquet file: "):
        read(parquet)


@pytest.mark.parametrize("backend", ["polars", "pandas", "pyarrow"])
def test_the_name_of_a_parquet_is_no_pattern_address_or_home(parquet, monkeypatch, backend):
    """For a library some of these mean other files, which lie there, too."""
    polars = pytest.importorskip("polars")
    for name in ("pandas", "pyarrow") if backend != "polars" else ():
        pytest.importorskip(name)
    reads = files._read_parquet
    monkeypatch.setattr(files, "_read_parquet", lambda _, file: reads(backend, file))
    monkeypatch.chdir(parquet.parent)
    polars.read_parquet(parquet).with_columns(polars.lit(666.0).alias("a")).write_parquet("data1.parquet")
    for name in (
        "data[1].parquet",
        "data*.parquet",
        "~/a.parquet",
        "k=1/a.parquet",
        "s3:/a.parquet",
        "file:/a.parquet",
    ):
        if sys.platform == "win32" and set(name) & {"*", ":"}:
            continue
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(parquet.read_bytes())
        assert read(name, missing="zero").train.X.tolist() == [[[2, 0], [1, 1]], [[0, 0], [0, 0]]], name


@pytest.mark.parametrize("stops", [KeyboardInterrupt, SystemExit, None])
def test_a_panic_of_polars_is_no_exception_and_is_refused(parquet, monkeypatch, stops):
    polars = pytest.importorskip("polars")

    def raising(*given, **options):
        raise (stops or type("PanicException", (BaseException,), {}))("assertion failed")

    monkeypatch.setattr(polars, "read_parquet", raising)
    with pytest.raises(
        stops or ValueError, match="assertion failed" if stops else r"data.parquet: .*: assertion failed"
    ):
        read(parquet)


@pytest.mark.parametrize("backend", ["polars", "pandas"])
def test_words_for_what_is_missing_in_parquet(tmp_path, monkeypatch, backend):
    polars = pytest.importorskip("polars")
    if backend == "pandas":
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        monkeypatch.setitem(sys.modules, "polars", None)
    columns = {
        "id": polars.Series([1, 1, 2, 2]),
        "whole": polars.Series([-999, 7, 0, -9999], dtype=polars.Int16),
        "null": polars.Series([None, -999, 3, 0], dtype=polars.Int64),
        "single": polars.Series([-99.9, 2, None, float("nan")], dtype=polars.Float32),
        "double": polars.Series([-99.9, -99.90000152587890625, 0, 1]),
        "words": polars.Series(["1.5", " Missing", "-999.0", "2"]),
        "on": polars.Series([True, False, None, True]),
    }
    path = tmp_path / "data.parquet"
    polars.DataFrame(columns).write_parquet(path)
    data = read(path, na=[-999, "-9999", -99.9, "missing", "none here", 1e300], missing="zero")
    assert data.train.X.tolist() == [
        [[0, 0, 0, 0, 1.5, 1], [7, 0, 2, -99.90000152587890625, 0, 0]],
        [[0, 3, 0, 0, 0, 0], [0, 0, 0, 1, 2, 1]],
    ]
    assert data.reading["na"] == ["-999", "-9999", "-99.9", "missing", "none here", "1e+300"]
    with pytest.raises(ValueError, match=r"id: expected a value in each row, got none, or one that na takes .* row 2"):
        read(path, na=2, missing="zero")
    with pytest.raises(ValueError, match=r"words: expected numbers, got ' Missing' in row 1; na=\" Missing\" takes it"):
        read(path, na="-999", missing="zero")
    zeros = read(path, na=0, missing="forward", columns=["whole", "on"], ignore=list(columns)[2:-1], id="id")
    assert zeros.train.X.tolist() == [[[-999, 1], [7, 0]], [[-9999, 1], [-9999, 1]]]  # what is false is no number


def test_parquet_without_a_library(parquet, monkeypatch):
    for name in ("polars", "pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"data.parquet: no library for Parquet is installed: pip install polars"):
        read(parquet)
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    with pytest.raises(ImportError, match=r"data.parquet: narwhals is missing: pip install narwhals polars"):
        read(parquet)


def test_text_needs_numpy_alone(reads, monkeypatch):
    for name in ("polars", "pandas", "pyarrow", "narwhals"):
        if importlib.util.find_spec(name):
            monkeypatch.setitem(sys.modules, name, None)
    assert reads(LONG).train.X.shape == (2, 2, 2)


def test_a_test_file_that_lies_beside_is_told(tmp_path):
    content = "@dimensions 1\n@classLabel true a b\n@data\n1,2,3:a\n4,5,6:b\n"
    for name in ("X_TRAIN.ts", "X_TEST.ts", "Y_TRAIN.ts"):
        (tmp_path / name).write_text(content)
    path = tmp_path / "X_TRAIN.ts"
    assert read(path).notes[-1] == f'X_TEST.ts lies beside it: test="{tmp_path / "X_TEST.ts"}" tests on it'
    both = read(path, test=tmp_path / "X_TEST.ts")
    assert both.test.X.shape == (2, 3, 1)
    for data in (both, read(tmp_path / "Y_TRAIN.ts"), read(tmp_path / "X_TEST.ts")):
        assert not any("beside" in note for note in data.notes)


def test_all_columns_with_missing_values_are_named(reads, refused):
    table = "id,t,a,b,c,e\n1,1,,2,3,\n1,2,4,,3,\n1,3,4,,3,\n"
    assert refused(table, ignore="e") == (
        'a, b: expected a value in each row, got none in line 2 (missing: a 1, b 2); missing="forward" fills them'
    )
    assert refused(table) == (
        "a, b, e: expected a value in each row, got none in line 2 (missing: a 1, b 2, e 3); "
        'e has no value at all, ignore="e" leaves it out; missing="forward" fills a, b'
    )
    end = 'got none in line 2 (missing: e 3); e has no value at all, ignore="e" leaves it out'
    assert refused(table, columns=["c", "e"]) == f"e: expected a value in each row, {end}"
    wide = "label,t0,t1,t2\nx,1,,3\ny,,5,6\nx,,5,6\n"
    assert refused(wide) == (
        't1, t0: expected a value in each row, got none in line 2 (missing: t1 1, t0 2); missing="forward" fills them'
    )


AMBIGUOUS = "id,when,a\n1,03/01/2024,3\n1,01/02/2024,1\n1,02/03/2024,2\n"


def test_a_format_of_times(reads, refused):
    why = refused(AMBIGUOUS, id="id", time="when")
    assert why == (
        "when: expected dates with one reading, got '03/01/2024' in line 2, which may be 2024-01-03 or 2024-03-01; "
        'time_format="%d/%m/%Y" or time_format="%m/%d/%Y" says which'
    )
    for form, due in (("%d/%m/%Y", [3, 1, 2]), ("%m/%d/%Y", [1, 2, 3])):
        data = reads(AMBIGUOUS, id="id", time="when", time_format=form)
        assert data.train.X[0, :, 0].tolist() == due
        assert data.reading["time_format"] == form
        again = reads(AMBIGUOUS, **data.reading)
        assert again.train.X[0, :, 0].tolist() == due
    assert "time_format" not in reads(AMBIGUOUS.replace("03/01", "31/01"), id="id", time="when").reading


def test_a_format_of_times_in_two_columns_and_of_numbers(reads, refused):
    pair = "id,date,time,a\n1,20240131,1830,3\n1,20240131,0905,1\n1,20240201,0000,2\n"
    assert reads(pair, time_format="%Y%m%d %H%M").train.X[0, :, 0].tolist() == [1, 3, 2]
    dotted = "id,month,a\n1,10.2023,3\n1,2.2024,1\n1,12.2023,2\n"  # which are numbers, too
    assert reads(dotted, time="month", time_format="%m.%Y").train.X[0, :, 0].tolist() == [3, 2, 1]
    why = refused(dotted, time="month", time_format="%Y-%m")
    assert why == "month: expected times of the form %Y-%m, got '10.2023' in line 2"


def test_a_format_without_times(refused, reads):
    why = 'time_format: expected a column of times beside it, got none: time="..." names it'
    assert refused("id,a\n1,2\n1,3\n", time_format="%Y") == why
    assert refused("a,b,c,d,label\n1,2,3,4,x\n", wide=True, time_format="%Y") == why
    assert refused("@data\n1,2:0\n", "x.ts", time_format="%Y").startswith(
        "time_format: expected nothing, since it says"
    )


def test_dates_in_words(reads):
    for first, second, third in (
        ("01-Apr-2012", "11-Apr-2012", "02-May-2012"),
        ("Jan 9 2000", "Jan 10 2000", "Feb 1 2000"),
        ("9. März 2024", "10. März 2024", "1. Mai 2024"),
        ("2012/01/09", "2012/01/10", "2012/02/01"),
        ("9 stycznia 2024", "10 stycznia 2024", "1 maja 2024"),
    ):
        text = f"id,date,a\n1,{third},3\n1,{first},1\n1,{second},2\n"
        assert reads(text).train.X[0, :, 0].tolist() == [1, 2, 3]


def test_targets_have_the_names_of_their_columns(tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("id,t,v,y,z\n1,1,0.5,1.5,10\n1,2,0.5,1.5,10\n2,1,0.5,2.5,20\n2,2,0.5,2.5,20\n")
    other.write_text("id,t,v,z,y\n1,1,0.5,10,1.5\n1,2,0.5,10,1.5\n")
    data = read(path, label=["y", "z"], test=other)
    assert data.target_names == ("y", "z")
    assert data.test.y.tolist() == [[1.5, 10]]
    assert read(path, label="y", ignore="z").target_names == ("y",)
    assert read(path, label="", ignore=["y", "z"]).target_names is None
    assert (
        read(path, label="z", ignore="y", task="classification").target_names is None
    )  # classes have names of their own
    turned = with_targets(data, ["z", "y"])
    assert turned.train.y.tolist() == [[10, 1.5], [20, 2.5]]
    assert turned.test.y.tolist() == [[10, 1.5]]
    assert turned.target_names == ("z", "y")
    assert with_targets(data, None) is with_targets(data, ("y", "z")) is data
    for names in (("y", "w"), ("y",), ("w", "y", "z")):
        with pytest.raises(ValueError, match=rf"^label: expected {', '.join(names)}, got y, z$"):
            with_targets(data, names)


def test_binary_text_in_parquet_is_text(tmp_path):
    """Ids and classes; where it is no UTF-8 it is refused, unless nobody asks for it."""
    polars = pytest.importorskip("polars", reason="polars is not installed")
    columns = {"id": [b"k\xc3\xa91", b"k\xc3\xa91", b"k2", b"k2"], "t": [1, 2, 1, 2], "a": [1.0, 2, 3, 4]}
    columns |= {"label": [b"u", b"u", b"v", b"v"], "raw": [b"x", b"\xff", None, b""]}
    polars.DataFrame(columns).write_parquet(tmp_path / "data.parquet")
    data = read(tmp_path / "data.parquet", ignore=["raw"])
    assert data.train.ids.tolist() == ["k\u00e91", "k2"]
    assert data.train.y.tolist() == ["u", "v"]
    columns["raw"][2] = b"z"
    polars.DataFrame(columns).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"raw: expected text in UTF-8, got b'\\xff' in row 1$"):
        read(tmp_path / "data.parquet", id="raw", ignore=["id"])


def test_strings_of_a_frame_that_are_taken_for_numbers_are_noted(tmp_path, reads):
    """Ids and classes stay what they are; cells of a text file are text anyway."""
    polars = pytest.importorskip("polars", reason="polars is not installed")
    columns = {"id": ["007", "007", "8", "8"], "t": [1, 2, 1, 2], "a": ["1", "2.5", "-3", "4"], "b": [1.0, 2, 3, 4]}
    columns |= {"c": ["1", "2", None, "4"], "label": ["01", "01", "1", "1"]}
    polars.DataFrame(columns).write_parquet(tmp_path / "data.parquet")
    data = read(tmp_path / "data.parquet", missing="zero")
    assert "strings in a, c are taken for numbers" in data.notes
    assert data.train.X[0].tolist() == [[1, 1, 1], [2.5, 2, 2]]
    assert data.train.ids.tolist() == ["007", "8"]
    assert data.train.y.tolist() == ["01", "1"]
    assert not any("strings" in note for note in read(tmp_path / "data.parquet", ignore=["a", "c"]).notes)
    assert not any("strings" in note for note in reads(LONG).notes)


@pytest.mark.parametrize("backend", ["polars", "pandas", "pyarrow"])
def test_parquet_with_two_columns_of_one_name_is_refused_by_it(tmp_path, monkeypatch, backend):
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    import pyarrow as pa

    pyarrow.write_table(pa.table([pa.array([1, 2])] * 3, names=["id", "a", "a"]), tmp_path / "data.parquet")
    for other in {"polars", "pandas", "pyarrow"} - {backend}:
        if backend != "pandas" or other != "pyarrow":  # by which pandas reads
            monkeypatch.setitem(sys.modules, other, None)
    with pytest.raises(ValueError, match=r"data\.parquet: expected columns of different names, got 'a' twice$"):
        read(tmp_path / "data.parquet")


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
def test_a_parquet_of_far_more_cells_than_bytes_is_refused(tmp_path, monkeypatch, backend):
    """Runs of one value take next to nothing in the file."""
    polars = pytest.importorskip("polars", reason="no polars")
    pytest.importorskip(backend, reason=f"no {backend}")
    for other in {"polars", "pandas", "pyarrow"} - {backend}:
        if other != "pyarrow":
            monkeypatch.setitem(sys.modules, other, None)
    path = tmp_path / "x.parquet"
    polars.DataFrame({"a": np.zeros(99_999), "label": np.zeros(99_999, int)}).write_parquet(path)
    assert read(path, wide=True, task="classification").train.X.size == 99_999, "less than PADDED"
    monkeypatch.setattr("cgru.datasets.files.PADDED", 8 * 2 * 99_999 - 1)
    with pytest.raises(
        ValueError, match="expected a Parquet file: at most 100 times as many bytes unpacked, got 199998"
    ):
        read(path, wide=True, task="classification")
    monkeypatch.setattr("cgru.datasets.files.DENSEST", 8 * 2 * 99_999 / path.stat().st_size)
    read(path, wide=True, task="classification")
