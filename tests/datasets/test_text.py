"""Tables in text files: dialects, and where what is wrong stands."""

import contextlib
import gzip
import time

import numpy as np
import pytest

from cgru.datasets import read

LONG = "id,t,a,b,label\n1,2,3,4,x\n1,1,1,2,x\n2,1,5,6,y\n"
NOTES = (
    'id says which sequence a row belongs to (id="id")',
    't is what steps are sorted by (time="t")',
    'label has the labels (label="label")',
)
X = [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]


@pytest.mark.parametrize(
    "content",
    [
        LONG,
        LONG.replace(",", ";"),
        LONG.replace(",", "\t"),
        LONG.replace(",", "|"),
        LONG.replace(",", ", "),
        LONG.replace("\n", "\r\n"),
        LONG.replace("\n", "\r"),
        LONG.replace("\n", "\n\n"),
        LONG.rstrip("\n"),
        LONG + ",,,,\n" * 3,
        LONG.replace("\n", ",\n"),
        "\ufeff" + LONG,
        LONG.encode("utf-16"),
        LONG.encode("utf-16-be").join([b"\xfe\xff", b""]),
        gzip.compress(LONG.encode(), mtime=0),
        "sep=;\r\n" + LONG.replace(",", ";"),
        LONG.replace("x", '"x"').replace("id", '"id"'),
        ",id,t,a,b,label\n0,1,2,3,4,x\n1,1,1,1,2,x\n2,2,1,5,6,y\n",
        "Unnamed: 0,"
        + LONG.replace("\n1,2", "\n1,1,2").replace("\n1,1,1,2", "\n2,1,1,1,2").replace("\n2,1,5", "\n3,2,1,5"),
    ],
)
def test_dialects(reads, content):
    train, _, _, names, notes, *_ = reads(content)
    assert train.X.tolist() == X
    assert train.lengths.tolist() == [2, 1]
    assert train.ids.tolist() == [1, 2]
    assert train.y.tolist() == ["x", "y"]
    assert names == ("a", "b")
    assert notes[-3:] == NOTES


def test_quotes_between_spaces_are_told(refused):
    written = '"id" "t" "a"\n"1" 1 1 2\n"2" 1 2 3\n'
    assert refused(written) == (
        "expected tabs, ;, | or commas to separate cells in quotes, got spaces; R has these by write.csv"
    )


def test_a_first_column_that_counts_is_left_out_and_said(reads, refused):
    counted = ",id,t,a,label\n0,1,1,2,x\n1,2,1,3,y\n"
    assert "left out the first column, which has no name and counts the rows" in reads(counted).notes
    assert refused(counted.replace("\n1,2", "\n5,2")) == (
        "expected a name for each column, got none for column 1; pandas leaves an index out by index=False"
    )
    assert refused("id,t,,label\n1,1,2,x\n") == "expected a name for each column, got none for column 3"
    assert refused("id,t,,label\n1,1,0,x\n1,2,1,x\n") == "expected a name for each column, got none for column 3"


def test_a_decimal_comma_is_found_and_said(reads, refused):
    german = "id;t;a;label\n1;1;1,5;x\n1;2;-,25e1;x\n2;1;7;y\n"
    data = reads(german)
    assert data.train.X[..., 0].tolist() == [[1.5, -2.5], [7, 0]]
    assert data.notes[0] == "numbers have a decimal comma"
    assert reads(german.replace(",", "."), decimal=".").train.X[0, 1, 0] == -2.5
    assert "numbers have a decimal comma" not in reads(german, decimal=",").notes
    why = 'a: expected numbers, got {} in line {}{}; columns="..." says which are features, unless it is the id, time '
    why += 'or label, ignore="a" leaves it out'
    thousands = ", with a separator of thousands; write all numbers without"
    assert refused(german, decimal=".") == why.format("'1,5'", 2, "")
    assert refused(german.replace("7", "1.234,5")) == why.format("'1.234,5'", 4, thousands)
    assert refused(german.replace("7", "1.234")) == why.format("'1.234'", 4, thousands)
    assert refused('id,a,label\n1,"1,234",x\n') == why.format("'1,234'", 2, thousands)
    assert refused('id,a,label\n1,"1,5",x\n', decimal=",").startswith("decimal: expected another sign than ','")


