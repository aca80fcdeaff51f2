"""What makes the updates of a fit and its scores: compiled in compiled/engine.py, in Python in loop.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.network.options import Settings
from cgru.network.training.penalties import NONE, Penalties

__all__ = ["OF_FIT", "Parts", "Updater"]

DEFAULTS = Settings()
OF_FIT = "fit"  # the place in `Model.carried` of what updates carry along within one fit alone
Parts = Iterable[tuple[Data, np.ndarray, list[float]]]  # samples, their order, what is done before each update


@dataclass(eq=False)
class Updater:
    """The updates of one fit of `model`, and its scores; `batch_size` 0: it is scored alone.

    `held_out` are the samples to score. The learning rates are multiplied by `slowed`. Parameters may be in the model
    only after `show` or `restore`, the optimizer's state, and what else updates carry along, after `leave` or
    `restore`. The parameters that are shown and scored may be others than those that are trained.
    """

    model: Model
    held_out: Data | None
    batch_size: int
    truncate: int | None
    penalties: Penalties = NONE
    slowed: float = 1.0
    settings: Settings = DEFAULTS

    def show(self) -> None:
        """Put the parameters, as they are now, into the model."""

    def leave(self) -> None:
        """Put the optimizer's state, as it is now, into the model."""

    def stands(self) -> bool:
        """Return whether it can go on after a callback that may have changed the model."""
        return True
