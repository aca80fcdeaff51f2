"""`StoredWeights`: how a layer stores its weights as int8 codes with scales, or as bfloat16.

The equations are those of quantized_reference.py. A layer asks its `weights` wherever it plans a product; all other
numbers of such a layer are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cgru.core.low_precision import level
from cgru.initializers import xavier
from cgru.optimizers import check_number
from cgru.quantized import quantized_reference as reference

__all__ = ["KINDS", "StoredWeights", "check_numbers"]

Arrays = dict[str, np.ndarray]
Headers = dict[str, tuple[tuple[int, ...], np.dtype]]

KINDS = {"int8": np.dtype(np.int8), "bfloat16": np.dtype(np.uint16)}  # kind -> dtype of the array
FLOAT32 = np.dtype(np.float32)
MAX_ROWS = (2**31 - 1) // 127**2  # so many products of two codes fit a 32-bit sum
MATRICES = "UVWE"  # what the names of weights begin with
TABLE = "E"  # the one whose rows have the scales, since rows of it are read
EXPONENT = np.uint16(0x7F80)  # the exponent bits of bfloat16, all set where a number is not finite
TRAINING = {"initialization": xavier, "dropout": 0.0, "recurrent_dropout": 0.0, "masks": None}  # options that end


def check_numbers(array: np.ndarray, name: str) -> None:
    """Raise ValueError for an int8 code below -127, which could overflow sums, or a bfloat16 that is not finite."""
    if array.dtype == KINDS["int8"] and (array < -127).any():
        raise ValueError(f"{name}: expected codes from -127 to 127, got -128")
    if array.dtype == KINDS["bfloat16"] and ((array & EXPONENT) == EXPONENT).any():
        raise ValueError(f"{name}: expected finite numbers in bfloat16, got NaN or infinity")


class StoredWeights(str):
    """How a layer stores its weights: "int8" or "bfloat16". Such a layer predicts, but cannot be trained.

    Args:
        kind: the string itself.
        x_bound: the largest |x| that calibration met; 0: each row is measured.
    """

    x_bound: float
    _last_packed: dict[bool, tuple[Any, ...]]

    def __new__(cls, kind: str = "int8", x_bound: float = 0.0) -> StoredWeights:
        """Check and store the arguments."""
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"weights: expected one of {', '.join(KINDS)}, got {kind!r}")
        check_number(x_bound, "x_bound", below=float(np.finfo(np.float32).max))
        made = super().__new__(cls, kind)
        made.x_bound, made._last_packed = float(x_bound), {}
        return made

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_last_packed": {}}

    def apply(self, layer: Any) -> Any:
        """Convert the weights of a layer to this form, now and whenever they are set; return the layer.

        ValueError if the layer cannot have them.
        """
        for cell in layer.cells:
            if cell.variant.layer_norm or cell.stateful:
                raise ValueError(f"weights: expected floats in {layer!r}, which has no quantised form")
        for name, value in TRAINING.items():
            if hasattr(layer, name):
                setattr(layer, name, value)
        p = [self.stored(name, array) for name, array in layer.p.items()]
        layer.p.clear()
        layer.weights, layer.trainable, layer.dtype = self, False, FLOAT32
        for stored in p:
            layer.p.update(stored)
        layer.packing()  # raises for an activation that is not compiled
        return layer

    def arrays(self, arrays: Headers) -> Headers:
        """Return the stored shape and dtype of each array, from those of floats; ValueError for too many int8 rows."""
        found: Headers = {}
        for name, (shape, dtype) in arrays.items():
            if name[0] not in MATRICES:
                found[name] = shape, dtype
                continue
            found[name] = shape, KINDS[self]
            if self == "int8":
                if name != TABLE and (shape[0] or 0) > MAX_ROWS:
                    raise ValueError(
                        f"{name}: expected at most {MAX_ROWS} rows of int8, whose sums have 32 bits, got {shape[0]}; "
                        'weights="bfloat16" takes more'
                    )
                found[f"scale_{name}"] = ((shape[0], 1) if name == TABLE else (1, shape[1])), FLOAT32
        return found

    def packed(self, layer: Any, samples: int = 1) -> Any:
        """Return the layer's packed weights, made by its `packing`, for a call of so many `samples`.

        They are packed at the first call, and again if `p` has another array or a setting changed. bfloat16 saves the
        time in which a step waits for its weights; several samples share that, and multiply faster by float32.
        """
        widens = samples > 1 and self == "bfloat16"
        layer.make(np.empty(0))  # raises without parameters
        pack, *settings = layer.packing()
        key = (*map(id, layer.p.values()), level(), self.x_bound, settings)
        if widens not in self._last_packed or self._last_packed[widens][0] != key:
            for name, (shape, dtype) in layer.arrays(layer.features).items():
                array = layer.p.get(name)
                if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
                    got = type(array).__name__ if not isinstance(array, np.ndarray) else f"{array.dtype} {array.shape}"
                    raise ValueError(f"p[{name!r}]: expected {dtype} {shape}, got {got}")
                check_numbers(array, f"p[{name!r}]")
                array.flags.writeable = False  # since a later change would not reach the packed weights
            # The arrays are kept alive, so that no other array gets their ids, which are in the key.
            p = layer.p
            if widens:
                p = {name: reference.dequantize(W) if name[0] in MATRICES else W for name, W in p.items()}
            self._last_packed[widens] = key, pack(p, self.x_bound, *settings), tuple(layer.p.values())
        return self._last_packed[widens][1]

    @staticmethod
    def rows(p: Arrays, x_bound: float) -> Callable[[Any], np.ndarray]:
        """Return a function that returns rows of the table in `p` as floats."""
        table, scale = p[TABLE], p.get(f"scale_{TABLE}")
        return lambda rows: reference.dequantize(table[rows], None if scale is None else scale[rows])

    def refuse(self, layer: Any) -> Any:
        """Raise RuntimeError, since the layer cannot backpropagate."""
        raise RuntimeError(
            f"{type(layer).__name__}: expected predict, as {self} weights neither train nor keep caches; the "
            "network that they were made of does"
        )

    def stored(self, name: str, W: np.ndarray) -> Arrays:
        """Return a parameter in its stored form, as a dict of arrays: its codes or bits, and its scales."""
        if name[0] not in MATRICES:
            return {name: np.array(W, FLOAT32)}
        if self == "bfloat16":
            return {name: reference.bfloat16(W)}
        codes, scale = reference.quantize_columns(W.T if name == TABLE else W)
        if name == TABLE:
            codes, scale = np.ascontiguousarray(codes.T), scale.T.copy()
        return {name: codes, f"scale_{name}": scale}
