"""Frames: a layer that concatenates windows of several steps into one step each."""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core.checks import integers, positive
from cgru.core.lengths import mask
from cgru.layers.layer import (
    Fields,
    LayerPass,
    SequenceLayer,
    Shape,
    checked_sequences,
    mask_padding,
    zero_padding,
)
from cgru.layers.steps import PAST, STEP, Steps

__all__ = ["Frames", "checked_zeros"]

Pad = bool | tuple[int, int]

C = """\
/* layer $i: the steps of the frame that is begun, and how many there are; below 0: how many lie before its first */
static int frames_$i(real *rows, int64_t *filled, uint64_t *made, const real *x) {
    if (*filled == $span) {
        $moved
        *filled = $rest;
    }
    if (*filled >= 0) { memcpy(rows + (*filled * $n), x, ${n}u * sizeof(real)); }
    *filled += 1;
    if (*filled < $span) { return 0; }
    *made += 1;
    $spread
    return 1;
}
"""

# Of a layer that may have frames left after the last step.
MORE = """\

/* Of s steps and zeros after them one more frame, if there is one. */
static int more_$i(real *rows, int64_t *filled, uint64_t *made, uint64_t s) {
    static const real zeros[$n] = {0};
    $count
    if ((s == 0u) || (*made >= count)) { return 0; }
    while (!frames_$i(rows, filled, made, zeros)) {}
    return 1;
}
"""


