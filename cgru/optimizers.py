"""The optimizers SGD, Adam and RMSprop, and schedules of the learning rate.

An optimizer holds settings and no state, so that one may serve several networks and layers: each of these owns the
state, a dict. Parameters and gradients are dicts with the same keys; parameters are updated in place.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from cgru.core import names
from cgru.core.checks import positive

__all__ = ["SGD", "Adam", "Plateau", "RMSprop", "constant", "cosine", "linear", "one_cycle"]

Arrays = Mapping[str, np.ndarray]
State = dict[str, dict[str, list[Any]]]  # class of the optimizer -> parameter -> its steps and arrays
Schedule = Callable[[float], float]


def check_number(value: Any, name: str, below: float = math.inf, above: bool = False) -> None:
    """Raise TypeError or ValueError unless 0 <= `value` < `below`; with `above` 0 is refused, too.

    With `above` 0 is refused too.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not 0 <= value < below or value > sys.float_info.max or (above and value == 0):  # beyond are integers alone
        raise ValueError(
            f"{name}: expected a number {'above 0' if above else 'of at least 0'} and below {below:g}, got {value}"
        )


# --- schedules: map the fraction of the fit that is done, in [0, 1), to a factor on the learning rate ---


def constant(fraction: float) -> float:
    """Return 1, the factor on the learning rate at any `fraction` of a fit.

    Args:
        fraction: the share of the fit that is done, from 0 to 1.

    Returns:
        The factor.

    Examples:
        >>> cgru.optimizers.constant(0.7)
        1.0
    """
    return 1.0


def linear(fraction: float) -> float:
    """Return a factor on the learning rate that falls from 1 to 0 in a straight line over a fit.

    Args:
        fraction: the share of the fit that is done, from 0 to 1.

    Returns:
        The factor, 1 - fraction.

    Examples:
        >>> cgru.optimizers.linear(0.25)
        0.75
    """
    return 1.0 - fraction


def cosine(fraction: float) -> float:
    """Return a factor on the learning rate that falls from 1 to 0 along half a cosine.

    Loshchilov and Hutter, 2017, arXiv:1608.03983.

    Args:
        fraction: the share of the fit that is done, from 0 to 1.

    Returns:
        The factor, (1 + cos(pi fraction)) / 2.

    Examples:
        >>> [round(cgru.optimizers.cosine(fraction), 3) for fraction in (0, 0.25, 0.5, 1)]
        [1.0, 0.854, 0.5, 0.0]
    """
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


def one_cycle(fraction: float) -> float:
    """Return a factor that rises from 1/25 to 1 at 0.3 of a fit, then falls to 0, along half cosines.

    Smith and Topin, 2017, arXiv:1708.07120.

    Args:
        fraction: the share of the fit that is done, from 0 to 1.

    Returns:
        The factor.

    Examples:
        >>> [round(cgru.optimizers.one_cycle(fraction), 3) for fraction in (0, 0.3, 1)]
        [0.04, 1.0, 0.0]
    """
    if fraction < 0.3:
        return 1.0 - 0.96 * cosine(fraction / 0.3)
    return cosine((fraction - 0.3) / 0.7)


@dataclass(frozen=True)
class Plateau:
    """A schedule that multiplies the rate by `factor` after `patience` epochs without a new lowest loss.

    The factor is applied once more after each further `patience` such epochs, and never falls below `least`. The loss
    is that of validation; without validation that of training.

    Args:
        factor: what the rate is multiplied by, above 0 and below 1.
        patience: how many epochs without a new lowest loss it waits.
        least: the least factor on the rate that the fit began with.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> schedule = cgru.optimizers.Plateau(factor=0.5, patience=2)
        >>> stalls = schedule.stalls([1.0, 0.8, 0.9, 0.85])
        >>> stalls, schedule(stalls)
        (1, 0.5)
    """

    factor: float = 0.5
    patience: int = 5
    least: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("factor", "least"):
            check_number(getattr(self, name), name, 1.0, name == "factor")
        positive(self.patience, "patience")

    def __call__(self, stalls: float) -> float:
        """Return the factor after that many stalls; a fit passes their number in place of its fraction."""
        return max(float(self.factor) ** stalls, float(self.least))

    def stalls(self, losses: Sequence[float]) -> int:
        """Count how often the losses so far went `patience` epochs without a new lowest.

        Args:
            losses: the loss of each epoch.

        Returns:
            The count, which the schedule is called with.
        """
        lowest, stale, found = math.inf, 0, 0
        for loss in losses:
            stale = 0 if loss < lowest else stale + 1
            lowest = min(lowest, loss)
            if stale == self.patience:
                stale, found = 0, found + 1
        return found


