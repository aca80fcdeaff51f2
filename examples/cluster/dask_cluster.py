"""Fits on a Dask cluster, here one of processes on this machine: python dask_cluster.py [workers [epochs]].

Workers on other machines need cgru, and what they are to call: `client.upload_file("fits.py")`.
"""

import sys
import time

from distributed import Client, LocalCluster
from fits import fit_all, show

if __name__ == "__main__":
    workers, epochs = [*map(int, sys.argv[1:]), *(2, 5)[len(sys.argv) - 1 :]]
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        start = time.perf_counter()
        results = fit_all(epochs, executor=client.get_executor())
        print(f"{workers} workers: {time.perf_counter() - start:.2f} s")
    show(results, epochs)
