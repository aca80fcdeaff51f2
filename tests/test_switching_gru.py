"""SwitchingGRU: against the equations in PyTorch, in compiled fits of every size, streams and C; what it refuses."""

import numpy as np
import pytest
from helpers import TOLERANCE, assert_all_close, assert_all_same, assert_close, check_slopes, refuses

import cgru
from cgru import reference
from cgru.network.training.compiled.engine import compiles

SIZES = [(1, 7, 1, 4), (9, 5, 5, 4), (17, 3, 7, 1), (33, 2, 17, 11), (70, 4, 2, 3), (3, 9, 33, 2), (40, 40, 3, 4)]
DTYPES = [np.float64, np.float32]


def random(u, K, seed=0, **options):
    """A layer whose parameters are all random."""
    layer = cgru.SwitchingGRU(u, K, rng=seed, **options)
    layer.make(np.zeros((1, 1), int))
    for value in layer.p.values():
        value[...] = layer.np_rng.standard_normal(value.shape) * 0.7 / np.sqrt(u)
    return layer


def tokens(m, s, K, seed=1):
    """Tokens, and lengths past which they are none of the K."""
    rng = np.random.default_rng(seed)
    X, lengths = rng.integers(0, K, (m, s)), rng.integers(1, s + 1, m)
    X[np.arange(s) >= lengths[:, None]] = -5
    return X, lengths


def network(u, K, dtype=np.float64, above=(), sequences=True, **options):
    head = cgru.Dense(3, "softmax")
    return cgru.Network([cgru.SwitchingGRU(u, K, sequences=sequences), *above, head], seed=1, dtype=dtype, **options)


# --- the layer ---


@pytest.mark.parametrize("ragged", [False, True])
def test_the_reference_has_the_slopes_of_central_differences(ragged):
    X, lengths = tokens(5, 7, 4)
    X, lengths, rng = np.maximum(X, 0), lengths if ragged else None, np.random.default_rng(2)
    p, h0, dA = random(3, 4).p, rng.standard_normal((5, 3)), rng.standard_normal((5, 7, 3))
    fc = reference.switching_forward(p, X, h0, lengths)
    bc = reference.switching_backward(p, fc, dA, lengths)
    g = reference.switching_gradients(p, fc, bc)
    pairs = [(h0, bc["dh"][:, 0]), *((value, g["d" + name]) for name, value in p.items())]
    check_slopes(lambda: (reference.switching_forward(p, X, h0, lengths)["h"] * dA).sum(), pairs, rng)
    each = reference.switching_gradients(p, fc, bc, each=True)
    assert_all_close({name: value.sum(axis=0) for name, value in each.items()}, g, atol=1e-14)


@pytest.mark.parametrize("sequences", [True, False])
def test_the_papers_equations_in_torch(sequences):
    """From the arrays in the authors' layout, with biases of their own for each product, to all gradients."""
    torch = pytest.importorskip("torch", reason="no torch")
    u, K, X, lengths, rng = 3, 4, *tokens(6, 8, 4), np.random.default_rng(3)
    arrays = [rng.standard_normal(shape) for shape in ((3 * u, u, K), (3 * u, K), (3 * u, K))]
    W, b_i, b_h = tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    layer = cgru.SwitchingGRU.from_arrays(*arrays, sequences=sequences)
    states = []
    for sample, length in zip(X, lengths, strict=True):
        h = torch.zeros(u, dtype=torch.float64)
        states.append([])
        for k in sample[:length]:
            a, b = b_i[:, k].split(u), (W[:, :, k] @ h + b_h[:, k]).split(u)
            r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            h = z * h + (1 - z) * torch.tanh(a[2] + r * b[2])
            states[-1].append(h)
    A = layer.forward(X, lengths)
    dA = rng.standard_normal(A.shape)
    layer.backward(dA)
    layer.compute_gradients()
    loss = 0
    for i, of_sample in enumerate(states):
        for t, h in enumerate(of_sample if sequences else of_sample[-1:]):
            assert_close(A[i, t] if sequences else A[i], h.detach(), 1e-13)
            loss = loss + (h * torch.tensor(dA[i, t] if sequences else dA[i])).sum()
    loss.backward()
    dV, dU, db = (tensor.grad.numpy().T for tensor in tensors)
    assert_close(layer.g, {"dV": dV, "dU": dU, "db": db[:, 2 * u :]}, 1e-13)
    assert_close(dU[:, : 2 * u], db[:, : 2 * u], 1e-13)  # of the sums that the layer keeps


