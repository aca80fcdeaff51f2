"""The `cgru` command."""

from cgru.cli.command import main

__all__ = ["main"]
