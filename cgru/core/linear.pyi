import numpy as np

SOFTMAX_CODE: int

class Linear:
    n: int
    u: int

    def __init__(
        self, W: np.ndarray, b: np.ndarray | None = None, activate: tuple[int, float] | None = None
    ) -> None: ...
    def outputs(self, X: np.ndarray) -> np.ndarray: ...
    def both(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...
