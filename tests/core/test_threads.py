"""How the number of threads is chosen."""

import os
import sys

import pytest
from helpers import refuses, run_python

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
    with refuses(error, "n"):
        cgru.set_num_threads(n)
    assert cgru.get_num_threads() == 2


def test_the_environment_decides():
    assert run(OMP_NUM_THREADS="5,2").stdout == "5\n"
    assert run(OMP_NUM_THREADS="5", CGRU_NUM_THREADS="3").stdout == "3\n"
    if hasattr(os, "sched_getaffinity"):
        assert run().stdout == f"{len(os.sched_getaffinity(0))}\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores of a process on this system")
def test_the_cores_are_those_of_the_process():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); import cgru; print(cgru.get_num_threads())"
    )
    assert run_python(code, CGRU_NUM_THREADS="", OMP_NUM_THREADS="").stdout == "1\n"


@pytest.mark.parametrize("value", ["many", "0"])
def test_nonsense_in_the_environment(value):
    done = run(CGRU_NUM_THREADS=value)
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


@pytest.mark.skipif(sys.platform != "linux", reason="asks for a call of glibc and musl")
def test_stacks_are_large_enough_wherever_threads_get_small_ones():
    """As with musl, whose 128 kB are too few for unoptimised kernels, as are 16 for optimised ones."""
    code = """if True:
        import ctypes, numpy as np, cgru
        libc, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(256)
        libc.pthread_attr_init(attributes)
        libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(16384))
        libc.pthread_setattr_default_np(attributes)
        cgru.set_num_threads(3)
        cgru.core.threads.use_waits(True)  # a thread takes part
        X = np.ones((96, 10, 120))
        cgru.Network([cgru.GRU(64), cgru.Dense(2)], seed=0).fit(X, X[:, 0, :2], epochs=1, batch_size=48)
        print("fitted")
    """
    assert run_python(code).stdout.endswith("fitted\n")
