"""The GRU layer: its options and states, the checks of its arguments, and its calls into the compiled modules.

Letters: m samples, s steps, e features of a step, u units. All arrays are batch-major. The equations stand in
cgru/reference.py.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import activations, initializers, reference
from cgru.activations import ELEMENTWISE, Activation, bind, gate_code, name_of, ours, sigmoid, softmax, tanh, tuned
from cgru.core import masks
from cgru.core.checks import callable_, flag, lengths_of, mapping, parameters, positive, rate, real, sequences
from cgru.core.decay import decay_of
from cgru.core.lengths import ends, mask
from cgru.core.low_precision import LowPrecisionGRU
from cgru.core.masks import held
from cgru.core.memory import Buffers
from cgru.initializers import orthogonal
from cgru.layers.layer import Arrays, Fields, Layer, Shape
from cgru.layers.steps import SEQUENCE, STEP, Steps
from cgru.parameters import gru_compute_shapes, gru_initialize_parameters
from cgru.passes import GRUPass, predict
from cgru.variant import Variant, VariantFlag, variant_of

__all__ = ["GRU", "OPTIONS", "Shared"]

GATES = ("activate", "activate_update", "activate_reset")
NO_FACTOR: dict[str, np.ndarray] = {}


class Option:
    """A descriptor for an option of a layer; it checks each value that the option is set to.

    The layer's `_options_on` holds only the options whose value is not `off`, so that one look tells whether any is on.
    """

    def __init__(self, check: Callable[[Any, str], Any], off: Any) -> None:
        """Set the check, called as `check(value, name)`, and the value `off` that means the option is not in use."""
        self.check, self.off = check, off

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: GRU, owner: type) -> Any:
        return self if layer is None else layer._options_on.get(self.name, self.off)

    def __set__(self, layer: GRU, value: Any) -> None:
        value = self.check(value, self.name)
        if value == self.off:
            layer._options_on.pop(self.name, None)
        else:
            layer._options_on[self.name] = value

    def __delete__(self, layer: GRU) -> None:
        layer._options_on.pop(self.name, None)


class Shared:
    """A descriptor for an attribute that the GRUs inside a layer (its `halves`) have in common.

    It is read from the first, set and deleted in all.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else getattr(layer.halves[0], self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        for half in layer.halves:
            setattr(half, self.name, value)

    def __delete__(self, layer: Any) -> None:
        for half in layer.halves:
            delattr(half, self.name)


class GRU(Layer):
    """A layer of gated recurrent units, the reset gate applied before the matrix product or after.

    For steps t of an input (m, s, e), u units, and the state h before the first step (zero, or h0):

        z = activate_update(x_t Uz + h Vz + bz)
        r = activate_reset(x_t Ur + h Vr + br)
        hh = activate(x_t Uhh + (r * h) Vhh + bhh)
        h becomes z * h + (1 - z) * hh

    (Cho et al., 2014, arXiv:1406.1078). The equations of all options stand in `cgru.reference`. The layer has the
    interface and the numbers of EpyNN's GRU layer, which it can replace in EpyNN's networks.

    Args:
        unit_cells: u, the number of unit cells.
        activate: activation of the candidate state, `f(x, deriv=False)`. cgru's own and EpyNN's functions run compiled;
            with any other callable the sequence is a loop in Python.
        activate_update: activation of the update gate z.
        activate_reset: activation of the reset gate r.
        initialization: `f(shape, rng)` that draws a weight matrix.
        clip_gradients: whether `compute_gradients` scales all gradients to a joint L2 norm of at most 0.25.
        sequences: whether `forward` returns all states (m, s, u); else the last one (m, u).
        se_hPars: parameters of the activations (`LRELU_alpha`, `ELU_alpha`), read at each call.
        dtype: float64 or float32, of parameters, caches and gradients.
        rng: a `numpy.random.Generator`, a seed, or None; kept as `np_rng`.
        preactivations: whether `fc` keeps `hh_, z_, r_`; None: yes, but not when a `cgru.Network` trains the layer.
        reset_after: whether the reset gate is applied after the matrix product, with a bias `chh` (1, u) of its own: hh
            = activate(x_t Uhh + bhh + r * (h Vhh + chh)). It is the cell of cuDNN, PyTorch and, unless asked otherwise,
            Keras.
        layer_norm: whether the rows of X [Uz Ur Uhh] and of hp [Vz Vr Vhh], 3 u numbers each, are normalised and
            multiplied by a gain each, `gU` and `gV` (1, 3 u); the reset gate is then applied after the product (Ba,
            Kiros and Hinton, 2016, arXiv:1607.06450).
        learn_h0: whether the state before the step that runs first is a parameter, `h0` (1, u), of every sample, zero
            at first. A state that is given or carried over takes its place, and has no share in its gradient.
        reverse: whether each sample runs from its last real step to its first. Outputs and caches stand at their own
            steps, and the last state is the one after step 0.
        dropout: the share of the input's features that `forward` drops, the same at each step of a sequence.
        recurrent_dropout: the share of the previous state's units that `forward` drops from the matrix products, by a
            mask for each gate and sequence. The state itself is carried on whole.
        zoneout: the probability with which a unit keeps its previous state at a step. `predict` uses the expectation.
        stateful: whether `forward` and `predict` start from the last state of the call before, if no h0 is given.

    Attributes:
        d: dimensions m, s, e, u.
        variant: which variant of the GRU it is, a `cgru.variant.Variant`; it may be set before there are parameters.
        p: parameters Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh and those of the variant: U (e, u), V (u, u), b, c (1, u), g
            (1, 3 u), h0 (1, u).
        fc: caches of `forward`: X, h, hp, hh_, hh, z, z_, r, r_ and the output A; those of the variant; and the masks
            that were used: input_mask (m, e), recurrent_masks (3, m, u) of the gates hh, z, r, and zoneout (m, s, u) or
            the rate itself; with resets or decay the factors `decay` and the states `before` them.
        fs: the shapes of X, of `p` and of `fc`.
        bc: caches of `backward`: dA, dh_, dh, dhn, dhh_, dz_, dr_, dX and those of the variant; with decay dg =
            dL/d(decay) and dhp = dL/dhp, of which dh is what goes to the step before.
        bs: the shapes in `bc`.
        last: the pass of the last `forward`, whose arrays fc, bc and g show; None before.
        g: gradients, `'d' + name` for each parameter.
        activation: names of the three activations.
        trainable: whether `update_parameters` does anything.
        training: whether `forward` applies dropout, with masks drawn in each call from `np_rng`. If False it computes
            what `predict` does. True at first.
        masks: masks to use instead of drawn ones until this is set to None: a dict with some of input_mask,
            recurrent_masks (both 0 or 1 / (1 - rate)) and zoneout (1: keeps its state). None: draw all.
        state: (m, u) the last state of each sample after `forward`, with `stateful` after `predict` too; None before.
            May be set.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is made.

    Examples:
        >>> X = np.random.default_rng(0).standard_normal((2, 6, 3))
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> A = layer.forward(X)
        >>> A.shape, np.array_equal(A, layer.predict(X))
        ((2, 6, 4), True)
        >>> layer.backward(np.ones_like(A)).shape
        (2, 6, 3)
        >>> layer.compute_gradients()
        >>> layer.g["dUz"].shape
        (3, 4)
    """

    fields = Fields(
        {"units": "u"},
        ("activate", "activate_update", "activate_reset", "initialization"),
        ("sequences", "clip_gradients"),
        ("reverse", "dropout", "recurrent_dropout", "zoneout", "stateful", "learn_h0"),
        dtype=True,
        variant=True,
    )
    reads = ("decay",)
    reset_after, layer_norm, learn_h0 = VariantFlag(), VariantFlag(), VariantFlag()
    reverse = Option(flag, False)
    dropout = Option(rate, 0.0)
    recurrent_dropout = Option(rate, 0.0)
    zoneout = Option(rate, 0.0)
    stateful = Option(flag, False)
    masks = Option(mapping, None)
    weights = Option(lambda value, name: value, None)

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
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
        preactivations: bool | None = None,
        reset_after: bool = False,
        layer_norm: bool = False,
        learn_h0: bool = False,
        reverse: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        stateful: bool = False,
    ) -> None:
        super().__init__(rng, dtype)
        self.d["u"] = positive(unit_cells, "unit_cells")
        self.activate = activations.named(activate, "activate", ELEMENTWISE)
        self.activate_update = activations.named(activate_update, "activate_update", ELEMENTWISE)
        self.activate_reset = activations.named(activate_reset, "activate_reset", ELEMENTWISE)
        self.initialization = initializers.named(initialization, "initialization")
        self.clip_gradients = clip_gradients
        self.sequences = sequences
        self.se_hPars = mapping(se_hPars, "se_hPars")
        self.preactivations = preactivations
        self._options_on: dict[str, Any] = {}  # see Option
        kind = {"reset_after": reset_after, "layer_norm": layer_norm, "learn_h0": learn_h0}
        self.variant: Variant = variant_of(**{name: flag(value, name) for name, value in kind.items()})
        self.reverse, self.stateful = reverse, stateful
        self.dropout, self.recurrent_dropout, self.zoneout = dropout, recurrent_dropout, zoneout
        self.trainable = self.training = True
        self.state: np.ndarray | None = None
        self._last_functions = self._functions()
        self.activation = {gate: name_of(f) for gate, f in zip(GATES, self._last_functions, strict=True)}
        self._codes_known: tuple[Any, Any] = ((None, None, None), None)  # the last activations, and their codes
        self.codes()
        self._buffers = Buffers()
        self._cache_names: tuple[str, ...] = ()  # of the last forward

    def __repr__(self) -> str:
        names = ", ".join(f"{gate}={name_of(getattr(self, gate))}" for gate in GATES)
        on = "".join(f", {name}=True" for name, value in self.variant.options.items() if value)
        on += "".join(f", {name}={value!r}" for name, value in self._options_on.items() if name != "masks")
        return f"GRU(unit_cells={self.d['u']}, {names}, sequences={self.sequences}, dtype={self.dtype.name}{on})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_buffers": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(dict(state, _buffers=Buffers()))

    # --- properties that a network asks for ---

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters, in their fixed order."""
        return self.variant.names

    @property
    def features(self) -> int | None:
        """Return e, the number of input features that the parameters were made for; None before they are made."""
        return len(self.p["Uz"]) if np.ndim(self.p.get("Uz")) else None

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        return self._arrays(**self.variant.shapes(e, self.d["u"]))

    @property
    def bound(self) -> float:
        """Return the bound of |h|: 1 if the activation's values are at most 1, else 0, which means no bound."""
        return 1.0 if ours(self.activate) in (tanh, sigmoid) else 0.0

    def packing(self) -> tuple[Any, ...]:
        """Return how to pack weights that are not floats for the kernels; see `cgru.quantized.stored_weights`.

        Returns:
            A function, and what it takes after `p` and the bound of the inputs.

        Raises:
            ValueError: an activation is not compiled.

        Examples:
            >>> cgru.GRU(4, zoneout=0.25).packing()[-2:]  # the bounds of its states, and zoneout
            (1.0, 0.25)
        """
        codes = self.codes() or [activations.compiled(getattr(self, gate), gate, self.se_hPars) for gate in GATES]
        return _packed, self.variant, codes, self.bound, self.zoneout

    @property
    def draws(self) -> bool:
        """Return whether a training step draws dropout or zoneout masks."""
        return bool(self.dropout or self.recurrent_dropout or self.zoneout)

    @property
    def stage(self) -> dict[str, Any] | None:
        """Return a dict that describes this layer to the compiled training code; None if that cannot run the layer."""
        codes = self.codes()
        if codes is None or (self.masks is not None and self.training):
            return None
        return {"kind": "recurrent", "merge": None, "sequences": bool(self.sequences)}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c: one step of the GRU."""
        return c.gru()

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add a GRU node on the array named A to an ONNX graph; return the name of its output."""
        return graph.recurrent(self, A)

    @property
    def cells(self) -> tuple[GRU, ...]:
        """Return the GRUs in this layer that start from a state: only the layer itself."""
        return (self,)

    @property
    def steps(self) -> Steps:
        """Return which steps the layer needs at once: one at a time, or in reverse the whole sequence."""
        return SEQUENCE if self.reverse else STEP

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: (m, s, u) for inputs (m, s, e), or (m, u) without `sequences`.

        Raises:
            ValueError: any other shape.
        """
        if len(shape) != 3:
            raise ValueError("expected all steps (m, s, e)")
        return (*shape[:2], self.d["u"]) if self.sequences else (shape[0], self.d["u"])

    def initial_states(self, m: int) -> np.ndarray:
        """Return the states before the first step: zero, or the learned state.

        Args:
            m: the number of samples.

        Returns:
            The states (m, u).

        Examples:
            >>> cgru.GRU(4).initial_states(2).shape
            (2, 4)
        """
        states = np.zeros((m, self.d["u"]), self.dtype)
        states += self.p.get("h0", 0)
        return states

    def checked_parameters(self) -> tuple[np.ndarray, ...]:
        """Check that the parameters fit, and return them in their order."""
        return tuple(parameters(self.p, self.features, self.d["u"], self.dtype, self.variant).values())

    # --- the contract's members, in the order of a training step ---

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set the sizes `d` and the shapes `fs` from A (m, s, e); see `cgru.parameters.gru_compute_shapes`."""
        gru_compute_shapes(self, A)

    def initialize_parameters(self) -> None:
        """Draw new parameters from `np_rng`; see `cgru.parameters.gru_initialize_parameters`."""
        self._require_floats()
        gru_initialize_parameters(self)

    def run(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
        clamp: Mapping[str, ArrayLike] | None = None,
        preactivations: bool | None = None,
        later: list[Any] | None = None,
    ) -> GRUPass:
        """Run the sequences A (m, s, e) without changing the layer's caches.

        Any number of passes may be alive at once, on any threads. Each reads the layer's parameters as they are when it
        goes back. `fc`, `bc` and `g` of the layer are not touched. Dropout is applied as in `forward`.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            resets: likewise.
            decay: likewise.
            clamp: numbers to hold units at: a dict with some of the gates "z", "r" and "h", the state after the step,
                each real and broadcastable to (m, s, u), NaN where the layer decides. They take the place of the
                layer's own numbers, after zoneout, in the caches too; no gradient passes through them, and padding
                ignores them. Such a run is a loop in NumPy, as with an activation that is not compiled. None: hold
                nothing.
            preactivations: whether the pass keeps `hh_, z_, r_`; None: as the layer says.
            later: for `Bidirectional`: where the list grew, `run_later` of cgru/passes.pyx runs the pass.

        Returns:
            A `Pass` that holds outputs and caches, and can go back.

        Raises:
            TypeError, ValueError: as for `forward`; or `clamp` does not fit.

        Examples:
            >>> layer = cgru.GRU(4, sequences=True, rng=0)
            >>> ran = layer.run(np.ones((2, 6, 3)))
            >>> ran.A.shape, ran.backward(ran.A).shape
            ((2, 6, 4), (2, 6, 3))
            >>> held = layer.run(np.ones((2, 6, 3)), clamp={"z": np.array([np.nan, 0.5, np.nan, np.nan])})
            >>> np.unique(held.fc["z"][:, :, 1])
            array([0.5])
        """
        if clamp is not None:
            self.validate(A, lengths, h0, resets=resets, decay=decay)
            clamp = held(clamp, (*np.shape(A)[:2], self.d["u"]), lengths, self.dtype)
        checked = self._check_inputs(A, lengths, h0, resets=resets, decay=decay)
        return self._run_checked(checked, preactivations, later, decay, clamp)

    def forward(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> np.ndarray:
        """Run the sequences A (m, s, e), fill `fc`, and return all states (m, s, u) or the last ones (m, u).

        Args:
            A: the input (m, s, e), real numbers.
            lengths: (m,) integers from 1 to s, how many steps of each sample are real; None: all. Past its length a
                sample's `h` and `hp` repeat its last state, or h0 in `reverse`; the other caches are zero, and so are
                the returned states.
            h0: (m, u) the state before the step that runs first; None: with `stateful` that after the last call, else
                zero, or with `learn_h0` the parameter.
            resets: (m, s) booleans: True where a step begins anew, whatever the state before it was, NaN too. The state
                is then zero, or with `learn_h0` the parameter, never a given or carried h0.
            decay: (m, s) or (m, s, u) factors g from 0 to 1 in place of `resets`: the state h becomes g h + (1 - g) b
                as it enters a step, before all else. b is the state that a reset puts there. `fc["hp"]` is the result.
                The factor of step t stands between t - 1 and t; in `reverse` the state of t + 1 enters t with the
                factor of t + 1, and the last real step has none. `bc["dg"]` is its gradient.

        Returns:
            All states (m, s, u), zero at padded steps; without `sequences` the last ones (m, u).

        Raises:
            TypeError, ValueError: an argument, a parameter, a mask or the carried state does not fit.
            RuntimeError: another thread is inside this layer.

        Examples:
            >>> layer, X = cgru.GRU(4, sequences=True, rng=0), np.ones((2, 6, 3))
            >>> int(np.count_nonzero(layer.forward(X, lengths=[6, 2])[1, 2:]))  # padding
            0
            >>> resets = np.zeros((2, 6), bool)
            >>> resets[:, 3] = True
            >>> A = layer.forward(X, resets=resets)
            >>> np.allclose(A[:, 3], A[:, 0])  # step 3 begins anew
            True
        """
        self._acquire("forward")
        try:
            checked = self._check_inputs(A, lengths, h0, resets=resets, decay=decay)
            self._release_pass()  # so that buffers that nobody else holds are used again
            self.last = last = self._run_checked(checked, decay=decay)
            gru_compute_shapes(self, checked[0])
            functions = self._functions()
            if not all(map(operator.is_, functions, self._last_functions)):
                self._last_functions = functions
                self.activation.update({gate: name_of(f) for gate, f in zip(GATES, functions, strict=True)})
            self.fc.update(last.shown())
            if self._cache_names != tuple(self.fc):
                for name in self._cache_names:
                    self.fs.pop(name, None)
                self._cache_names = tuple(self.fc)
            if not self.stateful:
                self.state = last.state
            self.update_shapes(self.fc, self.fs)
            return last.A
        finally:
            self._lock.release()

    def predict(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
        later: list[Any] | None = None,
    ) -> np.ndarray:
        """Return the outputs that `forward` would return without dropout; store nothing.

        Any number of threads may call this at once. With `stateful` it starts from `state` and stores its last state
        there, as Keras does. Calls then have an order, so that one thread is to make them.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            resets: likewise.
            decay: likewise.
            later: for `Bidirectional`: where the list grew, `run_later` of cgru/passes.pyx fills the returned array.

        Returns:
            All states (m, s, u), zero at padded steps; without `sequences` the last ones (m, u).

        Raises:
            TypeError, ValueError: as for `forward`.

        Examples:
            >>> layer, X = cgru.GRU(4, rng=0), np.ones((2, 6, 3))
            >>> h = layer.predict(X[:, :4])
            >>> np.allclose(layer.predict(X[:, 4:], h0=h), layer.predict(X))
            True
        """
        X, lengths, h0, p, codes, factor = self._check_inputs(A, lengths, h0, resets=resets, decay=decay)
        every, on, stateful, reverse, zoneout, packed = self.sequences, self._options_on, False, False, None, None
        if on:
            stateful, reverse, zoneout = "stateful" in on, "reverse" in on, on.get("zoneout")
            if isinstance(p, LowPrecisionGRU):
                p, packed = dict(self.p), p
        if codes is None:
            options = self.variant.options | ({} if zoneout is None else {"zoneout": zoneout}) | factor
            h = reference.forward(p, X, h0, lengths, *self.callables(), reverse=reverse, **options)["h"]
            last = h[:, 0 if reverse else -1].copy()
            if every and lengths is not None:
                h = np.where(mask(lengths, h.shape[1]), h, h.dtype.type(0))
        else:
            h, last = predict(
                X, lengths, h0, p, self.variant, codes, reverse, every, stateful or not every, zoneout,
                None if stateful else later, factor.get("decay"), packed,
            )  # fmt: skip
        if stateful:
            self.state = last.copy()
        return h if every else last

    def predict_on(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None,
        states: Sequence[np.ndarray | None],
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` from the initial state `states[0]`.

        Args:
            A: as for `forward`.
            lengths: likewise.
            states: a sequence of one state (m, u); None in it: start as `predict` does.
            resets: as for `forward`.
            decay: likewise.

        Returns:
            The outputs, and a tuple of the last states (m, u).
        """
        A = self.predict(A, lengths, states[0], resets=resets, decay=decay)
        if A.ndim == 2:
            return A, (A,)
        m, s, _ = A.shape
        return A, (A[np.arange(m), ends(m, s, lengths, self.reverse)[1]],)

    def reset_state(self) -> None:
        """Set `state` to None, so that a `stateful` layer starts again, with any number of samples."""
        self.state = None

    @property
    def dh0(self) -> np.ndarray:
        """Return dL/dh0 (m, u), the gradient of the initial states.

        It is `bc['dh'][:, 0]`, in `reverse` `bc['dh']` at each sample's last real step.

        `g['dh0']` (1, u) of a learned h0 is its sum over the samples that started from h0. RuntimeError if there was no
        `backward` since the last `forward`.
        """
        if self.last is None or not self.last.bc:
            raise RuntimeError("dh0: expected a backward after the last forward")
        return self.last.dh0

    def backward(self, dX: ArrayLike, dstate: ArrayLike | None = None) -> np.ndarray:
        """Backpropagate dL/dA: fill `bc` and return dL/dX (m, s, e).

        dL/dh0 is `dh0`. A state carried over from the call before counts as given: no gradient goes back there.
        Parameter gradients: see `compute_gradients`.

        Args:
            dX: dL/dA, of the shape that `forward` returned. EpyNN calls the argument so.
            dstate: dL/d(last state) (m, u), which is added at each sample's own last step; None: zero.

        Returns:
            dL/dX (m, s, e).

        Raises:
            TypeError, ValueError: dX, dstate or a parameter does not fit.
            RuntimeError: `forward` was not called before, or another thread is inside this layer.

        Examples:
            >>> layer = cgru.GRU(4, sequences=True, rng=0)
            >>> A = layer.forward(np.ones((2, 6, 3)))
            >>> layer.backward(np.zeros_like(A), dstate=np.ones((2, 4))).shape
            (2, 6, 3)
            >>> layer.dh0.shape
            (2, 4)
        """
        self._acquire("backward")
        try:
            if self.last is None:
                raise RuntimeError("backward: expected a forward before it")
            if dX is None:
                raise TypeError("dX: expected real numbers, got None")
            return self.last.backward(dX, dstate, self.bc)
        finally:
            self.bs.clear()
            self.update_shapes(self.bc, self.bs)
            self._lock.release()

    # --- helpers ---

    def _check_inputs(self, A, lengths, h0, make=True, *, resets=None, decay=None):
        """Check the arguments of a run; return (X, lengths, h0, parameters, activation codes, factor), all but the last
        as the run takes them, and {"decay": the factor of the state}, empty where there is none; None if not `make`.

        The parameters are in the layer's dtype. If there are none they are made, once all arguments fit; with `make`
        False nothing is made, and None returned.
        """
        X = sequences(A, "A", self.dtype)
        m, s, e = X.shape
        lengths = lengths_of(lengths, m, s)
        on, u = self._options_on, self.d["u"]
        if h0 is not None:
            h0 = np.ascontiguousarray(real(h0, "h0", (m, u), self.dtype))
        elif on and "stateful" in on and self.state is not None:
            h0 = self._carried_state(m)
        if on:
            masks.check(self.masks, (m, s, e, u), self.dtype)
        factor = NO_FACTOR
        if resets is not None or decay is not None:
            factor = {"decay": decay_of(resets, decay, m, s, u, lengths, self.dtype)}
        codes = self.codes()
        if not self.p:
            if not make:
                return None
            self.make(X)
        if on and "weights" in on:
            p = self.weights.packed(self, m)
            if e != self.features:
                raise ValueError(f"A: expected shape (m, s, {self.features}), as the layer was made for, got {X.shape}")
        else:
            p = parameters(self.p, e, u, self.dtype, self.variant, "A")
        return X, lengths, h0, p, codes, factor

    def validate(
        self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None, **factor: ArrayLike | None
    ) -> None:
        """Raise the error that `run` would raise for these arguments; make nothing.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            **factor: `resets` or `decay`, as for `forward`.

        Raises:
            TypeError, ValueError: an argument, a parameter, a mask or the carried state does not fit.

        Examples:
            >>> cgru.GRU(4).validate(np.ones((2, 6)))
            Traceback (most recent call last):
            ValueError: A: expected shape (m, s, e), got (2, 6); for one feature a step give A[:, :, None]
        """
        self._check_inputs(A, lengths, h0, make=False, **factor)

    def _run_checked(
        self,
        checked: tuple[Any, ...],
        preactivations: bool | None = None,
        later: Any = None,
        decay: Any = None,
        clamp: Any = None,
    ) -> GRUPass:
        """Run the sequences on arguments that `_check_inputs` returned, clamped if `clamp` is given; return the pass.

        `decay` is the argument as it came.
        """
        X, lengths, h0, p, codes, factor = checked
        on, dropped, reverse, stateful = self._options_on, {}, False, False
        if on:
            self._require_floats()
            dropped, reverse, stateful = self._dropout_masks(X.shape), "reverse" in on, "stateful" in on
        if factor:
            dropped = dropped | factor
        keeps = self._keeps_preactivations(preactivations)
        last = GRUPass(
            self, X, lengths, h0, p, codes, dropped, reverse=reverse,
            preactivations=keeps, compiled=codes is not None and not clamp, clamp=clamp, buffers=self._buffers,
            later=None if stateful else later,
            dg_shape=() if decay is None else np.shape(decay),  # which of None takes as long as the rest of this
        )  # fmt: skip
        if stateful:
            self.state = last.state.copy()
        return last

    def _dropout_masks(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the dropout and zoneout masks of a run: those that the user set, and others drawn at random.

        Outside training return the zoneout rate alone, which gives the expectation.
        """
        on = self._options_on
        if self.training:
            rates = {name: on.get(option, 0.0) for name, option in masks.RATES.items()}
            return masks.draw(rates, (*shape, self.d["u"]), self.np_rng, self.masks, self.dtype)
        return {"zoneout": np.array(on["zoneout"], self.dtype)} if "zoneout" in on else {}

    def _keeps_preactivations(self, preactivations: bool | None) -> bool:
        """Return whether a pass keeps `hh_, z_, r_`: the argument, or the layer's own setting if it is None."""
        return self.preactivations is not False if preactivations is None else flag(preactivations, "preactivations")

    def _carried_state(self, m: int) -> np.ndarray:
        """Return the state (m, u) that the last call left; ValueError for a different number of samples."""
        state = real(self.state, "state", ("m", self.d["u"]), self.dtype)
        if len(state) != m:
            raise ValueError(f"A: expected {len(state)} samples, as many as state has, got {m}; or call reset_state()")
        return np.ascontiguousarray(state)

    def _functions(self) -> tuple[Activation, ...]:
        """Return the activations of the candidate, update gate and reset gate, in the order of `GATES`."""
        return self.activate, self.activate_update, self.activate_reset

    def codes(self) -> tuple[tuple[int, float], ...] | None:
        """Return the compiled functions' (code, parameter) of the three activations.

        Returns:
            A tuple of three pairs, the code and the parameter of the compiled function; None if one of the three is not
            compiled.

        Raises:
            TypeError, ValueError: an activation is not callable, or is softmax or log_softmax.

        Examples:
            >>> len(cgru.GRU(4).codes()), cgru.GRU(4, activate=lambda x, deriv=False: x).codes()
            (3, None)
        """
        functions = self._functions()
        if all(map(operator.is_, functions, self._codes_known[0])):
            return self._codes_known[1]
        codes = []
        for gate, f in zip(GATES, functions, strict=True):
            callable_(f, gate)
            if ours(f) in (softmax, activations.log_softmax):
                raise ValueError(f"{gate}: {name_of(f)} is for a Dense layer, expected an elementwise activation")
            codes.append(gate_code(f, self.se_hPars))
        known = None if None in codes else tuple(codes)
        if not any(map(tuned, functions)):  # else a change of se_hPars would change the codes
            self._codes_known = functions, known
        return known

    def callables(self) -> list[Activation]:
        """Return the three activations as NumPy functions that check their result's shape.

        Returns:
            A list of the functions `f(x, deriv=False)` of candidate state, update gate and reset gate.

        Examples:
            >>> activate, _, _ = cgru.GRU(4).callables()
            >>> activate(np.zeros(2))
            array([0., 0.])
        """
        return [_shape_checked(bind(f, self.se_hPars), gate) for gate, f in zip(GATES, self._functions(), strict=True)]


def _packed(p: Arrays, x_bound: float, *settings: Any) -> LowPrecisionGRU | Arrays:
    """Return low-precision weights packed for the kernels; float weights are returned unchanged."""
    return p if p["Uz"].dtype.kind == "f" else LowPrecisionGRU(p, x_bound, *settings)


def _shape_checked(f: Activation, name: str) -> Activation:
    """Return `f` wrapped in a check that its result has the shape of its argument."""

    def call(x: np.ndarray, deriv: bool = False) -> np.ndarray:
        """Return f(x) or its derivative; TypeError or ValueError unless its shape is that of x."""
        y = f(x, deriv=True) if deriv else f(x)
        return real(y, f"{name}(x)" if not deriv else f"{name}(x, deriv=True)", x.shape)

    return call


OPTIONS = tuple(name for name in inspect.signature(GRU).parameters if name not in ("unit_cells", "rng"))
