"""What a fit tells of its epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cgru.core.formatting import figure

__all__ = ["LEFT_OUT_IN_A_ROW", "RETURNS", "SCORES", "Epoch", "History", "Updates", "shown"]

LEFT_OUT_IN_A_ROW = 10  # updates without a finite gradient that are a divergence
RETURNS = 5  # to the best parameters, before a fit that diverges once more ends with them
SCORES = ("loss", "accuracy", "validation_loss", "validation_accuracy")  # of an epoch


class Updates(NamedTuple):
    """What came of the updates of an epoch; the mean loss and the accuracy are those before each update."""

    loss: float  # the one that is not finite, where there is one
    accuracy: float | None  # None: there are no classes
    failed: int | None = None  # the batch, from 0, at which the fit diverged
    skipped: int = 0  # updates that were left out, whose gradients were not finite
    row: int = 0  # how many of these the last updates are


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
    skipped: int = 0  # updates that were left out, because a gradient was not finite


def _column(name: str) -> property:
    return property(lambda history: [getattr(epoch, name) for epoch in history], doc=f"`{name}` of each epoch.")


class History(list[Epoch]):
    """The epochs of a fit, `history[-1].loss`; and each of their entries as a list over the epochs, `history.loss`.

    `skipped` is the number of updates that were left out, because a gradient was not finite. With `recover` in
    `Network.fit`, `returns` has for each divergence the epoch in which it was and the one whose parameters it went back
    to, 0 for those at the start.
    """

    returns: tuple[tuple[int, int], ...] = ()

    loss = _column("loss")
    accuracy = _column("accuracy")
    validation_loss = _column("validation_loss")
    validation_accuracy = _column("validation_accuracy")
    learning_rate = _column("learning_rate")
    seconds = _column("seconds")
    metrics = _column("metrics")

    @property
    def skipped(self) -> int:
        """How many updates were left out in all epochs."""
        return sum(epoch.skipped for epoch in self)

    def problems(self) -> str:
        """Say in words how many updates were left out and how often the fit diverged; "" where neither happened."""
        parts = []
        if self.skipped:
            updates = "an update was" if self.skipped == 1 else f"{self.skipped} updates were"
            parts.append(f"{updates} left out, because a gradient was not finite")
        if self.returns:
            numbers = list(dict.fromkeys(number for number, _ in self.returns))
            epochs = f"epoch{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
            went, rate = min(len(self.returns), RETURNS), 2 ** min(len(self.returns), RETURNS)
            times = "once" if went == 1 else f"{went} times"
            back = f"it went back {times} to the best parameters so far, and on at 1/{rate} of the learning rate"
            parts.append(f"training diverged in {epochs}; {back} in the end")
        if len(self.returns) > RETURNS:
            best = self.returns[-1][1]
            kept = f"those of epoch {best}" if best else "those at its start"
            parts.append(f"it diverged again and ended with the best parameters, {kept}; try a lower learning rate")
        return "; ".join(parts)

    def __repr__(self) -> str:
        """One line: loss and accuracy in the first and in the last epoch, and where validation was at its best."""
        if not self:
            return "History(no epochs)"
        parts = [f"{len(self)} epoch{'s' * (len(self) > 1)}"]
        for name in ("loss", "accuracy"):
            ends = [shown(epoch, name) for epoch in (self[0], self[-1])]
            if ends[1]:
                parts.append(f"{name} {ends[0]} to {ends[1]}")
        best = self.best()
        if best is not None:
            scores = ", ".join(filter(None, (shown(self[best], name) for name in SCORES[2:])))
            parts.append(f"validation at best {scores} in epoch {best + 1}")
        return f"History({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """A table of the first epoch, the last, and the one in which the validation loss was lowest."""
        rows = sorted({0, self.best() or 0, len(self) - 1}) if self else []
        columns = [name for name in SCORES if any(shown(self[i], name) for i in rows)]
        cells = [["epoch", *(name.replace("_", " ") for name in columns)]]
        cells += [[f"{i + 1}", *(shown(self[i], name) for name in columns)] for i in rows]
        lines = ("".join(f"<td>{cell}</td>" for cell in line) for line in cells)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def kept(self) -> Epoch | None:
        """Return the epoch whose parameters the fit left in place; None where they are those at its start."""
        best = self.best()
        if best is not None:
            return self[best]
        if len(self.returns) <= RETURNS:
            return self[-1] if self else None
        return next((epoch for epoch in self if epoch.epoch == self.returns[-1][1]), None)

    def best(self) -> int | None:
        """Return the index of the epoch with the lowest validation loss; None where there was no validation."""
        losses = {i: loss for i, loss in enumerate(self.validation_loss) if loss is not None}
        return min(losses, key=losses.get, default=None)


def shown(epoch: Epoch, name: str, before: str = "", digits: int = 4) -> str:
    """Return one of the `SCORES` of an epoch as text, behind what stands `before` it; "" where it is None."""
    value = getattr(epoch, name)
    if value is None:
        return ""
    return before + (f"{value:.1%}" if name.endswith("accuracy") else figure(value, digits))
