"""`Layer`, the one kind of layer: what a network asks of each, and the calls that are the same for all.

m samples, s steps, n numbers that come in and u units that go out at each of them. Where A (m, s, n) comes with
`lengths` (m,), the steps past a sample's length are no part of it: whatever stands there is not looked at, and zeros
come out, forwards and backwards.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import activations
from cgru.activations import Activation
from cgru.core.checks import float_dtype, generator, lengths_of, mapping, real, shapes_of
from cgru.core.lengths import mask
from cgru.core.linear import SOFTMAX_CODE
from cgru.core.memory import show, views
from cgru.optimizers import clip_factor
from cgru.parameters import gru_update_parameters
from cgru.passes import Pass

__all__ = [
    "Fields",
    "Layer",
    "LayerPass",
    "code_with_softmax",
    "flat",
    "floats",
    "kept",
    "own",
    "through",
    "unflat",
    "unpadded",
]

Arrays = dict[str, np.ndarray]
Shape = tuple[int | str, ...]  # a letter where a dimension is not known
MAX_NORM = 0.25  # of all gradients together, with clip_gradients
CACHES = ("fc", "bc", "bs", "g")


@dataclass(frozen=True)
class Fields:
    """The arguments that a layer of one class is made of, as they stand in a file."""

    first: Mapping[str, str | None] = field(default_factory=dict)  # by position; their letters in `d`, None: attributes
    callables: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # left out where they are off
    dtype: bool = False  # whether it is one of them
    variant: bool = False  # whether the options of a `Variant` are
    halves: tuple[str, ...] = ()  # of two layers joined: what those are called; where one is, the other is its twin
    half: str = ""  # their class


class Layer:
    """What all layers have. One of your own defines `run`, and what else it does differently.

    `run(A, lengths)` checks all that it is given, makes the parameters where there are none (`make`), and returns a
    `Pass`, without a change to the layer. `forward`, `backward` and `compute_gradients` are that with the last pass,
    whose arrays the dicts then show: numbers written into them count, an entry that was rebound, deleted or reshaped
    does not. What raises leaves the layer as it was. One thread at a time may be inside these three; any number may
    `run` or `predict`.

    Args:
        rng: a `numpy.random.Generator`, a seed or None, kept as `np_rng`.
        dtype: float64 or float32, of the parameters and what is made with them; None: float64, or what a network says.
            A layer without parameters keeps that of its input.

    Attributes:
        d: dimensions by letter. p: parameters. fs: the shapes of X, of `p` and of `fc`.
        fc, bc: what the last `forward` and `backward` left; bs: the shapes in `bc`. g: the gradients, `'d' + name`.
        last: the pass of the last `forward`; None before.
        given: which of "rng" and "dtype" the layer was given; a network gives it the others.
        o: what others keep with the layer: a network its seed, an optimizer what it carries from step to step.
        trainable: whether its parameters are updated.

    A pickle or a copy has no caches and no gradients (`fc, bc, bs, g`).
    """

    parameter_names: tuple[str, ...] = ()  # in their order; () where it never has any
    elements: int | None = None  # n, which the parameters are made for; None: there are none, or they take any
    cells: tuple[Any, ...] = ()  # the GRUs in it, each with a state (m, u) to start from
    piecewise: bool = True  # whether pieces of a sequence may come one after another, the states carried over
    clip_gradients: bool = False
    stateful: bool = False
    fields: Fields | None = None  # how a layer of just this class is saved; None: it is not
    tokens_in: bool = False  # whether it reads integer tokens (m, s), at the bottom of a network
    is_head: bool = False  # whether it may stand at the top of a network, under a loss
    trains: bool = True  # whether it can go back at all
    draws: bool = False  # whether a training step draws from `np_rng`
    changes_steps: bool = False  # whether other steps come out than go in, as many as `lengths` says
    # How many steps go in for one that comes out, where pieces of a multiple of it give what the whole does; None: they
    # never do.
    stride: int | None = 1
    # The stage that runs it in a compiled fit, as plain data, with its `kind`; None: a fit runs it in Python. A class
    # says it for itself alone: what is built on it may do something else.
    stage: Any = None
    stream: str | None = None  # the kind of stage that runs it in a `Stream`; "": none, it is left out; None: it cannot
    weights: str | None = None  # what its weights are kept as, "int8" or "bfloat16"; None: as floats of its dtype

    # How others write it, which a class says for itself alone, too, and where it says nothing they refuse it by name:
    # `c_text(c)` returns its part of a C file, by the `Writer` that it is given (cgru/export/writer.py);
    # `onnx_node(graph, A)` puts its nodes upon A, the name of its input, and returns the name of its output (`Graph`,
    # cgru/interop/onnx_export.py); `from_node(node)`, a class method, makes a layer of one of `onnx_kinds` in a foreign
    # graph (`Node`, cgru/interop/onnx_values.py).
    onnx_kinds: tuple[str, ...] = ()

    def __init__(self, rng: np.random.Generator | int | None = None, dtype: DTypeLike | None = None) -> None:
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
        self._lock = threading.RLock()  # of a kind that a Ctrl-C just after it was taken does not leave shut

    @cached_property
    def np_rng(self) -> np.random.Generator:
        """What weights and masks are drawn from; made at the first draw, where none was given."""
        return np.random.default_rng(self.seed)

    def seeded(self, seed: np.random.SeedSequence) -> None:
        """Draw from a new generator of this seed from now on, unless one was given."""
        if "rng" not in self.given:
            self.seed = seed
            vars(self).pop("np_rng", None)

    def __getstate__(self) -> dict[str, Any]:
        """The layer's attributes, for pickle and copy, without what a run leaves."""
        self.np_rng  # noqa: B018  the copy's draws are this one's
        kept = {name: value for name, value in vars(self).items() if name not in ("_lock", "last")}
        return kept | {name: {} for name in CACHES if name in kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over what `__getstate__` gave."""
        vars(self).update(state, _lock=threading.RLock(), last=None)

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters. It may be set as long as there are none; ValueError later."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: DTypeLike) -> None:
        dtype = float_dtype(value)
        if self.p and dtype != self.dtype:
            raise ValueError(f"dtype: expected {self.dtype}, which p was made in, got {dtype}; empty p to change it")
        self._dtype, self.given = dtype, self.given | {"dtype"}

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs for inputs of `shape`; ValueError for one that it does not take.

        Of a layer that `changes_steps` the steps are those of the inputs: `lengths` counts them.
        """
        return shape

    def input_elements(self, n: int) -> int:
        """Return how many elements go in where `n` come out, of a layer whose `elements` are None; ValueError: none."""
        return n

    def lengths(self, lengths: ArrayLike, name: str = "lengths") -> np.ndarray:
        """Return the steps that come out of samples of so many steps; ValueError by `name` for too few of them."""
        return lengths

    def output_lengths(self, A: np.ndarray, lengths: np.ndarray | None) -> np.ndarray | None:
        """Return the real steps of the outputs A, for inputs of these `lengths`; None: all, or A (m, n) has none."""
        return None if lengths is None or A.ndim < 3 else self.lengths(lengths)

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the dimensions `d`, letter by letter, and the shape of X in `fs`, for an input A (m, n) or (m, s, n)."""
        A = floats(A)
        for letter in "msn":
            self.d.pop(letter, None)
        self.d |= zip("msn" if A.ndim == 3 else "mn", A.shape, strict=True)
        self.fs["X"] = A.shape

    def initialize_parameters(self) -> None:
        """There are no parameters."""

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter, for inputs of e elements."""
        return {}

    def checked_parameters(self) -> tuple[np.ndarray, ...]:
        """Return the parameters, checked, in the order of `parameter_names`."""
        return ()

    def make(self, A: np.ndarray) -> None:
        """Make the parameters for inputs such as A, where there are none and there are to be some."""
        if self.p or not self.parameter_names:
            return
        with self._lock:  # of several threads that see data for the first time, one makes them
            if not self.p:
                self.compute_shapes(A)
                self.initialize_parameters()

    # --- a training step ---

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> Pass:
        """One run over A, of which sample i has `lengths[i]` real steps (None: all), as a pass that can go back."""
        raise NotImplementedError

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """What `forward` returns, without dropout; the layer is not touched, any number of threads may call it."""
        return self.run(A, lengths).A

    def predict_on(
        self, A: np.ndarray, lengths: np.ndarray | None, states: Sequence[np.ndarray | None]
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """`predict` with the `cells` started from `states` (None: zero), and with their last states (m, u)."""
        return self.predict(A, lengths), ()

    def forward(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """`run`; fill `fc` and return its outputs.

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            RuntimeError: another thread is inside this layer.
        """
        return self._forward(A, lengths)

    def backward(self, dX: np.ndarray) -> np.ndarray:
        """Take dL/dA in the shape that `forward` returned, fill `bc` and return dL/dX.

        Raises:
            TypeError, ValueError: dX or a parameter does not fit.
            RuntimeError: `forward` was not called before, or another thread is inside this layer.
        """
        return self._backward(dX)

    def compute_gradients(self) -> None:
        """Fill `g`; with `clip_gradients` one factor brings its joint L2 norm to at most 0.25.

        RuntimeError where there was no `backward` after the last `forward`, or another thread is inside this layer.
        """
        self._enter("compute_gradients")
        try:
            if self.last is None or not self.last.bc:
                raise RuntimeError("compute_gradients: expected a backward after the last forward")
            g = self.clipped(self.last.gradients())
            self.g.clear()
            self.g.update(g)
        finally:
            self._lock.release()

    def update_parameters(self) -> None:
        """`p[name] -= lrate[e] * g['d' + name]`, in place, while `trainable`.

        See `cgru.parameters.gru_update_parameters`.
        """
        if self.trainable:
            gru_update_parameters(self)

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None:
        """`shapes[key] = cache[key].shape` for each key of `cache`."""
        shapes_of(cache, shapes)

    def clipped(self, g: Arrays) -> Arrays:
        """`g`, the gradients of a pass, with `clip_gradients` scaled in place to a joint L2 norm of at most 0.25."""
        if self.clip_gradients:
            factor = clip_factor(g, MAX_NORM)
            if factor < 1:
                for gradient in g.values():
                    gradient *= factor
        return g

    def reset_state(self) -> None:
        """Forget the state that a `stateful` layer carries from call to call; others have none."""

    # --- for the layers built on it ---

    def _forward(self, *arguments: Any) -> np.ndarray:
        """`forward`, with all that `run` takes."""
        self._enter("forward")
        try:
            ran = self._rerun(*arguments)
            self._forget()
            self.last = ran
            self.fs.clear()
            self.compute_shapes(ran.fc["X"])
            show(ran.fc, self.fc, self.fs)
            return self.fc["A"]
        finally:
            self._lock.release()

    def _backward(self, *arguments: Any) -> Any:
        """`backward`, with all that the pass takes."""
        self._enter("backward")
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

    def _rerun(self, *arguments: Any) -> Pass:
        """The run of `forward`, and what it leaves in the layer beside the dicts."""
        return self.run(*arguments)

    def _forget(self) -> None:
        """Let go of the last pass. What its backward made stays to be seen until there is another."""
        self.last = None
        self.fc.clear()

    def _enter(self, call: str) -> None:
        """Take the lock, which the caller releases; an interrupt that cuts a call short leaves its thread inside."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another thread is inside this layer; give each thread a layer of its own")


class LayerPass(Pass):
    """A pass of a layer in NumPy: it owns arrays by their letters, A among them, and `fc` shows them."""

    def __init__(self, steps: np.ndarray | None, **own: np.ndarray) -> None:
        shown = views(own)
        super().__init__(shown["A"], shown)
        self._steps = steps  # which are no padding, (m, s, 1); None: all
        self._own = views(own)  # X is the caller's, who may change its shape
        self._made: Arrays | None = None  # by backward

    def backward(self, dA: Any) -> np.ndarray | None:
        """Take dL/dA in the shape of A, fill `bc` and return dL/dX."""
        A = self._own["A"]
        dA = real(dA, "dX", A.shape, A.dtype)
        if self._steps is not None and dA.ndim == 3:
            dA = np.where(self._steps, dA, A.dtype.type(0))
        return self._went_back(self._back(dA))

    def _went_back(self, made: Arrays) -> np.ndarray | None:
        """Keep and show what a backward made."""
        self._made, self.bc = views(made), views(made)
        return self.bc.get("dX")

    def _back(self, dA: np.ndarray) -> Arrays:
        """What goes into `bc`, without a change to the pass."""
        raise NotImplementedError

    def _gone_back(self) -> Arrays:
        """What `backward` made; RuntimeError before it."""
        if self._made is None:
            raise RuntimeError("gradients: expected a backward before it")
        return self._made


def own(layer: Layer, name: str) -> Any:
    """Return an attribute that the very class of a layer defines; None where it has it from a class below, or not."""
    return getattr(layer, name) if name in vars(type(layer)) else None


def floats(A: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """A (m, n) or (m, s, n), checked, no dimension 0, in `dtype`; None: floats as they are, integers in float64."""
    X = real(A, "A", dtype=dtype)
    if X.ndim not in (2, 3) or 0 in X.shape:
        raise ValueError(f"A: expected shape (m, n) or (m, s, n), at least one of each, got {X.shape}")
    return X if X.dtype.kind == "f" else X.astype(np.float64)


def all_steps(A: Any) -> np.ndarray:
    """A (m, s, n), checked as `floats` does."""
    X = floats(A)
    if X.ndim != 3:
        raise ValueError(f"A: expected all steps (m, s, n), got shape {X.shape}")
    return X


def unpadded(X: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """X with zeros past the lengths, and which of its steps are real, (m, s, 1); None where there are no lengths."""
    if lengths is None:
        return X, None
    if X.ndim != 3:
        raise ValueError(f"lengths: expected None for an input without steps, got them beside A of shape {X.shape}")
    steps = mask(lengths_of(lengths, *X.shape[:2]), X.shape[1])
    return np.where(steps, X, X.dtype.type(0)), steps


def kept(A: np.ndarray, steps: np.ndarray | None) -> np.ndarray:
    """A with zeros where it is padding."""
    return A if steps is None else np.where(steps, A, A.dtype.type(0))


def flat(A: np.ndarray) -> np.ndarray:
    """A (m, n) as it is; (m, s, n) as (s m, n), with no copy where it lies time-major, as a GRU's arrays do."""
    return A if A.ndim == 2 else A.swapaxes(0, 1).reshape(-1, A.shape[2])


def unflat(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """What `flat` made of an array with the samples and steps of `like`, back in place."""
    return rows if like.ndim == 2 else rows.reshape(like.shape[1], like.shape[0], -1).swapaxes(0, 1)


def code_with_softmax(activate: Any, se_hPars: Any) -> tuple[int, float] | None:
    """What compiled rows call an activation, softmax among them; None for a callable that is not cgru's own."""
    f, se_hPars = activations.named(activate, "activate"), mapping(se_hPars, "se_hPars")
    if activations.ours(f) is activations.softmax:
        return SOFTMAX_CODE, activations.parameter(se_hPars, "softmax_temperature")
    return activations.code_of(f, se_hPars)


def through(f: Activation, X: np.ndarray, dA: np.ndarray) -> np.ndarray:
    """dL/dX of A = f(X), both (m, n): dA times the derivative, element by element or by the Jacobian of each row."""
    D, jacobians = real(f(X, deriv=True), "activate", dtype=X.dtype), (*X.shape, X.shape[1])
    if D.shape not in (X.shape, jacobians):
        raise ValueError(f"activate: expected derivatives of shape {X.shape} or {jacobians}, got {D.shape}")
    return dA * D if D.ndim == 2 else (dA[:, None, :] @ D)[:, 0]
