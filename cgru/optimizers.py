"""The optimizers SGD, Adam, RMSprop and Adagrad, learning rate schedules, and DP, which makes steps private.

An optimizer holds settings and, but for DP with its noise, no state, so that one may serve several networks and layers:
each of these owns the state, a dict. Parameters and gradients are dicts with the same keys; parameters are updated in
place.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from cgru.core.checks import aligned, float_dtype, integers, named_callable, positive, real
from cgru.core.rows import step_rows, sum_rows

__all__ = [
    "DP", "SGD", "Adagrad", "Adam", "Plateau", "RMSprop", "RowGradients", "constant", "cosine", "linear", "one_cycle",
]  # fmt: skip

Arrays = Mapping[str, np.ndarray]
State = dict[str, dict[str, list[Any]]]  # class of the optimizer -> parameter -> its steps and arrays
Schedule = Callable[[float], float]


def check_number(value: Any, name: str, below: float = math.inf, above: bool = False) -> None:
    """Raise TypeError or ValueError unless 0 <= `value` < `below`; with `above` refuse 0, too."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    beyond = isinstance(value, int) and value > sys.float_info.max  # of a float32 that would be out of range
    if not 0 <= value < below or beyond or (above and value == 0):
        raise ValueError(
            f"{name}: expected a number {'above 0' if above else 'of at least 0'} and below {below:g}, got {value}"
        )


# --- schedules: map the fraction of the fit that is done, in [0, 1), to a factor on the learning rate ---


def constant(fraction: float) -> float:
    """Return 1: the learning rate is the same throughout a fit.

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
    """Return a factor on the learning rate that rises from 1/25 to 1 in 30 % of a fit, then falls to 0.

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
    """A schedule that multiplies the learning rate by `factor` after `patience` epochs without a new lowest loss.

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
        """Return the factor on the learning rate after `stalls` periods without a new lowest loss."""
        return max(float(self.factor) ** stalls, float(self.least))

    def stalls(self, losses: Sequence[float]) -> int:
        """Return how often `patience` epochs passed without a new lowest loss.

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

FIRST = np.zeros(1, np.intp)  # the only row of an array that is seen as a table of one


class RowGradients:
    """The gradients of a few rows of a table (v, u), summed over equal rows; all other rows have gradient zero.

    A step of an optimizer with them changes these rows alone, and the state of these rows: a momentum does not move
    other rows, nor does their running mean fall, as with PyTorch's SparseAdam. `weight_decay` must be 0.

    Args:
        rows: (n,) the number of a row for each gradient, at least 0.
        values: (n, u) the gradients, float32 or float64; (n,) for a table of one column.

    Attributes:
        rows: (c,) the numbers of the rows, each once, in the order in which they come first.
        values: (c, u) their gradients.

    Raises:
        TypeError, ValueError: rows are no such integers, or the values do not fit them.

    Examples:
        >>> g = cgru.optimizers.RowGradients([2, 0, 2], np.array([[1.0], [5.0], [3.0]]))
        >>> g.rows.tolist(), g.values.tolist()
        ([2, 0], [[4.0], [5.0]])
        >>> p = {"E": np.zeros((3, 1))}
        >>> cgru.SGD(0.5).step(p, {"E": g}, {})
        >>> p["E"].tolist()
        [[-2.5], [0.0], [-2.0]]
    """

    def __init__(self, rows: Any, values: Any) -> None:
        values, rows = real(values, "values"), aligned(integers(rows, "rows"), np.intp)
        values = values[:, None] if values.ndim == 1 else values
        if rows.ndim != 1 or values.ndim != 2 or len(values) != len(rows) or (rows < 0).any():
            raise ValueError(
                f"rows: expected integers (n,) of at least 0 and values (n, u), got {rows.shape} and {values.shape}"
            )
        dtype = float_dtype(np.result_type(values.dtype, np.float32), "values")
        self.rows, self.values = sum_rows(rows, aligned(values, dtype))

    def __repr__(self) -> str:
        return f"RowGradients({len(self.rows)} rows, {self.values.shape[1]} columns)"

    def dense(self, v: int) -> np.ndarray:
        """Return the gradients of all rows as one array.

        Args:
            v: how many rows the table has.

        Returns:
            An array (v, u), zero for the other rows.

        Examples:
            >>> cgru.optimizers.RowGradients([2], [[4.0]]).dense(3).tolist()
            [[0.0], [0.0], [4.0]]
        """
        table = np.zeros((v, self.values.shape[1]), self.values.dtype)
        table[self.rows] = self.values
        return table


