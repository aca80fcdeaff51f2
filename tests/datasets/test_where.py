"""The first place at which a mask is true."""

import numpy as np
import pytest

from cgru.datasets.where import first_true


@pytest.mark.parametrize(
    ("mask", "due"), [([], None), ([False, False], None), ([True, False, True], 0), ([False, True, True], 1)]
)
def test_first_true(mask, due):
    found = first_true(np.array(mask, bool))
    assert found == due
    assert found is None or type(found) is int
