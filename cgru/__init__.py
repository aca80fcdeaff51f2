"""cgru: a fast GRU layer for the CPU, with every cache and gradient in the open."""

try:
    from cgru.core.kernels import level as _level  # noqa: F401
    from cgru.core.threads import get_num_threads, set_num_threads
except ImportError as _error:
    from cgru._failure import explained as _explained

    raise _explained(_error, __file__) from None

from cgru import datasets, forecast, interop, losses, optimizers, reference
from cgru._version import __version__
from cgru.activations import elu, identity, lrelu, relu, sigmoid, softmax, tanh
from cgru.bidirectional import Bidirectional
from cgru.cell import Cell
from cgru.export import export_c
from cgru.gru import GRU
from cgru.initializers import orthogonal, standard_normal, xavier
from cgru.layers import Activation, Clip, Dense, Dropout, Embedding, Flip, Pool, Scale
from cgru.many import Grid, Job, Result, fit_many, grid
from cgru.network import Epoch, History, Network, load
from cgru.optimizers import SGD, Adam, RMSprop
from cgru.passes import Pass
from cgru.quantized.quantize import quantize
from cgru.stream import Stream

__all__ = [
    "GRU",
    "SGD",
    "Activation",
    "Adam",
    "Bidirectional",
    "Cell",
    "Clip",
    "Dense",
    "Dropout",
    "Embedding",
    "Epoch",
    "Flip",
    "Grid",
    "History",
    "Job",
    "Network",
    "Pass",
    "Pool",
    "RMSprop",
    "Result",
    "Scale",
    "Stream",
    "__version__",
    "datasets",
    "elu",
    "export_c",
    "fit_many",
    "forecast",
    "get_num_threads",
    "grid",
    "identity",
    "interop",
    "load",
    "losses",
    "lrelu",
    "optimizers",
    "orthogonal",
    "quantize",
    "reference",
    "relu",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "standard_normal",
    "tanh",
    "xavier",
]
