"""Networks: chains of layers, how they are trained, the history of a fit, and model files."""

from cgru.network.data.samples import Sequences
from cgru.network.files import read_extra
from cgru.network.history import DivergenceError, Epoch, History
from cgru.network.network import Network, load
from cgru.network.options import Checkpoint, Penalties

__all__ = [
    "Checkpoint", "DivergenceError", "Epoch", "History", "Network", "Penalties", "Sequences", "load", "read_extra",
]  # fmt: skip
