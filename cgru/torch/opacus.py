"""Opacus, which trains with differential privacy, and `cgru.torch.GRU`: `import cgru.torch.opacus` makes them known.

Opacus then gets the gradients of each sample of these layers, also of those that `cgru.torch.accelerate` made, from the
kernels. Its hooks see the input and the gradient of the output: an hx and a loss of the last states are refused.
"""

from __future__ import annotations

from torch import Tensor, nn

try:
    from opacus.grad_sample import register_grad_sampler
except ImportError:
    raise ImportError("cgru.torch.opacus: opacus is missing: pip install opacus") from None

from cgru.torch.modules import GRU, per_sample_gradients

__all__ = ["grad_sample"]


@register_grad_sampler(GRU)
def grad_sample(layer: GRU, activations: list[Tensor], backprops: Tensor) -> dict[nn.Parameter, Tensor]:
    """Return the gradients of each sample, (m, ...), by parameter, as opacus asks a layer's grad sampler for them.

    activations: the layer's input alone, batch first as opacus hands it over. backprops: dL/d(output), likewise.
    """
    x = activations[0]
    if not len(x):  # opacus draws batches of no samples, too
        return {p: p.new_zeros((0, *p.shape)) for p in layer.parameters() if p.requires_grad}
    if not layer.batch_first:
        x, backprops = x.transpose(0, 1), backprops.transpose(0, 1)
    found = per_sample_gradients(layer, x, output_gradient=backprops)
    return {getattr(layer, name): gradient for name, gradient in found.items()}
