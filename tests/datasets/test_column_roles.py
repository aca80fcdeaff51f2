"""Which columns are what."""

import re

import numpy as np
import pytest

LONG = "id,t,a,b,label\n1,2,3,4,x\n1,1,1,2,x\n2,1,5,6,y\n"


def told(data):
    return [found[1] for found in (re.search(r"\((\w+=.*)\)$", note) for note in data.notes) if found]


@pytest.mark.parametrize(
    "name",
    ["id", "ID", "subject", "Patient", " series ", "sample_id", "case no", "machine number", "unique_id", "UniqueID"],
)
def test_ids_by_name(reads, name):
    data = reads(LONG.replace("id,", f"{name},"))
    assert data.train.ids.tolist() == [1, 2]
    assert data.feature_names == ("a", "b")
    assert told(data)[0] == f'id="{name.strip()}"'


@pytest.mark.parametrize(
    "name", ["t", "T", "time", "Time Step", "timestamp", "date", "Datum", "frame", "ds", "Time (s)", "t [ms]"]
)
def test_times_by_name(reads, name):
    data = reads(LONG.replace(",t,", f",{name},"))
    assert data.train.X[0].tolist() == [[1, 2], [3, 4]]
    assert told(data)[1] == f'time="{name}"'


def test_a_column_called_t_beside_times_is_an_element_where_it_goes_up_and_down(reads):
    text = "id,Date,Time,T,a\n1,2024-01-01,09:00,13.6,1\n1,2024-01-01,08:00,12,2\n2,2024-01-02,08:00,12.5,3\n"
    data = reads(text)
    assert data.feature_names == ("T", "a")
    assert data.train.X[0].tolist() == [[12, 2], [13.6, 1]]
    assert told(data)[1] == 'time=["Date", "Time"]'
    assert reads(text, time=["Date", "Time"]).feature_names == ("T", "a")
    gap = text.replace("1,2024-01-01,08:00", "1,2024-01-01,07:00,,0\n1,2024-01-01,08:00")
    assert reads(gap, missing="forward").feature_names == ("T", "a")
    assert reads("id,T,a\n1,2,0\n1,1,0\n").feature_names == ("a",)  # where no other is


def test_a_column_called_t_that_goes_on_is_no_element_in_silence(refused):
    text = "id,time,t,a\n" + "".join(f"1,{i},{10 * i},0\n" for i in range(6))
    assert refused(text).startswith("time: expected one column to be it, got time, t")
    error = "t: expected to know whether it is one of the features of a step"
    assert refused(text, time="time").startswith(error)
    assert refused(text.replace("20,0", "2,0"), time="time").startswith(error)  # once down, as between sequences
    assert refused(text.replace("20,0", "x,0"), time="time").startswith(error)


def test_names_are_strings_and_many_are_shown_in_part(reads, refused):
    with pytest.raises(TypeError, match=r"^time: expected names of columns, got \['t', 3\]"):
        reads(LONG, time=["t", 3])
    assert reads(LONG.replace("b,", "day,"), time="t", columns=["a"]).feature_names == ("a",)  # nobody asks of day
    names = [f"c{i}" for i in range(13)]
    table = ",".join(names[:12]) + "\n" + ",".join("1" * 12) + "\n"
    assert refused(table, id="x").endswith(f"columns {', '.join(names[:12])}, got 'x'")
    table = ",".join(names) + "\n" + ",".join("1" * 13) + "\n"
    assert refused(table, id="x").endswith(f"columns {', '.join(names[:12])}, ..., got 'x'")


POWER = """id;Time;power;Date;label
1;18.30;1;31.12.2023;x
1;0.05;2;1.1.2024;x
1;09.30;3;1.1.2024;x
1;18.05;4;31.12.2023;x
2;00.00;5;2.1.2024;y
"""


def test_a_date_and_a_time_are_taken_together_and_said(reads):
    data = reads(POWER)
    assert data.train.X[..., 0].tolist() == [[4, 1, 2, 3], [5, 0, 0, 0]]
    note = 'Date with Time is what steps are sorted by (time=["Date", "Time"])'
    assert data.notes == (
        'id says which sequence a row belongs to (id="id")',
        note,
        'label has the labels (label="label")',
    )
    assert data.reading["time"] == ["Date", "Time"]
    again = reads(POWER, time=data.reading["time"])
    assert again.train.X.tolist() == data.train.X.tolist()
    assert note not in again.notes
    for date, time in (("Datum", "Uhrzeit"), (" day", "ZEIT ")):
        assert reads(POWER.replace("Date", date).replace("Time", time)).train.X.tolist() == data.train.X.tolist()


