"""The weight layouts and activation names of other libraries' GRUs, and helpers that all conversions share.

Letters: e features of a step, u units. Our parameters are those of a `Variant`: Uz, Ur, Uhh (e, u), Vz, Vr, Vhh (u, u),
bz, br, bhh (1, u) and, with the reset gate after the product, chh (1, u). Theirs are W and R, the gates of the input's
and of the state's product stacked, and one bias (3u,) for each of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru import activations
from cgru.activations import Activation, lrelu, ours, parameter
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.layers import KINDS
from cgru.network import Network, branches, chain
from cgru.variant import Variant, variant_of

__all__ = [
    "FUNCTIONS",
    "FUNCTION_OF",
    "KERAS",
    "ONNX",
    "TORCH",
    "Function",
    "GateLayout",
    "Refusal",
    "alpha_of",
    "array",
    "checked_layers",
    "dtype_of",
    "exported_parameters",
    "gate_options",
    "gru_layer",
    "overridden",
    "refusal",
    "with_parameters",
]

Arrays = dict[str, np.ndarray]
Refusal = Callable[[str], Exception]  # makes the error for a reason
ROWS = ("b", "scale", "shift")  # parameters of layers other than a GRU that are (1, n) here, (n,) elsewhere
EXPORTED = {GRU, Bidirectional, *KINDS, *branches.KINDS}
GATES = ("activate", "activate_update", "activate_reset")
DROPOUT_OPTIONS = ("dropout", "recurrent_dropout", "masks")
SHARED = (*GATES, "variant", "dtype", "trainable", "dropout", "recurrent_dropout", "zoneout", "stateful", "sequences")


@dataclass(frozen=True)
class GateLayout:
    """The order in which a library stacks its gates' weights: along rows (3u, e) if `rows`, else along columns (e, 3u).

    `flag` is the name of the option that puts the reset gate after the matrix product; None: it is always there.
    `lacks` are options that our GRU has and theirs has not.
    """

    gates: tuple[str, str, str]
    rows: bool
    flag: str | None
    lacks: tuple[str, ...]

    def variant(self, options: Mapping[str, Any], learn_h0: bool = False) -> Variant:
        """Return the variant of a GRU with these options of the library; `learn_h0`: with a learned initial state."""
        return variant_of(reset_after=self.flag is None or bool(options.get(self.flag)), learn_h0=learn_h0)

    def variant_of_layer(self, layer: Any) -> Variant:
        """Return the variant of a GRU layer of the library, read from its attributes."""
        return self.variant({} if self.flag is None else {self.flag: getattr(layer, self.flag)})

    def options(self, variant: Variant) -> dict[str, bool]:
        """Return the library's options for a GRU of this variant."""
        return {} if self.flag is None else {self.flag: self.has_two_biases(variant)}

    def has_two_biases(self, variant: Variant) -> bool:
        """Return whether the library's GRU of this variant has two biases per gate."""
        return variant.reset_after

    def to_cgru(self, W: Any, R: Any, b_x: Any, b_h: Any, variant: Variant) -> Arrays:
        """Convert the library's weights W, R and biases (3u,), None for zeros, to a dict of cgru's parameters.

        Their two biases of a gate are added if the variant has one.
        """
        zeros = np.zeros(3 * R.shape[int(self.rows)], W.dtype)
        stacked = (W, R, *(zeros if b is None else b for b in (b_x, b_h)))
        blocks = (np.split(a.T if self.rows else a, 3, axis=-1) for a in stacked)
        p = {}
        for gate, U, V, b, c in zip(self.gates, *blocks, strict=True):
            if "c" + gate not in variant.names:
                b = np.where(c == 0, b, b + c)  # keeps -0.0
            p |= {"U" + gate: U, "V" + gate: V, "b" + gate: b[None], "c" + gate: c[None]}
        return {name: np.array(p[name], order="C") for name in variant.names}

    def from_cgru(self, p: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Convert cgru's parameters to the library's W, R and two biases (3u,); a missing second bias becomes zero."""
        zero = np.zeros_like(p["bhh"])
        W, R, b_x, b_h = (np.concatenate([p.get(kind + gate, zero) for gate in self.gates], axis=1) for kind in "UVbc")
        return (*(np.ascontiguousarray(a.T) if self.rows else a for a in (W, R)), b_x[0], b_h[0])

    def checked_cell(self, layer: GRU | Bidirectional, refuse: Refusal) -> GRU:
        """Return the GRU whose options describe the whole layer; raise an error for a layer that the library lacks.

        Two directions of a `Bidirectional` that differ in more than direction are refused.
        """
        first, *rest = layer.cells
        for second in rest:
            if first.reverse or not second.reverse:
                raise refuse("its first layer is not forward and its second reverse")
            for name in SHARED:
                if getattr(first, name) != getattr(second, name):
                    raise refuse(f"its directions differ in {name}")
            for f in (first.activate, first.activate_update):
                if alpha_of(f, first.se_hPars) != alpha_of(f, second.se_hPars):
                    raise refuse("its directions differ in the alpha of an activation")
        there = self.variant(self.options(first.variant))
        if first.variant.step is not there:
            raise refuse(f"its variant is {first.variant}, the library's is {there}")
        for name in self.lacks:
            if getattr(first, name):
                raise refuse(f"it has {name}, which the library lacks; make it without")
        if ours(first.activate_update) is not ours(first.activate_reset) or ours(first.activate_update) is None:
            got = f"{first.activation['activate_update']} and {first.activation['activate_reset']}"
            raise refuse(f"expected one of cgru's own activations for both z and r, got {got}")
        if ours(first.activate) is None:
            raise refuse(f"activate is not one of cgru's own: {first.activation['activate']}")
        return first


# weight_ih (3u, e), weight_hh (3u, u), bias_ih (3u,), bias_hh (3u,)
TORCH = GateLayout(("r", "z", "hh"), True, None, (*DROPOUT_OPTIONS, "zoneout", "stateful", "learn_h0", "reverse"))
# kernel (e, 3u), recurrent (u, 3u), bias (2, 3u), or with the reset before (3u,)
KERAS = GateLayout(("z", "r", "hh"), False, "reset_after", ("masks", "zoneout", "stateful", "learn_h0"))
# for each direction W (3u, e), R (3u, u), B (6u,) = [b_x, b_h]
ONNX = GateLayout(("z", "r", "hh"), True, "linear_before_reset", ("zoneout", "stateful"))


@dataclass(frozen=True)
class Function:
    """An activation function of cgru, with its names in other libraries.

    Attributes:
        own: our function.
        name: its name in Keras, and in PyTorch except for the identity.
        node: the kind of its node in ONNX.
        key: the name of its alpha in `se_hPars`; "" if it has none.
        keras, onnx: the default alpha there.
    """

    own: Activation
    name: str
    node: str
    key: str = ""
    keras: float = 0.0
    onnx: float = 0.0

    def checked_alpha(self, alpha: Any, what: str, refuse: Refusal) -> dict[str, float]:
        """Check the library's alpha of an activation, and return it as `se_hPars`. `what` begins an error's reason."""
        if self.own is lrelu and alpha > 1:
            raise refuse(f"{what} at most 1 here, got {alpha:g}")
        return {self.key: float(alpha)} if self.key else {}

    def alpha(self, se_hPars: Mapping[str, Any] | None, refuse: Refusal) -> float:
        """Return the alpha of cgru's activation, 0 if it has none; raise an error if the library does not allow it."""
        alpha = parameter(se_hPars, self.key) if self.key else 0.0
        if self.own is lrelu and alpha > 1:
            raise refuse(f"lrelu with a slope above 1, {alpha:g}, is another function in the library")
        return alpha


FUNCTIONS = (
    Function(activations.tanh, "tanh", "Tanh"),
    Function(activations.sigmoid, "sigmoid", "Sigmoid"),
    Function(activations.relu, "relu", "Relu"),
    Function(activations.identity, "linear", "Identity"),
    Function(activations.softmax, "softmax", "Softmax"),
    Function(activations.log_softmax, "log_softmax", "LogSoftmax"),
    Function(activations.gelu, "gelu", "Gelu"),
    Function(activations.silu, "silu", "Swish"),
    Function(activations.softplus, "softplus", "Softplus"),
    Function(lrelu, "leaky_relu", "LeakyRelu", "LRELU_alpha", keras=0.2, onnx=0.01),
    Function(activations.elu, "elu", "Elu", "ELU_alpha", keras=1.0, onnx=1.0),
)
FUNCTION_OF = {function.own: function for function in FUNCTIONS}


# --- import ---


def refusal(start: str) -> Refusal:
    """Return a function that makes a ValueError from a reason; `start` begins its message."""
    return lambda why: ValueError(f"{start}: {why}")


def array(value: Any, name: str) -> np.ndarray:
    """Return a library's tensor as a NumPy array of float32 or float64; TypeError for anything else."""
    kinds = ("quantized", "sparse", "meta")
    masked = "masked" if isinstance(value, np.ma.MaskedArray) else None
    odd = next((kind for kind in kinds if getattr(value, f"is_{kind}", False) is True), masked)
    if odd is not None:
        raise TypeError(f"{name}: expected plain numbers, got a {odd} {type(value).__name__}; convert it first")
    for step in ("detach", "cpu"):
        value = getattr(value, step, lambda value=value: value)()
    dtype = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{name}: expected float32 or float64, got {dtype or type(value).__name__}; convert it first")
    return np.asarray(value)


def overridden(value: Any, but: Iterable[str] = ()) -> str | None:
    """Return the name of a method (not one in `but`) that was replaced on this object; None if none was."""
    return next((name for name in vars(value) if name not in but and callable(getattr(type(value), name, None))), None)


def gru_layer(
    directions: list[Arrays], variant: Variant, *, reverse: bool = False, merge: str = "concat", **options: Any
) -> GRU | Bidirectional:
    """Return a GRU with these parameters, or a Bidirectional for two dicts; ValueError if they do not fit."""
    e, u = directions[0]["Uz"].shape
    dtype = directions[0]["Uz"].dtype
    for p in directions:
        got = {name: p[name].shape for name in variant.names}
        if got != variant.shapes(e, u) or p["Uz"].dtype != dtype:
            due = f"{e} features and {u} units in {dtype}"
            raise ValueError(f"source: expected directions that have {due}, got {got} in {p['Uz'].dtype}")
    gru = GRU(u, dtype=dtype, reverse=reverse, **variant.options, **options)
    layer = gru if len(directions) == 1 else Bidirectional(gru, merge)
    layer.compute_shapes(np.empty((1, 1, e)))
    for half, p in zip(layer.cells, directions, strict=True):
        half.p.update(p)
    return layer


def gate_options(
    activate: tuple[Activation, dict[str, float]], gates: tuple[Activation, dict[str, float]], refuse: Refusal
) -> dict[str, Any]:
    """Return the GRU arguments for the activation of hh and that of z and r, each given as (function, alpha)."""
    (f, alphas), (g, more) = activate, gates
    if any(alphas.get(key, alpha) != alpha for key, alpha in more.items()):
        raise refuse("expected the same alpha for both activations")
    return {"activate": f, "activate_update": g, "activate_reset": g, "se_hPars": (alphas | more) or None}


# --- export ---


def checked_layers(source: Any) -> tuple[Any, ...]:
    """Return the layers of a Network, a list or a single layer; ValueError if they cannot follow one another.

    Refused are layers that may compute something else than their class: replaced methods, subclasses, and quantised
    layers.
    """
    if isinstance(source, Network):
        if type(source) is not Network or overridden(source):
            raise ValueError(f"net: expected an unmodified Network, got {overridden(source) or type(source).__name__}")
        source = source.layers
    layers = chain.chain(source if isinstance(source, list | tuple) else [source])
    within = [*chain.leaves(layers), *((f"{i}", layer) for i, layer in enumerate(layers) if layer.branches)]
    for i, layer in within:
        refuse = refusal(f"net: layer {i}, {layer!r}")
        if layer.weights:
            raise refuse("expected float weights; give the network before it was quantised")
        for part in (layer, *(() if layer.branches else layer.cells)):
            if type(part) not in EXPORTED:
                raise refuse(f"expected one of cgru's own, got {type(part).__name__}")
            if overridden(part):
                raise refuse(f"expected the methods of its class, got another {overridden(part)}")
    return layers


def with_parameters(layers: tuple[Any, ...]) -> list[Any]:
    """Return the layers that have parameters; RuntimeError if some are not made yet, ValueError if they do not fit."""
    found = [(i, layer) for i, layer in chain.leaves(layers) if layer.parameter_names]
    for i, layer in found:
        if not layer.p:
            raise RuntimeError(f"net: expected parameters, got none yet in {layer!r}: fit or predict first")
        for half in layer.cells:
            e = half.features
            for name, due in half.variant.shapes(e, half.d["u"]).items():
                if np.shape(half.p.get(name)) != due:
                    raise ValueError(f"net: layer {i}: expected {name} {due}, got {np.shape(half.p.get(name))}")
    return [layer for _, layer in found]


def dtype_of(layers: tuple[Any, ...]) -> np.dtype:
    """Return the dtype that all parameters have; ValueError if it differs, RuntimeError if some are not made yet."""
    dtypes = {layer.dtype for layer in with_parameters(layers)}
    if len(dtypes) != 1:
        raise ValueError(f"net: expected layers of one dtype, got {' and '.join(sorted(map(str, dtypes)))}")
    return dtypes.pop()


def exported_parameters(layer: Any) -> dict[str, np.ndarray]:
    """Return a layer's parameters in the shapes that other libraries use; not for GRUs."""
    return {name: layer.p[name][0] if name in ROWS else layer.p[name] for name in layer.parameter_names}


def alpha_of(f: Activation, se_hPars: Mapping[str, Any] | None) -> float:
    """Return the alpha (such as the slope of lrelu) of an activation; 0 if it has none."""
    known = FUNCTION_OF.get(ours(f))
    return parameter(se_hPars, known.key) if known is not None and known.key else 0.0