def test_a_comma_that_may_be_for_thousands_is_refused(reads, refused):
    text = "id;t;a;label\n1;1;1,234;x\n1;2;12,500;x\n"
    assert refused(text).startswith(
        "expected numbers with one reading, got 1,234, whose comma is decimal or not; decimal="
    )
    assert reads(text, decimal=",").train.X[0, :, 0].tolist() == [1.234, 12.5]
    assert reads(text.replace("12,500", "0,500")).train.X[0, :, 0].tolist() == [1.234, 0.5]


def test_what_is_not_utf_8(reads):
    data = reads("id;t;Höhe;label\n1;1;2;ä\n".encode("cp1252"))
    assert data.feature_names == ("Höhe",)
    assert data.train.y.tolist() == ["ä"]
    assert data.notes[0] == "it is no UTF-8 (line 1): read as Windows-1252"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "expected a table, got an empty file"),
        ("\n \n", "expected a table, got an empty file"),
        (b"\xef\xbb\xbf\n", "expected a table, got an empty file"),
        (";;\n;;\n", "expected a table, got no values"),
        ("id,t,a\n", "expected rows below the header in line 1, got none"),
        ("\n\nid,t,a\n", "expected rows below the header in line 3, got none"),
        (b"id,t\n\0\0,1\n", "expected text, got a binary file, with a zero at byte 5"),
        (gzip.compress(LONG.encode(), mtime=0)[:-9], "expected a whole gzip file"),
        (gzip.compress(LONG.encode(), mtime=0)[:12] + b"\xff" * 9, "expected a whole gzip file"),
        (gzip.compress(b"1,2\n" * 9999, mtime=0), "expected at most 100 times as many bytes unpacked, got"),
        ("id,a,label\nx,1,{0}\nx,2,{0}\n".format("y" * 1001), "expected classes and groups of at most 1000 char"),
        (b"\x81,\xff", "expected text in UTF-8"),
        ("id,t,a\n1,2\n", "line 2: expected 3 cells, as in the first, got 2"),
        ("id,t,a\n\n1,2,3\n\n1,2,3,4\n", "line 5: expected 3 cells, as in the first, got 4"),
        ('id,t,a,label\n1,1,2,"x\ny"\n1,2,3\n', "line 4: expected 4 cells, as in the first, got 3"),
        ('sep=,\nid,t,a,label\n1,1,2\n', "line 3: expected 4 cells, as in the first, got 3"),
        ('id,t,a,label\n1,1,2,"x\n', "line 2: expected cells as CSV has them: unexpected end of data"),
        ('id,t,a,label\n1,1,2,x\n1,2,3,"x"y\n', "line 3: expected cells as CSV has them"),
        ("id,t,a,a\n1,1,2,3\n", "expected columns of different names, got 'a' as 3 and 4"),
        ("id,t,1.5,b,c\n1,1,2,3,4\n", "line 1: expected a header with names, or numbers but for a label, got 1.5"),
        (LONG.replace("5,6", "5,x"), "b: expected numbers, got 'x' in line 4; na=\"x\" takes it for missing; columns="),
        ("id,t,a\n1,1,x\n1,2,x\n", "a: expected numbers, got 'x' in line 2; columns="),
        ("id,t,a\n1,1,x\n1,2,y\n1,3,1\n", "a: expected numbers, got 'x' in line 2; columns="),
        (LONG.replace("5,6", "5,2x"), "b: expected numbers, got '2x' in line 4; columns="),
        (LONG.replace("5,6", "5,1_000"), "b: expected numbers, got '1_000' in line 4"),
        (LONG.replace("5,6", "5,inf"), "b: expected finite numbers, got infinity in line 4"),
        (LONG.replace("5,6", "5,"), "b: expected a value in each row, got none in line 4; b has no value in 1 of 2 "),
        (LONG.replace("3,4", "3,"), 'b: expected a value in each row, got none in line 2; missing="forward" fills it'),
        (LONG.replace("5,6", "NA,6"), "a: expected a value in each row, got none in line 4"),
        ('id,t,a,label\n1,1,2,"x\n\ny"\n2,2,?,z\n', "a: expected a value in each row, got none in line 5"),
        ("\n" + LONG.replace("2,1,5", ",1,5"), "id: expected a value in each row, got none in line 5"),
        (LONG.replace("6,y", "6,"), "label: expected a value in each row, got none in line 4"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(refused, content, why):
    assert refused(content).startswith(why)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_above_a_table(reads, refused, end):
    left, two = (f"lines at the top that begin with # are left out: {n}" for n in (1, 2))
    for content, note in (
        ("# of the logger, 2024\n# by hand, too; or not, I mean\n" + LONG, two),
        ("# of the logger\n\n" + LONG.replace(",", ";"), left),
        ("\ufeff#\n" + LONG, left),
        ("#" + LONG, NOTES[0]),
        ("# of the logger, 2024\n# " + LONG, left),
        ("#of the logger\n## " + LONG.replace(",", ";").replace(";3;", ";3,0;"), left),
    ):
        data = reads(content.replace("\n", end))
        assert data.train.X.tolist() == X
        assert data.notes[0] == note
    assert refused("#\n" + LONG.replace("6", "oops")).startswith("b: expected numbers, got 'oops' in line 5")
    bare = reads("# of the logger\n1,1,5,x\n1,2,3,x\n", id="column_1", time="column_2", label="column_4")
    assert bare.train.X.tolist() == [[[5], [3]]]
    assert reads("#,a\n1,2\n1,3\n", id="#").feature_names == ("a",)
    assert reads("# a\n# id a  b\n1 2 3\n1 4 5\n").feature_names == ("a", "b")
    assert reads("#1,2\n#2,3\n#3,5\n", id="", wide=True).train.y.tolist() == ["#1", "#2", "#3"]


def test_words_for_what_is_missing(reads):
    words = ["", "NA", "n/a", "#N/A", "NaN", "nan", "null", "None", "?"]
    rows = "".join(f"1,{t},{word},x\n" for t, word in enumerate(words))
    data = reads("id,t,a,label\n" + rows + "1,99,7,x\n", missing="zero")
    assert data.train.X[0, :, 0].tolist() == [0] * len(words) + [7]
    assert data.notes[-1] == f"filled {len(words)} missing values (zero): a {len(words)}"


NA = """id;t;a;b;label
1;1;1,5;-;x
1;2;-99,9;7;x
1;3;" -99,90 ";-999;x
1;4;2;--;x
2;1;4;5;y
2;2;Missing;-999,0;y
2;3;5;.;y
"""


def test_further_words_for_what_is_missing(reads, refused):
    words = ["-", "--", "-99.9", -999, "missing", "."]
    data = reads(NA, na=words, missing="zero")
    assert data.train.X.tolist() == [[[1.5, 0], [0, 7], [0, 0], [2, 0]], [[4, 5], [0, 0], [5, 0], [0, 0]]]
    assert data.notes[-1] == "filled 8 missing values (zero): a 3, b 5"
    assert data.reading["na"] == ["-", "--", "-99.9", "-999", "missing", "."]
    again = reads(NA, missing="zero", na=[*data.reading["na"], "none here", "-99,9"])
    assert again.train.X.tolist() == data.train.X.tolist()
    assert reads(NA, na=words, missing="forward").train.X[0, :, 0].tolist() == [1.5, 1.5, 1.5, 2]
    why = 'a, b: expected a value in each row, got none in line 3 (missing: a 3, b 5); missing="forward" fills them'
    assert refused(NA, na=words) == why
    assert refused(NA, na=words[2:], missing="zero").startswith("b: expected numbers, got '-' in line 2; columns=")
    why = "b: expected numbers, got '-' in line 2; na=\"-\" takes it for missing; columns="
    assert refused(NA, na=words[1:], missing="zero").startswith(why)
    assert "na" not in reads(LONG).reading
    for none in (None, "", [], [" "]):
        assert reads(LONG, na=none).reading == reads(LONG).reading


def test_a_word_that_is_a_number_means_its_value_and_nothing_near_it(reads):
    rows = "id,t,a,c\n1,1,-999,1\n1,2,-999.0,007\n1,3,-9.99e2,-999\n1,4,999,2\n1,5,-998.9999,-999.0\n1,6,-9990,true\n"
    for na in ("-999", -999, np.int64(-999), "-999.00", -999.0, np.float32(-999), ["-", "-9.99E+2"]):
        data = reads(rows, na=na, missing="zero")
        assert data.train.X[0, :, 0].tolist() == [0, 0, 0, 999, -998.9999, -9990]
        assert data.train.X[0, :, 1].tolist() == [1, 7, 0, 2, 0, 1]
    data = reads("id,t,a\n1,1,9\n1,2,10\n2,1,-9\n2,2,19\n", na=9, missing="zero")  # of integers alone
    assert data.train.X[..., 0].tolist() == [[0, 10], [-9, 19]]
    assert reads("id,t,a\n1,1,0\n1,2,1\n", na=0, missing="forward").train.X[0, :, 0].tolist() == [1, 1]
    assert reads("id,t,a\n1,1,inf\n1,2,1\n", na="inf", missing="zero").train.X[0, :, 0].tolist() == [0, 1]


def test_words_in_ids_times_and_labels(reads, refused):
    why = "{}: expected a value in each row, got none, or one that na takes for missing in line {}"
    assert refused(LONG.replace("2,1", "-9,1"), na=-9) == why.format("id", 4)
    assert refused(LONG.replace("2,1", "b,1").replace("\n1,2", "\n-,2"), na="-") == why.format("id", 2)
    assert refused(LONG.replace("1,2,3", "1,-9.0,3"), na="-9") == (
        f'{why.format("t", 2)}; time="" with ignore="t" leaves it out'
    )
    assert refused(LONG.replace("y", "Missing"), na="missing") == why.format("label", 4)
    numbers = LONG.replace("x", "0.5").replace("y", "-999")
    assert refused(numbers, na="-999.0") == why.format("label", 4)
    assert refused(numbers.replace("0.5", "2"), na="-999", per_step=True) == why.format("label", 4)
    assert reads(numbers).train.y.tolist() == [0.5, -999]
    data = reads("id,t,a,label\n-9.0x,1,2,007\n-9.0x,2,-9,007\nb,1,3,-9x\n", na=["-9", 7], missing="forward")
    assert data.train.ids.tolist() == ["-9.0x", "b"]  # a name is another than the number that it begins with
    assert data.train.y.tolist() == ["007", "-9x"]


def test_words_in_a_wide_table(reads, refused):
    text = "label,t0,t1,t2,t3\nx,1,-999,3,4\ny,5,6,-,-999\n"
    data = reads(text, na=["-999", "-"], missing="interpolate")
    assert data.train.X[..., 0].tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]
    assert data.train.lengths.tolist() == [4, 2]
    assert refused(text, na=["-999", "-"]).startswith("t1: expected a value in each row, got none in line 2")
    assert refused("label,t0,t1,t2\nx,1,2,3\ny,-,-,-\n", na="-") == "expected values in each row, got none in line 3"


