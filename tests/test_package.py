"""The package as a whole: what importing it costs and brings, its public names, its files."""

import ast
import datetime
import importlib
import importlib.metadata
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import run_python

import cgru

FOLDER = Path(cgru.__file__).parent
STUBS = sorted(FOLDER.rglob("*.pyi"))


def said(path):
    """What a stub declares: (names, its node), the members of a class and their class among them."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield (node.name,), node
            for member in node.body:
                if isinstance(node, ast.ClassDef) and isinstance(member, ast.FunctionDef):
                    yield (node.name, member.name), member


def python(code):
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_version():
    assert cgru.__version__ == importlib.metadata.version("cgru")


def test_public_names_exist():
    for name in cgru.__all__:
        assert getattr(cgru, name) is not None


PUBLIC = Path(__file__).parent / "public_names.txt"  # with the promise of docs/stability.md
# The public modules besides `cgru` itself.
PUBLIC_MODULES = [
    "activations", "aeon", "cell", "datasets", "forecast", "grud_reference", "initializers", "interop", "keras",
    "layers", "losses", "many", "network", "optimizers", "parameters", "plot", "quantization", "reference", "sklearn",
    "sktime", "torch",
]  # fmt: skip


def public_names():
    """Yield each public name: those in `__all__` of the public modules, and what cell.pxd declares for Cython."""
    for module in ("", *PUBLIC_MODULES):
        path = FOLDER / module
        path = next(filter(Path.is_file, (path / "__init__.py", path.with_suffix(".pyi"), path.with_suffix(".py"))))
        (names,) = re.findall(r"^__all__ = (\[[^]]*\])", path.read_text(encoding="utf-8"), re.MULTILINE)
        yield from (".".join(filter(None, ("cgru", module, name))) for name in ast.literal_eval(names))
    declared = (FOLDER / "cell.pxd").read_text(encoding="utf-8")
    yield from (f"cimport cgru.{name}" for name in re.findall(r"^cdef .*?(\w+)\(", declared, re.MULTILINE))


def test_the_public_names_are_those_that_were_promised():
    found, promised = {*public_names()}, PUBLIC.read_text(encoding="utf-8").splitlines()
    assert sorted(found - {*promised}) == [], "new names: add each as a line to tests/public_names.txt, in order"
    gone = "names are gone: for two minor releases they must work, with a warning, as docs/stability.md promises"
    assert sorted({*promised} - found) == [], f"{gone}; then remove them from tests/public_names.txt"
    assert promised == sorted({*promised})


@pytest.mark.skipif(not (FOLDER.parent / "docs").is_dir(), reason="outside a checkout")
def test_the_promise_has_the_versions_of_python_and_numpy():
    page, project = ((FOLDER.parent / name).read_text("utf-8") for name in ("docs/stability.md", "pyproject.toml"))
    (python,) = re.findall(r'^requires-python = ">=([\d.]+)"', project, re.MULTILINE)
    (numpy,) = re.findall(r'^dependencies = \["numpy>=([\d.]+)"', project, re.MULTILINE)
    (to_build,) = re.findall(r'^requires = .*"numpy>=([\d.]+)"', project, re.MULTILINE)
    for row in (f"| Python | CPython {python} ", f"| NumPy, to run | {numpy} ", f"| NumPy, to build | {to_build} "):
        assert f"\n{row}or newer |" in page, row


@pytest.mark.skipif(not (FOLDER.parent / "docs").is_dir(), reason="outside a checkout")
def test_modules_of_the_reference_are_public():
    entries = [path.read_text(encoding="utf-8") for path in (FOLDER.parent / "docs" / "api").glob("*.md")]
    shown = {name for text in entries for name in re.findall(r"^::: cgru\.(\w+)", text, re.MULTILINE)}
    assert shown <= {*PUBLIC_MODULES, *cgru.__all__}


def test_import_needs_numpy_alone():
    loaded = python("import sys, cgru; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not {"tqdm", "matplotlib", "scipy", "torch", "pandas", "sklearn", "onnx", "epynn"} & set(loaded)


MODULES = sorted(FOLDER.rglob("*.so"))
READELF = shutil.which("readelf")


@pytest.mark.skipif(READELF is None or not MODULES, reason="without readelf, or modules in its format")
def test_modules_export_their_initialisation_alone_and_have_no_executable_stack():
    for path in MODULES:
        command = READELF, "--wide", "--segments", "--dyn-syms", path
        words = [line.split() for line in subprocess.check_output(command, text=True).splitlines()]
        (stack,) = ([word for word in line if set(word) <= set("RWE")] for line in words if line[:1] == ["GNU_STACK"])
        assert stack == ["RW"], path
        symbols = [line[7] for line in words if len(line) > 7 and line[4] in ("GLOBAL", "WEAK") and line[6] != "UND"]
        symbols = [name for name in symbols if "asan" not in name]  # a sanitizer's own
        assert symbols == [f"PyInit_{path.name.partition('.')[0]}"], path


def test_arithmetic_with_subnormal_numbers_stays_as_it_was():
    """Neither import nor calls change the processor's rounding, in this thread or in those of the pool."""
    code = """
import threading
import numpy as np

def tiny():
    found.append(float((np.full(64, 1e-38, np.float32) / np.float32(8)).max()))

found = []
tiny()
import cgru
net = cgru.Network([cgru.GRU(8, activate="identity")], dtype="float32", seed=0)
X = np.full((512, 3, 4), 1e-38, np.float32)
net.predict(X)
for name, value in net.layers[0].p.items():
    value[...] = 0.01 * (name == "Uhh")
cgru.set_num_threads(2)
h = net.predict(X)
tiny()
thread = threading.Thread(target=tiny)
thread.start()
thread.join()
print(found[0] > 0, found == [found[0]] * 3, 0 < h.min() == h.max() < 1e-38)
"""
    assert python(code) == "True True True"


