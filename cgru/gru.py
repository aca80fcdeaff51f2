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

from cgru import reference
from cgru.activations import Activation, bind, code_of, name_of, ours, sigmoid, softmax, tanh, tuned
from cgru.core import backward, forward, masks
from cgru.core.checks import (
    callable_,
    entries,
    entry,
    flag,
    float_dtype,
    generator,
    has,
    lengths_of,
    mapping,
    parameters,
    positive,
    rate,
    real,
    rows,
    sequences,
    shapes_of,
)
from cgru.core.memory import Buffers
from cgru.initializers import orthogonal
from cgru.optimizers import clip_factor
from cgru.parameters import (
    gru_compute_gradients,
    gru_compute_shapes,
    gru_initialize_parameters,
    gru_update_parameters,
)
from cgru.variant import Variant, variant_of

__all__ = ["GRU"]

GATES = ("activate", "activate_update", "activate_reset")
OUTPUTS = ("hh", "z", "r")
READ = ("h", "hp", "hh", "z", "r")  # by backward, and X
PREACTIVATIONS = ("hh_", "z_", "r_")
# The options of cgru/reference.py that the compiled module has as well.
COMPILED = frozenset({"input_mask", "reset_after", "reverse", "zoneout"})
MAX_NORM = 0.25  # of all gradients together, with clip_gradients


class Option:
    """An attribute of a layer that is checked when it is set; the layer's `_on` holds those that are not `off`."""

    def __init__(self, check: Callable[[Any, str], Any], off: Any) -> None:
        self.check, self.off = check, off

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: GRU | None, owner: type) -> Any:
        return self if layer is None else layer._on.get(self.name, self.off)

    def __set__(self, layer: GRU, value: Any) -> None:
        value = self.check(value, self.name)
        if value == self.off:
            layer._on.pop(self.name, None)
        else:
            layer._on[self.name] = value

    def __delete__(self, layer: GRU) -> None:
        layer._on.pop(self.name, None)