def test_words_do_not_touch_names_and_separators(reads):
    data = reads("id,t,-,a\n1,1,5,-\n1,2,6,7\n", na="-", missing="zero")
    assert data.feature_names == ("-", "a")
    assert data.train.X.tolist() == [[[5, 0], [6, 7]]]
    data = reads("id;t;a\n1;1;1.5\n1;2;-99,9\n", na="-99,9", missing="zero")  # the only comma is in it
    assert (data.train.X.tolist(), data.notes[0]) == ([[[1.5], [0]]], NOTES[0])


@pytest.mark.slow
def test_a_word_far_down_makes_no_column_text(reads):
    rows = [f"{i // 10},{i % 10},{i}" for i in range(70_000)]
    rows[65_000] = "6500,0,-"
    rows[10] = "1,0,-999"
    data = reads("\n".join(["id,t,a", *rows]), na=["-", "-999"], missing="zero")
    due = np.arange(70_000.0)
    due[[10, 65_000]] = 0
    assert (data.train.X[..., 0].ravel() == due).all()


def test_names_are_not_missing_because_they_are_called_so(reads, refused):
    data = reads("id,t,a,label\nNA,1,2,None\nb,1,3,na\n")
    assert data.train.ids.tolist() == ["NA", "b"]
    assert data.train.y.tolist() == ["None", "na"]
    for word in ("", "nan", "NULL", "?"):
        assert refused(f"id,t,a,label\na,1,2,{word}\nb,1,3,x\n").startswith("label: expected a value in each row")


