import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402


class Own(torch.nn.GRU):
    pass


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.GRU(3, 3)
        self.second = torch.nn.Sequential(torch.nn.GRU(3, 3))
        self.alias = self.first
        self.second[0].weight_hh_l0 = self.first.weight_hh_l0  # tied
        self.cell = torch.nn.GRUCell(3, 3)
        self.own = Own(3, 3)
        self.bound = torch.nn.utils.parametrizations.spectral_norm(torch.nn.GRU(3, 3), "weight_hh_l0")

    def forward(self, x):
        return self.cell(self.second[0](self.alias(x)[0])[0][-1])


def test_it_says_what_it_did():
    model = Model()
    done = cgru.torch.accelerate(model)
    assert done.swapped == ["first", "second.0"]
    assert list(done.left) == ["cell", "own", "bound"]
    assert done.left["cell"] == "a cell, whose single step gains nothing, torch.nn.modules.rnn.GRUCell"
    assert done.left["own"] == f"a subclass, {Own.__module__}.{Own.__qualname__}"
    assert "ParametrizedGRU" in done.left["bound"]
    assert type(model.alias) is cgru.torch.GRU
    assert cgru.torch.accelerate(model) == ([], done.left)
    assert cgru.torch.restore(model).swapped == done.swapped
    assert type(model.first) is torch.nn.GRU
    model.cell.__class__ = cgru.torch.GRUCell
    assert cgru.torch.restore(model).swapped == ["cell"]
    assert type(model.cell) is torch.nn.GRUCell


def test_a_model_that_is_one_itself():
    model = torch.nn.GRU(3, 5)
    assert cgru.torch.accelerate(model).swapped == [""]
    assert type(model) is cgru.torch.GRU


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got list"):
        cgru.torch.accelerate([])


def test_training_goes_on():
    """Half way through, with the optimizer, the hooks and the tied weights that there were."""
    losses = []
    for swap in (lambda model: None, cgru.torch.accelerate, cgru.torch.restore):
        torch.manual_seed(0)
        model = Model().double()
        x, seen = torch.randn(6, 4, 3, dtype=torch.float64), []
        model.first.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        losses.append([])
        for step in range(10):
            if step == 5:
                swap(model)
            adam.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            adam.step()
            losses[-1].append(loss.item())
        assert len(seen) == 10
        assert model.second[0].weight_hh_l0 is model.first.weight_hh_l0
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert losses[0] == losses[2]
    assert losses[0][-1] < losses[0][0]


def test_weight_norm_of_the_old_kind_goes_on():
    """It sets another tensor before each call."""
    model = torch.nn.GRU(3, 5)
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(model, "weight_hh_l0")
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        model.weight_hh_l0_g *= 2
    due = model(x)[0]
    assert cgru.torch.accelerate(model).swapped == [""]
    torch.testing.assert_close(model(x)[0], due)
    model(x)[0].sum().backward()
    assert model.weight_hh_l0_g.grad is not None
