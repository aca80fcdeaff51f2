"""The nodes of a foreign ONNX graph that are layers here: products, functions, affine maps and bounds.

n elements of a step, u units. What a node is depends on one array alone, the others that it takes are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cgru.activations import elu, lrelu, relu, sigmoid, softmax, tanh
from cgru.interop.onnx_values import Node, Unproved
from cgru.interop.pieces import activation, dense, per_element, scale
from cgru.layers.clip import Clip
from cgru.layers.layer import Layer

__all__ = ["LAYERS"]

PLAIN = {"Relu": relu, "Sigmoid": sigmoid, "Tanh": tanh}
TUNED = {"LeakyRelu": (lrelu, "LRELU_alpha", 0.01), "Elu": (elu, "ELU_alpha", 1.0)}


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
    if node.kind == "Add":
        return scale(1, c, n, c.dtype)
    if node.kind == "Sub":
        return scale(-1, c, n, c.dtype) if at else scale(1, -c, n, c.dtype)
    if node.kind == "Mul":
        return scale(c, 0, n, c.dtype)
    if at:
        raise Unproved("it divides by what is no constant")
    with np.errstate(over="ignore", divide="ignore"):
        inverse = 1 / c
    if not np.isfinite(inverse).all() or not np.isfinite(c).all():
        raise Unproved("it divides by zero")
    return scale(inverse, 0, n, c.dtype)


def _function(node: Node, at: int, n: int | None, rank: int) -> Layer:
    if node.kind in PLAIN:
        return activation(PLAIN[node.kind])
    f, key, default = TUNED[node.kind]
    alpha = node.attributes.get("alpha", default)
    if f is lrelu and alpha > 1:
        raise Unproved(f"its alpha is at most 1 here, got {alpha:g}")
    return activation(f, (key, float(alpha)))


def _softmax(node: Node, at: int, n: int | None, rank: int) -> Layer:
    """Over the elements; of versions before 13 over all axes from one on, which is then the last."""
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if axis not in (-1, rank - 1):
        raise Unproved("it is not over the elements of a step")
    return activation(softmax)


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
    **dict.fromkeys((*PLAIN, *TUNED), _function),
    "Softmax": _softmax,
    "Clip": _clip,
}