class Frames(SequenceLayer):
    """A layer that cuts (m, s, n) into f windows of `length` steps, one every `hop` steps: (m, f, length * n).

    The row of a frame has the features of its first step, then those of its second. With `hop` equal to `length` the
    frames are patches. `Frames` with a `Dense` above are a convolution over the steps, as `Conv1D` is.

    `pad` says where frames begin and end, for a sample of s real steps:

    - True: frames begin at steps 0, hop, 2 hop, ... until one reaches the last step, or the next would begin past it;
      the end is padded with zeros. f = min(ceil(s / hop), 1 + ceil(max(0, s - length) / hop)).
    - False: whole frames alone, f = 1 + (s - length) // hop; a sample shorter than a frame is refused.
    - (before, after): that many steps of zeros are added on both sides of each sample; then as False.

    In a network zeros are added after the standardisation. The layers above have f steps: outputs at steps and their
    targets are (m, f, k), and `steps.lengths` returns how many steps of each sample are real. The dtype stays.

    With `dilation` d a frame has every d-th step of a window, and `length` above is that of the window,
    (length - 1) d + 1.

    Args:
        length: steps of a frame.
        hop: steps from the start of one frame to that of the next; None: `length`.
        pad: True, False or (before, after).
        dilation: steps from one step of a frame to the next.

    Attributes:
        d: dimensions m, s, n.
        fc: X (m, s, n) and A (m, f, length * n).
        bc: dA and dX, of their shapes.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.arange(1.0, 6.0)[None, :, None]
        >>> cgru.Frames(3, 2).forward(X)[0]
        array([[1., 2., 3.],
               [3., 4., 5.]])
        >>> cgru.Frames(4).forward(X)[0]
        array([[1., 2., 3., 4.],
               [5., 0., 0., 0.]])
        >>> cgru.Frames(4, pad=False).forward(X).shape
        (1, 1, 4)
        >>> cgru.Frames(2, 1, pad=False, dilation=3).forward(X)[0]
        array([[1., 4.],
               [2., 5.]])
    """

    fields = Fields({"length": None, "hop": None, "pad": None}, options=("dilation",))

    def __init__(self, length: int, hop: int | None = None, pad: Pad = True, dilation: int = 1) -> None:
        super().__init__()
        self.length = positive(length, "length")
        self.hop = self.length if hop is None else positive(hop, "hop")
        self.pad = _checked_pad(pad)
        self.dilation = positive(dilation, "dilation")

    def __repr__(self) -> str:
        dilated = f", dilation={self.dilation}" * (self.dilation > 1)
        return f"Frames({self.length}, {self.hop}, pad={self.pad}{dilated})"

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        numbers = (self.length, self.hop, self.before, self._padding, self.pad is True, self.dilation)
        return {"kind": "frames", "numbers": numbers}

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add nodes that pad the array named A and gather its frames to an ONNX graph; return the result's name."""
        A, s = graph.real(A), graph.count(A)
        past = graph.op("Mul", self._add_count(graph, s), graph.whole(self.hop))  # start of the frame after the last
        missing = graph.op("Sub", graph.op("Add", past, graph.whole(self.span)), s)
        after = graph.op("Unsqueeze", graph.op("Max", missing, graph.whole(0)), graph.integers(0))
        pads = graph.op("Concat", graph.integers(0, self.before, 0, 0), after, graph.integers(0), axis=0)
        begins = graph.op("Range", graph.whole(0), past, graph.whole(self.hop))
        steps = graph.op("Add", graph.op("Unsqueeze", begins, graph.integers(1)), graph.integers(*self._places))
        frames = graph.op("Gather", graph.op("Pad", A, pads), steps, axis=1)
        lengths = self._add_count(graph, graph.lengths()) if graph.steps else None
        return graph.change_steps(graph.op("Reshape", frames, graph.integers(0, 0, -1)), lengths)

    def _add_count(self, graph: Any, s: str) -> str:
        """Add nodes that compute the number of frames of s steps (s is a name) to an ONNX graph; return its name."""
        hop = graph.whole(self.hop)
        if self.pad is not True:
            more = graph.whole(self._padding - self.span + self.hop)
            return graph.op("Div", graph.op("Add", s, more), hop)
        begun = graph.op("Div", graph.op("Add", s, graph.whole(self.hop - 1)), hop)
        reached = graph.op("Add", graph.op("Max", s, graph.whole(self.span)), graph.whole(2 * self.hop - 1 - self.span))
        return graph.op("Min", begun, graph.op("Div", reached, hop))

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c; its state is the last frame."""
        i, n, rest = c.i, c.n, self.span - self.hop
        state = f"state->rows_{i}, &state->filled_{i}, &state->made_{i}"
        s, length, hop, apart = f"(s + {self._padding}u)", self.span, self.hop, self.dilation > 1
        moved = f"memmove(rows, rows + {hop * n}, {rest * n}u * sizeof(real));" if rest > 0 else ""
        spread = f"memcpy(rows + (({length} + p) * {n}), rows + (p * {self.dilation * n}), {n}u * sizeof(real));"
        spread = f"for (int p = 0; p < {self.length}; p++) {{ {spread} }}" * apart  # the frame, behind its window
        count = f"uint64_t count = ({s} < {length}u) ? 0u : (1u + (({s} - {length}u) / {hop}u));"
        if self.pad is True:  # until one reaches the last step, or the next would begin past it
            count = f"uint64_t count = (s <= {length}u) ? 1u : (1u + ((s - {length}u + {hop - 1}u) / {hop}u));\n"
            begun = f"((s + {hop - 1}u) / {hop}u)"
            count += f"    if (count > {begun}) {{ count = {begun}; }}"
        words = {"i": i, "n": n, "span": length, "rest": rest, "moved": moved, "spread": spread, "count": count}
        step = f"frames_{i}({state}, {c.x})"
        waits = self.steps.count is not None
        return c.part(
            f"Frames of {self.length} steps, one every {hop}" + f", {self.dilation} apart" * apart,
            self.length * n,
            f"state->rows_{i}" + f" + {length * n}" * apart,
            Template(C + MORE * waits).substitute(words),
            f"state->steps_{i}++;\nif (!{step}) {{ return 0; }}" if waits else f"{step};",
            (
                f"$real rows_{i}[{(length + self.length * apart) * n}];",
                f"int64_t filled_{i};",
                *(f"uint64_t {name}_{i};" for name in ("made", "steps")[: 1 + waits]),
            ),
            f"state->filled_{i} = {self.before};" if self.before else "",
            f"more_{i}({state}, state->steps_{i})" * waits,
        )

    @property
    def parts(self) -> int:
        """Return how many output features there are for each input feature."""
        return self.length

    @property
    def span(self) -> int:
        """Return how many steps a frame spans, from its first to its last step."""
        return (self.length - 1) * self.dilation + 1

    @property
    def before(self) -> int:
        """Return how many zero steps are added before the first step."""
        return 0 if isinstance(self.pad, bool) else self.pad[0]

    @property
    def steps(self) -> Steps:
        """Return how the frames change the number of steps, and whether a sequence can be cut into pieces.

        Frames that each end at a step of their own keep the steps.
        """
        if self.hop == 1 and self.before == self._padding == self.span - 1:
            return PAST if self.before else STEP
        if self.hop == self.span and not self._padding:
            return Steps("step", self.hop, self._counted)
        return Steps("past" if self.before < self.span else "sequence", count=self._counted)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs, (m, f, length * n) for inputs (m, s, n), with a letter f if s is one.

        Frames of frames are "f'". A number s stays as it is: `steps.lengths` counts frames.
        """
        m, s, n = super().output_shape(shape)
        if self.steps.count is None:
            return m, s, n
        return m, "f" if s == "s" else f"{s}'" if isinstance(s, str) else s, n

    def _counted(self, lengths: ArrayLike, name: str) -> np.ndarray:
        """Check `lengths`, and return the number of frames of samples of these numbers of steps.

        TypeError or ValueError by `name` where these are no integers of at least 1, or too few for a frame.
        """
        steps = integers(lengths, name).astype(np.intp)
        least = 1 if self.pad is True else max(1, self.span - self._padding)
        wrong = np.flatnonzero(steps < least)
        if wrong.size:
            due = "at least 1 step" if least == 1 else f"at least the {least} steps that make a frame"
            cure = "; Frames(pad=True) and Conv1D(padding='causal') take fewer" * (least > 1)
            raise ValueError(f"{name}: expected {due}, got {steps.flat[wrong[0]]} in sample {wrong[0]}{cure}")
        return self.count(steps)

    def count(self, steps: Any) -> Any:
        """Return the number of frames of `steps` steps, without the checks of `steps.lengths`.

        Args:
            steps: an integer, or an array of them.

        Returns:
            The number of frames, 0 for too few steps.

        Examples:
            >>> cgru.Frames(4, 2, pad=False).count(np.array([3, 4, 9])).tolist()
            [0, 1, 3]
        """
        if self.pad is True:
            return np.minimum(-(-steps // self.hop), 1 + -(-np.maximum(0, steps - self.span) // self.hop))
        return np.maximum(0, 1 + (steps + self._padding - self.span) // self.hop)

    @property
    def _padding(self) -> int:
        """Return how many zero steps are added to a sample, before and after it together."""
        return 0 if isinstance(self.pad, bool) else sum(self.pad)

    @property
    def _places(self) -> range:
        """Return the positions, within its span, of the steps that a frame takes."""
        return range(0, self.span, self.dilation)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply the layer to A (m, s, n); return a pass whose output is the frames (m, f, length * n)."""
        X, real = mask_padding(checked_sequences(A), lengths)
        f, steps = self.steps.lengths(X.shape[1:2], "A")[0], None
        if real is not None:
            steps = mask(self.steps.lengths(real.sum(axis=(1, 2))), f)

        def input_gradient(dA: np.ndarray, own: dict[str, np.ndarray]) -> np.ndarray:
            return zero_padding(self.overlap_add(dA, own["X"].shape[1]), real)

        return LayerPass(steps, input_gradient, X=X, A=zero_padding(self._cut_frames(X, f), steps))

    def _cut_frames(self, X: np.ndarray, f: int) -> np.ndarray:
        """Return the first f frames of X, which is padded with zeros on both sides."""
        m, s, n = X.shape
        Z, there = self._padded_zeros(X, f), slice(self.before, self.before + s)
        Z[:, there] = X[:, : Z[:, there].shape[1]]
        steps = np.arange(f)[:, None] * self.hop + self._places
        return Z.take(steps, axis=1).reshape(m, f, self.length * n)

    def overlap_add(self, dA: np.ndarray, s: int) -> np.ndarray:
        """Return dL/dX: sum the gradient of each step over all frames that contain it, the latest frame first.

        Args:
            dA: dL/dA (m, f, length * n).
            s: the number of steps of the input.

        Returns:
            dL/dX (m, s, n).

        Examples:
            >>> cgru.Frames(3, 2).overlap_add(np.ones((1, 2, 3)), 5)[0, :, 0]
            array([1., 1., 2., 1., 1.])
        """
        m, f, _ = dA.shape
        parts = dA.reshape(m, f, self.length, -1)
        Z = self._padded_zeros(parts[:, 0], f)
        for p, at in enumerate(self._places):
            Z[:, at : at + (f - 1) * self.hop + 1 : self.hop] += parts[:, :, p]
        real = Z[:, self.before : self.before + s]  # fewer than s where steps at the end stand in no frame
        return np.pad(real, ((0, 0), (0, s - real.shape[1]), (0, 0)))

    def _padded_zeros(self, A: np.ndarray, f: int) -> np.ndarray:
        """Return zeros (m, steps, n) for all steps that f frames span, for samples such as those of A."""
        return np.zeros((len(A), (f - 1) * self.hop + self.span, A.shape[2]), A.dtype)


def _checked_pad(pad: Any) -> Pad:
    """Check `pad`, and return it as a bool or two integers; TypeError or ValueError for anything else."""
    if isinstance(pad, bool | np.bool_):
        return bool(pad)
    return checked_zeros(pad, "pad", "True, False or (before, after)")


def checked_zeros(pad: Any, name: str, due: str) -> tuple[int, int]:
    """Check the numbers of zero steps before and after a sample, and return them as integers.

    TypeError or ValueError by `name` for anything else; `due` is what it may be.
    """
    if not isinstance(pad, tuple | list) or len(pad) != 2:
        raise TypeError(f"{name}: expected {due}, got {pad!r}")
    for steps in pad:
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
            raise ValueError(f"{name}: expected two integers of at least 0, got {pad!r}")
    return int(pad[0]), int(pad[1])
