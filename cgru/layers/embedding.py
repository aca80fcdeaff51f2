"""Embedding: a learned vector for each token of a fixed vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from string import Template
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.checks import integers, lengths_of, positive, real
from cgru.core.lengths import mask
from cgru.core.row_blocks import Rows, slices
from cgru.initializers import Initializer, named, standard_normal
from cgru.layers.layer import Fields, Layer, LayerPass, Shape, flatten_steps, mask_padding
from cgru.optimizers import RowGradients

__all__ = ["Embedding", "TokenGradients"]

C_ROW = Template("""\
/* layer $i: $about */
${constants}static void layer_$i(real *y, int token) {
    for (int i = 0; i < $u; i++) { y[i] = $value; }
}
""")


class TokenGradients(NamedTuple):
    """The gradients of an embedding table for each of m samples, stored only for the tokens of each sample.

    All other rows of E have no gradient. A sample with fewer tokens than n has rows of zeros behind them, for token 0.

    Attributes:
        tokens: (m, n) the tokens of each sample, each once, rising; then zeros.
        rows: (m, n, u) the gradients of their rows.

    Examples:
        >>> from cgru.layers.embedding import TokenGradients
        >>> found = TokenGradients.of(np.array([[2, 0, 2]]), np.array([[[1.0], [5.0], [3.0]]]))
        >>> found.tokens.tolist(), found.rows.tolist()
        ([[0, 2]], [[[5.0], [4.0]]])
        >>> found.dense(3).tolist()
        [[[5.0], [0.0], [4.0]]]
    """

    tokens: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, dA: np.ndarray) -> TokenGradients:
        """Sum the gradients of each token of a sample over the steps at which it occurs.

        Args:
            X: (m, s) the tokens.
            dA: (m, s, u) the gradients of their vectors.

        Returns:
            The `TokenGradients` of the m samples.
        """
        m, s = X.shape
        order = np.argsort(X, axis=1, kind="stable")
        X, dA = np.take_along_axis(X, order, axis=1), np.take_along_axis(dA, order[:, :, None], axis=1)
        first = np.ones((m, s), bool)
        first[:, 1:] = X[:, 1:] != X[:, :-1]
        sample, place = np.nonzero(first)[0], (first.cumsum(axis=1) - 1)[first]
        tokens = np.zeros((m, place.max() + 1), X.dtype)
        rows = np.zeros((*tokens.shape, dA.shape[2]), dA.dtype)
        tokens[sample, place] = X[first]
        rows[sample, place] = np.add.reduceat(dA.reshape(m * s, -1), np.flatnonzero(first), axis=0)
        return cls(tokens, rows)

    @classmethod
    def joined(cls, parts: list[TokenGradients]) -> TokenGradients:
        """Concatenate the gradients of several batches along the samples.

        Args:
            parts: the `TokenGradients` of each batch.

        Returns:
            The `TokenGradients` of all samples.

        Examples:
            >>> from cgru.layers.embedding import TokenGradients
            >>> part = TokenGradients.of(np.array([[2, 0, 2]]), np.ones((1, 3, 4)))
            >>> TokenGradients.joined([part, part]).rows.shape
            (2, 2, 4)
        """
        n = max(part.tokens.shape[1] for part in parts)
        tokens, rows = (
            np.concatenate([np.pad(a, [(0, 0), (0, n - a.shape[1]), (0, 0)][: a.ndim]) for a in arrays])
            for arrays in zip(*parts, strict=True)
        )
        return cls(tokens, rows)

    def dense(self, v: int) -> np.ndarray:
        """Return the gradients of the whole table for each sample as one array.

        Args:
            v: how many rows the table has.

        Returns:
            An array (m, v, u), zero for tokens that are not in the sample.
        """
        m, _, u = self.rows.shape
        dE = np.zeros((m, v, u), self.rows.dtype)
        np.add.at(dE, (np.arange(m)[:, None], self.tokens), self.rows)
        return dE


class Embedding(Layer):
    """A learned vector for each token of a vocabulary: tokens (m, s) from 0 to `tokens` - 1 become (m, s, u).

    It is the first layer of a network. With `lengths` the tokens past a sample's length may be any integers. Letters: v
    tokens (the vocabulary), u units, the width of a vector.

    Args:
        tokens: v, how many tokens there are.
        units: u, the width of a vector.
        initialization: `f(shape, rng)` that draws E, or the name of one of cgru's; by default of mean 0 and deviation
            1, as PyTorch's `nn.Embedding` does (Keras draws from -0.05 to 0.05).
        dtype: float64 or float32; None: float64, or the dtype of the network.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        d: dimensions m, s, v, u.
        p: E (v, u).
        fc: X (m, s), zero where it is padding, and A (m, s, u).
        bc: dA.
        g: dE (v, u), summed over all places where a token stands, zero where it does not.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.Embedding(10, 4, rng=0)
        >>> A = layer.forward(np.array([[1, 2, 1], [7, 0, 0]]), lengths=[3, 1])
        >>> A.shape, np.array_equal(A[0, 1], layer.p["E"][2])
        ((2, 3, 4), True)
        >>> A[1].tolist()[1:]  # padding
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """

    parameter_names = ("E",)
    reads = ("tokens",)
    fields = Fields({"tokens": "v", "units": "u"}, ("initialization",), dtype=True)

    def __init__(
        self,
        tokens: int,
        units: int,
        initialization: Initializer | str = standard_normal,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        self.d |= {"v": positive(tokens, "tokens"), "u": positive(units, "units")}
        self.initialization = named(initialization, "initialization")
        self.trainable = True

    def __repr__(self) -> str:
        stored = f", weights={self.weights!r}" if self.weights else ""
        return f"Embedding(tokens={self.d['v']}, units={self.d['u']}, dtype={self.dtype.name}{stored})"

    @property
    def table(self) -> np.ndarray:
        """Return the table E (v, u) as floats."""
        return self.p["E"] if self.weights is None else self._rows()(slice(None))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs, (m, s, u) for tokens (m, s).

        Raises:
            ValueError: any other shape.
        """
        if len(shape) != 2:
            raise ValueError("expected integer tokens (m, s)")
        return *shape, self.d["u"]

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer, with the shape of E, to the compiled training code."""
        return {"kind": "embedding", "tokens": self.d["v"], "units": self.d["u"]}

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the sizes `d`, and in `fs` the shapes of X and E, for tokens A (m, s)."""
        m, s = self.tokens(A).shape
        self.d |= {"m": m, "s": s}
        self.fs |= {"X": (m, s), "E": (self.d["v"], self.d["u"])}

    def initialize_parameters(self) -> None:
        """Draw the table E in the shape given in `fs`.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        self._require_floats()
        if "E" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        E = real(self.initialization(self.fs["E"], rng=self.np_rng), "initialization", self.fs["E"])
        self.p["E"] = np.array(E, self.dtype)

    def tokens(self, A: Any, lengths: Any = None, name: str = "A") -> np.ndarray:
        """Check the tokens A (m, s), and return them with 0 in the padding.

        Args:
            A: the tokens.
            lengths: (m,) how many steps of each sample are real; None: all.
            name: what an error calls the tokens.

        Returns:
            An array of integers (m, s).

        Raises:
            TypeError, ValueError: as `checked` raises them.

        Examples:
            >>> cgru.Embedding(10, 4).tokens([[1, 2], [7, -1]], lengths=[2, 1])
            array([[1, 2],
                   [7, 0]])
        """
        X = self.checked(A, lengths, name)
        return X if lengths is None else np.where(mask(lengths, X.shape[1])[:, :, 0], X, X.dtype.type(0))

    def checked(self, A: Any, lengths: Any = None, name: str = "A") -> np.ndarray:
        """Check that all real tokens of A (m, s) are in the vocabulary, and return A.

        Memory-mapped tokens are read block by block.

        Args:
            A: the tokens.
            lengths: (m,) how many steps of each sample are real; None: all.
            name: what an error calls the tokens.

        Returns:
            The tokens (m, s) as they are, at padded steps too.

        Raises:
            TypeError, ValueError: these are no integers (m, s), or a real one is outside the vocabulary.

        Examples:
            >>> cgru.Embedding(10, 4).checked([[1, 10]])
            Traceback (most recent call last):
            ValueError: A: expected tokens from 0 to 9, got 10 in sample 0, step 1
        """
        X = A if isinstance(A, Rows) else integers(A, name)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"{name}: expected integer tokens (m, s), at least one of them, got shape {X.shape}")
        lengths = lengths_of(lengths, *X.shape)
        top = self.d["v"] - 1
        for rows in slices(X.shape):
            block = X[rows]
            wrong = (block < 0) | (top < block)
            if lengths is not None:
                wrong &= mask(lengths[rows], X.shape[1])[:, :, 0]
            if wrong.any():
                sample, step = np.argwhere(wrong)[0]
                where = f"sample {rows.start + sample}, step {step}"
                raise ValueError(f"{name}: expected tokens from 0 to {top}, got {block[sample, step]} in {where}")
        return X

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c: the table and a lookup."""
        u, vector = self.d["u"], f"vector_{c.i}"
        about = f"Embedding, {self.d['v']} tokens, {u} units{c.weights_note}"
        if self.weights is not None:
            constants = "".join(c.array(*each) for each in zip(("table", "scales"), c.p.values(), strict=False))
            code = f"table_{c.i}[((size_t)token * {u}u) + (size_t)i]"
            value = f"(real){code} * scales_{c.i}.values[token]" if "scale_E" in c.p else f"widened({code})"
            text = C_ROW.substitute(i=c.i, about=about, constants=constants, u=u, value=value)
            return c.part(about, u, vector, text, f"real {vector}[{u}];\nlayer_{c.i}({vector}, {c.x});")
        step = f"const real *{vector} = table_{c.i}.values + ((size_t){c.x} * {u}u);"
        return c.part(about, u, vector, f"/* layer {c.i}: {about} */\n{c.array('table', c.p['E'])}", step)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the lookup of the tokens named A to an ONNX graph; return the result's name, zero at padded steps."""
        if graph.steps:
            real_steps = graph.op("Squeeze", graph.mask(), graph.integers(2))
            A = graph.op("Where", real_steps, A, graph.array("no_token", 0, np.int64))
        return graph.real(graph.op("Gather", *graph.parameters(self), A))

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        return self._arrays(E=(self.d["v"], self.d["u"]))

    def packing(self) -> tuple[Any, ...]:
        """Return how to pack weights that are not floats for the kernels; see `cgru.quantized.stored_weights`.

        Returns:
            A function of `p` and the bound of the inputs, which returns one that looks rows up.

        Examples:
            >>> len(cgru.Embedding(10, 4).packing())
            1
        """
        from cgru.quantized.stored_weights import StoredWeights

        return (StoredWeights.rows,)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> EmbeddingPass:
        """Look up the tokens A (m, s); return a pass whose outputs are their vectors (m, s, u), zero in the padding."""
        self._require_floats()
        X = self.tokens(A, lengths)
        A, steps = self._look_up(X, lengths)
        return EmbeddingPass(self.d["v"], steps, X=X, A=A)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs that `forward` would return; store nothing.

        Any number of threads may call this at once.
        """
        return self._look_up(self.tokens(A, lengths), lengths)[0]

    def _look_up(self, X: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the vectors (m, s, u) of the tokens X, and the mask (m, s, 1) of real steps (None: all)."""
        self.make(X)
        return mask_padding(self._rows()(X.T).swapaxes(0, 1), lengths)  # time-major, as a GRU reads it

    def _rows(self) -> Callable[[Any], np.ndarray]:
        """Check the table E, and return a function that returns its rows as floats."""
        return self.checked_parameters()[0].__getitem__ if self.weights is None else self.weights.packed(self)


