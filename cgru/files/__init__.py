"""Files that come from anyone, and files that nobody may find half written."""

from cgru.files.archive import Archive, Header
from cgru.files.replace import replaceable, replacing

__all__ = ["Archive", "Header", "replaceable", "replacing"]
