"""The file of results of `cgru many`, in JSON Lines: a header, then a record for each fit that is done.

Records are appended as fits end. After a kill at any moment at most the last line is incomplete.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from cgru.cli.arguments import RequestError

__all__ = ["Results", "job_key"]

TYPES = {"name": str, "place": dict, "scores": dict, "seconds": int | float, "error": str | None}  # of a record
SYNC_SECONDS = 1.0  # between calls of fsync
CURE = "another --results FILE keeps both"


def job_key(place: Mapping[str, Any]) -> str:
    """Return a key for a job from its place, independent of the order of the place's entries."""
    return json.dumps(place, sort_keys=True)


class Results:
    """The records in a file of results, which is created where there is none, and locked until it is closed.

    Args:
        path: the file.
        header: what results depend on: the version ("cgru"), and two dicts of values that must not change ("plan" and
            "data"). JSON types alone.

    Attributes:
        records: by `job_key`, each a dict of name, place, scores, seconds and error (a text, or None). Of a job that
            failed and was run again, the later one.

    An incomplete last line is cut off. RequestError where a line is no record, where the header differs, and where
    another command has locked the file; the file then stays as it is. OSError where it cannot be read or written.
    """

    def __init__(self, path: str, header: Mapping[str, Any]) -> None:
        """Open and lock the file, read its records, and write the `header` into a new one; see the class for errors."""
        self.path, self.records = path, {}
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o666)
        self._behind, self._over = False, threading.Event()
        self._syncing = threading.Thread(target=self._keep_synced, daemon=True)
        try:
            self._lock()
            self._load_records(json.loads(_as_json_line(header)))
        except BaseException:
            os.close(self._file)
            raise
        self._syncing.start()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._syncing.join()
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, a dict as in `records`. OSError where that fails; the file is then as before."""
        self.records[job_key(record["place"])] = dict(record)
        scores = {name: value if math.isfinite(value) else str(value) for name, value in record["scores"].items()}
        self._append({**record, "scores": scores})

    def _append(self, value: Mapping[str, Any]) -> None:
        """Append a value as one line of JSON; OSError where that fails, with the file as before."""
        line, end = _as_json_line(value), os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)
            raise OSError(error.errno, error.strerror, self.path) from error
        self._behind = True

    def _keep_synced(self) -> None:
        """Call fsync after new lines until the file is closed; the body of the thread `_syncing`."""
        while not self._over.wait(SYNC_SECONDS):
            if self._behind:
                self._behind = False
                with contextlib.suppress(OSError):  # if it persists, the fsync in __exit__ raises it
                    os.fsync(self._file)

    def _lock(self) -> None:
        """Lock the file; RequestError where another command has locked it."""
        try:
            import fcntl
        except ImportError:  # on Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(f"{self.path}: another command is writing to it") from None

    def _load_records(self, header: dict[str, Any]) -> None:
        """Read all records and cut off an incomplete last line; write the header into an empty file."""
        with open(self._file, "rb", closefd=False) as file:
            text = file.read()
        *lines, rest = text.split(b"\n")
        if not lines and not _as_json_line(header).startswith(rest):
            raise RequestError(f"{self.path}: line 1: expected the results of a plan, got {_excerpt(rest)}")
        if lines:
            self._check_header(lines[0], header)
        for number, line in enumerate(lines[1:], 2):
            record = _parse_record(line)
            if record is None:
                raise RequestError(f"{self.path}: line {number}: expected a result of the plan, got {_excerpt(line)}")
            known = self.records.get(job_key(record["place"]))
            if known is not None and known["error"] is None:
                due = "one result of each job"
                raise RequestError(f"{self.path}: line {number}: expected {due}, got two of {record['name']}")
            self.records[job_key(record["place"])] = record
        if rest:
            os.ftruncate(self._file, len(text) - len(rest))
        if not lines:
            self._append(header)

    def _check_header(self, line: bytes, header: dict[str, Any]) -> None:
        """Check that the first line is this header; RequestError names what differs."""
        found = _parse_object(line)
        if found.keys() != header.keys() or not all(isinstance(found[x], dict) for x in ("plan", "data")):
            raise RequestError(f"{self.path}: line 1: expected the results of a plan, got {_excerpt(line)}")
        if found["cgru"] != header["cgru"]:
            raise RequestError(f"{self.path} has results of cgru {found['cgru']}, this is {header['cgru']}; {CURE}")
        for what, other in (("data", "other data"), ("plan", "another plan")):
            changed = ", ".join(_differences(found[what], header[what], what == "plan"))
            if changed:
                raise RequestError(f"{self.path} has the results of {other}: {changed}; {CURE}")


def _differences(there: dict[str, Any], here: dict[str, Any], values: bool) -> Iterator[str]:
    """Yield a text for each entry that differs between two dicts, with both values if `values`."""
    for name in {**there, **here}:
        old, new = (json.dumps(each[name]) if name in each else "none" for each in (there, here))
        if old != new:
            yield f"{name} was {old}, is {new}" if values else f"{name} has changed"


def _as_json_line(value: Mapping[str, Any]) -> bytes:
    """Return a dict as a line of JSON."""
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _parse_object(line: bytes) -> dict[str, Any]:
    """Parse a line of JSON; return {} where it is no object."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(line)
        return value if isinstance(value, dict) else {}
    return {}


def _parse_record(line: bytes) -> dict[str, Any] | None:
    """Parse a record from a line; return None where it is none."""
    value = _parse_object(line)
    if value.keys() == TYPES.keys() and all(isinstance(value[name], kind) for name, kind in TYPES.items()):
        with contextlib.suppress(OverflowError, TypeError, ValueError):  # of an integer, it is beyond all floats
            scores = {name: float(score) for name, score in value["scores"].items()}
            return value | {"scores": scores, "seconds": float(value["seconds"])}
    return None


def _excerpt(line: bytes) -> str:
    """Return the beginning of a line, for an error."""
    text = line[:40].decode("utf-8", "replace")
    return repr(text + "..." if len(line) > 40 else text)
