import numpy as np

from cgru.variant import Variant

def linear_gradients(X: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...
def run(
    variant: Variant,
    g: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray],
    order: np.ndarray | None = None,
    running: np.ndarray | None = None,
    reverse: bool = False,
    fresh: bool = False,
    anew: bool = False,
    by_units: bool = False,
    each: bool = False,
) -> None: ...
