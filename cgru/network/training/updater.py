"""`Updater`: the interface of the training loops, the compiled one in engine.py and the Python one in loop.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cgru.network.data.training_data import Data
from cgru.network.model import Model
from cgru.network.options import Penalties, Settings

__all__ = ["OF_FIT", "Parts", "Updater"]

DEFAULTS, NONE = Settings(), Penalties({}, {})
OF_FIT = "fit"  # the entry of `Model.carried` for the state that lasts one fit only: running means of the parameters
Parts = Iterable[tuple[Data, np.ndarray, list[float]]]  # samples, their order, share of the fit done before each update


@dataclass(eq=False)
class Updater:
    """The interface of a training loop, which updates and scores a `model`; `batch_size` 0: only scores.

    `held_out` are the samples to score. `slowed` multiplies the learning rates. The model need have the current
    parameters only after `store_parameters` or `restore`, and the current optimizer's state only after
    `store_optimizer_state` or `restore`. With `settings.average`, the running means of the parameters are shown and
    scored, and not the trained parameters.
    """

    model: Model
    held_out: Data | None
    batch_size: int
    truncate: int | None
    penalties: Penalties = NONE
    slowed: float = 1.0
    settings: Settings = DEFAULTS

    def store_parameters(self) -> None:
        """Copy the current parameters into the model."""

    def store_optimizer_state(self) -> None:
        """Copy the optimizer's current state into the model."""

    def is_valid(self) -> bool:
        """Return whether the updater still fits the model, which a callback may have changed."""
        return True