class Optimizer:
    """The base class of this module's optimizers, with learning rate, clipping, weight decay and parameter states.

    A new one is a subclass, a place in `NAMED`, and its C code in simd/update.h.
    """

    learning_rate: float
    clip_norm: float | None
    schedule: Schedule | None
    arrays: ClassVar[int]  # how many arrays of state a parameter has
    beta: ClassVar[tuple[str, ...]]  # the names of the settings in `beta` of C's cgru_optimizer_step
    debiased: ClassVar[bool] = False  # whether running means are divided by 1 - beta^step

    def __post_init__(self) -> None:
        """Check the settings, and replace a schedule's name by its function."""
        for each in fields(self):
            value, above = getattr(self, each.name), each.name in ("learning_rate", "clip_norm", "epsilon")
            if each.name == "momentum":
                above = bool(getattr(self, "nesterov", False))
            if each.type == "float" or (each.type == "float | None" and value is not None):
                below = 1.0 if each.name in ("momentum", "beta_1", "beta_2", "rho") else math.inf
                check_number(value, each.name, below, above)
        if self.schedule is not None:
            object.__setattr__(self, "schedule", named_callable(self.schedule, "schedule", SCHEDULES))

    @property
    def code(self) -> int:
        """Return the index of this optimizer's compiled step in `cgru_kernels.steps`."""
        return [isinstance(self, kind) for kind in NAMED.values()].index(True)

    def rate(self, fraction: float = 0.0) -> float:
        """Return the learning rate at a fraction of the fit: `learning_rate` times the schedule's factor.

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
            g: the gradients, by the same names, each an array or `RowGradients`; None beside a layer.
            state: a dict that is empty before the first step, and is passed to each step; None beside a layer.
            fraction: the share of the fit that is done, for the schedule.

        Raises:
            TypeError: p is neither a layer nor beside gradients; or a parameter of a layer is no writable array of
                floats.
            ValueError: a gradient has another size than its parameter; `RowGradients` do not fit their parameter, or
                there is a `weight_decay`.
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
        for key, parameter in p.items():
            if isinstance(g[key], RowGradients):
                self._check_rows(parameter, g[key], key)
            elif np.size(g[key]) != np.size(parameter):
                raise ValueError(f"g[{key!r}]: expected shape {np.shape(parameter)}, got {np.shape(g[key])}")
        rate = self.rate(fraction)
        factor = 1.0 if self.clip_norm is None else clip_factor(g, float(self.clip_norm))
        own = state.setdefault(type(self).__name__, {})
        for key, parameter in p.items():
            given = g[key]
            by_rows = isinstance(given, RowGradients)
            rows, values = (given.rows, given.values) if by_rows else (FIRST, np.reshape(given, (1, -1)))
            dtype = np.dtype(np.float32 if parameter.dtype.itemsize <= 4 else np.float64)
            if not _lies_in_order(values, dtype) or np.may_share_memory(parameter, values):
                values = np.array(values, dtype, order="C")
            taken, *kept = own.get(key, [0])
            if [np.shape(each) for each in kept] != [parameter.shape] * self.arrays:
                taken, kept = 0, [np.zeros(parameter.shape, dtype) for _ in range(self.arrays)]
            arrays = [parameter, *kept]
            arrays = [each if _lies_in_order(each, dtype) else np.array(each, dtype, order="C") for each in arrays]
            own[key] = [taken + 1, *arrays[1:]]
            decay = 1 - rate * float(getattr(self, "weight_decay", 0.0)) if is_matrix(key) else 1.0
            step_rows(self, arrays, rows, values, rate, taken + 1, factor, decay)
            if arrays[0] is not parameter:
                np.copyto(parameter, arrays[0], "same_kind")

    def _check_rows(self, p: np.ndarray, g: RowGradients, key: str) -> None:
        """Raise ValueError if the parameter p[key] cannot be updated by gradients of some of its rows."""
        rows, values = g.rows, g.values
        if not _lies_in_order(p, values.dtype) or not p.ndim or len(p) * values.shape[1] != p.size:
            raise ValueError(
                f"p[{key!r}]: expected an array (v, {values.shape[1]}) of {values.dtype} in C order, like the gradients"
                f" of its rows, got {p.shape} of {p.dtype}"
            )
        if rows.size and not 0 <= rows.min() <= rows.max() < len(p):
            raise ValueError(f"g[{key!r}]: expected rows from 0 to {len(p) - 1}, got {rows.min()} to {rows.max()}")
        if getattr(self, "weight_decay", 0.0) and is_matrix(key):
            raise ValueError(
                f"weight_decay: expected 0 with gradients of rows of {key!r}, since it shrinks all rows, got"
                f" {self.weight_decay}"
            )


def _lies_in_order(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether a compiled step can update `array` in place with gradients of `dtype`."""
    return array.flags.carray and array.dtype == dtype


