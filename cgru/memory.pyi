"""Memory for the compiled modules, all of it allocated by Python."""

import numpy as np
from numpy.typing import DTypeLike

class Workspace:
    """Room for so many numbers, for one compiled call."""

    def __init__(self, numbers: int, itemsize: int) -> None: ...

class Buffers:
    """Named arrays that are handed out again only while nobody else holds them or a view of them."""

    def __init__(self) -> None: ...
    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """The array of that name, contents unspecified: the last call's where it fits and is free, else a new one."""
