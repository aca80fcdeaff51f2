"""The shapes that are measured: m samples, s steps, e elements per step, u unit cells."""

from __future__ import annotations

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

GROWTH_BASE = Shape(16, 25, 32, 64)
GROWTH_FROM = {"s": 16, "m": 4, "u": 16}
DOUBLINGS = 5


def growing(axis: str) -> list[Shape]:
    """The shapes along one axis, `s`, `m` or `u`, which is doubled five times."""
    return [GROWTH_BASE._replace(**{axis: GROWTH_FROM[axis] << i}) for i in range(DOUBLINGS + 1)]


def parse(text: str) -> Shape:
    """`m,s,e,u` or `m,s,e,u,ragged`; ValueError where it is neither."""
    *numbers, last = (word.strip() for word in text.split(","))
    ragged = last == "ragged"
    if not ragged:
        numbers.append(last)
    if len(numbers) != 4 or not all(number.isdecimal() and int(number) for number in numbers):
        raise ValueError(f"expected four positive integers m,s,e,u (and perhaps ,ragged), got {text!r}")
    return Shape(*map(int, numbers), ragged=ragged)