def test_codes_stay_what_they_are(reads):
    data = reads("id,t,a,label\n007,1,1,01\n007,2,2,01\n7,1,05,1\n")
    assert data.train.ids.tolist() == ["007", "7"]
    assert data.train.y.tolist() == ["01", "1"]
    assert data.train.X[..., 0].tolist() == [[1, 2], [5, 0]]
    assert reads("id,t,a,label\n7,1,1,1\n8,1,05,0\n").train.ids.dtype.kind == "i"
    data = reads("id,t,a,label\n1E2,1,1,3\n100,1,2e1,4\n10E1,1,5,3\n")  # wells of plates, which are no hundreds
    assert data.train.ids.tolist() == ["1E2", "100", "10E1"]
    assert data.train.X[:, 0, 0].tolist() == [1, 20, 5]
    assert data.train.y.tolist() == [3, 4, 3]


def test_kinds_of_numbers(reads):
    def y(*labels, **options):
        rows = "".join(f"{i},1,{i},{label}\n" for i, label in enumerate(labels))
        return reads("id,t,a,label\n" + rows, wide=False, **options).train.y

    assert y("1", "0", "1").dtype == np.int64
    assert y("1.5", "0", "1").dtype == np.float64
    assert y("1e0", "0.25", "2").tolist() == [1, 0.25, 2]
    assert y("True", "False", "True").tolist() == ["True", "False", "True"]
    assert y("1", "b", "2").tolist() == ["1", "b", "2"]


