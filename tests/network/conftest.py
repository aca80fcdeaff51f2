import pytest
from file_cases import LABELS, LENGTHS, X, made

from cgru.core import blocks as core
from cgru.network import blocks, samples


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of samples of few bytes, so that there are many."""
    for module in (core, blocks, samples):
        monkeypatch.setattr(module, "BLOCK", 400)


@pytest.fixture
def model(tmp_path):
    """A fitted network and its file."""
    net = made()
    net.fit(X, LABELS, lengths=LENGTHS, epochs=2, standardize=True)
    path = tmp_path / "model.npz"
    net.save(path)
    return net, path
