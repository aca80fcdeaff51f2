"""`from_torch` and `to_torch` against `torch.nn.GRU`: outputs, last states and every gradient, ragged batches too."""

import importlib
import warnings

import numpy as np
import pytest
from helpers import some
from interop_cases import SIZES, TOLERANCE, assert_same_layers, batch, gradients, recurrent, there_and_back

import cgru
from cgru import interop
from cgru.interop.gates import TORCH

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def run(module, X, lengths, h0):
    """Outputs (m, s, w), zero past the lengths, and last states, for a module of any `batch_first`."""
    n = torch.full((len(X),), X.shape[1]) if lengths is None else torch.tensor(lengths)
    x = X if module.batch_first else X.transpose(0, 1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, n, module.batch_first, enforce_sorted=False)
    Y, last = module(packed, h0)
    return torch.nn.utils.rnn.pad_packed_sequence(Y, True, total_length=X.shape[1])[0], last


def assert_same_gradients(same, g, module, suffix, tolerance):
    """Those of one direction, in their layout; of the pair of biases of r and z each has that of our one."""
    ours = TORCH.from_cgru({name[1:]: gradient for name, gradient in g.items()})
    for key, value in zip(KEYS, ours, strict=True):
        theirs = getattr(module, f"{key}_{suffix}", None)
        if theirs is not None:
            part = slice(2 * module.hidden_size, None) if key == "bias_hh" else slice(None)
            same(value[part], theirs.grad.numpy()[part], tolerance, f"{key}_{suffix}")


