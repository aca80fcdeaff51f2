import numpy as np
from typing_extensions import Self, disjoint_base

@disjoint_base
class Source:
    def __new__(
        cls,
        X: np.ndarray,
        y: np.ndarray,
        lengths: np.ndarray | None,
        per_step: bool,
        mean: np.ndarray | None,
        scale: np.ndarray | None,
        weights: np.ndarray | None = None,
        decay: np.ndarray | None = None,
    ) -> Self: ...
