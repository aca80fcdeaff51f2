"""Pool: reduces a sequence to one step: its mean, maximum or last step, or several of these side by side."""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np

from cgru.layers.layer import Fields, Layer, LayerPass, Shape, checked_sequences, mask_padding

__all__ = ["Pool"]

HOW = ("mean", "max", "last")
C_TEXTS = {  # by reduction: its C function, the state members beside the result, and these as call arguments
    "mean": (
        """\
/* layer $i: mean; what a sum lost by rounding is taken off the next number (Kahan, 1965) */
static void mean_$i(real *y, const real *x, real *sums, real *lost, uint64_t *steps) {
    *steps += 1;
    for (int i = 0; i < $n; i++) {
        const real due = x[i] - lost[i], sum = sums[i] + due, beyond = (sum - sums[i]) - due;
        lost[i] = if_less((real)-1e30, negative(beyond), beyond, 0); /* nothing where the sum is infinite */
        sums[i] = sum;
    }
    for (int i = 0; i < $n; i++) y[i] = sums[i] / (real)*steps;
}
""",
        ("$real sums_$i[$n], lost_$i[$n];", "uint64_t steps_$i;"),
        ", state->sums_$i, state->lost_$i, &state->steps_$i",
    ),
    "max": (
        """\
/* layer $i: largest numbers; NaN stays */
static void max_$i(real *y, const real *x, int *begun) {
    for (int i = 0; i < $n; i++) y[i] = !*begun || x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
    *begun = 1;
}
""",
        ("int begun_$i;",),
        ", &state->begun_$i",
    ),
    "last": (
        """\
/* layer $i: last numbers */
static void last_$i(real *y, const real *x) {
    for (int i = 0; i < $n; i++) y[i] = x[i];
}
""",
        (),
        "",
    ),
}


class Pool(Layer):
    """Reduce the real steps of (m, s, n) to (m, n): their "mean", "max" or "last".

    Several joined by +, as "last+mean+max", are concatenated in that order: (m, 3 n). `max` is taken of each feature by
    itself; of equal numbers the first gets the gradient. It stands above a `GRU` with `sequences=True` (or an
    `Embedding`); "last" is what a GRU with `sequences=False` returns. The dtype is that of the input.

    After the calls: `d` holds m, s, n; `fc` X (m, s, n) and A; `bc` dA and dX (m, s, n).

    TypeError or ValueError for another `how`.
    """

    stream = ""
    fields = Fields({"how": None})

    def __init__(self, how: str = "mean") -> None:
        super().__init__()
        if not isinstance(how, str):
            raise TypeError(f"how: expected one of {', '.join(HOW)}, got {type(how).__name__}")
        parts = how.split("+")
        if not {*parts} <= {*HOW} or len({*parts}) < len(parts):
            raise ValueError(f"how: expected one of {', '.join(HOW)}, or some joined by +, each once, got {how!r}")
        self.how = how

    def __repr__(self) -> str:
        return f"Pool({self.how!r})"

    @property
    def stage(self) -> dict[str, Any]:
        """Return the description of this stage in a compiled fit, with the reductions."""
        return {"kind": "pool", "parts": self.parts}

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the reductions that are concatenated."""
        return tuple(self.how.split("+"))

    @property
    def piecewise(self) -> bool:
        """Return whether the last piece of a sequence is enough."""
        return self.how == "last"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (m, n times the number of parts) for (m, s, n); ValueError for any other shape.

        ValueError too for several parts if n is not known.
        """
        if len(shape) != 3:
            raise ValueError("expected all steps (m, s, n)")
        if len(self.parts) > 1 and isinstance(shape[2], str):
            raise ValueError(f"expected a layer with units below a Pool of {len(self.parts)} parts")
        return shape[0], shape[2] if isinstance(shape[2], str) else shape[2] * len(self.parts)

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shape of X in `fs` for an input A (m, s, n)."""
        super().compute_shapes(checked_sequences(A))

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by its `Writer` c: the reduction so far is its state.

        "last" needs no state.
        """
        i, n, width = c.i, c.n, c.n * len(self.parts)
        about = f"Pool, {self.how} of the steps so far"
        if self.how == "last":
            return c.part(about, n, c.x)
        members, code, steps = [f"$real layer_{i}[{width}];"], [], []
        for k, how in enumerate(self.parts):
            function, own, arguments = C_TEXTS[how]
            call = f"{how}_$i(state->layer_$i + {k * n}, {c.x}{arguments});"
            code.append(Template(function).substitute(i=i, n=n))
            members += [Template(member).safe_substitute(i=i, n=n) for member in own]
            steps.append(Template(call).substitute(i=i))
        return c.part(about, width, f"state->layer_{i}", "\n".join(code), "\n        ".join(steps), tuple(members))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the reductions over the real steps of the array named A to an ONNX graph; return the result's name."""
        parts = [_add_part(graph, A, how) for how in self.parts]
        graph.steps = False
        return graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> PoolPass:
        """Run A (m, s, n); return a pass whose output is (m, n times the number of parts).

        Sample i has `lengths[i]` real steps (None: all).
        """
        X, steps = mask_padding(checked_sequences(A), lengths)
        return PoolPass(self.parts, X, steps)


