"""The size of a data set: how much memory padding may take."""

import numpy as np
import pytest

from cgru.datasets.dataset import DENSEST, PADDED, check_padding


def test_padding_may_take_so_much():
    """256 MB, or 100 times what the sequences have."""
    assert (PADDED, DENSEST) == (2**28, 100)
    check_padding([], 3)
    check_padding(np.full(100, 10**6), 1)  # large, but full
    check_padding([1000] + [1] * 999, 1)  # empty, but small
    check_padding([PADDED // 8 // 1024] + [1] * 1023, 1)  # as large as it may be
    m = 1024
    for longest, width in ((PADDED // 8 // m + 1, 1), (PADDED // 8 // m, 2)):
        with pytest.raises(ValueError, match=r"^expected sequences that are less unlike .*: 0[.](268|537) GB; windows"):
            check_padding([longest] + [1] * (m - 1), width)
