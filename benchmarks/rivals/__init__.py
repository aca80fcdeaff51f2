"""One module and one class a rival. A module's import fails where its library is not installed.

`Rival` says what a class has; `contenders` finds those that are there.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.rivals.base import Rival
from benchmarks.rivals.ours import Cgru, Reference

MODULES = {
    "EpyNN": "epynn",
    "PyTorch": "torch",
    "JAX": "jax",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "Keras": "keras",
}

__all__ = ["MODULES", "Cgru", "Reference", "Rival", "contenders", "named"]


def named(name: str) -> type[Rival]:
    """The class of that name; ImportError where its library is not installed."""
    for ours in (Cgru, Reference):
        if name == ours.name:
            return ours
    return import_module(f"benchmarks.rivals.{MODULES[name]}").CLASS


def contenders(names: tuple[str, ...] = ()) -> tuple[list[type[Rival]], dict[str, str]]:
    """`Cgru` and the rivals that are installed, of `names` or of all; and why the others are not there.

    `Reference` takes EpyNN's place where that cannot run.
    """
    found, missing = [Cgru], {}
    for name in names or MODULES:
        try:
            found.append(named(name))
        except ImportError as error:
            missing[name] = str(error)
            if name == "EpyNN":
                found.append(Reference)
    return found, missing