def test_what_is_not_of_the_core_is_imported_with_its_first_use():
    later = {"datasets", "forecast", "interop", "many", "export", "plot", "reports"}
    code = """
import sys, cgru
def loaded():
    return {name.split('.')[1] for name in sys.modules if name.startswith('cgru.')}
first = loaded()
assert {*cgru.__all__, '__version__', '__file__'} <= set(dir(cgru))
assert loaded() == first, 'dir imports nothing'
everything = {}
exec('from cgru import *', everything)
assert set(cgru.__all__) <= everything.keys()
print(*first, '|', *loaded() - first)
"""
    first, second = (set(part.split()) for part in python(code).split("|"))
    assert not later & first
    assert later <= second
    assert cgru.fit_many is importlib.import_module("cgru.many").fit_many
    assert cgru.datasets is sys.modules["cgru.datasets"]
    with pytest.raises(AttributeError, match="module 'cgru' has no attribute 'fit_more'"):
        cgru.fit_more  # noqa: B018


def test_import_loads_few_modules():
    count = "sum(name.partition('.')[0] == 'cgru' for name in sys.modules)"
    assert int(python(f"import cgru, sys; print({count})")) <= 100


def test_typed_and_ready_to_be_read():
    assert (FOLDER / "py.typed").exists()
    compiled = {path.name.partition(".")[0] for path in FOLDER.iterdir() if path.suffix in (".so", ".pyd")}
    assert {path.stem for path in STUBS} == compiled | {"threads"}  # whose functions are public


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_docstrings_stand_in_the_module_and_types_in_the_stub(path):
    module = importlib.import_module(".".join(("cgru", *path.relative_to(FOLDER).with_suffix("").parts)))
    assert module.__doc__
    for names, node in said(path):
        assert ast.get_docstring(node) is None, names
        if names[-1].startswith("_"):
            continue
        holder, found = None, module
        for name in names:
            holder, found = found, getattr(found, name)
        first, _, text = (found.__doc__ or "").partition("\n\n")
        signature = first.partition("(")[0].split(".")[-1] == names[-1]  # which Cython puts first
        if inspect.isgetsetdescriptor(found) and not first:  # `cdef readonly`, which can have none
            text = signature = f" {names[-1]}" in holder.__doc__
        assert text if signature else first, names


@pytest.mark.parametrize("name", ["Cell", "Stream"])
def test_help_shows_how_a_class_is_called(name):
    """Stubtest compares no constructor of a compiled class, so the docstring's signature is held to the stub's."""
    shown = ast.parse(f"def {getattr(cgru, name).__doc__.splitlines()[0]}: ...").body[0].args
    due = dict(said(FOLDER / f"{name.lower()}.pyi"))[name, "__init__"].args
    assert [each.arg for each in shown.args] == [each.arg for each in due.args[1:]]
    assert [each.arg for each in shown.kwonlyargs] == [each.arg for each in due.kwonlyargs]
    for ours, theirs in ((shown.defaults, due.defaults), (shown.kw_defaults, due.kw_defaults)):
        assert list(map(ast.dump, ours)) == list(map(ast.dump, theirs))


def test_the_source_tree_says_what_to_do(tmp_path):
    """Python run inside the checkout finds the source before the installed package."""
    shutil.copytree(FOLDER, tmp_path / "cgru", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    done = subprocess.run([sys.executable, "-c", "import cgru"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install -e" in done.stderr.splitlines()[-1]


def test_a_wheel_lists_what_is_in_it():
    """PEP 770: CycloneDX in the metadata. An editable install and one by a wheel have it, a build in place has not."""
    found = [path for path in importlib.metadata.files("cgru") or () if path.match("*.dist-info/sboms/cgru.cdx.json")]
    if not found:
        pytest.skip("no wheel: cgru is built in place")
    materials = json.loads(found[0].read_text(encoding="utf-8"))
    assert (materials["bomFormat"], materials["specVersion"]) == ("CycloneDX", "1.6")
    assert materials["metadata"]["component"]["purl"] == f"pkg:pypi/cgru@{cgru.__version__}"
    needed = {each.partition(">")[0] for each in importlib.metadata.requires("cgru") if "extra" not in each}
    names = {each["name"] for each in materials["components"]}
    assert needed < names
    assert {each["bom-ref"] for each in materials["components"]} == set(materials["dependencies"][0]["dependsOn"])
    assert "timestamp" not in str(materials), "two builds make the same"


@pytest.mark.skipif(not (FOLDER.parent / "CITATION.cff").is_file(), reason="outside a checkout")
def test_the_citation_has_this_version_and_a_date():
    lines = (FOLDER.parent / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(": ", 1) for line in lines if re.match(r"[\w-]+: ", line))
    assert {"cff-version", "message", "title"} <= fields.keys()
    assert fields["version"] == cgru.__version__
    assert datetime.date.fromisoformat(fields["date-released"]) >= datetime.date(2026, 12, 3)
    assert fields["license"] == importlib.metadata.metadata("cgru")["License-Expression"]


def test_workflows_have_least_permissions():
    """Each may read the code; what deploys the pages says what more it needs, in its own job."""
    files = sorted((FOLDER.parent / ".github" / "workflows").glob("*.yml"))
    if not files:
        pytest.skip("outside a checkout")
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "\npermissions:\n  contents: read\n" in text, path
        assert text.count("actions/checkout") == text.count("persist-credentials: false"), path
        assert "pull_request_target" not in text, path
