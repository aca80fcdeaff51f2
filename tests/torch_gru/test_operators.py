"""The operator under PyTorch's autograd, compiler and exporters, in threads and processes."""

import io
import multiprocessing
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402
from cgru.core import plan  # noqa: E402
from cgru.torch import operators  # noqa: E402


def inputs(s=4, m=2, e=3, u=5, sizes=None, keep=True, reverse=False):
    x = (s, m, e) if sizes is None else (sum(sizes), e)
    made = [torch.randn(shape).double() for shape in (x, (m, u), (3 * u, e), (3 * u, u), (3 * u,), (3 * u,))]
    sizes = None if sizes is None else torch.tensor(sizes)
    return *(tensor.requires_grad_(keep) for tensor in made), sizes, m, reverse, keep


@pytest.fixture
def lanes():
    """Whether lanes are samples, as the test says; as the model says after it."""
    yield plan.use_samples_in_lanes
    plan.use_samples_in_lanes()


@pytest.mark.slow
@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [None, [3, 3, 2, 1]])
def test_gradients(sizes, reverse, few, lanes):
    """By central differences, of both results, and of each alone."""
    lanes(few)
    given = inputs(m=3, sizes=sizes, reverse=reverse)
    tensors, rest = given[:6], given[6:]
    for call in (operators.call, operators.forward):
        for of in (lambda A, state: (A, state), lambda A, _: A, lambda _, state: state):
            assert torch.autograd.gradcheck(lambda *x, of=of, call=call: of(*call(*x, *rest)[:2]), tensors)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("sizes", [None, [3, 3, 2, 1]])
def test_only_what_is_asked_for(sizes, few, lanes):
    """Of the inputs that need a gradient, whichever these are."""
    lanes(few)
    given = inputs(m=3, sizes=sizes)
    tensors, rest = given[:6], given[6:]
    due = torch.autograd.grad(operators.call(*tensors, *rest)[0].square().sum(), tensors)
    for asked in range(1, 2**6):
        chosen = [i for i in range(6) if asked & 1 << i]
        these = [tensor.detach().requires_grad_(i in chosen) for i, tensor in enumerate(tensors)]
        for call in (operators.call, operators.forward):
            found = torch.autograd.grad(call(*these, *rest)[0].square().sum(), [these[i] for i in chosen])
            assert all(torch.equal(a, due[i]) for a, i in zip(found, chosen, strict=True))


@pytest.mark.slow
def test_pytorch_is_content_with_it():
    for given in (inputs(), inputs(sizes=[2, 2, 1], reverse=True)):
        torch.library.opcheck(torch.ops.cgru.gru.default, given)


def test_the_caches_are_as_many_as_a_fake_run_says():
    for m, s, u in ((1, 1, 1), (7, 3, 5), (2, 33, 17)):
        given = inputs(s, m, 2, u)
        real = operators.forward(*given)
        with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
            fake = operators.forward(*given)
        assert [each.shape for each in fake] == [each.shape for each in real]


@pytest.mark.parametrize("keep", [False, True])
def test_tensors_may_lie_anyhow(keep, lanes):
    """Transposed, strided and expanded ones give the bits of what they show."""
    for few in (False, True):
        lanes(few)
        given = inputs(m=3, keep=False)
        odd = [
            given[0].transpose(0, 2).contiguous().transpose(0, 2),
            given[1].t().contiguous().t(),
            *(weight.t().contiguous().t() for weight in given[2:4]),
            *(torch.stack([bias, bias], -1)[:, 0] for bias in given[4:6]),
        ]
        outputs = []
        for tensors in (given[:6], odd):
            these = [tensor.requires_grad_(keep) for tensor in tensors]
            A, state, _ = operators.call(*these, *given[6:-1], keep)
            outputs.append([A, state])
            if keep:  # a gradient of one number, expanded
                outputs[-1] += torch.autograd.grad(A.sum() + state.sum(), these)
        assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))


def test_many_runs_at_once_and_back_again():
    gru = cgru.torch.GRU(3, 5).double()
    runs = [torch.randn(4, 2, 3).double().requires_grad_() for _ in range(3)]
    outputs = [gru(x)[0] for x in runs]
    for x, output in zip(runs, outputs, strict=True):
        output.sum().backward(retain_graph=True)
        due = x.grad.clone()
        output.sum().backward()
        assert torch.equal(x.grad, 2 * due)
        x.grad = None
        gru(x)[0].sum().backward()
        assert torch.equal(x.grad, due)


