"""Series in tables of years by months, and with parts of dates in several columns."""

import re

import numpy as np
import pytest

from cgru.datasets.series import read_series, series_from_frame

ENGLISH = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
GERMAN = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]
FRENCH = ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."]
POLISH = ["sty", "lut", "mar", "kwi", "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru"]
NUMBERS = [str(i) for i in range(1, 13)]


def by_years(names=ENGLISH, years=range(1949, 1954), year="Year", extra=(), sep=",", cells=None):
    """A table whose cells count the months."""
    cells = cells or {}
    lines = [sep.join([year, *names, *extra])]
    for i, each in enumerate(years):
        values = [str(cells.get(12 * i + k, 12 * i + k)) for k in range(12)]
        lines.append(sep.join([str(each), *values, *(str(9.5 + i) for _ in extra)]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        (tmp_path / "s.csv").write_text(text, encoding="utf-8")
        return read_series(tmp_path / "s.csv", **options)

    return read


def refused(read, text, **options):
    with pytest.raises(ValueError, match=r"s.csv: ") as caught:
        read(text, **options)
    return str(caught.value).split("s.csv: ", 1)[1]


NOTE = "rows are years and columns are months: read as one series"


@pytest.mark.parametrize("names", [ENGLISH, GERMAN, FRENCH, POLISH, NUMBERS, [f"M{i:02}" for i in range(1, 13)]])
@pytest.mark.parametrize("year", ["Year", "Jahr", "", "anno"])
def test_years_by_months_are_one_series(read, names, year):
    (one,) = read(by_years(names, year=year, sep=";"))
    assert (one.name, one.time, str(one.calendar), one.notes[-1]) == ("value", "month", "monthly", NOTE)
    assert one.y.tolist() == list(range(60))
    assert one.written([0, 59, 60]) == ["1949-01", "1953-12", "1954-01"]


def test_months_in_another_order_and_years_that_fall(read):
    text = by_years(ENGLISH, range(1953, 1948, -1))
    header, *rows = text.splitlines()
    turned = [",".join([row.split(",")[0], *row.split(",")[:0:-1]]) for row in [header, *rows]]
    (one,) = read("\n".join(turned) + "\n")
    assert one.written([0, 60]) == ["1949-01", "1954-01"]
    assert one.y[:13].tolist() == [*range(48, 60), 36]


def test_columns_that_are_no_months_are_left_out(read):
    (one,) = read(by_years(extra=["Annual", "J-D"]))
    assert one.notes == (NOTE, "left out, as no month is called so: Annual, J-D")
    assert len(one.y) == 60


def test_months_that_have_not_come_yet(read):
    cells = dict.fromkeys((0, 1, 57, 58, 59), "")
    (one,) = read(by_years(cells=cells))
    assert (one.written([0, len(one.y)]), one.y.tolist()) == (["1949-03", "1953-10"], list(range(2, 57)))
    (one,) = read(by_years(cells={20: "***"}), na="***")
    assert np.flatnonzero(np.isnan(one.y)).tolist() == [20]
    assert "Sep: expected numbers, got 'x' in line 3" in refused(read, by_years(cells={20: "x"}))


def test_a_year_that_is_not_there(read):
    text = "\n".join(by_years().splitlines()[:2] + by_years().splitlines()[3:])
    assert "month: expected regular times, monthly, got a gap from 1949-12 to 1951-01" in refused(read, text)
    (one,) = read(text, gaps=True)
    assert int(np.isnan(one.y).sum()) == 12
    text = by_years(years=[1949, 1950, 1950])
    assert "month: expected each time once, got 1950-01 twice" in refused(read, text)


def test_a_column_that_is_named_is_a_series_of_its_own(read):
    (one,) = read(by_years(), target="Mar")
    assert (one.name, one.time, one.y.tolist()) == ("Mar", "Year", [2, 14, 26, 38, 50])
    (one,) = read(by_years(year="reading"), time="reading")
    assert one.written([60]) == ["1954-01"]
    assert "target: expected the column to forecast, one of" in refused(read, by_years([*ENGLISH[:11], "Sum"]))


def test_several_places_one_below_the_other(read):
    first, second = by_years().splitlines(), by_years().splitlines()
    lines = [f"place,{first[0]}", *(f"north,{row}" for row in first[1:]), *(f"south,{row}" for row in second[2:])]
    one, other = read("\n".join(lines) + "\n", id="place")
    assert (one.name, len(one.y), other.name, other.written([0])) == ("north", 60, "south", ["1950-01"])


def test_quarters_by_year(read):
    for names in (["Q1", "Q2", "Q3", "Q4"], ["Qtr1", "Qtr2", "Qtr3", "Qtr4"]):
        rows = [f"{1990 + i},{4 * i},{4 * i + 1},{4 * i + 2},{4 * i + 3}\n" for i in range(3)]
        (one,) = read("".join([",".join(["year", *names]) + "\n", *rows]))
        assert (one.time, one.written([0, 12]), one.y.tolist()) == ("quarter", ["1990Q1", "1993Q1"], list(range(12)))


@pytest.mark.parametrize("names", [ENGLISH, NUMBERS])
def test_a_column_for_each_year(read, names):
    rows = [f"{name},{k},{12 + k},{24 + k}\n" for k, name in enumerate(names)]
    (one,) = read("".join(["month,2001,2002,2003\n", *rows]))
    assert (one.y.tolist(), one.written([0, 36])) == (list(range(36)), ["2001-01", "2004-01"])
    assert one.notes[-1] == "columns are years and rows are months: read as one series"


def test_tables_that_are_no_such(read):
    (one,) = read("step,1,2,3\n1,5,6,7\n2,5,6,7\n", target="3", time="")
    assert len(one.y) == 2
    (one,) = read("year,sales\n2001,5\n2002,6\n2003,7\n")
    assert (one.name, one.time, one.written([3])) == ("sales", "year", ["2004"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_of_years_by_months(library):
    pytest.importorskip("narwhals")
    frame = pytest.importorskip(library).DataFrame
    columns = {name: [float(12 * i + k) for i in range(5)] for k, name in enumerate(ENGLISH)}
    (one,) = series_from_frame(frame({"Year": range(1949, 1954), **columns}))
    assert (one.y.tolist(), one.written([60])) == (list(range(60)), ["1954-01"])


# --- parts of a date in several columns ---


def parted(header, rows):
    return "".join([header + "\n", *(f"{row},{i % 5}\n" for i, row in enumerate(rows))])


@pytest.mark.parametrize(
    ("header", "rows", "step", "due"),
    [
        ("year,month,y", [f"{1999 + i // 12},{i % 12 + 1}" for i in range(20)], "monthly", "2000-09"),
        ("Jahr,Monat,y", [f"{1999 + i // 12},{GERMAN[i % 12]}" for i in range(20)], "monthly", "2000-09"),
        ("month,year,y", [f"{ENGLISH[i % 12]},{1999 + i // 12}" for i in range(20)], "monthly", "2000-09"),
        ("yr,qtr,y", [f"{1999 + i // 4},{i % 4 + 1}" for i in range(9)], "quarterly", "2001Q2"),
        ("year,month,day,y", [f"2024,{1 + i // 31},{i % 31 + 1}" for i in range(60)], "daily", "2024-03-01"),
        ("year,doy,y", [f"{2023 + i // 365},{i % 365 + 1}" for i in range(400)], "daily", "2024-02-05"),
        ("year,week,y", [f"2024,{i + 1}" for i in range(10)], "weekly", "2024-03-11"),
        (
            "YY,MM,DD,hh,mm,y",
            [f"2024,02,28,{i // 60},{i % 60}" for i in range(130)],
            "every minute",
            "2024-02-28 02:10",
        ),
        ("year,month,day,hour,y", [f"2024,2,{28 + i // 24},{i % 24}" for i in range(30)], "hourly", "2024-02-29 06:00"),
    ],
)
def test_parts_of_a_date_are_its_time(read, header, rows, step, due):
    text = parted(header, rows)
    (one,) = read(text)
    names = header.split(",")[:-1]
    assert (one.name, one.time, str(one.calendar)) == (
        "y",
        " ".join(names) if names[0] != "month" else "year month",
        step,
    )
    assert one.written([len(rows)]) == [due]
    (note,) = one.notes
    assert re.fullmatch(r".* with .* is what steps are sorted by \(time=\[.*\]\)", note)
    (same,) = read(text, time=names)
    assert (same.written([0, 1]), same.notes) == (one.written([0, 1]), ())


def test_a_whole_date_beside_parts_that_repeat(read):
    rows = [f"2024,1,2024-01-{day:02}" for day in range(1, 20)]
    (one,) = read(parted("year,month,date,y", rows), target="y")
    assert (one.time, str(one.calendar)) == ("date", "daily")


def test_parts_that_are_none_are_told_by_their_lines(read):
    rows = [f"{1999 + i // 12},{i % 12 + 1}" for i in range(20)]
    rows[7] = "1999,13"
    assert "month: expected a month" in refused(read, parted("year,month,y", rows))
    assert "line 9" in refused(read, parted("year,month,y", rows))
    rows[7] = "1999,7"
    assert "year month: expected each time once, got 1999 7 twice" in refused(read, parted("year,month,y", rows))
    rows[7] = "2019,8"
    assert "year month: expected regular times, monthly, got a gap from 1999 7 to 1999 9" in refused(
        read, parted("year,month,y", rows)
    )
    why = refused(read, parted("month,day,y", [f"1,{i + 1}" for i in range(9)]), time=["month", "day"])
    assert "month day: expected a year among the parts of a date, got none" in why


def test_the_index_that_r_writes_is_not_to_be_forecast(read):
    rows = [f"{i + 1},{1949 + i / 12:.12g},{100 + i % 7}\n" for i in range(30)]
    (one,) = read("".join(["rownames,time,value\n", *rows]))
    assert (one.name, one.time, str(one.calendar)) == ("value", "time", "monthly")
    assert "one of rownames, value" in refused(
        read, "".join(["rownames,time,value\n", *rows[:5], *rows[6:]]), gaps=True
    )


@pytest.mark.parametrize("word", ["Mean", "Total", "Média", "Summe"])
def test_rows_of_means_are_left_out_and_said(read, word):
    below = by_years() + f"{word},{','.join(['7'] * 12)}\n"
    (one,) = read(below)
    assert one.y.tolist() == list(range(60))
    assert one.notes == (NOTE, f"left out, as no Year is called so: {word} in line 7")
    across = "Month,1990,1991,1992\n" + "".join(f"{name},{i},{12 + i},{24 + i}\n" for i, name in enumerate(ENGLISH))
    (one,) = read(across + f"{word},66,210,9\n")
    assert one.y.tolist() == list(range(36))
    assert one.notes[-1] == f"left out, as no Month is called so: {word} in line 14"


def test_other_rows_without_a_year_make_another_table(read):
    for row in ("195x", "", "1954a", "1954.5"):
        with pytest.raises(ValueError, match=r"s.csv: "):
            read(by_years() + f"{row},{','.join(['7'] * 12)}\n")
    words = "".join(f"{word},{','.join(['7'] * 12)}\n" for word in ("Mean", "Median", "Total"))
    with pytest.raises(ValueError, match=r"s.csv: "):
        read(by_years() + words)
    across = "Month,1990,1991,1992\n" + "".join(f"{name},{i},{12 + i},{24 + i}\n" for i, name in enumerate(ENGLISH))
    for row in ("Jan,1,2,3\n", "13,1,2,3\n"):
        with pytest.raises(ValueError, match=r"s.csv: "):
            read(across + row)


@pytest.mark.parametrize(("year", "first"), [("Year", 3), ("WY", 9), ("Jahr", 6)])
def test_years_that_begin_with_another_month_are_asked_about(read, year, first):
    names = ENGLISH[first:] + ENGLISH[:first]
    why = f"expected steps from Jan to Dec, got {names[0]} to {names[-1]}, of which some may be of another year"
    table = by_years(names, year=year)
    assert refused(read, table) == f'{year}: {why}; time="" takes cells as steps'
    (one,) = read(table, time="")
    assert (one.y.tolist(), one.time) == (list(range(60)), "step")
    across = "Month,1990,1991,1992\n" + "".join(f"{name},{i},{12 + i},{24 + i}\n" for i, name in enumerate(names))
    assert refused(read, across).startswith("Month: expected steps from Jan to Dec")
    assert read(across, time="")[0].y.tolist() == list(range(36))
    assert read(by_years(ENGLISH[::-1]))[0].y[:2].tolist() == [11, 10]  # no year begins in December and ends in January


@pytest.mark.parametrize("form", ["{}-{:02}", "{}/{}", "{}\u2013{:02}"])
def test_years_that_are_two_are_asked_about(read, form):
    years = [form.format(1949 + i, 50 + i) for i in range(5)]
    why = f'FY: expected a year in each row, got {years[0]}, of which months may be of either; time="" takes cells'
    assert refused(read, by_years(years=years, year="FY")).startswith(why)
    assert read(by_years(years=years, year="FY"), time="")[0].y.tolist() == list(range(60))


def test_a_gap_between_years_as_steps(read):
    table = by_years(years=[1949, 1950, 1953])
    assert refused(read, table).endswith('gaps=True fills it, time="" takes rows as steps')
    assert read(table, time="")[0].y.tolist() == list(range(36))


def test_months_in_roman_numbers(read):
    roman = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
    assert read(by_years(roman, year="Rok"))[0].notes == (NOTE,)
    (one,) = read("rok,miesiąc,y\n" + "".join(f"{2000 + i // 12},{roman[i % 12]},{i}\n" for i in range(24)))
    assert str(one.calendar) == "monthly"


def test_columns_that_tell_years_of_several_series_apart_are_named(read):
    rows = [f"{name},{row}\n" for name in ("A", "B") for row in by_years().splitlines()[1:]]
    table = "Station," + by_years().splitlines()[0] + "\n" + "".join(rows)
    assert refused(read, table).endswith('id="Station" tells several series apart')
    assert [each.name for each in read(table, id="Station")] == ["A", "B"]


def test_quarters_are_all_four_and_may_begin_with_their_number(read):
    table = "Jahr,{}\n" + "".join(f"{2000 + i},{4 * i},{4 * i + 1},{4 * i + 2},{4 * i + 3}\n" for i in range(3))
    for names in ("1Q,2Q,3Q,4Q", "1. Quartal,2. Quartal,3. Quartal,4. Quartal"):
        assert read(table.format(names))[0].y.tolist() == list(range(12))
    assert refused(read, table.format("Q1,Q2,Q3,Sum")).startswith("target: expected the column to forecast")


def test_one_row_of_means_below_three_years(read):
    below = by_years(years=range(1949, 1952)) + f"Mean,{','.join(['7'] * 12)}\n"
    assert read(below)[0].y.tolist() == list(range(36))


def test_years_are_in_the_first_column_or_called_so(read):
    rows = [f"{i},{row}\n" for i, row in enumerate(by_years().splitlines()[1:])]
    table = ",".join(["n", "{}", *ENGLISH]) + "\n" + "".join(rows)
    assert read(table.format("Jahr"))[0].notes[0] == NOTE
    assert refused(read, table.format("m")).startswith("target: expected the column to forecast")


def test_a_column_of_months_is_chosen_among_two(read):
    rows = "".join(f"{i + 1},{ENGLISH[::-1][i]},{i},{12 + i},{24 + i}\n" for i in range(12))
    table = "k,n,1990,1991,1992\n" + rows
    assert read(table, time="k")[0].y.tolist() == list(range(36))
    assert read(table, time="n")[0].y[:12].tolist() == list(range(11, -1, -1))


def test_years_without_a_name_are_the_first_column(read):
    header, *rows = by_years(year="zz").splitlines()
    assert read("\n".join([header, *rows]))[0].y[:2].tolist() == [0, 1]
    swapped = ["{1},{0},{2}".format(*row.split(",", 2)) for row in (header, *rows)]
    assert refused(read, "\n".join(swapped)).startswith("target: expected the column to forecast")
