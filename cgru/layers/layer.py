"""`Layer`, the base class of all layers: the interface that networks use, and the methods that all layers share.

Letters: m samples, s steps, n input features and u units of a step. If A (m, s, n) comes with `lengths` (m,), steps
past a sample's length are padding: their values are never read, and outputs and gradients there are zero.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru import activations
from cgru.activations import Activation
from cgru.core.checks import flag, float_dtype, generator, lengths_of, mapping, real, shapes_of
from cgru.core.gradients import linear_gradients
from cgru.core.lengths import mask
from cgru.core.linear import LOG_SOFTMAX_CODE, SOFTMAX_CODE
from cgru.core.memory import show, views
from cgru.layers.steps import STEP, Steps
from cgru.optimizers import clip_factor
from cgru.parameters import gru_update_parameters
from cgru.passes import Pass

__all__ = [
    "Fields",
    "KeepingLayer",
    "Layer",
    "LayerPass",
    "SequenceLayer",
    "activation_code",
    "activation_gradient",
    "as_floats",
    "class_attribute",
    "clipped",
    "flatten_steps",
    "joined_shape",
    "mask_padding",
    "part_of",
    "product_gradients",
    "unflatten",
    "zero_padding",
]

Arrays = dict[str, np.ndarray]
InputGradient = Callable[[np.ndarray, Arrays], np.ndarray]
Shape = tuple[int | str, ...]  # a letter where a dimension is not known
MAX_NORM = 0.25  # joint L2 norm of all gradients, with clip_gradients
CACHES = ("fc", "bc", "bs", "g")


@dataclass(frozen=True)
class Fields:
    """The constructor arguments of a layer class that are stored in a model file."""

    # Positional arguments: name -> letter in `d`; None: an attribute of that name.
    first: Mapping[str, str | None] = field(default_factory=dict)
    callables: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # left out of the file where they are off
    dtype: bool = False  # whether `dtype` is an argument; it is stored with a layer that has parameters
    variant: bool = False  # whether the options of a `Variant` are arguments
    branches: bool = False  # whether the arguments are chains of layers
    of: str = ""  # the attribute that is another layer, the first argument
    half: str = ""  # of two joined layers: the class of the first, its argument `layer`; the other is its twin


class Layer:
    """The base class of all layers.

    A layer of your own defines `run`, and overrides whatever it does differently.

    `run(A, lengths)` checks its arguments, makes the parameters if there are none (`make`), and returns a `Pass`. It
    does not change the layer otherwise. `forward`, `backward` and `compute_gradients` do the same on the layer's last
    pass, whose arrays the dicts then show. Numbers written into these arrays count; an entry that was rebound, deleted
    or reshaped does not. A call that raises leaves the layer as it was; but where memory runs out, what the call was to
    write (`fc`, `bc`, `g`) may be gone, and generators may have drawn. One thread at a time may be inside these three;
    any number may `run` or `predict`.

    A pickle or a copy has no caches and no gradients (`fc, bc, bs, g`).

    Exporters ask a layer for two more methods, which are not inherited: a layer without them is refused by name.
    `c_text(c)` returns the layer's part of an exported C file, written with the `Writer` c. `onnx_node(graph, A)` adds
    the layer's nodes to an ONNX graph; A is the name of its input, and the name of its output is returned.

    Args:
        rng: a `numpy.random.Generator`, a seed or None, kept as `np_rng`.
        dtype: float64 or float32, of the parameters and outputs; None: float64, or the dtype of the network. A layer
            without parameters keeps the dtype of its input.

    Attributes:
        d: dimensions by letter.
        p: parameters by name.
        fs: the shapes of X, of `p` and of `fc`.
        fc: the caches of the last `forward`.
        bc: the caches of the last `backward`.
        bs: the shapes in `bc`.
        g: the gradients, `'d' + name`.
        last: the pass of the last `forward`; None before.
        given: which of "rng" and "dtype" the user passed; a network sets the others.
        seed: the seed of `np_rng`, if a network has set one.
        o: data that others keep with the layer: a network its seed, an optimizer its state.
        branches: chains of layers within, which read the layer's input; () of most layers.
        trainable: whether its parameters are updated.
        parameter_names: the names of the parameters in their order; () if the layer never has parameters.
        features: n, the input features of the parameters; None: no parameters, or they take any n.
        cells: the GRUs in the layer, each with a state (m, u) to start from.
        clip_gradients: whether `compute_gradients` scales all gradients to a joint L2 norm of at most 0.25.
        stateful: whether calls go on from the state of the call before.
        fields: how a layer of exactly this class is saved; None: it cannot be saved.
        reads: what `run` and `predict` take beside real numbers X and `lengths`. "tokens": X is integers (m, s).
            "missing": X may be NaN where nothing was measured. Both come in at the bottom of a network alone. "decay",
            the factors of states that enter steps, and "times": arrays (m, s) by these names.
        is_head: whether the layer may stand at the top of a network, under a loss.
        draws: whether a training step draws from `np_rng`.
        steps: what the layer does to the steps of a sequence, a `Steps`.
        stage: the stage that runs the layer in a compiled fit and in a `Stream`, as plain data with its `kind`, or a
            tuple of several; None: a fit runs it in Python, and a stream cannot. Not inherited, since a subclass may
            compute something else. A class whose layers are others, one after the other, also has a `chain`, a tuple of
            these.
        weights: how `cgru.quantize` stored the weights, "int8" or "bfloat16", so that the layer does not train; None:
            as floats of its dtype. The string is a `StoredWeights`, which packs them.

    Examples:
        A layer without parameters, and its way back:

        >>> class Double(cgru.layers.Layer):
        ...     def run(self, A, lengths=None):
        ...         return Doubled(2 * A, {"X": A, "A": 2 * A})
        >>> class Doubled(cgru.Pass):
        ...     def backward(self, dA):
        ...         self.bc = {"dA": dA, "dX": 2 * dA}
        ...         return 2 * dA
        >>> layer = Double()
        >>> layer.forward(np.array([[1.0, -3.0]]))
        array([[ 2., -6.]])
        >>> layer.backward(np.ones((1, 2)))
        array([[2., 2.]])
    """

    # Each is explained in the docstring.
    parameter_names: tuple[str, ...] = ()
    features: int | None = None
    cells: tuple[Any, ...] = ()
    clip_gradients: bool = False
    stateful: bool = False
    fields: Fields | None = None
    reads: tuple[str, ...] = ()
    is_head: bool = False
    draws: bool = False
    steps: Steps = STEP
    stage: Any = None
    weights: Any = None

    # Exporters pass `c_text` a `Writer` (cgru/export/writer.py), `onnx_node` a `Graph` (cgru/interop/onnx_export.py).

    def __init__(self, rng: np.random.Generator | int | None = None, dtype: DTypeLike | None = None) -> None:
        self.branches: tuple[tuple[Layer, ...], ...] = ()
        self._dtype = float_dtype(dtype)  # None is float64
        if rng is not None:
            self.np_rng = generator(rng)
        self.given = frozenset(name for name, value in (("rng", rng), ("dtype", dtype)) if value is not None)
        self.trainable = False
        self.d: dict[str, int] = {}
        self.fs: dict[str, tuple[int, ...]] = {}
        self.bs: dict[str, tuple[int, ...]] = {}
        self.p: Arrays = {}
        self.fc: Arrays = {}
        self.bc: Arrays = {}
        self.g: Arrays = {}
        self.o: dict[str, Any] = {}
        self.last: Pass | None = None  # of the last forward
        self.seed: np.random.SeedSequence | None = None  # of np_rng
        self._lock = threading.RLock()  # reentrant: a Ctrl-C just after it was taken does not lock its own thread out

    @cached_property
    def np_rng(self) -> np.random.Generator:
        """Return the random generator that draws weights and masks.

        It is made at the first draw if the user gave none.
        """
        return vars(self).setdefault("np_rng", np.random.default_rng(self.seed))  # one for all threads

    def seeded(self, seed: np.random.SeedSequence) -> None:
        """Make a new random generator with this seed, unless the user gave a generator.

        Args:
            seed: what the generator is made from.

        Examples:
            >>> layer = cgru.Dense(2)
            >>> layer.seeded(np.random.SeedSequence(7))
            >>> layer.np_rng.random() == np.random.default_rng(np.random.SeedSequence(7)).random()
            True
        """
        if "rng" not in self.given:
            self.seed = seed
            vars(self).pop("np_rng", None)

    def __getstate__(self) -> dict[str, Any]:
        """Return the layer's attributes for pickle and copy, without the caches and gradients of a run."""
        self.np_rng  # noqa: B018  made now, so that the copy draws the same numbers
        kept = {name: value for name, value in vars(self).items() if name not in ("_lock", "last")}
        return kept | {name: {} for name in CACHES if name in kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore the attributes that `__getstate__` returned."""
        vars(self).update(state, _lock=threading.RLock(), last=None)

    @property
    def dtype(self) -> np.dtype:
        """Return the dtype of the parameters.

        It may be set as long as there are none; ValueError later.
        """
        return self._dtype

    @dtype.setter
    def dtype(self, value: DTypeLike) -> None:
        dtype = float_dtype(value)
        if self.p and dtype != self.dtype:
            raise ValueError(f"dtype: expected {self.dtype}, which p was made in, got {dtype}; empty p to change it")
        self._dtype, self.given = dtype, self.given | {"dtype"}

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs for inputs of a given shape.

        Args:
            shape: (m, s, n) or (m, n); a letter stands for a dimension that is not known.

        Returns:
            The shape of the outputs, in which letters may stand too. A layer that changes the number of steps returns
            the input's here; `steps.lengths` counts those of the output.

        Raises:
            ValueError: the layer does not take inputs of this shape.

        Examples:
            >>> cgru.GRU(4, sequences=True).output_shape(("m", 10, 3))
            ('m', 10, 4)
        """
        return shape

    def input_features(self, n: int) -> int:
        """Return the number of input features, given the number `n` of output features.

        A network asks only a layer whose `features` are None.

        Args:
            n: the number of output features.

        Returns:
            The number of input features.

        Raises:
            ValueError: no number of input features gives n.

        Examples:
            >>> cgru.Difference().input_features(6)  # each feature, and its difference
            3
        """
        return n

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and the parameters, for an input.

        Args:
            A: an input such as `forward` takes, (m, n) or (m, s, n). Its numbers are not read.

        Examples:
            >>> layer = cgru.Dense(2)
            >>> layer.compute_shapes(np.zeros((8, 5)))
            >>> layer.d["n"], layer.fs["W"]
            (5, (5, 2))
        """
        A = as_floats(A)
        for letter in "msn":
            self.d.pop(letter, None)
        self.d |= zip("msn" if A.ndim == 3 else "mn", A.shape, strict=True)
        self.fs |= {"X": A.shape} | {name: shape for name, (shape, _) in self.arrays(self.d["n"]).items()}

    def initialize_parameters(self) -> None:
        """Draw new parameters; the base class has none.

        Raises:
            RuntimeError: `compute_shapes` was not called before.

        Examples:
            >>> layer = cgru.Dense(2, rng=0)
            >>> layer.compute_shapes(np.zeros((8, 5)))
            >>> layer.initialize_parameters()
            >>> layer.p["W"].shape, layer.p["b"].shape
            ((5, 2), (1, 2))
        """

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features.

        Args:
            e: the number of input features.

        Returns:
            A dict of (shape, dtype) by the parameters' names, in their order.

        Examples:
            >>> cgru.Dense(2).arrays(5)
            {'W': ((5, 2), dtype('float64')), 'b': ((1, 2), dtype('float64'))}
        """
        return {}

    def checked_parameters(self) -> tuple[np.ndarray, ...]:
        """Check that the parameters fit, and return them in their order.

        Returns:
            The arrays of `p` in the order of `parameter_names`, in the layer's dtype.

        Raises:
            TypeError, ValueError: one is missing, or has another shape, or is no array of real numbers.

        Examples:
            >>> layer = cgru.Dense(2)
            >>> layer.make(np.zeros((8, 5)))
            >>> W, b = layer.checked_parameters()
            >>> W.shape
            (5, 2)
        """
        found = []
        for name, (shape, _) in self.arrays(self.features or "n").items():
            if name not in self.p:
                raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
            found.append(real(self.p[name], ("p", name), shape, self.dtype))
        return tuple(found)

    def make(self, A: np.ndarray) -> None:
        """Make the parameters for inputs like A, unless they exist or the layer has none.

        Args:
            A: an input such as `forward` takes.

        Raises:
            RuntimeError: the layer's weights are int8 or bfloat16, which `cgru.quantize` alone makes.

        Examples:
            >>> layer = cgru.Dense(2)
            >>> layer.make(np.zeros((8, 5)))
            >>> sorted(layer.p)
            ['W', 'b']
        """
        if self.p or not self.parameter_names:
            return
        if self.weights is not None:
            raise RuntimeError(f"{type(self).__name__}: expected parameters, as cgru.quantize makes them, got none")
        with self._lock:  # if several threads see data for the first time, one of them makes the parameters
            if not self.p:
                self.compute_shapes(A)
                self.initialize_parameters()

    # --- a training step ---

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> Pass:
        """Apply the layer to A, and return a `Pass`, without changing the layer.

        Args:
            A: the input (m, s, n) or (m, n), as the layer takes it.
            lengths: (m,) how many steps of each sample are real; None: all.

        Returns:
            A `Pass` that holds the outputs `A` and the caches `fc`, and can go back by itself.

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            NotImplementedError: the class is `Layer` itself.

        Examples:
            >>> layer = cgru.Dense(2, "identity", rng=0)
            >>> ran = layer.run(np.ones((8, 5)))
            >>> ran.A.shape, ran.backward(np.ones((8, 2))).shape
            ((8, 2), (8, 5))
            >>> ran.gradients()["db"]
            array([8., 8.])
        """
        raise NotImplementedError

    def evaluating(self) -> Layer:
        """Return a copy for evaluation that shares the parameters, without state and without dropout.

        Calls of it do not change this layer. A layer of your own that draws in `run` has a `training` that stops that.

        Returns:
            A copy of the layer, with the same arrays in `p`.

        Raises:
            ValueError: the layer draws at random, and has no attribute `training`.

        Examples:
            >>> layer = cgru.Dropout(0.5)
            >>> layer.evaluating().run(np.ones((1, 3))).A
            array([[1., 1., 1.]])
        """
        other = copy.copy(self)
        if hasattr(other, "training"):
            other.training = False
        elif self.draws:
            due = "an attribute training, which stops the drawing,"
            raise ValueError(f"layers: expected {due} in a layer that draws at random, got {self!r}")
        other.reset_state()
        return other

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None, **beside: np.ndarray) -> np.ndarray:
        """Return the outputs that `forward` would return without dropout; store nothing.

        The layer is not changed. Any number of threads may call this at once.

        Args:
            A: the input, as for `forward`.
            lengths: (m,) how many steps of each sample are real; None: all.
            **beside: the arrays (m, s) that the layer `reads`, by name.

        Returns:
            The outputs, zero at padded steps.

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.

        Examples:
            >>> layer = cgru.Dense(2, rng=0)
            >>> X = np.ones((8, 5))
            >>> np.array_equal(layer.predict(X), layer.forward(X))
            True
        """
        return self.run(A, lengths, **beside).A

    def predict_on(
        self, A: np.ndarray, lengths: np.ndarray | None, states: Sequence[np.ndarray | None], **beside: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` with given initial states of the layer's `cells`.

        Args:
            A: the input, as for `forward`.
            lengths: (m,) how many steps of each sample are real; None: all.
            states: one for each of the `cells`, (m, u); None: zero.
            **beside: the arrays (m, s) that the layer `reads`, by name.

        Returns:
            The outputs, and a tuple of the last state of each cell, (m, u).

        Examples:
            >>> layer = cgru.GRU(4, rng=0)
            >>> X = np.ones((2, 6, 3))
            >>> _, states = layer.predict_on(X[:, :4], None, (None,))
            >>> A, _ = layer.predict_on(X[:, 4:], None, states)
            >>> np.allclose(A, layer.predict(X))
            True
        """
        return self.predict(A, lengths, **beside), ()

    def forward(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Apply the layer to A, fill the caches `fc` and return the outputs.

        Args:
            A: the input (m, s, n) or (m, n), as the layer takes it.
            lengths: (m,) how many steps of each sample are real; None: all. Padded steps are never read.

        Returns:
            The outputs, zero at padded steps.

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            RuntimeError: another thread is inside this layer.

        Examples:
            >>> layer = cgru.Dense(2, rng=0)
            >>> layer.forward(np.ones((8, 5))).shape
            (8, 2)
            >>> sorted(layer.fc)
            ['A', 'X', 'Z']
        """
        return self._forward(A, lengths)

    def backward(self, dX: np.ndarray) -> np.ndarray:
        """Backpropagate dL/dA: fill `bc` and return dL/dX.

        Parameter gradients: see `compute_gradients`.

        Args:
            dX: dL/dA, of the shape that `forward` returned. EpyNN calls the argument so.

        Returns:
            dL/dX, of the shape of the input; None from a layer whose input has no gradient.

        Raises:
            TypeError, ValueError: dX or a parameter does not fit.
            RuntimeError: `forward` was not called before, or another thread is inside this layer.

        Examples:
            >>> layer = cgru.Dense(2, rng=0)
            >>> A = layer.forward(np.ones((8, 5)))
            >>> layer.backward(A).shape
            (8, 5)
        """
        return self._backward(dX)

    def compute_gradients(self) -> None:
        """Compute the parameters' gradients `g` after `backward`, summed over samples and steps.

        With `clip_gradients` one factor scales them to a joint L2 norm of at most 0.25.

        Raises:
            RuntimeError: there was no `backward` after the last `forward`, or another thread is inside this layer.

        Examples:
            >>> layer = cgru.Dense(2, "identity", rng=0)
            >>> dX = layer.backward(np.ones_like(layer.forward(np.ones((8, 5)))))
            >>> layer.compute_gradients()
            >>> layer.g["db"]
            array([8., 8.])
        """
        self._acquire("compute_gradients")
        try:
            if self.last is None or not self.last.bc:
                raise RuntimeError("compute_gradients: expected a backward after the last forward")
            self.g.clear()  # so that buffers that nobody else holds are used again
            self.g.update(clipped(self, self.last.gradients()))
        finally:
            self._lock.release()

    def update_parameters(self) -> None:
        """Update a `trainable` layer's parameters in place: `p[name] -= lrate[e] * g['d' + name]`.

        See `cgru.parameters.gru_update_parameters`. An optimizer's `step(layer)` does the same by its own rule.

        Raises:
            RuntimeError: `g` is empty, or `lrate` or `e` is missing.

        Examples:
            >>> layer = cgru.Dense(2, "identity", rng=0)
            >>> dX = layer.backward(np.ones_like(layer.forward(np.ones((8, 5)))))
            >>> layer.compute_gradients()
            >>> layer.lrate, layer.e = [0.1], 0
            >>> layer.update_parameters()
            >>> layer.p["b"].round(3)
            array([[-0.8, -0.8]])
        """
        if self.trainable:
            gru_update_parameters(self)

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None:
        """Set `shapes[key] = cache[key].shape` for each key of `cache`.

        Args:
            cache: arrays by name, such as `fc`.
            shapes: the dict that is changed, such as `fs`.

        Examples:
            >>> shapes = {}
            >>> cgru.Dense(2).update_shapes({"X": np.zeros((8, 5))}, shapes)
            >>> shapes
            {'X': (8, 5)}
        """
        shapes_of(cache, shapes)

    def checked_state(self, cell: Any, value: Any, name: str, m: int) -> np.ndarray:
        """Check the initial state of one of the `cells`, and return it.

        Args:
            cell: the cell.
            value: the state, (m, u).
            name: what an error calls it.
            m: the number of samples.

        Returns:
            The state (m, u), in the layer's dtype.

        Raises:
            TypeError, ValueError: it is not real, or has another shape.

        Examples:
            >>> layer = cgru.GRU(4)
            >>> layer.checked_state(layer, [[0, 1, 0, 1]], "h0", 1)
            array([[0., 1., 0., 1.]])
        """
        return real(value, name, (m, cell.d["u"]), self.dtype)

    def reset_state(self) -> None:
        """Set the state that a `stateful` layer keeps between calls to None; other layers have none.

        Examples:
            >>> layer = cgru.GRU(4, stateful=True, rng=0)
            >>> A = layer.predict(np.ones((2, 6, 3)))
            >>> layer.reset_state()
            >>> layer.state is None
            True
        """

    # --- for subclasses ---

    def _forward(self, *arguments: Any) -> np.ndarray:
        """Run `forward`, with all arguments that `run` takes."""
        self._acquire("forward")
        try:
            ran = self._run_for_forward(*arguments)
            self._release_pass()
            self.last = ran
            self.fs.clear()
            self.compute_shapes(ran.fc["X"])
            show(ran.fc, self.fc, self.fs)
            return self.fc["A"]
        finally:
            self._lock.release()

    def _backward(self, *arguments: Any) -> Any:
        """Run `backward`, with all arguments that `Pass.backward` takes."""
        self._acquire("backward")
        try:
            ran = self.last
            if ran is None:
                raise RuntimeError("backward: expected a forward before it")
            ran.backward(*arguments)
            self.bc.clear()
            self.bs.clear()
            show(ran.bc, self.bc, self.bs)
            return self.bc.get("dX")
        finally:
            self._lock.release()

    def _run_for_forward(self, *arguments: Any) -> Pass:
        """Return the pass for `forward`. Layers that store more than the caches override this method."""
        return self.run(*arguments)

    def _release_pass(self) -> None:
        """Free the last forward pass and its caches; the caches `bc` of its backward pass are kept."""
        self.last = None
        self.fc.clear()

    def _require_floats(self) -> None:
        """Raise RuntimeError if the weights are int8 or bfloat16, since such a layer cannot backpropagate."""
        if self.weights is not None:
            self.weights.refuse(self)

    def _arrays(self, **shapes: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the stored shape and dtype of each parameter, from the `shapes` of unquantised ones."""
        arrays = {name: (shape, self.dtype) for name, shape in shapes.items()}
        return arrays if self.weights is None else self.weights.arrays(arrays)

    def _acquire(self, call: str) -> None:
        """Acquire the layer's lock, which the caller must release; RuntimeError if another thread has it.

        An interrupt that cuts a call short leaves its own thread the holder, which may enter again.
        """
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another thread is inside this layer; give each thread its own layer")


class SequenceLayer(Layer):
    """The base class of layers that take (m, s, n) and compute `parts` output features per input feature."""

    parts: int = 1

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs, (m, s, parts n) for (m, s, n); ValueError for any other shape."""
        return joined_shape(shape, self.parts)

    def input_features(self, n: int) -> int:
        """Return the number of input features, n / parts; ValueError if it is not an integer."""
        return part_of(n, self.parts)

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shape of X, for an input A (m, s, n)."""
        super().compute_shapes(checked_sequences(A))


class KeepingLayer(SequenceLayer):
    """The base class of layers with `most` output features per input feature, or only 1 without `keep`."""

    most: int = 1

    def __init__(self, keep: bool = True) -> None:
        super().__init__()
        self.keep = flag(keep, "keep")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keep={self.keep})"

    @property
    def parts(self) -> int:
        """Return how many output features there are for each input feature."""
        return self.most if self.keep else 1


class LayerPass(Pass):
    """One forward pass of a layer in NumPy; it stores arrays by name, including X and A, and shows them in `fc`.

    `input_gradient(dA, arrays)` returns dL/dX; None: a subclass defines `_compute_backward`.
    """

    def __init__(
        self, steps: np.ndarray | None, input_gradient: InputGradient | None = None, **own: np.ndarray
    ) -> None:
        """Store the arrays `own` by name, among them A; `steps` (m, s, 1) is the mask of real steps (None: all)."""
        shown = views(own)
        super().__init__(shown["A"], shown)
        self._steps, self._input_gradient = steps, input_gradient  # (m, s, 1), true where a step is real; None: all
        self._arrays = views(own)  # views, since X is the caller's, who may change its shape
        self._backward_arrays: Arrays | None = None  # by backward

    def backward(self, dA: Any) -> np.ndarray | None:
        """Backpropagate dL/dA, in the shape of A: fill `bc` and return dL/dX; None if X has no gradient."""
        A = self._arrays["A"]
        dA = real(dA, "dX", A.shape, A.dtype)
        if self._steps is not None and dA.ndim == 3:
            dA = np.where(self._steps, dA, A.dtype.type(0))
        return self._store_backward(self._compute_backward(dA))

    def _store_backward(self, made: Arrays) -> np.ndarray | None:
        """Store the arrays of a backward pass, and show them in `bc`; return dL/dX, None if X has no gradient."""
        self._backward_arrays, self.bc = views(made), views(made)
        return self.bc.get("dX")

    def _compute_backward(self, dA: np.ndarray) -> Arrays:
        """Return the arrays of the backward pass for dL/dA, by name, without changing the pass."""
        if self._input_gradient is None:
            raise NotImplementedError
        return {"dA": dA, "dX": self._input_gradient(dA, self._arrays)}

    def _require_backward(self) -> Arrays:
        """Return the arrays that `backward` stored; RuntimeError if it was not called."""
        if self._backward_arrays is None:
            raise RuntimeError("gradients: expected a backward before it")
        return self._backward_arrays


def clipped(layer: Layer, g: Arrays) -> Arrays:
    """Return gradients, clipped in place to a joint L2 norm of 0.25 if the layer has `clip_gradients`."""
    if layer.clip_gradients:
        factor = clip_factor(g, MAX_NORM)
        if factor < 1:
            for gradient in g.values():
                gradient *= factor
    return g


def class_attribute(layer: Layer, name: str) -> Any:
    """Return an attribute that the layer's own class defines; None if it is inherited or missing."""
    return getattr(layer, name) if name in vars(type(layer)) else None


def as_floats(A: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """Check A (m, n) or (m, s, n), and return it as floats.

    `dtype` None: floats stay as they are, integers become float64. ValueError for another shape or a dimension of 0.
    """
    X = real(A, "A", dtype=dtype)
    if X.ndim not in (2, 3) or 0 in X.shape:
        raise ValueError(f"A: expected shape (m, n) or (m, s, n), at least one of each, got {X.shape}")
    return X if X.dtype.kind == "f" else X.astype(np.float64)


def checked_sequences(A: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """Check A (m, s, n) as `as_floats` does, and return it as floats; ValueError for (m, n)."""
    X = as_floats(A, dtype)
    if X.ndim != 3:
        raise ValueError(f"A: expected all steps (m, s, n), got shape {X.shape}")
    return X


def joined_shape(shape: Shape, parts: int) -> Shape:
    """Return the shape (m, s, parts * n) of `parts` arrays (m, s, n) side by side; ValueError for another shape."""
    if len(shape) != 3:
        raise ValueError("expected all steps (m, s, n)")
    m, s, n = shape
    if parts == 1 or not isinstance(n, str):
        return m, s, parts * n
    count, _, letter = n.rpartition(" ")
    return m, s, f"{parts * int(count or 1)} {letter}"


def part_of(n: int, parts: int) -> int:
    """Return n / parts, the number of input features; ValueError if it is not an integer."""
    if n % parts:
        raise ValueError(f"expected parameters after it for a multiple of {parts} features, got {n}")
    return n // parts


def mask_padding(X: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return X with zeros in the padding, and the mask (m, s, 1) of real steps; (X, None) without lengths."""
    if lengths is None:
        return X, None
    if X.ndim != 3:
        raise ValueError(f"lengths: expected None for an input without steps, got them with A of shape {X.shape}")
    steps = mask(lengths_of(lengths, *X.shape[:2]), X.shape[1])
    return np.where(steps, X, X.dtype.type(0)), steps


def zero_padding(A: np.ndarray, steps: np.ndarray | None) -> np.ndarray:
    """Return A with zeros where the mask `steps` of real steps is False; A itself if the mask is None."""
    return A if steps is None else np.where(steps, A, A.dtype.type(0))


def flatten_steps(A: np.ndarray) -> np.ndarray:
    """Return A (m, s, n) as rows (s m, n); A (m, n) is returned unchanged.

    Nothing is copied if A is time-major in memory, as a GRU's arrays are.
    """
    return A if A.ndim == 2 else A.swapaxes(0, 1).reshape(-1, A.shape[2])


def unflatten(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return rows from `flatten_steps` in the shape (m, s, n), or (m, n), of `like`."""
    return rows if like.ndim == 2 else rows.reshape(like.shape[1], like.shape[0], -1).swapaxes(0, 1)


def product_gradients(X: np.ndarray, dZ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's gradients dL/dW (m, n, u) and dL/db (m, u) of a linear layer Z = X W + b.

    X is (m, s, n) and dZ (m, s, u), or without steps (m, n) and (m, u).
    """
    return linear_gradients(*((X, dZ) if X.ndim == 3 else (X[:, None], dZ[:, None])))


def activation_code(activate: Any, se_hPars: Any) -> tuple[int, float] | None:
    """Return the compiled function's (code, parameter) of an activation, softmax included; None if not compiled."""
    f, se_hPars = activations.named(activate, "activate"), mapping(se_hPars, "se_hPars")
    if activations.ours(f) is activations.softmax:
        return SOFTMAX_CODE, activations.parameter(se_hPars, "softmax_temperature")
    if activations.ours(f) is activations.log_softmax:
        return LOG_SOFTMAX_CODE, 1.0
    return activations.code_of(f, se_hPars)


def activation_gradient(f: Activation, X: np.ndarray, dA: np.ndarray) -> np.ndarray:
    """Return dL/dX of A = f(X), both (m, n), with elementwise derivatives of f or its Jacobian for each row."""
    D, jacobians = real(f(X, deriv=True), "activate", dtype=X.dtype), (*X.shape, X.shape[1])
    if D.shape not in (X.shape, jacobians):
        raise ValueError(f"activate: expected derivatives of shape {X.shape} or {jacobians}, got {D.shape}")
    return dA * D if D.ndim == 2 else (dA[:, None, :] @ D)[:, 0]
