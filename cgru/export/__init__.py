"""Write a model as one C file that needs no library."""

from cgru.export.c_model import export_c

__all__ = ["export_c"]
