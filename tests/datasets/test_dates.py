"""Dates as text: the forms that are read, told apart by all texts of a column or refused."""

import datetime
import random

import numpy as np
import pytest

from cgru.datasets.dates import dates_in, forms_of
from cgru.datasets.time_parsing import parse_times


def read(*texts):
    """The one moment in UTC of each text, as ISO writes it to the second."""
    values = [dates.utc for dates in dates_in(texts)]
    assert values, texts
    assert all((each == values[0]).all() for each in values), texts
    return [str(value) for value in values[0].astype("datetime64[us]").astype("datetime64[s]")]


FORMS = """
%Y-%m-%d|%Y-%m-%d %H:%M|%Y-%m-%dT%H:%M:%S|%Y-%m-%d %H:%M:%S.%f|%Y%m%dT%H%M%S|%d.%m.%Y|%d.%m.%Y %H:%M|%m/%d/%Y|%d/%m/%Y
%m/%d/%Y %I:%M %p|%m/%d/%Y %I:%M:%S %p|%d-%b-%Y|%d %B %Y|%B %d, %Y|%b %d %Y|%a, %d %b %Y %H:%M:%S|%a %b %d %H:%M:%S %Y
%A, %B %d, %Y|%Y/%m/%d|%Y %b %d|%d%b%Y:%H:%M:%S|%d/%b/%Y:%H:%M:%S|%Y-%j|%G-W%V-%u|%d-%m-%Y|%m-%d-%Y|%d-%b-%y|%d/%m/%y
%m/%d/%y|%d.%m.%y|%H:%M %d.%m.%Y|%Y.%m.%d|%d. %m. %Y|%d.%m.%Y %H.%M|%Y-%m-%d_%H:%M|%d %B %Y at %I %p|%Hh%M, %d/%m/%Y
"""


@pytest.mark.parametrize("form", [form for form in FORMS.replace("\n", "|").strip("|").split("|") if "h" not in form])
def test_what_strftime_writes_is_read_and_written_so_that_it_can_be_read_again(form):
    rng = random.Random(form)
    start = datetime.datetime(1975, 1, 1)
    texts = [(start + datetime.timedelta(seconds=rng.randrange(40 * 365 * 86400))).strftime(form) for _ in range(60)]
    due = np.array([datetime.datetime.strptime(text, form) for text in texts], "datetime64[us]")
    times = parse_times(texts, "t")
    np.testing.assert_array_equal(times.values, due)
    written = times.written(times.values)
    np.testing.assert_array_equal(parse_times(written, "t").values, due)
    if not any(part in form for part in ("%a", "%A", "T%H:", "_", " at ", "%H:%M %d")):
        assert written == texts


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2024-01-31T18:30:00.123456789+02", "2024-01-31T16:30:00"),
        ("2024-01-31 18:00:00.5", "2024-01-31T18:00:00"),
        ("2024-01-31 18:00:00,25-0330", "2024-01-31T21:30:00"),
        ("2024-01-31T18:30Z", "2024-01-31T18:30:00"),
        ("2024-01-31 18:30 UTC", "2024-01-31T18:30:00"),
        ("2024-01-31 18:30 GMT+1", "2024-01-31T17:30:00"),
        ("2024-01-31 18:30 CEST", "2024-01-31T16:30:00"),
        ("2024-01-31T18:00+01:00[Europe/Berlin]", "2024-01-31T17:00:00"),
        ("Wed Jan 31 2024 18:00:00 GMT+0100 (Central European Standard Time)", "2024-01-31T17:00:00"),
        ("Wed Jan 31 18:00:00 UTC 2024", "2024-01-31T18:00:00"),
        ("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36"),
        ("2024-01-31T18", "2024-01-31T18:00:00"),
        ("2024-12-31 24:00", "2025-01-01T00:00:00"),
        ("20240131", "2024-01-31T00:00:00"),
        ("20240131 1830", "2024-01-31T18:30:00"),
        ("1959Q1", "1959-01-01T00:00:00"),
        ("1959-Q2", "1959-04-01T00:00:00"),
        ("Q3 1959", "1959-07-01T00:00:00"),
        ("4. Quartal 1959", "1959-10-01T00:00:00"),
        ("T2 2024", "2024-04-01T00:00:00"),
        ("3Q24", "2024-07-01T00:00:00"),
        ("2024-W05", "2024-01-29T00:00:00"),
        ("2020-W53-7", "2021-01-03T00:00:00"),
        ("2024M01", "2024-01-01T00:00:00"),
        ("2012/01", "2012-01-01T00:00:00"),
        ("11/2012", "2012-11-01T00:00:00"),
        ("Jan-2000", "2000-01-01T00:00:00"),
        ("2000 Jan", "2000-01-01T00:00:00"),
        ("April 2001", "2001-04-01T00:00:00"),
        ("Jan '12", "2012-01-01T00:00:00"),
        ("Jan-99", "1999-01-01T00:00:00"),
        ("March 3rd, 2021 at 5:30 p.m.", "2021-03-03T17:30:00"),
        ("12/31/2024 12:05 AM", "2024-12-31T00:05:00"),
        ("2024\u00a001\u202f31", "2024-01-31T00:00:00"),
        ("31. 12. 2024.", "2024-12-31T00:00:00"),
        ("31/12/2024 18h30", "2024-12-31T18:30:00"),
        ("31.12.2024 um 18:30 Uhr", "2024-12-31T18:30:00"),
        ("2024年1月31日 18時30分", "2024-01-31T18:30:00"),
        ("2024년 1월 31일", "2024-01-31T00:00:00"),
    ],
)
def test_forms_that_strftime_does_not_write(text, due):
    assert read(text) == [due]


