"""What the tests of the compiled fit share."""

from types import SimpleNamespace

import numpy as np
import pytest

from cgru.network.training.compiled import program


@pytest.fixture(autouse=True)
def watched_memory(monkeypatch):
    """Memory is full of NaN, so that who reads what nobody wrote is found out, and who writes past its end is, too."""
    given = []

    def empty(n, dtype):
        whole = np.full(n + 256, 0xFF, dtype)
        start = (1 - whole.ctypes.data) % 64  # what begins at the next line ends one byte before the end
        given.append(whole[start + n :])
        return whole[start : start + n]

    monkeypatch.setattr(program, "np", SimpleNamespace(**vars(np) | {"empty": empty}))
    yield
    for behind in given:
        assert (behind == 0xFF).all()
