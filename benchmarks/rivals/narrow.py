"""Layers of fewer bytes: ours, and of others those that are installed. None of them is a rival in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import cgru
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival
from benchmarks.rivals.ours import Cgru
from benchmarks.rivals.steps import FromC


def quantized(case: Case, weights: str) -> Any:
    """Our layer of such weights."""
    return cgru.quantize(cgru.Network([Cgru(case).layer], dtype="float32"), weights).layers[0]


def of_batches(weights: str) -> type[Rival]:
    """Ours at whole batches."""

    class Narrow(Rival):
        name, version, dtypes = f"cgru {weights}", f"cgru {cgru.__version__}", ("float32",)

        def __init__(self, case: Case) -> None:
            super().__init__(case)
            self.layer = quantized(case, weights)

        def predict(self) -> np.ndarray:
            return self.layer.predict(self.case.X)

    return Narrow


def of_steps(weights: str) -> type[FromC]:
    """Ours, a step from C."""

    class Narrow(FromC):
        name = f"cgru {weights} from C"

        def layer(self, case: Case) -> Any:
            return quantized(case, weights)

    return Narrow


def openvino() -> list[type[Rival]]:
    """OpenVINO in float32, and in bfloat16, which its users get where the processor has it; ImportError."""
    from benchmarks.rivals import openvino as of

    class BFloat16(of.OpenVino):
        name = "OpenVINO bfloat16"
        configuration = of.CONFIGURATION | {"INFERENCE_PRECISION_HINT": "bf16"}

    return [of.OpenVino, BFloat16]


def torch() -> list[type[Rival]]:
    """PyTorch with int8 weights, its rows measured as they come, and in bfloat16; ImportError."""
    import torch as of

    from benchmarks.rivals.torch import Torch

    def variant(of_name: str, made: Callable[[Any], Any], dtype: Any) -> type[Torch]:
        class Low(Torch):
            name = f"PyTorch {of_name}"

            def __init__(self, case: Case) -> None:
                super().__init__(case)
                self.layer, self.X = made(self.layer), self.X.to(dtype)

            @staticmethod
            def array(result: Any) -> np.ndarray:
                return Torch.array(result.float())

        return Low

    def dynamic(layer: Any) -> Any:
        module = of.nn.Sequential(layer)
        return of.ao.quantization.quantize_dynamic(module, {of.nn.GRU}, of.qint8)[0]

    return [
        variant("dynamic int8", dynamic, of.float32),
        variant("bfloat16", lambda layer: layer.bfloat16(), of.bfloat16),
    ]