def _gradients(layer: Any) -> dict[str, np.ndarray]:
    """Return the gradient of each parameter of `layer` in the parameter's shape, by the parameter's name."""
    if not layer.g:
        raise RuntimeError("step: expected compute_gradients to be called first")
    found = {}
    for name, value in layer.p.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.flags.writeable:
            raise TypeError(f"p[{name!r}]: expected a writable array of floats to update in place")
        gradient = layer.g.get("d" + name)
        if isinstance(gradient, RowGradients):
            found[name] = gradient
            continue
        if gradient is None or np.size(gradient) != value.size:
            got = "none" if gradient is None else np.shape(gradient)
            raise ValueError(f"g[{'d' + name!r}]: expected the gradient of p[{name!r}] {value.shape}, got {got}")
        found[name] = np.reshape(gradient, value.shape)
    return found


def clip_factor(g: Mapping[str, np.ndarray], clip_norm: float) -> float:
    """Return the factor that scales all gradients to a joint L2 norm of at most `clip_norm`; 1 if none is needed.

    1 too if a gradient is not finite, since no factor would help.
    """
    arrays = [each.values if isinstance(each, RowGradients) else each for each in g.values()]
    largest = max((float(np.abs(gradient).max(initial=0)) for gradient in arrays), default=0.0)
    if not 0 < largest < math.inf:
        return 1.0
    squares = (np.square(gradient / largest, dtype=np.float64).sum() for gradient in arrays)  # none overflows
    norm = math.sqrt(sum(map(float, squares)))
    return clip_norm / largest / norm if norm > clip_norm / largest else 1.0


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum or Nesterov momentum.

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


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam, with running means of the gradient and of its square (Kingma and Ba, 2015, arXiv:1412.6980).

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


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop, with a running mean of the gradient's square (Tieleman and Hinton, 2012) and PyTorch's defaults.

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


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad, with the sum of the gradient's squares (Duchi et al., 2011, JMLR 12), suited to rare tokens.

        square = square + g^2
        v = momentum v + g / sqrt(square + epsilon)
        p -= learning_rate v

    Args:
        learning_rate: above 0.
        momentum: the share of the last step that is kept, at least 0 and below 1.
        epsilon: what is added within the root, above 0.
        weight_decay: as for `Adam`.
        clip_norm: as for `SGD`.
        schedule: as for `SGD`.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> p, state = {"W": np.array([1.0])}, {}
        >>> for _ in range(2):
        ...     cgru.Adagrad(0.1).step(p, {"W": np.array([5.0])}, state)
        >>> p["W"].round(4)  # 1 - 0.1 - 0.1 / sqrt(2)
        array([0.8293])
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    epsilon: float = 1e-6
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Schedule | str | None = None

    arrays: ClassVar[int] = 2
    beta: ClassVar[tuple[str, ...]] = ("momentum",)


