"""`from_onnx` on graphs with something foreign in one place: refused with its name, or the numbers of ONNX Runtime.

Samples, steps, features and units are all 4, so that hardly anything fails by its shape alone.
"""

import functools
import itertools
import re

import numpy as np
import pytest

from cgru import interop

REASON = "ONNX Runtime is not installed: pip install onnx onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

N = 4
PLACES = ("X", "below", "raw 0", "between", "raw 1", "Y", "h0", "start 0", "start 1", "end 0", "end 1", "states", "W 0")


class Chain:
    """Two GRU nodes as an exporter writes them, X (m, s, e), h0 and perhaps lengths -> Y (m, s, D u), last states.

    At one place, between an array and what takes it, stands what `foreign(chain, array, rank)` adds.
    """

    def __init__(self, D=1, dynamic=False, place=None, foreign=None, functions=()):
        self.rng, self.nodes, self.arrays = np.random.default_rng(0), [], {}
        self.place, self.foreign, self.D, self.dynamic = place, foreign, D, dynamic
        A = self.at("below", self.op("Transpose", self.at("X", "X"), perm=[1, 0, 2]))
        h0, lengths, ends = self.at("h0", "h0"), self.at("lengths", "lengths") if dynamic else "", []
        for i in range(2):
            own = self.op("Slice", h0, self.array([i * D]), self.array([i * D + D]), self.array([0]))
            W, R, B = (
                self.array(self.rng.standard_normal(shape).astype(np.float32) / 2)
                for shape in ((D, 3 * N, N * D if i else N), (D, 3 * N, N), (D, 6 * N))
            )
            W = self.at(f"W {i}", W)
            Y, end = self.op(
                "GRU", A, W, R, B, lengths, self.at(f"start {i}", own, 3), outputs=2, name=f"gru {i}", hidden_size=N,
                direction="bidirectional" if D == 2 else "forward", linear_before_reset=i,
            )  # fmt: skip
            Y = self.at(f"raw {i}", Y, 4)
            if D == 2:
                A = self.op("Reshape", self.op("Transpose", Y, perm=[0, 2, 1, 3]), self.array([0, 0, -1]))
            else:
                A = self.op("Squeeze", Y, self.array([1]))
            A = A if i else self.at("between", A)
            ends.append(self.at(f"end {i}", end))
        Y = self.at("Y", self.op("Transpose", A, perm=[1, 0, 2]))
        states = self.at("states", self.op("Concat", *ends, axis=0))
        self.nodes += [helper.make_node("Identity", [A], [B]) for A, B in ((Y, "out"), (states, "last"))]
        m, s = ("m", "s") if dynamic else (N, N)
        value, real = helper.make_tensor_value_info, TensorProto.FLOAT
        inputs = [value("X", real, [m, s, N]), value("h0", real, [2 * D, m, N])]
        if dynamic:
            inputs.append(value("lengths", TensorProto.INT32, ["m"]))
        outputs = [value(name, real, None) for name in ("out", "last")]
        initializers = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        opsets = [
            helper.make_opsetid(domain, version) for domain, version in (("", 18), ("own", 1), ("com.microsoft", 1))
        ]
        graph = helper.make_graph(self.nodes, "chain", inputs, outputs, initializers)
        self.model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))

    def op(self, kind, *inputs, outputs=1, name=None, domain="", **attributes):
        names = [f"{kind}_{len(self.nodes)}_{k}" for k in range(outputs)]
        node = helper.make_node(kind, inputs, names, name=name or names[0], domain=domain, **attributes)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def array(self, value):
        name = f"array_{len(self.arrays)}"
        self.arrays[name] = np.asarray(value)
        return name

    def at(self, place, name, rank=3):
        return self.foreign(self, name, rank) if place == self.place else name

    def run(self, X, h0, lengths):
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {"X": X, "h0": h0} | ({"lengths": lengths.astype(np.int32)} if self.dynamic else {})
        return session.run(None, feed)

    def data(self):
        X, h0 = self.rng.standard_normal((N, N, N)), self.rng.standard_normal((2 * self.D, N, N))
        return X.astype(np.float32), h0.astype(np.float32), self.rng.integers(1, N + 1, N) if self.dynamic else None


