"""Input layers: the layers before the first recurrent layer, made from a text such as "normalize+frames(8)".

A text names them in their order, joined by "+": "normalize", "difference", "frames(length)" or "frames(length, hop)",
"convolution(width, stride, channels)". "raw" has none; "auto" leaves them to `cgru.estimators.model_selection`.
m samples, s steps, e features per step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.lengths import mask
from cgru.layers.dense import Dense
from cgru.layers.difference import Difference
from cgru.layers.frames import Frames
from cgru.layers.layer import Layer
from cgru.layers.normalize import Normalize
from cgru.layers.scale import Scale
from cgru.network.data.mean_variance import mean_and_deviation
from cgru.network.data.samples import Sequences

__all__ = ["AUTO", "RAW", "build", "parse"]

AUTO, RAW = "auto", "raw"
PART = re.compile(r"(\w+)(?: *\(( *\d+ *(?:, *\d+ *)*)\))?")


def _convolution(width: int, stride: int, channels: int) -> list[Layer]:
    """Return a convolution over the steps with ReLU, as layers; it has an output for every `stride`-th step."""
    return [Frames(width, stride, ((width - 1) // 2, width // 2)), Dense(channels, "relu")]


# By name: a function that makes the layers, and how many numbers it takes.
KINDS: dict[str, tuple[Callable[..., list[Layer]], Sequence[int]]] = {
    "normalize": (lambda: [Normalize()], (0,)),
    "difference": (lambda: [Difference()], (0,)),
    "frames": (lambda *numbers: [Frames(*numbers)], (1, 2)),
    "convolution": (_convolution, (3,)),
}


def parse(text: str, name: str = "inputs", causal: bool = False) -> list[Layer]:
    """Return new input layers for a text such as "normalize+frames(8)"; TypeError or ValueError for an invalid text.

    causal: refuse layers that need the whole series.
    """
    due = f'{name}: expected "raw" or some of {", ".join(KINDS)}, such as "difference+frames(8)"'
    if not isinstance(text, str):
        raise TypeError(f"{due}, got {type(text).__name__}")
    made: list[Layer] = []
    for part in () if text.strip() == RAW else text.split("+"):
        found = PART.fullmatch(part.strip(" "))
        kind, counts = KINDS.get(found[1], (None, ())) if found else (None, ())
        numbers = [int(number) for number in found[2].split(",")] if found and found[2] else []
        if len(numbers) not in counts:
            raise ValueError(f"{due}, got {text!r}")
        made += kind(*numbers)
    if causal and any(not layer.steps.causal for layer in made):
        raise ValueError(f"{name}: expected layers that run step by step, as causal requires, got {text!r}")
    return made


def build(text: str, samples: Sequences, dtype: DTypeLike) -> list[Layer]:
    """Return the input layers for `text`, with a fixed `Scale` after layers that change the size of the values.

    It gives each feature mean 0 and deviation 1 over the samples, which the network's own standardisation does before
    these layers alone.
    """
    made = parse(text)
    end = max((i + 1 for i, layer in enumerate(made) if isinstance(layer, Normalize | Difference)), default=0)
    if not end:
        return made
    X, lengths = samples.X, samples.lengths
    real = np.ones(X.shape[:2], bool) if lengths is None else mask(lengths, X.shape[1])[:, :, 0]
    mean, deviation = mean_and_deviation(X[real])
    A = np.where(real[:, :, None], (X - mean) / deviation, 0.0)
    for layer in made[:end]:
        A = layer.run(A, lengths).A
    mean, deviation = mean_and_deviation(A[real])
    scale = Scale(1 / deviation, -mean / deviation, dtype=dtype)
    scale.trainable = False
    return [*made[:end], scale, *made[end:]]
