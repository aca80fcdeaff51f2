"""DataFrames that are no arrays: what the errors advise is what makes sequences of them."""

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import cgru

pd = pytest.importorskip("pandas", reason="no pandas")

pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned")
RNG = np.random.default_rng(0)
M, S, E = 12, 5, 2
X = RNG.standard_normal((M, S, E))
Y = np.arange(M) % 2
INDEX = pd.MultiIndex.from_product([range(M), range(S)], names=["case", "t"])
LONG = pd.DataFrame(X.reshape(-1, E), index=INDEX)
NESTED = {
    "Series": pd.DataFrame({f"v{j}": [pd.Series(X[i, :, j]) for i in range(M)] for j in range(E)}),
    "arrays": pd.DataFrame({f"v{j}": [X[i, :, j] for i in range(M)] for j in range(E)}),
    "tuples": pd.DataFrame({f"v{j}": [tuple(X[i, :, j]) for i in range(M)] for j in range(E)}),
    "array of Series": pd.DataFrame({f"v{j}": [pd.Series(X[i, :, j]) for i in range(M)] for j in range(E)}).to_numpy(),
    "Series of arrays": pd.Series(list(X), index=np.linspace(0, 1, M)),
    "one column": pd.Series(list(X[:, :, 0])),
    "MultiIndex": LONG,
    "no names": LONG.set_axis(pd.MultiIndex.from_tuples(INDEX.tolist())),
    "three levels": LONG.set_axis(pd.MultiIndex.from_tuples([(c // 3, c % 3, t) for c, t in INDEX], names=[*"abt"])),
    "Series of MultiIndex": LONG[0],
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
            found.append(GRUClassifier(2, epochs=1, random_state=0).fit(X[:, :, :e], Y))
    return found


@pytest.fixture(scope="module")
def models():
    return {e: made(e) for e in (1, 2)}


def advised(error, name="X"):
    """What the code in an error makes."""
    code = re.search(r"; (\[.*\]|cgru\..*\.X) is a list of arrays \(s, e\)", str(error))[1]
    return lambda given: eval(code, {"np": np, "cgru": cgru, name: given})


@pytest.mark.parametrize("kind", NESTED)
def test_what_is_advised_is_what_works(models, kind):
    given = NESTED[kind]
    if "MultiIndex" in kind or kind in ("no names", "three levels"):
        pytest.importorskip("narwhals", reason="no narwhals")
    e = 1 if kind in ("one column", "Series of MultiIndex") else E
    net, model = models[e]
    for call in (
        lambda x: net.predict(x),
        lambda x: net.evaluate(x, Y),
        lambda x: net.fit(x, Y, epochs=1),
        lambda x: model.predict_proba(x),
        lambda x: model.fit(x, Y),
    ):
        with pytest.raises(TypeError, match=r"^X: expected (numbers, got|a sequence for each sample, got)") as caught:
            call(given)
        sequences = advised(caught.value)(given)
        np.testing.assert_array_equal(np.stack(sequences), X[:, :, :e])
        call(sequences)
    with pytest.raises(TypeError, match=r"^validation X: expected"):
        net.fit(X[:, :, :e], Y, validation=(given, Y), epochs=1)


def test_polars():
    pl = pytest.importorskip("polars", reason="no polars")
    net, model = made()
    lists = pl.DataFrame({f"v{j}": X[:, :, j].tolist() for j in range(E)})
    for call in (net.predict, model.predict):
        with pytest.raises(TypeError, match=r"^X: expected numbers, got ndarray in the cells of a DataFrame") as caught:
            call(lists)
        np.testing.assert_array_equal(np.stack(advised(caught.value)(lists)), X)
        call([pl.DataFrame(x) for x in X])
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
    tokens = pd.DataFrame(RNG.integers(0, 3, (M, S)), index=named.index)
    embedded = cgru.Network([cgru.Embedding(3, 2), cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    embedded.fit(tokens, Y, epochs=1)
    with pytest.raises(TypeError, match="whose index has 2 levels"):
        embedded.predict(tokens[[0]])


def test_rows_of_steps_are_no_samples():
    """Of whatever length: an estimator of one element a step would take each row for a sample."""
    _, model = made(1)
    flat = type(model)(2, epochs=1).fit(X[:, :, 0], Y)
    for estimator in (model, flat):
        for given in (LONG, LONG[[0]]):
            with pytest.raises(TypeError, match=r"X.to_numpy\(\) where each row is a sample"):
                estimator.predict(given)


def test_no_library_is_needed_to_look_at_others():
    """What merely has such names is left to those who know it."""
    from cgru.core.dataframes import check_not_nested, is_indexed

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
        assert check_not_nested(given, "X") is None
        assert not is_indexed(given)
