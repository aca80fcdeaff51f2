"""Pool: a layer that reduces a sequence to one step: its mean, sum, maximum, last step or attention.

Several of these may stand side by side.
"""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru import activations
from cgru.core.checks import positive, real
from cgru.core.linear import Linear
from cgru.initializers import xavier
from cgru.layers.layer import (
    Fields,
    Layer,
    LayerPass,
    Shape,
    activation_code,
    checked_sequences,
    flatten_steps,
    mask_padding,
    product_gradients,
    unflatten,
)
from cgru.layers.steps import PAST, STEP, Steps

__all__ = ["Pool"]

Arrays = dict[str, np.ndarray]

HOW = ("mean", "max", "last", "attention", "sum")  # in the order of their codes in cgru/core/simd/cgru.h
C_TEXTS = {  # by reduction: its C function, the state members beside the result, and these as call arguments
    "mean": (
        """\
/* layer $i: mean; what a sum lost by rounding is taken off the next number (Kahan, 1965) */
static void mean_$i(real *y, const real *x, real *sums, real *lost, uint64_t *steps) {
    *steps += 1;
    for (int i = 0; i < $n; i++) {
        const real due = x[i] - lost[i];
        const real sum = sums[i] + due;
        const real beyond = (sum - sums[i]) - due;
        lost[i] = if_less((real)-1e30, negative(beyond), beyond, 0); /* nothing where the sum is infinite */
        sums[i] = sum;
    }
    for (int i = 0; i < $n; i++) { y[i] = sums[i] / (real)*steps; }
}
""",
        ("$real sums_$i[$n];", "$real lost_$i[$n];", "uint64_t steps_$i;"),
        ", state->sums_$i, state->lost_$i, &state->steps_$i",
    ),
    "sum": (
        """\
/* layer $i: sum; what it lost by rounding is taken off the next number (Kahan, 1965) */
static void sum_$i(real *y, const real *x, real *lost) {
    for (int i = 0; i < $n; i++) {
        const real due = x[i] - lost[i];
        const real sum = y[i] + due;
        const real beyond = (sum - y[i]) - due;
        lost[i] = if_less((real)-1e30, negative(beyond), beyond, 0); /* nothing where the sum is infinite */
        y[i] = sum;
    }
}
""",
        ("$real lost_of_sum_$i[$n];",),
        ", state->lost_of_sum_$i",
    ),
    "max": (
        """\
/* layer $i: largest numbers; NaN stays */
static void max_$i(real *y, const real *x, int *begun) {
    for (int i = 0; i < $n; i++) { y[i] = (!*begun || (x[i] > y[i]) || (x[i] != x[i])) ? x[i] : y[i]; }
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
    for (int i = 0; i < $n; i++) { y[i] = x[i]; }
}
""",
        (),
        "",
    ),
    "attention": (
        """\
/* layer $i: attention: the sum of x times exp(score), over the sum of these factors, which stands behind it. All are
 * relative to the largest score so far, so that none overflows; what is lost by rounding is taken off the next one. */
static void attention_$i(real *y, const real *x, real *weighted, real *missed, real *largest) {
    const int begun = weighted[$n] != (real)0;
    const real score = score_$i(x);
    const real before = *largest;
    if (!begun || (score > before)) { *largest = score; }
    const real kept = begun ? exp_negative(before - *largest) : (real)0;
    const real weight = exp_negative(score - *largest);
    for (int i = 0; i <= $n; i++) {
        const real old = kept * weighted[i];
        const real due = (weight * ((i < $n) ? x[i] : (real)1)) - (kept * missed[i]);
        const real sum = old + due;
        const real beyond = (sum - old) - due;
        missed[i] = if_less((real)-1e30, negative(beyond), beyond, 0);
        weighted[i] = sum;
    }
    for (int i = 0; i < $n; i++) { y[i] = weighted[i] / weighted[$n]; }
}
""",
        ("$real weighted_$i[$n + 1];", "$real missed_$i[$n + 1];", "$real largest_$i;"),
        ", state->weighted_$i, state->missed_$i, &state->largest_$i",
    ),
}
C_SCORE = """\
/* layer $i: x W + b */
static real score_$i(const real *x) {
    real score = b_$i.values[0];
    for (int i = 0; i < $n; i++) { score += x[i] * W_$i.values[i]; }
    return score;
}
"""
C_HIDDEN_SCORE = """\
/* layer $i: tanh(x W + b) V */
static real score_$i(const real *x) {
    real hidden[$h];
    real score = 0;
    memcpy(hidden, b_$i.values, sizeof hidden);
    for (int i = 0; i < $n; i++) {
        for (int j = 0; j < $h; j++) { hidden[j] += x[i] * W_$i.values[(i * $h) + j]; }
    }
    for (int j = 0; j < $h; j++) { hidden[j] = activate_tanh(hidden[j]); }
    for (int j = 0; j < $h; j++) { score += hidden[j] * V_$i.values[j]; }
    return score;
}
"""


