"""The package as a whole: what importing it costs and brings, its public names, its files."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import run_python

import cgru


def python(code):
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_version():
    assert cgru.__version__ == importlib.metadata.version("cgru")


def test_public_names_exist():
    for name in cgru.__all__:
        assert getattr(cgru, name) is not None


def test_import_needs_numpy_alone():
    loaded = python("import sys, cgru; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not {"tqdm", "matplotlib", "scipy", "torch", "pandas", "sklearn", "onnx", "epynn"} & set(loaded)


def test_import_is_quick():
    """Under 100 ms above NumPy's own import; the least of five, since others use the machine too."""
    code = "import time, numpy; t = time.perf_counter(); import cgru; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.1


def test_typed_and_ready_to_be_read():
    folder = Path(cgru.__file__).parent
    assert (folder / "py.typed").exists()
    compiled = [path for path in folder.rglob("*") if path.suffix in (".so", ".pyd")]
    assert compiled
    for path in compiled:
        assert (path.parent / f"{path.name.partition('.')[0]}.pyi").exists(), path


def test_the_source_tree_says_what_to_do(tmp_path):
    """Python run inside the checkout finds the source before the installed package."""
    folder = Path(cgru.__file__).parent
    shutil.copytree(folder, tmp_path / "cgru", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    done = subprocess.run([sys.executable, "-c", "import cgru"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install -e" in done.stderr.splitlines()[-1]
