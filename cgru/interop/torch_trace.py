"""The trace of a PyTorch module by `torch.fx`."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from typing import Any

from cgru.interop.gates import Refusal

__all__ = ["line_of", "traced_graph"]

VARIABLE = inspect.Parameter.VAR_POSITIONAL
FRAME = re.compile(r'File "(.+)", line (\d+)')


def traced_graph(source: Any, refuse: Refusal) -> tuple[Any, Any, list[str]]:
    """Return (a copy of the module in `eval` inside another one, its graph, the names of its inputs).

    The inputs are those of `forward` that have no default.
    """
    import torch
    from torch import fx
    from torch.nn.utils import rnn

    names = []
    for name, parameter in inspect.signature(source.forward).parameters.items():
        if parameter.default is not parameter.empty or parameter.kind in (parameter.VAR_KEYWORD, VARIABLE):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise refuse(f"expected inputs that are given by their place, got {name} by its name alone")
        names.append(name)
    names = names or ["x"]  # of forward(*inputs)
    if len(names) not in CALLS:
        raise refuse(f"expected x, and beside it at most lengths and initial states, got {', '.join(names)}")

    class Whole(torch.nn.Module):
        """The module in `eval`, called with its inputs and the defaults of its other arguments."""

        forward = CALLS[len(names)]

        def __init__(self) -> None:
            """Copy the module, in `eval`."""
            super().__init__()
            self.model = copy.deepcopy(source).eval()

    class Tracer(fx.Tracer):
        record_stack_traces = True

    try:
        whole = Whole()
        before = _attributes(whole.model)
        with _makers_traced(torch):
            graph = Tracer(autowrap_modules=(rnn,)).trace(whole)
    except Exception as error:  # whatever the module raises on a tracing proxy
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        raise refuse(f"torch.fx cannot trace it{_place(frames)}: {type(error).__name__}: {error}") from None
    after = _attributes(whole.model)
    for name in before | after:
        if name not in before or before[name] is not after.get(name):
            raise refuse(f"its forward sets {name}, so that the next call may do something else")
    return whole, graph, names


CALLS = {  # by number of inputs; torch.fx reads the names of the arguments
    1: lambda self, x: self.model(x),
    2: lambda self, x, second: self.model(x, second),
    3: lambda self, x, second, third: self.model(x, second, third),
}


@contextlib.contextmanager
def _makers_traced(torch: Any) -> Iterator[None]:
    """Record functions that make arrays of sizes of x, which PyTorch refuses where a size of x comes first."""

    def recorded(made: Any, function: Any) -> Any:
        def maker(*arguments: Any, **options: Any) -> Any:
            leaves = [leaf for each in arguments for leaf in (each if isinstance(each, tuple | list) else (each,))]
            proxy = next((leaf for leaf in leaves if isinstance(leaf, torch.fx.Proxy)), None)
            if proxy is None:
                return function(*arguments, **options)
            return proxy.tracer.create_proxy("call_function", made, arguments, options)

        return maker

    old = {name: getattr(torch, name) for name in ("zeros", "ones", "empty", "full", "rand", "randn")}
    variable, new = torch.autograd.Variable, torch.Tensor.new
    try:
        for name, function in old.items():
            setattr(torch, name, recorded(function, function))
        # The numbers of `tensor.new(sizes)` are not set; `Variable(array)` is the array.
        torch.Tensor.new = lambda tensor, *sizes: recorded(old["empty"], partial(new, tensor))(*sizes)
        torch.autograd.Variable = lambda data, **options: (
            data if isinstance(data, torch.fx.Proxy) else variable(data, **options)
        )
        yield
    finally:
        for name, function in old.items():
            setattr(torch, name, function)
        torch.autograd.Variable = variable
        if "new" in vars(torch.Tensor):
            del torch.Tensor.new


def _attributes(model: Any) -> dict[str, Any]:
    """Return all attributes of the modules of a model, by name."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {".".join(filter(None, (path, name, str(key)))): part for key, part in parts}
    return found


def line_of(node: Any) -> str:
    """Return " (file:line)", where the user's code makes a node; "" where only PyTorch's own does."""
    return _place(FRAME.findall(node.stack_trace or ""))


def _place(frames: list[tuple[str, Any]]) -> str:
    """Return " (file:line)" of the innermost of these frames that is neither PyTorch's nor of this package."""
    own = [os.path.dirname(sys.modules[name].__file__ or "") + os.sep for name in ("torch", "cgru")]
    found = [f" ({path}:{line})" for path, line in frames if not path.startswith((*own, "<"))]
    return found[-1] if found else ""