def test_booleans_are_elements(reads):
    data = reads("id,t,on,label\n1,1,True,x\n1,2,false,x\n2,1, TRUE,y\n2,2,,y\n", missing="forward")
    assert data.train.X[..., 0].tolist() == [[1, 0], [1, 1]]


def test_many_chunks(tmp_path, monkeypatch):
    from cgru.datasets import text

    monkeypatch.setattr(text, "CHUNK", 2)
    path = tmp_path / "data.csv"
    path.write_text("id,t,a,label\n1,1,2,x\n1,2,3.5,x\n2,1,4,y\n2,2,5,y\nb,1,inf,z\n")
    table, _ = text.table_of_text(path)
    assert table.rows == 5
    assert table.column("id").tolist() == ["1", "1", "2", "2", "b"]  # some of it is text
    assert table.column("a").tolist() == [2, 3.5, 4, 5, np.inf]
    assert table.column("t").dtype == np.int64
    assert [table.locate(row) for row in (0, 4)] == ["line 2", "line 6"]
    path.write_text("id,t,a,label\n1.50,1,2,x\n+2 ,2,3.5,x\n,1,4,y\nb,2,5,y\n")
    table, _ = text.table_of_text(path)
    assert table.read("id")[0].tolist() == ["1.50", "+2", "", "b"]  # as it stands there, whatever its chunk holds
    assert table.read("id")[1].tolist() == [False, False, True, False]


def test_spaces_around_a_name_do_not_make_another(reads):
    data = reads("id,t,a,label\nb ,1,2,x\nb,2,3,x\n c,1,4,y\n")
    assert data.train.ids.tolist() == ["b", "c"]
    assert data.train.lengths.tolist() == [2, 1]


def test_large_integers_are_exact(reads):
    for each in (2**60, 2**80):
        data = reads(f"id,t,a,label\n{each},1,{each},x\n{each + 1},1,{each},x\n")
        assert list(map(int, data.train.ids)) == [each, each + 1]
        assert data.train.X[0, 0, 0] == each


