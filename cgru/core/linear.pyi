import numpy as np
from typing_extensions import Self, disjoint_base

SOFTMAX_CODE: int

@disjoint_base
class Linear:
    n: int
    u: int

    def __new__(cls, W: np.ndarray, b: np.ndarray | None = None, activate: tuple[int, float] | None = None) -> Self: ...
    def outputs(self, X: np.ndarray) -> np.ndarray: ...
    def both(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...
