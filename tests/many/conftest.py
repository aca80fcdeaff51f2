import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from parcel_cases import SHARED, mixed

import cgru
from cgru.many.jobs import WorkerState


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


@pytest.fixture
def stopping(monkeypatch):
    """Is set once fits have been told to stop: who waits for it in a fit needs no guess how long that takes."""
    event, stop = threading.Event(), WorkerState.stop

    def told(running):
        stop(running)
        event.set()

    monkeypatch.setattr(WorkerState, "stop", told)
    return event
