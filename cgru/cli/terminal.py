"""The one way in which the `cgru` command prints: names from a stranger's file cannot steer the terminal."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["echo"]

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but tabs and line ends; lone surrogates


def echo(*lines: Any, **how: Any) -> None:
    r"""Print as `print` does, with control characters and lone surrogates as escapes such as `\x1b`."""
    texts = (CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(line)) for line in lines)
    print(*texts, **how)