def test_parameters_that_changed_in_between_are_refused():
    gru = cgru.torch.GRU(3, 5)
    output = gru(torch.randn(4, 2, 3))[0].sum()
    with torch.no_grad():
        gru.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


def test_second_derivatives_are_refused():
    x = torch.randn(4, 2, 3, requires_grad=True)
    (dx,) = torch.autograd.grad(cgru.torch.GRU(3, 5)(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"cgru\.torch: expected one derivative"):
        dx.sum().backward()


def test_a_run_without_caches_does_not_go_back():
    given = inputs()
    output = operators.forward(*given[:-1], False)[0]
    with pytest.raises(RuntimeError, match="expected a run with keep=True"):
        output.sum().backward()


def test_checkpoints():
    gru, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3, requires_grad=True)
    gru(x)[0].sum().backward()
    due, x.grad = x.grad, None
    torch.utils.checkpoint.checkpoint(gru, x, use_reentrant=False)[0].sum().backward()
    assert torch.equal(x.grad, due)


# --- compiled and exported ---


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = cgru.torch.GRU(3, 5, num_layers=2, bidirectional=True)
        self.linear = torch.nn.Linear(10, 2)

    def forward(self, x):
        return self.linear(self.gru(x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.nightly)])  # half a minute
def test_compiled(backend):
    """Here in a process of its own: it warns of what lies beside it, and what it sets stays set."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, backend], cwd=os.path.dirname(__file__), capture_output=True, text=True
    )
    if "InvalidCxxCompiler" in done.stderr:
        pytest.skip("no C++ compiler")
    assert done.returncode == 0, done.stderr


COMPILED = """
import sys
import tracemalloc
import torch
import cgru.torch
from test_operators import Model
torch._dynamo.config.allow_rnn = True
model = Model().double()
compiled = torch.compile(model, fullgraph=True, backend=sys.argv[1])
shapes = ((4, 2, 3), (7, 2, 3), (9, 3, 3))
for shape in shapes[::2] if sys.argv[1] == "inductor" else shapes:  # whose compiler takes ten seconds for each
    x, grads = torch.randn(shape).double(), []
    for each in (model, compiled):
        model.zero_grad()
        y = each(x)
        y.square().sum().backward()
        grads.append([y.detach(), *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), y, rtol=1e-12, atol=1e-12)
seen = []
torch.compile(model, fullgraph=True, backend=lambda graph, _: seen.append(graph.code) or graph.forward)(x)
assert seen[0].count("ops.cgru.gru") == 4
cell = cgru.torch.GRUCell(3, 5)
torch.compile(cell, fullgraph=True, backend=lambda graph, _: seen.append(graph.code) or graph.forward)(torch.ones(2, 3))
assert "cgru" not in seen[1]
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_exported_and_back():
    model, x, file = Model().eval(), torch.randn(4, 2, 3), io.BytesIO()
    sizes = {0: torch.export.Dim("s", min=2, max=99), 1: torch.export.Dim("m", min=2, max=99)}
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (x,), dynamic_shapes=(sizes,)), file)
    file.seek(0)
    program = torch.export.load(file)
    assert [str(node.target) for node in program.graph.nodes].count("cgru.gru.default") == 4
    for given in (x, torch.randn(9, 7, 3)):
        assert torch.equal(program.module()(given), model(given))


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_a_file_of_an_export_wants_its_import(tmp_path):
    model, x, file = Model().eval(), torch.randn(4, 2, 3), tmp_path / "model.pt2"
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (x,)), file)
        with cgru.torch.restored(model):
            torch.export.save(torch.export.export(model, (x,)), tmp_path / "restored.pt2")
    done = subprocess.run([sys.executable, "-c", LOADED, tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LOADED = """
import sys
import torch
torch.export.load(sys.argv[1] + "/restored.pt2").module()(torch.ones(4, 2, 3))
try:
    torch.export.load(sys.argv[1] + "/model.pt2")
except Exception:
    import cgru.torch
    torch.export.load(sys.argv[1] + "/model.pt2").module()(torch.ones(4, 2, 3))
else:
    raise AssertionError
"""


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True])
def test_onnx_has_its_node(dynamo, tmp_path):
    onnx = pytest.importorskip("onnx", reason="no onnx")
    if dynamo:
        pytest.importorskip("onnxscript", reason="no onnxscript")
    file = tmp_path / "gru.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(cgru.torch.GRU(3, 5), (torch.randn(4, 2, 3),), file, dynamo=dynamo, verbose=False)
    graph = onnx.load(file).graph
    assert [node.op_type for node in graph.node].count("GRU") == 1


