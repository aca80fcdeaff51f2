"""Call all members of all compiled types on objects whose `__init__` never ran: errors are fine, crashes are not."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, inspect, pkgutil
import numpy as np
import cgru

layer, found = cgru.GRU(4, rng=0), []
layer.make(np.ones((1, 1, 3)))
for module in pkgutil.walk_packages(cgru.__path__, "cgru."):
    if importlib.util.find_spec(module.name).origin.endswith((".so", ".pyd")):
        members = vars(importlib.import_module(module.name)).values()
        found += [each for each in members if isinstance(each, type) and each.__module__ == module.name]
left_out = {"__init__", "__new__", "__class__", "__init_subclass__", "__subclasshook__", "__getattribute__"}
rng = np.random.default_rng(0)


def new(kind):
    try:
        return kind.__new__(kind)
    except TypeError:  # it cannot be without its arguments
        return None


def argument():
    kind = found[rng.integers(len(found))]
    some = None, 1, True, {}, (), [], np.ones((2, 3, 3)), np.ones((2, 3)), np.ones(3), layer, np.dtype(float), new(kind)
    return some[rng.integers(len(some))]


def attempt(call, *given, **named):
    try:
        return call(*given, **named)
    except Exception:
        return None


for kind in found:
    print(kind, new(kind) is None, flush=True)
    for name in sorted({*dir(kind)} - left_out):
        print(kind, name, flush=True)
        for _ in range(20 if name[0] != "_" else 4):
            value = new(kind)
            member = attempt(getattr, value, name)
            if callable(member):
                parameters = getattr(attempt(inspect.signature, member), "parameters", {}).values()
                given = [argument() for each in parameters if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)]
                named = {each.name: argument() for each in parameters if each.kind == each.KEYWORD_ONLY}
                attempt(member, *given, **named)
                attempt(new(kind) and getattr(new(kind), name))
            else:
                attempt(setattr, value, name, argument())
                attempt(getattr, value, name)
                attempt(delattr, value, name)
                attempt(getattr, value, name)
print("survived", len(found))
"""


@pytest.mark.slow
def test_no_method_of_an_object_without_init_crashes(tmp_path):
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    last = ran.stdout.splitlines()[-1]
    assert ran.returncode == 0, f"{last}\n{ran.stderr}"
    assert last.startswith("survived")
    assert int(last.split()[1]) > 20
    assert "<class 'cgru.stream.Stream'> finish" in ran.stdout
