"""`GRU(x, hx, resets=, decay=)` against PyTorch stepping by hand, with what goes back, and all that is refused."""

import contextlib
import io
import random
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="no torch")

from torch.nn.functional import dropout  # noqa: E402
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence  # noqa: E402

import cgru.torch  # noqa: E402
from cgru.core import plan  # noqa: E402
from cgru.torch import operators  # noqa: E402

SIZES = (1, 2, 7, 17, 33)
KINDS, FORMS = ("padded", "packed", "single"), ("resets", "decay", "decay of units")
func = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own, by what torch.func imports


def drawn(form, shape, u, generator=None):
    """`resets` or `decay` of the first axes `shape` of x, some of them 0 and 1, by name."""
    if form == "resets":
        return {"resets": torch.rand(shape, generator=generator) < 0.3}
    shape = (*shape, u) if form == "decay of units" else shape
    g = 3 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1
    return {"decay": g.clamp_(0, 1)}


def factors(named):
    """The numbers g of `resets` or `decay`, with an axis for the units."""
    value = named["decay"] if "decay" in named else (~named["resets"]).double()
    return value if value.dim() == 3 else value[..., None]


def by_hand(gru, x, lengths, hx, g):
    """The states (s, m, d u) of x (s, m, e), zero in the padding, and the last states; g (s, m, 1 or u).

    Samples are in the order of packing, of which the dropout between layers draws for each real step.
    """
    s, m, u, ways = *x.shape[:2], gru.hidden_size, 1 + gru.bidirectional
    real, last = torch.arange(s)[:, None] < lengths, []
    behind = torch.cat([torch.where(real[1:, :, None], g[1:], torch.ones(())), torch.ones_like(g[:1])])
    for layer in range(gru.num_layers):
        outputs = []
        for reverse in (False, True)[:ways]:
            name = f"l{layer}" + "_reverse" * reverse
            W, R = (getattr(gru, f"weight_{kind}_{name}") for kind in ("ih", "hh"))
            b, c = (getattr(gru, f"bias_{kind}_{name}") if gru.bias else torch.zeros(3 * u) for kind in ("ih", "hh"))
            h, states = torch.zeros(m, u, dtype=x.dtype) if hx is None else hx[len(last)], [None] * s
            for t in reversed(range(s)) if reverse else range(s):
                hp = (behind if reverse else g)[t] * h
                of_x, of_h = (x[t] @ W.T + b).chunk(3, 1), (hp @ R.T + c).chunk(3, 1)
                r, z = (torch.sigmoid(of_x[i] + of_h[i]) for i in (0, 1))
                n = torch.tanh(of_x[2] + r * of_h[2])
                h = torch.where(real[t][:, None], (1 - z) * n + z * hp, h)
                states[t] = h
            outputs.append(torch.stack(states))
            last.append(h)
        x = torch.cat(outputs, -1) * real[..., None]
        if gru.dropout and gru.training and layer < gru.num_layers - 1:
            x = torch.zeros_like(x).masked_scatter(real[..., None], dropout(x[real], gru.dropout))
    return x, torch.stack(last)


def ran(outputs, wanted, seed=1):
    """What came out, and the gradients of what is wanted from gradients drawn at random."""
    torch.manual_seed(seed)
    loss = sum((output * torch.randn_like(output)).sum() for output in outputs)
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [*outputs, *(torch.zeros_like(a) if d is None else d for a, d in zip(wanted, found, strict=True))]


