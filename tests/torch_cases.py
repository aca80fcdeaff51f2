"""Modules of PyTorch for tests, which have seen to it that PyTorch is there."""

import torch
from torch import nn


class Model(nn.Module):
    """Made of parts by name, whose forward is a function of it and x."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = [forward]
        for name, part in parts.items():
            if type(part) is torch.Tensor:
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.run[0](self, x)
