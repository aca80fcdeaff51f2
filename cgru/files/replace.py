"""Atomic writing: a file is replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

__all__ = ["atomic_write", "check_writable"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file next to `path` for writing, and rename it to `path` when the block ends without error.

    So nobody ever finds a half-written file at `path`. The new file keeps the mode of the one that it replaces, and a
    link stays a link. A process that is killed meanwhile leaves the temporary file, `.cgru-....tmp`.

    Errors are those of `check_writable`, and OSError for any later failure, always with `path` as its `filename`.
    """
    target, mode = check_writable(path)
    temporary = ""
    try:
        temporary = os.path.join(os.path.dirname(target), f".cgru-{os.urandom(8).hex()}.tmp")
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def check_writable(path: Any, argument: str = "path") -> tuple[str, int | None]:
    """Check that a file can be written at `path`; return its path with links resolved, and its mode or None.

    The mode is None if there is no file yet. `argument` is the name of the argument in errors.

    Raises:
        TypeError, ValueError: `path` is no name of a file.
        OSError: no file can be written there, with the reason: a folder is missing or not writable, the name is too
            long, the file is read-only (for root, too) or no regular file (a device, a pipe).
    """
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected a str or an os.PathLike of one, got {type(name).__name__}")
    if not os.path.basename(name) or "\0" in name:
        raise ValueError(f"{argument}: expected the name of a file, got {name!r}")
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    try:
        status = os.stat(name)  # of `name`, as `target` of /dev/stdout may be a pipe that has no path
    except FileNotFoundError:
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, f"the folder {folder} does not exist", name) from None
        status = None
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, f"the folder {folder} cannot be written to", name)
    if status is None:
        return target, None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "this is no regular file, which alone could be replaced", name)
    if not status.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "this file is read-only", name)
    return target, stat.S_IMODE(status.st_mode)
