"""CONTRIBUTING's example of a new layer, in a copy of the package, and its tree of files."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cgru

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "CONTRIBUTING.md").is_file() or not (ROOT / "cgru" / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYER = "HardTanh"
EDITS = (  # those of the table: file, what is there, what is put before it
    ("cgru/layers/__init__.py", "from cgru.layers.layer import", f"from cgru.layers.hard_tanh import {LAYER}\n"),
    ("cgru/layers/__init__.py", '"Layer",', f'"{LAYER}", '),
    ("cgru/layers/__init__.py", "LayerNorm, Normalize, Pool, Scale,", f"{LAYER}, "),
    ("cgru/__init__.py", "    LayerNorm,\n", f"    {LAYER},\n"),
    ("cgru/__init__.py", '    "LayerNorm",\n', f'    "{LAYER}",\n'),
    ("tests/layer_cases.py", '    "clip": lambda', '    "hard tanh": lambda: cgru.HardTanh(0.3),\n'),
    ("tests/model_files.py", "cgru.Clip(-1, 1)", "cgru.HardTanh(), "),
    ("tests/public_names.txt", "cgru.History\n", "cgru.HardTanh\n"),
    ("tests/public_names.txt", "cgru.layers.KINDS\n", "cgru.layers.HardTanh\n"),
)


@pytest.mark.slow
def test_the_example_of_a_layer(tmp_path):
    modules, package = ("*.so", "*.pyd"), Path(cgru.__file__).parent
    shutil.copytree(package, tmp_path / "cgru", ignore=shutil.ignore_patterns(*modules, "__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (path for kind in modules for path in package.rglob(kind)):
        shutil.copy2(path, tmp_path / "cgru" / path.relative_to(package))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for name, code in re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
    for name, before, added in EDITS:
        assert f"| `{name}` |" in TEXT
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, (name, before)
        (tmp_path / name).write_text(text.replace(before, added + before), encoding="utf-8")
    files = ("layers/test_hard_tanh.py", "layers/test_contract.py", "test_model_files.py", "test_package.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "", *(f"tests/{name}" for name in files)]
    done = subprocess.run(
        [*command, "-k", "hard or kind_of_layer or promised"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 10


def test_the_tree_has_a_line_about_each_file():
    tree = runpy.run_path(str(ROOT / "docs" / "tree.py"))["tree"]
    lines = tree().splitlines()
    assert len(lines) > 15
    for folder in sorted({path.parent for path in (ROOT / "cgru").rglob("*.py")}):
        lines += tree(folder.relative_to(ROOT)).splitlines()
    assert [line for line in lines if not re.match(r" *[\w.]+/? +\S", line)] == []


def test_the_page_is_short():
    assert len(TEXT.encode()) <= 20_000
