"""What a fit tells of its epochs."""

from __future__ import annotations

from dataclasses import dataclass, field

from cgru.core.figures import figure

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch; `accuracy` is None without classes, `validation_*` without validation.

    Losses are without penalties.
    """

    epoch: int  # from 1
    epochs: int
    loss: float  # both averaged over the epoch's batches, each seen before its update
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float  # of the last step
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)  # those that the fit was given


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
    metrics = _column("metrics")

    def __repr__(self) -> str:
        """One line: loss and accuracy in the first and in the last epoch, and where validation was at its best."""
        if not self:
            return "History(no epochs)"
        parts = [f"{len(self)} epoch{'s' * (len(self) > 1)}"]
        for name in ("loss", "accuracy"):
            ends = [_shown(epoch, name) for epoch in (self[0], self[-1])]
            if ends[1]:
                parts.append(f"{name} {ends[0]} to {ends[1]}")
        best = self._best()
        if best is not None:
            scores = [_shown(self[best], "validation_loss"), _shown(self[best], "validation_accuracy")]
            parts.append(f"validation at best {', '.join(filter(None, scores))} in epoch {best + 1}")
        return f"History({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """A table of the first epoch, the last, and the one in which the validation loss was lowest."""
        rows = sorted({0, self._best() or 0, len(self) - 1}) if self else []
        columns = [name for name in _COLUMNS if any(_shown(self[i], name) for i in rows)]
        cells = [["epoch", *(name.replace("_", " ") for name in columns)]]
        cells += [[f"{i + 1}", *(_shown(self[i], name) for name in columns)] for i in rows]
        lines = ("".join(f"<td>{cell}</td>" for cell in line) for line in cells)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def _best(self) -> int | None:
        """The index of the epoch with the lowest validation loss; None where there was no validation."""
        losses = {i: loss for i, loss in enumerate(self.validation_loss) if loss is not None}
        return min(losses, key=losses.get, default=None)


_COLUMNS = ("loss", "accuracy", "validation_loss", "validation_accuracy")


def _shown(epoch: Epoch, name: str) -> str:
    value = getattr(epoch, name)
    if value is None:
        return ""
    return f"{value:.1%}" if name.endswith("accuracy") else figure(value)
