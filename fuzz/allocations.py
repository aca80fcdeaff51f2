"""Calls of which one allocation fails, each in its turn: MemoryError, nothing leaked, nothing changed, well after."""

from __future__ import annotations

import copy
import gc
import linecache
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

import cgru
from fuzz import failing
from fuzz.layer import random_layer
from fuzz.networks import Dice, Problem, problem

PACKAGE = os.path.dirname(cgru.__file__)
TURNS = 32  # cases in which each allocation of a call fails once
REPEATS = 20  # times that the same failure leaves more blocks alive, which is noise once and a leak always
HELD = ("p", "g", "state", "layers", "history", "carried", "mean", "scale", "class_names")


@dataclass
class Call:
    """A call under test.

    Attributes:
        run: the call.
        owned: returns what is the user's, which a failure leaves as it was.
        may: what a failure may leave there instead.
        again: whether the call does the same after a failure as if there had been none.
        counts: whether blocks are counted: not where most of the call is Python, which itself leaks some.
    """

    run: Callable[[], Any]
    owned: Callable[[], Any] = lambda: None
    may: Callable[[], tuple[Any, ...]] = tuple
    again: bool = True
    counts: bool = True


CALLS: dict[str, Callable[[Dice, str], Call]] = {}  # each makes a call from draws and a folder of its own


