"""Times that steps are sorted by."""

import re

import numpy as np
import pytest

from cgru.datasets.time_parsing import Times, are_times, parse_times, rank_times


@pytest.mark.parametrize(
    "times",
    [
        [3, 10, 200],
        [-0.5, 3.25, 10],
        ["9", "10", "200"],
        ["2023-12-31", "2024-01-02", "2024-11-01"],
        ["2024-01-01", "2024-01-01T00:00:01", "2024-01-01 12:00"],
        ["2024-01-01T23:00:00Z", "2024-01-01T23:30:00+00:00", "2024-01-02T02:00:00+02:00"],
        ["31.12.2023", "1.2.2024", "01.11.2024"],
        ["31.12.2023 23:59", "1.2.2024 8:00", "01.02.2024 10:00"],
        ["31/12/2023", "01/02/2024", "02/01/2025"],
        ["12/31/2023", "02/01/2024", "01/02/2025"],
        ["12/31/2023 1:00 AM", "12/31/2023 11:00 AM", "12/31/2023 1:00 PM"],
        ["9:05", "10:30", "23:59"],
        ["9:05:00", "9:05:59", "10:00:00"],
        ["2023/12/31", "2024/1/2"],
        ["31.12.23", "01.02.24"],
        ["10/12/2004 09.30.00", "10/12/2004 18.00.00", "13/01/2005 00.05.00"],
        ["1.2.2004 9.05", "01.02.2004 9.30", "13.01.2005 10.00"],
        ["31.12.04 18.00.59", "01.01.05 00.00.00"],
        ["2024-01-31 9:05", "2024-01-31 10:00", "2024-2-1 0:00"],
        ["2024-01-31 18.05", "2024-01-31 18.30", "2024-02-01 00.00"],
        ["2024-01-31 18.05.30", "2024-01-31 18.30.00", "2024-02-01 00.00.00"],
        ["2024-01-31 18:00:00.5", "2024-01-31 18:00:01"],
        [" 2024-01-01", "2024-01-02 "],
        np.array(["2023-12-31", "2024-01-02"], "datetime64[D]"),
        np.array([1, 5, 7], "timedelta64[s]"),
    ],
    ids=str,
)
def test_they_are_sorted_as_what_they_say(times):
    times = np.array(times, dtype=object) if isinstance(times, list) and isinstance(times[0], str) else np.array(times)
    for order in (np.arange(len(times)), np.arange(len(times))[::-1]):
        assert rank_times(times[order], "t").tolist() == order.tolist()


def test_equal_times_have_one_rank():
    times = np.array(["01.02.2024", "1.2.2024", "03.02.2024"], dtype=object)
    assert rank_times(times, "t").tolist() == [0, 0, 1]
    assert rank_times(np.array(["10", "9", "10"], dtype=object), "t").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (
            ["02/01/2024", "01/02/2024"],
            "when: expected dates with one reading, got '02/01/2024', which may be 2024-01-02 or ",
        ),
        (["monday", "tuesday"], "when: expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30, got 'monday'"),
        (["2024-01-01", "1"], "when: expected numbers or dates"),
        (
            ["2024-01-01T00:00", "2024-01-01T00:00Z"],
            "when: expected a time zone in each row or in none, got '2024-01-01T00:00Z'",
        ),
        (["1_2", "3_4"], "when: expected numbers or dates"),
        (["1", "nan", "2"], "when: expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30, got 'nan'"),
        (["2024-13-01", "2024-01-01"], "when: expected numbers or dates"),
        (["2.1.2024 18.25", "2.1.2024 18.5"], "when: expected numbers or dates"),  # of an hour
        (["2.1.2024 18.25.10", "2.1.2024 18.25.1"], "when: expected numbers or dates"),
        (["18.00.00", "09.30.00"], "when: expected numbers or dates"),  # a date and a time of day may look so, too
        (["12.13.20", "01.02.21"], "when: expected numbers or dates"),
        (["2024-01-31 18.3", "2024-01-31T18.05"], "when: expected numbers or dates"),
    ],
)
def test_refusals(times, why):
    with pytest.raises(ValueError, match="^" + re.escape(why)):
        rank_times(np.array(times, dtype=object), "when")


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        (["2024-01-03", "2024-01-02", "n. a.", "2024-01-01", "x"], 2),
        (["1", "2", "3.5", "later", "4"], 3),
        (["1.2.2024", "31.12.2023 12:00", "2.2.2024"], 1),
        (["2024-01-01", "1.2.2024", "2.2.2024", "3.2.2024", "30.2.2024"], 0),
    ],
)
def test_the_one_that_is_unlike_the_others_is_told(times, wrong):
    due = rf"^t: expected numbers or dates .* 18:30, got '{re.escape(times[wrong])}'"
    like = re.escape(times[1 if wrong == 0 else 0])
    cure = f", unlike '{like}'; any other needs its format: time_format="
    with pytest.raises(ValueError, match=f"{due} in line {wrong + 2}{cure}"):
        rank_times(np.array(times, dtype=object), "t", lambda row: f"line {row + 2}")
    with pytest.raises(ValueError, match=f"{due}{cure}"):
        rank_times(np.array(times, dtype=object), "t")


