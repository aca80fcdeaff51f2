import pytest

from cgru.core import blocks as core
from cgru.network import blocks, samples


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of samples of few bytes, so that there are many."""
    for module in (core, blocks, samples):
        monkeypatch.setattr(module, "BLOCK", 400)
