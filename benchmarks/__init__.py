"""Every rival in one run: `python -m benchmarks`, with cgru installed in place (`pip install -e ".[bench]"`).

All run on one thread. The libraries read how many when they are loaded, so it is said here, before the first import.
"""

import os

for _name in ("CGRU", "MKL", "OMP", "OPENBLAS"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)  # it would hold OpenBLAS to the kernels of another processor
