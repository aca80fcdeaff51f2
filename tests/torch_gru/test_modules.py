"""The modules against their parents: what comes out, what goes back, and everything else that one sees of them."""

import contextlib
import copy
import gc
import io
import pickle
import random
import tracemalloc

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch")

from torch.nn.utils import parametrizations, prune  # noqa: E402
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence  # noqa: E402

import cgru.torch  # noqa: E402
from cgru.core import kernels  # noqa: E402

WIDE = 448  # units whose gradients go past the cache, in memory that is used again
SIZES = (1, 2, 7, 8, 17, 33)
TOLERANCE = {torch.float64: (1e-12, 1e-12), torch.float32: (2e-6, 1e-5)}  # of outputs, of gradients


def pair(*arguments, ours=cgru.torch.GRU, **options):
    """The parent and ours with the same parameters."""
    theirs = ours.__mro__[1](*arguments, **options)
    module = ours(*arguments, **options)
    module.load_state_dict(theirs.state_dict())
    return theirs, module


def ran(module, x, hx=None, lengths=None, seed=0):
    """Outputs, and the gradients of everything from gradients that are random; the same for the same seed."""
    module.zero_grad()
    x, hx = (None if given is None else given.detach().clone().requires_grad_() for given in (x, hx))
    torch.manual_seed(seed)  # that of the dropout
    batch_first = getattr(module, "batch_first", True)
    given = x if lengths is None else pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
    outputs = module(given, hx)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    outputs = [output.data if isinstance(output, PackedSequence) else output for output in outputs]
    torch.manual_seed(seed)
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    inputs = [tensor.grad for tensor in (x, hx) if tensor is not None]
    return outputs, [*inputs, *(parameter.grad for parameter in module.parameters())]


def same(ours, theirs, dtype):
    for mine, other, tolerance in zip(ours, theirs, TOLERANCE[dtype], strict=False):
        for a, b in zip(mine, other, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert (a - b).abs().max() <= tolerance * b.abs().max()


def check_at_random(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    e, u, m, s = (draw.choice(SIZES) for _ in range(4))
    layers, both, dtype = draw.choice((1, 2, 3)), draw.choice((False, True)), draw.choice(list(TOLERANCE))
    options = {"num_layers": layers, "bidirectional": both, "bias": draw.random() < 0.7, "dtype": dtype}
    options |= {"batch_first": draw.random() < 0.5, "dropout": draw.choice((0.0, 0.3)) if layers > 1 else 0.0}
    kind = draw.choice(("padded", "packed", "single"))
    rows = () if kind == "single" else (m,)
    x = torch.randn(*rows, s, e, dtype=dtype)
    if rows and not options["batch_first"]:
        x = x.transpose(0, 1)
    hx = torch.randn(layers * (1 + both), *rows, u, dtype=dtype) if draw.random() < 0.6 else None
    lengths = None
    if kind == "packed":
        lengths = torch.randint(1, s + 1, (m,))
        lengths[draw.randrange(m)] = s
    theirs, ours = pair(e, u, **options)
    same(ran(ours, x, hx, lengths, seed), ran(theirs, x, hx, lengths, seed), dtype)
    given, outputs = x if lengths is None else pack_padded_sequence(x, lengths, ours.batch_first, False), []
    for module in (ours, theirs):
        torch.manual_seed(seed)
        with torch.inference_mode():
            output, state = module(given, hx)
        outputs.append([output if lengths is None else output.data, state])
    same(outputs[:1], outputs[1:], dtype)


@pytest.mark.parametrize("seed", range(20))
def test_numbers_are_the_parents(seed):
    check_at_random(seed)


@pytest.mark.nightly
def test_numbers_are_the_parents_two_hundred_times():
    for seed in range(1000, 1200):
        check_at_random(seed)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", [(3,), (5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell(dtype, shape, bias):
    theirs, ours = pair(3, 17, bias, ours=cgru.torch.GRUCell, dtype=dtype)
    x, hx = torch.randn(shape, dtype=dtype), torch.randn(*shape[:-1], 17, dtype=dtype)
    same(ran(ours, x, hx), ran(theirs, x, hx), dtype)
    same(ran(ours, x), ran(theirs, x), dtype)


@pytest.mark.slow
def test_what_pytorch_tests_its_modules_with():
    pytest.importorskip("expecttest", reason="no expecttest")
    from torch.testing._internal.common_modules import module_db

    found = 0
    for info in module_db:
        ours = {torch.nn.GRU: cgru.torch.GRU, torch.nn.GRUCell: cgru.torch.GRUCell}.get(info.module_cls)
        if ours is None:
            continue
        for case in info.module_inputs_func(info, "cpu", torch.float64, True, True):
            made, called = case.constructor_input, case.forward_input
            theirs, module = pair(*made.args, ours=ours, dtype=torch.float64, **made.kwargs)
            x, hx, *_ = (*called.args, called.kwargs.get("hx"), None)
            same(ran(module, x, hx), ran(theirs, x, hx), torch.float64)
            found += 1
    assert found > 10


def test_packed_sequences_keep_their_order():
    theirs, ours = pair(3, 5, bidirectional=True)
    packed = pack_padded_sequence(torch.randn(6, 4, 3), torch.tensor([2, 6, 1, 4]), enforce_sorted=False)
    a, b = ours(packed)[0], theirs(packed)[0]
    assert all(torch.equal(mine, other) for mine, other in zip(a[1:], b[1:], strict=True))


def test_it_looks_like_its_parent():
    theirs, ours = pair(3, 5, num_layers=2, bidirectional=True, dropout=0.5)
    assert isinstance(ours, torch.nn.GRU)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.manual_seed(3)
    drawn = torch.nn.GRU(3, 5).weight_hh_l0
    torch.manual_seed(3)
    assert torch.equal(cgru.torch.GRU(3, 5).weight_hh_l0, drawn)
    ours.flatten_parameters()


def test_copies_and_files():
    ours = cgru.torch.GRU(3, 5)
    x, file = torch.randn(4, 2, 3), io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), torch.load(file, weights_only=False)):
        assert type(other) is cgru.torch.GRU
        assert torch.equal(other(x)[0], ours(x)[0])
        other(x)[0].sum().backward()
        assert ours.weight_ih_l0.grad is None


