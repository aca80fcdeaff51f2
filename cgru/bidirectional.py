"""Bidirectional: a GRU layer and a second GRU that reads the sequence in reverse, used as one layer.

Letters: m samples, s steps, e features of a step, u units of each GRU, w outputs of each sample or step. The only
arithmetic here is the merge of the two outputs (Schuster and Paliwal, 1997).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core.checks import real
from cgru.gru import GRU, OPTIONS, Shared
from cgru.layers.layer import Fields, Layer, LayerPass, Shape
from cgru.layers.steps import SEQUENCE
from cgru.passes import run_later

__all__ = ["Bidirectional", "JoinedParameters", "JoinedPass", "merged"]

MERGES = ("concat", "sum", "mean", "mul")
PREFIXES = ("forward.", "backward.")
# Attributes that both GRUs share beside their options.
OWN = "variant", "np_rng", "given", "trainable", "training", "lrate", "e", "_dtype", "weights", "activation", "features"


WithGRUs = type("WithGRUs", (Layer,), {name: Shared() for name in (*OPTIONS, *OWN) if name not in ("dtype", "reverse")})


class JoinedParameters(MutableMapping):
    """The parameters of several layers, viewed as one dict with prefixed keys."""

    def __init__(self, halves: dict[str, Any]) -> None:
        """Make a view of several layers' parameter dicts, given as {prefix: layer}."""
        self.halves = halves

    def _locate(self, key: str, is_new: bool = False) -> tuple[dict[str, Any], str]:
        """Return the dict that a prefixed key belongs to, and the key without its prefix.

        KeyError without a prefix, and unless `is_new` for a key that is not there.
        """
        for prefix, half in self.halves.items():
            if isinstance(key, str) and key.startswith(prefix) and (is_new or key[len(prefix) :] in half):
                return half, key[len(prefix) :]
        raise KeyError(key)

    def __getitem__(self, key: str) -> Any:
        place, name = self._locate(key)
        return place[name]

    def __setitem__(self, key: str, value: Any) -> None:
        place, name = self._locate(key, is_new=True)
        place[name] = value

    def __delitem__(self, key: str) -> None:
        place, name = self._locate(key)
        del place[name]

    def __iter__(self) -> Iterator[str]:
        for prefix, half in self.halves.items():
            yield from (prefix + name for name in half)

    def __len__(self) -> int:
        return sum(map(len, self.halves.values()))

    def __repr__(self) -> str:
        return repr(dict(self))


