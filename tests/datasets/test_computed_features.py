"""One-hot categories and indicators of missing values."""

import numpy as np
import pytest

from cgru.datasets import from_frame

ROWS = ["1,0,red,5,1,x", "1,1,blue,,2,x", "2,0,red,7,3,y", "2,1,,8,4,y", "2,2,green,9,5,y"]
TABLE = "\n".join(["id,t,color,rain,temp,label", *ROWS])
FULL = TABLE.replace("1,,", "1,red,").replace("blue,,", "blue,6,")


def test_text_is_encoded_one_hot(reads, refused):
    end = 'ignore="color" leaves it out, categories="color" encodes it one-hot'
    assert refused(FULL.replace("blue", "green")).endswith(end)
    data = reads(FULL, categories="color")
    assert data.feature_names == ("color_blue", "color_green", "color_red", "rain", "temp")
    assert data.train.X[0].tolist() == [[0, 0, 1, 5, 1], [1, 0, 0, 6, 2], [0, 0, 0, 0, 0]]
    assert data.train.X[1].tolist() == [[0, 0, 1, 7, 3], [0, 0, 1, 8, 4], [0, 1, 0, 9, 5]]
    assert data.reading["categories"] == {"color": ["blue", "green", "red"]}
    assert "color is one-hot, 3 categories: blue, green, red" in data.notes


def test_later_data_are_encoded_as_earlier_ones(reads, refused, tmp_path):
    data = reads(FULL, categories=["color"])
    (tmp_path / "later.csv").write_text("temp,rain,t,color,id\n1,2,0,green,7\n1,2,1,green,7\n")
    later = reads((tmp_path / "later.csv").read_text(), **data.reading, features=data.feature_names, targets=False)
    assert later.train.X.tolist() == [[[0, 1, 0, 2, 1]] * 2]
    assert not any("one-hot" in note for note in later.notes)
    some = reads(FULL, **data.reading, features=["temp", "color_red"])
    assert (some.feature_names, some.train.X[0].tolist()) == (("temp", "color_red"), [[1, 1], [2, 0], [0, 0]])
    other = FULL.replace("red", "pink")
    cure = "expected one of the categories blue, green, red, got 'pink' in line 2; na=\"pink\" takes it for missing"
    assert refused(other, **data.reading) == f"color: {cure}"
    none = reads(other, **data.reading | {"missing": "color=zero"}, na="pink")
    assert none.train.X[0].tolist() == [[0, 0, 0, 5, 1], [1, 0, 0, 6, 2], [0, 0, 0, 0, 0]]
    (tmp_path / "test.csv").write_text(FULL.replace("blue", "red"))
    assert reads(FULL, categories="color", test=tmp_path / "test.csv").test.X[0, :, :3].tolist() == [
        [0, 0, 1], [0, 0, 1], [0, 0, 0],
    ]  # fmt: skip


def test_which_columns_are_categories(reads, refused):
    data = reads(FULL, categories=["temp", "color"], columns=["rain", "color"])
    names = ("rain", "color_blue", "color_green", "color_red", "temp_1", "temp_2", "temp_3", "temp_4", "temp_5")
    assert data.feature_names == names
    assert reads(FULL.replace("color", "device"), categories="device").feature_names[0] == "device_blue"
    assert refused(FULL, categories="colour").startswith("categories: expected one of the columns id, t, color, ")
    assert refused(FULL, categories="label", label="label").startswith("categories: expected each once, and none of l")
    assert refused(FULL, categories="color", ignore="color").startswith("categories: expected each once")
    assert refused(FULL.replace("temp", "color_red"), categories="color") == (
        "categories: expected features of different names, got color_red twice"
    )
    assert refused("id,t,a,missingindicator_a\n1,0,1,2\n1,1,,4\n", missing="a=zero+indicator") == (
        "missing: expected no feature with the name of an indicator, got missingindicator_a"
    )
    empty = "id,t,a,b\n1,0,1,\n1,1,2,\n"
    assert refused(empty, categories="b", missing="zero") == (
        'categories: expected a value of b at least, got none; ignore="b" leaves it out'
    )
    wide = "t0,t1,t2\n1,2,3\n4,5,6\n"
    assert refused(wide, wide=True, categories="t0").startswith("categories: expected a row for each step, got one")


def test_numbers_have_the_same_name_however_they_are_written(reads):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    assert reads("id,t,zone\n1,0,2\n1,1,10\n", categories="zone").feature_names == ("zone_10", "zone_2")
    assert reads("id,t,zone\n1,0,2.0\n1,1,1.5\n", categories="zone").feature_names == ("zone_1.5", "zone_2")
    for values in ([2, 10, None], [2.0, 10.0, np.nan], ["2", " 10", None]):
        frame = pandas.DataFrame({"id": [1] * 3, "zone": values})
        found = from_frame(frame, "id", categories="zone", missing="zone=zero")
        assert (found.columns, found.X[0].tolist()) == (["zone_10", "zone_2"], [[0, 1], [1, 0], [0, 0]])
    frame = pandas.DataFrame({"id": [1] * 3, "a": [1, 2, 3], "zone": ["u", "v", None]})
    options = {"categories": {"zone": ["v", "u"]}, "missing": "zone=forward+indicator"}
    names = ["zone_u", "missingindicator_zone", "a"]
    found = from_frame(frame, "id", columns=names, **options)
    assert (found.columns, found.X[0].tolist()) == (names, [[1, 0, 1], [0, 0, 2], [0, 1, 3]])
    with pytest.raises(ValueError, match=r"^columns: expected some of the features a, zone_v, .*, got 'zone'$"):
        from_frame(frame, "id", columns=["a", "zone_u", "zone"], **options)


