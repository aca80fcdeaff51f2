"""What of cgru.interop needs no other library; against the others themselves it is tested in tests/rivals."""

import os
import sys

import numpy as np
import pytest
from helpers import assert_close, random_batch, run_python
from interop_cases import assert_same_layers, parameters, recurrent

import cgru
from cgru import activations, interop, layers
from cgru.interop import graph_reader
from cgru.interop.gates import FUNCTIONS, KERAS, ONNX, TORCH, alpha_of, dtype_of, gate_options, refusal
from cgru.layers.layer import Layer
from cgru.variant import RESET_AFTER, RESET_BEFORE

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("order", [TORCH, KERAS, ONNX], ids=["torch", "keras", "onnx"])
@pytest.mark.parametrize("variant", [RESET_BEFORE, RESET_AFTER], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_table(order, variant, dtype):
    e, u = 3, 4
    p = parameters(RNG, e, u, variant, dtype)
    p["bz"][0, 0] = -0.0
    W, R, into, back = order.from_cgru(p)
    assert (W.shape, R.shape) == (((12, 3), (12, 4)) if order.rows else ((3, 12), (4, 12)))
    for i, gate in enumerate(("r", "z", "hh") if order is TORCH else ("z", "r", "hh")):
        at = slice(i * u, (i + 1) * u)
        U, V = (W[at].T, R[at].T) if order.rows else (W[:, at], R[:, at])
        np.testing.assert_array_equal(U, p["U" + gate])
        np.testing.assert_array_equal(V, p["V" + gate])
        np.testing.assert_array_equal(into[at], p["b" + gate][0])
        np.testing.assert_array_equal(back[at], p["chh"][0] if "c" + gate in variant.names else np.zeros(u))
    again = order.to_cgru(W, R, into, back, variant)
    assert list(again) == list(variant.names)
    for name, value in again.items():
        assert value.tobytes() == p[name].tobytes()
        assert not np.shares_memory(value, W)
    added = order.to_cgru(W, R, into, back + 1, variant)
    np.testing.assert_array_equal(added["br"], p["br"] + 1)
    np.testing.assert_array_equal(added["bhh"], p["bhh"] + (variant is RESET_BEFORE))


def test_every_activation_is_in_the_table():
    assert {function.own for function in FUNCTIONS} == {*activations.NAMED.values()}
    for function in FUNCTIONS:
        keys = [function.key] if function.key else []
        assert keys == [key for key in ("LRELU_alpha", "ELU_alpha") if alpha_of(function.own, {key: 0.75}) == 0.75]
        assert function.checked_alpha(np.float32(0.5), "its alpha is", refusal("f")) == dict.fromkeys(keys, 0.5)
        assert alpha_of(function.own, None) == (activations.parameter(None, function.key) if keys else 0)


def test_the_alphas_where_none_is_given():
    """Of Keras's functions by their names, and of ONNX's nodes; the names differ in the identity alone."""
    assert {function.name: (function.keras, function.onnx) for function in FUNCTIONS if function.key} == {
        "leaky_relu": (0.2, 0.01),
        "elu": (1.0, 1.0),
    }


def test_two_activations_of_one_gru():
    lrelu, elu, tanh = activations.lrelu, activations.elu, activations.tanh
    both = gate_options((lrelu, {"LRELU_alpha": 0.3}), (elu, {"ELU_alpha": 2.0}), refusal("f"))
    assert both == {
        "activate": lrelu,
        "activate_update": elu,
        "activate_reset": elu,
        "se_hPars": {"LRELU_alpha": 0.3, "ELU_alpha": 2.0},
    }
    assert gate_options((tanh, {}), (elu, {"ELU_alpha": 2.0}), refusal("f"))["se_hPars"] == {"ELU_alpha": 2.0}
    assert gate_options((tanh, {}), (tanh, {}), refusal("f"))["se_hPars"] is None
    with pytest.raises(ValueError, match=r"^f: expected the same alpha for both activations$"):
        gate_options((elu, {"ELU_alpha": 1.0}), (elu, {"ELU_alpha": 2.0}), refusal("f"))


@pytest.mark.parametrize("reverse", [(True, True), (False, False), (True, False)])
def test_directions_that_do_not_run_onward_and_back(reverse):
    layer = recurrent(RNG, 3, 4, 2, "float32")
    ONNX.checked_cell(layer, refusal("f"))
    for half, back in zip(layer.halves, reverse, strict=True):
        half.reverse = back
    with pytest.raises(ValueError, match=r"^f: its first layer is not forward and its second reverse$"):
        ONNX.checked_cell(layer, refusal("f"))


def test_layers_of_two_dtypes():
    pair = [recurrent(RNG, 3, 4, 1, "float32"), recurrent(RNG, 4, 4, 1, "float64")]
    with pytest.raises(ValueError, match=r"^net: expected layers of one dtype, got float32 and float64$"):
        dtype_of(tuple(pair))


def test_a_steep_slope_is_another_function_elsewhere():
    for function in FUNCTIONS:
        if function.own is not activations.lrelu:
            function.checked_alpha(1.5, "its alpha is", refusal("f"))
            continue
        assert function.checked_alpha(1, "its alpha is", refusal("f")) == {"LRELU_alpha": 1.0}
        with pytest.raises(ValueError, match=r"^f: its alpha is at most 1 here, got 1\.5$"):
            function.checked_alpha(1.5, "its alpha is", refusal("f"))


def test_every_layer_has_a_way_to_onnx():
    kinds = (cgru.GRU, cgru.Bidirectional, *layers.KINDS)
    assert [kind for kind in kinds if not callable(vars(kind).get("onnx_node"))] == []


def test_a_layer_that_onnx_has_not_is_refused_by_name(monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.delattr(cgru.Clip, "onnx_node")
    with pytest.raises(ValueError, match=r"^net: layer 1, Clip\(0\.0, 1\.0\), cannot be exported to ONNX: ONNX has"):
        interop.to_onnx([recurrent(RNG, 3, 4, 1, "float32"), cgru.Clip(0, 1)])


@pytest.mark.parametrize(("merge", "kind"), [("sum", "ReduceSum"), ("mean", "ReduceMean"), ("mul", "ReduceProd")])
def test_merges_in_onnx(merge, kind):
    pytest.importorskip("onnx")
    layer = recurrent(RNG, 3, 4, 2, "float32")
    layer.merge = merge
    assert kind in [node.op_type for node in interop.to_onnx([layer]).graph.node]


def state_dict(rng, e, u, depth=1, directions=1, dtype="float64"):
    """What a torch.nn.GRU has, as arrays."""
    found = {}
    for number in range(depth):
        for suffix in ("", "_reverse")[:directions]:
            shapes = {"weight_ih": (3 * u, directions * u if number else e), "weight_hh": (3 * u, u)}
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                found[f"{key}_l{number}{suffix}"] = rng.standard_normal(shapes.get(key, 3 * u)).astype(dtype)
    return found


def test_a_state_dict_needs_no_pytorch():
    rng = np.random.default_rng(1)
    weights = state_dict(rng, 3, 4)
    X, lengths, h0 = random_batch(5, 6, 3, 4, True)
    A, states = interop.from_torch(weights).predict(X, lengths, h0[None], return_state=True)

    W, R, b, c = (weights[f"{key}_l0"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    for i, length in enumerate(lengths):
        h = h0[i]
        for t in range(length):
            (r_, z_, n_), (hr, hz, hn) = np.split(W @ X[i, t] + b, 3), np.split(R @ h + c, 3)
            r, z = cgru.sigmoid(r_ + hr), cgru.sigmoid(z_ + hz)
            h = z * h + (1 - z) * np.tanh(n_ + r * hn)
            assert_close(A[i, t], h, 1e-12)
        assert_close(states[0, i], h, 1e-12)
        assert not A[i, length:].any()


def test_layers_and_directions(tmp_path):
    net = interop.from_torch(state_dict(RNG, 3, 4, 3, 2, "float32"))
    assert [type(layer) for layer in net.layers] == [cgru.Bidirectional] * 3
    X = RNG.standard_normal((2, 5, 3)).astype(np.float32)
    A, states = net.predict(X, return_state=True)
    assert (A.shape, states.shape, A.dtype) == ((2, 5, 8), (6, 2, 4), np.float32)
    net.save(tmp_path / "net.npz")
    back = cgru.load(tmp_path / "net.npz")
    assert_same_layers(back.layers, net.layers)
    np.testing.assert_array_equal(back.predict(X), A)


def without(**changes):
    """A state dict with other entries; None: without them."""
    found = state_dict(RNG, 3, 4) | changes
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "expected the tensors of a torch.nn.GRU, got none"),
        (without(weight_hh_l0=None), "expected weight_hh of layer 0, which is missing"),
        (without(bias_hh_l0=None), "expected bias_hh of layer 0, which is missing"),
        (without(bias_hh_l0=np.zeros(11)), r"expected bias_hh of layer 0 float64 \(12,\), got float64 \(11,\)"),
        (without(weight_ih_l0=np.zeros((12, 3), np.float32)), r"weight_ih of layer 0 float64 .*, got float32"),
        (without(weight_ih_l0=np.zeros((12, 3), int)), "expected float32 or float64, got int64"),
        (without(weight_ih_l2=np.zeros((12, 4))), "expected weight_hh of layer 2|expected all layers"),
        (without(weight_hr_l0=np.zeros((12, 4))), "got 'weight_hr_l0'"),
        (without(weight_hh=np.zeros((12, 4))), "expected weight_hh of layer 0 once, got another, 'weight_hh'"),
        (without(weight_hh_l00=np.zeros((12, 4))), "expected weight_hh of layer 00 once, got another, 'weight_hh_l00'"),
        (without() | {3: np.zeros(3)}, "expected the keys of a torch.nn.GRU .*, got 3"),
        (without(weight_hh_l0=np.zeros(())), r"expected weight_ih of layer 0 float64 \(0, 3\)"),
        (without(weight_ih_l0=np.ma.zeros((12, 3))), "expected plain numbers, got a masked MaskedArray"),
        (without(weight_ih_l0=np.zeros((12, 3)).tolist()), "expected float32 or float64, got list"),
        (
            without(
                weight_ih_l0_reverse=np.zeros((12, 3)),
                weight_hh_l0_reverse=np.zeros((12, 4)),
                weight_ih_l1=np.zeros((12, 8)),
                weight_hh_l1=np.zeros((12, 4)),
            ),
            "expected all layers and directions, got 3 of 4",
        ),
        ([1, 2], "expected a torch.nn.GRU, a GRUCell, a state dict, or a module with one in it, got list"),
    ],
)
def test_refused_state_dicts(source, words):
    with pytest.raises((TypeError, ValueError), match=words):
        interop.from_torch(source)


def gru(**options):
    return recurrent(RNG, 3, 4, 1, "float64", **options)


def stack(*layers):
    """Layers on each other, all with parameters."""
    cgru.Network(list(layers)).predict(np.zeros((1, 1, 3)))
    return list(layers)


AFTER = {"reset_after": True, "sequences": True}


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (gru(variant=RESET_BEFORE), "its variant is reset_before, the library's is reset_after"),
        (gru(activate=cgru.relu), "torch.nn.GRU has only tanh and sigmoid as activations"),
        (gru(dropout=0.1), "it has dropout"),
        (gru(recurrent_dropout=0.1), "it has recurrent_dropout"),
        (gru(stateful=True), "it has stateful"),
        (gru(zoneout=0.1), "it has zoneout"),
        (gru(reverse=True), "it has reverse"),
        (recurrent(RNG, 3, 4, 2, "float64", merge="sum"), "got merge sum"),
        (stack(cgru.GRU(4, **AFTER), cgru.GRU(5, **AFTER)), "has the same units"),
        (stack(cgru.GRU(4, **AFTER), cgru.Bidirectional(cgru.GRU(4, **AFTER))), "and directions in all layers"),
        (stack(cgru.Dropout(), cgru.GRU(4, **AFTER)), "layer 0, Dropout.*Dropout only between"),
        (
            stack(cgru.GRU(4, **AFTER), cgru.Dropout(0.2), cgru.GRU(4, **AFTER), cgru.GRU(4, **AFTER)),
            "Dropout of one rate between all layers, or none",
        ),
        (
            stack(
                *(layer for rate in (0.2, 0.3) for layer in (cgru.GRU(4, **AFTER), cgru.Dropout(rate))),
                cgru.GRU(4, **AFTER),
            ),
            "Dropout of one rate between all layers, or none",
        ),
        (stack(cgru.GRU(4, reset_after=True), cgru.Dense(2)), "expected GRU or Bidirectional layers"),
    ],
)
def test_refused_for_pytorch(net, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", pytest)  # anything: it is refused before
    with pytest.raises(ValueError, match=words):
        interop.to_torch(net)


def test_refused_standardisation():
    net = cgru.Network(stack(cgru.GRU(4, **AFTER)))
    net.mean, net.scale = np.zeros(3), np.ones(3)
    for call in (interop.to_torch, interop.to_keras):
        with pytest.raises(ValueError, match="standardises its input"):
            call(net)


# --- something foreign in each place ---


class Doubled(Layer):
    """A layer of one's own: twice what comes in."""

    def forward(self, A, lengths=None):
        return 2 * A

    def backward(self, dX):
        return 2 * dX

    predict = forward


CHAINS = {
    "torch": lambda: [cgru.GRU(4, **AFTER), cgru.Dropout(0.2), cgru.GRU(4, **AFTER)],
    "keras": lambda: [
        cgru.GRU(4, sequences=True), cgru.Dropout(0.2), cgru.Bidirectional(cgru.GRU(4, cgru.lrelu, sequences=True)),
        cgru.LayerNorm(), cgru.GRU(4, sequences=True, reverse=True), cgru.Flip(), cgru.Pool("mean"), cgru.Dense(2),
    ],
    "onnx": lambda: [
        cgru.GRU(4, sequences=True), cgru.Normalize(), cgru.LayerNorm(), cgru.Flip(), cgru.Difference(),
        cgru.Dropout(0.2),
        cgru.Bidirectional(cgru.GRU(4, cgru.lrelu, sequences=True)), cgru.Pool("mean+attention", 3), cgru.Dense(2),
    ],
}  # fmt: skip
KINDS = [(other, place, type(layer)) for other, chain in CHAINS.items() for place, layer in enumerate(chain())]
PLACES = [case[:2] for case in KINDS]


def need(other):
    """Skip the test where the other library is not installed."""
    if other == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
        pytest.importorskip("torch", reason="PyTorch, Keras's backend here, is not installed: pip install torch")
    pytest.importorskip(other, reason=f"{other} is not installed")


def other_method(name):
    """What replaces a method of a layer by one that gives twice as much."""

    def change(layer):
        setattr(layer, name, lambda *given, **options: 2 * getattr(type(layer), name)(layer, *given, **options))

    return change


def of_the_twin(change):
    return lambda layer: change(layer.backward_layer)


def derived(layer):
    layer.__class__ = type("Own", (type(layer),), {})


# By the layers that can be changed so: the changes.
OF_A_GRU = [lambda gru: gru.p.update(br=np.zeros((1, 5))), lambda gru: gru.p.pop("bz")]
OF_A_TWIN = [
    derived,
    other_method("predict"),
    lambda twin: setattr(twin, "activate", cgru.relu),
    lambda twin: setattr(twin, "se_hPars", {"LRELU_alpha": 0.5}),
    lambda twin: setattr(twin, "trainable", False),
    *OF_A_GRU,
]
CHANGED = {
    object: [derived, other_method("predict"), other_method("forward")],
    cgru.GRU: OF_A_GRU,
    cgru.Bidirectional: [*map(of_the_twin, OF_A_TWIN)],
}
CHANGES = [
    (change, other, i) for own, changes in CHANGED.items() for change in changes
    for other, i, kind in KINDS if issubclass(kind, own)
]  # fmt: skip


@pytest.mark.parametrize(("change", "other", "place"), CHANGES)
@pytest.mark.pairwise
def test_a_layer_that_was_changed(change, other, place):
    need(other)
    layers = stack(*CHAINS[other]())
    change(layers[place])
    with pytest.raises(ValueError, match=rf"layer {place}\b"):
        getattr(interop, f"to_{other}")(layers)


@pytest.mark.parametrize(("other", "place"), PLACES)
def test_a_foreign_layer(other, place):
    need(other)
    layers = stack(*CHAINS[other]())
    layers.insert(place, Doubled())
    with pytest.raises(ValueError, match=rf"layer {place}, .*expected one of cgru's own, got Doubled"):
        getattr(interop, f"to_{other}")(layers)


def altered(**values):
    """What sets attributes of a network or layer, and returns it."""

    def alter(net):
        for name, value in values.items():
            setattr(net, name, value)
        return net

    return alter


def cut_short(net):
    net.layers[0].sequences = False
    return net


ALTERED = {
    "int8": (lambda net: cgru.quantize(net, "int8"), "^net: layer 0, .*: expected float weights; give"),
    "bfloat16": (lambda net: cgru.quantize(net, "bfloat16"), "^net: layer 0, .*: expected float weights"),
    "a subclass": (lambda net: type("Own", (cgru.Network,), {})(net.layers), "an unmodified Network, got Own"),
    "another predict": (altered(predict=np.tanh), "net: expected an unmodified Network, got predict"),
    "layers that do not fit": (cut_short, r"expected a chain that fits: layer .*expected all steps \(m, s, [en]\)"),
}


@pytest.mark.parametrize("other", CHAINS)
@pytest.mark.parametrize("kind", ALTERED)
def test_a_network_that_was_changed(kind, other):
    need(other)
    change, words = ALTERED[kind]
    net = change(cgru.Network(stack(*CHAINS[other]())))
    with pytest.raises(ValueError, match=words):
        getattr(interop, f"to_{other}")(net)


@pytest.mark.parametrize("other", ["torch", "keras"])
def test_masks_that_were_handed_in(other):
    need(other)
    with pytest.raises(ValueError, match="it has masks"):
        getattr(interop, f"to_{other}")(altered(masks={"input_mask": np.ones((2, 3))})(gru()))


@pytest.mark.parametrize("other", CHAINS)
def test_layer_normalization_is_refused_by_name(other):
    need(other)
    with pytest.raises(ValueError, match="its variant is layer_norm, "):
        getattr(interop, f"to_{other}")(stack(cgru.GRU(4, layer_norm=True)))


def test_no_memory_is_shared():
    weights = state_dict(np.random.default_rng(0), 3, 4, 2, 2)
    net = interop.from_torch(weights)
    arrays = [value for layer in net.layers for value in layer.p.values()]
    for i, value in enumerate(arrays):
        assert not any(np.shares_memory(value, other) for other in (*arrays[:i], *weights.values()))
    before = [value.copy() for value in arrays]
    for value in weights.values():
        value[...] = 7
    arrays[0][...] = 9
    for value, kept in zip(arrays[1:], before[1:], strict=True):
        np.testing.assert_array_equal(value, kept)


def test_directions_of_unlike_sizes():
    weights = state_dict(RNG, 3, 4) | {f"{key}_reverse": value for key, value in state_dict(RNG, 3, 5).items()}
    with pytest.raises(ValueError, match="expected directions that have 3 features and 4 units in float64"):
        interop.from_torch(weights)
    weights |= {f"{key}_reverse": value.astype("float32") for key, value in state_dict(RNG, 3, 4).items()}
    with pytest.raises(ValueError, match=r"3 features and 4 units in float64, got .*32"):
        interop.from_torch(weights)


@pytest.mark.parametrize("other", ["torch", "keras", "onnx"])
def test_without_the_other_library(other, monkeypatch):
    layer = gru()
    monkeypatch.setitem(sys.modules, other, None)
    with pytest.raises(ImportError, match="pip install"):
        getattr(interop, f"to_{other}")(layer)
    with pytest.raises((ImportError, TypeError)):
        getattr(interop, f"from_{other}")(layer)
    with pytest.raises((RuntimeError, ImportError)):
        getattr(interop, f"to_{other}")(cgru.GRU(3, reset_after=True))


def test_a_library_without_a_flag_has_one_variant():
    assert TORCH.variant_of_layer(object()) is TORCH.variant({}) is RESET_AFTER


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 3, 4)])
def test_a_table_without_tokens_or_units_is_refused(shape):
    with pytest.raises(ValueError, match=r"^expected a table \(tokens, units\), got \("):
        graph_reader.embedding(np.zeros(shape), "E", ValueError)
    with pytest.raises(ValueError, match=r"^expected weights \(n, u\) and a bias \(u,\), got float64 \("):
        graph_reader.dense(np.zeros(shape), None, "W", ValueError)


def test_its_import_imports_nothing_else():
    code = "import sys; from cgru import interop; print([m for m in ('torch', 'keras', 'onnx') if m in sys.modules])"
    found = run_python(code)
    assert found.stdout.strip() == "[]", found.stderr
