"""`GRUClassifier` and `GRURegressor` as aeon estimators, based on those of `cgru.sklearn` (`pip install aeon`).

X is any of aeon's collections: (m, e, s), a list of arrays (e, s_i), "df-list", "pd-multiindex", ...

Parameters are those of `cgru.sklearn`, without `channels_first` and `warm_start`. `estimator_` is the fitted estimator
of `cgru.sklearn`, whose predictions these are, bit for bit.
"""

from __future__ import annotations

from typing import Any

try:
    from aeon.classification.base import BaseClassifier
    from aeon.regression.base import BaseRegressor
except ImportError:
    raise ImportError("cgru.aeon: aeon is missing: pip install aeon") from None

from cgru import sklearn
from cgru.estimators.delegate import Delegate

__all__ = ["GRUClassifier", "GRURegressor"]

TAGS: dict[str, Any] = {
    "X_inner_type": ["numpy3D", "np-list"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "capability:multithreading": True,
    "algorithm_type": "deeplearning",
}


class GRUClassifier(Delegate, BaseClassifier, of=sklearn.GRUClassifier, n_jobs=1):
    """An aeon classifier that wraps `cgru.sklearn.GRUClassifier`."""

    _tags = TAGS


class GRURegressor(Delegate, BaseRegressor, of=sklearn.GRURegressor, n_jobs=1):
    """An aeon regressor that wraps `cgru.sklearn.GRURegressor`."""

    _tags = TAGS
