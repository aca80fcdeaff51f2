import numpy as np
from numpy.typing import ArrayLike

class Pass:
    A: np.ndarray
    fc: dict[str, np.ndarray]
    bc: dict[str, np.ndarray]

    def __init__(self, A: np.ndarray, fc: dict[str, np.ndarray]) -> None: ...
    def backward(self, dA: ArrayLike) -> np.ndarray | None: ...
    def gradients(self) -> dict[str, np.ndarray]: ...
