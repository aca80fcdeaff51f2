"""DataFrames with a row a step, and with whole series in their cells: networks and estimators read them right."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru.network.data.dataframes import as_sequences, is_indexed

pd = pytest.importorskip("pandas", reason="no pandas")

pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned")
RNG = np.random.default_rng(0)
M, S, E = 12, 5, 2
X = RNG.standard_normal((M, S, E))
Y = np.arange(M) % 2
INDEX = pd.MultiIndex.from_product([range(M), range(S)], names=["case", "t"])
LONG = pd.DataFrame(X.reshape(-1, E), index=INDEX, columns=["a", "b"])
SERIES = pd.DataFrame({name: [pd.Series(X[i, :, j]) for i in range(M)] for j, name in enumerate("ab")})
SHUFFLED = LONG.sample(frac=1, random_state=0)
KINDS = {
    "Series": SERIES,
    "arrays": SERIES.map(np.asarray),
    "tuples": SERIES.map(tuple),
    "array of Series": SERIES.to_numpy(),
    "Series of arrays": pd.Series(list(X), index=np.linspace(0, 1, M)),
    "one column": pd.Series(list(X[:, :, 0])),
    "MultiIndex": LONG,
    "steps in another order": pd.concat([SHUFFLED.loc[[i]] for i in range(M)]),
    "no names": LONG.set_axis(pd.MultiIndex.from_tuples(INDEX.tolist())).set_axis([0, 1], axis=1),
    "three levels": LONG.set_axis(pd.MultiIndex.from_tuples([(c // 3, c % 3, t) for c, t in INDEX], names=[*"abt"])),
    "dates": LONG.set_axis(pd.MultiIndex.from_product([range(M), pd.date_range("2024-01-29", periods=S, tz="UTC")])),
    "Series of MultiIndex": LONG["a"],
    "nullable": LONG.convert_dtypes(),
}


def made(e=E):
    """A network and estimators, fitted to sequences of e features."""
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(X[:, :, :e], Y, epochs=1)
    found = [net]
    if pytest.importorskip("sklearn", reason="no scikit-learn"):
        from cgru.sklearn import GRUClassifier

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(GRUClassifier(2, epochs=1, random_state=0, budget=0).fit(X[:, :, :e], Y))
    return found


@pytest.fixture(scope="module")
def models():
    return {e: made(e) for e in (1, 2)}


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("kind", KINDS)
def test_read_as_arrays(models, kind):
    given = KINDS[kind]
    e = 1 if kind in ("one column", "Series of MultiIndex") else E
    due = X[:, :, :e]
    sequences, names = as_sequences(given, "X")
    np.testing.assert_array_equal(np.stack(sequences), due)
    assert names == (("a", "b") if getattr(given, "columns", [0])[0] == "a" else None)
    net, model = models[e]
    np.testing.assert_array_equal(net.predict(given), net.predict(due))
    assert net.evaluate(given, Y) == net.evaluate(due, Y)
    np.testing.assert_array_equal(model.predict_proba(given), model.predict_proba(due))
    fitted = type(model)(2, epochs=1, random_state=0, budget=0).fit(given, Y)
    np.testing.assert_array_equal(fitted.predict_proba(given), model.predict_proba(due))
    assert fitted.n_features_in_ == e
    assert getattr(fitted, "feature_names_in_", np.array(None)).tolist() == (list(names) if names else None)
    assert fitted.network_.feature_names == names


def test_unlike_lengths_and_channels_first(models):
    lengths = 1 + np.arange(M) % S
    ragged = [x[:n] for x, n in zip(X, lengths, strict=True)]
    kept = (np.arange(S) < lengths[:, None]).ravel()
    net, model = models[2]
    first = type(model)(2, epochs=1, random_state=0, budget=0, channels_first=True).fit(X.swapaxes(1, 2), Y)
    due = model.predict_proba(ragged)
    nested = pd.DataFrame({name: [x[:, j] for x in ragged] for j, name in enumerate("ab")})
    for given in (LONG.set_axis(["a", 1], axis=1)[kept], nested.set_axis([0, 1], axis=1)):
        np.testing.assert_array_equal(net.predict(given), net.predict(ragged))
        np.testing.assert_array_equal(model.predict_proba(given), due)
        np.testing.assert_array_equal(first.predict_proba(given), due)
    for given in ([x.T for x in ragged], pd.Series([x.T for x in ragged])):
        np.testing.assert_array_equal(first.predict_proba(given), due)
    cells = np.empty(M, object)
    cells[:] = ragged
    np.testing.assert_array_equal(model.predict_proba(cells), due)


def test_polars():
    pl = pytest.importorskip("polars", reason="no polars")
    net, model = made()
    lists = pl.DataFrame({f"v{j}": X[:, :, j].tolist() for j in range(E)})
    np.testing.assert_array_equal(net.predict(lists), net.predict(X))
    fitted = type(model)(2, epochs=1, random_state=0, budget=0).fit(lists, Y)
    np.testing.assert_array_equal(fitted.predict(lists), model.predict(X))
    frames = [pl.DataFrame(x) for x in X]
    with pytest.warns(UserWarning, match="X has feature names"):
        np.testing.assert_array_equal(model.predict(frames), model.predict(X))
    flat = pl.DataFrame(X[:, :, 0], schema=[f"t{i}" for i in range(S)])
    assert type(model)(2, epochs=1).fit(flat, Y).predict(flat).shape == (M,)


def test_dataframes_that_are_arrays_stay_so():
    """Of one element a step, though an index of several levels names the samples; and a list of them."""
    net, model = made()
    for frames in ([pd.DataFrame(x) for x in X], [pd.DataFrame(x[: 2 + i % 3]) for i, x in enumerate(X)]):
        assert net.predict(frames).shape == (M, 2)
        assert model.predict(frames).shape == (M,)
    flat = pd.DataFrame(X[:, :, 0], columns=[f"t{i}" for i in range(S)])
    named = flat.set_axis(pd.MultiIndex.from_product([range(4), range(3)]))
    due = type(model)(2, epochs=1, random_state=0).fit(flat, Y)
    other = type(model)(2, epochs=1, random_state=0).fit(named, Y)
    np.testing.assert_array_equal(other.predict_proba(named), due.predict_proba(flat))
    with pytest.raises(ValueError, match="X has 1 features, but GRUClassifier is expecting 5"):
        other.predict(LONG[["a"]])
    tokens = pd.DataFrame(RNG.integers(0, 3, (M, S)), index=named.index)
    embedded = cgru.Network([cgru.Embedding(3, 2), cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    embedded.fit(tokens, Y, epochs=1)
    with pytest.raises((TypeError, ValueError), match=r"^X: "):
        embedded.predict(tokens[[0]])


def test_names_are_compared(models):
    fitted = type(models[2][1])(2, epochs=1, random_state=0, budget=0).fit(LONG, Y)
    for given in (LONG[["b", "a"]], SERIES[["b", "a"]]):
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(given)
        with refuses(ValueError, "X"):
            fitted.network_.predict(given)
    assert fitted.predict(X).shape == (M,)  # which has no names


def test_names_of_a_list_of_dataframes(models):
    """Of which all have the columns of the first, in their order, as those of later ones."""
    frames = [LONG.loc[i] for i in range(M)]
    fitted = type(models[2][1])(2, epochs=1, random_state=0, budget=0).fit(frames, Y)
    assert fitted.feature_names_in_.tolist() == list(fitted.network_.feature_names) == ["a", "b"]
    np.testing.assert_array_equal(fitted.predict_proba(frames), fitted.predict_proba(X))
    ragged = [frame[: 2 + i % 3] for i, frame in enumerate(frames)]
    np.testing.assert_array_equal(
        fitted.predict_proba(ragged), fitted.predict_proba([frame.to_numpy() for frame in ragged])
    )
    others = [frame[["b", "a"]] for frame in frames], [frame.rename(columns={"b": "c"}) for frame in frames]
    for given in others:
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(given)
        with refuses(ValueError, "X"):
            fitted.network_.predict(given)
        for call in (fitted.predict, fitted.network_.predict, lambda X: fitted.fit(X, Y)):
            with refuses(ValueError, "X[1]"):
                call([frames[0], *given[1:]])
    with refuses(ValueError, "X[3]"):
        fitted.predict([*frames[:3], *X[3:]])


def test_names_go_with_the_model(models, tmp_path):
    model = type(models[2][1])(2, epochs=1, random_state=0, budget=0).fit(LONG, Y)
    for again in (pickle.loads(pickle.dumps(model)), model.partial_fit(SERIES, Y)):
        assert again.network_.feature_names == ("a", "b")


def test_samples_stand_as_they_first_appear(models):
    turned = pd.concat([LONG.loc[[i]] for i in reversed(range(M))])
    model = models[2][1]
    with pytest.warns(UserWarning, match="feature names"):
        np.testing.assert_array_equal(model.predict_proba(turned), model.predict_proba(X[::-1]))
    due = type(model)(2, epochs=1, random_state=0, budget=0).fit(X[::-1], Y)
    for y in (Y, pd.Series(Y, index=range(M, 0, -1)), pd.Series(Y, index=range(M - 1, -1, -1))):
        fitted = type(model)(2, epochs=1, random_state=0, budget=0).fit(turned, y)
        np.testing.assert_array_equal(fitted.predict_proba(turned), due.predict_proba(X[::-1]))
    with refuses(ValueError, "y"):
        type(model)(2).fit(turned, pd.Series(Y))


def changed(i, j, cell):
    """Return the nested DataFrame with another cell."""
    other = SERIES.copy()
    other.iat[i, j] = cell
    return other


TWICE = LONG.set_axis(INDEX[[0, 0, *range(2, M * S)]])
NO_TIME = LONG.set_axis(pd.MultiIndex.from_tuples([(0, np.nan), *INDEX[1:]]))
REFUSED = {
    "a time twice": (TWICE, ValueError, "X: expected times that differ within a sample, got 0 twice in 0; X.to_numpy"),
    "no time": (NO_TIME, ValueError, "X: expected a sample and a time for each row"),
    "texts as times": (
        LONG.set_axis(pd.MultiIndex.from_product([range(M), ["8", "9", "10", "11", "12"]])),
        TypeError,
        "X: expected numbers or dates in the last level of the index",
    ),
    "no sample": (LONG.set_axis(NO_TIME.index.swaplevel()), ValueError, "X: expected a sample and a time for each row"),
    "dates": (
        LONG.assign(b=pd.Timestamp("2024")),
        TypeError,
        "X: expected numbers, got others in column 'b': datetime64",
    ),
    "texts": (LONG.assign(b="x"), TypeError, "X: expected numbers, got others in column 'b'"),
    "no series": (changed(1, 1, 3.0), TypeError, "X, row 1: expected a series in each cell, got 0 axes in cell 1"),
    "matrices": (changed(1, 0, X[0]), TypeError, "X, row 1: expected a series in each cell, got 2 axes in cell 0"),
    "lengths": (changed(2, 1, [1.0]), ValueError, "X, row 2: expected series of the same length, got 5 and 1 steps"),
    "times": (
        changed(0, 1, pd.Series(X[0, :, 1], range(1, 6))),
        ValueError,
        "X, row 0: expected series with the same index",
    ),
    "words": (changed(3, 0, [*"abcde"]), TypeError, "X, row 3: expected series of numbers"),
    "axes": (pd.Series([X, X]), ValueError, r"X, row 0: expected \(s,\) or \(s, e\), got 3 axes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(models, kind):
    given, error, words = REFUSED[kind]
    for model in models[2]:
        with pytest.raises(error, match=f"^{words}"):
            model.predict(given)


def test_missing_values_have_a_cure(models):
    with pytest.raises(ValueError, match="NaN"):
        type(models[2][1])(2).fit(LONG.convert_dtypes().replace(X[0, 0, 0], pd.NA), Y)
    with pytest.raises(ValueError, match=r"^validation X, row 0"):
        models[2][0].fit(X, Y, validation=(REFUSED["times"][0], Y), epochs=1)


def test_no_library_is_needed_to_look_at_others():
    """What merely has such names is left to those who know it."""
    cells = np.array([["a", 1.0], [np.float64(1), {"b": 2}]], object)
    for given in (
        SimpleNamespace(),
        [1],
        cells,
        cells[0],
        pd.DataFrame(cells),
        pd.DataFrame(cells[1:]),
        np.zeros((2, 2)),
        pd.DataFrame({"a": ["x"]}),
    ):
        assert as_sequences(given, "X") is None
    later = np.array([[1.0, 2.0], [np.zeros(3), np.zeros(3)]], object)
    assert as_sequences(later, "X") is None  # by the first row
    for given in (cells, cells[0]):
        assert not is_indexed(given)