def test_headers(reads):
    numbered = "label," + ",".join(map(str, range(9))) + "\nx" + ",1" * 9 + "\ny" + ",2" * 9 + "\n"
    data = reads(numbered)
    assert data.train.X.shape == (2, 9, 1)
    assert data.notes[0] == "the first line, with 0, 1, 2, ..., is taken for a header"
    for first, shown in ((400, "400, 402.5, 405"), (-0.1, "-0.1, 2.4, 4.9")):  # as of a spectrum
        waves = "label;" + ";".join(f"{first + 2.5 * i:.4g}" for i in range(9)) + "\nx" + ";1,5" * 9 + "\ny" + ";2" * 9
        for content in (waves, waves.replace(".", ",")):
            data = reads(content, wide=True)
            assert data.train.X.shape == (2, 9, 1)
            assert data.train.y.tolist() == ["x", "y"]
        assert reads(waves, wide=True).notes[0] == f"the first line, with {shown}, ..., is taken for a header"
    for first, rows in (("0,0.5,1", 2), ("1.0,2.0,3.0", 2), ("10,20,30", 2), ("7,8,9", 1)):  # where no word is beside
        assert reads(f"{first}\n1,2,4\n", wide=True, label="").train.X.shape == (rows, 3, 1)
    for row in ("7,1.5,2,3", "1,2,4,9", "7,6,5,4", "7,7,7,7", "7,1,2"):
        assert reads(f"x,{row}\ny,{row}\n", wide=True, label="column_1").train.y.tolist() == ["x", "y"]
    bare = "x" + ",1.5" * 9 + "\ny" + ",2" * 9 + "\n"
    data = reads(bare)
    assert data.train.y.tolist() == ["x", "y"]
    assert data.train.X.shape == (2, 9, 1)
    assert data.notes[0] == "no header: the columns are called column_1 to column_10"
    train = reads(bare, label="column_1", columns=["column_2", "column_10"], wide=True).train
    assert train.X.shape == (2, 2, 1)
    assert train.y.tolist() == ["x", "y"]


SPACED = ["id a b", "  1  2.5   -3", "1 4 5 ", "", "2 6 7e-1"]


@pytest.mark.parametrize("first", ["id a b", "# id a b", "#id a  b"])
@pytest.mark.parametrize("name", ["data.txt", "data.dat", "data.csv"])
def test_spaces_separate_where_nothing_else_does(reads, first, name):
    data = reads("\n".join([first, *SPACED[1:]]), name)
    assert data.train.X.tolist() == [[[2.5, -3], [4, 5]], [[6, 0.7], [0, 0]]]
    assert data.notes[0] == "spaces separate the columns"
    assert data.feature_names == ("a", "b")


def test_what_spaces_do_not_separate(reads, refused):
    assert refused("\n".join([*SPACED[:4], "x" + "\n2 6 7" * 60]), "a.txt").startswith("expected columns that tabs")
    assert refused("\n".join(SPACED[:3] * 30 + ["2 6"]), "a.txt") == "line 91: expected 3 cells, as in the first, got 2"
    one = "expected columns that tabs, ;, |, commas or, on each line as many, spaces separate, got one, "
    assert refused("hello\nworld\n") == f"{one}hello"
    assert refused("1\n2\n") == f"{one}column_1"
    assert refused('"a b"\n"c d"\n').startswith(one)
    assert reads("id,first name\n1,2\n1,3\n").feature_names == ("first name",)


def test_all_columns_without_numbers_are_named_at_once(refused):
    rows = [f"{i // 4},2024-01-0{i % 4 + 1},{'AB'[i % 2]},{i}.5,n{i}" for i in range(12)]
    right = "\n".join(["id,charttime,ward,hr,note", *rows])
    rows[3] = rows[3].replace("01-04", "01-01")
    text = "\n".join(["id,charttime,ward,hr,note", *rows])
    when = "charttime: expected numbers, got '2024-01-01' in line 2; "
    ward = "ward: expected numbers, got 'A' in line 2; label=\"ward\" with per_step=True learns it; "
    note = "note: expected numbers, got 'n0' in line 2; "
    end = 'columns="..." says which are features, unless it is the id, time or label, '
    assert refused(text) == when + ward + note + end + (
        'ignore=["charttime", "ward", "note"] leaves them out, categories="ward" encodes it one-hot'
    )
    assert refused(text, ignore=["note"], label="ward") == when + end + 'ignore="charttime" leaves it out'
    assert refused(text.replace("2024-01-01", ""), label="ward", ignore=["note"]).startswith(
        "charttime: expected numbers, got '2024-01-02' in line 3; columns="
    )
    assert refused(right.replace(",A,", ",1,"), time="charttime", label="hr", ignore=["note"]).startswith(
        "ward: expected n"
    )
    assert 'label="ward"' not in refused(right.replace(",A,", ",1,"), time="charttime", ignore=["note"])
    assert 'label="ward"' not in refused(right.replace(",A,", ",B,"), time="charttime", ignore=["note"])


