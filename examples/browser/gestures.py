"""Strokes such as people draw, made at random, and the steps that a network takes along them.

A stroke is what a mouse, a pen or a finger reports: points (n, 2) in sides of a square, x to the right and y down. A
step is (cos, sin, 0), the direction in which the pen went on by STEP, which says nothing of place or speed. The last
step is (0, 0, 1): the pen was lifted.
"""

import math

import numpy as np

STEP = 1 / 30
NAMES = ("line", "tick", "zigzag", "triangle", "square", "star", "circle", "eight", "spiral")


def strokes(n, seed):
    """`n` strokes of each kind, and their names, in the order of NAMES again and again."""
    rng = np.random.default_rng(seed)
    names = NAMES * n
    return [stroke(name, rng) for name in names], np.array(names)


def stroke(name, rng):
    """One stroke: a shape that was turned, stretched, drawn by a hand and seen from time to time."""
    path = smoothed(evenly(SHAPES[name](rng), 240), rng.integers(1, 16))
    path = path * [1, np.exp(rng.normal(0, 0.12))] * [rng.choice([-1, 1], p=UNLIKE.get(name, (0.5, 0.5))), 1]
    turn = rng.uniform(-1, 1) * np.radians(TURNS.get(name, 180))
    path = path @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    path = (path - path.min(axis=0)) / np.ptp(path, axis=0).max()
    path += smoothed(rng.normal(0, rng.uniform(0.02, 0.12), path.shape), 30)  # the hand's wobble
    size = rng.uniform(0.3, 0.95)
    path = size * path + rng.uniform(0, 1 - size, 2)
    pace = np.cumsum(np.exp(rng.normal(0, 0.5, 8)))  # slower here, faster there
    times = np.interp(np.linspace(0, 7, rng.integers(14, 120)), np.arange(8), (pace - pace[0]) / (pace[-1] - pace[0]))
    seen = np.stack([np.interp(times, np.linspace(0, 1, len(path)), axis) for axis in path.T], axis=1)
    return np.round(seen + rng.normal(0, 0.002, seen.shape), 3)


def steps(points):
    """The steps (s, 3) of a stroke: one towards the pen whenever that is STEP or more from where the last one ended."""
    (x, y), found = points[0], []
    for to_x, to_y in points[1:]:
        while (far := math.hypot(to_x - x, to_y - y)) >= STEP:
            cos, sin = (to_x - x) / far, (to_y - y) / far
            found.append((cos, sin, 0))
            x, y = x + STEP * cos, y + STEP * sin
    return np.array([*found, (0, 0, 1)])


def evenly(path, n):
    """`n` points at like distances along a path."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    return np.stack([np.interp(np.linspace(0, along[-1], n), along, axis) for axis in path.T], axis=1)


def smoothed(path, width):
    """The path's moving average over `width` points: corners become round."""
    padded = np.pad(path, ((width // 2, (width - 1) // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(axis, np.full(width, 1 / width), mode="valid") for axis in padded.T], axis=1)


def polygon(corners, order, rng):
    """The path round the corners, each a little off: from one of them or from within a side, and a little past that."""
    corners = np.asarray(corners) + rng.normal(0, 0.07, np.shape(corners))
    path = np.roll(corners[list(order)], rng.integers(len(order)), axis=0)
    if rng.random() < 0.2:
        path = np.vstack([(path[-1] + path[0]) / 2, path])
    past = path[0] + rng.uniform(-0.05, 0.2) * (path[1] - path[0])
    return np.vstack([path, path[0] + rng.normal(0, 0.04, 2), past])


def line(rng):
    """A straight line, or nearly."""
    t = np.linspace(0, 1, 50)
    return np.stack([t, rng.normal(0, 0.15) * t * (1 - t)], axis=1)


def tick(rng):
    """Shortly down, then up."""
    down, up = np.radians(rng.uniform(30, 75)), np.radians(rng.uniform(30, 70))
    short = rng.uniform(0.25, 0.6)
    return np.array([(-short * np.cos(down), -short * np.sin(down)), (0, 0), (np.cos(up), -np.sin(up))])


def zigzag(rng):
    """Three to seven legs."""
    legs, angle = rng.integers(3, 8), np.radians(rng.uniform(35, 80))
    to = np.stack([np.full(legs, np.cos(angle)), np.sin(angle) * (-1.0) ** np.arange(legs)], axis=1)
    to *= rng.uniform(0.75, 1.25, (legs, 1))
    return np.vstack([[0, 0], np.cumsum(to, axis=0)])


def triangle(rng):
    """Any way round, as are the next two."""
    return polygon(round_the_circle(3), range(3), rng)


def square(rng):
    """A rectangle, too."""
    return polygon(round_the_circle(4) * [1, np.exp(rng.normal(0, 0.25))], range(4), rng)


def star(rng):
    """Five points in one stroke."""
    return polygon(round_the_circle(5), (0, 2, 4, 1, 3), rng)


def circle(rng):
    """Not quite closed, or drawn past its beginning."""
    t = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.uniform(0.87, 1.2), 200) * 2 * np.pi
    return np.stack([np.cos(t), np.sin(t)], axis=1) * (1 + np.linspace(0, rng.normal(0, 0.08), 200))[:, None]


def eight(rng):
    """Upright or lying, from any point of it."""
    t = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.uniform(0.93, 1.1), 200) * 2 * np.pi
    return np.stack([np.sin(t), rng.uniform(0.3, 0.7) * np.sin(2 * t)], axis=1)


def spiral(rng):
    """Two turns or more, outwards or inwards."""
    t, turns = np.linspace(0, 1, 300), rng.uniform(2, 3.5)
    r, t = rng.uniform(0.02, 0.15) + t, 2 * np.pi * turns * t
    return (np.stack([np.cos(t), np.sin(t)], axis=1) * r[:, None])[:: rng.choice([-1, 1])]


def round_the_circle(n):
    """Corners (n, 2) at like angles, whose first side lies level."""
    t = 2 * np.pi * (np.arange(n) + 0.5) / n
    return np.stack([np.sin(t), np.cos(t)], axis=1)


SHAPES = {name: globals()[name] for name in NAMES}
TURNS = {"tick": 20, "square": 20}  # up to how many degrees to either side; all others any way
UNLIKE = {"tick": (0.05, 0.95)}  # how often mirrored