@pytest.mark.filterwarnings("ignore")
def test_torch_jit():
    gru, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3)
    torch.testing.assert_close(torch.jit.trace(gru, (x,))(x)[0], gru(x)[0])
    torch.testing.assert_close(torch.jit.script(torch.nn.Sequential(gru))(x)[0], gru(x)[0])
    cell = cgru.torch.GRUCell(3, 5)
    torch.testing.assert_close(torch.jit.script(cell)(x[0]), cell(x[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.testing.assert_close(torch.jit.trace(cell, (x[0],))(x[0]), cell(x[0]))
    assert type(gru) is cgru.torch.GRU


def test_torch_fx():
    """A trace has the parents as nodes, which accelerate then takes."""
    for module, x in ((torch.nn.GRU(3, 5), torch.randn(4, 2, 3)), (torch.nn.GRUCell(3, 5), torch.randn(2, 3))):
        traced = torch.fx.symbolic_trace(torch.nn.Sequential(module))
        due = traced(x)
        assert cgru.torch.accelerate(traced).swapped == ["0"]
        torch.testing.assert_close(traced(x), due)


def test_many_gradients_at_once_are_refused():
    gru, x = cgru.torch.GRU(3, 5), torch.randn(2, 2, 3)
    assert torch.autograd.functional.jacobian(lambda x: gru(x)[1], x).shape == (1, 2, 5, 2, 2, 3)
    with pytest.raises(RuntimeError, match="restored"):
        torch.autograd.functional.jacobian(lambda x: gru(x)[1], x, vectorize=True)


def test_an_input_that_nobody_reads_again_may_change():
    """Where the weights are frozen, as the parent has it."""
    grads = []
    for module in (torch.nn.GRU, cgru.torch.GRU):
        torch.manual_seed(0)
        gru, x = module(3, 5).requires_grad_(False), torch.randn(4, 2, 3, requires_grad=True)
        y = x * 1
        output = gru(y)[0]
        y.mul_(2)
        output.sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (0, lambda x: x.float(), "weight_ih: expected torch.float32 on cpu, got torch.float64"),
        (0, lambda x: x.half(), "x: expected float32 or float64, got torch.float16"),
        (0, lambda x: x[0], r"x, weight_hh: expected 3 and 2 axes, got \(2, 3\)"),
        (0, lambda x: x[:0], r"x, weight_hh: expected 3 and 2 axes, got \(0, 2, 3\)"),
        (1, lambda h: h[:1], r"h0: expected shape \(2, 5\), got \(1, 5\)"),
        (2, lambda w: w[:14], r"weight_ih: expected shape \(15, 3\), got \(14, 3\)"),
        (3, lambda w: w[:, :4], r"weight_ih: expected shape \(12, 3\), got \(15, 3\)"),
        (4, lambda b: b[:1], r"bias_ih: expected shape \(15,\), got \(1,\)"),
        (5, lambda b: None, "bias_ih, bias_hh: expected both or neither"),
        (6, lambda s: torch.tensor([2, 2, 2, 2]), r"x, weight_hh: expected 2 and 2 axes"),
        (7, lambda m: 200000, "m: expected 2, the samples of x, got 200000"),
    ],
)
def test_tensors_that_do_not_belong_together(place, change, words):
    given = list(inputs())
    given[place] = change(given[place])
    for call in (operators.call, operators.forward):
        with pytest.raises((TypeError, ValueError), match=words):
            call(*given)


@pytest.mark.parametrize("sizes", [[4, 4], [3, -1], [3, 0], [2, 3], [6], [1], [], [1, 2, 3], [[3, 3]]], ids=str)
def test_sizes_that_are_none(sizes):
    """Of packed steps: the operator refuses them, and the module leaves them to the parent, who says why."""
    sizes, x = torch.tensor(sizes, dtype=torch.int64), torch.randn(6, 3).double()
    given = [x, *inputs()[1:6], sizes, 3, False, False]
    given[1] = torch.zeros(3, 5).double()
    if sizes.tolist() != [6]:
        with pytest.raises(ValueError, match="sizes: expected 3 or fewer samples a step, 6 in all, int64"):
            operators.forward(*given)
    assert operators.runs.are_sizes(sizes, 6) == (sizes.tolist() == [6])
    assert not operators.runs.are_sizes(torch.tensor([3, 3], dtype=torch.int32), 6)
    assert operators.runs.are_sizes(torch.tensor([3, 2, 1]), 6)


def test_caches_of_another_size():
    A, state, caches = operators.forward(*inputs())
    x, _, weight_ih, weight_hh = inputs()[:4]
    with pytest.raises(ValueError, match=r"caches: expected shape \(210,\), got \(0,\)"):
        operators.backward(A, state, x, weight_ih, weight_hh, None, caches[:0], 2, False, True, True, True, True)


def test_memory_that_is_gone():
    gru = cgru.torch.GRU(3, 5)
    gru.weight_hh_l0.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="a tensor: expected one with memory"):
        gru(torch.randn(4, 2, 3))