def test_fractions_of_one_to_nine_digits():
    for digits in range(1, 10):
        (dates,) = dates_in([f"2024-01-31 18:00:00.{'123456789'[:digits]}"])
        nanoseconds = int("123456789"[:digits].ljust(9, "0"))
        assert (dates.utc[0] % 1_000_000, dates.nanoseconds[0]) == divmod(nanoseconds, 1000)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "0000-01-01", "2024-W54", "2023-W53", "2024-W05-8"),
        *("2023-366", "2024-000", "1959Q5", "1959Q0", "2024-01-31 24:01", "2024-01-31 18:60", "2024-01-31 18:00:60"),
        *("2024-01-31 13:00 PM", "2024-01-31 0:30 AM", "2024-01-31 18:00+15:00", "2024-01-31 18:00+01:60"),
        *(
            "2024-01-31 18.5",
            "18.00.00",
            "12.13.20",
            "1_2",
            "2024-1-",
            "2024-01-31 5",
            "2024-01-31 a",
            "31.12.",
            "Monday",
        ),
        *(
            "January",
            "5 January",
            "Sun, 3 Jan 2000",
            "Foo 3 2000",
            "12 Foo 2000",
            "n. a.",
            "",
            "1.5",
            "1,5",
            "1959",
            "24:01",
        ),
        *(
            "2024-01-31 18:00 EST",
            "2024-01-31 18:00 Berlin",
            "2024-01-31 18:00 to 19:00",
            "09:00-10:00",
            "2020 1",
            "2020-1",
        ),
        *("Jan-12", "12-Jan", "20240230", "19599", "2024-01-31 25:00", "1" * 100, "3 4 5 6", "5 Jan Feb 2020"),
    ],
)
def test_what_is_no_date(text):
    assert dates_in([text]) == []


def test_a_column_says_what_a_text_does_not():
    assert read("01/02/2024", "13/02/2024") == ["2024-02-01T00:00:00", "2024-02-13T00:00:00"]
    assert read("01/02/2024", "02/13/2024") == ["2024-01-02T00:00:00", "2024-02-13T00:00:00"]
    assert read("Thu 01/02/2024") == ["2024-02-01T00:00:00"]
    assert read("2024-9", "2024-10") == ["2024-09-01T00:00:00", "2024-10-01T00:00:00"]
    assert read("Jan-31", "Jan-32") == ["2031-01-01T00:00:00", "2032-01-01T00:00:00"]
    assert dates_in(["Jan-30", "Jan-31"]) == []
    both = [dates.utc.tolist() for dates in dates_in(["01/02/2024", "02/01/2024"])]
    assert len(both) == 2
    assert both[0] == both[1][::-1]