# --- differential privacy ---


@dataclass(frozen=True)
class DP:
    """Differentially private SGD with another optimizer's steps: DP-SGD (Abadi et al., 2016, arXiv:1607.00133).

        g = (sum over samples of g_i min(1, max_norm / |g_i|) + noise_multiplier max_norm N(0, 1)) / batch_size

    g_i is the gradient of sample i's own mean loss over its real steps, |g_i| the joint L2 norm over all parameters. A
    sample whose |g_i|^2 is not finite adds nothing. In `Network.fit` each update draws a batch by Poisson sampling:
    each of m samples is in it with probability batch_size / m, so a batch may be empty. An epoch has
    ceil(m / batch_size) updates. From these numbers and `noise_multiplier` an accountant computes epsilon, as
    docs/workloads.md shows. The trained parameters are private. Losses and scores in the history, and the samples of
    `validation`, are not.

    Args:
        optimizer: the optimizer that makes the step with g, or its name; without `clip_norm` and `Plateau`.
        max_norm: the largest norm of a sample's gradient, above 0.
        noise_multiplier: the standard deviation of the noise divided by `max_norm`; 0: no noise, and no privacy.
        seed: the seed of noise and batches, for tests alone, since those who know it can subtract the noise. None:
            entropy of the operating system. The seed of a network is not used: model files contain it.

    Raises:
        TypeError, ValueError: a setting is out of range.

    Examples:
        >>> X, y = np.ones((40, 6, 3)), np.arange(40) % 2
        >>> optimizer = cgru.optimizers.DP(cgru.SGD(0.5), max_norm=1.0, noise_multiplier=1.1)
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], optimizer=optimizer)
        >>> len(net.fit(X, y, epochs=2, batch_size=10))
        2
    """

    optimizer: Any
    max_norm: float
    noise_multiplier: float
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the settings, and make the random generator."""
        object.__setattr__(self, "optimizer", named(self.optimizer))
        if isinstance(self.optimizer, DP):
            raise ValueError("optimizer: expected one whose steps are not private yet, got DP")
        if self.seed is not None and not isinstance(self.seed, int | np.integer):
            raise TypeError(f"seed: expected an integer or None, got {type(self.seed).__name__}")
        check_number(self.max_norm, "max_norm", above=True)
        check_number(self.noise_multiplier, "noise_multiplier")
        if getattr(self.optimizer, "clip_norm", None) is not None:
            raise ValueError(f"clip_norm: expected None in DP, whose max_norm clips, got {self.optimizer.clip_norm}")
        if isinstance(self.schedule, Plateau):
            raise ValueError("schedule: expected one that reads no losses in DP, as these are not private, got Plateau")
        object.__setattr__(self, "np_rng", np.random.default_rng(self.seed))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy only the settings, so that each fit draws different noise."""
        return type(self), (self.optimizer, self.max_norm, self.noise_multiplier, self.seed)

    @property
    def schedule(self) -> Any:
        """Return the optimizer's schedule; the ellipsis for a user-defined optimizer without that attribute."""
        return getattr(self.optimizer, "schedule", ...)

    def rate(self, fraction: float = 0.0) -> float:
        """Return the optimizer's learning rate at a fraction of the fit.

        Args:
            fraction: the share of the fit that is done, from 0 to 1.

        Returns:
            The learning rate.

        Examples:
            >>> cgru.optimizers.DP(cgru.SGD(0.1, schedule="linear"), 1.0, 1.1).rate(0.5)
            0.05
        """
        return self.optimizer.rate(fraction)


