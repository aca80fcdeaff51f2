"""Layers with parallel branches, each a chain of layers that reads the same input: Concatenate, Add and Multiply.

Letters: m samples, s steps, n input features of a step, u numbers that go out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from cgru.bidirectional import JoinedParameters, JoinedPass
from cgru.core.lengths import mask
from cgru.layers.layer import Fields, Layer, Shape, as_floats, part_of
from cgru.layers.steps import NEEDS, Steps
from cgru.network import chain
from cgru.passes import Pass

__all__ = ["KINDS", "Add", "Concatenate", "Multiply"]

Arrays = dict[str, np.ndarray]
Branch = Layer | Sequence[Layer]
OPERATORS = {"add": np.add, "multiply": np.multiply}
MANY = 1 << 20  # features, more than a Select may name
ALONE = np.arange(1 << 10, 1 << 12)  # lengths for which branches must have the same number of steps


class Branches(Layer):
    """The base class of layers with parallel branches.

    Attributes are those of the layers within: `p` is a view of their parameters, by names like `0.1.Uz` of branch 0,
    layer 1; `trainable`, `training`, `dtype` are set in all of them.
    """

    fields = Fields(branches=True)

    def __init__(self, *branches: Branch) -> None:
        if len(branches) < 2:
            raise ValueError(f"branches: expected two or more, each a layer or a list of layers, got {len(branches)}")
        found = []
        for b, branch in enumerate(branches):
            layers = (branch,) if isinstance(branch, Layer) else branch
            if not isinstance(layers, list | tuple):
                due = "a layer or a list of layers"
                raise TypeError(f"branches: expected {due} as branch {b}, got {type(branch).__name__}")
            for layer in layers:
                if not isinstance(layer, Layer) or {"tokens", "missing"} & {*layer.reads}:
                    due = "layers that read numbers; others come before the branches, as layer 0"
                    raise ValueError(f"branches: expected in branch {b} {due}, got {layer!r}")
            found.append(tuple(layers))
        super().__init__()
        self.branches = tuple(found)
        self._check_steps()

    def __repr__(self) -> str:
        branches = (repr(branch[0] if len(branch) == 1 else list(branch)) for branch in self.branches)
        return f"{type(self).__name__}({', '.join(branches)})"

    # --- what the layers within say ---

    def _named(self) -> Iterator[tuple[str, Layer]]:
        """Yield (key, layer) of each layer in the branches, with keys like `0.1` for layer 1 of branch 0."""
        return ((key[2:], layer) for key, layer in chain.leaves([self]))

    @property
    def _within(self) -> list[Layer]:
        """Return all layers in the branches, also those in branches of branches."""
        return [layer for _, layer in self._named()]

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the names of the arrays besides X and lengths that layers in the branches read, such as "decay"."""
        below = (layer for branch in self.branches for layer in branch)
        return tuple(dict.fromkeys(name for layer in below for name in layer.reads))

    @property
    def p(self) -> JoinedParameters:
        """Return a view of the parameters of all layers in the branches."""
        return JoinedParameters({f"{key}.": layer.p for key, layer in self._named()})

    @p.setter
    def p(self, value: Any) -> None:
        """Do nothing; the parameters stay with the layers in the branches."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of all parameters, prefixed by the keys of their layers."""
        return tuple(f"{key}.{name}" for key, layer in self._named() for name in layer.parameter_names)

    @property
    def cells(self) -> tuple[Any, ...]:
        """Return the GRUs in all branches."""
        return tuple(cell for layer in self._within for cell in layer.cells)

    @property
    def draws(self) -> bool:
        """Return whether a layer in the branches draws random numbers in training."""
        return any(layer.draws for layer in self._within)

    @property
    def stateful(self) -> bool:
        """Return whether a layer in the branches is stateful."""
        return any(layer.stateful for layer in self._within)

    @property
    def weights(self) -> Any:
        """Return the stored form of the first layer in the branches with quantised weights; None if there is none."""
        return next((layer.weights for layer in self._within if layer.weights), None)

    @property
    def trainable(self) -> bool:
        """Return whether a layer in the branches is trainable.

        It may be set, in all of them.
        """
        return any(layer.trainable for layer in self._within)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._within if self.branches else ():  # not in the base's constructor
            layer.trainable = bool(value) and len(layer.parameter_names) > 0

    @property
    def training(self) -> bool:
        """Return whether a layer in the branches is in training mode.

        It may be set, in all that draw.
        """
        return any(getattr(layer, "training", False) for layer in self._within)

    @training.setter
    def training(self, value: bool) -> None:
        for layer in self._within:
            if hasattr(layer, "training"):
                layer.training = value

    @property
    def dtype(self) -> np.dtype:
        """Return the dtype of the parameters.

        It may be set as long as there are none.
        """
        return next((layer.dtype for layer in self._within if layer.parameter_names), self._dtype)

    @dtype.setter
    def dtype(self, value: DTypeLike) -> None:
        for layer in self._within:
            layer.dtype = value

    @property
    def features(self) -> int | None:
        """Return n, the number of input features that the parameters were made for; None before they are made."""
        for branch in self.branches:
            with suppress(ValueError):  # a number far up may not tell it
                if branch and (n := chain.features(branch)) is not None:
                    return n
        return None

    def input_features(self, n: int) -> int:
        """Return the number of input features for n output features; ValueError if no number fits."""
        least, more = (self.output_shape(("m", "s", e))[-1] for e in (MANY, MANY + 1))
        if more == least:
            raise ValueError(f"expected inputs=n, the number of input features, in a Select of {self!r}")
        return part_of(n - least + MANY * (more - least), more - least)

    @property
    def steps(self) -> Steps:
        """Return how the branches use and change the steps of a sequence."""
        each = [chain.joint_steps(branch) for branch in self.branches]
        needs, counts = max((steps.needs for steps in each), key=NEEDS.index), [own.count for own in each if own.count]
        # where any branch has too few steps, they are refused; else all have as many
        count = (lambda *given: np.max([own(*given) for own in counts], axis=0)) if counts else None
        return Steps(needs, math.lcm(*(steps.stride for steps in each)), count, each[0].reverses)

    def _check_steps(self) -> None:
        """Raise ValueError if branches have outputs at different steps."""
        if chain.per_step(self.branches[0]):
            first, *others = (chain.joint_steps(branch) for branch in self.branches)
            for b, steps in enumerate(others, 1):
                same = steps.stride == first.stride and steps.reverses == first.reverses
                if not same or not np.array_equal(steps.lengths(ALONE), first.lengths(ALONE)):
                    raise ValueError(f"branches: expected outputs at the same steps in all, got others in branch {b}")

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs for inputs of a given shape; ValueError names a branch that does not fit."""
        found = []
        if isinstance(shape[-1], str) and self.features is not None:
            shape = *shape[:-1], self.features
        for b, branch in enumerate(self.branches):
            try:
                found.append(chain.shape_of(branch, shape))
            except ValueError as error:
                raise ValueError(f"branch {b}: {error}") from None
            if len(found[b]) != len(found[0]):
                raise ValueError(f"branches that all have outputs at steps, or none, got {found[0]}, {found[b]}")
        return *found[0][:-1], self._width([each[-1] for each in found])

    def _width(self, widths: list[Any]) -> Any:
        """Return the number of output features from those of the branches, with letters for unknown numbers."""
        known = sorted({n for n in widths if not isinstance(n, str)})
        if len(known) > 1:
            raise ValueError(f"branches with the same number of output features, got {widths}")
        return known[0] if known else widths[0]

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and the parameters, for an input A."""
        shape = np.shape(A)
        for letter in "msn":
            self.d.pop(letter, None)
        self.d |= zip("mn" if len(shape) == 2 else "msn", shape, strict=True)
        self.fs |= {"X": shape}
        for (key, layer), own in zip(self._named(), chain.leaf_inputs([self], shape), strict=True):
            layer.compute_shapes(np.zeros(own, np.intp))
            self.fs |= {f"{key}.{name}": layer.fs[name] for name in layer.parameter_names}

    def initialize_parameters(self) -> None:
        """Draw new parameters for all layers in the branches."""
        for layer in self._within:
            layer.initialize_parameters()

    def arrays(self, e: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        found = zip(self._named(), chain.leaf_inputs([self], ("m", "s", e)), strict=True)
        return {f"{key}.{name}": value for (key, layer), own in found for name, value in layer.arrays(own[-1]).items()}

    def make(self, A: np.ndarray) -> None:
        """Make the parameters that do not exist yet, for inputs like A."""
        for layer, shape in zip(self._within, chain.leaf_inputs([self], np.shape(A)), strict=True):
            layer.make(np.zeros(shape, np.intp))

    def seeded(self, seed: np.random.SeedSequence) -> None:
        """Make new random generators for all layers in the branches from one seed."""
        for j, layer in enumerate(self._within):
            layer.seeded(np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, j)))

    # --- a training step ---

    def joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Join the outputs of the branches: concatenate, add or multiply them.

        Args:
            parts: those of each branch, (m, s, n) or (m, n).

        Returns:
            The outputs of the layer.

        Examples:
            >>> cgru.Concatenate([], []).joined([np.zeros((1, 1, 2)), np.ones((1, 1, 1))]).ravel()
            array([0., 0., 1.])
        """
        how = self.stage["how"]
        return np.concatenate(parts, axis=-1) if how == "concatenate" else reduce(OPERATORS[how], parts)

    def split(self, dA: np.ndarray, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the gradient of each branch's outputs from that of the joined outputs.

        Args:
            dA: dL/d(outputs) of the layer.
            parts: the outputs of each branch.

        Returns:
            A list of arrays, each of the shape of its part.

        Examples:
            >>> cgru.Multiply([], []).split(np.ones((1, 2)), [np.full((1, 2), 3.0), np.full((1, 2), 5.0)])
            [array([[5., 5.]]), array([[3., 3.]])]
        """
        how = self.stage["how"]
        if how == "concatenate":
            return np.split(dA, [*accumulate(part.shape[-1] for part in parts)][:-1], axis=-1)
        if how == "add":
            return [dA] * len(parts)
        others = [[part for j, part in enumerate(parts) if j != i] for i in range(len(parts))]
        return [reduce(np.multiply, own, dA) for own in others]

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None, **beside: np.ndarray) -> BranchesPass:
        """Apply all branches to A; return a pass whose output is their joined outputs.

        Args:
            A: the input (m, s, n) or (m, n).
            lengths: (m,) how many steps of each sample are real; None: all.
            **beside: the arrays (m, s) that layers within read, by name.

        Returns:
            A `Pass` that can go back.
        """
        X, trace = self._checked(A), []

        def run_layer(_: str, layer: Layer, *given: Any, **own: np.ndarray) -> Pass:
            """Return the forward pass of one layer in the branches."""
            return layer.run(*given, **own)

        outputs, lengths = chain.run([self], X, lengths, beside, run_layer, trace)
        steps = None if lengths is None else mask(lengths, outputs.shape[1])
        return BranchesPass(trace, steps, X=X, A=outputs)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None, **beside: np.ndarray) -> np.ndarray:
        """Return the outputs that `forward` would return without dropout; see `Layer.predict`."""
        return self.predict_on(A, lengths, [None] * len(self.cells), **beside)[0]

    def predict_on(
        self, A: np.ndarray, lengths: np.ndarray | None, states: Sequence[np.ndarray | None], **beside: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` with given initial states of the layer's `cells`; see `Layer.predict_on`."""
        run_layer, after = chain.predicting(states)
        return chain.run([self], self._checked(A), lengths, beside, run_layer)[0], tuple(after)

    def _checked(self, A: Any) -> np.ndarray:
        """Check A and return it, after making the parameters for it."""
        X = as_floats(A, self.dtype if self.parameter_names else None)
        self.make(X)
        return X

    def evaluating(self) -> Branches:
        """Return a copy for evaluation that shares the parameters; see `Layer.evaluating`."""
        other = copy.copy(self)
        other.branches = tuple(tuple(layer.evaluating() for layer in branch) for branch in self.branches)
        return other

    def reset_state(self) -> None:
        """Set the states of all layers in the branches to None."""
        for layer in self._within:
            layer.reset_state()

    # --- elsewhere ---

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the branches, and the node that joins them, to an ONNX graph; return the result's name."""
        return graph.branches(self, A, self.onnx)

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c; the branches' parts precede it."""
        return c.branches(self.operator)


class BranchesPass(JoinedPass):
    """One forward pass of a layer with branches; `trace` has the passes of the layers in them."""

    def __init__(self, trace: chain.Trace, steps: np.ndarray | None, **own: np.ndarray) -> None:
        super().__init__([(f"{key[2:]}.", ran) for key, ran in chain.passes(trace)], steps, **own)
        self._trace = trace

    def _compute_backward(self, dA: np.ndarray) -> Arrays:
        """Return {"dA", "dX"}, and the layers' gradient arrays under prefixed names."""
        dX = chain.go_back(self._trace, dA)
        return {"dA": dA, **({} if dX is None else {"dX": dX}), **self._prefixed_caches("bc")}


class Concatenate(Branches):
    """Parallel branches that read the same input; their outputs are concatenated along the features.

    Args:
        *branches: two or more, each a layer or a list of layers; `[]` is the input itself. All end with all steps, and
            the same ones, or all with the last.

    Attributes:
        branches: tuples of layers.
        p: the parameters of the layers within, by names like `0.1.Uz`: branch 0, layer 1.
        fc: X, A, and the caches of the layers within by such names.
        bc: dA, dX, and theirs.
        g: their gradients, as `d0.1.Uz`.

    Raises:
        TypeError, ValueError: an argument is invalid, or a branch does not fit the others, which is named.

    Examples:
        >>> net = cgru.Network([cgru.Concatenate(cgru.GRU(4), [cgru.Pool("mean")]), cgru.Dense(2)], seed=0)
        >>> net.predict(np.ones((5, 7, 3))).shape, net.layers[1].p["W"].shape
        ((5, 2), (7, 2))
    """

    onnx, operator = "Concat", ""
    stage: ClassVar[dict[str, Any]] = {"kind": "join", "how": "concatenate"}
    c_text, onnx_node = Branches.c_text, Branches.onnx_node

    def _width(self, widths: list[Any]) -> Any:
        """Return the sum of the branches' numbers of features; "k" if one is unknown."""
        return "k" if any(isinstance(n, str) for n in widths) else sum(widths)


class Add(Branches):
    """Parallel branches that read the same input; their outputs are added. `Add([], [...])` is a residual connection.

    Args:
        *branches: two or more, each a layer or a list of layers; `[]` is the input itself. All end with the same number
            of features, and with all steps, the same ones, or all with the last.

    Attributes:
        branches, p, fc, bc, g: as of `Concatenate`.

    Raises:
        TypeError, ValueError: an argument is invalid, or a branch does not fit the others, which is named.

    Examples:
        >>> X = np.random.default_rng(0).standard_normal((2, 5, 4))
        >>> gru = cgru.GRU(4, sequences=True, rng=0)
        >>> np.allclose(cgru.Add([], gru).forward(X), X + gru.predict(X))
        True
    """

    onnx, operator = "Add", "+"
    stage: ClassVar[dict[str, Any]] = {"kind": "join", "how": "add"}
    c_text, onnx_node = Branches.c_text, Branches.onnx_node


class Multiply(Branches):
    """Parallel branches that read the same input; their outputs are multiplied elementwise, as by a gate.

    Args:
        *branches: as of `Add`.

    Attributes:
        branches, p, fc, bc, g: as of `Concatenate`.

    Raises:
        TypeError, ValueError: an argument is invalid, or a branch does not fit the others, which is named.

    Examples:
        >>> gate = cgru.Dense(4, "sigmoid", rng=0)
        >>> X = np.ones((2, 4))
        >>> np.allclose(cgru.Multiply([], gate).forward(X), X * gate.predict(X))
        True
    """

    onnx, operator = "Mul", "*"
    stage: ClassVar[dict[str, Any]] = {"kind": "join", "how": "multiply"}
    c_text, onnx_node = Branches.c_text, Branches.onnx_node


KINDS = (Add, Concatenate, Multiply)
