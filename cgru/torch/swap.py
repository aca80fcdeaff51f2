"""Replacing the `torch.nn.GRU` modules of a model by ours in place, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn

from cgru.torch.modules import GRU, GRUCell

__all__ = ["Swapped", "accelerate", "exchange", "restore"]

OURS = {nn.GRU: GRU}  # not GRUCell: a single step is no faster here
THEIRS = {GRU: nn.GRU, GRUCell: nn.GRUCell}


class Swapped(NamedTuple):
    """The result of a swap, by the modules' names in the model; "" is the model itself.

    swapped: modules whose class was changed. left: modules that were not changed, each with the reason.
    """

    swapped: list[str]
    left: dict[str, str]


def accelerate(model: nn.Module) -> Swapped:
    """Make every `torch.nn.GRU` of a model, or the model itself, into a `cgru.torch.GRU` in place; return what changed.

    The objects stay the same and change their class: parameters, hooks, optimizers, aliases and tied weights are not
    touched. Subclasses of others, parametrised modules among them, are left, and so is a `GRUCell`: it gains nothing.

    Raises:
        TypeError: the model is no module; nothing is changed.
    """
    return _swap(model, OURS)


def restore(model: nn.Module) -> Swapped:
    """Undo `accelerate` in place: every `cgru.torch` module becomes PyTorch's own again; return what changed."""
    return _swap(model, THEIRS)


def _swap(model: nn.Module, classes: dict[type, type]) -> Swapped:
    """Change the classes of a model's modules in place; return what changed. TypeError if it is no module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return exchange(model.named_modules(), classes, (nn.GRU, nn.GRUCell))


def exchange(modules: Iterable[tuple[str, Any]], classes: dict[type, type], family: type | tuple[type, ...]) -> Swapped:
    """Change the class of each module in place as `classes` says; list other members of `family` as left."""
    swapped, left = [], {}
    for name, module in modules:
        kind = type(module)
        if kind in classes:
            module.__class__ = classes[kind]
            swapped.append(name)
        elif isinstance(module, family) and kind not in classes.values():
            what = "a cell, whose single step gains nothing" if kind is nn.GRUCell else "a subclass"
            left[name] = f"{what}, {kind.__module__}.{kind.__qualname__}"
    return Swapped(swapped, left)