def test_a_label_of_no_name_that_is_left_out_is_said(reads):
    """A file without labels has as many columns as another with them and a step less."""
    table = "".join(f"{i % 2},{','.join(str(i * k % 7 / 2) for k in range(9))}\n" for i in range(6))
    note = 'column_1 has labels, as in training, and is left out (label="" takes all columns)'
    asked = {"label": "column_1", "wide": True, "targets": False}
    assert note in reads(table, **asked).notes
    assert reads(table, **asked).train.X.shape == (6, 9, 1)
    assert reads(table, **asked | {"label": ""}).train.X.shape == (6, 10, 1)
    assert note not in reads(table, **asked | {"targets": True}).notes
    named = "column_1," + ",".join(f"t{k}" for k in range(9)) + "\n" + table
    assert note not in reads(named, **asked).notes


WAVES = "4000,3500,3000,2500,2000,1500,1000,500"
UNEVEN = "4000,3400,2950,2400,2000,1500,1100,500"


def spectra(header, id=False, label=False, numbers=lambda i: [0.1 * (i * j % 7) for j in range(8)]):
    rows = [[f"S{i}"] * id + [f"{x:g}" for x in numbers(i)] + ["ab"[i % 2]] * label for i in range(1, 7)]
    return "\n".join([header, *map(",".join, rows)]) + "\n"


@pytest.mark.parametrize("waves", [WAVES, UNEVEN, ",".join(UNEVEN.split(",")[::-1])], ids=["even", "uneven", "rising"])
def test_numbers_of_a_header_fall_or_are_uneven(reads, waves):
    note = f"the first line, with {', '.join(waves.split(',')[:3])}, ..., is taken for a header"
    for label in ("label", "what"):
        data = reads(spectra(f"{waves},{label}", label=True), wide=True)
        assert (data.train.X.shape, data.notes[0], set(data.train.y)) == ((6, 8, 1), note, set("ab"))
        data = reads(spectra(f"sample,{waves},{label}", True, True), wide=True, id="sample")
        assert (data.train.X.shape, data.train.ids[0]) == ((6, 8, 1), "S1")
    assert reads(spectra(waves), wide=True).train.X.shape == (6, 8, 1)
    assert reads(spectra(f"protein,{waves}").replace("\n0,", "\n8.5,0,"), wide=True, label="protein").notes[0] == note


def test_first_rows_that_rise_are_rows(reads, refused):
    for first in ("1,2,3,4,5,6,7,9", "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"):
        rising = spectra(first, numbers=lambda i: [i * j for j in range(8)])
        if "9" in first:
            assert "a letter before its numbers makes them names" in reads(rising, wide=True, label="").notes[0]
        assert reads(rising, wide=True, label="").train.X.shape == (7, 8, 1)
    within = "0,0.05,0.15,0.2,0.3,0.35,0.4,0.5"
    assert reads(spectra(within), wide=True, label="").train.X.shape == (7, 8, 1)
    assert reads(spectra(f"{WAVES},a", label=True), wide=True).train.X.shape == (7, 8, 1)  # a is a class below
    assert reads(spectra(f"{WAVES},new", label=True), wide=True, label="column_9").train.X.shape == (7, 8, 1)
    why = refused(spectra(within), wide=True, label="class")
    assert why.endswith("column_8, got 'class'; the first line is a row, as no header was seen")
    assert reads(spectra(f"{within},what", label=True), wide=True, label="what").train.X.shape == (6, 8, 1)


def test_decimal_points_beside_commas_are_refused_with_a_cure(refused):
    rows = ["id;t;a;b", "1;1;1,5;2", "1;2;2.5;3"]
    assert refused("\n".join(rows)).startswith(
        "a: expected numbers, got '2.5' in line 3, where a decimal comma is taken, as some numbers have: "
        'all of the file need one sign, decimal="." takes the point; columns='
    )
    assert "comma" not in refused("\n".join(rows), decimal=".")


