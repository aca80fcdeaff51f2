"""Random networks, samples and options of fits: what the targets draw, in one place.

m samples, s steps, e features of a step, u units, k outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import cgru

__all__ = ["Dice", "Problem", "gru", "network", "problem", "randomise"]


class Dice:
    """Random draws from a seed."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self, p: float = 0.5) -> bool:
        """Return True with probability p."""
        return bool(self.rng.random() < p)

    def among(self, *values: Any) -> Any:
        """Return one of the values."""
        return values[self.rng.integers(len(values))]

    def number(self, low: int, high: int) -> int:
        """Return an integer from low to high, small ones more often."""
        return int(low + (high + 1 - low) * self.rng.random() ** 2)

    def normal(self, *shape: int) -> np.ndarray:
        """Return standard normal numbers."""
        return self.rng.standard_normal(shape)

    def lengths(self, m: int, s: int, least: int = 1) -> np.ndarray | None:
        """Return lengths of m samples, from `least` to s steps, or None."""
        return self.rng.integers(least, s + 1, m) if self.chance() else None


@dataclass
class Problem:
    """A network that has parameters, and the arguments of `fit`."""

    net: cgru.Network
    X: cgru.Sequences
    y: np.ndarray
    beside: dict[str, Any] = field(default_factory=dict)  # sample_weight, or nothing
    options: dict[str, Any] = field(default_factory=dict)


def rate(dice: Dice) -> float:
    """Return a dropout rate, most often 0."""
    return dice.among(0.0, 0.0, 0.0, 0.3)


def gru(dice: Dice, mode: str = "whole", sequences: bool = True, drops: bool = True) -> cgru.layers.Layer:
    """Return a GRU of any variant, or a `Bidirectional`; `mode` is "whole", "truncate" or "stateful"."""
    whole = mode != "truncate"
    options = {
        "sequences": sequences,
        dice.among("reset_after", "layer_norm", "learn_h0"): dice.chance(),
        "reverse": whole and dice.chance(0.25),
        "stateful": mode == "stateful" and dice.chance(),
        "clip_gradients": dice.chance(0.1),
    }
    if dice.chance(0.3):
        options["learn_h0"] = True
    if drops:
        options |= {name: rate(dice) for name in ("dropout", "recurrent_dropout", "zoneout")}
    if dice.chance(0.15):
        options["activate"] = dice.among(cgru.elu, cgru.lrelu, cgru.sigmoid)
        options["activate_reset"] = dice.among(cgru.sigmoid, cgru.tanh)
    layer = cgru.GRU(dice.number(1, 20), **options)
    if whole and dice.chance(0.25):
        layer = cgru.Bidirectional(layer, dice.among("concat", "sum", "mean", "mul"))
        if mode == "stateful" and dice.chance():
            layer.backward_layer.stateful = not layer.forward_layer.stateful
    return layer


def elementwise(dice: Dice, drops: bool = True) -> cgru.layers.Layer:
    """Return a layer that leaves the shape as it is."""
    made = [
        cgru.Scale, lambda: cgru.LayerNorm(dice.among(0.01, 0.1)), lambda: cgru.Clip(-0.8, dice.among(None, 0.7)),
        lambda: cgru.Activation(dice.among("tanh", "elu", "sigmoid", "softmax")),
        lambda: cgru.Dense(dice.number(1, 9), dice.among("tanh", "elu", "identity")),
    ]  # fmt: skip
    return dice.among(*made, *([lambda: cgru.Dropout(0.3)] * drops))()


def along_steps(dice: Dice, mode: str) -> cgru.layers.Layer:
    """Return a layer that looks at several steps."""
    k = dice.number(1, 3)
    if mode == "truncate" and dice.chance():
        return cgru.Conv1D(dice.number(1, 5), k, k, "valid", activate="tanh")
    if mode == "truncate":
        return cgru.Frames(k, None, dice.among(True, False))
    window = k, dice.number(1, 2), dice.among("causal", "valid", 1), dice.number(1, 2)
    if dice.chance(0.4):
        return cgru.Conv1D(dice.number(1, 5), *window, activate=dice.among("relu", "tanh", "identity"))
    if mode == "stateful":
        return dice.among(lambda: cgru.Frames(2), cgru.Difference)()
    return dice.among(
        lambda: cgru.Frames(k, dice.number(1, 3), dilation=dice.number(1, 2)),
        cgru.Difference,
        cgru.Normalize,
        cgru.Flip,
    )()


HEADS = {
    "cross_entropy": ("softmax", 1), "cross_entropy(0.2)": ("softmax", 1), "binary_cross_entropy": ("sigmoid", 1),
    "mean_squared_error": ("identity", 1), "huber(0.5)": ("identity", 1), "quantile(0.1, 0.7)": ("identity", 2),
    "poisson": ("identity", 1), "gaussian": ("identity", 2),
}  # fmt: skip


