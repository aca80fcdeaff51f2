"""How the number of threads is chosen."""

import os

import pytest
from helpers import run_python

import cgru


def run(**variables):
    unset = {"CGRU_NUM_THREADS": "", "OMP_NUM_THREADS": ""}
    return run_python("import cgru; print(cgru.get_num_threads())", **(unset | variables))


def test_set_and_get(threads):
    threads(3)
    assert cgru.get_num_threads() == 3


def test_more_than_the_pool_has(threads):
    threads(2**40)
    assert cgru.get_num_threads() == 256
    assert run(OMP_NUM_THREADS="99999999999").stdout == "256\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads on this system")
def test_work_is_shared():
    """With two threads, and only with work that is worth it, a second one appears."""
    code = """if True:
        import os, numpy as np, cgru
        layer = cgru.GRU(64, rng=0)
        X = np.ones((64, 50, 32))
        layer.compute_shapes(X)
        layer.initialize_parameters()
        before = len(os.listdir("/proc/self/task"))
        for n, x in ((1, X), (2, X[:1, :1]), (2, X)):
            cgru.set_num_threads(n)
            layer.predict(x)
            print(len(os.listdir("/proc/self/task")) - before)
    """
    assert run_python(code).stdout.split() == ["0", "0", "1"]


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_refused(n, error, threads):
    threads(2)
    with pytest.raises(error, match=r"^n: expected"):
        cgru.set_num_threads(n)
    assert cgru.get_num_threads() == 2


def test_the_environment_decides():
    assert run(CGRU_NUM_THREADS="3").stdout == "3\n"
    assert run(OMP_NUM_THREADS="5,2").stdout == "5\n"
    assert run(OMP_NUM_THREADS="5", CGRU_NUM_THREADS="3").stdout == "3\n"
    if hasattr(os, "sched_getaffinity"):
        assert run().stdout == f"{len(os.sched_getaffinity(0))}\n"


def test_nonsense_in_the_environment():
    done = run(CGRU_NUM_THREADS="many")
    assert done.returncode != 0
    assert "CGRU_NUM_THREADS: expected an integer" in done.stderr


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads on this system")
def test_alone_is_a_matter_of_one_thread():
    code = """if True:
        import os, threading, time, numpy as np, cgru
        from cgru.core.threads import single_threaded
        layer = cgru.GRU(64, rng=0)
        X = np.ones((64, 50, 32))
        cgru.set_num_threads(2)
        def count(): return len(os.listdir("/proc/self/task"))
        before = count()
        with single_threaded():
            with single_threaded():
                layer.predict(X)
            layer.predict(X)
            print(count() - before, cgru.get_num_threads())
            other = threading.Thread(target=layer.predict, args=(X,))
            other.start()
            other.join()
            for _ in range(5000):  # while a thread is about to end, the list of threads may lack later ones
                if count() > before:
                    break
                time.sleep(0.001)
            print(count() > before)
    """
    assert run_python(code).stdout.split() == ["0", "2", "True"]
