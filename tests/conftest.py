import importlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pairs import pairwise
from quantized_cases import narrow_levels

import cgru
from cgru.core import kernels, low_precision, plan
from cgru.core.threads import use_waits
from cgru.network.training import fit


def pytest_make_parametrize_id(val):
    """Names of cases that are the same in every run: those of options without the functions' addresses."""
    return re.sub(r" at 0x\w+", "", repr(val)) if isinstance(val, dict) else None


HERE = Path(__file__).resolve().parent
WHOLE = ("test_package.py", "test_ways.py")  # which look at what is public
# What no Python and no NumPy changes: the tree, C made of models, benchmarks, what a browser does.
ONCE = (
    "export",
    "benchmarks",
    "rivals",
    "torch_gru",
    *(f"test_{name}.py" for name in ("browser", "contributing", "house", "links", "setup")),
)
# Where arrays, dates and files of NumPy and Python are met: each function. Of what stands upon these every tenth.
FIRST = ("core", "datasets", "files", "interop")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by markers
def pytest_collection_modifyitems(items):
    """Mark the cases that are nightly, and those of the smoke set; put the files that take longest first.

    Of a function that is marked `pairwise` those cases are nightly that give no pair of values anew. The smoke set is
    each test function of FIRST once, with the first of its cases that is neither slow nor nightly, every tenth of the
    other files but for those in ONCE, and the files in WHOLE.
    """
    if changing := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"a name with an address is another one in each process: {changing[0]}")
    functions, seen = {}, Counter()
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in functions.values():
        if cases[0].get_closest_marker("pairwise"):
            chosen = pairwise([{name: id(value) for name, value in case.callspec.params.items()} for case in cases])
            for number, case in enumerate(cases):
                if number not in chosen:
                    case.add_marker("nightly")
        parts = set(cases[0].path.relative_to(HERE).parts) if cases[0].path.is_relative_to(HERE) else set()
        quick = [case for case in cases if not any(map(case.get_closest_marker, ("slow", "nightly")))]
        if cases[0].path.name in WHOLE:
            kept = quick
        elif parts & set(ONCE):
            kept = []
        else:
            kept = quick[:1] if parts & set(FIRST) or seen[cases[0].path] % 10 == 0 else []
            seen[cases[0].path] += bool(quick)
        for case in kept:
            case.add_marker("smoke")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # a worker that gets one of them last would work on alone


GENERATORS = []  # those of the tests' modules, each with its state before any test


def pytest_collection_finish(session):
    """Remember the state of each random generator that a module of tests, or of their cases, has made."""
    modules = {item.module for item in session.items}
    modules |= {module for name, module in sys.modules.items() if name.endswith("_cases")}
    found = {id(value): value for module in modules for value in vars(module).values()}
    generators = [value for value in found.values() if isinstance(value, np.random.Generator)]
    GENERATORS[:] = [(generator, generator.bit_generator.state) for generator in generators]


@pytest.hookimpl(tryfirst=True)  # before the test's fixtures
def pytest_runtest_setup():
    """Give each test the same random numbers, whichever tests ran before it."""
    for generator, state in GENERATORS:
        generator.bit_generator.state = state


@pytest.fixture(scope="session", autouse=True)
def in_a_folder():
    """Fail a test that starts Python in the checkout by default: there the source would hide the installed package."""

    def start(self, args, *rest, **options):
        bare = not options.get("cwd") and args[0] == sys.executable and {"-c", "-m"} & set(map(str, args))
        assert not bare or Path.cwd() != HERE.parent, f"{args}: expected a cwd, such as that of helpers.run_python"
        popen(self, args, *rest, **options)

    popen = subprocess.Popen.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", start)
        yield


def ends(values):
    """The first and the last; those in between are slow."""
    return [values[0], *(pytest.param(value, marks=pytest.mark.slow) for value in values[1:-1]), *values[1:][-1:]]


@pytest.fixture(params=ends(kernels.levels()))
def level(request):
    """Each instruction set that this machine has, in use for the test."""
    before = kernels.level()
    kernels.use_level(request.param)
    yield request.param
    kernels.use_level(before)


@pytest.fixture(params=ends(narrow_levels()), ids=lambda each: each[0] + ("" if each[1] else " without bytes"))
def narrow_level(request):
    """The same for weights of fewer bytes, with and without products of bytes."""
    before = kernels.level()
    kernels.use_level(request.param[0], vnni=request.param[1])
    yield low_precision.level()
    kernels.use_level(before)


@pytest.fixture
def threads():
    """Puts the number of threads back after the test."""
    before = cgru.get_num_threads()
    yield cgru.set_num_threads
    cgru.set_num_threads(before)


@pytest.fixture
def crew(threads):
    """Sets the number of threads that share columns, and how long they wait; puts all back after the test."""

    def use(n, waits=None):
        threads(n)
        plan.use_crew(n > 1)
        plan.use_unpacked_weights(False)
        use_waits(waits)

    yield use
    plan.use_crew(None)
    plan.use_unpacked_weights(None)
    use_waits(None)


@pytest.fixture
def loop(monkeypatch):
    """Makes the fits to come loops in Python, when it is called."""
    return lambda: monkeypatch.setattr(fit, "compiles", lambda model: False)


@pytest.fixture(params=["compiled", "loop"])
def engine(request, loop):
    """Both ways in which a network trains."""
    if request.param == "loop":
        loop()
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder where benchmarks/ can be imported and no cgru/ hides the installed package."""
    source = HERE.parent / "benchmarks"
    if not source.is_dir():
        pytest.skip("benchmarks/ does not lie beside the tests")
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(source, folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__", "results.*"))
    return folder


@pytest.fixture(scope="module")
def module(folder):
    """Import a module of benchmarks/ here, for what needs no process of its own."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "benchmarks"}
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.fixture(scope="module")
def run(folder):
    """Run Python in that folder."""

    def call(*arguments):
        return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)

    return call