def targets(dice: Dice, loss: str, shape: tuple[int, ...], k: int) -> np.ndarray:
    """Return targets of k outputs for samples, or samples and steps, of that shape."""
    if loss.startswith("cross_entropy"):
        if dice.chance(0.2):
            return dice.rng.dirichlet(np.ones(k), shape)
        y = dice.rng.integers(0, k, shape)
        y.flat[: min(k, y.size)] = np.arange(min(k, y.size))
        return y
    if loss == "binary_cross_entropy":
        return dice.rng.integers(0, 2, (*shape, k)) if dice.chance() else dice.rng.random((*shape, k))
    if loss == "poisson":
        return dice.rng.poisson(2.0, (*shape, k)).astype(float)
    return dice.normal(*shape, k)


def network(dice: Dice, mode: str = "whole", tokens: int = 0, gaps: bool = False, drops: bool = True) -> cgru.Network:
    """Return a network of one to three recurrent layers and others.

    `tokens`: of the Embedding or the SwitchingGRU that it begins with, if any. `gaps`: whether it begins with a
    `GRUD`. `drops`: whether there may be dropout.
    """
    per_step, depth = dice.chance(), dice.number(1, 3)
    pools = not per_step and mode != "truncate" and dice.chance()
    layers = [gru(dice, mode, per_step or pools or i < depth - 1, drops) for i in range(depth)]
    top = len(layers) if per_step or pools else len(layers) - 1
    for _ in range(dice.number(0, 3)):
        layers.insert(dice.number(0, top), elementwise(dice, drops))
        top += 1
    for _ in range(dice.chance(0.4)):
        layers.insert(dice.number(0, top), along_steps(dice, mode))
    if pools:
        parts = dice.rng.permutation(["mean", "max", "last", "attention"])[: dice.number(1, 4)]
        layers.append(cgru.Pool("+".join(parts), dice.number(1, 5) if "attention" in parts else None))
    if not per_step and dice.chance(0.3):
        layers.append(elementwise(dice, drops))
    if tokens:
        switches = mode == "whole" and dice.chance(0.3)
        layers.insert(
            0, cgru.SwitchingGRU(dice.number(1, 9), tokens, sequences=True) if switches
            else cgru.Embedding(tokens, dice.number(1, 6)),
        )  # fmt: skip
    if gaps:
        layers.insert(0, cgru.GRUD(dice.number(1, 9), sequences=True, stateful=mode == "stateful" and dice.chance()))
    loss = dice.among(*HEADS)
    activate, outputs = HEADS[loss]
    k = dice.number(2, 4) if activate == "softmax" else outputs * dice.number(1, 2)
    if loss == "mean_squared_error" and dice.chance(0.3):
        activate = "tanh"
    dtype = np.float32 if dice.chance(0.25) else np.float64
    head = cgru.Dense(k, activate)
    return cgru.Network([*layers, head], loss, optimizer(dice), dice.number(0, 99), dtype=dtype)


def optimizer(dice: Dice) -> Any:
    """Return an optimizer whose epsilon is so large that it does not blow up the rounding of a gradient of zero."""
    shared = {
        "clip_norm": dice.among(None, None, 0.2),
        "schedule": dice.among(None, None, "linear", "cosine", "one_cycle", cgru.optimizers.Plateau(0.5, 1)),
    }
    momentum, decay = dice.among(0.0, 0.9), dice.among(0.0, 0.1)
    return dice.among(
        lambda: cgru.SGD(0.05, momentum=momentum, nesterov=bool(momentum) and dice.chance(), **shared),
        lambda: cgru.Adam(0.01, epsilon=0.01, weight_decay=decay, **shared),
        lambda: cgru.RMSprop(0.005, epsilon=0.1, momentum=momentum, weight_decay=decay, **shared),
        lambda: cgru.Adagrad(0.05, momentum, epsilon=0.1, weight_decay=decay, **shared),
    )()


def randomise(net: cgru.Network, dice: Dice) -> None:
    """Move every parameter, so that none is zero or one."""
    for array in net.parameters().values():
        array += 0.3 * dice.normal(*array.shape)


def least_steps(net: cgru.Network) -> int:
    """Return how many steps the shortest sample needs, at least."""
    s = 1
    while True:
        try:
            net.output_lengths(np.array(s))
            return s
        except ValueError:
            s += 1


