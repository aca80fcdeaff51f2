from typing import Any

import numpy as np
from typing_extensions import Self, disjoint_base

from cgru.variant import Variant

KINDS: dict[str, int]

def level() -> str: ...
def use_vnni(choice: bool | None = None) -> None: ...

@disjoint_base
class LowPrecisionGRU:
    e: int
    u: int
    weight_bytes: int
    level: str
    def __new__(
        cls,
        p: dict[str, Any],
        variant: Variant,
        codes: tuple[tuple[int, float], ...],
        kind: str,
        x_bound: float = 0.0,
        bound: float = 0.0,
        zoneout: float = 0.0,
    ) -> Self: ...
    def forward(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None,
        h0: np.ndarray | None,
        *,
        reverse: bool = False,
        every: bool = False,
        decay: np.ndarray | None = None,
        start: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray]: ...

@disjoint_base
class LowPrecisionLinear:
    n: int
    u: int
    def __new__(
        cls, W: np.ndarray, scale: np.ndarray | None, b: np.ndarray | None, kind: str, bound: float = 0.0
    ) -> Self: ...
    def outputs(self, X: np.ndarray) -> np.ndarray: ...
    def both(self, X: np.ndarray, activate: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]: ...
