"""Bidirectional: a GRU layer and its twin that runs the other way, as one layer.

m samples, s steps, e elements per step, u unit cells of each of the two, w numbers that come out for each sample or
step. No arithmetic of a layer is done here but the merge (Schuster and Paliwal, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core.checks import real
from cgru.gru import GRU
from cgru.layers.layer import Fields, Layer, LayerPass, Shape
from cgru.parameters import gru_update_parameters
from cgru.variant import RESET_BEFORE

__all__ = ["Bidirectional", "merged"]

MERGES = ("concat", "sum", "mean", "mul")
PREFIXES = ("forward.", "backward.")
COPIED = (
    *("activate", "activate_update", "activate_reset", "initialization", "clip_gradients", "sequences", "se_hPars"),
    *("dtype", "preactivations", "dropout", "recurrent_dropout", "zoneout", "stateful"),
)


class OfBoth:
    """An attribute that the two layers share: read from the first, set and deleted in both."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Bidirectional | None, owner: type) -> Any:
        return self if layer is None else getattr(layer.forward_layer, self.name)

    def __set__(self, layer: Bidirectional, value: Any) -> None:
        for half in layer.halves:
            setattr(half, self.name, value)

    def __delete__(self, layer: Bidirectional) -> None:
        for half in layer.halves:
            delattr(half, self.name)


class Joined(MutableMapping):
    """The parameters of the two layers seen as one dict, keys prefixed."""

    def __init__(self, *halves: dict[str, Any]) -> None:
        self.halves = dict(zip(PREFIXES, halves, strict=True))

    def _place(self, key: str) -> tuple[dict[str, Any], str]:
        """The dict that a key belongs to, and the key there; KeyError for one without a prefix."""
        for prefix, half in self.halves.items():
            if isinstance(key, str) and key.startswith(prefix):
                return half, key[len(prefix) :]
        raise KeyError(key)

    def __getitem__(self, key: str) -> Any:
        place, name = self._place(key)
        if name not in place:
            raise KeyError(key)
        return place[name]

    def __setitem__(self, key: str, value: Any) -> None:
        place, name = self._place(key)
        place[name] = value

    def __delitem__(self, key: str) -> None:
        place, name = self._place(key)
        if name not in place:
            raise KeyError(key)
        del place[name]

    def __iter__(self) -> Iterator[str]:
        for prefix, half in self.halves.items():
            yield from (prefix + name for name in half)

    def __len__(self) -> int:
        return sum(map(len, self.halves.values()))

    def __repr__(self) -> str:
        return repr(dict(self))