def clipped_sums(p: Arrays, g: Mapping[str, Any], max_norm: float) -> dict[str, np.ndarray]:
    """Scale each sample's gradients in `g` to a joint norm of at most `max_norm`, and return their sums.

    `g` may have `TokenGradients` among its arrays (m, ...). A sample with squares that are not finite in the dtype is
    left out.
    """
    squares, sums = 0.0, {}
    rows = {key: np.asarray(getattr(g[key], "rows", g[key]), array.dtype) for key, array in p.items()}
    for each in rows.values():
        shape = (len(each), math.prod(each.shape[1:-1]), *(each.shape[1:][-1:] or (1,)))
        lines = each.reshape(shape)  # sums of few are exact, also in float32
        squares = squares + np.einsum("ijk,ijk->ij", lines, lines).sum(axis=1, dtype=np.float64)
    norms = np.sqrt(squares)
    kept = slice(None) if np.isfinite(norms).all() else np.isfinite(norms)
    factors = max_norm / np.maximum(norms, max_norm)[kept]
    for key, array in p.items():
        each, sums[key] = rows[key][kept], np.zeros_like(array)
        own = factors.astype(each.dtype)
        if hasattr(g[key], "tokens"):
            np.add.at(sums[key], g[key].tokens[kept], own[:, None, None] * each)
        else:
            np.einsum("i,i...->...", own, each, out=sums[key])
    return sums


def noisy_step(optimizer: DP, p: Arrays, sums: Arrays, size: int, state: State, fraction: float) -> None:
    """Add noise to the sums of clipped gradients, divide by the expected batch `size`, and update `p` by them."""
    deviation, g = optimizer.noise_multiplier * optimizer.max_norm, {}
    for key, each in sums.items():
        g[key] = ((each + deviation * optimizer.np_rng.standard_normal(each.shape)) / size).astype(each.dtype)
    optimizer.optimizer.step(p, g, state, fraction)


def is_matrix(key: str) -> bool:
    """Return whether the parameter `key`, such as `0.Uz` or `b`, is a matrix: those have names in capitals."""
    return key.rpartition(".")[2][:1].isupper()


def scheduled(optimizer: Any) -> bool:
    """Return whether the learning rate depends on the fraction of the fit that is done.

    True for the user's own optimizer, whose rate may.
    """
    schedule = getattr(optimizer, "schedule", ...)
    return schedule is not None and not isinstance(schedule, Plateau)


def ours(optimizer: Any) -> bool:
    """Return whether `optimizer` is an instance of this module's classes, not a user-defined one."""
    return type(optimizer) in NAMED.values()


def slowed(optimizer: Any, factor: float) -> Any:
    """Return a copy of `optimizer` with its learning rate multiplied by `factor`; the same object if that is 1."""
    return optimizer if factor == 1 else replace(optimizer, learning_rate=optimizer.learning_rate * factor)


# By name, in the order of cgru_kernels.steps in simd/cgru.h.
NAMED: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in (SGD, Adam, RMSprop, Adagrad)}


def named(value: Any, argument: str = "optimizer") -> Any:
    """Return `value` if it is an optimizer, else a new optimizer of that name; TypeError or ValueError for others.

    An optimizer is any object with the methods `step(p, g, state, fraction)` and `rate(fraction)`.
    """
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]()
    if isinstance(value, DP) or (not isinstance(value, type) and callable(getattr(value, "step", None))):
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    known = ", ".join([*map(repr, NAMED), *(f"{optimizer.__name__}(...)" for optimizer in NAMED.values())])
    raise kind(f"{argument}: expected one of {known}, or your own, got {value!r}")
