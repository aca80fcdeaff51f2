"""What is said where the compiled modules cannot be imported. Nothing of the package can be imported here."""

from __future__ import annotations

import os
import sys

__all__ = ["explained"]


def explained(error: ImportError, package: str) -> BaseException:
    """What to raise for `error`, met while importing the compiled modules of the `package`, the path of its `__init__`.

    A module that is missing is explained. The `cgru` command, which has no module of its own yet that could catch it,
    ends with one line and exit code 2.
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
    """Whether this process was started as `cgru` or `python -m cgru`.

    While a module is being located `sys.argv` has "-m" in the place of its name, `sys.orig_argv` the name.
    """
    started = sys.orig_argv[-len(sys.argv) :][:1] if sys.argv else []
    return [os.path.splitext(os.path.basename(name))[0] for name in started] == ["cgru"]
