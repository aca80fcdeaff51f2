"""PyTorch's own GRU, run by cgru: a program needs `import cgru.torch` and one call, and no other change.

`GRU` and `GRUCell` behave as `torch.nn.GRU` and `torch.nn.GRUCell`. `accelerate(model)` makes each GRU and each cell of
a model ours; `restore(model)` undoes that, `restored(model)` for a `with` block. A call that cannot run here is run by
the parent's `forward`: on another device or dtype, under autocast, forward derivatives or `torch.func.grad` alone, in
tracing, or in an export to ONNX.

`GRU(...)(x, hx, resets=...)` resets the states where episodes begin, and with `decay=` they fade. The parent has
neither.

Under `torch.func.vmap`, which refuses the parent, a `GRU` runs here: `vmap(grad(...))` gives gradients of each sample.
`per_sample_gradients` gives those of one module, which opacus finds by itself.

`torch.compile` takes them under `torch._dynamo.config.allow_rnn = True`, as it does any `torch.nn.GRU`.
"""

try:
    import torch  # noqa: F401
except ImportError:
    raise ImportError("cgru.torch: PyTorch is missing: pip install torch") from None

from cgru.torch.modules import GRU, GRUCell, per_sample_gradients
from cgru.torch.swap import Row, Swapped, accelerate, restore, restored

__all__ = ["GRU", "GRUCell", "Row", "Swapped", "accelerate", "per_sample_gradients", "restore", "restored"]
