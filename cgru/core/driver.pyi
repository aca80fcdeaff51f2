from typing import Literal

import numpy as np

from cgru.variant import Variant

def run(
    direction: Literal["forward", "backward"],
    variant: Variant,
    p: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray | None],
    activations: tuple[tuple[int, float], ...],
    order: np.ndarray | None = None,
    running: np.ndarray | None = None,
    *,
    reverse: bool = False,
    fresh: bool = False,
    padded: bool = True,
    loose: bool = False,
) -> None: ...
