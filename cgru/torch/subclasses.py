"""Classes over users' subclasses of `torch.nn.GRU` and `torch.nn.GRUCell`, whose `super().forward` is ours.

`Own(nn.GRU)` becomes a class with the bases (Own, cgru.torch.GRU). Python then finds our `forward` behind the methods
of Own and before PyTorch's, wherever `super()` stands. Whether that gives the same numbers is read from the methods:
from the names that their compiled code holds.
"""

from __future__ import annotations

import dis
import gc
import re
from abc import ABCMeta
from collections.abc import Iterator
from functools import cached_property, partial, partialmethod
from types import CodeType, FunctionType
from typing import Any, Generic

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

__all__ = ["OURS", "class_for", "is_derived", "reason_to_leave"]

OURS: dict[type, type] = {}  # our class for each of PyTorch's, which cgru.torch.modules adds
FLAT = re.compile(r"_parameters$|\w*flat_weight")
WEIGHTS = re.compile(rf"{FLAT.pattern}|(weight|bias)_[ih]h|_?all_weights$")
INITIALIZER = re.compile("init|reset")  # may name weights: new values in them are read by the next call
UNCALLED = ("check_input", "check_hidden_size", "check_forward_args", "get_expected_hidden_size", "permute_hidden")
MEMBERS = ("__func__", "fget", "fset", "fdel", "func")  # the functions in a method, a property or a partial
WRAPPERS = (staticmethod, classmethod, property, cached_property, partial, partialmethod)


def class_for(kind: type) -> type:
    """Return the class that runs here for PyTorch's own or a subclass of it; made once, while it is used."""
    if kind in OURS:
        return OURS[kind]
    for each in type.__subclasses__(kind):
        if is_derived(each):
            return each
    body = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__, "__slots__": ()}
    return type(kind)(kind.__name__, (kind, OURS[parent_of(kind)]), body | {"__reduce_ex__": reduce})


def parent_of(kind: type) -> type:
    """Return the class of PyTorch's, `nn.GRU` or `nn.GRUCell`, that `kind` is or derives from."""
    return next(parent for parent in OURS if issubclass(kind, parent))


def is_derived(kind: type) -> bool:
    """Return whether `class_for` made this class over a user's."""
    return vars(kind).get("__reduce_ex__") is reduce


def reduce(module: Any, protocol: int) -> Any:
    """Pickle or copy a module as its user's class does, and have the class changed again afterwards."""
    kind = next(each for each in type(module).__mro__ if is_derived(each))
    reduced = super(kind, module).__reduce_ex__(protocol)
    if not is_derived(type(module)) or isinstance(reduced, str):
        return reduced
    own, (make, arguments, *rest) = kind.__mro__[1], reduced
    make, *arguments = (own if each is kind else each for each in (make, *arguments))
    return rebuild, (make, *arguments), *rest


def rebuild(make: Any, *arguments: Any) -> Any:
    """Make a module of a user's class and have it run here, if its class still allows that."""
    module = make(*arguments)
    kind = type(module)
    if not reason_of_class(kind, parent_of(kind)):
        object.__setattr__(module, "__class__", class_for(kind))
    return module


# --- what a subclass does ---


def reason_to_leave(module: nn.Module) -> str:
    """Return why a `torch.nn.GRU` or `GRUCell`, or one of a subclass, has to stay as it is; "" if it may run here."""
    if is_parametrized(module):
        return "parametrized: its weights are computed at each call"
    if "forward" in vars(module):
        return "its forward was replaced on the object"
    reason = reason_of_class(type(module), parent_of(type(module)))
    return reason or ("" if has_own_weights(module) else "its _flat_weights are not its parameters")


def has_own_weights(module: Any) -> bool:
    """Return whether the weights that PyTorch's forward reads are the attributes of these names, which ours reads."""
    if isinstance(module, nn.RNNCellBase):
        return True
    module._update_flat_weights()  # as each call of it begins
    names = module._flat_weights_names
    return all(a is getattr(module, name, None) for a, name in zip(module._flat_weights, names, strict=True))


def reason_of_class(kind: type, parent: type) -> str:
    """Return why the modules of a subclass of `parent` have to stay as they are; "" if they may run here."""
    own = [each for each in kind.__mro__ if each not in parent.__mro__ and each is not Generic]
    if type(kind) not in (type, ABCMeta) or any("__init_subclass__" in vars(each) for each in own):
        return "its subclasses are made by code of its own"
    methods = [(each, name, value, names_of(value)) for each in own for name, value in vars(each).items()]
    helpers = {}
    for _, name, _, used in methods:
        helpers.setdefault(name, set()).update(used)
    helpers.pop("forward", None)
    for each, name, value, used in methods:
        reason = reason_of_method(name, value, used, helpers)
        if reason:
            return f"{each.__module__}.{each.__qualname__}.{name} {reason}"
    return ""


def reason_of_method(name: str, value: Any, used: set[str], helpers: dict[str, set[str]]) -> str:
    """Return what speaks against our forward in an attribute of a user's class that uses these names, or "".

    `forward` may call `super().forward` in one of its `helpers`, the other methods of the class.
    """
    if name in UNCALLED:
        return "is not called here"
    if name == "__getattribute__" or WEIGHTS.match(name):
        return "stands for weights"
    if name == "forward":
        if not isinstance(value, FunctionType):
            return "is no plain function"
        reached = set(used)
        while more := {each for helper in reached & helpers.keys() for each in helpers[helper]} - reached:
            reached |= more
        if not {"super", "forward"} <= reached:
            return "does not call super().forward"
        if {"type()", "__class__"} & reached:
            return "asks for its class, which would be another one"
    touched = FLAT if INITIALIZER.search(name) else WEIGHTS
    found = [] if name == "__init__" else sorted(filter(touched.match, used))  # what that did is seen in the module
    return f"touches {found[0]}" if found else ""


def names_of(value: Any) -> set[str]:
    """Return the names of attributes and globals, and the strings, that a class's attribute uses in its code."""
    return {name for function in functions_in(value) for name in names_in(function.__code__, function.__doc__)}


def functions_in(value: Any) -> Iterator[FunctionType]:
    """Yield the functions of a class's attribute: those of a method, a property, and under decorators."""
    found, seen = [value], set()
    while found:
        each = found.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, FunctionType):
            yield each
            found += gc.get_referents(*each.__closure__ or ())
        elif isinstance(each, WRAPPERS):
            found += [getattr(each, name, None) for name in MEMBERS]


def names_in(code: CodeType, doc: str | None) -> Iterator[str]:
    """Yield the names of attributes and globals, and the strings, of compiled code and the functions inside it.

    "type()" stands for Python's `type`, which is no attribute as that of `x.type(dtype)` is.
    """
    yield from code.co_names
    if any(each.opname == "LOAD_GLOBAL" and each.argval == "type" for each in dis.get_instructions(code)):
        yield "type()"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant, None)
        elif isinstance(constant, str) and constant != doc:
            yield constant
