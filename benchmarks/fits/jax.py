"""JAX: epochs of a fit in one `lax.scan` under `jit`, the steps another one; alone, and many under `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import cgru
from benchmarks.fits.base import Fits
from benchmarks.fits.task import EPSILON, L1, RATE, Maker, Name, Task
from benchmarks.rivals.jax import GATES

BETAS = cgru.Adam().beta_1, cgru.Adam().beta_2
FEW = 5  # units


def by_rows(p: dict, X: jax.Array) -> jax.Array:
    """What the head gives before its activation, (s, m, 2); X (s, m, e)."""
    u = len(p["V"])

    def step(h: jax.Array, xU: jax.Array) -> tuple[jax.Array, jax.Array]:
        hV = h @ p["V"]
        r, z = jnp.split(jax.nn.sigmoid(xU[:, : 2 * u] + hV[:, : 2 * u]), 2, axis=1)
        hh = jnp.tanh(xU[:, 2 * u :] + r * (hV[:, 2 * u :] + p["c"]))
        h = z * h + (1 - z) * hh
        return h, h

    _, states = jax.lax.scan(step, jnp.zeros((X.shape[1], u), X.dtype), X @ p["U"] + p["b"])
    return states @ p["W"] + p["d"]


def by_columns(p: dict, X: jax.Array) -> jax.Array:
    """The same with the samples last, as they vectorize; of few units a product is a sum that XLA fuses."""
    u = len(p["V"])

    def times(W: jax.Array, A: jax.Array) -> jax.Array:
        return (W[:, :, None] * A[..., :, None, :]).sum(axis=-3) if u <= FEW else jnp.einsum("eu,...em->...um", W, A)

    def step(h: jax.Array, xU: jax.Array) -> tuple[jax.Array, jax.Array]:
        hV = times(p["V"], h)
        r, z = jnp.split(jax.nn.sigmoid(xU[: 2 * u] + hV[: 2 * u]), 2)
        hh = jnp.tanh(xU[2 * u :] + r * (hV[2 * u :] + p["c"].T))
        h = z * h + (1 - z) * hh
        return h, h

    xU = times(p["U"], X.swapaxes(1, 2)) + p["b"].T
    _, states = jax.lax.scan(step, jnp.zeros((u, X.shape[1]), X.dtype), xU)
    return (times(p["W"], states) + p["d"].T).swapaxes(1, 2)


def criterion(p: dict, X: jax.Array, y: jax.Array, real: jax.Array, outputs: Callable) -> jax.Array:
    """The mean over real steps, 1 in `real` (s, m). Those past a session's end come after all that counts."""
    Z = outputs(p, X)
    wrong = jax.nn.logsumexp(Z, axis=-1) - jnp.where(y == 1, Z[..., 1], Z[..., 0])
    return (wrong * real).sum() / real.sum()


def penalized(p: dict, samples: tuple, outputs: Callable, l1: float) -> tuple[jax.Array, jax.Array]:
    loss = criterion(p, *samples, outputs)
    return loss + l1 * jnp.abs(p["V"]).sum(), loss


def epoch(
    state: tuple,
    train: tuple,
    validation: tuple,
    outputs: Callable,
    rate: float = RATE,
    l1: float = L1,
    epsilon: float = EPSILON,
    decay: float = 0.0,
) -> tuple[tuple, jax.Array]:
    """An update, the validation loss, and the best parameters kept; `decay` is of the matrices alone, as AdamW's."""
    p, mean, square, t, best, lowest = state
    (_, loss), g = jax.value_and_grad(penalized, has_aux=True)(p, train, outputs, l1)
    t += 1
    mean = jax.tree.map(lambda v, g: BETAS[0] * v + (1 - BETAS[0]) * g, mean, g)
    square = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, square, g)
    if decay:
        p = p | {name: p[name] * (1 - rate * decay) for name in "UVW"}
    step, root = rate / (1 - BETAS[0] ** t), jnp.sqrt(1 - BETAS[1] ** t)
    p = jax.tree.map(lambda p, a, b: p - step * a / (jnp.sqrt(b) / root + epsilon), p, mean, square)
    judged = criterion(p, *validation, outputs)
    best = jax.tree.map(lambda new, old: jnp.where(judged < lowest, new, old), p, best)
    return (p, mean, square, t, best, jnp.minimum(judged, lowest)), jnp.stack([loss, judged])


@partial(jax.jit, static_argnums=(3, 4, 5), donate_argnums=0)
def epochs(
    state: tuple, train: tuple, validation: tuple, n: int, outputs: Callable, many: bool
) -> tuple[tuple, jax.Array]:
    """`n` of them in one call, of one fit or of `many`, which all come first in each array."""
    one = partial(epoch, outputs=outputs)
    each = jax.vmap(one) if many else one
    return jax.lax.scan(lambda state, _: each(state, train, validation), state, length=n)


class Many(Fits):
    """Fits of one size side by side."""

    name, version, together = "JAX, vmap", f"JAX {jax.__version__}", 32

    def __init__(self, task: Task, names: tuple[Name, ...]) -> None:
        found = zip(*(start(task, name) for name in names), strict=True)
        p, self.train, self.validation = (jax.tree.map(lambda *each: jnp.stack(each), *part) for part in found)
        self.state = jax.vmap(begun)(p)

    def epochs(self, n: int) -> np.ndarray:
        self.state, losses = epochs(self.state, self.train, self.validation, n, by_rows, True)
        return np.asarray(losses)


class Alone(Fits):
    """One fit."""

    name, version, outputs = "JAX", f"JAX {jax.__version__}", staticmethod(by_rows)

    def __init__(self, task: Task, names: tuple[Name, ...]) -> None:
        p, self.train, self.validation = jax.tree.map(jnp.array, start(task, *names))
        self.state = begun(p)

    def epochs(self, n: int) -> np.ndarray:
        self.state, losses = epochs(self.state, self.train, self.validation, n, self.outputs, False)
        return np.asarray(losses)[:, None]


class Columns(Alone):
    """One fit with the samples last."""

    name, outputs = "JAX, samples last", staticmethod(by_columns)


def start(task: Task, name: Name) -> tuple[dict, tuple, tuple]:
    """First parameters and the samples to train on and to validate with, in NumPy."""
    X, y, lengths = task.data()
    net = Maker(name)()
    net.make(X)
    own, head = net.body[0].p, net.head.p
    p = {kind: np.hstack([own[kind + gate] for gate in GATES]) for kind in "UVb"}
    p |= {"c": own["chh"], "W": head["W"], "d": head["b"]}
    real = (np.arange(task.longest) < lengths[:, None]).astype(np.float32)
    parts = [[part[rows].swapaxes(0, 1) for part in (X, y, real)] for rows in task.fold(name)[:2]]
    return p, tuple(parts[0]), tuple(parts[1])


def begun(p: dict) -> tuple:
    """The state of a fit before its first epoch."""
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return p, zeros(p), zeros(p), jnp.float32(0), jax.tree.map(jnp.copy, p), jnp.float32(jnp.inf)


CLASSES = (Alone, Columns, Many)
