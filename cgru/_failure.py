"""Explain why the compiled modules could not be imported. This module itself imports nothing of the package."""

from __future__ import annotations

import os
import sys

__all__ = ["explained"]


def explained(error: ImportError, package: str) -> BaseException:
    """Return the exception to raise, with advice, after the compiled modules failed to import with `error`.

    package: the path of the package's `__init__`.

    Where compiled modules are missing its text says how to install them. In a process of the `cgru` command, whose own
    modules cannot be imported either, it is SystemExit(2), after one line on stderr.
    """
    if isinstance(error, ModuleNotFoundError):
        if error.name != "cgru.core.kernels":
            return error
        error = ImportError(
            f"the compiled modules are missing beside {package}: this is the source tree; "
            'run from another folder, or install it in place with: pip install -e "."'
        )
    if not _is_command():
        return error
    print(f"cgru: error: {error}", file=sys.stderr)
    return SystemExit(2)


def _is_command() -> bool:
    """Return whether this process was started as the `cgru` command or as `python -m cgru`.

    With -m, `sys.argv` has "-m" in the place of the module's name while the package is imported. `sys.orig_argv` has
    the name.
    """
    started = sys.orig_argv[-len(sys.argv) :][:1] if sys.argv else []
    return [os.path.splitext(os.path.basename(name))[0] for name in started] == ["cgru"]
