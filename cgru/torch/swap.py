"""Replace the `torch.nn.GRU` and `torch.nn.GRUCell` modules of a model by those of `cgru.torch`, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from cgru.torch.modules import GRU, GRUCell, calls_here

__all__ = ["Row", "Swapped", "accelerate", "exchange", "restore", "restored"]

OURS: dict[type, type] = {nn.GRU: GRU, nn.GRUCell: GRUCell}
NAME = re.compile("GRU|Gru(?![a-z])")  # of a class that may be a GRU


class Row(NamedTuple):
    """A description of one module of a `Swapped`.

    Attributes:
        kind: its class before the swap.
        sizes: the arguments that it was made with.
        dtype: that of its weights, with their device if that is no CPU.
        calls: who runs its calls, or why it was left.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> cgru.torch.accelerate(torch.nn.GRU(3, 4)).modules[""].kind
        'GRU'
    """

    kind: str
    sizes: str
    dtype: str
    calls: str


class Swapped(NamedTuple):
    """The result of replacing a model's modules, by their names in the model; "" is the model itself.

    Printed, it is a table.

    Attributes:
        swapped: modules whose class was changed.
        left: modules that were not changed, each with the reason; a GRU in code of its own, which only the name of its
            class tells, is among them.
        modules: a `Row` for each of both.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> found = cgru.torch.accelerate(torch.nn.Sequential(torch.nn.GRU(3, 4), torch.nn.Tanh()))
        >>> found.swapped, found.left
        (['0'], {})
    """

    swapped: list[str]
    left: dict[str, str]
    modules: dict[str, Row] = {}  # noqa: RUF012 - nobody writes to it

    def __str__(self) -> str:
        """Return the modules as a table."""
        rows = [("module", *Row._fields)] if self.modules else []
        for name in self.modules or [*self.swapped, *self.left]:
            calls = f"left: {self.left[name]}" if name in self.left else "swapped"
            rows.append((name or "(the model)", *self.modules.get(name, ("", "", "", calls))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True) if n).rstrip() for row in rows]
        return "\n".join([f"{len(self.swapped)} swapped, {len(self.left)} left", *lines])

    __repr__ = __str__


def accelerate(model: nn.Module, also: Iterable[type] = ()) -> Swapped:
    """Make cgru run every `torch.nn.GRU` and `GRUCell` in a model.

    The objects stay the same and change their class: parameters, hooks, optimizers, aliases and tied weights are not
    touched. Parametrized modules and all others are left, each with the reason.

    A subclass is swapped if it is in `also`, or if it declares `runs_on_cgru = True` in its own body. Its `forward`
    then has to call `super().forward`, which runs here, and its weights have to be its parameters.

    Args:
        model: the model, which is changed in place.
        also: subclasses of `torch.nn.GRU` or `GRUCell` to be swapped, too; each class alone, not what derives from it.

    Returns:
        A `Swapped`: which modules were changed, which were left and why, and what runs their calls.

    Raises:
        TypeError: the model is no module, or `also` has something else than such subclasses; nothing is changed.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> module = torch.nn.GRU(3, 4)
        >>> output, _ = module(torch.ones(6, 2, 3))
        >>> cgru.torch.accelerate(module).swapped
        ['']
        >>> torch.allclose(module(torch.ones(6, 2, 3))[0], output, atol=1e-6)
        True
    """
    also = (also,) if isinstance(also, type) else tuple(also)
    for kind in also:
        if not (isinstance(kind, type) and issubclass(kind, tuple(OURS))):
            raise TypeError(f"also: expected subclasses of torch.nn.GRU or torch.nn.GRUCell, got {kind!r}")
    return _swap(model, partial(_accelerated, also=also))


def restore(model: nn.Module) -> Swapped:
    """Undo `accelerate` in place: every module gets its former class back.

    Args:
        model: the model, which is changed in place.

    Returns:
        A `Swapped`: which modules were changed, and which were left and why.

    Raises:
        TypeError: the model is no module; nothing is changed.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> module = torch.nn.GRU(3, 4)
        >>> found = cgru.torch.accelerate(module)
        >>> cgru.torch.restore(module).swapped, type(module) is torch.nn.GRU
        ([''], True)
    """
    return _swap(model, _restored)


@contextmanager
def restored(model: nn.Module) -> Iterator[nn.Module]:
    """Give a model's modules their own classes inside a `with` block, and those of cgru after it.

    For packages that look for the class `torch.nn.GRU` itself. Modules that were replaced inside stay so.

    Args:
        model: the model, which is changed in place.

    Returns:
        A context manager. `with restored(model) as m:` binds the same model to m.

    Raises:
        TypeError: the model is no module; nothing is changed.

    Examples:
        >>> import torch
        >>> import cgru.torch
        >>> module = torch.nn.GRU(3, 4)
        >>> found = cgru.torch.accelerate(module)
        >>> with cgru.torch.restored(module):
        ...     print(type(module) is torch.nn.GRU)
        True
        >>> type(module) is cgru.torch.GRU
        True
    """
    changed = [(module, type(module)) for module in _check(model).modules() if _is_ours(type(module))]
    restore(model)
    try:
        yield model
    finally:
        for module, kind in changed:
            if kind.__mro__[1] is type(module):
                object.__setattr__(module, "__class__", kind)


def exchange(
    modules: Iterable[tuple[str, Any]],
    choose: Callable[[Any], type | str],
    describe: Callable[[Any, type, str | None], Row],
) -> Swapped:
    """Change the class of each module to what `choose` returns; a string is the reason to leave it, "" skips it.

    `describe` makes the row of a module that was of a class before and is left for a reason, or None.
    """
    swapped, left, rows = [], {}, {}
    for name, module, due in [(name, module, choose(module)) for name, module in modules]:
        kind = type(module)
        if isinstance(due, type):
            object.__setattr__(module, "__class__", due)
            swapped.append(name)
        elif due:
            left[name] = due
        if due:
            rows[name] = describe(module, kind, left.get(name))
    return Swapped(swapped, left, rows)


def _swap(model: nn.Module, choose: Callable[[Any], type | str]) -> Swapped:
    """Change the classes of a model's modules in place; return the changes. TypeError if it is not a module."""
    return exchange(list(_check(model).named_modules()), choose, _row)