@pytest.mark.parametrize("batch_first", [True, False])
def test_outputs_may_be_written_to(batch_first):
    """And those of steps first are in one piece, as the parent's."""
    theirs, ours = pair(3, 5, batch_first=batch_first)
    x, due = torch.randn(7, 4, 3), None
    for module in (theirs, ours):
        output, _ = module(x)
        output.relu_().sum().backward()
        if due is None:
            due = module.weight_hh_l0.grad
    torch.testing.assert_close(ours.weight_hh_l0.grad, due)
    for context in (torch.no_grad, torch.enable_grad):
        with context():
            assert ours(x)[0].transpose(0, int(batch_first)).is_contiguous()


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2}])
def test_results_are_no_views(options):
    """As agents and truncated backpropagation use them: cut off in place, and written to after `no_grad`."""
    for x in (torch.randn(4, 2, 3), torch.randn(4, 3)):
        ours = cgru.torch.GRU(3, 5, **options)
        output, hidden = ours(x)
        output.sum().backward()
        output.detach_()
        ours(x, hidden.detach_())
        with torch.no_grad():
            output, hidden = ours(x)
        hidden[..., 0] = torch.ones(1, requires_grad=True)
        output += torch.ones(1, requires_grad=True)
        cell = cgru.torch.GRUCell(3, 5)
        cell(x.flatten(0, -2)).detach_()
        cell(x.flatten(0, -2)[0]).detach_()


def changed(x, y):
    x += y.mean()