def test_texts_of_several_forms_are_no_column():
    for texts in (
        ("2024-01-31", "31.01.2024"),
        ("31.01.2024", "31/01/2024"),
        ("31.01.2024", "31.01.2024 18:00"),
        ("1959Q1", "1959-02"),
        ("9:05", "9:05:10"),
        ("2024-01-31", "2024-01"),
        ("2024-01-31"),
        *("x"),
    ):  # fmt: skip,
        assert dates_in(texts) == []
    assert dates_in(["2024-01-31", "2024-01-31 12:00"]) == []
    assert len(dates_in(["2024-01-31", "2024-01-31 12:00"], mixed=True)) == 1
    assert len(dates_in(["2024-01-31 12:00:00", "2024-01-31 12:00:00.5"])) == 1


def test_which_texts_are_of_a_form():
    (form,) = forms_of("31.01.2024")
    assert forms_of("31.01.2024")[form] == "%d.%m.%Y"
    (dates,) = dates_in(["31.01.2024", "x", "32.01.2024", "01.02.2024"], form=form)
    assert dates.valid.tolist() == [True, False, False, True]
    assert forms_of("n. a.") == {}


def test_two_digits_of_a_year_are_those_of_strptime():
    for year in ("68", "69", "99", "00"):
        due = datetime.datetime.strptime(f"01.12.{year}", "%d.%m.%y")
        assert read(f"01.12.{year}") == [due.isoformat()]


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("UT", 0), ("utc", 0), ("GMT", 0), ("Z", 0), ("WET", 0), ("WEST", 60), ("CET", 60), ("MEZ", 60), ("CEST", 120),
     ("MESZ", 120), ("EET", 120), ("EEST", 180), ("+14:00", 840), ("-12:00", -720), ("+0545", 345), ("UTC-3", -180)],
)  # fmt: skip
def test_offsets_of_zones(zone, minutes):
    (dates,) = dates_in([f"2024-01-31 18:00 {zone}"])
    assert (dates.offsets[0], dates.zone, dates.zoned[0]) == (minutes, f" {zone}", True)
    assert dates.utc[0] == dates.microseconds[0] - minutes * 60_000_000


@pytest.mark.parametrize("zone", ["+14:01", "-12:01", "+25:00", "+01:60"])
def test_offsets_that_no_zone_has(zone):
    assert dates_in([f"2024-01-31 18:00{zone}"]) == []


def test_what_is_of_one_form_but_for_a_part():
    assert dates_in(["1/30/2024 6:30", "1/30/2024 6:30 PM"]) == []
    assert dates_in(["30.1.2024 6:30", "30.1.2024 6.30"]) == []
    assert dates_in(["30.1.2024 6:30", "6:30 30.1.2024"]) == []
    assert dates_in([".2024-01-31"]) == []
    assert dates_in(["3/4/2024 13:30 PM", "3/4/2024 1:30 PM"]) == []
    assert read("12:00 AM 3/14/2024", "12:59 PM 3/14/2024") == ["2024-03-14T00:00:00", "2024-03-14T12:59:00"]


@pytest.mark.parametrize(
    "form", ["KW {}/2022", "KW{:02} 2022", "{}. KW 2022", "Woche {} 2022", "2022 KW {}", "W{}-2022"]
)
def test_weeks_in_words(form):
    weeks = read(*(form.format(week) for week in range(1, 53)))
    assert (weeks[0], weeks[51]) == ("2022-01-03T00:00:00", "2022-12-26T00:00:00")


def test_the_first_weeks_of_a_year_may_be_quarters():
    """KW is a week in German, and a quarter in Polish."""
    assert {dates.written for dates in dates_in(["KW 1/2022", "KW 2/2022"])} == {"quarter", "%G-W%V"}
