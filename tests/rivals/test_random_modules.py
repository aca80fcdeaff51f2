"""Random modules of PyTorch: each comes in with its numbers, or with a foreign node in it is refused by its line."""

import numpy as np
import pytest
from helpers import some

from cgru import interop

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
nn = torch.nn
F = nn.functional
rnn = nn.utils.rnn


class Random(nn.Module):
    """A chain of pieces drawn at random, each a function of the module and an array (m, s, n) or (m, n)."""

    def __init__(self, rng, foreign):
        super().__init__()
        self.rng, self.parts, self.pieces = rng, nn.ModuleList(), []
        self.tokens, self.lengths = bool(rng.random() < 0.2), bool(rng.random() < 0.25)
        self.first = not self.tokens and bool(rng.random() < 0.3)  # channels first
        self.n, self.steps = 5, True
        if self.tokens:
            self.pieces.append(self.own(nn.Embedding(9, 5)))
        elif self.first:
            self.pieces.append((lambda _, x: x.transpose(1, 2), lambda _, x: x.permute(0, 2, 1))[rng.integers(2)])
        for _ in range(rng.integers(0, 3)):
            self.add_piece(convolves=not self.lengths)
        count = rng.integers(1, 3)
        for i in range(count):
            self.add_gru(last=i == count - 1)
            for _ in range(rng.integers(0, 2)):
                self.add_piece(convolves=not self.lengths)
        self.add_reduction()
        for _ in range(rng.integers(0, 3)):
            self.add_piece(convolves=False)
        if foreign:
            places = range(self.tokens + self.first, len(self.pieces) + 1)
            self.pieces.insert(int(rng.choice(places)), FOREIGN[rng.integers(len(FOREIGN))])
        del self.rng

    def own(self, part):
        """Return a function that calls this part of a module."""
        self.parts.append(part)
        at = len(self.parts) - 1
        return lambda self, *given: self.parts[at](*given)

    def linear(self, u):
        n, self.n = self.n, u
        return self.own(nn.Linear(n, u, bool(self.rng.random() < 0.8)))

    def add_piece(self, convolves):
        """Add what may stand above any layer."""
        rng = self.rng
        kind = rng.integers(9)
        if kind == 0:
            f, linear = ACTIVATIONS[rng.integers(len(ACTIVATIONS))], self.linear(int(rng.integers(1, 8)))
            self.pieces.append(lambda self, y: f(linear(self, y)))
        elif kind == 1 and self.steps:
            below, linear, n = self.n, self.linear(int(rng.integers(2, 8))), self.n
            ways = (
                lambda self, y: linear(self, y.contiguous().view(-1, below)).view(y.size(0), y.size(1), n),
                lambda self, y: linear(self, y.reshape(-1, y.size(-1))).reshape(y.shape[0], -1, n),
                lambda self, y: linear(self, y.flatten(0, 1)).unflatten(0, (y.size(0), y.size(1))),
            )
            self.pieces.append(ways[rng.integers(3)])
        elif kind == 2 and convolves:
            self.add_convolution()
        elif kind == 3:
            norm = self.own(nn.BatchNorm1d(self.n, affine=bool(rng.random() < 0.7)))
            turned = (lambda self, y: norm(self, y.transpose(1, 2)).transpose(1, 2)) if self.steps else norm
            self.pieces.append(turned)
        elif kind == 4:
            self.pieces.append(self.own(nn.LayerNorm(self.n, 0.1, elementwise_affine=bool(rng.random() < 0.7))))
        elif kind == 5:
            self.register_buffer(name := f"row_{len(self.pieces)}", torch.rand(self.n))
            self.pieces.append(lambda self, y: (y - getattr(self, name)) / 2 + 0.25)
        elif kind == 6:
            setattr(self, name := f"scale_{len(self.pieces)}", nn.Parameter(torch.rand(self.n)))
            self.pieces.append(lambda self, y: y * getattr(self, name))
        elif kind == 7:
            self.pieces.append(self.own(nn.Dropout(0.3)))
        else:
            self.pieces.append(lambda self, y: F.relu6(y.clamp(min=-0.5)))

    def add_convolution(self):
        rng, k, u = self.rng, int(self.rng.integers(1, 4)), int(self.rng.integers(1, 8))
        way = rng.integers(4)
        apart = int(rng.integers(1, 3))
        options = [{"stride": int(rng.integers(1, 3)), "padding": int(rng.integers(0, 2))}, {"padding": "same"}]
        options += [{}, {"padding": apart * (k - 1)}]
        conv = self.own(nn.Conv1d(self.n, u, k, bias=bool(rng.random() < 0.8), dilation=apart, **options[way]))
        self.n, before = u, apart * (k - 1)

        def run(self, y):
            y = y.transpose(1, 2)
            z = conv(self, F.pad(y, (before, 0)) if way == 2 else y)
            return (z[:, :, :-before] if way == 3 and k > 1 else z).transpose(1, 2)

        self.pieces.append(run)

    def add_gru(self, last):
        rng, e, u = self.rng, self.n, int(self.rng.integers(2, 8))
        options = {"num_layers": int(rng.integers(1, 3)), "bidirectional": bool(rng.random() < 0.4)}
        rows = bool(rng.random() < 0.6)
        gru = self.own(nn.GRU(e, u, batch_first=rows, bias=bool(rng.random() < 0.8), **options))
        D = 2 if options["bidirectional"] else 1
        self.n = D * u
        if way := rng.integers(6):
            self.register_parameter(name := f"start_{len(self.pieces)}", None)
            shape = (D * options["num_layers"], 1, u)
            if way == 4:
                setattr(self, name, nn.Parameter(torch.rand(shape)))
            starts = {
                1: lambda self, m, y: torch.zeros(shape[0], m, u, dtype=y.dtype).detach(),
                2: lambda self, m, y: y.new_zeros(shape[0], m, u),
                3: lambda self, m, y: torch.zeros((shape[0], m, u), device=y.device).to(y),
                4: lambda self, m, y: getattr(self, name).expand(-1, m, -1).contiguous(),
                5: lambda self, m, y: torch.zeros(m, shape[0], u, dtype=y.dtype).transpose(0, 1).contiguous(),
            }
            start = starts[way]

        def run(self, y, lengths):
            h0 = () if not way else (start(self, y.size(0), y),)
            if lengths is not None:
                y = rnn.pack_padded_sequence(y, lengths, batch_first=True, enforce_sorted=False)
                y, h = gru(self, y, *h0)
                return rnn.pad_packed_sequence(y, batch_first=True)[0], h
            y, h = gru(self, y if rows else y.transpose(0, 1), *h0)
            return (y if rows else y.transpose(0, 1)), h

        run.recurrent = True
        self.pieces.append(run)
        self.directions = D

    def add_reduction(self):
        """Add one vector of all steps, or none; of ragged batches the last states alone."""
        rng, pure = self.rng, getattr(self.pieces[-1], "recurrent", False)
        D, n = self.directions, self.n
        ways = ["none"]
        if pure and D == 1:
            ways.append("state")
        if pure and D == 2:
            ways.append("states")
        if not self.lengths:
            ways += ["last", "mean", "max", *(["attention"] * 2 if pure else [])]
        way = ways[rng.integers(len(ways))]
        self.steps = way == "none"
        if way == "attention":
            hidden = bool(rng.random() < 0.5)
            below = [nn.Linear(n, 4), nn.Tanh()] if hidden else []
            score = self.own(nn.Sequential(*below, nn.Linear(4 if hidden else n, 1)))
            products = (
                lambda a, y: (a * y).sum(1),
                lambda a, y: torch.bmm(a.transpose(1, 2), y).squeeze(1),
                lambda a, y: torch.einsum("bs,bsu->bu", a.squeeze(-1), y),
            )
            product = products[rng.integers(3)]
            self.pieces.append(lambda self, y: product(torch.softmax(score(self, y), dim=1), y))
        elif way in ("state", "states"):
            run = self.pieces.pop()
            take = (lambda h: h[-1]) if way == "state" else (lambda h: torch.cat((h[-2], h[-1]), dim=1))

            def last(self, y, lengths):
                return None, take(run(self, y, lengths)[1])

            last.recurrent = last.ends = True
            self.pieces.append(last)
        else:
            self.pieces.append(REDUCTIONS[way])

    def run_all(self, x, lengths):
        for piece in self.pieces:
            if getattr(piece, "recurrent", False):
                y, h = piece(self, x, lengths)
                x = h if hasattr(piece, "ends") else y
            else:
                x = piece(self, x)
        return x

    def forward(self, x):
        return self.run_all(x, None)


