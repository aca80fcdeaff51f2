"""Writing a file whole or not at all, in the place of one that may be there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from cgru.files.abandoned import PREFIX, claimed, sweep

__all__ = ["replaceable", "replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its place once all is written, so that no half of one ever stands there.

    A file that is replaced leaves its mode to the new one, and a link stays a link. Errors are those of `replaceable`,
    and OSError for what goes wrong later, always with `path` as its `filename`. New files that processes left in the
    folder of `path` when they were killed are removed.
    """
    target, mode = replaceable(path)
    folder = os.path.dirname(target)
    sweep(folder, f".{PREFIX}")
    try:
        with contextlib.ExitStack() as held:
            claim = None
            while claim is None:
                temporary = os.path.join(folder, f".{PREFIX}{os.urandom(8).hex()}.tmp")
                file = held.enter_context(open(temporary, "xb"))
                claim = claimed(temporary, file.fileno())
            held.enter_context(claim)  # until the file has its name
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def replaceable(path: Any, argument: str = "path") -> tuple[str, int | None]:
    """Where `path` leads, past links, and the mode of the file there, None where there is none yet.

    Raises:
        TypeError, ValueError: `path` is no name of a file.
        OSError: no file can be written there, with the reason: a folder that is missing or closed, a name that is too
            long, a file that is read-only, for root too, or what is no regular file (a device, a pipe).
    """
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected a str or an os.PathLike of one, got {type(name).__name__}")
    if not os.path.basename(name) or "\0" in name:
        raise ValueError(f"{argument}: expected the name of a file, got {name!r}")
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    try:
        status = os.stat(name)  # which is told what no path leads to: a pipe that /dev/stdout stands for
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
