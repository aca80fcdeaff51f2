"""What the attributes of an ONNX GRU node say of its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cgru.activations import Activation, elu, identity, lrelu, sigmoid, tanh
from cgru.interop.onnx_to import ACTIVATIONS

__all__ = ["options"]

NAMED: dict[str, Activation] = {name: f for f, name in ACTIVATIONS.items()} | {"Affine": identity}
# Of the functions that take one, where none is given: ONNX names none for Affine, ONNX Runtime takes 0.
ALPHAS = {"LeakyRelu": 0.01, "Elu": 1.0, "Affine": 0.0}
KEYS = {lrelu: "LRELU_alpha", elu: "ELU_alpha"}


def options(attributes: Any, D: int, refuse: Callable[[str], Exception]) -> dict[str, Any]:
    """The activations of a node of D directions, with their alphas, as arguments of `cgru.GRU`."""
    names = [name.decode() for name in attributes.get("activations", [])] or ["Sigmoid", "Tanh"] * D
    alphas, betas = (list(attributes.get(f"activation_{kind}", [])) for kind in ("alpha", "beta"))
    found = []
    for name in names:
        known = next((own for own in NAMED if own.lower() == name.lower()), None)
        if known is None:
            raise refuse(f"its activations are some of {', '.join(NAMED)} here, got {name}")
        alpha = (alphas.pop(0) if alphas else ALPHAS[known]) if known in ALPHAS else 0.0
        beta = betas.pop(0) if known == "Affine" and betas else 0.0
        if known == "Affine" and (alpha, beta) != (1.0, 0.0):
            raise refuse(f"Affine is the identity here, with alpha 1 and beta 0, got {alpha:g} and {beta:g}")
        if known == "LeakyRelu" and alpha > 1:
            raise refuse(f"LeakyRelu has an alpha of at most 1 here, got {alpha:g}")
        found.append((NAMED[known], float(alpha)))
    if len(found) != 2 * D or found[:2] * D != found:
        raise refuse(f"its directions have the same two activations here, got {names}")
    (gates, first), (activate, second) = found[:2]
    tuned = [(KEYS[f], alpha) for f, alpha in ((gates, first), (activate, second)) if f in KEYS]
    if len(dict(tuned)) < len(set(tuned)):
        raise refuse("its two activations have the same alpha here")
    if (gates, activate) == (sigmoid, tanh):
        return {}
    found = {"activate": activate, "activate_update": gates, "activate_reset": gates}
    return found | {"se_hPars": dict(tuned) or None}