class Ragged(Random):
    def forward(self, x, lengths):
        return self.run_all(x, lengths)


ACTIVATIONS = (
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    lambda y: F.leaky_relu(y, 0.2),
    F.elu,
    lambda y: y.softmax(-1),
    F.gelu,
    F.silu,
    F.softplus,
)
REDUCTIONS = {
    "none": lambda _, y: y,
    "last": lambda _, y: y[:, -1],
    "mean": lambda _, y: y.mean(dim=1),
    "max": lambda _, y: y.max(1)[0],
    "sum": lambda _, y: y.sum(1),
}
FOREIGN = (
    lambda _, y: y + torch.tanh(y),
    lambda _, y: y * y,
    lambda _, y: torch.cat((y, y), -1)[..., : y.shape[-1]],
    lambda _, y: torch.exp(y),
    lambda _, y: F.gelu(y, approximate="tanh"),
    lambda _, y: torch.flip(y, (1,)),
    lambda _, y: torch.roll(y, 1, 1),
    lambda _, y: y / y.norm(),
    lambda _, y: y - y.mean(-1, keepdim=True),
    lambda _, y: torch.softmax(y, 0),
    lambda _, y: y.cumsum(1),
    lambda _, y: y.abs(),
    lambda _, y: y.sort(-1)[0],
    lambda _, y: torch.where(y > 0, y, 0 * y),
    lambda _, y: F.layer_norm(y, y.shape[1:]),
    lambda _, y: y if y.sum() > 0 else -y,
    lambda _, y: y.flatten(1).view_as(y).sin(),
    lambda _, y: y.reshape(-1)[: y.numel()].view(y.shape) * 1.5,
    lambda _, y: y.transpose(0, 1).reshape(y.shape),
    lambda _, y: y * torch.arange(y.shape[1])[:, None].to(y),
    lambda _, y: y.contiguous().clone() * 1.0,  # which is none, and comes in
)