# --- what is put in: each adds nodes, all with "foreign" in their names, and returns the last one's output ---


def one(kind, *arrays, **attributes):
    """A node of one input and constants."""
    return lambda chain, A, rank: chain.op(kind, A, *map(chain.array, arrays), name="foreign", **attributes)


def along(axis, add):
    """`add(chain, A, axis)`, where there is that axis."""
    return lambda chain, A, rank: add(chain, A, axis if axis < rank else 0)


def reverse(chain, A, axis):
    return chain.op("Slice", A, *(chain.array([n]) for n in (-1, -(2**62), axis, -1)), name="foreign")


def roll(chain, A, axis):
    parts = [chain.op("Slice", A, *(chain.array([n]) for n in (*ends, axis)), name=f"foreign {ends}")
             for ends in ((1, 2**31 - 1), (0, 1))]  # fmt: skip
    return chain.op("Concat", *parts, axis=axis, name="foreign")


def swap(chain, A, axis):
    parts = chain.op("Split", A, name="foreign parts", outputs=2, axis=axis, num_outputs=2)
    return chain.op("Concat", *parts[::-1], axis=axis, name="foreign")


def gather(indices):
    return lambda chain, A, axis: chain.op("Gather", A, chain.array(indices), axis=axis, name="foreign")


def first(chain, A, axis):
    """The first along an axis, twice as often as it was there."""
    part = chain.op("Slice", A, *(chain.array([n]) for n in (0, 1, axis)), name="foreign part")
    return chain.op("Concat", part, part, axis=axis, name="foreign")


def pair(*steps):
    """Nodes one behind the other."""

    def add(chain, A, rank):
        for i, (kind, arrays, attributes) in enumerate(steps):
            A = chain.op(kind, A, *map(chain.array, arrays), name=f"foreign {i}", **attributes)
        return A

    return add


def transpose(chain, A, rank, *, of=None):
    perm = of(range(rank))
    return chain.op("Transpose", A, perm=list(perm), name="foreign")


def twice(chain, A, rank):
    perm = [*range(1, rank), 0]
    back = [rank - 1, *range(rank - 1)]
    return chain.op("Transpose", chain.op("Transpose", A, perm=perm, name="foreign"), perm=back, name="foreign back")


def dropout(chain, A, rank, *, training):
    ratio, flag = chain.array(np.float32(0.5)), chain.array(np.array(training))
    return chain.op("Dropout", A, ratio, flag, name="foreign")


def branch(chain, A, rank):
    kind = TensorProto.FLOAT
    parts = [
        helper.make_graph(
            [helper.make_node(kind_, [A], [name])], name, [], [helper.make_tensor_value_info(name, kind, None)]
        )
        for kind_, name in (("Identity", "then"), ("Neg", "else"))
    ]
    flag = chain.array(np.array(True))
    return chain.op("If", flag, name="foreign", then_branch=parts[0], else_branch=parts[1])


def unsqueeze_and_reshape(chain, A, rank):
    return pair(("Unsqueeze", ([0],), {}), ("Reshape", ([0] * rank + [-1],), {}), ("Squeeze", ([0],), {}))(
        chain, A, rank
    )


def join(chain, A, rank):
    return chain.op("Add", A, A, name="foreign")


def rotate(kind):
    def add(chain, A, rank):
        shape = chain.op("Shape", A, name="foreign shape")
        flat = chain.op("Reshape", A, chain.array([-1]), name="foreign flat")
        return chain.op(
            "Reshape", flat if kind == "same" else chain.op("Neg", flat, name="foreign change"), shape, name="foreign"
        )

    return add


