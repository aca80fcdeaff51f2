"""The layer backward, compiled. What is given here is trusted: `cgru.GRU` checks it."""

from collections.abc import Mapping

import numpy as np

def run(
    p: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray | None],
    activations: tuple[tuple[int, float], ...],
    order: np.ndarray | None = None,
    running: np.ndarray | None = None,
    reverse: bool = False,
) -> None:
    """From `hp, hh, z, r` and `dA` (m, s, u) fill `dh_, dh, dhh_, dz_, dr_` (m, s, u) and `dX` (m, s, e).

    Where the reset gate is applied after the product, `c` is read and `dc` filled as well. All are zero past a sample's
    length.

    Args:
        p: the nine parameters; with `chh` as a tenth the reset gate is applied after the product.
        arrays: the caches, `zoneout` as in forward, and the outputs, last axis contiguous, and X for its shape; all of
            one dtype.
        activations: (code, alpha) of activate, activate_update and activate_reset, as `cgru.activations.code_of` gives.
        order: (m,) intp, the samples, longest first; None: every sample has every step.
        running: (s,) intp, how many of them have each step.
        reverse: whether the steps ran from the last to the first.
    """