def test_a_date_and_a_time_that_are_none_together_are_refused(reads, refused):
    def why(reason):
        one = 'time="Time" with ignore="Date" settles it'
        return f"time: expected one column to be it, got Time, Date, which are none together ({reason}); {one}"

    none = "Date Time: expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30, got"
    begin = why("").partition(")")[0]
    assert refused(POWER.replace("18.30", "x")).startswith(f"{begin}{none} '31.12.2023 x' in line 2")
    slashes = POWER.replace("31.12.2023", "1.2.2024").replace("1.1.2024", "2.1.2024").replace(".", "/")
    assert refused(slashes).startswith(begin)
    hours = re.sub(r";(\d+)\.\d+;", r";1\1;", POWER).replace("118", "12").replace("109", "15")
    assert refused(hours) == why("Time: expected a date or a time of day beside another, got 12, a number")
    assert refused(hours, time=["Date", "Time"]) == (
        "Time: expected a date or a time of day beside another, got 12, a number"
    )
    assert refused(POWER.replace("power", "tick")).startswith(
        "time: expected one column to be it, got Time, tick, Date; "
    )
    due = "expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30"
    cure = 'any other needs its format: time_format="%d.%m.%Y"'
    why = f"Time Date: {due}, got '18.30 31.12.2023' in line 2; {cure}"
    assert refused(POWER, time=["Time", "Date"]) == why
    twice = POWER.replace("1;18.05", "1;18:30")
    why = f"Date Time: {due}, got '31.12.2023 18:30' in line 5, unlike '31.12.2023 18.30'; {cure}"
    assert refused(twice, time=["Date", "Time"]) == why
    assert refused(twice.replace("18:30", "18.30"), time=["Date", "Time"]) == (
        "Date Time: expected times that differ within a sequence, got 31.12.2023 18.30 of id 1 in line 2 "
        'and again in line 5; time="" with ignore=["Date", "Time"] takes rows as they stand'
    )
    assert refused(POWER.replace("1;0.05", "1;"), time=["Date", "Time"]) == (
        "Time: expected a value in each row, got none in line 3"
    )
    assert refused(POWER, time=["Date", "Date"]) == "time: expected each once, got Date, Date"
    assert refused(POWER.replace("18.05", "18.5"), time=["Date", "Time"]).startswith(
        f"Date Time: {due}, got '31.12.2023 18.5'"
    )
    assert refused(POWER, time=["Date", "hour"]).startswith("time: expected one of the columns")
    assert refused(POWER, time=["Date", "Time"], wide=True) == (
        "time: expected none where each row is a sequence of its own, got Date, Time"
    )


@pytest.mark.parametrize("name", ["label", "Class", "target", "outcome", "category", "Klasse", "y", "Y"])
def test_labels_by_name(reads, name):
    data = reads(LONG.replace("label", name))
    assert data.train.y.tolist() == ["x", "y"]
    assert told(data)[2] == f'label="{name}"'


@pytest.mark.parametrize("name", ["index", "Index", "level_0", "X", "X.1", "row", "rownames", "row_id"])
def test_the_index_of_a_frame_is_no_element_unless_it_is_said(reads, refused, name):
    text = f"id,t,{name},a\n1,1,3,2\n1,2,5,3\n2,1,6,4\n"
    assert refused(text).startswith(f"{name}: expected to know whether it is one of the features of a step: columns=")
    assert reads(text, columns=[name, "a"]).feature_names == (name, "a")
    assert reads(text, ignore=name).feature_names == ("a",)
    for other in (text.replace("2,1,6", "2,1,5"), text.replace("2,1,6", "2,1,6.5"), text.removesuffix("2,1,6,4\n")):
        assert reads(other).feature_names == (name, "a")  # as an index of shares, an axis
    assert reads(text.replace(name, "b")).feature_names == ("b", "a")


def test_y_is_an_axis_beside_x_and_z(reads):
    for others in ("x,y,z", "x,y,c", "b,y,z"):
        data = reads(f"id,t,{others}\n1,1,2,3,4\n1,2,3,4,5\n")
        assert data.feature_names == tuple(others.split(","))
        assert data.train.y is None
    data = reads("id,t,x,y,label\n1,1,2,3,4\n1,2,3,4,4\n")
    assert data.feature_names == ("x", "y")
    assert data.train.y.tolist() == [4]


def test_other_units_tell_no_times(reads):
    data = reads(LONG.replace(",t,", ",T (degC),"))
    assert data.feature_names == ("T (degC)", "a", "b")


def test_without_times_rows_stay(reads):
    data = reads(LONG.replace(",t,", ",c,"))
    assert data.train.X[0].tolist() == [[2, 3, 4], [1, 1, 2]]
    assert data.notes[1] == "steps come as rows do: no column of times"
    data = reads(LONG, time="", ignore="t")
    assert data.train.X[0].tolist() == [[3, 4], [1, 2]]
    assert len(data.notes) == 2


