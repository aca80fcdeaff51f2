"""SwitchingGRU: a GRU whose inputs are tokens; each token has its own recurrent weights.

Letters: m samples, s steps, K tokens (the vocabulary), u units. The arithmetic is that of cgru/reference.py (compiled:
cgru/core/simd/switching.h).
"""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru.core.checks import flag, positive, real
from cgru.core.lengths import mask
from cgru.initializers import Initializer, draw, named, orthogonal
from cgru.layers.embedding import Embedding
from cgru.layers.layer import Fields, Layer, LayerPass, Shape, zero_padding
from cgru.layers.steps import PAST
from cgru.reference import switching_backward, switching_forward, switching_gradients

__all__ = ["SwitchingGRU"]

Arrays = dict[str, np.ndarray]

C = Template("""\
/* layer $i: the weights of the token k */
${arrays}static void layer_$i(real *h, int k) {
    const real *input = u_$i.values + ((size_t)k * ${n}u);
    const real *V = v_$i.values + ((size_t)k * ${n}u * ${u}u);
    const real *bias = b_$i.values + ((size_t)k * ${u}u);
    real sums[$n];
    for (int j = 0; j < $n; j++) { sums[j] = (j < (2 * $u)) ? input[j] : bias[j - (2 * $u)]; }
    for (int i = 0; i < $u; i++) {
        for (int j = 0; j < $n; j++) { sums[j] += h[i] * V[(i * $n) + j]; }
    }
    for (int j = 0; j < $u; j++) {
        const real z = activate_sigmoid(sums[$u + j]);
        h[j] = (z * h[j]) + (((real)1 - z)
            * activate_tanh(input[(2 * $u) + j] + (activate_sigmoid(sums[j]) * sums[(2 * $u) + j])));
    }
}
""")


