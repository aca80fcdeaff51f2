"""Opacus, which trains with differential privacy, over `cgru.torch.GRU`."""

import copy
import warnings

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and opacus's own
M, S, V = 6, 7, 11


@pytest.fixture
def opacus():
    """Opacus, as it is installed; else the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("opacus", reason="no opacus")


class Tagger(torch.nn.Module):
    """Means of scores at all steps; `uses` says what else the loss gets of the GRU, or is given to it."""

    def __init__(self, batch_first=True, uses=""):
        super().__init__()
        self.batch_first, self.uses = batch_first, uses
        self.embedding = torch.nn.Embedding(V, 3)
        self.gru = torch.nn.GRU(3, 5, 2, bidirectional=True, batch_first=batch_first)
        self.head = torch.nn.Linear(10, 4)

    def forward(self, x):
        given = {"hx": torch.zeros(4, len(x), 5, dtype=torch.double)} if self.uses == "hx" else {}
        output, states = self.gru(self.embedding(x), **given)
        scores = self.head(output).mean(1 if self.batch_first else 0)
        return states if self.uses == "states alone" else scores + states.sum() if self.uses == "states" else scores


def made(*arguments):
    torch.manual_seed(0)
    model = Tagger(*arguments).double()
    plain = copy.deepcopy(model)
    cgru.torch.accelerate(model)
    return model, plain, torch.randint(0, V, (M, S)), torch.randint(0, 4, (M,))


@pytest.mark.nightly
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients_of_each_sample(opacus, batch_first, reduction):
    model, plain, x, y = made(batch_first)
    assert opacus.validators.ModuleValidator.validate(model) == []
    wrapped = opacus.GradSampleModule(model, batch_first=batch_first, loss_reduction=reduction)
    x = x if batch_first else x.T
    torch.nn.CrossEntropyLoss(reduction=reduction)(wrapped(x), y).backward()
    for i in range(M):
        plain.zero_grad()
        one = x[i : i + 1] if batch_first else x[:, i : i + 1]
        torch.nn.functional.cross_entropy(plain(one), y[i : i + 1]).backward()
        for ours, theirs in zip(wrapped.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours.grad_sample[i], theirs.grad)


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["hooks", "functorch", "ghost"])
def test_a_private_step_clips_each_sample(opacus, mode):
    model, plain, x, y = made()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=M)
    made_private = opacus.PrivacyEngine().make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), criterion=torch.nn.CrossEntropyLoss(),
        data_loader=data, noise_multiplier=1e-12, max_grad_norm=0.05, poisson_sampling=False, grad_sample_mode=mode,
    )  # fmt: skip
    private, optimizer, *criterion = made_private[:-1]
    (criterion[0] if criterion else torch.nn.CrossEntropyLoss())(private(x), y).backward()
    optimizer.step()
    steps = [torch.zeros_like(p) for p in plain.parameters()]
    for i in range(M):
        loss = torch.nn.functional.cross_entropy(plain(x[i : i + 1]), y[i : i + 1])
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        for step, g in zip(steps, gradients, strict=True):
            step += 0.1 / M * g * min(1, 0.05 / (norm.item() + 1e-6))
    for ours, theirs, step in zip(private.parameters(), plain.parameters(), steps, strict=True):
        torch.testing.assert_close(ours, theirs - step, rtol=0, atol=1e-10)


@pytest.mark.nightly
def test_what_its_hooks_do_not_see_is_refused(opacus):
    for uses, error, match in (
        ("states", RuntimeError, "expected a gradient of the output alone"),
        ("states alone", RuntimeError, "expected a gradient of the output alone"),
        ("hx", ValueError, "hx: expected None"),
    ):
        model, _, x, _ = made(True, uses)
        with pytest.raises(error, match=match):
            opacus.GradSampleModule(model)(x).sum().backward()
    model, plain, x, _ = made()
    plain = opacus.GradSampleModule(plain)
    cgru.torch.accelerate(plain)
    with pytest.raises(RuntimeError, match=r"accelerate\(model\) before opacus"):
        plain(x)
    cell = opacus.GradSampleModule(cgru.torch.GRUCell(3, 5))
    with pytest.raises(ValueError, match="hx: expected None"):
        cell(torch.ones(2, 3), torch.ones(2, 5))


@pytest.mark.nightly
def test_a_batch_of_nobody(opacus):
    model, _, x, _ = made()
    opacus.GradSampleModule(model)(x[:0]).sum().backward()
    assert model.gru.weight_hh_l1.grad_sample.shape == (0, 15, 5)


@pytest.mark.nightly
def test_frozen_parameters_have_none(opacus):
    model, _, x, _ = made()
    model.gru.weight_ih_l0.requires_grad_(False)
    wrapped = opacus.GradSampleModule(model)
    wrapped(x).sum().backward()
    assert getattr(model.gru.weight_ih_l0, "grad_sample", None) is None
    assert model.gru.weight_hh_l0.grad_sample.shape == (M, 15, 5)
