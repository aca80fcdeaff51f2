"""File helpers: `.npz` and `.npy` files from untrusted sources, and files that are written whole or not at all."""

from cgru.files.archive import Archive, Header, map_array
from cgru.files.replace import atomic_write, check_writable

__all__ = ["Archive", "Header", "atomic_write", "check_writable", "map_array"]
