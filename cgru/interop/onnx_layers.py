"""The nodes of a foreign ONNX graph that are layers here: products, functions, affine maps and bounds; and what the
attributes of a GRU node say of its activations.

n elements of a step, u units. What a node is depends on one array alone, the others that it takes are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cgru.activations import identity, softmax
from cgru.interop.gates import FUNCTIONS, Refusal, gate_options
from cgru.interop.onnx_values import Node, Unproved
from cgru.interop.pieces import affine, dense, per_element
from cgru.layers import Activation, Clip, Layer

__all__ = ["LAYERS", "gru_options"]

NODES = {function.node: function for function in FUNCTIONS if function.own not in (identity, softmax)}
GATES = NODES | {"Affine": next(function for function in FUNCTIONS if function.own is identity)}


def _constant(node: Node, place: int) -> np.ndarray | None:
    """An input that is a constant; None where it is left out."""
    name = node.input(place)
    if name and name not in node.arrays:
        raise Unproved(f"its input {name!r} is no constant")
    return node.arrays[name] if name else None


def _number(node: Node, key: str, place: int | None = None) -> float | None:
    """A number that is an attribute or, in later versions, an input."""
    value = node.attributes.get(key)
    if value is None and place is not None:
        value = _constant(node, place)
        if value is not None and np.size(value) != 1:
            raise Unproved(f"its {key} is no single number")
        value = None if value is None else np.ravel(value)[0]
    return None if value is None else float(value)


def _matmul(node: Node, at: int, n: int | None, rank: int) -> Layer:
    if at != 0:
        raise Unproved("it multiplies from the left")
    return _product(_constant(node, 1), None, node, n)


def _gemm(node: Node, at: int, n: int | None, rank: int) -> Layer:
    attributes = node.attributes
    if at != 0 or rank != 2 or attributes.get("transA"):
        raise Unproved("it does not take rows (m, n) as they are")
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
        raise Unproved("its alpha and beta are not 1")
    W = _constant(node, 1)
    return _product(W.T if attributes.get("transB") and W is not None else W, _constant(node, 2), node, n)


def _product(W: np.ndarray | None, b: np.ndarray | None, node: Node, n: int | None) -> Layer:
    if W is None or W.ndim != 2 or n not in (None, len(W)):
        raise Unproved(f"it multiplies {n} elements by {None if W is None else W.shape}")
    return dense(W, b, node.inputs[1], Unproved)


def _affine(node: Node, at: int, n: int | None, rank: int) -> Layer:
    """x + c, x - c, c - x, x * c or x / c, c being one number or one for each element."""
    constant = _constant(node, 1 - at)
    if node.attributes.get("broadcast") or node.attributes.get("axis") is not None:
        raise Unproved("it broadcasts as versions before 7 do")
    found = None if constant is None else per_element(constant, n, rank)
    if found is None or constant is None or constant.dtype not in (np.float32, np.float64):
        raise Unproved("it takes no constant that is one number, or one for each element")
    c, n = found
    if node.kind == "Div" and at:
        raise Unproved("it divides by what is no constant")
    with np.errstate(over="ignore", divide="ignore"):
        if node.kind == "Div" and not (np.isfinite(1 / c).all() and np.isfinite(c).all()):
            raise Unproved("it divides by zero")
    return affine(node.kind.lower(), c, at, n, c.dtype)


def _function(node: Node, at: int, n: int | None, rank: int) -> Layer:
    function = NODES[node.kind]
    alpha = function.tuned(node.attributes.get("alpha", function.onnx), "its alpha is", Unproved)
    return Activation(function.own, alpha or None)


def _softmax(node: Node, at: int, n: int | None, rank: int) -> Layer:
    """Over the elements; of versions before 13 over all axes from one on, which is then the last."""
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if axis not in (-1, rank - 1):
        raise Unproved("it is not over the elements of a step")
    return Activation(softmax)


def _clip(node: Node, at: int, n: int | None, rank: int) -> Layer:
    if at != 0:
        raise Unproved("its bounds are no constants")
    low, high = _number(node, "min", 1), _number(node, "max", 2)
    bounds = [None if bound is None or np.isinf(bound) else bound for bound in (low, high)]
    if low == np.inf or high == -np.inf or (low is not None and high is not None and not low <= high):
        raise Unproved(f"its bounds are {low} and {high}")
    return Clip(*bounds)


# By kind, the layer that a node is on its input `at`, whose last axis has n elements, None where that is not known.
LAYERS: dict[str, Callable[[Node, int, Any, int], Layer]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _affine),
    **dict.fromkeys(NODES, _function),
    "Softmax": _softmax,
    "Clip": _clip,
}


def gru_options(attributes: Any, D: int, refuse: Refusal) -> dict[str, Any]:
    """The activations of a node of D directions, with their alphas, as arguments of `cgru.GRU`."""
    names = [name.decode() for name in attributes.get("activations", [])] or ["Sigmoid", "Tanh"] * D
    alphas, betas = (list(attributes.get(f"activation_{kind}", [])) for kind in ("alpha", "beta"))
    found = []
    for name in names:
        known = next((own for own in GATES if own.lower() == name.lower()), None)
        if known is None:
            raise refuse(f"its activations are some of {', '.join(GATES)} here, got {name}")
        function = GATES[known]
        # Where none is given for Affine, ONNX names none, ONNX Runtime takes 0.
        alpha = alphas.pop(0) if alphas and (function.key or known == "Affine") else function.onnx
        beta = betas.pop(0) if known == "Affine" and betas else 0.0
        if known == "Affine" and (alpha, beta) != (1.0, 0.0):
            raise refuse(f"Affine is the identity here, with alpha 1 and beta 0, got {alpha:g} and {beta:g}")
        found.append((function.own, function.tuned(alpha, f"{known} has an alpha of", refuse)))
    if len(found) != 2 * D or found[:2] * D != found:
        raise refuse(f"its directions have the same two activations here, got {names}")
    return gate_options(found[1], found[0], refuse)