class SwitchingGRU(Layer):
    """A GRU for token inputs (m, s), in which each token has its own recurrent weights and biases.

    Ji-An, Benna and Mattar, 2025 (doi 10.1038/s41586-025-09142-4), who fit such networks of one to a few units to the
    choices of animals and humans. For the token k of a step, and the state h before it, which is zero at first:

        r = sigmoid(U_r[k] + h V_r[k])
        z = sigmoid(U_z[k] + h V_z[k])
        hh = tanh(U_hh[k] + r * (h V_hh[k] + b[k]))
        h becomes z * h + (1 - z) * hh

    It is the first layer of a network. With `lengths` the tokens past a sample's length may be any integers. A step
    takes a time that grows with the number of tokens. There is no dropout within the layer, samples of a network
    always begin at zero, and `truncate`, `resets` and `decay` are refused. `cgru.quantize` leaves its weights floats.

    Args:
        units: u, the number of unit cells.
        tokens: K, how many tokens there are.
        initialization: `f(shape, rng)` that draws U and V gate by gate, V token by token, or the name of one of cgru's.
        sequences: whether all states (m, s, u) come out; else the last one (m, u).
        dtype: float64 or float32; None: float64, or the dtype of the network.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        d: dimensions m, s, v = K, u.
        p: U (K, 3 u), V (K, u, 3 u) and b (K, u); the columns of U and V are those of r, z and hh.
        fc: X (m, s), zero where it is padding; h, hp, r, z, hh, and c, the state's part of hh before r (m, s, u); A.
        bc: dA, dh, dr_, dz_, dhh_ and dc_ (m, s, u).
        g: dU, dV, db.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.array([[1, 2, 1], [3, 0, 0]])
        >>> layer = cgru.SwitchingGRU(2, 4, sequences=True, rng=0)
        >>> A = layer.forward(X, lengths=[3, 1])
        >>> A.shape, A[1, 1:].tolist()
        ((2, 3, 2), [[0.0, 0.0], [0.0, 0.0]])
        >>> net = cgru.Network([cgru.SwitchingGRU(2, 4, sequences=True), cgru.Dense(2, "softmax")], seed=0)
        >>> history = net.fit(X, X % 2, lengths=[3, 1], epochs=2, standardize=False)
        >>> net.predict(X).shape
        (2, 3, 2)
    """

    parameter_names = ("U", "V", "b")
    reads = ("tokens",)
    steps = PAST
    fields = Fields({"units": "u", "tokens": "v"}, ("initialization",), ("sequences",), dtype=True)
    tokens, checked = Embedding.tokens, Embedding.checked

    def __init__(
        self,
        units: int,
        tokens: int,
        initialization: Initializer | str = orthogonal,
        sequences: bool = False,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        self.d |= {"v": positive(tokens, "tokens"), "u": positive(units, "units")}
        self.initialization = named(initialization, "initialization")
        self.sequences = flag(sequences, "sequences")
        self.trainable = True

    def __repr__(self) -> str:
        u, K = self.d["u"], self.d["v"]
        return f"SwitchingGRU(units={u}, tokens={K}, sequences={self.sequences}, dtype={self.dtype.name})"

    @property
    def table(self) -> np.ndarray:
        """Return the token numbers 0 to K - 1 as a table (K, 1), which a stream looks tokens up in."""
        return np.arange(self.d["v"])[:, None]

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        return {"kind": "switching", "tokens": self.d["v"], "units": self.d["u"], "every": self.sequences}

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: (m, s, u) for tokens (m, s), or (m, u) without `sequences`.

        Raises:
            ValueError: any other shape.
        """
        if len(shape) != 2:
            raise ValueError("expected integer tokens (m, s)")
        return *shape[: 1 + self.sequences], self.d["u"]

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter."""
        K, u = self.d["v"], self.d["u"]
        shapes = {"U": (K, 3 * u), "V": (K, u, 3 * u), "b": (K, u)}
        return {name: (shape, self.dtype) for name, shape in shapes.items()}

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and the parameters, for tokens A (m, s)."""
        m, s = self.tokens(A).shape
        self.d |= {"m": m, "s": s}
        self.fs |= {"X": (m, s)} | {name: shape for name, (shape, _) in self.arrays(0).items()}

    def initialize_parameters(self) -> None:
        """Draw U and V, and set b to zero, in the shapes of `fs`.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        if "V" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        K, u = self.d["v"], self.d["u"]
        drawn = draw(self.initialization, [(K, u)] * 3 + [(u, u)] * 3 * K, self.np_rng)
        made = [real(W, "initialization", (K if i < 3 else u, u)) for i, W in enumerate(drawn)]
        V = np.array(made[3:]).reshape(K, 3, u, u).swapaxes(1, 2)
        arrays = {"U": np.hstack(made[:3]), "V": V.reshape(K, u, 3 * u), "b": np.zeros((K, u))}
        self.p |= {name: np.array(value, self.dtype) for name, value in arrays.items()}

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return copies of the parameters in the layout of Ji-An, Benna and Mattar, with gates r, z and n.

        Returns:
            The recurrent weights (3 u, u, K), the biases of the input (3 u, K), and those of the state (3 u, K), which
            are zero for r and z, since only the sums of both count there.

        Raises:
            TypeError, ValueError: a parameter is missing or does not fit.

        Examples:
            >>> layer = cgru.SwitchingGRU(2, 4, rng=0)
            >>> layer.make(np.array([[0]]))
            >>> [array.shape for array in layer.to_arrays()]
            [(6, 2, 4), (6, 4), (6, 4)]
        """
        U, V, b = self.checked_parameters()
        recurrent = np.zeros_like(U)
        recurrent[:, 2 * self.d["u"] :] = b
        return np.ascontiguousarray(V.T), np.ascontiguousarray(U.T), np.ascontiguousarray(recurrent.T)

    @classmethod
    def from_arrays(
        cls, weight_hh: ArrayLike, bias_ih: ArrayLike, bias_hh: ArrayLike, sequences: bool = False
    ) -> SwitchingGRU:
        """Return a layer made from parameters in the layout of Ji-An, Benna and Mattar, with gates r, z and n.

        Args:
            weight_hh: the recurrent weights (3 u, u, K).
            bias_ih: the biases of the input (3 u, K).
            bias_hh: those of the state (3 u, K).
            sequences: as for the class.

        Returns:
            The layer, in the dtype of `weight_hh`, float64 for integers.

        Raises:
            TypeError, ValueError: an array has another shape, or is no array of real numbers.

        Examples:
            >>> arrays = [np.full(shape, 0.1) for shape in ((6, 2, 4), (6, 4), (6, 4))]
            >>> layer = cgru.SwitchingGRU.from_arrays(*arrays)
            >>> layer.d["u"], layer.p["U"][0].round(1).tolist()
            (2, [0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
        """
        V = real(weight_hh, "weight_hh")
        if V.ndim != 3 or V.shape[0] != 3 * V.shape[1] or not V.size:
            raise ValueError(f"weight_hh: expected shape (3 u, u, K), got {V.shape}")
        n, u, K = V.shape
        layer = cls(u, K, sequences=sequences, dtype=V.dtype if V.dtype.kind == "f" else None)
        U, recurrent = (
            real(bias, name, (n, K), layer.dtype).T for name, bias in (("bias_ih", bias_ih), ("bias_hh", bias_hh))
        )
        arrays = {"U": U + np.where(np.arange(n) < 2 * u, recurrent, 0), "V": V.T, "b": recurrent[:, 2 * u :]}
        layer.p |= {name: np.array(value, layer.dtype, order="C") for name, value in arrays.items()}
        return layer

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c: one step."""
        i, u = c.i, self.d["u"]
        arrays = "".join(c.array(name.lower(), value) for name, value in c.p.items())
        code, state = C.substitute(i=i, u=u, n=3 * u, arrays=arrays), f"state->layer_{i}"
        about = f"SwitchingGRU, {self.d['v']} tokens, {u} units"
        return c.part(about, u, state, code, f"layer_{i}({state}, {c.x});", (f"$real layer_{i}[{u}]; /* h ({u},) */",))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None, h0: ArrayLike | None = None) -> SwitchingPass:
        """Run the tokens A (m, s) from the states h0 (m, u) without changing the layer; return a pass.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.

        Returns:
            A `Pass` with the outputs `A`, the last states `state` and, after `backward(dA, dstate)`, dL/dh0 as `dh0`.
        """
        X = self.tokens(A, lengths)
        self.make(X)
        p = dict(zip(self.parameter_names, self.checked_parameters(), strict=True))
        h0 = None if h0 is None else np.array(real(h0, "h0", (len(X), self.d["u"]), self.dtype))
        return SwitchingPass(p, X, lengths, h0, self.sequences)

    def forward(self, A: np.ndarray, lengths: np.ndarray | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Run the tokens A (m, s) from the states h0 (m, u), fill `fc` and return the outputs.

        Args:
            A: the tokens.
            lengths: (m,) how many steps of each sample are real; None: all.
            h0: the states before the first step; None: zero.

        Returns:
            The states (m, s, u), zero past the lengths, or without `sequences` the last ones (m, u).

        Raises:
            TypeError, ValueError: an argument or a parameter does not fit.
            RuntimeError: another thread is inside this layer.
        """
        return self._forward(A, lengths, h0)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None, h0: ArrayLike | None = None) -> np.ndarray:
        """Return the outputs that `forward` would return; store nothing.

        Args:
            A: as for `forward`.
            lengths: likewise.
            h0: likewise.
        """
        return self.run(A, lengths, h0).A


class SwitchingPass(LayerPass):
    """One forward pass of a `SwitchingGRU`. Tokens have no gradient, so `backward` returns None."""

    def __init__(self, p: Arrays, X: np.ndarray, lengths: Any, h0: np.ndarray | None, sequences: bool) -> None:
        """Run the tokens X (m, s) from the states h0 with the parameters p; all arguments are checked before."""
        fc, steps = switching_forward(p, X, h0, lengths), None if lengths is None else mask(lengths, X.shape[1])
        super().__init__(steps, **fc, A=zero_padding(fc["h"], steps) if sequences else fc["h"][:, -1].copy())
        self._p, self._lengths = p, lengths

    @property
    def state(self) -> np.ndarray:
        """Return the last states (m, u)."""
        return self._arrays["h"][:, -1]

    @property
    def dh0(self) -> np.ndarray:
        """Return dL/dh0 (m, u), the gradient of the initial states, after `backward`."""
        return self._require_backward()["dh"][:, 0]

    def backward(self, dA: Any = None, dstate: Any = None) -> None:
        """Backpropagate dL/dA, in the shape of A, and dL/d(last states) (m, u); one of the two may be None."""
        A, every = self._arrays["A"], np.zeros_like(self._arrays["h"])
        last = every[:, -1]  # where the last state of every sample is
        if dA is not None or dstate is None:
            dA = real(dA, "dX", A.shape, A.dtype)
            dA = zero_padding(dA, self._steps) if dA.ndim == 3 else dA
            (every if dA.ndim == 3 else last)[...] = dA
        if dstate is not None:
            last += real(dstate, "dstate", last.shape, A.dtype)
        made = switching_backward(self._p, self._arrays, every, self._lengths)
        self._store_backward(made if dA is None else made | {"dA": dA})

    def gradients(self, each: bool = False) -> Arrays:
        """Return dU, dV and db, summed over samples, or with `each` per sample; RuntimeError before `backward`."""
        return switching_gradients(self._p, self._arrays, self._require_backward(), each)
