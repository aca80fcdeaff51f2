"""`Model`: what fits and scores work on: layers in a chain, their loss, the optimizer and its state.

m samples, s steps, e features per step, k outputs. The arithmetic stands in the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cgru.core.row_blocks import slices
from cgru.layers.dense import Dense
from cgru.layers.layer import Layer
from cgru.losses import Function
from cgru.network import chain
from cgru.network.history import History
from cgru.optimizers import Optimizer

__all__ = ["Model"]

Arrays = dict[str, np.ndarray]


class Model:
    """Layers in a chain, with their loss, their optimizer and the standardisation of their input.

    Fits and scores trust a model. A `Network` is a model that checks its arguments.

    Attributes:
        layers, loss, optimizer, dtype, mean, scale, history: as `Network` has them.
        steppers: the layers that change the number of steps.
        carried: the optimizer's state, as it was last put here: {class of the optimizer: {key of the parameter: [its
        steps, its arrays]}}. Entry "fit" has the state of a running mean of the parameters.
    """

    optimizer: Optimizer
    dtype: np.dtype

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Check the chain of `layers`; there is no loss, standardisation or history yet."""
        self.layers = chain.chain(layers)
        self.steppers = chain.steppers(self.layers)
        self.loss: str | Function | None = None
        self.mean: np.ndarray | None = None
        self.scale: np.ndarray | None = None
        self.history = History()
        self.carried: dict[str, Any] = {}

    # --- description ---

    @property
    def head(self) -> Dense | None:
        """Return the `Dense` at the end of the chain; None where there is none."""
        return self.layers[-1] if self.layers[-1].is_head else None

    @property
    def body(self) -> tuple[Layer, ...]:
        """Return the layers below the head; without a head all layers."""
        return self.layers if self.head is None else self.layers[:-1]

    @property
    def features(self) -> int | None:
        """Return the number of input features, e; None before parameters are created, and for tokens."""
        return chain.features(self.layers)

    @property
    def per_step(self) -> bool:
        """Return whether outputs are (m, s, k), one for each step."""
        return chain.per_step(self.layers)

    def output_lengths(self, lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
        """Return how many steps of outputs samples of these `lengths` have; ValueError by `name` for too short ones."""
        return chain.output_lengths(self.layers, lengths, name)

    def output_mask(self, X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """Return which steps of the outputs (m, n, k) are real, not padding: (m, n) booleans."""
        return chain.output_mask(self.layers, *X.shape[:2], lengths)

    @property
    def stateful(self) -> bool:
        """Return whether a layer, or one direction of it, is `stateful`: keeps its state from call to call."""
        return any(part.stateful for layer in self.layers for part in (layer, *layer.cells))

    def parameters(self) -> Arrays:
        """Return the parameters of all layers by keys like `0.Uz`: the arrays themselves, no copies."""
        return {f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.p.items()}

    @property
    def measured(self) -> tuple[np.ndarray | None, np.ndarray | None, float | None]:
        """Return what fits measure of X: mean, scale and, of a first layer with gaps, its unit of time. May be set."""
        return self.mean, self.scale, getattr(self.layers[0], "unit", None)

    @measured.setter
    def measured(self, value: tuple[np.ndarray | None, np.ndarray | None, float | None]) -> None:
        self.mean, self.scale, unit = value
        if self.layers[0].takes_missing:
            self.layers[0].unit = unit

    # --- running ---

    def standardized(self, X: np.ndarray) -> np.ndarray:
        """Return X standardised and in the network's dtype, as the first layer takes it; tokens stay as they are."""
        if X.ndim == 2:
            return X
        if self.mean is None:
            return X.astype(self.dtype, copy=False)
        A = np.empty(X.shape, self.dtype)
        for rows in slices(X.shape):
            A[rows] = (X[rows] - self.mean) / self.scale
        return A

    def reset_states(self) -> None:
        """Reset the states of all `stateful` layers."""
        for layer in self.layers:
            if any(part.stateful for part in (layer, *layer.cells)):
                layer.reset_state()

    def head_inputs(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None,
        size: int,
        starts: Sequence[np.ndarray | None] | None = None,
        beside: Arrays | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None, slice, list[np.ndarray]]]:
        """Yield (inputs of the head, lengths, rows of X, last states), `size` samples at a time, run from `starts`.

        No cache is kept for a backward pass. `starts` are the initial states of each cell; None: no states are
        returned. `beside` are arrays (m, s) by the names by which layers read them.
        """
        body = self.body
        if self.stateful:
            size = max(size, len(X))
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            A, steps = self.standardized(X[rows]), None if lengths is None else lengths[rows]
            before, after = iter(starts or ()), []
            read = {name: array[rows] for name, array in beside.items()} if beside else None
            for layer, given in zip(body, chain.step_arrays(body, read, steps), strict=False):
                if starts is None:
                    A = layer.predict(A, steps, **given)
                else:
                    own = [None if h is None else h[rows] for _, h in zip(layer.cells, before, strict=False)]
                    A, last = layer.predict_on(A, steps, own, **given)
                    after += last
                if steps is not None:
                    steps = layer.output_lengths(A, steps)
            yield A, steps, rows, after

    def outputs(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None,
        size: int,
        starts: Sequence[np.ndarray | None] | None = None,
        beside: Arrays | None = None,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return (outputs for X, which is checked already; last states, one for each of the initial states `starts`).

        `size` samples run at a time. `beside` are arrays (m, s) by the names by which layers read them.
        """
        joined: list[np.ndarray | None] = [None] * (1 + len(starts or ()))  # the outputs, then the states
        with np.errstate(over="ignore", invalid="ignore"):
            for A, steps, rows, states in self.head_inputs(X, lengths, size, starts, beside):
                parts = [A if self.head is None else self.head.predict(A, steps), *states]
                joined = [_write_rows(part, whole, rows, len(X)) for part, whole in zip(parts, joined, strict=True)]
        return joined[0], joined[1:]


def _write_rows(part: np.ndarray, whole: np.ndarray | None, rows: slice, m: int) -> np.ndarray:
    """Write `part` into `rows` of `whole`, or of a new array (m, ...), and return that; or `part`, if it has m rows."""
    if whole is None:
        if len(part) == m:
            return part
        whole = np.empty((m, *part.shape[1:]), part.dtype)
    whole[rows] = part
    return whole