def test_what_has_no_order_is_refused():
    with pytest.raises(TypeError, match=r"^when: expected values of one kind, got several"):
        rank_times(np.array(["a", 1], dtype=object), "when")


def test_other_objects_that_sort():
    import datetime

    days = np.array([datetime.date(2024, 1, 2), datetime.date(2023, 1, 2)], dtype=object)
    assert rank_times(days, "t").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "are"),
    [
        (["2024-01-02T03:00+00:00", "2024-01-01T03:00+00:00"], True),
        (["31.12.2024 18:30", "1.1.2024 0:00"], True),
        (["08:30", "9:15"], True),
        (["a", "b"], False),
        (["1_2", "3_4"], False),
        ([(1, 2), (3, 4)], False),
        (["2024-01-02", 3], False),
        (np.array(["2024-01-02"], "datetime64[us]"), True),
        (np.array([5], "timedelta64[s]"), True),
    ],
)
def test_what_can_be_sorted_by(values, are):
    if isinstance(values, list):
        kept = np.empty(len(values), object)
        kept[:] = values
        values = kept
    assert are_times(values) is are


def objects(*values):
    return np.array(values, object)


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("%d/%m/%Y", ["03/01/2024", "01/02/2024", "02/03/2024"]),
        ("%m/%d/%Y", ["01/03/2024", "02/01/2024", "03/02/2024"]),
        ("%b-%y", ["Jan-11", "Mar-11", "Jan-12"]),
        ("%d. %B %Y", ["17. Mai 2023", "1. Juni 2023", "2. Dezember 2023"]),
        ("%d/%m", ["28/02", "29/02", "01/03"]),
        ("%H h", ["9 h", "10 h", "23 h"]),
    ],
)
def test_a_format_says_how_times_are_written(form, texts):
    assert rank_times(objects(*texts), "t", form=form).tolist() == [0, 1, 2]
    times = parse_times(texts, "t", form)
    assert (np.diff(times.values) > np.timedelta64(0, "us")).all()
    assert are_times(objects(*texts), form)
    assert not are_times(objects(*texts, "x"), form)


def test_numbers_with_a_format_are_digits():
    for kind in (np.int64, np.float64):
        days = np.array([2024060, 2025001, 2023365], kind)  # a year and the day of it
        assert rank_times(days, "t", form="%Y%j").tolist() == [1, 2, 0]
        due = ["2024-02-29", "2025-01-01", "2023-12-31"]
        assert parse_times(days, "t", "%Y%j").values.astype("datetime64[D]").astype(str).tolist() == due
    assert rank_times(np.array([1.5, 1.25]), "t", form="%H.%M").tolist() == [0, 1]


def test_what_has_not_the_format():
    values = objects("01/02/2024", "2024-01-31", "x")
    with pytest.raises(ValueError, match=r"^t: expected times of the form %d/%m/%Y, got '2024-01-31' in line 3$"):
        rank_times(values, "t", lambda row: f"line {row + 2}", "%d/%m/%Y")
    with pytest.raises(TypeError, match=r"^time_format: expected a format of strptime, such as .* got 5"):
        rank_times(values, "t", form=5)


def test_dates_and_other_kinds_need_no_format():
    days = np.array(["2024-01-02", "2023-01-02"], "datetime64[D]")
    assert rank_times(days, "t", form="%d").tolist() == [1, 0]
    assert parse_times(days, "t", "%d").form == "day"


def test_the_first_that_is_no_time_is_named_in_the_order_of_the_file():
    rows = [f"2024-01-{day:02}" for day in range(31, 0, -1)]
    rows[7], rows[20] = "soon", "later"
    with pytest.raises(ValueError, match=r"got 'soon' in line 9, unlike '2024-01-31'; .*time_format="):
        rank_times(objects(*rows), "t", lambda row: f"line {row + 2}")
    with pytest.raises(ValueError, match=r"got 'soon' in row 7, unlike '2024-01-31'"):
        parse_times(rows, "t")


@pytest.mark.parametrize("reads", [rank_times, parse_times])
def test_what_may_be_read_in_two_ways_is_refused_with_the_cure(reads):
    cure = 'time_format="%d/%m/%Y" or time_format="%m/%d/%Y" says which'
    why = (
        f"t: expected dates with one reading, got '02/01/2024' in line 3, which may be 2024-01-02 or 2024-02-01; {cure}"
    )
    values = objects("01/01/2024", "02/01/2024", "01/03/2024")
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        reads(values, "t", locate=lambda row: f"line {row + 2}")
    assert reads(objects(*values, "31/01/2024"), "t") is not None


def test_a_year_of_two_digits_that_may_be_a_day_needs_a_format():
    with pytest.raises(ValueError, match=r"got 'Jan-11' in row 0; any other needs its format: time_format=\"%b-%y\"$"):
        parse_times(["Jan-11", "Feb-11"], "t")
    assert parse_times(["Jan-99", "Feb-99"], "t").written(np.array(["2011-03"], "datetime64[us]")) == ["Mar-11"]


