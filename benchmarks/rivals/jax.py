"""JAX: `lax.scan` under `jit`, the input product hoisted out of the loop; time-major, without a thread to dispatch in.

On the CPU these were its fastest ways: a product inside the loop, unrolled loops and asynchronous dispatch were slower.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.rivals.base import Rival

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)
GATES = ("r", "z", "hh")


def _cell(p: dict, h: jax.Array, xU: jax.Array) -> jax.Array:
    """One step; xU (m, 3u) is the input's part of r_, z_ and hh_."""
    u = h.shape[1]
    r, z = jnp.split(jax.nn.sigmoid(xU[:, : 2 * u] + h @ p["V"]), 2, axis=1)
    hh = jnp.tanh(xU[:, 2 * u :] + (r * h) @ p["Vhh"])
    return z * h + (1 - z) * hh


def scan(p: dict, X: jax.Array, mask: jax.Array | None, reverse: bool = False) -> tuple[jax.Array, jax.Array]:
    """The last state (m, u), and all of them (s, m, u)."""

    def step(h, inputs):
        xU, real = inputs
        new = _cell(p, h, xU)
        return (new, new) if real is None else (jnp.where(real, new, h), jnp.where(real, new, 0))

    h0 = jnp.zeros((X.shape[1], p["Vhh"].shape[0]), X.dtype)
    return jax.lax.scan(step, h0, (X @ p["U"] + p["b"], mask), reverse=reverse)


@jax.jit
def _predict(p: dict, X: jax.Array, mask: jax.Array | None) -> jax.Array:
    return scan(p, X, mask)[1]


@partial(jax.jit, donate_argnums=0)
def _train(p: dict, X: jax.Array, mask: jax.Array | None, dA: jax.Array, lrate: float) -> tuple[dict, jax.Array]:
    _, pull = jax.vjp(lambda p, X: scan(p, X, mask)[1], p, X)
    dp, dX = pull(dA)
    return jax.tree.map(lambda value, gradient: value - lrate * gradient, p, dp), dX


@jax.jit
def _step(p: dict, x: jax.Array, h: jax.Array) -> jax.Array:
    return _cell(p, h, x @ p["U"] + p["b"])


class Jax(Rival):
    """A mask freezes the state past a sample's length."""

    name, version = "JAX", f"JAX {jax.__version__}"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        parts = {"U": case.joined("U", GATES), "V": case.joined("V", GATES[:2])}
        parts |= {"Vhh": case.p["Vhh"], "b": case.joined("b", GATES)[0]}
        self.p = {name: jnp.array(value) for name, value in parts.items()}
        self.X, self.dA = (jnp.array(value.swapaxes(0, 1)) for value in (case.X, case.dA))
        self.mask = None if case.mask is None else jnp.array(case.mask.swapaxes(0, 1))
        self.x, self.h = self.X[0], jnp.zeros((case.shape.m, case.shape.u), case.dtype)

    def prepare(self) -> None:
        _train.lower(self.p, self.X, self.mask, self.dA, self.case.lrate).compile()

    def predict(self) -> jax.Array:
        return _predict(self.p, self.X, self.mask).block_until_ready()

    def train(self) -> jax.Array:
        self.p, dX = _train(self.p, self.X, self.mask, self.dA, self.case.lrate)
        return jax.block_until_ready((dX, self.p))[0]

    def step(self) -> jax.Array:
        self.h = _step(self.p, self.x, self.h).block_until_ready()
        return self.h

    @staticmethod
    def array(result: jax.Array) -> np.ndarray:
        result = np.asarray(result)
        return result.swapaxes(0, 1) if result.ndim == 3 else result


CLASS = Jax
