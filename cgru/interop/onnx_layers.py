"""Nodes of a foreign ONNX graph that are layers here, and the activations of a GRU node.

Products, functions and affine maps are read here; the other nodes by the layer's own `from_node`.

Letter: n features of a step. A node depends on one array alone; its other inputs are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cgru.activations import identity, softmax
from cgru.interop.chain_builder import affine, dense, per_feature
from cgru.interop.gates import FUNCTION_OF, FUNCTIONS, Refusal, gate_options
from cgru.interop.onnx_values import Node, Unproved
from cgru.layers import KINDS, Activation, Layer

__all__ = ["LAYERS", "UNARY", "gru_options"]

NODES = {function.node: function for function in FUNCTIONS if function.own not in (identity, softmax)}
GATES = NODES | {"Affine": FUNCTION_OF[identity]}


def _matmul(node: Node) -> Layer:
    """Return a Dense layer for a MatMul node with constant weights."""
    if node.at != 0:
        raise Unproved("it multiplies from the left")
    return _product(node.constant(1), None, node)


def _gemm(node: Node) -> Layer:
    """Return a Dense layer for a Gemm node of rows (m, n)."""
    attributes = node.attributes
    if node.at != 0 or node.rank != 2 or attributes.get("transA"):
        raise Unproved("it does not take rows (m, n) as they are")
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
        raise Unproved("its alpha and beta are not 1")
    W = node.constant(1)
    return _product(W.T if attributes.get("transB") and W is not None else W, node.constant(2), node)


def _product(W: np.ndarray | None, b: np.ndarray | None, node: Node) -> Layer:
    """Return a Dense layer with weights W and bias b; Unproved if they do not fit the node."""
    if W is None or W.ndim != 2 or node.n not in (None, len(W)):
        raise Unproved(f"it multiplies {node.n} features by {None if W is None else W.shape}")
    return dense(W, b, node.inputs[1], Unproved)


def _affine(node: Node) -> Layer:
    """Return a Scale layer for x + c, x - c, c - x, x * c or x / c, c being one number or one for each feature."""
    constant = node.constant(1 - node.at)
    if node.attributes.get("broadcast") or node.attributes.get("axis") is not None:
        raise Unproved("it broadcasts as versions before 7 do")
    found = None if constant is None else per_feature(constant, node.n, node.rank)
    if found is None or constant is None or constant.dtype not in (np.float32, np.float64):
        raise Unproved("it takes no constant that is one number, or one for each feature")
    c, n = found
    if node.kind == "Div" and node.at:
        raise Unproved("it divides by what is no constant")
    with np.errstate(over="ignore", divide="ignore"):
        if node.kind == "Div" and not (np.isfinite(1 / c).all() and np.isfinite(c).all()):
            raise Unproved("it divides by zero")
    return affine(node.kind.lower(), c, node.at, n, c.dtype)


def _function(node: Node) -> Layer:
    """Return an Activation layer for a node of an elementwise function."""
    function = NODES[node.kind]
    alpha = function.checked_alpha(node.attributes.get("alpha", function.onnx), "its alpha is", Unproved)
    return Activation(function.own, alpha or None)


def _softmax(node: Node) -> Layer:
    """Return a softmax Activation layer for a Softmax node over the features.

    Versions before 13 go over all axes from `axis` on, which must then be the last.
    """
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if axis not in (-1, node.rank - 1):
        raise Unproved("it is not over the features of a step")
    return Activation(softmax)


# By kind of node: the function that makes its layer, a layer's own `from_node` or one of this module.
LAYERS: dict[str, Callable[[Node], Layer]] = {
    **{kind: layer.from_node for layer in KINDS for kind in layer.onnx_kinds},
    "MatMul": _matmul,
    "Gemm": _gemm,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _affine),
    **dict.fromkeys(NODES, _function),
    "Softmax": _softmax,
}
# Elementwise nodes: they do not care which axis the features are.
UNARY = {*NODES, *(kind for layer in KINDS if layer.stream == "elementwise" for kind in layer.onnx_kinds)}


def gru_options(attributes: Any, D: int, refuse: Refusal) -> dict[str, Any]:
    """Return the GRU arguments for the activations of a GRU node of D directions, with their alphas."""
    names = [name.decode() for name in attributes.get("activations", [])] or ["Sigmoid", "Tanh"] * D
    alphas, betas = (list(attributes.get(f"activation_{kind}", [])) for kind in ("alpha", "beta"))
    found = []
    for name in names:
        known = next((own for own in GATES if own.lower() == name.lower()), None)
        if known is None:
            raise refuse(f"its activations are some of {', '.join(GATES)} here, got {name}")
        function = GATES[known]
        # ONNX has no default for the alpha of Affine; ONNX Runtime takes 0.
        alpha = alphas.pop(0) if alphas and (function.key or known == "Affine") else function.onnx
        beta = betas.pop(0) if known == "Affine" and betas else 0.0
        if known == "Affine" and (alpha, beta) != (1.0, 0.0):
            raise refuse(f"Affine is the identity here, with alpha 1 and beta 0, got {alpha:g} and {beta:g}")
        found.append((function.own, function.checked_alpha(alpha, f"{known} has an alpha of", refuse)))
    if len(found) != 2 * D or found[:2] * D != found:
        raise refuse(f"its directions have the same two activations here, got {names}")
    return gate_options(found[1], found[0], refuse)
