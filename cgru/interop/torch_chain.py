"""A module of PyTorch's that is a chain: how its trace is made."""

from __future__ import annotations

import copy
import sys
from typing import Any

from cgru.interop.torch_gru import check_calls
from cgru.interop.torch_trace import Trace

__all__ = ["chained"]


def chained(source: Any) -> list[Any]:
    """The layers of a module; TypeError or ValueError where it is no chain of them."""
    torch = sys.modules["torch"]
    import torch.fx as fx

    name = type(source).__name__

    def refuse(why: str) -> Exception:
        return ValueError(f"source: {name} cannot be had here: {why}")

    for path, module in source.named_modules():
        check_calls(module, lambda why, path=path, module=module: refuse(f"{type(module).__name__} {path!r}: {why}"))

    class Whole(torch.nn.Module):
        """What forward takes beside x is its default here."""

        def __init__(self) -> None:
            super().__init__()
            self.model = copy.deepcopy(source).eval()

        def forward(self, x: Any) -> Any:
            return self.model(x)

    try:
        whole = Whole()
        before = _attributes(whole.model)
        graph = fx.Tracer().trace(whole)
    except Exception as error:  # whatever the module raises where it is given no tensor
        raise refuse(f"torch.fx cannot trace it: {type(error).__name__}: {error}") from None
    if changed := _changed(before, _attributes(whole.model)):
        raise refuse(f"its forward sets {changed}, so that the next call may do something else")
    return Trace(torch, source, whole, graph, refuse).chain.layers


def _attributes(model: Any) -> dict[str, Any]:
    """All that the modules of a model hold, by name."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {".".join(filter(None, (path, name, str(key)))): part for key, part in parts}
    return found


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    names = (name for name in before | after if before.get(name) is not after.get(name) or name not in before)
    return next(names, None)
