"""`from_torch` and `from_onnx` on modules that branch: PyTorch's numbers, in sizes that no run of the reader has."""

import io
import warnings

import numpy as np
import pytest
from export_cases import made, needs_cc
from helpers import assert_close

import cgru
from cgru import interop

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("onnx", reason="ONNX is not installed: pip install onnx")
from torch_cases import Model  # noqa: E402

nn, cat = torch.nn, torch.cat
F = nn.functional


def gru(e=5, u=6, **options):
    return nn.GRU(e, u, **{"batch_first": True} | options)


def both(e=5, u=6, **options):
    return gru(e, u, bidirectional=True, **options)


def highway(self, x):
    y = self.b(x)[0]
    gate = torch.sigmoid(self.c(x))
    return gate * y + (1 - gate) * x


def changed_in_place(self, x):
    y = self.a(x)[0]
    z = y + self.b(x)[0]
    z += torch.relu(y)
    return F.relu(z, inplace=True) * z


def rnnoise(self, x):
    first = torch.tanh(self.first(x))
    voice = self.voice(first)[0]
    noise = self.noise(cat([first, voice, x], -1))[0]
    denoise = self.denoise(cat([voice, noise, x], -1))[0]
    return cat([torch.sigmoid(self.gains(denoise)), torch.sigmoid(self.speech(voice))], -1)


def rnnoise_module():
    """The architecture of RNNoise (Valin, 2018), with tanh in all its GRUs."""
    return Model(
        rnnoise, first=nn.Linear(42, 24), voice=gru(24, 24), noise=gru(90, 48), denoise=gru(114, 96),
        gains=nn.Linear(96, 22), speech=nn.Linear(24, 1),
    )  # fmt: skip


def of(run, **parts):
    """A module of X (m, s, 5): the GRU `a` to 6 features, `b` of 5, its own parts, and `run`."""
    return lambda: Model(run, **{"a": gru(), "b": gru(5, 5), "c": nn.Linear(5, 5), "d": gru(6, 6)} | parts)


