"""A GRU that learns while it predicts: one step of truncated backpropagation a sample, in a loop without the GIL."""

from drift.learner import Learner

__all__ = ["Learner"]
