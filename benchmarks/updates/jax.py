"""JAX: an update under `jit`, parameters and Adam's state donated; and an epoch of them in one `lax.scan` under `jit`.

Which of the two is faster depends on the kind; both are raced.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import cgru
from benchmarks.rivals.jax import GATES, scan
from benchmarks.updates.base import Trainer
from benchmarks.updates.kinds import EPSILON, RATE, REGRESSION, Job, Kind

BETAS = cgru.Adam().beta_1, cgru.Adam().beta_2


def outputs(p: dict, X: jax.Array, kind: Kind) -> jax.Array:
    """What the head gives before its activation, (m, k) or (m, s, k)."""
    A = X.swapaxes(0, 1)
    for i in range(kind.layers):
        whole = kind.every or i + 1 < kind.layers
        halves = [scan(half, A, None, reverse=bool(way))[whole] for way, half in enumerate(p[f"{i}"])]
        A = jnp.concatenate(halves, axis=-1)
    Z = A @ p["head"]["W"] + p["head"]["b"]
    return Z.swapaxes(0, 1) if kind.every else Z


def criterion(p: dict, X: jax.Array, y: jax.Array, kind: Kind) -> jax.Array:
    Z = outputs(p, X, kind)
    if kind.loss == REGRESSION:
        return jnp.mean((Z - y) ** 2)
    if kind.k == 1:
        return jnp.mean(jax.nn.softplus(Z[..., 0]) - Z[..., 0] * y)
    right = (Z * jax.nn.one_hot(y, kind.k, dtype=Z.dtype)).sum(axis=-1)
    return jnp.mean(jax.nn.logsumexp(Z, axis=-1) - right)


def _update(state: tuple, X: jax.Array, y: jax.Array, rows: jax.Array, kind: Kind) -> tuple[tuple, jax.Array]:
    p, mean, square, t = state
    loss, g = jax.value_and_grad(criterion)(p, X[rows], y[rows], kind)
    t += 1
    mean = jax.tree.map(lambda v, g: BETAS[0] * v + (1 - BETAS[0]) * g, mean, g)
    square = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, square, g)
    rate, root = RATE / (1 - BETAS[0] ** t), jnp.sqrt(1 - BETAS[1] ** t)
    p = jax.tree.map(lambda p, a, b: (p - rate * a / (jnp.sqrt(b) / root + EPSILON)).astype(p.dtype), p, mean, square)
    return (p, mean, square, t), loss


update = partial(jax.jit, static_argnums=4, donate_argnums=0)(_update)


@partial(jax.jit, static_argnums=4, donate_argnums=0)
def epoch(state: tuple, X: jax.Array, y: jax.Array, order: jax.Array, kind: Kind) -> tuple[tuple, jax.Array]:
    """`order` is (batches, m)."""
    state, losses = jax.lax.scan(lambda state, rows: _update(state, X, y, rows, kind), state, order)
    return state, losses.mean()


class Steps(Trainer):
    """The data lie on the device, and the epoch's loss is read at its end."""

    name, version = "JAX", f"JAX {jax.__version__}"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        *body, head = job.network().layers
        p = {"head": dict(head.p)}
        for i, layer in enumerate(body):
            halves = layer.halves if job.kind.bidirectional else [layer]
            p[f"{i}"] = [
                {
                    "U": np.hstack([half.p["U" + gate] for gate in GATES]),
                    "V": np.hstack([half.p["V" + gate] for gate in GATES[:2]]),
                    "Vhh": half.p["Vhh"],
                    "b": np.hstack([half.p["b" + gate] for gate in GATES])[0],
                }
                for half in halves
            ]
        p = jax.tree.map(jnp.array, p)
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = p, zeros(p), zeros(p), jnp.zeros((), job.dtype)
        self.X, self.y, self.rng = jnp.array(job.X), jnp.array(job.y), job.orders()

    def first(self) -> float:
        self.state, loss = update(self.state, self.X, self.y, jnp.arange(self.job.kind.m), self.job.kind)
        return float(loss)

    def order(self) -> np.ndarray:
        return self.rng.permutation(len(self.job.X)).reshape(self.updates, -1).astype(np.int32)

    def epoch(self) -> None:
        losses = []
        for rows in self.order():
            self.state, loss = update(self.state, self.X, self.y, rows, self.job.kind)
            losses.append(loss)
        np.mean(jax.block_until_ready((losses, self.state))[0])

    def parameters(self) -> dict[str, np.ndarray]:
        p = jax.tree.map(np.asarray, self.state[0])
        found = {}
        for i in range(self.job.kind.layers):
            for way, half in zip(("forward.", "backward."), p[f"{i}"], strict=False):
                start = f"{i}.{way if self.job.kind.bidirectional else ''}"
                for gate, U, b in zip(GATES, np.split(half["U"], 3, 1), np.split(half["b"][None], 3, 1), strict=True):
                    found |= {f"{start}U{gate}": U, f"{start}b{gate}": b}
                for gate, V in zip(GATES, (*np.split(half["V"], 2, 1), half["Vhh"]), strict=True):
                    found[f"{start}V{gate}"] = V
        return found | {f"{self.job.kind.layers}.{name}": value for name, value in p["head"].items()}


class Epochs(Steps):
    """The same with one call an epoch."""

    name = "JAX, epoch in one"

    def first(self) -> float:
        self.state, loss = epoch(self.state, self.X, self.y, jnp.arange(self.job.kind.m)[None], self.job.kind)
        return float(loss)

    def epoch(self) -> None:
        self.state, loss = epoch(self.state, self.X, self.y, self.order(), self.job.kind)
        jax.block_until_ready((self.state, loss))


CLASSES = (Steps, Epochs)