SCHEDULES: dict[str, Schedule] = {f.__name__: f for f in (constant, linear, cosine, one_cycle)}
SCHEDULES["plateau"] = Plateau()


# --- optimizers ---


class Optimizer:
    """The base of this module's optimizers: learning rate, clipping, weight decay, and the state of each parameter.

    A new one is a subclass, a place in `NAMED`, and its C code in simd/update.h.
    """

    learning_rate: float
    clip_norm: float | None
    schedule: Schedule | None
    arrays: ClassVar[int]  # how many arrays of state a parameter has
    beta: ClassVar[tuple[str, ...]]  # the names of the settings in `beta` of C's cgru_optimizer_step
    debiased: ClassVar[bool] = False  # whether running means are divided by 1 - beta^step

    def __post_init__(self) -> None:
        """Check the settings, and replace the name of a schedule by its function."""
        for each in fields(self):
            value, above = getattr(self, each.name), each.name in ("learning_rate", "clip_norm", "epsilon")
            if each.name == "momentum":
                above = bool(getattr(self, "nesterov", False))
            if each.type == "float" or (each.type == "float | None" and value is not None):
                below = 1.0 if each.name in ("momentum", "beta_1", "beta_2", "rho") else math.inf
                check_number(value, each.name, below, above)
        if self.schedule is not None:
            object.__setattr__(self, "schedule", names.named(self.schedule, "schedule", SCHEDULES))

    @property
    def code(self) -> int:
        """Return the index of the optimizer's step in C, in `cgru_kernels.steps`."""
        return [*NAMED.values()].index(type(self))

    def rate(self, fraction: float = 0.0) -> float:
        """Return the learning rate after a part of the fit: `learning_rate` times the schedule's factor.

        Args:
            fraction: the share of the fit that is done, from 0 to 1.

        Returns:
            The learning rate.

        Examples:
            >>> cgru.SGD(0.1, schedule="linear").rate(0.5)
            0.05
        """
        return float(self.learning_rate) * (1.0 if self.schedule is None else float(self.schedule(fraction)))

    def step(self, p: Any, g: Arrays | None = None, state: State | None = None, fraction: float = 0.0) -> None:
        """Update the parameters `p` in place by their gradients `g`, once: `step(layer)` or `step(p, g, state)`.

        Args:
            p: a dict of parameters; or a layer, whose `p`, the `g` that its `compute_gradients` left, and a state in
                its `o` are used. Nothing happens to a layer that is not `trainable`.
            g: the gradients, by the same names; None beside a layer.
            state: a dict that is empty before the first step, and is passed to each step; None beside a layer.
            fraction: the share of the fit that is done, for the schedule.

        Raises:
            TypeError: p is neither a layer nor beside gradients; or a parameter of a layer is no writable array of
                floats.
            ValueError: a gradient of a layer has another size than its parameter.
            RuntimeError: the layer has no gradients yet.

        Examples:
            >>> p, state = {"W": np.array([1.0, 2.0])}, {}
            >>> cgru.SGD(0.5).step(p, {"W": np.array([1.0, -1.0])}, state)
            >>> p["W"]
            array([0.5, 2.5])
        """
        if g is None:
            if not hasattr(p, "trainable"):
                raise TypeError(f"step: expected a layer, or p, g and state, got {type(p).__name__} alone")
            if not p.trainable:
                return
            p, g, state = dict(p.p), _gradients(p), p.o.setdefault("optimizer", {})
        rate = self.rate(fraction)
        factor = 1.0 if self.clip_norm is None else clip_factor(g, float(self.clip_norm))
        own = state.setdefault(type(self).__name__, {})
        for key, parameter in p.items():
            gradient = np.reshape(g[key], parameter.shape)
            gradient = gradient if factor == 1.0 else gradient * factor
            if key not in own or own[key][1].shape != gradient.shape:
                own[key] = [0, *(np.zeros_like(gradient) for _ in range(self.arrays))]
            own[key][0] += 1
            decay = getattr(self, "weight_decay", 0.0)
            if decay and is_matrix(key):
                parameter *= 1 - rate * float(decay)
            self._update(parameter, gradient, rate, *own[key])

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, step: int, *arrays: np.ndarray) -> None:
        """Update one parameter `p` in place by its gradient `g`, at its step number `step`, with its state `arrays`."""
        raise NotImplementedError