def _check(model: nn.Module) -> nn.Module:
    """Check that `model` is a torch.nn.Module, and return it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return model


def _accelerated(module: nn.Module, also: tuple[type, ...]) -> type | str:
    """Return the cgru class for a module, or the reason why there is none; "" if nothing is to be done."""
    kind = type(module)
    if not isinstance(module, tuple(OURS)):
        return _reason_of_foreign(module)
    if _is_ours(kind):
        return ""
    if is_parametrized(module) or isinstance(module, tuple(OURS.values())):
        return _reason_of_derived(module)
    if kind not in OURS and kind not in also and not vars(kind).get("runs_on_cgru"):
        return f"a subclass: also=[{kind.__name__}] swaps it, if it calls super().forward with its own parameters"
    if "forward" in vars(module):
        return "its forward was replaced on the object"
    return _class_for(kind) if _has_own_weights(module) else "its _flat_weights are not its parameters"


def _has_own_weights(module: Any) -> bool:
    """Return whether PyTorch's forward reads the same weights as the module's attributes, which cgru reads."""
    if isinstance(module, nn.RNNCellBase):
        return True
    module._update_flat_weights()  # as each call of it begins
    names = module._flat_weights_names
    return all(a is getattr(module, name, None) for a, name in zip(module._flat_weights, names, strict=True))


# --- classes over subclasses: Own(nn.GRU) becomes one with the bases (Own, cgru.torch.GRU) ---
# Python then finds our `forward` behind the methods of Own and before PyTorch's, wherever `super()` is called.


def _class_for(kind: type) -> type:
    """Return cgru's class for PyTorch's class or a subclass of it; a class for a subclass is made once."""
    if kind in OURS:
        return OURS[kind]
    for each in type.__subclasses__(kind):
        if _is_derived(each):
            return each
    body = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__, "__slots__": ()}
    parent = next(parent for parent in OURS if issubclass(kind, parent))
    return type(kind)(kind.__name__, (kind, OURS[parent]), body | {"__reduce_ex__": _reduce})


def _is_derived(kind: type) -> bool:
    """Return whether a class was made by `_class_for` from a user-defined class."""
    return vars(kind).get("__reduce_ex__") is _reduce


def _reduce(module: Any, protocol: int) -> Any:
    """Pickle or copy a module as its user-defined class does; the copy runs on cgru again."""
    kind = next(each for each in type(module).__mro__ if _is_derived(each))
    reduced = super(kind, module).__reduce_ex__(protocol)
    if not _is_derived(type(module)) or isinstance(reduced, str):
        return reduced
    own, (make, arguments, *rest) = kind.__mro__[1], reduced
    make, *arguments = (own if each is kind else each for each in (make, *arguments))
    return _rebuild, (make, *arguments), *rest


def _rebuild(make: Any, *arguments: Any) -> Any:
    """Make a module of a user-defined class, and let cgru run it."""
    module = make(*arguments)
    object.__setattr__(module, "__class__", _class_for(type(module)))
    return module


# --- what a swap decides ---


def _restored(module: nn.Module) -> type | str:
    """Return the class of a module before `accelerate`, or the reason why it is unknown; "" if it was not changed."""
    kind = type(module)
    if _is_ours(kind):
        return kind.__mro__[1]
    return _reason_of_derived(module) if isinstance(module, tuple(OURS.values())) else ""


def _reason_of_derived(module: nn.Module) -> str:
    """Return why a module that is parametrized, or derived from a class of `cgru.torch`, is left unchanged."""
    if is_parametrized(module):
        return "parametrized: its weights are computed at each call"
    return "derives from cgru.torch's class itself"


def _is_ours(kind: type) -> bool:
    """Return whether a class is one that `accelerate` gives to modules."""
    return kind in OURS.values() or _is_derived(kind)


def _reason_of_foreign(module: Any) -> str:
    """Return why a module that seems to be another library's GRU is left unchanged; "" if it is none."""
    kind, compiled = type(module), isinstance(module, torch.jit.ScriptModule)
    name = module.original_name if compiled else kind.__name__
    if not NAME.search(name) and getattr(module, "mode", None) != "GRU":
        return ""
    if any(isinstance(each, tuple(OURS)) for each in module.modules()):
        return ""  # a model around GRUs, after which it is called
    if compiled:
        return "compiled by torch.jit, which runs it without Python: accelerate the model before it is traced"
    package = kind.__module__.partition(".")[0]
    if package in ("keras", "cgru"):
        return "Keras's: cgru.keras.accelerate takes it" if name == "GRU" and package == "keras" else ""
    if kind.__module__.startswith("torch.ao."):
        return "quantized by torch.ao"
    return "a GRU in code of its own"


def _row(module: Any, kind: type, reason: str | None) -> Row:
    """Return a row that describes a module, its former class `kind`, and which calls are run by cgru."""
    base = next((base for base in OURS if isinstance(module, base)), None)
    weight = next(module.parameters(), None)
    dtype = "" if weight is None else str(weight.dtype).removeprefix("torch.")
    if weight is not None and weight.device.type != "cpu":
        dtype += f" on {weight.device}"
    name = kind.__qualname__ if kind in OURS or kind in OURS.values() else f"{kind.__module__}.{kind.__qualname__}"
    ours = isinstance(module, tuple(OURS.values()))
    calls = "PyTorch's" if reason is None else f"left: {reason}"
    if ours and not is_parametrized(module):
        calls = calls_here(module, weight)
    return Row(name, base.extra_repr(module) if base else "", dtype, calls)
