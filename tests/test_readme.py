"""What the README shows is run: its Python, in order, and its Cython, built with the command that stands below it."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import needs_compiler

README = Path(__file__).resolve().parent.parent / "README.md"
if not README.is_file():
    pytest.skip("README.md does not lie beside the tests", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
TORCH, STEPPER = ([code for code in PYTHON if f"import {name}\n" in code] for name in ("torch", "stepper"))
SKLEARN = [code for code in PYTHON if "from cgru.sklearn import" in code]
PLAIN = [code for code in PYTHON if code not in TORCH + STEPPER + SKLEARN]
pytestmark = pytest.mark.slow


def run(folder, *blocks):
    """What the blocks print, one after another in a Python of their own."""
    (folder / "shown.py").write_text("\n\n".join(blocks), encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", "shown.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_no_other_language():
    assert {language for language, _ in BLOCKS} == {"python", "cython"}
    assert len(PLAIN) > 4
    assert (len(TORCH), len(STEPPER), len(SKLEARN)) == (4, 1, 1)


def test_python(tmp_path):
    assert "'accuracy': 0.9" in run(tmp_path, *PLAIN)


@pytest.mark.skipif(find_spec("torch") is None, reason="no torch")
def test_with_torch(tmp_path):
    run(tmp_path, PLAIN[0], *TORCH)


@pytest.mark.skipif(find_spec("sklearn") is None, reason="no scikit-learn")
def test_with_scikit_learn(tmp_path):
    network = next(code for code in PLAIN if "load_japanese_vowels" in code)
    assert float(run(tmp_path, network, *SKLEARN).splitlines()[-1]) > 0.97


@needs_compiler
def test_cython(tmp_path):
    """The bits are the layer's, and the other dtype is an error, not a state that stays zero."""
    found = "import pathlib, sys\nprint(any(pathlib.Path(p, 'cgru', 'cell.pxd').is_file() for p in sys.path))"
    if "True" not in run(tmp_path, found):
        pytest.skip("cgru is installed in place, where Cython does not look for its .pxd files")
    ((source, name),) = [(code, code[2:].split()[0]) for language, code in BLOCKS if language == "cython"]
    (tmp_path / name).write_text(source)
    (command,) = re.findall(rf"^    pip install .* && (cythonize .*{name})$", TEXT, re.MULTILINE)
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=os.environ | {"PATH": scripts}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not re.search("warning|hint", done.stdout + done.stderr)
    wrong = "\ntry:\n    stepper.run(cgru.Cell(layer), frames, h)\nexcept RuntimeError as error:\n    print(error)\n"
    shown = run(tmp_path, PLAIN[0], *STEPPER, wrong).splitlines()
    assert shown == ["0.0", "step_float: cell_code 2, see cgru/cell.pxd"]
