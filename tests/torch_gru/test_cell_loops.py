"""A GRUCell in a loop with other layers, whose steps share a sum of gradients, compared with PyTorch's cell."""

import copy
import threading

import pytest

torch = pytest.importorskip("torch", reason="no torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

import cgru.torch  # noqa: E402


class Loop(torch.nn.Module):
    """A cell between two layers, whose output is fed back."""

    def __init__(self, bias=True):
        super().__init__()
        self.i, self.k, self.o = torch.nn.Linear(3, 4), torch.nn.GRUCell(4, 5, bias), torch.nn.Linear(5, 3)

    def step(self, x, h):
        return self.k(torch.relu(self.i(x)), h)

    def states(self, x, h=None):
        found = []
        for each in x:
            h = self.step(each if h is None else each + self.o(h), h)
            found.append(h)
        return found

    def forward(self, x):
        return sum(h.sin().sum() for h in self.states(x))


def plain(model, x):
    model(x).backward()


def rows_that_end(model, x):
    """Fewer rows at each step, and one row without a batch."""
    h = model.step(x[0], None)
    for each, rows in zip(x[1:], (4, 2, 1), strict=False):
        h = model.step(each[:rows], h[:rows])
    (h.sum() + model.step(x[0, 0], None).sum()).backward()


def frozen(model, x):
    for p in (model.k.weight_ih, model.i.bias):
        p.requires_grad_(False)
    model(x).backward()


def all_frozen(model, x):
    """PyTorch then saves no states, which may change."""
    model.k.requires_grad_(False)
    model(x).backward()
    before = model.step(x[0], None)
    loss = model.step(x[1], before).sum()
    before.mul_(2)
    loss.backward()


def of_many_rows(model, x):
    x = x.repeat(1, 50, 1)
    with torch.no_grad():
        model.k.weight_ih *= 0.1
    (model(x[:, :280]) + model(x[:, :15]) + model(x)).backward()


def truncated(model, x):
    """Two graphs with the same weights, one after the other, then both at once."""
    h = None
    for part in (x[:2], x[2:]):
        *_, h = model.states(part, h)
        h.sum().backward()
        h = h.detach()
    one, other = model(x), model(2 * x)
    (one + other).backward()


def twice(model, x):
    loss = model(x)
    loss.backward(retain_graph=True)
    loss.backward()


def of_the_input_alone(model, x):
    loss = model(x)
    torch.autograd.grad(loss, [x], retain_graph=True)
    torch.autograd.grad(loss, [model.k.weight_ih], retain_graph=True)
    loss.backward()


def through_a_graph(model, x):
    loss = model(x)
    parameters = list(model.parameters())
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters, create_graph=True), strict=True):
        p.grad = g.detach()


def second_derivatives(model, x):
    """As of a gradient penalty."""
    model.i.bias.requires_grad_(False)
    (of_x,) = torch.autograd.grad(model(x), [x], create_graph=True)
    of_weight = torch.autograd.grad(model(x), [model.k.weight_hh], create_graph=True)[0]
    (of_x.square().sum() + of_weight.square().sum()).backward()


def two_steps_of_training(model, x):
    adam = torch.optim.Adam(model.parameters())
    for _ in range(2):
        adam.zero_grad()
        model(x).backward()
        adam.step()


def checkpointed(model, x):
    for way in (True, False):
        checkpoint(model, x, use_reentrant=way).backward()


def saved_elsewhere(model, x):
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        model(x).backward()


def computed_weights(model, x):
    weight = {"k.weight_hh": 2 * model.k.weight_hh}
    torch.func.functional_call(model, weight, (x,)).backward()
    model.k.weight_ih.data = model.k.weight_ih.data * 3
    model(x).backward()


def hooked(model, x):
    model.k.weight_hh.register_hook(lambda g: 2 * g)
    model.k.weight_ih.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", 3 * p.grad))
    model(x).backward()


CASES = (
    plain, of_many_rows, rows_that_end, frozen, all_frozen, truncated, twice, of_the_input_alone, through_a_graph,
    second_derivatives, two_steps_of_training, checkpointed, saved_elsewhere, computed_weights, hooked,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_pytorchs(case, bias, monkeypatch):
    torch.manual_seed(0)
    theirs = Loop(bias).double()
    ours, given, found = copy.deepcopy(theirs), torch.randn(4, 6, 3).double(), []
    cgru.torch.accelerate(ours)
    monkeypatch.setattr(cgru.torch.modules, "pays", lambda *sizes: True)
    for model in (theirs, ours):
        x = given.clone().requires_grad_()
        case(model, x)
        found.append([x.grad, *(p.grad for p in model.parameters()), *model.parameters()])
    for due, got in zip(*found, strict=True):
        assert (due is None) == (got is None)
        if due is not None:
            torch.testing.assert_close(got, due, rtol=1e-10, atol=1e-10)


def test_what_pytorch_refuses_is_refused():
    model, x = Loop(), torch.randn(4, 6, 3, requires_grad=True)
    cgru.torch.accelerate(model)
    loss = model(x)
    with torch.no_grad():
        model.k.weight_hh += 1
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()
    loss = model(x)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    with pytest.raises(RuntimeError, match="restored"):
        torch.autograd.functional.jacobian(lambda h: model.k(torch.ones(6, 4), h), torch.ones(6, 5), vectorize=True)


def test_backward_passes_on_several_threads_at_once():
    model, x = Loop().double(), torch.randn(40, 6, 3).double()
    cgru.torch.accelerate(model)
    weights = list(model.k.parameters())
    losses = [model(x * scale) for scale in range(1, 5)]  # of the same weights
    due = [torch.autograd.grad(loss, weights, retain_graph=True) for loss in losses]
    found = [None] * 4

    def run(i):
        found[i] = torch.autograd.grad(losses[i], weights, retain_graph=True)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each, other in zip(found, due, strict=True):
        assert all(map(torch.equal, each, other))


def test_steps_go_with_their_graph():
    """Nothing is left of a graph that is gone, and a backward of the input alone leaves nothing behind."""
    model, x = Loop(), torch.randn(4, 6, 3, requires_grad=True)
    cgru.torch.accelerate(model)
    loss = model(x)
    shared = cgru.torch.operators.SHARED[id(model.k.weight_hh)]
    torch.autograd.grad(loss, [x], retain_graph=True)
    assert shared().sums == {}
    loss.backward()
    assert shared().sums == {}
    del loss
    assert shared() is None
    assert id(model.k.weight_hh) not in cgru.torch.operators.SHARED
    copy.deepcopy(model)
