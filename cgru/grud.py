"""GRUD: a GRU for inputs with missing values. Values and states decay until the next measurement.

Letters: m samples, s steps, e features of a step, u units. The arithmetic is that of cgru/grud_reference.py (compiled:
cgru/core/grud_reference.pyx) and, over it, that of a `GRU`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import grud_reference, initializers
from cgru.core.checks import flag, lengths_of, real, sequences
from cgru.core.decay import decay_of
from cgru.core.fading import Fading
from cgru.core.lengths import check_go_on, times_of
from cgru.gru import GRU, Shared
from cgru.grud_reference import Seen
from cgru.initializers import draw, orthogonal
from cgru.layers.layer import Fields, Layer, LayerPass, Shape
from cgru.optimizers import check_number
from cgru.passes import GRUPass, predict

__all__ = ["GRUD", "gru_parameters"]

Arrays = dict[str, np.ndarray]

GATES = {"z": ("z", -1), "r": ("r", 1), "hh": ("", 1)}  # of a GRU: the paper's suffix, and the sign of its z
PARAMETERS = (*(letter + gate for gate, _ in GATES.values() for letter in "WUVb"), "Wgx", "bgx", "Wgh", "bgh")
FIRST_RATE = 0.01  # rates of fading are drawn from 0 to this, a mean step
FIRST_MASK = 0.1  # the factor of V as it is drawn: at first, what was measured says more than whether it was


C = Template("""\
/* layer $i: values that fade where x is NaN beside what is there, and the state, which fades; a test for NaN needs a
 * compiler without -ffast-math */
