"""The table of what was caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mutation.runner import Result

__all__ = ["summary"]


def summary(results: Iterable[Result]) -> tuple[str, float]:
    """Return a Markdown table of the results, a line for each module, and the least share that was caught in one."""
    counts: dict[str, Counter[str]] = {}
    for each in results:
        counts.setdefault(each.path, Counter())[each.result] += 1
    lines = ["| module | caught | of | listed |", "| --- | --: | --: | --: |"]
    whole, shares = Counter(), []
    for path, count in sorted(counts.items()):
        tried = count["caught"] + count["survived"]
        if tried:
            shares.append(count["caught"] / tried)
        lines.append(f"| {path} | {count['caught']} | {tried} | {count['listed']} |")
        whole += count
    tried = whole["caught"] + whole["survived"]
    share = f" ({whole['caught'] / tried:.1%})" if tried else ""
    lines.append(f"| all | {whole['caught']}{share} | {tried} | {whole['listed']} |")
    return "\n".join(lines) + "\n", min(shares, default=1.0)
