"""aeon's estimators over ours, by aeon's own checks; and containers that aeon knows."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("aeon", reason="aeon is not installed: pip install aeon")

from aeon.testing.estimator_checking import check_estimator
from aeon.utils.validation.collection import get_type

from cgru import aeon, sklearn

pytestmark = pytest.mark.filterwarnings("ignore")  # of aeon, and nothing is learned in two epochs
KINDS = [(aeon.GRUClassifier, sklearn.GRUClassifier), (aeon.GRURegressor, sklearn.GRURegressor)]
RNG = np.random.default_rng(0)
RAGGED = [RNG.standard_normal((4 + i % 3, 2)) for i in range(12)]
OPTIONS = {"units": 3, "epochs": 2, "random_state": 0, "budget": 0}


@pytest.mark.parametrize("cls", [pair[0] for pair in KINDS])
def test_checks(cls):
    found = check_estimator(cls)
    assert len(found) > 30
    assert set(found.values()) <= {"PASSED"} | {each for each in found.values() if each.startswith("SKIPPED")}


@pytest.mark.parametrize(("cls", "ours"), KINDS)
@pytest.mark.parametrize("kind", ["numpy3D", "np-list", "pd-multiindex", "df-list"])
def test_predictions_are_ours(cls, ours, kind):
    y = np.arange(12) % 2 if "Classifier" in cls.__name__ else np.linspace(-1, 1, 12)
    X = [x[:4] for x in RAGGED] if kind == "numpy3D" else RAGGED
    pd = pytest.importorskip("pandas", reason="no pandas")
    collection = {
        "numpy3D": lambda: np.stack(X).swapaxes(1, 2), "np-list": lambda: [x.T for x in X],
        "pd-multiindex": lambda: pd.concat([pd.DataFrame(x) for x in X], keys=range(12), names=["sample", "step"]),
        "df-list": lambda: [pd.DataFrame(x.T) for x in X],
    }[kind]()  # fmt: skip
    assert get_type(collection) == kind
    model = copy.deepcopy(cls(**OPTIONS).fit(collection, y)).clone().fit(collection, y)
    due = ours(**OPTIONS).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(collection), due.predict(X))
    if hasattr(due, "predict_proba"):
        np.testing.assert_array_equal(model.predict_proba(collection), due.predict_proba(X))


def test_a_subclass_is_the_same():
    class Mine(KINDS[0][0]):
        pass

    assert list(Mine(7).get_params()) == list(KINDS[0][0](7).get_params())
    assert Mine(7).clone().units == 7
    assert "self" not in vars(Mine(7))
    assert all(each["units"] == each["epochs"] == 2 for each in Mine.get_test_params())
