"""OpenVINO: its GRUSequence, reset gate before the product; tensors are bound once."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from benchmarks import THREADS
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival

GATES = ("z", "r", "hh")
CONFIGURATION = {
    "INFERENCE_NUM_THREADS": THREADS,
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",  # it would take bfloat16 where the processor has it
}


class OpenVino(Rival):
    """Inference in float32, batch-major."""

    name, version = "OpenVINO", f"OpenVINO {ov.__version__.split('-')[0]}"
    dtypes, works = ("float32",), ("inference", "step")
    configuration = CONFIGURATION

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        m, s, e, u, _ = case.shape
        single = "step" in case.shape.works
        X, h0, lengths = (
            op.parameter((m, s, e), np.float32),
            op.parameter((m, 1, u), np.float32) if single else op.constant(np.zeros((m, 1, u), np.float32)),
            op.parameter((m,), np.int32) if case.lengths is not None else op.constant(np.full(m, s, np.int32)),
        )
        weights = [op.constant(np.ascontiguousarray(case.joined(kind, GATES).T[None])) for kind in "UV"]
        bias = op.constant(case.joined("b", GATES))
        node = op.gru_sequence(X, h0, lengths, *weights, bias, u, "forward", linear_before_reset=False)
        inputs = [X, *([h0] if single else []), *([lengths] if case.lengths is not None else [])]
        model = ov.Model([node.output(1 if single else 0)], inputs, "gru")
        self.compiled = ov.Core().compile_model(model, "CPU", self.configuration)
        self.result = np.empty(tuple(self.compiled.outputs[0].shape), np.float32)
        if not single:
            values = [case.X] if case.lengths is None else [case.X, case.lengths.astype(np.int32)]
            self.request = self._bound(values, self.result)
            return
        # The state goes to and fro between two arrays: what the one request writes, the other reads.
        first = np.zeros_like(self.result)
        self.here = self._bound([case.X, first], self.result), self.result
        self.there = self._bound([case.X, self.result], first), first

    def _bound(self, inputs: list[np.ndarray], result: np.ndarray) -> ov.InferRequest:
        request = self.compiled.create_infer_request()
        for i, value in enumerate(inputs):
            request.set_input_tensor(i, ov.Tensor(value, shared_memory=True))
        request.set_output_tensor(0, ov.Tensor(result, shared_memory=True))
        return request

    def predict(self) -> np.ndarray:
        self.request.infer()
        return self.result

    def step(self) -> np.ndarray:
        self.here, self.there = self.there, self.here
        request, result = self.there
        request.infer()
        return result

    @staticmethod
    def array(result: np.ndarray) -> np.ndarray:
        return result[:, 0]


CLASS = OpenVino
