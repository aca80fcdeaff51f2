"""What every trainer is."""

from __future__ import annotations

import numpy as np

from benchmarks.updates.kinds import Job


class Trainer:
    """A library that trains one job's network from the job's first parameters on.

        first()  one update, on the first m samples -> the loss before it
        epoch()  an epoch of shuffled batches, finished; it is this that is timed

    Attributes:
        updates: how many updates `epoch` makes.
        reset_after: where the reset gate stands in the only cell that it has.
    """

    name: str
    version: str
    reset_after = False

    def __init__(self, job: Job) -> None:
        self.job, self.updates = job, job.batches

    def first(self) -> float:
        raise NotImplementedError

    def epoch(self) -> None:
        raise NotImplementedError

    def parameters(self) -> dict[str, np.ndarray]:
        """As they are now, under the keys of `cgru.Network.parameters`."""
        raise NotImplementedError
