"""Temporary files and folders whose writer was killed: told from those of living writers by a lock, and removed.

A writer holds `flock` on what it writes, and the system lets go of that when the process ends, however it ends. Names
have the machine in them, since some shared file systems know no locks of other machines: each machine removes its own.
Where there are no such locks, as on Windows, nothing is removed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import zlib

__all__ = ["PREFIX", "claimed", "sweep"]

PREFIX = f"cgru-{zlib.crc32(platform.node().encode()):08x}-"


def claimed(path: str, descriptor: int) -> contextlib.ExitStack | None:
    """Lock the new file or folder at `path`, open as `descriptor`; return what lets go of it when it is closed.

    Where nothing can be locked, that is nothing. None where `sweep` was there first: another name is needed.
    """
    is_locked = _is_locked(descriptor)
    if is_locked is None or not os.path.exists(path):
        return None
    held = contextlib.ExitStack()
    if is_locked:
        held.callback(os.close, os.dup(descriptor))
    return held


def sweep(folder: str, prefix: str) -> None:
    """Remove from `folder` each file and folder whose name begins with `prefix` and whose writer does not live.

    What cannot be opened, locked or removed stays, and so does a link.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_abandoned(entry.path, os.path.isdir(entry.path))


def _remove_abandoned(path: str, is_folder: bool) -> None:
    flags = os.O_RDONLY if is_folder else os.O_RDWR  # as NFS wants it for a lock
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
    try:
        if _is_locked(descriptor):
            if is_folder:
                shutil.rmtree(path)
            else:
                os.remove(path)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool | None:
    """Lock an open file or folder. Return False where nothing can be locked, None where another has locked it."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except (ImportError, OSError):
        return False
    return True
