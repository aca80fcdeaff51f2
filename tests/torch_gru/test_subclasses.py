"""Users' subclasses of PyTorch's GRU: which ones run here, with which numbers, and what one sees of them after."""

import abc
import copy
import gc
import io
import pickle
import weakref

import pytest

torch = pytest.importorskip("torch", reason="no torch")

from torch.nn.utils import parametrizations  # noqa: E402

import cgru.torch  # noqa: E402

GRU, CELL = torch.nn.GRU, torch.nn.GRUCell


PARAMETRIZED = "parametrized: its weights are computed at each call"


def accelerate(module):
    return cgru.torch.accelerate(module, also=[] if type(module) in (GRU, CELL) else [type(module)])


class Plain(GRU):
    """Nothing of its own."""


class Doubled(GRU):
    """Its own initial weights, and its own forward."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        torch.nn.init.orthogonal_(self.weight_hh_l0)
        self.scale = 2.0

    def forward(self, x, hx=None):
        output, state = super().forward(self.scale * x, hx=hx)
        return output + 1, state

    @property
    def width(self):
        return self.hidden_size

    @classmethod
    def small(cls):
        return cls(3, 5)

    def init_weights(self):
        for name, value in self.named_parameters():
            if "weight_hh" in name:
                torch.nn.init.zeros_(value)


class Mixin:
    def forward(self, x, hx=None):
        return super().forward(x.flip(0), hx)

    def takes(self):  # as a function of ours is called
        raise NotImplementedError


class Base(abc.ABC, torch.nn.RNNBase):
    @abc.abstractmethod
    def start(self, x): ...

    def forward(self, x, hx=None):
        return super().forward(x, hx=self.start(x) if hx is None else hx)


class Mixed(Mixin, Base, GRU):
    def start(self, x):
        return torch.ones(1, x.shape[1], self.hidden_size, dtype=x.dtype)


class Own(CELL):
    def forward(self, x, hx=None):
        return super().forward(x, hx).relu()


class PlainCell(CELL):
    pass


TAKEN = (Plain, Doubled, Mixed, Own, PlainCell)


@pytest.mark.parametrize("kind", TAKEN)
def test_numbers_are_the_class_s_own(kind, parents):
    torch.manual_seed(0)
    module = kind(3, 5).double()
    x = torch.randn(400, 3).double() if issubclass(kind, CELL) else torch.randn(7, 2, 3).double()
    results = []
    for swap in (None, accelerate, cgru.torch.restore):
        assert swap is None or swap(module).swapped == [""]
        parents.clear()
        module.zero_grad()
        results.append(module(x)[0])
        results[-1].square().sum().backward()
        results[-1] = [results[-1].detach(), *(parameter.grad for parameter in module.parameters())]
        assert isinstance(module, kind)
        assert (type(module) is kind) == bool(parents)
    for due, ours, again in zip(*results, strict=True):
        torch.testing.assert_close(ours, due, rtol=1e-11, atol=1e-11)
        assert torch.equal(again, due)
    assert type(module) is kind


@pytest.fixture
def parents(monkeypatch):
    """The calls that PyTorch itself ran."""
    seen = []
    for kind in (GRU, CELL):
        forward = kind.forward
        monkeypatch.setattr(kind, "forward", lambda *given, of=forward, **named: seen.append(1) or of(*given, **named))
    return seen


def test_it_looks_like_its_class():
    module = Doubled.small()
    names, text, parameters = list(module.state_dict()), repr(module), list(module.parameters())
    accelerate(module)
    kind = type(module)
    assert (kind.__name__, kind.__qualname__, kind.__module__) == ("Doubled", "Doubled", __name__)
    assert kind.__doc__ == Doubled.__doc__
    assert (list(module.state_dict()), repr(module)) == (names, text)
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    assert module.width == 5
    assert type(module.small()) is kind
    module.init_weights()
    other = Doubled(3, 5)
    accelerate(other)
    assert type(other) is kind
    assert kind.__mro__[:3] == (kind, Doubled, cgru.torch.GRU)
    assert issubclass(kind, Doubled)


@pytest.mark.parametrize("kind", [Doubled, Mixed, Own])
def test_copies_and_files_run_here(kind):
    module, file = kind(3, 5), io.BytesIO()
    module.seen = [1]
    accelerate(module)
    torch.save({"model": torch.nn.Sequential(module)}, file)
    file.seek(0)
    x = torch.randn(400, 3) if kind is Own else torch.randn(7, 2, 3)
    others = [copy.deepcopy(module), copy.copy(module), torch.load(file, weights_only=False)["model"][0]]
    others += [pickle.loads(pickle.dumps(module, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in others:
        assert type(other) is type(module)
        assert torch.equal(other(x)[0], module(x)[0])
        assert other.seen == [1]
    assert others[0].seen is not module.seen
    assert others[1].seen is module.seen
    cgru.torch.restore(others[0])
    assert type(others[0]) is kind


class Reducing(GRU):
    def __reduce__(self):
        return self.__class__, (3, 5), {"mark": 1}

    def __setstate__(self, state):
        super().__setstate__(vars(type(self)(3, 5)) | state)


class Global(GRU):
    def __reduce_ex__(self, protocol):
        return "GLOBAL"


GLOBAL = Global(3, 5)


def test_a_class_that_pickles_itself():
    module = Reducing(3, 5)
    accelerate(module)
    other = copy.deepcopy(module)
    assert type(other) is type(module) is not Reducing
    assert other.mark == 1
    accelerate(GLOBAL)
    assert pickle.loads(pickle.dumps(GLOBAL)) is GLOBAL
    cgru.torch.restore(GLOBAL)


def test_a_subclass_of_the_class_that_runs_here():
    """As a parametrization makes one after the swap."""
    module = Doubled(3, 5)
    accelerate(module)
    x = torch.randn(7, 2, 3)
    parametrizations.weight_norm(module, "weight_hh_l0")
    other = copy.deepcopy(module)
    due = module(x)[0]
    torch.testing.assert_close(other(x)[0], due)
    assert "left: parametrized" in str(accelerate(module))
    assert cgru.torch.restore(module).left == {"": PARAMETRIZED}
    torch.nn.utils.parametrize.remove_parametrizations(module, "weight_hh_l0")
    assert cgru.torch.restore(module).swapped == [""]
    torch.testing.assert_close(module(x)[0], due)
    mine = type("Mine", (cgru.torch.GRU,), {})(3, 5)
    assert accelerate(mine).left == {"": "derives from cgru.torch's class itself"}
    accelerated = Doubled(3, 5)
    accelerate(accelerated)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(type("Mine", (type(accelerated),), {})(3, 5))


def test_local_classes_are_collected():
    def make():
        class Local(GRU):
            pass

        module = Local(3, 5)
        accelerate(module)
        assert type(module).__mro__[2] in (cgru.torch.GRU, cgru.torch.GRUCell)
        return weakref.ref(type(module)), weakref.ref(Local)

    seen = make()
    gc.collect()
    assert [each() for each in seen] == [None, None]


def test_other_ways_to_run_them():
    module, x = Doubled(3, 5), torch.randn(7, 2, 3)
    due = module(x)[0]
    accelerate(module)
    with pytest.raises(Exception, match=r"(?i)trac|bool|symbolic"):  # as without us: no leaf of a trace
        torch.fx.symbolic_trace(torch.nn.Sequential(module))
    for each in (module, copy.deepcopy(module)):
        each.to(torch.float64)
        torch.testing.assert_close(each(x.double())[0], due.double(), atol=1e-6, rtol=1e-6)
        each.to(torch.bfloat16)
        assert each(x.bfloat16())[0].dtype is torch.bfloat16


@pytest.mark.filterwarnings("ignore")
def test_torch_jit_takes_them():
    module, x = PlainCell(3, 5), torch.randn(2, 3)
    accelerate(module)
    torch.testing.assert_close(torch.jit.script(torch.nn.Sequential(module))(x), module(x))
    assert type(module).__mro__[2] in (cgru.torch.GRU, cgru.torch.GRUCell)


# --- what is left ---


class Hooked(GRU):
    runs_on_cgru = True

    def __init_subclass__(cls, **options):
        raise AssertionError


class Declared(GRU):
    runs_on_cgru = True


class OverDeclared(Declared):
    pass


def test_subclasses_are_swapped_on_request():
    model = torch.nn.ModuleList([GRU(3, 5), Plain(3, 5), Doubled(3, 5), Declared(3, 5), OverDeclared(3, 5), Own(3, 5)])
    found = cgru.torch.accelerate(model)
    assert found.swapped == ["0", "3"]
    assert all(
        name in found.left[i] for i, name in zip("1245", ("Plain", "Doubled", "OverDeclared", "Own"), strict=True)
    )
    assert "also=[Doubled]" in str(found)
    assert cgru.torch.accelerate(model, also=Doubled).swapped == ["2"]
    assert cgru.torch.accelerate(model, also=(each for each in (Own, Plain))).swapped == ["1", "5"]
    with cgru.torch.restored(model):
        assert [type(each) for each in model][:4] == [GRU, Plain, Doubled, Declared]
    assert isinstance(model[2], cgru.torch.GRU)
    assert cgru.torch.restore(model).swapped == list("01235")


@pytest.mark.parametrize("also", [[torch.nn.LSTM], ["Plain"], [Plain(3, 5)], torch.nn.Module])
def test_what_cannot_be_swapped_is_refused(also):
    model = torch.nn.Sequential(GRU(3, 5))
    with pytest.raises(TypeError, match=r"^also: "):
        cgru.torch.accelerate(model, also=also)
    assert type(model[0]) is GRU


def test_an_error_changes_nothing():
    model = torch.nn.ModuleList([GRU(3, 5), Hooked(3, 5)])
    with pytest.raises(AssertionError):
        cgru.torch.accelerate(model)
    assert type(model[0]) is GRU


def test_modules_that_are_unlike_their_class():
    module = GRU(3, 5)
    module.forward = module.forward
    assert accelerate(module).left == {"": "its forward was replaced on the object"}
    for module in (GRU(3, 5), Plain(3, 5)):
        module._flat_weights[1] = module._flat_weights[1] * 2
        assert accelerate(module).left == {"": "its _flat_weights are not its parameters"}
    module = GRU(3, 5)
    module._parameters["weight_hh_l0"] = torch.nn.Parameter(torch.zeros(15, 5))  # which PyTorch takes over
    assert accelerate(module).swapped == [""]
    for module in (Plain(3, 5), Own(3, 5)):
        parametrizations.spectral_norm(module, "weight_hh_l0" if isinstance(module, GRU) else "weight_hh")
        assert accelerate(module).left == {"": PARAMETRIZED}
