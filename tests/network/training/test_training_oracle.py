"""`Network.fit`, compiled and in the loop, against a training in plain NumPy (training_oracle.py): random networks.

What is carried from batch to batch, and from piece to piece, is the oracle's own; so are masks, losses and optimizers.
"""

import numpy as np
import pytest
from helpers import some
from training_oracle import Oracle

import cgru
from cgru.network.training import fit

OPTIMIZERS = (
    lambda: cgru.SGD(0.05, momentum=0.9, nesterov=True),
    lambda: cgru.SGD(0.1, clip_norm=0.05, schedule="linear"),
    lambda: cgru.Adam(0.01, weight_decay=0.1, clip_norm=0.2, schedule="one_cycle"),
    lambda: cgru.RMSprop(0.005, momentum=0.5, weight_decay=0.01, schedule="cosine"),
    lambda: cgru.Adagrad(0.01, momentum=0.5, weight_decay=0.01),
)


def network(rng, kind, per_step):
    """One to three recurrent layers: of "stateful" ones some, of others none."""
    layers, count = [], rng.integers(1, 4)
    chosen = rng.random(count) < 0.5
    chosen[rng.integers(count)] = True
    for i in range(count):
        gru = cgru.GRU(
            int(rng.integers(1, 19)),
            sequences=bool(per_step or i < count - 1),
            reset_after=bool(rng.random() < 0.5),
            layer_norm=bool(rng.random() < 0.3),
            learn_h0=bool(rng.random() < 0.5),
            reverse=bool(kind != "truncate" and rng.random() < 0.3),
            stateful=bool(kind == "stateful" and chosen[i]),
            dropout=float(rng.choice([0, 0.3])),
            recurrent_dropout=float(rng.choice([0, 0.4])),
            zoneout=float(rng.choice([0, 0.2])),
        )
        both = kind != "truncate" and rng.random() < 0.3
        layers.append(cgru.Bidirectional(gru) if both else gru)
        if both and kind == "stateful" and rng.random() < 0.5:  # one direction goes on, the other does not
            layers[-1].backward_layer.stateful = not gru.stateful
    head = cgru.Dense(3, "softmax") if rng.random() < 0.5 else cgru.Dense(2, "identity")
    elementwise = (
        cgru.Scale, lambda: cgru.LayerNorm(0.1), lambda: cgru.Clip(-0.6, 0.5), lambda: cgru.Activation("tanh"),
    )  # fmt: skip
    for _ in range(rng.integers(0, 4)):
        layers.insert(int(rng.integers(0, len(layers) + 1)), elementwise[rng.integers(4)]())
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]()
    return cgru.Network([*layers, head], optimizer=optimizer, seed=int(rng.integers(1000)))


def with_frames(rng, net, truncated):
    """The network with one or two `Frames` where there are steps, and how many steps the shortest sample needs."""
    layers, least, stride = list(net.layers[:-1]), 1, 1
    last = max(i for i, layer in enumerate(layers) if layer.cells)
    top = len(layers) if net.per_step else last
    for at in sorted(rng.integers(0, top + 1, rng.integers(1, 3)), reverse=True):
        length, pads = int(rng.integers(1, 4)), [True, False, (0, 0), (2, 1)][: 3 if truncated else 4]
        hop, pad = None if truncated else int(rng.integers(1, 5)), pads[rng.integers(len(pads))]
        apart = 1 if truncated else int(rng.integers(1, 3))
        layers.insert(at, cgru.Frames(length, hop, pad, apart))
        stride *= length
        least = 1 + (length - 1) * apart + (hop or length) * (least - 1)
    return cgru.Network([*layers, net.head], optimizer=net.optimizer, seed=net.seed), least, stride


def with_statistics(rng, net, stateful):
    """The network with one or two `Normalize` or `Difference` where there are steps."""
    layers = list(net.layers[:-1])
    top = len(layers) if net.per_step else max(i for i, layer in enumerate(layers) if layer.cells)
    for at in sorted(rng.integers(0, top + 1, rng.integers(1, 3)), reverse=True):
        kind = cgru.Difference if stateful or rng.random() < 0.5 else cgru.Normalize
        layers.insert(at, kind(bool(rng.random() < 0.5)))
    return cgru.Network([*layers, net.head], optimizer=net.optimizer, seed=net.seed)