class GRU:
    """A layer of gated recurrent units, the reset gate applied before the matrix product (Cho et al., 2014), or after.

    Interface and numbers are those of EpyNN's GRU layer, in whose networks it can take that layer's place. The
    equations, those of all options among them, stand in `cgru.reference`.

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
        reset_after: whether the reset gate is applied after the matrix product, with a bias `chh` (1, u) of its own:
            the cell of cuDNN, PyTorch and, unless asked otherwise, Keras.
        reverse: whether each sample runs from its last real step to its first. Outputs and caches stand at their own
            steps, and the last state is the one after step 0.
        dropout: the share of the input's elements that `forward` drops, the same at each step of a sequence.
        recurrent_dropout: the share of the previous state's units that it drops from the matrix products, by a mask for
            each gate and sequence; the state that is carried on is whole.
        zoneout: the probability with which a unit keeps its previous state at a step. `predict` has the expectation.
        stateful: whether `forward` and `predict` start where the last of these calls ended, where no h0 is given.

    Attributes:
        d: dimensions m, s, e, u.
        p: parameters Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, with `reset_after` chh: U (e, u), V (u, u), b and c (1, u).
        fc: caches of `forward`: X, h, hp, hh_, hh, z, z_, r, r_ and A, which was returned; with `reset_after` c; and
            those masks that were in use: input_mask (m, e), recurrent_masks (3, m, u), of the gates hh, z, r, and
            zoneout (m, s, u), or the rate itself; fs: their shapes.
        bc: caches of `backward`: dA, dh_, dh, dhn, dhh_, dz_, dr_, dX, with `reset_after` dc; bs: their shapes.
        g: gradients, `'d' + name` for each parameter.
        activation: names of the three activations.
        trainable: whether `update_parameters` does anything.
        training: whether `forward` drops out, by masks drawn anew in each call from `np_rng`; else it does as
            `predict`, which never does. True at first.
        masks: masks to take instead of drawn ones, for as long as they stand here: a dict with some of input_mask,
            recurrent_masks (both 0 or 1 / (1 - rate)) and zoneout (1: keeps its state). None: draw all.
        state: (m, u) the last state of each sample after `forward`, with `stateful` after `predict` too; None before.
            May be set.

    Raises:
        TypeError, ValueError: an argument is not what it should be; nothing is made.
    """

    reset_after = Option(flag, False)
    reverse = Option(flag, False)
    dropout = Option(rate, 0.0)
    recurrent_dropout = Option(rate, 0.0)
    zoneout = Option(rate, 0.0)
    stateful = Option(flag, False)
    masks = Option(mapping, None)

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
        reset_after: bool = False,
        reverse: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        stateful: bool = False,
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
        self._on: dict[str, Any] = {}  # the options that are, so that one look tells whether any is
        self.reset_after, self.reverse, self.stateful = reset_after, reverse, stateful
        self.dropout, self.recurrent_dropout, self.zoneout = dropout, recurrent_dropout, zoneout
        self.trainable = True
        self.training = True
        self.state: np.ndarray | None = None

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
        self._options: dict[str, Any] = {}  # the reference's, as the last forward had them
        self._went_back = False  # since the last forward
        self._ragged: tuple[np.ndarray, np.ndarray] | None = None  # samples by length; how many of them run each step
        self._lengths: np.ndarray | None = None
        self._hidden: dict[str, np.ndarray] = {}  # pre-activations that fc does not show, for a callable's derivative
        self._buffers = Buffers()
        self._lock = threading.RLock()  # of a kind that a Ctrl-C just after it was taken does not leave shut

    def __repr__(self) -> str:
        names = ", ".join(f"{gate}={name_of(getattr(self, gate))}" for gate in GATES)
        on = "".join(f", {name}={value}" for name, value in self._on.items() if name != "masks")
        return f"GRU(unit_cells={self.d['u']}, {names}, sequences={self.sequences}, dtype={self.dtype.name}{on})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_buffers", "_lock")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _buffers=Buffers(), _lock=threading.RLock())

    @property
    def variant(self) -> Variant:
        """Which kind of GRU this is."""
        return variant_of(reset_after=self.reset_after)

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
                sample's `h` and `hp` repeat its last state, or h0 in `reverse`; the other caches are zero, and so are
                the returned states.
            h0: (m, u) the state before the step that runs first; None: zero, or with `stateful` that after the last
                call.

        Raises:
            TypeError, ValueError: an argument, a parameter, a mask or the carried state does not fit.
            RuntimeError: there are no parameters yet, or another thread is inside this layer.
        """
        return self._forward(A, lengths, h0, self.preactivations is not False)

    def predict(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Return what `forward` returns without dropout, and keep nothing. Any number of threads may call it at once.

        With `stateful` it goes on from `state` and leaves its own last one there, as Keras does: calls then have an
        order, so that one thread is to make them. Arguments and errors are those of `forward`.
        """
        X, lengths, h0, p = self._inputs(A, lengths, h0)
        (m, s, _), u, every = X.shape, self.d["u"], self.sequences
        codes, options, stateful = self._codes(), {}, False
        if self._on:
            codes, options = self._with_options(codes, X.shape, training=False)
            stateful = self.stateful
        if codes is None:
            fc, last = self._reference(p, X, h0, lengths, options)
            out = self._returned(fc["h"], last, lengths)
        else:
            order, running = by_length(lengths, s) or (None, None)
            last = np.empty((m, u), self.dtype) if stateful or not every else None
            out = np.zeros((m, s, u), self.dtype) if every else last
            arrays = {"X": X, "h0": h0, "h": out if every else None, "last": last, "zoneout": options.get("zoneout")}
            forward.run(p, arrays, codes, order, running, "reverse" in options)
        if stateful:
            self.state = last.copy()
        return out

    def reset_state(self) -> None:
        """Forget `state`: the next call of a `stateful` layer starts from zero, with any number of samples."""
        self.state = None

    @property
    def dh0(self) -> np.ndarray:
        """dL/dh0 (m, u), what the step that ran first hands on: `bc['dh'][:, 0]`, in `reverse` at each last real step.

        RuntimeError where there was no `backward` since the last `forward`.
        """
        if not self._went_back or "dh" not in self.bc:
            raise RuntimeError("dh0: expected a backward after the last forward")
        dh = self.bc["dh"]
        if not self._options.get("reverse"):
            return dh[:, 0]
        m, s, _ = dh.shape
        return dh[np.arange(m), reference.ends(m, s, self._lengths, reverse=True)[0]]

    def backward(self, dX: ArrayLike, dstate: ArrayLike | None = None) -> np.ndarray:
        """Take dL/dA, in the shape that `forward` returned, fill `bc`, and return dL/dX (m, s, e).

        `dstate` (m, u) is dL/d(last state), which joins dL/dA at each sample's own last step; None: zero. dL/dh0 is
        `dh0`. A state that was carried over from the call before counts as given: no gradient goes back there.

        Raises:
            TypeError, ValueError: dX, dstate or a parameter does not fit.
            RuntimeError: `forward` was not called before, or another thread is inside this layer.
        """
        self._enter("backward")
        try:
            fc, p = self._caches()
            every = fc["h"].shape
            state = every[0], every[2]
            dA = real(dX, "dX", every if self.fc["A"].ndim == 3 else state, self.dtype)
            if dstate is not None:
                dstate = real(dstate, "dstate", state, self.dtype)
            codes = self._codes()
            if codes != self._ran[1]:  # a derivative from the output would be that of another function
                codes = None
            if codes is None:
                fc |= self._hidden or {name: self.fc[name] for name in PREACTIVATIONS if name in self.fc}
                if not fc.keys() >= set(PREACTIVATIONS):
                    raise RuntimeError("backward: an activation of another kind than in forward; call forward again")
            self.bc.clear()
            dA = self._dA(dA, dstate, every)
            if codes is None:
                bc = reference.backward(p, fc, dA, self._lengths, *self._callables(), **self._options)
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
        self._gradients()
        if self.clip_gradients:
            clip(self.g)

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
            codes, options = self._codes(), {}
            if self._on:
                codes, options = self._with_options(codes, X.shape, self.training)
            gru_compute_shapes(self, X)
            functions = self._functions()
            if not all(map(operator.is_, functions, self._named)):
                self._named = functions
                self.activation.update({gate: name_of(f) for gate, f in zip(GATES, functions, strict=True)})
            self._lengths, self._ragged = lengths, by_length(lengths, X.shape[1])
            if self._options:
                for name in ("c", *self._options):
                    self.fs.pop(name, None)
                self.bs.pop("dc", None)
            self._hidden, self._ran, self._went_back = {}, (None, None), False
            self._options = options
            self.fc.clear()
            if codes is None:
                fc, last = self._reference(p, X, h0, lengths, options)
                self._hidden = {name: fc[name] for name in PREACTIVATIONS}
                if not preactivations:
                    fc = {name: value for name, value in fc.items() if name not in PREACTIVATIONS}
            else:
                fc, last = self._compiled(p, X, h0, lengths, codes, preactivations, options)
            if options:
                fc |= {name: options[name] for name in masks.RATES if name in options}
            fc["A"] = A = self._returned(fc["h"], last, lengths)
            self.fc.update(fc)
            self._ran = fc["h"], codes
            self.state = last.copy() if self._on and self.stateful else last
            if not preactivations:
                for name in PREACTIVATIONS:
                    self.fs.pop(name, None)
            self.update_shapes(self.fc, self.fs)
            return A
        finally:
            self._lock.release()

    def _reference(self, p, X, h0, lengths, options) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The caches and the last states (m, u), computed in NumPy: any callable, any option."""
        fc = reference.forward(p, X, h0, lengths, *self._callables(), **options)
        last = fc["h"][:, 0 if "reverse" in options else -1].copy()
        return fc, last

    def _compiled(self, p, X, h0, lengths, codes, preactivations, options) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The caches and the last states (m, u), computed by the compiled module."""
        (m, s, _), u, take = X.shape, self.d["u"], self._buffers.take
        states, hp, h = self._buffers.take_states("states", m, s, u, self.dtype)
        reverse = "reverse" in options
        states[:, -1 if reverse else 0] = 0 if h0 is None else h0
        fc = {"X": X, "h": hp, "hp": h} if reverse else {"X": X, "h": h, "hp": hp}
        for name in ("hh_", "hh", "z", "z_", "r", "r_") if preactivations else OUTPUTS:
            fc[name] = take(name, m, s, u, self.dtype)
        if "reset_after" in options:
            fc["c"] = take("c", m, s, u, self.dtype)
        last = np.empty((m, u), self.dtype)
        if "input_mask" in options:
            X = masks.masked(X, options["input_mask"])
        arrays = {**fc, "X": X, "h0": h0, "last": last, "zoneout": options.get("zoneout")}
        forward.run(p, arrays, codes, *(self._ragged or (None, None)), reverse)
        return fc, last

    def _backward(self, p, fc, dA, codes) -> dict[str, np.ndarray]:
        """The caches of backward, computed by the compiled module."""
        (m, s, u), take, reverse = fc["h"].shape, self._buffers.take, "reverse" in self._options
        handed, dh, dhn = self._buffers.take_states("handed", m, s, u, self.dtype)
        handed[:, 0 if reverse else -1] = 0
        bc = {"dA": dA, "dh": dhn, "dhn": dh} if reverse else {"dA": dA, "dh": dh, "dhn": dhn}
        for name in ("dh_", "dhh_", "dz_", "dr_"):
            bc[name] = take(name, m, s, u, self.dtype)
        if "reset_after" in self._options:
            bc["dc"] = take("dc", m, s, u, self.dtype)
        bc["dX"] = take("dX", *fc["X"].shape, self.dtype)
        arrays = fc | bc | {"zoneout": self._options.get("zoneout")}
        backward.run(p, arrays, codes, *(self._ragged or (None, None)), reverse)
        if reverse and self._lengths is not None:  # dL/dh0 of a short sample stands where its padding begins
            bc["dhn"] = np.where(reference.mask(self._lengths, s), bc["dhn"], self.dtype.type(0))
        if "input_mask" in self._options:
            bc["dX"] *= self._options["input_mask"][:, None]
        return bc

    def _gradients(self) -> None:
        """`compute_gradients` without the clipping."""
        if self.fc and self.bc and not self._went_back:
            raise RuntimeError("compute_gradients: expected a backward after the last forward")
        gru_compute_gradients(self)

    def _inputs(self, A, lengths, h0):
        """What forward and predict are given, checked: X, lengths, h0 and the parameters in the layer's dtype."""
        X = rows(sequences(A, "A", self.dtype))
        m, s, e = X.shape
        lengths = lengths_of(lengths, m, s)
        if h0 is not None:
            h0 = np.ascontiguousarray(real(h0, "h0", (m, self.d["u"]), self.dtype))
        elif self._on and self.stateful and self.state is not None:
            h0 = self._carried(m)
        return X, lengths, h0, parameters(self.p, e, self.d["u"], self.dtype, "A", "reset_after" in self._on)

    def _carried(self, m: int) -> np.ndarray:
        """The state that the last call left, checked."""
        state = real(self.state, "state", ("m", self.d["u"]), self.dtype)
        if len(state) != m:
            raise ValueError(f"A: expected {len(state)} samples, as many as state has, got {m}; or call reset_state()")
        return np.ascontiguousarray(state)

    def _with_options(
        self, codes: tuple | None, shape: tuple[int, ...], training: bool
    ) -> tuple[tuple | None, dict[str, Any]]:
        """The reference's options for a call, masks drawn, and before them `codes`; None: it runs in NumPy."""
        on = self._on
        options: dict[str, Any] = {name: True for name in ("reset_after", "reverse") if name in on}
        if training:
            rates = {name: on.get(option, 0.0) for name, option in masks.RATES.items()}
            options |= masks.drawn(rates, (*shape, self.d["u"]), self.np_rng, self.masks, self.dtype)
        elif "zoneout" in on:
            options["zoneout"] = np.array(on["zoneout"], self.dtype)  # the expectation
        return codes if options.keys() <= COMPILED else None, options

    def _caches(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What backward reads of `fc` and `p`, checked."""
        if not has(self.fc, ("X", *READ, "A")):
            raise RuntimeError("backward: expected a forward before it")
        if self.fc["h"] is not self._ran[0]:
            raise RuntimeError("backward: fc holds another batch than the last forward's; expected that forward again")
        X = entry(self.fc, "fc", "X", ("m", "s", "e"), self.dtype)
        u, after = self.d["u"], "reset_after" in self._options
        fc = entries(self.fc, "fc", (*READ, "c") if after else READ, (*X.shape[:2], u), self.dtype)
        fc["X"] = X
        return fc, parameters(self.p, X.shape[2], u, self.dtype, "fc['X']", after)

    def _dA(self, dA: np.ndarray, dstate: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
        """dL/dh (m, s, u) from above: on each sample's last step where only that state was returned, and `dstate`."""
        m, s, _ = shape
        lengths = self._lengths
        if "reverse" in self._options:
            last = np.s_[:, 0]
        else:
            last = np.s_[:, -1] if lengths is None else (np.arange(m), lengths - 1)
        if dA.ndim == 3:
            if lengths is not None:
                dA = np.where(reference.mask(lengths, s), dA, 0)
            elif dstate is not None:
                dA = dA.copy()
            if dstate is not None:
                dA[last] += dstate
            return rows(dA)
        every = self._buffers.take("dA", *shape, self.dtype)
        every.fill(0)
        every[last] = dA if dstate is None else dA + dstate
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


def clip(g: Mapping[str, np.ndarray]) -> None:
    """Scale all gradients by one factor, where their joint norm is too large."""
    factor = clip_factor(g, MAX_NORM)
    if factor < 1:
        for gradient in g.values():
            gradient *= factor


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