class EmbeddingPass(LayerPass):
    """One forward pass of an `Embedding`. Tokens have no gradient, so `backward` returns None."""

    def __init__(self, tokens: int, steps: np.ndarray | None, **own: np.ndarray) -> None:
        """Store the size of the vocabulary; `LayerPass` documents the other arguments."""
        super().__init__(steps, **own)
        self._tokens = tokens

    def _compute_backward(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        """Return {"dA": dA}, since tokens have no gradient."""
        return {"dA": dA}

    def gradients(self, each: bool = False) -> dict[str, Any]:
        """Return {"dE": gradient (v, u)}, summed over all occurrences of each token; RuntimeError before `backward`.

        With `each` return as `dE` the `TokenGradients` of each sample.
        """
        if each:
            return {"dE": TokenGradients.of(self._arrays["X"], self._require_backward()["dA"])}
        dA = flatten_steps(self._require_backward()["dA"])
        tokens = self._arrays["X"].T.ravel()  # time-major, as `flatten_steps` makes dA
        order = np.argsort(tokens, kind="stable")
        seen, first = np.unique(tokens[order], return_index=True)
        dE = np.zeros((self._tokens, dA.shape[1]), dA.dtype)
        dE[seen] = np.add.reduceat(dA[order], first, axis=0)
        return {"dE": dE}

    def row_gradients(self) -> RowGradients:
        """Return the gradient of E as `RowGradients` of the tokens that occur; RuntimeError before `backward`.

        An optimizer's step with them takes as long as these rows do, however large the table is.
        """
        X, dA = self._arrays["X"], self._require_backward()["dA"]
        real_steps = slice(None) if self._steps is None else self._steps[:, :, 0].ravel()
        return RowGradients(X.ravel()[real_steps], dA.reshape(-1, dA.shape[2])[real_steps])
