"""The model that a fit trains: layers in a chain, the loss of their head, the state of the optimizer.

m samples, s steps, e elements per step, k outputs. No arithmetic of a layer is done here.
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
    """Layers in a chain, their loss and optimizer, and what their input is standardised by.

    Scores and fits take a model and trust it. A `Network` is a model that checks what it is given.

    Attributes:
        layers, loss, optimizer, dtype, mean, scale, history: as `Network` has them.
        steppers: the layers that change the number of steps.
        carried: what the optimizer carries along, as it was last put here, by its class, then by the parameter: its
            steps and its arrays.
    """

    optimizer: Optimizer
    dtype: np.dtype

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = chain.chain(layers)
        self.steppers = chain.steppers(self.layers)
        self.loss: str | Function | None = None
        self.mean: np.ndarray | None = None
        self.scale: np.ndarray | None = None
        self.history = History()
        self.carried: dict[str, Any] = {}

    # --- what it is ---

    @property
    def head(self) -> Dense | None:
        """The `Dense` at the end; None where there is none."""
        return self.layers[-1] if self.layers[-1].is_head else None

    @property
    def body(self) -> tuple[Layer, ...]:
        """The layers below the head."""
        return self.layers if self.head is None else self.layers[:-1]

    @property
    def elements(self) -> int | None:
        """e, which the parameters are made for; None where there are none yet, or the inputs are tokens."""
        return chain.elements(self.layers)

    @property
    def per_step(self) -> bool:
        """Whether outputs are (m, s, k)."""
        return chain.per_step(self.layers)

    def output_lengths(self, lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
        """Return how many outputs at steps there are for samples of so many steps."""
        return chain.output_lengths(self.layers, lengths, name)

    def output_mask(self, X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """Return which outputs (m, n, k) at steps are those of real ones, (m, n) booleans."""
        return chain.output_mask(self.layers, *X.shape[:2], lengths)

    @property
    def stateful(self) -> bool:
        """Whether a layer, or one direction of it, goes on from call to call."""
        return any(part.stateful for layer in self.layers for part in (layer, *layer.cells))

    def parameters(self) -> Arrays:
        """The parameters of all layers, by keys like `0.Uz`: the arrays themselves."""
        return {f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.p.items()}

    # --- what runs in it ---

    def standardized(self, X: np.ndarray) -> np.ndarray:
        """X as the first layer takes it: standardised, and in the network's dtype; tokens as they are."""
        if X.ndim == 2:
            return X
        if self.mean is None:
            return X.astype(self.dtype, copy=False)
        A = np.empty(X.shape, self.dtype)
        for rows in slices(X.shape):
            A[rows] = (X[rows] - self.mean) / self.scale
        return A

    def reset_states(self) -> None:
        """Let all `stateful` layers begin anew."""
        for layer in self.layers:
            if any(part.stateful for part in (layer, *layer.cells)):
                layer.reset_state()

    def below(
        self, X: np.ndarray, lengths: np.ndarray | None, size: int, starts: Sequence[np.ndarray | None] | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None, slice, list[np.ndarray]]]:
        """What the head gets, its lengths, for which samples, `size` of them at a time, and the last states of these.

        No cache is kept. `starts` are the states before, for each cell; without them no states are looked for.
        """
        if self.stateful:
            size = max(size, len(X))
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            A, steps = self.standardized(X[rows]), None if lengths is None else lengths[rows]
            before, after = iter(starts or ()), []
            for layer in self.body:
                if starts is None:
                    A = layer.predict(A, steps)
                else:
                    own = [None if h is None else h[rows] for _, h in zip(layer.cells, before, strict=False)]
                    A, last = layer.predict_on(A, steps, own)
                    after += last
                if steps is not None:
                    steps = layer.output_lengths(A, steps)
            yield A, steps, rows, after

    def outputs(
        self, X: np.ndarray, lengths: np.ndarray | None, size: int, starts: Sequence[np.ndarray | None] | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the outputs for checked X, and the last states where `starts` are given; as `below`."""
        joined: list[np.ndarray | None] = [None] * (1 + len(starts or ()))  # the outputs, and the states
        with np.errstate(over="ignore", invalid="ignore"):
            for A, steps, rows, states in self.below(X, lengths, size, starts):
                parts = [A if self.head is None else self.head.predict(A, steps), *states]
                joined = [_put(part, whole, rows, len(X)) for part, whole in zip(parts, joined, strict=True)]
        return joined[0], joined[1:]


def _put(part: np.ndarray, whole: np.ndarray | None, rows: slice, m: int) -> np.ndarray:
    """`whole` (m, ...) with what belongs to `rows` in its place; the first part makes it, and is it where it is all."""
    if whole is None:
        if len(part) == m:
            return part
        whole = np.empty((m, *part.shape[1:]), part.dtype)
    whole[rows] = part
    return whole
