"""Bidirectional: a GRU layer and its twin that runs the other way, as one layer.

m samples, s steps, e elements per step, u unit cells of each of the two, w numbers that come out for each sample or
step. No arithmetic of a layer is done here but the merge (Schuster and Paliwal, 1997).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core import masks
from cgru.core.checks import real
from cgru.gru import GRU, clip
from cgru.parameters import gru_compute_shapes, gru_update_parameters

__all__ = ["Bidirectional"]

MERGES = ("concat", "sum", "mean", "mul")
PREFIXES = ("forward.", "backward.")
COPIED = (
    *("activate", "activate_update", "activate_reset", "initialization", "clip_gradients", "sequences", "se_hPars"),
    *("dtype", "preactivations", "reset_after", "dropout", "recurrent_dropout", "zoneout", "stateful"),
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
    """The dicts of the two layers seen as one, keys prefixed, beside a dict of their own for keys without a prefix.

    `mark` is what stands before the name in every key: `d` in the dict of gradients.
    """

    def __init__(self, halves: tuple[dict[str, Any], dict[str, Any]], mark: str = "") -> None:
        self.own: dict[str, Any] = {}
        self.halves = halves
        self.marks = tuple(mark + prefix for prefix in PREFIXES)
        self.mark = mark

    def _place(self, key: str) -> tuple[dict[str, Any], str]:
        """The dict that a key belongs to, and the key there."""
        for mark, half in zip(self.marks, self.halves, strict=True):
            if isinstance(key, str) and key.startswith(mark):
                return half, self.mark + key[len(mark) :]
        return self.own, key

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
        yield from self.own
        for mark, half in zip(self.marks, self.halves, strict=True):
            yield from (mark + name[len(self.mark) :] for name in half)

    def __len__(self) -> int:
        return len(self.own) + sum(map(len, self.halves))

    def __repr__(self) -> str:
        return repr(dict(self))


class Bidirectional:
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
        p, g: of both, under `forward.Uz`, `backward.Uz`, ... and `dforward.Uz`, ...: views of the two layers' dicts.
        fc, fs: X and A, what was returned, and beside them the layers' own caches, as `forward.h`, ...
        bc, bs: dA and dX likewise.
        state, dh0: (2, m, u), of the layer and its twin.

    All other attributes of a GRU (`np_rng`, `trainable`, `training`, `lrate`, `dropout`, ...) are shared: read from the
    layer, set in both. With `clip_gradients` all of `g` is scaled by one factor.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    activate, activate_update, activate_reset, initialization = OfBoth(), OfBoth(), OfBoth(), OfBoth()
    clip_gradients, sequences, se_hPars, preactivations = OfBoth(), OfBoth(), OfBoth(), OfBoth()
    reset_after, dropout, recurrent_dropout, zoneout, stateful = OfBoth(), OfBoth(), OfBoth(), OfBoth(), OfBoth()
    np_rng, trainable, training, lrate, e = OfBoth(), OfBoth(), OfBoth(), OfBoth(), OfBoth()
    _own_rng = OfBoth()

    def __init__(self, layer: GRU, merge: str = "concat") -> None:
        if not isinstance(layer, GRU):
            raise TypeError(f"layer: expected a GRU, got {type(layer).__name__}")
        if merge not in MERGES:
            raise ValueError(f"merge: expected one of {', '.join(MERGES)}, got {merge!r}")
        self.merge = merge
        self.forward_layer, self.backward_layer = self.halves = layer, _twin(layer)
        u = layer.d["u"]
        self.d: dict[str, int] = {"u": 2 * u if merge == "concat" else u}
        self.o: dict[str, Any] = {}
        self.p, self.fc, self.fs, self.bc, self.bs = (self._joined(name) for name in ("p", "fc", "fs", "bc", "bs"))
        self.g = self._joined("g", "d")
        self._lock = threading.RLock()

    def _joined(self, name: str, mark: str = "") -> Joined:
        return Joined(tuple(getattr(half, name) for half in self.halves), mark)

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward_layer!r}, merge={self.merge!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    @property
    def dtype(self) -> np.dtype:
        """That of both layers."""
        return self.forward_layer.dtype

    @property
    def activation(self) -> dict[str, str]:
        """The names of the three activations."""
        return self.forward_layer.activation

    # --- a training step ---

    def compute_shapes(self, A: ArrayLike) -> None:
        """Set `d` and `fs` from A (m, s, e)."""
        for half in self.halves:
            gru_compute_shapes(half, A)
        self.d.update((letter, self.forward_layer.d[letter]) for letter in "mse")
        self.fs["X"] = self.forward_layer.fs["X"]

    def initialize_parameters(self) -> None:
        """Draw new parameters from `np_rng`, the layer's before its twin's."""
        for half in self.halves:
            half.initialize_parameters()

    def forward(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Run the sequences A (m, s, e) both ways, fill `fc`, and return all outputs (m, s, w) or the last (m, w).

        `h0` is (2, m, u), or a pair of (m, u): the states before the steps that run first. Arguments and errors
        otherwise are those of `GRU.forward`.
        """
        return self._forward(A, lengths, h0, self.preactivations is not False)

    def predict(self, A: ArrayLike, lengths: ArrayLike | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Return what `forward` returns without dropout, and keep nothing; see `GRU.predict`."""
        starts = self._starts(A, lengths, h0)
        return self._merged([half.predict(A, lengths, start) for half, start in zip(self.halves, starts, strict=True)])

    def backward(self, dX: ArrayLike, dstate: ArrayLike | None = None) -> np.ndarray:
        """Take dL/dA, in the shape that `forward` returned, fill `bc`, and return dL/dX (m, s, e).

        `dstate` (2, m, u), or a pair of (m, u), is dL/d(last states). dL/dh0 is `dh0`. Errors are those of
        `GRU.backward`.
        """
        self._enter("backward")
        try:
            if "A" not in self.fc:
                raise RuntimeError("backward: expected a forward before it")
            dA = real(dX, "dX", self.fc["A"].shape, self.dtype)
            m, u = len(dA), self.forward_layer.d["u"]
            ends = (None, None) if dstate is None else real(dstate, "dstate", (2, m, u), self.dtype)
            for half in self.halves:
                half._caches()  # checked in both before either goes back
            parts = [
                half.backward(part, end) for half, part, end in zip(self.halves, self._parted(dA), ends, strict=True)
            ]
            self.bc.own = {"dA": dA, "dX": parts[0] + parts[1]}
            self.update_shapes(self.bc.own, self.bs)
            return self.bc["dX"]
        finally:
            self._lock.release()

    def compute_gradients(self) -> None:
        """Fill `g`; with `clip_gradients` one factor brings its joint L2 norm to at most 0.25."""
        for half in self.halves:
            half._gradients()
        if self.clip_gradients:
            clip(self.g)

    def update_parameters(self) -> None:
        """Subtract `lrate[e] * g` from `p`, in place, while `trainable`."""
        if self.trainable:
            rates = {name: getattr(self, name) for name in ("lrate", "e") if hasattr(self, name)}
            gru_update_parameters(SimpleNamespace(p=dict(self.p), g=dict(self.g), **rates))

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: MutableMapping[str, tuple[int, ...]]) -> None:
        """Set `shapes[k] = cache[k].shape` for each key of the cache."""
        self.forward_layer.update_shapes(cache, shapes)

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
        return np.stack([half.dh0 for half in self.halves])

    # --- what stands behind them ---

    def _enter(self, call: str) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another call is inside this layer; give each thread a layer of its own")

    def _starts(self, A: ArrayLike, lengths: ArrayLike | None, h0: ArrayLike | None) -> Any:
        """h0 for each of the two, all that they are given checked before either is touched."""
        starts = (None, None)
        if h0 is not None:
            starts = real(h0, "h0", (2, "m", self.forward_layer.d["u"]), self.dtype)
        for half, start in zip(self.halves, starts, strict=True):
            X = half._inputs(A, lengths, start)[0]
            masks.checked(half.masks, (*X.shape, half.d["u"]), half.dtype)
        return starts

    def _forward(
        self, A: ArrayLike, lengths: ArrayLike | None, h0: ArrayLike | None, preactivations: bool
    ) -> np.ndarray:
        """`forward`, with `preactivations` decided by the caller."""
        self._enter("forward")
        try:
            starts = self._starts(A, lengths, h0)
            self.fc.own.clear()
            parts = [
                half._forward(A, lengths, start, preactivations)
                for half, start in zip(self.halves, starts, strict=True)
            ]
            self.d.update((letter, self.forward_layer.d[letter]) for letter in "mse")
            self.fc.own = {"X": self.forward_layer.fc["X"], "A": self._merged(parts)}
            self.update_shapes(self.fc.own, self.fs)
            return self.fc["A"]
        finally:
            self._lock.release()

    def _merged(self, parts: list[np.ndarray]) -> np.ndarray:
        first, second = parts
        if self.merge == "concat":
            return np.concatenate(parts, axis=-1)
        if self.merge == "mul":
            return first * second
        return first + second if self.merge == "sum" else (first + second) / self.dtype.type(2)

    def _parted(self, dA: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dL/d(output) of each of the two."""
        if self.merge == "concat":
            u = self.forward_layer.d["u"]
            return dA[..., :u], dA[..., u:]
        if self.merge == "mul":
            first, second = (half.fc["A"] for half in self.halves)
            return dA * second, dA * first
        part = dA if self.merge == "sum" else dA / self.dtype.type(2)
        return part, part


def _twin(layer: GRU) -> GRU:
    """A layer like `layer` that runs the other way, with its generator; with parameters where that has some."""
    twin = GRU(layer.d["u"], **{name: getattr(layer, name) for name in COPIED}, reverse=not layer.reverse)
    twin.np_rng, twin._own_rng = layer.np_rng, layer._own_rng
    twin.trainable, twin.training = layer.trainable, layer.training
    if layer.p:
        gru_compute_shapes(twin, np.empty((1, 1, len(layer.p["Uz"]))))
        twin.initialize_parameters()
    return twin
