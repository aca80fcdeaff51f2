"""Times that steps are sorted by."""

import re

import numpy as np
import pytest

from cgru.datasets.times import are_times, ranks


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
        assert ranks(times[order], "t").tolist() == order.tolist()


def test_equal_times_have_one_rank():
    times = np.array(["01.02.2024", "1.2.2024", "03.02.2024"], dtype=object)
    assert ranks(times, "t").tolist() == [0, 0, 1]
    assert ranks(np.array(["10", "9", "10"], dtype=object), "t").tolist() == [1, 0, 1]


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
        ranks(np.array(times, dtype=object), "when")


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
        ranks(np.array(times, dtype=object), "t", lambda row: f"line {row + 2}")
    with pytest.raises(ValueError, match=f"{due}{cure}"):
        ranks(np.array(times, dtype=object), "t")


def test_what_has_no_order_is_refused():
    with pytest.raises(TypeError, match=r"^when: expected values of one kind, got several"):
        ranks(np.array(["a", 1], dtype=object), "when")


def test_other_objects_that_sort():
    import datetime

    days = np.array([datetime.date(2024, 1, 2), datetime.date(2023, 1, 2)], dtype=object)
    assert ranks(days, "t").tolist() == [1, 0]


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
