import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from parcel_cases import SHARED, mixed

import cgru


@pytest.fixture(scope="module")
def due():
    return cgru.fit_many(mixed(), **SHARED)


@pytest.fixture(scope="module")
def in_threads():
    """An executor without processes, which is quick."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def forks():
    with warnings.catch_warnings():  # Python may say that a fork beside threads is unsafe, which the pool has seen to
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        yield