def backwards(chain, A, rank):
    """The steps of each sample turned round, which nothing but ReverseSequence does at once."""
    lengths = chain.array(np.full(N, N))
    return chain.op("ReverseSequence", A, lengths, batch_axis=0, time_axis=1, name="foreign")


SHIFT = np.float32(0.5)
EXACT = {
    "Identity": one("Identity"),
    "Identity of ai.onnx": one("Identity", domain="ai.onnx"),
    "Dropout": one("Dropout"),
    "Dropout in inference": functools.partial(dropout, training=False),
    "Cast": one("Cast", to=TensorProto.FLOAT),
    "Transpose and back": twice,
    "Unsqueeze and Squeeze": pair(("Unsqueeze", ([1],), {}), ("Squeeze", ([1],), {})),
    "Unsqueeze and Reshape": unsqueeze_and_reshape,
    "Slice of all": one("Slice", [0], [2**31 - 1], [1]),
    "Slice of all, by numbers": one("Slice", [0, 0], [2**62, 2**62], [-1, 0], [1, 1]),
}
FOREIGN = {
    "Sub": one("Sub", SHIFT),
    "Mul": one("Mul", SHIFT),
    "Div": one("Div", SHIFT),
    "standardised": pair(("Sub", (SHIFT,), {}), ("Div", (SHIFT,), {})),
    "Neg": one("Neg"),
    "Abs": one("Abs"),
    "Relu": one("Relu"),
    "Tanh": one("Tanh"),
    "Clip": one("Clip", np.float32(-0.1), np.float32(0.1)),
    "Softmax": one("Softmax", axis=-1),
    "Add": join,
    "Round": one("Round"),
    "CumSum": one("CumSum", np.int64(1)),
    "LayerNormalization": one("LayerNormalization", np.ones(1, np.float32)),
    "MatMul": one("MatMul", np.ones((N, N), np.float32)),
    "half and back": pair(("Cast", (), {"to": TensorProto.FLOAT16}), ("Cast", (), {"to": TensorProto.FLOAT})),
    "quantized": pair(("QuantizeLinear", (SHIFT, np.int8(0)), {}), ("DequantizeLinear", (SHIFT, np.int8(0)), {})),
    "Dropout in training": functools.partial(dropout, training=True),
    "If": branch,
    "function": one("Twice", domain="own"),
    "com.microsoft": one("Gelu", domain="com.microsoft"),
    "flat and back": rotate("same"),
    "flat, negative and back": rotate("negative"),
    "Reshape": one("Reshape", [2, 2 * N, -1]),
    "Flatten": pair(("Flatten", (), {"axis": 2}), ("Reshape", ([N, -1, N],), {})),
    "Expand": one("Expand", [N, 1, N, N]),
    "ReverseSequence": backwards,
    "Transpose without perm": one("Transpose"),
    "Pad": one("Pad", [0, 0, 0, 0, 0, 0]),
}
FOREIGN |= {f"reverse {axis}": along(axis, reverse) for axis in range(4)}
FOREIGN |= {f"roll {axis}": along(axis, roll) for axis in range(4)}
FOREIGN |= {f"swap {axis}": along(axis, swap) for axis in range(4)}
FOREIGN |= {f"first {axis}": along(axis, first) for axis in range(4)}
FOREIGN |= {f"Gather 2 {axis}": along(axis, gather([1, 0])) for axis in range(4)}
FOREIGN |= {f"Gather 4 {axis}": along(axis, gather([0, 1, 3, 2])) for axis in range(4)}
FOREIGN |= {f"Gather one {axis}": along(axis, gather(np.int64(0))) for axis in range(4)}
FOREIGN |= {
    f"Transpose {order}": functools.partial(
        transpose, of=lambda axes, order=order: sorted(axes, key=lambda i: order[i] if i < 3 else 3)
    )
    for order in itertools.permutations(range(3))
    if order != (0, 1, 2)
}


