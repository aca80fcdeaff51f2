"""Regular times of places whose clocks are put forward and back."""

import datetime
import time
import zoneinfo

import numpy as np
import pytest

from cgru.datasets.series import read_series, series_from_frame
from cgru.datasets.time_zones import Clock, clock_of_zone

# A zone, the day of a change there, by how much, and a day after which none comes for a while.
CHANGES = [
    ("Europe/Berlin", "2024-03-31"),
    ("Europe/Berlin", "2023-10-29"),
    ("America/New_York", "2024-11-03"),
    ("Australia/Lord_Howe", "2024-10-06"),
    ("America/Sao_Paulo", "2017-10-15"),
]


def midnights(zone, around, before=12, after=8, **step):
    """Local midnights around a day, as that zone has them, and the next two."""
    zone = zoneinfo.ZoneInfo(zone)
    day = datetime.date.fromisoformat(around)
    days = [day + datetime.timedelta(**(step or {"days": 1})) * i for i in range(-before, after + 2)]
    times = [datetime.datetime(each.year, each.month, each.day, tzinfo=zone) for each in days]
    return [time.astimezone(datetime.timezone.utc).astimezone(zone) for time in times]  # a midnight that is not there


def frame_of(library, times, zone):
    pytest.importorskip("narwhals")
    if library == "polars":
        polars = pytest.importorskip("polars")
        utc = [time.astimezone(datetime.timezone.utc).replace(tzinfo=None) for time in times]
        moments = polars.Series(utc).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return polars.DataFrame({"t": moments, "y": range(len(times))})
    pandas = pytest.importorskip("pandas")
    utc = pandas.to_datetime([time.astimezone(datetime.timezone.utc) for time in times], utc=True)
    return pandas.DataFrame({"t": utc.tz_convert(zone), "y": range(len(times))})


@pytest.mark.parametrize(("zone", "around"), CHANGES)
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("before", [1, 12])
def test_local_midnights_over_a_change_are_daily(library, zone, around, before):
    times = midnights(zone, around, before)
    (one,) = series_from_frame(frame_of(library, times[:-2], zone))
    assert (str(one.calendar), one.notes) == ("daily", ())
    assert one.written(np.arange(len(times))) == [str(time) for time in times]


@pytest.mark.parametrize(("zone", "around"), CHANGES)
@pytest.mark.parametrize("known", [4, 12, 13])
def test_the_change_may_be_among_the_times_to_come(zone, around, known):
    times = midnights(zone, around)
    (one,) = series_from_frame(frame_of("polars", times[:known], zone))
    assert one.written(np.arange(len(times))) == [str(time) for time in times]


@pytest.mark.parametrize(("zone", "around"), CHANGES)
@pytest.mark.parametrize("form", [None, "%Y-%m-%d %H:%M:%S%z"])
def test_midnights_as_text_with_the_offsets_of_the_place(tmp_path, zone, around, form):
    times = midnights(zone, around)
    texts = [str(time) if form is None else time.strftime(form) for time in times]
    rows = [f"{text},{i % 5}\n" for i, text in enumerate(texts[:-2])]
    (tmp_path / "s.csv").write_text("".join(["when,y\n", *rows]))
    (one,) = read_series(tmp_path / "s.csv", time_format=form)
    assert str(one.calendar) == "daily"
    assert one.written(np.arange(len(times))) == texts
    why = "offsets do not tell when clocks change again"
    assert one.notes == (f"times to come have the offset from UTC of the last, {texts[-3]}: {why}",)


def test_offsets_that_never_change_are_not_noted(tmp_path):
    for form, zone in ((None, "+05:30"), ("%Y-%m-%d %H:%M:%S%z", "+0530")):
        rows = [f"2024-03-{day:02} 00:00:00{zone},{day}\n" for day in range(1, 9)]
        (tmp_path / "s.csv").write_text("".join(["when,y\n", *rows]))
        (one,) = read_series(tmp_path / "s.csv", time_format=form)
        assert (one.written([8]), one.notes) == ([f"2024-03-09 00:00:00{zone}"], ())


