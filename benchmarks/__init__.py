"""Every rival in one run: `python -m benchmarks`, with cgru installed in place (`pip install -e ".[bench]"`).

The command measures in processes of its own, one for each number of threads (`processes.py`). It says in the variable
BENCHMARK_THREADS how many; the libraries read theirs when they are loaded, so all is set here, before the first import.
"""

import os

THREADS = int(os.environ.get("BENCHMARK_THREADS", "1"))


def _hold_to(threads: int) -> None:
    """Hold this process and the libraries in it to so many threads, each with a core of its own."""
    for name in ("CGRU", "MKL", "OMP", "OPENBLAS"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ.pop("OPENBLAS_CORETYPE", None)  # it would hold OpenBLAS to the kernels of another processor
    if threads == 1:
        single = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {single}"
    if hasattr(os, "sched_setaffinity"):  # the last cores: the first is the system's favourite
        here = " ".join(map(str, sorted(os.sched_getaffinity(0))))
        cores = os.environ.setdefault("BENCHMARK_CORES", here)  # a process that this one starts may take more of them
        os.sched_setaffinity(0, [*map(int, cores.split())][-threads:])


if "BENCHMARK_THREADS" in os.environ:
    _hold_to(THREADS)
