"""`from_onnx` and `to_onnx` against ONNX Runtime (float32, layout 0) and `onnx.reference` (float64 and layout 1).

The reference knows no `sequence_lens` and no activations but tanh and sigmoid. The ONNX project's own cases run too.
"""

import copy
import sys

import numpy as np
import pytest
from helpers import some
from interop_cases import SIZES, TOLERANCE, assert_same_layers, batch, mask, network

import cgru
from cgru import interop
from cgru.variant import RESET_AFTER

REASON = "ONNX Runtime is not installed: pip install onnx onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

NODES = {  # with the alphas and betas of each: a node hands them out in order to those of its functions that take one
    "Tanh": ([], []), "Sigmoid": ([], []), "Relu": ([], []), "LeakyRelu": ([0.25], []), "Elu": ([0.5], []),
    "Affine": ([1.0], [0.0]),
}  # fmt: skip


def run(model, feed, runtime=True):
    """The outputs, by ONNX Runtime or by the reference."""
    onnx.checker.check_model(model, full_check=True)
    if not runtime:
        return ReferenceEvaluator(model).run(None, feed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


class Foreign:
    """A stack of GRU nodes as an exporter writes them: X -> Y of the last and Y_h of all, stacked."""

    def __init__(self, rng, dtype, layout, e, u, depth, directions, ragged, activations=None):
        self.dtype, self.layout, self.ragged = dtype, layout, ragged
        self.arrays, self.nodes, self.rng = {}, [], rng
        self.kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        X, self.u = "X", u
        D = 2 if directions == "bidirectional" else 1
        for number in range(depth):
            X = self.layer(number, X, e if number == 0 else D * u, D, directions, depth, activations)
        self.nodes[-1].output[0] = "Y"
        self.nodes.append(helper.make_node("Concat", [f"Y_h{i}" for i in range(depth)], ["states"], axis=layout))
        value, s_m = helper.make_tensor_value_info, ("m", "s") if layout else ("s", "m")
        states = ["m", depth * D, u] if layout else [depth * D, "m", u]
        inputs = [value("X", self.kind, [*s_m, e]), value("initial_h", self.kind, states)]
        if ragged:
            inputs.append(value("sequence_lens", onnx.TensorProto.INT32, ["m"]))
        outputs = [value("Y", self.kind, [*s_m, D * u]), value("states", self.kind, states)]
        initializers = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "foreign", inputs, outputs, initializers)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def array(self, name, value):
        self.arrays[name] = np.asarray(value)
        return name

    def layer(self, number, X, e, D, direction, depth, activations):
        u, normal = self.u, lambda *shape: (self.rng.standard_normal(shape) / np.sqrt(shape[-1] + 3)).astype(self.dtype)
        names = [self.array(f"W{number}", normal(D, 3 * u, e)), self.array(f"R{number}", normal(D, 3 * u, u))]
        names.append(self.array(f"B{number}", normal(D, 6 * u)) if self.rng.integers(4) else "")
        names.append("sequence_lens" if self.ragged else "")
        ends = [self.array(f"{end}{number}", [value]) for end, value in (("a", number * D), ("b", number * D + D))]
        axis = self.array("axis", [self.layout])
        h0 = self.add("Slice", ["initial_h", *ends, axis], f"h{number}")
        attributes = {} if activations is None else self.activations(activations, D)
        before = int(self.rng.integers(2))
        node = helper.make_node("GRU", [X, *names, h0], [f"Y{number}", f"Y_h{number}"], hidden_size=u,
                                direction=direction, layout=self.layout, linear_before_reset=before,
                                **attributes)  # fmt: skip
        self.nodes.append(node)
        if D == 1:
            return self.add("Squeeze", [f"Y{number}", self.array("d", [2 if self.layout else 1])], f"A{number}")
        Y = f"Y{number}"
        if not self.layout:
            Y = self.add("Transpose", [Y], f"T{number}", perm=[0, 2, 1, 3])
        return self.add("Reshape", [Y, self.array("beside", [0, 0, -1])], f"A{number}")

    def activations(self, names, D):
        found = {"activations": list(names) * D}
        for place, key in enumerate(("activation_alpha", "activation_beta")):
            values = [value for name in names for value in NODES[name][place]] * D
            if values:
                found[key] = values
        return found

    def feed(self, X, h0, lengths):
        X = np.nan_to_num(X)
        feed = {"X": X, "initial_h": h0.swapaxes(0, 1)} if self.layout else {"X": X.swapaxes(0, 1), "initial_h": h0}
        feed = {name: np.ascontiguousarray(value) for name, value in feed.items()}
        return feed | ({"sequence_lens": lengths.astype(np.int32)} if self.ragged else {})


