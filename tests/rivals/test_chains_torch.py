"""`from_torch` on whole modules: the numbers of PyTorch, or refused with the node's name before anything is made."""

import functools

import numpy as np
import pytest

import cgru
from cgru import interop

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
from torch_cases import Model  # noqa: E402

nn = torch.nn
F = nn.functional
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def check(module, X, same, turned=False):
    """That the chain gives PyTorch's numbers, in either order of samples and steps; its modes stay as they were."""
    modes = [part.training for part in module.modules()]
    net = interop.from_torch(module)
    assert [part.training for part in module.modules()] == modes
    module.eval()
    with torch.no_grad():
        due = module(X.transpose(0, 1) if turned else X)
    due = due[0] if isinstance(due, tuple) else due
    A = net.predict(X.numpy())
    due = due.transpose(0, 1) if turned and A.ndim == 3 else due
    same(A, due.reshape(A.shape).numpy(), TOLERANCE[next(module.parameters()).dtype])
    return net


def gru(e=5, u=6, **options):
    return nn.GRU(e, u, **{"batch_first": True} | options)


def of_four_steps(last):
    """The same for a model of 4 steps, whose last layer reads them all."""
    module = head(last)
    module.out = nn.Linear(4 * 6, 3)
    return module


def head(last, **options):
    """A Linear before, a GRU of these options, `last(self, states, last states)` and a Linear behind."""
    directions = 2 if options.get("bidirectional") else 1
    parts = {"fc": nn.Linear(5, 7), "gru": gru(7, **options), "out": nn.Linear(6 * directions, 3)}

    def forward(self, x):
        y, h = self.gru(torch.relu(self.fc(x)))
        return self.out(last(self, y, h))

    return Model(forward, **parts)


def every_or_four(self, y, h):
    return y.flatten(1) if y.size(1) < 9 else y[:, :4].flatten(1)


def with_states(self, x):
    y, h = self.gru(x)
    return self.out(y), h


def zeros(self, x):
    return torch.zeros(2, x.size(0), self.gru.hidden_size, device=x.device, dtype=x.dtype)


def best(self, y, h):
    value, _ = y.max(1)
    return value


def sized(self, x):
    size = (x.size(0) + 2 - 2) * self.gru.num_layers
    return self.gru(x, torch.zeros(self.gru.num_layers, size, 6, dtype=x.dtype))[0]