@pytest.mark.parametrize("sequences", [True, False])
def test_a_given_state_and_the_gradient_of_the_last(sequences):
    X, lengths = tokens(6, 5, 4)
    layer, rng = random(3, 4, sequences=sequences), np.random.default_rng(3)
    h0, dstate = rng.standard_normal((2, 6, 3))
    whole = layer.run(X, lengths, h0)
    np.testing.assert_array_equal(layer.predict(X, lengths, h0=h0), layer.forward(X, lengths, h0))
    np.testing.assert_array_equal(layer.fc["A"], whole.A)
    np.testing.assert_array_equal(layer.fc["hp"][:, 0], h0)
    first = layer.run(np.maximum(X[:, :2], 0), np.minimum(lengths, 2), h0)
    rest = lengths > 2  # goes on from the last states
    assert_close(layer.run(X[rest, 2:], lengths[rest] - 2, first.state[rest]).state, whole.state[rest], 1e-14)
    dA = rng.standard_normal(whole.A.shape)
    for given in ((dA, dstate), (None, dstate), (dA, None)):
        assert whole.backward(*given) is None

        def loss(dA, dstate):
            ran = layer.run(X, lengths, h0)
            return sum((a * d).sum() for a, d in ((ran.A, dA), (ran.state, dstate)) if d is not None)

        pairs = [(h0, whole.dh0), *((layer.p[name[1:]], g) for name, g in whole.gradients().items())]
        check_slopes(lambda given=given: loss(*given), pairs, rng)


def test_arrays_in_the_authors_layout():
    layer = random(3, 5, dtype=np.float32)
    W, b_i, b_h = arrays = layer.to_arrays()
    assert [array.shape for array in arrays] == [(9, 3, 5), (9, 5), (9, 5)]
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)
    assert not b_h[:6].any()
    twin = cgru.SwitchingGRU.from_arrays(*arrays, sequences=True)
    assert_all_same(twin.p, layer.p)
    assert (twin.dtype, twin.sequences, twin.d["u"], twin.d["v"]) == (np.float32, True, 3, 5)
    assert cgru.SwitchingGRU.from_arrays(np.ones((3, 1, 2), int), b_i[:3, :2], b_h[:3, :2]).dtype == np.float64
    W[...] = 9  # a copy
    assert_all_same(twin.p, layer.p)
    for wrong, argument in (
        ((W[:8], b_i, b_h), "weight_hh"), ((W[:, :, 0], b_i, b_h), "weight_hh"), ((W[:, :, :0], b_i, b_h), "weight_hh"),
        ((W, b_i[:, 1:], b_h), "bias_ih"), ((W, b_i, b_h.T), "bias_hh"),
    ):  # fmt: skip
        with refuses(ValueError, argument):
            cgru.SwitchingGRU.from_arrays(*wrong)


def test_first_weights():
    layer = cgru.SwitchingGRU(4, 3, rng=0)
    layer.make(np.zeros((1, 1), int))
    for V in layer.p["V"]:
        for W in np.split(V, 3, axis=1):
            np.testing.assert_allclose(W @ W.T, np.eye(4), atol=1e-14)
    for W in np.split(layer.p["U"], 3, axis=1):
        np.testing.assert_allclose(W @ W.T, np.eye(3), atol=1e-14)
    assert not layer.p["b"].any()
    assert len(np.unique(layer.p["V"])) == layer.p["V"].size


# --- compiled ---


def fitted(net, X, lengths, y, compiled, monkeypatch, **options):
    assert compiles(net)
    with monkeypatch.context() as patch:
        if not compiled:
            patch.setattr("cgru.network.training.fit.compiles", lambda model: False)
        net.make(X)
        for value in net.layers[0].p.values():
            value += 0.3 * np.random.default_rng(4).standard_normal(value.shape)
        history = net.fit(X, y, lengths=lengths, epochs=2, batch_size=len(X), standardize=False, **options)
    return net.parameters() | {"loss": np.array(history.loss), "A": net.predict(X, lengths)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["every", "last", "below a GRU", "whole"])
@pytest.mark.pairwise
def test_a_compiled_fit_of_every_size(monkeypatch, level, size, dtype, kind):
    """Under a head that reads lanes, one of last states, and a GRU that may not, at each level, as the loop."""
    m, s, u, K = size
    X, lengths = tokens(m, s, K)
    if kind == "whole":
        X, lengths = np.maximum(X, 0), None
    y = np.random.default_rng(5).integers(0, 3, m if kind == "last" else (m, s))
    found = []
    for compiled in (True, False):
        above = [cgru.GRU(40, sequences=True)] if kind == "below a GRU" else []
        net = network(u, K, dtype, above, kind != "last", optimizer=cgru.SGD(0.5))
        found.append(fitted(net, X, lengths, y, compiled, monkeypatch))
    assert_close(*found, TOLERANCE[np.dtype(dtype)])


def test_penalties_of_activities(monkeypatch):
    X, lengths = tokens(20, 6, 4)
    penalties = cgru.Penalties(l2=0.01, activity_l1=0.1, activity_l2=0.2)
    for sequences in (True, False):
        y = X % 3 if sequences else X[:, 0] % 3
        ours, due = (
            fitted(network(3, 4, sequences=sequences), X, lengths, y, compiled, monkeypatch, penalties=penalties)
            for compiled in (True, False)
        )
        assert_close(ours, due, 1e-12)
    plain = fitted(network(3, 4, sequences=False), X, lengths, y, True, monkeypatch)
    assert np.abs(ours["0.V"] - plain["0.V"]).max() > 1e-4


