import numpy as np

def run(
    p: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray | None],
    activations: tuple[tuple[int, float], ...],
    order: np.ndarray | None = None,
    running: np.ndarray | None = None,
    reverse: bool = False,
) -> None: ...
