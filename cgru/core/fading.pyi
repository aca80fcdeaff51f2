import numpy as np
from typing_extensions import Self, disjoint_base

@disjoint_base
class Faded:
    def __new__(
        cls,
        X: np.ndarray,
        W: np.ndarray,
        b: np.ndarray,
        times: np.ndarray | None,
        lengths: np.ndarray | None,
        anew: np.ndarray | None,
        seen: tuple[np.ndarray, ...],
        unit: float,
    ) -> Self: ...
    @property
    def fc(self) -> dict[str, np.ndarray]: ...
    @property
    def seen(self) -> tuple[np.ndarray, ...]: ...
    def backward(self, dxm: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...
