"""sktime's estimators over ours, by sktime's own checks; and containers that sktime knows."""

import copy

import numpy as np
import pytest
from helpers import some

pytest.importorskip("sktime", reason="sktime is not installed: pip install sktime")

from sktime.datatypes import convert_to
from sktime.utils.estimator_checks import check_estimator

from cgru import sklearn, sktime

pytestmark = pytest.mark.filterwarnings("ignore")  # of sktime, and nothing is learned in two epochs
KINDS = [(sktime.GRUClassifier, sklearn.GRUClassifier), (sktime.GRURegressor, sklearn.GRURegressor)]
RNG = np.random.default_rng(0)
RAGGED = [RNG.standard_normal((4 + i % 3, 2)) for i in range(12)]
OPTIONS = {"units": 3, "epochs": 2, "random_state": 0, "budget": 0}


@pytest.mark.parametrize("cls", some(1, [sktime.GRURegressor, sktime.GRUClassifier]))  # aeon asks as much of the other
def test_checks(cls):
    found = check_estimator(cls, verbose=False)
    assert len(found) > 100
    assert {name: each for name, each in found.items() if each != "PASSED"} == {}


@pytest.mark.parametrize(("cls", "ours"), KINDS)
@pytest.mark.parametrize("kind", ["numpy3D", "pd-multiindex", "nested_univ", "df-list"])
def test_predictions_are_ours(cls, ours, kind):
    y = np.arange(12) % 2 if "Classifier" in cls.__name__ else np.linspace(-1, 1, 12)
    X = [x[:4] for x in RAGGED] if kind == "numpy3D" else RAGGED
    pd = pytest.importorskip("pandas", reason="no pandas")
    panel = convert_to([pd.DataFrame(x, columns=["feature_0", "feature_1"]) for x in X], kind)
    model = copy.deepcopy(cls(**OPTIONS).fit(panel, y)).clone().fit(panel, y)
    due = ours(**OPTIONS).fit(X, y)
    np.testing.assert_array_equal(model.predict(panel), due.predict(X))
    if hasattr(due, "predict_proba"):
        np.testing.assert_array_equal(model.predict_proba(panel), due.predict_proba(X))
        assert model.score(panel, y) == due.score(X, y)
    if kind != "numpy3D":
        assert model.estimator_.feature_names_in_.tolist() == ["feature_0", "feature_1"]
