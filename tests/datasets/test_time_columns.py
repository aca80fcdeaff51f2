"""Which column has the times, where nobody says: tables as R and others have them, under other names, and shuffled."""

import numpy as np
import pytest

from cgru.datasets import time_columns

RNG = np.random.default_rng(7)
AGES = (118, 484, 664, 1004, 1231, 1372, 1582)


def text(header, rows):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def shuffled(table):
    header, *rows = table.strip().splitlines()
    return "\n".join([header, *(rows[i] for i in np.random.default_rng(1).permutation(len(rows)))]) + "\n"


def growth(name, times, of=6, noise=3.0):
    """Chicks, weighed at the same times."""
    rng = np.random.default_rng(2)
    return text(
        f"chick,{name},weight,diet",
        ((f"c{i}", t, round(40 + 3 * k + rng.normal(0, noise), 1), "AB"[i % 2]) for i in range(of) for k, t in times),
    )


def orderly(table, name, reads, **options):
    """The table is sorted by the column and the note says so; shuffled it is asked about, or read the same."""
    data = reads(table, **options)
    assert data.reading["time"] == name
    assert any(f'(time="{name}")' in note for note in data.notes)
    return data


OPTIONS = {"id": "chick", "label": "diet"}
EVERY_DAY = list(enumerate(range(8)))
NAMES = [
    "Days", "Week", "year", "month", "hour", "age", "period", "TIME0", "quarter", "Alter", "Tage", "âge", "jours",
    "edad", "días", "mese", "päivä", "wiek", "dzień", "день", "visit", "Elapsed (s)", "xyz", "nr",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_times_by_their_values_whatever_they_are_called(reads, refused, name):
    table = growth(name, EVERY_DAY)
    data = orderly(table, name, reads, **OPTIONS)
    assert data.feature_names == ("weight",)
    error = refused(shuffled(table), **OPTIONS)
    assert error.startswith(
        f"{name}: expected to know whether steps are sorted by it, since it falls within a sequence"
    )
    assert f'time="{name}" sorts by it, time="" takes it for a feature, ignore="{name}" leaves it out' in error
    assert reads(shuffled(table), **OPTIONS, time="").feature_names == (name, "weight")
    again = reads(shuffled(table), **OPTIONS, time=name).train
    order = np.argsort(again.ids)
    assert again.X[order].tolist() == data.train.X.tolist()
    assert reads(shuffled(table), **OPTIONS, time="", ignore=name).feature_names == ("weight",)


@pytest.mark.parametrize("steps", [AGES, (0, 2, 4, 6, 8, 10, 12, 13), (0, 0.25, 0.5, 1, 2, 4, 9, 24)])
def test_the_same_times_in_all_sequences(reads, refused, steps):
    table = growth("Messung", list(enumerate(steps)))
    assert orderly(table, "Messung", reads, **OPTIONS).feature_names == ("weight",)
    assert refused(shuffled(table), **OPTIONS).startswith("Messung: expected to know")


def test_irregular_times_are_known_by_their_names(reads, refused):
    def irregular(name, real=0.0):
        rng = np.random.default_rng(3)
        rows = (
            (i, round(t + real, 2), round(rng.normal(), 2)) for i in range(5) for t in np.cumsum(rng.integers(1, 9, 6))
        )
        return text(f"id,{name},a", rows)

    for name in ("Tage", "semaines", "uren", "Zeitpunkt"):
        assert orderly(irregular(name), name, reads).feature_names == ("a",)
        assert refused(shuffled(irregular(name))).startswith(f"{name}: expected to know")
    assert orderly(irregular("Zeitpunkt", 0.5), "Zeitpunkt", reads).feature_names == ("a",)
    data = reads(irregular("q"))
    assert data.feature_names == ("q", "a")
    note = (
        'q rises within each sequence, as times do, and is a feature (ignore="q" leaves it out, time="q" sorts by it)'
    )
    assert data.notes[1:] == ("steps come as rows do: no column of times", note)


def test_dates_are_times_whatever_they_are_called(reads, refused):
    table = text("id,logged,a", ((i, f"2024-01-{1 + d * d:02}", i + d) for i in range(2) for d in range(4)))
    assert orderly(table, "logged", reads).train.X[0, :, 0].tolist() == [0, 1, 2, 3]
    newest = "\n".join(["id,logged,a", *table.strip().splitlines()[:0:-1]])
    assert refused(newest).startswith("logged: expected to know whether steps are sorted by it")
    twice = table.replace("2024-01-02", "2024-01-01")
    assert refused(twice).startswith("logged: expected numbers, got '2024-01-01' in line 2; time=")


def test_of_two_columns_of_times_one_is_asked_for_by_name(reads, refused):
    table = text("id,year,age,a", ((i, 2000 + d, 30 + i + d, d % 3) for i in range(3) for d in range(6)))
    error = refused(table.replace("age", "Tage"))
    assert error == 'time: expected one column to be it, got year, Tage; time="year" settles it, time="" takes none'
    data = orderly(table, "year", reads)
    assert data.feature_names == ("age", "a")
    assert (
        data.notes[-1] == 'age rises within each sequence, as times do, and is a feature (ignore="age" leaves it out)'
    )
    table = table.replace("age", "count").replace("year", "Jahr")
    assert orderly(table, "Jahr", reads).feature_names == ("count", "a")


KINDS = {
    "integers": lambda rng, n: rng.integers(0, 10, n),
    "many integers": lambda rng, n: rng.integers(0, 1000, n),
    "few integers": lambda rng, n: rng.integers(1, 5, n),
    "flags": lambda rng, n: rng.permutation(np.arange(n) % 2),
    "counts": lambda rng, n: rng.poisson(4, n),
    "normal": lambda rng, n: rng.normal(20, 3, n).round(2),
    "rounded": lambda rng, n: rng.normal(20, 3, n).round(),
    "halves": lambda rng, n: rng.integers(0, 20, n) / 2,
    "walk": lambda rng, n: rng.normal(size=n).cumsum(),
    "walk of integers": lambda rng, n: rng.integers(-2, 3, n).cumsum(),
    "trend": lambda rng, n: np.arange(n) * 0.5 + rng.normal(size=n),
    "cumulative sum": lambda rng, n: rng.random(n).cumsum(),
    "counter": lambda rng, n: rng.poisson(1, n).cumsum(),
    "heart rate": lambda rng, n: (70 + rng.normal(0, 2, n).cumsum()).round(),
    "what runs out": lambda rng, n: 100 - rng.poisson(2, n).cumsum(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_measurements_are_elements_and_nobody_asks(reads, kind):
    rng, noted = np.random.default_rng(5), 0
    for m, n in ((1, 30), (40, 1), (30, 2), (30, 3), (12, 5), (6, 12), (3, 60)):
        rows = [(f"i{i}", 1, x) for i in range(m) for x in KINDS[kind](rng, n)]
        data = reads(text("id,b,value", [*rows, ("other", 1, 0), ("other", 1, 0)]), ignore="b")
        assert data.feature_names == ("value",)
        assert data.reading["time"] == ""
        noted += any("value rises" in note for note in data.notes)
    assert noted <= 5 * (kind == "cumulative sum")


@pytest.mark.parametrize("name", ["t", "hr", "min", "age", "period", "frame", "wave"])
def test_measurements_with_names_of_times(reads, name):
    rng = np.random.default_rng(6)
    rows = [(f"i{i}", 1, x) for i in range(30) for x in rng.normal(50, 9, 6).round(2)]
    if name == "t":
        data = reads(text(f"id,b,{name}", rows).replace(",t", ",T"), time="", ignore="b", columns=["T"])
        assert data.feature_names == ("T",)
    elif name not in ("frame",):
        assert reads(text(f"id,b,{name}", rows), ignore="b").feature_names == (name,)


STORMS = (
    "name,year,month,day,hour,wind\nAmy,1975,6,30,18,3\nAmy,1975,7,1,0,4\nAmy,1975,6,30,0,1\nBob,1999,12,31,18,5\n"
    "Bob,2000,1,1,0,6\n"
)


@pytest.mark.parametrize(
    "names", ["year,month,day,hour", "Jahr,Monat,Tag,Stunde", "año,mes,día,hora", "YYYY,MM,DD,HH", "Yr,Mo,Dy,Hr"]
)
def test_parts_of_a_date_are_taken_together(reads, names):
    data = reads(STORMS.replace("year,month,day,hour", names), id="name")
    parts = names.split(",")
    assert data.reading["time"] == parts
    assert data.train.X[..., 0].tolist() == [[1, 3, 4], [5, 6, 0]]
    said = ", ".join(f'"{part}"' for part in parts)
    assert data.notes[0] == f"{' with '.join(parts)} is what steps are sorted by (time=[{said}])"
    columns = STORMS.replace("year,month,day,hour", names).splitlines()
    moved = "\n".join(",".join(line.split(",")[::-1]) for line in columns) + "\n"
    assert reads(moved, id="name").train.X.tolist() == data.train.X.tolist()


def test_parts_of_a_date_that_are_wrong_are_refused(refused, reads):
    error = refused(STORMS.replace("6,30,0", "6,31,0"), id="name")
    assert error.startswith("day: expected a day of 1975-06, at most 30, got 31 in line 4; ignore=")
    both = refused(STORMS.replace("wind", "date"), id="name")
    assert both == (
        "time: expected one column to be it, got date, year with month with day with hour; "
        'time="date" with ignore=["year", "month", "day", "hour"], or '
        'time=["year", "month", "day", "hour"] with ignore="date" settles it'
    )
    births = "id,birth_year,birth_month,t,a\n1,1990,3,1,2\n1,1990,3,2,3\n2,1991,4,1,2\n2,1991,4,2,2\n"
    assert reads(births).reading["time"] == "t"
    assert reads(births.replace(",t,", ",b,")).feature_names == ("birth_year", "birth_month", "b", "a")


def test_a_day_alone_that_falls_is_not_the_order(reads, refused):
    """As rows stand the month changes."""
    table = "id,day,a\n1,29,1\n1,30,2\n1,1,3\n2,5,1\n2,6,2\n"
    for name in ("day", "Tag", "month", "Jour"):
        error = refused(table.replace("day", name))
        assert error.startswith(f"{name}: expected to know whether steps are sorted by it, since it falls"), name
        assert ('time="" with ignore="day" leaves it out' in error) == (name == "day")
        assert reads(table.replace("day", name), time="", ignore=name).train.X[0, :, 0].tolist() == [1, 2, 3]
        assert reads(table.replace("1,1,3", "1,31,3").replace("day", name)).reading["time"] == name
    clocks = "id,time,a\n1,22:00,1\n1,23:00,2\n1,0:30,3\n"
    for falls in (clocks, clocks.replace(":", "").replace("030", "30")):
        assert refused(falls).startswith("time: expected to know whether steps are sorted by it")
    assert reads(clocks.replace("22:00", "5").replace("23:00", "7").replace("0:30", "3")).train.X[0, 0, 0] == 3


def test_days_and_clocks_as_numbers(reads, refused):
    """As in R's beaver1."""
    clock = [(346 + h // 24, h % 24 * 100 + m, 36.5) for h in range(20, 28) for m in (0, 10)]
    table = text("day,time,temp,id", ((*row, 1) for row in clock))
    assert reads(table).reading["time"] == ["day", "time"]
    assert "cgru forecast" in refused(table.replace(",id", ",kind"))
    error = refused(table.replace(",10,", ",77,"))
    assert error.startswith("time: expected one column to be it, got time, day, which are none together (")


def test_months_and_days_without_a_year(reads, refused):
    """As in R's airquality."""
    table = text("site,Month,Day,ozone", (("a", m, d, m + d) for m in (5, 6) for d in (1, 2, 30)))
    assert reads(table, id="site").reading["time"] == ["Month", "Day"]
    assert refused(shuffled(table), id="site").startswith("Month with Day: expected to know whether steps are sorted")


def test_a_date_with_the_hour_of_that_day(reads):
    table = text("id,date,hr,a", ((1, f"2011-01-0{d}", h, 10 * d + h) for d in (2, 1) for h in (5, 0, 23)))
    data = reads(table)
    assert data.reading["time"] == ["date", "hr"]
    assert data.train.X[0, :, 0].tolist() == [10, 15, 33, 20, 25, 43]


def test_a_time_may_be_an_element_too(reads, refused):
    table = "id,v,t\n1,10,3\n1,20,1\n2,30,5\n2,5,9\n"
    for options in ({"time": "t", "columns": ["v", "t"]}, {"columns": ["v", "t"]}):
        data = reads(table, **options)
        assert data.reading["time"] == "t"
        assert data.train.X.tolist() == [[[20, 1], [10, 3]], [[30, 5], [5, 9]]]
    assert reads(table, time="", columns=["v", "t"]).train.X[0, 0].tolist() == [10, 3]
    parts = "id,year,month,v\n1,2001,2,1\n1,2001,1,2\n"
    assert reads(parts, columns=["month", "v"]).train.X[0].tolist() == [[1, 2], [2, 1]]
    dates = table.replace(",3\n", ",2001-01-03\n").replace(",1\n", ",2001-01-01\n")
    assert refused(dates, time="t", columns=["v", "t"]).startswith("t: expected numbers")


def test_what_was_decided_in_training_holds_for_the_test_file(reads, tmp_path):
    table = growth("Besuch", EVERY_DAY)
    (tmp_path / "test.csv").write_text(shuffled(table))
    data = reads(table, **OPTIONS, test=tmp_path / "test.csv")
    order = np.argsort(data.test.ids)
    assert data.test.X[order].tolist() == data.train.X.tolist()
    one = [line for line in shuffled(table).splitlines(True) if line.startswith(("chick", "c3"))]
    (tmp_path / "test.csv").write_text("".join(one))
    assert reads(table, **OPTIONS, test=tmp_path / "test.csv").test.X[0].tolist() == data.train.X[3].tolist()


@pytest.mark.parametrize(
    ("table", "cure"),
    [
        (text("rownames,g,Time,Chick,Diet", ((i, i * 7 % 9, i % 6, i // 6, i // 12) for i in range(36))), 'id="Chick"'),
        (text("Plant,Type,conc", ((f"Q{i // 6}", "ab"[i // 18], i) for i in range(36))), 'id="Plant" or id="Type"'),
        (text("date,symbol,close", ((f"2024-01-{i // 3 + 1:02}", "ABC"[i % 3], i) for i in range(36))), 'id="symbol"'),
        (text("year,country,gdp", ((2000 + i % 9, "ABCD"[i // 9], i) for i in range(36))), 'id="country"'),
        (text("time,cow,milk", ((i // 4, i % 4, i * i % 17) for i in range(36))), 'id="cow"'),
    ],
)  # fmt: skip
def test_what_may_be_the_id_is_named(refused, table, cure):
    error = refused(table)
    assert error.startswith(
        f"expected a column such as id or subject that says which sequence a row belongs to: {cure} may"
    )


def test_one_series_hears_of_forecasts(refused):
    months = "Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"
    year = text(months, ([1949 + i, *RNG.integers(100, 200, 12)] for i in range(4)))
    for table in (
        text("date,DAX,SMI", ((f"2024-01-{i + 1:02}", 10 * i % 7, i) for i in range(20))),
        text("a,b", RNG.normal(size=(20, 2)).round(2)),
        year,
    ):
        assert "one series alone is what `cgru forecast` takes" in refused(table)
    assert refused(year, wide=True).endswith("a series with a row for each year is what `cgru forecast` takes")


def test_a_date_of_any_name_with_the_hour_of_that_day(reads):
    table = text("id,dteday,hr,a", ((1, f"2011-01-0{d}", h, 10 * d + h) for d in (2, 1) for h in (5, 0, 23)))
    data = reads(table)
    assert data.reading["time"] == ["dteday", "hr"]
    assert data.train.X[0, :, 0].tolist() == [10, 15, 33, 20, 25, 43]


def test_months_by_name_alone(reads, refused):
    table = text("id,mes,a", ((i, m, k) for i in (1, 2) for k, m in enumerate(("ene", "feb", "mar", "abr"))))
    assert orderly(table, "mes", reads).train.X[0, :, 0].tolist() == [0, 1, 2, 3]
    assert refused(shuffled(table)).startswith("mes: expected to know whether steps are sorted by it")
    again = reads(shuffled(table), time="mes")
    assert again.train.X[0, :, 0].tolist() == [0, 1, 2, 3]


def test_a_column_is_looked_at_to_its_end(reads):
    """Of more rows than say what most columns are."""
    rows = [("a", t * t, 0) for t in range(1200)]
    table = text("id,Tage,x1", [*rows, ("b", 5, 0), ("b", 3, 1)])
    assert "Tage" in reads(table, time="", ignore="x1").feature_names
    assert not any("rises" in note for note in reads(table, time="").notes)
    assert any("Tage rises" in note for note in reads(table.replace("b,3,1", "b,7,1")).notes)


def test_the_same_values_in_two_sequences_or_in_short_ones_may_be_chance(reads):
    for m, steps in ((2, (1, 2, 9, 20, 21)), (8, (1, 5, 20))):
        table = text("id,q,a", ((i, t, (i + t) % 3) for i in range(m) for t in steps))
        assert reads(table).feature_names == ("q", "a")
        assert reads(text("id,q,a", ((i, t, (i + t) % 3) for i in range(9) for t in (1, 2, 9, 20)))).feature_names == (
            "a",
        )


def test_a_date_and_a_clock_of_numbers_in_a_format(reads):
    table = "id,Date,Time,a\n1,3/1/2024,930,2\n1,3/1/2024,815,1\n"
    data = reads(table, time_format="%m/%d/%Y %H%M")
    assert data.reading["time"] == ["Date", "Time"]
    assert data.train.X[0, :, 0].tolist() == [1, 2]


def test_the_earlier_of_several_times_by_name_is_one_that_differs(refused):
    table = "id,step,tick,year,month,a\n1,1,1,2001,1,0\n1,1,2,2001,2,1\n"
    assert refused(table) == (
        "time: expected one column to be it, got tick, year with month, step; "
        'time="tick" with ignore=["year", "month", "step"], or time=["year", "month"] with ignore=["tick", "step"] '
        "settles it"
    )


@pytest.mark.parametrize("day", ["{}. März 2024", "{}-Apr-2012", "2024-03-{:02}"])
def test_dates_are_never_said_to_be_elements(reads, refused, day):
    table = shuffled(text("id,gemessen,a", ((i, day.format(d), d) for i in (1, 2) for d in range(11, 19))))
    error = refused(table)
    assert error.endswith('time="gemessen" sorts by it, time="" with ignore="gemessen" leaves it out')
    assert reads(table, time="", ignore="gemessen").feature_names == ("a",)


@pytest.mark.parametrize(
    ("clock", "times"),
    [
        ("hhmm", [(30,), (730,), (1830,)]),
        ("Time", [(0,), (15,), (1200,)]),
        ("hora", [(1,), (12,), (24,)]),
        ("Stunde,Minute", [(0, 30), (7, 0), (7, 30)]),
        ("hour,minute,second", [(7, 0, 5), (7, 0, 10), (7, 1, 0)]),
    ],
)
def test_a_date_with_numbers_that_are_a_time_of_day(reads, clock, times):
    rows = [(i, f"2024-02-{d:02}", *time, 3 * d + k) for i in (1, 2) for d in (3, 4) for k, time in enumerate(times)]
    table = text(f"id,date,{clock},a", rows)
    for options in ({"time": ["date", *clock.split(",")]}, {}):
        data = reads(shuffled(table), **options)
        assert data.reading["time"] == ["date", *clock.split(",")]
        assert data.train.X[:, :, 0].tolist() == [[9, 10, 11, 12, 13, 14]] * 2


def test_an_id_of_numbers_is_named_where_rows_are_in_no_order(refused):
    rows = [(i, d, 60 + i % 3, 80 + d) for i in range(9) for d in range(1, 8)]
    error = refused(shuffled(text("pacjent,dzień,wiek,tętno", rows)))
    assert ': id="pacjent" may be it, wide=True' in error
    rows = [(i, f"2024-01-{d:02}", "ab"[i % 2]) for i in range(6) for d in range(1, 8)]
    assert ': id="x" or id="y" may be it, wide=True' in refused(text("x,Messtag,y", rows))


def test_words_beside_one_series_do_not_hide_forecasts(refused):
    table = text("date,rain,weather", ((f"2012/01/{d:02}", d % 3, ("sun", "rain")[d % 2]) for d in range(1, 20)))
    assert 'id="weather" may be it, one series alone is what `cgru forecast` takes' in refused(table)


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
def test_times_since_1970_are_known_at_any_distance(reads, refused, unit):
    times = np.cumsum(np.random.default_rng(5).integers(1, 10**6, 14)) + 1_600_000_000
    table = text("device,recorded,v", ((i, t * unit, k % 3) for i in (1, 2) for k, t in enumerate(times.tolist())))
    assert orderly(table, "recorded", reads).train.X.shape == (2, 14, 1)
    assert refused(shuffled(table)).startswith("recorded: expected to know whether steps are sorted by it")
    sales = text("device,sales,v", ((i, t // 4, k % 3) for i in (1, 2) for k, t in enumerate(times)))
    assert reads(shuffled(sales)).feature_names == ("sales", "v")


@pytest.mark.parametrize(
    ("name", "time", "cure"),
    [
        ("date", "2024-01-{:02}", 'time="" with ignore="date" leaves it out'),
        ("fecha", "{}-Apr-2012", 'time="" with ignore="fecha" leaves it out'),
        ("semana", "{}", 'time="" takes it for a feature, ignore="semana" leaves it out'),
    ],
)
def test_times_some_of_which_are_missing_are_asked_about(reads, refused, name, time, cure):
    rows = [(i, "" if (i, k) == (2, 4) else time.format(k + 1), k * k % 7) for i in (1, 2, 3) for k in range(9)]
    table = text(f"id,{name},v", rows)
    assert refused(table) == f"{name}: expected a value in each row, got none in line 15; {cure}"
    assert reads(table, time="", ignore=name).feature_names == ("v",)
    assert reads(text("id,v,w", ((i, v, t) for i, t, v in rows)), ignore="w").feature_names == ("v",)
    noise = text("id,a,v", ((i, "" if (i, k) == (2, 4) else k * k % 11, k) for i in (1, 2, 3) for k in range(9)))
    assert reads(noise, missing="zero", ignore="v").feature_names == ("a",)


def test_a_date_with_a_time_of_day_whatever_they_are_called(reads):
    rows = [(i, f"{d}-3-2024", f"{h:02}:15", 10 * d + h) for i in (1, 2) for d in (3, 4) for h in (0, 9, 18)]
    for names in ("dag,tijd", "dia,momento", "Messtag,Uhr", "x1,x2"):
        data = reads(shuffled(text(f"id,{names},a", rows)))
        assert data.reading["time"] == names.split(",")
        assert data.train.X[0, :, 0].tolist() == [30, 39, 48, 40, 49, 58]
    dots = text("id,day,Uhr,a", ((i, day, clock.replace(":", "."), a) for i, day, clock, a in rows))
    assert reads(dots).reading["time"] == ["day", "Uhr"]


@pytest.mark.parametrize("name", ["fecha", "gemessen", "x"])
@pytest.mark.parametrize("slip", ["2024-13-45", "mañana", "31-Feb-2024"])
def test_of_dates_the_first_that_is_none_is_named(refused, name, slip):
    rows = [(i, slip if (i, d) == (2, 13) else f"{d}-Jan-2024", d % 4) for i in (1, 2) for d in range(11, 19)]
    error = refused(text(f"id,{name},v", rows))
    assert error.startswith(f"{name}: expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30, got '{slip}'")
    assert f"'{slip}' in line 12, " in error
    assert error.endswith(f'ignore="{name}" leaves it out')


def test_of_two_times_of_day_beside_a_date_one_is_asked_for(reads, refused):
    rows = [(i, f"{d}.3.2024", f"{h:02}:00", f"{h:02}:30", 10 * d + h) for i in (1, 2) for d in (3, 4) for h in (0, 9)]
    table = text("id,Datum,Beginn,Ende,v", rows)
    why = "time: expected one time of day beside Datum, got Beginn, Ende"
    assert refused(table) == f'{why}; time=["Datum", "Beginn"] settles it'
    assert reads(shuffled(table), time=["Datum", "Beginn"], ignore="Ende").train.X[0, :, 0].tolist() == [30, 39, 40, 49]
    daily = text("id,Datum,auf,unter,v", ((i, f"{d}.3.2024", "6:30", "18:30", d) for i in (1, 2) for d in range(1, 9)))
    assert reads(daily, ignore=["auf", "unter"]).reading["time"] == "Datum"


@pytest.mark.parametrize("name", ["yyyymmdd", "MESS_DATUM", "x"])
def test_dates_without_separators_are_known(reads, refused, name):
    days = [f"2024{month:02}{day}" for month in (1, 2, 3) for day in (10, 20, 28)]
    table = text(f"id,{name},v", ((i, day, k * k % 7) for i in (1, 2) for k, day in enumerate(days)))
    orderly(table, name, reads)
    assert refused(shuffled(table)).startswith(f"{name}: expected to know whether steps are sorted by it")
    hours = text(f"id,{name},HH,v", ((i, day, h, k + h) for i in (1, 2) for k, day in enumerate(days) for h in (6, 24)))
    data = reads(shuffled(hours), time_step=True)
    assert data.reading["time"] == [name, "HH"]
    assert data.train.X[0, 1:3, 1].tolist() == [18 * 3600, (9 * 24 + 6) * 3600]


def test_a_time_of_numbers_that_are_no_clock_is_sorted_by(reads, refused):
    table = text("id,time,v", ((i, 25 * k, k * k % 7) for i in (1, 2) for k in range(40)))
    assert reads(shuffled(table)).train.X[0, :4, 0].tolist() == [0, 1, 4, 2]
    clock = text("id,time,v", ((i, 100 * k + 30, k * k % 7) for i in (1, 2) for k in range(20)))
    assert refused(shuffled(clock)).startswith("time: expected to know whether steps are sorted by it")


def test_of_two_columns_in_a_format_none_is_taken(reads, refused):
    table = text("id,von,bis,v", ((1, f"{d}_01_2024", f"{d + 1}_01_2024", d % 3) for d in range(1, 9)))
    error = refused(table, time_format="%d_%m_%Y")
    assert error == 'time_format: expected a column of times beside it, got none: time="..." names it'
    assert reads(table, time="von", ignore="bis", time_format="%d_%m_%Y").reading["time"] == "von"
    assert reads(table, ignore="bis", time_format="%d_%m_%Y").reading["time"] == "von"


@pytest.mark.parametrize("values", [[0, 1e-10, 2e-10, 1e308], [-1.7e308, 0, 1.7e308, 1.75e308]])
def test_numbers_near_the_largest_are_no_regular_times(values):
    trend = time_columns.trend_of(np.array(values), np.zeros(4, int), "real")
    assert trend.rises
    assert not trend.regular


@pytest.mark.parametrize("start", [8e8, 2.19e9])
@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_unix_times_from_1995_to_2040_are_times_under_any_name(reads, start, unit):
    times = [int(start) * unit + k for k in (2, 9, 10, 5, 31)]
    rows = zip("11122", times, (3, 1, 4, 1, 5), "aaabb", strict=True)
    data = reads(text("id,xyz,x,label", rows))
    assert (data.reading["time"], data.feature_names) == ("xyz", ("x",))
