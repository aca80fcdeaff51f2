"""The operator under PyTorch's autograd, compiler and exporters, in threads and processes."""

import io
import multiprocessing
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402
from cgru.passes import cache_numbers  # noqa: E402
from cgru.torch import operators  # noqa: E402
from cgru.variant import RESET_AFTER  # noqa: E402


def inputs(s=4, m=2, e=3, u=5, lengths=None, keep=True, reverse=False):
    made = [torch.randn(shape).double() for shape in ((s, m, e), (m, u), (3 * u, e), (3 * u, u), (3 * u,), (3 * u,))]
    return *(tensor.requires_grad_(keep) for tensor in made), lengths, reverse, keep


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 2]])
def test_gradients(lengths, reverse):
    *tensors, lengths, reverse, keep = inputs(lengths=lengths and torch.tensor(lengths), reverse=reverse)
    for call in (operators.call, operators.forward):
        assert torch.autograd.gradcheck(lambda *given, of=call: of(*given, lengths, reverse, keep)[:2], tensors)
        assert torch.autograd.gradcheck(lambda *given, of=call: of(*given, lengths, reverse, keep)[1], tensors)


@pytest.mark.slow
def test_pytorch_is_content_with_it():
    for given in (inputs(), inputs(lengths=torch.tensor([4, 2]), reverse=True)):
        torch.library.opcheck(torch.ops.cgru.gru.default, given)


def test_the_caches_are_as_many_as_a_pass_needs():
    for m, s, u in ((1, 1, 1), (7, 3, 5), (2, 33, 17)):
        given = inputs(s, m, 2, u)
        assert operators.forward(*given)[2].numel() == cache_numbers(RESET_AFTER, m, s, u)
        with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
            assert operators.forward(*given)[2].numel() == cache_numbers(RESET_AFTER, m, s, u)


def test_weights_are_read_where_they_lie():
    _, _, *weights = inputs()[:6]
    layer = operators.Layer(*weights)
    with torch.no_grad():
        for weight in weights[:2]:
            weight.fill_(7)
    assert all((layer.p[name] == 7).all() for name in layer.p if name[0] in "UV")


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
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
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
import torch
from test_operators import Model
torch._dynamo.config.allow_rnn = True
model = Model().double()
compiled = torch.compile(model, fullgraph=True, backend=sys.argv[1])
for shape in ((4, 2, 3), (7, 2, 3), (9, 3, 3)):
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


@pytest.mark.slow
def test_onnx_has_its_node():
    onnx = pytest.importorskip("onnx", reason="no onnx")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(cgru.torch.GRU(3, 5), (torch.randn(4, 2, 3),), file, dynamo=False)
    graph = onnx.load_from_string(file.getvalue()).graph
    assert [node.op_type for node in graph.node].count("GRU") == 1


@pytest.mark.filterwarnings("ignore")
def test_torch_jit():
    gru, x = cgru.torch.GRU(3, 5), torch.randn(4, 2, 3)
    torch.testing.assert_close(torch.jit.trace(gru, (x,))(x)[0], gru(x)[0])
    with pytest.raises(RuntimeError, match=r"cgru\.torch\.restore"):
        torch.jit.script(torch.nn.Sequential(gru))


# --- threads and processes ---


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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
    child.join(20)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == 0