def same(ours, theirs, tolerance=1e-12):
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        assert (mine - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


def laid(kind, gru, tensor, lengths):
    """A tensor (s, m, ...) as the module takes it."""
    if kind == "packed":
        return pack_padded_sequence(tensor, lengths)
    return tensor[:, 0] if kind == "single" else tensor.transpose(0, 1) if gru.batch_first else tensor


def check_at_random(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    e, u, m, s = (draw.choice(SIZES) for _ in range(4))
    layers, both, kind, form = draw.choice((1, 2, 3)), draw.random() < 0.5, draw.choice(KINDS), draw.choice(FORMS)
    options = {"batch_first": draw.random() < 0.5, "bias": draw.random() < 0.7, "dropout": 0.3 * (layers > 1)}
    m = 1 if kind == "single" else m
    gru = cgru.torch.GRU(e, u, layers, bidirectional=both, dtype=torch.float64, **options)
    x = torch.randn(s, m, e, dtype=torch.float64)
    hx = torch.randn(layers * (1 + both), m, u, dtype=torch.float64) if draw.random() < 0.6 else None
    named, lengths = drawn(form, (s, m), u), torch.full((m,), s)
    if kind == "packed":
        lengths = torch.randint(1, s + 1, (m,)).sort(descending=True).values
        lengths[0] = s
    given = [each for each in (x, hx, *named.values()) if each is not None and each.is_floating_point()]
    wanted = [*(each.requires_grad_() for each in given), *gru.parameters()]
    real = torch.arange(s)[:, None] < lengths
    torch.manual_seed(seed)
    output, last = by_hand(gru, x, lengths, hx, factors(named))
    due = ran([output[real], last], wanted)
    named = {name: laid(kind, gru, value, lengths) for name, value in named.items()}
    torch.manual_seed(seed)
    output, last = gru(laid(kind, gru, x, lengths), hx[:, 0] if hx is not None and kind == "single" else hx, **named)
    if kind == "packed":
        output = output.data
    elif kind == "single":
        last = last[:, None]
    else:
        output = (output.transpose(0, 1) if gru.batch_first else output)[real]
    same(ran([output, last], wanted), due)


@pytest.mark.parametrize("seed", range(24))
def test_as_stepping_by_hand(seed):
    """In float64, with ragged batches, layers, directions, dropout between layers, and all gradients."""
    check_at_random(seed)


@pytest.mark.nightly
def test_as_stepping_by_hand_three_hundred_times():
    for seed in range(1000, 1300):
        check_at_random(seed)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 5, 3, 4), (7, 3, 9, 17), (33, 4, 2, 3)])
def test_layouts(shape, form, few):
    """With samples in the lanes of the vectors and without, in float32, too, and without gradients."""
    m, s, e, u = shape
    plan.use_samples_in_lanes(few)
    try:
        gru, x = cgru.torch.GRU(e, u, bidirectional=True).double(), torch.randn(s, m, e).double()
        named, hx = drawn(form, (s, m), u), torch.randn(2, m, u).double()
        due = by_hand(gru, x, torch.full((m,), s), hx, factors(named))
        with torch.no_grad():
            same(gru(x, hx, **named), due)
        brief = {name: value.float() if name == "decay" else value for name, value in named.items()}
        same(gru.float()(x.float(), hx.float(), **brief), due, 3e-6)
    finally:
        plan.use_samples_in_lanes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 200, 130), (2, 3, 64, 161), (70, 2, 90, 48)])
@pytest.mark.pairwise
def test_wide_layers(shape, unpacked, form, torch_threads):
    """Of one sample, of some, and of many, on two threads, with weights read where they are."""
    m, s, e, u = shape
    gru, x = cgru.torch.GRU(e, u, bidirectional=True).double(), torch.randn(s, m, e).double()
    named, hx = drawn(form, (s, m), u), torch.randn(2, m, u).double()
    wanted = [x.requires_grad_(), hx.requires_grad_(), *gru.parameters()]
    wanted += [value.requires_grad_() for name, value in named.items() if name == "decay"]
    due = ran(by_hand(gru, x, torch.full((m,), s), hx, factors(named)), wanted)
    torch_threads(2)
    plan.use_unpacked_weights(unpacked)
    try:
        same(ran(gru(x, hx, **named), wanted), due)
    finally:
        plan.use_unpacked_weights()


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("lengths", [None, [3, 1]])
def test_gradients(lengths, form):
    """By central differences."""
    gru = cgru.torch.GRU(2, 3, bidirectional=True).double()
    x, hx = torch.randn(3, 2, 2).double().requires_grad_(), torch.randn(2, 2, 3).double().requires_grad_()
    g = (0.1 + 0.8 * torch.rand((3, 2, 3) if form == FORMS[2] else (3, 2))).double().requires_grad_()

    def run(x, hx, g):
        if lengths is not None:
            x, g = (pack_padded_sequence(each, lengths) for each in (x, g))
        output, last = gru(x, hx, decay=g)
        return getattr(output, "data", output) if lengths else output, last

    assert torch.autograd.gradcheck(run, (x, hx, g))


def test_an_episode_is_as_if_it_were_alone():
    """Whatever was before it, NaN and infinity, too; and a factor of 1 changes no bit."""
    gru, x = cgru.torch.GRU(3, 5, 2), torch.randn(9, 4, 3)
    resets = torch.zeros(9, 4, dtype=torch.bool)
    resets[5] = True
    output, last = gru(x, resets=resets)
    alone, end = gru(x[5:])
    torch.testing.assert_close(output[5:], alone)
    torch.testing.assert_close(last, end)
    x[4], x[3, 0] = torch.nan, torch.inf
    assert torch.equal(gru(x, resets=resets)[0][5:], output[5:])
    hx = torch.full((2, 4, 5), torch.nan)
    resets[0] = True
    assert torch.equal(gru(x, hx, resets=resets)[0][5:], output[5:])
    x = torch.randn(9, 4, 3)
    for named in ({"resets": torch.zeros(9, 4, dtype=torch.bool)}, {"decay": torch.ones(9, 4, 5)}):
        assert all(torch.equal(a, b) for a, b in zip(gru(x, **named), gru(x), strict=True))


