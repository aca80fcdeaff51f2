"""The GRU layer: its state in plain dicts, its checks, and the calls into the compiled modules.

Letters: m samples, s steps, e elements per step, u unit cells. All arrays are batch-major. The equations stand in
cgru/reference.py.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import backward, forward, reference
from cgru.activations import Activation, bind, code_of, name_of, ours, sigmoid, softmax, tanh, tuned
from cgru.checks import (
    callable_,
    entries,
    entry,
    float_dtype,
    generator,
    has,
    lengths_of,
    mapping,
    parameters,
    positive,
    real,
    rows,
    sequences,
    shapes_of,
)
from cgru.initializers import orthogonal
from cgru.memory import Buffers
from cgru.optimizers import clip_factor
from cgru.parameters import (
    gru_compute_gradients,
    gru_compute_shapes,
    gru_initialize_parameters,
    gru_update_parameters,
)

__all__ = ["GRU"]

GATES = ("activate", "activate_update", "activate_reset")
OUTPUTS = ("hh", "z", "r")
READ = ("h", "hp", "hh", "z", "r")  # by backward, and X
PREACTIVATIONS = ("hh_", "z_", "r_")
CACHES = ("X", "h", "hp", "hh_", "hh", "z", "z_", "r", "r_")
MAX_NORM = 0.25  # of all gradients together, with clip_gradients


class GRU:
    """A layer of gated recurrent units, the reset gate applied before the matrix product (Cho et al., 2014).

    Interface and numbers are those of EpyNN's GRU layer, in whose networks it can take that layer's place.

    Args:
        unit_cells: u, the number of unit cells.
        activate: activation of the candidate state, `f(x, deriv=False)`. cgru's own and EpyNN's functions run
            compiled; with any other callable the sequence is a loop in Python.
        activate_update: activation of the update gate z.
        activate_reset: activation of the reset gate r.
        initialization: `f(shape, rng)` that draws a weight matrix.
        clip_gradients: whether `compute_gradients` scales all gradients to a joint L2 norm of at most 0.25.
        sequences: whether `forward` returns all states (m, s, u) or the last one (m, u).
        se_hPars: parameters of the activations (`LRELU_alpha`, `ELU_alpha`), read at each call.
        dtype: float64 or float32, of parameters, caches and gradients.
        rng: a `numpy.random.Generator`, a seed, or None; kept as `np_rng`.
        preactivations: whether `fc` keeps `hh_, z_, r_`; None: yes, but not when a `cgru.Network` trains the layer.

    Attributes:
        d: dimensions m, s, e, u.
        p: parameters Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh: U (e, u), V (u, u), b (1, u).
        fc: caches of `forward`: X, h, hp, hh_, hh, z, z_, r, r_ and A, which was returned; fs: their shapes.
        bc: caches of `backward`: dA, dh_, dh, dhn, dhh_, dz_, dr_, dX; bs: their shapes.
        g: gradients, `'d' + name` for each parameter.
        activation: names of the three activations.
        trainable: whether `update_parameters` does anything.

    Raises:
        TypeError, ValueError: an argument is not what it should be; nothing is made.
    """

    def __init__(
        self,
        unit_cells: int = 1,
        activate: Activation = tanh,
        activate_update: Activation = sigmoid,
        activate_reset: Activation = sigmoid,
        initialization: Callable[..., np.ndarray] = orthogonal,
        clip_gradients: bool = False,
        sequences: bool = False,
        se_hPars: MutableMapping[str, Any] | None = None,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | int | None = None,
        preactivations: bool | None = None,
    ) -> None:
        self.d: dict[str, int] = {"u": positive(unit_cells, "unit_cells")}
        self.activate = callable_(activate, "activate")
        self.activate_update = callable_(activate_update, "activate_update")
        self.activate_reset = callable_(activate_reset, "activate_reset")
        self.initialization = callable_(initialization, "initialization")
        self.clip_gradients = clip_gradients
        self.sequences = sequences
        self.se_hPars = mapping(se_hPars, "se_hPars")
        self.dtype = float_dtype(dtype)
        self.np_rng = generator(rng)
        self._own_rng = rng is not None  # or a Network may give it one
        self.preactivations = preactivations
        self.trainable = True

        self.fs: dict[str, tuple[int, ...]] = {}
        self.p: dict[str, np.ndarray] = {}
        self.fc: dict[str, np.ndarray] = {}
        self.bs: dict[str, tuple[int, ...]] = {}
        self.g: dict[str, np.ndarray] = {}
        self.bc: dict[str, np.ndarray] = {}
        self.o: dict[str, Any] = {}
        self._named = self._functions()
        self.activation = {gate: name_of(f) for gate, f in zip(GATES, self._named, strict=True)}
        self._known: tuple[Any, Any] = ((None, None, None), None)  # the activations of the last call, and their codes
        self._codes()

        self._ran: tuple[Any, Any] = (None, None)  # the states of the last forward, and its activations' codes
        self._went_back = False  # since the last forward
        self._ragged: tuple[np.ndarray, np.ndarray] | None = None  # samples by length; how many of them run each step
        self._lengths: np.ndarray | None = None
        self._hidden: dict[str, np.ndarray] = {}  # pre-activations that fc does not show, for a callable's derivative
        self._buffers = Buffers()
        self._lock = threading.RLock()  # of a kind that a Ctrl-C just after it was taken does not leave shut

    def __repr__(self) -> str:
        names = ", ".join(f"{gate}={name_of(getattr(self, gate))}" for gate in GATES)
        return f"GRU(unit_cells={self.d['u']}, {names}, sequences={self.sequences}, dtype={self.dtype.name})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_buffers", "_lock")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _buffers=Buffers(), _lock=threading.RLock())

    # --- the contract's members, in the order of a training step ---

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set `d` and `fs` from A (m, s, e); see `cgru.parameters.gru_compute_shapes`."""
        gru_compute_shapes(self, A)

    def initialize_parameters(self) -> None:
        """Draw new parameters from `np_rng`; see `cgru.parameters.gru_initialize_parameters`."""
        gru_initialize_parameters(self)

    def forward(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Run the sequences A (m, s, e), fill `fc`, and return all states (m, s, u) or the last ones (m, u).

        Args:
            A: the input, real numbers.
            lengths: (m,) integers from 1 to s, how many steps of each sample are real; None: all. Past its length a
                sample's `h` and `hp` repeat its last state, the other caches and the returned states are zero.
            h0: (m, u) the state before the first step; None: zero.

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            RuntimeError: there are no parameters yet, or another thread is inside this layer.
        """
        return self._forward(A, lengths, h0, self.preactivations is not False)

    def predict(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Return what `forward` returns, and keep nothing. Any number of threads may call it at once.

        Arguments and errors are those of `forward`.
        """
        X, lengths, h0, p = self._inputs(A, lengths, h0)
        (m, s, _), u, every = X.shape, self.d["u"], self.sequences
        codes = self._codes()
        if codes is None:
            h = reference.forward(p, X, h0, lengths, *self._callables())["h"]
            return self._returned(h, h[:, -1].copy(), lengths)
        order, running = by_length(lengths, s) or (None, None)
        out = np.zeros((m, s, u), self.dtype) if every else np.empty((m, u), self.dtype)
        forward.run(p, {"X": X, "h0": h0, "h" if every else "last": out}, codes, order, running)
        return out

    def backward(self, dX: ArrayLike) -> np.ndarray:
        """Take dL/dA, in the shape that `forward` returned, fill `bc`, and return dL/dX (m, s, e).

        `bc['dh'][:, 0]` is dL/dh0.

        Raises:
            TypeError, ValueError: dX or a parameter does not fit.
            RuntimeError: `forward` was not called before, or another thread is inside this layer.
        """
        self._enter("backward")
        try:
            fc = self._caches()
            every = fc["h"].shape
            due = every if self.fc["A"].ndim == 3 else (every[0], every[2])
            dA = real(dX, "dX", due, self.dtype)
            p = parameters(self.p, fc["X"].shape[2], self.d["u"], self.dtype, "fc['X']")
            codes = self._codes()
            if codes != self._ran[1]:  # a derivative from the output would be that of another function
                codes = None
            if codes is None:
                fc |= self._hidden or {name: self.fc[name] for name in PREACTIVATIONS if name in self.fc}
                if not fc.keys() >= set(PREACTIVATIONS):
                    raise RuntimeError("backward: an activation of another kind than in forward; call forward again")
            self.bc.clear()
            dA = self._dA(dA, fc["h"].shape)
            if codes is None:
                bc = reference.backward(p, fc, dA, self._lengths, *self._callables())
            else:
                bc = self._backward(p, fc, dA, codes)
            self.bc.update(bc)
            self._went_back = True
            self.update_shapes(self.bc, self.bs)
            return bc["dX"]
        finally:
            self._lock.release()

    def compute_gradients(self) -> None:
        """Fill `g`; with `clip_gradients` one factor brings its joint L2 norm to at most 0.25.

        See `cgru.parameters.gru_compute_gradients`.
        """
        if self.fc and self.bc and not self._went_back:
            raise RuntimeError("compute_gradients: expected a backward after the last forward")
        gru_compute_gradients(self)
        if self.clip_gradients:
            factor = clip_factor(self.g, MAX_NORM)
            if factor < 1:
                for gradient in self.g.values():
                    gradient *= factor

    def update_parameters(self) -> None:
        """Subtract `lrate[e] * g` from `p`, in place, while `trainable`.

        See `cgru.parameters.gru_update_parameters`.
        """
        if self.trainable:
            gru_update_parameters(self)

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: MutableMapping[str, tuple[int, ...]]) -> None:
        """Set `shapes[k] = cache[k].shape` for each key of the cache."""
        shapes_of(cache, shapes)

    # --- what stands behind them ---

    def _enter(self, call: str) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another call is inside this layer; give each thread a layer of its own")

    def _forward(
        self, A: ArrayLike, lengths: ArrayLike | None, h0: ArrayLike | None, preactivations: bool
    ) -> np.ndarray:
        """`forward`, with `preactivations` decided by the caller."""
        self._enter("forward")
        try:
            X, lengths, h0, p = self._inputs(A, lengths, h0)
            codes = self._codes()
            gru_compute_shapes(self, X)
            functions = self._functions()
            if not all(map(operator.is_, functions, self._named)):
                self._named = functions
                self.activation.update({gate: name_of(f) for gate, f in zip(GATES, functions, strict=True)})
            self._lengths, self._ragged = lengths, by_length(lengths, X.shape[1])
            self._hidden, self._ran, self._went_back = {}, (None, None), False
            self.fc.clear()
            if codes is None:
                fc = reference.forward(p, X, h0, lengths, *self._callables())
                last = fc["h"][:, -1].copy()
                self._hidden = {name: fc[name] for name in PREACTIVATIONS}
                fc = {name: fc[name] for name in CACHES if preactivations or name not in PREACTIVATIONS}
            else:
                fc, last = self._compiled(p, X, h0, lengths, codes, preactivations)
            fc["A"] = A = self._returned(fc["h"], last, lengths)
            self.fc.update(fc)
            self._ran = fc["h"], codes
            if not preactivations:
                for name in PREACTIVATIONS:
                    self.fs.pop(name, None)
            self.update_shapes(self.fc, self.fs)
            return A
        finally:
            self._lock.release()

    def _compiled(self, p, X, h0, lengths, codes, preactivations) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The caches and the last states (m, u), computed by the compiled module."""
        (m, s, _), u, take = X.shape, self.d["u"], self._buffers.take
        states, hp, h = self._buffers.take_states("states", m, s, u, self.dtype)
        states[:, 0] = 0 if h0 is None else h0
        fc = {"X": X, "h": h, "hp": hp}
        for name in ("hh_", "hh", "z", "z_", "r", "r_") if preactivations else OUTPUTS:
            fc[name] = take(name, m, s, u, self.dtype)
            if lengths is not None:
                fc[name].fill(0)
        last = np.empty((m, u), self.dtype)
        forward.run(p, {**fc, "h0": h0, "last": last}, codes, *(self._ragged or ()))
        if lengths is not None:
            np.copyto(fc["h"], last[:, None], where=~reference.mask(lengths, s))
        return fc, last

    def _backward(self, p, fc, dA, codes) -> dict[str, np.ndarray]:
        """The caches of backward, computed by the compiled module."""
        (m, s, u), take = fc["h"].shape, self._buffers.take
        handed, dh, dhn = self._buffers.take_states("handed", m, s, u, self.dtype)
        handed[:, -1] = 0
        bc = {"dA": dA, "dh": dh, "dhn": dhn}
        for name in ("dh_", "dhh_", "dz_", "dr_"):
            bc[name] = take(name, m, s, u, self.dtype)
        if self._ragged is not None:
            for name in ("dh", "dh_", "dhh_", "dz_", "dr_"):
                bc[name].fill(0)
        bc["dX"] = take("dX", *fc["X"].shape, self.dtype)
        backward.run(p, fc | bc, codes, *(self._ragged or ()))
        return bc

    def _inputs(self, A, lengths, h0):
        """What forward and predict are given, checked: X, lengths, h0 and the parameters in the layer's dtype."""
        X = rows(sequences(A, "A", self.dtype))
        m, s, e = X.shape
        lengths = lengths_of(lengths, m, s)
        if h0 is not None:
            h0 = np.ascontiguousarray(real(h0, "h0", (m, self.d["u"]), self.dtype))
        return X, lengths, h0, parameters(self.p, e, self.d["u"], self.dtype, "A")

    def _caches(self) -> dict[str, np.ndarray]:
        """What backward reads of `fc`, checked."""
        if not has(self.fc, ("X", *READ, "A")):
            raise RuntimeError("backward: expected a forward before it")
        if self.fc["h"] is not self._ran[0]:
            raise RuntimeError("backward: fc holds another batch than the last forward's; expected that forward again")
        X = entry(self.fc, "fc", "X", ("m", "s", "e"), self.dtype)
        fc = entries(self.fc, "fc", READ, (*X.shape[:2], self.d["u"]), self.dtype)
        fc["X"] = X
        return fc

    def _dA(self, dA: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The gradient from above as (m, s, u): on each sample's last step where only the last state was returned."""
        m, s, _ = shape
        if dA.ndim == 3:
            return rows(dA if self._lengths is None else np.where(reference.mask(self._lengths, s), dA, 0))
        every = self._buffers.take("dA", *shape, self.dtype)
        every.fill(0)
        if self._lengths is None:
            every[:, -1] = dA
        else:
            every[np.arange(m), self._lengths - 1] = dA
        return every

    def _returned(self, h: np.ndarray, last: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        if not self.sequences:
            return last
        return h if lengths is None else np.where(reference.mask(lengths, h.shape[1]), h, h.dtype.type(0))

    def _functions(self) -> tuple[Activation, Activation, Activation]:
        return self.activate, self.activate_update, self.activate_reset

    def _codes(self) -> tuple[tuple[int, float], ...] | None:
        """(code, alpha) of the three activations; None where one of them is not compiled."""
        functions = self._functions()
        if all(map(operator.is_, functions, self._known[0])):
            return self._known[1]
        codes = []
        for gate, f in zip(GATES, functions, strict=True):
            callable_(f, gate)
            if ours(f) is softmax:
                raise ValueError(f"{gate}: softmax is for a Dense layer, expected an elementwise activation")
            codes.append(code_of(f, self.se_hPars))
        known = None if None in codes else tuple(codes)
        if not any(map(tuned, functions)):  # then the codes hold whatever becomes of se_hPars
            self._known = functions, known
        return known

    def _callables(self) -> list[Activation]:
        """The three activations as NumPy functions whose result is checked."""
        return [checked(bind(f, self.se_hPars), gate) for gate, f in zip(GATES, self._functions(), strict=True)]


def checked(f: Activation, name: str) -> Activation:
    """`f`, whose result must have the shape of its argument."""

    def call(x: np.ndarray, deriv: bool = False) -> np.ndarray:
        y = f(x, deriv=True) if deriv else f(x)
        return real(y, f"{name}(x)" if not deriv else f"{name}(x, deriv=True)", x.shape)

    return call


def by_length(lengths: np.ndarray | None, s: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The samples, longest first, and how many of them have each step; None where there are no lengths."""
    if lengths is None:
        return None
    order = np.argsort(-lengths, kind="stable").astype(np.intp)
    return order, np.count_nonzero(lengths[:, None] > np.arange(s), axis=0).astype(np.intp)