class Pool(Layer):
    """A layer that reduces the real steps of (m, s, n) to (m, n): mean, sum, maximum, last step or attention.

    Several joined by +, as "last+mean+max", are concatenated in that order: (m, 3 n). `max` is taken of each feature by
    itself; of equal numbers the first gets the gradient. It stands above a `GRU` with `sequences=True` (or an
    `Embedding`); "last" is what a GRU with `sequences=False` returns. The dtype is that of the input, with "attention"
    that of the parameters.

    "attention", the weighted sum, is the sum of a_t x_t over the real steps, where a is the softmax over these steps of
    a score of each step: x_t W + b, or with `hidden` tanh(x_t W + b) V, the additive attention of Bahdanau, Cho and
    Bengio (2015) with a learned query. A number added to all scores changes nothing, so without `hidden` the gradient
    of b is zero.

    Args:
        how: "mean", "sum", "max", "last" or "attention", or some of these joined by +.
        hidden: units of the hidden layer that scores the steps for "attention"; None: there is none.
        dtype: float64 or float32, of the parameters; None: float64, or the dtype of the network.
        rng: a Generator, a seed or None, kept as `np_rng`; it draws W and V.

    Attributes:
        d: dimensions m, s, n.
        p: with "attention", and h for `hidden` or 1: W (n, h), b (1, h) and with `hidden` V (h, 1); else empty.
        fc: X (m, s, n) and A; with "attention" the weights a (m, s), and with `hidden` H (m, s, h) = tanh(X W + b).
        bc: dA and dX (m, s, n); with "attention" dscore (m, s), and dZ (m, s, h) of X W + b.
        g: with "attention" dW (n, h), db (h,) and with `hidden` dV (h, 1).
        parameter_names: the names of the parameters that it has.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.array([[1.0, 5.0, 3.0, 99.0]])[:, :, None]
        >>> cgru.Pool("mean").forward(X, lengths=[3])
        array([[3.]])
        >>> cgru.Pool("last+max").forward(X, lengths=[3])
        array([[3., 5.]])
        >>> layer = cgru.Pool("attention", rng=0)
        >>> layer.forward(X).shape, round(float(layer.fc["a"].sum()), 6)
        ((1, 1), 1.0)
    """

    parameter_names = ("W", "b", "V")  # of a layer: those that it has
    fields = Fields({"how": None}, options=("hidden",), dtype=True)

    def __init__(
        self,
        how: str = "mean",
        hidden: int | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        if not isinstance(how, str):
            raise TypeError(f"how: expected one of {', '.join(HOW)}, got {type(how).__name__}")
        parts = how.split("+")
        if not {*parts} <= {*HOW} or len({*parts}) < len(parts):
            raise ValueError(f"how: expected one of {', '.join(HOW)}, or some joined by +, each once, got {how!r}")
        if hidden is not None and "attention" not in parts:
            raise ValueError(f'hidden: expected None without "attention" in how, got {hidden!r}')
        self.how = how
        self.hidden = None if hidden is None else positive(hidden, "hidden")
        self.trainable = "attention" in parts
        self.parameter_names = () if not self.trainable else ("W", "b") if hidden is None else ("W", "b", "V")

    def __repr__(self) -> str:
        hidden = "" if self.hidden is None else f", hidden={self.hidden}"
        return f"Pool({self.how!r}{hidden}, dtype={self.dtype.name})" if self.parameter_names else f"Pool({self.how!r})"

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        scores = {"scores": self.hidden or 1, "activate": self._score_code} if self.parameter_names else {}
        return {"kind": "pool", "parts": tuple(map(HOW.index, self.parts)), **scores}

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the reductions that are concatenated."""
        return tuple(self.how.split("+"))

    @property
    def steps(self) -> Steps:
        """Return which steps the layer needs at once: only the last one, or all so far."""
        return STEP if self.how == "last" else PAST

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs, (m, n times the number of reductions) for (m, s, n).

        Raises:
            ValueError: any other shape; or there are several parts, and n is not known.
        """
        if len(shape) != 3:
            raise ValueError("expected all steps (m, s, n)")
        if len(self.parts) > 1 and isinstance(shape[2], str):
            raise ValueError(f"expected a layer with units before a Pool of {len(self.parts)} parts")
        return shape[0], shape[2] if isinstance(shape[2], str) else shape[2] * len(self.parts)

    @property
    def features(self) -> int | None:
        """Return n, the number of input features; None without parameters."""
        return len(self.p["W"]) if np.ndim(self.p.get("W")) else None

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and the parameters, for an input A (m, s, n)."""
        super().compute_shapes(checked_sequences(A))
        self.fs |= {name: shape for name, (shape, _) in self.arrays(self.d["n"]).items()}

    def initialize_parameters(self) -> None:
        """Draw W and V and set b to zero, in the shapes of `fs`.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        if self.parameter_names and "W" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        made = {}
        for name in self.parameter_names:
            shape = self.fs[name]
            made[name] = np.array(np.zeros(shape) if name == "b" else xavier(shape, self.np_rng), self.dtype)
        self.p |= made  # all at once, since another thread may be about to read them

    def arrays(self, e: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        h = self.hidden or 1
        shapes = {"W": (e, h), "b": (1, h), "V": (h, 1)}
        return {name: (shapes[name], self.dtype) for name in self.parameter_names}

    def checked_parameters(self) -> tuple[np.ndarray, ...]:
        """Check the parameters in `p`, and return them in their order in the layer's dtype."""
        for name, (shape, _) in self.arrays("n").items():
            if name not in self.p:
                raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
        return tuple(real(self.p[name], ("p", name), *due) for name, due in self.arrays("n").items())

    @property
    def _score_code(self) -> tuple[int, float]:
        """Return the compiled function's (code, parameter) of the activation of the scores: tanh or identity."""
        return activation_code(activations.tanh if self.hidden else activations.identity, None)

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c; its state is the reduction so far.

        "last" needs no state.
        """
        i, n, width = c.i, c.n, c.n * len(self.parts)
        about = f"Pool, {self.how} of the steps so far"
        if self.how == "last":
            return c.part(about, n, c.x)
        members, code, steps = [f"$real layer_{i}[{width}];"], [], []
        if self.parameter_names:
            code += [c.array(name, values) for name, values in c.p.items()]
            code.append(Template(C_HIDDEN_SCORE if self.hidden else C_SCORE).substitute(i=i, n=n, h=self.hidden))
        for k, how in enumerate(self.parts):
            function, own, arguments = C_TEXTS[how]
            call = f"{how}_$i(state->layer_$i + {k * n}, {c.x}{arguments});"
            code.append(Template(function).substitute(i=i, n=n))
            members += [Template(member).safe_substitute(i=i, n=n) for member in own]
            steps.append(Template(call).substitute(i=i))
        return c.part(about, width, f"state->layer_{i}", "\n".join(code), "\n        ".join(steps), tuple(members))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the reductions of the array named A over its real steps to an ONNX graph; return the result's name."""
        p = graph.parameters(self)
        parts = [_add_part(graph, A, how, p) for how in self.parts]
        graph.steps = False
        return graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> PoolPass:
        """Apply the layer to A (m, s, n); return a pass with outputs (m, n times the number of reductions)."""
        X, steps = mask_padding(checked_sequences(A, self.dtype if self.parameter_names else None), lengths)
        self.make(X)
        p = self.checked_parameters()
        if p and X.shape[2] != len(p[0]):
            raise ValueError(f"A: expected shape (m, s, {len(p[0])}), the rows of W, got {X.shape}")
        return PoolPass(self.parts, p, self._score_code, X, steps)


class PoolPass(LayerPass):
    """One forward pass of a `Pool` with the parameters p; `code` is the activation of the scores."""

    def __init__(
        self,
        parts: tuple[str, ...],
        p: tuple[np.ndarray, ...],
        code: tuple[int, float],
        X: np.ndarray,
        steps: np.ndarray | None,
    ) -> None:
        """Reduce X (m, s, n) by each of `parts`; `steps` (m, s, 1) is the mask of real steps (None: all)."""
        own = {}
        self._parts, self._p = parts, p
        found = []
        for how in parts:
            if how == "attention":
                A, own = _attended(p, code, X, steps)
                found.append((A, None))
            else:
                found.append(_pooled(how, X, steps))
        self._chosen_steps = [chosen for _, chosen in found]  # (m, 1, n) by part; None: all
        super().__init__(steps, X=X, A=np.concatenate([A for A, _ in found], axis=1), **own)

    def _compute_backward(self, dA: np.ndarray) -> Arrays:
        """Return {"dA", "dX"} for dL/dA, which goes to the chosen steps or, for a mean, equally to all."""
        X, steps = self._arrays["X"], self._steps
        dX, made = np.zeros_like(X), {}
        split = np.split(dA, len(self._parts), axis=1)
        for how, chosen, d in zip(self._parts, self._chosen_steps, split, strict=True):
            if how == "attention":
                made = self._attention_backward(d)
                dX += self._arrays["a"][:, :, None] * d[:, None]
                dX += unflatten(Linear(self._p[0].T).outputs(flatten_steps(made["dZ"])), like=X)
            elif chosen is None:
                each = d / _real_step_count(X, steps) if how == "mean" else d
                np.add(dX, each[:, None], out=dX, where=True if steps is None else steps)
            else:
                own = np.take_along_axis(dX, chosen, axis=1)
                np.put_along_axis(dX, chosen, own + d[:, None], axis=1)
        return {"dA": dA, "dX": dX, **made}

    def _attention_backward(self, d: np.ndarray) -> Arrays:
        """Return dL/dscore (m, s) and dL/dZ (m, s, h), Z = X W + b, for the gradient d (m, n) of the weighted sum."""
        a, H = self._arrays["a"], self._arrays.get("H")
        da = np.einsum("mn,msn->ms", d, self._arrays["X"])
        dscore = a * (da - (a * da).sum(axis=1, keepdims=True))
        dZ = dscore[:, :, None]
        return {"dscore": dscore, "dZ": dZ if H is None else dZ * self._p[2].T * (1 - H * H)}

    def gradients(self, each: bool = False) -> Arrays:
        """Return the gradients of the attention's W, b and V, summed over samples and steps; {} without attention.

        With `each` return the sums over the steps of each sample, (m, ...). RuntimeError before `backward`. Without V,
        dZ are the gradients of scores, whose sum is zero: rounding would leave noise, which an optimizer such as Adam
        scales up to whole steps.
        """
        if not self._p:
            return {}
        made = self._require_backward()
        if each:
            dW, db = product_gradients(self._arrays["X"], made["dZ"])
            if "H" not in self._arrays:
                return {"dW": dW, "db": np.zeros_like(db)}
            dV, _ = product_gradients(self._arrays["H"], made["dscore"][:, :, None])
            return {"dW": dW, "db": db, "dV": dV}
        dZ = flatten_steps(made["dZ"])
        g = {"dW": Linear(np.ascontiguousarray(dZ)).outputs(flatten_steps(self._arrays["X"]).T)}
        if "H" not in self._arrays:
            return g | {"db": np.zeros(1, dZ.dtype)}
        dscore, H = made["dscore"][:, :, None], flatten_steps(self._arrays["H"])
        return g | {"db": dZ.sum(axis=0), "dV": Linear(flatten_steps(dscore)).outputs(H.T)}


def _attended(
    p: tuple[np.ndarray, ...], code: tuple[int, float], X: np.ndarray, steps: np.ndarray | None
) -> tuple[np.ndarray, Arrays]:
    """Return the attention-weighted sum of X over the steps (m, n), and the arrays that its backward pass needs.

    These are the weights a (m, s), zero at padding, and with V in p the hidden layer H (m, s, h). Sums are of float64,
    since over many steps float32 would lose digits.
    """
    W, b, *V = p
    H = unflatten(Linear(W, b, code).outputs(flatten_steps(X)), like=X)
    score = unflatten(Linear(V[0]).outputs(flatten_steps(H)), like=X) if V else H
    score = (score if steps is None else np.where(steps, score, -np.inf))[:, :, 0].astype(np.float64)
    a = np.exp(score - score.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    A = np.einsum("ms,msn->mn", a, X).astype(X.dtype, copy=False)
    return A, {"a": a.astype(X.dtype, copy=False), **({"H": H} if V else {})}


def _add_part(graph: Any, A: str, how: str, p: list[str]) -> str:
    """Add the reduction `how` of the array named A, with parameters named p, to an ONNX graph; return its name."""
    if how == "attention":
        W, b, *V = p
        score = graph.op("Add", graph.op("MatMul", A, W), b)
        score = graph.op("MatMul", graph.op("Tanh", score), *V) if V else score
        a = graph.op("Softmax", graph.real(score, -np.inf), axis=1)
        return graph.op("ReduceSum", graph.op("Mul", graph.real(A), a), graph.integers(1), keepdims=0)
    if how == "max":
        return graph.op("ReduceMax", graph.real(A, -np.inf), graph.integers(1), keepdims=0)
    if how == "last" and graph.steps:
        last = graph.op("Sub", graph.lengths(), graph.integers(1))
        return graph.op("GatherND", A, graph.op("Unsqueeze", last, graph.integers(1)), batch_dims=1)
    if how == "last":
        return graph.op("Gather", A, graph.array("end", -1, np.int64), axis=1)
    if not graph.steps or how == "sum":
        return graph.op(f"Reduce{how.title()}", graph.real(A), graph.integers(1), keepdims=0)
    count = graph.op("Cast", graph.lengths(), to=graph.number)
    A = graph.op("ReduceSum", graph.real(A), graph.integers(1), keepdims=0)
    return graph.op("Div", A, graph.op("Unsqueeze", count, graph.integers(1)))


def _pooled(how: str, X: np.ndarray, steps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (X reduced by `how`, (m, n); the step that each number came from, or None if from all steps)."""
    m, s, _ = X.shape
    if how in ("mean", "sum"):
        A = X.sum(axis=1, dtype=np.float64)  # of many steps float32 would lose digits
        return (A / _real_step_count(X, steps) if how == "mean" else A).astype(X.dtype, copy=False), None
    if how == "max":
        chosen = (X if steps is None else np.where(steps, X, -np.inf)).argmax(axis=1)[:, None]
    else:
        last = np.full((m, 1, 1), s - 1) if steps is None else steps.sum(axis=1, keepdims=True) - 1
        chosen = np.broadcast_to(last, (m, 1, X.shape[2]))
    return np.take_along_axis(X, chosen, axis=1)[:, 0], chosen


def _real_step_count(X: np.ndarray, steps: np.ndarray | None) -> Any:
    """Return the number of real steps of each sample, (m, 1); without a mask one number for all."""
    return X.dtype.type(X.shape[1]) if steps is None else steps.sum(axis=1).astype(X.dtype)