def _gradients(layer: Any) -> dict[str, np.ndarray]:
    """Return the gradient of each parameter of `layer`, under the parameter's name and in its shape."""
    if not layer.g:
        raise RuntimeError("step: expected compute_gradients to be called first")
    found = {}
    for name, value in layer.p.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.flags.writeable:
            raise TypeError(f"p[{name!r}]: expected a writable array of floats to update in place")
        gradient = layer.g.get("d" + name)
        if gradient is None or np.size(gradient) != value.size:
            got = "none" if gradient is None else np.shape(gradient)
            raise ValueError(f"g[{'d' + name!r}]: expected the gradient of p[{name!r}] {value.shape}, got {got}")
        found[name] = np.reshape(gradient, value.shape)
    return found


def clip_factor(g: Mapping[str, np.ndarray], clip_norm: float) -> float:
    """Return the factor that scales all gradients to a joint L2 norm of at most `clip_norm`: 1 if it is no larger.

    1 too if a gradient is not finite, since no factor would help.
    """
    largest = max((float(np.abs(gradient).max(initial=0)) for gradient in g.values()), default=0.0)
    if not 0 < largest < math.inf:
        return 1.0
    squares = (np.square(gradient / largest, dtype=np.float64).sum() for gradient in g.values())  # none overflows
    norm = math.sqrt(sum(map(float, squares)))
    return clip_norm / largest / norm if norm > clip_norm / largest else 1.0


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's step where asked for.

        v = momentum v + g
        p -= learning_rate v, or with nesterov p -= learning_rate (g + momentum v)

    Args:
        learning_rate: above 0.
        momentum: the share of the last step that is kept, at least 0 and below 1.
        nesterov: whether the step looks ahead (Sutskever et al., 2013, ICML), which needs a momentum.
        clip_norm: the largest joint L2 norm of all gradients, to which one factor scales them; None: do not clip.
        schedule: a function that maps the fraction of a fit that is done to a factor on the learning rate, or one of
            the names "constant", "linear", "cosine", "one_cycle" and "plateau"; in a fit a `Plateau` too. None: no
            schedule.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> p, state, optimizer = {"W": np.array([1.0])}, {}, cgru.SGD(0.1, momentum=0.9)
        >>> for _ in range(2):
        ...     optimizer.step(p, {"W": np.array([1.0])}, state)
        >>> p["W"].round(6)  # 1 - 0.1 - 0.1 (1 + 0.9)
        array([0.71])
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    clip_norm: float | None = None
    schedule: Schedule | str | None = None

    arrays: ClassVar[int] = 1
    beta: ClassVar[tuple[str, ...]] = ("momentum",)

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, step: int, *arrays: np.ndarray) -> None:
        """Update p in place: v = momentum v + g, p -= rate v, or with `nesterov` p -= rate (g + momentum v)."""
        if not self.momentum:
            p -= rate * g
            return
        (v,) = arrays
        v *= float(self.momentum)
        v += g
        p -= rate * (g + float(self.momentum) * v if self.nesterov else v)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam, by running means of the gradient and of its square (Kingma and Ba, 2015, arXiv:1412.6980).

        mean = beta_1 mean + (1 - beta_1) g
        square = beta_2 square + (1 - beta_2) g^2
        p -= learning_rate (mean / (1 - beta_1^t)) / (sqrt(square / (1 - beta_2^t)) + epsilon)          t = 1, 2, ...

    Args:
        learning_rate: above 0.
        beta_1: the share of the old mean, at least 0 and below 1.
        beta_2: the share of the old mean of squares, likewise.
        epsilon: what is added to the root, above 0.
        weight_decay: decoupled from the gradient (Loshchilov and Hutter, 2019, arXiv:1711.05101): each step shrinks the
            matrices, not the biases, by the factor 1 - rate weight_decay.
        clip_norm: as for `SGD`.
        schedule: as for `SGD`.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> p, state = {"W": np.array([1.0, 1.0])}, {}
        >>> cgru.Adam(0.1).step(p, {"W": np.array([5.0, -0.01])}, state)
        >>> p["W"].round(4)  # the first step is as long as the rate
        array([0.9, 1.1])
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Schedule | str | None = None

    arrays: ClassVar[int] = 2
    beta: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    debiased: ClassVar[bool] = True

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, step: int, *arrays: np.ndarray) -> None:
        """Update p in place by debiased running means of g and g^2: p -= rate mean / (sqrt(square) + epsilon)."""
        mean, square = arrays
        mean += (1 - float(self.beta_1)) * (g - mean)
        square += (1 - float(self.beta_2)) * (g * g - square)
        root = np.sqrt(square)
        root /= math.sqrt(1 - self.beta_2**step)
        root += float(self.epsilon)
        p -= rate / (1 - self.beta_1**step) * mean / root


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop, by the running mean of the gradient's square (Tieleman and Hinton, 2012), with PyTorch's defaults.

        square = rho square + (1 - rho) g^2
        v = momentum v + g / (sqrt(square) + epsilon)
        p -= learning_rate v

    Args:
        learning_rate: above 0.
        rho: the share of the old mean of squares, at least 0 and below 1.
        epsilon: what is added to the root, above 0.
        momentum: the share of the last step that is kept, at least 0 and below 1.
        weight_decay: as for `Adam`: decoupled from the gradient, unlike in PyTorch's RMSprop.
        clip_norm: as for `SGD`.
        schedule: as for `SGD`.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> p, state = {"W": np.array([1.0])}, {}
        >>> cgru.RMSprop(0.01).step(p, {"W": np.array([5.0])}, state)
        >>> p["W"].round(4)  # 1 - 0.01 / sqrt(1 - 0.99)
        array([0.9])
    """

    learning_rate: float = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Schedule | str | None = None

    arrays: ClassVar[int] = 2
    beta: ClassVar[tuple[str, ...]] = ("momentum", "rho")

    def _update(self, p: np.ndarray, g: np.ndarray, rate: float, step: int, *arrays: np.ndarray) -> None:
        """Update p in place by a running mean of g^2: v = momentum v + g / (sqrt(square) + epsilon), p -= rate v."""
        v, square = arrays
        square += (1 - float(self.rho)) * (g * g - square)
        down = g / (np.sqrt(square) + float(self.epsilon))
        if self.momentum:
            v *= float(self.momentum)
            v += down
            down = v
        p -= rate * down


def is_matrix(key: str) -> bool:
    """Return whether `key`, such as `0.Uz` or `b`, names a matrix: matrices have capital letters, biases small ones."""
    return key.rpartition(".")[2][:1].isupper()


def scheduled(optimizer: Any) -> bool:
    """Return whether the rate depends on the share of the fit that is done.

    True for the user's own optimizer, whose rate may.
    """
    schedule = getattr(optimizer, "schedule", ...)
    return schedule is not None and not isinstance(schedule, Plateau)


def ours(optimizer: Any) -> bool:
    """Return whether `optimizer` is one of this module's, so that it is compiled and its rate can be scaled."""
    return type(optimizer) in NAMED.values()


def slowed(optimizer: Any, factor: float) -> Any:
    """Return `optimizer` with its learning rate multiplied by `factor`; itself if that is 1."""
    return optimizer if factor == 1 else replace(optimizer, learning_rate=optimizer.learning_rate * factor)


# By name, in the order of cgru_kernels.steps in simd/cgru.h.
NAMED: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in (SGD, Adam, RMSprop)}


def named(value: Any, argument: str = "optimizer") -> Any:
    """Return `value` if it is an optimizer, or a new one if it is a key of `NAMED`; TypeError or ValueError otherwise.

    An optimizer is any object with the methods `step(p, g, state, fraction)` and `rate(fraction)`.
    """
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]()
    if not isinstance(value, type) and callable(getattr(value, "step", None)):
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    known = ", ".join([*map(repr, NAMED), *(f"{optimizer.__name__}(...)" for optimizer in NAMED.values())])
    raise kind(f"{argument}: expected one of {known}, or one of your own, got {value!r}")
