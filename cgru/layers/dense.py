"""Dense, the output layer: A = activate(X W + b), the products and cgru's own activations compiled.

m samples, s steps, n inputs, u units. The interface is that of EpyNN's Dense layer, so that it drops into an EpyNN
network.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import DTypeLike

from cgru import activations, initializers
from cgru.core.checks import mapping, positive, real
from cgru.core.linear import SOFTMAX_CODE, Linear
from cgru.layers.layer import (
    Fields,
    Layer,
    LayerPass,
    Shape,
    code_with_softmax,
    flat,
    floats,
    kept,
    through,
    unflat,
    unpadded,
)

__all__ = ["Dense"]

Arrays = dict[str, np.ndarray]


class Dense(Layer):
    """A fully connected layer of `units`, the head of a network: (m, u) for (m, n), or each step of (m, s, n) so.

    `activate` is a callable `f(x, deriv=False)`, looked up at each call; its derivative has the shape of x, (m, u), or
    is (m, u, u) as softmax's: element [i, j, k] is that of output j by input k. Steps come to it as more samples.
    `initialization` is a callable `f(shape, rng)`. `se_hPars` may hold `LRELU_alpha`, `ELU_alpha` and
    `softmax_temperature`. `rng` is a Generator, a seed or None, kept as `np_rng`. `dtype` is float64 or float32.

    After the calls: `d` holds m, n, u; `p` W (n, u) and b (1, u); `fc` X (m, n), Z and A (m, u); `bc` dA and dZ (m, u)
    and dX (m, n); `g` dW (n, u) and db (u,), summed over the samples; `fs` and `bs` the shapes. With steps `d` holds s,
    what is m stands for m, s, and where they are padding X, A and all gradients are zero. No call writes into an array
    that an earlier one returned or put there, the parameters excepted.

    TypeError or ValueError for an argument that does not fit.
    """

    parameter_names = ("W", "b")
    stream = "linear"
    is_head = True
    fields = Fields({"units": "u"}, ("activate", "initialization"), dtype=True)

    def __init__(
        self,
        units: int = 1,
        activate: activations.Activation | str = activations.sigmoid,
        initialization: initializers.Initializer | str = initializers.xavier,
        se_hPars: MutableMapping[str, Any] | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        self.d["u"] = positive(units, "units")
        self.activate = activations.named(activate, "activate")
        self.initialization = initializers.named(initialization, "initialization")
        self.se_hPars = mapping(se_hPars, "se_hPars")
        self.trainable = True
        self.activation = {"activate": activations.name_of(self.activate)}

    def __repr__(self) -> str:
        activate = activations.name_of(self.activate)
        return f"Dense(units={self.d['u']}, activate={activate}, dtype={self.dtype.name})"

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """That of the input, with u in the place of n."""
        return *shape[:-1], self.d["u"]

    @property
    def elements(self) -> int | None:
        """n, the rows of W; None where there is none yet."""
        return len(self.p["W"]) if np.ndim(self.p.get("W")) else None

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shapes of X, W and b in `fs` for an input A (m, n) or (m, s, n)."""
        super().compute_shapes(A)
        u = self.d["u"]
        self.fs |= {"W": (self.d["n"], u), "b": (1, u)}

    def initialize_parameters(self) -> None:
        """Draw W and set b to zero, in the shapes of `fs`; RuntimeError before `compute_shapes`."""
        if "W" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        W = real(self.initialization(self.fs["W"], rng=self.np_rng), "initialization", self.fs["W"])
        self.p |= {"W": np.array(W, self.dtype), "b": np.zeros(self.fs["b"], self.dtype)}

    # --- forward ---

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> DensePass:
        """The outputs (m, u) for an input A (m, n); for all steps A (m, s, n) they are (m, s, u).

        Sample i has `lengths[i]` real steps (None: all).
        """
        X, steps, W, b = self._checked(A, lengths)
        Z, A = Linear(W, b, self.code).both(flat(X))
        A = unflat(self._own(Z) if A is None else A, like=X)
        return DensePass(self, steps, X=X, Z=unflat(Z, like=X), A=kept(A, steps))

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The same numbers as `forward`; the layer is not touched, any number of threads may call it at once."""
        X, steps, W, b = self._checked(A, lengths)
        code = self.code
        A = Linear(W, b, code).outputs(flat(X))
        return kept(unflat(self._own(A) if code is None else A, like=X), steps)

    def _rerun(self, *arguments: Any) -> DensePass:
        ran = self.run(*arguments)
        self.activation["activate"] = activations.name_of(activations.named(self.activate, "activate"))
        return ran

    @property
    def code(self) -> tuple[int, float] | None:
        """What the compiled layer calls the activation as it is now; None for a callable that is not cgru's own."""
        return code_with_softmax(self.activate, self.se_hPars)

    @property
    def stage(self) -> dict[str, Any] | None:
        """A product and an activation, where that is compiled."""
        return None if self.code is None else {"kind": "dense", "units": self.d["u"], "activate": self.code}

    def c_text(self, c: Any) -> Any:
        """Return the product and the activation in C."""
        return c.dense()

    def onnx_node(self, graph: Any, A: str) -> str:
        """Put activate(A W + b) into the graph."""
        W, b = graph.parameters(self)
        return graph.activated(self, graph.op("Add", graph.op("MatMul", A, W), b))

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter, for inputs of e elements."""
        return {"W": ((e, self.d["u"]), self.dtype), "b": ((1, self.d["u"]), self.dtype)}

    def checked_parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """W (n, u) and b (1, u) as they stand in `p`, in the layer's dtype, refused where they do not fit."""
        return _weights(self.p, "n", self.d["u"], self.dtype)

    def _own(self, Z: np.ndarray) -> np.ndarray:
        """The activation of rows, where it is a callable that is not cgru's own."""
        return real(_bound(self.activate, self.se_hPars)(Z), "activate", Z.shape, self.dtype)

    def _checked(self, A: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]:
        """X, which of its steps are real (None: all), W and b."""
        X, steps = unpadded(floats(A, self.dtype), lengths)
        self.code  # noqa: B018 - which may be refused, as long as nothing is made
        self.make(X)
        W, b = self.checked_parameters()
        if X.shape[-1] != len(W):
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(len(W))}, the rows of W, got {X.shape}")
        return X, steps, W, b


