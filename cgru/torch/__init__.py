"""PyTorch's own GRU, run by these kernels: `import cgru.torch`, and nothing else of a program changes.

`GRU` and `GRUCell` are `torch.nn.GRU` and `torch.nn.GRUCell` in all that one sees of them; `accelerate(model)` makes
each GRU of a model into ours, `restore(model)` takes that back. Where a call cannot be run here (another device or
dtype, autocast, `vmap`, forward derivatives, tracing, an export to ONNX) the parent's `forward` runs it.

`torch.compile` takes them under `torch._dynamo.config.allow_rnn = True`, as it does any `torch.nn.GRU`.
"""

try:
    import torch  # noqa: F401
except ImportError:
    raise ImportError("cgru.torch: PyTorch is missing: pip install torch") from None

from cgru.torch.modules import GRU, GRUCell
from cgru.torch.swap import Swapped, accelerate, restore

__all__ = ["GRU", "GRUCell", "Swapped", "accelerate", "restore"]
