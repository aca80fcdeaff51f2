"""The gradients of the parameters, compiled."""
