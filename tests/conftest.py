import pytest

import cgru
from cgru import kernels


@pytest.fixture(params=kernels.levels())
def level(request):
    """Each instruction set that this machine has, in use for the test."""
    before = kernels.level()
    kernels.use_level(request.param)
    yield request.param
    kernels.use_level(before)


@pytest.fixture
def threads():
    """Puts the number of threads back after the test."""
    before = cgru.get_num_threads()
    yield cgru.set_num_threads
    cgru.set_num_threads(before)