# --- streams ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "u"), [(1, 1), (1, 33), (5, 7), (17, 2)])
def test_a_stream_at_every_level(level, batch, u, dtype):
    net = network(u, 6, dtype)
    net.layers[0].p |= random(u, 6, dtype=dtype).p
    X = np.maximum(tokens(batch, 8, 6)[0], 0)
    net.make(X)
    stream, due = cgru.Stream(net, batch), net.predict(X)
    tolerance = TOLERANCE[np.dtype(dtype)]
    for t in range(4):
        assert_close(stream.step(X[:, t]), due[:, t], tolerance)
    assert_close(stream.state, net.layers[0].run(X[:, :4]).fc["h"][:, -1], tolerance)
    kept = stream.state
    stream.refresh()
    np.testing.assert_array_equal(stream.state, kept)
    for t in range(4, 8):
        assert_close(stream.step(X[:, t]), due[:, t], tolerance)
    stream.state = kept
    assert_close(stream.step(X[:, 4]), due[:, 4], tolerance)
    rows = np.arange(batch) % 2 == 0  # begin again
    fresh = net.predict(X[:, :1])[:, 0]
    stream.state = kept
    again = net.predict(np.hstack([X[:, :4], X[:, :1]]))[:, 4]
    assert_close(stream.step(X[:, 0], resets=rows), np.where(rows[:, None], fresh, again), tolerance)
    stream.reset()
    assert_close(stream.step(X[:, 0]), fresh, tolerance)
    net.layers[0].p["V"] = np.asfortranarray(-net.layers[0].p["V"])
    stream.reset()
    stream.refresh()
    stream.step(X[:, 0])
    assert_close(stream.step(X[:, 1]), net.predict(X)[:, 1], tolerance)


# --- what is refused ---

TOKENS = np.array([[0, 1, 2], [3, 1, 0]])
FITTED = network(2, 4)
FITTED.make(TOKENS)
REFUSED = {
    "units": (ValueError, "units", lambda: cgru.SwitchingGRU(0, 4)),
    "tokens": (ValueError, "tokens", lambda: cgru.SwitchingGRU(2, 0)),
    "sequences": (TypeError, "sequences", lambda: cgru.SwitchingGRU(2, 4, sequences=1)),
    "an initialization": (ValueError, "initialization", lambda: cgru.SwitchingGRU(2, 4, "none")),
    "another shape": (
        ValueError, "initialization", lambda: cgru.SwitchingGRU(2, 4, lambda shape, rng: np.ones(3)).make(TOKENS)
    ),
    "a token": (ValueError, "A", lambda: FITTED.layers[0].forward(TOKENS + 1)),
    "floats": (TypeError, "A", lambda: FITTED.layers[0].forward(TOKENS * 1.0)),
    "a missing parameter": (ValueError, "p['b']", lambda: broken(b=None)),
    "a parameter's shape": (ValueError, "p['V']", lambda: broken(V=np.ones((4, 2, 5)))),
    "truncate": (ValueError, "truncate", lambda: network(2, 4).fit(TOKENS, TOKENS % 3, truncate=2, standardize=False)),
    "resets": (ValueError, "resets", lambda: FITTED.predict(cgru.Sequences(TOKENS, resets=TOKENS == 1))),
    "decay": (ValueError, "decay", lambda: FITTED.predict(cgru.Sequences(TOKENS, decay=np.ones((2, 3))))),
    "decay of a stream": (ValueError, "decay", lambda: cgru.Stream(FITTED, 2).step(TOKENS[:, 0], decay=[1, 0.5])),
    "h0 of another shape": (ValueError, "h0", lambda: FITTED.layers[0].run(TOKENS, None, np.ones((1, 2)))),
    "dstate": (ValueError, "dstate", lambda: FITTED.layers[0].run(TOKENS).backward(None, np.ones((1, 2)))),
    "h0": (ValueError, "h0", lambda: FITTED.predict(TOKENS, h0=np.ones((2, 2)))),
    "not at the bottom": (ValueError, "layers", lambda: cgru.Network([cgru.Embedding(4, 2), cgru.SwitchingGRU(2, 4)])),
    "ONNX": (ValueError, "net", lambda: pytest.importorskip("onnx", reason="no onnx") and cgru.interop.to_onnx(FITTED)),
    "Bidirectional": (TypeError, "layer", lambda: cgru.Bidirectional(cgru.SwitchingGRU(2, 4))),
}  # fmt: skip


def broken(**p):
    layer = random(2, 4)
    layer.p |= p
    layer.p = {name: value for name, value in layer.p.items() if value is not None}
    return layer.forward(TOKENS)


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    error, argument, call = REFUSED[name]
    with refuses(error, argument):
        call()


def test_shapes():
    layer = cgru.SwitchingGRU(2, 4)
    layer.compute_shapes(np.zeros((3, 5), int))
    assert layer.d == {"v": 4, "u": 2, "m": 3, "s": 5}
    assert layer.fs == {"X": (3, 5), "U": (4, 6), "V": (4, 2, 6), "b": (4, 2)}
    assert [*layer.fields.first] == ["units", "tokens"]
    with pytest.raises(ValueError, match="tokens"):
        layer.output_shape(("m", "s", 3))
