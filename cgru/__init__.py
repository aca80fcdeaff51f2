"""cgru: a fast GRU layer for the CPU, with every cache and gradient in the open."""

try:
    from cgru.core.kernels import level as _level  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name != "cgru.core.kernels":
        raise
    raise ImportError(
        f"the compiled modules are missing beside {__file__}: this is the source tree; "
        'run from another folder, or install it in place with: pip install -e "."'
    ) from None

from cgru import datasets, interop, losses, optimizers, reference
from cgru._version import __version__
from cgru.activations import elu, identity, lrelu, relu, sigmoid, softmax, tanh
from cgru.bidirectional import Bidirectional
from cgru.cell import Cell
from cgru.core.threads import get_num_threads, set_num_threads
from cgru.export import export_c
from cgru.gru import GRU
from cgru.initializers import orthogonal, standard_normal, xavier
from cgru.layers import Dense, Dropout, Embedding, Flip, Pool
from cgru.network import Epoch, History, Network, load
from cgru.optimizers import SGD, Adam
from cgru.stream import Stream

__all__ = [
    "GRU",
    "SGD",
    "Adam",
    "Bidirectional",
    "Cell",
    "Dense",
    "Dropout",
    "Embedding",
    "Epoch",
    "Flip",
    "History",
    "Network",
    "Stream",
    "Pool",
    "__version__",
    "datasets",
    "elu",
    "export_c",
    "get_num_threads",
    "identity",
    "interop",
    "load",
    "losses",
    "lrelu",
    "optimizers",
    "orthogonal",
    "reference",
    "relu",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "standard_normal",
    "tanh",
    "xavier",
]