@pytest.fixture
def torch_threads():
    """Sets PyTorch's number of threads; puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bias": False}])
@pytest.mark.parametrize(("m", "u", "s"), [(1, 5, 33), (3, 40, 33), (8, 3, 9), (20, 7, 5), (3, 5, 1)])
def test_both_directions_without_gradients_have_the_bits_of_a_call_with_them(crew, torch_threads, m, u, s, options):
    """Also where they run at once, in pieces of some steps."""
    module = cgru.torch.GRU(4, u, 2, bidirectional=True, **options)
    x, hx, fades = torch.randn(s, m, 4), torch.randn(4, m, u), torch.rand(s, m)
    if module.batch_first:
        x, fades = x.transpose(0, 1), fades.T
    for given in ((), (hx,), (hx, None, fades), (None, fades < 0.3)):
        due = module(x, *given)
        with torch.no_grad():
            for threads, steps in ((1, None), (1, 7), (2, None), (2, 7), (2, 1)):
                torch_threads(threads)
                crew(threads)
                kernels.use_pieces(steps)
                try:
                    found = module(x, *given)
                finally:
                    kernels.use_pieces()
                assert all(map(torch.equal, found, due))
                assert found[0].shape == due[0].shape


def in_a_buffer(x, y):
    x.zero_()


@pytest.mark.parametrize("change", [changed, in_a_buffer, lambda x, y: x.relu_(), lambda x, y: None])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"batch_first": True, "bidirectional": True}])
@pytest.mark.parametrize("given", ["input", "slice", "transposed", "one step", "inference", "packed", "packed data"])
def test_an_input_may_change_where_pytorch_has_a_copy(given, options, change):
    """And raises where PyTorch raises."""
    found = []
    for module in pair(3, 5, 2, **options):
        torch.manual_seed(0)
        with torch.inference_mode(given == "inference"):
            x = torch.randn(4, 4, 3)
            if given != "inference":
                x = torch.randn(4, 4, 6, requires_grad=True)[..., :3] if given == "slice" else x.requires_grad_() * 1
            x = x.transpose(0, 1) if given == "transposed" else x[:, :1] if given == "one step" else x
        packed = pack_padded_sequence(x, [4, 4, 2, 1], module.batch_first) if "packed" in given else x
        try:
            output = module(packed)[0]
            output = output.data if "packed" in given else output
            with torch.inference_mode(given == "inference"):
                change(packed.data if given == "packed data" else x, output.detach())
            output.square().sum().backward()
            found.append([p.grad for p in module.parameters()])
        except RuntimeError as error:
            found.append(str(error)[:20])
    if isinstance(found[0], str):
        assert found[0] == found[1]
    else:
        same([[], found[1]], [[], found[0]], torch.float32)


REPARAMETRIZED = {
    "spectral_norm": parametrizations.spectral_norm,
    "weight_norm": parametrizations.weight_norm,
    "orthogonal": parametrizations.orthogonal,
    "old spectral_norm": torch.nn.utils.spectral_norm,
    "pruned": lambda module, name: prune.l1_unstructured(module, name, 0.3),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", REPARAMETRIZED)
@pytest.mark.parametrize(("ours", "name"), [(cgru.torch.GRU, "weight_hh_l0"), (cgru.torch.GRUCell, "weight_hh")])
def test_weights_that_are_parametrized_afterwards(kind, ours, name):
    """In training, where some compute them anew at each access."""
    found = []
    for module in pair(3, 5, ours=ours):
        torch.manual_seed(0)
        REPARAMETRIZED[kind](module, name)
        x = torch.ones(2, 4, 3) if ours is cgru.torch.GRU else torch.ones(4, 3)
        sgd = torch.optim.SGD(module.parameters(), 0.1)
        for _ in range(3):
            output = module(x)
            output = output[0] if isinstance(output, tuple) else output
            sgd.zero_grad()
            output.square().sum().backward()
            sgd.step()
        found.append([output, *module.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_no_whole_gru_is_the_parents(calls):
    """Weights of other shapes, none at all, negated in passing, sizes that are none."""
    x = torch.randn(4, 2, 3)
    for key, value in (
        ("weight_hh_l0", torch.randn(3, 5)),
        ("weight_ih_l0", torch.randn(6, 3)),
        ("bias_ih_l0", torch.randn(400)),
        ("bias_hh_l0", torch.randn(1)),
        ("weight_ih_l0_reverse", torch.randn(15, 2)),
        ("weight_ih_l1", torch.randn(15, 5)),
    ):
        ours = cgru.torch.GRU(3, 5, num_layers=2, bidirectional=True)
        before = len(calls)
        with contextlib.suppress(RuntimeError):
            torch.func.functional_call(ours, {key: value}, (x,))
        assert len(calls) == before + 1
    ours = cgru.torch.GRU(3, 5)
    ours.bias_ih_l0 = None
    with pytest.raises((TypeError, AttributeError)):
        ours(x)
    theirs, ours = pair(3, 5)
    z = torch.randn(15, 3, dtype=torch.complex64)
    a, b = (torch.func.functional_call(each, {"weight_ih_l0": z.conj().imag}, (x,))[0] for each in (ours, theirs))
    assert torch.equal(a, b)
    for sizes in ([4, 4], [4, -1], [1, 2]):
        before = len(calls)
        with contextlib.suppress(RuntimeError, IndexError):
            ours(PackedSequence(torch.randn(3, 3), torch.tensor(sizes)))
        assert len(calls) == before + 1
    cell = cgru.torch.GRUCell(3, 5)
    cell.weight_hh = torch.nn.Parameter(torch.randn(12, 5))
    with pytest.raises(RuntimeError):
        cell(x[0])


@pytest.mark.parametrize(
    ("x", "hx"),
    [
        (torch.ones(4, 2, 4), None),
        (torch.ones(4, 2, 3), torch.ones(1, 3, 5)),
        (torch.ones(4, 2, 3), torch.ones(2, 5)),
        (torch.ones(4, 2, 3).double(), None),
        (torch.ones(0, 2, 3), None),
        (torch.ones(3), None),
    ],
    ids=["features", "samples", "axes of hx", "dtype", "steps", "axes"],
)
def test_errors_are_the_parents(x, hx):
    messages = []
    for module in pair(3, 5):
        with pytest.raises((ValueError, RuntimeError)) as error:
            module(x, hx)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.fixture
def calls(monkeypatch):
    """The names of the parents' calls."""
    seen = []
    for kind in (torch.nn.GRU, torch.nn.GRUCell):
        forward = kind.forward
        monkeypatch.setattr(kind, "forward", lambda *given, of=forward, **named: seen.append(1) or of(*given, **named))
    return seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own, by what torch.func imports