@pytest.mark.parametrize("seed", some(50, range(200)))
def test_random_nodes(same, seed):
    rng = np.random.default_rng(seed)
    m, s, e, u = (int(n) for n in rng.choice(SIZES, 4))
    runtime = seed % 3 > 0
    layout, dtype = (0, "float32") if runtime else (int(rng.integers(2)), "float64")
    s, depth, direction = min(s, 7), int(rng.integers(1, 4)), str(rng.choice(["forward", "reverse", "bidirectional"]))
    ragged = runtime and bool(rng.integers(2))
    activations = ("Sigmoid", str(rng.choice(list(NODES)))) if runtime else None
    if runtime and depth == 1 and rng.integers(2):  # with such gates rounding errors grow from layer to layer
        activations = "Tanh", str(rng.choice(["Tanh", "Sigmoid"]))
    foreign = Foreign(rng, dtype, layout, e, u, depth, direction, ragged, activations)
    D = 2 if direction == "bidirectional" else 1
    lengths, X, h0 = batch(rng, s, ragged, dtype, (m, s, e), (depth * D, m, u))
    Y, last = run(foreign.model, foreign.feed(X, h0, lengths), runtime)

    net = interop.from_onnx(foreign.model)
    A, states = net.predict(X, lengths, h0, return_state=True)
    assert A.dtype == states.dtype == dtype
    same(A, Y if layout else Y.swapaxes(0, 1), TOLERANCE[dtype], "outputs")
    same(states, last.swapaxes(0, 1) if layout else last, TOLERANCE[dtype], "last states")

    back = interop.to_onnx(net, dtype=dtype)  # a pair of biases comes back as (sum, 0)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in back.graph.initializer}
    for number, layer in enumerate(net.layers):
        np.testing.assert_array_equal(found[f"{number}.W"], foreign.arrays[f"W{number}"])
        np.testing.assert_array_equal(found[f"{number}.R"], foreign.arrays[f"R{number}"])
        into, other = np.split(foreign.arrays.get(f"B{number}", np.zeros((D, 6 * u), dtype)), 2, axis=1)
        n = 2 * u if layer.cells[0].variant is RESET_AFTER else 3 * u
        due = [into[:, :n] + other[:, :n], into[:, n:], np.zeros_like(into[:, :n]), other[:, n:]]
        np.testing.assert_array_equal(found[f"{number}.B"], np.concatenate(due, axis=1))
    for entry in list(back.metadata_props):  # read by its nodes, as if another had written it
        back.metadata_props.remove(entry)
    assert_same_layers(interop.from_onnx(back).layers, net.layers)


def random_stack(rng, dtype, runtime):
    """Layers of all kinds, and the number of tokens, or None."""
    tokens = int(rng.choice([1, 7])) if rng.integers(3) == 0 else None
    layers = [cgru.Embedding(tokens, int(rng.choice(SIZES)), dtype=dtype)] if tokens else []
    u = int(rng.choice(SIZES))
    for _ in range(rng.integers(1, 4)):
        names = rng.choice(["tanh", "relu", "lrelu", "elu", "identity", "sigmoid"], 1)
        activate, gates = getattr(cgru, names[0]), cgru.sigmoid
        options = {"activate": activate, "activate_update": gates, "activate_reset": gates} if runtime else {}
        layer = cgru.GRU(u, sequences=True, dtype=dtype, reset_after=bool(rng.integers(2)),
                         reverse=bool(rng.integers(2)), dropout=0.25,
                         se_hPars={"LRELU_alpha": 0.125, "ELU_alpha": 0.75}, **options)  # fmt: skip
        if rng.integers(2):
            layer.reverse = False
            layer = cgru.Bidirectional(layer, str(rng.choice(["concat", "sum", "mean", "mul"])))
        layers += [layer, *([cgru.Dropout(0.5)] * int(rng.integers(2))), *([cgru.Flip()] * int(rng.integers(2)))]
    end = rng.integers(5)
    if end < 3:
        how = str(rng.choice(["mean", "max", "last", "last+mean+max", "max+last", "attention", "mean+attention"]))
        layers.append(cgru.Pool(how, int(rng.choice(SIZES)) if "attention" in how and rng.integers(2) else None))
    elif end == 3:
        layers[-1:] = [] if isinstance(layers[-1], cgru.Flip | cgru.Dropout) else layers[-1:]
        layers[-1:] = [] if isinstance(layers[-1], cgru.Flip | cgru.Dropout) else layers[-1:]
        layers[-1].sequences = False
    if rng.integers(2):
        numbers = {"softmax_temperature": 0.5, "LRELU_alpha": 0.25, "ELU_alpha": 0.5}
        f = rng.choice(["softmax", "sigmoid", "identity", "tanh", "relu", "lrelu", "elu"])
        layers += [
            cgru.Scale(dtype=dtype),
            cgru.Activation(f, numbers),
            cgru.Clip(0.125, (0.25, None)[rng.integers(2)]),
        ]
    if rng.integers(2):
        names = ["softmax", "sigmoid", "identity", "tanh", "relu", "lrelu", "elu"]
        numbers = {"softmax_temperature": 0.5, "LRELU_alpha": 0.25, "ELU_alpha": 0.5}
        layers.append(cgru.Dense(3, cgru.relu, dtype=dtype))
        layers.append(cgru.Dense(4, getattr(cgru, rng.choice(names)), se_hPars=numbers, dtype=dtype))
    return layers, tokens


@pytest.mark.parametrize("seed", some(50, range(200)))
def test_random_networks_from_here(same, seed):
    rng = np.random.default_rng(seed)
    runtime = seed % 3 > 0
    dtype = "float32" if runtime else "float64"
    layers, tokens = random_stack(rng, dtype, runtime)
    m, s, e = (int(n) for n in rng.choice(SIZES, 3))
    s, ragged, states = min(s, 7), runtime and bool(rng.integers(2)), bool(rng.integers(2))
    net = network(rng, e, dtype, tokens, layers)
    lengths, X = batch(rng, s, ragged, dtype, (m, s, e))
    if tokens:
        X = rng.integers(0, tokens, (m, s))
        if ragged:
            X[~mask(lengths, s)] = tokens + 9
    elif rng.integers(2):
        net.mean, net.scale = rng.standard_normal(e), rng.uniform(0.5, 2, e)
    _, due = net.predict(X, lengths, return_state=True)
    h0 = rng.standard_normal(due.shape).astype(dtype)
    A, due = net.predict(X, lengths, h0 if states else None, return_state=True)

    model = interop.to_onnx(net, dtype=dtype, lengths=ragged, states=states)
    feed = {"X": X, "lengths": None if lengths is None else lengths.astype(np.int32), "h0": h0}
    Y, *last = run(model, {value.name: feed[value.name] for value in model.graph.input}, runtime)
    same(A, Y, TOLERANCE[dtype], "outputs")
    if states:
        same(due, last[0], TOLERANCE[dtype], "last states")

    back = interop.from_onnx(model)
    assert_same_layers(back.layers, net.layers)
    np.testing.assert_array_equal(back.predict(X, lengths), net.predict(X, lengths))
    assert (back.loss, back.seed) == (net.loss, net.seed)