def twice_function():
    nodes = [helper.make_node("Add", ["A", "A"], ["B"])]
    return helper.make_function("own", "Twice", ["A"], ["B"], nodes, [helper.make_opsetid("", 18)])


def turned(A):
    """An array with its first two axes in either order: which are the samples is for the graph to say."""
    return A, A.swapaxes(0, 1)


def holds(A, due):
    """Whether an output is A, or of last states those of some layers."""
    pieces = (B[i : i + n] for B in turned(A) for n in range(1, len(B) + 1) for i in range(len(B) - n + 1))
    return any(
        np.allclose(B.ravel(), other.ravel(), atol=1e-5)
        for B in pieces
        for other in (due.transpose(order) for order in itertools.permutations(range(due.ndim)))
        if B.size == other.size
    )


def check(chain, refused):
    """That the chain is refused with the name of what stands in it, or gives the numbers of ONNX Runtime."""
    X, h0, lengths = chain.data()
    try:
        net = interop.from_onnx(chain.model)
    except ValueError as error:
        assert refused, error  # noqa: PT017
        assert re.match(r"source: .*(node|output) ", str(error)), error  # noqa: PT017
        return
    due = chain.run(X, h0, lengths)
    anyhow = (X.transpose(order) for order in itertools.permutations(range(3)))  # which axis is which the graph says
    for given, start in itertools.product(anyhow, turned(h0)):
        if len(start) == 2 * chain.D:
            found = net.predict(given, lengths, start, return_state=True)
            if all(map(holds, found, due)):
                return
    raise AssertionError("accepted, and other numbers")


@pytest.mark.parametrize(("D", "dynamic"), [(1, False), (2, True)])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", EXACT)
def test_what_keeps_all_numbers(kind, place, D, dynamic):
    check(Chain(D, dynamic, place, EXACT[kind]), refused=place == "W 0" and kind.startswith("Dropout"))


@pytest.mark.parametrize(("D", "dynamic"), [(1, False), (2, True)])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_may_not(kind, place, D, dynamic):
    chain = Chain(D, dynamic, place, FOREIGN[kind], functions=[twice_function()] * (kind == "function"))
    check(chain, refused=place != "Y" or not kind.startswith("Transpose"))  # which may be the output's own order


LENGTHS = {"Identity": one("Identity"), "Cast": pair(("Cast", (), {"to": TensorProto.INT64}), ("Cast", (), {"to": 6}))}
NO_LENGTHS = {
    "Sub": one("Sub", np.int32(1)),
    "Gather": one("Gather", [1, 0, 2, 3]),
    "half": pair(("Cast", (), {"to": TensorProto.FLOAT}), ("Cast", (), {"to": TensorProto.INT32})),
    "byte": pair(("Cast", (), {"to": TensorProto.INT8}), ("Cast", (), {"to": TensorProto.INT32})),
    "Slice": one("Slice", [-1], [-(2**62)], [0], [-1]),
    "a constant": lambda chain, A, rank: chain.op("Constant", name="foreign", value_ints=[4, 3, 2, 1]),
}


@pytest.mark.parametrize("kind", [*LENGTHS, *NO_LENGTHS])
def test_lengths(kind):
    check(Chain(2, True, "lengths", (LENGTHS | NO_LENGTHS)[kind]), refused=kind in NO_LENGTHS)


def test_a_function_that_takes_the_place_of_a_node():
    own = helper.make_function("", "Identity", ["A"], ["B"], [helper.make_node("Neg", ["A"], ["B"])],
                               [helper.make_opsetid("", 18)])  # fmt: skip
    with pytest.raises(ValueError, match=r"node 0, Identity 'foreign' \(this kind of node is not"):
        interop.from_onnx(Chain(1, False, "X", one("Identity"), [own]).model)


