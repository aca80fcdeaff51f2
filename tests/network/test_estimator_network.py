"""Estimators where a network is expected: in reports and plots."""

import numpy as np
import pytest
from helpers import assert_all_same, refuses

import cgru
from cgru.network.estimator_network import network_of, with_inputs

pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn.exceptions import NotFittedError

from cgru.sklearn import GRUClassifier, GRURegressor

FEW = {"units": 3, "epochs": 2, "budget": 0, "random_state": 0}
X = np.random.default_rng(0).standard_normal((30, 6, 2))
LENGTHS = np.arange(30) % 5 + 2
RAGGED = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
Y = np.where(X[:, 0, 0] > 0, "up", "down")

pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned:sklearn.exceptions.ConvergenceWarning")


def fitted(**options):
    return GRUClassifier(**FEW, **options).fit(RAGGED, Y)


def test_what_is_no_estimator_comes_back():
    net = cgru.Network([cgru.GRU(2), cgru.Dense(1)])
    assert network_of(net) is net
    assert network_of(3) == 3
    assert with_inputs(net, "X", "lengths") == (net, "X", "lengths")


def test_inputs_are_those_of_the_network():
    model = GRUClassifier(**FEW, channels_first=True).fit([x.T for x in RAGGED], Y)
    net, inputs, lengths = with_inputs(model, [x.T for x in RAGGED], None)
    assert net is model.network_ is network_of(model)
    np.testing.assert_array_equal(net.predict(inputs, lengths), model._nets[0].predict(X, LENGTHS))
    np.testing.assert_array_equal(inputs.lengths, LENGTHS)


def test_a_report_of_a_classifier():
    model = fitted()
    report = cgru.report(model, RAGGED, Y)
    assert report == cgru.report(model.network_, X, Y, LENGTHS)
    assert report["accuracy"] == pytest.approx(model.score(RAGGED, Y))
    assert [each["name"] for each in report["classes"]] == ["down", "up"]


@pytest.mark.parametrize("k", [0, 2])
def test_a_report_of_a_regressor_is_in_the_units_of_y(k):
    y = 1e3 + 50 * X[:, 0, : k or 1]
    y = y if k else y[:, 0]
    model = GRURegressor(**FEW).fit(X[:, :, 0], y)
    report = cgru.report(model, X[:, :, 0], y)
    due = np.sqrt(np.mean((model.predict(X[:, :, 0]) - y) ** 2, axis=0))
    np.testing.assert_allclose([each["rmse"] for each in report["outputs"]], due.ravel(), rtol=1e-4)


def test_a_table_is_taken_as_the_estimator_takes_it():
    pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    table = pd.DataFrame(X[:, :, 0]).rename(columns=str)
    model = GRURegressor(**FEW).fit(table, pd.Series(X[:, 1, 1], name="load"))
    report = cgru.report(model, table, pd.Series(X[:, 1, 1]))
    assert report["outputs"][0]["name"] == "load"


def test_plots():
    pytest.importorskip("matplotlib", reason="no matplotlib")
    model = fitted()
    curves = [cgru.plot.curve(each).axes[0].lines for each in (model, model.network_)]
    assert [line.get_ydata().tolist() for line in curves[0]] == [line.get_ydata().tolist() for line in curves[1]]
    due = cgru.plot.gates(model.network_, X, LENGTHS)
    assert_all_same(due, cgru.plot.gates(model, RAGGED))
    assert cgru.plot.states(model, RAGGED, sample=1).axes[0].get_title() == "forward"


def test_what_is_refused():
    one = fitted()
    several = fitted(ensemble=2)
    error = "^network_: expected one network, got an ensemble of 2; networks_ has them$"
    with pytest.raises(ValueError, match=error):
        cgru.report(several, RAGGED, Y)
    with refuses(ValueError, "lengths"):
        cgru.report(one, X, Y, LENGTHS)
    with pytest.raises(ValueError, match=r"^X has 1 features, but GRUClassifier is expecting 2"):
        cgru.report(one, X[:, :, :1], Y)
    with pytest.raises(NotFittedError):
        cgru.report(GRUClassifier(), X, Y)
    with pytest.raises(NotFittedError):
        network_of(GRUClassifier())
    with pytest.raises(ValueError, match=error):
        network_of(several)
    with pytest.raises(ValueError, match="left"):
        cgru.report(one, RAGGED, ["left", *Y[1:]])
