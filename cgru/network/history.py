"""What a fit tells of its epochs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch; `accuracy` is None without classes, `validation_*` without validation."""

    epoch: int  # from 1
    epochs: int
    loss: float  # both averaged over the epoch's batches, each seen before its update
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float  # of the last step
    seconds: float


def _column(name: str) -> property:
    return property(lambda history: [getattr(epoch, name) for epoch in history], doc=f"`{name}` of each epoch.")


class History(list[Epoch]):
    """The epochs of a fit, `history[-1].loss`; and each of their entries as a list over the epochs, `history.loss`."""

    loss = _column("loss")
    accuracy = _column("accuracy")
    validation_loss = _column("validation_loss")
    validation_accuracy = _column("validation_accuracy")
    learning_rate = _column("learning_rate")
    seconds = _column("seconds")
