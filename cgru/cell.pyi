"""`Cell`: one GRU for other compiled code."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.activations import Activation
from cgru.gru import GRU
from cgru.variant import Variant

class Cell:
    """The packed weights of one GRU layer, for the functions of `cgru.cell` that other compiled code calls.

    `from cgru.cell cimport ...` in Cython, `cgru.cell.__pyx_capi__` for Numba, ctypes and SciPy; their declarations, in
    cgru/cell.pxd, say what each does. They hold no GIL, allocate nothing and raise nothing.

    Args:
        source: a `GRU`, or a dict of its parameters (Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, for "reset_after" chh, for
            "layer_norm" chh, gU, gV), all float32 or float64. The arrays themselves are kept: `update_*` writes into
            them.
        variant: "reset_before", "reset_after" or "layer_norm", or a `cgru.variant.Variant`; None: "reset_before". With
            a layer it must be None, as must the arguments below `batch`: the layer says.
        batch: the most samples of one call.
        activate, activate_update, activate_reset: cgru's own or EpyNN's activations, or their names ("tanh"); None:
            tanh, sigmoid, sigmoid.
        se_hPars: their parameters `LRELU_alpha` and `ELU_alpha`.

    Attributes:
        p: the arrays that the cell was made from; copies of those that were not of its dtype, or lay at odd bytes, and
            then `update_*` answers CELL_READ_ONLY.
        address: of the cell, for foreign-function interfaces; it is valid as long as this object lives.
        variant: its name.
        dtype, batch, elements, units: what was given.

    Raises:
        TypeError: the source is neither a layer nor a dict, or its arrays are neither float32 nor float64.
        ValueError: an array has the wrong shape, an activation is a callable of one's own, which would need Python, or
            the layer cannot run a step at a time, or no memory could hold the rows of so many samples.
    """

    p: dict[str, np.ndarray]
    variant: str
    dtype: np.dtype

    def __init__(
        self,
        source: GRU | dict[str, np.ndarray],
        variant: Variant | str | None = None,
        *,
        batch: int = 1,
        activate: Activation | str | None = None,
        activate_update: Activation | str | None = None,
        activate_reset: Activation | str | None = None,
        se_hPars: Mapping[str, Any] | None = None,
    ) -> None: ...
    def refresh(self) -> None:
        """Pack the weights anew, after something else than `update_*` wrote into the arrays."""

    @property
    def address(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def elements(self) -> int: ...
    @property
    def units(self) -> int: ...