def test_what_is_asked_for_is_not_guessed(reads):
    data = reads(LONG, id="id", time="t", label="label", columns=["b", "a"])
    assert data.notes == ()
    assert data.feature_names == ("b", "a")
    assert data.train.X[0].tolist() == [[2, 1], [4, 3]]
    assert reads(LONG, label="", ignore="label").train.y is None
    assert reads(LONG, label="", ignore=["label", "a"]).feature_names == ("b",)
    assert reads(LONG, ignore="b").feature_names == ("a",)
    data = reads(LONG, id="label", time="", label="id", columns=["t"])
    assert data.train.ids.tolist() == ["x", "y"]


def test_several_columns_are_an_id_together(reads):
    data = reads("subject,trial,t,a\ns1,1,1,2\ns1,2,1,3\ns2,1,1,4\ns1,1,2,5\n", id=["subject", "trial"])
    assert data.train.ids.tolist() == ["s1/1", "s1/2", "s2/1"]
    assert data.train.X[0].tolist() == [[2], [5]]


def test_several_numbers_are_learned_together(reads, refused):
    table = "id,t,a,p,q\n1,1,2,3,0.5\n1,2,2,3,0.5\n2,1,4,5,1\n"
    data = reads(table, label=["q", "p"])
    assert data.train.y.tolist() == [[0.5, 3], [1, 5]]
    assert data.feature_names == ("a",)
    words = table.replace("0.5", "z")
    assert refused(words, label=["q", "p"]) == "label: expected one, or several with numbers, got 'z'"


# --- a row for each sequence ---

STEPS = "label,t0,t1,t2\nx,1,2,3\ny,4,5,6\n"