@pytest.mark.parametrize("seed", some(50, range(200)))
def test_random_configurations(same, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    m, s, e, u = (int(n) for n in rng.choice(SIZES, 4))
    s, depth, D = min(s, 9), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    bias, first, ragged, started = (bool(flag) for flag in rng.integers(0, 4, 4))
    dtype = ("float64", "float32")[seed % 2]
    tolerance, w = TOLERANCE[dtype], D * u
    lengths, X, h0, dA, dstates = batch(rng, s, ragged, dtype, (m, s, e), *[(depth * D, m, u)], (m, s, w),
                                        (depth * D, m, u))  # fmt: skip
    h0 = h0 if started else np.zeros_like(h0)

    module = torch.nn.GRU(e, u, depth, bias, first, 0.0, D == 2, dtype=getattr(torch, dtype))
    x, h = torch.tensor(np.nan_to_num(X), requires_grad=True), torch.tensor(h0, requires_grad=True)
    Y, last = run(module, x, lengths, h)
    ((Y * torch.tensor(dA)).sum() + (last * torch.tensor(dstates)).sum()).backward()

    net = interop.from_torch(module if seed % 3 else module.state_dict())
    A, states = net.predict(X, lengths, h0 if started else None, return_state=True)
    assert A.dtype == states.dtype == dtype
    same(A, Y.detach().numpy(), tolerance, "outputs")
    same(states, last.detach().numpy(), tolerance, "last states")
    A, states, dX, dh0 = there_and_back(net, X, lengths, h0, dA, dstates)
    same(A, Y.detach().numpy(), tolerance, "outputs of forward")
    same(states, last.detach().numpy(), tolerance, "states of forward")
    same(dX, x.grad.numpy(), tolerance, "dX")
    same(dh0, h.grad.numpy(), tolerance, "dh0")
    for number, layer in enumerate(net.layers):
        for suffix, g in zip(("", "_reverse"), gradients(layer), strict=False):
            assert_same_gradients(same, g, module, f"l{number}{suffix}", tolerance)

    back = interop.to_torch(net)  # a pair of biases comes back as (sum, 0)
    assert (back.num_layers, back.bidirectional) == (depth, D == 2)
    for name, value in module.state_dict().items():
        got = back.state_dict()[name]
        if name.startswith("weight"):
            assert torch.equal(got, value), name
        else:
            other = module.state_dict()[name.replace("_ih_", "_hh_")]
            rz, n = (value + other)[: 2 * u], value[2 * u :]
            assert torch.equal(got, torch.cat([rz if "_ih_" in name else torch.zeros_like(rz), n])), name

    stack = [recurrent(rng, e if i == 0 else w, u, D, dtype) for i in range(depth)]  # and a model from here
    module = interop.to_torch(stack)
    A, states = cgru.Network(stack).predict(X, lengths, h0, return_state=True)
    Y, last = run(module, torch.tensor(np.nan_to_num(X)), lengths, torch.tensor(h0))
    same(A, Y.detach().numpy(), tolerance, "outputs there")
    same(states, last.detach().numpy(), tolerance, "last states there")
    assert_same_layers(interop.from_torch(module).layers, stack)


def test_a_cell(same):
    cell = torch.nn.GRUCell(3, 5, dtype=torch.float64)
    X, h0 = np.random.default_rng(0).standard_normal((4, 1, 3)), np.random.default_rng(1).standard_normal((1, 4, 5))
    net = interop.from_torch(cell)
    same(net.predict(X, None, h0)[:, 0], cell(torch.tensor(X[:, 0]), torch.tensor(h0[0])).detach().numpy(), 1e-12)
    assert_same_layers(interop.from_torch(cell.state_dict()).layers, net.layers)


def test_dropout_stands_between_the_layers(tmp_path):
    module = torch.nn.GRU(3, 5, 3, dropout=0.25)
    net = interop.from_torch(module)
    assert [type(layer).__name__ for layer in net.layers] == ["GRU", "Dropout", "GRU", "Dropout", "GRU"]
    assert {layer.rate for layer in net.layers[1::2]} == {0.25}
    back = interop.to_torch(net)
    assert back.dropout == 0.25
    assert back.batch_first
    net.save(tmp_path / "net.npz")
    assert_same_layers(cgru.load(tmp_path / "net.npz").layers, net.layers)


def test_weights_are_copies():
    module = torch.nn.GRU(3, 5)
    net = interop.from_torch(module)
    before = {name: value.copy() for name, value in net.layers[0].p.items()}
    with torch.no_grad():
        for value in module.parameters():
            value.zero_()
    for name, value in before.items():
        np.testing.assert_array_equal(net.layers[0].p[name], value)
    back = interop.to_torch(net)
    net.layers[0].p["Uz"][...] = 0
    assert torch.count_nonzero(back.weight_ih_l0).item() == back.weight_ih_l0.numel()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: torch.nn.LSTM(3, 5), "expected a torch.nn.GRU in it, got none"),
        (lambda: torch.nn.Sequential(torch.nn.Linear(3, 5)), "expected a torch.nn.GRU in it, got none"),
        (lambda: torch.nn.GRU(3, 5).half(), "expected float32 or float64, got float16"),
        (lambda: torch.nn.GRU(3, 5).bfloat16(), "got bfloat16"),
        (lambda: torch.nn.LSTM(3, 5).state_dict(), "expected weight_ih of layer 0 float32 .15, 3.,"),
        (lambda: {"gru." + k: v for k, v in torch.nn.GRU(3, 5).state_dict().items()}, "got 'gru.weight_ih_l0'"),
    ],
)  # fmt: skip
def test_refused_from_there(module, words):
    with pytest.raises((TypeError, ValueError), match=words):
        interop.from_torch(module())


# --- modules that compute something else than their parameters say ---


def hooked(register, *options):
    """Register a hook of a kind that does nothing."""

    def change(module):
        getattr(module, register)(lambda *_: None, *options)

    return change


def parametrize(module):
    class Half(torch.nn.Module):
        def forward(self, W):
            return W / 2

    torch.nn.utils.parametrize.register_parametrization(module, first_weight(module), Half())


def first_weight(module):
    return next(iter(dict(module.named_parameters())))


def prune(module):
    importlib.import_module("torch.nn.utils.prune").random_unstructured(module, first_weight(module), 0.5)


def prune_without_its_hook(module):
    prune(module)
    module._forward_pre_hooks.clear()


