"""ONNX Runtime: the GRU node with `linear_before_reset=0`; inputs and outputs are bound once."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks import THREADS
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival

GATES = ("z", "r", "hh")


class OnnxRuntime(Rival):
    """Inference in float32 and time-major, which is all that its CPU kernel has."""

    name, version = "ONNX Runtime", f"ONNX Runtime {ort.__version__}"
    dtypes, works = ("float32",), ("inference", "step")

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        m, s, _, u, _ = case.shape
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        self.session = ort.InferenceSession(graph(case), options, providers=["CPUExecutionProvider"])
        inputs = {"X": case.X.swapaxes(0, 1).copy()}
        if case.lengths is not None:
            inputs["lengths"] = case.lengths.astype(np.int32)
        if "step" not in case.shape.works:
            self.binding, self.result = self._bound(inputs, "Y", np.empty((s, 1, m, u), np.float32))
            return
        # The state goes to and fro between two arrays: what the one binding writes, the other reads.
        first, second = np.zeros((1, m, u), np.float32), np.zeros((1, m, u), np.float32)
        self.here = self._bound(inputs | {"h0": first}, "Y_h", second)
        self.there = self._bound(inputs | {"h0": second}, "Y_h", first)

    def _bound(self, inputs: dict[str, np.ndarray], output: str, result: np.ndarray) -> tuple:
        binding = self.session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
        binding.bind_ortvalue_output(output, ort.OrtValue.ortvalue_from_numpy(result))
        return binding, result

    def predict(self) -> np.ndarray:
        self.session.run_with_iobinding(self.binding)
        return self.result

    def step(self) -> np.ndarray:
        self.here, self.there = self.there, self.here
        binding, result = self.there
        self.session.run_with_iobinding(binding)
        return result

    @staticmethod
    def array(result: np.ndarray) -> np.ndarray:
        return result[:, 0].swapaxes(0, 1) if result.ndim == 4 else result[0]


class Run(OnnxRuntime):
    """A step by `run`, which is handed frame and state, and makes the new state: nothing is bound."""

    name, works = "ONNX Runtime, run", ("step",)

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.h = np.zeros((1, 1, case.shape.u), np.float32)

    def step(self) -> np.ndarray:
        (self.h,) = self.session.run(["Y_h"], {"X": self.case.X, "h0": self.h})
        return self.h


def graph(case: Case) -> bytes:
    """The model: one node, its weights within."""
    m, s, e, u, _ = case.shape
    single = "step" in case.shape.works
    B = np.hstack([case.joined("b", GATES), np.zeros((1, 3 * u), np.float32)])
    weights = {"W": case.joined("U", GATES).T[None], "R": case.joined("V", GATES).T[None], "B": B}
    given = ["X", "W", "R", "B", "lengths" if case.lengths is not None else "", "h0" if single else ""]
    value = helper.make_tensor_value_info
    inputs = [value("X", TensorProto.FLOAT, (s, m, e))]
    if case.lengths is not None:
        inputs.append(value("lengths", TensorProto.INT32, (m,)))
    if single:
        inputs.append(value("h0", TensorProto.FLOAT, (1, m, u)))
    output = value("Y_h", TensorProto.FLOAT, (1, m, u)) if single else value("Y", TensorProto.FLOAT, (s, 1, m, u))
    node = helper.make_node("GRU", given, ["", "Y_h"] if single else ["Y"], hidden_size=u, linear_before_reset=0)
    constants = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]
    model = helper.make_graph([node], "gru", inputs, [output], constants)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()


CLASS = OnnxRuntime