${rates}static void fade_$i(real *xm, real *h, real *last, real *age, int *begun, real dt, const real *x) {
    real delta[$e];
    for (int i = 0; i < $e; i++) {
        const int there = x[i] == x[i];
        delta[i] = *begun ? (age[i] + (dt / $unit)) : (real)0;
        const real rate = (delta[i] * wgx_$i.values[i]) + bgx_$i.values[i];
        last[i] = there ? x[i] : (*begun ? last[i] : (real)0);
        xm[i] = there ? x[i] : (last[i] * exp_negative((rate > (real)0) ? -rate : (real)0));
        xm[$e + i] = (real)there;
        age[i] = there ? (real)0 : delta[i];
    }
    for (int j = 0; j < $u; j++) {
        real rate = bgh_$i.values[j];
        for (int i = 0; i < $e; i++) { rate += delta[i] * wgh_$i.values[(i * $u) + j]; }
        h[j] *= exp_negative((rate > (real)0) ? -rate : (real)0);
    }
    *begun = 1;
}
""")


class GRUD(Layer):
    """A gated recurrent unit with decay, for inputs (m, s, e) that are NaN where nothing was measured: GRU-D.

    Che, Purushotham, Cho, Sontag and Liu, 2018 (doi 10.1038/s41598-018-24271-9), with the parameters' letters:

        d_t = s_t - s_(t-1), plus d_(t-1) where the feature was missing at t - 1; 0 at the first step
        gx = exp(-max(0, d_t * Wgx + bgx))
        gh = exp(-max(0, d_t Wgh + bgh))
        xh = x_t where it was measured, else gx * (the value last seen)
        hp = gh * h_(t-1)
        z = sigmoid(xh Wz + hp Uz + mask Vz + bz)
        r = sigmoid(xh Wr + hp Ur + mask Vr + br)
        h_t = (1 - z) * hp + z * tanh(xh W + (r * hp) U + mask V + b)

    A value fades to zero, the mean of its feature: a network subtracts the mean of what was measured in training, with
    `standardize` or without. Before a feature is seen for the first time, it is zero. z keeps what is new, as in the
    paper; that of a `GRU` keeps what is old. s_t are the `times` of the steps, in units of `unit`. It is the first
    layer of a network; infinite values are refused there, NaN is not.

    A step with `resets`, or whose factors `decay` are all 0, also forgets what was seen before, as at the first step.

    Args:
        units: u, the number of unit cells.
        initialization: `f(shape, rng)` that draws W, U and V, or the name of one of cgru's.
        clip_gradients: whether `compute_gradients` scales all gradients to a joint L2 norm of at most 0.25.
        sequences: whether all states (m, s, u) come out; else the last one (m, u).
        stateful: whether a call goes on from the `state` that the last one left, if no h0 is given.
        unit: the time that counts as 1; None: 1, until a network is fitted with `times`, which sets their mean step.
        dtype: float64 or float32; None: float64, or the dtype of the network.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        d: dimensions m, s, e, u.
        p: Wz, Uz, Vz, bz, Wr, Ur, Vr, br, W, U, V, b, Wgx, bgx, Wgh, bgh: W and V (e, u), U (u, u), b (1, u); Wgx and
            bgx (1, e), Wgh (e, u), bgh (1, u).
        fc: X, A; delta (m, s, e), the times d; last, the values last seen before each step; gx (m, s, e), gh (m, s, u);
            xm = [xh | mask] (m, s, 2 e); and of the GRU over these h, hp, z (1 minus the paper's), r, hh.
        bc: dA, dX, which is zero where nothing was measured; dxm, dgx_ and dgh_, the gradients of the arguments of
            exp(-max(0, ...)); and of the GRU dh, dhp.
        state: records (m,) of what a run left: h (u,), last and age (e,), the values last seen and the times since
            then, and time, that of the last step. None before. May be set.
        cell: the GRU over [xh | mask], without its parameters.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.random.default_rng(0).standard_normal((2, 6, 3))
        >>> X[0, 2:5] = np.nan
        >>> layer = cgru.GRUD(4, sequences=True, rng=0)
        >>> A = layer.forward(X, times=np.tile([0.0, 1, 2, 3, 5, 9], (2, 1)))
        >>> A.shape, bool(np.isnan(A).any())
        ((2, 6, 4), False)
        >>> int(np.count_nonzero(layer.backward(A)[0, 2:5]))  # no gradient where nothing was measured
        0
        >>> layer.state["age"][0].tolist()
        [0.0, 0.0, 0.0]
    """

    parameter_names = PARAMETERS
    fields = Fields(
        {"units": "u"}, ("initialization",), ("sequences", "clip_gradients"), ("stateful", "unit"), dtype=True
    )
    reads = ("missing", "decay", "times")
    preactivations = False
    sequences, stateful = Shared(), Shared()

    def __init__(
        self,
        units: int = 1,
        initialization: Callable[..., np.ndarray] | str = orthogonal,
        clip_gradients: bool = False,
        sequences: bool = False,
        *,
        stateful: bool = False,
        unit: float | None = None,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        self.cell = GRU(units, sequences=flag(sequences, "sequences"), stateful=stateful)
        self.cells = self.halves = (self.cell,)  # without parameters: see `gru`
        self.d["u"] = self.cell.d["u"]
        self.initialization = initializers.named(initialization, "initialization")
        self.clip_gradients = clip_gradients
        self.unit = unit
        self.given |= {"unit"} if unit is not None else set()  # else it is measured, and no setting
        self.trainable = True
        self.state: np.ndarray | None = None

    def __repr__(self) -> str:
        on = ", stateful=True" * self.stateful
        return f"GRUD(units={self.d['u']}, sequences={self.sequences}, dtype={self.dtype.name}{on})"

    # --- properties that a network asks for ---

    @property
    def unit(self) -> float | None:
        """Return the time that counts as 1; None means 1, and a fit may then estimate it from the data.

        It may be set.
        """
        return self._unit

    @unit.setter
    def unit(self, value: float | None) -> None:
        if value is not None:
            check_number(value, "unit", above=True)
        self._unit = value

    @property
    def features(self) -> int | None:
        """Return e, the number of input features that the parameters were made for; None before they are made."""
        return len(self.p["Wz"]) if np.ndim(self.p.get("Wz")) else None

    @property
    def stage(self) -> tuple[dict[str, Any], ...]:
        """Return dicts that describe this layer to the compiled training code: the decay, and the GRU."""
        return {"kind": "fading", "unit": self.unit or 1.0}, self.cell.stage | {"factored": True}

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: (m, s, u) for inputs (m, s, e), or (m, u) without `sequences`."""
        return self.cell.output_shape(shape)

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        u = self.d["u"]
        shapes = {"W": (e, u), "U": (u, u), "V": (e, u), "b": (1, u)}
        own = {"Wgx": (1, e), "bgx": (1, e)}
        return {name: (own.get(name, shapes[name[0]]), self.dtype) for name in PARAMETERS}

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and the parameters, from the input A (m, s, e)."""
        shape = sequences(A, "A").shape
        self.d |= zip("mse", shape, strict=True)
        self.fs |= {"X": shape} | {name: each for name, (each, _) in self.arrays(shape[2]).items()}

    def initialize_parameters(self) -> None:
        """Draw W, U and V by `initialization`, and the decay rates Wgx and Wgh evenly from 0 on; biases are zero.

        So the layer begins near one that takes the value last seen: a value first fades by up to a hundredth in a mean
        step, and so does the state if all features are missing; V is a tenth of what was drawn.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        if "Wz" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        drawn = [name for name in PARAMETERS if name[0] != "b" and "g" not in name]
        made = dict(zip(drawn, draw(self.initialization, [self.fs[name] for name in drawn], self.np_rng), strict=True))
        for name, most in (("Wgx", FIRST_RATE), ("Wgh", FIRST_RATE / self.d["e"])):
            made[name] = self.np_rng.uniform(0, most, self.fs[name])
        for name in PARAMETERS:
            value = real(made.get(name, np.zeros(self.fs[name])), ("initialization", name), self.fs[name])
            made[name] = np.array(value * (FIRST_MASK if name[0] == "V" else 1), self.dtype)
        self.p |= {name: made[name] for name in PARAMETERS}  # all at once: another thread may be about to read them

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c: the decay, and a GRU step."""
        i, e, u, p = c.i, c.n, self.d["u"], c.p
        gru = c.of(self.gru(p), f"xm_{i}", 2 * e).gru()
        rates = (c.array(name.lower(), p[name]) for name in ("Wgx", "bgx", "Wgh", "bgh"))
        unit = c.learned("unit", self.unit or 1.0)
        code = C.substitute(i=i, e=e, u=u, unit=unit, rates="".join(rates)) + gru.code
        arrays = f"state->last_{i}, state->age_{i}, &state->begun_{i}, state->dt_{i}"
        step = f"real xm_{i}[{2 * e}];\nfade_{i}(xm_{i}, {gru.result}, {arrays}, {c.x});\nstate->dt_{i} = 1;\n"
        own = f"$real last_{i}[{e}];", f"$real age_{i}[{e}];", f"$real dt_{i};", f"int begun_{i};"
        about = f"GRUD, {e} features, {u} units; NaN where nothing was measured"
        begin = f"state->dt_{i} = 1;"
        return c.part(
            about, u, gru.result, code, step + gru.step, own + gru.members, begin, waits=f"state->dt_{i} = dt;"
        )

    def gru(self, p: Mapping[str, np.ndarray]) -> GRU:
        """Return the GRU inside this layer, with its parameters made from those of the layer.

        Args:
            p: the parameters of this layer by name.

        Returns:
            A GRU over [xh | mask].

        Examples:
            >>> layer = cgru.GRUD(4)
            >>> layer.make(np.ones((2, 6, 3)))
            >>> layer.gru(layer.p).features
            6
        """
        made = copy.copy(self.cell)
        made.p, made.dtype = {}, self.dtype
        made.p = gru_parameters(p)
        return made

    def checked_state(self, cell: GRU, value: Any, name: str, m: int) -> np.ndarray:
        """Check the initial state of a run of m samples, and return it as records.

        Args:
            cell: the GRU over [xh | mask].
            value: records (m,) as `state` has them, or h (m, u), before which nothing was seen.
            name: what an error calls it.
            m: the number of samples.

        Returns:
            The records (m,).
        """
        start = self.initial_states(m)
        if np.asarray(value).dtype.names is None:
            start["h"] = super().checked_state(cell, value, name, m)
            return start
        value = np.reshape(value, -1)
        if value.dtype != start.dtype or len(value) != m:
            raise ValueError(f"{name}: expected {m} records of a state of this layer, got {len(value)} of another kind")
        return value

    def reset_state(self) -> None:
        """Set `state` to None, so that a `stateful` layer starts again, with any number of samples."""
        self.state = None

    # --- a training step ---

    def run(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
        preactivations: bool | None = None,
    ) -> GRUDPass:
        """Run A (m, s, e), NaN where nothing was measured, without changing the layer's caches.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            times: likewise.
            resets: likewise.
            decay: likewise.
            preactivations: of no effect; `Network` passes it to all recurrent layers.

        Returns:
            A `Pass` that can go back.
        """
        ran = GRUDPass(self, *self._checked(A, lengths, h0, times, resets, decay))
        if self.stateful:
            self.state = ran.state.copy()
        return ran

    def forward(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> np.ndarray:
        """Run A (m, s, e), fill `fc`, and return all states (m, s, u), or the last ones (m, u).

        Args:
            A: the input, real numbers, NaN where nothing was measured.
            lengths: (m,) integers from 1 to s, how many steps of each sample are real; None: all.
            h0: the state before the first step: records that a run left as its `state`, or (m, u), before which nothing
                was seen; None: with `stateful` that after the last call, else zero.
            times: (m, s) the times of the steps, which must not decrease; None: each is 1 after the one before.
            resets: (m, s) booleans, True where a step begins anew, as of `GRU.forward`; what was seen is forgotten too.
            decay: (m, s) or (m, s, u) further factors of the state in place of these, as of `GRU.forward`. Where all
                are 0 the step begins anew.

        Returns:
            All states (m, s, u), zero at padded steps; without `sequences` the last ones (m, u).

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            RuntimeError: another thread is inside this layer.
        """
        return self._forward(A, lengths, h0, {"times": times, "resets": resets, "decay": decay})

    def predict(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the outputs that `forward` would return; store nothing except the last state of a `stateful` layer.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            times: likewise.
            resets: likewise.
            decay: likewise.
        """
        return self.predict_on(A, lengths, (h0,), times=times, resets=resets, decay=decay)[0]

    def predict_on(
        self, A: np.ndarray, lengths: np.ndarray | None, states: Any, **beside: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` from the initial state `states[0]`.

        Args:
            A: as for `forward`.
            lengths: likewise.
            states: a sequence of one state; None in it: start as `predict` does.
            **beside: `times`, `resets` or `decay`, as for `forward`.

        Returns:
            The outputs, and a tuple of the last state, records (m,).
        """
        fading, lengths, factor, p, h0 = self._checked(A, lengths, states[0], **beside)
        decay, cell = fading.run(factor), self.cell
        given = fading.fc["xm"], lengths, h0, gru_parameters(p), cell.variant, cell.codes()
        every, last = predict(*given, every=self.sequences, decay=decay)
        state = self.joined_state(last, fading.seen)
        if self.stateful:
            self.state = state.copy()
        return every if self.sequences else last, (state,)

    # --- helpers ---

    def _run_for_forward(self, A: Any, lengths: Any, h0: Any, beside: dict[str, Any]) -> GRUDPass:
        """Run the layer for `forward`, and store the last state."""
        ran = self.run(A, lengths, h0, **beside)
        self.state = ran.state
        return ran

    def _checked(
        self, A: Any, lengths: Any, h0: Any, times: Any = None, resets: Any = None, decay: Any = None
    ) -> tuple[Fading, np.ndarray | None, np.ndarray | None, Arrays, np.ndarray | None]:
        """Check the arguments of a run; return the decay computation, lengths, factors, parameters and h0."""
        X = sequences(A, "A", self.dtype)
        m, s, e = X.shape
        lengths = lengths_of(lengths, m, s)
        times = times_of(times, m, s, lengths)
        factor = decay_of(resets, decay, m, s, self.d["u"], lengths, self.dtype)
        if h0 is None and self.stateful and self.state is not None:
            h0 = self.state
            if len(h0) != m:
                raise ValueError(f"A: expected {len(h0)} samples, as many as state has, got {m}; or call reset_state()")
        self.make(X)
        if self.features != e:
            raise ValueError(f"A: expected {self.features} features per step, as many as p was made for, got {e}")
        p = dict(zip(PARAMETERS, self.checked_parameters(), strict=True))
        state = self.initial_states(m) if h0 is None else self.checked_state(self.cell, h0, "h0", m)
        seen, h0 = Seen(*map(state.__getitem__, Seen._fields)), None if h0 is None else np.ascontiguousarray(state["h"])
        if times is not None:
            check_go_on(times, seen.time)
        return Fading(X, p, times, lengths, seen, self.unit or 1.0), lengths, factor, p, h0

    def joined_state(self, h: np.ndarray, seen: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return records that join the GRU's last states with the last measured values and times.

        Args:
            h: (m, u) the last states.
            seen: the arrays `last`, `age` and `time` of a `cgru.grud_reference.Seen`.

        Returns:
            The records (m,).

        Examples:
            >>> layer = cgru.GRUD(4)
            >>> seen = cgru.grud_reference.Seen.nothing(2, 3, layer.dtype)
            >>> layer.joined_state(np.zeros((2, 4)), seen).dtype.names
            ('h', 'last', 'age', 'time')
        """
        state = np.empty(len(h), self._record(seen[0].shape[1]))
        for name, value in zip(("h", *Seen._fields), (h, *seen), strict=True):
            state[name] = value
        return state

    def initial_states(self, m: int) -> np.ndarray:
        """Return the initial states of m samples, as records.

        Args:
            m: the number of samples.

        Returns:
            The records (m,).

        Examples:
            >>> layer = cgru.GRUD(4)
            >>> layer.make(np.ones((2, 6, 3)))
            >>> layer.initial_states(2).shape
            (2,)
        """
        state = np.zeros(m, self._record(self.features or self.d["e"]))
        state["time"] = np.nan
        return state

    def _record(self, e: int) -> np.dtype:
        """Return the NumPy dtype of the state records for e features."""
        values = (("h", self.d["u"]), ("last", e), ("age", e))
        return np.dtype([*((name, self.dtype, (n,)) for name, n in values), ("time", np.float64)])


class GRUDPass(LayerPass):
    """One forward pass of a `GRUD`; its backward pass uses the parameters of that moment."""

    def __init__(self, layer: Layer, fading: Fading, lengths: Any, factor: Any, p: Arrays, h0: Any) -> None:
        """Decay the missing values, and run the GRU from h0; `GRUD` has checked all arguments."""
        decay, cell = fading.run(factor), layer.gru(p)  # a GRU of its own: other runs may have other parameters
        self._fading, self._factor, self._p, self._gates = fading, factor, p, cell.p
        given = fading.fc["xm"], lengths, h0, cell.p, cell.codes(), {"decay": decay}
        self._ran = GRUPass(cell, *given, dg_shape=decay.shape)
        self.state = layer.joined_state(self._ran.state, fading.seen)
        kept = {name: self._ran.fc[name] for name in ("h", "hp", "z", "r", "hh")}
        super().__init__(None, X=fading.X, A=self._ran.A, **fading.fc, **kept)

    def _compute_backward(self, dA: np.ndarray) -> Arrays:
        """Return a dict of gradients of the inputs and states, such as dX and dh, for dL/dA."""
        self._gates.update(gru_parameters(self._p))  # as they are now
        dxm = self._ran.backward(dA)
        own = {name: self._ran.bc[name] for name in ("dh", "dhp")}
        return {"dA": dA, "dxm": dxm, **self._fading.backward(dxm, self.dgh), **own}

    @property
    def dgh(self) -> np.ndarray:
        """Return dL/dgh (m, s, u), the gradient of the states' decay factors, after `backward`."""
        dg = self._ran.bc["dg"]
        return dg if self._factor is None else dg * self._factor

    def gradients(self, each: bool = False) -> Arrays:
        """Return the gradients of all parameters, `'d' + name`, summed over samples; with `each` those of each sample.

        RuntimeError before `backward`.
        """
        bc, found = self._require_backward(), {}
        g, e = self._ran.gradients(each), self._arrays["X"].shape[2]
        for gate, (own, sign) in GATES.items():
            parts = g["dU" + gate][..., :e, :], g["dV" + gate], g["dU" + gate][..., e:, :], g["db" + gate]
            found |= {f"d{letter}{own}": sign * part for letter, part in zip("WUVb", parts, strict=True)}
        return found | grud_reference.gradients(self._arrays, bc, each)


def gru_parameters(p: Mapping[str, np.ndarray]) -> Arrays:
    """Return the parameters of the GRU whose inputs are (values | mask), made from those of a `GRUD`."""
    found = {}
    for gate, (own, sign) in GATES.items():
        W, U, V, b = (sign * p[letter + own] for letter in "WUVb")
        found |= {"U" + gate: np.concatenate((W, V)), "V" + gate: U, "b" + gate: b}
    return found
