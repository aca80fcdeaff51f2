"""What the tests of a checkpoint share: networks that draw and carry on, and all that a fit leaves in one."""

import numpy as np
from network_cases import weights

import cgru


class StopError(Exception):
    """What the tests raise."""


def stopping(at, raised=StopError):
    """A callback that raises after the epoch `at`, before its checkpoint."""

    def callback(epoch):
        if epoch.epoch == at:
            raise raised

    return callback


def epochs(history):
    """All but the seconds."""
    return [tuple(value for name, value in vars(epoch).items() if name != "seconds") for epoch in history]


def left(net):
    """All that a fit leaves in a network, generators among it."""
    state = net.__getstate__()
    generators = [state["_shuffler"], *(part.np_rng for layer in net.layers for part in (layer, *layer.cells))]
    return {
        "weights": weights(net),
        "optimizer": net.optimizer_state,
        "generators": [generator.bit_generator.state for generator in generators],
        "measured": [net.mean, net.scale],
        "states": [getattr(layer, "state", None) for layer in net.layers],
        "split": np.random.default_rng(state["_split_seed"]).random(),
    }


def assert_same_fit(net, history, due, due_history):
    np.testing.assert_equal(left(net), left(due))
    assert epochs(history) == epochs(due_history)
    assert epochs(net.history) == epochs(due.history)


def own(x, deriv=False):
    return cgru.tanh(x, deriv=deriv)


def own_softmax(x, deriv=False):
    return cgru.softmax(x, deriv=deriv)


class Momentum:
    """An optimizer of the user's own, whose state is not laid out as ours."""

    def __init__(self, learning_rate=0.1):
        self.learning_rate = np.float32(learning_rate)
        self.other = np.ones(2)

    def rate(self, fraction):
        return float(self.learning_rate) * (1 - fraction)

    def step(self, p, g, state, fraction):
        state["seen"] = state.get("seen", 0) + 1
        for key, array in p.items():
            v = state.setdefault("v", {}).setdefault(key, [np.zeros_like(array)])[0]
            v *= 0.9
            v += g[key]
            array -= self.rate(fraction) * v


def network(layers, optimizer=None, seed=2, dtype=np.float64):
    return cgru.Network(layers, optimizer=optimizer, seed=seed, dtype=dtype)


def dropping(dtype=np.float64, activate="tanh", optimizer=None, alpha=1.0):
    layers = [
        cgru.Bidirectional(cgru.GRU(4, activate, sequences=True, dropout=0.2, zoneout=0.1, recurrent_dropout=0.1)),
        cgru.Dropout(0.3, rng=np.random.Generator(np.random.MT19937(5))),
        cgru.GRU(3, activate, se_hPars={"ELU_alpha": alpha}),
        cgru.Dropout(0.2, rng=np.random.Generator(np.random.Philox(6))),
        cgru.Dense(3, "softmax"),
    ]
    return network(
        layers, optimizer or cgru.Adam(0.02, weight_decay=0.1, clip_norm=1.0, schedule="cosine"), dtype=dtype
    )


def step_by_step(activate="tanh", **options):
    layers = [cgru.GRU(4, activate, sequences=True, **options), cgru.Dense(2, "identity")]
    return network(layers, cgru.SGD(0.05, momentum=0.9))
