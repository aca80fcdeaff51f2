"""Which whistles rise? Streams of sound through features, a GRU and a decision, in one loop without the GIL."""

from whistles.listener import FRAME, Listener, features

__all__ = ["FRAME", "Listener", "features"]
