"""What people write around a GRU in PyTorch: channels first, convolutions, norms, lengths and states beside x."""

import re

import numpy as np
import pytest

import cgru
from cgru import interop

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
from torch_cases import Model  # noqa: E402

nn = torch.nn
F = nn.functional
rnn = nn.utils.rnn


class Second(Model):
    def forward(self, x, second):
        return self.run[0](self, x, second)


class Third(Model):
    def forward(self, x, lengths, h0):
        return self.run[0](self, x, lengths, h0)


def gru(e=5, u=6, **options):
    return nn.GRU(e, u, **{"batch_first": True} | options)


def random(module):
    """The module in float64 and `eval`, with no parameter and no statistic at its first value."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator) * 0.8 - 0.4
            tensor.data = drawn + 1 if "var" in name else drawn
    return module.double().eval()


def check(module, shape, turned=None):
    """That the network predicts what the module does for X of this shape; `turned` makes (m, s, e) of it."""
    module = random(module)
    X = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    net = interop.from_torch(module)
    with torch.no_grad():
        due = module(X)
    due = due[0] if isinstance(due, tuple) else due
    X = X if X.ndim == 3 else X[:, :, None]
    A = net.predict((X if turned is None else X.transpose(*turned)).numpy())
    np.testing.assert_allclose(A, due.reshape(A.shape).numpy(), rtol=0, atol=1e-12)
    return net


def rows(self, x):
    y, _ = self.gru(x)
    y = self.fc(y.contiguous().view(-1, 6))
    return y.view(x.size(0), x.size(1), -1)


def rows_by_sizes(self, x):
    b, s, _ = x.shape
    y = self.fc(self.gru(x)[0].reshape(b * s, 6))
    return y.view(b, s, 3)


def rows_unflattened(self, x):
    return self.fc(self.gru(x)[0].flatten(0, 1)).unflatten(0, (x.size(0), x.size(1)))


def rows_below(self, x):
    y = self.low(x.reshape(-1, x.size(2))).relu().view(x.shape[0], -1, 7)
    return self.gru(y)[0]


def named_zeros(self, x):
    h0 = torch.zeros(self.gru.num_layers, x.size(0), 6, device=x.device, dtype=x.dtype).requires_grad_()
    return self.gru(x, h0.detach())[0]


def zeros_first(self, x):
    return self.gru(x, torch.zeros(x.size(0), 6, dtype=x.dtype).unsqueeze(0))[0]


def zeros_of_a_weight(self, x):
    weight = next(self.parameters()).data
    return self.gru(x, weight.new(1, x.size(0), 6).zero_())[0]


def zeros_as_variable(self, x):
    return self.gru(x, torch.autograd.Variable(torch.zeros((1, x.shape[0], 6), dtype=x.dtype)))[0]


def new_zeros(self, x):
    return self.gru(x, next(self.parameters()).new_zeros(1, x.size(0), 6))[0]


def learned(self, x):
    return self.gru(x, self.h0.expand(-1, x.size(0), -1).contiguous())[0]


def learned_flat(self, x):
    return self.gru(x, self.h0.unsqueeze(1).repeat(1, x.size(0), 1))[0]


def normed(self, x):
    return self.fc(self.norm(self.gru(x)[0]))


def batch_normed(self, x):
    return self.fc(self.norm(self.gru(x)[0].transpose(1, 2)).transpose(1, 2))


def conv(self, x):
    return self.gru(torch.relu(self.conv(x.transpose(1, 2))).permute(0, 2, 1))[0]


def conv_stack(self, x):
    y = F.relu(self.bn(self.conv(x)))
    return self.fc(self.gru(self.conv2(y).transpose(1, 2))[1][-1])


def causal(self, x):
    return self.gru(self.conv(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2))[0]


def chomped(self, x):
    return self.gru(torch.relu(self.conv(x.transpose(1, 2)))[:, :, :-2].transpose(1, 2))[0]


def chomped_to_size(self, x):
    y = self.conv(x.transpose(1, 2))[:, :, : x.size(1)]
    return self.gru(y.transpose(1, 2))[0].reshape(x.size(0), x.size(1), -1)


def vector_attention(self, x):
    y = self.gru(x)[0]
    a = F.softmax(torch.matmul(y, self.w), dim=1).unsqueeze(-1)
    return self.fc(torch.sum(y * a, 1))


def scaled_attention(self, x):
    y = self.gru(x)[0]
    a = torch.softmax(self.score(y) / 6**0.5, dim=1)
    return self.fc(torch.bmm(a.transpose(1, 2), y).squeeze(1))


def flat_attention(self, x):
    y = self.gru(x)[0]
    score = self.score(y.reshape(-1, 6)).view(x.size(0), -1)
    return self.fc((torch.softmax(score, 1).unsqueeze(2) * y).sum(1))


def hidden_attention(self, x):
    y = self.gru(x)[0]
    a = torch.softmax(torch.tanh(y @ self.W + self.b) @ self.v, dim=1)
    return self.fc((a * y).sum(dim=1))


linear = nn.Linear
ACCEPTED = {
    "rows": (lambda: Model(rows, gru=gru(), fc=linear(6, 3)), (3, 4, 5)),
    "rows by sizes": (lambda: Model(rows_by_sizes, gru=gru(), fc=linear(6, 3)), (3, 4, 5)),
    "rows unflattened": (lambda: Model(rows_unflattened, gru=gru(), fc=linear(6, 3)), (3, 4, 5)),
    "rows below": (lambda: Model(rows_below, gru=gru(7), low=linear(5, 7)), (3, 4, 5)),
    "rows out": (lambda: Model(lambda self, x: self.fc(self.gru(x)[0].reshape(-1, 6)), gru=gru(), fc=linear(6, 3)),
                 (3, 4, 5)),
    "a last state as a row": (lambda: Model(lambda self, x: self.fc(self.gru(x)[1].view(-1, 6)), gru=gru(),
                                            fc=linear(6, 3)), (3, 4, 5)),
    "last states side by side": (
        lambda: Model(lambda self, x: self.fc(self.gru(x)[1].transpose(0, 1).reshape(x.size(0), -1)),
                      gru=gru(bidirectional=True), fc=linear(12, 3)), (3, 4, 5)),
    "zeros": (lambda: Model(named_zeros, gru=gru(num_layers=2)), (3, 4, 5)),
    "zeros, samples first": (lambda: Model(zeros_first, gru=gru()), (3, 4, 5)),
    "zeros of a weight": (lambda: Model(zeros_of_a_weight, gru=gru()), (3, 4, 5)),
    "zeros as a variable": (lambda: Model(zeros_as_variable, gru=gru()), (3, 4, 5)),
    "new zeros": (lambda: Model(new_zeros, gru=gru()), (3, 4, 5)),
    "a learned start": (lambda: Model(learned, gru=gru(), h0=nn.Parameter(torch.zeros(1, 1, 6))), (3, 4, 5)),
    "learned starts": (lambda: Model(learned_flat, gru=gru(num_layers=2, bidirectional=True),
                                     h0=nn.Parameter(torch.zeros(4, 6))), (3, 4, 5)),
    "a layer norm": (lambda: Model(normed, gru=gru(), norm=nn.LayerNorm(6), fc=linear(6, 3)), (3, 4, 5)),
    "a layer norm without weights": (
        lambda: Model(normed, gru=gru(), norm=nn.LayerNorm(6, 0.01, elementwise_affine=False), fc=linear(6, 3)),
        (3, 4, 5)),
    "a batch norm": (lambda: Model(batch_normed, gru=gru(), norm=nn.BatchNorm1d(6), fc=linear(6, 3)), (3, 4, 5)),
    "a batch norm without weights": (
        lambda: Model(batch_normed, gru=gru(), norm=nn.BatchNorm1d(6, affine=False), fc=linear(6, 3)), (3, 4, 5)),
    "a batch norm of rows": (
        lambda: Model(lambda self, x: self.fc(self.norm(self.gru(x)[0][:, -1])), gru=gru(), norm=nn.BatchNorm1d(6),
                      fc=linear(6, 3)), (3, 4, 5)),
    "a convolution": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 3), gru=gru(7)), (3, 9, 5)),
    "a strided one": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 3, stride=2, padding=1), gru=gru(7)), (3, 9, 5)),
    "a padded one": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 5, padding="same", bias=False), gru=gru(7)), (3, 9, 5)),
    "a dilated one": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 3, 2, padding=2, dilation=3), gru=gru(7)), (3, 19, 5)),
    "a dilated padded one": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 4, padding="same", dilation=2), gru=gru(7)),
                             (3, 9, 5)),
    "a dilated chomped one": (lambda: Model(chomped, conv=nn.Conv1d(5, 7, 2, padding=2, dilation=2), gru=gru(7)),
                              (3, 9, 5)),
    "a valid one": (lambda: Model(conv, conv=nn.Conv1d(5, 7, 1, padding="valid"), gru=gru(7)), (3, 9, 5)),
    "a causal one": (lambda: Model(causal, conv=nn.Conv1d(5, 7, 3), gru=gru(7)), (3, 9, 5)),
    "a causal one by a module": (
        lambda: Model(lambda self, x: self.gru(self.front(x.transpose(1, 2)).transpose(1, 2))[0],
                      front=nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(5, 7, 3)), gru=gru(7)), (3, 9, 5)),
    "a chomped one": (lambda: Model(chomped, conv=nn.Conv1d(5, 7, 3, padding=2), gru=gru(7)), (3, 9, 5)),
    "a chomped one by sizes": (lambda: Model(chomped_to_size, conv=nn.Conv1d(5, 7, 3, padding=2), gru=gru(7)),
                               (3, 9, 5)),
    "a convolution of states": (
        lambda: Model(lambda self, x: self.conv(self.gru(x)[0].transpose(1, 2)).transpose(1, 2).mean(1), gru=gru(),
                      conv=nn.Conv1d(6, 4, 3)), (3, 9, 5)),
    "attention by a vector": (lambda: Model(vector_attention, gru=gru(), w=nn.Parameter(torch.zeros(6)),
                                            fc=linear(6, 3)), (3, 4, 5)),
    "attention by a column": (
        lambda: Model(lambda self, x: scaled_attention(self, x), gru=gru(), score=linear(6, 1), fc=linear(6, 3)),
        (3, 4, 5)),
    "attention of rows": (lambda: Model(flat_attention, gru=gru(), score=linear(6, 1), fc=linear(6, 3)), (3, 4, 5)),
    "attention of parameters": (
        lambda: Model(hidden_attention, gru=gru(), W=nn.Parameter(torch.zeros(6, 7)), b=nn.Parameter(torch.zeros(7)),
                      v=nn.Parameter(torch.zeros(7, 1)), fc=linear(6, 3)), (3, 4, 5)),
    "a product with a parameter": (lambda: Model(lambda self, x: self.gru(x)[0] @ self.W, gru=gru(),
                                                 W=nn.Parameter(torch.zeros(6, 3))), (3, 4, 5)),
    "a linear function": (
        lambda: Model(lambda self, x: F.linear(self.gru(x)[0], self.W, self.b), gru=gru(),
                      W=nn.Parameter(torch.zeros(3, 6)), b=nn.Parameter(torch.zeros(3))), (3, 4, 5)),
    "a factor and a shift": (
        lambda: Model(lambda self, x: self.gru(x)[0] * self.g + self.b, gru=gru(), g=nn.Parameter(torch.zeros(6)),
                      b=nn.Parameter(torch.zeros(6))), (3, 4, 5)),
    "one feature": (lambda: Model(lambda self, x: self.fc(self.gru(x.unsqueeze(-1))[0][:, -1]).squeeze(-1), gru=gru(1),
                                  fc=linear(6, 1)), (3, 4)),
    "one output of rows": (
        lambda: Model(lambda self, x: self.fc(self.gru(x)[0].reshape(-1, 6)).view(x.size(0), -1)[:, -1], gru=gru(),
                      fc=linear(6, 1)), (3, 4, 5)),
    "scaled first": (lambda: Model(lambda self, x: self.gru(torch.tanh(x * 2 + 1))[0], gru=gru()), (3, 4, 5)),
}  # fmt: skip
CHANNELS = {
    "channels first": lambda: Model(lambda self, x: self.gru(x.transpose(1, 2))[0], gru=gru()),
    "channels first, tanh": lambda: Model(lambda self, x: self.gru(torch.tanh(x / 2).permute(0, 2, 1))[0], gru=gru()),
    "channels first, a stack": lambda: Model(
        conv_stack, conv=nn.Conv1d(5, 7, 3, 2), bn=nn.BatchNorm1d(7), conv2=nn.Conv1d(7, 8, 2), gru=gru(8),
        fc=linear(6, 3)),
    "channels first, turned": lambda: Model(lambda self, x: self.gru(x.permute(2, 0, 1))[0].transpose(0, 1),
                                            gru=nn.GRU(5, 6)),
    "channels first, normed": lambda: Model(
        lambda self, x: self.gru(self.bn(x).transpose(1, 2))[0], bn=nn.BatchNorm1d(5), gru=gru()),
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_the_numbers_of_pytorch(kind):
    make, shape = ACCEPTED[kind]
    check(make(), shape)


@pytest.mark.parametrize("kind", CHANNELS)
def test_channels_first(kind):
    check(CHANNELS[kind](), (3, 5, 9), (1, 2))


# --- inputs beside x ---


def packed(self, x, lengths):
    x = rnn.pack_padded_sequence(self.fc(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
    y, _ = self.gru(x)
    y, lengths = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=None)
    return self.out(y)


def packed_last(self, x, lengths):
    _, h = self.gru(rnn.pack_padded_sequence(x, lengths.to("cpu").long(), True, False))
    return self.out(torch.cat((h[-2], h[-1]), 1))


def packed_twice(self, x, lengths):
    y = self.gru(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
    y = rnn.pad_packed_sequence(y)[0].relu()
    y = self.second(rnn.pack_padded_sequence(y, lengths, enforce_sorted=False))[0]
    return rnn.pad_packed_sequence(y, batch_first=True)[0]


def packed_through(self, x, lengths):
    y, _ = self.gru(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return rnn.pad_packed_sequence(self.second(y)[0], batch_first=True)[0]


def own_last(self, x, lengths):
    y = self.gru(self.fc(x))[0]
    return self.out(y[torch.arange(x.size(0)), lengths - 1])


def own_last_classes(self, x, lengths):
    return torch.softmax(own_last(self, x, lengths), 1)


def own_last_packed(self, x, lengths):
    y = self.gru(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
    y = torch.tanh(rnn.pad_packed_sequence(y, batch_first=True)[0])
    return self.out(y[torch.arange(y.size(0)), lengths - 1])


LENGTHS = {
    "each its last step": lambda: Second(own_last, fc=linear(5, 5), gru=gru(num_layers=2), out=linear(6, 3)),
    "each its last step, classes": lambda: Second(own_last_classes, fc=linear(5, 5), gru=gru(), out=linear(6, 3)),
    "each its last step, packed": lambda: Second(own_last_packed, gru=gru(bidirectional=True), out=linear(12, 3)),
    "every step": lambda: Second(packed, fc=linear(5, 5), gru=gru(bidirectional=True), out=linear(12, 3)),
    "the last states": lambda: Second(packed_last, gru=gru(num_layers=2, bidirectional=True), out=linear(12, 3)),
    "twice": lambda: Second(packed_twice, gru=gru(), second=nn.GRU(6, 4, bidirectional=True)),
    "through": lambda: Second(packed_through, gru=gru(), second=gru(6, 4, bidirectional=True)),
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_lengths_beside_x(kind):
    module, lengths = random(LENGTHS[kind]()), torch.tensor([2, 5, 1, 4])
    X = torch.randn(4, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        due = module(X, lengths).numpy()
    A = interop.from_torch(module).predict(X.numpy(), lengths.numpy())
    if A.ndim == 3:
        real = (np.arange(5) < lengths.numpy()[:, None])[:, :, None]
        assert not A[np.broadcast_to(~real, A.shape)].any()
        due = np.where(real, due, 0)
    np.testing.assert_allclose(A, due, rtol=0, atol=1e-12)


def test_initial_states_beside_x():
    parts = {"gru": gru(num_layers=2, bidirectional=True), "fc": linear(12, 3)}
    module = random(Second(lambda self, x, h: (self.fc(self.gru(x, h.contiguous())[0]), self.gru(x, h)[1]), **parts))
    with pytest.raises(ValueError, match=r"^source: GRU 'gru' "):
        interop.from_torch(module)

    def step(self, x, h):
        y, h = self.gru(x, h)
        return self.fc(y), h

    module = random(Second(step, **parts))
    X, h0 = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(4, 3, 6, dtype=torch.float64)
    with torch.no_grad():
        due, states = module(X, h0)
    A, last = interop.from_torch(module).predict(X.numpy(), h0=h0.numpy(), return_state=True)
    np.testing.assert_allclose(A, due.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(last, states.numpy(), rtol=0, atol=1e-12)

    def both(self, x, lengths, h0):
        _, h = self.gru(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), h0)
        return self.fc(torch.cat([h[-2], h[-1]], dim=1))

    module, lengths = random(Third(both, **parts)), torch.tensor([4, 1, 2])
    with torch.no_grad():
        due = module(X, lengths, h0)
    A = interop.from_torch(module).predict(X.numpy(), lengths.numpy(), h0.numpy())
    np.testing.assert_allclose(A, due.numpy(), rtol=0, atol=1e-12)


def test_an_input_that_is_not_used():
    module = random(Second(lambda self, x, unused: self.gru(x)[0], gru=gru()))
    X = torch.randn(3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(interop.from_torch(module).predict(X.numpy()), module(X, None).numpy(), atol=1e-12)


def test_learned_states_are_trained_as_the_weights_are():
    module = random(ACCEPTED["learned starts"][0]())
    net = interop.from_torch(module)
    for number, layer in enumerate(net.layers):
        for d, cell in enumerate(layer.cells):
            assert cell.learn_h0
            np.testing.assert_array_equal(cell.p["h0"], module.h0.detach().numpy()[None, 2 * number + d])
    module.h0.requires_grad_(False)
    with pytest.raises(ValueError, match="expected initial states that are trained exactly if"):
        interop.from_torch(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    assert not any(layer.trainable for layer in interop.from_torch(module).layers)


def test_what_is_trained():
    module = Model(batch_normed, gru=gru(), norm=nn.BatchNorm1d(6), fc=linear(6, 3)).eval()
    module.norm.requires_grad_(False)
    assert [layer.trainable for layer in interop.from_torch(module).layers] == [True, False, True]
    module = Model(normed, gru=gru(), norm=nn.LayerNorm(6, elementwise_affine=False), fc=linear(6, 3))
    assert [layer.trainable for layer in interop.from_torch(module).layers] == [True, False, True]
    module = Model(ACCEPTED["a factor and a shift"][0]().run[0], gru=gru(), g=nn.Parameter(torch.ones(6)),
                   b=nn.Parameter(torch.zeros(6), requires_grad=False))  # fmt: skip
    assert [layer.trainable for layer in interop.from_torch(module).layers] == [True, True, False]


# --- what is refused ---


def autocast(self, x):
    with torch.autocast("cpu"):
        return self.gru(x)[0]


def over_lengths(last):
    def forward(self, x, lengths):
        y = self.gru(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
        return last(self, rnn.pad_packed_sequence(y, batch_first=True)[0])

    return lambda: Second(forward, gru=gru(), second=gru(6), score=linear(6, 1), conv=nn.Conv1d(6, 6, 2))


def convolved(**options):
    return lambda: Model(conv, conv=nn.Conv1d(5, 10, 3, **options), gru=gru(10))


def of(last, **parts):
    return lambda: Model(lambda self, x: last(self, x), **{"gru": gru()} | parts)


PADDING = r"padding would count, .*: take the last state, h\[-1\]"
REFUSED = {
    "the last step of both ways": (lambda: Second(own_last, fc=linear(5, 5), gru=gru(bidirectional=True), out=gru())),
    "the last step but one": (
        lambda: Second(lambda self, x, n: self.gru(x)[0][torch.arange(x.size(0)), n - 2], gru=gru())),
    "the step at the length": (
        lambda: Second(lambda self, x, n: self.gru(x)[0][torch.arange(x.size(0)), n], gru=gru())),
    "the last step by steps": (
        lambda: Second(lambda self, x, n: self.gru(x)[0][torch.arange(x.size(1)), n - 1], gru=gru())),
    "lengths less one": (
        lambda: Second(lambda self, x, n: self.gru(rnn.pack_padded_sequence(x, n - 1))[1][-1], gru=gru())),
    "stacked arrays": (of(lambda self, x: torch.stack([self.gru(x)[0], x]))),
    "batch norm in training": (lambda: Model(batch_normed, gru=gru(), norm=nn.BatchNorm1d(6), fc=linear(6, 3)).train()),
    "batch norm without statistics": (
        lambda: Model(batch_normed, gru=gru(), norm=nn.BatchNorm1d(6, track_running_stats=False), fc=linear(6, 3))),
    "batch norm of steps": (of(lambda self, x: self.norm(self.gru(x)[0]), norm=nn.BatchNorm1d(4))),
    "layer norm of steps and features": (of(lambda self, x: self.norm(self.gru(x)[0]), norm=nn.LayerNorm((4, 6)))),
    "layer norm of steps": (of(lambda self, x: self.norm(self.gru(x)[0].transpose(1, 2)), norm=nn.LayerNorm(4))),
    "groups": (convolved(groups=5)),
    "reflected steps": (convolved(padding=1, padding_mode="reflect")),
    "a convolution over features": (
        lambda: Model(lambda self, x: self.conv(self.gru(x)[0]), gru=gru(), conv=nn.Conv1d(4, 4, 3))),
    "padding alone": (lambda: Model(lambda self, x: self.gru(F.pad(x, (1, 0)))[0], gru=gru(6))),
    "padding with ones": (lambda: Model(lambda self, x: self.gru(F.pad(x, (1, 0), value=1.0))[0], gru=gru(6))),
    "padding of steps and features": (lambda: Model(lambda self, x: self.gru(F.pad(x, (0, 0, 1, 0)))[0], gru=gru())),
    "too much taken off": (
        lambda: Model(lambda self, x: self.gru(self.conv(x.transpose(1, 2))[:, :, :-3].transpose(1, 2))[0],
                      conv=nn.Conv1d(5, 7, 3, padding=2), gru=gru(7))),
    "one factor that is trained": (of(lambda self, x: self.gru(x)[0] * self.g, g=nn.Parameter(torch.ones(1)))),
    "a start for two layers that is trained": (
        lambda: Model(lambda self, x: self.gru(x, self.h.expand(2, x.size(0), -1))[0], gru=gru(num_layers=2),
                      h=nn.Parameter(torch.zeros(1, 1, 6)))),
    "a start that is not spread": (
        lambda: Model(lambda self, x: self.gru(x, self.h)[0], gru=gru(), h=nn.Parameter(torch.zeros(1, 1, 6)))),
    "a start that is spread over steps": (
        lambda: Model(lambda self, x: self.gru(x, self.h.expand(-1, x.size(1), -1))[0], gru=gru(),
                      h=nn.Parameter(torch.zeros(1, 1, 6)))),
    "a start that is spread twice": (
        lambda: Model(lambda self, x: self.gru(x, self.h.expand(x.size(1), x.size(0), -1))[0], gru=gru(),
                      h=nn.Parameter(torch.zeros(1, 1, 6)))),
    "a start of numbers of samples": (
        lambda: Model(lambda self, x: self.gru(x, self.h.expand(-1, x.size(0) * 2, -1))[0], gru=gru(),
                      h=nn.Parameter(torch.zeros(1, 1, 6)))),
    "a start in another dtype": (
        lambda: Model(lambda self, x: self.gru(x, self.h.expand(-1, x.size(0), -1))[0], gru=gru(),
                      h=nn.Parameter(torch.zeros(1, 1, 6, dtype=torch.float64)))),
    "a start in a sum": (
        lambda: Model(lambda self, x: self.gru(x)[0] + self.h.expand(x.size(0), 6), gru=gru(),
                      h=nn.Parameter(torch.zeros(1, 6)))),
    "a part of two axes": (of(lambda self, x: self.gru(x)[0].flatten(0, 1)[-1])),
    "a tensor of three axes": (of(lambda self, x: self.gru(x)[0] @ self.W, W=nn.Parameter(torch.ones(1, 6, 6)))),
    "weights that do not fit": (of(lambda self, x: self.fc(self.gru(x)[0]), fc=linear(5, 3))),
    "weights of numbers": (of(lambda self, x: F.linear(self.gru(x)[0], self.gru(x)[0]))),
    "one parameter twice": (of(lambda self, x: self.gru(x * self.g)[0][:, -1] * self.g, g=nn.Parameter(torch.ones(5)),
                               gru=gru(5, 5))),
    "a start that is h0 of nothing": (lambda: Second(lambda self, x, h: self.gru(x, h)[0] + h, gru=gru())),
    "one input as both": (
        lambda: Second(lambda self, x, n: self.gru(rnn.pack_padded_sequence(x, n, enforce_sorted=False), n)[1][-1],
                       gru=gru())),
    "packed again by others": (
        lambda: Third(lambda self, x, n, k: self.b(rnn.pack_padded_sequence(rnn.pad_packed_sequence(self.gru(
            rnn.pack_padded_sequence(x, n))[0])[0], k))[1][-1], gru=gru(), b=gru(6))),
    "packed above a GRU": (
        lambda: Second(lambda self, x, n: self.b(rnn.pack_padded_sequence(self.gru(x)[0], n))[1][-1], gru=gru(),
                       b=gru(6))),
    "packed above a convolution": (
        lambda: Second(lambda self, x, n: self.gru(rnn.pack_padded_sequence(self.conv(x).transpose(1, 2), n))[1][-1],
                       gru=gru(), conv=nn.Conv1d(5, 5, 3))),
    "packed out": (lambda: Second(lambda self, x, n: self.gru(rnn.pack_padded_sequence(x, n))[0], gru=gru())),
    "padding that is not zero": (
        lambda: Second(lambda self, x, n: rnn.pad_packed_sequence(self.gru(rnn.pack_padded_sequence(x, n))[0],
                                                                  padding_value=1.0)[0], gru=gru())),
    "the last step over padding": (over_lengths(lambda self, y: y[:, -1])),
    "a mean over padding": (over_lengths(lambda self, y: y.mean(1))),
    "attention over padding": (over_lengths(lambda self, y: (torch.softmax(self.score(y), 1) * y).sum(1))),
    "a GRU over padding": (over_lengths(lambda self, y: self.second(y)[0])),
    "a convolution over padding": (over_lengths(lambda self, y: self.conv(y.transpose(1, 2)))),
    "lengths as numbers": (lambda: Second(lambda self, x, n: self.gru(x)[0] * n, gru=gru())),
    "lengths made of x": (of(lambda self, x: self.gru(rnn.pack_padded_sequence(x, x.sum((1, 2))))[1])),
    "noise to begin with": (of(lambda self, x: self.gru(x, torch.randn(x.size(0), 6)[None])[0])),
    "ones to begin with": (of(lambda self, x: self.gru(x, torch.ones(1, x.size(0), 6))[0])),
    "no numbers to begin with": (of(lambda self, x: self.gru(x, torch.empty(1, x.size(0), 6))[0])),
    "an h0 of several GRUs": (
        lambda: Second(lambda self, x, h: self.b(self.gru(x, h)[0])[0], gru=gru(), b=gru(6))),
    "an h0 as an array": (lambda: Second(lambda self, x, h: self.gru(h)[0], gru=gru())),
    "layers below that are cut off": (of(lambda self, x: self.gru(self.fc(x).detach())[0], fc=linear(5, 5))),
    "steps cut": (of(lambda self, x: self.gru(x)[0].view(x.size(0), 2, -1, 6))),
    "another shape": (of(lambda self, x: self.gru(x)[0].view(x.size(0), x.size(1) // 2, -1))),
    "len": (of(lambda self, x: self.gru(x, torch.zeros(1, len(x), 6))[0])),
    "another result for more steps": (of(lambda self, x: self.gru(x if x.size(1) < 200 else -x)[0])),
    "another result for 5 samples": (of(lambda self, x: self.gru(-x if x.shape[0] == 5 else x)[0])),
    "another result for many numbers": (of(lambda self, x: self.gru(-x if x.numel() > 10**6 else x)[0])),
    "another result for long samples": (
        lambda: Second(lambda self, x, n: self.gru(-x if n.max() > 500 else x)[0], gru=gru())),
    "a cut of long samples": (of(lambda self, x: self.gru(x[:, torch.arange(x.size(1)) < 1000])[0])),
    "the last of every other step": (of(lambda self, x: self.gru(x)[0][:, ::2][:, -1])),
    "the last of every eleventh step": (of(lambda self, x: self.gru(x)[0][:, ::11][:, -1])),
    "autocast": (of(autocast)),
    "a named input": (lambda: Named()),
    "max pooling": (of(lambda self, x: self.pool(self.gru(x)[0]), pool=nn.MaxPool1d(2))),
}  # fmt: skip


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = gru()

    def forward(self, x, *, lengths):
        return self.gru(x)[0]


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name_and_line(kind):
    module = REFUSED[kind]()
    with pytest.raises(ValueError, match=r"^source: ") as caught:
        interop.from_torch(module if "training" in kind else module.eval())
    assert str(caught.value).endswith("; as it is the module runs after cgru.torch.accelerate(module), its GRU here")
    if kind not in ("a named input", "batch norm in training") and "source: its output" not in str(caught.value):
        assert re.search(rf" \({re.escape(__file__)}:\d+\)", str(caught.value))


def test_a_line_is_that_of_the_user():
    module = Model(autocast, gru=gru())
    line = autocast.__code__.co_firstlineno + 2
    with pytest.raises(ValueError, match=rf" \({re.escape(__file__)}:{line}\) cannot"):
        interop.from_torch(module)
    with pytest.raises(ValueError, match=r"^source: LSTM '1' cannot be converted: this function is not"):
        interop.from_torch(nn.Sequential(Model(lambda self, x: self.gru(x)[0], gru=gru()), nn.LSTM(6, 6)))
    with pytest.raises(ValueError, match=r"expected a torch.nn.GRU in it, got none$"):
        interop.from_torch(nn.Sequential(linear(5, 5)))


def test_pytorch_is_left_as_it_was():
    """Also by modules that raise: hooks, flags, and the parameters and buffers of the module itself."""
    hooks = nn.modules.module
    module = REFUSED["autocast"]()
    old = dict(module.named_parameters())
    with pytest.raises(ValueError, match=r"^source: "):
        interop.from_torch(module)
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks
    assert not torch.are_deterministic_algorithms_enabled()
    assert all(value is old[name] for name, value in module.named_parameters())


def test_it_is_a_whole_network(tmp_path):
    """Trained on, saved, a step at a time, as C."""
    net = check(CHANNELS["channels first, a stack"](), (3, 5, 9), (1, 2))
    kinds = [cgru.Frames, cgru.Dense, cgru.Scale, cgru.Activation, cgru.Frames, cgru.Dense, cgru.GRU, cgru.Dense]
    assert [type(layer) for layer in net.layers] == kinds
    net.save(tmp_path / "net.npz")
    X = np.random.default_rng(0).standard_normal((3, 9, 5))
    np.testing.assert_array_equal(cgru.load(tmp_path / "net.npz").predict(X), net.predict(X))
    cgru.export_c(net, tmp_path / "net.c")
    net.fit(X, np.zeros((3, 3)), epochs=1)