@pytest.mark.parametrize("sizes", [None, [2, 2, 1]])
@pytest.mark.parametrize(("m", "e", "u"), [(1, 300, 130), (2, 64, 257), (3, 130, 64), (1, 1, 200), (2, 400, 2)])
def test_wide_weights_where_they_lie(sizes, m, e, u):
    """And memory that is full of NaN before it is written."""
    torch.use_deterministic_algorithms(True)  # it is filled then
    plan.use_unpacked_weights(True)
    try:
        sizes = sizes and [m, max(1, m - 1), 1]
        given = inputs(3, m, e, u, sizes)
        tensors, due = given[:6], []
        for lain in (False, True):
            plan.use_unpacked_weights(lain)
            A, state, _ = operators.call(*given)
            due.append([A, state, *torch.autograd.grad(A.square().sum() + state.sum(), tensors)])
        for a, b in zip(*due, strict=True):
            assert (a - b).abs().max() <= 1e-12 * b.abs().max()
    finally:
        plan.use_unpacked_weights()
        torch.use_deterministic_algorithms(False)


# --- threads and processes ---


def test_threads_are_pytorchs(torch_threads, threads):
    gru, x, outputs = cgru.torch.GRU(33, 64), torch.randn(20, 65, 33, requires_grad=True), []
    for n in (1, 2, 5):
        torch_threads(n)
        x.grad = None
        output = gru(x)[0]
        output.sum().backward()
        assert cgru.get_num_threads() == n
        outputs.append((output, x.grad))
    assert all(torch.equal(a, b) for other in outputs[1:] for a, b in zip(outputs[0], other, strict=True))


def in_child(gru, x, due, queue):
    queue.put(float(np.abs(gru(x)[0].detach().numpy() - due).max()))


class Features(torch.utils.data.Dataset):
    """What a recurrent net makes of a sample, in the worker that reads it."""

    def __init__(self):
        torch.manual_seed(0)
        self.gru, self.x = cgru.torch.GRU(33, 64), torch.randn(6, 20, 33)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        with torch.no_grad():
            return self.gru(self.x[i])[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_in_the_workers_of_a_loader(torch_threads, threads):
    torch_threads(2)
    data = Features()
    due = torch.stack([data[i] for i in range(len(data))])
    found = torch.cat(list(torch.utils.data.DataLoader(data, 2, num_workers=2)))
    assert torch.equal(found, due)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork(torch_threads, threads):
    torch_threads(2)
    gru, x = cgru.torch.GRU(33, 64), torch.randn(20, 65, 33)
    due = gru(x)[0].detach().numpy()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=in_child, args=(gru, x, due, queue))
    child.start()
    child.join(120)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == 0


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [None, [3, 3, 3, 3, 2, 2, 1]])
def test_bits_do_not_depend_on_blocks(sizes, reverse, few, lanes):
    """Which of the gradients are asked for says whether blocks are summed, too."""
    lanes(few)
    given = inputs(s=7, m=3, sizes=sizes, reverse=reverse)
    tensors, rest = given[:6], given[6:]
    try:
        for these in (tensors, tensors[:2], tensors[2:], tensors[:1]):
            found = []
            for steps in (2, 6, 1, 7):
                plan.use_block_steps(steps)
                found.append(torch.autograd.grad(operators.call(*tensors, *rest)[0].square().sum(), these))
            for due, *others in zip(*found, strict=True):
                assert all(torch.equal(due, other) for other in others)
    finally:
        plan.use_block_steps()


