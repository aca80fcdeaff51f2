"""The `cgru` command line: subcommands, their arguments, and what they read and write."""

from cgru.cli.command import main

__all__ = ["main"]
