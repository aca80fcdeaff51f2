"""Graphs of random networks in ONNX Runtime and back, and with a foreign node at a random edge: right, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import cgru
from cgru import interop
from fuzz.networks import Dice, network, randomise

# Nodes of one input by their kind, the constants that they take beside it, and their attributes.
FOREIGN: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("Identity", (), {}), ("Neg", (), {}), ("Abs", (), {}), ("Relu", (), {}), ("Tanh", (), {}), ("Round", (), {}),
    ("Mul", (np.float32(0.5),), {}), ("Add", (np.float32(0.5),), {}), ("Pow", (np.float32(2),), {}),
    ("Clip", (np.float32(-0.3), np.float32(0.3)), {}), ("Softmax", (), {"axis": -1}), ("Softmax", (), {"axis": 0}),
    ("CumSum", (np.int64(0),), {}), ("ReduceMean", (np.array([0]),), {"keepdims": 1}),
    ("Slice", (np.array([-1]), np.array([-(2**62)]), np.array([0]), np.array([-1])), {}),
    ("Slice", (np.array([-1]), np.array([-(2**62)]), np.array([1]), np.array([-1])), {}),
    ("Slice", (np.array([1]), np.array([2**62]), np.array([1])), {}),
    ("Gather", (np.array([0, 0]),), {"axis": 0}), ("Gather", (np.array([1, 0]),), {"axis": 1}),
    ("Cast", (), {"to": TensorProto.FLOAT}), ("Unsqueeze", (np.array([0]),), {}), ("Flatten", (), {"axis": 1}),
)  # fmt: skip


def case(seed: int) -> str:
    """Write a random network as ONNX, run and read it, then with a foreign node in it; return how it went."""
    dice = Dice(seed)
    tokens = dice.among(0, 0, dice.number(1, 6))
    net = network(dice, "whole", tokens, drops=False)
    m, s, e = dice.number(2, 5), dice.number(6, 9), dice.number(1, 6)
    X = dice.rng.integers(0, tokens, (m, s)) if tokens else dice.normal(m, s, e).astype(np.float32)
    net.make(X)
    randomise(net, dice)
    if not tokens and dice.chance(0.3):
        net.mean, net.scale = dice.normal(e), np.exp(dice.normal(e))
    try:
        model = interop.to_onnx(net)
    except (TypeError, ValueError):
        return "not written"
    due = net.predict(X)
    if not np.allclose(rounded(net, X), due, rtol=0, atol=1e-3 * max(1, np.abs(due).max())):
        return "float32 does not do"  # such as the deviation of states that all but stand still
    close(run(model, X), due, repr(net))
    close(interop.from_onnx(model).predict(X), due, repr(net))
    kind = insert(dice, model)
    if dice.chance():
        del model.metadata_props[:]
    try:
        found = interop.from_onnx(model)
    except (TypeError, ValueError):
        return "foreign refused"
    try:
        due = run(model, X)
    except Exception as error:
        raise AssertionError(f"read, though ONNX Runtime refuses it: {kind}: {error}") from None
    close(found.predict(X), due, f"{kind} in {net!r}")
    return "foreign read"


def rounded(net: cgru.Network, X: np.ndarray) -> np.ndarray:
    """Return the outputs of a network whose arrays between the layers are rounded to float32, as a graph has them."""
    A = X if net.mean is None else (X - net.mean) / net.scale
    for layer in net.layers:
        A = layer.predict(A if A.dtype.kind == "i" else A.astype(np.float32).astype(float))
    return A


def insert(dice: Dice, model: onnx.ModelProto) -> str:
    """Put a foreign node between an array that is computed and a node that reads it; return its kind and place."""
    nodes, constants = model.graph.node, {each.name for each in model.graph.initializer}
    reads = [
        (i, j) for i, node in enumerate(nodes) for j, name in enumerate(node.input) if name and name not in constants
    ]
    i, j = dice.among(*reads)
    kind, beside, attributes = dice.among(*FOREIGN)
    names = [f"foreign {k}" for k in range(len(beside))]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(a), n) for a, n in zip(beside, names, strict=True)
    )
    node = helper.make_node(kind, [nodes[i].input[j], *names], ["foreign"], name="foreign", **attributes)
    place = f"{kind} before {nodes[i].op_type} {nodes[i].name}, input {j}"
    nodes[i].input[j] = "foreign"
    nodes.insert(i, node)
    return place


def run(model: onnx.ModelProto, X: np.ndarray) -> np.ndarray:
    """Return the output that ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    return session.run(None, {given.name: X.astype(np.int64 if "int" in given.type else np.float32)})[0]


def close(got: np.ndarray, due: np.ndarray, name: str) -> None:
    """Raise AssertionError where outputs differ in shape, or by more than float32's rounding."""
    assert got.shape == due.shape, f"{name}: {got.shape}, due {due.shape}"
    np.testing.assert_allclose(got, due, rtol=0, atol=2e-3 * max(1, np.abs(due).max()), err_msg=name)