@pytest.mark.parametrize("tokens", [0, 5])
@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("runtime", [True, False])
def test_a_learned_h0(same, runtime, reset_after, tokens):
    """Of a batch of any size: the graph repeats it."""
    rng, dtype = np.random.default_rng(2), "float32" if runtime else "float64"
    options = {"sequences": True, "learn_h0": True, "reset_after": reset_after, "dtype": dtype}
    layers = [cgru.GRU(7, **options), cgru.Bidirectional(cgru.GRU(3, **options), "mul"), cgru.GRU(5, **options)]
    net = network(rng, 4, dtype, tokens, [cgru.Embedding(tokens, 4, dtype=dtype), *layers] if tokens else layers)
    assert all(cell.p["h0"].any() for layer in layers for cell in layer.cells)
    model = interop.to_onnx(net, dtype=dtype)
    for m in (1, 6):
        X = rng.integers(0, tokens, (m, 5)) if tokens else rng.standard_normal((m, 5, 4)).astype(dtype)
        same(net.predict(X), run(model, {"X": X}, runtime)[0], TOLERANCE[dtype])
    back = interop.from_onnx(model)
    assert_same_layers(back.layers, net.layers)
    np.testing.assert_array_equal(back.predict(X), net.predict(X))
    del model.metadata_props[:]
    with pytest.raises(ValueError, match="expected initial_h to be zeros or an input of the graph"):
        interop.from_onnx(model)


@pytest.mark.filterwarnings("default")
def test_the_cases_of_the_onnx_project():
    from onnx.backend.test.case import node
    from onnx.backend.test.case.node import gru  # noqa: F401  # its import makes them

    cases = [case for case in node._NodeTestCases if case.model.graph.node[0].op_type == "GRU"]
    assert len(cases) >= 6
    for case in cases:
        layout = {a.name: a.i for a in case.model.graph.node[0].attribute}.get("layout", 0)
        for inputs, outputs in case.data_sets:
            given = dict(zip((value.name for value in case.model.graph.input), inputs, strict=True))
            X = given.pop("X")
            case.model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in given.items())
            net = interop.from_onnx(case.model)
            Y, Y_h = net.predict(X if layout else X.swapaxes(0, 1), return_state=True)
            Y, D = Y if layout else Y.swapaxes(0, 1), len(Y_h)
            Y = Y.reshape(*Y.shape[:2], D, -1)
            found = {"Y": Y if layout else Y.swapaxes(1, 2), "Y_h": Y_h.swapaxes(0, 1) if layout else Y_h}
            for value, due in zip(case.model.graph.output, outputs, strict=True):
                np.testing.assert_allclose(found[value.name], due, case.rtol, case.atol, err_msg=case.name)


def test_a_trained_classifier(same, tmp_path):
    data = cgru.datasets.load_japanese_vowels()
    net = cgru.Network([cgru.GRU(8), cgru.Dense(9, cgru.softmax)], seed=0, class_names=list("abcdefghi"))
    net.fit(data.train.X, data.train.y, epochs=2, standardize=True)
    X, lengths = data.test.X.X.astype(np.float32), data.test.X.lengths
    model = interop.to_onnx(net, lengths=True)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    (Y,) = run(onnx.load(path), {"X": X, "lengths": lengths.astype(np.int32)})
    same(net.predict(X, lengths), Y, 1e-5)
    assert not np.isnan(run(model, {"X": np.where(mask(lengths, X.shape[1])[:, :, None], X, np.nan).astype(np.float32),
                                    "lengths": lengths.astype(np.int32)})[0]).any()  # fmt: skip
    for source in (path, str(path), path.read_bytes(), model):
        back = interop.from_onnx(source)
        assert back.class_names == net.class_names
        same(back.predict(X, lengths), Y, 1e-5)
    exact = interop.from_onnx(interop.to_onnx(net, dtype=np.float64))
    np.testing.assert_array_equal(exact.predict(X, lengths), net.predict(X, lengths))


def test_a_graph_that_was_changed_is_read_by_its_nodes():
    rng = np.random.default_rng(0)
    net = network(rng, 3, "float32", stack=[cgru.GRU(4, sequences=True, dtype="float32", dropout=0.5)])
    model = interop.to_onnx(net)
    assert interop.from_onnx(model).layers[0].dropout == 0.5
    node = next(node for node in model.graph.node if node.op_type == "GRU")
    next(a for a in node.attribute if a.name == "linear_before_reset").i = 1
    changed = interop.from_onnx(model)
    assert changed.layers[0].variant is RESET_AFTER
    assert changed.layers[0].dropout == 0
    net = network(rng, 3, "float32", stack=[cgru.GRU(4, dtype="float32"), cgru.Dense(2, dtype="float32")])
    model = interop.to_onnx(net)
    model.graph.initializer[-1].name = "another"
    with pytest.raises(ValueError, match=r"^source: .*node 5, Add"):
        interop.from_onnx(model)


def test_last_states_of_both_directions(same):
    rng = np.random.default_rng(0)
    net = network(rng, 3, "float64", stack=[cgru.Bidirectional(cgru.GRU(4)), cgru.Dense(2)])
    X = rng.standard_normal((5, 6, 3))
    (Y,) = run(interop.to_onnx(net, dtype="float64"), {"X": X}, runtime=False)
    same(net.predict(X), Y, 1e-10)


