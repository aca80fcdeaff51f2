from collections.abc import Mapping
from typing import Any

import numpy as np
from typing_extensions import disjoint_base

from cgru.activations import Activation
from cgru.gru import GRU
from cgru.variant import Variant

__all__ = ["Cell"]

@disjoint_base
class Cell:
    def __init__(
        self,
        source: GRU | dict[str, np.ndarray],
        variant: Variant | str | None = None,
        *,
        batch: int = 1,
        threads: int = 1,
        activate: Activation | str | None = None,
        activate_update: Activation | str | None = None,
        activate_reset: Activation | str | None = None,
        se_hPars: Mapping[str, Any] | None = None,
    ) -> None: ...
    def refresh(self) -> None: ...
    @property
    def p(self) -> dict[str, np.ndarray]: ...
    @property
    def variant(self) -> str: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def address(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def features(self) -> int: ...
    @property
    def units(self) -> int: ...
