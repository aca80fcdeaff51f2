"""`Store`: a folder with the results of finished jobs, so that an interrupted call can go on from there.

Goal: a job that is done is not run again, and a changed job is never answered by an old result.

A result is a pickle in a file of its own, written under another name and renamed. The file is named after a digest of
all that the result depends on: the version of cgru, the data, and the job. `pickle` reduces the job to bytes, with
three changes: an array is its digest; a function is its code, defaults, closure and the global values that it names; a
class of the user likewise. Pickle alone would write the name of a function, and an edited `make` would be answered by
old results. A digest of whole source files was rejected: a script with one more seed would run everything again.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pickle
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from cgru._version import __version__
from cgru.many.jobs import Job, Result, SharedData

__all__ = ["Store", "read_result", "write_result"]


def write_result(path: str, data: bytes) -> None:
    """Write a pickled result to `path`, whole or not at all."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    with open(temporary, "xb") as file:
        file.write(data)
    os.replace(temporary, path)


def read_result(path: str) -> Result | None:
    """Return the result in a file; None if there is no file, or it was only partly written."""
    try:
        with open(path, "rb") as file:
            return pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError):
        return None


class Store:
    """A folder of results, made where there is none; `data` are those that all jobs share, as arrays."""

    def __init__(self, folder: str | os.PathLike[str], data: SharedData, keep: bool) -> None:
        """Make the folder, and the digest of everything that all results depend on: data, settings, versions."""
        os.makedirs(folder, exist_ok=True)
        self.folder = os.path.abspath(folder)
        self.digests: dict[int, tuple[Any, bytes]] = {}  # by id, arrays that jobs share and their digests
        self.common = self._digest((__version__, sys.version_info[:2], np.__version__, keep, vars(data)))

    def path(self, job: Job) -> str:
        """Return the path of the file for a job's result."""
        own = {name: value for name, value in vars(job).items() if name not in ("name", "samples")}
        data = self.common if job.samples.X is None else vars(job.samples.opened())
        return os.path.join(self.folder, self._digest((self.common, data, own)).hex())

    def _digest(self, value: Any) -> bytes:
        """Return the SHA-256 digest of a value's content; TypeError if it cannot be pickled."""
        buffer = io.BytesIO()
        try:
            _Content(buffer, self.digests).dump(value)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            cure = "give the job what can be pickled, or leave store out"
            raise TypeError(f"store: expected jobs whose content can be read, got: {error}; {cure}") from error
        return hashlib.sha256(buffer.getvalue()).digest()


class _Content(pickle.Pickler):
    """A pickler that writes the code of functions and classes instead of their names."""

    def __init__(self, file: io.BytesIO, digests: dict[int, tuple[Any, bytes]]) -> None:
        super().__init__(file)
        self.digests = digests

    def reducer_override(self, value: Any) -> Any:
        """Return the content to pickle in place of a value; NotImplemented for pickle's default."""
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            if id(value) not in self.digests:
                content = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
                self.digests[id(value)] = value, hashlib.sha256(content).digest()
            return tuple, ((str(value.dtype), value.shape, self.digests[id(value)][1]),)
        if isinstance(value, ModuleType):
            return tuple, ((value.__name__, str(getattr(value, "__version__", ""))),)
        if isinstance(value, CodeType):
            return tuple, ((value.co_code, value.co_names, value.co_consts),)
        if not isinstance(value, FunctionType | type) or not _is_of_user(value.__module__):
            return NotImplemented
        if isinstance(value, type):
            own = vars(value) | {"__firstlineno__": 0}  # from Python 3.13 on a class knows its line, which may move
            parts = [getattr(each, "__func__", getattr(each, "fget", each)) for each in own.values()]
            simple = FunctionType | str | int | float | tuple | list | dict
            state: Any = (value.__bases__, [each for each in parts if isinstance(each, simple)])
        else:
            named = {name: value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__}
            closure = [cell.cell_contents for cell in value.__closure__ or ()]
            state = (value.__code__, value.__defaults__, value.__kwdefaults__, closure, named)
        return str, (value.__qualname__,), state  # the state last: pickle then knows the value that names itself


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a code object and its inner functions use."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


@functools.cache
def _is_of_user(module: str) -> bool:
    """Return whether a module is the user's own, neither cgru nor installed: its code may change between calls."""
    root, path = module.partition(".")[0], getattr(sys.modules.get(module), "__file__", None) or ""
    return not (root in {"cgru"} | sys.stdlib_module_names or "site-packages" in path or "dist-packages" in path)