def test_what_is_computed_is_no_column_to_leave_out(reads):
    text = "id,t,sex,age,hr\n" + "".join(f"{i},{t},{'fm'[i % 2]},{30 + i},{t}\n" for i in range(4) for t in range(3))
    (note,) = (note for note in reads(text, categories="sex").notes if "does not change" in note)
    assert note.startswith(
        'age does not change within any sequence, as codes and properties do: ignore="age" leaves it out'
    )


def test_missing_categories_are_refused_or_filled(reads, refused):
    assert refused(TABLE, categories="color").startswith(
        "color, rain: expected a value in each row, got none in line 5"
    )
    zero = reads(TABLE, categories="color", missing="zero")
    assert zero.train.X[1, :, :3].tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    forward = reads(TABLE, categories="color", missing="forward")
    assert forward.train.X[1, :, :3].tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert refused(TABLE, categories="color", missing="interpolate") == (
        "color: expected no categories to be interpolated, got some that are missing; "
        'missing="forward" takes the one before'
    )
    assert reads(FULL, categories="color", missing="interpolate").train.X.shape == (2, 3, 5)


def test_indicators(reads, tmp_path):
    data = reads(TABLE, categories="color", missing="forward,rain=zero+indicator")
    assert data.feature_names[-3:] == ("rain", "temp", "missingindicator_rain")
    assert data.train.X[0, :, 3:].tolist() == [[5, 1, 0], [0, 2, 1], [0, 0, 0]]
    assert data.reading["missing"] == "forward,rain=zero+indicator"
    assert data.notes[-1] == "filled 2 missing values (forward,rain=zero+indicator): color 1, rain 1"
    (tmp_path / "test.csv").write_text(FULL.replace("9,5", ",5"))
    all_of = reads(TABLE, ignore="color", missing="zero+indicator", time_step=True, test=tmp_path / "test.csv")
    assert all_of.feature_names == ("rain", "temp", "missingindicator_rain", "time_step")
    assert all_of.reading["missing"] == "zero,rain=zero+indicator"
    assert all_of.test.X[1].tolist() == [[7, 3, 0, 0], [8, 4, 0, 1], [0, 5, 1, 1]]
    whole = FULL.replace("9,5", "9,")
    later = reads(whole, **all_of.reading, ignore="color", features=all_of.feature_names)
    assert later.train.X[1].tolist() == [[7, 3, 0, 0], [8, 4, 0, 1], [9, 0, 0, 1]]


def test_indicators_of_wide_tables_and_arrays(reads, refused, tmp_path):
    wide = "t0,t1,t2\n1,,3\n4,5,6\n7,,\n"
    data = reads(wide, wide=True, missing="zero+indicator")
    assert data.train.X.tolist() == [[[1, 0], [0, 1], [3, 0]], [[4, 0], [5, 0], [6, 0]], [[7, 0], [0, 0], [0, 0]]]
    assert data.feature_names == ("value", "missingindicator_value")
    later = reads("t0,t1\n1,2\n3,4\n", **data.reading, features=data.feature_names)
    assert later.train.X.tolist() == [[[1, 0], [2, 0]], [[3, 0], [4, 0]]]
    several = "a_0,a_1,b_0,b_1\n1,,2,3\n4,5,,6\n7,7,7,7\n"
    data = reads(several, wide=True, missing="a=zero+indicator,b=forward")
    assert data.train.X.tolist()[:2] == [[[1, 2, 0], [0, 3, 1]], [[4, 6, 0], [5, 6, 0]]]
    assert refused(several, wide=True, missing="a=zero").endswith('missing="a=zero,b=forward" fills it')
    x = np.array([[[1, np.nan], [2, 3]], [[4, 5], [np.nan, 6]]])
    path = tmp_path / "x.npz"
    np.savez(path, x=x, feature_names=["a", "b"])
    data = reads(path.read_bytes(), "x.npz", missing="a=zero,b=forward+indicator")
    assert data.train.X.tolist() == [[[1, 3, 1], [2, 3, 0]], [[4, 5, 0], [0, 6, 0]]]
    assert data.feature_names == ("a", "b", "missingindicator_b")
    assert data.reading == {"missing": "b=forward+indicator,a=zero"}
    np.savez(path, train_x=np.ones((2, 2, 2)), train_y=[0, 1], test_x=x, test_y=[0, 1], feature_names=["a", "b"])
    both = reads(path.read_bytes(), "x.npz", missing="zero+indicator")
    assert both.feature_names == ("a", "b")  # nothing is missing in the training data
    np.savez(path, x=np.ones((2, 1, 2), int), feature_names=["a", "b"])
    later = reads(path.read_bytes(), "x.npz", **data.reading)
    assert later.train.X.tolist() == [[[1, 1, 0]]] * 2
    np.savez(path, x=x)
    assert reads(path.read_bytes(), "x.npz", missing="zero").feature_names is None
    due = "missing: expected no indicators of a file without feature_names, got some"
    assert refused(path.read_bytes(), "x.npz", missing="zero+indicator") == due
    due = "missing: expected a method alone, since features have no names in such a file, ts, got a=zero"
    assert refused("@data\n1,2\n", "x.ts", missing="a=zero") == due
    assert refused("@data\n1,2\n", "x.ts", missing="zero+indicator").endswith("got zero+indicator")
