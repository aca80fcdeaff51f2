"""Conv1D: a convolution over the steps, computed as a `Frames` layer followed by a `Dense` layer.

Letters: m samples, s steps of n inputs, f steps of u units, k steps of a window.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru import activations, initializers
from cgru.core.checks import positive
from cgru.core.lengths import mask
from cgru.layers.dense import Dense, DensePass
from cgru.layers.frames import Frames, checked_zeros
from cgru.layers.layer import Arrays, Fields, LayerPass, Shape, checked_sequences
from cgru.layers.steps import Steps

__all__ = ["Conv1D"]

WINDOW = ("kernel_size", "stride", "padding", "dilation")


class Conv1D(Dense):
    """A convolution of u units over the steps, with a stride, a dilation and an activation.

    p goes over the k steps of a window, of which `before` are padding before the first step. The windows are the frames
    of a `Frames`, and the rest is a `Dense`: of (m, s, n) come (m, f, u), and the real steps of each sample end where
    its own windows do.

    `padding`, the zeros around the real steps of each sample, for windows of w = (k - 1) dilation + 1 steps:

    - "causal": w - 1 steps before the first, so that an output is made of its own step and of those before;
    - "same": half of these before and half after, with the larger half after; not with a `stride`;
    - "valid": none, so that a sample needs w steps;
    - (before, after), or one number for both.

    With stride 1, "causal" and "same" keep the number of steps. In a `Stream` and in C a causal convolution with
    stride 1 has an output at each step. Any other has one when its window is complete, as `Frames` do.

    Args:
        units: u, the number of units.
        kernel_size: k, the steps of a window.
        stride: steps from one window to the next.
        padding: "causal", "same", "valid" or numbers of steps.
        dilation: steps from one step of a window to the next.
        activate, initialization, se_hPars, dtype, rng: those of `Dense`.

    Attributes:
        d: dimensions m, s, n, u.
        p: W (k n, u), the rows of the first step of a window, then of the second; b (1, u). Keras's kernel is
            `W.reshape(k, n, u)`, PyTorch's weight `W.reshape(k, n, u).T`.
        fc: X (m, s, n), and Z and A (m, f, u).
        bc: dA and dZ (m, f, u), dX (m, s, n).
        g: dW and db, summed over samples and steps.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.Conv1D(2, 3, activate="relu", rng=0)
        >>> X = np.random.default_rng(0).standard_normal((4, 9, 5))
        >>> layer.forward(X).shape, layer.p["W"].shape
        ((4, 9, 2), (15, 2))
        >>> cgru.Conv1D(2, 3, stride=2, padding="valid").forward(X).shape
        (4, 4, 2)
    """

    fields = Fields({"units": "u"} | dict.fromkeys(WINDOW), ("activate", "initialization"), dtype=True)

    def __init__(
        self,
        units: int = 1,
        kernel_size: int = 3,
        stride: int = 1,
        padding: str | int | tuple[int, int] = "causal",
        dilation: int = 1,
        activate: activations.Activation | str = activations.identity,
        initialization: initializers.Initializer | str = initializers.xavier,
        se_hPars: MutableMapping[str, Any] | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(units, activate, initialization, se_hPars, dtype=dtype, rng=rng)
        self.kernel_size, self.stride = positive(kernel_size, "kernel_size"), positive(stride, "stride")
        self.dilation = positive(dilation, "dilation")
        wide = (self.kernel_size - 1) * self.dilation
        named = {"causal": (wide, 0), "valid": (0, 0), "same": (wide // 2, wide - wide // 2)}
        numbers = f"a number of steps, or (before, after), such as {named['same']}"
        if self.stride > 1:  # where the zeros of "same" depend on the steps of a sample
            del named["same"]
        due = f"with stride {self.stride} {', '.join(named)}, {numbers}"
        if not isinstance(padding, str):
            pair = (padding, padding) if isinstance(padding, int | np.integer) else padding
            padding = checked_zeros(pair, "padding", due)
        elif padding not in named:
            raise ValueError(f"padding: expected {due}, got {padding!r}")
        self.padding = padding
        self.frames = Frames(self.kernel_size, self.stride, named.get(padding, padding), self.dilation)

    def __repr__(self) -> str:
        window = "".join(f"{name}={getattr(self, name)!r}, " for name in WINDOW)
        return f"Conv1D({self.d['u']}, {window}activate={activations.name_of(self.activate)}, dtype={self.dtype.name})"

    # --- what it is made of ---

    @property
    def chain(self) -> tuple[Frames, Dense]:
        """Return the `Frames` and the `Dense` layer that compute this layer; the `Dense` shares its parameters."""
        dense = Dense(self.d["u"], self.activate, self.initialization, self.se_hPars, dtype=self.dtype)
        dense.p, dense.trainable = self.p, self.trainable
        return self.frames, dense

    @property
    def stage(self) -> tuple[dict[str, Any], ...] | None:
        """Return dicts that describe both parts to the compiled training code; None if it cannot run them."""
        return None if self.code is None else tuple(layer.stage for layer in self.chain)

    @property
    def steps(self) -> Steps:
        """Return how the convolution changes the number of steps of a sequence."""
        return self.frames.steps

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs, (m, f, u) for inputs (m, s, n), with f frames as in `Frames`."""
        return super().output_shape(self.frames.output_shape(shape))

    @property
    def features(self) -> int | None:
        """Return n, the number of input features; None before there are parameters."""
        rows = super().features
        return None if rows is None else rows // self.kernel_size

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        return super().arrays(self.kernel_size * e)

    # --- forward ---

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add a Conv node that reads the array named A, and the activation, to an ONNX graph; return its name."""
        (W, b), pads, lengths = graph.parameters(self), self.frames.pad, None
        W = graph.op("Reshape", W, graph.integers(self.kernel_size, -1, self.d["u"]))
        options = {"strides": (self.stride,), "dilations": (self.dilation,), "pads": pads}
        X = graph.op("Transpose", graph.real(A), perm=(0, 2, 1))
        Z = graph.op("Conv", X, graph.op("Transpose", W, perm=(2, 1, 0)), b, **options)
        if graph.steps:
            more = graph.whole(sum(pads) - self.frames.span + self.stride)
            lengths = graph.op("Div", graph.op("Add", graph.lengths(), more), graph.whole(self.stride))
        return graph.activated(self, graph.change_steps(graph.op("Transpose", Z, perm=(0, 2, 1)), lengths))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> Conv1DPass:
        """Apply the layer to A (m, s, n); return a pass whose outputs are (m, f, u)."""
        frames, lengths = self._cut_frames(A, lengths)
        steps = None if lengths is None else mask(lengths, frames.A.shape[1])
        return Conv1DPass(self, steps, frames, **super().run(frames.A, lengths).fc)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs that `forward` would return; store nothing.

        Any number of threads may call this at once.

        Args:
            A: the input (m, s, n).
            lengths: (m,) how many steps of each sample are real; None: all.
        """
        frames, lengths = self._cut_frames(A, lengths)
        return super().predict(frames.A, lengths)

    def _cut_frames(self, A: Any, lengths: Any) -> tuple[LayerPass, np.ndarray | None]:
        """Check the arguments of a run; return the pass of `frames`, and the number of real frames of each sample."""
        X = checked_sequences(A, self.dtype)
        self.code  # noqa: B018  raises for an invalid activation before parameters are made
        self.make(X)
        n = self.features
        if n and X.shape[2] != n:
            due = f"{n} features, for each of which W has {self.kernel_size} rows"
            raise ValueError(f"A: expected {due}, got shape {X.shape}")
        frames = self.frames.run(X, lengths)
        return frames, self.steps.real(frames.A, lengths)


class Conv1DPass(DensePass):
    """One forward pass of a `Conv1D`, as that of a `Dense` on frames."""

    def __init__(self, layer: Conv1D, steps: np.ndarray | None, frames: LayerPass, **own: np.ndarray) -> None:
        """Store the pass of the frames, and show its X; `DensePass` documents the other arguments."""
        super().__init__(layer, steps, **own)
        self._frames = frames
        self.fc["X"] = frames.fc["X"]

    def _store_backward(self, made: Arrays) -> np.ndarray:
        """Store the arrays of a backward pass, with dL/dX of the input instead of that of the frames; return it."""
        return super()._store_backward(made | {"dX": self._frames.backward(made["dX"])})
