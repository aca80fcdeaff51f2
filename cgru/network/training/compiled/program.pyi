import numpy as np
from typing_extensions import Self, disjoint_base

from cgru.network.model import Model
from cgru.network.options import Settings
from cgru.network.training.compiled.batch import Source
from cgru.network.training.compiled.weights import Weights
from cgru.network.training.penalties import Penalties

@disjoint_base
class Program:
    weights: Weights
    size: int

    def __new__(
        cls,
        model: Model,
        e: int,
        steps: int,
        batch: tuple[int, int],
        scored: tuple[int, int],
        carries: bool,
        decays: bool,
        penalties: Penalties,
        settings: Settings,
        weights: Weights | None,
    ) -> Self: ...
    def epoch(
        self,
        source: Source,
        order: np.ndarray,
        size: int,
        truncate: int,
        rates: np.ndarray,
        sums: np.ndarray,
        begins: bool = True,
    ) -> tuple[float, int] | None: ...
    def blocks(self) -> list[int]: ...
    def scores(self, source: Source, size: int, sums: np.ndarray) -> None: ...
