"""The layer forward, compiled. What is given here is trusted: `cgru.GRU` checks it."""

from collections.abc import Mapping

import numpy as np

def run(
    p: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray | None],
    activations: tuple[tuple[int, float], ...],
    order: np.ndarray | None = None,
    running: np.ndarray | None = None,
) -> None:
    """Run the sequences X and fill those of `h, hh, z, r, hh_, z_, r_` (m, s, u) and `last` (m, u) that are there.

    Args:
        p: the nine parameters.
        arrays: X (m, s, e) and the outputs, last axis contiguous; `h0` (m, u) C-contiguous, or none. All of one dtype.
        activations: (code, alpha) of activate, activate_update and activate_reset, as `cgru.activations.code_of` gives.
        order: (m,) intp, the samples, longest first; None: every sample has every step.
        running: (s,) intp, how many of them have each step.
    """