def with_pool(rng, net):
    """The network with all states of its last recurrent layer pooled by their mean and attention."""
    top = [layer for layer in net.layers if layer.cells][-1]
    for cell in top.cells:
        cell.sequences = True
    pool = cgru.Pool("mean+attention", int(rng.integers(1, 18)))
    return cgru.Network([*net.layers[:-1], pool, net.head], optimizer=net.optimizer, seed=net.seed)


def case(kind, seed):
    """A network with learned starts that are not zero, samples with lengths and weights, and options of a fit."""
    rng = np.random.default_rng([seed, len(kind)])
    per_step = bool(rng.random() < 0.5)
    net, least, stride = network(rng, kind.split()[-1], per_step), 1, 1
    if kind.startswith("frames"):
        net, least, stride = with_frames(rng, net, "truncate" in kind)
    if kind.startswith("statistics"):
        net = with_statistics(rng, net, "stateful" in kind)
    if not (per_step or "truncate" in kind or seed % 2):
        net = with_pool(np.random.default_rng(seed), net)
    batch_size = int(rng.integers(2, 6))
    m = batch_size * int(rng.integers(2, 5)) + (0 if "stateful" in kind else int(rng.integers(0, 2)))
    s, e = least + int(rng.integers(1, 8)), int(rng.integers(1, 4))
    X = rng.standard_normal((m, s, e))
    net.make(X)
    for key, array in net.parameters().items():
        if key.endswith(("h0", "scale", "shift")):
            array[...] = rng.standard_normal(array.shape)
    rows = (m, int(net.output_lengths(np.array(s)))) if per_step else (m,)
    y = rng.integers(0, 3, rows) if net.loss == "cross_entropy" else rng.standard_normal((*rows, 2))
    if net.loss == "cross_entropy" and seed % 2:
        net.loss = "cross_entropy(0.2)"
    lengths = rng.integers(least, s + 1, m) if rng.random() < 0.6 else np.full(m, s)
    weights = rng.random(rows) + 0.1 if rng.random() < 0.5 else np.ones(rows)
    truncate = stride * int(rng.integers(1, s // stride + 1)) if "truncate" in kind else None
    return net, X, y, lengths, weights, batch_size, truncate


@pytest.mark.parametrize("seed", some(3, range(24)))
@pytest.mark.parametrize(
    "kind",
    [
        *("stateful", "truncate", "plain", "frames stateful", "frames truncate", "frames plain"),
        *("statistics stateful", "statistics plain"),
    ],
)
def test_a_fit_is_that_of_the_oracle(monkeypatch, kind, seed):
    for engine in ("compiled", "loop"):
        net, X, y, lengths, weights, batch_size, truncate = case(kind, seed)
        oracle = Oracle(net)
        oracle.X, average = X, (None, 0.6, 0.999)[seed % 3]
        which, factors = np.random.default_rng(seed).random((2, *X.shape[:2]))
        decay = np.where(which < 0.3, 0, np.where(which < 0.6, 1, factors))
        decay = None if kind.startswith("frames") or seed % 3 == 2 else decay
        losses = oracle.fit(X, y, lengths, weights, 2, batch_size, truncate, average, decay)
        if engine == "loop":
            monkeypatch.setattr(fit, "compiles", lambda net: False)
        history = net.fit(
            cgru.Sequences(X, lengths, decay=decay), y, sample_weight=weights, epochs=2, batch_size=batch_size,
            truncate=truncate, shuffle=False, average=average,
        )  # fmt: skip
        np.testing.assert_allclose(history.loss, losses, rtol=1e-9, err_msg=engine)
        for key, due in oracle.shown().items():
            np.testing.assert_allclose(net.parameters()[key], due, rtol=1e-7, atol=1e-9, err_msg=f"{engine} {key}")
