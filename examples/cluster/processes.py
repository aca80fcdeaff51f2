"""Fits on two processes of this machine: python processes.py."""

import functools
from concurrent.futures import ProcessPoolExecutor

from fits import fit_all, show

if __name__ == "__main__":
    # a function, not a pool: where a process dies, fit_many makes another pool and goes on
    show(fit_all(executor=functools.partial(ProcessPoolExecutor, 2)))
