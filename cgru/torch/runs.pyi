from collections.abc import Iterable

from torch import Tensor

__all__ = ["are_plain", "are_sizes", "backward", "fits_cell", "forward", "step", "step_backward"]

def forward(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    sizes: Tensor | None,
    m: int,
    reverse: bool,
    keep: bool,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]: ...
def step(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    keep: bool = False,
) -> tuple[Tensor, Tensor | None]: ...
def step_backward(
    dstate: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, caches: Tensor, of_x: bool, of_h0: bool
) -> tuple[Tensor | None, Tensor | None, Tensor]: ...
def are_plain(tensors: Iterable[Tensor | None]) -> bool: ...
def fits_cell(x: Tensor, h0: Tensor | None, weights: list[Tensor | None], e: int, u: int) -> bool: ...
def are_sizes(sizes: Tensor, n: int) -> bool: ...
def backward(
    dA: Tensor | None,
    dstate: Tensor | None,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    sizes: Tensor | None,
    caches: Tensor,
    m: int,
    reverse: bool,
    fresh: bool,
    of_x: bool,
    of_h0: bool,
    of_weights: bool,
    decay: Tensor | None = None,
    of_decay: bool = False,
    each: bool = False,
) -> list[Tensor]: ...
