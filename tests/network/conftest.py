import pytest
from file_cases import LABELS, LENGTHS, X, made

from cgru.core import row_blocks as core
from cgru.network.data import streaming, training_data


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of samples of few bytes, so that there are many."""
    for module in (core, streaming, training_data):
        monkeypatch.setattr(module, "BLOCK", 400)


@pytest.fixture
def model(tmp_path):
    """A fitted network and its file."""
    net = made()
    net.fit(X, LABELS, lengths=LENGTHS, epochs=2, standardize=True)
    path = tmp_path / "model.npz"
    net.save(path)
    return net, path
