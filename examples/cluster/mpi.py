"""Fits on MPI's ranks, of which the first hands them out: mpiexec -n 3 python -m mpi4py.futures mpi.py.

MPI ends as a whole when a rank dies: with `store=` the same program goes on.
"""

from fits import fit_all, show
from mpi4py.futures import MPIPoolExecutor

if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        show(fit_all(executor=executor))
