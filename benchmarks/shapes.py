"""The shapes that are measured: m samples, s steps, e features per step, u unit cells."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Shape(NamedTuple):
    """One shape; `ragged`: each sample has a length of its own. m = s = 1 stands for one step of a stream."""

    m: int
    s: int
    e: int
    u: int
    ragged: bool = False

    def __str__(self) -> str:
        return ", ".join(map(str, self[:4])) + (", ragged" if self.ragged else "")

    @property
    def works(self) -> tuple[str, ...]:
        """What is measured at this shape."""
        return ("step",) if self.m == self.s == 1 else ("inference", "training")

    @property
    def flop(self) -> float:
        """2 m s 3u (e + u), of a forward pass in which all steps are real.

        One step of several samples has no state before it, and so no products with V; one of a stream has.
        """
        return 2.0 * self.m * self.s * 3 * self.u * (self.e + (0 if self.s == 1 < self.m else self.u))


GRID = [
    Shape(1, 50, 4, 8),
    Shape(1, 100, 16, 32),
    Shape(32, 20, 8, 16),
    Shape(32, 100, 32, 64),
    Shape(64, 100, 128, 128),
    Shape(16, 100, 256, 256),
    Shape(64, 100, 256, 512),
    Shape(256, 30, 512, 1024),
    Shape(7, 33, 17, 31),  # odd and prime sizes
    Shape(33, 50, 13, 61),
    Shape(19, 29, 127, 131),
    Shape(50, 150, 3, 5),
    Shape(16, 64, 24, 40),
    Shape(
        1, 300, 512, 128
    ),  # from here few rows and wide layers: one long sequence, a denoiser's first layer, one step
    Shape(1, 300, 256, 256),
    Shape(2, 200, 128, 256),
    Shape(1, 400, 161, 400),
    Shape(3, 100, 512, 96),
    Shape(100, 1, 2, 339),
    Shape(32, 100, 32, 64, ragged=True),
    Shape(64, 100, 128, 128, ragged=True),
    Shape(1, 1, 8, 16),
    Shape(1, 1, 16, 32),
    Shape(1, 1, 32, 64),
    Shape(1, 1, 32, 128),
    Shape(1, 1, 64, 256),
]
QUICK = [Shape(1, 50, 4, 8), Shape(32, 100, 32, 64), Shape(7, 33, 17, 31, ragged=True), Shape(1, 1, 16, 32)]
MEMORY = [Shape(64, 100, 128, 128), Shape(64, 100, 256, 512), Shape(256, 30, 512, 1024)]

MOST = (256, 512, 512, 512)  # of m, s, e, u where they are drawn
FLOP = (1e5, 3e9)  # forward: a shorter call is mostly the call, a longer one takes minutes with every rival

GROWTH_BASE = Shape(16, 25, 32, 64)
GROWTH_FROM = {"s": 16, "m": 4, "u": 16}
DOUBLINGS = 5


def growing(axis: str) -> list[Shape]:
    """The shapes along one axis, `s`, `m` or `u`, which is doubled five times."""
    return [GROWTH_BASE._replace(**{axis: GROWTH_FROM[axis] << i}) for i in range(DOUBLINGS + 1)]


def drawn(n: int, seed: int) -> list[Shape]:
    """n shapes, log-uniform in m, s, e and u, within the bounds of work, no single step; the same for the same seed."""
    rng, found = Random(seed), []
    while len(found) < n:
        shape = Shape(*(int((most + 1) ** rng.random()) for most in MOST))
        if FLOP[0] <= shape.flop <= FLOP[1] and "step" not in shape.works:
            found.append(shape)
    return found


def parse(text: str) -> Shape:
    """`m,s,e,u` or `m,s,e,u,ragged`; ValueError where it is neither."""
    *numbers, last = (word.strip() for word in text.split(","))
    ragged = last == "ragged"
    if not ragged:
        numbers.append(last)
    if len(numbers) != 4 or not all(number.isdecimal() and int(number) for number in numbers):
        raise ValueError(f"expected four positive integers m,s,e,u (and perhaps ,ragged), got {text!r}")
    return Shape(*map(int, numbers), ragged=ragged)
