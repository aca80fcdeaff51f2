"""Fixtures of the tests of `cgru.torch`."""

import pytest


@pytest.fixture
def torch_threads():
    """Set PyTorch's threads, which ours are; as they were after the test."""
    torch = pytest.importorskip("torch", reason="no torch")
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
