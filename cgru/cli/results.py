"""The results of a plan as they come: a file of JSON Lines, whole but for its last line after a kill at any moment.

The first line, the header, says what the others are the results of.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from cgru.cli.arguments import RequestError

__all__ = ["Results", "identity"]

KINDS = {"name": str, "place": dict, "scores": dict, "seconds": int | float, "error": str | None}  # of a record
SYNCED = 1.0  # seconds that the disk may be behind
CURE = "another --results FILE keeps both"


def identity(place: Mapping[str, Any]) -> str:
    """What a job is known by: its place, in whatever order it is told."""
    return json.dumps(place, sort_keys=True)


class Results:
    """The records in the file at `path`, which is made where there is none; this command's alone until it is closed.

    Args:
        path: the file.
        header: what results depend on: the version as "cgru", and under "plan" and "data" what is compared by name.
            As JSON has it.

    Attributes:
        records: by their `identity`, each a dict of name, place, scores, seconds and error (a text, or None). Of a job
            that failed and was run again, the later one.

    An unfinished last line is cut off. RequestError for anything else that is no record under this header, which is
    then left as it is, and where another command has the file; OSError where it cannot be read or written.
    """

    def __init__(self, path: str, header: Mapping[str, Any]) -> None:
        self.path, self.records = path, {}
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o666)
        self._behind, self._over = False, threading.Event()
        self._syncing = threading.Thread(target=self._keep_synced, daemon=True)
        try:
            self._lock()
            self._read(json.loads(_line(header)))
        except BaseException:
            os.close(self._file)
            raise
        self._syncing.start()

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._syncing.join()
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, a dict as in `records`. OSError where it cannot be written; no part of it then stays."""
        self.records[identity(record["place"])] = dict(record)
        scores = {name: value if math.isfinite(value) else str(value) for name, value in record["scores"].items()}
        self._append({**record, "scores": scores})

    def _append(self, value: Mapping[str, Any]) -> None:
        line, end = _line(value), os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)
            raise OSError(error.errno, error.strerror, self.path) from error
        self._behind = True

    def _keep_synced(self) -> None:
        while not self._over.wait(SYNCED):
            if self._behind:
                self._behind = False
                with contextlib.suppress(OSError):  # told at the end, where it lasts
                    os.fsync(self._file)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # on Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(f"{self.path}: another command is writing to it") from None

    def _read(self, header: dict[str, Any]) -> None:
        with open(self._file, "rb", closefd=False) as file:
            text = file.read()
        *lines, rest = text.split(b"\n")
        if not lines and not _line(header).startswith(rest):
            raise RequestError(f"{self.path}: line 1: expected the results of a plan, got {_shown(rest)}")
        if lines:
            self._compare(lines[0], header)
        for number, line in enumerate(lines[1:], 2):
            record = _record(line)
            if record is None:
                raise RequestError(f"{self.path}: line {number}: expected a result of the plan, got {_shown(line)}")
            known = self.records.get(identity(record["place"]))
            if known is not None and known["error"] is None:
                due = "one result of each job"
                raise RequestError(f"{self.path}: line {number}: expected {due}, got two of {record['name']}")
            self.records[identity(record["place"])] = record
        if rest:
            os.ftruncate(self._file, len(text) - len(rest))
        if not lines:
            self._append(header)

    def _compare(self, line: bytes, header: dict[str, Any]) -> None:
        found = _object(line)
        if found.keys() != header.keys() or not all(isinstance(found[x], dict) for x in ("plan", "data")):
            raise RequestError(f"{self.path}: line 1: expected the results of a plan, got {_shown(line)}")
        if found["cgru"] != header["cgru"]:
            raise RequestError(f"{self.path} has results of cgru {found['cgru']}, this is {header['cgru']}; {CURE}")
        for what, other in (("data", "other data"), ("plan", "another plan")):
            changed = ", ".join(_changes(found[what], header[what], what == "plan"))
            if changed:
                raise RequestError(f"{self.path} has the results of {other}: {changed}; {CURE}")


def _changes(there: dict[str, Any], here: dict[str, Any], values: bool) -> Iterator[str]:
    """What is not the same, by its name and, where they say something, with its `values`."""
    for name in {**there, **here}:
        old, new = (json.dumps(each[name]) if name in each else "none" for each in (there, here))
        if old != new:
            yield f"{name} was {old}, is {new}" if values else f"{name} has changed"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line, {} where it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(line)
        return value if isinstance(value, dict) else {}
    return {}


def _record(line: bytes) -> dict[str, Any] | None:
    """The record in a line, None where it is none."""
    value = _object(line)
    if value.keys() == KINDS.keys() and all(isinstance(value[name], kind) for name, kind in KINDS.items()):
        with contextlib.suppress(TypeError, ValueError):
            return value | {"scores": {name: float(score) for name, score in value["scores"].items()}}
    return None


def _shown(line: bytes) -> str:
    """The beginning of a line."""
    text = line[:40].decode("utf-8", "replace")
    return repr(text + "..." if len(line) > 40 else text)