ACCEPTED = {
    "every step": lambda: head(lambda self, y, h: y),
    "last step": lambda: head(lambda self, y, h: y[:, -1]),
    "last step of all": lambda: head(lambda self, y, h: y[:, -1, :], num_layers=2),
    "last step after dots": lambda: head(lambda self, y, h: y[..., -1, :]),
    "last step of both": lambda: head(lambda self, y, h: y[:, -1], bidirectional=True),
    "last state": lambda: head(lambda self, y, h: h[-1], num_layers=2),
    "only state": lambda: head(lambda self, y, h: h[0]),
    "squeezed state": lambda: head(lambda self, y, h: h.squeeze(0)),
    "last states of both": lambda: head(lambda self, y, h: torch.cat((h[-2], h[-1]), dim=1), bidirectional=True),
    "of two layers": lambda: head(
        lambda self, y, h: torch.cat([h[2], h[3]], -1), bidirectional=True, num_layers=2, dropout=0.2
    ),
    "mean": lambda: head(lambda self, y, h: y.mean(dim=1)),
    "mean, kept": lambda: head(lambda self, y, h: torch.mean(y, 1, keepdim=True).squeeze(1)),
    "sum": lambda: head(lambda self, y, h: torch.sum(y, dim=1)),
    "all steps": lambda: of_four_steps(lambda self, y, h: y.flatten(1)),
    "all steps, reshaped": lambda: of_four_steps(lambda self, y, h: F.relu(y.reshape(y.size(0), -1))),
    "all steps, turned": lambda: of_four_steps(lambda self, y, h: F.gelu(y.transpose(1, 2)).reshape(y.shape[0], 24)),
    "global mean": lambda: head(lambda self, y, h: F.adaptive_avg_pool1d(y.transpose(1, 2), 1).squeeze(2)),
    "global max": lambda: head(lambda self, y, h: nn.AdaptiveMaxPool1d(1)(y.transpose(1, 2)).squeeze(-1)),
    "smooth functions": lambda: head(lambda self, y, h: F.gelu(F.silu(F.softplus(y)))),
    "smooth modules": lambda: head(lambda self, y, h: nn.GELU()(nn.SiLU(inplace=True)(nn.Softplus()(y)))),
    "log_softmax": lambda: head(lambda self, y, h: F.log_softmax(y.log_softmax(-1), dim=2)),
    "max": lambda: head(lambda self, y, h: y.max(dim=1)[0]),
    "max by name": lambda: head(lambda self, y, h: torch.max(y, 1).values),
    "max of both": lambda: head(lambda self, y, h: y.max(1)[0], bidirectional=True),
    "max unpacked": lambda: head(best),
    "amax": lambda: head(lambda self, y, h: torch.amax(y, dim=-2)),
    "amax of a tuple": lambda: head(lambda self, y, h: y.amax((1,))),
    "turned": lambda: head(lambda self, y, h: y.transpose(0, 1)[-1]),
    "turned back": lambda: head(lambda self, y, h: y.permute(1, 0, 2).swapaxes(0, 1).contiguous()),
    "turned features": lambda: head(lambda self, y, h: torch.tanh(y.transpose(1, 2)).transpose(-1, -2)),
    "nothing squeezed": lambda: head(lambda self, y, h: y.squeeze(2)),
    "turned in place": lambda: head(lambda self, y, h: y.transpose_(0, 1).unsqueeze_(0).squeeze_(0)[-1]),
    "flat": lambda: head(lambda self, y, h: torch.flatten(h[-1].unsqueeze(1), 1)),
    "functions": lambda: head(lambda self, y, h: F.elu(F.leaky_relu(y, 0.2), alpha=0.5).sigmoid()),
    "in place": lambda: head(lambda self, y, h: F.relu(y, inplace=True).tanh_()),
    "softmax": lambda: head(lambda self, y, h: F.softmax(torch.softmax(y, -1), dim=2)),
    "bounds": lambda: head(lambda self, y, h: F.relu6(F.hardtanh(y).clamp(min=-0.2))),
    "dropout": lambda: head(lambda self, y, h: F.dropout(y, 0.3, self.training)),
    "numbers": lambda: head(lambda self, y, h: 1 - (2 * y + 0.25) / 3),
    "counted from the last": lambda: Model(lambda self, x: self.gru(self.b(x)[-2])[-1][-1], b=gru(), gru=gru(6)),
    "the two outputs": lambda: Model(lambda self, x: self.gru(x), gru=gru()),
    "output and states": lambda: Model(with_states, gru=gru(), out=nn.Linear(6, 2)),
    "zeros": lambda: Model(lambda self, x: self.gru(x, zeros(self, x))[0], gru=gru(num_layers=2)),
    "zeros of sizes that are computed": lambda: Model(sized, gru=gru()),
    "zeros to x": lambda: Model(lambda self, x: self.gru(x, torch.zeros(1, x.size(0), 6).to(x))[0], gru=gru()),
    "a norm": lambda: head(lambda self, y, h: F.layer_norm(y, (6,))),
    "a derived GRU": lambda: Model(lambda self, x: self.gru(x)[0], gru=Derived(5, 6, batch_first=True)),
    "a hook that halves": lambda: hooked(lambda module, x, y: y / 2),
    "a method set anew": lambda: rebound(),
    "several turns in place": lambda: head(lambda self, y, h: (y.transpose_(0, 1), y[-1])[1]),
    "an axis in place": lambda: head(lambda self, y, h: (h.unsqueeze_(0), h[0, -1])[1]),
    "a method for a sign": lambda: head(lambda self, y, h: y.mul(2).add(0.5)),
    "zeros like x": lambda: Model(lambda self, x: self.gru(x, x.new_zeros(1, x.shape[0], 6))[0], gru=gru()),
    "zeros of twice": lambda: Model(
        lambda self, x: self.gru(x, hx=torch.zeros(1 * 2, x.size(0), 6).to(x.device).to(x))[0], gru=gru(num_layers=2)
    ),
    "buffers": lambda: Model(
        lambda self, x: self.gru((x - self.mean) / self.std)[0], gru=gru(), mean=torch.randn(5), std=torch.rand(5) + 1
    ),
    "directions turned": lambda: head(lambda self, y, h: torch.cat((h[-1], h[-2]), 1), bidirectional=True),
    "features turned": lambda: head(lambda self, y, h: y[:, :, [1, 0, 2, 3, 5, 4]]),
    "both ends": lambda: head(lambda self, y, h: torch.cat((y[:, -1, :6], y[:, 0, 6:]), 1), bidirectional=True),
    "first of two layers": lambda: head(lambda self, y, h: h[0], num_layers=2),
    "one direction": lambda: head(lambda self, y, h: torch.cat((h[-1], h[-1]), 1), bidirectional=True),
    "changed in place": lambda: head(lambda self, y, h: (F.relu(y, inplace=True), y)[1]),
    "an old last step": lambda: head(lambda self, y, h: (y.relu(), y[:, -1])[1]),
    "a part that nobody reads": lambda: Model(
        lambda self, x: (y := self.conv(x.transpose(1, 2)), y[:, :, :-2], self.gru(y.transpose(1, 2)))[2][0],
        conv=nn.Conv1d(5, 7, 3, padding=2), gru=gru(7),
    ),
    "a stack of modules": lambda: nn.Sequential(
        nn.Linear(5, 6), nn.LeakyReLU(), nn.Dropout(0.2), nn.Sequential(nn.Linear(6, 5), nn.ELU(0.7), nn.Identity()),
        Model(lambda self, x: self.gru(x)[0], gru=gru()), nn.Linear(6, 4, bias=False), nn.Sigmoid(),
        nn.Hardtanh(0, 0.6), Model(lambda self, x: self.gru(x)[1][-1], gru=gru(4, 3)), nn.Flatten(),
        nn.Linear(3, 4), nn.Softmax(dim=1),
    ),
    "one output": lambda: Model(lambda self, x: torch.sigmoid(self.fc(self.gru(x)[0][:, -1]).squeeze(-1)), gru=gru(),
                                fc=nn.Linear(6, 1)),
}  # fmt: skip