def test_in_any_order_of_packing():
    gru, x, lengths = cgru.torch.GRU(3, 5, bidirectional=True).double(), torch.randn(4, 6, 3).double(), [2, 6, 1, 4]
    resets = torch.rand(4, 6) < 0.4
    packed, alike = (pack_padded_sequence(each, lengths, True, False) for each in (x, resets))
    output, last = gru(packed, resets=alike)
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, True)
    for i, n in enumerate(lengths):
        alone, end = gru(x[i, :n], resets=resets[i, :n])
        same([output[i, :n], last[:, i]], [alone, end])


def test_only_what_is_asked_for():
    """Of x, the state, the weights and the factor, whichever need a gradient."""
    gru, x = cgru.torch.GRU(3, 5).double(), torch.randn(4, 2, 3).double()
    hx, g = torch.randn(1, 2, 5).double(), torch.rand(4, 2).double()
    given = [x, hx, g, gru.weight_ih_l0]
    for each in given:
        each.requires_grad_()
    due = torch.autograd.grad(gru(x, hx, decay=g)[0].sum(), given)
    for asked in range(1, 16):
        for i, each in enumerate(given):
            each.requires_grad_(bool(asked & 1 << i))
        gru.weight_hh_l0.requires_grad_(False)
        gru.bias_ih_l0.requires_grad_(False)
        gru.bias_hh_l0.requires_grad_(False)
        chosen = [i for i in range(4) if asked & 1 << i]
        found = torch.autograd.grad(gru(x, hx, decay=g)[0].sum(), [given[i] for i in chosen])
        assert all(torch.equal(a, due[i]) for a, i in zip(found, chosen, strict=True))


