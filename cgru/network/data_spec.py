"""What samples and targets a network takes, as far as whoever checks them has to know it. k outputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgru import losses
from cgru.layers.layer import Layer
from cgru.losses import Function, Loss
from cgru.network import chain

__all__ = ["DataSpec"]


class DataSpec(NamedTuple):
    """What samples and targets a network takes at one time.

    layers: of which the lowest knows tokens; steppers: those of them that change the number of steps.
    elements: e that X must have; None: any, or X are tokens.
    standardized: e that its mean and scale were measured for; None: it has none.
    loss: None: there is no head, and so no targets.
    feature_names, class_names, classes: as `Network` has them.
    """

    layers: tuple[Layer, ...]
    steppers: tuple[Layer, ...]
    elements: int | None
    standardized: int | None
    loss: str | Function | None
    feature_names: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    classes: np.ndarray | None

    @property
    def per_step(self) -> bool:
        """Whether there is a target for each step."""
        return chain.per_step(self.layers)

    @property
    def k(self) -> int:
        """How many outputs there are."""
        return self.layers[-1].d["u"]

    @property
    def judge(self) -> Loss:
        """The loss as the object that checks targets."""
        return losses.named(self.loss)

    @property
    def predicts_one_class(self) -> bool:
        """Whether each output says one class, which can have a name."""
        return self.judge.predicts_one_class(self.k)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in words: by their names, else their values, else their places."""
        if self.class_names is not None:
            return tuple(self.class_names)
        return tuple(map(str, range(max(2, self.k)) if self.classes is None else self.classes.tolist()))
