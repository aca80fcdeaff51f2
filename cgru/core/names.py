"""Look up functions that users may pass as a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["named"]


def named(value: Any, argument: str, functions: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return `value` if it is callable, else the function with that name; TypeError or ValueError if there is none."""
    if isinstance(value, str) and value in functions:
        return functions[value]
    if callable(value):
        return value
    names = ", ".join(map(repr, functions))
    if isinstance(value, str):
        raise ValueError(f"{argument}: expected one of {names}, or a callable, got {value!r}")
    raise TypeError(f"{argument}: expected a callable or one of {names}, got {type(value).__name__}")
