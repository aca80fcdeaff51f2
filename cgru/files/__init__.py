"""Files that come from anyone, and files that nobody may find half written."""

from cgru.files.abandoned import PREFIX, claimed, sweep
from cgru.files.archive import Archive, Header
from cgru.files.replace import replaceable, replacing

__all__ = ["PREFIX", "Archive", "Header", "claimed", "replaceable", "replacing", "sweep"]
