"""The variants of the GRU: which parameters, shapes and caches each variant has.

Code that needs to know what a layer has asks its `Variant`, never the keys of a dict. Letters: e features of a step, u
units. The equations of all variants stand in cgru/reference.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

__all__ = [
    "FLAGS",
    "LAYER_NORM",
    "LEARNED",
    "NAMES",
    "RESET_AFTER",
    "RESET_BEFORE",
    "VARIANTS",
    "Variant",
    "VariantFlag",
    "by_letter",
    "named",
    "variant_of",
]


@dataclass(frozen=True)
class Variant:
    """One variant of the GRU.

    Attributes:
        name: "reset_before", "reset_after" or "layer_norm", as in files, `Cell` and errors.
        code: its index in `VARIANTS`, by which compiled code identifies it.
        names: the names of its parameters in their order.
        caches: what `forward` caches beside `X, h, hp, hh_, hh, z, z_, r, r_`, each (m, s, n) with n by `width`.
        gradients: what `backward` caches beside `dA, dh_, dh, dhn, dhh_, dz_, dr_, dX`, likewise.
        learn_h0: whether the initial state is a parameter, `h0`, the last of `names`.
    """

    name: str
    code: int
    names: tuple[str, ...]
    caches: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()
    learn_h0: bool = False

    def shapes(self, e: int, u: int) -> dict[str, tuple[int, int]]:
        """Return the shape of each parameter by name, such as (e, u) for Uz."""
        shapes = by_letter(e, u)
        return {name: shapes[name[0]] for name in self.names}

    def width(self, name: str, u: int) -> int:
        """Return n, the last dimension of a cache (m, s, n).

        3 u where the columns of z, r and hh stand side by side, 1 where a step has one number, else u.
        """
        return 3 * u if name in ("nU", "nV", "dU_", "dV_") else 1 if name in ("iU", "iV") else u

    @property
    def reset_after(self) -> bool:
        """Return whether the reset gate is applied after the matrix product."""
        return "c" in self.caches

    @property
    def layer_norm(self) -> bool:
        """Return whether the products of X and of the previous state are normalised."""
        return "nU" in self.caches

    def __getstate__(self) -> dict[str, Any]:
        """Pickle only the fields; cached values would change the stored form of a job of `fit_many`."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def biases(self) -> tuple[str, ...]:
        """Return the names of the biases of r, z and hh, and of the recurrent product's own bias if there is one."""
        return tuple(name for name in ("br", "bz", "bhh", "chh") if name in self.names)

    @cached_property
    def gradient_names(self) -> tuple[str, ...]:
        """Return the name of each parameter's gradient: `'d' + name`."""
        return tuple("d" + name for name in self.names)

    @property
    def options(self) -> dict[str, bool]:
        """Return the variant as keyword arguments of the functions in cgru/reference.py and of a layer."""
        return {flag: flag == self.name for flag in FLAGS} | {"learn_h0": self.learn_h0}

    @property
    def step(self) -> Variant:
        """Return this variant without `learn_h0`, which has no effect on a step."""
        return variant_of(**(self.options | {"learn_h0": False}))

    def __str__(self) -> str:
        return self.name


@lru_cache
def by_letter(e: int, u: int) -> dict[str, tuple[int, int]]:
    """Return the shape of a parameter by the first letter of its name. The dict is cached, so do not change it."""
    return {"U": (e, u), "V": (u, u), "b": (1, u), "c": (1, u), "g": (1, 3 * u), "h": (1, u)}


_COMMON_NAMES = ("Uz", "Vz", "bz", "Ur", "Vr", "br", "Uhh", "Vhh", "bhh")

RESET_BEFORE = Variant("reset_before", 0, _COMMON_NAMES)
RESET_AFTER = Variant("reset_after", 1, (*_COMMON_NAMES, "chh"), ("c",), ("dc",))
LAYER_NORM = Variant(
    "layer_norm",
    2,
    (*RESET_AFTER.names, "gU", "gV"),
    (*RESET_AFTER.caches, "nU", "nV", "iU", "iV"),
    (*RESET_AFTER.gradients, "dU_", "dV_"),
)
FLAGS = ("reset_after", "layer_norm", "learn_h0")  # the options that choose a variant
VARIANTS = {variant.name: variant for variant in (RESET_BEFORE, RESET_AFTER, LAYER_NORM)}
LEARNED = {name: replace(each, names=(*each.names, "h0"), learn_h0=True) for name, each in VARIANTS.items()}
NAMES = tuple(dict.fromkeys(name for variant in LEARNED.values() for name in variant.names))


def variant_of(*, reset_after: bool = False, layer_norm: bool = False, learn_h0: bool = False) -> Variant:
    """Return the variant with these flags.

    With `layer_norm` the reset gate always comes after the product.
    """
    name = "layer_norm" if layer_norm else "reset_after" if reset_after else "reset_before"
    return (LEARNED if learn_h0 else VARIANTS)[name]


def named(value: Variant | str, argument: str = "variant") -> Variant:
    """Return `value` if it is a Variant, else the variant of that name; ValueError if there is none."""
    if isinstance(value, Variant):
        return value
    if not isinstance(value, str) or value not in VARIANTS:
        raise ValueError(f"{argument}: expected one of {', '.join(VARIANTS)}, got {value!r}")
    return VARIANTS[value]


class VariantFlag:
    """A descriptor for one flag of a layer's variant. Setting the flag replaces the layer's variant."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else getattr(layer.variant, self.name)

    def __set__(self, layer: Any, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"{self.name}: expected True or False, got {type(value).__name__}")
        if value != getattr(layer.variant, self.name):
            variant = layer.variant
            kept = variant.options if self.name == "learn_h0" else {"learn_h0": variant.learn_h0}
            layer.variant = variant_of(**(kept | {self.name: value}))
