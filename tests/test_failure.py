"""What is said where the compiled modules cannot be imported."""

import shutil
import subprocess
import sys

import pytest
from helpers import run_python
from house import HOUSE


def test_an_import_that_failed_is_an_import_error():
    done = run_python("import cgru", CGRU_SIMD="none")
    assert done.stderr.splitlines()[-1].startswith("ImportError: CGRU_SIMD: expected one of ")


@pytest.mark.skipif(not (HOUSE / "gru.py").is_file(), reason="the source does not lie beside the tests")
def test_a_source_tree_says_how_to_install_it(tmp_path):
    shutil.copytree(HOUSE, tmp_path / "cgru", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    done = subprocess.run([sys.executable, "-c", "import cgru"], cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: the compiled modules are missing beside ")
    assert last.endswith('install it in place with: pip install -e "."')
