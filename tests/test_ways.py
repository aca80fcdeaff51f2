"""The way of an array, and of a request: which functions get it, and which of their calls climb.

A call climbs where it leads into a module that imports the caller's: a function has got an object from above, and asks
it. Compiled functions are not seen.
"""

import ast
import sys
from inspect import CO_VARARGS, CO_VARKEYWORDS
from pathlib import Path

import numpy as np
import pytest
from house import HOUSE, IMPORTS, name_of, reached

import cgru
from cgru.cli.command import main

if not (HOUSE / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

PACKAGE = Path(cgru.__file__).parent  # which may be an installed one


def arguments(frame):
    """Return the arguments of a call that begins, those of *args and **kwargs one by one."""
    code = frame.f_code
    rest = bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + rest]
    found = []
    for name in names:
        value = frame.f_locals.get(name)
        found += value if isinstance(value, tuple) else value.values() if type(value) is dict else [value]
    return found


def function(frame):
    """Return module and name of a frame's function; None outside the package."""
    path = Path(frame.f_code.co_filename)
    if PACKAGE not in path.parents:
        return None
    return name_of(path, PACKAGE), getattr(frame.f_code, "co_qualname", frame.f_code.co_name)  # Python 3.10 has no such


def followed(call, wanted):
    """Return the functions that get what is wanted, what each gets besides, and the calls that these make.

    Calls through functions of other packages, and from a comprehension, are those of the function around them.
    """
    way, calls, frames = {}, [], {}

    def look(frame, event, _):
        if event != "call" or id(frame) in frames or (here := function(frame)) is None:
            return
        caller = frame.f_back
        while caller and (function(caller) is None or caller.f_code.co_name.startswith("<")):
            caller = caller.f_back
        if caller and frames.get(id(caller)) is caller:
            calls.append((function(caller), here))
        if any(map(wanted, arguments(frame))):
            frames[id(frame)] = frame  # kept, so that no other one gets its number
            code = frame.f_code
            way.setdefault(here, {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]} - {"self", "cls"})

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(before)
    return way, list(dict.fromkeys(calls))


def climbs(calls):
    """Return the calls that lead into a module that imports the caller's, itself or by others."""
    return [f"{'.'.join(a)} -> {'.'.join(b)}" for a, b in calls if a[0] in reached(b[0], IMPORTS)]


# --- the ways ---


@pytest.fixture
def samples():
    return np.random.default_rng(0).standard_normal((12, 5, 3)), np.arange(12) % 3


def network():
    return cgru.Network([cgru.GRU(4, sequences=True), cgru.GRU(4), cgru.Dense(3, "softmax")], seed=0)


def test_X_through_forward(samples):
    X, _ = samples
    layer = cgru.GRU(4, rng=0)
    layer.forward(X)  # which makes the parameters
    way, calls = followed(lambda: layer.forward(X), lambda value: value is X)
    assert [*way][:2] == [("cgru.gru", "GRU.forward"), ("cgru.gru", "GRU._check_inputs")] or sys.version_info < (3, 11)
    assert climbs(calls) == []


CLIMBS, FUNCTIONS, CARRIED = 1, 11, 10  # in a fit, at most
STEP_ARRAYS = {"resets": 22, "decay": 38}  # signatures that have such a parameter, at most


def test_X_through_a_fit(samples):
    """The functions that get X itself or `Sequences` of it, no `Data`, and the names of all that they get besides."""
    X, y = cgru.Sequences(samples[0]), samples[1]
    net = network()
    way, calls = followed(lambda: net.fit(X, y, epochs=2, validation=0.25), lambda value: value is X or value is X.X)
    assert len(found := climbs(calls)) <= CLIMBS, found
    way = {here: names for here, names in way.items() if here[1] not in ("Network.fit", "fit")}  # which has all options
    assert 5 < len(way) <= FUNCTIONS, len(way)
    carried = set().union(*way.values()) - {"X", "name"}
    assert len(carried) <= CARRIED, sorted(carried)


def test_what_belongs_to_X_is_in_sequences():
    found = {name: [] for name in STEP_ARRAYS}
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for name in found.keys() & {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}:
                    found[name].append((path.name, node.lineno))
    for name, most in STEP_ARRAYS.items():
        assert 10 < len(found[name]) <= most, found[name]


def test_a_request_through_the_command(samples, tmp_path, capsys):
    """The path, and the request that it becomes part of."""
    path, model = str(tmp_path / "data.npz"), str(tmp_path / "model.npz")
    np.savez(path, X=samples[0], y=samples[1])
    arguments = ["fit", path, "--epochs", "2", "--validation", "0.25", "--quiet", "-o", model]

    def wanted(value):
        return value is path or type(value).__module__ == "cgru.cli.arguments"

    way, calls = followed(lambda: main(arguments), wanted)
    assert Path(model).is_file()
    assert ("cgru.cli.fit_command", "_train") in way
    assert climbs(calls) == []