@pytest.mark.parametrize("turned", [False, True])
def test_layouts_that_differ(same, turned):
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}{i}": rng.standard_normal((1, 12, width)) / 2 for i in (0, 1) for name, width in (("W", 4), ("R", 4))
    }
    nodes = [
        helper.make_node("GRU", ["X", "W0", "R0"], ["Y0"], hidden_size=4, layout=1),
        helper.make_node("Squeeze", ["Y0", "d"], ["A0"]),
        helper.make_node(
            "Transpose" if turned else "Identity", ["A0"], ["B0"], **{"perm": [1, 0, 2]} if turned else {}
        ),
        helper.make_node("GRU", ["B0", "W1", "R1"], ["Y1"], name="upper", hidden_size=4),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "layouts", [value("X", onnx.TensorProto.DOUBLE, ["m", "s", 4])],
        [value("Y1", onnx.TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(array, name) for name, array in (arrays | {"d": np.array([2])}).items()],
    )  # fmt: skip
    if not turned:
        with pytest.raises(ValueError, match=r"^source: .*'upper'"):
            interop.from_onnx(graph)
        return
    X = rng.standard_normal((3, 5, 4))
    due = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).run(None, {"X": X})[
        0
    ]
    same(interop.from_onnx(graph).predict(X), due[:, 0].swapaxes(0, 1), 1e-10)


def test_one_sample_squeezed_away(same):
    rng = np.random.default_rng(0)
    arrays = {"W": rng.standard_normal((1, 12, 4)), "R": rng.standard_normal((1, 12, 4)) / 2, "axes": np.array([0, 2])}
    nodes = [helper.make_node("GRU", ["X", "W", "R"], ["Y"], hidden_size=4, layout=1),
             helper.make_node("Squeeze", ["Y", "axes"], ["A"])]  # fmt: skip
    X, A = (helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, shape)
            for name, shape in (("X", [1, 5, 4]), ("A", [5, 4])))  # fmt: skip
    graph = helper.make_graph(nodes, "one", [X], [A], [numpy_helper.from_array(a, name) for name, a in arrays.items()])
    X = rng.standard_normal((1, 5, 4))
    due = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).run(None, {"X": X})[
        0
    ]
    same(interop.from_onnx(graph).predict(X)[0], due, 1e-10)


@pytest.mark.parametrize("name", ["LeakyRelu", "Elu", "Affine"])
def test_alphas_that_are_not_said(same, name):
    rng = np.random.default_rng(0)
    foreign = Foreign(rng, "float32", 0, 3, 4, 1, "bidirectional", False, ("Sigmoid", name))
    node = next(node for node in foreign.model.graph.node if node.op_type == "GRU")
    for given in [a for a in node.attribute if a.name.startswith("activation_")]:
        node.attribute.remove(given)
    _, X, h0 = batch(rng, 5, False, "float32", (2, 5, 3), (2, 2, 4))
    if name == "Affine":  # for which ONNX names no alpha; ONNX Runtime takes 0
        with pytest.raises(ValueError, match="to be the identity, with alpha 1 and beta 0, got 0 and 0"):
            interop.from_onnx(foreign.model)
        return
    Y = run(foreign.model, foreign.feed(X, h0, None))[0].swapaxes(0, 1)
    same(interop.from_onnx(foreign.model).predict(X, None, h0), Y, 1e-5)


def test_h0_that_is_zero():
    rng = np.random.default_rng(0)
    foreign = Foreign(rng, "float32", 0, 3, 4, 1, "forward", False)
    net, X = interop.from_onnx(foreign.model), rng.standard_normal((2, 5, 3)).astype(np.float32)
    graph = foreign.model.graph
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2, 4), np.float32), "initial_h"))
    np.testing.assert_array_equal(interop.from_onnx(graph).predict(X), net.predict(X))
    graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.ones((1, 2, 4), np.float32), "initial_h"))
    with pytest.raises(ValueError, match="expected initial_h to be zeros or an input of the graph"):
        interop.from_onnx(graph)


STACKS = [{}, {"batch_first": True}, {"num_layers": 3}, {"num_layers": 2, "bidirectional": True}]


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("options", STACKS)
def test_what_pytorch_exports(same, tmp_path, options, folded):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    module = torch.nn.GRU(3, 5, **options).eval()
    x = torch.randn(4, 6, 3)
    torch.onnx.export(
        module, (x,), tmp_path / "gru.onnx", dynamo=False, do_constant_folding=folded,
        input_names=["x"], dynamic_axes={"x": [0, 1]},
    )  # fmt: skip
    X = x.numpy() if module.batch_first else x.numpy().swapaxes(0, 1)
    A, states = interop.from_onnx(tmp_path / "gru.onnx").predict(X, return_state=True)
    due, due_states = interop.from_torch(module).predict(X, return_state=True)
    same(A, due, 1e-6)
    same(states, due_states, 1e-6)


def exported(module, tmp_path, *inputs, **options):
    """What PyTorch writes of a module."""
    import torch

    torch.onnx.export(module.eval(), inputs, tmp_path / "gru.onnx", dynamo=False, **options)
    return tmp_path / "gru.onnx"


