"""`from_onnx` on whole chains: the numbers of ONNX Runtime, or refused with the node's name.

Sizes differ all, so that an axis that is taken for another shows; where they could hide it they are the same.
"""

import numpy as np
import pytest
from helpers import some

import cgru
from cgru import interop

REASON = "ONNX Runtime is not installed: pip install onnx onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT


class Graph:
    """A graph that grows node by node, of float32 but for tokens: X -> Y."""

    def __init__(self, seed=0, opset=20):
        self.rng, self.opset, self.nodes, self.arrays = np.random.default_rng(seed), opset, [], {}

    def array(self, value):
        name = f"array_{len(self.arrays)}"
        self.arrays[name] = np.asarray(value)
        return name

    def op(self, kind, *inputs, outputs=1, name=None, **attributes):
        """A node; inputs are names or constants."""
        given = [value if isinstance(value, str) else self.array(value) for value in inputs]
        names = [f"{kind}_{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, given, names, name=name or names[0], **attributes))
        return names[0] if outputs == 1 else names

    def normal(self, *shape):
        return (self.rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    def linear(self, A, n, u, b=True, order=False):
        Z = self.op("MatMul", A, self.normal(n, u))
        b = self.normal(u)
        return self.op("Add", *((b, Z) if order else (Z, b)))

    def gru(self, A, e, u, D=1, ends=False, after=1, direction=None):
        """Batch-major in and out, (m, s, D u), or of the last states (m, D u)."""
        direction = direction or ("forward", "bidirectional")[D - 1]
        parts = self.normal(D, 3 * u, e), self.normal(D, 3 * u, u), self.normal(D, 6 * u)
        A = self.op("Transpose", A, perm=[1, 0, 2])
        Y, Y_h = self.op("GRU", A, *parts, outputs=2, hidden_size=u, linear_before_reset=after, direction=direction)
        if ends:
            return self.op("Reshape", self.op("Transpose", Y_h, perm=[1, 0, 2]), np.array([0, D * u]))
        return self.op("Reshape", self.op("Transpose", Y, perm=[2, 0, 1, 3]), np.array([0, 0, D * u]))

    def model(self, Y, shape=("m", "s", 5), kind=FLOAT):
        self.nodes.append(helper.make_node("Identity", [Y], ["Y"]))
        given, made = helper.make_tensor_value_info("X", kind, shape), helper.make_tensor_value_info("Y", FLOAT, None)
        constants = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "chain", [given], [made], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)


def check(model, X, same, turned=False):
    """That the chain gives the numbers of ONNX Runtime, and what comes from it is a whole network."""
    net = interop.from_onnx(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    due = session.run(None, {"X": X.swapaxes(0, 1) if turned else X})[0]
    due = due.swapaxes(0, 1) if turned and net.per_step else due
    A = net.predict(X)
    same(A, due.reshape(A.shape) if due.ndim < A.ndim else due, 1e-5)  # samples and steps may be one axis there
    again = interop.from_onnx(interop.to_onnx(net))  # a model of ours comes back as it is
    np.testing.assert_array_equal(again.predict(X), A)
    return net


def gelu(g, A):
    """A GELU in the nodes that exporters make of it before version 20."""
    scaled = g.op("Erf", g.op("Div", A, np.float32(2**0.5)))
    return g.op("Mul", g.op("Mul", A, g.op("Add", scaled, np.float32(1))), np.float32(0.5))


def silu(g, A):
    return g.op("Mul", *((A, g.op("Sigmoid", A)) if g.rng.integers(2) else (g.op("Sigmoid", A), A)))


def random_chain(seed):
    graph = Graph(seed)
    rng, n = graph.rng, 5
    tokens, A = rng.integers(4) == 0, "X"
    if tokens:
        A = graph.op("Gather", graph.normal(9, n), "X")

    def pointwise(A, n):
        kind = rng.integers(9)
        if kind == 0:
            return graph.op("Div", graph.op("Sub", A, graph.normal(n)), graph.normal(n) + 3), n
        if kind == 1:
            return graph.op("Add", graph.normal(1, n), graph.op("Mul", graph.normal(1), A)), n
        if kind == 2:
            return graph.op(str(rng.choice(["Relu", "Tanh", "Softplus", "LogSoftmax", "Softmax"])), A), n
        if kind == 3:
            return graph.op("Clip", A, np.float32(-0.2), *([np.float32(0.3)] * int(rng.integers(2)))), n
        if kind == 4:
            return graph.op(str(rng.choice(["LeakyRelu", "Elu"])), A, alpha=0.25), n
        if kind == 5 and rng.integers(2):
            return (graph.op("Gelu", A) if rng.integers(2) else silu(graph, A)), n
        if kind == 5:
            return graph.op("Sub", np.float32(1), A), n
        if kind == 6:
            return graph.op("MatMul", A, graph.normal(n, 6)), 6
        u = int(rng.integers(1, 9))
        A = graph.linear(A, n, u, order=bool(rng.integers(2)))
        return graph.op(str(rng.choice(["Relu", "Tanh", "Sigmoid", "Identity"])), A), u

    for _ in range(rng.integers(3)):
        A, n = pointwise(A, n)
    depth = int(rng.integers(1, 4))
    end = rng.integers(5)
    for i in range(depth):
        u, D = int(rng.integers(1, 9)), int(rng.integers(1, 3))
        direction = "reverse" if D == 1 and rng.integers(4) == 0 else None
        A = graph.gru(A, n, u, D, ends=i == depth - 1 and end == 0, after=int(rng.integers(2)), direction=direction)
        n = D * u
        if i < depth - 1:
            for _ in range(rng.integers(2)):
                A, n = pointwise(A, n)
    if end == 1:
        A = graph.op(str(rng.choice(["ReduceMean", "ReduceSum"])), A, np.array([1]), keepdims=0)
    elif end == 2:
        A = graph.op("Squeeze", graph.op("ReduceMax", A, np.array([-2])), np.array([1]))
    elif end == 3:
        A = graph.op("Gather", A, np.int64(-1), axis=1)
    if end < 4 and rng.integers(2):
        A = graph.op("Flatten", A)
    for _ in range(rng.integers(3)):
        A, n = pointwise(A, n)
    if end < 4:
        A, n = graph.op("Gemm", A, graph.normal(3, n), graph.normal(3), transB=1), 3
    X = rng.integers(0, 9, (3, 4)) if tokens else rng.standard_normal((3, 4, 5)).astype(np.float32)
    return graph.model(A, X.shape[:2] if tokens else ("m", "s", 5), TensorProto.INT64 if tokens else FLOAT), X


@pytest.mark.parametrize("seed", some(30, range(80)))
def test_random_chains(seed, same):
    model, X = random_chain(seed)
    check(model, X, same)


# --- what is joined ---


def test_a_linear_layer_with_its_activation_is_one_dense(same):
    graph = Graph()
    A = graph.op("Relu", graph.linear("X", 5, 7))
    A = graph.linear(graph.op("Tanh", graph.linear(graph.gru(A, 7, 6, ends=True), 6, 4)), 4, 3)
    net = check(graph.model(graph.op("Softmax", A)), graph.rng.standard_normal((3, 4, 5)).astype(np.float32), same)
    assert [type(layer) for layer in net.layers] == [cgru.Dense, cgru.GRU, cgru.Dense, cgru.Dense]
    assert [layer.activate for layer in net.layers[::3]] == [cgru.relu, cgru.softmax]
    assert not net.layers[1].sequences
    X, y = graph.rng.standard_normal((9, 4, 5)).astype(np.float32), np.arange(9) % 3
    first = net.evaluate(X, y)["loss"]
    net.fit(X, y, epochs=20)
    assert net.evaluate(X, y)["loss"] < first


def test_an_affine_map_in_front_keeps_its_digits(same):
    """A large mean is taken off before anything is divided."""
    graph = Graph()
    A = graph.op("Div", graph.op("Sub", "X", np.full(5, 1e4, np.float32)), np.full((1, 1, 5), 3, np.float32))
    X = (1e4 + graph.rng.standard_normal((3, 4, 5))).astype(np.float32)
    net = check(graph.model(graph.gru(A, 5, 6)), X, same)
    assert [type(layer) for layer in net.layers] == [cgru.Scale, cgru.Scale, cgru.GRU]


def test_time_major(same):
    """A graph without transposes: X (s, m, e)."""
    graph = Graph()
    A = graph.op("Tanh", graph.linear("X", 5, 7))
    Y = graph.op("GRU", A, *(graph.normal(*shape) for shape in ((1, 18, 7), (1, 18, 6), (1, 36))), hidden_size=6,
                 outputs=2)[0]  # fmt: skip
    A = graph.linear(graph.op("Squeeze", Y, np.array([1])), 6, 3)
    check(graph.model(A), graph.rng.standard_normal((3, 4, 5)).astype(np.float32), same, turned=True)


def test_last_step_by_a_slice(same):
    graph = Graph()
    A = graph.op("Slice", graph.gru("X", 5, 6), np.array([-1]), np.array([2**63 - 1]), np.array([1]))
    A = graph.linear(graph.op("Squeeze", A, np.array([1])), 6, 3)
    check(graph.model(A), graph.rng.standard_normal((3, 4, 5)).astype(np.float32), same)


def test_functions_of_single_numbers_on_turned_axes(same):
    graph = Graph()
    A = graph.op("Transpose", graph.gru("X", 5, 6), perm=[2, 0, 1])
    A = graph.op("Clip", graph.op("Tanh", A), np.float32(-0.1), np.float32(0.2))
    A = graph.linear(graph.op("Transpose", A, perm=[1, 2, 0]), 6, 3)
    net = check(graph.model(A), graph.rng.standard_normal((3, 4, 5)).astype(np.float32), same)
    assert [type(layer) for layer in net.layers] == [cgru.GRU, cgru.Activation, cgru.Clip, cgru.Dense]


def test_old_versions(same):
    graph = Graph(opset=11)
    A = graph.op("Softmax", graph.linear("X", 5, 4), axis=2)
    A = graph.op("ReduceMean", graph.gru(A, 4, 6), axes=[1], keepdims=0)
    check(graph.model(graph.op("Softmax", A)), graph.rng.standard_normal((3, 4, 5)).astype(np.float32), same)


# --- what is refused ---


def headed(add, opset=20, ends=True):
    """Linear, GRU, what `add(graph, A)` adds, with "foreign" in its name."""
    graph = Graph(opset=opset)
    A = graph.gru(graph.op("Relu", graph.linear("X", 5, 7)), 7, 6, ends=ends)
    return graph.model(add(graph, A))


def last(graph, A, **options):
    return graph.op("GRU", A, graph.normal(1, 18, 6), graph.normal(1, 18, 6), **options)


REFUSED = {
    "around the GRU": lambda g, A: g.op("Add", A, g.nodes[2].output[0], name="foreign"),
    "a table": lambda g, A: g.op("Add", A, g.normal(6, 6), name="foreign"),
    "each sample apart": lambda g, A: g.op("Mul", A, g.normal(6, 1), name="foreign"),
    "another axis": lambda g, A: g.op("Add", A, g.normal(1, 1, 6), name="foreign"),
    "as before version 7": lambda g, A: g.op("Add", A, g.normal(6), broadcast=1, name="foreign"),
    "division by it": lambda g, A: g.op("Div", np.float32(1), A, name="foreign"),
    "division by zero": lambda g, A: g.op("Div", A, np.float32(0), name="foreign"),
    "the left operand": lambda g, A: g.op("MatMul", g.normal(6, 6), A, name="foreign"),
    "by a stack": lambda g, A: g.op("MatMul", A, g.normal(1, 6, 6), name="foreign"),
    "by a vector": lambda g, A: g.op("MatMul", A, g.normal(6), name="foreign"),
    "alpha": lambda g, A: g.op("Gemm", A, g.normal(6, 3), alpha=0.5, name="foreign"),
    "turned": lambda g, A: g.op("Gemm", A, g.normal(6, 3), transA=1, name="foreign"),
    "a bias for each sample": lambda g, A: g.op("Gemm", A, g.normal(6, 3), g.normal(6, 3), name="foreign"),
    "softmax over samples": lambda g, A: g.op("Softmax", A, axis=0, name="foreign"),
    "a steep slope": lambda g, A: g.op("LeakyRelu", A, alpha=1.5, name="foreign"),
    "bounds that cross": lambda g, A: g.op("Clip", A, np.float32(1), np.float32(0), name="foreign"),
    "a bound that is made": lambda g, A: g.op("Clip", A, g.op("ReduceMin", A, name="foreign", keepdims=0)),
    "Exp": lambda g, A: g.op("Exp", A, name="foreign"),
    "Pow": lambda g, A: g.op("Pow", A, np.float32(2), name="foreign"),
    "PRelu": lambda g, A: g.op("PRelu", A, np.float32(0.5), name="foreign"),
    "HardSigmoid": lambda g, A: g.op("HardSigmoid", A, name="foreign"),
    "Gelu by tanh": lambda g, A: g.op("Gelu", A, approximate="tanh", name="foreign"),
    "the mean of the samples": lambda g, A: g.op("ReduceMean", A, np.array([0]), name="foreign"),
    "turned softmax": lambda g, A: g.op("Softmax", g.op("Transpose", A, perm=[1, 0], name="foreign")),
    "features that were turned": lambda g, A: g.op("MatMul", g.op("Transpose", A, perm=[1, 0], name="foreign"),
                                                   g.normal(6, 6)),
}  # fmt: skip
STEPS = {
    "softmax over steps": lambda g, A: g.op("Softmax", A, axis=1, name="foreign"),
    "old softmax": lambda g, A: g.op("Softmax", A, axis=1, name="foreign"),
    "each step apart": lambda g, A: g.op("Add", A, g.normal(6, 1), name="foreign"),
    "a table of steps": lambda g, A: g.op("Add", A, g.normal(6, 6), name="foreign"),
    "the mean of samples": lambda g, A: g.op("ReduceMean", A, np.array([0]), name="foreign"),
    "the mean of all": lambda g, A: g.op("ReduceMean", A, name="foreign"),
    "the mean of both": lambda g, A: g.op("ReduceMean", A, np.array([0, 1]), name="foreign"),
    "the last but one": lambda g, A: g.op("Gather", A, np.int64(-2), axis=1, name="foreign"),
    "the last sample": lambda g, A: g.op("Gather", A, np.int64(-1), axis=0, name="foreign"),
    "the last two": lambda g, A: g.op("Slice", A, *map(np.array, ([-2], [2**62], [1])), name="foreign"),
    "all but the last": lambda g, A: g.op("Slice", A, *map(np.array, ([0], [-1], [1])), name="foreign"),
    "flat": lambda g, A: g.op("Flatten", A, name="foreign"),
    "over the samples": lambda g, A: last(g, A, hidden_size=6, name="foreign"),
}


@pytest.mark.parametrize("kind", [*REFUSED, *STEPS])
def test_refused_by_name(kind):
    opset = 11 if kind == "old softmax" else 20
    model = headed((REFUSED | STEPS)[kind], opset, ends=kind in REFUSED)
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_onnx(model)


def test_a_gelu_before_version_20_is_refused_with_a_cure():
    with pytest.raises(
        ValueError, match=r"Erf .*this kind of node is not supported; export a GELU with opset_version=20"
    ):
        interop.from_onnx(headed(gelu))


def test_a_product_from_the_left_is_told():
    with pytest.raises(ValueError, match=r"MatMul 'foreign' \(its weights are the left operand,"):
        interop.from_onnx(headed(REFUSED["the left operand"]))


def test_lengths_below_and_above():
    for above in (False, True):
        graph = Graph()
        A = graph.op("Transpose", "X", perm=[1, 0, 2])
        A = A if above else graph.op("Tanh", A)
        parts = graph.normal(1, 18, 5), graph.normal(1, 18, 6), graph.normal(1, 36), "lengths"
        Y = graph.op("GRU", A, *parts, hidden_size=6, outputs=2)[0]
        A = graph.op("Squeeze", Y, np.array([1]))
        model = graph.model(graph.op("Relu", A, name="above") if above else A)
        model.graph.input.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["m"]))
        if above:
            with pytest.raises(ValueError, match=r"^source: .*Relu 'above'"):
                interop.from_onnx(model)
            continue
        X, lengths = graph.rng.standard_normal((3, 4, 5)).astype(np.float32), np.array([4, 1, 2], np.int32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        due = session.run(None, {"X": X, "lengths": lengths})[0].swapaxes(0, 1)
        np.testing.assert_allclose(interop.from_onnx(model).predict(X, lengths), due, atol=1e-6)


# --- rows, channels first, convolutions and norms ---


def rows(g, A, *shape):
    """A Gemm on rows (m s, 6) and back to (m, s, 3), by numbers or by sizes of A."""
    Z = g.op("Gemm", g.op("Reshape", A, np.array([-1, 6])), g.normal(6, 3), g.normal(3))
    return g.op("Reshape", Z, *shape)


def sizes(g, A, axes=(0, 1)):
    """(m, s, 3) of A, as exporters write `y.view(x.size(0), x.size(1), -1)`."""
    each = [g.op("Unsqueeze", g.op("Gather", g.op("Shape", A), np.array(i)), np.array([0])) for i in axes]
    return g.op("Concat", *each, np.array([-1]), axis=0)


def product(g, A):
    """(m s, 6) of A, by its sizes multiplied."""
    m, s = (g.op("Gather", g.op("Shape", A), np.array(i)) for i in range(2))
    row = g.op("Reshape", g.op("Mul", m, s), np.array([-1]))
    return g.op("Concat", row, np.array([6]), axis=0)


def norm(g, n):
    """The scale, shift, mean and variance of n features."""
    return [g.normal(n), g.normal(n), g.normal(n), np.abs(g.normal(n)) + 0.5]


def convolved(g, strides=(1,), pads=(0, 0), **options):
    """A Conv, a BatchNormalization and a Relu on (m, 5, s); then a GRU."""
    A = g.op("Conv", "X", g.normal(7, 5, 3), g.normal(7), kernel_shape=[3], strides=strides, pads=pads, **options)
    A = g.op("Relu", g.op("BatchNormalization", A, *norm(g, 7), epsilon=0.01))
    return g.gru(g.op("Transpose", A, perm=[0, 2, 1]), 7, 6)


NEW = {
    "rows": lambda g, A: rows(g, A, sizes(g, A)),
    "rows out": lambda g, A: g.op("Gemm", g.op("Reshape", A, np.array([-1, 6])), g.normal(6, 3)),
    "rows by a product": lambda g, A: g.op("MatMul", g.op("Reshape", A, product(g, A)), g.normal(6, 3)),
    "rows by Slice": lambda g, A: rows(g, A, g.op("Concat", g.op(
        "Slice", g.op("Shape", A), np.array([0]), np.array([2])), np.array([3]), axis=0)),
    "rows by Slice, by steps of 1": lambda g, A: rows(g, A, g.op("Concat", g.op(
        "Slice", g.op("Shape", A), *map(np.array, ([0], [2], [0], [1]))), np.array([3]), axis=0)),
    "rows by Shape": lambda g, A: rows(g, A, g.op("Concat", g.op("Shape", A, end=2), np.array([-1]), axis=0)),
    "sizes that are divided": lambda g, A: g.op("Reshape", A, g.op("Div", g.op("Shape", A), np.array([1, 1, 1]))),
    "LayerNormalization": lambda g, A: g.op("LayerNormalization", A, g.normal(6), g.normal(6), epsilon=0.1),
    "LayerNormalization, no shift": lambda g, A: g.op("LayerNormalization", A, g.normal(6), axis=2),
    "BatchNormalization": lambda g, A: g.op("Transpose", g.op(
        "BatchNormalization", g.op("Transpose", A, perm=[0, 2, 1]), *norm(g, 6)), perm=[0, 2, 1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NEW)
def test_rows_and_norms(kind, same):
    graph = Graph()
    check(graph.model(NEW[kind](graph, graph.gru("X", 5, 6))), graph.normal(3, 4, 5), same)


@pytest.mark.parametrize("dilations", [(1,), (3,)])
@pytest.mark.parametrize(("strides", "pads"), [((1,), (0, 0)), ((2,), (1, 1)), ((1,), (2, 0)), ((3,), (0, 2))])
def test_convolutions(strides, pads, dilations, same):
    graph = Graph()
    model = graph.model(convolved(graph, strides, pads, dilations=dilations), shape=("m", 5, "s"))
    X = graph.normal(3, 9, 5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    same(interop.from_onnx(model).predict(X), session.run(None, {"X": X.swapaxes(1, 2)})[0], 1e-5)


def test_a_norm_tells_how_many_features_there_are(same):
    graph = Graph()
    A = graph.op("Transpose", graph.op("BatchNormalization", "X", *norm(graph, 5)), perm=[0, 2, 1])
    model = graph.model(graph.gru(graph.op("Mul", A, np.float32(2)), 5, 6), shape=("m", "e", "s"))
    X = graph.normal(3, 4, 5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    same(interop.from_onnx(model).predict(X), session.run(None, {"X": X.swapaxes(1, 2)})[0], 1e-5)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("length", [3, 4])
def test_a_convolution_that_pads_by_a_name(auto_pad, length, same):
    graph = Graph()
    A = graph.op("Conv", "X", graph.normal(7, 5, length), auto_pad=auto_pad)
    model = graph.model(graph.gru(graph.op("Transpose", A, perm=[0, 2, 1]), 7, 6), shape=("m", 5, "s"))
    X = graph.normal(3, 9, 5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    same(interop.from_onnx(model).predict(X), session.run(None, {"X": X.swapaxes(1, 2)})[0], 1e-5)


NOT = {
    "groups": lambda g: g.gru(g.op("Transpose", g.op("Conv", "X", g.normal(5, 1, 3), group=5, name="foreign"),
                                   perm=[0, 2, 1]), 5, 6),
    "auto_pad": lambda g: g.gru(g.op("Transpose", g.op("Conv", "X", g.normal(7, 5, 3), auto_pad="SAME_UPPER",
                                                       strides=[2], name="foreign"), perm=[0, 2, 1]), 7, 6),
    "over features": lambda g: g.op("Conv", g.gru(g.op("Transpose", "X", perm=[0, 2, 1]), 5, 6), g.normal(3, 4, 2),
                                    name="foreign"),
    "a norm of steps": lambda g: g.op("BatchNormalization", g.gru("X", 5, 6), *norm(g, 4), name="foreign"),
    "in training": lambda g: g.op("BatchNormalization", g.op("Transpose", g.gru("X", 5, 6), perm=[0, 2, 1]),
                                  *norm(g, 6), training_mode=1, name="foreign", outputs=3)[0],
    "a norm of both": lambda g: g.op("LayerNormalization", g.gru("X", 5, 6), g.normal(4, 6), axis=1, name="foreign"),
    "steps as they were": lambda g: g.op("Reshape", g.op("Gemm", g.op("Reshape", convolved(g), np.array([-1, 6])),
                                                         g.normal(6, 3)), sizes(g, "X", (0, 2)), name="foreign"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT)
def test_what_of_them_is_refused(kind):
    graph = Graph()
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_onnx(graph.model(NOT[kind](graph), shape=("m", "s", 5)))
