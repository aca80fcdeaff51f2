"""How a network is fitted: epochs, updates, validation, checkpoints."""