def in_module(forward, **options):
    """A module around a GRU, and that GRU."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = torch.nn.GRU(3, 5, 2, batch_first=True, **options)

        def forward(self, *inputs):
            return forward(self.gru, *inputs)

    return Module()


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("dynamic", [None, {"x": [0, 1], "h0": [1]}])
def test_what_pytorch_exports_with_h0(same, tmp_path, dynamic):
    module = in_module(lambda gru, x, h0: gru(x, h0), dropout=0.5, bidirectional=True)
    rng = np.random.default_rng(0)
    X, h0 = rng.standard_normal((2, 6, 3)).astype(np.float32), rng.standard_normal((4, 2, 5)).astype(np.float32)
    import torch

    path = exported(module, tmp_path, torch.tensor(X), torch.tensor(h0), input_names=["x", "h0"], dynamic_axes=dynamic)
    net = interop.from_onnx(path)
    due = interop.from_torch(module.gru)
    for got, other in zip(*(n.predict(X, None, h0, return_state=True) for n in (net, due)), strict=True):
        same(got, other, 1e-6)


@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_exports_of_one_sequence(same, tmp_path):
    import torch

    module = torch.nn.GRU(3, 5)
    X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    net = interop.from_onnx(exported(module, tmp_path, torch.tensor(X)))
    due, last = module(torch.tensor(X))
    A, states = net.predict(X[None], return_state=True)
    same(A[0], due.detach().numpy(), 1e-6)
    same(states[:, 0], last.detach().numpy(), 1e-6)


FORWARDS = {
    "standardised": lambda gru, x: gru((x - 3) / 2),
    "flipped": lambda gru, x: gru(x.flip(1)),
    "cut": lambda gru, x: gru(x[:, 1:]),
    "clipped": lambda gru, x: gru(x.clip(-1, 1)),
    "summed": lambda gru, x: gru(x.cumsum(1)),
    "normalized": lambda gru, x: gru((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)),
    "rectified": lambda gru, x: gru(x.relu()),
    "h0 that is computed": lambda gru, x: gru(x, x[:, :1, :1].transpose(0, 1).expand(2, -1, 5).contiguous()),
    "h0 of ones": lambda gru, x: gru(x, x.new_ones(2, 2, 5)),
    "flipped after": lambda gru, x: gru(x)[0].flip(1),
    "summed after": lambda gru, x: gru(x)[0].sum(1),
    "the last step": lambda gru, x: gru(x)[0][:, -1],
    "last states, turned": lambda gru, x: gru(x)[1].flip(0),
    "doubled after": lambda gru, x: gru(x)[0] * 2,
}
# A layer of ours is the same.
EXACT = ("standardised", "clipped", "rectified", "the last step", "summed after", "doubled after")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", EXACT)
def test_what_pytorch_exports_around_a_gru_that_is_a_layer(same, tmp_path, kind):
    module = in_module(FORWARDS[kind])
    import torch

    path = exported(module, tmp_path, torch.randn(2, 6, 3), input_names=["x"], dynamic_axes={"x": [0, 1]})
    X = 3 * np.random.default_rng(0).standard_normal((3, 8, 3)).astype(np.float32)
    due = module.eval()(torch.tensor(X))
    due = due if isinstance(due, torch.Tensor) else due[0]
    same(interop.from_onnx(path).predict(X), due.detach().numpy(), 1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind in FORWARDS if kind not in EXACT])
def test_what_pytorch_exports_around_a_gru(tmp_path, kind):
    module = in_module(FORWARDS[kind])
    import torch

    path = exported(module, tmp_path, torch.randn(2, 6, 3), input_names=["x"], dynamic_axes={"x": [0, 1]})
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_onnx(path)


def changed(change, **options):
    """A foreign model of one node, after `change(node, graph)`."""
    options = {"depth": 1, "directions": "forward", "ragged": False} | options
    foreign = Foreign(np.random.default_rng(0), "float32", 0, 3, 4, **options)
    node = next(node for node in foreign.model.graph.node if node.op_type == "GRU")
    change(node, foreign.model.graph)
    return foreign.model


def attribute(**values):
    """A change that sets attributes of the node."""
    return lambda node, graph: node.attribute.extend(helper.make_attribute(*item) for item in values.items())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: changed(attribute(clip=3.0)), "it has a clip"),
        (lambda: changed(attribute(activations=["Sigmoid", "Softsign"])), "got Softsign"),
        (lambda: changed(attribute(activations=["Sigmoid", "Affine"], activation_alpha=[2.0])), "expected Affine"),
        (
            lambda: changed(attribute(activations=["Sigmoid", "Tanh", "Tanh", "Tanh"]), directions="bidirectional"),
            "the same two activations",
        ),
        (lambda: changed(lambda node, graph: graph.initializer.remove(graph.initializer[0])), "'W0' is not an init"),
        (lambda: changed(lambda node, graph: graph.node[-2].CopyFrom(helper.make_node("Abs", ["Y0"], ["Y"]))), "Abs"),
        (
            lambda: changed(lambda node, graph: graph.node.remove(node)),
            "expected a standard GRU node in the main graph, got Concat, Slice, Squeeze",
        ),
        (lambda: helper.make_tensor_value_info("X", 1, [1]), "expected an ONNX model or graph"),
        (lambda: b"no model", "expected an ONNX model with all its weights"),
    ],
)  # fmt: skip
def test_refused_from_there(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        interop.from_onnx(make())


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        ([cgru.GRU(3, zoneout=0.1)], {}, "it has zoneout"),
        ([cgru.GRU(3, activate_reset=cgru.tanh)], {}, "own activations for both z and r"),
        ([cgru.GRU(3, np.tanh)], {}, "not one of cgru's own|expected one of cgru's own"),
        ([cgru.GRU(3, stateful=True)], {}, "it has stateful"),
        ([cgru.Bidirectional(cgru.GRU(3, reverse=True))], {}, "is not forward"),
        ([cgru.GRU(3, cgru.lrelu)], {"dtype": "float64"}, "ONNX stores an alpha as float32, which 0.3 is not"),
        ([cgru.GRU(3, cgru.lrelu, se_hPars={"LRELU_alpha": 2.0})], {}, "a slope above 1"),
        ([cgru.GRU(3, sequences=True), cgru.GRU(4)], {"states": True}, "states: expected recurrent layers with"),
        ([cgru.GRU(3, learn_h0=True)], {"states": True}, "expected no learned h0 with states=True"),
        ([cgru.GRU(3)], {"dtype": "float16"}, "dtype: expected float32 or float64"),
        ([cgru.GRU(3)], {"lengths": 1}, "lengths: expected True or False"),
    ],
)  # fmt: skip
def test_refused_from_here(layers, options, words):
    cgru.Network(layers).predict(np.zeros((1, 1, 3)))  # makes the parameters
    with pytest.raises((TypeError, ValueError), match=words):
        interop.to_onnx(layers, **options)


def test_without_parameters_and_without_the_package(monkeypatch):
    with pytest.raises(RuntimeError, match="net: expected parameters, got none yet"):
        interop.to_onnx(cgru.GRU(3))
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (interop.to_onnx, interop.from_onnx):
        with pytest.raises(ImportError, match=r"pip install onnx$"):
            call(cgru.GRU(3))


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    "frames", [(1,), (3,), (3, 1), (4, 2, False), (2, 5), (2, 5, False), (3, 1, (2, 0)), (4, 2, (1, 3)), (2, 3, (5, 6))]
)
def test_frames(frames, every, lengths):
    """Upon a standardised input, between layers and upon tokens; the lengths of what comes above follow."""
    rng = np.random.default_rng(0)
    below = [cgru.Frames(*frames), cgru.GRU(7, sequences=every)]
    between = [cgru.Bidirectional(cgru.GRU(3, sequences=True)), *below[:1], cgru.Frames(2), cgru.GRU(4, sequences=True)]
    between += [] if every else [cgru.Pool("mean+last+max+attention", 5)]
    for layers in (below, copy.deepcopy(between), [cgru.Embedding(5, 3), *copy.deepcopy(below)]):
        net = cgru.Network([*layers, cgru.Dense(2, "softmax")], seed=1, dtype=np.float32)
        tokens = "tokens" in layers[0].reads
        net.make(np.zeros((1, 30), int) if tokens else np.zeros((1, 30, 2)))
        if layers is below:
            net.mean, net.scale = np.array([1.0, 2.0]), np.array([2.0, 0.5])
        model = interop.to_onnx(net, lengths=lengths)
        back, session = interop.from_onnx(model), onnxruntime.InferenceSession(model.SerializeToString())
        for s in (9, 17):
            X = rng.integers(0, 5, (4, s)) if tokens else rng.standard_normal((4, s, 2)).astype(np.float32)
            given = {"X": X} | ({"lengths": np.array([s, 5, 8, s - 1], np.int32)} if lengths else {})
            due = net.predict(X, given.get("lengths"))
            np.testing.assert_allclose(session.run(None, given)[0], due, atol=3e-6)
            np.testing.assert_array_equal(back.predict(X, given.get("lengths")), due)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(
    "window", [(3,), (4, 1, "same", 2), (3, 2, "valid"), (2, 3, (5, 1), 2), (1,), (5, 1, (0, 4))], ids=str
)
def test_convolutions(window, lengths):
    """As one Conv each, upon padding that is never read; the lengths of what comes above follow."""
    rng = np.random.default_rng(0)
    layers = [cgru.Conv1D(4, *window, activate="relu"), cgru.GRU(5, sequences=True), cgru.Conv1D(3, *window)]
    net = cgru.Network([*layers, cgru.Dense(2, "softmax")], seed=1, dtype=np.float32)
    X = rng.standard_normal((4, 30, 2)).astype(np.float32)
    net.make(X)
    given = {"X": X}
    if lengths:
        given["lengths"] = np.array([30, 16, 17, 29], np.int32)
        X[~mask(given["lengths"], 30)] = np.nan
    model, due = interop.to_onnx(net, lengths=lengths), net.predict(X, given.get("lengths"))
    assert [node.op_type for node in model.graph.node].count("Conv") == 2
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)[0]
    np.testing.assert_allclose(found, due, atol=3e-6)
    np.testing.assert_array_equal(interop.from_onnx(model).predict(X, given.get("lengths")), due)
    if not lengths:
        del model.metadata_props[:]
        np.testing.assert_allclose(interop.from_onnx(model).predict(X), due, atol=3e-6)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", [cgru.Normalize, cgru.Difference])
def test_statistics_along_the_steps(kind, keep, lengths):
    """Upon an input of unlike sizes, one feature constant, and between layers; what stands in padding is never read."""
    rng = np.random.default_rng(0)
    top = [cgru.GRU(7, sequences=True), kind(keep), cgru.Pool("mean+last+max"), cgru.Dense(2, "softmax")]
    net = cgru.Network([kind(keep), *top], seed=1, dtype=np.float32)
    net.make(np.zeros((1, 9, 3)))
    for mean, scale in ((None, None), (np.array([1.0, 2, 3]), np.array([2.0, 0.5, 1]))):
        net.mean, net.scale = mean, scale
        model = interop.to_onnx(net, lengths=lengths)
        back, session = interop.from_onnx(model), onnxruntime.InferenceSession(model.SerializeToString())
        for s in (1, 9, 17):
            X = (rng.standard_normal((4, s, 3)) * 10.0 ** rng.uniform(-2, 0.3, (4, 1, 3))).astype(np.float32)
            X[:, :, 1] = 0.7
            given = {"X": X}
            if lengths:
                given["lengths"] = np.array([s, max(1, s - 4), 1, max(1, s - 1)], np.int32)
                X[~mask(given["lengths"], s)] = np.nan
            due = net.predict(X, given.get("lengths"))
            np.testing.assert_allclose(
                session.run(None, given)[0], due, atol=3e-5
            )  # rounding grows where deviations of states are small
            np.testing.assert_array_equal(back.predict(X, given.get("lengths")), due)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [cgru.Normalize(), cgru.Normalize(keep=False), cgru.Difference()], ids=repr)
def test_statistics_alone(layer, dtype, lengths):
    """Their own numbers at each step, to rounding, of series far from zero too."""
    rng = np.random.default_rng(0)
    net = cgru.Network([layer, cgru.Dense(layer.parts * 3, "identity")], seed=0, dtype=dtype)
    X = (rng.standard_normal((4, 9, 3)) + np.array([0, 1000, 0])).astype(dtype)
    X[:, :, 2] = 3
    net.make(X)
    net.head.p["W"][...], net.head.p["b"][...] = np.eye(layer.parts * 3), 0
    given = {"X": X} | ({"lengths": np.array([9, 5, 1, 8], np.int32)} if lengths else {})
    model = interop.to_onnx(net, dtype=dtype, lengths=lengths)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    np.testing.assert_allclose(found, net.predict(X, given.get("lengths")), rtol=4 * np.finfo(dtype).eps, atol=1e-12)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_norm(dtype, lengths):
    """Its own numbers, upon padding that is never read; a node of its kind in float32, in float64 its equation."""
    rng = np.random.default_rng(0)
    net = cgru.Network([cgru.LayerNorm(0.25), cgru.Dense(5, "identity")], seed=0, dtype=dtype)
    X = (3 * rng.standard_normal((4, 9, 5)) + 2).astype(dtype)
    net.make(X)
    for name, row in net.layers[0].p.items():
        row[...] = rng.standard_normal(row.shape) + (name == "scale")
    given = {"X": X}
    if lengths:
        given["lengths"] = np.array([9, 5, 1, 8], np.int32)
        X[~mask(given["lengths"], 9)] = np.nan
    model = interop.to_onnx(net, dtype=dtype, lengths=lengths)
    kinds = {node.op_type for node in model.graph.node}
    assert ("LayerNormalization" in kinds) == (dtype == "float32") == ("Sqrt" not in kinds)
    due = net.predict(X, given.get("lengths"))
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    np.testing.assert_allclose(found, due, atol=1e-12 if dtype == "float64" else 2e-6)
    np.testing.assert_array_equal(interop.from_onnx(model).predict(X, given.get("lengths")), due)


# --- last states alone, and one node out of a graph ---

# Of Y_h (D, m, u): the nodes to an output, and the numbers of theirs in our order.
FORMS = {
    "as it is": ([], lambda A: A.transpose(1, 0, 2).reshape(A.shape[1], -1)),
    "samples first": ([("Transpose", {"perm": [1, 0, 2]})], lambda A: A.reshape(len(A), -1)),
    "flat": ([("Transpose", {"perm": [1, 0, 2]}), ("Flatten", {})], lambda A: A),
    "with a function": ([("Transpose", {"perm": [1, 0, 2]}), ("Flatten", {}), ("Relu", {})], lambda A: A),
}


def of_last_states(direction, form, depth, ragged, outputs):
    """GRU nodes, X (s, m, 3) -> Y_h of the last in a form, before or after all its states with "both"."""
    rng, D, nodes, constants = np.random.default_rng(0), 2 if direction == "bidirectional" else 1, [], []
    for i in range(depth):
        for name, shape in (("W", (D, 12, 4 * D if i else 3)), ("R", (D, 12, 4)), ("B", (D, 24))):
            constants.append(numpy_helper.from_array(rng.standard_normal(shape).astype("f4") / 2, f"{name}{i}"))
        last = i == depth - 1
        made = ["" if last and outputs == "Y_h" else f"Y{i}", f"Y_h{i}"]
        given = [f"A{i - 1}" if i else "X", f"W{i}", f"R{i}", f"B{i}", "lengths" if ragged else ""]
        nodes.append(helper.make_node("GRU", given, made, name=f"gru {i}", hidden_size=4, direction=direction))
        if not last:
            nodes.append(helper.make_node("Transpose", [f"Y{i}"], [f"T{i}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"T{i}", "flat"], [f"A{i}"]))
    constants.append(numpy_helper.from_array(np.array([0, 0, -1]), "flat"))
    A = f"Y_h{depth - 1}"
    for i, (kind, attributes) in enumerate(FORMS[form][0]):
        nodes.append(helper.make_node(kind, [A], [f"B{i} of Y_h"], **attributes))
        A = f"B{i} of Y_h"
    value = helper.make_tensor_value_info
    given = [value("X", 1, ["s", "m", 3]), *([value("lengths", 6, ["m"])] if ragged else [])]
    names = [A] if outputs != "both" else [A, f"Y{depth - 1}"]
    ranks = [2 if "Flatten" in dict(FORMS[form][0]) else 3, 4]
    axes = [[None] * rank for rank in ranks]
    made = [value(*each) for each in zip(names, (1, 1), axes, strict=False)]
    graph = helper.make_graph(nodes, "ends", given, made, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("outputs", ["Y, Y_h", "Y_h", "both"])
def test_last_states(same, outputs, direction, form, depth, ragged):
    """Where no other output is there `predict` returns them, else all states."""
    model = of_last_states(direction, form, depth, ragged, outputs)
    rng = np.random.default_rng(1)
    X, lengths = rng.standard_normal((5, 6, 3)).astype("f4"), np.array([5, 1, 4, 2, 5, 3]) if ragged else None
    if outputs == "both" and form == "with a function":
        with pytest.raises(ValueError, match=r"^source: "):
            interop.from_onnx(model)
        return
    due = run(model, {"X": X} | ({"lengths": lengths.astype("i4")} if ragged else {}))
    A = interop.from_onnx(model).predict(X.swapaxes(0, 1), lengths)
    due = due[1].transpose(2, 0, 1, 3).reshape(6, 5, -1) if outputs == "both" else FORMS[form][1](due[0])
    same(A, due, 1e-5)


def test_the_last_states_of_a_layer_below(same):
    model = of_last_states("forward", "as it is", 2, False, "Y_h")
    model.graph.output[0].name = "Y_h0"
    X = np.random.default_rng(1).standard_normal((5, 6, 3)).astype("f4")
    same(interop.from_onnx(model).predict(X.swapaxes(0, 1)), run(model, {"X": X})[0][0], 1e-5)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_mean_with_an_axis_of_size_1(kept):
    """Which no output of ours has."""
    model = of_last_states("forward", "as it is", 1, False, "Y, Y_h")
    model.graph.node.append(helper.make_node("Squeeze", ["Y0", "one"], ["states"]))
    model.graph.node.append(helper.make_node("ReduceMean", ["states"], ["mean"], axes=[0], keepdims=kept))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    model.graph.output[0].name = "mean"
    assert interop.from_onnx(model).predict(np.ones((2, 6, 3))).shape == (2, 4)


@pytest.mark.parametrize("equation", ["aab,aac->ac", "abc,abc->aa", "abc,abc"])
def test_an_einsum_that_is_no_attention(equation):
    model = of_last_states("forward", "as it is", 1, False, "Y, Y_h")
    model.graph.node.append(helper.make_node("Squeeze", ["Y0", "one"], ["states"]))
    model.graph.node.append(helper.make_node("Einsum", ["states", "states"], ["made"], equation=equation))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    model.graph.output[0].name = "made"
    with pytest.raises(ValueError, match=r"^source: .*Einsum"):
        interop.from_onnx(model)


def test_a_gru_that_is_cut_out_of_a_graph(same, tmp_path):
    """Each by itself, also with weights that nodes of constants make."""
    model = of_last_states("bidirectional", "as it is", 2, False, "both")
    graph = model.graph
    graph.node.append(helper.make_node("Exp", ["Y1"], ["power"]))
    graph.output[0].name = "power"
    next(tensor for tensor in graph.initializer if tensor.name == "W1").name = "stored"
    graph.node.insert(0, helper.make_node("Reshape", ["stored", "shape"], ["W1"]))
    graph.initializer.append(numpy_helper.from_array(np.array([2, -1, 8]), "shape"))
    onnx.save(model, tmp_path / "whole.onnx")
    with pytest.raises(ValueError, match=r"^source: .*Exp"):
        interop.from_onnx(tmp_path / "whole.onnx")

    def cut(start, stop):
        onnx.utils.extract_model(tmp_path / "whole.onnx", tmp_path / "part.onnx", [start], [stop])
        return interop.from_onnx(tmp_path / "part.onnx")

    X = np.random.default_rng(0).standard_normal((5, 6, 3)).astype("f4")
    del graph.node[-1:], graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(*each) for each in (("A0", 1, [None] * 3), ("Y1", 1, [None] * 4)))
    below, above = run(model, {"X": X})
    same(cut("X", "A0").predict(X.swapaxes(0, 1)), below.swapaxes(0, 1), 1e-5)
    same(cut("A0", "Y1").predict(below.swapaxes(0, 1)), above.transpose(2, 0, 1, 3).reshape(6, 5, -1), 1e-5)


@pytest.mark.parametrize("damage", ["location", "attribute", "dtype"])
def test_a_damaged_file_is_a_value_error(tmp_path, damage):
    """Whatever the onnx package raises."""
    model = of_last_states("forward", "as it is", 1, False, "Y, Y_h")
    if damage == "location":
        onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="w", size_threshold=0)
        (tmp_path / "w").unlink()
    elif damage == "attribute":
        next(a for a in model.graph.node[0].attribute if a.name == "direction").type = 2
    else:
        model.graph.initializer[0].data_type = 99
    if damage != "location":
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_onnx(tmp_path / "a.onnx")


def test_quantised_products_without_a_gru():
    """What is missing is a GRU, not floats."""
    node = helper.make_node("MatMul", ["X", "W"], ["Y"])
    W = numpy_helper.from_array(np.ones((3, 4), np.uint8), "W")
    X = helper.make_tensor_value_info("X", 2, ["m", "s", 3])
    graph = helper.make_graph([node], "int8", [X], [onnx.ValueInfoProto(name="Y")], [W])
    with pytest.raises(ValueError, match=r"^source: expected a standard GRU node .* got MatMul"):
        interop.from_onnx(graph)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["sum", "bmm", "einsum"])
def test_attention_that_pytorch_exports(same, tmp_path, way):
    """The same patterns as in a trace by torch.fx."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.score = torch.nn.GRU(3, 5, batch_first=True), torch.nn.Linear(5, 1)
            self.out = torch.nn.Linear(5, 2)

        def forward(self, x):
            y = self.gru(x)[0]
            a = torch.softmax(self.score(y), 1)
            ways = {
                "sum": lambda: (a * y).sum(1),
                "bmm": lambda: torch.bmm(a.transpose(1, 2), y).squeeze(1),
                "einsum": lambda: torch.einsum("bs,bsu->bu", a.squeeze(-1), y),
            }
            return self.out(ways[way]())

    module = Attention().eval()
    path = exported(module, tmp_path, torch.randn(2, 6, 3), input_names=["x"], dynamic_axes={"x": [0, 1]})
    net, X = interop.from_onnx(path), torch.randn(3, 8, 3)
    assert [type(layer) for layer in net.layers] == [cgru.GRU, cgru.layers.Pool, cgru.Dense]
    same(net.predict(X.numpy()), module(X).detach().numpy(), 1e-5)
