"""Readers of `.npz` archives and `.npy` files from untrusted sources.

They check the header of each array against the size of its bytes in the file before they read any array.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Container
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = ["Archive", "Header", "map_array"]

LONGEST = 10_000  # most bytes of an array's header, the default of `numpy.lib.format`
DENSEST = 1032  # the highest compression ratio of deflate, against decompression bombs
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack all at once, whatever the header claims
PLAIN = "biufSU"  # allowed kinds of dtype: booleans, numbers and strings
# A header as NumPy writes it, its white space apart. NumPy's parser would take any literal of Python, one that exhausts
# the parser's memory among them, and warn about some.
PLAIN_HEADER = re.compile(
    rb"\{(('descr':'[^'\\]+'|'fortran_order':(True|False)|'shape':\((-?\d{1,19}(,-?\d{1,19})*,?)?\))(,|(?=\}))){3}\}"
)
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """Shape and dtype of an array, the dtype in the machine's byte order."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Archive:
    """The arrays of numbers and strings in an open `.npz` file.

    Args:
        file: the open file; the caller keeps it open until the last `read`.
        names: the arrays to look at; others are ignored. None: all arrays.
        compressed: whether compressed arrays are allowed. If not, reading takes no more memory than the file has bytes.

    Attributes:
        headers: the shape and dtype of each array, by name.
        all_names: the names of all arrays in the file, ignored ones among them.

    Raises:
        ValueError: the file is no `.npz`, is empty or damaged, has a name twice, or a header claims more bytes than
            there are.
    """

    def __init__(self, file: BinaryIO, names: Container[str] | None = None, *, compressed: bool = True) -> None:
        """Read the names and headers of the arrays in an open .npz file; see the class for the arguments and errors."""
        if not file.seek(0, io.SEEK_END):
            raise ValueError("it is an empty file")
        try:
            self._zip = zipfile.ZipFile(file)
        except (MemoryError, SystemError):
            raise
        except Exception as error:  # zipfile, like zlib and NumPy's parser, fails in more ways than can be listed
            raise ValueError(f"it is no .npz archive, or only a part of one ({error})") from None
        self.headers: dict[str, Header] = {}
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.all_names = [name.removesuffix(".npy") for name in self._zip.namelist()]
        for member in self._zip.infolist():
            name = member.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            if member.compress_type not in METHODS:
                raise ValueError(f"{name} is compressed by method {member.compress_type}, expected deflate, as NumPy's")
            if name in self._members:
                raise ValueError(f"{name} is there twice")
            self._members[name] = member
        self._check_apart(file)
        if not compressed:
            self._check_stored(file.seek(0, io.SEEK_END))
        self.headers = {name: self._header(name) for name in self._members}

    def read(self, name: str) -> np.ndarray:
        """Return the array called `name`, in the machine's byte order; raise ValueError if it is damaged."""
        try:
            with self._zip.open(self._members[name]) as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
        except (MemoryError, SystemError):
            raise
        except Exception as error:
            raise ValueError(f"{name} is damaged ({error})") from None
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _check_apart(self, file: BinaryIO) -> None:
        """Raise ValueError if two members share bytes, as in a decompression bomb: few bytes for many large arrays."""
        end, size = 0, file.seek(0, io.SEEK_END)
        for member in sorted(self._zip.infolist(), key=lambda member: member.header_offset):
            file.seek(min(max(member.header_offset, 0), size))  # what a damaged file says may be below 0
            local = file.read(30)  # the header before the bytes of a member, with the lengths of its name and extras
            if member.header_offset < end or len(local) < 30:
                raise ValueError(f"{member.filename.removesuffix('.npy')} shares bytes with another array")
            end = member.header_offset + 30 + sum(struct.unpack("<HH", local[26:])) + member.compress_size

    def _check_stored(self, size: int) -> None:
        """Raise ValueError if a member is compressed, or all together claim more bytes than the file's `size`."""
        for name, member in self._members.items():
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise ValueError(f"{name} is compressed, expected it as it is")
        if sum(member.file_size for member in self._members.values()) > size:
            raise ValueError("its arrays are said to have more bytes than the file")

    def _header(self, name: str) -> Header:
        """Return the header of the array called `name`, checked against the number of its bytes."""
        member = self._members[name]
        if member.file_size > DENSEST * member.compress_size:
            got = f"{member.file_size} bytes, more than {member.compress_size} can hold"
            raise ValueError(f"{name} is said to have {got}")
        try:
            with self._zip.open(member) as stream:
                (shape, dtype), size = _read_header(stream)
        except (MemoryError, SystemError):
            raise
        except Exception as error:
            raise ValueError(f"{name} is no array, or damaged ({type(error).__name__}: {error})") from None
        if dtype.kind not in PLAIN or dtype.itemsize == 0:
            raise ValueError(f"{name}: expected a plain array of numbers or strings, got dtype {dtype}")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != member.file_size - size:
            raise ValueError(f"{name} is said to be {dtype} {shape}, which its {member.file_size} bytes are not")
        if 0 in shape and max(shape) > LONGEST:  # which costs no bytes, and a loop over it any time
            raise ValueError(f"{name} is said to be {dtype} {shape}, expected at most {LONGEST} rows of nothing")
        return Header(shape, dtype.newbyteorder("="))


def _read_header(file: BinaryIO) -> tuple[Header, int]:
    """Read the header of the array at the position of `file`; return it and its size in bytes. Any error if damaged."""
    start = io.BytesIO(file.read(LONGEST + 12))  # 12 bytes more for magic, version and length
    version = np.lib.format.read_magic(start)
    begin, size = start.tell(), 2 if version == (1, 0) else 4
    text = b" ".join(start.read(int.from_bytes(start.read(size), "little")).split())
    if not PLAIN_HEADER.fullmatch(re.sub(rb" ?([,:(){}]) ?", rb"\1", text)):
        raise ValueError("expected the header of numbers or strings")
    start.seek(begin)
    shape, _, dtype = READERS[version](start, max_header_size=LONGEST)
    return Header(shape, dtype), start.tell()


def map_array(path: str | os.PathLike[str]) -> np.memmap:
    """Return the array in an `.npy` file of numbers or strings, mapped into memory to be read.

    ValueError if it is no such file, or damaged. If the file becomes shorter while the array is in use, the system
    ends the process (SIGBUS), which Python cannot prevent.
    """
    if not os.path.getsize(path):
        raise ValueError("expected numbers or strings, as numpy.save has them, got an empty file")
    try:
        with open(path, "rb") as file:
            (_, dtype), _ = _read_header(file)
        with np.errstate(over="ignore"):  # a shape whose product is past 64 bits is refused
            array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, MemoryError, SystemError):
        raise
    except Exception as error:
        raise ValueError(f"expected numbers or strings, as numpy.save has them ({error})") from None
    if dtype.kind not in PLAIN or dtype.itemsize == 0:
        raise ValueError(f"expected numbers or strings, got dtype {dtype}")
    return array