def test_elsewhere_it_is_its_parent(calls):
    ours, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3)
    due = ours(x)[0]
    assert not calls
    with torch.autocast("cpu", torch.bfloat16):
        ours(x)
    assert len(calls) == 1
    torch.func.grad(lambda given: ours(given)[0].sum())(x)
    assert len(calls) == 2
    with torch.autograd.forward_ad.dual_level():
        ours(torch.autograd.forward_ad.make_dual(x, x))
    assert len(calls) == 3
    assert ours.to("meta")(x.to("meta"))[0].shape == due.shape
    assert cgru.torch.GRUCell(3, 5).bfloat16()(x[0].bfloat16()).dtype == torch.bfloat16
    assert len(calls) == 5
    assert ours.to_empty(device="cpu").bfloat16()(x.bfloat16())[0].dtype == torch.bfloat16
    ours.float()(x)
    assert len(calls) == 6


def test_packed_and_single_sequences_run_here(calls):
    ours = cgru.torch.GRU(3, 5)
    x = torch.randn(6, 4, 3)
    ours(pack_padded_sequence(x, torch.tensor([2, 6, 1, 4]), enforce_sorted=False))
    ours(pack_padded_sequence(x, torch.tensor([6, 6, 1, 1])), torch.zeros(1, 4, 5))
    ours(x[:, 0], torch.zeros(1, 5))
    cgru.torch.GRUCell(3, 5, bias=False)(x[0])
    for options in ({}, {"bias": False}):
        deep = cgru.torch.GRU(3, 5, 3, bidirectional=True, batch_first=True, **options)
        deep(x, torch.zeros(6, 6, 5))
        deep(pack_padded_sequence(x[:, :2], [2] * 6, batch_first=True), torch.zeros(6, 6, 5))
    assert not calls


def test_functional_calls_take_other_parameters():
    theirs, ours = pair(3, 5)
    x, others = torch.randn(4, 2, 3), {name: value * 2 for name, value in ours.named_parameters()}
    a, b = (torch.func.functional_call(module, others, x)[0] for module in (ours, theirs))
    torch.testing.assert_close(a, b)
    assert not torch.equal(a, ours(x)[0])


def test_no_caches_where_nobody_goes_back(monkeypatch):
    keeps, real = [], cgru.torch.modules.call
    monkeypatch.setattr(cgru.torch.modules, "call", lambda *given, **by: keeps.append(given[-1]) or real(*given, **by))
    ours, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3)
    ours(x)
    with torch.no_grad():
        ours(x)
    with torch.inference_mode():
        assert ours(x)[0].is_inference()
    ours.requires_grad_(False)
    assert not ours(x)[0].requires_grad
    ours(x.requires_grad_())[0].sum().backward()
    assert keeps == [True, False, False, False, True]
    assert x.grad is not None
    assert ours.weight_ih_l0.grad is None