class DensePass(LayerPass):
    """One run of a `Dense`, whose parameters and activation it reads as they are when it goes back."""

    def __init__(self, layer: Dense, steps: np.ndarray | None, **own: np.ndarray) -> None:
        super().__init__(steps, **own)
        self._layer = ref(layer)  # which holds its last pass
        self._had = layer.p, layer.activate, layer.se_hPars

    @property
    def _has(self) -> tuple[Arrays, Any, Any]:
        """The layer's parameters, activation and the parameters of that; what it had, where it is gone."""
        layer = self._layer()
        return self._had if layer is None else (layer.p, layer.activate, layer.se_hPars)

    def backward_linear(self, dZ: np.ndarray) -> np.ndarray:
        """Go back from dL/dZ, which a loss may have in place of dL/dA."""
        dZ = real(dZ, "dZ", self._own["Z"].shape, self._own["Z"].dtype)
        return self._went_back({"dZ": dZ, "dX": self._through_product(dZ)})

    def gradients(self) -> Arrays:
        """dW = X^T dZ and db (u,), dZ summed over samples and steps; RuntimeError before `backward`."""
        dZ = flat(self._gone_back()["dZ"])
        return {"dW": Linear(dZ).outputs(flat(self._own["X"]).T), "db": dZ.sum(axis=0)}

    def _back(self, dA: np.ndarray) -> Arrays:
        dZ = self._through_activation(dA)
        return {"dA": dA, "dZ": dZ, "dX": self._through_product(dZ)}

    def _through_product(self, dZ: np.ndarray) -> np.ndarray:
        X = self._own["X"]
        W, _ = _weights(self._has[0], X.shape[-1], dZ.shape[-1], X.dtype)
        return unflat(Linear(W.T).outputs(flat(dZ)), like=X)

    def _through_activation(self, dA: np.ndarray) -> np.ndarray:
        """dL/dZ: dA times the derivative, element by element or by the Jacobian of each sample."""
        Z, A, d = flat(self._own["Z"]), flat(self._own["A"]), flat(dA)
        _, *activate = self._has
        code, alpha = code_with_softmax(*activate) or (None, None)
        if code == SOFTMAX_CODE:  # its Jacobian need not be built
            return unflat(A * (d - (d * A).sum(axis=1, keepdims=True)) / A.dtype.type(alpha), like=dA)
        return unflat(through(_bound(*activate), Z, d), like=dA)


def _weights(p: Arrays, n: int | str, u: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    for name, shape in (("W", (n, u)), ("b", (1, u))):
        if name not in p:
            raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
    W = real(p["W"], ("p", "W"), (n, u), dtype)
    return W, real(p["b"], ("p", "b"), (1, W.shape[1]), dtype)


def _bound(activate: Any, se_hPars: Any) -> activations.Activation:
    """The activation as a plain `f(x, deriv=False)`."""
    return activations.bind(activations.named(activate, "activate"), se_hPars)
