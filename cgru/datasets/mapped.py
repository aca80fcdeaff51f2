"""A data set as a folder of `.npy` files, each an array, which are mapped into memory and stay where they are."""

from __future__ import annotations

import os
from collections.abc import Container

import numpy as np

__all__ = ["Folder"]

PLAIN = "biufSU"  # kinds of dtype: booleans, numbers and strings


class Folder:
    """The arrays of a folder, `x.npy`, `y.npy` and so on, as `cgru.files.Archive` has those of an `.npz`.

    Args:
        path: the folder.
        names: of the arrays; other files are not looked at.

    Attributes:
        headers: the arrays, whose numbers are in the files, by name.
        there: the names of all `.npy` files, these and others.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no `.npy` of plain numbers or strings, or x is not (m, s, e): what lies there otherwise would
            have to be copied.
    """

    def __init__(self, path: str | os.PathLike[str], names: Container[str]) -> None:
        self.headers: dict[str, np.ndarray] = {}
        self.there = sorted(file for file in os.listdir(path) if file.endswith(".npy"))
        for file in self.there:
            name = file.removesuffix(".npy")
            if name not in names:
                continue
            if not os.path.getsize(os.path.join(path, file)):
                raise ValueError(f"{file}: expected numbers or strings, as numpy.save has them, got an empty file")
            try:
                array = np.lib.format.open_memmap(os.path.join(path, file), mode="r")
            except (ValueError, EOFError) as error:
                raise ValueError(f"{file}: expected numbers or strings, as numpy.save has them ({error})") from None
            if array.dtype.kind not in PLAIN or array.dtype.itemsize == 0:
                raise ValueError(f"{file}: expected numbers or strings, got dtype {array.dtype}")
            if "x" in name.lower().split("_") and array.ndim != 3:
                raise ValueError(f"{file}: expected shape (m, s, e), got {array.shape}")
            self.headers[name] = array

    def read(self, name: str) -> np.ndarray:
        """The array of that name."""
        return self.headers[name]