def attend(way, score, u=6, **options):
    """A GRU, attention of the way `way(self, states, weights)` with weights of `score(self, states)`, and a Linear."""
    directions = 2 if options.get("bidirectional") else 1
    parts = {
        "gru": gru(**options), "score": nn.Linear(6 * directions, 1), "W": nn.Linear(6 * directions, 7),
        "v": nn.Linear(7, 1, bias=False), "vb": nn.Linear(7, 1), "out": nn.Linear(6 * directions, 3),
    }  # fmt: skip

    def forward(self, x):
        y = self.gru(x)[0]
        return self.out(way(self, y, score(self, y)))

    return Model(forward, **parts)


def plain(self, y):
    return torch.softmax(self.score(y), dim=1)


def hidden(self, y):
    return F.softmax(self.v(torch.tanh(self.W(y))), 1)


def hidden_with_bias(self, y):
    return self.vb(self.W(y).tanh()).softmax(dim=-2)


def flat(self, y):
    return torch.softmax(self.score(y).squeeze(-1), dim=1)


def both_flat(self, y):
    return self.v(torch.tanh(self.W(y))).squeeze(2).softmax(-1)


class Attention(nn.Module):
    def __init__(self, u):
        super().__init__()
        self.net, self.softmax = nn.Sequential(nn.Linear(u, 9), nn.Tanh(), nn.Linear(9, 1)), nn.Softmax(dim=1)

    def forward(self, h):
        return (self.softmax(self.net(h)) * h).sum(dim=1)


