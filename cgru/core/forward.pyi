"""The layer forward, compiled. What is given here is trusted: `cgru.GRU` checks it."""

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
    """Run the sequences X and fill those of `h, hh, z, r, c, hh_, z_, r_` (m, s, u) and `last` (m, u) that are there.

    Past a sample's length `h` is filled with its last state, in reverse with the first, the others with zero; where no
    `hh` is wanted, nothing is written there.

    Args:
        p: the nine parameters; with `chh` as a tenth the reset gate is applied after the product.
        arrays: X (m, s, e) and the outputs, last axis contiguous; `h0` (m, u) C-contiguous, or none; `zoneout`, a mask
            (m, s, u) or a rate (), or none. All of one dtype.
        activations: (code, alpha) of activate, activate_update and activate_reset, as `cgru.activations.code_of` gives.
        order: (m,) intp, the samples, longest first; None: every sample has every step.
        running: (s,) intp, how many of them have each step.
        reverse: whether the steps run from the last to the first.
    """