def test_a_month_that_may_be_a_quarter_needs_a_format():
    with pytest.raises(ValueError, match=r"got '1/2024' in row 0; any other needs its format: time_format=\"%m/%Y\"$"):
        parse_times(["1/2024", "2/2024"], "t")
    with pytest.raises(ValueError, match=r"got '13/2024' in row 1, which no calendar or clock has"):
        parse_times(["12/2024", "13/2024"], "t")
    assert parse_times(["1/2024", "2/2024"], "t", "%m/%Y").values[1].item().month == 2


def test_zones():
    local = ["2024-03-31 01:00 CET", "2024-03-31 03:00 CEST"]
    assert parse_times(local, "t").written(parse_times(local, "t").values) == ["2024-03-31 00:00Z", "2024-03-31 01:00Z"]
    assert rank_times(objects("2024-01-01 10:00+0300", "2024-01-01 09:00+01"), "t").tolist() == [0, 1]
    for text in ("01.02.2024 10:00+01:00", "2024-02-01 10:00 UTC", "1 Feb 2024 9:05 PM UTC"):
        times = parse_times([text, text], "t")
        (back,) = set(times.written(times.values))
        assert (parse_times([back], "t").values[0], times.zone) == (times.values[0], times.zone)
    days = parse_times(["01.02.2024Z", "01.02.2024+01:00"], "t")
    assert days.written(days.values) == ["2024-02-01 00:00Z", "2024-01-31 23:00Z"]


def test_nanoseconds_sort_and_are_no_step_of_a_calendar():
    fine = ["2024-01-01 00:00:00.000000002", "2024-01-01 00:00:00.000000001", "2024-01-01 00:00:00.000000002"]
    assert rank_times(objects(*fine), "t").tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"expected times of whole microseconds, got '.*2' in row 0"):
        parse_times(fine, "t")
    with pytest.raises(ValueError, match=r"expected times of whole microseconds, got 2024-.*1 in row 1"):
        parse_times(np.array(["2024-01-01", "2024-01-01T00:00:00.000000001"], "datetime64[ns]"), "t")
    assert parse_times(["2024-01-01T00:00:00.1230000"], "t").form == "microsecond"
    assert parse_times(["2024-01-01 00:00:00", "2024-01-01 00:00:00.5"], "t").form == "microsecond"
    assert parse_times(["01.02.2024 00:00:00", "01.02.2024 00:00:00.5"], "t").form == "%d.%m.%Y %H:%M:%S.%f"


def test_texts_of_digits():
    assert parse_times(["1959", "1960"], "t")[1:3] == ("number", "")
    assert parse_times(["20240131", "20240201"], "t").written(np.array(["2024-02-02"], "datetime64[us]")) == [
        "20240202"
    ]
    assert parse_times(["99990101", "99990102"], "t").form == "number"
    for texts, form in ((["202401", "202402"], "%Y%m"), (["2024013118", "2024013119"], "%Y%m%d%H")):
        with pytest.raises(ValueError, match=f'needs its format: time_format="{form}"'):
            parse_times(texts, "t")
    for number, form in ((202401311830, "%Y%m%d%H%M"), (20240131183000, "%Y%m%d%H%M%S")):
        with pytest.raises(ValueError, match=f'needs its format: time_format="{form}"'):
            parse_times([number], "t")
    assert rank_times(objects("1.5", "1.25"), "t").tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"expected times like 1959-01, .* got '9:05' in row 0"):
        parse_times(["9:05", "9:10"], "t")


@pytest.mark.parametrize("form", ["month", "quarter", "day", "minute", "second", "microsecond", "%d.%m.%Y", "%G-W%V"])
def test_times_that_could_not_be_read_again_are_not_written(form):
    far = np.array(["9999-12-31", "10000-01-01"], "datetime64[us]")
    with pytest.raises(ValueError, match=r"expected times from 1 to 9999, which can be written, got the year 10000"):
        Times(far, form).written(far)
    assert len(Times(far, form).written(far[:1])) == 1
    early = np.array(["0987-05-06"], "datetime64[us]")
    assert Times(early, "%d.%m.%Y").written(early) == ["06.05.0987"]


def test_two_digits_of_a_year_are_written_only_where_they_are_read_so():
    ends = np.array(["1969-01-01", "2068-12-31"], "datetime64[us]")
    assert Times(ends, "%d.%m.%y").written(ends) == ["01.01.69", "31.12.68"]
    for year in ("1968-12-31", "2069-01-01"):
        with pytest.raises(ValueError, match="expected times from 1969 to 2068"):
            Times(ends, "%d.%m.%y").written(np.array([year], "datetime64[us]"))


def test_integers_are_exact_and_large_reals_are_refused():
    times = np.array([2**53 + 1, 2**53 + 3])
    assert parse_times(times, "t").values.tolist() == times.tolist()
    with pytest.raises(ValueError, match=r"^t: expected times, such as 1959-01, or whole numbers, got others$"):
        parse_times([2.0**53], "t")