def test_bits_of_a_reverse_layer_do_not_depend_on_threads(torch_threads):
    """One thread has smaller blocks than two."""
    given = inputs(s=98, m=41, reverse=True)
    found = []
    for threads in (1, 2):
        torch_threads(threads)
        found.append(torch.autograd.grad(operators.call(*given)[0].square().sum(), given[:6]))
    assert all(map(torch.equal, *found))


def test_gradients_of_the_gates_take_memory_for_one_block():
    x = torch.zeros(400, 32, 64, requires_grad=True)
    layer = cgru.torch.GRU(64, 64)
    A = layer(x)[0].sum()
    tracemalloc.start()
    try:
        A.backward()
        assert tracemalloc.get_traced_memory()[1] < 2 * x.nbytes
    finally:
        tracemalloc.stop()


# --- mapped by torch.func.vmap ---

func = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own, by what torch.func imports


def loss_of_one(gru, x, hx, y, p):
    """A loss of one sample (s, e), with a state (layers x directions, u)."""
    given = x[None] if gru.batch_first else x[:, None]
    output, states = torch.func.functional_call(gru, p, (given, hx[:, None]))
    return (output.reshape(len(x), -1)[-1] - y).square().sum() + states.sin().sum() + output.cos().sum()


@func
@pytest.mark.slow  # what torch.func imports at first
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "num_layers": 2, "bidirectional": True, "bias": False}])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vmap_of_grad_gives_the_gradients_of_each_sample(dtype, options):
    """Which PyTorch's own GRU refuses."""
    ours = cgru.torch.GRU(3, 5, **options).to(dtype)
    ways, m = 1 + ours.bidirectional, 4
    x, y = torch.randn(m, 6, 3, dtype=dtype), torch.randn(m, 5 * ways, dtype=dtype)
    hx = torch.randn(m, ours.num_layers * ways, 5, dtype=dtype)
    p = {name: value.detach() for name, value in ours.named_parameters()}
    of_one = torch.func.grad(lambda p, x, hx, y: loss_of_one(ours, x, hx, y, p), argnums=(0, 1, 2))
    of_p, of_x, of_hx = torch.func.vmap(of_one, in_dims=(None, 0, 0, 0))(p, x, hx, y)
    for i in range(m):
        given = [x[i].clone().requires_grad_(), hx[i].clone().requires_grad_()]
        loss = loss_of_one(ours, *given, y[i], dict(ours.named_parameters()))
        *due, dx, dhx = torch.autograd.grad(loss, [*ours.parameters(), *given])
        for name, gradient in zip(p, due, strict=True):
            torch.testing.assert_close(of_p[name][i], gradient)
        torch.testing.assert_close(of_x[i], dx)
        torch.testing.assert_close(of_hx[i], dhx)
    theirs = torch.nn.GRU(3, 5, **options).to(dtype)
    with pytest.raises(RuntimeError):
        torch.func.vmap(lambda x, hx, y: loss_of_one(theirs, x, hx, y, p))(x, hx, y)


