"""`GRUClassifier` and `GRURegressor` as sktime estimators, based on those of `cgru.sklearn` (`pip install sktime`).

X is any of sktime's panels, "numpy3D", "pd-multiindex", "nested_univ", "df-list", ..., of unlike lengths, too.
Parameters are those of `cgru.sklearn`, without `channels_first` and `warm_start`. `estimator_` is the fitted estimator
of `cgru.sklearn`, whose predictions these are, bit for bit.
"""

from __future__ import annotations

from typing import Any

try:
    from sktime.classification.base import BaseClassifier
    from sktime.regression.base import BaseRegressor
except ImportError:
    raise ImportError("cgru.sktime: sktime is missing: pip install sktime") from None

from cgru import sklearn
from cgru.estimators.delegate import Delegate

__all__ = ["GRUClassifier", "GRURegressor"]

TAGS: dict[str, Any] = {
    "authors": "the cgru developers",
    "maintainers": "the cgru developers",
    "X_inner_mtype": ["pd-multiindex", "numpy3D"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "capability:random_state": True,
    "property:randomness": "derandomized",
}


class GRUClassifier(Delegate, BaseClassifier, of=sklearn.GRUClassifier):
    """An sktime classifier that wraps `cgru.sklearn.GRUClassifier`.

    >>> from cgru.sktime import GRUClassifier
    >>> from sktime.datasets import load_unit_test
    >>> X, y = load_unit_test(split="train")
    >>> GRUClassifier(epochs=2, budget=0).fit(X, y).predict(X).shape
    (20,)
    """

    _tags = TAGS | {"capability:predict_proba": True}


class GRURegressor(Delegate, BaseRegressor, of=sklearn.GRURegressor):
    """An sktime regressor that wraps `cgru.sklearn.GRURegressor`.

    >>> from cgru.sktime import GRURegressor
    >>> from sktime.datasets import load_unit_test
    >>> X, y = load_unit_test(split="train")
    >>> GRURegressor(epochs=2, budget=0).fit(X, y.astype(float)).predict(X).shape
    (20,)
    """

    _tags = TAGS