class Bidirectional(Layer):
    """A GRU layer and its twin in the other direction, whose outputs are merged. The interface is a layer's.

    Both read the same input, each sample within its own length. With `sequences` all states of both are merged, step by
    step, else their last ones: the twin's is the one after step 0.

    Args:
        layer: a `GRU`, which becomes `forward_layer`. `backward_layer` is made like it, `reverse` flipped, with
            parameters of its own, drawn from the same generator after the other's; where the layer has some already,
            they are drawn now.
        merge: "concat" (w = 2 u, the layer's numbers first), "sum", "mean" or "mul" (w = u).

    Attributes:
        forward_layer, backward_layer: the two; their `masks` are set there.
        d: dimensions m, s, e and u, which is w here: what comes out.
        p: of both, under `forward.Uz`, `backward.Uz`, ...: a view of the two layers' dicts.
        fc, fs: X and A, what was returned, and beside them the layers' own caches, as `forward.h`, ...
        bc, bs: dA and dX likewise; g: `dforward.Uz`, ..., and of each its own in its `g`.
        state, dh0: (2, m, u), of the layer and its twin.

    All other attributes of a GRU (`np_rng`, `trainable`, `training`, `lrate`, `dropout`, ...) are shared: read from the
    layer, set in both. With `clip_gradients` all of `g` is scaled by one factor.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    activate, activate_update, activate_reset, initialization = OfBoth(), OfBoth(), OfBoth(), OfBoth()
    clip_gradients, sequences, se_hPars, preactivations = OfBoth(), OfBoth(), OfBoth(), OfBoth()
    dropout, recurrent_dropout, zoneout, stateful, variant = OfBoth(), OfBoth(), OfBoth(), OfBoth(), OfBoth()
    np_rng, given, trainable, training, lrate, e = OfBoth(), OfBoth(), OfBoth(), OfBoth(), OfBoth(), OfBoth()
    _dtype = OfBoth()
    piecewise = False
    fields = Fields(halves=("layer",), half="GRU")

    def __init__(self, layer: GRU, merge: str = "concat") -> None:
        if not isinstance(layer, GRU) or not layer.trains:
            raise TypeError(f"layer: expected a GRU, got {type(layer).__name__}")
        self._join(layer, merge, _twin)

    def _join(self, layer: GRU, merge: str, twin: Callable[[GRU], GRU]) -> None:
        """Make this of a layer and what `twin` makes of it."""
        if merge not in MERGES:
            raise ValueError(f"merge: expected one of {', '.join(MERGES)}, got {merge!r}")
        self.merge = merge
        self.forward_layer, self.backward_layer = self.halves = layer, twin(layer)
        given, trainable, u = layer.given, layer.trainable, layer.d["u"]
        Layer.__init__(self, layer.np_rng, layer.dtype)
        self.given, self.trainable = given, trainable
        self.d["u"] = 2 * u if merge == "concat" else u
        self.p = Joined(*(half.p for half in self.halves))

    def seeded(self, seed: np.random.SeedSequence) -> None:
        """Let both draw from one new generator of this seed, unless one was given."""
        if "rng" not in self.given:
            self.np_rng = np.random.default_rng(seed)

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward_layer!r}, merge={self.merge!r})"

    @property
    def activation(self) -> dict[str, str]:
        """The names of the three activations."""
        return self.forward_layer.activation

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Those of the two layers, prefixed."""
        return tuple(prefix + name for prefix in PREFIXES for name in self.forward_layer.parameter_names)

    @property
    def elements(self) -> int | None:
        """e, which the parameters are made for; None where there are none yet."""
        return self.forward_layer.elements

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter, for inputs of e elements."""
        parts = zip(PREFIXES, self.halves, strict=True)
        return {prefix + name: value for prefix, half in parts for name, value in half.arrays(e).items()}

    @property
    def stage(self) -> dict[str, Any]:
        """What `Layer.stage` says; those of the two stand in `cells`."""
        return {"kind": "recurrent", "merge": self.merge, "sequences": bool(self.sequences)}

    def onnx_node(self, graph: Any, A: str) -> str:
        """Put a GRU node of two directions into the graph, and what merges them."""
        return graph.recurrent(self, A)

    @property
    def cells(self) -> tuple[GRU, GRU]:
        """The two, each with a state of its own."""
        return self.halves

    # --- a training step ---

    def output_shape(self, shape: Shape) -> Shape:
        """(m, s, w), or without `sequences` (m, w), for (m, s, e); ValueError for any other."""
        return *self.forward_layer.output_shape(shape)[:-1], self.d["u"]

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set `d` and `fs` from A (m, s, e)."""
        for prefix, half in zip(PREFIXES, self.halves, strict=True):
            half.compute_shapes(A)
            self.fs |= {prefix + name: shape for name, shape in half.fs.items()}
        self.d.update((letter, self.forward_layer.d[letter]) for letter in "mse")
        self.fs["X"] = self.forward_layer.fs["X"]

    def initialize_parameters(self) -> None:
        """Draw new parameters from `np_rng`, the layer's before its twin's."""
        for half in self.halves:
            half.initialize_parameters()

    def run(
        self,
        A: ArrayLike,
        lengths: ArrayLike | None = None,
        h0: ArrayLike | None = None,
        *,
        preactivations: bool | None = None,
    ) -> BidirectionalPass:
        """One run over A (m, s, e) both ways, as a pass that can go back; see `forward` and `GRU.run`."""
        return self._ran(A, lengths, self._starts(A, lengths, h0), preactivations)

    def _ran(self, A: Any, lengths: Any, starts: Any, preactivations: bool | None = None) -> BidirectionalPass:
        """`run`, where all that it is given was checked."""
        before = [half.state for half in self.halves]
        try:
            parts = [
                half.run(A, lengths, start, preactivations=preactivations)
                for half, start in zip(self.halves, starts, strict=True)
            ]
        except BaseException:  # one of the two that are `stateful` may have gone on
            for half, state in zip(self.halves, before, strict=True):
                half.state = state
            raise
        return BidirectionalPass(self.merge, *parts)

    def forward(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Run the sequences A (m, s, e) both ways, fill `fc`, and return all outputs (m, s, w) or the last (m, w).

        `h0` is (2, m, u), or a pair of (m, u): the states before the steps that run first. Arguments and errors
        otherwise are those of `GRU.forward`.
        """
        self._enter("forward")
        try:
            A = self._forward(A, lengths, h0)
            for half, part in zip(self.halves, self.last.parts, strict=True):
                half.last = part
            return A
        finally:
            self._lock.release()

    def predict(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Return what `forward` returns without dropout, and keep nothing; see `GRU.predict`."""
        starts = self._starts(A, lengths, h0)
        parts = [half.predict(A, lengths, start) for half, start in zip(self.halves, starts, strict=True)]
        return merged(self.merge, *parts)

    def predict_on(
        self, A: np.ndarray, lengths: np.ndarray | None, states: Sequence[np.ndarray | None]
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """`predict` with the two started from `states` (None: as there), and with their last states (m, u)."""
        parts, ends = zip(
            *(half.predict_on(A, lengths, (start,)) for half, start in zip(self.halves, states, strict=True)),
            strict=True,
        )
        return merged(self.merge, *parts), (*ends[0], *ends[1])

    def backward(self, dX: ArrayLike, dstate: ArrayLike | None = None) -> np.ndarray:
        """Take dL/dA, in the shape that `forward` returned, fill `bc`, and return dL/dX (m, s, e).

        `dstate` (2, m, u), or a pair of (m, u), is dL/d(last states). dL/dh0 is `dh0`. Errors are those of
        `GRU.backward`.
        """
        return self._backward(dX, dstate, self.bc)

    def compute_gradients(self) -> None:
        """Fill `g`, and that of the layer and its twin; see `Layer.compute_gradients`."""
        self._enter("compute_gradients")
        try:
            if self.last is not None and self.last.bc:
                for layer in (self, *self.halves):
                    layer.g.clear()  # what nobody else holds is used again
            super().compute_gradients()
            for prefix, half in zip(PREFIXES, self.halves, strict=True):
                half.g.update({"d" + name: self.g[f"d{prefix}{name}"] for name in half.variant.names})
        finally:
            self._lock.release()

    def update_parameters(self) -> None:
        """Subtract `lrate[e] * g` from `p`, in place, while `trainable`."""
        if self.trainable:
            rates = {name: getattr(self, name) for name in ("lrate", "e") if hasattr(self, name)}
            gru_update_parameters(SimpleNamespace(p=dict(self.p), g=self.g, **rates))

    # --- states ---

    @property
    def state(self) -> np.ndarray | None:
        """The last states (2, m, u) of the layer and its twin, None before the first `forward`. May be set."""
        states = [half.state for half in self.halves]
        return None if states[0] is None or states[1] is None else np.stack(states)

    @state.setter
    def state(self, value: ArrayLike | None) -> None:
        states = (None, None) if value is None else real(value, "state", (2, "m", self.forward_layer.d["u"]))
        for half, state in zip(self.halves, states, strict=True):
            half.state = state

    def reset_state(self) -> None:
        """Forget `state`; see `GRU.reset_state`."""
        self.state = None

    @property
    def dh0(self) -> np.ndarray:
        """dL/dh0 (2, m, u), after `backward`; RuntimeError before."""
        if self.last is None or not self.last.bc:
            raise RuntimeError("dh0: expected a backward after the last forward")
        return self.last.dh0

    # --- what stands behind them ---

    def _starts(self, A: ArrayLike, lengths: ArrayLike | None, h0: ArrayLike | None) -> Any:
        """h0 for each of the two, all that they are given checked before either is touched."""
        starts = (None, None)
        if h0 is not None:
            starts = real(h0, "h0", (2, "m", self.forward_layer.d["u"]), self.dtype)
        for half, start in zip(self.halves, starts, strict=True):
            half.validate(A, lengths, start)
        return starts

    def _rerun(self, A: Any, lengths: Any, h0: Any) -> BidirectionalPass:
        """The run of `forward`, once all is checked and the memory of the last pass is free."""
        starts = self._starts(A, lengths, h0)
        self._forget()
        ran = self._ran(A, lengths, starts)
        for half, part in zip(self.halves, ran.parts, strict=True):
            half.state = part.state
        return ran

    def _forget(self) -> None:
        super()._forget()
        for half in self.halves:
            half.last = None


class BidirectionalPass(LayerPass):
    """One run of a `Bidirectional`: a pass of each of the two, in `parts`."""

    def __init__(self, merge: str, *parts: Any) -> None:
        self.parts, self._merge = parts, merge
        self._outputs = [part.A.view() for part in parts]
        super().__init__(None, X=parts[0].fc["X"], A=merged(merge, *self._outputs))
        self.fc.update(self._named("fc"))

    @property
    def state(self) -> np.ndarray:
        """The last states (2, m, u) of the layer and its twin."""
        return np.stack([part.state for part in self.parts])

    @property
    def dh0(self) -> np.ndarray:
        """dL/dh0 (2, m, u), after `backward`; RuntimeError before."""
        self._gone_back()
        return np.stack([part.dh0 for part in self.parts])

    def backward(
        self, dA: ArrayLike, dstate: ArrayLike | None = None, into: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Take dL/dA in the shape of A and dL/d(last states) (2, m, u), fill `bc`, and return dL/dX (m, s, e).

        `into` is a dict that is emptied once all is checked: what an earlier `backward` made, and memory to use again.
        """
        A = self._own["A"]
        dA = real(dA, "dX", A.shape, A.dtype)
        ends = (None, None)
        if dstate is not None:
            ends = real(dstate, "dstate", (2, len(A), self._outputs[0].shape[-1]), A.dtype)
        for part in self.parts:
            part.ready()  # or neither goes back
        self._made, self.bc = None, {}  # should the second of them not go back, none has
        if into is not None:
            into.clear()
        dX = [part.backward(d, end) for part, d, end in zip(self.parts, self._parted(dA), ends, strict=True)]
        self._went_back({"dA": dA, "dX": dX[0] + dX[1]})
        self.bc.update(self._named("bc"))
        return self.bc["dX"]

    def gradients(self) -> dict[str, np.ndarray]:
        """Those of both, under `dforward.Uz`, ...; RuntimeError before `backward`."""
        self._gone_back()
        return {
            f"d{prefix}{name[1:]}": gradient
            for prefix, part in zip(PREFIXES, self.parts, strict=True)
            for name, gradient in part.gradients().items()
        }

    def _named(self, cache: str) -> dict[str, np.ndarray]:
        """The caches of the two, prefixed."""
        parts = zip(PREFIXES, self.parts, strict=True)
        return {prefix + name: array for prefix, part in parts for name, array in getattr(part, cache).items()}

    def _parted(self, dA: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dL/d(output) of each of the two."""
        first, second = self._outputs
        if self._merge == "concat":
            u = first.shape[-1]
            return dA[..., :u], dA[..., u:]
        if self._merge == "mul":
            return dA * second, dA * first
        part = dA if self._merge == "sum" else dA / dA.dtype.type(2)
        return part, part


def merged(merge: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The outputs of the two layers as one."""
    if merge == "concat":
        return np.concatenate((first, second), axis=-1)
    if merge == "mul":
        return first * second
    return first + second if merge == "sum" else (first + second) / first.dtype.type(2)


def _twin(layer: GRU) -> GRU:
    """A layer like `layer` that runs the other way, with its generator; with parameters where that has some."""
    options = {name: getattr(layer, name) for name in COPIED} | layer.variant.options
    twin = GRU(layer.d["u"], **options, reverse=not layer.reverse)
    twin.np_rng, twin.given = layer.np_rng, layer.given
    twin.trainable, twin.training = layer.trainable, layer.training
    if layer.p:
        if layer.elements is None:
            raise ValueError("layer: expected Uz (e, u) among its parameters, or no parameters yet")
        twin.make(np.empty((1, 1, layer.elements)))
    return twin


for _name in RESET_BEFORE.options:  # what the layers' variant is or not, as of a GRU
    _shared = OfBoth()
    _shared.__set_name__(Bidirectional, _name)
    setattr(Bidirectional, _name, _shared)