def samples(
    dice: Dice, net: cgru.Network, m: int, s: int, e: int, size: int
) -> tuple[cgru.Sequences, np.ndarray, dict[str, Any]]:
    """Return samples, y and a dict that may have weights; padded steps are huge, which nobody may see.

    Times go on from each batch of `size` samples to the next, as `stateful` layers need them.
    """
    first, k = net.layers[0], net.head.d["u"] // HEADS[net.loss][1]
    tokens = first.d["v"] if "tokens" in first.reads else 0
    X = dice.rng.integers(0, tokens, (m, s)) if tokens else dice.normal(m, s, e).astype(net.dtype)
    lengths = dice.lengths(m, s, least_steps(net))
    own: dict[str, Any] = {}
    if lengths is not None and not tokens:
        X[np.arange(s) >= lengths[:, None]] = 1e30
    if "missing" in first.reads:
        X[dice.rng.random(X.shape) < 0.3] = np.nan
        X[:, 0] = dice.normal(m, e)  # something of each feature is measured
        if dice.chance():
            own["times"] = np.cumsum(dice.rng.random((m, s)), axis=1) + s * (np.arange(m)[:, None] // size)
    if not any(layer.steps.count or isinstance(layer, cgru.SwitchingGRU) for layer in net.layers):
        which = dice.rng.random((m, s))
        if dice.chance(0.2):
            own["resets"] = which < 0.3
        elif dice.chance(0.2):
            own["decay"] = np.where(which < 0.3, 0, np.where(which < 0.6, 1, dice.rng.random((m, s))))
    shape = (m, int(net.output_lengths(np.array(s)))) if net.per_step else (m,)
    y = targets(dice, net.loss, shape, k)
    weights = {}
    if dice.chance(0.3):
        weights["sample_weight"] = dice.rng.integers(0, 3, m if dice.chance() else shape) + 0.0
        weights["sample_weight"].flat[0] = 1
    return cgru.Sequences(X, lengths, **own), y, weights


def problem(seed: int) -> Problem:
    """Return the problem of a seed: the same each time, with a network of its own."""
    dice = Dice(seed)
    mode = dice.among("whole", "whole", "truncate", "stateful")
    tokens, gaps = dice.among((0, False), (0, False), (0, False), (dice.number(1, 6), False), (0, True))
    net = network(dice, mode, tokens, gaps)
    size = dice.number(1, 9)
    m, s, e = size * dice.number(1, 4), dice.number(1, 12), dice.number(1, 9)
    if mode != "stateful":  # which needs batches of one size
        m = max(3, m + dice.number(0, 2))
    s = max(s, least_steps(net))
    X, y, weights = samples(dice, net, m, s, e, size)
    net.make(X)
    randomise(net, dice)
    for layer in net.layers:
        if dice.chance(0.05):
            layer.trainable = False
        if hasattr(layer, "training") and dice.chance(0.1):
            layer.training = False
    return Problem(net, X, y, weights, options(dice, net, mode, size, s, e))


def options(dice: Dice, net: cgru.Network, mode: str, size: int, s: int, e: int) -> dict[str, Any]:
    """Return options of `fit` that go with each other."""
    tokens = "tokens" in net.layers[0].reads
    regression = not cgru.losses.classifies(net.loss)
    found: dict[str, Any] = {
        "epochs": dice.number(1, 3), "batch_size": size, "shuffle": mode != "stateful" and dice.chance(0.7),
        "standardize": not tokens and dice.chance(0.3), "memory": dice.among(None, "low"),
    }  # fmt: skip
    if mode == "truncate":
        stride = int(np.prod([layer.steps.stride for layer in net.layers]))
        found["truncate"] = stride * dice.number(1, 4)
    if dice.chance(0.3):
        if mode != "stateful" and dice.chance():
            found["validation"] = 0.3
        else:
            X, y, weights = samples(dice, net, (n := dice.number(1, 9)), s, e, n)
            found["validation"] = (X, y, None, weights.get("sample_weight"))
        found["patience"] = dice.among(None, 1)
    if regression and net.loss != "poisson" and net.head.activation["activate"] == "identity" and dice.chance(0.3):
        found["standardize_targets"] = True
        found["shrink"] = net.loss == "mean_squared_error" and "validation" in found
    if net.loss.startswith("cross_entropy") and dice.chance(0.2):
        found["class_weight"] = {0: 2.5}
    found["bucket"] = found["shuffle"] and dice.chance(0.2)
    for name, value in (("average", 0.9), ("recover", True)):
        if dice.chance(0.15):
            found[name] = value
    factors = {name: 1e-2 for name in ("activity_l1", "activity_l2") if dice.chance(0.15)}
    factors |= {name: dice.among(1e-3, {"*.W": 1e-2}) for name in ("l1", "l2") if dice.chance(0.15)}
    return found | {"penalties": cgru.Penalties(**factors)}
