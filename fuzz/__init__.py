"""Fuzzing: random calls of each door of cgru against independent answers. `python -m fuzz` lists the targets."""
