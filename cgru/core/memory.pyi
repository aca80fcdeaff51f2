"""Memory for the compiled modules, all of it allocated by Python."""

import numpy as np

class Workspace:
    """Room for so many numbers, for one compiled call."""

    def __init__(self, numbers: int, itemsize: int) -> None: ...

class Buffers:
    """Named arrays that are handed out again only while nobody else holds them or a view of them."""

    def __init__(self) -> None: ...
    def take(self, name: str, m: int, s: int, n: int, dtype: np.dtype) -> np.ndarray:
        """The array (m, s, n) of that name, contents unspecified: the last call's where it fits and is free."""

    def take_states(self, name: str, m: int, s: int, n: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """An array (m, s + 1, n), as `take` gives it, and its views (m, s, n) without the last and the first step."""

    def take_gradients(self, e: int, u: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """Zeros for dUhh, dUz, dUr (e, u), dVhh, dVz, dVr (u, u) and dbhh, dbz, dbr (1, u)."""

def views(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]: ...
def show(arrays: dict[str, np.ndarray], cache: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None: ...
