"""Dense: a fully connected layer, A = activate(X W + b), with compiled products and activations.

Letters: m samples, s steps, n inputs, u units. It has the interface of EpyNN's Dense layer, which it can replace in an
EpyNN network.
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
    activation_code,
    activation_gradient,
    as_floats,
    flatten_steps,
    mask_padding,
    product_gradients,
    unflatten,
    zero_padding,
)

__all__ = ["Dense"]

Arrays = dict[str, np.ndarray]


class Dense(Layer):
    """A fully connected layer of u units, A = activate(X W + b), for inputs (m, n) or each step of (m, s, n).

    It has the interface of EpyNN's Dense layer, which it can replace, and is the usual head of a network. No call
    writes into an array that an earlier call returned or stored, except the parameters.

    Args:
        units: u, the number of units.
        activate: a callable `f(x, deriv=False)`, looked up at each call, or the name of one of cgru's. Its derivative
            has the shape of x, (m, u), or as for softmax (m, u, u): entry [i, j, k] is the derivative of output j by
            input k. Steps are passed to it as further samples.
        initialization: `f(shape, rng)` that draws W, or the name of one of cgru's.
        se_hPars: parameters of the activation: `LRELU_alpha`, `ELU_alpha` and `softmax_temperature`.
        dtype: float64 or float32; None: float64, or the dtype of the network.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        d: dimensions m, n, u, and with steps s.
        p: W (n, u) and b (1, u).
        fc: X (m, n), and Z = X W + b and A (m, u). With steps these and the shapes below have m, s in place of m. At
            padded steps X, A and all gradients are zero.
        bc: dA and dZ (m, u), dX (m, n).
        g: dW = X^T dZ (n, u) and db (u,), summed over samples and steps.
        fs: the shapes of X, of `p` and of `fc`.
        bs: the shapes in `bc`.
        activation: the name of the activation, under "activate".

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> X = np.random.default_rng(0).standard_normal((8, 5))
        >>> layer = cgru.Dense(3, "softmax", rng=0)
        >>> A = layer.forward(X)
        >>> A.shape, np.allclose(A.sum(axis=1), 1)
        ((8, 3), True)
        >>> layer.backward(A - 1).shape
        (8, 5)
        >>> layer.compute_gradients()
        >>> layer.g["dW"].shape
        (5, 3)
    """

    parameter_names = ("W", "b")
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
        activate, stored = activations.name_of(self.activate), f", weights={self.weights!r}" if self.weights else ""
        return f"Dense(units={self.d['u']}, activate={activate}, dtype={self.dtype.name}{stored})"

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: that of the input with u in place of n."""
        return *shape[:-1], self.d["u"]

    @property
    def features(self) -> int | None:
        """Return n, the number of input features; None before there are parameters."""
        return len(self.p["W"]) if np.ndim(self.p.get("W")) else None

    def initialize_parameters(self) -> None:
        """Draw W and set b to zero, in the shapes of `fs`.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        self._require_floats()
        if "W" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        W = real(self.initialization(self.fs["W"], rng=self.np_rng), "initialization", self.fs["W"])
        self.p |= {"W": np.array(W, self.dtype), "b": np.zeros(self.fs["b"], self.dtype)}

    # --- forward ---

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> DensePass:
        """Apply the layer to A; return a pass whose outputs are (m, u) for A (m, n), or (m, s, u) for A (m, s, n)."""
        X, steps, linear = self._check_inputs(A, lengths)
        Z, A = linear.both(flatten_steps(X))
        A = unflatten(self._user_activation(Z) if A is None else A, like=X)
        own = {"X": X, "Z": unflatten(Z, like=X), "A": zero_padding(A, steps)}
        if self.weights is not None:
            return LayerPass(steps, lambda *_: self.weights.refuse(self), **own)
        return DensePass(self, steps, **own)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs that `forward` would return; store nothing.

        Any number of threads may call this at once.

        Args:
            A: the input (m, n) or (m, s, n).
            lengths: (m,) how many steps of each sample are real; None: all.
        """
        X, steps, linear = self._check_inputs(A, lengths)
        A = linear.outputs(flatten_steps(X))
        return zero_padding(unflatten(A if linear.activated else self._user_activation(A), like=X), steps)

    def _run_for_forward(self, *arguments: Any) -> DensePass:
        """Return the pass for `forward`, and store the activation's name, since the user may have changed it."""
        ran = self.run(*arguments)
        self.activation["activate"] = activations.name_of(activations.named(self.activate, "activate"))
        return ran

    @property
    def code(self) -> tuple[int, float] | None:
        """Return the compiled function's (code, parameter) of the current activation; None for a user-defined one."""
        return activation_code(self.activate, self.se_hPars)

    @property
    def stage(self) -> dict[str, Any] | None:
        """Return a dict that describes this layer to the compiled training code; None if it cannot run it."""
        code = self.code
        return None if code is None else {"kind": "dense", "units": self.d["u"], "activate": code}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        return c.dense()

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add activate(A W + b), where A is the name of an array, to an ONNX graph; return the name of the result."""
        W, b = graph.parameters(self)
        return graph.activated(self, graph.op("Add", graph.op("MatMul", A, W), b))

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        return self._arrays(W=(e, self.d["u"]), b=(1, self.d["u"]))

    def linear(self, samples: int = 1) -> Linear:
        """Return the current weights, packed for the kernels.

        Args:
            samples: of the call, for several of which weights in bfloat16 are packed as float32.

        Returns:
            A `Linear` of cgru/core/linear.pyx, with the activation if that is compiled.

        Raises:
            TypeError, ValueError: the parameters do not fit.

        Examples:
            >>> layer = cgru.Dense(2, rng=0)
            >>> layer.make(np.ones((8, 5)))
            >>> layer.linear().outputs(np.ones((8, 5))).shape
            (8, 2)
        """
        return (
            Linear(*self.checked_parameters(), self.code)
            if self.weights is None
            else self.weights.packed(self, samples)
        )

    def packing(self) -> tuple[Any, ...]:
        """Return how to pack weights that are not floats for the kernels; see `cgru.quantized.stored_weights`.

        Returns:
            A function, and what it takes after `p` and the bound of the inputs.

        Raises:
            ValueError: the activation is not compiled.

        Examples:
            >>> len(cgru.Dense(2).packing())
            2
        """
        if self.code is None:
            raise ValueError("activate: expected one of cgru's own, which run compiled, got another callable")
        return _packed, self.code

    def checked_parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Return W (n, u) and b (1, u) from `p` in the layer's dtype; ValueError if they do not fit."""
        return _check_weights(self.p, "n", self.d["u"], self.dtype)

    def _user_activation(self, Z: np.ndarray) -> np.ndarray:
        """Apply a user-defined activation to the rows Z, and check the shape of its result."""
        return real(_bound_activation(self.activate, self.se_hPars)(Z), "activate", Z.shape, self.dtype)

    def _check_inputs(self, A: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray | None, Linear]:
        """Check the arguments of a run; return X, the mask of real steps (None: all), and the packed weights."""
        X, steps = mask_padding(as_floats(A, self.dtype), lengths)
        if not self.p:
            self.code  # noqa: B018  raises for an invalid activation before parameters are made
            self.make(X)
        linear = self.linear(len(X))
        if X.shape[-1] != linear.n:
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(linear.n)}, the rows of W, got {X.shape}")
        return X, steps, linear


