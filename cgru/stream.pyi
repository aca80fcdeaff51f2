"""`Stream`: a network that is given one step at a time."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.gru import GRU
from cgru.network import Network

class Stream:
    """A layer or a network that is given one step at a time and carries its state.

    The weights are those of the moment, packed once; `refresh()` takes them anew. All memory is taken here: a step of
    an array of the layers' dtype allocates nothing (one that must be cast, standardised or looked up first does). One
    thread at a time.

    Args:
        source: a `GRU` or a `Network` with parameters: any stack of GRU layers, an `Embedding` before it, `Dense`
            layers upon it, `Pool("last")`; dropout is off.
        batch: m, how many samples run beside each other.

    Attributes:
        source, batch: as given; dtype: of the layers.
        elements: e of a step's input; units: k of its output.
        state: (m, u) after the last step, or a list of these where there are several GRU layers; read as copies, and
            set.

    Raises:
        TypeError, ValueError, RuntimeError: the source cannot run a step at a time, for the reason given (a reverse
            direction, a pool over all steps, a callable of one's own), or has no parameters.
    """

    source: GRU | Network
    batch: int
    elements: int
    units: int
    dtype: np.dtype

    def __init__(self, source: GRU | Network, batch: int = 1) -> None: ...
    @property
    def state(self) -> np.ndarray | list[np.ndarray]: ...
    @state.setter
    def state(self, value: Any) -> None: ...
    def step(self, x: ArrayLike) -> np.ndarray:
        """The output (m, k) for one step x (m, e), or (k,) for (e,) of a single sample; raw, as for `predict`.

        Tokens of an embedding are integers (m,), or one integer. The array that is returned is written anew by the next
        step: copy what is to be kept. TypeError or ValueError for another x, which leaves the state as it was.
        """

    def reset(self) -> None:
        """Begin a new sequence: all states zero."""

    def refresh(self) -> None:
        """Take the weights as they now are; the states stay.

        ValueError where the layers have other sizes by now, and what the making of a Stream raises; nothing is changed.
        """
