import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402
from cgru.torch.swap import exchange  # noqa: E402

ELSEWHERE = "PyTorch's: float32 and float64 on a CPU run here"


class Own(torch.nn.GRU):
    runs_on_cgru = True


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
    assert done.swapped == ["first", "second.0", "cell", "own"]
    assert done.left == {"bound": "parametrized: its weights are computed at each call"}
    assert type(model.alias) is cgru.torch.GRU
    assert type(model.cell) is cgru.torch.GRUCell
    again = cgru.torch.accelerate(model)
    assert (again.swapped, again.left) == ([], done.left)
    back = cgru.torch.restore(model)
    assert (back.swapped, back.left) == (done.swapped, {})
    assert [type(each) for each in (model.first, model.cell, model.own)] == [torch.nn.GRU, torch.nn.GRUCell, Own]
    assert {row.calls for row in back.modules.values()} == {"PyTorch's"}


def test_it_is_a_table():
    model = torch.nn.ModuleDict(
        {
            "own": torch.nn.GRU(3, 5, num_layers=2, dtype=torch.float64),
            "short": torch.nn.GRU(3, 5).bfloat16(),
            "meta": torch.nn.GRU(3, 5, device="meta"),
            "light": LiGRU(),
        }
    )
    done = cgru.torch.accelerate(model)
    assert list(done.modules) == ["own", "short", "meta", "light"]
    assert done.modules["own"] == ("GRU", "3, 5, num_layers=2", "float64", "run here")
    assert done.modules["short"].calls == done.modules["meta"].calls == ELSEWHERE
    assert done.modules["meta"].dtype == "float32 on meta"
    assert str(done) == repr(done)
    assert str(done).splitlines() == [
        "3 swapped, 1 left",
        "module  kind             sizes               dtype            calls",
        "own     GRU              3, 5, num_layers=2  float64          run here",
        f"short   GRU              3, 5                bfloat16         {ELSEWHERE}",
        f"meta    GRU              3, 5                float32 on meta  {ELSEWHERE}",
        "light   speech.nn.LiGRU                                       left: a GRU in code of its own",
    ]
    assert str(cgru.torch.accelerate(torch.nn.GRU(3, 5))).splitlines()[2].startswith("(the model)  GRU")
    assert str(cgru.torch.accelerate(torch.nn.Linear(3, 5))) == "0 swapped, 0 left"
    assert str(cgru.torch.Swapped(["a"], {"b": "why"})).splitlines()[1:] == ["a  swapped", "b  left: why"]


def test_a_class_over_ours():
    mine = type("Mine", (cgru.torch.GRU,), {})(3, 5)
    for change in (cgru.torch.accelerate, cgru.torch.restore):
        assert change(mine).left == {"": "derives from cgru.torch's class itself"}
    assert cgru.torch.restore(torch.nn.GRU(3, 5)) == ([], {}, {})


def test_exchange_of_any_classes():
    """As for Keras's layers."""
    First, Other, Over = (type(name, (), {}) for name in ("First", "Other", "Over"))
    modules = {"a": First(), "b": Over(), "c": Other()}
    due = {First: Other, Over: "why", Other: ""}
    done = exchange(modules.items(), lambda each: due[type(each)], lambda *of: (type(of[0]), *of[1:]))
    assert done == (["a"], {"b": "why"}, {"a": (Other, First, None), "b": (Over, Over, "why")})
    assert type(modules["a"]) is Other


class LiGRU(torch.nn.Module):
    """In the manner of speechbrain."""

    __module__ = "speech.nn"


class Around(torch.nn.Module):
    def __init__(self, *inside):
        super().__init__()
        self.inside = torch.nn.ModuleList(inside)


class GRUModel(Around):
    pass


class MyGru(Around):
    pass


class Grumpy(Around):
    pass


class Base(torch.nn.RNNBase):
    pass


@pytest.mark.filterwarnings("ignore")
def test_grus_in_code_of_their_own():
    """By the name of the class or its base; a model around GRUs is none itself."""
    quantized = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.GRU(3, 3)), {torch.nn.GRU})
    script = torch.jit.script(torch.nn.Sequential(torch.nn.GRU(3, 3), torch.nn.Linear(3, 3))[:1])
    keras, ours = (type(name, (Around,), {"__module__": module}) for name, module in KERAS)
    cell = type("GRUCell", (Around,), {"__module__": "keras.src.layers"})
    model = torch.nn.ModuleDict(
        {
            "model": GRUModel(torch.nn.GRU(3, 3)),
            "nested": GRUModel(LiGRU()),
            "mine": MyGru(),
            "other": Grumpy(),
            "base": Base("GRU", 3, 3),
            "lstm": Base("LSTM", 3, 3),
            "quantized": quantized,
            "script": script,
            "keras": keras(cell()),
            "ours": ours(),
        }
    )
    own = "a GRU in code of its own"
    assert cgru.torch.accelerate(model).left == {
        "nested": own,
        "nested.inside.0": own,
        "mine": own,
        "base": own,
        "quantized.0": "quantized by torch.ao",
        "script.0": "compiled by torch.jit, which runs it without Python: accelerate the model before it is traced",
        "keras": "Keras's: cgru.keras.accelerate takes it",
    }
    assert cgru.torch.accelerate(GRUModel()).left == {"": own}
    assert cgru.torch.accelerate(GRUModel(torch.nn.GRUCell(3, 3))).left == {}
    assert cgru.torch.restore(model).left == {}


KERAS = (("GRU", "keras.src.layers"), ("GRU", "cgru.keras"))


# --- PyTorch's own classes for a while ---


def kinds(model):
    return [type(module) for module in model.modules()]


def test_restored_for_a_while():
    model = Model()
    before = kinds(model)
    cgru.torch.accelerate(model)
    ours = kinds(model)
    with cgru.torch.restored(model) as inside:
        assert inside is model
        assert kinds(model) == before
        with cgru.torch.restored(model):
            assert kinds(model) == before
        assert kinds(model) == before
        assert cgru.torch.accelerate(model.second).swapped == ["0"]
    assert kinds(model) == ours
    with pytest.raises(KeyError, match="mine"), cgru.torch.restored(model):
        {}["mine"]
    assert kinds(model) == ours


def test_what_is_replaced_inside_stays():
    model = Model()
    cgru.torch.accelerate(model)
    first, own = model.first, model.own
    with cgru.torch.restored(model):
        model.first = torch.nn.GRU(3, 3)
        torch.nn.utils.parametrizations.weight_norm(model.own, "weight_hh_l0")
    assert type(model.first) is torch.nn.GRU
    assert type(first) is cgru.torch.GRU
    assert type(own).__name__ == "ParametrizedOwn"
    assert type(model.cell) is cgru.torch.GRUCell
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got list"), cgru.torch.restored([]):
        pass


@pytest.mark.filterwarnings("ignore:.*(deprecated|torchao|quantized tensor)")
def test_quantizing_works_inside_restored():
    model, quantize = Model().requires_grad_(False), torch.ao.quantization.quantize_dynamic
    del model.bound
    cgru.torch.accelerate(model)
    assert type(quantize(model, {torch.nn.GRU}).first) is cgru.torch.GRU
    with cgru.torch.restored(model):
        done = quantize(model, {torch.nn.GRU})
    assert type(done.first) is torch.ao.nn.quantized.dynamic.GRU
    assert type(model.first) is cgru.torch.GRU


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
