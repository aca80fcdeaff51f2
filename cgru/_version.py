"""The version of the package, read by setup and by `cgru.__version__`."""

__version__ = "0.1.0"
