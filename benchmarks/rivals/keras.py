"""Keras: its GRU layer with `reset_after=False` on JAX, each call one function under `jit`."""

from __future__ import annotations

import os
from functools import cache, partial

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is loaded

import jax
import jax.numpy as jnp
import keras
import numpy as np

import benchmarks.rivals.jax  # noqa: F401  how JAX is set up
from benchmarks.cases import Case
from benchmarks.rivals.base import Rival

GATES = ("z", "r", "hh")


class Keras(Rival):
    """Batch-major. A mask freezes the state past a sample's length."""

    name, version = "Keras", f"Keras {keras.__version__}"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        m, _, e, u, _ = case.shape
        self.rest, self._predict, self._train, self._step = functions(e, u, case.dtype)
        self.p = [jnp.array(case.joined(kind, GATES)) for kind in "UV"] + [jnp.array(case.joined("b", GATES)[0])]
        self.X, self.dA = jnp.array(case.X), jnp.array(case.dA)
        self.mask = None if case.mask is None else jnp.array(case.mask[:, :, 0])
        self.x, self.h = self.X[:, 0], jnp.zeros((m, u), case.dtype)

    def prepare(self) -> None:
        self._train.lower(self.p, self.rest, self.X, self.mask, self.dA, self.case.lrate).compile()

    def predict(self) -> jax.Array:
        return self._predict(self.p, self.rest, self.X, self.mask).block_until_ready()

    def train(self) -> jax.Array:
        self.p, dX = self._train(self.p, self.rest, self.X, self.mask, self.dA, self.case.lrate)
        return jax.block_until_ready((dX, self.p))[0]

    def step(self) -> jax.Array:
        self.h = self._step(self.p, self.rest, self.x, self.h).block_until_ready()
        return self.h

    @staticmethod
    def array(result: jax.Array) -> np.ndarray:
        return np.asarray(result)


@cache  # so that a second layer of the same kind need not be compiled anew
def functions(e: int, u: int, dtype: str) -> tuple:
    """What the layer has beside its weights, and predict, train and step as compiled functions of all its arrays."""
    layer = keras.layers.GRU(
        u,
        activation=jnp.tanh,  # Keras's own rounds float64 to float32
        return_sequences=True,
        reset_after=False,
        zero_output_for_mask=True,
        dtype=dtype,
    )
    layer.build((None, None, e))

    def predict(p, rest, X, mask):
        return layer.stateless_call(p, rest, X, mask=mask)[0]

    @partial(jax.jit, donate_argnums=0)
    def train(p, rest, X, mask, dA, lrate):
        _, pull = jax.vjp(lambda p, X: predict(p, rest, X, mask), p, X)
        dp, dX = pull(dA)
        return jax.tree.map(lambda value, gradient: value - lrate * gradient, p, dp), dX

    @jax.jit
    def step(p, rest, x, h):
        return layer.cell.stateless_call(p, rest, x, [h])[0][0]

    return [variable.value for variable in layer.non_trainable_variables], jax.jit(predict), train, step


CLASS = Keras
