"""Removal of temporary files and folders whose writing process was killed.

A writer holds `flock` on its temporary file, and the system releases the lock when the process ends, however it ends.
So a file without a lock is abandoned. Names contain a hash of the machine's name, since some shared file systems do not
see locks of other machines: each machine removes its own files. On a system without `flock`, such as Windows, all
files stay.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import zlib

__all__ = ["PREFIX", "lock_temporary", "remove_abandoned"]

PREFIX = f"cgru-{zlib.crc32(platform.node().encode()):08x}-"


def lock_temporary(path: str, descriptor: int) -> contextlib.ExitStack | None:
    """Lock the new file or folder at `path`, open as `descriptor`; return an `ExitStack` that unlocks it, or None.

    On a file system without locks the returned stack is empty. None if `remove_abandoned` came first and has removed
    the file: the caller must take another name.
    """
    is_locked = _lock(descriptor)
    if is_locked is None or not os.path.exists(path):
        return None
    held = contextlib.ExitStack()
    if is_locked:
        held.callback(os.close, os.dup(descriptor))
    return held


def remove_abandoned(folder: str, prefix: str) -> None:
    """Remove from `folder` each file and folder whose name begins with `prefix` and that no process has locked.

    Links stay, and so does every entry that cannot be opened, locked or removed.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_if_unlocked(entry.path, os.path.isdir(entry.path))


def _remove_if_unlocked(path: str, is_folder: bool) -> None:
    """Remove the file or folder at `path` unless another process holds its lock."""
    flags = os.O_RDONLY if is_folder else os.O_RDWR  # NFS locks only files that are open for writing
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
    try:
        if _lock(descriptor):
            if is_folder:
                shutil.rmtree(path)
            else:
                os.remove(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Try to lock an open file or folder: True if done, None if another process has it, False without locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except (ImportError, OSError):
        return False
    return True