def case(seed: int) -> Counter[str] | str:
    """Let every `TURNS`-th allocation of a call fail; return how many did, by the word that the run counts.

    The cases of so many turns let each fail; then come other networks.
    """
    if lacks := failing.lacks():
        return f"without {lacks}"
    turn, k = divmod(seed, len(CALLS))
    with tempfile.TemporaryDirectory() as folder, unraisable() as said:
        failures = drive(list(CALLS.values())[k], folder, turn // TURNS, 1 + turn % TURNS)
        assert not said, said
    return Counter({"failed allocations": failures})


def drive(make: Callable[[Dice, str], Call], folder: str, seed: int, first: int = 1, step: int = TURNS) -> int:
    """Let the allocations `first`, `first + step`, ... of a call fail; return how many there were."""
    for _ in range(2):  # the first call imports
        due = whole(make, folder, seed)
    gc.disable()
    gc.collect()
    gc.freeze()

    def left(n: int) -> tuple[int, bool]:
        """Return how many blocks are left of a call whose allocation n failed, and whether it did."""
        before = failing.alive()
        failed = attempt(make, folder, seed, n, due)
        if not counts:
            return 0, failed
        gc.collect()
        return failing.alive() - before, failed

    counts = make(Dice(seed), folder).counts
    try:
        usual = max(0, *(left(0)[0] for _ in range(3)))  # what Python itself keeps
        for n in count(first, step):
            for _ in range(REPEATS):
                blocks, failed = left(n)
                if blocks <= usual or not failed:
                    break
            else:
                raise AssertionError(f"allocation {n}: {blocks} blocks are left each time, without a failure {usual}")
            if not failed:
                return (n - first) // step
    finally:
        gc.unfreeze()
        gc.enable()


def whole(make: Callable[[Dice, str], Call], folder: str, seed: int) -> Any:
    """Return what a call gives, and leaves, without a failure."""
    made = make(Dice(seed), folder)
    return frozen(failing.call(made.run)), frozen(made.owned())


def attempt(make: Callable[[Dice, str], Call], folder: str, seed: int, n: int, due: Any) -> bool:
    """Let allocation n of a call fail, and check what it leaves; return whether there was one."""
    made = make(Dice(seed), folder)
    before = frozen(made.owned())
    try:
        result = failing.call(made.run, n)
    except Exception as error:
        if failing.allocations() < n or raised_here(error):
            raise AssertionError(f"allocation {n}") from error
    else:
        same((frozen(result), frozen(made.owned())), due, f"allocation {n}, which nobody missed")
        return failing.allocations() >= n
    left = frozen(made.owned())
    if all(left != each for each in made.may()):
        same(left, before, f"after the failure of allocation {n}")
    result = made.run()
    if made.again:
        same((frozen(result), frozen(made.owned())), due, f"after the failure of allocation {n} and another call")
    return True


def raised_here(error: BaseException) -> bool:
    """Return whether the package made another error of a MemoryError, as Python and NumPy now and then do."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    ours = file.startswith((PACKAGE, "cgru/"))
    if isinstance(error, MemoryError) or "can't allocate" in str(error):  # so says CPython of a lock
        return False
    return ours and "raise" in linecache.getline(file, line)


@contextmanager
def unraisable() -> Iterator[list[str]]:
    """Give a list of the errors that compiled functions of the package could not raise."""
    said, kept = [], sys.unraisablehook

    def hook(event: Any) -> None:
        if isinstance(event.object, str):  # the name that Cython gives
            said.append(f"{event.object}: {event.exc_value!r}")

    sys.unraisablehook = hook
    try:
        yield said
    finally:
        sys.unraisablehook = kept


def same(got: Any, due: Any, when: str, path: str = "") -> None:
    """Raise AssertionError, which names the place, where two frozen things differ."""
    if got == due:
        return
    if type(got) is type(due) is dict and got.keys() == due.keys():
        for key in got:
            same(got[key], due[key], when, f"{path}.{key}")
    if type(got) is type(due) is tuple and len(got) == len(due):
        for i, (one, other) in enumerate(zip(got, due, strict=True)):
            same(one, other, when, f"{path}[{i}]")
    raise AssertionError(f"{when}: {path} is {got!r:.500}, not {due!r:.500}")


def frozen(thing: Any) -> Any:
    """Return the numbers of arrays, layers, networks, passes and of what holds them, as something to compare."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, repr(thing.tolist()) if thing.dtype == object else thing.tobytes()
    if isinstance(thing, Mapping):
        return {key: frozen(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return tuple(map(frozen, thing))
    if isinstance(thing, cgru.Pass):
        return frozen((thing.A, thing.fc, thing.bc))
    if isinstance(thing, np.random.Generator):
        return frozen(thing.bit_generator.state)
    held = {name: frozen(getattr(thing, name)) for name in HELD if hasattr(thing, name)}
    return (
        (type(thing).__name__, held) if held else thing if isinstance(thing, int | float | str | bytes) else repr(thing)
    )


def contents(folder: str) -> dict[str, bytes]:
    """Return the bytes of each file in a folder."""
    names = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in sorted(names)}


# --- layers and their passes ---


def of_layer(run: Callable[..., Any], owned: Callable[..., Any] = lambda *each: each) -> Callable[[Dice, str], Call]:
    """Return what makes the call run(layer, X, beside, ran) of a random layer, with a pass `ran` that went back."""

    def make(dice: Dice, folder: str) -> Call:
        way = dice.among("GRU", "GRU", "Bidirectional", "GRUD")
        layer, e = random_layer(dice)
        layer.stateful = dice.chance(0.3)
        if way == "Bidirectional":
            layer = cgru.Bidirectional(layer, dice.among("concat", "mul"))
        elif way == "GRUD":
            layer = cgru.GRUD(layer.d["u"], sequences=dice.chance(), dtype=layer.dtype, rng=3)
        m, s = dice.among(1, 2, 5, 40), dice.number(1, 9)
        X = dice.normal(m, s, e).astype(layer.dtype)
        layer.make(X)
        beside = {"lengths": dice.lengths(m, s)}
        if dice.chance(0.3):
            beside |= {"resets": dice.rng.random((m, s)) < 0.3}
        elif dice.chance(0.3):
            beside |= {"decay": dice.rng.random((m, s))}
        ran = layer.run(X, **beside)
        ran.backward(dice.normal(*ran.A.shape).astype(layer.dtype))
        layer.forward(X, **beside)
        layer.backward(dice.normal(*layer.last.A.shape).astype(layer.dtype))
        layer.compute_gradients()
        layer.lrate, layer.e = [0.1], 0
        given = layer, X, beside, ran
        return Call(partial(run, *given), partial(owned, *given), again=not (layer.draws and layer.training))

    return make


def without_caches(layer: Any, X: np.ndarray, beside: Any, ran: Any) -> Any:
    """Return what a failure leaves as it was where the call was to write caches or gradients."""
    return layer.p, layer.state if hasattr(layer, "state") else None, X, beside


CALLS |= {
    "run": of_layer(lambda layer, X, beside, ran: layer.run(X, **beside)),
    "predict": of_layer(lambda layer, X, beside, ran: layer.predict(X, **beside)),
    "forward": of_layer(lambda layer, X, beside, ran: layer.forward(X, **beside)),
    "backward": of_layer(lambda layer, X, beside, ran: layer.backward(np.ones_like(layer.last.A))),
    "compute_gradients": of_layer(lambda layer, X, beside, ran: layer.compute_gradients(), without_caches),
    "update_parameters": of_layer(lambda layer, X, beside, ran: layer.update_parameters()),
    "pass.backward": of_layer(lambda layer, X, beside, ran: ran.backward(np.ones_like(ran.A)), without_caches),
    "pass.gradients": of_layer(lambda layer, X, beside, ran: ran.gradients()),
    "pass.gradients, each": of_layer(lambda layer, X, beside, ran: ran.gradients(each=True)),
}


def packing(dice: Dice, folder: str) -> Call:
    """Return the making of a `Cell` and of a `Stream`, and a step."""
    layer = cgru.GRU(dice.number(1, 70), reset_after=dice.chance(), dtype=dice.among(np.float64, np.float32), rng=1)
    m, e = dice.number(1, 5), dice.number(1, 60)
    x = dice.normal(m, e).astype(layer.dtype)
    layer.make(x[:, None])

    def run() -> Any:
        cgru.Cell(layer, batch=m)
        return cgru.Stream(layer, m).step(x).copy()

    return Call(run, lambda: (layer, x))


CALLS["Cell, Stream"] = packing


# --- networks ---


def small(dice: Dice, folder: str) -> Problem:
    """Return a problem whose network has been saved in the folder as model.npz."""
    found = problem(dice.number(0, 99))
    found.net.save(os.path.join(folder, "model.npz"))
    return found


def owned(given: Problem, folder: str) -> Any:
    """Return what a call of a network leaves as it was; some of its states may have gone on."""
    return (
        {} if given.net.stateful else given.net,
        given.net.parameters(),
        vars(given.X),
        given.y,
        given.beside,
        contents(folder),
    )


def of_network(run: Callable[[Problem, str], Any]) -> Callable[[Dice, str], Call]:
    """Return what makes the call run(problem, folder), which changes nothing."""

    def make(dice: Dice, folder: str) -> Call:
        given = small(dice, folder)
        return Call(
            partial(run, given, folder), partial(owned, given, folder), counts=False, again=not given.net.stateful
        )

    return make


def fitting(dice: Dice, folder: str) -> Call:
    """Return a fit that is compiled: a failure leaves the parameters of the start or of an epoch."""
    given = problem(dice.number(0, 99))
    for name in ("standardize", "validation", "patience", "shrink", "average", "recover"):
        given.options.pop(name, None)
    given.options["epochs"] = 2
    seen: list[Any] = []

    def owned() -> Any:
        return given.net.parameters(), vars(given.X), given.y, given.beside

    def run() -> Any:
        return given.net.fit(given.X, given.y, **given.beside, **given.options).loss

    twin = copy.deepcopy(given)
    twin.net.fit(
        twin.X, twin.y, **twin.beside, **twin.options,
        callback=lambda epoch: seen.append(frozen((twin.net.parameters(), vars(given.X), given.y, given.beside))),
    )  # fmt: skip
    return Call(run, owned, lambda: tuple(seen), again=False, counts=False)


CALLS |= {
    "Network.predict": of_network(lambda given, folder: given.net.predict(given.X)),
    "Network.evaluate": of_network(lambda given, folder: given.net.evaluate(given.X, given.y, **given.beside)),
    "Network.gradients": of_network(lambda given, folder: given.net.gradients(given.X, given.y, **given.beside)),
    "Network.save": of_network(lambda given, folder: given.net.save(os.path.join(folder, "model.npz"))),
    "load": of_network(lambda given, folder: cgru.load(os.path.join(folder, "model.npz"))),
    "Network.fit": fitting,
}
