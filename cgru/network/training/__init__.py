"""Training of a network: epochs, updates, validation and checkpoints."""
