"""`Steps`: how a layer uses and changes the steps of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["NEEDS", "PAST", "SEQUENCE", "STEP", "Steps"]

NEEDS = ("step", "past", "sequence", "series")


@dataclass(frozen=True)
class Steps:
    """How a layer uses the steps of a sequence, and how many steps it returns.

    Without arguments: an output step for each input step, made of that step and of states that are carried to it.

    Args:
        needs: what an output is made of. "step": its own steps, and states that are carried over. "past": several
            steps up to it, too. "sequence": steps after it, too. "series": statistics of all steps, which no other
            series may have a part in, so that no layer of the network may be `stateful`.
        stride: how many input steps make one output step, where `needs` is "step".
        count: returns how many steps come out of `lengths` steps, for (lengths, name): integers in an array, and what
            an error calls them; None: as many.
        reverses: whether the real steps of each sequence come out in reverse order.

    Raises:
        ValueError: `needs` is another word.

    Examples:
        >>> cgru.GRU(4).steps.piecewise, cgru.GRU(4, reverse=True).steps.causal
        (True, False)
        >>> cgru.Frames(4).steps.stride
        4
    """

    needs: str = "step"
    stride: int = 1
    count: Callable[[Any, str], np.ndarray] | None = None
    reverses: bool = False

    def __post_init__(self) -> None:
        if self.needs not in NEEDS:
            raise ValueError(f"needs: expected one of {', '.join(NEEDS)}, got {self.needs!r}")

    @property
    def piecewise(self) -> bool:
        """Return whether a sequence can be processed in pieces of a multiple of `stride` steps."""
        return self.needs == "step"

    @property
    def causal(self) -> bool:
        """Return whether the outputs can be computed step by step, without later steps."""
        return self.needs in ("step", "past")

    def lengths(self, lengths: ArrayLike, name: str = "lengths") -> np.ndarray:
        """Return the number of output steps of samples with `lengths` input steps.

        Args:
            lengths: the real steps of each sample, integers.
            name: what an error calls them.

        Returns:
            The real steps of each sample in the output, in the shape of `lengths`.

        Raises:
            TypeError, ValueError: these are no integers, or too few steps.

        Examples:
            >>> cgru.Frames(4, 2).steps.lengths(np.array([8, 5]))
            array([3, 2])
        """
        return lengths if self.count is None else self.count(lengths, name)

    def real(self, A: np.ndarray, lengths: np.ndarray | None) -> np.ndarray | None:
        """Return the number of real output steps of each sample.

        Args:
            A: the outputs.
            lengths: (m,) the real steps of the inputs; None: all.

        Returns:
            (m,) integers; None if all steps are real, or if A has no steps.

        Examples:
            >>> cgru.Frames(4, 2).steps.real(np.zeros((2, 3, 4)), np.array([8, 5]))
            array([3, 2])
        """
        return None if lengths is None or A.ndim < 3 else self.lengths(lengths)


STEP, PAST, SEQUENCE = Steps(), Steps("past"), Steps("sequence")
