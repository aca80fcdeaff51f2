"""What the tests against the rivals share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are slow: other libraries are loaded, and theirs are the large models."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


def _same(ours, theirs, tolerance: float = 1e-9, where: str = "") -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, where
    difference, largest = np.abs(ours - theirs).max(), np.abs(theirs).max()
    assert difference <= tolerance * largest, (
        f"{where}: differs by {difference:.2e}, its largest value is {largest:.2e}"
    )


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    """`same(ours, theirs, tolerance, where)`: the largest difference over the largest value is within `tolerance`."""
    return _same