def weight_norm(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.nn.utils.weight_norm(module, first_weight(module))


def tie(module):
    if isinstance(module, torch.nn.GRU):
        module.bias_hh_l0 = module.bias_ih_l0
    else:
        module.bias_hh = module.bias_ih


def of_another_class(module):
    class Weight(torch.nn.Parameter):
        pass

    name = first_weight(module)
    setattr(module, name, Weight(torch.zeros(15, 3)))


# By kind: the change, and of a GRU and of a GRUCell whether it is still read; None: there is no such one.
FOREIGN = {
    "forward hook": (hooked("register_forward_hook"), True, False),
    "pre-hook": (hooked("register_forward_pre_hook"), True, False),
    "backward hook": (hooked("register_full_backward_hook"), True, True),
    "rebound": (
        lambda module: setattr(module, "forward", lambda *given: torch.nn.GRU.forward(module, *given)), True, False),
    "parametrized": (parametrize, False, False),
    "pruned": (prune, False, False),
    "pruned, its hook taken off": (prune_without_its_hook, False, False),
    "weight norm": (weight_norm, False, False),
    "derived": (lambda module: setattr(module, "__class__", type("GRU", (type(module),), {})), True, False),
    "tied": (tie, False, False),
    "surplus": (lambda module: module.register_parameter("more", torch.nn.Parameter(torch.zeros(1))), True, False),
    "of another class": (of_another_class, False, True),
    "hook of a gradient": (lambda module: next(module.parameters()).register_hook(lambda *_: None), True, True),
    "hook of an accumulation": (
        lambda module: next(module.parameters()).register_post_accumulate_grad_hook(lambda *_: None), True, True),
    "frozen in part": (lambda module: next(module.parameters()).requires_grad_(False), False, False),
    "other weights": (lambda module: module._flat_weights.__setitem__(0, torch.zeros(15, 3)), False, None),
    "fewer weights": (lambda module: module._flat_weights.pop(), False, None),
    "projected": (lambda module: setattr(module, "proj_size", 2), False, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_something_foreign(kind):
    change, *known = FOREIGN[kind]
    for module, read in zip((torch.nn.GRU(3, 5, 2, bidirectional=True), torch.nn.GRUCell(3, 5)), known, strict=True):
        due = interop.from_torch(module).predict(X := np.ones((2, 4, 3), "float32"))
        if read is None:
            continue
        change(module)
        if read:
            A = interop.from_torch(module).predict(X)
            assert kind == "of another class" or np.array_equal(A, due)
        else:
            with pytest.raises((TypeError, ValueError), match=r"^source: "):
                interop.from_torch(module)


def test_a_quantized_one():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.nn.Sequential(torch.nn.GRU(3, 5))
        quantized = torch.ao.quantization.quantize_dynamic(module, {torch.nn.GRU})[0]
    with pytest.raises((TypeError, ValueError), match=r"^source: "):
        interop.from_torch(quantized)


@pytest.mark.parametrize("change", [lambda W: W.to_sparse(), lambda W: W.to("meta"), lambda W: W.to(torch.complex64)])
def test_tensors_that_are_no_plain_numbers(change):
    weights = {name: change(value) for name, value in torch.nn.GRU(3, 5).state_dict().items()}
    with pytest.raises(
        TypeError, match=r"source\['weight_ih_l0'\]: expected (plain numbers, got a |float32 or float64)"
    ):
        interop.from_torch(weights)


def test_hooks_of_the_state_dict_are_not_asked():
    module = torch.nn.GRU(3, 5)
    due = interop.from_torch(module)
    module.register_state_dict_post_hook(lambda module, state, *rest: state.clear())
    assert_same_layers(interop.from_torch(module).layers, due.layers)


def test_frozen_layers_stay_so():
    module = torch.nn.GRU(3, 5, 2)
    for name, value in module.named_parameters():
        value.requires_grad_("l1" not in name)
    net = interop.from_torch(module)
    assert [layer.trainable for layer in net.layers] == [True, False]
    back = interop.to_torch(net)
    assert {name: value.requires_grad for name, value in back.named_parameters()} == {
        name: value.requires_grad for name, value in module.named_parameters()
    }
    assert not interop.from_torch(torch.nn.GRUCell(3, 5).requires_grad_(False)).layers[0].trainable


def test_without_biases():
    for module in (torch.nn.GRU(3, 5, 2, bias=False), torch.nn.GRUCell(3, 5, bias=False)):
        net = interop.from_torch(module)
        assert not any(layer.p[name].any() for layer in net.layers for name in ("bz", "br", "bhh", "chh"))
