"""`Delegate`: the part of another package's estimator that hands its work to an estimator of `cgru.sklearn`."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["Delegate", "set_init"]

LEFT_OUT = ("channels_first", "missing", "warm_start")  # the package itself decides on them


def set_init(cls: type, parameters: list[inspect.Parameter]) -> None:
    """Give a class an `__init__` that takes these parameters, and sets attributes of the same names.

    scikit-learn and others take the names of parameters from its signature.
    """
    signature = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters])

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        bound = signature.bind(self, *args, **given)
        bound.apply_defaults()
        vars(self).update(list(bound.arguments.items())[1:])
        super(cls, self).__init__()

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[misc]


class Delegate:
    """A mixin that takes the parameters of an estimator of `cgru.sklearn`, and fits and predicts by one.

    `class GRUClassifier(Delegate, BaseClassifier, of=cgru.sklearn.GRUClassifier, n_jobs=1)`: what stands behind `of`
    replaces defaults. The base class checks and converts the data, as channels (m, e, s).

    Attributes:
        estimator_: the fitted estimator of `cgru.sklearn`.
    """

    def __init_subclass__(cls, of: Any = None, **defaults: Any) -> None:
        """Give the class an `__init__` with the parameters of `of`, where scikit-learn and others look for them."""
        super().__init_subclass__()
        if of is None:  # a subclass of such an estimator
            return
        whole = inspect.signature(of)
        cls._of = of
        set_init(
            cls,
            [
                parameter.replace(default=defaults.get(name, parameter.default))
                for name, parameter in whole.parameters.items()
                if name not in LEFT_OUT
            ],
        )

    def _fit(self, X: Any, y: Any) -> None:
        """Fit an estimator of `cgru.sklearn` with the same parameters."""
        self.estimator_ = self._of(**self.get_params(), channels_first=True).fit(X, y)

    def _predict(self, X: Any) -> Any:
        """Return the predictions (m,) of the fitted estimator."""
        return self.estimator_.predict(X)

    def _predict_proba(self, X: Any) -> Any:
        """Return the probabilities (m, k) of the fitted estimator, of a classifier."""
        return self.estimator_.predict_proba(X)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return parameters of small estimators, by which the package's own checks test the class."""
        quick = {"units": 2, "epochs": 2, "random_state": 0}
        return [{**quick, "inputs": "raw"}, {**quick, "inputs": "difference", "pool": "last"}]

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return the same under aeon's name for it."""
        return cls.get_test_params(parameter_set)
