"""The history of a fit: losses, scores and other figures of each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cgru.network.presentation import Table, figure, table_as_html

__all__ = ["LEFT_OUT_IN_A_ROW", "RETURNS", "SCORES", "Epoch", "History", "Updates", "score_text"]

LEFT_OUT_IN_A_ROW = 10  # so many updates in a row without a finite gradient count as a divergence
RETURNS = 5  # how often a diverging fit may go back to the best parameters; the next divergence ends it with these
SCORES = ("loss", "accuracy", "validation_loss", "validation_accuracy")  # fields of an `Epoch`


class Updates(NamedTuple):
    """The mean loss and accuracy of one epoch's batches, each measured before its update."""

    loss: float  # after a divergence the loss of the batch at which it happened
    accuracy: float | None  # None: there are no classes
    failed: int | None = None  # the index of the batch at which the fit diverged; None: it did not
    skipped: int = 0  # updates that were left out because a gradient was not finite
    row: int = 0  # how many updates in a row, up to the last one, were left out


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch: losses, scores, learning rate and time.

    Losses are without penalties.

    Attributes:
        epoch: its number, from 1.
        epochs: the number of epochs that the fit is to run.
        loss: the mean over the epoch's batches, each taken before its update.
        accuracy: likewise; None without classes.
        validation_loss: the loss of the samples to validate with; None without validation.
        validation_accuracy: their accuracy, likewise.
        learning_rate: the learning rate of the last step.
        seconds: the duration of the epoch.
        metrics: the values of your metrics, by name.
        skipped: the number of updates that were left out, because a gradient was not finite.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
        >>> epoch = net.fit(np.ones((8, 5, 3)), np.zeros(8), epochs=2)[-1]
        >>> epoch.epoch, epoch.accuracy, epoch.skipped
        (2, None, 0)
    """

    epoch: int  # its number, from 1
    epochs: int
    loss: float  # mean over the epoch's batches, each taken before its update; `accuracy` likewise
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float  # of the last step
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)  # values of the user's metrics, by name
    skipped: int = 0  # updates that were left out, because a gradient was not finite


def _column(name: str) -> property:
    """Return a property that lists the field `name` of all epochs."""
    return property(lambda history: [getattr(epoch, name) for epoch in history], doc=f"`{name}` of each epoch.")


class DivergenceError(RuntimeError):
    """Raised if training diverges: a loss or parameter is not finite, or too many updates in a row were skipped.

    Args:
        reason: what was not finite, and where.
        epoch: the number of the epoch.

    Attributes:
        reason, epoch: as passed.
        cure: what may help, in words.

    Examples:
        >>> error = cgru.DivergenceError("the loss is inf at epoch 2, batch 1", 2)
        >>> error.epoch, error.cure
        (2, 'a lower learning rate or clip_norm may help')
    """

    cure = "a lower learning rate or clip_norm may help"

    def __init__(self, reason: str, epoch: int) -> None:
        super().__init__(reason, epoch)  # which a pickle passes on
        self.reason, self.epoch = reason, epoch

    def __str__(self) -> str:
        return f"{self.reason}: training diverged; {self.cure}"


class History(list[Epoch]):
    """The list of a fit's epochs, such as `history[-1].loss`; each field is also a list over epochs, `history.loss`.

    Attributes:
        returns: with `recover` in `Network.fit`, a pair for each divergence: the number of the epoch that diverged, and
            the number of the epoch whose parameters were restored, 0 for the start of the fit.
        nothing_learned: why the network is no better than constant outputs, such as the most frequent class, or why
            `shrink` made its outputs constant; "" where it is better, or where that was not compared: with batches,
            data in files, stateful layers or your own loss.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
        >>> history = net.fit(np.ones((8, 5, 3)), np.zeros(8), epochs=2)
        >>> history[0].loss == history.loss[0], len(history.seconds), history.returns
        (True, 2, ())
    """

    returns: tuple[tuple[int, int], ...] = ()
    nothing_learned: str = ""

    loss = _column("loss")
    accuracy = _column("accuracy")
    validation_loss = _column("validation_loss")
    validation_accuracy = _column("validation_accuracy")
    learning_rate = _column("learning_rate")
    seconds = _column("seconds")
    metrics = _column("metrics")

    @property
    def skipped(self) -> int:
        """Return how many updates were skipped in all epochs."""
        return sum(epoch.skipped for epoch in self)

    def problems(self) -> str:
        """Describe problems of the fit: skipped updates, divergence, or that nothing was learned.

        Returns:
            The text; "" where nothing went wrong.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
            >>> net.fit(np.ones((8, 5, 3)), np.zeros(8), epochs=2).problems()
            ''
        """
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
        if self.nothing_learned:
            parts.append(f"nothing was learned: {self.nothing_learned}")
        return "; ".join(parts)

    def __repr__(self) -> str:
        """Return one line with loss and accuracy of the first and last epoch, and the best validation scores."""
        if not self:
            return "History(no epochs)"
        parts = [f"{len(self)} epoch{'s' * (len(self) > 1)}"]
        for name in ("loss", "accuracy"):
            ends = [score_text(epoch, name) for epoch in (self[0], self[-1])]
            if ends[1]:
                parts.append(f"{name} {ends[0]} to {ends[1]}")
        best = self.best()
        if best is not None:
            scores = ", ".join(filter(None, (score_text(self[best], name) for name in SCORES[2:])))
            parts.append(f"validation at best {scores} in epoch {best + 1}")
        return f"History({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Return an HTML table of the first and the last epoch, and of that with the lowest validation loss."""
        rows = sorted({0, self.best() or 0, len(self) - 1}) if self else []
        columns = [name for name in SCORES if any(score_text(self[i], name) for i in rows)]
        cells = [[f"{i + 1}", *(score_text(self[i], name) for name in columns)] for i in rows]
        return table_as_html(Table("", ["epoch", *(name.replace("_", " ") for name in columns)], cells))

    def kept(self) -> Epoch | None:
        """Return the epoch whose parameters the network has after the fit.

        Returns:
            The epoch; None where the parameters are those at the start of the fit.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
            >>> net.fit(np.ones((8, 5, 3)), np.zeros(8), epochs=2).kept().epoch  # without validation the last one
            2
        """
        best = self.best()
        if best is not None:
            return self[best]
        if len(self.returns) <= RETURNS:
            return self[-1] if self else None
        return next((epoch for epoch in self if epoch.epoch == self.returns[-1][1]), None)

    def best(self) -> int | None:
        """Return the index of the epoch with the lowest validation loss.

        Returns:
            The index; None where there was no validation.

        Examples:
            >>> X, y = np.ones((8, 5, 3)), np.zeros(8)
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
            >>> history = net.fit(X, y, epochs=2, validation=(X, y))
            >>> history.validation_loss[history.best()] == min(history.validation_loss)
            True
        """
        losses = {i: loss for i, loss in enumerate(self.validation_loss) if loss is not None}
        return min(losses, key=losses.get, default=None)


def score_text(epoch: Epoch, name: str, before: str = "", digits: int = 4) -> str:
    """Return the score `name` of an epoch as text, preceded by `before`; "" if it is None."""
    value = getattr(epoch, name)
    if value is None:
        return ""
    return before + (f"{value:.1%}" if name.endswith("accuracy") else figure(value, digits))