def step(module, x, anew=True):
    """The gradients of the parameters after one step."""
    if anew:
        module.zero_grad()
    module(x)[0].sum().backward()
    return [parameter.grad for parameter in module.parameters()]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("s", "m"), [(1, 1), (1, 16), (2, 5)])
def test_wide_layers_on_few_rows(dtype, s, m):
    theirs, module = pair(WIDE, WIDE, dtype=dtype)
    x = torch.randn(s, m, WIDE, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for anew in (True, False, True):
        same([[], step(module, x, anew)], [[], step(theirs, x, anew)], dtype)


def test_memory_of_a_gradient_is_used_again_once_nobody_holds_it():
    module, x = cgru.torch.GRU(WIDE, WIDE, dtype=torch.float64), torch.randn(1, 2, WIDE, dtype=torch.float64)
    places = {grad.data_ptr() for grad in step(module, x)[:2]}
    assert {grad.data_ptr() for grad in step(module, x)[:2]} == places
    rows = [grad[1:3].numpy() for grad in step(module, x)[:2]]
    copies = [each.copy() for each in rows]
    assert not places & {grad.data_ptr() for grad in step(module, -x)[:2]}
    for each, copied in zip(rows, copies, strict=True):
        np.testing.assert_array_equal(each, copied)


def test_memory_of_gradients_goes_with_their_weights():
    x = torch.randn(1, 2, WIDE, dtype=torch.float64)
    tracemalloc.start()
    try:
        step(cgru.torch.GRU(WIDE, WIDE, dtype=torch.float64), x)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (5,)])
def test_a_cell_without_gradients_has_the_numbers_of_one_with_them(shape, bias):
    cell = cgru.torch.GRUCell(7, 17, bias)
    x, h = torch.randn(*shape, 14)[..., ::2], torch.randn(*shape, 17)
    for hx in (h, h.expand(2, *h.shape)[1], None):
        due = cell(x, hx)
        with torch.no_grad():
            got = cell(x, hx)
        assert due.requires_grad
        assert got.shape == due.shape == (*shape, 17)
        assert torch.equal(got, due)


# --- gradients of each sample ---


def alone(module, x, hx, dA, dstate):
    """The gradients of the parameters from a batch of one sample, by autograd."""
    output, hidden = module(x, hx)
    loss = (0 if dA is None else (output * dA).sum()) + (0 if dstate is None else (hidden * dstate).sum())
    return torch.autograd.grad(loss, list(module.parameters()))


