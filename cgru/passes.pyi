from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import disjoint_base

from cgru.core.memory import Buffers
from cgru.gru import GRU
from cgru.variant import Variant

__all__ = ["GRUPass", "Pass", "predict"]

@disjoint_base
class Pass:
    A: np.ndarray

    def __init__(self, A: np.ndarray, fc: dict[str, np.ndarray]) -> None: ...
    @property
    def fc(self) -> dict[str, np.ndarray]: ...
    @property
    def bc(self) -> dict[str, np.ndarray]: ...
    @bc.setter
    def bc(self, value: dict[str, np.ndarray]) -> None: ...
    def backward(self, dA: ArrayLike) -> np.ndarray | None: ...
    def gradients(self, each: bool = False) -> dict[str, np.ndarray]: ...

@disjoint_base
class GRUPass(Pass):
    variant: Variant
    state: np.ndarray
    lengths: np.ndarray | None
    masks: dict[str, np.ndarray]
    reverse: bool
    begins: np.ndarray | bool

    def __init__(
        self,
        layer: GRU,
        X: np.ndarray,
        lengths: np.ndarray | None,
        h0: np.ndarray | None,
        p: dict[str, np.ndarray],
        codes: tuple[tuple[int, float], ...] | None,
        masks: dict[str, np.ndarray],
        *,
        reverse: bool = False,
        preactivations: bool = False,
        compiled: bool = True,
        clamp: dict[str, np.ndarray] | None = None,
        buffers: Buffers | None = None,
        later: list[Any] | None = None,
        dg_shape: tuple[int, ...] = (),
    ) -> None: ...
    @property
    def layer(self) -> GRU | None: ...
    @property
    def dh0(self) -> np.ndarray: ...
    def ready(self) -> tuple[dict[str, np.ndarray], bool]: ...
    def shown(self) -> dict[str, np.ndarray]: ...
    def backward(
        self,
        dA: ArrayLike | None = None,
        dstate: ArrayLike | None = None,
        into: dict[str, np.ndarray] | None = None,
        *,
        later: list[Any] | None = None,
    ) -> np.ndarray: ...
    def gradients(self, each: bool = False) -> dict[str, np.ndarray]: ...

def predict(
    X: np.ndarray,
    lengths: np.ndarray | None,
    h0: np.ndarray | None,
    p: dict[str, np.ndarray],
    variant: Variant,
    codes: tuple[tuple[int, float], ...],
    reverse: bool = False,
    every: bool = False,
    last: bool = True,
    zoneout: Any = None,
    later: list[Any] | None = None,
    decay: np.ndarray | None = None,
    packed: Any = None,
) -> tuple[np.ndarray | None, np.ndarray | None]: ...
def run_later(later: list[Any]) -> None: ...
