"""Fitting a network: epochs, updates, validation, checkpoints."""
