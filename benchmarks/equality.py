"""Equal work: what a rival computes is compared with ours before it is timed."""

from __future__ import annotations

import numpy as np

from benchmarks.cases import Case
from benchmarks.rivals import Cgru, Rival
from benchmarks.shapes import Shape

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}  # of the largest value


def check(rival: type[Rival], shape: Shape, dtype: str, work: str) -> None:
    """Raise RuntimeError where `rival` does not do the work that we do.

    Inference: the states. Training: dL/dX, and the states after an update large enough to be seen in them. A stream:
    the states of three steps. Where the reset gate comes after the product the two variants agree if Vhh is diagonal,
    (r * hp) Vhh = r * (hp Vhh), which holds up to the update.
    """
    m, s, _, u, _ = shape
    after = rival.variant == "reset-after"
    diagonal = np.diag(np.random.default_rng(1).uniform(-0.9, 0.9, u)).astype(dtype)
    case = Case(shape, dtype, lrate=1e-3 / (m * s), p={"Vhh": diagonal} if after else {})
    ours, theirs = Cgru(case), rival(case)
    calls = {"inference": ["inference"], "training": ["training", "inference"], "step": ["step"] * 3}[work]
    for call in calls[:1] if after and work == "training" else calls:
        mine, other = ours.call(call)(), rival.array(theirs.call(call)())
        if mine.shape != other.shape:
            raise RuntimeError(f"{rival.name} returns {other.shape} and cgru {mine.shape} in {call} at ({shape})")
        difference = np.abs(mine - other).max() / np.abs(other).max()
        if not difference <= TOLERANCE[dtype]:
            raise RuntimeError(f"{rival.name} and cgru differ by {difference:.1e} in {call} at ({shape}) in {dtype}")
