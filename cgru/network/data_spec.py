"""`DataSpec`: the inputs and targets that a network takes, for the functions that check data. k outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cgru import losses
from cgru.layers.layer import Layer
from cgru.losses import Function, Loss
from cgru.network import chain

__all__ = ["DataSpec"]


@dataclass(eq=False)
class DataSpec:
    """The inputs and targets that a network takes, at the time when this object is made.

    layers: all layers; the lowest decides whether X are tokens.
    steppers: the layers that change the number of steps.
    features: the number of features that X must have; None: any, or X are tokens.
    standardized: the number of features for which mean and scale were measured; None: there is no standardisation.
    loss: the loss; None: there is no head, and so no targets.
    feature_names, class_names, classes: as in `Network`.
    """

    layers: tuple[Layer, ...]
    steppers: tuple[Layer, ...]
    features: int | None
    standardized: int | None
    loss: str | Function | None
    feature_names: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    classes: np.ndarray | None

    @cached_property
    def per_step(self) -> bool:
        """Return whether targets are given for each step."""
        return chain.per_step(self.layers)

    @property
    def k(self) -> int:
        """Return the number of outputs."""
        return self.layers[-1].d["u"]

    @cached_property
    def judge(self) -> Loss:
        """Return the loss object, which checks the targets."""
        return losses.named(self.loss)

    @property
    def predicts_one_class(self) -> bool:
        """Return whether a prediction is one class label, not several binary outputs."""
        return self.judge.predicts_one_class(self.k)

    @property
    def timed(self) -> bool:
        """Return whether X needs the times of its steps, because the first layer was trained with times."""
        return "missing" in self.layers[0].reads and self.layers[0].unit is not None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the classes as texts: their names, else their values, else their indices."""
        if self.class_names is not None:
            return tuple(self.class_names)
        return tuple(map(str, range(max(2, self.k)) if self.classes is None else self.classes.tolist()))
