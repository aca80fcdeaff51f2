"""What the tests of the core share."""

import pytest

from cgru.core import kernels


@pytest.fixture
def pieces():
    """Sets how many steps, or numbers, a piece of a call has; puts it back."""
    yield kernels.use_pieces
    kernels.use_pieces()
