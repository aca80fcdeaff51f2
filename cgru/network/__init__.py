"""Networks: chains of layers, their fit, its history, and their files."""

from cgru.network.history import Epoch, History
from cgru.network.network import Network, load

__all__ = ["Epoch", "History", "Network", "load"]