class PoolPass(LayerPass):
    """One run of a `Pool`."""

    def __init__(self, parts: tuple[str, ...], X: np.ndarray, steps: np.ndarray | None) -> None:
        """Reduce X (m, s, n) by each of `parts`; `steps` (m, s, 1) is true at real steps (None: all)."""
        found = [_pooled(how, X, steps) for how in parts]
        self._chosen_steps = [chosen for _, chosen in found]  # (m, 1, n) by part; None: all
        super().__init__(steps, X=X, A=np.concatenate([A for A, _ in found], axis=1))

    def _compute_backward(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        """Return {"dA", "dX"} for dL/dA; dX has it at the chosen step, or spread over all steps for a mean."""
        X, steps = self._arrays["X"], self._steps
        dX = np.zeros_like(X)
        for chosen, d in zip(self._chosen_steps, np.split(dA, len(self._chosen_steps), axis=1), strict=True):
            if chosen is None:
                np.add(dX, (d / _real_step_count(X, steps))[:, None], out=dX, where=True if steps is None else steps)
            else:
                own = np.take_along_axis(dX, chosen, axis=1)
                np.put_along_axis(dX, chosen, own + d[:, None], axis=1)
        return {"dA": dA, "dX": dX}


def _add_part(graph: Any, A: str, how: str) -> str:
    """Add the reduction `how` of the array named A to an ONNX graph; return the name of the result."""
    if how == "max":
        return graph.op("ReduceMax", graph.real(A, -np.inf), graph.integers(1), keepdims=0)
    if how == "last" and graph.steps:
        last = graph.op("Sub", graph.lengths(), graph.integers(1))
        return graph.op("GatherND", A, graph.op("Unsqueeze", last, graph.integers(1)), batch_dims=1)
    if how == "last":
        return graph.op("Gather", A, graph.array("end", -1, np.int64), axis=1)
    if not graph.steps:
        return graph.op("ReduceMean", A, graph.integers(1), keepdims=0)
    count = graph.op("Cast", graph.lengths(), to=graph.number)
    A = graph.op("ReduceSum", graph.real(A), graph.integers(1), keepdims=0)
    return graph.op("Div", A, graph.op("Unsqueeze", count, graph.integers(1)))


def _pooled(how: str, X: np.ndarray, steps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (reduction `how` of X, (m, n); index of the step that each number was taken from, or None: all steps)."""
    m, s, _ = X.shape
    if how == "mean":
        mean = X.sum(axis=1, dtype=np.float64) / _real_step_count(X, steps)  # of many steps float32 would lose digits
        return mean.astype(X.dtype, copy=False), None
    if how == "max":
        chosen = (X if steps is None else np.where(steps, X, -np.inf)).argmax(axis=1)[:, None]
    else:
        last = np.full((m, 1, 1), s - 1) if steps is None else steps.sum(axis=1, keepdims=True) - 1
        chosen = np.broadcast_to(last, (m, 1, X.shape[2]))
    return np.take_along_axis(X, chosen, axis=1)[:, 0], chosen


def _real_step_count(X: np.ndarray, steps: np.ndarray | None) -> Any:
    """Return the number of real steps of each sample (m, 1), or of all samples alike."""
    return X.dtype.type(X.shape[1]) if steps is None else steps.sum(axis=1).astype(X.dtype)
