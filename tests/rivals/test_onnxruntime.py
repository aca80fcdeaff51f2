"""float32 against ONNX Runtime's GRU node with linear_before_reset=0, which is our variant.

The node computes Y, all states, zero past a sample's length, and Y_h, the last ones. Its z and r share one activation,
and its gates come in the order z, r, hh with transposed weights.
"""

import numpy as np
import pytest

import cgru
from cgru.reference import PARAMETERS

REASON = "ONNX Runtime is not installed: pip install onnx onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)

# The node's names, with the alpha and beta of each. It hands its lists of alphas and betas out in order, to those of
# its functions that take one.
NODES = {
    "tanh": ("Tanh", [], []),
    "sigmoid": ("Sigmoid", [], []),
    "relu": ("Relu", [], []),
    "lrelu": ("LeakyRelu", [0.3], []),
    "elu": ("Elu", [1.0], []),
    "identity": ("Affine", [1.0], [0.0]),
}
TOLERANCE = 1e-5  # of the largest value: float32, and its tanh and sigmoid are approximations
GATES = ("z", "r", "hh")


def session(p, update, candidate):
    """The node as a model: X (s, m, e), lengths (m,), h0 (1, m, u) -> Y (s, 1, m, u), Y_h (1, m, u)."""
    e, u = p["Uz"].shape
    functions = [NODES[update], NODES[candidate]]
    weights = {
        "W": np.concatenate([p["U" + gate].T for gate in GATES])[None],
        "R": np.concatenate([p["V" + gate].T for gate in GATES])[None],
        "B": np.concatenate([*(p["b" + gate][0] for gate in GATES), np.zeros(3 * u, np.float32)])[None],
    }
    alphas, betas = functions[0][1] + functions[1][1], functions[0][2] + functions[1][2]
    node = onnx.helper.make_node(
        "GRU",
        ["X", "W", "R", "B", "lengths", "h0"],
        ["Y", "Y_h"],
        hidden_size=u,
        linear_before_reset=0,
        activations=[name for name, _, _ in functions],
        **({"activation_alpha": alphas} if alphas else {}),
        **({"activation_beta": betas} if betas else {}),
    )
    numbers, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "gru",
        [value("X", numbers, ["s", "m", e]), value("lengths", whole, ["m"]), value("h0", numbers, [1, "m", u])],
        [value("Y", numbers, ["s", 1, "m", u]), value("Y_h", numbers, [1, "m", u])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def layer_of(u, e, candidate, update, rng, sequences):
    layer = cgru.GRU(
        u, getattr(cgru, candidate), getattr(cgru, update), getattr(cgru, update), sequences=sequences, dtype=np.float32
    )
    layer.compute_shapes(np.zeros((1, 1, e)))
    for name in PARAMETERS:
        rows, columns = layer.fs[name]
        layer.p[name] = (rng.standard_normal((rows, columns)) / (2 * np.sqrt(max(rows, 4)))).astype(np.float32)
    return layer


@pytest.mark.parametrize("seed", range(30))
def test_random_configurations(same, seed):
    rng = np.random.default_rng(seed)
    m, s, e, u = (int(n) for n in rng.choice([1, 2, 3, 5, 7, 11, 17, 33], 4))
    candidate = rng.choice(["tanh", "relu", "lrelu", "elu", "identity", "sigmoid"])
    update = rng.choice(["sigmoid", "sigmoid", "tanh", "elu"])
    s = min(s, 7) if update == "elu" else s  # unbounded gates run away
    layer = layer_of(u, e, candidate, update, rng, sequences=True)
    X = rng.standard_normal((m, s, e), np.float32)
    h0 = rng.standard_normal((m, u), np.float32)
    lengths = rng.integers(1, s + 1, m) if seed % 3 else np.full(m, s)
    model = session(layer.p, update, candidate)
    Y, Y_h = model.run(None, {"X": X.swapaxes(0, 1).copy(), "lengths": lengths.astype(np.int32), "h0": h0[None]})
    Y, Y_h = Y[:, 0].swapaxes(0, 1), Y_h[0]

    given = None if seed % 3 == 0 else lengths
    A = layer.forward(X, given, h0)
    assert A.dtype == np.float32
    same(A, Y, TOLERANCE, "forward, all states")
    same(layer.fc["h"][:, -1], Y_h, TOLERANCE, "the last states in the cache")
    same(layer.predict(X, given, h0), Y, TOLERANCE, "predict, all states")
    layer.sequences = False
    same(layer.forward(X, given, h0), Y_h, TOLERANCE, "forward, last states")
    same(layer.predict(X, given, h0), Y_h, TOLERANCE, "predict, last states")


def test_no_initial_state(same):
    rng = np.random.default_rng(99)
    layer = layer_of(7, 3, "tanh", "sigmoid", rng, sequences=True)
    X = rng.standard_normal((5, 9, 3), np.float32)
    feed = {"X": X.swapaxes(0, 1).copy(), "lengths": np.full(5, 9, np.int32), "h0": np.zeros((1, 5, 7), np.float32)}
    Y, _ = session(layer.p, "sigmoid", "tanh").run(None, feed)
    same(layer.predict(X), Y[:, 0].swapaxes(0, 1), TOLERANCE)