def case(seed):
    """(A module in float64, an X of it or tokens, lengths or None, whether a foreign node is in it)."""
    rng, foreign = np.random.default_rng(seed), bool(seed % 2)
    torch.manual_seed(seed)
    module = Random(rng, foreign)
    if module.lengths:
        module.__class__ = Ragged
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape) + (0.5 if "var" in name else -0.5)
    m, s = int(rng.integers(1, 5)), int(rng.integers(8, 12))
    X = torch.randint(0, 9, (m, s)) if module.tokens else torch.randn(m, s, 5, dtype=torch.float64)
    lengths = torch.tensor(rng.integers(1, s + 1, m)) if module.lengths else None
    return module.double().eval(), X, lengths, foreign


@pytest.mark.parametrize("seed", some(24, range(200)))
def test_right_or_refused(seed):
    module, X, lengths, foreign = case(seed)
    try:
        net = interop.from_torch(module)
    except ValueError as error:
        words = str(error)
        assert foreign, words
        assert words.startswith("source: "), words
        assert "accelerate(module)" in words
        return
    given = X.transpose(1, 2) if module.first else X
    with torch.no_grad():
        due = module(given) if lengths is None else module(given, lengths)
    A = net.predict(X.numpy(), None if lengths is None else lengths.numpy())
    due = due.numpy()
    if lengths is not None and A.ndim == 3:
        due = np.where((np.arange(A.shape[1]) < lengths.numpy()[:, None])[:, :, None], _filled(due, A), 0)
    np.testing.assert_allclose(A, due, rtol=0, atol=1e-10 * max(1, np.abs(due).max()))


def _filled(due, like):
    """The steps of `due` with zeros behind the longest sample, as many as `like` has."""
    return np.pad(due, ((0, 0), (0, like.shape[1] - due.shape[1]), (0, 0)))
