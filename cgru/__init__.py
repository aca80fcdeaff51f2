"""cgru: a fast GRU layer for the CPU, with access to every cache and gradient."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

try:
    from cgru.core.kernels import level as _level  # noqa: F401
    from cgru.core.threads import get_num_threads, set_num_threads
except ImportError as _error:
    from cgru._failure import explained as _explained

    raise _explained(_error, __file__) from None

from cgru import losses, optimizers, reference
from cgru._version import __version__
from cgru.activations import elu, gelu, identity, log_softmax, lrelu, relu, sigmoid, silu, softmax, softplus, tanh
from cgru.bidirectional import Bidirectional
from cgru.cell import Cell
from cgru.gru import GRU
from cgru.grud import GRUD
from cgru.initializers import orthogonal, standard_normal, xavier
from cgru.layers import (
    Activation,
    Clip,
    Conv1D,
    Dense,
    Difference,
    Dropout,
    Embedding,
    Flip,
    Frames,
    LayerNorm,
    Normalize,
    Pool,
    SampledDense,
    Scale,
    Select,
)
from cgru.network import Checkpoint, DivergenceError, Epoch, History, Network, Penalties, Sequences, load
from cgru.network.branches import Add, Concatenate, Multiply
from cgru.optimizers import SGD, Adagrad, Adam, RMSprop
from cgru.passes import Pass
from cgru.stream import Stream
from cgru.switching_gru import SwitchingGRU

if _TYPE_CHECKING:
    from cgru import datasets, forecast, interop, plot
    from cgru.export import export_c
    from cgru.many import Grid, Job, Result, fit_many, grid
    from cgru.quantization import quantize
    from cgru.reports.report import Report, report
else:
    # The modules of names that are imported at their first use, which halves the time of `import cgru`.
    _LAZY = {name: f"cgru.{name}" for name in ("datasets", "forecast", "interop", "plot")}
    _LAZY |= dict.fromkeys(("Grid", "Job", "Result", "fit_many", "grid"), "cgru.many")
    _LAZY |= dict.fromkeys(("Report", "report"), "cgru.reports.report")
    _LAZY |= {"export_c": "cgru.export", "quantize": "cgru.quantization"}

    def __getattr__(name: str) -> object:
        """Import an attribute listed in `_LAZY` when it is first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _import_module(_LAZY[name])
        globals()[name] = value = getattr(module, name, module)
        return value

    def __dir__() -> list[str]:
        return sorted(globals().keys() | _LAZY.keys())


__all__ = [
    "GRU",
    "GRUD",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "Add",
    "Bidirectional",
    "Cell",
    "Checkpoint",
    "Clip",
    "Concatenate",
    "Conv1D",
    "Dense",
    "Difference",
    "DivergenceError",
    "Dropout",
    "Embedding",
    "Epoch",
    "Flip",
    "Frames",
    "Grid",
    "History",
    "Job",
    "LayerNorm",
    "Multiply",
    "Network",
    "Normalize",
    "Pass",
    "Penalties",
    "Pool",
    "RMSprop",
    "Report",
    "Result",
    "SampledDense",
    "Scale",
    "Select",
    "Sequences",
    "Stream",
    "SwitchingGRU",
    "__version__",
    "datasets",
    "elu",
    "export_c",
    "fit_many",
    "forecast",
    "gelu",
    "get_num_threads",
    "grid",
    "identity",
    "interop",
    "load",
    "log_softmax",
    "losses",
    "lrelu",
    "optimizers",
    "orthogonal",
    "plot",
    "quantize",
    "reference",
    "relu",
    "report",
    "set_num_threads",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "standard_normal",
    "tanh",
    "xavier",
]