def test_wide_tables_are_known_by_their_columns(reads):
    data = reads(STEPS)
    assert data.train.X[..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.train.y.tolist() == ["x", "y"]
    assert data.train.ids is None
    assert data.feature_names is None
    assert data.notes == ("each row is a sequence of its own (wide=True)", 'label has the labels (label="label")')
    assert reads(STEPS.replace("label,t0,t1,t2", "name,0,1,2")).train.y.tolist() == ["x", "y"]  # that has no numbers
    data = reads("id,t0,t1,t2\n7,1,2,3\n8,4,5,6\n")
    assert data.train.ids.tolist() == [7, 8]
    assert data.train.y is None
    assert reads(STEPS, columns=["t1", "t0"], wide=True).train.X[..., 0].tolist() == [[1, 2], [4, 5]]


def test_wide_where_asked(reads, refused):
    sensors = STEPS.replace("t0,t1,t2", "ch0,ch1,ch2")
    why = "expected a column such as id or subject that says which sequence a row belongs to: id="
    assert refused(sensors).startswith(why)
    data = reads(sensors, wide=True)
    assert data.train.X.shape == (2, 3, 1)
    assert data.notes == ('label has the labels (label="label")',)
    assert refused(STEPS, wide=False).startswith(why)
    assert refused("label,more,t0,t1,t2\nx,1,1,2,3\ny,2,4,5,6\n").startswith(why)  # two columns that are no steps
    assert refused("id,t,x\n1,2,3\n", wide=True, time="t") == (
        "time: expected none where each row is a sequence of its own, got t"
    )
    assert refused(STEPS, wide=True, per_step=True).startswith("per_step: expected a row for each step")


def test_steps_are_in_the_order_of_their_numbers(reads):
    data = reads("label,t1,t10,t2\nx,1,10,2\n")
    assert data.train.X[0, :, 0].tolist() == [1, 2, 10]
    assert data.notes[-1] == "steps are in the order of the columns' numbers, 1 to 10"


def test_a_step_that_is_not_there_is_said(reads):
    data = reads("label,t1,t2,t10,t11,t14\nx,1,10,2,3,4\n")
    assert data.notes[-1] == "a step may be missing: t10 is the next one after t2"
    data = reads("label,a0,b0,a1,b1,a3,b3\nx,1,2,3,4,5,6\n", wide=True)
    assert data.notes[-1] == "a step may be missing: a3 is the next one after a1"
    assert not any("missing" in note for note in reads("label,t0,t5,t10\nx,1,2,3\n").notes)


SHOPS = "shop,kind,h0,h1,h2\ns1,a,1,2,3\ns2,b,4,5,6\ns3,a,7,8,9\n"


def test_of_a_wide_table_text_that_differs_in_each_row_is_the_id(reads, refused):
    said = 'shop says which sequence a row is, different in each (id="shop")'
    for options in ({}, {"label": "kind"}):
        data = reads(SHOPS, wide=True, **options)
        assert data.train.ids.tolist() == ["s1", "s2", "s3"]
        assert data.train.y.tolist() == ["a", "b", "a"]
        assert said in data.notes
    assert reads(SHOPS, wide=True, id="", label="kind", ignore=["shop"]).train.ids is None
    two = "".join(SHOPS.splitlines(True)[:3])  # of two rows nobody knows
    assert refused(two, wide=True) == (
        'label: expected one column without numbers, got shop, kind; label="shop" settles it, '
        'id="shop" tells sequences by one that differs in each row'
    )
    assert refused(SHOPS.replace("s2", "s1"), wide=True) == (
        'label: expected one column without numbers, got shop, kind; label="shop" settles it'
    )
    streets = SHOPS.replace("h2", "street").replace("3\n", "x\n").replace("6\n", "y\n").replace("9\n", "z\n")
    assert refused(streets, wide=True) == (
        'label: expected one column without numbers, got shop, kind, street; label="kind" settles it, '
        'id="shop" tells sequences by one that differs in each row'
    )
    assert said in reads(SHOPS.replace("s2", "NA"), wide=True).notes
    labels = SHOPS.replace("shop,kind", "label,kind")
    assert reads(labels, wide=True, ignore=["kind"]).train.y.tolist() == ["s1", "s2", "s3"]
    assert reads(SHOPS.replace("s2", ""), wide=True, label="kind", ignore=["shop"]).train.ids is None


def test_of_a_wide_table_an_id_of_numbers_is_advised(refused):
    ids = SHOPS.replace("s1", "1").replace("s2", "2").replace("s3", "3")
    cure = 'ignore="shop" leaves it out, label="shop" learns it'
    known = 'shop: expected to know whether it is one of the steps: columns="..." names all that are, '
    assert refused(ids, wide=True) == f'{known}{cure}, id="shop" tells sequences by it'
    assert refused(ids.replace("\n2", "\n1"), wide=True) == f"{known}{cure}"
    assert (
        refused(ids.replace("kind", "id").replace("s3,a", "s3,c"), wide=True, id="h0", label="id") == f"{known}{cure}"
    )


def test_a_number_that_is_wrong_is_no_label(refused):
    assert refused(SHOPS.replace("5", '"1,234"'), wide=True) == (
        "h1: expected numbers, got '1,234' in line 3, with a separator of thousands; write all numbers without"
    )


def test_columns_of_words_in_a_wide_table_may_be_left_out(reads, refused):
    table = "land,rain,sun,wind,class\na,1,2,3,x\na,4,5,6,y\n"
    cure = 'columns="..." says which are features, unless it is the id or label, ignore="land" leaves it out'
    assert refused(table, wide=True, label="class") == f"land: expected numbers, got 'a' in line 2; {cure}"
    assert reads(table, wide=True, label="class", ignore="land").train.X.shape == (2, 3, 1)


def test_several_elements_of_a_wide_table(reads):
    for header, row in (("ax_1,ax_2,ay_1,ay_2", "1,2,3,4"), ("ax_1,ay_1,ax_2,ay_2", "1,3,2,4")):
        data = reads(f"label,{header}\nx,{row}\n", wide=True)
        assert data.train.X.tolist() == [[[1, 3], [2, 4]]]
        assert data.feature_names == ("ax", "ay")
        assert data.notes[-1] == "2 features a step by the columns' names: ax, ay"
    for header in (
        "2023-1,2023-2,2024-1,2024-2",
        "0.0,0.5,1.0,1.5",
        "00:00,00:30,01:00,01:30",
        "ax_1,ax_2,ay_1,ay_3",
        "ax_1,ax_2,ay_1,ay_",
        "a1,a01,b1,b01",
    ):
        data = reads(f"label,{header}\nx,1,2,3,4\n", wide=True, columns=header.split(","))
        assert data.train.X.tolist() == [[[1], [2], [3], [4]]]
        assert data.notes[-1] == "steps are in the order of the columns, all of one feature"
        assert data.feature_names is None
    data = reads("label,ay_1,ay_2,ax_1,ax_2\nx,1,2,3,4\n", wide=True, features=["ax", "ay"])
    assert data.train.X.tolist() == [[[3, 1], [4, 2]]]


def test_rows_that_end_early(reads, refused):
    ragged = STEPS.replace("5,6", ",")
    data = reads(ragged)
    assert data.train.lengths.tolist() == [3, 1]
    assert data.notes[-1] == "1 sequences end before the last column"
    assert refused(STEPS.replace("4,5", ",5")).startswith(
        't0: expected a value in each row, got none in line 3; missing="'
    )
    assert reads(STEPS.replace("4,5", ",5"), missing="forward").train.X[1, :, 0].tolist() == [5, 5, 6]
    assert refused(STEPS.replace("4,5,6", ",,")) == "expected values in each row, got none in line 3"


def test_no_header(reads, refused):
    rows = ["1" + ",0.5" * 9, "2" + ",1.5" * 9] * 2
    data = reads("\n".join(rows))
    assert data.train.y.tolist() == [1, 2, 1, 2]
    assert told(data)[-1] == 'label="column_1"'
    last = "\n".join(row[2:] + "," + row[0] for row in rows)
    assert told(reads(last))[-1] == 'label="column_10"'
    both = "\n".join(f"{row},{row[0]}" for row in rows)
    why = 'label: expected the first or the last column to have classes, got both; label="column_1" or "column_11"'
    assert refused(both).startswith(why)
    assert reads(both, label="column_1", ignore="column_11").train.X.shape == (4, 9, 1)
    assert reads("\n".join(row[2:] for row in rows)).train.y is None
    assert reads("\n".join(["0.5" + row[1:] for row in rows])).train.y is None
    assert reads("\n".join(f"{i}{row[1:]}" for i, row in enumerate(rows))).train.y is None  # each once
    assert reads("\n".join([",".join(["2.5"] * 8)] * 9)).train.X.shape == (9, 8, 1)
    assert refused("\n".join([",".join(["2.5"] * 7)] * 9)).startswith("expected a column such as id")


# --- what is not clear ---


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        ("subject,trial,t,a\n", {}, 'id: expected one column to be it, got subject, trial; id="subject" with ignore='
         '"trial", or together, id=["subject", "trial"], settles it'),
        ("id,t,time,a\n", {}, 'time: expected one column to be it, got t, time; time="t" with ignore="time" settles'),
        ("id,t,class,label\n", {}, 'label: expected one column to be it, got class, label; label="class" with ignore='),
        ("subject,trial,t,a\n", {"id": "subject"}, "trial: expected to know whether it is one of the features"),
        ("id,t,time,a\n", {"time": "t"}, "time: expected to know whether it is one of the features"),
        ("id,t,a\n", {"id": "who"}, "id: expected one of the columns id, t, a, got 'who'"),
        ("id,t,a\n", {"time": "who"}, "time: expected one of the columns"),
        ("id,t,a\n", {"label": "who"}, "label: expected one of the columns"),
        ("id,t,a\n", {"columns": ["who"]}, "columns: expected one of the columns"),
        ("id,t,a\n", {"ignore": "who"}, "ignore: expected one of the columns"),
        ("id,t,a\n", {"ignore": "a"}, "columns: expected at least one beside id, t, got none"),
        ("id,t,a\n", {"columns": ["a", "id"], "id": "id"}, "columns: expected each once, and none of id"),
        ("id,t,a\n", {"columns": ["t", "t"], "time": "t"}, "columns: expected each once, and none of t, got t, t"),
        ("id,t,a\n", {"columns": ["t", "a"], "ignore": "t"}, "ignore: expected each once, and none of t"),
        ("id,t,a\n", {"columns": ["a", "a"]}, "columns: expected each once, got a, a"),
        ("id,t,a\n", {"label": "a", "time": "a"}, "label: expected each once, and none of a, got a"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(refused, content, options, why):
    width = content.count(",") + 1
    rows = "".join(",".join([str(i)] * width) + "\n" for i in (1, 1, 2))
    assert refused(content + rows, **options).startswith(why)


def test_what_is_hardly_a_step_is_refused(reads, refused):
    table = "t0,t1,t2,kind\n1,2,3,0\n4,5,6,1\n"
    assert refused(table).startswith("kind: expected to know whether it is one of the steps: columns=")
    assert reads(table, label="kind").train.y.tolist() == [0, 1]
    assert reads(table, ignore="kind").train.X.shape == (2, 3, 1)
    half = "label,t1,t2,age,mass\nx,1,2,3,4\nx,1,2,3,4\n"
    assert refused(half, wide=True).startswith("age, mass: expected to know whether they are some of the steps")
    assert reads("id,t1,t2,t3\n1,2,3,4\n1,5,6,7\n", columns=["t1", "t2", "t3"]).train.X.shape == (1, 2, 3)
    words = "t0,t1,t2,t3,p,q\n1,2,3,4,a,b\n4,5,6,7,a,b\n"
    assert refused(words, wide=True).startswith(
        'label: expected one column without numbers, got p, q; label="p" settles'
    )


def test_an_id_in_one_row_alone(reads, refused):
    table = "id,a,b\n1,2,3\n2,4,5\n"
    why = "id: expected a sequence of several rows for an id, got each once; wide=True says that each row is "
    assert refused(table).startswith(why)
    assert refused(table, id="id").startswith(why)
    assert reads(table, wide=False).train.X.shape == (2, 1, 2)
    assert reads(table, wide=True).train.X.shape == (2, 2, 1)
    assert reads(table + "2,4,5\n").train.X.shape == (2, 2, 2)
    assert reads("id,a,b\n1,2,3\n").train.X.shape == (1, 1, 2)
    assert reads(table.replace("a,", "t,")).train.X.shape == (2, 1, 1)
    assert refused(table.replace("2,4", "1,4"), wide=True).startswith(
        "id: expected each id in one row, as wide=True says"
    )


def test_a_label_that_changes(reads, refused):
    table = LONG.replace("1,2,x", "1,2,y")
    assert refused(table).startswith(
        "label: expected one value for each id, got another in line 2; per_step=True takes a"
    )
    data = reads(table, per_step=True)
    assert data.train.y.tolist() == [["y", "x"], ["y", ""]]
    assert reads(table.replace("x", "0").replace("y", "1"), per_step=True).train.y.tolist() == [[1, 0], [1, 0]]
    data = reads(table.replace("x", "0.0").replace("y", "1"), per_step=True)
    assert data.train.y.tolist() == [[1, 0], [1, 0]]
    assert data.train.y.dtype == np.int64
    assert refused(LONG.replace("label", "c"), per_step=True, ignore="c").startswith(
        "per_step: expected a label, got none"
    )


def test_numbers_at_each_step(reads, refused):
    table = LONG.replace("1,2,x", "1,2,0.5").replace("x", "1").replace("y", "2")
    data = reads(table, per_step=True)
    assert (data.train.y.tolist(), data.target_names) == ([[[0.5], [1]], [[2], [0]]], ("label",))
    others = {"label": ["a", "b"], "ignore": "label", "columns": ["t"], "time": ""}
    data = reads(LONG, per_step=True, **others)
    assert data.train.y.tolist() == [[[3, 4], [1, 2]], [[5, 6], [0, 0]]]
    assert data.target_names == ("a", "b")
    assert refused(LONG, per_step=True, **others | {"label": ["a", "label"], "ignore": "b"}).startswith(
        "label: expected one, or several with numbers, got 'x'"
    )
    whole = table.replace("0.5", "3")
    assert reads(whole, per_step=True, task="regression").train.y.tolist() == [[[3], [1]], [[2], [0]]]
    assert reads(whole, per_step=True, task="classification").train.y.tolist() == [[3, 1], [2, 0]]
    assert refused(table, per_step=True, task="classification") == (
        "task: expected regression of reals that are not whole, got classification"
    )
    few = "".join(f"{i},{t},{t},{i % 3 * 13 + t}\n" for i in range(6) for t in range(13))
    note = "there are 39 different integers at the steps, which are learned as classes: "
    assert f'{note}task="regression" learns them as numbers' in reads(f"id,t,a,label\n{few}", per_step=True).notes
    words = "".join(f"{i},{t},{t},c{i}\n" for i in range(25) for t in range(2))
    for text in (f"id,t,a,label\n{words}", f"id,t,a,label\n{words.replace('c', '1')}"):
        assert not any("at the steps" in each for each in reads(text, task="classification").notes)
        assert ("c" in text) != any("at the steps" in each for each in reads(text, per_step=True).notes)
    assert not any("at the steps" in each for each in reads(f"id,t,a,label\n{words}").notes)
    assert not any(note[14:] in each for each in reads(f"id,t,a,label\n{few}", per_step=True, task="regression").notes)
    many = "".join(f"{i},{t},{t},{i * 13 + t}\n" for i in range(2) for t in range(13))
    assert refused(f"id,t,a,label\n{many}", per_step=True).startswith(
        "label: expected integers of some classes, got 26"
    )


def test_a_numbered_column_that_is_unlike_the_others_is_no_step_in_silence(reads, refused):
    for odd, header in (
        ("age1", "t0,t1,age1,t2"),
        ("y1", "x 1,x 2,x 3,x 4,y1"),
        ("age1", "2023-1,2023-2,2024-1,age1"),
        ("age1", "may 23,june 23,july 23,age1"),
    ):
        row = ",".join("12345"[: header.count(",") + 1])
        text = f"label,{header}\nx,{row}\nx,{row}\n"
        cure = f'columns="..." names all that are, ignore="{odd}" leaves it out, label="{odd}" learns it'
        assert refused(text, wide=True) == f"{odd}: expected to know whether it is one of the steps: {cure}"
        assert reads(text, wide=True, columns=header.split(",")).train.X[0, :, 0].tolist() == list(map(int, row[::2]))
    for header in ("t0,t1,age1,age2", "1 s,2 s,3 s,4 s", "may 23,june 23,july 23,may 24"):
        assert reads(f"label,{header}\nx,1,2,3,4\n", wide=True).train.X.size == 4


def test_a_date_and_a_time_are_known_by_some_rows(reads, refused, monkeypatch):
    from cgru.datasets import time_columns

    monkeypatch.setattr(time_columns, "LOOKED_AT", 2)
    rows = [f"{1 + i // 24}/2/2024,{i % 24}:00,{i}\n" for i in range(480)]
    text = "Date,Time,a,id\n" + "".join(rows).replace("\n", ",1\n")
    assert reads(text).train.X[0, :, 0].tolist() == [*range(480)]
    why = "Date Time: expected .* 18:30, got '1/2/2024 7h' in line 9, unlike '1/2/2024 0:00'; any other needs "
    assert re.match(why, refused(text.replace("7:00", "7h", 1)))
    two = "id,Date,Time,a\n1,1/2/2024,1:00,2\n1,30/1/2024,1:00,1\n1,1/3/2024,2:00,3\n1,2/1/2024,1:00,0\n"
    assert reads(two, id="id").train.X[0, :, 0].tolist() == [0, 1, 2, 3]  # that days come first, the second row says


MONTHS = {
    "English": "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec",
    "German": "Januar,Februar,März,April,Mai,Juni,Juli,August,September,Oktober,November,Dezember",
    "French": "janv.,févr.,mars,avr.,mai,juin,juil.,août,sept.,oct.,nov.,déc.",
    "Spanish": "ene,feb,mar,abr,may,jun,jul,ago,sep,oct,nov,dic",
    "Polish": "sty,lut,mar,kwi,maj,cze,lip,sie,wrz,paź,lis,gru",
    "with years": ",".join(f"Jan {year}" for year in range(2001, 2013)),
    "numbers": ",".join(map(str, range(1, 13))),
    "years": ",".join(map(str, range(2001, 2013))),
    "dates": ",".join(f"2001-{month:02}" for month in range(1, 13)),
    "R's": ",".join(f"V{i}" for i in range(1, 13)),
    "quarters": ",".join(f"{year}Q{i}" for year in (2001, 2002, 2003) for i in range(1, 5)),
    "t": ",".join(f"t{i}" for i in range(12)),
    "x_": ",".join(f"x_{i}" for i in range(12)),
}


@pytest.mark.parametrize("kind", MONTHS)
def test_a_column_that_is_no_step_beside_steps_is_asked_about(reads, refused, kind):
    """As in R's nottem, by year, with what is computed from the months."""
    rows = "".join(f"{1949 + i},{','.join(str(10 * i + j) for j in range(12))},{5 * i},ab{i % 2}\n" for i in range(4))
    for first, last in (("Year", "Annual"), ("Jahr", "Total"), ("station", "Mean"), ("v", "Summe")):
        table = f"{first},{MONTHS[kind]},{last},label\n{rows}"
        error = refused(table, wide=True)
        assert error.startswith(f"{first}, {last}: expected to know whether they are some of the steps: columns=")
        assert f'ignore=["{first}", "{last}"] leaves them out, label="{first}" learns it' in error
        assert f'id="{first}" tells sequences by it' in error
        data = reads(table, wide=True, id=first, ignore=last)
        assert data.train.X[1, :, 0].tolist() == [*range(10, 22)]
        assert reads(table, wide=True, ignore=[first, last]).train.X.shape == (4, 12, 1)
        alone = "\n".join(line.split(",", 1)[1] for line in table.splitlines())
        assert refused(alone, wide=True).startswith(f"{last}: expected to know whether it is one of the steps")
    steps = f"{MONTHS[kind]},label\n" + f"{','.join('5' * 12)},a\n" * 4
    assert reads(steps, wide=True).train.X.shape == (4, 12, 1)


@pytest.mark.parametrize(
    "header", ["Jan 01,Feb 01,Jan 02,Feb 02", "2001Q1,2001Q2,2002Q1,2002Q2", "Q1 01,Q2 01,Q1 02,Q2 02"]
)
def test_dates_are_steps_of_one_element(reads, header):
    data = reads(f"label,{header}\nx,1,2,3,4\n", wide=True)
    assert data.train.X.tolist() == [[[1], [2], [3], [4]]]


def test_elements_that_are_called_as_a_month_is(reads):
    data = reads("label,mag_1,mag_2,acc_1,acc_2\nx,1,2,3,4\n", wide=True)
    assert data.feature_names == ("mag", "acc")


def test_two_kinds_of_steps_are_asked_about(refused):
    table = "label,a_1,a_2,a_3,b_1,b_2\nx,1,2,3,4,5\nx,1,2,3,4,5\n"
    assert refused(table, wide=True).startswith("b_1, b_2: expected to know whether they are some of the steps")


CODES = "id,t,code,const,a,sex\n" + "".join(
    f"{i},{t},{7 * i},5,{t * i % 3},{i % 2}\n" for i in (1, 2, 3) for t in range(3)
)


def test_a_group_that_is_the_sequences_own_is_refused(refused):
    table = "subject,t,a,label\n1,0,2,u\n1,1,3,u\n2,0,4,v\n"
    assert refused(table, groups="subject") == (
        'groups: expected another column than that of the sequences, got subject; id="subject" names them, and each is'
        " a group of its own without groups"
    )


def test_times_of_which_a_sequence_has_one_twice_are_proposed_as_times(refused):
    table = "id,seen,a,label\n1,01.06.2023,2,u\n1,{}.06.2023,3,u\n2,01.06.2023,4,v\n2,02.06.2023,5,v\n"
    assert '; time="seen" sorts by it, but a sequence has a time in two rows; ' in refused(table.format("01"))


def test_what_does_not_change_within_a_sequence_is_said(reads):
    note = "code, sex do not change within any sequence, as codes and properties do: "
    note += 'ignore=["code", "sex"] leaves them out, label="sex" learns sex'
    data = reads(CODES)
    assert data.notes[-1] == note
    assert data.feature_names == ("code", "const", "a", "sex")
    assert not any("change" in note for note in reads(CODES, ignore=["code", "sex"]).notes)
    one = reads(CODES, ignore="sex")
    assert one.notes[-1] == (
        'code does not change within any sequence, as codes and properties do: ignore="code" leaves it out, '
        'label="code" learns it'
    )
    assert reads(CODES, label="sex").notes[-1].endswith('ignore="code" leaves it out')
    assert not any("change" in note for note in reads(CODES, features=("a", "code")).notes)  # as a model takes them
    assert reads(CODES.replace("1,2,7,5", "1,2,8,5")).notes[-1].startswith("sex does not change")
    single = "id,a,b\n" + "".join(f"{i},{i * 7 % 5},{i % 3}\n" for i in range(9))
    assert not any("change" in note for note in reads(single, wide=False).notes)
    assert not any("change" in note for note in reads(CODES.replace("\n2,", "\n1,9").replace("\n3,", "\n1,8")).notes)


def test_an_id_of_two_columns_may_have_groups(reads):
    table = "subject,trial,t,a\n" + "".join(f"s{i % 2},{i // 2},{t},{t * i % 5}\n" for i in range(6) for t in range(2))
    data = reads(table, id=["subject", "trial"])
    assert data.notes[-1] == (
        'is subject a group, whose sequences are alike? groups="subject" keeps them together where some are held back'
    )
    assert "group" not in " ".join(reads(table, id=["trial", "subject"], features=("a",)).notes)
    alone = "subject,trial,t,a\ns1,1,1,2\ns1,1,2,3\ns2,1,1,4\ns2,1,2,2\n"
    assert "group" not in " ".join(reads(alone, id=["subject", "trial"]).notes)


def test_an_index_whose_rows_were_moved_is_asked_about(reads, refused):
    moved = [3, 1, 2, 8, 10, 5, 4, 6, 7, 9]
    table = "rownames,id,t,a\n" + "".join(f"{row},{i // 5},{i % 5},{i * 3 % 4}\n" for i, row in enumerate(moved))
    assert refused(table).startswith("rownames: expected to know whether it is one of the features")
    assert reads(table.replace("\n10,", "\n12,")).feature_names == ("rownames", "a")
    assert reads("\n".join(table.splitlines()[:10]).replace("\n10,", "\n9,")).feature_names == ("rownames", "a")


def test_all_that_is_in_doubt_is_named_at_once(refused):
    table = "id,time,t,day,patient,a\n1,1,1,1,1,2\n1,2,2,2,2,3\n"
    assert refused(table, id="id", time="time") == (
        "t, day, patient: expected to know whether they are some of the features of a step: "
        'columns="..." names all that are, ignore=["t", "day", "patient"] leaves them out, label="t" learns it'
    )


def test_of_two_ids_that_are_together_in_each_row_once_the_last_may_be_the_time(reads, refused):
    rows = [(i, k // 3, k, 300 + k * k % 5) for i in range(5) for k in range(6)]
    table = "participant,block,trial,rt\n" + "".join(f"{i},{block},{k},{rt}\n" for i, block, k, rt in rows)
    start, cure = "id: expected one column to be it, got participant, trial; ", 'id="participant" with time="trial"'
    assert refused(table) == f'{start}{cure} or with ignore="trial" settles it'
    assert reads(table, id="participant", time="trial").train.X.shape == (5, 6, 2)
    assert reads(table, id="participant", ignore="trial").train.X.shape == (5, 6, 2)