WAYS = {
    "sum": (lambda self, y, a: (a * y).sum(1), plain),
    "sum, the other first": (lambda self, y, a: torch.sum(y * a, dim=1), hidden),
    "sum, kept": (lambda self, y, a: torch.mul(y, a).sum(dim=(1,), keepdim=True).squeeze(1), hidden_with_bias),
    "bmm": (lambda self, y, a: torch.bmm(a.transpose(1, 2), y).squeeze(1), plain),
    "bmm, the other first": (lambda self, y, a: y.transpose(1, 2).bmm(a).squeeze(-1), hidden),
    "a product": (lambda self, y, a: (a.transpose(1, 2) @ y).squeeze(1), hidden_with_bias),
    "matmul": (lambda self, y, a: torch.matmul(a.unsqueeze(1), y).squeeze(1), flat),
    "unsqueezed": (lambda self, y, a: (a.unsqueeze(-1) * y).sum(1), both_flat),
    "unsqueezed bmm": (lambda self, y, a: y.permute(0, 2, 1).matmul(a.unsqueeze(2)).squeeze(2), flat),
    "einsum": (lambda self, y, a: torch.einsum("bs,bsu->bu", a, y), flat),
    "einsum of three": (lambda self, y, a: torch.einsum("bsu, bsk -> bu", y, a), hidden),
}


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=["one", "both"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("way", WAYS)
def test_attention_comes_in(way, dtype, options, same, tmp_path):
    torch.manual_seed(0)
    how, score = WAYS[way]
    module = attend(how, score, **options).to(dtype)
    net = check(module, torch.randn(3, 4, 5, dtype=dtype), same)
    pool = net.layers[-2]
    assert [type(layer) for layer in net.layers[-2:]] == [cgru.Pool, cgru.Dense]
    assert (pool.how, pool.hidden) == ("attention", None if score in (plain, flat) else 7)
    net.save(tmp_path / "net.npz")
    np.testing.assert_array_equal(cgru.load(tmp_path / "net.npz").layers[-2].p["W"], pool.p["W"])
    net.fit(np.zeros((3, 4, 5)), np.zeros((3, 3)), epochs=1)


def test_attention_elsewhere(same):
    """In a module of its own, upon a Linear with tanh, time-major, frozen, and with a layer above it."""
    torch.manual_seed(0)
    module = nn.Sequential(Model(lambda self, x: self.gru(x)[0], gru=gru()), Attention(6), nn.Linear(6, 2), nn.Tanh())
    assert check(module, torch.randn(3, 4, 5), same).layers[1].hidden == 9

    def upon_tanh(self, x):
        y = torch.tanh(self.below(self.gru(x)[0]))
        return self.out((torch.softmax(self.score(y), 1) * y).sum(1))

    parts = {"below": nn.Linear(6, 7), "score": nn.Linear(7, 1), "out": nn.Linear(7, 2)}
    net = check(Model(upon_tanh, gru=gru(), **parts), torch.randn(3, 4, 5), same)
    assert [type(layer) for layer in net.layers] == [cgru.GRU, cgru.Dense, cgru.Pool, cgru.Dense]
    assert net.layers[2].hidden is None

    def time_major(self, x):
        y = self.gru(x)[0]
        return self.out((torch.softmax(self.score(y), 0) * y).sum(0))

    module = Model(time_major, gru=nn.GRU(5, 6), score=nn.Linear(6, 1, bias=False), out=nn.Linear(6, 2))
    module.score.requires_grad_(False)
    net = check(module, torch.randn(3, 4, 5), same, turned=True)
    assert [layer.trainable for layer in net.layers] == [True, False, True]


NO_ATTENTION = {
    "no sum": (attend, lambda self, y, a: a * y, plain),
    "a mean": (attend, lambda self, y, a: (a * y).mean(1), plain),
    "a sum over samples": (attend, lambda self, y, a: (a * y).sum(0), plain),
    "a sum over features": (attend, lambda self, y, a: (a * y).sum(2), plain),
    "a sum over both": (attend, lambda self, y, a: (a * y).sum((1, 2)), plain),
    "the weights": (attend, lambda self, y, a: a, plain),
    "twice the weights": (attend, lambda self, y, a: (a * a).sum(1), plain),
    "no alignment": (attend, lambda self, y, a: (a * y).sum(1), flat),
    "a scale that is trained": (attend, lambda self, y, a: (a * y).sum(1),
                                lambda self, y: (self.score(y) * self.score.bias).softmax(1)),
    "several scores": (attend, lambda self, y, a: (a * y).sum(1), lambda self, y: self.W(y).softmax(1)),
    "over the samples": (attend, lambda self, y, a: (a * y).sum(1), lambda self, y: self.score(y).softmax(0)),
    "dropout of weights": (attend, lambda self, y, a: (F.dropout(a, 0.2, self.training) * y).sum(1), plain),
    "an outer product": (attend, lambda self, y, a: torch.einsum("as,bsu->bu", a, y), flat),
    "einsum over samples": (attend, lambda self, y, a: torch.einsum("bs,bsu->su", a, y), flat),
    "einsum of dots": (attend, lambda self, y, a: torch.einsum("...s,...su->...u", a, y), flat),
    "einsum of one": (attend, lambda self, y, a: torch.einsum("bsu->bu", y), flat),
    "einsum turned": (attend, lambda self, y, a: torch.einsum("sb,bsu->bu", a, y), flat),
    "bmm the wrong way": (attend, lambda self, y, a: torch.bmm(a, y), plain),
    "bmm of states": (attend, lambda self, y, a: torch.bmm(y, y.transpose(1, 2)), plain),
    "bmm by name": (attend, lambda self, y, a: torch.bmm(a.transpose(1, 2), mat2=y), plain),
    "one direction": (
        functools.partial(attend, bidirectional=True), lambda self, y, a: (a * y[:, :, :6]).sum(1), plain
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_ATTENTION)
def test_what_is_no_attention_is_refused_by_name(kind):
    make, way, score = NO_ATTENTION[kind]
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(make(way, score))


SCORES = {
    "a relu": lambda self, y: self.v(self.W(y).relu()).softmax(1),
    "dropout": lambda self, y: self.v(F.dropout(self.W(y), 0.2, self.training).tanh()).softmax(1),
    "no tanh": lambda self, y: self.v(self.W(y)).softmax(1),
    "tanh at last": lambda self, y: self.score(y).tanh().softmax(1),
    "a scale of tanh": lambda self, y: (self.score(y).tanh() / 2).softmax(1),
    "of tanh": lambda self, y: self.score(y.tanh()).softmax(1),
    "a part is frozen": lambda self, y: (self.v.requires_grad_(False), hidden(self, y))[1],
}


@pytest.mark.parametrize("weighs", [lambda self, y, a: (a * y).sum(1), lambda self, y, a: (a * y.relu()).sum(1)])
@pytest.mark.parametrize("kind", SCORES)
def test_attention_by_any_scores(kind, weighs, same):
    """Which become a feature beside what they weigh; what only picks it is not trained."""
    torch.manual_seed(0)
    module = attend(weighs, SCORES[kind])
    SCORES[kind](module, torch.ones(1, 2, 6))  # to freeze what is frozen
    net = check(module, torch.randn(3, 4, 5), same)
    pool = next(layer for layer in net.layers if isinstance(layer, cgru.Pool))
    assert not pool.trainable
    scores = [layer.p["W"].copy() for layer in net.layers[1].branches[1] if layer.trainable and layer.p]
    net.fit(np.ones((3, 4, 5)), np.ones((3, 3)), epochs=2)
    after = [layer.p["W"] for layer in net.layers[1].branches[1] if layer.trainable and layer.p]
    assert scores
    assert not any(map(np.array_equal, scores, after))
    assert pool.p["W"].sum() == np.abs(pool.p["W"]).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_the_numbers_of_pytorch(kind, dtype, same):
    torch.manual_seed(0)
    module = ACCEPTED[kind]()
    module = module.to(dtype) if kind != "zeros of twice" else module.to(torch.float32)
    X = torch.randn(3, 4, 5, dtype=next(module.parameters()).dtype)
    check(module, X, same)


@pytest.mark.parametrize("batch_first", [True, False])
def test_tokens_and_time_major(batch_first, same, tmp_path):
    torch.manual_seed(1)
    at = 1 if batch_first else 0
    module = Model(
        lambda self, x: self.fc(self.gru(self.embedding(x))[0].mean(at)),
        embedding=nn.Embedding(9, 5), gru=nn.GRU(5, 6, 2, batch_first=batch_first), fc=nn.Linear(6, 3),
    )  # fmt: skip
    net = check(module, torch.randint(0, 9, (3, 4)), same, turned=not batch_first)
    assert [type(layer) for layer in net.layers] == [cgru.Embedding, cgru.GRU, cgru.GRU, cgru.Pool, cgru.Dense]
    net.save(tmp_path / "net.npz")
    cgru.load(tmp_path / "net.npz")
    cgru.export_c(net, tmp_path / "net.c")


def test_a_model_that_runs_here_already(same):
    """After `accelerate`, a GRU by itself and one in a chain."""
    import cgru.torch

    torch.manual_seed(0)
    gru, x = torch.nn.GRU(3, 5, batch_first=True), torch.randn(2, 4, 3)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.linear = gru, torch.nn.Linear(5, 2)

        def forward(self, x):
            return self.linear(self.gru(x)[0])

    model = Model()
    due, whole = gru(x)[0].detach(), model(x).detach()
    cgru.torch.accelerate(model)
    for source, wanted in ((gru, due), (model, whole)):
        same(interop.from_torch(source).predict(x.numpy()), wanted, 1e-6)
    assert type(gru) is cgru.torch.GRU
    same(interop.from_torch(cgru.torch.GRUCell(3, 5)).predict(x.numpy())[:, :1].shape, (2, 1, 5))


@pytest.mark.parametrize("name", ["resets", "decay"])
def test_a_factor_of_the_states_is_refused(name):
    import cgru.torch

    class Policy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = cgru.torch.GRU(3, 5, batch_first=True)

        def forward(self, x, given):
            return self.gru(x, **{name: given})[0]

    with pytest.raises(ValueError, match=r"^source: GRU 'gru' .*resets, decay: "):
        interop.from_torch(Policy())


def test_what_comes_out_is_a_whole_network(tmp_path):
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Linear(5, 7),
        nn.ReLU(),
        Model(lambda self, x: self.gru(x)[0], gru=gru(7)),
        nn.Linear(6, 3),
        nn.Softmax(dim=-1),
    )
    module[0].requires_grad_(False)
    net = interop.from_torch(module.double())
    assert [layer.trainable for layer in net.layers] == [False, True, True]
    X = np.random.default_rng(0).standard_normal((3, 4, 5))
    stream, due = cgru.Stream(net, batch=3), net.predict(X)
    for t in range(4):
        np.testing.assert_allclose(stream.step(X[:, t]), due[:, t], atol=1e-12)
    cgru.export_c(net, tmp_path / "net.c")
    before = net.layers[0].p["W"].copy()
    net.fit(X, np.zeros((3, 4), int), epochs=2)
    np.testing.assert_array_equal(net.layers[0].p["W"], before)
    np.testing.assert_array_equal(module[0].weight.detach().numpy().T, before)


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.h = gru(), None

    def forward(self, x):
        y, self.h = self.gru(x, self.h)
        return y


def hooked(hook):
    module = head(lambda self, y, h: y)
    module.out.register_forward_hook(hook)
    return module


def rebound():
    module = head(lambda self, y, h: y)
    module.out.forward = lambda x: x * 2
    return module


def tied():
    module = Model(lambda self, x: self.b(self.gru(self.a(x))[0]), a=nn.Linear(5, 5), gru=gru(5, 5), b=nn.Linear(5, 5))
    module.b.weight = module.a.weight
    return module


def over_samples():
    return Model(lambda self, x: self.b(self.a(x)[0])[0], a=gru(5, 5), b=nn.GRU(5, 6))


def three(self, x):
    y, h = self.gru(x)
    return y, h, h


def learned():
    return Model(lambda self, x: self.gru(x, self.h)[0], gru=gru(), h=nn.Parameter(torch.zeros(1, 3, 6)))


def of(last, **options):
    return lambda: head(last, **options)


REFUSED = {
    "packed": (of(lambda self, y, h: nn.utils.rnn.pack_padded_sequence(y, [4, 4, 4], batch_first=True))),
    "control flow": (of(lambda self, y, h: y if y.sum() > 0 else -y)),
    "exp": (of(lambda self, y, h: torch.exp(y))),
    "gelu by tanh": (of(lambda self, y, h: F.gelu(y, approximate="tanh"))),
    "softplus with a factor": (of(lambda self, y, h: F.softplus(y, 2.0))),
    "softplus with an early end": (of(lambda self, y, h: F.softplus(y, threshold=10.0))),
    "log_softmax over steps": (of(lambda self, y, h: torch.log_softmax(y, 1))),
    "steps by twos": (of(lambda self, y, h: y.reshape(-1, 12)[:, :6])),
    "two means": (of(lambda self, y, h: F.adaptive_avg_pool1d(y.transpose(1, 2), 2).transpose(1, 2))),
    "all steps and the number of them": (lambda: of_four_steps(every_or_four)),
    "dropout always": (of(lambda self, y, h: F.dropout(y))),
    "softmax over steps": (of(lambda self, y, h: torch.softmax(y, 1))),
    "softmax unsaid": (of(lambda self, y, h: F.softmax(y))),
    "softmax of a dtype": (of(lambda self, y, h: torch.softmax(y, -1, torch.float64))),
    "mean of features": (of(lambda self, y, h: y.mean(-1, keepdim=True))),
    "mean of samples": (of(lambda self, y, h: y.mean(0))),
    "mean of all": (of(lambda self, y, h: y.mean())),
    "first step": (of(lambda self, y, h: y[:, 0])),
    "last sample": (of(lambda self, y, h: y[-1])),
    "last feature": (of(lambda self, y, h: y[:, :, -1:])),
    "last two": (of(lambda self, y, h: y[:, -2:])),
    "wrong way round": (of(lambda self, y, h: torch.cat((h[-2], h[-1]), 0), bidirectional=True)),
    "steps as features": (of(lambda self, y, h: y.flatten(1))),
    "samples as written": (of(lambda self, y, h: y.reshape(3, 4, 6))),
    "squeeze": (of(lambda self, y, h: y.squeeze())),
    "squeezed steps": (of(lambda self, y, h: y.squeeze(1))),
    "squeezed steps beside one feature": (lambda: Model(lambda self, x: self.gru(x)[0].squeeze(1), gru=gru(5, 1))),
    "turned features": (of(lambda self, y, h: y.transpose(1, 2))),
    "each step apart": (of(lambda self, y, h: y + torch.arange(4.0)[:, None])),
    "over the samples": (over_samples),
    "a learned start": (learned),
    "noise": (of(lambda self, y, h: y + torch.randn(6))),
    "a start that is x": (lambda: Model(lambda self, x: self.gru(x, x)[0], gru=gru())),
    "a state that is kept": (Stateful),
    "tied weights": (tied),
    "twice the same": (lambda: Model(lambda self, x: self.g(self.g(x)[0])[0], g=gru(5, 5))),
    "an LSTM": (lambda: Model(lambda self, x: self.l(x)[0], l=nn.LSTM(5, 6))),
    "batch norm": (of(lambda self, y, h: nn.functional.batch_norm(y, None, None, training=True))),
    "a steep slope": (of(lambda self, y, h: F.leaky_relu(y, 1.5))),
    "bounds that cross": (of(lambda self, y, h: y.clamp(1, 0))),
    "renormed": (lambda: Model(lambda self, x: self.gru(self.m(x))[0], m=nn.Embedding(9, 5, max_norm=1.0), gru=gru())),
    "four inputs": (lambda: Fourfold()),
    "a parametrisation": (lambda: orthogonal()),
    "several arguments": (lambda: Model(lambda self, x: self.d(self.gru(x)[0], x), gru=gru(), d=nn.ReLU())),
    "an attribute": (of(lambda self, y, h: y.T)),
    "a part of sizes alone": (of(lambda self, y, h: torch.zeros_like(y)[0])),
    "an array of zeros": (of(lambda self, y, h: torch.zeros_like(y))),
    "tokens twice": (lambda: Model(lambda self, x: self.gru(self.m(self.k(x)))[0], gru=gru(), k=nn.Embedding(9, 5),
                                   m=nn.Embedding(9, 5))),
    "a GRU of last states": (lambda: Model(lambda self, x: self.b(self.a(x)[0][:, -1])[0], a=gru(), b=gru(6))),
    "joined states": (of(lambda self, y, h: torch.cat((y, y), -1))),
    "too many arguments": (of(lambda self, y, h: y.tanh(1))),
    "a computed dimension": (of(lambda self, y, h: y.flatten(y.dim()))),
    "a dimension twice": (of(lambda self, y, h: y.permute(0, 0, 1))),
    "dimensions that are none": (of(lambda self, y, h: y.permute(dims=3))),
    "a sum with a factor": (of(lambda self, y, h: torch.add(y, 1, alpha=2))),
    "another dtype": (lambda: Model(lambda self, x: self.gru(x + self.c)[0], gru=gru(), c=torch.ones(5).double())),
    "a row too long": (lambda: Model(lambda self, x: self.gru(x)[0] + self.c, gru=gru(), c=torch.ones(7))),
    "by zero": (of(lambda self, y, h: y / 0)),
    "by the states": (of(lambda self, y, h: 1 / y)),
    "three outputs": (lambda: Model(three, gru=gru())),
    "an output of sizes": (lambda: Model(lambda self, x: self.gru(x)[0].size(0), gru=gru())),
    "no GRU": (lambda: nn.Sequential(nn.Linear(5, 5))),
}  # fmt: skip


OUTPUTS = {
    "features first": (lambda self, x: self.gru(x)[0].transpose(1, 2), (0, 2, 1)),
    "steps last": (lambda self, x: self.gru(x)[0].permute(2, 0, 1), (1, 2, 0)),
    "a mean with an axis": (lambda self, x: self.gru(x)[0].mean(1, keepdim=True), None),
    "the last step with an axis": (lambda self, x: self.gru(x)[0][:, -1].unsqueeze(1), None),
    "a state with an axis in place": (lambda self, x: (h := self.gru(x)[1], h.unsqueeze_(0), h[-1])[2], None),
    "squeezed at last": (lambda self, x: self.one(self.gru(x)[0][:, -1]).squeeze().to(x.dtype), None),
}


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_in_other_orders(kind, samples, same):
    """(m, s, n) or (m, n) here; axes of size 1 may be more or fewer."""
    run, order = OUTPUTS[kind]
    module, x = Model(run, gru=gru(), one=nn.Linear(6, 1)), torch.randn(samples, 4, 5)
    with torch.no_grad():
        due = module(x)
    A = interop.from_torch(module).predict(x.numpy())
    same(A, (due if order is None else due.permute(order)).reshape(A.shape).numpy(), 1e-5)


class Keeping(nn.Module):
    """Keeps its attention weights in an attribute, and perhaps reads what an earlier call kept."""

    def __init__(self, detached=False, read=None):
        super().__init__()
        self.gru, self.score, self.detached, self.read = gru(), nn.Linear(6, 1), detached, read
        self.weights = self.pair = None

    def forward(self, x):
        y = self.gru(x)[0]
        before = self.weights
        a = torch.softmax(self.score(y), 1)
        self.weights, self.pair = a.squeeze(2).detach() if self.detached else a.squeeze(2), (a, y)
        made = (a * y).sum(1)
        return made if self.read is None or before is None else self.read(before, made, y)


@pytest.mark.parametrize("detached", [False, True])
def test_arrays_that_are_kept(detached, same):
    """In attributes, for others to see, also by a call before the conversion."""
    module = Keeping(detached)
    check(module, torch.randn(3, 4, 5), same)
    module.train()(torch.randn(2, 4, 5))
    kept = module.weights
    check(module, torch.randn(3, 4, 5), same)
    interop.from_torch(Keeping(detached))
    assert kept.shape == (2, 4)


KEPT = {
    "its numbers": lambda kept, made, y: made + kept.sum(),
    "whether it is there": lambda kept, made, y: 2 * made,
    "its shape": lambda kept, made, y: made.new_zeros(kept.shape[0], 6) + made,
    "itself": lambda kept, made, y: kept,
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_kept_is_not_read_again(kind):
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(Keeping(read=KEPT[kind]))


LOOSE = {
    "an unsaid squeeze": lambda self, x: self.one(self.gru(x)[0]).squeeze().mean(1),
    "what is detached": lambda self, x: self.one(self.gru(x)[0].detach()),
    "a detached output": lambda self, x: self.gru(x)[0].detach(),
    "detached in place": lambda self, x: (y := self.gru(x)[0], y.detach_(), self.one(y))[2],
    "a buffer that is set": lambda self, x: (y := self.gru(x)[0], setattr(self, "state", y))[0],
}


@pytest.mark.parametrize("kind", LOOSE)
def test_what_may_only_be_returned_or_kept(kind):
    module = Model(LOOSE[kind], gru=gru(), one=nn.Linear(6, 1))
    module.register_buffer("state", None)
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(module)


class Fourfold(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = gru()

    def forward(self, x, a, b, c):
        return self.gru(x)[0]


class Derived(nn.GRU):
    pass


def orthogonal():
    module = head(lambda self, y, h: y)
    nn.utils.parametrizations.weight_norm(module.fc)
    return module


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(kind):
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(REFUSED[kind]())


def test_what_forward_takes_beside_x_is_its_default(same):
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = gru()

        def forward(self, x, h=None, double=False):
            y, h = self.gru(x) if h is None else self.gru(x, h)
            return 2 * y if double else y

    check(Optional(), torch.randn(3, 4, 5), same)


def framed(run):
    """A module that takes frames by `unfold`, features before steps but where they are turned."""
    return Model(
        lambda self, x: run(self, x), gru=gru(6, 5), both=gru(8, 5, num_layers=2, bidirectional=True),
        below=gru(2, 3), linear=nn.Linear(8, 6), above=nn.Linear(12, 6),
    )  # fmt: skip


UNFOLDED = {
    "patches": lambda self, x: self.gru(torch.relu(self.linear(x.unfold(1, 4, 4).flatten(2))))[0],
    "turned": lambda self, x: self.gru(self.linear(x.unfold(1, 4, 2).transpose(2, 3).flatten(-2)))[0],
    "a GRU upon it": lambda self, x: self.both(torch.tanh(x.unfold(1, 4, 3).flatten(2)))[0][:, -1],
    "a convolution": lambda self, x: self.above(
        self.below(x)[0].unfold(dimension=1, size=4, step=1).flatten(start_dim=2).tanh()).mean(1),
    "channels first": lambda self, x: self.both(
        x.transpose(1, 2).unfold(-1, 4, 3).permute(0, 2, 1, 3).flatten(2))[0],
    "at the end, turned": lambda self, x: self.below(x)[0].unfold(1, 4, 1).transpose(2, 3).flatten(2),
    "at the end": lambda self, x: self.below(x)[0].unfold(1, 4, 1).flatten(2),
    "twice": lambda self, x: self.gru(self.linear(x.unfold(1, 2, 1).flatten(2).unfold(1, 2, 1).flatten(2)))[0],
}  # fmt: skip
NO_FRAMES = {
    "not flat": lambda self, x: self.linear(self.below(x)[0].unfold(1, 8, 1)),
    "over elements": lambda self, x: self.below(x.unfold(2, 2, 1).flatten(2))[0],
    "of images": lambda self, x: self.below(F.unfold(x, 2))[0],
}


@pytest.mark.parametrize("way", UNFOLDED)
def test_unfold_is_frames(way, same):
    torch.manual_seed(0)
    net = check(framed(UNFOLDED[way]), torch.randn(3, 13, 2), same)
    assert sum(isinstance(layer, cgru.Frames) for layer in net.layers) == 1 + (way == "twice")


@pytest.mark.parametrize("way", NO_FRAMES)
def test_what_of_unfold_is_refused(way):
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(framed(NO_FRAMES[way]))