def test_the_long_name_of_onnx():
    """ "ai.onnx" is the domain "" by another name, of opsets, nodes and functions."""
    chain = Chain(1, False, "X", one("Dropout", domain="ai.onnx"))
    chain.model.opset_import[0].domain = "ai.onnx"
    X, h0, _ = chain.data()
    due = interop.from_onnx(Chain().model).predict(X, None, h0)
    np.testing.assert_array_equal(interop.from_onnx(chain.model).predict(X, None, h0), due)
    chain.model.opset_import[0].version = 6  # whose Dropout drops out
    with pytest.raises(ValueError, match=r"node 0, Dropout 'foreign' \(it applies dropout"):
        interop.from_onnx(chain.model)
    own = helper.make_function("ai.onnx", "Dropout", ["A"], ["B"], [helper.make_node("Neg", ["A"], ["B"])],
                               [helper.make_opsetid("", 18)])  # fmt: skip
    with pytest.raises(ValueError, match=r"node 0, Dropout 'foreign' \(this kind of node is not"):
        interop.from_onnx(Chain(1, False, "X", one("Dropout"), [own]).model)


# --- graphs that are wired otherwise ---


class Wired:
    """A chain whose model is changed by hand."""

    def __init__(self, D=1, dynamic=False):
        self.model = Chain(D, dynamic).model
        self.graph = self.model.graph
        self.grus = [node for node in self.graph.node if node.op_type == "GRU"]

    def add(self, node, before=0):
        self.graph.node.insert(before, node)

    def take(self, name, *shape, kind=TensorProto.FLOAT):
        self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))


def rewire(change, **options):
    def make():
        wired = Wired(**options)
        change(wired)
        return wired.model

    return make


def inputs(i, place, name):
    """GRU i takes another array in one place."""
    return lambda wired: wired.grus[i].input.__setitem__(place, name)


def starts(*names, shape=(1, N, N)):
    """The GRUs start from inputs of these names."""

    def change(wired):
        for name in set(names) - {"h0", "X", ""}:
            wired.take(name, *shape)
        for gru, name in zip(wired.grus, names, strict=True):
            gru.input[5] = name

    return change


def sliced(*numbers):
    """The GRUs start from these layers of h0."""

    def change(wired):
        wired.graph.initializer.extend(numpy_helper.from_array(np.array([n]), f"at {n}") for n in range(5))
        for gru, n in zip(wired.grus, numbers, strict=True):
            names = ["h0", f"at {n}", f"at {n + 1}", "at 0"]
            wired.add(helper.make_node("Slice", names, [f"{gru.name} starts"], name=f"{gru.name} starts"))
            gru.input[5] = f"{gru.name} starts"

    return change


def out(name):
    """Another array is the output."""
    return lambda wired: wired.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def told(**values):
    """Attributes of the first GRU are others."""

    def change(wired):
        kept = [a for a in wired.grus[0].attribute if a.name not in values]
        del wired.grus[0].attribute[:]
        wired.grus[0].attribute.extend([*kept, *(helper.make_attribute(*item) for item in values.items())])

    return change


def by_units(wired):
    """h0 (1, m, 2) for layers of one unit, cut along its units."""
    wired.graph.initializer.extend(numpy_helper.from_array(np.array([n]), f"at {n}") for n in range(4))
    wired.graph.input[1].CopyFrom(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [1, N, 2]))
    for n, gru in enumerate(wired.grus):
        for k, shape in enumerate([(1, 3, 1 if n else N), (1, 3, 1), (1, 6)], 1):
            gru.input[k] = f"thin {n} {k}"
            wired.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), gru.input[k]))
        next(a for a in gru.attribute if a.name == "hidden_size").i = 1
        wired.add(helper.make_node("Slice", ["h0", f"at {n}", f"at {n + 1}", "at 2"], [f"own {n}"], name="by units"))
        gru.input[5] = f"own {n}"