# By what joins the branches: a module of X (m, s, 5).
MODULES = {
    "a residual": of(lambda self, x: x + self.b(x)[0]),
    "a projected residual": of(lambda self, x: self.p(x) + self.d(self.a(x)[0])[0], p=nn.Linear(5, 6)),
    "a stack of residuals": of(lambda self, x: (y := x + self.b(x)[0]) + self.e(y)[0], e=gru(5, 5)),
    "a skip over two layers": of(lambda self, x: (y := self.a(x)[0]) + torch.tanh(self.d(self.d2(y)[0])[0]),
                                 d2=gru(6, 6)),
    "a normed residual": of(lambda self, x: self.norm(x + self.b(self.norm2(x))[0]), norm=nn.LayerNorm(5),
                            norm2=nn.LayerNorm(5)),
    "a difference": of(lambda self, x: self.b(x)[0] - torch.tanh(x)),
    "two GRUs": of(lambda self, x: cat([self.a(x)[0], self.b(x)[0]], -1)),
    "different widths": of(lambda self, x: self.out(cat([self.a(x)[0], self.b(x)[0], self.e(x)[0]], dim=2)),
                           e=gru(5, 2), out=nn.Linear(13, 3)),
    "with the input": of(lambda self, x: self.e(cat([x, self.a(x)[0]], -1))[0], e=gru(11, 4)),
    "the input's columns": of(lambda self, x: cat([self.e(x[..., :2])[0], self.f(x[..., 2:])[0]], -1), e=gru(2, 4),
                              f=gru(3, 4)),
    "the input's columns in turn": of(lambda self, x: self.e(x[..., [4, 0, 2]])[0] + self.c(x)[..., 1:4], e=gru(3, 3)),
    "split": of(lambda self, x: (lambda p, q: self.e(p)[0] * torch.sigmoid(q))(*x.split([3, 2], -1)), e=gru(3, 2)),
    "chunks": of(lambda self, x: (lambda p, q: p * torch.sigmoid(q))(*self.e(self.a(x)[0]).chunk(2, dim=-1)),
                 e=nn.Linear(6, 8)),
    "interleaved": of(lambda self, x: self.e(torch.stack([x, self.b(x)[0]], -1).flatten(2)), e=nn.Linear(10, 3)),
    "a sum of directions": of(lambda self, x: (y := self.e(x)[0])[..., :6] + y[..., 6:], e=both()),
    "a sum of directions by an axis": of(lambda self, x: self.e(x)[0].view(x.size(0), x.size(1), 2, 6).sum(2),
                                         e=both()),
    "a mean of directions": of(lambda self, x: self.e(x)[0].view(x.size(0), x.size(1), 2, 6).mean(2), e=both()),
    "a product with a gate": of(lambda self, x: x * torch.sigmoid(self.b(x)[0])),
    "one gate for all": of(lambda self, x: self.a(x)[0] * torch.sigmoid(self.e(x)), e=nn.Linear(5, 1)),
    "a highway": of(highway),
    "last states of both": of(lambda self, x: self.e(x)[1][-2:].transpose(0, 1).reshape(x.size(0), -1), e=both()),
    "all last states": of(lambda self, x: self.e(x)[1].permute(1, 0, 2).flatten(1), e=both(num_layers=2)),
    "summed last states": of(lambda self, x: self.e(x)[1].sum(0), e=both()),
    "last states and all states": of(lambda self, x: cat([(r := self.e(x))[1][0], r[0].mean(1), r[1][1]], 1), e=both()),
    "last and mean": of(lambda self, x: cat([(y := self.a(x)[0])[:, -1], y.mean(1), y.amax(1)], 1)),
    "the last input": of(lambda self, x: x[:, -1] + self.b(x)[1][-1]),
    "attention beside a mean": of(
        lambda self, x: cat([((y := self.a(x)[0]) * torch.softmax(self.e(y), 1)).sum(1), x.mean(1)], -1),
        e=nn.Linear(6, 1)),
    "a causal convolution": of(
        lambda self, x: self.a(x + torch.relu(self.e(x.transpose(1, 2))[:, :, :-4]).transpose(1, 2))[0],
        e=nn.Conv1d(5, 5, 3, padding=4, dilation=2)),
    "channels first": of(lambda self, x: self.a((z := x.transpose(1, 2)).add(self.e(z)).transpose(1, 2))[0],
                         e=nn.Conv1d(5, 5, 3, padding=1)),
    "changed in place": of(changed_in_place, b=gru(5, 6)),
    "a part that nobody reads": of(lambda self, x: (self.b(x), self.c(x), self.a(x)[0])[2]),
    "the mean of all layers' last states": of(lambda self, x: self.e(x)[1].mean(0), e=gru(num_layers=2)),
    "several GRUs, averaged, squeezed at last": of(
        lambda self, x: self.e(torch.stack([(y := x.transpose(0, 1)), self.f(y)[0], self.g(y)[0]], -1).view(
            x.size(1), x.size(0), 5, 3).mean(3).transpose(0, 1)[:, -1]).squeeze(),
        e=nn.Linear(5, 1), f=nn.GRU(5, 5), g=nn.GRU(5, 5, 2)),
    "attention of dropped scores beside the last step": of(
        lambda self, x: cat([(y := self.a(x)[0])[:, -1], (y * torch.softmax(self.f(torch.tanh(F.dropout(
            self.e(y), 0.1, self.training))), 1)).sum(1)], 1),
        e=nn.Linear(6, 3), f=nn.Linear(3, 1, bias=False)),
    "channels first and last": of(lambda self, x: (y := self.e(x + self.f(x.transpose(1, 2)).transpose(1, 2))[0])[
        ..., :6] + y[..., 6:], e=both(), f=nn.Conv1d(5, 5, 3, padding="same")),
    "RNNoise": rnnoise_module,
}  # fmt: skip
# By what is wrong: a module that is refused.
REFUSED = {
    "steps that differ": of(lambda self, x: (y := self.a(x)[0])[:, 1:] - y[:, :-1]),
    "steps turned": of(lambda self, x: (y := self.a(x)[0]) + y.flip(1)),
    "samples turned": of(lambda self, x: (y := self.a(x)[0]) + y.roll(1, 0)),
    "all steps and the last": of(lambda self, x: cat([(r := self.a(x))[0], r[1][-1][:, None].expand_as(r[0])], -1)),
    "a quotient": of(lambda self, x: x / self.b(x)[0]),
    "of other dtypes": of(lambda self, x: x + self.b(x)[0].double()),
    "a view of what is changed": of(lambda self, x: ((y := self.a(x)[0]), z := y.transpose(0, 1), y.add_(1), z)[3]),
    "what an activation changed": of(lambda self, x: ((y := self.c(x)), z := y[..., :2], y.relu_(), self.e(z)[0])[3],
                                     e=gru(2, 3)),
    "an array to write into": of(lambda self, x: torch.add(x, (y := self.b(x)[0]), out=y)),
    "columns that nothing counts": of(lambda self, x: self.e(x[..., -2:])[0], e=gru(2, 3)),
    "weights twice": of(lambda self, x: self.b(x)[0] + self.b(x)[0]),
    "scores that are read too": of(lambda self, x: cat([((y := self.a(x)[0]) * torch.softmax(
        z := self.e(y), 1)).sum(1), z[:, -1]], -1), e=nn.Linear(6, 1)),
}  # fmt: skip