class Bidirectional(WithGRUs):
    """A bidirectional layer: a GRU and a second GRU in the reverse direction, whose outputs are merged.

    Both read the same input, each sample within its own length. With `sequences` the states of both are merged step by
    step, else their last states: the twin's last state is the one after step 0 (Schuster and Paliwal, 1997). It has the
    interface of a layer.

    All attributes of a GRU that do not stand below (`np_rng`, `trainable`, `training`, `lrate`, `dropout`, ...) are
    shared: read from the layer, set in both. With `clip_gradients` all of `g` is scaled by one factor.

    Args:
        layer: a `GRU`, which becomes `forward_layer`. `backward_layer` is made like it with `reverse` flipped. Its own
            parameters are drawn from the same generator after the layer's, or now if the layer already has some.
        merge: "concat" (w = 2 u, the layer's numbers first), "sum", "mean" or "mul" (w = u).

    Attributes:
        forward_layer: the layer; its `masks` are set there.
        backward_layer: its twin, likewise.
        halves: both of them.
        d: dimensions m, s, e and u; u is w here, the number of outputs.
        p: the parameters of both, as `forward.Uz`, `backward.Uz`, ...: a view of the two layers' dicts.
        fc: X, the output A, and the two layers' own caches as `forward.h`, ...
        fs: the shapes in `fc` and `p`.
        bc: dA, dX and the two layers' own caches likewise.
        bs: the shapes in `bc`.
        g: `dforward.Uz`, ...; each layer has its own in its `g`.
        state: (2, m, u) the last states of the layer and its twin.
        dh0: (2, m, u) dL/dh0 of the layer and its twin.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.random.default_rng(0).standard_normal((2, 6, 3))
        >>> layer = cgru.Bidirectional(cgru.GRU(4, rng=0))
        >>> A = layer.forward(X)
        >>> A.shape, layer.backward(A).shape
        ((2, 8), (2, 6, 3))
        >>> np.array_equal(A[:, :4], layer.forward_layer.predict(X))
        True
        >>> layer.compute_gradients()
        >>> layer.g["dbackward.Uz"].shape
        (3, 4)
    """

    steps = SEQUENCE
    reads = ("decay",)
    fields = Fields(half="GRU")
    onnx_node, reset_state, dh0 = GRU.onnx_node, GRU.reset_state, GRU.dh0

    def __init__(self, layer: GRU, merge: str = "concat") -> None:
        if not isinstance(layer, GRU):
            raise TypeError(f"layer: expected a GRU, got {type(layer).__name__}")
        if merge not in MERGES:
            raise ValueError(f"merge: expected one of {', '.join(MERGES)}, got {merge!r}")
        self.merge = merge
        self.forward_layer, self.backward_layer = self.halves = layer, _twin(layer)
        given, trainable, u = layer.given, layer.trainable, layer.d["u"]
        Layer.__init__(self, layer.np_rng, layer.dtype)
        self.given, self.trainable = given, trainable
        self.d["u"] = 2 * u if merge == "concat" else u
        self.p = JoinedParameters({prefix: half.p for prefix, half in zip(PREFIXES, self.halves, strict=True)})

    def seeded(self, seed: np.random.SeedSequence) -> None:
        """Make both GRUs draw from one new random generator with this seed, unless the user gave a generator."""
        if "rng" not in self.given:
            self.np_rng = np.random.default_rng(seed)

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward_layer!r}, merge={self.merge!r})"

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of both GRUs' parameters, each prefixed with "forward." or "backward."."""
        return tuple(prefix + name for prefix in PREFIXES for name in self.forward_layer.parameter_names)

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        parts = zip(PREFIXES, self.halves, strict=True)
        return {prefix + name: value for prefix, half in parts for name, value in half.arrays(e).items()}

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code; `cells` describe the two GRUs."""
        return {"kind": "recurrent", "merge": self.merge, "sequences": bool(self.sequences)}

    @property
    def cells(self) -> tuple[GRU, GRU]:
        """Return the two GRUs, forward and backward; each has its own state."""
        return self.halves

    # --- a training step ---

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: (m, s, w) for inputs (m, s, e), or (m, w) without `sequences`."""
        return *self.forward_layer.output_shape(shape)[:-1], self.d["u"]

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set the sizes `d` and the shapes `fs` from the input A (m, s, e)."""
        for prefix, half in zip(PREFIXES, self.halves, strict=True):
            half.compute_shapes(A)
            self.fs |= {prefix + name: shape for name, shape in half.fs.items()}
        self.d.update((letter, self.forward_layer.d[letter]) for letter in "mse")
        self.fs["X"] = self.forward_layer.fs["X"]

    def initialize_parameters(self) -> None:
        """Draw new parameters from `np_rng`, for the forward GRU first."""
        for half in self.halves:
            half.initialize_parameters()

    def make(self, A: np.ndarray) -> None:
        """Make the parameters of both GRUs, the forward one first, unless they exist.

        Each has a lock of its own, since another thread may already run the layer while its twin has no parameters.
        """
        if not self.p:
            self.compute_shapes(A)
        for half in self.halves:
            half.make(A)

    def run(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
        preactivations: bool | None = None,
    ) -> BidirectionalPass:
        """Run A (m, s, e) in both directions without changing the layer's caches.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            resets: likewise.
            decay: likewise.
            preactivations: as for `GRU.run`.

        Returns:
            A `Pass` that can go back.
        """
        factor = {"resets": resets, "decay": decay}
        starts = self._initial_states(A, lengths, h0, factor)
        return self._run_both(A, lengths, starts, preactivations=preactivations, **factor)

    def _run_both(self, A: Any, lengths: Any, starts: Any, **options: Any) -> BidirectionalPass:
        """Run both GRUs on checked arguments from the initial states `starts`; on an error restore their states."""
        before = [half.state for half in self.halves]
        later: list[Any] = []
        try:
            parts = [
                half.run(A, lengths, start, later=later, **options)
                for half, start in zip(self.halves, starts, strict=True)
            ]
            run_later(later)
        except BaseException:  # one of two `stateful` layers may already have a new state
            for half, state in zip(self.halves, before, strict=True):
                half.state = state
            raise
        return BidirectionalPass(self.merge, *parts)

    def forward(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> np.ndarray:
        """Run the sequences A (m, s, e) both ways, fill `fc`, and return all outputs (m, s, w) or the last (m, w).

        Args:
            A: as for `GRU.forward`, like `lengths`, `resets` and `decay`.
            lengths: (m,) how many steps of each sample are real; None: all.
            h0: (2, m, u), or a pair of (m, u): the states before the steps that run first.
            resets: (m, s) booleans: True where a step begins anew.
            decay: (m, s) or (m, s, u) factors from 0 to 1 of the states that enter steps.

        Returns:
            All outputs (m, s, w), zero at padded steps; without `sequences` the last (m, w).
        """
        return self._forward(A, lengths, h0, {"resets": resets, "decay": decay})

    def predict(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the outputs that `forward` would return without dropout; store nothing.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
            resets: likewise.
            decay: likewise.
        """
        factor = {"resets": resets, "decay": decay}
        starts = self._initial_states(A, lengths, h0, factor)
        later: list[Any] = []
        parts = [
            half.predict(A, lengths, start, later=later, **factor)
            for half, start in zip(self.halves, starts, strict=True)
        ]
        run_later(later)
        return merged(self.merge, *parts)

    def predict_on(
        self,
        A: np.ndarray,
        lengths: np.ndarray | None,
        states: Sequence[np.ndarray | None],
        *,
        resets: ArrayLike | None = None,
        decay: ArrayLike | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Run `predict` from given states, one for each GRU.

        Args:
            A: as for `forward`.
            lengths: likewise.
            states: the two states (m, u); None in place of one: start as `predict` does.
            resets: as for `forward`.
            decay: likewise.

        Returns:
            The outputs, and a tuple of the two last states (m, u).
        """
        parts, ends = zip(
            *(
                half.predict_on(A, lengths, (start,), resets=resets, decay=decay)
                for half, start in zip(self.halves, states, strict=True)
            ),
            strict=True,
        )
        return merged(self.merge, *parts), (*ends[0], *ends[1])

    def backward(self, dX: ArrayLike, dstate: ArrayLike | None = None) -> np.ndarray:
        """Backpropagate dL/dA: fill `bc` and return dL/dX (m, s, e).

        dL/dh0 is `dh0`.

        Args:
            dX: dL/dA, of the shape that `forward` returned.
            dstate: dL/d(last states) (2, m, u), or a pair of (m, u); None: zero.

        Returns:
            dL/dX (m, s, e).
        """
        return self._backward(dX, dstate, self.bc)

    def compute_gradients(self) -> None:
        """Fill `g` of this layer and of both GRUs with the parameters' gradients; see `Layer.compute_gradients`."""
        self._acquire("compute_gradients")
        try:
            for half in self.halves if self.last is not None and self.last.bc else ():
                half.g.clear()  # so that buffers that nobody else holds are used again
            super().compute_gradients()
            for prefix, half in zip(PREFIXES, self.halves, strict=True):
                half.g.update({"d" + name: self.g[f"d{prefix}{name}"] for name in half.variant.names})
        finally:
            self._lock.release()

    def evaluating(self) -> Bidirectional:
        """Return a copy of this layer for evaluation that shares its parameters; see `Layer.evaluating`."""
        other = copy.copy(self)
        other.forward_layer, other.backward_layer = other.halves = tuple(half.evaluating() for half in self.halves)
        return other

    # --- states ---

    @property
    def state(self) -> np.ndarray | None:
        """Return the last states (2, m, u) of the two GRUs; None before the first `forward`.

        It may be set.
        """
        states = [half.state for half in self.halves]
        return None if states[0] is None or states[1] is None else np.stack(states)

    @state.setter
    def state(self, value: ArrayLike | None) -> None:
        states = (None, None) if value is None else real(value, "state", (2, "m", self.forward_layer.d["u"]))
        for half, state in zip(self.halves, states, strict=True):
            half.state = state

    # --- helpers ---

    def _initial_states(self, A: ArrayLike, lengths: ArrayLike | None, h0: ArrayLike | None, factor: Any) -> Any:
        """Check the arguments for both GRUs, and return the initial state of each."""
        starts = (None, None)
        if h0 is not None:
            starts = real(h0, "h0", (2, "m", self.forward_layer.d["u"]), self.dtype)
        for half, start in zip(self.halves, starts, strict=True):
            half.validate(A, lengths, start, **factor)
        return starts

    def _run_for_forward(self, A: Any, lengths: Any, h0: Any, factor: Any) -> BidirectionalPass:
        """Check the arguments of `forward`, free the previous pass and run both GRUs; return the new pass."""
        starts = self._initial_states(A, lengths, h0, factor)
        self._release_pass()
        for half in self.halves:
            half.last = None
        ran = self._run_both(A, lengths, starts, **factor)
        for half, part in zip(self.halves, ran.parts, strict=True):
            half.state, half.last = part.state, part
        return ran


class JoinedPass(LayerPass):
    """One forward pass of a layer that contains other layers; it shows their caches under prefixed names."""

    def __init__(self, named: Sequence[tuple[str, Any]], steps: np.ndarray | None, **own: np.ndarray) -> None:
        """Join the passes `named`, (prefix, pass) pairs; `steps` and `own` are the arguments of `LayerPass`."""
        super().__init__(steps, **own)
        self._named = named
        self.fc.update(self._prefixed_caches("fc"))

    def gradients(self, each: bool = False) -> dict[str, np.ndarray]:
        """Return the gradients of all contained layers, as `dforward.Uz`, ...; RuntimeError before `backward`.

        With `each` they are those of each sample, (m, ...).
        """
        self._require_backward()
        every = [(prefix, ran.gradients(True) if each else ran.gradients()) for prefix, ran in self._named]
        return {f"d{prefix}{name[1:]}": gradient for prefix, g in every for name, gradient in g.items()}

    def _prefixed_caches(self, cache: str) -> dict[str, np.ndarray]:
        """Return the caches of the contained layers under prefixed names. `cache` is "fc" or "bc"."""
        return {prefix + name: array for prefix, ran in self._named for name, array in getattr(ran, cache).items()}


class BidirectionalPass(JoinedPass):
    """One forward pass of a `Bidirectional`; `parts` has the passes of its two GRUs."""

    def __init__(self, merge: str, *parts: Any) -> None:
        """Join the passes `parts` of the two GRUs, and merge their outputs as `merge` says."""
        self.parts, self._merge = parts, merge
        self._half_outputs = [part.A.view() for part in parts]
        named = [*zip(PREFIXES, parts, strict=True)]
        super().__init__(named, None, X=parts[0].fc["X"], A=merged(merge, *self._half_outputs))

    @property
    def state(self) -> np.ndarray:
        """Return the last states (2, m, u) of the two GRUs."""
        return np.stack([part.state for part in self.parts])

    @property
    def dh0(self) -> np.ndarray:
        """Return the gradients dL/dh0 (2, m, u) of the initial states; RuntimeError before `backward`."""
        self._require_backward()
        return np.stack([part.dh0 for part in self.parts])

    def backward(
        self, dA: ArrayLike, dstate: ArrayLike | None = None, into: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Backpropagate dL/dA and dL/d(last states) (2, m, u) through both GRUs, and return dL/dX (m, s, e).

        `into` is the dict that an earlier `backward` filled. It is emptied once all is checked, so that its memory is
        used again.
        """
        A = self._arrays["A"]
        dA = real(dA, "dX", A.shape, A.dtype)
        ends = (None, None)
        if dstate is not None:
            ends = real(dstate, "dstate", (2, len(A), self._half_outputs[0].shape[-1]), A.dtype)
        for part in self.parts:
            part.ready()  # checked for both first, so that neither goes back if one cannot
        self._backward_arrays, self.bc = None, {}  # should the second of them not go back, none has
        if into is not None:
            into.clear()
        later: list[Any] = []
        above = self._split_gradient(dA)
        dX = [part.backward(d, end, later=later) for part, d, end in zip(self.parts, above, ends, strict=True)]
        run_later(later)
        self._store_backward({"dA": dA, "dX": dX[0] + dX[1]})
        self.bc.update(self._prefixed_caches("bc"))
        if "forward.dg" in self.bc:
            self.bc["dg"] = self.bc["forward.dg"] + self.bc["backward.dg"]
        return self.bc["dX"]

    def _split_gradient(self, dA: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Backpropagate dL/dA through the merge; return the gradient of each GRU's output."""
        first, second = self._half_outputs
        if self._merge == "concat":
            u = first.shape[-1]
            return dA[..., :u], dA[..., u:]
        if self._merge == "mul":
            return dA * second, dA * first
        part = dA if self._merge == "sum" else dA / dA.dtype.type(2)
        return part, part


def merged(merge: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return two layers' outputs merged by `merge`: "concat", "sum", "mean" or "mul"."""
    if merge == "concat":
        return np.concatenate((first, second), axis=-1)
    if merge == "mul":
        return first * second
    return first + second if merge == "sum" else (first + second) / first.dtype.type(2)


def _twin(layer: GRU) -> GRU:
    """Return a new GRU with the same options as `layer`, but the opposite direction, and the same generator.

    If `layer` has parameters, the twin's are drawn too.
    """
    options = {name: getattr(layer, name) for name in OPTIONS} | {"reverse": not layer.reverse}
    twin = GRU(layer.d["u"], **options)
    twin.np_rng, twin.given = layer.np_rng, layer.given
    twin.trainable, twin.training, twin.weights = layer.trainable, layer.training, copy.copy(layer.weights)
    if layer.p:
        if layer.features is None:
            raise ValueError("layer: expected Uz (e, u) among its parameters, or no parameters yet")
        twin.make(np.empty((1, 1, layer.features)))
    return twin
