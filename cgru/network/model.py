"""`Model`: the part of a network that fits and scores need: layers, loss, optimizer and optimizer state.

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
from cgru.optimizers import DP, Optimizer

__all__ = ["Model"]

Arrays = dict[str, np.ndarray]


class Model:
    """A chain of layers with their loss, their optimizer and the standardisation of the input.

    Fits and scores trust a model. A `Network` is a model that checks its arguments.

    Attributes:
        layers, loss, optimizer, dtype, mean, scale, history: as `Network` has them.
        steppers: the layers that change the number of steps.
        carried: the optimizer's state, as it was last put here: {class of the optimizer: {key of the parameter: [its
        steps, its arrays]}}. Entry "fit" has the state of a running mean of the parameters.
    """

    optimizer: Optimizer | DP
    dtype: np.dtype

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Check the chain of `layers`; loss, standardisation and history are set later."""
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
        """Return the `Dense` layer at the end of the chain; None if there is none."""
        return self.layers[-1] if self.layers[-1].is_head else None

    @property
    def body(self) -> tuple[Layer, ...]:
        """Return the layers before the head; all layers if there is no head."""
        return self.layers if self.head is None else self.layers[:-1]

    @property
    def features(self) -> int | None:
        """Return e, the number of input features; None before the parameters are made, and for tokens."""
        return chain.features(self.layers)

    @property
    def per_step(self) -> bool:
        """Return whether there are outputs at each step, (m, s, k)."""
        return chain.per_step(self.layers)

    def output_lengths(self, lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
        """Return the number of output steps of samples with these `lengths`.

        Args:
            lengths: (m,) the steps of each sample.
            name: how errors call the argument.

        Returns:
            The steps of the outputs (m,).

        Raises:
            ValueError: a sample is too short, by `name`.

        Examples:
            >>> net = cgru.Network([cgru.Frames(4, 2), cgru.GRU(4, sequences=True), cgru.Dense(2, "softmax")])
            >>> net.output_lengths(np.array([4, 10])).tolist()
            [1, 4]
        """
        return chain.output_lengths(self.layers, lengths, name)

    def output_mask(self, X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """Return the mask of real steps of the outputs (m, n, k).

        Args:
            X: the inputs (m, s, e), or tokens (m, s).
            lengths: (m,) the real steps of each sample; None: all.

        Returns:
            Booleans (m, n).

        Examples:
            >>> net = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(2, "softmax")])
            >>> net.output_mask(np.zeros((2, 3, 1)), np.array([3, 1])).tolist()
            [[True, True, True], [True, False, False]]
        """
        return chain.output_mask(self.layers, *X.shape[:2], lengths)

    @property
    def stateful(self) -> bool:
        """Return whether a layer, or one direction of it, is `stateful`: it keeps its state between calls."""
        return any(part.stateful for layer in self.layers for part in (layer, *layer.cells))

    def parameters(self) -> Arrays:
        """Return the parameter arrays of all layers, without copies, by keys like `0.Uz`.

        Returns:
            The arrays by keys like `0.Uz`: the index of the layer and the name in its `p`.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> net.make(np.zeros((1, 5, 3)))
            >>> net.parameters()["1.W"].shape
            (4, 2)
        """
        return {f"{key}.{name}": array for key, layer in chain.leaves(self.layers) for name, array in layer.p.items()}

    @property
    def measured(self) -> tuple[np.ndarray | None, np.ndarray | None, float | None]:
        """Return what fits estimate from X: mean, scale, and the unit of time of a GRUD.

        It may be set.
        """
        return self.mean, self.scale, getattr(self.layers[0], "unit", None)

    @measured.setter
    def measured(self, value: tuple[np.ndarray | None, np.ndarray | None, float | None]) -> None:
        self.mean, self.scale, unit = value
        if "missing" in self.layers[0].reads:
            self.layers[0].unit = unit

    # --- running ---

    def standardized(self, X: np.ndarray) -> np.ndarray:
        """Return X standardised and cast to the network's dtype.

        Args:
            X: the inputs (m, s, e); tokens (m, s) stay as they are.

        Returns:
            (X - mean) / scale; X where the network has no standardisation.

        Raises:
            ValueError: the number of features of X is not that of the mean.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
            >>> net.mean, net.scale = np.array([1.0]), np.array([2.0])
            >>> net.standardized(np.full((1, 2, 1), 5.0)).ravel().tolist()
            [2.0, 2.0]
        """
        if X.ndim == 2:
            return X
        if self.mean is None:
            return X.astype(self.dtype, copy=False)
        A = np.empty(X.shape, self.dtype)
        for rows in slices(X.shape):
            A[rows] = (X[rows] - self.mean) / self.scale
        return A

    def reset_states(self) -> None:
        """Reset the states of all `stateful` layers.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4, stateful=True), cgru.Dense(1)], seed=0)
            >>> X = np.ones((1, 3, 2))
            >>> A, B = net.predict(X), net.predict(X)  # the second call goes on where the first ended
            >>> net.reset_states()
            >>> bool((A == B).all()), bool((A == net.predict(X)).all())
            (False, True)
        """
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
        """Yield the inputs of the head for `size` samples at a time.

        No cache is kept for a backward pass.

        Args:
            X: the inputs, checked already.
            lengths: (m,) the real steps of each sample; None: all.
            size: the number of samples that run at a time.
            starts: the initial states of each cell; None: no states are returned.
            beside: arrays (m, s) by the names by which layers read them.

        Returns:
            An iterator of (inputs of the head, lengths, rows of X, last states).

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> X = np.ones((5, 7, 3))
            >>> net.make(X)
            >>> [A.shape for A, lengths, rows, states in net.head_inputs(X, None, 3)]
            [(3, 4), (2, 4)]
        """
        body = self.body
        if len(X) > size and self.stateful:
            size = len(X)
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            states = None if starts is None else [None if h is None else h[rows] for h in starts]
            run_layer, after = chain.predicting(states)
            read = {name: array[rows] for name, array in beside.items()} if beside else None
            steps = None if lengths is None else lengths[rows]
            yield *chain.run(body, self.standardized(X[rows]), steps, read, run_layer), rows, after

    def outputs(
        self,
        X: np.ndarray,
        lengths: np.ndarray | None,
        size: int,
        starts: Sequence[np.ndarray | None] | None = None,
        beside: Arrays | None = None,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the outputs for a checked X, and the last states.

        Args:
            X: the inputs.
            lengths: (m,) the real steps of each sample; None: all.
            size: the number of samples that run at a time.
            starts: the initial states of each cell; None: no states are returned.
            beside: arrays (m, s) by the names by which layers read them.

        Returns:
            (outputs, last states), a state for each of the initial states `starts`.

        Examples:
            >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
            >>> X = np.ones((5, 7, 3))
            >>> net.make(X)
            >>> A, states = net.outputs(X, None, 3)
            >>> A.shape, states
            ((5, 2), [])
        """
        joined: list[np.ndarray | None] = [None] * (1 + len(starts or ()))  # the outputs, then the states
        head = self.head
        with np.errstate(over="ignore", invalid="ignore"):
            for A, steps, rows, states in self.head_inputs(X, lengths, size, starts, beside):
                parts = [A if head is None else head.predict(A, steps), *states]
                joined = [_write_rows(part, whole, rows, len(X)) for part, whole in zip(parts, joined, strict=True)]
        return joined[0], joined[1:]


def _write_rows(part: np.ndarray, whole: np.ndarray | None, rows: slice, m: int) -> np.ndarray:
    """Write `part` to `rows` of `whole`, allocated for m rows if it is None; return it."""
    if whole is None:
        if len(part) == m:
            return part
        whole = np.empty((m, *part.shape[1:]), part.dtype)
    whole[rows] = part
    return whole
