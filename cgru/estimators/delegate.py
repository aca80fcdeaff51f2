"""`Delegate`: a mixin with which sktime and aeon estimators delegate their work to those of `cgru.sklearn`."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["Delegate", "set_init"]

LEFT_OUT = ("channels_first", "missing", "warm_start")  # the package itself decides on them


def set_init(cls: type, parameters: list[inspect.Parameter]) -> None:
    """Give a class an `__init__` that takes these parameters and stores them as attributes.

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
    """A mixin for estimators of other packages: it has the parameters of a `cgru.sklearn` estimator and uses one.

    `class GRUClassifier(Delegate, BaseClassifier, of=cgru.sklearn.GRUClassifier, n_jobs=1)`: what stands behind `of`
    replaces defaults. The base class checks and converts the data, as channels (m, e, s).

    Attributes:
        estimator_: the fitted estimator of `cgru.sklearn`.
    """

    def __init_subclass__(cls, of: Any = None, **defaults: Any) -> None:
        """Give the class an `__init__` with the parameters of the estimator class `of`."""
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
        """Fit a `cgru.sklearn` estimator with the same parameters."""
        self.estimator_ = self._of(**self.get_params(), channels_first=True).fit(X, y)

    def _predict(self, X: Any) -> Any:
        """Return the predictions (m,) of the fitted estimator for X."""
        return self.estimator_.predict(X)

    def _predict_proba(self, X: Any) -> Any:
        """Return the class probabilities (m, k) of the fitted classifier for X."""
        return self.estimator_.predict_proba(X)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return parameters of small estimators, with which sktime's or aeon's own checks test the class."""
        quick = {"units": 2, "epochs": 2, "random_state": 0}
        return [{**quick, "inputs": "raw"}, {**quick, "inputs": "difference", "pool": "last"}]

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return what `get_test_params` returns; aeon calls it by this name."""
        return cls.get_test_params(parameter_set)