def test_bits_do_not_depend_on_threads(torch_threads):
    gru, found = cgru.torch.GRU(33, 64), []
    x, g = torch.randn(20, 65, 33), torch.rand(20, 65).requires_grad_()
    for n in (1, 2):
        torch_threads(n)
        output = gru(x, decay=g)[0]
        found.append([output, *torch.autograd.grad(output.square().sum(), [g, *gru.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("width", [1, 5])
def test_factors_may_lie_anyhow(width):
    """Expanded, strided, negated in passing; all the same numbers."""
    weights = [torch.randn(n) for n in ((15, 3), (15, 5), (15,), (15,))]
    x, g = torch.randn(4, 6, 3), torch.rand(6, 4, width)
    given = [g.transpose(0, 1), torch.stack([g, g], -1)[..., 1].transpose(0, 1), (-g.transpose(0, 1) * 1j).conj().imag]
    for decays in (given, [given[0][:, :1].expand(4, 6, width), given[0][:, :1].repeat(1, 6, 1)]):
        found = [operators.call(x, None, *weights, None, 6, True, False, decay=decay)[0] for decay in decays]
        assert all(torch.equal(found[0], each) for each in found)


# --- functional, mapped, compiled, traced ---


@func
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_each_sample(form, options):
    """By vmap and by `per_sample_gradients`, packed ones too."""
    gru, m, s = cgru.torch.GRU(3, 4, **options).double(), 3, 5
    gru.batch_first = True
    x, named = torch.randn(m, s, 3).double(), drawn(form, (m, s), 4)
    (name, value), p = *named.items(), {name: value.detach() for name, value in gru.named_parameters()}
    d = torch.randn(m, s, 4 * (1 + gru.bidirectional)).double()

    def loss(p, x, value, d):
        output, _ = torch.func.functional_call(gru, p, (x[None],), {name: value[None]})
        return (output[0] * d).sum()

    asked = (0, 1) if form == "resets" else (0, 1, 2)
    of_p, *others = torch.func.vmap(torch.func.grad(loss, asked), in_dims=(None, 0, 0, 0))(p, x, value, d)
    found = cgru.torch.per_sample_gradients(gru, x, output_gradient=d, **named)
    lengths = torch.full((m,), s)
    packed, above, alike = (pack_padded_sequence(each, lengths, True) for each in (x, d, value))
    also = cgru.torch.per_sample_gradients(gru, packed, output_gradient=above, **{name: alike})
    for i in range(m):
        given = [x[i].clone().requires_grad_(), value[i].clone()]
        given[1].requires_grad_(form != "resets")
        total = loss(dict(gru.named_parameters()), *given, d[i])
        *due, dx = torch.autograd.grad(total, [*gru.parameters(), given[0]], retain_graph=True)
        for key, gradient in zip(p, due, strict=True):
            same([of_p[key][i], found[key][i], also[key][i]], [gradient] * 3)
        same([others[0][i]], [dx])
        if form != "resets":
            same([others[1][i]], torch.autograd.grad(total, given[1]))


@func
def test_a_factor_that_all_mapped_calls_share():
    gru, x = cgru.torch.GRU(3, 5).double(), torch.randn(6, 2, 4, 3).double()
    g = torch.rand(6, 2).double().requires_grad_()
    found = torch.func.vmap(lambda x: gru(x, decay=g)[0], in_dims=2, out_dims=2)(x)
    due = torch.stack([gru(x[:, :, i], decay=g)[0] for i in range(4)], 2)
    same([found, *torch.autograd.grad(found.sin().sum(), g)], [due, *torch.autograd.grad(due.sin().sum(), g)])


@pytest.mark.nightly
def test_pytorch_is_content_with_the_operator():
    u, weights = 5, [torch.randn(n).double().requires_grad_() for n in ((15, 3), (15, 5), (15,), (15,))]
    for sizes, width, reverse in ((None, 1, True), ([2, 2, 1], u, False)):
        shape = (4, 2) if sizes is None else (5,)
        x, g = torch.randn(*shape, 3).double().requires_grad_(), torch.rand(*shape, width).double().requires_grad_()
        sizes = None if sizes is None else torch.tensor(sizes)
        torch.library.opcheck(torch.ops.cgru.gru.default, (x, None, *weights, sizes, 2, reverse, True, g))


@pytest.mark.nightly
def test_compiled():
    """In a process of its own: what it sets stays set."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr


COMPILED = """
import torch
import cgru.torch
torch._dynamo.config.allow_rnn = True
gru = cgru.torch.GRU(3, 5, 2, bidirectional=True, batch_first=True).double()
x, resets, g = torch.randn(2, 4, 3).double(), torch.rand(2, 4) < 0.4, torch.rand(2, 4).double()
compiled = torch.compile(gru, fullgraph=True, backend="aot_eager")
found = []
for module in (gru, compiled):
    leaf = g.clone().requires_grad_()
    outputs = module(x, resets=resets)[0], module(x, decay=leaf)[0]
    found.append([*outputs, *torch.autograd.grad(outputs[0].sin().sum() + outputs[1].sum(), [leaf, *gru.parameters()])])
for a, b in zip(*found, strict=True):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
try:
    compiled(x, decay=g - 1)
except ValueError as error:
    assert "decay: expected factors from 0 to 1" in str(error)
else:
    raise AssertionError
program = torch.export.export(gru.eval(), (x,), {"resets": resets})
assert torch.equal(program.module()(x, resets=~resets)[0], gru(x, resets=~resets)[0])
"""


# --- what is refused ---

TRUE, HALVES = torch.ones(4, 2, dtype=torch.bool), torch.full((4, 2), 0.5)
PACKED = pack_padded_sequence(torch.ones(4, 2, 3), [4, 2])
UNLIKE = pack_padded_sequence(TRUE, [3, 3]), pack_padded_sequence(TRUE, [2, 4], enforce_sorted=False)


@pytest.mark.parametrize(
    ("x", "named", "error"),
    [
        *((None, named, TypeError) for named in (
            {"resets": HALVES}, {"resets": PACKED}, {"decay": TRUE}, {"decay": HALVES.double()},
            {"decay": HALVES.to("meta")}, {"decay": [0.5]},
        )),
        *((None, named, ValueError) for named in (
            {"decay": HALVES, "resets": TRUE}, {"resets": TRUE[:3]}, {"resets": TRUE.T}, {"resets": TRUE[..., None]},
            {"decay": TRUE[..., None] / 1},
        )),
        (PACKED, {"resets": TRUE}, TypeError), *((PACKED, {"resets": each}, ValueError) for each in UNLIKE),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(x, named, error):
    gru = cgru.torch.GRU(3, 5)
    with pytest.raises(error, match=f"^{next(iter(named))}: expected "):
        gru(torch.ones(4, 2, 3) if x is None else x, **named)


@pytest.mark.parametrize(
    ("value", "step", "sample"),
    [(torch.nan, 4, 2), (-1e-9, 5, 3), (1 + 1e-7, 0, 0), (torch.inf, 4, 2), (-torch.inf, 5, 3)],
)
def test_numbers_that_are_no_factors(value, step, sample):
    """Named by their index, wherever they stand, before anything is computed."""
    words = "decay: expected factors from 0 to 1, got .* in"
    for few in (False, True):
        plan.use_samples_in_lanes(few)
        try:
            for width in ((), (5,)):
                for options in ({}, {"bidirectional": True}, {"batch_first": True}):
                    gru, g = cgru.torch.GRU(3, 5, **options).double(), torch.rand(6, 4, *width).double()
                    g[(step, sample, 3)[: g.dim()]] = value
                    x = torch.ones(6, 4, 3).double()
                    if gru.batch_first:
                        x, g = x.transpose(0, 1), g.transpose(0, 1)
                    with pytest.raises(ValueError, match=f"{words} sample {sample}, step {step}"):
                        gru(x, decay=g)
        finally:
            plan.use_samples_in_lanes()
    g = torch.rand(6, 4).double()
    g[2, 1], g[5, 3] = value, torch.nan  # which is in the padding
    x, g = (pack_padded_sequence(each, [6, 4, 2, 1]) for each in (torch.ones(6, 4, 3).double(), g))
    with pytest.raises(ValueError, match=f"{words} row 8 of the packed steps"):
        cgru.torch.GRU(3, 5).double()(x, decay=g)


@pytest.mark.filterwarnings("ignore")
def test_calls_that_would_be_the_parents():
    gru, x = cgru.torch.GRU(3, 5), torch.ones(4, 2, 3)
    words = "resets, decay: expected a call for cgru"
    for module, given, context in (
        (gru, x, torch.autocast("cpu", torch.bfloat16)),
        (cgru.torch.GRU(3, 5, dtype=torch.bfloat16), x.bfloat16(), contextlib.nullcontext()),
        (cgru.torch.GRU(3, 5, device="meta"), x.to("meta"), contextlib.nullcontext()),
        (gru, x[..., :2], contextlib.nullcontext()),
        (gru, x.double(), contextlib.nullcontext()),
        (gru, x[:0], contextlib.nullcontext()),
    ):
        with context, pytest.raises(ValueError, match=words):
            module(given, resets=TRUE)
    with pytest.raises(ValueError, match=words):
        torch.func.grad(lambda x: gru(x, resets=TRUE)[0].sum())(x)
    with torch.autograd.forward_ad.dual_level(), pytest.raises(ValueError, match=words):
        gru(torch.autograd.forward_ad.make_dual(x, x), resets=TRUE)
    with pytest.raises(ValueError, match=words):
        torch.jit.trace(lambda x: gru(x, resets=TRUE)[0], (x,))
    (dx,) = torch.autograd.grad(gru(x.requires_grad_(), resets=TRUE)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"cgru\.torch: expected one derivative"):
        dx.sum().backward()


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = cgru.torch.GRU(3, 5)

    def forward(self, x, resets):
        return self.gru(x, resets=resets)[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dynamo", "whole"), [(False, False), (False, True), pytest.param(True, True, marks=pytest.mark.nightly)]
)
def test_an_export_to_onnx_is_refused(dynamo, whole):
    pytest.importorskip("onnx", reason="no onnx")
    if dynamo:
        pytest.importorskip("onnxscript", reason="no onnxscript")
    x, named = torch.randn(4, 2, 3), {"resets": TRUE}
    model, given, named = (Model(), (x, TRUE), None) if whole else (cgru.torch.GRU(3, 5), (x,), named)
    with pytest.raises(Exception, match="resets, decay: expected None in an export to ONNX"):
        torch.onnx.export(model, given, io.BytesIO(), kwargs=named, dynamo=dynamo, verbose=False)


def test_what_opacus_does_not_see():
    gru, x = cgru.torch.GRU(3, 5), torch.ones(4, 2, 3)
    gru.weight_ih_l0.grad_sample = None
    gru.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="resets: expected None in a model of opacus"):
        gru(x, resets=TRUE)


def test_a_packed_result_is_one():
    gru = cgru.torch.GRU(3, 5)
    output, _ = gru(PACKED, resets=pack_padded_sequence(TRUE, [4, 2]))
    assert isinstance(output, PackedSequence)


def test_what_is_accelerated_takes_them():
    model = torch.nn.GRU(3, 5)
    cgru.torch.accelerate(model)
    x = torch.randn(4, 2, 3)
    assert torch.equal(model(x, resets=TRUE)[0][3], model(x[3:])[0][0])