class DensePass(LayerPass):
    """One forward pass of a `Dense`; its backward pass uses the parameters and activation of that moment."""

    def __init__(self, layer: Dense, steps: np.ndarray | None, **own: np.ndarray) -> None:
        """Store a weak reference to the layer, which `backward` reads; `LayerPass` documents the other arguments."""
        super().__init__(steps, **own)
        self._layer = ref(layer)  # weak, since the layer holds its last pass
        self._state_at_run = layer.p, layer.activate, layer.se_hPars

    @property
    def _layer_state(self) -> tuple[Arrays, Any, Any]:
        """Return the layer's current parameters, activation and `se_hPars`; if it is deleted, those of the run."""
        layer = self._layer()
        return self._state_at_run if layer is None else (layer.p, layer.activate, layer.se_hPars)

    def backward_linear(self, dZ: np.ndarray) -> np.ndarray:
        """Backpropagate dL/dZ, which some losses compute instead of dL/dA; fill `bc` and return dL/dX."""
        dZ = real(dZ, "dZ", self._arrays["Z"].shape, self._arrays["Z"].dtype)
        return self._store_backward({"dZ": dZ, "dX": self._backward_through_product(dZ)})

    def gradients(self, each: bool = False) -> Arrays:
        """Return dW = X^T dZ and db (u,) = dZ summed over samples and steps; RuntimeError before `backward`.

        With `each` return those of each sample, (m, n, u) and (m, u).
        """
        dZ = self._require_backward()["dZ"]
        if each:
            return dict(zip(("dW", "db"), product_gradients(self._arrays["X"], dZ), strict=True))
        dZ = flatten_steps(dZ)
        return {"dW": Linear(dZ).outputs(flatten_steps(self._arrays["X"]).T), "db": dZ.sum(axis=0)}

    def _compute_backward(self, dA: np.ndarray) -> Arrays:
        """Return {"dA", "dZ", "dX"} for dL/dA."""
        dZ = self._backward_through_activation(dA)
        return {"dA": dA, "dZ": dZ, "dX": self._backward_through_product(dZ)}

    def _backward_through_product(self, dZ: np.ndarray) -> np.ndarray:
        """Return dL/dX = dZ W^T."""
        X = self._arrays["X"]
        W, _ = _check_weights(self._layer_state[0], X.shape[-1], dZ.shape[-1], X.dtype)
        return unflatten(Linear(W.T).outputs(flatten_steps(dZ)), like=X)

    def _backward_through_activation(self, dA: np.ndarray) -> np.ndarray:
        """Return dL/dZ: dA times the derivative, elementwise or by each sample's Jacobian."""
        Z, A, d = flatten_steps(self._arrays["Z"]), flatten_steps(self._arrays["A"]), flatten_steps(dA)
        _, *activate = self._layer_state
        code, alpha = activation_code(*activate) or (None, None)
        if code == SOFTMAX_CODE:  # dZ = A * (dA - sum(dA * A)) / T, without the Jacobian
            return unflatten(A * (d - (d * A).sum(axis=1, keepdims=True)) / A.dtype.type(alpha), like=dA)
        return unflatten(activation_gradient(_bound_activation(*activate), Z, d), like=dA)


def _check_weights(p: Arrays, n: int | str, u: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return W (n, u) and b (1, u) from `p`; ValueError if one is missing or does not fit."""
    for name, shape in (("W", (n, u)), ("b", (1, u))):
        if name not in p:
            raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
    W = real(p["W"], ("p", "W"), (n, u), dtype)
    return W, real(p["b"], ("p", "b"), (1, W.shape[1]), dtype)


def _packed(p: Arrays, x_bound: float, code: tuple[int, float]) -> Linear:
    """Return low-precision weights packed for the kernels, for inputs up to `x_bound`."""
    return Linear(p["W"], p["b"], code, p.get("scale_W"), x_bound)


def _bound_activation(activate: Any, se_hPars: Any) -> activations.Activation:
    """Return the activation as a function g(x, deriv=False), with its parameters bound."""
    return activations.bind(activations.named(activate, "activate"), se_hPars)
