"""What is missing in a sequence."""

import numpy as np
import pytest

from cgru.datasets import missing_values

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
    """Of different lengths, with NaN behind them, which stay."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        m, s, e = rng.integers(1, (30, 9, 4))
        X = rng.standard_normal((m, s, e)).astype(dtype)
        X[rng.random(X.shape) < 0.4] = N
        X[rng.random(X.shape) < 0.05] = np.inf
        lengths = rng.integers(1, s + 1, m) if seed % 2 else None
        methods = rng.choice([*missing_values.MISSING], e).tolist()
        alone, counts = X.copy(), np.zeros(e, int)
        for x, n in zip(alone, np.full(m, s) if lengths is None else lengths, strict=True):
            counts += missing_values.fill(x[:n], methods)
        filled = [how not in missing_values.LEFT for how in methods]
        if np.isnan(alone[:, 0][:, filled]).any():
            with pytest.raises(ValueError, match=r"feature \d in sample \d+"):
                missing_values.fill_samples(X, lengths, methods)
        else:
            assert missing_values.fill_samples(X, lengths, methods).tolist() == counts.tolist()
            assert X.tobytes() == alone.tobytes()


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


def test_indicators_stay_those_of_the_training():
    filling = missing_values.parse_filling("zero+indicator,b=forward+indicator,c=zero")
    assert filling.indicated("abcd", np.array([False, False, True, True])) == ["b", "d"]
    settled = filling.settled(["b", "d"])
    assert str(settled) == "zero,b=forward+indicator,d=zero+indicator,c=zero"
    assert settled.indicated("abcd", np.zeros(4, bool)) == ["b", "d"]


@pytest.mark.parametrize(
    ("missing", "words", "more", "empty"),
    [
        ("refuse", (), {"c": "forward", "d": "zero"}, ["b"]),
        ("forward", (), {"d": "zero"}, ["b"]),
        ("forward+indicator", (), {"d": "zero+indicator"}, ["b"]),
        ("zero", (), None, []),
        ("decay", (), None, []),
        ("zero,c=interpolate", "c", {"c": "forward"}, []),
        ("forward,b=zero,c=zero,d=decay", (), None, []),
    ],
)
def test_the_cure_fills_each_column_as_it_can_be(missing, words, more, empty):
    """By the rows of each sequence: b has no value at all, d none in a sequence."""
    sequence = np.array([0, 1, 0, 1])
    gone = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0]], bool)
    filling = missing_values.parse_filling(missing)
    found = missing_values.cure_of_missing(gone, sequence, "abcd", filling, words)
    assert found[:2] == (more and {**filling.named, **more}, empty)


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
    assert missing_values.fill(x, ["interpolate", "zero", "forward", "refuse"]).tolist() == [1, 2, 2, 0]
    np.testing.assert_array_equal(x, [[1, 0, 2, N], [2, 1, 2, N], [3, 0, 2, N]])


def test_what_is_said():
    assert missing_values.notes_on_filled(np.array([0, 0]), "zero", "ab") == []
    assert missing_values.notes_on_filled(np.array([3, 0, 2]), "zero", "abc")[0].endswith(
        "5 missing values (zero): a 3, c 2"
    )
    assert missing_values.notes_on_filled(np.ones(9, int), "zero", "abcdefghi")[0].endswith("h 1, i 1")
    assert missing_values.notes_on_filled(np.ones(10, int), "zero", "abcdefghij")[0].endswith("i 1, ...")


def test_numbers_that_look_like_missing_ones():
    t = np.arange(20.0)
    columns = {
        "far below": np.where(t < 3, -999, t), "far above": np.where(t < 2, 9999, t + 0.5),
        "once": np.where(t < 1, -999, t), "near": np.where(t < 3, -99, 20 * t), "another": np.where(t < 3, -998, t),
        "both": np.where(t < 3, -999, np.where(t < 7, -9999, t)), "alone": np.where(t < 3, N, -99),
        "score": np.where(t < 2, 99, t % 5),
    }  # fmt: skip
    notes = missing_values.notes_on_sentinels(np.column_stack(list(columns.values())), list(columns))
    assert [note.partition(" times")[0] for note in notes] == [
        "far below has -999 3", "far above has 9999 2", "both has -9999 4", "both has -999 3", "score has 99 2",
    ]  # fmt: skip
    for word in missing_values.SENTINELS:
        (note,) = missing_values.notes_on_sentinels(np.array([[word, 1, word, 2]]).T, ["a"])
        assert f"{word:g}" in note
    assert missing_values.notes_on_sentinels(np.empty((0, 1)), ["none"]) == []