@pytest.mark.parametrize("gone", ["", "NA", "?"])
def test_a_missing_cell_is_no_word_of_a_header(reads, gone):
    for first in (f"1,2,4,{gone}", f"{gone},1,2,4", f"9,5,2,1,0.5,{gone}"):
        rows = "\n".join(",".join("314159"[i : i + first.count(",") + 1]) for i in (0, 0))
        data = reads(f"{first}\n{rows}\n", wide=True, label="", missing="zero")
        assert len(data.train.X) == 3
    assert len(reads(",0.5,1,1.5\n0,3,1,4\n1,1,5,9\n", wide=True, label="").train.X) == 2


def test_steps_that_were_trained_on_are_known_again(reads):
    """A header that looks like a row is one where it has these names, and other names are said."""
    steps = "500,1000,1500,2000,2500"
    data = reads(f"{steps},label\n1,2,3,4,6,a\n5,4,3,2,1,b\n", wide=True)
    assert data.reading["steps"] == steps.split(",")
    assert len(reads(f"{steps}\n1,2,3,4,5\n", wide=True, label="").train.X) == 2
    later = reads(f"{steps}\n1,2,3,4,5\n", **data.reading, targets=False)
    assert (len(later.train.X), any("trained on" in note for note in later.notes)) == (1, False)
    assert len(reads("1,2,3,4,6\n500,1000,1500,2000,9\n", **data.reading | {"label": ""}).train.X) == 2
    note = "steps are called 1000, 1500, ... where those that were trained on are 500, 1000, ...: taken in this order"
    for other, said in (("3000,2500,2000,1500,1000", note), ("500.0,1000.0,1500.0,2000.0", None)):
        row = ",".join("95140"[: other.count(",") + 1])
        later = reads(f"{other}\n{row}\n{row[::-1]}\n", **data.reading, targets=False)
        assert [each for each in later.notes if "trained on" in each] == ([said] if said else [])
    frame = reads(f"x{steps.replace(',', ',x')},label\n1,2,3,4,6,a\n5,4,3,2,1,b\n", **data.reading)
    assert any(each.startswith("steps are called x500, x1000, ... where") for each in frame.notes)


def test_numbers_beside_a_word_are_a_row(reads):
    data = reads("b,0,1\na,2,3\nb,3,4\n", wide=True)
    assert data.notes[0] == "no header: the columns are called column_1 to column_3"
    assert data.train.X[..., 0].tolist() == [[0, 1], [2, 3], [3, 4]]


@pytest.mark.parametrize(
    "content",
    [
        "id,v,w\n" + "1,1,\n" * 30_000 + "1,1,2\n",
        'id,v,w\n1,1,"' + "\n" * 100_000 + '2"\n',
        "#\n" + " " * 200_000 + "\nid,a\n1,2\n1,4\n",
        "id," + "1" * 100_000 + "x\n1,2\n",
        ",".join(map(str, range(40_000))) + ",a,b\n",
    ],
    ids=["empty", "newlines", "comment", "digits", "numbers"],
)
def test_texts_are_searched_once_and_not_from_each_place(tmp_path, content):
    (tmp_path / "data.csv").write_text(content)
    start = time.process_time()
    with contextlib.suppress(ValueError):
        read(tmp_path / "data.csv", missing="zero")
    assert time.process_time() - start < 5  # from each place it takes a minute or more


@pytest.mark.parametrize("code", ["007", " 007", "+07", "1E2", " 1E2", "1\n007", "\n \n1E2"])
def test_codes_stay_text_behind_spaces_and_lines(reads, code):
    train = reads(f'id,a,label\n1,1,"{code}"\n1,3,"{code}"\n2,2,5\n2,4,5\n')[0]
    assert train.y.tolist() == [code.strip(), "5"]


def test_names_of_columns_are_short(refused):
    assert refused(f"id,{'a' * 1001},label\n1,1,x\n2,2,y\n") == (
        f"expected names of columns of at most 1000 characters, got '{'a' * 40}'... of 1001"
    )
