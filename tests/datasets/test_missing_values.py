"""What is missing in a sequence."""

import numpy as np
import pytest

from cgru.datasets import described, missing_values, read
from cgru.datasets.missing_values import parse_filling

N = np.nan


@pytest.mark.parametrize(
    ("how", "due"),
    [
        ("forward", [[1, 5], [1, 5], [1, 6], [4, 6]]),
        ("interpolate", [[1, 5], [2, 5], [3, 6], [4, 6]]),
        ("zero", [[1, 0], [0, 5], [0, 6], [4, 0]]),
    ],
)
def test_they_are_filled(how, due):
    x = np.array([[1, N], [N, 5], [N, 6], [4, N]])
    assert missing_values.fill(x, [how] * 2).tolist() == [2, 2]
    assert x.tolist() == due
    assert missing_values.fill(x, [how] * 2).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_many_samples_are_filled_as_each_alone(dtype):
    """Of unlike lengths, with NaN behind them, which stay."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        m, s, e = rng.integers(1, (30, 9, 4))
        X = rng.standard_normal((m, s, e)).astype(dtype)
        X[rng.random(X.shape) < 0.4] = N
        X[rng.random(X.shape) < 0.05] = np.inf
        lengths = rng.integers(1, s + 1, m) if seed % 2 else None
        methods = rng.choice([*missing_values.MISSING], e).tolist()
        alone, found = X.copy(), []
        each = (x[:n] for x, n in zip(alone, np.full(m, s) if lengths is None else lengths, strict=True))
        for fill, given in ((missing_values.fill_samples, (X, lengths)), (missing_values.fill_each, (each,))):
            try:
                found.append(fill(*given, methods, "{} {}".format).tolist())
            except ValueError as error:
                found.append(str(error))
        assert found[0] == found[1]
        if not isinstance(found[0], str):
            assert X.tobytes() == alone.tobytes()


def test_samples_that_cost_no_bytes_are_filled_many_at_once(tmp_path, monkeypatch):
    calls, fill = [], missing_values.fill
    monkeypatch.setattr(missing_values, "fill", lambda *given: calls.append(0) or fill(*given))
    x = np.ones((1_000_000, 2, 1), np.float16)
    for gaps, most in ((0, 0), (1, 1), (len(x), 2)):
        x[:gaps, 1] = N
        np.savez_compressed(tmp_path / "x.npz", x=x)
        calls.clear()
        assert (read(tmp_path / "x.npz", missing="forward").train.X == 1).all()
        assert len(calls) == most


@pytest.mark.parametrize(("how", "due"), [("forward", N), ("interpolate", N), ("zero", 0)])
def test_what_has_no_value_at_all(how, due):
    x = np.array([[N, 1], [N, 2]])
    assert missing_values.fill(x, [how] * 2).tolist() == [2, 0]
    np.testing.assert_array_equal(x, [[due, 1], [due, 2]])


@pytest.mark.parametrize(
    ("missing", "text", "methods"),
    [
        ("forward", "forward", ["forward"] * 3),
        ("a=zero", "a=zero", ["zero", "refuse", "refuse"]),
        (" a = zero , b,c=interpolate", None, None),
        ('a=zero, "b,c=interpolate"', 'a=zero,"b,c=interpolate"', ["zero", "interpolate", "refuse"]),
        ("forward,d=zero+indicator", "forward,d=zero+indicator", ["forward", "forward", "zero"]),
        ("d=zero,refuse", "d=zero", ["refuse", "refuse", "zero"]),
        ({"b,c": "zero+indicator", "d": "forward"}, '"b,c=zero+indicator",d=forward', ["refuse", "zero", "forward"]),
        ("interpolate+indicator", "interpolate+indicator", ["interpolate"] * 3),
        ("refuse", "refuse", ["refuse"] * 3),
    ],
    ids=str,
)
def test_a_method_for_each_column(missing, text, methods):
    if text is None:
        with pytest.raises(ValueError, match=r"^missing: expected one of refuse, .*, got 'b'$"):
            missing_values.parse_filling(missing)
        return
    filling = missing_values.parse_filling(missing)
    assert (str(filling), filling.methods(["a", "b,c", "d"])) == (text, methods)
    assert missing_values.parse_filling(text) == filling
    quoted = missing_values.parse_filling({'5" disk': "zero"})
    assert missing_values.parse_filling(str(quoted)) == quoted


@pytest.mark.parametrize(
    ("missing", "error", "why"),
    [
        ("", ValueError, r"expected one of refuse, forward, interpolate, zero, decay, got ''$"),
        ("a=mean", ValueError, r"expected one of refuse, forward, interpolate, zero, decay, got 'mean' for a$"),
        ("refuse+indicator", ValueError, r'expected one of refuse, .*, or one with "\+indicator" behind it, got'),
        ("a=zero,a=forward", ValueError, r"expected one method for a, got several$"),
        ("zero,forward", ValueError, r"expected one method for all other columns, got several$"),
        (None, TypeError, r"expected a method, or a dict of methods by column, got None$"),
        ({"a": None}, ValueError, r"expected one of refuse, forward, interpolate, zero, decay, got None for a$"),
    ],
    ids=str,
)
def test_what_is_no_method(missing, error, why):
    with pytest.raises(error, match=f"^missing: {why}"):
        missing_values.parse_filling(missing)


def test_a_column_that_is_not_there():
    with pytest.raises(ValueError, match=r"^missing: expected some of the features a, b, got 'c'$"):
        missing_values.parse_filling("a=zero,c=zero").methods(["a", "b"])


def test_indicators_and_cures():
    filling = missing_values.parse_filling("zero+indicator,b=forward+indicator,c=zero")
    assert filling.indicated("abcd", np.array([False, False, True, True])) == ["b", "d"]
    settled = filling.settled(["b", "d"])
    assert str(settled) == "zero,b=forward+indicator,d=zero+indicator,c=zero"
    assert settled.indicated("abcd", np.zeros(4, bool)) == ["b", "d"]
    assert filling.cure(["a"], "zero").endswith(',c=zero,a=zero+indicator"')
    assert missing_values.Filling().cure(["a"], "zero") == 'missing="zero"'
    filling = missing_values.parse_filling("b=forward+indicator")
    assert filling.cure(["b"], "zero") == 'missing="b=zero+indicator"'  # the features stay
    assert filling.cure(["b"], "decay") == 'missing="b=decay"'
    gone = np.array([[True, True], [False, True]])
    advice = missing_values.advise(gone, np.array([0, 1]), "ab", missing_values.parse_filling("c=zero"))
    assert advice.startswith('a has no value in 1 of 2 sequences, missing="c=zero,a=zero" fills it, ')
    some = missing_values.advise(gone[:, :1], np.array([0, 0]), "a", missing_values.parse_filling("c=zero"))
    assert some == 'missing="c=zero,a=forward" fills it'


@pytest.mark.parametrize(
    ("of_model", "given", "due"),
    [
        ("forward,a=zero", "b=zero", "forward,a=zero,b=zero"),
        ("refuse", "b=zero", "b=zero"),
        ("a=zero+indicator,b=forward", "a=interpolate", "a=interpolate+indicator,b=forward"),
        ("a=zero+indicator", "a=refuse", "a=refuse"),
        ("a=zero,b=forward", "interpolate", "interpolate"),
        ("a=zero,b=forward", "forward,a=zero", "forward,a=zero"),
        ("forward", "refuse", "refuse"),
    ],
)
def test_methods_of_some_columns_replace_these(of_model, given, due):
    parse = missing_values.parse_filling
    assert str(parse(of_model).replaced(parse(given))) == due


def test_each_feature_by_its_own_method():
    x = np.array([[1, N, N, N], [N, 1, 2, N], [3, N, N, N]])
    assert missing_values.fill_each([x], ["interpolate", "zero", "forward", "refuse"], "".format).tolist() == [
        1,
        2,
        2,
        0,
    ]
    np.testing.assert_array_equal(x, [[1, 0, 2, N], [2, 1, 2, N], [3, 0, 2, N]])


def test_what_is_said():
    assert missing_values.notes_on_filled(np.array([0, 0]), "zero", "ab") == []
    assert missing_values.notes_on_filled(np.array([3, 0, 2]), "zero", "abc") == [
        "filled 5 missing values (zero): a 3, c 2"
    ]
    assert missing_values.notes_on_filled(np.ones(9, int), "zero", "abcdefghi")[0].endswith("h 1, i 1")
    assert missing_values.notes_on_filled(np.ones(10, int), "zero", "abcdefghij")[0].endswith("i 1, ...")


@pytest.mark.parametrize(
    ("na", "words"),
    [
        (None, ()),
        ("", ()),
        ("-", ("-",)),
        (["  Missing ", "", "-999"], ("missing", "-999")),
        (-999, ("-999",)),
        (0, ("0",)),
        ((-999.0, -99.9, np.int8(-99), 1e300), ("-999", "-99.9", "-99", "1e+300")),
        (np.array([-999, 7]), ("-999", "7")),
    ],
    ids=str,
)
def test_words_that_mean_a_missing_value(na, words):
    assert missing_values.as_words(na) == words


@pytest.mark.parametrize(
    ("na", "wrong"), [(True, "True"), (b"-", "b'-'"), (["-", None], "None"), ([b"-"], "b'-'"), ([["-"]], r"\['-'")]
)
def test_what_is_no_word(na, wrong):
    with pytest.raises(TypeError, match=f"^na: expected words that mean a missing value, .* or numbers, got {wrong}"):
        missing_values.as_words(na)


def test_words_that_are_numbers():
    assert missing_values.numbers_in(["-", "-999", "-9.5e1"]).tolist() == [-999, -95] * 2
    assert missing_values.numbers_in(["-99,5", "x"], lambda word: float(word.replace(",", "."))).tolist() == [-99.5]
    assert missing_values.numbers_in([]).dtype == np.float64
    assert missing_values.is_any_of(np.array([1, 2, 3]), np.array([2.0, 9])).tolist() == [False, True, False]
    assert missing_values.is_any_of(np.array(["2"], object), np.array([2.0])).tolist() == [False]


def test_numbers_that_look_like_missing_ones():
    t = np.arange(20.0)
    columns = {
        "far below": np.where(t < 3, -999, t),
        "far above": np.where(t < 2, 9999, t + 0.5),
        "once": np.where(t < 1, -999, t),
        "near": np.where(t < 3, -99, 20 * t),
        "just": np.where(t < 2, -99, np.where(t < 3, N, np.where(t < 4, 99, 0))),
        "another": np.where(t < 3, -998, t),
        "both": np.where(t < 3, -999, np.where(t < 7, -9999, t)),
        "alone": np.where(t < 3, N, -99),
        "high up": np.where(t < 2, -999, 1000 + t),
        "low down": np.where(t < 2, 999, t - 1000),
    }
    notes = missing_values.notes_on_sentinels(np.column_stack(list(columns.values())), list(columns))
    assert notes == [
        'far below has -999 3 times, far below all others (na="-999" takes it for missing)',
        'far above has 9999 2 times, far above all others (na="9999" takes it for missing)',
        'both has -9999 4 times, far below all others (na="-9999" takes it for missing)',
        'both has -999 3 times, far below all others (na="-999" takes it for missing)',
        'high up has -999 2 times, far below all others (na="-999" takes it for missing)',
        'low down has 999 2 times, far above all others (na="999" takes it for missing)',
    ]
    for word in (-99, -99.9, -200, -999, -999.9, -9999, -99999, 999, 9999, 99999):
        (note,) = missing_values.notes_on_sentinels(np.array([[word, 1, word, 2]]).T, ["a"])
        assert f'(na="{word}" takes it for missing)' in note
    assert missing_values.notes_on_sentinels(np.empty((0, 1)), ["none"]) == []


def test_what_is_advised_is_what_helps():
    """By the rows of each sequence, wherever they stand."""
    sequence = np.array([0, 1, 0, 1])
    gone = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0]], bool)
    whole = 'b has no value at all, ignore="b" leaves it out'
    part = 'd has no value in 1 of 2 sequences, missing="zero" fills it, ignore="d" leaves it out'
    assert missing_values.advise(gone[:, :1], sequence, "a") == ""
    assert missing_values.advise(gone[:, 1:2], sequence, "b") == whole
    assert missing_values.advise(gone[:, 2:3], sequence, "c") == 'missing="forward" fills it'
    assert missing_values.advise(gone[:, 3:], sequence, "d") == part
    assert missing_values.advise(gone[:, [2, 2]], sequence, "ce") == 'missing="forward" fills them'
    assert missing_values.advise(gone, sequence, "abcd") == f'{whole}; {part}; missing="forward" fills c'


def test_each_sequence_is_filled_from_itself_or_refused_by_its_place():
    some = [np.array([[1, np.nan], [np.nan, 2]]), np.array([[3.0, 4.0]])]
    assert missing_values.fill_each(some, ["forward"] * 2, "{} {}".format).tolist() == [1, 1]
    assert [x.tolist() for x in some] == [[[1, 2], [1, 2]], [[3, 4]]]
    with pytest.raises(ValueError, match=r"^1 2$"):
        missing_values.fill_each([np.ones((2, 3)), np.array([[1, 2, np.nan]])], ["forward"] * 3, "{} {}".format)
    assert missing_values.fill_each([np.array([[np.nan]])], ["refuse"], "{} {}".format).tolist() == [0]


def test_what_decays_stays_missing_beside_its_times(tmp_path):
    rows = ["id,time,a,b,c,label"]
    rows += ["1,2024-01-01 00:00,1,,5,x", "1,2024-01-01 00:10,,,,x", "1,2024-01-01 00:11,3,,7,x"]
    rows += ["2,2024-03-01 00:00,,2,,y", "2,2024-03-01 01:00,4,,1,y"]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(rows))
    data = read(path, missing="decay,c=zero")
    np.testing.assert_array_equal(data.train.X[0], [[1, np.nan, 5], [np.nan, np.nan, 0], [3, np.nan, 7]])
    np.testing.assert_array_equal(data.train.X[1], [[np.nan, 2, 0], [4, np.nan, 1], [0, 0, 0]])
    np.testing.assert_array_equal(data.train.beside["times"], [[0, 600, 660], [0, 3600, 3600]])
    assert parse_filling(data.reading["missing"]).decays
    assert not any("NaN" in line for line in str(described(data)).splitlines())
    np.testing.assert_array_equal(read(path, **data.reading).train.beside["times"], data.train.beside["times"])
    assert read(path, missing="forward,b=zero,c=zero").train.beside == {}
    whole = read(path, missing="decay", time="", ignore=["time"])
    assert len(whole.train) == 4
    assert np.isnan(whole.train.X[0, 1]).all()
    path.write_text("\n".join(rows).replace("2024-03-01 01:00", "later"))
    with pytest.raises(ValueError, match="time"):
        read(path, missing="decay", time="time")
    with pytest.raises(ValueError, match=r"expected one of refuse, .*got 'decay\+indicator'"):
        read(path, missing="decay+indicator")
