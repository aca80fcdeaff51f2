"""`from_onnx` on graphs without a GRU, and on nodes without the inputs that their kinds need: refused by name."""

import random
import tracemalloc

import numpy as np
import pytest

from cgru import interop

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

ARRAYS = {"first": np.array([0]), "last": np.array([-1]), "none": np.array([], np.int64), "v": np.ones(4, np.float32)}
KINDS = (
    *("Relu", "Sigmoid", "Tanh", "Softmax", "Elu", "Clip", "Transpose", "Squeeze", "Flatten", "Identity", "Dropout"),
    *("ReduceMean", "ReduceMax", "Split", "MatMul", "Gemm", "Add", "Mul", "Gather", "Slice", "Concat", "Reshape"),
    *("Unsqueeze", "Cast", "Expand", "Shape", "Pow"),
)


def graph(nodes, shape=(2, 3, 4), kind=TensorProto.FLOAT):
    x = helper.make_tensor_value_info("x", kind, shape)
    y = [onnx.ValueInfoProto(name=nodes[-1].output[0])] if nodes else []
    return helper.make_graph(nodes, "g", [x], y, [numpy_helper.from_array(a, name) for name, a in ARRAYS.items()])


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_alone_is_refused_with_its_kind_whatever_it_takes(kind):
    """On inputs of any rank and type, with as many inputs as it needs, fewer or more."""
    for shape in (None, (), (4,), ("m", "s"), (1, 1, 1), (2, 3, 4), (1, 2, 3, 4)):
        for inputs in ((), ("x",), ("x", "last"), ("x", "x"), ("first", "x"), ("x", "first", "last"), ("none",)):
            node = helper.make_node(kind, inputs, ["y"])
            for source in (graph([node], shape), graph([node], shape, TensorProto.INT64)):
                with pytest.raises(ValueError, match=rf"^source: .*\b{kind}\b"):
                    interop.from_onnx(source)


def test_a_part_of_the_input_is_not_taken_for_the_states_of_a_gru_that_is_not_there():
    nodes = [helper.make_node("Gather", ["x", "first"], ["part"]), helper.make_node("Relu", ["part"], ["y"])]
    for kinds in (["Relu", "Gather"], ["Sigmoid", "Transpose", "Gather"]):
        below = [helper.make_node(kind, [f"a{i}"], [f"a{i + 1}"]) for i, kind in enumerate(kinds[:-1])]
        below[0].input[0] = "x"
        with pytest.raises(ValueError, match=r"expected a standard GRU node in the main graph, got .*Gather"):
            interop.from_onnx(graph([*below, *nodes]))


def test_graphs_of_nothing_are_refused():
    empty = helper.make_graph([], "g", [], [])
    for source in (empty, helper.make_model(empty), onnx.ModelProto(), onnx.GraphProto(), b""):
        with pytest.raises(ValueError, match="expected a standard GRU node in the main graph, got none at all"):
            interop.from_onnx(source)


def test_a_gru_in_a_subgraph_alone_is_refused():
    W, R = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 12, 4)) for name in "WR")
    gru = helper.make_node("GRU", ["x", "W", "R"], ["y"], hidden_size=4)
    branch = helper.make_graph([gru], "branch", [], [onnx.ValueInfoProto(name="y")])
    node = helper.make_node("If", ["condition"], ["z"], then_branch=branch, else_branch=branch)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3, 4))
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, ())
    whole = helper.make_graph([node], "g", [x, W, R, condition], [onnx.ValueInfoProto(name="z")])
    with pytest.raises(ValueError, match="expected a standard GRU node in the main graph, got If"):
        interop.from_onnx(whole)


def test_random_graphs_without_a_gru_are_refused():
    for seed in range(400):
        rng = random.Random(seed)
        names, nodes = ["x"], []
        for i in range(rng.randint(1, 5)):
            kind = rng.choice(KINDS)
            inputs = [rng.choice(names[-2:]), *rng.choices([*ARRAYS, *names], k=rng.randint(0, 2))][
                rng.random() < 0.05 :
            ]
            axis = {"axis": rng.randint(-4, 4)} if kind in ("Softmax", "Flatten", "Gather", "Concat", "Split") else {}
            outputs = [f"y{i}"][: rng.random() > 0.03 or None]
            nodes.append(helper.make_node(kind, inputs, outputs, **axis))
            names += outputs
        shape = rng.choice([None, (), (1,), (1, 1), ("m", "s"), (2, 3, 4), ("m", "s", 4), (1, 1, 1)])
        proto = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [onnx.ValueInfoProto(name=names[-1])], [numpy_helper.from_array(a, name) for name, a in ARRAYS.items()],
        )  # fmt: skip
        with pytest.raises(ValueError, match=r"^source: "):
            interop.from_onnx(proto)


GRU = helper.make_node("GRU", ["x", "W", "R"], ["states"], name="the last node", hidden_size=4)


def test_constants_that_nodes_double_are_refused():
    """A chain of thirty makes a thousand million of one."""
    nodes = [helper.make_node("Concat", ["v", "v"], ["c0"], axis=0)]
    nodes += [helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(30)]
    nodes.append(GRU)
    with pytest.raises(
        ValueError, match=r"^source: node \d\d, Concat '' works on constants of more than 64 times the model"
    ):
        interop.from_onnx(graph(nodes))


def test_many_nodes_that_share_a_constant_are_refused():
    """As each would make a layer with the numbers of its own."""
    big = numpy_helper.from_array(np.zeros((1000, 1000), np.float32), "w")  # X has 1000 features
    proto = graph(
        [helper.make_node("MatMul", [f"a{i}" if i else "x", "w"], [f"a{i + 1}"]) for i in range(100)] + [GRU],
        (2, 3, 1000),
    )
    proto.initializer.append(big)
    with pytest.raises(ValueError, match=r"^source: node \d\d, MatMul '' works on constants of more than 64 times"):
        interop.from_onnx(proto)


def test_long_names_and_many_axes_are_not_copied_at_each_node():
    """Both stand in the reason of each of many nodes that are refused."""
    long = "x" * 100_000
    first = helper.make_node("Identity", [long], ["a"], name=long)
    proto = graph([first, *(helper.make_node("Pow", ["a", "v"], [f"y{i}"]) for i in range(3000))])
    proto.input[0].name = long
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^source: expected a standard GRU node"):
        interop.from_onnx(proto)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6, peak
    with pytest.raises(ValueError, match=r"^source: .*65"):
        interop.from_onnx(graph([helper.make_node("Relu", ["x"], ["y"]), GRU], (1,) * 65))