@pytest.mark.parametrize(("zone", "around"), CHANGES)
@pytest.mark.parametrize("minutes", [60, 30, 15])
def test_hours_over_a_change_are_hours_by_utc(zone, around, minutes):
    start = midnights(zone, around)[10].astimezone(datetime.timezone.utc)
    step = datetime.timedelta(minutes=minutes)
    times = [(start + i * step).astimezone(zoneinfo.ZoneInfo(zone)) for i in range(72 * 60 // minutes)]
    (one,) = series_from_frame(frame_of("pandas", times[:-2], zone))
    assert one.written(np.arange(len(times))) == [str(time) for time in times]
    assert one.calendar.likely == (1440 // minutes, 7 * 1440 // minutes)


def test_steps_of_hours_by_the_clock_on_the_wall():
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    walls = [datetime.datetime(2024, 10, day, hour, tzinfo=zone) for day in range(20, 32) for hour in (0, 6, 12, 18)]
    (one,) = series_from_frame(frame_of("polars", walls[:-4], "Europe/Berlin"))
    assert (str(one.calendar), one.written(range(len(walls)))) == ("every 6 hours", [str(wall) for wall in walls])


@pytest.mark.parametrize(("step", "name"), [({"days": 7}, "weekly"), ({"days": 10}, "every 10 days")])
def test_longer_steps_of_local_midnights(step, name):
    times = midnights("America/New_York", "2024-03-10", **step)
    (one,) = series_from_frame(frame_of("pandas", times[:-2], "America/New_York"))
    assert (str(one.calendar), one.written(range(len(times)))) == (name, [str(time) for time in times])


def test_months_and_weekdays_of_a_place():
    zone = zoneinfo.ZoneInfo("America/Sao_Paulo")
    months = [datetime.datetime(2017 + i // 12, i % 12 + 1, 1, tzinfo=zone) for i in range(18)]
    (one,) = series_from_frame(frame_of("pandas", months[:-2], "America/Sao_Paulo"))
    assert (str(one.calendar), one.written(range(18))) == ("monthly", [str(time) for time in months])
    days = [day for day in midnights("Europe/Berlin", "2024-03-31") if day.weekday() < 5]
    (one,) = series_from_frame(frame_of("polars", days[:-2], "Europe/Berlin"))
    assert (str(one.calendar), one.written(range(len(days)))) == ("on weekdays", [str(day) for day in days])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_what_is_irregular_is_quoted_as_the_place_has_it(library):
    times = midnights("Europe/Berlin", "2024-03-31")
    times[15] += datetime.timedelta(hours=3)
    with pytest.raises(
        ValueError, match=r"t: .* daily as most are, got 2024-04-03 03:00:00\+02:00 after 2024-04-02 00:00:00\+02:00"
    ):
        series_from_frame(frame_of(library, times, "Europe/Berlin"))
    del times[15]
    with pytest.raises(ValueError, match=r"a gap from 2024-04-02 00:00:00\+02:00 to 2024-04-04 00:00:00\+02:00; gaps"):
        series_from_frame(frame_of(library, times, "Europe/Berlin"))
    (one,) = series_from_frame(frame_of(library, times, "Europe/Berlin"), gaps=True)
    assert np.isnan(one.y).tolist() == [i == 15 for i in range(22)]
    assert one.written([15, 22]) == ["2024-04-03 00:00:00+02:00", "2024-04-10 00:00:00+02:00"]


def test_series_of_several_places_in_one_table(tmp_path):
    rows = []
    for zone, around in CHANGES[1:3]:
        rows += [f"{zone},{time},{time.day}\n" for time in midnights(zone, around)[:-2]]
    (tmp_path / "s.csv").write_text("".join(["place,t,y\n", *rows]))
    one, other = read_series(tmp_path / "s.csv", id="place")
    assert (one.written([20]), other.written([20])) == (["2023-11-06 00:00:00+01:00"], ["2024-11-11 00:00:00-05:00"])
    assert (one.notes, other.notes) != ((), ())


def test_zones_that_are_fixed_or_not_known():
    assert clock_of_zone("UTC") is clock_of_zone("Nowhere/Land") is clock_of_zone("../x") is None
    pandas = pytest.importorskip("pandas")
    fixed = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
    times = pandas.date_range("2024-01-31", periods=5, freq="D", tz=fixed)
    (one,) = series_from_frame(pandas.DataFrame({"y": range(5)}, times))
    assert one.written([0, 5]) == ["2024-01-31 00:00:00-03:30", "2024-02-05 00:00:00-03:30"]
    (one,) = series_from_frame(pandas.DataFrame({"y": range(5)}, times.tz_convert("UTC")))
    assert one.written([0, 5]) == ["2024-01-31 03:30:00Z", "2024-02-05 03:30:00Z"]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the machine cannot be set")
def test_the_zone_of_the_machine_does_not_matter(monkeypatch):
    moments = np.arange("2024-03-31", "2024-04-01", dtype="datetime64[h]").astype("datetime64[us]")
    due = clock_of_zone("Europe/Berlin").offsets_at(moments)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        there = clock_of_zone("Europe/Berlin").offsets_at(moments)
    time.tzset()
    assert there.tolist() == due.tolist() == [datetime.timedelta(hours=1)] + [datetime.timedelta(hours=2)] * 23


def test_a_clock_there_and_back():
    clock = clock_of_zone("Australia/Lord_Howe")
    moments = np.arange("2024-04-05", "2024-04-08", dtype="datetime64[h]").astype("datetime64[us]")
    walls = clock.local(moments)
    first, second = clock.moments_of(walls), clock.moments_of(walls, 1)
    assert ((first == moments) | (second == moments)).all()
    assert (second >= first).all()
    seen = Clock(None, moments, clock.offsets_at(moments))
    np.testing.assert_array_equal(seen.local(moments), walls)
    for zone in ("America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"):
        days = np.array(
            [each.astimezone(datetime.timezone.utc).replace(tzinfo=None) for each in midnights(zone, "2024-11-03")],
            "datetime64[us]",
        )
        known = Clock(None, days, clock_of_zone(zone).offsets_at(days))
        np.testing.assert_array_equal(known.moments_of(known.local(days)), days)
    late = np.array(["2030-01-01"], "datetime64[us]")
    assert seen.offsets_at(late) == np.timedelta64(630, "m")
    assert clock.offsets_at(late) == np.timedelta64(660, "m")


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M %z", "%Y-%m-%dT%H:%M%z"])
def test_offsets_are_written_as_they_were(tmp_path, form):
    times = midnights("Europe/Berlin", "2024-03-31")
    rows = [f"{time.strftime(form)},{i % 5}\n" for i, time in enumerate(times[:-2])]
    (tmp_path / "s.csv").write_text("".join(["when,y\n", *rows]))
    (one,) = read_series(tmp_path / "s.csv")
    assert one.written([20, 21]) == [time.strftime(form).replace("T", " ") for time in times[-2:]]


def test_text_that_ends_with_a_change_goes_on_from_it(tmp_path):
    texts = [str(time) for time in midnights("America/New_York", "2024-03-10")][:14]
    (tmp_path / "s.csv").write_text("".join(["when,y\n", *(f"{text},1\n" for text in texts)]))
    (one,) = read_series(tmp_path / "s.csv")
    assert one.written([12, 13, 14]) == [
        "2024-03-10 00:00:00-05:00",
        "2024-03-11 00:00:00-04:00",
        "2024-03-12 00:00:00-04:00",
    ]


def test_a_midnight_that_is_not_there_may_be_an_hour_earlier_too(tmp_path):
    texts = [str(time) for time in midnights("America/Sao_Paulo", "2017-10-15")]
    texts[12] = "2017-10-14 23:00:00-03:00"  # as Polars makes it
    (tmp_path / "s.csv").write_text("".join(["when,y\n", *(f"{text},1\n" for text in texts[:-1])]))
    (one,) = read_series(tmp_path / "s.csv")
    assert (str(one.calendar), one.written([12, 21])) == ("daily", [texts[12], texts[21]])


def test_offsets_that_were_seen_hold_before_the_first_and_after_the_last():
    moments = np.array(["2024-03-30", "2024-04-02"], "datetime64[us]")
    offsets = np.array([1, 2], "timedelta64[h]").astype("timedelta64[us]")
    times = np.array(["2000-01-01", "2024-04-01", "2024-04-02", "2050-01-01"], "datetime64[us]")
    assert Clock(None, moments, offsets).offsets_at(times).tolist() == offsets[[0, 0, 1, 1]].tolist()
