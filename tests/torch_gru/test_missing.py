"""What is said where the package that a module is for is not installed."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "package", "error"),
    [
        ("cgru.torch", "torch", "cgru.torch: PyTorch is missing: pip install torch"),
    ],
)
def test_the_package_is_named(monkeypatch, module, package, error):
    if package != "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    for name in [name for name in sys.modules if name.startswith((module, f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^{error}$"):
        importlib.import_module(module)