KINDS = [{}, {"batch_first": True, "num_layers": 2, "bidirectional": True}, {"num_layers": 2, "bias": False}]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("options", KINDS)
@pytest.mark.pairwise
def test_gradients_of_each_sample(options, given, dtype):
    """Of few and of many units, in batches of one and of many, with samples in the lanes."""
    for m, s, e, u in ((1, 4, 3, 5), (33, 3, 2, 3), (5, 4, 70, 2), (4, 1, 3, 17)):
        ours = cgru.torch.GRU(e, u, **options).to(dtype)
        first = ours.batch_first
        x, hx = (
            torch.randn(m, s, e, dtype=dtype),
            torch.randn(ours.num_layers * (1 + ours.bidirectional), m, u, dtype=dtype),
        )
        dA, dstate = torch.randn(m, s, u * (1 + ours.bidirectional), dtype=dtype), torch.randn_like(hx)
        dA, dstate = (d if is_given else None for d, is_given in zip((dA, dstate), given, strict=True))

        def laid(sequences, first=first):
            return sequences if sequences is None or first else sequences.transpose(0, 1)

        found = cgru.torch.per_sample_gradients(ours, laid(x), hx, output_gradient=laid(dA), hidden_gradient=dstate)
        assert list(found) == [name for name, _ in ours.named_parameters()]
        for i in {0, m // 2, m - 1}:
            one = slice(i, i + 1)
            pieces = [None if d is None else d[one] for d in (x, dA)]
            states = [None if d is None else d[:, one].contiguous() for d in (hx, dstate)]
            due = alone(ours, laid(pieces[0]), states[0], laid(pieces[1]), states[1])
            for (name, p), gradient in zip(ours.named_parameters(), due, strict=True):
                assert found[name].shape == (m, *p.shape)
                torch.testing.assert_close(found[name][i], gradient)


@pytest.mark.parametrize("options", KINDS)
def test_gradients_of_each_packed_sample(options):
    m, s = 7, 5
    ours = cgru.torch.GRU(3, 4, **options).double()
    x, lengths = torch.randn(m, s, 3).double(), torch.tensor([2, 5, 1, 3, 5, 4, 2])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, hidden = ours(packed)
    dA, dstate = torch.randn_like(output.data), torch.randn_like(hidden)
    for gradient in (dA, output._replace(data=dA)):
        found = cgru.torch.per_sample_gradients(ours, packed, output_gradient=gradient, hidden_gradient=dstate)
        padded, _ = pad_packed_sequence(output._replace(data=dA), batch_first=True)
        for i, n in enumerate(lengths):
            one, part = x[i : i + 1, :n], padded[i : i + 1, :n]
            if not ours.batch_first:
                one, part = one.transpose(0, 1), part.transpose(0, 1)
            due = alone(ours, one, None, part, dstate[:, i : i + 1])
            for (name, _), gradient in zip(ours.named_parameters(), due, strict=True):
                torch.testing.assert_close(found[name][i], gradient)


def test_gradients_of_each_sample_leave_the_module_as_it_was():
    ours, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3, requires_grad=True)
    ours.weight_ih_l0.requires_grad_(False)
    with torch.no_grad():
        found = cgru.torch.per_sample_gradients(ours, x, output_gradient=torch.ones(4, 2, 5))
    assert list(found) == ["weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert x.grad is None
    assert all(p.grad is None for p in ours.parameters())
    ours.requires_grad_(False)
    assert cgru.torch.per_sample_gradients(ours, x, output_gradient=torch.ones(4, 2, 5)) == {}


def test_gradients_of_each_sample_that_are_refused():
    ours, x = cgru.torch.GRU(3, 5, 2, dropout=0.5), torch.randn(4, 2, 3)
    d = torch.ones(4, 2, 5)
    with pytest.raises(ValueError, match=r"module: expected one without dropout, got dropout=0\.5"):
        cgru.torch.per_sample_gradients(ours, x, output_gradient=d)
    ours.eval()
    for module, error, match in (
        (torch.nn.GRU(3, 5), TypeError, r"module: expected a cgru\.torch\.GRU, got GRU; accelerate makes it one"),
        (cgru.torch.GRU(4, 5), ValueError, "input: expected a batch of 4 features"),
        (cgru.torch.GRU(3, 5).double(), ValueError, "input: expected a batch"),
    ):
        with pytest.raises(error, match=match):
            cgru.torch.per_sample_gradients(module, x, output_gradient=d)
    for arguments, match in (
        ({}, "output_gradient, hidden_gradient: expected at least one"),
        (
            {"output_gradient": d[:2]},
            r"output_gradient: expected torch\.float32 \(4, 2, 5\), got torch\.float32 \(2, 2, 5\)",
        ),
        (
            {"hidden_gradient": torch.ones(2, 2, 5).double()},
            r"hidden_gradient: expected torch\.float32 \(2, 2, 5\), got torch\.f",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            cgru.torch.per_sample_gradients(ours, x, **arguments)
    with pytest.raises(ValueError, match=r"input: expected a batch of 3 features.*got torch\.float32 \(4, 3\)"):
        cgru.torch.per_sample_gradients(ours, x[:, 0], output_gradient=d[:, 0])
    assert cgru.torch.per_sample_gradients(ours, x, output_gradient=d)["weight_hh_l1"].shape == (2, 15, 5)


# --- which steps run here ---

MEASURED = (  # a cell or not, m, e, u, bytes of a number, gradients, threads, and whether we are faster
    ((False, 1, 512, 512, 8, False, 2), True),
    ((False, 1, 8, 8, 8, True, 2), True),
    ((True, 1, 512, 512, 4, True, 1), True),
    ((True, 64, 16, 16, 8, True, 1), True),
    ((True, 8, 128, 128, 8, True, 1), True),
    ((True, 9, 128, 128, 8, True, 1), False),
    ((True, 16, 256, 256, 8, True, 1), True),
    ((False, 1, 255, 255, 4, True, 1), True),
    ((False, 1, 256, 256, 4, True, 1), False),
    ((True, 32, 512, 512, 8, True, 1), False),
    ((True, 64, 256, 256, 8, True, 2), False),
    ((True, 66, 256, 256, 8, True, 2), True),
    ((True, 2, 256, 256, 8, True, 2), False),
    ((True, 16, 128, 128, 4, True, 2), True),
    ((True, 17, 128, 128, 8, True, 2), False),
    ((True, 17, 128, 128, 4, True, 2), False),
    ((True, 65, 256, 64, 4, True, 2), False),
    ((True, 1000, 512, 64, 4, True, 2), False),
    ((True, 1000, 512, 64, 4, False, 2), True),
    ((True, 32, 512, 512, 4, False, 2), True),
    ((True, 11, 256, 256, 8, False, 2), True),
    ((True, 12, 256, 256, 8, False, 2), False),
    ((True, 32, 128, 128, 8, False, 2), False),
    ((True, 66, 1024, 128, 8, False, 2), False),
    ((True, 80, 1024, 128, 8, False, 2), True),
)


@pytest.mark.parametrize(("sizes", "due"), MEASURED)
def test_which_steps_run_here(sizes, due):
    assert cgru.torch.modules.pays(*sizes) is due


@pytest.fixture
def one_thread(torch_threads):
    torch_threads(1)


def test_a_step_that_is_faster_there_is_the_parents(calls, one_thread):
    cell, gru, x = cgru.torch.GRUCell(256, 256), cgru.torch.GRU(256, 256), torch.randn(2, 256)
    h = torch.zeros(2, 256)
    for given, parents in ((x, 0), (x[:1], 0), (x.repeat(9, 1), 1)):
        calls.clear()
        cell(given)
        assert len(calls) == parents
    calls.clear()
    gru(x[None], h[None])
    gru(x[:, None], h[None, :1])
    gru(x[:1])
    assert not calls
    gru(x[:1], h[:1])
    gru(x[:1, None], h[None, :1])
    assert len(calls) == 2
    with torch.no_grad():
        gru(x[:1], h[:1])
        cell(x[:1])
    assert len(calls) == 2
    torch.set_num_threads(2)
    cell.double(), cell(x.double())
    assert len(calls) == 3


def test_the_table_says_which(one_thread):
    model = torch.nn.ModuleList([torch.nn.GRU(256, 256), *(torch.nn.GRUCell(n, n) for n in (8, 256, 256))])
    model[3].double()
    for threads, due in ((1, ("1 to 1", None, "17 to 64", "17 to 64")), (2, ("1 to 1", None, "17 to 64", "1 to 64"))):
        torch.set_num_threads(threads)
        calls = [row.calls for row in cgru.torch.accelerate(model).modules.values()]
        assert calls == [
            "run here" + (f"; PyTorch runs some single steps of {rows} rows" if rows else "") for rows in due
        ]
        cgru.torch.restore(model)


@pytest.mark.parametrize("x", [torch.ones(2, 4), torch.ones(3, 2, 3), torch.ones(()), [[1.0]], None])
def test_errors_of_a_cell_are_the_parents(x):
    messages = []
    for module in pair(3, 5, ours=cgru.torch.GRUCell):
        with pytest.raises(Exception, match=r".") as error:
            module(x)
        messages.append((type(error.value), str(error.value)))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("batch_first", [False, True])
def test_vmap_without_gradients_of_both_directions(batch_first):
    gru, x = cgru.torch.GRU(3, 5, 2, bidirectional=True, batch_first=batch_first), torch.randn(4, 2, 7, 3)
    with torch.no_grad():
        due = torch.stack([gru(each)[0] for each in x])
        torch.testing.assert_close(torch.func.vmap(lambda each: gru(each)[0])(x), due)


@pytest.mark.parametrize("hx", [torch.ones(5), torch.ones(2, 5), torch.ones(1, 6), torch.ones(1, 5).double()])
def test_states_that_do_not_fit_a_cell_are_the_parents(hx, calls):
    with contextlib.suppress(RuntimeError, ValueError):
        cgru.torch.GRUCell(3, 5)(torch.ones(1, 3), hx)
    assert len(calls) == 1


@pytest.mark.filterwarnings("error")
def test_a_traced_cell_is_pytorchs():
    cell, x = cgru.torch.GRUCell(3, 5), torch.randn(2, 3)
    with torch.no_grad():
        graph = torch.fx.experimental.proxy_tensor.make_fx(cell)(x)
    assert "cgru" not in graph.code
    torch.testing.assert_close(graph(x), cell(x))