def drawn(make):
    """A module with drawn parameters, a batch of X and what the module makes of it; sizes depend on the module."""
    module = make().eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = torch.rand(parameter.shape, generator=generator) - 0.5
    rng = np.random.default_rng(sum(parameter.numel() for parameter in module.parameters()))
    e = 42 if hasattr(module, "voice") else 5
    X = rng.standard_normal((*2 * rng.integers(2, 9, 2) + 1, e)).astype(np.float32)
    with torch.no_grad():
        return module, X, module(torch.from_numpy(X.copy())).numpy()


def exported(module, X):
    """The module as the bytes of an ONNX file, for any number of samples and steps."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated; it is the one that needs no other package
        torch.onnx.export(module, (torch.from_numpy(X),), file, dynamo=False, opset_version=17, input_names=["x"],
                          dynamic_axes={"x": {0: "m", 1: "s"}})  # fmt: skip
    return file.getvalue()


@pytest.mark.parametrize("way", ["torch", "onnx"])
@pytest.mark.parametrize("kind", MODULES)
def test_branches(kind, way):
    module, X, due = drawn(MODULES[kind])
    net = interop.from_torch(module) if way == "torch" else interop.from_onnx(exported(module, X))
    A = net.predict(X)
    assert_close(A, due.reshape(A.shape), 1e-5)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(REFUSED[kind]())


def test_lengths_of_branches():
    """Of GRUs that stop at the lengths, with a residual between them; a mean that would not stop there is refused."""
    rnn = nn.utils.rnn

    def packed(gru, x, n):
        y = gru(rnn.pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False))[0]
        return rnn.pad_packed_sequence(y, batch_first=True)[0]

    class Ragged(Model):
        def forward(self, x, n):
            y = x + packed(self.b, x, n)
            return cat([packed(self.a, y, n), y * self.c(y)], -1) if self.run[0] is None else self.run[0](self, x, y, n)

    parts = {"a": gru(), "b": gru(5, 5), "c": nn.Linear(5, 5)}
    module, X, n = Ragged(None, **parts).eval(), torch.randn(4, 7, 5), torch.tensor([3, 7, 1, 5])
    with torch.no_grad():
        due = module(X, n).numpy()
    real = np.arange(7)[:, None] < n.numpy()[:, None, None]
    assert_close(interop.from_torch(module).predict(X.numpy(), n.numpy()), np.where(real, due, 0), 1e-5)
    for run in (
        lambda self, x, y, n: y.mean(1),
        lambda self, x, y, n: x.mean(1) + packed(self.b, y, n)[torch.arange(len(n)), n - 1],
        lambda self, x, y, n: self.a(x)[1][-1],
    ):
        with pytest.raises(ValueError, match=r"^source: "):
            interop.from_torch(Ragged(run, **parts).eval())


@needs_cc
def test_rnnoise_runs_everywhere(tmp_path):
    """A step at a time, as C, and in int8."""
    module, X, due = drawn(rnnoise_module)
    net = interop.from_torch(module)
    stream, exported = cgru.Stream(net), made(tmp_path, net, "-O2")
    for x, y in zip(X[0], due[0], strict=True):
        assert_close(stream.step(x), y, 1e-5)
        assert_close(exported.step(x), y, 1e-5)
    small = cgru.quantize(net)
    assert cgru.quantization.output_noise(net, small, X)["snr"] > 20