@func
def test_mapped_calls_of_batches_and_of_other_weights():
    """Mapped calls may have several samples, any mapped dimension, and weights of their own; maps may be nested."""
    ours = cgru.torch.GRU(3, 5).double()
    x = torch.randn(6, 2, 4, 3).double()  # s, m, calls, e
    p = {name: value.detach() for name, value in ours.named_parameters()}

    def loss(p, x):
        return torch.func.functional_call(ours, p, (x,))[0].sin().sum()

    of_p = torch.func.grad(loss)
    found = torch.func.vmap(of_p, in_dims=(None, 2))(p, x)
    many = {name: torch.stack([value * (1 + i) for i in range(4)]) for name, value in p.items()}
    others = torch.func.vmap(of_p, in_dims=(0, 2))(many, x)
    nested = torch.func.vmap(torch.func.vmap(lambda x: of_p(p, x[:, None]), in_dims=1), in_dims=2)(x)
    outside = torch.func.grad(lambda p: torch.func.vmap(lambda x: loss(p, x), in_dims=2)(x).sum())(p)
    for i in range(4):
        for name, due in of_p(p, x[:, :, i]).items():
            torch.testing.assert_close(found[name][i], due)
            torch.testing.assert_close(nested[name][i].sum(0), due)
        for name, due in of_p({name: value[i] for name, value in many.items()}, x[:, :, i]).items():
            torch.testing.assert_close(others[name][i], due)
    for name, due in outside.items():
        torch.testing.assert_close(due, found[name].sum(0))
    outputs = torch.func.vmap(ours, in_dims=2)(x)[0]
    torch.testing.assert_close(outputs[1], ours(x[:, :, 1])[0])
    (of_x,) = torch.autograd.grad(outputs.sum(), [x.requires_grad_()], allow_unused=True)
    assert of_x is None
    torch.func.vmap(ours, in_dims=2)(x)[0].sum().backward()
    torch.testing.assert_close(x.grad[:, :, 1], torch.autograd.grad(ours(x[:, :, 1])[0].sum(), x)[0][:, :, 1])


@func
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_mapped_calls_of_one_parameter(name):
    """A parameter that differs among calls, where the others do not."""
    ours, x = cgru.torch.GRU(3, 5).double(), torch.randn(6, 2, 3).double()
    p = {each: value.detach() for each, value in ours.named_parameters()}
    many = torch.stack([p[name] * (1 + i) for i in range(4)])

    def run(value):
        return torch.func.functional_call(ours, p | {name: value}, (x,))[0]

    found = torch.func.vmap(run)(many)
    for value, output in zip(many, found, strict=True):
        torch.testing.assert_close(output, run(value))


@func
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("kind", [cgru.torch.GRU, cgru.torch.GRUCell])
def test_mapped_calls_of_frozen_weights(kind, trained):
    """Mapped inputs do not say whether a backward follows."""
    ours, x = kind(3, 5).double().requires_grad_(False), torch.randn(4, 2, 3).double().requires_grad_(trained)

    def run(x):
        return ours(x)[0].sin() if kind is cgru.torch.GRU else ours(x).sin()

    found, due = torch.func.vmap(run)(x), torch.stack([run(each) for each in x])
    torch.testing.assert_close(found, due)
    if trained:
        (gradient,), (other,) = (torch.autograd.grad(each.sum(), x) for each in (found, due))
        torch.testing.assert_close(gradient, other)
    with torch.no_grad():
        torch.testing.assert_close(torch.func.vmap(run)(x), due)


@func
def test_what_is_mapped_runs_here_and_other_transforms_do_not(monkeypatch):
    ran, parents = [], []
    compute, forward = operators.compute, torch.nn.GRU.forward
    monkeypatch.setattr(operators, "compute", lambda *given: ran.append(given[0].shape) or compute(*given))
    monkeypatch.setattr(torch.nn.GRU, "forward", lambda *given: parents.append(1) or forward(*given))
    ours, x = cgru.torch.GRU(3, 5), torch.randn(6, 2, 4, 3)
    torch.func.vmap(ours, in_dims=2)(x)
    assert (ran, parents) == ([(6, 8, 3)], [])
    torch.func.grad(lambda x: ours(x)[0].sum())(x[:, :, 0])
    assert (len(ran), parents) == (1, [1])
    with pytest.raises(RuntimeError):  # the parent's
        torch.func.vmap(torch.func.grad(lambda x: torch.func.grad(lambda x: ours(x)[0].sum())(x).sum()), in_dims=2)(x)
    assert (len(ran), len(parents)) == (1, 2)


@func
def test_gradients_of_each_sample_do_not_depend_on_threads(torch_threads, threads):
    ours, x = cgru.torch.GRU(33, 64), torch.randn(20, 65, 33)
    found = []
    for n in (1, 3):
        torch_threads(n)
        found.append(cgru.torch.per_sample_gradients(ours, x, output_gradient=torch.ones(20, 65, 64)))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
