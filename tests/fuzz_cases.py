"""A target for the tests of the runner, whose cases go wrong in all ways."""

import ctypes
import time
import warnings


def case(seed):
    """Do what `seed` says: be well, say a word, raise, warn, crash or hang."""
    if seed == 1:
        return "word"
    if seed == 2:
        print("noise")
        raise ValueError("wrong on purpose")
    if seed == 3:
        warnings.warn("said on purpose", RuntimeWarning, stacklevel=1)
    if seed == 4:
        ctypes.string_at(0)
    if seed == 5:
        time.sleep(3600)
    return None