def far(wired):
    wired.graph.initializer[0].data_location = TensorProto.EXTERNAL


def sparse(wired):
    W = wired.grus[0].input[1]
    dense = next(t for t in wired.graph.initializer if t.name == W)
    values = numpy_helper.from_array(numpy_helper.to_array(dense).ravel()[:2].copy(), W)
    places = numpy_helper.from_array(np.arange(2), "places")
    wired.graph.initializer.remove(dense)
    wired.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, dense.dims))


def twice_made(wired):
    wired.add(helper.make_node("Identity", ["X"], [wired.grus[0].input[1]], name="again"))


def looped(wired):
    body = helper.make_graph(
        [wired.grus[0]], "body", [], [helper.make_tensor_value_info(wired.grus[0].output[0], 1, None)]
    )
    at = list(wired.graph.node).index(wired.grus[0])
    wired.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    node = helper.make_node(
        "If", ["flag"], [wired.grus[0].output[0]], name="inside", then_branch=body, else_branch=body
    )
    wired.graph.node.remove(wired.grus[0])
    wired.add(node, at)


@pytest.mark.parametrize(
    "make",
    [
        (rewire(inputs(1, 0, "X"))),
        (rewire(starts("X", "X"), dynamic=True)),
        (rewire(starts("h0", "h0", shape=()))),
        (rewire(starts("g", "g"))),
        (rewire(starts("X", "g"), dynamic=True)),
        (rewire(starts("g", ""))),
        (rewire(sliced(1, 0))),
        (rewire(sliced(0, 0))),
        (rewire(inputs(1, 5, ""))),
        (rewire(inputs(0, 5, ""))),
        (rewire(inputs(0, 4, ""), dynamic=True)),
        (rewire(lambda wired: wired.graph.input[1].type.tensor_type.shape.dim[0].__setattr__("dim_value", 3))),
        (rewire(lambda wired: wired.graph.input[1].type.tensor_type.shape.dim.add())),
        (rewire(out("GRU_2_0"))),
        (rewire(out("X"))),
        (rewire(out("nothing"))),
        (rewire(told(output_sequence=1))),
        (rewire(told(hidden_size=5))),
        (rewire(told(direction="sideways"))),
        (rewire(told(layout=2))),
        (rewire(told(layout=1))),
        (rewire(by_units)),
        (rewire(far)),
        (rewire(sparse)),
        (rewire(twice_made)),
        (rewire(looped)),
        (rewire(lambda wired: wired.grus[0].__setattr__("domain", "own"))),
        (rewire(inputs(0, 1, ""))),
        (rewire(inputs(0, 2, "array_5"))),
        (rewire(inputs(0, 1, "array_0"))),
    ],
)  # fmt: skip
def test_wired_otherwise(make):
    with pytest.raises((TypeError, ValueError), match=r"^(source|array_0): "):
        interop.from_onnx(make())


def test_an_input_for_each_layer():
    model = rewire(starts("g", "f"))()
    chain = Chain()
    X, h0, _ = chain.data()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    due = session.run(None, {"X": X, "h0": h0, "g": h0[:1], "f": h0[1:]})
    A, states = interop.from_onnx(model).predict(X, None, h0, return_state=True)
    np.testing.assert_allclose(A, due[0], atol=1e-5)
    np.testing.assert_allclose(states, due[1], atol=1e-5)


def test_a_part_of_the_last_states():
    with pytest.raises(ValueError, match=r"^source: output 'GRU_2_1'"):
        interop.from_onnx(rewire(out("GRU_2_1"))())
    model, chain = Chain().model, Chain()
    model.graph.output[1].name = "GRU_2_1"
    X, h0, _ = chain.data()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    due = session.run(["GRU_2_1"], {"X": X, "h0": h0})[0]
    _, states = interop.from_onnx(model).predict(X, None, h0, return_state=True)
    np.testing.assert_allclose(states[:1], due, atol=1e-5)
